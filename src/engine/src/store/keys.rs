//! The store's format, to the byte.
//!
//! ```text
//! family       key                                          value
//! meta         "format"                                     u32 BE, FORMAT
//!              "recoveries"                                 bincode Vec of RecoveryEnd, in their order; absent: none
//! models       model key 16                                 bincode ModelSpec, as last seen
//! embeddings   model key 16 | text hash 32                  f32 LE * dimensions
//! failures     model key 16 | text hash 32                  UTF-8, why it cannot be embedded
//! pending      model key 16 | text hash 32                  UTF-8, the text waiting to be embedded
//! generations  generation 16 | 0x00                         bincode GenerationRecord
//!              generation 16 | 0x01                         highest stamp u64 BE | writes u64 BE, see Marks
//! items        generation 16 | heap tid u64 BE              stamp u64 BE | content
//!                content of a Vectors generation:             f32 LE * dimensions
//!                content of a Texts generation:               text hash 32
//! graphs       generation 16 | 0x00                         the links' header, see index::snapshot
//!              generation 16 | 0x01 | moment u64 BE | id u32 BE   a part, from this id on, the same
//! ```
//!
//! Format 1 had no `graphs`, format 2 neither writes nor the quantization at the end of a header; stores of
//! both are taken over: see `older`.
//!
//! A text hash is the SHA-256 of the text's UTF-8 bytes. An item's key is its heap TID, so a TID
//! inserted again replaces the older entry, and removing an entry needs no tombstone of our own. A
//! text is written to `pending` in the same batch as the first item that needs it and removed in the
//! batch that writes its embedding or failure. bincode is `onyx_protocol::codec`.

use onyx_protocol::codec;
use onyx_protocol::index::{GenerationHeader, GenerationId, HeapTid, Lsn};
use onyx_protocol::limits::MAX_TEXT_BYTES;
use onyx_protocol::startup::RecoveryEnd;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::StoreError;

/// Version of everything described here. Raised with every change of it.
pub const FORMAT: u32 = 3;

/// The oldest version that is taken over.
pub const OLDEST_FORMAT: u32 = 1;

/// Where [`FORMAT`] is kept in the `meta` family.
pub const FORMAT_KEY: &[u8] = b"format";

/// Where the ends of recoveries are kept in the `meta` family that a generation may not have acted on yet.
pub const RECOVERIES_KEY: &[u8] = b"recoveries";

/// Identifies a model by what it computes: its files' content and its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelKey(pub [u8; 16]);

/// SHA-256 of the exact text given to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TextHash(pub [u8; 32]);

impl TextHash {
    /// Hashes a text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

/// The part of a text that a model is given: at most `MAX_TEXT_BYTES`, whole characters.
pub fn clip_text(text: &str) -> &str {
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The format's version.
    Meta,
    /// Models by key.
    Models,
    /// Vectors by model and text.
    Embeddings,
    /// Texts that cannot be embedded.
    Failures,
    /// Texts to embed.
    Pending,
    /// Generations' own records.
    Generations,
    /// Generations' entries.
    Items,
    /// Generations' graphs.
    Graphs,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 8] = [
        Family::Meta,
        Family::Models,
        Family::Embeddings,
        Family::Failures,
        Family::Pending,
        Family::Generations,
        Family::Items,
        Family::Graphs,
    ];

    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            Family::Meta => "meta",
            Family::Models => "models",
            Family::Embeddings => "embeddings",
            Family::Failures => "failures",
            Family::Pending => "pending",
            Family::Generations => "generations",
            Family::Items => "items",
            Family::Graphs => "graphs",
        }
    }
}

/// What survives a restart of a generation's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DurableState {
    /// Its build has not finished.
    Building,
    /// Complete.
    Ready,
    /// Not to be used again, and why.
    Stale(String),
}

/// A generation's own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// What it was built for.
    pub header: GenerationHeader,
    /// The model of a generation of texts.
    pub model: Option<ModelKey>,
    /// How far it is.
    pub state: DurableState,
    /// WAL position of the last vacuum.
    pub vacuum_lsn: Lsn,
    /// The recovery whose surplus entries have been discarded, or after which it was created.
    pub recovery: Option<RecoveryEnd>,
}

/// How far a generation's inserts have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Highest stamp.
    pub highest: Lsn,
    /// Batches of entries ever written. Stamps of concurrent transactions may cross on their way here, so a
    /// copy of the store that has a stamp may lack a lower one; a copy that has a number has all before.
    pub writes: u64,
}

impl Marks {
    /// The value they are kept as.
    pub fn encode(self) -> Vec<u8> {
        [self.highest.to_be_bytes(), self.writes.to_be_bytes()].concat()
    }

