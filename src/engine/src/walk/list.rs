//! Which paths of a tree concern a walk, in order.

use onyx_protocol::{
    facts::Language,
    ingest::{Notice, SkipReason},
};
use rustix::fs::FileType;

use super::{
    filter::{Filter, Rules},
    tree::{Entry, Link, Tree, not_regular, notice},
};

/// Largest ignore file that is read, in bytes.
const MAX_RULES_BYTES: usize = 1 << 20;

/// A path that concerns the walk.
pub(super) enum Found {
    /// A file to read.
    File { path: String, language: Language },
    /// Something to account for. `language` tells whether it is a file of a known one.
    Skip { path: String, notice: Notice, language: Option<Language> },
}

/// A directory that is being listed.
struct Level {
    /// Its path below the root with a `/` behind it; empty for the root.
    prefix: String,
    rules: Rules,
    /// What is still to be looked at, in order.
    entries: std::vec::IntoIter<Entry>,
}

/// Finds everything below the root, sorted by path, until `stopped`, or `give` answers false.
pub(super) fn list(
    tree: &Tree,
    filter: &Filter,
    stopped: &dyn Fn() -> bool,
    give: &mut dyn FnMut(Found) -> bool,
) {
    let mut lister = Lister { tree, filter, give, levels: Vec::new() };
    let mut going = lister.enter(String::new());
    while going && !stopped() {
        let Some(level) = lister.levels.last_mut() else { return };
        going = match level.entries.next() {
            Some(entry) => lister.look_at(&entry),
            None => {
                lister.levels.pop();
                true
            }
        };
    }
}

struct Lister<'a> {
    tree: &'a Tree,
    filter: &'a Filter,
    give: &'a mut dyn FnMut(Found) -> bool,
    levels: Vec<Level>,
}

impl Lister<'_> {
    fn skip(&mut self, path: String, notice: Notice) -> bool {
        let language = Language::from_path(&path);
        (self.give)(Found::Skip { path, notice, language })
    }

    /// Begins a directory. Its entries are read at once, so that no depth of the tree runs out of
    /// file descriptors.
    fn enter(&mut self, path: String) -> bool {
        let mut entries = match self.tree.entries(path.as_bytes()) {
            Ok(entries) => entries,
            Err(notice) => {
                let notice = Notice { detail: format!("directory: {}", notice.detail), ..notice };
                return (self.give)(Found::Skip { path, notice, language: None });
            }
        };
        // What is below a directory sorts as if its name ended in a slash: "a-b", "a.py", "a/b".
        entries.sort_by(|a, b| {
            let key = |entry: &Entry| (entry.kind == FileType::Directory).then_some(b'/');
            a.name.iter().copied().chain(key(a)).cmp(b.name.iter().copied().chain(key(b)))
        });
        let mut rules = Rules::default();
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        for file in Rules::FILES {
            if !entries.iter().any(|entry| entry.name == file.as_bytes()) {
                continue;
            }
            let rules_path = format!("{prefix}{file}");
            let mut content = Vec::new();
            match self.tree.read(rules_path.as_bytes(), MAX_RULES_BYTES, &mut content) {
                Ok(()) => rules.add(file, &format!("/{path}"), &content),
                Err(notice) if notice.reason == SkipReason::Vanished => {}
                // The walk goes on without them, and says so.
                Err(notice) => {
                    if !self.skip(rules_path, notice) {
                        return false;
                    }
                }
            }
        }
        self.levels.push(Level { prefix, rules, entries: entries.into_iter() });
        true
    }

    fn look_at(&mut self, entry: &Entry) -> bool {
        if entry.name.starts_with(b".") {
            return true;
        }
        let prefix = self.levels.last().map_or("", |level| level.prefix.as_str());
        let name = String::from_utf8_lossy(&entry.name);
        let path = format!("{prefix}{name}");
        let rooted = format!("/{path}");
        let is_directory = entry.kind == FileType::Directory;
        let rules = self.levels.iter().map(|level| &level.rules);
        if self.filter.excludes(&rooted, is_directory)
            || Rules::ignore(rules, &rooted, is_directory)
        {
            return true;
        }
        let language = Language::from_path(&path);
        let wanted = language.is_some() && self.filter.includes(&rooted);
        if std::str::from_utf8(&entry.name).is_err() {
            // Nothing below such a directory can be named.
            return !(is_directory || wanted)
                || self.skip(path, notice(SkipReason::BadPath, "not valid UTF-8"));
        }
        match (entry.kind, language) {
            (FileType::Directory, _) => self.enter(path),
            (FileType::Symlink, _) => self.look_at_link(path, wanted),
            (FileType::RegularFile, Some(language)) if wanted => {
                (self.give)(Found::File { path, language })
            }
            (kind, _) if wanted => self.skip(path, not_regular(kind)),
            _ => true,
        }
    }

    fn look_at_link(&mut self, path: String, wanted: bool) -> bool {
        match self.tree.link(path.as_bytes()) {
            Link::Loop => {
                let detail = "a symbolic link that leads back into the path to itself";
                self.skip(path, notice(SkipReason::SymlinkLoop, detail))
            }
            Link::Elsewhere if !wanted => true,
            _ => self.skip(path, not_regular(FileType::Symlink)),
        }
    }
}
