//! Requests to rooms.

use std::path::Path;

use onyx_protocol::facts::Language;
use onyx_protocol::index::{Content, GenerationHeader, GenerationId, HeapTid, QueryValue};
use onyx_protocol::ingest::{WalkItem, WalkRequest};
use onyx_protocol::limits::{MAX_EMBED_TEXTS, MAX_FILE_BYTES, STREAM_BATCH_BYTES};
use onyx_protocol::message::{Item, RequestBody, Response};
use onyx_protocol::model::ModelSpec;
use onyx_protocol::{ErrorKind, WireError};

use super::cache::store_key;
use super::connection::Call;
use super::ingests::Ingest;
use super::resolution::Session;
use super::{Engine, history, stat};
use crate::embed::Priority;
use crate::history::compare;
use crate::index::{Ranking, Wanted};
use crate::{parse, walk};

/// A text no cache has: its vector proves that a model runs.
const PROBE: &str = "onyx probes a model";

/// What a connection has begun.
pub struct Sessions {
    resolution: Session,
    history: history::Session,
    /// Of the search it may go on with.
    ranking: Option<Ranking>,
}

impl Sessions {
    /// Of one that ingests nothing yet.
    pub fn new(ingest: Ingest) -> Self {
        Self {
            resolution: Session::new(ingest),
            history: history::Session::default(),
            ranking: None,
        }
    }
}

/// Answers a request.
pub fn run(
    engine: &Engine,
    sessions: &mut Sessions,
    body: RequestBody,
    call: &Call<'_>,
) -> Result<Response, WireError> {
    let indexes = &engine.indexes;
    let Sessions { resolution: session, history, ranking } = sessions;
    Ok(match body {
        RequestBody::Stat => Response::Stat(stat::engine(engine)),
        RequestBody::EmbeddingStat => Response::Embedding(stat::embedding(engine)),
        RequestBody::ProbeModel(spec) => probe(engine, &spec, call)?,
        RequestBody::Embed { model, texts } => embed(engine, &model, &texts, call)?,
        RequestBody::Parse { path, language, content } => {
            parse_file(engine, &path, language.as_deref(), &content, call)?
        }
        RequestBody::Walk(request) => walk(engine, session, &request, call)?,
        RequestBody::ParseFiles { files } => session.part(|_| {
            walk::parse_files(
                &files,
                &engine.parse_limits(),
                engine.workers(),
                &|| call.cancelled(),
                &mut |items| call.send(&Item::Walk(items)),
            )?;
            Ok(Response::Done)
        })?,
        RequestBody::ResolveBegin { repo, state } => {
            session.part(|session| Ok(session.begin(&engine.kept, repo, state)))?
        }
        RequestBody::ResolveUse { repo, state } => {
            session.part(|session| session.join(&engine.kept, repo, state))?
        }
        RequestBody::ResolveBefore { files } => session.part(|session| session.before(files))?,
        RequestBody::ResolveAdd { repo, files } => {
            session.part(|session| session.add(repo, files))?
        }
        RequestBody::ResolvePlan => session.part(Session::plan)?,
        RequestBody::ResolveFiles { bodies } => session.part(|session| {
            session.resolve(&bodies, engine.workers(), &|| call.cancelled(), &mut |files| {
                call.send(&Item::Resolved(files))
            })
        })?,
        RequestBody::ResolveEnd { states } => session.end(&engine.kept, &states),
        RequestBody::HistoryOpen(request) => history.open(&request, &|| call.cancelled())?,
        RequestBody::HistoryBase(base) => history.base(base)?,
        RequestBody::HistoryWalk { commits } => session.part(|_| {
            history.walk(
                commits,
                &engine.parse_limits(),
                engine.workers(),
                &|| call.cancelled(),
                &mut |commits| call.send(&Item::History(commits)),
            )
        })?,
        RequestBody::HistoryClose => history.close(),
        RequestBody::HistoryCompare(comparison) => session.part(|_| {
            let (limits, workers) = (engine.parse_limits(), engine.workers());
            let compared = compare(comparison, &limits, workers, &|| call.cancelled())?;
            Ok(Response::HistoryCompared(Box::new(compared)))
        })?,
        RequestBody::IndexCreate(header) => create(engine, header)?,
        RequestBody::IndexInsert { generation, stamp, durable, entries } => {
            let number = indexes.insert(generation, stamp, durable, entries)?;
            Response::Written { number }
        }
        RequestBody::IndexFinish { generation } => {
            indexes.finish(
                generation,
                &mut |done, total| call.send(&Item::Progress { done, total }),
                &|| call.cancelled(),
            )?;
            Response::Done
        }
        RequestBody::IndexSync { generations } => {
            indexes.sync(&generations)?;
            Response::Done
        }
        RequestBody::IndexStatus { generations } => Response::Index(indexes.status(&generations)),
        RequestBody::IndexSearch { generation, query, k, ef, after } => {
            let query = query_vector(engine, generation, query, call)?;
            let wanted = Wanted { k: k as usize, ef: ef as usize, after: after as usize };
            let found = indexes.go_on(generation, &query, wanted, ranking, &|| call.cancelled())?;
            Response::Hits { hits: found.hits, complete: found.complete }
        }
        RequestBody::IndexPrewarm { generation } => {
            let bytes = indexes.prewarm(generation, &|| call.cancelled())?;
            Response::Prewarmed { bytes }
        }
        RequestBody::IndexTids { generation } => {
            indexes.tids(generation, &mut |tids| call.send(&Item::Tids(tids)))?;
            Response::Done
        }
        RequestBody::IndexOutOfReach { generation } => {
            let tids = indexes.out_of_reach(generation, &|| call.cancelled())?;
            tids.chunks(STREAM_BATCH_BYTES / size_of::<HeapTid>())
                .try_for_each(|part| call.send(&Item::Tids(part.to_vec())))?;
            Response::Done
        }
        RequestBody::IndexDelete { generation, vacuum_lsn, tids } => {
            indexes.delete(generation, vacuum_lsn, &tids)?;
            Response::Done
        }
        RequestBody::IndexDrop { generations } => {
            indexes.drop_generations(&generations)?;
            Response::Done
        }
        RequestBody::IndexList { database } => Response::Headers(indexes.list(database)),
        RequestBody::Checkpoint { path } => {
            if !path.starts_with('/') {
                return Err(WireError::new(
                    ErrorKind::InvalidRequest,
                    format!("\"{path}\" is not an absolute path"),
                ));
            }
            engine.store.checkpoint(Path::new(&path))?;
            Response::Done
        }
    })
}

