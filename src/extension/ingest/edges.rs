//! Edges: what parsing said of names goes to the engine, and what it resolves becomes links.
//!
//! A file's facts are kept in `onyx.file_facts`. After the nodes are written, the engine gets the
//! interfaces of all files of the repository, says which files have to be resolved again, and gets
//! their bodies.

use std::collections::HashMap;

use onyx_protocol::code::{ResolveFile, ResolvedFile, Within};
use onyx_protocol::facts::Language;
use onyx_protocol::ingest::ParsedFile;
use onyx_protocol::message::{Item, RequestBody, Response};
use pgrx::prelude::*;

use super::links::{self, Link};
use super::{cut, with_own_memory};
use crate::client;
use crate::error::Error;

/// Bytes of facts sent at once.
const BATCH_BYTES: usize = 4 << 20;
/// Links written at once.
const BATCH_LINKS: usize = 8_000;
/// Files whose facts are read at once.
const BATCH_FILES: i64 = 500;

/// What one ingest changes of a repository's edges.
pub struct Edges {
    repo: i64,
    /// Files as they were, and those that are gone.
    before: Vec<ResolveFile>,
    /// Whether anything was written.
    changed: bool,
}

impl Edges {
    pub fn new(repo: i64) -> Self {
        Self { repo, before: Vec::new(), changed: false }
    }

    /// Remembers files that are about to be replaced or removed.
    pub fn remember(&mut self, files: &[i64]) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        self.changed = true;
        let rows = read_files(
            "SELECT f.id, f.path, f.language, f.module, f.package, x.interface, NULL::bytea
             FROM onyx.files f JOIN onyx.file_facts x ON x.file_id = f.id WHERE f.id = ANY ($1)",
            &[files.to_vec().into()],
        )?;
        self.before.extend(rows.into_iter().map(|(_, file)| file));
        Ok(())
    }

    /// Keeps the facts of files just written.
    pub fn keep(&mut self, ids: &[i64], files: &[ParsedFile]) -> Result<(), Error> {
        self.changed = true;
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
        Ok(())
    }

    /// Resolves what has to be and writes the links; returns how many.
    pub fn write(self) -> Result<u64, Error> {
        if !self.changed {
            return Ok(0);
        }
        let (ids, planned) = plan(self.repo, self.before, false)?;
        let due: Vec<i64> = planned.iter().map(|n| ids[*n as usize]).collect();
        links::remove(&due)?;
        let mut writer = Writer {
            repo: self.repo,
            nodes: Nodes::new(self.repo, &ids, due.len())?,
            links: Vec::new(),
            files: Vec::new(),
            written: 0,
        };
        resolve(&ids, &planned, |files| writer.take(files))?;
        writer.flush()?;
        Ok(writer.written)
    }
}

/// Gives the engine all files of a repository. Returns their ids by the numbers they got, and the
/// numbers of those to resolve: all when it is to be `clean`, else what changed since `before` and what
/// depends on that.
pub fn plan(
    repo: i64,
    before: Vec<ResolveFile>,
    clean: bool,
) -> Result<(Vec<i64>, Vec<u32>), Error> {
    client::call_patiently(RequestBody::ResolveBegin)?;
    for files in batches(before) {
        client::call(RequestBody::ResolveBefore { files })?;
    }
    let ids = send_files(repo, clean)?;
    let Response::Planned(planned) = client::call(RequestBody::ResolvePlan)? else {
        return Err(Error::Protocol { detail: "A plan was expected.".into() });
    };
    if planned.iter().any(|number| *number as usize >= ids.len()) {
        return Err(Error::Protocol { detail: "The plan names unknown files.".into() });
    }
    Ok((ids, planned))
}

/// Resolves planned files and ends the resolution.
pub fn resolve(
    ids: &[i64],
    planned: &[u32],
    mut take: impl FnMut(Vec<ResolvedFile>) -> Result<(), Error>,
) -> Result<(), Error> {
    for numbers in planned.chunks(BATCH_FILES as usize) {
        for bodies in with_own_memory(|| read_bodies(numbers, ids))? {
            client::stream(RequestBody::ResolveFiles { bodies }, |item| match item {
                Item::Resolved(files) => take(files),
                _ => Err(Error::Protocol { detail: "Edges were expected.".into() }),
            })?;
        }
    }
    client::call(RequestBody::ResolveEnd)?;
    Ok(())
}

/// Sends the interfaces of all files of a repository; returns their ids by the numbers they got.
fn send_files(repo: i64, clean: bool) -> Result<Vec<i64>, Error> {
    let mut ids: Vec<i64> = Vec::new();
    let mut last = 0_i64;
    loop {
        let rows = with_own_memory(|| {
            read_files(
                "SELECT f.id, f.path, f.language, f.module, f.package, x.interface, x.dependencies
                 FROM onyx.files f JOIN onyx.file_facts x ON x.file_id = f.id
                 WHERE f.repo_id = $1 AND f.id > $2 ORDER BY f.id LIMIT $3",
                &[repo.into(), last.into(), BATCH_FILES.into()],
            )
        })?;
        let Some((newest, _)) = rows.last() else { return Ok(ids) };
        last = *newest;
        let files = rows.into_iter().map(|(id, mut file)| {
            file.number = ids.len() as u32;
            if clean {
                file.dependencies = None;
            }
            ids.push(id);
            file
        });
        for files in batches(files.collect()) {
            client::call(RequestBody::ResolveAdd { files })?;
        }
    }
}

