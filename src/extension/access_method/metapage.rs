//! Block 0 of an index relation: which generation of the store is its content.
//!
//! The page's bytes behind the page header, little-endian (`CONTENT_BYTES`):
//!
//! ```text
//! offset  size  field
//!      0     4  magic 0x584e4f01
//!      4     4  format version, 3
//!      8    16  generation id; all zero: no generation was made yet (unlogged init fork)
//!     24     4  flags: bit 0 stale
//!     28     4  database OID at build
//!     32     4  relfilenumber at build
//!     36     4  dimensions
//!     40     8  WAL position of the last vacuum
//!     48     8  number of the generation's last write of a committed transaction
//!     56    64  name of the model of a text index, NUL-padded; else zero
//! ```

use onyx_protocol::index::GenerationId;
use pgrx::prelude::*;

use crate::error::Error;

const MAGIC: u32 = 0x584e_4f01;
const VERSION: u32 = 3;
const STALE: u32 = 1;
const CONTENT_BYTES: usize = 120;
const MODEL_BYTES: usize = 64;
const HEADER_BYTES: usize = std::mem::offset_of!(pg_sys::PageHeaderData, pd_linp);

/// What the page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metapage {
    /// The generation, or `None` when none was made yet.
    pub generation: Option<GenerationId>,
    /// Entries are missing in the generation: it must not be used.
    pub stale: bool,
    /// Database OID at build.
    pub database: u32,
    /// Relfilenumber at build: where it differs from the relation's, the pages were copied without a
    /// build.
    pub relfilenumber: u32,
    /// Length of the vectors; 0 when not known yet.
    pub dimensions: u32,
    /// WAL position of the last vacuum.
    pub vacuum_lsn: u64,
    /// Number of the generation's last write of a committed transaction: a store whose generation does
    /// not reach it is an older one. Written behind the entries and before the commit record.
    pub writes: u64,
    /// Name of a text index's model; empty otherwise.
    pub model: String,
}

