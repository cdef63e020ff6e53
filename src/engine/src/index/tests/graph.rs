//! The graph by itself, against exact answers and against hnsw_rs as a twin.

use hnsw_rs::prelude::{DistL2, Hnsw};
use onyx_protocol::index::Metric;

use super::super::distance::exact;
use super::super::graph::{Graph, GraphOptions, PointId};
use super::super::rows::Layout;
use super::super::snapshot::{self, Header, PART_IDS};
use super::super::testing::Random;

fn graph(metric: Metric, layout: Layout, m: usize, vectors: &[Vec<f32>]) -> Graph {
    let dimensions = vectors[0].len();
    linked(GraphOptions { metric, dimensions, m, ef_construction: 64 }, layout, vectors)
}

/// A graph of vectors, linked by two threads.
fn linked(options: GraphOptions, layout: Layout, vectors: &[Vec<f32>]) -> Graph {
    let graph = Graph::new(options, layout);
    for (id, vector) in vectors.iter().enumerate() {
        assert!(graph.reserve(id as PointId, true));
        // SAFETY: reserved, and not linked yet.
        unsafe { graph.put(id as PointId, vector) };
    }
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let graph = &graph;
            scope.spawn(move || {
                (thread..vectors.len()).step_by(2).for_each(|id| graph.link(id as PointId))
            });
        }
    });
    graph
}

/// The nearest ten, re-ranked by exact distance.
fn nearest(graph: &Graph, vectors: &[Vec<f32>], query: &[f32], ef: usize) -> Vec<PointId> {
    let metric = graph.options.metric;
    let found = graph.search(&graph.walk(), &graph.rows.probe(query), ef);
    let mut found: Vec<_> =
        found.iter().map(|(_, id)| (exact(metric, query, &vectors[*id as usize]), *id)).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().take(10).map(|(_, id)| id).collect()
}

fn recall(
    live: &[PointId],
    vectors: &[Vec<f32>],
    queries: &[Vec<f32>],
    metric: Metric,
    search: impl Fn(&[f32]) -> Vec<PointId>,
) -> f64 {
    let mut hits = 0;
    for query in queries {
        let mut all: Vec<_> =
            live.iter().map(|id| (exact(metric, query, &vectors[*id as usize]), *id)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let found = search(query);
        hits += all[..10].iter().filter(|(_, id)| found.contains(id)).count();
    }
    hits as f64 / (queries.len() * 10) as f64
}

const LAYOUTS: [Layout; 2] = [Layout::Whole, Layout::Split];

#[test]
fn every_metric_finds_its_nearest_in_both_layouts() {
    let mut vectors = Random::new(41).clusters(4_050, 64, 0.5);
    let queries = vectors.split_off(4_000);
    let live: Vec<PointId> = (0..4_000).collect();
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1] {
        for layout in LAYOUTS {
            let graph = graph(metric, layout, 16, &vectors);
            let recall =
                recall(&live, &vectors, &queries, metric, |q| nearest(&graph, &vectors, q, 60));
            assert!(recall >= 0.95, "{metric:?} {layout:?}: {recall}");
            assert_eq!(graph.linked(), 4_000);
        }
    }
}

#[test]
fn it_finds_what_hnsw_rs_finds() {
    let mut vectors = Random::new(42).clusters(5_050, 48, 0.7);
    let queries = vectors.split_off(5_000);
    let live: Vec<PointId> = (0..5_000).collect();
    let twin = Hnsw::<f32, DistL2>::new(16, 5_000, 16, 64, DistL2);
    vectors.iter().enumerate().for_each(|(id, v)| twin.insert((v.as_slice(), id)));
    let reference = recall(&live, &vectors, &queries, Metric::L2, |q| {
        twin.search(q, 10, 40).iter().map(|n| n.d_id as PointId).collect()
    });
    for layout in LAYOUTS {
        let graph = graph(Metric::L2, layout, 16, &vectors);
        let own =
            recall(&live, &vectors, &queries, Metric::L2, |q| nearest(&graph, &vectors, q, 40));
        assert!(own >= reference - 0.01, "{layout:?}: {own}, hnsw_rs {reference}");
    }
}

/// Points that walks on the lowest layer reach.
fn reached(graph: &Graph) -> usize {
    let mut seen = vec![false; graph.end()];
    let mut open: Vec<PointId> = graph.entry().map(|(id, _)| id).into_iter().collect();
    open.iter().for_each(|id| seen[*id as usize] = true);
    let mut count = open.len();
    while let Some(id) = open.pop() {
        for neighbour in graph.links.neighbours(id, 0) {
            if !std::mem::replace(&mut seen[neighbour as usize], true) {
                count += 1;
                open.push(neighbour);
            }
        }
    }
    count
}

