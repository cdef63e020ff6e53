//! ORDER BY distance: batches of nearest entries from the engine, larger and larger until the
//! executor has enough or a limit is reached; exact from the heap when the engine cannot answer, or
//! when more are wanted than there is room for.

use std::cell::Cell;

use onyx_protocol::index::{EntryValue, GenerationId, Hit, QueryValue};
use onyx_protocol::message::{RequestBody, Response};
use pgrx::{PgMemoryContexts, prelude::*};

use super::metapage::Metapage;
use super::opclass::Kind;
use super::{build, exact, generation, u64_to_tid};
use crate::error::{Error, OrRaise};
use crate::guc::IterativeScan;
use crate::{client, guc, xact};

/// Most hits asked for at once.
const MAX_K: u32 = 1_000_000;

/// Memory a hit takes, and that it has been returned.
const HIT_BYTES: f64 = 32.0;

/// How many times as many are asked for each time a scan goes on: each search begins anew.
const GROWTH: u32 = 4;

/// The same from this many on: by then the engine has mostly ranked all entries, and goes on.
const GROWTH_LATER: u32 = 2;
const LATER: u32 = 640;

/// Candidates for each entry that a scan which goes on asks for. The farthest of a graph's candidates are those
/// it knows least of, and where order is kept, what is missed is not made up for.
const CANDIDATES: u32 = 4;

/// Hits asked for first: mostly enough for a LIMIT, and fewer to measure and send than there are candidates, which
/// the engine keeps for a scan that goes on.
const FIRST_K: u32 = 16;

thread_local! {
    /// Hits that scans begun now are expected to read.
    static EXPECTED: Cell<u32> = const { Cell::new(0) };
}

/// Runs queries of which each ordered scan is expected to read about so many hits: they are asked for at
/// once, where otherwise ever more would be, from the beginning each time.
pub fn expecting<T>(hits: u32, run: impl FnOnce() -> T) -> T {
    struct Reset(u32);
    impl Drop for Reset {
        fn drop(&mut self) {
            EXPECTED.set(self.0);
        }
    }
    let _reset = Reset(EXPECTED.replace(hits));
    run()
}

/// Where a scan is.
enum Source {
    /// Nothing was asked yet.
    Start,
    /// The engine gave the nearest `k`; whether these were all.
    Engine { generation: GenerationId, k: u32, complete: bool },
    /// What comes next is in `hits`; whether there is more behind it, and how much of that may be read.
    Exact { more: bool, left: usize },
}

/// The settings a scan runs under.
#[derive(Clone, Copy)]
struct Limits {
    ef: u32,
    mode: IterativeScan,
    /// Tuples after which it does not go on.
    tuples: usize,
    /// Hits there is room for.
    room: usize,
}

impl Limits {
    fn now() -> Self {
        // SAFETY: reads a setting.
        let work_mem = f64::from(unsafe { pg_sys::work_mem }) * 1024.0;
        Self {
            ef: guc::EF_SEARCH.get() as u32,
            mode: guc::ITERATIVE_SCAN.get(),
            tuples: usize::try_from(guc::MAX_SCAN_TUPLES.get()).unwrap_or(usize::MAX),
            room: (work_mem * guc::SCAN_MEM_MULTIPLIER.get() / HIT_BYTES) as usize,
        }
    }

    /// How many hits come after `k`: first the other candidates, then ever more. `None`: no more than
    /// these are to be asked for.
    fn after(&self, k: u32, kind: Kind) -> Option<u32> {
        if k < self.ef {
            return Some(self.ef);
        }
        // Without the engine each distance between texts is a request: these need not fit.
        let most = if kind == Kind::Text { MAX_K } else { MAX_K.min(self.room as u32) };
        let growth = if k < LATER { GROWTH } else { GROWTH_LATER };
        let next = k.saturating_mul(growth).min(most).min(self.tuples.try_into().unwrap_or(most));
        (next > k).then_some(next)
    }
}

struct Scan {
    kind: Kind,
    limits: Limits,
    source: Source,
    query: Option<QueryValue>,
    hits: Vec<Hit>,
    next: usize,
    /// Tuples the engine gave that have been returned.
    returned: exact::Tids,
    last: f64,
}

impl Scan {
    fn reset(&mut self) {
        self.limits = Limits::now();
        self.source = Source::Start;
        self.query = None;
        self.hits.clear();
        self.next = 0;
        self.returned.clear();
        self.last = f64::NEG_INFINITY;
    }

    /// The least distance of what may still be returned.
    fn least(&self) -> f64 {
        match self.limits.mode {
            IterativeScan::RelaxedOrder => f64::NEG_INFINITY,
            IterativeScan::Off | IterativeScan::StrictOrder => self.last,
        }
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
            limits: Limits::now(),
            source: Source::Start,
            query: None,
            hits: Vec::new(),
            next: 0,
            returned: exact::Tids::default(),
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
                if matches!(state.source, Source::Engine { .. }) {
                    state.returned.insert(hit.tid);
                }
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
        state.returned = exact::Tids::default();
    }
}

