//! Incremental is clean: after every edit, resolving what `changed_keys` asks for gives what resolving
//! everything gives. Over this crate's own sources and the repository's Python; with
//! `ONYX_EDIT_TREE` set, over that directory. `ONYX_EDITS` sets the number of edits.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::{env, fs};

use crate::support::{input, parse};
use onyx_engine::parse::{Limits, parse_file};
use onyx_engine::resolve::Workspace;
use onyx_protocol::code::{Interface, Resolved, Within};
use onyx_protocol::facts::Language;
use onyx_protocol::ingest::ParsedFile;

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
    id: i64,
    file: ParsedFile,
    source: String,
    identities: Vec<u64>,
}

fn known(id: i64, path: &str, source: String) -> Known {
    let file = parse(path, &source);
    let interface = Interface::decode(&file.interface).unwrap();
    let identities = interface.definitions.iter().map(|d| d.identity).collect();
    Known { id, file, source, identities }
}

/// Edges and unresolved references with definitions by what keeps their nodes.
fn spelled(files: &BTreeMap<String, Known>, of: &Known, resolved: &Resolved) -> Vec<String> {
    let by_id: BTreeMap<i64, &Known> = files.values().map(|known| (known.id, known)).collect();
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

/// Files, and what resolving them gave.
#[derive(Default)]
struct Tree {
    files: BTreeMap<String, Known>,
    workspace: Workspace,
    results: BTreeMap<String, (Vec<String>, Vec<u64>)>,
    next: i64,
    /// Files resolved.
    count: usize,
}

impl Tree {
    /// Files at these paths get these sources, or go; resolves what has to be again.
    fn change(&mut self, changes: Vec<(String, Option<String>)>) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut plan = Vec::new();
        for (path, source) in changes {
            let old = self.files.remove(&path);
            if let Some(old) = &old {
                before.push(input(old.id, &old.file));
                self.workspace.remove(old.id);
                self.results.remove(&path);
            }
            if let Some(source) = source {
                self.next += 1;
                let id = old.map_or(self.next, |old| old.id);
                let new = known(id, &path, source);
                after.push(input(new.id, &new.file));
                self.files.insert(path.clone(), new);
                plan.push(path);
            }
        }
        for file in &after {
            self.workspace.add(file).unwrap();
        }
        let keys: HashSet<u64> =
            Workspace::changed_keys(&before, &after).unwrap().into_iter().collect();
        let is_stale = |seen: &[u64]| seen.iter().any(|key| keys.contains(key));
        let stale = self.results.iter().filter(|(_, (_, seen))| is_stale(seen));
        plan.extend(stale.map(|(path, _)| path.clone()));
        plan.sort();
        plan.dedup();
        self.count += plan.len();
        for path in plan {
            let result = resolve(&self.workspace, &self.files, &path);
            self.results.insert(path, result);
        }
    }

    /// Compares with resolving everything.
    fn check(&self, what: &str) {
        let clean = whole(&self.files);
        for path in self.files.keys() {
            let (expected, _) = resolve(&clean, &self.files, path);
            let found = &self.results[path].0;
            if *found == expected {
                continue;
            }
            let more = expected.iter().filter(|line| !found.contains(line));
            let less = found.iter().filter(|line| !expected.contains(line));
            let lines: Vec<String> = more
                .map(|line| format!("+ {line}"))
                .chain(less.map(|line| format!("- {line}")))
                .take(6)
                .collect();
            panic!("{what}: {path} differs: {lines:#?}");
        }
    }
}

fn edits(otherwise: usize) -> usize {
    env::var("ONYX_EDITS").ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
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
    // Generated and broken files have no facts.
    sources.retain(|(path, source)| is_parsed(path, source));
    assert!(sources.len() > 20);
    let mut tree = Tree::default();
    tree.change(sources.into_iter().map(|(path, source)| (path, Some(source))).collect());
    tree.count = 0;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut removed: Vec<(String, String)> = Vec::new();
    let edits = edits(60);
    for round in 0..edits {
        let paths: Vec<String> = tree.files.keys().cloned().collect();
        let path = paths[random.below(paths.len())].clone();
        let source = tree.files[&path].source.clone();
        let changes = match random.below(8) {
            0 => {
                removed.push((path.clone(), source));
                vec![(path, None)]
            }
            1 if !removed.is_empty() => {
                let (path, source) = removed.swap_remove(random.below(removed.len()));
                vec![(path, Some(source))]
            }
            2 => {
                // It moves beside another file.
                let near = &paths[random.below(paths.len())];
                let directory = near.rsplit_once('/').map_or("", |(d, _)| d);
                let target = format!("{directory}/{}", path.rsplit('/').next().unwrap());
                if tree.files.contains_key(&target) {
                    continue;
                }
                vec![(path, None), (target, Some(source))]
            }
            _ => {
                let source = edited(&tree.files[&path], &mut random);
                vec![(path, Some(source))]
            }
        };
        tree.change(changes);
        tree.check(&format!("round {round}"));
    }
    eprintln!("{edits} edits of {} files: {} resolved again", tree.files.len(), tree.count);
}

