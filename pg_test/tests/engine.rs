//! Protects the server from its engine: whatever happens to that process, sessions go on, errors are
//! clear, and it comes back by itself.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use onyx_pg_test::process::{self, Signal, Stopped};
use onyx_pg_test::workload::{big_tree, kill_engine_during, new_texts, wait_for_end};
use onyx_pg_test::{Cluster, Config, Sql, Tree, cluster, eventually, install};

/// A call that a killed engine interrupts must fail within 100 ms; machines of tests are busy.
const AT_ONCE: Duration = Duration::from_millis(1_000);
const SOON: Duration = Duration::from_secs(20);

#[test]
fn stat_engine_shows_a_running_engine() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    client.run("SELECT onyx.embed('a text')");
    assert_eq!(
        client.text(
            "SELECT state, pid > 1, supervisor_pid > 1, version = extversion,
                    started_at BETWEEN pg_postmaster_start_time() AND now(), restarts,
                    resident_bytes > 50e6, index_bytes >= 0, requests > 0, errors >= 0,
                    active >= 1, store_bytes > 0, generations = 2, embeddings = 1
             FROM onyx.stat_engine, pg_extension WHERE extname = 'onyx'"
        ),
        "running|t|t|t|t|0|t|t|t|t|t|t|t|t"
    );
    let pid: i32 = client.one("SELECT pid FROM onyx.stat_engine");
    let supervisor: i32 = client.one("SELECT supervisor_pid FROM onyx.stat_engine");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the engine's process");
    let parent = stat.rsplit_once(')').and_then(|(_, r)| r.split_whitespace().nth(1)?.parse().ok());
    assert_eq!(parent, Some(supervisor), "the engine is the supervisor's child");
    let title = std::fs::read_to_string(format!("/proc/{supervisor}/cmdline")).expect("its title");
    assert!(title.contains("onyx supervisor"), "{title}");
}

#[test]
fn an_idle_engine_that_is_killed_is_replaced_and_no_session_notices() {
    let cluster = Cluster::ready();
    let (mut a, mut b) = (cluster.connect(), cluster.connect());
    a.run("SELECT onyx.embed('before')");
    b.run("SELECT onyx.embed('before'); CREATE TEMP TABLE mine AS SELECT 1 AS i");
    let started: String = a.text("SELECT pg_postmaster_start_time()");
    let backend: i32 = b.one("SELECT pg_backend_pid()");
    for round in 1..=2 {
        let pid = cluster.kill_engine();
        let begun = Instant::now();
        // A call in the moment between death and rebirth may fail, with the reason; one soon works.
        eventually("an embedding after the kill", SOON, || {
            match a.batch_execute(&format!("SELECT onyx.embed('after {round}')")) {
                Ok(()) => Some(()),
                Err(e) => {
                    let error = e.as_db_error().expect("a server's error, not a broken session");
                    assert_eq!(error.code().code(), "58000", "{error:?}");
                    assert!(error.hint().is_some() && error.detail().is_some(), "{error:?}");
                    None
                }
            }
        });
        println!("back after {:?}", begun.elapsed());
        assert!(!process::is_alive(pid));
        assert_eq!(a.one::<i64>("SELECT restarts FROM onyx.stat_engine"), round);
    }
    assert_eq!(a.text("SELECT last_error FROM onyx.stat_engine"), "killed by signal 9");
    assert_eq!(b.one::<i32>("SELECT i FROM mine"), 1);
    assert_eq!(b.one::<i32>("SELECT pg_backend_pid()"), backend);
    assert_eq!(a.text("SELECT pg_postmaster_start_time()"), started);
    assert!(!cluster.log().contains("terminating any other active server processes"));
}

#[test]
fn a_kill_during_embed_fails_that_call_at_once_and_only_that_call() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    client.run("CREATE TEMP TABLE mine AS SELECT 1 AS i; SELECT onyx.embed('load the model')");
    let pid = cluster.wait_for_engine();
    let sql = format!("SELECT onyx.embed({})", new_texts(3_000, "embed"));
    let (error, time) = kill_engine_during(&mut client, &sql, pid, Duration::from_millis(700));
    println!("the call failed {time:?} after the kill");
    let error = error.expect("an error");
    assert_eq!(error.code().code(), "58000", "{error:?}");
    assert!(error.hint().is_some_and(|h| h.contains("retry")), "{error:?}");
    assert!(time < AT_ONCE, "{time:?}");
    assert_eq!(client.one::<i32>("SELECT i FROM mine"), 1, "the same session goes on");
    cluster.wait_for_engine();
    client.run("SELECT onyx.embed('after')");
}

