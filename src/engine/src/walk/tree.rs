//! Reading below a root: never through a symbolic link, never from what is not a regular file,
//! never more than a limit, never blocking on a FIFO.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use onyx_protocol::{
    ErrorKind, WireError,
    ingest::{Notice, SkipReason},
};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// An opened root.
pub(super) struct Tree {
    path: PathBuf,
    root: OwnedFd,
}

/// What stands in a directory.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: FileType,
}

impl Tree {
    /// Opens the root, which may itself be a symbolic link.
    pub(super) fn open(root: &str) -> Result<Self, WireError> {
        let path = Path::new(root);
        if !path.is_absolute() {
            let message = format!("directory must be an absolute path, not \"{root}\"");
            return Err(WireError::new(ErrorKind::InvalidRequest, message)
                .hint("The path is that of a directory on the database server."));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(CWD, path, flags, Mode::empty());
        let fd = opened.map_err(|errno| {
            let kind = match errno {
                Errno::NOENT => ErrorKind::NotFound,
                Errno::NOTDIR => ErrorKind::WrongObject,
                Errno::ACCESS | Errno::PERM => ErrorKind::PermissionDenied,
                _ => ErrorKind::InvalidRequest,
            };
            let hint = match kind {
                ErrorKind::PermissionDenied => {
                    "The operating system user that runs the database server must be able to read it."
                }
                _ => "The path is that of a directory on the database server, not on the client.",
            };
            let message = format!("could not open directory \"{root}\": {}", words(errno));
            WireError::new(kind, message).hint(hint)
        })?;
        Ok(Self { path: path.to_owned(), root: fd })
    }

    /// Opens what stands at `path` below the root, without following any symbolic link.
    fn below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        // The root itself has an empty path.
        let path = Path::new(OsStr::from_bytes(if path.is_empty() { b"." } else { path }));
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
            // Kernels before 5.6, and sandboxes that do not know the call: only the last part of
            // the path is guarded there.
            Err(Errno::NOSYS | Errno::PERM) => {
                rustix::fs::openat(&self.root, path, flags, Mode::empty())
            }
            result => result,
        }
    }

    /// Reads a regular file of at most `limit` bytes into `buffer`, which it empties first.
    pub(super) fn read(
        &self,
        path: &[u8],
        limit: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Notice> {
        buffer.clear();
        // NONBLOCK: a FIFO that took the file's place must not keep us waiting for a writer.
        let fd = self.below(path, OFlags::NONBLOCK).map_err(refused)?;
        let stat = rustix::fs::fstat(&fd).map_err(refused)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return Err(not_regular(kind));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > limit as u64 {
            let detail = format!("{size} bytes, more than {limit}");
            return Err(notice(SkipReason::TooLarge, detail));
        }
        // Its size is a hint only: it may grow while it is read, and is 0 in /proc.
        buffer.reserve(usize::try_from(size).unwrap_or(0) + 1);
        let mut file = File::from(fd).take(limit as u64 + 1);
        file.read_to_end(buffer).map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => refused(errno),
            None => notice(SkipReason::Io, error.to_string()),
        })?;
        if buffer.len() > limit {
            let detail = format!("more than {limit} bytes");
            return Err(notice(SkipReason::TooLarge, detail));
        }
        Ok(())
    }

    /// What stands in a directory, in no order.
    pub(super) fn entries(&self, path: &[u8]) -> Result<Vec<Entry>, Notice> {
        let fd = self.below(path, OFlags::DIRECTORY).map_err(refused)?;
        let mut entries = Vec::new();
        let mut directory = Dir::new(fd).map_err(refused)?;
        while let Some(entry) = directory.read() {
            let entry = entry.map_err(refused)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                // Some file systems do not say; what vanished meanwhile is found out later.
                let fd = directory.fd().map_err(refused)?;
                let stat = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW);
                kind = stat.map_or(FileType::RegularFile, |s| FileType::from_raw_mode(s.st_mode));
            }
            entries.push(Entry { name: name.to_bytes().to_vec(), kind });
        }
        Ok(entries)
    }

    /// Where a symbolic link leads.
    pub(super) fn link(&self, path: &[u8]) -> Link {
        let link = self.path.join(OsStr::from_bytes(path));
        let target = match std::fs::canonicalize(&link) {
            Ok(target) => target,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => return Link::Loop,
            Err(_) => return Link::Elsewhere,
        };
        let within = link.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
        match within {
            Some(parent) if parent.starts_with(&target) => Link::Loop,
            _ if target.is_dir() => Link::Directory,
            _ => Link::Elsewhere,
        }
    }
}

