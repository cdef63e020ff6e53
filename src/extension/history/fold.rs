//! What a commit takes over of commits before it that are forgotten: the difference from the nearest
//! commit on its line of first parents that stays, or its whole state when there is none.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use onyx_protocol::facts::Language;
use onyx_protocol::history::SymbolChangeKind;
use onyx_protocol::numbers;
use onyx_protocol::stored_symbols::SymbolVersion;
use pgrx::prelude::*;

use super::commits::Commits;
use super::intern::{self, Name, Names};
use super::rows::FileRow;
use super::snapshot::{FileAt, Snapshot};
use super::symbol_changes::SymbolRow;
use super::{contents, state};
use crate::error::Error;
use crate::search::Lexicon;

/// States kept while others are made of them.
const KEPT: usize = 8;

/// For each path the commit that last changed it.
type Files = HashMap<i32, i32>;

/// A row of `onyx.file_versions`: path, old path, whether the file is there.
type Word = (i32, Option<i32>, bool);

/// A commit whose first parent is forgotten.
pub struct Fold {
    pub commit: i32,
    /// Its first parent from then on.
    pub onto: Option<i32>,
    /// The forgotten commits between, and itself, the oldest first.
    line: Vec<i32>,
}

/// What goes and what stays of a repository's commits.
pub struct Plan {
    pub forgotten: HashSet<i32>,
    /// In ascending order.
    pub folds: Vec<Fold>,
}

impl Plan {
    /// Forgets these, but those where the lines of others part: with them, one line alone has to begin with
    /// its whole state, and lines that have commits in common keep one.
    pub fn new(commits: &Commits, mut forgotten: HashSet<i32>) -> Self {
        let mut lines: HashMap<i32, u32> = HashMap::new();
        for commit in commits.ids().iter().rev() {
            // Children come after their parents, so all that lead here have been counted.
            match lines.get(commit) {
                None if forgotten.contains(commit) => continue,
                Some(2..) => _ = forgotten.remove(commit),
                _ => {}
            }
            if let Some(parent) = commits.first_parent(*commit) {
                *lines.entry(parent).or_default() += 1;
            }
        }
        let mut folds = Vec::new();
        for &commit in commits.ids().iter().filter(|commit| !forgotten.contains(commit)) {
            let mut line = vec![commit];
            let mut at = commits.first_parent(commit);
            while let Some(parent) = at.filter(|parent| forgotten.contains(parent)) {
                line.push(parent);
                at = commits.first_parent(parent);
            }
            if line.len() > 1 {
                line.reverse();
                folds.push(Fold { commit, onto: at, line });
            }
        }
        Self { forgotten, folds }
    }

    /// The nearest commit that stays on the line of first parents of one, itself included.
    pub fn remaining(&self, commits: &Commits, commit: i32) -> Option<i32> {
        let mut at = Some(commit);
        while let Some(parent) = at.filter(|parent| self.forgotten.contains(parent)) {
            at = commits.first_parent(parent);
        }
        at
    }
}

/// Rows that take the place of those of forgotten commits and of those they are folded into.
#[derive(Default)]
pub struct Rows {
    pub files: Vec<FileRow>,
    pub symbols: Vec<SymbolRow>,
}

/// What symbols' rows of several commits come to.
struct Sum {
    path: i32,
    name: i32,
    search_text: Option<i32>,
    lines: u32,
    /// Of the last one alone.
    last: (u32, u32),
    all: (u32, u32),
    similarity: Option<f32>,
    body_changed: bool,
    change: SymbolChangeKind,
}

/// Makes the rows of folds.
pub struct Folder<'a> {
    repo: i64,
    commits: &'a Commits,
    /// Rows of `onyx.file_versions` by commit.
    words: HashMap<i32, Vec<Word>>,
    states: VecDeque<(i32, Rc<Files>)>,
    /// Nodes of a baseline that never changed: place, commit, path, file.
    implied: Vec<(i64, usize, i32, Rc<FileAt>)>,
}

