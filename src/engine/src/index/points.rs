//! A generation's entries in memory: which heap tuples stand behind which point.
//!
//! A point is one distinct content; all entries with it share the point, so equal rows are found
//! together. A point whose last entry is removed stays as long as the graph refers to it, and comes
//! back to life when its content is inserted again.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use onyx_protocol::index::HeapTid;

use super::distance::Vector;
use super::graph::PointId;
use crate::store::TextHash;

/// What is known of a point's vector.
#[derive(Debug, Clone)]
pub enum Embedding {
    /// The vector.
    Known(Vector),
    /// A text that waits to be embedded.
    Waiting,
    /// A text that cannot be embedded.
    Failed,
}

/// Heap tuples of one point; mostly one.
#[derive(Debug, Clone, Default)]
enum Tids {
    #[default]
    None,
    One(HeapTid),
    Many(BTreeSet<HeapTid>),
}

impl Tids {
    fn len(&self) -> usize {
        match self {
            Tids::None => 0,
            Tids::One(_) => 1,
            Tids::Many(tids) => tids.len(),
        }
    }

    fn insert(&mut self, tid: HeapTid) {
        match self {
            Tids::None => *self = Tids::One(tid),
            Tids::One(old) => *self = Tids::Many(BTreeSet::from([*old, tid])),
            Tids::Many(tids) => {
                tids.insert(tid);
            }
        }
    }

    fn remove(&mut self, tid: HeapTid) {
        match self {
            Tids::Many(tids) => {
                tids.remove(&tid);
                if let (1, Some(last)) = (tids.len(), tids.first()) {
                    *self = Tids::One(*last);
                }
            }
            Tids::One(only) if *only == tid => *self = Tids::None,
            Tids::One(_) | Tids::None => {}
        }
    }

    fn for_first(&self, limit: usize, mut each: impl FnMut(HeapTid)) {
        match self {
            Tids::None => {}
            Tids::One(tid) => each(*tid),
            Tids::Many(tids) => tids.iter().take(limit).for_each(|tid| each(*tid)),
        }
    }
}

#[derive(Debug)]
struct Slot {
    content: TextHash,
    embedding: Embedding,
    tids: Tids,
}

/// All points and entries of a generation.
#[derive(Debug, Default)]
pub struct Points {
    /// By point id; `None` for an id that may be used again.
    slots: Vec<Option<Slot>>,
    free: Vec<PointId>,
    by_tid: HashMap<HeapTid, PointId>,
    by_content: HashMap<TextHash, PointId>,
    live: usize,
    dead: usize,
    waiting_entries: usize,
    failed_entries: usize,
}

impl Points {
    /// Adds an entry; an older one of the same heap tuple is replaced. Returns the point when it is
    /// new to the graph.
    pub fn add(
        &mut self,
        tid: HeapTid,
        content: TextHash,
        embedding: Embedding,
    ) -> Option<(PointId, Vector)> {
        if let Some(old) = self.by_tid.get(&tid) {
            if self.slot(*old).is_some_and(|slot| slot.content == content) {
                return self.fill(content, embedding);
            }
            self.remove(tid);
        }
        let id = match self.by_content.get(&content) {
            Some(id) => *id,
            None => self.new_point(content),
        };
        self.by_tid.insert(tid, id);
        self.change(id, |slot| slot.tids.insert(tid));
        self.fill(content, embedding)
    }

    /// Gives the point of a text its vector, or marks it as failed. Returns it when it is new to the
    /// graph.
    pub fn fill(&mut self, content: TextHash, embedding: Embedding) -> Option<(PointId, Vector)> {
        let id = *self.by_content.get(&content)?;
        if let Embedding::Known(_) = self.slot(id)?.embedding {
            return None;
        }
        self.change(id, |slot| slot.embedding = embedding.clone());
        match embedding {
            Embedding::Known(vector) => Some((id, vector)),
            Embedding::Waiting | Embedding::Failed => None,
        }
    }

