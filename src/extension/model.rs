//! Embedding models and the SQL functions that run them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use onyx_protocol::limits::MAX_DIMENSIONS;
use onyx_protocol::message::{EmbeddingStat, RequestBody, Response};
use onyx_protocol::model::{ModelSpec, Pooling};
use pgrx::fcinfo::{pg_arg_is_null, pg_getarg, pg_getarg_datum};
use pgrx::{PgMemoryContexts, prelude::*};
use sha2::{Digest, Sha256};

use crate::error::{Error, OrRaise};
use crate::progress::{Phase, Progress};
use crate::{client, guc, paths, vector, xact};

/// Embeddings a backend remembers: 384 dimensions make these 6 MB.
const CACHED_VECTORS: usize = 4096;
/// How long a queue that only fails is waited for.
const FAILING_TIMEOUT: Duration = Duration::from_secs(10);

type VectorKey = [u8; 32];

thread_local! {
    /// Embeddings this backend asked for lately. An ordered scan computes its distances again for the
    /// rows it returns, and must not ask the engine for each.
    static VECTORS: RefCell<HashMap<VectorKey, Vec<f32>>> = RefCell::new(HashMap::new());
}

fn pooling(name: &str) -> Result<Pooling, Error> {
    match name {
        "mean" => Ok(Pooling::Mean),
        "cls" => Ok(Pooling::Cls),
        "last" => Ok(Pooling::Last),
        _ => Err(Error::sql(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("unknown pooling \"{name}\""),
        )
        .with_hint("Poolings are mean, cls and last.")),
    }
}

/// The model of the setting `onyx.model`.
pub fn current() -> Result<ModelSpec, Error> {
    by_name(&guc::non_empty(&guc::MODEL).unwrap_or_default())
}

fn by_name(name: &str) -> Result<ModelSpec, Error> {
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT model_path, tokenizer_path, dimensions, pooling, normalized, max_tokens
             FROM onyx.models WHERE name OPERATOR(pg_catalog.=) $1",
            Some(1),
            &[name.into()],
        )?;
        let Some(row) = rows.into_iter().next() else {
            return Err(Error::sql(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("embedding model \"{name}\" does not exist"),
            )
            .with_hint("Models are listed in onyx.models; onyx.register_model adds one."));
        };
        let text = |i| -> Result<String, Error> { Ok(row.get::<String>(i)?.unwrap_or_default()) };
        let number = |i| -> Result<i32, Error> { Ok(row.get::<i32>(i)?.unwrap_or_default()) };
        Ok(ModelSpec {
            name: name.into(),
            model_path: paths::shared(&text(1)?),
            tokenizer_path: paths::shared(&text(2)?),
            dimensions: number(3)? as u32,
            pooling: pooling(&text(4)?)?,
            normalize: row.get::<bool>(5)?.unwrap_or_default(),
            max_tokens: number(6)? as u32,
        })
    })
}

fn vector_key(model: &ModelSpec, text: &str) -> VectorKey {
    let mut hash = Sha256::new();
    // Everything that tells one model from another in SQL; a model file replaced in place is
    // noticed by the engine, and here by the next session.
    hash.update(format!("{model:?}\0"));
    hash.update(text);
    hash.finalize().into()
}

/// Embeddings of texts, asking the engine at most once.
fn embed(model: &ModelSpec, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
    let keys: Vec<VectorKey> = texts.iter().map(|t| vector_key(model, t)).collect();
    let mut found: Vec<Option<Vec<f32>>> =
        VECTORS.with_borrow(|cache| keys.iter().map(|k| cache.get(k).cloned()).collect());
    let missing: Vec<usize> = (0..texts.len()).filter(|i| found[*i].is_none()).collect();
    if !missing.is_empty() {
        let asked = missing.iter().map(|i| texts[*i].to_string()).collect();
        let answer =
            client::call_patiently(RequestBody::Embed { model: model.clone(), texts: asked })?;
        let vectors = rows_of(answer, missing.len())?;
        VECTORS.with_borrow_mut(|cache| {
            if cache.len() + missing.len() > CACHED_VECTORS {
                cache.clear();
            }
            for (i, vector) in missing.into_iter().zip(vectors) {
                if cache.len() < CACHED_VECTORS {
                    cache.insert(keys[i], vector.clone());
                }
                found[i] = Some(vector);
            }
        });
    }
    Ok(found.into_iter().flatten().collect())
}

