//! Index generations: entries in the store, graphs in memory.
//!
//! Owns what a generation means: which entries it has, which of them a search finds, when it may be
//! used. Knows nothing of connections, requests or how texts are embedded.
//!
//! * A generation is `Building` from [`Indexes::create`] to [`Indexes::finish`], `Loading` from the
//!   engine's start until its graph is in memory, `Ready` then. It becomes `Stale`, and never
//!   anything else, when its entries cannot be trusted.
//! * An entry is in the store before it is in memory, and removed there first.
//! * While the server is in recovery nothing changes and nothing can be searched.

mod arena;
mod beam;
mod distance;
mod generation;
mod graph;
mod insert;
mod jobs;
mod kernels;
mod linker;
mod links;
mod load;
mod memory;
mod points;
mod prewarm;
mod queue;
mod ranking;
mod repair;
mod rows;
mod save;
mod search;
mod shared;
mod snapshot;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use onyx_protocol::index::{
    Content, Entry, GenerationHeader, GenerationId, GenerationState, GenerationStatus, HeapTid,
    Hit, Lsn,
};
use onyx_protocol::limits::{MAX_BATCH_ENTRIES, MAX_DIMENSIONS, STREAM_BATCH_BYTES};
use onyx_protocol::model::ModelSpec;
use onyx_protocol::startup::RecoveryEnd;
use onyx_protocol::{ErrorKind, WireError};

pub use queue::PendingBatch;
pub use ranking::{Found, Ranking, Wanted};

use crate::steps;
use crate::store::{
    DurableState, GenerationRecord, Marks, ModelKey, Store, TextHash, lock, read, write,
};
use distance::all_finite;
use generation::{Generation, Life, absent, invalid};
use jobs::{Job, Jobs};
use memory::Budget;
use queue::Queue;
use ranking::Rankings;
use shared::Shared;

/// Background threads: one may be busy with something large while a search asks for another graph.
const BACKGROUND_THREADS: usize = 2;

/// What a generation may ask for; pgvector's own limits.
const M: std::ops::RangeInclusive<u32> = 2..=100;
const EF_CONSTRUCTION: std::ops::RangeInclusive<u32> = 4..=1000;

