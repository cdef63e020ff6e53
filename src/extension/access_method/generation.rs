//! An index's generation: its identity, and whether it can answer now.

use std::ffi::CStr;

use onyx_protocol::index::{
    Content, GenerationHeader, GenerationId, GenerationState, GenerationStatus,
};
use onyx_protocol::message::{RequestBody, Response};
use pgrx::prelude::*;

use super::garbage;
use super::metapage::{self, Metapage};
use super::opclass::Kind;
use super::options::Options;
use crate::error::Error;
use crate::supervisor::{shared, tries};
use crate::{client, guc, model};

/// Why an index cannot be used, in words for `onyx.stat_index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The state's name.
    pub state: &'static str,
    /// The reason in words.
    pub reason: String,
    /// Whether only a rebuild helps.
    pub needs_rebuild: bool,
}

impl Unusable {
    fn rebuild(state: &'static str, reason: impl Into<String>) -> Self {
        Self { state, reason: reason.into(), needs_rebuild: true }
    }

    fn wait(state: &'static str, reason: impl Into<String>) -> Self {
        Self { state, reason: reason.into(), needs_rebuild: false }
    }
}

/// Name of an open relation.
///
/// # Safety
/// `relation` is open.
pub unsafe fn relation_name(relation: pg_sys::Relation) -> String {
    // SAFETY: the caller's promise; relname is NUL-terminated.
    unsafe { CStr::from_ptr((*(*relation).rd_rel).relname.data.as_ptr()) }
        .to_string_lossy()
        .into_owned()
}

/// Makes a new generation for an index being built. Durable in the store when it returns.
///
/// # Safety
/// `index` is an open, exclusively locked index of `onyx_hnsw`.
pub unsafe fn create(
    index: pg_sys::Relation,
    kind: Kind,
    options: Options,
    dimensions: u32,
) -> Result<(GenerationHeader, Metapage), Error> {
    let content = match kind {
        Kind::Vector(_) | Kind::Half(_) => Content::Vectors,
        Kind::Text => Content::Texts(model::current()?),
    };
    let dimensions = match &content {
        Content::Texts(spec) => spec.dimensions,
        Content::Vectors => dimensions,
    };
    let mut id = [0; 16];
    // SAFETY: fills a buffer of the given length; the relation is open.
    let (locator, relation) = unsafe {
        if !pg_sys::pg_strong_random(id.as_mut_ptr().cast(), id.len()) {
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                "could not generate random bytes for an index generation",
            ));
        }
        ((*index).rd_locator, (*index).rd_id)
    };
    let header = GenerationHeader {
        id: GenerationId(id),
        // SAFETY: these read process and shared state that is set in every backend.
        system_identifier: unsafe { pg_sys::GetSystemIdentifier() },
        database: locator.dbOid.to_u32(),
        relation: relation.to_u32(),
        relfilenumber: locator.relNumber.into(),
        // SAFETY: assigns a transaction id, as every writing command does.
        created_by: unsafe { pg_sys::GetCurrentFullTransactionId() }.value,
        dimensions,
        metric: kind.metric(),
        content,
        m: options.m,
        ef_construction: options.ef_construction,
        quantization: options.quantization,
    };
    garbage::expect();
    client::call_patiently(RequestBody::IndexCreate(header.clone()))?;
    let page = Metapage {
        generation: Some(header.id),
        stale: false,
        database: header.database,
        relfilenumber: header.relfilenumber,
        dimensions: header.dimensions,
        vacuum_lsn: 0,
        writes: 0,
        model: match &header.content {
            Content::Texts(spec) => spec.name.clone(),
            Content::Vectors => String::new(),
        },
    };
    Ok((header, page))
}

/// The page of an index whose generation could not be made: a rebuild makes one.
///
/// # Safety
/// `index` is open.
pub unsafe fn stale_page(index: pg_sys::Relation, dimensions: u32) -> Metapage {
    // SAFETY: the caller's promise.
    let locator = unsafe { (*index).rd_locator };
    Metapage {
        generation: None,
        stale: true,
        database: locator.dbOid.to_u32(),
        relfilenumber: locator.relNumber.into(),
        dimensions,
        vacuum_lsn: 0,
        writes: 0,
        model: String::new(),
    }
}

/// The generation of an index by its own pages alone: present, not stale, not a copy.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
pub unsafe fn identity(index: pg_sys::Relation) -> Result<(GenerationId, Metapage), Unusable> {
    // SAFETY: the caller's promise.
    let (page, locator) = unsafe {
        // Announced by CREATE or REINDEX CONCURRENTLY, and maybe not filled yet.
        if !(*(*index).rd_index).indisready {
            let reason = "its concurrent build is under way, or did not succeed";
            return Err(Unusable::wait("building", reason));
        }
        (metapage::read(index), (*index).rd_locator)
    };
    let page = page.map_err(|e| Unusable::rebuild("damaged", e.to_string()))?;
    if page.stale {
        let reason = match page.generation {
            Some(_) => "entries were not written to the store",
            None => "the engine could not build it; the server log says why",
        };
        return Err(Unusable::rebuild("stale", reason));
    }
    let Some(id) = page.generation else {
        return Err(Unusable::wait("empty", "nothing was indexed since the index was reset"));
    };
    if page.database != locator.dbOid.to_u32() || page.relfilenumber != u32::from(locator.relNumber)
    {
        return Err(Unusable::rebuild("copied", "the index's pages were copied without a build"));
    }
    Ok((id, page))
}

