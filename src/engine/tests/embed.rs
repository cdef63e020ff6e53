//! Embeddings against the real model, and against tiny ones made here byte by byte.
//!
//! Needs `ONYX_ONNXRUNTIME`, the path of libonnxruntime.so, and `ONYX_MODEL_DIR`, a directory with
//! the default model's `model.onnx` and `tokenizer.json`.

#[path = "embed_support/mod.rs"]
mod support;
#[path = "walk/unprivileged.rs"]
mod unprivileged;

use std::{
    fs,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
};

use onyx_engine::embed::{Embedder, Model, Priority, cut_text, text_hash};
use onyx_protocol::{
    ErrorKind, WireError,
    limits::MAX_TEXT_BYTES,
    model::{ModelSpec, Pooling},
};
use support::{MemoryCache, Onnx, err, minilm, runtime, runtime_path, tiny};
use unprivileged::unprivileged;

fn never() -> bool {
    false
}

fn load(spec: &ModelSpec) -> Result<Model, WireError> {
    Model::load(&runtime(), spec, 2)
}

/// Texts of real code and prose: this crate's own sources, line by line and in pieces.
fn real_texts(count: usize) -> Vec<String> {
    let source = include_str!("../src/embed/embedder.rs");
    let lines = source.lines().filter(|line| line.len() > 10).map(str::to_owned);
    let pieces = source.split("\n\n").map(str::to_owned);
    lines.chain(pieces).take(count).collect()
}

#[derive(serde::Deserialize)]
struct Reference {
    max_tokens: u32,
    dimensions: u32,
    rows: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    text: String,
    vector: Vec<f32>,
}

#[test]
fn vectors_agree_with_python() {
    let reference: Reference = serde_json::from_str(include_str!("reference/minilm.json")).unwrap();
    assert!(reference.rows.len() >= 20);
    let mut spec = minilm();
    spec.max_tokens = reference.max_tokens;
    spec.dimensions = reference.dimensions;
    let model = load(&spec).unwrap();
    let texts: Vec<&str> = reference.rows.iter().map(|row| row.text.as_str()).collect();
    let ours = model.embed(&texts, &never).unwrap();
    assert_eq!(ours.values.len(), texts.len() * model.dimensions());
    for (row, ours) in reference.rows.iter().zip(ours.values.chunks_exact(model.dimensions())) {
        let deviation = row.vector.iter().zip(ours).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(deviation <= 1e-5, "{deviation} for {:.60?}", row.text);
    }
}

#[test]
fn a_vector_does_not_depend_on_other_texts_threads_or_order() {
    let texts = real_texts(120);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let model = load(&minilm()).unwrap();
    let together = model.embed(&texts, &never).unwrap();
    assert!(together.tokens > texts.len() as u64);
    assert!(!together.busy.is_zero());
    let mut reversed = texts.clone();
    reversed.reverse();
    let backwards = model.embed(&reversed, &never).unwrap();
    let one_thread = Model::load(&runtime(), &minilm(), 1).unwrap();
    let d = model.dimensions();
    for (i, text) in texts.iter().enumerate() {
        let expected = &together.values[i * d..(i + 1) * d];
        let j = texts.len() - 1 - i;
        assert_eq!(expected, &backwards.values[j * d..(j + 1) * d]);
        assert_eq!(expected, one_thread.embed(&[text], &never).unwrap().values);
    }
}

#[test]
fn only_a_model_that_company_does_not_change_runs_batches() {
    assert!(load(&minilm()).unwrap().batches());
    let directory = tempfile::tempdir().unwrap();
    assert!(load(&tiny(directory.path(), &Onnx::tokens(), 2)).unwrap().batches());
    let swayed = load(&tiny(directory.path(), &Onnx::swayed(), 1)).unwrap();
    assert!(!swayed.batches());
    // "a b" is [CLS]=2 a=4 b=5 [SEP]=3.
    assert_eq!(swayed.embed(&["a b", "a", ""], &never).unwrap().values, [56.0, 27.0, 10.0]);
}

