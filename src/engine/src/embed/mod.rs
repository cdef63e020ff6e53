//! Texts to vectors: ONNX Runtime, tokenizers, pooling, and the cache look-up before them.
//!
//! Owns the process's ONNX Runtime, the loaded models and the turns that calls take on them. Knows
//! neither the store (it sees a [`VectorCache`]) nor sockets nor PostgreSQL.
//!
//! A vector is a pure function of the model and the text, whatever else is embedded at the same
//! time: texts run through the model one by one. A quantised model may choose the scale of its
//! activations by the whole batch, so that a text's vector would depend on its neighbours; cached
//! vectors, which are immutable, must not. And a search waits behind one text instead of a batch.
//! The price: on idle cores a padded batch uses several threads better than one text does.

mod claims;
mod embedder;
mod error;
mod model;
mod pooling;
mod runtime;
mod text;
mod turn;

pub use embedder::{EmbeddedTexts, Embedder};
pub use model::{Embedded, Model, ModelKey};
pub use runtime::Runtime;
pub use text::{TextHash, cut_text, text_hash};
pub use turn::Priority;

use onyx_protocol::WireError;

/// Where vectors are kept between calls. Embeddings are immutable: a `put` of a key that is there
/// already may be ignored.
pub trait VectorCache: Send + Sync {
    /// The vectors of these texts under this model, `None` where there is none.
    fn get(&self, model: ModelKey, hashes: &[TextHash])
    -> Result<Vec<Option<Vec<f32>>>, WireError>;

    /// Keeps vectors.
    fn put(&self, model: ModelKey, rows: &[(TextHash, &[f32])]) -> Result<(), WireError>;
}
