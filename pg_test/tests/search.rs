//! Protects `onyx.search`, `onyx.similar` and `onyx.words`: right answers by word and by meaning, the
//! indexes used, and words alone when the engine is away.

use std::path::Path;
use std::time::Duration;

use onyx_pg_test::{Cluster, Config, Sql, Tree, eventually};

const SHOP: &[(&str, &str)] = &[
    (
        "web/http.py",
        "\"\"\"HTTP requests.\"\"\"\n\n\ndef parse_cookie_header(header):\n    \"\"\"Read the cookies a browser sent.\"\"\"\n    return dict(p.split('=') for p in header.split(';'))\n\n\ndef dump_cookie(name, value):\n    \"\"\"Write a Set-Cookie header.\"\"\"\n    return name + '=' + value\n\n\ndef open_connection(host):\n    \"\"\"Connect a socket to a server.\"\"\"\n    return host\n",
    ),
    (
        "shop/cart.ts",
        "/** Adds up the prices of all items. */\nexport function computeTotal(items: number[]): number { return items.reduce((a, b) => a + b, 0); }\n\nexport class ShoppingCart {\n  /** Puts an article into the cart. */\n  addItem(item: number) { }\n}\n",
    ),
    (
        "kitchen/src/lib.rs",
        "/// Bakes bread in the oven.\npub fn bake_bread(minutes: u32) -> u32 { minutes }\n\n/// Sorts numbers from small to large.\npub fn sort_numbers(mut v: Vec<u32>) -> Vec<u32> { v.sort(); v }\n\npub struct HTTPServer2 { pub port: u16 }\n",
    ),
    (
        "db/Pool.java",
        "package db;\n\n/** Keeps open connections to the database for reuse. */\npublic class Pool {\n  /** Takes a free connection, or waits for one. */\n  public Object borrowConnection() { return null; }\n}\n",
    ),
];

fn shop() -> (Cluster, Tree) {
    let cluster = Cluster::ready();
    let tree = Tree::of(SHOP);
    let mut client = cluster.connect();
    client.run(&format!("SELECT * FROM onyx.ingest_directory('shop', '{}')", tree.root()));
    assert!(client.one::<bool>("SELECT onyx.wait_for_embeddings('50 s')"));
    (cluster, tree)
}

#[test]
fn smoke_search_finds_by_word_and_by_meaning_and_filters() {
    let (cluster, _tree) = shop();
    let mut client = cluster.connect();
    let mut first = |query: &str, arguments: &str| -> String {
        client.text(&format!("SELECT qualified_name FROM onyx.search('{query}', 1{arguments})"))
    };
    for (query, expected) in [
        ("where is a cookie parsed?", "web.http.parse_cookie_header"),
        ("parseCookieHeader", "web.http.parse_cookie_header"),
        ("parse_cookie_header", "web.http.parse_cookie_header"),
        ("sum of prices", "shop/cart.computeTotal"),
        ("compute total", "shop/cart.computeTotal"),
        ("make a loaf", "crate::bake_bread"),
        ("arrange integers in ascending order", "crate::sort_numbers"),
        ("wait until the database has a free connection", "db.Pool.borrowConnection"),
        ("http server 2", "crate::HTTPServer2"),
    ] {
        let found = first(query, "");
        assert!(found.ends_with(expected), "{query}: {found}");
    }
    assert!(!first("read cookies", ", languages => '{rust,java}'").contains("cookie"));
    assert_eq!(first("cart", ", kinds => '{class}'"), "shop/cart.ShoppingCart");
    assert!(first("connection", ", path_pattern => 'web/%'").ends_with("open_connection"));
    assert_eq!(first("connection", ", repo => 'another'"), "");
    assert!(first("connection", ", repo => 'shop'").contains("onnection"));
    assert_eq!(client.text("SELECT count(*) FROM onyx.search('connection', 3)"), "3");
    assert_eq!(client.text("SELECT count(*) FROM onyx.search('connection', 0)"), "0");
    // No word, only marks, stop words, quotes, a wildcard: no error.
    for query in ["'?!'", "'the of and'", "'it''s \"quoted\" & | ! <-> :* \\ %'"] {
        client.run(&format!("SELECT * FROM onyx.search({query})"));
    }
    for query in ["NULL", "''", "E' \n'"] {
        let sql = format!("SELECT * FROM onyx.search({query})");
        assert_eq!(client.text(&sql), "", "no question has no answer");
    }
    let long = "SELECT count(*) > 0 FROM onyx.search(repeat('cookie ', 50000))";
    assert_eq!(client.text(long), "t");
}

