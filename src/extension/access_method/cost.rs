//! What an index scan costs.

use pgrx::prelude::*;

use crate::guc;

/// One round trip to the engine, in the planner's unit (a sequential page read, about 10
/// microseconds): some 50-100 microseconds.
const ROUND_TRIP: f64 = 8.0;
/// A distance computation against an operator call: vectors are contiguous and SIMD is used.
const DISTANCE_OPERATORS: f64 = 1.0;
/// Each further entry of an ordered scan: its share of the larger searches behind it.
const ENTRY_OPERATORS: f64 = 20.0;

/// Estimates a scan. Without an ordering the index cannot be used at all; with one it never selects
/// anything: filters are applied to what it returns.
#[expect(clippy::too_many_arguments, reason = "PostgreSQL's signature")]
#[pg_guard]
pub unsafe extern "C-unwind" fn amcostestimate(
    _root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    _loop_count: f64,
    startup_cost: *mut pg_sys::Cost,
    total_cost: *mut pg_sys::Cost,
    selectivity: *mut pg_sys::Selectivity,
    correlation: *mut f64,
    pages: *mut f64,
) {
    // SAFETY: PostgreSQL hands valid pointers.
    unsafe {
        *selectivity = 1.0;
        *correlation = 0.0;
        *pages = 1.0;
        if (*path).indexorderbys.is_null() {
            *startup_cost = f64::INFINITY;
            *total_cost = f64::INFINITY;
            #[cfg(feature = "pg18")]
            {
                (*path).path.disabled_nodes = 2;
            }
            return;
        }
        let entries = (*(*path).indexinfo).tuples.max(1.0);
        let operator = pg_sys::cpu_operator_cost;
        // A search of the graph visits about ef candidates and computes the distance to each of
        // their 2m neighbours, half of which it has seen, after descending log(n) layers.
        let ef = f64::from(guc::EF_SEARCH.get());
        let neighbours = 16.0;
        let visited = (ef * neighbours + entries.log2() * neighbours).min(entries);
        *startup_cost = ROUND_TRIP + visited * DISTANCE_OPERATORS * operator;
        *total_cost =
            *startup_cost + entries * (pg_sys::cpu_index_tuple_cost + ENTRY_OPERATORS * operator);
    }
}
