//! Protects what the graph is made of beside source code: users' nodes and edges, which outlive the
//! source they point at, and the database's own objects; and runs every example of docs/graph.md.

use std::sync::OnceLock;

use onyx_pg_test::page::examples;
use onyx_pg_test::{Cluster, Config, Sql, Tree};
use postgres::Client;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

const SHOP: &[(&str, &str)] = &[
    (
        "shop/orders.py",
        "def total(items):\n    \"\"\"Compute the total price of items.\"\"\"\n    return sum(items)\n\n\ndef checkout(items):\n    return store(total(items))\n",
    ),
    (
        "shop/store.py",
        "def store(order):\n    return connect().write(order)\n\n\ndef connect():\n    \"\"\"Open the database.\"\"\"\n",
    ),
];

/// The shop with the calls its source has.
fn shop(database: &str) -> (Client, Tree) {
    let mut client = cluster().database(database);
    let tree = Tree::of(SHOP);
    client.run(&format!("SELECT * FROM onyx.ingest_directory('shop', '{}')", tree.root()));
    client.run(
        "DELETE FROM onyx.links;
         INSERT INTO onyx.links (repo_id, file_id, source_id, target_id, kind, line, col, resolution, confidence)
         SELECT s.repo_id, s.file_id, s.id, t.id, 'calls', line, 12, 'test', 0.9
         FROM (VALUES ('checkout', 'total', 7), ('checkout', 'store', 7), ('store', 'connect', 2)) c (source, target, line)
         JOIN onyx.nodes s ON s.name = source AND s.kind = 'function'
         JOIN onyx.nodes t ON t.name = target AND t.kind = 'function'",
    );
    (client, tree)
}

#[test]
fn every_example_of_the_documentation_gives_what_it_says() {
    let (mut client, _tree) = shop("examples");
    assert!(client.one::<bool>("SELECT onyx.wait_for_embeddings('50 s')"));
    let page = include_str!("../../docs/graph.md");
    let examples = examples(page);
    for (statement, answer) in &examples {
        assert_eq!(client.text(statement), *answer, "{statement}");
    }
    let count = examples.len();
    assert!(count >= 25, "{count} examples");
    // Every public function of the graph has one.
    let functions = client.column::<String>(
        "SELECT DISTINCT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'onyx'::regnamespace
         AND p.proname IN ('neighbors', 'callers', 'callees', 'bfs', 'dfs', 'shortest_path', 'paths', 'subgraph',
             'impact', 'cycles', 'components', 'rank', 'repo_map', 'context', 'export_graph', 'add_node',
             'update_node', 'remove_node', 'add_edge', 'update_edge', 'remove_edge', 'ingest_catalog')",
    );
    assert_eq!(functions.len(), 22);
    for function in functions {
        let example = format!("onyx.{function}(");
        assert!(
            page.split("```sql\n")
                .skip(1)
                .any(|e| e.split("```").next().is_some_and(|s| s.contains(&example))),
            "{function}"
        );
    }
}

/// Users' edges: kind, what they point at, and whether they wait.
fn made(client: &mut Client) -> String {
    client.text(
        "SELECT l.kind, coalesce(n.qualified_name, '?'), l.properties FROM onyx.links l
         LEFT JOIN onyx.nodes n ON n.id = l.target_id WHERE l.origin = 'user'
         UNION ALL SELECT d.kind, 'waits for ' || coalesce(d.target_name, d.source_name), d.properties
         FROM onyx.detached_links d ORDER BY 1, 2",
    )
}

