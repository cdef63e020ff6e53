//! Protects the graph and search at a commit: edges are those of a clean ingest of the checkout, between
//! nodes that keep their ids; neighbours are theirs; search answers what it answers on a clean ingest.

use std::path::Path;

use onyx_pg_test::clean::{self, assert_same};
use onyx_pg_test::git::{self, Random};
use onyx_pg_test::{Cluster, GitRepo, Sql, Tree};
use postgres::Client;

/// Whether a commit's edges are those of a clean ingest of its tree.
#[track_caller]
fn assert_clean(client: &mut Client, repo: &str, at: &str, tree: &Tree) {
    clean::ingest_clean(client, tree);
    clean::assert_clean_edges(client, repo, at);
}

/// Whether the head's edges are those the tables show, with the same ids.
#[track_caller]
fn assert_shown(client: &mut Client, repo: &str) {
    let columns = "source_id, target_id, kind, line, col, resolution, confidence";
    let shown = format!(
        "SELECT {columns} FROM onyx.edges WHERE repo_id = (SELECT id FROM onyx.repos WHERE name = '{repo}')"
    );
    let as_of = format!("SELECT {columns} FROM onyx.edges_as_of('{repo}')");
    assert_same(client, &as_of, &shown, "at the head");
}

#[test]
fn edges_at_any_commit_are_those_of_a_clean_ingest() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    for seed in 11..=13 {
        let repo = git::random_history(seed, 40);
        let mut random = Random::new(seed);
        let name = format!("random{seed}");
        client.run(&format!("CALL onyx.ingest_git('{name}', '{}')", repo.root()));
        assert_shown(&mut client, &name);
        let commits = repo.commits();
        for _ in 0..10 {
            let commit = &commits[random.below(commits.len())];
            assert_clean(&mut client, &name, commit, &repo.checkout(commit));
        }
        for branch in repo.branches() {
            assert_clean(&mut client, &name, &branch, &repo.checkout(&branch));
        }
    }
    // Of calls beside each other in a target list each has all its rows.
    assert_eq!(
        client.text(
            "SELECT (SELECT count(*) FROM onyx.edges_as_of('random11')) > 10, count(a), count(b) = count(a)
             FROM (SELECT onyx.edges_as_of('random11') AS a, onyx.edges_as_of('random11') AS b) t"
        )
        .split('|')
        .map(|cell| if cell == "t" { "t" } else { "n" })
        .collect::<String>(),
        "tnt"
    );
    assert_eq!(client.text("SELECT * FROM onyx.edges_as_of(NULL)"), "");
    let error = client.error("SELECT * FROM onyx.edges_as_of('random11', 'nowhere')");
    assert_eq!(error.code().code(), "42704");
}

const SHOP: &str =
    "def total(items):\n    return sum(items)\n\n\ndef checkout(items):\n    return total(items)\n";
const STORE: &str = "def connect():\n    return 1\n\n\ndef store(item):\n    return connect()\n";

fn shop() -> GitRepo {
    let mut repo = GitRepo::new();
    repo.tree.write("shop.py", SHOP);
    repo.commit("first");
    repo.git(&["tag", "v1"]);
    repo.tree.write("store.py", STORE);
    repo.tree.write(
        "shop.py",
        SHOP.replace("def total", "from store import store\n\n\ndef total")
            .replace("return total(items)", "store(items)\n    return total(items)"),
    );
    repo.commit("second");
    repo.git(&["tag", "v2"]);
    repo.tree.write("shop.py", SHOP.replace("return total(items)", "return 0"));
    repo.commit("third");
    repo
}

