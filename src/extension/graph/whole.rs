//! The whole graph, or a repository's part of it, in memory: what components, cycles and ranks need.

use std::ops::ControlFlow;

use pgrx::prelude::*;

use super::access::Graph;
use super::ids::IdMap;
use crate::error::Error;

/// Nodes numbered from 0 in the order of their ids, and the edges of each, by number.
pub struct Whole {
    /// Node ids, sorted.
    pub ids: Vec<i64>,
    /// Where each node's edges begin in `targets`; one more at the end.
    starts: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

impl Whole {
    /// Reads it: edges both whose ends the filter lets pass. With `alone`, also nodes that have none.
    /// More than `max_edges` are an error, since a part would give wrong answers.
    pub fn load(graph: &mut Graph, alone: bool, max_edges: Option<i64>) -> Result<Self, Error> {
        let mut ids = if alone || graph.filters_nodes() { graph.all_nodes()? } else { Vec::new() };
        let known = alone || graph.filters_nodes();
        let mut numbers: IdMap<u32> =
            ids.iter().enumerate().map(|(i, id)| (*id, i as u32)).collect();
        let room = max_edges.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(0));
        let mut edges: Vec<(u32, u32, f32)> = Vec::new();
        let mut full = false;
        graph.all_edges(&mut |from, to, confidence| {
            let mut number = |id| match numbers.get(&id) {
                Some(number) => Some(*number),
                None if known => None,
                None => {
                    let number = ids.len() as u32;
                    numbers.insert(id, number);
                    ids.push(id);
                    Some(number)
                }
            };
            if let (Some(from), Some(to)) = (number(from), number(to)) {
                full = edges.len() >= room;
                if full {
                    return ControlFlow::Break(());
                }
                edges.push((from, to, confidence));
            }
            ControlFlow::Continue(())
        })?;
        if full {
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                format!("the graph has more than max_edges = {room} edges of these kinds"),
            )
            .with_hint("Raise max_edges (an edge takes about 30 bytes), or choose a repository, kinds or a confidence."));
        }
        drop(numbers);
        // Numbered by id, so that answers do not depend on the order edges came in.
        if !known {
            let mut order: Vec<u32> = (0..ids.len() as u32).collect();
            order.sort_unstable_by_key(|n| ids[*n as usize]);
            let mut place = vec![0_u32; ids.len()];
            for (new, old) in order.iter().enumerate() {
                place[*old as usize] = new as u32;
            }
            for edge in &mut edges {
                (edge.0, edge.1) = (place[edge.0 as usize], place[edge.1 as usize]);
            }
            ids.sort_unstable();
        }
        edges.sort_unstable_by_key(|e| (e.0, e.1));
        // Several references to one thing are one edge as strong as the best of them.
        edges.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same {
                kept.2 = kept.2.max(next.2);
            }
            same
        });
        let mut starts = vec![0_u32; ids.len() + 1];
        for edge in &edges {
            starts[edge.0 as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let targets = edges.iter().map(|e| e.1).collect();
        let weights = edges.iter().map(|e| e.2).collect();
        Ok(Self { ids, starts, targets, weights })
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    fn range(&self, node: u32) -> std::ops::Range<usize> {
        self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize
    }

    /// Nodes a node has edges to, sorted.
    pub fn targets(&self, node: u32) -> &[u32] {
        &self.targets[self.range(node)]
    }

    /// Confidences of those edges.
    pub fn weights(&self, node: u32) -> &[f32] {
        &self.weights[self.range(node)]
    }

    /// Component of each node when edges are walked both ways, named by its least node.
    pub fn weak_components(&self) -> Vec<u32> {
        let mut parent: Vec<u32> = (0..self.len() as u32).collect();
        fn find(parent: &mut [u32], mut node: u32) -> u32 {
            while parent[node as usize] != node {
                let above = parent[parent[node as usize] as usize];
                parent[node as usize] = above;
                node = above;
            }
            node
        }
        for node in 0..self.len() as u32 {
            for target in self.targets(node) {
                let (a, b) = (find(&mut parent, node), find(&mut parent, *target));
                // The least node stays the root.
                parent[a.max(b) as usize] = a.min(b);
            }
        }
        (0..self.len() as u32).map(|node| find(&mut parent, node)).collect()
    }

    /// Component of each node such that its nodes reach each other, named by its least node (Tarjan,
    /// "Depth-first search and linear graph algorithms", 1972, without recursion).
    pub fn strong_components(&self) -> Vec<u32> {
        const NONE: u32 = u32::MAX;
        let n = self.len();
        let (mut number, mut low) = (vec![NONE; n], vec![0_u32; n]);
        let (mut component, mut stack) = (vec![NONE; n], Vec::new());
        let mut next = 0_u32;
        let mut calls: Vec<(u32, u32)> = Vec::new();
        for root in 0..n as u32 {
            if number[root as usize] != NONE {
                continue;
            }
            calls.push((root, 0));
            while let Some((node, at)) = calls.last_mut() {
                let v = *node as usize;
                if *at == 0 {
                    (number[v], low[v]) = (next, next);
                    next += 1;
                    stack.push(*node);
                    if next.is_multiple_of(4_096) {
                        check_for_interrupts!();
                    }
                }
                if let Some(target) = self.targets(*node).get(*at as usize) {
                    *at += 1;
                    let t = *target as usize;
                    if number[t] == NONE {
                        calls.push((*target, 0));
                    } else if component[t] == NONE {
                        low[v] = low[v].min(number[t]);
                    }
                    continue;
                }
                let node = *node;
                calls.pop();
                if let Some((above, _)) = calls.last() {
                    low[*above as usize] = low[*above as usize].min(low[v]);
                }
                if low[v] == number[v] {
                    let at = stack.iter().rposition(|s| *s == node).unwrap_or(0);
                    let members = stack.split_off(at);
                    let least = members.iter().copied().min().unwrap_or(node);
                    for member in members {
                        component[member as usize] = least;
                    }
                }
            }
        }
        component
    }
}
