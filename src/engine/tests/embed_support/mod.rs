//! What the embedding tests share: where the files are, a cache in memory, and tiny ONNX models
//! written field by field.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use onyx_engine::embed::{ModelKey, Runtime, TextHash, VectorCache};
use onyx_protocol::{
    ErrorKind, WireError,
    model::{ModelSpec, Pooling},
};

fn variable(name: &str, what: &str) -> PathBuf {
    let Some(path) = std::env::var_os(name) else {
        panic!("set {name} to {what}: the embedding tests need it");
    };
    path.into()
}

pub fn runtime_path() -> PathBuf {
    variable("ONYX_ONNXRUNTIME", "the path of libonnxruntime.so")
}

pub fn runtime() -> Arc<Runtime> {
    Runtime::load(&runtime_path()).unwrap()
}

/// The default model as it is registered.
pub fn minilm() -> ModelSpec {
    let directory = variable("ONYX_MODEL_DIR", "the directory of model.onnx and tokenizer.json");
    let path = |name: &str| directory.join(name).display().to_string();
    ModelSpec {
        name: "all-MiniLM-L6-v2".into(),
        model_path: path("model.onnx"),
        tokenizer_path: path("tokenizer.json"),
        dimensions: 384,
        pooling: Pooling::Mean,
        normalize: true,
        max_tokens: 256,
    }
}

pub fn err<T>(result: Result<T, WireError>) -> WireError {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error,
    }
}

/// A cache in memory that can misbehave.
#[derive(Default)]
pub struct MemoryCache {
    rows: Mutex<HashMap<(ModelKey, TextHash), Vec<f32>>>,
    failure: Mutex<Option<&'static str>>,
    panics: AtomicBool,
}

impl MemoryCache {
    pub fn len(&self) -> usize {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn fail(&self, message: Option<&'static str>) {
        *self.failure.lock().unwrap() = message;
    }

    pub fn panic_next(&self) {
        self.panics.store(true, Ordering::Relaxed);
    }

    /// Shortens every row.
    pub fn spoil(&self) {
        for row in self.rows.lock().unwrap().values_mut() {
            row.truncate(1);
        }
    }

    fn check(&self) -> Result<(), WireError> {
        assert!(!self.panics.swap(false, Ordering::Relaxed), "a cache panicked");
        match *self.failure.lock().unwrap() {
            Some(message) => Err(WireError::new(ErrorKind::StoreIo, message)),
            None => Ok(()),
        }
    }
}

impl VectorCache for MemoryCache {
    fn get(
        &self,
        model: ModelKey,
        hashes: &[TextHash],
    ) -> Result<Vec<Option<Vec<f32>>>, WireError> {
        self.check()?;
        let rows = self.rows.lock().unwrap();
        Ok(hashes.iter().map(|hash| rows.get(&(model, *hash)).cloned()).collect())
    }

    fn put(&self, model: ModelKey, new: &[(TextHash, &[f32])]) -> Result<(), WireError> {
        self.check()?;
        let mut rows = self.rows.lock().unwrap();
        rows.extend(new.iter().map(|(hash, row)| ((model, *hash), row.to_vec())));
        Ok(())
    }
}

/// Writes a tiny model and its tokenizer ("a" is 4, "b" is 5, between 2 and 3) into `directory`.
pub fn tiny(directory: &Path, model: &Onnx, dimensions: u32) -> ModelSpec {
    let path = |name: &str| directory.join(name);
    std::fs::write(path("tiny.onnx"), &model.0).unwrap();
    std::fs::write(path("tiny.json"), TOKENIZER).unwrap();
    ModelSpec {
        name: "tiny".into(),
        model_path: path("tiny.onnx").display().to_string(),
        tokenizer_path: path("tiny.json").display().to_string(),
        dimensions,
        pooling: Pooling::Mean,
        normalize: false,
        max_tokens: 16,
    }
}

const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": null, "decoder": null, "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    "model": {"type": "WordLevel", "unk_token": "[UNK]",
              "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "b": 5}}
}"#;

/// The bytes of an ONNX model: protocol buffers with the field numbers of onnx.proto.
pub struct Onnx(pub Vec<u8>);

const INT64: u64 = 7;
const FLOAT: u64 = 1;

impl Onnx {
    /// Token vectors `(id, 2 * id)` of unknown dimensions: `[1, tokens, ?]`.
    pub fn tokens() -> Self {
        Self(Self::tokens_scaled(1.0))
    }

    pub fn tokens_scaled(scale: f32) -> Vec<u8> {
        Self::token_vectors(&[scale, 2.0 * scale])
    }

    /// Vectors that are not finite.
    pub fn infinite() -> Self {
        Self(Self::token_vectors(&[f32::INFINITY, 1.0]))
    }

    fn token_vectors(factors: &[f32]) -> Vec<u8> {
        let nodes = [
            node("Cast", &["input_ids"], "number", &[integer("to", FLOAT)]),
            node("Unsqueeze", &["number", "last"], "column", &[]),
            node("Mul", &["column", "factors"], "vectors", &[]),
        ];
        let constants = [longs("last", &[2]), floats("factors", factors)];
        let inputs = [value("input_ids", INT64, &[None, None])];
        model(&nodes, &constants, &inputs, &[value("vectors", FLOAT, &[None, None, None])])
    }

