//! The code graph: traversals and what is computed from the whole of it.
//!
//! | file | owns |
//! |---|---|
//! | `access` | edges of nodes under the caller's snapshot and rights |
//! | `cache`, `stamp` | the same kept in memory, while it provably is what a query would see |
//! | `index_scan`, `indexes` | covering indexes, read without an executor, and who may |
//! | `kinds`, `ids` | edge kinds by number, tables keyed by node ids |
//! | `query` | the same by queries |
//! | `walk`, `depth` | breadth-first and depth-first search |
//! | `calls` | callers and callees as they were at a commit |
//! | `shortest`, `paths` | ways between two nodes |
//! | `whole`, `components`, `cycles`, `rank` | the whole graph in memory |
//! | `rows` | rows on their way to the executor |
//! | `scan_plan`, `scan` | functions in FROM: a scan that makes only what is asked for |
//! | `limits` | what is said when a limit cut an answer off |
//!
//! Every call answers what its snapshot shows.

pub mod access;
pub mod cache;
mod calls;
mod components;
mod cycles;
mod depth;
pub mod ids;
mod index_scan;
pub mod indexes;
mod kinds;
mod limits;
mod paths;
mod rank;
pub mod rows;
mod scan;
mod scan_plan;
mod shortest;
mod stamp;
mod walk;
mod whole;

use std::ops::ControlFlow;

use pgrx::fcinfo::pg_getarg;
use pgrx::prelude::*;

use crate::error::Error;
use crate::{history, query};
use access::{Direction, Filter, Graph};
use limits::Limit;
use rows::{Make, Nothing, Source};
pub use scan_plan::init;
use walk::{Search, Walk};

/// A function as the function manager calls it.
type Function = unsafe extern "C-unwind" fn(pg_sys::FunctionCallInfo) -> pg_sys::Datum;

/// The functions that may be scanned where they stand in FROM, and what makes their rows.
const SCANNED: [(Function, Make); 9] = [
    (onyx_bfs, bfs),
    (onyx_neighbors, neighbors),
    (onyx_dfs, dfs),
    (onyx_shortest_path, shortest_path),
    (onyx_paths, paths_between),
    (onyx_components, components_of),
    (onyx_cycles, cycles_of),
    (onyx_rank, ranked),
    (history::state::onyx_nodes_as_of, history::state::nodes_as_of),
];

/// What answers a call: its rows.
pub type Answer = Result<Box<dyn Source>, Error>;

/// The arguments of a call, by position.
pub struct Arguments(pub pg_sys::FunctionCallInfo);

impl Arguments {
    /// An argument's value; NULL is `None`.
    pub fn get<T: FromDatum>(&self, position: usize) -> Option<T> {
        // SAFETY: the SQL files declare the argument with T's type.
        unsafe { pg_getarg(self.0, position) }
    }

    /// The same of one that not every function with this body has.
    fn get_if_there<T: FromDatum>(&self, position: usize) -> Option<T> {
        // SAFETY: the call's own description of itself.
        let count = unsafe { (*self.0).nargs };
        if position < count as usize { self.get(position) } else { None }
    }

    /// Ids, or one: both forms of a function have the same body.
    fn ids(&self, position: usize) -> Result<Option<Vec<i64>>, Error> {
        // SAFETY: the call's own description of itself.
        let one = unsafe {
            pg_sys::get_fn_expr_argtype((*self.0).flinfo, position as i32) == pg_sys::INT8OID
        };
        if one {
            return Ok(self.get::<i64>(position).map(|id| vec![id]));
        }
        let ids = self.get::<Vec<Option<i64>>>(position);
        Ok(ids.map(|ids| ids.into_iter().flatten().collect()))
    }

    fn direction(&self, position: usize) -> Result<Direction, Error> {
        match self.get::<&str>(position) {
            Some("out") => Ok(Direction::Out),
            Some("in") => Ok(Direction::In),
            Some("both") => Ok(Direction::Both),
            other => Err(invalid(
                format!("direction \"{}\" is none", other.unwrap_or("NULL")),
                "Directions are out, in and both.",
            )),
        }
    }

