//! What a transaction still has to make durable before it commits: index entries.
//!
//! Entries gather here a batch at a time and reach the engine when a batch is full, when the
//! transaction reads the index, and before it commits. A batch that the engine cannot take makes its
//! index stale; the transaction goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use onyx_protocol::index::{Entry, EntryValue, GenerationId};
use onyx_protocol::message::{RequestBody, Response};
use pgrx::prelude::*;

use crate::access_method;
use crate::error::{Error, OrRaise};
use crate::{client, guc, steps};

/// Entries sent at once.
const BATCH_ENTRIES: usize = 1_000;
/// The same in bytes.
const BATCH_BYTES: usize = 1 << 20;

/// What one index of the transaction has to do.
struct Batch {
    index: pg_sys::Oid,
    entries: Vec<(pg_sys::SubTransactionId, Entry)>,
    bytes: usize,
    /// Entries were sent that may not be on disk yet.
    unsynced: bool,
    /// Highest number of what was sent.
    number: u64,
    /// Texts were sent, whose embeddings the commit may have to wait for.
    texts: bool,
}

thread_local! {
    static BATCHES: RefCell<BTreeMap<GenerationId, Batch>> = const { RefCell::new(BTreeMap::new()) };
}

/// Registers the callbacks.
pub fn init() {
    // SAFETY: runs in the postmaster; forks inherit the registration.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_xact), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subxact), std::ptr::null_mut());
    }
}

/// Adds an entry to its generation's batch.
pub fn push(generation: GenerationId, index: pg_sys::Oid, entry: Entry) {
    // SAFETY: reads the transaction state.
    let subxact = unsafe { pg_sys::GetCurrentSubTransactionId() };
    let full = BATCHES.with_borrow_mut(|batches| {
        let batch = batches.entry(generation).or_insert_with(|| Batch {
            index,
            entries: Vec::new(),
            bytes: 0,
            unsynced: false,
            number: 0,
            texts: false,
        });
        batch.bytes += match &entry.value {
            EntryValue::Vector(v) => v.len() * 4,
            EntryValue::Text(t) => {
                batch.texts = true;
                t.len()
            }
        };
        batch.entries.push((subxact, entry));
        batch.entries.len() >= BATCH_ENTRIES || batch.bytes >= BATCH_BYTES
    });
    if full {
        flush(generation);
    }
}

/// Sends what the transaction has for a generation, so that its own scans find it.
pub fn flush(generation: GenerationId) {
    let taken = BATCHES.with_borrow_mut(|batches| {
        let batch = batches.get_mut(&generation)?;
        batch.bytes = 0;
        let entries = std::mem::take(&mut batch.entries);
        if entries.is_empty() {
            return None;
        }
        batch.unsynced = true;
        Some((batch.index, entries))
    });
    let Some((index, entries)) = taken else { return };
    match send(generation, entries, false) {
        Ok(number) => {
            BATCHES.with_borrow_mut(|batches| {
                if let Some(batch) = batches.get_mut(&generation) {
                    batch.number = batch.number.max(number);
                }
            });
            steps::at("flush.sent");
        }
        Err(error) => fail(generation, index, error),
    }
}

/// Returns the write's number among the generation's.
fn send(
    generation: GenerationId,
    entries: Vec<(pg_sys::SubTransactionId, Entry)>,
    durable: bool,
) -> Result<u64, Error> {
    // The position now is behind every row of the batch and before the commit record: what
    // recovery ends before, it discards with the transaction.
    let stamp = access_method::current_lsn();
    let request = RequestBody::IndexInsert {
        generation,
        stamp,
        durable,
        entries: entries.into_iter().map(|(_, entry)| entry).collect(),
    };
    let answer = match client::call(request.clone()) {
        // Taking a batch twice has no effect, so a connection that was lost with the engine may be
        // tried once more on its successor.
        Err(Error::ConnectionLost { .. }) => client::call(request)?,
        answer => answer?,
    };
    match answer {
        Response::Written { number } => Ok(number),
        _ => Err(Error::Protocol { detail: "An insertion was not confirmed.".into() }),
    }
}

