//! Walks of repositories that git made: what changed, who is who, and that every state is its tree's.

use crate::support::*;
use onyx_engine::history::History;
use onyx_engine::parse::Limits;
use onyx_protocol::ErrorKind;
use onyx_protocol::history::*;
use onyx_protocol::ingest::SkipReason;

fn client_of(repo: &Repo) -> (HistoryPlan, Client) {
    let (plan, commits) = walk(repo.path());
    let mut client = Client::default();
    client.take(commits);
    for commit in &client.commits {
        client.compare(repo.dir.path(), &hex(&commit.id));
    }
    (plan, client)
}

const BODY: &str = "    total = 0\n    for item in items:\n        if item.price > limit:\n            \
                    total += item.price * item.count\n    return round(total, 2)\n";

fn function(name: &str) -> String {
    format!("def {name}(items, limit):\n{BODY}\n")
}

#[test]
fn edits_keep_nodes_and_say_what_changed() {
    let mut repo = Repo::new();
    repo.write("a.py", "def f():\n    return 1\n\ndef g():\n    return 2\n");
    let one = repo.commit("one");
    repo.write(
        "a.py",
        "# moved down\n\ndef f():\n    return 1\n\ndef g():\n    x = 3\n    return x\n",
    );
    let two = repo.commit("two");
    repo.write("a.py", "def f():\n    return 1\n");
    let three = repo.commit("three\n\nbody");
    let (plan, client) = client_of(&repo);
    assert_eq!(plan.default_branch.as_deref(), Some("main"));
    assert_eq!(plan.branches.len(), 1);
    for name in ["f", "g"] {
        assert_eq!(node(&client, &one, "a.py", name), node(&client, &two, "a.py", name));
    }
    assert!(event(&client, &two, "f").is_empty(), "only its place differs");
    let changed = event(&client, &two, "g")[0];
    assert_eq!((changed.kind, changed.body_changed), (SymbolChangeKind::Modified, true));
    assert_eq!((changed.changed_lines, changed.lines), ((2, 1), 3));
    assert_eq!(changed.qualified_name, "a.g");
    let gone = event(&client, &three, "g")[0];
    assert_eq!((gone.kind, gone.ordinal, gone.lines), (SymbolChangeKind::Deleted, None, 0));
    let commit = client.commits.last().unwrap();
    assert_eq!((commit.author.name.as_str(), commit.committer.email.as_str()), ("A", "c@x"));
    assert_eq!((commit.message.as_str(), commit.author.offset), ("three\n\nbody\n", 3_600));
    assert_eq!(commit.files[0].lines, (0, 6));
    assert_eq!(commit.files[0].kind, FileChangeKind::Modified);
}

#[test]
fn files_and_symbols_keep_their_nodes_through_renames_and_moves() {
    let mut repo = Repo::new();
    repo.write(
        "pkg/a.py",
        format!("{}class K:\n    def m(self):\n        return 1\n", function("f")),
    );
    repo.write("pkg/b.py", "def other():\n    return 'other'\n");
    let one = repo.commit("one");
    repo.git(&["mv", "pkg/a.py", "pkg/c.py"]);
    let two = repo.commit("file renamed");
    repo.write("pkg/c.py", "class K:\n    def m(self):\n        return 1\n");
    repo.write("pkg/b.py", format!("def other():\n    return 'other'\n\n{}", function("f")));
    let three = repo.commit("function moved");
    repo.write("pkg/b.py", format!("def other():\n    return 'other'\n\n{}", function("summed")));
    let four = repo.commit("function renamed");
    let (_, client) = client_of(&repo);
    let f = node(&client, &one, "pkg/a.py", "f");
    assert_eq!(node(&client, &two, "pkg/c.py", "f"), f);
    assert_eq!(node(&client, &three, "pkg/b.py", "f"), f);
    assert_eq!(node(&client, &four, "pkg/b.py", "summed"), f);
    let kinds = |commit: &str, name: &str| event(&client, commit, name)[0].kind;
    assert_eq!(kinds(&two, "f"), SymbolChangeKind::Moved);
    assert_eq!(kinds(&two, "c.py"), SymbolChangeKind::Renamed);
    assert_eq!(kinds(&three, "f"), SymbolChangeKind::Moved);
    let renamed = event(&client, &four, "summed")[0];
    assert_eq!((renamed.kind, renamed.similarity), (SymbolChangeKind::Renamed, Some(1.0)));
    assert_eq!(renamed.changed_lines, (1, 1));
    let file = &client.commits[1].files[0];
    assert_eq!((file.kind, file.old_path.as_deref()), (FileChangeKind::Renamed, Some("pkg/a.py")));
    assert_eq!(client.commits[1].contents.len(), 0);
}

