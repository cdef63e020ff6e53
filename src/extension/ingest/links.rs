//! Rows of `onyx.links` that source code makes, and the nodes they join.

use std::collections::HashMap;

use onyx_protocol::code::{Edge, Unresolved};
use pgrx::prelude::*;

use super::bulk::{self, Column};
use crate::error::{Error, OrRaise};

/// An edge with its ends as nodes.
pub struct Link {
    /// The file it was resolved for.
    pub file: i64,
    pub source: i64,
    pub target: i64,
    pub edge: Edge,
}

/// Writes links.
pub fn insert(repo: i64, links: &[Link]) -> Result<(), Error> {
    if links.is_empty() || insert_at_once(repo, links) {
        return Ok(());
    }
    fn column<'a, U>(links: &'a [Link], f: impl Fn(&'a Link) -> U) -> Vec<U> {
        links.iter().map(f).collect()
    }
    Spi::run_with_args(
        "INSERT INTO onyx.links
             (repo_id, file_id, source_id, target_id, line, col, confidence, kind, resolution)
         SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::int[],
             $7::real[], $8::text[], $9::text[])",
        &[
            repo.into(),
            column(links, |l| l.file).into(),
            column(links, |l| l.source).into(),
            column(links, |l| l.target).into(),
            column(links, |l| l.edge.line as i32).into(),
            column(links, |l| l.edge.column as i32).into(),
            column(links, |l| l.edge.confidence).into(),
            column(links, |l| l.edge.kind.as_str()).into(),
            column(links, |l| l.edge.resolution.as_str()).into(),
        ],
    )?;
    Ok(())
}

/// The same past SQL, where the table allows it.
fn insert_at_once(repo: i64, links: &[Link]) -> bool {
    const COLUMNS: [Column; 11] = [
        (c"id", pg_sys::INT8OID),
        (c"repo_id", pg_sys::INT8OID),
        (c"file_id", pg_sys::INT8OID),
        (c"source_id", pg_sys::INT8OID),
        (c"target_id", pg_sys::INT8OID),
        (c"line", pg_sys::INT4OID),
        (c"col", pg_sys::INT4OID),
        (c"confidence", pg_sys::FLOAT4OID),
        (c"kind", pg_sys::TEXTOID),
        (c"origin", pg_sys::TEXTOID),
        (c"resolution", pg_sys::TEXTOID),
    ];
    let Some(mut next_id) = bulk::sequence(c"links_id_seq") else { return false };
    bulk::insert(c"links", &COLUMNS, links, |link, row| {
        row.set(0, next_id());
        for (column, id) in (1..).zip([repo, link.file, link.source, link.target]) {
            row.set(column, id);
        }
        row.set(5, link.edge.line as i32);
        row.set(6, link.edge.column as i32);
        // A real is its bits.
        row.set(7, link.edge.confidence.to_bits());
        let texts = [link.edge.kind.as_str(), "source", &link.edge.resolution];
        for (column, text) in (8..).zip(texts) {
            row.set_bytes(column, text.as_bytes());
        }
    })
}

/// The links of files as they are stored.
pub fn of(files: &[i64]) -> Result<Vec<Stored>, Error> {
    stored("file_id = ANY ($1) AND origin = 'source'", files.to_vec().into())
}

/// Links of a repository's source that no file of it has any more.
pub fn strays(repo: i64) -> Result<Vec<Stored>, Error> {
    stored(
        "repo_id = $1 AND origin = 'source'
         AND NOT EXISTS (SELECT FROM onyx.file_facts x WHERE x.file_id = l.file_id)",
        repo.into(),
    )
}

fn stored(condition: &str, argument: pgrx::datum::DatumWithOid<'_>) -> Result<Vec<Stored>, Error> {
    let query = format!(
        "SELECT file_id, source_id, target_id, kind, line, col, resolution, confidence
         FROM onyx.links l WHERE {condition}"
    );
    Spi::connect(|client| {
        let rows = client.select(&query, None, &[argument])?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let (id, number) = (
                |i| row.get::<i64>(i).map(Option::unwrap_or_default),
                |i| row.get::<i32>(i).map(Option::unwrap_or_default),
            );
            let text = |i| row.get::<String>(i).map(Option::unwrap_or_default);
            found.push(Stored {
                file: id(1)?,
                source: id(2)?,
                target: id(3)?,
                kind: text(4)?,
                line: number(5)?,
                column: number(6)?,
                resolution: text(7)?,
                confidence: row.get::<f32>(8)?.unwrap_or_default().to_bits(),
            });
        }
        Ok(found)
    })
}

