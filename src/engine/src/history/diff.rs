//! What a commit changes of source files: two trees compared, directories that are the same never read.
//!
//! A path is source for the same reasons as in a walk of a directory (`walk`): its name has a known
//! language, no part of it is hidden, it is UTF-8. Ignore files are the exception: they say what may enter
//! a repository, and what is in one has entered; a directory walk leaves out tracked files that an ignore
//! file names, history does not.

use std::cmp::Ordering;

use gix_hash::ObjectId;
use gix_object::tree::{EntryKind, EntryMode, name_order};
use gix_object::{Kind, TreeRefIter};
use onyx_protocol::facts::Language;
use onyx_protocol::ingest::{Notice, SkipReason};
use onyx_protocol::{ErrorKind, WireError};

use super::repository::{Objects, Repository};

/// Longest path, in bytes, as operating systems have it.
const MAX_PATH_BYTES: usize = 4_096;
/// Most paths of one commit: a tree can name itself many times over and so be larger than any disk.
const MAX_CHANGES: usize = 4_000_000;

/// A source file that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) language: Language,
    /// The blob before, if there was one.
    pub(super) old: Option<ObjectId>,
    /// The blob now, if there is one.
    pub(super) new: Option<ObjectId>,
}

/// All differences.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// In order of their paths.
    pub(super) files: Vec<Change>,
    /// What is there now and is left out, or what was left out and changed.
    pub(super) notices: Vec<(String, Notice)>,
}

struct Entry {
    name: Vec<u8>,
    mode: EntryMode,
    id: ObjectId,
}

/// A pair of directories to compare.
struct Pair {
    /// With a slash behind it; empty for the root.
    prefix: String,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
}

struct Differ<'a> {
    repository: &'a Repository,
    objects: &'a mut Objects,
    open: Vec<Pair>,
    changes: Changes,
}

/// Compares two trees; of `None` nothing is there.
pub(super) fn diff(
    repository: &Repository,
    objects: &mut Objects,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
    cancelled: &dyn Fn() -> bool,
) -> Result<Changes, WireError> {
    let open = vec![Pair { prefix: String::new(), old, new }];
    let mut differ = Differ { repository, objects, open, changes: Changes::default() };
    while let Some(pair) = differ.open.pop() {
        if cancelled() {
            return Err(WireError::new(ErrorKind::Canceled, "reading the history was canceled"));
        }
        differ.compare(&pair)?;
        let found = differ.changes.files.len() + differ.changes.notices.len() + differ.open.len();
        if found > MAX_CHANGES {
            let message = format!("a commit of \"{}\" changes too many files", repository.path);
            return Err(WireError::new(ErrorKind::ResourceExhausted, message)
                .detail(format!("More than {MAX_CHANGES} paths differ from its first parent.")));
        }
    }
    differ.changes.files.sort_by(|a, b| a.path.cmp(&b.path));
    differ.changes.notices.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(differ.changes)
}

impl Differ<'_> {
    fn entries(&mut self, tree: Option<ObjectId>) -> Result<Vec<Entry>, WireError> {
        let Some(id) = tree else { return Ok(Vec::new()) };
        let bytes = self.repository.read(self.objects, &id, Kind::Tree)?;
        let mut entries = Vec::new();
        for entry in TreeRefIter::from_bytes(bytes, id.kind()) {
            let entry = entry.map_err(|error| {
                let message =
                    format!("could not read tree {id} of repository \"{}\"", self.repository.path);
                WireError::new(ErrorKind::WrongObject, message)
                    .detail(format!("{error}."))
                    .hint("Run git fsck in it.")
            })?;
            // As in a walk of a directory.
            if entry.filename.first() != Some(&b'.') {
                let name = entry.filename.to_vec();
                entries.push(Entry { name, mode: entry.mode, id: entry.oid.to_owned() });
            }
        }
        Ok(entries)
    }

    fn compare(&mut self, pair: &Pair) -> Result<(), WireError> {
        let old = self.entries(pair.old)?;
        let new = self.entries(pair.new)?;
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => {
                    name_order(&a.name, a.mode.is_tree(), &b.name, b.mode.is_tree())
                }
            };
            let before = if order.is_le() { old.next() } else { None };
            let now = if order.is_ge() { new.next() } else { None };
            self.entry(&pair.prefix, before, now);
        }
    }

    /// Compares two entries of one name and, for what is a directory, kind.
    fn entry(&mut self, prefix: &str, old: Option<&Entry>, new: Option<&Entry>) {
        if let (Some(old), Some(new)) = (old, new)
            && old.id == new.id
            && old.mode.kind() == new.mode.kind()
        {
            return;
        }
        let Some(name) = new.or(old).map(|entry| &entry.name) else { return };
        let path = format!("{prefix}{}", String::from_utf8_lossy(name));
        let language = Language::from_path(&path);
        let is_tree = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.mode.is_tree());
        let is_directory = is_tree(old) || is_tree(new);
        if std::str::from_utf8(name).is_err() || path.len() > MAX_PATH_BYTES || name.contains(&0) {
            if new.is_some() && (is_directory || language.is_some()) {
                let detail =
                    if path.len() > MAX_PATH_BYTES { "too long" } else { "not valid UTF-8" };
                self.skip(path, SkipReason::BadPath, detail);
            }
            return;
        }
        if is_directory {
            let tree = |entry: Option<&Entry>| entry.map(|entry| entry.id);
            self.open.push(Pair { prefix: path + "/", old: tree(old), new: tree(new) });
            return;
        }
        if let Some(new) = new {
            match new.mode.kind() {
                EntryKind::Commit => {
                    let detail = format!("a submodule at {}, which is not followed", new.id);
                    self.skip(path.clone(), SkipReason::Submodule, &detail);
                }
                EntryKind::Link if language.is_some() => {
                    let detail = "a symbolic link, which is not followed";
                    self.skip(path.clone(), SkipReason::NotRegular, detail);
                }
                _ => {}
            }
        }
        let Some(language) = language else { return };
        let (old, new) = (old.and_then(blob), new.and_then(blob));
        if old != new {
            self.changes.files.push(Change { path, language, old, new });
        }
    }

    fn skip(&mut self, path: String, reason: SkipReason, detail: &str) {
        let path = path.replace('\0', "\u{fffd}");
        self.changes.notices.push((path, Notice { reason, detail: detail.to_owned(), line: 0 }));
    }
}

fn blob(entry: &Entry) -> Option<ObjectId> {
    matches!(entry.mode.kind(), EntryKind::Blob | EntryKind::BlobExecutable).then_some(entry.id)
}

/// The source files of a tree.
pub(super) fn files(
    repository: &Repository,
    objects: &mut Objects,
    tree: Option<ObjectId>,
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Change>, WireError> {
    diff(repository, objects, None, tree, cancelled).map(|all| all.files)
}
