//! Branches, tags and `HEAD`.

use std::fs;

use gix_hash::ObjectId;
use gix_object::Kind;
use gix_ref::{Target, file};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use onyx_protocol::{ErrorKind, WireError};

use super::object;
use super::repository::{Objects, Repository};

/// Tags of tags, or symbolic references, that are followed.
const MAX_STEPS: usize = 10;

/// A name and the commit it is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) commit: ObjectId,
}

/// Names of commits in a repository.
#[derive(Default)]
pub(super) struct Names {
    /// Those that match the globs.
    pub(super) branches: Vec<Named>,
    pub(super) tags: Vec<Named>,
    /// Which of the branches stands for the repository.
    pub(super) default_branch: Option<String>,
    /// What was left out.
    pub(super) notes: Vec<String>,
}

enum Head {
    Branch(String),
    Detached(ObjectId),
    Unknown,
}

fn head(repository: &Repository) -> Head {
    let Ok(content) = fs::read(repository.git_dir.join("HEAD")) else { return Head::Unknown };
    let content = content.trim_ascii();
    if let Some(name) = content.strip_prefix(b"ref:") {
        let name = name.trim_ascii();
        let name = name.strip_prefix(b"refs/heads/").unwrap_or(name);
        return Head::Branch(String::from_utf8_lossy(name).into_owned());
    }
    ObjectId::from_hex(content).map_or(Head::Unknown, Head::Detached)
}

/// Globs of branch names; `*` matches slashes, too, as in `git branch --list`.
fn globs(globs: &[String]) -> Result<Option<GlobSet>, WireError> {
    if globs.is_empty() {
        return Ok(None);
    }
    let refuse = |glob: &str, error: &globset::Error| {
        WireError::new(ErrorKind::InvalidRequest, format!("invalid glob \"{glob}\""))
            .detail(format!("The glob cannot be read: {}.", error.kind()))
            .hint("Globs of branches are written like \"main\", \"release/*\" or \"v[0-9]*\".")
    };
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let built = GlobBuilder::new(glob).build();
        set.add(built.map_err(|error| refuse(glob, &error))?);
    }
    set.build().map(Some).map_err(|error| refuse(&globs.join(", "), &error))
}

/// Follows tags to a commit.
fn peel(
    repository: &Repository,
    objects: &mut Objects,
    mut id: ObjectId,
) -> Result<Option<ObjectId>, WireError> {
    for _ in 0..MAX_STEPS {
        match repository.find(objects, &id)? {
            Some((Kind::Commit, _)) => return Ok(Some(id)),
            Some((Kind::Tag, tag)) => match object::tagged(tag) {
                Some(tagged) => id = tagged,
                None => return Ok(None),
            },
            _ => return Ok(None),
        }
    }
    Ok(None)
}

struct Reader<'a> {
    repository: &'a Repository,
    store: file::Store,
    objects: Objects,
}

impl Reader<'_> {
    fn unreadable(&self, error: &dyn std::fmt::Display) -> WireError {
        let message = format!("could not read the references of \"{}\"", self.repository.path);
        WireError::new(ErrorKind::WrongObject, message)
            .detail(format!("{error}."))
            .hint("Run git fsck in it.")
    }

    /// References below a prefix that are at commits, by name, and how many others there are.
    fn below(&mut self, prefix: &str) -> Result<(Vec<Named>, usize), WireError> {
        let platform = self.store.iter().map_err(|error| self.unreadable(&error))?;
        let relative =
            prefix.try_into().map_err(|error: gix_error::Error| self.unreadable(&error))?;
        let iter = platform.prefixed(relative).map_err(|error| self.unreadable(&error))?;
        let (mut named, mut others) = (Vec::new(), 0);
        for reference in iter {
            let commit = match reference {
                Ok(reference) => {
                    let name = reference.name.as_bstr();
                    let name = name.strip_prefix(prefix.as_bytes()).unwrap_or(name);
                    let name = String::from_utf8_lossy(name).replace('\0', "\u{fffd}");
                    let id = follow(&self.store, reference.target);
                    let commit = match id {
                        Some(id) => peel(self.repository, &mut self.objects, id)?,
                        None => None,
                    };
                    commit.map(|commit| Named { name, commit })
                }
                // One that is broken does not hide the others.
                Err(_) => None,
            };
            match commit {
                Some(commit) => named.push(commit),
                None => others += 1,
            }
        }
        named.sort_by(|a, b| a.name.cmp(&b.name));
        named.dedup_by(|a, b| a.name == b.name);
        Ok((named, others))
    }
}

/// Where a chain of symbolic references ends.
fn follow(store: &file::Store, mut target: Target) -> Option<ObjectId> {
    for _ in 0..MAX_STEPS {
        match target {
            Target::Object(id) => return Some(id),
            Target::Symbolic(name) => {
                target = store.try_find(name.as_ref().as_partial_name()).ok()??.target;
            }
        }
    }
    None
}

/// Reads the names of commits.
pub(super) fn read(repository: &Repository, wanted: &[String]) -> Result<Names, WireError> {
    let wanted = globs(wanted)?;
    let store = if repository.git_dir == repository.common_dir {
        file::Store::at(repository.git_dir.clone(), repository.hash)
    } else {
        let (git_dir, common_dir) = (repository.git_dir.clone(), repository.common_dir.clone());
        file::Store::for_linked_worktree(git_dir, common_dir, repository.hash)
    };
    let mut reader = Reader { repository, store, objects: repository.tree_objects() };
    let (mut branches, broken_branches) = reader.below("refs/heads/")?;
    let (tags, other_tags) = reader.below("refs/tags/")?;
    let mut notes = Vec::new();
    if broken_branches > 0 {
        notes.push(format!("{broken_branches} branches are not at commits"));
    }
    if other_tags > 0 {
        notes.push(format!("{other_tags} tags are not of commits"));
    }
    let head = head(repository);
    if branches.is_empty() {
        let (remote, _) = reader.below("refs/remotes/")?;
        if !remote.is_empty() {
            let count = remote.len();
            notes.push(format!(
                "{count} remote-tracking branches are not read: only local ones are"
            ));
        }
        // What a build server checks out: the commit is all there is.
        if let Head::Detached(id) = head
            && let Some(commit) = peel(repository, &mut reader.objects, id)?
        {
            branches.push(Named { name: "HEAD".into(), commit });
            notes.push("there is no branch: the commit that is checked out is read as HEAD".into());
        }
    }
    if let Some(wanted) = wanted {
        branches.retain(|branch| wanted.is_match(&branch.name));
    }
    let has = |name: &str| branches.iter().any(|branch| branch.name == name);
    let default_branch =
        match head {
            Head::Branch(name) if has(&name) => Some(name),
            _ => ["main", "master"].into_iter().find(|name| has(name)).map(str::to_owned).or_else(
                || match branches.as_slice() {
                    [only] => Some(only.name.clone()),
                    _ => None,
                },
            ),
        };
    Ok(Names { branches, tags, default_branch, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_like_gits() {
        let set = globs(&["main".into(), "release/*".into()]).unwrap().unwrap();
        assert!(
            set.is_match("main") && set.is_match("release/1/x") && !set.is_match("feature/main")
        );
        assert!(globs(&[]).unwrap().is_none());
        let error = globs(&["a[".into()]).err().unwrap();
        assert_eq!(error.message, "invalid glob \"a[\"");
        assert!(!error.detail.is_empty() && !error.hint.is_empty());
    }
}
