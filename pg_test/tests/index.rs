//! Protects what `onyx_hnsw` promises while everything works: its answers under MVCC are those of a
//! sequential scan.

use std::sync::OnceLock;
use std::time::Duration;

use onyx_pg_test::nearest::{
    assert_complete, assert_ordered, distances, nearest, random_table, recall,
};
use onyx_pg_test::{Cluster, Config, Sql, eventually};

/// One server for all tests of this file, a database each. None of them breaks it.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

#[test]
fn answers_are_the_exact_ones_under_every_metric() {
    let mut client = cluster().database("metrics");
    random_table(&mut client, "t", 3, 2_000, 0.11);
    client.run("ALTER TABLE t ADD h halfvec(3); UPDATE t SET h = v::halfvec(3)");
    client.run("VACUUM ANALYZE t");
    for (column, operator, class) in [
        ("v", "<->", "vector_l2_ops"),
        ("v", "<#>", "vector_ip_ops"),
        ("v", "<=>", "vector_cosine_ops"),
        ("v", "<+>", "vector_l1_ops"),
        ("h", "<->", "halfvec_l2_ops"),
        ("h", "<#>", "halfvec_ip_ops"),
        ("h", "<=>", "halfvec_cosine_ops"),
        ("h", "<+>", "halfvec_l1_ops"),
    ] {
        client.run(&format!("CREATE INDEX t_v ON t USING onyx_hnsw ({column} {class})"));
        let sql = format!("SELECT id FROM t ORDER BY {column} {operator} '[0.1,0.2,0.3]' LIMIT 10");
        let plan = client.explain(&sql);
        assert!(
            plan.contains("Index Scan using t_v"),
            "{operator} does without its index:\n{plan}"
        );
        let mut sum = 0.0;
        for i in 0..40 {
            let angle = f64::from(i) * 0.7;
            let query = format!("[{},{},{}]", angle.sin(), angle.cos(), (angle * 1.7).sin());
            let order = format!("{column} {operator} '{query}'");
            let found = nearest(&mut client, "t", &order, 10, false);
            let exact = nearest(&mut client, "t", &order, 10, true);
            assert_eq!(found.len(), 10);
            assert_ordered(&found);
            sum += recall(&found, &exact);
        }
        let mean = sum / 40.0;
        println!("{class}: recall@10 {mean}");
        assert!(mean >= 0.95, "{class}: recall@10 {mean}");
        assert_eq!(client.text("SELECT * FROM onyx.check_index('t_v')"), "");
        client.run("DROP INDEX t_v");
    }
}

#[test]
fn an_index_serves_only_the_operator_of_its_class() {
    let mut client = cluster().database("operators");
    random_table(&mut client, "t", 3, 2_000, 0.11);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    for operator in ["<=>", "<#>", "<+>"] {
        let plan =
            client.explain(&format!("SELECT id FROM t ORDER BY v {operator} '[1,2,3]' LIMIT 1"));
        assert!(!plan.contains("t_v"), "{operator}: {plan}");
    }
    let plan = client.explain("SELECT id FROM t ORDER BY v <-> '[1,2,3]' DESC LIMIT 1");
    assert!(!plan.contains("t_v"), "farthest first: {plan}");
    client.run("SET enable_seqscan = off");
    let plan = client.explain("SELECT count(*) FROM t WHERE v = '[1,2,3]'");
    assert!(!plan.contains("t_v"), "equality: {plan}");
}

#[test]
fn a_scan_without_limit_returns_every_row_once_in_order() {
    let mut client = cluster().database("everything");
    random_table(&mut client, "t", 3, 3_000, 0.12);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    let rows = nearest(&mut client, "t", "v <-> '[0.1,0.2,0.3]'", 1_000_000, false);
    assert_ordered(&rows);
    let ids: std::collections::HashSet<i32> = rows.iter().map(|r| r.0).collect();
    assert_eq!(ids.len(), rows.len(), "a row came twice");
    // Approximate candidates are kept in order at the price of those found too late.
    assert!(rows.len() >= 2_990, "{} of 3000 rows", rows.len());
}

