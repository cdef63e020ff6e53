//! Protects the scan that graph functions in FROM have: whatever is asked of it, it answers what the
//! server's own scan of the function answers, and where it cannot it leaves the field to that.

use std::sync::OnceLock;

use onyx_pg_test::graph::{random_graph, reader};
use onyx_pg_test::{Cluster, Config, Sql};
use postgres::Client;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

/// Functions with what they give.
const CALLS: [(&str, &[&str]); 8] = [
    ("onyx.bfs(1, max_depth => 5)", WALK),
    ("onyx.neighbors('{1,5,9}'::bigint[], 'both', max_depth => 2)", WALK),
    ("onyx.dfs(1)", WALK),
    ("onyx.shortest_path(1, 2)", &["node_id", "depth", "predecessor", "edge_kind", "path"]),
    (
        "onyx.paths(1, 2, max_depth => 4)",
        &["path_number", "length", "path", "edge_kinds", "truncated"],
    ),
    ("onyx.components(min_size => 1)", &["component", "size", "node_id"]),
    ("onyx.cycles()", &["cycle_number", "length", "path", "truncated"]),
    ("onyx.rank()", &["rank", "node_id", "score"]),
];
const WALK: &[&str] = &["node_id", "depth", "predecessor", "edge_kind", "path", "truncated"];

fn is_ours(client: &mut Client, sql: &str) -> bool {
    client.text(&format!("EXPLAIN {sql}")).contains("Custom Scan (OnyxGraph)")
}

/// With ordinality it is the server that scans.
fn by_server(call: &str) -> String {
    format!("{call} WITH ORDINALITY")
}

#[test]
fn any_columns_in_any_order_are_those_of_the_function() {
    let mut client = cluster().database("columns");
    random_graph(&mut client, 0.5, 60, 200);
    for (call, columns) in CALLS {
        let all = columns.join(", ");
        let backwards = columns.iter().rev().copied().collect::<Vec<_>>().join(", ");
        let mut wanted = vec!["count(*)".to_owned(), all, backwards];
        wanted.extend(columns.iter().map(|column| (*column).to_owned()));
        wanted.extend(columns.iter().map(|column| format!("{0}, {0} IS NULL", column)));
        wanted.push(format!("count(DISTINCT {})", columns[1]));
        for wanted in wanted {
            let ours = format!("SELECT {wanted} FROM {call} w");
            let theirs = format!("SELECT {wanted} FROM {} w", by_server(call));
            assert!(is_ours(&mut client, &ours), "{ours}");
            assert!(!is_ours(&mut client, &theirs), "{theirs}");
            assert_eq!(client.text(&ours), client.text(&theirs), "{ours}");
        }
    }
}

#[test]
fn conditions_joins_and_rescans_answer_as_the_servers_scan_does() {
    let mut client = cluster().database("joins");
    random_graph(&mut client, 0.6, 40, 120);
    let ours = [
        "SELECT node_id FROM # WHERE depth = 2 AND edge_kind = 'calls' ORDER BY 1",
        "SELECT count(*) FROM # WHERE path @> ARRAY[node_id]",
        "SELECT depth * 10 + cardinality(path) FROM # WHERE predecessor > 5 ORDER BY 1",
        "SELECT n.name, b.depth FROM onyx.nodes n, onyx.bfs(n.id) b WHERE b.node_id = 2 ORDER BY 1, 2",
        "SELECT n.id, b.node_id FROM onyx.nodes n LEFT JOIN LATERAL onyx.bfs(n.id, max_depth => n.id::int % 3) b ON b.depth = 2 ORDER BY 1, 2",
        "SELECT n.id, (SELECT sum(b.depth) FROM onyx.bfs(n.id) b WHERE b.node_id > n.id) FROM onyx.nodes n ORDER BY 1",
        "SELECT n.id FROM onyx.nodes n WHERE EXISTS (SELECT FROM onyx.bfs(n.id) b WHERE b.node_id = n.id + 1) ORDER BY 1",
        "SELECT n.id FROM onyx.nodes n WHERE n.id IN (SELECT node_id FROM #) ORDER BY 1",
        "SELECT a.node_id, b.node_id FROM # a JOIN # b ON b.predecessor = a.node_id ORDER BY 1, 2",
        "SELECT a.node_id, b.node_id FROM # a FULL JOIN onyx.bfs(3) b USING (node_id) ORDER BY 1, 2",
        "WITH w AS MATERIALIZED (SELECT * FROM #) SELECT v.node_id FROM w v, w u WHERE u.predecessor = v.node_id ORDER BY 1",
        "SELECT depth, array_agg(node_id) FROM # GROUP BY depth ORDER BY 1",
        "SELECT node_id, rank() OVER (ORDER BY depth, node_id) FROM # ORDER BY 2",
        "SELECT b.node_id, c.node_id FROM # b, LATERAL onyx.neighbors(b.node_id, 'out') c, LATERAL onyx.bfs(c.node_id) d WHERE d.node_id = 7 ORDER BY 1, 2",
        "SELECT count(*) FROM (SELECT * FROM # LIMIT 3) q",
        "SELECT p.length, w.node_id FROM onyx.paths(1, 2) p CROSS JOIN LATERAL unnest(p.path) u JOIN onyx.bfs(1) w ON w.node_id = u ORDER BY 1, 2",
    ];
    let call = "onyx.bfs(1, max_depth => 4)";
    for settings in [
        "RESET ALL",
        "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off",
        "SET enable_nestloop = off",
        "SET debug_parallel_query = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
    ] {
        client.run("RESET ALL");
        for sql in ours {
            client.run("RESET ALL");
            let ordinal = |text: &str| {
                // Calls get ordinality wherever they stand.
                let mut made = String::new();
                let mut rest = text;
                while let Some(at) = rest.find("onyx.").filter(|_| rest.contains('(')) {
                    let (before, call) = rest.split_at(at);
                    made.push_str(before);
                    let is_table = call.starts_with("onyx.nodes");
                    let end = if is_table { "onyx.nodes".len() } else { closing(call) };
                    made.push_str(&call[..end]);
                    if !is_table {
                        made.push_str(" WITH ORDINALITY");
                    }
                    rest = &call[end..];
                }
                made.push_str(rest);
                made
            };
            let sql = sql.replace('#', call);
            let theirs = ordinal(&sql);
            assert!(!is_ours(&mut client, &theirs), "{theirs}");
            let expected = client.text(&theirs);
            client.run(settings);
            assert!(is_ours(&mut client, &sql), "{sql}");
            assert_eq!(client.text(&sql), expected, "{settings}: {sql}");
        }
    }
    client.run("RESET ALL");
    // A plan that is kept is run again with other values.
    client.run(
        "SET plan_cache_mode = force_generic_plan;
         PREPARE walk (bigint, text) AS SELECT node_id FROM onyx.bfs($1, $2) WHERE depth > 0",
    );
    for start in 1..20 {
        for direction in ["in", "out", "both"] {
            let again = client.text(&format!("EXECUTE walk ({start}, '{direction}')"));
            let once = client.text(&format!(
                "SELECT node_id FROM onyx.bfs({start}, '{direction}') WITH ORDINALITY WHERE depth > 0"
            ));
            assert_eq!(again, once);
        }
    }
}

