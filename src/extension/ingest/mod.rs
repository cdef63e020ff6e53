//! Source to rows: one file from the client, or a directory of the server.
//!
//! The engine reads and parses; this side writes. Everything one call does is one transaction.

mod batch;
mod borders;
mod bulk;
mod edges;
pub mod links;
mod locks;
mod nodes;
mod places;
mod resolution;
pub mod rows;
mod sql_strings;
mod summary;
mod target;
mod verify;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use onyx_protocol::ingest::{ContentHash, KnownFile, Notice, SkipReason, WalkItem, WalkRequest};
use onyx_protocol::message::{Item, RequestBody, Response};
use pgrx::{PgMemoryContexts, prelude::*};

use crate::error::{Error, OrRaise};
use crate::history::change::About;
use crate::progress::{Phase, Progress};
use crate::{client, model};
pub use batch::Writer;
use edges::Edges;
pub use summary::Summary;
pub use target::Target;

/// Runs a step of a long command with memory of its own: what it hands to SQL is given back behind it,
/// not at the command's end. Nothing it returns may live in the server's memory.
pub fn with_own_memory<T>(step: impl FnOnce() -> T) -> T {
    let mut memory = PgMemoryContexts::Transient {
        parent: PgMemoryContexts::CurrentMemoryContext.value(),
        name: "onyx ingest",
        min_context_size: pg_sys::ALLOCSET_DEFAULT_MINSIZE,
        initial_block_size: pg_sys::ALLOCSET_DEFAULT_INITSIZE,
        max_block_size: pg_sys::ALLOCSET_DEFAULT_MAXSIZE,
    };
    // SAFETY: nothing the steps return lives in it; an error that leaves a step ends it with its parent.
    unsafe { memory.switch_to(|_| step()) }
}

/// Time between two NOTICEs of a long ingest.
const NOTICE_EVERY: Duration = Duration::from_secs(5);

#[allow(clippy::type_complexity, clippy::too_many_arguments)]
#[pg_extern(sql = false)]
fn ingest_directory(
    repo: Option<&str>,
    root: Option<&str>,
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    branch: Option<&str>,
    author: Option<&str>,
    authored_at: Option<pgrx::datum::TimestampWithTimeZone>,
    message: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(files, i64),
        name!(files_changed, i64),
        name!(files_removed, i64),
        name!(nodes, i64),
        name!(edges, i64),
        name!(bytes, i64),
        name!(skipped, pgrx::JsonB),
        name!(seconds, pgrx::JsonB),
        name!(commit_id, Option<i32>),
    ),
> {
    let (Some(repo), Some(root)) = (repo, root) else { return TableIterator::empty() };
    let (include, exclude) = (include.unwrap_or_default(), exclude.unwrap_or_default());
    let done = About::new(branch, author, authored_at, message)
        .and_then(|about| directory(repo, root, include, exclude, about));
    TableIterator::once(done.or_raise().into_row())
}

#[allow(clippy::type_complexity, clippy::too_many_arguments)]
#[pg_extern(sql = false)]
fn ingest_file(
    repo: Option<&str>,
    path: Option<&str>,
    content: Option<&[u8]>,
    language: Option<&str>,
    branch: Option<&str>,
    author: Option<&str>,
    authored_at: Option<pgrx::datum::TimestampWithTimeZone>,
    message: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(files, i64),
        name!(files_changed, i64),
        name!(files_removed, i64),
        name!(nodes, i64),
        name!(edges, i64),
        name!(bytes, i64),
        name!(skipped, pgrx::JsonB),
        name!(seconds, pgrx::JsonB),
        name!(commit_id, Option<i32>),
    ),
> {
    let (Some(repo), Some(path), Some(content)) = (repo, path, content) else {
        return TableIterator::empty();
    };
    let done = About::new(branch, author, authored_at, message)
        .and_then(|about| file(repo, path, content, language, about));
    TableIterator::once(done.or_raise().into_row())
}

#[pg_extern(sql = false)]
fn forget(repo: Option<&str>, path: Option<&str>) -> i64 {
    let Some(repo) = repo else { return 0 };
    prevent_in_read_only(c"onyx.forget()");
    rows::forget(repo, path).or_raise()
}

