//! Files of a merge: which is which on the three sides, where it comes to be, and with what text.
//!
//! A file is the same on two sides when it has the same node, whatever its path; files that have no
//! counterpart so are the same when they have the same path. What only one side changed of a file, its path
//! or its text, is taken. Paths are decided before texts: a path that two files come to have is given to the
//! one that ours has there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use onyx_protocol::facts::Language;

use super::conflicts::{Conflict, Decisions, Resolution};
use super::{Sides, lines};
use crate::error::Error;
use crate::history::apply::Text;
use crate::history::diff::Side;
use crate::history::snapshot::FileAt;

/// What a merge makes of ours.
pub struct Merged {
    pub files: Vec<Text>,
    /// Paths that ours has and the merge has not.
    pub gone: Vec<String>,
}

/// A file on the sides that have it.
#[derive(Clone, Copy)]
struct Same<'a> {
    base: Option<&'a FileAt>,
    ours: Option<&'a FileAt>,
    theirs: Option<&'a FileAt>,
}

/// A file of the result.
struct Placed<'a> {
    file: Same<'a>,
    path: String,
    /// None: ours, as it is.
    text: Option<String>,
    /// Somebody said where it is to be.
    is_decided: bool,
}

/// Merges what differs.
pub fn merge(sides: &Sides, decisions: &mut Decisions) -> Result<Merged, Error> {
    let mut placed = Vec::new();
    for file in same(sides) {
        pgrx::check_for_interrupts!();
        placed.extend(place(sides, decisions, file));
    }
    give_way(decisions, &mut placed);
    let placed = join(sides, decisions, placed);
    result(sides, placed)
}

pub fn text_of(side: &Side, file: &FileAt) -> String {
    String::from_utf8_lossy(&side.text(file)).into_owned()
}

/// For each file the other one that it is.
fn counterparts<'a>(files: &[&'a FileAt], others: &[&'a FileAt]) -> Vec<Option<&'a FileAt>> {
    let node = |file: &FileAt| file.nodes.first().copied();
    let by_node: HashMap<_, _> = others.iter().map(|other| (node(other), *other)).collect();
    let mut found: Vec<Option<&FileAt>> =
        files.iter().map(|file| by_node.get(&node(file)).copied()).collect();
    let taken: HashSet<_> = found.iter().flatten().map(|file| file.path_id).collect();
    let left = others.iter().filter(|other| !taken.contains(&other.path_id));
    let by_path: HashMap<_, _> = left.map(|other| (other.path_id, *other)).collect();
    for (file, found) in files.iter().zip(&mut found) {
        *found = found.or_else(|| by_path.get(&file.path_id).copied());
    }
    found
}

/// Every file that differs, with its counterparts.
fn same(sides: &Sides) -> Vec<Same<'_>> {
    let [base, ours, theirs] =
        [&sides.base, &sides.ours, &sides.theirs].map(|side| side.files.iter().collect::<Vec<_>>());
    let in_ours = counterparts(&base, &ours);
    let in_theirs = counterparts(&base, &theirs);
    let left = |files: Vec<_>, found: &[Option<&FileAt>]| -> Vec<&FileAt> {
        let taken: HashSet<_> = found.iter().flatten().map(|file| file.path_id).collect();
        files.into_iter().filter(|file: &&FileAt| !taken.contains(&file.path_id)).collect()
    };
    let (new_ours, new_theirs) = (left(ours, &in_ours), left(theirs, &in_theirs));
    let new_in_theirs = counterparts(&new_ours, &new_theirs);
    let only_theirs = left(new_theirs, &new_in_theirs);
    let kept = base.iter().zip(in_ours).zip(in_theirs);
    let kept = kept.map(|((base, ours), theirs)| Same { base: Some(base), ours, theirs });
    let new = new_ours.iter().zip(new_in_theirs);
    let new = new.map(|(ours, theirs)| Same { base: None, ours: Some(ours), theirs });
    let only =
        only_theirs.iter().map(|theirs| Same { base: None, ours: None, theirs: Some(theirs) });
    kept.chain(new).chain(only).collect()
}

