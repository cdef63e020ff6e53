//! A tree of files on disk to a stream of facts.
//!
//! Owns which files of a tree are read, reading them safely, and the threads that do it. Knows the
//! parsers' one entry, [`crate::parse::parse_file`], and neither sockets nor store nor PostgreSQL.
//!
//! What a walk sees depends on the tree and the request alone:
//!
//! * Only paths with a known language are read; of the others nothing is reported.
//! * `.gitignore` and `.ignore` files below the root are obeyed, with or without a repository
//!   around them; those above the root, `.git/info/exclude` and the user's own are not.
//! * Hidden files and directories, `.git` among them, are left out even if a rule names them.
//! * Symbolic links are not followed, wherever they lead, and nothing reached through one is read.
//!   One that leads back into the path to itself is a `SymlinkLoop`; another to a directory, or
//!   whose name has a known language, is `NotRegular`. The root itself may be a link.
//! * Items come sorted by the bytes of their path, whatever the number of threads.
//!
//! A directory that cannot be read is one `Skipped` item: of what lies below it nothing is known.

mod files;
mod filter;
mod list;
mod tree;
mod work;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use onyx_protocol::{
    ErrorKind, WireError,
    ingest::{WalkItem, WalkRequest, WalkSummary},
    limits::STREAM_BATCH_BYTES,
};

use crate::parse::Limits;
pub use files::parse_files;
use filter::Filter;
use tree::Tree;
use work::{Done, Worker, weight};

/// Files a worker may be ahead of the oldest one that is not emitted yet: enough that one slow file
/// does not stop the others, and a bound on what waits in memory.
const AHEAD: usize = 64;

/// How often a walk that waits for a file looks whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(20);

/// Reads and parses a tree with `workers` threads, and hands the items to `emit` in batches of
/// about `STREAM_BATCH_BYTES`, in order of their paths. While `emit` blocks, the walk does.
///
/// An error of `emit` ends the walk and is returned.
pub fn walk(
    request: &WalkRequest,
    limits: &Limits,
    workers: usize,
    cancelled: &(dyn Fn() -> bool + Sync),
    emit: &mut dyn FnMut(Vec<WalkItem>) -> Result<(), WireError>,
) -> Result<WalkSummary, WireError> {
    let filter = Filter::new(&request.include, &request.exclude)?;
    let tree = Tree::open(&request.root)?;
    let stop = AtomicBool::new(false);
    // Once cancelled, always cancelled: all threads see the same.
    let stopped = || {
        if cancelled() {
            stop.store(true, Ordering::Relaxed);
        }
        stop.load(Ordering::Relaxed)
    };
    let worker = Worker::new(&tree, &request.known, limits, &stopped);
    let run = || run(&tree, &filter, &worker, workers.max(1), &stop, emit);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let message = format!("internal error while walking directory \"{}\"", request.root);
        Err(WireError::new(ErrorKind::Internal, message)
            .detail("The engine caught a panic; its log has the particulars."))
    })
}

fn run(
    tree: &Tree,
    filter: &Filter,
    worker: &Worker<'_>,
    workers: usize,
    stop: &AtomicBool,
    emit: &mut dyn FnMut(Vec<WalkItem>) -> Result<(), WireError>,
) -> Result<WalkSummary, WireError> {
    let window = workers * AHEAD;
    // A permit for each file between listing and emission bounds both other channels.
    let (take_permit, permits) = bounded::<()>(window);
    let (put_job, jobs) = bounded(window);
    let (put_done, done) = bounded(window);
    thread::scope(|scope| {
        // However this ends, also by a panic of `emit`: no thread may be left waiting.
        let _stop = StopOnDrop(stop);
        let collector = Collector { done, permits };
        start(scope, "onyx-list", move || {
            let mut number = 0u64;
            list::list(tree, filter, &|| worker.stopped(), &mut |found| {
                let sent = take_permit.send(()).is_ok() && put_job.send((number, found)).is_ok();
                number += 1;
                sent
            });
        })?;
        for _ in 0..workers {
            let (jobs, put_done) = (jobs.clone(), put_done.clone());
            start(scope, "onyx-parse", move || {
                let mut buffer = Vec::new();
                for (number, found) in jobs {
                    if worker.stopped()
                        || put_done.send((number, worker.run(found, &mut buffer))).is_err()
                    {
                        break;
                    }
                }
            })?;
        }
        drop((jobs, put_done));
        collector.run(&|| worker.stopped(), emit)
    })
}

fn start<'s>(
    scope: &'s thread::Scope<'s, '_>,
    name: &str,
    body: impl FnOnce() + Send + 's,
) -> Result<(), WireError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, body);
    spawned.map(|_| ()).map_err(|error| {
        WireError::new(ErrorKind::ResourceExhausted, "could not start a thread")
            .detail(format!("{error}."))
    })
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Puts what the workers did back in order. Dropping it ends the other threads.
struct Collector {
    done: Receiver<(u64, Done)>,
    permits: Receiver<()>,
}

impl Collector {
    fn run(
        self,
        stopped: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(Vec<WalkItem>) -> Result<(), WireError>,
    ) -> Result<WalkSummary, WireError> {
        let mut summary = WalkSummary::default();
        let mut early = BTreeMap::new();
        let mut next = 0u64;
        let mut batch = Vec::new();
        let mut bytes = 0;
        loop {
            let received = self.done.recv_timeout(PATIENCE);
            // Asked before an item is believed: a cancelled parse reports nonsense.
            if stopped() {
                return Err(WireError::new(ErrorKind::Canceled, "walk was canceled"));
            }
            match received {
                Ok((number, done)) => {
                    early.insert(number, done);
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Some(done) = early.remove(&next) {
                next += 1;
                let _ = self.permits.try_recv();
                done.add_to(&mut summary);
                bytes += weight(&done.item);
                batch.push(done.item);
                if bytes >= STREAM_BATCH_BYTES {
                    bytes = 0;
                    emit(std::mem::take(&mut batch))?;
                }
            }
        }
        if !batch.is_empty() {
            emit(batch)?;
        }
        Ok(summary)
    }
}
