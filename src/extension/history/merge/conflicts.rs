//! Conflicts of merges, and what was decided about them. They are kept until the merge is made: asking for
//! it again, with the branches where they were, takes the decisions into account.

use std::collections::HashMap;

use pgrx::prelude::*;

use crate::error::{Error, OrRaise};

/// Characters of a mark in a text.
const MARK_LENGTH: usize = 7;

/// What is to become of a conflict.
#[derive(Clone, PartialEq)]
pub enum Resolution {
    Ours,
    Theirs,
    Base,
    Text(String),
}

/// A conflict.
pub struct Conflict {
    pub kind: &'static str,
    pub node_id: Option<i64>,
    /// Of a reference: what refers.
    pub source_id: Option<i64>,
    pub our_line: Option<i32>,
    pub base_path: Option<String>,
    pub our_path: Option<String>,
    pub their_path: Option<String>,
    pub base_name: Option<String>,
    pub our_name: Option<String>,
    pub their_name: Option<String>,
    pub base_text: Option<String>,
    pub our_text: Option<String>,
    pub their_text: Option<String>,
}

impl Conflict {
    /// One about a node, or something new.
    pub fn new(kind: &'static str, node_id: Option<i64>) -> Self {
        Self {
            kind,
            node_id,
            source_id: None,
            our_line: None,
            base_path: None,
            our_path: None,
            their_path: None,
            base_name: None,
            our_name: None,
            their_name: None,
            base_text: None,
            our_text: None,
            their_text: None,
        }
    }

    /// What tells it from the others of its merge.
    fn key(&self) -> Key {
        (self.kind.to_owned(), self.node_id, self.source_id, self.our_line, self.our_path.clone())
    }

    /// Both texts between marks, as git writes them into a base it makes: longer ones the deeper it is, so
    /// that those of one merge are none of another. What is not a matter of lines is as it was.
    fn marked(&self, depth: usize) -> Resolution {
        let (Some(ours), Some(theirs), Some(_)) = (&self.our_text, &self.their_text, self.our_line)
        else {
            return Resolution::Base;
        };
        let mut text = String::new();
        for (mark, lines) in [('<', ours.as_str()), ('=', theirs), ('>', "")] {
            text.extend(std::iter::repeat_n(mark, MARK_LENGTH + 2 * depth));
            text.push('\n');
            text += lines;
            if !lines.is_empty() && !lines.ends_with('\n') {
                text.push('\n');
            }
        }
        Resolution::Text(text)
    }
}

type Key = (String, Option<i64>, Option<i64>, Option<i32>, Option<String>);

/// What becomes of conflicts about which nothing was said.
enum Undecided {
    /// They are open.
    Open,
    /// The same of all.
    All(Resolution),
    /// They are left in the text, in a merge of bases that is so many merges above the one asked for.
    Marked(usize),
}

/// Decisions about a merge.
pub struct Resolutions {
    undecided: Undecided,
    one: HashMap<Key, Resolution>,
}

impl Resolutions {
    /// The same for all.
    pub fn all(resolution: Resolution) -> Self {
        Self { undecided: Undecided::All(resolution), one: HashMap::new() }
    }

    /// Those of a base that is made of several.
    pub fn marked(depth: usize) -> Self {
        Self { undecided: Undecided::Marked(depth), one: HashMap::new() }
    }

    /// What was decided about a conflict.
    fn of(&self, conflict: &Conflict) -> Option<Resolution> {
        match &self.undecided {
            Undecided::Open => self.one.get(&conflict.key()).cloned(),
            Undecided::All(resolution) => Some(resolution.clone()),
            Undecided::Marked(depth) => Some(conflict.marked(*depth)),
        }
    }
}

/// The conflicts of a merge being made, with what was decided.
pub struct Decisions {
    resolutions: Resolutions,
    pub made: Vec<(Conflict, Option<Resolution>)>,
}

impl Decisions {
    /// None so far.
    pub fn new(resolutions: Resolutions) -> Self {
        Self { resolutions, made: Vec::new() }
    }

    /// Remembers a conflict; what is to become of it, ours while nobody says.
    pub fn of(&mut self, conflict: Conflict) -> Resolution {
        let resolution = self.resolutions.of(&conflict);
        self.made.push((conflict, resolution.clone()));
        resolution.unwrap_or(Resolution::Ours)
    }
}