#[test]
fn a_kill_during_an_ingest_leaves_nothing_and_the_retry_is_whole() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let tree = big_tree(150);
    let pid = cluster.wait_for_engine();
    let sql = format!("SELECT * FROM onyx.ingest_directory('big', '{}')", tree.root());
    let (error, time) = kill_engine_during(&mut client, &sql, pid, Duration::from_millis(500));
    println!("the ingest failed {time:?} after the kill");
    let error = error.expect("an error");
    assert_eq!(error.code().code(), "58000", "{error:?}");
    assert!(error.hint().is_some(), "{error:?}");
    for table in ["repos", "files", "nodes", "ingest_errors"] {
        assert_eq!(client.one::<i64>(&format!("SELECT count(*) FROM onyx.{table}")), 0, "{table}");
    }
    assert_eq!(client.text("SELECT * FROM onyx.progress"), "");
    cluster.wait_for_engine();
    assert_eq!(client.text(&sql).split('|').next(), Some("150"));
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.nodes WHERE kind = 'class'"), 30_000);
}

#[test]
fn a_kill_during_an_index_build_gives_an_error_or_an_index_that_comes_by_itself() {
    let cluster = Cluster::ready();
    let (mut client, notices) = cluster.connect_hearing("postgres");
    client.run(
        "CREATE TABLE t (id int, v vector(16));
         INSERT INTO t SELECT i, (SELECT array_agg(random()) FROM generate_series(1, 16 + 0 * i))::vector
         FROM generate_series(1, 60000) i; ANALYZE t",
    );
    let create = "CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)";
    let pid = cluster.wait_for_engine();
    client.run("SET onyx.on_engine_failure = error");
    let (error, time) = kill_engine_during(&mut client, create, pid, Duration::from_millis(400));
    println!("the build failed {time:?} after the kill");
    let error = error.expect("an error");
    assert_eq!(error.code().code(), "58000", "{error:?}");
    assert!(time < AT_ONCE, "{time:?}");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM pg_class WHERE relname = 't_v'"), 0);

    let pid = cluster.wait_for_engine();
    client.run("SET onyx.on_engine_failure = degrade");
    let (error, _) = kill_engine_during(&mut client, create, pid, Duration::from_millis(400));
    assert!(error.is_none(), "{error:?}");
    let warnings = notices.take("WARNING");
    assert!(warnings.iter().any(|w| w.message().contains("t_v")), "{warnings:?}");
    let sql = "SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = 77) LIMIT 1";
    assert_eq!(client.one::<i32>(sql), 77, "answers meanwhile");
    // Reads and writes of the table do not wait for the rebuild.
    client.run("SET statement_timeout = '5s'");
    let mut id = 100_000;
    eventually("the index built in the background", Duration::from_secs(60), || {
        id += 1;
        client.run(&format!("INSERT INTO t SELECT {id}, v FROM t WHERE id = 1"));
        assert_eq!(client.one::<i32>(sql), 77);
        (client.text("SELECT state FROM onyx.stat_index WHERE indexname = 't_v'") == "ready")
            .then_some(())
    });
    let plan =
        client.explain("SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = 77) LIMIT 1");
    assert!(plan.contains("t_v"), "{plan}");
    assert_eq!(client.one::<i32>(sql), 77);
    assert_eq!(client.text("SELECT * FROM onyx.check_index('t_v')"), "");
}

#[test]
fn cancel_and_timeout_end_a_call_although_the_engine_hangs() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let mut other = cluster.connect();
    client.run("SELECT onyx.embed('connect')");
    let pid = cluster.wait_for_engine();
    let backend: i32 = client.one("SELECT pg_backend_pid()");
    {
        let _stopped = Stopped::new(pid);
        client.run("SET statement_timeout = '300ms'");
        let begun = Instant::now();
        let error = client.error("SELECT onyx.embed('hangs')");
        assert_eq!(error.code().code(), "57014", "{error:?}");
        assert!(begun.elapsed() < Duration::from_millis(300) + AT_ONCE, "{:?}", begun.elapsed());

        client.run("SET statement_timeout = '30s'");
        let (error, time) = std::thread::scope(|scope| {
            let call =
                scope.spawn(|| (client.error("SELECT onyx.embed('hangs too')"), Instant::now()));
            std::thread::sleep(Duration::from_millis(300));
            let begun = Instant::now();
            assert!(other.one::<bool>(&format!("SELECT pg_cancel_backend({backend})")));
            let (error, ended) = call.join().expect("the call's thread");
            (error, ended.duration_since(begun))
        });
        println!("canceled after {time:?}");
        assert_eq!(error.code().code(), "57014", "{error:?}");
        assert!(time < AT_ONCE, "{time:?}");
        assert_eq!(client.one::<i32>("SELECT 1"), 1);
    }
    client.run("SELECT onyx.embed('after')");
}

