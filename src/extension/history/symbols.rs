//! The nodes of a commit in a session's memory: where each is, and what is searched of it.
//!
//! What a commit shows never changes, with one exception: of a node that is as its repository's first
//! ingest made it there is no version, and its search text is that of `onyx.nodes`; it gets its version
//! when it changes for the first time. So where there are such nodes, what is kept holds only until the
//! repository's next commit. See `past` for who is answered from it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::rc::Rc;

use onyx_protocol::facts::Language;
use pgrx::prelude::*;

use super::commits::Commits;
use super::snapshot::{FileAt, Snapshot};
use super::state::{directory, qualified};
use super::{contents, past, symbol_changes};
use crate::error::Error;
use crate::graph::ids::IdMap;
use crate::{guc, query};

/// Commits kept.
const KEPT: usize = 4;
/// Bytes a node takes, one with a text, and a file beside its path.
const NODE_BYTES: usize = 24;
const SEARCHED_BYTES: usize = 24;
const FILE_BYTES: usize = 200;
/// The tables a commit's nodes and their texts are read from.
const TABLES: [&CStr; 8] = [
    c"commits",
    c"file_versions",
    c"paths",
    c"contents",
    c"symbol_changes",
    c"symbol_names",
    c"search_texts",
    c"nodes",
];

/// A definition's place: its file, and its number there; 0 is the file itself.
#[derive(Clone, Copy, Default)]
pub struct Place {
    pub file: u32,
    pub number: u32,
}

/// A definition with a text that is searched.
#[derive(Clone, Copy)]
pub struct Searched {
    /// Row of `onyx.search_texts`.
    pub text: i32,
    pub node: i64,
    pub place: Place,
    /// Number of its kind.
    pub kind: u16,
}

/// Numbers in a range, a bit each.
#[derive(Default)]
struct Bits {
    first: i32,
    words: Vec<u64>,
}

impl Bits {
    /// Of numbers in ascending order.
    fn of(numbers: impl Iterator<Item = i32> + Clone) -> Self {
        let (Some(first), Some(last)) = (numbers.clone().next(), numbers.clone().last()) else {
            return Self::default();
        };
        let mut words = vec![0; (last.abs_diff(first) / 64) as usize + 1];
        for number in numbers {
            let at = number.abs_diff(first);
            words[(at / 64) as usize] |= 1 << (at % 64);
        }
        Self { first, words }
    }

