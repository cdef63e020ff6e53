//! Blobs as text and definitions: read and parsed on all cores, each once while it is in memory.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use gix_hash::ObjectId;
use onyx_protocol::facts::{Definition, FileFacts, Language};
use onyx_protocol::ingest::{ContentHash, Notice, SkipReason};
use onyx_protocol::{ErrorKind, WireError};
use rayon::prelude::*;

use super::cache::Cache;
use super::{Canceller, lock};
use crate::parse::{Limits, parse_content};

/// Bytes of texts and definitions kept in memory.
const CACHE_BYTES: usize = 256 << 20;

/// What identifies parsed blobs.
pub(super) type Key = (ObjectId, Language);

/// A parsed blob.
pub(super) struct Source {
    pub(super) hash: ContentHash,
    /// Whether the text is not the blob's bytes.
    pub(super) is_decoded: bool,
    /// Bytes of the blob.
    pub(super) size: u64,
    pub(super) lines: u32,
    pub(super) text: String,
    pub(super) facts: FileFacts,
    pub(super) notices: Vec<Notice>,
}

impl Source {
    /// The same text with other definitions.
    pub(super) fn with_facts(&self, facts: FileFacts) -> Self {
        Self {
            hash: self.hash,
            is_decoded: self.is_decoded,
            size: self.size,
            lines: self.lines,
            text: self.text.clone(),
            facts,
            notices: self.notices.clone(),
        }
    }

    /// The text of a definition.
    pub(super) fn span(&self, definition: &Definition) -> &str {
        let span = definition.start_byte as usize..definition.end_byte as usize;
        self.text.get(span).unwrap_or_default()
    }
}

/// A parsed blob, or why there is none.
#[derive(Clone)]
pub(super) enum Blob {
    Source(Arc<Source>),
    Skipped(Arc<Notice>),
}

fn weight(blob: &Blob) -> usize {
    const FIXED: usize = 256;
    match blob {
        Blob::Skipped(_) => FIXED,
        Blob::Source(source) => {
            let definitions = source.facts.definitions.iter();
            let bytes = definitions.map(|d| {
                FIXED + d.name.len() + d.qualified_name.len() + d.signature.len() + d.doc.len()
            });
            FIXED + source.text.len() + bytes.sum::<usize>()
        }
    }
}

/// What takes the bytes of a blob, or its size.
pub(super) type Take<'t> = &'t mut dyn FnMut(Result<&[u8], u64>);

/// Where blobs are.
pub(super) trait Blobs: Sync {
    /// Hands on the bytes of a blob; its size alone when that is more than `max_bytes`.
    fn read(&self, id: &ObjectId, max_bytes: usize, take: Take<'_>) -> Result<(), WireError>;
}

/// Blobs, parsed as they are asked for.
pub(super) struct Sources<'a> {
    blobs: &'a dyn Blobs,
    limits: Limits,
    canceller: &'a Canceller<'a>,
    cache: Mutex<Cache<Key, Blob>>,
}

/// Some of them, held in memory.
pub(super) type Held = HashMap<Key, Blob>;

impl<'a> Sources<'a> {
    pub(super) fn new(blobs: &'a dyn Blobs, limits: Limits, canceller: &'a Canceller<'a>) -> Self {
        let cache = Mutex::new(Cache::new(CACHE_BYTES, weight));
        Self { blobs, limits, canceller, cache }
    }

    /// Whether they are still wanted.
    pub(super) fn check(&self) -> Result<(), WireError> {
        self.canceller.check()
    }

    /// The parsed blobs of keys with a path they have; on all threads of the current pool.
    pub(super) fn hold(&self, keys: &HashMap<Key, String>) -> Result<Held, WireError> {
        let mut held = Held::with_capacity(keys.len());
        let mut missing = Vec::new();
        {
            let mut cache = lock(&self.cache);
            for (key, path) in keys {
                match cache.get(key) {
                    Some(blob) => _ = held.insert(*key, blob),
                    None => missing.push((*key, path.as_str())),
                }
            }
        }
        // The order of a map is no order; neighbours in a pack are best read together.
        missing.sort_unstable_by(|a, b| a.1.cmp(b.1).then(a.0.cmp(&b.0)));
        let parse = |(key, path): &(Key, &str)| self.parse(*key, path).map(|blob| (*key, blob));
        let parsed: Vec<(Key, Blob)> =
            missing.par_iter().with_max_len(1).map(parse).collect::<Result<_, _>>()?;
        let mut cache = lock(&self.cache);
        for (key, blob) in parsed {
            cache.insert(key, blob.clone());
            held.insert(key, blob);
        }
        Ok(held)
    }

    /// One parsed blob.
    pub(super) fn get(&self, key: Key, path: &str) -> Result<Blob, WireError> {
        if let Some(blob) = lock(&self.cache).get(&key) {
            return Ok(blob);
        }
        let blob = self.parse(key, path)?;
        lock(&self.cache).insert(key, blob.clone());
        Ok(blob)
    }

    fn parse(&self, (id, language): Key, path: &str) -> Result<Blob, WireError> {
        self.canceller.check()?;
        let mut parsed = None;
        self.blobs.read(&id, self.limits.max_bytes, &mut |bytes| {
            parsed = Some(match bytes {
                Ok(bytes) => self.parse_bytes(language, path, bytes),
                Err(size) => {
                    let detail = format!("{size} bytes, more than {}", self.limits.max_bytes);
                    skipped(SkipReason::TooLarge, detail)
                }
            });
        })?;
        // Asked before the result is believed: a cancelled parse reports nonsense.
        self.canceller.check()?;
        parsed
            .ok_or_else(|| WireError::new(ErrorKind::Internal, format!("\"{path}\" was not read")))
    }

    fn parse_bytes(&self, language: Language, path: &str, bytes: &[u8]) -> Blob {
        let stopped = || self.canceller.is_cancelled();
        let parse = || parse_content(path, language, bytes, &self.limits, &stopped);
        match catch_unwind(AssertUnwindSafe(parse)) {
            Ok(Ok(content)) => Blob::Source(Arc::new(Source {
                hash: content.hash,
                is_decoded: content.notices.iter().any(|n| n.reason == SkipReason::Decoded),
                size: bytes.len() as u64,
                lines: content.lines,
                text: content.text,
                facts: content.facts,
                notices: content.notices,
            })),
            Ok(Err(notice)) => Blob::Skipped(Arc::new(notice)),
            Err(_) => {
                log::error!("the parser panicked on \"{path}\"");
                skipped(SkipReason::Io, "internal error: the parser panicked".to_owned())
            }
        }
    }
}

fn skipped(reason: SkipReason, detail: String) -> Blob {
    Blob::Skipped(Arc::new(Notice { reason, detail, line: 0 }))
}