#[test]
fn a_filter_leaves_exactly_limit_rows() {
    let mut client = cluster().database("filters");
    random_table(&mut client, "t", 3, 3_000, 0.13);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    for (filter, limit) in [("id % 100 = 7", 10), ("id % 1000 = 1", 3), ("id > 2990", 5)] {
        let from = format!("t WHERE {filter}");
        let order = "v <-> '[0.9,-0.9,0.9]'";
        let found = nearest(&mut client, &from, order, limit, false);
        let exact = nearest(&mut client, &from, order, limit, true);
        assert_eq!(found.len(), limit, "{filter}");
        assert_ordered(&found);
        assert!(recall(&found, &exact) >= 0.6, "{filter}: {found:?} against {exact:?}");
    }
    let none = nearest(&mut client, "t WHERE id < 0", "v <-> '[0.9,-0.9,0.9]'", 5, false);
    assert_eq!(none, []);
}

#[test]
fn a_transaction_finds_its_own_rows_and_others_do_not_until_it_commits() {
    let mut client = cluster().database("visibility");
    let mut other = cluster().connect_to("visibility");
    random_table(&mut client, "t", 3, 500, 0.14);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    let order = "v <-> '[7,7,7]'";
    let first = |c: &mut postgres::Client| nearest(c, "t", order, 1, false)[0].0;

    client.run("BEGIN; INSERT INTO t VALUES (1001, '[7,7,7]')");
    assert_eq!(first(&mut client), 1001);
    assert_ne!(first(&mut other), 1001);
    client.run("ROLLBACK");
    assert_ne!(first(&mut client), 1001);

    client.run(
        "BEGIN; INSERT INTO t VALUES (1002, '[6,6,6]'); SAVEPOINT s;
         INSERT INTO t VALUES (1003, '[7,7,7]')",
    );
    assert_eq!(first(&mut client), 1003);
    client.run("ROLLBACK TO s");
    assert_eq!(first(&mut client), 1002);
    client.run("SAVEPOINT s2; INSERT INTO t VALUES (1004, '[7,7,7]'); RELEASE s2; COMMIT");
    assert_eq!(first(&mut client), 1004);
    assert_eq!(first(&mut other), 1004);

    // A snapshot taken before sees none of it, and one taken after sees all.
    other.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
    client.run("INSERT INTO t VALUES (1005, '[7.1,7.1,7.1]'); DELETE FROM t WHERE id = 1004");
    assert_eq!(first(&mut other), 1004);
    other.run("COMMIT");
    assert_eq!(first(&mut other), 1005);
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn rows_in_reused_places_are_found_where_they_are_now() {
    let mut client = cluster().database("reuse");
    random_table(&mut client, "t", 3, 1_000, 0.15);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    for round in 0..3 {
        // The rows whose tuple ids come free...
        let dead: Vec<String> =
            client.column("SELECT ctid::text FROM t WHERE id % 3 = 0 ORDER BY 1");
        client.run("DELETE FROM t WHERE id % 3 = 0");
        client.wait_for_other_snapshots();
        client.run("VACUUM t");
        client.run(&format!(
            "SELECT setseed(0.{round}5);
             INSERT INTO t SELECT i, ARRAY[2 * random() - 1, 2 * random() - 1, 2 * random() - 1]::vector
             FROM generate_series(3, 999, 3) i"
        ));
        // ...are taken by others: without this the test would protect nothing.
        let reused: i64 = client
            .query_one(
                "SELECT count(*) FROM t WHERE id % 3 = 0 AND ctid::text = ANY ($1)",
                &[&dead],
            )
            .expect("a count")
            .get(0);
        assert!(reused > 100, "{reused} tuple ids reused");
        assert_complete(&mut client, "t", "t_v");
    }
    let tombstones_and_entries =
        client.text("SELECT entries, state FROM onyx.stat_index WHERE indexname = 't_v'");
    assert_eq!(tombstones_and_entries, "1000|ready");
}

#[test]
fn updates_move_rows_and_leave_none_behind() {
    let mut client = cluster().database("updates");
    random_table(&mut client, "t", 3, 1_000, 0.16);
    client.run(
        "ALTER TABLE t ADD note text; CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)",
    );
    // Heap-only: the index still names the root of the chain.
    client.run("UPDATE t SET note = 'x' WHERE id % 2 = 0");
    assert_complete(&mut client, "t", "t_v");
    client.run("UPDATE t SET v = v * '[-1,1,0.5]' WHERE id % 5 = 0");
    assert_complete(&mut client, "t", "t_v");
    client.run("VACUUM t");
    assert_complete(&mut client, "t", "t_v");
    client.run("BEGIN; UPDATE t SET v = '[9,9,9]' WHERE id = 17; ROLLBACK");
    assert_eq!(
        nearest(&mut client, "t", "v <-> '[9,9,9]'", 1, true)[0].0,
        nearest(&mut client, "t", "v <-> '[9,9,9]'", 1, false)[0].0
    );
    assert_complete(&mut client, "t", "t_v");
}

/// Random commands of the ordinary kind, the same every time; after each few the index agrees with
/// the table.
#[test]
fn random_histories_leave_index_and_table_equal() {
    let mut client = cluster().database("histories");
    random_table(&mut client, "t", 3, 300, 0.17);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    let mut next_id = 10_000;
    let mut in_transaction = false;
    let mut savepoint = false;
    for step in 0..400 {
        let value = format!(
            "[{},{},{}]",
            random(2_000) as f64 / 1_000.0 - 1.0,
            random(2_000) as f64 / 1_000.0 - 1.0,
            random(2_000) as f64 / 1_000.0 - 1.0
        );
        match random(12) {
            0..=3 => {
                next_id += 1;
                client.run(&format!("INSERT INTO t VALUES ({next_id}, '{value}')"));
            }
            4 => client.run(&format!("UPDATE t SET v = '{value}' WHERE id % 50 = {}", random(50))),
            5 => client.run(&format!("DELETE FROM t WHERE id % 60 = {}", random(60))),
            6 if in_transaction && savepoint => {
                let end = if random(2) == 0 { "ROLLBACK TO s" } else { "RELEASE s" };
                savepoint = end != "RELEASE s";
                client.run(end);
            }
            6 | 7 if in_transaction => {
                client.run("SAVEPOINT s");
                savepoint = true;
            }
            6 | 7 => {
                client.run("BEGIN");
                in_transaction = true;
                savepoint = false;
            }
            8 | 9 if in_transaction => {
                client.run(if random(3) == 0 { "ROLLBACK" } else { "COMMIT" });
                in_transaction = false;
            }
            8 => client.run("VACUUM t"),
            _ => {
                let order = format!("v <-> '{value}'");
                client.run("SET onyx.ef_search = 1000");
                let found = nearest(&mut client, "t", &order, 15, false);
                let exact = nearest(&mut client, "t", &order, 15, true);
                // One UPDATE gives several rows the same place: any order among them is right.
                assert_eq!(distances(&found), distances(&exact), "step {step}, nearest to {value}");
                client.run("RESET onyx.ef_search");
            }
        }
    }
    if in_transaction {
        client.run("COMMIT");
    }
    assert_complete(&mut client, "t", "t_v");
    client.run("VACUUM t");
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn null_and_zero_vectors_are_left_out_and_disturb_nothing() {
    let mut client = cluster().database("nulls");
    client.run(
        "CREATE TABLE t (id int, v vector(3));
         INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN NULL WHEN i % 3 = 1 THEN '[0,0,0]'
                                 ELSE ARRAY[i, 1, 1]::vector END
         FROM generate_series(1, 900) i;
         CREATE INDEX t_l2 ON t USING onyx_hnsw (v vector_l2_ops);
         CREATE INDEX t_cosine ON t USING onyx_hnsw (v vector_cosine_ops);
         INSERT INTO t VALUES (1000, NULL), (1001, '[0,0,0]'), (1002, '[1,0,0]'); ANALYZE t",
    );
    assert_eq!(nearest(&mut client, "t", "v <-> '[1,0,0]'", 1, false)[0].0, 1002);
    assert_eq!(nearest(&mut client, "t", "v <=> '[1,0,0]'", 1, false)[0].0, 1002);
    assert_eq!(
        client.text(
            "SELECT indexname, entries FROM onyx.stat_index WHERE tablename = 't' ORDER BY 1"
        ),
        "t_cosine|301\nt_l2|602"
    );
    // Distances to NULL and to no direction are NULL and NaN: there must be rows, and no error.
    client.run("SET enable_seqscan = off");
    assert_eq!(client.column::<i32>("SELECT id FROM t ORDER BY v <=> '[0,0,0]' LIMIT 3").len(), 3);
    assert_eq!(client.column::<i32>("SELECT id FROM t ORDER BY v <-> NULL LIMIT 3").len(), 3);
    for index in ["t_l2", "t_cosine"] {
        assert_eq!(
            client.text(&format!("SELECT * FROM onyx.check_index('{index}')")),
            "",
            "{index}"
        );
    }
}

#[test]
fn an_empty_table_and_its_first_rows() {
    let mut client = cluster().database("empty");
    client.run(
        "CREATE TABLE t (id int, v vector(3));
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops); SET enable_seqscan = off",
    );
    let sql = "SELECT id FROM t ORDER BY v <-> '[1,2,3]' LIMIT 5";
    assert_eq!(client.column::<i32>(sql), []);
    client.run("INSERT INTO t VALUES (1, '[1,2,3]')");
    assert!(client.explain(sql).contains("t_v"));
    assert_eq!(client.column::<i32>(sql), [1]);
    client.run("DELETE FROM t");
    client.run("VACUUM t");
    assert_eq!(client.column::<i32>(sql), []);
    client.run("INSERT INTO t VALUES (2, '[1,2,3]')");
    assert_eq!(client.column::<i32>(sql), [2]);
}

#[test]
fn impossible_definitions_and_queries_are_refused() {
    let mut client = cluster().database("refused");
    client.run("CREATE TABLE t (id int, v vector(3), u vector, w text)");
    let cases = [
        (
            "CREATE INDEX ON t USING onyx_hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 31)",
            "22023",
            "2 * m",
        ),
        ("CREATE INDEX ON t USING onyx_hnsw (v vector_l2_ops) WITH (m = 1)", "22023", "m"),
        ("CREATE INDEX ON t USING onyx_hnsw (v vector_l2_ops) WITH (m = 101)", "22023", "m"),
        ("CREATE INDEX ON t USING onyx_hnsw (v vector_l2_ops) WITH (lists = 5)", "22023", "lists"),
        (
            "CREATE INDEX ON t USING onyx_hnsw (u vector_l2_ops)",
            "22023",
            "does not have dimensions",
        ),
        ("CREATE INDEX ON t USING onyx_hnsw (v)", "42704", "operator class"),
        ("CREATE INDEX ON t USING onyx_hnsw (id)", "42704", "operator class"),
        ("CREATE UNIQUE INDEX ON t USING onyx_hnsw (v vector_l2_ops)", "0A000", "unique"),
        (
            "CREATE INDEX ON t USING onyx_hnsw (v vector_l2_ops, v vector_ip_ops)",
            "0A000",
            "multicolumn",
        ),
        ("CREATE INDEX ON t USING onyx_hnsw (v vector_l2_ops) INCLUDE (id)", "0A000", "included"),
    ];
    for (sql, code, message) in cases {
        let error = client.error(sql);
        assert_eq!(error.code().code(), code, "{sql}: {error:?}");
        assert!(error.message().contains(message), "{sql}: {error:?}");
    }
    client.run(
        "INSERT INTO t (id, v) SELECT i, ARRAY[i, i, i]::vector FROM generate_series(1, 2000) i;
         CREATE INDEX ON t USING onyx_hnsw (v vector_l2_ops); SET enable_seqscan = off; ANALYZE t",
    );
    let error = client.error("SELECT id FROM t ORDER BY v <-> '[1,2]' LIMIT 1");
    assert_eq!(
        (error.code().code(), error.message()),
        ("22000", "different vector dimensions 3 and 2")
    );
    let error = client.error("INSERT INTO t (v) VALUES ('[1,2]')");
    assert_eq!((error.code().code(), error.message()), ("22000", "expected 3 dimensions, not 2"));
    for wrong in ["t_pkey_missing", "pg_class"] {
        client.error(&format!("SELECT * FROM onyx.check_index('{wrong}')"));
    }
    client.run("CREATE INDEX other ON t (id)");
    let error = client.error("SELECT * FROM onyx.check_index('other')");
    assert_eq!(error.code().code(), "42809", "{error:?}");
}

#[test]
fn partial_and_expression_indexes_cover_what_they_say() {
    let mut client = cluster().database("expressions");
    random_table(&mut client, "t", 3, 2_000, 0.18);
    client.run(
        "CREATE INDEX t_even ON t USING onyx_hnsw (v vector_l2_ops) WHERE id % 2 = 0;
         INSERT INTO t VALUES (5000, '[3,3,3]'), (5001, '[3,3,3]')",
    );
    let rows = nearest(&mut client, "t WHERE id % 2 = 0", "v <-> '[3,3,3]'", 5, false);
    assert_eq!(rows, nearest(&mut client, "t WHERE id % 2 = 0", "v <-> '[3,3,3]'", 5, true));
    assert_eq!(rows[0].0, 5000);
    let plan = client.explain("SELECT id FROM t ORDER BY v <-> '[3,3,3]' LIMIT 5");
    assert!(!plan.contains("t_even"), "{plan}");
    assert_eq!(
        client.one::<i64>("SELECT entries FROM onyx.stat_index WHERE indexname = 't_even'"),
        1001
    );
    assert_eq!(client.text("SELECT * FROM onyx.check_index('t_even')"), "");

    client.run(
        "CREATE TABLE a (id int, numbers real[]);
         INSERT INTO a SELECT id, v::real[] FROM t;
         CREATE INDEX a_v ON a USING onyx_hnsw ((numbers::vector(3)) vector_l2_ops); ANALYZE a",
    );
    let order = "numbers::vector(3) <-> '[0.3,0.3,0.3]'";
    let found = nearest(&mut client, "a", order, 10, false);
    let exact = nearest(&mut client, "a", order, 10, true);
    assert!(recall(&found, &exact) >= 0.9, "{found:?} {exact:?}");
    assert_eq!(client.text("SELECT * FROM onyx.check_index('a_v')"), "");
}

#[test]
fn cursors_laterals_joins_and_prepared_statements_answer_as_without_index() {
    let mut client = cluster().database("plans");
    random_table(&mut client, "t", 3, 2_000, 0.19);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    let exact = nearest(&mut client, "t", "v <-> '[0.5,0.5,0.5]'", 60, true);
    let exact: Vec<i32> = exact.into_iter().map(|r| r.0).collect();
    client.run("SET onyx.ef_search = 200");

    // A cursor reads on behind the first batch of candidates, and back.
    client.run("SET enable_seqscan = off; BEGIN");
    client.run("DECLARE c SCROLL CURSOR FOR SELECT id FROM t ORDER BY v <-> '[0.5,0.5,0.5]'");
    let mut ids = client.column::<i32>("FETCH 7 FROM c");
    ids.extend(client.column::<i32>("FETCH 53 FROM c"));
    assert_eq!(ids, exact);
    assert_eq!(client.column::<i32>("FETCH BACKWARD 2 FROM c"), [exact[58], exact[57]]);
    client.run("COMMIT; RESET enable_seqscan");

    // A rescan for each outer row.
    let lateral = "SELECT q.id::text || ':' || string_agg(n.id::text, ',' ORDER BY n.d)
         FROM (SELECT * FROM t WHERE id <= 20) q
         CROSS JOIN LATERAL (SELECT t.id, t.v <-> q.v AS d FROM t ORDER BY t.v <-> q.v LIMIT 5) n
         GROUP BY q.id ORDER BY q.id";
    let plan = client.explain(lateral);
    assert!(plan.contains("t_v"), "{plan}");
    let by_index = client.column::<String>(lateral);
    client.run("SET enable_indexscan = off");
    assert_eq!(by_index, client.column::<String>(lateral));
    client.run("RESET enable_indexscan");

    client.run(
        "SET plan_cache_mode = force_generic_plan;
         PREPARE p (vector) AS SELECT id FROM t ORDER BY v <-> $1 LIMIT 10",
    );
    assert!(client.explain("EXECUTE p('[0.5,0.5,0.5]')").contains("t_v"));
    assert_eq!(
        client.text("EXECUTE p('[0.5,0.5,0.5]')"),
        exact[..10].iter().map(i32::to_string).collect::<Vec<_>>().join("\n")
    );
    assert_eq!(client.text("EXECUTE p(NULL)").lines().count(), 10);
}

#[test]
fn prepared_transactions_are_durable_in_the_index_too() {
    let mut client = cluster().database("two_phase");
    random_table(&mut client, "t", 3, 500, 0.21);
    client.run(
        "BEGIN; CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops); COMMIT;
         BEGIN; INSERT INTO t VALUES (9001, '[5,5,5]'); PREPARE TRANSACTION 'one';
         BEGIN; INSERT INTO t VALUES (9002, '[5,5,5]'); PREPARE TRANSACTION 'two'",
    );
    assert!(nearest(&mut client, "t", "v <-> '[5,5,5]'", 1, false)[0].0 < 9000);
    let mut other = cluster().connect_to("two_phase");
    other.run("COMMIT PREPARED 'one'");
    other.run("ROLLBACK PREPARED 'two'");
    assert_eq!(nearest(&mut client, "t", "v <-> '[5,5,5]'", 1, false)[0].0, 9001);
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn ddl_on_index_and_table() {
    let mut client = cluster().database("ddl");
    random_table(&mut client, "t", 3, 1_000, 0.22);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    let generation = "SELECT generation FROM onyx.stat_index WHERE indexname = 't_v'";
    let mut seen = vec![client.text(generation)];
    for ddl in [
        "REINDEX INDEX t_v",
        "REINDEX INDEX CONCURRENTLY t_v",
        "SELECT onyx.rebuild('t_v')",
        "VACUUM FULL t",
        "CLUSTER t USING t_pkey",
        "ALTER TABLE t ADD extra int DEFAULT (random() * 10)::int",
        "ALTER TABLE t ALTER v TYPE vector(3) USING v",
    ] {
        client.run(ddl);
        assert_complete(&mut client, "t", "t_v");
        seen.push(client.text(generation));
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() >= 6, "rebuilds make new generations: {seen:?}");

    client.run("BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, '[1,1,1]')");
    assert_eq!(nearest(&mut client, "t", "v <-> '[1,1,1]'", 5, false).len(), 1);
    client.run("ROLLBACK");
    assert_complete(&mut client, "t", "t_v");
    client.run("TRUNCATE t; INSERT INTO t VALUES (1, '[1,1,1]')");
    assert_eq!(nearest(&mut client, "t", "v <-> '[1,1,1]'", 5, false).len(), 1);
    client.run("BEGIN; DROP INDEX t_v; ROLLBACK");
    assert_eq!(nearest(&mut client, "t", "v <-> '[1,1,1]'", 5, false).len(), 1);
    client.run("BEGIN; CREATE TABLE u (id int, v vector(3)); INSERT INTO u SELECT i, ARRAY[i,0,0]::vector FROM generate_series(1, 50) i;
                CREATE INDEX u_v ON u USING onyx_hnsw (v vector_l2_ops); INSERT INTO u VALUES (51, '[51,0,0]')");
    assert_eq!(
        nearest(&mut client, "u", "v <-> '[51,0,0]'", 2, false)
            .iter()
            .map(|r| r.0)
            .collect::<Vec<_>>(),
        [51, 50]
    );
    client.run("COMMIT");
    assert_complete(&mut client, "u", "u_v");
}

#[test]
fn an_index_built_concurrently_with_writers_is_complete() {
    let mut client = cluster().database("while_writing");
    random_table(&mut client, "t", 3, 3_000, 0.23);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let stop = &stop;
            scope.spawn(move || {
                let mut client = cluster().connect_to("while_writing");
                let mut id = 100_000 * (writer + 1);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    id += 1;
                    client.run(&format!(
                        "INSERT INTO t VALUES ({id}, ARRAY[random(), random(), random()]::vector);
                         UPDATE t SET v = v * '[0.99,1,1]' WHERE id = {};
                         DELETE FROM t WHERE id = {}",
                        id % 3_000,
                        (id * 7) % 3_000
                    ));
                }
            });
        }
        // However this ends, the writers end with it.
        let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            client.run("CREATE INDEX CONCURRENTLY t_v ON t USING onyx_hnsw (v vector_l2_ops)");
            client.run("REINDEX INDEX CONCURRENTLY t_v");
            std::thread::sleep(std::time::Duration::from_millis(300));
            client.run("VACUUM t");
        }));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(panic) = work {
            std::panic::resume_unwind(panic);
        }
    });
    assert_eq!(client.text("SELECT state FROM onyx.stat_index WHERE indexname = 't_v'"), "ready");
    assert_complete(&mut client, "t", "t_v");
}