/// Decisions about the merge of two commits into a branch.
pub fn resolutions(repo: i64, branch: &str, ours: i32, theirs: i32) -> Result<Resolutions, Error> {
    let mut one = HashMap::new();
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT kind, node_id, source_id, our_line, our_path, resolution, resolved_text
             FROM onyx.merge_conflicts
             WHERE repo_id = $1 AND branch = $2 AND our_commit_id = $3 AND their_commit_id = $4
               AND resolution IS NOT NULL",
            None,
            &[repo.into(), branch.into(), ours.into(), theirs.into()],
        )?;
        for row in rows {
            let key = (
                row.get::<String>(1)?.unwrap_or_default(),
                row.get::<i64>(2)?,
                row.get::<i64>(3)?,
                row.get::<i32>(4)?,
                row.get::<String>(5)?,
            );
            let resolution = match row.get::<String>(6)?.as_deref() {
                Some("theirs") => Resolution::Theirs,
                Some("base") => Resolution::Base,
                Some("text") => Resolution::Text(row.get::<String>(7)?.unwrap_or_default()),
                _ => Resolution::Ours,
            };
            one.insert(key, resolution);
        }
        Ok::<_, Error>(())
    })?;
    Ok(Resolutions { undecided: Undecided::Open, one })
}

/// Records a merge's conflicts in place of those the branch had; decisions stay where they still fit.
pub fn record(
    repo: i64,
    branch: &str,
    base: i32,
    ours: i32,
    theirs: i32,
    conflicts: &[(Conflict, Option<Resolution>)],
) -> Result<(), Error> {
    forget(repo, branch)?;
    for (conflict, resolution) in conflicts {
        let (resolution, text) = match resolution {
            None => (None, None),
            Some(Resolution::Ours) => (Some("ours"), None),
            Some(Resolution::Theirs) => (Some("theirs"), None),
            Some(Resolution::Base) => (Some("base"), None),
            Some(Resolution::Text(text)) => (Some("text"), Some(text.as_str())),
        };
        Spi::run_with_args(
            "INSERT INTO onyx.merge_conflicts (repo_id, branch, base_commit_id, our_commit_id, their_commit_id, kind,
                 node_id, source_id, our_line, base_path, our_path, their_path, base_name, our_name, their_name,
                 base_text, our_text, their_text, resolution, resolved_text)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
            &[
                repo.into(),
                branch.into(),
                base.into(),
                ours.into(),
                theirs.into(),
                conflict.kind.into(),
                conflict.node_id.into(),
                conflict.source_id.into(),
                conflict.our_line.into(),
                conflict.base_path.as_deref().into(),
                conflict.our_path.as_deref().into(),
                conflict.their_path.as_deref().into(),
                conflict.base_name.as_deref().into(),
                conflict.our_name.as_deref().into(),
                conflict.their_name.as_deref().into(),
                conflict.base_text.as_deref().into(),
                conflict.our_text.as_deref().into(),
                conflict.their_text.as_deref().into(),
                resolution.into(),
                text.into(),
            ],
        )?;
    }
    Ok(())
}

/// Removes the conflicts of merges into a branch.
pub fn forget(repo: i64, branch: &str) -> Result<(), Error> {
    Spi::run_with_args(
        "DELETE FROM onyx.merge_conflicts WHERE repo_id = $1 AND branch = $2",
        &[repo.into(), branch.into()],
    )?;
    Ok(())
}

#[pg_extern(sql = false)]
fn resolve_conflict(conflict: i64, resolution: &str, text: Option<&str>) {
    let known = matches!(resolution, "ours" | "theirs" | "base" | "text");
    if !known || (resolution == "text") != text.is_some() {
        let error = Error::sql(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("\"{resolution}\" does not resolve a conflict"),
        );
        let hint = "Resolutions are ours, theirs and base, or text with the text to take.";
        Err::<(), _>(error.with_hint(hint)).or_raise();
    }
    let found = Spi::get_one_with_args::<i64>(
        "WITH resolved AS (
             UPDATE onyx.merge_conflicts SET resolution = $2, resolved_text = $3 WHERE id = $1 RETURNING 1)
         SELECT count(*) FROM resolved",
        &[conflict.into(), resolution.into(), text.into()],
    );
    if found.map_err(Error::from).or_raise() != Some(1) {
        let error = Error::sql(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("conflict {conflict} does not exist"),
        );
        Err::<(), _>(error.with_hint("See onyx.merge_conflicts.")).or_raise();
    }
}
