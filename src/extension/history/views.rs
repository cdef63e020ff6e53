//! What views of history are made of.

use onyx_protocol::numbers;
use pgrx::prelude::*;

use super::commits::Commits;
use crate::error::{Error, OrRaise};
use crate::query;

/// The commits that one descends from along all parents, and itself.
#[pg_extern(sql = false)]
fn ancestors(commit: i32) -> SetOfIterator<'static, i32> {
    let repo = query::one::<i64>(
        c"SELECT repo_id FROM onyx.commits WHERE id = $1",
        &[(pg_sys::INT4OID, commit.into_datum())],
    );
    let found = match repo.or_raise() {
        Some(repo) => Commits::of(repo).or_raise().ancestors(commit),
        None => Vec::new(),
    };
    SetOfIterator::new(found)
}

/// The ids in `file_versions.nodes`.
#[pg_extern(sql = false)]
fn decode_nodes(nodes: &[u8]) -> Vec<i64> {
    let ids = numbers::decode(nodes).ok_or_else(|| {
        let message = "the ids of nodes end within one";
        Error::sql(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message)
    });
    ids.or_raise()
}
