//! Patches of several files, as `git diff` and `diff -u` write them.

use diffy::patch_set::{FileOperation, FilePatch as Inner, ParseOptions, PatchSet};
use thiserror::Error;

/// Why a patch cannot be read or applied.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PatchError {
    /// It is not a unified diff.
    #[error("{0}")]
    Syntax(String),
    /// It changes a binary file.
    #[error("it changes a binary file")]
    Binary,
    /// A part of it does not fit the text.
    #[error("{0}")]
    Fit(String),
}

/// What a patch does to a file, paths without the `a/` and `b/` of git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A new file.
    Create(String),
    /// It goes.
    Delete(String),
    /// Its text changes.
    Modify(String),
    /// Another path, and perhaps another text.
    Rename {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// A second file that begins as a copy.
    Copy {
        /// Of which.
        from: String,
        /// Where.
        to: String,
    },
}

/// The patch of a file.
pub struct FilePatch<'a> {
    /// What it does.
    pub operation: Operation,
    inner: Inner<'a, str>,
}

impl FilePatch<'_> {
    /// The text after it.
    pub fn apply(&self, text: &str) -> Result<String, PatchError> {
        let patch = self.inner.patch().as_text().ok_or(PatchError::Binary)?;
        diffy::apply(text, patch).map_err(|error| PatchError::Fit(error.to_string()))
    }
}

/// Paths of git begin with `a/` and `b/`.
fn stripped(path: &str, side: &str) -> Option<String> {
    path.strip_prefix(side).map(str::to_owned)
}

fn operation(operation: &FileOperation<'_, str>) -> Operation {
    match operation {
        FileOperation::Create(path) => {
            Operation::Create(stripped(path, "b/").unwrap_or_else(|| path.to_string()))
        }
        FileOperation::Delete(path) => {
            Operation::Delete(stripped(path, "a/").unwrap_or_else(|| path.to_string()))
        }
        FileOperation::Modify { original, modified } => {
            match (stripped(original, "a/"), stripped(modified, "b/")) {
                (Some(from), Some(to)) if from == to => Operation::Modify(to),
                (Some(from), Some(to)) => Operation::Rename { from, to },
                _ if original == modified => Operation::Modify(modified.to_string()),
                _ => Operation::Rename { from: original.to_string(), to: modified.to_string() },
            }
        }
        // In `rename from` and `copy from` git writes no prefix.
        FileOperation::Rename { from, to } => {
            Operation::Rename { from: from.to_string(), to: to.to_string() }
        }
        FileOperation::Copy { from, to } => {
            Operation::Copy { from: from.to_string(), to: to.to_string() }
        }
    }
}

/// The files of a patch.
pub fn parse(text: &str) -> Result<Vec<FilePatch<'_>>, PatchError> {
    let is_git = text.lines().any(|line| line.starts_with("diff --git "));
    let options = if is_git { ParseOptions::gitdiff() } else { ParseOptions::unidiff() };
    let patches = PatchSet::parse(text, options).map(|patch| {
        let inner = patch.map_err(|error| PatchError::Syntax(error.to_string()))?;
        Ok(FilePatch { operation: operation(inner.operation()), inner })
    });
    patches.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIT: &str = "diff --git a/one.py b/one.py\nindex 1..2 100644\n--- a/one.py\n+++ b/one.py\n@@ -1,2 +1,2 @@\n a\n-b\n+B\ndiff --git a/old.py b/dir/new.py\nsimilarity index 100%\nrename from old.py\nrename to dir/new.py\ndiff --git a/gone.py b/gone.py\ndeleted file mode 100644\n--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\ndiff --git a/made.py b/made.py\nnew file mode 100644\n--- /dev/null\n+++ b/made.py\n@@ -0,0 +1 @@\n+y\n";

    #[test]
    fn reads_what_git_writes() {
        let patches = parse(GIT).unwrap();
        let operations: Vec<&Operation> = patches.iter().map(|patch| &patch.operation).collect();
        assert_eq!(
            operations,
            [
                &Operation::Modify("one.py".into()),
                &Operation::Rename { from: "old.py".into(), to: "dir/new.py".into() },
                &Operation::Delete("gone.py".into()),
                &Operation::Create("made.py".into()),
            ]
        );
        assert_eq!(patches[0].apply("a\nb\n").unwrap(), "a\nB\n");
        assert_eq!(patches[1].apply("same\n").unwrap(), "same\n");
        assert_eq!(patches[3].apply("").unwrap(), "y\n");
        assert!(matches!(patches[0].apply("x\ny\n"), Err(PatchError::Fit(_))));
    }

    #[test]
    fn reads_plain_diffs() {
        let patches = parse("--- one.py\n+++ one.py\n@@ -1 +1 @@\n-a\n+b\n").unwrap();
        assert_eq!(patches[0].operation, Operation::Modify("one.py".into()));
        assert_eq!(patches[0].apply("a\n").unwrap(), "b\n");
        assert!(parse("nothing of the kind").is_err());
    }
}
