//! Embedding what is queued, while nobody waits: one thread, small batches, behind every
//! interactive call, and not while something is ingested. A user waits for that, and the texts it
//! queues belong to a transaction that may still be rolled back.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use onyx_protocol::{ErrorKind, WireError};

use super::cache::store_key;
use super::{Engine, startup};
use crate::embed::Priority;
use crate::index::PendingBatch;
use crate::store::{TextHash, lock};

/// Texts taken from the queue at once: about a second of work, so that progress shows and a pause begins soon.
const BATCH: usize = 64;
/// How long the thread sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_secs(5);
/// Pause after a failure: the model may be replaced meanwhile.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How often a paused thread looks whether it may go on.
const PAUSED: Duration = Duration::from_millis(20);

/// How long an ingest may be silent between two of its requests: its client writes rows meanwhile. One
/// that was given up holds embedding this long.
const BETWEEN_REQUESTS: Duration = Duration::from_secs(5);

/// The ingests under way.
#[derive(Default)]
pub struct Ingests {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Requests of ingests that run now.
    requests: usize,
    /// Until when another is expected.
    until: Option<Instant>,
}

/// Holds embedding in the background for as long as it lives, and until the ingest goes on.
pub struct Pause<'a>(&'a Ingests);

impl Ingests {
    /// Holds embedding in the background; a batch under way is finished.
    pub fn pause(&self) -> Pause<'_> {
        lock(&self.state).requests += 1;
        Pause(self)
    }

    /// An ingest has sent its last request.
    pub fn ended(&self) {
        lock(&self.state).until = None;
    }

    fn are_under_way(&self) -> bool {
        let state = lock(&self.state);
        state.requests > 0 || state.until.is_some_and(|until| Instant::now() < until)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.requests -= 1;
        state.until = Instant::now().checked_add(BETWEEN_REQUESTS);
    }
}

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

#[cfg(test)]
mod tests {
    use super::Ingests;

    #[test]
    fn an_ingest_goes_on_between_its_requests() {
        let ingests = Ingests::default();
        assert!(!ingests.are_under_way());
        let walk = ingests.pause();
        drop(ingests.pause());
        ingests.ended();
        assert!(ingests.are_under_way(), "the other's walk goes on");
        drop(walk);
        assert!(ingests.are_under_way(), "rows are written");
        drop(ingests.pause());
        assert!(ingests.are_under_way());
        ingests.ended();
        assert!(!ingests.are_under_way());
    }
}
