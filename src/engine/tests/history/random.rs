//! Random histories: every state is its tree's, and a walk in parts gives what one walk gives.

use std::collections::HashMap;

use crate::support::*;
use onyx_protocol::history::*;

/// Random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

const WORDS: [&str; 12] = [
    "load", "store", "parse", "index", "merge", "split", "count", "apply", "close", "open", "scan",
    "join",
];

/// A file of functions and a class, each body of a seed.
fn content(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(4) {
        let name = WORDS[random.below(12)];
        let body: Vec<&str> = (0..6 + random.below(10)).map(|_| WORDS[random.below(12)]).collect();
        text += &format!("def {name}(x):\n    return {}(x)\n\n", body.join("(x) + "));
    }
    if random.below(2) == 0 {
        let (class, method) = (WORDS[random.below(12)], WORDS[random.below(12)]);
        text += &format!(
            "class {class}:\n    def {method}(self):\n        return self.{}\n",
            WORDS[random.below(12)]
        );
    }
    text
}

fn history(seed: u64, commits: usize) -> Repo {
    let mut random = Random(seed);
    let mut repo = Repo::new();
    repo.write("a/one.py", content(&mut random));
    repo.commit("root");
    for number in 0..commits {
        let path = |random: &mut Random| {
            format!(
                "{}/{}.py",
                ["a", "b", "c/d"][random.below(3)],
                ["one", "two", "three"][random.below(3)]
            )
        };
        let branches = repo.git(&["branch", "--format=%(refname:short)"]);
        let branches: Vec<&str> = branches.lines().collect();
        match random.below(10) {
            0 if branches.len() < 5 => {
                _ = repo.git(&["checkout", "-q", "-b", &format!("b{number}")])
            }
            1 => _ = repo.git(&["checkout", "-q", branches[random.below(branches.len())]]),
            2 => {
                let other = branches[random.below(branches.len())];
                let merged = std::process::Command::new("git")
                    .args([
                        "-c",
                        "user.name=A",
                        "-c",
                        "user.email=a@x",
                        "merge",
                        "-q",
                        "--no-ff",
                        "-X",
                        "ours",
                        "-m",
                        "merge",
                        other,
                    ])
                    .current_dir(repo.dir.path())
                    .output()
                    .unwrap();
                if !merged.status.success() {
                    // A conflict that no side wins: whatever is in the work tree is the merge.
                    repo.git(&["add", "-A"]);
                    repo.commit("merge by hand");
                }
            }
            3 => {
                let (from, to) = (path(&mut random), path(&mut random));
                let there = |path: &str| repo.dir.path().join(path).exists();
                if there(&from) && !there(&to) {
                    let text = std::fs::read(repo.dir.path().join(&from)).unwrap();
                    repo.write(&to, text);
                    std::fs::remove_file(repo.dir.path().join(&from)).unwrap();
                }
            }
            4 => _ = std::fs::remove_file(repo.dir.path().join(path(&mut random))),
            5 => {
                // Functions move from the end of one file to that of another.
                let (from, to) = (path(&mut random), path(&mut random));
                let read = |path: &str| {
                    std::fs::read_to_string(repo.dir.path().join(path)).unwrap_or_default()
                };
                let (a, b) = (read(&from), read(&to));
                if from != to
                    && let Some(at) = a.rfind("\ndef ")
                {
                    repo.write(&from, &a[..at + 1]);
                    repo.write(&to, format!("{b}\n{}", &a[at + 1..]));
                }
            }
            _ => {
                let path = path(&mut random);
                repo.write(&path, content(&mut random));
            }
        }
        repo.commit("next");
    }
    repo
}

#[test]
fn every_state_is_its_trees_and_parts_give_what_the_whole_gives() {
    for seed in 1..=4u64 {
        let repo = history(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 60);
        let (_, commits) = walk(repo.path());
        let order: Vec<ObjectId> = commits.iter().map(|commit| commit.id.clone()).collect();
        let mut whole = Client::default();
        whole.take(commits);
        for commit in &order {
            whole.compare(repo.dir.path(), &hex(commit));
        }
        let mut random = Random(seed);
        let mut parts = Client::default();
        // As a client does that was stopped: what it has is a beginning of the order.
        let mut cuts: Vec<usize> = (0..3).map(|_| random.below(order.len())).collect();
        cuts.push(order.len());
        cuts.sort_unstable();
        for cut in cuts {
            let known = parts.commits.iter().map(|commit| commit.id.clone()).collect();
            let request = HistoryRequest { known, ..request(repo.path()) };
            let (_, mut commits) = walk_from(&request, &parts).unwrap();
            commits.truncate(cut.saturating_sub(parts.commits.len()));
            parts.take(commits);
        }
        assert_eq!(parts.commits.len(), whole.commits.len());
        same(&whole, &parts);
    }
}

/// Both are the same but for the numbers of nodes and contents.
fn same(a: &Client, b: &Client) {
    let of = |client: &Client| -> HashMap<ObjectId, HistoryCommit> {
        client.commits.iter().map(|commit| (commit.id.clone(), commit.clone())).collect()
    };
    let others = of(b);
    let (mut there, mut back) = (HashMap::new(), HashMap::new());
    for commit in &a.commits {
        let mut one = commit.clone();
        let mut other = others[&commit.id].clone();
        for (x, y) in one.files.iter_mut().zip(&mut other.files) {
            let nodes = x.nodes.iter().zip(&y.nodes);
            let symbols = x.symbols.iter().zip(&y.symbols).map(|(x, y)| (&x.node, &y.node));
            for (x, y) in nodes.chain(symbols) {
                assert_eq!(*there.entry(*x).or_insert(*y), *y, "commit {}", hex(&commit.id));
                assert_eq!(*back.entry(*y).or_insert(*x), *x, "commit {}", hex(&commit.id));
            }
            (x.nodes, y.nodes) = (vec![], vec![]);
            x.symbols.iter_mut().chain(&mut y.symbols).for_each(|symbol| symbol.node = 0);
        }
        // How many are new depends on what the client has had.
        (one.nodes, other.nodes) = (0, 0);
        assert_eq!(one, other);
    }
}

/// This project's own history, when the checkout has it.
#[test]
fn our_own_history() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join(".git").exists() {
        eprintln!("skipped: there is no repository around the sources");
        return;
    }
    let path = root.canonicalize().unwrap();
    let (plan, commits) = walk(path.to_str().unwrap());
    if commits.len() < 10 {
        eprintln!("skipped: the repository has {} commits; {:?}", commits.len(), plan.notes);
        return;
    }
    let mut client = Client::default();
    client.take(commits);
    let every = (client.commits.len() / 5).max(1);
    for commit in client.commits.iter().rev().step_by(every) {
        client.compare(&path, &hex(&commit.id));
    }
}
