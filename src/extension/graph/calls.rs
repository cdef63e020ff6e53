//! Callers and callees as they were at a commit, with what a reader wants to see of them.

use std::collections::HashMap;

use pgrx::prelude::*;

use super::access::Direction;
use super::walk::Search;
use super::{Arguments, rows};
use crate::error::Error;
use crate::history::symbols::{Described, Symbols};
use crate::history::{directories, past};
use crate::query;

rows::whole_function!(
    /// `onyx.calls_as_of(start, direction, edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo, at)`.
    onyx_calls_as_of,
    calls_as_of
);

/// What was reached.
struct Call {
    node: i64,
    depth: i32,
    predecessor: i64,
    edge_kind: String,
    path: Vec<i64>,
    truncated: bool,
}

fn calls_as_of(a: &Arguments, sheet: &mut rows::Sheet) -> Result<(), Error> {
    let (Some(from), Some(at)) = (a.ids(0)?, a.get::<&str>(8)) else { return Ok(()) };
    let (direction, depth, limit) = (a.direction(1)?, a.max_depth(5)?, a.limit("max_nodes", 6)?);
    let Some(past) = past::graph(&from, at, a.filter(2, 7)?)? else { return Ok(()) };
    let mut calls = Vec::new();
    Search::new(past.graph, from, direction, depth, limit, false)?.each(&mut |_, reached| {
        calls.push(Call {
            node: reached.node,
            depth: reached.depth,
            predecessor: reached.predecessor,
            edge_kind: reached.kind.to_owned(),
            path: reached.path.to_vec(),
            truncated: reached.truncated,
        });
    })?;
    let name: Option<String> = query::one(
        c"SELECT r.name FROM onyx.repos r WHERE r.id = $1",
        &[(pg_sys::INT8OID, past.repo.into_datum())],
    )?;
    let nodes: Vec<i64> = calls.iter().map(|call| call.node).collect();
    let symbols = Symbols::at(past.repo, past.commit)?.describe(&nodes)?;
    let symbols: HashMap<i64, Described> = symbols.into_iter().map(|s| (s.node, s)).collect();
    // Directories are no symbols: what there is to say of them is their path.
    let paths: HashMap<i64, String> = if symbols.len() < calls.len() {
        directories(past.repo)?.into_iter().map(|(path, node)| (node, path)).collect()
    } else {
        HashMap::new()
    };
    for call in &calls {
        let symbol = symbols.get(&call.node);
        let directory = || paths.get(&call.node).map(String::as_str);
        let kind = past.nodes.places.get(call.node).map(|place| place.kind);
        let kind = kind.map(|kind| &past.nodes.kinds.all()[kind as usize][..]);
        let (source, target) = match direction {
            Direction::In => (call.node, call.predecessor),
            Direction::Out | Direction::Both => (call.predecessor, call.node),
        };
        let site = past.sites.between(source, target, &call.edge_kind);
        let (confidence, lines) = site.unzip();
        sheet.put(|row| {
            row.begin().value(call.node).value(call.depth).value(call.predecessor).ids(&call.path);
            row.value(kind.and_then(|kind| std::str::from_utf8(kind).ok()));
            row.value(symbol.map(|s| s.qualified_name.as_str()).or_else(directory));
            row.value(symbol.map_or("", |s| s.signature.as_str())).value(name.as_deref());
            row.value(symbol.map(|s| s.path.as_str())).value(symbol.map(|s| s.start_line));
            row.value(call.edge_kind.as_str()).value(confidence).value(lines);
            row.value(call.truncated);
        });
    }
    Ok(())
}
