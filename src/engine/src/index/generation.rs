//! One index generation: its state, and what changes its entries.
//!
//! Locks are taken in this order: `writer`, the text queue, `table`. `writer` makes the order of
//! changes in the store and in memory the same; graphs are changed outside all locks.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use onyx_protocol::index::{
    GenerationHeader, GenerationId, GenerationState, GenerationStatus, HeapTid, Lsn,
};
use onyx_protocol::{ErrorKind, WireError};

use super::backlog::Backlog;
use super::distance::{Vector, all_finite};
use super::graph::{Graph, GraphOptions, PointId};
use super::jobs::Job;
use super::points::{Embedding, Points};
use super::shared::Shared;
use crate::store::{DurableState, GenerationRecord, ModelKey, TextHash, lock, read, write};

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

    pub(super) fn check_writable(&self) -> Result<(), WireError> {
        unusable(&self.life(), true).map_or(Ok(()), Err)
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
    pub(super) fn begin_write(
        &self,
        shared: &Shared,
        writer: &mut Writer,
    ) -> Result<(), WireError> {
        self.check_writable()?;
        self.ensure_recovered(shared, writer)?;
        self.check_writable()
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
