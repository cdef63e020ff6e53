//! `onyx.diff`: what differs between two commits, symbol by symbol.

use std::collections::HashMap;
use std::rc::Rc;

use onyx_protocol::facts::{Definition, FileFacts, Language};
use pgrx::prelude::*;

use super::contents::{self, Text};
use super::snapshot::{FileAt, Snapshot};
use super::symbol_changes::{self, SymbolRow};
use super::{at, state, version};
use crate::error::Error;
use crate::graph::row_function;
use crate::graph::rows::{Nothing, Row, Source};

/// Lines around what differs.
const CONTEXT: u32 = 3;

row_function!(
    /// `onyx.diff(repo, from_at, to_at)`.
    onyx_diff,
    |a| {
        let Some(repo) = a.get::<&str>(0) else { return Ok(Box::new(Nothing)) };
        let repo = at::repo(repo)?;
        let from = at::commit(repo, a.get::<&str>(1))?;
        let to = at::commit(repo, a.get::<&str>(2))?;
        Ok(Box::new(Differences::between(repo, from, to)?))
    }
);

row_function!(
    /// `onyx.diff(node, from_at, to_at)`.
    onyx_diff_node,
    |a| {
        let Some(node) = a.get::<i64>(0) else { return Ok(Box::new(Nothing)) };
        let versions = symbol_changes::of(&[node])?;
        let repo = version::repo_of(node, &versions)?;
        let from = at::commit(repo, a.get::<&str>(1))?;
        let to = at::commit(repo, a.get::<&str>(2))?;
        Ok(Box::new(Differences::of_node(repo, node, &versions, from, to)?))
    }
);

/// The files of one commit that differ from another's.
#[derive(Default)]
pub struct Side {
    pub files: Vec<FileAt>,
    pub facts: HashMap<i32, Rc<FileFacts>>,
    texts: HashMap<i32, Text>,
    /// By node: the file, and the definition's number where it is not the file's own.
    pub places: HashMap<i64, (usize, Option<usize>)>,
}

impl Side {
    /// Of files.
    pub fn new(files: Vec<FileAt>) -> Result<Self, Error> {
        let ids: Vec<i32> = files.iter().map(|file| file.content).collect();
        let facts = contents::facts(&ids)?;
        let texts = contents::texts(&ids)?;
        let mut places = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            for (place, node) in file.nodes.iter().enumerate() {
                places.insert(*node, (number, place.checked_sub(1)));
            }
        }
        Ok(Self { files, facts, texts, places })
    }

    /// A node, if it is there.
    pub fn get(&self, node: i64) -> Option<Symbol<'_>> {
        let (file, ordinal) = *self.places.get(&node)?;
        let file = &self.files[file];
        let definition = match ordinal {
            Some(ordinal) => Some(self.facts.get(&file.content)?.definitions.get(ordinal)?),
            None => None,
        };
        Some(Symbol { file, definition })
    }

    /// The text of a file.
    pub fn text(&self, file: &FileAt) -> Rc<Vec<u8>> {
        self.texts.get(&file.content).map(|text| text.text.clone()).unwrap_or_default()
    }
}

/// A symbol on one side.
pub struct Symbol<'a> {
    pub file: &'a FileAt,
    /// None for the file's own.
    pub definition: Option<&'a Definition>,
}

impl Symbol<'_> {
    pub fn kind(&self) -> &'static str {
        self.definition.map_or("file", |d| d.kind.as_str())
    }

    pub fn name(&self) -> &str {
        match self.definition {
            Some(d) => &d.name,
            None => self.file.path.rsplit('/').next().unwrap_or_default(),
        }
    }

    pub fn qualified_name(&self) -> String {
        match self.definition {
            Some(d) => state::qualified(
                &self.file.module,
                Language::from_name(&self.file.language),
                &d.qualified_name,
            ),
            None => self.file.path.clone(),
        }
    }

    fn lines(&self) -> (i32, i32) {
        match self.definition {
            Some(d) => (d.start_line as i32, d.end_line as i32),
            None => (1, self.file.lines.max(1)),
        }
    }
}

