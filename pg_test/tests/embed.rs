//! Protects `onyx.embed`: right vectors, computed once for each content, and clear errors.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use onyx_pg_test::{Cluster, Config, Sql, Tree, install};

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

fn model_files() -> (String, String) {
    let directory = install::model_directory();
    let path = |name| directory.join(name).display().to_string();
    (path("model.onnx"), path("tokenizer.json"))
}

/// Makes what the server has to read its own, wherever the model came from.
fn readable(from: &str, tree: &Tree, name: &str) -> String {
    tree.write(name, std::fs::read(from).unwrap_or_else(|e| panic!("{from}: {e}")));
    tree.path(name).display().to_string()
}

#[test]
fn vectors_have_unit_length_and_like_texts_are_near() {
    let mut client = cluster().database("vectors");
    assert_eq!(
        client.text(
            "SELECT vector_dims(v), abs(vector_norm(v) - 1) < 1e-5, v = onyx.embed('a cookie parser')
             FROM onyx.embed('a cookie parser') v"
        ),
        "384|t|t"
    );
    client.run("SET search_path = onyx, public");
    assert_eq!(
        client.text(
            "SELECT text FROM (VALUES ('bakes bread in an oven'), ('opens a database connection'),
                 ('parse the Set-Cookie header'), ('sort a list of numbers')) t (text)
             ORDER BY text <=> 'read cookies of an HTTP request'::text LIMIT 1"
        ),
        "parse the Set-Cookie header"
    );
    let distance =
        "SELECT abs((a <=> b) - (onyx.embed(a) <=> onyx.embed(b))) < 1e-6, (a <=> a) < 1e-6,
                    (a <=> NULL::text) IS NULL
             FROM (VALUES ('one text', 'another')) t (a, b)";
    assert_eq!(client.text(distance), "t|t|t", "text distance is the cosine distance");
}

#[test]
fn vectors_agree_with_the_reference() {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../src/engine/tests/reference/minilm.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    // A row a line; PostgreSQL's text has no NUL.
    let text: String =
        text.lines().filter(|l| !l.contains(r"\u0000")).flat_map(|l| [l, "\n"]).collect();
    let mut client = cluster().database("reference");
    // The server reads the JSON: texts of every length and script, and a vector each.
    client.run("CREATE TABLE reference (id int, input text, expected vector)");
    client
        .execute(
            "INSERT INTO reference
             SELECT n, row->>'text', (row->>'vector')::vector
             FROM json_array_elements($1::text::json->'rows') WITH ORDINALITY t (row, n)",
            &[&text],
        )
        .expect("the reference");
    let rows: i64 = client.one("SELECT count(*) FROM reference");
    assert!(rows >= 10, "{rows} rows of reference");
    for (name, embedded) in [
        ("one by one", "SELECT id, expected::real[] AS a, onyx.embed(input)::real[] AS b FROM reference"),
        (
            "together",
            "SELECT ids[n], (SELECT expected::real[] FROM reference WHERE id = ids[n]) AS a, e::real[] AS b
             FROM (SELECT array_agg(id ORDER BY id) AS ids, onyx.embed(array_agg(input ORDER BY id)) AS v
                   FROM reference) all_of, unnest(v) WITH ORDINALITY u (e, n)",
        ),
    ] {
        let worst: f64 = client.one(&format!(
            "SELECT max(abs(x - y))::float8 FROM ({embedded}) t, unnest(a, b) u (x, y)"
        ));
        println!("{rows} texts {name}: worst difference {worst:e}");
        assert!(worst < 1e-5, "{name}: {worst}");
    }
}

