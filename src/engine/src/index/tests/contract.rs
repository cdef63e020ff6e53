//! The promises between PostgreSQL and the store, one test each.

use onyx_protocol::ErrorKind;

use super::super::testing::Random;
use super::*;

fn grid(count: usize) -> Vec<Vec<f32>> {
    (0..count).map(|at| vec![at as f32, 0.0]).collect()
}

fn kind<T: std::fmt::Debug>(result: Result<T, onyx_protocol::WireError>) -> ErrorKind {
    result.unwrap_err().kind
}

#[test]
fn equal_rows_are_all_found_at_the_smallest_ef() {
    let world = World::new();
    let mut rows = grid(3_000);
    rows.extend(std::iter::repeat_n(vec![0.5, 0.5], 20));
    world.build_vectors(1, Metric::L2, &rows);
    let found = world.nearest(1, &[0.5, 0.5], 10, 1);
    assert_eq!(found, (3_000..3_010).collect::<Vec<_>>());
    assert_eq!(world.nearest(1, &[0.5, 0.5], 20, 1), (3_000..3_020).collect::<Vec<_>>());
}

#[test]
fn the_newest_entry_of_a_heap_tuple_wins_and_retries_change_nothing() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(3));
    for _ in 0..2 {
        world.insert(id(1), 5, false, vec![vector(1, &[50.0, 0.0])]).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(world.status(&[id(1)])[0].entries, 3);
        assert_eq!(world.nearest(1, &[50.0, 0.0], 3, 10), [1, 2, 0]);
        world.open(Some(CLEAN));
        assert_eq!(world.loaded(1), GenerationState::Ready);
    }
}

#[test]
fn a_removed_heap_tuple_is_gone_at_once_and_may_be_used_again() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(10));
    world.delete(id(1), 9, &[4, 5, 77]).unwrap();
    assert_eq!(world.nearest(1, &[4.0, 0.0], 3, 10), [3, 2, 6]);
    world.insert(id(1), 10, true, vec![vector(5, &[100.0, 0.0])]).unwrap();
    for _ in 0..2 {
        assert_eq!(world.nearest(1, &[4.0, 0.0], 20, 20), [3, 2, 6, 1, 7, 0, 8, 9, 5]);
        let status = &world.status(&[id(1)])[0];
        assert_eq!((status.vacuum_lsn, status.durable_lsn, status.entries), (9, 10, 9));
        world.open(Some(CLEAN));
        world.loaded(1);
    }
}

#[test]
fn a_restart_gives_the_same_answers() {
    let mut random = Random::new(21);
    let vectors: Vec<_> = (0..900).map(|_| random.vector(20)).collect();
    let queries: Vec<_> = (0..20).map(|_| random.vector(20)).collect();
    let mut world = World::new();
    world.build_vectors(1, Metric::Cosine, &vectors);
    world.delete(id(1), 3, &(0..100).collect::<Vec<_>>()).unwrap();
    let answers = |world: &World| -> Vec<Vec<HeapTid>> {
        queries.iter().map(|q| world.nearest(1, q, 10, 40)).collect()
    };
    let (before, status) = (answers(&world), world.status(&[id(1)])[0].clone());
    world.open(Some(CLEAN));
    assert_eq!(world.loaded(1), GenerationState::Ready);
    assert_eq!(answers(&world), before);
    let after = world.status(&[id(1)])[0].clone();
    assert_eq!((after.entries, after.durable_lsn), (status.entries, status.durable_lsn));
    assert_eq!(world.header(id(1)), Some(header(1, 20, Metric::Cosine)));
}

