//! CREATE INDEX, REINDEX and everything that rebuilds: heap to a new generation.

use std::cell::Cell;

use onyx_protocol::index::{Entry, EntryValue, GenerationId, Metric};
use onyx_protocol::message::{Item, RequestBody, Response};
use pgrx::prelude::*;

use super::opclass::Kind;
use super::{generation, metapage, options, tid_to_u64};
use crate::error::{Error, OrRaise};
use crate::supervisor::shared;
use crate::vector::Vector;
use crate::{client, guc, steps};

/// Entries sent at once: one round trip, well below a frame's limit for any dimension.
const BATCH_ENTRIES: usize = 2_000;
/// The same in bytes, for long vectors and texts.
const BATCH_BYTES: usize = 4 << 20;

// pg_stat_progress_create_index, from commands/progress.h.
const PROGRESS_TUPLES_TOTAL: i32 = 11;
const PROGRESS_TUPLES_DONE: i32 = 12;

/// An index column's value as an entry's, or `None` when it is not indexed: NULL always, and the
/// zero vector under the cosine, which has no direction.
///
/// # Safety
/// `datum` is of the type `kind` indexes.
pub unsafe fn entry_value(
    kind: Kind,
    datum: pg_sys::Datum,
    is_null: bool,
) -> Result<Option<EntryValue>, Error> {
    if is_null {
        return Ok(None);
    }
    Ok(match kind {
        Kind::Vector(metric) | Kind::Half(metric) => {
            // SAFETY: the caller's promise.
            let vector = unsafe {
                match kind {
                    Kind::Half(_) => Vector::from_half_datum(datum),
                    _ => Vector::from_datum(datum),
                }
            }?
            .0;
            let zero = metric == Metric::Cosine && vector.iter().all(|x| *x == 0.0);
            (!zero).then_some(EntryValue::Vector(vector))
        }
        Kind::Text => {
            // SAFETY: the caller's promise.
            let text = unsafe { String::from_datum(datum, false) };
            text.map(EntryValue::Text)
        }
    })
}

/// Bytes an entry takes on the wire, roughly.
pub fn entry_bytes(value: &EntryValue) -> usize {
    match value {
        EntryValue::Vector(v) => v.len() * 4 + 16,
        EntryValue::Text(t) => t.len() + 16,
    }
}

thread_local! {
    /// Dimensions of the index that maintenance rebuilds, for a column that has none any more; 0 without.
    pub static REBUILT_DIMENSIONS: Cell<u32> = const { Cell::new(0) };
}

/// Dimensions of an index's column, from its type modifier; 0 for text.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
unsafe fn column_dimensions(index: pg_sys::Relation, kind: Kind) -> Result<u32, Error> {
    if kind == Kind::Text {
        return Ok(0);
    }
    // SAFETY: the caller's promise; an index has at least one attribute.
    let modifier = unsafe {
        let descriptor = (*index).rd_att;
        #[cfg(feature = "pg18")]
        let attribute = pg_sys::TupleDescAttr(descriptor, 0);
        #[cfg(not(feature = "pg18"))]
        let attribute = (*descriptor).attrs.as_ptr();
        (*attribute).atttypmod
    };
    let limit = onyx_protocol::limits::MAX_DIMENSIONS as i32;
    match modifier {
        n if n > limit => Err(Error::sql(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("column cannot have more than {limit} dimensions for onyx_hnsw index"),
        )),
        n if n > 0 => Ok(n as u32),
        _ if REBUILT_DIMENSIONS.get() > 0 => Ok(REBUILT_DIMENSIONS.get()),
        _ => Err(Error::sql(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "column does not have dimensions",
        )
        .with_hint("Declare it with a number of dimensions, as in vector(n), or index the expression cast to such a type.")),
    }
}

struct Build {
    kind: Kind,
    generation: GenerationId,
    batch: Vec<Entry>,
    batch_bytes: usize,
    entries: u64,
    error: Option<Error>,
}

impl Build {
    fn send(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.entries += entries.len() as u64;
        client::call(RequestBody::IndexInsert {
            generation: self.generation,
            stamp: current_lsn(),
            durable: false,
            entries,
        })?;
        steps::at("build.batch");
        Ok(())
    }

    fn add(&mut self, tid: u64, value: EntryValue) -> Result<(), Error> {
        self.batch_bytes += entry_bytes(&value);
        self.batch.push(Entry { tid, value });
        if self.batch.len() >= BATCH_ENTRIES || self.batch_bytes >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }
}

/// The end of the last WAL record that anybody has begun to insert.
pub fn current_lsn() -> u64 {
    // SAFETY: reads shared memory, and a variable set at the server's start.
    let (next, segment) =
        unsafe { (pg_sys::GetXLogInsertRecPtr(), pg_sys::wal_segment_size as u64) };
    end_before(next, segment)
}

/// Where the record before `next`, the place of the next one, ends. They differ at the end of a page, behind which the
/// header of the next one lies: nothing of that page is written yet, and to wait for it is an error.
fn end_before(next: u64, segment: u64) -> u64 {
    let page = u64::from(pg_sys::XLOG_BLCKSZ);
    let header = match next % segment < page {
        true => size_of::<pg_sys::XLogLongPageHeaderData>(),
        false => size_of::<pg_sys::XLogPageHeaderData>(),
    };
    let header = header.next_multiple_of(pg_sys::MAXIMUM_ALIGNOF as usize) as u64;
    if next % page == header { next - header } else { next }
}

