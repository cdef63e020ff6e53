//! A commit's changes as messages: which node each symbol is, and what happened to it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use onyx_protocol::facts::{Definition, Language, NodeKind};
use onyx_protocol::history::{
    FileChange, FileChangeKind, Reference, SymbolChange, SymbolChangeKind,
};
use onyx_protocol::ingest::Notice;
use onyx_protocol::{ErrorKind, WireError};
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::diff::Change;
use super::lineage::{Lineage, Origin, Pair, Place, Side};
use super::lines::Lines;
use super::renames::{Candidate, renames};
use super::snapshot::{Content, File, Snapshot};
use super::source::{Blob, Held, Key, Source, Sources};
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

/// A file before the commit.
struct Before {
    path: String,
    file: Arc<File>,
    source: Arc<Source>,
    module: String,
}

/// A file after it.
struct After {
    path: String,
    key: Key,
    source: Arc<Source>,
    module: String,
}

/// A changed file: before, after, or both.
struct Work {
    old: Option<Before>,
    new: Option<After>,
    /// How alike both are, when the path is another.
    similarity: f32,
}

impl Work {
    fn path(&self) -> &str {
        let new = self.new.as_ref().map(|after| &after.path);
        new.or(self.old.as_ref().map(|before| &before.path)).map_or("", String::as_str)
    }

