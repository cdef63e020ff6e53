//! A commit's changes as messages: which node each symbol is, and what happened to it.

use std::collections::HashSet;
use std::sync::Arc;

use onyx_protocol::facts::FileFacts;
use onyx_protocol::history::{FileChange, FileChangeKind, Reference, SymbolChange};
use onyx_protocol::ingest::Notice;
use onyx_protocol::{ErrorKind, WireError};
use sha2::{Digest, Sha256};

use super::adopt::Adopted;
use super::cache::Cache;
use super::diff::Change;
use super::lineage::{Lineage, Pair, Place};
use super::lines::Lines;
use super::snapshot::{Content, File, Snapshot};
use super::source::{Blob, Held, Key, Source, Sources};
use super::symbols::{What, changed_symbol, gone, own_change, qualified, span_lines};
use super::work::{After, Before, Work, pair, pair_renames};
use crate::parse::{module_name, search_text, skipped_by_name};

/// Contents that are remembered, so that one that comes back is sent once.
const KNOWN_CONTENTS: usize = 1 << 17;
/// Search texts that are.
const KNOWN_TEXTS: usize = 1 << 19;

/// Numbers of what the walk makes, and what it knows.
pub(super) struct Numbering {
    contents: i64,
    nodes: i64,
    texts: i64,
    known_contents: Cache<Key, Arc<Content>>,
    known_texts: Cache<[u8; 16], i64>,
}

impl Numbering {
    pub(super) fn new() -> Self {
        Self {
            contents: 0,
            nodes: 0,
            texts: 0,
            known_contents: Cache::new(KNOWN_CONTENTS, |_| 1),
            known_texts: Cache::new(KNOWN_TEXTS, |_| 1),
        }
    }

    /// Remembers a content the client has; not one whose definitions are another parser version's.
    pub(super) fn know(&mut self, content: &Arc<Content>) {
        if content.number.is_none() {
            return;
        }
        self.known_contents.insert((content.blob, content.language), Arc::clone(content));
    }
}

fn next(number: &mut i64) -> Reference {
    let reference = !*number;
    *number += 1;
    reference
}

/// A content to be stored.
pub(super) struct NewBody {
    pub(super) content: Arc<Content>,
    pub(super) source: Arc<Source>,
    /// A path it has.
    pub(super) path: String,
}

/// What a commit, or a part of one, changes.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) files: Vec<FileChange>,
    pub(super) bodies: Vec<NewBody>,
    pub(super) nodes: u32,
    pub(super) search_texts: Vec<String>,
    pub(super) notices: Vec<(String, Notice)>,
}

fn state_does_not_fit(path: &str) -> WireError {
    WireError::new(ErrorKind::InvalidRequest, format!("the state of file \"{path}\" does not fit"))
        .detail("Its nodes are not as many as its definitions.")
        .hint("Forget the repository and read its history again.")
}

/// What turns differences into messages.
pub(super) struct Changer<'a> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) numbering: Numbering,
    /// Nodes that the first parent has in files that are not in its state here.
    pub(super) elsewhere: HashSet<Reference>,
}

