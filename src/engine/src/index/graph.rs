//! The navigable small world graph, behind the few operations the rest of the room needs, so that
//! another form can replace it. The only file that names hnsw_rs.
//!
//! A graph only grows: points are never taken out, the room filters dead ones and builds a new graph
//! when they are too many. Inserting and searching may overlap without limit.
//!
//! hnsw_rs keeps a copy of what it is given; it is given the shared [`Vector`], so the numbers
//! themselves exist once.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hnsw_rs::prelude::{Distance, Hnsw};
use onyx_protocol::index::Metric;
use onyx_protocol::{ErrorKind, WireError};
use rayon::prelude::*;

use super::distance::{Vector, rank};
use crate::store::lock;

/// Identifies a point within its generation.
pub type PointId = u32;

/// Layers hnsw_rs allows at most.
const LAYERS: usize = 16;

/// Points one task of the pool inserts before it looks for other work.
const TASK_POINTS: usize = 32;

/// Points given to the pool at once.
const POOL_POINTS: usize = 1_024;

/// What a graph is built with.
#[derive(Debug, Clone, Copy)]
pub struct GraphOptions {
    /// Distance function.
    pub metric: Metric,
    /// Neighbours on the upper layers, twice as many on layer 0; 2 to 256.
    pub m: usize,
    /// Candidates while inserting.
    pub ef_construction: usize,
}

struct Rank(Metric);

impl Distance<Vector> for Rank {
    fn eval(&self, a: &[Vector], b: &[Vector]) -> f32 {
        rank(self.0, &a[0], &b[0])
    }
}

/// An approximate nearest neighbour graph.
pub struct Graph {
    options: GraphOptions,
    hnsw: ManuallyDrop<Hnsw<'static, Vector, Rank>>,
    points: AtomicUsize,
    /// Held for the first insertion: hnsw_rs loses one of two first points inserted at once.
    first: Mutex<()>,
    pool: Arc<rayon::ThreadPool>,
}

impl Graph {
    /// An empty graph that inserts on the threads of `pool`.
    pub fn new(options: GraphOptions, pool: Arc<rayon::ThreadPool>) -> Self {
        let hnsw = Hnsw::new(options.m, 0, LAYERS, options.ef_construction, Rank(options.metric));
        Self {
            options,
            hnsw: ManuallyDrop::new(hnsw),
            points: AtomicUsize::new(0),
            first: Mutex::new(()),
            pool,
        }
    }

    /// Inserts points, many of them on all threads of the pool, and returns when they can be found.
    ///
    /// # Errors
    /// `Internal` when the library panics; the graph must not be used any more.
    pub fn insert(&self, points: &[(PointId, Vector)]) -> Result<(), WireError> {
        if points.len() <= TASK_POINTS {
            // Not worth waiting for a thread that may be busy with something large.
            return self.insert_here(points);
        }
        // The pool's threads finish what they have begun before they look for anything else.
        for part in points.chunks(POOL_POINTS) {
            guard(|| {
                self.pool.install(|| {
                    part.par_chunks(TASK_POINTS).for_each(|task| {
                        task.iter().for_each(|point| self.insert_one(point));
                    });
                });
            })?;
        }
        Ok(())
    }

    /// Inserts points on the calling thread.
    ///
    /// # Errors
    /// `Internal` when the library panics; the graph must not be used any more.
    pub fn insert_here(&self, points: &[(PointId, Vector)]) -> Result<(), WireError> {
        guard(|| points.iter().for_each(|point| self.insert_one(point)))
    }

    /// Runs something on a thread of the pool, later.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.pool.spawn(work);
    }

    fn insert_one(&self, (id, vector): &(PointId, Vector)) {
        let first = (self.points.load(Ordering::Acquire) == 0).then(|| lock(&self.first));
        self.hnsw.insert((std::slice::from_ref(vector), *id as usize));
        self.points.fetch_add(1, Ordering::Release);
        drop(first);
    }

    /// At most `ef` points near the query, in no particular order of their exact distance.
    ///
    /// # Errors
    /// `Internal` when the library panics.
    pub fn search(&self, query: &Vector, ef: usize) -> Result<Vec<PointId>, WireError> {
        guard(|| {
            let found = self.hnsw.search(std::slice::from_ref(query), ef, ef);
            found.into_iter().map(|neighbour| neighbour.d_id as PointId).collect()
        })
    }

    /// Points inserted.
    pub fn points(&self) -> usize {
        self.points.load(Ordering::Acquire)
    }

    /// An estimate of the memory it takes, the vectors left out.
    pub fn memory_bytes(&self) -> u64 {
        // Measured: sixteen neighbour lists a point, and an allocation of 48 bytes behind each of
        // the pointers of layer 0, of which about three quarters are in use.
        let point = 16 * 24 + 160 + self.options.m * 2 * 3 / 4 * (8 + 48);
        (self.points() * point) as u64
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: dropped here only, and never used again.
        let hnsw = unsafe { ManuallyDrop::take(&mut self.hnsw) };
        // hnsw_rs takes its cycles apart in parallel: on our threads, not on the global pool's.
        self.pool.install(move || drop(hnsw));
    }
}

/// Runs the library; a panic of its own becomes an error.
fn guard<T>(work: impl FnOnce() -> T) -> Result<T, WireError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        WireError::new(ErrorKind::Internal, "the vector graph failed")
            .detail("The graph library panicked; the engine's log has its message.")
    })
}
