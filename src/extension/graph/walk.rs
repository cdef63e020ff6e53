//! Breadth-first search, a level at a time: a level's edges are read at once, and only when its rows
//! are wanted.

use std::ops::ControlFlow;

use super::access::{Direction, Graph};
use super::ids::{Seen, sort_by_id, sorted};
use super::kinds::KindId;
use super::limits::Limit;
use super::rows::{Row, Source};
use crate::error::Error;

/// Found nodes looked at together, where the filter wants them looked at.
const LOOK_AT: usize = 8_192;

/// A node that was reached.
#[derive(Debug, Clone, Copy)]
struct Visit {
    node: i64,
    /// Position of the visit it was reached from.
    from: u32,
    /// Kind of the edge it was reached by.
    kind: KindId,
}

/// The kind of a start, which no edge led to.
const NO_KIND: KindId = KindId::MAX;

/// A node that was reached, to those who ask.
pub struct Reached<'a> {
    pub node: i64,
    /// Edges from a start.
    pub depth: i32,
    pub predecessor: i64,
    /// Kind of the edge from there.
    pub kind: &'a str,
    /// The nodes from a start to it.
    pub path: &'a [i64],
    /// Whether the limit cut the answer off behind it.
    pub truncated: bool,
}

/// A breadth-first search under way.
pub struct Search {
    graph: Graph,
    direction: Direction,
    max_depth: Option<i32>,
    limit: Limit,
    seen: Seen,
    visits: Vec<Visit>,
    /// Where the last level begins.
    level: usize,
    depth: i32,
    /// More was found than the limit allows.
    cut: bool,
    ended: bool,
}

impl Search {
    /// From the starts the caller sees; whether the limit counts these too.
    pub fn new(
        mut graph: Graph,
        starts: Vec<i64>,
        direction: Direction,
        max_depth: Option<i32>,
        mut limit: Limit,
        count_starts: bool,
    ) -> Result<Self, Error> {
        let mut starts = graph.visible(&sorted(starts), false)?;
        if !count_starts {
            limit.value = limit.value.map(|value| value.saturating_add(starts.len() as i64));
        }
        let cut = starts.len() > limit.left(0);
        starts.truncate(limit.left(0));
        let mut seen = Seen::default();
        for start in &starts {
            seen.insert(*start);
        }
        let visits =
            starts.into_iter().map(|node| Visit { node, from: 0, kind: NO_KIND }).collect();
        Ok(Self {
            graph,
            direction,
            max_depth,
            limit,
            seen,
            visits,
            level: 0,
            depth: 0,
            cut,
            ended: cut,
        })
    }

