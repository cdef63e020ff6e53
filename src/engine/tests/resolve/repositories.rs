//! References that lead into other repositories, by the names of their packages.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::{input, name, parse};
use onyx_engine::resolve::{FileInput, Space, Workspace};
use onyx_protocol::code::{Edge, Resolved};
use onyx_protocol::ingest::ParsedFile;

/// Repositories by name, each of files given as path and source.
struct Repositories {
    names: Vec<&'static str>,
    files: Vec<(usize, ParsedFile)>,
}

impl Repositories {
    fn new(all: &[(&'static str, &[(&str, &str)])]) -> Self {
        let mut files = Vec::new();
        for (repo, (_, sources)) in all.iter().enumerate() {
            files.extend(sources.iter().map(|(path, text)| (repo, parse(path, text))));
        }
        Self { names: all.iter().map(|(name, _)| *name).collect(), files }
    }

    fn input(&self, id: usize) -> FileInput {
        let (repo, file) = &self.files[id];
        FileInput { repo: *repo as u64 + 1, ..input(id as i64, file) }
    }

    fn space(&self, repo: usize) -> Arc<Space> {
        let mut space = Space::new(repo as u64 + 1);
        for id in (0..self.files.len()).filter(|id| self.files[*id].0 == repo) {
            space.add(&self.input(id)).unwrap();
        }
        Arc::new(space)
    }

    /// A file of the first repository resolved, with all others to lead into.
    fn resolved(&self, path: &str) -> Resolved {
        let mut workspace = Workspace::of(self.space(0));
        // The order in which they come must not matter.
        for repo in (1..self.names.len()).rev() {
            assert!(workspace.join(self.space(repo)));
        }
        let at = self.files.iter().position(|(repo, file)| *repo == 0 && file.path == path);
        let at = at.expect("a file of the first repository");
        workspace.resolve(at as i64, &self.files[at].1.body).unwrap()
    }

    fn target(&self, edge: &Edge) -> String {
        let (repo, file) = &self.files[edge.file as usize];
        format!("{}/{}", self.names[*repo], name(file, edge.target))
    }

    /// Edges that lead out of the first repository, as `line kind target [strategy]`.
    fn cross(&self, path: &str) -> Vec<String> {
        let resolved = self.resolved(path);
        let edges = resolved.edges.iter().filter(|edge| self.files[edge.file as usize].0 != 0);
        edges
            .map(|edge| {
                assert!(edge.resolution.starts_with("cross_") && edge.confidence < 1.0);
                let kind = edge.kind.as_str();
                format!("{} {kind} {} [{}]", edge.line, self.target(edge), edge.resolution)
            })
            .collect()
    }

    /// What stays outside, as `line target`.
    fn outside(&self, path: &str) -> Vec<String> {
        let all = self.resolved(path).unresolved;
        let all = all.iter().filter(|one| one.reason.as_str() == "external");
        all.map(|one| format!("{} {}", one.line, one.target)).collect()
    }
}

const LIBRARY: &[(&str, &str)] = &[
    ("parcel/__init__.py", "from .box import Box, pack\n"),
    (
        "parcel/box.py",
        "import helpers\n\n\nclass Base:\n    def close(self):\n        pass\n\n\nclass Box(Base):\n    def __init__(self, size):\n        self.size = size\n\n    def fill(self):\n        return Base()\n\n\ndef pack(x):\n    return Box(x)\n",
    ),
    ("tests/__init__.py", ""),
    ("helpers.py", "def run():\n    pass\n"),
];

const APPLICATION: &str = "from parcel import Box, pack\nimport parcel.box as b\nfrom tests import x\nimport json\n\n\nclass Crate(Box):\n    def close(self):\n        super().close()\n        json.dumps(1)\n\n\ndef main():\n    pack(1).fill().close()\n    b.pack(2)\n    Crate(3).fill()\n";

#[test]
fn python_packages_lead_through_reexports_inheritance_and_results() {
    let all = Repositories::new(&[("app", &[("main.py", APPLICATION)]), ("lib", LIBRARY)]);
    assert_eq!(
        all.cross("main.py"),
        [
            "1 imports lib/parcel/box.py:Box [cross_import]",
            "1 imports lib/parcel/box.py:pack [cross_import]",
            "2 imports lib/parcel/box.py [cross_import]",
            "7 inherits lib/parcel/box.py:Box [cross_import]",
            "7 references lib/parcel/box.py:Box [cross_import]",
            "8 overrides lib/parcel/box.py:Base.close [cross_member]",
            "9 calls lib/parcel/box.py:Base.close [cross_super]",
            "14 calls lib/parcel/box.py:pack [cross_import]",
            "14 calls lib/parcel/box.py:Box.fill [cross_return_type]",
            "14 calls lib/parcel/box.py:Base.close [cross_return_type]",
            "15 calls lib/parcel/box.py:pack [cross_member]",
            "16 calls lib/parcel/box.py:Box.__init__ [cross_scope]",
            "16 calls lib/parcel/box.py:Box.fill [cross_constructor]",
        ]
    );
    // Everybody has tests; what comes with the language is nobody's.
    assert_eq!(all.outside("main.py"), ["3 tests.x", "4 json", "10 json.dumps"]);
}

#[test]
fn of_two_that_provide_a_name_neither_is_meant() {
    let other: &[(&str, &str)] = &[("parcel/__init__.py", "def pack(x): pass\n")];
    let source = "from parcel import pack\nimport parcel.box\n\npack(1)\n";
    let app: &[(&str, &str)] = &[("main.py", source)];
    let all = Repositories::new(&[("app", app), ("lib", LIBRARY), ("other", other)]);
    // A module that only one of them has is that one's.
    assert_eq!(all.cross("main.py"), ["2 imports lib/parcel/box.py [cross_import]"; 0]);
    let both: Vec<String> = all.outside("main.py");
    assert!(both.contains(&"1 parcel.pack".to_owned()), "{both:?}");
    // What the repository has itself hides what others have.
    let own: &[(&str, &str)] =
        &[("main.py", source), ("parcel/__init__.py", "def pack(x): pass\n")];
    let all = Repositories::new(&[("app", own), ("lib", LIBRARY)]);
    assert_eq!(all.cross("main.py"), [""; 0]);
}

#[test]
fn crates_packages_modules_and_java_packages_lead_into_others() {
    let rust: &[(&str, &str)] = &[
        ("Cargo.toml", "[package]\nname = \"far-away\"\n"),
        (
            "src/lib.rs",
            "mod inner;\npub use inner::Thing;\npub fn start() -> Thing { Thing }\n#[macro_export]\nmacro_rules! shout { () => {} }\n",
        ),
        (
            "src/inner.rs",
            "pub struct Thing;\nimpl Thing { pub fn go(&self) { crate::start(); } }\npub trait Run { fn run(&self); }\n",
        ),
    ];
    let app: &[(&str, &str)] = &[
        ("Cargo.toml", "[package]\nname = \"app\"\n"),
        (
            "src/lib.rs",
            "use far_away::{start, Thing};\npub fn f(t: &Thing) {\n    start().go();\n    t.go();\n    far_away::start();\n    std::mem::drop(1);\n}\n",
        ),
    ];
    let all = Repositories::new(&[("app", app), ("far", rust)]);
    assert_eq!(
        all.cross("src/lib.rs"),
        [
            "1 imports far/src/lib.rs:start [cross_import]",
            "1 imports far/src/inner.rs:Thing [cross_import]",
            "2 references far/src/inner.rs:Thing [cross_import]",
            "3 calls far/src/lib.rs:start [cross_import]",
            "3 calls far/src/inner.rs:Thing::go [cross_return_type]",
            "4 calls far/src/inner.rs:Thing::go [cross_receiver]",
            "5 calls far/src/lib.rs:start [cross_member]",
        ]
    );

    let go: &[(&str, &str)] = &[
        ("go.mod", "module example.com/lib\n"),
        (
            "store/store.go",
            "package store\n\ntype DB struct{}\n\nfunc Open() *DB { return nil }\nfunc (d *DB) Get() {}\n",
        ),
    ];
    let app: &[(&str, &str)] = &[
        ("go.mod", "module example.com/app\n"),
        (
            "main.go",
            "package main\n\nimport (\n\t\"fmt\"\n\t\"example.com/lib/store\"\n)\n\nfunc main() {\n\tstore.Open().Get()\n\tfmt.Println()\n}\n",
        ),
    ];
    let all = Repositories::new(&[("app", app), ("lib", go)]);
    assert_eq!(
        all.cross("main.go"),
        [
            "5 imports lib/store/store.go [cross_import]",
            "9 calls lib/store/store.go:Open [cross_member]",
            "9 calls lib/store/store.go:(*DB).Get [cross_return_type]",
        ]
    );

    let npm: &[(&str, &str)] = &[
        ("package.json", "{\"name\": \"@acme/kit\", \"main\": \"./dist/index.js\"}"),
        ("src/index.ts", "export { Kit } from './kit';\n"),
        ("src/kit.ts", "export class Kit { open(): Kit { return this; } }\n"),
    ];
    let app: &[(&str, &str)] = &[
        ("package.json", "{\"name\": \"app\"}"),
        (
            "main.ts",
            "import { Kit } from '@acme/kit';\nimport * as fs from 'fs';\n\nconst kit = new Kit();\nkit.open().open();\nfs.readFileSync('x');\n",
        ),
    ];
    let all = Repositories::new(&[("app", app), ("kit", npm)]);
    assert_eq!(
        all.cross("main.ts"),
        [
            "1 imports kit/src/kit.ts:Kit [cross_import]",
            "4 instantiates kit/src/kit.ts:Kit [cross_scope]",
            "5 calls kit/src/kit.ts:Kit.open [cross_receiver]",
            "5 calls kit/src/kit.ts:Kit.open [cross_return_type]",
        ]
    );

    let java: &[(&str, &str)] = &[(
        "src/Tool.java",
        "package org.tools;\npublic class Tool { public Tool() {} public Tool use() { return this; } public static void all() {} }\n",
    )];
    let app: &[(&str, &str)] = &[(
        "App.java",
        "package app;\nimport org.tools.Tool;\nimport java.util.List;\nclass App extends Tool {\n  void f(List<Tool> x) {\n    new Tool().use();\n    Tool.all();\n  }\n}\n",
    )];
    let all = Repositories::new(&[("app", app), ("tools", java)]);
    assert_eq!(
        all.cross("App.java"),
        [
            "2 imports tools/src/Tool.java:Tool [cross_import]",
            "4 inherits tools/src/Tool.java:Tool [cross_import]",
            "5 references tools/src/Tool.java:Tool [cross_import]",
            "6 calls tools/src/Tool.java:Tool.Tool [cross_import]",
            "6 instantiates tools/src/Tool.java:Tool [cross_import]",
            "6 calls tools/src/Tool.java:Tool.use [cross_constructor]",
            // The class is named too, as within a repository.
            "7 references tools/src/Tool.java:Tool [cross_import]",
            "7 calls tools/src/Tool.java:Tool.all [cross_member]",
        ]
    );
}

#[test]
fn a_name_is_looked_up_where_it_stands() {
    // `helpers` in the library is the library's, not the application's.
    let app: &[(&str, &str)] = &[
        ("main.py", "from parcel.use import go\n\ngo().close()\n"),
        (
            "helpers.py",
            "class Mine:\n    def close(self):\n        pass\n\n\ndef make():\n    return Mine()\n",
        ),
    ];
    let lib: &[(&str, &str)] = &[
        ("parcel/__init__.py", ""),
        ("parcel/use.py", "import helpers\n\n\ndef go():\n    return helpers.make()\n"),
        (
            "helpers.py",
            "class Theirs:\n    def close(self):\n        pass\n\n\ndef make():\n    return Theirs()\n",
        ),
    ];
    let all = Repositories::new(&[("app", app), ("lib", lib)]);
    let resolved = all.resolved("main.py");
    let targets: Vec<String> = resolved.edges.iter().map(|edge| all.target(edge)).collect();
    assert!(targets.contains(&"lib/helpers.py:Theirs.close".to_owned()), "{targets:?}");
    assert!(targets.iter().all(|target| !target.starts_with("app/")), "{targets:?}");
}

/// What decides about an edge is among what was looked up: each change of the library that changes an
/// edge of the application has a key in common with it.
#[test]
fn changes_of_the_library_are_noticed() {
    let change = |path: &str, from: &str, to: &str| {
        let app: &[(&str, &str)] = &[("main.py", APPLICATION)];
        let before = Repositories::new(&[("app", app), ("lib", LIBRARY)]);
        let mut changed: BTreeMap<&str, String> =
            LIBRARY.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
        match to {
            "gone" => drop(changed.remove(path)),
            to => drop(changed.insert(path, changed[path].replace(from, to))),
        }
        let library: Vec<(&str, &str)> =
            changed.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let after = Repositories::new(&[("app", app), ("lib", &library)]);
        let files = |all: &Repositories| -> Vec<FileInput> {
            let ids = (0..all.files.len()).filter(|id| all.files[*id].0 == 1);
            ids.map(|id| all.input(id)).collect()
        };
        let keys = Workspace::changed_keys(&files(&before), &files(&after)).unwrap();
        let asked = before.resolved("main.py").outside;
        let noticed = keys.iter().any(|key| asked.binary_search(key).is_ok());
        (before.cross("main.py") != after.cross("main.py"), noticed)
    };
    for (path, from, to) in [
        ("parcel/box.py", "def pack", "def wrap"),
        ("parcel/box.py", "class Box(Base)", "class Box"),
        ("parcel/box.py", "def close", "def shut"),
        ("parcel/box.py", "return Base()", "return 1"),
        ("parcel/__init__.py", "Box, pack", "Box"),
        ("parcel/__init__.py", "", "gone"),
        ("parcel/box.py", "", "gone"),
    ] {
        assert_eq!(change(path, from, to), (true, true), "{path}: {from} -> {to}");
    }
    assert_eq!(change("helpers.py", "def run", "def walk"), (false, false));
}
