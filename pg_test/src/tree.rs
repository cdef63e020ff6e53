//! Directories of source the server can read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cluster::base_directory;

/// A directory of its own, removed with everything in it at the end.
pub struct Tree {
    directory: tempfile::TempDir,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty one.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::Builder::new()
            .prefix("tree-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(base_directory())
            .expect("a temporary directory");
        Self { directory }
    }

    /// One with files.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let tree = Self::new();
        for (path, content) in files {
            tree.write(path, content);
        }
        tree
    }

    /// The absolute path of something in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Its own absolute path.
    pub fn root(&self) -> String {
        self.directory.path().display().to_string()
    }

    /// Writes a file, and makes the directories above it.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
        }
        fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Removes a file or a directory.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Renames a file or a directory.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn rename(&self, from: &str, to: &str) {
        let (from, to) = (self.path(from), self.path(to));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
        }
        fs::rename(&from, &to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    }

    /// Moves all of another tree below a path of this one.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn rename_in(&self, other: &Self, to: &str) {
        for path in other.files() {
            let content = fs::read(other.path(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
            self.write(&format!("{to}/{path}"), content);
            other.remove(&path);
        }
    }

    /// Paths of all its files, sorted.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn files(&self) -> Vec<String> {
        let root = self.directory.path();
        let (mut open, mut found) = (vec![root.to_path_buf()], Vec::new());
        while let Some(directory) = open.pop() {
            let entries = fs::read_dir(&directory);
            for entry in entries.unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else if let Ok(below) = path.strip_prefix(root) {
                    found.push(below.to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// Copies the files of another directory whose names end as given, up to a number of bytes.
    /// Returns how many files there are.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn copy_from(&self, source: &Path, endings: &[&str], max_bytes: u64) -> usize {
        let (mut files, mut bytes) = (0, 0);
        let mut open = vec![source.to_path_buf()];
        while let Some(directory) = open.pop() {
            let mut entries: Vec<_> = fs::read_dir(&directory)
                .unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
                .filter_map(Result::ok)
                .collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let (path, kind) = (entry.path(), entry.file_type().expect("a file's type"));
                let name = entry.file_name().to_string_lossy().into_owned();
                if kind.is_dir() {
                    open.push(path);
                } else if kind.is_file() && endings.iter().any(|e| name.ends_with(e)) {
                    let content = fs::read(&path).unwrap_or_default();
                    bytes += content.len() as u64;
                    if bytes > max_bytes {
                        return files;
                    }
                    let below = path.strip_prefix(source).expect("below the source");
                    self.write(&below.to_string_lossy(), content);
                    files += 1;
                }
            }
        }
        files
    }
}
