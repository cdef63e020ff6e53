//! From the store into memory, and what a recovery of the server makes void.

use std::collections::HashSet;

use onyx_protocol::WireError;
use sha2::{Digest, Sha256};

use super::generation::{Generation, Life, Writer};
use super::graph::PointId;
use super::insert::{Embedding, Incoming};
use super::points::State;
use super::shared::Shared;
use crate::steps;
use crate::store::{DurableState, Item, ItemContent, Marks, TextHash, keys, lock, write};

/// Entries handled under one lock.
const CHUNK: usize = 1_024;

/// Why a generation is stale when an entry it needs has been vacuumed too early.
const VACUUMED_BEYOND: &str = "vacuumed beyond the point recovery ended";

impl Generation {
    /// Discards, once for every recovery, entries stamped beyond its end: their transactions cannot
    /// have committed, and their heap TIDs will be used again.
    pub(super) fn ensure_recovered(
        &self,
        shared: &Shared,
        writer: &mut Writer,
    ) -> Result<(), WireError> {
        let Some(end) = shared.recovery() else { return Err(super::in_recovery()) };
        if writer.record.recovery == Some(end) {
            return Ok(());
        }
        let mut record = writer.record.clone();
        let cut = shared.cut(record.recovery, end)?;
        record.recovery = Some(end);
        if cut != 0 && record.vacuum_lsn > cut {
            record.state = DurableState::Stale(VACUUMED_BEYOND.into());
            shared.store.put_generation(&record)?;
            self.set_life(Life::Stale(VACUUMED_BEYOND.into()));
        } else if cut != 0 && writer.marks.highest > cut {
            let mut void = Vec::new();
            for item in shared.store.items(&record)? {
                let item = item?;
                if item.stamp > cut {
                    void.push(item.tid);
                }
            }
            // The record comes last: interrupted, all of this is done again.
            for tids in void.chunks(CHUNK) {
                shared.store.delete_items(&writer.record, tids, None)?;
                steps::at("recover.deleted");
            }
            let marks = Marks { highest: cut, ..writer.marks };
            shared.store.delete_items(&record, &[], Some(marks))?;
            steps::at("recover.written");
            shared.store.sync()?;
            writer.marks = marks;
            self.forget_durable(cut);
            let mut table = write(&self.table);
            for tid in void {
                table.points.remove(tid);
            }
        } else {
            shared.store.put_generation(&record)?;
        }
        writer.record = record;
        Ok(())
    }

    /// Reads everything into memory; entries may come and go meanwhile. Points the stored graph does
    /// not have are linked afterwards, while searches look at them one by one.
    pub(super) fn load(&self, shared: &Shared) -> Result<(), WireError> {
        let mut writer = lock(&self.writer);
        if self.life() != Life::Loading {
            return Ok(());
        }
        self.ensure_recovered(shared, &mut writer)?;
        if self.life() != Life::Loading {
            return Ok(());
        }
        // What was inserted since the start is in the store too.
        steps::at("load.recovered");
        self.restore_graph(shared)?;
        steps::at("load.restored");
        writer.touched = Some(HashSet::new());
        let mut items = shared.store.items(&writer.record)?;
        drop(writer);
        let mut lost = 0;
        loop {
            let chunk = items.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() || shared.jobs.stopped() || self.life() != Life::Loading {
                break;
            }
            lost += self.load_chunk(shared, chunk)?;
            steps::at("load.chunk");
        }
        let stopped = || shared.jobs.stopped() || self.life() != Life::Loading;
        let (graph, linker) = self.graph();
        let unclaimed = write(&self.table).points.take_unclaimed();
        if stopped() {
            return Ok(());
        }
        if unclaimed.is_empty() {
            graph.leave_entry();
            graph.reach_all(&stopped);
        } else if graph.unlink(&unclaimed, &stopped) {
            write(&self.table).points.release(&unclaimed);
        }
        let mut writer = lock(&self.writer);
        writer.touched = None;
        if lost > 0 {
            let reason = format!("embeddings of {lost} entries are missing from the store");
            self.set_life(Life::Stale(reason));
        } else if !stopped() {
            self.set_life(Life::Ready);
            linker.resume();
            steps::at("load.ready");
        }
        drop(writer);
        drop(items);
        super::memory::trim();
        self.save_soon(shared);
        self.repair_soon(shared);
        Ok(())
    }

