//! Parses a directory, resolves it and prints edges and unresolved references as JSON lines, for
//! `make eval-graph`. With `-q` prints times and counts only.
//!
//!     resolve_tree [-q] DIRECTORY [LANGUAGE...]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{collections::BTreeMap, env, fs, process};

use onyx_engine::parse::{Limits, parse_file};
use onyx_engine::resolve::{FileInput, Workspace};
use onyx_protocol::code::{Resolved, Within};
use onyx_protocol::facts::Language;
use onyx_protocol::ingest::ParsedFile;
use serde_json::json;

fn main() {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let quiet = arguments.first().is_some_and(|argument| argument == "-q");
    if quiet {
        arguments.remove(0);
    }
    let Some((root, languages)) = arguments.split_first() else {
        eprintln!("usage: resolve_tree [-q] DIRECTORY [LANGUAGE...]");
        process::exit(2);
    };
    let mut paths = Vec::new();
    list(Path::new(root), &mut paths);
    paths.sort();

    let start = Instant::now();
    let mut files: Vec<ParsedFile> = Vec::new();
    for path in &paths {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        let Some(language) = Language::from_path(&name) else { continue };
        // Manifests belong to every language.
        let is_wanted = language == Language::Manifest
            || languages.is_empty()
            || languages.iter().any(|l| l == language.as_str());
        if !is_wanted {
            continue;
        }
        let Ok(bytes) = fs::read(path) else { continue };
        if let Ok(file) = parse_file(&name, language, &bytes, &Limits::default(), &|| false) {
            files.push(file);
        }
    }
    let parsing = start.elapsed();

    let start = Instant::now();
    let mut workspace = Workspace::new();
    for (id, file) in (0..).zip(&files) {
        let input = FileInput {
            id,
            repo: 0,
            path: file.path.clone(),
            language: file.language,
            module: file.module.clone(),
            package: file.facts.package.clone(),
            interface: file.interface.clone(),
        };
        workspace.add(&input).expect("an interface just written can be read");
    }
    let adding = start.elapsed();
    let start = Instant::now();
    let mut slowest = (Duration::ZERO, "");
    let resolved: Vec<Resolved> = (0..)
        .zip(&files)
        .map(|(id, file)| {
            let start = Instant::now();
            let resolved =
                workspace.resolve(id, &file.body).expect("a body just written can be read");
            slowest = slowest.max((start.elapsed(), &file.path));
            resolved
        })
        .collect();
    let resolving = start.elapsed();

    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (file, resolved) in files.iter().zip(&resolved) {
        let name = |of: &ParsedFile, within: Within| match within.number() {
            Some(number) => of.facts.definitions[number as usize].qualified_name.clone(),
            None => String::new(),
        };
        let lines = |of: &ParsedFile, within: Within| match within.number() {
            Some(number) => {
                let definition = &of.facts.definitions[number as usize];
                [definition.start_line, definition.end_line]
            }
            None => [1, of.lines],
        };
        for edge in &resolved.edges {
            let key =
                format!("{} {} {}", file.language.as_str(), edge.kind.as_str(), edge.resolution);
            *counts.entry(key).or_default() += 1;
            let target = &files[edge.file as usize];
            if !quiet {
                println!(
                    "{}",
                    json!({
                        "file": file.path, "language": file.language.as_str(),
                        "source": name(file, edge.source), "kind": edge.kind.as_str(),
                        "target_file": target.path, "target": name(target, edge.target),
                        "target_lines": lines(target, edge.target),
                        "line": edge.line, "column": edge.column,
                        "resolution": edge.resolution, "confidence": edge.confidence,
                    })
                );
            }
        }
        for one in &resolved.unresolved {
            let key = format!(
                "{} {} ! {}",
                file.language.as_str(),
                one.kind.as_str(),
                one.reason.as_str()
            );
            *counts.entry(key).or_default() += 1;
            if !quiet {
                println!(
                    "{}",
                    json!({
                        "file": file.path, "language": file.language.as_str(),
                        "source": name(file, one.source), "kind": one.kind.as_str(),
                        "name": one.name, "outside": one.target, "reason": one.reason.as_str(),
                        "line": one.line, "column": one.column,
                    })
                );
            }
        }
    }
    for (key, count) in &counts {
        eprintln!("{count:8} {key}");
    }
    let bytes = |of: fn(&ParsedFile) -> usize| files.iter().map(of).sum::<usize>() / 1024;
    eprintln!(
        "{} files, {} kB: parse {:.3} s, add {:.3} s, resolve {:.3} s (slowest {:?}); interface {} kB, \
         body {} kB, dependencies {}",
        files.len(),
        files.iter().map(|file| file.size).sum::<u64>() / 1024,
        parsing.as_secs_f64(),
        adding.as_secs_f64(),
        resolving.as_secs_f64(),
        slowest,
        bytes(|file| file.interface.len()),
        bytes(|file| file.body.len()),
        resolved.iter().map(|r| r.dependencies.len()).sum::<usize>(),
    );
}

fn list(directory: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(&entry.path(), paths),
            Ok(kind) if kind.is_file() => paths.push(entry.path()),
            _ => {}
        }
    }
}
