//! A repository on disk: finding its parts, its object database.
//!
//! Only files are read. No configuration is obeyed beyond the format's version, so nothing a repository
//! says can run a command or lead to a network, and whose it is does not matter. Replacements and grafts
//! are not applied: history is what the commits say.

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gix_hash::{Kind as HashKind, ObjectId, oid};
use gix_object::{Find, Kind};
use gix_odb::{HandleArc, Header, Store};
use gix_pack::cache::lru::MemoryCappedHashmap;
use gix_pack::cache::object::MemoryCappedHashmap as ObjectCache;
use onyx_protocol::{ErrorKind, WireError};

use super::source::{Blobs, Take};

/// Most bytes read of a file that should be small: `HEAD`, `config`, `commondir`.
const SMALL_BYTES: u64 = 1 << 20;
/// Most bytes read of the list of shallow commits.
const SHALLOW_BYTES: u64 = 256 << 20;
/// Bytes of delta bases kept in memory by each thread that reads.
const BASE_CACHE_BYTES: usize = 32 << 20;
/// Bytes of trees and commits kept by the thread that compares them.
const TREE_CACHE_BYTES: usize = 32 << 20;
/// No object is read that takes more memory.
const MAX_OBJECT_BYTES: usize = 512 << 20;

/// An open repository.
pub(super) struct Repository {
    /// As it was given, for messages.
    pub(super) path: String,
    /// Where `HEAD` is.
    pub(super) git_dir: PathBuf,
    /// Where refs and objects are; the same but for linked work trees.
    pub(super) common_dir: PathBuf,
    pub(super) hash: HashKind,
    /// Commits whose parents were left out.
    pub(super) shallow: HashSet<ObjectId>,
    /// Whether objects may have been left out on purpose.
    pub(super) is_partial: bool,
    store: Arc<Store>,
    /// Readers that are not in use, with the warm caches they have.
    readers: Mutex<Vec<Objects>>,
}

/// A reader of objects, for one thread at a time.
pub(super) struct Objects {
    handle: HandleArc,
    buffer: Vec<u8>,
}

fn words(error: &std::io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The first bytes of a file that should be small.
fn read_small(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    // A FIFO or device in its place could block or never end.
    if !file.metadata()?.is_file() {
        return Err(IoKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content)?;
    Ok(content)
}

/// A path that a file consists of, below `base` when it is not absolute.
fn path_in(file: &Path, prefix: &[u8], base: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let content = read_small(file, SMALL_BYTES).ok()?;
    let path = content.strip_prefix(prefix)?.trim_ascii();
    (!path.is_empty()).then(|| base.join(std::ffi::OsStr::from_bytes(path)))
}

fn is_git_dir(path: &Path) -> bool {
    let has_objects = |path: &Path| path.join("objects").is_dir();
    path.join("HEAD").symlink_metadata().is_ok()
        && (has_objects(path)
            || path_in(&path.join("commondir"), b"", path).is_some_and(|dir| has_objects(&dir)))
}

/// Where the repository of a path is: the path itself, or what its `.git` is or names.
fn find(path: &Path) -> Option<PathBuf> {
    let dot_git = path.join(".git");
    if dot_git.is_dir() && is_git_dir(&dot_git) {
        return Some(dot_git);
    }
    if let Some(named) = path_in(&dot_git, b"gitdir:", path) {
        return is_git_dir(&named).then_some(named);
    }
    is_git_dir(path).then(|| path.to_owned())
}

/// A value of a configuration's `[extensions]`, in lower case.
fn extension(config: &[u8], key: &str) -> Option<String> {
    let config = String::from_utf8_lossy(config);
    let mut inside = false;
    let mut found = None;
    for line in config.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let name = section.split(']').next().unwrap_or_default().trim();
            inside = name.eq_ignore_ascii_case("extensions");
        } else if let Some((name, value)) = line.split_once('=')
            && inside
            && name.trim().eq_ignore_ascii_case(key)
        {
            found = Some(value.trim().trim_matches('"').to_ascii_lowercase());
        }
    }
    found
}

