//! One loaded model: a session, its tokenizer, and the run of a batch of texts.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use onyx_protocol::{
    ErrorKind, WireError,
    limits::MAX_DIMENSIONS,
    model::{ModelSpec, Pooling},
};
use ort::{
    session::{Session, SessionInputValue},
    value::{TensorElementType, TensorRef, ValueType},
};
use sha2::{Digest, Sha256};

use super::{
    error::{canceled, guarded, read_regular, sentence},
    pooling::{normalize, pool},
    runtime::Runtime,
    text::{PIPELINE_VERSION, Pipeline, Tokens},
    turn::{Priority, Turns},
};

const HINT: &str = "Check the paths of the model's files in onyx.models; the server's operating \
                    system user must be able to read them.";

/// Tokens of a batch, padding included: enough that threads rarely wait for each other.
const BATCH_TOKENS: usize = 512;
/// The same for the queue, whose batch in the model every question has to wait for.
const BACKGROUND_BATCH_TOKENS: usize = 256;
/// Texts of unlike lengths that tell whether company changes a text's vector.
const PROBES: [&str; 3] = [
    "parse",
    "method open_connection of class pool, waits for a free one",
    "function read_header(stream, limit): reads the header of a message and returns its length, or \
     raises an error when there is none; the limit is in bytes and must not be negative (0: none)",
];

/// What a model is, for the cache: equal keys give equal vectors. The first 16 bytes of SHA-256
/// over the content of the model and tokenizer files (each as its own SHA-256), dimensions,
/// pooling, normalisation, maximum tokens and the version of the text pipeline.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd, Debug)]
pub struct ModelKey(pub [u8; 16]);

impl ModelKey {
    fn new(spec: &ModelSpec, model: &[u8], tokenizer: &[u8]) -> Self {
        let pooling: u8 = match spec.pooling {
            Pooling::Mean => 0,
            Pooling::Cls => 1,
            Pooling::Last => 2,
        };
        let digest = Sha256::new()
            .chain_update(Sha256::digest(model))
            .chain_update(Sha256::digest(tokenizer))
            .chain_update(spec.dimensions.to_be_bytes())
            .chain_update([pooling, u8::from(spec.normalize)])
            .chain_update(spec.max_tokens.to_be_bytes())
            .chain_update([PIPELINE_VERSION])
            .finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self(key)
    }
}

/// Vectors of one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embedded {
    /// `texts * dimensions` numbers, row by row, in the order of the texts.
    pub values: Vec<f32>,
    /// Tokens that went through the model.
    pub tokens: u64,
    /// Time the model ran.
    pub busy: Duration,
}

/// An input the model declares and the engine fills.
#[derive(Clone, Copy)]
enum Input {
    Ids,
    Mask,
    Types,
}

/// A loaded model: one session that all threads share, a batch at a time.
pub struct Model {
    key: ModelKey,
    spec: ModelSpec,
    pipeline: Pipeline,
    inputs: Vec<(String, Input)>,
    output: usize,
    session: Mutex<Session>,
    turns: Turns,
    /// Whether a text has the same vector, bit for bit, in a batch as alone. Only then texts are
    /// batched: a model quantised dynamically chooses its scale by the whole batch, and a vector
    /// must not depend on what else was embedded at the same time.
    batches: bool,
}

impl Model {
    /// Reads both files and prepares the model to run on `threads` threads.
    pub fn load(
        runtime: &Arc<Runtime>,
        spec: &ModelSpec,
        threads: usize,
    ) -> Result<Self, WireError> {
        guarded("loading a model", || Self::load_unguarded(runtime, spec, threads))
    }

