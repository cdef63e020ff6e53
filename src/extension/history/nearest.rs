//! Rows in the order of an index on texts: what an index scan in a query gives, but without the distance
//! of every row. The executor computes it for each although nobody asks for it, and a text's distance costs
//! more than all else of the row.

use std::ffi::CStr;
use std::ops::ControlFlow;

use pgrx::prelude::*;

use crate::access_method::scan;
use crate::error::Error;
use crate::graph::indexes;

use crate::graph::rows::Text;
use crate::query;

/// Rows of a query's cursor fetched at once.
const FETCH: i64 = 64;

/// A table of `onyx` with an index on its texts.
pub struct Table {
    pub name: &'static CStr,
    pub index: &'static CStr,
    /// Columns of the answer, numbered from 1; the query has the same.
    pub columns: &'static [&'static CStr],
    /// The same by a query, with the question as its parameter: for who may not read the table whole.
    pub query: &'static CStr,
}

impl Table {
    /// Whether the index can answer; warns when it cannot.
    pub fn is_available(&self) -> bool {
        let index = relation(self.index);
        index != pg_sys::InvalidOid && crate::search::semantic_available(index)
    }

    /// Calls `f` with rows, the nearest to a question first, until it breaks: after about `expected`.
    pub fn nearest(
        &self,
        question: &str,
        expected: u32,
        f: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let question = Text::new(question);
        scan::expecting(expected, || {
            if indexes::reads_whole(&[self.name]) {
                // SAFETY: both are there, as `is_available` found, and may be read.
                unsafe { self.scan(&question, f) };
                return Ok(());
            }
            let arguments = [(pg_sys::TEXTOID, Some(question.datum()))];
            query::each_of(self.query, &arguments, FETCH, &mut |row| f(&Row::Query(row)))
        })
    }

    /// # Safety
    /// The index is an `onyx_hnsw` index of the table on a text, and the role may read the table whole.
    unsafe fn scan(&self, question: &Text, f: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) {
        let (table, index) = (relation(self.name), relation(self.index));
        // SAFETY: the caller's promise. The slot and the scan are released below; an error in between ends
        // the transaction, which releases them.
        unsafe {
            let columns: Vec<i32> = self
                .columns
                .iter()
                .map(|column| i32::from(pg_sys::get_attnum(table, column.as_ptr())))
                .collect();
            indexes::opened(table, index, |heap, index| {
                let operator = pg_sys::get_opfamily_member(
                    *(*index).rd_opfamily,
                    pg_sys::TEXTOID,
                    pg_sys::TEXTOID,
                    1,
                );
                let mut key = pg_sys::ScanKeyData::default();
                pg_sys::ScanKeyEntryInitialize(
                    &mut key,
                    pg_sys::SK_ORDER_BY as i32,
                    1,
                    1,
                    pg_sys::TEXTOID,
                    pg_sys::DEFAULT_COLLATION_OID,
                    pg_sys::get_opcode(operator),
                    question.datum(),
                );
                let snapshot = pg_sys::GetActiveSnapshot();
                #[cfg(feature = "pg18")]
                let scan =
                    pg_sys::index_beginscan(heap, index, snapshot, std::ptr::null_mut(), 0, 1);
                #[cfg(not(feature = "pg18"))]
                let scan = pg_sys::index_beginscan(heap, index, snapshot, 0, 1);
                pg_sys::index_rescan(scan, std::ptr::null_mut(), 0, &mut key, 1);
                let slot = pg_sys::table_slot_create(heap, std::ptr::null_mut());
                let forward = pg_sys::ScanDirection::ForwardScanDirection;
                while pg_sys::index_getnext_slot(scan, forward, slot) {
                    pg_sys::check_for_interrupts!();
                    if f(&Row::Slot { slot, columns: &columns }).is_break() {
                        break;
                    }
                }
                pg_sys::ExecDropSingleTupleTableSlot(slot);
                pg_sys::index_endscan(scan);
            });
        }
    }
}

fn relation(name: &CStr) -> pg_sys::Oid {
    // SAFETY: catalogue lookups in a transaction.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"onyx".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    }
}

/// A row of the answer.
pub enum Row<'a> {
    /// Of a query.
    Query(&'a query::Row),
    /// Of the table, with the numbers its columns have there.
    Slot { slot: *mut pg_sys::TupleTableSlot, columns: &'a [i32] },
}

impl Row<'_> {
    /// A column's value, counted from 1.
    pub fn get<T: FromDatum>(&self, column: usize) -> Option<T> {
        match self {
            Self::Query(row) => row.get(column as i32),
            Self::Slot { slot, columns } => {
                let mut null = false;
                // SAFETY: the slot holds a row of the table, whose column is of type T.
                unsafe {
                    let datum = pg_sys::slot_getattr(*slot, *columns.get(column - 1)?, &mut null);
                    T::from_datum(datum, null)
                }
            }
        }
    }
}
