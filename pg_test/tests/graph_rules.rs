//! Protects what traversals promise whoever asks: his rights, his snapshot, also when the graph is kept
//! in memory, limits that say so, and cancel.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use onyx_pg_test::graph::{CASES, Case, random_graph, reader};
use onyx_pg_test::{Cluster, Config, Sql, eventually};
use postgres::Client;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

#[test]
fn rights_and_policies_of_the_caller_hold() {
    let mut client = cluster().database("rights");
    random_graph(&mut client, 0.9, 60, 300);
    client.run(
        "CREATE ROLE outsider; CREATE ROLE half; CREATE ROLE half_sighted;
        GRANT SELECT ON onyx.nodes TO half;
        GRANT SELECT ON ALL TABLES IN SCHEMA onyx TO half_sighted",
    );
    let calls = [
        "onyx.bfs(1)",
        "onyx.dfs(1)",
        "onyx.neighbors(1)",
        "onyx.shortest_path(1, 2)",
        "onyx.paths(1, 2)",
        "onyx.components()",
        "onyx.cycles()",
        "onyx.rank()",
        "onyx.callers(1)",
        "onyx.callees(1)",
        "onyx.impact(1)",
        "onyx.subgraph(1)",
        "onyx.context(1)",
        "onyx.repo_map('a')",
        "onyx.export_graph('{1,2}')",
    ];
    for role in ["outsider", "half"] {
        client.run(&format!("SET ROLE {role}"));
        for call in calls {
            let error = client.error(&format!("SELECT * FROM {call}"));
            assert_eq!(error.code().code(), "42501", "{role}: {call}: {error:?}");
        }
        client.run("RESET ROLE");
    }
    // A policy that hides repository b: as if its nodes and their edges were not there.
    client.run(
        "ALTER TABLE onyx.nodes ENABLE ROW LEVEL SECURITY;
         CREATE POLICY mine ON onyx.nodes TO half_sighted USING (repo_id = 1)",
    );
    let hiding = Case {
        repo: "'a'",
        direction: "both",
        edge_kinds: "NULL",
        node_kinds: "NULL",
        confidence: "0",
        depth: "5",
    };
    let start = 2;
    let expected = client
        .text(&format!("SELECT node_id, depth FROM onyx.bfs({start}, {})", hiding.arguments()));
    assert!(expected.lines().count() > 10, "{expected}");
    client.run("SET ROLE half_sighted");
    let seen = client
        .text(&format!("SELECT node_id, depth FROM onyx.bfs({start}, 'both', max_depth => 5)"));
    assert_eq!(seen, expected);
    assert_eq!(client.text("SELECT * FROM onyx.bfs(1)"), "", "a start that is hidden");
    for call in [
        "onyx.dfs(2, 'both', max_nodes => NULL)",
        "onyx.neighbors(2, max_depth => 9)",
        "onyx.components(min_size => 1)",
        "onyx.rank()",
    ] {
        let hidden = format!("SELECT count(*) FROM {call} w WHERE w.node_id % 2 = 1");
        assert_eq!(client.text(&hidden), "0", "{call}");
    }
    assert_eq!(client.text("SELECT count(*) FROM onyx.cycles(edge_kinds => NULL) c, unnest(c.path) n WHERE n % 2 = 1"), "0");
    assert_eq!(
        client.text(
            "SELECT count(*) FROM onyx.subgraph(2) WHERE source_id % 2 = 1 OR target_id % 2 = 1"
        ),
        "0"
    );
    assert_eq!(client.text("SELECT onyx.export_graph('{1,3}') LIKE '%\"id\"%'"), "f");
    // row_security = off is an error rather than an answer that hides.
    let error = client.error("SET row_security = off; SELECT * FROM onyx.bfs(2)");
    assert_eq!(error.code().code(), "42501", "{error:?}");
    client.run("RESET ROLE; RESET row_security");
}