#[test]
fn an_interrupted_build_is_stale() {
    let mut world = World::new();
    world.create(header(1, 2, Metric::L2), None).unwrap();
    world.insert(id(1), 1, true, entries(&grid(5))).unwrap();
    assert_eq!(world.state(1), GenerationState::Building);
    assert_eq!(
        kind(world.search(id(1), &[0.0, 0.0], 1, 1, &|| false)),
        ErrorKind::GenerationUnusable
    );
    world.open(Some(CLEAN));
    let status = &world.status(&[id(1)])[0];
    assert_eq!(status.state, GenerationState::Stale);
    assert_eq!(status.reason, "its build was interrupted");
    assert_eq!(kind(world.insert(id(1), 2, false, vec![])), ErrorKind::GenerationUnusable);
    assert_eq!(kind(world.sync(&[id(1)])), ErrorKind::GenerationUnusable);
}

#[test]
fn entries_beyond_the_end_of_recovery_are_discarded_once() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(10));
    world.insert(id(1), 100, true, vec![vector(20, &[20.0, 0.0])]).unwrap();
    world.insert(id(1), 200, true, vec![vector(30, &[30.0, 0.0])]).unwrap();
    let end = RecoveryEnd { life: 1, lsn: 150 };
    world.open(Some(end));
    // A write that comes before the loading is done must not be taken for a void one.
    world.insert(id(1), 300, true, vec![vector(40, &[40.0, 0.0])]).unwrap();
    for _ in 0..3 {
        assert_eq!(world.loaded(1), GenerationState::Ready);
        assert_eq!(world.nearest(1, &[100.0, 0.0], 3, 10), [40, 20, 9]);
        assert_eq!(world.status(&[id(1)])[0].durable_lsn, 300);
        world.open(Some(end));
    }
    world.open(Some(RecoveryEnd { life: 1, lsn: 250 }));
    world.loaded(1);
    assert_eq!(world.nearest(1, &[100.0, 0.0], 3, 10), [20, 9, 8]);
    assert_eq!(world.status(&[id(1)])[0].durable_lsn, 250);
}

#[test]
fn a_recovery_counts_although_the_next_came_before_it_was_acted_on() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(10));
    world.insert(id(1), 100, true, vec![vector(20, &[20.0, 0.0])]).unwrap();
    world.insert(id(1), 200, true, vec![vector(30, &[30.0, 0.0])]).unwrap();
    // The engine hears of the first one, and ends.
    world.open(None);
    world.shared.note_end(RecoveryEnd { life: 2, lsn: 150 }).unwrap();
    for lsn in [400, 0, 500] {
        world.open(Some(RecoveryEnd { life: 3 + lsn, lsn }));
        assert_eq!(world.loaded(1), GenerationState::Ready);
        assert_eq!(world.nearest(1, &[100.0, 0.0], 2, 10), [20, 9]);
    }
    // What every generation has acted on is not kept.
    let last = RecoveryEnd { life: 9, lsn: 600 };
    world.open(Some(last));
    world.loaded(1);
    assert!(world.shared.store.recoveries().unwrap().len() <= 2);
    // What is written afterwards is not taken for what the first one made void.
    world.insert(id(1), 550, true, vec![vector(40, &[40.0, 0.0])]).unwrap();
    world.open(Some(RecoveryEnd { life: 10, lsn: 700 }));
    world.loaded(1);
    assert_eq!(world.nearest(1, &[100.0, 0.0], 2, 10), [40, 20]);
}

#[test]
fn the_server_hears_that_a_recovery_was_noted_before_entries_are_taken() {
    let mut world = World::new();
    let unheard = world.unheard();
    let end = RecoveryEnd { life: 2, lsn: 150 };
    // Also when it was noted before, and only the file was left.
    for _ in 0..2 {
        std::fs::write(&unheard, b"the end").unwrap();
        world.open(None);
        assert!(unheard.exists());
        world.recovery_ended(end).unwrap();
        assert!(!unheard.exists());
        std::fs::write(&unheard, b"the end").unwrap();
        world.open(Some(end));
        assert!(!unheard.exists());
    }
    assert_eq!(world.shared.store.recoveries().unwrap().last(), Some(&end));
}

