//! What two commits are compared with: their best common ancestor, or, where merges crossed and there are
//! several, a commit made of them.
//!
//! Ancestors are merged pairwise, the oldest first, each pair on a base of its own that is found in the same
//! way. What conflicts between two of them is left as a conflict in the text, so that it is one again for the
//! sides, unless both decided it alike; of a file that one deleted, or that both renamed, there is what was
//! before. The commit is made in a subtransaction that is always undone.

use std::panic::AssertUnwindSafe;

use pgrx::prelude::*;

use super::Sides;
use super::conflicts::{Decisions, Resolutions};
use super::files::{self, Merged};
use crate::error::Error;
use crate::history::change::About;
use crate::history::commits::Commits;
use crate::history::{apply, branches};

/// Ancestors that are merged; of more, those made last.
const MAX_BASES: usize = 8;
/// Bases of bases that are: below, the one made last is taken.
const MAX_DEPTH: usize = 4;
/// A name that no branch of a user's can have.
const BRANCH: &str = "#merge-base";

/// Calls `read` with the base of a merge whose best common ancestors are these, the latest first.
pub fn with<T>(
    repo: i64,
    name: &str,
    bases: &[i32],
    read: impl FnOnce(i32) -> Result<T, Error>,
) -> Result<T, Error> {
    match bases {
        [base] => read(*base),
        bases => {
            let done = undone(|| read(joined(repo, name, bases, 0)?));
            // The commits made of them never were.
            Commits::reread(repo);
            done
        }
    }
}

/// A commit made of several.
fn joined(repo: i64, name: &str, bases: &[i32], depth: usize) -> Result<i32, Error> {
    let mut oldest_first = bases[..bases.len().min(MAX_BASES)].iter().rev().copied();
    let mut made = oldest_first.next().unwrap_or_default();
    for next in oldest_first {
        pgrx::check_for_interrupts!();
        made = pair(repo, name, made, next, depth)?;
    }
    Ok(made)
}

fn pair(repo: i64, name: &str, ours: i32, theirs: i32, depth: usize) -> Result<i32, Error> {
    let base = match &Commits::of(repo)?.merge_bases(ours, theirs)[..] {
        [] => None,
        [base] => Some(*base),
        [latest, ..] if depth >= MAX_DEPTH => Some(*latest),
        bases => Some(joined(repo, name, bases, depth + 1)?),
    };
    let sides = Sides::read(repo, base, ours, theirs)?;
    let mut decisions = Decisions::new(Resolutions::marked(depth));
    let Merged { files, gone } = files::merge(&sides, &mut decisions)?;
    branches::advance(repo, BRANCH, ours)?;
    let about = About { branch: Some(BRANCH.into()), ..About::default() };
    let applied = apply::apply(repo, name, about, &[theirs], files, &gone)?;
    Ok(applied.commit.unwrap_or(ours))
}

/// Runs something in a subtransaction and undoes what it wrote, whether it succeeds or fails.
fn undone<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // SAFETY: a transaction is under way, since a function is called in it. The memory context and resource
    // owner from before are put back, as languages' handlers of exceptions do.
    let (context, owner) = unsafe {
        let before = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(before.0);
        before
    };
    PgTryBuilder::new(AssertUnwindSafe(work))
        // SAFETY: ends the subtransaction begun above: what `work` began within it has ended, or ends with it.
        .finally(|| unsafe {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::CurrentResourceOwner = owner;
        })
        .execute()
}