#[test]
fn every_pooling_and_both_ranks_give_what_can_be_computed_by_hand() {
    // The tiny model's token vectors are (id, 2 * id); "a b" is [CLS]=2 a=4 b=5 [SEP]=3.
    let directory = tempfile::tempdir().unwrap();
    let cases =
        [(Pooling::Mean, [3.5, 7.0]), (Pooling::Cls, [2.0, 4.0]), (Pooling::Last, [3.0, 6.0])];
    for (pooling, expected) in cases {
        let spec = ModelSpec { pooling, ..tiny(directory.path(), &Onnx::tokens(), 2) };
        assert_eq!(load(&spec).unwrap().embed(&["a b"], &never).unwrap().values, expected);
    }
    // A model that pools by itself: the sum of the ids, whatever the pooling says.
    for pooling in [Pooling::Mean, Pooling::Last] {
        let spec = ModelSpec { pooling, ..tiny(directory.path(), &Onnx::sentence(), 1) };
        assert_eq!(load(&spec).unwrap().embed(&["a b", ""], &never).unwrap().values, [14.0, 5.0]);
    }
    let spec = ModelSpec { normalize: true, ..tiny(directory.path(), &Onnx::tokens(), 2) };
    let vector = load(&spec).unwrap().embed(&["a b"], &never).unwrap().values;
    let root = 5f32.sqrt();
    assert!((vector[0] - 1.0 / root).abs() < 1e-6 && (vector[1] - 2.0 / root).abs() < 1e-6);
}

#[test]
fn keys_tell_everything_apart_that_changes_vectors_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let spec = tiny(directory.path(), &Onnx::tokens(), 2);
    let key = |spec: &ModelSpec| load(spec).unwrap().key();
    let base = key(&spec);
    assert_eq!(base, key(&ModelSpec { name: "other".into(), ..spec.clone() }));
    let copy = directory.path().join("copy.onnx");
    fs::copy(&spec.model_path, &copy).unwrap();
    let copied = ModelSpec { model_path: copy.display().to_string(), ..spec.clone() };
    assert_eq!(base, key(&copied));
    let mut keys = vec![
        base,
        key(&ModelSpec { pooling: Pooling::Cls, ..spec.clone() }),
        key(&ModelSpec { pooling: Pooling::Last, ..spec.clone() }),
        key(&ModelSpec { normalize: true, ..spec.clone() }),
        key(&ModelSpec { max_tokens: 5, ..spec.clone() }),
    ];
    let json = fs::read_to_string(&spec.tokenizer_path).unwrap();
    fs::write(&spec.tokenizer_path, json + "\n").unwrap();
    keys.push(key(&spec));
    let one = tiny(directory.path(), &Onnx::sentence(), 1);
    keys.push(key(&one));
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn files_that_are_no_model_have_clear_errors() {
    let directory = tempfile::tempdir().unwrap();
    let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), everyone).unwrap();
    let (good, runtime) = (minilm(), runtime());
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("prose"), "This is not a model.\n").unwrap();
    fs::write(path("empty"), "").unwrap();
    let half = fs::read(&good.model_path).unwrap();
    fs::write(path("half"), &half[..half.len() / 2]).unwrap();
    fs::write(path("json"), "{\"version\": \"1.0\"}").unwrap();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let tmp = directory.path().display().to_string();

    let check = |spec: ModelSpec, kind: ErrorKind, message: &str| {
        let error = err(load(&spec));
        assert_eq!((error.kind, error.message.as_str()), (kind, message), "{error:?}");
        assert!(!error.hint.is_empty() || !error.detail.is_empty(), "{error:?}");
        for sentence in [&error.detail, &error.hint] {
            assert!(sentence.is_empty() || sentence.ends_with('.'), "{error:?}");
        }
    };
    let model = |p: String| ModelSpec { model_path: p, ..minilm() };
    let tokenizer = |p: String| ModelSpec { tokenizer_path: p, ..minilm() };
    for name in ["prose", "empty", "half"] {
        let message = format!("file \"{}\" is not a model ONNX Runtime can run", path(name));
        check(model(path(name)), ErrorKind::Model, &message);
    }
    for name in ["prose", "empty", "half", "json"] {
        let message = format!("file \"{}\" is not a tokenizer", path(name));
        check(tokenizer(path(name)), ErrorKind::Model, &message);
    }
    for (what, spec) in [
        ("model", &model as &(dyn Fn(String) -> ModelSpec + Sync)),
        ("tokenizer", &tokenizer as &(dyn Fn(String) -> ModelSpec + Sync)),
    ] {
        let message =
            |path: &str, why: &str| format!("could not open {what} file \"{path}\": {why}");
        let absent = path("absent");
        let expected = message(&absent, "No such file or directory");
        check(spec(absent), ErrorKind::NotFound, &expected);
        check(spec(tmp.clone()), ErrorKind::WrongObject, &message(&tmp, "Is a directory"));
        let expected = message(&path("fifo"), "Not a regular file");
        check(spec(path("fifo")), ErrorKind::WrongObject, &expected);
        let locked = path("locked");
        fs::write(&locked, "x").unwrap();
        fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        let expected = message(&locked, "Permission denied");
        let error = unprivileged(|| err(Model::load(&runtime, &spec(locked), 2)));
        assert_eq!((error.kind, error.message), (ErrorKind::PermissionDenied, expected));
    }
}

