//! The planner hook that hides an index which cannot answer: queries then find their exact answer
//! by other means.

use std::cell::Cell;

use pgrx::prelude::*;

use super::{cost, generation};
use crate::guc;

thread_local! {
    static PREVIOUS: Cell<pg_sys::get_relation_info_hook_type> = const { Cell::new(None) };
}

/// Installs the hook.
pub fn init() {
    // SAFETY: runs once in the postmaster, before any backend exists.
    unsafe {
        PREVIOUS.set(pg_sys::get_relation_info_hook);
        pg_sys::get_relation_info_hook = Some(relation_info);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn relation_info(
    root: *mut pg_sys::PlannerInfo,
    relation: pg_sys::Oid,
    inherited: bool,
    info: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: the planner hands valid pointers; indexes in the list are locked by it, so they can be
    // opened without a lock of our own.
    unsafe {
        if let Some(previous) = PREVIOUS.get() {
            pg_sys::submodules::ffi::pg_guard_ffi_boundary(|| {
                previous(root, relation, inherited, info);
            });
        }
        if inherited {
            return;
        }
        let ours = indexes(info);
        if ours.is_empty() {
            return;
        }
        // Only an ordering can use one: do not ask the engine for nothing.
        let ordered = !(*(*root).parse).sortClause.is_null();
        for index in ours {
            if !(ordered && can_answer((*index).indexoid)) {
                (*info).indexlist = pg_sys::list_delete_ptr((*info).indexlist, index.cast());
            }
        }
    }
}

/// The relation's indexes of this access method.
///
/// # Safety
/// `info` is a valid RelOptInfo.
unsafe fn indexes(info: *mut pg_sys::RelOptInfo) -> Vec<*mut pg_sys::IndexOptInfo> {
    let ours = cost::amcostestimate as *const ();
    // SAFETY: the caller's promise; the list holds IndexOptInfo pointers. Its estimator is declared
    // as a function without arguments, so only addresses are compared.
    unsafe {
        pgrx::PgList::<pg_sys::IndexOptInfo>::from_pg((*info).indexlist)
            .iter_ptr()
            .filter(|index| {
                (**index).amcostestimate.is_some_and(|f| std::ptr::eq(f as *const (), ours))
            })
            .collect()
    }
}

/// Whether an index can answer now.
///
/// # Safety
/// The index is locked by the planner.
unsafe fn can_answer(index: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let relation = pg_sys::index_open(index, pg_sys::NoLock as i32);
        let usable = generation::usable(relation);
        pg_sys::index_close(relation, pg_sys::NoLock as i32);
        // Distances between texts depend on the model: an index of another one has other distances.
        usable.is_ok_and(|(_, page)| {
            page.model.is_empty() || guc::non_empty(&guc::MODEL).as_ref() == Some(&page.model)
        })
    }
}
