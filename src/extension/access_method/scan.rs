//! ORDER BY distance: batches of nearest entries from the engine, larger and larger until the
//! executor has enough; exact from the heap when the engine cannot answer.

use std::cell::Cell;
use std::collections::HashSet;

use onyx_protocol::index::{EntryValue, GenerationId, Hit, QueryValue};
use onyx_protocol::message::{RequestBody, Response};
use pgrx::{PgMemoryContexts, prelude::*};

use super::metapage::Metapage;
use super::opclass::Kind;
use super::{build, exact, generation, u64_to_tid};
use crate::error::{Error, OrRaise};
use crate::{client, guc, xact};

/// Most hits asked for at once; a scan that needs more goes on exactly from the heap.
const MAX_K: u32 = 1_000_000;

/// How many times as many are asked for each time a scan goes on: each search begins anew.
const GROWTH: u32 = 4;

/// Hits asked for first: mostly enough for a LIMIT, and fewer to send than there are candidates.
const FIRST_K: u32 = 64;

/// Where a scan is.
enum Source {
    /// Nothing was asked yet.
    Start,
    /// The engine gave the nearest `k`; whether these were all.
    Engine { generation: GenerationId, k: u32, complete: bool },
    /// Everything that is left is in `hits`.
    Exact,
}

struct Scan {
    kind: Kind,
    source: Source,
    query: Option<QueryValue>,
    hits: Vec<Hit>,
    next: usize,
    returned: HashSet<u64>,
    last: f64,
}

impl Scan {
    fn reset(&mut self) {
        self.source = Source::Start;
        self.query = None;
        self.hits.clear();
        self.next = 0;
        self.returned.clear();
        self.last = f64::NEG_INFINITY;
    }
}

/// Begins a scan.
#[pg_guard]
pub unsafe extern "C-unwind" fn ambeginscan(
    index: pg_sys::Relation,
    keys: i32,
    orders: i32,
) -> pg_sys::IndexScanDesc {
    // SAFETY: PostgreSQL hands an open index. The state is dropped with the current memory context,
    // so an error that ends the scan early leaks nothing.
    unsafe {
        let scan = pg_sys::RelationGetIndexScan(index, keys, orders);
        let state = Scan {
            kind: Kind::of(index).or_raise(),
            source: Source::Start,
            query: None,
            hits: Vec::new(),
            next: 0,
            returned: HashSet::new(),
            last: f64::NEG_INFINITY,
        };
        (*scan).opaque =
            PgMemoryContexts::CurrentMemoryContext.leak_and_drop_on_delete(state).cast();
        scan
    }
}

/// Restarts a scan with new keys.
#[pg_guard]
pub unsafe extern "C-unwind" fn amrescan(
    scan: pg_sys::IndexScanDesc,
    _keys: pg_sys::ScanKey,
    _key_count: i32,
    orders: pg_sys::ScanKey,
    _order_count: i32,
) {
    // SAFETY: `scan` comes from `ambeginscan`, with room for numberOfOrderBys keys.
    unsafe {
        (*(*scan).opaque.cast::<Scan>()).reset();
        if !orders.is_null() && (*scan).numberOfOrderBys > 0 {
            std::ptr::copy(orders, (*scan).orderByData, (*scan).numberOfOrderBys as usize);
        }
    }
}

/// The next tuple by distance.
#[pg_guard]
pub unsafe extern "C-unwind" fn amgettuple(
    scan: pg_sys::IndexScanDesc,
    _direction: pg_sys::ScanDirection::Type,
) -> bool {
    // SAFETY: `scan` comes from `ambeginscan`; the executor has set its heap relation and snapshot.
    unsafe {
        let state = &mut *(*scan).opaque.cast::<Scan>();
        loop {
            if let Some(hit) = state.hits.get(state.next).copied() {
                state.next += 1;
                state.last = hit.distance;
                state.returned.insert(hit.tid);
                (*scan).xs_heaptid = u64_to_tid(hit.tid);
                (*scan).xs_recheck = false;
                (*scan).xs_recheckorderby = false;
                return true;
            }
            if !more(scan, state).or_raise() {
                return false;
            }
        }
    }
}

/// Ends a scan; its state goes with its memory context.
#[pg_guard]
pub unsafe extern "C-unwind" fn amendscan(scan: pg_sys::IndexScanDesc) {
    // SAFETY: `scan` comes from `ambeginscan`; giving the buffers back early is all there is to do.
    unsafe {
        let state = &mut *(*scan).opaque.cast::<Scan>();
        state.hits = Vec::new();
        state.returned = HashSet::new();
    }
}