#[test]
fn traversals_see_what_their_snapshot_shows() {
    let mut one = cluster().database("snapshots");
    let mut two = cluster().connect_to("snapshots");
    let mut old = cluster().connect_to("snapshots");
    let mut strict = cluster().connect_to("snapshots");
    random_graph(&mut one, 0.45, 10, 0);
    one.run("UPDATE onyx.nodes SET parent_id = NULL");
    one.run("VACUUM ANALYZE onyx.links, onyx.nodes");
    let sql = "SELECT string_agg(node_id::text, ' ') FROM onyx.bfs(1)";
    let load = "SELECT count(*) FROM onyx.components()";
    assert_eq!(two.text(sql), "1");
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(old.text(sql), "1");
    strict.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
    assert_eq!(strict.text(sql), "1");
    one.run("BEGIN; INSERT INTO onyx.links (repo_id, source_id, target_id, kind) VALUES (1, 1, 2, 'calls'), (1, 2, 3, 'calls')");
    assert_eq!(one.text(sql), "1 2 3", "what this session itself did");
    assert_eq!(two.text(sql), "1", "what another has not committed");
    one.run("SAVEPOINT s; DELETE FROM onyx.links WHERE source_id = 2");
    assert_eq!(one.text(sql), "1 2");
    one.run("ROLLBACK TO s");
    assert_eq!(one.text(sql), "1 2 3");
    one.run("COMMIT");
    assert_eq!((two.text(sql), two.text(load)), ("1 2 3".into(), "3".into()));
    for session in [&mut old, &mut strict] {
        assert_eq!(
            (session.text(sql), session.text(load)),
            ("1".into(), "0".into()),
            "an old snapshot"
        );
        session.run("COMMIT");
        assert_eq!(session.text(sql), "1 2 3");
    }
    // A cursor goes on with the snapshot it was opened with, though rows come one by one.
    two.run("BEGIN; DECLARE c CURSOR FOR SELECT (onyx.bfs(1)).node_id");
    assert_eq!(two.text("FETCH 1 FROM c"), "1");
    one.run("DELETE FROM onyx.links");
    assert_eq!(two.text("FETCH ALL FROM c"), "2\n3");
    two.run("COMMIT");
    assert_eq!(two.text(sql), "1");
    // An index that is gone, or another under its name, costs time, not answers.
    one.run(
        "INSERT INTO onyx.links (repo_id, source_id, target_id, kind) VALUES (1, 1, 2, 'calls')",
    );
    one.run("DROP INDEX onyx.links_source");
    assert_eq!(one.text(sql), "1 2");
    one.run("CREATE INDEX links_source ON onyx.links (source_id, target_id) WHERE source_id > 5");
    assert_eq!(one.text(sql), "1 2");
    one.run("DROP INDEX onyx.links_source; CREATE INDEX links_source ON onyx.links (source_id, kind) INCLUDE (target_id, confidence)");
    one.run("REINDEX INDEX CONCURRENTLY onyx.links_source");
    assert_eq!(one.text(sql), "1 2");
}

