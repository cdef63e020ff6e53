//! `onyx.apply_patch`: a unified diff to a commit.

use std::collections::{BTreeMap, BTreeSet};

use onyx_diff::patch::{self, FilePatch, Operation, PatchError};
use onyx_protocol::facts::Language;
use pgrx::prelude::*;

use super::apply::{self, Text};
use super::change::About;
use super::snapshot::Snapshot;
use super::{at, branches, contents};
use crate::error::{Error, OrRaise};
use crate::{client, ingest};

#[pg_extern(sql = false)]
fn apply_patch(
    repo: Option<&str>,
    patch: Option<&str>,
    branch: Option<&str>,
    author: Option<&str>,
    authored_at: Option<pgrx::datum::TimestampWithTimeZone>,
    message: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(commit_id, Option<i32>),
        name!(files_changed, i32),
        name!(files_removed, i32),
        name!(skipped, Vec<String>),
    ),
> {
    ingest::prevent_in_read_only(c"onyx.apply_patch()");
    let (Some(repo), Some(patch)) = (repo, patch) else { return TableIterator::empty() };
    let done = About::new(branch, author, authored_at, message)
        .and_then(|about| run(repo, patch, about))
        .or_raise();
    TableIterator::once(done)
}

fn refused(error: &PatchError, path: Option<&str>) -> Error {
    let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
    match path {
        Some(path) => Error::sql(code, format!("the patch of \"{path}\" does not apply: {error}"))
            .with_hint("It must fit the head of the branch: make it against that commit."),
        None => Error::sql(code, format!("the patch cannot be read: {error}"))
            .with_hint("It must be a unified diff, as git diff and diff -u write it."),
    }
}

/// Files of a branch's head as a patch changes them.
struct Patched {
    repo: i64,
    head: Option<i32>,
    /// By path: what it is now; none when it is gone.
    files: BTreeMap<String, Option<(Language, String)>>,
}

impl Patched {
    fn read(&self, path: &str) -> Result<Option<(Language, String)>, Error> {
        if let Some(file) = self.files.get(path) {
            return Ok(file.clone());
        }
        let Some(head) = self.head else { return Ok(None) };
        let Some(file) = Snapshot::files(self.repo, head, &[&path.to_owned()])?.pop() else {
            return Ok(None);
        };
        let text = contents::text(file.content)?.text;
        Ok(Some((file.language()?, String::from_utf8_lossy(&text).into_owned())))
    }

    /// Applies the patch of a file; its path where the file is not one of source.
    fn apply(&mut self, patch: &FilePatch<'_>) -> Result<Option<String>, Error> {
        let (from, to) = match &patch.operation {
            Operation::Create(path) => (None, Some(path)),
            Operation::Delete(path) => (Some(path), None),
            Operation::Modify(path) => (Some(path), Some(path)),
            Operation::Rename { from, to } | Operation::Copy { from, to } => (Some(from), Some(to)),
        };
        let shown = to.or(from).map(String::as_str).unwrap_or_default();
        let old = match from {
            Some(from) => match self.read(from)? {
                Some(old) => Some(old),
                // Of files that are no source nothing is kept.
                None if Language::from_path(from).is_none() => return Ok(Some(shown.to_owned())),
                None => {
                    let error = PatchError::Fit(format!("there is no file \"{from}\""));
                    return Err(refused(&error, Some(shown)));
                }
            },
            None => None,
        };
        let Some(to) = to else {
            self.files.insert(shown.to_owned(), None);
            return Ok(None);
        };
        ingest::check_path(to)?;
        if from != Some(to) && self.read(to)?.is_some() {
            let error = PatchError::Fit("there is a file of that name already".into());
            return Err(refused(&error, Some(to)));
        }
        let text = old.as_ref().map_or("", |(_, text)| text.as_str());
        let text = match patch.apply(text) {
            Ok(text) => text,
            Err(PatchError::Binary) => return Ok(Some(to.clone())),
            Err(error) => return Err(refused(&error, Some(to))),
        };
        if let Operation::Rename { from, .. } = &patch.operation {
            self.files.insert(from.clone(), None);
        }
        // A file keeps the language it was given unless it gets another name.
        let same = old.filter(|_| from == Some(to)).map(|(language, _)| language);
        match same.or_else(|| Language::from_path(to)) {
            Some(language) => {
                self.files.insert(to.clone(), Some((language, text)));
                Ok(None)
            }
            None => Ok(Some(to.clone())),
        }
    }
}

fn run(
    name: &str,
    text: &str,
    about: About,
) -> Result<(Option<i32>, i32, i32, Vec<String>), Error> {
    ingest::require_utf8()?;
    let patches = patch::parse(text).map_err(|error| refused(&error, None))?;
    client::wait_for_start();
    let repo = ingest::rows::repo(name, None)?;
    let branch = about.branch.clone();
    let head = match branch {
        Some(branch) => branches::all(repo)?.remove(&branch).map(|branch| branch.commit),
        None => at::head(repo).ok(),
    };
    let mut patched = Patched { repo, head, files: BTreeMap::new() };
    let mut skipped = BTreeSet::new();
    for patch in &patches {
        skipped.extend(patched.apply(patch)?);
    }
    let (mut files, mut gone) = (Vec::new(), Vec::new());
    for (path, file) in patched.files {
        match file {
            Some((language, text)) => files.push(Text { path, language, text: text.into_bytes() }),
            None => gone.push(path),
        }
    }
    let changed = files.len() as i32;
    let applied = apply::apply(repo, name, about, &[], files, &gone)?;
    skipped.extend(applied.skipped.into_iter().map(|(path, _)| path));
    Ok((applied.commit, changed, gone.len() as i32, skipped.into_iter().collect()))
}
