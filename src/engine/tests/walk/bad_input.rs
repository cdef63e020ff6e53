//! Trees and files that are not what a walk hopes for: each a clear error or an accounted skip,
//! and never a hang.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{Tree, reasons, request, run, run_with, short};
use crate::unprivileged::unprivileged;
use onyx_engine::{parse::Limits, walk::walk};
use onyx_protocol::{
    ErrorKind,
    ingest::{SkipReason, WalkItem},
};
use rustix::fs::{CWD, FileType, Mode, OFlags};

const CODE: &str = "def f():\n    return 1\n";

fn node(tree: &Tree, path: &str, kind: FileType) -> bool {
    // The null device's number; other kinds have none.
    let device = if kind == FileType::CharacterDevice { rustix::fs::makedev(1, 3) } else { 0 };
    rustix::fs::mknodat(CWD, tree.path(path), kind, Mode::RWXU, device).is_ok()
}

fn detail<'a>(items: &'a [WalkItem], path: &str) -> &'a str {
    items
        .iter()
        .find_map(|item| match item {
            WalkItem::Skipped { path: found, notice } if found == path => Some(&notice.detail),
            _ => None,
        })
        .unwrap()
}

#[test]
fn a_root_that_is_no_directory_is_an_error() {
    let tree = Tree::new(&[("file.py", CODE), ("a.py", CODE)]);
    assert!(node(&tree, "fifo", FileType::Fifo));
    tree.link("dangling", "nowhere");
    tree.link("loop", "loop");
    let cases = [
        ("absent", ErrorKind::NotFound, "No such file or directory"),
        ("absent/more", ErrorKind::NotFound, "No such file or directory"),
        ("dangling", ErrorKind::NotFound, "No such file or directory"),
        ("file.py", ErrorKind::WrongObject, "Not a directory"),
        ("file.py/more", ErrorKind::WrongObject, "Not a directory"),
        ("fifo", ErrorKind::WrongObject, "Not a directory"),
        ("loop", ErrorKind::InvalidRequest, "Too many levels of symbolic links"),
    ];
    for (path, kind, why) in cases {
        let path = tree.path(path);
        let error = run(&request(&path)).unwrap_err();
        let message = format!("could not open directory \"{}\": {why}", path.display());
        assert_eq!((error.kind, error.message), (kind, message));
        assert!(error.hint.ends_with('.'), "{}", error.hint);
    }
    for root in ["", "relative/path", "."] {
        let mut request = tree.request();
        request.root = root.to_owned();
        let error = run(&request).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert_eq!(error.message, format!("directory must be an absolute path, not \"{root}\""));
    }
    let mut request = tree.request();
    request.root.push('\0');
    assert_eq!(run(&request).unwrap_err().kind, ErrorKind::InvalidRequest);
}

