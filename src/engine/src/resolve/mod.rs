//! From the facts of names (`onyx_protocol::code`) to edges between definitions.
//!
//! A pure function: the edges of a file follow from its body and from the interfaces, paths and
//! modules of all files. Knows only the protocol: no syntax trees, no store, no PostgreSQL.
//!
//! # How a reference is resolved
//!
//! An expression's innermost name is looked up in the scopes around it, then its imports, then what the
//! language says comes next (prelude, builtins). Members are looked up in the type of their object: what
//! `self` is, a parameter's or field's declared type, what a constructor or function gives, what a
//! variable was set to. A name imported from outside stays outside. What is not found by one of these
//! has no edge but a reason: a wrong edge is worse than a missing one. `Strategy` names the weakest step
//! that led to an edge.
//!
//! # Exact updates
//!
//! Whatever one file's resolution reads of others, it reads through `Context`, which records a hash of
//! the key: "the name x in container y", "the facts of definition z", "the file of module m". The
//! `changed_keys` between two states are those whose value differs, found from the changed files alone.
//! A file whose dependencies have none of them resolves as before.
//!
//! # Languages
//!
//! A language is one file in `languages/` that implements `Rules`: which file a module is, what an import
//! binds, members of types, what comes with the language. What it says in terms of names, types and
//! expressions comes from its extractor in `parse/code/`.
//!
//! To add one:
//! 1. `parse/code/<language>.rs` with an `Extractor`, and its arm in `extractor` there. It opens scopes,
//!    completes `Declared` of each definition (bases, type, parameters, values, flags), binds locals,
//!    writes imports and references. A call's `target` is the whole `Expr::Call`; the position of a
//!    reference is that of its last name. What stands outside functions goes into `Builder::shared`,
//!    what is in them into `Builder::own`.
//! 2. `languages/<language>.rs` with `Rules`, and its arm in `rules`. `index` says under which
//!    repository-wide names a file is found; `import`, `glob`, `module_member`, `beyond` lead from names to
//!    modules; `members`, `receiver`, `self_of` from types to members. Nothing of another file may be read
//!    but through `Context`.
//! 3. `tests/resolve/<language>.rs`: sources whose lines say what they call.

mod context;
mod edges;
mod infer;
mod keys;
mod languages;
mod members;
mod names;
mod space;
mod ty;
mod types;
mod workspace;

pub use space::Space;
pub use workspace::{FileInput, Workspace};