#[test]
fn merges_take_nodes_from_all_parents() {
    let mut repo = Repo::new();
    repo.write("a.py", function("f"));
    let root = repo.commit("root");
    repo.git(&["checkout", "-q", "-b", "one"]);
    repo.write("b.py", "def made_by_one():\n    return 'one'\n");
    repo.write("a.py", function("better_name"));
    let one = repo.commit("one");
    repo.git(&["checkout", "-q", "-b", "two", "main"]);
    repo.write("c.py", "def made_by_two():\n    return 'two'\n");
    let two = repo.commit("two");
    repo.git(&["checkout", "-q", "main"]);
    repo.write("d.py", "def made_by_main():\n    return 'main'\n");
    repo.commit("main");
    let merge = repo.merge(&["one", "two"]);
    let (plan, client) = client_of(&repo);
    assert_eq!(plan.branches.len(), 3);
    for (path, name, from) in [
        ("a.py", "better_name", &one),
        ("b.py", "made_by_one", &one),
        ("c.py", "made_by_two", &two),
    ] {
        assert_eq!(node(&client, &merge, path, name), node(&client, from, path, name), "{name}");
    }
    let renamed = event(&client, &merge, "better_name")[0];
    assert_eq!(renamed.node, node(&client, &root, "a.py", "f"));
    assert_eq!(renamed.kind, SymbolChangeKind::Renamed);
    let last = client.commits.last().unwrap();
    assert_eq!((last.parents.len(), last.nodes), (3, 0));
    let b = |commit: &str| client.states[&id(commit)]["b.py"].nodes[0];
    assert_eq!(b(&merge), b(&one), "the file's own node, too");
}

#[test]
fn two_roots_are_two_whole_trees() {
    let mut repo = Repo::new();
    repo.write("a.py", "def f(): pass\n");
    repo.commit("one");
    repo.git(&["checkout", "-q", "--orphan", "other"]);
    repo.git(&["rm", "-q", "-rf", "."]);
    repo.write("b.py", "def g(): pass\n");
    repo.commit("two");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["merge", "-q", "--allow-unrelated-histories", "-m", "both", "other"]);
    let (_, client) = client_of(&repo);
    assert_eq!(client.commits.iter().filter(|c| c.parents.is_empty()).count(), 2);
    assert_eq!(client.commits.last().unwrap().nodes, 0);
}

#[test]
fn what_cannot_be_read_is_accounted_for() {
    let mut repo = Repo::new();
    repo.write("binary.py", b"a\0b");
    repo.write("large.min.js", "var a = 1;");
    repo.write("lfs.rs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    repo.write("latin.py", b"# caf\xe9\r\ndef f():\r\n    pass\r\n");
    repo.write("crlf.py", "def g():\r\n    return 1\r\n");
    repo.write(".hidden/x.py", "def hidden(): pass\n");
    repo.write("Cargo.toml", "[package]\nname = 'x'\n");
    std::os::unix::fs::symlink("crlf.py", repo.dir.path().join("link.py")).unwrap();
    let bad = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"bad\xff.py");
    std::fs::write(repo.dir.path().join(bad), "x = 1").unwrap();
    let inner = Repo::new();
    inner.write("s.py", "def s(): pass\n");
    inner.git(&["add", "-A"]);
    inner.git(&["commit", "-q", "-m", "inner"]);
    repo.git(&["submodule", "--quiet", "add", inner.path(), "sub"]);
    repo.commit("all");
    let (_, client) = client_of(&repo);
    let commit = &client.commits[0];
    let reason = |path: &str| commit.notices.iter().find(|(p, _)| p == path).map(|(_, n)| n.reason);
    assert_eq!(reason("binary.py"), Some(SkipReason::Binary));
    assert_eq!(reason("large.min.js"), Some(SkipReason::Generated));
    assert_eq!(reason("lfs.rs"), Some(SkipReason::LfsPointer));
    assert_eq!(reason("latin.py"), Some(SkipReason::Decoded));
    assert_eq!(reason("link.py"), Some(SkipReason::NotRegular));
    assert_eq!(reason("sub"), Some(SkipReason::Submodule));
    assert_eq!(reason("bad\u{fffd}.py"), Some(SkipReason::BadPath));
    let state = &client.states[&commit.id];
    assert_eq!(state.keys().collect::<Vec<_>>(), ["Cargo.toml", "crlf.py", "latin.py"]);
}

#[test]
fn limits_of_a_walk() {
    let mut repo = Repo::new();
    let mut commits = Vec::new();
    for number in 0..5 {
        repo.write("a.py", format!("def f():\n    return {number}\n"));
        commits.push(repo.commit("x"));
    }
    repo.git(&["branch", "release/1", &commits[1]]);
    repo.git(&["tag", "light", &commits[0]]);
    repo.git(&["tag", "-a", "-m", "m", "annotated", &commits[2]]);
    let blob = repo.git(&["hash-object", "a.py"]);
    repo.git(&["tag", "of-a-blob", &blob]);
    let ids = |request: &HistoryRequest| -> Vec<String> {
        let (_, commits) = walk_from(request, &Client::default()).unwrap();
        commits.iter().map(|commit| hex(&commit.id)).collect()
    };
    let all = request(repo.path());
    assert_eq!(ids(&all), commits);
    let time = |number: i64| Some(1_600_000_060 + 60 * number);
    assert_eq!(
        ids(&HistoryRequest { since: time(1), until: time(3), ..all.clone() }),
        commits[1..4]
    );
    let branch = HistoryRequest { branches: vec!["release/*".into()], ..all.clone() };
    assert_eq!(ids(&branch), commits[..2]);
    let (plan, _) = walk_from(&all, &Client::default()).unwrap();
    let tags: Vec<_> = plan.tags.iter().map(|t| (t.name.as_str(), hex(&t.commit))).collect();
    assert_eq!(tags, [("annotated", commits[2].clone()), ("light", commits[0].clone())]);
    assert!(
        plan.notes.iter().any(|note| note.contains("tags are not of commits")),
        "{:?}",
        plan.notes
    );
    let none = HistoryRequest { branches: vec!["none".into()], ..all };
    assert!(ids(&none).is_empty());
}

