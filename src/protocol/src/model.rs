//! Embedding models, as registered in `onyx.models`.

use serde::{Deserialize, Serialize};

/// How a model's token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pooling {
    /// Mean over the attention mask.
    Mean,
    /// The first token's vector.
    Cls,
    /// The last attended token's vector.
    Last,
}

/// Everything needed to run a model. Two specs whose files have the same content and whose other
/// fields agree share their cached embeddings, whatever they are called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelSpec {
    /// The registered name, for messages only.
    pub name: String,
    /// Absolute path of the ONNX file.
    pub model_path: String,
    /// Absolute path of the Hugging Face `tokenizer.json`.
    pub tokenizer_path: String,
    /// Length of the vectors, 1 to `MAX_DIMENSIONS`.
    pub dimensions: u32,
    /// How token vectors are pooled.
    pub pooling: Pooling,
    /// Whether vectors are scaled to unit length.
    pub normalize: bool,
    /// Tokens a text is cut to, the special ones included.
    pub max_tokens: u32,
}
