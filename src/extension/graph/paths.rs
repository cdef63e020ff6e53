//! All simple paths between two nodes, the shortest first.
//!
//! A search back from the target gives every node's distance to it and the edges that lead there.
//! Paths of one length are then found depth first, never entering a node that is too far from the
//! target, so that almost every step belongs to a path.

use std::ops::ControlFlow;

use pgrx::prelude::*;

use super::access::{Direction, Graph};
use super::ids::{IdMap, IdSet, sorted};
use super::kinds::KindId;
use super::limits::Limit;
use super::rows::{Row, Source};
use crate::error::Error;

/// Edges kept for each node the limit allows.
const EDGES_A_NODE: usize = 32;

/// A way on: the next node, the kind of the edge there.
type Way = (i64, KindId);

/// An enumeration under way; as rows: number, length, path, kinds of its edges, whether cut off.
pub struct Paths {
    graph: Graph,
    source: i64,
    target: i64,
    /// Distance to the target.
    distance: IdMap<i32>,
    /// Ways on towards the target.
    ways: IdMap<Vec<Way>>,
    max_depth: i32,
    limit: Limit,
    /// The length being enumerated.
    length: i32,
    path: Vec<i64>,
    kinds: Vec<KindId>,
    on_path: IdSet,
    /// The next way to try from each node of the path.
    tries: Vec<usize>,
    pending: Option<(Vec<i64>, Vec<KindId>)>,
    count: i64,
    cut: bool,
}

impl Paths {
    /// Reads what lies between two nodes.
    pub fn new(
        mut graph: Graph,
        source: i64,
        target: i64,
        direction: Direction,
        max_depth: i32,
        limit: Limit,
        nodes: Limit,
    ) -> Result<Self, Error> {
        let ends = sorted(vec![source, target]);
        let mut distance = IdMap::default();
        let mut ways: IdMap<Vec<Way>> = IdMap::default();
        let mut frontier = Vec::new();
        if graph.visible(&ends, false)?.len() == ends.len() {
            distance.insert(target, 0);
            frontier.push(target);
        }
        let (mut depth, mut edges, mut cut) = (0, 0_usize, false);
        let room = nodes.left(0);
        while depth < max_depth && !frontier.is_empty() && !cut {
            depth += 1;
            let mut found: Vec<(i64, i64, KindId)> = Vec::new();
            graph.expand(&frontier, direction.reversed(), &mut |_, at, node, kind| {
                edges += 1;
                if edges > room.saturating_mul(EDGES_A_NODE) {
                    cut = true;
                    return ControlFlow::Break(());
                }
                found.push((node, frontier[at], kind));
                ControlFlow::Continue(())
            })?;
            if graph.filters_nodes() {
                let ids = sorted(found.iter().map(|f| f.0).collect());
                let passed: IdSet = graph.visible(&ids, true)?.into_iter().collect();
                found.retain(|f| f.0 == source || passed.contains(&f.0));
            }
            frontier.clear();
            for (node, to, kind) in found {
                if !distance.contains_key(&node) {
                    if distance.len() >= room {
                        cut = true;
                        continue;
                    }
                    distance.insert(node, depth);
                    frontier.push(node);
                }
                ways.entry(node).or_default().push((to, kind));
            }
            frontier.sort_unstable();
        }
        let kinds = &graph.kinds;
        for all in ways.values_mut() {
            all.sort_unstable_by(|a, b| {
                a.0.cmp(&b.0).then_with(|| kinds.name(a.1).cmp(kinds.name(b.1)))
            });
            all.dedup_by_key(|way| way.0);
        }
        if cut {
            nodes.notice();
        }
        let length = distance.get(&source).copied().unwrap_or(i32::MAX);
        // A simple path has no node twice.
        let max_depth = max_depth.min(distance.len() as i32 - 1);
        let mut paths = Self {
            graph,
            source,
            target,
            distance,
            ways,
            max_depth,
            limit,
            length,
            path: Vec::new(),
            kinds: Vec::new(),
            on_path: IdSet::default(),
            tries: Vec::new(),
            pending: None,
            count: 0,
            cut,
        };
        paths.pending = paths.search();
        Ok(paths)
    }

    /// The next path.
    fn search(&mut self) -> Option<(Vec<i64>, Vec<KindId>)> {
        let mut steps = 0_u32;
        while self.length <= self.max_depth {
            if self.tries.is_empty() {
                self.path.push(self.source);
                self.on_path.insert(self.source);
                self.tries.push(0);
                if self.source == self.target {
                    // The only simple path from a node to itself.
                    self.length = self.max_depth.saturating_add(1);
                    return Some((self.path.clone(), Vec::new()));
                }
            }
            while let (Some(&node), Some(at)) = (self.path.last(), self.tries.last_mut()) {
                steps = steps.wrapping_add(1);
                if steps.is_multiple_of(4_096) {
                    check_for_interrupts!();
                }
                let left = self.length - self.path.len() as i32;
                let ways = self.ways.get(&node).map_or(&[][..], Vec::as_slice);
                let next = ways[(*at).min(ways.len())..].iter().position(|(to, _)| {
                    let exact = (*to == self.target) == (left == 0);
                    exact
                        && !self.on_path.contains(to)
                        && self.distance.get(to).is_some_and(|d| *d <= left)
                });
                let Some(next) = next else {
                    self.on_path.remove(&node);
                    self.path.pop();
                    self.kinds.pop();
                    self.tries.pop();
                    continue;
                };
                *at += next + 1;
                let (to, kind) = ways[*at - 1];
                if left == 0 {
                    let (mut path, mut kinds) = (self.path.clone(), self.kinds.clone());
                    path.push(to);
                    kinds.push(kind);
                    return Some((path, kinds));
                }
                self.path.push(to);
                self.kinds.push(kind);
                self.on_path.insert(to);
                self.tries.push(0);
            }
            self.length = self.length.checked_add(1)?;
        }
        None
    }
}

impl Source for Paths {
    fn allocates(&self) -> bool {
        true
    }

    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        let Some((path, kinds)) = self.pending.take() else { return Ok(false) };
        self.count += 1;
        let more = self.search();
        let mut truncated = more.is_none() && self.cut;
        if self.limit.left(self.count as usize) > 0 {
            self.pending = more;
        } else if more.is_some() {
            truncated = true;
            self.limit.notice();
        }
        let names: Vec<&str> = kinds.iter().map(|k| self.graph.kinds.name(*k)).collect();
        row.begin()
            .value(self.count as i32)
            .value(kinds.len() as i32)
            .ids(&path)
            .value(names)
            .value(truncated);
        Ok(true)
    }
}