#[test]
fn nulls_and_empty_inputs() {
    let mut client = cluster().database("nulls");
    assert_eq!(
        client.text(
            "SELECT onyx.embed(NULL::text) IS NULL, onyx.embed(NULL::text[]) IS NULL,
                    onyx.embed('{}'::text[]) = '{}', vector_dims(onyx.embed('')),
                    pg_typeof(onyx.embed('{}'::text[]))"
        ),
        "t|t|t|384|vector[]"
    );
    assert_eq!(
        client.text(
            "SELECT n, v IS NULL, v = onyx.embed(CASE n WHEN 2 THEN 'b' WHEN 4 THEN 'd' END)
             FROM unnest(onyx.embed(ARRAY[NULL, 'b', NULL, 'd'])) WITH ORDINALITY t (v, n)"
        ),
        "1|t|\n2|f|t\n3|t|\n4|f|t"
    );
    assert_eq!(
        client.text("SELECT array_length(onyx.embed(ARRAY[['a', 'b'], ['c', 'd']]), 1) > 0"),
        "t"
    );
}

#[test]
fn long_texts_are_cut_before_they_cost() {
    let mut client = cluster().database("long");
    client.run("SELECT onyx.embed('load the model')");
    let begun = Instant::now();
    assert_eq!(
        client.text(
            "SELECT abs(vector_norm(onyx.embed(repeat('cookie parser ', 75000))) - 1) < 1e-5"
        ),
        "t"
    );
    // One line without a space, and texts of the whole alphabet of the world.
    client.run("SELECT onyx.embed(repeat('x', 1000000))");
    client.run(
        "SELECT onyx.embed(repeat('日本語🦀é', 50000)), onyx.embed(E'\\t\\n\\r \\u00a0\\u200b')",
    );
    println!("{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(client.one::<bool>(
        "SELECT onyx.embed(repeat('cookie parser ', 3000)) = onyx.embed(repeat('cookie parser ', 4000))"
    ));
}

#[test]
fn a_text_is_embedded_once_in_its_life() {
    let cluster = Cluster::start(Config::new());
    let mut one = cluster.database("one");
    let texts = "(SELECT array_agg('text number ' || i) FROM generate_series(1, 200) i)";
    one.run(&format!("CREATE TABLE kept AS SELECT onyx.embed({texts}) AS v"));
    // Within one answer, in another session, in another database: not again.
    let tokens = "SELECT tokens FROM onyx.stat_embedding WHERE model = 'all-MiniLM-L6-v2'";
    let worked: i64 = one.one(tokens);
    assert!(worked > 500, "{worked} tokens");
    let mut two = cluster.database("two");
    two.run(&format!("SELECT onyx.embed({texts}), onyx.embed('text number 7')"));
    assert_eq!(one.one::<i64>(tokens), worked);
    assert!(one.one::<i64>("SELECT cache_hits FROM onyx.stat_embedding") >= 200);
    // After the engine's death and after the server's: a new engine starts counting at nothing.
    let pid: i32 = one.one("SELECT pid FROM onyx.stat_engine");
    onyx_pg_test::process::signal(pid, onyx_pg_test::process::Signal::KILL);
    onyx_pg_test::workload::wait_for_end(pid, Duration::from_secs(10));
    onyx_pg_test::cluster::wait_for_engine(&mut one);
    let mut again = cluster.connect_to("one");
    assert!(again.one::<bool>(&format!("SELECT v = onyx.embed({texts}) FROM kept")));
    assert_eq!(
        again.one::<i64>("SELECT coalesce(sum(tokens), 0)::bigint FROM onyx.stat_embedding"),
        0
    );
    drop((one, two, again));
    cluster.stop();
    cluster.start_again();
    let mut again = cluster.connect_to("one");
    onyx_pg_test::cluster::wait_for_engine(&mut again);
    assert!(again.one::<bool>(&format!("SELECT v = onyx.embed({texts}) FROM kept")));
    assert_eq!(
        again.one::<i64>("SELECT coalesce(sum(tokens), 0)::bigint FROM onyx.stat_embedding"),
        0
    );
    assert_eq!(again.one::<i64>("SELECT embeddings FROM onyx.stat_engine"), 200);
}

