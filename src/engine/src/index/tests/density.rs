//! Regions of very different density: walks must leave a dense one for a sparse one beside it, however points came.

use super::super::graph::{Graph, GraphOptions, PointId};
use super::super::rows::Layout;
use super::super::testing::Random;
use super::*;

/// Nine in ten in a small ball, the rest in a wide cube around it or beside it.
fn ball(dimensions: usize, count: usize, radius: f32, beside: f32) -> Vec<Vec<f32>> {
    let mut random = Random::new(61);
    (0..count)
        .map(|at| {
            let (factor, offset) = if at % 10 == 0 { (1.0, beside) } else { (radius, 0.0) };
            random.vector(dimensions).iter().map(|x| factor * x + offset).collect()
        })
        .collect()
}

/// Twenty clusters, each half as wide as the one before, down to a thousandth.
fn clusters(dimensions: usize, count: usize) -> Vec<Vec<f32>> {
    let mut random = Random::new(62);
    let centres: Vec<_> = (0..20).map(|_| random.vector(dimensions)).collect();
    (0..count)
        .map(|_| {
            let n = random.below(20);
            let width = 2f32.powi(-(n as i32) / 2);
            centres[n].iter().map(|x| x + width * random.number()).collect()
        })
        .collect()
}

/// Every hundredth point, a little off its place: half of them sparse ones.
fn queries(vectors: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let ids = (0..vectors.len() / 100).map(|at| at * 100 + at % 2 * 7);
    ids.map(|id| vectors[id].iter().map(|x| x * 1.001).collect()).collect()
}

struct Case {
    graph: Graph,
    vectors: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    truths: Vec<Vec<HeapTid>>,
}

impl Case {
    fn new(vectors: Vec<Vec<f32>>) -> Self {
        let all: Vec<_> =
            vectors.iter().enumerate().map(|(at, v)| (at as HeapTid, v.as_slice())).collect();
        let queries = queries(&vectors);
        let truths = queries.iter().map(|q| truth(Metric::L2, &all, q, 10)).collect();
        Self { graph: Self::empty(&vectors), vectors, queries, truths }
    }

    fn empty(vectors: &[Vec<f32>]) -> Graph {
        let dimensions = vectors[0].len();
        let options = GraphOptions { metric: Metric::L2, dimensions, m: 16, ef_construction: 64 };
        let graph = Graph::new(options, Layout::Whole);
        for (id, vector) in vectors.iter().enumerate() {
            assert!(graph.reserve(id as PointId, true));
            // SAFETY: reserved, and not linked yet.
            unsafe { graph.put(id as PointId, vector) };
        }
        graph
    }

    fn link(&self, ids: &[PointId]) {
        std::thread::scope(|scope| {
            for first in 0..2 {
                let ids = ids.iter().skip(first).step_by(2);
                scope.spawn(move || ids.for_each(|id| self.graph.link(*id)));
            }
        });
        self.graph.reach_all(&|| false);
        assert!(self.graph.out_of_reach().is_empty());
    }

    /// Recall of all queries, and the fewest found of one.
    fn recall(&self, ef: usize) -> (f64, usize) {
        let found: Vec<usize> = self
            .queries
            .iter()
            .zip(&self.truths)
            .map(|(query, truth)| {
                let probe = self.graph.rows.probe(query);
                let mut found = self.graph.search(&self.graph.walk(), &probe, ef);
                found.truncate(10);
                found.iter().filter(|(_, id)| truth.contains(&u64::from(*id))).count()
            })
            .collect();
        let share = found.iter().sum::<usize>() as f64 / (10 * found.len()) as f64;
        (share, found.into_iter().min().unwrap_or(0))
    }

    fn assert_good(&self, what: &str) {
        let found = self.recall(100);
        assert!(found.0 >= 0.995 && found.1 >= 7, "{what}: {found:?}");
    }
}

