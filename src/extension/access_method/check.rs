//! `onyx.check_index`: does the generation have what the heap has, and nothing else?

use onyx_protocol::index::HeapTid;
use onyx_protocol::message::{Item, RequestBody};
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use super::{exact, generation, u64_to_tid};
use crate::client;
use crate::error::{Error, OrRaise};
use crate::xact;

/// Rows of an index's table that the caller's snapshot sees and its generation lacks, entries whose row's place is
/// empty, and entries that searches cannot come to. No rows: there is nothing wrong. An index that cannot answer at all gives one row without a tuple id.
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
        let found = require_ours(index).and_then(|()| compare(heap, index));
        pg_sys::index_close(index, lock);
        pg_sys::table_close(heap, lock);
        found
    }
}

/// Refuses an index that is not of this access method, or has no content.
///
/// # Safety
/// `index` is open.
pub unsafe fn require_ours(index: pg_sys::Relation) -> Result<(), Error> {
    let refuse = |message| Err(Error::sql(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message));
    // SAFETY: the caller's promise.
    unsafe {
        let name = generation::relation_name(index);
        if !is_ours(index) {
            return refuse(format!("\"{name}\" is not an onyx_hnsw index"));
        }
        if (*(*index).rd_rel).relkind as u8 != pg_sys::RELKIND_INDEX {
            let refused = refuse(format!("\"{name}\" is the index of a partitioned table"));
            return refused.map_err(|e| e.with_hint("Name the index of a partition."));
        }
    }
    Ok(())
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
        let entries = tids(RequestBody::IndexTids { generation: id })?;
        let visible = exact::nearest(
            heap,
            index,
            pg_sys::GetActiveSnapshot(),
            std::ptr::null_mut(),
            &exact::Part::all(&exact::Tids::default()),
        )
        .hits;
        let missing = visible.iter().map(|row| row.tid).filter(|tid| !entries.contains(tid));
        let mut surplus = without_row(heap, &entries);
        if !surplus.is_empty() {
            // A vacuum meanwhile removes the entry first and empties the place then.
            let now = tids(RequestBody::IndexTids { generation: id })?;
            surplus.retain(|tid| now.contains(tid));
        }
        let unreached = tids(RequestBody::IndexOutOfReach { generation: id })?;
        let row = |tid, problem: &str| (Some(u64_to_tid(tid)), problem.to_owned());
        Ok(missing
            .map(|tid| row(tid, "the row has no entry"))
            .chain(surplus.iter().map(|tid| row(*tid, "the entry has no row")))
            .chain(unreached.iter().map(|tid| row(*tid, "no search comes to the entry")))
            .collect())
    }
}

/// All heap tuples of an answer.
fn tids(request: RequestBody) -> Result<exact::Tids, Error> {
    let mut all = exact::Tids::default();
    client::stream(request, |item| {
        if let Item::Tids(tids) = item {
            all.extend(tids);
        }
        Ok(())
    })?;
    Ok(all)
}

/// Entries whose heap tuple id names no tuple, not even a dead one: vacuum takes a row's entry away
/// before it empties its place.
///
/// # Safety
/// `heap` is an open table.
unsafe fn without_row(heap: pg_sys::Relation, entries: &exact::Tids) -> Vec<HeapTid> {
    // SAFETY: the caller's promise.
    let (is_heap, blocks) = unsafe {
        (
            (*(*heap).rd_rel).relam == pg_sys::HEAP_TABLE_AM_OID,
            pg_sys::RelationGetNumberOfBlocksInFork(heap, pg_sys::ForkNumber::MAIN_FORKNUM),
        )
    };
    if !is_heap {
        return Vec::new();
    }
    let mut sorted: Vec<HeapTid> = entries.iter().copied().collect();
    sorted.sort_unstable();
    let mut found = Vec::new();
    for tids in sorted.chunk_by(|a, b| a >> 16 == b >> 16) {
        pgrx::check_for_interrupts!();
        let block = (tids[0] >> 16) as u32;
        if block >= blocks {
            found.extend_from_slice(tids);
            continue;
        }
        // SAFETY: the block exists and is pinned and share-locked while its line pointers are read;
        // nothing in between can raise.
        unsafe {
            let buffer = pg_sys::ReadBuffer(heap, block);
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let page = pg_sys::BufferGetPage(buffer).cast::<pg_sys::PageHeaderData>();
            let head = std::mem::offset_of!(pg_sys::PageHeaderData, pd_linp);
            let count = usize::from((*page).pd_lower).saturating_sub(head)
                / size_of::<pg_sys::ItemIdData>();
            let pointers = page.cast::<u8>().add(head).cast::<pg_sys::ItemIdData>();
            found.extend(tids.iter().copied().filter(|tid| {
                let offset = usize::from(*tid as u16);
                let is_there = (1..=count).contains(&offset)
                    && (*pointers.add(offset - 1)).lp_flags() != pg_sys::LP_UNUSED;
                !is_there
            }));
            pg_sys::UnlockReleaseBuffer(buffer);
        }
    }
    found
}
