//! `onyx.ingest_git`: a repository's history, a step at a time.
//!
//! The procedure in SQL calls [`ingest_git_step`] until nothing is left and commits between steps, so a
//! cancel or a crash loses at most one. What a step recorded is known to the next by its rows: the engine's
//! walk goes on in the same session, and where it cannot (another session, a rollback, a new engine) a new
//! one begins behind the commits that are there. Branches move, and the head is made visible, in the last
//! step alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use onyx_protocol::history::{BaseFile, HistoryBase, HistoryPlan, HistoryRequest, Ref};
use onyx_protocol::ingest::Notice;
use onyx_protocol::message::{Item, RequestBody, Response};
use pgrx::prelude::*;

use super::commits::Commits;
use super::record::Recorder;
use super::snapshot::Snapshot;
use super::{at, branches, contents, head, rows};
use crate::error::{Error, OrRaise};
use crate::progress::{Phase, Progress};
use crate::{client, ingest, model, query};

/// Nodes of files sent at once.
const BASE_NODES: usize = 200_000;
/// Time between two NOTICEs.
const NOTICE_EVERY: Duration = Duration::from_secs(10);

/// What one call asks for.
#[derive(Clone, PartialEq)]
struct Asked {
    repo: String,
    path: String,
    branches: Vec<String>,
    since: Option<i64>,
    until: Option<i64>,
    first_parent: bool,
}

/// A walk under way.
struct Open {
    asked: Asked,
    repo: i64,
    /// The number of the connection it is on.
    connection: Option<u64>,
    /// The repository's last commit: where it has another one, a transaction was rolled back, or somebody
    /// else recorded something.
    last: i32,
    /// Where it has another one, commits were forgotten.
    epoch: i64,
    recorder: Recorder,
    plan: HistoryPlan,
    done: u64,
    /// The last word on each path since the last step.
    notices: HashMap<String, Option<Notice>>,
    noticed: Instant,
}

thread_local! {
    static OPEN: RefCell<Option<Open>> = const { RefCell::new(None) };
}

/// Takes up to so many commits; true when there are more. The rows are committed by the caller.
#[pg_extern(sql = false)]
fn ingest_git_step(
    repo: Option<&str>,
    path: Option<&str>,
    branches: Option<Vec<String>>,
    since: Option<pgrx::datum::TimestampWithTimeZone>,
    until: Option<pgrx::datum::TimestampWithTimeZone>,
    first_parent: Option<bool>,
    max_commits: Option<i32>,
) -> TableIterator<'static, (name!(commits, i64), name!(more, bool))> {
    ingest::prevent_in_read_only(c"onyx.ingest_git()");
    let (Some(repo), Some(path)) = (repo, path) else { return TableIterator::empty() };
    let whole_seconds = |time| at::seconds(time).map(|seconds| seconds.floor() as i64);
    let asked = || -> Result<Asked, Error> {
        Ok(Asked {
            repo: repo.into(),
            path: path.into(),
            branches: branches.unwrap_or_default(),
            since: since.map(whole_seconds).transpose()?,
            until: until.map(whole_seconds).transpose()?,
            first_parent: first_parent.unwrap_or_default(),
        })
    };
    let limit = max_commits.unwrap_or(i32::MAX);
    let limit = u32::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(|| {
        let message = format!("commits_per_transaction must be at least 1, not {limit}");
        Error::sql(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message)
            .with_hint("NULL is one transaction for all.")
    });
    let done = limit.and_then(|limit| step(asked()?, limit)).or_raise();
    TableIterator::once(done)
}

fn step(asked: Asked, max_commits: u32) -> Result<(i64, bool), Error> {
    ingest::require_utf8()?;
    model::require_role(
        pg_sys::Oid::from(pg_sys::ROLE_PG_READ_SERVER_FILES),
        "pg_read_server_files",
        "ingest a git repository of the server",
    )?;
    if !asked.path.starts_with('/') {
        return Err(Error::sql(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("repository \"{}\" is not an absolute path", asked.path),
        )
        .with_hint("It is read on the server; give its absolute path there."));
    }
    client::wait_for_start();
    let repo = ingest::rows::repo(&asked.repo, Some(&asked.path))?;
    let mut progress = Progress::begin(Phase::History, &asked.repo);
    let mut open = match OPEN.take().filter(|open| goes_on(open, &asked, repo)) {
        Some(open) => open,
        None => begin(asked, repo)?,
    };
    progress.update(|slot| {
        slot.total = open.plan.commits;
        slot.done = open.done;
    });
    let answer = client::stream(RequestBody::HistoryWalk { commits: max_commits }, |item| {
        let Item::History(commits) = item else {
            return Err(Error::Protocol { detail: "Commits were expected.".into() });
        };
        let taken = commits.len() as u64;
        for commit in &commits {
            for file in &commit.files {
                open.notices.insert(file.path.clone(), None);
            }
            for (path, notice) in &commit.notices {
                open.notices.insert(path.clone(), Some(notice.clone()));
            }
        }
        let last = commits.last().map(|commit| commit.id.clone());
        ingest::with_own_memory(|| open.recorder.record(commits))?;
        open.last = last.and_then(|id| open.recorder.commit(&id)).unwrap_or(open.last);
        open.done += taken;
        progress.update(|slot| slot.done = open.done);
        Ok(())
    })?;
    rows::write_notices(repo, std::mem::take(&mut open.notices))?;
    let Response::HistoryWalked { more } = answer else {
        return Err(Error::Protocol { detail: "The end of a walk was expected.".into() });
    };
    let commits = open.done as i64;
    if more {
        if open.noticed.elapsed() > NOTICE_EVERY {
            open.noticed = Instant::now();
            pgrx::notice!("ingested {} of {} commits", open.done, open.plan.commits);
        }
        OPEN.set(Some(open));
        return Ok((commits, true));
    }
    client::call(RequestBody::HistoryClose)?;
    finish(&open, &mut progress)?;
    Ok((commits, false))
}