#[test]
fn a_vacuum_beyond_the_end_of_recovery_makes_stale_for_good() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(10));
    world.build_vectors(2, Metric::L2, &grid(10));
    world.delete(id(1), 200, &[3]).unwrap();
    world.delete(id(2), 150, &[3]).unwrap();
    world.open(Some(RecoveryEnd { life: 2, lsn: 150 }));
    for _ in 0..2 {
        assert_eq!(world.loaded(1), GenerationState::Stale);
        assert_eq!(world.loaded(2), GenerationState::Ready);
        let reason = &world.status(&[id(1)])[0].reason;
        assert_eq!(reason, "vacuumed beyond the point recovery ended");
        world.open(Some(CLEAN));
    }
}

#[test]
fn another_cluster_is_refused() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(3));
    world.indexes = None;
    let store = Store::open(&world.directory.path().join("store")).unwrap();
    let other =
        Indexes::open(Arc::new(store), SYSTEM + 1, Some(CLEAN), &world.unheard(), 1, u64::MAX)
            .unwrap();
    let status = &other.status(&[id(1)])[0];
    assert_eq!(status.state, GenerationState::Stale);
    assert_eq!(status.reason, "belongs to another cluster");
    assert_eq!(kind(other.create(header(2, 2, Metric::L2), None)), ErrorKind::InvalidRequest);
}

#[test]
fn nothing_happens_before_recovery_has_ended() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(3));
    world.open(None);
    let status = &world.status(&[id(1)])[0];
    assert_eq!(status.state, GenerationState::Loading);
    assert_eq!(status.reason, "the server is in recovery");
    assert_eq!(kind(world.insert(id(1), 1, false, vec![])), ErrorKind::GenerationUnusable);
    assert_eq!(kind(world.delete(id(1), 1, &[1])), ErrorKind::GenerationUnusable);
    assert_eq!(kind(world.create(header(2, 2, Metric::L2), None)), ErrorKind::GenerationUnusable);
    assert_eq!(
        kind(world.search(id(1), &[0.0, 0.0], 1, 1, &|| false)),
        ErrorKind::GenerationUnusable
    );
    world.recovery_ended(RecoveryEnd { life: 2, lsn: 77 }).unwrap();
    assert_eq!(world.loaded(1), GenerationState::Ready);
    world.insert(id(1), 80, false, vec![vector(9, &[9.0, 0.0])]).unwrap();
}

#[test]
fn changes_while_loading_are_neither_lost_nor_undone() {
    let mut random = Random::new(22);
    let vectors: Vec<_> = (0..40_000).map(|_| random.vector(4)).collect();
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &vectors);
    for round in 0..3 {
        world.open(Some(CLEAN));
        let mut raced = 0;
        // Every step removes one, replaces one and adds one.
        for step in 0..100u64 {
            let at = round * 1_000 + step * 10;
            world.delete(id(1), 2, &[at]).unwrap();
            let far = [1_000.0 + (round * 100 + step) as f32, 0.0, 0.0, 0.0];
            let new = 100_000 + round * 100 + step;
            let changed = vec![vector(at + 1, &far), vector(new, &[-1.0; 4])];
            world.insert(id(1), 2, false, changed).unwrap();
            raced += usize::from(world.state(1) == GenerationState::Loading);
        }
        assert!(raced > 0, "loading ended before anything was changed");
        assert_eq!(world.loaded(1), GenerationState::Ready);
        let mut expected: Vec<HeapTid> = (0..40_000).collect();
        expected.retain(|tid| !(tid % 10 == 0 && *tid < (round + 1) * 1_000));
        expected.extend(100_000..100_000 + (round + 1) * 100);
        let mut all = world.nearest(1, &[0.0; 4], 50_000, 10);
        all.sort_unstable();
        assert_eq!(all, expected);
        // All of them are asked for, so that this does not depend on the graph's recall.
        let mut far = world.nearest(1, &[5_000.0, 0.0, 0.0, 0.0], 50_000, 10);
        far.truncate((round as usize + 1) * 100);
        assert!(far.iter().all(|tid| tid % 10 == 1), "replaced entries are where they were put");
    }
}

