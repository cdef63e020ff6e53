//! Which files a repository had at a commit.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use onyx_protocol::facts::Language;
use onyx_protocol::numbers;
use pgrx::prelude::*;

use super::commits::Commits;
use super::past;
use crate::error::Error;
use crate::query;

/// Files that are looked up one by one.
const MAX_SINGLE: usize = 16;
/// Snapshots kept in a session.
const KEPT: usize = 8;
/// Nodes of a snapshot whose files' particulars are kept with it: at most some tens of megabytes.
const MAX_KEPT_NODES: usize = 500_000;

/// A commit and its repository's epoch.
type Key = (i32, i64);

thread_local! {
    static SNAPSHOTS: RefCell<Vec<(Key, Rc<Snapshot>)>> = const { RefCell::new(Vec::new()) };
}

/// The files of a commit: for each path the commit that last changed it.
pub struct Snapshot {
    /// By path, then the commit whose row of `file_versions` it is.
    pub files: HashMap<i32, i32>,
    /// Particulars of all.
    kept: OnceCell<Rc<Vec<FileAt>>>,
}

/// A file as it was.
#[derive(Clone)]
pub struct FileAt {
    /// Row of `onyx.paths`.
    pub path_id: i32,
    /// The path.
    pub path: String,
    /// Row of `onyx.contents`.
    pub content: i32,
    /// The commit that last changed it.
    pub commit: i32,
    /// Bytes of the file.
    pub size: i32,
    /// Lines of the file.
    pub lines: i32,
    /// Its language, in SQL's spelling.
    pub language: String,
    /// The module it is.
    pub module: String,
    /// Its node's id and its definitions', by number.
    pub nodes: Vec<i64>,
}

impl FileAt {
    /// Its language.
    pub fn language(&self) -> Result<Language, Error> {
        Language::from_name(&self.language).ok_or_else(|| {
            Error::sql(
                PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
                format!("onyx.contents is damaged: language \"{}\"", self.language),
            )
        })
    }
}

impl Snapshot {
    /// Of these files.
    pub fn new(files: HashMap<i32, i32>) -> Self {
        Self { files, kept: OnceCell::new() }
    }

    /// The files at a commit of a repository.
    pub fn at(repo: i64, commit: i32) -> Result<Rc<Self>, Error> {
        let wanted = (commit, Commits::of(repo)?.epoch());
        let kept = SNAPSHOTS.with_borrow_mut(|kept| {
            let place = kept.iter().position(|(key, _)| *key == wanted)?;
            let entry = kept.remove(place);
            let snapshot = entry.1.clone();
            kept.push(entry);
            Some(snapshot)
        });
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let snapshot = Rc::new(Self::read(repo, commit)?);
        SNAPSHOTS.with_borrow_mut(|kept| {
            if kept.len() >= KEPT {
                kept.remove(0);
            }
            kept.push((wanted, snapshot.clone()));
        });
        Ok(snapshot)
    }

    fn read(repo: i64, commit: i32) -> Result<Self, Error> {
        let commits = Commits::of(repo)?;
        // From the nearest snapshot at hand on the way here, what came since.
        let nearest = SNAPSHOTS.with_borrow(|kept| {
            let on_line = kept.iter().filter(|((at, epoch), _)| {
                *epoch == commits.epoch() && commits.is_on_line(*at, commit)
            });
            let nearest = on_line.max_by_key(|((at, _), _)| commits.depth(*at))?;
            Some((nearest.0.0, nearest.1.clone()))
        });
        // What is the last to have changed a path: its depth, the commit, and whether it is there.
        let mut last: HashMap<i32, (u32, i32, bool)> = HashMap::new();
        let since = match nearest {
            Some((at, snapshot)) => {
                let files = snapshot.files.iter();
                last.extend(files.map(|(path, by)| {
                    (*path, (commits.depth(*by).unwrap_or_default(), *by, true))
                }));
                at
            }
            None => 0,
        };
        let mut left: Vec<(i32, u32, i32)> = Vec::new();
        // Of the rows of one commit that follow each other the answer is the same.
        let mut asked = (0, None);
        query::latest(
            c"SELECT v.path_id, v.commit_id, v.old_path_id, v.content_id IS NOT NULL
              FROM onyx.commits c JOIN onyx.file_versions v ON v.commit_id = c.id
              WHERE c.repo_id = $1 AND c.id <= $2 AND c.id > $3",
            &[
                (pg_sys::INT8OID, repo.into_datum()),
                (pg_sys::INT4OID, commit.into_datum()),
                (pg_sys::INT4OID, since.into_datum()),
            ],
            &mut |row| {
                let (Some(path), Some(at)) = (row.get::<i32>(1), row.get::<i32>(2)) else {
                    return ControlFlow::Continue(());
                };
                if asked.0 != at {
                    let depth = commits.depth(at).filter(|_| commits.is_on_line(at, commit));
                    asked = (at, depth);
                }
                let Some(depth) = asked.1 else { return ControlFlow::Continue(()) };
                let there = row.get::<bool>(4).unwrap_or_default();
                let entry = last.entry(path).or_insert((depth, at, there));
                if depth >= entry.0 {
                    *entry = (depth, at, there);
                }
                if let Some(old) = row.get::<i32>(3) {
                    left.push((old, depth, at));
                }
                ControlFlow::Continue(())
            },
        )?;
        // A file that moved away has no row at its old path, unless another took its place.
        for (path, depth, at) in left {
            if let Some(entry) = last.get_mut(&path)
                && depth > entry.0
            {
                *entry = (depth, at, false);
            }
        }
        let files = last.into_iter().filter(|(_, (_, _, there))| *there);
        Ok(Self::new(files.map(|(path, (_, commit, _))| (path, commit)).collect()))
    }

