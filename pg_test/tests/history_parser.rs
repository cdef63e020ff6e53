//! Protects a repository that another version of the parser took in: it stays what it was, and goes on.

use onyx_content::{compress, decompress};
use onyx_pg_test::{Cluster, GitRepo, Sql, Tree, clean};
use onyx_protocol::{numbers, stored_facts};
use postgres::Client;

const SHOP: &str = "class Cart:\n    def total(self):\n        return sum(self.items)\n\n\ndef tax(amount):\n    rate = 0.19\n    return amount * rate\n";

/// Makes every content one of a parser that did not see the last definition of a file.
fn taken_by_another_parser(client: &mut Client) {
    let contents = client.query("SELECT id, facts FROM onyx.contents WHERE base_id IS NULL", &[]);
    for row in contents.expect("contents") {
        let (id, frame): (i32, Vec<u8>) = (row.get(0), row.get(1));
        let bytes = decompress(&frame, None).expect("definitions");
        let mut facts = stored_facts::decode(&bytes).expect("definitions");
        facts.definitions.pop();
        let frame = compress(&stored_facts::encode(&facts), None).expect("a frame");
        let update = "UPDATE onyx.contents SET parser = 0, facts = $2 WHERE id = $1";
        client.execute(update, &[&id, &frame]).expect("an update");
    }
    let versions = "SELECT commit_id, path_id, onyx.decode_nodes(nodes) FROM onyx.file_versions";
    for row in client.query(versions, &[]).expect("versions") {
        let mut nodes: Vec<i64> = row.get(2);
        nodes.pop();
        let (commit, path): (i32, i32) = (row.get(0), row.get(1));
        let update =
            "UPDATE onyx.file_versions SET nodes = $3 WHERE commit_id = $1 AND path_id = $2";
        client.execute(update, &[&commit, &path, &numbers::encode(&nodes)]).expect("an update");
    }
}

/// Definitions at a commit, with their ids.
fn definitions(client: &mut Client, repo: &str, at: &str) -> String {
    client.text(&format!(
        "SELECT id, qualified_name FROM onyx.nodes_as_of('{repo}', '{at}')
         WHERE kind NOT IN ('repository', 'directory', 'file') ORDER BY ordinal"
    ))
}

#[test]
fn what_another_parser_found_stays_and_goes_on() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    client.run(&format!("SELECT onyx.ingest_file('shop', 'shop.py', $q${SHOP}$q$)"));
    client.run("SELECT onyx.branch_create('shop', 'old')");
    let first: i32 = client.one("SELECT onyx.commit_at('shop')");
    let all = definitions(&mut client, "shop", "main");
    taken_by_another_parser(&mut client);

    // A session that has seen nothing yet.
    let mut client = cluster.connect();
    let known = definitions(&mut client, "shop", "main");
    assert!(all.starts_with(&known) && all != known, "{known} of {all}");
    let ends = "SELECT count(*) FROM onyx.edges_as_of('shop', 'main') e
                LEFT JOIN onyx.nodes_as_of('shop', 'main') s ON s.id = e.source_id
                LEFT JOIN onyx.nodes_as_of('shop', 'main') t ON t.id = e.target_id";
    let total: i64 = client.one(ends);
    assert_eq!(
        client.one::<i64>(&format!("{ends} WHERE s.id IS NOT NULL AND t.id IS NOT NULL")),
        total
    );
    assert!(total > 2, "{total} edges");

    // A change is compared with what was found then.
    let changed = SHOP.replace("0.19", "0.21");
    client.run(&format!("SELECT onyx.ingest_file('shop', 'shop.py', $q${changed}$q$)"));
    let tree = Tree::of(&[("shop.py", &changed)]);
    clean::ingest_clean(&mut client, &tree);
    clean::assert_clean_nodes(&mut client, "shop", "main");
    clean::assert_clean_edges(&mut client, "shop", "main");
    clean::assert_shown(&mut client, "shop", "after a change");
    assert!(definitions(&mut client, "shop", "main").starts_with(&known));
    assert_eq!(definitions(&mut client, "shop", &format!("#{first}")), known);
    let tax = "SELECT h.change, h.commit_id <> {first} FROM onyx.nodes n, onyx.history(n.id) h
               JOIN onyx.repos r ON r.name = 'shop' WHERE n.name = 'tax' AND n.repo_id = r.id";
    let created = client.text(&tax.replace("{first}", &first.to_string()));
    assert_eq!(created, "created|t");

    // The old state can be shown, changed and merged.
    client.run("SELECT onyx.checkout('shop', 'old')");
    let verified: Vec<String> = client.column("SELECT v::text FROM onyx.verify('shop') v");
    assert_eq!(verified, [""; 0]);
    let cart = "SELECT id FROM onyx.nodes WHERE qualified_name = 'shop.Cart' AND repo_id = (SELECT id FROM onyx.repos WHERE name = 'shop')";
    assert!(known.starts_with(&client.text(cart)));
    let other = SHOP.replace("sum(", "max(");
    client.run(&format!("SELECT onyx.ingest_file('shop', 'shop.py', $q${other}$q$)"));
    clean::assert_shown(&mut client, "shop", "after a change of the old state");
    assert_eq!(client.text("SELECT conflicts FROM onyx.merge('shop', 'main')"), "0");
    let tree = Tree::of(&[("shop.py", &changed.replace("sum(", "max("))]);
    clean::ingest_clean(&mut client, &tree);
    clean::assert_clean_nodes(&mut client, "shop", "old");
    clean::assert_shown(&mut client, "shop", "after a merge");
}

#[test]
fn a_repository_of_another_parser_is_read_on() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let mut repo = GitRepo::new();
    repo.tree.write("shop.py", SHOP);
    repo.commit("first");
    let ingest = format!("CALL onyx.ingest_git('shop', '{}')", repo.root());
    client.run(&ingest);
    taken_by_another_parser(&mut client);
    let mut client = cluster.connect();
    let known = definitions(&mut client, "shop", "main");
    repo.tree.write("shop.py", SHOP.replace("0.19", "0.21"));
    repo.commit("second");
    // The same content under another name is a content of this parser.
    repo.tree.remove("shop.py");
    repo.tree.write("store/till.py", SHOP);
    repo.commit("third");
    client.run(&ingest);
    assert!(
        definitions(&mut client, "shop", "main").replace("store.till", "shop").starts_with(&known)
    );
    clean::ingest_clean(&mut client, &repo.checkout("main"));
    clean::assert_clean_nodes(&mut client, "shop", "main");
    clean::assert_clean_edges(&mut client, "shop", "main");
    clean::assert_shown(&mut client, "shop", "after more commits");
}
