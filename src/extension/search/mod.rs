//! What `onyx.search` is made of: words, BM25, and whether the semantic half can answer.

mod bm25;
mod lexicon;
mod words;

use pgrx::prelude::*;

use crate::access_method;
use crate::error::Error;

pub use bm25::{Document, best};
pub use lexicon::Lexicon;

#[pg_extern(sql = false)]
fn words(input: &str) -> String {
    words::words(input)
}

/// Whether an index on texts can answer; warns when it cannot.
#[pg_extern(sql = false)]
pub fn semantic_available(index: pg_sys::Oid) -> bool {
    let lock = pg_sys::AccessShareLock as i32;
    // SAFETY: opened and closed here; only an index of this access method is read as one.
    let unusable = unsafe {
        let relation = pg_sys::index_open(index, lock);
        let ours = access_method::is_ours(relation);
        let unusable = if ours { access_method::why_unusable(relation) } else { None };
        pg_sys::index_close(relation, lock);
        if !ours {
            Error::sql(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, "an onyx_hnsw index is expected")
                .raise();
        }
        unusable
    };
    let Some(reason) = unusable else { return true };
    Error::Sql {
        code: PgSqlErrorCode::ERRCODE_WARNING,
        message: "answering by words alone: the semantic index cannot answer now".into(),
        detail: format!("Reason: {reason}."),
        hint: "See onyx.stat_index and onyx.stat_engine.".into(),
    }
    .warn();
    false
}

#[pg_extern(sql = false)]
fn bm25(
    ids: Option<Vec<i64>>,
    documents: Option<pgrx::datum::AnyArray>,
    query: Option<Vec<String>>,
    corpus: Option<f64>,
    max_rows: Option<i32>,
) -> TableIterator<'static, (name!(id, i64), name!(score, f64))> {
    let (Some(ids), Some(documents), Some(query)) = (ids, documents, query) else {
        return TableIterator::new(Vec::new());
    };
    // SAFETY: declared with tsvector[].
    let documents = unsafe { bm25::documents(documents.datum()) };
    let corpus = corpus.unwrap_or(1.0);
    let limit = max_rows.unwrap_or(i32::MAX).max(0) as usize;
    TableIterator::new(bm25::best(&ids, &documents, &query, corpus, limit))
}
