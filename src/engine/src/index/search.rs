//! Searching a generation.
//!
//! The graph proposes points, the answer is made of their live entries at exact distances. Where the
//! graph would not pay, or proposed too few, every live point is looked at instead, so an answer is
//! short only when there is nothing more.

use std::sync::Arc;

use onyx_protocol::index::{HeapTid, Hit};
use onyx_protocol::{ErrorKind, WireError};

use super::distance::exact;
use super::generation::{Generation, Table};
use super::graph::{Graph, PointId, Walk};
use super::ranking::{Found, Ranking};
use super::shared::Shared;
use crate::store::{TextHash, read};

/// Up to so many points the exact distance to each of them takes no longer than the graph.
const EXACT_POINTS: usize = 1_000;

/// Up to so many points ranking all of them takes about as long as the graph: on word vectors of 100
/// numbers some 12 nanoseconds each, and a search of the graph 50 to 100 microseconds.
pub(super) const SMALL_POINTS: usize = 8_000;

/// One candidate in so many points: about then the graph takes as long as ranking all of them, which
/// it mostly does, in random order.
const EXACT_SHARE: usize = 32;

/// Points that are not linked yet are ranked one by one, unless they are more than one in so many.
const UNLINKED_SHARE: usize = 8;

/// Rows that are on their way from memory while one is measured: they lie anywhere.
const READ_AHEAD: usize = 6;

/// Points looked at under one lock.
const SCAN_POINTS: usize = 2_048;

/// Attempts of a scan that entries move under.
const SCAN_ATTEMPTS: usize = 8;

/// A query on its way.
pub(super) struct Question<'a> {
    pub query: &'a [f32],
    pub k: usize,
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// Whether so many candidates are worth ranking all points.
pub(super) fn is_much(ef: usize, live: usize) -> bool {
    ef > live / EXACT_SHARE
}

impl Generation {
    /// Whether it can be searched, and for this.
    pub(super) fn check_searchable(&self, query: &[f32]) -> Result<(), WireError> {
        self.unusable().map_or(Ok(()), Err)?;
        self.check_vector(query)
    }

