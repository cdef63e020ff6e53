//! `onyx.symbol_changes`: what a commit changed of symbols at a path, packed into a row.
//!
//! A symbol by itself takes a row of 80 bytes and two index entries. Rows are found by their nodes through
//! an index over groups of neighbouring ids: the definitions of a file get theirs together and change
//! together, so a row has few groups.

use std::collections::HashSet;
use std::ops::ControlFlow;

use onyx_protocol::stored_symbols::{self, SymbolVersion, Symbols};
use pgrx::prelude::*;

use crate::error::{Error, OrRaise};
use crate::graph::rows::{Row, Source};
use crate::graph::{Answer, Arguments, row_function};
use crate::query;

/// A group has nodes whose ids differ in these bits alone. `onyx.node_versions` says it too.
const GROUP_BITS: u32 = 3;

/// A row of `onyx.symbol_versions`.
pub struct SymbolRow {
    pub commit: i32,
    pub path: i32,
    pub symbol: SymbolVersion,
}

fn symbols(bytes: &[u8]) -> impl Iterator<Item = Result<SymbolVersion, Error>> {
    Symbols::new(bytes).map(|symbol| {
        symbol.map_err(|error| {
            let message = format!("onyx.symbol_changes is damaged: {error}");
            Error::sql(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message).with_hint(
                "Restore it from a backup, or forget the repository and ingest it again.",
            )
        })
    })
}

/// Writes versions of symbols. What a commit and path have already stays beside them.
pub fn insert(rows: &[SymbolRow]) -> Result<(), Error> {
    let mut rows: Vec<&SymbolRow> = rows.iter().collect();
    rows.sort_by_key(|row| (row.commit, row.path, row.symbol.node));
    let (mut commits, mut paths, mut packed) = (Vec::new(), Vec::new(), Vec::new());
    for of_path in rows.chunk_by(|a, b| (a.commit, a.path) == (b.commit, b.path)) {
        commits.push(of_path[0].commit);
        paths.push(of_path[0].path);
        packed.push(stored_symbols::encode(of_path.iter().map(|row| &row.symbol)));
    }
    Spi::run_with_args(
        "INSERT INTO onyx.symbol_changes (commit_id, path_id, symbols)
         SELECT * FROM unnest($1::int[], $2::int[], $3::bytea[])",
        &[commits.into(), paths.into(), packed.into()],
    )?;
    Ok(())
}

/// Calls `f` with versions of symbols in a row of a query's answer, whose first columns are commit, path and symbols.
fn unpack(row: &query::Row, f: &mut dyn FnMut(SymbolRow)) -> Result<(), Error> {
    let (Some(commit), Some(path), Some(bytes)) =
        (row.get::<i32>(1), row.get::<i32>(2), row.get::<&[u8]>(3))
    else {
        return Ok(());
    };
    for symbol in symbols(bytes) {
        f(SymbolRow { commit, path, symbol: symbol? });
    }
    Ok(())
}

/// The versions of a repository's symbols up to a commit's number, row by row.
pub fn each_until(repo: i64, commit: i32, f: &mut dyn FnMut(SymbolRow)) -> Result<(), Error> {
    let mut failed = Ok(());
    query::each(
        c"SELECT v.commit_id, v.path_id, v.symbols
          FROM onyx.commits c JOIN onyx.symbol_changes v ON v.commit_id = c.id
          WHERE c.repo_id = $1 AND c.id <= $2",
        &[(pg_sys::INT8OID, repo.into_datum()), (pg_sys::INT4OID, commit.into_datum())],
        &mut |row| match unpack(row, f) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Err(error);
                ControlFlow::Break(())
            }
        },
    )?;
    failed
}

/// The versions of nodes, in no order.
pub fn of(nodes: &[i64]) -> Result<Vec<SymbolRow>, Error> {
    let wanted: HashSet<i64> = nodes.iter().copied().collect();
    let groups: HashSet<i64> = wanted.iter().map(|node| node >> GROUP_BITS).collect();
    let groups: Vec<i64> = groups.into_iter().collect();
    let (mut found, mut failed) = (Vec::new(), Ok(()));
    query::latest(
        c"SELECT v.commit_id, v.path_id, v.symbols FROM onyx.symbol_changes v
          WHERE onyx.node_groups(v.symbols) && $1",
        &[(pg_sys::INT8ARRAYOID, groups.into_datum())],
        &mut |row| {
            let mut take = |version: SymbolRow| {
                if wanted.contains(&version.symbol.node) {
                    found.push(version);
                }
            };
            match unpack(row, &mut take) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Err(error);
                    ControlFlow::Break(())
                }
            }
        },
    )?;
    failed.map(|()| found)
}

row_function!(
    /// `onyx.decode_symbols(symbols)`.
    onyx_decode_symbols,
    decode_symbols
);

fn decode_symbols(a: &Arguments) -> Answer {
    // Where rows are asked for one at a time, the bytes may be gone after the first.
    let rows: Result<Vec<_>, _> = symbols(a.get::<&[u8]>(0).unwrap_or_default()).collect();
    Ok(Box::new(Decoded(rows?.into_iter())))
}

struct Decoded(std::vec::IntoIter<SymbolVersion>);

impl Source for Decoded {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        let Some(symbol) = self.0.next() else { return Ok(false) };
        row.begin().value(symbol.node).value(symbol.name).value(symbol.search_text);
        row.value(symbol.ordinal).value(symbol.lines as i32).value(symbol.changed_lines.0 as i32);
        row.value(symbol.changed_lines.1 as i32).value(symbol.similarity);
        row.value(symbol.body_changed).value(symbol.change.as_str());
        Ok(true)
    }

    fn allocates(&self) -> bool {
        true
    }
}

/// The groups of neighbouring ids that nodes of a packed row are in.
#[pg_extern(sql = false)]
fn node_groups(bytes: &[u8]) -> Vec<i64> {
    let groups: Result<Vec<i64>, Error> =
        symbols(bytes).map(|symbol| Ok(symbol?.node >> GROUP_BITS)).collect();
    let mut groups = groups.or_raise();
    groups.dedup();
    groups
}
