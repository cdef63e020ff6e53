//! Exact answers from the heap: what a planned index scan gives when its generation cannot answer
//! any more, so that a plan made before the engine went away stays right.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use onyx_protocol::index::{HeapTid, Hit};
use pgrx::prelude::*;

use super::opclass::Kind;
use super::{build, tid_to_u64};
use crate::error::OrRaise;

/// Heap tuples, by a hash that takes next to no time: a scan asks for each row it comes by.
pub type Tids = HashSet<HeapTid, BuildHasherDefault<TidHasher>>;

/// Multiplies a heap tuple's number by an odd one whose bits are well mixed.
#[derive(Default)]
pub struct TidHasher(u64);

impl Hasher for TidHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, n: u64) {
        let product = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Which rows are asked for.
pub struct Part<'a> {
    /// Not these.
    pub skip: &'a Tids,
    /// Only those that come after this one.
    pub after: Option<Hit>,
    /// At most about so many, the nearest.
    pub room: usize,
}

impl<'a> Part<'a> {
    /// All of them but those in `skip`.
    pub fn all(skip: &'a Tids) -> Self {
        Self { skip, after: None, room: usize::MAX }
    }
}

/// An answer.
pub struct Found {
    /// By distance, then heap tuple.
    pub hits: Vec<Hit>,
    /// Whether there was no room for others, which come after the last of these.
    pub cut: bool,
}

struct Collect<'a> {
    kind: Kind,
    order: *mut pg_sys::ScanKeyData,
    part: &'a Part<'a>,
    hits: Vec<Hit>,
    /// The last of the nearest, once there were more than there is room for.
    bound: Option<Hit>,
}

/// The order rows are given in.
fn order(a: &Hit, b: &Hit) -> Ordering {
    // Neither is NaN, and the two zeros are the same distance.
    let distance = a.distance.partial_cmp(&b.distance).unwrap_or(Ordering::Equal);
    distance.then(a.tid.cmp(&b.tid))
}

impl Collect<'_> {
    fn add(&mut self, hit: Hit) {
        let comes_before = |other: &Hit| order(&hit, other) != Ordering::Greater;
        if self.part.after.as_ref().is_some_and(comes_before)
            || self.bound.as_ref().is_some_and(|bound| !comes_before(bound))
        {
            return;
        }
        self.hits.push(hit);
        // Twice the room: so each row is moved once or twice only.
        if self.hits.len() > self.part.room.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.hits.len() > self.part.room {
            let last = self.part.room.saturating_sub(1);
            self.hits.select_nth_unstable_by(last, order);
            self.hits.truncate(last + 1);
            self.bound = self.hits.last().copied();
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn collect(
    _index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    _alive: bool,
    state: *mut std::ffi::c_void,
) {
    // SAFETY: the scan gives a valid tuple id and one value for the one column; state is the
    // `Collect` its caller passed in, whose key holds the distance operator's function.
    unsafe {
        let state = &mut *state.cast::<Collect>();
        let tid = tid_to_u64(*tid);
        if *is_null || state.part.skip.contains(&tid) {
            return;
        }
        let distance = if state.order.is_null() {
            // The index has no zero vectors under the cosine.
            match build::entry_value(state.kind, *values, false) {
                Ok(Some(_)) => 0.0,
                Ok(None) => return,
                Err(error) => error.raise(),
            }
        } else {
            let key = &mut *state.order;
            let datum = pg_sys::FunctionCall2Coll(
                &mut key.sk_func,
                key.sk_collation,
                *values,
                key.sk_argument,
            );
            f64::from_bits(datum.value() as u64)
        };
        // Neither here: their distance is NaN.
        if !distance.is_nan() {
            state.add(Hit { tid, distance });
        }
    }
}

/// A part of the visible rows of the index's table that the index covers, by distance to the key's
/// argument; by heap tuple alone without a key. The tuple ids are the ones an index would hold: of
/// the root of each HOT chain.
///
/// # Safety
/// Both relations are open and belong together; `snapshot` is an active MVCC snapshot; `key` is
/// null or a key whose function takes the column's type and returns float8.
pub unsafe fn nearest(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    key: *mut pg_sys::ScanKeyData,
    part: &Part<'_>,
) -> Found {
    // SAFETY: the caller's promise.
    let kind = unsafe { Kind::of(index) }.or_raise();
    let mut state = Collect { kind, order: key, part, hits: Vec::new(), bound: None };
    // SAFETY: the caller's promise. A build scan over an MVCC snapshot sees what that snapshot sees,
    // evaluates the index's expressions and predicate, and ends the scan it is given.
    unsafe {
        let info = pg_sys::BuildIndexInfo(index);
        let scan = pg_sys::table_beginscan(heap, snapshot, 0, std::ptr::null_mut());
        pg_sys::table_index_build_scan(
            heap,
            index,
            info,
            true,
            false,
            Some(collect),
            (&raw mut state).cast(),
            scan,
        );
    }
    state.cut();
    state.hits.sort_unstable_by(order);
    Found { cut: state.bound.is_some(), hits: state.hits }
}