#[test]
fn an_unknown_model_is_said_by_name() {
    let mut client = cluster().database("unknown");
    let error = client.error("SELECT onyx.embed('x', 'no-such-model')");
    assert_eq!(error.code().code(), "42704", "{error:?}");
    assert!(error.message().contains("\"no-such-model\""), "{error:?}");
    assert!(error.hint().is_some_and(|h| h.contains("onyx.models")), "{error:?}");
    client.run("SET onyx.model = 'another'");
    assert!(client.error("SELECT onyx.embed('x')").message().contains("\"another\""));
}

#[test]
fn what_is_no_model_is_not_registered() {
    let mut client = cluster().database("wrong_models");
    let tree = Tree::new();
    let (model, tokenizer) = model_files();
    let model = readable(&model, &tree, "model.onnx");
    let tokenizer = readable(&tokenizer, &tree, "tokenizer.json");
    tree.write("text.onnx", "this is no model");
    tree.write("empty.onnx", "");
    tree.write("cut.onnx", &std::fs::read(&model).expect("the model")[..1_000_000]);
    tree.write("text.json", "this is no tokenizer");
    tree.write("object.json", "{}");
    let path = |name: &str| tree.path(name).display().to_string();
    let cases = [
        (path("missing.onnx"), tokenizer.clone(), 384, "missing.onnx"),
        (path("text.onnx"), tokenizer.clone(), 384, "text.onnx"),
        (path("empty.onnx"), tokenizer.clone(), 384, "empty.onnx"),
        (path("cut.onnx"), tokenizer.clone(), 384, "cut.onnx"),
        (tree.root(), tokenizer.clone(), 384, "tree-"),
        (model.clone(), path("missing.json"), 384, "missing.json"),
        (model.clone(), path("text.json"), 384, "text.json"),
        (model.clone(), path("object.json"), 384, "object.json"),
        (model.clone(), tokenizer.clone(), 385, "385"),
    ];
    for (model, tokenizer, dimensions, named) in cases {
        let sql =
            format!("SELECT onyx.register_model('wrong', '{model}', '{tokenizer}', {dimensions})");
        let error = client.error(&sql);
        let said = format!("{} {}", error.message(), error.detail().unwrap_or_default());
        println!("{}: {said}", error.code().code());
        assert!(
            ["58P01", "38000", "22023", "42809"].contains(&error.code().code()),
            "{sql}\n{error:?}"
        );
        assert!(said.contains(named), "{sql}\n{error:?}");
    }
    for (arguments, code) in [
        ("'p', '/m', '/t', 384, 'sideways'", "22023"),
        ("'', '/m', '/t', 384", "*"),
        ("'d', '/m', '/t', 0", "*"),
        ("'t', '/m', '/t', 384, 'mean', true, 0", "*"),
    ] {
        let error = client.error(&format!("SELECT onyx.register_model({arguments})"));
        assert!(code == "*" || error.code().code() == code, "{arguments}: {error:?}");
        assert_ne!(error.code().code(), "XX000", "{arguments}: {error:?}");
    }
    assert_eq!(client.column::<String>("SELECT name FROM onyx.models"), ["all-MiniLM-L6-v2"]);
    assert_eq!(client.text("SELECT vector_dims(onyx.embed('the engine lives'))"), "384");
}

