//! The navigable small world graph (Malkov and Yashunin, "Efficient and robust approximate nearest
//! neighbor search using Hierarchical Navigable Small World graphs", algorithms 1 to 5): vectors in
//! contiguous rows, neighbours in flat lists.
//!
//! * A full list is cut by algorithm 4, as a new point's is: not by distance alone, which would cut
//!   every link to a point far from all others.
//! * Points are inserted from any number of threads. A search takes no lock and waits for nobody.
//! * A point is taken out by `repair`; its id may be used again once no walk that began before is
//!   under way, which [`Graph::quiesce`] waits for.
//!
//! Knows nothing of entries and heap tuples.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use onyx_protocol::index::Metric;

use super::arena::Arena;
use super::beam::Scratch;
use super::links::{Links, layer_of};
use super::rows::{Layout, Probe, Rows};
use crate::steps;
use crate::store::lock;

/// Identifies a point within its generation.
pub type PointId = u32;

/// A point's links are made, or being made.
const LINKED: u8 = 1;
/// A point is being taken out: nothing may link to it any more.
const LEAVING: u8 = 2;

/// Quarters of its capacity that a new point's list is filled to. Lists of diverse neighbours alone
/// are short, so that a walk needs twice the candidates for the same recall.
const NEW_FILL: usize = 2;
/// The same of a list that was full. The rest is room for further neighbours: choosing a list costs as
/// much as twenty that find room.
const CUT_FILL: usize = 3;

/// Points a walk keeps on each layer above the one it is for. Of a nearest one alone, in a dense region, no link
/// may lead to a sparse one beside it.
const DESCENT_WIDTH: usize = 8;

/// A neighbour leads on to a point that is at most so many times as far as itself, by squared distances. To one
/// farther it brings a walk no nearer worth mentioning: in a dense region all points are about as far from a
/// sparse one, and each would leave the link to it to another that does not have it.
const LEADS_ON: f32 = 64.0;

/// Nearest points whose far links a new point takes over.
const HEIRS: usize = 2;

/// What a graph is built with.
#[derive(Debug, Clone, Copy)]
pub struct GraphOptions {
    /// Distance function.
    pub metric: Metric,
    /// Length of the vectors.
    pub dimensions: usize,
    /// Neighbours on the upper layers, twice as many on layer 0; 2 to 100.
    pub m: usize,
    /// Candidates while inserting.
    pub ef_construction: usize,
}

/// An approximate nearest neighbour graph.
pub struct Graph {
    pub(super) options: GraphOptions,
    pub rows: Rows,
    pub links: Links,
    flags: Arena,
    /// Layer << 32 | id + 1 of the point walks begin at, 0 for none.
    pub(super) entry: Mutex<()>,
    entry_at: AtomicU64,
    /// Ids ever reserved are below this.
    end: AtomicUsize,
    linked: AtomicUsize,
    walks: Walks,
    scratches: Mutex<Vec<Scratch>>,
}

/// Walks under way, by the parity of the moment they began at.
#[derive(Default)]
struct Walks {
    moment: AtomicUsize,
    counts: [AtomicUsize; 2],
    turning: Mutex<()>,
}

