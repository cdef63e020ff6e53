//! The changed files of a commit, before and after, and which of them are one under another path.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use onyx_protocol::WireError;
use onyx_protocol::facts::Language;
use onyx_protocol::history::Reference;

use super::lineage::{Pair, Side};
use super::renames::{Candidate, renames};
use super::snapshot::{File, Snapshot};
use super::source::{Key, Source};

/// A file before the commit.
pub(super) struct Before {
    pub(super) path: String,
    pub(super) file: Arc<File>,
    pub(super) source: Arc<Source>,
    pub(super) module: String,
}

/// A file after it.
pub(super) struct After {
    pub(super) path: String,
    pub(super) key: Key,
    pub(super) source: Arc<Source>,
    pub(super) module: String,
}

/// A changed file: before, after, or both.
pub(super) struct Work {
    pub(super) old: Option<Before>,
    pub(super) new: Option<After>,
    /// How alike both are, when the path is another.
    pub(super) similarity: f32,
}

impl Work {
    pub(super) fn path(&self) -> &str {
        let new = self.new.as_ref().map(|after| &after.path);
        new.or(self.old.as_ref().map(|before| &before.path)).map_or("", String::as_str)
    }

    pub(super) fn language(&self) -> Language {
        let new = self.new.as_ref().map(|after| after.key.1);
        new.or(self.old.as_ref().map(|b| b.file.content.language)).unwrap_or(Language::Manifest)
    }
}

/// Both sides as lineage looks at them.
pub(super) fn pair(work: &Work) -> Pair<'_> {
    let old = work.old.as_ref().map(|before| (before.file.content.language, &before.source));
    let new = work.new.as_ref().map(|after| (after.key.1, &after.source));
    Pair {
        old: old.map(|(language, s)| Side { language, facts: &s.facts, text: &s.text }),
        new: new.map(|(language, s)| Side { language, facts: &s.facts, text: &s.text }),
    }
}

/// Joins deleted and added files that are one under another path. What another parent says goes before
/// what their contents say.
pub(super) fn pair_renames(
    works: &mut Vec<Work>,
    others: &[Snapshot],
    check: &dyn Fn() -> Result<(), WireError>,
) -> Result<(), WireError> {
    let only_old = |work: &Work| work.old.is_some() && work.new.is_none();
    let only_new = |work: &Work| work.old.is_none() && work.new.is_some();
    if !works.iter().any(only_old) || !works.iter().any(only_new) {
        return Ok(());
    }
    let mut joined: Vec<(usize, usize, f32)> = Vec::new();
    if !others.is_empty() {
        let gone: HashMap<Reference, usize> = works
            .iter()
            .enumerate()
            .filter(|(_, work)| only_old(work))
            .filter_map(|(number, work)| Some((work.old.as_ref()?.file.nodes[0], number)))
            .collect();
        let mut taken = HashSet::new();
        for (number, work) in works.iter().enumerate().filter(|(_, work)| only_new(work)) {
            let Some(after) = &work.new else { continue };
            let there = others.iter().filter_map(|other| other.get(&after.path));
            let old = there.filter_map(|file| gone.get(&file.nodes[0]).copied());
            let language = |old: &usize| works[*old].language() == after.key.1;
            if let Some(old) = old.filter(language).find(|old| taken.insert(*old)) {
                joined.push((old, number, 1.0));
            }
        }
    }
    let is_joined: HashSet<usize> = joined.iter().flat_map(|(a, b, _)| [*a, *b]).collect();
    let (mut deleted, mut added) = (Vec::new(), Vec::new());
    let (mut deleted_at, mut added_at) = (Vec::new(), Vec::new());
    for (number, work) in works.iter().enumerate().filter(|(number, _)| !is_joined.contains(number))
    {
        match (&work.old, &work.new) {
            (Some(before), None) => {
                let content = &before.file.content;
                let (path, text) = (before.path.as_str(), before.source.text.as_str());
                let (language, blob) = (content.language, content.blob);
                deleted.push(Candidate { path, language, blob, text });
                deleted_at.push(number);
            }
            (None, Some(after)) => {
                let (path, text) = (after.path.as_str(), after.source.text.as_str());
                let (blob, language) = after.key;
                added.push(Candidate { path, language, blob, text });
                added_at.push(number);
            }
            _ => {}
        }
    }
    let found = renames(&deleted, &added, check)?;
    joined.extend(found.into_iter().map(|(a, b, alike)| (deleted_at[a], added_at[b], alike)));
    for (old, new, similarity) in joined {
        works[new].old = works[old].old.take();
        works[new].similarity = similarity;
    }
    works.retain(|work| work.old.is_some() || work.new.is_some());
    Ok(())
}