#[test]
fn odd_repositories() {
    let empty = Repo::new();
    let (plan, commits) = walk(empty.path());
    assert!(commits.is_empty() && plan.branches.is_empty() && plan.default_branch.is_none());

    let mut repo = Repo::new();
    for number in 0..4 {
        repo.write("a.py", format!("def f():\n    return {number}\n"));
        repo.commit("x");
    }
    let url = format!("file://{}", repo.path());
    let copies = tempfile::tempdir().unwrap();
    let copy = |name: &str, arguments: &[&str]| {
        let mut all = vec!["clone", "-q"];
        all.extend(arguments);
        all.extend([url.as_str(), name]);
        git(copies.path(), 1_700_000_000, &all);
        copies.path().join(name).to_str().unwrap().to_owned()
    };
    let (plan, commits) = walk(&copy("shallow", &["--depth=2"]));
    assert_eq!((commits.len(), commits[0].files[0].kind), (2, FileChangeKind::Added));
    assert_eq!(commits[0].parents.len(), 1, "the parent beyond is said all the same");
    assert!(plan.notes[0].contains("shallow"), "{:?}", plan.notes);
    assert_eq!(walk(&copy("bare.git", &["--bare"])).1.len(), 4);
    assert_eq!(walk(&copy("shared", &["--shared"])).1.len(), 4, "objects in another repository");

    let detached = copy("detached", &[]);
    git(detached.as_ref(), 1_700_000_000, &["checkout", "-q", "--detach", "HEAD~1"]);
    git(detached.as_ref(), 1_700_000_000, &["branch", "-q", "-D", "main"]);
    let (plan, commits) = walk(&detached);
    assert_eq!((plan.default_branch.as_deref(), commits.len()), (Some("HEAD"), 3));

    git(
        repo.dir.path(),
        1_700_000_000,
        &["worktree", "add", "-q", copies.path().join("wt").to_str().unwrap()],
    );
    assert_eq!(walk(copies.path().join("wt").to_str().unwrap()).1.len(), 4);

    // An object that is missing ends the walk, with what to do.
    let broken = copy("broken", &["--bare"]);
    git(broken.as_ref(), 1_700_000_000, &["gc", "-q"]);
    let blob = git(broken.as_ref(), 1_700_000_000, &["rev-parse", "HEAD~1:a.py"]);
    let pack = std::fs::read_dir(format!("{broken}/objects/pack")).unwrap();
    for file in pack.flatten().filter(|f| f.path().extension().is_some_and(|e| e == "pack")) {
        let moved = copies.path().join("moved.pack");
        std::fs::rename(file.path(), &moved).unwrap();
        std::fs::remove_file(file.path().with_extension("idx")).unwrap();
        let unpack = format!("git unpack-objects -q < {}", moved.display());
        let mut shell = std::process::Command::new("sh");
        assert!(shell.args(["-c", &unpack]).current_dir(&broken).status().unwrap().success());
    }
    std::fs::remove_file(format!("{broken}/objects/{}/{}", &blob[..2], &blob[2..])).unwrap();
    let error = walk_from(&request(&broken), &Client::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains(&blob) && !error.hint.is_empty(), "{error:?}");
}

#[test]
fn a_walk_ends_when_it_is_cancelled_or_the_client_fails() {
    let mut repo = Repo::new();
    repo.write("a.py", function("f"));
    repo.commit("x");
    let (history, _) = History::open(&request(repo.path()), &|| false).unwrap();
    let error = history.walk(&Limits::default(), 2, &|| true, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Canceled);
    let (history, _) = History::open(&request(repo.path()), &|| false).unwrap();
    let gone = || onyx_protocol::WireError::new(ErrorKind::InvalidRequest, "gone");
    let error = history.walk(&Limits::default(), 2, &|| false, &mut |_| Err(gone())).unwrap_err();
    assert_eq!(error, gone());
    let known = HistoryRequest {
        known: vec![id(&repo.git(&["rev-parse", "HEAD"]))],
        ..request(repo.path())
    };
    assert_eq!(walk_from(&known, &Client::default()).unwrap().1.len(), 0);
    repo.write("a.py", function("g"));
    repo.commit("y");
    let (history, _) = History::open(&known, &|| false).unwrap();
    let error = history.walk(&Limits::default(), 2, &|| false, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "its base was not sent");
}
