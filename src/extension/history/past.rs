//! The graph of a commit in a session's memory: what `neighbors`, `callers` and `callees` with `at => ...` walk.
//!
//! A commit's edges never change, so they are kept as long as there is room. Only who may read the tables
//! of history whole is answered from what is kept, and nothing is kept that a transaction saw which wrote:
//! its rows may never have been.

use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::prelude::*;

use super::commits::Commits;
use super::edges::{self, Wanted};
use super::{at, state};
use crate::error::Error;
use crate::graph::access::{Filter, Graph};
use crate::graph::cache::{Links, Names, Nodes, Place};
use crate::graph::indexes;
use crate::{guc, query};

/// Graphs kept.
const KEPT: usize = 2;
/// Bytes an edge one way or a node takes, and the place of an edge.
const EDGE_BYTES: usize = 40;
const SITE_BYTES: usize = size_of::<Site>();
/// Edges of a graph at most, as of what reads the whole graph.
const MAX_EDGES: usize = 20_000_000;

/// The tables a commit's state is read from.
pub const TABLES: [&CStr; 4] = [c"commits", c"file_versions", c"paths", c"contents"];

/// Where a commit's file makes an edge.
struct Site {
    source: i64,
    target: i64,
    line: i32,
    confidence: f32,
    kind: u16,
}

/// All edges but containment, with their lines.
pub struct Sites {
    kinds: Names,
    /// By source, target and line.
    all: Vec<Site>,
}

impl Sites {
    fn of(kinds: Names, mut all: Vec<Site>) -> Self {
        all.sort_unstable_by_key(|site| (site.source, site.target, site.line));
        Self { kinds, all }
    }

    /// Greatest confidence and lines of the edges of a kind from one node to another; none where there is none.
    pub fn between(&self, source: i64, target: i64, kind: &str) -> Option<(f32, Vec<i32>)> {
        let start = self.all.partition_point(|s| (s.source, s.target) < (source, target));
        let mut found: Option<(f32, Vec<i32>)> = None;
        for site in &self.all[start..] {
            if (site.source, site.target) != (source, target) {
                break;
            }
            if self.kinds.all()[site.kind as usize] == kind.as_bytes() {
                let (confidence, lines) = found.get_or_insert((0.0, Vec::new()));
                *confidence = confidence.max(site.confidence);
                if lines.last() != Some(&site.line) {
                    lines.push(site.line);
                }
            }
        }
        found
    }
}

#[derive(Clone)]
struct Past {
    links: Rc<Links>,
    nodes: Rc<Nodes>,
    sites: Rc<Sites>,
}

/// The graph at a commit, and whose commit that is.
pub struct PastGraph {
    pub graph: Graph,
    pub nodes: Rc<Nodes>,
    pub sites: Rc<Sites>,
    pub repo: i64,
    pub commit: i32,
}

thread_local! {
    static PASTS: RefCell<Vec<((i64, i32), Past)>> = const { RefCell::new(Vec::new()) };
}

/// Whether what a call reads of history may be answered from what the session keeps, and be kept: the role
/// reads these tables whole, and the transaction wrote nothing.
pub fn may_keep(tables: &[&CStr]) -> bool {
    // SAFETY: reads this transaction's state.
    let wrote = unsafe { pg_sys::GetTopTransactionIdIfAny() } != pg_sys::InvalidTransactionId;
    !wrote && indexes::reads_whole(tables)
}

