//! Searches against the exact answer.

use super::super::Wanted;
use super::super::testing::Random;
use super::*;

/// Recall@10 over 50 queries.
fn measure(
    world: &World,
    n: u8,
    metric: Metric,
    live: &[(HeapTid, &[f32])],
    queries: &[Vec<f32>],
    ef: usize,
) -> f64 {
    let truths: Vec<_> = queries.iter().map(|q| truth(metric, live, q, 10)).collect();
    let found: Vec<_> = queries.iter().map(|q| world.nearest(n, q, 10, ef)).collect();
    recall(&found, &truths)
}

fn pairs(vectors: &[Vec<f32>]) -> Vec<(HeapTid, &[f32])> {
    vectors.iter().enumerate().map(|(at, v)| (at as HeapTid, v.as_slice())).collect()
}

#[test]
fn ten_thousand_points_in_space() {
    let mut random = Random::new(11);
    let vectors: Vec<_> = (0..10_000).map(|_| random.vector(3)).collect();
    let queries: Vec<_> = (0..50).map(|_| random.vector(3)).collect();
    let world = World::new();
    for (n, metric) in [Metric::L2, Metric::InnerProduct, Metric::Cosine].into_iter().enumerate() {
        world.build_vectors(n as u8, metric, &vectors);
        let recall = measure(&world, n as u8, metric, &pairs(&vectors), &queries, 40);
        assert!(recall >= 0.95, "{metric:?}: {recall}");
    }
}

#[test]
fn clustered_embeddings() {
    let mut vectors = Random::new(12).clusters(5_050, 384, 0.5);
    let queries = vectors.split_off(5_000);
    let world = World::new();
    for (n, metric) in [Metric::L2, Metric::InnerProduct, Metric::Cosine].into_iter().enumerate() {
        world.build_vectors(n as u8, metric, &vectors);
        let recall = measure(&world, n as u8, metric, &pairs(&vectors), &queries, 60);
        assert!(recall >= 0.95, "{metric:?}: {recall}");
    }
}

#[test]
fn recall_survives_the_removal_of_three_quarters() {
    let mut random = Random::new(13);
    let vectors: Vec<_> = (0..10_000).map(|_| random.vector(3)).collect();
    let queries: Vec<_> = (0..50).map(|_| random.vector(3)).collect();
    let world = World::new();
    let mut small = header(1, 3, Metric::L2);
    small.m = 4;
    world.build(small, None, entries(&vectors));
    let gone: Vec<HeapTid> = (0..10_000).filter(|tid| tid % 4 != 0).collect();
    world.delete(id(1), 5, &gone).unwrap();
    let live: Vec<_> = pairs(&vectors).into_iter().filter(|(tid, _)| tid % 4 == 0).collect();
    // At once, while the graph is full of dead points, and after it has been rebuilt.
    let before = measure(&world, 1, Metric::L2, &live, &queries, 20);
    until(|| world.status(&[id(1)])[0].tombstones == 0);
    let after = measure(&world, 1, Metric::L2, &live, &queries, 20);
    assert!(before >= 0.95 && after >= 0.95, "{before} {after}");
    assert!(world.nearest(1, &queries[0], 10_000, 40).iter().all(|tid| tid % 4 == 0));
}

#[test]
fn inserts_searches_and_removals_at_once_lose_nothing() {
    let mut random = Random::new(14);
    let vectors: Vec<_> = (0..18_000).map(|_| random.vector(8)).collect();
    let world = World::new();
    world.build_vectors(1, Metric::L2, &vectors[..9_000]);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (world, vectors) = (&world, &vectors);
            scope.spawn(move || {
                for tid in (9_000 + writer..18_000).step_by(3) {
                    let entry = vec![vector(tid as HeapTid, &vectors[tid])];
                    world.insert(id(1), 2, tid % 50 == 0, entry).unwrap();
                    // Rebuilds begin while the others insert.
                    world.delete(id(1), 2, &[tid as HeapTid - 9_000]).unwrap();
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for query in vectors.iter().step_by(30) {
                    let mut found = world.nearest(1, query, 10, 40);
                    assert_eq!(found.len(), 10);
                    found.sort_unstable();
                    found.dedup();
                    assert_eq!(found.len(), 10, "the same entry twice");
                }
            });
        }
    });
    let mut all = world.nearest(1, &vectors[0], 100_000, 40);
    all.sort_unstable();
    assert_eq!(all, (9_000..18_000).collect::<Vec<_>>());
    let live: Vec<_> = pairs(&vectors).into_iter().filter(|(tid, _)| *tid >= 9_000).collect();
    let queries: Vec<_> = (0..50).map(|_| random.vector(8)).collect();
    assert!(measure(&world, 1, Metric::L2, &live, &queries, 40) >= 0.95);
}

#[test]
fn asking_for_more_and_more_ends_with_everything() {
    let vectors = Random::new(15).clusters(3_000, 16, 0.01);
    let world = World::new();
    world.build_vectors(1, Metric::Cosine, &vectors);
    let mut k = 10;
    loop {
        let found = world.nearest(1, &vectors[0], k, 40);
        assert_eq!(found.len(), k.min(3_000));
        if k >= 3_000 {
            assert_eq!(found, truth(Metric::Cosine, &pairs(&vectors), &vectors[0], 3_000));
            break;
        }
        k *= 2;
    }
}