    /// Files at a commit by their paths; those that are not there are left out.
    pub fn files(repo: i64, commit: i32, paths: &[&String]) -> Result<Vec<FileAt>, Error> {
        let names: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
        let ids: Option<Vec<i32>> = query::one(
            c"SELECT pg_catalog.array_agg(p.id) FROM onyx.paths p WHERE p.repo_id = $1 AND p.path = ANY ($2)",
            &[(pg_sys::INT8OID, repo.into_datum()), (pg_sys::TEXTARRAYOID, names.into_datum())],
        )?;
        let ids = ids.unwrap_or_default();
        // A few are looked up one by one, many by reading all.
        if ids.len() > MAX_SINGLE {
            return Self::at(repo, commit)?.particulars(&ids);
        }
        let files = ids.into_iter().map(|id| Self::file(repo, commit, id));
        Ok(files.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// One file at a commit, without all others.
    pub fn file(repo: i64, commit: i32, path: i32) -> Result<Option<FileAt>, Error> {
        let commits = Commits::of(repo)?;
        let mut last = None;
        query::latest(
            c"SELECT v.commit_id, v.content_id IS NOT NULL AND v.path_id = $1, v.path_id = $1 AS here
              FROM onyx.file_versions v
              WHERE (v.path_id = $1 OR v.old_path_id = $1) AND v.commit_id <= $2
              ORDER BY v.commit_id DESC, here DESC",
            &[(pg_sys::INT4OID, path.into_datum()), (pg_sys::INT4OID, commit.into_datum())],
            &mut |row| {
                if let (Some(at), Some(there)) = (row.get::<i32>(1), row.get::<bool>(2))
                    && commits.is_on_line(at, commit)
                {
                    last = there.then_some(at);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            },
        )?;
        let Some(at) = last else { return Ok(None) };
        let snapshot = Self::new(HashMap::from([(path, at)]));
        Ok(snapshot.particulars(&[path])?.pop())
    }

    /// Particulars of some of its files, in the order of their paths.
    pub fn particulars(&self, paths: &[i32]) -> Result<Vec<FileAt>, Error> {
        let paths: Vec<i32> =
            paths.iter().copied().filter(|path| self.files.contains_key(path)).collect();
        let commits: Vec<i32> = paths.iter().map(|path| self.files[path]).collect();
        let mut files = Vec::with_capacity(paths.len());
        let mut damaged = None;
        query::latest(
            c"SELECT v.path_id, p.path, v.content_id, v.commit_id, c.language, v.module, v.nodes, c.size, c.lines
              FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) t (path_id, commit_id)
              -- A row each, which the planner does not know of two columns: it would take them for one or two.
              CROSS JOIN LATERAL (
                  SELECT * FROM onyx.file_versions f
                  WHERE f.commit_id = t.commit_id AND f.path_id = t.path_id OFFSET 0) v
              JOIN onyx.paths p ON p.id = v.path_id
              JOIN onyx.contents c ON c.id = v.content_id
              ORDER BY p.path COLLATE \"C\"",
            &[
                (pg_sys::INT4ARRAYOID, paths.into_datum()),
                (pg_sys::INT4ARRAYOID, commits.into_datum()),
            ],
            &mut |row| {
                let text = |i| row.get::<String>(i).unwrap_or_default();
                let number = |i| row.get::<i32>(i).unwrap_or_default();
                let (path_id, commit) = (number(1), number(4));
                let nodes = row.get::<&[u8]>(7).unwrap_or_default();
                let Some(nodes) = numbers::decode(nodes) else {
                    damaged = Some((commit, path_id));
                    return ControlFlow::Break(());
                };
                files.push(FileAt {
                    path_id,
                    path: text(2),
                    content: number(3),
                    commit,
                    language: text(5),
                    module: text(6),
                    size: number(8),
                    lines: number(9),
                    nodes,
                });
                ControlFlow::Continue(())
            },
        )?;
        match damaged {
            None => Ok(files),
            Some((commit, path)) => Err(Error::sql(
                PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
                format!("onyx.file_versions is damaged: nodes of commit {commit}, path {path}"),
            )),
        }
    }

    /// The same of all, which the session keeps where it may.
    pub fn kept(&self) -> Result<Rc<Vec<FileAt>>, Error> {
        let may_keep = past::may_keep(&past::TABLES);
        if let Some(kept) = self.kept.get().filter(|_| may_keep) {
            return Ok(kept.clone());
        }
        let all = Rc::new(self.all()?);
        let nodes: usize = all.iter().map(|file| file.nodes.len() + 1).sum();
        if may_keep && nodes <= MAX_KEPT_NODES {
            // One that is there already is the same.
            _ = self.kept.set(all.clone());
        }
        Ok(all)
    }

    /// The same of all.
    pub fn all(&self) -> Result<Vec<FileAt>, Error> {
        let paths: Vec<i32> = self.files.keys().copied().collect();
        self.particulars(&paths)
    }
}
