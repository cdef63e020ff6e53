//! Commits as the engine sends them to rows.

use std::collections::HashMap;

use onyx_protocol::history::{
    FileChange, HistoryCommit, NewContent, Reference, SymbolChange, made,
};
use onyx_protocol::numbers;
use onyx_protocol::stored_symbols::SymbolVersion;

use super::intern::{self, Directories, Name, Names, Paths, next_ids, next_small_ids};
use super::rows::{self, FileRow};
use super::symbol_changes::{self, SymbolRow};
use crate::error::Error;
use crate::search::Lexicon;

/// What a walk has made so far, by the numbers it gave, and what it knew before.
pub struct Recorder {
    repo: i64,
    nodes: Vec<i64>,
    contents: Vec<i32>,
    texts: Vec<i32>,
    paths: Paths,
    directories: Directories,
    names: Names,
    lexicon: Lexicon,
    /// Commits by git's id: row and depth.
    commits: HashMap<Vec<u8>, (i32, i32)>,
    /// A commit of which more parts are to come, and its row.
    part: Option<(Vec<u8>, i32)>,
}

/// A reference to something the walk did not make.
fn dangling(what: &str) -> Error {
    Error::Protocol { detail: format!("A commit names an unknown {what}.") }
}

impl Recorder {
    /// Into a repository with these commits.
    pub fn new(repo: i64, commits: HashMap<Vec<u8>, (i32, i32)>) -> Self {
        Self {
            repo,
            nodes: Vec::new(),
            contents: Vec::new(),
            texts: Vec::new(),
            paths: Paths::default(),
            directories: Directories::default(),
            names: Names::default(),
            lexicon: Lexicon::default(),
            commits,
            part: None,
        }
    }

    /// The row of a commit by git's id.
    pub fn commit(&self, id: &[u8]) -> Option<i32> {
        self.commits.get(id).map(|(row, _)| *row)
    }

    /// Writes commits, parents before children.
    pub fn record(&mut self, mut commits: Vec<HistoryCommit>) -> Result<(), Error> {
        // A large commit comes in parts; its row is made with the first.
        let mut ids: Vec<i32> = Vec::with_capacity(commits.len());
        let mut first = Vec::with_capacity(commits.len());
        for commit in &commits {
            let begun = self.part.take().filter(|(id, _)| *id == commit.id).map(|(_, row)| row);
            let row = match begun {
                Some(row) => row,
                None => next_small_ids("onyx.commits_id_seq", 1)?.remove(0),
            };
            ids.push(row);
            first.push(begun.is_none());
            if commit.more {
                self.part = Some((commit.id.clone(), row));
            }
        }
        let commit_rows = rows::commit_rows(&mut commits, &ids, &first, &mut self.commits);
        rows::insert_commits(self.repo, &commit_rows)?;
        self.record_changes(&commits, &ids)
    }

    /// Writes what a commit of Onyx's own changes; its row is made elsewhere.
    pub fn record_into(&mut self, commit: i32, parts: &[HistoryCommit]) -> Result<(), Error> {
        self.record_changes(parts, &vec![commit; parts.len()])
    }

    fn record_changes(&mut self, commits: &[HistoryCommit], ids: &[i32]) -> Result<(), Error> {
        let fresh: usize = commits.iter().map(|commit| commit.nodes as usize).sum();
        self.nodes.extend(next_ids("onyx.nodes_id_seq", fresh)?);
        let contents: Vec<&NewContent> = commits.iter().flat_map(|c| &c.contents).collect();
        let before = &self.contents;
        let made_contents = rows::insert_contents(self.repo, &contents, |content, so_far| {
            content.base.map(|base| reference(base, before, so_far)).transpose()
        })?;
        self.contents.extend(made_contents);
        let texts: Vec<&str> =
            commits.iter().flat_map(|c| &c.search_texts).map(String::as_str).collect();
        self.texts.extend(intern::search_texts(self.repo, &texts, &mut self.lexicon)?);

        let files = || commits.iter().flat_map(|commit| &commit.files);
        let paths = files().flat_map(|file| std::iter::once(&file.path).chain(&file.old_path));
        self.paths.learn(self.repo, paths)?;
        self.directories.learn(self.repo, files().map(|file| file.path.as_str()))?;
        let names: Vec<Name> = files().flat_map(|file| &file.symbols).map(name_of).collect();
        self.names.learn(self.repo, names.iter())?;

        let (mut file_rows, mut symbol_rows) = (Vec::new(), Vec::new());
        let mut names = names.iter();
        for (commit, id) in commits.iter().zip(ids) {
            for file in &commit.files {
                file_rows.push(self.file_row(*id, file)?);
                for symbol in &file.symbols {
                    let name = names.next().ok_or_else(|| dangling("name"))?;
                    symbol_rows.push(self.symbol_row(*id, file, symbol, name)?);
                }
            }
        }
        rows::insert_files(&file_rows)?;
        symbol_changes::insert(&symbol_rows)
    }

    /// The nodes of a recorded file: its own, then its definitions'.
    pub fn nodes_of(&self, file: &FileChange) -> Result<Vec<i64>, Error> {
        file.nodes.iter().map(|node| self.node(*node)).collect()
    }

    fn node(&self, node: Reference) -> Result<i64, Error> {
        match made(node) {
            None => Ok(node),
            Some(number) => self.nodes.get(number).copied().ok_or_else(|| dangling("node")),
        }
    }

    fn file_row(&self, commit: i32, file: &FileChange) -> Result<FileRow, Error> {
        Ok(FileRow {
            commit,
            path: self.paths.id(&file.path)?,
            old_path: file.old_path.as_deref().map(|path| self.paths.id(path)).transpose()?,
            content: file.content.map(|c| reference(c, &self.contents, &[])).transpose()?,
            lines: file.lines,
            change: file.kind.as_str(),
            module: file.module.clone(),
            nodes: numbers::encode(&self.nodes_of(file)?),
        })
    }

    fn symbol_row(
        &self,
        commit: i32,
        file: &FileChange,
        symbol: &SymbolChange,
        name: &Name,
    ) -> Result<SymbolRow, Error> {
        let text = symbol.search_text.and_then(made);
        let text = text
            .map(|number| self.texts.get(number).copied().ok_or_else(|| dangling("search text")));
        let symbol = SymbolVersion {
            node: self.node(symbol.node)?,
            name: self.names.id(name)?,
            search_text: text.transpose()?,
            ordinal: symbol.ordinal.map(|ordinal| ordinal as i32),
            lines: symbol.lines,
            changed_lines: symbol.changed_lines,
            similarity: symbol.similarity,
            body_changed: symbol.body_changed,
            change: symbol.kind,
        };
        Ok(SymbolRow { commit, path: self.paths.id(&file.path)?, symbol })
    }
}

fn name_of(symbol: &SymbolChange) -> Name {
    Name {
        kind: symbol.symbol.map_or("file", |kind| kind.as_str()),
        name: symbol.name.clone(),
        qualified_name: symbol.qualified_name.clone(),
    }
}

/// The row of a content: of the client's, or of those made before and now.
fn reference(content: Reference, before: &[i32], now: &[i32]) -> Result<i32, Error> {
    let found = match made(content) {
        None => i32::try_from(content).ok(),
        Some(number) => match number.checked_sub(before.len()) {
            None => before.get(number).copied(),
            Some(number) => now.get(number).copied(),
        },
    };
    found.ok_or_else(|| dangling("content"))
}
