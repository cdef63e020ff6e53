//! The extension's own queries under the caller's snapshot and rights. Plans are kept for the
//! session; the server plans them again when a table, an index or the role's policies change.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_long};
use std::ops::ControlFlow;

use pgrx::prelude::*;

use crate::error::Error;

/// Rows fetched at once.
const FETCH: c_long = 4_096;

thread_local! {
    /// Plans by their text, which is this library's own and constant.
    static PLANS: RefCell<HashMap<&'static CStr, pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());
}

/// A row of a query's answer.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    description: pg_sys::TupleDesc,
}

impl Row {
    /// A column's value, counted from 1.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        // SAFETY: the row's tuple and description belong together; the column is of type T, as the
        // query says.
        unsafe {
            let mut null = false;
            let datum = pg_sys::SPI_getbinval(self.tuple, self.description, column, &mut null);
            T::from_datum(datum, null)
        }
    }
}

fn plan(query: &'static CStr, types: &[pg_sys::Oid]) -> Result<pg_sys::SPIPlanPtr, Error> {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(query).copied()) {
        return Ok(plan);
    }
    let mut types = types.to_vec();
    // SAFETY: connected; as many types as parameters. A plan that is kept lives with the session.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare(query.as_ptr(), types.len() as i32, types.as_mut_ptr());
        if plan.is_null() || pg_sys::SPI_keepplan(plan) != 0 {
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                "a query of the extension's own cannot be planned",
            ));
        }
        plan
    };
    PLANS.with_borrow_mut(|plans| plans.insert(query, plan));
    Ok(plan)
}

/// The first column of the first row of [`latest`].
pub fn one<T: FromDatum>(query: &'static CStr, arguments: &[Argument]) -> Result<Option<T>, Error> {
    let mut found = None;
    latest(query, arguments, &mut |row| {
        found = row.get::<T>(1);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// A parameter's type and value.
pub type Argument = (pg_sys::Oid, Option<pg_sys::Datum>);

/// What is called with each row.
type Take<'a> = &'a mut dyn FnMut(&Row) -> ControlFlow<()>;

/// Runs a query that only reads, under the snapshot of the command that called, and calls `f` with its rows
/// until it breaks.
pub fn each(query: &'static CStr, arguments: &[Argument], f: Take<'_>) -> Result<(), Error> {
    run(query, arguments, true, FETCH, f)
}

/// The same, so many rows fetched at once: few where `f` breaks early and each row costs.
pub fn each_of(
    query: &'static CStr,
    arguments: &[Argument],
    fetch: c_long,
    f: Take<'_>,
) -> Result<(), Error> {
    run(query, arguments, true, fetch, f)
}

/// The same, for what commands that write use too: in a transaction that has written anything, all that was
/// written until now is seen, this command's own writes among it.
pub fn latest(query: &'static CStr, arguments: &[Argument], f: Take<'_>) -> Result<(), Error> {
    // SAFETY: reads the transaction's state.
    let xid = unsafe { pg_sys::GetTopTransactionIdIfAny() };
    run(query, arguments, xid == pg_sys::InvalidTransactionId, FETCH, f)
}

fn run(
    query: &'static CStr,
    arguments: &[Argument],
    read_only: bool,
    fetch: c_long,
    f: Take<'_>,
) -> Result<(), Error> {
    let types: Vec<pg_sys::Oid> = arguments.iter().map(|a| a.0).collect();
    let mut values: Vec<pg_sys::Datum> =
        arguments.iter().map(|a| a.1.unwrap_or(pg_sys::Datum::from(0))).collect();
    let nulls: Vec<std::ffi::c_char> = arguments
        .iter()
        .map(|a| if a.1.is_none() { b'n' } else { b' ' } as std::ffi::c_char)
        .collect();
    // SAFETY: connected and disconnected here; an error in between ends the transaction, and with it
    // the connection. Read only: the portal takes the active snapshot.
    unsafe {
        pg_sys::SPI_connect();
        let portal = pg_sys::SPI_cursor_open(
            std::ptr::null(),
            plan(query, &types)?,
            values.as_mut_ptr(),
            nulls.as_ptr(),
            read_only,
        );
        'all: loop {
            pg_sys::SPI_cursor_fetch(portal, true, fetch);
            let table = pg_sys::SPI_tuptable;
            let count = pg_sys::SPI_processed as usize;
            for i in 0..count {
                let row = Row { tuple: *(*table).vals.add(i), description: (*table).tupdesc };
                if f(&row).is_break() {
                    break 'all;
                }
            }
            pg_sys::SPI_freetuptable(table);
            if count < fetch as usize {
                break;
            }
            pg_sys::check_for_interrupts!();
        }
        pg_sys::SPI_cursor_close(portal);
        pg_sys::SPI_finish();
    }
    Ok(())
}