/// All index generations of the store.
pub struct Indexes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Indexes {
    /// Reads what generations there are and begins to load them in the background. Without
    /// `recovery` that waits for [`Indexes::recovery_ended`]. `unheard` is the file of
    /// `Startup::recovery_path`. `workers` threads insert into graphs, which take at most `memory` bytes.
    ///
    /// # Errors
    /// The store cannot be read, or threads cannot be started.
    pub fn open(
        store: Arc<Store>,
        system_identifier: u64,
        recovery: Option<RecoveryEnd>,
        unheard: &Path,
        workers: usize,
        memory: u64,
    ) -> Result<Arc<Self>, WireError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers.max(1))
            .thread_name(|n| format!("index-{n}"))
            .build()
            .map_err(no_threads)?;
        let queue = Queue::open(&store)?;
        let shared = Arc::new(Shared {
            store,
            pool: Arc::new(pool),
            budget: Arc::new(Budget::new(memory)),
            queue,
            jobs: Jobs::default(),
            rankings: Rankings::default(),
            system_identifier,
            recovery: RwLock::new(recovery),
            unheard: unheard.into(),
            generations: RwLock::new(HashMap::new()),
        });
        if let Some(end) = recovery {
            shared.note_end(end)?;
        }
        for (record, marks) in shared.store.generations()? {
            let life = first_life(&record, system_identifier);
            let id = record.header.id;
            let generation = Arc::new(Generation::new(record, marks, life, &shared));
            write(&shared.generations).insert(id, generation);
        }
        let mut indexes = Self { shared, threads: Vec::new() };
        for n in 0..BACKGROUND_THREADS {
            let shared = Arc::clone(&indexes.shared);
            let thread = std::thread::Builder::new().name(format!("index-job-{n}"));
            indexes.threads.push(thread.spawn(move || shared.work()).map_err(no_threads)?);
        }
        if recovery.is_some() {
            indexes.load_all();
        }
        Ok(Arc::new(indexes))
    }

    fn load_all(&self) {
        for generation in self.shared.all() {
            if generation.life() == Life::Loading {
                self.shared.jobs.add(Job::Load(generation.id()));
            }
        }
    }

    /// The server left recovery: from now on indexes may be written.
    ///
    /// # Errors
    /// It had left recovery before, or that cannot be written down.
    pub fn recovery_ended(&self, end: RecoveryEnd) -> Result<(), WireError> {
        let mut recovery = write(&self.shared.recovery);
        match *recovery {
            Some(known) if known == end => return Ok(()),
            Some(_) => return Err(invalid("recovery has already ended")),
            None => {
                self.shared.note_end(end)?;
                *recovery = Some(end);
            }
        }
        drop(recovery);
        self.load_all();
        Ok(())
    }

    /// Begins a generation; of texts with the key of their model.
    ///
    /// # Errors
    /// Its id is in use, its figures are out of range, or the store cannot be written.
    pub fn create(
        &self,
        header: GenerationHeader,
        model: Option<ModelKey>,
    ) -> Result<(), WireError> {
        let recovery = self.shared.recovery().ok_or_else(in_recovery)?;
        self.check_header(&header, model)?;
        if let (Content::Texts(spec), Some(model)) = (&header.content, model) {
            self.shared.queue.put_model(&self.shared.store, model, spec)?;
        }
        let id = header.id;
        let record = GenerationRecord {
            header,
            model,
            state: DurableState::Building,
            vacuum_lsn: 0,
            recovery: Some(recovery),
        };
        let mut generations = write(&self.shared.generations);
        match generations.get(&id) {
            // Asked again because the answer was lost.
            Some(known) if known.header == record.header && known.life() == Life::Building => {}
            Some(_) => return Err(invalid("the index generation exists already")),
            None => {
                self.shared.store.put_generation(&record)?;
                let generation =
                    Generation::new(record, Marks::default(), Life::Building, &self.shared);
                generations.insert(id, Arc::new(generation));
            }
        }
        drop(generations);
        steps::at("create.written");
        self.shared.store.sync()?;
        steps::at("create.synced");
        Ok(())
    }

    fn check_header(
        &self,
        header: &GenerationHeader,
        model: Option<ModelKey>,
    ) -> Result<(), WireError> {
        if header.system_identifier != self.shared.system_identifier {
            let (own, other) = (self.shared.system_identifier, header.system_identifier);
            return Err(invalid(format!("expected system identifier {own}, not {other}")));
        }
        let dimensions = header.dimensions;
        if !(1..=MAX_DIMENSIONS as u32).contains(&dimensions) {
            return Err(invalid(format!(
                "expected 1 to {MAX_DIMENSIONS} dimensions, not {dimensions}"
            )));
        }
        if !M.contains(&header.m) {
            return Err(invalid(format!(
                "expected m from {} to {}, not {}",
                M.start(),
                M.end(),
                header.m
            )));
        }
        if !EF_CONSTRUCTION.contains(&header.ef_construction) {
            let (low, high) = (EF_CONSTRUCTION.start(), EF_CONSTRUCTION.end());
            let found = header.ef_construction;
            return Err(invalid(format!(
                "expected ef_construction from {low} to {high}, not {found}"
            )));
        }
        match (&header.content, model) {
            (Content::Vectors, None) => Ok(()),
            (Content::Texts(spec), Some(_)) if spec.dimensions == dimensions => Ok(()),
            (Content::Texts(spec), Some(_)) => {
                let expected = spec.dimensions;
                Err(invalid(format!(
                    "expected {expected} dimensions of the model, not {dimensions}"
                )))
            }
            (Content::Vectors, Some(_)) => Err(invalid("an index of vectors has no model")),
            (Content::Texts(_), None) => Err(invalid("an index of texts needs a model")),
        }
    }

    fn get(&self, id: GenerationId) -> Result<Arc<Generation>, WireError> {
        self.shared.get(id).ok_or_else(absent)
    }

    /// Adds entries; one of the same heap tuple replaces an older one. They are in the store's log
    /// when this returns, on disk when `durable`. Texts without an embedding are queued with them. Returns
    /// the number of this write among all of the generation's.
    ///
    /// # Errors
    /// The generation cannot be written, an entry does not fit it, or the store fails.
    pub fn insert(
        &self,
        id: GenerationId,
        stamp: Lsn,
        durable: bool,
        entries: Vec<Entry>,
    ) -> Result<u64, WireError> {
        check_batch(entries.len())?;
        self.get(id)?.insert(&self.shared, stamp, durable, &entries)
    }

    /// Finishes a build: its graph is complete and everything on disk. `progress` is told how many
    /// of how many points are in.
    ///
    /// # Errors
    /// The generation is not being built, the graph failed, a cancel, what `progress` returns, or
    /// the store fails.
    pub fn finish(
        &self,
        id: GenerationId,
        progress: &mut dyn FnMut(u64, u64) -> Result<(), WireError>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), WireError> {
        self.get(id)?.finish(&self.shared, progress, cancelled)
    }

    /// Makes every earlier insert of these generations durable.
    ///
    /// # Errors
    /// One of them is unknown or stale, or the store fails.
    pub fn sync(&self, ids: &[GenerationId]) -> Result<(), WireError> {
        let mut written = Vec::with_capacity(ids.len());
        for id in ids {
            let generation = self.get(*id)?;
            if let (Life::Stale(_), Some(error)) = (generation.life(), generation.unusable()) {
                return Err(error);
            }
            written.push((generation.marks(), generation));
        }
        self.shared.store.sync()?;
        for (marks, generation) in written {
            generation.made_durable(marks);
        }
        Ok(())
    }

    /// States of generations, in the order asked. One that is still to be loaded is loaded next.
    pub fn status(&self, ids: &[GenerationId]) -> Vec<GenerationStatus> {
        let in_recovery = self.shared.recovery().is_none();
        ids.iter()
            .map(|id| match self.shared.get(*id) {
                None => absent_status(*id),
                Some(generation) => {
                    self.hurry(&generation);
                    generation.status(in_recovery)
                }
            })
            .collect()
    }

    fn hurry(&self, generation: &Generation) {
        if generation.life() == Life::Loading {
            self.shared.jobs.hurry(generation.id());
        }
    }

    /// What a generation was built for.
    pub fn header(&self, id: GenerationId) -> Option<GenerationHeader> {
        Some(self.shared.get(id)?.header.clone())
    }

    /// The key of the model a generation of texts was created with.
    pub fn model(&self, id: GenerationId) -> Option<ModelKey> {
        self.shared.get(id)?.model
    }

    /// The nearest entries, by distance and then heap tuple; fewer than `k` only when there are no
    /// more. NaN, the cosine distance of a zero vector, comes last.
    ///
    /// # Errors
    /// The generation is not ready, the query does not fit it, or a cancel.
    pub fn search(
        &self,
        id: GenerationId,
        query: &[f32],
        k: usize,
        ef: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Hit>, WireError> {
        let wanted = Wanted { k, ef, after: 0 };
        Ok(self.go_on(id, query, wanted, &mut None, cancelled)?.hits)
    }

    /// Waits until a generation is loaded and reads full vectors that were left to the store back into
    /// memory while they fit. Returns the bytes of memory it takes then.
    ///
    /// # Errors
    /// The generation cannot be used, a cancel, or the store fails.
    pub fn prewarm(
        &self,
        id: GenerationId,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<u64, WireError> {
        let generation = self.get(id)?;
        self.hurry(&generation);
        generation.prewarm(&self.shared, cancelled)
    }

    /// All entries' heap tuples, ascending, in batches.
    ///
    /// # Errors
    /// The generation is unknown or stale, what `emit` returns, or the store fails.
    pub fn tids(
        &self,
        id: GenerationId,
        emit: &mut dyn FnMut(Vec<HeapTid>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let tids = self.get(id)?.tids(&self.shared)?;
        tids.chunks(STREAM_BATCH_BYTES / size_of::<HeapTid>())
            .try_for_each(|part| emit(part.to_vec()))
    }

    /// Entries that searches of a generation's graph cannot come to, whatever they ask for: there are none while
    /// all is well.
    ///
    /// # Errors
    /// The generation is not ready.
    pub fn out_of_reach(
        &self,
        id: GenerationId,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<HeapTid>, WireError> {
        self.get(id)?.out_of_reach(&self.shared, &|| cancelled())
    }

    /// Removes entries: from searches at once, from disk before this returns.
    ///
    /// # Errors
    /// The generation cannot be written, or the store fails.
    pub fn delete(
        &self,
        id: GenerationId,
        vacuum_lsn: Lsn,
        tids: &[HeapTid],
    ) -> Result<(), WireError> {
        check_batch(tids.len())?;
        self.get(id)?.delete(&self.shared, vacuum_lsn, tids)
    }

    /// Deletes generations; unknown ones are ignored. Their space comes back in the background.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn drop_generations(&self, ids: &[GenerationId]) -> Result<(), WireError> {
        for id in ids {
            let removed = write(&self.shared.generations).remove(id);
            let Some(generation) = removed else { continue };
            generation.set_life(Life::Dropped);
            // Whoever is writing to it has ended then, and whoever comes later sees it dropped.
            let writer = lock(&generation.writer);
            steps::at("drop.write");
            let dropped = self.shared.store.drop_generation(*id);
            steps::at("drop.written");
            drop(writer);
            dropped?;
            self.shared.jobs.add(Job::Reclaim(*id));
        }
        Ok(())
    }

    /// Headers of a database's generations.
    pub fn list(&self, database: u32) -> Vec<GenerationHeader> {
        let all = self.shared.all();
        all.iter().map(|g| &g.header).filter(|h| h.database == database).cloned().collect()
    }

    /// Texts to embed next, models taking turns. They stay queued until [`Indexes::complete`] or
    /// [`Indexes::fail`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn next_pending(&self, limit: usize) -> Result<Option<PendingBatch>, WireError> {
        Ok(self.shared.queue.next(&self.shared.store, limit)?)
    }

    /// Keeps embeddings, queued or not, and makes every entry that waits for one searchable.
    ///
    /// # Errors
    /// A vector does not have the model's length, a graph failed, or the store fails.
    pub fn complete(&self, model: ModelKey, rows: &[(TextHash, &[f32])]) -> Result<(), WireError> {
        let generations = self.of_model(model);
        if let Some(expected) = generations.first().map(|g| g.header.dimensions as usize)
            && let Some((_, row)) = rows.iter().find(|(_, row)| row.len() != expected)
        {
            return Err(invalid(format!("expected {expected} dimensions, not {}", row.len())));
        }
        let (good, bad): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| all_finite(row));
        for (hash, _) in bad {
            self.fail(model, hash, "the model returned numbers that are not finite")?;
        }
        self.shared.queue.complete(&self.shared.store, model, &good)?;
        let filled: Vec<_> = good.iter().map(|(hash, row)| (*hash, Some(*row))).collect();
        generations.iter().try_for_each(|generation| generation.fill(&self.shared, &filled))
    }

    /// Gives a text up: its entries stay, but no search finds them.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn fail(&self, model: ModelKey, hash: TextHash, reason: &str) -> Result<(), WireError> {
        self.shared.queue.fail(&self.shared.store, model, hash, reason)?;
        let failed = [(hash, None)];
        self.of_model(model).iter().try_for_each(|g| g.fill(&self.shared, &failed))
    }

    fn of_model(&self, model: ModelKey) -> Vec<Arc<Generation>> {
        self.shared.all().into_iter().filter(|g| g.model == Some(model)).collect()
    }

    /// Texts waiting, by model.
    pub fn pending_counts(&self) -> Vec<(ModelKey, ModelSpec, u64)> {
        self.shared.queue.counts()
    }

    /// Waits until a text is queued, at most this long; whether there is one.
    pub fn wait_for_pending(&self, timeout: Duration) -> bool {
        self.shared.queue.wait(timeout)
    }

    /// Changes how much memory graphs may take; what is over it is given back as more is asked for.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.shared.budget.set_limit(bytes);
    }

    /// Bytes of memory of all graphs and vectors, about.
    pub fn memory_bytes(&self) -> u64 {
        self.shared.all().iter().map(|generation| generation.memory_bytes()).sum()
    }

    /// Generations in the store.
    pub fn generations(&self) -> u64 {
        read(&self.shared.generations).len() as u64
    }
}

