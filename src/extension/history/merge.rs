//! `onyx.merge`: three-way, by files and lines, with conflicts named by symbols.
//!
//! A file is the same file on both sides when it has the same node, whatever its path. What only one side
//! changed is taken; what both changed is merged by lines. Where both added definitions of different names
//! at one place, both stay. On top of what a merge of texts finds: a side that deleted or renamed a symbol
//! to which the other one made a new reference.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use onyx_diff::merge::{Conflict as Lines, Part};
use onyx_protocol::facts::Language;
use pgrx::prelude::*;

use super::apply::{self, Text};
use super::change::About;
use super::commits::Commits;
use super::conflicts::{self, Conflict, Resolution, Resolutions};
use super::diff::Side;
use super::snapshot::{FileAt, Snapshot};
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
    let Some(base) = commits.merge_bases(ours, theirs).first().copied() else {
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
    let mut merging = Merging::new(repo, name, base, ours, theirs, resolutions)?;
    merging.run()?;
    let found = std::mem::take(&mut merging.conflicts);
    let open = found.iter().filter(|(_, resolution)| resolution.is_none()).count();
    if open > 0 {
        conflicts::record(repo, &into, base, ours, theirs, &found)?;
        return Ok((None, false, open as i32));
    }
    conflicts::forget(repo, &into)?;
    about.message.get_or_insert_with(|| format!("Merge {source} into {into}"));
    about.branch = Some(into);
    let gone: Vec<String> = merging.gone.into_iter().collect();
    let files = merging.files.into_iter();
    let files = files.map(|(path, (language, text))| Text { path, language, text });
    let applied = apply::apply(repo, name, about, &[theirs], files.collect(), &gone)?;
    Ok((applied.commit, false, 0))
}

/// A merge being made.
struct Merging {
    name: String,
    commits: [i32; 3],
    base: Side,
    ours: Side,
    theirs: Side,
    /// By file node: where it is on each side.
    base_files: HashMap<i64, usize>,
    our_files: HashMap<i64, usize>,
    their_files: HashMap<i64, usize>,
    our_paths: HashMap<String, usize>,
    resolutions: Resolutions,
    conflicts: Vec<(Conflict, Option<Resolution>)>,
    /// What differs from ours.
    files: BTreeMap<String, (Language, Vec<u8>)>,
    gone: BTreeSet<String>,
}

fn by_node(side: &Side) -> HashMap<i64, usize> {
    let files = side.files.iter().enumerate();
    files.filter_map(|(place, file)| Some((*file.nodes.first()?, place))).collect()
}

impl Merging {
    fn new(
        repo: i64,
        name: &str,
        base: i32,
        ours: i32,
        theirs: i32,
        resolutions: Resolutions,
    ) -> Result<Self, Error> {
        let commits = [base, ours, theirs];
        let [base, ours, theirs] = commits.map(|commit| Snapshot::at(repo, commit));
        let (base, ours, theirs) = (base?, ours?, theirs?);
        let mut paths: BTreeSet<i32> = BTreeSet::new();
        for side in [&ours, &theirs] {
            let differing = |one: &Snapshot, other: &Snapshot| -> Vec<i32> {
                let files = one.files.iter();
                let files = files.filter(|(path, commit)| other.files.get(path) != Some(commit));
                files.map(|(path, _)| *path).collect()
            };
            paths.extend(differing(&base, side));
            paths.extend(differing(side, &base));
        }
        let paths: Vec<i32> = paths.into_iter().collect();
        let side = |snapshot: &Snapshot| Side::new(snapshot.particulars(&paths)?);
        let (base, ours, theirs) = (side(&base)?, side(&ours)?, side(&theirs)?);
        let our_paths = ours.files.iter().enumerate();
        let our_paths = our_paths.map(|(place, file)| (file.path.clone(), place)).collect();
        Ok(Self {
            name: name.to_owned(),
            commits,
            base_files: by_node(&base),
            our_files: by_node(&ours),
            their_files: by_node(&theirs),
            our_paths,
            base,
            ours,
            theirs,
            resolutions,
            conflicts: Vec::new(),
            files: BTreeMap::new(),
            gone: BTreeSet::new(),
        })
    }

