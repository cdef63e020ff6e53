//! The one place that names bincode: values to bytes and back.
//!
//! Fixed configuration (`standard`: little-endian variable-length integers). Decoding checks that the
//! whole input was consumed, and every length is bounded by the input itself and by `LIMIT`.

use serde::{Serialize, de::DeserializeOwned};

use crate::limits::MAX_FRAME_BYTES;

/// No decoded value may claim more memory than this.
const LIMIT: usize = 4 * MAX_FRAME_BYTES;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Why bytes could not be turned into a value or back.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A value could not be written.
    #[error("could not encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// Bytes are not a value of this type.
    #[error("could not decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// Bytes are left over behind the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// Bytes of another version of their format.
    #[error("format version {0} is not known")]
    Version(u8),
    /// Bytes that are no value of their format.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// More values than there are numbers for them.
    #[error("there are too many to be numbered")]
    Full,
}

/// Encodes a value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(bincode::serde::encode_to_vec(value, config())?)
}

/// Appends an encoded value to a buffer.
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, out, config())?;
    Ok(())
}

/// Decodes a value that must fill `bytes` exactly.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, config())?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(CodecError::Trailing(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&7u32).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes), Err(CodecError::Trailing(1))));
    }

    #[test]
    fn a_length_beyond_the_input_is_refused() {
        // A Vec<u8> that claims 2^62 elements.
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(1u64 << 62).to_le_bytes());
        assert!(decode::<Vec<u8>>(&bytes).is_err());
    }
}
