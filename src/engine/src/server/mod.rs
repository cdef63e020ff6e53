//! The process: start, lifeline, socket, requests, background work.
//!
//! | file | owns |
//! |---|---|
//! | `startup` | the supervisor's messages, opening the store |
//! | `listener` | the socket |
//! | `connection` | one client's frames, cancel, deadlines |
//! | `dispatch` | requests to rooms |
//! | `resolution` | one client's files whose references are resolved |
//! | `history` | one client's repository whose history is read |
//! | `ingests` | which clients ingest |
//! | `kept` | repositories' files between resolutions |
//! | `background` | embedding what is queued |
//! | `cache` | the store as the embedder's cache |
//! | `stat` | the engine's own figures |

mod background;
mod cache;
mod connection;
mod dispatch;
mod history;
mod ingests;
mod kept;
mod listener;
mod resolution;
mod startup;
mod stat;

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use onyx_protocol::startup::Settings;

use crate::embed::Embedder;
use crate::index::Indexes;
use crate::parse;
use crate::store::{Store, read};
use ingests::Ingests;
use stat::Counters;

pub use startup::run;

/// Longest time one source file may take to parse.
const PARSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What every connection shares.
struct Engine {
    store: Arc<Store>,
    indexes: Arc<Indexes>,
    embedder: Arc<Embedder>,
    settings: RwLock<Settings>,
    counters: Counters,
    /// Embedding in the background waits for them.
    ingests: Arc<Ingests>,
    /// Repositories' files between resolutions.
    kept: kept::Kept,
}

impl Engine {
    fn new(
        store: Arc<Store>,
        indexes: Arc<Indexes>,
        onnxruntime: PathBuf,
        settings: Settings,
    ) -> Arc<Self> {
        let cache = Arc::new(cache::StoreCache(Arc::clone(&store)));
        let embedder = Arc::new(Embedder::new(onnxruntime, settings.embed_threads as usize, cache));
        let kept = kept::Kept::default();
        kept.set_memory_limit(settings.memory_limit);
        Arc::new(Self {
            store,
            indexes,
            embedder,
            settings: RwLock::new(settings),
            counters: Counters::default(),
            ingests: Arc::default(),
            kept,
        })
    }

    fn parse_limits(&self) -> parse::Limits {
        parse::Limits {
            max_bytes: read(&self.settings).max_file_size as usize,
            timeout: PARSE_TIMEOUT,
            ..parse::Limits::default()
        }
    }

    fn workers(&self) -> usize {
        workers(&read(&self.settings))
    }
}

/// Threads for parsing and index work.
fn workers(settings: &Settings) -> usize {
    match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, Into::into),
        n => n as usize,
    }
}
