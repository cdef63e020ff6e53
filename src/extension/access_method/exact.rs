//! Exact answers from the heap: what a planned index scan gives when its generation cannot answer
//! any more, so that a plan made before the engine went away stays right.

use std::collections::HashSet;

use onyx_protocol::index::Hit;
use pgrx::prelude::*;

use super::opclass::Kind;
use super::{build, tid_to_u64};
use crate::error::OrRaise;

struct Collect<'a> {
    kind: Kind,
    order: *mut pg_sys::ScanKeyData,
    hits: Vec<Hit>,
    skip: &'a HashSet<u64>,
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
        if *is_null || state.skip.contains(&tid) {
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
            state.hits.push(Hit { tid, distance });
        }
    }
}

/// Every visible row of the index's table that the index covers, but those in `skip`, by distance
/// to the key's argument; in no order without a key. The tuple ids are the ones an index would
/// hold: of the root of each HOT chain.
///
/// # Safety
/// Both relations are open and belong together; `snapshot` is an active MVCC snapshot; `order` is
/// null or a key whose function takes the column's type and returns float8.
pub unsafe fn nearest(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    order: *mut pg_sys::ScanKeyData,
    skip: &HashSet<u64>,
) -> Vec<Hit> {
    // SAFETY: the caller's promise.
    let kind = unsafe { Kind::of(index) }.or_raise();
    let mut state = Collect { kind, order, hits: Vec::new(), skip };
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
    state.hits.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.tid.cmp(&b.tid)));
    state.hits
}
