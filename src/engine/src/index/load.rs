//! From the store into memory, and what a recovery of the server makes void.

use std::collections::HashSet;
use std::sync::Arc;

use onyx_protocol::WireError;
use sha2::{Digest, Sha256};

use super::distance::Vector;
use super::generation::{Generation, Life, Writer};
use super::points::Embedding;
use super::shared::Shared;
use crate::store::{DurableState, Item, ItemContent, TextHash, keys, lock, read, write};

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
        record.recovery = Some(end);
        if end.lsn != 0 && record.vacuum_lsn > end.lsn {
            record.state = DurableState::Stale(VACUUMED_BEYOND.into());
            shared.store.put_generation(&record)?;
            self.set_life(Life::Stale(VACUUMED_BEYOND.into()));
        } else if end.lsn != 0 && writer.highest > end.lsn {
            let mut void = Vec::new();
            for item in shared.store.items(&record)? {
                let item = item?;
                if item.stamp > end.lsn {
                    void.push(item.tid);
                }
            }
            // The record comes last: interrupted, all of this is done again.
            for tids in void.chunks(CHUNK) {
                shared.store.delete_items(&writer.record, tids, None)?;
            }
            shared.store.delete_items(&record, &[], Some(end.lsn))?;
            shared.store.sync()?;
            writer.highest = end.lsn;
            self.forget_durable(end.lsn);
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

    /// Reads everything into memory; entries may come and go meanwhile.
    pub(super) fn load(&self, shared: &Shared) -> Result<(), WireError> {
        let mut writer = lock(&self.writer);
        if self.life() != Life::Loading {
            return Ok(());
        }
        self.ensure_recovered(shared, &mut writer)?;
        if self.life() != Life::Loading {
            return Ok(());
        }
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
        }
        let mut writer = lock(&self.writer);
        writer.touched = None;
        if lost > 0 {
            let reason = format!("embeddings of {lost} entries are missing from the store");
            self.set_life(Life::Stale(reason));
        } else if !shared.jobs.stopped() && self.life() == Life::Loading {
            self.set_life(Life::Ready);
        }
        Ok(())
    }

    /// Adds stored entries; returns how many have lost their text's embedding.
    fn load_chunk(&self, shared: &Shared, chunk: Vec<Item>) -> Result<usize, WireError> {
        let mut vectors = Vec::with_capacity(chunk.len());
        let mut texts = HashSet::new();
        for item in &chunk {
            vectors.push(match &item.content {
                ItemContent::Vector(values) => {
                    let content = TextHash(Sha256::digest(keys::encode_vector(values)).into());
                    self.check_vector(values)?;
                    (content, Some(Embedding::Known(Vector::new(values))))
                }
                ItemContent::Text(hash) => {
                    texts.insert(*hash);
                    (*hash, None)
                }
            });
        }
        let texts: Vec<TextHash> = texts.into_iter().collect();
        let mut known = match self.model {
            Some(model) => self.look_up(shared, model, &texts)?,
            None => Default::default(),
        };
        let writer = lock(&self.writer);
        let waiting = shared.queue.hold();
        if let Some(model) = self.model {
            // Completed since the look-up, or still queued.
            let missing: Vec<TextHash> =
                texts.into_iter().filter(|hash| !known.contains_key(hash)).collect();
            known.extend(self.look_up(shared, model, &missing)?);
            for hash in missing {
                if waiting.contains(model, &hash) {
                    known.entry(hash).or_insert(Embedding::Waiting);
                }
            }
        }
        let mut table = write(&self.table);
        let (mut new, mut lost) = (Vec::new(), 0);
        for (item, (content, embedding)) in chunk.iter().zip(vectors) {
            if writer.touched.as_ref().is_some_and(|touched| touched.contains(&item.tid)) {
                continue;
            }
            match embedding.or_else(|| known.get(&content).cloned()) {
                Some(embedding) => new.extend(table.points.add(item.tid, content, embedding)),
                None => lost += 1,
            }
        }
        let graph = Arc::clone(&table.graph);
        drop(table);
        drop(waiting);
        drop(writer);
        graph.insert(&new)?;
        Ok(lost)
    }

    /// Replaces the graph by one of the live points only. Searches and inserts go on meanwhile.
    pub(super) fn rebuild(&self, shared: &Shared) -> Result<(), WireError> {
        let graph = Arc::new(self.new_graph(shared));
        let mut members = HashSet::new();
        loop {
            let mut missing = Vec::new();
            let table = read(&self.table);
            table.points.for_live(0..table.points.end(), |id, vector| {
                if !members.contains(&id) {
                    missing.push((id, vector.clone()));
                }
            });
            drop(table);
            if missing.len() <= SWAP_POINTS {
                break;
            }
            for part in missing.chunks(CHUNK) {
                if shared.jobs.stopped() || self.life() == Life::Dropped {
                    return Ok(());
                }
                graph.insert(part)?;
            }
            members.extend(missing.into_iter().map(|(id, _)| id));
        }
        let mut table = write(&self.table);
        let mut missing = Vec::new();
        table.points.for_live(0..table.points.end(), |id, vector| {
            if !members.contains(&id) {
                missing.push((id, vector.clone()));
            }
        });
        graph.insert_here(&missing)?;
        members.extend(missing.into_iter().map(|(id, _)| id));
        table.points.release_dead(|id| members.contains(&id));
        let old = std::mem::replace(&mut table.graph, graph);
        drop(table);
        drop(old);
        Ok(())
    }
}

/// Points that may be missing when a new graph takes over: they enter it while everybody waits.
const SWAP_POINTS: usize = 32;
