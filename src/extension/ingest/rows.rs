//! Queries on repositories and files.

use std::collections::HashMap;

use onyx_protocol::ingest::ContentHash;
use pgrx::prelude::*;

use super::borders;
use super::edges::write_dependents;
use super::locks::{self, Wanted};
use super::summary::Summary;
use super::target::Target;
use crate::error::Error;
use crate::history::change::About;

/// A file the database has.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its id.
    pub id: i64,
    /// Hash of its content.
    pub hash: ContentHash,
}

fn find(name: &str) -> Result<Option<i64>, Error> {
    let id = Spi::get_one_with_args::<i64>(
        "SELECT (SELECT id FROM onyx.repos WHERE name = $1)",
        &[name.into()],
    )?;
    Ok(id)
}

/// Locks a repository, and those that lead into it, against other changes until the transaction ends.
fn lock(repo: i64) -> Result<(), Error> {
    let mut leading = borders::leading_into(repo)?;
    loop {
        let mut wanted = Wanted::default();
        wanted.change(repo);
        leading.iter().for_each(|repo| wanted.change(*repo));
        let held = wanted.take();
        // Others can have come before; none comes from now on.
        let now = borders::leading_into(repo)?;
        if now.is_subset(&leading) {
            return Ok(());
        }
        held.release();
        leading = now;
    }
}

/// The repository's id, made when it is new. Other changes of it wait until the transaction ends.
pub fn repo(name: &str, root: Option<&str>) -> Result<i64, Error> {
    locks::begin()?;
    loop {
        let id = match find(name)? {
            Some(id) => Some(id),
            None => Spi::connect_mut(|client| {
                // Waits for one that another transaction makes.
                let rows = client.update(
                    "INSERT INTO onyx.repos (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id",
                    Some(1),
                    &[name.into()],
                )?;
                match rows.into_iter().next() {
                    Some(row) => row.get::<i64>(1),
                    None => Ok(None),
                }
            })?,
        };
        let Some(id) = id else { continue };
        lock(id)?;
        // It can have been forgotten before.
        let is_there = Spi::connect_mut(|client| {
            let rows = client.update(
                "UPDATE onyx.repos SET root = coalesce($2, root), updated_at = pg_catalog.now()
                 WHERE id = $1 RETURNING id",
                Some(1),
                &[id.into(), root.into()],
            )?;
            Ok::<_, Error>(!rows.is_empty())
        })?;
        if is_there {
            return Ok(id);
        }
    }
}

/// The files of a repository by path, or one of them.
pub fn known(repo: i64, path: Option<&str>) -> Result<HashMap<String, Known>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT path, id, content_hash FROM onyx.files
             WHERE repo_id = $1 AND ($2 IS NULL OR path = $2)",
            None,
            &[repo.into(), path.into()],
        )?;
        let mut files = HashMap::with_capacity(rows.len());
        for row in rows {
            let hash = row.get::<Vec<u8>>(3)?.unwrap_or_default();
            if let (Some(path), Some(id), Ok(hash)) =
                (row.get::<String>(1)?, row.get::<i64>(2)?, hash.try_into())
            {
                files.insert(path, Known { id, hash });
            }
        }
        Ok(files)
    })
}

/// Removes files with their nodes and what was recorded about them. Returns how many there were.
pub fn remove(repo: i64, paths: &[String]) -> Result<u64, Error> {
    if paths.is_empty() {
        return Ok(0);
    }
    let paths = paths.to_vec();
    let removed = Spi::get_one_with_args::<i64>(
        "WITH gone AS (
             DELETE FROM onyx.files WHERE repo_id = $1 AND path = ANY ($2) RETURNING id
         ), nodes AS (
             DELETE FROM onyx.nodes WHERE file_id IN (SELECT id FROM gone)
         ), links AS (
             DELETE FROM onyx.links WHERE file_id IN (SELECT id FROM gone)
         ), errors AS (
             DELETE FROM onyx.ingest_errors
             WHERE repo_id = $1 AND NOT skipped AND path = ANY ($2)
         )
         SELECT count(*) FROM gone",
        &[repo.into(), paths.into()],
    )?;
    Ok(removed.unwrap_or_default() as u64)
}

/// Removes directory nodes, and at last the repository's own, that contain nothing any more.
pub fn remove_empty_directories(repo: i64) -> Result<(), Error> {
    loop {
        let removed = Spi::get_one_with_args::<i64>(
            "WITH gone AS (
                 DELETE FROM onyx.nodes d
                 WHERE d.repo_id = $1 AND d.kind IN ('directory', 'repository')
                   AND d.origin = 'source'
                   AND NOT EXISTS (SELECT FROM onyx.nodes c WHERE c.parent_id = d.id)
                 RETURNING 1
             )
             SELECT count(*) FROM gone",
            &[repo.into()],
        )?;
        if removed.unwrap_or_default() == 0 {
            return Ok(());
        }
    }
}

/// The id of a repository that is there, locked as `repo` does.
pub fn existing(name: &str) -> Result<i64, Error> {
    locks::begin()?;
    let id = match find(name)? {
        Some(id) => {
            lock(id)?;
            // Somebody else can have forgotten it before.
            find(name)?.filter(|now| *now == id)
        }
        None => None,
    };
    id.ok_or_else(|| {
        Error::sql(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("repository \"{name}\" does not exist"),
        )
    })
}

/// Removes a repository, or a file or directory of it. Returns how many files it had.
pub fn forget(repo: &str, path: Option<&str>) -> Result<i64, Error> {
    let id = existing(repo)?;
    let Some(path) = path else {
        let dependents = borders::dependents(&borders::provided(id)?, id)?;
        // Nodes first: their trigger remembers users' edges by the repository's name.
        Spi::run_with_args(
            "DELETE FROM onyx.nodes WHERE repo_id = $1 AND origin = 'source'",
            &[id.into()],
        )?;
        let files = Spi::get_one_with_args::<i64>(
            "WITH links AS (DELETE FROM onyx.links WHERE repo_id = $1 AND origin = 'source'),
                  repo AS (DELETE FROM onyx.repos WHERE id = $1)
             SELECT count(*) FROM onyx.files WHERE repo_id = $1",
            &[id.into()],
        )?;
        write_dependents(dependents, id)?;
        return Ok(files.unwrap_or_default());
    };
    let path = path.trim_end_matches('/');
    let below = known(id, None)?.into_keys().filter(|known| super::is_below(known, path));
    let about = About { message: Some(format!("Forget {path}")), ..About::default() };
    let (mut target, _) = Target::open(id, repo, about, None)?;
    let removed = target.remove(&below.collect::<Vec<_>>())?;
    let edges = target.finish(false, &mut Summary::default())?;
    Spi::run_with_args(
        "DELETE FROM onyx.ingest_errors
         WHERE repo_id = $1 AND (path = $2 OR pg_catalog.starts_with(path, $2 || '/'))",
        &[id.into(), path.into()],
    )?;
    if let Some(edges) = edges {
        edges.write()?;
    }
    Ok(removed as i64)
}
