//! Protects the edges from strings of SQL in source code to the tables and columns of the database: right
//! ones, whichever of the two was ingested last, and after any change those of a clean ingest.

use std::time::Duration;

use onyx_pg_test::{Cluster, Sql, eventually};
use postgres::Client;

const TABLES: &str = "CREATE SCHEMA app;
    CREATE TABLE app.people (id int PRIMARY KEY, name text, born date);
    CREATE TABLE app.visits (person int REFERENCES app.people, at timestamptz);
    CREATE VIEW app.seen AS SELECT name, at FROM app.people JOIN app.visits ON person = id;";
const CODE: &str = "QUERY = 'SELECT name FROM app.people WHERE id = %s'\n\n\ndef find(db, id):\n    return db.execute(QUERY, id)\n\n\ndef visit(db):\n    db.execute(\n        \"INSERT INTO visits (person, at) \"\n        \"SELECT p.id, now() FROM people p WHERE born IS NULL\")\n    db.execute('DELETE FROM elsewhere')\n";
const EXPECTED: [&str; 9] = [
    "code.QUERY|app.people|1|sql_table|0.95",
    "code.QUERY|app.people.id|1|sql_column|0.85",
    "code.QUERY|app.people.name|1|sql_column|0.85",
    "code.visit|app.people|11|sql_table|0.9",
    "code.visit|app.people.born|11|sql_column|0.6",
    "code.visit|app.people.id|11|sql_column|0.85",
    "code.visit|app.visits|10|sql_table|0.9",
    "code.visit|app.visits.at|10|sql_column|0.6",
    "code.visit|app.visits.person|10|sql_column|0.6",
];

fn ingest(text: &str) -> String {
    format!("SELECT * FROM onyx.ingest_file('code', 'code.py', $x${text}$x$)")
}

fn edges(client: &mut Client) -> Vec<String> {
    let all = client.text(
        "SELECT s.qualified_name, t.qualified_name, l.line, l.resolution, l.confidence
         FROM onyx.links l JOIN onyx.nodes s ON s.id = l.source_id JOIN onyx.nodes t ON t.id = l.target_id
         WHERE l.resolution LIKE 'sql\\_%' ORDER BY 1, 2, 3",
    );
    all.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_verified(client: &mut Client, when: &str) {
    assert_eq!(client.text("SELECT * FROM onyx.verify('code')"), "", "{when}");
    let dangling = "SELECT count(*) FROM onyx.links l WHERE NOT EXISTS (SELECT FROM onyx.nodes n WHERE n.id = l.target_id)
                    OR NOT EXISTS (SELECT FROM onyx.nodes n WHERE n.id = l.source_id)";
    assert_eq!(client.one::<i64>(dangling), 0, "{when}");
}

#[test]
fn strings_lead_to_tables_whichever_is_ingested_last() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("strings");
    client.run(TABLES);
    let catalog = "SELECT * FROM onyx.ingest_catalog('{app}')";
    client.run(&ingest(CODE));
    assert_eq!(edges(&mut client), [""; 0]);
    client.run(catalog);
    assert_eq!(edges(&mut client), EXPECTED, "code first");
    assert_verified(&mut client, "code first");
    let ids = client.text("SELECT id FROM onyx.links ORDER BY 1");
    client.run(catalog);
    assert_eq!(client.text("SELECT id FROM onyx.links ORDER BY 1"), ids, "nothing changed");
    client.run("SELECT onyx.forget('code')");
    assert_eq!(edges(&mut client), [""; 0]);
    client.run(&ingest(CODE));
    assert_eq!(edges(&mut client), EXPECTED, "catalog first");
    assert_verified(&mut client, "catalog first");
    // What the database does not have stays to be asked for.
    let unknown = "SELECT table_name, line FROM onyx.sql_references WHERE table_name = 'elsewhere'";
    assert_eq!(client.text(unknown), "elsewhere|12");

    // Which functions break with a column: also those that use the constant the string is in.
    let impact = "SELECT string_agg(DISTINCT qualified_name, ' ' ORDER BY qualified_name)
        FROM onyx.impact((SELECT id FROM onyx.nodes WHERE qualified_name = 'app.people.id')) WHERE kind = 'function'";
    assert_eq!(client.text(impact), "code.find code.visit");
    // verify finds what is wrong.
    client.run("BEGIN; DELETE FROM onyx.links WHERE resolution = 'sql_table'");
    let lacks: Vec<String> = client.column("SELECT difference FROM onyx.verify('code')");
    assert_eq!(lacks, ["missing"; 3]);
    client.run("ROLLBACK");

    // Both change.
    client.run(&ingest(&format!("# moved\n{}", CODE.replace("born", "name"))));
    assert!(
        edges(&mut client).contains(&"code.visit|app.people.name|12|sql_column|0.6".to_owned())
    );
    assert_verified(&mut client, "after an edit");
    client.run(&ingest(CODE));
    assert_eq!(edges(&mut client), EXPECTED);
    client.run(
        "ALTER TABLE app.people DROP COLUMN born; ALTER TABLE app.people RENAME name TO title",
    );
    client.run(catalog);
    let left: Vec<&str> = EXPECTED
        .into_iter()
        .filter(|e| !e.contains("born") && !e.contains("people.name"))
        .collect();
    assert_eq!(edges(&mut client), left, "a column is gone, and one has another name");
    assert_verified(&mut client, "after columns went");
    // Two tables of a name: only what names the schema is sure.
    client.run("CREATE SCHEMA other; CREATE TABLE other.people (id int); SELECT * FROM onyx.ingest_catalog('{other}')");
    let left: Vec<&str> =
        left.into_iter().filter(|e| !e.starts_with("code.visit|app.people")).collect();
    assert_eq!(edges(&mut client), left, "with two tables of a name");
    assert_verified(&mut client, "with two tables of a name");
    client.run("DROP SCHEMA other, app CASCADE; SELECT * FROM onyx.ingest_catalog()");
    assert_eq!(edges(&mut client), [""; 0]);
    assert_verified(&mut client, "without the tables");
}