/// Where a symbolic link leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Back to itself, or to a directory it is in.
    Loop,
    /// To another directory.
    Directory,
    /// To a file, or to nothing.
    Elsewhere,
}

pub(super) fn notice(reason: SkipReason, detail: impl Into<String>) -> Notice {
    Notice { reason, detail: detail.into(), line: 0 }
}

/// Why something that is no regular file is left out.
pub(super) fn not_regular(kind: FileType) -> Notice {
    let what = match kind {
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link, which is not followed",
        _ => "not a regular file",
    };
    notice(SkipReason::NotRegular, what)
}

/// Why something could not be opened or read.
fn refused(errno: Errno) -> Notice {
    match errno {
        // NOTDIR: a directory on its path is now something else.
        Errno::NOENT | Errno::NOTDIR | Errno::STALE => notice(SkipReason::Vanished, words(errno)),
        Errno::ACCESS | Errno::PERM => notice(SkipReason::PermissionDenied, words(errno)),
        Errno::LOOP | Errno::XDEV => not_regular(FileType::Symlink),
        // A socket, or a device without a driver, cannot be opened at all.
        Errno::NXIO | Errno::NODEV => notice(SkipReason::NotRegular, words(errno)),
        _ => notice(SkipReason::Io, words(errno)),
    }
}

/// The operating system's words, without Rust's error number.
fn words(errno: Errno) -> String {
    let said = std::io::Error::from(errno).to_string();
    said.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_longer_than_it_said_is_too_large() {
        // Files of /proc say that they are empty, as a file does that then grows.
        let tree = Tree::open("/proc/self").unwrap();
        let mut buffer = Vec::new();
        let notice = tree.read(b"maps", 100, &mut buffer).unwrap_err();
        assert_eq!(notice.reason, SkipReason::TooLarge);
        assert_eq!(notice.detail, "more than 100 bytes");
        tree.read(b"maps", 1 << 20, &mut buffer).unwrap();
        assert!(buffer.len() > 100);
    }

    #[test]
    fn a_limit_is_the_largest_size_that_is_read() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), "12345").unwrap();
        let tree = Tree::open(directory.path().to_str().unwrap()).unwrap();
        let mut buffer = b"before".to_vec();
        tree.read(b"f", 5, &mut buffer).unwrap();
        assert_eq!(buffer, b"12345");
        let notice = tree.read(b"f", 4, &mut buffer).unwrap_err();
        assert_eq!(notice.detail, "5 bytes, more than 4");
        assert!(buffer.is_empty());
    }

    #[test]
    fn nothing_is_opened_through_a_link_or_outside() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("f"), "secret").unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("link")).unwrap();
        let tree = Tree::open(directory.path().to_str().unwrap()).unwrap();
        let mut buffer = Vec::new();
        let up = format!("../{}/f", outside.path().file_name().unwrap().display());
        for path in ["link/f", "link", up.as_str()] {
            let notice = tree.read(path.as_bytes(), 100, &mut buffer).unwrap_err();
            assert_eq!(notice.reason, SkipReason::NotRegular, "{path}");
            assert!(buffer.is_empty());
        }
        assert!(tree.entries(b"link").is_err());
    }
}
