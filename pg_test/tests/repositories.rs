//! Protects repositories that lead into each other while several sessions change them: nobody waits
//! without need, and whoever commits last, the edges are those of a clean resolution.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use onyx_pg_test::{Cluster, Config, Sql, eventually};
use postgres::Client;

const APP: &str = "from parcel.box import Box\n\n\ndef main():\n    Box().open()\n";
const BOX: &str = "class Box:\n    def open(self):\n        return self\n";
const CALLS: &str = "SELECT count(*) FROM onyx.links l JOIN onyx.nodes s ON s.id = source_id
     JOIN onyx.nodes t ON t.id = target_id
     WHERE s.repo_id <> t.repo_id AND l.kind = 'calls'";

fn ingest(repo: &str, path: &str, text: &str) -> String {
    format!("SELECT * FROM onyx.ingest_file('{repo}', '{path}', $x${text}$x$)")
}

fn library(text: &str) -> String {
    let package = ingest("library", "parcel/__init__.py", "");
    format!("{package}; {}", ingest("library", "parcel/box.py", text))
}

#[track_caller]
fn assert_verified(client: &mut Client, when: &str) {
    let differences = client.text(
        "SELECT r.name, v.* FROM onyx.repos r CROSS JOIN LATERAL onyx.verify(r.name) v LIMIT 9",
    );
    assert_eq!(differences, "", "{when}");
}

/// Runs a statement in a session of its own that has to wait, ends the other's transaction and waits
/// for both.
fn behind(cluster: &Cluster, database: &str, one: &mut Client, end: &str, statement: &str) {
    std::thread::scope(|scope| {
        let mut other = cluster.connect_to(database);
        let pid: i32 = other.one("SELECT pg_backend_pid()");
        let waiting = scope.spawn(move || other.run(statement));
        let mut watcher = cluster.connect_to(database);
        let waits = format!(
            "SELECT count(*) FROM pg_locks WHERE pid = {pid} AND NOT granted AND locktype = 'advisory'"
        );
        eventually("the other session to wait", Duration::from_secs(60), || {
            (watcher.one::<i64>(&waits) > 0).then_some(())
        });
        one.run(end);
        waiting.join().expect("the other session");
    });
}

#[test]
fn whoever_commits_last_edges_between_repositories_are_exact() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("orders");
    let app = ingest("app", "main.py", APP);
    let changed = BOX.replace("open", "unfold");
    // First one, then the other statement; what is undone was never there; how many calls in the end.
    let cases = [
        ("app first", "", app.clone(), "COMMIT", library(BOX), 1),
        ("library first", "", library(BOX), "COMMIT", app.clone(), 1),
        ("library undone", "", library(BOX), "ROLLBACK", app.clone(), 0),
        ("app undone", "", app.clone(), "ROLLBACK", library(BOX), 0),
        (
            "method renamed",
            &*format!("{app}; {}", library(BOX)),
            library(&changed),
            "COMMIT",
            ingest("app", "main.py", &format!("\n{APP}")),
            0,
        ),
        (
            "method renamed last",
            &*format!("{app}; {}", library(BOX)),
            ingest("app", "main.py", &format!("\n{APP}")),
            "COMMIT",
            library(&changed),
            0,
        ),
        (
            "library forgotten",
            &*format!("{app}; {}", library(BOX)),
            "SELECT onyx.forget('library')".to_owned(),
            "COMMIT",
            ingest("app", "other.py", APP),
            0,
        ),
        (
            "another asks for it",
            &*format!("{app}; {}", library(BOX)),
            library(&changed),
            "COMMIT",
            ingest("tool", "tool.py", &APP.replace("open", "unfold")),
            1,
        ),
        (
            "another asked for it",
            &*format!("{app}; {}", library(BOX)),
            ingest("tool", "tool.py", &APP.replace("open", "unfold")),
            "COMMIT",
            library(&changed),
            1,
        ),
        (
            "a second library",
            &*format!("{app}; {}", library(BOX)),
            library(BOX).replace("'library'", "'copy'"),
            "COMMIT",
            ingest("app", "main.py", &format!("\n{APP}")),
            0,
        ),
    ];
    for (name, before, first, end, second, calls) in cases {
        client.run("SELECT onyx.forget(name) FROM onyx.repos");
        if !before.is_empty() {
            client.run(before);
        }
        let mut one = cluster.connect_to("orders");
        one.run(&format!("BEGIN; {first}"));
        behind(&cluster, "orders", &mut one, end, &second);
        assert_verified(&mut client, name);
        assert_eq!(client.one::<i64>(CALLS), calls, "{name}");
    }
}

