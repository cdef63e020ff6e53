//! Between repositories: the names under which files' packages are found, and what files looked up
//! beyond their own repository.
//!
//! Keys are the engine's hashes; `onyx.file_borders` has them with an index each way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onyx_protocol::code::ResolvedFile;
use pgrx::prelude::*;

use crate::error::Error;

fn array(keys: &[u64]) -> Vec<i64> {
    keys.iter().map(|key| *key as i64).collect()
}

/// Keys as SQL writes an array of them.
fn literal(keys: &[u64]) -> String {
    let numbers: Vec<String> = keys.iter().map(|key| (*key as i64).to_string()).collect();
    format!("{{{}}}", numbers.join(","))
}

/// The repositories beside one that provide these names, in order.
pub fn providers(keys: &[u64], repo: i64) -> Result<HashMap<u64, Vec<i64>>, Error> {
    let mut found: HashMap<u64, Vec<i64>> = HashMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT DISTINCT k.key, f.repo_id
             FROM onyx.file_borders b JOIN onyx.files f ON f.id = b.file_id
             CROSS JOIN LATERAL pg_catalog.unnest(b.provides) k (key)
             WHERE b.provides && $1 AND f.repo_id <> $2 AND k.key = ANY ($1)
             ORDER BY 1, 2",
            None,
            &[array(keys).into(), repo.into()],
        )?;
        for row in rows {
            if let (Some(key), Some(repo)) = (row.get::<i64>(1)?, row.get::<i64>(2)?) {
                found.entry(key as u64).or_default().push(repo);
            }
        }
        Ok(found)
    })
}

/// The names a repository provides.
pub fn provided(repo: i64) -> Result<Vec<u64>, Error> {
    let keys = Spi::get_one_with_args::<Vec<i64>>(
        "SELECT pg_catalog.array_agg(DISTINCT k.key)
         FROM onyx.files f JOIN onyx.file_borders b ON b.file_id = f.id
         CROSS JOIN LATERAL pg_catalog.unnest(b.provides) k (key)
         WHERE f.repo_id = $1",
        &[repo.into()],
    )?;
    Ok(keys.unwrap_or_default().into_iter().map(|key| key as u64).collect())
}

/// The repositories whose files have looked up names that one provides.
pub fn leading_into(repo: i64) -> Result<BTreeSet<i64>, Error> {
    Ok(dependents(&provided(repo)?, repo)?.into_keys().collect())
}

/// The files of other repositories that looked up one of these keys, by their repositories.
pub fn dependents(keys: &[u64], repo: i64) -> Result<BTreeMap<i64, Vec<i64>>, Error> {
    let mut found: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT f.repo_id, b.file_id
             FROM onyx.file_borders b JOIN onyx.files f ON f.id = b.file_id
             WHERE b.wants && $1 AND f.repo_id <> $2 ORDER BY 1, 2",
            None,
            &[array(keys).into(), repo.into()],
        )?;
        for row in rows {
            if let (Some(repo), Some(file)) = (row.get::<i64>(1)?, row.get::<i64>(2)?) {
                found.entry(repo).or_default().push(file);
            }
        }
        Ok(found)
    })
}

/// Keeps what resolved files provide and looked up.
pub fn keep(files: &[ResolvedFile]) -> Result<(), Error> {
    let has = |file: &&ResolvedFile| !file.provides.is_empty() || !file.outside.is_empty();
    let (with, without): (Vec<&ResolvedFile>, Vec<&ResolvedFile>) = files.iter().partition(has);
    let ids =
        |files: &[&ResolvedFile]| -> Vec<i64> { files.iter().map(|file| file.file).collect() };
    if !without.is_empty() {
        Spi::run_with_args(
            "DELETE FROM onyx.file_borders WHERE file_id = ANY ($1)",
            &[ids(&without).into()],
        )?;
    }
    if !with.is_empty() {
        let provides: Vec<String> = with.iter().map(|file| literal(&file.provides)).collect();
        let wants: Vec<String> = with.iter().map(|file| literal(&file.outside)).collect();
        Spi::run_with_args(
            "INSERT INTO onyx.file_borders AS b (file_id, provides, wants)
             SELECT t.file_id, t.provides::bigint[], t.wants::bigint[]
             FROM unnest($1::bigint[], $2::text[], $3::text[]) t (file_id, provides, wants)
             ON CONFLICT (file_id) DO UPDATE SET provides = excluded.provides, wants = excluded.wants
             WHERE (b.provides, b.wants) IS DISTINCT FROM (excluded.provides, excluded.wants)",
            &[ids(&with).into(), provides.into(), wants.into()],
        )?;
    }
    Ok(())
}

/// What is kept of a file.
#[derive(Default)]
pub struct Border {
    pub provides: Vec<u64>,
    pub wants: Vec<u64>,
}

/// What is kept of files; of those without either there is none.
pub fn of(files: &[i64]) -> Result<HashMap<i64, Border>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT file_id, provides, wants FROM onyx.file_borders WHERE file_id = ANY ($1)",
            None,
            &[files.to_vec().into()],
        )?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let keys = |i| {
                let keys = row.get::<Vec<i64>>(i).map(Option::unwrap_or_default);
                keys.map(|keys| keys.into_iter().map(|key| key as u64).collect())
            };
            let border = Border { provides: keys(2)?, wants: keys(3)? };
            found.insert(row.get::<i64>(1)?.unwrap_or_default(), border);
        }
        Ok(found)
    })
}
