//! Functions below the `stat_*` and `progress` views, and administration of the store.

use onyx_protocol::message::{EngineStat, RequestBody, Response};
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use crate::error::{Error, OrRaise};
use crate::supervisor::shared::SHARED;
use crate::{access_method, client, model, progress};

fn timestamp(at: pg_sys::TimestampTz) -> Option<TimestampWithTimeZone> {
    if at == 0 { None } else { TimestampWithTimeZone::try_from(at).ok() }
}

#[allow(clippy::type_complexity)]
#[pg_extern(sql = false)]
fn engine_status() -> TableIterator<
    'static,
    (
        name!(state, String),
        name!(pid, Option<i32>),
        name!(supervisor_pid, Option<i32>),
        name!(version, Option<String>),
        name!(started_at, Option<TimestampWithTimeZone>),
        name!(restarts, i64),
        name!(resident_bytes, Option<i64>),
        name!(index_bytes, Option<i64>),
        name!(requests, Option<i64>),
        name!(errors, Option<i64>),
        name!(active, Option<i64>),
        name!(store_bytes, Option<i64>),
        name!(generations, Option<i64>),
        name!(embeddings, Option<i64>),
        name!(last_error, Option<String>),
    ),
> {
    let shared = *SHARED.share();
    let stat: Option<EngineStat> = match client::call(RequestBody::Stat) {
        Ok(Response::Stat(stat)) => Some(stat),
        _ => None,
    };
    let number = |f: fn(&EngineStat) -> u64| stat.as_ref().map(|s| f(s) as i64);
    let pid = |pid: i32| (pid != 0).then_some(pid);
    let error = shared.error();
    TableIterator::once((
        shared.state.as_str().to_string(),
        pid(shared.engine_pid as i32),
        pid(shared.supervisor_pid),
        stat.as_ref().map(|s| s.version.clone()),
        timestamp(shared.started_at),
        i64::from(shared.restarts),
        number(|s| s.resident_bytes),
        number(|s| s.index_bytes),
        number(|s| s.requests),
        number(|s| s.errors),
        number(|s| s.active),
        number(|s| s.store_bytes),
        number(|s| s.generations),
        number(|s| s.embeddings),
        (!error.is_empty()).then_some(error),
    ))
}

#[allow(clippy::type_complexity)]
#[pg_extern(sql = false)]
fn embedding_status() -> TableIterator<
    'static,
    (
        name!(model, String),
        name!(pending, i64),
        name!(embedded, i64),
        name!(cache_hits, i64),
        name!(tokens, i64),
        name!(busy_seconds, f64),
        name!(last_error, Option<String>),
    ),
> {
    let rows = match model::embedding_stat() {
        Ok(stat) => stat.models,
        Err(error) if error.is_engine_failure() => {
            error.warn();
            Vec::new()
        }
        Err(error) => error.raise(),
    };
    TableIterator::new(rows.into_iter().map(|m| {
        (
            m.model,
            m.pending as i64,
            m.embedded as i64,
            m.cache_hits as i64,
            m.tokens as i64,
            m.busy_seconds,
            (!m.last_error.is_empty()).then_some(m.last_error),
        )
    }))
}

#[allow(clippy::type_complexity)]
#[pg_extern(sql = false)]
fn index_status(
    index: pg_sys::Oid,
) -> TableIterator<
    'static,
    (
        name!(state, String),
        name!(reason, Option<String>),
        name!(generation, Option<String>),
        name!(entries, Option<i64>),
        name!(pending, Option<i64>),
        name!(tombstones, Option<i64>),
        name!(memory_bytes, Option<i64>),
    ),
> {
    let lock = pg_sys::AccessShareLock as i32;
    // SAFETY: locked, opened and given back here; an index dropped since the view listed it gives no
    // row. A look at the state does not wait for a rebuild.
    let row = unsafe {
        if !pg_sys::ConditionalLockRelationOid(index, lock) {
            let reason = "it is locked, as while it is being rebuilt".to_string();
            let state = "locked".to_string();
            return TableIterator::once((state, Some(reason), None, None, None, None, None));
        }
        let relation = pg_sys::try_relation_open(index, pg_sys::NoLock as i32);
        if relation.is_null() {
            pg_sys::UnlockRelationOid(index, lock);
            return TableIterator::empty();
        }
        let is_index = (*(*relation).rd_rel).relkind == pg_sys::RELKIND_INDEX as std::ffi::c_char;
        let ours = is_index && access_method::is_ours(relation);
        let row = ours.then(|| access_method::status_rows(relation));
        pg_sys::relation_close(relation, lock);
        row
    };
    let Some(row) = row else {
        Error::sql(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, "an onyx_hnsw index is expected")
            .raise();
    };
    let status = row.status.as_ref();
    TableIterator::once((
        row.state,
        (!row.reason.is_empty()).then_some(row.reason),
        row.generation,
        status.map(|s| s.entries as i64),
        status.map(|s| s.pending as i64),
        status.map(|s| s.tombstones as i64),
        status.map(|s| s.memory_bytes as i64),
    ))
}

#[allow(clippy::type_complexity)]
#[pg_extern(sql = false)]
fn progress_status() -> TableIterator<
    'static,
    (
        name!(pid, i32),
        name!(datid, pg_sys::Oid),
        name!(started_at, Option<TimestampWithTimeZone>),
        name!(phase, String),
        name!(repo, String),
        name!(done, i64),
        name!(total, Option<i64>),
        name!(bytes, i64),
        name!(nodes, i64),
    ),
> {
    TableIterator::new(progress::all().into_iter().map(|slot| {
        (
            slot.pid,
            slot.database,
            timestamp(slot.started_at),
            slot.phase.as_str().to_string(),
            slot.subject(),
            slot.done as i64,
            (slot.total > 0).then_some(slot.total as i64),
            slot.bytes as i64,
            slot.nodes as i64,
        )
    }))
}

#[pg_extern(sql = false)]
fn checkpoint_store(path: &str) {
    model::require_role(
        pg_sys::Oid::from(pg_sys::ROLE_PG_WRITE_SERVER_FILES),
        "pg_write_server_files",
        "write a copy of the store",
    )
    .or_raise();
    client::call_patiently(RequestBody::Checkpoint { path: path.into() }).or_raise();
}

#[pg_extern(sql = false)]
fn sweep() -> i64 {
    access_method::repair::sweep().or_raise() as i64
}
