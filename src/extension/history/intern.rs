//! Strings that have a row of their own: paths, names, search texts. Each is looked up once a session's
//! work and made where it is not there. The repository's row is locked, so nobody else makes it too.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use pgrx::prelude::*;

use super::state::directory;
use crate::error::Error;
use crate::search::Lexicon;

/// Rows remembered at most: those of paths and names of a long history are many. What is asked for again is
/// looked up again.
const MAX_KNOWN: usize = 1 << 17;

/// New ids of a sequence.
pub fn next_ids(sequence: &str, count: usize) -> Result<Vec<i64>, Error> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let ids = Spi::get_one_with_args::<Vec<i64>>(
        "SELECT pg_catalog.array_agg(pg_catalog.nextval($1::regclass))
         FROM pg_catalog.generate_series(1, $2)",
        &[sequence.into(), (count as i32).into()],
    )?;
    match ids {
        Some(ids) if ids.len() == count => Ok(ids),
        _ => Err(Error::sql(
            PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
            format!("sequence {sequence} gave no ids"),
        )),
    }
}

/// The same of a sequence of an `integer` column.
pub fn next_small_ids(sequence: &str, count: usize) -> Result<Vec<i32>, Error> {
    let ids = next_ids(sequence, count)?.into_iter().map(i32::try_from);
    ids.collect::<Result<_, _>>().map_err(|_| {
        Error::sql(
            PgSqlErrorCode::ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
            format!("sequence {sequence} is exhausted"),
        )
    })
}

/// Before what is wanted next is learned: what was learned before is not asked for any more.
fn forget_many<K>(known: &mut HashMap<K, i32>) {
    if known.len() > MAX_KNOWN {
        known.clear();
    }
}

/// What is not known yet, each once, in order.
fn unknown<'a, K: Hash + Eq, T>(
    known: &HashMap<K, i32>,
    wanted: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
) -> Vec<&'a T> {
    let mut seen = HashSet::new();
    wanted
        .filter(|one| {
            let key = key(one);
            !known.contains_key(&key) && seen.insert(key)
        })
        .collect()
}

/// Rows by path.
#[derive(Default)]
pub struct Paths {
    known: HashMap<String, i32>,
}

impl Paths {
    /// The rows of paths; makes those that are missing.
    pub fn learn<'a>(
        &mut self,
        repo: i64,
        wanted: impl Iterator<Item = &'a String>,
    ) -> Result<(), Error> {
        forget_many(&mut self.known);
        let missing = unknown(&self.known, wanted, |path| path.clone());
        if missing.is_empty() {
            return Ok(());
        }
        let rows = Spi::connect_mut(|client| {
            let paths: Vec<&str> = missing.iter().map(|path| path.as_str()).collect();
            let rows = client.update(
                "WITH wanted AS (
                     SELECT w.path FROM pg_catalog.unnest($2::text[]) w (path)
                 ), made AS (
                     INSERT INTO onyx.paths (repo_id, path)
                     SELECT $1, w.path FROM wanted w
                     ON CONFLICT (repo_id, path) DO NOTHING RETURNING path, id
                 )
                 SELECT path, id FROM made
                 UNION ALL
                 SELECT p.path, p.id FROM wanted w JOIN onyx.paths p ON p.repo_id = $1 AND p.path = w.path",
                None,
                &[repo.into(), paths.into()],
            )?;
            pairs(rows)
        })?;
        self.known.extend(rows);
        Ok(())
    }

    /// The row of a path that was learned.
    pub fn id(&self, path: &str) -> Result<i32, Error> {
        self.known.get(path).copied().ok_or_else(|| missing("path"))
    }
}

/// Nodes of directories.
#[derive(Default)]
pub struct Directories {
    known: HashSet<String>,
}

impl Directories {
    /// Gives the directories files are in, and the repository, nodes of their own where they have none.
    pub fn learn<'a>(
        &mut self,
        repo: i64,
        files: impl Iterator<Item = &'a str>,
    ) -> Result<(), Error> {
        let mut fresh = Vec::new();
        for file in files {
            let mut path = directory(file);
            while let Some(at) = path.filter(|at| !self.known.contains(*at)) {
                self.known.insert(at.to_owned());
                fresh.push(at.to_owned());
                path = directory(at);
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        Spi::run_with_args(
            "INSERT INTO onyx.paths AS p (repo_id, path, node_id)
             SELECT $1, w.path, coalesce(n.id, pg_catalog.nextval('onyx.nodes_id_seq'))
             FROM pg_catalog.unnest($2::text[]) w (path)
             LEFT JOIN onyx.nodes n
                 ON n.repo_id = $1 AND n.origin = 'source' AND n.kind IN ('repository', 'directory')
                 AND CASE n.kind WHEN 'directory' THEN n.qualified_name ELSE '' END = w.path
             WHERE NOT EXISTS (SELECT FROM onyx.paths o
                               WHERE o.repo_id = $1 AND o.path = w.path AND o.node_id IS NOT NULL)
             ON CONFLICT (repo_id, path) DO UPDATE SET node_id = excluded.node_id",
            &[repo.into(), fresh.into()],
        )?;
        Ok(())
    }
}

fn missing(what: &str) -> Error {
    Error::sql(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, format!("a {what} has no row"))
}

fn pairs(rows: spi::SpiTupleTable<'_>) -> Result<Vec<(String, i32)>, Error> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        if let (Some(text), Some(id)) = (row.get::<String>(1)?, row.get::<i32>(2)?) {
            found.push((text, id));
        }
    }
    Ok(found)
}