impl Metapage {
    fn to_bytes(&self) -> [u8; CONTENT_BYTES] {
        let mut out = [0; CONTENT_BYTES];
        let mut put = |offset: usize, bytes: &[u8]| {
            out[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &MAGIC.to_le_bytes());
        put(4, &VERSION.to_le_bytes());
        put(8, &self.generation.map_or([0; 16], |g| g.0));
        put(24, &(if self.stale { STALE } else { 0 }).to_le_bytes());
        put(28, &self.database.to_le_bytes());
        put(32, &self.relfilenumber.to_le_bytes());
        put(36, &self.dimensions.to_le_bytes());
        put(40, &self.vacuum_lsn.to_le_bytes());
        put(48, &self.writes.to_le_bytes());
        put(56, &self.model.as_bytes()[..self.model.len().min(MODEL_BYTES)]);
        out
    }

    fn parse(bytes: &[u8; CONTENT_BYTES]) -> Option<Self> {
        let u32_at = |offset: usize| {
            let mut b = [0; 4];
            b.copy_from_slice(&bytes[offset..offset + 4]);
            u32::from_le_bytes(b)
        };
        if u32_at(0) != MAGIC || u32_at(4) != VERSION {
            return None;
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[8..24]);
        let u64_at = |offset: usize| {
            let mut b = [0; 8];
            b.copy_from_slice(&bytes[offset..offset + 8]);
            u64::from_le_bytes(b)
        };
        let model = bytes[56..].split(|b| *b == 0).next().unwrap_or_default();
        Some(Self {
            generation: (id != [0; 16]).then_some(GenerationId(id)),
            stale: u32_at(24) & STALE != 0,
            database: u32_at(28),
            relfilenumber: u32_at(32),
            dimensions: u32_at(36),
            vacuum_lsn: u64_at(40),
            writes: u64_at(48),
            model: String::from_utf8_lossy(model).into_owned(),
        })
    }
}

fn damaged(index: pg_sys::Relation) -> Error {
    // SAFETY: callers hold the relation open.
    let name = unsafe { super::generation::relation_name(index) };
    Error::sql(
        PgSqlErrorCode::ERRCODE_INDEX_CORRUPTED,
        format!("index \"{name}\" has no valid metapage"),
    )
    .with_hint("Rebuild it with REINDEX.")
}

/// Reads the page.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw` with storage.
pub unsafe fn read(index: pg_sys::Relation) -> Result<Metapage, Error> {
    let mut bytes = [0; CONTENT_BYTES];
    // SAFETY: the caller's promise; the buffer is pinned and share-locked while its bytes are copied,
    // and nothing between lock and unlock can raise.
    unsafe {
        if pg_sys::RelationGetNumberOfBlocksInFork(index, pg_sys::ForkNumber::MAIN_FORKNUM) == 0 {
            return Err(damaged(index));
        }
        let buffer = pg_sys::ReadBuffer(index, 0);
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
        let page = pg_sys::BufferGetPage(buffer).cast::<u8>();
        std::ptr::copy_nonoverlapping(page.add(HEADER_BYTES), bytes.as_mut_ptr(), CONTENT_BYTES);
        pg_sys::UnlockReleaseBuffer(buffer);
    }
    Metapage::parse(&bytes).ok_or_else(|| damaged(index))
}

/// Fills an initialised page.
///
/// # Safety
/// `page` is a whole page that may be written.
unsafe fn fill(page: pg_sys::Page, content: &Metapage) {
    // SAFETY: the caller's promise; header and content are far smaller than a page. pd_lower is put
    // behind the content so that page-compressing WAL keeps it.
    unsafe {
        pg_sys::PageInit(page, pg_sys::BLCKSZ as usize, 0);
        let bytes = content.to_bytes();
        std::ptr::copy_nonoverlapping(
            bytes.as_ptr(),
            page.cast::<u8>().add(HEADER_BYTES),
            CONTENT_BYTES,
        );
        (*page.cast::<pg_sys::PageHeaderData>()).pd_lower = (HEADER_BYTES + CONTENT_BYTES) as u16;
    }
}

/// Creates the page in a fork that has none.
///
/// # Safety
/// `index` is an open, exclusively locked index of `onyx_hnsw` whose fork is empty.
pub unsafe fn create(index: pg_sys::Relation, fork: pg_sys::ForkNumber::Type, content: &Metapage) {
    // SAFETY: the caller's promise. The init fork is always WAL-logged, as every access method does,
    // since it is what recovery resets an unlogged index to; generic WAL checks nothing else here.
    unsafe {
        let buffer = pg_sys::ReadBufferExtended(
            index,
            fork,
            pg_sys::InvalidBlockNumber,
            pg_sys::ReadBufferMode::RBM_NORMAL,
            std::ptr::null_mut(),
        );
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE as i32);
        if fork == pg_sys::ForkNumber::INIT_FORKNUM {
            pg_sys::CritSectionCount += 1;
            fill(pg_sys::BufferGetPage(buffer), content);
            pg_sys::MarkBufferDirty(buffer);
            pg_sys::log_newpage_buffer(buffer, true);
            pg_sys::CritSectionCount -= 1;
        } else {
            let state = pg_sys::GenericXLogStart(index);
            let page = pg_sys::GenericXLogRegisterBuffer(
                state,
                buffer,
                pg_sys::GENERIC_XLOG_FULL_IMAGE as i32,
            );
            fill(page, content);
            pg_sys::GenericXLogFinish(state);
        }
        pg_sys::UnlockReleaseBuffer(buffer);
    }
}

/// Changes the page under its exclusive lock, WAL-logged. `change` returns whether to write; it may
/// not raise.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw` with a metapage.
pub unsafe fn update(
    index: pg_sys::Relation,
    change: impl FnOnce(&mut Metapage) -> bool,
) -> Result<(), Error> {
    // SAFETY: the caller's promise. An unlogged index's page is changed through the same calls:
    // generic WAL leaves out what needs no logging.
    unsafe {
        let buffer = pg_sys::ReadBuffer(index, 0);
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_EXCLUSIVE as i32);
        let mut bytes = [0; CONTENT_BYTES];
        let page = pg_sys::BufferGetPage(buffer).cast::<u8>();
        std::ptr::copy_nonoverlapping(page.add(HEADER_BYTES), bytes.as_mut_ptr(), CONTENT_BYTES);
        let Some(mut content) = Metapage::parse(&bytes) else {
            pg_sys::UnlockReleaseBuffer(buffer);
            return Err(damaged(index));
        };
        if change(&mut content) {
            let state = pg_sys::GenericXLogStart(index);
            let page = pg_sys::GenericXLogRegisterBuffer(state, buffer, 0);
            fill(page, &content);
            pg_sys::GenericXLogFinish(state);
        }
        pg_sys::UnlockReleaseBuffer(buffer);
    }
    Ok(())
}
