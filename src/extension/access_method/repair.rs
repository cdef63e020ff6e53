//! What a maintenance worker does in its database: rebuild indexes that cannot answer, delete
//! generations that no index refers to.

use std::collections::HashSet;
use std::ffi::CStr;

use onyx_protocol::index::{GenerationHeader, GenerationId};
use onyx_protocol::message::{RequestBody, Response};
use pgrx::bgworkers::BackgroundWorker;
use pgrx::{PgMemoryContexts, prelude::*, spi};

use super::{build, generation, metapage};
use crate::error::Error;
use crate::supervisor::tries;
use crate::{client, steps};

/// Main part of a maintenance worker. An error ends the worker; the next nap begins anew, in
/// another order, so that one index which cannot be rebuilt does not keep the others from it.
pub fn maintain_database() {
    let broken = BackgroundWorker::transaction(|| {
        if !installed() {
            return vec![];
        }
        drop_leftovers();
        valid_indexes().into_iter().filter(|i| needs_rebuild(*i)).collect()
    });
    for index in broken {
        if tries::is_due(index) && is_free(index) {
            tries::begin(index);
            steps::at("rebuild.begun");
            rebuild(index);
            tries::succeeded(index);
        }
    }
    BackgroundWorker::transaction(|| {
        if installed()
            && let Err(error) = sweep()
        {
            pgrx::log!("onyx maintenance could not delete old generations: {error}");
        }
    });
}

fn installed() -> bool {
    let query = "SELECT true FROM pg_catalog.pg_extension WHERE extname = 'onyx'";
    matches!(Spi::get_one::<bool>(query), Ok(Some(true)))
}

/// The database's indexes of this access method, except temporary ones of other sessions, whose
/// pages only their session can read.
fn indexes() -> Vec<pg_sys::Oid> {
    index_oids("true")
}

/// Those that a rebuild can make right: the others are being made, or were given up half made.
fn valid_indexes() -> Vec<pg_sys::Oid> {
    index_oids("i.indisvalid")
}

fn index_oids(condition: &str) -> Vec<pg_sys::Oid> {
    let query = format!(
        "SELECT c.oid FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_am a ON a.oid = c.relam
         JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
         WHERE a.amname = 'onyx_hnsw' AND c.relkind = 'i' AND c.relpersistence <> 't' AND {condition}
         ORDER BY pg_catalog.random()"
    );
    let found: Result<Vec<_>, spi::Error> = Spi::connect(|client| {
        client
            .select(&query, None, &[])?
            .filter_map(|row| row.get::<pg_sys::Oid>(1).transpose())
            .collect()
    });
    found.unwrap_or_default()
}

/// Drops what an interrupted concurrent rebuild left behind. One under way holds a lock on the table,
/// and must not be waited for: it waits for this transaction in its turn.
fn drop_leftovers() {
    let query = "SELECT i.indrelid, pg_catalog.format('%I.%I', n.nspname, c.relname)
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_am a ON a.oid = c.relam
         JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE a.amname = 'onyx_hnsw' AND c.relkind = 'i' AND NOT i.indisvalid
           AND c.relpersistence <> 't' AND c.relname ~ '_cc(new|old)[0-9]*$'";
    let left: Result<Vec<_>, spi::Error> = Spi::connect(|client| {
        let rows = client.select(query, None, &[])?;
        rows.filter_map(|row| match (row.get::<pg_sys::Oid>(1), row.get::<String>(2)) {
            (Ok(Some(table)), Ok(Some(name))) => Some(Ok((table, name))),
            (Err(error), _) | (_, Err(error)) => Some(Err(error)),
            _ => None,
        })
        .collect()
    });
    for (table, name) in left.unwrap_or_default() {
        // SAFETY: neither waits nor raises; the lock is held until the transaction ends.
        let free = unsafe {
            pg_sys::ConditionalLockRelationOid(table, pg_sys::AccessExclusiveLock as i32)
        };
        if !free {
            continue;
        }
        pgrx::log!("onyx maintenance drops index {name}, left by an interrupted rebuild");
        if let Err(error) = Spi::run(&format!("DROP INDEX {name}")) {
            pgrx::log!("onyx maintenance could not drop index {name}: {error}");
        }
    }
}

/// Whether a rebuild could begin at once: another one, or a vacuum, is not waited for, since it may
/// wait for this worker.
fn is_free(index: pg_sys::Oid) -> bool {
    // SAFETY: in a transaction of a connected worker; both neither wait nor raise.
    unsafe {
        pg_sys::StartTransactionCommand();
        let table = pg_sys::IndexGetRelation(index, true);
        let free = table != pg_sys::InvalidOid
            && pg_sys::ConditionalLockRelationOid(table, pg_sys::ShareUpdateExclusiveLock as i32);
        pg_sys::CommitTransactionCommand();
        free
    }
}

/// Runs a function on an index that can be locked at once; `None` when it cannot or is gone.
fn with_index<T>(oid: pg_sys::Oid, f: impl FnOnce(pg_sys::Relation) -> T) -> Option<T> {
    let lock = pg_sys::AccessShareLock as i32;
    // SAFETY: the lock is taken conditionally before the relation is opened, so this neither waits
    // nor opens what has been dropped; both are given back before the transaction ends.
    unsafe {
        if !pg_sys::ConditionalLockRelationOid(oid, lock) {
            return None;
        }
        let relation = pg_sys::try_relation_open(oid, pg_sys::NoLock as i32);
        let value = (!relation.is_null()).then(|| f(relation));
        if !relation.is_null() {
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        }
        pg_sys::UnlockRelationOid(oid, lock);
        value
    }
}

