//! Strings of SQL in source code: what parsing read of them, and their edges to the catalog's nodes.

use onyx_protocol::ingest::{ParsedFile, SqlReference};
use pgrx::prelude::*;

use crate::error::Error;

/// Between names on their way to SQL; in none of them.
const UNIT_SEPARATOR: &str = "\u{1f}";

/// Keeps what strings in files say, in place of what they said.
pub fn keep(ids: &[i64], files: &[ParsedFile]) -> Result<(), Error> {
    Spi::run_with_args(
        "DELETE FROM onyx.sql_references WHERE file_id = ANY ($1)",
        &[ids.to_vec().into()],
    )?;
    let all = ids.iter().zip(files);
    let all = all.flat_map(|(id, file)| file.sql.iter().map(|reference| (*id, reference)));
    let all: Vec<(i64, &SqlReference)> = all.collect();
    if all.is_empty() {
        return Ok(());
    }
    let joined = |names: &[String]| names.join(UNIT_SEPARATOR);
    let ids: Vec<i64> = all.iter().map(|(id, _)| *id).collect();
    let ordinals: Vec<Option<i32>> =
        all.iter().map(|(_, r)| r.definition.map(|n| n as i32)).collect();
    let lines: Vec<i32> = all.iter().map(|(_, r)| r.line as i32).collect();
    let columns: Vec<i32> = all.iter().map(|(_, r)| r.column as i32).collect();
    let schemas: Vec<&str> = all.iter().map(|(_, r)| r.schema.as_str()).collect();
    let tables: Vec<&str> = all.iter().map(|(_, r)| r.table.as_str()).collect();
    let named: Vec<String> = all.iter().map(|(_, r)| joined(&r.columns)).collect();
    let possible: Vec<String> = all.iter().map(|(_, r)| joined(&r.possible)).collect();
    let query = format!(
        "INSERT INTO onyx.sql_references
             (file_id, ordinal, line, col, schema_name, table_name, columns, possible_columns)
         SELECT t.file_id, t.ordinal, t.line, t.col, nullif(t.schema_name, ''), t.table_name,
                pg_catalog.string_to_array(t.columns, '{UNIT_SEPARATOR}'),
                pg_catalog.string_to_array(t.possible, '{UNIT_SEPARATOR}')
         FROM unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::text[], $6::text[], $7::text[],
             $8::text[]) t (file_id, ordinal, line, col, schema_name, table_name, columns, possible)"
    );
    Spi::run_with_args(
        &query,
        &[
            ids.into(),
            ordinals.into(),
            lines.into(),
            columns.into(),
            schemas.into(),
            tables.into(),
            named.into(),
            possible.into(),
        ],
    )?;
    Ok(())
}

/// Brings the edges of files to the catalog up to date.
pub fn link(files: &[i64]) -> Result<(), Error> {
    if !files.is_empty() {
        Spi::run_with_args("SELECT onyx.link_sql($1)", &[files.to_vec().into()])?;
    }
    Ok(())
}
