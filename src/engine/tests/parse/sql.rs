//! Protects what is read of SQL in strings: the tables and columns, where they stand, and nothing else.

use onyx_engine::parse::{Limits, parse_file};
use onyx_protocol::facts::Language;

/// References as `definition line:column table(columns; possible)`.
fn references(path: &str, source: &str) -> Vec<String> {
    let language = Language::from_path(path).expect("a known extension");
    let file = parse_file(path, language, source.as_bytes(), &Limits::default(), &|| false)
        .expect("parses");
    let told = file.sql.iter().map(|r| {
        let of = r.definition.map_or("-", |n| file.facts.definitions[n as usize].name.as_str());
        let schema = if r.schema.is_empty() { String::new() } else { format!("{}.", r.schema) };
        let possible = if r.possible.is_empty() {
            String::new()
        } else {
            format!("; {}", r.possible.join(" "))
        };
        format!(
            "{of} {}:{} {schema}{}({}{possible})",
            r.line,
            r.column,
            r.table,
            r.columns.join(" ")
        )
    });
    told.collect()
}

/// Of one statement in Python: tables and columns.
fn statement(sql: &str) -> Vec<String> {
    let found = references("a.py", &format!("q = \"\"\"{sql}\"\"\"\n"));
    found.iter().map(|one| one.split(' ').skip(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_language_has_its_strings() {
    let cases = [
        ("a.py", "def f(db):\n    db.execute('SELECT id FROM t')\n", "f 2:32 t(id)"),
        (
            "a.py",
            "def f(db):\n    db.execute(f\"\"\"\n        SELECT id\n        FROM {schema}.t JOIN u ON u.k = 1\"\"\")\n",
            "f 4:30 u(k; id)",
        ),
        (
            "a.js",
            "function f(db) { db.query(`SELECT id FROM t WHERE k = ${k}`); }",
            "f 1:43 t(id k)",
        ),
        (
            "a.ts",
            "class A { run(): void { this.db.query(\"DELETE FROM t WHERE id = $1\"); } }",
            "run 1:52 t(id)",
        ),
        ("a.go", "package a\n\nfunc f() {\n\tdb.Query(`select id\nfrom t`)\n}\n", "f 5:6 t(id)"),
        (
            "a.java",
            "class A { void f() { run(\"UPDATE t SET x = ? \"\n + \"WHERE id = ?\"); } }",
            "f 1:34 t(id x)",
        ),
        (
            "a.java",
            "class A { String q = \"\"\"\n  SELECT id\n  FROM t\n  \"\"\"; }",
            "q 3:8 t(id)",
        ),
        ("a.rs", "fn f() { sqlx::query!(r#\"SELECT \"Odd Id\" FROM t\"#); }", "f 1:47 t(Odd Id)"),
        (
            "a.rs",
            "const Q: &str = \"INSERT INTO t (a, b) \\\n    VALUES ($1, $2)\";\n",
            "Q 1:30 t(a b)",
        ),
    ];
    for (path, source, expected) in cases {
        assert_eq!(references(path, source), [expected], "{path}: {source}");
    }
}

#[test]
fn statements_name_tables_and_columns() {
    let cases: &[(&str, &[&str])] = &[
        (
            "SELECT a, max(b) AS top FROM app.T x WHERE x.c > 3 AND d IS NOT NULL",
            &["app.t(a b c d)"],
        ),
        ("SELECT x.a, y.b, c FROM t x, u AS y WHERE x.k = y.k", &["t(a k; c)", "u(b k; c)"]),
        ("SELECT count(*) FROM ONLY t LEFT JOIN u USING (k)", &["t(; k)", "u(; k)"]),
        (
            "INSERT INTO t (a, b) VALUES (%s, %(b)s) ON CONFLICT (a) DO UPDATE SET b = excluded.b",
            &["t(a b)"],
        ),
        (
            "UPDATE ONLY t SET a = :a, b = other.b FROM other WHERE other.id = t.id",
            &["t(id; a b)", "other(b id; a)"],
        ),
        ("DELETE FROM t USING u WHERE t.id = u.id", &["t(id)", "u(id)"]),
        (
            "WITH r AS (SELECT a FROM t), s (k) AS NOT MATERIALIZED (SELECT b FROM r) SELECT * FROM s",
            &["t(; a b k)"],
        ),
        (
            "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET a = 1",
            &["t(id; a)", "u(id; a)"],
        ),
        ("COPY t (a, b) FROM STDIN", &["t(a b stdin)"]),
        ("TRUNCATE t, u", &["t()", "u()"]),
        ("ALTER TABLE IF EXISTS app.t DROP COLUMN a", &["app.t(a)"]),
        ("CREATE INDEX i ON t (a)", &["t(a i index)"]),
        ("SELECT extract(year FROM at) FROM t WHERE a IS DISTINCT FROM b", &["t(a at b year)"]),
        ("SELECT a FROM generate_series(1, 3) g, t FOR UPDATE", &["t(; a)"]),
        ("SELECT a FROM (SELECT b FROM u) x, t", &["t(; a b)", "u(; a b)"]),
        ("SELECT a::date FROM t -- FROM u\n/* JOIN v */ WHERE b = 'FROM w'", &["t(a b)"]),
        ("SELECT a FROM t; DELETE FROM u WHERE b = 1", &["t(a)", "u(b)"]),
        // Nothing to be read.
        ("SELECT 1", &[]),
        ("SELECT a FROM {table}", &[]),
        ("SELECT a FROM prefix_{name} WHERE b = 1", &[]),
        ("SELECT a FROM %s.t", &[]),
        ("SELECT a FROM `%s`", &[]),
        ("Select the rows from the list", &[]),
        ("update the cache from time to time", &[]),
        ("delete what is old from the list", &[]),
        ("drop it from the list", &[]),
        ("with care from now on", &[]),
    ];
    for (sql, expected) in cases {
        assert_eq!(statement(sql), *expected, "{sql}");
    }
}

#[test]
fn parts_are_put_together_as_far_as_they_are_written() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("a.py", "q = ('SELECT a '\n     'FROM t')\n", &["q 2:12 t(a)"]),
        ("a.py", "q = 'SELECT a FROM ' + name + ' WHERE b = 1'\n", &[]),
        ("a.py", "q = 'SELECT a FROM t_' + name\n", &[]),
        ("a.py", "q = 'SELECT a FROM t', 'FROM u'\n", &["q 1:20 t(a)"]),
        (
            "a.js",
            "const q = 'SELECT a ' +\n  'FROM t WHERE ' + column + ' = 1 AND b = 2';",
            &["q 2:9 t(a b)"],
        ),
        // What documents is none; nor is what is no string.
        ("a.py", "def f():\n    'SELECT a FROM t'\n", &[]),
        ("a.py", "# 'SELECT a FROM t'\n", &[]),
        ("a.js", "'select a from t';", &[]),
    ];
    for (path, source, expected) in cases {
        assert_eq!(references(path, source), *expected, "{source}");
    }
}

#[test]
fn no_string_stops_the_reader() {
    // Halves of everything, in strings that end anywhere.
    let whole = "WITH r AS (SELECT a, \"B\" FROM s.t x JOIN u USING (k)) UPDATE t SET a = {b{c}} || %(d)s || 'e' /* f */ WHERE x.y = ${z}";
    for end in 0..=whole.len() {
        for quote in ["\"\"\"", "'''"] {
            references(
                "a.py",
                &format!("q = {quote}{}{quote}\nr = {quote}{}", &whole[..end], &whole[end..]),
            );
        }
        references("a.js", &format!("f(`{}` + `select {}", &whole[..end], &whole[end..]));
        references("a.rs", &format!("fn f() {{ g(r#\"select {}\"# }}", &whole[..end]));
    }
    let long = format!("q = '''SELECT {} FROM t'''", "(a, {b},\n".repeat(100_000));
    let begun = std::time::Instant::now();
    references("a.py", &long);
    assert!(begun.elapsed().as_secs() < 10);
}
