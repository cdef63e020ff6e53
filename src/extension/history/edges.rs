//! `onyx.edges_as_of`: the edges of a commit.
//!
//! They are not stored: the texts of the commit's files are parsed and resolved as an ingest of the
//! checkout would, and nothing is written. What is held here is the list of files with their nodes, one
//! batch, and bodies up to a bound; what does not fit is parsed a second time.

use std::collections::{BTreeSet, HashMap};

use onyx_protocol::code::{ResolveFile, ResolvedFile, Within};
use onyx_protocol::facts::{FileFacts, NodeKind};
use onyx_protocol::message::{Item, RequestBody, Response};
use pgrx::prelude::*;

use super::snapshot::{FileAt, Snapshot};
use super::state::{self, directory};
use super::{at, contents, head};
use crate::client;
use crate::error::Error;
use crate::graph::Arguments;
use crate::graph::rows::{self, Row};
use crate::ingest;

/// Bytes of source parsed, and of facts sent, at once.
const BATCH_BYTES: usize = 4 << 20;
/// Files whose definitions are read at once where nothing is parsed.
const BATCH_FILES: usize = 256;
/// Bytes of bodies that wait for their resolution.
const KEPT_BYTES: usize = 64 << 20;

/// An edge as it was.
pub struct EdgeAt<'a> {
    /// Where it starts.
    pub source: i64,
    /// Where it ends.
    pub target: i64,
    /// What it does.
    pub kind: &'a str,
    /// The file it is in; none for the containment of directories and files.
    pub path: Option<&'a str>,
    /// Line, from 1.
    pub line: Option<i32>,
    /// Column, from 1, in bytes.
    pub column: Option<i32>,
    /// How it was found; none for containment.
    pub resolution: Option<&'a str>,
    /// From 0 to 1.
    pub confidence: f32,
    /// The kind of what is contained; none for other edges.
    pub contained: Option<&'static str>,
}

/// Which edges are wanted.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// Containment.
    pub contains: bool,
    /// All others, which have to be resolved.
    pub links: bool,
}

/// Takes edges, one a call.
pub type Take<'a> = dyn FnMut(&EdgeAt<'_>) -> Result<(), Error> + 'a;

/// Calls `take` with the edges of a commit, containment first.
pub fn each(repo: i64, commit: i32, wanted: Wanted, take: &mut Take<'_>) -> Result<(), Error> {
    let files = Snapshot::at(repo, commit)?.all()?;
    let directories = state::places(repo)?;
    if wanted.contains {
        contained_directories(&files, &directories, take)?;
    }
    if wanted.links {
        let (directories, fitted) = (&directories, HashMap::new());
        return Resolution { repo, files: &files, directories, wanted, fitted }.run(take);
    }
    for batch in files.chunks(BATCH_FILES) {
        pgrx::check_for_interrupts!();
        let ids: Vec<i32> = batch.iter().map(|file| file.content).collect();
        let facts = contents::facts(&ids)?;
        for file in batch {
            contained(file, &directories, facts.get(&file.content).map(|facts| &**facts), take)?;
        }
    }
    Ok(())
}

/// Directories in directories.
fn contained_directories(
    files: &[FileAt],
    nodes: &HashMap<String, i64>,
    take: &mut Take<'_>,
) -> Result<(), Error> {
    let mut wanted = BTreeSet::new();
    for file in files {
        let mut path = directory(&file.path);
        while let Some(at) = path.filter(|at| wanted.insert(*at)) {
            path = directory(at);
        }
    }
    for path in wanted {
        let source = directory(path).and_then(|parent| nodes.get(parent));
        if let (Some(source), Some(target)) = (source, nodes.get(path)) {
            take(&containment(*source, *target, "directory", None, None))?;
        }
    }
    Ok(())
}

fn containment<'a>(
    source: i64,
    target: i64,
    kind: &'static str,
    path: Option<&'a str>,
    line: Option<i32>,
) -> EdgeAt<'a> {
    EdgeAt {
        source,
        target,
        kind: "contains",
        path,
        line,
        column: None,
        resolution: None,
        confidence: 1.0,
        contained: Some(kind),
    }
}