#[test]
fn specifications_that_do_not_fit_the_model_have_clear_errors() {
    let refused = |spec: ModelSpec| err(load(&spec));
    let error = refused(ModelSpec { dimensions: 768, ..minilm() });
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Model, "expected 768 dimensions, not 384")
    );
    assert!(!error.hint.is_empty());
    let error = refused(ModelSpec { dimensions: 0, ..minilm() });
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.ends_with("must have 1 to 16000 dimensions, not 0"), "{error}");
    let error = refused(ModelSpec { max_tokens: 2, ..minilm() });
    assert_eq!(error.message, "max_tokens must be greater than 2, not 2");

    let directory = tempfile::tempdir().unwrap();
    let error = refused(tiny(directory.path(), &Onnx::image(), 1));
    assert_eq!(error.message, "model \"tiny\" is not a sentence model");
    assert_eq!(error.detail, "It has an unknown input \"pixels\".");
    let error = refused(tiny(directory.path(), &Onnx::scalar(), 1));
    assert_eq!(error.message, "model \"tiny\" is not a sentence model");
    assert!(error.detail.contains("neither of rank 3 nor of rank 2"), "{error:?}");
    let error = refused(tiny(directory.path(), &Onnx::tokens(), 3));
    assert_eq!(error.message, "expected 3 dimensions, not 2");
    // A file that does not say its dimensions is found out when it runs.
    let model = load(&tiny(directory.path(), &Onnx::sideways(), 4)).unwrap();
    let error = err(model.embed(&["a"], &never));
    assert_eq!(error.message, "expected 4 dimensions, not 3");
    let error = err(model.embed(&["a b"], &never));
    assert_eq!(error.message, "model \"tiny\" is not a sentence model");
    assert!(error.detail.contains("has the shape [1, 1, 4]"), "{error:?}");
    // Nor that it divides by zero.
    let model = load(&tiny(directory.path(), &Onnx::infinite(), 2)).unwrap();
    let error = err(model.embed(&["a"], &never));
    assert_eq!(error.message, "model \"tiny\" gave a vector that is not finite");
}

#[test]
fn more_tokens_than_the_model_has_positions_is_an_error_and_the_model_lives_on() {
    let model = load(&ModelSpec { max_tokens: 2000, ..minilm() }).unwrap();
    let error = err(model.embed(&["word ".repeat(1500).as_str()], &never));
    assert_eq!(error.kind, ErrorKind::Model);
    assert!(error.message.starts_with("could not run model"), "{error}");
    assert_eq!(model.embed(&["word"], &never).unwrap().values.len(), 384);
}

fn embedder(cache: &Arc<MemoryCache>) -> Embedder {
    Embedder::new(runtime_path(), 0, Arc::clone(cache) as _)
}

fn embed(embedder: &Embedder, spec: &ModelSpec, texts: &[String]) -> Vec<f32> {
    embedder.embed(spec, texts, Priority::Interactive, &never).unwrap().values
}

