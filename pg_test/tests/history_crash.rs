//! Protects history under kills at random moments: a git repository's history that was interrupted is
//! whole when it was asked for again, and a merge is made once or not at all.
//!
//! ROUNDS=4 kills of each; SEED=... repeats a run's choices.

use std::time::{Duration, Instant, SystemTime};

use onyx_pg_test::git::{self, Random};
use onyx_pg_test::process::{self, Signal};
use onyx_pg_test::{Cluster, Config, GitRepo, Sql, eventually};
use postgres::Client;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn seed() -> u64 {
    let seed = number("SEED", SystemTime::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_nanos() as u64));
    println!("SEED={seed}");
    seed
}

/// Kills something the call under way needs.
fn kill(cluster: &Cluster, random: &mut Random) -> &'static str {
    let pid = |sql: &str| {
        let mut client = cluster.session()?;
        client.query_opt(sql, &[]).ok().flatten().map(|row| row.get::<_, i32>(0))
    };
    let busy = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
                AND pid <> pg_backend_pid() AND state <> 'idle' LIMIT 1";
    let (what, pid) = match random.below(4) {
        0 => ("the engine", pid("SELECT pid FROM onyx.stat_engine WHERE pid IS NOT NULL")),
        1 => ("the backend", pid(busy)),
        2 => {
            cluster.kill_postmaster();
            return "the postmaster";
        }
        _ => {
            if let (Some(pid), Some(mut client)) = (pid(busy), cluster.session()) {
                // The session may end meanwhile.
                _ = client.execute("SELECT pg_cancel_backend($1)", &[&pid]);
            }
            return "a cancel";
        }
    };
    if let Some(pid) = pid {
        process::signal(pid, Signal::KILL);
    }
    what
}

/// A session on the server, started again if it does not run.
fn back(cluster: &Cluster) -> Client {
    if !cluster.is_running() {
        cluster.start_again();
    }
    eventually("the server and its engine", Duration::from_secs(60), || {
        let mut client = cluster.session()?;
        // A server that has not heard yet of a child that was killed takes sessions, and ends them.
        std::thread::sleep(Duration::from_millis(200));
        let row = client.query_one("SELECT state FROM onyx.stat_engine", &[]).ok()?;
        (row.get::<_, String>(0) == "running").then_some(client)
    })
}

/// What a history's rows say, without ids.
fn history_of(client: &mut Client, repo: &str) -> String {
    let of = format!("c.repo_id = (SELECT id FROM onyx.repos WHERE name = '{repo}')");
    client.text(&format!(
        "SELECT 'commit', encode(c.git_hash, 'hex') AS hash, encode(p.git_hash, 'hex'), c.depth::text, c.message, c.author_name, NULL, NULL
         FROM onyx.commits c LEFT JOIN onyx.commits p ON p.id = c.parent_id WHERE {of}
         UNION ALL
         SELECT 'parent', encode(c.git_hash, 'hex'), encode(p.git_hash, 'hex'), o.ordinal::text, NULL, NULL, NULL, NULL
         FROM onyx.commits c JOIN onyx.commit_parents o ON o.commit_id = c.id
         JOIN onyx.commits p ON p.id = o.parent_id WHERE {of}
         UNION ALL
         SELECT 'file', encode(c.git_hash, 'hex'), t.path, v.change, encode(k.hash, 'hex'), v.module, v.lines_added::text, v.lines_removed::text
         FROM onyx.commits c JOIN onyx.file_versions v ON v.commit_id = c.id JOIN onyx.paths t ON t.id = v.path_id
         LEFT JOIN onyx.contents k ON k.id = v.content_id WHERE {of}
         UNION ALL
         SELECT 'symbol', encode(c.git_hash, 'hex'), t.path, v.change, n.kind, n.qualified_name, v.ordinal::text, s.search_text
         FROM onyx.commits c JOIN onyx.symbol_versions v ON v.commit_id = c.id JOIN onyx.paths t ON t.id = v.path_id
         JOIN onyx.symbol_names n ON n.id = v.name_id LEFT JOIN onyx.search_texts s ON s.id = v.search_text_id WHERE {of}
         UNION ALL
         SELECT 'branch', encode(c.git_hash, 'hex'), b.name, b.is_default::text, NULL, NULL, NULL, NULL
         FROM onyx.commits c JOIN onyx.branches b ON b.commit_id = c.id WHERE {of}
         ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
    ))
}