/// A file in its directory, and its definitions in it and in each other.
fn contained(
    file: &FileAt,
    directories: &HashMap<String, i64>,
    facts: Option<&FileFacts>,
    take: &mut Take<'_>,
) -> Result<(), Error> {
    let path = Some(file.path.as_str());
    let parent = directory(&file.path).and_then(|directory| directories.get(directory));
    if let (Some(source), Some(target)) = (parent, file.nodes.first()) {
        take(&containment(*source, *target, "file", path, Some(1)))?;
    }
    for (number, definition) in facts.iter().flat_map(|facts| &facts.definitions).enumerate() {
        let parent = definition.parent.map_or(0, |parent| parent as usize + 1);
        if let (Some(source), Some(target)) = (file.nodes.get(parent), file.nodes.get(number + 1)) {
            let (kind, line) = (NodeKind::as_str(definition.kind), definition.start_line as i32);
            take(&containment(*source, *target, kind, path, Some(line)))?;
        }
    }
    Ok(())
}

/// Files of a commit being resolved.
struct Resolution<'a> {
    repo: i64,
    files: &'a [FileAt],
    directories: &'a HashMap<String, i64>,
    wanted: Wanted,
    /// Nodes, by place in `files`, of those whose definitions another version of the parser found; 0 for none.
    fitted: HashMap<usize, Vec<i64>>,
}

