//! What is proposed for an answer in the order of its ranks, and given out at exact distances from the nearest on.
//!
//! The graph proposes a few points, which mostly is enough. A narrow filter wants many times its LIMIT. The graph would be asked for ever more, each time from the beginning,
//! and misses most of what it misses among the farthest; ranking all points reads them in order and misses none.

use std::sync::{Arc, Mutex, Weak};

use onyx_protocol::WireError;
use onyx_protocol::index::{GenerationId, Hit};

use super::Indexes;
use super::generation::Generation;
use super::graph::{Graph, PointId};
use super::memory::Share;
use super::search::{Candidate, Question, SMALL_POINTS, by_distance, is_much};
use super::shared::Shared;
use crate::store::{lock, read};

/// Points that are kept of a ranking, at least; when a scan goes on behind them, all are ranked again.
const KEPT_POINTS: usize = 32_768;

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

/// Points that are brought in order at least.
const SORTED_POINTS: usize = 2_048;

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
    /// Candidates it was made of. Who asks for more asks for better ones.
    candidates: usize,
    /// Whether no point was left out.
    whole: bool,
    given: usize,
    kept: Arc<Kept>,
}

/// What takes the memory of a ranking. Between two times it may be taken away for what needs it more.
pub(super) struct Kept {
    points: Mutex<Option<Ranked>>,
    share: Share,
}

/// Ranked points.
#[derive(Default)]
struct Ranked {
    /// The first `sorted` in order, all others behind them.
    points: Vec<(f32, PointId)>,
    sorted: usize,
    /// Points whose entries have been measured.
    measured: usize,
    /// Entries that have been measured and not been given out.
    waiting: Vec<Candidate>,
}

impl Kept {
    /// Gives the memory back, unless it is in use just now. Whether there was any.
    pub(super) fn forget(&self) -> bool {
        let forgotten = self.points.try_lock().ok().and_then(|mut points| points.take());
        if forgotten.is_some() {
            self.share.set(0);
        }
        forgotten.is_some()
    }
}

impl Ranked {
    fn bytes(&self) -> u64 {
        let waiting = self.waiting.capacity() * size_of::<Candidate>();
        (self.points.capacity() * size_of::<(f32, PointId)>() + waiting) as u64
    }

    /// Brings the first `end` in order, and at least twice as many as are: each time costs a look at all others.
    fn sort(&mut self, end: usize) {
        if end <= self.sorted {
            return;
        }
        let end = end.max(2 * self.sorted).max(SORTED_POINTS).min(self.points.len());
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

impl Ranking {
    /// Of what a graph proposes, nearest first.
    pub(super) fn proposed(
        generation: &Generation,
        graph: &Arc<Graph>,
        query: &[f32],
        points: Vec<(f32, PointId)>,
        candidates: usize,
    ) -> Self {
        let ranked = Ranked { sorted: points.len(), points, ..Ranked::default() };
        Self::new(generation, graph, query, ranked, candidates, generation.share.another())
    }

    fn new(
        generation: &Generation,
        graph: &Arc<Graph>,
        query: &[f32],
        ranked: Ranked,
        candidates: usize,
        share: Share,
    ) -> Self {
        share.set(ranked.bytes());
        Self {
            candidates,
            generation: generation.id(),
            query: query.to_vec(),
            graph: Arc::downgrade(graph),
            whole: false,
            given: 0,
            kept: Arc::new(Kept { points: Mutex::new(Some(ranked)), share }),
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

    /// The next entries. `None` when the ranking ends before they do, or was given up for its memory.
    pub(super) fn next(
        &mut self,
        generation: &Generation,
        shared: &Shared,
        count: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Found>, WireError> {
        let Some(graph) = self.graph.upgrade() else { return Ok(None) };
        let Some(mut ranked) = lock(&self.kept.points).take() else { return Ok(None) };
        let target = self.given + count;
        let ahead = AHEAD + target / AHEAD_SHARE;
        let walk = graph.walk();
        let mut brought = true;
        while ranked.measured < ranked.points.len()
            && (brought || ranked.measured < target + ahead || ranked.waiting.len() < count)
        {
            let end = target.max(ranked.measured + ahead).min(ranked.points.len());
            ranked.sort(end);
            let mut ids: Vec<PointId> =
                ranked.points[ranked.measured..end].iter().map(|(_, id)| *id).collect();
            // Only of those that are live within the walk the rows stay what they are.
            let table = read(&generation.table);
            ids.retain(|id| table.points.is_live(*id));
            drop(table);
            let question = Question { query: &self.query, k: usize::MAX / 4, cancelled };
            let found = generation.measure(shared, &graph, &walk, &question, &ids)?.candidates;
            let nearest = found.iter().map(|c| c.distance).fold(f64::INFINITY, f64::min);
            brought = ranked.waiting.len() < count || {
                ranked.waiting.select_nth_unstable_by(count - 1, by_distance);
                nearest < ranked.waiting[count - 1].distance
            };
            ranked.waiting.extend(found);
            ranked.measured = end;
        }
        if ranked.waiting.len() < count && !self.whole {
            return Ok(None);
        }
        ranked.waiting.sort_unstable_by(by_distance);
        let rest = ranked.waiting.split_off(count.min(ranked.waiting.len()));
        let given = std::mem::replace(&mut ranked.waiting, rest);
        self.given += given.len();
        let complete =
            self.whole && ranked.waiting.is_empty() && ranked.measured == ranked.points.len();
        self.kept.share.set(ranked.bytes());
        *lock(&self.kept.points) = Some(ranked);
        let hits = given.iter().map(|c| Hit { tid: c.tid, distance: c.distance }).collect();
        Ok(Some(Found { hits, complete }))
    }
}

/// Rankings that may be given up for their memory.
#[derive(Default)]
pub(super) struct Rankings(Mutex<Vec<Weak<Kept>>>);

impl Rankings {
    fn add(&self, kept: &Arc<Kept>) {
        let mut all = lock(&self.0);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(kept));
    }

    /// Gives up all that are not in use just now; whether there were any.
    pub(super) fn forget(&self) -> bool {
        let mut any = false;
        lock(&self.0).retain(|one| {
            let Some(one) = one.upgrade() else { return false };
            let forgotten = one.forget();
            any |= forgotten;
            !forgotten
        });
        any
    }
}

impl Generation {
    /// Ranks all points for the entries a scan wants, and is going to. `None` when there is no memory for that.
    fn rank(
        &self,
        shared: &Shared,
        query: &[f32],
        k: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Ranking>, WireError> {
        let (graph, _) = self.graph();
        let kept = k.saturating_mul(KEPT_SHARE).max(KEPT_POINTS);
        let share = self.share.another();
        // Twice what is kept gathers before it is cut.
        let most = kept.saturating_mul(2).min(graph.end());
        let bytes = (most * size_of::<(f32, PointId)>()) as u64;
        if !self.leave_rests_for(shared, bytes) {
            return Ok(None);
        }
        share.set(bytes);
        let question = Question { query, k, cancelled };
        let first = self.rank_all(&graph, &question, kept)?;
        let whole = first.is_whole();
        let mut points = first.into_points();
        points.shrink_to_fit();
        let ranked = Ranked { points, ..Ranked::default() };
        let new = Ranking::new(self, &graph, query, ranked, usize::MAX, share);
        shared.rankings.add(&new.kept);
        Ok(Some(Ranking { whole, ..new }))
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
            if generation.is_worth_ranking(wanted)
                && let Some(mut new) = generation.rank(&self.shared, query, k, cancelled)?
            {
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