/// Fills `hits` with what comes next. False at the end.
///
/// # Safety
/// As of [`amgettuple`].
unsafe fn more(scan: pg_sys::IndexScanDesc, state: &mut Scan) -> Result<bool, Error> {
    let limits = state.limits;
    let (generation, k) = match state.source {
        // SAFETY: the caller's promise.
        Source::Start => match unsafe { start(scan, state) }? {
            Some(generation) => {
                let expected = EXPECTED.get().min(limits.tuples.try_into().unwrap_or(MAX_K));
                (generation, FIRST_K.min(limits.ef).max(expected))
            }
            // SAFETY: the caller's promise.
            None => return unsafe { go_exact(scan, state, None) },
        },
        Source::Engine { complete: true, .. } | Source::Exact { more: false, .. } => {
            return Ok(false);
        }
        // SAFETY: the caller's promise.
        Source::Exact { more: true, .. } => return unsafe { go_exact(scan, state, None) },
        Source::Engine { k, .. }
            if k >= limits.ef
                && (limits.mode == IterativeScan::Off || k as usize >= limits.tuples) =>
        {
            return Ok(false);
        }
        Source::Engine { generation, k, .. } => match limits.after(k, state.kind) {
            Some(next) => (generation, next),
            // SAFETY: the caller's promise.
            None => return unsafe { go_exact(scan, state, None) },
        },
    };
    let Some(query) = state.query.clone() else { return Ok(false) };
    let least = limits.ef;
    // A scan that goes on needs the farther ones too, which a search for just as many mostly misses.
    let ef = if k <= least { least } else { k.saturating_mul(CANDIDATES) };
    let after = match state.source {
        Source::Engine { k, .. } => k,
        Source::Start | Source::Exact { .. } => 0,
    };
    match client::call(RequestBody::IndexSearch { generation, query, k, ef, after }) {
        // The engine was started again meanwhile, maybe on another store.
        Ok(Response::Hits { .. }) if has_another_engine() => {
            // SAFETY: the caller's promise.
            match unsafe { usable((*scan).indexRelation) } {
                Ok(_) => Ok(true),
                // SAFETY: the caller's promise.
                Err(_) => unsafe { go_exact(scan, state, None) },
            }
        }
        Ok(Response::Hits { hits, complete }) => {
            state.source = Source::Engine { generation, k, complete };
            state.next = 0;
            // An entry nearer than what was returned already was missed by the approximate search: where
            // order is kept it stays missed.
            let least = state.least();
            state.hits = hits;
            state.hits.retain(|h| h.distance >= least && !state.returned.contains(&h.tid));
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

/// Counts a scan for `pg_stat_user_indexes` and EXPLAIN, as `pgstat_count_index_scan` does.
///
/// # Safety
/// As of [`amgettuple`].
unsafe fn count(scan: pg_sys::IndexScanDesc) {
    // SAFETY: the caller's promise; a relation whose statistics are wanted has them once associated.
    unsafe {
        let index = (*scan).indexRelation;
        if (*index).pgstat_info.is_null() && (*index).pgstat_enabled {
            pg_sys::pgstat_assoc_relation(index);
        }
        if let Some(info) = (*index).pgstat_info.as_mut() {
            info.counts.numscans += 1;
        }
        #[cfg(feature = "pg18")]
        if let Some(instrument) = (*scan).instrument.as_mut() {
            instrument.nsearches += 1;
        }
    }
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
        count(scan);
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
    let failed = why.is_some();
    if let (Kind::Text, Some(error)) = (state.kind, why) {
        // Without the engine there is no distance between texts.
        return Err(error);
    }
    // The order of the pass before goes on; behind the engine's hits that of distances, where it is kept.
    let after = match state.source {
        Source::Exact { .. } => state.hits.last().copied(),
        _ if state.query.is_none() => None,
        _ => Some(Hit { tid: 0, distance: state.least() }),
    };
    let left = match state.source {
        Source::Exact { left, .. } => left,
        Source::Engine { k, .. } if !failed => state.limits.tuples.saturating_sub(k as usize),
        Source::Engine { .. } | Source::Start => usize::MAX,
    };
    let part = exact::Part { skip: &state.returned, after, room: state.limits.room.min(left) };
    // SAFETY: the caller's promise.
    let found = unsafe {
        let key = (*scan).orderByData;
        let order = if state.query.is_some() { key } else { std::ptr::null_mut() };
        let (heap, index) = ((*scan).heapRelation, (*scan).indexRelation);
        exact::nearest(heap, index, (*scan).xs_snapshot, order, &part)
    };
    (state.hits, state.next) = (found.hits, 0);
    let left = left.saturating_sub(state.hits.len());
    state.source = Source::Exact { more: found.cut && left > 0, left };
    Ok(!state.hits.is_empty())
}
