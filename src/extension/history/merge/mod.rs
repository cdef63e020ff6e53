//! `onyx.merge`: three-way, by files and lines, with conflicts named by symbols.
//!
//! | module | owns |
//! |---|---|
//! | `base` | what two commits are compared with; one made of several where merges crossed |
//! | `files` | which file is which, its path and its text |
//! | `lines` | texts that both sides changed |
//! | `references` | references of one side to what the other one deleted or renamed |
//! | `conflicts` | conflicts and what was decided about them |

mod base;
pub mod conflicts;
mod files;
mod lines;
mod references;

use pgrx::prelude::*;

use self::conflicts::{Decisions, Resolution, Resolutions};
use self::files::Merged;
use super::apply;
use super::change::About;
use super::commits::Commits;
use super::diff::Side;
use super::snapshot::Snapshot;
use super::{at, branches, head};
use crate::error::{Error, OrRaise};
use crate::progress::{Phase, Progress};
use crate::{client, ingest};

/// What becomes of conflicts that nobody resolved.
#[derive(Clone, Copy, PartialEq)]
enum Strategy {
    /// They are recorded, and nothing is merged.
    Ask,
    /// Ours stays.
    Ours,
    /// Theirs is taken.
    Theirs,
}

#[allow(clippy::too_many_arguments)]
#[pg_extern(sql = false)]
fn merge(
    repo: Option<&str>,
    source: Option<&str>,
    into: Option<&str>,
    strategy: Option<&str>,
    author: Option<&str>,
    authored_at: Option<pgrx::datum::TimestampWithTimeZone>,
    message: Option<&str>,
) -> TableIterator<
    'static,
    (name!(commit_id, Option<i32>), name!(fast_forward, bool), name!(conflicts, i32)),
> {
    ingest::prevent_in_read_only(c"onyx.merge()");
    let (Some(repo), Some(source)) = (repo, source) else { return TableIterator::empty() };
    let strategy = match strategy {
        None => Strategy::Ask,
        Some("ours") => Strategy::Ours,
        Some("theirs") => Strategy::Theirs,
        Some(other) => {
            let error = Error::sql(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("strategy \"{other}\" is none"),
            );
            return Err(error.with_hint("Strategies are ours and theirs; NULL records conflicts."))
                .or_raise();
        }
    };
    let done = About::new(into, author, authored_at, message)
        .and_then(|about| run(repo, source, strategy, about));
    TableIterator::once(done.or_raise())
}

fn run(
    name: &str,
    source: &str,
    strategy: Strategy,
    mut about: About,
) -> Result<(Option<i32>, bool, i32), Error> {
    // Before anything is read: what is read is locked.
    let repo = ingest::rows::existing(name)?;
    let all = branches::all(repo)?;
    let into = match &about.branch {
        Some(branch) => branch.clone(),
        None => all
            .iter()
            .find(|(_, branch)| branch.is_default)
            .map(|(name, _)| name.clone())
            .unwrap_or_default(),
    };
    let branch = branches::find(repo, &into)?;
    let (ours, theirs) = (branch.commit, at::commit(repo, Some(source))?);
    let commits = Commits::of(repo)?;
    if commits.is_ancestor(theirs, ours) {
        conflicts::forget(repo, &into)?;
        return Ok((Some(ours), false, 0));
    }
    client::wait_for_start();
    if commits.is_ancestor(ours, theirs) {
        conflicts::forget(repo, &into)?;
        branches::advance(repo, &into, theirs)?;
        if branch.is_default {
            let mut progress = Progress::begin(Phase::Ingesting, name);
            head::show(repo, name, theirs, &mut progress)?;
        }
        return Ok((Some(theirs), true, 0));
    }
    let bases = commits.merge_bases(ours, theirs);
    let Some(latest) = bases.first().copied() else {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("\"{source}\" and branch \"{into}\" have no commit in common"),
        ));
    };
    let resolutions = match strategy {
        Strategy::Ask => conflicts::resolutions(repo, &into, ours, theirs)?,
        Strategy::Ours => Resolutions::all(Resolution::Ours),
        Strategy::Theirs => Resolutions::all(Resolution::Theirs),
    };
    let (merged, found) = base::with(repo, name, &bases, |base| {
        let sides = Sides::read(repo, Some(base), ours, theirs)?;
        let mut decisions = Decisions::new(resolutions);
        let merged = files::merge(&sides, &mut decisions)?;
        references::check(name, [base, ours, theirs], &sides, &mut decisions)?;
        Ok((merged, decisions.made))
    })?;
    let open = found.iter().filter(|(_, resolution)| resolution.is_none()).count();
    if open > 0 {
        conflicts::record(repo, &into, latest, ours, theirs, &found)?;
        return Ok((None, false, open as i32));
    }
    conflicts::forget(repo, &into)?;
    about.message.get_or_insert_with(|| format!("Merge {source} into {into}"));
    about.branch = Some(into);
    let Merged { files, gone } = merged;
    let applied = apply::apply(repo, name, about, &[theirs], files, &gone)?;
    Ok((applied.commit, false, 0))
}

/// The files that differ between what is merged, on each side.
struct Sides {
    base: Side,
    ours: Side,
    theirs: Side,
}

impl Sides {
    /// Of commits; without a base every file is new on its side.
    fn read(repo: i64, base: Option<i32>, ours: i32, theirs: i32) -> Result<Self, Error> {
        let base = base.map(|base| Snapshot::at(repo, base)).transpose()?;
        let (ours, theirs) = (Snapshot::at(repo, ours)?, Snapshot::at(repo, theirs)?);
        let mut paths = std::collections::BTreeSet::new();
        let mut differing = |one: &Snapshot, other: Option<&Snapshot>| {
            let there = |path| other.and_then(|other| other.files.get(path));
            let files = one.files.iter();
            paths.extend(
                files.filter(|(path, at)| there(*path) != Some(*at)).map(|(path, _)| *path),
            );
        };
        for side in [&ours, &theirs] {
            differing(side, base.as_deref());
            if let Some(base) = &base {
                differing(base, Some(side));
            }
        }
        let paths: Vec<i32> = paths.into_iter().collect();
        let side = |snapshot: &Snapshot| Side::new(snapshot.particulars(&paths)?);
        Ok(Self {
            base: base.as_deref().map(side).transpose()?.unwrap_or_default(),
            ours: side(&ours)?,
            theirs: side(&theirs)?,
        })
    }
}
