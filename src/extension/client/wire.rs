//! Bytes to and from the engine: a non-blocking socket waited for with PostgreSQL's latch, so that
//! cancel, statement timeout and postmaster death are honoured in the middle of a request.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use onyx_protocol::frame::{self, FrameKind, HEADER_BYTES, Header};
use onyx_protocol::message::{Hello, Item, Request, Response, Welcome};
use onyx_protocol::{PROTOCOL_VERSION, WireError, codec};
use pgrx::{check_for_interrupts, pg_sys};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::supervisor::shared;
use crate::{VERSION, paths};

/// An open connection, idle between requests.
pub struct Connection {
    stream: UnixStream,
    next_request: u64,
}

fn lost(error: impl ToString) -> Error {
    Error::ConnectionLost { detail: format!("{}.", error.to_string()) }
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
        let mut connection = Self { stream, next_request: 1 };
        let hello = Hello { protocol_version: PROTOCOL_VERSION, version: VERSION.into() };
        connection.send(&frame::build(0, FrameKind::Hello, &hello).map_err(protocol)?)?;
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

    /// Whether the peer is still there and silent, as it must be between requests.
    pub fn is_alive(&self) -> bool {
        let mut byte = [0];
        matches!((&self.stream).read(&mut byte), Err(e) if e.kind() == ErrorKind::WouldBlock)
    }

    /// Sends a request and reads to its end. The outer error leaves the connection out of step.
    pub fn request(
        &mut self,
        request: &Request,
        on_item: &mut dyn FnMut(Item) -> Result<(), Error>,
    ) -> Result<Result<Response, WireError>, Error> {
        let id = self.next_request;
        self.next_request += 1;
        self.send(&frame::build(id, FrameKind::Request, request).map_err(protocol)?)?;
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
                FrameKind::Response => return Ok(Ok(decode(&payload)?)),
                FrameKind::Error => return Ok(Err(decode(&payload)?)),
                kind => return Err(protocol(format!("A frame of kind {kind:?} came"))),
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(lost("The engine closed its end")),
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.wait(pg_sys::WL_SOCKET_WRITEABLE);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(lost(e)),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(Header, Vec<u8>), Error> {
        let mut head = [0; HEADER_BYTES];
        self.fill(&mut head)?;
        let header = Header::parse(&head).map_err(protocol)?;
        let mut payload = vec![0; header.length];
        self.fill(&mut payload)?;
        Ok((header, payload))
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), Error> {
        while !buffer.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return Err(lost("The engine closed its end")),
                Ok(n) => buffer = &mut buffer[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.wait(pg_sys::WL_SOCKET_READABLE);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(lost(e)),
            }
        }
        Ok(())
    }

    fn wait(&self, event: u32) {
        let events = event | pg_sys::WL_LATCH_SET | pg_sys::WL_EXIT_ON_PM_DEATH;
        // SAFETY: MyLatch is this process's own latch; the descriptor is open as long as `self`.
        unsafe {
            pg_sys::WaitLatchOrSocket(
                pg_sys::MyLatch,
                events as i32,
                self.stream.as_raw_fd(),
                -1,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        check_for_interrupts!();
    }
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Error> {
    codec::decode(payload).map_err(protocol)
}