#[test]
fn dropped_and_rebuilt_generations_leave_the_store() {
    let mut client = cluster().database("sweeping");
    // The engine lists all databases' generations together; this one's are counted by its own.
    random_table(&mut client, "t", 3, 200, 0.24);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    client.run("SELECT onyx.sweep()");
    client.run("REINDEX INDEX t_v; REINDEX INDEX t_v; BEGIN; REINDEX INDEX t_v; ROLLBACK");
    client.run("CREATE INDEX gone ON t USING onyx_hnsw (v vector_ip_ops); DROP INDEX gone");
    // Two by REINDEX, one rolled back, one dropped; maintenance may have been here first.
    client.run("SELECT onyx.sweep()");
    assert_eq!(client.one::<i64>("SELECT onyx.sweep()"), 0, "a sweep leaves nothing for another");
    assert_complete(&mut client, "t", "t_v");

    // A build under way is no garbage.
    let mut builder = cluster().connect_to("sweeping");
    builder.run("BEGIN; CREATE TABLE u AS SELECT * FROM t; CREATE INDEX u_v ON u USING onyx_hnsw (v vector_l2_ops)");
    assert_eq!(client.one::<i64>("SELECT onyx.sweep()"), 0, "generation of a running transaction");
    builder.run("COMMIT");
    assert_eq!(client.one::<i64>("SELECT onyx.sweep()"), 0);
    assert_complete(&mut builder, "u", "u_v");
}