#[test]
fn neighbors_at_a_commit_are_those_of_its_edges() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let repo = shop();
    client.run(&format!("CALL onyx.ingest_git('shop', '{}')", repo.root()));
    let mut around = |arguments: &str| -> String {
        client.text(&format!(
            "SELECT w.depth, w.edge_kind, s.qualified_name
             FROM onyx.neighbors((SELECT id FROM onyx.nodes WHERE name = 'checkout'), {arguments}) w
             JOIN onyx.nodes s ON s.id = w.node_id ORDER BY 1, 2, 3"
        ))
    };
    assert_eq!(around("edge_kinds => '{calls}', at => 'v1'"), "1|calls|shop.total");
    assert_eq!(
        around("'out', '{calls}', at => 'v2', max_depth => 2"),
        "1|calls|shop.total\n1|calls|store.store\n2|calls|store.connect"
    );
    assert_eq!(around("edge_kinds => '{calls}', at => 'main'"), "");
    assert_eq!(around("edge_kinds => '{calls}'"), "");
    assert_eq!(around("'in', '{calls}', at => 'v2'"), "");
    assert_eq!(around("node_kinds => '{file}', at => 'v2'"), "1|contains|shop.py");
    // Callers and callees say what was to be seen then.
    let mut calls = |function: &str, of: &str, arguments: &str| -> String {
        client.text(&format!(
            "SELECT c.depth, c.kind, c.qualified_name, c.signature, c.repo_name, c.file_path, c.start_line, c.edge_kind,
                    c.lines, cardinality(c.path), c.truncated
             FROM onyx.{function}((SELECT id FROM onyx.nodes WHERE name = '{of}'), {arguments}) c"
        ))
    };
    let total = SHOP.lines().position(|line| line.starts_with("def total")).map_or(0, |at| at + 1);
    let call = SHOP.lines().position(|line| line.contains("return total(")).map_or(0, |at| at + 1);
    assert_eq!(
        calls("callees", "checkout", "at => 'v1'"),
        format!("1|function|shop.total|def total(items)|shop|shop.py|{total}|calls|{{{call}}}|2|f")
    );
    assert_eq!(calls("callees", "checkout", "at => 'main'"), "");
    assert_eq!(calls("callees", "checkout", "max_depth => 1"), "");
    assert_eq!(
        calls("callees", "checkout", "max_depth => 2, at => 'v2'").lines().count(),
        3,
        "total, store, connect"
    );
    let callers = calls("callers", "connect", "max_depth => 9, at => 'v2'");
    let callers: Vec<&str> = callers.lines().map(|l| l.split('|').nth(2).unwrap_or("")).collect();
    assert_eq!(callers, ["store.store", "shop.checkout"]);
    assert_eq!(
        calls("callers", "connect", "max_depth => 9, max_nodes => 1, at => 'v2'"),
        "1|function|store.store|def store(item)|shop|store.py|5|calls|{6}|2|t"
    );
    assert_eq!(
        calls("callees", "checkout", "'{contains}', at => 'v2'"),
        "",
        "a function contains nothing"
    );
    // What was not there has no neighbours, and needs no node at the head to have had some.
    assert_eq!(
        client.text("SELECT n.id FROM onyx.nodes n, onyx.neighbors(n.id, at => 'v1') WHERE n.name = 'connect'"),
        ""
    );
    assert_eq!(client.text("SELECT count(*) FROM onyx.neighbors(-1, at => 'v1')"), "0");
    client.run("SELECT * FROM onyx.ingest_file('other', 'x.py', 'def f(): pass'::text)");
    let error = client.error(
        "SELECT * FROM onyx.neighbors((SELECT array_agg(id) FROM onyx.nodes), at => 'main')",
    );
    assert_eq!(error.code().code(), "22023");

    // In a random history: all neighbours of all nodes, by the edges and by the walk.
    let random = git::random_history(21, 30);
    client.run(&format!("CALL onyx.ingest_git('random', '{}')", random.root()));
    let commits = random.commits();
    for commit in [&commits[commits.len() / 3], &commits[commits.len() / 2]] {
        let walked = format!(
            "SELECT n.id, w.node_id FROM onyx.nodes_as_of('random', '{commit}') n,
             onyx.neighbors(n.id, at => '{commit}') w"
        );
        let edges = format!(
            "WITH e AS MATERIALIZED (SELECT * FROM onyx.edges_as_of('random', '{commit}'))
             SELECT source_id, target_id FROM e WHERE source_id <> target_id
             UNION SELECT target_id, source_id FROM e WHERE source_id <> target_id"
        );
        assert_same(&mut client, &walked, &edges, &format!("around {commit}"));
    }
    // Reading takes no transaction id: a standby and a parallel worker have none.
    let commit = &commits[3];
    client.run("BEGIN");
    for sql in [
        format!("SELECT count(*) FROM onyx.nodes_as_of('random', '{commit}') n, onyx.neighbors(n.id, at => '{commit}') w"),
        "SELECT count(*) FROM onyx.neighbors((SELECT id FROM onyx.nodes WHERE name = 'checkout'), at => 'v2')".to_owned(),
        format!("SELECT count(*) FROM onyx.edges_as_of('random', '{commit}')"),
        "SELECT count(*) FROM onyx.edges_as_of('random', now())".to_owned(),
        format!("SELECT count(*) FROM onyx.search('load', repo => 'random', at => '{commit}')"),
    ] {
        client.run(&sql);
        assert_eq!(client.text("SELECT pg_current_xact_id_if_assigned()"), "", "{sql}");
    }
    client.run("COMMIT");
    // What may be read is asked each time, whatever the session keeps.
    client.run("CREATE ROLE nobody; SET ROLE nobody");
    for sql in [
        "SELECT * FROM onyx.neighbors(1, at => 'v2')",
        "SELECT * FROM onyx.callers(1, at => 'v2')",
        "SELECT * FROM onyx.callees(1, at => 'v2')",
        "SELECT * FROM onyx.edges_as_of('shop', 'v2')",
        "SELECT * FROM onyx.search('total', repo => 'shop', at => 'v2')",
    ] {
        assert_eq!(client.error(sql).code().code(), "42501", "{sql}");
    }
}

