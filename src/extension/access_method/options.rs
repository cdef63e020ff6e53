//! Index options: `m` and `ef_construction` by pgvector's names, bounds and defaults, and `quantization`.

use std::cell::Cell;
use std::ffi::CStr;

use onyx_protocol::index::Quantization;
use pgrx::prelude::*;

use crate::error::Error;

const M: (i32, i32, i32) = (16, 2, 100);
const EF_CONSTRUCTION: (i32, i32, i32) = (64, 4, 1000);

/// Values of `quantization`.
const QUANTIZATION: [(&CStr, Quantization); 3] =
    [(c"auto", Quantization::Auto), (c"none", Quantization::None), (c"sq8", Quantization::Sq8)];

thread_local! {
    static RELOPT_KIND: Cell<pg_sys::relopt_kind::Type> = const { Cell::new(0) };
}

/// As the relation cache keeps them.
#[repr(C)]
struct Parsed {
    varlena: i32,
    m: i32,
    ef_construction: i32,
    /// Place in `QUANTIZATION`.
    quantization: i32,
}

/// An index's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Neighbours a node keeps.
    pub m: u32,
    /// Candidate list size while building.
    pub ef_construction: u32,
    /// How the engine keeps vectors in memory.
    pub quantization: Quantization,
}

/// Registers the options.
pub fn init() {
    // SAFETY: runs once in the postmaster, where option kinds are registered; forks inherit it.
    unsafe {
        let kind = pg_sys::add_reloption_kind();
        RELOPT_KIND.set(kind);
        let lock = pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE;
        let (m, ef) = (M, EF_CONSTRUCTION);
        pg_sys::add_int_reloption(
            kind,
            c"m".as_ptr(),
            c"Max number of connections".as_ptr(),
            m.0,
            m.1,
            m.2,
            lock,
        );
        pg_sys::add_int_reloption(
            kind,
            c"ef_construction".as_ptr(),
            c"Size of the dynamic candidate list for construction".as_ptr(),
            ef.0,
            ef.1,
            ef.2,
            lock,
        );
        // The server keeps the address: one element more, of zeros, ends the list.
        let mut values: Vec<pg_sys::relopt_enum_elt_def> = (0..)
            .zip(QUANTIZATION)
            .map(|(at, (name, _))| pg_sys::relopt_enum_elt_def {
                string_val: name.as_ptr(),
                symbol_val: at,
            })
            .collect();
        values.push(pg_sys::relopt_enum_elt_def { string_val: std::ptr::null(), symbol_val: 0 });
        pg_sys::add_enum_reloption(
            kind,
            c"quantization".as_ptr(),
            c"How the engine keeps vectors in memory".as_ptr(),
            values.leak().as_mut_ptr(),
            0,
            c"Valid values are \"auto\", \"none\" and \"sq8\".".as_ptr(),
            lock,
        );
    }
}

/// Parses the options of CREATE INDEX.
#[pg_guard]
pub unsafe extern "C-unwind" fn amoptions(
    reloptions: pg_sys::Datum,
    validate: bool,
) -> *mut pg_sys::bytea {
    use pg_sys::relopt_type::{RELOPT_TYPE_ENUM, RELOPT_TYPE_INT};
    let element = |name: &'static CStr, kind, offset: usize| {
        // SAFETY: all-zero is valid for this plain struct; fields a version lacks stay zero.
        let mut element: pg_sys::relopt_parse_elt = unsafe { std::mem::zeroed() };
        element.optname = name.as_ptr();
        element.opttype = kind;
        element.offset = offset as i32;
        element
    };
    let elements = [
        element(c"m", RELOPT_TYPE_INT, std::mem::offset_of!(Parsed, m)),
        element(c"ef_construction", RELOPT_TYPE_INT, std::mem::offset_of!(Parsed, ef_construction)),
        element(c"quantization", RELOPT_TYPE_ENUM, std::mem::offset_of!(Parsed, quantization)),
    ];
    // SAFETY: the elements describe `Parsed`, whose size is given.
    unsafe {
        pg_sys::build_reloptions(
            reloptions,
            validate,
            RELOPT_KIND.get(),
            size_of::<Parsed>(),
            elements.as_ptr(),
            elements.len() as i32,
        )
        .cast()
    }
}

/// The options of an index.
///
/// # Safety
/// `index` is an open index of `onyx_hnsw`.
pub unsafe fn of(index: pg_sys::Relation) -> Options {
    // SAFETY: the caller's promise; rd_options is null or what `amoptions` built.
    let parsed = unsafe { (*index).rd_options.cast::<Parsed>().as_ref() };
    let (m, ef, at) =
        parsed.map_or((M.0, EF_CONSTRUCTION.0, 0), |p| (p.m, p.ef_construction, p.quantization));
    let quantization = QUANTIZATION.get(at as usize).map_or(Quantization::Auto, |(_, q)| *q);
    Options { m: m as u32, ef_construction: ef as u32, quantization }
}

impl Options {
    /// Checks what a single option's bounds cannot.
    pub fn validate(self) -> Result<Self, Error> {
        if self.ef_construction < 2 * self.m {
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "ef_construction must be greater than or equal to 2 * m",
            ));
        }
        Ok(self)
    }
}