#[test]
fn sparse_regions_beside_dense_ones_are_found() {
    for (what, vectors) in [
        ("around a ball", ball(3, 20_000, 1e-3, 0.0)),
        ("beside a ball", ball(3, 20_000, 0.1, 3.0)),
        ("clusters", clusters(8, 20_000)),
    ] {
        let case = Case::new(vectors);
        let all: Vec<PointId> = (0..case.vectors.len() as PointId).collect();
        case.link(&all);
        case.assert_good(what);
        // All of them leave and come back, a sixth at a time.
        for round in 0..6 {
            let hash = |id: &PointId| id.wrapping_mul(2_654_435_761) >> 16;
            let part: Vec<_> = all.iter().copied().filter(|id| hash(id) % 6 == round).collect();
            assert!(case.graph.unlink(&part, &|| false));
            for id in &part {
                // SAFETY: out of the graph since `unlink`.
                unsafe { case.graph.put(*id, &case.vectors[*id as usize]) };
            }
            case.link(&part);
        }
        case.assert_good(&format!("{what}, come back"));
    }
}

#[test]
fn sparse_regions_are_found_although_the_dense_one_came_later() {
    let mut case = Case::new(ball(8, 12_000, 1e-3, 0.0));
    let (sparse, dense): (Vec<_>, Vec<_>) = (0..12_000).partition(|id| id % 10 == 0);
    for (first, then) in [(&sparse, &dense), (&dense, &sparse)] {
        case.graph = Case::empty(&case.vectors);
        case.link(first);
        case.link(then);
        let found = case.recall(100);
        assert!(found.0 >= 0.95, "{found:?}");
    }
}

#[test]
fn batches_inserted_and_removed_at_once_leave_every_row_within_reach() {
    let vectors = ball(3, 24_000, 0.1, 3.0);
    let world = World::new();
    world.build(header(1, 3, Metric::L2), None, entries(&vectors[..12_000]));
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (world, vectors) = (&world, &vectors);
            scope.spawn(move || {
                for batch in (0..12_000usize).step_by(100).skip(writer).step_by(2) {
                    let new = (12_000 + batch..12_100 + batch)
                        .map(|tid| vector(tid as HeapTid, &vectors[tid]));
                    world.insert(id(1), 2, false, new.collect()).unwrap();
                    let old: Vec<HeapTid> =
                        (batch..batch + 100).filter(|tid| tid % 3 == 0).map(|t| t as u64).collect();
                    world.delete(id(1), 2, &old).unwrap();
                }
            });
        }
    });
    until(|| world.unlinked(1) == 0 && world.is_reached(1));
    assert!(world.out_of_reach(id(1), &|| false).unwrap().is_empty());
    let live: Vec<_> = vectors
        .iter()
        .enumerate()
        .filter(|(at, _)| *at >= 12_000 || at % 3 != 0)
        .map(|(at, v)| (at as HeapTid, v.as_slice()))
        .collect();
    for ef in [100, 400] {
        let queries = queries(&vectors);
        let truths: Vec<_> = queries.iter().map(|q| truth(Metric::L2, &live, q, 10)).collect();
        let found: Vec<_> = queries.iter().map(|q| world.nearest(1, q, 10, ef)).collect();
        let found = recall(&found, &truths);
        assert!(found >= 0.99, "ef {ef}: {found}");
    }
}

#[test]
fn heaps_that_codes_cannot_tell_apart_are_found() {
    let vectors = clusters(48, 10_000);
    let world = World::new();
    world.build_vectors(1, Metric::L2, &vectors);
    let all: Vec<_> =
        vectors.iter().enumerate().map(|(at, v)| (at as HeapTid, v.as_slice())).collect();
    let queries = queries(&vectors);
    let truths: Vec<_> = queries.iter().map(|q| truth(Metric::L2, &all, q, 10)).collect();
    let found: Vec<_> = queries.iter().map(|q| world.nearest(1, q, 10, 100)).collect();
    let found = recall(&found, &truths);
    assert!(found >= 0.95, "{found}");
}
