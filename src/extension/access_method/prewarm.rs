//! `onyx.prewarm`: an index's generation into the engine's memory, before the first query needs it.

use onyx_protocol::message::{RequestBody, Response};
use pgrx::prelude::*;

use super::{check, generation};
use crate::client;
use crate::error::{Error, OrRaise};

/// Waits until the engine has loaded an index, with its full vectors as far as `onyx.memory_limit` allows;
/// returns the bytes of memory it takes then.
#[pg_extern(sql = false)]
fn prewarm(index: pg_sys::Oid) -> i64 {
    load(index).or_raise() as i64
}

fn load(oid: pg_sys::Oid) -> Result<u64, Error> {
    let lock = pg_sys::AccessShareLock as i32;
    // SAFETY: heap before index, as everywhere; index_open raises on what is no index, and the access
    // method is compared before anything is read as ours.
    let id = unsafe {
        let heap_oid = pg_sys::IndexGetRelation(oid, false);
        let heap = pg_sys::table_open(heap_oid, lock);
        let index = pg_sys::index_open(oid, lock);
        let id = check::require_ours(index)
            .and_then(|()| may_read(heap_oid))
            .and_then(|()| identity(index));
        pg_sys::index_close(index, lock);
        pg_sys::table_close(heap, lock);
        id
    }?;
    match client::call_patiently(RequestBody::IndexPrewarm { generation: id })? {
        Response::Prewarmed { bytes } => Ok(bytes),
        _ => Err(Error::Protocol { detail: "An index was not loaded as asked.".into() }),
    }
}

fn may_read(table: pg_sys::Oid) -> Result<(), Error> {
    // SAFETY: looks into the catalog, in a transaction.
    let may =
        unsafe { pg_sys::pg_class_aclcheck(table, pg_sys::GetUserId(), pg_sys::ACL_SELECT.into()) };
    if may == pg_sys::AclResult::ACLCHECK_OK {
        return Ok(());
    }
    Err(Error::sql(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        "permission denied to load an index of a table that may not be read",
    ))
}

/// # Safety
/// `index` is an open index of `onyx_hnsw`.
unsafe fn identity(index: pg_sys::Relation) -> Result<onyx_protocol::index::GenerationId, Error> {
    // SAFETY: the caller's promise.
    let (identity, name) =
        unsafe { (generation::identity(index), generation::relation_name(index)) };
    identity.map(|(id, _)| id).map_err(|unusable| {
        Error::sql(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("index \"{name}\" cannot be loaded: {}, {}", unusable.state, unusable.reason),
        )
    })
}