#[test]
fn what_is_dropped_leaves_the_store_soon_after_its_commit() {
    let cluster = Cluster::start(Config::new().set("onyx.maintenance_naptime", "1h"));
    let mut client = cluster.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    cluster.wait_for_engine();
    random_table(&mut client, "t", 3, 200, 0.24);
    let wait_for = |client: &mut postgres::Client, count: i64, what: &str| {
        eventually(what, Duration::from_secs(20), || {
            (client.one::<i64>("SELECT generations FROM onyx.stat_engine") == count).then_some(())
        });
    };
    // Two are those of onyx.nodes and onyx.search_texts.
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    wait_for(&mut client, 3, "a new index");
    client.run("REINDEX INDEX t_v");
    client.run("REINDEX INDEX CONCURRENTLY t_v");
    wait_for(&mut client, 3, "what rebuilds replaced to go");
    client.run("BEGIN; REINDEX INDEX t_v; ROLLBACK");
    wait_for(&mut client, 3, "what was undone to go");
    client.run("BEGIN; DROP TABLE t; ROLLBACK");
    assert_complete(&mut client, "t", "t_v");
    client.run("DROP TABLE t");
    wait_for(&mut client, 2, "a dropped table's index to go");
}

#[test]
fn temporary_tables_have_indexes_too() {
    let mut client = cluster().database("temporary");
    client.run(
        "CREATE TEMP TABLE t (id int, v vector(3)) ON COMMIT DELETE ROWS;
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops);
         BEGIN; INSERT INTO t SELECT i, ARRAY[i,0,0]::vector FROM generate_series(1, 100) i",
    );
    assert_eq!(nearest(&mut client, "t", "v <-> '[40,0,0]'", 1, false)[0].0, 40);
    client.run("COMMIT");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM t"), 0);
    client.run("BEGIN; INSERT INTO t SELECT i, ARRAY[i,0,0]::vector FROM generate_series(1, 10) i");
    assert_eq!(nearest(&mut client, "t", "v <-> '[40,0,0]'", 1, false)[0].0, 10);
    client.run("COMMIT");
    // Another session's view and maintenance pass over what only this session can read.
    let mut other = cluster().connect_to("temporary");
    other.run("SELECT * FROM onyx.stat_index; SELECT onyx.sweep()");
    client.run("BEGIN; INSERT INTO t VALUES (7, '[1,1,1]')");
    assert_eq!(nearest(&mut client, "t", "v <-> '[40,0,0]'", 1, false)[0].0, 7);
    client.run("COMMIT");
}