impl<'a> Folder<'a> {
    pub fn new(repo: i64, commits: &'a Commits) -> Result<Self, Error> {
        let mut words: HashMap<i32, Vec<Word>> = HashMap::new();
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT v.commit_id, v.path_id, v.old_path_id, v.content_id IS NOT NULL
                 FROM onyx.commits c JOIN onyx.file_versions v ON v.commit_id = c.id
                 WHERE c.repo_id = $1",
                None,
                &[repo.into()],
            )?;
            for row in rows {
                if let (Some(commit), Some(path)) = (row.get::<i32>(1)?, row.get::<i32>(2)?) {
                    let word = (path, row.get::<i32>(3)?, row.get::<bool>(4)?.unwrap_or_default());
                    words.entry(commit).or_default().push(word);
                }
            }
            Ok::<_, Error>(())
        })?;
        Ok(Self { repo, commits, words, states: VecDeque::new(), implied: Vec::new() })
    }

    fn apply(&self, files: &mut Files, commit: i32) {
        let words = self.words.get(&commit).map_or(&[][..], Vec::as_slice);
        // A file that moved away has no row at its old path, unless another took its place.
        for old in words.iter().filter_map(|(_, old, _)| *old) {
            files.remove(&old);
        }
        for (path, _, is_there) in words {
            if *is_there {
                files.insert(*path, commit);
            } else {
                files.remove(path);
            }
        }
    }

    /// The files of a commit, before any row was changed.
    fn state(&mut self, commit: i32) -> Rc<Files> {
        let mut line = Vec::new();
        let mut at = Some(commit);
        let mut files = Files::new();
        while let Some(id) = at {
            if let Some((_, kept)) = self.states.iter().find(|(kept, _)| *kept == id) {
                files = Files::clone(kept);
                break;
            }
            line.push(id);
            at = self.commits.first_parent(id);
        }
        for id in line.into_iter().rev() {
            self.apply(&mut files, id);
        }
        let files = Rc::new(files);
        if self.states.len() >= KEPT {
            self.states.pop_front();
        }
        self.states.push_back((commit, files.clone()));
        files
    }

    /// Adds the rows of one.
    pub fn fold(&mut self, fold: &Fold, rows: &mut Rows) -> Result<(), Error> {
        let before = fold.onto.map(|onto| self.state(onto)).unwrap_or_default();
        let after = self.state(fold.commit);
        let changed = |(path, commit): &(&i32, &i32)| before.get(path) != Some(*commit);
        let new: Files = after.iter().filter(changed).map(|(p, c)| (*p, *c)).collect();
        let is_old = |path: &i32| new.contains_key(path) || !after.contains_key(path);
        let old: Files =
            before.iter().filter(|(path, _)| is_old(path)).map(|(p, c)| (*p, *c)).collect();
        let new = Snapshot::new(new).all()?;
        let old = Snapshot::new(old).all()?;
        let sums = sums(&fold.line)?;

        let old_files: HashMap<i64, &FileAt> =
            old.iter().filter_map(|file| Some((*file.nodes.first()?, file))).collect();
        let mut moved = HashSet::new();
        for file in &new {
            let own = file.nodes.first().copied().unwrap_or_default();
            let was = old_files.get(&own);
            let (change, old_path) = match was {
                Some(was) if was.path_id != file.path_id => ("renamed", Some(was.path_id)),
                _ if before.contains_key(&file.path_id) => ("modified", None),
                _ => ("added", None),
            };
            moved.extend(old_path);
            let lines = match sums.get(&own) {
                Some(sum) if change != "added" => sum.all,
                _ => (file.lines.max(0) as u32, 0),
            };
            rows.files.push(FileRow {
                commit: fold.commit,
                path: file.path_id,
                old_path,
                content: Some(file.content),
                lines,
                change,
                module: file.module.clone(),
                nodes: numbers::encode(&file.nodes),
            });
        }
        let is_gone =
            |file: &&FileAt| !after.contains_key(&file.path_id) && !moved.contains(&file.path_id);
        rows.files.extend(old.iter().filter(is_gone).map(|file| FileRow {
            commit: fold.commit,
            path: file.path_id,
            old_path: None,
            content: None,
            lines: (0, file.lines.max(0) as u32),
            change: "deleted",
            module: String::new(),
            nodes: Vec::new(),
        }));
        self.symbols(fold, old, new, &sums, rows);
        Ok(())
    }

    fn symbols(
        &mut self,
        fold: &Fold,
        old: Vec<FileAt>,
        new: Vec<FileAt>,
        sums: &HashMap<i64, Sum>,
        rows: &mut Rows,
    ) {
        let mut old: HashSet<i64> = old.into_iter().flat_map(|file| file.nodes).collect();
        for file in new.into_iter().map(Rc::new) {
            for (place, node) in file.nodes.iter().enumerate() {
                let was_there = old.remove(node);
                let Some(sum) = sums.get(node) else {
                    // Only its place in the file differs, or it is of a baseline and never changed.
                    if !was_there {
                        self.implied.push((*node, place, fold.commit, file.clone()));
                    }
                    continue;
                };
                let symbol = SymbolVersion {
                    node: *node,
                    name: sum.name,
                    search_text: sum.search_text,
                    ordinal: place.checked_sub(1).map(|ordinal| ordinal as i32),
                    lines: sum.lines,
                    changed_lines: if was_there { sum.all } else { (sum.lines, 0) },
                    similarity: sum.similarity.filter(|_| was_there),
                    body_changed: was_there && sum.body_changed,
                    change: if was_there { sum.change } else { SymbolChangeKind::Created },
                };
                rows.symbols.push(SymbolRow { commit: fold.commit, path: file.path_id, symbol });
            }
        }
        // Of what is left, what has a word of its own is gone.
        for node in old {
            let Some(sum) = sums.get(&node) else { continue };
            let symbol = SymbolVersion {
                node,
                name: sum.name,
                search_text: None,
                ordinal: None,
                lines: 0,
                changed_lines: sum.last,
                similarity: None,
                body_changed: false,
                change: SymbolChangeKind::Deleted,
            };
            rows.symbols.push(SymbolRow { commit: fold.commit, path: sum.path, symbol });
        }
    }

    /// Adds rows of nodes that had none.
    pub fn finish(self, rows: &mut Rows) -> Result<(), Error> {
        if self.implied.is_empty() {
            return Ok(());
        }
        let contents: HashSet<i32> = self.implied.iter().map(|(.., file)| file.content).collect();
        let facts = contents::facts(&contents.into_iter().collect::<Vec<_>>())?;
        let mut named = Vec::with_capacity(self.implied.len());
        for (node, place, commit, file) in &self.implied {
            let definition = match place.checked_sub(1) {
                None => None,
                Some(at) => match facts.get(&file.content).and_then(|f| f.definitions.get(at)) {
                    Some(definition) => Some(definition),
                    None => continue,
                },
            };
            let name = match definition {
                Some(d) => Name {
                    kind: d.kind.as_str(),
                    name: d.name.clone(),
                    qualified_name: state::qualified(
                        &file.module,
                        Language::from_name(&file.language),
                        &d.qualified_name,
                    ),
                },
                None => Name {
                    kind: "file",
                    name: file.path.rsplit('/').next().unwrap_or_default().into(),
                    qualified_name: file.path.clone(),
                },
            };
            let lines = match definition {
                Some(d) => (d.end_line + 1).saturating_sub(d.start_line),
                None => file.lines.max(0) as u32,
            };
            named.push((name, *node, *place, *commit, file.path_id, lines));
        }
        let mut names = Names::default();
        names.learn(self.repo, named.iter().map(|(name, ..)| name))?;
        let texts = search_texts(self.repo, named.iter().map(|(_, node, ..)| *node).collect())?;
        for (name, node, place, commit, path, lines) in named {
            let symbol = SymbolVersion {
                node,
                name: names.id(&name)?,
                search_text: texts.get(&node).copied(),
                ordinal: place.checked_sub(1).map(|ordinal| ordinal as i32),
                lines,
                changed_lines: (lines, 0),
                similarity: None,
                body_changed: false,
                change: SymbolChangeKind::Created,
            };
            rows.symbols.push(SymbolRow { commit, path, symbol });
        }
        Ok(())
    }
}

