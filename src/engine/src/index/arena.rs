//! Memory that grows without moving: rows of one size in chunks mapped when first needed, so that
//! readers follow a row's address without a lock while others append.
//!
//! Pages of a chunk take memory only once they are written, and begin as zeros.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Rows in a chunk, as a power of two.
const CHUNK_BITS: usize = 14;

/// Rows in a chunk.
pub const CHUNK_ROWS: usize = 1 << CHUNK_BITS;

/// Chunks an arena may have.
const CHUNKS: usize = 1 << 12;

/// Rows an arena may have.
pub const MAX_ROWS: usize = CHUNKS * CHUNK_ROWS;

/// Bytes that may be read behind any row, for loads wider than what is left of it.
const SLACK: usize = 128;

/// Linux's advice to make huge pages of what is there, at once; since 6.1.
const MADV_COLLAPSE: i32 = 25;

/// Rows of one size.
pub struct Arena {
    chunks: Box<[AtomicPtr<u8>]>,
    stride: usize,
    mapped: AtomicUsize,
}

impl Arena {
    /// An empty arena of rows of `stride` bytes, more than 0.
    pub fn new(stride: usize) -> Self {
        let chunks = (0..CHUNKS).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        Self { chunks, stride, mapped: AtomicUsize::new(0) }
    }

    fn chunk_bytes(&self) -> usize {
        self.stride * CHUNK_ROWS + SLACK
    }

