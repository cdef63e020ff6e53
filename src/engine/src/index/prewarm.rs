//! Full vectors that were left to the store, back into memory: on demand, because nothing else says that
//! there is room again.

use std::sync::Arc;
use std::time::Duration;

use onyx_protocol::{ErrorKind, WireError};

use super::arena::CHUNK_ROWS;
use super::generation::{Generation, Life};
use super::graph::{Graph, PointId};
use super::shared::Shared;
use crate::store::{lock, read};

/// How often a generation that is being loaded is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Vectors read from the store at once.
const BATCH: usize = 1_024;

impl Generation {
    /// Waits until it is loaded, then reads rests while they fit; returns the bytes it takes.
    pub fn prewarm(
        &self,
        shared: &Shared,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<u64, WireError> {
        while self.life() == Life::Loading {
            // What is not loaded during a recovery is loaded after it.
            if shared.recovery().is_none() {
                return Err(super::in_recovery());
            }
            if cancelled() {
                return Err(canceled());
            }
            std::thread::sleep(TICK);
        }
        if let Some(error) = self.unusable() {
            return Err(error);
        }
        let (graph, _) = self.graph();
        for chunk in 0..graph.end().div_ceil(CHUNK_ROWS) {
            if cancelled() {
                return Err(canceled());
            }
            if graph.rows.lacks_rest(chunk) && self.has_room_for_rest(&graph) {
                self.read_rest(shared, &graph, chunk)?;
            }
        }
        Ok(self.memory_bytes())
    }

    /// Reads the rests of a chunk's rows. Writers wait meanwhile: a row written now would lack its rest.
    fn read_rest(
        &self,
        shared: &Shared,
        graph: &Arc<Graph>,
        chunk: usize,
    ) -> Result<(), WireError> {
        let writer = lock(&self.writer);
        let table = read(&self.table);
        let rows = chunk * CHUNK_ROWS..(chunk + 1) * CHUNK_ROWS;
        let live: Vec<PointId> = table.points.live_ids(rows.clone()).collect();
        // A point without entries may come back to life, and the store does not have its vector: its chunk
        // stays as it is until the point has been taken out.
        let known = rows.filter(|id| table.points.is_known(*id as PointId)).count();
        let current = Arc::ptr_eq(&table.graph, graph) && known == live.len();
        drop(table);
        let Some(fresh) = graph.rows.fresh_rest().filter(|_| current) else { return Ok(()) };
        for ids in live.chunks(BATCH) {
            for (id, values) in ids.iter().zip(self.read_store(shared, ids)?) {
                let dimensions = self.header.dimensions as usize;
                let Some(values) = values.filter(|v| v.len() == dimensions) else { return Ok(()) };
                graph.rows.write_rest(&fresh, *id as usize % CHUNK_ROWS, &values);
            }
        }
        graph.rows.publish_rest(chunk, fresh);
        self.share.set(self.memory_bytes());
        drop(writer);
        Ok(())
    }
}

fn canceled() -> WireError {
    WireError::new(ErrorKind::Canceled, "canceled while loading an index")
}
