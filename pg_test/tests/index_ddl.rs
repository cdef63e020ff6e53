//! Protects indexes through everything that is done to tables and indexes: what PostgreSQL's own access
//! methods survive, this one does.

use std::sync::OnceLock;
use std::time::Duration;

use onyx_pg_test::nearest::{assert_complete, nearest, random_table};
use onyx_pg_test::{Cluster, Config, Sql, eventually};
use postgres::Client;

/// One server for all tests of this file, a database each. None of them breaks it.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new().set("allow_in_place_tablespaces", "on")))
}

fn prepared(name: &str) -> Client {
    let mut client = cluster().database(name);
    random_table(&mut client, "t", 3, 1_000, 0.51);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    client
}

#[track_caller]
fn wait_until_ready(client: &mut Client, index: &str) {
    let state = format!("SELECT state FROM onyx.stat_index WHERE indexname = '{index}'");
    eventually("the index ready", Duration::from_secs(30), || {
        (client.text(&state) == "ready").then_some(())
    });
}

const NEAR: &str = "SELECT id FROM t ORDER BY v <-> '[7,7,7]' LIMIT 1";

#[test]
fn pages_moved_to_another_tablespace_are_rebuilt() {
    let mut client = prepared("tablespace");
    client.run("CREATE TABLESPACE elsewhere LOCATION ''");
    for (round, ddl) in [
        "ALTER INDEX t_v SET TABLESPACE elsewhere",
        "ALTER INDEX t_v SET TABLESPACE pg_default",
        "ALTER TABLE t SET TABLESPACE elsewhere",
        "REINDEX (TABLESPACE elsewhere) INDEX t_v",
        "REINDEX (TABLESPACE pg_default) INDEX CONCURRENTLY t_v",
    ]
    .into_iter()
    .enumerate()
    {
        println!("{ddl}");
        client.run(ddl);
        // Right at once, whether or not the rebuild has come by.
        client.run(&format!("INSERT INTO t VALUES ({}, '[7,7,7]')", 2_000 + round));
        assert!(client.one::<i32>(NEAR) >= 2_000, "{ddl}");
        client.run("DELETE FROM t WHERE id >= 2000");
        wait_until_ready(&mut client, "t_v");
        assert_complete(&mut client, "t", "t_v");
    }
    // The copied generation is not believed: a rollback gives back the old one.
    client.run(
        "BEGIN; ALTER INDEX t_v SET TABLESPACE elsewhere; INSERT INTO t VALUES (3000, '[7,7,7]')",
    );
    assert_eq!(client.one::<i32>(NEAR), 3_000);
    client.run("ROLLBACK");
    wait_until_ready(&mut client, "t_v");
    assert_complete(&mut client, "t", "t_v");
    client.run("ALTER TABLE t SET TABLESPACE pg_default");
    wait_until_ready(&mut client, "t_v");
    client.run("DROP TABLESPACE elsewhere");
}

#[test]
fn tables_become_unlogged_and_logged_again() {
    let mut client = prepared("logged");
    for ddl in ["ALTER TABLE t SET UNLOGGED", "ALTER TABLE t SET LOGGED"] {
        client.run(ddl);
        assert_complete(&mut client, "t", "t_v");
        client.run("INSERT INTO t VALUES (2000, '[7,7,7]')");
        assert_eq!(client.one::<i32>(NEAR), 2_000);
        client.run("DELETE FROM t WHERE id = 2000");
        client.run("VACUUM t");
        assert_complete(&mut client, "t", "t_v");
    }
}

#[test]
fn a_column_changes_its_type() {
    let mut client = prepared("column_type");
    client.run("ALTER TABLE t ALTER v TYPE vector(2) USING subvector(v, 1, 2)");
    let found = nearest(&mut client, "t", "v <-> '[0.1,0.2]'", 10, false);
    assert_eq!(found, nearest(&mut client, "t", "v <-> '[0.1,0.2]'", 10, true));
    assert_eq!(client.text("SELECT * FROM onyx.check_index('t_v')"), "");
    // As for pgvector's own index: its operator class is not of that type.
    let error = client.error("ALTER TABLE t ALTER v TYPE halfvec(2)");
    assert_eq!(error.code().code(), "42804", "{error:?}");
    // Nothing is rewritten for it.
    client.run("ALTER TABLE t ALTER v TYPE vector");
    assert_eq!(nearest(&mut client, "t", "v <-> '[0.1,0.2]'", 10, false), found);
    assert_eq!(client.text("SELECT * FROM onyx.check_index('t_v')"), "");
    client.run(
        "ALTER TABLE t RENAME v TO w; ALTER INDEX t_v RENAME TO t_w; ALTER TABLE t RENAME TO u",
    );
    assert_eq!(nearest(&mut client, "u", "w <-> '[0.1,0.2]'", 10, false).len(), 10);
    client.run("ALTER TABLE u DROP COLUMN w");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.stat_index WHERE tablename = 'u'"), 0);
}

