//! The backend's half of Onyx: SQL functions, the `onyx_hnsw` access method, and the supervisor of
//! the engine process. Holds no RocksDB, ONNX Runtime, tree-sitter or git code.
//!
//! | room | owns |
//! |---|---|
//! | `guc` | the `onyx.*` settings |
//! | `error` | the one way an error becomes a PostgreSQL error |
//! | `client` | a backend's connection to the engine |
//! | `supervisor` | the background workers: engine supervision, index maintenance |
//! | `vector` | pgvector's `vector` datum |
//! | `model` | `onyx.models` and embedding functions |
//! | `access_method` | `onyx_hnsw` |
//! | `xact` | what must be durable before a commit |
//! | `query` | queries of the extension's own, their plans kept |
//! | `ingest` | source files to rows |
//! | `history` | commits, versions of files and symbols, branches |
//! | `graph` | traversals of the code graph |
//! | `stats` | functions below the `stat_*` views |
//! | `steps` | where tests stop a process |

use pgrx::prelude::*;

/// Declares a version-1 C function for the server's function manager. The function itself is written
/// by hand where `pg_extern` cannot say its types: pgvector's, and the internal ones.
macro_rules! pg_function {
    ($name:ident) => {
        const _: () = {
            #[unsafe(export_name = concat!("pg_finfo_", stringify!($name)))]
            extern "C" fn finfo() -> &'static pgrx::pg_sys::Pg_finfo_record {
                const RECORD: pgrx::pg_sys::Pg_finfo_record =
                    pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
                &RECORD
            }
        };
    };
}
use pg_function;

mod access_method;
mod arena;
mod client;
mod error;
mod graph;
mod guc;
mod history;
mod ingest;
mod model;
mod paths;
mod progress;
mod query;
mod search;
mod stats;
mod steps;
mod supervisor;
mod vector;
mod xact;

pgrx::pg_module_magic!(name, version);

extension_sql_file!("../../sql/schema.sql", name = "schema", bootstrap);
extension_sql_file!("../../sql/functions.sql", name = "functions", requires = ["schema"]);
extension_sql_file!(
    "../../sql/access_method.sql",
    name = "access_method",
    requires = ["functions"]
);
extension_sql_file!("../../sql/search.sql", name = "search", requires = ["access_method"]);
extension_sql_file!("../../sql/graph.sql", name = "graph", requires = ["search"]);
extension_sql_file!("../../sql/traverse.sql", name = "traverse", requires = ["graph"]);
extension_sql_file!("../../sql/user_graph.sql", name = "user_graph", requires = ["traverse"]);
extension_sql_file!("../../sql/graph_search.sql", name = "graph_search", requires = ["user_graph"]);
extension_sql_file!("../../sql/graph_views.sql", name = "graph_views", requires = ["graph_search"]);
extension_sql_file!("../../sql/export.sql", name = "export", requires = ["graph_views"]);
extension_sql_file!("../../sql/sql_strings.sql", name = "sql_strings", requires = ["export"]);
extension_sql_file!("../../sql/catalog.sql", name = "catalog", requires = ["sql_strings"]);
extension_sql_file!("../../sql/history.sql", name = "history", requires = ["catalog"]);
extension_sql_file!(
    "../../sql/history_functions.sql",
    name = "history_functions",
    requires = ["history"]
);
extension_sql_file!(
    "../../sql/history_search.sql",
    name = "history_search",
    requires = ["history_functions"]
);
extension_sql_file!(
    "../../sql/history_views.sql",
    name = "history_views",
    requires = ["history_search"]
);
extension_sql_file!("../../sql/context.sql", name = "context", requires = ["history_views"]);
extension_sql_file!("../../sql/views.sql", name = "views", requires = ["context"]);
extension_sql_file!("../../sql/grants.sql", name = "grants", finalize);

/// Version of the extension; the engine must have the same.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Called by PostgreSQL when the library is loaded.
#[allow(non_snake_case)]
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    // SAFETY: reads a flag the postmaster sets before it loads libraries.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        error::Error::NotPreloaded.raise();
    }
    guc::define();
    progress::init();
    supervisor::init();
    xact::init();
    access_method::init();
    graph::init();
}
