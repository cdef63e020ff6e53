//! Distances between vectors: the two sums everything else is made of, and what each metric makes
//! of them.
//!
//! A [`Vector`] carries the inverse of its own length behind its numbers, so the cosine needs no
//! second, normalised copy.

use std::sync::Arc;

use onyx_protocol::index::Metric;

/// A shared vector: its numbers, then one over its Euclidean length (0 for the zero vector).
#[derive(Debug, Clone, PartialEq)]
pub struct Vector(Arc<[f32]>);

impl Vector {
    /// Copies the numbers and measures them.
    pub fn new(values: &[f32]) -> Self {
        let norm = squared_norm(values).sqrt();
        let inverse = if norm > 0.0 { (1.0 / norm) as f32 } else { 0.0 };
        Self(values.iter().copied().chain([inverse]).collect())
    }

    /// The numbers.
    pub fn values(&self) -> &[f32] {
        &self.0[..self.0.len() - 1]
    }

    fn inverse_norm(&self) -> f32 {
        self.0[self.0.len() - 1]
    }

    /// Bytes of memory one vector of `dimensions` takes, its reference counts included.
    pub fn memory_bytes(dimensions: usize) -> usize {
        4 * (dimensions + 1) + 16
    }
}

/// Whether every number is finite; nothing else may enter a graph.
pub fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|x| x.is_finite())
}

/// A monotone, never negative stand-in for the distance: cheaper than the real one, and what the
/// graph orders by.
pub fn rank(metric: Metric, a: &Vector, b: &Vector) -> f32 {
    let value = match metric {
        Metric::L2 => squared_distance(a.values(), b.values()),
        Metric::InnerProduct => positive(-dot(a.values(), b.values())),
        Metric::Cosine => 1.0 - dot(a.values(), b.values()) * a.inverse_norm() * b.inverse_norm(),
    };
    // Rounding takes the cosine a little below zero, overflow makes infinity minus infinity.
    if value.is_nan() { f32::INFINITY } else { value.max(0.0) }
}

/// Strictly monotone from all numbers to the positive ones, without losing precision near zero.
fn positive(x: f32) -> f32 {
    if x >= 0.0 { 1.0 + x } else { 1.0 / (1.0 - x) }
}

/// The distance in the metric's own terms: sums in single, the rest in double precision, as pgvector
/// computes it. NaN for the cosine of a zero vector.
pub fn exact(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    match metric {
        Metric::L2 => f64::from(squared_distance(a, b)).sqrt(),
        Metric::InnerProduct => -f64::from(dot(a, b)),
        Metric::Cosine => {
            let norms = (squared_norm(a) * squared_norm(b)).sqrt();
            1.0 - (f64::from(dot(a, b)) / norms).clamp(-1.0, 1.0)
        }
    }
}

fn squared_norm(a: &[f32]) -> f64 {
    f64::from(dot(a, a))
}

/// Sum of products.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum::<false>(a, b)
}

/// Sum of squared differences.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    sum::<true>(a, b)
}

/// Sums products, or squared differences, over the shorter of two slices.
fn sum<const SQUARED_DIFFERENCES: bool>(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has just been found to support AVX2 and FMA.
        return unsafe { avx::sum::<SQUARED_DIFFERENCES>(a, b) };
    }
    plain_sum::<SQUARED_DIFFERENCES>(a, b)
}

