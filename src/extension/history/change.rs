//! A commit of Onyx's own: what an ingest, a patch or a merge changes of a branch.
//!
//! The first one of a repository is its baseline: every node is new, and no rows say so of each
//! (`onyx.versions` derives them); the row of what a node was is made when it changes for the first time.

use std::collections::{HashMap, HashSet};

use onyx_protocol::facts::Language;
use onyx_protocol::history::{
    BaseFile, Comparison, HistoryCommit, NewContent, Signature, StateFile, SymbolChangeKind,
};
use onyx_protocol::ingest::{ContentHash, KeptFile, ParsedFile, SourceFile};
use onyx_protocol::message::{RequestBody, Response};
use onyx_protocol::numbers;
use onyx_protocol::stored_symbols::SymbolVersion;
use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use super::commits::Commits;
use super::intern::{self, Directories, Name, Names, Paths, next_ids, next_small_ids};
use super::record::Recorder;
use super::rows::{self, CommitRow, FileRow};
use super::snapshot::{FileAt, Snapshot};
use super::symbol_changes::{self, SymbolRow};
use super::{branches, contents, state, version};
use crate::client;
use crate::error::Error;
use crate::ingest::rows::Known;
use crate::search::Lexicon;

/// Bytes of source compared at once. What moves between two comparisons is gone here and new there.
pub const COMPARED_BYTES: usize = 32 << 20;
/// Branches of repositories that git knows nothing of.
pub const DEFAULT_BRANCH: &str = "main";

/// Where a commit goes, who makes it, and why.
#[derive(Default, Clone)]
pub struct About {
    /// The default branch, unless given.
    pub branch: Option<String>,
    pub author_name: Option<String>,
    pub author_email: Option<String>,
    /// Seconds since 1970.
    pub authored_at: Option<f64>,
    pub message: Option<String>,
}

impl About {
    /// From what SQL was given. An author may have an address: `Ada <ada@example.org>`.
    pub fn new(
        branch: Option<&str>,
        author: Option<&str>,
        authored_at: Option<pgrx::datum::TimestampWithTimeZone>,
        message: Option<&str>,
    ) -> Result<Self, Error> {
        let named = author.and_then(|author| author.strip_suffix('>')?.split_once('<'));
        let (name, email) = match named {
            Some((name, email)) => (Some(name), Some(email)),
            None => (author, None),
        };
        Ok(Self {
            branch: branch.map(str::to_owned),
            author_name: name.map(|name| name.trim().to_owned()),
            author_email: email.map(|email| email.trim().to_owned()),
            authored_at: authored_at.map(super::at::seconds).transpose()?,
            message: message.map(str::to_owned),
        })
    }
}

/// A file of a change.
pub struct NewFile {
    pub path: String,
    pub language: Language,
    pub text: Vec<u8>,
    /// Hash and size of a file whose bytes had to be decoded.
    pub decoded: Option<(ContentHash, u64)>,
}

impl NewFile {
    /// A parsed file, which was parsed to be kept.
    pub fn of(file: &ParsedFile) -> Result<Self, Error> {
        let unread = |detail: &dyn std::fmt::Display| Error::Protocol {
            detail: format!("The text of \"{}\" cannot be read: {detail}.", file.path),
        };
        let kept = file.kept.as_ref().ok_or_else(|| unread(&"it was not kept"))?;
        let text = onyx_content::decompress(&kept.text, None).map_err(|error| unread(&error))?;
        Ok(Self {
            path: file.path.clone(),
            language: file.language,
            text,
            decoded: kept.text_hash.map(|_| (file.hash, file.size)),
        })
    }
}

/// A commit being made.
pub struct Change {
    repo: i64,
    branch: String,
    /// Whether the graph's tables show the branch.
    is_shown: bool,
    /// The branch's head.
    base: Option<i32>,
    /// Further parents.
    merged: Vec<i32>,
    about: About,
    /// The commit, once it has a row.
    commit: Option<i32>,
    paths: Paths,
    directories: Directories,
}

