//! Protects history under kills at random moments: a git repository's history that was interrupted is
//! whole when it was asked for again, and a merge is made once or not at all.
//!
//! ROUNDS kills of each; SEED=... repeats a run's choices.

use std::time::{Duration, Instant, SystemTime};

use onyx_pg_test::clean::assert_shown;
use onyx_pg_test::git::{self, Random};
use onyx_pg_test::process::{self, Signal};
use onyx_pg_test::{Cluster, Config, GitRepo, Sql, Tree, eventually};
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

/// Files of the repository that is merged: so many that a merge takes long enough to be hit.
const FILES: usize = 40;

/// Writes a version of some of the files.
fn write(tree: &Tree, files: std::ops::Range<usize>, version: u64) {
    for file in files {
        let functions = (0..60).map(|n| {
            format!("def f{n}(x):\n    return f{}(x) + {n}  # {version}\n\n\n", (n + 1) % 60)
        });
        tree.write(&format!("f{file}.py"), functions.collect::<String>());
    }
}

#[test]
fn a_killed_merge_is_made_once_or_not_at_all() {
    let mut random = Random::new(seed());
    let cluster = Cluster::start(Config::new().durable());
    let mut client = cluster.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    cluster.wait_for_engine();
    let (ours, theirs) = (Tree::new(), Tree::new());
    let ingest = |client: &mut Client, tree: &Tree, branch: &str| {
        client.run(&format!(
            "SELECT onyx.ingest_directory('shop', '{}', branch => '{branch}')",
            tree.root()
        ));
    };
    for tree in [&ours, &theirs] {
        write(tree, 0..FILES, 0);
    }
    ingest(&mut client, &ours, "main");
    client.run("SELECT onyx.branch_create('shop', 'side')");
    let merge = "SELECT * FROM onyx.merge('shop', 'side', 'main')";
    let mut took = Duration::ZERO;
    let (rounds, mut hits) = (number("ROUNDS", 6), 0);
    // The first merge is not killed: it says how long one takes.
    for round in 0..=rounds {
        let mut client = back(&cluster);
        // Ours changes one half, theirs the other.
        write(&ours, 0..FILES / 2, round + 1);
        write(&theirs, FILES / 2..FILES, round + 1);
        ingest(&mut client, &ours, "main");
        ingest(&mut client, &theirs, "side");
        write(&ours, FILES / 2..FILES, round + 1);
        write(&theirs, 0..FILES / 2, round + 1);
        let commits: i64 = client.one("SELECT count(*) FROM onyx.commits");
        let mut when = format!("round {round}");
        if round > 0 {
            let pause = took.mul_f64(random.below(1_000) as f64 / 1_000.0);
            let (what, hit) = std::thread::scope(|scope| {
                let running = scope.spawn(|| client.batch_execute(merge).is_ok());
                std::thread::sleep(pause);
                let what = kill(&cluster, &mut random);
                // A merge may do without the engine what it does then.
                let goes_on = what == "the engine" && !running.is_finished();
                (what, !running.join().expect("the caller") || goes_on)
            });
            hits += u64::from(hit);
            let hit = if hit { "in the middle" } else { "too late" };
            when = format!("round {round}: {what} after {pause:?} of {took:?}, {hit}");
            let mut client = back(&cluster);
            let made: i64 = client.one("SELECT count(*) FROM onyx.commits");
            assert!(made == commits || made == commits + 1, "{made}, {commits}, {when}");
            assert_shown(&mut client, "shop", &when);
        }
        let mut client = back(&cluster);
        let begun = Instant::now();
        client.run(merge);
        if round == 0 {
            took = begun.elapsed();
        }
        assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.commits"), commits + 1, "{when}");
        assert_shown(&mut client, "shop", &when);
        let texts: Vec<String> =
            client.column("SELECT onyx.content_at(id) FROM onyx.nodes WHERE kind = 'file'");
        let wrong = texts.iter().filter(|text| !text.contains(&format!("# {}\n", round + 1)));
        assert_eq!((texts.len(), wrong.count()), (FILES, 0), "{when}");
        // Onto the same commit again, for the next round.
        client.run("SELECT onyx.merge('shop', 'main', 'side')");
        println!("{when}");
    }
    println!("{hits} of {rounds} kills in the middle of a merge");
    assert!(hits * 3 >= rounds, "{hits} of {rounds} kills hit");
}
