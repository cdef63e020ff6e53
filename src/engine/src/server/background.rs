//! Embedding what is queued, while nobody waits: one thread, small batches, behind every
//! interactive call, and not while something is ingested. A user waits for that, and the texts it
//! queues belong to a transaction that may still be rolled back.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use onyx_protocol::{ErrorKind, WireError};

use super::cache::store_key;
use super::{Engine, startup};
use crate::embed::Priority;
use crate::index::PendingBatch;
use crate::store::TextHash;

/// Texts taken from the queue at once: about a second of work, so that progress shows and a pause begins soon.
const BATCH: usize = 64;
/// How long the thread sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_secs(5);
/// Pause after a failure: the model may be replaced meanwhile.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How often a paused thread looks whether it may go on.
const PAUSED: Duration = Duration::from_millis(20);

/// Starts the thread.
pub fn start(engine: &Arc<Engine>) -> io::Result<()> {
    let engine = Arc::clone(engine);
    thread::Builder::new().name("embedder".into()).spawn(move || {
        loop {
            if engine.ingests.are_under_way() {
                thread::sleep(PAUSED);
                continue;
            }
            match engine.indexes.next_pending(BATCH) {
                Ok(Some(batch)) => {
                    let embedded = embed(&engine, &batch);
                    if engine.store.failed() {
                        startup::give_up();
                    }
                    if let Err(error) = embedded {
                        log::warn!(
                            "could not embed {} texts with model \"{}\": {error}",
                            batch.texts.len(),
                            batch.spec.name
                        );
                        thread::sleep(AFTER_FAILURE);
                    }
                }
                Ok(None) => {
                    engine.indexes.wait_for_pending(IDLE);
                }
                Err(error) => {
                    log::error!("could not read the queue of texts: {error}");
                    thread::sleep(AFTER_FAILURE);
                }
            }
        }
    })?;
    Ok(())
}

fn embed(engine: &Engine, batch: &PendingBatch) -> Result<(), WireError> {
    let texts: Vec<String> = batch.texts.iter().map(|(_, text)| text.clone()).collect();
    let embedded = engine.embedder.embed(&batch.spec, &texts, Priority::Background, &|| false)?;
    if store_key(embedded.model) != batch.model {
        // The files behind the name were replaced: these texts were queued for a model that is not
        // there any more. They stay queued, and the index says what it waits for.
        return Err(WireError::new(
            ErrorKind::Model,
            format!("model \"{}\" is not the one its index was built with", batch.spec.name),
        )
        .hint("Rebuild the index."));
    }
    let rows: Vec<(TextHash, &[f32])> = batch
        .texts
        .iter()
        .zip(embedded.values.chunks_exact(embedded.dimensions))
        .map(|((hash, _), row)| (*hash, row))
        .collect();
    engine.indexes.complete(batch.model, &rows)
}