/// The graph at a commit of the starts' repository; none when no repository has or had them.
pub fn graph(starts: &[i64], at: &str, filter: Filter) -> Result<Option<PastGraph>, Error> {
    let Some(repo) = repo_of(starts)? else { return Ok(None) };
    let commit = at::commit(repo, Some(at))?;
    let keep = may_keep(&TABLES);
    // What a commit shows changes when others before it are forgotten.
    let wanted = (Commits::of(repo)?.epoch(), commit);
    let kept = PASTS.with_borrow_mut(|pasts| {
        let place = pasts.iter().position(|(key, _)| *key == wanted)?;
        let entry = pasts.remove(place);
        let past = entry.1.clone();
        pasts.push(entry);
        Some(past)
    });
    let past = match kept.filter(|_| keep) {
        Some(past) => past,
        None => {
            let (past, bytes) = read(repo, commit)?;
            let room = usize::try_from(guc::GRAPH_CACHE_SIZE_MB.get()).unwrap_or(0) << 20;
            if keep && bytes <= room / KEPT {
                PASTS.with_borrow_mut(|pasts| {
                    if pasts.len() >= KEPT {
                        pasts.remove(0);
                    }
                    pasts.push((wanted, past.clone()));
                });
            }
            past
        }
    };
    let graph = Graph::in_memory(filter, past.links, past.nodes.clone());
    Ok(Some(PastGraph { graph, nodes: past.nodes, sites: past.sites, repo, commit }))
}

/// The one repository of nodes that are or were.
fn repo_of(nodes: &[i64]) -> Result<Option<i64>, Error> {
    let repos: Option<Vec<i64>> = query::one(
        c"SELECT pg_catalog.array_agg(DISTINCT r.repo_id) FROM (
             SELECT coalesce(
                 (SELECT n.repo_id FROM onyx.nodes n WHERE n.id = s.id),
                 (SELECT c.repo_id FROM onyx.node_versions(s.id) v JOIN onyx.commits c ON c.id = v.commit_id
                  LIMIT 1),
                 (SELECT p.repo_id FROM onyx.paths p WHERE p.node_id = s.id LIMIT 1)) AS repo_id
             FROM pg_catalog.unnest($1::bigint[]) s (id)) r
         WHERE r.repo_id IS NOT NULL",
        &[(pg_sys::INT8ARRAYOID, nodes.to_vec().into_datum())],
    )?;
    match repos.unwrap_or_default()[..] {
        [] => Ok(None),
        [repo] => Ok(Some(repo)),
        _ => Err(Error::sql(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "the starts lie in several repositories, and at names a commit of one",
        )
        .with_hint("Ask for each repository's nodes by themselves.")),
    }
}

fn read(repo: i64, commit: i32) -> Result<(Past, usize), Error> {
    let (mut link_kinds, mut node_kinds) = (Names::default(), Names::default());
    let (mut links, mut nodes, mut sites) = (Vec::new(), Vec::new(), Vec::new());
    let place = |parent, kind| Some(Place { repo: Some(repo), parent, kind });
    if let Some(root) = state::places(repo)?.get("") {
        nodes.push((*root, place(None, node_kinds.id(b"repository"))));
    }
    let wanted = Wanted { contains: true, links: true };
    edges::each(repo, commit, wanted, &mut |edge| {
        match edge.contained {
            Some(kind) => {
                let kind = node_kinds.id(kind.as_bytes());
                nodes.push((edge.target, place(Some(edge.source), kind)));
            }
            None => {
                let kind = link_kinds.id(edge.kind.as_bytes());
                let (source, target, confidence) = (edge.source, edge.target, edge.confidence);
                links.push((source, kind, target, confidence));
                let line = edge.line.unwrap_or_default();
                sites.push(Site { source, target, line, confidence, kind });
            }
        }
        if links.len() > MAX_EDGES {
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                format!("the graph at that commit has more than {MAX_EDGES} edges"),
            )
            .with_hint("Read onyx.edges_as_of into a table, and ask that."));
        }
        Ok(())
    })?;
    let bytes = (links.len() * 2 + nodes.len()) * EDGE_BYTES + sites.len() * SITE_BYTES;
    let sites = Rc::new(Sites::of(link_kinds.clone(), sites));
    let (links, nodes) = (Links::of(link_kinds, links), Nodes::of(node_kinds, nodes));
    Ok((Past { links: Rc::new(links), nodes: Rc::new(nodes), sites }, bytes))
}
