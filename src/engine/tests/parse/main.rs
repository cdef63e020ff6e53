//! What parsing finds in source, and what must not bring it down.

mod languages;
mod limits;
mod sql;
