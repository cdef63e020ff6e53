//! From the bytes of one file to the facts of `onyx_protocol::facts`: definitions, documentation, the
//! names and texts they are found by. Everything here is a pure function of language, path and
//! content; the room knows nothing of trees on disk, sockets, stores or PostgreSQL.
//!
//! What a definition is, each language says in `queries/<language>.scm` (`ecmascript.scm` is the part
//! that JavaScript and TypeScript share); what a query cannot say (visibility, qualified names,
//! documentation) is in `languages/<language>.rs`. One walk of the tree finds the captures (`found`),
//! one sweep over them in byte order makes the facts (`extract`). Nothing recurses on the depth of the
//! source.
//!
//! Manifests (`go.mod`, `Cargo.toml`, `package.json`, `tsconfig.json`) have no definitions; what they say of
//! names and paths is in their interface (`manifest`).
//!
//! Positions are bytes and lines of the decoded text. Of a UTF-8 file that is the file itself, a byte
//! order mark included; of a file in another encoding it is its text as UTF-8.

mod code;
mod comments;
mod decode;
mod extract;
mod file;
mod found;
mod generated;
mod grammar;
mod languages;
mod manifest;
mod module_name;
mod recover;
mod search_text;
mod signature;
mod site;
mod sql;
mod text;
mod unwrap;
mod watch;
mod words;

use std::time::Duration;

use onyx_protocol::limits::MAX_FILE_BYTES;

pub use extract::{Parsed, parse, parse_whole};
pub use file::{Content, facts_bytes, parse_content, parse_file, parse_to_keep, skipped_by_name};
pub use module_name::module_name;
pub use search_text::search_text;
pub use words::split_identifier;

/// Bounds on one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes. What is larger is skipped.
    pub max_bytes: usize,
    /// Deepest nesting of definitions. What lies deeper is left out; nesting of anything else is
    /// bounded by time alone.
    pub max_depth: u32,
    /// Longest time one file may take.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: MAX_FILE_BYTES, max_depth: 100, timeout: Duration::from_secs(10) }
    }
}
