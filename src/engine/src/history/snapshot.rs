//! The source files of a commit, as a tree that commits share: a commit costs the directories on the way to
//! what it changes.

use std::cmp::Ordering;
use std::sync::Arc;

use gix_hash::ObjectId;
use onyx_protocol::facts::{FileFacts, Language};
use onyx_protocol::history::Reference;
use onyx_protocol::{ErrorKind, WireError};

/// A content, with what it takes to compress the ones that follow it.
#[derive(Debug)]
pub(super) struct Content {
    /// The client's id, or the walk's.
    pub(super) reference: Reference,
    /// Its place in its chain of deltas; `None` when nothing may follow it.
    pub(super) number: Option<u32>,
    /// What it is a delta against; `None` too when that is not known.
    pub(super) base: Option<Arc<Content>>,
    pub(super) blob: ObjectId,
    pub(super) language: Language,
    /// What another parser version found in it, where the client has it from that.
    pub(super) facts: Option<Arc<FileFacts>>,
}

impl Content {
    /// The place in the chain of one that follows this one.
    pub(super) fn number_of_next(&self) -> u32 {
        self.number.and_then(|number| number.checked_add(1)).unwrap_or(0)
    }

    /// The content that one following this one is to be a delta against, as far as it is known.
    pub(super) fn base_of_next(self: &Arc<Self>) -> Option<Arc<Self>> {
        let wanted = onyx_content::base_number(self.number_of_next())?;
        let mut at = Some(self);
        while let Some(content) = at {
            match content.number?.cmp(&wanted) {
                Ordering::Equal => return Some(Arc::clone(content)),
                Ordering::Less => return None,
                Ordering::Greater => at = content.base.as_ref(),
            }
        }
        None
    }
}

/// Definitions that another parser version found in a file, as a client sends them.
pub(super) fn stored_facts(
    path: &str,
    facts: Option<&[u8]>,
) -> Result<Option<Arc<FileFacts>>, WireError> {
    let decoded = facts.map(onyx_protocol::stored_facts::decode).transpose();
    decoded.map(|facts| facts.map(Arc::new)).map_err(|error| {
        let message = format!("the definitions of \"{path}\" cannot be read");
        WireError::new(ErrorKind::InvalidRequest, message).detail(error.to_string())
    })
}

/// A source file of a commit.
#[derive(Debug)]
pub(super) struct File {
    pub(super) content: Arc<Content>,
    /// Its nodes: its own, then its definitions' by number.
    pub(super) nodes: Box<[Reference]>,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory(Arc<Directory>),
    File(Arc<File>),
}

/// Entries in order of their names.
#[derive(Debug, Clone, Default)]
struct Directory(Vec<(Box<str>, Entry)>);

/// All source files of a commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot(Arc<Directory>);

impl Directory {
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }

    fn get(&self, name: &str) -> Option<&Entry> {
        self.find(name).ok().map(|at| &self.0[at].1)
    }
}

impl Snapshot {
    /// The file at a path.
    pub(super) fn get(&self, path: &str) -> Option<&Arc<File>> {
        let mut directory = &self.0;
        let mut rest = path;
        while let Some((name, below)) = rest.split_once('/') {
            let Entry::Directory(inner) = directory.get(name)? else { return None };
            (directory, rest) = (inner, below);
        }
        match directory.get(rest)? {
            Entry::File(file) => Some(file),
            Entry::Directory(_) => None,
        }
    }

    /// Puts a file at a path, in place of what stands there.
    pub(super) fn insert(&mut self, path: &str, file: Arc<File>) {
        let mut directory = Arc::make_mut(&mut self.0);
        let mut rest = path;
        while let Some((name, below)) = rest.split_once('/') {
            let at = directory.find(name).unwrap_or_else(|at| {
                directory.0.insert(at, (name.into(), Entry::Directory(Arc::default())));
                at
            });
            let entry = &mut directory.0[at].1;
            if let Entry::File(_) = entry {
                *entry = Entry::Directory(Arc::default());
            }
            let Entry::Directory(inner) = entry else { return };
            (directory, rest) = (Arc::make_mut(inner), below);
        }
        match directory.find(rest) {
            Ok(at) => directory.0[at].1 = Entry::File(file),
            Err(at) => directory.0.insert(at, (rest.into(), Entry::File(file))),
        }
    }

