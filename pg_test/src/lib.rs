//! Clusters for tests: real servers with the installed extension, started, broken and thrown away.
//!
//! | module | owns |
//! |---|---|
//! | [`install`] | which server is tested and as whom it runs |
//! | [`cluster`] | a server's life: start, stop, crash, its engine |
//! | [`crash`] | what tests of crashes share: chance, and the way back |
//! | [`clean`] | history and tables against clean ingests |
//! | [`sql`] | short forms of queries, for tests |
//! | [`git`] | git repositories with made and random histories |
//! | [`graph`] | random graphs, and ways to ask for traversals of them |
//! | [`page`] | the examples of a page of documentation |
//! | [`nearest`] | an index's answers against exact ones |
//! | [`tree`] | directories of source the server can read |
//! | [`workload`] | long work, to be interrupted |
//! | [`process`] | signals to single processes, by their ids |
//!
//! Environment:
//!
//! | variable | meaning |
//! |---|---|
//! | `ONYX_PG_CONFIG` | `pg_config` of the server under test, with Onyx and pgvector installed |
//! | `ONYX_SERVER_USER` | for root: whom servers run as; `postgres` unless set |
//! | `ONYX_MODEL_DIR` | directory of `model.onnx` and `tokenizer.json`; the installed ones unless set |
//! | `ONYX_TEST_KEEP` | when set, clusters and their logs stay in the temporary directory |

pub mod clean;
pub mod cluster;
pub mod crash;
pub mod git;
pub mod graph;
pub mod install;
pub mod nearest;
pub mod page;
pub mod process;
pub mod sql;
pub mod tree;
pub mod workload;

use std::time::{Duration, Instant};

pub use cluster::{Cluster, Config};
pub use git::GitRepo;
pub use sql::Sql;
pub use tree::Tree;

/// Asks until the answer is `Some`, and returns it.
///
/// # Panics
/// When there is none in time.
pub fn eventually<T>(what: &str, timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < timeout, "not within {timeout:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