#[test]
fn results_say_how_they_were_found() {
    let (cluster, _tree) = shop();
    let mut client = cluster.connect();
    assert_eq!(
        client.text(
            "SELECT rank, repo_name, path, start_line, end_line, kind, language, signature, lexical_rank,
                    semantic_rank, score > 0, lexical_score > 0, semantic_distance BETWEEN 0 AND 1
             FROM onyx.search('parse the cookie header', 1)"
        ),
        "1|shop|web/http.py|4|6|function|python|def parse_cookie_header(header)|1|1|t|t|t"
    );
    // The score is the reciprocal ranks' sum; the order is the score's; ranks count from 1 without gaps.
    assert_eq!(
        client.text(
            "SELECT bool_and(abs(score - coalesce(1.0 / (5 + lexical_rank), 0)
                                       - coalesce(1.0 / (5 + semantic_rank), 0)) < 1e-12),
                    bool_and(rank = n), count(*) > 5, count(lexical_rank) < count(*),
                    bool_and((semantic_rank IS NULL) = (semantic_distance IS NULL)),
                    bool_and((lexical_rank IS NULL) = (lexical_score IS NULL))
             FROM (SELECT *, row_number() OVER (ORDER BY score DESC, node_id) AS n
                   FROM onyx.search('read a cookie', 20)) t"
        ),
        "t|t|t|t|t|t"
    );
    // The semantic half by its own definition.
    assert_eq!(
        client.text(
            "SELECT bool_and(abs(semantic_distance
                     - (onyx.embed(n.search_text) <=> onyx.embed('read a cookie'))) < 1e-6)
             FROM onyx.search('read a cookie', 20) s JOIN onyx.nodes n ON n.id = s.node_id"
        ),
        "t"
    );
}

#[test]
fn similar_finds_kin_and_not_itself() {
    let (cluster, _tree) = shop();
    let mut client = cluster.connect();
    assert_eq!(
        client.text(
            "SELECT s.qualified_name FROM onyx.nodes n, onyx.similar(n.id, 1) s
             WHERE n.name = 'parse_cookie_header'"
        ),
        "web.http.dump_cookie"
    );
    assert_eq!(
        client.text(
            "SELECT count(*), count(*) FILTER (WHERE s.node_id = n.id),
                    bool_and(distance >= before)
             FROM onyx.nodes n, LATERAL (SELECT *, lag(distance, 1, 0) OVER () AS before FROM onyx.similar(n.id, 5)) s
             WHERE n.name = 'bake_bread' GROUP BY n.id"
        ),
        "5|0|t"
    );
    assert_eq!(client.text("SELECT * FROM onyx.similar(-1)"), "", "a node that does not exist");
    assert_eq!(
        client.text(
            "SELECT s.* FROM onyx.nodes n, onyx.similar(n.id, 3) s WHERE n.kind = 'repository'"
        ),
        "",
        "a node without a text of its own"
    );
}