#[track_caller]
fn assert_shown(client: &mut Client, repo: &str, when: &str) {
    let ids: Vec<i64> = client.column(&format!(
        "SELECT coalesce(a.id, n.id) FROM onyx.nodes_as_of('{repo}') a
         FULL JOIN (SELECT * FROM onyx.nodes
                    WHERE repo_id = (SELECT id FROM onyx.repos WHERE name = '{repo}')) n
              ON n.id = a.id AND n.kind = a.kind AND n.qualified_name = a.qualified_name
         WHERE a.id IS NULL OR n.id IS NULL"
    ));
    assert_eq!(ids, [0_i64; 0], "nodes that differ, {when}");
    let differences: Vec<String> =
        client.column(&format!("SELECT v::text FROM onyx.verify('{repo}') v"));
    assert_eq!(differences, [""; 0], "verify {when}");
}

#[test]
fn a_killed_ingest_goes_on_and_nothing_is_lost_or_doubled() {
    let seed = seed();
    let mut random = Random::new(seed);
    let cluster = Cluster::start(Config::new().durable());
    let mut client = cluster.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    cluster.wait_for_engine();
    let repo: GitRepo = git::random_history(seed, 60);
    client.run(&format!("CALL onyx.ingest_git('whole', '{}')", repo.root()));
    let whole = history_of(&mut client, "whole");
    let begun = Instant::now();
    client.run(&format!(
        "CALL onyx.ingest_git('timed', '{}', commits_per_transaction => 5)",
        repo.root()
    ));
    let took = begun.elapsed();
    drop(client);
    for round in 0..number("ROUNDS", 4) {
        let name = format!("killed{round}");
        let call = format!(
            "CALL onyx.ingest_git('{name}', '{}', commits_per_transaction => 5)",
            repo.root()
        );
        let mut said = Vec::new();
        for _ in 0..3 {
            let mut client = back(&cluster);
            let pause = took.mul_f64(random.below(1_000) as f64 / 1_000.0);
            let (what, ended) = std::thread::scope(|scope| {
                let running = scope.spawn(|| client.batch_execute(&call).is_ok());
                std::thread::sleep(pause);
                let what = kill(&cluster, &mut random);
                (what, running.join().expect("the caller"))
            });
            said.push(format!(
                "{what} after {pause:?}, {}",
                if ended { "too late" } else { "in time" }
            ));
        }
        let when = format!("round {round}: {}", said.join("; "));
        let mut client = back(&cluster);
        client.run(&call);
        assert_eq!(history_of(&mut client, &name), whole, "{when}");
        assert_shown(&mut client, &name, &when);
        println!("{when}");
    }
}

#[test]
fn a_killed_merge_is_made_once_or_not_at_all() {
    let mut random = Random::new(seed());
    let cluster = Cluster::start(Config::new().durable());
    let mut client = cluster.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    cluster.wait_for_engine();
    let file = |version: &str| {
        let functions =
            (0..60).map(|n| format!("def f{n}(x):\n    return x + {n}  # {version}\n\n\n"));
        functions.collect::<String>()
    };
    for path in ["a.py", "b.py"] {
        client.run(&format!("SELECT onyx.ingest_file('shop', '{path}', $q${}$q$)", file("0")));
    }
    client.run("SELECT onyx.branch_create('shop', 'side')");
    let mut took = Duration::from_millis(200);
    for round in 1..=number("ROUNDS", 4) {
        let mut client = back(&cluster);
        client.run(&format!(
            "SELECT onyx.ingest_file('shop', 'a.py', $q${}$q$, branch => 'main');
             SELECT onyx.ingest_file('shop', 'b.py', $q${}$q$, branch => 'side')",
            file(&round.to_string()),
            file(&round.to_string())
        ));
        let commits: i64 = client.one("SELECT count(*) FROM onyx.commits");
        let merge = "SELECT * FROM onyx.merge('shop', 'side', 'main')";
        let pause = took.mul_f64(random.below(1_000) as f64 / 1_000.0);
        let begun = Instant::now();
        let (what, ended) = std::thread::scope(|scope| {
            let running = scope.spawn(|| client.batch_execute(merge).is_ok());
            std::thread::sleep(pause);
            let what = kill(&cluster, &mut random);
            (what, running.join().expect("the caller"))
        });
        if ended {
            took = begun.elapsed();
        }
        let when = format!("round {round}: {what} after {pause:?}, ended {ended}");
        let mut client = back(&cluster);
        let made: i64 = client.one("SELECT count(*) FROM onyx.commits");
        assert!(made == commits || made == commits + 1, "{made}, {commits}, {when}");
        assert_shown(&mut client, "shop", &when);
        client.run(merge);
        assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.commits"), commits + 1, "{when}");
        assert_shown(&mut client, "shop", &when);
        let text = client.text(
            "SELECT onyx.content_at(id) FROM onyx.nodes WHERE kind = 'file' ORDER BY qualified_name",
        );
        assert_eq!(
            text.trim_end(),
            format!("{0}\n{0}", file(&round.to_string())).trim_end(),
            "{when}"
        );
        // Onto the same commit again, for the next round.
        client.run("SELECT onyx.merge('shop', 'main', 'side')");
        println!("{when}");
    }
}