    /// Removes the entry of a heap tuple; whether there was one.
    pub fn remove(&mut self, tid: HeapTid) -> bool {
        let Some(id) = self.by_tid.remove(&tid) else { return false };
        self.change(id, |slot| slot.tids.remove(tid));
        let unused = self.slot(id).is_some_and(|slot| {
            slot.tids.len() == 0 && !matches!(slot.embedding, Embedding::Known(_))
        });
        if unused {
            self.release(id);
        }
        true
    }

    /// Forgets points without entries that are not in `kept`, a set of the points of a new graph.
    pub fn release_dead(&mut self, kept: impl Fn(PointId) -> bool) {
        for id in 0..self.slots.len() as PointId {
            let dead = self.slot(id).is_some_and(|slot| slot.tids.len() == 0);
            if dead && !kept(id) {
                self.release(id);
            }
        }
    }

    /// Calls `each` with the searchable points in a range of ids.
    pub fn for_live(&self, ids: Range<usize>, mut each: impl FnMut(PointId, &Vector)) {
        let ids = ids.start.min(self.slots.len())..ids.end.min(self.slots.len());
        for (id, slot) in ids.clone().zip(&self.slots[ids]) {
            if let Some(Slot { embedding: Embedding::Known(vector), tids, .. }) = slot
                && tids.len() > 0
            {
                each(id as PointId, vector);
            }
        }
    }

    /// A searchable point's vector.
    pub fn live_vector(&self, id: PointId) -> Option<&Vector> {
        match self.slot(id)? {
            Slot { embedding: Embedding::Known(vector), tids, .. } if tids.len() > 0 => {
                Some(vector)
            }
            _ => None,
        }
    }

    /// The lowest heap tuples of a point, at most `limit`.
    pub fn for_tids(&self, id: PointId, limit: usize, each: impl FnMut(HeapTid)) {
        if let Some(slot) = self.slot(id) {
            slot.tids.for_first(limit, each);
        }
    }

    /// The point of a heap tuple.
    pub fn point_of(&self, tid: HeapTid) -> Option<PointId> {
        self.by_tid.get(&tid).copied()
    }

    /// All heap tuples, in no order.
    pub fn tids(&self) -> Vec<HeapTid> {
        self.by_tid.keys().copied().collect()
    }

    /// Entries, embedded or not.
    pub fn entries(&self) -> usize {
        self.by_tid.len()
    }

    /// Entries whose text waits to be embedded.
    pub fn waiting_entries(&self) -> usize {
        self.waiting_entries
    }

    /// Entries that a search can find.
    pub fn searchable_entries(&self) -> usize {
        self.by_tid.len() - self.waiting_entries - self.failed_entries
    }

    /// Points that a search can find.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Points of the graph that have no entry any more.
    pub fn dead(&self) -> usize {
        self.dead
    }

    /// Ids are below this.
    pub fn end(&self) -> usize {
        self.slots.len()
    }

    /// An estimate of the memory it takes, the vectors included.
    pub fn memory_bytes(&self, dimensions: usize) -> u64 {
        // A hash table is between 7/8 and 7/16 full; the larger entries are (32 + 4) bytes.
        let tables = self.by_tid.len() * 26 + self.by_content.len() * 60;
        let vectors = (self.live + self.dead) * Vector::memory_bytes(dimensions);
        (self.slots.capacity() * size_of::<Option<Slot>>() + tables + vectors) as u64
    }

    fn slot(&self, id: PointId) -> Option<&Slot> {
        self.slots.get(id as usize)?.as_ref()
    }