/// Where the call that a text begins with ends.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[test]
fn what_it_cannot_do_is_left_to_the_server() {
    let mut client = cluster().database("others");
    random_graph(&mut client, 0.7, 40, 120);
    for sql in [
        "SELECT b FROM onyx.bfs(1) b",
        "SELECT count(*) FROM onyx.bfs(1) b WHERE b IS NOT NULL",
        "SELECT * FROM onyx.bfs(1) WITH ORDINALITY",
        "SELECT * FROM ROWS FROM (onyx.bfs(1), onyx.dfs(1))",
        "SELECT node_id FROM onyx.bfs(1) UNION ALL SELECT node_id FROM onyx.dfs(1)",
        "SELECT n.id FROM onyx.nodes n, onyx.bfs(1) b WHERE b.node_id = n.id FOR UPDATE OF n",
        "UPDATE onyx.nodes n SET doc = 'reached' FROM onyx.bfs(1) b WHERE b.node_id = n.id",
        "DELETE FROM onyx.links l USING onyx.bfs(2, max_depth => 1) b WHERE b.node_id = l.source_id",
    ] {
        if !sql.contains("UNION") {
            assert!(!is_ours(&mut client, sql), "{sql}");
        }
        client.run(sql);
    }
    assert_eq!(
        client.text("SELECT count(*) = (SELECT count(*) FROM onyx.bfs(1)) FROM onyx.nodes WHERE doc = 'reached'"),
        "t"
    );
    // Cursors go both ways, and what comes later is of the same snapshot.
    client.run("BEGIN; DECLARE c SCROLL CURSOR FOR SELECT node_id, depth FROM onyx.bfs(1, 'both')");
    let all = client.text("FETCH ALL FROM c");
    let backwards = client.text("FETCH BACKWARD ALL FROM c");
    let turned: Vec<&str> = backwards.lines().rev().collect();
    assert_eq!(turned.join("\n"), all);
    client.run("COMMIT");
    client.run("BEGIN; DECLARE c CURSOR FOR SELECT node_id, depth FROM onyx.bfs(1, 'both')");
    let first = client.text("FETCH 1 FROM c");
    client.run("DELETE FROM onyx.links");
    let rest = client.text("FETCH ALL FROM c");
    assert_eq!(format!("{first}\n{rest}"), all);
    client.run("ROLLBACK");
    // An error ends it cleanly.
    for sql in [
        "SELECT 1 / (node_id - node_id) FROM onyx.bfs(1)",
        "SELECT * FROM onyx.bfs(1, 'sideways')",
        "SELECT * FROM onyx.bfs(1, max_nodes => 0)",
    ] {
        client.error(sql);
    }
}

#[test]
fn the_right_to_execute_is_asked_for() {
    let mut client = cluster().database("execute");
    random_graph(&mut client, 0.8, 20, 40);
    reader(&mut client);
    client.run(
        "REVOKE EXECUTE ON FUNCTION onyx.bfs(bigint, text, text[], text[], real, integer, bigint, text) FROM PUBLIC;
         SET ROLE policed",
    );
    let error = client.error("SELECT node_id FROM onyx.bfs(1)");
    assert_eq!(error.code().code(), "42501", "{error:?}");
    assert_eq!(client.text("SELECT count(*) > 0 FROM onyx.bfs('{1}'::bigint[])"), "t");
    // A function that somebody wraps in rights or settings of its own is called as he says.
    client.run(
        "RESET ROLE;
         ALTER FUNCTION onyx.dfs(bigint, text, text[], text[], real, integer, bigint, text) SET work_mem = '1MB'",
    );
    assert!(!is_ours(&mut client, "SELECT node_id FROM onyx.dfs(1)"));
    assert_eq!(client.text("SELECT count(*) > 0 FROM onyx.dfs(1)"), "t");
    // Calls are counted like those of any function.
    client.run("SET track_functions = 'all'; SELECT pg_stat_reset()");
    client.run("SELECT node_id FROM onyx.bfs('{1}'::bigint[]); SELECT pg_stat_force_next_flush()");
    assert_eq!(client.text("SELECT calls FROM pg_stat_user_functions WHERE funcname = 'bfs'"), "1");
}
