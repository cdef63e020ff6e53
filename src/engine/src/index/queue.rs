//! Texts waiting to be embedded: hash and length of each in memory, the text itself in the store.
//!
//! Which come first: of the generations that want some, those of the one that wants fewest, its shortest ones
//! first. So a small index does not wait for a large one, nor what a repository is now for its whole history.
//!
//! The queue's lock also orders writers of texts against [`Queue::complete`]: who adds an entry holds
//! it from looking for the embedding until the entry is where a completion looks for it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onyx_protocol::index::GenerationId;
use onyx_protocol::model::ModelSpec;

use crate::store::{ModelKey, Store, StoreError, TextHash, lock};

/// Texts of one model to embed next.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingBatch {
    /// With this model.
    pub model: ModelKey,
    /// As it was last described.
    pub spec: ModelSpec,
    /// In the order of their turns.
    pub texts: Vec<(TextHash, String)>,
}

/// What waits, by model.
#[derive(Default)]
pub struct Waiting {
    models: BTreeMap<ModelKey, ModelQueue>,
    /// Whose turn it was: a model that cannot run must not keep the others waiting.
    served: Option<ModelKey>,
}

#[derive(Default)]
struct ModelQueue {
    spec: Option<ModelSpec>,
    texts: HashMap<TextHash, Wanted>,
    /// By who wants them; none of these is empty.
    by_length: HashMap<Wanter, BTreeSet<(u32, TextHash)>>,
}

/// The generation whose turn a text waits for; none until one is loaded that wants it.
type Wanter = Option<GenerationId>;

struct Wanted {
    length: u32,
    by: Wanter,
}

impl ModelQueue {
    fn count(&self, by: Wanter) -> usize {
        self.by_length.get(&by).map_or(0, BTreeSet::len)
    }

    fn leave(&mut self, by: Wanter, place: &(u32, TextHash)) {
        if let Some(places) = self.by_length.get_mut(&by) {
            places.remove(place);
            if places.is_empty() {
                self.by_length.remove(&by);
            }
        }
    }

    fn remove(&mut self, hash: &TextHash) {
        if let Some(wanted) = self.texts.remove(hash) {
            self.leave(wanted.by, &(wanted.length, *hash));
        }
    }

    /// Says that a generation wants a text: it comes with the other texts of who wants fewer.
    fn want(&mut self, hash: TextHash, by: GenerationId) {
        let Some(wanted) = self.texts.get(&hash) else { return };
        let (before, place) = (wanted.by, (wanted.length, hash));
        let is_sooner = before.is_none() || self.count(Some(by)) + 1 < self.count(before);
        if before == Some(by) || !is_sooner {
            return;
        }
        self.leave(before, &place);
        self.by_length.entry(Some(by)).or_default().insert(place);
        if let Some(wanted) = self.texts.get_mut(&hash) {
            wanted.by = Some(by);
        }
    }

    /// Texts whose turn it is.
    fn next(&self, limit: usize) -> Vec<TextHash> {
        let mut wanters: Vec<_> = self.by_length.iter().collect();
        wanters.sort_unstable_by_key(|(by, places)| (places.len(), **by));
        let places = wanters.into_iter().flat_map(|(_, places)| places);
        places.take(limit).map(|(_, hash)| *hash).collect()
    }
}

impl Waiting {
    /// Whether a text is queued.
    pub fn contains(&self, model: ModelKey, hash: &TextHash) -> bool {
        self.models.get(&model).is_some_and(|queue| queue.texts.contains_key(hash))
    }

    /// Queues a text that is in the store.
    pub fn add(&mut self, model: ModelKey, hash: TextHash, length: usize, by: Wanter) {
        let queue = self.models.entry(model).or_default();
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if let Entry::Vacant(new) = queue.texts.entry(hash) {
            new.insert(Wanted { length, by });
            queue.by_length.entry(by).or_default().insert((length, hash));
        }
    }

    /// Says that a generation wants a text that is queued, too.
    pub fn want(&mut self, model: ModelKey, hash: TextHash, by: GenerationId) {
        if let Some(queue) = self.models.get_mut(&model) {
            queue.want(hash, by);
        }
    }

