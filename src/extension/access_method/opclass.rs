//! What an operator class indexes, told by its support function 1: an `int4` constant.

use onyx_protocol::index::Metric;
use pgrx::prelude::*;

use super::KIND_PROC;
use crate::error::Error;

/// What an index's column is and how it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// pgvector's `vector` under a metric.
    Vector(Metric),
    /// pgvector's `halfvec` under a metric.
    Half(Metric),
    /// `text` by the cosine distance of its embeddings.
    Text,
}

impl Kind {
    fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Vector(Metric::L2),
            2 => Self::Vector(Metric::InnerProduct),
            3 => Self::Vector(Metric::Cosine),
            4 => Self::Vector(Metric::L1),
            11 => Self::Half(Metric::L2),
            12 => Self::Half(Metric::InnerProduct),
            13 => Self::Half(Metric::Cosine),
            14 => Self::Half(Metric::L1),
            100 => Self::Text,
            _ => return None,
        })
    }

    /// The kind of an index.
    ///
    /// # Safety
    /// `index` is an open index of `onyx_hnsw`.
    pub unsafe fn of(index: pg_sys::Relation) -> Result<Self, Error> {
        // SAFETY: the caller's promise; support functions of this access method take nothing and
        // return int4, as the operator classes in access_method.sql are defined.
        let code = unsafe {
            let function = pg_sys::index_getprocinfo(index, 1, KIND_PROC);
            pg_sys::FunctionCall0Coll(function, pg_sys::InvalidOid).value() as i32
        };
        Self::from_code(code).ok_or_else(|| {
            Error::sql(
                PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION,
                format!("operator class of an onyx_hnsw index has unknown kind {code}"),
            )
        })
    }

    /// The metric of its graph.
    pub fn metric(self) -> Metric {
        match self {
            Self::Vector(metric) | Self::Half(metric) => metric,
            Self::Text => Metric::Cosine,
        }
    }
}

macro_rules! kind_functions {
    ($($name:ident = $code:literal),*) => {$(
        crate::pg_function!($name);
        /// Support function of an operator class.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub extern "C-unwind" fn $name(_fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            pg_sys::Datum::from($code as i32)
        }
    )*};
}

kind_functions!(
    onyx_kind_vector_l2 = 1,
    onyx_kind_vector_ip = 2,
    onyx_kind_vector_cosine = 3,
    onyx_kind_vector_l1 = 4,
    onyx_kind_halfvec_l2 = 11,
    onyx_kind_halfvec_ip = 12,
    onyx_kind_halfvec_cosine = 13,
    onyx_kind_halfvec_l1 = 14,
    onyx_kind_text = 100
);

/// Operator classes are created by the extension's own script only: nothing to validate.
#[pg_guard]
pub unsafe extern "C-unwind" fn amvalidate(_opclass: pg_sys::Oid) -> bool {
    true
}
