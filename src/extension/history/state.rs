//! `onyx.nodes_as_of`: the nodes of a commit.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use onyx_protocol::facts::{Definition, FileFacts, Language};
use pgrx::prelude::*;

use super::snapshot::{FileAt, Snapshot};
use super::{at, contents};
use crate::error::Error;
use crate::graph::rows::{Row, Source};
use crate::graph::{Answer, Arguments, row_function};
use crate::query;

/// Files whose definitions are read at once.
const BATCH_FILES: usize = 256;

row_function!(
    /// `onyx.nodes_as_of(repo, at)`.
    onyx_nodes_as_of,
    nodes_as_of
);

/// Makes the rows of `onyx.nodes_as_of`.
pub fn nodes_as_of(a: &Arguments) -> Answer {
    let Some(repo) = a.get::<&str>(0) else { return Ok(Box::new(crate::graph::rows::Nothing)) };
    let id = at::repo(repo)?;
    let commit = at::commit(id, a.get::<&str>(1))?;
    Ok(Box::new(Nodes::new(id, repo, commit)?))
}

/// A repository's or directory's node.
struct Place {
    id: i64,
    parent: Option<i64>,
    kind: &'static str,
    name: String,
    path: String,
}

/// Node ids of a repository's directories, by path; the repository's own at the empty path.
pub fn places(repo: i64) -> Result<HashMap<String, i64>, Error> {
    let mut found = HashMap::new();
    query::latest(
        c"SELECT path, node_id FROM onyx.paths WHERE repo_id = $1 AND node_id IS NOT NULL",
        &[(pg_sys::INT8OID, repo.into_datum())],
        &mut |row| {
            if let (Some(path), Some(id)) = (row.get::<String>(1), row.get::<i64>(2)) {
                found.insert(path, id);
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok(found)
}

/// The directory a path is in; none for the repository itself.
pub fn directory(path: &str) -> Option<&str> {
    if path.is_empty() {
        return None;
    }
    Some(path.rsplit_once('/').map_or("", |(directory, _)| directory))
}

/// A definition's qualified name in a module.
pub fn qualified(module: &str, language: Option<Language>, name: &str) -> String {
    match language {
        Some(language) if !module.is_empty() => format!("{module}{}{name}", language.separator()),
        _ => name.to_owned(),
    }
}

/// The nodes of a commit, parents before children.
struct Nodes {
    repo: i64,
    places: std::vec::IntoIter<Place>,
    directories: HashMap<String, i64>,
    files: Rc<Vec<FileAt>>,
    facts: HashMap<i32, Rc<FileFacts>>,
    /// The file being given, and how many of its nodes were.
    file: usize,
    given: usize,
    /// Files whose facts were read.
    read: usize,
}

impl Nodes {
    fn new(repo: i64, name: &str, commit: i32) -> Result<Self, Error> {
        let files = Snapshot::at(repo, commit)?.kept()?;
        let directories = places(repo)?;
        let mut wanted = std::collections::BTreeSet::new();
        for file in files.iter() {
            let mut path = directory(&file.path);
            while let Some(at) = path {
                if !wanted.insert(at) {
                    break;
                }
                path = directory(at);
            }
        }
        let places = wanted.into_iter().map(|path| Place {
            id: directories.get(path).copied().unwrap_or_default(),
            parent: directory(path).and_then(|parent| directories.get(parent).copied()),
            kind: if path.is_empty() { "repository" } else { "directory" },
            name: if path.is_empty() { name } else { path.rsplit('/').next().unwrap_or(path) }
                .into(),
            path: if path.is_empty() { name } else { path }.into(),
        });
        let places: Vec<Place> = places.collect();
        Ok(Self {
            repo,
            places: places.into_iter(),
            directories,
            files,
            facts: HashMap::new(),
            file: 0,
            given: 0,
            read: 0,
        })
    }

    fn read(&mut self) -> Result<(), Error> {
        let end = (self.file + BATCH_FILES).min(self.files.len());
        let ids: Vec<i32> = self.files[self.file..end].iter().map(|file| file.content).collect();
        self.facts = contents::facts(&ids)?;
        self.read = end;
        Ok(())
    }
}

impl Source for Nodes {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        if let Some(place) = self.places.next() {
            place.fill(self.repo, row);
            return Ok(true);
        }
        loop {
            if self.file >= self.files.len() {
                return Ok(false);
            }
            if self.file >= self.read {
                self.read()?;
            }
            let file = &self.files[self.file];
            let facts = self.facts.get(&file.content).map(|facts| &**facts);
            let given = self.given;
            self.given += 1;
            if given == 0 {
                let parent = directory(&file.path).and_then(|d| self.directories.get(d).copied());
                fill_file(self.repo, parent, file, facts, row);
                return Ok(true);
            }
            if let Some(facts) = facts
                && let Some(definition) = facts.definitions.get(given - 1)
            {
                fill_definition(self.repo, file, given, definition, row);
                return Ok(true);
            }
            self.file += 1;
            self.given = 0;
        }
    }
}

impl Place {
    fn fill(&self, repo: i64, row: &mut Row) {
        row.begin().value(self.id).value(repo).datum(None).value(self.parent).text(self.kind);
        row.text(&self.name).text(&self.path).datum(None).datum(None);
        row.text("").text("").texts(&[]);
        for _ in 0..6 {
            row.datum(None);
        }
    }
}

fn fill_file(
    repo: i64,
    parent: Option<i64>,
    file: &FileAt,
    facts: Option<&FileFacts>,
    row: &mut Row,
) {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    row.begin().value(file.nodes.first().copied()).value(repo).text(&file.path);
    row.value(parent).text("file").text(name).text(&file.path);
    row.text(&file.language).datum(None).text("");
    row.text(facts.map_or("", |facts| facts.doc.as_str())).texts(&[]);
    row.datum(None).value(0_i32).value(file.size).value(1_i32).value(file.lines.max(1)).datum(None);
}

fn fill_definition(
    repo: i64,
    file: &FileAt,
    number: usize,
    definition: &Definition,
    row: &mut Row,
) {
    let parent = definition.parent.map_or(0, |parent| parent as usize + 1);
    let separator = match Language::from_name(&file.language) {
        Some(language) if !file.module.is_empty() => language.separator(),
        _ => "",
    };
    let module = if separator.is_empty() { "" } else { file.module.as_str() };
    row.begin().value(file.nodes.get(number).copied()).value(repo).text(&file.path);
    row.value(file.nodes.get(parent).copied()).text(definition.kind.as_str());
    row.text(&definition.name).joined([module, separator, &definition.qualified_name]);
    row.text(&file.language).text(definition.visibility.as_str());
    row.text(&definition.signature).text(&definition.doc).texts(&definition.attributes);
    row.value(number as i32 - 1).value(definition.start_byte as i32);
    row.value(definition.end_byte as i32).value(definition.start_line as i32);
    row.value(definition.end_line as i32).bytes(&definition.hash);
}
