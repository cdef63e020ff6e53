//! A repository's commits in a session's memory: who descends from whom, without a query a step.
//!
//! Commits change only when some are forgotten, which gives their repository another epoch, and their ids
//! are never used again. So what was read once stays true within an epoch; a call reads only those that
//! came since. A commit of a transaction that was rolled back may stay here: no row names it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use pgrx::prelude::*;

use crate::error::Error;
use crate::query;

/// No commit.
const NONE: u32 = u32::MAX;
/// Repositories kept; more are forgotten together.
const MAX_REPOSITORIES: usize = 16;

thread_local! {
    static KEPT: RefCell<HashMap<i64, Rc<Commits>>> = RefCell::default();
}

/// The commits of a repository.
#[derive(Default, Clone)]
pub struct Commits {
    epoch: i64,
    /// In ascending order; the others go with it.
    ids: Vec<i32>,
    parents: Vec<u32>,
    depths: Vec<u32>,
    /// An ancestor further up: following these and parents, any ancestor is found in a logarithmic
    /// number of steps (Myers, An applicative random-access stack, 1983).
    jumps: Vec<u32>,
    /// Parents but the first, of commits that have some.
    merged: HashMap<u32, Vec<u32>>,
}

impl Commits {
    /// Those of a repository that the caller's snapshot shows.
    pub fn of(repo: i64) -> Result<Rc<Self>, Error> {
        let kept = KEPT.with_borrow(|kept| kept.get(&repo).cloned());
        let last = kept.as_ref().and_then(|commits| commits.ids.last().copied()).unwrap_or(0);
        let (mut newest, mut epoch) = (None, None);
        query::latest(
            // In order, or the plan reads all commits: it does not know that there is seldom a newer one.
            c"SELECT (SELECT c.id FROM onyx.commits c WHERE c.repo_id = $1 AND c.id > $2 ORDER BY c.id LIMIT 1),
                     (SELECT r.history_epoch FROM onyx.repos r WHERE r.id = $1)",
            &[(pg_sys::INT8OID, repo.into_datum()), (pg_sys::INT4OID, last.into_datum())],
            &mut |row| {
                (newest, epoch) = (row.get::<i32>(1), row.get::<i64>(2));
                ControlFlow::Break(())
            },
        )?;
        let epoch = epoch.unwrap_or_default();
        let kept = kept.filter(|kept| kept.epoch == epoch);
        if let Some(kept) = &kept
            && newest.is_none()
        {
            return Ok(kept.clone());
        }
        let last = if kept.is_some() { last } else { 0 };
        let mut commits = kept.as_deref().cloned().unwrap_or_default();
        commits.epoch = epoch;
        commits.read(repo, last)?;
        let commits = Rc::new(commits);
        KEPT.with_borrow_mut(|kept| {
            if kept.len() >= MAX_REPOSITORIES && !kept.contains_key(&repo) {
                kept.clear();
            }
            kept.insert(repo, commits.clone());
        });
        Ok(commits)
    }

    /// Reads a repository's commits anew when they are next asked for.
    pub fn reread(repo: i64) {
        KEPT.with_borrow_mut(|kept| _ = kept.remove(&repo));
    }

