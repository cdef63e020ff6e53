//! Models by their specification, the cache before them, and the figures about both.

use std::{
    collections::HashMap,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use onyx_protocol::{ErrorKind, WireError, message::ModelStat, model::ModelSpec};

use super::{
    Embedded, Model, ModelKey, Priority, Runtime, TextHash, VectorCache,
    claims::Claims,
    cut_text,
    error::{canceled, guarded},
    text_hash,
};

/// Texts embedded between two writes to the cache: what a cancel or a crash can lose.
const CHUNK: usize = 256;
/// Texts looked up in the cache at once.
const LOOK_UP: usize = 1024;

/// The answer of [`Embedder::embed`].
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedTexts {
    /// The model that gave the vectors.
    pub model: ModelKey,
    /// Length of each.
    pub dimensions: usize,
    /// `texts * dimensions` numbers, row by row, in the order of the texts.
    pub values: Vec<f32>,
    /// For each text the hash its vector is cached under.
    pub hashes: Vec<TextHash>,
}

/// Embeds texts under any registered model. Shared by all sessions.
pub struct Embedder {
    runtime_path: PathBuf,
    /// As set; 0 means all cores.
    threads: AtomicUsize,
    cache: Arc<dyn VectorCache>,
    slots: Mutex<HashMap<ModelSpec, Slot>>,
    claims: Claims,
    stats: Mutex<HashMap<String, ModelStat>>,
}

/// A model's place; its lock is held while the model loads, so that it is loaded once.
type Slot = Arc<Mutex<Option<Loaded>>>;

struct Loaded {
    model: Arc<Model>,
    threads: usize,
    files: [FileIdentity; 2],
}

/// Tells whether a file is still the one that was read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileIdentity {
    fn new(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Of both files of a model; `None` when one cannot be looked at: then loading says why.
    fn of(spec: &ModelSpec) -> Option<[Self; 2]> {
        let of = |path: &str| std::fs::metadata(Path::new(path)).ok().map(|m| Self::new(&m));
        Some([of(&spec.model_path)?, of(&spec.tokenizer_path)?])
    }
}

impl Embedder {
    /// An embedder without a model yet; ONNX Runtime is loaded with the first. `threads` are those
    /// of each model's session, 0 for all cores.
    pub fn new(runtime_path: PathBuf, threads: usize, cache: Arc<dyn VectorCache>) -> Self {
        Self {
            runtime_path,
            threads: AtomicUsize::new(threads),
            cache,
            slots: Mutex::default(),
            claims: Claims::default(),
            stats: Mutex::default(),
        }
    }

    /// Changes the number of threads; a loaded model follows when it is next used.
    pub fn set_threads(&self, threads: usize) {
        self.threads.store(threads, Ordering::Relaxed);
    }

    fn threads(&self) -> usize {
        match self.threads.load(Ordering::Relaxed) {
            0 => std::thread::available_parallelism().map_or(1, Into::into),
            threads => threads,
        }
    }

    /// The model of a specification: loaded when it is not, or when its files or the number of
    /// threads changed since. A failure is recorded and not remembered: the next call tries again.
    pub fn model(&self, spec: &ModelSpec) -> Result<Arc<Model>, WireError> {
        let slot = Arc::clone(locked(&self.slots).entry(spec.clone()).or_default());
        let model = self.model_in(&mut locked(&slot), spec);
        if let Err(error) = &model {
            // Specifications that never worked must not pile up.
            locked(&self.slots).remove(spec);
            self.note(spec, |stat| stat.last_error = error.message.clone());
        }
        model
    }

    fn model_in(
        &self,
        slot: &mut Option<Loaded>,
        spec: &ModelSpec,
    ) -> Result<Arc<Model>, WireError> {
        let threads = self.threads();
        // Taken before reading: a file that changes meanwhile is read again next time.
        let files = FileIdentity::of(spec);
        if let Some(loaded) = slot.as_ref()
            && loaded.threads == threads
            && files == Some(loaded.files)
        {
            return Ok(Arc::clone(&loaded.model));
        }
        *slot = None;
        let runtime = Runtime::load(&self.runtime_path)?;
        let model = Arc::new(Model::load(&runtime, spec, threads)?);
        if let Some(files) = files {
            *slot = Some(Loaded { model: Arc::clone(&model), threads, files });
        }
        Ok(model)
    }

    /// Embeds texts, each cut by [`cut_text`]: from the cache, from a call that embeds the same
    /// text right now, or by running the model; every distinct text once.
    pub fn embed(
        &self,
        spec: &ModelSpec,
        texts: &[String],
        priority: Priority,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<EmbeddedTexts, WireError> {
        let model = self.model(spec)?;
        let result =
            guarded("embedding", || self.embed_with(&model, spec, texts, priority, cancelled));
        if let Err(error) = &result
            && error.kind != ErrorKind::Canceled
        {
            self.note(spec, |stat| stat.last_error = error.message.clone());
            if error.kind == ErrorKind::Internal {
                // A session that panicked is not trusted again.
                locked(&self.slots).remove(spec);
            }
        }
        result
    }

    fn embed_with(
        &self,
        model: &Model,
        spec: &ModelSpec,
        texts: &[String],
        priority: Priority,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<EmbeddedTexts, WireError> {
        let hashes: Vec<TextHash> = texts.iter().map(|text| text_hash(text)).collect();
        let mut call = Call {
            embedder: self,
            model,
            spec,
            texts,
            priority,
            cancelled,
            values: vec![0.0; texts.len() * model.dimensions()],
            places: HashMap::with_capacity(texts.len()),
        };
        let mut distinct = Vec::with_capacity(texts.len());
        for (i, hash) in hashes.iter().enumerate() {
            let places = call.places.entry(*hash).or_default();
            if places.is_empty() {
                distinct.push(*hash);
            }
            places.push(i);
        }
        let mut missing = call.look_up(&distinct)?;
        // Texts of like lengths make full batches.
        missing.sort_by_key(|hash| texts[call.places[hash][0]].len());
        let hits = texts.len() - missing.len();
        self.note(spec, |stat| stat.cache_hits += hits as u64);
        let mut elsewhere = Vec::new();
        for chunk in missing.chunks(CHUNK) {
            elsewhere.extend(call.run(chunk)?);
        }
        for hash in elsewhere {
            // Embedded by another call, unless that one failed: then it is ours after all.
            loop {
                if !self.claims.wait(model.key(), hash, cancelled) {
                    return Err(canceled());
                }
                if call.look_up(&[hash])?.is_empty() {
                    self.note(spec, |stat| stat.cache_hits += 1);
                    break;
                }
                if call.run(&[hash])?.is_empty() {
                    break;
                }
            }
        }
        Ok(EmbeddedTexts {
            model: model.key(),
            dimensions: model.dimensions(),
            values: call.values,
            hashes,
        })
    }

    /// Figures since the start, a row for each model name, sorted by name. `pending` is 0: only
    /// the owner of the queue knows it.
    pub fn stats(&self) -> Vec<ModelStat> {
        let mut stats: Vec<_> = locked(&self.stats).values().cloned().collect();
        stats.sort_by(|a, b| a.model.cmp(&b.model));
        stats
    }

    fn note(&self, spec: &ModelSpec, change: impl FnOnce(&mut ModelStat)) {
        let mut stats = locked(&self.stats);
        change(stats.entry(spec.name.clone()).or_insert_with(|| ModelStat {
            model: spec.name.clone(),
            pending: 0,
            embedded: 0,
            cache_hits: 0,
            tokens: 0,
            busy_seconds: 0.0,
            last_error: String::new(),
        }));
    }
}

/// One call's texts and what is known of them so far.
struct Call<'a> {
    embedder: &'a Embedder,
    model: &'a Model,
    spec: &'a ModelSpec,
    texts: &'a [String],
    priority: Priority,
    cancelled: &'a (dyn Fn() -> bool + Sync),
    values: Vec<f32>,
    /// Where each distinct text stands among the texts; never empty.
    places: HashMap<TextHash, Vec<usize>>,
}

impl Call<'_> {
    /// Takes from the cache what is there and returns what is not.
    fn look_up(&mut self, hashes: &[TextHash]) -> Result<Vec<TextHash>, WireError> {
        let mut missing = Vec::new();
        for part in hashes.chunks(LOOK_UP) {
            if (self.cancelled)() {
                return Err(canceled());
            }
            let found = self.embedder.cache.get(self.model.key(), part)?;
            for (hash, vector) in part.iter().zip(found) {
                match vector {
                    // A row of another length is no vector of this model: it is made again.
                    Some(vector) if vector.len() == self.model.dimensions() => {
                        self.keep(hash, &vector);
                    }
                    _ => missing.push(*hash),
                }
            }
        }
        Ok(missing)
    }

    fn keep(&mut self, hash: &TextHash, vector: &[f32]) {
        for place in &self.places[hash] {
            let from = place * vector.len();
            self.values[from..from + vector.len()].copy_from_slice(vector);
        }
    }

    /// Embeds and caches those of a few texts that no other call embeds; returns the others.
    fn run(&mut self, hashes: &[TextHash]) -> Result<Vec<TextHash>, WireError> {
        let key = self.model.key();
        let (mine, _claim) = self.embedder.claims.claim(key, self.priority, hashes);
        let pick = |wanted: bool| -> Vec<TextHash> {
            let both = hashes.iter().zip(&mine);
            both.filter(|(_, mine)| **mine == wanted).map(|(hash, _)| *hash).collect()
        };
        // Another call may have embedded some between the look-up and the claim.
        let taken = pick(true);
        let claimed = self.look_up(&taken)?;
        let hits = (taken.len() - claimed.len()) as u64;
        self.embedder.note(self.spec, |stat| stat.cache_hits += hits);
        if !claimed.is_empty() {
            let texts: Vec<&str> =
                claimed.iter().map(|hash| cut_text(&self.texts[self.places[hash][0]])).collect();
            let Embedded { values, tokens, busy } =
                self.model.embed_with(&texts, self.priority, self.cancelled)?;
            let rows: Vec<(TextHash, &[f32])> =
                claimed.iter().copied().zip(values.chunks_exact(self.model.dimensions())).collect();
            for (hash, vector) in &rows {
                self.keep(hash, vector);
            }
            self.embedder.note(self.spec, |stat| {
                stat.embedded += rows.len() as u64;
                stat.tokens += tokens;
                stat.busy_seconds += busy.as_secs_f64();
                stat.last_error.clear();
            });
            self.embedder.cache.put(key, &rows)?;
        }
        Ok(pick(false))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
