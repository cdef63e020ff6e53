//! Edges of many nodes at once, under the caller's snapshot and with the caller's rights.
//!
//! Whoever may read both tables whole, and under no row security, is answered from the covering
//! indexes directly, or from memory where `cache` has them. Everybody else, serializable transactions, and a database where somebody took
//! an index away or changed it are answered by queries, which give the same; the tests compare them.

use std::ops::ControlFlow;
use std::rc::Rc;

use pgrx::prelude::*;

use super::cache;
use super::index_scan::{self, Entry};
use super::indexes::{Indexes, opened};
use super::kinds::{CONTAINS, KindId, Kinds};
use super::rows::IdArray;
use crate::error::Error;
use crate::query;

/// Which way edges are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From source to target.
    Out,
    /// From target to source.
    In,
    /// Either way.
    Both,
}

impl Direction {
    /// The other way.
    pub fn reversed(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
            Self::Both => Self::Both,
        }
    }
}

/// What a traversal keeps to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Edge kinds; all when none is given.
    pub edge_kinds: Option<Vec<String>>,
    /// Kinds of the nodes walked to; all when none is given.
    pub node_kinds: Option<Vec<String>>,
    /// Least confidence of an edge.
    pub min_confidence: f32,
    /// Repository of the nodes walked to.
    pub repo: Option<i64>,
}

/// The graph as the caller sees it.
pub struct Graph {
    /// What is kept to.
    pub filter: Filter,
    /// Kinds of the edges met.
    pub kinds: Kinds,
    direct: Option<Indexes>,
    /// What the session has in memory and holds for this call's snapshot.
    links: Option<Rc<cache::Links>>,
    nodes: Option<Rc<cache::Nodes>>,
    /// This call's number of each of their kinds, unless it is not wanted.
    link_kinds: Vec<Option<KindId>>,
    array: IdArray,
}

/// Called with the position of a node in the frontier, the node at the edge's other end, and the
/// edge's kind.
pub type Sink<'a> = dyn FnMut(&mut Graph, usize, i64, KindId) -> ControlFlow<()> + 'a;

impl Graph {
    /// For one call.
    pub fn new(filter: Filter) -> Self {
        let mut kinds = Kinds::new(filter.edge_kinds.clone());
        let direct = Indexes::usable();
        // SAFETY: these are the tables and their indexes, and may be read.
        let links =
            direct.and_then(|i| unsafe { opened(i.links, i.source, |t, i| cache::links(t, i)) });
        // SAFETY: as above.
        let nodes =
            direct.and_then(|i| unsafe { opened(i.nodes, i.place, |t, i| cache::nodes(t, i)) });
        let link_kinds = links.as_ref().map_or(Vec::new(), |links| admitted(links, &mut kinds));
        Self { filter, kinds, direct, links, nodes, link_kinds, array: IdArray::new() }
    }

    /// Another graph than the tables', all of it in memory. Of what reads whole graphs it has nothing.
    pub fn in_memory(filter: Filter, links: Rc<cache::Links>, nodes: Rc<cache::Nodes>) -> Self {
        let mut kinds = Kinds::new(filter.edge_kinds.clone());
        let link_kinds = admitted(&links, &mut kinds);
        let (links, nodes) = (Some(links), Some(nodes));
        Self { filter, kinds, direct: None, links, nodes, link_kinds, array: IdArray::new() }
    }

    /// Where the ids of all nodes lie, when that is known and they lie close together.
    pub fn span(&self) -> Option<(i64, usize)> {
        self.nodes.as_ref().and_then(|nodes| nodes.places.span())
    }

    /// Whether nodes have to be looked at before they are walked to.
    pub fn filters_nodes(&self) -> bool {
        self.filter.node_kinds.is_some() || self.filter.repo.is_some()
    }