    fn read(&mut self, repo: i64, last: i32) -> Result<(), Error> {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT id, parent_id, depth FROM onyx.commits
                 WHERE repo_id = $1 AND id > $2 ORDER BY id",
                None,
                &[repo.into(), last.into()],
            )?;
            for row in rows {
                let (Some(id), parent) = (row.get::<i32>(1)?, row.get::<i32>(2)?) else { continue };
                self.push(id, parent, row.get::<i32>(3)?.unwrap_or_default() as u32);
            }
            let rows = client.select(
                "SELECT p.commit_id, p.parent_id FROM onyx.commit_parents p
                 JOIN onyx.commits c ON c.id = p.commit_id
                 WHERE c.repo_id = $1 AND p.commit_id > $2 AND p.ordinal > 0 AND p.parent_id IS NOT NULL
                 ORDER BY p.commit_id, p.ordinal",
                None,
                &[repo.into(), last.into()],
            )?;
            for row in rows {
                let commit = row.get::<i32>(1)?.and_then(|id| self.place(id));
                let parent = row.get::<i32>(2)?.and_then(|id| self.place(id));
                if let (Some(commit), Some(parent)) = (commit, parent) {
                    self.merged.entry(commit).or_default().push(parent);
                }
            }
            Ok(())
        })
    }

    fn push(&mut self, id: i32, parent: Option<i32>, depth: u32) {
        let place = self.ids.len() as u32;
        let parent = parent.and_then(|id| self.place(id)).unwrap_or(NONE);
        let jump = match self.jumps.get(parent as usize) {
            None => place,
            Some(&up) => {
                let further = self.jumps[up as usize];
                let depth_of = |at: u32| self.depths[at as usize];
                if depth_of(parent) - depth_of(up) == depth_of(up) - depth_of(further) {
                    further
                } else {
                    parent
                }
            }
        };
        self.ids.push(id);
        self.parents.push(parent);
        self.depths.push(depth);
        self.jumps.push(jump);
    }

    fn place(&self, id: i32) -> Option<u32> {
        self.ids.binary_search(&id).ok().map(|place| place as u32)
    }

    /// What changes when commits are forgotten.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// All of them, in ascending order.
    pub fn ids(&self) -> &[i32] {
        &self.ids
    }

    /// Those a commit descends from along all parents, and itself, in ascending order.
    pub fn ancestors(&self, id: i32) -> Vec<i32> {
        let Some(place) = self.place(id) else { return Vec::new() };
        let mut is_one = vec![false; place as usize + 1];
        is_one[place as usize] = true;
        // Parents come before children.
        for at in (0..=place).rev() {
            if is_one[at as usize] {
                for parent in self.parents_of(at) {
                    is_one[parent as usize] = true;
                }
            }
        }
        let ids = self.ids.iter().zip(is_one);
        ids.filter(|(_, is_one)| *is_one).map(|(id, _)| *id).collect()
    }

    /// Steps to a commit without a first parent.
    pub fn depth(&self, id: i32) -> Option<u32> {
        self.place(id).map(|place| self.depths[place as usize])
    }

    /// All parents, the first one first.
    pub fn parents(&self, id: i32) -> Vec<i32> {
        let Some(place) = self.place(id) else { return Vec::new() };
        let first = self.parents[place as usize];
        let first = (first != NONE).then_some(first);
        let merged = self.merged.get(&place).into_iter().flatten().copied();
        first.into_iter().chain(merged).map(|place| self.ids[place as usize]).collect()
    }

    /// The first parent.
    pub fn first_parent(&self, id: i32) -> Option<i32> {
        let parent = self.parents[self.place(id)? as usize];
        self.ids.get(parent as usize).copied()
    }

    /// Whether `ancestor` is met, itself included, when first parents are followed from `commit`.
    pub fn is_on_line(&self, ancestor: i32, commit: i32) -> bool {
        let (Some(ancestor), Some(mut at)) = (self.place(ancestor), self.place(commit)) else {
            return false;
        };
        let goal = self.depths[ancestor as usize];
        while self.depths[at as usize] > goal {
            let jump = self.jumps[at as usize];
            at = if self.depths[jump as usize] >= goal { jump } else { self.parents[at as usize] };
            if at == NONE {
                return false;
            }
        }
        at == ancestor
    }

    /// Whether `ancestor` is met, itself included, when all parents are followed from `commit`.
    pub fn is_ancestor(&self, ancestor: i32, commit: i32) -> bool {
        if self.is_on_line(ancestor, commit) {
            return true;
        }
        let (Some(ancestor), Some(commit)) = (self.place(ancestor), self.place(commit)) else {
            return false;
        };
        // Parents come before children, so nothing below the ancestor's place can lead to it.
        let mut seen = std::collections::HashSet::from([commit]);
        let mut open = vec![commit];
        while let Some(at) = open.pop() {
            if at == ancestor {
                return true;
            }
            for parent in self.parents_of(at) {
                if parent >= ancestor && seen.insert(parent) {
                    open.push(parent);
                }
            }
        }
        false
    }

    fn parents_of(&self, place: u32) -> impl Iterator<Item = u32> + '_ {
        let first = self.parents[place as usize];
        let merged = self.merged.get(&place).into_iter().flatten().copied();
        (first != NONE).then_some(first).into_iter().chain(merged)
    }

    /// The best common ancestors of two commits: those that no other common ancestor descends from,
    /// the latest first. More than one only where merges crossed.
    pub fn merge_bases(&self, one: i32, other: i32) -> Vec<i32> {
        const ONE: u8 = 1;
        const OTHER: u8 = 2;
        const STALE: u8 = 4;
        let (Some(one), Some(other)) = (self.place(one), self.place(other)) else {
            return Vec::new();
        };
        // By place, the latest first: children are settled before their parents.
        let mut marks: HashMap<u32, u8> = HashMap::new();
        let mut open = std::collections::BTreeSet::new();
        for (place, mark) in [(one, ONE), (other, OTHER)] {
            *marks.entry(place).or_default() |= mark;
            open.insert(place);
        }
        let mut bases = Vec::new();
        while let Some(at) = open.pop_last() {
            let mark = marks[&at];
            let both = mark & (ONE | OTHER) == ONE | OTHER;
            if both && mark & STALE == 0 {
                bases.push(self.ids[at as usize]);
            }
            let passed = if both { mark | STALE } else { mark };
            for parent in self.parents_of(at).collect::<Vec<_>>() {
                *marks.entry(parent).or_default() |= passed;
                open.insert(parent);
            }
            // Only what is below a base already is left.
            if !bases.is_empty() && open.iter().all(|place| marks[place] & STALE != 0) {
                break;
            }
        }
        bases
    }
}