/// Gives up a generation for this transaction: its index is stale, or the transaction fails.
fn fail(generation: GenerationId, index: pg_sys::Oid, error: Error) {
    if !error.is_engine_failure() {
        error.raise();
    }
    BATCHES.with_borrow_mut(|batches| batches.remove(&generation));
    // SAFETY: the transaction holds a lock on the table since it inserted into it, so that nobody else
    // can drop the index or lock it for long; one it dropped itself is gone and needs no mark.
    unsafe {
        let relation = pg_sys::try_relation_open(index, pg_sys::RowExclusiveLock as i32);
        if !relation.is_null() {
            access_method::mark_stale(relation, error).or_raise();
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
            steps::at("stale.marked");
        }
    }
}

/// Makes everything durable, in one go for each generation.
fn before_commit() {
    let batches = BATCHES.take();
    let mut texts = Vec::new();
    for (generation, batch) in batches {
        steps::at("commit.begun");
        let done = if !batch.entries.is_empty() {
            send(generation, batch.entries, true)
        } else if batch.unsynced {
            client::call(RequestBody::IndexSync { generations: vec![generation] }).map(|_| 0)
        } else {
            continue;
        };
        match done {
            Ok(number) => {
                steps::at("commit.sent");
                note_insert(generation, batch.index, number.max(batch.number));
                steps::at("commit.noted");
                if batch.texts {
                    texts.push(generation);
                }
            }
            Err(error) => fail(generation, batch.index, error),
        }
    }
    if guc::EMBED_AT_COMMIT.get() == guc::EmbedAtCommit::Wait && !texts.is_empty() {
        wait_for_embeddings(&texts).or_raise();
    }
}

fn note_insert(generation: GenerationId, index: pg_sys::Oid, number: u64) {
    // SAFETY: as in `fail`.
    unsafe {
        let relation = pg_sys::try_relation_open(index, pg_sys::RowExclusiveLock as i32);
        if !relation.is_null() {
            access_method::note_insert(relation, generation, number).or_raise();
            pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        }
    }
}

fn wait_for_embeddings(generations: &[GenerationId]) -> Result<(), Error> {
    loop {
        let request = RequestBody::IndexStatus { generations: generations.to_vec() };
        let Response::Index(rows) = client::call(request)? else {
            return Err(Error::Protocol { detail: "A status was expected.".into() });
        };
        if rows.iter().all(|r| r.pending == 0) {
            return Ok(());
        }
        client::sleep(Duration::from_millis(20));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_xact(
    event: pg_sys::XactEvent::Type,
    _argument: *mut std::ffi::c_void,
) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE | XACT_EVENT_PARALLEL_PRE_COMMIT => {
            before_commit();
        }
        XACT_EVENT_COMMIT | XACT_EVENT_PREPARE => {
            steps::at("commit.done");
            access_method::at_end_of_transaction();
        }
        XACT_EVENT_ABORT | XACT_EVENT_PARALLEL_ABORT => {
            steps::at("abort.begun");
            BATCHES.take();
            access_method::at_end_of_transaction();
        }
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_subxact(
    event: pg_sys::SubXactEvent::Type,
    subxact: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    _argument: *mut std::ffi::c_void,
) {
    use pg_sys::SubXactEvent::*;
    BATCHES.with_borrow_mut(|batches| {
        for batch in batches.values_mut() {
            match event {
                // An entry sent later would arrive after vacuum may have removed its row and
                // another row taken its tuple id.
                SUBXACT_EVENT_ABORT_SUB => batch.entries.retain(|(owner, _)| *owner != subxact),
                SUBXACT_EVENT_COMMIT_SUB => {
                    for (owner, _) in &mut batch.entries {
                        if *owner == subxact {
                            *owner = parent;
                        }
                    }
                }
                _ => {}
            }
        }
    });
}

/// Sends everything the transaction has.
pub fn flush_all() {
    let generations: Vec<GenerationId> =
        BATCHES.with_borrow(|batches| batches.keys().copied().collect());
    for generation in generations {
        flush(generation);
    }
}
