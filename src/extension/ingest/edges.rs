//! Edges: what parsing said of names goes to the engine, and what it resolves becomes links.
//!
//! A file's facts are kept in `onyx.file_facts`. After the nodes are written, files that changed are
//! resolved, then those whose resolution looked up what is another now: in the repository, and in others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onyx_protocol::code::{ResolveFile, ResolvedFile, Within};
use onyx_protocol::ingest::ParsedFile;
use pgrx::prelude::*;

use super::borders::{self, Border};
use super::links::{self, Link};
use super::locks::Wanted;
use super::resolution::{Files, Resolution, Seen, new_state, read_files, state_of};
use super::{sql_strings, with_own_memory};
use crate::error::Error;

/// Links written at once.
const BATCH_LINKS: usize = 8_000;
/// With so many files to resolve, the nodes of all of a repository are read at once.
const MANY_FILES: usize = 400;

/// What one ingest changes of a repository's edges.
pub struct Edges {
    repo: i64,
    /// Files as they were, and those that are gone.
    before: Vec<ResolveFile>,
    /// Files written.
    now: Vec<i64>,
    /// Their nodes, as in [`Nodes`].
    nodes: HashMap<i64, Vec<i64>>,
}

impl Edges {
    pub fn new(repo: i64) -> Self {
        Self { repo, before: Vec::new(), now: Vec::new(), nodes: HashMap::new() }
    }

    /// Remembers files that are about to be replaced or removed.
    pub fn remember(&mut self, files: &[i64]) -> Result<(), Error> {
        if !files.is_empty() {
            let rows = read_files("f.id = ANY ($1)", &[files.to_vec().into()], files.len())?;
            self.before.extend(rows);
        }
        Ok(())
    }

    /// Keeps the facts of files just written.
    pub fn keep(&mut self, ids: &[i64], files: &[ParsedFile]) -> Result<(), Error> {
        self.now.extend(ids);
        let interfaces: Vec<&[u8]> = files.iter().map(|f| f.interface.as_slice()).collect();
        let bodies: Vec<&[u8]> = files.iter().map(|f| f.body.as_slice()).collect();
        Spi::run_with_args(
            "INSERT INTO onyx.file_facts AS x (file_id, interface, body)
             SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])
             ON CONFLICT (file_id) DO UPDATE SET
                 interface = excluded.interface, body = excluded.body, dependencies = NULL,
                 unresolved = NULL",
            &[ids.to_vec().into(), interfaces.into(), bodies.into()],
        )?;
        sql_strings::keep(ids, files)
    }

    /// Takes the nodes of a file just written: its own, then its definitions' by number.
    pub fn name(&mut self, file: i64, nodes: Vec<i64>) {
        self.nodes.insert(file, nodes);
    }

    /// Resolves what has to be and writes the links; returns how many of this repository.
    pub fn write(self) -> Result<u64, Error> {
        if self.before.is_empty() && self.now.is_empty() {
            return Ok(0);
        }
        let is_new = state_of(self.repo)?.is_none();
        let mut resolution = Resolution::begin(self.repo, Files::Changed(self.before, &self.now))?;
        let plan = resolution.plan()?;
        let mut looked = Looked::default();
        let nodes = Nodes::of(self.repo, self.nodes, plan.files.len())?;
        let (mut written, _) =
            write_links(self.repo, &mut resolution, &plan.files, nodes, &mut looked)?;
        looked.seen = resolution.end(new_state(self.repo)?)?;
        // Of what was not there before, others can have looked up the names only.
        let changed: Vec<u64> = match is_new {
            true => looked.provides.iter().copied().collect(),
            false => plan.changed,
        };
        // Nothing of others is written before all that this depends on stands still.
        let mut dependents = borders::dependents(&changed, self.repo)?;
        loop {
            let held = looked.wanted(dependents.keys()).take();
            let now = borders::dependents(&changed, self.repo)?;
            let is_current = looked.seen.is_current(self.repo)?;
            if is_current && now.keys().all(|repo| dependents.contains_key(repo)) {
                dependents = now;
                break;
            }
            held.release();
            dependents = now;
            if !is_current {
                let (more, fewer) = again(self.repo, &mut looked, None)?;
                written = (written + more).saturating_sub(fewer);
            }
        }
        write_dependents(dependents, self.repo)?;
        sql_strings::link(&self.now)?;
        Ok(written)
    }
}

/// What resolved files of a repository looked up beyond it.
#[derive(Default)]
struct Looked {
    /// The files that did, all of whose look-ups are in `seen`.
    files: BTreeSet<i64>,
    seen: Seen,
    /// Names that they did not look up or provide before.
    names: BTreeSet<u64>,
    provides: BTreeSet<u64>,
}

impl Looked {
    fn take(&mut self, files: &[ResolvedFile]) -> Result<(), Error> {
        let ids: Vec<i64> = files.iter().map(|file| file.file).collect();
        let before = borders::of(&ids)?;
        let nothing = Border::default();
        for file in files {
            let before = before.get(&file.file).unwrap_or(&nothing);
            if !file.names.is_empty() {
                self.files.insert(file.file);
            }
            let is_new = |name: &&u64| before.wants.binary_search(name).is_err();
            self.names.extend(file.names.iter().filter(is_new));
            let is_new = |name: &&u64| before.provides.binary_search(name).is_err();
            self.provides.extend(file.provides.iter().filter(is_new));
        }
        Ok(())
    }

