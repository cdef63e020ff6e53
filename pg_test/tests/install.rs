//! Protects the way in and out: CREATE and DROP EXTENSION, what the catalog says of the objects,
//! dump and restore, and the message when the library was not preloaded.

use std::process::Stdio;

use onyx_pg_test::{Cluster, Config, Sql, Tree, eventually, install};
use std::time::Duration;

#[test]
fn smoke_create_use_and_drop_the_extension() {
    let cluster = Cluster::start(Config::new());
    let mut client = cluster.database("smoke");
    assert_eq!(
        client.column::<String>(
            "SELECT extname FROM pg_extension WHERE extname IN ('onyx', 'vector') ORDER BY 1"
        ),
        ["onyx", "vector"]
    );
    assert_eq!(client.one::<i32>("SELECT vector_dims(onyx.embed('parse a cookie'))"), 384);
    client.run(
        "CREATE TABLE items (id int, v vector(2));
         INSERT INTO items SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 500) i;
         CREATE INDEX ON items USING onyx_hnsw (v vector_l2_ops)",
    );
    assert_eq!(
        client.column::<i32>("SELECT id FROM items ORDER BY v <-> '[100.2,0]' LIMIT 3"),
        [100, 101, 99]
    );
    client.run("SELECT * FROM onyx.ingest_file('r', 'a.py', 'def parse_cookie(header): return 1')");
    assert_eq!(
        client.text("SELECT qualified_name FROM onyx.search('where is a cookie parsed?', 1)"),
        "a.parse_cookie"
    );

    client.run("DROP EXTENSION onyx CASCADE");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM items"), 500);
    assert_eq!(
        client.text(
            "SELECT n.nspname FROM pg_namespace n WHERE nspname = 'onyx'
             UNION ALL SELECT amname FROM pg_am WHERE amname = 'onyx_hnsw'
             UNION ALL SELECT opcname FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
                 WHERE amname = 'onyx_hnsw'"
        ),
        "",
        "something is left of a dropped extension"
    );
    client.run("CREATE EXTENSION onyx CASCADE; DROP EXTENSION onyx");
}

#[test]
fn without_shared_preload_libraries_the_error_says_what_to_do() {
    let cluster = Cluster::start(Config::new().not_preloaded());
    let mut client = cluster.connect();
    for sql in ["CREATE EXTENSION onyx CASCADE", "LOAD 'onyx'"] {
        let error = client.error(sql);
        assert_eq!(error.code().code(), "55000", "{sql}: {error:?}");
        assert!(error.message().contains("shared_preload_libraries"), "{error:?}");
        assert!(error.hint().is_some_and(|h| h.contains("postgresql.conf")), "{error:?}");
    }
    assert_eq!(client.one::<i32>("SELECT 1"), 1, "the session goes on");
}

#[test]
fn without_pgvector_the_error_names_it() {
    let cluster = Cluster::start(Config::new());
    let mut client = cluster.connect();
    let error = client.error("CREATE EXTENSION onyx");
    assert_eq!(error.code().code(), "42704", "{error:?}");
    assert!(error.message().contains("vector"), "{error:?}");
    assert!(error.hint().is_some_and(|h| h.contains("CASCADE")), "{error:?}");
}

#[test]
fn everything_is_documented_and_safe_in_the_catalog() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    // pg_depend lists the extension's members: what CREATE EXTENSION made, all of it.
    let silent = client.text(
        "SELECT pg_describe_object(d.classid, d.objid, 0)
         FROM pg_depend d JOIN pg_extension e
           ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
         WHERE e.extname = 'onyx'
           AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_am'::regclass,
                             'pg_operator'::regclass, 'pg_opclass'::regclass,
                             'pg_ts_config'::regclass)
           AND NOT EXISTS (SELECT FROM pg_class c WHERE d.classid = 'pg_class'::regclass
                           AND c.oid = d.objid AND c.relkind NOT IN ('r', 'v', 'm', 'f', 'p'))
           AND coalesce(obj_description(d.objid, (SELECT relname FROM pg_class WHERE oid = d.classid)), '') = ''
         ORDER BY 1",
    );
    assert_eq!(silent, "", "no COMMENT on these");
    assert_ne!(
        client.text("SELECT obj_description(oid) FROM pg_extension WHERE extname = 'onyx'"),
        ""
    );

    let unsafe_functions = client.text(
        "SELECT p.oid::regprocedure FROM pg_proc p
         JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
         JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'onyx'
         WHERE p.prosecdef AND NOT coalesce(p.proconfig::text, '') LIKE '%search_path%'",
    );
    assert_eq!(unsafe_functions, "", "SECURITY DEFINER without a search_path of their own");

    // A function whose body is looked up again at every call must not look in a caller's schemas. A procedure
    // that commits cannot have a setting; ingest_git's body names nothing without its schema.
    let late_bound = client.text(
        "SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
         JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
         JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'onyx'
         WHERE l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL AND p.proname <> 'ingest_git'
           AND NOT coalesce(p.proconfig::text, '') LIKE '%search_path%'",
    );
    assert_eq!(late_bound, "", "bound at run time and without a search_path of their own");
}

