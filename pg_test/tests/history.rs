//! Protects history: what was at a commit is what a clean ingest of it gives, and a node is followed
//! through edits, renames and moves.

use onyx_pg_test::git::{self, Random};
use onyx_pg_test::{Cluster, GitRepo, Sql, Tree};
use postgres::Client;

const SHOP: &str = "class Cart:\n    def total(self):\n        return sum(self.items)\n\n\ndef tax(amount):\n    rate = 0.19\n    return amount * rate\n";

/// What nodes are, apart from their ids.
const NODE: &str = "n.path, n.kind, CASE WHEN n.kind <> 'repository' THEN n.name END AS name,
    CASE WHEN n.kind <> 'repository' THEN n.qualified_name END AS qualified_name, n.language, n.visibility,
    n.signature, n.doc, n.attributes, n.ordinal, n.start_byte, n.end_byte, n.start_line, n.end_line, n.content_hash,
    p.kind AS parent_kind, CASE WHEN p.kind <> 'repository' THEN p.qualified_name END AS parent";

fn as_of(repo: &str, at: &str) -> String {
    format!(
        "WITH a AS MATERIALIZED (SELECT * FROM onyx.nodes_as_of('{repo}', '{at}'))
         SELECT {NODE} FROM a n LEFT JOIN a p ON p.id = n.parent_id"
    )
}

fn head(repo: &str) -> String {
    format!(
        "SELECT {NODE} FROM (SELECT n.*, f.path FROM onyx.nodes n LEFT JOIN onyx.files f ON f.id = n.file_id) n
         LEFT JOIN onyx.nodes p ON p.id = n.parent_id
         WHERE n.repo_id = (SELECT id FROM onyx.repos WHERE name = '{repo}')"
    )
}

#[track_caller]
fn assert_same(client: &mut Client, one: &str, other: &str, when: &str) {
    for (one, other, what) in [(one, other, "surplus"), (other, one, "missing")] {
        let rows: Vec<String> =
            client.column(&format!("SELECT d::text FROM (({one}) EXCEPT ALL ({other})) d LIMIT 5"));
        assert_eq!(rows, [""; 0], "{what} {when}");
    }
}

/// Whether a commit's nodes are those of a clean ingest of its tree.
#[track_caller]
fn assert_clean(client: &mut Client, repo: &str, at: &str, tree: &Tree) {
    client.run(
        "SELECT onyx.forget('clean') WHERE EXISTS (SELECT FROM onyx.repos WHERE name = 'clean')",
    );
    client.run(&format!("SELECT * FROM onyx.ingest_directory('clean', '{}')", tree.root()));
    let (as_of, head) = (as_of(repo, at), head("clean"));
    assert_same(client, &as_of, &head, &format!("at {at}"));
}

/// Whether the tables show what the default branch's head has, with the same ids and edges.
#[track_caller]
fn assert_shown(client: &mut Client, repo: &str) {
    let ids: Vec<i64> = client.column(&format!(
        "SELECT coalesce(a.id, n.id) FROM onyx.nodes_as_of('{repo}') a
         FULL JOIN (SELECT * FROM onyx.nodes
                    WHERE repo_id = (SELECT id FROM onyx.repos WHERE name = '{repo}')) n
              ON n.id = a.id AND n.kind = a.kind AND n.qualified_name = a.qualified_name
                 AND n.parent_id IS NOT DISTINCT FROM a.parent_id
         WHERE a.id IS NULL OR n.id IS NULL"
    ));
    assert_eq!(ids, [0_i64; 0], "nodes of {repo} that differ");
    let differences: Vec<String> =
        client.column(&format!("SELECT v::text FROM onyx.verify('{repo}') v"));
    assert_eq!(differences, [""; 0], "verify {repo}");
}