/// Pages a traversal touches: few when the graph is in memory.
fn pages(client: &mut Client) -> u32 {
    let plan = client.text("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF, COSTS OFF) SELECT * FROM onyx.bfs(1, max_depth => NULL)");
    let hits = plan.split("shared hit=").nth(1).unwrap_or("0");
    hits.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Vacuums, and asks until the session has the graph in memory.
#[track_caller]
fn keep_graph(vacuumer: &mut Client, client: &mut Client) {
    for _ in 0..20 {
        // A page that somebody has pinned, the checkpointer say, is left to the next vacuum.
        vacuumer.run("VACUUM ANALYZE onyx.links");
        vacuumer.run("VACUUM ANALYZE onyx.nodes");
        if (0..5).any(|_| pages(client) < 12) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the graph is not kept: {} pages", pages(client));
}

#[test]
fn a_kept_graph_is_never_stale() {
    let mut writer = cluster().database("kept");
    let mut reader_session = cluster().connect_to("kept");
    let mut twin = cluster().connect_to("kept");
    random_graph(&mut writer, 0.75, 300, 1_500);
    reader(&mut writer);
    twin.run("SET onyx.graph_cache_size = 0");
    let sql =
        "SELECT * FROM onyx.bfs('{1,2}'::bigint[], 'both', max_depth => 3, max_nodes => NULL)";
    keep_graph(&mut writer, &mut reader_session);
    // The answers of all cases are those without it.
    for case in CASES {
        for call in ["bfs", "dfs", "neighbors"] {
            let sql =
                format!("SELECT * FROM onyx.{call}('{{1,17}}'::bigint[], {})", case.arguments());
            assert_eq!(reader_session.text(&sql), twin.text(&sql), "{sql}");
        }
    }
    assert!(pages(&mut reader_session) < 12 && pages(&mut twin) > 20);
    // A role under a policy is not answered from it.
    writer.run("CREATE POLICY none ON onyx.links AS RESTRICTIVE TO policed USING (false)");
    reader_session.run("SET ROLE policed");
    assert_eq!(
        reader_session.text("SELECT count(*) FROM onyx.bfs(2, edge_kinds => '{calls}')"),
        "1"
    );
    reader_session.run("RESET ROLE");
    // Of another transaction: not before its commit, at once after.
    let before = reader_session.text(sql);
    writer.run("BEGIN; DELETE FROM onyx.links WHERE id % 3 = 0");
    assert_eq!(reader_session.text(sql), before);
    writer.run("COMMIT");
    let after = reader_session.text(sql);
    assert_ne!(after, before);
    assert_eq!(after, twin.text(sql));
    // One's own, and its rollback.
    keep_graph(&mut writer, &mut reader_session);
    reader_session.run("BEGIN; DELETE FROM onyx.links");
    assert_ne!(reader_session.text(sql), after);
    reader_session.run("ROLLBACK");
    assert_eq!(reader_session.text(sql), after);
    // An old snapshot goes on seeing what it saw, vacuum or not; one that began later does not.
    keep_graph(&mut writer, &mut reader_session);
    reader_session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(reader_session.text(sql), after);
    writer.run("DELETE FROM onyx.links WHERE id % 3 = 1");
    writer.run("VACUUM onyx.links");
    assert_eq!(reader_session.text(sql), after);
    assert_ne!(twin.text(sql), after);
    reader_session.run("COMMIT");
    assert_eq!(reader_session.text(sql), twin.text(sql));
    // A table that was emptied or rewritten is another file.
    keep_graph(&mut writer, &mut reader_session);
    writer.run("TRUNCATE onyx.links; INSERT INTO onyx.links (repo_id, source_id, target_id, kind) SELECT 1, i, i + 1, 'calls' FROM generate_series(1, 299) i");
    assert_eq!(reader_session.text(sql), twin.text(sql));
    writer.run("VACUUM FULL onyx.links");
    assert_eq!(reader_session.text(sql), twin.text(sql));
    // Anything at all, in any order.
    let mut state = 12_345_u64;
    let mut kept = 0;
    for round in 0..300 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let a = (state >> 33) % 300 + 1;
        writer.run(&match (state >> 60) % 8 {
            0 => format!("INSERT INTO onyx.links (repo_id, source_id, target_id, kind) VALUES (1, {a}, {}, 'calls')", a % 7 + 1),
            1 => format!("DELETE FROM onyx.links WHERE source_id = {a}"),
            2 => format!("UPDATE onyx.links SET kind = 'imports' WHERE target_id = {a}"),
            3 => format!("UPDATE onyx.nodes SET parent_id = {} WHERE id = {a}", a % 11 + 1),
            4 | 5 => "VACUUM onyx.links".to_string(),
            6 => "VACUUM onyx.nodes".to_string(),
            _ => "BEGIN; DELETE FROM onyx.links; ROLLBACK".to_string(),
        });
        for _ in 0..4 {
            assert_eq!(reader_session.text(sql), twin.text(sql), "round {round}");
        }
        kept += u32::from(pages(&mut reader_session) < 12);
    }
    println!("the graph was kept in {kept} of 300 rounds");
    assert!(kept > 20, "{kept}");
}

#[test]
fn limits_cut_off_and_say_so() {
    cluster().database("limits");
    let (mut client, notices) = cluster().connect_hearing("limits");
    random_graph(&mut client, 0.55, 100, 500);
    client.run("UPDATE onyx.nodes SET parent_id = NULL");
    notices.take("NOTICE");
    let all = client.text("SELECT node_id FROM onyx.bfs(1, max_depth => NULL)").lines().count();
    for (call, name) in [
        ("onyx.bfs(1, max_depth => NULL, max_nodes => {})", "max_nodes"),
        ("onyx.dfs(1, max_depth => NULL, max_nodes => {})", "max_nodes"),
        ("onyx.neighbors(1, 'out', max_depth => NULL, max_nodes => {})", "max_nodes"),
        ("onyx.bfs(1, max_depth => NULL, max_nodes => {}, repo => 'b')", "max_nodes"),
        ("onyx.paths(1, 2, max_depth => 5, max_paths => {})", "max_paths"),
        ("onyx.cycles(max_cycles => {})", "max_cycles"),
    ] {
        for limit in [1, 5, 20] {
            let rows = client.text(&format!(
                "SELECT count(*), bool_or(truncated) FROM {}",
                call.replace("{}", &limit.to_string())
            ));
            assert_eq!(rows, format!("{limit}|t"), "{call}");
            let heard = notices.take("NOTICE");
            assert_eq!(heard.len(), 1, "{call}: {heard:?}");
            assert!(heard[0].message().contains(name) && heard[0].hint().is_some(), "{heard:?}");
        }
        let unlimited = client.text(&format!(
            "SELECT count(*), bool_or(truncated) FROM {}",
            call.replace("{}", "NULL")
        ));
        let exact = unlimited.split('|').next().unwrap_or_default();
        let rows = client.text(&format!(
            "SELECT count(*), bool_or(truncated) FROM {}",
            call.replace("{}", exact)
        ));
        assert_eq!(rows, format!("{exact}|f"), "{call}: a limit that is just enough");
        assert_eq!(unlimited, rows);
    }
    assert!(notices.take("NOTICE").is_empty());
    assert!(all > 50, "{all}");
    // Only the last row is marked.
    assert_eq!(
        client.text("SELECT array_agg(truncated) FROM onyx.bfs(1, max_nodes => 3)"),
        "{f,f,t}"
    );
    assert_eq!(client.text("SELECT DISTINCT truncated FROM onyx.subgraph(1, max_nodes => 5)"), "t");
    notices.take("NOTICE");
    assert_eq!(client.text("SELECT * FROM onyx.shortest_path(1, 77, max_nodes => 1)"), "");
    assert_eq!(notices.take("NOTICE").len(), 1);
    for call in [
        "onyx.bfs(1, 'sideways')",
        "onyx.bfs(1, NULL)",
        "onyx.bfs(1, max_nodes => 0)",
        "onyx.bfs(1, max_depth => -1)",
        "onyx.rank(damping => 1)",
    ] {
        assert_eq!(client.error(&format!("SELECT * FROM {call}")).code().code(), "22023", "{call}");
    }
    assert_eq!(client.error("SELECT * FROM onyx.bfs(1, repo => 'none')").code().code(), "42704");
    // Rows come when they are asked for: the rest of the graph is not read.
    assert_eq!(client.text("SELECT (onyx.bfs(1, max_depth => NULL)).node_id LIMIT 1"), "1");
}

#[test]
fn cancel_ends_a_long_search() {
    let mut client = cluster().database("canceled");
    // Should the cancel not come through, this ends it.
    client.run("SET temp_file_limit = '500MB'");
    random_graph(&mut client, 0.65, 40, 0);
    client.run("INSERT INTO onyx.links (repo_id, source_id, target_id, kind) SELECT 1, a, b, 'calls' FROM generate_series(1, 40) a, generate_series(1, 40) b");
    let backend: i32 = client.one("SELECT pg_backend_pid()");
    let mut other = cluster().connect_to("canceled");
    for call in [
        "count(*) FROM onyx.paths(1, 2, max_depth => 30, max_paths => NULL)",
        "count(c) FROM (SELECT onyx.paths(1, 2, max_depth => 30, max_paths => NULL) c OFFSET 0) q",
        "count(c) FROM (SELECT onyx.cycles(max_length => 30, max_cycles => NULL) c OFFSET 0) q",
    ] {
        let (error, took) = std::thread::scope(|scope| {
            let client = &mut client;
            let searching =
                scope.spawn(move || (client.error(&format!("SELECT {call}")), Instant::now()));
            eventually("a search under way", Duration::from_secs(10), || {
                other
                    .one::<bool>(&format!(
                        "SELECT state = 'active' AND now() - query_start > '100 ms' AND query = $$SELECT {call}$$
                         FROM pg_stat_activity WHERE pid = {backend}"
                    ))
                    .then_some(())
            });
            let begun = Instant::now();
            other.run(&format!("SELECT pg_cancel_backend({backend})"));
            let (error, ended) = searching.join().expect("the search's thread");
            (error, ended.saturating_duration_since(begun))
        });
        println!("{call}: canceled after {took:?}");
        assert_eq!(error.code().code(), "57014", "{call}: {error:?}");
    }
    assert_eq!(client.text("SELECT count(*) FROM onyx.bfs(1)"), "40");
}
