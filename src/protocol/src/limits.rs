//! Bounds both sides enforce before they believe a length or a count.

/// Largest payload of one frame, in bytes. A file of `MAX_FILE_BYTES` with its facts fits.
pub const MAX_FRAME_BYTES: usize = 64 << 20;
/// Largest source file that is parsed, in bytes, unless `onyx.max_file_size` says less.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// Largest number of dimensions an index or a model may have. 16,000 is pgvector's limit for the
/// `vector` type itself.
pub const MAX_DIMENSIONS: usize = 16_000;
/// Largest text that is embedded, in bytes; the rest is cut at a character boundary. A token of an
/// English word-piece vocabulary is about four bytes and no sentence model reads more than 8,192.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
/// Texts in one `Embed` request.
pub const MAX_EMBED_TEXTS: usize = 100_000;
/// Entries in one insert or tombstone batch.
pub const MAX_BATCH_ENTRIES: usize = 100_000;
/// Target payload of one streamed batch, in bytes: large enough to amortise a round trip, small
/// enough that a cancel is noticed at once.
pub const STREAM_BATCH_BYTES: usize = 1 << 20;