/// Where a file comes to be and with what text; none when it is gone.
fn place<'a>(sides: &Sides, decisions: &mut Decisions, file: Same<'a>) -> Option<Placed<'a>> {
    let placed = |path: &str, text: Option<String>| {
        Some(Placed { file, path: path.to_owned(), text, is_decided: false })
    };
    let is_same =
        |one: &FileAt, other: &FileAt| one.path == other.path && one.content == other.content;
    match (file.base, file.ours, file.theirs) {
        (base, Some(ours), Some(theirs)) => {
            let (path, is_decided) = path(decisions, file, base, ours, theirs);
            let text = if ours.content == theirs.content
                || base.is_some_and(|base| base.content == theirs.content)
            {
                None
            } else if base.is_some_and(|base| base.content == ours.content) {
                Some(text_of(&sides.theirs, theirs))
            } else {
                Some(lines::merge(sides, decisions, base, ours, theirs))
            };
            Some(Placed { file, path, text, is_decided })
        }
        (Some(base), Some(ours), None) if !is_same(base, ours) => {
            match decisions.of(deleted(sides, file)) {
                Resolution::Ours => placed(&ours.path, None),
                Resolution::Theirs => None,
                Resolution::Base => placed(&ours.path, Some(text_of(&sides.base, base))),
                Resolution::Text(text) => placed(&ours.path, Some(text)),
            }
        }
        (Some(base), None, Some(theirs)) if !is_same(base, theirs) => {
            match decisions.of(deleted(sides, file)) {
                Resolution::Ours => None,
                Resolution::Theirs => placed(&theirs.path, Some(text_of(&sides.theirs, theirs))),
                Resolution::Base => placed(&base.path, Some(text_of(&sides.base, base))),
                Resolution::Text(text) => placed(&theirs.path, Some(text)),
            }
        }
        (None, Some(ours), None) => placed(&ours.path, None),
        (None, None, Some(theirs)) => placed(&theirs.path, Some(text_of(&sides.theirs, theirs))),
        _ => None,
    }
}

/// One side deleted what the other changed.
fn deleted(sides: &Sides, file: Same<'_>) -> Conflict {
    let node = file.ours.or(file.base).and_then(|file| file.nodes.first().copied());
    let mut conflict = Conflict::new("delete_modify", node);
    (conflict.base_path, conflict.our_path, conflict.their_path) = file.paths();
    conflict.base_text = file.base.map(|file| text_of(&sides.base, file));
    conflict.our_text = file.ours.map(|file| text_of(&sides.ours, file));
    conflict.their_text = file.theirs.map(|file| text_of(&sides.theirs, file));
    conflict
}

impl Same<'_> {
    fn paths(&self) -> (Option<String>, Option<String>, Option<String>) {
        let path = |file: Option<&FileAt>| file.map(|file| file.path.clone());
        (path(self.base), path(self.ours), path(self.theirs))
    }

    /// The language of whichever side has it at a path, or else has it.
    fn language(&self, path: &str) -> Result<Language, Error> {
        let mut sides = [self.ours, self.theirs, self.base].into_iter().flatten();
        let there = sides.clone().find(|file| file.path == path);
        match there.or_else(|| sides.next()) {
            Some(file) => file.language(),
            None => Ok(Language::Manifest),
        }
    }
}

/// The path of a file that both sides have, and whether somebody decided it.
fn path(
    decisions: &mut Decisions,
    file: Same<'_>,
    base: Option<&FileAt>,
    ours: &FileAt,
    theirs: &FileAt,
) -> (String, bool) {
    let Some(base) = base else { return (ours.path.clone(), false) };
    if theirs.path == base.path || theirs.path == ours.path {
        return (ours.path.clone(), false);
    }
    if ours.path == base.path {
        return (theirs.path.clone(), false);
    }
    (decided_path(decisions, file, base, ours, theirs), true)
}

fn decided_path(
    decisions: &mut Decisions,
    file: Same<'_>,
    base: &FileAt,
    ours: &FileAt,
    theirs: &FileAt,
) -> String {
    let mut conflict = Conflict::new("rename_rename", ours.nodes.first().copied());
    (conflict.base_path, conflict.our_path, conflict.their_path) = file.paths();
    let path = match decisions.of(conflict) {
        Resolution::Theirs => &theirs.path,
        Resolution::Base => &base.path,
        Resolution::Ours | Resolution::Text(_) => &ours.path,
    };
    path.clone()
}