    /// Makes sure that a row's chunk is there. False when the system gives no memory, or `row` is
    /// beyond [`MAX_ROWS`].
    pub fn reserve(&self, row: usize) -> bool {
        let Some(chunk) = self.chunks.get(row >> CHUNK_BITS) else { return false };
        if !chunk.load(Ordering::Acquire).is_null() {
            return true;
        }
        let Some(fresh) = map(self.chunk_bytes()) else { return false };
        let null = ptr::null_mut();
        if chunk.compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // Somebody else was first.
            unmap(fresh, self.chunk_bytes());
        } else {
            self.mapped.fetch_add(1, Ordering::Relaxed);
            self.widen((row >> CHUNK_BITS).wrapping_sub(1));
        }
        true
    }

    /// Gives a chunk that is full, because the next one is begun, huge pages: random reads over many megabytes
    /// otherwise spend much of their time in page tables. Those of one that is not full would be mostly empty.
    fn widen(&self, chunk: usize) {
        let Some(chunk) = self.chunks.get(chunk) else { return };
        let start = chunk.load(Ordering::Acquire);
        if !start.is_null() {
            // SAFETY: advice changes no memory's content, not even of a chunk that is just being taken out. A kernel
            // that knows it not, or has no such pages, refuses it.
            unsafe {
                libc::madvise(start.cast(), self.chunk_bytes(), libc::MADV_HUGEPAGE);
                libc::madvise(start.cast(), self.chunk_bytes(), MADV_COLLAPSE);
            }
        }
    }

    /// A chunk that nobody else knows yet, of zeros. `None` when the system gives no memory.
    pub fn fresh_chunk(&self) -> Option<Fresh> {
        let start = map(self.chunk_bytes())?;
        Some(Fresh { chunk: Taken { start, bytes: self.chunk_bytes() }, stride: self.stride })
    }

    /// Puts a chunk in its place, where there must be none. False, and the chunk is gone, when there is.
    pub fn publish(&self, chunk: usize, fresh: Fresh) -> bool {
        let Some(place) = self.chunks.get(chunk) else { return false };
        let (null, start) = (ptr::null_mut(), fresh.chunk.start);
        let new = place.compare_exchange(null, start, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if new {
            std::mem::forget(fresh);
            self.mapped.fetch_add(1, Ordering::Relaxed);
            self.widen(chunk);
        }
        new
    }

    /// Whether a row's chunk is there.
    pub fn has(&self, row: usize) -> bool {
        self.chunks
            .get(row >> CHUNK_BITS)
            .is_some_and(|chunk| !chunk.load(Ordering::Acquire).is_null())
    }

    /// A row's address, which stays the same; at least a hundred bytes behind the row may be read.
    /// Null when its chunk is not there.
    #[inline(always)]
    pub fn row(&self, row: usize) -> *mut u8 {
        let chunk = self.chunks[row >> CHUNK_BITS].load(Ordering::Acquire);
        if chunk.is_null() {
            return chunk;
        }
        // SAFETY: a chunk has CHUNK_ROWS rows of this stride.
        unsafe { chunk.add((row & (CHUNK_ROWS - 1)) * self.stride) }
    }

    /// Takes a chunk out. The caller unmaps it by [`Taken`]'s end once nobody reads it any more.
    pub fn take_chunk(&self, chunk: usize) -> Option<Taken> {
        let start = self.chunks.get(chunk)?.swap(ptr::null_mut(), Ordering::AcqRel);
        (!start.is_null()).then(|| {
            self.mapped.fetch_sub(1, Ordering::Relaxed);
            Taken { start, bytes: self.chunk_bytes() }
        })
    }

    /// Chunks that are mapped.
    pub fn mapped(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    /// Bytes of one row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Asks the processor for a row ahead of its use, of a long one for the beginning. It need not be there.
    #[inline(always)]
    pub fn prefetch(&self, row: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start = self.row(row).cast::<i8>();
            for line in (0..self.stride).step_by(64).take(12) {
                // SAFETY: a prefetch of any address is harmless.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = row;
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        (0..CHUNKS).for_each(|chunk| drop(self.take_chunk(chunk)));
    }
}

/// A chunk on its way out.
pub struct Taken {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: it is only an address range, owned by this value alone.
unsafe impl Send for Taken {}

impl Drop for Taken {
    fn drop(&mut self) {
        unmap(self.start, self.bytes);
    }
}

/// A chunk on its way in.
pub struct Fresh {
    chunk: Taken,
    stride: usize,
}

impl Fresh {
    /// Address of a row, by its place in the chunk.
    pub fn row(&self, place: usize) -> *mut u8 {
        assert!(place < CHUNK_ROWS, "row {place} of a chunk");
        // SAFETY: a chunk has CHUNK_ROWS rows of this stride.
        unsafe { self.chunk.start.add(place * self.stride) }
    }
}

fn map(bytes: usize) -> Option<*mut u8> {
    // SAFETY: an anonymous mapping of our own.
    unsafe {
        let start = libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return None;
        }
        Some(start.cast())
    }
}

fn unmap(start: *mut u8, bytes: usize) {
    // SAFETY: `start` and `bytes` are those of a mapping made by `map`, which its owner gives up.
    unsafe {
        libc::munmap(start.cast(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_where_they_are_and_begin_as_zeros() {
        let arena = Arena::new(12);
        assert!(arena.row(5).is_null() && !arena.has(5));
        assert!(arena.reserve(5) && arena.reserve(5));
        let row = arena.row(5);
        // SAFETY: reserved just now, 12 bytes and the slack behind the last row.
        unsafe {
            assert_eq!(std::slice::from_raw_parts(row, 12), [0; 12]);
            row.write(7);
            let last = arena.row(CHUNK_ROWS - 1);
            assert_eq!(last.add(12 + 100).read(), 0);
        }
        assert!(arena.reserve(CHUNK_ROWS * 3) && !arena.reserve(MAX_ROWS));
        assert_eq!((arena.row(5), arena.mapped()), (row, 2));
        drop(arena.take_chunk(0));
        assert!(arena.row(5).is_null() && arena.mapped() == 1 && arena.take_chunk(0).is_none());
    }

    #[test]
    fn threads_agree_on_a_chunk() {
        let arena = Arena::new(8);
        let rows: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        assert!(arena.reserve(77));
                        arena.row(77) as usize
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(rows.iter().all(|row| *row == rows[0]));
    }
}
