//! A generation's entries in memory: which heap tuples stand behind which point.
//!
//! A point is one distinct content; all entries with it share the point, so equal rows are found
//! together. A point whose last entry is removed stays as long as the graph has it, and comes back to
//! life when its content is inserted again, until the graph begins to take it out.
//!
//! Kept in columns and tables of ids: with short vectors, what is here is a large part of the memory.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use hashbrown::HashTable;
use onyx_protocol::index::HeapTid;

use super::graph::PointId;
use crate::store::TextHash;

/// What is known of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No point: its id may be used.
    Free,
    /// A text that waits to be embedded.
    Waiting,
    /// A text that cannot be embedded.
    Failed,
    /// Its vector is known but not in its row yet.
    Arriving,
    /// Its vector is in its row.
    Known,
    /// Being taken out of the graph.
    Leaving,
}

/// In place of a heap tuple: none, and more than one.
const NONE: HeapTid = HeapTid::MAX;
const MANY: HeapTid = HeapTid::MAX - 1;

/// Columns grow by one place in so many.
const GROW_SHARE: usize = 16;

/// First half of a content's hash, enough to tell contents apart.
pub type ContentId = [u8; 16];

/// All points and entries of a generation.
#[derive(Debug, Default)]
pub struct Points {
    states: Vec<State>,
    contents: Vec<ContentId>,
    /// The other half of a text's hash, which its embedding is kept under; empty without texts.
    tails: Vec<ContentId>,
    tids: Vec<HeapTid>,
    /// Of points with more than one.
    many: HashMap<PointId, BTreeSet<HeapTid>>,
    free: Vec<PointId>,
    /// Points with one heap tuple, by that.
    by_tid: HashTable<PointId>,
    /// The points of all others.
    of_many: HashMap<HeapTid, PointId>,
    by_content: HashTable<PointId>,
    keeps_tails: bool,
    entries: usize,
    live: usize,
    dead: usize,
    leaving: usize,
    waiting_entries: usize,
    failed_entries: usize,
}

fn halves(hash: &TextHash) -> (ContentId, ContentId) {
    let (mut head, mut tail) = ([0; 16], [0; 16]);
    head.copy_from_slice(&hash.0[..16]);
    tail.copy_from_slice(&hash.0[16..]);
    (head, tail)
}

