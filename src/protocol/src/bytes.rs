//! Bytes for serde, as a field's `with`: the same on the wire as a sequence of numbers, but read and written
//! at once and not one by one.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes bytes.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Reads bytes.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

struct Written<'a>(&'a [u8]);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

struct Read(Vec<u8>);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Read)
    }
}

/// The same for bytes that may be missing.
pub mod optional {
    use super::{Deserialize, Deserializer, Read, Serialize, Serializer, Written};

    /// Writes bytes or that there are none.
    pub fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Written).serialize(serializer)
    }

    /// Reads what `serialize` wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Read>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

/// The same for many that have numbers.
pub mod numbered {
    use super::{Deserialize, Deserializer, Read, Serializer, Written};

    /// Writes numbers and bytes.
    pub fn serialize<S: Serializer>(
        all: &[(i64, Vec<u8>)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(|(number, bytes)| (number, Written(bytes))))
    }

    /// Reads what `serialize` wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(i64, Vec<u8>)>, D::Error> {
        let all = Vec::<(i64, Read)>::deserialize(deserializer)?;
        Ok(all.into_iter().map(|(number, bytes)| (number, bytes.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::codec;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Plain {
        one: Vec<u8>,
        some: Option<Vec<u8>>,
        none: Option<Vec<u8>>,
        many: Vec<(i64, Vec<u8>)>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct AtOnce {
        #[serde(with = "super")]
        one: Vec<u8>,
        #[serde(with = "super::optional")]
        some: Option<Vec<u8>>,
        #[serde(with = "super::optional")]
        none: Option<Vec<u8>>,
        #[serde(with = "super::numbered")]
        many: Vec<(i64, Vec<u8>)>,
    }

    #[test]
    fn bytes_at_once_are_the_same_as_one_by_one() {
        for length in [0_usize, 1, 250, 251, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            let many = vec![(3, bytes.clone()), (70_000, Vec::new())];
            let (one, some, none) = (bytes.clone(), Some(bytes), None);
            let plain = Plain { one, some, none, many };
            let encoded = codec::encode(&plain).unwrap();
            let read: AtOnce = codec::decode(&encoded).unwrap();
            assert_eq!(codec::encode(&read).unwrap(), encoded);
            assert_eq!(
                (read.one, read.some, read.none, read.many),
                (plain.one, plain.some, plain.none, plain.many)
            );
        }
    }

    #[test]
    fn lengths_are_bounded_by_what_is_there() {
        let mut encoded = codec::encode(&vec![7_u8; 300]).unwrap();
        encoded.truncate(100);
        assert!(codec::decode::<super::Read>(&encoded).is_err());
        // A length of four exabytes.
        assert!(codec::decode::<super::Read>(&[253, 0, 0, 0, 0, 0, 0, 0, 64, 1]).is_err());
    }
}