#[pg_guard]
unsafe extern "C-unwind" fn build_callback(
    _index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    _alive: bool,
    state: *mut std::ffi::c_void,
) {
    // SAFETY: the scan gives a valid tuple id and one value for the one column; state is the
    // `Build` its caller passed in.
    let (build, value, tid) = unsafe {
        let build = &mut *state.cast::<Build>();
        if build.error.is_some() {
            return;
        }
        let value = entry_value(build.kind, *values, *is_null);
        (build, value, tid_to_u64(*tid))
    };
    let added = match value {
        Ok(Some(value)) => build.add(tid, value),
        Ok(None) => Ok(()),
        Err(e) => Err(e),
    };
    // Kept rather than raised: whether the engine's failure fails the command is decided above.
    build.error = added.err();
}

/// Builds the generation. Returns the number of heap tuples and of entries.
///
/// # Safety
/// As of [`ambuild`].
unsafe fn build_generation(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    kind: Kind,
    dimensions: u32,
) -> Result<(f64, u64, metapage::Metapage), Error> {
    // SAFETY: the caller's promise.
    unsafe {
        let options = options::of(index).validate()?;
        steps::at("build.begun");
        let (header, page) = generation::create(index, kind, options, dimensions)?;
        steps::at("build.created");
        let mut build = Build {
            kind,
            generation: header.id,
            batch: Vec::new(),
            batch_bytes: 0,
            entries: 0,
            error: None,
        };
        let tuples = pg_sys::table_index_build_scan(
            heap,
            index,
            info,
            true,
            true,
            Some(build_callback),
            (&raw mut build).cast(),
            std::ptr::null_mut(),
        );
        if let Some(error) = build.error.take() {
            return Err(error);
        }
        build.send()?;
        steps::at("build.sent");
        let answer = client::stream(RequestBody::IndexFinish { generation: header.id }, |item| {
            if let Item::Progress { done, total } = item {
                pg_sys::pgstat_progress_update_param(PROGRESS_TUPLES_TOTAL, total as i64);
                pg_sys::pgstat_progress_update_param(PROGRESS_TUPLES_DONE, done as i64);
            }
            Ok(())
        })?;
        steps::at("build.finished");
        match answer {
            Response::Done => Ok((tuples, build.entries, page)),
            _ => Err(Error::Protocol { detail: "An index build did not end as one.".into() }),
        }
    }
}

/// Builds an index. When the engine cannot, the index is created stale and rebuilt later by itself,
/// so that a restore, a TRUNCATE or an ALTER TABLE goes on.
#[pg_guard]
pub unsafe extern "C-unwind" fn ambuild(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: PostgreSQL hands open, suitably locked relations and a valid IndexInfo.
    unsafe {
        let kind = Kind::of(index).or_raise();
        let dimensions = column_dimensions(index, kind).or_raise();
        options::of(index).validate().or_raise();
        if pg_sys::IsBinaryUpgrade {
            // pg_upgrade makes the index of an empty table and puts the old server's pages in its place; their
            // generation is not in the new server's store, so it is rebuilt after the upgrade.
            let page = generation::stale_page(index, dimensions);
            metapage::create(index, pg_sys::ForkNumber::MAIN_FORKNUM, &page);
            return PgBox::<pg_sys::IndexBuildResult>::alloc0().into_pg();
        }
        let (tuples, entries, page) = match build_generation(heap, index, info, kind, dimensions) {
            Ok(built) => built,
            Err(error)
                if error.is_engine_failure()
                    && guc::ON_ENGINE_FAILURE.get() == guc::OnEngineFailure::Degrade =>
            {
                shared::request_maintenance(pg_sys::MyDatabaseId);
                pgrx::warning!(
                    "index \"{}\" is not built now: {error}; queries go without it until it has been rebuilt in the background",
                    generation::relation_name(index)
                );
                let known = f64::from((*(*heap).rd_rel).reltuples).max(0.0);
                (known, 0, generation::stale_page(index, dimensions))
            }
            Err(error) => error.raise(),
        };
        metapage::create(index, pg_sys::ForkNumber::MAIN_FORKNUM, &page);
        steps::at("build.noted");
        let mut result = PgBox::<pg_sys::IndexBuildResult>::alloc0();
        result.heap_tuples = tuples;
        result.index_tuples = entries as f64;
        result.into_pg()
    }
}

/// The init fork of an unlogged index: a metapage without a generation, which the first insert
/// after a reset makes.
#[pg_guard]
pub unsafe extern "C-unwind" fn ambuildempty(index: pg_sys::Relation) {
    // SAFETY: PostgreSQL hands an open, exclusively locked relation with an empty init fork.
    unsafe {
        let kind = Kind::of(index).or_raise();
        let dimensions = column_dimensions(index, kind).or_raise();
        let mut page = generation::stale_page(index, dimensions);
        page.stale = false;
        metapage::create(index, pg_sys::ForkNumber::INIT_FORKNUM, &page);
    }
}