    /// One number a sentence, the sum of the ids, as the second output beside one of no use.
    pub fn sentence() -> Self {
        let nodes = [
            node("Cast", &["input_ids"], "number", &[integer("to", FLOAT)]),
            node("ReduceSum", &["number", "axis"], "sum", &[integer("keepdims", 1)]),
            node("Size", &["input_ids"], "size", &[]),
        ];
        let inputs = [
            value("input_ids", INT64, &[None, None]),
            value("attention_mask", INT64, &[None, None]),
        ];
        let outputs = [value("size", INT64, &[]), value("sum", FLOAT, &[None, Some(1)])];
        Self(model(&nodes, &[longs("axis", &[1])], &inputs, &outputs))
    }

    /// One number a sentence that depends on its company, as a dynamically quantised model's do: the
    /// sum of the ids times the size of the batch.
    pub fn swayed() -> Self {
        let nodes = [
            node("Cast", &["input_ids"], "number", &[integer("to", FLOAT)]),
            node("ReduceSum", &["number", "axis"], "sum", &[integer("keepdims", 1)]),
            node("Size", &["input_ids"], "size", &[]),
            node("Cast", &["size"], "weight", &[integer("to", FLOAT)]),
            node("Mul", &["sum", "weight"], "product", &[]),
        ];
        let inputs = [value("input_ids", INT64, &[None, None])];
        let outputs = [value("product", FLOAT, &[None, Some(1)])];
        Self(model(&nodes, &[longs("axis", &[1])], &inputs, &outputs))
    }

    /// A model of something else than text.
    pub fn image() -> Self {
        let nodes = [node("Identity", &["pixels"], "out", &[])];
        let inputs = [value("pixels", FLOAT, &[None, None])];
        Self(model(&nodes, &[], &inputs, &[value("out", FLOAT, &[None, None])]))
    }

    /// One token vector that has a dimension for each token.
    pub fn sideways() -> Self {
        let nodes = [
            node("Cast", &["input_ids"], "number", &[integer("to", FLOAT)]),
            node("Unsqueeze", &["number", "middle"], "row", &[]),
        ];
        let inputs = [value("input_ids", INT64, &[None, None])];
        let outputs = [value("row", FLOAT, &[None, None, None])];
        Self(model(&nodes, &[longs("middle", &[1])], &inputs, &outputs))
    }

    /// A model that answers a single number.
    pub fn scalar() -> Self {
        let nodes = [
            node("Cast", &["input_ids"], "number", &[integer("to", FLOAT)]),
            node("ReduceSum", &["number"], "sum", &[integer("keepdims", 0)]),
        ];
        let inputs = [value("input_ids", INT64, &[None, None])];
        Self(model(&nodes, &[], &inputs, &[value("sum", FLOAT, &[])]))
    }
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

fn number(field: u64, n: u64) -> Vec<u8> {
    [varint(field << 3), varint(n)].concat()
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn model(
    nodes: &[Vec<u8>],
    constants: &[Vec<u8>],
    inputs: &[Vec<u8>],
    outputs: &[Vec<u8>],
) -> Vec<u8> {
    let all = |field, parts: &[Vec<u8>]| -> Vec<u8> {
        parts.iter().flat_map(|part| bytes(field, part)).collect()
    };
    let graph =
        [all(1, nodes), bytes(2, b"tiny"), all(5, constants), all(11, inputs), all(12, outputs)]
            .concat();
    // IR version 8, operator set 17.
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 17))].concat()
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out: Vec<u8> = inputs.iter().flat_map(|name| bytes(1, name.as_bytes())).collect();
    out.extend(bytes(2, output.as_bytes()));
    out.extend(bytes(4, op.as_bytes()));
    out.extend(attributes.iter().flat_map(|attribute| bytes(5, attribute)));
    out
}

fn integer(name: &str, n: u64) -> Vec<u8> {
    [bytes(1, name.as_bytes()), number(3, n), number(20, 2)].concat()
}

fn tensor(name: &str, kind: u64, length: usize, raw: &[u8]) -> Vec<u8> {
    [number(1, length as u64), number(2, kind), bytes(8, name.as_bytes()), bytes(9, raw)].concat()
}

fn longs(name: &str, values: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(name, INT64, values.len(), &raw)
}

fn floats(name: &str, values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(name, FLOAT, values.len(), &raw)
}

/// A declared input or output; a dimension of `None` is unknown.
fn value(name: &str, kind: u64, shape: &[Option<u64>]) -> Vec<u8> {
    let dimensions: Vec<u8> = shape
        .iter()
        .enumerate()
        .flat_map(|(i, dimension)| match dimension {
            Some(n) => bytes(1, &number(1, *n)),
            None => bytes(1, &bytes(2, format!("d_{name}_{i}").as_bytes())),
        })
        .collect();
    let kind = bytes(1, &[number(1, kind), bytes(2, &dimensions)].concat());
    [bytes(1, name.as_bytes()), bytes(2, &kind)].concat()
}
