//! One index generation: its state, and what changes its entries.
//!
//! Locks are taken in this order: `writer`, the text queue, `table`. `writer` makes the order of
//! changes in the store and in memory the same; graphs are changed outside all locks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use onyx_protocol::index::{
    Entry, EntryValue, GenerationHeader, GenerationId, GenerationState, GenerationStatus, HeapTid,
    Lsn,
};
use onyx_protocol::{ErrorKind, WireError};
use sha2::{Digest, Sha256};

use super::backlog::Backlog;
use super::distance::{Vector, all_finite};
use super::graph::{Graph, GraphOptions, PointId};
use super::jobs::Job;
use super::points::{Embedding, Points};
use super::shared::Shared;
use crate::store::keys::clip_text;
use crate::store::{
    DurableState, GenerationRecord, ItemContent, ModelKey, NewItems, TextHash, keys, lock, read,
    write,
};

/// A graph is rebuilt when more than one in so many of its points is dead ...
const REBUILD_SHARE: usize = 4;
/// ... and they are more than this: below, scanning them costs less than rebuilding.
const REBUILD_POINTS: usize = 256;

/// Where a generation is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// Being filled.
    Building,
    /// Being read into memory, or waiting for that.
    Loading,
    /// Searchable.
    Ready,
    /// Not to be used, and why.
    Stale(String),
    /// Dropped; who still holds it sees an absent generation.
    Dropped,
}

/// What one writer at a time may change.
pub struct Writer {
    /// As in the store.
    pub record: GenerationRecord,
    /// Highest stamp written.
    pub highest: Lsn,
    /// Heap tuples changed since loading began, which the loader must leave alone.
    pub touched: Option<HashSet<HeapTid>>,
}

/// Entries and graph in memory.
pub struct Table {
    /// Entries and points.
    pub points: Points,
    /// What orders the points; replaced as a whole.
    pub graph: Arc<Graph>,
}

/// A generation.
pub struct Generation {
    /// What it was built for.
    pub header: GenerationHeader,
    /// The model of a generation of texts.
    pub model: Option<ModelKey>,
    pub(super) writer: Mutex<Writer>,
    pub(super) table: RwLock<Table>,
    life: RwLock<Life>,
    durable: AtomicU64,
    vacuum: AtomicU64,
    rebuilding: AtomicBool,
    pub(super) backlog: Arc<Backlog>,
}

/// A content ready to be added.
struct Prepared<'a> {
    tid: HeapTid,
    content: TextHash,
    item: ItemContent,
    vector: Option<Vector>,
    text: &'a str,
}