    fn run(&mut self) -> Result<(), Error> {
        let mut nodes: Vec<i64> = self.theirs.files.iter().map(|file| file.nodes[0]).collect();
        let deleted = self.base.files.iter().map(|file| file.nodes[0]);
        nodes.extend(deleted.filter(|node| !self.their_files.contains_key(node)));
        for node in nodes {
            pgrx::check_for_interrupts!();
            self.file(node)?;
        }
        // A path that another file takes is not gone.
        self.gone.retain(|path| !self.files.contains_key(path));
        self.references()
    }

    /// Remembers a conflict; what is to become of it, ours while nobody says.
    fn conflict(&mut self, conflict: Conflict) -> Resolution {
        let resolution = self.resolutions.of(&conflict);
        self.conflicts.push((conflict, resolution.clone()));
        resolution.unwrap_or(Resolution::Ours)
    }

    fn file(&mut self, node: i64) -> Result<(), Error> {
        let get = |side: &Side, files: &HashMap<i64, usize>| {
            files.get(&node).map(|place| side.files[*place].clone())
        };
        let base = get(&self.base, &self.base_files);
        let ours = get(&self.ours, &self.our_files);
        let theirs = get(&self.theirs, &self.their_files);
        let same =
            |one: &FileAt, other: &FileAt| one.path == other.path && one.content == other.content;
        match (base, ours, theirs) {
            (Some(base), _, Some(theirs)) if same(&base, &theirs) => Ok(()),
            (base, Some(ours), Some(theirs)) => self.both(base.as_ref(), &ours, &theirs),
            (None, None, Some(theirs)) => {
                // Another file of ours may have its path.
                match self.our_paths.get(&theirs.path).map(|place| self.ours.files[*place].clone())
                {
                    Some(ours) => self.both(None, &ours, &theirs),
                    None => self.take(&theirs, None),
                }
            }
            (Some(base), Some(ours), None) => {
                if same(&base, &ours) {
                    self.gone.insert(ours.path);
                    return Ok(());
                }
                let mut conflict = Conflict::new("delete_modify", Some(node));
                conflict.base_path = Some(base.path.clone());
                conflict.our_path = Some(ours.path.clone());
                conflict.base_text = Some(text_of(&self.base, &base));
                conflict.our_text = Some(text_of(&self.ours, &ours));
                match self.conflict(conflict) {
                    Resolution::Ours => {}
                    Resolution::Theirs => _ = self.gone.insert(ours.path),
                    Resolution::Base => self.put(&ours.path, &base, text_of(&self.base, &base))?,
                    Resolution::Text(text) => self.put(&ours.path, &ours, text)?,
                }
                Ok(())
            }
            (Some(base), None, Some(theirs)) => {
                let mut conflict = Conflict::new("delete_modify", Some(node));
                conflict.base_path = Some(base.path.clone());
                conflict.their_path = Some(theirs.path.clone());
                conflict.base_text = Some(text_of(&self.base, &base));
                conflict.their_text = Some(text_of(&self.theirs, &theirs));
                match self.conflict(conflict) {
                    Resolution::Ours => Ok(()),
                    Resolution::Theirs => self.take(&theirs, None),
                    Resolution::Base => self.put(&base.path, &base, text_of(&self.base, &base)),
                    Resolution::Text(text) => self.take(&theirs, Some(text)),
                }
            }
            (_, None, None) | (None, Some(_), None) => Ok(()),
        }
    }

    /// A file of theirs, with its text or another one.
    fn take(&mut self, theirs: &FileAt, text: Option<String>) -> Result<(), Error> {
        let text = text.unwrap_or_else(|| text_of(&self.theirs, theirs));
        self.put(&theirs.path, theirs, text)
    }

    fn put(&mut self, path: &str, file: &FileAt, text: String) -> Result<(), Error> {
        self.files.insert(path.to_owned(), (file.language()?, text.into_bytes()));
        Ok(())
    }