/// Raises on a standby and in a read-only transaction, before anything is tried.
pub fn prevent_in_read_only(command: &std::ffi::CStr) {
    // SAFETY: a NUL-terminated name; reads the transaction's state.
    unsafe { pg_sys::PreventCommandIfReadOnly(command.as_ptr()) };
}

pub fn require_utf8() -> Result<(), Error> {
    // SAFETY: reads the session's database encoding.
    if unsafe { pg_sys::GetDatabaseEncoding() } == pg_sys::pg_enc::PG_UTF8 as i32 {
        return Ok(());
    }
    Err(Error::sql(
        PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        "source code can be ingested only into a database with encoding UTF8",
    ))
}

fn file(
    repo: &str,
    path: &str,
    content: &[u8],
    language: Option<&str>,
    about: About,
) -> Result<Summary, Error> {
    prevent_in_read_only(c"onyx.ingest_file()");
    require_utf8()?;
    check_path(path)?;
    let begun = Instant::now();
    let repo_id = rows::repo(repo, None)?;
    let mut summary = Summary { files: 1, bytes: content.len() as u64, ..Summary::default() };
    let (mut target, known) = Target::open(repo_id, repo, about, Some(path))?;
    let hash: ContentHash = {
        use sha2::Digest;
        sha2::Sha256::digest(content).into()
    };
    // A language given by hand may differ from the one the same bytes had.
    if language.is_none() && known.get(path).is_some_and(|f| f.hash == hash) {
        summary.seconds.total = begun.elapsed();
        return Ok(summary);
    }
    let request = RequestBody::Parse {
        path: path.into(),
        language: language.map(str::to_owned),
        content: content.to_vec(),
    };
    match client::call_patiently(request)? {
        Response::Parsed(parsed) => {
            target.add(vec![*parsed])?;
            summary.files_changed = 1;
        }
        Response::Skipped(notice) => {
            summary.skip(notice.reason);
            target.skip(path, notice);
            if known.contains_key(path) {
                target.remove(&[path.to_string()])?;
            }
        }
        _ => return Err(Error::Protocol { detail: "A parsed file was expected.".into() }),
    }
    let write = Instant::now();
    let edges = target.finish(false, &mut summary)?;
    summary.seconds.write = write.elapsed();
    if let Some(edges) = edges {
        write_edges(edges, &mut summary)?;
    }
    summary.seconds.total = begun.elapsed();
    Ok(summary)
}

/// Paths are stored below a repository's root: relative, `/`-separated, without `.` and `..`.
pub fn check_path(path: &str) -> Result<(), Error> {
    let plain = !path.is_empty()
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if plain {
        return Ok(());
    }
    Err(Error::sql(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("invalid path \"{path}\""),
    )
    .with_hint("Give a path below the repository's root, such as src/main.rs."))
}

/// Whether what was ingested of a path stays although it could not be read now: it may still be
/// there.
fn keeps(reason: SkipReason) -> bool {
    matches!(reason, SkipReason::PermissionDenied | SkipReason::Io)
}