#[test]
fn every_point_can_be_reached() {
    let mut random = Random::new(43);
    let mut vectors: Vec<_> = (0..6_000).map(|_| random.vector(3)).collect();
    // Islands, and points alone.
    vectors.extend((0..40).map(|_| random.vector(3).iter().map(|x| x + 1e4).collect()));
    vectors.extend((0..40).map(|at| vec![0.0, 1e5 * (at + 1) as f32, 0.0]));
    let graph = graph(Metric::L2, Layout::Whole, 4, &vectors);
    graph.reach_all(&|| false);
    assert_eq!(reached(&graph), vectors.len());
    // Cut off by hand: nothing leads to these any more.
    for id in 0..vectors.len() as PointId {
        let rest: Vec<_> = graph.links.neighbours(id, 0).filter(|n| *n % 50 != 7).collect();
        graph.links.set(id, 0, &rest);
    }
    assert!(graph.reach_all(&|| false) >= 100);
    assert_eq!(reached(&graph), vectors.len());
}

/// Two halves that only higher layers connect, with the smallest lists there are: all are full, and most links are
/// the only way to what lies behind them.
#[test]
fn halves_that_higher_layers_alone_connect_are_joined() {
    let vectors: Vec<Vec<f32>> = (0..9_500).map(|at| vec![at as f32 / 9_500.0; 8]).collect();
    let options = GraphOptions { metric: Metric::L2, dimensions: 8, m: 2, ef_construction: 4 };
    let graph = linked(options, Layout::Whole, &vectors);
    let half = |id: PointId| id < 4_000;
    for id in 0..vectors.len() as PointId {
        let own: Vec<_> =
            graph.links.neighbours(id, 0).filter(|near| half(*near) == half(id)).collect();
        graph.links.set(id, 0, &own);
    }
    assert!(reached(&graph) < vectors.len());
    graph.reach_all(&|| false);
    assert_eq!(reached(&graph), vectors.len());
}

#[test]
fn recall_survives_the_removal_of_three_quarters() {
    let mut random = Random::new(44);
    let vectors: Vec<_> = (0..10_000).map(|_| random.vector(3)).collect();
    let queries: Vec<_> = (0..100).map(|_| random.vector(3)).collect();
    let graph = graph(Metric::L2, Layout::Whole, 4, &vectors);
    graph.reach_all(&|| false);
    let (live, gone): (Vec<PointId>, Vec<PointId>) = (0..10_000).partition(|id| id % 4 == 0);
    assert!(graph.unlink(&gone, &|| false));
    assert_eq!((graph.linked(), reached(&graph)), (2_500, 2_500));
    let found = recall(&live, &vectors, &queries, Metric::L2, |q| nearest(&graph, &vectors, q, 20));
    assert!(found >= 0.95, "{found}");
    // The ids are used again.
    for id in &gone {
        // SAFETY: out of the graph since `unlink`.
        unsafe { graph.put(*id, &vectors[*id as usize]) };
        graph.link(*id);
    }
    let all: Vec<PointId> = (0..10_000).collect();
    let found = recall(&all, &vectors, &queries, Metric::L2, |q| nearest(&graph, &vectors, q, 40));
    assert!(found >= 0.95, "{found}");
}

#[test]
fn a_repaired_graph_finds_as_much_as_a_new_one() {
    let mut vectors = Random::new(48).clusters(10_100, 48, 0.9);
    let queries = vectors.split_off(10_000);
    let repaired = graph(Metric::L2, Layout::Split, 16, &vectors);
    let (live, gone): (Vec<PointId>, Vec<PointId>) = (0..10_000).partition(|id| id % 2 == 0);
    assert!(repaired.unlink(&gone, &|| false));
    let left: Vec<_> = vectors.iter().step_by(2).cloned().collect();
    let new = graph(Metric::L2, Layout::Split, 16, &left);
    let all: Vec<PointId> = (0..5_000).collect();
    let found = [
        recall(&live, &vectors, &queries, Metric::L2, |q| nearest(&repaired, &vectors, q, 20)),
        recall(&all, &left, &queries, Metric::L2, |q| nearest(&new, &left, q, 20)),
    ];
    assert!(found[0] >= found[1] - 0.01, "repaired and new: {found:?}");
}