/// ALTER TABLE takes the number of dimensions from a column and keeps its index, of which a build asks for it.
#[test]
fn a_column_that_loses_its_dimensions_keeps_its_index() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    random_table(&mut client, "t", 3, 1_000, 0.52);
    client.run(
        "CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops); ALTER TABLE t ALTER v TYPE vector",
    );
    let refused = |client: &mut Client| {
        let error = client.error("INSERT INTO t VALUES (5000, '[1,2]')");
        assert_eq!(error.code().code(), "22000", "{error:?}");
        assert!(error.message().contains("expected 3 dimensions, not 2"), "{error:?}");
    };
    refused(&mut client);
    client.run("INSERT INTO t VALUES (5001, '[7,7,7]')");
    assert_complete(&mut client, "t", "t_v");
    // Stale, it takes no entries, and must not be given what would keep it so.
    cluster.disable_engine();
    client.run("INSERT INTO t VALUES (5002, '[8,8,8]')");
    refused(&mut client);
    cluster.enable_engine();
    wait_until_ready(&mut client, "t_v");
    assert_complete(&mut client, "t", "t_v");
    assert_eq!(client.text("SELECT * FROM onyx.check_index('t_v')"), "");
    // A build by hand has no dimensions to go by, as for pgvector's own indexes.
    let error = client.error("REINDEX INDEX t_v");
    assert!(error.message().contains("column does not have dimensions"), "{error:?}");
}

#[test]
fn what_is_undone_was_never_done() {
    let mut client = prepared("undone");
    client.run(
        "BEGIN; SAVEPOINT s; DROP INDEX t_v; ROLLBACK TO s; INSERT INTO t VALUES (2000, '[7,7,7]')",
    );
    assert!(client.explain(NEAR).contains("t_v"));
    assert_eq!(client.one::<i32>(NEAR), 2_000);
    client.run("COMMIT");
    assert_complete(&mut client, "t", "t_v");
    // Dropped for good by an inner transaction whose outer one is undone.
    client.run("BEGIN; SAVEPOINT s; DROP TABLE t; RELEASE s; ROLLBACK");
    assert_complete(&mut client, "t", "t_v");
    client.run(
        "BEGIN; SAVEPOINT a; REINDEX INDEX t_v; INSERT INTO t VALUES (2001, '[8,8,8]'); ROLLBACK TO a;
         SAVEPOINT b; TRUNCATE t; INSERT INTO t VALUES (2002, '[9,9,9]'); ROLLBACK TO b; COMMIT",
    );
    assert_complete(&mut client, "t", "t_v");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM t"), 1_001);
    client.run(
        "BEGIN; SAVEPOINT a; CREATE INDEX other ON t USING onyx_hnsw (v vector_ip_ops);
         SAVEPOINT b; INSERT INTO t VALUES (2003, '[8,8,8]'); ROLLBACK TO b; RELEASE a; COMMIT",
    );
    assert_eq!(client.text("SELECT * FROM onyx.check_index('other')"), "");
    // The sweep takes what these left, and nothing else.
    client.run("SELECT onyx.sweep()");
    assert_complete(&mut client, "t", "t_v");
    assert_eq!(client.text("SELECT * FROM onyx.check_index('other')"), "");
}

#[test]
fn indexes_in_prepared_transactions() {
    let mut client = prepared("two_phase_ddl");
    let mut other = cluster().connect_to("two_phase_ddl");
    client.run("BEGIN; DROP INDEX t_v; PREPARE TRANSACTION 'drop'");
    other.run("ROLLBACK PREPARED 'drop'");
    other.run("SELECT onyx.sweep()");
    assert_complete(&mut client, "t", "t_v");

    // A generation whose transaction is prepared belongs to no index that can be seen yet.
    client.run(
        "CREATE TABLE u AS SELECT * FROM t; BEGIN;
         CREATE INDEX u_v ON u USING onyx_hnsw (v vector_l2_ops);
         INSERT INTO u VALUES (2000, '[7,7,7]'); PREPARE TRANSACTION 'create'",
    );
    assert_eq!(other.one::<i64>("SELECT onyx.sweep()"), 0);
    other.run("COMMIT PREPARED 'create'");
    other.run("SELECT onyx.sweep(); ANALYZE u");
    assert_complete(&mut other, "u", "u_v");
    assert_eq!(nearest(&mut other, "u", "v <-> '[7,7,7]'", 1, false)[0].0, 2_000);

    client.run("BEGIN; DROP INDEX t_v; PREPARE TRANSACTION 'drop'");
    client.run("COMMIT PREPARED 'drop'");
    assert_eq!(
        client.one::<i64>("SELECT count(*) FROM onyx.stat_index WHERE indexname = 't_v'"),
        0
    );
}

