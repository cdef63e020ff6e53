//! PageRank (Page, Brin, Motwani and Winograd, "The PageRank citation ranking", 1999), personalised
//! by seeds (section 6 there). Importance flows from who refers to what is referred to, along each
//! edge in proportion to its confidence.

use pgrx::prelude::*;

use super::access::Graph;
use super::rows::{Row, Source};
use super::whole::Whole;
use crate::error::Error;

/// It has converged when scores together change by less, of 1 in all.
const TOLERANCE: f64 = 1e-9;
const MAX_ROUNDS: u32 = 200;

/// Rows: rank, node, score.
pub struct Ranked {
    rows: std::vec::IntoIter<(i64, f64)>,
    rank: i64,
}

impl Ranked {
    /// The best nodes, seen from the seeds, or from everywhere without any.
    pub fn new(
        graph: &mut Graph,
        seeds: Option<Vec<i64>>,
        damping: f64,
        max_results: usize,
        max_edges: Option<i64>,
    ) -> Result<Self, Error> {
        let whole = Whole::load(graph, true, max_edges)?;
        let n = whole.len();
        // Where a reader who stops following references starts again.
        let mut jump = vec![0.0; n];
        match &seeds {
            Some(seeds) => {
                for seed in seeds {
                    if let Ok(at) = whole.ids.binary_search(seed) {
                        jump[at] = 1.0;
                    }
                }
            }
            None => jump.fill(1.0),
        }
        let all: f64 = jump.iter().sum();
        if all == 0.0 {
            return Ok(Self { rows: Vec::new().into_iter(), rank: 0 });
        }
        jump.iter_mut().for_each(|j| *j /= all);
        let sums: Vec<f64> = (0..n as u32)
            .map(|node| whole.weights(node).iter().map(|w| f64::from(*w)).sum())
            .collect();
        let mut scores = jump.clone();
        for _ in 0..MAX_ROUNDS {
            check_for_interrupts!();
            // What refers to nothing passes its importance on to the starts.
            let ends: f64 =
                scores.iter().zip(&sums).filter(|(_, sum)| **sum <= 0.0).map(|(s, _)| *s).sum();
            let mut next: Vec<f64> =
                jump.iter().map(|j| (1.0 - damping + damping * ends) * j).collect();
            for node in 0..n as u32 {
                let sum = sums[node as usize];
                if sum <= 0.0 {
                    continue;
                }
                let share = damping * scores[node as usize] / sum;
                for (target, weight) in whole.targets(node).iter().zip(whole.weights(node)) {
                    next[*target as usize] += share * f64::from(*weight);
                }
            }
            let change: f64 = next.iter().zip(&scores).map(|(a, b)| (a - b).abs()).sum();
            scores = next;
            if change < TOLERANCE {
                break;
            }
        }
        let mut rows: Vec<(i64, f64)> =
            whole.ids.iter().copied().zip(scores).filter(|(_, score)| *score > 0.0).collect();
        rows.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        rows.truncate(max_results);
        Ok(Self { rows: rows.into_iter(), rank: 0 })
    }
}

impl Source for Ranked {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        let Some((node, score)) = self.rows.next() else { return Ok(false) };
        self.rank += 1;
        row.begin().value(self.rank).value(node).value(score);
        Ok(true)
    }
}
