//! Reading source: one file from the client, or a tree of the server's.

use serde::{Deserialize, Serialize};

use crate::facts::{FileFacts, Language};

/// SHA-256 of a file's bytes.
pub type ContentHash = [u8; 32];

/// A file the client already has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFile {
    /// Path below the root, `/`-separated.
    pub path: String,
    /// Hash of the content the client has.
    pub hash: ContentHash,
}

/// A file to parse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Path below the repository's root.
    pub path: String,
    /// Its language.
    pub language: Language,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Walk a tree, parse what is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkRequest {
    /// Absolute path of the tree.
    pub root: String,
    /// Globs a path must match one of; empty means all.
    pub include: Vec<String>,
    /// Globs a path must match none of.
    pub exclude: Vec<String>,
    /// What the client has: reported as `Unchanged` and not parsed when the hash is the same.
    pub known: Vec<KnownFile>,
}

/// Why a file was not parsed (or only in part), as `onyx.ingest_errors.reason` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SkipReason {
    /// Larger than the limit.
    TooLarge,
    /// Has NUL bytes among its first 8 kB or looks like no text at all.
    Binary,
    /// Marked as generated, or minified.
    Generated,
    /// Not a regular file: a FIFO, a socket, a device.
    NotRegular,
    /// The operating system refused to open or read it.
    PermissionDenied,
    /// It was listed, then gone.
    Vanished,
    /// A symbolic link that leads back into the path to itself.
    SymlinkLoop,
    /// Its path is not valid UTF-8.
    BadPath,
    /// Nested deeper than the parser's limit; the part below was left out.
    TooDeep,
    /// Parsing took longer than the limit.
    Timeout,
    /// A submodule: recorded, not followed.
    Submodule,
    /// A Git LFS pointer in place of the file.
    LfsPointer,
    /// Any other error while reading.
    Io,
    /// Not valid UTF-8; decoded as Windows-1252 or with replacement characters, and parsed.
    Decoded,
    /// The parser met syntax errors; the rest was parsed.
    SyntaxError,
}

impl SkipReason {
    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Binary => "binary",
            Self::Generated => "generated",
            Self::NotRegular => "not_regular",
            Self::PermissionDenied => "permission_denied",
            Self::Vanished => "vanished",
            Self::SymlinkLoop => "symlink_loop",
            Self::BadPath => "bad_path",
            Self::TooDeep => "too_deep",
            Self::Timeout => "timeout",
            Self::Submodule => "submodule",
            Self::LfsPointer => "lfs_pointer",
            Self::Io => "io_error",
            Self::Decoded => "decoded",
            Self::SyntaxError => "syntax_error",
        }
    }

    /// Whether the file was left out whole. The others were parsed as far as possible.
    pub fn is_skip(self) -> bool {
        !matches!(self, Self::TooDeep | Self::Decoded | Self::SyntaxError)
    }
}

/// Something to account for about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What kind.
    pub reason: SkipReason,
    /// The particulars, for people.
    pub detail: String,
    /// First line concerned, from 1; 0 when the whole file is.
    pub line: u32,
}

/// A file that was read and parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedFile {
    /// Path below the root.
    pub path: String,
    /// SHA-256 of its bytes.
    pub hash: ContentHash,
    /// Its size in bytes.
    pub size: u64,
    /// Its number of lines.
    pub lines: u32,
    /// Its language.
    pub language: Language,
    /// Name of the module the file is, from its place in the tree: `requests.cookies`,
    /// `crate::store::keys`, `net/http` (Go: the package clause), `org.slf4j` (Java), `src/a/b`
    /// (JavaScript and TypeScript: the path without extension and `/index`). May be empty.
    pub module: String,
    /// What is in it.
    pub facts: FileFacts,
    /// For each definition the text that is searched, or an empty string when it is not worth one.
    pub search_texts: Vec<String>,
    /// What other files can see of its names: `code::Interface`, encoded.
    #[serde(with = "crate::bytes")]
    pub interface: Vec<u8>,
    /// What resolves its references: `code::Body`, encoded.
    #[serde(with = "crate::bytes")]
    pub body: Vec<u8>,
    /// Tables that strings of SQL in it name.
    pub sql: Vec<SqlReference>,
    /// What was wrong with it.
    pub notices: Vec<Notice>,
    /// What history keeps of it; only of files that are read to be kept.
    pub kept: Option<KeptFile>,
}

/// A file as history keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The decoded text, a whole frame of `onyx_content`.
    pub text: Vec<u8>,
    /// SHA-256 of the decoded text when the file's bytes are not UTF-8.
    pub text_hash: Option<ContentHash>,
    /// The definitions as `stored_facts` encodes them, a whole frame.
    pub facts: Vec<u8>,
}

/// A table that a string of SQL names. Names are as SQL has them: in lower case unless they were in quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlReference {
    /// Number of the innermost definition the string stands in; `None`: in none.
    pub definition: Option<u32>,
    /// Line of the table's name, from 1.
    pub line: u32,
    /// Column of the table's name, from 1, in bytes.
    pub column: u32,
    /// Its schema; empty when that is not named.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Names that are columns of it if they are any.
    pub columns: Vec<String>,
    /// Names that may be columns of it or of another table of the statement.
    pub possible: Vec<String>,
}

/// What became of one path of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WalkItem {
    /// New or changed.
    Parsed(Box<ParsedFile>),
    /// Same content as the client has.
    Unchanged {
        /// Path below the root.
        path: String,
    },
    /// Left out.
    Skipped {
        /// Path below the root; lossy when it is not UTF-8.
        path: String,
        /// Why.
        notice: Notice,
    },
}

/// Totals of a walk, when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct WalkSummary {
    /// Paths with a known language that were looked at.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Seconds of all threads together spent reading and hashing.
    pub read_seconds: f64,
    /// Seconds of all threads together spent parsing.
    pub parse_seconds: f64,
}
