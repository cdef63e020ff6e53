//! Protects that forgetting history changes nothing of what remains, in any session, and that ingestion goes on
//! from there.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use onyx_pg_test::git::{self, Random};
use onyx_pg_test::{Cluster, Config, GitRepo, Sql, Tree};
use postgres::Client;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

const SHOP: &str = "def total(items):\n    return tax(round_up(sum(items)))\n\n\ndef tax(amount):\n    return amount * 1.19\n\n\ndef round_up(amount):\n    return amount + 1\n";
const STORE: &str = "from shop import total\n\n\ndef save(order):\n    return total(order)\n";

fn ingest(client: &mut Client, name: &str, repo: &GitRepo) {
    client.run(&format!("CALL onyx.ingest_git('{name}', '{}')", repo.root()));
}

/// What a commit is: its nodes with their ids.
fn nodes_of(client: &mut Client, repo: &str, commit: i32) -> String {
    client.one(&format!(
        "SELECT coalesce(md5(string_agg(n::text, chr(10) ORDER BY n.id)), '') FROM onyx.nodes_as_of('{repo}', '#{commit}') n"
    ))
}

fn commits_of(client: &mut Client, repo: &str) -> Vec<i32> {
    client.column(&format!(
        "SELECT c.id FROM onyx.commits c JOIN onyx.repos r ON r.id = c.repo_id WHERE r.name = '{repo}' ORDER BY c.id"
    ))
}

/// What history says of a repository, in part.
struct Remembered {
    nodes: HashMap<i32, String>,
    /// By node and commit.
    texts: HashMap<(i64, i32), Option<String>>,
    /// By commit, where the parent is another the commit itself is as well.
    rows: HashMap<i32, (Option<i32>, String)>,
}