#[test]
fn another_model_is_registered_without_code_and_shares_nothing() {
    let mut client = cluster().database("second_model");
    let (model, tokenizer) = model_files();
    let tree = Tree::new();
    let model = readable(&model, &tree, "model.onnx");
    let tokenizer = readable(&tokenizer, &tree, "tokenizer.json");
    client.run(&format!(
        "SELECT onyx.register_model('short', '{model}', '{tokenizer}', 384, max_tokens => 16);
         SELECT onyx.register_model('raw', '{model}', '{tokenizer}', 384, normalized => false);
         SELECT onyx.register_model('first', '{model}', '{tokenizer}', 384, pooling => 'cls')"
    ));
    let long = "repeat('parses the cookie header of a request ', 20)";
    assert_eq!(
        client.text(&format!(
            "SELECT onyx.embed('short text', 'short') = onyx.embed('short text'),
                    onyx.embed({long}, 'short') = onyx.embed({long}),
                    onyx.embed({long}, 'short') = onyx.embed({long} || 'and bakes bread', 'short'),
                    abs(vector_norm(onyx.embed('x', 'raw')) - 1) > 0.1,
                    (onyx.embed('x', 'raw') <=> onyx.embed('x')) < 1e-5,
                    (onyx.embed('a longer text', 'first') <=> onyx.embed('a longer text')) > 0.01"
        )),
        "t|f|t|t|t|t"
    );
    client.run("SET onyx.model = 'short'");
    assert!(
        client.one::<bool>(&format!("SELECT onyx.embed({long}) = onyx.embed({long}, 'short')"))
    );
    // Registered again with other properties: other vectors, at once.
    client.run(&format!(
        "SELECT onyx.register_model('short', '{model}', '{tokenizer}', 384, max_tokens => 32)"
    ));
    assert!(client.one::<bool>(&format!(
        "SELECT (onyx.embed({long}, 'short') <=> onyx.embed({long}, 'all-MiniLM-L6-v2')) > 1e-6
            AND onyx.embed({long}, 'short') = onyx.embed({long} || 'and bakes bread', 'short')"
    )));
    // Reading the server's files needs the role for it, whatever else was granted.
    client.run(
        "CREATE ROLE modeller; GRANT ALL ON onyx.models TO modeller;
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA onyx TO modeller; SET ROLE modeller",
    );
    let error = client
        .error(&format!("SELECT onyx.register_model('theirs', '{model}', '{tokenizer}', 384)"));
    assert_eq!(error.code().code(), "42501", "{error:?}");
}

#[test]
fn text_indexes_find_by_meaning_and_wait_for_their_embeddings() {
    let mut client = cluster().database("text_index");
    client.run(
        "CREATE TABLE notes (id int, note text);
         INSERT INTO notes SELECT i, 'bakes bread number ' || i FROM generate_series(1, 60) i;
         CREATE INDEX notes_note ON notes USING onyx_hnsw (note onyx.text_semantic_ops);
         INSERT INTO notes VALUES (100, 'parse the Set-Cookie header'), (101, NULL)",
    );
    assert!(client.one::<bool>("SELECT onyx.wait_for_embeddings('50 s')"));
    assert_eq!(
        client.text(
            "SELECT pending, entries, state FROM onyx.stat_index WHERE indexname = 'notes_note'"
        ),
        "0|61|ready"
    );
    client.run("SET enable_seqscan = off");
    let sql =
        "SELECT id FROM notes ORDER BY note OPERATOR(onyx.<=>) 'read cookies of a request' LIMIT 1";
    let plan = client.explain(sql);
    assert!(plan.contains("notes_note"), "{plan}");
    assert_eq!(client.one::<i32>(sql), 100);
    assert_eq!(client.text("SELECT * FROM onyx.check_index('notes_note')"), "");

    // A commit that waits finds its rows at once; the setting is the session's.
    client.run("SET onyx.embed_at_commit = wait; INSERT INTO notes VALUES (102, 'cookies of an HTTP request are read here')");
    assert_eq!(
        client.text("SELECT pending FROM onyx.stat_index WHERE indexname = 'notes_note'"),
        "0"
    );
    assert_eq!(client.one::<i32>(sql), 102);
    client.run("UPDATE notes SET note = 'bakes rolls' WHERE id = 102");
    assert_eq!(client.one::<i32>(sql), 100);

    // An index of one model does not answer for another.
    let (model, tokenizer) = model_files();
    let tree = Tree::new();
    let model = readable(&model, &tree, "model.onnx");
    let tokenizer = readable(&tokenizer, &tree, "tokenizer.json");
    client.run(&format!("SELECT onyx.register_model('short', '{model}', '{tokenizer}', 384, max_tokens => 8); SET onyx.model = 'short'"));
    let plan = client.explain(sql);
    assert!(!plan.contains("notes_note"), "{plan}");
    assert_eq!(client.one::<i32>(sql), 100);
}
