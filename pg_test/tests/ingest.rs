//! Protects ingestion: right rows, one transaction, only what changed, and every bad file accounted for.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use onyx_pg_test::workload::big_tree;
use onyx_pg_test::{Cluster, Config, Sql, Tree, eventually};
use postgres::Client;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

fn ingest(tree: &Tree, repo: &str) -> String {
    format!(
        "SELECT files, files_changed, files_removed, nodes, skipped FROM onyx.ingest_directory('{repo}', '{}')",
        tree.root()
    )
}

/// Everything known of a repository but ids, its name and the time.
fn content(client: &mut Client, repo: &str) -> String {
    let files = client.text(&format!(
        "SELECT path, language, module, content_hash, size, lines, package, doc
         FROM onyx.files f JOIN onyx.repos r ON r.id = repo_id WHERE r.name = '{repo}' ORDER BY 1"
    ));
    let nodes = client.text(&format!(
        "SELECT f.path, n.kind, CASE n.kind WHEN 'repository' THEN '' ELSE n.name END,
                CASE n.kind WHEN 'repository' THEN '' ELSE n.qualified_name END, n.start_byte, n.end_byte,
                n.start_line, n.end_line, n.language, n.visibility, n.signature, n.doc, n.attributes,
                n.content_hash, n.search_text, n.lexemes, n.ordinal, n.origin, p.kind, p.start_byte,
                CASE p.kind WHEN 'repository' THEN '' ELSE p.qualified_name END
         FROM onyx.nodes n JOIN onyx.repos r ON r.id = n.repo_id
         LEFT JOIN onyx.files f ON f.id = n.file_id LEFT JOIN onyx.nodes p ON p.id = n.parent_id
         WHERE r.name = '{repo}' ORDER BY 1, n.start_byte, n.end_byte DESC, 2, 4, n.content_hash"
    ));
    let errors = client.text(&format!(
        "SELECT e.path, reason, skipped, line, detail FROM onyx.ingest_errors e
         JOIN onyx.repos r ON r.id = repo_id WHERE r.name = '{repo}' ORDER BY 1, 2, 4, 5"
    ));
    format!("{files}\n--\n{nodes}\n--\n{errors}")
}