/// [`sum`] for any processor, in lanes the compiler may turn into vector instructions.
fn plain_sum<const SQUARED_DIFFERENCES: bool>(a: &[f32], b: &[f32]) -> f32 {
    let term = |x: f32, y: f32| if SQUARED_DIFFERENCES { (x - y) * (x - y) } else { x * y };
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

/// The same with AVX2 and FMA: over twice as fast as what the compiler makes of the plain loop.
#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps,
        _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps,
        _mm256_loadu_ps, _mm256_setzero_ps, _mm256_sub_ps,
    };

    /// Numbers in one register.
    const LANES: usize = 8;
    /// Independent sums: enough to hide the latency of an addition.
    const SUMS: usize = 4;

    #[target_feature(enable = "avx2,fma")]
    pub fn sum<const SQUARED_DIFFERENCES: bool>(a: &[f32], b: &[f32]) -> f32 {
        let length = a.len().min(b.len());
        let (a_wide, a_rest) = a[..length].as_chunks::<{ LANES * SUMS }>();
        let (b_wide, b_rest) = b[..length].as_chunks::<{ LANES * SUMS }>();
        let mut sums = [_mm256_setzero_ps(); SUMS];
        for (x, y) in a_wide.iter().zip(b_wide) {
            let (x, y) = (x.as_chunks().0, y.as_chunks().0);
            for at in 0..SUMS {
                sums[at] = add::<SQUARED_DIFFERENCES>(sums[at], &x[at], &y[at]);
            }
        }
        let (a_wide, a_rest) = a_rest.as_chunks();
        let (b_wide, b_rest) = b_rest.as_chunks();
        for (x, y) in a_wide.iter().zip(b_wide) {
            sums[0] = add::<SQUARED_DIFFERENCES>(sums[0], x, y);
        }
        let [s0, s1, s2, s3] = sums;
        let total = across(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
        a_rest.iter().zip(b_rest).fold(total, |total, (x, y)| {
            total + if SQUARED_DIFFERENCES { (x - y) * (x - y) } else { x * y }
        })
    }

    #[target_feature(enable = "avx2,fma")]
    fn add<const SQUARED_DIFFERENCES: bool>(
        sum: __m256,
        x: &[f32; LANES],
        y: &[f32; LANES],
    ) -> __m256 {
        // SAFETY: each pointer is to eight numbers; the load needs no alignment.
        let (x, y) = unsafe { (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(y.as_ptr())) };
        if SQUARED_DIFFERENCES {
            let difference = _mm256_sub_ps(x, y);
            return _mm256_fmadd_ps(difference, difference, sum);
        }
        _mm256_fmadd_ps(x, y, sum)
    }

    /// Adds the lanes of a register.
    #[target_feature(enable = "avx2,fma")]
    fn across(sum: __m256) -> f32 {
        let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::testing::Random;

    /// The obvious computation in double precision.
    fn naive(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
        let pairs = || a.iter().zip(b).map(|(x, y)| (f64::from(*x), f64::from(*y)));
        let dot: f64 = pairs().map(|(x, y)| x * y).sum();
        let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        match metric {
            Metric::L2 => pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
            Metric::InnerProduct => -dot,
            Metric::Cosine => 1.0 - dot / (norm(a) * norm(b)),
        }
    }

    const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

    #[test]
    fn fast_sums_equal_the_naive_ones_at_every_length() {
        let mut random = Random::new(1);
        for dimensions in (1..=130).chain([384, 1000, 16_000]) {
            let (a, b) = (random.vector(dimensions), random.vector(dimensions));
            for metric in METRICS {
                let (fast, slow) = (exact(metric, &a, &b), naive(metric, &a, &b));
                let scale = 1.0 + slow.abs() + (dimensions as f64).sqrt();
                assert!(
                    (fast - slow).abs() < 1e-5 * scale,
                    "{metric:?} {dimensions}: {fast} {slow}"
                );
            }
            for (fast, plain) in [
                (dot(&a, &b), plain_sum::<false>(&a, &b)),
                (squared_distance(&a, &b), plain_sum::<true>(&a, &b)),
            ] {
                let scale = 1.0 + fast.abs() + (dimensions as f32).sqrt();
                assert!((fast - plain).abs() < 1e-5 * scale, "{dimensions}: {fast} {plain}");
            }
        }
    }

    #[test]
    fn ranks_order_as_distances_do() {
        let mut random = Random::new(2);
        for metric in METRICS {
            let query = Vector::new(&random.vector(20));
            let mut all: Vec<Vector> = (0..500).map(|_| Vector::new(&random.vector(20))).collect();
            all.push(query.clone());
            all.sort_by(|a, b| rank(metric, &query, a).total_cmp(&rank(metric, &query, b)));
            let distances: Vec<f64> =
                all.iter().map(|v| exact(metric, query.values(), v.values())).collect();
            assert!(distances.windows(2).all(|w| w[0] <= w[1] + 1e-5), "{metric:?}");
        }
    }

    #[test]
    fn ranks_are_never_negative_nor_nan() {
        let vectors: Vec<Vector> =
            [[0.0, 0.0], [1e30, -1e30], [3e38, 3e38], [-3e38, 3e38], [1e-40, 0.0]]
                .iter()
                .map(|v| Vector::new(v))
                .collect();
        for metric in METRICS {
            for a in &vectors {
                for b in &vectors {
                    assert!(rank(metric, a, b) >= 0.0, "{metric:?} {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn metrics_follow_pgvector() {
        assert_eq!(exact(Metric::L2, &[0.0, 0.0], &[3.0, 4.0]), 5.0);
        assert_eq!(exact(Metric::InnerProduct, &[1.0, 2.0], &[3.0, 4.0]), -11.0);
        assert_eq!(exact(Metric::Cosine, &[1.0, 2.0], &[2.0, 4.0]), 0.0);
        assert_eq!(exact(Metric::Cosine, &[1.0, 1.0], &[-1.0, -1.0]), 2.0);
        assert!(exact(Metric::Cosine, &[1.0, 1.0], &[0.0, 0.0]).is_nan());
    }
}
