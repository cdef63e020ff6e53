//! Protects the settings of scans and options of indexes: what they are called, what they take, and that
//! each does what it says.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

use onyx_pg_test::nearest::{distances, nearest, random_table, recall};
use onyx_pg_test::{Cluster, Config, Sql, eventually};
use postgres::Client;

/// One server for all tests of this file, a database each. None of them breaks it.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

const ROWS: usize = 9_000;
const ORDER: &str = "v <-> array_fill(0.1::real, ARRAY[24])::vector";

/// A table large enough that the graph answers, not a look at every point.
fn large(name: &str) -> Client {
    let mut client = cluster().database(name);
    random_table(&mut client, "t", 24, ROWS as u32, 0.41);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    client
}

/// In order, up to what the sums of two programs differ by in single precision.
#[track_caller]
fn assert_ordered(rows: &[(i32, f64)]) {
    for pair in rows.windows(2) {
        assert!(pair[0].1 <= pair[1].1 * (1.0 + 1e-6), "{:?} before {:?}", pair[0], pair[1]);
    }
}

fn by_index(client: &mut Client, from: &str, limit: usize) -> Vec<(i32, f64)> {
    nearest(client, from, ORDER, limit, false)
}

#[test]
fn quantization_is_an_option_of_the_index() {
    let mut client = cluster().database("quantization");
    // So far from zero and so near to each other that codes of eight bits are all the same.
    client.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(3)); SELECT setseed(0.42);
         INSERT INTO t SELECT i, ARRAY[1000 + random(), 1000 + random(), 1000 + random()]::vector
         FROM generate_series(1, 6000) i; ANALYZE t",
    );
    let order = "v <-> '[1000.5,1000.5,1000.5]'";
    let exact = nearest(&mut client, "t", order, 20, true);
    let found = |client: &mut Client| recall(&nearest(client, "t", order, 20, false), &exact);
    for (value, whole) in [("auto", true), ("none", true), ("sq8", false), ("SQ8", false)] {
        client.run(&format!(
            "CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops) WITH (m = 8, quantization = '{value}')"
        ));
        let options = "SELECT reloptions FROM pg_class WHERE relname = 't_v'";
        assert_eq!(client.text(options), format!("{{m=8,quantization={value}}}"));
        let recall = found(&mut client);
        assert_eq!(recall > 0.9, whole, "{value}: {recall}");
        client.run("DROP INDEX t_v");
    }
    let error = client.error(
        "CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops) WITH (quantization = 'pq')",
    );
    assert_eq!(error.code().code(), "22023", "{error:?}");
    assert!(error.detail().is_some_and(|d| d.contains("\"sq8\"")), "{error:?}");

    // As with m, a change counts from the next build on.
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops) WITH (quantization = sq8)");
    assert!(found(&mut client) < 0.9);
    client.run("ALTER INDEX t_v SET (quantization = none)");
    assert!(found(&mut client) < 0.9);
    client.run("REINDEX INDEX t_v");
    assert!(found(&mut client) > 0.9);
    client.run("ALTER INDEX t_v RESET (quantization)");
}

#[test]
fn a_scan_that_does_not_go_on_ends_after_its_candidates() {
    let mut client = large("scan_off");
    client.run("SET onyx.iterative_scan = off; SET onyx.ef_search = 50");
    assert_eq!(by_index(&mut client, "t", 1_000).len(), 50);
    let narrow = by_index(&mut client, "t WHERE id % 100 = 7", 10);
    assert!(narrow.len() < 10, "{narrow:?}");
    client.run("SET onyx.ef_search = 200");
    assert_eq!(by_index(&mut client, "t", 1_000).len(), 200);
    client.run("SET onyx.iterative_scan = strict_order");
    assert_eq!(by_index(&mut client, "t WHERE id % 100 = 7", 10).len(), 10);
    let error = client.error("SET onyx.iterative_scan = sometimes");
    assert_eq!(error.code().code(), "22023");
    assert!(error.hint().is_some_and(|h| h.contains("relaxed_order")), "{error:?}");
}

#[test]
fn relaxed_order_returns_every_row_and_strict_order_keeps_the_order() {
    let mut client = large("scan_order");
    client.run("SET onyx.ef_search = 10");
    let strict = by_index(&mut client, "t", ROWS);
    assert_ordered(&strict);
    client.run("SET onyx.iterative_scan = relaxed_order");
    let relaxed = by_index(&mut client, "t", ROWS);
    let ids: HashSet<i32> = relaxed.iter().map(|row| row.0).collect();
    assert_eq!((ids.len(), relaxed.len()), (ROWS, ROWS));
    // Otherwise this would protect nothing.
    let turns = relaxed.windows(2).filter(|pair| pair[0].1 > pair[1].1 * 1.001).count();
    assert!(strict.len() < ROWS && turns > 0, "{} rows, {turns} out of order", strict.len());
    let near = &relaxed[..10];
    assert_ordered(near);
    // Narrower and narrower filters, in either order.
    client.run("SET onyx.ef_search = 40");
    for mode in ["strict_order", "relaxed_order"] {
        client.run(&format!("SET onyx.iterative_scan = {mode}"));
        for (filter, limit) in [("id % 50 = 7", 10), ("id % 500 = 7", 10), ("id % 4500 = 7", 2)] {
            let from = format!("t WHERE {filter}");
            let mut sum = 0.0;
            for middle in (-10..10).map(f64::from) {
                let order =
                    format!("v <-> array_fill({:.2}::real, ARRAY[24])::vector", middle / 20.0);
                let found = nearest(&mut client, &from, &order, limit, false);
                let exact = nearest(&mut client, &from, &order, limit, true);
                assert_eq!(found.len(), limit, "{mode}, {filter}");
                sum += recall(&found, &exact) / 20.0;
            }
            assert!(sum >= 0.99, "{mode}, {filter}: {sum}");
        }
    }
}