/// The encoded references without an edge of files.
pub fn unresolved_of(files: &[i64]) -> Result<HashMap<i64, Vec<u8>>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT file_id, unresolved FROM onyx.file_facts WHERE file_id = ANY ($1)",
            None,
            &[files.to_vec().into()],
        )?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(id), Some(unresolved)) = (row.get::<i64>(1)?, row.get::<Vec<u8>>(2)?) {
                found.insert(id, unresolved);
            }
        }
        Ok(found)
    })
}

/// What of a link follows from the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stored {
    pub file: i64,
    pub source: i64,
    pub target: i64,
    pub kind: String,
    pub line: i32,
    pub column: i32,
    pub resolution: String,
    /// The bits of the number.
    pub confidence: u32,
}

impl From<Link> for Stored {
    fn from(link: Link) -> Self {
        Self {
            file: link.file,
            source: link.source,
            target: link.target,
            kind: link.edge.kind.as_str().into(),
            line: link.edge.line as i32,
            column: link.edge.column as i32,
            resolution: link.edge.resolution,
            confidence: link.edge.confidence.to_bits(),
        }
    }
}

/// Removes the links of files; returns how many there were.
pub fn remove(files: &[i64]) -> Result<u64, Error> {
    if files.is_empty() {
        return Ok(0);
    }
    let query = "DELETE FROM onyx.links WHERE file_id = ANY ($1) AND origin = 'source'";
    Spi::connect_mut(
        |client| Ok(client.update(query, None, &[files.to_vec().into()])?.len() as u64),
    )
}

/// For each of these files the ids of its nodes: the file's own, then its definitions' by number.
pub fn nodes_of(files: &[i64]) -> Result<HashMap<i64, Vec<i64>>, Error> {
    nodes("file_id = ANY ($1)", files.to_vec().into())
}

/// The same for all files of a repository.
pub fn nodes_of_repository(repo: i64) -> Result<HashMap<i64, Vec<i64>>, Error> {
    nodes("repo_id = $1 AND file_id IS NOT NULL", repo.into())
}

fn nodes(
    condition: &str,
    argument: pgrx::datum::DatumWithOid<'_>,
) -> Result<HashMap<i64, Vec<i64>>, Error> {
    let query =
        format!("SELECT file_id, coalesce(ordinal + 1, 0), id FROM onyx.nodes WHERE {condition}");
    Spi::connect(|client| {
        let rows = client.select(&query, None, &[argument])?;
        let mut found: HashMap<i64, Vec<i64>> = HashMap::new();
        for row in rows {
            let (Some(file), Some(place), Some(id)) =
                (row.get::<i64>(1)?, row.get::<i32>(2)?, row.get::<i64>(3)?)
            else {
                continue;
            };
            let ids = found.entry(file).or_default();
            let place = place.max(0) as usize;
            if ids.len() <= place {
                ids.resize(place + 1, 0);
            }
            ids[place] = id;
        }
        Ok(found)
    })
}

#[allow(clippy::type_complexity)]
#[pg_extern(sql = false)]
fn decode_unresolved(
    unresolved: &[u8],
) -> TableIterator<
    'static,
    (
        name!(ordinal, Option<i32>),
        name!(kind, &'static str),
        name!(name, String),
        name!(target, Option<String>),
        name!(line, i32),
        name!(col, i32),
        name!(reason, &'static str),
    ),
> {
    let damaged = |error| {
        Error::sql(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, format!("damaged references: {error}"))
    };
    let rows = Unresolved::decode_all(unresolved).map_err(damaged).or_raise();
    TableIterator::new(rows.into_iter().map(|r| {
        (
            r.source.number().map(|n| n as i32),
            r.kind.as_str(),
            r.name,
            (!r.target.is_empty()).then_some(r.target),
            r.line as i32,
            r.column as i32,
            r.reason.as_str(),
        )
    }))
}