    /// The locks for these, and to write files of other repositories.
    fn wanted<'a>(&self, others: impl Iterator<Item = &'a i64>) -> Wanted {
        let mut wanted = Wanted::default();
        self.names.iter().for_each(|name| wanted.look_up(*name));
        self.provides.iter().for_each(|name| wanted.provide(*name));
        self.seen.repos.keys().for_each(|repo| wanted.read(*repo));
        others.for_each(|repo| wanted.change(*repo));
        wanted
    }
}

/// Resolves files anew that looked up something beyond their repository; returns as
/// `write_links` does.
fn again(repo: i64, looked: &mut Looked, of: Option<i64>) -> Result<(u64, u64), Error> {
    let files: Vec<i64> = std::mem::take(&mut looked.files).into_iter().collect();
    let mut resolution = Resolution::begin(repo, Files::Changed(Vec::new(), &[]))?;
    if let Some(of) = of {
        resolution.use_repository(of)?;
    }
    let nodes = Nodes::new(repo, files.len())?;
    let written = write_links(repo, &mut resolution, &files, nodes, looked)?;
    looked.seen = resolution.end(new_state(repo)?)?;
    Ok(written)
}

/// Resolves files of other repositories, which are locked, again that looked up something of one.
pub fn write_dependents(files: BTreeMap<i64, Vec<i64>>, of: i64) -> Result<(), Error> {
    for (repo, files) in files {
        let mut looked = Looked { files: files.into_iter().collect(), ..Looked::default() };
        loop {
            again(repo, &mut looked, Some(of))?;
            // They may lead into yet others now.
            looked.wanted(std::iter::empty()).take();
            if looked.seen.is_current(repo)? {
                break;
            }
        }
    }
    Ok(())
}

/// Resolves files of a repository and writes their links in place of those they had. Returns how many
/// there are, and were.
fn write_links(
    repo: i64,
    resolution: &mut Resolution,
    files: &[i64],
    nodes: Nodes,
    looked: &mut Looked,
) -> Result<(u64, u64), Error> {
    let removed = links::remove(files)?;
    let mut writer =
        Writer { repo, nodes, links: Vec::new(), files: Vec::new(), written: 0, looked };
    resolution.run(files, |files| writer.take(files))?;
    writer.flush()?;
    Ok((writer.written, removed))
}

/// Nodes of files.
pub struct Nodes {
    /// For each file looked at the ids of its nodes: the file's own, then its definitions'.
    nodes: HashMap<i64, Vec<i64>>,
}

impl Nodes {
    /// `expected`: how many of the repository's files will be asked for.
    pub fn new(repo: i64, expected: usize) -> Result<Self, Error> {
        Self::of(repo, HashMap::new(), expected)
    }

    /// The same when those of some are known.
    fn of(repo: i64, known: HashMap<i64, Vec<i64>>, expected: usize) -> Result<Self, Error> {
        let all = expected.saturating_sub(known.len()) >= MANY_FILES;
        let nodes = if all { links::nodes_of_repository(repo)? } else { known };
        Ok(Self { nodes })
    }

    /// The links of resolved files.
    pub fn links(&mut self, files: &mut [ResolvedFile]) -> Result<Vec<Link>, Error> {
        let ids = files.iter().flat_map(|file| {
            file.edges.iter().map(|edge| edge.file).chain(std::iter::once(file.file))
        });
        let mut missing: Vec<i64> = ids.filter(|id| !self.nodes.contains_key(id)).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            self.nodes.extend(links::nodes_of(&missing)?);
        }
        let mut links = Vec::new();
        for file in files {
            for edge in std::mem::take(&mut file.edges) {
                let source = self.node(file.file, edge.source);
                let target = self.node(edge.file, edge.target);
                if let (Some(source), Some(target)) = (source, target) {
                    links.push(Link { file: file.file, source, target, edge });
                }
            }
        }
        Ok(links)
    }

    fn node(&self, file: i64, within: Within) -> Option<i64> {
        let nodes = self.nodes.get(&file)?;
        // 0 stands where no node was found.
        nodes.get(within.0 as usize).copied().filter(|id| *id != 0)
    }
}

/// Turns resolved files into rows.
struct Writer<'a> {
    repo: i64,
    nodes: Nodes,
    links: Vec<Link>,
    files: Vec<ResolvedFile>,
    /// Links written so far.
    written: u64,
    looked: &'a mut Looked,
}

impl Writer<'_> {
    fn take(&mut self, mut files: Vec<ResolvedFile>) -> Result<(), Error> {
        let links = with_own_memory(|| self.nodes.links(&mut files))?;
        self.links.extend(links);
        self.files.extend(files);
        if self.links.len() >= BATCH_LINKS { with_own_memory(|| self.flush()) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.written += self.links.len() as u64;
        links::insert(self.repo, &std::mem::take(&mut self.links))?;
        let files = std::mem::take(&mut self.files);
        self.looked.take(&files)?;
        borders::keep(&files)?;
        let ids: Vec<i64> = files.iter().map(|file| file.file).collect();
        let dependencies: Vec<&[u8]> =
            files.iter().map(|file| file.dependencies.as_slice()).collect();
        let unresolved: Vec<&[u8]> = files.iter().map(|file| file.unresolved.as_slice()).collect();
        Spi::run_with_args(
            "UPDATE onyx.file_facts x SET dependencies = t.dependencies, unresolved = t.unresolved
             FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])
                  t (file_id, dependencies, unresolved)
             WHERE x.file_id = t.file_id",
            &[ids.into(), dependencies.into(), unresolved.into()],
        )?;
        Ok(())
    }
}
