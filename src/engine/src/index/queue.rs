//! Texts waiting to be embedded: hash and length of each in memory, the text itself in the store.
//!
//! The queue's lock also orders writers of texts against [`Queue::complete`]: who adds an entry holds
//! it from looking for the embedding until the entry is where a completion looks for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onyx_protocol::model::ModelSpec;

use crate::store::{ModelKey, Store, StoreError, TextHash, lock};

/// Texts of one model to embed next.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingBatch {
    /// With this model.
    pub model: ModelKey,
    /// As it was last described.
    pub spec: ModelSpec,
    /// Shortest first.
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
    lengths: HashMap<TextHash, u32>,
    by_length: BTreeSet<(u32, TextHash)>,
}

impl Waiting {
    /// Whether a text is queued.
    pub fn contains(&self, model: ModelKey, hash: &TextHash) -> bool {
        self.models.get(&model).is_some_and(|queue| queue.lengths.contains_key(hash))
    }

    /// Queues a text that is in the store.
    pub fn add(&mut self, model: ModelKey, hash: TextHash, length: usize) {
        let queue = self.models.entry(model).or_default();
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if queue.lengths.insert(hash, length).is_none() {
            queue.by_length.insert((length, hash));
        }
    }

    /// Takes a text off.
    pub fn remove(&mut self, model: ModelKey, hash: &TextHash) {
        if let Some(queue) = self.models.get_mut(&model)
            && let Some(length) = queue.lengths.remove(hash)
        {
            queue.by_length.remove(&(length, *hash));
        }
    }

    fn turn(&mut self, limit: usize) -> Option<(ModelKey, ModelSpec, Vec<TextHash>)> {
        let ready = |queue: &ModelQueue| queue.spec.is_some() && !queue.lengths.is_empty();
        let served = self.served;
        let mut candidates = self.models.iter().filter(|(_, queue)| ready(queue));
        let after = candidates.clone().find(|(model, _)| served.is_none_or(|s| **model > s));
        let (model, queue) = after.or_else(|| candidates.next())?;
        let hashes = queue.by_length.iter().take(limit).map(|(_, hash)| *hash).collect();
        let turn = (*model, queue.spec.clone()?, hashes);
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
        store.pending(|model, hash, length| waiting.add(model, hash, length))?;
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
                Some((*model, queue.spec.clone()?, queue.lengths.len() as u64))
            })
            .collect()
    }

    /// Waits until a text is queued, at most this long; whether there is one.
    pub fn wait(&self, timeout: Duration) -> bool {
        let empty = |waiting: &mut Waiting| waiting.models.values().all(|q| q.lengths.is_empty());
        let (mut waiting, _) = self
            .added
            .wait_timeout_while(self.hold(), timeout, |waiting| empty(waiting))
            .unwrap_or_else(PoisonError::into_inner);
        !empty(&mut waiting)
    }
}
