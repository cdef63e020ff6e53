//! Depth-first search in pre-order, the neighbours of a node by id.

use std::ops::ControlFlow;

use super::access::{Direction, Graph};
use super::ids::{IdMap, IdSet, sorted};
use super::kinds::KindId;
use super::limits::Limit;
use super::rows::{Row, Source};
use crate::error::Error;

/// Nodes that will be visited soon, read together.
const READ_AHEAD: usize = 64;

struct Step {
    node: i64,
    depth: i32,
    /// Predecessor, and kind of the edge from there.
    from: Option<(i64, KindId)>,
}

/// A search under way; as rows: node, depth, predecessor, kind of the edge, path, whether cut off.
pub struct DepthFirst {
    graph: Graph,
    direction: Direction,
    max_depth: Option<i32>,
    limit: Limit,
    seen: IdSet,
    /// Last comes first.
    stack: Vec<Step>,
    /// From the start to the last node visited.
    path: Vec<i64>,
    /// Neighbours read ahead.
    known: IdMap<Vec<(i64, KindId)>>,
}

impl DepthFirst {
    /// From the starts the caller sees.
    pub fn new(
        mut graph: Graph,
        starts: Vec<i64>,
        direction: Direction,
        max_depth: Option<i32>,
        limit: Limit,
    ) -> Result<Self, Error> {
        let starts = graph.visible(&sorted(starts), false)?;
        let stack =
            starts.into_iter().rev().map(|node| Step { node, depth: 0, from: None }).collect();
        Ok(Self {
            graph,
            direction,
            max_depth,
            limit,
            seen: IdSet::default(),
            stack,
            path: Vec::new(),
            known: IdMap::default(),
        })
    }

    fn neighbors(&mut self, node: i64) -> Result<Vec<(i64, KindId)>, Error> {
        if let Some(known) = self.known.remove(&node) {
            return Ok(known);
        }
        let below = |step: &&Step| {
            self.max_depth.is_none_or(|max| step.depth < max)
                && !self.seen.contains(&step.node)
                && !self.known.contains_key(&step.node)
        };
        let mut wanted = vec![node];
        wanted.extend(self.stack.iter().rev().take(READ_AHEAD).filter(below).map(|s| s.node));
        let wanted = sorted(wanted);
        let mut found: Vec<(i64, i64, KindId)> = Vec::new();
        let seen = &self.seen;
        self.graph.expand(&wanted, self.direction, &mut |_, at, to, kind| {
            if !seen.contains(&to) {
                found.push((wanted[at], to, kind));
            }
            ControlFlow::Continue(())
        })?;
        if self.graph.filters_nodes() {
            let ids = sorted(found.iter().map(|f| f.1).collect());
            let passed: IdSet = self.graph.visible(&ids, true)?.into_iter().collect();
            found.retain(|f| passed.contains(&f.1));
        }
        // By name of the kind, not by when it was met first.
        let kinds = &self.graph.kinds;
        found.sort_unstable_by(|a, b| {
            (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| kinds.name(a.2).cmp(kinds.name(b.2)))
        });
        found.dedup_by_key(|f| (f.0, f.1));
        self.known.extend(wanted.iter().map(|node| (*node, Vec::new())));
        for (from, to, kind) in found {
            self.known.entry(from).or_default().push((to, kind));
        }
        Ok(self.known.remove(&node).unwrap_or_default())
    }

    /// The next node to visit.
    fn pop(&mut self) -> Option<Step> {
        while let Some(step) = self.stack.pop() {
            if !self.seen.contains(&step.node) {
                return Some(step);
            }
            self.known.remove(&step.node);
        }
        None
    }
}

impl Source for DepthFirst {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        if self.limit.left(self.seen.len()) == 0 {
            return Ok(false);
        }
        let Some(step) = self.pop() else { return Ok(false) };
        self.seen.insert(step.node);
        self.path.truncate(step.depth as usize);
        self.path.push(step.node);
        if self.max_depth.is_none_or(|max| step.depth < max) {
            for (to, kind) in self.neighbors(step.node)?.into_iter().rev() {
                if !self.seen.contains(&to) {
                    let from = Some((step.node, kind));
                    self.stack.push(Step { node: to, depth: step.depth + 1, from });
                }
            }
        }
        let mut truncated = false;
        if self.limit.left(self.seen.len()) == 0
            && let Some(more) = self.pop()
        {
            self.stack.push(more);
            truncated = true;
            self.limit.notice();
        }
        row.begin()
            .value(step.node)
            .value(step.depth)
            .value(step.from.map(|from| from.0))
            .datum(step.from.map(|from| self.graph.kinds.datum(from.1)))
            .ids(&self.path)
            .value(truncated);
        Ok(true)
    }
}