    /// Reads them; those of format 2 have no number of writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (highest, writes) = bytes.split_at_checked(8).ok_or_else(|| damaged("marks", bytes))?;
        let writes = if writes.is_empty() { 0 } else { decode_u64(writes)? };
        Ok(Self { highest: decode_u64(highest)?, writes })
    }
}

/// A stored entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The heap tuple.
    pub tid: HeapTid,
    /// WAL insert position when it was inserted.
    pub stamp: Lsn,
    /// What it indexes.
    pub content: ItemContent,
}

/// What a stored entry indexes.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemContent {
    /// The vector itself.
    Vector(Vec<f32>),
    /// The text whose embedding counts.
    Text(TextHash),
}

/// Key of the generation's record.
pub fn record_key(id: GenerationId) -> Vec<u8> {
    [&id.0[..], &[0]].concat()
}

/// Key of the generation's marks.
pub fn marks_key(id: GenerationId) -> Vec<u8> {
    [&id.0[..], &[1]].concat()
}

/// Key of one entry.
pub fn item_key(id: GenerationId, tid: HeapTid) -> Vec<u8> {
    [&id.0[..], &tid.to_be_bytes()].concat()
}

/// Key of the header of a generation's graph.
pub fn graph_header_key(id: GenerationId) -> Vec<u8> {
    [&id.0[..], &[0]].concat()
}

/// Key of a part of a generation's graph.
pub fn graph_part_key(id: GenerationId, moment: u64, first: u32) -> Vec<u8> {
    [&id.0[..], &[1], &moment.to_be_bytes(), &first.to_be_bytes()].concat()
}

/// Key of a text under a model.
pub fn text_key(model: ModelKey, hash: &TextHash) -> [u8; 48] {
    let mut key = [0; 48];
    key[..16].copy_from_slice(&model.0);
    key[16..].copy_from_slice(&hash.0);
    key
}

/// Splits a [`text_key`].
pub fn parse_text_key(key: &[u8]) -> Result<(ModelKey, TextHash), StoreError> {
    match (key.first_chunk(), key.get(16..).and_then(|rest| rest.try_into().ok())) {
        (Some(model), Some(hash)) => Ok((ModelKey(*model), TextHash(hash))),
        _ => Err(damaged("text key", key)),
    }
}

/// The keys that begin with `prefix`, as a range that excludes its end. `None` for no end.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Value of one entry.
pub fn encode_item(stamp: Lsn, content: &ItemContent) -> Vec<u8> {
    let mut value = stamp.to_be_bytes().to_vec();
    match content {
        ItemContent::Vector(values) => value.extend(values.iter().flat_map(|x| x.to_le_bytes())),
        ItemContent::Text(hash) => value.extend(hash.0),
    }
    value
}

/// Reads an entry; `texts` says what kind of generation it is of.
pub fn decode_item(key: &[u8], value: &[u8], texts: bool) -> Result<Item, StoreError> {
    let tid = key.get(16..).and_then(|rest| rest.try_into().ok()).map(u64::from_be_bytes);
    let (Some(tid), Some((stamp, content))) = (tid, value.split_first_chunk()) else {
        return Err(damaged("item", key));
    };
    let content = if texts {
        let hash = content.try_into().map_err(|_| damaged("text item", key))?;
        ItemContent::Text(TextHash(hash))
    } else {
        ItemContent::Vector(decode_vector(content)?)
    };
    Ok(Item { tid, stamp: u64::from_be_bytes(*stamp), content })
}

/// A vector's bytes.
pub fn encode_vector(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Reads a vector.
pub fn decode_vector(bytes: &[u8]) -> Result<Vec<f32>, StoreError> {
    let (values, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(StoreError::corrupt(format!("a vector of {} bytes", bytes.len())));
    }
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// A number's bytes.
pub fn decode_u64(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| damaged("number", bytes))
}

/// A value's bytes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    codec::encode(value).map_err(|e| StoreError::io("write", &e))
}

/// Reads a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes).map_err(|e| StoreError::corrupt(e.to_string()))
}

/// Reads a text.
pub fn decode_text(bytes: &[u8]) -> Result<String, StoreError> {
    String::from_utf8(bytes.to_vec()).map_err(|e| StoreError::corrupt(e.to_string()))
}

fn damaged(what: &str, bytes: &[u8]) -> StoreError {
    let hex: String = bytes.iter().take(48).map(|byte| format!("{byte:02x}")).collect();
    StoreError::corrupt(format!("{what} of unexpected length at {hex}"))
}
