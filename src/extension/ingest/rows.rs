//! Queries on repositories and files.

use std::collections::HashMap;

use onyx_protocol::ingest::ContentHash;
use pgrx::prelude::*;

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

/// The repository's id, made when it is new. Its row stays locked until the transaction ends, so
/// that two ingests of one repository follow each other.
pub fn repo(name: &str, root: Option<&str>) -> Result<i64, Error> {
    let id = Spi::get_one_with_args::<i64>(
        "INSERT INTO onyx.repos AS r (name, root) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET root = coalesce(excluded.root, r.root),
                                          updated_at = pg_catalog.now()
         RETURNING id",
        &[name.into(), root.into()],
    )?;
    id.ok_or_else(|| {
        Error::sql(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, "no repository row was made")
    })
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

/// The id of a repository that is there, its row locked as `repo` does.
pub fn lock(repo: &str) -> Result<i64, Error> {
    let id = Spi::connect_mut(|client| {
        let rows = client.update(
            "SELECT id FROM onyx.repos WHERE name = $1 FOR UPDATE",
            Some(1),
            &[repo.into()],
        )?;
        match rows.into_iter().next() {
            Some(row) => row.get::<i64>(1),
            None => Ok(None),
        }
    })?;
    id.ok_or_else(|| {
        Error::sql(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("repository \"{repo}\" does not exist"),
        )
    })
}

/// Removes a repository, or a file or directory of it. Returns how many files it had.
pub fn forget(repo: &str, path: Option<&str>) -> Result<i64, Error> {
    let id = lock(repo)?;
    let Some(path) = path else {
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
