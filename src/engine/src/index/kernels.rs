//! Sums over vectors: what every distance is made of. Each has a plain form for any processor and one
//! for AVX2 and FMA, chosen when it is called; the tests compare both with the obvious computation.

/// What a sum over two vectors of numbers adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// Products.
    Products,
    /// Squared differences.
    Squares,
    /// Absolute differences.
    Differences,
}

/// Whether this processor has what the fast forms need. The answer is remembered by the library.
#[inline(always)]
pub fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// A sum over the shorter of two slices.
pub fn sum(kind: Sum, a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_fast() {
        // SAFETY: the processor has just been found to support AVX2 and FMA.
        return unsafe { avx::sum(kind, a, b) };
    }
    plain::sum(kind, a, b)
}

/// Plain forms, in lanes the compiler may turn into vector instructions.
pub mod plain {
    use super::Sum;

    /// As [`super::sum`].
    #[inline(always)]
    pub fn sum(kind: Sum, a: &[f32], b: &[f32]) -> f32 {
        match kind {
            Sum::Products => lanes(a, b, |x, y| x * y),
            Sum::Squares => lanes(a, b, |x, y| (x - y) * (x - y)),
            Sum::Differences => lanes(a, b, |x, y| (x - y).abs()),
        }
    }

    #[inline(always)]
    fn lanes(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0f32; 8];
        let length = a.len().min(b.len());
        let (a_chunks, a_rest) = a[..length].as_chunks::<8>();
        let (b_chunks, b_rest) = b[..length].as_chunks::<8>();
        for (x, y) in a_chunks.iter().zip(b_chunks) {
            for lane in 0..lanes.len() {
                lanes[lane] += term(x[lane], y[lane]);
            }
        }
        let rest = a_rest.iter().zip(b_rest);
        rest.fold(lanes.iter().sum(), |total, (x, y)| total + term(*x, *y))
    }

    /// Sum of products of codes.
    #[inline(always)]
    pub fn codes(a: &[i16], b: &[i8]) -> i32 {
        a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
    }

    /// Sum of absolute differences of numbers and scaled codes.
    #[inline(always)]
    pub fn code_differences(a: &[f32], b: &[i8], scale: f32) -> f32 {
        a.iter().zip(b).map(|(x, y)| (x - scale * f32::from(*y)).abs()).sum()
    }
}

/// The same with AVX2 and FMA: over twice as fast as what the compiler makes of the plain loops.
#[cfg(target_arch = "x86_64")]
pub mod avx {
    use std::arch::x86_64::*;

    use super::Sum;

    /// Numbers in one register.
    const LANES: usize = 8;
    /// Independent sums: enough to hide the latency of an addition.
    const SUMS: usize = 4;