impl Changer<'_> {
    /// The changes of a commit. `state` is its first parent's and becomes its own.
    pub(super) fn change(
        &mut self,
        changes: Vec<Change>,
        held: &Held,
        state: &mut Snapshot,
        others: &[Snapshot],
    ) -> Result<Changed, WireError> {
        let mut changed = Changed::default();
        let mut works = self.works(changes, held, state, &mut changed.notices)?;
        pair_renames(&mut works, others, &|| self.sources.check())?;
        works.sort_by(|a, b| a.path().cmp(b.path()));
        let pairs: Vec<Pair<'_>> = works.iter().map(pair).collect();
        let mut lineage = Lineage::in_place(&pairs);
        let mut adopted = Adopted::default();
        if !others.is_empty() {
            self.adopt(&works, state, others, &mut lineage, &mut adopted)?;
        }
        lineage.across(&|| self.sources.check())?;
        self.finish(&works, &lineage, &adopted, state, others, &mut changed)?;
        Ok(changed)
    }

    fn blob(&self, key: Key, path: &str, held: &Held) -> Result<Blob, WireError> {
        match held.get(&key) {
            Some(blob) => Ok(blob.clone()),
            None => self.sources.get(key, path),
        }
    }

    /// Source of a file that is in a state.
    pub(super) fn source_of(
        &self,
        file: &File,
        path: &str,
        held: &Held,
    ) -> Result<Arc<Source>, WireError> {
        let key = (file.content.blob, file.content.language);
        match self.blob(key, path, held)? {
            Blob::Source(source) => {
                let source = match &file.content.facts {
                    Some(facts) => Arc::new(source.with_facts(FileFacts::clone(facts))),
                    None => source,
                };
                let fits = source.facts.definitions.len() + 1 == file.nodes.len();
                fits.then_some(source).ok_or_else(|| state_does_not_fit(path))
            }
            Blob::Skipped(_) => Err(state_does_not_fit(path)),
        }
    }

    /// Differences as files before and after.
    fn works(
        &self,
        changes: Vec<Change>,
        held: &Held,
        state: &Snapshot,
        notices: &mut Vec<(String, Notice)>,
    ) -> Result<Vec<Work>, WireError> {
        let mut works = Vec::with_capacity(changes.len());
        for Change { path, language, new, .. } in changes {
            self.sources.check()?;
            let old = match state.get(&path) {
                Some(file) => {
                    let source = self.source_of(file, &path, held)?;
                    let module = module_name(language, &path, &source.facts);
                    Some(Before { path: path.clone(), file: Arc::clone(file), source, module })
                }
                None => None,
            };
            let new = match new {
                Some(id) => match skipped_by_name(&path, language) {
                    Some(notice) => {
                        notices.push((path.clone(), notice));
                        None
                    }
                    None => match self.blob((id, language), &path, held)? {
                        Blob::Skipped(notice) => {
                            notices.push((path.clone(), (*notice).clone()));
                            None
                        }
                        Blob::Source(source) => {
                            notices
                                .extend(source.notices.iter().map(|n| (path.clone(), n.clone())));
                            let module = module_name(language, &path, &source.facts);
                            Some(After { path, key: (id, language), source, module })
                        }
                    },
                },
                None => None,
            };
            if old.is_some() || new.is_some() {
                works.push(Work { old, new, similarity: 1.0 });
            }
        }
        Ok(works)
    }

    /// Numbers what is new, writes the state, and says what happened.
    fn finish(
        &mut self,
        works: &[Work],
        lineage: &Lineage<'_>,
        adopted: &Adopted,
        state: &mut Snapshot,
        others: &[Snapshot],
        changed: &mut Changed,
    ) -> Result<(), WireError> {
        for before in works.iter().filter_map(|work| work.old.as_ref()) {
            state.remove(&before.path);
        }
        let first_node = self.numbering.nodes;
        for (number, work) in works.iter().enumerate() {
            self.sources.check()?;
            let mut change = match &work.new {
                Some(after) => {
                    let nodes = self.nodes(works, number, after, lineage, adopted);
                    let content = self.content(work, after, others, changed);
                    let reference = content.reference;
                    let boxed = nodes.clone().into_boxed_slice();
                    state.insert(&after.path, Arc::new(File { content, nodes: boxed }));
                    self.file(works, number, lineage, nodes, Some(reference), changed)
                }
                None => self.file(works, number, lineage, Vec::new(), None, changed),
            };
            gone(works, number, lineage, &mut change.symbols);
            changed.files.push(change);
        }
        changed.nodes = (self.numbering.nodes - first_node) as u32;
        Ok(())
    }

    fn nodes(
        &mut self,
        works: &[Work],
        number: usize,
        after: &After,
        lineage: &Lineage<'_>,
        adopted: &Adopted,
    ) -> Vec<Reference> {
        let work = &works[number];
        let own = work.old.as_ref().map(|before| before.file.nodes[0]);
        let own = own.or_else(|| adopted.files.get(&number).copied());
        let mut nodes = Vec::with_capacity(after.source.facts.definitions.len() + 1);
        nodes.push(own.unwrap_or_else(|| next(&mut self.numbering.nodes)));
        for definition in 0..after.source.facts.definitions.len() {
            let place = Place { pair: number as u32, definition: definition as u32 };
            let before = lineage.origin(place).and_then(|origin| {
                let before = works[origin.old.pair as usize].old.as_ref()?;
                before.file.nodes.get(origin.old.definition as usize + 1).copied()
            });
            let node = before.or_else(|| adopted.get(place));
            nodes.push(node.unwrap_or_else(|| next(&mut self.numbering.nodes)));
        }
        nodes
    }

    /// The content of a file, new or known.
    fn content(
        &mut self,
        work: &Work,
        after: &After,
        others: &[Snapshot],
        changed: &mut Changed,
    ) -> Arc<Content> {
        let before = work.old.as_ref().map(|before| &before.file.content);
        let is_it = |content: &&Arc<Content>| {
            (content.blob, content.language) == after.key && content.facts.is_none()
        };
        let known = before.filter(is_it).cloned();
        let known = known.or_else(|| self.numbering.known_contents.get(&after.key));
        let known = known.or_else(|| {
            let there = |other: &Snapshot| other.get(&after.path).map(|f| Arc::clone(&f.content));
            others.iter().filter_map(there).find(|content| is_it(&content))
        });
        if let Some(content) = known {
            return content;
        }
        let content = Arc::new(Content {
            reference: next(&mut self.numbering.contents),
            number: Some(before.map_or(0, |before| before.number_of_next())),
            base: before.and_then(Content::base_of_next),
            blob: after.key.0,
            language: after.key.1,
            facts: None,
        });
        self.numbering.know(&content);
        let (source, path) = (Arc::clone(&after.source), after.path.clone());
        changed.bodies.push(NewBody { content: Arc::clone(&content), source, path });
        content
    }

    /// The number of what is searched of a definition.
    fn search_text(
        &mut self,
        after: &After,
        definition: usize,
        texts: &mut Vec<String>,
    ) -> Option<Reference> {
        let Source { facts, .. } = &*after.source;
        let text = search_text(after.key.1, &after.path, &after.module, facts, definition);
        if text.is_empty() {
            return None;
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&Sha256::digest(&text)[..16]);
        if let Some(number) = self.numbering.known_texts.get(&hash) {
            return Some(!number);
        }
        let reference = next(&mut self.numbering.texts);
        self.numbering.known_texts.insert(hash, !reference);
        texts.push(text);
        Some(reference)
    }

    /// A file's change, with the changes of what is in it now.
    fn file(
        &mut self,
        works: &[Work],
        number: usize,
        lineage: &Lineage<'_>,
        nodes: Vec<Reference>,
        content: Option<Reference>,
        changed: &mut Changed,
    ) -> FileChange {
        let work = &works[number];
        let old = work.old.as_ref().map(|before| &*before.source);
        let new = work.new.as_ref().map(|after| &*after.source);
        let lines = old.zip(new).map(|(old, new)| Lines::new(&old.text, &new.text));
        let changed_lines = match &lines {
            Some(lines) => lines.changed(),
            None => (new.map_or(0, |new| new.lines), old.map_or(0, |old| old.lines)),
        };
        let mut symbols = vec![own_change(work, &nodes, changed_lines)];
        if let Some(after) = &work.new {
            for (definition, now) in after.source.facts.definitions.iter().enumerate() {
                let place = Place { pair: number as u32, definition: definition as u32 };
                let node = nodes[definition + 1];
                let origin = lineage.origin(place);
                let what = match origin {
                    Some(origin) => changed_symbol(works, number, now, origin, lines.as_ref()),
                    None => Some(What::created(now)),
                };
                let Some(what) = what else { continue };
                symbols.push(SymbolChange {
                    node,
                    kind: what.kind,
                    body_changed: what.body_changed,
                    similarity: origin.map(|origin| origin.similarity),
                    ordinal: Some(definition as u32),
                    symbol: Some(now.kind),
                    name: now.name.clone(),
                    qualified_name: qualified(after.key.1, &after.module, now),
                    lines: span_lines(now),
                    changed_lines: what.lines,
                    search_text: self.search_text(after, definition, &mut changed.search_texts),
                });
            }
        }
        let old_path = work.old.as_ref().map(|before| before.path.clone());
        let path = work.path().to_owned();
        let kind = match (&old_path, &work.new) {
            (None, _) => FileChangeKind::Added,
            (Some(_), None) => FileChangeKind::Deleted,
            (Some(old), Some(_)) if *old != path => FileChangeKind::Renamed,
            _ => FileChangeKind::Modified,
        };
        FileChange {
            kind,
            old_path: old_path.filter(|_| kind == FileChangeKind::Renamed),
            path,
            content,
            module: work.new.as_ref().map(|after| after.module.clone()).unwrap_or_default(),
            lines: changed_lines,
            nodes,
            symbols,
        }
    }
}
