//! Branches and tags.

use std::collections::HashMap;

use pgrx::prelude::*;

use super::at;
use super::commits::Commits;
use crate::error::{Error, OrRaise};
use crate::progress::{Phase, Progress};
use crate::{client, ingest};

/// A branch's row.
pub struct Branch {
    pub id: i32,
    pub commit: i32,
    pub is_default: bool,
}

/// A repository's branches by name.
pub fn all(repo: i64) -> Result<HashMap<String, Branch>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT name, id, commit_id, is_default FROM onyx.branches WHERE repo_id = $1",
            None,
            &[repo.into()],
        )?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(name), Some(id), Some(commit), Some(is_default)) =
                (row.get::<String>(1)?, row.get::<i32>(2)?, row.get::<i32>(3)?, row.get::<bool>(4)?)
            {
                found.insert(name, Branch { id, commit, is_default });
            }
        }
        Ok(found)
    })
}

/// A branch by name.
pub fn find(repo: i64, name: &str) -> Result<Branch, Error> {
    all(repo)?.remove(name).ok_or_else(|| {
        Error::sql(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("branch \"{name}\" does not exist"),
        )
        .with_hint("See onyx.branches.")
    })
}

/// Moves a branch to a commit, or makes it; the first one of a repository is its default.
pub fn advance(repo: i64, name: &str, commit: i32) -> Result<(), Error> {
    Spi::run_with_args(
        "INSERT INTO onyx.branches AS b (repo_id, name, commit_id, is_default)
         VALUES ($1, $2, $3, NOT EXISTS (SELECT FROM onyx.branches d WHERE d.repo_id = $1 AND d.is_default))
         ON CONFLICT (repo_id, name) DO UPDATE
             SET commit_id = excluded.commit_id, updated_at = pg_catalog.now()",
        &[repo.into(), name.into(), commit.into()],
    )?;
    Ok(())
}

/// Sets branches and tags as a git repository has them. Returns what a reader would want to know: a
/// branch that lost commits it had.
pub fn set(
    repo: i64,
    branches: &[(String, i32)],
    default: Option<&str>,
    tags: &[(String, i32)],
) -> Result<Vec<String>, Error> {
    let before = all(repo)?;
    let commits = Commits::of(repo)?;
    let mut notices = Vec::new();
    for (name, commit) in branches {
        if let Some(branch) = before.get(name)
            && !commits.is_ancestor(branch.commit, *commit)
        {
            notices.push(format!(
                "branch \"{name}\" was rewritten: commit {} is not part of it any more",
                branch.commit
            ));
        }
    }
    let (names, heads): (Vec<&str>, Vec<i32>) =
        branches.iter().map(|(name, commit)| (name.as_str(), *commit)).unzip();
    Spi::run_with_args(
        "INSERT INTO onyx.branches AS b (repo_id, name, commit_id, origin)
         SELECT $1, t.name, t.commit_id, 'git' FROM unnest($2::text[], $3::int[]) t (name, commit_id)
         ON CONFLICT (repo_id, name) DO UPDATE
             SET commit_id = excluded.commit_id, origin = 'git', updated_at = pg_catalog.now()
             WHERE (b.commit_id, b.origin) IS DISTINCT FROM (excluded.commit_id, 'git')",
        &[repo.into(), names.into(), heads.into()],
    )?;
    if let Some(default) = default {
        Spi::run_with_args(
            "UPDATE onyx.branches b SET is_default = true
             WHERE b.repo_id = $1 AND b.name = $2
               AND NOT EXISTS (SELECT FROM onyx.branches d WHERE d.repo_id = $1 AND d.is_default)",
            &[repo.into(), default.into()],
        )?;
    }
    let (names, heads): (Vec<&str>, Vec<i32>) =
        tags.iter().map(|(name, commit)| (name.as_str(), *commit)).unzip();
    Spi::run_with_args(
        "INSERT INTO onyx.tags AS g (repo_id, name, commit_id)
         SELECT $1, t.name, t.commit_id FROM unnest($2::text[], $3::int[]) t (name, commit_id)
         ON CONFLICT (repo_id, name) DO UPDATE SET commit_id = excluded.commit_id
             WHERE g.commit_id <> excluded.commit_id",
        &[repo.into(), names.into(), heads.into()],
    )?;
    Ok(notices)
}

fn name_it(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.starts_with('#') || name.contains("@{") {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_INVALID_NAME,
            format!("\"{name}\" is no name for a branch or tag"),
        )
        .with_hint("A name is not empty, does not begin with # and does not contain @{."));
    }
    Ok(())
}

