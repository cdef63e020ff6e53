//! The graph in a session's memory, for as long as it is provably what a query would see: see
//! `stamp`. Made when a session has read so much from the indexes that making it pays; dropped when
//! its stamp does not hold any more.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use pgrx::prelude::*;

use super::ids::IdMap;
use super::index_scan;
use super::stamp::Stamp;
use crate::guc;

/// Peak of memory for a link or a node while it is read, in bytes.
const LINK_BYTES: f64 = 80.0;
const NODE_BYTES: f64 = 80.0;
/// Index entries that take as long as one row read into memory, and some more: making it must pay.
const WORTH: f64 = 0.5;

/// Names, numbered by their order.
#[derive(Clone, Default)]
pub struct Names(Vec<Vec<u8>>);

impl Names {
    /// The number of a name.
    pub fn id(&mut self, name: &[u8]) -> u16 {
        if let Some(known) = self.0.iter().position(|n| n == name) {
            return known as u16;
        }
        self.0.push(name.to_vec());
        (self.0.len() - 1) as u16
    }

    /// Sorts them; returns the new number of each old one.
    fn order(&mut self) -> Vec<u16> {
        let mut order: Vec<u16> = (0..self.0.len() as u16).collect();
        order.sort_by(|a, b| self.0[*a as usize].cmp(&self.0[*b as usize]));
        let mut places = vec![0; order.len()];
        for (place, old) in order.iter().enumerate() {
            places[*old as usize] = place as u16;
        }
        self.0.sort();
        places
    }

    /// All, by number.
    pub fn all(&self) -> &[Vec<u8>] {
        &self.0
    }
}

/// A value for each of many ids: in a vector where they lie close together, as those of one sequence
/// do, and by hash otherwise.
pub enum Table<T> {
    /// From an id on.
    Dense(i64, Vec<T>),
    /// Any.
    Sparse(IdMap<T>),
}

impl<T: Copy + Default> Table<T> {
    fn of(values: impl ExactSizeIterator<Item = (i64, T)> + Clone) -> Self {
        let ids = || values.clone().map(|v| v.0);
        let (first, last) = (ids().min().unwrap_or(0), ids().max().unwrap_or(0));
        let span = last.abs_diff(first);
        if span / 4 > values.len() as u64 + 1_024 {
            return Self::Sparse(values.collect());
        }
        let mut dense = vec![T::default(); span as usize + 1];
        for (id, value) in values {
            dense[id.abs_diff(first) as usize] = value;
        }
        Self::Dense(first, dense)
    }

    /// The value of an id; the default where there is none.
    #[inline]
    pub fn get(&self, id: i64) -> T {
        match self {
            Self::Dense(first, values) => {
                let at = usize::try_from(id.wrapping_sub(*first)).unwrap_or(usize::MAX);
                values.get(at).copied().unwrap_or_default()
            }
            Self::Sparse(values) => values.get(&id).copied().unwrap_or_default(),
        }
    }

    /// Where ids lie, when they lie close together.
    pub fn span(&self) -> Option<(i64, usize)> {
        match self {
            Self::Dense(first, values) => Some((*first, values.len())),
            Self::Sparse(_) => None,
        }
    }
}

/// The far end of an edge.
#[derive(Clone, Copy)]
struct Way {
    other: i64,
    confidence: f32,
    kind: u16,
}

/// Edges of nodes, one way.
pub struct Ways {
    places: Table<(u32, u32)>,
    all: Vec<Way>,
}

impl Ways {
    fn of(mut edges: Vec<(i64, u16, i64, f32)>) -> Self {
        edges.sort_unstable_by_key(|e| (e.0, e.1, e.2));
        let mut places = Vec::new();
        let mut start = 0;
        for run in edges.chunk_by(|a, b| a.0 == b.0) {
            let end = start + run.len() as u32;
            places.push((run[0].0, (start, end)));
            start = end;
        }
        let all = edges.iter().map(|e| Way { other: e.2, confidence: e.3, kind: e.1 }).collect();
        Self { places: Table::of(places.into_iter()), all }
    }

    /// Node at the other end, kind and confidence of a node's edges: by kind, then node.
    #[inline]
    pub fn from(&self, node: i64) -> impl Iterator<Item = (i64, u16, f32)> {
        let (start, end) = self.places.get(node);
        let all = self.all[start as usize..end as usize].iter();
        all.map(|way| (way.other, way.kind, way.confidence))
    }
}

/// Stored edges.
pub struct Links {
    /// None where they are not those of a table.
    stamp: Option<Stamp>,
    /// Kinds by number.
    pub kinds: Names,
    /// From sources.
    pub out: Ways,
    /// From targets.
    pub back: Ways,
}

impl Links {
    /// From source, number of the kind, target and confidence of each.
    pub fn of(mut kinds: Names, mut edges: Vec<(i64, u16, i64, f32)>) -> Self {
        let order = kinds.order();
        for edge in &mut edges {
            edge.1 = order[edge.1 as usize];
        }
        let turned = edges.iter().map(|e| (e.2, e.1, e.0, e.3)).collect();
        let (out, back) = (Ways::of(edges), Ways::of(turned));
        Self { stamp: None, kinds, out, back }
    }
}

