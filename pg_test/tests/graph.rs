//! Protects traversals: the answers of naive twins in SQL and Rust on random graphs, read directly and
//! by query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use onyx_pg_test::graph::{CASES, Case, both_ways, random_graph, reader};
use onyx_pg_test::{Cluster, Config, Sql};
use postgres::Client;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

#[test]
fn smoke_breadth_first_equals_a_recursive_query() {
    let mut client = cluster().database("bfs");
    for (seed, nodes, edges) in [(0.1, 40, 60), (0.2, 60, 200), (0.3, 200, 400), (0.4, 12, 60)] {
        random_graph(&mut client, seed, nodes, edges);
        if seed == 0.1 {
            reader(&mut client);
        }
        if seed == 0.3 {
            // Pages whose rows are visible to all are read without the heap.
            client.run("VACUUM onyx.links, onyx.nodes");
            client.run("DELETE FROM onyx.links WHERE id % 7 = 0; INSERT INTO onyx.links (repo_id, source_id, target_id, kind) SELECT 1, i, i + 1, 'calls' FROM generate_series(1, 20) i");
        }
        for case in CASES {
            for starts in ["'{1}'", "'{3,7,9,9,100000,NULL}'"] {
                let (arguments, edges, depth) = (case.arguments(), case.edges(), case.depth);
                let call = format!("onyx.bfs({starts}::bigint[], {arguments})");
                let ours = both_ways(&mut client, &format!("SELECT * FROM {call}"));
                let twin = client.text(&format!(
                    "WITH RECURSIVE e AS MATERIALIZED (SELECT * FROM {edges} q), b (node, d) AS (
                         SELECT n.id, 0 FROM onyx.nodes n WHERE n.id = ANY ({starts}::bigint[])
                         UNION SELECT e.t, b.d + 1 FROM b JOIN e ON e.f = b.node WHERE b.d < {depth})
                     SELECT node, min(d) FROM b GROUP BY node ORDER BY 2, 1"
                ));
                let nodes: Vec<String> = ours
                    .lines()
                    .map(|l| l.split('|').take(2).collect::<Vec<_>>().join("|"))
                    .collect();
                assert_eq!(nodes.join("\n"), twin, "{call} on {seed}");
                // Every row's predecessor is one level up, over an edge of the kind, and ends the path.
                let wrong = client.text(&format!(
                    "WITH r AS (SELECT * FROM {call}), e AS (SELECT * FROM {edges} q)
                     SELECT r.* FROM r WHERE truncated OR cardinality(path) <> depth + 1
                         OR path[depth + 1] <> node_id
                         OR depth = 0 AND (predecessor IS NOT NULL OR edge_kind IS NOT NULL)
                         OR depth > 0 AND (path[depth] IS DISTINCT FROM predecessor
                            OR NOT EXISTS (SELECT FROM e WHERE f = predecessor AND t = node_id AND kind = edge_kind)
                            OR NOT EXISTS (SELECT FROM r p WHERE p.node_id = r.predecessor AND p.depth = r.depth - 1
                                             AND p.path = r.path[:r.depth]))"
                ));
                assert_eq!(wrong, "", "{call} on {seed}");
                // neighbors is the same without the starts.
                let around = both_ways(
                    &mut client,
                    &format!("SELECT * FROM onyx.neighbors({starts}::bigint[], {arguments})"),
                );
                let without: Vec<&str> =
                    ours.lines().filter(|l| l.split('|').nth(1) != Some("0")).collect();
                assert_eq!(around, without.join("\n"));
                // One row at a time gives the same rows.
                let one_by_one = client.text(&format!("SELECT ({call}).*"));
                assert_eq!(one_by_one, ours);
            }
        }
    }
    // One id is an array of one.
    assert_eq!(
        client.text("SELECT * FROM onyx.bfs(1)"),
        client.text("SELECT * FROM onyx.bfs(ARRAY[1])")
    );
    assert_eq!(client.text("SELECT * FROM onyx.bfs(NULL::bigint)"), "");
    assert_eq!(client.text("SELECT * FROM onyx.bfs('{}'::bigint[])"), "");
    assert_eq!(client.text("SELECT * FROM onyx.bfs(-5)"), "");
}

/// Neighbours by node, sorted, as a case allows.
fn adjacency(client: &mut Client, case: &Case) -> BTreeMap<i64, BTreeSet<i64>> {
    let rows = client.query(&format!("SELECT f, t FROM {} q", case.edges()), &[]).expect("edges");
    let mut all: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for row in rows {
        all.entry(row.get(0)).or_default().insert(row.get(1));
    }
    all
}