    /// Calls `sink` with the edges of the nodes of `frontier`, which is sorted, in its order for each
    /// of: stored edges out, contained nodes, stored edges in, containing node.
    pub fn expand(
        &mut self,
        frontier: &[i64],
        direction: Direction,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if frontier.is_empty() {
            return Ok(());
        }
        let (out, back) = (direction != Direction::In, direction != Direction::Out);
        let links = self.kinds.wants_links();
        let contains = self.kinds.wants_contains() && self.filter.min_confidence <= 1.0;
        for (wanted, edges) in [
            (out && links, Edges::Out),
            (out && contains, Edges::Children),
            (back && links, Edges::In),
            (back && contains, Edges::Parent),
        ] {
            if !wanted {
                continue;
            }
            if let Some(flow) = self.expand_in_memory(frontier, edges, sink) {
                if flow.is_break() {
                    break;
                }
                continue;
            }
            let flow = match self.direct {
                Some(indexes) => self.expand_directly(indexes, frontier, edges, sink),
                None => self.expand_by_query(frontier, edges, sink)?,
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// From memory, if it is there.
    fn expand_in_memory(
        &mut self,
        frontier: &[i64],
        edges: Edges,
        sink: &mut Sink<'_>,
    ) -> Option<ControlFlow<()>> {
        let least = self.filter.min_confidence;
        match edges {
            Edges::Out | Edges::In => {
                let links = self.links.clone()?;
                let ways = if matches!(edges, Edges::Out) { &links.out } else { &links.back };
                for (at, node) in frontier.iter().enumerate() {
                    if at % 1_024 == 0 {
                        pgrx::check_for_interrupts!();
                    }
                    for (to, kind, confidence) in ways.from(*node) {
                        if confidence >= least
                            && let Some(kind) = self.link_kinds[kind as usize]
                            && sink(self, at, to, kind).is_break()
                        {
                            return Some(ControlFlow::Break(()));
                        }
                    }
                }
            }
            Edges::Children | Edges::Parent => {
                let nodes = self.nodes.clone()?;
                let kind = self.kinds.id(CONTAINS.as_bytes());
                for (at, node) in frontier.iter().enumerate() {
                    let flow = if matches!(edges, Edges::Children) {
                        nodes.children.from(*node).try_for_each(|(to, ..)| sink(self, at, to, kind))
                    } else {
                        let parent = nodes.places.get(*node).and_then(|place| place.parent);
                        parent.map_or(ControlFlow::Continue(()), |to| sink(self, at, to, kind))
                    };
                    if flow.is_break() {
                        return Some(flow);
                    }
                }
            }
        }
        Some(ControlFlow::Continue(()))
    }

    fn expand_directly(
        &mut self,
        indexes: Indexes,
        frontier: &[i64],
        edges: Edges,
        sink: &mut Sink<'_>,
    ) -> ControlFlow<()> {
        let (table, index) = match edges {
            Edges::Out => (indexes.links, indexes.source),
            Edges::In => (indexes.links, indexes.target),
            Edges::Children => (indexes.nodes, indexes.parent),
            Edges::Parent => (indexes.nodes, indexes.place),
        };
        let least = self.filter.min_confidence;
        let contains = self.kinds.id(CONTAINS.as_bytes());
        let (mut at, mut read) = (0, frontier.len() as u64);
        let mut flow = ControlFlow::Continue(());
        let mut take = |mut entry: Entry<'_>| {
            read += 1;
            let Some((from, to, kind)) = (|| {
                let from = entry.bigint()?;
                match edges {
                    Edges::Out | Edges::In => {
                        let kind = entry.text()?;
                        let to = entry.bigint()?;
                        if entry.real()? < least {
                            return None;
                        }
                        Some((from, to, self.kinds.admit(kind)?))
                    }
                    Edges::Children => Some((from, entry.bigint()?, contains)),
                    Edges::Parent => {
                        entry.bigint();
                        Some((from, entry.bigint()?, contains))
                    }
                }
            })() else {
                return ControlFlow::Continue(());
            };
            advance(frontier, &mut at, from);
            flow = sink(self, at, to, kind);
            flow
        };
        // SAFETY: the index is the one of sql/*.sql, as `usable` found.
        unsafe { opened(table, index, |t, i| index_scan::scan(t, i, Some(frontier), &mut take)) };
        cache::count(matches!(edges, Edges::Out | Edges::In), read);
        flow
    }

    fn expand_by_query(
        &mut self,
        frontier: &[i64],
        edges: Edges,
        sink: &mut Sink<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let query = match edges {
            Edges::Out => {
                c"SELECT l.source_id, l.target_id, l.kind, l.confidence
                  FROM onyx.links l JOIN onyx.nodes n ON n.id = l.target_id
                  WHERE l.source_id = ANY ($1) ORDER BY l.source_id, l.kind, l.target_id"
            }
            Edges::In => {
                c"SELECT l.target_id, l.source_id, l.kind, l.confidence
                  FROM onyx.links l JOIN onyx.nodes n ON n.id = l.source_id
                  WHERE l.target_id = ANY ($1) ORDER BY l.target_id, l.kind, l.source_id"
            }
            Edges::Children => {
                c"SELECT n.parent_id, n.id, 'contains', 1::real
                  FROM onyx.nodes n WHERE n.parent_id = ANY ($1) ORDER BY 1, 2"
            }
            Edges::Parent => {
                c"SELECT n.id, p.id, 'contains', 1::real
                  FROM onyx.nodes n JOIN onyx.nodes p ON p.id = n.parent_id
                  WHERE n.id = ANY ($1) ORDER BY 1"
            }
        };
        let least = self.filter.min_confidence;
        let mut keys = IdArray::new();
        let mut at = 0;
        let mut flow = ControlFlow::Continue(());
        query::each(query, &[(pg_sys::INT8ARRAYOID, Some(keys.set(frontier)))], &mut |row| {
            let (Some(from), Some(to), Some(kind), Some(confidence)) =
                (row.get::<i64>(1), row.get::<i64>(2), row.get::<&str>(3), row.get::<f32>(4))
            else {
                return ControlFlow::Continue(());
            };
            if confidence < least {
                return ControlFlow::Continue(());
            }
            let Some(kind) = self.kinds.admit(kind.as_bytes()) else {
                return ControlFlow::Continue(());
            };
            advance(frontier, &mut at, from);
            flow = sink(self, at, to, kind);
            flow
        })?;
        Ok(flow)
    }

    /// Those of `ids`, which are sorted, that are nodes the caller sees and, when `filtered`, that
    /// the filter lets pass.
    pub fn visible(&mut self, ids: &[i64], filtered: bool) -> Result<Vec<i64>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        self.places(Some(ids), filtered, &mut |id| found.push(id))?;
        Ok(found)
    }

    /// Calls `f` with nodes, all of them without `ids`, that the caller sees.
    fn places(
        &mut self,
        ids: Option<&[i64]>,
        filtered: bool,
        f: &mut dyn FnMut(i64),
    ) -> Result<(), Error> {
        let filter = if filtered { self.filter.clone() } else { Filter::default() };
        let passes = |repo: Option<i64>, kind: &[u8]| {
            filter.repo.is_none_or(|wanted| repo == Some(wanted))
                && filter
                    .node_kinds
                    .as_ref()
                    .is_none_or(|kinds| kinds.iter().any(|k| k.as_bytes() == kind))
        };
        if let (Some(nodes), Some(ids)) = (&self.nodes, ids) {
            let kinds = nodes.kinds.all();
            for id in ids {
                if let Some(place) = nodes.places.get(*id)
                    && passes(place.repo, &kinds[place.kind as usize])
                {
                    f(*id);
                }
            }
            return Ok(());
        }
        if let Some(indexes) = self.direct {
            let mut read = 0;
            let mut take = |mut entry: Entry<'_>| {
                read += 1;
                if let Some(id) = entry.bigint() {
                    let repo = entry.bigint();
                    entry.bigint();
                    if entry.text().is_some_and(|kind| passes(repo, kind)) {
                        f(id);
                    }
                }
                ControlFlow::Continue(())
            };
            // SAFETY: as in `expand_directly`.
            unsafe {
                opened(indexes.nodes, indexes.place, |t, i| index_scan::scan(t, i, ids, &mut take));
            }
            cache::count(false, read);
            return Ok(());
        }
        let mut take = |row: &query::Row| {
            if let (Some(id), Some(kind)) = (row.get::<i64>(1), row.get::<&str>(3))
                && passes(row.get::<i64>(2), kind.as_bytes())
            {
                f(id);
            }
            ControlFlow::Continue(())
        };
        match ids {
            Some(ids) => {
                let ids = self.array.set(ids);
                query::each(
                    c"SELECT n.id, n.repo_id, n.kind FROM onyx.nodes n WHERE n.id = ANY ($1)
                      ORDER BY n.id",
                    &[(pg_sys::INT8ARRAYOID, Some(ids))],
                    &mut take,
                )
            }
            None => query::each(
                c"SELECT n.id, n.repo_id, n.kind FROM onyx.nodes n ORDER BY n.id",
                &[],
                &mut take,
            ),
        }
    }

