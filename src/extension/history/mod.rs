//! History: commits, versions of files and symbols, branches.
//!
//! Rows of a commit say what it changed, compared with its first parent; so the state at any commit is
//! the last word on each path along its line of first parents.
//!
//! | module | owns |
//! |---|---|
//! | `at` | what a branch, tag, hash or time names |
//! | `commits` | who descends from whom |
//! | `snapshot` | the files of a commit |
//! | `contents` | texts and definitions out of their chains |
//! | `symbol_changes` | versions of symbols, packed |
//! | `git`, `record`, `rows`, `intern` | a git repository's history to rows |
//! | `branches` | branches and tags |
//! | `change` | commits that git knows nothing of |
//! | `forget`, `fold` | commits that go, and what of them those that stay take over |
//! | `head` | the default branch's head as what the graph shows |
//! | `state` | the nodes of a commit |
//! | `edges` | its edges |
//! | `past` | its graph in memory |
//! | `symbols` | its nodes in memory, with what is searched of them |
//! | `search`, `nearest` | search among them |
//! | `version` | one node at a commit |
//! | `diff`, `blame` | what differs between two commits; which commit a line is from |
//! | `apply`, `patch` | files that are made here, to commits |
//! | `merge` | merges of branches |
//! | `views` | what views of history are made of |

mod apply;
mod at;
mod blame;
mod branches;
pub mod change;
mod commits;
mod contents;
mod diff;
mod edges;
mod fold;
mod forget;
mod git;
pub mod head;
mod intern;
mod merge;
mod nearest;
pub mod past;
mod patch;
mod record;
mod rows;
mod search;
mod snapshot;
pub mod state;
mod symbol_changes;
pub mod symbols;
mod version;
mod views;

pub use state::places as directories;
