//! `onyx.verify`: are a repository's edges those of a clean rebuild?

use std::collections::BTreeMap;

use pgrx::prelude::*;

use super::borders::{self, Border};
use super::edges::Nodes;
use super::links::{self, Stored};
use super::resolution::{Files, Resolution};
use crate::error::{Error, OrRaise};

type Row = (
    String,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i32>,
    Option<i32>,
    Option<String>,
);

/// What a clean resolution of all files has and the tables lack, or the other way round. No rows: they
/// are equal.
#[allow(clippy::type_complexity)]
#[pg_extern(sql = false)]
fn verify(
    repo: &str,
) -> TableIterator<
    'static,
    (
        name!(difference, String),
        name!(file_id, Option<i64>),
        name!(source_id, Option<i64>),
        name!(target_id, Option<i64>),
        name!(kind, Option<String>),
        name!(line, Option<i32>),
        name!(col, Option<i32>),
        name!(resolution, Option<String>),
    ),
> {
    TableIterator::new(differences(repo).or_raise())
}

fn differences(repo: &str) -> Result<Vec<Row>, Error> {
    let id = Spi::connect(|client| {
        let query = "SELECT id FROM onyx.repos WHERE name = $1";
        let rows = client.select(query, Some(1), &[repo.into()])?;
        match rows.into_iter().next() {
            Some(row) => row.get::<i64>(1),
            None => Ok(None),
        }
    })?;
    let Some(id) = id else {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("repository \"{repo}\" does not exist"),
        ));
    };
    let mut resolution = Resolution::begin(id, Files::Clean)?;
    let plan = resolution.plan()?;
    let mut nodes = Nodes::new(id, plan.files.len())?;
    let mut found = Vec::new();
    resolution.run(&plan.files, |mut files| {
        let clean = nodes.links(&mut files)?;
        let batch: Vec<i64> = files.iter().map(|file| file.file).collect();
        compare(clean.into_iter().map(Stored::from), links::of(&batch)?, &mut found);
        let stored = links::unresolved_of(&batch)?;
        let borders = borders::of(&batch)?;
        let nothing = Border::default();
        for file in &files {
            let mut differs = |what: &str| {
                found.push((what.to_owned(), Some(file.file), None, None, None, None, None, None));
            };
            if stored.get(&file.file) != Some(&file.unresolved) {
                differs("references without an edge differ");
            }
            let border = borders.get(&file.file).unwrap_or(&nothing);
            if border.provides != file.provides || border.wants != file.outside {
                differs("names of packages looked up or provided differ");
            }
        }
        Ok(())
    })?;
    resolution.end(None)?;
    for link in links::strays(id)? {
        found.push(row("surplus", link));
    }
    sql_differences(id, &mut found)?;
    Ok(found)
}

/// The same of the edges from strings of SQL to the catalog.
fn sql_differences(repo: i64, found: &mut Vec<Row>) -> Result<(), Error> {
    const COLUMNS: &str = "file_id, source_id, target_id, line, col, resolution";
    let query = format!(
        "WITH wanted AS MATERIALIZED (
             SELECT {COLUMNS}, confidence FROM onyx.sql_links(
                 (SELECT pg_catalog.array_agg(f.id) FROM onyx.files f WHERE f.repo_id = $1)) w
         ), stored AS MATERIALIZED (
             SELECT {COLUMNS}, confidence FROM onyx.links
             WHERE repo_id = $1 AND origin = 'catalog' AND file_id IS NOT NULL
         )
         SELECT 'missing', {COLUMNS} FROM (SELECT * FROM wanted EXCEPT ALL SELECT * FROM stored) m
         UNION ALL
         SELECT 'surplus', {COLUMNS} FROM (SELECT * FROM stored EXCEPT ALL SELECT * FROM wanted) s"
    );
    Spi::connect(|client| {
        for row in client.select(&query, None, &[repo.into()])? {
            found.push((
                row.get::<String>(1)?.unwrap_or_default(),
                row.get::<i64>(2)?,
                row.get::<i64>(3)?,
                row.get::<i64>(4)?,
                Some("references".into()),
                row.get::<i32>(5)?,
                row.get::<i32>(6)?,
                row.get::<String>(7)?,
            ));
        }
        Ok(())
    })
}

fn compare(clean: impl Iterator<Item = Stored>, stored: Vec<Stored>, found: &mut Vec<Row>) {
    let mut counts: BTreeMap<Stored, i64> = BTreeMap::new();
    for link in clean {
        *counts.entry(link).or_default() += 1;
    }
    for link in stored {
        *counts.entry(link).or_default() -= 1;
    }
    for (link, count) in counts {
        let what = if count > 0 { "missing" } else { "surplus" };
        for _ in 0..count.unsigned_abs() {
            found.push(row(what, link.clone()));
        }
    }
}

fn row(what: &str, link: Stored) -> Row {
    (
        what.to_owned(),
        Some(link.file),
        Some(link.source),
        Some(link.target),
        Some(link.kind),
        Some(link.line),
        Some(link.column),
        Some(link.resolution),
    )
}