#[test]
fn dropping_is_complete_and_spares_the_others() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(2_000));
    world.build_vectors(2, Metric::L2, &grid(10));
    std::thread::scope(|scope| {
        let search = scope.spawn(|| {
            // Runs on cleanly or ends in a clean error.
            loop {
                match world.search(id(1), &[7.0, 0.0], 5, 10, &|| false) {
                    Ok(hits) => assert_eq!(hits.len(), 5),
                    Err(error) => return error.kind,
                }
            }
        });
        world.drop_generations(&[id(1), id(9)]).unwrap();
        assert_eq!(search.join().unwrap(), ErrorKind::GenerationUnusable);
    });
    for _ in 0..2 {
        assert_eq!(world.state(1), GenerationState::Absent);
        assert_eq!(kind(world.insert(id(1), 1, false, vec![])), ErrorKind::GenerationUnusable);
        assert_eq!(world.loaded(2), GenerationState::Ready);
        assert_eq!((world.list(5).len(), world.list(6).len(), world.generations()), (1, 0, 1));
        world.open(Some(CLEAN));
    }
    world.build_vectors(1, Metric::L2, &grid(3));
    assert_eq!(world.nearest(1, &[0.0, 0.0], 100, 10), [0, 1, 2]);
}

#[test]
fn heap_tuples_are_listed_in_every_state() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(5_000));
    world.delete(id(1), 1, &[7]).unwrap();
    let list = |world: &World| {
        let mut all = Vec::new();
        world
            .tids(id(1), &mut |part| {
                all.extend(part);
                Ok(())
            })
            .unwrap();
        all
    };
    let expected: Vec<_> = (0..5_000).filter(|tid| *tid != 7).collect();
    assert_eq!(list(&world), expected);
    world.open(Some(CLEAN));
    assert_eq!(list(&world), expected);
    let stop = || Err(onyx_protocol::WireError::new(ErrorKind::Canceled, "stop"));
    assert_eq!(kind(world.tids(id(1), &mut |_| stop())), ErrorKind::Canceled);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let world = World::new();
    world.build_vectors(1, Metric::Cosine, &grid(3)[1..]);
    let refused =
        |entry: Entry| kind(world.insert(id(1), 1, false, vec![vector(50, &[1.0, 1.0]), entry]));
    assert_eq!(refused(vector(8, &[1.0])), ErrorKind::InvalidRequest);
    assert_eq!(refused(vector(8, &[1.0, f32::NAN])), ErrorKind::InvalidRequest);
    assert_eq!(
        refused(Entry { tid: 8, value: EntryValue::Text("x".into()) }),
        ErrorKind::InvalidRequest
    );
    assert_eq!(world.status(&[id(1)])[0].entries, 2);
    assert_eq!(kind(world.search(id(1), &[1.0], 1, 1, &|| false)), ErrorKind::InvalidRequest);
    for (m, ef, dimensions) in [(1, 64, 2), (300, 64, 2), (16, 1, 2), (16, 64, 0), (16, 64, 20_000)]
    {
        let mut bad = header(2, dimensions, Metric::L2);
        (bad.m, bad.ef_construction) = (m, ef);
        assert_eq!(kind(world.create(bad, None)), ErrorKind::InvalidRequest);
    }
    assert_eq!(kind(world.create(header(1, 2, Metric::L2), None)), ErrorKind::InvalidRequest);
    assert_eq!(kind(world.search(id(3), &[1.0], 1, 1, &|| false)), ErrorKind::GenerationUnusable);
}

#[test]
fn a_zero_vector_under_the_cosine_sorts_last() {
    let world = World::new();
    world.build_vectors(1, Metric::Cosine, &grid(3));
    let hits = world.search(id(1), &[0.0, 1.0], 3, 10, &|| false).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.tid).collect::<Vec<_>>(), [1, 2, 0]);
    assert!(hits[2].distance.is_nan());
    assert_eq!(world.search(id(1), &[0.0, 0.0], 3, 10, &|| false).unwrap().len(), 3);
}

