//! Models, embeddings, failures and the texts waiting to be embedded.

use onyx_protocol::model::ModelSpec;

use super::keys::{
    Family, ModelKey, TextHash, decode, decode_text, decode_vector, encode, encode_vector,
    parse_text_key, text_key,
};
use super::rocks::Batch;
use super::{Store, StoreError};

impl Store {
    /// Remembers how a model was last described.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_model(&self, key: ModelKey, spec: &ModelSpec) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Family::Models, key.0, encode(spec)?);
        self.write(batch)
    }

    /// All models ever seen.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn models(&self) -> Result<Vec<(ModelKey, ModelSpec)>, StoreError> {
        let pairs = self.db.scan(Family::Models, &[], None)?;
        pairs
            .map(|pair| {
                let (key, value) = pair?;
                let key = <[u8; 16]>::try_from(&key[..])
                    .map_err(|_| StoreError::corrupt("a model key of unexpected length"))?;
                Ok((ModelKey(key), decode(&value)?))
            })
            .collect()
    }

    /// Cached embeddings, `None` where there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn get_many(
        &self,
        model: ModelKey,
        hashes: &[TextHash],
    ) -> Result<Vec<Option<Vec<f32>>>, StoreError> {
        let mut vectors = vec![None; hashes.len()];
        self.db.get_many(Family::Embeddings, &text_keys(model, hashes), |at, value| {
            vectors[at] = Some(decode_vector(value)?);
            Ok(())
        })?;
        Ok(vectors)
    }

    /// Writes embeddings and takes their texts off the queue.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_embeddings(
        &self,
        model: ModelKey,
        rows: &[(TextHash, &[f32])],
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (hash, values) in rows {
            let key = text_key(model, hash);
            batch.put(Family::Embeddings, key, encode_vector(values));
            batch.delete(Family::Pending, key);
            batch.delete(Family::Failures, key);
        }
        self.write(batch)
    }

    /// Embeddings in the store, about.
    pub fn embedding_count(&self) -> u64 {
        self.db.estimated_keys(Family::Embeddings)
    }

    /// Records that a text cannot be embedded and takes it off the queue.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_failure(
        &self,
        model: ModelKey,
        hash: TextHash,
        reason: &str,
    ) -> Result<(), StoreError> {
        let key = text_key(model, &hash);
        let mut batch = Batch::default();
        batch.put(Family::Failures, key, reason);
        batch.delete(Family::Pending, key);
        self.write(batch)
    }

    /// Which of these texts cannot be embedded.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn failures(&self, model: ModelKey, hashes: &[TextHash]) -> Result<Vec<bool>, StoreError> {
        let mut failed = vec![false; hashes.len()];
        self.db.get_many(Family::Failures, &text_keys(model, hashes), |at, _| {
            failed[at] = true;
            Ok(())
        })?;
        Ok(failed)
    }

    /// Calls `each` with model, hash and length of every queued text.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn pending(
        &self,
        mut each: impl FnMut(ModelKey, TextHash, usize),
    ) -> Result<(), StoreError> {
        for pair in self.db.scan(Family::Pending, &[], None)? {
            let (key, text) = pair?;
            let (model, hash) = parse_text_key(&key)?;
            each(model, hash, text.len());
        }
        Ok(())
    }

    /// Queued texts, `None` where there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn pending_texts(
        &self,
        model: ModelKey,
        hashes: &[TextHash],
    ) -> Result<Vec<Option<String>>, StoreError> {
        let mut texts = vec![None; hashes.len()];
        self.db.get_many(Family::Pending, &text_keys(model, hashes), |at, value| {
            texts[at] = Some(decode_text(value)?);
            Ok(())
        })?;
        Ok(texts)
    }
}

fn text_keys(model: ModelKey, hashes: &[TextHash]) -> Vec<[u8; 48]> {
    hashes.iter().map(|hash| text_key(model, hash)).collect()
}
