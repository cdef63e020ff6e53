//! The store as the embedder's cache.

use std::sync::Arc;

use onyx_protocol::WireError;

use crate::embed::{self, VectorCache};
use crate::store::{ModelKey, Store, TextHash};

/// Keeps embeddings in the store.
pub struct StoreCache(pub Arc<Store>);

/// The store's form of a model's key.
pub fn store_key(key: embed::ModelKey) -> ModelKey {
    ModelKey(key.0)
}

impl VectorCache for StoreCache {
    fn get(
        &self,
        model: embed::ModelKey,
        hashes: &[embed::TextHash],
    ) -> Result<Vec<Option<Vec<f32>>>, WireError> {
        let hashes: Vec<TextHash> = hashes.iter().copied().map(TextHash).collect();
        Ok(self.0.get_many(store_key(model), &hashes)?)
    }

    fn put(
        &self,
        model: embed::ModelKey,
        rows: &[(embed::TextHash, &[f32])],
    ) -> Result<(), WireError> {
        let rows: Vec<(TextHash, &[f32])> =
            rows.iter().map(|(hash, row)| (TextHash(*hash), *row)).collect();
        Ok(self.0.put_embeddings(store_key(model), &rows)?)
    }
}