#[test]
fn a_cancel_ends_builds_and_searches() {
    let world = World::new();
    world.create(header(1, 64, Metric::L2), None).unwrap();
    let mut random = Random::new(23);
    let vectors: Vec<_> = (0..4_000).map(|_| random.vector(64)).collect();
    world.insert(id(1), 1, false, entries(&vectors)).unwrap();
    assert_eq!(kind(world.finish(id(1), &mut |_, _| Ok(()), &|| true)), ErrorKind::Canceled);
    let mut last = (0, 0);
    world
        .finish(
            id(1),
            &mut |done, total| {
                last = (done, total);
                Ok(())
            },
            &|| false,
        )
        .unwrap();
    assert_eq!(last, (4_000, 4_000));
    assert_eq!(kind(world.search(id(1), &vectors[0], 4_000, 1, &|| true)), ErrorKind::Canceled);
}

#[test]
fn removing_everything_and_filling_again_works() {
    let world = World::new();
    world.build_vectors(1, Metric::L2, &grid(2_000));
    world.delete(id(1), 1, &(0..2_000).collect::<Vec<_>>()).unwrap();
    assert!(world.nearest(1, &[0.0, 0.0], 10, 10).is_empty());
    until(|| world.status(&[id(1)])[0].tombstones == 0);
    world.insert(id(1), 2, true, entries(&grid(1_500))).unwrap();
    assert_eq!(world.nearest(1, &[9.0, 0.0], 3, 40)[0], 9);
    assert_eq!(world.nearest(1, &[9.0, 0.0], 5_000, 40).len(), 1_500);
}

/// Two transactions take their stamps in one order and write in the other. A copy of the store from in
/// between has the higher stamp and lacks the lower one's entries: only the number of writes tells.
#[test]
fn a_copy_from_between_writes_whose_stamps_crossed_is_told_from_the_whole() {
    let mut world = World::new();
    world.build_vectors(1, Metric::L2, &grid(10));
    let built = world.status(&[id(1)])[0].writes;
    let first = world.insert(id(1), 200, true, vec![vector(20, &[20.0, 0.0])]).unwrap();
    let copy = world.status(&[id(1)])[0].clone();
    let second = world.insert(id(1), 190, true, vec![vector(30, &[30.0, 0.0])]).unwrap();
    assert_eq!((first, second), (built + 1, built + 2));
    let whole = world.status(&[id(1)])[0].clone();
    assert_eq!((copy.durable_lsn, whole.durable_lsn), (200, 200));
    assert_eq!((copy.writes, whole.writes), (first, second));
    // It outlives a start, and a recovery that takes entries away.
    world.open(Some(RecoveryEnd { life: 1, lsn: 195 }));
    assert_eq!(world.loaded(1), GenerationState::Ready);
    assert_eq!(world.status(&[id(1)])[0].writes, second);
    assert_eq!(world.nearest(1, &[100.0, 0.0], 2, 10), [30, 9]);
    // Not durable, not counted.
    let third = world.insert(id(1), 300, false, vec![vector(40, &[40.0, 0.0])]).unwrap();
    assert_eq!((third, world.status(&[id(1)])[0].writes), (second + 1, second));
    world.sync(&[id(1)]).unwrap();
    assert_eq!(world.status(&[id(1)])[0].writes, third);
}

#[test]
fn what_dies_while_a_repair_ends_is_taken_out_by_the_next() {
    let world = World::new();
    world.build_vectors(1, Metric::L2, &grid(1_000));
    let generation = world.shared.get(id(1)).unwrap();
    generation.repairing.store(true, std::sync::atomic::Ordering::Release);
    world.delete(id(1), 200, &(0..500).collect::<Vec<_>>()).unwrap();
    assert_eq!(world.status(&[id(1)])[0].tombstones, 500);
    generation.repair_ended(&world.shared);
    until(|| world.status(&[id(1)])[0].tombstones == 0);
}
