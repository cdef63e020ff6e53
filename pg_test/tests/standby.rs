//! Protects the engine's life on a server in recovery: a standby answers exactly, embeds, and serves
//! by itself after its promotion.

use std::time::Duration;

use onyx_pg_test::nearest::{assert_complete, random_table};
use onyx_pg_test::{Cluster, Config, Sql, eventually};

#[test]
fn a_standby_answers_and_takes_over() {
    let primary = Cluster::start(Config::new());
    let mut client = primary.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    primary.wait_for_engine();
    random_table(&mut client, "t", 3, 1_000, 0.6);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    client.run("SELECT * FROM onyx.ingest_file('r', 'a.py', 'def parse_cookie(header): return 1')");

    let standby = primary.standby();
    assert!(!standby.store().join("CURRENT").exists() || standby.data() != primary.data());
    let mut there = standby.connect();
    standby.wait_for_engine();
    assert!(there.one::<bool>("SELECT pg_is_in_recovery()"));
    client.run("INSERT INTO t VALUES (5001, '[7,7,7]'); DELETE FROM t WHERE id = 5");
    let lsn: String = client.text("SELECT pg_current_wal_flush_lsn()");
    eventually("the standby's replay", Duration::from_secs(20), || {
        there.one::<bool>(&format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'")).then_some(())
    });
    let near = "SELECT id FROM t ORDER BY v <-> '[7,7,7]' LIMIT 1";
    assert_eq!(there.one::<i32>(near), 5001);
    there.run("SET enable_seqscan = off");
    assert_eq!(there.one::<i32>(near), 5001);
    assert!(there.one::<bool>("SELECT onyx.embed('a text') = onyx.embed('a text')"));
    assert_eq!(there.one::<i32>("SELECT vector_dims(onyx.embed('another text'))"), 384);
    let state = "SELECT state FROM onyx.stat_index WHERE indexname = 't_v'";
    assert_ne!(there.text(state), "ready", "the standby's store has no generation");
    assert!(
        there
            .text("SELECT qualified_name FROM onyx.search('parse cookie', 1)")
            .ends_with("parse_cookie")
    );
    let error = there.error("SELECT * FROM onyx.ingest_file('r', 'b.py', 'x = 1')");
    assert_eq!(error.code().code(), "25006", "{error:?}");

    drop(client);
    primary.stop();
    assert!(there.one::<bool>("SELECT pg_promote()"));
    there.run("INSERT INTO t VALUES (5002, '[8,8,8]')");
    eventually("the index built after the promotion", Duration::from_secs(30), || {
        (there.text(state) == "ready").then_some(())
    });
    there.run("RESET enable_seqscan");
    assert_complete(&mut there, "t", "t_v");
    there.run("SELECT * FROM onyx.ingest_file('r', 'b.py', 'def bake_bread(): pass')");
    there.run("SELECT onyx.wait_for_embeddings()");
    assert!(
        there
            .text("SELECT qualified_name FROM onyx.search('make a loaf', 1)")
            .ends_with("bake_bread")
    );
}

#[test]
fn a_base_backup_leaves_the_store_out() {
    let primary = Cluster::ready();
    let mut client = primary.connect();
    random_table(&mut client, "t", 3, 500, 0.7);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    assert!(primary.store().exists());
    let copy = primary.base_backup();
    assert!(!copy.store().exists());
    copy.start_again();
    let mut there = copy.connect();
    eventually("the copy's index", Duration::from_secs(30), || {
        (there.text("SELECT DISTINCT state FROM onyx.stat_index") == "ready").then_some(())
    });
    assert_complete(&mut there, "t", "t_v");
    // The original is not disturbed by its copy.
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn an_index_follows_a_subscription() {
    let config = Config::new().set("wal_level", "logical");
    // Small, so that a transaction is sent before its end, and a worker of its own applies it.
    let cluster = Cluster::start(config.set("logical_decoding_work_mem", "64kB"));
    let mut there = cluster.database("publisher");
    random_table(&mut there, "t", 3, 500, 0.3);
    there.run("CREATE PUBLICATION p FOR TABLE t");
    there.run("SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
    let mut here = cluster.database("subscriber");
    here.run(
        "CREATE TABLE t (id integer PRIMARY KEY, v vector(3));
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)",
    );
    let host = cluster.host().display();
    here.run(&format!(
        "CREATE SUBSCRIPTION s CONNECTION 'host={host} user=postgres dbname=publisher' PUBLICATION p
         WITH (create_slot = false, slot_name = 's', streaming = 'parallel')"
    ));
    let all = |client: &mut postgres::Client| {
        client.text("SELECT count(*), sum(id), sum(v <-> '[1,2,3]')::numeric(20, 3) FROM t")
    };
    let mut arrived = |there: &mut postgres::Client| {
        let sent = all(there);
        eventually("the subscriber to have all", Duration::from_secs(60), || {
            (all(&mut here) == sent).then_some(())
        });
        eventually("the index ready", Duration::from_secs(30), || {
            let state = "SELECT state FROM onyx.stat_index WHERE indexname = 't_v'";
            (here.text(state) == "ready").then_some(())
        });
        assert_complete(&mut here, "t", "t_v");
    };
    arrived(&mut there);
    there.run("INSERT INTO t VALUES (5001, '[7,7,7]'); DELETE FROM t WHERE id % 5 = 0");
    there.run("UPDATE t SET v = v + '[0.1,0,0]' WHERE id % 7 = 0");
    arrived(&mut there);
    // Streamed, with a part that is undone, and one that is not there in the end.
    let rows = |from: u32| {
        format!(
            "INSERT INTO t SELECT i, ARRAY[i % 97, i % 89, i % 83]::vector
             FROM generate_series({from}, {from} + 4999) i"
        )
    };
    there.run(&format!(
        "BEGIN; {}; SAVEPOINT a; {}; ROLLBACK TO a; DELETE FROM t WHERE id < 300; COMMIT",
        rows(10_000),
        rows(20_000)
    ));
    there.run(&format!("BEGIN; {}; ROLLBACK", rows(30_000)));
    arrived(&mut there);
    drop(there);
    cluster.connect_to("subscriber").run("DROP SUBSCRIPTION s");
}
