//! A commit of Onyx's own: what an ingest, a patch or a merge changes of a branch.
//!
//! The first one of a repository is its baseline: every node is new, and no rows say so of each
//! (`onyx.versions` derives them); the row of what a node was is made when it changes for the first time.

use std::collections::{HashMap, HashSet};

use onyx_protocol::facts::Language;
use onyx_protocol::history::{BaseFile, HistoryCommit, NewContent, Signature, StateFile};
use onyx_protocol::ingest::{KeptFile, ParsedFile, SourceFile};
use onyx_protocol::message::{RequestBody, Response};
use pgrx::prelude::*;

use super::commits::Commits;
use super::intern::{self, Directories, Name, Names, Paths, next_ids, next_small_ids};
use super::record::Recorder;
use super::rows::{self, CommitRow, FileRow, SymbolRow};
use super::snapshot::{FileAt, Snapshot};
use super::{branches, contents, numbers, state};
use crate::client;
use crate::error::Error;
use crate::search::Lexicon;

/// Bytes of source compared at once. What moves between two comparisons is gone here and new there.
pub const COMPARED_BYTES: usize = 32 << 20;
/// Branches of repositories that git knows nothing of.
pub const DEFAULT_BRANCH: &str = "main";

/// Who makes a commit, and why.
#[derive(Default, Clone)]
pub struct About {
    pub author_name: Option<String>,
    pub author_email: Option<String>,
    /// Seconds since 1970.
    pub authored_at: Option<f64>,
    pub message: Option<String>,
}

/// A file of a change.
pub struct NewFile {
    pub path: String,
    pub language: Language,
    pub text: Vec<u8>,
}

/// A commit being made.
pub struct Change {
    repo: i64,
    branch: String,
    /// The branch's head.
    base: Option<i32>,
    /// Further parents.
    merged: Vec<i32>,
    commit: i32,
    about: About,
    paths: Paths,
    directories: Directories,
    /// Rows of the baseline's files.
    files: Vec<FileRow>,
    changed: bool,
}

impl Change {
    /// On a branch; NULL is the default branch. A branch that is not there is made only where the
    /// repository has none.
    pub fn begin(repo: i64, branch: Option<&str>, about: About) -> Result<Self, Error> {
        let all = branches::all(repo)?;
        let name = match branch {
            Some(name) => name.to_owned(),
            None => all
                .iter()
                .find(|(_, branch)| branch.is_default)
                .map_or_else(|| DEFAULT_BRANCH.to_owned(), |(name, _)| name.clone()),
        };
        let base = match all.get(&name) {
            Some(branch) => Some(branch.commit),
            None if all.is_empty() => None,
            None => {
                return Err(Error::sql(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                    format!("branch \"{name}\" does not exist"),
                )
                .with_hint("Create it with onyx.branch_create."));
            }
        };
        let commit = next_small_ids("onyx.commits_id_seq", 1)?.remove(0);
        Ok(Self {
            repo,
            branch: name,
            base,
            merged: Vec::new(),
            commit,
            about,
            paths: Paths::default(),
            directories: Directories::default(),
            files: Vec::new(),
            changed: false,
        })
    }

    /// With another parent beside the branch's head.
    pub fn merging(mut self, other: i32) -> Self {
        self.merged.push(other);
        self.changed = true;
        self
    }

    /// Whether the branch has no commit yet.
    pub fn is_baseline(&self) -> bool {
        self.base.is_none()
    }

    /// The branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// Whether the graph's tables show this branch.
    pub fn is_shown(&self) -> Result<bool, Error> {
        Ok(self.base.is_none() || branches::find(self.repo, &self.branch)?.is_default)
    }

    /// Takes files of a baseline; returns the nodes of each, its own and then its definitions'.
    pub fn add(&mut self, files: &mut [ParsedFile]) -> Result<Vec<Vec<i64>>, Error> {
        self.changed = true;
        let count = files.iter().map(|file| file.facts.definitions.len() + 1).sum();
        let mut ids = next_ids("onyx.nodes_id_seq", count)?.into_iter();
        let contents: Vec<NewContent> = files.iter_mut().map(content).collect();
        let rows =
            rows::insert_contents(self.repo, &contents.iter().collect::<Vec<_>>(), |_, _| {
                Ok(None)
            })?;
        self.paths.learn(self.repo, files.iter().map(|file| &file.path))?;
        self.directories.learn(self.repo, files.iter().map(|file| file.path.as_str()))?;
        let mut nodes = Vec::with_capacity(files.len());
        for (file, content) in files.iter().zip(rows) {
            let own: Vec<i64> = ids.by_ref().take(file.facts.definitions.len() + 1).collect();
            self.files.push(FileRow {
                commit: self.commit,
                path: self.paths.id(&file.path)?,
                old_path: None,
                content: Some(content),
                lines: (file.lines, 0),
                change: "added",
                module: file.module.clone(),
                nodes: numbers::encode(&own),
            });
            nodes.push(own);
        }
        Ok(nodes)
    }