#[test]
fn a_cached_text_never_runs_again_under_any_name_or_embedder() {
    let cache = Arc::new(MemoryCache::default());
    let first = embedder(&cache);
    let mut texts = real_texts(10);
    texts.push(texts[3].clone());
    let answer = first.embed(&minilm(), &texts, Priority::Interactive, &never).unwrap();
    assert_eq!(answer.hashes, texts.iter().map(|t| text_hash(t)).collect::<Vec<_>>());
    assert_eq!((answer.dimensions, answer.values.len()), (384, 11 * 384));
    assert_eq!(answer.values[3 * 384..4 * 384], answer.values[10 * 384..]);
    let stats = first.stats();
    assert_eq!((stats[0].embedded, stats[0].cache_hits, stats.len()), (10, 1, 1));
    assert!(stats[0].tokens > 20 && stats[0].busy_seconds > 0.0);

    let second = embedder(&cache);
    let renamed = ModelSpec { name: "renamed".into(), ..minilm() };
    assert_eq!(embed(&second, &renamed, &texts), answer.values);
    let stats = second.stats();
    assert_eq!((stats[0].embedded, stats[0].cache_hits, stats[0].tokens), (0, 11, 0));
    assert_eq!(stats[0].model, "renamed");
    assert_eq!(cache.len(), 10);
}

#[test]
fn texts_beyond_the_limit_are_cut_and_share_their_vector() {
    let cache = Arc::new(MemoryCache::default());
    let embedder = embedder(&cache);
    let long = "é".repeat(MAX_TEXT_BYTES);
    let texts = [long.clone(), cut_text(&long).to_owned()];
    let values = embed(&embedder, &minilm(), &texts);
    assert_eq!(values[..384], values[384..]);
    assert_eq!(cache.len(), 1);
}