    /// From four arguments on: edge kinds, node kinds, least confidence; and the repository's place.
    fn filter(&self, first: usize, repo: usize) -> Result<Filter, Error> {
        let kinds = |position| {
            self.get::<Vec<Option<String>>>(position)
                .map(|all| all.into_iter().flatten().collect::<Vec<_>>())
        };
        Ok(Filter {
            edge_kinds: kinds(first),
            node_kinds: kinds(first + 1),
            min_confidence: self.get::<f32>(first + 2).unwrap_or(0.0),
            repo: self.get::<&str>(repo).map(repository).transpose()?,
        })
    }

    fn limit(&self, name: &'static str, position: usize) -> Result<Limit, Error> {
        let value = self.get::<i64>(position);
        match value {
            Some(value) if value < 1 => {
                Err(invalid(format!("{name} must be at least 1, not {value}"), "NULL is no limit."))
            }
            _ => Ok(Limit { name, value }),
        }
    }

    fn max_depth(&self, position: usize) -> Result<Option<i32>, Error> {
        match self.get::<i32>(position) {
            Some(depth) if depth < 0 => Err(invalid(
                format!("max_depth must be at least 0, not {depth}"),
                "NULL is no limit.",
            )),
            depth => Ok(depth),
        }
    }
}

fn invalid(message: String, hint: &str) -> Error {
    Error::sql(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message).with_hint(hint)
}

fn repository(name: &str) -> Result<i64, Error> {
    let mut id = None;
    let name_datum = rows::Text::new(name);
    query::each(
        c"SELECT r.id FROM onyx.repos r WHERE r.name = $1",
        &[(pg_sys::TEXTOID, Some(name_datum.datum()))],
        &mut |row| {
            id = row.get::<i64>(1);
            ControlFlow::Break(())
        },
    )?;
    id.ok_or_else(|| {
        Error::sql(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("repository \"{name}\" does not exist"),
        )
    })
}

