//! One index generation: its state, and what changes its entries.
//!
//! Locks are taken in this order: `writer`, the text queue, `table`. `writer` makes the order of
//! changes in the store and in memory the same; graphs are changed outside all locks but that.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use onyx_protocol::index::{
    Content, GenerationHeader, GenerationId, GenerationState, GenerationStatus, HeapTid, Lsn,
    Quantization,
};
use onyx_protocol::{ErrorKind, WireError};

use super::arena::CHUNK_ROWS;
use super::distance::all_finite;
use super::graph::{Graph, GraphOptions, PointId};
use super::jobs::Job;
use super::linker::Linker;
use super::memory::{Share, no_room, trim};
use super::points::{Points, State};
use super::rows::Layout;
use super::shared::Shared;
use crate::steps;
use crate::store::{DurableState, GenerationRecord, Marks, ModelKey, TextHash, lock, read, write};

/// Dead points are taken out when they are more than one in so many ...
const REPAIR_SHARE: usize = 8;
/// ... and more than this: taking them out looks at every list.
const REPAIR_POINTS: usize = 256;

/// Fewer vectors than this do not tell how a generation's vectors lie.
const SAMPLE_POINTS: usize = 32;

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
    /// How far its inserts have come.
    pub marks: Marks,
    /// Heap tuples changed since loading began, which the loader must leave alone.
    pub touched: Option<HashSet<HeapTid>>,
}

/// Entries and graph in memory.
pub struct Table {
    /// Entries and points.
    pub points: Points,
    /// What orders the points; replaced as a whole.
    pub graph: Arc<Graph>,
    /// What links points into it.
    pub linker: Arc<Linker>,
}

/// A point and its vector.
pub type Arrival<'a> = (PointId, &'a [f32]);

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
    durable_writes: AtomicU64,
    vacuum: AtomicU64,
    pub(super) repairing: AtomicBool,
    pub(super) share: Share,
    /// Points linked or taken out since the graph was saved, and the moment of the last save.
    pub(super) unsaved: AtomicUsize,
    pub(super) moment: AtomicU64,
    /// Points queued for the graph since it was looked whether all can be reached.
    pub(super) unreached: AtomicUsize,
    pub(super) reach_queued: AtomicBool,
    pub(super) saving: Mutex<()>,
    pub(super) save_queued: AtomicBool,
}

