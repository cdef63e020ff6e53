//! What a traversal says when a limit cut it off.

use pgrx::prelude::*;

use crate::error::Error;

/// How many nodes a traversal may visit, or whatever else is counted, and how that is called.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The argument's name.
    pub name: &'static str,
    /// Its value; without one there is no limit.
    pub value: Option<i64>,
}

impl Limit {
    /// How many more are allowed when there are `count`.
    pub fn left(&self, count: usize) -> usize {
        match self.value {
            Some(value) => usize::try_from(value).unwrap_or(0).saturating_sub(count),
            None => usize::MAX,
        }
    }

    /// Says that it cut an answer off.
    pub fn notice(&self) {
        let Some(value) = self.value else { return };
        Error::Sql {
            code: PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
            message: format!("the answer was cut off at {} = {value}", self.name),
            detail: "The column truncated marks the last row.".into(),
            hint: format!(
                "Raise {}, or narrow the traversal by depth, kinds, confidence or repository.",
                self.name
            ),
        }
        .notice();
    }
}