/// Declares an SQL function that answers with rows.
macro_rules! row_function {
    ($(#[$doc:meta])* $name:ident, $make:expr) => {
        pg_function!($name);
        $(#[$doc])*
        ///
        /// # Safety
        /// Called by the function manager.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $name(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            let make: $crate::graph::rows::Make = $make;
            // SAFETY: the caller's promise; the SQL files declare it so.
            unsafe { $crate::graph::rows::answer(fcinfo, || make(&$crate::graph::Arguments(fcinfo))) }
        }
    };
}

pub(crate) use row_function;

row_function!(
    /// `onyx.bfs(start, direction, edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo)`.
    onyx_bfs,
    bfs
);

row_function!(
    /// `onyx.neighbors(..., at)`, arguments as those of `bfs`: the same without the starts, perhaps at a
    /// commit.
    onyx_neighbors,
    neighbors
);

fn bfs(a: &Arguments) -> Answer {
    breadth_first(a, true)
}

fn neighbors(a: &Arguments) -> Answer {
    breadth_first(a, false)
}

fn breadth_first(a: &Arguments, starts: bool) -> Answer {
    let Some(from) = a.ids(0)? else { return Ok(Box::new(Nothing)) };
    let (depth, limit) = (a.max_depth(5)?, a.limit("max_nodes", 6)?);
    let filter = a.filter(2, 7)?;
    let graph = match a.get_if_there::<&str>(8) {
        Some(at) => match history::past::graph(&from, at, filter)? {
            Some(past) => past.graph,
            None => return Ok(Box::new(Nothing)),
        },
        None => Graph::new(filter),
    };
    let search = Search::new(graph, from, a.direction(1)?, depth, limit, starts)?;
    Ok(Box::new(Walk::new(search, starts)))
}

row_function!(
    /// `onyx.dfs(...)`, arguments as those of `bfs`.
    onyx_dfs,
    dfs
);

fn dfs(a: &Arguments) -> Answer {
    let Some(from) = a.ids(0)? else { return Ok(Box::new(Nothing)) };
    let (depth, limit) = (a.max_depth(5)?, a.limit("max_nodes", 6)?);
    let graph = Graph::new(a.filter(2, 7)?);
    Ok(Box::new(depth::DepthFirst::new(graph, from, a.direction(1)?, depth, limit)?))
}

row_function!(
    /// `onyx.shortest_path(source, target, direction, edge_kinds, node_kinds, min_confidence,
    /// max_depth, max_nodes, repo)`.
    onyx_shortest_path,
    shortest_path
);

fn shortest_path(a: &Arguments) -> Answer {
    let (Some(source), Some(target)) = (a.get::<i64>(0), a.get::<i64>(1)) else {
        return Ok(Box::new(Nothing));
    };
    let (depth, limit) = (a.max_depth(6)?, a.limit("max_nodes", 7)?);
    let mut graph = Graph::new(a.filter(3, 8)?);
    let direction = a.direction(2)?;
    match shortest::find(&mut graph, source, target, direction, depth, limit)? {
        Some((nodes, kinds)) => Ok(Box::new(shortest::Steps { graph, nodes, kinds, next: 0 })),
        None => Ok(Box::new(Nothing)),
    }
}

row_function!(
    /// `onyx.paths(source, target, direction, edge_kinds, node_kinds, min_confidence, max_depth,
    /// max_paths, max_nodes, repo)`.
    onyx_paths,
    paths_between
);

fn paths_between(a: &Arguments) -> Answer {
    let (Some(source), Some(target)) = (a.get::<i64>(0), a.get::<i64>(1)) else {
        return Ok(Box::new(Nothing));
    };
    Ok(Box::new(paths::Paths::new(
        Graph::new(a.filter(3, 9)?),
        source,
        target,
        a.direction(2)?,
        a.max_depth(6)?.unwrap_or(i32::MAX),
        a.limit("max_paths", 7)?,
        a.limit("max_nodes", 8)?,
    )?))
}

row_function!(
    /// `onyx.components(repo, edge_kinds, node_kinds, min_confidence, strong, min_size, max_edges)`.
    onyx_components,
    components_of
);

fn components_of(a: &Arguments) -> Answer {
    let mut graph = Graph::new(a.filter(1, 0)?);
    let edges = a.limit("max_edges", 6)?.value;
    let strong = a.get::<bool>(4).unwrap_or(false);
    let size = a.get::<i64>(5).unwrap_or(2);
    Ok(Box::new(components::Components::new(&mut graph, strong, size, edges)?))
}

row_function!(
    /// `onyx.cycles(repo, edge_kinds, node_kinds, min_confidence, max_length, max_cycles, max_edges)`.
    onyx_cycles,
    cycles_of
);

fn cycles_of(a: &Arguments) -> Answer {
    let mut graph = Graph::new(a.filter(1, 0)?);
    let length = a.get::<i32>(4).map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(0));
    let (limit, edges) = (a.limit("max_cycles", 5)?, a.limit("max_edges", 6)?.value);
    Ok(Box::new(cycles::Cycles::new(&mut graph, length, limit, edges)?))
}

row_function!(
    /// `onyx.rank(seeds, repo, edge_kinds, node_kinds, min_confidence, damping, max_results,
    /// max_edges)`.
    onyx_rank,
    ranked
);

fn ranked(a: &Arguments) -> Answer {
    let mut graph = Graph::new(a.filter(2, 1)?);
    let damping = a.get::<f64>(5).unwrap_or(0.85);
    if !(0.0..1.0).contains(&damping) {
        return Err(invalid(
            format!("damping must be at least 0 and below 1, not {damping}"),
            "0.85 is usual.",
        ));
    }
    let results = a.limit("max_results", 6)?;
    let edges = a.limit("max_edges", 7)?.value;
    let seeds = a.ids(0)?;
    Ok(Box::new(rank::Ranked::new(&mut graph, seeds, damping, results.left(0), edges)?))
}