#[test]
fn cancel_reaches_the_work_in_the_engine() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    client.run("SELECT onyx.embed('load the model'); SET statement_timeout = '1s'");
    let error = client.error(&format!("SELECT onyx.embed({})", new_texts(5_000, "cancel")));
    assert_eq!(error.code().code(), "57014", "{error:?}");
    // Left alone it would go on for minutes.
    eventually("an idle engine after the cancel", Duration::from_secs(5), || {
        let tokens = "SELECT sum(tokens)::bigint FROM onyx.stat_embedding";
        let before: i64 = client.one(tokens);
        std::thread::sleep(Duration::from_millis(700));
        (client.one::<i64>(tokens) == before).then_some(())
    });
}

#[test]
fn a_killed_supervisor_leaves_no_orphan_and_the_server_recovers() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    client.run("CREATE TABLE t AS SELECT 1 AS i; SELECT onyx.embed('cached')");
    let engine = cluster.wait_for_engine();
    let supervisor: i32 = client.one("SELECT supervisor_pid FROM onyx.stat_engine");
    drop(client);
    assert!(process::signal(supervisor, Signal::KILL));
    wait_for_end(engine, Duration::from_secs(10));
    // PostgreSQL restarts all of itself when a worker dies by a signal.
    let mut client = eventually("the server after its restart", SOON, || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut client = cluster.connect();
            client.query_one("SELECT i FROM t", &[]).ok().map(|_| client)
        }))
        .ok()
        .flatten()
    });
    let new = cluster::wait_for_engine(&mut client);
    assert_ne!(new, engine);
    client.run("SELECT onyx.embed('cached'), onyx.embed('new')");
    assert_eq!(client.one::<i64>("SELECT embeddings FROM onyx.stat_engine"), 2);
}

#[test]
fn the_engine_ends_with_its_server_however_that_ends() {
    let cluster = Cluster::ready();
    cluster.connect().run("SELECT onyx.embed('one')");
    let mut engines = Vec::new();
    for (name, end) in [
        ("fast", Cluster::stop as fn(&Cluster)),
        ("immediate", Cluster::stop_immediately),
        ("killed", Cluster::kill_postmaster),
    ] {
        let engine = cluster.wait_for_engine();
        end(&cluster);
        let begun = Instant::now();
        wait_for_end(engine, Duration::from_secs(10));
        println!("{name}: engine gone {:?} after the postmaster", begun.elapsed());
        engines.push(engine);
        cluster.start_again();
        // The store has no other owner: the new engine opens it and has what the old one wrote.
        assert!(!engines.contains(&cluster.wait_for_engine()));
        assert_eq!(
            cluster.connect().one::<i64>("SELECT embeddings FROM onyx.stat_engine"),
            1,
            "{name}"
        );
    }
}