    #[inline]
    fn has(&self, number: i32) -> bool {
        let at = number.wrapping_sub(self.first) as u32;
        self.words.get((at / 64) as usize).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// The nodes of a commit.
pub struct Symbols {
    pub repo: i64,
    /// Files in the order of their paths; their nodes are in `places`.
    pub files: Vec<FileAt>,
    /// Files and definitions by node.
    places: Vec<(i64, Place)>,
    /// Definitions whose text is in `onyx.search_texts`, by text and node.
    searched: Vec<Searched>,
    texts: Bits,
    kinds: Vec<String>,
    /// Definitions without a version, by node: those whose text, if they have one, is in `onyx.nodes`.
    pub unversioned: Vec<(i64, Place)>,
    /// How many nodes there are, directories included.
    pub count: usize,
    /// The repository's last commit when this was read.
    newest: i32,
}

/// What is kept, by epoch and commit; what was asked for last comes last.
type Kept<K, T> = RefCell<Vec<(K, Rc<T>)>>;

thread_local! {
    static SYMBOLS: Kept<(i64, i32), Symbols> = const { RefCell::new(Vec::new()) };
}

impl Symbols {
    /// Those at a commit of a repository.
    pub fn at(repo: i64, commit: i32) -> Result<Rc<Self>, Error> {
        let newest = query::one::<i32>(
            c"SELECT pg_catalog.max(id) FROM onyx.commits WHERE repo_id = $1",
            &[(pg_sys::INT8OID, repo.into_datum())],
        )?
        .unwrap_or_default();
        if !past::may_keep(&TABLES) {
            return Ok(Rc::new(Self::read(repo, commit, newest)?));
        }
        // What a commit shows changes when others before it are forgotten.
        let wanted = (Commits::of(repo)?.epoch(), commit);
        let kept = SYMBOLS.with_borrow_mut(|all| {
            let place = all.iter().position(|(key, _)| *key == wanted)?;
            let entry = all.remove(place);
            let symbols = entry.1.clone();
            if !symbols.unversioned.is_empty() && symbols.newest != newest {
                return None;
            }
            all.push(entry);
            Some(symbols)
        });
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let symbols = Rc::new(Self::read(repo, commit, newest)?);
        let room = usize::try_from(guc::GRAPH_CACHE_SIZE_MB.get()).unwrap_or(0) << 20;
        if symbols.bytes() <= room / KEPT {
            SYMBOLS.with_borrow_mut(|all| {
                if all.len() >= KEPT {
                    all.remove(0);
                }
                all.push((wanted, symbols.clone()));
            });
        }
        Ok(symbols)
    }

    fn bytes(&self) -> usize {
        let paths: usize = self.files.iter().map(|file| file.path.len() + FILE_BYTES).sum();
        paths
            + (self.places.len() + self.unversioned.len()) * NODE_BYTES
            + self.searched.len() * SEARCHED_BYTES
            + self.texts.words.len() * 8
    }

    fn read(repo: i64, commit: i32, newest: i32) -> Result<Self, Error> {
        let mut files = Snapshot::at(repo, commit)?.all()?;
        let mut directories = HashSet::new();
        for file in &files {
            let mut path = directory(&file.path);
            while let Some(at) = path.filter(|at| directories.insert(*at)) {
                path = directory(at);
            }
        }
        let directories = directories.len();
        let mut places = Vec::new();
        for (file, place) in files.iter_mut().zip(0..) {
            let nodes = std::mem::take(&mut file.nodes).into_iter().zip(0..);
            places.extend(nodes.map(|(node, number)| (node, Place { file: place, number })));
        }
        places.sort_unstable_by_key(|(node, _)| *node);

        let (kinds, kind_of) = kinds(repo)?;
        let last = last_words(repo, commit, &places)?;
        let (mut searched, mut unversioned) = (Vec::new(), Vec::new());
        for ((node, place), word) in places.iter().zip(last) {
            match word {
                None if place.number > 0 => unversioned.push((*node, *place)),
                Some((text, name)) if text != 0 => searched.push(Searched {
                    text,
                    node: *node,
                    place: *place,
                    kind: kind_of.get(&name).copied().unwrap_or(u16::MAX),
                }),
                _ => {}
            }
        }
        searched.sort_unstable_by_key(|s| (s.text, s.node));
        let texts = Bits::of(searched.iter().map(|s| s.text));
        let count = places.len() + directories;
        Ok(Self { repo, files, places, searched, texts, kinds, unversioned, count, newest })
    }

    /// The definitions with a text.
    pub fn with_text(&self, text: i32) -> &[Searched] {
        if !self.texts.has(text) {
            return &[];
        }
        let start = self.searched.partition_point(|s| s.text < text);
        let count = self.searched[start..].iter().take_while(|s| s.text == text).count();
        &self.searched[start..start + count]
    }

    /// How many of the texts are those of wanted definitions.
    pub fn count_texts(&self, wanted: impl Fn(Place, &str) -> bool) -> usize {
        let texts = self.searched.chunk_by(|a, b| a.text == b.text);
        texts.filter(|all| all.iter().any(|s| wanted(s.place, self.kind(s.kind)))).count()
    }

    /// Whether any definition's text is in `onyx.search_texts`.
    pub fn has_texts(&self) -> bool {
        !self.searched.is_empty()
    }

    /// The name of a kind's number.
    pub fn kind(&self, number: u16) -> &str {
        self.kinds.get(number as usize).map_or("", String::as_str)
    }

    /// Where a node is.
    pub fn place(&self, node: i64) -> Option<Place> {
        let at = self.places.binary_search_by_key(&node, |(node, _)| *node).ok()?;
        Some(self.places[at].1)
    }

    /// What is said of nodes: those that are there, in the order asked.
    pub fn describe(&self, nodes: &[i64]) -> Result<Vec<Described>, Error> {
        let found: Vec<(i64, Place)> =
            nodes.iter().filter_map(|node| Some((*node, self.place(*node)?))).collect();
        let mut ids: Vec<i32> =
            found.iter().map(|(_, place)| self.files[place.file as usize].content).collect();
        ids.sort_unstable();
        ids.dedup();
        let facts = contents::facts(&ids)?;
        let described = found.into_iter().filter_map(|(node, place)| {
            let file = &self.files[place.file as usize];
            let language = Language::from_name(&file.language);
            let start = |kind: &str| Described {
                node,
                path: file.path.clone(),
                language: file.language.clone(),
                kind: kind.to_owned(),
                start_line: 1,
                end_line: file.lines.max(1),
                name: file.path.rsplit('/').next().unwrap_or_default().to_owned(),
                qualified_name: file.path.clone(),
                signature: String::new(),
            };
            let Some(number) = place.number.checked_sub(1) else { return Some(start("file")) };
            let d = facts.get(&file.content)?.definitions.get(number as usize)?;
            Some(Described {
                start_line: d.start_line as i32,
                end_line: d.end_line as i32,
                name: d.name.clone(),
                qualified_name: qualified(&file.module, language, &d.qualified_name),
                signature: d.signature.clone(),
                ..start(d.kind.as_str())
            })
        });
        Ok(described.collect())
    }
}

/// A file or definition as it was.
pub struct Described {
    pub node: i64,
    pub path: String,
    pub language: String,
    pub kind: String,
    pub start_line: i32,
    pub end_line: i32,
    pub name: String,
    pub qualified_name: String,
    pub signature: String,
}

/// Kinds of a repository's names: all, and the number of each name's.
fn kinds(repo: i64) -> Result<(Vec<String>, HashMap<i32, u16>), Error> {
    let (mut all, mut of): (Vec<String>, _) = (Vec::new(), HashMap::new());
    query::each(
        c"SELECT m.id, m.kind FROM onyx.symbol_names m WHERE m.repo_id = $1",
        &[(pg_sys::INT8OID, repo.into_datum())],
        &mut |row| {
            if let (Some(id), Some(kind)) = (row.get::<i32>(1), row.get::<&str>(2)) {
                let number = all.iter().position(|known| known == kind).unwrap_or_else(|| {
                    all.push(kind.to_owned());
                    all.len() - 1
                });
                of.insert(id, number as u16);
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok((all, of))
}

/// The last word on each of these nodes along a commit's first parents: its text, 0 where it has none, and
/// its name.
fn last_words(
    repo: i64,
    commit: i32,
    nodes: &[(i64, Place)],
) -> Result<Vec<Option<(i32, i32)>>, Error> {
    let commits = Commits::of(repo)?;
    let at: IdMap<u32> = nodes.iter().map(|(node, _)| *node).zip(0..).collect();
    let mut words: Vec<Option<(u32, i32, i32)>> = vec![None; nodes.len()];
    // Of the rows of one commit that follow each other the answer is the same.
    let mut asked = (0, None);
    symbol_changes::each_until(repo, commit, &mut |version| {
        let Some(at) = at.get(&version.symbol.node) else { return };
        if asked.0 != version.commit {
            let depth = commits.depth(version.commit);
            asked = (version.commit, depth.filter(|_| commits.is_on_line(version.commit, commit)));
        }
        let Some(depth) = asked.1 else { return };
        let word = &mut words[*at as usize];
        if word.is_none_or(|word| depth >= word.0) {
            *word =
                Some((depth, version.symbol.search_text.unwrap_or_default(), version.symbol.name));
        }
    })?;
    Ok(words.into_iter().map(|word| word.map(|(_, text, name)| (text, name))).collect())
}