#[test]
fn repositories_without_a_common_name_do_not_wait_for_each_other() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("apart");
    client.run(&library(BOX));
    client.run(&ingest("app", "main.py", APP));
    let mut one = cluster.connect_to("apart");
    client.run("SET lock_timeout = '2s'");
    for (open, statement) in [
        // Both are new, one of each lead nowhere, or into the library.
        (ingest("a", "one/alpha.py", "def f(): pass"), ingest("b", "two/beta.py", "def g(): pass")),
        (ingest("c", "c.py", APP), ingest("d", "d.py", APP)),
        // Changes of what is there.
        (ingest("app", "main.py", &format!("\n{APP}")), ingest("d", "d.py", "import parcel.box")),
        (ingest("library", "parcel/box.py", "\n"), ingest("b", "two/beta.py", "import alpha")),
    ] {
        one.run(&format!("BEGIN; {open}"));
        client.run(&statement);
        one.run("COMMIT");
        assert_verified(&mut client, &statement);
    }
    // What leads into the library waits for it: at once, before it writes anything.
    one.run("BEGIN");
    one.run(&ingest("library", "parcel/box.py", BOX));
    let error = client.error(&ingest("app", "main.py", APP));
    assert_eq!(error.code().code(), "55P03", "{error:?}");
    // A bounded part of the table of locks, whatever is ingested.
    let many: String = (0..4_000).map(|n| format!("import package{n}\n")).collect();
    one.run(&ingest("library", "parcel/many.py", &many));
    let locks = one.one::<i64>("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    assert!((500..2_100).contains(&locks), "{locks} locks");
    one.run("ROLLBACK");
}

#[test]
fn a_transaction_that_sees_an_older_graph_does_not_change_it() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("older");
    let mut one = cluster.connect_to("older");
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        client.run("SELECT onyx.forget(name) FROM onyx.repos");
        one.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT FROM onyx.repos"));
        client.run(&library(BOX));
        let error = one.error(&ingest("app", "main.py", APP));
        assert_eq!(error.code().code(), "40001", "{error:?}");
        one.run("ROLLBACK");
        // Tried again it goes, more than once in a transaction.
        one.run(&format!("BEGIN ISOLATION LEVEL {level}"));
        one.run(&ingest("app", "main.py", APP));
        one.run(&ingest("app", "other.py", APP));
        one.run("COMMIT");
        assert_eq!(client.one::<i64>(CALLS), 2);
        assert_verified(&mut client, level);
    }
}

