//! The history of a git repository: which commits there are, and what each changes of files and symbols.
//!
//! Owns reading repositories (without the git program, and without obeying anything they say beyond the
//! format), the order of a walk, and lineage: which definition of a commit is which of its parent's. Knows
//! the parsers, and neither sockets nor store nor PostgreSQL.
//!
//! | file | owns |
//! |---|---|
//! | `repository` | a repository on disk, its objects |
//! | `refs`, `object` | branches and tags; commits as they are |
//! | `plan` | which commits, in what order |
//! | `diff` | the source files that differ between two trees |
//! | `source`, `cache` | blobs as text and definitions, parsed on all cores |
//! | `snapshot` | the files of a commit, shared between commits |
//! | `work`, `renames` | changed files, and which are one under another path |
//! | `lineage`, `members`, `search`, `similarity` | which definition became which |
//! | `adopt` | what a merge takes over from its other parents |
//! | `symbols`, `lines` | what happened to symbols; how many lines |
//! | `changes` | a commit's changes as messages |
//! | `walk`, `batch` | the threads, the order; messages of bounded size |
//! | `compare` | the same of files in memory |
//!
//! What a walk brings:
//!
//! * Source files are those a walk of a checkout would read (`diff` says the exceptions), and definitions those
//!   its parse would give. Text is taken as it is stored: line ends are the repository's own, not a checkout's.
//! * A commit is compared with its first parent; one whose first parent is left out (shallow, `since`) begins
//!   with the whole tree. A merge takes what is new to the first parent from the others, with its nodes.
//! * The same commits give the same changes, whether they come in one walk or in several.
//! * Memory does not grow with the length of the history: a commit's state lives until its last child is done,
//!   shares what it has in common with others, and everything else is in caches of fixed size. The plan has
//!   some 100 bytes a commit.
//!
//! Objects that are missing end the walk with an error: what was brought until then stays right.

mod adopt;
mod batch;
mod cache;
mod changes;
mod compare;
mod diff;
mod lineage;
mod lines;
mod members;
mod object;
mod plan;
mod refs;
mod renames;
mod repository;
mod search;
mod similarity;
mod snapshot;
mod source;
mod symbols;
mod walk;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gix_hash::ObjectId;
use onyx_protocol::history::{
    BaseFile, HistoryBase, HistoryCommit, HistoryPlan, HistoryRequest, ObjectId as WireId, Ref,
};
use onyx_protocol::{ErrorKind, WireError};

pub use compare::compare;

use crate::parse::Limits;
use plan::Plan;
use repository::Repository;

/// A repository whose history is about to be walked.
pub struct History {
    repository: Repository,
    plan: Plan,
    bases: HashMap<ObjectId, Vec<BaseFile>>,
}

fn wire(id: &ObjectId) -> WireId {
    id.as_slice().to_vec()
}

impl History {
    /// Opens a repository and plans a walk.
    pub fn open(
        request: &HistoryRequest,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(Self, HistoryPlan), WireError> {
        let repository = Repository::open(&request.path)?;
        let names = refs::read(&repository, &request.branches)?;
        let plan = plan::plan(&repository, request, &names, cancelled)?;
        let mut notes = names.notes;
        if plan.shallow > 0 {
            notes.push(format!(
                "the repository is shallow: {} commits begin with their whole tree",
                plan.shallow
            ));
        }
        if repository.is_partial {
            notes.push("the repository is a partial clone: a missing object ends the walk".into());
        }
        let to_ref = |named: refs::Named| Ref { name: named.name, commit: wire(&named.commit) };
        let planned = HistoryPlan {
            commits: plan.commits.len() as u64,
            bases: plan.bases.iter().map(wire).collect(),
            branches: names.branches.into_iter().map(to_ref).collect(),
            default_branch: names.default_branch,
            tags: names.tags.into_iter().map(to_ref).collect(),
            notes,
        };
        Ok((Self { repository, plan, bases: HashMap::new() }, planned))
    }

    /// Takes the state of a commit the plan asks for, or a part of it.
    pub fn base(&mut self, base: HistoryBase) -> Result<(), WireError> {
        let id = ObjectId::try_from(base.commit.as_slice()).ok();
        let id = id.filter(|id| self.plan.bases.contains(id)).ok_or_else(|| {
            WireError::new(ErrorKind::InvalidRequest, "the walk did not ask for that commit")
        })?;
        self.bases.entry(id).or_default().extend(base.files);
        Ok(())
    }

    /// Walks with `workers` threads, and hands commits to `emit`, parents before children, in batches of
    /// about `STREAM_BATCH_BYTES`. While `emit` blocks, the walk does. An error of `emit` ends the walk and
    /// is returned.
    pub fn walk(
        self,
        limits: &Limits,
        workers: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
        emit: &mut dyn FnMut(Vec<HistoryCommit>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        walk::walk(&self.repository, &self.plan, self.bases, limits, workers, cancelled, emit)
    }
}

/// Whether a walk is still wanted. Once cancelled, always cancelled: all threads see the same.
struct Canceller<'a> {
    cancelled: &'a (dyn Fn() -> bool + Sync),
    stop: AtomicBool,
}

impl<'a> Canceller<'a> {
    fn new(cancelled: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { cancelled, stop: AtomicBool::new(false) }
    }

    fn is_cancelled(&self) -> bool {
        if !self.stop.load(Ordering::Relaxed) && (self.cancelled)() {
            self.stop();
        }
        self.stop.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), WireError> {
        if self.is_cancelled() {
            return Err(WireError::new(ErrorKind::Canceled, "reading the history was canceled"));
        }
        Ok(())
    }
}

/// A lock whatever became of who held it: what it guards is whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