/// Files with the sources they change between. Every kind of key that resolution asks for decides
/// about an edge here: names and globs of modules, `__all__`, what definitions say, files by path,
/// modules, packages without `__init__.py`, crates, impl blocks and macros by name.
const SMALL: &[(&str, &[&str])] = &[
    (
        "j/a/Base.java",
        &[
            "package a;\npublic class Base<T> { public T item; public T get() { return item; } public void hook(int x) {}\npublic static class In { public void go() {} } }\n",
            "package a;\npublic class Base<T> implements Shape { public void hook(String s) {} public b.Part get() { return null; } }\n",
            "package b;\npublic class Base<T> { public T get() { return null; } public void area() {} }\n",
        ],
    ),
    (
        "j/a/Shape.java",
        &[
            "package a;\npublic interface Shape { void f(b.Part p); default void area() {} }\n",
            "package a;\npublic interface Shape { void f(Base<b.Part> p); }\n",
            "package a;\npublic interface Shape { void f(b.Part p); void g(); }\n",
        ],
    ),
    (
        "j/a/Tools.java",
        &[
            "package a;\npublic class Tools { public static void help(Shape s) {} public static b.Part ONE; }\n",
            "package a;\npublic class Tools extends Base<b.Part> { public static void help(Shape s) {} static void help(int x) {} }\n",
        ],
    ),
    (
        "j/b/Part.java",
        &[
            "package b;\npublic class Part { public Part go() { return this; } public void use() {} }\n",
            "package b;\npublic record Part(Part go) { public void use() {} }\n",
            "package a;\npublic class Part { public void use() {} }\n",
        ],
    ),
    ("j/b/Base.java", &["package b;\npublic class Base<T> { public void area() {} }\n"]),
    (
        "j/b/Sub.java",
        &[
            "package b;\nimport a.*;\nimport static a.Tools.*;\nclass Sub extends a.Base<Part> {\npublic void hook(int x) { get().go().use(); item.use(); area(); hook(1); help(p -> p.use()); ONE.go(); new In().go(); new Base<Part>().area(); }\n}\n",
            "package b;\nimport a.Base;\nimport a.Tools;\nclass Sub extends Base<Part> implements a.Shape {\npublic void f(Part p) { p.go().use(); Tools.help(this); Tools.help(x -> x.get().use()); get().use(); super.hook(1); }\n}\n",
            "package a;\nclass Sub extends Base<Part> { void f(Part p) { p.use(); get().use(); hook(2); hook(\"\"); } }\n",
        ],
    ),
    (
        "pkg/__init__.py",
        &[
            "from .a import C\nfrom .b import *\n",
            "from .a import *\n",
            "from .b import *\nfrom .a import make\n",
        ],
    ),
    (
        "pkg/a.py",
        &[
            "from .b import B\nclass C(B):\n    def m(self):\n        pass\ndef make():\n    return C()\n",
            "from .b import B\nclass C:\n    def m(self):\n        pass\ndef make():\n    return B()\n",
            "def make():\n    return 1\n",
        ],
    ),
    (
        "pkg/b.py",
        &[
            "__all__ = ['B']\nclass B:\n    def n(self):\n        pass\ndef make():\n    return B()\n",
            "class B:\n    def n(self):\n        pass\ndef make():\n    return B()\n",
            "__all__ = ['make']\nclass B:\n    pass\ndef make():\n    return B()\n",
        ],
    ),
    ("ns/inner/deep.py", &["def f():\n    pass\n", "def g():\n    pass\n"]),
    ("ns/inner/more.py", &["def f():\n    pass\n"]),
    (
        "user.py",
        &[
            "import pkg\nimport ns.inner.deep\nfrom pkg import *\nfrom ns import inner\nx = pkg.make()\nx.m()\nx.n()\n             ns.inner.deep.f()\nmake()\nC().m()\nC().n()\nB().n()\n",
        ],
    ),
    (
        "one/src/lib.rs",
        &[
            "pub mod x;\nmod y;\npub use x::*;\n#[macro_export]\nmacro_rules! m { () => {} }\n",
            "pub mod x;\nmod y;\npub use y::*;\n",
            "pub mod x;\npub use x::S;\n",
        ],
    ),
    (
        "one/src/x.rs",
        &[
            "pub struct S { pub t: T }\npub struct T;\nimpl T { pub fn go(&self) {} }\npub fn s() -> S { todo!() }\n",
            "pub struct S { pub t: U }\npub struct U;\nimpl U { pub fn go(&self) {} }\npub fn s() -> U { todo!() }\n",
        ],
    ),
    (
        "one/src/y.rs",
        &[
            "use crate::x::S;\nimpl S { pub fn put(&self) {} }\npub fn s() -> S { todo!() }\n",
            "use crate::S;\nimpl S { pub fn put(&self) {} pub fn get(&self) -> S { todo!() } }\n",
            "pub fn s() -> u8 { 1 }\n",
        ],
    ),
    (
        "two/src/lib.rs",
        &[
            "use one::S;\nmod z;\nfn f(s: S) { s.put(); s.get().put(); s.t.go(); one::s().put(); m!(); z::h(); }\n",
            "use one::*;\nfn f(a: S) { a.put(); a.t.go(); s().get(); s().go(); m!(); }\n",
        ],
    ),
    ("two/src/z.rs", &["pub fn h() {}\n"]),
    ("two/src/z/mod.rs", &["pub fn h() {}\n"]),
];

#[test]
fn every_kind_of_key_is_recorded() {
    let mut tree = Tree::default();
    let first = |(path, sources): &(&str, &[&str])| (path.to_string(), Some(sources[0].to_owned()));
    tree.change(SMALL.iter().map(first).collect());
    tree.check("at first");
    let edges: usize = tree.results.values().map(|(lines, _)| lines.len()).sum();
    assert!(edges > 40, "{edges}");
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..edits(600) {
        let (path, sources) = SMALL[random.below(SMALL.len())];
        // Most of the time there is a file.
        let source = sources.get(random.below(3 * sources.len() + 1) / 3).copied();
        tree.change(vec![(path.to_owned(), source.map(str::to_owned))]);
        tree.check(&format!("round {round}, {path}"));
    }
}
