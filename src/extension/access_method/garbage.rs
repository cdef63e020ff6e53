//! What leaves a generation behind asks for a sweep when its transaction ends: a drop when it commits,
//! a build either way, since it replaces a generation or is itself undone.
//!
//! Nothing is deleted here: after the commit record nothing may fail, and before it nothing is sure.

use std::cell::Cell;

use pgrx::prelude::*;

use crate::steps;
use crate::supervisor::shared;

thread_local! {
    static PREVIOUS: Cell<pg_sys::object_access_hook_type> = const { Cell::new(None) };
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hook.
pub fn init() {
    // SAFETY: runs once in the postmaster, before any backend exists.
    unsafe {
        PREVIOUS.set(pg_sys::object_access_hook);
        pg_sys::object_access_hook = Some(object_access);
    }
}

/// This transaction leaves a generation behind, however it ends.
pub fn expect() {
    EXPECTED.set(true);
}

/// Has maintenance look at this database if there is something to find.
pub fn at_end_of_transaction() {
    if EXPECTED.take() {
        steps::at("drop.ended");
        // SAFETY: set in every backend that runs transactions on indexes.
        shared::request_maintenance(unsafe { pg_sys::MyDatabaseId });
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    sub_id: std::ffi::c_int,
    argument: *mut std::ffi::c_void,
) {
    // SAFETY: arguments are passed on as they came; the catalog is looked at inside the transaction
    // that drops the object, before its row is gone.
    unsafe {
        if let Some(previous) = PREVIOUS.get() {
            pg_sys::submodules::ffi::pg_guard_ffi_boundary(|| {
                previous(access, class, object, sub_id, argument);
            });
        }
        if access == pg_sys::ObjectAccessType::OAT_DROP
            && class == pg_sys::RelationRelationId
            && sub_id == 0
            && is_ours(object)
        {
            expect();
            steps::at("drop.noticed");
        }
    }
}

/// Whether a relation is an index of this access method, by the catalog: one being dropped cannot be
/// opened without a lock.
///
/// # Safety
/// Called in a transaction.
unsafe fn is_ours(relation: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise; the row is released after its columns are copied.
    unsafe {
        let row = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::RELOID as i32,
            pg_sys::Datum::from(relation),
        );
        if row.is_null() {
            return false;
        }
        let class = pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_class>();
        let (kind, method) = ((*class).relkind as u8, (*class).relam);
        pg_sys::ReleaseSysCache(row);
        kind == pg_sys::RELKIND_INDEX && method == pg_sys::get_am_oid(c"onyx_hnsw".as_ptr(), true)
    }
}