/// An ingest after changes must leave what a first ingest of the same tree gives.
#[track_caller]
fn assert_as_fresh(client: &mut Client, tree: &Tree, repo: &str) {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let fresh = format!("fresh{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    client.run(&ingest(tree, &fresh));
    let (ours, theirs) = (content(client, repo), content(client, &fresh));
    for (a, b) in ours.lines().zip(theirs.lines()) {
        assert_eq!(a, b, "incremental against fresh");
    }
    assert_eq!(ours.lines().count(), theirs.lines().count());
    client.run(&format!("SELECT onyx.forget('{fresh}')"));
    assert_sound(client);
}

/// What foreign keys would say, had the table any.
#[track_caller]
fn assert_sound(client: &mut Client) {
    assert_eq!(
        client.text(
            "SELECT 'repo', n.id FROM onyx.nodes n WHERE NOT EXISTS (SELECT FROM onyx.repos r WHERE r.id = n.repo_id)
             UNION ALL
             SELECT 'file', n.id FROM onyx.nodes n WHERE file_id IS NOT NULL
                 AND NOT EXISTS (SELECT FROM onyx.files f WHERE f.id = n.file_id AND f.repo_id = n.repo_id)
             UNION ALL
             SELECT 'parent', n.id FROM onyx.nodes n WHERE parent_id IS NOT NULL
                 AND NOT EXISTS (SELECT FROM onyx.nodes p WHERE p.id = n.parent_id AND p.repo_id = n.repo_id)
             UNION ALL
             SELECT 'orphan', n.id FROM onyx.nodes n WHERE parent_id IS NULL AND kind <> 'repository'
             UNION ALL
             SELECT 'span', n.id FROM onyx.nodes n JOIN onyx.nodes p ON p.id = n.parent_id AND p.file_id = n.file_id
                 WHERE n.start_byte < p.start_byte OR n.end_byte > p.end_byte"
        ),
        ""
    );
}

const SMALL: &[(&str, &str)] = &[
    (
        "src/lib.rs",
        "//! A crate.\n\n/// Parses.\npub fn parse(input: &str) -> u32 { helper(input) }\n\nfn helper(_: &str) -> u32 { 1 }\n\nmod inner {\n    pub struct Deep;\n    impl Deep {\n        pub fn method(&self) {}\n    }\n}\n",
    ),
    ("src/store/keys.rs", "pub const LIMIT: usize = 3;\npub enum Key { One, Two }\n"),
    (
        "app/views.py",
        "\"\"\"Views.\"\"\"\n\n\nclass View:\n    \"\"\"A view.\"\"\"\n\n    @property\n    def title(self):\n        def nested():\n            return 1\n        return nested()\n\n\ndef index(request):\n    return View()\n",
    ),
    ("app/__init__.py", ""),
    (
        "web/cart.ts",
        "export interface Item { price: number }\nexport const total = (items: Item[]): number => items.reduce((a, i) => a + i.price, 0);\n",
    ),
    ("web/App.tsx", "export function App() { return <div>hello</div>; }\n"),
    (
        "web/legacy.js",
        "class Cart { add(item) { this.items.push(item); } }\nmodule.exports = { Cart };\n",
    ),
    (
        "net/server.go",
        "// Package net serves.\npackage net\n\ntype Server struct { Port int }\n\n// Serve serves.\nfunc (s *Server) Serve() error { return nil }\n",
    ),
    (
        "java/Order.java",
        "package shop;\n\n/** An order. */\npublic class Order {\n  private final int id;\n  public Order(int id) { this.id = id; }\n  public int id() { return id; }\n  record Line(String sku) {}\n}\n",
    ),
];

#[test]
fn smoke_six_languages_become_the_expected_nodes() {
    let mut client = cluster().database("languages");
    let tree = Tree::of(SMALL);
    assert_eq!(
        client.text(&ingest(&tree, "r")).split('|').take(3).collect::<Vec<_>>(),
        ["9", "9", "0"]
    );
    let expected = "app/views.py|class|app.views.View|4|11
app/views.py|property|app.views.View.title|7|11
app/views.py|function|app.views.index|14|15
java/Order.java|class|shop.Order|4|9
java/Order.java|constructor|shop.Order.Order|6|6
java/Order.java|method|shop.Order.id|7|7
java/Order.java|record|shop.Order.Line|8|8
net/server.go|struct|Server|4|4
net/server.go|method|Serve|7|7
src/lib.rs|function|crate::parse|4|4
src/lib.rs|function|crate::helper|6|6
src/lib.rs|struct|crate::inner::Deep|9|9
src/lib.rs|method|crate::inner::Deep::method|11|11
src/store/keys.rs|constant|crate::store::keys::LIMIT|1|1
src/store/keys.rs|enum|crate::store::keys::Key|2|2
web/App.tsx|function|web/App.App|1|1
web/cart.ts|interface|web/cart.Item|1|1
web/cart.ts|function|web/cart.total|2|2
web/legacy.js|class|web/legacy.Cart|1|1
web/legacy.js|method|web/legacy.Cart.add|1|1";
    let found = client.text(
        "SELECT path, kind, qualified_name, start_line, end_line
         FROM onyx.nodes n JOIN onyx.files f ON f.id = file_id ORDER BY path, start_byte, end_byte DESC",
    );
    for line in expected.lines() {
        let wanted: Vec<&str> = line.split('|').collect();
        let there = found.lines().any(|l| {
            let l: Vec<&str> = l.split('|').collect();
            l[0] == wanted[0]
                && l[1] == wanted[1]
                && (l[2] == wanted[2] || l[2].ends_with(&format!(".{}", wanted[2])))
                && l[3..] == wanted[3..]
        });
        assert!(there, "{line} is not among\n{found}");
    }
    assert_eq!(
        client.text("SELECT doc, visibility, signature FROM onyx.nodes WHERE name = 'parse'"),
        "Parses.|public|pub fn parse(input: &str) -> u32"
    );
    assert_eq!(
        client.text(
            "SELECT string_agg(DISTINCT p.kind || '>' || c.kind, ' ' ORDER BY p.kind || '>' || c.kind)
             FROM onyx.edges e JOIN onyx.nodes p ON p.id = source_id JOIN onyx.nodes c ON c.id = target_id
             WHERE p.kind IN ('repository', 'directory')"
        ),
        "directory>directory directory>file repository>directory"
    );
    // A node's span and hash are the file's bytes.
    for (path, name) in
        [("src/lib.rs", "helper"), ("app/views.py", "title"), ("java/Order.java", "id")]
    {
        let bytes = std::fs::read(tree.path(path)).expect(path);
        let row = client
            .query_one(
                "SELECT start_byte, end_byte, n.content_hash FROM onyx.nodes n JOIN onyx.files f ON f.id = file_id
                 WHERE path = $1 AND name = $2 AND kind IN ('function', 'method', 'property')",
                &[&path, &name],
            )
            .expect("one node");
        let (from, to): (i32, i32) = (row.get(0), row.get(1));
        let body = &bytes[from as usize..to as usize];
        assert!(String::from_utf8_lossy(body).contains(name));
        let hash: Vec<u8> =
            client.query_one("SELECT substr(sha256($1), 1, 16)", &[&body]).expect("a hash").get(0);
        assert_eq!(hash, row.get::<_, Vec<u8>>(2), "{path} {name}");
    }
    assert_sound(&mut client);
}

#[test]
fn a_file_by_value_equals_the_same_file_in_a_directory() {
    let mut client = cluster().database("by_value");
    let tree = Tree::of(SMALL);
    client.run(&ingest(&tree, "directory"));
    for (path, content) in SMALL {
        client
            .execute("SELECT * FROM onyx.ingest_file('values', $1, $2::text)", &[path, content])
            .unwrap_or_else(|e| panic!("{path}: {}", onyx_pg_test::sql::describe(&e)));
    }
    let (a, b) = (content(&mut client, "directory"), content(&mut client, "values"));
    for (a, b) in a.lines().zip(b.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(a.len(), b.len());
    // The language by hand, where the path does not tell; and one there is no parser for.
    let sql = "SELECT files_changed FROM onyx.ingest_file('values', 'script', 'def main(): pass', language => ";
    assert_eq!(client.text(&format!("{sql}'python')")), "1");
    for sql in [
        format!("{sql}'cobol')"),
        "SELECT * FROM onyx.ingest_file('values', 'notes.txt', 'hello')".into(),
        "SELECT * FROM onyx.ingest_file('values', '../escape.py', 'x = 1')".into(),
        "SELECT * FROM onyx.ingest_file('values', '/etc/x.py', 'x = 1')".into(),
        "SELECT * FROM onyx.ingest_file('values', '', 'x = 1')".into(),
        "SELECT * FROM onyx.ingest_file('', 'a.py', 'x = 1')".into(),
    ] {
        let error = client.error(&sql);
        assert!(["22023", "23514"].contains(&error.code().code()), "{sql}: {error:?}");
    }
    // Again: nothing to do. Something else: changed. Bytes work too.
    let again = "SELECT files, files_changed, nodes FROM onyx.ingest_file('values', 'a.py', 'def a(): pass')";
    client.run(again);
    assert_eq!(client.text(again), "1|0|0");
    assert_eq!(
        client.text("SELECT files_changed FROM onyx.ingest_file('values', 'a.py', '\\x646566206228293a2070617373'::bytea)"),
        "1"
    );
    assert_eq!(client.text("SELECT name FROM onyx.nodes n JOIN onyx.files f ON f.id = file_id WHERE path = 'a.py' AND kind = 'function'"), "b");
}

#[test]
fn an_unchanged_tree_costs_no_row() {
    let mut client = cluster().database("unchanged");
    let tree = Tree::of(SMALL);
    client.run(&ingest(&tree, "r"));
    let rows = "SELECT id, xmin::text, ctid::text FROM onyx.nodes
                UNION ALL SELECT id, xmin::text, ctid::text FROM onyx.files ORDER BY 1, 2, 3";
    let before = client.text(rows);
    assert_eq!(client.text(&ingest(&tree, "r")), "9|0|0|0|{}");
    // Touched, not changed.
    tree.write("src/lib.rs", SMALL[0].1);
    assert_eq!(client.text(&ingest(&tree, "r")), "9|0|0|0|{}");
    assert_eq!(client.text(rows), before);
}

#[test]
fn edits_renames_and_deletions_leave_what_a_fresh_ingest_gives() {
    let mut client = cluster().database("incremental");
    let tree = Tree::of(SMALL);
    client.run(&ingest(&tree, "r"));
    let id = |client: &mut Client, name: &str| -> Vec<i64> {
        client.column(&format!("SELECT n.id FROM onyx.nodes n JOIN onyx.repos r ON r.id = repo_id WHERE r.name = 'r' AND n.name = '{name}' ORDER BY 1"))
    };
    let (parse, helper, view, file) = (
        id(&mut client, "parse"),
        id(&mut client, "helper"),
        id(&mut client, "View"),
        id(&mut client, "lib.rs"),
    );

    // Something above moves it, its body changes, another definition goes.
    tree.write("src/lib.rs", "//! A crate.\n\npub struct New;\n\n/// Parses more.\npub fn parse(input: &str) -> u64 { 2 }\n\nmod inner {\n    pub struct Deep;\n}\n");
    assert!(client.text(&ingest(&tree, "r")).starts_with("9|1|0|"));
    assert_eq!(id(&mut client, "parse"), parse, "a definition that stays keeps its id");
    assert_eq!(id(&mut client, "lib.rs"), file);
    assert_eq!(id(&mut client, "helper"), []);
    assert_ne!(helper, []);
    assert_eq!(
        client.text("SELECT start_line, signature FROM onyx.nodes WHERE name = 'parse'"),
        "6|pub fn parse(input: &str) -> u64"
    );
    assert_as_fresh(&mut client, &tree, "r");

    // Only the visibility: the same place, another row.
    tree.write("src/store/keys.rs", "pub const LIMIT: usize = 3;\n    enum Key { One, Two }\n");
    client.run(&ingest(&tree, "r"));
    assert_as_fresh(&mut client, &tree, "r");

    // Only what is around it changes: attributes, doc comment, signature on the next line.
    tree.write("app/views.py", SMALL[2].1.replace("@property", "@cached "));
    client.run(&ingest(&tree, "r"));
    assert_eq!(id(&mut client, "View"), view);
    assert_as_fresh(&mut client, &tree, "r");

    tree.rename("app/views.py", "app/pages/views.py");
    tree.rename("net", "network");
    assert!(client.text(&ingest(&tree, "r")).starts_with("9|2|2|"));
    assert_as_fresh(&mut client, &tree, "r");

    tree.remove("web");
    tree.remove("java/Order.java");
    tree.write("java/Order.ts", "export class Order {}\n");
    client.run(&ingest(&tree, "r"));
    assert_eq!(client.text("SELECT count(*) FROM onyx.nodes n JOIN onyx.repos r ON r.id = repo_id WHERE r.name = 'r' AND n.name = 'web'"), "0");
    assert_as_fresh(&mut client, &tree, "r");

    // Several definitions of one name, of which one goes.
    tree.write("dup.py", "def f(): return 1\ndef f(): return 2\ndef f(): return 3\n");
    client.run(&ingest(&tree, "r"));
    tree.write("dup.py", "def f(): return 1\ndef f(): return 3\n");
    client.run(&ingest(&tree, "r"));
    assert_as_fresh(&mut client, &tree, "r");

    // A file becomes a directory, and back.
    tree.remove("dup.py");
    tree.write("dup.py/inner.py", "x = 1\n");
    client.run(&ingest(&tree, "r"));
    assert_as_fresh(&mut client, &tree, "r");
    tree.remove("dup.py");
    tree.write("dup.py", "y = 1\n");
    client.run(&ingest(&tree, "r"));
    assert_as_fresh(&mut client, &tree, "r");

    // A file goes bad, and recovers.
    tree.write("dup.py", "def broken(:\n    pass\n\ndef whole(): pass\n");
    client.run(&ingest(&tree, "r"));
    assert_as_fresh(&mut client, &tree, "r");
    tree.write("dup.py", b"\0\0\0");
    client.run(&ingest(&tree, "r"));
    assert_as_fresh(&mut client, &tree, "r");
    tree.write("dup.py", "y = 2\n");
    client.run(&ingest(&tree, "r"));
    assert_eq!(client.text("SELECT * FROM onyx.ingest_errors"), "");
    assert_as_fresh(&mut client, &tree, "r");

    // Everything goes.
    for top in ["src", "app", "network", "java", "dup.py"] {
        tree.remove(top);
    }
    client.run(&ingest(&tree, "r"));
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.files"), 0);
    assert_as_fresh(&mut client, &tree, "r");
}

/// Real source of this project and its dependencies, edited again and again.
#[test]
fn random_edits_of_real_source_leave_what_a_fresh_ingest_gives() {
    let mut client = cluster().database("real_edits");
    let tree = Tree::new();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = tree.copy_from(
        &source.join("src"),
        &[".rs", ".java", ".go", ".py", ".ts", ".tsx", ".js"],
        2 << 20,
    );
    assert!(files > 60, "{files} files");
    client.run(&ingest(&tree, "r"));
    let paths: Vec<String> = client.column("SELECT path FROM onyx.files ORDER BY 1");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    for _ in 0..4 {
        for _ in 0..12 {
            let path = &paths[random(paths.len())];
            let Ok(text) = std::fs::read_to_string(tree.path(path)) else { continue };
            let mut lines: Vec<&str> = text.lines().collect();
            match random(4) {
                0 => tree.remove(path),
                1 => tree.write(path, format!("\n\n{text}")),
                _ if lines.is_empty() => {}
                2 => {
                    let at = random(lines.len());
                    lines.drain(at..(at + 1 + random(30)).min(lines.len()));
                    tree.write(path, lines.join("\n"));
                }
                _ => {
                    let at = random(lines.len());
                    let block: Vec<&str> = lines[at..(at + random(40)).min(lines.len())].to_vec();
                    let to = random(lines.len());
                    lines.splice(to..to, block);
                    tree.write(path, lines.join("\n"));
                }
            }
        }
        client.run(&ingest(&tree, "r"));
        assert_as_fresh(&mut client, &tree, "r");
    }
}

#[test]
fn abort_and_rollback_to_savepoint_leave_nothing() {
    let mut client = cluster().database("aborts");
    let tree = Tree::of(SMALL);
    let counts = "SELECT (SELECT count(*) FROM onyx.repos), (SELECT count(*) FROM onyx.files),
                         (SELECT count(*) FROM onyx.nodes), (SELECT count(*) FROM onyx.ingest_errors)";
    tree.write("bad.py", "def broken(:\n");
    client.run(&format!("BEGIN; {}; ROLLBACK", ingest(&tree, "r")));
    assert_eq!(client.text(counts), "0|0|0|0");

    client.run(&format!("BEGIN; {}; SAVEPOINT s", ingest(&tree, "kept")));
    let kept = client.text(counts);
    client.run(&format!("{}; ROLLBACK TO s; COMMIT", ingest(&tree, "lost")));
    assert_eq!(client.text(counts), kept);
    assert_as_fresh(&mut client, &tree, "kept");
    client.run("SELECT onyx.wait_for_embeddings()");
    let found = client.text("SELECT DISTINCT repo_name FROM onyx.search('parse the input', 50)");
    assert_eq!(found, "kept");
    assert_eq!(client.text("SELECT * FROM onyx.check_index('onyx.nodes_semantic')"), "");

    // An edit that is rolled back leaves what was before, and the next ingest sees the edit again.
    let before = content(&mut client, "kept");
    tree.write("app/views.py", "def other(): pass\n");
    client.run(&format!("BEGIN; {}; ROLLBACK", ingest(&tree, "kept")));
    assert_eq!(content(&mut client, "kept"), before);
    assert!(client.text(&ingest(&tree, "kept")).starts_with("10|1|0|"));
    assert_as_fresh(&mut client, &tree, "kept");

    // forget is part of its transaction as well.
    let before = content(&mut client, "kept");
    client.run("BEGIN; SELECT onyx.forget('kept'); ROLLBACK");
    assert_eq!(content(&mut client, "kept"), before);
}

#[test]
fn embedding_goes_on_as_soon_as_an_ingest_has_ended() {
    // Of its own: others' ingests hold embedding as well.
    let cluster = Cluster::start(Config::new());
    let mut client = cluster.database("goes_on");
    let tree = Tree::of(SMALL);
    let embedded = |client: &mut Client, what: &str| {
        let waited = client.one::<bool>("SELECT onyx.wait_for_embeddings('4 s')");
        assert!(waited, "{what}");
    };
    client.run(&ingest(&tree, "r"));
    embedded(&mut client, "after files were written");
    let queue = "CREATE TABLE notes (note text);
                 CREATE INDEX ON notes USING onyx_hnsw (note onyx.text_semantic_ops)";
    client.run(queue);
    // Nothing is resolved in this one: its walk is the last the engine hears of it.
    assert!(client.text(&ingest(&tree, "r")).contains("|0|0|0|"));
    client.run("INSERT INTO notes VALUES ('written after an ingest that found nothing new')");
    embedded(&mut client, "after an ingest that changed nothing");
    tree.write("app/views.py", "def other(): pass\n");
    client.run(&ingest(&tree, "r"));
    tree.remove("app/views.py");
    client.run(&ingest(&tree, "r"));
    client.run("INSERT INTO notes VALUES ('written after an ingest that removed a file')");
    embedded(&mut client, "after a file was removed");
}

/// Rows go past SQL into tables that are as this extension made them, and by INSERT into others.
#[test]
fn tables_with_triggers_and_columns_of_their_own_get_the_same_rows() {
    let mut client = cluster().database("triggers");
    let tree = Tree::of(SMALL);
    client.run(&ingest(&tree, "plain"));
    let plain = content(&mut client, "plain");
    let links = |client: &mut Client, repo: &str| {
        client.text(&format!(
            "SELECT f.path, l.line, l.col, l.kind, l.resolution, l.confidence, l.origin, s.name, t.name
             FROM onyx.links l JOIN onyx.repos r ON r.id = l.repo_id JOIN onyx.files f ON f.id = l.file_id
             JOIN onyx.nodes s ON s.id = l.source_id JOIN onyx.nodes t ON t.id = l.target_id
             WHERE r.name = '{repo}' ORDER BY 1, 2, 3, 4, 5, 8, 9"
        ))
    };
    let edges = links(&mut client, "plain");
    assert!(!edges.is_empty());

    client.run(
        "CREATE TABLE seen (what text);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN INSERT INTO public.seen VALUES (TG_TABLE_NAME); RETURN NEW; END$$;
         CREATE TRIGGER statement AFTER INSERT ON onyx.nodes FOR EACH STATEMENT EXECUTE FUNCTION note()",
    );
    client.run(&ingest(&tree, "statement"));
    assert_eq!(content(&mut client, "statement"), plain);
    assert_eq!(client.text("SELECT * FROM seen"), "nodes");

    client.run(
        "DROP TRIGGER statement ON onyx.nodes; TRUNCATE seen;
         CREATE TRIGGER row BEFORE INSERT ON onyx.nodes FOR EACH ROW EXECUTE FUNCTION note();
         CREATE TRIGGER row BEFORE INSERT ON onyx.links FOR EACH ROW EXECUTE FUNCTION note()",
    );
    client.run(&ingest(&tree, "row"));
    assert_eq!(
        (content(&mut client, "row"), links(&mut client, "row")),
        (plain.clone(), edges.clone())
    );
    assert_eq!(
        client.text("SELECT what, count(*) FROM seen GROUP BY 1 ORDER BY 1"),
        client.text(
            "SELECT 'links', count(*) FROM onyx.links l JOIN onyx.repos r ON r.id = repo_id AND r.name = 'row'
             UNION ALL
             SELECT 'nodes', count(*) FROM onyx.nodes n JOIN onyx.repos r ON r.id = repo_id AND r.name = 'row'"
        )
    );

    client.run(
        "DROP TRIGGER row ON onyx.nodes; DROP TRIGGER row ON onyx.links;
         ALTER TABLE onyx.nodes ADD noted timestamptz DEFAULT now();
         ALTER TABLE onyx.links ADD length integer GENERATED ALWAYS AS (length(kind)) STORED",
    );
    client.run(&ingest(&tree, "column"));
    assert_eq!(
        (content(&mut client, "column"), links(&mut client, "column")),
        (plain.clone(), edges.clone())
    );
    assert_eq!(client.text("SELECT count(*) FILTER (WHERE noted IS NULL) FROM onyx.nodes"), "0");

    client.run(
        "ALTER TABLE onyx.nodes DROP noted; ALTER TABLE onyx.links DROP length;
         ALTER TABLE onyx.nodes ADD note text; CREATE INDEX mine ON onyx.nodes (lower(name)) WHERE kind <> 'file'",
    );
    client.run(&ingest(&tree, "index"));
    assert_eq!((content(&mut client, "index"), links(&mut client, "index")), (plain, edges));
    client.run("SET enable_seqscan = off; SET enable_bitmapscan = off");
    let sql = "SELECT count(*) FROM onyx.nodes WHERE lower(name) = 'parse' AND kind <> 'file'";
    assert!(client.explain(sql).contains("mine"));
    assert_eq!(client.text(sql), "5");

    client.run("ALTER TABLE onyx.nodes ADD CONSTRAINT no_views CHECK (name <> 'View') NOT VALID");
    let error = client.error(&ingest(&tree, "constraint"));
    assert_eq!(error.code().code(), "23514", "{error:?}");
}

#[test]
fn cancel_shows_in_progress_works_at_once_and_leaves_nothing() {
    let mut client = cluster().database("cancels");
    let mut other = cluster().connect_to("cancels");
    let tree = big_tree(200);
    let backend: i32 = client.one("SELECT pg_backend_pid()");
    let (error, time) = std::thread::scope(|scope| {
        let ingesting = scope.spawn(|| (client.error(&ingest(&tree, "big")), Instant::now()));
        let row = eventually("progress of the ingest", Duration::from_secs(10), || {
            let sql = "SELECT p.pid, d.datname, phase, repo, done > 10, bytes > 100000, nodes > 100,
                              started_at <= now() + interval '1 s'
                       FROM onyx.progress p JOIN pg_database d ON d.oid = p.datid WHERE repo = 'big'";
            let row = other.text(sql);
            row.ends_with("t|t|t|t").then_some(row)
        });
        assert_eq!(row, format!("{backend}|cancels|ingesting|big|t|t|t|t"));
        let begun = Instant::now();
        assert!(other.one::<bool>(&format!("SELECT pg_cancel_backend({backend})")));
        let (error, ended) = ingesting.join().expect("the ingest's thread");
        (error, ended.saturating_duration_since(begun))
    });
    println!("canceled after {time:?}");
    assert_eq!(error.code().code(), "57014", "{error:?}");
    assert!(time < Duration::from_secs(2), "{time:?}");
    assert_eq!(client.text("SELECT * FROM onyx.progress WHERE repo = 'big'"), "");
    for table in ["repos", "files", "nodes", "ingest_errors"] {
        assert_eq!(client.one::<i64>(&format!("SELECT count(*) FROM onyx.{table}")), 0, "{table}");
    }
    eventually("an engine that stopped reading", Duration::from_secs(5), || {
        (other.one::<i64>("SELECT active FROM onyx.stat_engine") <= 1).then_some(())
    });
}

#[test]
fn every_bad_file_is_accounted_for_and_the_good_ones_are_ingested() {
    let mut client = cluster().database("bad_files");
    let tree =
        Tree::of(&[("good.py", "def good(): pass\n"), ("empty.py", ""), ("notes.txt", "not code")]);
    let big = format!("x = '{}'\n", "y".repeat(50 << 20));
    tree.write("big.py", &big);
    drop(big);
    tree.write("long_line.py", format!("x = [{}]\n", "1, ".repeat(100_000)));
    tree.write(
        "deep.js",
        format!("{}{}", "function f() {\n".repeat(100_000), "}\n".repeat(100_000)),
    );
    tree.write(
        "deep.py",
        format!("x = {}1{}\ndef below(): pass\n", "(\n".repeat(100_000), ")\n".repeat(100_000)),
    );
    tree.write("nul.py", b"x = 1\n\0\0\0\n");
    tree.write("late_nul.py", format!("{}\0\n", "x = 1\n".repeat(5_000)));
    tree.write("latin.py", b"# caf\xe9\ndef latin(): pass\n");
    tree.write("garbage.py", [0x81, 0x02, 0x03, 0xff, 0xfe, 0x01].repeat(500));
    tree.write("broken.py", "def before(): pass\n\ndef broken(:\n    pass\n\ndef after(): pass\n");
    tree.write("generated.go", "// Code generated by protoc-gen-go. DO NOT EDIT.\npackage x\n");
    tree.write("ignored/a.py", "x = 1\n");
    tree.write(".gitignore", "ignored/\n");
    tree.write("secret.py", "x = 1\n");
    tree.write("closed/inside.py", "x = 1\n");
    let close = |path: &str, mode| {
        std::fs::set_permissions(tree.path(path), std::fs::Permissions::from_mode(mode))
            .expect("chmod");
    };
    close("secret.py", 0o000);
    close("closed", 0o000);
    let fifo =
        std::process::Command::new("mkfifo").arg(tree.path("pipe.py")).status().expect("mkfifo");
    assert!(fifo.success());
    std::fs::create_dir(tree.path("loop")).expect("a directory");
    symlink("..", tree.path("loop/up")).expect("a link");
    symlink("self.py", tree.path("self.py")).expect("a link");
    symlink("/nowhere/at/all.py", tree.path("dangling.py")).expect("a link");
    symlink("good.py", tree.path("link.py")).expect("a link");
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff.py");
    std::fs::write(tree.path("").join(odd), "x = 1\n").expect("an oddly named file");

    let begun = Instant::now();
    let row = client.text(&ingest(&tree, "r"));
    println!("{row} in {:?}", begun.elapsed());
    close("closed", 0o755);
    let errors = client
        .text("SELECT path, reason, skipped, line, detail FROM onyx.ingest_errors ORDER BY 1");
    println!("{errors}");
    let reason = |path: &str| -> String {
        errors
            .lines()
            .filter(|l| l.starts_with(&format!("{path}|")))
            .map(|l| l.split('|').nth(1).unwrap_or_default())
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (path, expected) in [
        ("big.py", "too_large"),
        ("long_line.py", "generated"),
        ("deep.js", "too_deep"),
        // Nothing of it is left out.
        ("deep.py", ""),
        ("nul.py", "binary"),
        ("late_nul.py", "binary"),
        ("latin.py", "decoded"),
        ("garbage.py", "binary"),
        ("broken.py", "syntax_error"),
        ("generated.go", "generated"),
        ("secret.py", "permission_denied"),
        ("closed", "permission_denied"),
        ("pipe.py", "not_regular"),
        ("loop/up", "symlink_loop"),
        ("self.py", "symlink_loop"),
        ("dangling.py", "not_regular"),
        ("link.py", "not_regular"),
        ("odd\u{fffd}.py", "bad_path"),
        ("good.py", ""),
        ("empty.py", ""),
        ("notes.txt", ""),
        ("ignored/a.py", ""),
    ] {
        assert_eq!(reason(path), expected, "{path}\n{errors}");
    }
    let files = client.column::<String>("SELECT path FROM onyx.files ORDER BY 1");
    assert_eq!(files, ["broken.py", "deep.js", "deep.py", "empty.py", "good.py", "latin.py"]);
    assert_eq!(client.text("SELECT string_agg(name, ' ' ORDER BY name) FROM onyx.nodes WHERE kind = 'function' AND name IN ('before', 'after', 'good', 'latin')"), "after before good latin");
    assert_eq!(client.text("SELECT count(*) FROM onyx.nodes WHERE name = 'below'"), "1");
    assert_eq!(client.text("SELECT DISTINCT skipped = (reason NOT IN ('too_deep', 'decoded', 'syntax_error')) FROM onyx.ingest_errors"), "t");
    assert_eq!(
        client.text("SELECT skipped, partial, files FROM onyx.stat_ingest WHERE repo = 'r'"),
        "14|3|6"
    );
    let summary = format!(
        "SELECT skipped->>'binary', skipped->>'permission_denied', skipped->>'too_large'
         FROM onyx.ingest_directory('r', '{}')",
        tree.root()
    );
    assert_eq!(client.text(&summary), "3|1|1", "skipped files are counted every time");
    assert_as_fresh(&mut client, &tree, "r");
}

#[test]
fn what_cannot_be_read_now_keeps_what_is_known_of_it() {
    let mut client = cluster().database("unreadable");
    let tree = Tree::of(&[("a/one.py", "def one(): pass\n"), ("b.py", "def two(): pass\n")]);
    client.run(&ingest(&tree, "r"));
    let close = |path: &str, mode| {
        std::fs::set_permissions(tree.path(path), std::fs::Permissions::from_mode(mode))
            .expect("chmod");
    };
    close("a", 0o000);
    close("b.py", 0o000);
    let row = client.text(&ingest(&tree, "r"));
    close("a", 0o755);
    assert!(row.contains("|0|0|0|"), "{row}");
    assert_eq!(
        client.column::<String>("SELECT path FROM onyx.files ORDER BY 1"),
        ["a/one.py", "b.py"]
    );
    close("b.py", 0o644);
    client.run(&ingest(&tree, "r"));
    assert_as_fresh(&mut client, &tree, "r");
}

#[test]
fn impossible_requests_are_refused() {
    let mut client = cluster().database("impossible");
    let tree = Tree::of(&[("file.py", "x = 1\n"), ("closed/a.py", "x = 1\n")]);
    std::fs::set_permissions(tree.path("closed"), std::fs::Permissions::from_mode(0o000))
        .expect("chmod");
    let root = tree.root();
    for (path, code) in [
        (format!("{root}/file.py"), "42809"),
        (format!("{root}/missing"), "58P01"),
        (format!("{root}/closed"), "42501"),
        ("relative/path".into(), "22023"),
        (String::new(), "22023"),
    ] {
        let error = client.error(&format!("SELECT * FROM onyx.ingest_directory('r', '{path}')"));
        println!("{}: {}", error.code().code(), error.message());
        assert_eq!(error.code().code(), code, "{path}: {error:?}");
        assert!(error.message().contains(&path), "{path}: {error:?}");
    }
    std::fs::set_permissions(tree.path("closed"), std::fs::Permissions::from_mode(0o755))
        .expect("chmod");
    let error = client.error(&format!(
        "SELECT * FROM onyx.ingest_directory('r', '{root}', include => '{{\"[\"}}')"
    ));
    assert_eq!(error.code().code(), "22023", "{error:?}");
    let error = client.error(&format!("SELECT * FROM onyx.ingest_directory('', '{root}')"));
    assert!(["22023", "23514"].contains(&error.code().code()), "{error:?}");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.repos"), 0);
    assert_eq!(client.text(&format!("SELECT * FROM onyx.ingest_directory(NULL, '{root}')")), "");
    let error = client.error("SELECT onyx.forget('never')");
    assert_eq!(error.code().code(), "42704", "{error:?}");
}

#[test]
fn reading_the_servers_files_needs_the_role_for_it() {
    let mut client = cluster().database("roles");
    let tree = Tree::of(&[("a.py", "def a(): pass\n")]);
    client.run(
        "CREATE ROLE nobody_special; CREATE ROLE ingester; GRANT pg_read_server_files TO ingester;
         GRANT ALL ON ALL TABLES IN SCHEMA onyx TO nobody_special, ingester;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA onyx TO nobody_special, ingester;
         SET ROLE nobody_special",
    );
    let error = client.error(&ingest(&tree, "r"));
    assert_eq!(error.code().code(), "42501", "{error:?}");
    assert!(error.hint().is_some_and(|h| h.contains("pg_read_server_files")), "{error:?}");
    // Content of one's own needs no such role.
    client.run("SELECT * FROM onyx.ingest_file('own', 'a.py', 'def a(): pass')");
    client.run("SET ROLE ingester");
    assert!(client.text(&ingest(&tree, "r")).starts_with("1|1|0|"));
    client.run("RESET ROLE; CREATE ROLE stranger; SET ROLE stranger");
    let error = client.error("SELECT * FROM onyx.ingest_file('own', 'b.py', 'def b(): pass')");
    assert_eq!(error.code().code(), "42501", "{error:?}");
    assert_eq!(client.error("SELECT * FROM onyx.nodes").code().code(), "42501");
    assert_eq!(client.error("SELECT * FROM onyx.search('x')").code().code(), "42501");
    assert_eq!(client.error("SELECT onyx.forget('own')").code().code(), "42501");
    assert_eq!(client.error("SELECT onyx.sweep()").code().code(), "42501");
    client.run("SELECT state FROM onyx.stat_engine; SELECT vector_dims(onyx.embed('x')); SELECT * FROM onyx.stat_index");
}

#[test]
fn include_and_exclude_choose_files() {
    let mut client = cluster().database("globs");
    let tree = Tree::of(SMALL);
    let paths = |client: &mut Client, arguments: &str| -> Vec<String> {
        client.run(&format!(
            "SELECT * FROM onyx.ingest_directory('r', '{}', {arguments})",
            tree.root()
        ));
        client.column("SELECT path FROM onyx.files ORDER BY 1")
    };
    assert_eq!(
        paths(&mut client, "include => '{*.py,*.go}'"),
        ["app/__init__.py", "app/views.py", "net/server.go"]
    );
    // What is not asked for any more goes.
    assert_eq!(
        paths(&mut client, "include => '{/web/}', exclude => '{*.js}'"),
        ["web/App.tsx", "web/cart.ts"]
    );
    assert_eq!(paths(&mut client, "exclude => '{src,java,web,app}'"), ["net/server.go"]);
}

#[test]
fn forget_removes_a_repository_a_directory_or_a_file() {
    let mut client = cluster().database("forgetting");
    let tree = Tree::of(SMALL);
    tree.write("web/bad.js", "function (\n");
    client.run(&ingest(&tree, "r"));
    client.run(&ingest(&tree, "other"));
    assert_eq!(client.one::<i64>("SELECT onyx.forget('r', 'web')"), 4);
    assert_eq!(client.one::<i64>("SELECT onyx.forget('r', 'app/views.py')"), 1);
    assert_eq!(
        client.one::<i64>("SELECT onyx.forget('r', 'ap')"),
        0,
        "a prefix of a name is not its directory"
    );
    assert_sound(&mut client);
    assert_eq!(
        client.text("SELECT string_agg(n.name, ' ' ORDER BY n.name) FROM onyx.nodes n JOIN onyx.repos r ON r.id = repo_id WHERE r.name = 'r' AND kind IN ('directory', 'file')"),
        "Order.java __init__.py app java keys.rs lib.rs net server.go src store"
    );
    assert_eq!(
        client.text("SELECT r.name FROM onyx.ingest_errors JOIN onyx.repos r ON r.id = repo_id"),
        "other"
    );
    // What was forgotten is new to the next ingest.
    assert!(client.text(&ingest(&tree, "r")).starts_with("10|5|0|"));
    assert_as_fresh(&mut client, &tree, "r");
    assert_eq!(client.one::<i64>("SELECT onyx.forget('r')"), 10);
    assert_eq!(client.text("SELECT name FROM onyx.repos"), "other");
    assert_sound(&mut client);
    assert_as_fresh(&mut client, &tree, "other");
}

#[test]
fn two_sessions_ingesting_one_repository_do_not_double_it() {
    let mut client = cluster().database("twice");
    let tree = Tree::of(SMALL);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| cluster().connect_to("twice").run(&ingest(&tree, "r")));
        }
    });
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.repos"), 1);
    assert_as_fresh(&mut client, &tree, "r");
    // Two repositories at the same time do not wait for each other.
    let mut one = cluster().connect_to("twice");
    one.run(&format!("BEGIN; {}", ingest(&tree, "a")));
    client.run(&format!("SET lock_timeout = '2s'; {}", ingest(&tree, "b")));
    one.run("COMMIT");
    assert_as_fresh(&mut client, &tree, "a");
    assert_as_fresh(&mut client, &tree, "b");
}

#[test]
fn files_that_change_while_they_are_read_end_in_a_whole_state() {
    let mut client = cluster().database("moving");
    let tree = big_tree(60);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (tree, stop) = (&tree, &stop);
        scope.spawn(move || {
            let mut i = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                i = (i + 7) % 60;
                let path = format!("package{}/module{i}.py", i % 10);
                let _ = std::fs::remove_file(tree.path(&path));
                std::thread::sleep(Duration::from_millis(2));
                tree.write(&path, format!("def changed{i}(): pass\n"));
            }
        });
        for _ in 0..3 {
            client.run(&ingest(tree, "r"));
            assert_sound(&mut client);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    client.run(&ingest(&tree, "r"));
    assert_as_fresh(&mut client, &tree, "r");
}
