//! The stored graph: what a start takes over, and what it makes right.

use super::super::testing::Random;
use super::*;

fn clustered(seed: u64, count: usize) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let mut vectors = Random::new(seed).clusters(count + 50, 48, 0.6);
    let queries = vectors.split_off(count);
    (vectors, queries)
}

fn measure(world: &World, live: &[(HeapTid, &[f32])], queries: &[Vec<f32>], ef: usize) -> f64 {
    let truths: Vec<_> = queries.iter().map(|q| truth(Metric::L2, live, q, 10)).collect();
    let found: Vec<_> = queries.iter().map(|q| world.nearest(1, q, 10, ef)).collect();
    recall(&found, &truths)
}

#[test]
fn a_start_takes_the_graph_over_and_nothing_is_linked_anew() {
    let (vectors, queries) = clustered(51, 9_000);
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &vectors);
    let answers =
        |world: &World| -> Vec<_> { queries.iter().map(|q| world.nearest(1, q, 10, 40)).collect() };
    let before = answers(&world);
    for _ in 0..2 {
        world.open(Some(CLEAN));
        assert_eq!(world.loaded(1), GenerationState::Ready);
        assert_eq!(world.unlinked(1), 0, "all links were stored");
        // The links are the same, so are the answers.
        assert_eq!(answers(&world), before);
    }
}

#[test]
fn what_changed_since_the_graph_was_stored_is_made_right() {
    let (vectors, queries) = clustered(52, 8_000);
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &vectors[..6_000]);
    let gone: Vec<HeapTid> = (0..6_000).filter(|tid| tid % 3 == 0).collect();
    world.delete(id(1), 5, &gone).unwrap();
    let new: Vec<_> = (6_000..8_000).map(|tid| vector(tid as HeapTid, &vectors[tid])).collect();
    for part in new.chunks(500) {
        world.insert(id(1), 9, true, part.to_vec()).unwrap();
    }
    let live: Vec<_> = (0..8_000usize)
        .filter(|tid| *tid >= 6_000 || tid % 3 != 0)
        .map(|tid| (tid as HeapTid, vectors[tid].as_slice()))
        .collect();
    for round in 0..3 {
        let found = measure(&world, &live, &queries, 40);
        assert!(found >= 0.95, "{round}: {found}");
        let mut all = world.nearest(1, &queries[0], 20_000, 40);
        all.sort_unstable();
        assert_eq!(all, live.iter().map(|(tid, _)| *tid).collect::<Vec<_>>());
        world.open(Some(CLEAN));
        assert_eq!(world.loaded(1), GenerationState::Ready);
        assert_eq!(world.status(&[id(1)])[0].entries, live.len() as u64);
    }
}

#[test]
fn removing_half_after_a_start_keeps_recall() {
    let (vectors, queries) = clustered(53, 12_000);
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &vectors);
    world.open(Some(CLEAN));
    world.loaded(1);
    world.delete(id(1), 5, &(0..12_000).step_by(2).collect::<Vec<_>>()).unwrap();
    let live: Vec<_> =
        (1..12_000usize).step_by(2).map(|tid| (tid as HeapTid, vectors[tid].as_slice())).collect();
    let before = measure(&world, &live, &queries, 40);
    until(|| world.status(&[id(1)])[0].tombstones == 0);
    let after = measure(&world, &live, &queries, 40);
    assert!(before >= 0.95 && after >= 0.95, "{before} {after}");
    for _ in 0..2 {
        world.open(Some(CLEAN));
        assert_eq!(world.loaded(1), GenerationState::Ready);
        assert_eq!(world.status(&[id(1)])[0].entries, 6_000);
        let again = measure(&world, &live, &queries, 40);
        assert!(again >= 0.95, "{again}");
    }
}

#[test]
fn points_alone_are_found_while_others_come() {
    let mut random = Random::new(54);
    let world = World::new();
    world.build_vectors(1, Metric::L2, &(0..9_000).map(|_| random.vector(3)).collect::<Vec<_>>());
    // Each far from everything, then more and more that lie on the way to it.
    for (at, tid) in (9_000..9_020).enumerate() {
        world
            .insert(id(1), 2, false, vec![vector(tid, &[0.0, 50.0 * (at + 1) as f32, 3.0])])
            .unwrap();
    }
    for part in 0..10 {
        let rows: Vec<_> = (0..300)
            .map(|at| vector(20_000 + part * 300 + at, &[1.0, random.number() * 40.0, part as f32]))
            .collect();
        world.insert(id(1), 3, false, rows).unwrap();
    }
    // What was inserted last may not have been looked at yet.
    until(|| world.unlinked(1) == 0 && world.is_reached(1));
    world.shared.get(id(1)).unwrap().reach(&world.shared);
    for (at, tid) in (9_000..9_020).enumerate() {
        let query = [0.0, 50.0 * (at + 1) as f32, 3.1];
        assert_eq!(world.nearest(1, &query, 1, 40), [tid]);
    }
}