impl Repository {
    /// Opens what stands at an absolute path: a bare repository, or a work tree with its `.git`.
    pub(super) fn open(path: &str) -> Result<Self, WireError> {
        let root = Path::new(path);
        if !root.is_absolute() {
            let message = format!("repository must be an absolute path, not \"{path}\"");
            return Err(WireError::new(ErrorKind::InvalidRequest, message)
                .hint("The path is that of a repository on the database server."));
        }
        let could_not = |error: &std::io::Error| {
            let kind = match error.kind() {
                IoKind::NotFound => ErrorKind::NotFound,
                IoKind::PermissionDenied => ErrorKind::PermissionDenied,
                IoKind::NotADirectory => ErrorKind::WrongObject,
                _ => ErrorKind::InvalidRequest,
            };
            let hint = match kind {
                ErrorKind::PermissionDenied => {
                    "The operating system user that runs the database server must be able to read it."
                }
                _ => "The path is that of a repository on the database server, not on the client.",
            };
            let message = format!("could not open repository \"{path}\": {}", words(error));
            WireError::new(kind, message).hint(hint)
        };
        fs::read_dir(root).map_err(|error| could_not(&error))?;
        let git_dir = find(root).ok_or_else(|| {
            WireError::new(ErrorKind::WrongObject, format!("\"{path}\" is not a git repository"))
                .hint("Give the path of a bare repository, or of a work tree with its .git.")
        })?;
        let common_dir =
            path_in(&git_dir.join("commondir"), b"", &git_dir).unwrap_or_else(|| git_dir.clone());
        let config = match read_small(&common_dir.join("config"), SMALL_BYTES) {
            Ok(config) => config,
            Err(error) if error.kind() == IoKind::NotFound => Vec::new(),
            Err(error) => return Err(could_not(&error)),
        };
        if extension(&config, "refstorage").is_some_and(|format| format != "files") {
            let message = format!("repository \"{path}\" keeps its references as reftable");
            return Err(WireError::new(ErrorKind::WrongObject, message)
                .detail("Only references in files can be read.")
                .hint("Run git refs migrate --ref-format=files in it, or clone it."));
        }
        let hash = match extension(&config, "objectformat").as_deref() {
            Some("sha256") => HashKind::Sha256,
            _ => HashKind::Sha1,
        };
        let options = gix_odb::store::init::Options {
            alloc_limit_bytes: Some(MAX_OBJECT_BYTES),
            // Whatever the process's own is: nothing of it matters to absolute paths.
            current_dir: Some(PathBuf::from("/")),
            ..Default::default()
        };
        let objects = common_dir.join("objects");
        let store = Store::at_opts(objects, hash, &mut std::iter::empty(), options)
            .map_err(|error| could_not(&error))?;
        let mut repository = Self {
            path: path.to_owned(),
            shallow: HashSet::new(),
            is_partial: false,
            git_dir,
            common_dir,
            hash,
            store: Arc::new(store),
            readers: Mutex::default(),
        };
        repository.shallow = repository.shallow_commits()?;
        repository.is_partial = repository.has_promisor();
        Ok(repository)
    }

