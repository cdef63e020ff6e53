//! One node at a commit: where it was, what it said.

use std::rc::Rc;

use onyx_protocol::facts::{Definition, FileFacts, Language};
use onyx_protocol::history::SymbolChangeKind;
use pgrx::prelude::*;

use super::commits::Commits;
use super::snapshot::{FileAt, Snapshot};
use super::symbol_changes::SymbolRow;
use super::{at, contents, state, symbol_changes};
use crate::error::{Error, OrRaise};
use crate::query;

/// A node at a commit.
pub struct NodeAt {
    /// Its file.
    pub file: FileAt,
    /// The definitions of its file.
    pub facts: Rc<FileFacts>,
    /// Its number there; none for the file's own node.
    pub ordinal: Option<usize>,
}

impl NodeAt {
    /// Its definition; none for a file's own node.
    pub fn definition(&self) -> Option<&Definition> {
        self.facts.definitions.get(self.ordinal?)
    }

    /// Its text.
    pub fn text(&self) -> Result<String, Error> {
        let text = contents::text(self.file.content)?.text;
        slice(&text, self.definition())
    }
}

/// A definition's part of its file's text; all of it for a file.
pub fn slice(text: &Rc<Vec<u8>>, definition: Option<&Definition>) -> Result<String, Error> {
    let bytes = match definition {
        Some(d) => text.get(d.start_byte as usize..d.end_byte as usize).ok_or_else(|| {
            Error::sql(
                PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
                format!("\"{}\" lies outside its file", d.qualified_name),
            )
        })?,
        None => &text[..],
    };
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// The repository of a node that is or was, from its versions.
pub fn repo_of(node: i64, versions: &[SymbolRow]) -> Result<i64, Error> {
    let repo = match versions.first() {
        Some(version) => query::one(
            c"SELECT repo_id FROM onyx.commits WHERE id = $1",
            &[(pg_sys::INT4OID, version.commit.into_datum())],
        )?,
        None => query::one(
            c"SELECT repo_id FROM onyx.nodes WHERE id = $1",
            &[(pg_sys::INT8OID, node.into_datum())],
        )?,
    };
    repo.ok_or_else(|| {
        Error::sql(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, format!("node {node} has no history"))
    })
}

/// The commit a file of a commit came with: that of what is in it and has no versions of its own.
pub fn added(commits: &Commits, file: &FileAt, commit: i32) -> Result<i32, Error> {
    let found: Option<Vec<i32>> = query::one(
        c"SELECT pg_catalog.array_agg(v.commit_id ORDER BY v.commit_id DESC) FROM onyx.file_versions v
          WHERE v.path_id = $1 AND v.change = 'added' AND v.commit_id <= $2",
        &[(pg_sys::INT4OID, file.path_id.into_datum()), (pg_sys::INT4OID, commit.into_datum())],
    )?;
    let found = found.unwrap_or_default().into_iter().find(|at| commits.is_on_line(*at, commit));
    Ok(found.unwrap_or(file.commit))
}

/// A node as it was at a commit, from its versions; none when it was not there.
pub fn find(
    repo: i64,
    node: i64,
    commit: i32,
    versions: &[SymbolRow],
) -> Result<Option<NodeAt>, Error> {
    let commits = Commits::of(repo)?;
    // Its path then: that of the last word on it. What never changed since its file came has no rows.
    let on_line = versions.iter().filter(|version| commits.is_on_line(version.commit, commit));
    let path = match on_line.max_by_key(|version| version.commit) {
        Some(version) if version.symbol.change == SymbolChangeKind::Deleted => return Ok(None),
        Some(version) => Some(version.path),
        None => query::one::<i32>(
            c"SELECT p.id FROM onyx.nodes n JOIN onyx.files f ON f.id = n.file_id
              JOIN onyx.paths p ON p.repo_id = f.repo_id AND p.path = f.path
              WHERE n.id = $1 AND n.repo_id = $2",
            &[(pg_sys::INT8OID, node.into_datum()), (pg_sys::INT8OID, repo.into_datum())],
        )?,
    };
    let Some(path) = path else { return Ok(None) };
    let Some(file) = Snapshot::file(repo, commit, path)? else { return Ok(None) };
    let Some(place) = file.nodes.iter().position(|id| *id == node) else { return Ok(None) };
    let facts = contents::facts(&[file.content])?.remove(&file.content).unwrap_or_default();
    Ok(Some(NodeAt { file, facts, ordinal: place.checked_sub(1) }))
}

fn resolve(node: i64, at: Option<&str>) -> Result<Option<NodeAt>, Error> {
    let versions = symbol_changes::of(&[node])?;
    let repo = repo_of(node, &versions)?;
    find(repo, node, at::commit(repo, at)?, &versions)
}

#[pg_extern(sql = false)]
fn content_at(node: Option<i64>, at: Option<&str>) -> Option<String> {
    let found = resolve(node?, at).or_raise()?;
    Some(found.text().or_raise())
}

#[allow(clippy::type_complexity)]
#[pg_extern(sql = false)]
fn version_at(
    node: Option<i64>,
    at: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(commit_id, i32),
        name!(path, String),
        name!(kind, String),
        name!(name, String),
        name!(qualified_name, String),
        name!(signature, String),
        name!(doc, String),
        name!(start_byte, i32),
        name!(end_byte, i32),
        name!(start_line, i32),
        name!(end_line, i32),
        name!(content_hash, Option<Vec<u8>>),
    ),
> {
    let Some(node) = node else { return TableIterator::empty() };
    let Some(found) = resolve(node, at).or_raise() else { return TableIterator::empty() };
    let file = &found.file;
    let row = match found.definition() {
        Some(d) => (
            file.commit,
            file.path.clone(),
            d.kind.as_str().to_owned(),
            d.name.clone(),
            state::qualified(&file.module, Language::from_name(&file.language), &d.qualified_name),
            d.signature.clone(),
            d.doc.clone(),
            d.start_byte as i32,
            d.end_byte as i32,
            d.start_line as i32,
            d.end_line as i32,
            Some(d.hash.to_vec()),
        ),
        None => (
            file.commit,
            file.path.clone(),
            "file".to_owned(),
            file.path.rsplit('/').next().unwrap_or_default().to_owned(),
            file.path.clone(),
            String::new(),
            found.facts.doc.clone(),
            0,
            file.size,
            1,
            file.lines.max(1),
            None,
        ),
    };
    TableIterator::once(row)
}

/// Whether a commit is met, itself included, when all parents are followed from another.
#[pg_extern(sql = false)]
fn is_ancestor(ancestor: i32, commit: i32) -> bool {
    let repo = query::one::<i64>(
        c"SELECT repo_id FROM onyx.commits WHERE id = $1",
        &[(pg_sys::INT4OID, commit.into_datum())],
    );
    match repo.or_raise() {
        Some(repo) => Commits::of(repo).or_raise().is_ancestor(ancestor, commit),
        None => false,
    }
}
