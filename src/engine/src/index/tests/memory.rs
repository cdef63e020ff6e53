//! Generations that do not fit into the memory they may take.

use onyx_protocol::ErrorKind;

use super::super::testing::Random;
use super::super::{Ranking, Wanted};
use super::*;

/// Rows of 48 numbers: 192 bytes of numbers, of which 144 may be left to the store.
fn rows(count: usize) -> Vec<Vec<f32>> {
    Random::new(61).clusters(count, 48, 0.6)
}

#[track_caller]
fn assert_right(world: &World, vectors: &[Vec<f32>]) {
    let pairs: Vec<_> =
        vectors.iter().enumerate().map(|(at, v)| (at as HeapTid, v.as_slice())).collect();
    let (mut found, mut truths) = (Vec::new(), Vec::new());
    for query in vectors.iter().step_by(vectors.len() / 40) {
        let query: Vec<f32> = query.iter().map(|x| x * 0.9 + 0.01).collect();
        let hits = world.search(id(1), &query, 10, 60, &|| false).unwrap();
        for hit in &hits {
            assert_eq!(hit.distance, exact(Metric::L2, &query, &vectors[hit.tid as usize]));
        }
        found.push(hits.iter().map(|hit| hit.tid).collect::<Vec<_>>());
        truths.push(truth(Metric::L2, &pairs, &query, 10));
    }
    let recall = recall(&found, &truths);
    assert!(recall >= 0.95, "{recall}");
}

#[test]
fn vectors_that_do_not_fit_are_read_from_the_store() {
    let vectors = rows(6_000);
    let limit = 2_000_000;
    let mut world = World::with_memory(limit);
    world.build_vectors(1, Metric::L2, &vectors);
    for _ in 0..2 {
        assert_right(&world, &vectors);
        let bytes = world.memory_bytes();
        assert!(bytes > 6_000 * 150 && bytes < limit, "{bytes}");
        world.open(Some(CLEAN));
        assert_eq!(world.loaded(1), GenerationState::Ready);
    }
    // With more memory they are kept.
    world.memory = u64::MAX;
    world.open(Some(CLEAN));
    world.loaded(1);
    assert!(world.memory_bytes() > limit);
    assert_right(&world, &vectors);
}

#[test]
fn vectors_leave_the_memory_when_more_points_come() {
    let vectors = rows(20_000);
    let limit = 5_500_000;
    let world = World::with_memory(limit);
    world.create(header(1, 48, Metric::L2), None).unwrap();
    let mut most = 0;
    for part in entries(&vectors).chunks(1_000) {
        world.insert(id(1), 1, false, part.to_vec()).unwrap();
        most = most.max(world.memory_bytes());
    }
    world.finish(id(1), &mut |_, _| Ok(()), &|| false).unwrap();
    // Numbers in full were in memory at first, and made room then.
    assert!(most > 16_000 * 300 && most <= limit + 500_000, "{most}");
    assert_right(&world, &vectors);
}

#[test]
fn what_fits_nowhere_says_so() {
    let vectors = rows(6_000);
    let mut world = World::with_memory(1_000_000);
    world.create(header(1, 48, Metric::L2), None).unwrap();
    let error = entries(&vectors)
        .chunks(500)
        .find_map(|part| world.insert(id(1), 1, false, part.to_vec()).err())
        .expect("it does not fit");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    let status = &world.status(&[id(1)])[0];
    assert_eq!(status.state, GenerationState::Stale);
    let reason = "the index does not fit into onyx.memory_limit of 1 MB: Its graph and codes need";
    assert!(status.reason.starts_with(reason), "{}", status.reason);
    // One that did fit may not fit any more after a start.
    world.memory = u64::MAX;
    world.open(Some(CLEAN));
    world.build_vectors(2, Metric::L2, &vectors);
    world.memory = 1_000_000;
    world.open(Some(CLEAN));
    assert_eq!(world.loaded(2), GenerationState::Stale);
    assert!(world.status(&[id(2)])[0].reason.contains("onyx.memory_limit"));
    assert!(world.memory_bytes() < 1_000_000);
}

#[test]
fn one_generation_makes_room_for_another() {
    let vectors = rows(6_000);
    // Both in full would be 4.1 million bytes, codes and links alone 2.4.
    let mut world = World::with_memory(4_000_000);
    world.build_vectors(1, Metric::L2, &vectors);
    let whole = world.memory_bytes();
    world.build_vectors(2, Metric::L2, &vectors);
    for _ in 0..2 {
        assert!(world.memory_bytes() < 4_000_000 && whole > 2_000_000, "{whole}");
        assert_eq!(
            (world.loaded(1), world.loaded(2)),
            (GenerationState::Ready, GenerationState::Ready)
        );
        assert_right(&world, &vectors);
        world.open(Some(CLEAN));
    }
}