    /// Adds stored entries; returns how many have lost their text's embedding.
    fn load_chunk(&self, shared: &Shared, chunk: Vec<Item>) -> Result<usize, WireError> {
        let mut contents = Vec::with_capacity(chunk.len());
        let mut texts = HashSet::new();
        for item in &chunk {
            contents.push(match &item.content {
                ItemContent::Vector(values) => {
                    self.check_vector(values)?;
                    TextHash(Sha256::digest(keys::encode_vector(values)).into())
                }
                ItemContent::Text(hash) => {
                    texts.insert(*hash);
                    *hash
                }
            });
        }
        let texts: Vec<TextHash> = texts.into_iter().collect();
        let mut known = match self.model {
            Some(model) => self.look_up(shared, model, &texts)?,
            None => Default::default(),
        };
        let mut writer = lock(&self.writer);
        let mut waiting = shared.queue.hold();
        if let Some(model) = self.model {
            // Completed since the look-up, or still queued.
            let missing: Vec<TextHash> =
                texts.into_iter().filter(|hash| !known.contains_key(hash)).collect();
            known.extend(self.look_up(shared, model, &missing)?);
            for hash in missing {
                if waiting.contains(model, &hash) {
                    waiting.want(model, hash, self.id());
                    known.entry(hash).or_insert(Embedding::Waiting);
                }
            }
        }
        let (mut incoming, mut lost) = (Vec::with_capacity(chunk.len()), 0);
        for (item, content) in chunk.iter().zip(contents) {
            let tid = item.tid;
            if writer.touched.as_ref().is_some_and(|touched| touched.contains(&tid)) {
                continue;
            }
            let (state, values) = match (&item.content, known.get(&content)) {
                (ItemContent::Vector(values), _) => (State::Known, Some(values.as_slice())),
                (ItemContent::Text(_), Some(embedding)) => (embedding.state(), embedding.values()),
                (ItemContent::Text(_), None) => {
                    lost += 1;
                    continue;
                }
            };
            incoming.push(Incoming { tid, content, state, values });
        }
        // These are no changes that a loader must leave alone.
        let touched = writer.touched.take();
        let kept = self.keep(shared, &mut writer, &incoming);
        writer.touched = touched;
        drop(waiting);
        drop(writer);
        kept.map(|()| lost)
    }

    /// Takes points without entries out of the graph. Searches and inserts go on meanwhile.
    pub(super) fn repair(&self, shared: &Shared) -> Result<(), WireError> {
        let writer = lock(&self.writer);
        let (graph, linker) = self.graph();
        let leaving: Vec<PointId> = write(&self.table).points.take_dead();
        drop(writer);
        steps::at("repair.begun");
        let stopped = || shared.jobs.stopped() || self.life() != Life::Ready;
        if !linker.wait_for(&leaving, &stopped) || !graph.unlink(&leaving, &stopped) {
            return Ok(());
        }
        steps::at("repair.unlinked");
        let writer = lock(&self.writer);
        let mut table = write(&self.table);
        // Everything may have been removed, and begun anew, meanwhile.
        if std::sync::Arc::ptr_eq(&table.graph, &graph) {
            table.points.release(&leaving);
            self.share.set(self.table_bytes(&table));
        }
        drop(table);
        drop(writer);
        self.unsaved.fetch_add(leaving.len(), std::sync::atomic::Ordering::Relaxed);
        self.save_soon(shared);
        steps::at("repair.released");
        shared.store.reclaim_items(self.id())?;
        Ok(())
    }
}
