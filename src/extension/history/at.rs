//! What `at` names: a branch, a tag, a commit, or a time.

use pgrx::prelude::*;

use super::commits::Commits;
use crate::error::{Error, OrRaise};

/// A repository by name.
pub fn repo(name: &str) -> Result<i64, Error> {
    one("SELECT id FROM onyx.repos WHERE name = $1", &[name.into()])?.ok_or_else(|| {
        Error::sql(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("repository \"{name}\" does not exist"),
        )
    })
}

/// The one value of the one row, if there is one. Unlike `Spi::get_one`, it takes no transaction id, which a
/// standby has none of.
pub fn one<T: pgrx::FromDatum + pgrx::IntoDatum>(
    query: &str,
    arguments: &[pgrx::datum::DatumWithOid<'_>],
) -> Result<Option<T>, Error> {
    Spi::connect(|client| {
        let rows = client.select(query, Some(1), arguments)?;
        match rows.into_iter().next() {
            Some(row) => Ok(row.get::<T>(1)?),
            None => Ok(None),
        }
    })
}

/// The head of a repository's default branch.
pub fn head(repo: i64) -> Result<i32, Error> {
    one("SELECT commit_id FROM onyx.branches WHERE repo_id = $1 AND is_default", &[repo.into()])?
        .ok_or_else(|| {
            Error::sql(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                "the repository has no history yet".to_owned(),
            )
            .with_hint("Ingest it with onyx.ingest_git, onyx.ingest_directory or onyx.ingest_file.")
        })
}

/// The commit that `at` names: NULL is the default branch's head; otherwise a branch, a tag, at least
/// four digits of a git hash, `#` and a row of `onyx.commits`, or a time, which is the last commit of the
/// default branch until then; `branch@{time}` is the same of another branch.
pub fn commit(repo: i64, at: Option<&str>) -> Result<i32, Error> {
    let Some(at) = at else { return head(repo) };
    if let Some(commit) = named(repo, at)? {
        return Ok(commit);
    }
    if let Some(id) = at.strip_prefix('#').and_then(|id| id.parse::<i32>().ok()) {
        let found = one(
            "SELECT id FROM onyx.commits WHERE repo_id = $1 AND id = $2",
            &[repo.into(), id.into()],
        )?;
        return found.ok_or_else(|| unknown(at));
    }
    if let Some((branch, time)) = at.strip_suffix('}').and_then(|at| at.split_once("@{")) {
        let head = named(repo, branch)?.ok_or_else(|| unknown(branch))?;
        return until(repo, head, timestamp(time)?.ok_or_else(|| unknown(at))?);
    }
    let hexadecimal = (4..=64).contains(&at.len()) && at.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal && let Some(commit) = hashed(repo, at)? {
        return Ok(commit);
    }
    match timestamp(at)? {
        Some(time) => until(repo, head(repo)?, time),
        None => Err(unknown(at)),
    }
}

fn unknown(at: &str) -> Error {
    Error::sql(
        PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        format!("\"{at}\" is no branch, tag, commit or time of the repository"),
    )
    .with_hint("See onyx.branches, onyx.tags and onyx.commits.")
}

fn named(repo: i64, name: &str) -> Result<Option<i32>, Error> {
    one(
        "SELECT commit_id FROM onyx.branches WHERE repo_id = $1 AND name = $2
         UNION ALL
         SELECT commit_id FROM onyx.tags WHERE repo_id = $1 AND name = $2",
        &[repo.into(), name.into()],
    )
}

fn hashed(repo: i64, digits: &str) -> Result<Option<i32>, Error> {
    let low = format!("{digits:0<64}");
    let high = format!("{digits:f<64}");
    let even = digits.len() / 2 * 2;
    // The index is on bytes: a range of them, then the odd digit.
    let found = one::<Vec<i32>>(
        "SELECT pg_catalog.array_agg(c.id ORDER BY c.id) FROM (
             SELECT id FROM onyx.commits
             WHERE repo_id = $1 AND git_hash IS NOT NULL
               AND git_hash >= pg_catalog.decode($2, 'hex') AND git_hash <= pg_catalog.decode($3, 'hex')
               AND pg_catalog.starts_with(pg_catalog.encode(git_hash, 'hex'), $4)
             LIMIT 2) c",
        &[
            repo.into(),
            low[..even].into(),
            high.as_str().into(),
            digits.to_ascii_lowercase().into(),
        ],
    )?;
    match found.unwrap_or_default()[..] {
        [] => Ok(None),
        [commit] => Ok(Some(commit)),
        _ => Err(Error::sql(
            PgSqlErrorCode::ERRCODE_AMBIGUOUS_PARAMETER,
            format!("\"{digits}\" is the beginning of more than one commit"),
        )
        .with_hint("Give more digits.")),
    }
}

/// A time, when it reads as one.
fn timestamp(text: &str) -> Result<Option<pgrx::datum::TimestampWithTimeZone>, Error> {
    // Asked first, so that no error has to be caught.
    let valid = one::<bool>(
        "SELECT pg_catalog.pg_input_is_valid($1, 'timestamptz')",
        &[text.into()],
    )?;
    if valid != Some(true) {
        return Ok(None);
    }
    one("SELECT $1::timestamptz", &[text.into()])
}

/// The last commit on a commit's line of first parents that was committed until a time.
pub fn until(repo: i64, head: i32, time: pgrx::datum::TimestampWithTimeZone) -> Result<i32, Error> {
    let commits = Commits::of(repo)?;
    let found = Spi::connect(|client| {
        let rows = client.select(
            "SELECT id FROM onyx.commits WHERE repo_id = $1 AND committed_at <= $2 AND id <= $3
             ORDER BY id DESC",
            None,
            &[repo.into(), time.into(), head.into()],
        )?;
        // Ids rise along a line.
        for row in rows {
            if let Some(id) = row.get::<i32>(1)?
                && commits.is_on_line(id, head)
            {
                return Ok::<_, Error>(Some(id));
            }
        }
        Ok(None)
    })?;
    found.ok_or_else(|| {
        Error::sql(
            PgSqlErrorCode::ERRCODE_NO_DATA_FOUND,
            "the repository has no commit until that time".to_owned(),
        )
    })
}

#[pg_extern(sql = false)]
fn commit_at(name: Option<&str>, at: Option<&str>) -> Option<i32> {
    let name = name?;
    Some(repo(name).and_then(|repo| commit(repo, at)).or_raise())
}

#[pg_extern(sql = false)]
fn commit_at_time(name: &str, time: pgrx::datum::TimestampWithTimeZone) -> i32 {
    repo(name).and_then(|repo| until(repo, head(repo)?, time)).or_raise()
}

/// A time in seconds since 1970.
pub fn seconds(time: pgrx::datum::TimestampWithTimeZone) -> Result<f64, Error> {
    let seconds =
        one::<f64>("SELECT pg_catalog.date_part('epoch', $1)", &[time.into()])?;
    Ok(seconds.unwrap_or_default())
}
