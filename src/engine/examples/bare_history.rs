//! The engine's part of `make bench-history`: walks a repository's history, without PostgreSQL, and prints as
//! JSON how long it took and how many bytes there are to store: as chains of deltas (what is done), and as the
//! alternative would store them: each definition's own text once per content, with a zstd dictionary trained
//! on them. The alternative's lists of which texts make a file are not counted, which favours it.
//!
//!     bare_history REPOSITORY [WORKERS]

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;
use std::{env, fs, process};

use onyx_engine::history::History;
use onyx_engine::parse::Limits;
use onyx_protocol::WireError;
use onyx_protocol::facts::FileFacts;
use onyx_protocol::history::{HistoryCommit, HistoryRequest, NewContent, made};
use onyx_protocol::stored_facts;

/// Bytes of the alternative's dictionary: zstd's own default.
const DICTIONARY_BYTES: usize = 110 << 10;
/// Level of the alternative, the one of `onyx_content`.
const LEVEL: i32 = 10;

#[derive(Default)]
struct Sizes {
    commits: u64,
    contents: u64,
    events: u64,
    nodes: u64,
    raw: u64,
    text: u64,
    facts: u64,
    raw_facts: u64,
}

fn main() {
    let path = env::args().nth(1);
    let workers = env::args().nth(2).map_or(Some(2), |text| text.parse().ok());
    let (Some(path), Some(workers)) = (path, workers) else {
        eprintln!("usage: bare_history REPOSITORY [WORKERS]");
        process::exit(2);
    };
    if let Err(error) = run(&path, workers) {
        eprintln!("bare_history: {error}: {} {}", error.detail, error.hint);
        process::exit(1);
    }
}

fn run(path: &str, workers: usize) -> Result<(), WireError> {
    let request = HistoryRequest {
        path: path.to_owned(),
        branches: vec![],
        since: None,
        until: None,
        first_parent: false,
        known: vec![],
    };
    let start = Instant::now();
    let (history, plan) = History::open(&request, &|| false)?;
    let planned = start.elapsed().as_secs_f64();
    let mut contents: Vec<NewContent> = Vec::new();
    let mut sizes = Sizes::default();
    let start = Instant::now();
    history.walk(&Limits::default(), workers, &|| false, &mut |batch: Vec<HistoryCommit>| {
        for commit in batch {
            sizes.commits += u64::from(!commit.more);
            sizes.nodes += u64::from(commit.nodes);
            sizes.events += commit.files.iter().map(|file| file.symbols.len() as u64).sum::<u64>();
            contents.extend(commit.contents);
        }
        Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    // What follows is the alternative's.
    let (peak, processor) = (peak_kilobytes(), processor_seconds());
    sizes.contents = contents.len() as u64;
    let pieces = pieces(&contents, &mut sizes);
    let (alternative, dictionary) = with_dictionary(&pieces);
    println!(
        "{{\"planned\": {}, \"plan_seconds\": {planned:.3}, \"seconds\": {seconds:.3}, \"commits\": {}, \
         \"commits_per_second\": {:.1}, \"contents\": {}, \"nodes\": {}, \"events\": {}, \"raw_bytes\": {}, \
         \"text_bytes\": {}, \"raw_facts_bytes\": {}, \"facts_bytes\": {}, \"pieces\": {}, \
         \"piece_bytes\": {alternative}, \"dictionary_bytes\": {dictionary}, \"pack_bytes\": {}, \
         \"peak_kb\": {peak}, \
         \"processor_seconds\": {processor:.2}}}",
        plan.commits,
        sizes.commits,
        sizes.commits as f64 / seconds,
        sizes.contents,
        sizes.nodes,
        sizes.events,
        sizes.raw,
        sizes.text,
        sizes.raw_facts,
        sizes.facts,
        pieces.len(),
        pack_bytes(Path::new(path)),
    );
    Ok(())
}

/// The distinct texts that definitions and the rest of files have of their own.
fn pieces(contents: &[NewContent], sizes: &mut Sizes) -> Vec<Vec<u8>> {
    let mut known: HashMap<Vec<u8>, ()> = HashMap::new();
    let mut kept: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(contents.len());
    for content in contents {
        let base = content.base.and_then(made).and_then(|number| kept.get(number));
        let (base_text, base_facts) = (base.map(|b| &b.0[..]), base.map(|b| &b.1[..]));
        let text = whole(&content.text, base_text);
        let facts = whole(&content.facts, base_facts);
        sizes.raw += text.len() as u64;
        sizes.raw_facts += facts.len() as u64;
        sizes.text += content.text.len() as u64;
        sizes.facts += content.facts.len() as u64;
        let decoded = stored_facts::decode(&facts).expect("facts that were just encoded");
        for piece in own_texts(&text, &decoded) {
            known.entry(piece).or_default();
        }
        kept.push((text, facts));
    }
    known.into_keys().collect()
}

fn whole(frame: &[u8], base: Option<&[u8]>) -> Vec<u8> {
    onyx_content::decompress(frame, base).expect("a frame that was just made")
}

/// Each definition's text without what other definitions in it have, and the file's without all.
fn own_texts(text: &[u8], facts: &FileFacts) -> Vec<Vec<u8>> {
    let mut owners = vec![0usize; text.len()];
    for (number, definition) in facts.definitions.iter().enumerate() {
        let span = definition.start_byte as usize..(definition.end_byte as usize).min(text.len());
        if let Some(owned) = owners.get_mut(span) {
            owned.fill(number + 1);
        }
    }
    let mut texts = vec![Vec::new(); facts.definitions.len() + 1];
    for (byte, owner) in text.iter().zip(owners) {
        texts[owner].push(*byte);
    }
    texts
}

fn with_dictionary(pieces: &[Vec<u8>]) -> (u64, usize) {
    let samples: Vec<&Vec<u8>> =
        pieces.iter().filter(|piece| piece.len() >= 8).take(50_000).collect();
    let all: Vec<u8> = samples.iter().flat_map(|piece| piece.iter().copied()).collect();
    let lengths: Vec<usize> = samples.iter().map(|piece| piece.len()).collect();
    let mut dictionary = vec![0; DICTIONARY_BYTES];
    let trained = zstd_safe::train_from_buffer(&mut dictionary[..], &all, &lengths).unwrap_or(0);
    dictionary.truncate(trained);
    let prepared = zstd_safe::CDict::create(&dictionary, LEVEL);
    let mut context = zstd_safe::CCtx::create();
    let mut total = 0;
    for piece in pieces {
        let mut frame = vec![0; zstd_safe::compress_bound(piece.len())];
        let written = context.compress_using_cdict(&mut frame[..], piece, &prepared);
        total += written.expect("room for the worst case") as u64;
    }
    (total, dictionary.len())
}

/// Bytes of packs and loose objects.
fn pack_bytes(path: &Path) -> u64 {
    fn sum(path: &Path) -> u64 {
        let Ok(entries) = fs::read_dir(path) else { return 0 };
        let size = |entry: fs::DirEntry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum(&entry.path()),
            Ok(meta) if entry.path().extension().is_none_or(|e| e == "pack") => meta.len(),
            _ => 0,
        };
        entries.flatten().map(size).sum()
    }
    let inner = path.join(".git/objects");
    sum(&if inner.is_dir() { inner } else { path.join("objects") })
}

fn peak_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Seconds all threads have had a processor, from `/proc/self/stat`.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    // Linux counts in hundredths of a second, whatever the hardware.
    ticks.filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() / 100.0
}