fn rows_of(answer: Response, count: usize) -> Result<Vec<Vec<f32>>, Error> {
    match answer {
        Response::Vectors { dimensions, values }
            if (1..=MAX_DIMENSIONS).contains(&(dimensions as usize))
                && values.len() == count * dimensions as usize =>
        {
            Ok(values.chunks_exact(dimensions as usize).map(<[f32]>::to_vec).collect())
        }
        _ => Err(Error::Protocol { detail: format!("{count} vectors were expected.") }),
    }
}

fn model_argument(fcinfo: pg_sys::FunctionCallInfo, index: usize) -> Result<ModelSpec, Error> {
    // SAFETY: called from functions declared with a text argument at this index.
    match unsafe { pg_getarg::<String>(fcinfo, index) } {
        Some(name) => by_name(&name),
        None => current(),
    }
}

fn null(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: PostgreSQL hands a valid call.
    unsafe { pgrx::fcinfo::pg_return_null(fcinfo) }
}

crate::pg_function!(onyx_embed);

/// `onyx.embed(text, text) returns vector`.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn onyx_embed(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: declared with a text at 0.
    let Some(text) = (unsafe { pg_getarg::<String>(fcinfo, 0) }) else { return null(fcinfo) };
    let model = model_argument(fcinfo, 1).or_raise();
    let vectors = embed(&model, &[&text]).or_raise();
    vector::to_datum(&vectors[0])
}

crate::pg_function!(onyx_embed_array);

/// `onyx.embed(text[], text) returns vector[]`.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn onyx_embed_array(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: declared with a text[] at 0; the datum is checked for NULL first.
    let texts = unsafe {
        if pg_arg_is_null(fcinfo, 0) {
            return null(fcinfo);
        }
        pg_getarg_datum(fcinfo, 0)
            .and_then(|datum| Vec::<Option<String>>::from_datum(datum, false))
            .unwrap_or_default()
    };
    let limit = onyx_protocol::limits::MAX_EMBED_TEXTS;
    if texts.len() > limit {
        Error::sql(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("cannot embed {} texts at once, at most {limit}", texts.len()),
        )
        .raise();
    }
    let model = model_argument(fcinfo, 1).or_raise();
    let present: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
    let mut vectors = embed(&model, &present).or_raise().into_iter();
    let mut nulls = Vec::with_capacity(texts.len());
    let mut datums = Vec::with_capacity(texts.len());
    for text in &texts {
        let vector = text.as_ref().and_then(|_| vectors.next());
        nulls.push(vector.is_none());
        datums.push(vector.map_or(pg_sys::Datum::null(), |v| vector::to_datum(&v)));
    }
    // SAFETY: the result type is an array of pgvector's type, as declared; arrays and values have
    // the same length, and vectors are plain int-aligned varlenas.
    unsafe {
        let element = pg_sys::get_element_type(pg_sys::get_fn_expr_rettype((*fcinfo).flinfo));
        let mut dimensions = [datums.len() as i32];
        let mut lower = [1];
        if datums.is_empty() {
            return pg_sys::Datum::from(pg_sys::construct_empty_array(element));
        }
        let array = pg_sys::construct_md_array(
            datums.as_mut_ptr(),
            nulls.as_mut_ptr(),
            1,
            dimensions.as_mut_ptr(),
            lower.as_mut_ptr(),
            element,
            -1,
            false,
            b'i' as std::ffi::c_char,
        );
        pg_sys::Datum::from(array)
    }
}

crate::pg_function!(onyx_text_distance);

/// `onyx.text_distance(text, text) returns float8`.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn onyx_text_distance(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: declared STRICT with two texts.
    let texts = unsafe { (pg_getarg::<String>(fcinfo, 0), pg_getarg::<String>(fcinfo, 1)) };
    let (Some(a), Some(b)) = texts else { return null(fcinfo) };
    let model = current_cached(fcinfo);
    let vectors = embed(&model, &[&a, &b]).or_raise();
    let distance = cosine_distance(&vectors[0], &vectors[1]);
    pg_sys::Datum::from(distance.to_bits())
}

/// Semantic distances of texts from a question under the current model.
pub fn distances(question: &str, texts: &[&str]) -> Result<Vec<f64>, Error> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<&str> = std::iter::once(question).chain(texts.iter().copied()).collect();
    let vectors = embed(&current()?, &all)?;
    Ok(vectors[1..].iter().map(|vector| cosine_distance(vector, &vectors[0])).collect())
}

