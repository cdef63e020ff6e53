//! A shortest path between two nodes, searched from both ends.

use std::ops::ControlFlow;

use super::access::{Direction, Graph};
use super::ids::{IdMap, sorted};
use super::kinds::KindId;
use super::limits::Limit;
use super::rows::{Row, Source};
use crate::error::Error;

/// How a node was reached: from where, by which kind of edge, at what distance.
#[derive(Clone, Copy)]
struct Reached {
    from: i64,
    kind: KindId,
    depth: i32,
}

/// One of the two searches.
struct Half {
    direction: Direction,
    reached: IdMap<Reached>,
    frontier: Vec<i64>,
    depth: i32,
}

impl Half {
    fn new(start: i64, direction: Direction) -> Self {
        let mut reached = IdMap::default();
        reached.insert(start, Reached { from: start, kind: 0, depth: 0 });
        Self { direction, reached, frontier: vec![start], depth: 0 }
    }

    /// Goes one step further. Returns the nodes where it met the other.
    fn step(&mut self, graph: &mut Graph, other: &Half, room: usize) -> Result<Met, Error> {
        let depth = self.depth + 1;
        let frontier = std::mem::take(&mut self.frontier);
        let mut found: Vec<i64> = Vec::new();
        let mut full = false;
        let reached = &mut self.reached;
        graph.expand(&frontier, self.direction, &mut |_, at, node, kind| {
            if reached.contains_key(&node) {
                return ControlFlow::Continue(());
            }
            if found.len() >= room {
                full = true;
                return ControlFlow::Break(());
            }
            reached.insert(node, Reached { from: frontier[at], kind, depth });
            found.push(node);
            ControlFlow::Continue(())
        })?;
        found.sort_unstable();
        let meeting = |node: &i64| other.reached.get(node).map(|r| (r.depth, *node));
        let met = found.iter().filter_map(meeting).min();
        if graph.filters_nodes() {
            let mut passed = graph.visible(&found, true)?.into_iter().peekable();
            found.retain(|node| {
                let passes = passed.next_if_eq(node).is_some()
                    // It passed for the other, or is where the other began.
                    || other.reached.contains_key(node);
                if !passes {
                    reached.remove(node);
                }
                passes
            });
        }
        self.frontier = found;
        self.depth = depth;
        Ok(match met {
            Some((_, node)) => Met::At(node),
            None if full => Met::Cut,
            None => Met::No,
        })
    }
}

enum Met {
    At(i64),
    No,
    Cut,
}

/// Nodes of a path, and the kinds of the edges between them.
pub type Path = (Vec<i64>, Vec<KindId>);

/// Finds a path: its nodes, and the kinds of the edges between them. `None` when there is none
/// within the depth, or within the limit, which then says so.
pub fn find(
    graph: &mut Graph,
    source: i64,
    target: i64,
    direction: Direction,
    max_depth: Option<i32>,
    limit: Limit,
) -> Result<Option<Path>, Error> {
    let ends = sorted(vec![source, target]);
    if graph.visible(&ends, false)?.len() < ends.len() {
        return Ok(None);
    }
    if source == target {
        return Ok(Some((vec![source], Vec::new())));
    }
    let mut ahead = Half::new(source, direction);
    let mut back = Half::new(target, direction.reversed());
    loop {
        if ahead.frontier.is_empty()
            || back.frontier.is_empty()
            || max_depth.is_some_and(|max| ahead.depth + back.depth >= max)
        {
            return Ok(None);
        }
        let room = limit.left(ahead.reached.len() + back.reached.len());
        let met = if ahead.frontier.len() <= back.frontier.len() {
            ahead.step(graph, &back, room)?
        } else {
            back.step(graph, &ahead, room)?
        };
        match met {
            Met::At(node) => return Ok(Some(join(&ahead, &back, node))),
            Met::No => {}
            Met::Cut => {
                limit.notice();
                return Ok(None);
            }
        }
    }
}

fn join(ahead: &Half, back: &Half, middle: i64) -> Path {
    let (mut nodes, mut kinds) = (vec![middle], Vec::new());
    let mut node = middle;
    while let Some(r) = ahead.reached.get(&node).filter(|r| r.depth > 0) {
        kinds.push(r.kind);
        nodes.push(r.from);
        node = r.from;
    }
    nodes.reverse();
    kinds.reverse();
    node = middle;
    while let Some(r) = back.reached.get(&node).filter(|r| r.depth > 0) {
        kinds.push(r.kind);
        nodes.push(r.from);
        node = r.from;
    }
    (nodes, kinds)
}

/// A path as rows, one a node: node, depth, predecessor, kind of the edge, path so far.
pub struct Steps {
    /// For the kinds' names.
    pub graph: Graph,
    /// The nodes.
    pub nodes: Vec<i64>,
    /// Kinds of the edges between them.
    pub kinds: Vec<KindId>,
    /// The next row.
    pub next: usize,
}

impl Source for Steps {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        let at = self.next;
        let Some(node) = self.nodes.get(at) else { return Ok(false) };
        self.next += 1;
        let before = at.checked_sub(1);
        row.begin()
            .value(*node)
            .value(at as i32)
            .value(before.map(|b| self.nodes[b]))
            .datum(before.map(|b| self.graph.kinds.datum(self.kinds[b])))
            .ids(&self.nodes[..=at]);
        Ok(true)
    }
}