impl Generation {
    /// A generation as it is in the store, nothing of it in memory yet.
    pub fn new(record: GenerationRecord, marks: Marks, life: Life, shared: &Shared) -> Self {
        let paused = life == Life::Loading;
        let pool = Arc::clone(&shared.pool);
        let table = empty_table(&record.header, Layout::Whole, paused, pool);
        Self {
            header: record.header.clone(),
            model: record.model,
            durable: AtomicU64::new(marks.highest),
            durable_writes: AtomicU64::new(marks.writes),
            vacuum: AtomicU64::new(record.vacuum_lsn),
            writer: Mutex::new(Writer { record, marks, touched: None }),
            table: RwLock::new(table),
            life: RwLock::new(life),
            repairing: AtomicBool::new(false),
            share: Share::new(Arc::clone(&shared.budget)),
            unsaved: AtomicUsize::new(0),
            moment: AtomicU64::new(0),
            unreached: AtomicUsize::new(0),
            reach_queued: AtomicBool::new(false),
            saving: Mutex::new(()),
            save_queued: AtomicBool::new(false),
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

    /// An empty table.
    pub fn new_table(&self, layout: Layout, shared: &Shared) -> Table {
        let paused = self.life() == Life::Loading;
        empty_table(&self.header, layout, paused, Arc::clone(&shared.pool))
    }

    /// How rows of vectors like these are kept.
    pub fn layout_for(&self, sample: &[&[f32]]) -> Layout {
        let dimensions = self.header.dimensions as usize;
        match self.header.quantization {
            Quantization::None => return Layout::Whole,
            Quantization::Sq8 => return Layout::Split,
            Quantization::Auto => {}
        }
        // A model's vectors are spread around zero.
        if self.model.is_some() {
            return Layout::fit(dimensions, sample.iter().take(1).copied());
        }
        if sample.len() < SAMPLE_POINTS {
            return Layout::Whole;
        }
        Layout::fit(dimensions, sample.iter().take(1_000).copied())
    }

    /// Puts points into their rows and queues them for the graph; searches find them from now on. The
    /// caller is the generation's one writer.
    pub(super) fn arrive(
        &self,
        shared: &Shared,
        arrivals: &[Arrival<'_>],
    ) -> Result<(), WireError> {
        let (graph, linker) = self.graph();
        let Err(error) = self.place(shared, &graph, &linker, arrivals) else { return Ok(()) };
        let reason = match error.detail.is_empty() {
            true => error.message.clone(),
            false => format!("{}: {}", error.message, error.detail.trim_end_matches('.')),
        };
        self.set_life(Life::Stale(reason));
        self.give_memory_back();
        Err(error)
    }

    /// Forgets everything in memory, of a generation that will not be used again.
    pub(super) fn give_memory_back(&self) {
        let mut table = write(&self.table);
        let (layout, pool) = (table.graph.rows.layout(), table.linker.pool());
        let old = std::mem::replace(&mut *table, empty_table(&self.header, layout, true, pool));
        self.share.set(0);
        drop(table);
        drop(old);
        trim();
    }

    /// The graph and what links into it.
    pub(super) fn graph(&self) -> (Arc<Graph>, Arc<Linker>) {
        let table = read(&self.table);
        (Arc::clone(&table.graph), Arc::clone(&table.linker))
    }

    fn place(
        &self,
        shared: &Shared,
        graph: &Graph,
        linker: &Arc<Linker>,
        arrivals: &[Arrival<'_>],
    ) -> Result<(), WireError> {
        if arrivals.is_empty() {
            return Ok(());
        }
        let end = graph.end();
        let new = arrivals.iter().filter(|(id, _)| *id as usize >= end).count();
        self.make_room(shared, graph, new)?;
        let mut ids = Vec::with_capacity(arrivals.len());
        for (id, values) in arrivals {
            if !graph.reserve(*id, self.has_room_for_rest(graph)) {
                return Err(no_room(self.memory_bytes(), self.share.budget().limit()));
            }
            // Another generation may need the memory of this one's rests just now.
            let _walk = graph.walk();
            // SAFETY: the point is new to the graph, or its row was left by another point, which no
            // walk can reach any more; and there is one writer.
            unsafe { graph.put(*id, values) };
            if !graph.is_linked(*id) {
                ids.push(*id);
            }
        }
        linker.add(&ids)?;
        let mut table = write(&self.table);
        arrivals.iter().for_each(|(id, _)| table.points.publish(&[*id]));
        self.share.set(self.table_bytes(&table));
        self.unsaved.fetch_add(ids.len(), Ordering::Relaxed);
        self.unreached.fetch_add(ids.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Gives up rankings, and then rests of rows, until so many more points fit.
    fn make_room(&self, shared: &Shared, graph: &Graph, points: usize) -> Result<(), WireError> {
        let budget = self.share.budget();
        let bytes = (points * point_bytes(graph)) as u64;
        if budget.fits(bytes)
            || (shared.rankings.forget() && budget.fits(bytes))
            || self.leave_rests_for(shared, bytes)
        {
            return Ok(());
        }
        Err(no_room(self.memory_bytes() + bytes, budget.limit()))
    }

    /// Leaves rests of rows to the store, its own first, until so many more bytes fit. False when all are left.
    pub(super) fn leave_rests_for(&self, shared: &Shared, bytes: u64) -> bool {
        while !self.share.budget().fits(bytes) {
            let given = self.leave_rest()
                || shared.all().iter().any(|other| other.id() != self.id() && other.leave_rest());
            if !given {
                return false;
            }
        }
        true
    }

    /// Leaves the rests of one chunk to the store. False when there are none.
    fn leave_rest(&self) -> bool {
        let (graph, _) = self.graph();
        let Some((taken, _)) = graph.rows.take_rest() else { return false };
        graph.quiesce();
        drop(taken);
        self.share.set(self.memory_bytes());
        true
    }

    pub(super) fn has_room_for_rest(&self, graph: &Graph) -> bool {
        self.share.budget().fits((graph.rows.row_bytes().1 * CHUNK_ROWS) as u64)
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

    /// Gives texts' entries their vectors, or marks those without one as failed.
    pub fn fill(
        &self,
        shared: &Shared,
        rows: &[(TextHash, Option<&[f32]>)],
    ) -> Result<(), WireError> {
        let writer = lock(&self.writer);
        let sample: Vec<&[f32]> = rows.iter().filter_map(|(_, values)| *values).collect();
        let mut table = write(&self.table);
        self.choose_layout(&mut table, &sample, shared);
        let mut arrivals: Vec<Arrival<'_>> = Vec::new();
        for (hash, values) in rows {
            let state = if values.is_some() { State::Known } else { State::Failed };
            let id = table.points.fill(hash, state);
            arrivals.extend(id.zip(*values));
        }
        drop(table);
        let result = self.arrive(shared, &arrivals);
        drop(writer);
        self.save_soon(shared);
        result
    }

    /// Decides how rows are kept, as long as there are none.
    pub(super) fn choose_layout(&self, table: &mut Table, sample: &[&[f32]], shared: &Shared) {
        if table.graph.end() > 0 || sample.is_empty() {
            return;
        }
        let layout = self.layout_for(sample);
        if layout != table.graph.rows.layout() {
            let new = self.new_table(layout, shared);
            (table.graph, table.linker) = (new.graph, new.linker);
        }
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
        steps::at("delete.write");
        shared.store.delete_items(&record, tids, None)?;
        steps::at("delete.written");
        self.vacuum.store(record.vacuum_lsn, Ordering::Relaxed);
        writer.record = record;
        if let Some(touched) = &mut writer.touched {
            touched.extend(tids);
        }
        let marks = writer.marks;
        let mut table = write(&self.table);
        for tid in tids {
            table.points.remove(*tid);
        }
        let (live, dead) = (table.points.live(), table.points.dead());
        // While loading, what is missing is still to come.
        let emptied =
            table.points.entries() == 0 && table.points.end() > 0 && self.life() == Life::Ready;
        let old = emptied.then(|| {
            let layout = table.graph.rows.layout();
            std::mem::replace(&mut *table, self.new_table(layout, shared))
        });
        self.share.set(self.table_bytes(&table));
        drop(table);
        drop(writer);
        drop(old);
        steps::at("delete.kept");
        shared.store.sync()?;
        self.made_durable(marks);
        steps::at("delete.synced");
        if emptied {
            self.unsaved.fetch_add(live + dead, Ordering::Relaxed);
            shared.jobs.add(Job::Tidy(self.id()));
            return Ok(());
        }
        self.repair_soon(shared);
        Ok(())
    }

    /// Has dead points taken out in the background when they are many.
    pub(super) fn repair_soon(&self, shared: &Shared) {
        let table = read(&self.table);
        let (live, dead) = (table.points.live(), table.points.dead());
        drop(table);
        let worth_it = dead > REPAIR_POINTS && dead * REPAIR_SHARE > live + dead;
        if worth_it && self.life() == Life::Ready && !self.repairing.swap(true, Ordering::AcqRel) {
            shared.jobs.add(Job::Repair(self.id()));
        }
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
        let mut tids = read(&self.table).points.all_tids();
        tids.sort_unstable();
        Ok(tids)
    }

    /// Ends a repair, done or not. Another follows when as many died meanwhile.
    pub(super) fn repair_ended(&self, shared: &Shared) {
        self.repairing.store(false, Ordering::Release);
        self.repair_soon(shared);
    }

    /// What was written, to be passed to [`Generation::made_durable`] after a sync.
    pub fn marks(&self) -> Marks {
        lock(&self.writer).marks
    }

    /// Everything up to here is on disk.
    pub fn made_durable(&self, marks: Marks) {
        self.durable.fetch_max(marks.highest, Ordering::Relaxed);
        self.durable_writes.fetch_max(marks.writes, Ordering::Relaxed);
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
        let (graph, linker) = self.graph();
        let total = read(&self.table).points.live() as u64;
        let waited =
            linker.wait(&mut |left| progress(total.saturating_sub(left), total), cancelled);
        if let Err(error) = waited {
            if error.kind == ErrorKind::Internal {
                self.set_life(Life::Stale(error.message.clone()));
            }
            return Err(error);
        }
        graph.reach_all(&|| cancelled());
        steps::at("finish.linked");
        self.save(shared)?;
        steps::at("finish.saved");
        // Entries of a build are not logged: their files are what makes them safe.
        shared.store.flush_items()?;
        steps::at("finish.flushed");
        let mut writer = lock(&self.writer);
        let mut record = writer.record.clone();
        record.state = DurableState::Ready;
        shared.store.put_generation(&record)?;
        steps::at("finish.written");
        writer.record = record;
        let marks = writer.marks;
        drop(writer);
        shared.store.sync()?;
        self.made_durable(marks);
        self.set_life(Life::Ready);
        steps::at("finish.synced");
        trim();
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
            tombstones: table.points.tombstones() as u64,
            memory_bytes: self.table_bytes(&table),
            durable_lsn: self.durable.load(Ordering::Relaxed),
            writes: self.durable_writes.load(Ordering::Relaxed),
            vacuum_lsn: self.vacuum.load(Ordering::Relaxed),
        }
    }

    pub(super) fn table_bytes(&self, table: &Table) -> u64 {
        table.points.memory_bytes() + table.graph.memory_bytes()
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> u64 {
        self.table_bytes(&read(&self.table))
    }
}

fn empty_table(
    header: &GenerationHeader,
    layout: Layout,
    paused: bool,
    pool: Arc<rayon::ThreadPool>,
) -> Table {
    let options = GraphOptions {
        metric: header.metric,
        dimensions: header.dimensions as usize,
        m: header.m as usize,
        ef_construction: header.ef_construction as usize,
    };
    let graph = Arc::new(Graph::new(options, layout));
    let linker = Arc::new(Linker::new(Arc::clone(&graph), pool, paused));
    let texts = matches!(header.content, Content::Texts(_));
    Table { points: Points::new(texts), graph, linker }
}

/// Bytes a point takes at least, what is known of its entries included.
fn point_bytes(graph: &Graph) -> usize {
    graph.rows.row_bytes().0 + graph.links.point_bytes() + 40
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
