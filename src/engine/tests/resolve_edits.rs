//! Incremental is clean: after every edit, resolving what `changed_keys` asks for gives what resolving
//! everything gives. Over this crate's own sources and the repository's Python; with
//! `ONYX_EDIT_TREE` set, over that directory. `ONYX_EDITS` sets the number of edits.

mod resolve_support;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::{env, fs};

use onyx_engine::parse::{Limits, parse_file};
use onyx_engine::resolve::Workspace;
use onyx_protocol::code::{Interface, Resolved, Within};
use onyx_protocol::facts::Language;
use onyx_protocol::ingest::ParsedFile;
use resolve_support::{input, parse};

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let n = u64::try_from(n.max(1)).unwrap();
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n).unwrap()
    }
}

struct Known {
    id: u32,
    file: ParsedFile,
    source: String,
    identities: Vec<u64>,
}

fn known(id: u32, path: &str, source: String) -> Known {
    let file = parse(path, &source);
    let interface = Interface::decode(&file.interface).unwrap();
    let identities = interface.definitions.iter().map(|d| d.identity).collect();
    Known { id, file, source, identities }
}

/// Edges and unresolved references with definitions by what keeps their nodes.
fn spelled(files: &BTreeMap<String, Known>, of: &Known, resolved: &Resolved) -> Vec<String> {
    let by_id: BTreeMap<u32, &Known> = files.values().map(|known| (known.id, known)).collect();
    let name = |known: &Known, within: Within| match within.number() {
        Some(number) => format!("{}#{:x}", known.file.path, known.identities[number as usize]),
        None => known.file.path.clone(),
    };
    let edges = resolved.edges.iter().map(|e| {
        let (source, target) = (name(of, e.source), name(by_id[&e.file], e.target));
        format!("{source} {:?} {target} {}:{} {}", e.kind, e.line, e.column, e.resolution)
    });
    let unresolved = resolved.unresolved.iter().map(|u| format!("{u:?}"));
    edges.chain(unresolved).collect()
}

fn resolve(
    workspace: &Workspace,
    files: &BTreeMap<String, Known>,
    path: &str,
) -> (Vec<String>, Vec<u64>) {
    let known = &files[path];
    let resolved = workspace.resolve(known.id, &known.file.body).unwrap();
    (spelled(files, known, &resolved), resolved.dependencies)
}

fn whole(files: &BTreeMap<String, Known>) -> Workspace {
    let mut workspace = Workspace::new();
    // In another order than files were added.
    for known in files.values().rev() {
        workspace.add(&input(known.id, &known.file)).unwrap();
    }
    workspace
}

fn read(root: &Path, directory: &Path, into: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read(root, &path, into);
        } else if let Ok(source) = fs::read_to_string(&path) {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if Language::from_path(&name).is_some() {
                into.push((name, source));
            }
        }
    }
}

fn is_parsed(path: &str, source: &str) -> bool {
    let language = Language::from_path(path).unwrap();
    parse_file(path, language, source.as_bytes(), &Limits::default(), &|| false).is_ok()
}

/// The source with one thing changed.
fn edited(known: &Known, random: &mut Random) -> String {
    let source = &known.source;
    let definitions = &known.file.facts.definitions;
    if definitions.is_empty() {
        return format!("\n{source}");
    }
    let definition = &definitions[random.below(definitions.len())];
    let (start, end) = (definition.start_byte as usize, definition.end_byte as usize);
    let text = &source[start..end];
    match random.below(6) {
        // Lines move.
        0 => format!("\n\n{source}"),
        // A definition goes.
        1 => format!("{}{}", &source[..start], &source[end..]),
        // It has another name.
        2 => {
            let new = text.replacen(&definition.name, &format!("{}_x", definition.name), 1);
            format!("{}{new}{}", &source[..start], &source[end..])
        }
        // There is another of its name.
        3 => format!("{}{text}\n\n{text}{}", &source[..start], &source[end..]),
        // It has the name of another.
        4 => {
            let other = &definitions[random.below(definitions.len())].name;
            let new = text.replacen(&definition.name, other, 1);
            format!("{}{new}{}", &source[..start], &source[end..])
        }
        // One line goes.
        _ => {
            let lines: Vec<&str> = source.lines().collect();
            let at = random.below(lines.len());
            let kept = lines.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, line)| *line);
            kept.collect::<Vec<_>>().join("\n")
        }
    }
}