    /// All nodes that the filter lets pass, sorted.
    pub fn all_nodes(&mut self) -> Result<Vec<i64>, Error> {
        let mut found = Vec::new();
        self.places(None, true, &mut |id| found.push(id))?;
        Ok(found)
    }

    /// Calls `f` with source, target and confidence of all edges of wanted kinds, by source.
    pub fn all_edges(
        &mut self,
        f: &mut dyn FnMut(i64, i64, f32) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let least = self.filter.min_confidence;
        let contains = self.kinds.wants_contains() && least <= 1.0;
        if let Some(indexes) = self.direct {
            let mut flow = ControlFlow::Continue(());
            if self.kinds.wants_links() {
                let mut take = |mut entry: Entry<'_>| {
                    if let (Some(from), Some(kind), Some(to), Some(confidence)) =
                        (entry.bigint(), entry.text(), entry.bigint(), entry.real())
                        && confidence >= least
                        && self.kinds.admit(kind).is_some()
                    {
                        flow = f(from, to, confidence);
                    }
                    flow
                };
                // SAFETY: as in `expand_directly`.
                unsafe {
                    opened(indexes.links, indexes.source, |t, i| {
                        index_scan::scan(t, i, None, &mut take);
                    });
                }
            }
            if contains && flow.is_continue() {
                let mut take = |mut entry: Entry<'_>| match (entry.bigint(), entry.bigint()) {
                    (Some(from), Some(to)) => f(from, to, 1.0),
                    _ => ControlFlow::Continue(()),
                };
                // SAFETY: as in `expand_directly`.
                unsafe {
                    opened(indexes.nodes, indexes.parent, |t, i| {
                        index_scan::scan(t, i, None, &mut take);
                    });
                }
            }
            return Ok(());
        }
        let kinds = &mut self.kinds;
        let mut take = |row: &query::Row| {
            let (Some(from), Some(to), Some(kind), Some(confidence)) =
                (row.get::<i64>(1), row.get::<i64>(2), row.get::<&str>(3), row.get::<f32>(4))
            else {
                return ControlFlow::Continue(());
            };
            if confidence >= least && kinds.admit(kind.as_bytes()).is_some() {
                return f(from, to, confidence);
            }
            ControlFlow::Continue(())
        };
        query::each(
            c"SELECT l.source_id, l.target_id, l.kind, l.confidence FROM onyx.links l
              WHERE EXISTS (SELECT FROM onyx.nodes s WHERE s.id = l.source_id)
                AND EXISTS (SELECT FROM onyx.nodes t WHERE t.id = l.target_id)",
            &[],
            &mut take,
        )?;
        if contains {
            query::each(
                c"SELECT p.id, n.id, 'contains', 1::real
                  FROM onyx.nodes n JOIN onyx.nodes p ON p.id = n.parent_id",
                &[],
                &mut take,
            )?;
        }
        Ok(())
    }
}

fn admitted(links: &cache::Links, kinds: &mut Kinds) -> Vec<Option<KindId>> {
    links.kinds.all().iter().map(|name| kinds.admit(name)).collect()
}

#[derive(Clone, Copy)]
enum Edges {
    Out,
    In,
    Children,
    Parent,
}

/// Moves `at` on to the position of `key`, which comes no earlier.
#[inline]
fn advance(frontier: &[i64], at: &mut usize, key: i64) {
    while frontier.get(*at).is_some_and(|id| *id < key) {
        *at += 1;
    }
}