#[test]
fn depth_first_equals_its_recursive_definition() {
    fn visit(
        edges: &BTreeMap<i64, BTreeSet<i64>>,
        node: i64,
        depth: i32,
        max: i32,
        seen: &mut BTreeSet<i64>,
        path: &mut Vec<i64>,
        out: &mut Vec<String>,
    ) {
        if !seen.insert(node) {
            return;
        }
        let before = path.last().map(i64::to_string).unwrap_or_default();
        path.push(node);
        let way: Vec<String> = path.iter().map(i64::to_string).collect();
        out.push(format!("{node}|{depth}|{before}|{{{}}}", way.join(",")));
        if depth < max {
            for next in edges.get(&node).into_iter().flatten() {
                visit(edges, *next, depth + 1, max, seen, path, out);
            }
        }
        path.pop();
    }
    let mut client = cluster().database("dfs");
    for (seed, nodes, edges) in [(0.5, 50, 90), (0.6, 150, 600)] {
        random_graph(&mut client, seed, nodes, edges);
        if seed == 0.5 {
            reader(&mut client);
        }
        for case in CASES {
            let sql = format!(
                "SELECT node_id, depth, predecessor, path FROM onyx.dfs('{{2,1}}'::bigint[], {})",
                case.arguments()
            );
            let edges = adjacency(&mut client, case);
            let max: i32 = case.depth.parse().expect("a number");
            let (mut seen, mut expected) = (BTreeSet::new(), Vec::new());
            for start in [1, 2] {
                visit(&edges, start, 0, max, &mut seen, &mut Vec::new(), &mut expected);
            }
            assert_eq!(both_ways(&mut client, &sql), expected.join("\n"), "{sql}");
        }
    }
}

#[test]
fn paths_and_shortest_paths_equal_all_simple_paths() {
    let mut client = cluster().database("paths");
    for (seed, nodes, edges) in [(0.7, 14, 30), (0.8, 20, 30)] {
        random_graph(&mut client, seed, nodes, edges);
        if seed == 0.7 {
            reader(&mut client);
        }
        for case in CASES {
            for (source, target) in [(1, 5), (9, 2), (4, 4), (12, 11), (1, 999)] {
                let (edges, depth) = (case.edges(), case.depth);
                let args = format!(
                    "{source}, {target}, '{}', {}, {}, {}, {depth}, NULL",
                    case.direction, case.edge_kinds, case.node_kinds, case.confidence
                );
                // The ends are let pass whatever they are.
                let open = Case { node_kinds: "NULL", repo: "NULL", ..*case };
                let twin = format!(
                    "WITH RECURSIVE e AS MATERIALIZED (
                         SELECT DISTINCT f, t FROM {edges} q
                         UNION SELECT f, t FROM {} q WHERE t = {target}),
                     p (path) AS (
                         SELECT ARRAY[id] FROM onyx.nodes WHERE id = {source}
                         UNION ALL
                         SELECT path || t FROM p JOIN e ON f = path[cardinality(path)]
                         WHERE cardinality(path) <= {depth} AND t <> ALL (path)
                           AND path[cardinality(path)] <> {target})
                     SELECT cardinality(path) - 1 AS length, path FROM p WHERE path[cardinality(path)] = {target}",
                    open.edges()
                );
                let ours = both_ways(
                    &mut client,
                    &format!("SELECT length, path FROM onyx.paths({args}, NULL, {})", case.repo),
                );
                let sorted = |text: &str| {
                    let mut lines: Vec<String> = text.lines().map(String::from).collect();
                    lines.sort();
                    lines.join("\n")
                };
                let expected = client.text(&twin);
                assert_eq!(sorted(&ours), sorted(&expected), "{args} on {seed}");
                let lengths: Vec<i32> = ours
                    .lines()
                    .map(|l| l.split('|').next().and_then(|n| n.parse().ok()).expect("a length"))
                    .collect();
                assert!(lengths.is_sorted(), "{lengths:?}");
                let shortest = client.text(&format!(
                    "SELECT max(depth), (array_agg(path::text ORDER BY depth DESC))[1] FROM onyx.shortest_path({args}, {})",
                    case.repo
                ));
                let length = client.text(&format!("SELECT min(length) FROM ({twin}) q"));
                assert_eq!(shortest.split('|').next(), Some(length.as_str()), "{args} on {seed}");
                assert!(
                    shortest == "|" || expected.lines().any(|l| l == shortest),
                    "{shortest} is none of\n{expected}"
                );
            }
        }
    }
}

