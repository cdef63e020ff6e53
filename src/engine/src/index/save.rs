//! A generation's graph into the store and back. What is stored may be behind the entries or ahead of
//! them: see `snapshot`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use onyx_protocol::WireError;
use onyx_protocol::index::HeapTid;

use super::generation::{Generation, Life};
use super::graph::PointId;
use super::jobs::Job;
use super::shared::Shared;
use super::snapshot::{self, Header, PART_IDS};
use crate::steps;
use crate::store::{lock, read, write};

/// The graph is saved again when one in so many of its points has changed ...
const SAVE_SHARE: usize = 8;
/// ... and at least so many have: linking them takes a fraction of a second.
const SAVE_POINTS: usize = 5_000;

/// Whether all points can be reached is looked at again after so many new ones ...
const REACH_POINTS: usize = 256;
/// ... and one in so many: a new point may take the last link that leads to another.
const REACH_SHARE: usize = 64;

impl Generation {
    /// Has the graph saved in the background when enough of it has changed, and looked over.
    pub(super) fn save_soon(&self, shared: &Shared) {
        let new = self.unreached.load(Ordering::Relaxed);
        if new >= REACH_POINTS
            && self.life() == Life::Ready
            && new >= read(&self.table).graph.linked() / REACH_SHARE
            && !self.reach_queued.swap(true, Ordering::AcqRel)
        {
            shared.jobs.add(Job::Reach(self.id()));
        }
        let changed = self.unsaved.load(Ordering::Relaxed);
        if changed < SAVE_POINTS || self.life() != Life::Ready {
            return;
        }
        let linked = read(&self.table).graph.linked();
        if changed >= linked / SAVE_SHARE && !self.save_queued.swap(true, Ordering::AcqRel) {
            shared.jobs.add(Job::Save(self.id()));
        }
    }

    /// Makes every point reachable that is queued or linked now.
    pub(super) fn reach(&self, shared: &Shared) {
        self.reach_queued.store(false, Ordering::Release);
        let new = self.unreached.load(Ordering::Relaxed);
        let (graph, linker) = self.graph();
        let stopped = || shared.jobs.stopped() || self.life() != Life::Ready;
        if linker.wait_for(&linker.unlinked(), &stopped) {
            let lost = graph.reach_all(&stopped);
            log::debug!("{lost} of {} points were out of reach", graph.linked());
            self.unreached.fetch_sub(new, Ordering::Relaxed);
            // Others may have come meanwhile, and none come after them.
            self.save_soon(shared);
        }
    }

    /// Heap tuples that no walk finds, once what is on its way is linked and all that can be is made
    /// reachable: none, or the graph is damaged.
    pub(super) fn out_of_reach(
        &self,
        shared: &Shared,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<HeapTid>, WireError> {
        if let Some(error) = self.unusable() {
            return Err(error);
        }
        let (graph, linker) = self.graph();
        let stopped = || cancelled() || shared.jobs.stopped() || self.life() != Life::Ready;
        let mut found = Vec::new();
        if linker.wait_for(&linker.unlinked(), &stopped) {
            graph.reach_all(&stopped);
            let table = read(&self.table);
            for id in graph.out_of_reach() {
                // One that came meanwhile may just be taking its place.
                if table.points.is_live(id) && !linker.unlinked().contains(&id) {
                    table.points.for_tids(id, usize::MAX, |tid| found.push(tid));
                }
            }
        }
        Ok(found)
    }

    /// Saves the graph as it is.
    pub(super) fn save(&self, shared: &Shared) -> Result<(), WireError> {
        let _saving = lock(&self.saving);
        self.save_queued.store(false, Ordering::Release);
        let changed = self.unsaved.load(Ordering::Relaxed);
        let (graph, linker) = self.graph();
        let moment = self.moment.load(Ordering::Relaxed) + 1;
        let end = graph.end() as PointId;
        for first in (0..end).step_by(PART_IDS) {
            let table = read(&self.table);
            if !Arc::ptr_eq(&table.graph, &graph) || shared.jobs.stopped() {
                return Ok(());
            }
            let last = end.min(first + PART_IDS as PointId);
            let contents: Vec<_> = (first..last)
                .map(|id| table.points.is_known(id).then(|| table.points.content(id)))
                .collect();
            drop(table);
            let content = |id: PointId| contents[(id - first) as usize];
            let part = snapshot::encode_part(&graph, first, end, content);
            shared.store.put_graph_part(self.id(), moment, first, part)?;
            steps::at("save.part");
        }
        let layout = graph.rows.layout();
        let header = Header { m: graph.options.m as u16, layout, moment, end };
        shared.store.put_graph_header(self.id(), moment, header.encode())?;
        steps::at("save.published");
        self.moment.store(moment, Ordering::Relaxed);
        // Those that are linked by now may or may not be in what was saved.
        self.unsaved.fetch_sub(changed.saturating_sub(linker.count()), Ordering::Relaxed);
        if self.life() == Life::Dropped {
            shared.store.drop_generation(self.id())?;
        }
        Ok(())
    }

    /// Begins the table anew with what is stored of the graph: points under their old ids, linked,
    /// but without vectors and entries. The caller is the generation's one writer, and it is loading.
    pub(super) fn restore_graph(&self, shared: &Shared) -> Result<(), WireError> {
        let stored = shared.store.graph_header(self.id())?;
        let header = stored.as_deref().and_then(Header::decode);
        let fits = |header: &Header| u32::from(header.m) == self.header.m;
        let layout = header.map_or(super::rows::Layout::Whole, |header| header.layout);
        let table = self.new_table(layout, shared);
        let mut parts = Vec::new();
        if let Some(header) = header.filter(fits) {
            self.moment.store(header.moment, Ordering::Relaxed);
            shared.store.graph_parts(self.id(), header.moment, |first, part| {
                parts.push((first, part.to_vec()));
            })?;
            self.restore_parts(table, header, &parts, shared);
        } else {
            *write(&self.table) = table;
        }
        self.share.set(self.memory_bytes());
        Ok(())
    }

    fn restore_parts(
        &self,
        mut table: super::generation::Table,
        header: Header,
        parts: &[(u32, Vec<u8>)],
        shared: &Shared,
    ) {
        let graph = Arc::clone(&table.graph);
        let mut whole = true;
        // First the points, so that links to what is not there can be left out.
        for (first, part) in parts {
            let read = snapshot::decode_part(part, *first, header, |id, content, _| {
                whole &= graph.reserve(id, self.has_room_for_rest(&graph));
                if whole {
                    graph.set_linked(id);
                    table.points.restore(id, content);
                }
            });
            whole &= read.is_some();
            if !whole {
                break;
            }
        }
        if !whole {
            log::warn!("a stored graph cannot be read; its index is linked anew");
            *write(&self.table) = self.new_table(header.layout, shared);
            return;
        }
        for (first, part) in parts {
            let _ = snapshot::decode_part(part, *first, header, |id, _, lists| {
                for (layer, list) in lists.iter().enumerate() {
                    let there = |n: &PointId| graph.has_layer(*n, layer) && *n != id;
                    let list: Vec<PointId> = list.iter().copied().filter(there).collect();
                    graph.links.set(id, layer, &list);
                }
            });
        }
        *write(&self.table) = table;
    }
}