impl Nodes {
    /// From all nodes with their ids.
    pub fn of(kinds: Names, places: Vec<(i64, Option<Place>)>) -> Self {
        let contained =
            places.iter().filter_map(|(id, place)| Some(((*place)?.parent?, 0, *id, 1.0)));
        let children = Ways::of(contained.collect());
        Self { stamp: None, kinds, places: Table::of(places.into_iter()), children }
    }
}

/// What `nodes_place` has of a node.
#[derive(Clone, Copy)]
pub struct Place {
    /// Its repository.
    pub repo: Option<i64>,
    /// The node that contains it.
    pub parent: Option<i64>,
    /// Number of its kind.
    pub kind: u16,
}

/// Nodes, and what contains them.
pub struct Nodes {
    /// None where they are not those of a table.
    stamp: Option<Stamp>,
    /// Kinds by number.
    pub kinds: Names,
    /// All nodes.
    pub places: Table<Option<Place>>,
    /// Nodes they contain.
    pub children: Ways,
}

#[derive(Default)]
struct Session {
    links: Option<Rc<Links>>,
    nodes: Option<Rc<Nodes>>,
    /// Index entries read since nothing was in memory.
    read: (f64, f64),
}

thread_local! {
    static SESSION: RefCell<Session> = RefCell::default();
}

/// Counts entries read from the indexes of links, or of nodes.
pub fn count(of_links: bool, entries: u64) {
    SESSION.with_borrow_mut(|session| {
        let read = if of_links { &mut session.read.0 } else { &mut session.read.1 };
        *read += entries as f64;
    });
}

/// Whether it is time to read a table into memory.
///
/// # Safety
/// The table is open.
unsafe fn pays(table: pg_sys::Relation, read: f64, bytes: f64) -> bool {
    // SAFETY: the caller's promise.
    let rows = f64::from(unsafe { (*(*table).rd_rel).reltuples });
    let room = f64::from(guc::GRAPH_CACHE_SIZE_MB.get()) * 1_048_576.0;
    rows >= 0.0 && read > rows * WORTH && rows * bytes <= room
}

/// The links, if they are in memory or can be now.
///
/// # Safety
/// The relations are `onyx.links` and its index on the source, as in `access`; there is an active
/// MVCC snapshot, and the caller may read the table whole.
pub unsafe fn links(table: pg_sys::Relation, index: pg_sys::Relation) -> Option<Rc<Links>> {
    let (kept, read) = SESSION.with_borrow_mut(|s| (s.links.take(), s.read.0));
    if guc::GRAPH_CACHE_SIZE_MB.get() == 0 || kept.is_none() && read == 0.0 {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let stamp = Stamp::of(table)?;
        let links = match kept {
            Some(kept) if kept.stamp.as_ref() == Some(&stamp) => kept,
            _ if !pays(table, read, LINK_BYTES) => return None,
            _ => {
                let mut kinds = Names::default();
                let mut edges = Vec::new();
                index_scan::scan(table, index, None, &mut |mut entry| {
                    if let (Some(from), Some(kind), Some(to), Some(confidence)) =
                        (entry.bigint(), entry.text(), entry.bigint(), entry.real())
                    {
                        edges.push((from, kinds.id(kind), to, confidence));
                    }
                    ControlFlow::Continue(())
                });
                // Nothing moved while it was read.
                if Stamp::of(table).as_ref() != Some(&stamp) {
                    return None;
                }
                Rc::new(Links { stamp: Some(stamp), ..Links::of(kinds, edges) })
            }
        };
        SESSION.with_borrow_mut(|s| {
            s.links = Some(links.clone());
            s.read.0 = 0.0;
        });
        Some(links)
    }
}

/// The nodes, likewise.
///
/// # Safety
/// As of `links`, of `onyx.nodes` and the index `nodes_place`.
pub unsafe fn nodes(table: pg_sys::Relation, index: pg_sys::Relation) -> Option<Rc<Nodes>> {
    let (kept, read) = SESSION.with_borrow_mut(|s| (s.nodes.take(), s.read.1));
    if guc::GRAPH_CACHE_SIZE_MB.get() == 0 || kept.is_none() && read == 0.0 {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let stamp = Stamp::of(table)?;
        let nodes = match kept {
            Some(kept) if kept.stamp.as_ref() == Some(&stamp) => kept,
            _ if !pays(table, read, NODE_BYTES) => return None,
            _ => {
                let mut kinds = Names::default();
                let mut places = Vec::new();
                index_scan::scan(table, index, None, &mut |mut entry| {
                    let id = entry.bigint();
                    let (repo, parent, kind) = (entry.bigint(), entry.bigint(), entry.text());
                    if let (Some(id), Some(kind)) = (id, kind) {
                        places.push((id, Some(Place { repo, parent, kind: kinds.id(kind) })));
                    }
                    ControlFlow::Continue(())
                });
                if Stamp::of(table).as_ref() != Some(&stamp) {
                    return None;
                }
                Rc::new(Nodes { stamp: Some(stamp), ..Nodes::of(kinds, places) })
            }
        };
        SESSION.with_borrow_mut(|s| {
            s.nodes = Some(nodes.clone());
            s.read.1 = 0.0;
        });
        Some(nodes)
    }
}
