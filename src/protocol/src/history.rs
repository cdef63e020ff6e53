//! A repository's history on its way from the engine to tables: commits, what each changed of files,
//! and what that means for symbols.
//!
//! The client opens a walk, learns which of its commits the engine has to know the state of, sends
//! those states, and reads commits in batches, parents before children. Ids the client has are positive
//! or zero; what the walk makes is numbered from 0 and travels as its complement (`!n`, so negative),
//! until the client gives it an id of its own. See [`made`].

use serde::{Deserialize, Serialize};

use crate::facts::{Language, NodeKind};
use crate::ingest::{ContentHash, Notice, SourceFile};

/// A git object id: 20 bytes (SHA-1) or 32 (SHA-256).
pub type ObjectId = Vec<u8>;

/// An id of the client's, or the complement of a number the walk gave.
pub type Reference = i64;

/// The number the walk gave, when it is not an id of the client's.
pub fn made(reference: Reference) -> Option<usize> {
    (reference < 0).then_some(!reference as usize)
}

/// Open a repository and plan a walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRequest {
    /// Absolute path of a repository: bare, or a work tree with its `.git`.
    pub path: String,
    /// Globs of branch names (without `refs/heads/`); empty means all.
    pub branches: Vec<String>,
    /// Leave out commits whose committer time is before this (seconds since 1970). The first commits
    /// kept then have no parents and begin with the whole tree.
    pub since: Option<i64>,
    /// Leave out commits whose committer time is after this.
    pub until: Option<i64>,
    /// Follow first parents only: what was merged is seen as one commit.
    pub first_parent: bool,
    /// Commits the client has.
    pub known: Vec<ObjectId>,
}

/// What a walk will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPlan {
    /// Commits the walk will bring.
    pub commits: u64,
    /// Known commits with children the walk will bring: their states have to be sent.
    pub bases: Vec<ObjectId>,
    /// Branches that match, with the commits they are at.
    pub branches: Vec<Ref>,
    /// The branch `HEAD` names, if it is one of them; else a guess: `main`, `master`, the only one.
    pub default_branch: Option<String>,
    /// Tags of commits, annotated or not.
    pub tags: Vec<Ref>,
    /// What cannot be read and is accounted for: shallow boundaries and the like.
    pub notes: Vec<String>,
}

/// A name and the commit it is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    /// Without `refs/heads/` and `refs/tags/`; lossy when it is not UTF-8.
    pub name: String,
    /// The commit.
    pub commit: ObjectId,
}

/// The state of a known commit, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryBase {
    /// The commit.
    pub commit: ObjectId,
    /// Source files at that commit.
    pub files: Vec<BaseFile>,
}

/// A source file of a known commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFile {
    /// Path below the repository's root.
    pub path: String,
    /// The client's id of its content.
    pub content: i64,
    /// The content's place in its chain of deltas; `None` when nothing may be a delta against it, because
    /// its definitions are another parser version's.
    pub chain: Option<u32>,
    /// Definitions that another parser version found, as `stored_facts` writes them: `nodes` are theirs.
    pub facts: Option<Vec<u8>>,
    /// The client's ids of its nodes: the file's own, then its definitions' by number.
    pub nodes: Vec<i64>,
}

/// A source file as it was, to be compared with what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Path, content and nodes.
    pub file: BaseFile,
    /// Its language.
    pub language: Language,
    /// Its text.
    pub text: Vec<u8>,
}

/// Two states of some files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// All files that change or go, as they were.
    pub old: Vec<StateFile>,
    /// All files that change or come.
    pub new: Vec<SourceFile>,
    /// Of a merge: what its other parents have at paths of `new`, a list for each.
    pub others: Vec<Vec<StateFile>>,
    /// Nodes of `others` that are in files which do not change.
    pub elsewhere: Vec<i64>,
}

