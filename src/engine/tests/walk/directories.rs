//! What a walk finds, in which order, and how it behaves towards who receives it.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::support::{Tree, known, path, request, run, run_with, short};
use onyx_engine::{
    parse::{Limits, parse_to_keep},
    walk::walk,
};
use onyx_protocol::{
    ErrorKind, WireError,
    facts::Language,
    ingest::{KnownFile, WalkItem},
    limits::STREAM_BATCH_BYTES,
};

const CODE: &str = "def f():\n    return 1\n";

/// The naive twin of a walk: recursion, no threads, no rules but the hidden ones.
fn naive(root: &Path, below: &str, out: &mut Vec<WalkItem>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            naive(root, &path, out);
        } else if let Some(language) = Language::from_path(&path) {
            let bytes = fs::read(entry.path()).unwrap();
            let parsed = parse_to_keep(&path, language, &bytes, &Limits::default(), &|| false);
            out.push(match parsed {
                Ok(file) => WalkItem::Parsed(Box::new(file)),
                Err(notice) => WalkItem::Skipped { path, notice },
            });
        }
    }
}

#[test]
fn a_real_tree_gives_what_the_naive_twin_finds_with_any_number_of_threads() {
    // The workspace's own sources.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut expected = Vec::new();
    naive(&root, "", &mut expected);
    expected.sort_by(|a, b| path(a).cmp(path(b)));
    assert!(expected.len() >= 5);
    for workers in [0, 1, 2, 7] {
        let (items, summary) = run_with(&request(&root), workers, &|| false).unwrap();
        assert!(items == expected, "{workers} workers");
        assert_eq!(summary.files, expected.len() as u64);
        let size = |item: &WalkItem| fs::metadata(root.join(path(item))).unwrap().len();
        assert_eq!(summary.bytes, expected.iter().map(size).sum::<u64>());
        assert!(summary.read_seconds > 0.0 && summary.parse_seconds > 0.0);
    }
}

#[test]
fn paths_come_in_the_order_of_their_bytes() {
    let names = ["a/x.py", "a.py", "a-b/x.py", "B.py", "a/b/c.py", "a0.py", "é.py", "a/b.py"];
    let files: Vec<_> = names.iter().map(|name| (*name, CODE)).collect();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(Tree::new(&files).short(), expected);
}

#[test]
fn only_known_languages_are_reported_and_hidden_paths_never() {
    let tree = Tree::new(&[
        ("a.py", CODE),
        ("README.md", "# no"),
        ("Makefile", "all:"),
        ("b.rs", "fn f() {}"),
        ("b.rs.bak", "fn f() {}"),
        (".hidden.py", CODE),
        (".git/hooks/x.py", CODE),
        (".github/x.py", CODE),
        ("sub/.venv/x.py", CODE),
        ("empty.py", ""),
        // A rule cannot bring a hidden file back.
        (".gitignore", "!.hidden.py\n"),
    ]);
    assert_eq!(tree.short(), ["a.py", "b.rs", "empty.py"]);
    assert_eq!(run(&tree.request()).unwrap().1.files, 3);
}

#[test]
fn ignore_files_are_obeyed_without_a_repository_around_them() {
    let outer = Tree::new(&[
        // Above the root: not part of the tree.
        (".gitignore", "*.py\n"),
        ("root/.gitignore", "build/\n*.gen.py\n/only_top.py\n!kept.gen.py\n"),
        ("root/a.py", CODE),
        ("root/a.gen.py", CODE),
        ("root/kept.gen.py", CODE),
        ("root/only_top.py", CODE),
        ("root/build/x.py", CODE),
        ("root/sub/only_top.py", CODE),
        ("root/sub/.gitignore", "!b.gen.py\nc.py\n"),
        ("root/sub/b.gen.py", CODE),
        ("root/sub/c.py", CODE),
        ("root/sub/build/y.py", CODE),
        ("root/.ignore", "d.py\n"),
        ("root/sub/d.py", CODE),
        // Of the checkout, not of the tree.
        ("root/.git/info/exclude", "a.py\n"),
    ]);
    let (items, _) = run(&request(&outer.path("root"))).unwrap();
    assert_eq!(short(&items), ["a.py", "kept.gen.py", "sub/b.gen.py", "sub/only_top.py"]);
}

#[test]
fn include_and_exclude_choose_files() {
    let tree = Tree::new(&[
        ("src/a.py", CODE),
        ("src/a.rs", "fn f() {}"),
        ("src/tests/b.py", CODE),
        ("tests/c.py", CODE),
        ("setup.py", CODE),
    ]);
    let walked = |include: &[&str], exclude: &[&str]| {
        let own = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
        let mut request = tree.request();
        request.include = own(include);
        request.exclude = own(exclude);
        short(&run(&request).unwrap().0)
    };
    assert_eq!(walked(&["*.rs"], &[]), ["src/a.rs"]);
    assert_eq!(walked(&["src"], &["*.rs"]), ["src/a.py", "src/tests/b.py"]);
    assert_eq!(walked(&["src/**", "setup.py"], &["tests/"]), ["setup.py", "src/a.py", "src/a.rs"]);
    assert_eq!(walked(&[], &["/tests", "*.py"]), ["src/a.rs"]);
    assert_eq!(walked(&["nothing"], &[]), Vec::<String>::new());
}