/// The generation if it can answer now, asking the engine.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
pub unsafe fn usable(index: pg_sys::Relation) -> Result<(GenerationId, Metapage), Unusable> {
    // SAFETY: the caller's promise.
    let (id, page) = unsafe { identity(index) }?;
    let status = status(id)?;
    match status.state {
        // A store put back from a backup: its entries may name rows that others have replaced.
        GenerationState::Ready if status.vacuum_lsn < page.vacuum_lsn => Err(Unusable::rebuild(
            "stale",
            "the store's generation is older than the index's last vacuum",
        )),
        // The page was read before the engine was asked, so a commit in between does not matter.
        GenerationState::Ready if status.writes < page.writes => Err(Unusable::rebuild(
            "stale",
            "the store's generation is older than the index's last insert",
        )),
        GenerationState::Ready => Ok((id, page)),
        GenerationState::Loading => {
            Err(Unusable::wait("loading", "its graph is being read into memory"))
        }
        GenerationState::Building => Err(Unusable::wait("building", "its build is under way")),
        GenerationState::Absent => {
            Err(Unusable::rebuild("absent", "the store does not have the index's generation"))
        }
        GenerationState::Stale => Err(Unusable::rebuild("stale", status.reason)),
    }
}

fn status(id: GenerationId) -> Result<GenerationStatus, Unusable> {
    let down = |e: Error| Unusable::wait("engine down", e.to_string());
    if !shared::is_running() {
        return Err(Unusable::wait("engine down", "the engine is not running"));
    }
    match client::call(RequestBody::IndexStatus { generations: vec![id] }).map_err(down)? {
        Response::Index(mut rows) if rows.len() == 1 => Ok(rows.remove(0)),
        _ => Err(Unusable::wait("engine down", "the engine sent an unexpected answer")),
    }
}

/// Marks an index stale: its generation lacks entries. WAL-logged before the commit record of the
/// transaction whose entries are missing, so recovery knows it as soon as it knows the transaction.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
pub unsafe fn mark_stale(index: pg_sys::Relation, why: Error) -> Result<(), Error> {
    if guc::ON_ENGINE_FAILURE.get() == guc::OnEngineFailure::Error {
        return Err(why);
    }
    let mut newly = false;
    // SAFETY: the caller's promise.
    unsafe {
        metapage::update(index, |page| {
            newly = !page.stale;
            page.stale = true;
            newly
        })?;
        shared::request_maintenance(pg_sys::MyDatabaseId);
        if newly {
            pgrx::log!("onyx index \"{}\" is stale: {why}", relation_name(index));
        }
    }
    Ok(())
}

/// Remembers in an index's page that a generation's writes up to a number are in the store, WAL-logged
/// before the commit record of their transaction: an older store put back lacks them and is recognised.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
pub unsafe fn note_insert(
    index: pg_sys::Relation,
    id: GenerationId,
    number: u64,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe {
        metapage::update(index, |page| {
            let newer = page.generation == Some(id) && page.writes < number;
            if newer {
                page.writes = number;
            }
            newer
        })
    }
}

/// A row of `onyx.stat_index`.
pub struct StatusRow {
    /// State in words.
    pub state: String,
    /// Reason in words, or empty.
    pub reason: String,
    /// The generation's id in hexadecimal, if it has one.
    pub generation: Option<String>,
    /// What the engine says of it, if it can.
    pub status: Option<GenerationStatus>,
}

/// State of an index for `onyx.stat_index`.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
pub unsafe fn status_rows(index: pg_sys::Relation) -> StatusRow {
    // SAFETY: the caller's promise.
    let (identity, usable, oid) = unsafe { (identity(index), usable(index), (*index).rd_id) };
    let id = identity.ok().map(|(id, _)| id);
    let status = id.and_then(|id| status(id).ok());
    let (state, reason) = match usable {
        Ok(_) => ("ready".to_string(), String::new()),
        Err(u) if u.needs_rebuild => {
            (u.state.to_string(), u.reason + &tries::words(oid).unwrap_or_default())
        }
        Err(u) => (u.state.to_string(), u.reason),
    };
    let generation = id.map(|id| id.0.iter().map(|b| format!("{b:02x}")).collect::<String>());
    StatusRow { state, reason, generation, status }
}

/// Why an index on texts cannot answer under the current model, in words; `None` when it can.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
pub unsafe fn why_unusable(index: pg_sys::Relation) -> Option<String> {
    // SAFETY: the caller's promise.
    match unsafe { usable(index) } {
        Err(unusable) => Some(format!("{}, {}", unusable.state, unusable.reason)),
        Ok((_, page)) => {
            let model = guc::non_empty(&guc::MODEL).unwrap_or_default();
            (!page.model.is_empty() && page.model != model).then(|| {
                format!("it was built with model \"{}\", and onyx.model is \"{model}\"", page.model)
            })
        }
    }
}