    /// A file that is there on both sides.
    fn both(&mut self, base: Option<&FileAt>, ours: &FileAt, theirs: &FileAt) -> Result<(), Error> {
        let path = match base {
            Some(base) if theirs.path == base.path || theirs.path == ours.path => &ours.path,
            Some(base) if ours.path == base.path && !self.our_paths.contains_key(&theirs.path) => {
                &theirs.path
            }
            Some(base) => {
                let mut conflict = Conflict::new("rename_rename", ours.nodes.first().copied());
                conflict.base_path = Some(base.path.clone());
                conflict.our_path = Some(ours.path.clone());
                conflict.their_path = Some(theirs.path.clone());
                match self.conflict(conflict) {
                    Resolution::Theirs => &theirs.path,
                    Resolution::Base => &base.path,
                    Resolution::Ours | Resolution::Text(_) => &ours.path,
                }
            }
            None => &ours.path,
        };
        let our_text = text_of(&self.ours, ours);
        let text = if ours.content == theirs.content
            || base.is_some_and(|base| base.content == theirs.content)
        {
            our_text.clone()
        } else if base.is_some_and(|base| base.content == ours.content) {
            text_of(&self.theirs, theirs)
        } else {
            self.merge_texts(base, ours, theirs, &our_text)
        };
        if *path != ours.path {
            self.gone.insert(ours.path.clone());
        } else if text == our_text {
            return Ok(());
        }
        self.put(path, ours, text)
    }

    fn merge_texts(
        &mut self,
        base: Option<&FileAt>,
        ours: &FileAt,
        theirs: &FileAt,
        our_text: &str,
    ) -> String {
        let base_text = base.map(|base| text_of(&self.base, base)).unwrap_or_default();
        let their_text = text_of(&self.theirs, theirs);
        let mut merged = String::with_capacity(our_text.len());
        for part in onyx_diff::merge::merge(&base_text, our_text, &their_text) {
            match part {
                Part::Agreed(text) => merged += &text,
                Part::Conflict(lines) if self.both_add(base, ours, theirs, &lines) => {
                    merged += &lines.ours;
                    if !lines.ours.ends_with('\n') {
                        merged.push('\n');
                    }
                    merged += &lines.theirs;
                }
                Part::Conflict(lines) => {
                    let conflict = self.lines_conflict(base, ours, theirs, &lines);
                    match self.conflict(conflict) {
                        Resolution::Ours => merged += &lines.ours,
                        Resolution::Theirs => merged += &lines.theirs,
                        Resolution::Base => merged += &lines.base,
                        Resolution::Text(text) => merged += &text,
                    }
                }
            }
        }
        merged
    }

    /// Whether both sides only add whole definitions here, each with names of its own.
    fn both_add(
        &self,
        base: Option<&FileAt>,
        ours: &FileAt,
        theirs: &FileAt,
        lines: &Lines,
    ) -> bool {
        if !lines.base.trim().is_empty() || base.is_none() {
            return false;
        }
        let added = |side: &Side, file: &FileAt, range: &std::ops::Range<usize>, text: &str| {
            let facts = side.facts.get(&file.content)?;
            let mut names = HashSet::new();
            let mut covered = vec![false; range.len()];
            for (definition, node) in facts.definitions.iter().zip(&file.nodes[1..]) {
                let (first, last) =
                    (definition.start_line as usize - 1, definition.end_line as usize);
                if first < range.start || last > range.end || self.base.places.contains_key(node) {
                    continue;
                }
                covered[first - range.start..last - range.start].fill(true);
                names.insert(definition.qualified_name.clone());
            }
            let blank = text.split_inclusive('\n').map(|line| line.trim().is_empty());
            let whole = covered.iter().zip(blank).all(|(covered, blank)| *covered || blank);
            (whole && !names.is_empty()).then_some(names)
        };
        let ours = added(&self.ours, ours, &lines.our_lines, &lines.ours);
        let theirs = added(&self.theirs, theirs, &lines.their_lines, &lines.theirs);
        ours.zip(theirs).is_some_and(|(ours, theirs)| ours.is_disjoint(&theirs))
    }

    fn lines_conflict(
        &self,
        base: Option<&FileAt>,
        ours: &FileAt,
        theirs: &FileAt,
        lines: &Lines,
    ) -> Conflict {
        let node = enclosing(&self.ours, ours, &lines.our_lines)
            .or_else(|| enclosing(&self.theirs, theirs, &lines.their_lines))
            .or(ours.nodes.first().copied());
        let name = |side: &Side| Some(side.get(node?)?.qualified_name());
        let own_name = |side: &Side| Some(side.get(node?)?.name().to_owned());
        let names = [own_name(&self.base), own_name(&self.ours), own_name(&self.theirs)];
        let [base_name, our_name, their_name] = &names;
        let renamed = base_name.is_some()
            && our_name.is_some()
            && their_name.is_some()
            && base_name != our_name
            && base_name != their_name
            && our_name != their_name;
        let kind = if renamed {
            "rename_rename"
        } else if !lines.base.is_empty() && lines.ours.is_empty() != lines.theirs.is_empty() {
            "delete_modify"
        } else {
            "content"
        };
        let mut conflict = Conflict::new(kind, node);
        conflict.base_path = base.map(|base| base.path.clone());
        conflict.our_path = Some(ours.path.clone());
        conflict.their_path = Some(theirs.path.clone());
        conflict.base_name = name(&self.base);
        conflict.our_name = name(&self.ours);
        conflict.their_name = name(&self.theirs);
        conflict.our_line = Some(lines.our_lines.start as i32 + 1);
        conflict.base_text = Some(lines.base.clone());
        conflict.our_text = Some(lines.ours.clone());
        conflict.their_text = Some(lines.theirs.clone());
        conflict
    }

