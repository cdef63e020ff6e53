//! Rows of history, many at a time.

use std::collections::HashMap;

use onyx_protocol::facts::PARSER_VERSION;
use onyx_protocol::history::{HistoryCommit, NewContent, Signature};
use onyx_protocol::ingest::Notice;
use pgrx::prelude::*;

use super::intern::next_small_ids;
use crate::error::Error;

/// A commit's row.
pub struct CommitRow {
    pub id: i32,
    pub parent: Option<i32>,
    pub depth: i32,
    pub author: Signature,
    pub committer: Signature,
    pub message: String,
    pub git_hash: Option<Vec<u8>>,
    /// All parents: the row, or the hash of one that was not ingested.
    pub parents: Vec<(Option<i32>, Option<Vec<u8>>)>,
}

/// What a text column takes.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn column<'a, T, U>(rows: &'a [T], f: impl Fn(&'a T) -> U) -> Vec<U> {
    rows.iter().map(f).collect()
}

/// Writes commits with their parents.
pub fn insert_commits(repo: i64, rows: &[CommitRow]) -> Result<(), Error> {
    Spi::run_with_args(
        "INSERT INTO onyx.commits (id, repo_id, parent_id, depth, authored_at, committed_at, author_name,
                                   author_email, committer_name, committer_email, message, git_hash)
         SELECT t.id, $1, t.parent, t.depth, pg_catalog.to_timestamp(t.authored), pg_catalog.to_timestamp(t.committed),
                t.author_name, t.author_email, t.committer_name, t.committer_email, t.message, t.hash
         FROM unnest($2::int[], $3::int[], $4::int[], $5::float8[], $6::float8[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::text[], $12::bytea[])
              t (id, parent, depth, authored, committed, author_name, author_email, committer_name,
                 committer_email, message, hash)",
        &[
            repo.into(),
            column(rows, |r| r.id).into(),
            column(rows, |r| r.parent).into(),
            column(rows, |r| r.depth).into(),
            column(rows, |r| r.author.seconds as f64).into(),
            column(rows, |r| r.committer.seconds as f64).into(),
            column(rows, |r| clean(&r.author.name)).into(),
            column(rows, |r| clean(&r.author.email)).into(),
            column(rows, |r| clean(&r.committer.name)).into(),
            column(rows, |r| clean(&r.committer.email)).into(),
            column(rows, |r| clean(&r.message)).into(),
            column(rows, |r| r.git_hash.as_deref()).into(),
        ],
    )?;
    let (mut commits, mut ordinals, mut parents, mut hashes) = (vec![], vec![], vec![], vec![]);
    for row in rows {
        for (ordinal, (parent, hash)) in row.parents.iter().enumerate() {
            commits.push(row.id);
            ordinals.push(ordinal as i32);
            parents.push(*parent);
            hashes.push(hash.as_deref());
        }
    }
    Spi::run_with_args(
        "INSERT INTO onyx.commit_parents (commit_id, ordinal, parent_id, git_hash)
         SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::bytea[])",
        &[commits.into(), ordinals.into(), parents.into(), hashes.into()],
    )?;
    Ok(())
}

/// The rows of contents, in order. `base` says the row of what a content is a difference from.
pub fn insert_contents(
    repo: i64,
    contents: &[&NewContent],
    base: impl Fn(&NewContent, &[i32]) -> Result<Option<i32>, Error>,
) -> Result<Vec<i32>, Error> {
    if contents.is_empty() {
        return Ok(Vec::new());
    }
    let parser = i32::from(PARSER_VERSION);
    let known: HashMap<(Vec<u8>, String), i32> = Spi::connect(|client| {
        let hashes: Vec<&[u8]> = contents.iter().map(|c| c.hash.as_slice()).collect();
        let rows = client.select(
            "SELECT c.hash, c.language, c.id
             FROM pg_catalog.unnest($2::bytea[]) w (hash)
             JOIN onyx.contents c ON c.hash = w.hash AND c.repo_id = $1 AND c.parser = $3",
            None,
            &[repo.into(), hashes.into(), parser.into()],
        )?;
        let mut known = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(hash), Some(language), Some(id)) =
                (row.get::<Vec<u8>>(1)?, row.get::<String>(2)?, row.get::<i32>(3)?)
            {
                known.insert((hash, language), id);
            }
        }
        Ok::<_, Error>(known)
    })?;
    let mut fresh = next_small_ids("onyx.contents_id_seq", contents.len())?.into_iter();
    let mut known = known;
    let (mut ids, mut bases, mut new): (Vec<i32>, Vec<Option<i32>>, Vec<usize>) =
        Default::default();
    for (place, content) in contents.iter().enumerate() {
        let key = (content.hash.to_vec(), content.language.as_str().to_owned());
        let next = fresh.next().unwrap_or_default();
        let id = *known.entry(key).or_insert(next);
        ids.push(id);
        if id == next {
            new.push(place);
            bases.push(base(content, &ids)?);
        }
    }
    let of =
        |f: &dyn Fn(&NewContent) -> i32| new.iter().map(|p| f(contents[*p])).collect::<Vec<_>>();
    let bytes = |f: fn(&NewContent) -> Option<&[u8]>| {
        new.iter().map(|p| f(contents[*p])).collect::<Vec<Option<&[u8]>>>()
    };
    let languages: Vec<&str> = new.iter().map(|p| contents[*p].language.as_str()).collect();
    let rows: Vec<i32> = new.iter().map(|p| ids[*p]).collect();
    Spi::run_with_args(
        "INSERT INTO onyx.contents (id, repo_id, size, lines, chain, base_id, parser, language, hash, text_hash, text, facts)
         SELECT t.id, $1, t.size, t.lines, t.chain, t.base, $2, t.language, t.hash, t.text_hash, t.text, t.facts
         FROM unnest($3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::text[], $9::bytea[],
                     $10::bytea[], $11::bytea[], $12::bytea[])
              t (id, size, lines, chain, base, language, hash, text_hash, text, facts)",
        &[
            repo.into(),
            parser.into(),
            rows.into(),
            of(&|c| c.size as i32).into(),
            of(&|c| c.lines as i32).into(),
            of(&|c| c.chain as i32).into(),
            bases.into(),
            languages.into(),
            bytes(|c| Some(&c.hash)).into(),
            bytes(|c| c.text_hash.as_ref().map(|hash| hash.as_slice())).into(),
            bytes(|c| Some(&c.text)).into(),
            bytes(|c| Some(&c.facts)).into(),
        ],
    )?;
    Ok(ids)
}