impl Generation {
    /// A generation as it is in the store, nothing of it in memory yet.
    pub fn new(record: GenerationRecord, highest: Lsn, life: Life, shared: &Shared) -> Self {
        let graph = Graph::new(options(&record.header), Arc::clone(&shared.pool));
        Self {
            header: record.header.clone(),
            model: record.model,
            durable: AtomicU64::new(highest),
            vacuum: AtomicU64::new(record.vacuum_lsn),
            writer: Mutex::new(Writer { record, highest, touched: None }),
            table: RwLock::new(Table { points: Points::default(), graph: Arc::new(graph) }),
            life: RwLock::new(life),
            rebuilding: AtomicBool::new(false),
            backlog: Arc::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> GenerationId {
        self.header.id
    }

    /// Where it is in its life.
    pub fn life(&self) -> Life {
        read(&self.life).clone()
    }

    /// Moves it on; a dropped or stale one stays what it is.
    pub fn set_life(&self, life: Life) {
        let mut now = write(&self.life);
        if !matches!(*now, Life::Dropped)
            && (!matches!(*now, Life::Stale(_)) || life == Life::Dropped)
        {
            *now = life;
        }
    }

    /// An empty graph like its own.
    pub fn new_graph(&self, shared: &Shared) -> Graph {
        Graph::new(options(&self.header), Arc::clone(&shared.pool))
    }

    /// The error of whoever needs it to be searchable.
    pub fn unusable(&self) -> Option<WireError> {
        unusable(&self.life(), false)
    }

    fn check_writable(&self) -> Result<(), WireError> {
        unusable(&self.life(), true).map_or(Ok(()), Err)
    }

    /// Adds entries.
    pub fn insert(
        &self,
        shared: &Shared,
        stamp: Lsn,
        durable: bool,
        entries: &[Entry],
    ) -> Result<(), WireError> {
        let prepared =
            entries.iter().map(|entry| self.prepare(entry)).collect::<Result<Vec<_>, _>>()?;
        self.check_writable()?;
        let cached = self.cached(shared, &prepared)?;
        let mut writer = lock(&self.writer);
        self.begin_write(shared, &mut writer)?;
        let (graph, points, building) = match self.model {
            None => {
                self.write_items(shared, &mut writer, stamp, &prepared, Vec::new())?;
                self.add(&mut writer, prepared, |p| p.vector.clone().map(Embedding::Known))
            }
            Some(model) => {
                let mut waiting = shared.queue.hold();
                let known = self.embeddings(shared, model, &prepared, cached)?;
                let mut pending: HashMap<TextHash, &str> = HashMap::new();
                for p in &prepared {
                    if matches!(known[&p.content], Embedding::Waiting)
                        && !waiting.contains(model, &p.content)
                    {
                        pending.insert(p.content, p.text);
                    }
                }
                let texts = pending.iter().map(|(hash, text)| (model, *hash, *text)).collect();
                self.write_items(shared, &mut writer, stamp, &prepared, texts)?;
                for (hash, text) in pending {
                    waiting.add(model, hash, text.len());
                }
                let added = self.add(&mut writer, prepared, |p| known.get(&p.content).cloned());
                drop(waiting);
                shared.queue.wake();
                added
            }
        };
        let highest = writer.highest;
        drop(writer);
        if building {
            Backlog::run(&self.backlog, graph, points)?;
        } else if let Err(error) = graph.insert(&points) {
            self.set_life(Life::Stale(error.message.clone()));
            return Err(error);
        }
        if durable {
            shared.store.sync()?;
            self.made_durable(highest);
        }
        Ok(())
    }

    /// Checks an entry and computes what needs no lock.
    fn prepare<'a>(&self, entry: &'a Entry) -> Result<Prepared<'a>, WireError> {
        let tid = entry.tid;
        match (&entry.value, self.model) {
            (EntryValue::Vector(values), None) => {
                self.check_vector(values)?;
                let bytes = keys::encode_vector(values);
                let content = TextHash(Sha256::digest(&bytes).into());
                let vector = Some(Vector::new(values));
                let item = ItemContent::Vector(values.clone());
                Ok(Prepared { tid, content, item, vector, text: "" })
            }
            (EntryValue::Text(text), Some(_)) => {
                let text = clip_text(text);
                let content = TextHash::of(text);
                Ok(Prepared { tid, content, item: ItemContent::Text(content), vector: None, text })
            }
            (EntryValue::Vector(_), Some(_)) => Err(invalid("expected a text, not a vector")),
            (EntryValue::Text(_), None) => Err(invalid("expected a vector, not a text")),
        }
    }

    /// Whether a vector may enter or be searched for.
    pub fn check_vector(&self, values: &[f32]) -> Result<(), WireError> {
        if values.len() != self.header.dimensions as usize {
            let expected = self.header.dimensions;
            return Err(invalid(format!("expected {expected} dimensions, not {}", values.len())));
        }
        if !all_finite(values) {
            return Err(invalid("a vector must not contain NaN or infinity"));
        }
        Ok(())
    }

    /// Begins a change: the state allows it and what recovery made void is gone.
    fn begin_write(&self, shared: &Shared, writer: &mut Writer) -> Result<(), WireError> {
        self.check_writable()?;
        self.ensure_recovered(shared, writer)?;
        self.check_writable()
    }

