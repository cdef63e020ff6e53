//! New references of one side to what the other one deleted or renamed: no text says so, the graph does.

use super::Sides;
use super::conflicts::{Conflict, Decisions};
use crate::error::Error;
use crate::history::diff::Side;
use pgrx::prelude::*;

/// Adds conflicts of the commits base, ours and theirs.
pub fn check(
    repo: &str,
    commits: [i32; 3],
    sides: &Sides,
    decisions: &mut Decisions,
) -> Result<(), Error> {
    let [base, ours, theirs] = commits;
    for (in_ours, there) in [(true, theirs), (false, ours)] {
        let (by, other) =
            if in_ours { (&sides.ours, &sides.theirs) } else { (&sides.theirs, &sides.ours) };
        let changed = changed(&sides.base, by);
        if changed.is_empty() {
            continue;
        }
        for (source, target, line) in new_edges(repo, base, there, &changed)? {
            let gone = by.get(target).is_none();
            let kind = if gone { "edge_to_deleted" } else { "caller_of_renamed" };
            let mut conflict = Conflict::new(kind, Some(target));
            conflict.source_id = Some(source);
            let name = |side: &Side| side.get(target).map(|symbol| symbol.qualified_name());
            conflict.base_name = name(&sides.base);
            conflict.our_name = name(&sides.ours);
            conflict.their_name = name(&sides.theirs);
            let path = other.get(source).map(|symbol| symbol.file.path.clone());
            if in_ours {
                conflict.their_path = path;
            } else {
                conflict.our_path = path;
                conflict.our_line = Some(line);
            }
            decisions.of(conflict);
        }
    }
    Ok(())
}

/// Definitions of the base that a side has no more, or under another name.
fn changed(base: &Side, side: &Side) -> Vec<i64> {
    let mut changed: Vec<i64> = Vec::new();
    for node in base.places.keys() {
        let Some(definition) = base.get(*node).and_then(|before| before.definition) else {
            continue;
        };
        if side.get(*node).is_none_or(|after| after.name() != definition.name) {
            changed.push(*node);
        }
    }
    changed.sort_unstable();
    changed
}

/// References to nodes that a commit has and its base has not: source, target and line.
fn new_edges(
    repo: &str,
    base: i32,
    commit: i32,
    targets: &[i64],
) -> Result<Vec<(i64, i64, i32)>, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT DISTINCT ON (e.source_id, e.target_id) e.source_id, e.target_id, e.line
             FROM onyx.edges_as_of($1, '#' || $3) e
             WHERE e.target_id = ANY ($4) AND e.kind <> 'contains' AND NOT e.source_id = ANY ($4)
               AND NOT EXISTS (SELECT FROM onyx.edges_as_of($1, '#' || $2) b
                               WHERE b.source_id = e.source_id AND b.target_id = e.target_id
                                 AND b.kind = e.kind)
             ORDER BY e.source_id, e.target_id, e.line",
            None,
            &[repo.into(), base.into(), commit.into(), targets.to_vec().into()],
        )?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            if let (Some(source), Some(target)) = (row.get::<i64>(1)?, row.get::<i64>(2)?) {
                found.push((source, target, row.get::<i32>(3)?.unwrap_or_default()));
            }
        }
        Ok(found)
    })
}