impl Resolution<'_> {
    fn run(mut self, take: &mut Take<'_>) -> Result<(), Error> {
        client::call_patiently(RequestBody::ResolveBegin { repo: self.repo, state: None })?;
        let places: Vec<usize> = (0..self.files.len()).collect();
        let batches = ingest::cut(places, |at| self.files[*at].size.max(0) as usize, BATCH_BYTES);
        // By place in `files`; the engine knows files by the same number.
        let mut bodies: HashMap<i64, Vec<u8>> = HashMap::new();
        let mut kept = 0;
        for batch in &batches {
            pgrx::check_for_interrupts!();
            ingest::with_own_memory(|| self.add(batch, &mut bodies, &mut kept, take))?;
        }
        let Response::Planned { files: planned, .. } = client::call(RequestBody::ResolvePlan)?
        else {
            return Err(Error::Protocol { detail: "A plan was expected.".into() });
        };
        let mut planned = planned.into_iter().peekable();
        for batch in &batches {
            pgrx::check_for_interrupts!();
            let Some(last) = batch.last() else { continue };
            let mut numbers = Vec::with_capacity(batch.len());
            while let Some(number) = planned.next_if(|number| *number as usize <= *last) {
                numbers.push(number);
            }
            ingest::with_own_memory(|| self.resolve(&numbers, &mut bodies, take))?;
        }
        client::call(RequestBody::ResolveEnd { states: Vec::new() })?;
        Ok(())
    }

    /// Parses files and gives the engine what others can see of them.
    fn add(
        &mut self,
        batch: &[usize],
        bodies: &mut HashMap<i64, Vec<u8>>,
        kept: &mut usize,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        let Some(first) = batch.first() else { return Ok(()) };
        let files = &self.files[*first..first + batch.len()];
        let mut interfaces = Vec::with_capacity(files.len());
        let mut unparsed = vec![true; files.len()];
        head::parse(files, |place, parsed, fitted| {
            let file = &files[place];
            match fitted {
                Some(nodes) => _ = self.fitted.insert(first + place, nodes),
                None => {
                    self.check(file, &parsed.facts)?;
                    unparsed[place] = false;
                    if self.wanted.contains {
                        contained(file, self.directories, Some(&parsed.facts), take)?;
                    }
                }
            }
            let number = (first + place) as i64;
            if *kept + parsed.body.len() <= KEPT_BYTES {
                *kept += parsed.body.len();
                bodies.insert(number, parsed.body);
            }
            interfaces.push(ResolveFile {
                file: number,
                path: parsed.path,
                language: parsed.language,
                module: file.module.clone(),
                package: parsed.facts.package,
                interface: parsed.interface,
                dependencies: None,
            });
            Ok(())
        })?;
        if self.wanted.contains {
            // What limits of parsing keep out now is there all the same, and what another version of the parser
            // found as it found it.
            let left = files.iter().zip(&unparsed).filter(|(_, unparsed)| **unparsed);
            let left: Vec<&FileAt> = left.map(|(file, _)| file).collect();
            let ids: Vec<i32> = left.iter().map(|file| file.content).collect();
            let facts = if ids.is_empty() { HashMap::new() } else { contents::facts(&ids)? };
            for file in left {
                let facts = facts.get(&file.content).map(|facts| &**facts);
                contained(file, self.directories, facts, take)?;
            }
        }
        let size = |file: &ResolveFile| file.path.len() + file.interface.len();
        for files in ingest::cut(interfaces, size, BATCH_BYTES) {
            client::call(RequestBody::ResolveAdd { repo: self.repo, files })?;
        }
        Ok(())
    }

    /// Node ids are kept by a definition's number, so both sides must have found the same.
    fn check(&self, file: &FileAt, facts: &FileFacts) -> Result<(), Error> {
        if facts.definitions.len() + 1 == file.nodes.len() {
            return Ok(());
        }
        Err(Error::sql(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("the definitions of \"{}\" were found by another version of Onyx", file.path),
        )
        .with_hint("Forget the repository and ingest it again with its history."))
    }

    /// Resolves some files; `bodies` loses theirs.
    fn resolve(
        &self,
        numbers: &[i64],
        bodies: &mut HashMap<i64, Vec<u8>>,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        let missing: Vec<i64> =
            numbers.iter().copied().filter(|number| !bodies.contains_key(number)).collect();
        if !missing.is_empty() {
            let files: Vec<FileAt> =
                missing.iter().filter_map(|at| self.files.get(*at as usize).cloned()).collect();
            head::parse(&files, |place, parsed, _| {
                bodies.insert(missing[place], parsed.body);
                Ok(())
            })?;
        }
        let batch = numbers.iter().filter_map(|number| Some((*number, bodies.remove(number)?)));
        for bodies in ingest::cut(batch.collect(), |(_, body)| body.len(), BATCH_BYTES) {
            client::stream(RequestBody::ResolveFiles { bodies }, |item| match item {
                Item::Resolved(files) => files.iter().try_for_each(|file| self.links(file, take)),
                _ => Err(Error::Protocol { detail: "Edges were expected.".into() }),
            })?;
        }
        Ok(())
    }

    fn links(&self, file: &ResolvedFile, take: &mut Take<'_>) -> Result<(), Error> {
        let path = self.files.get(file.file as usize).map(|file| file.path.as_str());
        for edge in &file.edges {
            let source = self.node(file.file, edge.source);
            let target = self.node(edge.file, edge.target);
            if let (Some(source), Some(target)) = (source, target) {
                take(&EdgeAt {
                    source,
                    target,
                    kind: edge.kind.as_str(),
                    path,
                    line: Some(edge.line as i32),
                    column: Some(edge.column as i32),
                    resolution: Some(&edge.resolution),
                    confidence: edge.confidence,
                    contained: None,
                })?;
            }
        }
        Ok(())
    }

    fn node(&self, file: i64, within: Within) -> Option<i64> {
        let nodes = match self.fitted.get(&(file as usize)) {
            Some(nodes) => nodes,
            None => &self.files.get(file as usize)?.nodes,
        };
        nodes.get(within.0 as usize).copied().filter(|node| *node != 0)
    }
}

rows::whole_function!(
    /// `onyx.edges_as_of(repo, at)`.
    onyx_edges_as_of,
    edges_as_of
);

fn edges_as_of(a: &Arguments, sheet: &mut rows::Sheet) -> Result<(), Error> {
    let Some(repo) = a.get::<&str>(0) else { return Ok(()) };
    let repo = at::repo(repo)?;
    let commit = at::commit(repo, a.get::<&str>(1))?;
    let wanted = Wanted { contains: true, links: true };
    each(repo, commit, wanted, &mut |edge| {
        sheet.put(|row| fill(repo, edge, row));
        Ok(())
    })
}

fn fill(repo: i64, edge: &EdgeAt<'_>, row: &mut Row) {
    row.begin().value(repo).value(edge.path).value(edge.source).value(edge.target);
    row.value(edge.kind).value(edge.line).value(edge.column).value(edge.resolution);
    row.value(edge.confidence);
}