    /// Compares with the branch's head and records the difference. Returns the nodes of each new file, its
    /// own and then its definitions', by path.
    pub fn compare(
        &mut self,
        new: Vec<NewFile>,
        gone: &[String],
    ) -> Result<HashMap<String, Vec<i64>>, Error> {
        let Some(base) = self.base else { return Ok(HashMap::new()) };
        if new.is_empty() && gone.is_empty() {
            return Ok(HashMap::new());
        }
        self.changed = true;
        let wanted: Vec<&String> = new.iter().map(|file| &file.path).chain(gone).collect();
        let old = Snapshot::files(self.repo, base, &wanted)?;
        let states = self.states(&old)?;
        let new = new.into_iter().map(|file| SourceFile {
            path: file.path,
            language: file.language,
            content: file.text,
        });
        let request = RequestBody::HistoryCompare { old: states, new: new.collect() };
        let Response::HistoryCompared(mut compared) = client::call_patiently(request)? else {
            return Err(Error::Protocol { detail: "A comparison was expected.".into() });
        };
        self.keep_other_parents_nodes(&mut compared)?;
        let mut recorder = Recorder::new(self.repo, HashMap::new());
        recorder.record_into(self.commit, std::slice::from_ref(&*compared))?;
        self.record_first_versions(&compared, &old)?;
        let mut nodes = HashMap::new();
        for file in &compared.files {
            if file.content.is_some() {
                nodes.insert(file.path.clone(), recorder.nodes_of(file)?);
            }
        }
        Ok(nodes)
    }

    /// The engine's form of files as they are.
    fn states(&self, old: &[FileAt]) -> Result<Vec<StateFile>, Error> {
        let ids: Vec<i32> = old.iter().map(|file| file.content).collect();
        let texts = contents::texts(&ids)?;
        let chains = contents::chains(&ids)?;
        old.iter()
            .map(|file| {
                let text = texts.get(&file.content).map(|text| text.text.to_vec());
                Ok(StateFile {
                    file: BaseFile {
                        path: file.path.clone(),
                        content: i64::from(file.content),
                        chain: chains.get(&file.content).copied(),
                        nodes: file.nodes.clone(),
                    },
                    language: file.language()?,
                    text: text.unwrap_or_default(),
                })
            })
            .collect()
    }

    /// What came from another parent keeps its nodes: a definition that is new against the branch's head
    /// but is there in a merged commit at the same path, kind and name is that one.
    fn keep_other_parents_nodes(&self, compared: &mut HistoryCommit) -> Result<(), Error> {
        if self.merged.is_empty() {
            return Ok(());
        }
        let paths: Vec<String> = compared.files.iter().map(|file| file.path.clone()).collect();
        let paths: Vec<&String> = paths.iter().collect();
        for other in &self.merged {
            let theirs = Snapshot::files(self.repo, *other, &paths)?;
            super::merged_nodes::adopt(compared, &theirs)?;
        }
        Ok(())
    }

    /// Rows of what nodes of a baseline were, now that they change.
    fn record_first_versions(&self, compared: &HistoryCommit, old: &[FileAt]) -> Result<(), Error> {
        let changed = compared.files.iter().flat_map(|file| &file.symbols);
        let changed: HashSet<i64> = changed.map(|s| s.node).filter(|node| *node >= 0).collect();
        let changed: Vec<i64> = changed.into_iter().collect();
        let first = Spi::get_one_with_args::<Vec<i64>>(
            "SELECT pg_catalog.array_agg(w.id) FROM pg_catalog.unnest($1::bigint[]) w (id)
             WHERE NOT EXISTS (SELECT FROM onyx.symbol_versions v WHERE v.node_id = w.id AND v.commit_id <> $2)",
            &[changed.into(), self.commit.into()],
        )?;
        let first: HashSet<i64> = first.unwrap_or_default().into_iter().collect();
        if first.is_empty() {
            return Ok(());
        }
        let files: Vec<&FileAt> =
            old.iter().filter(|file| file.nodes.iter().any(|id| first.contains(id))).collect();
        let ids: Vec<i32> = files.iter().map(|file| file.content).collect();
        let facts = contents::facts(&ids)?;
        let texts = search_texts(&first)?;
        let (mut names, mut pending) = (Vec::new(), Vec::new());
        for file in files {
            let Some(facts) = facts.get(&file.content) else { continue };
            let added = self.added(file)?;
            for (place, id) in file.nodes.iter().enumerate().filter(|(_, id)| first.contains(id)) {
                let definition = place.checked_sub(1).and_then(|at| facts.definitions.get(at));
                let (name, lines) = match definition {
                    Some(d) => (
                        Name {
                            kind: d.kind.as_str(),
                            name: d.name.clone(),
                            qualified_name: state::qualified(
                                &file.module,
                                Language::from_name(&file.language),
                                &d.qualified_name,
                            ),
                        },
                        d.end_line - d.start_line + 1,
                    ),
                    None => (
                        Name {
                            kind: "file",
                            name: file.path.rsplit('/').next().unwrap_or_default().into(),
                            qualified_name: file.path.clone(),
                        },
                        file.lines as u32,
                    ),
                };
                names.push(name);
                pending.push((*id, added, file.path_id, place, lines));
            }
        }
        let mut known = Names::default();
        known.learn(self.repo, names.iter())?;
        let wanted: Vec<(i64, &str)> =
            pending.iter().filter_map(|p| Some((p.0, texts.get(&p.0)?.as_str()))).collect();
        let distinct: Vec<&str> = {
            let mut seen = HashSet::new();
            wanted.iter().map(|(_, text)| *text).filter(|text| seen.insert(*text)).collect()
        };
        let text_rows = intern::search_texts(self.repo, &distinct, &mut Lexicon::default())?;
        let text_rows: HashMap<&str, i32> = distinct.into_iter().zip(text_rows).collect();
        let mut rows = Vec::with_capacity(pending.len());
        for ((node, commit, path, place, lines), name) in pending.into_iter().zip(&names) {
            let text = texts.get(&node).and_then(|text| text_rows.get(text.as_str()).copied());
            rows.push(SymbolRow {
                node,
                commit,
                path,
                name: known.id(name)?,
                search_text: text,
                ordinal: place.checked_sub(1).map(|ordinal| ordinal as i32),
                lines,
                changed_lines: (lines, 0),
                similarity: None,
                body_changed: true,
                change: "created",
            });
        }
        rows::insert_symbols(&rows)
    }