    fn write_items(
        &self,
        shared: &Shared,
        writer: &mut Writer,
        stamp: Lsn,
        prepared: &[Prepared<'_>],
        pending: Vec<(ModelKey, TextHash, &str)>,
    ) -> Result<(), WireError> {
        let items = prepared.iter().map(|p| (p.tid, &p.item)).collect();
        let generation = self.id();
        let highest = stamp > writer.highest;
        shared.store.insert_items(&NewItems { generation, stamp, highest, items, pending })?;
        writer.highest = writer.highest.max(stamp);
        Ok(())
    }

    /// Adds written entries to memory. Returns the points that must enter the graph, that graph, and
    /// whether the generation is being built.
    fn add(
        &self,
        writer: &mut Writer,
        prepared: Vec<Prepared<'_>>,
        embedding: impl Fn(&Prepared<'_>) -> Option<Embedding>,
    ) -> (Arc<Graph>, Vec<(PointId, Vector)>, bool) {
        if let Some(touched) = &mut writer.touched {
            touched.extend(prepared.iter().map(|p| p.tid));
        }
        let mut table = write(&self.table);
        let mut new = Vec::new();
        for p in prepared {
            let embedding = embedding(&p).unwrap_or(Embedding::Waiting);
            new.extend(table.points.add(p.tid, p.content, embedding));
        }
        (Arc::clone(&table.graph), new, self.life() == Life::Building)
    }

    /// Embeddings that need no model run, looked up before any lock is taken.
    fn cached(
        &self,
        shared: &Shared,
        prepared: &[Prepared<'_>],
    ) -> Result<HashMap<TextHash, Embedding>, WireError> {
        let Some(model) = self.model else { return Ok(HashMap::new()) };
        let hashes: HashSet<TextHash> = prepared.iter().map(|p| p.content).collect();
        let hashes: Vec<TextHash> = hashes.into_iter().collect();
        self.look_up(shared, model, &hashes)
    }

    /// Completes `cached` while the queue is held: what is missing now is waiting or failed.
    fn embeddings(
        &self,
        shared: &Shared,
        model: ModelKey,
        prepared: &[Prepared<'_>],
        mut cached: HashMap<TextHash, Embedding>,
    ) -> Result<HashMap<TextHash, Embedding>, WireError> {
        let missing: HashSet<TextHash> = prepared.iter().map(|p| p.content).collect();
        let missing: Vec<TextHash> =
            missing.into_iter().filter(|hash| !cached.contains_key(hash)).collect();
        cached.extend(self.look_up(shared, model, &missing)?);
        for hash in missing {
            cached.entry(hash).or_insert(Embedding::Waiting);
        }
        Ok(cached)
    }

    /// Embeddings and failures the store has for these texts.
    pub(super) fn look_up(
        &self,
        shared: &Shared,
        model: ModelKey,
        hashes: &[TextHash],
    ) -> Result<HashMap<TextHash, Embedding>, WireError> {
        let mut found = HashMap::with_capacity(hashes.len());
        if hashes.is_empty() {
            return Ok(found);
        }
        let vectors = shared.store.get_many(model, hashes)?;
        let mut missing = Vec::new();
        for (hash, vector) in hashes.iter().zip(vectors) {
            match vector {
                Some(values) if values.len() == self.header.dimensions as usize => {
                    found.insert(*hash, Embedding::Known(Vector::new(&values)));
                }
                Some(values) => {
                    let expected = self.header.dimensions;
                    let detail = format!("Expected {expected} dimensions, not {}.", values.len());
                    let message = "a cached embedding does not fit the index";
                    return Err(WireError::new(ErrorKind::StoreCorrupt, message).detail(detail));
                }
                None => missing.push(*hash),
            }
        }
        let failed = shared.store.failures(model, &missing)?;
        for (hash, failed) in missing.into_iter().zip(failed) {
            if failed {
                found.insert(hash, Embedding::Failed);
            }
        }
        Ok(found)
    }

    /// Gives a text's entries their vector, or marks them as failed.
    pub fn fill(&self, rows: &[(TextHash, Embedding)]) -> Result<(), WireError> {
        let mut table = write(&self.table);
        let new: Vec<(PointId, Vector)> = rows
            .iter()
            .filter_map(|(hash, embedding)| table.points.fill(*hash, embedding.clone()))
            .collect();
        let graph = Arc::clone(&table.graph);
        drop(table);
        graph.insert(&new).inspect_err(|e| self.set_life(Life::Stale(e.message.clone())))
    }

    /// Removes entries, durably.
    pub fn delete(
        &self,
        shared: &Shared,
        vacuum_lsn: Lsn,
        tids: &[HeapTid],
    ) -> Result<(), WireError> {
        let mut writer = lock(&self.writer);
        self.begin_write(shared, &mut writer)?;
        let mut record = writer.record.clone();
        record.vacuum_lsn = record.vacuum_lsn.max(vacuum_lsn);
        shared.store.delete_items(&record, tids, None)?;
        self.vacuum.store(record.vacuum_lsn, Ordering::Relaxed);
        writer.record = record;
        if let Some(touched) = &mut writer.touched {
            touched.extend(tids);
        }
        let highest = writer.highest;
        let mut table = write(&self.table);
        for tid in tids {
            table.points.remove(*tid);
        }
        let (live, dead) = (table.points.live(), table.points.dead());
        drop(table);
        drop(writer);
        shared.store.sync()?;
        self.made_durable(highest);
        let worth_it = dead > REBUILD_POINTS && dead * REBUILD_SHARE > live + dead;
        if worth_it && !self.rebuilding.swap(true, Ordering::AcqRel) {
            shared.jobs.add(Job::Rebuild(self.id()));
        }
        Ok(())
    }

    /// All heap tuples, ascending.
    pub fn tids(&self, shared: &Shared) -> Result<Vec<HeapTid>, WireError> {
        let mut writer = lock(&self.writer);
        self.begin_write(shared, &mut writer)?;
        if self.life() == Life::Loading {
            let items = shared.store.items(&writer.record)?;
            drop(writer);
            return items.map(|item| Ok(item?.tid)).collect();
        }
        drop(writer);
        let mut tids = read(&self.table).points.tids();
        tids.sort_unstable();
        Ok(tids)
    }

    /// Ends a rebuild, done or not.
    pub fn rebuild_ended(&self) {
        self.rebuilding.store(false, Ordering::Release);
    }

    /// The highest stamp written, to be passed to [`Generation::made_durable`] after a sync.
    pub fn highest(&self) -> Lsn {
        lock(&self.writer).highest
    }

    /// Everything stamped up to here is on disk.
    pub fn made_durable(&self, highest: Lsn) {
        self.durable.fetch_max(highest, Ordering::Relaxed);
    }

    /// After entries were discarded nothing later than this is left.
    pub(super) fn forget_durable(&self, highest: Lsn) {
        self.durable.store(highest, Ordering::Relaxed);
    }

    /// Finishes a build.
    pub fn finish(
        &self,
        shared: &Shared,
        progress: &mut dyn FnMut(u64, u64) -> Result<(), WireError>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), WireError> {
        match self.life() {
            Life::Building => {}
            Life::Ready => return Ok(()),
            life => return Err(unusable(&life, false).unwrap_or_else(absent)),
        }
        let total = read(&self.table).points.live() as u64;
        let waited =
            self.backlog.wait(&mut |left| progress(total.saturating_sub(left), total), cancelled);
        if let Err(error) = waited {
            if error.kind == ErrorKind::Internal {
                self.set_life(Life::Stale(error.message.clone()));
            }
            return Err(error);
        }
        let mut writer = lock(&self.writer);
        let mut record = writer.record.clone();
        record.state = DurableState::Ready;
        shared.store.put_generation(&record)?;
        writer.record = record;
        let highest = writer.highest;
        drop(writer);
        shared.store.sync()?;
        self.made_durable(highest);
        self.set_life(Life::Ready);
        self.unusable().map_or(Ok(()), Err)
    }

    /// How it is, for the views and the planner.
    pub fn status(&self, in_recovery: bool) -> GenerationStatus {
        let (state, reason) = match self.life() {
            Life::Building => (GenerationState::Building, String::new()),
            Life::Loading if in_recovery => {
                (GenerationState::Loading, "the server is in recovery".to_string())
            }
            Life::Loading => (GenerationState::Loading, String::new()),
            Life::Ready => (GenerationState::Ready, String::new()),
            Life::Stale(reason) => (GenerationState::Stale, reason),
            Life::Dropped => (GenerationState::Absent, String::new()),
        };
        let table = read(&self.table);
        GenerationStatus {
            id: self.id(),
            state,
            reason,
            entries: table.points.entries() as u64,
            pending: table.points.waiting_entries() as u64,
            tombstones: table.points.dead() as u64,
            memory_bytes: self.table_bytes(&table),
            durable_lsn: self.durable.load(Ordering::Relaxed),
            vacuum_lsn: self.vacuum.load(Ordering::Relaxed),
        }
    }

    fn table_bytes(&self, table: &Table) -> u64 {
        table.points.memory_bytes(self.header.dimensions as usize) + table.graph.memory_bytes()
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> u64 {
        self.table_bytes(&read(&self.table))
    }
}

fn options(header: &GenerationHeader) -> GraphOptions {
    GraphOptions {
        metric: header.metric,
        m: header.m as usize,
        ef_construction: header.ef_construction as usize,
    }
}

/// The error of an unknown generation.
pub fn absent() -> WireError {
    WireError::new(ErrorKind::GenerationUnusable, "the store does not know this index generation")
}

/// The error of a request that cannot be right.
pub fn invalid(message: impl Into<String>) -> WireError {
    WireError::new(ErrorKind::InvalidRequest, message)
}

fn unusable(life: &Life, for_writing: bool) -> Option<WireError> {
    let error = |message: &str| WireError::new(ErrorKind::GenerationUnusable, message);
    match life {
        Life::Ready => None,
        Life::Building | Life::Loading if for_writing => None,
        Life::Building => Some(error("the index generation is still being built")),
        Life::Loading => Some(error("the index generation is still loading")),
        Life::Stale(reason) => {
            Some(error("the index generation is stale").detail(format!("The reason is: {reason}.")))
        }
        Life::Dropped => Some(absent()),
    }
}
