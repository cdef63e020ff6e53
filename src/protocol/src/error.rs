//! Errors that cross the socket.

use serde::{Deserialize, Serialize};

/// What went wrong, in the terms the extension needs to choose an SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The request was cancelled by the client or its connection closed.
    Canceled,
    /// The request's deadline passed.
    DeadlineExceeded,
    /// The request breaks a limit or carries values that cannot be right.
    InvalidRequest,
    /// A file, directory or model that was named does not exist.
    NotFound,
    /// The operating system refused access to a named file.
    PermissionDenied,
    /// A named file exists but is not what was asked for (not a directory, not a model).
    WrongObject,
    /// The generation is unknown, stale or still loading.
    GenerationUnusable,
    /// The model could not be loaded or run.
    Model,
    /// The disk is full or the store could not be written.
    StoreIo,
    /// The store is damaged.
    StoreCorrupt,
    /// A memory or size limit of the engine was reached.
    ResourceExhausted,
    /// The two sides are of different versions.
    VersionMismatch,
    /// A defect of the engine.
    Internal,
}

/// An error as the engine reports it. `detail` and `hint` follow PostgreSQL's message style:
/// detail says what exactly happened, hint what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// Category.
    pub kind: ErrorKind,
    /// Primary message: lower case, no full stop.
    pub message: String,
    /// Complete sentences, or empty.
    pub detail: String,
    /// Complete sentences, or empty.
    pub hint: String,
}

impl WireError {
    /// An error with a message only.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: String::new(), hint: String::new() }
    }

    /// Adds the detail.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds the hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}