#[test]
fn islands_the_graph_does_not_connect_are_found() {
    // Two tight clusters far apart: inserted one after the other, the second may be unreachable.
    let mut random = Random::new(16);
    let mut near: Vec<_> = (0..10_000).map(|_| vec![random.number(), random.number()]).collect();
    near.extend((0..50).map(|_| vec![1e6 + random.number(), 1e6 + random.number()]));
    let world = World::new();
    world.build_vectors(1, Metric::L2, &near);
    let found = world.nearest(1, &[1e6, 1e6], 50, 50);
    assert!(found.iter().filter(|tid| **tid >= 10_000).count() >= 48, "{found:?}");
}

#[test]
fn an_answer_is_not_short_because_all_the_graph_proposes_is_dead() {
    let vectors: Vec<_> = (0..10_000).map(|at| vec![at as f32, 0.0]).collect();
    let world = World::new();
    world.build_vectors(1, Metric::L2, &vectors);
    // Too few to be worth a rebuild, and all of them where the search looks.
    world.delete(id(1), 1, &(0..200).collect::<Vec<_>>()).unwrap();
    assert_eq!(world.nearest(1, &[0.0, 0.0], 10, 10), (200..210).collect::<Vec<_>>());
    assert_eq!(world.status(&[id(1)])[0].tombstones, 200);
}

#[test]
fn distances_are_exact_and_ordered_for_every_metric() {
    let mut random = Random::new(17);
    let vectors: Vec<_> = (0..4_000).map(|_| random.vector(12)).collect();
    let query = random.vector(12);
    let world = World::new();
    for (n, metric) in [Metric::L2, Metric::InnerProduct, Metric::Cosine].into_iter().enumerate() {
        world.build_vectors(n as u8, metric, &vectors);
        let hits = world.search(id(n as u8), &query, 20, 40, &|| false).unwrap();
        for hit in &hits {
            assert_eq!(hit.distance, exact(metric, &query, &vectors[hit.tid as usize]));
        }
        assert!(metric != Metric::InnerProduct || hits[0].distance < 0.0, "a negative distance");
    }
}

/// What a strict scan returns: entries that come too late for their place left out.
fn strict_scan(
    world: &World,
    n: u8,
    query: &[f32],
    enough: impl Fn(&[HeapTid]) -> bool,
) -> Vec<HeapTid> {
    let (mut seen, mut last, mut ranking) = (Vec::new(), f64::NEG_INFINITY, None);
    let (mut k, mut after) = (40, 0);
    loop {
        let wanted = Wanted { k, ef: if after == 0 { 40 } else { 4 * k }, after };
        let found = world.go_on(id(n), query, wanted, &mut ranking, &|| false).unwrap();
        assert!(found.hits.windows(2).all(|w| w[0].distance <= w[1].distance));
        let first = found.hits.into_iter().filter(|hit| hit.distance >= last).collect::<Vec<_>>();
        for hit in first {
            if !seen.contains(&hit.tid) {
                seen.push(hit.tid);
                last = hit.distance;
            }
        }
        if found.complete || enough(&seen) {
            return seen;
        }
        (after, k) = (k, if k < 640 { k * 4 } else { k * 2 });
    }
}

#[test]
fn scans_that_go_on_find_what_a_filter_leaves() {
    let mut vectors = Random::new(18).clusters(20_020, 64, 0.6);
    let queries = vectors.split_off(20_000);
    let world = World::new();
    world.build_vectors(1, Metric::L2, &vectors);
    for share in [50, 500, 5_000] {
        let passes = |tid: &HeapTid| tid % share == 7;
        let wanted = 10.min(20_000 / share as usize);
        let live: Vec<_> = pairs(&vectors).into_iter().filter(|(tid, _)| passes(tid)).collect();
        let truths: Vec<_> = queries.iter().map(|q| truth(Metric::L2, &live, q, wanted)).collect();
        let found: Vec<Vec<HeapTid>> = queries
            .iter()
            .map(|query| {
                let passing = |seen: &[HeapTid]| seen.iter().filter(|tid| passes(tid)).count();
                let seen = strict_scan(&world, 1, query, |seen| passing(seen) >= wanted);
                seen.into_iter().filter(passes).take(wanted).collect()
            })
            .collect();
        let found = recall(&found, &truths);
        assert!(found >= 0.99, "1/{share}: {found}");
    }
}

#[test]
fn a_ranking_gives_every_entry_once_while_others_come_and_go() {
    let vectors = Random::new(19).clusters(12_000, 40, 0.6);
    let world = World::new();
    world.build_vectors(1, Metric::L2, &vectors[..11_000]);
    let (mut ranking, mut seen) = (None, Vec::new());
    let (mut k, mut after) = (10, 0);
    loop {
        let wanted = Wanted { k, ef: 4 * k, after };
        let found = world.go_on(id(1), &vectors[0], wanted, &mut ranking, &|| false).unwrap();
        seen.extend(found.hits.iter().map(|hit| hit.tid));
        let new = 11_000 + after.min(999);
        world.insert(id(1), 2, false, vec![vector(new as HeapTid, &vectors[new])]).unwrap();
        world.delete(id(1), 2, &[10_999 - after.min(100) as HeapTid]).unwrap();
        if found.complete {
            break;
        }
        (after, k) = (k, k * 4);
    }
    seen.sort_unstable();
    seen.dedup();
    let stayed = (0..10_899).filter(|tid| seen.binary_search(tid).is_err()).count();
    assert_eq!(stayed, 0);
    // Another query does not go on with it.
    let other = world
        .go_on(id(1), &vectors[5], Wanted { k: 20, ef: 40, after: 10 }, &mut ranking, &|| false)
        .unwrap();
    assert_eq!(other.hits[0].tid, 5);
}