    /// The nearest `k` entries by distance, then heap tuple, and in `ranking` what else was proposed.
    pub(super) fn ask(
        &self,
        shared: &Shared,
        query: &[f32],
        (k, ef): (usize, usize),
        ranking: &mut Option<Ranking>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Found, WireError> {
        let question = Question { query, k, cancelled };
        if k == 0 {
            return Ok(Found { hits: Vec::new(), complete: false });
        }
        if let Some(mut proposed) = self.ask_graph(&question, ef.max(k))?
            && let Some(found) = proposed.next(self, shared, k, cancelled)?
        {
            *ranking = Some(proposed);
            return Ok(found);
        }
        let hits = self.scan(shared, &question)?;
        Ok(Found { complete: hits.len() < k, hits })
    }

    /// What the graph proposes, where it pays.
    fn ask_graph(
        &self,
        question: &Question<'_>,
        wanted: usize,
    ) -> Result<Option<Ranking>, WireError> {
        let table = read(&self.table);
        let (live, dead) = (table.points.live(), table.points.tombstones());
        let (graph, linker) = (Arc::clone(&table.graph), Arc::clone(&table.linker));
        drop(table);
        if live <= SMALL_POINTS || is_much(wanted, live) || linker.count() > live / UNLINKED_SHARE {
            return Ok(None);
        }
        // Dead points take places among the candidates: ask for so many more.
        let ef = wanted.saturating_mul(live + dead).div_ceil(live);
        let walk = graph.walk();
        let probe = graph.rows.probe(question.query);
        // First these: one that is linked meanwhile is in the graph.
        let unlinked = linker.unlinked();
        let mut proposed = graph.search(&walk, &probe, ef);
        if !unlinked.is_empty() {
            let mut ranks = Vec::new();
            // SAFETY: within a walk, and these have been put.
            unsafe { graph.rows.ranks(&probe, &unlinked, &mut ranks) };
            proposed.extend(ranks.into_iter().zip(unlinked));
            proposed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            proposed.dedup_by_key(|(_, id)| *id);
            proposed.truncate(ef);
        }
        if (question.cancelled)() {
            return Err(canceled());
        }
        let table = read(&self.table);
        proposed.retain(|(_, id)| table.points.is_live(*id));
        drop(table);
        Ok(Some(Ranking::proposed(self, &graph, question.query, proposed, wanted)))
    }

    /// Exact distances of the entries of points. Vectors that are in the store are read from there, at
    /// once.
    pub(super) fn measure(
        &self,
        shared: &Shared,
        graph: &Graph,
        _walk: &Walk<'_>,
        question: &Question<'_>,
        points: &[PointId],
    ) -> Result<Nearest, WireError> {
        let metric = self.header.metric;
        let mut nearest = Nearest::new(question.k);
        let mut found: Vec<(f64, PointId)> = Vec::with_capacity(points.len());
        let mut values = Vec::new();
        let mut away = Vec::new();
        for (at, id) in points.iter().enumerate() {
            if let Some(later) = points.get(at + READ_AHEAD) {
                graph.rows.prefetch_whole(*later as usize);
            }
            // SAFETY: within a walk, and live points have been put.
            if unsafe { graph.rows.read(*id as usize, &mut values) } {
                found.push((exact(metric, question.query, &values), *id));
            } else {
                away.push(*id);
            }
        }
        for (id, values) in away.iter().zip(self.read_store(shared, &away)?) {
            // A vector that is gone is one whose entry has been removed meanwhile.
            if let Some(values) = values.filter(|v| v.len() == question.query.len()) {
                found.push((exact(metric, question.query, &values), *id));
            }
        }
        let table = read(&self.table);
        for (distance, id) in found {
            if table.points.is_live(id) {
                let push = |tid| nearest.push(Candidate { distance, tid, id });
                table.points.for_tids(id, question.k, push);
            }
        }
        Ok(nearest)
    }

    /// Vectors of points from the store.
    pub(super) fn read_store(
        &self,
        shared: &Shared,
        points: &[PointId],
    ) -> Result<Vec<Option<Vec<f32>>>, WireError> {
        if points.is_empty() {
            return Ok(Vec::new());
        }
        let table = read(&self.table);
        if let Some(model) = self.model {
            let hash = |id: &PointId| table.points.text_hash(*id).unwrap_or(TextHash([0; 32]));
            let hashes: Vec<TextHash> = points.iter().map(hash).collect();
            drop(table);
            return Ok(shared.store.get_many(model, &hashes)?);
        }
        let tids: Vec<HeapTid> = points
            .iter()
            .map(|id| {
                let mut first = HeapTid::MAX;
                table.points.for_tids(*id, 1, |tid| first = tid);
                first
            })
            .collect();
        drop(table);
        Ok(shared.store.item_vectors(self.id(), &tids)?)
    }

    /// The points that rank first of all that are live; all of them while the graph is the present one.
    pub(super) fn rank_all(
        &self,
        graph: &Arc<Graph>,
        question: &Question<'_>,
        count: usize,
    ) -> Result<First, WireError> {
        let _walk = graph.walk();
        let probe = graph.rows.probe(question.query);
        let mut first = First::new(count);
        let (mut ids, mut ranks) = (Vec::new(), Vec::new());
        for from in (0..).step_by(SCAN_POINTS) {
            if (question.cancelled)() {
                return Err(canceled());
            }
            let table = read(&self.table);
            if !Arc::ptr_eq(&table.graph, graph) || from >= table.points.end() {
                break;
            }
            ids.clear();
            ids.extend(table.points.live_ids(from..from + SCAN_POINTS));
            drop(table);
            // SAFETY: within a walk, and live points have been put.
            unsafe { graph.rows.ranks(&probe, &ids, &mut ranks) };
            ranks.iter().zip(&ids).for_each(|(rank, id)| first.push(*rank, *id));
        }
        Ok(first)
    }

    /// Looks at every live point: at the exact distance of each when they are few, else of those that
    /// rank first.
    fn scan(&self, shared: &Shared, question: &Question<'_>) -> Result<Vec<Hit>, WireError> {
        for attempt in 1.. {
            let (graph, _) = self.graph();
            let is_current = |table: &Table| Arc::ptr_eq(&table.graph, &graph);
            let walk = graph.walk();
            let all = question.k.saturating_mul(2).saturating_add(EXACT_POINTS);
            let first = self.rank_all(&graph, question, all)?;
            let mut nearest = self.measure(shared, &graph, &walk, question, &first.into_ids())?;
            // Between two locks an entry may have gone, or moved to another point.
            let table = read(&self.table);
            nearest.shrink();
            let before = nearest.candidates.len();
            nearest.candidates.retain(|c| table.points.point_of(c.tid) == Some(c.id));
            let expected = question.k.min(table.points.searchable_entries());
            let whole = nearest.candidates.len() == before && before >= expected;
            if (whole && is_current(&table)) || attempt == SCAN_ATTEMPTS {
                return Ok(nearest.into_hits());
            }
        }
        Ok(Vec::new())
    }
}

fn canceled() -> WireError {
    WireError::new(ErrorKind::Canceled, "canceled while searching an index")
}

/// Keeps the points that rank first.
pub(super) struct First {
    count: usize,
    points: Vec<(f32, PointId)>,
    /// Whoever ranks behind this is not among them.
    most: f32,
    whole: bool,
}

impl First {
    fn new(count: usize) -> Self {
        Self { count, points: Vec::new(), most: f32::INFINITY, whole: true }
    }

