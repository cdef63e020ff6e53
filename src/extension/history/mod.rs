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
//! | `git`, `record`, `rows`, `intern` | a git repository's history to rows |
//! | `branches` | branches and tags |
//! | `change`, `merged_nodes` | commits that git knows nothing of |
//! | `forget`, `fold` | commits that go, and what of them those that stay take over |
//! | `head` | the default branch's head as what the graph shows |
//! | `state` | the nodes of a commit |
//! | `version` | one node at a commit |
//! | `views` | what views of history are made of |

mod at;
mod branches;
pub mod change;
mod commits;
mod contents;
mod fold;
mod forget;
mod git;
pub mod head;
mod intern;
mod merged_nodes;
mod numbers;
mod record;
mod rows;
mod snapshot;
mod state;
mod version;
mod views;

pub use state::places as directories;