    /// Reads the next level: false when there is none.
    fn next_level(&mut self) -> Result<bool, Error> {
        if self.ended || self.max_depth.is_some_and(|max| self.depth >= max) {
            self.ended = true;
            return Ok(false);
        }
        self.seen.expect(self.graph.span());
        let frontier: Vec<i64> = self.visits[self.level..].iter().map(|v| v.node).collect();
        let (base, before) = (self.level as u32, self.visits.len());
        let left = self.limit.left(before);
        let filters = self.graph.filters_nodes();
        let (seen, visits, cut) = (&mut self.seen, &mut self.visits, &mut self.cut);
        let mut waiting: Vec<Visit> = Vec::new();
        let mut failed = None;
        let mut look = |graph: &mut Graph, waiting: &mut Vec<Visit>, visits: &mut Vec<Visit>| {
            waiting.sort_unstable_by_key(|v| v.node);
            let ids: Vec<i64> = waiting.iter().map(|v| v.node).collect();
            let mut passed = match graph.visible(&ids, true) {
                Ok(passed) => passed.into_iter().peekable(),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            for visit in waiting.drain(..) {
                if passed.next_if_eq(&visit.node).is_some() {
                    if visits.len() - before >= left {
                        *cut = true;
                        return ControlFlow::Break(());
                    }
                    visits.push(visit);
                }
            }
            ControlFlow::Continue(())
        };
        let mut full = false;
        self.graph.expand(&frontier, self.direction, &mut |graph, at, node, kind| {
            if !seen.insert(node) {
                return ControlFlow::Continue(());
            }
            let visit = Visit { node, from: base + at as u32, kind };
            if !filters {
                if visits.len() - before >= left {
                    full = true;
                    return ControlFlow::Break(());
                }
                visits.push(visit);
                return ControlFlow::Continue(());
            }
            waiting.push(visit);
            if waiting.len() >= LOOK_AT {
                look(graph, &mut waiting, visits)
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if !waiting.is_empty() {
            let _ = look(&mut self.graph, &mut waiting, visits);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.cut |= full;
        sort_by_id(&mut self.visits[before..], self.graph.span(), |v| v.node);
        self.level = before;
        self.depth += 1;
        self.ended |= self.cut || self.visits.len() == before;
        Ok(self.visits.len() > before)
    }

    /// Goes on to the end, and calls `f` with what was reached, the starts left out: node, depth, predecessor,
    /// kind of the edge, path, whether cut off there.
    pub fn each(mut self, f: &mut dyn FnMut(&Graph, &Reached<'_>)) -> Result<(), Error> {
        let mut ends = vec![self.visits.len()];
        while self.next_level()? {
            ends.push(self.visits.len());
        }
        if self.cut {
            self.limit.notice();
        }
        let mut path = Vec::new();
        for (level, depth) in ends.windows(2).zip(1..) {
            for at in level[0]..level[1] {
                let visit = self.visits[at];
                self.path(at, &mut path);
                let reached = Reached {
                    node: visit.node,
                    depth,
                    predecessor: self.visits[visit.from as usize].node,
                    kind: self.graph.kinds.name(visit.kind),
                    path: &path,
                    truncated: self.cut && at + 1 == self.visits.len(),
                };
                f(&self.graph, &reached);
            }
        }
        Ok(())
    }

    /// The nodes from a start to a visit.
    fn path(&self, mut at: usize, path: &mut Vec<i64>) {
        path.clear();
        loop {
            let visit = self.visits[at];
            path.push(visit.node);
            if visit.kind == NO_KIND {
                break;
            }
            at = visit.from as usize;
        }
        path.reverse();
    }
}

/// The column of paths.
const PATH: usize = 4;

/// Rows of a search: node, depth, predecessor, kind of the edge, path, whether cut off there.
pub struct Walk {
    search: Search,
    next: usize,
    depth: i32,
    /// Where the level of `next` ends.
    end: usize,
    path: Vec<i64>,
}

impl Walk {
    /// Of a search that has not begun; with or without its starts.
    pub fn new(search: Search, starts: bool) -> Self {
        let end = search.visits.len();
        let next = if starts { 0 } else { end };
        Self { search, next, depth: 0, end, path: Vec::new() }
    }
}

impl Source for Walk {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        if self.next == self.end {
            if self.search.visits.len() == self.end && !self.search.next_level()? {
                return Ok(false);
            }
            self.end = self.search.visits.len();
            self.depth += 1;
        }
        let last = self.next + 1 == self.search.visits.len();
        if last && !self.search.ended && self.search.limit.left(self.end) == 0 {
            // No room for more, but is there more? The mark goes to the last row.
            self.search.next_level()?;
        }
        let truncated = last && self.search.cut;
        if truncated {
            self.search.limit.notice();
        }
        let visit = self.search.visits[self.next];
        if row.wants(PATH) {
            self.search.path(self.next, &mut self.path);
        }
        self.next += 1;
        let start = visit.kind == NO_KIND;
        row.begin()
            .value(visit.node)
            .value(self.depth)
            .value((!start).then(|| self.search.visits[visit.from as usize].node))
            .datum((!start).then(|| self.search.graph.kinds.datum(visit.kind)))
            .ids(&self.path)
            .value(truncated);
        Ok(true)
    }
}