    /// New references of one side to what the other one deleted or renamed.
    fn references(&mut self) -> Result<(), Error> {
        let [base, ours, theirs] = self.commits;
        let changed = [(true, theirs), (false, ours)].map(|(in_ours, there)| {
            let side = if in_ours { &self.ours } else { &self.theirs };
            let mut changed: Vec<i64> = Vec::new();
            for node in self.base.places.keys() {
                let Some(before) = self.base.get(*node) else { continue };
                let Some(definition) = before.definition else { continue };
                let after = side.get(*node);
                if after.is_none_or(|after| after.name() != definition.name) {
                    changed.push(*node);
                }
            }
            changed.sort_unstable();
            (in_ours, there, changed)
        });
        for (in_ours, there, changed) in changed {
            if changed.is_empty() {
                continue;
            }
            for (source, target, line) in new_edges(&self.name, base, there, &changed)? {
                let (by, other) =
                    if in_ours { (&self.ours, &self.theirs) } else { (&self.theirs, &self.ours) };
                let gone = by.get(target).is_none();
                let kind = if gone { "edge_to_deleted" } else { "caller_of_renamed" };
                let mut conflict = Conflict::new(kind, Some(target));
                conflict.source_id = Some(source);
                let name = |side: &Side| side.get(target).map(|symbol| symbol.qualified_name());
                conflict.base_name = name(&self.base);
                conflict.our_name = name(&self.ours);
                conflict.their_name = name(&self.theirs);
                let path = other.get(source).map(|symbol| symbol.file.path.clone());
                let line = if in_ours { None } else { Some(line) };
                if in_ours {
                    conflict.their_path = path;
                } else {
                    conflict.our_path = path;
                }
                conflict.our_line = line;
                self.conflict(conflict);
            }
        }
        Ok(())
    }
}

fn text_of(side: &Side, file: &FileAt) -> String {
    String::from_utf8_lossy(&side.text(file)).into_owned()
}

/// The innermost definition of a file around some of its lines.
fn enclosing(side: &Side, file: &FileAt, lines: &std::ops::Range<usize>) -> Option<i64> {
    let facts = side.facts.get(&file.content)?;
    if lines.is_empty() {
        return None;
    }
    let around = facts.definitions.iter().zip(&file.nodes[1..]).filter(|(definition, _)| {
        definition.start_line as usize <= lines.start + 1
            && lines.end <= definition.end_line as usize
    });
    around.min_by_key(|(d, _)| d.end_line - d.start_line).map(|(_, node)| *node)
}

/// References to nodes that a commit has and its base has not: source, target and line.
fn new_edges(
    repo: &str,
    base: i32,
    commit: i32,
    targets: &[i64],
) -> Result<Vec<(i64, i64, i32)>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT DISTINCT ON (e.source_id, e.target_id) e.source_id, e.target_id, e.line
             FROM onyx.edges_as_of($1, '#' || $3) e
             WHERE e.target_id = ANY ($4) AND e.kind <> 'contains' AND NOT e.source_id = ANY ($4)
               AND NOT EXISTS (SELECT FROM onyx.edges_as_of($1, '#' || $2) b
                               WHERE b.source_id = e.source_id AND b.target_id = e.target_id
                                 AND b.kind = e.kind)
             ORDER BY e.source_id, e.target_id, e.line",
            None,
            &[repo.into(), base.into(), commit.into(), targets.to_vec().into()],
        )?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            if let (Some(source), Some(target)) = (row.get::<i64>(1)?, row.get::<i64>(2)?) {
                found.push((source, target, row.get::<i32>(3)?.unwrap_or_default()));
            }
        }
        Ok(found)
    })
}