impl Change {
    /// On a branch. One that is not there is made only where the repository has none.
    pub fn begin(repo: i64, about: About) -> Result<Self, Error> {
        let all = branches::all(repo)?;
        let default = all.iter().find(|(_, branch)| branch.is_default);
        let name = match &about.branch {
            Some(name) => name.clone(),
            None => default.map_or_else(|| DEFAULT_BRANCH.to_owned(), |(name, _)| name.clone()),
        };
        let (base, is_shown) = match all.get(&name) {
            Some(branch) => (Some(branch.commit), branch.is_default),
            None if all.is_empty() => (None, true),
            None => {
                return Err(Error::sql(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                    format!("branch \"{name}\" does not exist"),
                )
                .with_hint("Create it with onyx.branch_create."));
            }
        };
        Ok(Self {
            repo,
            branch: name,
            is_shown,
            base,
            merged: Vec::new(),
            about,
            commit: None,
            paths: Paths::default(),
            directories: Directories::default(),
        })
    }

    /// With another parent beside the branch's head: a commit is made whatever else changes.
    pub fn merge(&mut self, other: i32) -> Result<(), Error> {
        self.merged.push(other);
        self.commit()?;
        Ok(())
    }

    /// Whether the branch has no commit yet.
    pub fn is_baseline(&self) -> bool {
        self.base.is_none()
    }

    /// Whether the graph's tables show this branch.
    pub fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// The files the branch has, or the one at a path; of their rows nothing is known.
    pub fn known(&self, path: Option<&str>) -> Result<HashMap<String, Known>, Error> {
        let Some(base) = self.base else { return Ok(HashMap::new()) };
        let files = match path {
            Some(path) => Snapshot::files(self.repo, base, &[&path.to_owned()])?,
            None => Snapshot::at(self.repo, base)?.all()?,
        };
        let hashes = contents::hashes(&files.iter().map(|f| f.content).collect::<Vec<_>>())?;
        let files = files.into_iter().filter_map(|file| {
            let hash = hashes.get(&file.content)?.clone().try_into().ok()?;
            Some((file.path, Known { id: 0, hash }))
        });
        Ok(files.collect())
    }

