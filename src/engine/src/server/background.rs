//! Embedding what is queued, while nobody waits: one thread, small batches, behind every
//! interactive call.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use onyx_protocol::{ErrorKind, WireError};

use super::Engine;
use super::cache::store_key;
use crate::embed::Priority;
use crate::index::PendingBatch;
use crate::store::TextHash;

/// Texts taken from the queue at once: a few seconds of work, so that progress shows.
const BATCH: usize = 256;
/// How long the thread sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_secs(5);
/// Pause after a failure: the model may be replaced meanwhile.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Starts the thread.
pub fn start(engine: &Arc<Engine>) -> io::Result<()> {
    let engine = Arc::clone(engine);
    thread::Builder::new().name("embedder".into()).spawn(move || {
        loop {
            match engine.indexes.next_pending(BATCH) {
                Ok(Some(batch)) => {
                    if let Err(error) = embed(&engine, &batch) {
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
    let embedded =
        engine.embedder.embed(&batch.spec, &texts, Priority::Background, &|| false)?;
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
