//! Index generations: identity, entries, search and state.

use serde::{Deserialize, Serialize};

use crate::model::ModelSpec;

/// A random 128-bit id, new with every build of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GenerationId(pub [u8; 16]);

/// A heap tuple id as one number: block << 16 | offset.
pub type HeapTid = u64;

/// A WAL position.
pub type Lsn = u64;

/// Distance functions, as pgvector computes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// Euclidean distance.
    L2,
    /// Negative inner product.
    InnerProduct,
    /// One minus the cosine of the angle.
    Cosine,
    /// Sum of absolute differences.
    L1,
}

/// How vectors are kept in the engine's memory. Answers have exact distances under each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Quantization {
    /// As codes where these tell the vectors apart, and else whole.
    #[default]
    Auto,
    /// Whole: four bytes a number, all of them needed in memory.
    None,
    /// As codes of eight bits a number, which the graph works with, and rests, which may be left to the
    /// store.
    Sq8,
}

/// What an index's entries are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Vectors given by the client.
    Vectors,
    /// Texts, embedded by this model.
    Texts(ModelSpec),
}

/// What a generation was built for; checked each time it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationHeader {
    /// The id in the index's metapage.
    pub id: GenerationId,
    /// `pg_control`'s system identifier.
    pub system_identifier: u64,
    /// Database OID.
    pub database: u32,
    /// Index OID at build, for `onyx.stat_index` and the sweep; never used as identity.
    pub relation: u32,
    /// Relfilenumber at build: a copy of the index's pages has another one.
    pub relfilenumber: u32,
    /// Full transaction id of the builder: the sweep spares generations of running transactions.
    pub created_by: u64,
    /// Length of the vectors.
    pub dimensions: u32,
    /// Distance function.
    pub metric: Metric,
    /// Vectors or texts.
    pub content: Content,
    /// Neighbours a node keeps on the upper layers; layer 0 keeps twice as many.
    pub m: u32,
    /// Candidate list size while building.
    pub ef_construction: u32,
    /// How vectors are kept in memory.
    pub quantization: Quantization,
}

/// One index entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The heap tuple it points to.
    pub tid: HeapTid,
    /// What is indexed.
    pub value: EntryValue,
}

/// What an entry indexes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EntryValue {
    /// A vector of the generation's dimensions.
    Vector(Vec<f32>),
    /// A text for the generation's model.
    Text(String),
}

/// What a search starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum QueryValue {
    /// A vector of the generation's dimensions.
    Vector(Vec<f32>),
    /// A text, embedded first with the generation's model.
    Text(String),
}

/// One search result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The heap tuple.
    pub tid: HeapTid,
    /// Exact distance in the metric's own terms.
    pub distance: f64,
}

/// Whether a generation can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GenerationState {
    /// Being filled by `IndexBuild*`; not searchable yet.
    Building,
    /// Complete on disk; its graph is being read into memory.
    Loading,
    /// Searchable.
    Ready,
    /// Not known to this store.
    Absent,
    /// Known, but must not be used; the status's reason says why.
    Stale,
}

/// A generation as `onyx.stat_index` and the planner see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// Which one.
    pub id: GenerationId,
    /// Whether it can answer.
    pub state: GenerationState,
    /// Why not, in words, or empty.
    pub reason: String,
    /// Live entries, embedded or not.
    pub entries: u64,
    /// Entries of texts that are not embedded yet.
    pub pending: u64,
    /// Entries removed by vacuum whose space is not given back yet.
    pub tombstones: u64,
    /// Bytes of memory the graph and its vectors take.
    pub memory_bytes: u64,
    /// WAL position of the last durable insert.
    pub durable_lsn: Lsn,
    /// How many batches of entries were ever written and are durable: see [`crate::message::Response::Written`].
    pub writes: u64,
    /// WAL position of the last vacuum.
    pub vacuum_lsn: Lsn,
}