/// A walk under way.
pub struct Walk<'a>(&'a AtomicUsize);

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Graph {
    /// An empty graph.
    pub fn new(options: GraphOptions, layout: Layout) -> Self {
        Self {
            options,
            rows: Rows::new(options.metric, options.dimensions, layout),
            links: Links::new(options.m),
            flags: Arena::new(1),
            entry: Mutex::new(()),
            entry_at: AtomicU64::new(0),
            end: AtomicUsize::new(0),
            linked: AtomicUsize::new(0),
            walks: Walks::default(),
            scratches: Mutex::default(),
        }
    }

    /// Holds every id that is reachable now: none is used for another point while this lives.
    pub fn walk(&self) -> Walk<'_> {
        loop {
            let moment = self.walks.moment.load(Ordering::SeqCst);
            let count = &self.walks.counts[moment % 2];
            count.fetch_add(1, Ordering::SeqCst);
            let walk = Walk(count);
            // Counted too late for a turn that was just taken: count again.
            if self.walks.moment.load(Ordering::SeqCst) == moment {
                return walk;
            }
        }
    }

    /// Waits until every walk that is under way now has ended.
    pub fn quiesce(&self) {
        let turning = lock(&self.walks.turning);
        let old = self.walks.moment.fetch_add(1, Ordering::SeqCst);
        while self.walks.counts[old % 2].load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
        drop(turning);
    }

    pub(super) fn scratch(&self) -> Scratch {
        lock(&self.scratches).pop().unwrap_or_default()
    }

    pub(super) fn keep_scratch(&self, scratch: Scratch) {
        lock(&self.scratches).push(scratch);
    }

    /// Makes room for a point; `rest` as of [`Rows::reserve`]. There is one caller at a time. False when there is no memory.
    pub fn reserve(&self, id: PointId, rest: bool) -> bool {
        let row = id as usize;
        let room =
            self.rows.reserve(row, rest) && self.links.reserve(id) && self.flags.reserve(row);
        if room {
            self.end.fetch_max(row + 1, Ordering::AcqRel);
        }
        room
    }

    /// Writes a point's vector, before it is linked.
    ///
    /// # Safety
    /// The point is reserved and not linked, and nobody else reads or writes it.
    pub unsafe fn put(&self, id: PointId, values: &[f32]) {
        // SAFETY: the caller's promise.
        unsafe { self.rows.write(id as usize, values) };
    }

    fn flag(&self, id: PointId) -> &AtomicU8 {
        // SAFETY: a reserved row of one byte, only ever used as this.
        unsafe { &*self.flags.row(id as usize).cast::<AtomicU8>() }
    }

    /// Whether a point has links.
    #[inline(always)]
    pub fn is_linked(&self, id: PointId) -> bool {
        if id as usize >= self.end() {
            return false;
        }
        let flag = self.flags.row(id as usize);
        // SAFETY: as in `flag`, where the row is there.
        !flag.is_null()
            && unsafe { &*flag.cast::<AtomicU8>() }.load(Ordering::Acquire) & LINKED != 0
    }

    /// A point's neighbours on a layer it is on. Where the list is being written there may be one among them that is
    /// none, but it is a point whose row a walk may read.
    #[inline(always)]
    pub fn neighbours(&self, id: PointId, layer: usize) -> impl Iterator<Item = PointId> + '_ {
        self.links.neighbours(id, layer).filter(|near| self.is_linked(*near))
    }

    /// Whether a point is in the graph on a layer.
    pub fn has_layer(&self, id: PointId, layer: usize) -> bool {
        self.is_linked(id) && layer_of(id, self.options.m) >= layer
    }

    pub(super) fn is_leaving(&self, id: PointId) -> bool {
        self.flag(id).load(Ordering::Acquire) & LEAVING != 0
    }

    pub(super) fn set_leaving(&self, id: PointId) {
        self.flag(id).fetch_or(LEAVING, Ordering::AcqRel);
    }

    /// A point is out of the graph.
    pub(super) fn forget(&self, id: PointId) {
        if self.flag(id).swap(0, Ordering::AcqRel) & LINKED != 0 {
            self.linked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A point is in the graph. False when it was before.
    pub(super) fn set_linked(&self, id: PointId) -> bool {
        let new = self.flag(id).fetch_or(LINKED, Ordering::AcqRel) & LINKED == 0;
        if new {
            self.linked.fetch_add(1, Ordering::Relaxed);
        }
        new
    }

    /// Points with links.
    pub fn linked(&self) -> usize {
        self.linked.load(Ordering::Relaxed)
    }

    /// Ids are below this.
    pub fn end(&self) -> usize {
        self.end.load(Ordering::Acquire)
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> u64 {
        let (row, _) = self.rows.row_bytes();
        let point = row + self.links.point_bytes() + 1;
        (self.end() * point) as u64 + self.links.wide_bytes() + self.rows.rest_bytes(self.end())
    }

    /// The point walks begin at, and its layer.
    pub fn entry(&self) -> Option<(PointId, usize)> {
        let entry = self.entry_at.load(Ordering::Acquire);
        (entry != 0).then(|| (entry as u32 - 1, (entry >> 32) as usize))
    }

    /// Sets the point walks begin at. The caller holds `entry`.
    pub(super) fn set_entry(&self, entry: Option<PointId>) {
        let layer = |id| layer_of(id, self.options.m) as u64;
        let value = entry.map_or(0, |id| layer(id) << 32 | u64::from(id + 1));
        self.entry_at.store(value, Ordering::Release);
    }

    /// Links a point that has been put. Searches may find it before this returns.
    pub fn link(&self, id: PointId) {
        if !self.set_linked(id) {
            return;
        }
        steps::at("link.begun");
        let layer = layer_of(id, self.options.m);
        if self.entry().is_none() {
            let held = lock(&self.entry);
            if self.entry().is_none() {
                self.set_entry(Some(id));
                return;
            }
            drop(held);
        }
        let walk = self.walk();
        let mut scratch = self.scratch();
        // SAFETY: the point has been put, and no row a walk can reach is written while it lasts.
        unsafe {
            let mut probe = std::mem::take(&mut scratch.probe);
            self.rows.probe_row(id as usize, &mut probe);
            self.link_layers(id, layer, &probe, &mut scratch);
            scratch.probe = probe;
        }
        drop(walk);
        self.keep_scratch(scratch);
        if self.entry().is_none_or(|(_, highest)| highest < layer) {
            let _held = lock(&self.entry);
            if self.entry().is_none_or(|(_, highest)| highest < layer) && !self.is_leaving(id) {
                self.set_entry(Some(id));
            }
        }
    }

    /// Fewest and most neighbours of a list that is chosen.
    fn fill(&self, layer: usize, quarters: usize) -> (usize, usize) {
        let most = self.links.capacity(layer);
        (most * quarters / 4, most)
    }

    /// # Safety
    /// As of [`Graph::descend`].
    unsafe fn link_layers(&self, id: PointId, layer: usize, probe: &Probe, scratch: &mut Scratch) {
        let Some((_, highest)) = self.entry() else { return };
        let width = self.options.ef_construction;
        for at in (0..=layer.min(highest)).rev() {
            // SAFETY: the caller's promise.
            unsafe {
                if at == layer.min(highest) {
                    if !self.descend(probe, at, width, scratch) {
                        return;
                    }
                } else {
                    scratch.beam.again();
                }
                self.spread(probe, at, scratch);
            }
            let Scratch { beam, nearest, .. } = scratch;
            nearest.clear();
            nearest.extend(beam.found().filter(|(_, n)| *n != id && !self.is_leaving(*n)));
            let mut nearest = std::mem::take(&mut scratch.nearest);
            let mut chosen = std::mem::take(&mut scratch.chosen);
            // SAFETY: the caller's promise.
            unsafe { self.take_over(id, probe, at, &mut nearest, scratch) };
            // SAFETY: the caller's promise.
            unsafe { self.select(id, &nearest, self.fill(at, NEW_FILL), &mut chosen, scratch) };
            let held = self.links.hold(id);
            self.links.set(id, at, &chosen);
            drop(held);
            steps::at("link.halfway");
            for neighbour in &chosen {
                // SAFETY: the caller's promise.
                unsafe { self.connect(*neighbour, id, at, &mut nearest, scratch) };
            }
            (scratch.nearest, scratch.chosen) = (nearest, chosen);
        }
    }

    /// Adds the far points that the nearest ones have links to: a dense region that grows must not bury its links to
    /// sparse ones under points that have none.
    ///
    /// # Safety
    /// As of [`Graph::descend`].
    unsafe fn take_over(
        &self,
        id: PointId,
        probe: &Probe,
        layer: usize,
        nearest: &mut Vec<(f32, PointId)>,
        scratch: &mut Scratch,
    ) {
        let Some(last) = nearest.last().copied() else { return };
        // A few candidates leave nothing out.
        if nearest.len() < self.options.ef_construction / 2 {
            return;
        }
        let Scratch { ids, ranks, .. } = scratch;
        ids.clear();
        for (_, near) in nearest.iter().take(HEIRS) {
            for far in self.neighbours(*near, layer) {
                if far != id && !ids.contains(&far) && !self.is_leaving(far) {
                    ids.push(far);
                }
            }
        }
        // SAFETY: the caller's promise.
        unsafe {
            self.rows.ranks(probe, ids, ranks);
            let least = LEADS_ON * self.rows.span(id as usize, last.1 as usize, last.0);
            let near = nearest.len();
            for (rank, far) in ranks.iter().zip(&*ids) {
                if *rank > last.0 && self.rows.span(id as usize, *far as usize, *rank) > least {
                    nearest.push((*rank, *far));
                }
            }
            nearest[near..].sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
    }

    /// Algorithm 4: of candidates sorted by their rank from a point, at most `most` that are nearer to
    /// it than to any one chosen before that [`LEADS_ON`]; fewer than `least` are filled up with the nearest others.
    ///
    /// # Safety
    /// As of [`Graph::descend`].
    pub(super) unsafe fn select(
        &self,
        from: PointId,
        sorted: &[(f32, PointId)],
        (least, most): (usize, usize),
        chosen: &mut Vec<PointId>,
        scratch: &mut Scratch,
    ) {
        let Scratch { other, ranks, spans, .. } = scratch;
        chosen.clear();
        spans.clear();
        for (rank, id) in sorted {
            if chosen.len() >= most {
                break;
            }
            // SAFETY: the caller's promise.
            let span = unsafe {
                let span = self.rows.span(from as usize, *id as usize, *rank);
                if !chosen.is_empty() {
                    self.rows.probe_row(*id as usize, other);
                    self.rows.ranks(other, chosen, ranks);
                    let leads =
                        |(between, near): (&f32, &f32)| between < rank && near * LEADS_ON >= span;
                    if ranks.iter().zip(&*spans).any(leads) {
                        continue;
                    }
                }
                span
            };
            chosen.push(*id);
            spans.push(span);
        }
        for (_, id) in sorted {
            if chosen.len() >= least {
                break;
            }
            if !chosen.contains(id) {
                chosen.push(*id);
            }
        }
    }

    /// Makes `new` a neighbour of `id`; a full list is chosen anew.
    ///
    /// # Safety
    /// As of [`Graph::descend`].
    pub(super) unsafe fn connect(
        &self,
        id: PointId,
        new: PointId,
        layer: usize,
        sorted: &mut Vec<(f32, PointId)>,
        scratch: &mut Scratch,
    ) {
        let _held = self.links.hold(id);
        scratch.ids.clear();
        scratch.ids.extend(self.neighbours(id, layer));
        if id == new || scratch.ids.contains(&new) || self.links.push(id, layer, new) {
            return;
        }
        scratch.ids.push(new);
        // SAFETY: the caller's promise.
        unsafe { self.choose_anew(id, layer, sorted, scratch) };
    }

    /// Chooses a list among the candidates in `scratch.ids`. The caller holds it.
    ///
    /// # Safety
    /// As of [`Graph::descend`].
    pub(super) unsafe fn choose_anew(
        &self,
        id: PointId,
        layer: usize,
        sorted: &mut Vec<(f32, PointId)>,
        scratch: &mut Scratch,
    ) {
        let mut chosen = std::mem::take(&mut scratch.chosen_for);
        // SAFETY: the caller's promise.
        unsafe {
            self.rows.probe_row(id as usize, &mut scratch.other);
            self.rows.ranks(&scratch.other, &scratch.ids, &mut scratch.ranks);
            sorted.clear();
            sorted.extend(scratch.ranks.iter().copied().zip(scratch.ids.iter().copied()));
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            self.select(id, sorted, self.fill(layer, CUT_FILL), &mut chosen, scratch);
        }
        self.links.set(id, layer, &chosen);
        scratch.chosen_for = chosen;
    }

    /// Walks down to a layer and begins a beam there. False when the graph is empty.
    ///
    /// # Safety
    /// The caller is within a [`Graph::walk`].
    pub(super) unsafe fn descend(
        &self,
        probe: &Probe,
        to: usize,
        width: usize,
        scratch: &mut Scratch,
    ) -> bool {
        let Some((at, highest)) = self.entry() else { return false };
        // SAFETY: within a walk, every linked point's row is written and stays what it is.
        unsafe { self.rows.ranks(probe, &[at], &mut scratch.ranks) };
        scratch.beam.begin(if highest > to { DESCENT_WIDTH } else { width });
        scratch.beam.add(scratch.ranks[0], at);
        for layer in (to + 1..=highest).rev() {
            // SAFETY: as above.
            unsafe { self.spread(probe, layer, scratch) };
            scratch.beam.again();
        }
        scratch.beam.resize(width);
        true
    }

    /// Algorithm 2: follows links on a layer from the beam's points until nothing nearer turns up.
    ///
    /// # Safety
    /// As of [`Graph::descend`].
    pub(super) unsafe fn spread(&self, probe: &Probe, layer: usize, scratch: &mut Scratch) {
        let Scratch { beam, seen, ids, ranks, .. } = scratch;
        seen.begin(self.end());
        beam.found().for_each(|(_, id)| {
            seen.insert(id);
        });
        while let Some(at) = beam.advance() {
            ids.clear();
            for id in self.neighbours(at, layer) {
                if seen.insert(id) {
                    self.rows.prefetch(id as usize);
                    ids.push(id);
                }
            }
            if let (0, Some(next)) = (layer, beam.peek()) {
                self.links.prefetch(next);
            }
            // SAFETY: the caller's promise.
            unsafe { self.rows.ranks(probe, ids, ranks) };
            for (id, rank) in ids.iter().zip(&*ranks) {
                beam.add(*rank, *id);
            }
        }
    }

    /// [`Graph::search`] on the lowest layer alone, from the entry on.
    pub(super) fn search_lowest(
        &self,
        _walk: &Walk<'_>,
        query: &Probe,
        ef: usize,
    ) -> Vec<(f32, PointId)> {
        let mut scratch = self.scratch();
        // SAFETY: within a walk.
        let found = unsafe {
            // No layer lies above that one.
            if self.descend(query, usize::MAX - 1, ef, &mut scratch) {
                self.spread(query, 0, &mut scratch);
            }
            scratch.beam.found().collect()
        };
        self.keep_scratch(scratch);
        found
    }

    /// At most `ef` points near a query with their ranks, nearest first.
    pub fn search(&self, _walk: &Walk<'_>, query: &Probe, ef: usize) -> Vec<(f32, PointId)> {
        let mut scratch = self.scratch();
        // SAFETY: within a walk.
        let found = unsafe {
            if self.descend(query, 0, ef, &mut scratch) {
                self.spread(query, 0, &mut scratch);
                scratch.beam.found().collect()
            } else {
                Vec::new()
            }
        };
        self.keep_scratch(scratch);
        found
    }
}