/// A commit and what it changed, compared with its first parent. A merge commit's identities also come
/// from its other parents: what was made there keeps its node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryCommit {
    /// Its object id.
    pub id: ObjectId,
    /// Its parents' ids, in order; a parent beyond a shallow boundary or `since` is there all the same.
    pub parents: Vec<ObjectId>,
    /// Who wrote it.
    pub author: Signature,
    /// Who committed it.
    pub committer: Signature,
    /// The message, decoded; lossy where it is not text.
    pub message: String,
    /// Files in the order of their paths.
    pub files: Vec<FileChange>,
    /// Contents that appear here for the first time; numbered on through the walk.
    pub contents: Vec<NewContent>,
    /// Nodes that appear here for the first time: only how many.
    pub nodes: u32,
    /// Search texts that appear here for the first time; numbered on through the walk.
    pub search_texts: Vec<String>,
    /// Paths left out or read in part, and why; a submodule is one. An empty path stands for the commit
    /// itself: what of its names or message could not be decoded.
    pub notices: Vec<(String, Notice)>,
    /// Whether more of the commit follows: one that is too large for a frame comes in parts. Each part has
    /// id, parents, names and message; the lists go on, and nothing refers to a later part.
    pub more: bool,
}

/// Who and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Name, decoded.
    pub name: String,
    /// Address, decoded.
    pub email: String,
    /// Seconds since 1970.
    pub seconds: i64,
    /// Offset from UTC in seconds.
    pub offset: i32,
}

/// How a file differs from the first parent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileChangeKind {
    /// It was not there.
    Added,
    /// Other content.
    Modified,
    /// Another path, the content perhaps too.
    Renamed,
    /// It is gone.
    Deleted,
}

impl FileChangeKind {
    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Renamed => "renamed",
            Self::Deleted => "deleted",
        }
    }
}

/// A changed source file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileChange {
    /// How.
    pub kind: FileChangeKind,
    /// Path; the old one when it is gone.
    pub path: String,
    /// The path before a rename.
    pub old_path: Option<String>,
    /// Its content; `None` when it is gone.
    pub content: Option<Reference>,
    /// Name of the module the file is, from its path and content; empty when it is gone.
    pub module: String,
    /// Lines added and removed.
    pub lines: (u32, u32),
    /// Its nodes: the file's own, then its definitions' by number. Empty when it is gone.
    pub nodes: Vec<Reference>,
    /// What happened to its symbols; those of a deleted or renamed file's old path too.
    pub symbols: Vec<SymbolChange>,
}

/// A content that was not there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewContent {
    /// SHA-256 of the file's bytes.
    pub hash: ContentHash,
    /// SHA-256 of the decoded text when the file's bytes are not UTF-8: then that is what is stored.
    pub text_hash: Option<ContentHash>,
    /// Language it was parsed as.
    pub language: Language,
    /// Size of the file in bytes.
    pub size: u64,
    /// Number of lines.
    pub lines: u32,
    /// Place in its chain of deltas.
    pub chain: u32,
    /// The content its text and facts are deltas against.
    pub base: Option<Reference>,
    /// The text, compressed (`onyx_content`).
    pub text: Vec<u8>,
    /// Its definitions, as `stored_facts` encodes them, compressed in the same way.
    pub facts: Vec<u8>,
}

/// What happened to a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SymbolChangeKind {
    /// It was not there.
    Created,
    /// Its text, documentation, signature, attributes or visibility differ.
    Modified,
    /// Its name, or the name of what contains it.
    Renamed,
    /// Its file.
    Moved,
    /// It is gone.
    Deleted,
}

impl SymbolChangeKind {
    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Modified => "modified",
            Self::Renamed => "renamed",
            Self::Moved => "moved",
            Self::Deleted => "deleted",
        }
    }
}

/// One symbol's change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SymbolChange {
    /// Its node.
    pub node: Reference,
    /// How: the strongest of renamed, moved, modified where several fit.
    pub kind: SymbolChangeKind,
    /// Whether its text differs too.
    pub body_changed: bool,
    /// How it was recognised: 1 by name; less by how alike bodies are, 0 to 1; `None` for created and
    /// deleted.
    pub similarity: Option<f32>,
    /// Number of the definition in the file; `None` when it is gone, and for the file's own node.
    pub ordinal: Option<u32>,
    /// What it is (was, when it is gone); `None` for the file's own node.
    pub symbol: Option<NodeKind>,
    /// Its name.
    pub name: String,
    /// Its qualified name, module included; the path for a file's own node.
    pub qualified_name: String,
    /// Lines of its text; 0 when it is gone.
    pub lines: u32,
    /// Lines added to and removed from its text.
    pub changed_lines: (u32, u32),
    /// What is searched of it, as the complement of its number; `None` when nothing is.
    pub search_text: Option<Reference>,
}
