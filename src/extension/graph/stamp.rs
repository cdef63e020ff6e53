//! Proof that what a table shows has not changed, from its visibility map. Knows no graph.
//!
//! A bit of the map says that all rows of a heap page are visible to every snapshot. Whoever changes
//! a page clears its bit in the same step; only vacuum (and COPY FREEZE) sets bits, and setting one
//! moves the map page's LSN on. So when every bit was set once, and every bit is set now while the
//! map's LSNs are what they were, then no bit was cleared in between, hence no page changed; the
//! number of pages and the file tell of new ones and of a rewrite. And since all bits are set now,
//! what every snapshot sees, the caller's too, is just what was read then. Whoever changes a page
//! after the caller's snapshot was taken may clear a bit too late for us to see, but is not seen by
//! that snapshot either; whoever changed one before, cleared it before his commit.
//!
//! Index-only scans rest on the same bits. LSNs move only where changes are logged: temporary and
//! unlogged tables, and files made by the running transaction, have no stamp.

use pgrx::prelude::*;

/// Heap pages one page of the map has bits for (`HEAPBLOCKS_PER_PAGE`): two bits each, behind a page
/// header of 24 bytes.
const PAGES_A_MAP_PAGE: u32 = (pg_sys::BLCKSZ - 24) * 4;

/// `InvalidSubTransactionId`: the running transaction did not make the file.
const NO_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

/// A state of a table in which all rows are visible to all.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp {
    table: pg_sys::Oid,
    file: pg_sys::RelFileNumber,
    pages: u32,
    map: Vec<pg_sys::XLogRecPtr>,
}

impl Stamp {
    /// The present state, if it is one such.
    ///
    /// # Safety
    /// The table is open; the snapshot answers are for was taken before.
    pub unsafe fn of(table: pg_sys::Relation) -> Option<Self> {
        // SAFETY: the caller's promise; buffers are released at once.
        unsafe {
            let relation = &*table;
            if (*relation.rd_rel).relpersistence as u8 != pg_sys::RELPERSISTENCE_PERMANENT
                || relation.rd_createSubid != NO_SUBTRANSACTION
                || relation.rd_firstRelfilelocatorSubid != NO_SUBTRANSACTION
            {
                return None;
            }
            let pages =
                pg_sys::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM);
            // First the bits, then the LSNs: a bit set anew in between shows in these.
            let mut visible = 0;
            pg_sys::visibilitymap_count(table, &mut visible, std::ptr::null_mut());
            if pages == 0 || visible != pages {
                return None;
            }
            let map = (0..pages.div_ceil(PAGES_A_MAP_PAGE))
                .map(|page| {
                    let buffer = pg_sys::ReadBufferExtended(
                        table,
                        pg_sys::ForkNumber::VISIBILITYMAP_FORKNUM,
                        page,
                        pg_sys::ReadBufferMode::RBM_NORMAL,
                        std::ptr::null_mut(),
                    );
                    pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
                    let lsn = pg_sys::BufferGetLSNAtomic(buffer);
                    pg_sys::UnlockReleaseBuffer(buffer);
                    lsn
                })
                .collect();
            Some(Self { table: relation.rd_id, file: relation.rd_locator.relNumber, pages, map })
        }
    }
}
