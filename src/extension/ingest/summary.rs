//! What an ingest says at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use onyx_protocol::ingest::SkipReason;

/// Seconds by stage. Reading and parsing are sums over the engine's threads.
#[derive(Default)]
pub struct Seconds {
    /// Reading and hashing.
    pub read: Duration,
    /// Parsing.
    pub parse: Duration,
    /// Writing rows.
    pub write: Duration,
    /// Resolving references and writing edges.
    pub resolve: Duration,
    /// From beginning to end.
    pub total: Duration,
}

/// The summary.
#[derive(Default)]
pub struct Summary {
    /// Files of known languages that were looked at.
    pub files: u64,
    /// Files that were new or changed.
    pub files_changed: u64,
    /// Files that are gone.
    pub files_removed: u64,
    /// Nodes inserted or updated.
    pub nodes: u64,
    /// Edges written, containment aside.
    pub edges: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Files left out, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// The commit that was made, when anything changed.
    pub commit: Option<i32>,
    /// Seconds by stage.
    pub seconds: Seconds,
}

impl Summary {
    /// Counts a skipped file.
    pub fn skip(&mut self, reason: SkipReason) {
        *self.skipped.entry(reason.as_str()).or_default() += 1;
    }

    /// The SQL row.
    pub fn into_row(self) -> (i64, i64, i64, i64, i64, i64, pgrx::JsonB, pgrx::JsonB, Option<i32>) {
        let milliseconds = |d: Duration| (d.as_secs_f64() * 1000.0).round() / 1000.0;
        let seconds = serde_json::json!({
            "read": milliseconds(self.seconds.read),
            "parse": milliseconds(self.seconds.parse),
            "write": milliseconds(self.seconds.write),
            "resolve": milliseconds(self.seconds.resolve),
            "total": milliseconds(self.seconds.total),
        });
        (
            self.files as i64,
            self.files_changed as i64,
            self.files_removed as i64,
            self.nodes as i64,
            self.edges as i64,
            self.bytes as i64,
            pgrx::JsonB(serde_json::json!(self.skipped)),
            pgrx::JsonB(seconds),
            self.commit,
        )
    }
}