#[test]
fn edges_to_tables_outlive_changes_of_other_files_and_repositories() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("others");
    client.run(TABLES);
    client.run("SELECT * FROM onyx.ingest_catalog('{app}')");
    client.run(&ingest(&format!(
        "from helper import help\nfrom parcel import pack\n{CODE}\nhelp()\npack()\n"
    )));
    let before = edges(&mut client);
    assert_eq!(before.len(), EXPECTED.len());
    for (repo, path, text) in [
        ("code", "helper.py", "def help(): pass\n"),
        ("library", "parcel/__init__.py", "def pack(): pass\n"),
        ("code", "helper.py", "def other(): pass\n"),
        ("library", "parcel/__init__.py", "def other(): pass\n"),
    ] {
        client.run(&format!("SELECT * FROM onyx.ingest_file('{repo}', '{path}', '{text}')"));
        assert_eq!(edges(&mut client), before, "{repo} {path} {text}");
        assert_verified(&mut client, path);
    }
    // What is undone was never done.
    client.run("BEGIN; SELECT onyx.forget('code'); ROLLBACK");
    client
        .run("BEGIN; DROP TABLE app.visits CASCADE; SELECT * FROM onyx.ingest_catalog(); ROLLBACK");
    assert_eq!(edges(&mut client), before);
    assert_verified(&mut client, "after rollbacks");
}

#[test]
fn code_and_catalog_ingested_at_once_meet() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("meet");
    client.run(TABLES);
    let catalog = "SELECT * FROM onyx.ingest_catalog('{app}')".to_owned();
    for (first, second) in [(ingest(CODE), catalog.clone()), (catalog, ingest(CODE))] {
        client.run("SELECT onyx.forget(name) FROM onyx.repos; DELETE FROM onyx.nodes");
        let mut one = cluster.connect_to("meet");
        one.run(&format!("BEGIN; {first}"));
        std::thread::scope(|scope| {
            let mut other = cluster.connect_to("meet");
            let waiting = scope.spawn(move || other.run(&second));
            eventually("the other session to wait", Duration::from_secs(60), || {
                let waits =
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'";
                (client.one::<i64>(waits) > 0).then_some(())
            });
            one.run("COMMIT");
            waiting.join().expect("the other session");
        });
        assert_eq!(edges(&mut client), EXPECTED, "{first} first");
        assert_verified(&mut client, &first);
    }
}

#[test]
fn a_transaction_that_sees_an_older_catalog_or_source_makes_no_edges_of_it() {
    let cluster = Cluster::ready();
    let mut client = cluster.database("older");
    let mut one = cluster.connect_to("older");
    client.run(TABLES);
    let catalog = "SELECT * FROM onyx.ingest_catalog('{app}')".to_owned();
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for (first, second) in [
            (catalog.clone(), ingest(CODE)),
            (ingest(CODE), catalog.clone()),
            (catalog.clone(), catalog.clone()),
        ] {
            client.run("SELECT onyx.forget(name) FROM onyx.repos; DELETE FROM onyx.nodes");
            one.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT FROM onyx.repos"));
            client.run(&first);
            let error = one.error(&second);
            assert_eq!(error.code().code(), "40001", "{level}, {first} first: {error:?}");
            one.run("ROLLBACK");
            // Tried again it goes, also with both in one transaction.
            one.run(&format!("BEGIN ISOLATION LEVEL {level}"));
            for statement in [&second, &catalog, &ingest(CODE), &second] {
                one.run(statement);
            }
            one.run("COMMIT");
            assert_eq!(edges(&mut client), EXPECTED, "{level}, {first} first");
            assert_verified(&mut client, level);
        }
    }
}