#[test]
fn a_hanging_engine_does_not_keep_the_server_from_stopping() {
    let cluster = Cluster::ready();
    let engine = cluster.wait_for_engine();
    process::signal(engine, Signal::STOP);
    let begun = Instant::now();
    cluster.stop();
    println!("stopped after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    wait_for_end(engine, Duration::from_secs(1));
}

#[test]
fn an_engine_that_does_not_start_is_tried_with_patience_and_said_so() {
    let tree = Tree::of(&[(
        "engine.sh",
        "#!/bin/sh\necho 'onyx-engine: I am of another world' >&2\nexit 3\n",
    )]);
    let cluster = Cluster::start(Config::new().set("onyx.engine_path", "/bin/false"));
    let (mut client, notices) = cluster.connect_hearing("postgres");
    client.run("CREATE EXTENSION onyx CASCADE");
    client.run(
        "CREATE TABLE t (id int, v vector(3));
         INSERT INTO t SELECT i, ARRAY[i, 0, 0]::vector FROM generate_series(1, 2000) i;
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops);
         INSERT INTO t VALUES (5000, '[5000,0,0]'); ANALYZE t",
    );
    assert!(!notices.take("WARNING").is_empty(), "the index is not built, and nobody says so");
    assert_eq!(
        client.column::<i32>("SELECT id FROM t ORDER BY v <-> '[5000,0,0]' LIMIT 2"),
        [5000, 2000]
    );
    let status = "SELECT state || ': ' || last_error FROM onyx.stat_engine";
    eventually("the reason", SOON, || {
        client.text(status).contains("backoff: exit code 1").then_some(())
    });
    let error = client.error("SELECT onyx.embed('x')");
    assert_eq!(error.code().code(), "58000", "{error:?}");
    assert!(error.detail().is_some_and(|d| d.contains("exit code 1")), "{error:?}");

    // Each new path counts at once, without a restart of the server.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(tree.path("engine.sh"), std::fs::Permissions::from_mode(0o755))
        .expect("chmod");
    cluster.set("onyx.engine_path", Some(&tree.path("engine.sh").display().to_string()));
    eventually("the second reason", SOON, || {
        client.text(status).contains("exit code 3").then_some(())
    });
    assert!(cluster.log().contains("I am of another world"));
    cluster.set("onyx.engine_path", Some("/nowhere/engine"));
    eventually("the third reason", SOON, || {
        client.text(status).contains("/nowhere/engine").then_some(())
    });
    let restarts = "SELECT restarts FROM onyx.stat_engine";
    let before: i64 = client.one(restarts);
    std::thread::sleep(Duration::from_secs(2));
    let tries = client.one::<i64>(restarts) - before;
    assert!(tries <= 10, "{tries} tries in two seconds are no backoff");

    // A reload ends the wait: whoever has repaired something does not have to sit it out.
    cluster.set("onyx.engine_path", Some(&install::engine().display().to_string()));
    eventually("a running engine again", Duration::from_secs(5), || {
        (client.text("SELECT state FROM onyx.stat_engine") == "running").then_some(())
    });
    client.run("SELECT onyx.embed('x')");
    eventually("the index rebuilt by itself", SOON, || {
        (client.text("SELECT DISTINCT state FROM onyx.stat_index") == "ready").then_some(())
    });
    assert!(client.explain("SELECT id FROM t ORDER BY v <-> '[5000,0,0]' LIMIT 2").contains("t_v"));
    assert_eq!(
        client.column::<i32>("SELECT id FROM t ORDER BY v <-> '[5000,0,0]' LIMIT 2"),
        [5000, 2000]
    );
}

#[test]
fn settings_reach_the_running_engine() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let pid = cluster.wait_for_engine();
    let sql = "SELECT skipped->>'too_large' FROM onyx.ingest_file('r', 'a.py', repeat('x = 1' || chr(10), 1000))";
    assert_eq!(client.text(sql), "");
    client.run("SELECT onyx.forget('r')");
    cluster.set("onyx.max_file_size", Some("2kB"));
    eventually("the new limit", SOON, || {
        let found = client.text(sql) == "1";
        client.run("SELECT onyx.forget('r')");
        found.then_some(())
    });
    cluster.set("onyx.embed_threads", Some("1"));
    client.run("SELECT onyx.embed('with one thread')");
    assert_eq!(cluster.wait_for_engine(), pid, "no restart was needed");
}

/// Whoever is not the server's user can neither enter the socket's directory nor talk through it, and no backend
/// talks to another user's process. The second half needs a test that runs as root.
#[test]
fn only_the_servers_user_talks_through_the_socket() {
    let cluster = Cluster::ready();
    cluster.wait_for_engine();
    let socket = cluster.data().join("pgsql_tmp_onyx/engine.sock");
    let mode = |path: &Path| fs::metadata(path).expect("its mode").permissions().mode() & 0o7777;
    assert_eq!(mode(&cluster.data().join("pgsql_tmp_onyx")), 0o700);
    assert_eq!(mode(&socket), 0o600);
    if !install::is_root() {
        return;
    }
    // Root gets through every mode, but is not whom the engine serves.
    let mut stream = UnixStream::connect(&socket).expect("root connects");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    assert_eq!(stream.read(&mut [0; 1]).expect("the end, at once"), 0);
    assert!(cluster.log().contains("refused a connection of another user"), "{}", cluster.log());
    // A session that has a connection would go on with it.
    cluster.disable_engine();
    let _ = fs::remove_file(&socket);
    let _listener = UnixListener::bind(&socket).expect("a listener of root's");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("open to all");
    let error = cluster.connect().error("SELECT onyx.embed('x')");
    let detail = error.detail().unwrap_or_default();
    assert!(detail.contains("belongs to another user"), "{error:?}");
}

#[test]
fn a_server_whose_engine_does_not_start_ends_like_any_other() {
    let cluster = Cluster::start(Config::new());
    let mut client = cluster.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    cluster.wait_for_engine();
    cluster.disable_engine();
    // The supervisor rests between two tries.
    let rest = || std::thread::sleep(Duration::from_secs(1));
    rest();
    drop(client);
    cluster.stop();
    cluster.start_again();
    rest();
    cluster.kill_postmaster();
    eventually("the end of its processes", Duration::from_secs(10), || {
        cluster.processes().is_empty().then_some(())
    });
    cluster.start_again();
    cluster.enable_engine();
}
