//! Short forms of queries, for tests: they panic with the statement when it fails.

use std::time::Duration;

use postgres::error::DbError;
use postgres::types::FromSqlOwned;
use postgres::{Client, SimpleQueryMessage};

use crate::eventually;

/// Short forms on a connection.
pub trait Sql {
    /// Runs statements.
    fn run(&mut self, sql: &str);
    /// The one value of the one row.
    fn one<T: FromSqlOwned>(&mut self, sql: &str) -> T;
    /// The first column of all rows.
    fn column<T: FromSqlOwned>(&mut self, sql: &str) -> Vec<T>;
    /// All rows as text: columns separated by `|`, NULL empty, a row a line, as `psql -At` prints.
    fn text(&mut self, sql: &str) -> String;
    /// The error of a statement that must fail.
    fn error(&mut self, sql: &str) -> DbError;
    /// The plan of a query.
    fn explain(&mut self, sql: &str) -> String;
    /// Waits until no other transaction sees what this session has deleted, so that VACUUM removes it.
    /// Maintenance has transactions of its own, after an index was built for instance.
    fn wait_for_other_snapshots(&mut self);
}

/// An error with everything the server said.
pub fn describe(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(e) => format!(
            "{} {}{}{}{}",
            e.code().code(),
            e.message(),
            e.detail().map(|d| format!("\nDETAIL: {d}")).unwrap_or_default(),
            e.hint().map(|d| format!("\nHINT: {d}")).unwrap_or_default(),
            e.where_().map(|d| format!("\nCONTEXT: {d}")).unwrap_or_default(),
        ),
        None => format!("{error:?}"),
    }
}

impl Sql for Client {
    #[track_caller]
    fn run(&mut self, sql: &str) {
        if let Err(e) = self.batch_execute(sql) {
            panic!("{}\nin: {sql}", describe(&e));
        }
    }

    #[track_caller]
    fn one<T: FromSqlOwned>(&mut self, sql: &str) -> T {
        match self.query_one(sql, &[]) {
            Ok(row) => row.get(0),
            Err(e) => panic!("{}\nin: {sql}", describe(&e)),
        }
    }

    #[track_caller]
    fn column<T: FromSqlOwned>(&mut self, sql: &str) -> Vec<T> {
        match self.query(sql, &[]) {
            Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
            Err(e) => panic!("{}\nin: {sql}", describe(&e)),
        }
    }

    #[track_caller]
    fn text(&mut self, sql: &str) -> String {
        let messages = match self.simple_query(sql) {
            Ok(messages) => messages,
            Err(e) => panic!("{}\nin: {sql}", describe(&e)),
        };
        let mut lines = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                let cells: Vec<&str> =
                    (0..row.len()).map(|i| row.get(i).unwrap_or_default()).collect();
                lines.push(cells.join("|"));
            }
        }
        lines.join("\n")
    }

    #[track_caller]
    fn error(&mut self, sql: &str) -> DbError {
        match self.batch_execute(sql) {
            Ok(()) => panic!("this should have failed: {sql}"),
            Err(e) => match e.as_db_error() {
                Some(db) => db.clone(),
                None => panic!("the session ended: {e:?}\nin: {sql}"),
            },
        }
    }

    #[track_caller]
    fn explain(&mut self, sql: &str) -> String {
        self.text(&format!("EXPLAIN (COSTS OFF) {sql}"))
    }

    #[track_caller]
    fn wait_for_other_snapshots(&mut self) {
        let others = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()
                      AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)";
        eventually("the end of other snapshots", Duration::from_secs(30), || {
            (self.one::<i64>(others) == 0).then_some(())
        });
    }
}
