//! The Onyx engine: everything native that is heavy or meets untrusted input, in a process of its
//! own beside PostgreSQL.
//!
//! ```text
//! server -> walk -> parse
//!        -> history -> parse
//!        -> resolve
//!        -> embed
//!        -> index -> store
//! ```
//!
//! Arrows are checked by `scripts/check-arrows`. No room knows the one that points at it.

pub mod embed;
pub mod history;
pub mod index;
pub mod parse;
pub mod resolve;
pub mod server;
mod steps;
pub mod store;
pub mod walk;
