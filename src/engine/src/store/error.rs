//! What can go wrong with the store, and what a client is told.

use std::path::{Path, PathBuf};

use onyx_protocol::{ErrorKind, WireError};

/// An error of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused: disk full, no permission, bad device.
    #[error("could not {action} the store")]
    Io {
        /// "open", "read", "write", "sync", "copy".
        action: &'static str,
        /// The system's or RocksDB's words.
        cause: String,
    },
    /// Another process holds it.
    #[error("the store \"{}\" is in use by another process", path.display())]
    InUse {
        /// Its directory.
        path: PathBuf,
    },
    /// Bytes are not what was written. The store is derivable: it may be moved aside.
    #[error("the store is damaged")]
    Corrupt {
        /// What was found.
        cause: String,
    },
    /// Written by a later version.
    #[error("the store has format {found}, this engine reads up to {known}")]
    Version {
        /// What the store says.
        found: String,
        /// The newest this engine knows.
        known: u32,
    },
}

impl StoreError {
    pub(super) fn io(action: &'static str, cause: &impl ToString) -> Self {
        Self::Io { action, cause: cause.to_string() }
    }

    pub(super) fn corrupt(cause: impl Into<String>) -> Self {
        Self::Corrupt { cause: cause.into() }
    }

    pub(super) fn in_use(path: &Path) -> Self {
        Self::InUse { path: path.to_owned() }
    }
}

impl From<StoreError> for WireError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Io { cause, .. } => WireError::new(ErrorKind::StoreIo, message)
                .detail(format!("The system reports: {cause}."))
                .hint("Check free space and permissions of the store's directory."),
            StoreError::InUse { .. } => WireError::new(ErrorKind::StoreIo, message)
                .hint("Another engine may still be ending; it is tried again."),
            StoreError::Corrupt { cause } => WireError::new(ErrorKind::StoreCorrupt, message)
                .detail(format!("RocksDB reports: {cause}."))
                .hint("Everything in the store can be made again from the database."),
            StoreError::Version { .. } => WireError::new(ErrorKind::VersionMismatch, message)
                .hint("Install the newer engine again, or move the store's directory aside."),
        }
    }
}
