//! Bytes to and from the engine: a non-blocking socket waited for with PostgreSQL's latch, so that
//! cancel, statement timeout and postmaster death are honoured in the middle of a request.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use onyx_protocol::frame::{self, FrameKind, HEADER_BYTES, Header};
use onyx_protocol::message::{Hello, Item, Request, Response, Welcome};
use onyx_protocol::{PROTOCOL_VERSION, WireError, codec};
use pgrx::{check_for_interrupts, pg_sys};
use rustix::net::RecvFlags;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::supervisor::shared;
use crate::{VERSION, paths};

/// Bytes asked for at once: most answers are shorter.
const READ_BYTES: usize = 8 << 10;

/// An open connection, idle between requests.
pub struct Connection {
    waits: Waits,
    stream: UnixStream,
    next_request: u64,
    /// What has come and was not taken yet.
    received: Vec<u8>,
}

fn lost(error: impl ToString) -> Error {
    Error::ConnectionLost { detail: format!("{}.", error.to_string()) }
}

/// The error of a connection that ends too early.
pub fn closed() -> Error {
    lost("The engine closed its end")
}

fn protocol(error: impl ToString) -> Error {
    Error::Protocol { detail: format!("{}.", error.to_string()) }
}

/// An engine checks this first; one that does not is of a version that is not known.
fn another_version(engine: &str) -> WireError {
    WireError::new(
        onyx_protocol::ErrorKind::VersionMismatch,
        format!("the engine has version {engine}, the extension {VERSION}"),
    )
    .hint("Install both of the same version and restart the server.")
}

impl Connection {
    /// Connects and shakes hands.
    pub fn open() -> Result<Self, Error> {
        let down = |e: std::io::Error| Error::EngineDown { detail: shared::why_down(&e) };
        let stream = UnixStream::connect(paths::SOCKET).map_err(down)?;
        let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(lost)?;
        if peer.uid != rustix::process::geteuid() {
            return Err(Error::EngineDown {
                detail: "The process listening on the engine's socket belongs to another user."
                    .into(),
            });
        }
        stream.set_nonblocking(true).map_err(lost)?;
        let waits = Waits::new(stream.as_raw_fd());
        let mut connection = Self { stream, waits, next_request: 1, received: Vec::new() };
        let hello = Hello { protocol_version: PROTOCOL_VERSION, version: VERSION.into() };
        if !connection.send(&frame::build(0, FrameKind::Hello, &hello).map_err(protocol)?)? {
            return Err(closed());
        }
        let (header, payload) = connection.receive()?;
        match header.kind {
            FrameKind::Welcome => {
                let welcome: Welcome = decode(&payload)?;
                if welcome.version != VERSION {
                    return Err(Error::Engine(another_version(&welcome.version)));
                }
                Ok(connection)
            }
            FrameKind::Error => Err(Error::Engine(decode::<WireError>(&payload)?)),
            kind => Err(protocol(format!("A frame of kind {kind:?} came for a greeting"))),
        }
    }