    /// Takes a text off.
    pub fn remove(&mut self, model: ModelKey, hash: &TextHash) {
        if let Some(queue) = self.models.get_mut(&model) {
            queue.remove(hash);
        }
    }

    fn turn(&mut self, limit: usize) -> Option<(ModelKey, ModelSpec, Vec<TextHash>)> {
        let ready = |queue: &ModelQueue| queue.spec.is_some() && !queue.texts.is_empty();
        let served = self.served;
        let mut candidates = self.models.iter().filter(|(_, queue)| ready(queue));
        let after = candidates.clone().find(|(model, _)| served.is_none_or(|s| **model > s));
        let (model, queue) = after.or_else(|| candidates.next())?;
        let turn = (*model, queue.spec.clone()?, queue.next(limit));
        self.served = Some(turn.0);
        Some(turn)
    }
}

/// The queue of all models.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    added: Condvar,
}

impl Queue {
    /// Reads models and queued texts.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let mut waiting = Waiting::default();
        for (model, spec) in store.models()? {
            waiting.models.entry(model).or_default().spec = Some(spec);
        }
        store.pending(|model, hash, length| waiting.add(model, hash, length, None))?;
        Ok(Self { waiting: Mutex::new(waiting), added: Condvar::new() })
    }

    /// Remembers how a model is described.
    pub fn put_model(
        &self,
        store: &Store,
        model: ModelKey,
        spec: &ModelSpec,
    ) -> Result<(), StoreError> {
        store.put_model(model, spec)?;
        lock(&self.waiting).models.entry(model).or_default().spec = Some(spec.clone());
        Ok(())
    }

    /// Holds the queue while entries are added.
    pub fn hold(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// Wakes who waits for texts.
    pub fn wake(&self) {
        self.added.notify_all();
    }

    /// The next texts to embed. They stay queued until they are completed or fail.
    pub fn next(&self, store: &Store, limit: usize) -> Result<Option<PendingBatch>, StoreError> {
        let Some((model, spec, hashes)) = self.hold().turn(limit) else { return Ok(None) };
        let texts = store.pending_texts(model, &hashes)?;
        // A text may have been completed meanwhile.
        let texts = hashes.into_iter().zip(texts).filter_map(|(hash, text)| Some((hash, text?)));
        Ok(Some(PendingBatch { model, spec, texts: texts.collect() }))
    }

    /// Writes embeddings and takes their texts off.
    pub fn complete(
        &self,
        store: &Store,
        model: ModelKey,
        rows: &[(TextHash, &[f32])],
    ) -> Result<(), StoreError> {
        let mut waiting = self.hold();
        store.put_embeddings(model, rows)?;
        rows.iter().for_each(|(hash, _)| waiting.remove(model, hash));
        Ok(())
    }

    /// Records that a text cannot be embedded and takes it off.
    pub fn fail(
        &self,
        store: &Store,
        model: ModelKey,
        hash: TextHash,
        reason: &str,
    ) -> Result<(), StoreError> {
        let mut waiting = self.hold();
        store.put_failure(model, hash, reason)?;
        waiting.remove(model, &hash);
        Ok(())
    }

    /// Texts waiting, by model.
    pub fn counts(&self) -> Vec<(ModelKey, ModelSpec, u64)> {
        let waiting = self.hold();
        let models = waiting.models.iter();
        models
            .filter_map(|(model, queue)| {
                Some((*model, queue.spec.clone()?, queue.texts.len() as u64))
            })
            .collect()
    }

    /// Waits until a text is queued, at most this long; whether there is one.
    pub fn wait(&self, timeout: Duration) -> bool {
        let empty = |waiting: &mut Waiting| waiting.models.values().all(|q| q.texts.is_empty());
        let (mut waiting, _) = self
            .added
            .wait_timeout_while(self.hold(), timeout, |waiting| empty(waiting))
            .unwrap_or_else(PoisonError::into_inner);
        !empty(&mut waiting)
    }
}
