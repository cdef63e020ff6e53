//! Hash tables keyed by node ids. Ids are dense and chosen by the server, so one multiplication
//! spreads them well enough.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Fibonacci hashing (Knuth, "The Art of Computer Programming", volume 3, 6.4).
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte));
        }
    }

    fn write_i64(&mut self, id: i64) {
        self.write_u64(id as u64);
    }

    fn write_u64(&mut self, id: u64) {
        let hash = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The table takes its place from the low bits, and the high ones are the better.
        self.0 = hash ^ (hash >> 32);
    }
}

/// A map from node ids.
pub type IdMap<T> = HashMap<i64, T, BuildHasherDefault<IdHasher>>;
/// A set of node ids.
pub type IdSet = HashSet<i64, BuildHasherDefault<IdHasher>>;

/// Sorted, each once.
pub fn sorted(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Fewest items that are sorted by digits, and bits of a digit.
const MANY: usize = 1_024;
const DIGIT: u32 = 11;

/// Sorts items by their ids, no two of which are equal: by digits where many ids lie close together, as those of
/// one sequence do (Knuth, volume 3, 5.2.5).
pub fn sort_by_id<T: Copy>(items: &mut [T], span: Option<(i64, usize)>, id: impl Fn(&T) -> i64) {
    let Some((first, ids)) = span.filter(|_| items.len() >= MANY) else {
        items.sort_unstable_by_key(id);
        return;
    };
    let place = |item: &T| usize::try_from(id(item).wrapping_sub(first)).unwrap_or(usize::MAX);
    if items.iter().any(|item| place(item) >= ids) {
        items.sort_unstable_by_key(id);
        return;
    }
    let mut from = items.to_vec();
    let mut to = from.clone();
    let mut shift = 0;
    while ids >> shift > 0 {
        let digit = |item: &T| place(item) >> shift & ((1 << DIGIT) - 1);
        let mut starts = [0_u32; 1 << DIGIT];
        for item in &from {
            starts[digit(item)] += 1;
        }
        let mut before = 0;
        for start in &mut starts {
            before += std::mem::replace(start, before);
        }
        for item in &from {
            let start = &mut starts[digit(item)];
            to[*start as usize] = *item;
            *start += 1;
        }
        std::mem::swap(&mut from, &mut to);
        shift += DIGIT;
    }
    items.copy_from_slice(&from);
}

/// A set of node ids that becomes a bitmap where that is smaller.
#[derive(Default)]
pub struct Seen {
    few: IdSet,
    first: i64,
    bits: Vec<u64>,
}

impl Seen {
    /// Adds an id; false when it was there.
    #[inline]
    pub fn insert(&mut self, id: i64) -> bool {
        let at = usize::try_from(id.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        match self.bits.get_mut(at / 64) {
            Some(word) => {
                let bit = 1 << (at % 64);
                let new = *word & bit == 0;
                *word |= bit;
                new
            }
            None => self.few.insert(id),
        }
    }

    /// Says where ids lie. A bitmap is made once it takes no more room than the set does.
    pub fn expect(&mut self, span: Option<(i64, usize)>) {
        if let Some((first, ids)) = span
            && self.bits.is_empty()
            && ids / 8 < self.few.len() * 16
        {
            self.first = first;
            self.bits = vec![0; ids.div_ceil(64)];
            for id in std::mem::take(&mut self.few) {
                self.insert(id);
            }
        }
    }
}