fn needs_rebuild(index: pg_sys::Oid) -> bool {
    // SAFETY: `with_index` gives an open, locked index.
    with_index(index, |relation| unsafe { generation::usable(relation) })
        .is_some_and(|u| u.is_err_and(|u| u.needs_rebuild))
}

/// Rebuilds an index as REINDEX INDEX CONCURRENTLY does: reads and writes of its table go on. That
/// command commits several times, so it cannot run through SPI; it is called as the server calls it
/// for a client, at the top level of a transaction.
fn rebuild(index: pg_sys::Oid) {
    // SAFETY: the worker is connected and in no transaction. What the command reads after its first
    // commit is allocated to outlive it; it leaves a transaction open, with or without a snapshot.
    unsafe {
        set_option(c"lock_timeout", c"60s");
        set_option(c"onyx.on_engine_failure", c"error");
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let statement = PgMemoryContexts::TopMemoryContext.switch_to(|_| reindex_statement(index));
        // ALTER TABLE may have taken the dimensions from the column since, and keeps the index.
        let known = with_index(index, |relation| metapage::read(relation).map(|p| p.dimensions));
        build::REBUILT_DIMENSIONS.set(known.and_then(Result::ok).unwrap_or(0));
        if let Some(statement) = statement {
            pg_sys::ExecReindex(std::ptr::null_mut(), statement, true);
        }
        if pg_sys::ActiveSnapshotSet() {
            pg_sys::PopActiveSnapshot();
        }
        pg_sys::CommitTransactionCommand();
    }
}

/// # Safety
/// Called by a worker for its own session.
unsafe fn set_option(name: &'static CStr, value: &'static CStr) {
    // SAFETY: both are NUL-terminated and valid values of the setting.
    unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
        );
    }
}

/// `REINDEX (CONCURRENTLY) INDEX ...` in the current memory context; `None` when the index is gone.
///
/// # Safety
/// Called in a transaction.
unsafe fn reindex_statement(index: pg_sys::Oid) -> Option<*mut pg_sys::ReindexStmt> {
    // SAFETY: the caller's promise; names are palloc'ed by the look-ups, in the current context.
    unsafe {
        let name = pg_sys::get_rel_name(index);
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(index));
        if name.is_null() || schema.is_null() {
            return None;
        }
        pgrx::log!(
            "onyx maintenance rebuilds index {}.{}",
            CStr::from_ptr(schema).to_string_lossy(),
            CStr::from_ptr(name).to_string_lossy()
        );
        let mut statement =
            PgBox::<pg_sys::ReindexStmt>::alloc_node(pg_sys::NodeTag::T_ReindexStmt);
        statement.kind = pg_sys::ReindexObjectType::REINDEX_OBJECT_INDEX;
        statement.relation = pg_sys::makeRangeVar(schema, name, -1);
        let option = pg_sys::makeDefElem(
            pg_sys::pstrdup(c"concurrently".as_ptr()),
            std::ptr::null_mut(),
            -1,
        );
        statement.params = pg_sys::lappend(std::ptr::null_mut(), option.cast());
        Some(statement.into_pg())
    }
}

/// Deletes generations that no index refers to any more: of dropped and rebuilt indexes, and of
/// transactions that did not commit. Returns how many.
pub fn sweep() -> Result<u64, Error> {
    // SAFETY: set in every backend.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    let Response::Headers(headers) = client::call(RequestBody::IndexList { database })? else {
        return Err(Error::Protocol { detail: "Headers were expected.".into() });
    };
    // First what may still become visible, then what is: the other way round a build could commit
    // in between and be taken for garbage.
    let ended: Vec<GenerationHeader> = headers.into_iter().filter(|h| !is_running(h)).collect();
    if ended.is_empty() {
        return Ok(0);
    }
    let Some(live) = live_generations() else { return Ok(0) };
    let orphans: Vec<GenerationId> =
        ended.iter().filter(|h| !live.contains(&h.id) && !is_temporary(h)).map(|h| h.id).collect();
    let count = orphans.len() as u64;
    if count > 0 {
        steps::at("sweep.listed");
        client::call(RequestBody::IndexDrop { generations: orphans })?;
        steps::at("sweep.dropped");
    }
    Ok(count)
}

fn is_running(header: &GenerationHeader) -> bool {
    let xid = pg_sys::TransactionId::from(header.created_by as u32);
    // SAFETY: reads shared memory. The counter's upper half is left out: an old id taken for a
    // running one only waits for the next sweep.
    unsafe { pg_sys::TransactionIdIsInProgress(xid) }
}

/// Generations the metapages of all indexes name; `None` when one of them could not be read now.
fn live_generations() -> Option<HashSet<GenerationId>> {
    // SAFETY: a fresh snapshot for the catalog, in a transaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let indexes = indexes();
    // SAFETY: pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
    let mut live = HashSet::new();
    for index in indexes {
        // SAFETY: `with_index` gives an open, locked index.
        let page = with_index(index, |relation| unsafe { metapage::read(relation) })?;
        if let Ok(page) = page {
            live.extend(page.generation);
        }
    }
    Some(live)
}

fn is_temporary(header: &GenerationHeader) -> bool {
    let query = "SELECT true FROM pg_catalog.pg_class WHERE oid = $1 AND relpersistence = 't'";
    let oid = pg_sys::Oid::from(header.relation);
    matches!(Spi::get_one_with_args::<bool>(query, &[oid.into()]), Ok(Some(true)))
}
