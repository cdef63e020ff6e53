//! Rows on their way to the executor: into a tuple store where it wants one, one at a time where it
//! may stop early. Knows no graph.

use std::ffi::c_void;

use pgrx::{PgMemoryContexts, prelude::*};

use crate::arena::Arena;
use crate::error::{Error, OrRaise};

/// Columns a row may have.
const MAX_COLUMNS: usize = 24;

/// A `bigint[]` datum in memory of its own, to be filled again and again.
///
/// ```text
/// int32 length (varlena), ndim = 1, offset of the data = 0 for "no NULLs", element type;
/// int32 dimension, lower bound = 1; then the elements
/// ```
pub struct IdArray(Vec<u64>);

const ARRAY_HEADER: usize = 24;

impl IdArray {
    /// An empty one.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Fills it. The datum is good until it is filled again or dropped.
    pub fn set(&mut self, ids: &[i64]) -> pg_sys::Datum {
        self.0.clear();
        let bytes = ARRAY_HEADER + size_of_val(ids);
        let dimensions = i32::from(!ids.is_empty());
        let pair = |low: u32, high: u32| {
            let (low, high) = (low.to_ne_bytes(), high.to_ne_bytes());
            u64::from_ne_bytes([low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]])
        };
        self.0.push(pair(0, dimensions as u32));
        self.0.push(pair(0, pg_sys::INT8OID.to_u32()));
        self.0.push(pair(ids.len() as u32, 1));
        self.0.extend(ids.iter().map(|id| *id as u64));
        // An array without elements has no dimensions to say.
        let length = if ids.is_empty() { 16 } else { bytes };
        // SAFETY: the vector begins with room for the length.
        unsafe { pgrx::varlena::set_varsize_4b(self.0.as_mut_ptr().cast(), length as i32) };
        pg_sys::Datum::from(self.0.as_mut_ptr())
    }
}

/// A `text` datum in memory of its own.
pub struct Text(Vec<u32>);

impl Text {
    /// Of a short text.
    pub fn new(text: &str) -> Self {
        let length = 4 + text.len();
        let mut words = vec![0_u32; length.div_ceil(4)];
        // SAFETY: the vector has room for the header and the text.
        unsafe {
            pgrx::varlena::set_varsize_4b(words.as_mut_ptr().cast(), length as i32);
            let start = words.as_mut_ptr().cast::<u8>().add(4);
            std::ptr::copy_nonoverlapping(text.as_ptr(), start, text.len());
        }
        Self(words)
    }

    /// The datum, good as long as the value.
    pub fn datum(&self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.0.as_ptr())
    }
}

/// One row being made. Values are good until the next is.
pub struct Row {
    values: [pg_sys::Datum; MAX_COLUMNS],
    nulls: [bool; MAX_COLUMNS],
    ids: IdArray,
    arena: Arena,
    column: usize,
    /// A bit a column: whether anybody asks for it.
    wanted: u32,
}

impl Row {
    /// One of which all columns are wanted.
    pub fn new() -> Self {
        Self {
            values: [pg_sys::Datum::from(0); MAX_COLUMNS],
            nulls: [true; MAX_COLUMNS],
            ids: IdArray::new(),
            arena: Arena::new(),
            column: 0,
            wanted: u32::MAX,
        }
    }

    /// Only these columns, counted from 0, are wanted from now on.
    pub fn want(&mut self, columns: &[usize]) {
        self.wanted = columns.iter().fold(0, |bits, column| bits | 1 << column);
    }

    /// Whether a column, counted from 0, is wanted. One that is not may have any value.
    #[inline]
    pub fn wants(&self, column: usize) -> bool {
        self.wanted >> column & 1 == 1
    }

    /// The value of a column, and whether it is NULL.
    #[inline]
    pub fn get(&self, column: usize) -> (pg_sys::Datum, bool) {
        (self.values[column], self.nulls[column])
    }

    /// Begins the row.
    pub fn begin(&mut self) -> &mut Self {
        self.column = 0;
        self.arena.empty();
        self
    }