/// A kind and a name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub kind: &'static str,
    pub name: String,
    pub qualified_name: String,
}

/// Rows by kind and name.
#[derive(Default)]
pub struct Names {
    known: HashMap<Name, i32>,
}

impl Names {
    /// The rows of names; makes those that are missing.
    pub fn learn<'a>(
        &mut self,
        repo: i64,
        wanted: impl Iterator<Item = &'a Name>,
    ) -> Result<(), Error> {
        forget_many(&mut self.known);
        let missing = unknown(&self.known, wanted, |name| name.clone());
        if missing.is_empty() {
            return Ok(());
        }
        let kinds: Vec<&str> = missing.iter().map(|n| n.kind).collect();
        let names: Vec<&str> = missing.iter().map(|n| n.name.as_str()).collect();
        let qualified: Vec<&str> = missing.iter().map(|n| n.qualified_name.as_str()).collect();
        let ids = Spi::connect_mut(|client| {
            let rows = client.update(
                "WITH wanted AS MATERIALIZED (
                     SELECT w.*, (SELECT n.id FROM onyx.symbol_names n
                                  WHERE n.repo_id = $1
                                    AND pg_catalog.hashtextextended(n.qualified_name, 0)
                                        = pg_catalog.hashtextextended(w.qualified_name, 0)
                                    AND (n.qualified_name, n.kind, n.name) = (w.qualified_name, w.kind, w.name)
                                  LIMIT 1) AS id
                     FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY
                          w (kind, name, qualified_name, place)
                 ), numbered AS MATERIALIZED (
                     SELECT w.*, coalesce(w.id, pg_catalog.nextval('onyx.symbol_names_id_seq')::integer) AS row
                     FROM wanted w
                 ), made AS (
                     INSERT INTO onyx.symbol_names (id, repo_id, kind, name, qualified_name)
                     SELECT n.row, $1, n.kind, n.name, n.qualified_name FROM numbered n WHERE n.id IS NULL
                 )
                 SELECT n.row FROM numbered n ORDER BY n.place",
                None,
                &[repo.into(), kinds.into(), names.into(), qualified.into()],
            )?;
            column(rows)
        })?;
        self.known.extend(missing.into_iter().cloned().zip(ids));
        Ok(())
    }

    /// The row of a name that was learned.
    pub fn id(&self, name: &Name) -> Result<i32, Error> {
        self.known.get(name).copied().ok_or_else(|| missing("name"))
    }
}

fn column(rows: spi::SpiTupleTable<'_>) -> Result<Vec<i32>, Error> {
    let mut ids = Vec::with_capacity(rows.len());
    for row in rows {
        ids.push(row.get::<i32>(1)?.ok_or_else(|| missing("row"))?);
    }
    Ok(ids)
}

/// Rows of search texts, in order; makes those that are missing.
pub fn search_texts(repo: i64, texts: &[&str], lexicon: &mut Lexicon) -> Result<Vec<i32>, Error> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let lexemes = lexicon.documents(texts.iter().map(|text| Some(*text)))?;
    Spi::connect_mut(|client| {
        let rows = client.update(
            "WITH wanted AS MATERIALIZED (
                 SELECT w.*, (SELECT s.id FROM onyx.search_texts s
                              WHERE s.repo_id = $1
                                AND pg_catalog.hashtextextended(s.search_text, 0)
                                    = pg_catalog.hashtextextended(w.search_text, 0)
                                AND s.search_text = w.search_text
                              LIMIT 1) AS id
                 FROM unnest($2::text[], $3::tsvector[]) WITH ORDINALITY w (search_text, lexemes, place)
             ), numbered AS MATERIALIZED (
                 SELECT w.*, coalesce(w.id, pg_catalog.nextval('onyx.search_texts_id_seq')::integer) AS row
                 FROM wanted w
             ), made AS (
                 INSERT INTO onyx.search_texts (id, repo_id, search_text, lexemes)
                 SELECT n.row, $1, n.search_text, n.lexemes FROM numbered n WHERE n.id IS NULL
             )
             SELECT n.row FROM numbered n ORDER BY n.place",
            None,
            &[repo.into(), texts.to_vec().into(), lexemes.into()],
        )?;
        column(rows)
    })
}