fn directory(
    repo: &str,
    root: &str,
    include: Vec<String>,
    exclude: Vec<String>,
    about: About,
) -> Result<Summary, Error> {
    prevent_in_read_only(c"onyx.ingest_directory()");
    require_utf8()?;
    model::require_role(
        pg_sys::Oid::from(pg_sys::ROLE_PG_READ_SERVER_FILES),
        "pg_read_server_files",
        "ingest a directory of the server",
    )?;
    if !root.starts_with('/') {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("directory \"{root}\" is not an absolute path"),
        )
        .with_hint("The directory is read on the server; give its absolute path there."));
    }
    let begun = Instant::now();
    let progress = Progress::begin(Phase::Ingesting, repo);
    let repo_id = rows::repo(repo, Some(root))?;
    let (target, known) = Target::open(repo_id, repo, about, None)?;
    let request = WalkRequest {
        root: root.into(),
        include,
        exclude,
        known: known
            .iter()
            .map(|(path, file)| KnownFile { path: path.clone(), hash: file.hash })
            .collect(),
    };
    let mut walk = Walk {
        gone: known.into_keys().collect(),
        target,
        summary: Summary::default(),
        kept: Vec::new(),
        progress,
        noticed: Instant::now(),
        writing: Duration::ZERO,
    };
    client::wait_for_start();
    let answer = client::stream(RequestBody::Walk(request), |item| match item {
        Item::Walk(items) => walk.take(items),
        _ => Err(Error::Protocol { detail: "Files were expected.".into() }),
    })?;
    let Response::Walked(walked) = answer else {
        return Err(Error::Protocol { detail: "The end of a walk was expected.".into() });
    };
    walk.progress.update(|slot| slot.phase = Phase::Cleaning);
    let write = Instant::now();
    let mut summary = walk.summary;
    let gone: Vec<String> = walk
        .gone
        .into_iter()
        .filter(|path| !walk.kept.iter().any(|kept| is_below(path, kept)))
        .collect();
    summary.files_removed = walk.target.remove(&gone)?;
    let edges = walk.target.finish(true, &mut summary)?;
    summary.files = walked.files;
    summary.bytes = walked.bytes;
    summary.seconds.read = Duration::from_secs_f64(walked.read_seconds.max(0.0));
    summary.seconds.parse = Duration::from_secs_f64(walked.parse_seconds.max(0.0));
    summary.seconds.write = walk.writing + write.elapsed();
    walk.progress.update(|slot| slot.phase = Phase::Resolving);
    if let Some(edges) = edges {
        write_edges(edges, &mut summary)?;
    }
    summary.seconds.total = begun.elapsed();
    Ok(summary)
}

pub fn write_edges(edges: Edges, summary: &mut Summary) -> Result<(), Error> {
    let begun = Instant::now();
    summary.edges = edges.write()?;
    summary.seconds.resolve = begun.elapsed();
    Ok(())
}

/// Cuts items into batches of about so many bytes.
pub fn cut<T>(items: Vec<T>, mut size: impl FnMut(&T) -> usize, bytes: usize) -> Vec<Vec<T>> {
    let mut batches = Vec::new();
    let (mut batch, mut so_far) = (Vec::new(), 0);
    for item in items {
        so_far += size(&item);
        batch.push(item);
        if so_far >= bytes {
            batches.push(std::mem::take(&mut batch));
            so_far = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

fn is_below(path: &str, kept: &str) -> bool {
    path.strip_prefix(kept).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A directory being ingested.
struct Walk {
    /// Known paths that were not met yet.
    gone: HashSet<String>,
    /// Paths that could not be read and keep what is known of them.
    kept: Vec<String>,
    target: Target,
    summary: Summary,
    progress: Progress,
    noticed: Instant,
    writing: Duration,
}

impl Walk {
    fn take(&mut self, items: Vec<WalkItem>) -> Result<(), Error> {
        let begun = Instant::now();
        let mut counts: HashMap<&str, u64> = HashMap::new();
        let mut parsed = Vec::new();
        for item in items {
            *counts.entry("files").or_default() += 1;
            match item {
                WalkItem::Parsed(file) => {
                    self.gone.remove(&file.path);
                    self.summary.files_changed += 1;
                    *counts.entry("bytes").or_default() += file.size;
                    parsed.push(*file);
                }
                WalkItem::Unchanged { path } => {
                    self.gone.remove(&path);
                }
                WalkItem::Skipped { path, notice } => self.skip(path, notice),
            }
        }
        self.target.add(parsed)?;
        let count = |name| counts.get(name).copied().unwrap_or_default();
        let nodes = self.target.nodes();
        self.progress.update(|slot| {
            slot.done += count("files");
            slot.bytes += count("bytes");
            slot.nodes = nodes;
        });
        self.writing += begun.elapsed();
        if self.noticed.elapsed() > NOTICE_EVERY {
            self.noticed = Instant::now();
            pgrx::notice!(
                "ingested {} changed files, {nodes} nodes so far",
                self.summary.files_changed
            );
        }
        Ok(())
    }

    fn skip(&mut self, path: String, notice: Notice) {
        self.summary.skip(notice.reason);
        if keeps(notice.reason) {
            self.kept.push(path.clone());
        }
        self.target.skip(&path, notice);
    }
}