    /// The next column's value.
    pub fn datum(&mut self, value: Option<pg_sys::Datum>) -> &mut Self {
        self.nulls[self.column] = value.is_none();
        self.values[self.column] = value.unwrap_or(pg_sys::Datum::from(0));
        self.column += 1;
        self
    }

    /// The same of a type pgrx knows; made only when it is wanted.
    pub fn value<T: IntoDatum>(&mut self, value: T) -> &mut Self {
        let datum = if self.wants(self.column) { value.into_datum() } else { None };
        self.datum(datum)
    }

    /// A text, without memory of the server's.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A text in three parts, likewise.
    pub fn joined(&mut self, parts: [&str; 3]) -> &mut Self {
        let datum = self.arena.varlena(&parts.map(str::as_bytes));
        self.datum(Some(datum))
    }

    /// A `bytea`, likewise.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let datum = self.arena.varlena(&[bytes]);
        self.datum(Some(datum))
    }

    /// A `text[]`, likewise.
    pub fn texts(&mut self, texts: &[String]) -> &mut Self {
        let datum = self.arena.texts(texts);
        self.datum(Some(datum))
    }

    /// The one `bigint[]` column.
    pub fn ids(&mut self, ids: &[i64]) -> &mut Self {
        let datum = self.wants(self.column).then(|| self.ids.set(ids));
        self.datum(datum)
    }
}

/// Gives rows, one a call.
pub trait Source {
    /// Fills the next row; false when there is none.
    fn next(&mut self, row: &mut Row) -> Result<bool, Error>;

    /// Whether rows take memory of the server's, to be freed after each.
    fn allocates(&self) -> bool {
        false
    }
}

/// Makes the rows of a call.
pub type Make = fn(&super::Arguments) -> super::Answer;

/// No rows.
pub struct Nothing;

impl Source for Nothing {
    fn next(&mut self, _: &mut Row) -> Result<bool, Error> {
        Ok(false)
    }
}

struct Answer {
    source: Box<dyn Source>,
    row: Row,
}

/// Answers a call of a set-returning function with the rows of the source that `make` makes.
///
/// # Safety
/// `fcinfo` is the call of a function that returns a set of rows of at most `MAX_COLUMNS` columns.
pub unsafe fn answer(
    fcinfo: pg_sys::FunctionCallInfo,
    make: impl FnOnce() -> Result<Box<dyn Source>, Error>,
) -> pg_sys::Datum {
    // SAFETY: the caller's promise.
    unsafe {
        let info = (*fcinfo).resultinfo.cast::<pg_sys::ReturnSetInfo>();
        if info.is_null() || (*info).type_ != pg_sys::NodeTag::T_ReturnSetInfo {
            Error::sql(
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                "set-valued function called in context that cannot accept a set",
            )
            .raise();
        }
        let preferred = pg_sys::SetFunctionReturnMode::SFRM_Materialize_Preferred;
        if (*info).allowedModes as u32 & preferred != 0 {
            materialize(fcinfo, info, make)
        } else {
            one_by_one(fcinfo, info, make)
        }
    }
}

unsafe fn materialize(
    fcinfo: pg_sys::FunctionCallInfo,
    info: *mut pg_sys::ReturnSetInfo,
    make: impl FnOnce() -> Result<Box<dyn Source>, Error>,
) -> pg_sys::Datum {
    // SAFETY: the caller's promise; the set-up gives the store and the description of its rows.
    unsafe {
        pg_sys::InitMaterializedSRF(fcinfo, 0);
        let mut source = make().or_raise();
        let (mut row, allocates) = (Row::new(), source.allocates());
        // What rows are made of lives until the next.
        let mut context = PgMemoryContexts::new("onyx row");
        while context.switch_to(|_| source.next(&mut row)).or_raise() {
            pg_sys::check_for_interrupts!();
            let (values, nulls) = (row.values.as_mut_ptr(), row.nulls.as_mut_ptr());
            pg_sys::tuplestore_putvalues((*info).setResult, (*info).setDesc, values, nulls);
            if allocates {
                context.reset();
            }
        }
    }
    // SAFETY: as above.
    unsafe { (*fcinfo).isnull = true };
    pg_sys::Datum::from(0)
}