fn walk(
    engine: &Engine,
    session: &Session,
    request: &WalkRequest,
    call: &Call<'_>,
) -> Result<Response, WireError> {
    let ingest = session.ingest.request();
    let mut unchanged = 0;
    let mut changed = false;
    let walked = walk::walk(
        request,
        &engine.parse_limits(),
        engine.workers(),
        &|| call.cancelled(),
        &mut |items| {
            unchanged += items.iter().filter(|i| matches!(i, WalkItem::Unchanged { .. })).count();
            changed |= items.iter().any(|item| matches!(item, WalkItem::Parsed(_)));
            call.send(&Item::Walk(items))
        },
    )?;
    // Where nothing is new and nothing gone, nothing is resolved.
    if changed || unchanged < request.known.len() {
        ingest.more_follows();
    }
    Ok(Response::Walked(walked))
}

fn embed(
    engine: &Engine,
    model: &ModelSpec,
    texts: &[String],
    call: &Call<'_>,
) -> Result<Response, WireError> {
    if texts.len() > MAX_EMBED_TEXTS {
        return Err(WireError::new(
            ErrorKind::InvalidRequest,
            format!("cannot embed {} texts at once, at most {MAX_EMBED_TEXTS}", texts.len()),
        ));
    }
    let embedded =
        engine.embedder.embed(model, texts, Priority::Interactive, &|| call.cancelled())?;
    Ok(Response::Vectors { dimensions: embedded.dimensions as u32, values: embedded.values })
}

/// Runs a model on a text, past the cache.
fn probe(engine: &Engine, spec: &ModelSpec, call: &Call<'_>) -> Result<Response, WireError> {
    let model = engine.embedder.model(spec)?;
    let embedded = model.embed(&[PROBE], &|| call.cancelled())?;
    Ok(Response::Vectors { dimensions: model.dimensions() as u32, values: embedded.values })
}

fn parse_file(
    engine: &Engine,
    path: &str,
    language: Option<&str>,
    content: &[u8],
    call: &Call<'_>,
) -> Result<Response, WireError> {
    if content.len() > MAX_FILE_BYTES {
        return Err(WireError::new(
            ErrorKind::InvalidRequest,
            format!("file of {} bytes is over the limit of {MAX_FILE_BYTES}", content.len()),
        ));
    }
    let known = || Language::ALL.map(Language::as_str).join(", ");
    let language = match language {
        Some(name) => Language::from_name(name).ok_or_else(|| {
            WireError::new(ErrorKind::InvalidRequest, format!("unknown language \"{name}\""))
                .hint(format!("Languages are {}.", known()))
        })?,
        None => Language::from_path(path).ok_or_else(|| {
            WireError::new(
                ErrorKind::InvalidRequest,
                format!("the language of \"{path}\" is not known"),
            )
            .hint(format!("Give the language; there are {}.", known()))
        })?,
    };
    match parse::parse_to_keep(path, language, content, &engine.parse_limits(), &|| {
        call.cancelled()
    }) {
        Ok(parsed) => Ok(Response::Parsed(Box::new(parsed))),
        Err(notice) => Ok(Response::Skipped(notice)),
    }
}

/// Begins a generation; one of texts under the identity its model has now.
fn create(engine: &Engine, header: GenerationHeader) -> Result<Response, WireError> {
    let model = match &header.content {
        Content::Texts(spec) => Some(store_key(engine.embedder.model(spec)?.key())),
        Content::Vectors => None,
    };
    engine.indexes.create(header, model)?;
    Ok(Response::Done)
}

fn query_vector(
    engine: &Engine,
    generation: GenerationId,
    query: QueryValue,
    call: &Call<'_>,
) -> Result<Vec<f32>, WireError> {
    Ok(match query {
        QueryValue::Vector(vector) => vector,
        QueryValue::Text(text) => {
            let header = engine.indexes.header(generation).ok_or_else(|| {
                WireError::new(ErrorKind::GenerationUnusable, "unknown index generation")
            })?;
            let Content::Texts(spec) = &header.content else {
                return Err(WireError::new(
                    ErrorKind::InvalidRequest,
                    "a text cannot be searched in an index of vectors",
                ));
            };
            let embedded = engine
                .embedder
                .embed(spec, &[text], Priority::Interactive, &|| call.cancelled())?;
            if engine.indexes.model(generation) != Some(store_key(embedded.model)) {
                return Err(WireError::new(
                    ErrorKind::GenerationUnusable,
                    format!("model \"{}\" is not the one the index was built with", spec.name),
                )
                .hint("Rebuild the index."));
            }
            embedded.values
        }
    })
}
