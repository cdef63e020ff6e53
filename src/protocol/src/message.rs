//! Requests, streamed items and responses.
//!
//! A client sends `Request` frames; the engine answers each with any number of `Item` frames and
//! exactly one `Response` or `Error` frame of the same request id.

use serde::{Deserialize, Serialize};

use crate::code::{RepoState, ResolveFile, ResolvedFile};
use crate::history::{Comparison, HistoryBase, HistoryCommit, HistoryPlan, HistoryRequest};
use crate::index::{
    Entry, GenerationHeader, GenerationId, GenerationStatus, HeapTid, Hit, Lsn, QueryValue,
};
use crate::ingest::{Notice, ParsedFile, SourceFile, WalkItem, WalkRequest, WalkSummary};
use crate::model::ModelSpec;

/// The first frame of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `PROTOCOL_VERSION` of the client.
    pub protocol_version: u32,
    /// Version of the extension.
    pub version: String,
}

/// The engine's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Version of the engine.
    pub version: String,
    /// Process id of the engine.
    pub pid: u32,
}

/// A request with its deadline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Milliseconds from receipt after which the client no longer wants the answer; 0 for never.
    pub deadline_ms: u32,
    /// What is asked.
    pub body: RequestBody,
}

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RequestBody {
    /// State of the engine. Answer: `Response::Stat`.
    Stat,
    /// Load a model and run it once, to learn whether it works. Answer: `Response::Vectors` with the
    /// embedding of one probe text.
    ProbeModel(ModelSpec),
    /// Embed texts, from the cache where possible. Answer: `Response::Vectors`.
    Embed {
        /// With this model.
        model: ModelSpec,
        /// Each at most `MAX_TEXT_BYTES`; longer ones are cut.
        texts: Vec<String>,
    },
    /// State of the embedding queue. Answer: `Response::Embedding`.
    EmbeddingStat,
    /// Parse one file. Answer: `Response::Parsed`, or an error when its language is unknown.
    Parse {
        /// Path below the repository's root.
        path: String,
        /// A language's SQL spelling; by the path's extension when `None`.
        language: Option<String>,
        /// The bytes.
        #[serde(with = "crate::bytes")]
        content: Vec<u8>,
    },
    /// Parse many files, on all cores. Items: `Item::Walk` in the order asked, `Parsed` or `Skipped`.
    /// Answer: `Response::Done`.
    ParseFiles {
        /// At most a frame of them.
        files: Vec<SourceFile>,
    },
    /// Walk a directory. Items: `Item::Walk`. Answer: `Response::Walked`.
    Walk(WalkRequest),
    /// Begin to resolve references of a repository; what this connection began before is forgotten.
    /// Answer: `Response::Resolving`.
    ResolveBegin {
        /// The client's number for it: part of what is remembered of resolving, so always the same.
        repo: i64,
        /// Its state before the change; `None`: all files will be sent.
        state: Option<RepoState>,
    },
    /// Let references lead into another repository. Answer: `Response::Resolving`.
    ResolveUse {
        /// The other repository.
        repo: i64,
        /// Its state; `None`: all files will be sent.
        state: Option<RepoState>,
    },
    /// Files as they were before a change: those that changed since or are gone. Answer:
    /// `Response::Done`.
    ResolveBefore {
        /// Only identity and interface matter.
        files: Vec<ResolveFile>,
    },
    /// Files as they are now, in any number of requests: those that changed, and of a repository whose
    /// state the engine does not have all others. Answer: `Response::Done`.
    ResolveAdd {
        /// Of this repository.
        repo: i64,
        /// With numbers that are unique among all repositories.
        files: Vec<ResolveFile>,
    },
    /// Once all files are there: which have to be resolved. Answer: `Response::Planned`.
    ResolvePlan,
    /// Resolve files. Items: `Item::Resolved`, in the order asked. Answer: `Response::Done`.
    ResolveFiles {
        /// Numbers of files and their encoded `code::Body`s.
        #[serde(with = "crate::bytes::numbered")]
        bodies: Vec<(i64, Vec<u8>)>,
    },
    /// Forget what `ResolveBegin` began. Answer: `Response::Done`.
    ResolveEnd {
        /// What the tables have of repositories from now on is their states by these names: the engine
        /// may keep them. Only names that no other state ever had.
        states: Vec<(i64, RepoState)>,
    },
    /// Open a git repository and plan a walk of its history; what this connection opened before is
    /// forgotten. Answer: `Response::HistoryPlanned`.
    HistoryOpen(HistoryRequest),
    /// The state of a commit the plan asks for; of a large one in several requests. Answer:
    /// `Response::Done`.
    HistoryBase(HistoryBase),
    /// Walk on, all states sent. Items: `Item::History`. Answer: `Response::HistoryWalked`.
    HistoryWalk {
        /// At most this many commits; the next request goes on behind them.
        commits: u32,
    },
    /// What a change that git knows nothing of changes: files as they were, those that are gone among
    /// them, and as they are. Answer: `Response::HistoryCompared`.
    HistoryCompare(Comparison),
    /// Close what `HistoryOpen` opened. Answer: `Response::Done`.
    HistoryClose,
    /// Begin a generation. Durable when answered. Answer: `Response::Done`.
    IndexCreate(GenerationHeader),
    /// Add entries. Answer: `Response::Written`.
    IndexInsert {
        /// Into this generation.
        generation: GenerationId,
        /// WAL insert position when they were inserted.
        stamp: Lsn,
        /// Whether to answer only once they are on disk.
        durable: bool,
        /// At most `MAX_BATCH_ENTRIES`.
        entries: Vec<Entry>,
    },
    /// Finish a build: graph complete, everything on disk, state `Ready`. Items: `Item::Progress`.
    /// Answer: `Response::Done`.
    IndexFinish {
        /// This generation.
        generation: GenerationId,
    },
    /// Make every earlier insert of these generations durable. Answer: `Response::Done`.
    IndexSync {
        /// These generations.
        generations: Vec<GenerationId>,
    },
    /// State of generations. Answer: `Response::Index`, in the order asked.
    IndexStatus {
        /// Of these.
        generations: Vec<GenerationId>,
    },
    /// Nearest entries. Answer: `Response::Hits`.
    IndexSearch {
        /// In this generation.
        generation: GenerationId,
        /// From here.
        query: QueryValue,
        /// How many in all.
        k: u32,
        /// Candidate list size; raised to `k` when smaller.
        ef: u32,
        /// How many of the nearest were answered before, to a scan that goes on.
        after: u32,
    },
    /// Wait until a generation is loaded, and read full vectors that were left to the store into memory
    /// while they fit. Answer: `Response::Prewarmed`.
    IndexPrewarm {
        /// This generation.
        generation: GenerationId,
    },
    /// All entries' heap tuples, for vacuum and checks. Items: `Item::Tids`. Answer: `Response::Done`.
    IndexTids {
        /// Of this generation.
        generation: GenerationId,
    },
    /// Entries that no walk through the graph comes to, once what can be repaired is: none while all is well. Items:
    /// `Item::Tids`. Answer: `Response::Done`.
    IndexOutOfReach {
        /// In this generation.
        generation: GenerationId,
    },
    /// Remove entries. Durable when answered. Answer: `Response::Done`.
    IndexDelete {
        /// From this generation.
        generation: GenerationId,
        /// WAL position of the vacuum; all WAL before it is on disk.
        vacuum_lsn: Lsn,
        /// Entries of these heap tuples.
        tids: Vec<HeapTid>,
    },
    /// Delete generations and give their space back. Unknown ones are ignored. Answer:
    /// `Response::Done`.
    IndexDrop {
        /// These.
        generations: Vec<GenerationId>,
    },
    /// Headers of all generations of a database. Answer: `Response::Headers`.
    IndexList {
        /// Database OID.
        database: u32,
    },
    /// Hard-linked consistent copy of the store into a directory that does not exist yet. Answer:
    /// `Response::Done`.
    Checkpoint {
        /// Absolute path.
        path: String,
    },
}