const QUESTIONS: [(&str, &str); 5] = [
    ("score documents by okapi bm25", ""),
    ("cursor fetch rows", ", kinds => '{function,method}'"),
    ("error", ""),
    ("where are edges resolved", ", path_pattern => 'graph/%', languages => '{rust}'"),
    ("name of the kind", ""),
];

/// What a search says of each hit, without ids and ranks, which ties may give either way.
fn answers(client: &mut Client, question: &str, arguments: &str) -> Vec<String> {
    client.column(&format!(
        "SELECT concat_ws(' ', path, start_line, end_line, kind, language, qualified_name, signature,
                          round(lexical_score::numeric, 9), round(semantic_distance::numeric, 6))
         FROM onyx.search('{question}', 400{arguments}) ORDER BY path COLLATE \"C\", start_line, qualified_name COLLATE \"C\""
    ))
}

/// The first hits' ranks are those of their scores among all, and so are their own scores.
#[track_caller]
fn assert_ranked(client: &mut Client, question: &str, arguments: &str) {
    let all = format!("SELECT * FROM onyx.search('{question}', 400{arguments})");
    let wrong: Vec<String> = client.column(&format!(
        "WITH a AS MATERIALIZED ({all}), words AS (
             SELECT lexical_score, row_number() OVER (ORDER BY lexical_score DESC) AS place
             FROM a WHERE lexical_score IS NOT NULL
         ), meanings AS (
             SELECT semantic_distance, row_number() OVER (ORDER BY semantic_distance) AS place
             FROM a WHERE semantic_distance IS NOT NULL
         )
         SELECT f::text FROM (
             SELECT *, row_number() OVER (ORDER BY score DESC, node_id) AS place
             FROM onyx.search('{question}'{arguments})) f
         LEFT JOIN words w ON w.place = f.lexical_rank
         LEFT JOIN meanings m ON m.place = f.semantic_rank
         WHERE f.rank <> f.place
            OR (f.lexical_rank IS NULL) <> (f.lexical_score IS NULL)
            OR (f.semantic_rank IS NULL) <> (f.semantic_distance IS NULL)
            OR abs(w.lexical_score - f.lexical_score) > 1e-9
            OR abs(m.semantic_distance - f.semantic_distance) > 1e-6
            OR abs(f.score - coalesce(1.0 / (5 + f.lexical_rank), 0) - coalesce(1.0 / (5 + f.semantic_rank), 0)) > 1e-9"
    ));
    assert_eq!(wrong, [""; 0], "{question}{arguments}");
    let count = format!(
        "SELECT count(*) = least(10, (SELECT count(*) FROM ({all}) a)) FROM onyx.search('{question}'{arguments})"
    );
    assert!(client.one::<bool>(&count), "{question}{arguments}");
}