    /// Whether the engine has not closed its end. An idle connection has nothing to read.
    pub fn is_alive(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&self.stream, &mut [0_u8; 1], flags);
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }

    /// Sends a request and reads to its end. The outer error leaves the connection out of step. `None` when the
    /// engine had gone before any of it was sent.
    pub fn request(
        &mut self,
        request: &Request,
        on_item: &mut dyn FnMut(Item) -> Result<(), Error>,
    ) -> Result<Option<Result<Response, WireError>>, Error> {
        let id = self.next_request;
        self.next_request += 1;
        if !self.send(&frame::build(id, FrameKind::Request, request).map_err(protocol)?)? {
            return Ok(None);
        }
        loop {
            let (header, payload) = self.receive()?;
            if header.request != id {
                return Err(protocol(format!(
                    "An answer to request {} came for request {id}",
                    header.request
                )));
            }
            match header.kind {
                FrameKind::Item => on_item(decode(&payload)?)?,
                FrameKind::Response => return Ok(Some(Ok(decode(&payload)?))),
                FrameKind::Error => return Ok(Some(Err(decode(&payload)?))),
                kind => return Err(protocol(format!("A frame of kind {kind:?} came"))),
            }
        }
    }

    /// Sends all of it. False when the engine was gone before anything was sent.
    fn send(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(closed()),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.waits.wait(pg_sys::WL_SOCKET_WRITEABLE);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e)
                    if rest.len() == bytes.len()
                        && matches!(
                            e.kind(),
                            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                        ) =>
                {
                    return Ok(false);
                }
                Err(e) => return Err(lost(e)),
            }
        }
        Ok(true)
    }

    /// The next frame. An answer is mostly not there at once, so it is waited for first.
    fn receive(&mut self) -> Result<(Header, Vec<u8>), Error> {
        loop {
            let mut missing = HEADER_BYTES.saturating_sub(self.received.len());
            if let Some(head) = self.received.first_chunk::<HEADER_BYTES>() {
                let header = Header::parse(head).map_err(protocol)?;
                let whole = HEADER_BYTES + header.length;
                if self.received.len() >= whole {
                    let rest = self.received.split_off(whole);
                    let mut payload = std::mem::replace(&mut self.received, rest);
                    payload.drain(..HEADER_BYTES);
                    return Ok((header, payload));
                }
                missing = whole - self.received.len();
            }
            self.waits.wait(pg_sys::WL_SOCKET_READABLE);
            let before = self.received.len();
            self.received.resize(before + missing.max(READ_BYTES), 0);
            let read = self.stream.read(&mut self.received[before..]);
            self.received.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(closed()),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(e) => return Err(lost(e)),
            }
        }
    }
}

/// What a connection waits for: its socket, this process's latch and the postmaster's death. Kept as long as the
/// connection, because making one takes six system calls.
struct Waits {
    set: *mut pg_sys::WaitEventSet,
    socket: i32,
    events: std::cell::Cell<u32>,
}

impl Waits {
    fn new(descriptor: i32) -> Self {
        let events = pg_sys::WL_SOCKET_READABLE;
        let (none, data) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: MyLatch is this process's own latch; the set belongs to no resource owner and lives as long
        // as this value.
        unsafe {
            #[cfg(feature = "pg16")]
            let set = pg_sys::CreateWaitEventSet(pg_sys::TopMemoryContext, 3);
            #[cfg(not(feature = "pg16"))]
            let set = pg_sys::CreateWaitEventSet(std::ptr::null_mut(), 3);
            let no_socket = -1;
            let socket = pg_sys::AddWaitEventToSet(set, events, descriptor, none, data);
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_LATCH_SET, no_socket, pg_sys::MyLatch, data);
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_EXIT_ON_PM_DEATH, no_socket, none, data);
            Self { set, socket, events: events.into() }
        }
    }

    /// Waits until the socket is ready or the latch is set, and handles interrupts.
    fn wait(&self, events: u32) {
        // SAFETY: the set is this value's own, and its socket is open as long as the connection.
        unsafe {
            if self.events.replace(events) != events {
                pg_sys::ModifyWaitEvent(self.set, self.socket, events, std::ptr::null_mut());
            }
            let mut event = pg_sys::WaitEvent::default();
            let wait = pg_sys::PG_WAIT_EXTENSION;
            let count = pg_sys::WaitEventSetWait(self.set, -1, &mut event, 1, wait);
            if count > 0 && event.events & pg_sys::WL_LATCH_SET != 0 {
                pg_sys::ResetLatch(pg_sys::MyLatch);
            }
        }
        check_for_interrupts!();
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        // SAFETY: the set is this value's own.
        unsafe { pg_sys::FreeWaitEventSet(self.set) };
    }
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Error> {
    codec::decode(payload).map_err(protocol)
}
