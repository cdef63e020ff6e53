//! Neighbour lists: flat, of a fixed capacity, read without a lock while they are written.
//!
//! A place of a list has a number, 0 for none and else a point's id plus one; the first 0 ends the list.
//!
//! ```text
//! layer 0       low u16 * 2m | middle u8 * 2m; where a neighbour's number takes more, high u8 * 2m elsewhere
//! other layers  number u32 * m
//! ```
//!
//! Who writes a list holds its lock; who reads it without one may see some places from before and some from
//! after, and on layer 0 one that is of both: a number that is perhaps no point's, or not this one's neighbour.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::arena::{Arena, CHUNK_ROWS};
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
    /// Highest bytes of the numbers in `lowest`, in chunks that have one that is not 0.
    highest: Arena,
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
            lowest: Arena::new(2 * m * 3),
            highest: Arena::new(2 * m),
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
        2 * self.m * 3 + 4 + self.m * 4 / (self.m - 1).max(1)
    }

    /// Bytes that lists with large numbers take beyond that, at most.
    pub fn wide_bytes(&self) -> u64 {
        (self.highest.mapped() * CHUNK_ROWS * self.highest.stride()) as u64
    }

    fn upper_at(&self, id: PointId) -> &AtomicU32 {
        // SAFETY: a reserved row of four bytes, aligned, only ever used as this.
        unsafe { &*self.upper_at.row(id as usize).cast::<AtomicU32>() }
    }

    /// A point's list. The point must be on this layer.
    #[inline(always)]
    fn list(&self, id: PointId, layer: usize) -> List<'_> {
        let places = self.capacity(layer);
        if layer == 0 {
            let (row, high) = (self.lowest.row(id as usize), self.highest.row(id as usize));
            // SAFETY: `reserve` made the row before the id became known to anybody. It has `places` numbers of two
            // bytes, aligned as rows of an even size are, and as many of one, only ever used as atomic numbers; so
            // has a row of `highest`, where its chunk is there.
            return unsafe {
                List::Lowest {
                    low: std::slice::from_raw_parts(row.cast::<AtomicU16>(), places),
                    middle: std::slice::from_raw_parts(row.add(2 * places).cast(), places),
                    high: match high.is_null() {
                        true => &[],
                        false => std::slice::from_raw_parts(high.cast::<AtomicU8>(), places),
                    },
                }
            };
        }
        let first = self.upper_at(id).load(Ordering::Acquire) as usize;
        debug_assert!(first > 0 && layer <= layer_of(id, self.m));
        let row = self.upper.row(first - 1 + layer - 1);
        // SAFETY: as above, with places of four bytes.
        List::Upper(unsafe { std::slice::from_raw_parts(row.cast::<AtomicU32>(), places) })
    }

    /// A point's neighbours. Who does not hold the list may be given any number on layer 0.
    #[inline(always)]
    pub fn neighbours(&self, id: PointId, layer: usize) -> impl Iterator<Item = PointId> + '_ {
        let list = self.list(id, layer);
        let numbers = (0..self.capacity(layer)).map(move |place| list.get(place));
        numbers.take_while(|number| *number != 0).map(|number| number - 1)
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
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(6 * self.m - 1));
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
        self.widen(id, layer, neighbours);
        let list = self.list(id, layer);
        for place in 0..self.capacity(layer) {
            list.put(place, neighbours.get(place).map_or(0, |neighbour| neighbour + 1));
        }
    }

    /// Adds a neighbour to a list that has room; whether it had. The caller holds the list.
    pub fn push(&self, id: PointId, layer: usize, neighbour: PointId) -> bool {
        self.widen(id, layer, &[neighbour]);
        let list = self.list(id, layer);
        let free = (0..self.capacity(layer)).find(|place| list.get(*place) == 0);
        if let Some(place) = free {
            list.put(place, neighbour + 1);
        }
        free.is_some()
    }

    /// Makes room for the highest bytes of numbers, where one needs it.
    fn widen(&self, id: PointId, layer: usize, neighbours: &[PointId]) {
        if layer == 0 && neighbours.iter().any(|neighbour| neighbour + 1 >= 1 << 24) {
            // Without memory for it the neighbours are cut off, and `reach_all` finds whom that has cost the last link.
            self.highest.reserve(id as usize);
        }
    }
}

/// One point's list on a layer.
enum List<'a> {
    Lowest { low: &'a [AtomicU16], middle: &'a [AtomicU8], high: &'a [AtomicU8] },
    Upper(&'a [AtomicU32]),
}

impl List<'_> {
    #[inline(always)]
    fn get(&self, place: usize) -> u32 {
        match self {
            Self::Lowest { low, middle, high } => {
                let high = high.get(place).map_or(0, |high| high.load(Ordering::Acquire));
                u32::from(low[place].load(Ordering::Acquire))
                    | u32::from(middle[place].load(Ordering::Acquire)) << 16
                    | u32::from(high) << 24
            }
            Self::Upper(numbers) => numbers[place].load(Ordering::Acquire),
        }
    }

    fn put(&self, place: usize, number: u32) {
        match self {
            Self::Lowest { low, middle, high } => {
                let number = if high.is_empty() && number >= 1 << 24 { 0 } else { number };
                if let Some(high) = high.get(place) {
                    high.store((number >> 24) as u8, Ordering::Release);
                }
                middle[place].store((number >> 16) as u8, Ordering::Release);
                low[place].store(number as u16, Ordering::Release);
            }
            Self::Upper(numbers) => numbers[place].store(number, Ordering::Release),
        }
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

    #[test]
    fn numbers_of_any_size_are_kept() {
        let links = Links::new(3);
        assert!(links.reserve(5) && links.reserve(6));
        let read = |id| links.neighbours(id, 0).collect::<Vec<_>>();
        let large = [0, 0xfffe, 0xffff, 0x00ff_fffd, 0x00ff_fffe, 0x03ff_ffff];
        links.set(5, 0, &large[..4]);
        assert!(links.highest.mapped() == 0 && read(5) == large[..4]);
        for more in [0x00ff_ffff, 0x0100_0000] {
            links.set(6, 0, &[]);
            assert!(links.push(6, 0, more) && links.push(6, 0, 2) && read(6) == [more, 2]);
        }
        links.set(5, 0, &large);
        assert_eq!((read(5), links.highest.mapped()), (large.to_vec(), 1));
        links.set(5, 0, &[7, 0x0200_0000]);
        assert_eq!(read(5), [7, 0x0200_0000]);
    }
}