fn read_files(
    query: &str,
    arguments: &[pgrx::datum::DatumWithOid<'_>],
) -> Result<Vec<(i64, ResolveFile)>, Error> {
    Spi::connect(|client| {
        let rows = client.select(query, None, arguments)?;
        let mut files = Vec::with_capacity(rows.len());
        for row in rows {
            let text = |i| row.get::<String>(i).map(Option::unwrap_or_default);
            let Some(language) = Language::from_name(&text(3)?) else { continue };
            files.push((
                row.get::<i64>(1)?.unwrap_or_default(),
                ResolveFile {
                    number: 0,
                    path: text(2)?,
                    language,
                    module: text(4)?,
                    package: text(5)?,
                    interface: row.get::<Vec<u8>>(6)?.unwrap_or_default(),
                    dependencies: row.get::<Vec<u8>>(7)?,
                },
            ));
        }
        Ok(files)
    })
}

/// Cuts files into requests of bounded size.
fn batches(files: Vec<ResolveFile>) -> Vec<Vec<ResolveFile>> {
    let size = |file: &ResolveFile| {
        file.path.len() + file.interface.len() + file.dependencies.as_ref().map_or(0, Vec::len)
    };
    cut(files, size, BATCH_BYTES)
}

/// Numbers of files and what resolves their references, as many as fit one request.
type Bodies = Vec<(u32, Vec<u8>)>;

fn read_bodies(numbers: &[u32], ids: &[i64]) -> Result<Vec<Bodies>, Error> {
    let files: Vec<i64> = numbers.iter().map(|number| ids[*number as usize]).collect();
    let mut found: HashMap<i64, Vec<u8>> = Spi::connect(|client| {
        let rows = client.select(
            "SELECT file_id, body FROM onyx.file_facts WHERE file_id = ANY ($1)",
            None,
            &[files.clone().into()],
        )?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(id), Some(body)) = (row.get::<i64>(1)?, row.get::<Vec<u8>>(2)?) {
                found.insert(id, body);
            }
        }
        Ok::<_, Error>(found)
    })?;
    let bodies = numbers.iter().zip(files);
    let bodies = bodies.filter_map(|(number, id)| Some((*number, found.remove(&id)?)));
    Ok(cut(bodies.collect(), |(_, body)| body.len(), BATCH_BYTES))
}

/// Nodes of files, by the numbers files have in a resolution.
pub struct Nodes<'a> {
    ids: &'a [i64],
    /// For each file looked at the ids of its nodes: the file's own, then its definitions'.
    nodes: HashMap<i64, Vec<i64>>,
}

impl<'a> Nodes<'a> {
    /// `expected`: how many of the repository's files will be asked for.
    pub fn new(repo: i64, ids: &'a [i64], expected: usize) -> Result<Self, Error> {
        let all = expected * 4 > ids.len();
        let nodes = if all { links::nodes_of_repository(repo)? } else { HashMap::new() };
        Ok(Self { ids, nodes })
    }

    /// The id of a file.
    pub fn file(&self, number: u32) -> Option<i64> {
        self.ids.get(number as usize).copied()
    }

    /// The links of resolved files.
    pub fn links(&mut self, files: &mut [ResolvedFile]) -> Result<Vec<Link>, Error> {
        let numbers = files.iter().flat_map(|file| {
            file.edges.iter().map(|edge| edge.file).chain(std::iter::once(file.number))
        });
        let known = numbers.filter_map(|number| self.file(number));
        let mut missing: Vec<i64> = known.filter(|id| !self.nodes.contains_key(id)).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            self.nodes.extend(links::nodes_of(&missing)?);
        }
        let mut links = Vec::new();
        for file in files {
            for edge in std::mem::take(&mut file.edges) {
                let source = self.node(file.number, edge.source);
                let target = self.node(edge.file, edge.target);
                if let (Some(file), Some(source), Some(target)) =
                    (self.file(file.number), source, target)
                {
                    links.push(Link { file, source, target, edge });
                }
            }
        }
        Ok(links)
    }

    fn node(&self, file: u32, within: Within) -> Option<i64> {
        let nodes = self.nodes.get(&self.file(file)?)?;
        // 0 stands where no node was found.
        nodes.get(within.0 as usize).copied().filter(|id| *id != 0)
    }
}

/// Turns resolved files into rows.
struct Writer<'a> {
    repo: i64,
    nodes: Nodes<'a>,
    links: Vec<Link>,
    files: Vec<ResolvedFile>,
    /// Links written so far.
    written: u64,
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
        let ids: Vec<Option<i64>> = files.iter().map(|file| self.nodes.file(file.number)).collect();
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
