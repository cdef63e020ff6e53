//! Rows of a btree index whose entries hold all that is asked for: what an index-only scan does,
//! without an executor around it. Knows tuples, not graphs.
//!
//! Entries as the indexes of `sql/graph.sql` and `sql/schema.sql` have them, values at the alignment
//! of their types, a NULL taking no room:
//!
//! ```text
//! 6 bytes tuple id; uint16: bit 15 some value is NULL, bits 0-12 length;
//! when some is NULL: 4 bytes, a bit for each column, set when it has a value; then to 8 bytes;
//! the values: bigint 8 bytes, real 4, text with a header of 1 byte (bit 0 set, length with itself
//! in bits 1-7) or, at a multiple of 4, of 4 bytes (length with itself in bits 2-31).
//! ```

use std::ops::ControlFlow;

use pgrx::prelude::*;

use super::rows::IdArray;

const HEADER: usize = size_of::<pg_sys::IndexTupleData>();
/// Bit of `t_info`: a bitmap of values that are there follows the header.
const HAS_NULLS: u16 = 0x8000;
const LENGTH: u16 = 0x1fff;
/// Entries between two looks for a cancel.
const INTERRUPT_EVERY: u32 = 1_024;

/// Reads the values of an index entry, first to last.
pub struct Entry<'a> {
    bytes: &'a [u8],
    nulls: Option<u32>,
    column: u32,
    at: usize,
}

impl<'a> Entry<'a> {
    /// # Safety
    /// `tuple` is an index tuple that outlives the value.
    unsafe fn of(tuple: pg_sys::IndexTuple) -> Self {
        // SAFETY: the caller's promise; the header says how long it is.
        let (info, bytes) = unsafe {
            let info = (*tuple).t_info;
            (info, std::slice::from_raw_parts(tuple.cast::<u8>(), (info & LENGTH) as usize))
        };
        let nulls = (info & HAS_NULLS != 0).then(|| {
            let bitmap = bytes.get(HEADER..HEADER + 4).and_then(|b| b.try_into().ok());
            u32::from_le_bytes(bitmap.unwrap_or_default())
        });
        let at = if nulls.is_some() { (HEADER + 4).next_multiple_of(8) } else { HEADER };
        Self { bytes, nulls, column: 0, at }
    }

    fn is_null(&mut self) -> bool {
        let column = self.column;
        self.column += 1;
        self.nulls.is_some_and(|bits| bits >> column & 1 == 0)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.is_null() {
            return None;
        }
        let start = self.at.next_multiple_of(N);
        self.at = start + N;
        self.bytes.get(start..self.at)?.try_into().ok()
    }

    /// The next value, a bigint.
    pub fn bigint(&mut self) -> Option<i64> {
        self.fixed().map(i64::from_ne_bytes)
    }

    /// The next value, a real.
    pub fn real(&mut self) -> Option<f32> {
        self.fixed().map(f32::from_ne_bytes)
    }

    /// The next value, a text shorter than those an index compresses.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        if self.is_null() {
            return None;
        }
        let first = *self.bytes.get(self.at)?;
        let (start, header, length) = if first & 1 == 1 {
            (self.at, 1, usize::from(first >> 1))
        } else {
            let start = self.at.next_multiple_of(4);
            let header = self.bytes.get(start..start + 4)?.try_into().ok()?;
            (start, 4, (u32::from_le_bytes(header) >> 2) as usize)
        };
        self.at = start + length;
        self.bytes.get(start + header..self.at)
    }
}

/// Calls `f` with every entry visible to the active snapshot whose first column is one of `keys`, in
/// the order of the index; with every entry at all without keys. The keys are sorted.
///
/// # Safety
/// The relations are an open btree index, its first column a bigint, and its open table; there is an
/// active MVCC snapshot.
pub unsafe fn scan(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    keys: Option<&[i64]>,
    f: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
) {
    let mut array = IdArray::new();
    let mut key = pg_sys::ScanKeyData::default();
    if let Some(keys) = keys {
        let (flag, argument) = match keys {
            [] => return,
            [one] => (0, pg_sys::Datum::from(*one)),
            many => (pg_sys::SK_SEARCHARRAY, array.set(many)),
        };
        // SAFETY: a key of bigint equality; the array lives as long as the scan.
        unsafe {
            pg_sys::ScanKeyEntryInitialize(
                &mut key,
                flag as i32,
                1,
                pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
                pg_sys::INT8OID,
                pg_sys::InvalidOid,
                pg_sys::F_INT8EQ.into(),
                argument,
            );
        }
    }
    let number = i32::from(keys.is_some());
    // SAFETY: the caller's promise. The slot and the visibility map's pin are released below; an
    // error in between ends the transaction, which releases them.
    unsafe {
        let snapshot = pg_sys::GetActiveSnapshot();
        #[cfg(feature = "pg18")]
        let scan = pg_sys::index_beginscan(heap, index, snapshot, std::ptr::null_mut(), number, 0);
        #[cfg(not(feature = "pg18"))]
        let scan = pg_sys::index_beginscan(heap, index, snapshot, number, 0);
        (*scan).xs_want_itup = true;
        pg_sys::index_rescan(scan, &mut key, number, std::ptr::null_mut(), 0);
        let slot = pg_sys::table_slot_create(heap, std::ptr::null_mut());
        let mut map = pg_sys::InvalidBuffer as pg_sys::Buffer;
        let mut count = 0_u32;
        loop {
            let tid = pg_sys::index_getnext_tid(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tid.is_null() {
                break;
            }
            count = count.wrapping_add(1);
            if count.is_multiple_of(INTERRUPT_EVERY) {
                pg_sys::check_for_interrupts!();
            }
            let block = u32::from((*tid).ip_blkid.bi_hi) << 16 | u32::from((*tid).ip_blkid.bi_lo);
            let status = u32::from(pg_sys::visibilitymap_get_status(heap, block, &mut map));
            if status & pg_sys::VISIBILITYMAP_ALL_VISIBLE == 0
                && !pg_sys::index_fetch_heap(scan, slot)
            {
                continue;
            }
            if f(Entry::of((*scan).xs_itup)).is_break() {
                break;
            }
        }
        if map != pg_sys::InvalidBuffer as pg_sys::Buffer {
            pg_sys::ReleaseBuffer(map);
        }
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::index_endscan(scan);
    }
}