/// A row of `onyx.file_versions`.
pub struct FileRow {
    pub commit: i32,
    pub path: i32,
    pub old_path: Option<i32>,
    pub content: Option<i32>,
    pub lines: (u32, u32),
    pub change: &'static str,
    pub module: String,
    pub nodes: Vec<u8>,
}

/// Writes them.
pub fn insert_files(rows: &[FileRow]) -> Result<(), Error> {
    Spi::run_with_args(
        "INSERT INTO onyx.file_versions (commit_id, path_id, old_path_id, content_id, lines_added, lines_removed,
                                         change, module, nodes)
         SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::text[],
                              $8::text[], $9::bytea[])",
        &[
            column(rows, |r| r.commit).into(),
            column(rows, |r| r.path).into(),
            column(rows, |r| r.old_path).into(),
            column(rows, |r| r.content).into(),
            column(rows, |r| r.lines.0 as i32).into(),
            column(rows, |r| r.lines.1 as i32).into(),
            column(rows, |r| r.change).into(),
            column(rows, |r| clean(&r.module)).into(),
            column(rows, |r| r.nodes.as_slice()).into(),
        ],
    )?;
    Ok(())
}

/// Commits that git knows, by hash: the row and its depth.
pub fn known_commits(repo: i64) -> Result<HashMap<Vec<u8>, (i32, i32)>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT git_hash, id, depth FROM onyx.commits WHERE repo_id = $1 AND git_hash IS NOT NULL",
            None,
            &[repo.into()],
        )?;
        let mut known = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(hash), Some(id), Some(depth)) =
                (row.get::<Vec<u8>>(1)?, row.get::<i32>(2)?, row.get::<i32>(3)?)
            {
                known.insert(hash, (id, depth));
            }
        }
        Ok(known)
    })
}

/// The rows of commits as they come from git. `ids` are theirs, `first` whether a commit has none yet,
/// `known` are those before them.
pub fn commit_rows(
    commits: &mut [HistoryCommit],
    ids: &[i32],
    first: &[bool],
    known: &mut HashMap<Vec<u8>, (i32, i32)>,
) -> Vec<CommitRow> {
    let mut rows = Vec::with_capacity(commits.len());
    for ((commit, id), _) in commits.iter_mut().zip(ids).zip(first).filter(|(_, first)| **first) {
        let first = commit.parents.first().and_then(|hash| known.get(hash)).copied();
        let depth = first.map_or(0, |(_, depth)| depth + 1);
        known.insert(commit.id.clone(), (*id, depth));
        let parents = std::mem::take(&mut commit.parents).into_iter();
        let parents = parents.map(|hash| match known.get(&hash) {
            Some((parent, _)) => (Some(*parent), None),
            None => (None, Some(hash)),
        });
        rows.push(CommitRow {
            id: *id,
            parent: first.map(|(parent, _)| parent),
            depth,
            author: commit.author.clone(),
            committer: commit.committer.clone(),
            message: std::mem::take(&mut commit.message),
            git_hash: Some(commit.id.clone()),
            parents: parents.collect(),
        });
    }
    rows
}

/// Notes what was left out or read in part of some paths; nothing of those that are whole.
pub fn write_notices(repo: i64, notices: HashMap<String, Option<Notice>>) -> Result<(), Error> {
    let paths: Vec<&str> = notices.keys().map(String::as_str).collect();
    Spi::run_with_args(
        "DELETE FROM onyx.ingest_errors WHERE repo_id = $1 AND path = ANY ($2)",
        &[repo.into(), paths.into()],
    )?;
    let noted = notices.iter().filter_map(|(path, notice)| Some((path, notice.as_ref()?)));
    let noted: Vec<(&String, &Notice)> = noted.collect();
    Spi::run_with_args(
        "INSERT INTO onyx.ingest_errors (repo_id, path, reason, skipped, line, detail)
         SELECT $1, t.path, t.reason, t.skipped, nullif(t.line, 0), t.detail
         FROM unnest($2::text[], $3::text[], $4::boolean[], $5::int[], $6::text[])
              t (path, reason, skipped, line, detail)",
        &[
            repo.into(),
            column(&noted, |(path, _)| clean(path)).into(),
            column(&noted, |(_, n)| n.reason.as_str()).into(),
            column(&noted, |(_, n)| n.reason.is_skip()).into(),
            column(&noted, |(_, n)| n.line as i32).into(),
            column(&noted, |(_, n)| clean(&n.detail)).into(),
        ],
    )?;
    Ok(())
}
