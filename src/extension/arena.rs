//! Memory for the values of rows, taken back all at once: a row of a dozen texts costs neither allocations
//! nor calls into the server.

use pgrx::prelude::*;

/// Words of a chunk.
const CHUNK: usize = 8 << 10;
/// Bytes of a varlena with a header of one byte, which is one of them, at most.
const MAX_SHORT: usize = 127;
/// Bytes of an array's header with one dimension.
const ARRAY_HEADER: usize = 24;

/// Gives out memory; what it gave is good until it is emptied or dropped.
pub struct Arena {
    /// The last one is being given out; those before it are full.
    chunks: Vec<Box<[u64]>>,
    /// Words of the last chunk that were given out.
    used: usize,
}

/// Writes a varlena header of four bytes.
fn header(words: &mut [u64], length: usize) {
    // SAFETY: there is room for a header, and words are aligned as it must be.
    unsafe { pgrx::varlena::set_varsize_4b(words.as_mut_ptr().cast(), length as i32) };
}

fn bytes_of(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: any word is eight bytes.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}

impl Arena {
    /// An empty one.
    pub fn new() -> Self {
        Self { chunks: vec![vec![0; CHUNK].into()], used: 0 }
    }

    /// Takes back what it gave.
    pub fn empty(&mut self) {
        if self.chunks.len() > 1 {
            self.chunks.truncate(1);
        }
        self.used = 0;
    }

    fn take(&mut self, bytes: usize) -> &mut [u64] {
        let words = bytes.div_ceil(size_of::<u64>());
        let room = self.chunks.last().map_or(0, |chunk| chunk.len()) - self.used;
        if words > room {
            self.chunks.push(vec![0; words.max(CHUNK)].into());
            self.used = 0;
        }
        let start = self.used;
        self.used += words;
        let last = self.chunks.len() - 1;
        &mut self.chunks[last][start..start + words]
    }

    /// Parts of a text or of bytes, one behind the other, as a datum.
    pub fn varlena(&mut self, parts: &[&[u8]]) -> pg_sys::Datum {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let is_short = length < MAX_SHORT;
        let words = self.take(length + if is_short { 1 } else { 4 });
        let start = if is_short {
            // SAFETY: there is room for the header.
            unsafe {
                pgrx::varlena::set_varsize_short(words.as_mut_ptr().cast(), length as i32 + 1);
            }
            1
        } else {
            header(words, length + 4);
            4
        };
        let mut at = start;
        let datum = pg_sys::Datum::from(words.as_mut_ptr());
        for part in parts {
            bytes_of(words)[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        datum
    }

    /// A `text[]`.
    ///
    /// ```text
    /// int32 length (varlena), dimensions, offset of the data = 0 for "no NULLs", element type;
    /// int32 dimension, lower bound = 1; elements as varlenas, each beginning at a multiple of 4.
    /// One without elements has no dimensions.
    /// ```
    pub fn texts(&mut self, texts: &[String]) -> pg_sys::Datum {
        let element = |text: &String| (4 + text.len()).next_multiple_of(4);
        let length = match texts.len() {
            0 => 16,
            _ => ARRAY_HEADER + texts.iter().map(element).sum::<usize>(),
        };
        let words = self.take(length);
        words.fill(0);
        header(words, length);
        let datum = pg_sys::Datum::from(words.as_mut_ptr());
        let bytes = bytes_of(words);
        let mut number = |at: usize, number: u32| {
            bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        };
        number(12, pg_sys::TEXTOID.to_u32());
        if texts.is_empty() {
            return datum;
        }
        number(4, 1);
        number(16, texts.len() as u32);
        number(20, 1);
        let mut at = ARRAY_HEADER;
        for text in texts {
            let end = at + 4 + text.len();
            bytes[at + 4..end].copy_from_slice(text.as_bytes());
            // SAFETY: there is room for the header, at a multiple of four.
            unsafe {
                let start = bytes[at..].as_mut_ptr().cast();
                pgrx::varlena::set_varsize_4b(start, (end - at) as i32);
            }
            at += element(text);
        }
        datum
    }
}
