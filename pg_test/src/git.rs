//! Git repositories of tests, made by the git program.

use std::process::Command;

use crate::Tree;

/// A repository with its work tree.
pub struct GitRepo {
    /// The work tree.
    pub tree: Tree,
    /// Seconds since 1970: each commit is a minute later.
    clock: i64,
    author: (String, String),
}

impl Default for GitRepo {
    fn default() -> Self {
        Self::new()
    }
}

impl GitRepo {
    /// An empty one on branch `main`.
    pub fn new() -> Self {
        let author = ("Ada".to_owned(), "ada@example.org".to_owned());
        let repo = Self { tree: Tree::new(), clock: 1_600_000_000, author };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    /// Where it is.
    pub fn root(&self) -> String {
        self.tree.root()
    }

    /// Commits from now on are this one's.
    pub fn author(&mut self, name: &str, email: &str) {
        self.author = (name.to_owned(), email.to_owned());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let date = format!("{} +0100", self.clock);
        let mut command = Command::new("git");
        command
            .args(["-c", "core.autocrlf=false", "-c", "gc.auto=0", "-c", "safe.directory=*"])
            .args(arguments)
            .current_dir(self.tree.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .envs([("GIT_AUTHOR_NAME", &self.author.0), ("GIT_AUTHOR_EMAIL", &self.author.1)])
            .envs([("GIT_COMMITTER_NAME", &self.author.0), ("GIT_COMMITTER_EMAIL", &self.author.1)])
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)]);
        command
    }

    /// Runs git in it and gives what it says.
    ///
    /// # Panics
    /// When git fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the git program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Commits everything there is; returns the id.
    pub fn commit(&mut self, message: &str) -> String {
        self.clock += 60;
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Merges a branch into the one checked out; where both changed the same, ours stays, and where that
    /// does not help, whatever git leaves.
    pub fn merge(&mut self, branch: &str) -> String {
        self.clock += 60;
        let arguments = ["merge", "-q", "--no-ff", "-X", "ours", "-m", "merge", branch];
        let merged = self.command(&arguments).output().expect("the git program");
        if !merged.status.success() {
            return self.commit("merge by hand");
        }
        self.git(&["rev-parse", "HEAD"])
    }

    /// What a merge of two commits gives, as a tree of its own; none when there are conflicts.
    ///
    /// # Panics
    /// When git fails.
    pub fn merged(&self, ours: &str, theirs: &str) -> Option<Tree> {
        let arguments = ["merge-tree", "--write-tree", "--no-messages", ours, theirs];
        let output = self.command(&arguments).output().expect("the git program");
        let said = String::from_utf8_lossy(&output.stdout);
        match output.status.code() {
            Some(0) => Some(self.checkout(said.trim())),
            Some(1) => None,
            _ => panic!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// A commit's files, as a tree of their own.
    pub fn checkout(&self, commit: &str) -> Tree {
        let tree = Tree::new();
        let archive = tree.path(".archive.tar");
        self.git(&["archive", "-o", &archive.display().to_string(), commit]);
        let status =
            Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(tree.root()).status();
        assert!(status.expect("the tar program").success(), "tar {}", archive.display());
        std::fs::remove_file(&archive).expect("the archive");
        tree
    }

    /// All commits that branches and tags reach, parents first.
    pub fn commits(&self) -> Vec<String> {
        let said = self.git(&["rev-list", "--all", "--topo-order", "--reverse"]);
        said.lines().map(str::to_owned).collect()
    }

    /// The names of branches.
    pub fn branches(&self) -> Vec<String> {
        let said = self.git(&["branch", "--format=%(refname:short)"]);
        said.lines().map(str::to_owned).collect()
    }
}

/// Random numbers that are the same in every run.
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// At least 0, less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    /// One of them.
    pub fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

const WORDS: [&str; 12] = [
    "load", "store", "parse", "index", "merge", "split", "count", "apply", "close", "open", "scan",
    "join",
];
const PATHS: [&str; 9] = [
    "a/one.py",
    "a/two.py",
    "b/one.py",
    "b/c/three.py",
    "one.rs",
    "src/two.rs",
    "web/one.ts",
    "web/two.js",
    "go/one.go",
];

/// Functions and perhaps a class, in the language of a path.
pub fn random_source(random: &mut Random, path: &str) -> String {
    let mut text = String::new();
    let ending = path.rsplit('.').next().unwrap_or_default();
    if ending == "go" {
        text += "package one\n\n";
    }
    for _ in 0..1 + random.below(4) {
        let name = random.of(&WORDS);
        let calls: Vec<&str> = (0..6 + random.below(8)).map(|_| random.of(&WORDS)).collect();
        let body = calls.join("(x) + ");
        text += &match ending {
            "py" => format!("def {name}(x):\n    return {body}(x)\n\n"),
            "rs" => format!("pub fn {name}(x: u32) -> u32 {{\n    {body}(x)\n}}\n\n"),
            "go" => format!("func {name}(x int) int {{\n\treturn {body}(x)\n}}\n\n"),
            _ => format!("export function {name}(x) {{\n  return {body}(x);\n}}\n\n"),
        };
    }
    if ending == "py" && random.below(2) == 0 {
        let (class, method, field) = (random.of(&WORDS), random.of(&WORDS), random.of(&WORDS));
        text += &format!("class {class}:\n    def {method}(self):\n        return self.{field}\n");
    }
    text
}

/// A change to a tree: a file written, moved, removed, or a function moved from one to another.
pub fn random_change(random: &mut Random, tree: &Tree) {
    let read = |path: &str| std::fs::read_to_string(tree.path(path)).ok();
    let (one, other) = (random.of(&PATHS), random.of(&PATHS));
    match random.below(8) {
        0 => {
            // A move keeps the language, or the definitions would all be others.
            let same_ending = one.rsplit('.').next() == other.rsplit('.').next();
            if let (Some(text), None, true) = (read(one), read(other), same_ending) {
                tree.write(other, text);
                tree.remove(one);
            }
        }
        1 => {
            if read(one).is_some() {
                tree.remove(one);
            }
        }
        2 => {
            if let (Some(from), Some(to)) = (read("a/one.py"), read("b/one.py"))
                && let Some(at) = from.rfind("\ndef ")
            {
                tree.write("a/one.py", &from[..at + 1]);
                tree.write("b/one.py", format!("{to}\n{}", &from[at + 1..]));
            }
        }
        3 => {
            // An edit within a body.
            if let Some(text) = read(one) {
                tree.write(one, text.replacen("(x) + ", "(x) - ", 1));
            }
        }
        4 => {
            // A rename of a definition, perhaps of several of the name.
            if let Some(text) = read(one) {
                let (old, new) = (random.of(&WORDS), random.of(&WORDS));
                tree.write(one, text.replace(&format!(" {old}("), &format!(" {new}_new(")));
            }
        }
        _ => tree.write(one, random_source(random, one)),
    }
}

/// A history of so many commits, with branches and merges. The same seed gives the same one.
pub fn random_history(seed: u64, commits: usize) -> GitRepo {
    let mut random = Random::new(seed);
    let mut repo = GitRepo::new();
    repo.tree.write("a/one.py", random_source(&mut random, "a/one.py"));
    repo.commit("root");
    extend_history(&mut random, &mut repo, commits);
    repo
}

/// Adds so many commits.
pub fn extend_history(random: &mut Random, repo: &mut GitRepo, commits: usize) {
    for _ in 0..commits {
        let branches = repo.branches();
        match random.below(8) {
            0 if branches.len() < 5 => {
                let name = format!("branch-{}", branches.len());
                repo.git(&["checkout", "-q", "-b", &name]);
            }
            1 => _ = repo.git(&["checkout", "-q", &branches[random.below(branches.len())]]),
            2 => _ = repo.merge(&branches[random.below(branches.len())]),
            _ => {}
        }
        for _ in 0..1 + random.below(3) {
            random_change(random, &repo.tree);
        }
        let authors = [("Ada", "ada@example.org"), ("Bob", "bob@example.org")];
        let (name, email) = authors[random.below(2)];
        repo.author(name, email);
        repo.commit(random.of(&WORDS));
    }
}