    /// Takes a file away, and the directories that are empty without it.
    pub(super) fn remove(&mut self, path: &str) {
        if self.get(path).is_some() {
            remove(Arc::make_mut(&mut self.0), path);
        }
    }

    /// Calls `give` with each file that is not the same object in `other` at the same path.
    pub(super) fn differing(&self, other: &Self, give: &mut dyn FnMut(&Arc<File>)) {
        differing(&self.0, Some(&other.0), give);
    }

    /// Calls `give` with each file.
    #[cfg(test)]
    pub(super) fn each(&self, give: &mut dyn FnMut(&Arc<File>)) {
        differing(&self.0, None, give);
    }
}

fn remove(directory: &mut Directory, path: &str) {
    let (name, below) = match path.split_once('/') {
        Some((name, below)) => (name, Some(below)),
        None => (path, None),
    };
    let Ok(at) = directory.find(name) else { return };
    let is_empty = match (&mut directory.0[at].1, below) {
        (Entry::Directory(inner), Some(below)) => {
            let inner = Arc::make_mut(inner);
            remove(inner, below);
            inner.0.is_empty()
        }
        (Entry::File(_), None) => true,
        _ => false,
    };
    if is_empty {
        directory.0.remove(at);
    }
}

fn differing(one: &Directory, other: Option<&Directory>, give: &mut dyn FnMut(&Arc<File>)) {
    for (name, entry) in &one.0 {
        match (entry, other.and_then(|other| other.get(name))) {
            (Entry::File(a), Some(Entry::File(b))) if Arc::ptr_eq(a, b) => {}
            (Entry::File(file), _) => give(file),
            (Entry::Directory(a), Some(Entry::Directory(b))) => {
                if !Arc::ptr_eq(a, b) {
                    differing(a, Some(b), give);
                }
            }
            (Entry::Directory(directory), _) => differing(directory, None, give),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(number: u32, base: Option<Arc<Content>>) -> Arc<Content> {
        let blob = ObjectId::null(gix_hash::Kind::Sha1);
        let reference = number.into();
        let (number, language) = (Some(number), Language::Rust);
        Arc::new(Content { reference, number, base, blob, language, facts: None })
    }

    fn file(number: u32) -> Arc<File> {
        Arc::new(File { content: content(number, None), nodes: Box::new([]) })
    }

    fn all(snapshot: &Snapshot) -> Vec<u32> {
        let mut all = Vec::new();
        snapshot.each(&mut |file| all.push(file.content.number.unwrap()));
        all
    }

    #[test]
    fn files_come_and_go() {
        let mut one = Snapshot::default();
        for (number, path) in ["b/c/d", "a", "b/c/e", "b/f"].into_iter().enumerate() {
            one.insert(path, file(number as u32));
        }
        let two = one.clone();
        one.remove("b/c/d");
        one.remove("b/c/e");
        one.remove("b/none");
        one.insert("b/f", file(9));
        assert_eq!((all(&one), all(&two)), (vec![1, 9], vec![1, 0, 2, 3]));
        assert!(one.get("b/c").is_none() && one.get("b/f").is_some() && one.get("b/f/x").is_none());
        let mut differ = Vec::new();
        two.differing(&one, &mut |file| differ.push(file.content.number.unwrap()));
        assert_eq!(differ, [0, 2, 3]);
        // A directory takes the place of a file, and a file that of a directory.
        one.insert("a/x", file(10));
        one.insert("b", file(11));
        assert_eq!(all(&one), [10, 11]);
    }

    #[test]
    fn bases_are_found_along_the_chain() {
        let mut last = content(0, None);
        for number in 1..200 {
            let base = last.base_of_next();
            let found = base.as_ref().and_then(|base| base.number);
            assert_eq!(found, onyx_content::base_number(number), "{number}");
            last = content(number, base);
        }
        // One that came from the client knows none further back.
        assert_eq!(content(6, None).base_of_next().unwrap().number, Some(6));
        assert!(content(7, None).base_of_next().is_none());
    }
}