#[test]
fn a_scan_ends_when_it_has_looked_at_enough_tuples() {
    let mut client = large("scan_limit");
    client.run("SET onyx.max_scan_tuples = 1000");
    let found = by_index(&mut client, "t", ROWS).len();
    assert!((950..=1_000).contains(&found), "{found}");
    let narrow = by_index(&mut client, "t WHERE id % 500 = 7", 10).len();
    assert!(narrow < 10, "{narrow}");
    // The first candidates come in any case.
    for most in [0, 1] {
        client.run(&format!("SET onyx.max_scan_tuples = {most}"));
        assert_eq!(by_index(&mut client, "t", ROWS).len(), 40, "{most}");
    }
    client.run("SET onyx.max_scan_tuples = -1");
    assert_eq!(by_index(&mut client, "t WHERE id % 500 = 7", 10).len(), 10);
    assert_eq!(client.error("SET onyx.max_scan_tuples = -2").code().code(), "22023");
    assert_eq!(client.error("SET onyx.scan_mem_multiplier = 0.5").code().code(), "22023");
}

#[test]
fn a_scan_with_little_memory_goes_on_exactly() {
    let mut client = large("scan_memory");
    let exact = nearest(&mut client, "t", ORDER, ROWS, true);
    // Room for 2,048 rows.
    client.run("SET work_mem = '64kB'; SET onyx.ef_search = 400");
    let found = by_index(&mut client, "t", ROWS);
    assert_ordered(&found);
    let ids: HashSet<i32> = found.iter().map(|row| row.0).collect();
    assert_eq!(ids.len(), found.len(), "a row came twice");
    // What the engine missed is missing, and nothing behind it.
    assert!(found.len() > ROWS - 100, "{}", found.len());
    let (found, exact) = (distances(&found), distances(&exact));
    assert!(found[found.len() - 6_000..] == exact[ROWS - 6_000..]);
    client.run("SET onyx.iterative_scan = relaxed_order");
    assert_eq!(by_index(&mut client, "t", ROWS).len(), ROWS);
    client.run("SET onyx.max_scan_tuples = 5000");
    assert_eq!(by_index(&mut client, "t", ROWS).len(), 5_000);
    // Equal distances, in passes that end among them.
    client.run(
        "RESET onyx.max_scan_tuples; RESET onyx.iterative_scan;
         CREATE TABLE same AS SELECT i AS id, '[1,2,3]'::vector(3) AS v FROM generate_series(1, 7000) i;
         CREATE INDEX same_v ON same USING onyx_hnsw (v vector_l2_ops); ANALYZE same",
    );
    let all = nearest(&mut client, "same", "v <-> '[1,1,1]'", 7_000, false);
    let ids: HashSet<i32> = all.iter().map(|row| row.0).collect();
    assert_eq!((ids.len(), all.len()), (7_000, 7_000));
}

#[test]
fn settings_are_taken_when_a_scan_begins() {
    let mut client = large("scan_begins");
    client.run("SET enable_seqscan = off; SET enable_sort = off; BEGIN");
    client.run(&format!("DECLARE c CURSOR FOR SELECT id FROM t ORDER BY {ORDER}"));
    assert_eq!(client.column::<i32>("FETCH 5 FROM c").len(), 5);
    client.run("SET onyx.iterative_scan = off");
    assert_eq!(client.column::<i32>("FETCH 500 FROM c").len(), 500);
    client.run("COMMIT");
}

#[test]
fn prewarming_loads_an_index() {
    // A server of its own: its engine is killed.
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    random_table(&mut client, "t", 40, 3_000, 0.43);
    client.run(
        "CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops); CREATE INDEX plain ON t (id)",
    );
    let memory = "SELECT memory_bytes FROM onyx.stat_index WHERE indexname = 't_v'";
    let bytes: i64 = client.one("SELECT onyx.prewarm('t_v')");
    assert!(bytes > 3_000 * 40 * 4, "{bytes}");
    assert_eq!(client.one::<i64>(memory), bytes);
    for _ in 0..3 {
        cluster.kill_engine();
        eventually("an engine", Duration::from_secs(20), || {
            client.simple_query("SELECT onyx.prewarm('t_v')").ok().map(drop)
        });
        let state = "SELECT state FROM onyx.stat_index WHERE indexname = 't_v'";
        assert_eq!(client.text(state), "ready", "prewarming waits for the load");
    }
    assert_eq!(client.error("SELECT onyx.prewarm('plain')").code().code(), "42809");
    assert_eq!(client.text("SELECT onyx.prewarm(NULL)"), "");
    client.run("CREATE ROLE reader; SET ROLE reader");
    let error = client.error("SELECT onyx.prewarm('public.t_v')");
    assert_eq!(error.code().code(), "42501", "{error:?}");
    client.run("RESET ROLE; GRANT USAGE ON SCHEMA onyx TO reader; SET ROLE reader");
    assert_eq!(client.error("SELECT onyx.prewarm('public.t_v')").code().code(), "42501");
    client.run("RESET ROLE; GRANT SELECT ON t TO reader; SET ROLE reader");
    client.run("SELECT onyx.prewarm('public.t_v')");
    client.run("RESET ROLE");
    cluster.disable_engine();
    assert_eq!(client.error("SELECT onyx.prewarm('t_v')").code().code(), "58000");
    client.run("INSERT INTO t SELECT 9000, v FROM t WHERE id = 1");
    let error = client.error("SELECT onyx.prewarm('t_v')");
    assert_eq!(error.code().code(), "55000", "stale: {error:?}");
}