/// Whether a walk can go on: it was asked for in the same words, the engine still has it, and what it
/// recorded is there.
fn goes_on(open: &Open, asked: &Asked, repo: i64) -> bool {
    open.asked == *asked
        && open.repo == repo
        && Commits::of(repo).is_ok_and(|commits| commits.epoch() == open.epoch)
        && open.connection.is_some()
        && open.connection == client::number()
        && last_commit(repo).ok() == Some(open.last)
}

/// The last commit of a repository, of git or not; 0 when there is none.
fn last_commit(repo: i64) -> Result<i32, Error> {
    let last = query::one::<i32>(
        c"SELECT pg_catalog.max(id) FROM onyx.commits WHERE repo_id = $1",
        &[(pg_sys::INT8OID, repo.into_datum())],
    )?;
    Ok(last.unwrap_or_default())
}

fn begin(asked: Asked, repo: i64) -> Result<Open, Error> {
    let known = rows::known_commits(repo)?;
    let last = last_commit(repo)?;
    // What was forgotten stays so.
    let boundary = query::one::<f64>(
        c"SELECT pg_catalog.date_part('epoch', forgotten_before) FROM onyx.repos WHERE id = $1",
        &[(pg_sys::INT8OID, repo.into_datum())],
    )?;
    let boundary = boundary.map(|seconds| seconds.ceil() as i64);
    let request = HistoryRequest {
        path: asked.path.clone(),
        branches: asked.branches.clone(),
        since: asked.since.max(boundary),
        until: asked.until,
        first_parent: asked.first_parent,
        known: known.keys().cloned().collect(),
    };
    let Response::HistoryPlanned(plan) = client::call(RequestBody::HistoryOpen(request))? else {
        return Err(Error::Protocol { detail: "A plan was expected.".into() });
    };
    for note in &plan.notes {
        pgrx::notice!("{note}");
    }
    for base in &plan.bases {
        let commit = known.get(base).map(|(commit, _)| *commit).ok_or_else(|| Error::Protocol {
            detail: "The plan asks for the state of an unknown commit.".into(),
        })?;
        ingest::with_own_memory(|| send_base(repo, base, commit))?;
    }
    Ok(Open {
        asked,
        repo,
        connection: client::number(),
        last,
        epoch: Commits::of(repo)?.epoch(),
        recorder: Recorder::new(repo, known),
        plan,
        done: 0,
        notices: HashMap::new(),
        noticed: Instant::now(),
    })
}

/// Sends what the engine has to know of a commit it will see children of.
fn send_base(repo: i64, hash: &[u8], commit: i32) -> Result<(), Error> {
    let files = Snapshot::at(repo, commit)?.all()?;
    let ids: Vec<i32> = files.iter().map(|file| file.content).collect();
    let chains = contents::chains(&ids)?;
    let foreign = contents::foreign(&ids, &chains)?;
    let send = |files: Vec<BaseFile>| {
        let base = HistoryBase { commit: hash.to_vec(), files };
        client::call(RequestBody::HistoryBase(base)).map(|_| ())
    };
    let (mut batch, mut nodes, mut sent) = (Vec::new(), 0, false);
    for file in files {
        nodes += file.nodes.len();
        batch.push(BaseFile {
            path: file.path,
            content: i64::from(file.content),
            chain: chains.get(&file.content).copied(),
            facts: foreign.get(&file.content).map(|facts| facts.to_vec()),
            nodes: file.nodes,
        });
        if nodes > BASE_NODES {
            send(std::mem::take(&mut batch))?;
            (nodes, sent) = (0, true);
        }
    }
    // Of a commit without files too: the engine waits for it.
    if sent && batch.is_empty() { Ok(()) } else { send(batch) }
}

/// All commits are there: branches and tags move, and the default branch's head is what the graph shows.
fn finish(open: &Open, progress: &mut Progress) -> Result<(), Error> {
    let to_rows = |refs: &[Ref]| -> Vec<(String, i32)> {
        let rows =
            refs.iter().filter_map(|r| Some((r.name.clone(), open.recorder.commit(&r.commit)?)));
        rows.collect()
    };
    let moved = branches::set(
        open.repo,
        &to_rows(&open.plan.branches),
        open.plan.default_branch.as_deref(),
        &to_rows(&open.plan.tags),
    )?;
    for notice in moved {
        pgrx::notice!("{notice}");
    }
    if let Ok(commit) = at::head(open.repo) {
        progress.update(|slot| slot.phase = Phase::Ingesting);
        head::show(open.repo, &open.asked.repo, commit, progress)?;
    }
    Ok(())
}
