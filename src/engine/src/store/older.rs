//! Stores of older formats, brought up to this one. What is written here is read nowhere else.

use onyx_protocol::index::{Content, GenerationHeader, GenerationId, Lsn, Metric, Quantization};
use onyx_protocol::startup::RecoveryEnd;
use serde::Deserialize;

use super::keys::{DurableState, Family, GenerationRecord, ModelKey, decode, encode};
use super::rocks::Batch;
use super::{Store, StoreError};

/// A generation's header until format 2.
#[derive(Deserialize)]
struct Header {
    id: GenerationId,
    system_identifier: u64,
    database: u32,
    relation: u32,
    relfilenumber: u32,
    created_by: u64,
    dimensions: u32,
    metric: Metric,
    content: Content,
    m: u32,
    ef_construction: u32,
}

/// A generation's record until format 2.
#[derive(Deserialize)]
struct Record {
    header: Header,
    model: Option<ModelKey>,
    state: DurableState,
    vacuum_lsn: Lsn,
    recovery: Option<RecoveryEnd>,
}

impl From<Record> for GenerationRecord {
    fn from(old: Record) -> Self {
        let Record { header: h, model, state, vacuum_lsn, recovery } = old;
        let header = GenerationHeader {
            id: h.id,
            system_identifier: h.system_identifier,
            database: h.database,
            relation: h.relation,
            relfilenumber: h.relfilenumber,
            created_by: h.created_by,
            dimensions: h.dimensions,
            metric: h.metric,
            content: h.content,
            m: h.m,
            ef_construction: h.ef_construction,
            quantization: Quantization::Auto,
        };
        Self { header, model, state, vacuum_lsn, recovery }
    }
}

/// Adds what format 2 did not have to `batch`. The new version is written with it, so an interrupted
/// upgrade has not begun.
pub fn upgrade(store: &Store, batch: &mut Batch) -> Result<(), StoreError> {
    for pair in store.db.scan(Family::Generations, &[], None)? {
        let (key, value) = pair?;
        if key.get(16) == Some(&0) {
            let record = GenerationRecord::from(decode::<Record>(&value)?);
            batch.put(Family::Generations, key.to_vec(), encode(&record)?);
        }
    }
    Ok(())
}