/// Rows that are made in one go, whatever the executor prefers: between two of them nothing else of the
/// query runs, so they may be made in step with the engine. They are kept as `work_mem` allows, and on
/// disk beyond that.
pub struct Sheet {
    info: *mut pg_sys::ReturnSetInfo,
    row: Row,
    context: PgMemoryContexts,
}

impl Sheet {
    /// Adds the row that `fill` fills.
    pub fn put(&mut self, fill: impl FnOnce(&mut Row)) {
        pg_sys::check_for_interrupts!();
        let (info, row) = (self.info, &mut self.row);
        // SAFETY: the set-up gave the store and the description of its rows, and both live as long as
        // the call.
        unsafe {
            self.context.switch_to(|_| {
                fill(row);
                let (values, nulls) = (row.values.as_mut_ptr(), row.nulls.as_mut_ptr());
                pg_sys::tuplestore_putvalues((*info).setResult, (*info).setDesc, values, nulls);
            });
            self.context.reset();
        }
    }
}

/// Answers a call of a set-returning function with what `fill` puts on a sheet.
///
/// # Safety
/// As of `answer`.
pub unsafe fn answer_whole(
    fcinfo: pg_sys::FunctionCallInfo,
    fill: impl FnOnce(&mut Sheet) -> Result<(), Error>,
) -> pg_sys::Datum {
    // SAFETY: the caller's promise; the set-up raises where no set is accepted.
    unsafe {
        pg_sys::InitMaterializedSRF(fcinfo, 0);
        let info = (*fcinfo).resultinfo.cast::<pg_sys::ReturnSetInfo>();
        let context = PgMemoryContexts::new("onyx row");
        fill(&mut Sheet { info, row: Row::new(), context }).or_raise();
        (*fcinfo).isnull = true;
    }
    pg_sys::Datum::from(0)
}

/// Declares an SQL function that makes all its rows in one go.
macro_rules! whole_function {
    ($(#[$doc:meta])* $name:ident, $fill:expr) => {
        $crate::pg_function!($name);
        $(#[$doc])*
        ///
        /// # Safety
        /// Called by the function manager.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $name(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            let arguments = $crate::graph::Arguments(fcinfo);
            // SAFETY: the caller's promise; the SQL files declare it so.
            unsafe { $crate::graph::rows::answer_whole(fcinfo, |sheet| $fill(&arguments, sheet)) }
        }
    };
}

pub(crate) use whole_function;

unsafe fn one_by_one(
    fcinfo: pg_sys::FunctionCallInfo,
    info: *mut pg_sys::ReturnSetInfo,
    make: impl FnOnce() -> Result<Box<dyn Source>, Error>,
) -> pg_sys::Datum {
    // SAFETY: the protocol of functions called once a row: the state lives in a context that ends
    // with the last row or with the query.
    unsafe {
        if (*(*fcinfo).flinfo).fn_extra.is_null() {
            let call = pg_sys::init_MultiFuncCall(fcinfo);
            let mut context = PgMemoryContexts::For((*call).multi_call_memory_ctx);
            let answer = Answer { source: make().or_raise(), row: Row::new() };
            let state = context.leak_and_drop_on_delete(answer);
            (*call).user_fctx = state.cast::<c_void>();
            (*call).tuple_desc = context.switch_to(|_| {
                let mut description = std::ptr::null_mut();
                pg_sys::get_call_result_type(fcinfo, std::ptr::null_mut(), &mut description);
                pg_sys::BlessTupleDesc(description)
            });
        }
        let call = pg_sys::per_MultiFuncCall(fcinfo);
        let answer = &mut *(*call).user_fctx.cast::<Answer>();
        if answer.source.next(&mut answer.row).or_raise() {
            (*info).isDone = pg_sys::ExprDoneCond::ExprMultipleResult;
            let tuple = pg_sys::heap_form_tuple(
                (*call).tuple_desc,
                answer.row.values.as_mut_ptr(),
                answer.row.nulls.as_mut_ptr(),
            );
            return pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data);
        }
        pg_sys::end_MultiFuncCall(fcinfo, call);
        (*info).isDone = pg_sys::ExprDoneCond::ExprEndResult;
        (*fcinfo).isnull = true;
    }
    pg_sys::Datum::from(0)
}
