//! The access method `onyx_hnsw`: an approximate nearest-neighbour index whose graph lives in the
//! engine and whose identity lives in a WAL-logged page of PostgreSQL.
//!
//! One file a verb. The promises they keep are numbered in ARCHITECTURE.md ("The contract").

mod build;
mod check;
mod cost;
mod exact;
mod garbage;
mod generation;
mod insert;
pub mod metapage;
mod opclass;
mod options;
mod planner;
mod prewarm;
pub mod repair;
pub mod scan;
mod vacuum;

use pgrx::prelude::*;

pub use build::current_lsn;
pub use check::is_ours;
pub use garbage::at_end_of_transaction;
pub use generation::{mark_stale, note_insert, status_rows, why_unusable};

/// Registers options and hooks.
pub fn init() {
    options::init();
    planner::init();
    garbage::init();
}

/// Strategy number of the distance operator, the only strategy.
const DISTANCE_STRATEGY: u16 = 1;
/// Support function that tells what an operator class indexes: see `opclass`.
const KIND_PROC: u16 = 1;

crate::pg_function!(onyx_hnsw_handler);

/// `onyx.hnsw_handler(internal) returns index_am_handler`.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn onyx_hnsw_handler(_fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: alloc_node gives a zeroed node of the right tag in the caller's memory context.
    let mut routine =
        unsafe { PgBox::<pg_sys::IndexAmRoutine>::alloc_node(pg_sys::NodeTag::T_IndexAmRoutine) };
    routine.amstrategies = DISTANCE_STRATEGY;
    routine.amsupport = KIND_PROC;
    routine.amcanorderbyop = true;
    // Without this an index scan would need a WHERE clause on the indexed column.
    routine.amoptionalkey = true;
    routine.amusemaintenanceworkmem = false;
    routine.amparallelvacuumoptions = pg_sys::VACUUM_OPTION_PARALLEL_BULKDEL as u8;
    routine.amkeytype = pg_sys::InvalidOid;

    routine.ambuild = Some(build::ambuild);
    routine.ambuildempty = Some(build::ambuildempty);
    routine.aminsert = Some(insert::aminsert);
    routine.ambulkdelete = Some(vacuum::ambulkdelete);
    routine.amvacuumcleanup = Some(vacuum::amvacuumcleanup);
    routine.amcostestimate = Some(cost::amcostestimate);
    routine.amoptions = Some(options::amoptions);
    routine.amvalidate = Some(opclass::amvalidate);
    routine.ambeginscan = Some(scan::ambeginscan);
    routine.amrescan = Some(scan::amrescan);
    routine.amgettuple = Some(scan::amgettuple);
    routine.amendscan = Some(scan::amendscan);
    routine.into_pg().cast::<u8>().into()
}

/// A heap tuple id as the engine's number.
fn tid_to_u64(tid: pg_sys::ItemPointerData) -> u64 {
    let (block, offset) = pgrx::itemptr::item_pointer_get_both(tid);
    (u64::from(block) << 16) | u64::from(offset)
}

/// The engine's number as a heap tuple id.
fn u64_to_tid(number: u64) -> pg_sys::ItemPointerData {
    let mut tid = pg_sys::ItemPointerData::default();
    pgrx::itemptr::item_pointer_set_all(&mut tid, (number >> 16) as u32, number as u16);
    tid
}
