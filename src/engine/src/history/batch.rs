//! Commits on their way out: in batches, and those that are too large in parts.

use std::time::{Duration, Instant};

use onyx_protocol::WireError;
use onyx_protocol::history::{FileChange, HistoryCommit, NewContent};
use onyx_protocol::limits::STREAM_BATCH_BYTES;

use super::changes::Changed;

/// About the largest part of a commit, in bytes.
const PART_BYTES: usize = 8 << 20;
/// Longest time a finished commit waits for others.
const PATIENCE: Duration = Duration::from_millis(200);
/// What the fields of a fixed size take, about.
const FIXED: usize = 64;

type Emit<'e> = &'e mut dyn FnMut(Vec<HistoryCommit>) -> Result<(), WireError>;

/// Commits that wait to be sent.
pub(super) struct Batch<'e> {
    emit: Emit<'e>,
    waiting: Vec<HistoryCommit>,
    bytes: usize,
    since: Instant,
}

fn content_bytes(content: &NewContent) -> usize {
    FIXED + content.text.len() + content.facts.len()
}

fn file_bytes(file: &FileChange) -> usize {
    let symbols = file.symbols.iter();
    let symbols = symbols.map(|s| FIXED + s.name.len() + s.qualified_name.len()).sum::<usize>();
    FIXED + file.path.len() + file.module.len() + file.nodes.len() * 9 + symbols
}

/// A commit that is being put together.
struct Parts<'b, 'e> {
    batch: &'b mut Batch<'e>,
    head: HistoryCommit,
    part: HistoryCommit,
    bytes: usize,
}

impl Parts<'_, '_> {
    /// Counts what was put into the part, and begins the next one when it is full.
    fn put(&mut self, bytes: usize) -> Result<(), WireError> {
        self.bytes += bytes;
        if self.bytes < PART_BYTES {
            return Ok(());
        }
        let mut full = std::mem::replace(&mut self.part, self.head.clone());
        full.more = true;
        self.batch.send(full, std::mem::take(&mut self.bytes))
    }
}

impl<'e> Batch<'e> {
    pub(super) fn new(emit: Emit<'e>) -> Self {
        Self { emit, waiting: Vec::new(), bytes: 0, since: Instant::now() }
    }

    /// Takes a commit: `head`, whose lists are empty, with what belongs into them. `more`: a part of one.
    pub(super) fn add(
        &mut self,
        head: HistoryCommit,
        contents: Vec<NewContent>,
        changed: Changed,
        more: bool,
    ) -> Result<(), WireError> {
        let fixed = FIXED + head.message.len();
        let part = HistoryCommit { nodes: changed.nodes, ..head.clone() };
        let mut parts = Parts { batch: self, head, part, bytes: fixed };
        // What is referred to goes first.
        for content in contents {
            let bytes = content_bytes(&content);
            parts.part.contents.push(content);
            parts.put(bytes)?;
        }
        for text in changed.search_texts {
            let bytes = FIXED + text.len();
            parts.part.search_texts.push(text);
            parts.put(bytes)?;
        }
        for file in changed.files {
            let bytes = file_bytes(&file);
            parts.part.files.push(file);
            parts.put(bytes)?;
        }
        for notice in changed.notices {
            let bytes = FIXED + notice.0.len() + notice.1.detail.len();
            parts.part.notices.push(notice);
            parts.put(bytes)?;
        }
        let Parts { mut part, bytes, .. } = parts;
        part.more = more;
        self.send(part, bytes)
    }

    fn send(&mut self, commit: HistoryCommit, bytes: usize) -> Result<(), WireError> {
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        self.waiting.push(commit);
        self.bytes += bytes;
        if self.bytes >= STREAM_BATCH_BYTES || self.since.elapsed() >= PATIENCE {
            return self.flush();
        }
        Ok(())
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) -> Result<(), WireError> {
        self.bytes = 0;
        if self.waiting.is_empty() {
            Ok(())
        } else {
            (self.emit)(std::mem::take(&mut self.waiting))
        }
    }
}
