//! What the extension and the engine both know: frames, messages, limits and the version.
//!
//! The only crate either side shares. It has no C or C++ below it and knows neither PostgreSQL nor
//! RocksDB. `codec` is the one place that names bincode.

mod bytes;
pub mod code;
pub mod codec;
pub mod error;
pub mod facts;
pub mod frame;
pub mod history;
pub mod index;
pub mod ingest;
pub mod limits;
pub mod message;
pub mod model;
pub mod numbers;
pub mod startup;
pub mod steps;
pub mod stored_facts;
pub mod stored_symbols;

pub use error::{ErrorKind, WireError};

/// Raised whenever a message, frame or fact changes shape. Both sides must agree exactly: they are
/// installed together, so a difference means a half-finished upgrade.
pub const PROTOCOL_VERSION: u32 = 7;
