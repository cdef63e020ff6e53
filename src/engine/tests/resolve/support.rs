//! Small trees of source in memory, parsed and resolved.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;

use onyx_engine::parse::{Limits, parse_file};
use onyx_engine::resolve::{FileInput, Workspace};
use onyx_protocol::code::{Resolved, Within};
use onyx_protocol::facts::Language;
use onyx_protocol::ingest::ParsedFile;

/// Parses one file.
pub fn parse(path: &str, source: &str) -> ParsedFile {
    let language = Language::from_path(path).expect("a known extension");
    parse_file(path, language, source.as_bytes(), &Limits::default(), &|| false).expect("parses")
}

/// What a file gives to the workspace.
pub fn input(id: i64, file: &ParsedFile) -> FileInput {
    FileInput {
        id,
        repo: 0,
        path: file.path.clone(),
        language: file.language,
        module: file.module.clone(),
        package: file.facts.package.clone(),
        interface: file.interface.clone(),
    }
}

/// A definition as `path:qualified name`, a file as its path.
pub fn name(file: &ParsedFile, within: Within) -> String {
    match within.number() {
        Some(number) => {
            format!("{}:{}", file.path, file.facts.definitions[number as usize].qualified_name)
        }
        None => file.path.clone(),
    }
}

/// A tree, resolved.
pub struct Tree {
    pub files: Vec<ParsedFile>,
    pub resolved: Vec<Resolved>,
}

impl Tree {
    /// Parses and resolves files given as path and source.
    pub fn new(sources: &[(&str, &str)]) -> Self {
        let files: Vec<ParsedFile> = sources.iter().map(|(path, text)| parse(path, text)).collect();
        let mut workspace = Workspace::new();
        for (id, file) in (0..).zip(&files) {
            workspace.add(&input(id, file)).expect("its own interface");
        }
        let resolved = (0..)
            .zip(&files)
            .map(|(id, file)| workspace.resolve(id, &file.body).expect("its own body"));
        let resolved = resolved.collect();
        Self { files, resolved }
    }

    /// Edges of a kind as `source line -> target [strategy]`, in order of files and lines.
    pub fn edges(&self, kind: &str) -> Vec<String> {
        let mut all = Vec::new();
        for (file, resolved) in self.files.iter().zip(&self.resolved) {
            for edge in resolved.edges.iter().filter(|edge| edge.kind.as_str() == kind) {
                let target = name(&self.files[edge.file as usize], edge.target);
                all.push(format!("{}:{} -> {target} [{}]", file.path, edge.line, edge.resolution));
            }
        }
        all
    }

    /// Targets of the call edges of one line of a file, without their strategies.
    pub fn calls(&self, path: &str, line: u32) -> Vec<String> {
        self.targets(path, line, "calls")
    }

    /// Targets of the edges of a kind of one line of a file.
    pub fn targets(&self, path: &str, line: u32, kind: &str) -> Vec<String> {
        let at = self.files.iter().position(|file| file.path == path).expect("a file of the tree");
        let edges = self.resolved[at].edges.iter();
        let mut found: Vec<String> = edges
            .filter(|edge| edge.line == line && edge.kind.as_str() == kind)
            .map(|edge| name(&self.files[edge.file as usize], edge.target))
            .collect();
        found.sort();
        found
    }

    /// Reasons and outside targets of the unresolved references of a kind of one line.
    pub fn unresolved(&self, path: &str, line: u32, kind: &str) -> Vec<String> {
        let at = self.files.iter().position(|file| file.path == path).expect("a file of the tree");
        let all = self.resolved[at].unresolved.iter();
        all.filter(|one| one.line == line && one.kind.as_str() == kind)
            .map(|one| format!("{} {}", one.reason.as_str(), one.target).trim().to_owned())
            .collect()
    }
}

/// Checks every line of the sources that ends with a comment `-> target, target`: the targets of its
/// call and instantiate edges, functions named by `path:name` or by name in the same file. An empty
/// list means there is none.
pub fn check(sources: &[(&str, &str)]) {
    let tree = Tree::new(sources);
    let mut wrong = BTreeMap::new();
    for (path, source) in sources {
        for (line, text) in (1_u32..).zip(source.lines()) {
            let Some((_, expected)) = text.split_once("#->").or_else(|| text.split_once("//->"))
            else {
                continue;
            };
            let mut expected: Vec<String> = expected
                .split(',')
                .map(str::trim)
                .filter(|target| !target.is_empty())
                .map(|target| {
                    match target.split_once(':').is_some_and(|(path, _)| path.contains('.')) {
                        true => target.to_owned(),
                        false => format!("{path}:{target}"),
                    }
                })
                .collect();
            expected.sort();
            expected.dedup();
            let mut found = tree.calls(path, line);
            found.extend(tree.targets(path, line, "instantiates"));
            found.sort();
            found.dedup();
            if found != expected {
                wrong.insert((*path, line), (text.trim(), found));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
