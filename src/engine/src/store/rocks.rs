//! RocksDB behind the few operations the store needs. The only file that names its crate.

use std::path::Path;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBIteratorWithThreadMode, Direction, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

use super::StoreError;
use super::keys::{FORMAT, Family};

/// Blocks of all families kept in memory, their indexes and filters included.
const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// One family's memtable.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
/// All memtables together.
const ALL_WRITE_BUFFERS_BYTES: usize = 64 << 20;
/// Write-ahead log kept before memtables are flushed: bounds what an open has to replay.
const MAX_WAL_BYTES: u64 = 256 << 20;
/// Files kept open.
const MAX_OPEN_FILES: i32 = 512;
/// RocksDB's own log files kept, and their size.
const LOG_FILES: usize = 2;
const LOG_FILE_BYTES: usize = 1 << 20;

/// Changes applied together or not at all.
#[derive(Default)]
pub struct Batch(Vec<Change>);

enum Change {
    Put(Family, Vec<u8>, Vec<u8>),
    Delete(Family, Vec<u8>),
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

impl Batch {
    /// Writes a value.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push(Change::Put(family, key.into(), value.into()));
    }

    /// Removes a key, there or not.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.0.push(Change::Delete(family, key.into()));
    }

    /// Removes the keys from `from` to before `to`, at a cost that does not depend on their number.
    pub fn delete_range(&mut self, family: Family, from: Vec<u8>, to: Vec<u8>) {
        self.0.push(Change::DeleteRange(family, from, to));
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key and its value.
pub type Pair = (Box<[u8]>, Box<[u8]>);

/// An open database.
pub struct Db(DB);

impl Db {
    /// Opens or creates it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_background_jobs(2);
        options.set_db_write_buffer_size(ALL_WRITE_BUFFERS_BYTES);
        options.set_max_total_wal_size(MAX_WAL_BYTES);
        options.set_max_open_files(MAX_OPEN_FILES);
        options.set_bytes_per_sync(1 << 20);
        options.set_keep_log_file_num(LOG_FILES);
        options.set_max_log_file_size(LOG_FILE_BYTES);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        if path.join("CURRENT").exists() {
            let present = DB::list_cf(&options, path).map_err(|e| failure("open", path, &e))?;
            let known =
                |name: &str| name == "default" || Family::ALL.iter().any(|f| f.name() == name);
            if let Some(unknown) = present.iter().find(|name| !known(name)) {
                let found = format!("with a family \"{unknown}\"");
                return Err(StoreError::Version { found, known: FORMAT });
            }
        }
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = ["default"].into_iter().chain(Family::ALL.map(Family::name));
        let families =
            families.map(|name| ColumnFamilyDescriptor::new(name, family_options(name, &cache)));
        let db = DB::open_cf_descriptors(&options, path, families)
            .map_err(|e| failure("open", path, &e))?;
        Ok(Self(db))
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily, StoreError> {
        self.0.cf_handle(family.name()).ok_or_else(|| StoreError::corrupt("a family is missing"))
    }

    /// One value.
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get_cf(self.family(family)?, key).map_err(|e| plain("read", &e))
    }

    /// Many values at once; `found` is called with the position of each key that has one.
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        family: Family,
        keys: &[K],
        mut found: impl FnMut(usize, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let values = self.0.batched_multi_get_cf(self.family(family)?, keys, false);
        for (at, value) in values.into_iter().enumerate() {
            if let Some(value) = value.map_err(|e| plain("read", &e))? {
                found(at, &value)?;
            }
        }
        Ok(())
    }

    /// Applies a batch. When `logged` it is in the write-ahead log afterwards, not necessarily on disk.
    pub fn write(&self, batch: Batch, logged: bool) -> Result<(), StoreError> {
        let mut changes = WriteBatch::default();
        for change in batch.0 {
            match change {
                Change::Put(family, key, value) => {
                    changes.put_cf(self.family(family)?, key, value);
                }
                Change::Delete(family, key) => changes.delete_cf(self.family(family)?, key),
                Change::DeleteRange(family, from, to) => {
                    changes.delete_range_cf(self.family(family)?, from, to);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(!logged);
        self.0.write_opt(changes, &options).map_err(|e| plain("write", &e))
    }

    /// What was written to a family so far is in its files.
    pub fn flush(&self, family: Family) -> Result<(), StoreError> {
        self.0.flush_cf(self.family(family)?).map_err(|e| plain("write", &e))
    }

    /// Everything written so far is on disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.0.flush_wal(true).map_err(|e| plain("sync", &e))
    }

    /// Pairs from `from` to before `to`, in order, as they are now.
    pub fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: Option<Vec<u8>>,
    ) -> Result<Scan<'_>, StoreError> {
        let mut options = ReadOptions::default();
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        // A scan reads everything once: it must not push what is read often out of memory.
        options.fill_cache(false);
        let mode = IteratorMode::From(from, Direction::Forward);
        Ok(Scan(self.0.iterator_cf_opt(self.family(family)?, options, mode)))
    }

    /// Gives the space of a range back whose keys have all been removed.
    pub fn reclaim(&self, family: Family, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        // Whole files first: they need no reading.
        let handle = self.family(family)?;
        self.0.delete_file_in_range_cf(handle, from, to).map_err(|e| plain("write", &e))?;
        self.compact(family, from, to)
    }

    /// Gives the space of removed keys among others back.
    pub fn compact(&self, family: Family, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.0.compact_range_cf(self.family(family)?, Some(from), Some(to));
        Ok(())
    }

    /// About how many keys a family has.
    pub fn estimated_keys(&self, family: Family) -> u64 {
        let property = |handle| {
            self.0.property_int_value_cf(handle, rocksdb::properties::ESTIMATE_NUM_KEYS).ok()
        };
        self.family(family).ok().and_then(property).flatten().unwrap_or(0)
    }

    /// A consistent copy in a directory that does not exist yet, of hard links where possible.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        let checkpoint = Checkpoint::new(&self.0).map_err(|e| plain("copy", &e))?;
        checkpoint.create_checkpoint(path).map_err(|e| plain("copy", &e))
    }
}

/// Pairs of a family in key order.
pub struct Scan<'a>(DBIteratorWithThreadMode<'a, DB>);

impl Iterator for Scan<'_> {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(|e| plain("read", &e)))
    }
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(5);
    table.set_block_size(16 << 10);
    let mut options = Options::default();
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    // Vectors do not compress; texts do.
    let compression = match name {
        "embeddings" | "items" | "graphs" => DBCompressionType::None,
        _ => DBCompressionType::Lz4,
    };
    options.set_compression_type(compression);
    if name == Family::Embeddings.name() || name == Family::Failures.name() {
        // Looked up by key, mostly in vain while a new text is embedded.
        table.set_bloom_filter(10.0, false);
        options.set_memtable_prefix_bloom_ratio(0.02);
        options.set_memtable_whole_key_filtering(true);
    }
    options.set_block_based_table_factory(&table);
    options
}

fn plain(action: &'static str, error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => StoreError::corrupt(error.to_string()),
        _ => StoreError::io(action, error),
    }
}

fn failure(action: &'static str, path: &Path, error: &rocksdb::Error) -> StoreError {
    let text = error.to_string();
    if text.contains("lock file") || text.contains("lock hold by") {
        return StoreError::in_use(path);
    }
    // What RocksDB says of a manifest that names files that are gone, or of options it cannot read.
    let damaged = text.contains("No such file") || text.starts_with("Invalid argument");
    if damaged { StoreError::corrupt(text) } else { plain(action, error) }
}
