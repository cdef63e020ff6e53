//! What a merge has to give, written down a second time: files by their nodes and paths, texts by
//! `git merge-file`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;

use onyx_pg_test::Tree;

/// A file's node and text, by path.
pub type Files = BTreeMap<String, (i64, String)>;

/// A conflict, as `onyx.merge_conflicts` tells them apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Conflict {
    /// Of lines, of a path or of a file that one side deleted.
    pub what: &'static str,
    pub node: i64,
    /// Of lines: the path of the file, and the three texts.
    pub texts: Option<(String, String, String, String)>,
}

/// What was decided.
#[derive(Debug, Clone)]
pub enum Decision {
    Ours,
    Theirs,
    Base,
    Text(String),
}

/// Says what becomes of a conflict; none: it is none, both only add definitions.
pub type Decide<'a> = dyn FnMut(&Conflict, bool) -> Option<Decision> + 'a;

#[derive(Clone, Copy)]
struct File<'a> {
    path: &'a str,
    node: i64,
    text: &'a str,
}

#[derive(Clone, Copy)]
struct Same<'a> {
    base: Option<File<'a>>,
    ours: Option<File<'a>>,
    theirs: Option<File<'a>>,
}

struct Placed<'a> {
    of: Same<'a>,
    path: String,
    text: String,
    decided: bool,
}

fn files(all: &Files) -> Vec<File<'_>> {
    all.iter().map(|(path, (node, text))| File { path, node: *node, text }).collect()
}

