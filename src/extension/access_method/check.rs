//! `onyx.check_index`: does the generation have what the heap has?

use std::collections::HashSet;

use onyx_protocol::message::{Item, RequestBody};
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use super::{exact, generation, u64_to_tid};
use crate::client;
use crate::error::{Error, OrRaise};
use crate::xact;

/// Rows of an index's table that the caller's snapshot sees and its generation lacks. No rows: the
/// generation is complete. An index that cannot answer at all gives one row without a tuple id.
#[pg_extern(sql = false)]
fn check_index(
    index: pg_sys::Oid,
) -> TableIterator<'static, (name!(tid, Option<pg_sys::ItemPointerData>), name!(problem, String))> {
    TableIterator::new(check(index).or_raise())
}

fn check(oid: pg_sys::Oid) -> Result<Vec<(Option<pg_sys::ItemPointerData>, String)>, Error> {
    let lock = pg_sys::AccessShareLock as i32;
    // SAFETY: heap before index, as everywhere; index_open raises on what is no index, and the
    // access method is compared before anything is read as ours.
    unsafe {
        let heap_oid = pg_sys::IndexGetRelation(oid, false);
        let heap = pg_sys::table_open(heap_oid, lock);
        let index = pg_sys::index_open(oid, lock);
        let found = if is_ours(index) {
            compare(heap, index)
        } else {
            let name = generation::relation_name(index);
            Err(Error::sql(
                PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
                format!("\"{name}\" is not an onyx_hnsw index"),
            ))
        };
        pg_sys::index_close(index, lock);
        pg_sys::table_close(heap, lock);
        found
    }
}

/// Whether an open index is of this access method.
///
/// # Safety
/// `index` is open.
pub unsafe fn is_ours(index: pg_sys::Relation) -> bool {
    // SAFETY: the caller's promise; an index's access method routine is always loaded.
    unsafe {
        (*(*index).rd_indam)
            .amcostestimate
            .is_some_and(|f| std::ptr::eq(f as *const (), super::cost::amcostestimate as *const ()))
    }
}

/// # Safety
/// The relations are open and belong together.
unsafe fn compare(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
) -> Result<Vec<(Option<pg_sys::ItemPointerData>, String)>, Error> {
    // SAFETY: the caller's promise; a function runs under an active MVCC snapshot.
    unsafe {
        let id = match generation::identity(index) {
            Ok((id, _)) => id,
            Err(unusable) => {
                return Ok(vec![(None, format!("{}: {}", unusable.state, unusable.reason))]);
            }
        };
        xact::flush(id);
        let mut entries = HashSet::new();
        client::stream(RequestBody::IndexTids { generation: id }, |item| {
            if let Item::Tids(tids) = item {
                entries.extend(tids);
            }
            Ok(())
        })?;
        let visible = exact::nearest(
            heap,
            index,
            pg_sys::GetActiveSnapshot(),
            std::ptr::null_mut(),
            &HashSet::new(),
        );
        Ok(visible
            .into_iter()
            .filter(|row| !entries.contains(&row.tid))
            .map(|row| (Some(u64_to_tid(row.tid)), "the row has no entry".to_string()))
            .collect())
    }
}