#[test]
fn rankings_count_and_are_given_up_for_points() {
    let vectors = rows(20_000);
    let limit = 6_000_000;
    let world = World::with_memory(limit);
    world.build_vectors(1, Metric::L2, &vectors[..18_000]);
    let before = world.shared.budget.used();
    // Scans of as many connections that go on: each keeps what it has ranked.
    let wanted = |k, after| Wanted { k, ef: 40, after };
    let mut rankings: Vec<Option<Ranking>> = (0..40).map(|_| None).collect();
    for (ranking, query) in rankings.iter_mut().zip(&vectors) {
        let first = world.go_on(id(1), query, wanted(40, 0), ranking, &|| false).unwrap();
        let more = world.go_on(id(1), query, wanted(800, 40), ranking, &|| false).unwrap();
        assert!(first.hits.len() == 40 && more.hits.len() >= 760);
        assert!(world.shared.budget.used() <= limit + 100_000, "{}", world.shared.budget.used());
    }
    let kept = world.shared.budget.used() - world.memory_bytes();
    assert!(kept > 18_000 * 8, "{kept} bytes of rankings, {before} before");
    // They are no reason that an index does not fit, and who loses his ranks again.
    for part in entries(&vectors).chunks(500) {
        world.insert(id(1), 1, false, part.to_vec()).unwrap();
    }
    let live: Vec<_> =
        vectors.iter().enumerate().map(|(at, v)| (at as HeapTid, v.as_slice())).collect();
    for (ranking, query) in rankings.iter_mut().zip(&vectors).step_by(10) {
        let found = world.go_on(id(1), query, wanted(900, 800), ranking, &|| false).unwrap();
        let tids: Vec<HeapTid> = found.hits.iter().map(|hit| hit.tid).collect();
        assert!(
            recall(&[tids], &[truth(Metric::L2, &live, query, 900)]) >= 0.99
                || found.hits.len() == 100
        );
    }
    drop(rankings);
    assert_eq!(world.shared.budget.used(), world.memory_bytes());
}

#[test]
fn prewarming_reads_vectors_back_once_there_is_room() {
    let mut world = World::with_memory(2_000_000);
    let vectors = rows(6_000);
    world.build_vectors(1, Metric::L2, &vectors);
    let tight = world.memory_bytes();
    assert_eq!(world.prewarm(id(1), &|| false).unwrap(), tight, "there is no room");
    world.set_memory_limit(u64::MAX);
    // A point that died may come back: its chunk waits until the point has been taken out.
    world.delete(id(1), 9, &[17]).unwrap();
    assert!(world.prewarm(id(1), &|| false).unwrap() < tight + 1_000);
    world.insert(id(1), 10, true, vec![vector(17, &vectors[17])]).unwrap();
    let whole = world.prewarm(id(1), &|| false).unwrap();
    assert!(whole >= tight + 6_000 * 3 * 48, "{tight} {whole}");
    assert_eq!(world.memory_bytes(), whole);
    assert_right(&world, &vectors);
    // What is written to such a chunk later has its rest too.
    let late = vec![0.5; 48];
    world.insert(id(1), 11, true, vec![vector(9_000, &late)]).unwrap();
    let hit = world.search(id(1), &late, 1, 40, &|| false).unwrap()[0];
    assert_eq!((hit.tid, hit.distance), (9_000, 0.0));
    // A start without prewarming has them as well, and a cancel is noticed.
    world.memory = u64::MAX;
    world.open(Some(CLEAN));
    world.prewarm(id(1), &|| false).unwrap();
    assert_eq!(world.state(1), GenerationState::Ready, "it waits for the load");
    assert!(world.prewarm(id(1), &|| true).is_err());
    assert!(world.prewarm(id(2), &|| false).is_err(), "there is none");
}

#[test]
fn quantization_decides_how_vectors_are_kept() {
    let vectors = rows(2_000);
    let few = Random::new(63).clusters(500, 8, 0.6);
    let mut world = World::new();
    let layout = |world: &World, n| world.shared.get(id(n)).unwrap().graph().0.rows.layout();
    use super::super::rows::Layout::{Split, Whole};
    let cases = [
        (1, &vectors, Quantization::Auto, Split),
        (2, &vectors, Quantization::None, Whole),
        (3, &vectors, Quantization::Sq8, Split),
        (4, &few, Quantization::Auto, Whole),
        (5, &few, Quantization::Sq8, Split),
    ];
    for (n, vectors, quantization, _) in cases {
        let header = GenerationHeader { quantization, ..header(n, vectors[0].len(), Metric::L2) };
        world.build(header, None, entries(vectors));
    }
    for _ in 0..2 {
        for (n, vectors, quantization, expected) in cases {
            assert_eq!(world.loaded(n), GenerationState::Ready);
            assert_eq!(layout(&world, n), expected, "{quantization:?}");
            let hits = world.search(id(n), &vectors[5], 3, 60, &|| false).unwrap();
            assert_eq!((hits[0].tid, hits[0].distance), (5, 0.0), "{quantization:?}");
            assert_eq!(
                hits[1].distance,
                exact(Metric::L2, &vectors[5], &vectors[hits[1].tid as usize])
            );
        }
        world.open(Some(CLEAN));
    }
}
