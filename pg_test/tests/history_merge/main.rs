//! Protects history that Onyx makes itself: ingests, patches and merges on several branches, drawn at
//! random. A merge gives what its twin gives, and any commit is what a clean ingest of its files gives.
//!
//! SEED=... repeats a run's choices, ROUNDS=3 histories of STEPS=40 steps.

mod crossed;
mod source;
mod twin;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Command;
use std::time::SystemTime;

use onyx_pg_test::crash::number;
use onyx_pg_test::{Cluster, Sql, Tree, clean};
use postgres::Client;
use source::{PATHS, Writer, ending};
use twin::{Conflict, Decision, Files};

type Texts = BTreeMap<String, String>;

/// A repository and what it must be.
struct World {
    client: Client,
    writer: Writer,
    commits: HashMap<i32, Files>,
    parents: HashMap<i32, Vec<i32>>,
    branches: BTreeMap<String, i32>,
    shown: String,
    /// What happened, to be said at the end.
    counts: BTreeMap<&'static str, u32>,
}

impl World {
    fn new(client: Client, seed: u64) -> Self {
        Self {
            client,
            writer: Writer::new(seed),
            commits: HashMap::new(),
            parents: HashMap::new(),
            branches: BTreeMap::new(),
            shown: "main".into(),
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn branch(&mut self) -> String {
        let names: Vec<String> = self.branches.keys().cloned().collect();
        names[self.writer.random.below(names.len())].clone()
    }

    fn texts(&self, commit: i32) -> Texts {
        let files = self.commits[&commit].iter();
        files.map(|(path, (_, text))| (path.clone(), text.clone())).collect()
    }

    /// Remembers a commit whose files have these texts.
    fn remember(&mut self, branch: &str, commit: i32, parents: Vec<i32>, texts: Texts) {
        let files = files_at(&mut self.client, commit);
        let has: Texts =
            files.iter().map(|(path, (_, text))| (path.clone(), text.clone())).collect();
        let differs = |path: &&String| has.get(*path) != texts.get(*path);
        let differing: BTreeSet<&String> = has.keys().chain(texts.keys()).filter(differs).collect();
        if let Some(path) = differing.first() {
            panic!(
                "{differing:?} at #{commit} of {branch}, parents {parents:?}; {path} is\n{}\nand ought to be\n{}",
                has.get(*path).map_or("not there", |text| text),
                texts.get(*path).map_or("not there", |text| text)
            );
        }
        self.commits.insert(commit, files);
        self.parents.insert(commit, parents);
        self.branches.insert(branch.to_owned(), commit);
    }

    /// Changes some files.
    fn changed(&mut self, mut texts: Texts) -> Texts {
        let one = self.writer.random.of(&PATHS).to_owned();
        let other = self.writer.random.of(&PATHS).to_owned();
        let text = texts.get(&one).cloned();
        let same_ending = ending(&one) == ending(&other) && one != other;
        match (self.writer.random.below(10), text) {
            (0, Some(_)) if texts.len() > 3 => _ = texts.remove(&one),
            (1, Some(text)) if same_ending && !texts.contains_key(&other) => {
                // Moved, perhaps with an edit.
                let edited = self.writer.random.below(2) == 0;
                let text = if edited { self.writer.edited(&one, &text) } else { text };
                texts.remove(&one);
                texts.insert(other, text);
            }
            (2, Some(text)) if same_ending => {
                if let Some(to) = texts.get(&other).cloned()
                    && let Some((from, to)) = self.writer.moved(&text, &to)
                {
                    texts.insert(one, from);
                    texts.insert(other, to);
                }
            }
            (3, Some(text)) if same_ending => {
                // Two files change places.
                if let Some(there) = texts.insert(other, text) {
                    texts.insert(one, there);
                } else {
                    texts.remove(&one);
                }
            }
            (_, Some(text)) => {
                let edited = self.writer.edited(&one, &text);
                texts.insert(one, edited);
            }
            (_, None) => {
                let text = self.writer.file(&one);
                texts.insert(one, text);
            }
        }
        texts
    }

    /// A commit on a branch, made in one of the ways there are.
    fn commit(&mut self, branch: &str) {
        let parent = self.branches.get(branch).copied();
        let old = parent.map(|parent| self.texts(parent)).unwrap_or_default();
        let mut new = old.clone();
        for _ in 0..1 + self.writer.random.below(3) {
            new = self.changed(new);
        }
        if new == old {
            return;
        }
        let mut paths =
            old.keys().chain(new.keys()).filter(|path| old.get(*path) != new.get(*path));
        let (first, only) = (paths.next().cloned().unwrap_or_default(), paths.next().is_none());
        let way = self.writer.random.below(3);
        let query = match new.get(&first) {
            Some(text) if only && way < 2 => {
                self.count("files ingested");
                format!(
                    "SELECT onyx.ingest_file('drawn', '{first}', $q${text}$q$, branch => '{branch}')"
                )
            }
            None if only && way < 2 && branch == self.shown => {
                self.count("files forgotten");
                format!("SELECT onyx.forget('drawn', '{first}')")
            }
            _ if way == 0 && parent.is_some() => {
                self.count("patches");
                let patch = patch(&old, &new);
                format!("SELECT onyx.apply_patch('drawn', $q${patch}$q$, branch => '{branch}')")
            }
            _ => {
                self.count("directories");
                let tree = tree_of(&new);
                let query = format!(
                    "SELECT onyx.ingest_directory('drawn', '{}', branch => '{branch}')",
                    tree.root()
                );
                self.client.run(&query);
                String::new()
            }
        };
        if !query.is_empty() {
            self.client.run(&query);
        }
        let commit = self.head(branch);
        assert_ne!(Some(commit), parent, "{query}");
        self.remember(branch, commit, parent.into_iter().collect(), new);
    }

    fn head(&mut self, branch: &str) -> i32 {
        self.client.one(&format!("SELECT onyx.commit_at('drawn', '{branch}')"))
    }

    /// Merges one branch into another; conflicts are decided at random.
    fn merge(&mut self, source: &str, into: &str) {
        let (ours, theirs) = (self.branches[into], self.branches[source]);
        let bases = twin::merge_bases(&self.parents, ours, theirs);
        let call = format!(
            "SELECT commit_id, fast_forward, conflicts FROM onyx.merge('drawn', '{source}', '{into}'"
        );
        if bases == [ours] || bases == [theirs] {
            let expected =
                format!("{}|{}|0", ours.max(theirs), if bases == [theirs] { "f" } else { "t" });
            assert_eq!(self.client.text(&format!("{call})")), expected, "{source} into {into}");
            self.branches.insert(into.to_owned(), ours.max(theirs));
            return;
        }
        self.count(if bases.len() > 1 { "crossed merges" } else { "merges" });
        let when = format!("{source} (#{theirs}) into {into} (#{ours}) on {bases:?}");
        let sides = [bases[0], ours, theirs].map(|commit| self.commits[&commit].clone());
        let [base_files, our_files, their_files] = &sides;
        // Which conflicts there are, while everything stays ours.
        self.client.run("BEGIN");
        self.client.run(&format!("{call})"));
        let listed = listed(&mut self.client);
        self.client.run("ROLLBACK");
        let asked: BTreeSet<Conflict> = listed.iter().filter_map(|(_, c)| c.clone()).collect();
        if bases.len() == 1 {
            let mut found = BTreeSet::new();
            twin::merge(base_files, our_files, their_files, &mut |conflict, may_be_both| {
                if may_be_both && !asked.contains(conflict) {
                    return None;
                }
                found.insert(conflict.clone());
                Some(Decision::Ours)
            });
            assert_eq!(asked, found, "conflicts of {when}");
        }
        let mut decided: HashMap<Conflict, Decision> = HashMap::new();
        let strategy = match self.writer.random.below(4) {
            0 => Some(("ours", Decision::Ours)),
            1 => Some(("theirs", Decision::Theirs)),
            _ => None,
        };
        match &strategy {
            Some((name, _)) => self.client.run(&format!("{call}, strategy => '{name}')")),
            None => self.decide(&format!("{call})"), &mut decided, &when),
        }
        let commit = self.head(into);
        assert_ne!(commit, ours, "{when}");
        let texts = if bases.len() == 1 {
            twin::merge(base_files, our_files, their_files, &mut |conflict, may_be_both| match (
                &strategy,
                decided.get(conflict),
            ) {
                _ if may_be_both && !asked.contains(conflict) => None,
                (Some((_, strategy)), _) => Some(strategy.clone()),
                (None, Some(decision)) => Some(decision.clone()),
                (None, None) => panic!("nobody was asked about {conflict:?} of {when}"),
            })
        } else {
            let files = files_at(&mut self.client, commit);
            files.into_iter().map(|(path, (_, text))| (path, text)).collect()
        };
        self.remember(into, commit, vec![ours, theirs], texts);
        self.assert_nodes_kept(commit, ours, theirs, &when);
    }

    /// Decides conflicts until there are none.
    fn decide(&mut self, call: &str, decided: &mut HashMap<Conflict, Decision>, when: &str) {
        for _ in 0..20 {
            let said = self.client.text(call);
            if said.ends_with("|0") {
                return;
            }
            for (id, conflict) in listed(&mut self.client) {
                self.count("conflicts");
                let decision = match (self.writer.random.below(4), &conflict) {
                    (0, _) => Decision::Ours,
                    (1, _) => Decision::Theirs,
                    (2, Some(_)) => Decision::Base,
                    (
                        _,
                        Some(Conflict {
                            what: "lines", texts: Some((_, base, ours, theirs)), ..
                        }),
                    ) => Decision::Text(match self.writer.random.below(3) {
                        0 => format!("{theirs}{ours}"),
                        1 => format!("{base}{theirs}"),
                        _ => ours.lines().take(1).map(|line| format!("{line} \n")).collect(),
                    }),
                    (_, Some(Conflict { what: "deleted", .. })) => {
                        Decision::Text(self.writer.file("any.txt"))
                    }
                    _ => Decision::Ours,
                };
                let (name, text) = match &decision {
                    Decision::Ours => ("ours", None),
                    Decision::Theirs => ("theirs", None),
                    Decision::Base => ("base", None),
                    Decision::Text(text) => ("text", Some(text)),
                };
                let resolve = "SELECT onyx.resolve_conflict($1, $2, $3)";
                self.client.execute(resolve, &[&id, &name, &text]).expect("a resolution");
                if let Some(conflict) = conflict {
                    decided.insert(conflict, decision);
                }
            }
        }
        panic!("there is no end of conflicts of {when}");
    }

    /// What comes with a merge keeps the node it has there.
    fn assert_nodes_kept(&mut self, merged: i32, ours: i32, theirs: i32, when: &str) {
        let at = |name: &str, commit| {
            format!(
                "{name} AS MATERIALIZED (
                     SELECT id, path, kind, qualified_name, count(*) OVER (PARTITION BY path, kind, qualified_name) AS equals
                     FROM onyx.nodes_as_of('drawn', '#{commit}') WHERE kind NOT IN ('repository', 'directory'))"
            )
        };
        let lost = self.client.text(&format!(
            "WITH {}, {}, {}
             SELECT t.id, m.id, m.kind, m.qualified_name, m.path FROM m JOIN t USING (path, kind, qualified_name)
             WHERE m.id <> t.id AND m.equals = 1 AND t.equals = 1
               AND NOT EXISTS (SELECT FROM m o WHERE o.id = t.id)
               AND NOT EXISTS (SELECT FROM o WHERE (o.path, o.kind, o.qualified_name) = (m.path, m.kind, m.qualified_name))",
            at("m", merged),
            at("o", ours),
            at("t", theirs)
        ));
        assert_eq!(lost, "", "nodes lost by {when} (#{merged})");
    }

    fn step(&mut self) {
        match self.writer.random.below(12) {
            0 | 6 if self.branches.len() < 5 => {
                let (name, from) = (format!("branch-{}", self.branches.len()), self.branch());
                self.client.run(&format!("SELECT onyx.branch_create('drawn', '{name}', '{from}')"));
                self.branches.insert(name, self.branches[&from]);
            }
            1 => {
                let branch = self.branch();
                self.client.run(&format!("SELECT onyx.checkout('drawn', '{branch}')"));
                self.shown = branch;
            }
            2..=5 => {
                let (source, into) = (self.branch(), self.branch());
                if source != into {
                    self.merge(&source, &into);
                }
            }
            _ => {
                let branch = self.branch();
                self.commit(&branch);
            }
        }
        clean::assert_shown(&mut self.client, "drawn", &format!("after {:?}", self.counts));
    }

    /// Whether a commit is what a clean ingest of its files gives, and what its nodes' versions say.
    fn check(&mut self, commit: i32) {
        let tree = tree_of(&self.texts(commit));
        clean::ingest_clean(&mut self.client, &tree);
        let at = format!("#{commit}");
        assert_eq!(files_at(&mut self.client, commit), self.commits[&commit], "files at {at}");
        clean::assert_clean_nodes(&mut self.client, "drawn", &at);
        clean::assert_clean_edges(&mut self.client, "drawn", &at);
        let twice = self.client.text(&format!(
            "SELECT id, count(*) FROM onyx.nodes_as_of('drawn', '{at}') GROUP BY id HAVING count(*) > 1 OR id IS NULL"
        ));
        assert_eq!(twice, "", "nodes in two places, or none, at {at}");
        let differing = self.client.text(&format!(
            "WITH RECURSIVE line AS (
                 SELECT c.id, c.parent_id FROM onyx.commits c WHERE c.id = {commit}
                 UNION ALL SELECT c.id, c.parent_id FROM line l JOIN onyx.commits c ON c.id = l.parent_id
             ), last AS (
                 SELECT DISTINCT ON (v.node_id) v.* FROM onyx.versions v JOIN line l ON l.id = v.commit_id
                 ORDER BY v.node_id, v.commit_id DESC
             ), n AS MATERIALIZED (
                 SELECT * FROM onyx.nodes_as_of('drawn', '{at}') WHERE kind NOT IN ('repository', 'directory')
             )
             SELECT n.id, n.kind, n.qualified_name, n.path, l.node_id, l.commit_id, l.change, l.kind, l.qualified_name, l.path
             FROM n FULL JOIN (SELECT * FROM last WHERE change <> 'deleted') l ON l.node_id = n.id
             WHERE (n.kind, n.qualified_name, n.path) IS DISTINCT FROM (l.kind, l.qualified_name, l.path) LIMIT 5"
        ));
        assert_eq!(differing, "", "versions and nodes at {at}");
    }
}

