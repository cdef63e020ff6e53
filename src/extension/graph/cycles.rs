//! Elementary cycles, each once, from its least node: the shortest first within a strong component.
//!
//! Every cycle lies in one strong component. For each node as the least of its cycles, and each
//! length, paths back to it are found depth first among greater nodes, never farther from it than
//! the length allows.

use pgrx::prelude::*;

use super::access::Graph;
use super::ids::IdMap;
use super::limits::Limit;
use super::rows::{Row, Source};
use super::whole::Whole;
use crate::error::Error;

/// Rows: number of the cycle, its length, its nodes, whether cut off there.
pub struct Cycles {
    whole: Whole,
    /// Nodes of each node's strong component that has a cycle, by its least.
    component: Vec<u32>,
    /// Edges turned round, within components.
    back: Vec<Vec<u32>>,
    max_length: usize,
    limit: Limit,
    /// The least node of the cycles being looked for, and their length.
    root: u32,
    length: usize,
    /// Distance of greater nodes to the root.
    distance: IdMap<usize>,
    path: Vec<u32>,
    tries: Vec<usize>,
    pending: Option<Vec<u32>>,
    count: i64,
}

impl Cycles {
    /// Those of at most `max_length` nodes.
    pub fn new(
        graph: &mut Graph,
        max_length: usize,
        limit: Limit,
        max_edges: Option<i64>,
    ) -> Result<Self, Error> {
        let whole = Whole::load(graph, false, max_edges)?;
        let component = whole.strong_components();
        let mut back = vec![Vec::new(); whole.len()];
        for node in 0..whole.len() as u32 {
            for target in whole.targets(node) {
                if component[node as usize] == component[*target as usize] {
                    back[*target as usize].push(node);
                }
            }
        }
        let mut cycles = Self {
            whole,
            component,
            back,
            max_length,
            limit,
            root: 0,
            length: 0,
            distance: IdMap::default(),
            path: Vec::new(),
            tries: Vec::new(),
            pending: None,
            count: 0,
        };
        cycles.begin();
        cycles.pending = cycles.search();
        Ok(cycles)
    }

    /// Measures distances to a new root.
    fn begin(&mut self) {
        self.length = 1;
        self.distance.clear();
        let Some(back) = self.back.get(self.root as usize) else { return };
        if back.is_empty() {
            return;
        }
        self.distance.insert(i64::from(self.root), 0);
        let mut level = vec![self.root];
        let mut depth = 0;
        while !level.is_empty() && depth < self.max_length {
            depth += 1;
            let mut next = Vec::new();
            for node in level {
                for before in &self.back[node as usize] {
                    if *before > self.root && !self.distance.contains_key(&i64::from(*before)) {
                        self.distance.insert(i64::from(*before), depth);
                        next.push(*before);
                    }
                }
            }
            level = next;
        }
    }

    fn search(&mut self) -> Option<Vec<u32>> {
        let mut steps = 0_u32;
        while (self.root as usize) < self.whole.len() {
            let longest = self.max_length.min(self.distance.len());
            while self.length <= longest {
                if self.tries.is_empty() {
                    self.path.push(self.root);
                    self.tries.push(0);
                }
                while let (Some(&node), Some(at)) = (self.path.last(), self.tries.last_mut()) {
                    steps = steps.wrapping_add(1);
                    if steps.is_multiple_of(4_096) {
                        check_for_interrupts!();
                    }
                    let left = self.length - self.path.len();
                    let targets = self.whole.targets(node);
                    let next = targets[*at..].iter().position(|to| {
                        if left == 0 {
                            return *to == self.root;
                        }
                        *to > self.root
                            && self.component[*to as usize] == self.component[node as usize]
                            && self.distance.get(&i64::from(*to)).is_some_and(|d| *d <= left)
                            && !self.path.contains(to)
                    });
                    let Some(next) = next else {
                        self.path.pop();
                        self.tries.pop();
                        continue;
                    };
                    *at += next + 1;
                    if left == 0 {
                        return Some(self.path.clone());
                    }
                    let to = targets[*at - 1];
                    self.path.push(to);
                    self.tries.push(0);
                }
                self.length += 1;
            }
            self.root += 1;
            if self.root.is_multiple_of(256) {
                check_for_interrupts!();
            }
            self.begin();
        }
        None
    }
}

impl Source for Cycles {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        let Some(cycle) = self.pending.take() else { return Ok(false) };
        self.count += 1;
        let mut truncated = false;
        let more = self.search();
        if self.limit.left(self.count as usize) > 0 {
            self.pending = more;
        } else if more.is_some() {
            truncated = true;
            self.limit.notice();
        }
        let nodes: Vec<i64> = cycle.iter().map(|n| self.whole.ids[*n as usize]).collect();
        row.begin().value(self.count as i32).value(nodes.len() as i32).ids(&nodes).value(truncated);
        Ok(true)
    }
}