/// What the rows of some commits come to, by node.
fn sums(commits: &[i32]) -> Result<HashMap<i64, Sum>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "WITH s AS (
                 SELECT v.node_id, max(v.commit_id) AS commit_id, sum(v.lines_added)::integer AS added,
                        sum(v.lines_removed)::integer AS removed, min(v.similarity) AS similarity,
                        bool_or(v.body_changed) AS body_changed,
                        max(CASE v.change WHEN 'renamed' THEN 2 WHEN 'moved' THEN 1 ELSE 0 END) AS strength
                 FROM onyx.symbol_versions v WHERE v.commit_id = ANY ($1) GROUP BY v.node_id
             )
             SELECT v.node_id, v.path_id, v.name_id, v.search_text_id, v.lines, v.lines_added, v.lines_removed,
                    s.added, s.removed, s.similarity, s.body_changed, s.strength
             FROM s JOIN onyx.symbol_versions v ON (v.node_id, v.commit_id) = (s.node_id, s.commit_id)",
            None,
            &[commits.to_vec().into()],
        )?;
        let mut sums = HashMap::with_capacity(rows.len());
        for row in rows {
            let Some(node) = row.get::<i64>(1)? else { continue };
            let number = |i| row.get::<i32>(i).map(Option::unwrap_or_default);
            let count = |i| number(i).map(|n| n.max(0) as u32);
            let sum = Sum {
                path: number(2)?,
                name: number(3)?,
                search_text: row.get::<i32>(4)?,
                lines: count(5)?,
                last: (count(6)?, count(7)?),
                all: (count(8)?, count(9)?),
                similarity: row.get::<f32>(10)?,
                body_changed: row.get::<bool>(11)?.unwrap_or_default(),
                change: match number(12)? {
                    2 => SymbolChangeKind::Renamed,
                    1 => SymbolChangeKind::Moved,
                    _ => SymbolChangeKind::Modified,
                },
            };
            sums.insert(node, sum);
        }
        Ok(sums)
    })
}

/// Rows of what is searched of nodes at the head.
fn search_texts(repo: i64, nodes: Vec<i64>) -> Result<HashMap<i64, i32>, Error> {
    let found: Vec<(i64, String)> = Spi::connect(|client| {
        let rows = client.select(
            "SELECT id, search_text FROM onyx.nodes WHERE id = ANY ($1) AND search_text IS NOT NULL",
            None,
            &[nodes.into()],
        )?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            if let (Some(id), Some(text)) = (row.get::<i64>(1)?, row.get::<String>(2)?) {
                found.push((id, text));
            }
        }
        Ok::<_, Error>(found)
    })?;
    let mut seen = HashSet::new();
    let distinct: Vec<&str> =
        found.iter().map(|(_, text)| text.as_str()).filter(|text| seen.insert(*text)).collect();
    let ids = intern::search_texts(repo, &distinct, &mut Lexicon::default())?;
    let ids: HashMap<&str, i32> = distinct.into_iter().zip(ids).collect();
    Ok(found.iter().filter_map(|(node, text)| Some((*node, *ids.get(text.as_str())?))).collect())
}