#[test]
fn words_are_split_as_people_read_them() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    for (text, expected) in [
        ("parse_cookie", "parse cookie"),
        ("parseCookie2", "parse cookie 2"),
        ("HTTPServer", "http server"),
        ("getHTTPResponseCode", "get http response code"),
        ("kebab-case/path.py", "kebab case path py"),
        ("std::vec::Vec<u8>", "std vec vec u 8"),
        ("Straße_ÉCOLE", "straße école"),
        ("日本語", "日本語"),
        ("  ", ""),
        ("", ""),
    ] {
        let found: String =
            client.query_one("SELECT onyx.words($1)", &[&text]).expect("words").get(0);
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn both_indexes_are_used_on_a_repository_of_some_size() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let tree = Tree::new();
    tree.copy_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"), &[".rs"], 1_500_000);
    client.run(&format!("SELECT * FROM onyx.ingest_directory('onyx', '{}')", tree.root()));
    // As autovacuum does: statistics, and the GIN index's pending list merged.
    client.run("VACUUM ANALYZE onyx.nodes");
    let searched: i64 = client.one("SELECT count(*) FROM onyx.nodes WHERE search_text IS NOT NULL");
    assert!(searched >= 1_000, "{searched} searched nodes");
    client.run("LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on");
    let before = cluster.log().len();
    client.run("SELECT * FROM onyx.search('open the store')");
    let log = cluster.log().split_off(before);
    let explained = client.explain("SELECT * FROM onyx.search('open the store')");
    for (name, plan) in [("auto_explain", &log), ("EXPLAIN", &explained)] {
        for index in ["nodes_semantic", "nodes_lexemes"] {
            assert!(plan.contains(index), "{name} shows no {index}:\n{plan}");
        }
    }
    let filtered = client.explain(
        "SELECT * FROM onyx.search('open the store', 5, 'onyx', '{function,method}', '{rust}', '%store%')",
    );
    assert!(filtered.contains("nodes_lexemes"), "{filtered}");
    // A limit's worth of rows comes although the filter throws most away.
    assert_eq!(client.text("SELECT count(*) FROM onyx.search('open', 5, 'onyx', '{enum}')"), "5");
}

#[test]
fn lexemes_are_what_full_text_search_makes_of_the_text() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let tree = Tree::new();
    tree.copy_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"), &[".rs"], 1_500_000);
    let many = "again ".repeat(300) + &"filler the of ".repeat(6_000);
    tree.write(
        "odd.py",
        format!("def f():\n    \"\"\"Größe ½ x² Ünïcode 日本語 running runs 1e5 v2 {many}\"\"\"\n")
            .as_bytes(),
    );
    client.run(&format!("SELECT * FROM onyx.ingest_directory('onyx', '{}')", tree.root()));
    let searched: i64 = client.one("SELECT count(*) FROM onyx.nodes WHERE lexemes IS NOT NULL");
    assert!(searched >= 1_000, "{searched} searched nodes");
    let naive = "pg_catalog.to_tsvector('onyx.code', onyx.words(search_text))";
    assert_eq!(
        client.text(&format!(
            "SELECT coalesce(string_agg(concat(qualified_name, ': ', lexemes, ' not ', {naive}), E'\\n'), '')
             FROM onyx.nodes WHERE lexemes IS DISTINCT FROM {naive}"
        )),
        ""
    );
}

#[test]
fn without_the_engine_search_answers_by_words_and_says_so() {
    let (cluster, _tree) = shop();
    let (mut client, notices) = cluster.connect_hearing("postgres");
    let sql = "SELECT qualified_name FROM onyx.search('parse cookie header', 5)";
    assert!(client.text(sql).starts_with("web.http.parse_cookie_header"));
    assert!(notices.take("WARNING").is_empty());
    cluster.disable_engine();
    assert!(client.text(sql).starts_with("web.http.parse_cookie_header"));
    let warnings = notices.take("WARNING");
    assert!(
        warnings.iter().any(|w| w.message().contains("words") && w.hint().is_some()),
        "{warnings:?}"
    );
    assert_eq!(
        client.text("SELECT count(*) FROM onyx.search('parse cookie header', 50) WHERE semantic_rank IS NOT NULL OR lexical_rank IS NULL"),
        "0"
    );
    // What has no meaning without the model says so.
    let error = client.error(
        "SELECT search_text OPERATOR(onyx.<=>) 'x' FROM onyx.nodes WHERE search_text IS NOT NULL",
    );
    assert_eq!(error.code().code(), "58000", "{error:?}");
    cluster.enable_engine();
    eventually("semantic answers again", Duration::from_secs(20), || {
        (client
            .text("SELECT count(*) > 0 FROM onyx.search('make a loaf', 5) WHERE semantic_rank = 1")
            == "t")
            .then_some(())
    });
}

