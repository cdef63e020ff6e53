//! Searching a generation.
//!
//! The graph proposes points, the answer is made of their live entries at exact distances. Where the
//! graph would not pay, or proposed too few, every live point is looked at instead, so an answer is
//! short only when there is nothing more.

use onyx_protocol::index::{HeapTid, Hit};
use onyx_protocol::{ErrorKind, WireError};

use super::distance::{Vector, exact};
use super::generation::Generation;
use super::graph::PointId;
use crate::store::read;

/// Up to so many points looking at all of them is as fast as the graph.
const EXACT_POINTS: usize = 1_000;

/// Up to so many points, and so many numbers in them, looking at all of them costs well below a
/// millisecond, and finds what the graph may not: hnsw_rs cuts a full neighbour list by distance
/// alone, so that a point far from all others can lose every link that leads to it.
const SMALL_POINTS: usize = 8_000;
const SMALL_NUMBERS: usize = 1 << 20;

/// One candidate in so many points: about then the graph takes as long as looking at all of them,
/// which it mostly does, in random order.
const EXACT_SHARE: usize = 64;

/// Whether a generation is so small that all of it is looked at.
fn is_small(points: usize, dimensions: usize) -> bool {
    points <= EXACT_POINTS
        || (points <= SMALL_POINTS && points.saturating_mul(dimensions) <= SMALL_NUMBERS)
}

/// Points looked at under one lock.
const SCAN_POINTS: usize = 2_048;

/// Attempts of a scan that entries move under.
const SCAN_ATTEMPTS: usize = 8;

impl Generation {
    /// The nearest `k` entries by distance, then heap tuple.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Hit>, WireError> {
        if let Some(error) = self.unusable() {
            return Err(error);
        }
        self.check_vector(query)?;
        if k == 0 {
            return Ok(Vec::new());
        }
        let table = read(&self.table);
        let (live, dead) = (table.points.live(), table.points.dead());
        let graph = table.graph.clone();
        drop(table);
        let query = Vector::new(query);
        let wanted = ef.max(k);
        if is_small(live, self.header.dimensions as usize) || wanted > live / EXACT_SHARE {
            return self.scan(&query, k, cancelled);
        }
        // Dead points take places among the candidates: ask for so many more.
        let ef = wanted.saturating_mul(live + dead).div_ceil(live);
        let proposed = graph.search(&query, ef)?;
        if cancelled() {
            return Err(canceled());
        }
        let table = read(&self.table);
        let mut nearest = Nearest::new(k);
        for id in proposed {
            if let Some(vector) = table.points.live_vector(id) {
                let distance = exact(self.header.metric, query.values(), vector.values());
                table.points.for_tids(id, k, |tid| nearest.push(Candidate { distance, tid, id }));
            }
        }
        let searchable = table.points.searchable_entries();
        drop(table);
        let hits = nearest.into_hits();
        if hits.len() < k.min(searchable) {
            return self.scan(&query, k, cancelled);
        }
        Ok(hits)
    }

    /// Looks at every live point.
    fn scan(
        &self,
        query: &Vector,
        k: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Hit>, WireError> {
        for attempt in 1.. {
            let mut nearest = Nearest::new(k);
            let mut from = 0;
            loop {
                if cancelled() {
                    return Err(canceled());
                }
                let table = read(&self.table);
                if from >= table.points.end() {
                    break;
                }
                table.points.for_live(from..from + SCAN_POINTS, |id, vector| {
                    let distance = exact(self.header.metric, query.values(), vector.values());
                    table.points.for_tids(id, k, |tid| {
                        nearest.push(Candidate { distance, tid, id });
                    });
                });
                from += SCAN_POINTS;
            }
            // Between two locks an entry may have gone, or moved to another point.
            let table = read(&self.table);
            nearest.shrink();
            let before = nearest.candidates.len();
            nearest.candidates.retain(|c| table.points.point_of(c.tid) == Some(c.id));
            drop(table);
            if nearest.candidates.len() == before || attempt == SCAN_ATTEMPTS {
                return Ok(nearest.into_hits());
            }
        }
        Ok(Vec::new())
    }
}

fn canceled() -> WireError {
    WireError::new(ErrorKind::Canceled, "canceled while searching an index")
}

struct Candidate {
    distance: f64,
    tid: HeapTid,
    id: PointId,
}

/// Keeps the nearest `k` of any number of candidates.
struct Nearest {
    k: usize,
    candidates: Vec<Candidate>,
}

impl Nearest {
    fn new(k: usize) -> Self {
        Self { k, candidates: Vec::new() }
    }

    fn push(&mut self, candidate: Candidate) {
        self.candidates.push(candidate);
        if self.candidates.len() > self.k.saturating_mul(2).saturating_add(256) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.candidates.len() > self.k {
            self.candidates.select_nth_unstable_by(self.k, order);
            self.candidates.truncate(self.k);
        }
    }

    fn into_hits(mut self) -> Vec<Hit> {
        self.shrink();
        self.candidates.sort_unstable_by(order);
        self.candidates.iter().map(|c| Hit { tid: c.tid, distance: c.distance }).collect()
    }
}

/// By distance, NaN last as PostgreSQL sorts it, then by heap tuple.
fn order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let nan = a.distance.is_nan().cmp(&b.distance.is_nan());
    let distance = a.distance.partial_cmp(&b.distance).unwrap_or(nan);
    distance.then(a.tid.cmp(&b.tid))
}
