//! One client's resolution: the files of a repository, and of those its references may lead into,
//! between `ResolveBegin` and `ResolveEnd`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::bounded;
use onyx_protocol::code::{
    RepoState, ResolveFile, ResolvedFile, Unresolved, decode_keys, encode_keys,
};
use onyx_protocol::codec::CodecError;
use onyx_protocol::limits::STREAM_BATCH_BYTES;
use onyx_protocol::message::Response;
use onyx_protocol::{ErrorKind, WireError};

use super::ingests::Ingest;
use super::kept::Kept;
use crate::resolve::{FileInput, Space, Workspace};

/// What one connection is ingesting and resolving.
pub struct Session {
    pub ingest: Ingest,
    resolution: Option<Resolution>,
}

struct Resolution {
    repo: u64,
    workspace: Workspace,
    /// Files as they were, and those among the present ones that may differ from them.
    before: Vec<FileInput>,
    after: Vec<FileInput>,
    /// What was learned of the files that were resolved.
    dependencies: HashMap<i64, Vec<u8>>,
}

fn input(repo: u64, file: ResolveFile) -> FileInput {
    FileInput {
        id: file.file,
        repo,
        path: file.path,
        language: file.language,
        module: file.module,
        package: file.package,
        interface: file.interface,
    }
}

fn unreadable(error: CodecError) -> WireError {
    WireError::new(ErrorKind::InvalidRequest, "the facts of a file could not be read")
        .detail(format!("{error}."))
        .hint("Forget the repository and ingest it again.")
}

impl Session {
    pub fn new(ingest: Ingest) -> Self {
        Self { ingest, resolution: None }
    }

    /// Works on a request of a resolution that is not its last.
    pub fn part(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<Response, WireError>,
    ) -> Result<Response, WireError> {
        let ingest = self.ingest.request();
        let response = work(self)?;
        ingest.more_follows();
        Ok(response)
    }

    pub fn begin(&mut self, kept: &Kept, repo: i64, state: Option<RepoState>) -> Response {
        let repo = repo as u64;
        let space = state.and_then(|state| kept.take(&state)).filter(|s| s.repo() == repo);
        let known = space.is_some();
        let space = space.unwrap_or_else(|| Arc::new(Space::new(repo)));
        self.resolution = Some(Resolution {
            repo,
            workspace: Workspace::of(space),
            before: Vec::new(),
            after: Vec::new(),
            dependencies: HashMap::new(),
        });
        Response::Resolving { known }
    }

    pub fn join(
        &mut self,
        kept: &Kept,
        repo: i64,
        state: Option<RepoState>,
    ) -> Result<Response, WireError> {
        let repo = repo as u64;
        let space = state.and_then(|state| kept.get(&state)).filter(|s| s.repo() == repo);
        let known = space.is_some();
        let space = space.unwrap_or_else(|| Arc::new(Space::new(repo)));
        match self.open()?.workspace.join(space) {
            true => Ok(Response::Resolving { known }),
            false => Err(WireError::new(
                ErrorKind::InvalidRequest,
                "references lead into too many repositories",
            )),
        }
    }

    /// Ends it; its repositories are kept under the names given.
    pub fn end(&mut self, kept: &Kept, states: &[(i64, RepoState)]) -> Response {
        drop(self.ingest.request());
        let Some(mut resolution) = self.resolution.take() else { return Response::Done };
        if let Some(own) = resolution.workspace.space_mut(resolution.repo) {
            for (file, keys) in &resolution.dependencies {
                own.set_dependencies(*file, keys);
            }
        }
        for space in resolution.workspace.into_spaces() {
            let name = states.iter().find(|(repo, _)| *repo as u64 == space.repo());
            if let Some((_, state)) = name {
                kept.put(*state, space);
            }
        }
        Response::Done
    }

    fn open(&mut self) -> Result<&mut Resolution, WireError> {
        self.resolution.as_mut().ok_or_else(|| {
            // The client began with an engine that is gone.
            WireError::new(ErrorKind::InvalidRequest, "no resolution is under way")
                .hint("Try again.")
        })
    }

    pub fn before(&mut self, files: Vec<ResolveFile>) -> Result<Response, WireError> {
        let resolution = self.open()?;
        for file in files {
            resolution.workspace.remove(file.file);
            resolution.before.push(input(resolution.repo, file));
        }
        Ok(Response::Done)
    }