/// How a symbol differs; the strongest where several fit.
fn kind_of(old: &Symbol<'_>, new: &Symbol<'_>) -> Option<&'static str> {
    let moved = old.file.path != new.file.path;
    match (old.definition, new.definition) {
        (Some(old), Some(new)) => {
            if old.qualified_name != new.qualified_name {
                return Some("renamed");
            }
            let same = old.hash == new.hash
                && old.doc == new.doc
                && old.signature == new.signature
                && old.attributes == new.attributes
                && old.visibility == new.visibility;
            if moved { Some("moved") } else { (!same).then_some("modified") }
        }
        _ if old.name() != new.name() => Some("renamed"),
        _ if moved => Some("moved"),
        _ => (old.file.content != new.file.content).then_some("modified"),
    }
}

/// Rows of a diff.
struct Differences {
    from: Side,
    to: Side,
    nodes: std::vec::IntoIter<i64>,
}

impl Differences {
    fn between(repo: i64, from: i32, to: i32) -> Result<Self, Error> {
        let (before, after) = (Snapshot::at(repo, from)?, Snapshot::at(repo, to)?);
        let differs = |one: &Snapshot, other: &Snapshot| -> Vec<i32> {
            let files = one.files.iter();
            let differing = files.filter(|(path, commit)| other.files.get(path) != Some(commit));
            differing.map(|(path, _)| *path).collect()
        };
        let from = Side::new(before.particulars(&differs(&before, &after))?)?;
        let to = Side::new(after.particulars(&differs(&after, &before))?)?;
        // In the order of the new files, what is gone behind.
        let mut nodes: Vec<i64> = to.files.iter().flat_map(|f| f.nodes.iter().copied()).collect();
        let gone = from.files.iter().flat_map(|file| file.nodes.iter().copied());
        nodes.extend(gone.filter(|node| !to.places.contains_key(node)));
        Ok(Self { from, to, nodes: nodes.into_iter() })
    }

    fn of_node(
        repo: i64,
        node: i64,
        versions: &[SymbolRow],
        from: i32,
        to: i32,
    ) -> Result<Self, Error> {
        let side = |commit| -> Result<Side, Error> {
            let found = version::find(repo, node, commit, versions)?;
            Side::new(found.map(|found| found.file).into_iter().collect())
        };
        Ok(Self { from: side(from)?, to: side(to)?, nodes: vec![node].into_iter() })
    }
}

fn piece(side: &Side, symbol: Option<&Symbol<'_>>) -> Result<String, Error> {
    match symbol {
        Some(symbol) => version::slice(&side.text(symbol.file), symbol.definition),
        None => Ok(String::new()),
    }
}

impl Source for Differences {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        for node in self.nodes.by_ref() {
            let (old, new) = (self.from.get(node), self.to.get(node));
            let kind = match (&old, &new) {
                (Some(old), Some(new)) => kind_of(old, new),
                (Some(_), None) => Some("removed"),
                (None, Some(_)) => Some("added"),
                (None, None) => None,
            };
            let (Some(kind), Some(shown)) = (kind, new.as_ref().or(old.as_ref())) else { continue };
            let text = onyx_diff::lines::unified(
                old.as_ref().map(|symbol| symbol.file.path.as_str()),
                &piece(&self.from, old.as_ref())?,
                new.as_ref().map(|symbol| symbol.file.path.as_str()),
                &piece(&self.to, new.as_ref())?,
                CONTEXT,
            );
            row.begin().value(kind).value(node).value(shown.kind());
            for symbol in [&old, &new] {
                let definition = symbol.as_ref().and_then(|symbol| symbol.definition);
                let lines = symbol.as_ref().map(Symbol::lines);
                row.value(symbol.as_ref().map(|symbol| symbol.file.path.as_str()))
                    .value(symbol.as_ref().map(Symbol::name))
                    .value(symbol.as_ref().map(Symbol::qualified_name))
                    .value(definition.map(|d| d.signature.as_str()))
                    .value(lines.map(|(first, _)| first))
                    .value(lines.map(|(_, last)| last))
                    .value(definition.map(|d| d.hash.as_slice()));
            }
            row.value((!text.is_empty()).then_some(text));
            return Ok(true);
        }
        Ok(false)
    }

    fn allocates(&self) -> bool {
        true
    }
}
