//! Distances between vectors in each metric's own terms.

use onyx_protocol::index::Metric;

use super::kernels::{Sum, sum};

/// Whether every number is finite; nothing else may enter a graph.
pub fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|x| x.is_finite())
}

/// The Euclidean length, to double precision's range.
pub fn length(values: &[f32]) -> f64 {
    f64::from(sum(Sum::Products, values, values)).sqrt()
}

/// The distance in the metric's own terms: sums in single, the rest in double precision, as pgvector
/// computes it. NaN for the cosine of a zero vector.
pub fn exact(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    match metric {
        Metric::L2 => f64::from(sum(Sum::Squares, a, b)).sqrt(),
        Metric::InnerProduct => -f64::from(sum(Sum::Products, a, b)),
        Metric::Cosine => {
            let squared = |v: &[f32]| f64::from(sum(Sum::Products, v, v));
            let lengths = (squared(a) * squared(b)).sqrt();
            1.0 - (f64::from(sum(Sum::Products, a, b)) / lengths).clamp(-1.0, 1.0)
        }
        Metric::L1 => f64::from(sum(Sum::Differences, a, b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_follow_pgvector() {
        assert_eq!(exact(Metric::L2, &[0.0, 0.0], &[3.0, 4.0]), 5.0);
        assert_eq!(exact(Metric::L1, &[0.0, 1.0], &[3.0, -3.0]), 7.0);
        assert_eq!(exact(Metric::InnerProduct, &[1.0, 2.0], &[3.0, 4.0]), -11.0);
        assert_eq!(exact(Metric::Cosine, &[1.0, 2.0], &[2.0, 4.0]), 0.0);
        assert_eq!(exact(Metric::Cosine, &[1.0, 1.0], &[-1.0, -1.0]), 2.0);
        assert!(exact(Metric::Cosine, &[1.0, 1.0], &[0.0, 0.0]).is_nan());
    }
}