fn around(client: &mut Client, question: &str, arguments: &str) -> Vec<String> {
    client.column(&format!(
        "SELECT concat_ws(' ', path, start_line, qualified_name, graph_distance)
         FROM onyx.search('{question}', 200{arguments}) ORDER BY path COLLATE \"C\", start_line, qualified_name COLLATE \"C\""
    ))
}

/// Real code with a history: parts of this project, which grow and are edited.
fn real_history() -> GitRepo {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut repo = GitRepo::new();
    repo.tree.copy_from(&source.join("extension/search"), &[".rs"], 1_000_000);
    repo.commit("search");
    repo.git(&["tag", "v1"]);
    let graph = Tree::new();
    graph.copy_from(&source.join("extension/graph"), &[".rs"], 1_000_000);
    repo.tree.rename_in(&graph, "graph");
    repo.commit("graph");
    repo.git(&["tag", "v2"]);
    for (path, from, to) in [
        ("bm25.rs", "/// The best documents", "/// The most relevant documents"),
        ("graph/rows.rs", "pub fn begin", "pub fn start"),
        ("words.rs", "fn words", "fn split"),
    ] {
        let text = std::fs::read_to_string(repo.tree.path(path)).expect("a file");
        assert!(text.contains(from), "{path} has no {from}");
        repo.tree.write(path, text.replace(from, to));
    }
    repo.tree.rename("lexicon.rs", "dictionary/lexicon.rs");
    repo.tree.remove("graph/cycles.rs");
    repo.commit("edits");
    repo
}

#[test]
fn search_at_a_commit_is_search_on_a_clean_ingest_of_it() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let repo = real_history();
    client.run(&format!("CALL onyx.ingest_git('code', '{}')", repo.root()));
    assert!(client.one::<bool>("SELECT onyx.wait_for_embeddings('10 min')"));
    // Each text once, whichever table it is in.
    assert_eq!(
        client.text(
            "SELECT (SELECT sum(embedded) FROM onyx.stat_embedding) = count(DISTINCT t.x)
             FROM (SELECT search_text FROM onyx.nodes UNION SELECT search_text FROM onyx.search_texts) t (x)
             WHERE t.x IS NOT NULL"
        ),
        "t"
    );
    client.run("VACUUM ANALYZE onyx.search_texts");
    for (number, at) in ["v1", "v2", "main"].into_iter().enumerate() {
        let database = format!("clean{number}");
        client.run(&format!("CREATE DATABASE {database}"));
        let mut clean = cluster.connect_to(&database);
        clean.run("CREATE EXTENSION onyx CASCADE");
        let tree = repo.checkout(at);
        clean.run(&format!("SELECT * FROM onyx.ingest_directory('code', '{}')", tree.root()));
        assert!(clean.one::<bool>("SELECT onyx.wait_for_embeddings('10 min')"));
        clean.run("VACUUM ANALYZE onyx.nodes");
        for (question, filter) in QUESTIONS {
            let as_of = format!("{filter}, repo => 'code', at => '{at}'");
            let (then, now) =
                (answers(&mut client, question, &as_of), answers(&mut clean, question, filter));
            assert_eq!(then, now, "{question}{filter} at {at}");
            assert_ranked(&mut client, question, &as_of);
        }
        // With what the graph has around the hits.
        let hops = ", hops => 1, kinds => '{function,method}'";
        let then = around(&mut client, "okapi", &format!("{hops}, at => '{at}'"));
        assert_eq!(then, around(&mut clean, "okapi", hops), "hops at {at}");
    }
    // The same nodes at the head, by both ways.
    assert_eq!(
        client.text(
            "SELECT count(*) FROM onyx.search('cursor fetch rows', repo => 'code', at => 'main') a
             FULL JOIN onyx.search('cursor fetch rows', repo => 'code') b USING (node_id)
             WHERE a.path IS DISTINCT FROM b.path OR a.start_line IS DISTINCT FROM b.start_line"
        ),
        "0"
    );
    // The same for who is under policies, which hide nothing here: by queries, and nothing kept.
    let found = "SELECT node_id, round(score::numeric, 9), semantic_distance IS NULL
                 FROM onyx.search('open a cursor', repo => 'code', at => 'v2')";
    let direct = client.text(found);
    client.run(
        "CREATE ROLE policed; GRANT SELECT ON ALL TABLES IN SCHEMA onyx TO policed;
         ALTER TABLE onyx.search_texts ENABLE ROW LEVEL SECURITY;
         CREATE POLICY every ON onyx.search_texts TO policed USING (true); SET ROLE policed",
    );
    assert_eq!(client.text(found), direct);
    client
        .run("RESET ROLE; ALTER POLICY every ON onyx.search_texts USING (false); SET ROLE policed");
    assert_eq!(client.text(found), "");
    client.run("RESET ROLE");
    // A rollback, and what a transaction sees of its own commits.
    let found = "SELECT count(*) FROM onyx.search('walrus_feeding', repo => 'code', at => 'main')
                 WHERE path = 'walrus.py'";
    client.run("BEGIN");
    client.run(
        "SELECT * FROM onyx.ingest_file('code', 'walrus.py', 'def walrus_feeding(): pass'::text)",
    );
    assert_eq!(client.text(found), "1");
    client.run("ROLLBACK");
    assert_eq!(client.text(found), "0");
}