#[test]
fn cursors_outlive_their_transaction_and_scans_are_shown_and_counted() {
    let mut client = prepared("shown");
    let exact = nearest(&mut client, "t", "v <-> '[0.5,0.5,0.5]'", 100, true);
    client.run("SET enable_seqscan = off; SET enable_sort = off");
    let exact: Vec<i32> = exact.into_iter().map(|row| row.0).collect();
    client.run("SET onyx.ef_search = 400");
    client.run("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY v <-> '[0.5,0.5,0.5]' LIMIT 100");
    assert_eq!(client.column::<i32>("FETCH 3 FROM c"), exact[..3]);
    client.run("COMMIT; DELETE FROM t WHERE id % 2 = 0");
    assert_eq!(client.column::<i32>("FETCH ALL FROM c"), exact[3..]);
    client.run("CLOSE c");

    let plan =
        client.text(&format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {NEAR}"));
    for part in ["Index Scan using t_v on t", "Order By: (v <-> '[7,7,7]'::vector)"] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    if onyx_pg_test::install::major_version() >= 18 {
        assert!(plan.contains("Index Searches: 1"), "{plan}");
    }
    let count =
        "SELECT idx_scan, idx_tup_read > 0 FROM pg_stat_user_indexes WHERE indexrelname = 't_v'";
    client.run("SELECT pg_stat_force_next_flush()");
    client.run("SELECT pg_stat_reset()");
    client.run(NEAR);
    client.run(NEAR);
    client.run("SELECT pg_stat_force_next_flush()");
    assert_eq!(client.text(count), "2|t");
}

#[test]
fn a_build_shows_its_progress() {
    let mut client = cluster().database("progress");
    random_table(&mut client, "t", 64, 12_000, 0.52);
    let mut watcher = cluster().connect_to("progress");
    let (command, most) = std::thread::scope(|scope| {
        let build = scope.spawn(|| {
            client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops) WITH (ef_construction = 400)");
        });
        let (mut command, mut most) = (String::new(), 0);
        while !build.is_finished() {
            let sql = "SELECT command, tuples_done, tuples_total FROM pg_stat_progress_create_index
                       WHERE datname = current_database() AND command = 'CREATE INDEX'";
            for row in watcher.query(sql, &[]).expect("progress") {
                let (done, total): (i64, i64) = (row.get(1), row.get(2));
                assert!(done <= total, "{done} of {total}");
                command = row.get(0);
                most = most.max(done);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        build.join().expect("the build");
        (command, most)
    });
    assert_eq!(command, "CREATE INDEX");
    assert!((1..=12_000).contains(&most), "{most}");
}

#[test]
fn partitions_come_and_go() {
    let mut client = cluster().database("partition_ddl");
    client.run(
        "CREATE TABLE t (id int, v vector(3)) PARTITION BY RANGE (id);
         CREATE TABLE t0 PARTITION OF t FOR VALUES FROM (0) TO (1000);
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops) WITH (m = 8);
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1000) TO (2000);
         CREATE TABLE late (id int, v vector(3)); SELECT setseed(0.53);
         INSERT INTO late SELECT i, ARRAY[random(), random(), random()]::vector FROM generate_series(2000, 2999) i;
         INSERT INTO t SELECT i, ARRAY[random(), random(), random()]::vector FROM generate_series(0, 1999) i;
         ALTER TABLE t ATTACH PARTITION late FOR VALUES FROM (2000) TO (3000); ANALYZE t",
    );
    let order = "v <-> '[0.5,0.5,0.5]'";
    client.run("SET onyx.ef_search = 400");
    let equal = |client: &mut Client| {
        let found = nearest(client, "t", order, 30, false);
        assert_eq!(found, nearest(client, "t", order, 30, true));
    };
    equal(&mut client);
    client.run("ALTER TABLE t DETACH PARTITION t1");
    equal(&mut client);
    client.run("DROP TABLE t1; TRUNCATE t0; UPDATE t SET id = 5 WHERE id = 2500; ANALYZE t");
    equal(&mut client);
    for index in ["t0_v_idx", "late_v_idx"] {
        assert_eq!(client.text(&format!("SELECT * FROM onyx.check_index('{index}')")), "");
    }
    let error = client.error("SELECT onyx.prewarm('t_v')");
    assert_eq!(error.code().code(), "42809", "a partitioned index has no content: {error:?}");
}

#[test]
fn an_index_being_built_is_not_called_damaged() {
    let mut client = prepared("being_built");
    let mut holder = cluster().connect_to("being_built");
    holder.run("BEGIN; INSERT INTO t VALUES (2000, '[1,1,1]')");
    std::thread::scope(|scope| {
        let builder = scope.spawn(|| {
            let mut builder = cluster().connect_to("being_built");
            builder.run("REINDEX INDEX CONCURRENTLY t_v");
        });
        let state = "SELECT state, reason FROM onyx.stat_index WHERE indexname = 't_v_ccnew'";
        // It waits for the open transaction before it fills the new index.
        let row = eventually("the new index", Duration::from_secs(20), || {
            Some(client.text(state)).filter(|row| !row.is_empty())
        });
        let seen = std::panic::catch_unwind(|| assert!(row.starts_with("building|"), "{row}"));
        holder.run("COMMIT");
        builder.join().expect("the rebuild");
        if let Err(panic) = seen {
            std::panic::resume_unwind(panic);
        }
    });
    assert_complete(&mut client, "t", "t_v");
}