#[test]
fn what_the_operating_system_refuses_is_accounted_for() {
    let tree = Tree::new(&[
        ("a.py", CODE),
        ("closed.py", CODE),
        ("closed/b.py", CODE),
        ("ruled/.gitignore", "*.py\n"),
        ("ruled/c.py", CODE),
        ("unlisted/d.py", CODE),
    ]);
    let mode = |path: &str, mode| {
        fs::set_permissions(tree.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("closed.py", 0o000);
    mode("closed", 0o000);
    mode("ruled/.gitignore", 0o000);
    // Its names can be read, what they stand for cannot.
    mode("unlisted", 0o444);
    let items = unprivileged(|| tree.walk());
    assert_eq!(
        short(&items),
        [
            "a.py",
            "closed.py: permission_denied",
            "closed: permission_denied",
            "ruled/.gitignore: permission_denied",
            "ruled/c.py",
            "unlisted/d.py: permission_denied",
        ]
    );
    assert_eq!(detail(&items, "closed"), "directory: Permission denied");

    let error = unprivileged(|| run(&request(&tree.path("closed")))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    let path = tree.path("closed");
    let message = format!("could not open directory \"{}\": Permission denied", path.display());
    assert_eq!(error.message, message);
    assert!(error.hint.contains("operating system user"), "{error:?}");
    mode("closed", 0o755);
    mode("unlisted", 0o755);
}

#[test]
fn what_is_no_regular_file_is_never_opened() {
    let tree = Tree::new(&[("a.py", CODE)]);
    assert!(node(&tree, "fifo.py", FileType::Fifo));
    assert!(node(&tree, "fifo.txt", FileType::Fifo));
    assert!(node(&tree, "socket.py", FileType::Socket));
    let mut expected = vec!["a.py", "fifo.py: not_regular", "socket.py: not_regular"];
    // Only root may make a device.
    if node(&tree, "device.py", FileType::CharacterDevice) {
        expected.insert(1, "device.py: not_regular");
    }
    let (items, summary) = run(&tree.request()).unwrap();
    assert_eq!(short(&items), expected);
    assert_eq!(detail(&items, "fifo.py"), "a FIFO");
    assert_eq!(summary.files, expected.len() as u64);
}

#[test]
fn an_ignore_file_that_is_none_does_not_block_and_is_accounted_for() {
    let tree = Tree::new(&[("a.py", CODE), ("sub/b.py", CODE), ("big/c.py", CODE)]);
    assert!(node(&tree, ".gitignore", FileType::Fifo));
    tree.link("sub/.gitignore", "/dev/zero");
    tree.write("big/.ignore", "*.py\n".repeat(300_000).as_bytes());
    assert_eq!(
        tree.short(),
        [
            ".gitignore: not_regular",
            "a.py",
            "big/.ignore: too_large",
            "big/c.py",
            "sub/.gitignore: not_regular",
            "sub/b.py",
        ]
    );
}

#[test]
fn links_are_not_followed_and_loops_are_named() {
    let outside = Tree::new(&[("secret.py", CODE)]);
    let tree = Tree::new(&[("a.py", CODE), ("sub/b.py", CODE)]);
    tree.link("again", "again");
    tree.link("ping.py", "pong.py");
    tree.link("pong.py", "ping.py");
    tree.link("sub/self", ".");
    tree.link("sub/up", "..");
    tree.link("sub/root", tree.root().to_str().unwrap());
    tree.link("to_sub", "sub");
    tree.link("to_file.py", "a.py");
    tree.link("to_nothing.py", "nowhere.py");
    tree.link("to_text", "/etc/passwd");
    tree.link("outside", outside.root().to_str().unwrap());
    tree.link("outside.py", outside.path("secret.py").to_str().unwrap());
    assert_eq!(
        tree.short(),
        [
            "a.py",
            "again: symlink_loop",
            "outside: not_regular",
            "outside.py: not_regular",
            "ping.py: symlink_loop",
            "pong.py: symlink_loop",
            "sub/b.py",
            "sub/root: symlink_loop",
            "sub/self: symlink_loop",
            "sub/up: symlink_loop",
            "to_file.py: not_regular",
            "to_nothing.py: not_regular",
            "to_sub: not_regular",
        ]
    );
}

#[test]
fn names_that_are_not_utf8_are_accounted_for() {
    let tree = Tree::new(&[("a.py", CODE)]);
    let named = |name: &[u8]| tree.root().join(OsStr::from_bytes(name));
    fs::write(named(b"b\xff.py"), CODE).unwrap();
    fs::write(named(b"b\xff.txt"), CODE).unwrap();
    fs::create_dir(named(b"d\xff")).unwrap();
    fs::write(named(b"d\xff").join("c.py"), CODE).unwrap();
    fs::create_dir(named(b".d\xff")).unwrap();
    assert_eq!(tree.short(), ["a.py", "b\u{fffd}.py: bad_path", "d\u{fffd}: bad_path"]);
    // A name with a line break or a quote is a name.
    tree.write("odd\n\"'name.py", CODE.as_bytes());
    assert!(tree.short().contains(&"odd\n\"'name.py".to_owned()));
}

#[test]
fn a_fifty_megabyte_line_is_too_large() {
    let tree = Tree::new(&[("a.py", CODE)]);
    tree.write("line.js", "x".repeat(50 << 20).as_bytes());
    let (items, summary) = run(&tree.request()).unwrap();
    assert_eq!(short(&items), ["a.py", "line.js: too_large"]);
    let expected = format!("{} bytes, more than {}", 50 << 20, Limits::default().max_bytes);
    assert_eq!(detail(&items, "line.js"), expected);
    // It was not read.
    assert_eq!((summary.files, summary.bytes), (2, CODE.len() as u64));
}

#[test]
fn content_that_is_no_code_is_accounted_for() {
    let tree = Tree::new(&[("a.py", CODE), ("empty.py", "")]);
    tree.write("nul.py", b"def f():\0\n");
    tree.write("latin.py", b"# gr\xfc\xdfe\ndef f():\n    pass\n");
    tree.write("broken.py", b"def f(:\n\ndef g():\n    pass\n");
    // Nested 100,000 deep; parsed as far as it goes or given up in time.
    tree.write("deep.js", ["(\n".repeat(100_000), ")\n".repeat(100_000)].concat().as_bytes());
    let (items, summary) = run(&tree.request()).unwrap();
    assert_eq!(summary.files, 6);
    let skipped = reasons(&items);
    assert!(skipped.contains(&("nul.py", SkipReason::Binary)), "{skipped:?}");
    assert!(skipped.iter().all(|(path, _)| ["nul.py", "deep.js"].contains(path)), "{skipped:?}");
    let noticed = |path: &str| -> Vec<SkipReason> {
        let file = items.iter().find_map(|item| match item {
            WalkItem::Parsed(file) if file.path == path => Some(file),
            _ => None,
        });
        file.unwrap().notices.iter().map(|notice| notice.reason).collect()
    };
    assert_eq!(noticed("latin.py"), [SkipReason::Decoded]);
    assert_eq!(noticed("broken.py"), [SkipReason::SyntaxError]);
    assert_eq!(noticed("empty.py"), []);
}

/// Walks, and does `change` after the root has been listed and before any file has been opened.
fn walk_while(tree: &Tree, change: impl Fn() + Sync) -> Vec<WalkItem> {
    let done = AtomicBool::new(false);
    let cancelled = || {
        if !done.swap(true, Ordering::SeqCst) {
            change();
        }
        false
    };
    let items = run_with(&tree.request(), 1, &cancelled).unwrap().0;
    assert!(done.load(Ordering::SeqCst));
    items
}

#[test]
fn what_vanishes_midway_is_accounted_for() {
    let tree = Tree::new(&[("a.py", CODE), ("b.py", CODE), ("c/d.py", CODE), ("e.py", CODE)]);
    let items = walk_while(&tree, || {
        fs::remove_file(tree.path("b.py")).unwrap();
        fs::remove_dir_all(tree.path("c")).unwrap();
    });
    assert_eq!(short(&items), ["a.py", "b.py: vanished", "c: vanished", "e.py"]);
}

#[test]
fn what_becomes_something_else_midway_is_not_read() {
    let outside = Tree::new(&[("secret.py", CODE)]);
    let tree = Tree::new(&[("a.py", CODE), ("b.py", CODE), ("c/d.py", CODE), ("e.py", CODE)]);
    let items = walk_while(&tree, || {
        fs::remove_file(tree.path("a.py")).unwrap();
        assert!(node(&tree, "a.py", FileType::Fifo));
        fs::remove_file(tree.path("b.py")).unwrap();
        tree.link("b.py", outside.path("secret.py").to_str().unwrap());
        fs::remove_dir_all(tree.path("c")).unwrap();
        tree.link("c", outside.root().to_str().unwrap());
        fs::remove_file(tree.path("e.py")).unwrap();
        fs::create_dir(tree.path("e.py")).unwrap();
    });
    assert_eq!(
        short(&items),
        ["a.py: not_regular", "b.py: not_regular", "c: vanished", "e.py: not_regular"]
    );
}

#[test]
fn a_tree_deeper_than_a_path_can_be_is_accounted_for() {
    let tree = Tree::new(&[("a.py", CODE)]);
    let name = "n".repeat(250);
    let open = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(tree.root(), open, Mode::empty()).unwrap();
    for _ in 0..20 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, open, Mode::empty()).unwrap();
    }
    let items = tree.walk();
    let found = reasons(&items);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1, SkipReason::Io);
    assert_eq!(detail(&items, found[0].0), "directory: File name too long");
}

#[test]
fn an_empty_tree_has_no_items_and_no_batch() {
    let tree = Tree::new(&[("sub/README", "")]);
    let summary =
        walk(&tree.request(), &Limits::default(), 2, &|| false, &mut |_| panic!("nothing to emit"));
    assert_eq!(summary.unwrap().files, 0);
}