#[test]
fn search_at_a_commit_of_plain_ingests_finds_what_never_changed() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    client.run(&format!(
        "SELECT * FROM onyx.ingest_file('shop', 'shop.py', $onyx${SHOP}$onyx$);
         SELECT * FROM onyx.ingest_file('shop', 'store.py', $onyx${STORE}$onyx$)"
    ));
    let mut at = |sql: &str, at: &str| -> String {
        client.run(sql);
        assert!(client.one::<bool>("SELECT onyx.wait_for_embeddings('1 min')"));
        client.text(&format!(
            "SELECT string_agg(name, ' ' ORDER BY name COLLATE \"C\") FROM (
                 SELECT (onyx.version_at(node_id, '{at}')).name
                 FROM onyx.search('sum of the items', at => '{at}')) t"
        ))
    };
    let first = at("SELECT 1", "#1");
    assert_eq!(first, "checkout total", "at the first commit");
    assert_eq!(at("SELECT 1", "#2"), "checkout connect store total");
    // Changed for the first time: at the first commit it is as it was, in the same session.
    let renamed = SHOP.replace("total", "grand_total");
    let ingest =
        format!("SELECT * FROM onyx.ingest_file('shop', 'shop.py', $onyx${renamed}$onyx$)");
    assert_eq!(at(&ingest, "#1"), first);
    assert_eq!(at("SELECT 1", "main"), "checkout connect grand_total store");
    assert_eq!(at("SELECT onyx.forget('shop', 'store.py')", "main"), "checkout grand_total");
    assert_eq!(at("SELECT 1", "#2"), "checkout connect store total");

    // Without the engine's half words answer alone, and it is said.
    assert_eq!(client.text("SELECT * FROM onyx.search(NULL, at => 'main')"), "");
    assert_eq!(client.text("SELECT * FROM onyx.search(' ', at => 'main')"), "");
    assert_eq!(client.text("SELECT * FROM onyx.search('items', 0, at => 'main')"), "");
    assert_eq!(client.text("SELECT * FROM onyx.search('?!', 0, at => 'main')"), "");
    let error = client.error("SELECT * FROM onyx.search('items', at => 'nowhere')");
    assert_eq!(error.code().code(), "42704");
    client.run("SELECT * FROM onyx.ingest_file('other', 'x.py', 'def f(): pass'::text)");
    let error = client.error("SELECT * FROM onyx.search('items', at => 'main')");
    assert_eq!(error.code().code(), "22023");
}
