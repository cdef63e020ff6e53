//! What the supervisor tells the engine over its standard input, one frame-less value a time.
//!
//! Standard input is also the lifeline: at its end the engine exits, so an engine never outlives its
//! supervisor holding the store.

use serde::{Deserialize, Serialize};

/// First message on standard input: `u32` little-endian length, then this in bincode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Startup {
    /// Must equal `PROTOCOL_VERSION`.
    pub protocol_version: u32,
    /// The extension's version, which must equal the engine's.
    pub version: String,
    /// `pg_control`'s system identifier.
    pub system_identifier: u64,
    /// Path of the listening socket, relative to the data directory, which is the working directory.
    pub socket_path: String,
    /// Directory of the store; created with mode 0700 when absent.
    pub store_path: String,
    /// Where the ONNX Runtime library is.
    pub onnxruntime_path: String,
    /// Where recovery ended, or `None` while the server is in recovery: then nothing may be written
    /// to an index until a [`Control::RecoveryEnded`] arrives.
    pub recovery: Option<RecoveryEnd>,
    /// File the end of recovery is written in until the engine has noted it in the store: then the engine
    /// removes the file, before it takes entries.
    pub recovery_path: String,
    /// Settings that may change later.
    pub settings: Settings,
}

/// The end of the last recovery, or of an earlier one when no engine has run since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryEnd {
    /// Tells the server's lives apart: its timeline in the highest byte, below it when it was started.
    pub life: u64,
    /// End of the last record replayed; the first engine's start when the server was shut down cleanly.
    /// Entries stamped beyond it belong to transactions that never committed, or to another life of the
    /// server. 0: no entry is beyond.
    pub lsn: u64,
}

/// Later messages on standard input, framed like [`Startup`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// New settings after a reload.
    Settings(Settings),
    /// The server left recovery.
    RecoveryEnded(RecoveryEnd),
}

/// The GUCs the engine obeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `onyx.embed_threads`: threads of the shared ONNX session; 0 means all cores.
    pub embed_threads: u32,
    /// `onyx.engine_workers`: parallel parsing and index work; 0 means all cores.
    pub workers: u32,
    /// `onyx.memory_limit` in bytes: index graphs, vectors and caches together.
    pub memory_limit: u64,
    /// `onyx.max_file_size` in bytes.
    pub max_file_size: u64,
    /// `onyx.log_level` for the engine: `error`, `warn`, `info` or `debug`.
    pub log_level: String,
    /// `onyx.debug_stop_at`, see [`crate::steps`]; empty but in tests.
    pub stop_at: String,
}
