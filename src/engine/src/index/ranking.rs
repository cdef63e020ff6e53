//! What is proposed for an answer in the order of its ranks, and given out at exact distances from the nearest on.
//!
//! The graph proposes a few points, which mostly is enough. A narrow filter wants many times its LIMIT. The graph would be asked for ever more, each time from the beginning,
//! and misses most of what it misses among the farthest; ranking all points reads them in order and misses none.

use std::sync::{Arc, Weak};

use onyx_protocol::WireError;
use onyx_protocol::index::{GenerationId, Hit};

use super::Indexes;
use super::generation::Generation;
use super::graph::{Graph, PointId};
use super::search::{Candidate, Question, SMALL_POINTS, by_distance, is_much};
use super::shared::Shared;
use crate::store::read;

/// Points that are kept of a ranking, at least; when a scan goes on behind them, all are ranked again.
const KEPT_POINTS: usize = 65_536;

/// More points than that for each entry that is wanted.
const KEPT_SHARE: usize = 16;

/// From so many candidates on, and up to so many bytes to be read, ranking all points takes no longer than asking
/// the graph for the next ones.
const RANKED_EF: usize = 1_024;
const RANKED_BYTES: usize = 32 << 20;

/// Points that are measured at once behind those that are given out, and one for each so many before them, as long
/// as the last ones bring any of the nearest: ranks are not quite in the order of distances.
const AHEAD: usize = 8;
const AHEAD_SHARE: usize = 8;

/// What a scan wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// How many entries in all.
    pub k: usize,
    /// Candidates of the graph.
    pub ef: usize,
    /// How many it has been given.
    pub after: usize,
}

/// What it is given.
#[derive(Debug)]
pub struct Found {
    /// Entries by distance, then heap tuple.
    pub hits: Vec<Hit>,
    /// There are no more behind these.
    pub complete: bool,
}

/// Points near a query, in their order, of a scan under way.
pub struct Ranking {
    generation: GenerationId,
    query: Vec<f32>,
    graph: Weak<Graph>,
    /// The first `sorted` in order, all others behind them.
    points: Vec<(f32, PointId)>,
    sorted: usize,
    /// Candidates it was made of. Who asks for more asks for better ones.
    candidates: usize,
    /// Whether no point was left out.
    whole: bool,
    /// Points whose entries have been measured.
    measured: usize,
    /// Entries that have been measured and not been given out.
    waiting: Vec<Candidate>,
    given: usize,
}

impl Ranking {
    /// Of what a graph proposes, nearest first.
    pub(super) fn proposed(
        generation: &Generation,
        graph: &Arc<Graph>,
        query: &[f32],
        points: Vec<(f32, PointId)>,
        candidates: usize,
    ) -> Self {
        Self {
            candidates,
            generation: generation.id(),
            query: query.to_vec(),
            graph: Arc::downgrade(graph),
            sorted: points.len(),
            points,
            whole: false,
            measured: 0,
            waiting: Vec::new(),
            given: 0,
        }
    }

    fn is_of(&self, generation: &Generation, query: &[f32], wanted: Wanted) -> bool {
        let (graph, _) = generation.graph();
        self.generation == generation.id()
            && self.given == wanted.after
            && self.candidates >= wanted.ef
            && std::ptr::eq(self.graph.as_ptr(), Arc::as_ptr(&graph))
            && self.query == query
    }