    /// The commit's row.
    fn commit(&mut self) -> Result<i32, Error> {
        if let Some(commit) = self.commit {
            return Ok(commit);
        }
        let id = next_small_ids("onyx.commits_id_seq", 1)?.remove(0);
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
            id,
            parent: self.base,
            depth,
            author: signature(self.about.authored_at.unwrap_or(now)),
            committer: signature(now),
            message: self.about.message.clone().unwrap_or_default(),
            git_hash: None,
            parents: parents.collect(),
        };
        rows::insert_commits(self.repo, &[row])?;
        self.commit = Some(id);
        Ok(id)
    }

    /// Takes files of a baseline; returns the nodes of each, its own and then its definitions'.
    pub fn add(&mut self, files: &mut [ParsedFile]) -> Result<Vec<Vec<i64>>, Error> {
        let commit = self.commit()?;
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
        let mut file_rows = Vec::with_capacity(files.len());
        for (file, content) in files.iter().zip(rows) {
            let own: Vec<i64> = ids.by_ref().take(file.facts.definitions.len() + 1).collect();
            file_rows.push(FileRow {
                commit,
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
        rows::insert_files(&file_rows)?;
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
        let commit = self.commit()?;
        let wanted: Vec<&String> = new.iter().map(|file| &file.path).chain(gone).collect();
        let old = Snapshot::files(self.repo, base, &wanted)?;
        let states = self.states(&old)?;
        let decoded = new.iter().filter_map(|file| {
            let text: ContentHash = Sha256::digest(&file.text).into();
            file.decoded.map(|(hash, size)| (text, (hash, size)))
        });
        let decoded: HashMap<ContentHash, (ContentHash, u64)> = decoded.collect();
        let new = new.into_iter().map(|file| SourceFile {
            path: file.path,
            language: file.language,
            content: file.text,
        });
        let new: Vec<SourceFile> = new.collect();
        let (others, elsewhere) = self.other_parents(&new, &old)?;
        let comparison = Comparison { old: states, new, others, elsewhere };
        let request = RequestBody::HistoryCompare(comparison);
        let Response::HistoryCompared(mut compared) = client::call_patiently(request)? else {
            return Err(Error::Protocol { detail: "A comparison was expected.".into() });
        };
        // The engine saw the text; what is remembered of a file is its bytes' hash.
        for content in &mut compared.contents {
            if let Some((hash, size)) = decoded.get(&content.hash) {
                content.text_hash = Some(content.hash);
                (content.hash, content.size) = (*hash, *size);
            }
        }
        let mut recorder = Recorder::new(self.repo, HashMap::new());
        recorder.record_into(commit, std::slice::from_ref(&*compared))?;
        self.record_first_versions(commit, &compared, &old)?;
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
        let foreign = contents::foreign(&ids, &chains)?;
        old.iter()
            .map(|file| {
                let text = texts.get(&file.content).map(|text| text.text.to_vec());
                Ok(StateFile {
                    file: BaseFile {
                        path: file.path.clone(),
                        content: i64::from(file.content),
                        chain: chains.get(&file.content).copied(),
                        facts: foreign.get(&file.content).map(|facts| facts.to_vec()),
                        nodes: file.nodes.clone(),
                    },
                    language: file.language()?,
                    text: text.unwrap_or_default(),
                })
            })
            .collect()
    }

    /// What a merge's other parents have at paths of these files, for what came from there to keep its nodes;
    /// and which of those nodes the branch's head has elsewhere, in files that do not change.
    fn other_parents(
        &self,
        new: &[SourceFile],
        old: &[FileAt],
    ) -> Result<(Vec<Vec<StateFile>>, Vec<i64>), Error> {
        if self.merged.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let paths: Vec<&String> = new.iter().map(|file| &file.path).collect();
        let mut others = Vec::with_capacity(self.merged.len());
        for other in &self.merged {
            others.push(self.states(&Snapshot::files(self.repo, *other, &paths)?)?);
        }
        let theirs: HashSet<i64> =
            others.iter().flatten().flat_map(|other| other.file.nodes.iter().copied()).collect();
        let ours = match self.base {
            Some(base) => Snapshot::at(self.repo, base)?.all()?,
            None => Vec::new(),
        };
        let changed: HashSet<i32> = old.iter().map(|file| file.path_id).collect();
        let unchanged = ours.into_iter().filter(|file| !changed.contains(&file.path_id));
        let elsewhere = unchanged.flat_map(|file| file.nodes);
        Ok((others, elsewhere.filter(|node| theirs.contains(node)).collect()))
    }

    /// Rows of what nodes of a baseline were, now that they change.
    fn record_first_versions(
        &self,
        commit: i32,
        compared: &HistoryCommit,
        old: &[FileAt],
    ) -> Result<(), Error> {
        let changed = compared.files.iter().flat_map(|file| &file.symbols);
        let changed: HashSet<i64> = changed.map(|s| s.node).filter(|node| *node >= 0).collect();
        let mut first = changed;
        let versions = symbol_changes::of(&first.iter().copied().collect::<Vec<_>>())?;
        for version in versions.iter().filter(|version| version.commit != commit) {
            first.remove(&version.symbol.node);
        }
        if first.is_empty() {
            return Ok(());
        }
        let files: Vec<&FileAt> =
            old.iter().filter(|file| file.nodes.iter().any(|id| first.contains(id))).collect();
        let ids: Vec<i32> = files.iter().map(|file| file.content).collect();
        let facts = contents::facts(&ids)?;
        let texts = search_texts(&first)?;
        let (mut names, mut pending) = (Vec::new(), Vec::new());
        let commits = Commits::of(self.repo)?;
        let base = self.base.unwrap_or_default();
        for file in files {
            let Some(facts) = facts.get(&file.content) else { continue };
            let added = version::added(&commits, file, base)?;
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
            let symbol = SymbolVersion {
                node,
                name: known.id(name)?,
                search_text: text,
                ordinal: place.checked_sub(1).map(|ordinal| ordinal as i32),
                lines,
                changed_lines: (lines, 0),
                similarity: None,
                body_changed: false,
                change: SymbolChangeKind::Created,
            };
            rows.push(SymbolRow { commit, path, symbol });
        }
        symbol_changes::insert(&rows)
    }

    /// Moves the branch to the commit, if anything changed. Returns the commit.
    pub fn finish(self) -> Result<Option<i32>, Error> {
        if let Some(commit) = self.commit {
            branches::advance(self.repo, &self.branch, commit)?;
        }
        Ok(self.commit)
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
