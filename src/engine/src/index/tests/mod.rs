//! Tests of whole generations, over a real store.

mod contract;
mod density;
mod graph;
mod memory;
mod recall;
mod stored;
mod texts;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onyx_protocol::index::{
    Content, Entry, EntryValue, GenerationHeader, GenerationId, GenerationState, HeapTid, Metric,
    Quantization,
};
use onyx_protocol::startup::RecoveryEnd;
use tempfile::TempDir;

use super::Indexes;
use super::distance::exact;
use crate::store::{ModelKey, Store};

const SYSTEM: u64 = 7_000_000_000_000_000_001;
const CLEAN: RecoveryEnd = RecoveryEnd { life: 1, lsn: 0 };

fn id(n: u8) -> GenerationId {
    GenerationId([n; 16])
}

fn header(n: u8, dimensions: usize, metric: Metric) -> GenerationHeader {
    GenerationHeader {
        id: id(n),
        system_identifier: SYSTEM,
        database: 5,
        relation: 1000 + u32::from(n),
        relfilenumber: 2000 + u32::from(n),
        created_by: 700,
        dimensions: dimensions as u32,
        metric,
        content: Content::Vectors,
        m: 16,
        ef_construction: 64,
        quantization: Quantization::Auto,
    }
}

fn vector(tid: HeapTid, values: &[f32]) -> Entry {
    Entry { tid, value: EntryValue::Vector(values.to_vec()) }
}

fn entries(vectors: &[Vec<f32>]) -> Vec<Entry> {
    vectors.iter().enumerate().map(|(at, v)| vector(at as HeapTid, v)).collect()
}

/// A store in a directory of its own, opened and reopened.
struct World {
    directory: TempDir,
    indexes: Option<Arc<Indexes>>,
    memory: u64,
}

impl World {
    fn new() -> Self {
        Self::with_memory(u64::MAX)
    }

    fn with_memory(memory: u64) -> Self {
        let mut world = Self { directory: tempfile::tempdir().unwrap(), indexes: None, memory };
        world.open(Some(CLEAN));
        world
    }

    fn open(&mut self, recovery: Option<RecoveryEnd>) {
        self.indexes = None;
        let store = Store::open(&self.directory.path().join("store")).unwrap();
        let unheard = self.unheard();
        self.indexes = Some(
            Indexes::open(Arc::new(store), SYSTEM, recovery, &unheard, 2, self.memory).unwrap(),
        );
    }

    /// Where the server writes the end of its recovery for the engine.
    fn unheard(&self) -> PathBuf {
        self.directory.path().join("recovery")
    }

    fn build(&self, header: GenerationHeader, model: Option<ModelKey>, entries: Vec<Entry>) {
        let id = header.id;
        self.create(header, model).unwrap();
        for part in entries.chunks(1000) {
            self.insert(id, 1, false, part.to_vec()).unwrap();
        }
        self.finish(id, &mut |_, _| Ok(()), &|| false).unwrap();
    }

    fn build_vectors(&self, n: u8, metric: Metric, vectors: &[Vec<f32>]) {
        self.build(header(n, vectors[0].len(), metric), None, entries(vectors));
    }

    /// Heap tuples nearest to a query.
    fn nearest(&self, n: u8, query: &[f32], k: usize, ef: usize) -> Vec<HeapTid> {
        let hits = self.search(id(n), query, k, ef, &|| false).unwrap();
        assert!(hits.windows(2).all(|w| w[0].distance <= w[1].distance));
        hits.iter().map(|hit| hit.tid).collect()
    }

    /// Points on their way into the graph.
    fn unlinked(&self, n: u8) -> usize {
        self.shared.get(id(n)).unwrap().graph().1.count()
    }

    /// Whether no look for points out of reach is due.
    fn is_reached(&self, n: u8) -> bool {
        let generation = self.shared.get(id(n)).unwrap();
        !generation.reach_queued.load(std::sync::atomic::Ordering::Relaxed)
            && generation.unreached.load(std::sync::atomic::Ordering::Relaxed) < 256
    }

    fn state(&self, n: u8) -> GenerationState {
        self.status(&[id(n)])[0].state
    }

    /// Waits until loading has ended.
    fn loaded(&self, n: u8) -> GenerationState {
        until(|| self.state(n) != GenerationState::Loading);
        self.state(n)
    }
}

impl std::ops::Deref for World {
    type Target = Indexes;

    fn deref(&self) -> &Indexes {
        self.indexes.as_ref().unwrap()
    }
}

fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The naive twin of a search: everything, sorted.
fn truth(metric: Metric, entries: &[(HeapTid, &[f32])], query: &[f32], k: usize) -> Vec<HeapTid> {
    let mut all: Vec<(f64, HeapTid)> =
        entries.iter().map(|(tid, v)| (exact(metric, query, v), *tid)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.into_iter().take(k).map(|(_, tid)| tid).collect()
}

/// Share of the true neighbours that were found.
fn recall(found: &[Vec<HeapTid>], truth: &[Vec<HeapTid>]) -> f64 {
    let hits: usize =
        found.iter().zip(truth).map(|(f, t)| t.iter().filter(|tid| f.contains(tid)).count()).sum();
    hits as f64 / truth.iter().map(Vec::len).sum::<usize>() as f64
}