#[test]
fn incremental_is_clean() {
    let mut sources = Vec::new();
    match env::var("ONYX_EDIT_TREE") {
        Ok(root) => read(Path::new(&root), Path::new(&root), &mut sources),
        Err(_) => {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            for part in ["src/engine/src", "src/protocol/src", "bench"] {
                read(&root, &root.join(part), &mut sources);
            }
        }
    }
    let edits = env::var("ONYX_EDITS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut files: BTreeMap<String, Known> = BTreeMap::new();
    for (id, (path, source)) in (0..).zip(sources) {
        // Generated and broken files have no facts.
        if !is_parsed(&path, &source) {
            continue;
        }
        files.insert(path.clone(), known(id, &path, source));
    }
    assert!(files.len() > 20);
    let mut next = files.values().map(|known| known.id).max().unwrap() + 1;
    let mut workspace = whole(&files);
    let mut results: BTreeMap<String, (Vec<String>, Vec<u64>)> = BTreeMap::new();
    for path in files.keys() {
        results.insert(path.clone(), resolve(&workspace, &files, path));
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut removed: Vec<(String, String)> = Vec::new();
    let mut again = 0;
    for round in 0..edits {
        let paths: Vec<String> = files.keys().cloned().collect();
        let path = paths[random.below(paths.len())].clone();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut changed = Vec::new();
        match random.below(8) {
            0 => {
                let gone = files.remove(&path).unwrap();
                workspace.remove(gone.id);
                before.push(input(gone.id, &gone.file));
                results.remove(&path);
                removed.push((path, gone.source));
            }
            1 if !removed.is_empty() => {
                let (path, source) = removed.swap_remove(random.below(removed.len()));
                let new = known(next, &path, source);
                next += 1;
                after.push(input(new.id, &new.file));
                changed.push(path.clone());
                files.insert(path, new);
            }
            2 => {
                // It moves beside another file.
                let gone = files.remove(&path).unwrap();
                workspace.remove(gone.id);
                results.remove(&path);
                before.push(input(gone.id, &gone.file));
                let near = &paths[random.below(paths.len())];
                let directory = near.rsplit_once('/').map_or("", |(d, _)| d);
                let name = path.rsplit('/').next().unwrap();
                let mut target = format!("{directory}/{name}");
                if files.contains_key(&target) {
                    target = path.clone();
                }
                let new = known(next, &target, gone.source);
                next += 1;
                after.push(input(new.id, &new.file));
                changed.push(target.clone());
                files.insert(target, new);
            }
            _ => {
                let old = &files[&path];
                let new = known(old.id, &path, edited(old, &mut random));
                before.push(input(old.id, &old.file));
                after.push(input(new.id, &new.file));
                changed.push(path.clone());
                files.insert(path, new);
            }
        }
        for file in &after {
            workspace.add(file).unwrap();
        }
        let keys: HashSet<u64> =
            Workspace::changed_keys(&before, &after).unwrap().into_iter().collect();
        let stale = results.iter().filter(|(_, (_, seen))| seen.iter().any(|k| keys.contains(k)));
        let mut plan: Vec<String> = stale.map(|(path, _)| path.clone()).collect();
        plan.extend(changed);
        plan.sort();
        plan.dedup();
        again += plan.len();
        for path in plan {
            let result = resolve(&workspace, &files, &path);
            results.insert(path, result);
        }
        let clean = whole(&files);
        for path in files.keys() {
            let (expected, _) = resolve(&clean, &files, path);
            assert!(
                results[path].0 == expected,
                "round {round}: {path} differs: {:?}",
                expected
                    .iter()
                    .filter(|line| !results[path].0.contains(line))
                    .map(|line| format!("+ {line}"))
                    .chain(
                        results[path]
                            .0
                            .iter()
                            .filter(|line| !expected.contains(line))
                            .map(|l| format!("- {l}"))
                    )
                    .take(6)
                    .collect::<Vec<_>>()
            );
        }
    }
    eprintln!("{edits} edits of {} files: {again} files resolved again", files.len());
}