    fn load_unguarded(
        runtime: &Arc<Runtime>,
        spec: &ModelSpec,
        threads: usize,
    ) -> Result<Self, WireError> {
        let dimensions = spec.dimensions as usize;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(WireError::new(
                ErrorKind::InvalidRequest,
                format!(
                    "model \"{}\" must have 1 to {MAX_DIMENSIONS} dimensions, not {dimensions}",
                    spec.name
                ),
            ));
        }
        let (tokenizer_path, model_path) =
            (Path::new(&spec.tokenizer_path), Path::new(&spec.model_path));
        let (tokenizer, _) = read_regular("tokenizer file", tokenizer_path, HINT)?;
        let pipeline = Pipeline::new(tokenizer_path, &tokenizer, spec.max_tokens)?;
        // Read once, so that what is hashed is what runs.
        let (model, _) = read_regular("model file", model_path, HINT)?;
        let session = session(runtime, &model, threads).map_err(|why| {
            WireError::new(
                ErrorKind::Model,
                format!("file \"{}\" is not a model ONNX Runtime can run", spec.model_path),
            )
            .detail(sentence(why))
            .hint("The model must be a single ONNX file with its weights inside.")
        })?;
        let mut model = Self {
            key: ModelKey::new(spec, &model, &tokenizer),
            inputs: inputs(&session, spec)?,
            output: output(&session, spec)?,
            spec: spec.clone(),
            pipeline,
            session: Mutex::new(session),
            turns: Turns::default(),
            batches: false,
        };
        model.batches = model.company_changes_nothing().unwrap_or(false);
        Ok(model)
    }

    /// A model that cannot run the probes, alone or together, is not refused for that: its first
    /// text says why.
    fn company_changes_nothing(&self) -> Result<bool, WireError> {
        let probes = PROBES.iter().map(|text| self.pipeline.encode(text));
        let probes = probes.collect::<Result<Vec<_>, _>>()?;
        let probes: Vec<&Tokens> = probes.iter().collect();
        let together = self.run(&probes)?;
        for (probe, vector) in probes.iter().zip(&together) {
            if self.run(&[probe])?[0] != *vector {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The key of its cached embeddings.
    pub fn key(&self) -> ModelKey {
        self.key
    }

    /// Length of its vectors.
    pub fn dimensions(&self) -> usize {
        self.spec.dimensions as usize
    }

    /// Whether texts run in batches: company changes no bit of their vectors.
    pub fn batches(&self) -> bool {
        self.batches
    }

    /// Embeds texts with [`Priority::Interactive`].
    pub fn embed(
        &self,
        texts: &[&str],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Embedded, WireError> {
        self.embed_with(texts, Priority::Interactive, cancelled)
    }

    /// Embeds texts in batches of like lengths, each in its own turn, and looks between them whether
    /// the call was cancelled. A text without tokens has the zero vector.
    pub fn embed_with(
        &self,
        texts: &[&str],
        priority: Priority,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Embedded, WireError> {
        guarded("embedding", || {
            let dimensions = self.dimensions();
            let mut embedded = Embedded::default();
            embedded.values.resize(texts.len() * dimensions, 0.0);
            let tokens = texts.iter().map(|text| self.pipeline.encode(text));
            let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
            let mut order: Vec<usize> = (0..texts.len()).collect();
            order.sort_by_key(|i| tokens[*i].ids.len());
            for places in self.batches_of(&order, &tokens, priority) {
                let batch: Vec<&Tokens> = places.iter().map(|i| &tokens[*i]).collect();
                let _turn = self.turns.take(priority, cancelled).ok_or_else(canceled)?;
                if cancelled() {
                    return Err(canceled());
                }
                let start = Instant::now();
                let vectors = self.run(&batch)?;
                embedded.busy += start.elapsed();
                for (place, vector) in places.iter().zip(vectors) {
                    embedded.tokens += tokens[*place].ids.len() as u64;
                    let from = place * dimensions;
                    embedded.values[from..from + dimensions].copy_from_slice(&vector);
                }
            }
            Ok(embedded)
        })
    }

    /// Cuts texts in order of their length into batches.
    fn batches_of<'a>(
        &self,
        order: &'a [usize],
        tokens: &[Tokens],
        priority: Priority,
    ) -> Vec<&'a [usize]> {
        let bound = match priority {
            _ if !self.batches => 0,
            Priority::Interactive => BATCH_TOKENS,
            Priority::Background => BACKGROUND_BATCH_TOKENS,
        };
        let mut batches = Vec::new();
        let mut rest = order;
        while !rest.is_empty() {
            // Texts without tokens do not run, so they must not be in the company of others.
            let empty = rest.iter().take_while(|i| tokens[**i].ids.is_empty()).count();
            let fits = |n: &usize| n * tokens[rest[n - 1]].ids.len() <= bound;
            let count = match empty {
                0 => (1..=rest.len()).take_while(fits).last().unwrap_or(1),
                empty => empty,
            };
            let (batch, others) = rest.split_at(count);
            batches.push(batch);
            rest = others;
        }
        batches
    }

    /// The vectors of texts that run together, padded to the longest.
    fn run(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, WireError> {
        let width = texts.iter().map(|tokens| tokens.ids.len()).max().unwrap_or(0);
        if width == 0 {
            return Ok(vec![vec![0.0; self.dimensions()]; texts.len()]);
        }
        let failed = |error: ort::Error| {
            WireError::new(ErrorKind::Model, format!("could not run model \"{}\"", self.spec.name))
                .detail(sentence(error))
        };
        let padded = |part: &dyn Fn(&Tokens) -> Vec<i64>| -> Vec<i64> {
            let rows = texts.iter().flat_map(|tokens| {
                let mut row = part(tokens);
                row.resize(width, 0);
                row
            });
            rows.collect()
        };
        let ids = padded(&|tokens| tokens.ids.clone());
        let types = padded(&|tokens| tokens.types.clone());
        let mask = padded(&|tokens| vec![1; tokens.ids.len()]);
        let values = self
            .inputs
            .iter()
            .map(|(name, input)| {
                let data = match input {
                    Input::Ids => &ids,
                    Input::Mask => &mask,
                    Input::Types => &types,
                };
                let tensor = TensorRef::from_array_view(([texts.len(), width], data.as_slice()))?;
                Ok((name.as_str(), SessionInputValue::from(tensor)))
            })
            .collect::<Result<Vec<_>, ort::Error>>()
            .map_err(failed)?;
        // Turns keep others out; the lock is what the compiler asks for, and survives a panic.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(values).map_err(failed)?;
        let (shape, data) = outputs[self.output].try_extract_tensor::<f32>().map_err(failed)?;
        let found = shape.last().copied().unwrap_or(0);
        if found != i64::from(self.spec.dimensions) {
            return Err(wrong_dimensions(&self.spec, found));
        }
        let dimensions = self.dimensions();
        let rows: i64 = shape.iter().rev().skip(1).product();
        // Numbers a text has in the output.
        let stride = match (shape.len(), rows as usize) {
            (2, rows) if rows == texts.len() => dimensions,
            (3, rows) if rows == texts.len() * width => width * dimensions,
            _ => return Err(wrong_output(&self.spec, &format!("has the shape {shape:?}"))),
        };
        let vectors = texts.iter().zip(data.chunks_exact(stride)).map(|(tokens, data)| {
            let mut vector = if shape.len() == 2 {
                data.to_vec()
            } else {
                pool(self.spec.pooling, &data[..tokens.ids.len() * dimensions], dimensions)
            };
            if self.spec.normalize {
                normalize(&mut vector);
            }
            vector
        });
        let vectors: Vec<Vec<f32>> = vectors.collect();
        if vectors.iter().flatten().any(|x| !x.is_finite()) {
            return Err(WireError::new(
                ErrorKind::Model,
                format!("model \"{}\" gave a vector that is not finite", self.spec.name),
            ));
        }
        Ok(vectors)
    }
}

fn session(runtime: &Runtime, model: &[u8], threads: usize) -> Result<Session, ort::Error> {
    let recover = |e: ort::Error<ort::session::builder::SessionBuilder>| {
        ort::Error::new(e.message().to_owned())
    };
    Session::builder(runtime.environment())?
        .with_intra_threads(threads.max(1))
        .map_err(recover)?
        // Threads that wait for work must not take the cores from the server's backends.
        .with_intra_op_spinning(false)
        .map_err(recover)?
        .commit_from_memory(model)
}

fn inputs(session: &Session, spec: &ModelSpec) -> Result<Vec<(String, Input)>, WireError> {
    let refuse = |why: String| {
        WireError::new(
            ErrorKind::Model,
            format!("model \"{}\" is not a sentence model", spec.name),
        )
        .detail(why)
        .hint("The inputs must be input_ids and, if it has them, attention_mask and token_type_ids, all of type int64.")
    };
    let mut inputs = Vec::new();
    for outlet in session.inputs() {
        let input = match outlet.name() {
            "input_ids" => Input::Ids,
            "attention_mask" => Input::Mask,
            "token_type_ids" => Input::Types,
            other => return Err(refuse(format!("It has an unknown input \"{other}\"."))),
        };
        if !matches!(outlet.dtype(), ValueType::Tensor { ty: TensorElementType::Int64, .. }) {
            let detail = format!("Its input \"{}\" is not of type int64.", outlet.name());
            return Err(refuse(detail));
        }
        inputs.push((outlet.name().to_owned(), input));
    }
    if !inputs.iter().any(|(_, input)| matches!(input, Input::Ids)) {
        return Err(refuse("It has no input \"input_ids\".".to_owned()));
    }
    Ok(inputs)
}

/// The first output of token vectors, or else the first of sentence vectors.
fn output(session: &Session, spec: &ModelSpec) -> Result<usize, WireError> {
    let ranks: Vec<Option<(usize, i64)>> = session
        .outputs()
        .iter()
        .map(|outlet| match outlet.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => {
                Some((shape.len(), shape.last().copied().unwrap_or(-1)))
            }
            _ => None,
        })
        .collect();
    let of_rank = |rank| ranks.iter().position(|found| found.is_some_and(|(r, _)| r == rank));
    let Some(chosen) = of_rank(3).or_else(|| of_rank(2)) else {
        return Err(wrong_output(spec, "is neither of rank 3 nor of rank 2"));
    };
    match ranks[chosen] {
        // A dimension that is not known yet is negative.
        Some((_, last)) if last >= 0 && last != i64::from(spec.dimensions) => {
            Err(wrong_dimensions(spec, last))
        }
        _ => Ok(chosen),
    }
}

fn wrong_dimensions(spec: &ModelSpec, found: i64) -> WireError {
    WireError::new(
        ErrorKind::Model,
        format!("expected {} dimensions, not {found}", spec.dimensions),
    )
    .detail(format!("Model \"{}\" gives vectors of {found} dimensions.", spec.name))
    .hint("Register the model with the dimensions it has.")
}

fn wrong_output(spec: &ModelSpec, why: &str) -> WireError {
    WireError::new(
        ErrorKind::Model,
        format!("model \"{}\" is not a sentence model", spec.name),
    )
    .detail(format!("Its output of type float32 {why}."))
    .hint("The output must be token vectors [batch, tokens, dimensions] or sentence vectors [batch, dimensions].")
}