    /// The commit a file came with.
    fn added(&self, file: &FileAt) -> Result<i32, Error> {
        let commits = Commits::of(self.repo)?;
        let base = self.base.unwrap_or_default();
        let found = Spi::get_one_with_args::<Vec<i32>>(
            "SELECT pg_catalog.array_agg(v.commit_id ORDER BY v.commit_id DESC) FROM onyx.file_versions v
             WHERE v.path_id = $1 AND v.change = 'added' AND v.commit_id <= $2",
            &[file.path_id.into(), base.into()],
        )?;
        let found = found.unwrap_or_default().into_iter().find(|at| commits.is_on_line(*at, base));
        Ok(found.unwrap_or(file.commit))
    }

    /// Makes the commit and moves the branch, if anything changed. Returns the commit.
    pub fn finish(self) -> Result<Option<i32>, Error> {
        if !self.changed {
            return Ok(None);
        }
        for files in self.files.chunks(4_096) {
            rows::insert_files(files)?;
        }
        let commits = Commits::of(self.repo)?;
        let depth =
            self.base.and_then(|base| commits.depth(base)).map_or(0, |depth| depth as i32 + 1);
        let now = Spi::get_one::<f64>("SELECT pg_catalog.date_part('epoch', pg_catalog.now())")?;
        let user = Spi::get_one::<String>("SELECT session_user::text")?;
        let signature = |seconds: f64| Signature {
            name: self.about.author_name.clone().or_else(|| user.clone()).unwrap_or_default(),
            email: self.about.author_email.clone().unwrap_or_default(),
            seconds: seconds as i64,
            offset: 0,
        };
        let now = now.unwrap_or_default();
        let parents = self.base.iter().chain(&self.merged).map(|parent| (Some(*parent), None));
        let row = CommitRow {
            id: self.commit,
            parent: self.base,
            depth,
            author: signature(self.about.authored_at.unwrap_or(now)),
            committer: signature(now),
            message: self.about.message.clone().unwrap_or_default(),
            git_hash: None,
            parents: parents.collect(),
        };
        rows::insert_commits(self.repo, &[row])?;
        branches::advance(self.repo, &self.branch, self.commit)?;
        Ok(Some(self.commit))
    }
}

/// A parsed file's content as a row; takes what the file keeps.
fn content(file: &mut ParsedFile) -> NewContent {
    let kept = file.kept.take().unwrap_or(KeptFile {
        text: Vec::new(),
        text_hash: None,
        facts: Vec::new(),
    });
    NewContent {
        hash: file.hash,
        text_hash: kept.text_hash,
        language: file.language,
        size: file.size,
        lines: file.lines,
        chain: 0,
        base: None,
        text: kept.text,
        facts: kept.facts,
    }
}

/// What is searched of nodes at the head.
fn search_texts(nodes: &HashSet<i64>) -> Result<HashMap<i64, String>, Error> {
    let nodes: Vec<i64> = nodes.iter().copied().collect();
    Spi::connect(|client| {
        let rows = client.select(
            "SELECT id, search_text FROM onyx.nodes WHERE id = ANY ($1) AND search_text IS NOT NULL",
            None,
            &[nodes.into()],
        )?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            if let (Some(id), Some(text)) = (row.get::<i64>(1)?, row.get::<String>(2)?) {
                found.insert(id, text);
            }
        }
        Ok(found)
    })
}

/// A file's text as it was read.
pub fn text_of(file: &ParsedFile) -> Result<Vec<u8>, Error> {
    let frame = file.kept.as_ref().map(|kept| kept.text.as_slice()).unwrap_or_default();
    onyx_content::decompress(frame, None).map_err(|error| Error::Protocol {
        detail: format!("The text of \"{}\" cannot be read: {error}.", file.path),
    })
}
