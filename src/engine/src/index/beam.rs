//! What one walk through a graph remembers: which points it has seen and the nearest so far.

use super::graph::PointId;
use super::rows::Probe;

/// A place in a beam: rank, id and whether the point's neighbours have been looked at, packed so that
/// comparing numbers compares ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

const DONE: u64 = 1;

impl Place {
    fn new(rank: f32, id: PointId) -> Self {
        let bits = rank.to_bits();
        // Turns the order of floating point numbers into that of whole ones.
        let order = bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000);
        Self(u64::from(order) << 32 | u64::from(id) << 1)
    }

    fn id(self) -> PointId {
        (self.0 as u32) >> 1
    }

    fn rank(self) -> f32 {
        let order = (self.0 >> 32) as u32;
        let mask = if order & 0x8000_0000 != 0 { 0x8000_0000 } else { u32::MAX };
        f32::from_bits(order ^ mask)
    }
}

/// The nearest points of a walk, nearest first, at most a given number.
#[derive(Debug, Default)]
pub struct Beam {
    places: Vec<Place>,
    width: usize,
    /// Every place before this is done.
    next: usize,
}

impl Beam {
    /// Empties it for a walk that keeps `width` points.
    pub fn begin(&mut self, width: usize) {
        self.places.clear();
        self.places.reserve(width + 1);
        (self.width, self.next) = (width.max(1), 0);
    }

    /// Considers a point not considered before.
    #[inline]
    pub fn add(&mut self, rank: f32, id: PointId) {
        let place = Place::new(rank, id);
        if self.places.len() >= self.width {
            if self.places.last().is_some_and(|last| *last <= place) {
                return;
            }
            self.places.pop();
        }
        let at = self.places.partition_point(|other| *other < place);
        self.places.insert(at, place);
        self.next = self.next.min(at);
    }

    /// The nearest point whose neighbours have not been looked at, which is done from now on.
    #[inline]
    pub fn advance(&mut self) -> Option<PointId> {
        let rest = self.places.get(self.next..)?;
        let at = self.next + rest.iter().position(|place| place.0 & DONE == 0)?;
        self.places[at].0 |= DONE;
        self.next = at + 1;
        Some(self.places[at].id())
    }

    /// The point that would be next, if nothing nearer turns up.
    #[inline]
    pub fn peek(&self) -> Option<PointId> {
        let place = self.places.get(self.next)?;
        (place.0 & DONE == 0).then(|| place.id())
    }

    /// Begins another walk, on another layer, with the points this one found.
    pub fn again(&mut self) {
        self.places.iter_mut().for_each(|place| place.0 &= !DONE);
        self.next = 0;
    }

    /// Keeps `width` points from now on.
    pub fn resize(&mut self, width: usize) {
        self.width = width.max(1);
        self.places.truncate(self.width);
    }

    /// What was found, nearest first.
    pub fn found(&self) -> impl ExactSizeIterator<Item = (f32, PointId)> + '_ {
        self.places.iter().map(|place| (place.rank(), place.id()))
    }
}

/// A set of points that is emptied often.
#[derive(Debug, Default)]
pub struct Seen {
    words: Vec<u64>,
    /// The words that are not zero: a walk sees few of many points.
    used: Vec<u32>,
}

impl Seen {
    /// Empties it for ids below `end`.
    pub fn begin(&mut self, end: usize) {
        for at in self.used.drain(..) {
            self.words[at as usize] = 0;
        }
        self.words.resize(end.div_ceil(64), 0);
    }

    /// Adds a point; whether it is new. Ids from `end` on never are.
    #[inline]
    pub fn insert(&mut self, id: PointId) -> bool {
        let at = id as usize / 64;
        let Some(word) = self.words.get_mut(at) else { return false };
        let bit = 1 << (id % 64);
        let new = *word & bit == 0;
        if *word == 0 {
            self.used.push(at as u32);
        }
        *word |= bit;
        new
    }
}

/// Buffers of one walk, kept for the next one.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) beam: Beam,
    pub(super) seen: Seen,
    pub(super) ids: Vec<PointId>,
    pub(super) ranks: Vec<f32>,
    pub(super) spans: Vec<f32>,
    pub(super) probe: Probe,
    pub(super) other: Probe,
    pub(super) nearest: Vec<(f32, PointId)>,
    pub(super) chosen: Vec<PointId>,
    pub(super) chosen_for: Vec<PointId>,
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::*;

    #[test]
    fn a_beam_keeps_the_nearest_in_order() {
        let mut random = Random::new(31);
        for width in [1, 3, 50] {
            let mut beam = Beam::default();
            beam.begin(width);
            let mut twin: Vec<(f32, PointId)> = Vec::new();
            let mut done = Vec::new();
            for id in 0..500 {
                let rank = random.number() * 100.0;
                beam.add(rank, id);
                twin.push((rank, id));
                twin.sort_by(|a, b| a.0.total_cmp(&b.0));
                twin.truncate(width);
                if id % 3 == 0 {
                    let expected = twin.iter().find(|(_, id)| !done.contains(id)).map(|p| p.1);
                    assert_eq!(beam.advance(), expected);
                    done.extend(expected);
                }
            }
            assert_eq!(beam.found().collect::<Vec<_>>(), twin);
        }
    }

    #[test]
    fn ranks_of_every_sign_are_ordered() {
        let mut beam = Beam::default();
        beam.begin(10);
        let ranks = [f32::INFINITY, 1.0, -0.5, 0.0, -1e30, 1e-40, f32::NEG_INFINITY];
        ranks.iter().zip(0..).for_each(|(rank, id)| beam.add(*rank, id));
        let found: Vec<f32> = beam.found().map(|(rank, _)| rank).collect();
        let mut sorted = ranks.to_vec();
        sorted.sort_by(f32::total_cmp);
        assert_eq!(found, sorted);
    }

    #[test]
    fn a_point_is_seen_once() {
        let mut seen = Seen::default();
        for _ in 0..2 {
            seen.begin(130);
            assert!(seen.insert(0) && seen.insert(64) && seen.insert(129) && !seen.insert(64));
            assert!(!seen.insert(192), "unknown when the walk began");
        }
    }
}
