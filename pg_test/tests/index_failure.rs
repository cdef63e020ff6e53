//! Protects answers and writes while the engine is away, and after crashes: exact by other means, never
//! wrong, and back to the index without anybody's help.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onyx_pg_test::nearest::{assert_complete, assert_ordered, nearest, random_table};
use onyx_pg_test::process::{self, Signal, Stopped};
use onyx_pg_test::{Cluster, Config, Sql, eventually};
use postgres::Client;

const NEAR: &str = "SELECT id FROM t ORDER BY v <-> '[7,7,7]' LIMIT 3";

fn prepared(config: Config) -> Cluster {
    let cluster = Cluster::start(config);
    let mut client = cluster.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    onyx_pg_test::cluster::wait_for_engine(&mut client);
    random_table(&mut client, "t", 3, 2_000, 0.5);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    cluster
}

fn state(client: &mut Client) -> String {
    client.text("SELECT state FROM onyx.stat_index WHERE indexname = 't_v'")
}

#[track_caller]
fn wait_until_ready(client: &mut Client) {
    eventually("the index ready", Duration::from_secs(30), || {
        (state(client) == "ready").then_some(())
    });
}

#[test]
fn without_the_engine_queries_are_exact_and_writes_go_on_and_the_index_comes_back() {
    let cluster = prepared(Config::new());
    let mut client = cluster.connect();
    assert!(client.explain(NEAR).contains("t_v"));
    cluster.disable_engine();

    // Nothing was written yet: only absent.
    assert_eq!(state(&mut client), "engine down");
    let plan = client.explain(NEAR);
    assert!(!plan.contains("t_v") && plan.contains("Seq Scan"), "{plan}");
    client.run("SET enable_seqscan = off");
    assert!(!client.explain(NEAR).contains("t_v"), "not even when forced");
    client.run("RESET enable_seqscan");

    client.run(
        "INSERT INTO t VALUES (5001, '[7,7,7]'), (5002, '[6.9,7,7]');
         UPDATE t SET v = '[7,7,6.8]' WHERE id = 5; DELETE FROM t WHERE id = 6",
    );
    client.run("BEGIN; INSERT INTO t VALUES (5003, '[7,7,7]'); SAVEPOINT s;
                INSERT INTO t VALUES (5004, '[7,7,7]'); ROLLBACK TO s; DELETE FROM t WHERE id = 5003; COMMIT");
    client.run("VACUUM t");
    assert_eq!(client.column::<i32>(NEAR), [5001, 5002, 5]);
    assert_eq!(state(&mut client), "stale");
    assert_ne!(client.text("SELECT reason FROM onyx.stat_index WHERE indexname = 't_v'"), "");

    cluster.enable_engine();
    wait_until_ready(&mut client);
    assert!(client.explain(NEAR).contains("t_v"));
    assert_eq!(client.column::<i32>(NEAR), [5001, 5002, 5]);
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn an_engine_that_only_rested_leaves_the_index_as_it_was() {
    let cluster = prepared(Config::new());
    let mut client = cluster.connect();
    let generation = "SELECT generation FROM onyx.stat_index WHERE indexname = 't_v'";
    let before = client.text(generation);
    cluster.disable_engine();
    assert_eq!(client.column::<i32>(NEAR).len(), 3);
    cluster.enable_engine();
    wait_until_ready(&mut client);
    assert_eq!(client.text(generation), before, "rebuilt for nothing");
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn on_engine_failure_error_makes_writes_fail() {
    let cluster = prepared(Config::new());
    let mut client = cluster.connect();
    cluster.disable_engine();
    client.run("SET onyx.on_engine_failure = error");
    for sql in [
        "INSERT INTO t VALUES (5001, '[7,7,7]')",
        "BEGIN; INSERT INTO t VALUES (5001, '[7,7,7]'); COMMIT",
        "UPDATE t SET v = '[7,7,7]' WHERE id = 1",
        "CREATE INDEX other ON t USING onyx_hnsw (v vector_ip_ops)",
    ] {
        let error = client.error(sql);
        assert_eq!(error.code().code(), "58000", "{sql}: {error:?}");
        client.run("ROLLBACK");
    }
    assert_eq!(client.one::<i64>("SELECT count(*) FROM t WHERE v = '[7,7,7]'"), 0);
    cluster.enable_engine();
    wait_until_ready(&mut client);
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn a_plan_from_before_the_failure_still_answers_exactly() {
    let cluster = prepared(Config::new());
    let mut client = cluster.connect();
    client.run(
        "SET plan_cache_mode = force_generic_plan;
         PREPARE p (vector) AS SELECT id FROM t ORDER BY v <-> $1 LIMIT 10;
         PREPARE every (vector) AS SELECT id FROM t ORDER BY v <-> $1",
    );
    let exact = nearest(&mut client, "t", "v <-> '[0.3,0.3,0.3]'", 10, true);
    let exact = exact.iter().map(|r| r.0.to_string()).collect::<Vec<_>>().join("\n");
    client.run("SET onyx.ef_search = 500");
    assert_eq!(client.text("EXECUTE p('[0.3,0.3,0.3]')"), exact);
    client.text("EXECUTE every('[0.3,0.3,0.3]')");

    // Killed: it falls back to the heap.
    cluster.disable_engine();
    client.run("SET jit = off");
    let plan = client
        .text("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE p('[0.3,0.3,0.3]')");
    println!("{plan}");
    assert_eq!(client.text("EXECUTE p('[0.3,0.3,0.3]')"), exact);
    let all = client.text("EXECUTE every('[0.3,0.3,0.3]')");
    let mut ids: Vec<&str> = all.lines().collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2_000);
    cluster.enable_engine();
    wait_until_ready(&mut client);

    // Hanging: the call can be cancelled, and answers when the engine goes on.
    assert_eq!(client.text("EXECUTE p('[0.3,0.3,0.3]')"), exact);
    let pid = cluster.wait_for_engine();
    {
        let _stopped = Stopped::new(pid);
        client.run("SET statement_timeout = '300ms'");
        assert_eq!(client.error("EXECUTE p('[0.3,0.3,0.3]')").code().code(), "57014");
    }
    client.run("SET statement_timeout = '30s'");
    assert_eq!(client.text("EXECUTE p('[0.3,0.3,0.3]')"), exact);
}

#[test]
fn a_scan_that_loses_its_engine_midway_returns_the_rest() {
    let cluster = prepared(Config::new());
    let mut client = cluster.connect();
    let order = "v <-> '[0.1,0.1,0.1]'";
    client.run("SET enable_seqscan = off; SET enable_sort = off; BEGIN");
    client.run(&format!("DECLARE c CURSOR FOR SELECT id, {order} FROM t ORDER BY {order}"));
    let fetch = |client: &mut Client, count: &str| -> Vec<(i32, f64)> {
        let sql = format!("FETCH {count} FROM c");
        client.query(&sql, &[]).expect(&sql).iter().map(|r| (r.get(0), r.get(1))).collect()
    };
    let mut rows = fetch(&mut client, "100");
    cluster.disable_engine();
    rows.extend(fetch(&mut client, "ALL"));
    client.run("COMMIT");
    assert_ordered(&rows);
    let ids: std::collections::HashSet<i32> = rows.iter().map(|r| r.0).collect();
    assert_eq!(ids.len(), rows.len(), "a row came twice");
    // What the approximate part missed before the failure stays missed.
    assert!(rows.len() >= 1_990, "{} of 2000 rows", rows.len());
}

#[test]
fn after_a_crash_committed_rows_are_found_and_uncommitted_ones_are_not() {
    let cluster = prepared(Config::new().durable());
    for round in 0..3 {
        let mut client = cluster.connect();
        let base = 10_000 * (round + 1);
        client.run(&format!(
            "INSERT INTO t SELECT {base} + i, ARRAY[3 + {round}, i / 100.0, 0]::vector FROM generate_series(1, 300) i"
        ));
        client.run(&format!("DELETE FROM t WHERE id % 7 = {round}"));
        client.run("VACUUM t");
        client.run(&format!("INSERT INTO t VALUES ({base} + 900, '[7,7,7]')"));
        // A transaction whose entries are in the store, not its commit in the log.
        let mut open = cluster.connect();
        open.run(&format!(
            "BEGIN; INSERT INTO t SELECT {base} + 1000 + i, '[8,8,8]' FROM generate_series(1, 1500) i;
             SELECT id FROM t ORDER BY v <-> '[8,8,8]' LIMIT 1"
        ));
        cluster.kill_postmaster();
        drop((client, open));
        cluster.start_again();
        cluster.wait_for_engine();

        let mut client = cluster.connect();
        assert_eq!(client.one::<i64>("SELECT count(*) FROM t WHERE v = '[8,8,8]'"), 0);
        // Tuple ids of the lost rows are taken by new ones at once.
        client.run(&format!(
            "INSERT INTO t SELECT {base} + 3000 + i, ARRAY[-3 - {round}, i / 100.0, 0]::vector FROM generate_series(1, 300) i"
        ));
        wait_until_ready(&mut client);
        assert_eq!(
            client.one::<i32>("SELECT id FROM t ORDER BY v <-> '[7,7,7]', id DESC LIMIT 1"),
            base + 900
        );
        assert_complete(&mut client, "t", "t_v");
        client.run("VACUUM t");
        assert_complete(&mut client, "t", "t_v");
    }
}

#[test]
fn a_crash_counts_although_the_server_crashes_again_before_an_engine_heard_of_it() {
    // The log is written at commits only, and nobody but this test takes places in the table.
    let config = Config::new().durable();
    let config = config.set("wal_writer_delay", "10s").set("bgwriter_lru_maxpages", "0");
    let cluster = prepared(config);
    let mut client = cluster.connect();
    wait_until_ready(&mut client);
    client.run("CHECKPOINT");
    let generation = "SELECT generation FROM onyx.stat_index WHERE indexname = 't_v'";
    let built = client.text(generation);
    let mut open = cluster.connect();
    open.run(
        "BEGIN; INSERT INTO t SELECT 10000 + i, '[8,8,8]' FROM generate_series(1, 1500) i;
         SELECT id FROM t ORDER BY v <-> '[8,8,8]' LIMIT 1",
    );
    let stamped = client.text("SELECT pg_current_wal_insert_lsn()");
    cluster.kill_postmaster();
    drop((client, open));

    // A life of the server without an engine, in which other rows take the places, none of them in the index.
    cluster.configure("onyx.engine_path", "/nowhere/onyx-engine");
    cluster.start_again();
    let mut client = cluster.connect();
    let lost = format!("SELECT pg_current_wal_insert_lsn() < '{stamped}'");
    assert!(client.one::<bool>(&lost), "the crash lost nothing");
    client.run("VACUUM t");
    client.run("INSERT INTO t SELECT 20000 + i, NULL FROM generate_series(1, 3000) i");
    let passed = format!("SELECT pg_current_wal_insert_lsn() > '{stamped}'");
    assert!(client.one::<bool>(&passed), "the log has not passed what was lost");
    cluster.kill_postmaster();
    drop(client);

    cluster.configure("onyx.engine_path", "");
    cluster.start_again();
    cluster.wait_for_engine();
    let mut client = cluster.connect();
    wait_until_ready(&mut client);
    assert_eq!(client.text(generation), built, "it was built anew");
    let nearest = "SELECT count(*) FROM (SELECT v FROM t ORDER BY v <-> '[8,8,8]' LIMIT 50) near WHERE v IS NULL";
    assert!(client.explain(nearest).contains("t_v"));
    assert_eq!(client.one::<i64>(nearest), 0);
    assert_eq!(client.text("SELECT * FROM onyx.check_index('t_v')"), "");
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn a_crash_in_the_middle_of_writes_leaves_index_and_table_equal() {
    let cluster = prepared(Config::new().durable());
    for round in 0..3 {
        let stop = AtomicBool::new(false);
        let committed = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let (cluster, stop) = (&cluster, &stop);
                    scope.spawn(move || {
                        let mut client = cluster.connect();
                        let mut last = 0;
                        for i in 0.. {
                            let id = 100_000 * (round + 1) + 10_000 * writer + i;
                            let sql = format!(
                                "INSERT INTO t VALUES ({id}, ARRAY[random(), random(), random()]::vector)"
                            );
                            match client.batch_execute(&sql) {
                                Ok(()) => last = id,
                                Err(_) if stop.load(Ordering::Relaxed) => return last,
                                Err(e) => panic!("{}", onyx_pg_test::sql::describe(&e)),
                            }
                        }
                        last
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(400));
            stop.store(true, Ordering::Relaxed);
            cluster.kill_postmaster();
            writers.into_iter().map(|w| w.join().expect("a writer")).collect::<Vec<i32>>()
        });
        cluster.start_again();
        cluster.wait_for_engine();
        let mut client = cluster.connect();
        wait_until_ready(&mut client);
        // A writer that was stopped before its first commit has nothing to lose.
        for id in committed.into_iter().filter(|id| *id != 0) {
            assert_eq!(
                client.one::<i64>(&format!("SELECT count(*) FROM t WHERE id = {id}")),
                1,
                "a committed row is lost"
            );
        }
        assert_complete(&mut client, "t", "t_v");
    }
}

#[test]
fn unlogged_tables_are_empty_after_a_crash_and_their_index_works() {
    let cluster = prepared(Config::new());
    let mut client = cluster.connect();
    client.run(
        "CREATE UNLOGGED TABLE u (id int, v vector(3));
         INSERT INTO u SELECT i, ARRAY[i, 0, 0]::vector FROM generate_series(1, 500) i;
         CREATE INDEX u_v ON u USING onyx_hnsw (v vector_l2_ops)",
    );
    assert_complete(&mut client, "u", "u_v");
    drop(client);
    cluster.kill_postmaster();
    cluster.start_again();
    cluster.wait_for_engine();
    let mut client = cluster.connect();
    assert_eq!(client.one::<i64>("SELECT count(*) FROM u"), 0);
    let sql = "SELECT id FROM u ORDER BY v <-> '[40,0,0]' LIMIT 3";
    assert_eq!(client.column::<i32>(sql), []);
    client.run("INSERT INTO u SELECT i, ARRAY[i, 1, 0]::vector FROM generate_series(1, 50) i");
    assert_eq!(client.column::<i32>(sql), [40, 39, 41]);
    assert_eq!(client.text("SELECT state FROM onyx.stat_index WHERE indexname = 'u_v'"), "ready");
    assert_complete(&mut client, "u", "u_v");
    client.run("ALTER TABLE u SET LOGGED");
    assert_complete(&mut client, "u", "u_v");
}

#[test]
fn a_storm_of_engine_kills_costs_no_row_and_no_session() {
    let cluster = prepared(Config::new());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (cluster, stop) = (&cluster, &stop);
            scope.spawn(move || {
                let mut client = cluster.connect();
                let mut id = 100_000 * (writer + 1);
                while !stop.load(Ordering::Relaxed) {
                    id += 1;
                    // Neither writes nor exact answers need the engine.
                    client.run(&format!(
                        "INSERT INTO t VALUES ({id}, '[{writer}5,{},9]')",
                        id % 1_000
                    ));
                    let found: i32 = client.one(&format!(
                        "SELECT id FROM t ORDER BY v <-> '[{writer}5,{},9]' LIMIT 1",
                        id % 1_000
                    ));
                    assert_eq!(found % 1_000, id % 1_000, "{found} for {id}");
                }
            });
        }
        let (cluster, stop) = (&cluster, &stop);
        scope.spawn(move || {
            let mut client = cluster.connect();
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                if let Err(e) = client.batch_execute(&format!("SELECT onyx.embed('storm {n}')")) {
                    let error = e.as_db_error().expect("a server's error");
                    assert_eq!(error.code().code(), "58000", "{error:?}");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        scope.spawn(|| {
            let mut client = cluster.connect();
            for _ in 0..8 {
                std::thread::sleep(Duration::from_millis(700));
                if let Some(pid) = client.one::<Option<i32>>("SELECT pid FROM onyx.stat_engine") {
                    process::signal(pid, Signal::KILL);
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    assert!(!cluster.log().contains("terminating any other active server processes"));
    let mut client = cluster.connect();
    let begun = Instant::now();
    cluster.wait_for_engine();
    wait_until_ready(&mut client);
    println!("ready {:?} after the last kill", begun.elapsed());
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn an_index_that_fits_nowhere_is_not_tried_all_the_time_and_comes_when_there_is_room() {
    let cluster = Cluster::start(Config::new().set("onyx.memory_limit", "64MB"));
    let mut client = cluster.connect();
    client.run(
        "CREATE EXTENSION onyx CASCADE;
         CREATE TABLE big (id int, v vector(2000));
         INSERT INTO big SELECT i, array_fill((i / 9500.0)::real, ARRAY[2000])::vector FROM generate_series(1, 9500) i;
         ANALYZE big",
    );
    cluster.wait_for_engine();
    let (mut builder, notices) = cluster.connect_hearing("postgres");
    builder.run(
        "CREATE INDEX big_v ON big USING onyx_hnsw (v vector_l2_ops)
         WITH (m = 2, ef_construction = 4, quantization = none)",
    );
    let warning = notices.take("WARNING").remove(0);
    assert!(warning.message().contains("onyx.memory_limit of 64 MB"), "{warning:?}");
    let near = "SELECT id FROM big ORDER BY v <-> (SELECT v FROM big WHERE id = 77) LIMIT 1";
    assert_eq!(client.one::<i32>(near), 77);
    let reason = "SELECT reason FROM onyx.stat_index WHERE indexname = 'big_v'";
    // The pause has become four seconds by then.
    eventually("four rebuilds in vain", Duration::from_secs(60), || {
        client.text(reason).contains("; 4 rebuilds failed").then_some(())
    });
    let rebuilds = || cluster.log().matches("onyx maintenance rebuilds index public.big_v").count();
    let before = rebuilds();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(rebuilds(), before, "{}", client.text(reason));
    // A setting that is read again may help: it is tried at once.
    cluster.set("onyx.memory_limit", Some("256MB"));
    eventually("the index ready", Duration::from_secs(30), || {
        let state = "SELECT state FROM onyx.stat_index WHERE indexname = 'big_v'";
        (client.text(state) == "ready").then_some(())
    });
    assert_eq!(client.one::<i32>(near), 77);
    assert_eq!(client.text("SELECT * FROM onyx.check_index('big_v')"), "");
}

/// Has the next record of WAL begin a page: behind its header, where nothing is written yet. False when others
/// write too much.
fn end_wal_page(client: &mut postgres::Client) -> bool {
    // The header of a segment's first page.
    const HEADER: i64 = 40;
    let place = "SELECT ((pg_current_wal_insert_lsn() - '0/0') % 8192)::int8";
    (0..100).any(|_| {
        client.run("SELECT pg_switch_wal()");
        client.one::<i64>(place) <= HEADER
    })
}

#[test]
fn a_vacuum_at_the_end_of_a_wal_page_succeeds() {
    let cluster = Cluster::ready();
    let (mut client, mut other) = (cluster.connect(), cluster.connect());
    random_table(&mut client, "t", 3, 500, 0.24);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    client.run("DELETE FROM t WHERE id % 2 = 0");
    client.wait_for_other_snapshots();
    client.run("SET onyx.debug_stop_at = 'vacuum.listed'");
    let pid: i32 = client.one("SELECT pg_backend_pid()");
    std::thread::scope(|scope| {
        let vacuum = scope.spawn(|| client.run("VACUUM t"));
        eventually("a vacuum that stands still", Duration::from_secs(30), || {
            process::is_stopped(pid).then_some(())
        });
        let is_at_end = end_wal_page(&mut other);
        // Before anything can fail: the vacuum is waited for.
        process::signal(pid, Signal::CONT);
        vacuum.join().expect("the vacuum");
        assert!(is_at_end, "no record ended at a page's end");
    });
    assert_complete(&mut other, "t", "t_v");
}
