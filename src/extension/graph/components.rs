//! Connected components, the largest first.

use super::access::Graph;
use super::rows::{Row, Source};
use super::whole::Whole;
use crate::error::Error;

/// Rows: number of the component, its size, node.
pub struct Components {
    rows: std::vec::IntoIter<(u32, u32, i64)>,
}

impl Components {
    /// Those of at least `min_size` nodes; strong ones, or those of edges walked both ways.
    pub fn new(
        graph: &mut Graph,
        strong: bool,
        min_size: i64,
        max_edges: Option<i64>,
    ) -> Result<Self, Error> {
        let whole = Whole::load(graph, min_size < 2, max_edges)?;
        let component = if strong { whole.strong_components() } else { whole.weak_components() };
        let mut sizes = vec![0_u32; whole.len()];
        for least in &component {
            sizes[*least as usize] += 1;
        }
        let mut nodes: Vec<u32> = (0..whole.len() as u32)
            .filter(|n| i64::from(sizes[component[*n as usize] as usize]) >= min_size)
            .collect();
        let size = |n: u32| sizes[component[n as usize] as usize];
        nodes.sort_unstable_by_key(|n| (std::cmp::Reverse(size(*n)), component[*n as usize], *n));
        let (mut number, mut last) = (0, u32::MAX);
        let mut rows = Vec::with_capacity(nodes.len());
        for n in nodes {
            if component[n as usize] != last {
                last = component[n as usize];
                number += 1;
            }
            rows.push((number, size(n), whole.ids[n as usize]));
        }
        Ok(Self { rows: rows.into_iter() })
    }
}

impl Source for Components {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        let Some((number, size, node)) = self.rows.next() else { return Ok(false) };
        row.begin().value(number as i32).value(i64::from(size)).value(node);
        Ok(true)
    }
}
