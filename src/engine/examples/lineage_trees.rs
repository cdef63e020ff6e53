//! Compares two directories as if the second were the commit after the first, and prints for `make eval-lineage`
//! a JSON line for each symbol that is not where it was: what became of it, or what it was. Files too.
//!
//! Of one directory it prints all symbols, to label from.
//!
//!     lineage_trees OLD NEW
//!     lineage_trees DIRECTORY

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use onyx_engine::history::compare;
use onyx_engine::parse::{Limits, parse_file};
use onyx_protocol::facts::{Definition, Language};
use onyx_protocol::history::{BaseFile, Comparison, StateFile, SymbolChangeKind};
use onyx_protocol::ingest::SourceFile;
use serde_json::json;

type Files = BTreeMap<String, (Language, Vec<u8>)>;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [directory] => list(directory),
        [old, new] => trace(old, new),
        _ => {
            eprintln!("usage: lineage_trees OLD NEW");
            process::exit(2);
        }
    }
}

fn list(directory: &str) {
    for (path, file) in read(Path::new(directory)) {
        for definition in definitions(&path, &file).into_iter().flatten() {
            println!("{}", place((&path, &definition.qualified_name), Some(&definition)));
        }
    }
}

fn trace(old: &str, new: &str) {
    let (mut old, mut new) = (read(Path::new(old)), read(Path::new(new)));
    old.retain(|path, file| match new.get(path) {
        Some(now) if now == file => new.remove(path).is_none(),
        _ => definitions(path, file).is_some(),
    });

    // Where each node was.
    let mut places: HashMap<i64, (String, Option<Definition>)> = HashMap::new();
    let mut nodes = 0..;
    let mut before = Vec::new();
    for ((path, file), content) in old.into_iter().zip(0..) {
        let mut own: Vec<i64> = nodes.by_ref().take(1).collect();
        places.insert(own[0], (path.clone(), None));
        for (definition, node) in definitions(&path, &file).into_iter().flatten().zip(&mut nodes) {
            own.push(node);
            places.insert(node, (path.clone(), Some(definition)));
        }
        let (language, text) = file;
        let file = BaseFile { path, content, chain: Some(0), facts: None, nodes: own };
        before.push(StateFile { file, language, text });
    }
    let after: Vec<SourceFile> = new
        .iter()
        .map(|(path, (language, content))| SourceFile {
            path: path.clone(),
            language: *language,
            content: content.clone(),
        })
        .collect();
    let comparison =
        Comparison { old: before, new: after, others: Vec::new(), elsewhere: Vec::new() };
    let commit = match compare(comparison, &Limits::default(), 2, &|| false) {
        Ok(commit) => commit,
        Err(error) => {
            eprintln!("lineage_trees: {error}: {}", error.detail);
            process::exit(1);
        }
    };

    for file in &commit.files {
        let now = new.get(&file.path).and_then(|text| definitions(&file.path, text));
        for symbol in &file.symbols {
            let old = places.get(&symbol.node);
            let new = match (symbol.kind, symbol.ordinal) {
                (SymbolChangeKind::Deleted, _) => None,
                (_, None) => Some((&file.path, None)),
                (_, Some(number)) => now.as_ref().map(|all| (&file.path, all.get(number as usize))),
            };
            let old_name = old.map(|(path, d)| (path.as_str(), name(d.as_ref())));
            let new_name = new.map(|(path, d)| (path.as_str(), name(d)));
            if old_name == new_name {
                continue;
            }
            println!(
                "{}",
                json!({
                    "old": old_name.map(|name| place(name, old.and_then(|(_, d)| d.as_ref()))),
                    "new": new_name.map(|name| place(name, new.and_then(|(_, d)| d))),
                    "similarity": symbol.similarity,
                })
            );
        }
    }
}

fn place((path, name): (&str, &str), definition: Option<&Definition>) -> serde_json::Value {
    json!({
        "file": path,
        "name": name,
        "kind": definition.map_or("file", |d| d.kind.as_str()),
        "lines": definition.map(|d| (d.start_line, d.end_line)),
    })
}

/// The qualified name; empty for the file itself.
fn name(definition: Option<&Definition>) -> &str {
    definition.map_or("", |definition| &definition.qualified_name)
}

fn definitions(path: &str, (language, text): &(Language, Vec<u8>)) -> Option<Vec<Definition>> {
    let parsed = parse_file(path, *language, text, &Limits::default(), &|| false);
    Some(parsed.ok()?.facts.definitions)
}

fn read(root: &Path) -> Files {
    let mut files = Files::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if let Some(language) = Language::from_path(&name)
                && let Ok(text) = fs::read(&path)
            {
                files.insert(name, (language, text));
            }
        }
    }
    files
}