/// Fills `hits` with what comes next. False at the end.
///
/// # Safety
/// As of [`amgettuple`].
unsafe fn more(scan: pg_sys::IndexScanDesc, state: &mut Scan) -> Result<bool, Error> {
    let (generation, k) = match state.source {
        // SAFETY: the caller's promise.
        Source::Start => match unsafe { start(scan, state) }? {
            Some(generation) => (generation, FIRST_K.min(guc::EF_SEARCH.get() as u32)),
            // SAFETY: the caller's promise.
            None => return unsafe { go_exact(scan, state, None) },
        },
        Source::Engine { complete: true, .. } | Source::Exact => return Ok(false),
        // The same candidates again, then ever more of them.
        Source::Engine { generation, k, .. } if k < guc::EF_SEARCH.get() as u32 => {
            (generation, guc::EF_SEARCH.get() as u32)
        }
        Source::Engine { generation, k, .. } if k < MAX_K => (generation, (k * GROWTH).min(MAX_K)),
        // SAFETY: the caller's promise.
        Source::Engine { .. } => return unsafe { go_exact(scan, state, None) },
    };
    let Some(query) = state.query.clone() else { return Ok(false) };
    let least = guc::EF_SEARCH.get() as u32;
    // A scan that goes on needs the farther ones too, which a search for just as many mostly misses.
    let ef = if k <= least.max(FIRST_K) { least.max(k) } else { k * 2 };
    match client::call(RequestBody::IndexSearch { generation, query, k, ef }) {
        // The engine was started again meanwhile, maybe on another store.
        Ok(Response::Hits(_)) if has_another_engine() => {
            // SAFETY: the caller's promise.
            match unsafe { usable((*scan).indexRelation) } {
                Ok(_) => Ok(true),
                // SAFETY: the caller's promise.
                Err(_) => unsafe { go_exact(scan, state, None) },
            }
        }
        Ok(Response::Hits(hits)) => {
            state.source = Source::Engine { generation, k, complete: hits.len() < k as usize };
            state.next = 0;
            // Order is kept: an entry nearer than what was returned already was missed by the
            // approximate search, and stays missed.
            state.hits = hits;
            state.hits.retain(|h| h.distance >= state.last && !state.returned.contains(&h.tid));
            Ok(true)
        }
        Ok(_) => Err(Error::Protocol { detail: "A search was not answered with hits.".into() }),
        Err(error) if error.is_engine_failure() => {
            // SAFETY: the caller's promise.
            unsafe { go_exact(scan, state, Some(error)) }
        }
        Err(error) => Err(error),
    }
}

thread_local! {
    /// The generation last found usable: by which connection, and since which vacuum.
    static FOUND_USABLE: Cell<Option<(u64, GenerationId, u64)>> = const { Cell::new(None) };
}

/// The generation if it can answer. The engine is asked once for each connection and vacuum: what
/// changes after that, it says itself when it is asked to search.
///
/// # Safety
/// As of [`generation::usable`].
unsafe fn usable(
    index: pg_sys::Relation,
) -> Result<(GenerationId, Metapage), generation::Unusable> {
    // SAFETY: the caller's promise.
    unsafe {
        let (id, page) = generation::identity(index)?;
        if FOUND_USABLE.get() == Some((client::opened(), id, page.vacuum_lsn)) {
            return Ok((id, page));
        }
        let (id, page) = generation::usable(index)?;
        FOUND_USABLE.set(Some((client::opened(), id, page.vacuum_lsn)));
        Ok((id, page))
    }
}

/// Whether the engine that has just answered is another one than was found usable.
fn has_another_engine() -> bool {
    FOUND_USABLE.get().is_none_or(|(opened, _, _)| opened != client::opened())
}

/// Reads the query and finds the generation; `None` when the answer has to come from the heap.
///
/// # Safety
/// As of [`amgettuple`].
unsafe fn start(
    scan: pg_sys::IndexScanDesc,
    state: &mut Scan,
) -> Result<Option<GenerationId>, Error> {
    // SAFETY: the caller's promise; there is one ordering key when there is any.
    unsafe {
        if (*scan).numberOfOrderBys == 0 {
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                "cannot scan onyx_hnsw index without order",
            ));
        }
        let snapshot_type = (*(*scan).xs_snapshot).snapshot_type;
        if snapshot_type != pg_sys::SnapshotType::SNAPSHOT_MVCC
            && snapshot_type != pg_sys::SnapshotType::SNAPSHOT_HISTORIC_MVCC
        {
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                "non-MVCC snapshots are not supported with onyx_hnsw",
            ));
        }
        let key = &*(*scan).orderByData;
        let is_null = key.sk_flags & pg_sys::SK_ISNULL as i32 != 0;
        state.query = match build::entry_value(state.kind, key.sk_argument, is_null)? {
            Some(EntryValue::Vector(v)) => Some(QueryValue::Vector(v)),
            Some(EntryValue::Text(t)) => Some(QueryValue::Text(t)),
            // Every distance is NULL or NaN: any order is right.
            None => return Ok(None),
        };
        match usable((*scan).indexRelation) {
            Ok((id, page)) => {
                if let Some(QueryValue::Vector(v)) = &state.query
                    && v.len() != page.dimensions as usize
                {
                    return Err(Error::sql(
                        PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
                        format!("different vector dimensions {} and {}", page.dimensions, v.len()),
                    ));
                }
                // The transaction's own rows have to be found too.
                xact::flush(id);
                // Which may just have failed, and the index be stale.
                Ok(generation::identity((*scan).indexRelation).ok().map(|(id, _)| id))
            }
            Err(_) => Ok(None),
        }
    }
}

/// Answers the rest of the scan from the heap.
///
/// # Safety
/// As of [`amgettuple`].
unsafe fn go_exact(
    scan: pg_sys::IndexScanDesc,
    state: &mut Scan,
    why: Option<Error>,
) -> Result<bool, Error> {
    if let (Kind::Text, Some(error)) = (state.kind, why) {
        // Without the engine there is no distance between texts.
        return Err(error);
    }
    // SAFETY: the caller's promise.
    unsafe {
        let key = (*scan).orderByData;
        let order = if state.query.is_some() { key } else { std::ptr::null_mut() };
        state.hits = exact::nearest(
            (*scan).heapRelation,
            (*scan).indexRelation,
            (*scan).xs_snapshot,
            order,
            &state.returned,
        );
    }
    state.hits.retain(|h| h.distance >= state.last || state.query.is_none());
    state.next = 0;
    state.source = Source::Exact;
    Ok(!state.hits.is_empty())
}