#[test]
fn users_nodes_and_edges_outlive_the_source() {
    let (mut client, tree) = shop("users");
    let ingest = format!("SELECT * FROM onyx.ingest_directory('shop', '{}')", tree.root());
    client.run(
        "SELECT onyx.add_node('service', 'billing', 'company.billing', 'Bills people.', '{\"team\": 3}');
         SELECT onyx.add_edge(s.id, t.id, t.name || '_edge', '{\"why\": \"test\"}', 0.8)
         FROM onyx.nodes s, onyx.nodes t WHERE s.kind = 'service' AND t.name IN ('total', 'connect');
         SELECT onyx.add_edge(s.id, t.id, 'backwards') FROM onyx.nodes s, onyx.nodes t
         WHERE s.name = 'total' AND t.kind = 'service'",
    );
    let whole = "backwards|company.billing|{}\nconnect_edge|shop.store.connect|{\"why\": \"test\"}\ntotal_edge|shop.orders.total|{\"why\": \"test\"}";
    assert_eq!(made(&mut client), whole);
    assert_eq!(
        client.text("SELECT origin, repo_id, file_id, parent_id, ordinal, properties FROM onyx.nodes WHERE kind = 'service'"),
        "user|||||{\"team\": 3}"
    );
    // An edit that keeps the definitions keeps everything.
    tree.write("shop/orders.py", format!("\n\n{}", SHOP[0].1));
    client.run(&ingest);
    assert_eq!(made(&mut client), whole);
    // One end goes; the edge waits, and no edge lacks a node.
    tree.write("shop/orders.py", "def other():\n    pass\n");
    client.run(&ingest);
    let waiting = "backwards|waits for shop.orders.total|{}\nconnect_edge|shop.store.connect|{\"why\": \"test\"}\ntotal_edge|waits for shop.orders.total|{\"why\": \"test\"}";
    assert_eq!(made(&mut client), waiting);
    assert_eq!(
        client.text(
            "SELECT count(*) FROM onyx.nodes s, onyx.neighbors(s.id) WHERE s.kind = 'service'"
        ),
        "1"
    );
    // It comes back, also in another file of the same name, with the same id.
    tree.write("shop/orders.py", SHOP[0].1);
    client.run(&ingest);
    assert_eq!(made(&mut client), whole);
    client.run("SELECT onyx.forget('shop', 'shop/store.py')");
    client.run("SELECT onyx.forget('shop')");
    assert!(made(&mut client).lines().all(|l| l.contains("waits for")), "{}", made(&mut client));
    assert_eq!(client.text("SELECT count(*) FROM onyx.nodes"), "1");
    client.run(&ingest);
    assert_eq!(made(&mut client), whole);
    // In a transaction that is rolled back nothing happens to them.
    client.run("BEGIN; SELECT onyx.forget('shop'); ROLLBACK");
    assert_eq!(made(&mut client), whole);
    // Changes.
    client.run("SELECT onyx.update_node(id, name => 'payments', properties => '{}') FROM onyx.nodes WHERE kind = 'service'");
    assert_eq!(
        client.text(
            "SELECT name, qualified_name, doc, properties FROM onyx.nodes WHERE kind = 'service'"
        ),
        "payments|company.billing|Bills people.|{}"
    );
    client.run(
        "SELECT onyx.update_edge(id, kind => 'uses') FROM onyx.links WHERE kind = 'total_edge'",
    );
    assert_eq!(
        client.text(
            "SELECT kind, confidence, origin, properties FROM onyx.edges WHERE kind = 'uses'"
        ),
        "uses|0.8|user|{\"why\": \"test\"}"
    );
    client.run("SELECT onyx.remove_edge(id) FROM onyx.links WHERE kind = 'uses'");
    // A user's node takes its edges along, those that wait too.
    client.run("SELECT onyx.forget('shop', 'shop/store.py')");
    client.run("SELECT onyx.remove_node(id) FROM onyx.nodes WHERE kind = 'service'");
    assert_eq!(made(&mut client), "");
    // What is not a user's is refused.
    for (statement, code) in [
        ("SELECT onyx.remove_node(id) FROM onyx.nodes WHERE name = 'total'", "42809"),
        ("SELECT onyx.update_node(id, name => 'x') FROM onyx.nodes WHERE name = 'total'", "42809"),
        ("SELECT onyx.remove_node(-1)", "42704"),
        ("SELECT onyx.remove_edge(-1)", "42704"),
        ("SELECT onyx.update_edge(NULL)", "42704"),
        ("SELECT onyx.add_edge(-1, -2, 'x')", "42704"),
        ("SELECT onyx.add_edge(NULL, NULL, 'x')", "42704"),
        ("SELECT onyx.add_node('', 'x')", "23514"),
        ("SELECT onyx.add_node(NULL, 'x')", "23502"),
        ("SELECT onyx.add_node(repeat('k', 64), 'x')", "23514"),
        ("SELECT onyx.add_edge(id, id, 'x', '{}', 1.5) FROM onyx.nodes LIMIT 1", "23514"),
    ] {
        let error = client.error(statement);
        assert_eq!(error.code().code(), code, "{statement}: {error:?}");
    }
}

