//! Stored graphs: parts that belong together by a moment, and a header that names it.

use onyx_protocol::index::GenerationId;

use super::keys::{Family, graph_header_key, graph_part_key, prefix_end};
use super::rocks::Batch;
use super::{Store, StoreError};
use crate::steps;

impl Store {
    /// The header of a generation's stored graph, if it has one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn graph_header(&self, id: GenerationId) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(Family::Graphs, &graph_header_key(id))
    }

    /// Writes a part. It is safe once [`Store::put_graph_header`] has returned.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_graph_part(
        &self,
        id: GenerationId,
        moment: u64,
        first: u32,
        part: Vec<u8>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Family::Graphs, graph_part_key(id, moment, first), part);
        // Twice the bytes to write, for what can be derived again, would be too much.
        self.write_unlogged(batch)
    }

    /// Makes all parts of a moment the generation's graph and removes those of the one before.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_graph_header(
        &self,
        id: GenerationId,
        moment: u64,
        header: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.db.flush(Family::Graphs)?;
        steps::at("save.flushed");
        let mut batch = Batch::default();
        batch.put(Family::Graphs, graph_header_key(id), header);
        let (from, to) = (graph_part_key(id, 0, 0), graph_part_key(id, moment, 0));
        let stale = self.db.scan(Family::Graphs, &from, Some(to.clone()))?.next().is_some();
        if stale {
            batch.delete_range(Family::Graphs, from.clone(), to);
        }
        self.write(batch)?;
        steps::at("save.written");
        if stale {
            self.db.compact(Family::Graphs, &from, &graph_part_key(id, u64::MAX, 0))?;
        }
        Ok(())
    }

    /// Reads a graph's parts in order: `each` is called with the first id of a part and its bytes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn graph_parts(
        &self,
        id: GenerationId,
        moment: u64,
        mut each: impl FnMut(u32, &[u8]),
    ) -> Result<(), StoreError> {
        let prefix = &graph_part_key(id, moment, 0)[..25];
        for pair in self.db.scan(Family::Graphs, prefix, prefix_end(prefix))? {
            let (key, value) = pair?;
            let first = key.get(25..).and_then(|rest| rest.try_into().ok());
            let first =
                first.ok_or_else(|| StoreError::corrupt("a graph key of unexpected form"))?;
            each(u32::from_be_bytes(first), &value);
        }
        Ok(())
    }
}
