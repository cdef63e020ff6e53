//! Protects databases that pg_upgrade takes from one PostgreSQL to the next: answers are right from the
//! first moment, and indexes come back by themselves, since the store stays behind.
//!
//! ONYX_NEW_PG_CONFIG names the newer server, with Onyx and pgvector installed; the older one is the
//! server under test.

use std::path::PathBuf;
use std::time::Duration;

use onyx_pg_test::nearest::{assert_complete, random_table};
use onyx_pg_test::{Cluster, Config, Sql, eventually, install};

#[test]
fn smoke_pg_upgrade_keeps_indexes() {
    let Some(new) = std::env::var_os("ONYX_NEW_PG_CONFIG") else {
        println!("SKIPPED: ONYX_NEW_PG_CONFIG does not name a newer server");
        return;
    };
    let old = Cluster::start(Config::new().set("max_prepared_transactions", "0"));
    let mut client = old.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    old.wait_for_engine();
    random_table(&mut client, "t", 3, 1_500, 0.71);
    client.run(
        "INSERT INTO t VALUES (5001, '[7,7,7]');
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops) WITH (quantization = none);
         SELECT * FROM onyx.ingest_file('r', 'a.py', 'def parse_cookie(header): return 1')",
    );
    assert_complete(&mut client, "t", "t_v");
    let bin = install::ask_of(&PathBuf::from(&new), "--bindir");
    drop(client);
    old.stop();
    let upgraded = old.upgrade(&bin);
    upgraded.start_again();
    let mut client = upgraded.connect();
    let version: i32 = client.one("SELECT current_setting('server_version_num')::int / 10000");
    assert!(version > install::major_version() as i32, "{version}");
    let near = "SELECT id FROM t ORDER BY v <-> '[7,7,7]' LIMIT 1";
    assert_eq!(client.one::<i32>(near), 5_001);
    client.run("INSERT INTO t VALUES (5002, '[7,7,7.1]'); DELETE FROM t WHERE id = 5001");
    assert_eq!(client.one::<i32>(near), 5_002);
    upgraded.wait_for_engine();
    eventually("the indexes rebuilt", Duration::from_secs(60), || {
        (client.text("SELECT DISTINCT state FROM onyx.stat_index") == "ready").then_some(())
    });
    client.run("ANALYZE t");
    assert_complete(&mut client, "t", "t_v");
    assert_eq!(
        client.text("SELECT reloptions FROM pg_class WHERE relname = 't_v'"),
        "{quantization=none}"
    );
    client.run("SELECT onyx.wait_for_embeddings()");
    let found = client.text("SELECT qualified_name FROM onyx.search('parse cookie', 1)");
    assert!(found.ends_with("parse_cookie"), "{found}");
}
