//! Neighbour lists: flat, of a fixed capacity, read without a lock while they are written.
//!
//! A list's place is an atomic number, 0 for none and else a point's id plus one; the first 0 ends the
//! list. Who writes a list holds its lock; a reader may see some places from before and some from
//! after, each of them a point.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::arena::Arena;
use super::graph::PointId;
use crate::store::lock;

/// Locks shared by all lists.
const LOCKS: usize = 1 << 10;

/// Highest layer; a point is this high once in m to this power.
pub const MAX_LAYER: usize = 15;

/// The lists of all points on all layers.
pub struct Links {
    m: usize,
    lowest: Arena,
    upper: Arena,
    /// By point, the row of its list on layer 1 in `upper` plus one; those of the layers above follow.
    upper_at: Arena,
    next_upper: Mutex<u32>,
    locks: Box<[Mutex<()>]>,
}

/// The layer a point is on: drawn once and for all from its id, as often as the paper asks for. A
/// point that takes another's id takes its layer too.
pub fn layer_of(id: PointId, m: usize) -> usize {
    // splitmix64, whose output is uniform.
    let mut x = u64::from(id).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let uniform = ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
    let layer = -(1.0 - uniform).ln() / (m.max(2) as f64).ln();
    (layer as usize).min(MAX_LAYER)
}

impl Links {
    /// No lists, of at most `m` neighbours and twice as many on layer 0.
    pub fn new(m: usize) -> Self {
        Self {
            m,
            lowest: Arena::new(2 * m * 4),
            upper: Arena::new(m * 4),
            upper_at: Arena::new(4),
            next_upper: Mutex::new(0),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
        }
    }

    /// Most neighbours on a layer.
    pub fn capacity(&self, layer: usize) -> usize {
        if layer == 0 { 2 * self.m } else { self.m }
    }

    /// Makes room for a point's lists. False when there is no memory.
    pub fn reserve(&self, id: PointId) -> bool {
        let row = id as usize;
        if !(self.lowest.reserve(row) && self.upper_at.reserve(row)) {
            return false;
        }
        let layers = layer_of(id, self.m);
        if layers == 0 || self.upper_at(id).load(Ordering::Acquire) != 0 {
            return true;
        }
        let mut next = lock(&self.next_upper);
        if self.upper_at(id).load(Ordering::Acquire) != 0 {
            return true;
        }
        let first = *next as usize;
        if !(first..first + layers).all(|row| self.upper.reserve(row)) {
            return false;
        }
        *next += layers as u32;
        self.upper_at(id).store(first as u32 + 1, Ordering::Release);
        true
    }

    /// Bytes the lists of a point take, on average.
    pub fn point_bytes(&self) -> usize {
        2 * self.m * 4 + 4 + self.m * 4 / (self.m - 1).max(1)
    }

    fn upper_at(&self, id: PointId) -> &AtomicU32 {
        // SAFETY: a reserved row of four bytes, aligned, only ever used as this.
        unsafe { &*self.upper_at.row(id as usize).cast::<AtomicU32>() }
    }

    /// A point's list. The point must be on this layer.
    #[inline(always)]
    pub fn list(&self, id: PointId, layer: usize) -> &[AtomicU32] {
        let row = if layer == 0 {
            self.lowest.row(id as usize)
        } else {
            let first = self.upper_at(id).load(Ordering::Acquire) as usize;
            debug_assert!(first > 0 && layer <= layer_of(id, self.m));
            self.upper.row(first - 1 + layer - 1)
        };
        // SAFETY: `reserve` made the row before the id became known to anybody; it has `capacity`
        // places of four bytes, only ever used as atomic numbers.
        unsafe { std::slice::from_raw_parts(row.cast::<AtomicU32>(), self.capacity(layer)) }
    }

    /// A point's neighbours.
    pub fn neighbours(&self, id: PointId, layer: usize) -> impl Iterator<Item = PointId> + '_ {
        let places = self.list(id, layer).iter().map(|place| place.load(Ordering::Acquire));
        places.take_while(|place| *place != 0).map(|place| place - 1)
    }

    /// Asks the processor for a point's lowest list ahead of its use.
    #[inline(always)]
    pub fn prefetch(&self, id: PointId) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start = self.lowest.row(id as usize).cast::<i8>();
            // SAFETY: a prefetch of any address is harmless.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(start);
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = id;
    }

    /// Holds a point's lists for writing.
    pub fn hold(&self, id: PointId) -> MutexGuard<'_, ()> {
        lock(&self.locks[id as usize % LOCKS])
    }

    /// Replaces a list. The caller holds it.
    pub fn set(&self, id: PointId, layer: usize, neighbours: &[PointId]) {
        let list = self.list(id, layer);
        for (place, neighbour) in list.iter().zip(neighbours) {
            place.store(neighbour + 1, Ordering::Release);
        }
        for place in &list[neighbours.len().min(list.len())..] {
            place.store(0, Ordering::Release);
        }
    }

    /// Adds a neighbour to a list that has room; whether it had. The caller holds the list.
    pub fn push(&self, id: PointId, layer: usize, neighbour: PointId) -> bool {
        let free = self.list(id, layer).iter().find(|place| place.load(Ordering::Relaxed) == 0);
        if let Some(place) = free {
            place.store(neighbour + 1, Ordering::Release);
        }
        free.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_thin_out_as_the_paper_asks() {
        for m in [4, 16, 100] {
            let layers: Vec<_> = (0..200_000).map(|id| layer_of(id, m)).collect();
            let share = |least| layers.iter().filter(|l| **l >= least).count() as f64 / 200_000.0;
            assert!((share(1) * m as f64 - 1.0).abs() < 0.1, "{m}: {}", share(1));
            assert!((share(2) * (m * m) as f64 - 1.0).abs() < 0.4, "{m}: {}", share(2));
        }
    }

    #[test]
    fn lists_keep_what_is_written() {
        let links = Links::new(2);
        let high = (1..1000).find(|id| layer_of(*id, 2) >= 3).unwrap();
        assert!(links.reserve(high) && links.reserve(0) && links.reserve(high));
        let read = |id, layer| links.neighbours(id, layer).collect::<Vec<_>>();
        for layer in 0..=3 {
            assert!(read(high, layer).is_empty());
            links.set(high, layer, &[layer as u32, 9]);
        }
        assert_eq!([0, 1, 2, 3].map(|layer| read(high, layer)[0]), [0, 1, 2, 3]);
        assert!(links.push(high, 0, 5) && links.push(high, 0, 6) && !links.push(high, 0, 7));
        assert!(!links.push(high, 1, 5));
        assert_eq!(read(high, 0), [0, 9, 5, 6]);
        links.set(high, 0, &[1]);
        assert_eq!((read(high, 0), read(0, 0)), (vec![1], vec![]));
    }
}