fn rows_of(client: &mut Client, repo: &str) -> HashMap<i32, (Option<i32>, String)> {
    let query = format!(
        "SELECT c.id, c.parent_id,
                (SELECT coalesce(string_agg(v::text, ',' ORDER BY v.path_id), '')
                 FROM onyx.file_versions v WHERE v.commit_id = c.id)
                || (SELECT coalesce(string_agg(v::text, ',' ORDER BY v.node_id), '')
                    FROM onyx.versions v WHERE v.commit_id = c.id)
         FROM onyx.commits c JOIN onyx.repos r ON r.id = c.repo_id WHERE r.name = '{repo}'"
    );
    let rows = client.query(&query, &[]).expect("commits");
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

fn remember(client: &mut Client, random: &mut Random, repo: &str) -> Remembered {
    let commits = commits_of(client, repo);
    let nodes = commits.iter().map(|commit| (*commit, nodes_of(client, repo, *commit))).collect();
    let some: Vec<i64> =
        client.column("SELECT DISTINCT v.node_id FROM onyx.symbol_versions v ORDER BY v.node_id");
    let mut texts = HashMap::new();
    for _ in 0..150 {
        let (node, commit) = (some[random.below(some.len())], commits[random.below(commits.len())]);
        let text = client.one(&format!("SELECT onyx.content_at({node}, '#{commit}')"));
        texts.insert((node, commit), text);
    }
    Remembered { nodes, texts, rows: rows_of(client, repo) }
}

/// Whether the commits that remain are what they were.
#[track_caller]
fn assert_remembered(client: &mut Client, repo: &str, was: &Remembered, when: &str) {
    let commits = commits_of(client, repo);
    // The session asked for the latest last, so it may still have what it found then.
    for commit in commits.iter().rev().take(6).chain(&commits) {
        if let Some(nodes) = was.nodes.get(commit) {
            assert_eq!(nodes_of(client, repo, *commit), *nodes, "nodes of commit {commit} {when}");
        }
    }
    for ((node, commit), text) in
        was.texts.iter().filter(|((_, commit), _)| commits.contains(commit))
    {
        // A node none of the remaining commits has is not known any more.
        let asked = format!(
            "SELECT onyx.content_at({node}, '#{commit}')
             WHERE EXISTS (SELECT FROM onyx.versions v WHERE v.node_id = {node})"
        );
        let now = client
            .query_opt(&asked, &[])
            .expect("a text")
            .and_then(|row| row.get::<_, Option<String>>(0));
        assert_eq!(now, *text, "node {node} at commit {commit} {when}");
    }
    for (commit, (parent, rows)) in rows_of(client, repo) {
        if let Some((old_parent, old_rows)) = was.rows.get(&commit)
            && parent == *old_parent
        {
            assert_eq!(rows, *old_rows, "rows of commit {commit} {when}");
        }
    }
}

/// Whether a repository's history is whole, without anything that nothing refers to.
#[track_caller]
fn assert_whole(client: &mut Client, repo: &str, when: &str) {
    for (what, query) in [
        ("parents that are gone", "SELECT c.id FROM onyx.commits c WHERE c.parent_id IS NOT NULL
                                     AND NOT EXISTS (SELECT FROM onyx.commits p WHERE p.id = c.parent_id)"),
        ("other parents that are gone", "SELECT c.commit_id FROM onyx.commit_parents c WHERE c.parent_id IS NOT NULL
                                           AND NOT EXISTS (SELECT FROM onyx.commits p WHERE p.id = c.parent_id)"),
        ("parents that differ", "SELECT c.id FROM onyx.commits c JOIN onyx.commit_parents p ON p.commit_id = c.id AND p.ordinal = 0
                                 WHERE p.parent_id IS DISTINCT FROM c.parent_id"),
        ("wrong depths", "SELECT c.id FROM onyx.commits c LEFT JOIN onyx.commits p ON p.id = c.parent_id
                          WHERE c.depth <> coalesce(p.depth + 1, 0)"),
        ("bases that are gone", "SELECT c.id FROM onyx.contents c WHERE c.base_id IS NOT NULL
                                   AND NOT EXISTS (SELECT FROM onyx.contents b WHERE b.id = c.base_id)"),
        ("contents nobody has", "SELECT c.id FROM onyx.contents c
                                 WHERE NOT EXISTS (SELECT FROM onyx.file_versions v WHERE v.content_id = c.id)"),
        ("contents that are gone", "SELECT v.commit_id FROM onyx.file_versions v WHERE v.content_id IS NOT NULL
                                      AND NOT EXISTS (SELECT FROM onyx.contents c WHERE c.id = v.content_id)"),
        ("names nobody has", "SELECT n.id FROM onyx.symbol_names n
                              WHERE NOT EXISTS (SELECT FROM onyx.symbol_versions v WHERE v.name_id = n.id)"),
        ("texts nobody has", "SELECT s.id FROM onyx.search_texts s
                              WHERE NOT EXISTS (SELECT FROM onyx.symbol_versions v WHERE v.search_text_id = s.id)"),
        ("versions without name, path or text", "SELECT v.commit_id FROM onyx.symbol_versions v
                              LEFT JOIN onyx.symbol_names n ON n.id = v.name_id
                              LEFT JOIN onyx.paths p ON p.id = v.path_id
                              LEFT JOIN onyx.search_texts s ON s.id = v.search_text_id
                              WHERE n.id IS NULL OR p.id IS NULL OR (s.id IS NULL) <> (v.search_text_id IS NULL)"),
    ] {
        let found: Vec<i32> = client.column(query);
        assert_eq!(found, [0; 0], "{what} of {repo} {when}");
    }
    // Everything can be read, and every node of a root has its beginning there.
    for root in
        client.column::<i32>("SELECT id FROM onyx.commits WHERE parent_id IS NULL ORDER BY id")
    {
        let without: Vec<i64> = client.column(&format!(
            "SELECT n.id FROM onyx.nodes_as_of('{repo}', '#{root}') n
             WHERE n.kind NOT IN ('repository', 'directory')
               AND NOT EXISTS (SELECT FROM onyx.versions v
                               WHERE (v.node_id, v.commit_id, v.change, v.qualified_name, v.lines)
                                     = (n.id, {root}, 'created', n.qualified_name, n.end_line - n.start_line + 1)
                                 AND v.ordinal IS NOT DISTINCT FROM n.ordinal)"
        ));
        assert_eq!(without, [0_i64; 0], "nodes of root {root} without a row {when}");
    }
}

/// Whether lines are blamed on commits that brought them: their node had them there, and the difference from
/// every parent adds them. Of a text's equal lines nobody can say which is which.
#[track_caller]
fn assert_blamed(client: &mut Client, random: &mut Random, repo: &str, when: &str) {
    let commits = commits_of(client, repo);
    let (mut lines_of, mut diffs) = (HashMap::new(), HashMap::new());
    let mut lines = |client: &mut Client, node: i64, commit: i32| -> Vec<String> {
        let read = || -> Vec<String> {
            let query = format!("SELECT coalesce(onyx.content_at({node}, '#{commit}'), '')");
            client.one::<String>(&query).lines().map(str::to_owned).collect()
        };
        lines_of.entry((node, commit)).or_insert_with(read).clone()
    };
    let mut checked = 0;
    for _ in 0..20 {
        let commit = commits[random.below(commits.len())];
        let nodes: Vec<i64> = client.column(&format!(
            "SELECT id FROM onyx.nodes_as_of('{repo}', '#{commit}') WHERE kind IN ('file', 'class', 'function')"
        ));
        if nodes.is_empty() {
            continue;
        }
        let node = nodes[random.below(nodes.len())];
        let text = lines(client, node, commit);
        let blame =
            format!("SELECT text, commit_id FROM onyx.blame({node}, '#{commit}') ORDER BY line");
        let blame = client.query(&blame, &[]).expect("a blame");
        let blamed: Vec<(String, i32)> = blame.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(
            text.iter().eq(blamed.iter().map(|(line, _)| line)),
            "{blamed:?} of {text:?} {when}"
        );
        for (line, by) in blamed {
            let is_in = |text: Vec<String>| text.iter().filter(|other| **other == line).count();
            if line.trim().is_empty() || is_in(text.clone()) > 1 {
                continue;
            }
            let which = format!("\"{line}\" of node {node} at #{commit}, blamed on #{by}, {when}");
            assert!(commits.contains(&by), "{which}");
            assert!(is_in(lines(client, node, by)) > 0, "it was not there: {which}");
            let parents: Vec<i32> = client.column(&format!(
                "SELECT parent_id FROM onyx.commit_parents WHERE commit_id = {by} AND parent_id IS NOT NULL"
            ));
            for parent in parents {
                let diff = diffs.entry((node, parent, by)).or_insert_with(|| {
                    let query =
                        format!("SELECT text_diff FROM onyx.diff({node}, '#{parent}', '#{by}')");
                    let row = client.query_opt(&query, &[]).expect("a difference");
                    row.and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_default()
                });
                let added = format!("+{line}");
                let is_new = diff.lines().any(|line| line == added);
                let was_there = is_in(lines(client, node, parent)) > 0;
                assert!(is_new || !was_there, "#{parent} had it: {which}");
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} lines {when}");
}

/// Whether a commit has the definitions of a clean ingest of its tree.
#[track_caller]
fn assert_clean(client: &mut Client, repo: &str, at: &str, tree: &Tree) {
    client.run(
        "SELECT onyx.forget('clean') WHERE EXISTS (SELECT FROM onyx.repos WHERE name = 'clean')",
    );
    client.run(&format!("SELECT * FROM onyx.ingest_directory('clean', '{}')", tree.root()));
    let what = "path, kind, qualified_name, signature, ordinal, start_byte, end_byte, content_hash";
    for (one, other) in
        [(repo, at), ("clean", "main")].into_iter().zip([("clean", "main"), (repo, at)])
    {
        let differences: Vec<String> = client.column(&format!(
            "SELECT d::text FROM ((SELECT {what} FROM onyx.nodes_as_of('{}', '{}') WHERE kind <> 'repository')
              EXCEPT ALL (SELECT {what} FROM onyx.nodes_as_of('{}', '{}') WHERE kind <> 'repository')) d",
            one.0, one.1, other.0, other.1
        ));
        assert_eq!(differences, [""; 0], "of {} at {}", one.0, one.1);
    }
    client.run("SELECT onyx.forget('clean')");
}

fn list(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn forget_at_random(seed: u64) {
    let mut client = cluster().database(&format!("forget{seed}"));
    let mut random = Random::new(seed + 100);
    let mut repo = git::random_history(seed, 40);
    for tag in 0..random.below(4) {
        let commits = repo.commits();
        repo.git(&["tag", &format!("v{tag}"), &commits[random.below(commits.len())]]);
    }
    ingest(&mut client, "random", &repo);
    let was = remember(&mut client, &mut random, "random");
    assert_blamed(&mut client, &mut random, "random", "before");
    // Another session knows what there was.
    let mut other = cluster().connect_to(&format!("forget{seed}"));
    let all = commits_of(&mut client, "random");
    for commit in &all {
        assert_eq!(nodes_of(&mut other, "random", *commit), was.nodes[commit]);
    }

    let middle = all[5 + random.below(all.len() - 10)];
    let before: String =
        client.one(&format!("SELECT committed_at::text FROM onyx.commits WHERE id = {middle}"));
    // What is rolled back has not happened, here neither.
    client.run(&format!(
        "BEGIN; SELECT onyx.forget_history('random', '{before}'::timestamptz + '5 minutes')"
    ));
    assert_remembered(&mut client, "random", &was, "while a transaction forgets");
    client.run("ROLLBACK");
    assert_remembered(&mut client, "random", &was, "after a rollback");

    let kept = format!(
        "SELECT count(*) FROM onyx.commits c WHERE c.committed_at >= '{before}'
            OR EXISTS (SELECT FROM onyx.branches b WHERE b.commit_id = c.id)
            OR EXISTS (SELECT FROM onyx.tags t WHERE t.commit_id = c.id)"
    );
    let kept: i64 = client.one(&kept);
    let forgotten: i64 =
        client.one(&format!("SELECT onyx.forget('random', '{before}'::timestamptz)"));
    let left = commits_of(&mut client, "random");
    assert_eq!(left.len() as i64, all.len() as i64 - forgotten);
    assert!(
        forgotten > 0 || kept == all.len() as i64,
        "{forgotten} of {} forgotten, {kept} are needed",
        all.len()
    );
    // Beside them where lines part: fewer than there are lines.
    assert!(
        left.len() as i64 >= kept && (left.len() as i64) < 2 * kept,
        "{} of {kept}",
        left.len()
    );
    assert_remembered(&mut client, "random", &was, "after forgetting");
    assert_remembered(&mut other, "random", &was, "after forgetting, in another session");
    assert_whole(&mut client, "random", "after forgetting");
    assert_blamed(&mut client, &mut random, "random", "after forgetting");
    assert_eq!(client.text("SELECT v::text FROM onyx.verify('random') v"), "");

    // What is new is taken, what is forgotten stays so.
    ingest(&mut client, "random", &repo);
    assert_eq!(commits_of(&mut client, "random"), left);
    let hashes = format!(
        "SELECT encode(git_hash, 'hex') FROM onyx.commits WHERE id = ANY ('{{{}}}')",
        list(&left)
    );
    let remaining: Vec<String> = client.column(&hashes);
    let gone: Vec<String> = repo.commits().into_iter().filter(|c| !remaining.contains(c)).collect();
    git::extend_history(&mut random, &mut repo, 15);
    // A branch from what is forgotten begins anew; a tag of it names nothing.
    let late = gone.get(random.below(gone.len().max(1))).cloned();
    if let Some(late) = &late {
        repo.git(&["tag", "late", late]);
        repo.git(&["checkout", "-q", "-b", "late-branch", late]);
        repo.tree.write("late/file.py", "def late():\n    return 1\n");
        repo.commit("late");
    }
    ingest(&mut other, "random", &repo);
    let back: Vec<String> = client
        .column("SELECT encode(git_hash, 'hex') FROM onyx.commits WHERE git_hash IS NOT NULL");
    assert!(!gone.iter().any(|hash| back.contains(hash)), "forgotten commits came back");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.tags WHERE name = 'late'"), 0);
    assert!(commits_of(&mut client, "random").len() >= left.len() + 15);
    assert_remembered(&mut client, "random", &was, "after another ingest");
    for branch in repo.branches() {
        assert_clean(&mut client, "random", &branch, &repo.checkout(&branch));
    }
    // And again, without anything left but the heads.
    let was = remember(&mut client, &mut random, "random");
    client.run("SELECT onyx.forget_history('random', 'infinity')");
    assert_remembered(&mut client, "random", &was, "after forgetting everything");
    assert_whole(&mut client, "random", "after forgetting everything");
    assert_blamed(&mut client, &mut random, "random", "after forgetting everything");
    for branch in repo.branches() {
        assert_clean(&mut other, "random", &branch, &repo.checkout(&branch));
    }
}

#[test]
fn what_remains_of_a_history_is_what_it_was() {
    let seeds = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = seeds.map_or(1..=3, |seed| seed..=seed);
    seeds.for_each(forget_at_random);
}

#[test]
fn a_history_without_git_is_forgotten_too() {
    let mut client = cluster().database("forget_files");
    let tree = Tree::of(&[("shop.py", SHOP), ("store.py", STORE)]);
    client.run(&format!("SELECT * FROM onyx.ingest_directory('shop', '{}')", tree.root()));
    for (days, amount) in [(3, "1.2"), (2, "1.21"), (1, "1.22")] {
        client.run(&format!(
            "UPDATE onyx.commits SET committed_at = now() - '{days} days'::interval
                             WHERE id = (SELECT max(id) FROM onyx.commits)"
        ));
        tree.write("shop.py", SHOP.replace("1.19", amount));
        client.run(&format!("SELECT * FROM onyx.ingest_directory('shop', '{}')", tree.root()));
    }
    let commits = commits_of(&mut client, "shop");
    let before: Vec<String> =
        commits[2..].iter().map(|c| nodes_of(&mut client, "shop", *c)).collect();
    assert_eq!(
        client.text("SELECT commits, contents FROM onyx.forget_history('shop', now() - '36 hours'::interval)"),
        "2|2"
    );
    assert_eq!(commits_of(&mut client, "shop"), commits[2..]);
    let after: Vec<String> =
        commits[2..].iter().map(|c| nodes_of(&mut client, "shop", *c)).collect();
    assert_eq!(after, before);
    assert_whole(&mut client, "shop", "after forgetting");
    let root = commits[2];
    // What forgotten commits brought came with the first that is left; what one left brought stays its own.
    assert_eq!(
        client.text(&format!(
            "SELECT b.line, b.commit_id = {root}, b.commit_id = {} FROM onyx.nodes n, onyx.blame(n.id) b WHERE n.name = 'tax'",
            commits[3]
        )),
        "5|t|f\n6|f|t"
    );
    let history = |name: &str| {
        format!(
            "SELECT h.commit_id = {root}, h.change FROM onyx.nodes n, onyx.history(n.id) h
                 WHERE n.name = '{name}' AND n.kind = 'function'"
        )
    };
    assert_eq!(client.text(&history("tax")), "t|created\nf|modified");
    assert_eq!(client.text(&history("save")), "t|created");
    // As-of search needs what was searched.
    assert_eq!(
        client.one::<i64>(&format!("SELECT count(*) FROM onyx.symbol_versions WHERE commit_id = {root} AND search_text_id IS NOT NULL")),
        client.one::<i64>("SELECT count(*) FROM onyx.nodes WHERE search_text IS NOT NULL")
    );
    // Ingestion goes on from there.
    tree.write("store.py", STORE.replace("order", "cart"));
    client.run(&format!("SELECT * FROM onyx.ingest_directory('shop', '{}')", tree.root()));
    assert_eq!(client.text(&history("save")), "t|created\nf|modified");
    assert_eq!(client.text("SELECT v::text FROM onyx.verify('shop') v"), "");

    // A path is still a path.
    assert_eq!(client.one::<i64>("SELECT onyx.forget('shop', 'store.py')"), 1);
    let error = client.error("SELECT onyx.forget_history('nowhere', now())");
    assert_eq!(
        (error.code().code(), error.message()),
        ("42704", "repository \"nowhere\" does not exist")
    );
    let error = client.error("BEGIN READ ONLY; SELECT onyx.forget_history('shop', now())");
    assert_eq!(error.code().code(), "25006");
    client.run("ROLLBACK");
    assert_eq!(client.text("SELECT * FROM onyx.forget_history('shop', NULL)"), "");
    // Without the right to write nothing is forgotten.
    client.run(
        "CREATE ROLE reader; GRANT SELECT ON ALL TABLES IN SCHEMA onyx TO reader; SET ROLE reader",
    );
    assert_eq!(client.error("SELECT onyx.forget_history('shop', now())").code().code(), "42501");
    client.run("RESET ROLE; DROP OWNED BY reader; DROP ROLE reader");
}

/// A history of one file, a minute apart, made at once. Messages are long, so that it is sent in parts.
fn long_history(texts: impl Iterator<Item = String>) -> GitRepo {
    let repo = GitRepo::new();
    let mut stream = String::new();
    for (number, text) in texts.enumerate() {
        let time = 1_600_000_000 + 60 * number;
        stream += &format!(
            "commit refs/heads/main\nmark :{}\ncommitter Ada <ada@example.org> {time} +0000\ndata 8192\n{:8192}\n",
            number + 1,
            "x"
        );
        if number > 0 {
            stream += &format!("from :{number}\n");
        }
        stream += &format!("M 644 inline a.py\ndata {}\n{text}\n", text.len());
    }
    let import = Command::new("git")
        .args(["-c", "safe.directory=*", "fast-import", "--quiet"])
        .current_dir(repo.root())
        .stdin(Stdio::piped())
        .spawn();
    let mut import = import.expect("the git program");
    let mut input = import.stdin.take().expect("its input");
    input.write_all(stream.as_bytes()).expect("commits");
    drop(input);
    assert!(import.wait().expect("its end").success());
    repo
}

#[test]
fn forgetting_between_the_steps_of_an_ingest_loses_nothing_of_it() {
    let mut client = cluster().database("forget_steps");
    // What the last commits have again is forgotten in between.
    let name = |number: usize| if (300..1195).contains(&number) { "beta" } else { "alpha" };
    let text = |number: usize| {
        let round = if number < 1195 { number } else { number - 1195 };
        format!("def {}(x):\n    return x + {round}\n", name(number))
    };
    let repo = long_history((0..1200).map(text));
    let step = format!(
        "SELECT more FROM onyx.ingest_git_step('steps', '{}', NULL, NULL, NULL, false, 500)",
        repo.root()
    );
    assert_eq!(client.text(&step), "t");
    let taken: i64 = client.one("SELECT count(*) FROM onyx.commits");
    assert!((500..1190).contains(&taken), "{taken} in the first step");
    assert_eq!(
        client.text(
            "SELECT commits FROM onyx.forget_history('steps', to_timestamp(1600000000 + 60 * 400))"
        ),
        "400"
    );
    while client.text(&step) == "t" {}
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.commits"), 800);
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.commits WHERE parent_id IS NULL"), 1);
    assert_whole(&mut client, "steps", "after the last step");
    assert_eq!(client.text("SELECT name FROM onyx.nodes WHERE kind = 'function'"), "alpha");
    assert_eq!(
        client.text("SELECT onyx.content_at(id) FROM onyx.nodes WHERE kind = 'file'"),
        text(1199)
    );
}
