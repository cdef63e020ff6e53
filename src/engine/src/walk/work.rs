//! What a worker does with one path: read, hash, compare, parse.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use onyx_protocol::{
    facts::Language,
    ingest::{ContentHash, KnownFile, Notice, ParsedFile, SkipReason, WalkItem, WalkSummary},
};
use sha2::{Digest, Sha256};

use super::{
    list::Found,
    tree::{Tree, notice},
};
use crate::parse::{Limits, facts_bytes, parse_to_keep};

/// What became of a path, and what it took.
pub(super) struct Done {
    pub(super) item: WalkItem,
    /// Whether it is a file of a known language.
    is_file: bool,
    bytes: usize,
    reading: Duration,
    parsing: Duration,
}

impl Done {
    fn skipped(path: String, notice: Notice, is_file: bool) -> Self {
        let item = WalkItem::Skipped { path, notice };
        Self { item, is_file, bytes: 0, reading: Duration::ZERO, parsing: Duration::ZERO }
    }

    pub(super) fn add_to(&self, summary: &mut WalkSummary) {
        summary.files += u64::from(self.is_file);
        summary.bytes += self.bytes as u64;
        summary.read_seconds += self.reading.as_secs_f64();
        summary.parse_seconds += self.parsing.as_secs_f64();
    }
}

/// What all workers share.
pub(super) struct Worker<'a> {
    tree: &'a Tree,
    known: HashMap<&'a str, &'a ContentHash>,
    limits: &'a Limits,
    stopped: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        tree: &'a Tree,
        known: &'a [KnownFile],
        limits: &'a Limits,
        stopped: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        let known = known.iter().map(|file| (file.path.as_str(), &file.hash)).collect();
        Self { tree, known, limits, stopped }
    }

    /// Whether nobody wants the results any more.
    pub(super) fn stopped(&self) -> bool {
        (self.stopped)()
    }

    pub(super) fn run(&self, found: Found, buffer: &mut Vec<u8>) -> Done {
        let (path, language) = match found {
            Found::File { path, language } => (path, language),
            Found::Skip { path, notice, language } => {
                return Done::skipped(path, notice, language.is_some());
            }
        };
        let start = Instant::now();
        if let Err(notice) = self.tree.read(path.as_bytes(), self.limits.max_bytes, buffer) {
            return Done { reading: start.elapsed(), ..Done::skipped(path, notice, true) };
        }
        let known = self.known.get(path.as_str());
        let same = known.is_some_and(|hash| Sha256::digest(&buffer)[..] == hash[..]);
        let reading = start.elapsed();
        let start = Instant::now();
        let item = if same {
            WalkItem::Unchanged { path }
        } else {
            match parse_guarded(&path, language, buffer, self.limits, &self.stopped) {
                Ok(file) => WalkItem::Parsed(Box::new(file)),
                Err(notice) => WalkItem::Skipped { path, notice },
            }
        };
        Done { item, is_file: true, bytes: buffer.len(), reading, parsing: start.elapsed() }
    }
}

/// A parser's panic costs the file, not the walk.
pub(super) fn parse_guarded(
    path: &str,
    language: Language,
    bytes: &[u8],
    limits: &Limits,
    stopped: &dyn Fn() -> bool,
) -> Result<ParsedFile, Notice> {
    let parse = || parse_to_keep(path, language, bytes, limits, stopped);
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|_| {
        log::error!("the parser panicked on \"{path}\"");
        Err(notice(SkipReason::Io, "internal error: the parser panicked"))
    })
}

/// About as many bytes as an item takes on the wire.
pub(super) fn weight(item: &WalkItem) -> usize {
    const FIXED: usize = 64;
    match item {
        WalkItem::Unchanged { path } => FIXED + path.len(),
        WalkItem::Skipped { path, notice } => FIXED + path.len() + notice.detail.len(),
        WalkItem::Parsed(file) => facts_bytes(file),
    }
}