/// By node, then what is left by path.
fn counterparts<'a>(files: &[File<'a>], others: &[File<'a>]) -> Vec<Option<File<'a>>> {
    let mut taken = HashSet::new();
    let mut found: Vec<Option<File<'a>>> = files
        .iter()
        .map(|file| others.iter().find(|other| other.node == file.node).copied())
        .inspect(|other| taken.extend(other.map(|other| other.path)))
        .collect();
    for (file, found) in files.iter().zip(&mut found) {
        if found.is_none() {
            let there = others.iter().find(|other| other.path == file.path);
            *found = there.filter(|other| !taken.contains(other.path)).copied();
        }
    }
    found
}

/// The texts of a merge. Says nothing of nodes.
pub fn merge(
    base: &Files,
    ours: &Files,
    theirs: &Files,
    decide: &mut Decide<'_>,
) -> BTreeMap<String, String> {
    let (base, ours, theirs) = (files(base), files(ours), files(theirs));
    let (in_ours, in_theirs) = (counterparts(&base, &ours), counterparts(&base, &theirs));
    let left = |files: &[File<'_>], found: &[Option<File<'_>>]| -> Vec<usize> {
        let taken: HashSet<&str> = found.iter().flatten().map(|file| file.path).collect();
        (0..files.len()).filter(|at| !taken.contains(files[*at].path)).collect()
    };
    let ours_left: Vec<File<'_>> = left(&ours, &in_ours).into_iter().map(|at| ours[at]).collect();
    let theirs_left: Vec<File<'_>> =
        left(&theirs, &in_theirs).into_iter().map(|at| theirs[at]).collect();
    let pairs = counterparts(&ours_left, &theirs_left);
    let only: Vec<File<'_>> =
        left(&theirs_left, &pairs).into_iter().map(|at| theirs_left[at]).collect();
    let mut all: Vec<Same<'_>> = Vec::new();
    for (at, base) in base.iter().enumerate() {
        all.push(Same { base: Some(*base), ours: in_ours[at], theirs: in_theirs[at] });
    }
    for (at, ours) in ours_left.iter().enumerate() {
        all.push(Same { base: None, ours: Some(*ours), theirs: pairs[at] });
    }
    all.extend(only.into_iter().map(|theirs| Same {
        base: None,
        ours: None,
        theirs: Some(theirs),
    }));

    let mut placed = Vec::new();
    for of in all {
        placed.extend(place(of, decide));
    }
    for (path, crowd) in crowds(&placed) {
        for at in crowd {
            let of = placed[at].of;
            if let (Some(base), Some(ours), Some(theirs), false) =
                (of.base, of.ours, of.theirs, placed[at].decided)
                && ours.path != path
            {
                placed[at].path = path_of(ours, theirs, base, decide);
                placed[at].decided = true;
            }
        }
    }
    let mut merged: BTreeMap<String, String> = BTreeMap::new();
    let crowded = crowds(&placed);
    for file in &placed {
        if !crowded.contains_key(&file.path) {
            merged.insert(file.path.clone(), file.text.clone());
        }
    }
    for (path, mut crowd) in crowded {
        crowd.sort_by_key(|at| (placed[*at].of.ours.is_none_or(|o| o.path != path), *at));
        let first = &placed[crowd[0]];
        let mut text = first.text.clone();
        for other in &crowd[1..] {
            let other = &placed[*other].text;
            if text != *other {
                text = whole(&path, &text, other, decide);
            }
        }
        merged.insert(path, text);
    }
    merged
}

fn crowds(placed: &[Placed<'_>]) -> BTreeMap<String, Vec<usize>> {
    let mut crowds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, file) in placed.iter().enumerate() {
        crowds.entry(file.path.clone()).or_default().push(at);
    }
    crowds.retain(|_, crowd| crowd.len() > 1);
    crowds
}

fn place<'a>(of: Same<'a>, decide: &mut Decide<'_>) -> Option<Placed<'a>> {
    let placed =
        |path: &str, text: String| Some(Placed { of, path: path.into(), text, decided: false });
    let deleted = |node| Conflict { what: "deleted", node, texts: None };
    match (of.base, of.ours, of.theirs) {
        (None, None, None) | (Some(_), None, None) => None,
        (None, Some(only), None) | (None, None, Some(only)) => {
            placed(only.path, only.text.to_owned())
        }
        (Some(base), Some(ours), None) => {
            if (base.path, base.text) == (ours.path, ours.text) {
                return None;
            }
            match decide(&deleted(ours.node), false)? {
                Decision::Ours => placed(ours.path, ours.text.to_owned()),
                Decision::Theirs => None,
                Decision::Base => placed(ours.path, base.text.to_owned()),
                Decision::Text(text) => placed(ours.path, text),
            }
        }
        (Some(base), None, Some(theirs)) => {
            if (base.path, base.text) == (theirs.path, theirs.text) {
                return None;
            }
            match decide(&deleted(base.node), false)? {
                Decision::Ours => None,
                Decision::Theirs => placed(theirs.path, theirs.text.to_owned()),
                Decision::Base => placed(base.path, base.text.to_owned()),
                Decision::Text(text) => placed(theirs.path, text),
            }
        }
        (base, Some(ours), Some(theirs)) => {
            let mut decided = false;
            let path = match base {
                Some(base) if theirs.path != base.path && theirs.path != ours.path => {
                    if ours.path == base.path {
                        theirs.path.to_owned()
                    } else {
                        decided = true;
                        path_of(ours, theirs, base, decide)
                    }
                }
                _ => ours.path.to_owned(),
            };
            let text = match base {
                _ if ours.text == theirs.text => ours.text.to_owned(),
                Some(base) if base.text == theirs.text => ours.text.to_owned(),
                Some(base) if base.text == ours.text => theirs.text.to_owned(),
                Some(base) => lines(base, ours, theirs, decide),
                None if ours.text.is_empty() => theirs.text.to_owned(),
                None if theirs.text.is_empty() => ours.text.to_owned(),
                None => whole(ours.path, ours.text, theirs.text, decide),
            };
            Some(Placed { of, path, text, decided })
        }
    }
}

fn path_of(ours: File<'_>, theirs: File<'_>, base: File<'_>, decide: &mut Decide<'_>) -> String {
    let conflict = Conflict { what: "path", node: ours.node, texts: None };
    match decide(&conflict, false) {
        Some(Decision::Theirs) => theirs.path,
        Some(Decision::Base) => base.path,
        _ => ours.path,
    }
    .to_owned()
}

fn whole(path: &str, ours: &str, theirs: &str, decide: &mut Decide<'_>) -> String {
    let texts = Some((path.to_owned(), String::new(), ours.to_owned(), theirs.to_owned()));
    match decide(&Conflict { what: "lines", node: 0, texts }, false) {
        Some(Decision::Theirs) => theirs.to_owned(),
        Some(Decision::Base) => String::new(),
        Some(Decision::Text(text)) => text,
        Some(Decision::Ours) | None => ours.to_owned(),
    }
}

/// Longer than anything the sources have.
const MARK: usize = 40;

fn lines(base: File<'_>, ours: File<'_>, theirs: File<'_>, decide: &mut Decide<'_>) -> String {
    let tree = Tree::of(&[("ours", ours.text), ("base", base.text), ("theirs", theirs.text)]);
    let said = Command::new("git")
        .args(["merge-file", "-p", "--diff3", "--diff-algorithm=histogram"])
        .args([&format!("--marker-size={MARK}"), "ours", "base", "theirs"])
        .current_dir(tree.root())
        .output()
        .expect("the git program");
    let code = said.status.code();
    assert!(code.is_some_and(|code| code < 128), "git merge-file: {said:?}");
    let said = String::from_utf8(said.stdout).expect("UTF-8");
    let mark = |line: &str, of: &str| line.starts_with(&of.repeat(MARK));
    let mut merged = String::new();
    let mut parts: Option<Vec<String>> = None;
    for line in said.split_inclusive('\n') {
        match &mut parts {
            None if mark(line, "<") => parts = Some(vec![String::new()]),
            None => merged += line,
            Some(parts) if mark(line, "|") || mark(line, "=") => parts.push(String::new()),
            Some(found) if mark(line, ">") => {
                let [ours_text, base_text, theirs_text] = &found[..] else { panic!("{said}") };
                let texts = Some((
                    ours.path.to_owned(),
                    base_text.clone(),
                    ours_text.clone(),
                    theirs_text.clone(),
                ));
                let conflict = Conflict { what: "lines", node: 0, texts };
                merged += &match decide(&conflict, base_text.trim().is_empty()) {
                    None => format!("{ours_text}{theirs_text}"),
                    Some(Decision::Ours) => ours_text.clone(),
                    Some(Decision::Theirs) => theirs_text.clone(),
                    Some(Decision::Base) => base_text.clone(),
                    Some(Decision::Text(text)) => text,
                };
                parts = None;
            }
            Some(parts) => {
                let last = parts.len() - 1;
                parts[last] += line;
            }
        }
    }
    merged
}

/// The best common ancestors of two commits, the latest first, from all commits' parents.
pub fn merge_bases(parents: &HashMap<i32, Vec<i32>>, one: i32, other: i32) -> Vec<i32> {
    let ancestors = |of: i32| {
        let (mut found, mut open) = (HashSet::from([of]), vec![of]);
        while let Some(at) = open.pop() {
            open.extend(parents[&at].iter().filter(|parent| found.insert(**parent)));
        }
        found
    };
    let common: HashSet<i32> = ancestors(one).intersection(&ancestors(other)).copied().collect();
    let is_best =
        |at: &&i32| !common.iter().any(|other| other != *at && ancestors(*other).contains(at));
    let mut best: Vec<i32> = common.iter().filter(is_best).copied().collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    best
}