    fn shallow_commits(&self) -> Result<HashSet<ObjectId>, WireError> {
        let list = match read_small(&self.common_dir.join("shallow"), SHALLOW_BYTES) {
            Ok(list) => list,
            Err(error) if error.kind() == IoKind::NotFound => return Ok(HashSet::new()),
            Err(error) => {
                return Err(self.unreadable("the list of shallow commits", &words(&error)));
            }
        };
        list.split(|&byte| byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .map(|line| {
                ObjectId::from_hex(line).map_err(|error| {
                    self.unreadable("the list of shallow commits", &error.to_string())
                })
            })
            .collect()
    }

    /// Whether a pack says that objects it names can be had from elsewhere.
    fn has_promisor(&self) -> bool {
        let Ok(entries) = fs::read_dir(self.common_dir.join("objects/pack")) else { return false };
        entries.flatten().any(|entry| entry.path().extension().is_some_and(|e| e == "promisor"))
    }

    fn unreadable(&self, what: &str, why: &str) -> WireError {
        let message = format!("could not read {what} of repository \"{}\"", self.path);
        WireError::new(ErrorKind::WrongObject, message)
            .detail(format!("{}.", why.trim_end_matches('.')))
            .hint("Run git fsck in it.")
    }

    /// Lends a reader to `work`.
    pub(super) fn with_objects<T>(&self, work: impl FnOnce(&mut Objects) -> T) -> T {
        let waiting = crate::history::lock(&self.readers).pop();
        let mut objects = waiting.unwrap_or_else(|| self.objects());
        let result = work(&mut objects);
        crate::history::lock(&self.readers).push(objects);
        result
    }

    fn objects(&self) -> Objects {
        let cache = || Box::new(MemoryCappedHashmap::new(BASE_CACHE_BYTES)) as Box<_>;
        let handle = self.store.to_cache_arc().with_pack_cache(cache);
        Objects { handle, buffer: Vec::new() }
    }

    /// A reader that keeps what it has read: neighbouring commits share most of their trees.
    pub(super) fn tree_objects(&self) -> Objects {
        let mut objects = self.objects();
        let cache = || Box::new(ObjectCache::new(TREE_CACHE_BYTES)) as Box<_>;
        objects.handle = objects.handle.with_object_cache(cache);
        objects
    }

    /// An object of a kind. Missing and damaged ones are errors.
    pub(super) fn read<'a>(
        &self,
        objects: &'a mut Objects,
        id: &oid,
        kind: Kind,
    ) -> Result<&'a [u8], WireError> {
        match self.find(objects, id)? {
            Some((found, bytes)) if found == kind => Ok(bytes),
            Some((found, _)) => {
                Err(self.unreadable(&format!("{kind} {id}"), &format!("It is a {found}")))
            }
            None => Err(self.missing(kind, id)),
        }
    }

    /// An object of any kind, if it is there.
    pub(super) fn find<'a>(
        &self,
        objects: &'a mut Objects,
        id: &oid,
    ) -> Result<Option<(Kind, &'a [u8])>, WireError> {
        let Objects { handle, buffer } = objects;
        let found = handle.try_find(id, buffer);
        let found =
            found.map_err(|error| self.unreadable(&format!("object {id}"), &error.to_string()))?;
        Ok(found.map(|data| (data.kind, data.data)))
    }

    /// The size of a blob, without reading it.
    pub(super) fn blob_size(&self, objects: &Objects, id: &oid) -> Result<u64, WireError> {
        let header = objects.handle.try_header(id);
        let header =
            header.map_err(|error| self.unreadable(&format!("blob {id}"), &error.to_string()))?;
        Ok(header.ok_or_else(|| self.missing(Kind::Blob, id))?.size())
    }

    fn missing(&self, kind: Kind, id: &oid) -> WireError {
        let error = WireError::new(
            ErrorKind::NotFound,
            format!("{kind} {id} is missing in repository \"{}\"", self.path),
        );
        if self.is_partial {
            error
                .detail("It is a partial clone: objects were left out when it was fetched.")
                .hint("Run git fetch --refetch --no-filter in it, or clone it whole.")
        } else {
            error
                .detail("The repository is incomplete.")
                .hint("Run git fsck in it, or fetch it again.")
        }
    }
}

impl Blobs for Repository {
    fn read(&self, id: &ObjectId, max_bytes: usize, take: Take<'_>) -> Result<(), WireError> {
        self.with_objects(|objects| {
            let size = self.blob_size(objects, id)?;
            if size > max_bytes as u64 {
                take(Err(size));
            } else {
                take(Ok(self.read(objects, id, Kind::Blob)?));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_extensions_only() {
        let config = b"[core]\n\tobjectformat = no\n[Extensions]\n\tObjectFormat = SHA256\n[x]\nrefstorage=a";
        assert_eq!(extension(config, "objectformat").as_deref(), Some("sha256"));
        assert_eq!(extension(config, "refstorage"), None);
    }

    #[test]
    fn says_what_is_no_repository() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let kind = |path: &str| Repository::open(path).err().unwrap().kind;
        assert_eq!(kind("relative"), ErrorKind::InvalidRequest);
        assert_eq!(kind(path), ErrorKind::WrongObject);
        assert_eq!(kind(&format!("{path}/none")), ErrorKind::NotFound);
        fs::write(directory.path().join(".git"), "gitdir: nowhere").unwrap();
        assert_eq!(kind(path), ErrorKind::WrongObject);
        assert_eq!(kind(&format!("{path}/.git")), ErrorKind::WrongObject);
    }
}
