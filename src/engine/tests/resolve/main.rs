//! What references resolve to: each language's constructs, several repositories, and edits.

mod ecma;
mod edits;
mod go;
mod java;
mod python;
mod repositories;
mod rust;
mod support;