    /// As [`super::sum`].
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub fn sum(kind: Sum, a: &[f32], b: &[f32]) -> f32 {
        let length = a.len().min(b.len());
        let (a_wide, a_rest) = a[..length].as_chunks::<{ LANES * SUMS }>();
        let (b_wide, b_rest) = b[..length].as_chunks::<{ LANES * SUMS }>();
        let mut sums = [_mm256_setzero_ps(); SUMS];
        for (x, y) in a_wide.iter().zip(b_wide) {
            let (x, y) = (x.as_chunks().0, y.as_chunks().0);
            for at in 0..SUMS {
                sums[at] = add(kind, sums[at], &x[at], &y[at]);
            }
        }
        let (a_wide, a_rest) = a_rest.as_chunks();
        let (b_wide, b_rest) = b_rest.as_chunks();
        for (x, y) in a_wide.iter().zip(b_wide) {
            sums[0] = add(kind, sums[0], x, y);
        }
        let [s0, s1, s2, s3] = sums;
        let total = across(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
        total + super::plain::sum(kind, a_rest, b_rest)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add(kind: Sum, sum: __m256, x: &[f32; LANES], y: &[f32; LANES]) -> __m256 {
        // SAFETY: each pointer is to eight numbers; the load needs no alignment.
        let (x, y) = unsafe { (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(y.as_ptr())) };
        match kind {
            Sum::Products => _mm256_fmadd_ps(x, y, sum),
            Sum::Squares => {
                let difference = _mm256_sub_ps(x, y);
                _mm256_fmadd_ps(difference, difference, sum)
            }
            Sum::Differences => _mm256_add_ps(sum, absolute(_mm256_sub_ps(x, y))),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn absolute(x: __m256) -> __m256 {
        _mm256_andnot_ps(_mm256_set1_ps(-0.0), x)
    }

    /// Adds the lanes of a register.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn across(sum: __m256) -> f32 {
        let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
    }

    /// Sum of products of codes: whole registers of 16, so behind the last code of a row `a` must
    /// be zero.
    ///
    /// # Safety
    /// `a.len()` is a multiple of 16 and as many bytes can be read at `b`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn codes(a: &[i16], b: *const i8) -> i32 {
        let (mut s0, mut s1) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        let mut at = 0;
        // SAFETY: `at` stays below the length the caller promises for both.
        let product = |at: usize| unsafe {
            let y = _mm256_cvtepi8_epi16(_mm_loadu_si128(b.add(at).cast()));
            _mm256_madd_epi16(_mm256_loadu_si256(a.as_ptr().add(at).cast()), y)
        };
        while at + 32 <= a.len() {
            s0 = _mm256_add_epi32(s0, product(at));
            s1 = _mm256_add_epi32(s1, product(at + 16));
            at += 32;
        }
        if at + 16 <= a.len() {
            s0 = _mm256_add_epi32(s0, product(at));
        }
        let sum = _mm256_add_epi32(s0, s1);
        let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let pair = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_11_10>(half));
        _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32::<1>(pair)))
    }

    /// Sum of absolute differences of numbers and scaled codes.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub fn code_differences(a: &[f32], b: &[i8], scale: f32) -> f32 {
        let length = a.len().min(b.len());
        let (a_wide, a_rest) = a[..length].as_chunks::<LANES>();
        let (b_wide, b_rest) = b[..length].as_chunks::<LANES>();
        let (wide, mut sum) = (_mm256_set1_ps(scale), _mm256_setzero_ps());
        for (x, y) in a_wide.iter().zip(b_wide) {
            // SAFETY: eight numbers and eight bytes; neither load needs alignment.
            let (x, y) =
                unsafe { (_mm256_loadu_ps(x.as_ptr()), _mm_loadl_epi64(y.as_ptr().cast())) };
            let y = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(y));
            sum = _mm256_add_ps(sum, absolute(_mm256_fnmadd_ps(y, wide, x)));
        }
        across(sum) + super::plain::code_differences(a_rest, b_rest, scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::testing::Random;

    /// The obvious computation in double precision.
    fn naive(kind: Sum, a: &[f32], b: &[f32]) -> f64 {
        let pairs = a.iter().zip(b).map(|(x, y)| (f64::from(*x), f64::from(*y)));
        match kind {
            Sum::Products => pairs.map(|(x, y)| x * y).sum(),
            Sum::Squares => pairs.map(|(x, y)| (x - y).powi(2)).sum(),
            Sum::Differences => pairs.map(|(x, y)| (x - y).abs()).sum(),
        }
    }

    #[test]
    fn both_forms_equal_the_naive_one_at_every_length() {
        let mut random = Random::new(1);
        for length in (1..=130).chain([384, 1000, 16_000]) {
            let (a, b) = (random.vector(length), random.vector(length));
            for kind in [Sum::Products, Sum::Squares, Sum::Differences] {
                let slow = naive(kind, &a, &b);
                for fast in [sum(kind, &a, &b), plain::sum(kind, &a, &b)] {
                    let error = (f64::from(fast) - slow).abs();
                    assert!(error < 1e-5 * (1.0 + slow.abs()), "{kind:?} {length}: {fast} {slow}");
                }
            }
        }
    }

    #[test]
    fn sums_over_codes_equal_the_naive_ones() {
        let mut random = Random::new(3);
        for length in (1..=70usize).chain([100, 384, 2000]) {
            let codes: Vec<i8> = (0..length).map(|_| random.next() as i8).collect();
            let padded = length.next_multiple_of(16);
            // What lies behind a row is somebody else's.
            let mut row = codes.clone();
            row.resize(padded, 77);
            let mut query: Vec<i16> =
                (0..length).map(|_| (random.below(32_767) as i16) - 16_383).collect();
            let numbers = random.vector(length);
            let exact: i64 =
                query.iter().zip(&codes).map(|(x, y)| i64::from(*x) * i64::from(*y)).sum();
            let scaled: Vec<f32> = codes.iter().map(|c| f32::from(*c) * 0.01).collect();
            let differences = naive(Sum::Differences, &numbers, &scaled);
            assert_eq!(i64::from(plain::codes(&query, &codes)), exact);
            let mut all = vec![plain::code_differences(&numbers, &codes, 0.01)];
            #[cfg(target_arch = "x86_64")]
            if is_fast() {
                query.resize(padded, 0);
                // SAFETY: the processor can, and both have `padded` elements.
                unsafe {
                    assert_eq!(i64::from(avx::codes(&query, row.as_ptr())), exact, "{length}");
                    all.push(avx::code_differences(&numbers, &codes, 0.01));
                }
            }
            for found in all {
                let error = (f64::from(found) - differences).abs();
                assert!(error < 1e-4 * (1.0 + differences), "{length}: {found} {differences}");
            }
        }
    }
}