    fn language(&self) -> Language {
        let new = self.new.as_ref().map(|after| after.key.1);
        new.or(self.old.as_ref().map(|b| b.file.content.language)).unwrap_or(Language::Manifest)
    }
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
    fn source_of(&self, file: &File, path: &str, held: &Held) -> Result<Arc<Source>, WireError> {
        let key = (file.content.blob, file.content.language);
        match self.blob(key, path, held)? {
            Blob::Source(source) if source.facts.definitions.len() + 1 == file.nodes.len() => {
                Ok(source)
            }
            _ => Err(state_does_not_fit(path)),
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

    /// Finds what is new to the first parent and is in another one, where it has a node.
    fn adopt(
        &self,
        works: &[Work],
        state: &Snapshot,
        others: &[Snapshot],
        lineage: &mut Lineage<'_>,
        adopted: &mut Adopted,
    ) -> Result<(), WireError> {
        // Nodes that the first parent has in files that changed, and where.
        let mut of_first = HashMap::new();
        let mut files_of_first = HashSet::new();
        for (number, work) in works.iter().enumerate() {
            let Some(before) = &work.old else { continue };
            files_of_first.insert(before.file.nodes[0]);
            for (definition, node) in before.file.nodes[1..].iter().enumerate() {
                let place = Place { pair: number as u32, definition: definition as u32 };
                of_first.insert(*node, place);
            }
        }
        for other in others {
            let mut wanted: Vec<(Option<Place>, usize, Reference)> = Vec::new();
            for (number, work) in works.iter().enumerate() {
                let Some(after) = &work.new else { continue };
                let Some(file) = other.get(&after.path) else { continue };
                let has_file_node = work.old.is_some()
                    || adopted.files.contains_key(&number)
                    || files_of_first.contains(&file.nodes[0]);
                if !has_file_node {
                    wanted.push((None, number, file.nodes[0]));
                }
                let is_new = |definition: usize| {
                    let place = Place { pair: number as u32, definition: definition as u32 };
                    (lineage.is_open(place) && adopted.get(place).is_none()).then_some(place)
                };
                let open: Vec<Place> =
                    (0..after.source.facts.definitions.len()).filter_map(is_new).collect();
                if open.is_empty() {
                    continue;
                }
                for (place, node) in self.nodes_in(file, after, &open)? {
                    match of_first.get(&node) {
                        Some(old) if !lineage.is_used(*old) => lineage.set(place, *old, 1.0),
                        Some(_) => {}
                        None => wanted.push((Some(place), number, node)),
                    }
                }
            }
            if wanted.is_empty() {
                continue;
            }
            // One that the first parent has elsewhere, in a file that did not change, is there already.
            let mut free: HashSet<Reference> = wanted.iter().map(|(_, _, node)| *node).collect();
            free.retain(|node| !adopted.nodes.contains(node));
            state.differing(other, &mut |file| {
                if !free.is_empty() {
                    file.nodes.iter().for_each(|node| _ = free.remove(node));
                }
            });
            for (place, number, node) in wanted {
                if !free.remove(&node) {
                    continue;
                }
                adopted.nodes.insert(node);
                match place {
                    None => _ = adopted.files.insert(number, node),
                    Some(place) => {
                        lineage.close(place);
                        adopted.of.insert(place, node);
                    }
                }
            }
        }
        Ok(())
    }

    /// Nodes of another parent's file for definitions of the same kind, name and place among equals.
    fn nodes_in(
        &self,
        file: &File,
        after: &After,
        open: &[Place],
    ) -> Result<Vec<(Place, Reference)>, WireError> {
        if (file.content.blob, file.content.language) == after.key {
            let node = |place: &Place| (*place, file.nodes[place.definition as usize + 1]);
            return Ok(open.iter().map(node).collect());
        }
        let source = self.source_of(file, &after.path, &Held::new())?;
        type Equals<'a> = HashMap<(NodeKind, &'a str), Vec<u32>>;
        fn equals(definitions: &[Definition]) -> Equals<'_> {
            let mut equals = Equals::new();
            for (number, definition) in definitions.iter().enumerate() {
                let key = (definition.kind, definition.qualified_name.as_str());
                equals.entry(key).or_default().push(number as u32);
            }
            equals
        }
        let (there, here) =
            (equals(&source.facts.definitions), equals(&after.source.facts.definitions));
        let node = |place: &Place| {
            let definition = &after.source.facts.definitions[place.definition as usize];
            let key = (definition.kind, definition.qualified_name.as_str());
            let among = here[&key].iter().position(|number| *number == place.definition)?;
            let number = *there.get(&key)?.get(among)?;
            Some((*place, file.nodes[number as usize + 1]))
        };
        Ok(open.iter().filter_map(node).collect())
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
        let is_it = |content: &&Arc<Content>| (content.blob, content.language) == after.key;
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

/// Nodes of other parents.
#[derive(Default)]
struct Adopted {
    of: HashMap<Place, Reference>,
    /// Files' own, by the number of the file.
    files: HashMap<usize, Reference>,
    /// All of them, files' own too.
    nodes: HashSet<Reference>,
}

impl Adopted {
    fn get(&self, place: Place) -> Option<Reference> {
        self.of.get(&place).copied()
    }
}

fn pair(work: &Work) -> Pair<'_> {
    let old = work.old.as_ref().map(|before| (before.file.content.language, &before.source));
    let new = work.new.as_ref().map(|after| (after.key.1, &after.source));
    Pair {
        old: old.map(|(language, s)| Side { language, facts: &s.facts, text: &s.text }),
        new: new.map(|(language, s)| Side { language, facts: &s.facts, text: &s.text }),
    }
}

/// Joins deleted and added files that are one under another path. What another parent says goes before
/// what their contents say.
fn pair_renames(
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

fn qualified(language: Language, module: &str, definition: &Definition) -> String {
    if module.is_empty() {
        definition.qualified_name.clone()
    } else {
        format!("{module}{}{}", language.separator(), definition.qualified_name)
    }
}

fn span_lines(definition: &Definition) -> u32 {
    (definition.end_line + 1).saturating_sub(definition.start_line)
}

/// What happened to a symbol that is there.
struct What {
    kind: SymbolChangeKind,
    body_changed: bool,
    lines: (u32, u32),
}

impl What {
    fn created(now: &Definition) -> Self {
        let lines = (span_lines(now), 0);
        Self { kind: SymbolChangeKind::Created, body_changed: false, lines }
    }
}

/// What differs between a definition and its origin; none when only its place in the file does.
fn changed_symbol(
    works: &[Work],
    number: usize,
    now: &Definition,
    origin: Origin,
    lines: Option<&Lines>,
) -> Option<What> {
    let after = works[number].new.as_ref()?;
    let before = works[origin.old.pair as usize].old.as_ref()?;
    let was = before.source.facts.definitions.get(origin.old.definition as usize)?;
    let body_changed = was.hash != now.hash;
    let is_moved = before.path != after.path;
    let is_renamed = was.name != now.name
        || was.qualified_name != now.qualified_name
        // A package clause: of a file that moved, its place says the rest.
        || (!is_moved && before.module != after.module);
    let is_modified = body_changed
        || was.kind != now.kind
        || was.doc != now.doc
        || was.signature != now.signature
        || was.attributes != now.attributes
        || was.visibility != now.visibility;
    let kind = match () {
        () if is_renamed => SymbolChangeKind::Renamed,
        () if is_moved => SymbolChangeKind::Moved,
        () if is_modified => SymbolChangeKind::Modified,
        () => return None,
    };
    let changed = match lines {
        _ if !body_changed => (0, 0),
        Some(lines) if origin.old.pair as usize == number => {
            lines.changed_between((was.start_line, was.end_line), (now.start_line, now.end_line))
        }
        _ => {
            let (was, now) = (before.source.span(was), after.source.span(now));
            Lines::new(was, now).changed()
        }
    };
    Some(What { kind, body_changed, lines: changed })
}

/// What happened to the file's own node.
fn own_change(work: &Work, nodes: &[Reference], changed_lines: (u32, u32)) -> SymbolChange {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let path = work.path();
    let old = work.old.as_ref();
    let kind = match (old, &work.new) {
        (None, _) => SymbolChangeKind::Created,
        (Some(_), None) => SymbolChangeKind::Deleted,
        (Some(old), Some(_)) if old.path == path => SymbolChangeKind::Modified,
        (Some(old), Some(_)) if base(&old.path) != base(path) => SymbolChangeKind::Renamed,
        (Some(_), Some(_)) => SymbolChangeKind::Moved,
    };
    let body_changed = match (old, &work.new) {
        (Some(old), Some(new)) => old.file.content.blob != new.key.0,
        _ => false,
    };
    let node = nodes.first().copied().or(old.map(|old| old.file.nodes[0])).unwrap_or_default();
    SymbolChange {
        node,
        kind,
        body_changed,
        similarity: (old.is_some() && work.new.is_some()).then_some(work.similarity),
        ordinal: None,
        symbol: None,
        name: base(path),
        qualified_name: path.to_owned(),
        lines: work.new.as_ref().map_or(0, |after| after.source.lines),
        changed_lines,
        search_text: None,
    }
}

/// Adds what is gone of a file.
fn gone(works: &[Work], number: usize, lineage: &Lineage<'_>, symbols: &mut Vec<SymbolChange>) {
    let Some(before) = &works[number].old else { return };
    for (definition, was) in before.source.facts.definitions.iter().enumerate() {
        let place = Place { pair: number as u32, definition: definition as u32 };
        if lineage.is_used(place) {
            continue;
        }
        symbols.push(SymbolChange {
            node: before.file.nodes[definition + 1],
            kind: SymbolChangeKind::Deleted,
            body_changed: false,
            similarity: None,
            ordinal: None,
            symbol: Some(was.kind),
            name: was.name.clone(),
            qualified_name: qualified(before.file.content.language, &before.module, was),
            lines: 0,
            changed_lines: (0, span_lines(was)),
            search_text: None,
        });
    }
}