    fn push(&mut self, rank: f32, id: PointId) {
        if rank > self.most {
            return;
        }
        self.points.push((rank, id));
        if self.points.len() >= self.count.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.points.len() > self.count {
            let order = |a: &(f32, PointId), b: &(f32, PointId)| a.0.total_cmp(&b.0);
            self.points.select_nth_unstable_by(self.count, order);
            self.most = self.points[self.count].0;
            self.points.truncate(self.count);
            self.whole = false;
        }
    }

    /// Whether these are all there were.
    pub(super) fn is_whole(&self) -> bool {
        self.whole && self.points.len() <= self.count
    }

    /// The points with their ranks, in no order.
    pub(super) fn into_points(mut self) -> Vec<(f32, PointId)> {
        self.cut();
        self.points
    }

    fn into_ids(self) -> Vec<PointId> {
        let mut points = self.into_points();
        points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        points.into_iter().map(|(_, id)| id).collect()
    }
}

/// An entry at its exact distance.
pub(super) struct Candidate {
    pub distance: f64,
    pub tid: HeapTid,
    id: PointId,
}

/// Keeps the nearest `k` of any number of candidates.
pub(super) struct Nearest {
    k: usize,
    pub candidates: Vec<Candidate>,
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
            self.candidates.select_nth_unstable_by(self.k, by_distance);
            self.candidates.truncate(self.k);
        }
    }

    fn into_hits(mut self) -> Vec<Hit> {
        self.shrink();
        self.candidates.sort_unstable_by(by_distance);
        self.candidates.iter().map(|c| Hit { tid: c.tid, distance: c.distance }).collect()
    }
}

/// By distance, NaN last as PostgreSQL sorts it, then by heap tuple.
pub(super) fn by_distance(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let nan = a.distance.is_nan().cmp(&b.distance.is_nan());
    let distance = a.distance.partial_cmp(&b.distance).unwrap_or(nan);
    distance.then(a.tid.cmp(&b.tid))
}