fn node(client: &mut Client, repo: &str, name: &str) -> i64 {
    client.one(&format!(
        "SELECT n.id FROM onyx.nodes n JOIN onyx.repos r ON r.id = n.repo_id
         WHERE r.name = '{repo}' AND n.qualified_name = '{name}'"
    ))
}

#[test]
fn a_node_is_followed_through_edits_renames_and_moves() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let mut repo = GitRepo::new();
    repo.tree.write("shop.py", SHOP);
    let first = repo.commit("first");
    repo.git(&["tag", "v1"]);
    repo.author("Bob", "bob@example.org");
    repo.tree.write("shop.py", SHOP.replace("0.19", "0.21"));
    let second = repo.commit("second");
    let renamed = SHOP.replace("0.19", "0.21").replace("def tax", "def vat");
    repo.tree.write("shop.py", &renamed);
    let third = repo.commit("third");
    repo.tree.remove("shop.py");
    repo.tree.write("store/till.py", &renamed);
    let fourth = repo.commit("fourth");
    client.run(&format!("CALL onyx.ingest_git('shop', '{}')", repo.root()));

    let vat = node(&mut client, "shop", "store.till.vat");
    assert_eq!(
        client.text(&format!(
            "SELECT change, name, path, lines_added, lines_removed, body_changed, author_name, left(git_hash, 7)
             FROM onyx.history({vat})"
        )),
        format!(
            "created|tax|shop.py|3|0|f|Ada|{}\nmodified|tax|shop.py|1|1|t|Bob|{}\nrenamed|vat|shop.py|1|1|t|Bob|{}\nmoved|vat|store/till.py|0|0|f|Bob|{}",
            &first[..7],
            &second[..7],
            &third[..7],
            &fourth[..7]
        )
    );
    let at = |client: &mut Client, at: &str| -> String {
        client.text(&format!("SELECT onyx.content_at({vat}, '{at}')"))
    };
    let body = "def tax(amount):\n    rate = 0.19\n    return amount * rate";
    assert_eq!(at(&mut client, "v1"), body);
    assert_eq!(at(&mut client, &second[..8]), body.replace("0.19", "0.21"));
    assert_eq!(at(&mut client, "main"), body.replace("0.19", "0.21").replace("tax", "vat"));
    assert_eq!(at(&mut client, "2020-09-13 12:28:00+00"), body);
    assert_eq!(
        client.text(&format!("SELECT path, qualified_name FROM onyx.version_at({vat}, '{third}')")),
        "shop.py|shop.vat"
    );
    for (commit, tree) in [&first, &second, &third, &fourth].map(|c| (c, repo.checkout(c))) {
        assert_clean(&mut client, "shop", commit, &tree);
    }
    assert_shown(&mut client, "shop");
    assert_eq!(client.text("SELECT name, is_default FROM onyx.branches"), "main|t");
}

#[test]
fn any_commit_is_what_a_clean_ingest_of_it_gives() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    for seed in 1..=3 {
        let mut repo = git::random_history(seed, 40);
        let mut random = Random::new(seed);
        let name = format!("random{seed}");
        client.run(&format!("CALL onyx.ingest_git('{name}', '{}')", repo.root()));
        assert_shown(&mut client, &name);
        // What is new is all that is read the second time.
        git::extend_history(&mut random, &mut repo, 15);
        let commits = repo.commits();
        client.run(&format!("CALL onyx.ingest_git('{name}', '{}')", repo.root()));
        assert_shown(&mut client, &name);
        assert_eq!(
            client.one::<i64>(&format!(
                "SELECT count(*) FROM onyx.commits c JOIN onyx.repos r ON r.id = c.repo_id WHERE r.name = '{name}'"
            )),
            commits.len() as i64
        );
        for _ in 0..12 {
            let commit = &commits[random.below(commits.len())];
            assert_clean(&mut client, &name, commit, &repo.checkout(commit));
        }
        for branch in repo.branches() {
            assert_clean(&mut client, &name, &branch, &repo.checkout(&branch));
        }
    }
}
