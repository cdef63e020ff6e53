//! The store: embeddings, index generations and the queue of texts to embed, in RocksDB.
//!
//! Owns the store's format ([`keys`]) and its durability. Knows nothing of graphs, models or
//! requests, and lets nothing of RocksDB out. What is written is in the write-ahead log when a call
//! returns, so it survives the end of this process; what must survive the end of the machine is
//! followed by [`Store::sync`].

mod error;
mod generations;
mod graphs;
pub mod keys;
mod lock;
mod older;
mod rocks;
mod sync;
mod texts;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::StoreError;
pub use generations::{Items, NewItems};
pub use keys::{DurableState, GenerationRecord, Item, ItemContent, Marks, ModelKey, TextHash};
pub use lock::{lock, read, write};

use keys::{FORMAT, FORMAT_KEY, Family, OLDEST_FORMAT};
use rocks::{Batch, Db};
use sync::SharedSync;

/// An open store. One process holds it at a time.
pub struct Store {
    db: Db,
    path: PathBuf,
    shared_sync: SharedSync,
    write_failed: AtomicBool,
}

impl Store {
    /// Opens the store in a directory, or creates it with mode 0700.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] and [`StoreError::Version`] when the directory holds something this
    /// engine must not touch; the caller may move it aside and start empty.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| StoreError::io("open", &e))?;
        refuse_lost(path)?;
        let store = Self {
            db: Db::open(path)?,
            path: path.to_owned(),
            shared_sync: SharedSync::default(),
            write_failed: AtomicBool::new(false),
        };
        store.check_format()?;
        Ok(store)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let Some(value) = self.db.get(Family::Meta, FORMAT_KEY)? else {
            // New, or its creation was interrupted before this very write.
            if self.db.scan(Family::Generations, &[], None)?.next().is_some() {
                return Err(StoreError::corrupt("the format's version is missing"));
            }
            return self.put_format(Batch::default());
        };
        match value.try_into().map(u32::from_be_bytes) {
            Ok(FORMAT) => Ok(()),
            Ok(OLDEST_FORMAT..FORMAT) => {
                let mut batch = Batch::default();
                older::upgrade(self, &mut batch)?;
                self.put_format(batch)
            }
            Ok(found) => Err(StoreError::Version { found: found.to_string(), known: FORMAT }),
            Err(_) => Err(StoreError::corrupt("the format's version is not a number")),
        }
    }

    fn put_format(&self, mut batch: Batch) -> Result<(), StoreError> {
        batch.put(Family::Meta, FORMAT_KEY, FORMAT.to_be_bytes());
        self.write(batch)?;
        self.sync()
    }

    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.write_how(batch, true)
    }

    /// Writes past the write-ahead log: nothing of it is safe before its families are flushed.
    fn write_unlogged(&self, batch: Batch) -> Result<(), StoreError> {
        self.write_how(batch, false)
    }

    fn write_how(&self, batch: Batch, logged: bool) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let result = self.db.write(batch, logged);
        if result.is_err() {
            self.write_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Everything written before this call is on disk when it returns. Concurrent callers share one
    /// fsync.
    ///
    /// # Errors
    /// A failed fsync is final: every later call fails too, until the store is opened again.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.shared_sync.sync(|| self.db.sync())
    }

    /// Whether a write or fsync has failed. RocksDB then refuses all further writes until the store
    /// is opened again.
    pub fn failed(&self) -> bool {
        self.write_failed.load(Ordering::Relaxed) || self.shared_sync.failed()
    }

    /// A consistent copy in a directory that does not exist yet, of hard links where possible.
    ///
    /// # Errors
    /// The directory exists, its parent does not, or the disk is full.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        if path.exists() {
            return Err(StoreError::io("copy", &format!("\"{}\" exists", path.display())));
        }
        self.sync()?;
        self.db.checkpoint(path)
    }

    /// Bytes of disk its files take.
    pub fn store_bytes(&self) -> u64 {
        let Ok(files) = fs::read_dir(&self.path) else { return 0 };
        let sizes = files.filter_map(|file| file.ok()?.metadata().ok());
        sizes.filter(|file| file.is_file()).map(|file| file.blocks() * 512).sum()
    }
}

/// Refuses a directory without RocksDB's `CURRENT` that holds more than a creation that was
/// interrupted leaves: RocksDB would start afresh in it and delete what it does not know.
fn refuse_lost(path: &Path) -> Result<(), StoreError> {
    if path.join("CURRENT").exists() {
        return Ok(());
    }
    for file in fs::read_dir(path).map_err(|e| StoreError::io("open", &e))? {
        let file = file.map_err(|e| StoreError::io("open", &e))?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        let prefixes = ["LOG", "LOCK", "IDENTITY", "MANIFEST-", "OPTIONS-", "lost+found"];
        let harmless =
            name.ends_with(".dbtmp") || prefixes.iter().any(|prefix| name.starts_with(prefix));
        if !harmless {
            return Err(StoreError::corrupt(format!(
                "the directory has \"{name}\" but no CURRENT"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
