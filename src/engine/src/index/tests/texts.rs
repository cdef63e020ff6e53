//! Generations of texts and the queue of what waits to be embedded.

use onyx_protocol::ErrorKind;
use onyx_protocol::model::{ModelSpec, Pooling};

use super::super::PendingBatch;
use super::*;
use crate::store::TextHash;

const MODEL: ModelKey = ModelKey([3; 16]);
const OTHER: ModelKey = ModelKey([4; 16]);

fn spec(name: &str) -> ModelSpec {
    ModelSpec {
        name: name.into(),
        model_path: "/models/model.onnx".into(),
        tokenizer_path: "/models/tokenizer.json".into(),
        dimensions: 2,
        pooling: Pooling::Mean,
        normalize: true,
        max_tokens: 128,
    }
}

fn texts(n: u8, name: &str) -> GenerationHeader {
    GenerationHeader { content: Content::Texts(spec(name)), ..header(n, 2, Metric::L2) }
}

fn text(tid: HeapTid, text: &str) -> Entry {
    Entry { tid, value: EntryValue::Text(text.into()) }
}

/// What the pretended model makes of a text.
fn embed(text: &str) -> Vec<f32> {
    vec![text.len() as f32, text.bytes().next().map_or(0.0, f32::from)]
}

fn embed_all(world: &World) -> usize {
    let mut embedded = 0;
    while let Some(batch) = world.next_pending(100).unwrap() {
        let vectors: Vec<_> = batch.texts.iter().map(|(hash, t)| (*hash, embed(t))).collect();
        let rows: Vec<_> = vectors.iter().map(|(hash, v)| (*hash, v.as_slice())).collect();
        world.complete(batch.model, &rows).unwrap();
        embedded += rows.len();
    }
    embedded
}

fn next(world: &World) -> PendingBatch {
    world.next_pending(10).unwrap().unwrap()
}

fn pending(world: &World, n: u8) -> (u64, u64) {
    let status = &world.status(&[id(n)])[0];
    (status.entries, status.pending)
}

#[test]
fn a_text_of_two_generations_is_embedded_once_and_found_in_both() {
    let mut world = World::new();
    world.build(
        texts(1, "a"),
        Some(MODEL),
        vec![text(1, "shared"), text(2, "alone"), text(3, "shared")],
    );
    world.build(texts(2, "a"), Some(MODEL), vec![text(9, "shared")]);
    assert_eq!((pending(&world, 1), pending(&world, 2)), ((3, 3), (1, 1)));
    assert!(world.search(id(1), &embed("shared"), 5, 5, &|| false).unwrap().is_empty());
    world.sync(&[id(1), id(2)]).unwrap();

    world.open(Some(CLEAN));
    assert_eq!(world.loaded(1), GenerationState::Ready);
    assert_eq!(world.loaded(2), GenerationState::Ready);
    assert_eq!(world.pending_counts(), [(MODEL, spec("a"), 2)]);
    let batch = next(&world);
    assert_eq!((batch.model, batch.spec), (MODEL, spec("a")));
    let names: Vec<_> = batch.texts.iter().map(|(_, t)| t.as_str()).collect();
    assert_eq!(names, ["alone", "shared"], "shortest first");
    assert_eq!(embed_all(&world), 2);

    for _ in 0..2 {
        assert_eq!((pending(&world, 1), pending(&world, 2)), ((3, 0), (1, 0)));
        assert_eq!(world.nearest(1, &embed("shared"), 5, 5), [1, 3, 2]);
        assert_eq!(world.nearest(2, &embed("shared"), 5, 5), [9]);
        world.open(Some(CLEAN));
        assert_eq!(world.loaded(1), GenerationState::Ready);
        assert_eq!(world.loaded(2), GenerationState::Ready);
    }
    assert_eq!(world.pending_counts(), [(MODEL, spec("a"), 0)]);
}

#[test]
fn who_wants_fewer_texts_comes_first() {
    let mut world = World::new();
    let old = |n| if n == 47 { "older 47".into() } else { format!("old {n:02}") };
    let history: Vec<Entry> = (0..50).map(|n| text(n, &old(n))).collect();
    world.build(texts(1, "a"), Some(MODEL), history);
    let head =
        vec![text(1, "old 31"), text(2, "a longer one than all others"), text(3, "older 47")];
    world.build(texts(2, "a"), Some(MODEL), head);
    world.sync(&[id(1), id(2)]).unwrap();
    for _ in 0..2 {
        let names: Vec<_> = next(&world).texts.into_iter().map(|(_, text)| text).collect();
        assert_eq!(names[..3], ["old 31", "older 47", "a longer one than all others"]);
        assert_eq!(names.len(), 10, "and no room is left");
        // What the store has says who wants it, when it is read again.
        world.open(Some(CLEAN));
        assert_eq!(world.loaded(1), GenerationState::Ready);
        assert_eq!(world.loaded(2), GenerationState::Ready);
    }
    assert_eq!(embed_all(&world), 51);
}

