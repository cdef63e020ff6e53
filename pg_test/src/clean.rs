//! Comparisons of a repository's history with clean ingests, and of the tables with its head.

use postgres::Client;

use crate::{Sql, Tree};

/// What nodes are, apart from their ids.
const NODE: &str = "n.path, n.kind, CASE WHEN n.kind <> 'repository' THEN n.name END AS name,
    CASE WHEN n.kind <> 'repository' THEN n.qualified_name END AS qualified_name, n.language, n.visibility,
    n.signature, n.doc, n.attributes, n.ordinal, n.start_byte, n.end_byte, n.start_line, n.end_line, n.content_hash,
    p.kind AS parent_kind, CASE WHEN p.kind <> 'repository' THEN p.qualified_name END AS parent";

/// Edges apart from ids, from `e` with its ends as `s` and `t`; a repository's own node has its name.
const EDGE: &str = "s.path AS source_path, s.kind AS source_kind,
    CASE WHEN s.kind <> 'repository' THEN s.qualified_name END AS source, s.ordinal AS source_ordinal,
    t.path AS target_path, t.kind AS target_kind, t.qualified_name AS target, t.ordinal AS target_ordinal,
    e.kind, e.path, e.line, e.col, e.resolution, e.confidence";

fn of(repo: &str) -> String {
    format!("repo_id = (SELECT id FROM onyx.repos WHERE name = '{repo}')")
}

/// Whether two queries have the same rows.
///
/// # Panics
/// When they have not.
#[track_caller]
pub fn assert_same(client: &mut Client, one: &str, other: &str, when: &str) {
    for (one, other, what) in [(one, other, "surplus"), (other, one, "missing")] {
        let rows: Vec<String> =
            client.column(&format!("SELECT d::text FROM (({one}) EXCEPT ALL ({other})) d LIMIT 5"));
        assert_eq!(rows, [""; 0], "{what} {when}");
    }
}

/// Ingests a tree into the repository `clean`, which is empty before.
pub fn ingest_clean(client: &mut Client, tree: &Tree) {
    client.run(
        "SELECT onyx.forget('clean') WHERE EXISTS (SELECT FROM onyx.repos WHERE name = 'clean')",
    );
    client.run(&format!("SELECT * FROM onyx.ingest_directory('clean', '{}')", tree.root()));
}

/// Whether a commit's nodes are those of the clean ingest.
///
/// # Panics
/// When they are not.
#[track_caller]
pub fn assert_clean_nodes(client: &mut Client, repo: &str, at: &str) {
    let as_of = format!(
        "WITH a AS MATERIALIZED (SELECT * FROM onyx.nodes_as_of('{repo}', '{at}'))
         SELECT {NODE} FROM a n LEFT JOIN a p ON p.id = n.parent_id"
    );
    let clean = format!(
        "SELECT {NODE} FROM (SELECT n.*, f.path FROM onyx.nodes n LEFT JOIN onyx.files f ON f.id = n.file_id) n
         LEFT JOIN onyx.nodes p ON p.id = n.parent_id WHERE n.{}",
        of("clean")
    );
    assert_same(client, &as_of, &clean, &format!("nodes of {repo} at {at}"));
}

/// Whether a commit's edges are those of the clean ingest.
///
/// # Panics
/// When they are not.
#[track_caller]
pub fn assert_clean_edges(client: &mut Client, repo: &str, at: &str) {
    let as_of = format!(
        "WITH n AS MATERIALIZED (SELECT * FROM onyx.nodes_as_of('{repo}', '{at}'))
         SELECT {EDGE} FROM onyx.edges_as_of('{repo}', '{at}') e
         LEFT JOIN n s ON s.id = e.source_id LEFT JOIN n t ON t.id = e.target_id"
    );
    let node = "(SELECT n.*, f.path FROM onyx.nodes n LEFT JOIN onyx.files f ON f.id = n.file_id)";
    let clean = format!(
        "SELECT {EDGE} FROM (SELECT e.*, f.path FROM onyx.edges e LEFT JOIN onyx.files f ON f.id = e.file_id) e
         JOIN {node} s ON s.id = e.source_id JOIN {node} t ON t.id = e.target_id WHERE e.{}",
        of("clean")
    );
    assert_same(client, &as_of, &clean, &format!("edges of {repo} at {at}"));
}

/// Whether the tables show what the default branch's head has, with the same ids.
///
/// # Panics
/// When they do not.
#[track_caller]
pub fn assert_shown(client: &mut Client, repo: &str, when: &str) {
    let ids: Vec<i64> = client.column(&format!(
        "SELECT coalesce(a.id, n.id) FROM onyx.nodes_as_of('{repo}') a
         FULL JOIN (SELECT * FROM onyx.nodes WHERE {}) n
              ON n.id = a.id AND n.kind = a.kind AND n.qualified_name = a.qualified_name
                 AND n.parent_id IS NOT DISTINCT FROM a.parent_id
         WHERE a.id IS NULL OR n.id IS NULL",
        of(repo)
    ));
    assert_eq!(ids, [0_i64; 0], "nodes of {repo} that differ, {when}");
    let differences: Vec<String> =
        client.column(&format!("SELECT v::text FROM onyx.verify('{repo}') v"));
    assert_eq!(differences, [""; 0], "verify {repo}, {when}");
}