    /// The next entries. `None` when the ranking ends before they do.
    pub(super) fn next(
        &mut self,
        generation: &Generation,
        shared: &Shared,
        count: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Found>, WireError> {
        let Some(graph) = self.graph.upgrade() else { return Ok(None) };
        let target = self.given + count;
        let ahead = AHEAD + target / AHEAD_SHARE;
        let walk = graph.walk();
        let mut brought = true;
        while self.measured < self.points.len()
            && (brought || self.measured < target + ahead || self.waiting.len() < count)
        {
            let end = target.max(self.measured + ahead).min(self.points.len());
            self.sort(end);
            let mut ids: Vec<PointId> =
                self.points[self.measured..end].iter().map(|(_, id)| *id).collect();
            // Only of those that are live within the walk the rows stay what they are.
            let table = read(&generation.table);
            ids.retain(|id| table.points.is_live(*id));
            drop(table);
            let question = Question { query: &self.query, k: usize::MAX / 4, cancelled };
            let found = generation.measure(shared, &graph, &walk, &question, &ids)?.candidates;
            let nearest = found.iter().map(|c| c.distance).fold(f64::INFINITY, f64::min);
            brought = self.waiting.len() < count || {
                self.waiting.select_nth_unstable_by(count - 1, by_distance);
                nearest < self.waiting[count - 1].distance
            };
            self.waiting.extend(found);
            self.measured = end;
        }
        if self.waiting.len() < count && !self.whole {
            return Ok(None);
        }
        self.waiting.sort_unstable_by(by_distance);
        let rest = self.waiting.split_off(count.min(self.waiting.len()));
        let given = std::mem::replace(&mut self.waiting, rest);
        self.given += given.len();
        let complete = self.whole && self.waiting.is_empty() && self.measured == self.points.len();
        let hits = given.iter().map(|c| Hit { tid: c.tid, distance: c.distance }).collect();
        Ok(Some(Found { hits, complete }))
    }

    /// Brings the first `end` in order.
    fn sort(&mut self, end: usize) {
        if end <= self.sorted {
            return;
        }
        let order = |a: &(f32, PointId), b: &(f32, PointId)| a.0.total_cmp(&b.0);
        let rest = &mut self.points[self.sorted..];
        let count = end - self.sorted;
        if count < rest.len() {
            rest.select_nth_unstable_by(count, order);
        }
        rest[..count].sort_unstable_by(order);
        self.sorted = end;
    }
}

impl Generation {
    /// Ranks all points for the entries a scan wants, and is going to.
    fn rank(
        &self,
        query: &[f32],
        k: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Ranking, WireError> {
        let (graph, _) = self.graph();
        let kept = k.saturating_mul(KEPT_SHARE).max(KEPT_POINTS);
        let question = Question { query, k, cancelled };
        let first = self.rank_all(&graph, &question, kept)?;
        let whole = first.is_whole();
        let points = first.into_points();
        Ok(Ranking {
            sorted: 0,
            whole,
            ..Ranking::proposed(self, &graph, query, points, usize::MAX)
        })
    }

    fn is_worth_ranking(&self, wanted: Wanted) -> bool {
        let table = read(&self.table);
        let live = table.points.live();
        let bytes = table.graph.rows.row_bytes().0 * live;
        live <= SMALL_POINTS
            || is_much(wanted.ef.max(wanted.k), live)
            || (wanted.ef >= RANKED_EF && bytes <= RANKED_BYTES)
    }
}

impl Indexes {
    /// Answers a scan that wants more and more of a query's nearest entries. Those given before may come again.
    /// `ranking` is what is kept for it from one time to the next.
    ///
    /// # Errors
    /// As of [`Indexes::search`].
    pub fn go_on(
        &self,
        id: GenerationId,
        query: &[f32],
        wanted: Wanted,
        ranking: &mut Option<Ranking>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Found, WireError> {
        let Wanted { k, ef, after } = wanted;
        let kept = ranking.take();
        let generation = self.get(id)?;
        self.hurry(&generation);
        generation.check_searchable(query)?;
        if after > 0 && k > after {
            if let Some(mut known) = kept.filter(|r| r.is_of(&generation, query, wanted))
                && let Some(found) = known.next(&generation, &self.shared, k - after, cancelled)?
            {
                *ranking = (!found.complete).then_some(known);
                return Ok(found);
            }
            if generation.is_worth_ranking(wanted) {
                let mut new = generation.rank(query, k, cancelled)?;
                // More may have been removed meanwhile than is kept beyond what is wanted.
                if let Some(found) = new.next(&generation, &self.shared, k, cancelled)? {
                    *ranking = (!found.complete).then_some(new);
                    return Ok(found);
                }
            }
        }
        generation.ask(&self.shared, query, (k, ef), ranking, cancelled)
    }
}
