//! Bodies as Onyx stores them: zstd frames (RFC 8878), each compressed with the body before it as prefix,
//! so that a frame is the difference.
//!
//! Bodies that follow each other form a chain and have numbers from 0. Body `n` has its base at `n - 1`;
//! every [`STRIDE`]th has it at `n - STRIDE`, every `STRIDE²`th at `n - STRIDE²`, and so on, and 0 has
//! none. So to read one, at most `(STRIDE - 1)` frames a level are read, where a single chain would need
//! all of them, and a base that is not at hand may always be left out: the frame is then whole.

use std::cell::RefCell;

use zstd_safe::{CCtx, CParameter, DCtx, DParameter, ResetDirective};

/// Bodies between two that have a base further back.
pub const STRIDE: u32 = 8;
/// Of a history's frames the next level makes 1 % less and takes eight times longer.
const LEVEL: i32 = 10;
/// For the first body of a chain when there are many: a tenth larger, ten times faster.
const FAST_LEVEL: i32 = 3;
/// Window sizes zstd's decoder takes without being asked to: 1 kB to 128 MB.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 10..=27;
/// No body is larger; a damaged frame cannot ask for more memory.
pub const MAX_BYTES: usize = 64 << 20;

thread_local! {
    // Making one takes longer than a small body does.
    static COMPRESS: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESS: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Why a body could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// zstd refused.
    #[error("zstd: {0}")]
    Zstd(&'static str),
    /// It is larger than a body may be, or not as large as its frame says.
    #[error("{0} bytes, not {1}")]
    Size(usize, usize),
}

fn zstd(code: usize) -> ContentError {
    ContentError::Zstd(zstd_safe::get_error_name(code))
}

/// The number of the body that `number` has its base at; none for the first of a chain.
pub fn base_number(number: u32) -> Option<u32> {
    let mut step = 1;
    while number != 0 && number.is_multiple_of(step * STRIDE) {
        step *= STRIDE;
    }
    number.checked_sub(step)
}

/// A body as a frame, against a base or whole.
pub fn compress(body: &[u8], base: Option<&[u8]>) -> Result<Vec<u8>, ContentError> {
    frame(body, base, LEVEL)
}

/// A body as a whole frame, where many are made at once.
pub fn compress_fast(body: &[u8]) -> Result<Vec<u8>, ContentError> {
    frame(body, None, FAST_LEVEL)
}

fn frame(body: &[u8], base: Option<&[u8]>, level: i32) -> Result<Vec<u8>, ContentError> {
    if body.len() > MAX_BYTES {
        return Err(ContentError::Size(body.len(), MAX_BYTES));
    }
    let base = base.unwrap_or_default();
    let window = usize::BITS - (body.len() + base.len()).leading_zeros();
    let window = window.clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
    let mut frame = vec![0; zstd_safe::compress_bound(body.len())];
    let written = COMPRESS.with_borrow_mut(|context| {
        context.reset(ResetDirective::SessionAndParameters).map_err(zstd)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(zstd)?;
        if !base.is_empty() {
            context.set_parameter(CParameter::WindowLog(window)).map_err(zstd)?;
            // SAFETY: a prefix is for one frame, and the reset below ends the context's use of it also
            // where that frame failed; `base` outlives both.
            let base: &'static [u8] = unsafe { &*std::ptr::from_ref(base) };
            context.ref_prefix(base).map_err(zstd)?;
        }
        let written = context.compress2(&mut frame[..], body).map_err(zstd);
        context.reset(ResetDirective::SessionAndParameters).map_err(zstd)?;
        written
    })?;
    frame.truncate(written);
    frame.shrink_to_fit();
    Ok(frame)
}

/// The body of a frame; `base` must be what it was compressed against. What comes back may still be
/// wrong when the base was: check its hash.
pub fn decompress(frame: &[u8], base: Option<&[u8]>) -> Result<Vec<u8>, ContentError> {
    let size = match zstd_safe::get_frame_content_size(frame) {
        Ok(Some(size)) => usize::try_from(size).unwrap_or(usize::MAX),
        Ok(None) | Err(_) => return Err(ContentError::Zstd("no frame with its size")),
    };
    if size > MAX_BYTES {
        return Err(ContentError::Size(size, MAX_BYTES));
    }
    let base = base.unwrap_or_default();
    let mut body = vec![0; size];
    let written = DECOMPRESS.with_borrow_mut(|context| {
        context.reset(ResetDirective::SessionAndParameters).map_err(zstd)?;
        context.set_parameter(DParameter::WindowLogMax(*WINDOW_LOG.end())).map_err(zstd)?;
        if !base.is_empty() {
            // SAFETY: a prefix is for one frame, and the reset below ends the context's use of it also
            // where that frame failed; `base` outlives both.
            let base: &'static [u8] = unsafe { &*std::ptr::from_ref(base) };
            context.ref_prefix(base).map_err(zstd)?;
        }
        let written = context.decompress(&mut body[..], frame).map_err(zstd);
        context.reset(ResetDirective::SessionAndParameters).map_err(zstd)?;
        written
    })?;
    if written != size {
        return Err(ContentError::Size(written, size));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that does not compress by itself.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn bodies_come_back() {
        for body in [Vec::new(), b"fn f() {}".to_vec(), noise(7, 300_000)] {
            let frame = compress(&body, None).unwrap();
            assert_eq!(decompress(&frame, None).unwrap(), body);
        }
    }

    #[test]
    fn a_frame_is_the_difference() {
        let base = noise(3, 200_000);
        let mut body = base.clone();
        body.splice(100_000..100_010, b"something else".iter().copied());
        let frame = compress(&body, Some(&base)).unwrap();
        assert!(frame.len() < 200, "{} bytes", frame.len());
        assert_eq!(decompress(&frame, Some(&base)).unwrap(), body);
        // Another base gives an error or another body, never memory that is not ours.
        if let Ok(other) = decompress(&frame, Some(&noise(4, 200_000))) {
            assert_ne!(other, body);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let body = noise(9, 1_000);
        let mut frame = compress(&body, None).unwrap();
        frame.truncate(500);
        assert!(decompress(&frame, None).is_err());
        assert!(decompress(b"", None).is_err());
        assert!(compress(&vec![0; MAX_BYTES + 1], None).is_err());
    }

    #[test]
    fn chains_are_short() {
        assert_eq!(base_number(0), None);
        assert_eq!(
            [1, 7, 8, 9, 16, 64, 65, 128].map(base_number),
            [Some(0), Some(6), Some(0), Some(8), Some(8), Some(0), Some(64), Some(64)]
        );
        for number in 0..10_000 {
            let mut frames = 0;
            let mut at = number;
            // What a body is compressed against is among what the one before it is read from.
            let mut chain = vec![];
            while let Some(base) = base_number(at) {
                chain.push(base);
                at = base;
                frames += 1;
            }
            assert!(frames <= 7 * 5, "{number} takes {frames}");
            if number > 0 {
                let mut before = vec![number - 1];
                while let Some(base) = before.last().and_then(|n| base_number(*n)) {
                    before.push(base);
                }
                assert!(before.contains(&base_number(number).unwrap()), "{number}");
            }
        }
    }
}