#[test]
fn the_catalog_becomes_nodes_once_and_follows_changes() {
    let mut client = cluster().database("catalog");
    let call = "SELECT * FROM onyx.ingest_catalog()";
    client.run(
        "CREATE SCHEMA app;
         CREATE TABLE app.people (id int PRIMARY KEY, name text NOT NULL, \"Odd Name\" int);
         COMMENT ON TABLE app.people IS 'Who we know';
         CREATE TABLE app.visits (person int REFERENCES app.people, at timestamptz DEFAULT now());
         CREATE VIEW app.seen AS SELECT p.name, v.at FROM app.people p JOIN app.visits v ON v.person = p.id;
         CREATE MATERIALIZED VIEW app.seen_often AS SELECT name FROM app.seen GROUP BY name HAVING count(*) > 1;
         CREATE FUNCTION app.last_seen(who text) RETURNS timestamptz STABLE LANGUAGE sql
         BEGIN ATOMIC SELECT max(at) FROM app.seen WHERE name = who; END;
         CREATE FUNCTION app.forget_visits() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             -- not about people
             DELETE FROM app.visits WHERE person = old.id;
             RETURN old;
         END $$;
         CREATE TRIGGER forget BEFORE DELETE ON app.people FOR EACH ROW EXECUTE FUNCTION app.forget_visits();
         CREATE PROCEDURE app.clean() LANGUAGE plpgsql AS 'BEGIN PERFORM app.last_seen(''x''); END'",
    );
    let first = client.text(call);
    let counts: Vec<i64> = first.split('|').map(|n| n.parse().expect("a number")).collect();
    assert_eq!((counts[0], counts[2]), (counts[1], 0), "{first}");
    let ids = client.text("SELECT id, qualified_name FROM onyx.nodes ORDER BY 1");
    let nodes = client.text("SELECT n.kind, n.qualified_name, p.qualified_name FROM onyx.nodes n LEFT JOIN onyx.nodes p ON p.id = n.parent_id ORDER BY 1, 2");
    for node in [
        "schema|app|",
        "table|app.people|app",
        "column|app.people.\"Odd Name\"|app.people",
        "view|app.seen|app",
        "materialized_view|app.seen_often|app",
        "function|app.last_seen(text)|app",
        "procedure|app.clean()|app",
        "trigger|app.people.forget|app.people",
    ] {
        assert!(nodes.lines().any(|l| l == node), "{node} in\n{nodes}");
    }
    assert!(!nodes.contains("vector"), "an extension's objects are its own:\n{nodes}");
    assert_eq!(
        client.text(
            "SELECT doc, signature, origin FROM onyx.nodes WHERE kind = 'table' AND name = 'people'"
        ),
        "Who we know|table app.people|catalog"
    );
    let edges = "SELECT s.qualified_name, l.kind, t.qualified_name, l.resolution, l.confidence
                 FROM onyx.links l JOIN onyx.nodes s ON s.id = l.source_id JOIN onyx.nodes t ON t.id = l.target_id ORDER BY 1, 2, 3";
    let all = client.text(edges);
    for edge in [
        "app.seen|depends_on|app.people.name|pg_depend|1",
        "app.seen_often|depends_on|app.seen.name|pg_depend|1",
        "app.last_seen(text)|depends_on|app.seen.at|pg_depend|1",
        "app.visits.person|references|app.people.id|pg_constraint|1",
        "app.people.forget|calls|app.forget_visits()|pg_trigger|1",
        "app.forget_visits()|depends_on|app.visits|name|0.7",
        "app.forget_visits()|depends_on|app.visits.person|name|0.5",
        "app.clean()|calls|app.last_seen(text)|name|0.7",
    ] {
        assert!(all.lines().any(|l| l == edge), "{edge} in\n{all}");
    }
    // A comment names nothing; nobody depends on himself.
    assert!(!all.contains("app.forget_visits()|depends_on|app.people|"), "{all}");
    assert_eq!(client.text("SELECT count(*) FROM onyx.links WHERE source_id = target_id"), "0");
    // Again: nothing is written.
    let again = client.text(call);
    assert_eq!(again, format!("{}|0|0|{}|0|0", counts[0], counts[3]));
    assert_eq!(client.text("SELECT id, qualified_name FROM onyx.nodes ORDER BY 1"), ids);
    // What breaks with a column: all views above it, and functions on these.
    let impact = "SELECT string_agg(DISTINCT qualified_name, ' ' ORDER BY qualified_name)
                  FROM onyx.impact((SELECT id FROM onyx.nodes WHERE qualified_name = 'app.people.name')) WHERE kind <> 'column'";
    assert_eq!(client.text(impact), "app.clean() app.last_seen(text) app.seen app.seen_often");
    // Changes: only those.
    client.run("ALTER TABLE app.people DROP COLUMN \"Odd Name\"; ALTER TABLE app.visits ADD note text; DROP PROCEDURE app.clean()");
    let changed =
        client.text("SELECT nodes_changed, nodes_removed FROM onyx.ingest_catalog('{app}')");
    assert_eq!(changed, "1|2");
    let fresh_edges = client.text(edges);
    let fresh_nodes =
        client.text("SELECT kind, qualified_name, signature, doc FROM onyx.nodes ORDER BY 1, 2");
    client.run("DELETE FROM onyx.nodes; DELETE FROM onyx.links");
    client.run(call);
    assert_eq!(client.text(edges), fresh_edges, "a first reading finds the same edges");
    client.run("DELETE FROM onyx.nodes WHERE qualified_name = 'public'");
    assert_eq!(
        client.text("SELECT kind, qualified_name, signature, doc FROM onyx.nodes ORDER BY 1, 2"),
        fresh_nodes
            .lines()
            .filter(|l| !l.starts_with("schema|public|"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    // A schema that is gone goes with all it had; the others stay.
    client.run("DROP SCHEMA app CASCADE");
    client.run("SELECT * FROM onyx.ingest_catalog('{app}')");
    assert_eq!(client.text("SELECT count(*) FROM onyx.nodes"), "0");
    assert_eq!(client.text("SELECT count(*) FROM onyx.links"), "0");
}

#[test]
fn exports_are_well_formed_whatever_names_hold() {
    let mut client = cluster().database("exports");
    client.run(
        "SELECT onyx.add_node('a\"b<&>|', E'n\\\\1\"\\n#<x>&]]>', properties => '{\"k\": \"<\\\"&\"}');
         SELECT onyx.add_node('plain', 'two');
         SELECT onyx.add_edge((SELECT min(id) FROM onyx.nodes), (SELECT max(id) FROM onyx.nodes), 'e\"|<')",
    );
    let export = |format: &str| {
        format!("(SELECT onyx.export_graph(array_agg(id), '{format}') FROM onyx.nodes)")
    };
    assert_eq!(
        client.text(&format!(
            "SELECT jsonb_array_length(j->'nodes'), jsonb_array_length(j->'edges'), j->'edges'->0->>'kind',
                    (j->'nodes'->0->>'name') = (SELECT name FROM onyx.nodes ORDER BY id LIMIT 1)
             FROM (SELECT {}::jsonb AS j) q",
            export("json")
        )),
        "2|1|e\"|<|t"
    );
    assert_eq!(client.text("SELECT onyx.export_graph('{}')::jsonb->'nodes'"), "[]");
    let graphml = client.text(&format!("SELECT {}", export("graphml")));
    for part in
        ["&lt;x&gt;&amp;]]&gt;", "<data key=\"edge_kind\">e&quot;|&lt;</data>", "</graphml>"]
    {
        assert!(graphml.contains(part), "{part} in {graphml}");
    }
    assert_eq!(graphml.matches("<node ").count(), 2);
    let dot = client.text(&format!("SELECT {}", export("dot")));
    assert!(dot.contains(r#"n\\1\"\n#<x>"#) && dot.contains(r#"[label="e\"|<"]"#), "{dot}");
    let mermaid = client.text(&format!("SELECT {}", export("mermaid")));
    assert!(
        mermaid.starts_with("flowchart LR\n") && mermaid.contains("-->|\"e#quot;#124;#lt;\"|"),
        "{mermaid}"
    );
    assert_eq!(mermaid.lines().count(), 4, "{mermaid}");
    let error = client.error("SELECT onyx.export_graph('{1}', 'svg')");
    assert!(error.code().code() == "22023" && error.hint().is_some(), "{error:?}");
}

#[test]
fn context_and_map_keep_to_their_budget_and_search_follows_edges() {
    let (mut client, _tree) = shop("budgets");
    assert!(client.one::<bool>("SELECT onyx.wait_for_embeddings('50 s')"));
    for budget in [0, 3, 10, 20, 40, 1000] {
        let used = client.text(&format!(
            "SELECT coalesce(sum(tokens), 0) <= {budget} FROM onyx.context((SELECT id FROM onyx.nodes WHERE name = 'checkout'), {budget})"
        ));
        assert_eq!(used, "t", "{budget}");
        let used = client.text(&format!(
            "SELECT coalesce(sum(tokens), 0) <= {budget} FROM onyx.repo_map('shop', {budget})"
        ));
        assert_eq!(used, "t", "{budget}");
    }
    assert_eq!(client.text("SELECT count(*) FROM onyx.repo_map('shop', 1000)"), "4");
    // The text asked for comes first, cut where it must be.
    let total = "SELECT part, content FROM onyx.context((SELECT id FROM onyx.nodes WHERE name = 'total'), 5)";
    assert_eq!(client.text(total), "body|def total(items)");
    // What short texts leave of their share goes to the long ones.
    let texts = "SELECT qualified_name, content FROM onyx.context((SELECT array_agg(id ORDER BY name DESC) FROM onyx.nodes
                 WHERE name IN ('total', 'store') AND kind = 'function'), 40) WHERE part = 'body'";
    assert_eq!(
        client.text(texts),
        "shop.orders.total|def total(items):\n    \"\"\"Compute the total price of items.\"\"\"\n    re\nshop.store.store|def store(order):\n    return connect().write(order)"
    );
    // Documentation before a definition belongs to its text; what has no source has a signature.
    client.run("SELECT onyx.ingest_file('rust', 'src/lib.rs', E'/// Adds one.\npub fn add(a: i32) -> i32 {\n    a + 1\n}\n')");
    client.run("SELECT onyx.add_node('ticket', 'T-1')");
    let text = "SELECT content FROM onyx.context((SELECT id FROM onyx.nodes WHERE name = 'add')) WHERE part = 'body'";
    assert_eq!(client.text(text), "Adds one.\npub fn add(a: i32) -> i32 {\n    a + 1\n}");
    let ticket = "SELECT content FROM onyx.context((SELECT id FROM onyx.nodes WHERE name = 'T-1'))";
    assert_eq!(client.text(ticket), "T-1");
    assert_eq!(
        client.text("SELECT part FROM onyx.context('open the database', 200, 1) LIMIT 1"),
        "body"
    );
    // A hit's neighbour is found that has nothing of the question itself.
    let far = "SELECT count(*) FROM onyx.search('open the database', 4, hops => 2) WHERE qualified_name LIKE '%checkout' OR graph_distance > 0";
    assert_ne!(client.text(far), "0");
    assert_eq!(
        client.text("SELECT bool_and(graph_distance = 0 AND via IS NULL), count(*) FROM onyx.search('open the database', 2)"),
        "t|2"
    );
    assert_eq!(
        client.text("SELECT count(*), bool_and(rank = n), bool_and(score <= before) FROM (
            SELECT rank, score, row_number() OVER () AS n, lag(score, 1, 'Infinity') OVER () AS before
            FROM onyx.search('open the database', 3, hops => 1)) q"),
        "3|t|t"
    );
}