impl Drop for Indexes {
    fn drop(&mut self) {
        self.shared.jobs.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a background thread of the index panicked");
            }
        }
    }
}

fn first_life(record: &GenerationRecord, system_identifier: u64) -> Life {
    if record.header.system_identifier != system_identifier {
        return Life::Stale("belongs to another cluster".into());
    }
    match &record.state {
        DurableState::Building => Life::Stale("its build was interrupted".into()),
        DurableState::Ready => Life::Loading,
        DurableState::Stale(reason) => Life::Stale(reason.clone()),
    }
}

fn absent_status(id: GenerationId) -> GenerationStatus {
    GenerationStatus {
        id,
        state: GenerationState::Absent,
        reason: String::new(),
        entries: 0,
        pending: 0,
        tombstones: 0,
        memory_bytes: 0,
        durable_lsn: 0,
        writes: 0,
        vacuum_lsn: 0,
    }
}

fn check_batch(entries: usize) -> Result<(), WireError> {
    if entries > MAX_BATCH_ENTRIES {
        return Err(invalid(format!(
            "expected at most {MAX_BATCH_ENTRIES} entries, not {entries}"
        )));
    }
    Ok(())
}

fn in_recovery() -> WireError {
    WireError::new(ErrorKind::GenerationUnusable, "the server is in recovery")
        .hint("Indexes can be used again when recovery has ended.")
}

fn no_threads(error: impl std::fmt::Display) -> WireError {
    WireError::new(ErrorKind::ResourceExhausted, "could not start the index's threads")
        .detail(format!("The system reports: {error}."))
}