/// The current model, looked up once for each call site of a query.
fn current_cached(fcinfo: pg_sys::FunctionCallInfo) -> ModelSpec {
    // SAFETY: fn_extra belongs to this function, whose only use of it this is; the value is dropped
    // with fn_mcxt.
    unsafe {
        let flinfo = (*fcinfo).flinfo;
        if flinfo.is_null() {
            return current().or_raise();
        }
        if (*flinfo).fn_extra.is_null() {
            let model = current().or_raise();
            (*flinfo).fn_extra =
                PgMemoryContexts::For((*flinfo).fn_mcxt).leak_and_drop_on_delete(model).cast();
        }
        (*(*flinfo).fn_extra.cast::<ModelSpec>()).clone()
    }
}

fn cosine_distance(a: &[f32], b: &[f32]) -> f64 {
    let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    1.0 - (dot / (aa * bb).sqrt()).clamp(-1.0, 1.0)
}

/// Whether the calling role is a member of one of PostgreSQL's predefined roles.
pub fn require_role(role: pg_sys::Oid, name: &str, what: &str) -> Result<(), Error> {
    // SAFETY: catalog look-ups in a transaction.
    if unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), role) } {
        return Ok(());
    }
    Err(Error::sql(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied to {what}"),
    )
    .with_hint(format!("Only roles with privileges of the role \"{name}\" may do this.")))
}

#[pg_extern(sql = false)]
fn probe_model(
    name: &str,
    model_path: &str,
    tokenizer_path: &str,
    dimensions: i32,
    pooling: &str,
    normalize: bool,
    max_tokens: i32,
) -> bool {
    require_role(
        pg_sys::Oid::from(pg_sys::ROLE_PG_READ_SERVER_FILES),
        "pg_read_server_files",
        "read a model from a server file",
    )
    .or_raise();
    let spec = ModelSpec {
        name: name.into(),
        model_path: paths::shared(model_path),
        tokenizer_path: paths::shared(tokenizer_path),
        dimensions: dimensions.max(0) as u32,
        pooling: self::pooling(pooling).or_raise(),
        normalize,
        max_tokens: max_tokens.max(0) as u32,
    };
    let answer = client::call_patiently(RequestBody::ProbeModel(spec)).or_raise();
    rows_of(answer, 1).or_raise();
    true
}

/// State of the embedding queue.
pub fn embedding_stat() -> Result<EmbeddingStat, Error> {
    match client::call(RequestBody::EmbeddingStat)? {
        Response::Embedding(stat) => Ok(stat),
        _ => Err(Error::Protocol { detail: "The embedding queue's state was expected.".into() }),
    }
}

#[pg_extern(sql = false)]
fn wait_for_embeddings(timeout: Option<Interval>) -> bool {
    let timeout =
        timeout.map(|t| Duration::from_micros(t.as_micros().clamp(0, i128::from(i64::MAX)) as u64));
    xact::flush_all();
    wait(timeout).or_raise()
}

fn wait(timeout: Option<Duration>) -> Result<bool, Error> {
    let begun = Instant::now();
    let progress = Progress::begin(Phase::Embedding, "");
    let mut first = None;
    let mut moved = Instant::now();
    let mut last_pending = u64::MAX;
    loop {
        let stat = match embedding_stat() {
            Ok(stat) => stat,
            // The queue is on disk: the next engine goes on with it.
            Err(e) if e.is_engine_failure() && moved.elapsed() < FAILING_TIMEOUT => {
                client::sleep(Duration::from_millis(100));
                continue;
            }
            Err(e) => return Err(e),
        };
        let pending: u64 = stat.models.iter().map(|m| m.pending).sum();
        if pending == 0 {
            return Ok(true);
        }
        if pending != last_pending {
            (last_pending, moved) = (pending, Instant::now());
        }
        let failure = stat.models.iter().find(|m| m.pending > 0 && !m.last_error.is_empty());
        if let Some(model) = failure
            && moved.elapsed() > FAILING_TIMEOUT
        {
            return Err(Error::Sql {
                code: PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
                message: format!(
                    "{} texts cannot be embedded by model \"{}\"",
                    model.pending, model.model
                ),
                detail: model.last_error.clone(),
                hint: "They stay queued; see onyx.stat_embedding.".into(),
            });
        }
        let total = *first.get_or_insert(pending);
        progress.update(|slot| {
            slot.done = total.saturating_sub(pending);
            slot.total = total;
        });
        if timeout.is_some_and(|t| begun.elapsed() >= t) {
            return Ok(false);
        }
        client::sleep(Duration::from_millis(25));
    }
}
