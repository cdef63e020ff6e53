//! What a maintenance worker does in its database: rebuild indexes that cannot answer, delete
//! generations that no index refers to.

use std::collections::HashSet;

use onyx_protocol::index::{GenerationHeader, GenerationId};
use onyx_protocol::message::{RequestBody, Response};
use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;
use pgrx::spi;

use super::{generation, metapage};
use crate::client;
use crate::error::Error;

/// Main part of a maintenance worker. An error ends the worker; the next nap begins anew, in
/// another order, so that one index which cannot be rebuilt does not keep the others from it.
pub fn maintain_database() {
    let broken = BackgroundWorker::transaction(|| {
        if installed() {
            indexes().into_iter().filter(|i| needs_rebuild(*i)).collect()
        } else {
            vec![]
        }
    });
    for index in broken {
        BackgroundWorker::transaction(|| rebuild(index));
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
    let query = "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON a.oid = c.relam
                 WHERE a.amname = 'onyx_hnsw' AND c.relkind = 'i' AND c.relpersistence <> 't'
                 ORDER BY pg_catalog.random()";
    let found: Result<Vec<_>, spi::Error> = Spi::connect(|client| {
        client
            .select(query, None, &[])?
            .filter_map(|row| row.get::<pg_sys::Oid>(1).transpose())
            .collect()
    });
    found.unwrap_or_default()
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

fn rebuild(index: pg_sys::Oid) {
    let name = Spi::get_one_with_args::<String>(
        "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = $1",
        &[index.into()],
    );
    if let Ok(Some(name)) = name {
        pgrx::log!("onyx maintenance rebuilds index {name}");
        let done =
            Spi::run("SET LOCAL lock_timeout = '2s'; SET LOCAL onyx.on_engine_failure = 'error'")
                .and_then(|()| Spi::run(&format!("REINDEX INDEX {name}")));
        if let Err(error) = done {
            pgrx::log!("onyx maintenance could not rebuild index {name}: {error}");
        }
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
        client::call(RequestBody::IndexDrop { generations: orphans })?;
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
