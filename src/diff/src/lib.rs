//! Differences of texts by lines. Knows neither source code nor PostgreSQL.
//!
//! | module | owns |
//! |---|---|
//! | [`lines`] | which lines differ, and unified diffs |
//! | [`merge`] | three-way merges |
//! | [`patch`] | patches of several files |

pub mod lines;
pub mod merge;
pub mod patch;