fn tree_of(texts: &Texts) -> Tree {
    let files: Vec<(&str, &str)> =
        texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Tree::of(&files)
}

/// What makes one set of files another.
fn patch(old: &Texts, new: &Texts) -> String {
    let tree = Tree::new();
    std::fs::create_dir(tree.path("a")).expect("a directory");
    std::fs::create_dir(tree.path("b")).expect("a directory");
    for (side, texts) in [("a", old), ("b", new)] {
        for (path, text) in texts {
            tree.write(&format!("{side}/{path}"), text);
        }
    }
    let said = Command::new("git")
        .args(["diff", "--no-index", "--no-renames", "--no-prefix", "--no-color", "a", "b"])
        .current_dir(tree.root())
        .output()
        .expect("the git program");
    String::from_utf8(said.stdout).expect("UTF-8")
}

fn files_at(client: &mut Client, commit: i32) -> Files {
    let query = format!(
        "SELECT path, id, coalesce(onyx.content_at(id, '#{commit}'), '') FROM onyx.nodes_as_of('drawn', '#{commit}')
         WHERE kind = 'file'"
    );
    let rows = client.query(&query, &[]).expect("files");
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

/// Open conflicts; those of references are not the twin's.
fn listed(client: &mut Client) -> Vec<(i64, Option<Conflict>)> {
    let query = "SELECT id, kind, node_id, our_line IS NOT NULL, our_path, base_text, our_text, their_text, source_id IS NOT NULL
                 FROM onyx.merge_conflicts WHERE resolution IS NULL ORDER BY id";
    let rows = client.query(query, &[]).expect("conflicts");
    let conflicts = rows.iter().map(|row| {
        let (kind, node): (String, i64) = (row.get(1), row.get(2));
        let text = |at| row.get::<_, Option<String>>(at).unwrap_or_default();
        let conflict = match (row.get::<_, bool>(8), row.get::<_, bool>(3)) {
            (true, _) => None,
            (false, true) => {
                let texts = Some((text(4), text(5), text(6), text(7)));
                Some(Conflict { what: "lines", node: 0, texts })
            }
            (false, false) => {
                let what = if kind == "delete_modify" { "deleted" } else { "path" };
                Some(Conflict { what, node, texts: None })
            }
        };
        (row.get(0), conflict)
    });
    conflicts.collect()
}

fn draw(cluster: &Cluster, seed: u64, steps: u64) {
    println!("SEED={seed}");
    let mut world = World::new(cluster.database(&format!("drawn{seed}")), seed);
    world.commit("main");
    for _ in 0..steps {
        world.step();
    }
    let mut commits: Vec<i32> = world.commits.keys().copied().collect();
    commits.sort_unstable();
    let heads: BTreeSet<i32> = world.branches.values().copied().collect();
    for head in &heads {
        world.check(*head);
    }
    for _ in 0..12 {
        let commit = commits[world.writer.random.below(commits.len())];
        world.check(commit);
    }
    println!("SEED={seed}: {} commits, {:?}", commits.len(), world.counts);
    assert!(world.counts.get("merges").is_some_and(|merges| *merges > 0) || steps < 20);
}

#[test]
fn any_commit_of_a_drawn_history_is_a_clean_ingest() {
    let cluster = Cluster::ready();
    let clock = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_nanos() as u64 >> 10);
    let seed = number("SEED", clock);
    for round in 0..number("ROUNDS", 3) {
        draw(&cluster, seed.wrapping_add(round), number("STEPS", 40));
    }
}
