//! One client: a thread that reads its frames, and one that works on its requests in order.
//!
//! Reading never waits for work, so a cancel, or the connection's end, reaches a request under way.

use std::collections::HashSet;
use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use onyx_protocol::frame::{self, FrameKind};
use onyx_protocol::message::{Hello, Item, Request, Welcome};
use onyx_protocol::{ErrorKind, PROTOCOL_VERSION, WireError, codec};

use super::resolution::Session;
use super::{Engine, dispatch, startup};
use crate::store::lock;

/// Requests a client may send ahead; further ones wait in its socket.
const REQUESTS_AHEAD: usize = 16;

/// What the reader tells the worker.
#[derive(Default)]
struct Cancels {
    closed: AtomicBool,
    requests: Mutex<HashSet<u64>>,
}

/// A request being worked on: whether it is still wanted, and where its items go.
pub struct Call<'a> {
    id: u64,
    deadline: Option<Instant>,
    cancels: &'a Cancels,
    stream: &'a UnixStream,
}

impl Call<'_> {
    /// Whether work on it should end.
    pub fn cancelled(&self) -> bool {
        self.cancels.closed.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| Instant::now() > deadline)
            || lock(&self.cancels.requests).contains(&self.id)
    }

    /// Sends a part of the answer. Waits while the client is slow to read.
    pub fn send(&self, item: &Item) -> Result<(), WireError> {
        if self.cancelled() {
            return Err(self.why_cancelled());
        }
        let mut stream = self.stream;
        frame::write(&mut stream, self.id, FrameKind::Item, item).map_err(|e| {
            WireError::new(ErrorKind::Canceled, "the client is gone").detail(e.to_string())
        })
    }

    fn why_cancelled(&self) -> WireError {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => {
                WireError::new(ErrorKind::DeadlineExceeded, "the request's deadline passed")
            }
            _ => WireError::new(ErrorKind::Canceled, "the request was cancelled"),
        }
    }
}

/// Serves a client to its end.
pub fn serve(engine: &Arc<Engine>, stream: &UnixStream) {
    if let Err(error) = try_serve(engine, stream) {
        log::debug!("a connection ended: {error}");
    }
}

fn try_serve(engine: &Arc<Engine>, stream: &UnixStream) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    greet(&mut input, stream)?;
    let cancels = Cancels::default();
    let (sender, receiver) = bounded(REQUESTS_AHEAD);
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("session".into())
            .spawn_scoped(scope, || work(engine, stream, &cancels, &receiver))?;
        let ended = loop {
            match frame::read(&mut input) {
                Ok(Some((header, payload))) => match header.kind {
                    FrameKind::Request => {
                        if sender.send((header.request, payload, Instant::now())).is_err() {
                            break Ok(());
                        }
                    }
                    FrameKind::Cancel => {
                        lock(&cancels.requests).insert(header.request);
                    }
                    kind => break Err(io::Error::other(format!("unexpected frame {kind:?}"))),
                },
                Ok(None) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        cancels.closed.store(true, Ordering::Relaxed);
        drop(sender);
        // A worker that is writing to a client which is gone fails; one that is working notices.
        let _ = stream.shutdown(std::net::Shutdown::Both);
        let _ = worker.join();
        ended
    })
}

fn greet(input: &mut BufReader<&UnixStream>, mut stream: &UnixStream) -> io::Result<()> {
    let Some((header, payload)) = frame::read(input)? else { return Ok(()) };
    let hello: Hello = match header.kind {
        FrameKind::Hello => codec::decode(&payload).map_err(io::Error::other)?,
        kind => return Err(io::Error::other(format!("expected a greeting, not {kind:?}"))),
    };
    let version = env!("CARGO_PKG_VERSION");
    if hello.protocol_version != PROTOCOL_VERSION || hello.version != version {
        let error = WireError::new(
            ErrorKind::VersionMismatch,
            format!("the engine has version {version}, the extension {}", hello.version),
        )
        .detail(format!(
            "The engine speaks protocol {PROTOCOL_VERSION}, the extension {}.",
            hello.protocol_version
        ))
        .hint("Install both of the same version and restart the server.");
        frame::write(&mut stream, header.request, FrameKind::Error, &error)?;
        return Err(io::Error::other("version mismatch"));
    }
    let welcome = Welcome { version: version.into(), pid: std::process::id() };
    frame::write(&mut stream, header.request, FrameKind::Welcome, &welcome)
}

type Received = (u64, Vec<u8>, Instant);

fn work(engine: &Engine, stream: &UnixStream, cancels: &Cancels, requests: &Receiver<Received>) {
    let mut session = Session::default();
    for (id, payload, received) in requests {
        if cancels.closed.load(Ordering::Relaxed) {
            return;
        }
        let answered = answer(engine, &mut session, stream, cancels, id, &payload, received);
        if engine.store.failed() {
            startup::give_up();
        }
        lock(&cancels.requests).remove(&id);
        if answered.is_err() {
            return;
        }
    }
}

fn answer(
    engine: &Engine,
    session: &mut Session,
    mut stream: &UnixStream,
    cancels: &Cancels,
    id: u64,
    payload: &[u8],
    received: Instant,
) -> io::Result<()> {
    let counting = engine.counters.begin();
    let result = match codec::decode::<Request>(payload) {
        Ok(request) => {
            let limit = u64::from(request.deadline_ms);
            let deadline = (limit > 0).then(|| received + Duration::from_millis(limit));
            let call = Call { id, deadline, cancels, stream };
            // A defect in one request must not end the engine for all.
            catch_unwind(AssertUnwindSafe(|| dispatch::run(engine, session, request.body, &call)))
                .unwrap_or_else(|_| {
                    Err(WireError::new(ErrorKind::Internal, "the engine failed on this request")
                        .hint("The server log has the particulars; please report them."))
                })
        }
        Err(error) => Err(WireError::new(
            ErrorKind::InvalidRequest,
            format!("the request could not be understood: {error}"),
        )),
    };
    counting.end(result.is_err());
    let bytes = match &result {
        Ok(response) => frame::build(id, FrameKind::Response, response),
        Err(error) => frame::build(id, FrameKind::Error, error),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        // An answer over the frame's limit is an error of its own.
        Err(error) => frame::build(
            id,
            FrameKind::Error,
            &WireError::new(ErrorKind::ResourceExhausted, "the answer is too large to send")
                .detail(format!("{error}.")),
        )?,
    };
    stream.write_all(&bytes)
}