#[test]
fn a_bad_glob_is_an_error() {
    let tree = Tree::new(&[("a.py", CODE)]);
    for (include, exclude) in [("a[", "b"), ("b", "a[")] {
        let mut request = tree.request();
        request.include = vec![include.to_owned()];
        request.exclude = vec![exclude.to_owned()];
        let error = run(&request).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert_eq!(error.message, "invalid glob \"a[\"");
        assert!(error.hint.contains(".gitignore"), "{error:?}");
    }
}

#[test]
fn unchanged_files_are_not_parsed_and_changed_ones_are() {
    let tree = Tree::new(&[("a.py", CODE), ("b.py", CODE), ("c.py", CODE), ("d/e.py", CODE)]);
    let mut request = tree.request();
    request.known = known(&tree.walk());
    assert_eq!(request.known.len(), 4);
    tree.write("b.py", b"def g(): pass\n");
    fs::remove_file(tree.path("c.py")).unwrap();
    tree.write("new.py", CODE.as_bytes());
    request.known.push(KnownFile { path: "gone.py".into(), hash: [0; 32] });
    let (items, summary) = run(&request).unwrap();
    assert_eq!(short(&items), ["= a.py", "b.py", "= d/e.py", "new.py"]);
    assert_eq!(summary.files, 4);
}

#[test]
fn the_root_may_be_a_link_and_may_end_in_a_slash() {
    let tree = Tree::new(&[("real/a.py", CODE)]);
    tree.link("link", "real");
    for root in ["link", "real/", "link/", "real/../real"] {
        assert_eq!(short(&run(&request(&tree.path(root))).unwrap().0), ["a.py"], "{root}");
    }
}

fn big_tree(files: usize) -> Tree {
    let tree = Tree::new(&[]);
    // About 8 kB of facts each, so that a batch has about a hundred files.
    let code: String =
        (0..20).map(|n| format!("def f{n}():\n    \"\"\"{}\"\"\"\n", "doc ".repeat(60))).collect();
    for n in 0..files {
        tree.write(&format!("{n:05}.py"), code.as_bytes());
    }
    tree
}

#[test]
fn items_come_in_batches_of_about_a_megabyte_and_each_once() {
    let tree = big_tree(600);
    let mut sizes = Vec::new();
    let mut seen = BTreeSet::new();
    walk(&tree.request(), &Limits::default(), 2, &|| false, &mut |batch| {
        sizes.push(onyx_protocol::codec::encode(&batch).unwrap().len());
        for item in &batch {
            assert!(seen.insert(path(item).to_owned()));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(seen.len(), 600);
    assert!(sizes.len() > 2);
    for size in &sizes[..sizes.len() - 1] {
        assert!((STREAM_BATCH_BYTES / 2..STREAM_BATCH_BYTES * 2).contains(size), "{sizes:?}");
    }
}

#[test]
fn a_blocked_receiver_holds_back_the_walk() {
    let tree = big_tree(1200);
    let mut emitted = 0;
    let mut items = Vec::new();
    walk(&tree.request(), &Limits::default(), 2, &|| false, &mut |batch| {
        if emitted == 0 {
            std::thread::sleep(Duration::from_millis(500));
            // What is far ahead cannot have been read yet: it is read as it is now.
            for n in batch.len() + 2 * 64..1200 {
                tree.write(&format!("{n:05}.py"), CODE.as_bytes());
            }
            emitted = batch.len();
        }
        items.extend(batch);
        Ok(())
    })
    .unwrap();
    assert_eq!(items.len(), 1200);
    assert!(emitted < 600, "{emitted} items in one batch");
    for (n, item) in items.iter().enumerate().skip(emitted + 2 * 64) {
        let WalkItem::Parsed(file) = item else { panic!("{item:?}") };
        assert_eq!(file.size, CODE.len() as u64, "file {n} was read too early");
    }
}

#[test]
fn an_error_or_panic_of_the_receiver_ends_the_walk() {
    let tree = big_tree(600);
    let mut calls = 0;
    let error = walk(&tree.request(), &Limits::default(), 2, &|| false, &mut |_| {
        calls += 1;
        Err(WireError::new(ErrorKind::DeadlineExceeded, "too late"))
    })
    .unwrap_err();
    assert_eq!(
        (calls, error.kind, error.message.as_str()),
        (1, ErrorKind::DeadlineExceeded, "too late")
    );
    let error =
        walk(&tree.request(), &Limits::default(), 2, &|| false, &mut |_| panic!("receiver"))
            .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
}

#[test]
fn a_cancelled_walk_ends_at_once_and_emits_nothing_more() {
    let tree = big_tree(600);
    for after in [0, 1, 10, 1000] {
        let asked = AtomicUsize::new(0);
        // True only once: it must not be forgotten.
        let cancelled = || asked.fetch_add(1, Ordering::Relaxed) == after;
        let mut late = false;
        let error = walk(&tree.request(), &Limits::default(), 2, &cancelled, &mut |_| {
            late |= asked.load(Ordering::Relaxed) > after + 4;
            Ok(())
        })
        .unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Canceled, "walk was canceled")
        );
        assert!(!late, "emitted after it was cancelled at call {after}");
    }
}

#[test]
fn a_file_that_takes_long_does_not_delay_a_cancel() {
    let tree = Tree::new(&[]);
    tree.write("slow.js", "[\n".repeat(4 << 20).as_bytes());
    let start = Instant::now();
    let cancelled = || start.elapsed() > Duration::from_millis(100);
    let error = run_with(&tree.request(), 1, &cancelled).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Canceled);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