    pub fn add(&mut self, repo: i64, files: Vec<ResolveFile>) -> Result<Response, WireError> {
        let repo = repo as u64;
        let resolution = self.open()?;
        let is_own = repo == resolution.repo;
        let Some(space) = resolution.workspace.space_mut(repo) else {
            return Err(WireError::new(ErrorKind::InvalidRequest, "the repository is not in use"));
        };
        for mut file in files {
            let dependencies = file.dependencies.take();
            let input = input(repo, file);
            space.add(&input).map_err(unreadable)?;
            match dependencies {
                Some(keys) => space.set_dependencies(input.id, &keys),
                None if is_own => resolution.after.push(input),
                None => {}
            }
        }
        Ok(Response::Done)
    }

    pub fn plan(&mut self) -> Result<Response, WireError> {
        let resolution = self.open()?;
        let before = std::mem::take(&mut resolution.before);
        let after = std::mem::take(&mut resolution.after);
        let changed = Workspace::changed_keys(&before, &after).map_err(unreadable)?;
        let depends =
            |keys: &[u8]| decode_keys(keys).any(|key| changed.binary_search(&key).is_ok());
        let due =
            resolution.workspace.own().dependencies().filter(|(_, keys)| keys.is_none_or(depends));
        let mut files: Vec<i64> = due.map(|(file, _)| file).collect();
        files.sort_unstable();
        Ok(Response::Planned { files, changed })
    }

    /// Resolves on all cores and sends in the order asked.
    pub fn resolve(
        &mut self,
        bodies: &[(i64, Vec<u8>)],
        workers: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
        emit: &mut dyn FnMut(Vec<ResolvedFile>) -> Result<(), WireError>,
    ) -> Result<Response, WireError> {
        let Resolution { workspace, dependencies, .. } = self.open()?;
        let workspace = &*workspace;
        let mut emit = |files: Vec<ResolvedFile>| {
            for file in &files {
                dependencies.insert(file.file, file.dependencies.clone());
            }
            emit(files)
        };
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        // As many as can be under way beside one that is waited for.
        let (send, receive) = bounded(4 * workers.max(1));
        let (next, stop) = (&next, &stop);
        thread::scope(|scope| {
            for _ in 0..workers.max(1) {
                let send = send.clone();
                scope.spawn(move || {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some((file, body)) = bodies.get(place) else { return };
                        if stop.load(Ordering::Relaxed) || cancelled() {
                            return;
                        }
                        if send.send((place, resolve_one(workspace, *file, body))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let sent = in_order(&receive, &mut emit);
            stop.store(true, Ordering::Relaxed);
            drop(receive);
            sent
        })?;
        if cancelled() {
            return Err(WireError::new(ErrorKind::Canceled, "resolving was canceled"));
        }
        Ok(Response::Done)
    }
}

fn in_order(
    receive: &crossbeam_channel::Receiver<(usize, Result<ResolvedFile, WireError>)>,
    emit: &mut dyn FnMut(Vec<ResolvedFile>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut early = std::collections::BTreeMap::new();
    let (mut batch, mut bytes, mut next) = (Vec::new(), 0, 0);
    for (place, file) in receive {
        early.insert(place, file?);
        while let Some(file) = early.remove(&next) {
            next += 1;
            bytes += weight(&file);
            batch.push(file);
            if bytes >= STREAM_BATCH_BYTES {
                bytes = 0;
                emit(std::mem::take(&mut batch))?;
            }
        }
    }
    if batch.is_empty() { Ok(()) } else { emit(batch) }
}

fn resolve_one(workspace: &Workspace, file: i64, body: &[u8]) -> Result<ResolvedFile, WireError> {
    let resolved = workspace.resolve(file, body).map_err(unreadable)?;
    Ok(ResolvedFile {
        file,
        edges: resolved.edges,
        unresolved: Unresolved::encode_all(&resolved.unresolved).map_err(unreadable)?,
        dependencies: encode_keys(&resolved.dependencies),
        outside: resolved.outside,
        names: resolved.names,
        provides: resolved.provides,
    })
}

/// About as many bytes as it takes on the wire.
fn weight(file: &ResolvedFile) -> usize {
    const EDGE: usize = 40;
    64 + file.edges.len() * EDGE
        + file.unresolved.len()
        + file.dependencies.len()
        + 9 * (file.outside.len() + file.names.len() + file.provides.len())
}