/// A part of a streamed answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// Of `Walk`.
    Walk(Vec<WalkItem>),
    /// Of `ResolveFiles`.
    Resolved(Vec<ResolvedFile>),
    /// Of `HistoryWalk`: parents before children.
    History(Vec<HistoryCommit>),
    /// Of `IndexTids` and `IndexOutOfReach`.
    Tids(Vec<HeapTid>),
    /// Of `IndexFinish`.
    Progress {
        /// Entries done.
        done: u64,
        /// Entries in all.
        total: u64,
    },
}

/// The end of a successful answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// Nothing to say but success.
    Done,
    /// Of `Stat`.
    Stat(EngineStat),
    /// Of `Embed`: `texts * dimensions` numbers, row by row.
    Vectors {
        /// Length of each.
        dimensions: u32,
        /// All of them.
        values: Vec<f32>,
    },
    /// Of `EmbeddingStat`.
    Embedding(EmbeddingStat),
    /// Of `Parse`.
    Parsed(Box<ParsedFile>),
    /// Of `Parse`: the file was left out.
    Skipped(Notice),
    /// Of `Walk`.
    Walked(WalkSummary),
    /// Of `ResolveBegin` and `ResolveUse`: whether the engine has the repository's state.
    Resolving {
        /// If not, its files have to be sent.
        known: bool,
    },
    /// Of `ResolvePlan`.
    Planned {
        /// Numbers of files, in ascending order.
        files: Vec<i64>,
        /// The keys, sorted, whose value is another than before the change.
        changed: Vec<u64>,
    },
    /// Of `HistoryOpen`.
    HistoryPlanned(HistoryPlan),
    /// Of `HistoryCompare`: a commit without id, names and message.
    HistoryCompared(Box<HistoryCommit>),
    /// Of `HistoryWalk`.
    HistoryWalked {
        /// Whether there are commits left.
        more: bool,
    },
    /// Of `IndexStatus`.
    Index(Vec<GenerationStatus>),
    /// Of `IndexInsert`.
    Written {
        /// The batch's number among all that the generation was ever given: a store that has fewer
        /// does not have this one.
        number: u64,
    },
    /// Of `IndexPrewarm`.
    Prewarmed {
        /// Bytes of memory the generation takes now.
        bytes: u64,
    },
    /// Of `IndexSearch`.
    Hits {
        /// Entries in non-decreasing distance. Those answered before may be among them.
        hits: Vec<Hit>,
        /// Whether there are no more behind them.
        complete: bool,
    },
    /// Of `IndexList`.
    Headers(Vec<GenerationHeader>),
}

/// The engine's own figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineStat {
    /// Process id.
    pub pid: u32,
    /// Version.
    pub version: String,
    /// Seconds since start.
    pub uptime_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Bytes of index graphs and vectors in memory.
    pub index_bytes: u64,
    /// Requests answered since start, errors included.
    pub requests: u64,
    /// Requests that ended in an error.
    pub errors: u64,
    /// Requests being worked on.
    pub active: u64,
    /// Bytes of the store's files.
    pub store_bytes: u64,
    /// Generations in the store.
    pub generations: u64,
    /// Embeddings in the store.
    pub embeddings: u64,
}

/// The state of one model's embedding queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingStat {
    /// One row a model.
    pub models: Vec<ModelStat>,
}

/// Embedding figures of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStat {
    /// Name it was last used under.
    pub model: String,
    /// Texts waiting.
    pub pending: u64,
    /// Texts embedded since the engine started.
    pub embedded: u64,
    /// Texts answered from the cache since the engine started.
    pub cache_hits: u64,
    /// Tokens run through the model since the engine started.
    pub tokens: u64,
    /// Seconds the model has run since the engine started.
    pub busy_seconds: f64,
    /// The last failure, or empty.
    pub last_error: String,
}
