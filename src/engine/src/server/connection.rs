//! One client: a thread that reads its frames and works on its requests in order.
//!
//! While a request is worked on, whoever asks whether it is still wanted looks at the socket as well,
//! so that a cancel, or the connection's end, reaches a request under way. A second thread for reading
//! would cost every short request two switches between threads.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use onyx_protocol::frame::{self, FrameKind, HEADER_BYTES, Header};
use onyx_protocol::message::{Hello, Item, Request, Welcome};
use onyx_protocol::{ErrorKind, PROTOCOL_VERSION, WireError, codec};
use rustix::net::RecvFlags;

use super::dispatch::Sessions;
use super::ingests::Ingest;
use super::{Engine, dispatch, startup};
use crate::store::lock;

/// Requests a client may send ahead; further ones wait in its socket.
const REQUESTS_AHEAD: usize = 16;

/// How often a request under way looks for a cancel.
const LOOK: Duration = Duration::from_millis(2);

/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// A request as it came.
struct Received {
    id: u64,
    payload: Vec<u8>,
    at: Instant,
}

/// What has come from a client.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    requests: VecDeque<Received>,
    cancelled: HashSet<u64>,
    looked: Option<Instant>,
    ended: Option<io::Result<()>>,
}

impl Inbox {
    /// Takes the frames out of what was read.
    fn parse(&mut self) -> io::Result<()> {
        while let Some(head) = self.bytes.first_chunk::<HEADER_BYTES>() {
            let header = Header::parse(head).map_err(io::Error::other)?;
            let whole = HEADER_BYTES + header.length;
            if self.bytes.len() < whole {
                break;
            }
            let rest = self.bytes.split_off(whole);
            let mut payload = std::mem::replace(&mut self.bytes, rest);
            payload.drain(..HEADER_BYTES);
            match header.kind {
                FrameKind::Request => {
                    let (id, at) = (header.request, Instant::now());
                    self.requests.push_back(Received { id, payload, at });
                }
                FrameKind::Cancel => {
                    self.cancelled.insert(header.request);
                }
                kind => return Err(io::Error::other(format!("unexpected frame {kind:?}"))),
            }
        }
        Ok(())
    }

    /// Room for what is missing of the frame under way.
    fn room(&self) -> usize {
        let length = self.bytes.first_chunk().and_then(|head| Header::parse(head).ok());
        let missing =
            length.map_or(0, |h| (HEADER_BYTES + h.length).saturating_sub(self.bytes.len()));
        missing.max(READ_BYTES)
    }

    /// Takes note of what a read brought.
    fn took(&mut self, before: usize, read: io::Result<usize>) {
        self.bytes.truncate(before + *read.as_ref().unwrap_or(&0));
        let parsed = match read {
            Ok(0) => {
                self.ended = Some(Ok(()));
                return;
            }
            Ok(_) => self.parse(),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
            {
                return;
            }
            Err(e) => Err(e),
        };
        if parsed.is_err() {
            self.ended = Some(parsed);
        }
    }

    /// Reads what there is without waiting, as long as few requests wait.
    fn look(&mut self, stream: &UnixStream) {
        self.looked = Some(Instant::now());
        while self.ended.is_none() && self.requests.len() < REQUESTS_AHEAD {
            let (before, room) = (self.bytes.len(), self.room());
            self.bytes.resize(before + room, 0);
            let read = rustix::net::recv(stream, &mut self.bytes[before..], RecvFlags::DONTWAIT);
            let read = read.map(|(length, _)| length).map_err(io::Error::from);
            let blocked = read.is_err();
            self.took(before, read);
            if blocked {
                return;
            }
        }
    }

    /// Waits for the next request; `None` at the end.
    fn next(&mut self, mut stream: &UnixStream) -> io::Result<Option<Received>> {
        loop {
            if let Some(request) = self.requests.pop_front() {
                return Ok(Some(request));
            }
            if let Some(ended) = self.ended.take() {
                return ended.map(|()| None);
            }
            let (before, room) = (self.bytes.len(), self.room());
            self.bytes.resize(before + room, 0);
            let read = stream.read(&mut self.bytes[before..]);
            self.took(before, read);
        }
    }
}

/// A client's inbox while a request of it is worked on.
struct Watch<'a> {
    inbox: &'a Mutex<Inbox>,
    ended: AtomicBool,
    stream: &'a UnixStream,
}

impl Watch<'_> {
    /// Whether the client is gone, or has cancelled a request.
    fn cancelled(&self, id: u64) -> bool {
        if self.ended.load(Ordering::Relaxed) {
            return true;
        }
        // Somebody else is just looking: the next time is soon enough.
        let Ok(mut inbox) = self.inbox.try_lock() else { return false };
        if inbox.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            inbox.look(self.stream);
        }
        let gone = inbox.ended.is_some();
        self.ended.store(gone, Ordering::Relaxed);
        gone || inbox.cancelled.contains(&id)
    }
}

/// A request being worked on: whether it is still wanted, and where its items go.
pub struct Call<'a> {
    id: u64,
    deadline: Option<Instant>,
    watch: &'a Watch<'a>,
}

impl Call<'_> {
    /// Whether work on it should end.
    pub fn cancelled(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() > deadline)
            || self.watch.cancelled(self.id)
    }

    /// Sends a part of the answer. Waits while the client is slow to read.
    pub fn send(&self, item: &Item) -> Result<(), WireError> {
        if self.cancelled() {
            return Err(self.why_cancelled());
        }
        let mut stream = self.watch.stream;
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

fn try_serve(engine: &Arc<Engine>, mut stream: &UnixStream) -> io::Result<()> {
    greet(&mut stream)?;
    let inbox = Mutex::new(Inbox::default());
    let mut sessions = Sessions::new(Ingest::new(&engine.ingests));
    loop {
        let Some(received) = lock(&inbox).next(stream)? else { return Ok(()) };
        let id = received.id;
        lock(&inbox).looked = Some(Instant::now());
        let watch = Watch { inbox: &inbox, ended: AtomicBool::new(false), stream };
        let answered = answer(engine, &mut sessions, &watch, &received);
        if engine.store.failed() {
            startup::give_up();
        }
        lock(&inbox).cancelled.remove(&id);
        answered?;
    }
}

fn greet(stream: &mut &UnixStream) -> io::Result<()> {
    let Some((header, payload)) = frame::read(stream)? else { return Ok(()) };
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
        frame::write(stream, header.request, FrameKind::Error, &error)?;
        return Err(io::Error::other("version mismatch"));
    }
    let welcome = Welcome { version: version.into(), pid: std::process::id() };
    frame::write(stream, header.request, FrameKind::Welcome, &welcome)
}

fn answer(
    engine: &Engine,
    sessions: &mut Sessions,
    watch: &Watch<'_>,
    received: &Received,
) -> io::Result<()> {
    let id = received.id;
    let counting = engine.counters.begin();
    let result = match codec::decode::<Request>(&received.payload) {
        Ok(request) => {
            let limit = u64::from(request.deadline_ms);
            let deadline = (limit > 0).then(|| received.at + Duration::from_millis(limit));
            let call = Call { id, deadline, watch };
            // A defect in one request must not end the engine for all.
            catch_unwind(AssertUnwindSafe(|| dispatch::run(engine, sessions, request.body, &call)))
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
    let mut stream = watch.stream;
    stream.write_all(&bytes)
}