#[test]
fn components_cycles_and_ranks_equal_their_definitions() {
    let mut client = cluster().database("whole");
    for (seed, nodes, edges) in [(0.15, 40, 30), (0.25, 12, 22), (0.35, 60, 90)] {
        random_graph(&mut client, seed, nodes, edges);
        if seed == 0.15 {
            reader(&mut client);
        }
        for (kinds, repo) in [("NULL", "NULL"), ("'{calls,references}'", "NULL"), ("NULL", "'a'")] {
            let e = format!(
                "SELECT DISTINCT source_id AS f, target_id AS t FROM onyx.edges
                 JOIN onyx.nodes s ON s.id = source_id JOIN onyx.nodes n ON n.id = target_id
                 WHERE ({kinds}::text[] IS NULL OR edges.kind = ANY ({kinds}::text[]))
                   AND ({repo}::text IS NULL OR s.repo_id = 1 AND n.repo_id = 1)"
            );
            for strong in [false, true] {
                let ours = both_ways(
                    &mut client,
                    &format!(
                        "SELECT size, array_agg(node_id ORDER BY node_id) FROM onyx.components({repo}, {kinds}, strong => {strong})
                         GROUP BY component, size ORDER BY component"
                    ),
                );
                let (both, same) = if strong {
                    ("SELECT f, t FROM e", "EXISTS (SELECT FROM r b WHERE b.x = r.y AND b.y = r.x)")
                } else {
                    ("SELECT f, t FROM e UNION SELECT t, f FROM e", "true")
                };
                let twin = client.text(&format!(
                    "WITH RECURSIVE e AS MATERIALIZED ({e}), w (f, t) AS MATERIALIZED ({both}), r (x, y) AS (
                         SELECT f, f FROM w UNION SELECT t, t FROM w UNION SELECT r.x, w.t FROM r JOIN w ON w.f = r.y)
                     SELECT cardinality(c), c FROM (
                         SELECT DISTINCT array_agg(y ORDER BY y) AS c FROM r WHERE {same} GROUP BY x) q
                     WHERE cardinality(c) > 1 ORDER BY 1 DESC, c"
                ));
                assert_eq!(ours, twin, "strong: {strong}, {kinds} {repo} on {seed}");
            }
            let ours = both_ways(
                &mut client,
                &format!(
                    "SELECT path FROM onyx.cycles({repo}, {kinds}, max_length => 5, max_cycles => NULL)"
                ),
            );
            let twin = client.text(&format!(
                "WITH RECURSIVE e AS MATERIALIZED ({e}), p (path) AS (
                     SELECT DISTINCT ARRAY[f] FROM e
                     UNION ALL SELECT path || t FROM p JOIN e ON f = path[cardinality(path)]
                     WHERE t > path[1] AND t <> ALL (path) AND cardinality(path) < 5)
                 SELECT path FROM p JOIN e ON f = path[cardinality(path)] AND t = path[1]
                 ORDER BY path[1], cardinality(path), path"
            ));
            assert_eq!(ours, twin, "cycles of {kinds} {repo} on {seed}");
        }
        for seeds in ["NULL", "'{1,5}'"] {
            let sql = format!(
                "SELECT node_id, score FROM onyx.rank({seeds}, edge_kinds => NULL, max_results => NULL)"
            );
            both_ways(&mut client, &sql);
            assert_ranks(&mut client, &sql, seeds);
        }
    }
    assert_eq!(client.text("SELECT sum(size) FROM (SELECT DISTINCT component, size FROM onyx.components(min_size => 1)) q"), "60");
    assert_eq!(client.text("SELECT count(*) FROM onyx.rank('{999}')"), "0");
    assert_eq!(
        client.text("SELECT abs(sum(score) - 1) < 1e-6 FROM onyx.rank(max_results => NULL)"),
        "t"
    );
    let error = client.error("SELECT * FROM onyx.components(max_edges => 10)");
    assert_eq!(error.code().code(), "54000", "{error:?}");
}

/// PageRank by its definition, one dense step after another.
#[track_caller]
fn assert_ranks(client: &mut Client, sql: &str, seeds: &str) {
    let ids = client.column::<i64>("SELECT id FROM onyx.nodes ORDER BY id");
    let starts = client.column::<i64>(&format!(
        "SELECT id FROM onyx.nodes WHERE {seeds}::bigint[] IS NULL OR id = ANY ({seeds}::bigint[])"
    ));
    let edges = client
        .query(
            "SELECT source_id, target_id, max(confidence)::float8 FROM onyx.edges GROUP BY 1, 2",
            &[],
        )
        .expect("edges");
    let mut out: BTreeMap<i64, Vec<(i64, f64)>> = BTreeMap::new();
    for row in edges {
        out.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    let jump = 1.0 / starts.len() as f64;
    let mut score: BTreeMap<i64, f64> = starts.iter().map(|id| (*id, jump)).collect();
    for _ in 0..300 {
        let mut next: BTreeMap<i64, f64> = BTreeMap::new();
        for (id, s) in &score {
            let ways = out.get(id).map(Vec::as_slice).unwrap_or_default();
            let sum: f64 = ways.iter().map(|w| w.1).sum();
            if sum <= 0.0 {
                for start in &starts {
                    *next.entry(*start).or_default() += 0.85 * s * jump;
                }
            }
            for (to, weight) in ways.iter().filter(|_| sum > 0.0) {
                *next.entry(*to).or_default() += 0.85 * s * weight / sum;
            }
        }
        for start in &starts {
            *next.entry(*start).or_default() += 0.15 * jump;
        }
        score = next;
    }
    let rows = client.query(sql, &[]).expect("ranks");
    let mut last = f64::INFINITY;
    for row in &rows {
        let (id, ours): (i64, f64) = (row.get(0), row.get(1));
        assert!((ours - score[&id]).abs() < 1e-6, "{id}: {ours} and {}", score[&id]);
        assert!(ours <= last);
        last = ours;
    }
    let positive = ids.iter().filter(|id| score.get(id).is_some_and(|s| *s > 0.0)).count();
    assert_eq!(rows.len(), positive);
}
