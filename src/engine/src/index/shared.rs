//! What all generations share.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use onyx_protocol::index::{GenerationId, Lsn};
use onyx_protocol::startup::RecoveryEnd;
use onyx_protocol::{ErrorKind, WireError};

use super::generation::{Generation, Life};
use super::jobs::{Job, Jobs};
use super::memory::Budget;
use super::queue::Queue;
use super::ranking::Rankings;
use crate::steps;
use crate::store::{DurableState, GenerationRecord, Store, read};

/// The store, the threads and the generations.
pub struct Shared {
    pub(super) store: Arc<Store>,
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) budget: Arc<Budget>,
    pub(super) queue: Queue,
    pub(super) jobs: Jobs,
    pub(super) rankings: Rankings,
    pub(super) system_identifier: u64,
    pub(super) recovery: RwLock<Option<RecoveryEnd>>,
    /// The file that has the end of recovery until it is noted here.
    pub(super) unheard: PathBuf,
    pub(super) generations: RwLock<HashMap<GenerationId, Arc<Generation>>>,
}

impl Shared {
    /// Where the server's recovery ended, if it has.
    pub fn recovery(&self) -> Option<RecoveryEnd> {
        *read(&self.recovery)
    }

    /// Notes where a recovery of the server ended, durably, before any generation acts on it: the next one may come
    /// before all have, and ends behind it.
    pub(super) fn note_end(&self, end: RecoveryEnd) -> Result<(), WireError> {
        let mut ends = self.store.recoveries()?;
        if ends.last() == Some(&end) {
            return self.heard();
        }
        let mut done = Vec::new();
        // Others are never used again.
        let ready = |record: &GenerationRecord| record.state == DurableState::Ready;
        for (record, _) in self.store.generations()?.into_iter().filter(|(r, _)| ready(r)) {
            done.extend(record.recovery.and_then(|known| place_of(&ends, known)));
        }
        // Without what no generation needs any more.
        ends.drain(..done.into_iter().min().unwrap_or(ends.len()));
        ends.push(end);
        self.store.put_recoveries(&ends)?;
        self.heard()
    }

    /// Has the server know that the end was noted, before anything is written behind it.
    fn heard(&self) -> Result<(), WireError> {
        remove(&self.unheard).map_err(|e| {
            let what = format!("could not remove file \"{}\"", self.unheard.display());
            WireError::new(ErrorKind::StoreIo, what).detail(e.to_string())
        })
    }

    /// Where the log first ended after a generation acted on an end of recovery, of which `end` is the last: what it has
    /// beyond that is void. 0: nothing is.
    pub(super) fn cut(
        &self,
        known: Option<RecoveryEnd>,
        end: RecoveryEnd,
    ) -> Result<Lsn, WireError> {
        let ends = self.store.recoveries()?;
        let place = known.and_then(|known| place_of(&ends, known));
        let later = place.map_or(std::slice::from_ref(&end), |at| &ends[at + 1..]);
        Ok(later.iter().map(|end| end.lsn).filter(|lsn| *lsn != 0).min().unwrap_or(0))
    }

    /// A generation that exists.
    pub fn get(&self, id: GenerationId) -> Option<Arc<Generation>> {
        read(&self.generations).get(&id).cloned()
    }

    /// All generations.
    pub fn all(&self) -> Vec<Arc<Generation>> {
        read(&self.generations).values().cloned().collect()
    }

    /// The body of a background thread.
    pub fn work(&self) {
        while let Some(job) = self.jobs.next() {
            let run = std::panic::AssertUnwindSafe(|| self.run(job));
            if std::panic::catch_unwind(run).is_err() {
                log::error!("a background job of the index failed: {job:?}");
                if let Job::Load(id) | Job::Repair(id) = job
                    && let Some(generation) = self.get(id)
                {
                    generation.set_life(Life::Stale("the engine failed while loading it".into()));
                }
            }
        }
    }

    fn run(&self, job: Job) {
        match job {
            Job::Load(id) => {
                let Some(generation) = self.get(id) else { return };
                if let Err(error) = generation.load(self) {
                    let reason = format!("could not be loaded: {}", words(&error));
                    log::error!("index generation {}: {reason}", hex(id));
                    generation.set_life(Life::Stale(reason));
                    generation.give_memory_back();
                }
            }
            Job::Repair(id) => {
                let Some(generation) = self.get(id) else { return };
                if let Err(error) = generation.repair(self) {
                    // The dead points stay: slower, but complete.
                    log::error!("index generation {}: {}", hex(id), words(&error));
                }
                generation.repair_ended(self);
            }
            Job::Reach(id) => {
                let Some(generation) = self.get(id) else { return };
                generation.reach(self);
            }
            Job::Save(id) | Job::Tidy(id) => {
                let Some(generation) = self.get(id) else { return };
                let mut saved = generation.save(self);
                if let Job::Tidy(_) = job {
                    saved = saved.and_then(|()| Ok(self.store.reclaim_items(id)?));
                }
                if let Err(error) = saved {
                    // The next start links what the store does not have.
                    log::warn!("index generation {}: {}", hex(id), words(&error));
                }
            }
            Job::Reclaim(id) => {
                steps::at("drop.reclaim");
                if let Err(error) = self.store.reclaim_generation(id) {
                    log::warn!("index generation {}: {}", hex(id), words(&error.into()));
                }
            }
        }
    }
}

/// Removes a file, durably, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// The last place of an end among others.
fn place_of(ends: &[RecoveryEnd], end: RecoveryEnd) -> Option<usize> {
    ends.iter().rposition(|other| *other == end)
}

fn words(error: &WireError) -> String {
    match error.detail.is_empty() {
        true => error.message.clone(),
        false => format!("{} ({})", error.message, error.detail.trim_end_matches('.')),
    }
}

/// A generation's id as it is written for people.
pub fn hex(id: GenerationId) -> String {
    id.0.iter().map(|byte| format!("{byte:02x}")).collect()
}
