//! VACUUM: dead rows' entries leave the generation before their tuple ids are reused.

use onyx_protocol::index::HeapTid;
use onyx_protocol::limits::MAX_BATCH_ENTRIES;
use onyx_protocol::message::{Item, RequestBody, Response};
use pgrx::prelude::*;

use super::{build, generation, metapage, u64_to_tid};
use crate::error::{Error, OrRaise};
use crate::{client, steps};

/// Removes the entries of dead rows. When the engine cannot, the index is marked stale, WAL-logged
/// before the heap's tuple ids can be reused: its entries are never read again.
#[pg_guard]
pub unsafe extern "C-unwind" fn ambulkdelete(
    info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
    callback: pg_sys::IndexBulkDeleteCallback,
    callback_state: *mut std::ffi::c_void,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: PostgreSQL hands valid pointers; a null `stats` asks for a new one.
    unsafe {
        let stats = if stats.is_null() {
            PgBox::<pg_sys::IndexBulkDeleteResult>::alloc0().into_pg()
        } else {
            stats
        };
        let index = (*info).index;
        let Ok((id, _)) = generation::identity(index) else { return stats };
        let dead = |tid: HeapTid| {
            let mut tid = u64_to_tid(tid);
            callback.is_some_and(|callback| callback(&mut tid, callback_state))
        };
        match remove(id, index, dead) {
            Ok((removed, kept)) => {
                (*stats).tuples_removed += removed as f64;
                (*stats).num_index_tuples = kept as f64;
                (*stats).num_pages = 1;
            }
            Err(error) if error.is_engine_failure() => {
                generation::mark_stale(index, error).or_raise();
            }
            Err(error) => error.raise(),
        }
        stats
    }
}

/// Finds and removes; returns how many entries were removed and how many are left.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
unsafe fn remove(
    id: onyx_protocol::index::GenerationId,
    index: pg_sys::Relation,
    dead: impl Fn(HeapTid) -> bool,
) -> Result<(u64, u64), Error> {
    let mut gone = Vec::new();
    let mut kept = 0;
    client::stream(RequestBody::IndexTids { generation: id }, |item| {
        let Item::Tids(tids) = item else {
            return Err(Error::Protocol { detail: "Tuple ids were expected.".into() });
        };
        for tid in tids {
            if dead(tid) {
                gone.push(tid);
            } else {
                kept += 1;
            }
        }
        // SAFETY: called between two batches, holding nothing, as vacuum's loops do.
        unsafe { delay_point() };
        Ok(())
    })?;
    if gone.is_empty() {
        return Ok((0, kept));
    }
    steps::at("vacuum.listed");
    let vacuum_lsn = build::current_lsn();
    // SAFETY: a row whose DELETE was committed asynchronously is dead already; were its commit
    // record lost in a crash after its entry is gone for good, it would come back without one.
    unsafe { pg_sys::XLogFlush(vacuum_lsn) };
    steps::at("vacuum.flushed");
    for tids in gone.chunks(MAX_BATCH_ENTRIES) {
        let request = RequestBody::IndexDelete { generation: id, vacuum_lsn, tids: tids.to_vec() };
        match client::call(request)? {
            Response::Done => {}
            _ => return Err(Error::Protocol { detail: "A deletion was not confirmed.".into() }),
        }
        steps::at("vacuum.deleted");
    }
    // SAFETY: the caller's promise.
    unsafe {
        metapage::update(index, |page| {
            page.vacuum_lsn = vacuum_lsn;
            true
        })?;
    }
    steps::at("vacuum.noted");
    Ok((gone.len() as u64, kept))
}

/// Honours vacuum's cost delay and interrupts.
///
/// # Safety
/// Called where vacuum may sleep: no buffer locked.
unsafe fn delay_point() {
    #[cfg(feature = "pg18")]
    // SAFETY: the caller's promise.
    unsafe {
        pg_sys::vacuum_delay_point(false);
    }
    #[cfg(not(feature = "pg18"))]
    // SAFETY: the caller's promise.
    unsafe {
        pg_sys::vacuum_delay_point();
    }
}

/// Reports the index's size at the end of a vacuum.
#[pg_guard]
pub unsafe extern "C-unwind" fn amvacuumcleanup(
    info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: PostgreSQL hands valid pointers; `stats` is null when nothing was deleted, and a null
    // answer leaves the statistics as they are.
    unsafe {
        steps::at("vacuum.cleanup");
        if (*info).analyze_only || stats.is_null() {
            return stats;
        }
        (*stats).num_pages = 1;
        stats
    }
}
