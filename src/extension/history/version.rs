//! One node at a commit: where it was, what it said.

use std::rc::Rc;

use onyx_protocol::facts::{Definition, FileFacts, Language};
use pgrx::prelude::*;

use super::commits::Commits;
use super::snapshot::{FileAt, Snapshot};
use super::{at, contents, state};
use crate::error::{Error, OrRaise};

/// A node at a commit.
pub struct NodeAt {
    /// Its file.
    pub file: FileAt,
    /// The definitions of its file.
    pub facts: FileFacts,
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

/// The repository of a node that is or was.
pub fn repo_of(node: i64) -> Result<i64, Error> {
    let repo = at::one::<i64>(
        "SELECT coalesce(
             (SELECT n.repo_id FROM onyx.nodes n WHERE n.id = $1),
             (SELECT c.repo_id FROM onyx.symbol_versions v JOIN onyx.commits c ON c.id = v.commit_id
              WHERE v.node_id = $1 LIMIT 1))",
        &[node.into()],
    )?;
    repo.ok_or_else(|| {
        Error::sql(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, format!("node {node} has no history"))
    })
}

/// A node as it was at a commit; none when it was not there.
pub fn find(repo: i64, node: i64, commit: i32) -> Result<Option<NodeAt>, Error> {
    let commits = Commits::of(repo)?;
    // Its path then: that of the last word on it. What never changed since its file came has no rows.
    let path = Spi::connect(|client| {
        let rows = client.select(
            "SELECT v.commit_id, v.path_id, v.change = 'deleted' FROM onyx.symbol_versions v
             WHERE v.node_id = $1 AND v.commit_id <= $2 ORDER BY v.commit_id DESC",
            None,
            &[node.into(), commit.into()],
        )?;
        for row in rows {
            if let (Some(at), Some(path), Some(deleted)) =
                (row.get::<i32>(1)?, row.get::<i32>(2)?, row.get::<bool>(3)?)
                && commits.is_on_line(at, commit)
            {
                return Ok::<_, Error>(Some((!deleted).then_some(path)));
            }
        }
        Ok(None)
    })?;
    let path = match path {
        Some(None) => return Ok(None),
        Some(path) => path,
        None => at::one::<i32>(
            "SELECT p.id FROM onyx.nodes n JOIN onyx.files f ON f.id = n.file_id
             JOIN onyx.paths p ON p.repo_id = f.repo_id AND p.path = f.path
             WHERE n.id = $1 AND n.repo_id = $2",
            &[node.into(), repo.into()],
        )?,
    };
    let Some(path) = path else { return Ok(None) };
    let Some(file) = Snapshot::file(repo, commit, path)? else { return Ok(None) };
    let Some(place) = file.nodes.iter().position(|id| *id == node) else { return Ok(None) };
    let facts = contents::facts(&[file.content])?.remove(&file.content).unwrap_or_default();
    Ok(Some(NodeAt { file, facts, ordinal: place.checked_sub(1) }))
}

fn resolve(node: i64, at: Option<&str>) -> Result<Option<NodeAt>, Error> {
    let repo = repo_of(node)?;
    find(repo, node, at::commit(repo, at)?)
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
    let repo = at::one::<i64>("SELECT repo_id FROM onyx.commits WHERE id = $1", &[commit.into()]);
    match repo.or_raise() {
        Some(repo) => Commits::of(repo).or_raise().is_ancestor(ancestor, commit),
        None => false,
    }
}