/// Takes the repository's row, so that nobody else writes into it.
fn lock(name: &str) -> Result<i64, Error> {
    ingest::rows::existing(name)
}

fn create(repo: &str, name: &str, at: Option<&str>) -> Result<i32, Error> {
    name_it(name)?;
    let repo = lock(repo)?;
    let commit = at::commit(repo, at)?;
    if all(repo)?.contains_key(name) {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            format!("branch \"{name}\" already exists"),
        ));
    }
    advance(repo, name, commit)?;
    Ok(commit)
}

#[pg_extern(sql = false)]
fn branch_create(repo: &str, name: &str, at: Option<&str>) -> i32 {
    create(repo, name, at).or_raise()
}

fn delete(repo: &str, name: &str) -> Result<(), Error> {
    let repo = lock(repo)?;
    if find(repo, name)?.is_default {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
            format!("branch \"{name}\" is the one that onyx.nodes shows"),
        )
        .with_hint("Show another one first, with onyx.checkout."));
    }
    super::merge::conflicts::forget(repo, name)?;
    Spi::run_with_args(
        "DELETE FROM onyx.branches WHERE repo_id = $1 AND name = $2",
        &[repo.into(), name.into()],
    )?;
    Ok(())
}

#[pg_extern(sql = false)]
fn branch_delete(repo: &str, name: &str) {
    delete(repo, name).or_raise();
}

fn show(repo_name: &str, name: &str) -> Result<i32, Error> {
    let repo = lock(repo_name)?;
    let branch = find(repo, name)?;
    if branch.is_default {
        return Ok(branch.commit);
    }
    client::wait_for_start();
    Spi::run_with_args(
        "UPDATE onyx.branches SET is_default = false WHERE repo_id = $1 AND is_default",
        &[repo.into()],
    )?;
    Spi::run_with_args(
        "UPDATE onyx.branches SET is_default = true WHERE id = $1",
        &[branch.id.into()],
    )?;
    let mut progress = Progress::begin(Phase::Ingesting, repo_name);
    super::head::show(repo, repo_name, branch.commit, &mut progress)?;
    Ok(branch.commit)
}

#[pg_extern(sql = false)]
fn checkout(repo: &str, branch: &str) -> i32 {
    ingest::prevent_in_read_only(c"onyx.checkout()");
    show(repo, branch).or_raise()
}

fn base(repo: &str, one: &str, other: &str) -> Result<Option<i32>, Error> {
    let repo = at::repo(repo)?;
    let (one, other) = (at::commit(repo, Some(one))?, at::commit(repo, Some(other))?);
    Ok(Commits::of(repo)?.merge_bases(one, other).first().copied())
}

#[pg_extern(sql = false)]
fn merge_base(repo: &str, one: &str, other: &str) -> Option<i32> {
    base(repo, one, other).or_raise()
}

fn tag(repo: &str, name: &str, at: Option<&str>) -> Result<i32, Error> {
    name_it(name)?;
    let repo = lock(repo)?;
    let commit = at::commit(repo, at)?;
    let made = Spi::get_one_with_args::<i64>(
        "WITH made AS (INSERT INTO onyx.tags (repo_id, name, commit_id) VALUES ($1, $2, $3)
                       ON CONFLICT DO NOTHING RETURNING 1)
         SELECT count(*) FROM made",
        &[repo.into(), name.into(), commit.into()],
    )?;
    if made != Some(1) {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            format!("tag \"{name}\" already exists"),
        ));
    }
    Ok(commit)
}

#[pg_extern(sql = false)]
fn tag_create(repo: &str, name: &str, at: Option<&str>) -> i32 {
    tag(repo, name, at).or_raise()
}

fn untag(repo: &str, name: &str) -> Result<(), Error> {
    let repo = lock(repo)?;
    let gone = Spi::get_one_with_args::<i64>(
        "WITH gone AS (DELETE FROM onyx.tags WHERE repo_id = $1 AND name = $2 RETURNING 1)
         SELECT count(*) FROM gone",
        &[repo.into(), name.into()],
    )?;
    if gone != Some(1) {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("tag \"{name}\" does not exist"),
        )
        .with_hint("See onyx.tags."));
    }
    Ok(())
}

#[pg_extern(sql = false)]
fn tag_delete(repo: &str, name: &str) {
    untag(repo, name).or_raise();
}
