//! The engine's own figures.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use onyx_protocol::message::{EmbeddingStat, EngineStat, ModelStat};

use super::Engine;

/// Requests since start.
pub struct Counters {
    started: Instant,
    requests: AtomicU64,
    errors: AtomicU64,
    active: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            active: AtomicU64::new(0),
        }
    }
}

/// A request being counted.
pub struct Counting<'a>(&'a Counters);

impl Counters {
    /// Counts a request that begins.
    pub fn begin(&self) -> Counting<'_> {
        self.active.fetch_add(1, Ordering::Relaxed);
        Counting(self)
    }
}

impl Counting<'_> {
    /// Counts its end.
    pub fn end(self, failed: bool) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.errors.fetch_add(u64::from(failed), Ordering::Relaxed);
    }
}

/// Resident memory in bytes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let kilobytes = fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kilobytes.unwrap_or_default() << 10
}

/// Figures of the whole engine.
pub fn engine(engine: &Engine) -> EngineStat {
    let counters = &engine.counters;
    EngineStat {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_seconds: counters.started.elapsed().as_secs_f64(),
        resident_bytes: resident_bytes(),
        index_bytes: engine.indexes.memory_bytes(),
        requests: counters.requests.load(Ordering::Relaxed),
        errors: counters.errors.load(Ordering::Relaxed),
        active: counters.active.load(Ordering::Relaxed),
        store_bytes: engine.store.store_bytes(),
        generations: engine.indexes.generations(),
        embeddings: engine.store.embedding_count(),
    }
}

/// Figures of the models, with what waits for each.
pub fn embedding(engine: &Engine) -> EmbeddingStat {
    let mut models = engine.embedder.stats();
    for (_, spec, pending) in engine.indexes.pending_counts() {
        match models.iter_mut().find(|m| m.model == spec.name) {
            Some(model) => model.pending += pending,
            None => models.push(ModelStat {
                model: spec.name,
                pending,
                embedded: 0,
                cache_hits: 0,
                tokens: 0,
                busy_seconds: 0.0,
                last_error: String::new(),
            }),
        }
    }
    EmbeddingStat { models }
}