/// A step of splitmix64. Blocks and places in them are small numbers, and a table looks at the highest bits too.
fn tid_hash(tid: HeapTid) -> u64 {
    let x = (tid ^ tid >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ x >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The hash is one already.
fn content_hash(content: &ContentId) -> u64 {
    u64::from_le_bytes([
        content[0], content[1], content[2], content[3], content[4], content[5], content[6],
        content[7],
    ])
}

impl Points {
    /// No points; `texts` says whether contents are texts.
    pub fn new(texts: bool) -> Self {
        Self { keeps_tails: texts, ..Self::default() }
    }

    /// Adds an entry; an older one of the same heap tuple is replaced. `state` counts for a point
    /// whose vector is not known yet. Returns the point when its vector has to be put in its row now,
    /// after which it is [`Points::publish`]ed.
    pub fn add(&mut self, tid: HeapTid, content: &TextHash, state: State) -> Option<PointId> {
        let (head, _) = halves(content);
        match self.point_of(tid) {
            Some(old) if self.contents[old as usize] == head => return self.fill(content, state),
            Some(_) => {
                self.remove(tid);
            }
            None => {}
        }
        let id = self.find(&head).unwrap_or_else(|| self.new_point(content));
        self.change(id, |points| points.put_tid(id, tid));
        self.entries += 1;
        self.fill(content, state)
    }

    /// Says what became of a text. Returns its point when its vector has to be put now.
    pub fn fill(&mut self, content: &TextHash, state: State) -> Option<PointId> {
        let (head, tail) = halves(content);
        let id = self.find(&head)?;
        if let Some(known) = self.tails.get_mut(id as usize) {
            *known = tail;
        }
        match self.states[id as usize] {
            State::Known => None,
            State::Arriving => (state == State::Known).then_some(id),
            _ => {
                let state = if state == State::Known { State::Arriving } else { state };
                self.change(id, |points| points.states[id as usize] = state);
                (state == State::Arriving).then_some(id)
            }
        }
    }

    /// Points are in their rows: searches may find them.
    pub fn publish(&mut self, ids: &[PointId]) {
        for id in ids {
            if self.states[*id as usize] == State::Arriving {
                self.change(*id, |points| points.states[*id as usize] = State::Known);
            }
        }
    }

    /// A point of a stored graph, under its old id; its vector and entries come later, or never.
    pub fn restore(&mut self, id: PointId, content: ContentId) {
        let end = id as usize + 1;
        while self.states.len() < end {
            self.free.push(self.states.len() as PointId);
            self.grow();
        }
        if self.free.last() == Some(&id) {
            self.free.pop();
        }
        self.states[id as usize] = State::Arriving;
        self.contents[id as usize] = content;
        let Self { by_content, contents, .. } = self;
        by_content
            .insert_unique(content_hash(&content), id, |id| content_hash(&contents[*id as usize]));
    }

    /// Restored points nothing came for, as [`Points::take_dead`] gives them.
    pub fn take_unclaimed(&mut self) -> Vec<PointId> {
        self.take(|points, id| {
            points.states[id as usize] == State::Arriving && points.tids[id as usize] == NONE
        })
    }

    /// Points without entries, which from now on only [`Points::release`] changes.
    pub fn take_dead(&mut self) -> Vec<PointId> {
        self.take(|points, id| {
            points.states[id as usize] == State::Known && points.tids[id as usize] == NONE
        })
    }

    fn take(&mut self, wanted: impl Fn(&Self, PointId) -> bool) -> Vec<PointId> {
        let all = 0..self.states.len() as PointId;
        let taken: Vec<PointId> = all.filter(|id| wanted(self, *id)).collect();
        for id in &taken {
            self.forget_content(*id);
            self.change(*id, |points| points.states[*id as usize] = State::Leaving);
        }
        taken
    }

    /// Points that were taken are out of the graph: their ids may be used again.
    pub fn release(&mut self, ids: &[PointId]) {
        for id in ids {
            self.change(*id, |points| points.states[*id as usize] = State::Free);
            self.free.push(*id);
        }
    }

    /// Removes the entry of a heap tuple; whether there was one.
    pub fn remove(&mut self, tid: HeapTid) -> bool {
        let Some(id) = self.point_of(tid) else { return false };
        self.entries -= 1;
        self.change(id, |points| points.take_tid(id, tid));
        let state = self.states[id as usize];
        if self.tids[id as usize] == NONE && matches!(state, State::Waiting | State::Failed) {
            self.forget_content(id);
            self.states[id as usize] = State::Free;
            self.free.push(id);
        }
        true
    }

    /// Ids of the searchable points in a range.
    pub fn live_ids(&self, ids: Range<usize>) -> impl Iterator<Item = PointId> + '_ {
        let end = self.states.len();
        // Mostly all are, and need not be looked at.
        let all = self.live == end;
        (ids.start.min(end)..ids.end.min(end))
            .map(|id| id as PointId)
            .filter(move |id| all || self.is_live(*id))
    }

    /// Whether a search may find a point.
    pub fn is_live(&self, id: PointId) -> bool {
        self.states.get(id as usize) == Some(&State::Known) && self.tids[id as usize] != NONE
    }

    /// Whether a point is in its row, with or without entries.
    pub fn is_known(&self, id: PointId) -> bool {
        self.states.get(id as usize) == Some(&State::Known)
    }

    /// A point's content.
    pub fn content(&self, id: PointId) -> ContentId {
        self.contents[id as usize]
    }

    /// The hash of a text.
    pub fn text_hash(&self, id: PointId) -> Option<TextHash> {
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(self.contents.get(id as usize)?);
        hash[16..].copy_from_slice(self.tails.get(id as usize)?);
        Some(TextHash(hash))
    }

    /// The lowest heap tuples of a point, at most `limit`.
    pub fn for_tids(&self, id: PointId, limit: usize, mut each: impl FnMut(HeapTid)) {
        match self.tids.get(id as usize) {
            None | Some(&NONE) => {}
            Some(&MANY) => {
                self.many[&id].iter().take(limit).for_each(|tid| each(*tid));
            }
            Some(tid) => each(*tid),
        }
    }

    /// The point of a heap tuple.
    pub fn point_of(&self, tid: HeapTid) -> Option<PointId> {
        let is = |id: &PointId| self.tids[*id as usize] == tid;
        let one = self.by_tid.find(tid_hash(tid), is);
        one.or_else(|| self.of_many.get(&tid)).copied()
    }

    /// All heap tuples, in no order.
    pub fn all_tids(&self) -> Vec<HeapTid> {
        let one = self.tids.iter().copied().filter(|tid| *tid < MANY);
        one.chain(self.many.values().flatten().copied()).collect()
    }

    /// Entries, embedded or not.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Entries whose text waits to be embedded.
    pub fn waiting_entries(&self) -> usize {
        self.waiting_entries
    }

    /// Entries that a search can find.
    pub fn searchable_entries(&self) -> usize {
        self.entries - self.waiting_entries - self.failed_entries
    }

    /// Points that a search can find.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Points of the graph that have no entry any more.
    pub fn dead(&self) -> usize {
        self.dead
    }

    /// Points without entries, those being taken out included.
    pub fn tombstones(&self) -> usize {
        self.dead + self.leaving
    }

    /// Ids are below this.
    pub fn end(&self) -> usize {
        self.states.len()
    }

    /// An estimate of the memory it takes.
    pub fn memory_bytes(&self) -> u64 {
        let columns = self.states.capacity()
            + (self.contents.capacity() + self.tails.capacity()) * size_of::<ContentId>()
            + self.tids.capacity() * size_of::<HeapTid>();
        // A bucket has one byte more than its value.
        let tables = (self.by_tid.capacity() + self.by_content.capacity()) * 8 / 7 * 5;
        let many = self.many.len() * 80 + self.of_many.capacity() * 32;
        (columns + tables + many + self.free.capacity() * 4) as u64
    }

    fn find(&self, content: &ContentId) -> Option<PointId> {
        let is = |id: &PointId| self.contents[*id as usize] == *content;
        self.by_content.find(content_hash(content), is).copied()
    }

    fn grow(&mut self) {
        if self.states.len() == self.states.capacity() {
            // Twice as much, as a column does by itself, would be a large part of what is kept here.
            let more = self.states.len() / GROW_SHARE + 64;
            self.states.reserve_exact(more);
            self.contents.reserve_exact(more);
            self.tids.reserve_exact(more);
            self.tails.reserve_exact(if self.keeps_tails { more } else { 0 });
        }
        self.states.push(State::Free);
        self.contents.push([0; 16]);
        self.tids.push(NONE);
        if self.keeps_tails {
            self.tails.push([0; 16]);
        }
    }

    fn new_point(&mut self, content: &TextHash) -> PointId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.grow();
            (self.states.len() - 1) as PointId
        });
        let (head, tail) = halves(content);
        self.states[id as usize] = State::Waiting;
        self.contents[id as usize] = head;
        if let Some(known) = self.tails.get_mut(id as usize) {
            *known = tail;
        }
        let Self { by_content, contents, .. } = self;
        by_content
            .insert_unique(content_hash(&head), id, |id| content_hash(&contents[*id as usize]));
        id
    }

    fn forget_content(&mut self, id: PointId) {
        let hash = content_hash(&self.contents[id as usize]);
        if let Ok(found) = self.by_content.find_entry(hash, |other| *other == id) {
            found.remove();
        }
    }

    fn put_tid(&mut self, id: PointId, tid: HeapTid) {
        match self.tids[id as usize] {
            NONE => self.put_one(id, tid),
            MANY => {
                self.many.entry(id).or_default().insert(tid);
                self.of_many.insert(tid, id);
            }
            old => {
                self.take_one(id, old);
                self.tids[id as usize] = MANY;
                self.many.insert(id, BTreeSet::from([old, tid]));
                self.of_many.extend([(old, id), (tid, id)]);
            }
        }
    }

    /// Makes a heap tuple a point's only one.
    fn put_one(&mut self, id: PointId, tid: HeapTid) {
        let Self { by_tid, tids, .. } = self;
        tids[id as usize] = tid;
        by_tid.insert_unique(tid_hash(tid), id, |id| tid_hash(tids[*id as usize]));
    }

    fn take_one(&mut self, id: PointId, tid: HeapTid) {
        if let Ok(found) = self.by_tid.find_entry(tid_hash(tid), |other| *other == id) {
            found.remove();
        }
        self.tids[id as usize] = NONE;
    }

    fn take_tid(&mut self, id: PointId, tid: HeapTid) {
        if self.tids[id as usize] != MANY {
            self.take_one(id, tid);
            return;
        }
        self.of_many.remove(&tid);
        let Some(tids) = self.many.get_mut(&id) else { return };
        tids.remove(&tid);
        if let (1, Some(last)) = (tids.len(), tids.first().copied()) {
            self.many.remove(&id);
            self.of_many.remove(&last);
            self.put_one(id, last);
        }
    }

    /// Changes a point and keeps the counters right.
    fn change(&mut self, id: PointId, change: impl FnOnce(&mut Self)) {
        self.count(id, |total, counted| *total -= counted);
        change(self);
        self.count(id, |total, counted| *total += counted);
    }

    /// Applies what a point contributes to each counter.
    fn count(&mut self, id: PointId, apply: impl Fn(&mut usize, usize)) {
        let entries = match self.tids[id as usize] {
            NONE => 0,
            MANY => self.many.get(&id).map_or(0, BTreeSet::len),
            _ => 1,
        };
        match self.states[id as usize] {
            State::Known if entries > 0 => apply(&mut self.live, 1),
            State::Known => apply(&mut self.dead, 1),
            State::Leaving => apply(&mut self.leaving, 1),
            State::Waiting => apply(&mut self.waiting_entries, entries),
            State::Failed => apply(&mut self.failed_entries, entries),
            State::Free | State::Arriving => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::*;

    fn text(n: usize) -> TextHash {
        TextHash::of(&n.to_string())
    }

    #[test]
    fn counters_and_maps_agree_with_a_naive_twin_under_random_changes() {
        let (mut points, mut random) = (Points::new(true), Random::new(5));
        let mut twin: HashMap<HeapTid, TextHash> = HashMap::new();
        let mut state: HashMap<TextHash, State> = HashMap::new();
        let mut taken: Vec<PointId> = Vec::new();
        for step in 0..20_000 {
            let tid = random.below(60) as u64;
            let content = text(random.below(20));
            match random.below(5) {
                0 | 1 => {
                    let old = state.get(&content).copied().unwrap_or(State::Waiting);
                    let new = points.add(tid, &content, old);
                    points.publish(&Vec::from_iter(new));
                    twin.insert(tid, content);
                    state.insert(content, old);
                }
                2 | 3 => assert_eq!(points.remove(tid), twin.remove(&tid).is_some()),
                _ if step % 7 == 0 => {
                    points.release(&taken);
                    taken = points.take_dead();
                    state.retain(|c, known| {
                        *known != State::Known || twin.values().any(|live| live == c)
                    });
                }
                _ => {
                    let new = [State::Failed, State::Known][random.below(2)];
                    if state.get(&content).is_some_and(|old| *old != State::Known) {
                        let new_point = points.fill(&content, new);
                        points.publish(&Vec::from_iter(new_point));
                        state.insert(content, new);
                    }
                }
            }
            // A text without entries is forgotten unless its vector is known.
            state.retain(|c, known| *known == State::Known || twin.values().any(|live| live == c));
            let entries = |kind| twin.values().filter(|c| state[*c] == kind).count();
            assert_eq!(points.entries(), twin.len());
            assert_eq!(points.waiting_entries(), entries(State::Waiting), "step {step}");
            assert_eq!(points.searchable_entries(), entries(State::Known));
            let live: BTreeSet<_> = twin.values().filter(|c| state[*c] == State::Known).collect();
            assert_eq!(points.live(), live.len());
            assert_eq!(points.tombstones(), points.dead() + taken.len());
            let ids: Vec<_> = points.live_ids(0..points.end()).collect();
            let hashes: BTreeSet<_> = ids.iter().filter_map(|id| points.text_hash(*id)).collect();
            assert_eq!(hashes.iter().collect::<BTreeSet<_>>(), live);
            if step % 100 == 0 {
                let mut all = points.all_tids();
                all.sort_unstable();
                assert_eq!(
                    all,
                    BTreeSet::from_iter(twin.keys().copied()).into_iter().collect::<Vec<_>>()
                );
                for (tid, content) in &twin {
                    let id = points.point_of(*tid).expect("an entry");
                    assert_eq!(points.text_hash(id).as_ref(), Some(content));
                }
            }
        }
        assert!(points.end() <= 20 * 3, "ids are used again");
    }

    #[test]
    fn a_dead_point_comes_back_until_it_is_taken() {
        let mut points = Points::new(false);
        let id = points.add(1, &text(1), State::Known).expect("a new point");
        assert!(!points.is_live(id), "its vector is not in its row yet");
        points.publish(&[id]);
        assert_eq!(points.add(2, &text(1), State::Known), None, "an equal row");
        points.remove(1);
        points.remove(2);
        assert_eq!((points.live(), points.dead()), (0, 1));
        assert_eq!(points.add(3, &text(1), State::Known), None, "it is in the graph already");
        points.remove(3);
        assert_eq!(points.take_dead(), [id]);
        let other = points.add(4, &text(1), State::Known).expect("the old one is leaving");
        assert_ne!(other, id);
        points.release(&[id]);
        assert_eq!(points.add(5, &text(2), State::Known), Some(id), "its id is used again");
    }

    #[test]
    fn restored_points_wait_for_their_entries() {
        let mut points = Points::new(false);
        for id in [2, 5] {
            let (head, _) = halves(&text(id as usize));
            points.restore(id, head);
        }
        assert_eq!(points.add(9, &text(2), State::Known), Some(2));
        points.publish(&[2]);
        let other = points.add(10, &text(7), State::Known).expect("a new point");
        assert!(![2, 5].contains(&other) && other < 6);
        assert_eq!(points.take_unclaimed(), [5]);
        assert_eq!(points.live(), 1);
        points.release(&[5]);
    }
}
