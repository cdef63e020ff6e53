//! One row's entry: into this transaction's batch.

use onyx_protocol::index::{Entry, EntryValue, GenerationId};
use onyx_protocol::message::RequestBody;
use pgrx::prelude::*;

use super::metapage::{self, Metapage};
use super::opclass::Kind;
use super::{build, generation, options, tid_to_u64};
use crate::client;
use crate::error::{Error, OrRaise};
use crate::xact;

/// Inserts a row's entry. It reaches the engine with the batch, before the transaction commits.
#[expect(clippy::too_many_arguments, reason = "PostgreSQL's signature")]
#[pg_guard]
pub unsafe extern "C-unwind" fn aminsert(
    index: pg_sys::Relation,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    tid: pg_sys::ItemPointer,
    _heap: pg_sys::Relation,
    _check_unique: pg_sys::IndexUniqueCheck::Type,
    _index_unchanged: bool,
    _info: *mut pg_sys::IndexInfo,
) -> bool {
    // SAFETY: PostgreSQL hands an open index, one value for its one column and a valid tuple id.
    unsafe {
        let kind = Kind::of(index).or_raise();
        let Some(value) = build::entry_value(kind, *values, *is_null).or_raise() else {
            return false;
        };
        let page = match generation::identity(index) {
            Ok((id, page)) => {
                check_dimensions(&page, &value).or_raise();
                Some(id)
            }
            // An index that will be rebuilt takes no entries, but must be able to then.
            Err(unusable) if unusable.needs_rebuild => {
                if let Ok(page) = metapage::read(index) {
                    check_dimensions(&page, &value).or_raise();
                }
                None
            }
            Err(_) => first_generation(index, kind),
        };
        if let Some(id) = page {
            let entry = Entry { tid: tid_to_u64(*tid), value };
            xact::push(id, (*index).rd_id, entry);
        }
    }
    // "The row is known to be unique": only meaningful for unique indexes.
    false
}

/// Refuses a vector that does not fit the others, which a column that was declared without dimensions, or lost them,
/// lets through.
fn check_dimensions(page: &Metapage, value: &EntryValue) -> Result<(), Error> {
    match value {
        EntryValue::Vector(v) if page.dimensions > 0 && v.len() != page.dimensions as usize => {
            Err(Error::sql(
                PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
                format!("expected {} dimensions, not {}", page.dimensions, v.len()),
            ))
        }
        _ => Ok(()),
    }
}

/// Makes the generation of an index that was reset to its empty init fork. `None` when the engine
/// cannot: the index is stale then.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
unsafe fn first_generation(index: pg_sys::Relation, kind: Kind) -> Option<GenerationId> {
    // SAFETY: the caller's promise.
    unsafe {
        let page: Metapage = metapage::read(index).or_raise();
        let options = options::of(index);
        let made =
            generation::create(index, kind, options, page.dimensions).and_then(|(header, new)| {
                // Its progress is of no interest: there is nothing to build.
                client::stream(RequestBody::IndexFinish { generation: header.id }, |_| Ok(()))?;
                Ok((header.id, new))
            });
        match made {
            Ok((id, new)) => {
                let mut winner = id;
                metapage::update(index, |page| match page.generation {
                    // Another session was first; the sweep removes ours.
                    Some(other) => {
                        winner = other;
                        false
                    }
                    None => {
                        *page = new;
                        true
                    }
                })
                .or_raise();
                Some(winner)
            }
            Err(error) if error.is_engine_failure() => {
                generation::mark_stale(index, error).or_raise();
                None
            }
            Err(error) => Error::raise(error),
        }
    }
}