#[test]
fn edited_and_forgotten_code_is_searched_as_it_is_now() {
    let (cluster, tree) = shop();
    let mut client = cluster.connect();
    let ingest = format!("SELECT * FROM onyx.ingest_directory('shop', '{}')", tree.root());
    tree.write("kitchen/src/lib.rs", "/// Washes the dishes.\npub fn wash_dishes() {}\n");
    client.run(&ingest);
    client.run("SELECT onyx.wait_for_embeddings()");
    assert_eq!(
        client.text(
            "SELECT count(*) FROM onyx.search('bake bread', 50) WHERE qualified_name LIKE '%bake%'"
        ),
        "0"
    );
    assert!(
        client
            .text("SELECT qualified_name FROM onyx.search('clean plates', 1)")
            .ends_with("wash_dishes")
    );
    client.run("VACUUM onyx.nodes");
    assert_eq!(client.text("SELECT * FROM onyx.check_index('onyx.nodes_semantic')"), "");
    client.run("SELECT onyx.forget('shop')");
    assert_eq!(client.text("SELECT * FROM onyx.search('cookie')"), "");
    client.run("VACUUM onyx.nodes");
    client.run(&ingest);
    client.run("SELECT onyx.wait_for_embeddings()");
    assert!(
        client.text("SELECT qualified_name FROM onyx.search('read cookies', 1)").contains("cookie")
    );
    assert_eq!(client.text("SELECT * FROM onyx.check_index('onyx.nodes_semantic')"), "");
}

#[test]
fn the_queue_of_texts_survives_the_engine_and_the_server() {
    let cluster = Cluster::start(Config::new());
    let mut client = cluster.database("queue");
    client.run("CREATE TABLE notes (id int, note text); CREATE INDEX notes_note ON notes USING onyx_hnsw (note onyx.text_semantic_ops)");
    client.run("INSERT INTO notes SELECT i, 'note number ' || i || repeat(' about the kitchen', 20) FROM generate_series(1, 600) i");
    let pending = "SELECT pending FROM onyx.stat_index WHERE indexname = 'notes_note'";
    let before: i64 = client.one(pending);
    assert!(before > 100, "{before} texts wait");
    let pid: i32 = client.one("SELECT pid FROM onyx.stat_engine");
    onyx_pg_test::process::signal(pid, onyx_pg_test::process::Signal::KILL);
    onyx_pg_test::workload::wait_for_end(pid, Duration::from_secs(5));
    onyx_pg_test::cluster::wait_for_engine(&mut client);
    let after: i64 = client.one(pending);
    println!("{before} texts waited, {after} after the engine's death");
    assert!(after > 0 && after <= before, "{before} then {after}");
    drop(client);
    cluster.kill_postmaster();
    cluster.start_again();
    let mut client = cluster.connect_to("queue");
    onyx_pg_test::cluster::wait_for_engine(&mut client);
    assert!(client.one::<bool>("SELECT onyx.wait_for_embeddings('50 s')"));
    assert_eq!(
        client.text(
            "SELECT state, entries, pending FROM onyx.stat_index WHERE indexname = 'notes_note'"
        ),
        "ready|600|0"
    );
    assert_eq!(client.text("SELECT * FROM onyx.check_index('notes_note')"), "");
    // A wait that is too short says so.
    client.run("INSERT INTO notes SELECT i, 'another note ' || i || repeat(' about the garden', 20) FROM generate_series(1, 300) i");
    assert!(!client.one::<bool>("SELECT onyx.wait_for_embeddings('100 ms')"));
}
