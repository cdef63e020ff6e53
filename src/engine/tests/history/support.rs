//! Repositories made by the git program, and walks folded into states.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use onyx_engine::history::History;
use onyx_engine::parse::{Limits, parse_file};
use onyx_protocol::facts::{FileFacts, Language};
use onyx_protocol::history::*;
use onyx_protocol::{WireError, stored_facts};
use tempfile::TempDir;

/// A repository for one test.
pub struct Repo {
    pub dir: TempDir,
    clock: i64,
}

/// Runs git in a directory, at a time, and gives what it says.
pub fn git(dir: &Path, clock: i64, arguments: &[&str]) -> String {
    let date = format!("{clock} +0100");
    let output = Command::new("git")
        .args(["-c", "core.autocrlf=false", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@x")])
        .envs([("GIT_COMMITTER_NAME", "C"), ("GIT_COMMITTER_EMAIL", "c@x")])
        .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
        .output()
        .expect("the git program is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Repo {
    pub fn new() -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap(), clock: 1_600_000_000 };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    pub fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(self.dir.path(), self.clock, arguments)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn commit(&mut self, message: &str) -> String {
        self.clock += 60;
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Merges; what conflicts is ours, unless the working tree says otherwise before the commit.
    pub fn merge(&mut self, branches: &[&str]) -> String {
        self.clock += 60;
        let mut arguments = vec!["merge", "-q", "--no-ff", "-m", "merge"];
        arguments.extend(branches);
        self.git(&arguments);
        self.git(&["rev-parse", "HEAD"])
    }
}

pub fn request(path: &str) -> HistoryRequest {
    HistoryRequest {
        path: path.to_owned(),
        branches: vec![],
        since: None,
        until: None,
        first_parent: false,
        known: vec![],
    }
}

pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn id(hex: &str) -> ObjectId {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// Opens, sends bases from `known`, walks; parts are put together.
pub fn walk_from(
    request: &HistoryRequest,
    known: &Client,
) -> Result<(HistoryPlan, Vec<HistoryCommit>), WireError> {
    let (mut history, plan) = History::open(request, &|| false)?;
    for base in &plan.bases {
        history.base(HistoryBase { commit: base.clone(), files: known.base(base) })?;
    }
    let mut commits: Vec<HistoryCommit> = Vec::new();
    history.walk(&Limits::default(), 2, &|| false, &mut |batch| {
        for commit in batch {
            match commits.last_mut() {
                Some(last) if last.more => {
                    assert_eq!(last.id, commit.id);
                    last.files.extend(commit.files);
                    last.contents.extend(commit.contents);
                    last.nodes += commit.nodes;
                    last.search_texts.extend(commit.search_texts);
                    last.notices.extend(commit.notices);
                    last.more = commit.more;
                }
                _ => commits.push(commit),
            }
        }
        Ok(())
    })?;
    assert_eq!(plan.commits, commits.len() as u64);
    Ok((plan, commits))
}

pub fn walk(path: &str) -> (HistoryPlan, Vec<HistoryCommit>) {
    walk_from(&request(path), &Client::default()).unwrap()
}

/// A content as a client keeps it.
pub struct Kept {
    pub text: String,
    pub facts: FileFacts,
    pub chain: u32,
}

#[derive(Clone, PartialEq)]
pub struct FileState {
    pub content: i64,
    pub module: String,
    pub nodes: Vec<i64>,
}

/// What a client makes of commits: ids of its own, states of all commits.
#[derive(Default)]
pub struct Client {
    pub contents: Vec<Kept>,
    encoded: Vec<Vec<u8>>,
    nodes: i64,
    pub texts: HashSet<String>,
    pub states: HashMap<ObjectId, BTreeMap<String, FileState>>,
    /// With the client's ids in place of the walk's.
    pub commits: Vec<HistoryCommit>,
}

impl Client {
    pub fn base(&self, commit: &[u8]) -> Vec<BaseFile> {
        let state = &self.states[commit];
        let file = |(path, file): (&String, &FileState)| BaseFile {
            path: path.clone(),
            content: file.content,
            chain: Some(self.contents[file.content as usize].chain),
            facts: None,
            nodes: file.nodes.clone(),
        };
        state.iter().map(file).collect()
    }

    /// Takes the commits of one walk.
    pub fn take(&mut self, commits: Vec<HistoryCommit>) {
        let mut contents: Vec<i64> = Vec::new();
        let mut nodes: Vec<i64> = Vec::new();
        let mut texts = 0;
        for mut commit in commits {
            for new in std::mem::take(&mut commit.contents) {
                let id_of = |r: i64| made(r).map_or(r, |n| contents[n]);
                let base = new.base.map(|base| id_of(base) as usize);
                let base_text = base.map(|base| self.contents[base].text.as_bytes());
                let text = onyx_content::decompress(&new.text, base_text).unwrap();
                let base_facts = base.map(|base| self.encoded[base].as_slice());
                let facts = onyx_content::decompress(&new.facts, base_facts).unwrap();
                contents.push(self.contents.len() as i64);
                self.contents.push(Kept {
                    text: String::from_utf8(text).unwrap(),
                    facts: stored_facts::decode(&facts).unwrap(),
                    chain: new.chain,
                });
                self.encoded.push(facts);
            }
            for _ in 0..commit.nodes {
                nodes.push(self.nodes);
                self.nodes += 1;
            }
            texts += commit.search_texts.len();
            self.texts.extend(std::mem::take(&mut commit.search_texts));
            let first = commit.parents.first().and_then(|parent| self.states.get(parent));
            let mut state = first.cloned().unwrap_or_default();
            for file in &commit.files {
                if file.kind == FileChangeKind::Deleted {
                    assert!(state.remove(&file.path).is_some());
                }
                if let Some(old) = &file.old_path {
                    assert!(state.remove(old).is_some());
                }
            }
            for file in &mut commit.files {
                let node = |r: i64| made(r).map_or(r, |n| nodes[n]);
                file.nodes.iter_mut().for_each(|r| *r = node(*r));
                for symbol in &mut file.symbols {
                    symbol.node = node(symbol.node);
                    if let Some(text) = symbol.search_text {
                        assert!(made(text).unwrap() < texts);
                    }
                    // A search text's number is the walk's own.
                    symbol.search_text = symbol.search_text.map(|_| 0);
                }
                let Some(content) = file.content else { continue };
                let content = made(content).map_or(content, |n| contents[n]);
                file.content = None;
                let new =
                    FileState { content, module: file.module.clone(), nodes: file.nodes.clone() };
                let before = state.insert(file.path.clone(), new);
                let is_there = file.kind == FileChangeKind::Modified;
                assert_eq!(before.is_some(), is_there, "{}", file.path);
            }
            self.check(&state);
            self.states.insert(commit.id.clone(), state);
            self.commits.push(commit);
        }
    }

    /// What is true of every state.
    fn check(&self, state: &BTreeMap<String, FileState>) {
        let mut seen = HashSet::new();
        for (path, file) in state {
            let definitions = &self.contents[file.content as usize].facts.definitions;
            assert_eq!(file.nodes.len(), definitions.len() + 1, "{path}");
            assert!(file.nodes.iter().all(|node| seen.insert(*node)), "a node twice: {path}");
        }
    }

    /// Compares the state of a commit with what its tree says.
    pub fn compare(&self, dir: &Path, commit: &str) {
        let state = &self.states[&id(commit)];
        let mut expected = BTreeMap::new();
        for line in git(dir, 1_700_000_000, &["ls-tree", "-r", "-z", commit]).split('\0') {
            let Some((head, path)) = line.split_once('\t') else { continue };
            let head: Vec<&str> = head.split(' ').collect();
            // What is not UTF-8 is left out by a walk of the directory, too.
            let is_hidden =
                path.contains('\u{fffd}') || path.split('/').any(|part| part.starts_with('.'));
            let language = Language::from_path(path);
            let (true, Some(language)) = (head[0].starts_with("100") && !is_hidden, language)
            else {
                continue;
            };
            let bytes = Command::new("git")
                .args(["cat-file", "blob", head[2]])
                .current_dir(dir)
                .output()
                .unwrap()
                .stdout;
            if let Ok(file) = parse_file(path, language, &bytes, &Limits::default(), &|| false) {
                expected.insert(path.to_owned(), (file.module, file.facts, bytes));
            }
        }
        let paths = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            paths(state.keys().collect()),
            paths(expected.keys().collect()),
            "files of {commit}"
        );
        for (path, (module, facts, bytes)) in expected {
            let file = &state[&path];
            let kept = &self.contents[file.content as usize];
            assert_eq!(file.module, module);
            assert!(kept.facts == facts, "facts of {path} in {commit}");
            if let Ok(text) = std::str::from_utf8(&bytes) {
                assert!(kept.text == text, "text of {path} in {commit}");
            }
        }
    }
}

/// The node of a symbol in a commit's state, by path and qualified name in its file.
pub fn node(client: &Client, commit: &str, path: &str, name: &str) -> i64 {
    let file = &client.states[&id(commit)][path];
    let facts = &client.contents[file.content as usize].facts;
    let at = facts.definitions.iter().position(|d| d.qualified_name == name);
    file.nodes[at.unwrap_or_else(|| panic!("no {name} in {path}")) + 1]
}

/// What happened to a symbol in a commit, by name.
pub fn event<'a>(client: &'a Client, commit: &str, name: &str) -> Vec<&'a SymbolChange> {
    let commit = client.commits.iter().find(|c| hex(&c.id) == commit).unwrap();
    let symbols = commit.files.iter().flat_map(|file| &file.symbols);
    symbols.filter(|symbol| symbol.name == name).collect()
}
