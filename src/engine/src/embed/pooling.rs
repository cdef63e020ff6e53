//! Token vectors to one vector.

use onyx_protocol::model::Pooling;

/// Pools `tokens * dimensions` numbers, row by row, of one text without padding.
pub(super) fn pool(pooling: Pooling, rows: &[f32], dimensions: usize) -> Vec<f32> {
    let mut tokens = rows.chunks_exact(dimensions);
    let one = match pooling {
        Pooling::Cls => tokens.next(),
        Pooling::Last => tokens.next_back(),
        Pooling::Mean => {
            let count = tokens.len();
            let mut sum = vec![0f64; dimensions];
            for row in tokens {
                for (to, x) in sum.iter_mut().zip(row) {
                    *to += f64::from(*x);
                }
            }
            return sum.into_iter().map(|x| (x / count.max(1) as f64) as f32).collect();
        }
    };
    one.map_or_else(|| vec![0.0; dimensions], <[f32]>::to_vec)
}

/// Scales to unit length. A zero vector has no direction and stays.
pub(super) fn normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if norm > 0.0 {
        for x in vector {
            *x = (f64::from(*x) / norm) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [f32; 6] = [1.0, 2.0, 3.0, 6.0, 5.0, 1.0];

    #[test]
    fn each_pooling_takes_what_it_says() {
        assert_eq!(pool(Pooling::Mean, &ROWS, 2), [3.0, 3.0]);
        assert_eq!(pool(Pooling::Cls, &ROWS, 2), [1.0, 2.0]);
        assert_eq!(pool(Pooling::Last, &ROWS, 2), [5.0, 1.0]);
    }

    #[test]
    fn no_tokens_pool_to_zero() {
        for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Last] {
            assert_eq!(pool(pooling, &[], 3), [0.0; 3]);
        }
    }

    #[test]
    fn normalized_vectors_have_length_one_and_zero_stays() {
        let mut vector = [3.0, -4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, -0.8]);
        let mut zero = [0.0; 4];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 4]);
    }
}
