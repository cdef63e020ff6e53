//! Branches and tags.

use std::collections::HashMap;

use pgrx::prelude::*;

use super::commits::Commits;
use crate::error::Error;

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