#[test]
fn everything_may_be_taken_out() {
    let vectors = Random::new(45).clusters(1_000, 40, 0.5);
    let graph = graph(Metric::Cosine, Layout::Split, 16, &vectors);
    let all: Vec<PointId> = (0..1_000).collect();
    assert!(!graph.unlink(&all, &|| true), "stopped");
    assert!(graph.unlink(&all, &|| false));
    assert_eq!((graph.linked(), graph.entry()), (0, None));
    assert!(graph.search(&graph.walk(), &graph.rows.probe(&vectors[0]), 10).is_empty());
    // SAFETY: out of the graph since `unlink`.
    unsafe { graph.put(3, &vectors[3]) };
    graph.link(3);
    assert_eq!(nearest(&graph, &vectors, &vectors[0], 10), [3]);
}

#[test]
fn searches_go_on_while_points_come_and_go() {
    let vectors = Random::new(46).clusters(6_000, 33, 0.6);
    let graph = graph(Metric::L2, Layout::Split, 8, &vectors[..3_000]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, graph, vectors) = (&done, &graph, &vectors);
        scope.spawn(move || {
            for id in 3_000..6_000 {
                assert!(graph.reserve(id, true));
                // SAFETY: reserved by the one who writes, and not linked yet.
                unsafe { graph.put(id, &vectors[id as usize]) };
                graph.link(id);
            }
        });
        scope.spawn(move || {
            for first in (0..3_000).step_by(500) {
                let gone: Vec<PointId> = (first..first + 500).collect();
                assert!(graph.unlink(&gone, &|| false));
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        scope.spawn(move || {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for query in vectors.iter().step_by(97) {
                    let found = graph.search(&graph.walk(), &graph.rows.probe(query), 20);
                    assert!(found.windows(2).all(|w| w[0].0 <= w[1].0));
                }
            }
        });
    });
    graph.reach_all(&|| false);
    assert_eq!((graph.linked(), reached(&graph)), (3_000, 3_000));
    let live: Vec<PointId> = (3_000..6_000).collect();
    let queries: Vec<_> = vectors[3_000..].iter().step_by(60).cloned().collect();
    let found = recall(&live, &vectors, &queries, Metric::L2, |q| nearest(&graph, &vectors, q, 60));
    assert!(found >= 0.95, "{found}");
}

#[test]
fn a_snapshot_gives_the_links_back() {
    let vectors = Random::new(47).clusters(2_500, 40, 0.5);
    let graph = graph(Metric::L2, Layout::Split, 16, &vectors);
    let header = Header { m: 16, layout: Layout::Split, moment: 3, end: 2_500 };
    assert_eq!(Header::decode(&header.encode()), Some(header));
    let mut points = 0;
    for first in (0..2_500).step_by(PART_IDS) {
        // Every seventh is not to be kept.
        let content = |id: PointId| (!id.is_multiple_of(7)).then_some([id as u8; 16]);
        let part = snapshot::encode_part(&graph, first, 2_500, content);
        let read = snapshot::decode_part(&part, first, header, |id, content, lists| {
            assert_eq!(content, [id as u8; 16]);
            for (layer, list) in lists.iter().enumerate() {
                let mut expected: Vec<_> = graph.links.neighbours(id, layer).collect();
                expected.sort_unstable();
                assert_eq!(*list, expected);
            }
            points += 1;
        });
        assert!(read.is_some());
        for damaged in [&part[..part.len() - 1], &[&part[..], &[0]].concat()] {
            assert!(snapshot::decode_part(damaged, first, header, |_, _, _| ()).is_none());
        }
    }
    assert_eq!(points, (0..2_500).filter(|id| id % 7 != 0).count());
}

#[test]
fn the_snapshot_format_is_what_it_was() {
    let vectors = vec![vec![0.0; 2], vec![1.0; 2], vec![5.0; 2]];
    let graph = graph(Metric::L2, Layout::Whole, 16, &vectors);
    // Written by hand, so that the graph may be built in another way one day.
    graph.links.set(0, 0, &[2, 1]);
    graph.links.set(2, 0, &[1]);
    let header = Header { m: 16, layout: Layout::Split, moment: 0x0102, end: 300 };
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&header.encode()), "01001001000000000000010 20000012c".replace(' ', ""));
    let content = |id: PointId| (id != 1).then_some([0xc0 + id as u8; 16]);
    let part = snapshot::encode_part(&graph, 0, 3, content);
    let (zero, two) = ("c0".repeat(16), "c2".repeat(16));
    assert_eq!(hex(&part), format!("01{zero}020101 00 01{two}0101").replace(' ', ""));
    let bytes = [&[1u8][..], &[0xaa; 16], &[2, 0xac, 0x02, 0x01]].concat();
    let header = Header { end: 1, ..header };
    let mut lists_read = Vec::new();
    snapshot::decode_part(&bytes, 0, header, |_, _, lists| lists_read = lists.to_vec()).unwrap();
    assert_eq!(lists_read, [[300, 301]]);
}
