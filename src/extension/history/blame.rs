//! `onyx.blame`: which commit each line of a node is from.
//!
//! A line is followed from a version to the one before it on each parent's side, the first parent first: a
//! merge is given only the lines that no parent has.

use std::collections::{BTreeMap, HashMap};

use onyx_protocol::history::SymbolChangeKind;
use pgrx::prelude::*;

use super::at;
use super::commits::Commits;
use super::symbol_changes::{self, SymbolRow};
use super::version::{self, NodeAt};
use crate::error::Error;
use crate::graph::rows::{Nothing, Row, Source};
use crate::graph::{Answer, Arguments, row_function};

row_function!(
    /// `onyx.blame(node, at)`.
    onyx_blame,
    blame
);

fn blame(a: &Arguments) -> Answer {
    let Some(node) = a.get::<i64>(0) else { return Ok(Box::new(Nothing)) };
    let versions = symbol_changes::of(&[node])?;
    let repo = version::repo_of(node, &versions)?;
    let commit = at::commit(repo, a.get::<&str>(1))?;
    let Some(found) = version::find(repo, node, commit, &versions)? else {
        return Ok(Box::new(Nothing));
    };
    let first = found.definition().map_or(1, |d| d.start_line);
    let text = found.text()?;
    let lines: Vec<String> =
        text.split_inclusive('\n').map(|line| line.trim_end_matches(['\n', '\r']).into()).collect();
    let commits = follow(repo, node, commit, &versions, &found, &text)?;
    let authors = authors(&commits)?;
    let lines = lines.into_iter().zip(commits).enumerate();
    let lines = lines.map(|(number, (text, commit))| (first + number as u32, text, commit));
    Ok(Box::new(Lines { lines: lines.collect::<Vec<_>>().into_iter(), authors }))
}

/// A version of the node whose lines are being followed.
struct Open {
    text: String,
    /// Lines of it that are looked for, with the lines of the first text they are.
    lines: Vec<(usize, usize)>,
}

/// The commit of each line of a node's text at a commit.
fn follow(
    repo: i64,
    node: i64,
    commit: i32,
    rows: &[SymbolRow],
    found: &NodeAt,
    text: &str,
) -> Result<Vec<i32>, Error> {
    let commits = Commits::of(repo)?;
    let versions = Versions::of(rows);
    let count = text.split_inclusive('\n').count();
    let mut blamed = vec![commit; count];
    // By version, the latest first: a version is looked at when all that lead to it have been.
    let mut open: BTreeMap<i32, Open> = BTreeMap::new();
    let lines = (0..count).map(|line| (line, line)).collect();
    let start = versions.last(&commits, commit, found)?;
    open.insert(start, Open { text: text.to_owned(), lines });
    while let Some((at, Open { text, mut lines })) = open.pop_last() {
        pgrx::check_for_interrupts!();
        for parent in commits.parents(at) {
            if lines.is_empty() {
                break;
            }
            let Some(before) = version::find(repo, node, parent, rows)? else { continue };
            let before_text = before.text()?;
            let version = versions.last(&commits, parent, &before)?;
            let origins = onyx_diff::lines::origins(&before_text, &text);
            let mut found = Vec::new();
            lines.retain(|(line, of)| match origins.get(*line).copied().flatten() {
                Some(origin) => {
                    found.push((origin, *of));
                    false
                }
                None => true,
            });
            if found.is_empty() {
                continue;
            }
            let entry = open.entry(version);
            entry
                .or_insert_with(|| Open { text: before_text, lines: Vec::new() })
                .lines
                .extend(found);
        }
        for (_, of) in lines {
            blamed[of] = at;
        }
    }
    Ok(blamed)
}

/// Commits that changed a node's text.
struct Versions(Vec<i32>);

impl Versions {
    fn of(rows: &[SymbolRow]) -> Self {
        use SymbolChangeKind::{Created, Deleted};
        let with_text = rows.iter().filter(|v| {
            let change = v.symbol.change;
            change == Created || change != Deleted && v.symbol.body_changed
        });
        let mut commits: Vec<i32> = with_text.map(|version| version.commit).collect();
        commits.sort_unstable();
        Self(commits)
    }

    /// The last one on a commit's line of first parents; where there is none, the commit its file came with.
    fn last(&self, commits: &Commits, commit: i32, found: &NodeAt) -> Result<i32, Error> {
        let until = self.0.partition_point(|version| *version <= commit);
        let mut versions = self.0[..until].iter().rev().copied();
        match versions.find(|version| commits.is_on_line(*version, commit)) {
            Some(version) => Ok(version),
            None => version::added(commits, &found.file, commit),
        }
    }
}

/// Who made a commit, and when.
struct Made {
    git_hash: Option<String>,
    author: String,
    email: String,
    at: Option<pgrx::datum::TimestampWithTimeZone>,
    message: String,
}

fn authors(commits: &[i32]) -> Result<HashMap<i32, Made>, Error> {
    let mut wanted = commits.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT id, pg_catalog.encode(git_hash, 'hex'), author_name, author_email, authored_at,
                    pg_catalog.split_part(message, E'\\n', 1)
             FROM onyx.commits WHERE id = ANY ($1)",
            None,
            &[wanted.into()],
        )?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let text = |i| row.get::<String>(i).map(Option::unwrap_or_default);
            let made = Made {
                git_hash: row.get::<String>(2)?,
                author: text(3)?,
                email: text(4)?,
                at: row.get::<pgrx::datum::TimestampWithTimeZone>(5)?,
                message: text(6)?,
            };
            found.insert(row.get::<i32>(1)?.unwrap_or_default(), made);
        }
        Ok(found)
    })
}

/// Rows of a blame.
struct Lines {
    lines: std::vec::IntoIter<(u32, String, i32)>,
    authors: HashMap<i32, Made>,
}

impl Source for Lines {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        let Some((line, text, commit)) = self.lines.next() else { return Ok(false) };
        let made = self.authors.get(&commit);
        row.begin().value(line as i32).value(text).value(commit);
        row.value(made.and_then(|made| made.git_hash.as_deref()))
            .value(made.map(|made| made.author.as_str()))
            .value(made.map(|made| made.email.as_str()))
            .value(made.and_then(|made| made.at))
            .value(made.map(|made| made.message.as_str()));
        Ok(true)
    }

    fn allocates(&self) -> bool {
        true
    }
}
