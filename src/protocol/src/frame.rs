//! Frames: how messages are cut out of the byte stream.
//!
//! ```text
//! offset  size  field
//!      0     4  payload length in bytes, little-endian, at most MAX_FRAME_BYTES
//!      4     8  request id, little-endian; chosen by the client, unique on its connection
//!     12     1  kind, see FrameKind
//!     13     n  payload: one bincode value of the type the kind names
//! ```

use std::io::{self, Read, Write};

use crate::limits::MAX_FRAME_BYTES;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 13;

/// What a frame's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Client to engine, first on a connection: `message::Hello`.
    Hello = 1,
    /// Engine to client, the answer to `Hello`: `message::Welcome`.
    Welcome = 2,
    /// Client to engine: `message::Request`.
    Request = 3,
    /// Engine to client, any number of times before the end: `message::Item`.
    Item = 4,
    /// Engine to client, once, ends the request: `message::Response`.
    Response = 5,
    /// Engine to client, once, ends the request: `WireError`.
    Error = 6,
    /// Client to engine: stop working on this request id. No payload. The request still ends with
    /// `Response` or `Error`.
    Cancel = 7,
}

impl FrameKind {
    fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Request,
            4 => Self::Item,
            5 => Self::Response,
            6 => Self::Error,
            7 => Self::Cancel,
            _ => return None,
        })
    }
}

/// A parsed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Payload bytes that follow.
    pub length: usize,
    /// The request this frame belongs to.
    pub request: u64,
    /// What the payload is.
    pub kind: FrameKind,
}

/// A header that cannot be right: the peer is not speaking this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Length over the limit.
    #[error("frame of {0} bytes is over the limit of {MAX_FRAME_BYTES}")]
    TooLong(usize),
    /// Unknown kind byte.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
}

impl Header {
    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&(self.length as u32).to_le_bytes());
        out[4..12].copy_from_slice(&self.request.to_le_bytes());
        out[12] = self.kind as u8;
        out
    }

    /// Checks and parses a header.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, r0, r1, r2, r3, r4, r5, r6, r7, kind] = *bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(length));
        }
        let request = u64::from_le_bytes([r0, r1, r2, r3, r4, r5, r6, r7]);
        let kind = FrameKind::from_u8(kind).ok_or(FrameError::UnknownKind(kind))?;
        Ok(Self { length, request, kind })
    }
}

/// A whole frame as bytes, ready to write in one call.
///
/// # Errors
/// The value cannot be encoded, or its payload is over [`MAX_FRAME_BYTES`].
pub fn build<T: serde::Serialize>(request: u64, kind: FrameKind, value: &T) -> io::Result<Vec<u8>> {
    let mut out = vec![0; HEADER_BYTES];
    crate::codec::encode_into(value, &mut out).map_err(io::Error::other)?;
    let length = out.len() - HEADER_BYTES;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, FrameError::TooLong(length)));
    }
    out[..HEADER_BYTES].copy_from_slice(&Header { length, request, kind }.to_bytes());
    Ok(out)
}

/// Writes one frame.
pub fn write<T: serde::Serialize>(
    to: &mut impl Write,
    request: u64,
    kind: FrameKind,
    value: &T,
) -> io::Result<()> {
    to.write_all(&build(request, kind, value)?)
}

/// Reads one frame; `None` at a clean end of stream.
pub fn read(from: &mut impl Read) -> io::Result<Option<(Header, Vec<u8>)>> {
    let mut head = [0; HEADER_BYTES];
    let mut filled = 0;
    while filled < HEADER_BYTES {
        match from.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let header = Header::parse(&head).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let mut payload = vec![0; header.length];
    from.read_exact(&mut payload)?;
    Ok(Some((header, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_wire() {
        let bytes = build(42, FrameKind::Request, &"hello".to_string()).unwrap();
        let (header, payload) = read(&mut bytes.as_slice()).unwrap().unwrap();
        assert_eq!((header.request, header.kind), (42, FrameKind::Request));
        assert_eq!(crate::codec::decode::<String>(&payload).unwrap(), "hello");
        assert!(read(&mut &bytes[..0]).unwrap().is_none());
        assert!(read(&mut &bytes[..9]).is_err());
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let mut head = Header { length: 1, request: 1, kind: FrameKind::Cancel }.to_bytes();
        head[3] = 0xff;
        assert!(matches!(Header::parse(&head), Err(FrameError::TooLong(_))));
        head[3] = 0;
        head[12] = 99;
        assert_eq!(Header::parse(&head), Err(FrameError::UnknownKind(99)));
    }
}
