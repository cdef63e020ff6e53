//! Which files a repository had at a commit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use onyx_protocol::facts::Language;
use pgrx::prelude::*;

use super::commits::Commits;
use super::numbers;
use crate::error::Error;

/// Files that are looked up one by one.
const MAX_SINGLE: usize = 16;
/// Snapshots kept in a session.
const KEPT: usize = 8;

thread_local! {
    static SNAPSHOTS: RefCell<Vec<((i64, i32), Rc<Snapshot>)>> = const { RefCell::new(Vec::new()) };
}

/// The files of a commit: for each path the commit that last changed it.
pub struct Snapshot {
    /// By path, then the commit whose row of `file_versions` it is.
    pub files: HashMap<i32, i32>,
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
    /// The files at a commit of a repository.
    pub fn at(repo: i64, commit: i32) -> Result<Rc<Self>, Error> {
        let kept = SNAPSHOTS.with_borrow_mut(|kept| {
            let place = kept.iter().position(|(key, _)| *key == (repo, commit))?;
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
            kept.push(((repo, commit), snapshot.clone()));
        });
        Ok(snapshot)
    }

    fn read(repo: i64, commit: i32) -> Result<Self, Error> {
        let commits = Commits::of(repo)?;
        // What is the last to have changed a path: its depth, the commit, and whether it is there.
        let mut last: HashMap<i32, (u32, i32, bool)> = HashMap::new();
        let mut left: Vec<(i32, u32, i32)> = Vec::new();
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT v.path_id, v.commit_id, v.old_path_id, v.content_id IS NOT NULL
                 FROM onyx.commits c JOIN onyx.file_versions v ON v.commit_id = c.id
                 WHERE c.repo_id = $1 AND c.id <= $2",
                None,
                &[repo.into(), commit.into()],
            )?;
            // Of the rows of one commit that follow each other the answer is the same.
            let mut asked = (0, None);
            for row in rows {
                let (Some(path), Some(at)) = (row.get::<i32>(1)?, row.get::<i32>(2)?) else {
                    continue;
                };
                if asked.0 != at {
                    let depth = commits.depth(at).filter(|_| commits.is_on_line(at, commit));
                    asked = (at, depth);
                }
                let Some(depth) = asked.1 else { continue };
                let there = row.get::<bool>(4)?.unwrap_or_default();
                let entry = last.entry(path).or_insert((depth, at, there));
                if depth >= entry.0 {
                    *entry = (depth, at, there);
                }
                if let Some(old) = row.get::<i32>(3)? {
                    left.push((old, depth, at));
                }
            }
            Ok::<_, Error>(())
        })?;
        // A file that moved away has no row at its old path, unless another took its place.
        for (path, depth, at) in left {
            if let Some(entry) = last.get_mut(&path)
                && depth > entry.0
            {
                *entry = (depth, at, false);
            }
        }
        let files = last.into_iter().filter(|(_, (_, _, there))| *there);
        Ok(Self { files: files.map(|(path, (_, commit, _))| (path, commit)).collect() })
    }

    /// Files at a commit by their paths; those that are not there are left out.
    pub fn files(repo: i64, commit: i32, paths: &[&String]) -> Result<Vec<FileAt>, Error> {
        let names: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
        let ids = super::at::one::<Vec<i32>>(
            "SELECT pg_catalog.array_agg(p.id) FROM onyx.paths p WHERE p.repo_id = $1 AND p.path = ANY ($2)",
            &[repo.into(), names.into()],
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
        let last = Spi::connect(|client| {
            let rows = client.select(
                "SELECT v.commit_id, v.content_id IS NOT NULL AND v.path_id = $1, v.path_id = $1 AS here
                 FROM onyx.file_versions v
                 WHERE (v.path_id = $1 OR v.old_path_id = $1) AND v.commit_id <= $2
                 ORDER BY v.commit_id DESC, here DESC",
                None,
                &[path.into(), commit.into()],
            )?;
            for row in rows {
                if let (Some(at), Some(there)) = (row.get::<i32>(1)?, row.get::<bool>(2)?)
                    && commits.is_on_line(at, commit)
                {
                    return Ok::<_, Error>(there.then_some(at));
                }
            }
            Ok(None)
        })?;
        let Some(at) = last else { return Ok(None) };
        let snapshot = Self { files: HashMap::from([(path, at)]) };
        Ok(snapshot.particulars(&[path])?.pop())
    }

    /// Particulars of some of its files, in the order of their paths.
    pub fn particulars(&self, paths: &[i32]) -> Result<Vec<FileAt>, Error> {
        let paths: Vec<i32> =
            paths.iter().copied().filter(|path| self.files.contains_key(path)).collect();
        let commits: Vec<i32> = paths.iter().map(|path| self.files[path]).collect();
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT v.path_id, p.path, v.content_id, v.commit_id, c.language, v.module, v.nodes,
                        c.size, c.lines
                 FROM ROWS FROM (pg_catalog.unnest($1::int[]), pg_catalog.unnest($2::int[])) t (path_id, commit_id)
                 JOIN onyx.file_versions v ON v.commit_id = t.commit_id AND v.path_id = t.path_id
                 JOIN onyx.paths p ON p.id = v.path_id
                 JOIN onyx.contents c ON c.id = v.content_id
                 ORDER BY p.path COLLATE \"C\"",
                None,
                &[paths.into(), commits.into()],
            )?;
            let mut files = Vec::with_capacity(rows.len());
            for row in rows {
                let text = |i| row.get::<String>(i).map(Option::unwrap_or_default);
                let number = |i| row.get::<i32>(i).map(Option::unwrap_or_default);
                let nodes = row.get::<Vec<u8>>(7)?.unwrap_or_default();
                let (path_id, commit) = (number(1)?, number(4)?);
                files.push(FileAt {
                    path_id,
                    path: text(2)?,
                    content: number(3)?,
                    commit,
                    language: text(5)?,
                    module: text(6)?,
                    size: number(8)?,
                    lines: number(9)?,
                    nodes: numbers::decode(&nodes).ok_or_else(|| {
                        Error::sql(
                            PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
                            format!(
                                "onyx.file_versions is damaged: nodes of commit {commit}, path {path_id}"
                            ),
                        )
                    })?,
                });
            }
            Ok(files)
        })
    }

    /// The same of all.
    pub fn all(&self) -> Result<Vec<FileAt>, Error> {
        let paths: Vec<i32> = self.files.keys().copied().collect();
        self.particulars(&paths)
    }
}