    fn new_point(&mut self, content: TextHash) -> PointId {
        let slot = Some(Slot { content, embedding: Embedding::Waiting, tids: Tids::None });
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as PointId
            }
        };
        self.by_content.insert(content, id);
        id
    }

    fn release(&mut self, id: PointId) {
        self.count(id, |total, counted| *total -= counted);
        if let Some(slot) = self.slots[id as usize].take() {
            self.by_content.remove(&slot.content);
            self.free.push(id);
        }
    }

    /// Changes a slot and keeps the counters right.
    fn change(&mut self, id: PointId, change: impl FnOnce(&mut Slot)) {
        self.count(id, |total, counted| *total -= counted);
        if let Some(slot) = &mut self.slots[id as usize] {
            change(slot);
        }
        self.count(id, |total, counted| *total += counted);
    }

    /// Applies what a slot contributes to each counter.
    fn count(&mut self, id: PointId, apply: impl Fn(&mut usize, usize)) {
        let Some(slot) = &self.slots[id as usize] else { return };
        let entries = slot.tids.len();
        match slot.embedding {
            Embedding::Known(_) if entries > 0 => apply(&mut self.live, 1),
            Embedding::Known(_) => apply(&mut self.dead, 1),
            Embedding::Waiting => apply(&mut self.waiting_entries, entries),
            Embedding::Failed => apply(&mut self.failed_entries, entries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::*;

    fn known(x: f32) -> (TextHash, Embedding) {
        (TextHash::of(&x.to_string()), Embedding::Known(Vector::new(&[x])))
    }

    #[test]
    fn counters_and_maps_agree_with_a_naive_twin_under_random_changes() {
        let (mut points, mut random) = (Points::default(), Random::new(5));
        let mut twin: HashMap<HeapTid, TextHash> = HashMap::new();
        let mut state: HashMap<TextHash, u8> = HashMap::new();
        for step in 0..20_000 {
            let tid = random.below(60) as u64;
            let content = TextHash::of(&random.below(20).to_string());
            match random.below(5) {
                0 | 1 => {
                    let old = state.get(&content).copied().unwrap_or(0);
                    points.add(
                        tid,
                        content,
                        [Embedding::Waiting, Embedding::Failed, known(1.0).1][old as usize].clone(),
                    );
                    twin.insert(tid, content);
                    state.insert(content, old);
                }
                2 | 3 => {
                    assert_eq!(points.remove(tid), twin.remove(&tid).is_some());
                }
                _ if step % 7 == 0 => points.release_dead(|id| id % 2 == 0),
                _ => {
                    let new = random.below(2) as u8 + 1;
                    if state.get(&content).is_some_and(|old| *old < 2) {
                        points.fill(
                            content,
                            [Embedding::Failed, known(1.0).1][new as usize - 1].clone(),
                        );
                        state.insert(content, new);
                    }
                }
            }
            // A text without entries is forgotten unless its vector is known.
            state.retain(|content, known| *known == 2 || twin.values().any(|c| c == content));
            let entries = |kind: u8| twin.values().filter(|c| state[*c] == kind).count();
            assert_eq!(points.entries(), twin.len());
            assert_eq!(points.waiting_entries(), entries(0), "step {step}");
            assert_eq!(points.searchable_entries(), entries(2));
            let live: BTreeSet<_> = twin.values().filter(|c| state[*c] == 2).collect();
            assert_eq!(points.live(), live.len());
            let mut seen = 0;
            points.for_live(0..points.end(), |_, _| seen += 1);
            assert_eq!(seen, live.len());
        }
    }

    #[test]
    fn a_dead_point_comes_back_and_is_not_new_to_the_graph() {
        let mut points = Points::default();
        let (content, vector) = known(1.0);
        assert!(points.add(1, content, vector.clone()).is_some());
        assert!(points.add(2, content, vector.clone()).is_none(), "an equal row");
        points.remove(1);
        points.remove(2);
        assert_eq!((points.live(), points.dead()), (0, 1));
        assert!(points.add(3, content, vector.clone()).is_none(), "it is in the graph already");
        assert_eq!((points.live(), points.dead()), (1, 0));
        points.remove(3);
        points.release_dead(|_| false);
        assert_eq!((points.dead(), points.end()), (0, 1));
        let (id, _) = points.add(4, content, vector).expect("the new graph lacks it");
        assert_eq!(id, 0, "its id is used again");
    }
}