#[test]
fn sessions_that_change_linked_repositories_at_once_leave_exact_edges() {
    const SESSIONS: u64 = 4;
    let cluster = Cluster::ready();
    let mut client = cluster.database("crowd");
    let (done, deadlocks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for round in 0..4_u64 {
        std::thread::scope(|scope| {
            for session in 0..SESSIONS {
                let (cluster, done, deadlocks) = (&cluster, &done, &deadlocks);
                scope.spawn(move || {
                    let mut client = cluster.connect_to("crowd");
                    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ ((round * SESSIONS + session) << 7);
                    let mut draw = |below: u64| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        (state >> 33) % below
                    };
                    for _ in 0..25 {
                        // Each of five repositories has a package and uses that of the next ones.
                        let repo = draw(5);
                        let names = ["alpha", "beta", "gamma"];
                        let (name, other) = (names[draw(3) as usize], names[draw(3) as usize]);
                        let used = (repo + 1 + draw(2)) % 5;
                        let statement = match draw(8) {
                            0 => format!("SELECT onyx.forget(name) FROM onyx.repos WHERE name = 'r{repo}'"),
                            1 | 2 => ingest(&format!("r{repo}"), &format!("p{repo}/__init__.py"), &format!("from p{used}.one import {name}\n")),
                            3..=5 => ingest(&format!("r{repo}"), &format!("p{repo}/one.py"), &format!("class {name}:\n    def {other}(self):\n        return {name}()\n")),
                            _ => ingest(&format!("r{repo}"), &format!("p{repo}/main.py"), &format!("from p{used} import {name}\nimport p{used}.one\n\ndef main():\n    {name}().{other}()\n    p{used}.one.{other}()\n")),
                        };
                        loop {
                            let Err(error) = client.batch_execute(&statement) else { break };
                            // A repository can go between its look-up and its turn.
                            match error.code().map(postgres::error::SqlState::code) {
                                Some("40P01") => { deadlocks.fetch_add(1, Ordering::Relaxed); }
                                Some("42704") => break,
                                _ => panic!("{}\nin: {statement}", onyx_pg_test::sql::describe(&error)),
                            }
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_verified(&mut client, &format!("after round {round}"));
    }
    let (done, deadlocks) = (done.into_inner(), deadlocks.into_inner());
    println!("{done} changes, {deadlocks} deadlocks");
    assert!(deadlocks * 20 <= done, "{deadlocks} deadlocks in {done} changes");
}

#[test]
fn the_engine_keeps_what_files_say_and_nothing_depends_on_it() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("keeps");
    let (mut session, notices) = cluster.connect_hearing("keeps");
    client.run(&library(BOX));
    client.run(&ingest("app", "main.py", APP));
    session.run("SET client_min_messages = debug1");
    let mut edits = 0;
    // Whether the engine had the facts, for each repository it was asked about.
    let mut edit = |session: &mut Client, end: &str| -> Vec<(String, bool)> {
        edits += 1;
        let text = format!("{}\n# {edits}\n\ndef more{edits}(): pass\n", BOX);
        session.run(&format!("BEGIN; {}; {end}", ingest("library", "parcel/box.py", &text)));
        let asked = notices.take("DEBUG").into_iter().filter_map(|notice| {
            let (has, repo) = notice
                .message()
                .strip_prefix("the engine ")?
                .split_once(" the facts of repository ")?;
            Some((repo.to_owned(), has == "has"))
        });
        asked.collect()
    };
    let repo = |client: &mut Client, name: &str| -> String {
        client.text(&format!("SELECT id FROM onyx.repos WHERE name = '{name}'"))
    };
    let (library, app) = (repo(&mut client, "library"), repo(&mut client, "app"));
    let has = |repo: &str| vec![(repo.to_owned(), true)];
    let lacks = |repo: &str| vec![(repo.to_owned(), false)];

    assert_eq!(edit(&mut session, "COMMIT"), has(&library));
    assert_eq!(edit(&mut session, "COMMIT"), has(&library));
    // Of what is undone nothing is believed.
    assert_eq!(edit(&mut session, "ROLLBACK"), has(&library));
    assert_eq!(edit(&mut session, "COMMIT"), lacks(&library));
    assert_eq!(edit(&mut session, "COMMIT"), has(&library));
    // Nor of what another session does meanwhile, nor after the engine was away.
    client.run(&ingest("library", "parcel/other.py", "def f(): pass"));
    assert_eq!(edit(&mut session, "COMMIT"), has(&library));
    cluster.kill_engine();
    cluster.wait_for_engine();
    assert_eq!(edit(&mut session, "COMMIT"), lacks(&library));
    assert_eq!(edit(&mut session, "COMMIT"), has(&library));
    assert_verified(&mut client, "after all of it");
    // A change that concerns another repository finds what is kept of both.
    let text = BOX.replace("open", "unfold");
    session.run(&ingest("library", "parcel/box.py", &text));
    session.run(&ingest("library", "parcel/box.py", BOX));
    let asked: Vec<String> = notices.take("DEBUG").iter().map(|n| n.message().to_owned()).collect();
    let kept = format!("the engine has the facts of repository {app}");
    assert!(asked.contains(&kept), "{asked:?}");
    assert_verified(&mut client, "in the end");
}

#[test]
fn sessions_that_lose_the_engine_now_and_then_leave_exact_edges() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("losses");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let failures = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (cluster, stop, failures) = (&cluster, &stop, &failures);
        let workers: Vec<_> = (0..3)
            .map(|session| {
                scope.spawn(move || {
                    let mut client = cluster.connect_to("losses");
                    for number in 0..25 {
                        let method = ["open", "unfold", "close"][(number + session) % 3];
                        let statement = match session {
                            0 => library(&BOX.replace("open", method)),
                            _ => ingest(
                                &format!("app{session}"),
                                "main.py",
                                &APP.replace("open", method),
                            ),
                        };
                        while let Err(error) = client.batch_execute(&statement) {
                            let code = error.code().map(postgres::error::SqlState::code);
                            assert!(
                                matches!(code, Some("58000" | "40P01")),
                                "{}",
                                onyx_pg_test::sql::describe(&error)
                            );
                            failures.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            for _ in 0..12 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                cluster.kill_engine();
                cluster.wait_for_engine();
                std::thread::sleep(Duration::from_millis(400));
            }
        });
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok), "a session failed");
    });
    cluster.wait_for_engine();
    assert_verified(&mut client, "after the losses");
    println!("{} changes failed and were tried again", failures.into_inner());
}

#[test]
fn a_prepared_change_keeps_its_locks_through_a_crash() {
    let cluster = Cluster::start(Config::new().durable());
    let mut client = cluster.database("prepared");
    client.run(&ingest("app", "main.py", APP));
    client.run("BEGIN");
    client.run(&library(BOX));
    client.run("PREPARE TRANSACTION 'library'");
    cluster.stop_immediately();
    cluster.start_again();
    let mut client = cluster.connect_to("prepared");
    onyx_pg_test::cluster::wait_for_engine(&mut client);
    client.run("SET lock_timeout = '500ms'");
    let error = client.error(&ingest("app", "main.py", &format!("\n{APP}")));
    assert_eq!(error.code().code(), "55P03", "{error:?}");
    client.run("COMMIT PREPARED 'library'");
    assert_eq!(client.one::<i64>(CALLS), 1);
    client.run(&ingest("app", "main.py", &format!("\n{APP}")));
    assert_eq!(client.one::<i64>(CALLS), 1);
    assert_verified(&mut client, "after a prepared transaction");
}