#[test]
fn a_search_path_of_the_caller_changes_nothing() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let tree = Tree::of(&[("a.py", "def parse_cookie(header):\n    return header\n")]);
    // Everything an unqualified name of the extension could be mistaken for.
    client.run(
        "CREATE SCHEMA evil;
         CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT pg_catalog.concat($1, 1/0) $$;
         CREATE FUNCTION evil.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$ SELECT pg_catalog.concat(1/0) $$;
         CREATE FUNCTION evil.count(text) RETURNS bigint LANGUAGE sql AS $$ SELECT (1/0)::bigint $$;
         CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.to_timestamp(1/0) $$;
         CREATE FUNCTION evil.eq(bigint, bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT 1/0 = 1 $$;
         CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.eq);
         CREATE FUNCTION evil.teq(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT 1/0 = 1 $$;
         CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.teq);
         SET search_path = evil, pg_catalog",
    );
    client.run(&format!("SELECT * FROM onyx.ingest_directory('r', '{}')", tree.root()));
    tree.write("a.py", "def parse_cookie(header):\n    return header + 1\n");
    tree.write("b/c.py", "def other(): pass\n");
    client.run(&format!("SELECT * FROM onyx.ingest_directory('r', '{}')", tree.root()));
    client.run("SELECT onyx.wait_for_embeddings()");
    assert_eq!(
        client.text("SELECT qualified_name FROM onyx.search('parse cookie', 1)"),
        "a.parse_cookie"
    );
    client.run(
        "SELECT * FROM onyx.stat_engine; SELECT * FROM onyx.stat_index; SELECT onyx.sweep();
         SELECT * FROM onyx.stat_ingest; SELECT onyx.forget('r', 'b'); SELECT onyx.forget('r');
         SELECT onyx.rebuild('onyx.nodes_semantic'); SELECT * FROM onyx.check_index('onyx.nodes_semantic')",
    );
}

#[test]
fn smoke_dump_and_restore_keep_what_was_ingested() {
    let cluster = Cluster::start(Config::new());
    let mut client = cluster.database("source");
    let tree = Tree::of(&[
        ("src/lib.rs", "/// Parses a cookie.\npub fn parse_cookie(header: &str) -> u32 { 1 }\n"),
        ("app/main.py", "class Greeter:\n    def greet(self):\n        return 'hello'\n"),
        ("bad.py", "def broken(:\n"),
    ]);
    client.run(&format!("SELECT * FROM onyx.ingest_directory('r', '{}')", tree.root()));
    client.run(
        "INSERT INTO onyx.models (name, model_path, tokenizer_path, dimensions)
         VALUES ('mine', 'm.onnx', 't.json', 7);
         CREATE TABLE items (id int, v vector(2));
         INSERT INTO items SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 100) i;
         CREATE INDEX items_v ON items USING onyx_hnsw (v vector_l2_ops) WITH (m = 8)",
    );
    let mut dump = install::command(install::program("pg_dump"))
        .args(["-U", "postgres", "-d", "source", "-h"])
        .arg(cluster.host())
        .stdout(Stdio::piped())
        .spawn()
        .expect("pg_dump");
    cluster.connect().run("CREATE DATABASE copy");
    let output = install::command(install::program("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "copy", "-h"])
        .arg(cluster.host())
        .stdin(dump.stdout.take().expect("its output"))
        .output()
        .expect("psql");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(dump.wait().expect("pg_dump").success());

    let mut copy = cluster.connect_to("copy");
    for table in ["models", "repos", "files", "nodes", "ingest_errors"] {
        let sql = format!("SELECT t::text FROM onyx.{table} t ORDER BY 1");
        assert_eq!(client.text(&sql), copy.text(&sql), "onyx.{table} differs");
    }
    assert!(copy.one::<i64>("SELECT count(*) FROM onyx.nodes") > 5);
    // Sequences go on where they were, and indexes answer.
    copy.run("SELECT * FROM onyx.ingest_file('r', 'new.py', 'def fresh(): pass')");
    copy.run("SELECT onyx.wait_for_embeddings()");
    assert_eq!(
        copy.text("SELECT qualified_name FROM onyx.search('where is a cookie parsed?', 1)"),
        "crate::parse_cookie"
    );
    // A few rows are read as cheaply without an index.
    copy.run("SET enable_seqscan = off");
    assert!(
        copy.explain("SELECT id FROM items ORDER BY v <-> '[5,0]' LIMIT 1").contains("items_v")
    );
    assert_eq!(copy.text("SELECT * FROM onyx.check_index('items_v')"), "");
}

#[test]
fn a_database_copied_from_a_template_answers_and_gets_its_own_generations() {
    let cluster = Cluster::start(Config::new());
    let mut client = cluster.database("original");
    client.run(
        "CREATE TABLE items (id int, v vector(2));
         INSERT INTO items SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 300) i;
         CREATE INDEX items_v ON items USING onyx_hnsw (v vector_l2_ops)",
    );
    drop(client);
    cluster.connect().run("CREATE DATABASE copy TEMPLATE original");
    let mut copy = cluster.connect_to("copy");
    // Right from the first moment, whether or not the rebuild has come by.
    copy.run("DELETE FROM items WHERE id = 100");
    assert_eq!(
        copy.column::<i32>("SELECT id FROM items ORDER BY v <-> '[100.2,0]' LIMIT 2"),
        [101, 99]
    );
    let mut original = cluster.connect_to("original");
    assert_eq!(
        original.column::<i32>("SELECT id FROM items ORDER BY v <-> '[100.2,0]' LIMIT 2"),
        [100, 101]
    );
    eventually("indexes of the copy rebuilt", Duration::from_secs(30), || {
        (copy.text("SELECT DISTINCT state FROM onyx.stat_index") == "ready").then_some(())
    });
    let generations = "SELECT generation FROM onyx.stat_index WHERE indexname = 'items_v'";
    assert_ne!(copy.text(generations), original.text(generations));
    assert!(
        copy.explain("SELECT id FROM items ORDER BY v <-> '[5,0]' LIMIT 1").contains("items_v")
    );
    assert_eq!(copy.text("SELECT * FROM onyx.check_index('items_v')"), "");
}
