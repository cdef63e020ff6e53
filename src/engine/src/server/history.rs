//! One client's walk of a repository's history, from `HistoryOpen` to its end or `HistoryClose`.
//!
//! A walk is asked for in parts, so it has a thread of its own, which waits while the client does something
//! else with what it has.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use onyx_protocol::history::{HistoryBase, HistoryCommit, HistoryRequest};
use onyx_protocol::message::Response;
use onyx_protocol::{ErrorKind, WireError};

use crate::history::History;
use crate::parse::Limits;

/// How often a request looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(5);
/// Batches the walk is ahead of the client.
const AHEAD: usize = 2;

/// What one connection has opened.
#[derive(Default)]
pub struct Session(State);

#[derive(Default)]
enum State {
    #[default]
    Closed,
    /// States of commits are being sent.
    Open(Box<History>),
    Walking(Walk),
}

/// A walk under way.
struct Walk {
    batches: Option<Receiver<Result<Vec<HistoryCommit>, WireError>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Walk {
    fn start(history: History, limits: Limits, workers: usize) -> io::Result<Self> {
        let (give, batches) = bounded(AHEAD);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("onyx-walk".into()).spawn(move || {
            let gone = || WireError::new(ErrorKind::Canceled, "reading the history was canceled");
            let walked =
                history.walk(&limits, workers, &|| stopped.load(Ordering::Relaxed), &mut |batch| {
                    give.send(Ok(batch)).map_err(|_| gone())
                });
            if let Err(error) = walked {
                // Nobody may be there to hear it.
                _ = give.send(Err(error));
            }
        })?;
        Ok(Self { batches: Some(batches), stop, thread: Some(thread) })
    }

    /// The next batch; `None` at the end.
    fn next(
        &self,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<HistoryCommit>>, WireError> {
        let Some(batches) = &self.batches else { return Ok(None) };
        loop {
            match batches.recv_timeout(LOOK) {
                Ok(batch) => return batch.map(Some),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if cancelled() => {
                    let message = "reading the history was canceled";
                    return Err(WireError::new(ErrorKind::Canceled, message));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It may be waiting for somebody to take a batch.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn not_open() -> WireError {
    // The client opened it with an engine that is gone.
    WireError::new(ErrorKind::InvalidRequest, "no repository is open").hint("Try again.")
}

impl Session {
    pub fn open(
        &mut self,
        request: &HistoryRequest,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Response, WireError> {
        self.0 = State::Closed;
        let (history, plan) = History::open(request, cancelled)?;
        self.0 = State::Open(Box::new(history));
        Ok(Response::HistoryPlanned(plan))
    }

    pub fn base(&mut self, base: HistoryBase) -> Result<Response, WireError> {
        let State::Open(history) = &mut self.0 else { return Err(not_open()) };
        history.base(base)?;
        Ok(Response::Done)
    }

    /// Walks on, until `commits` were emitted, to the end of a batch and of a commit. After an error nothing
    /// is open.
    pub fn walk(
        &mut self,
        commits: u32,
        limits: &Limits,
        workers: usize,
        cancelled: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(Vec<HistoryCommit>) -> Result<(), WireError>,
    ) -> Result<Response, WireError> {
        let walk = match std::mem::take(&mut self.0) {
            State::Closed => return Err(not_open()),
            State::Open(history) => Walk::start(*history, *limits, workers).map_err(|error| {
                WireError::new(ErrorKind::ResourceExhausted, "could not start a thread")
                    .detail(format!("{error}."))
            })?,
            State::Walking(walk) => walk,
        };
        let mut sent = 0;
        let mut whole = true;
        while sent < commits as usize || !whole {
            let Some(batch) = walk.next(cancelled)? else {
                return Ok(Response::HistoryWalked { more: false });
            };
            sent += batch.iter().filter(|commit| !commit.more).count();
            whole = batch.last().is_none_or(|commit| !commit.more);
            emit(batch)?;
        }
        self.0 = State::Walking(walk);
        Ok(Response::HistoryWalked { more: true })
    }

    pub fn close(&mut self) -> Response {
        self.0 = State::Closed;
        Response::Done
    }
}