#[test]
fn a_known_text_is_searchable_at_once() {
    let world = World::new();
    world.complete(MODEL, &[(TextHash::of("known"), &embed("known"))]).unwrap();
    world.build(texts(1, "a"), Some(MODEL), vec![text(1, "known")]);
    assert_eq!(pending(&world, 1), (1, 0));
    assert_eq!(world.nearest(1, &embed("known"), 1, 1), [1]);
    assert!(world.next_pending(5).unwrap().is_none());
}

#[test]
fn models_take_turns_and_do_not_mix() {
    let world = World::new();
    world.build(texts(1, "a"), Some(MODEL), vec![text(1, "one"), text(2, "two")]);
    world.build(texts(2, "b"), Some(OTHER), vec![text(1, "one")]);
    let turns: Vec<_> = (0..4).map(|_| next(&world).model).collect();
    assert_eq!(turns, [MODEL, OTHER, MODEL, OTHER]);
    world.complete(OTHER, &[(TextHash::of("one"), &[1.0, 1.0])]).unwrap();
    assert_eq!((pending(&world, 1), pending(&world, 2)), ((2, 2), (1, 0)));
}

#[test]
fn a_text_that_cannot_be_embedded_does_not_wait_for_ever() {
    let mut world = World::new();
    world.build(texts(1, "a"), Some(MODEL), vec![text(1, "bad"), text(2, "good"), text(3, "nan")]);
    world.fail(MODEL, TextHash::of("bad"), "too odd").unwrap();
    world.complete(MODEL, &[(TextHash::of("nan"), &[f32::NAN, 0.0])]).unwrap();
    assert_eq!(embed_all(&world), 1);
    for tid in [4, 5] {
        assert_eq!(pending(&world, 1), (tid - 1, 0));
        assert_eq!(world.nearest(1, &[0.0, 0.0], 5, 5), [2]);
        world.open(Some(CLEAN));
        assert_eq!(world.loaded(1), GenerationState::Ready);
        world.insert(id(1), 2, false, vec![text(tid, "bad")]).unwrap();
    }
    world.complete(MODEL, &[(TextHash::of("bad"), &embed("bad"))]).unwrap();
    assert_eq!(world.nearest(1, &embed("bad"), 5, 5).len(), 4, "a later success counts");
}

#[test]
fn entries_removed_before_they_are_embedded_stay_removed() {
    let mut world = World::new();
    world.build(texts(1, "a"), Some(MODEL), vec![text(1, "gone"), text(2, "kept")]);
    world.delete(id(1), 1, &[1]).unwrap();
    assert_eq!(pending(&world, 1), (1, 1));
    world.open(Some(CLEAN));
    embed_all(&world);
    assert_eq!(world.loaded(1), GenerationState::Ready);
    assert_eq!(world.nearest(1, &[0.0, 0.0], 5, 5), [2]);
}

#[test]
fn wrong_lengths_and_kinds_are_refused() {
    let world = World::new();
    assert!(world.create(texts(1, "a"), None).is_err());
    assert!(world.create(header(1, 2, Metric::L2), Some(MODEL)).is_err());
    world.build(texts(1, "a"), Some(MODEL), vec![text(1, "x")]);
    let short = world.complete(MODEL, &[(TextHash::of("x"), &[1.0])]).unwrap_err();
    assert_eq!(short.kind, ErrorKind::InvalidRequest);
    assert_eq!(short.message, "expected 2 dimensions, not 1");
    assert!(world.insert(id(1), 1, false, vec![vector(2, &[1.0, 1.0])]).is_err());
    assert_eq!(pending(&world, 1), (1, 1));
}

#[test]
fn an_embedder_is_woken() {
    let world = World::new();
    world.create(texts(1, "a"), Some(MODEL)).unwrap();
    assert!(!world.wait_for_pending(Duration::from_millis(1)));
    std::thread::scope(|scope| {
        let embedder = scope.spawn(|| world.wait_for_pending(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        world.insert(id(1), 1, false, vec![text(1, "x")]).unwrap();
        assert!(embedder.join().unwrap());
    });
}

#[test]
fn texts_are_cut_where_the_model_cuts_them() {
    let world = World::new();
    let long = "é".repeat(40_000);
    world.build(texts(1, "a"), Some(MODEL), vec![text(1, &long)]);
    let (hash, queued) = next(&world).texts.remove(0);
    assert_eq!(queued.len(), 64 << 10);
    assert_eq!(hash, TextHash::of(&queued));
}

#[test]
fn embedding_loading_and_inserting_at_once_leave_nothing_waiting() {
    let mut world = World::new();
    let name = |n: u64| format!("text {n}");
    let all = (0..3_000).map(|n| text(n, &name(n % 1_500))).collect();
    world.build(texts(1, "a"), Some(MODEL), all);
    world.open(Some(CLEAN));
    std::thread::scope(|scope| {
        let world = &world;
        scope.spawn(|| embed_all(world));
        scope.spawn(move || {
            for n in 3_000..3_400 {
                world.insert(id(1), 2, false, vec![text(n, &name(n / 2))]).unwrap();
            }
        });
        scope.spawn(|| embed_all(world));
    });
    embed_all(&world);
    assert_eq!(world.loaded(1), GenerationState::Ready);
    assert_eq!(pending(&world, 1), (3_400, 0));
    assert_eq!(world.nearest(1, &[0.0, 0.0], 10_000, 10).len(), 3_400);
}