#[test]
fn partitions_and_inheritance_answer_in_order() {
    let mut client = cluster().database("partitions");
    client.run(
        "CREATE TABLE t (id int, v vector(3)) PARTITION BY HASH (id);
         CREATE TABLE t0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops);
         SELECT setseed(0.3);
         INSERT INTO t SELECT i, ARRAY[random(), random(), random()]::vector FROM generate_series(1, 4000) i;
         ANALYZE t",
    );
    let order = "v <-> '[0.5,0.5,0.5]'";
    let found = nearest(&mut client, "t", order, 20, false);
    let exact = nearest(&mut client, "t", order, 20, true);
    assert_ordered(&found);
    assert!(recall(&found, &exact) >= 0.95, "{found:?} {exact:?}");
}

#[test]
fn many_sessions_write_and_read_at_once() {
    let mut client = cluster().database("sessions");
    random_table(&mut client, "t", 3, 500, 0.25);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    std::thread::scope(|scope| {
        for session in 0..6 {
            scope.spawn(move || {
                let mut client = cluster().connect_to("sessions");
                client.run("SET enable_seqscan = off");
                for i in 0..40 {
                    let id = 1_000 * (session + 1) + i;
                    let place = format!("[{},{},{}]", session + 2, i, session);
                    client.run(&format!("INSERT INTO t VALUES ({id}, '{place}')"));
                    let nearest: i32 =
                        client.one(&format!("SELECT id FROM t ORDER BY v <-> '{place}' LIMIT 1"));
                    assert_eq!(nearest, id, "a session finds what it just committed");
                    if i % 4 == 3 {
                        client.run(&format!("DELETE FROM t WHERE id = {}", id - 1));
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut client = cluster().connect_to("sessions");
            for _ in 0..10 {
                client.run("VACUUM t");
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
    });
    assert_eq!(client.one::<i64>("SELECT count(*) FROM t"), 500 + 6 * 30);
    assert_complete(&mut client, "t", "t_v");
}
