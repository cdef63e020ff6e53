//! The peer of `make bench-embed`: ONNX Runtime alone. Reads texts from standard input, a NUL after
//! each, makes tokens of them, sorts them by length, and prints for each way to run the model its
//! name, the tokens and the seconds: one text a run and several padded to the longest, with threads
//! that spin while they wait (ONNX Runtime's default) and with threads that sleep. Only the runs
//! are timed: neither the tokenizer nor pooling nor a cache.
//!
//!     bare_embed LIBONNXRUNTIME MODEL_DIRECTORY THREADS <texts

use std::error::Error;
use std::io::Read;
use std::time::Instant;
use std::{env, hint, io, process};

use ort::session::Session;
use ort::value::TensorRef;
use tokenizers::{Tokenizer, TruncationParams};

/// What `onyx.models` says of the default model.
const MAX_TOKENS: usize = 256;
/// Tokens in a batch of several texts.
const BATCH_TOKENS: usize = 512;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [library, directory, threads] = arguments.as_slice() else {
        eprintln!("usage: bare_embed LIBONNXRUNTIME MODEL_DIRECTORY THREADS <texts");
        process::exit(2);
    };
    if let Err(error) = run(library, directory, threads) {
        eprintln!("bare_embed: {error}");
        process::exit(1);
    }
}

fn run(library: &str, directory: &str, threads: &str) -> Result<()> {
    let threads = threads.parse()?;
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    let mut tokenizer = Tokenizer::from_file(format!("{directory}/tokenizer.json"))?;
    let truncation = TruncationParams { max_length: MAX_TOKENS, ..Default::default() };
    tokenizer.with_padding(None).with_truncation(Some(truncation))?;
    let mut texts = Vec::new();
    for text in input.split_terminator('\0') {
        let encoding = tokenizer.encode_fast(text, true)?;
        texts.push(encoding.get_ids().iter().map(|id| i64::from(*id)).collect::<Vec<_>>());
    }
    texts.sort_by_key(Vec::len);

    let environment = ort::init_from(library)?.build()?;
    for (name, spin, batch_tokens) in [
        ("one text a run, threads sleep", false, 0),
        ("padded batches, threads sleep", false, BATCH_TOKENS),
        ("one text a run, threads spin", true, 0),
    ] {
        let builder = Session::builder(&environment)?;
        let builder = builder.with_intra_threads(threads).map_err(|e| e.to_string())?;
        let mut builder = builder.with_intra_op_spinning(spin).map_err(|e| e.to_string())?;
        let mut session = builder.commit_from_file(format!("{directory}/model.onnx"))?;
        // The first run allocates.
        forward(&mut session, &texts[..texts.len().min(1)])?;
        let start = Instant::now();
        let mut rest = texts.as_slice();
        while !rest.is_empty() {
            let fits = |n: &usize| n * rest[n - 1].len() <= batch_tokens;
            let count = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
            let (batch, others) = rest.split_at(count);
            forward(&mut session, batch)?;
            rest = others;
        }
        let tokens: usize = texts.iter().map(Vec::len).sum();
        println!("{name}\t{tokens}\t{:.6}", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Runs the model on texts padded to the longest of them.
fn forward(session: &mut Session, texts: &[Vec<i64>]) -> Result<()> {
    let width = texts.iter().map(Vec::len).max().unwrap_or(0);
    let shape = [texts.len(), width];
    let mut ids = vec![0i64; texts.len() * width];
    let mut mask = vec![0i64; texts.len() * width];
    let types = vec![0i64; texts.len() * width];
    for (row, text) in texts.iter().enumerate() {
        let at = row * width;
        ids[at..at + text.len()].copy_from_slice(text);
        mask[at..at + text.len()].fill(1);
    }
    let outputs = session.run(ort::inputs![
        "input_ids" => TensorRef::from_array_view((shape, ids.as_slice()))?,
        "attention_mask" => TensorRef::from_array_view((shape, mask.as_slice()))?,
        "token_type_ids" => TensorRef::from_array_view((shape, types.as_slice()))?,
    ])?;
    hint::black_box(outputs[0].try_extract_tensor::<f32>()?.1[0]);
    Ok(())
}
