//! One client's resolution: the files of a repository between `ResolveBegin` and `ResolveEnd`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::bounded;
use onyx_protocol::code::{ResolveFile, ResolvedFile, Unresolved, decode_keys, encode_keys};
use onyx_protocol::codec::CodecError;
use onyx_protocol::limits::STREAM_BATCH_BYTES;
use onyx_protocol::message::Response;
use onyx_protocol::{ErrorKind, WireError};

use crate::index::Ranking;
use crate::resolve::{FileInput, Workspace};

/// What is kept of one connection between its requests.
#[derive(Default)]
pub struct Session {
    resolution: Option<Resolution>,
    /// Of the search it may go on with.
    pub ranking: Option<Ranking>,
}

#[derive(Default)]
struct Resolution {
    workspace: Workspace,
    /// Files as they were, and those among the present ones that may differ from them.
    before: Vec<FileInput>,
    after: Vec<FileInput>,
    /// Files that must be resolved, whatever changed.
    due: Vec<u32>,
    /// The other files, with what they depend on.
    others: Vec<(u32, Vec<u8>)>,
}

fn input(file: ResolveFile) -> FileInput {
    FileInput {
        id: file.number,
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
    pub fn begin(&mut self) -> Response {
        self.resolution = Some(Resolution::default());
        Response::Done
    }

    pub fn end(&mut self) -> Response {
        self.resolution = None;
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
        self.open()?.before.extend(files.into_iter().map(input));
        Ok(Response::Done)
    }

    pub fn add(&mut self, files: Vec<ResolveFile>) -> Result<Response, WireError> {
        let resolution = self.open()?;
        for mut file in files {
            let dependencies = file.dependencies.take();
            let number = file.number;
            let input = input(file);
            resolution.workspace.add(&input).map_err(unreadable)?;
            match dependencies {
                Some(keys) => resolution.others.push((number, keys)),
                None => {
                    resolution.due.push(number);
                    resolution.after.push(input);
                }
            }
        }
        Ok(Response::Done)
    }

    pub fn plan(&mut self) -> Result<Response, WireError> {
        let resolution = self.open()?;
        let before = std::mem::take(&mut resolution.before);
        let after = std::mem::take(&mut resolution.after);
        let others = std::mem::take(&mut resolution.others);
        let mut planned = std::mem::take(&mut resolution.due);
        if !others.is_empty() {
            let changed = Workspace::changed_keys(&before, &after).map_err(unreadable)?;
            let depends =
                |keys: &[u8]| decode_keys(keys).any(|key| changed.binary_search(&key).is_ok());
            planned.extend(others.iter().filter(|(_, keys)| depends(keys)).map(|(n, _)| *n));
        }
        planned.sort_unstable();
        Ok(Response::Planned(planned))
    }

    /// Resolves on all cores and sends in the order asked.
    pub fn resolve(
        &mut self,
        bodies: &[(u32, Vec<u8>)],
        workers: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
        emit: &mut dyn FnMut(Vec<ResolvedFile>) -> Result<(), WireError>,
    ) -> Result<Response, WireError> {
        let workspace = &self.open()?.workspace;
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
                        let Some((number, body)) = bodies.get(place) else { return };
                        if stop.load(Ordering::Relaxed) || cancelled() {
                            return;
                        }
                        if send.send((place, resolve_one(workspace, *number, body))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let sent = in_order(&receive, emit);
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

fn resolve_one(workspace: &Workspace, number: u32, body: &[u8]) -> Result<ResolvedFile, WireError> {
    let resolved = workspace.resolve(number, body).map_err(unreadable)?;
    Ok(ResolvedFile {
        number,
        edges: resolved.edges,
        unresolved: Unresolved::encode_all(&resolved.unresolved).map_err(unreadable)?,
        dependencies: encode_keys(&resolved.dependencies),
    })
}

/// About as many bytes as it takes on the wire.
fn weight(file: &ResolvedFile) -> usize {
    const EDGE: usize = 40;
    64 + file.edges.len() * EDGE + file.unresolved.len() + file.dependencies.len()
}
