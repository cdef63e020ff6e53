//! The files of one repository and the index over them.

use std::sync::Arc;

use onyx_protocol::codec::CodecError;

use super::keys::Map;
use super::workspace::{File, FileInput, MAX_FILES};

/// About how many bytes of memory a byte of an encoded interface takes, index included. Measured by
/// `tests/resolve_memory.rs` on packages of six languages: 7.4 to 9.5 were asked of the allocator.
const BYTES_A_BYTE: usize = 9;
/// The same of a file whatever is in it.
const BYTES_A_FILE: usize = 512;

/// A file, and what its last resolution looked up.
#[derive(Clone)]
struct Kept {
    file: Arc<File>,
    dependencies: Option<Arc<[u8]>>,
    bytes: usize,
}

/// All files of a repository.
#[derive(Clone)]
pub struct Space {
    repo: u64,
    files: Vec<Option<Kept>>,
    free: Vec<u32>,
    by_id: Map<i64, u32>,
    index: Map<u64, Vec<(u32, u32)>>,
    bytes: usize,
}

impl Space {
    /// An empty one of a repository.
    pub fn new(repo: u64) -> Self {
        Self {
            repo,
            files: Vec::new(),
            free: Vec::new(),
            by_id: Map::default(),
            index: Map::default(),
            bytes: 0,
        }
    }

    /// The repository.
    pub fn repo(&self) -> u64 {
        self.repo
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a file, in place of one with the same id. Err when its interface cannot be read or there
    /// are too many files.
    pub fn add(&mut self, input: &FileInput) -> Result<(), CodecError> {
        self.remove(input.id);
        let file = Arc::new(File::new(input)?);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.files.len() < MAX_FILES => {
                self.files.push(None);
                self.files.len() as u32 - 1
            }
            None => return Err(CodecError::Full),
        };
        for (key, number) in file.specials() {
            self.index.entry(key).or_default().push((slot, number));
        }
        self.by_id.insert(input.id, slot);
        let bytes = BYTES_A_FILE + BYTES_A_BYTE * input.interface.len();
        self.bytes += bytes;
        self.files[slot as usize] = Some(Kept { file, dependencies: None, bytes });
        Ok(())
    }

    /// Removes a file.
    pub fn remove(&mut self, id: i64) {
        let Some(slot) = self.by_id.remove(&id) else { return };
        let Some(kept) = self.files.get_mut(slot as usize).and_then(Option::take) else { return };
        self.bytes -= kept.bytes + kept.dependencies.map_or(0, |keys| keys.len());
        for (key, _) in kept.file.specials() {
            if let Some(items) = self.index.get_mut(&key) {
                items.retain(|&(other, _)| other != slot);
                if items.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
        self.free.push(slot);
    }

    /// Remembers what the resolution of a file looked up, as `encode_keys` gives it.
    pub fn set_dependencies(&mut self, id: i64, keys: &[u8]) {
        let kept = self.by_id.get(&id).and_then(|slot| self.files.get_mut(*slot as usize));
        if let Some(kept) = kept.and_then(Option::as_mut) {
            self.bytes -= kept.dependencies.as_ref().map_or(0, |keys| keys.len());
            self.bytes += keys.len();
            kept.dependencies = Some(keys.into());
        }
    }

    /// The files, with what their resolutions looked up; None: not resolved yet.
    pub fn dependencies(&self) -> impl Iterator<Item = (i64, Option<&[u8]>)> {
        let kept = self.files.iter().flatten();
        kept.map(|kept| (kept.file.id, kept.dependencies.as_deref()))
    }

    pub(super) fn slot(&self, id: i64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn file(&self, slot: u32) -> Option<&File> {
        self.files.get(slot as usize)?.as_ref().map(|kept| &*kept.file)
    }

    pub(super) fn find(&self, key: u64) -> &[(u32, u32)] {
        self.index.get(&key).map_or(&[], Vec::as_slice)
    }
}
