//! pgvector's `vector` datum, a varlena of `int16 dim, int16 unused, float4 x[dim]`, and its `halfvec`,
//! with two-byte numbers in their place.

use onyx_protocol::limits::MAX_DIMENSIONS;
use pgrx::{PgSqlErrorCode, pg_sys};

use crate::error::Error;

const HEADER_BYTES: usize = 4;

/// A vector as a function argument or result. Its SQL name is pgvector's, wherever that extension
/// was installed, so functions that use it are declared in SQL.
pub struct Vector(pub Vec<f32>);

impl Vector {
    /// Reads a non-null `vector` datum.
    ///
    /// # Safety
    /// `datum` is a valid datum of pgvector's type `vector`.
    pub unsafe fn from_datum(datum: pg_sys::Datum) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        unsafe { detoasted(datum, |bytes| parse(bytes, |c| f32::from_ne_bytes(*c))) }
    }

    /// Reads a non-null `halfvec` datum.
    ///
    /// # Safety
    /// `datum` is a valid datum of pgvector's type `halfvec`.
    pub unsafe fn from_half_datum(datum: pg_sys::Datum) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        unsafe { detoasted(datum, |bytes| parse(bytes, |c| half::f16::from_ne_bytes(*c).to_f32())) }
    }
}

/// Runs a function on a varlena's bytes.
///
/// # Safety
/// `datum` is a valid varlena.
unsafe fn detoasted<T>(datum: pg_sys::Datum, f: impl FnOnce(&[u8]) -> T) -> T {
    // SAFETY: the caller's promise; the detoasted copy lives in the current memory context
    // until after the numbers are copied out.
    unsafe {
        let detoasted = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
        let bytes = pgrx::varlena::varlena_to_byte_slice(detoasted);
        let vector = f(bytes);
        if detoasted.cast::<u8>() != datum.cast_mut_ptr::<u8>() {
            pg_sys::pfree(detoasted.cast());
        }
        vector
    }
}

fn parse<const N: usize>(bytes: &[u8], number: fn(&[u8; N]) -> f32) -> Result<Vector, Error> {
    let damaged = || Error::sql(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, "damaged vector value");
    let (head, numbers) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
    let dimensions = i16::from_ne_bytes([head[0], head[1]]) as usize;
    let (numbers, rest) = numbers.as_chunks::<N>();
    if dimensions > MAX_DIMENSIONS || numbers.len() != dimensions || !rest.is_empty() {
        return Err(damaged());
    }
    Ok(Vector(numbers.iter().map(number).collect()))
}

/// A new `vector` datum in the current memory context.
pub fn to_datum(values: &[f32]) -> pg_sys::Datum {
    let size = pg_sys::VARHDRSZ + HEADER_BYTES + values.len() * 4;
    // SAFETY: palloc returns `size` writable bytes aligned for any of PostgreSQL's types, or raises.
    unsafe {
        let start = pg_sys::palloc(size).cast::<u8>();
        pgrx::set_varsize_4b(start.cast(), size as i32);
        let dimensions = start.add(pg_sys::VARHDRSZ).cast::<i16>();
        dimensions.write(values.len() as i16);
        dimensions.add(1).write(0);
        std::ptr::copy_nonoverlapping(
            values.as_ptr(),
            start.add(pg_sys::VARHDRSZ + HEADER_BYTES).cast(),
            values.len(),
        );
        pg_sys::Datum::from(start)
    }
}