#[test]
fn equal_texts_of_calls_at_the_same_time_run_once() {
    let cache = Arc::new(MemoryCache::default());
    let embedder = embedder(&cache);
    let texts = real_texts(40);
    let distinct: std::collections::HashSet<_> = texts.iter().collect();
    let spec = minilm();
    embedder.model(&spec).unwrap();
    let start = Barrier::new(4);
    let answers: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|i| {
                let (embedder, texts, spec, start) = (&embedder, &texts, &spec, &start);
                scope.spawn(move || {
                    let mut mine = texts.clone();
                    mine.rotate_left(i * 10);
                    start.wait();
                    let mut values = embed(embedder, spec, &mine);
                    values.rotate_right(i * 10 * 384);
                    values
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let stat = &embedder.stats()[0];
    assert_eq!(stat.embedded, distinct.len() as u64);
    assert_eq!(stat.cache_hits, (4 * texts.len() - distinct.len()) as u64);
}

#[test]
fn a_cancelled_call_ends_soon_and_keeps_what_was_done() {
    let cache = Arc::new(MemoryCache::default());
    let embedder = embedder(&cache);
    let texts: Vec<String> = (0..700).map(|n| format!("text number {n}")).collect();
    let asked = AtomicUsize::new(0);
    let cancel = || asked.fetch_add(1, Ordering::Relaxed) >= 12;
    let error = err(embedder.embed(&minilm(), &texts, Priority::Background, &cancel));
    assert_eq!(error.kind, ErrorKind::Canceled);
    let kept = cache.len();
    assert!((256..700).contains(&kept), "{kept}");
    assert_eq!(embedder.stats()[0].last_error, "");
    assert_eq!(embed(&embedder, &minilm(), &texts).len(), 700 * 384);
    assert_eq!(embedder.stats()[0].embedded, 700);
}

#[test]
fn an_interactive_text_does_not_wait_for_a_background_call() {
    let cache = Arc::new(MemoryCache::default());
    let embedder = embedder(&cache);
    let spec = minilm();
    embedder.model(&spec).unwrap();
    let words =
        "of those that fill a batch with few texts, so that there are many batches ".repeat(4);
    let texts: Vec<String> = (0..400).map(|n| format!("background text {n} {words}")).collect();
    let (begun, stop) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let background = scope.spawn(|| {
            let cancelled = || {
                begun.fetch_add(1, Ordering::Relaxed);
                stop.load(Ordering::Relaxed) > 0
            };
            embedder.embed(&spec, &texts, Priority::Background, &cancelled).map(|_| ())
        });
        while begun.load(Ordering::Relaxed) < 8 {
            std::thread::yield_now();
        }
        for n in 0..8 {
            let before = begun.load(Ordering::Relaxed);
            embed(&embedder, &spec, &[format!("query {n}")]);
            // The batch that ran, the one that then waits, and what passes before and after the
            // call; a look-up a chunk is counted too.
            let passed = begun.load(Ordering::Relaxed) - before;
            assert!(passed <= 12, "{passed} checks of the background call while one query ran");
        }
        stop.store(1, Ordering::Relaxed);
        assert_eq!(background.join().unwrap().unwrap_err().kind, ErrorKind::Canceled);
    });
}

#[test]
fn a_model_is_loaded_again_when_its_files_change_and_after_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Arc::new(MemoryCache::default());
    let embedder = embedder(&cache);
    let spec = tiny(directory.path(), &Onnx::tokens(), 2);
    let text = ["a b".to_owned()];
    assert_eq!(embed(&embedder, &spec, &text), [3.5, 7.0]);
    let first = embedder.model(&spec).unwrap();
    assert!(Arc::ptr_eq(&first, &embedder.model(&spec).unwrap()));

    fs::write(&spec.model_path, "broken").unwrap();
    let error = err(embedder.embed(&spec, &text, Priority::Interactive, &never));
    assert_eq!(error.kind, ErrorKind::Model);
    assert_eq!(embedder.stats()[0].last_error, error.message);
    fs::remove_file(&spec.model_path).unwrap();
    assert_eq!(err(embedder.model(&spec)).kind, ErrorKind::NotFound);

    fs::write(&spec.model_path, Onnx::tokens_scaled(10.0)).unwrap();
    assert_eq!(embed(&embedder, &spec, &text), [35.0, 70.0]);
    assert_ne!(embedder.model(&spec).unwrap().key(), first.key());
    // The old vector is still there for the old file.
    fs::write(&spec.model_path, Onnx::tokens().0).unwrap();
    assert_eq!(embed(&embedder, &spec, &text), [3.5, 7.0]);
    assert_eq!((embedder.stats()[0].embedded, cache.len()), (2, 2));
    assert_eq!(embedder.stats()[0].last_error, "");
}

#[test]
fn the_number_of_threads_can_change_while_running() {
    let cache = Arc::new(MemoryCache::default());
    let embedder = embedder(&cache);
    let directory = tempfile::tempdir().unwrap();
    let spec = tiny(directory.path(), &Onnx::tokens(), 2);
    let before = embedder.model(&spec).unwrap();
    embedder.set_threads(1);
    let after = embedder.model(&spec).unwrap();
    assert!(!Arc::ptr_eq(&before, &after));
    assert_eq!(before.key(), after.key());
    assert!(Arc::ptr_eq(&after, &embedder.model(&spec).unwrap()));
}

#[test]
fn a_cache_that_fails_or_panics_or_answers_nonsense_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    let spec = tiny(directory.path(), &Onnx::tokens(), 2);
    let text = ["a b".to_owned()];
    let cache = Arc::new(MemoryCache::default());
    let embedder = embedder(&cache);
    cache.fail(Some("the store is full"));
    let error = err(embedder.embed(&spec, &text, Priority::Interactive, &never));
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::StoreIo, "the store is full"));
    assert_eq!(embedder.stats()[0].last_error, "the store is full");
    cache.fail(None);
    assert_eq!(embed(&embedder, &spec, &text), [3.5, 7.0]);
    // A row of another length is not used.
    cache.spoil();
    assert_eq!(embed(&embedder, &spec, &text), [3.5, 7.0]);
    cache.panic_next();
    let error = err(embedder.embed(&spec, &text, Priority::Interactive, &never));
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.detail.contains("a cache panicked"), "{error:?}");
    assert_eq!(embed(&embedder, &spec, &text), [3.5, 7.0]);
}