/// Files by their paths where several have one.
fn crowds(placed: &[Placed<'_>]) -> BTreeMap<String, Vec<usize>> {
    let mut crowds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, file) in placed.iter().enumerate() {
        crowds.entry(file.path.clone()).or_default().push(number);
    }
    crowds.retain(|_, files| files.len() > 1);
    crowds
}

/// Asks about files that theirs moved to where another one is: they may stay where ours has them.
fn give_way(decisions: &mut Decisions, placed: &mut [Placed<'_>]) {
    for (path, crowd) in crowds(placed) {
        for number in crowd {
            let Placed { file, is_decided: false, .. } = placed[number] else { continue };
            if let Same { base: Some(base), ours: Some(ours), theirs: Some(theirs) } = file
                && ours.path != path
            {
                placed[number].path = decided_path(decisions, file, base, ours, theirs);
                placed[number].is_decided = true;
            }
        }
    }
}

/// Makes one file of those that come to have one path.
fn join<'a>(
    sides: &Sides,
    decisions: &mut Decisions,
    mut placed: Vec<Placed<'a>>,
) -> BTreeMap<String, Placed<'a>> {
    for (path, mut crowd) in crowds(&placed) {
        let is_ours = |number: &usize| placed[*number].file.ours.is_some_and(|o| o.path == path);
        crowd.sort_by_key(|number| (!is_ours(number), *number));
        for pair in 1..crowd.len() {
            let (first, other) = (&placed[crowd[0]], &placed[crowd[pair]]);
            let (our_text, their_text) = (first.text(sides), other.text(sides));
            if our_text == their_text {
                continue;
            }
            let mut sides = [first.file.ours, first.file.theirs, first.file.base].into_iter();
            let node = sides.find_map(|file| file?.nodes.first().copied());
            let mut conflict = Conflict::new("content", node);
            conflict.our_path = Some(path.clone());
            conflict.their_path = other.file.theirs.map(|file| file.path.clone());
            conflict.our_line = Some(1);
            conflict.base_text = Some(String::new());
            conflict.our_text = Some(our_text);
            conflict.their_text = Some(their_text.clone());
            let text = match decisions.of(conflict) {
                Resolution::Ours => continue,
                Resolution::Theirs => their_text,
                Resolution::Base => String::new(),
                Resolution::Text(text) => text,
            };
            placed[crowd[0]].text = Some(text);
        }
        // The first stays: the others go where nothing is.
        for number in &crowd[1..] {
            placed[*number].path.clear();
        }
    }
    let placed = placed.into_iter().filter(|file| !file.path.is_empty());
    placed.map(|file| (file.path.clone(), file)).collect()
}

impl Placed<'_> {
    fn text(&self, sides: &Sides) -> String {
        match (&self.text, self.file.ours) {
            (Some(text), _) => text.clone(),
            (None, Some(ours)) => text_of(&sides.ours, ours),
            (None, None) => String::new(),
        }
    }
}

/// What differs from ours.
fn result(sides: &Sides, placed: BTreeMap<String, Placed<'_>>) -> Result<Merged, Error> {
    let ours = sides.ours.files.iter();
    let ours: HashMap<&str, &FileAt> = ours.map(|file| (file.path.as_str(), file)).collect();
    let mut merged = Merged { files: Vec::new(), gone: Vec::new() };
    for (path, file) in &placed {
        let there = ours.get(path.as_str());
        let is_own = there
            .is_some_and(|there| file.file.ours.is_some_and(|ours| ours.path_id == there.path_id));
        if is_own && file.text.is_none() {
            continue;
        }
        let text = file.text(sides);
        if there.is_none_or(|there| text_of(&sides.ours, there) != text) {
            let language = file.file.language(path)?;
            merged.files.push(Text { path: path.clone(), language, text: text.into_bytes() });
        }
    }
    let kept: BTreeSet<&str> = placed.keys().map(String::as_str).collect();
    let gone = sides.ours.files.iter().map(|file| &file.path);
    merged.gone = gone.filter(|path| !kept.contains(path.as_str())).cloned().collect();
    Ok(merged)
}
