//! Protects the edges of the code graph: right ones from source, and after any change those of a clean
//! ingest.

use std::collections::BTreeMap;
use std::path::Path;

use onyx_pg_test::{Cluster, Sql, Tree};
use postgres::Client;

const SHOP: &[(&str, &str)] = &[
    (
        "shop/cart.py",
        "from .money import Price, add\nimport os.path\n\n\nclass Cart:\n    def __init__(self):\n        self.items = []\n        self.tax = Price(0)\n\n    def total(self):\n        return add(self.tax, self.sum())\n\n    def sum(self):\n        return os.path.join('a', 'b')\n",
    ),
    (
        "shop/money.py",
        "class Price:\n    def __init__(self, cents):\n        self.cents = cents\n\n\ndef add(a, b):\n    return Price(a.cents + b.cents)\n",
    ),
    ("shop/__init__.py", "from .cart import Cart\n"),
    (
        "main.py",
        "from shop import Cart\n\n\ndef main():\n    cart = Cart()\n    print(cart.total())\n",
    ),
    (
        "src/lib.rs",
        "mod oven;\nuse oven::Oven;\n\npub fn bake() -> u32 {\n    let oven = Oven::new();\n    oven.heat()\n}\n",
    ),
    (
        "src/oven.rs",
        "pub struct Oven { degrees: u32 }\n\nimpl Oven {\n    pub fn new() -> Self { Oven { degrees: 0 } }\n    pub fn heat(&self) -> u32 { self.degrees }\n}\n",
    ),
];

/// Edges as people see them.
fn edges(client: &mut Client, repo: &str, kind: &str) -> Vec<String> {
    client.column(&format!(
        "SELECT s.qualified_name || ' -> ' || t.qualified_name || ' at ' || e.line
         FROM onyx.edges e JOIN onyx.nodes s ON s.id = e.source_id JOIN onyx.nodes t ON t.id = e.target_id
         JOIN onyx.repos r ON r.id = e.repo_id
         WHERE r.name = '{repo}' AND e.kind = '{kind}' ORDER BY 1"
    ))
}

/// Everything that follows from a repository's source, without ids.
fn whole(repo: &str) -> String {
    format!(
        "SELECT sf.path, s.kind, s.qualified_name, s.ordinal, e.kind AS edge, tf.path AS target_path,
                t.kind AS target_kind, t.qualified_name AS target, t.ordinal AS target_ordinal,
                e.line, e.col, e.resolution, e.confidence
         FROM onyx.edges e JOIN onyx.repos r ON r.id = e.repo_id AND r.name = '{repo}'
         JOIN onyx.nodes s ON s.id = e.source_id JOIN onyx.nodes t ON t.id = e.target_id
         LEFT JOIN onyx.files sf ON sf.id = s.file_id LEFT JOIN onyx.files tf ON tf.id = t.file_id
         WHERE s.kind <> 'repository'
         UNION ALL
         SELECT f.path, u.kind, s.qualified_name, s.ordinal, 'none', u.name, u.target, u.reason, NULL,
                u.line, u.col, NULL, NULL
         FROM onyx.references_unresolved u JOIN onyx.repos r ON r.id = u.repo_id AND r.name = '{repo}'
         JOIN onyx.files f ON f.id = u.file_id LEFT JOIN onyx.nodes s ON s.id = u.source_id"
    )
}

#[track_caller]
fn assert_clean(client: &mut Client, tree: &Tree, when: &str) {
    let differences: Vec<String> = client.column(
        "SELECT concat_ws(' ', difference, kind, source_id, target_id, line) FROM onyx.verify('edited')",
    );
    assert_eq!(differences, [""; 0], "verify {when}");
    client.run(
        "SELECT onyx.forget('clean') WHERE EXISTS (SELECT FROM onyx.repos WHERE name = 'clean')",
    );
    client.run(&format!("SELECT * FROM onyx.ingest_directory('clean', '{}')", tree.root()));
    let (edited, clean) = (whole("edited"), whole("clean"));
    for (one, other, what) in [(&edited, &clean, "surplus"), (&clean, &edited, "missing")] {
        let rows: Vec<String> =
            client.column(&format!("SELECT d::text FROM ({one} EXCEPT ALL ({other})) d LIMIT 5"));
        assert_eq!(rows, [""; 0], "{what} {when}");
    }
}

#[test]
fn smoke_edges_join_files_and_say_how_they_were_found() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let tree = Tree::of(SHOP);
    let summary = client
        .text(&format!("SELECT edges > 10 FROM onyx.ingest_directory('shop', '{}')", tree.root()));
    assert_eq!(summary, "t");
    assert_eq!(
        edges(&mut client, "shop", "calls"),
        [
            "crate::bake -> crate::oven::Oven::heat at 6",
            "crate::bake -> crate::oven::Oven::new at 5",
            // Making a value calls its constructor.
            "main.main -> shop.cart.Cart.__init__ at 5",
            "main.main -> shop.cart.Cart.total at 6",
            "shop.cart.Cart.__init__ -> shop.money.Price.__init__ at 8",
            "shop.cart.Cart.total -> shop.cart.Cart.sum at 11",
            "shop.cart.Cart.total -> shop.money.add at 11",
            "shop.money.add -> shop.money.Price.__init__ at 7",
        ]
    );
    let instantiates = edges(&mut client, "shop", "instantiates");
    assert!(
        instantiates.contains(&"main.main -> shop.cart.Cart at 5".to_owned()),
        "{instantiates:?}"
    );
    // What is outside stays outside, with its name.
    assert_eq!(
        client.text(
            "SELECT reason || ' ' || target FROM onyx.references_unresolved
             WHERE kind = 'calls' AND name LIKE '%join'"
        ),
        "external os.path.join"
    );
    assert_eq!(
        client.one::<i64>(
            "SELECT count(*) FROM onyx.links
             WHERE resolution IS NULL OR line IS NULL OR col IS NULL OR confidence NOT BETWEEN 0 AND 1"
        ),
        0
    );
    client.run("SELECT onyx.forget('shop')");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.links"), 0);
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.references_unresolved"), 0);
}

#[test]
fn edges_follow_changes_in_other_files() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let tree = Tree::of(SHOP);
    let ingest = format!("SELECT * FROM onyx.ingest_directory('edited', '{}')", tree.root());
    client.run(&ingest);
    let total = "main.main -> shop.cart.Cart.total at 6".to_owned();
    assert!(edges(&mut client, "edited", "calls").contains(&total));

    // The method gets another name: its callers, in files that did not change, lose it...
    let cart = SHOP[0].1;
    tree.write("shop/cart.py", cart.replace("def total", "def all_of_it"));
    client.run(&ingest);
    assert!(!edges(&mut client, "edited", "calls").contains(&total));
    assert_clean(&mut client, &tree, "after a rename");
    // ... and find it when it is back, one line further down.
    tree.write("shop/cart.py", format!("\n{cart}"));
    client.run(&ingest);
    assert!(edges(&mut client, "edited", "calls").contains(&total));
    assert_clean(&mut client, &tree, "after the way back");

    // A file goes and comes, by forget and by ingest_file.
    client.run("SELECT onyx.forget('edited', 'shop/cart.py')");
    assert!(!edges(&mut client, "edited", "calls").contains(&total));
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.verify('edited')"), 0);
    client.run(&format!(
        "SELECT * FROM onyx.ingest_file('edited', 'shop/cart.py', $onyx$\n{cart}$onyx$)"
    ));
    assert!(edges(&mut client, "edited", "calls").contains(&total));
    assert_clean(&mut client, &tree, "after forget and ingest_file");

    // Nothing of it outlives a rollback.
    let before: i64 = client.one("SELECT count(*) FROM onyx.links");
    client.run("BEGIN; SELECT onyx.forget('edited', 'shop'); ROLLBACK");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.links"), before);
    // verify finds what is wrong: here what somebody deleted by hand.
    client.run("BEGIN; DELETE FROM onyx.links WHERE id = (SELECT min(id) FROM onyx.links)");
    assert_eq!(
        client.column::<String>("SELECT difference FROM onyx.verify('edited')"),
        ["missing"]
    );
    client.run("ROLLBACK");
    let error = client.error("SELECT onyx.verify('nowhere')");
    assert_eq!(error.message(), "repository \"nowhere\" does not exist");
}

/// Numbers that are the same every time (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

/// Changes a text as people and accidents do.
fn edit(dice: &mut Dice, text: &str, other: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let at = dice.roll(lines.len());
    let renamed;
    match dice.roll(6) {
        0 => lines.insert(at, "\n"),
        1 => drop(lines.drain(at..(at + dice.roll(4)).min(lines.len()))),
        2 => {
            let others: Vec<&str> = other.split_inclusive('\n').collect();
            let from = dice.roll(others.len());
            let count = dice.roll(12);
            let piece = others[from.min(others.len())..(from + count).min(others.len())].to_vec();
            lines.splice(at..at, piece);
        }
        3 => {
            // A name becomes another, everywhere in the file.
            let is_name =
                |w: &&str| w.len() > 3 && w.chars().all(|c| c.is_alphanumeric() || c == '_');
            let words: Vec<&str> =
                text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(is_name).collect();
            if !words.is_empty() {
                let (from, to) = (words[dice.roll(words.len())], words[dice.roll(words.len())]);
                let to = if dice.roll(2) == 0 { to.to_owned() } else { format!("{from}_x") };
                renamed = text.replace(from, &to);
                return renamed;
            }
        }
        4 => lines.truncate(at),
        _ => {
            let half: Vec<&str> = lines[at..].to_vec();
            lines.extend(half);
        }
    }
    lines.concat()
}

#[test]
fn random_edits_leave_what_a_clean_ingest_makes() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let tree = Tree::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (part, endings) in [("src/protocol", &[".rs"]), ("bench", &[".py"])] {
        let inner = Tree::new();
        inner.copy_from(&root.join(part), endings, 300_000);
        tree.rename_in(&inner, part);
    }
    let fixtures = Tree::new();
    fixtures.copy_from(
        &root.join("src/engine/tests/fixtures"),
        &[".rs", ".py", ".js", ".ts", ".tsx", ".go", ".java"],
        300_000,
    );
    tree.rename_in(&fixtures, "fixtures");
    for (path, content) in SHOP {
        tree.write(path, content);
    }
    let mut files: BTreeMap<String, Option<String>> = tree
        .files()
        .into_iter()
        .map(|path| {
            let content = std::fs::read_to_string(tree.path(&path)).expect("a file");
            (path, Some(content))
        })
        .collect();
    assert!(files.len() > 25, "{} files", files.len());
    let original = files.clone();
    let ingest = format!("SELECT * FROM onyx.ingest_directory('edited', '{}')", tree.root());
    client.run(&ingest);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let paths: Vec<String> = files.keys().cloned().collect();
    for round in 0..40 {
        for _ in 0..=dice.roll(3) {
            let path = &paths[dice.roll(paths.len())];
            let other = &paths[dice.roll(paths.len())];
            let text = files[path].clone().or_else(|| original[path].clone()).expect("a text");
            let changed = match dice.roll(8) {
                0 => None,
                1 => original[path].clone(),
                // Another file's content: a move, in effect.
                2 => files[other].clone().or_else(|| original[other].clone()),
                _ => Some(edit(&mut dice, &text, original[other].as_deref().unwrap_or_default())),
            };
            match (&changed, &files[path]) {
                (Some(text), _) => tree.write(path, text),
                (None, Some(_)) => tree.remove(path),
                (None, None) => {}
            }
            files.insert(path.clone(), changed);
        }
        client.run(&ingest);
        assert_clean(&mut client, &tree, &format!("in round {round}"));
    }
}

/// Edges that lead from one repository into another.
fn across(client: &mut Client) -> Vec<String> {
    client.column(
        "SELECT s.qualified_name || ' -' || e.kind || '> ' || t.qualified_name || ' ' || e.resolution
         FROM onyx.edges e JOIN onyx.nodes s ON s.id = e.source_id JOIN onyx.nodes t ON t.id = e.target_id
         WHERE s.repo_id <> t.repo_id AND e.origin = 'source' ORDER BY 1",
    )
}

#[track_caller]
fn assert_verified(client: &mut Client, repos: &[&str], when: &str) {
    for repo in repos {
        let differences = client.text(&format!("SELECT * FROM onyx.verify('{repo}')"));
        assert_eq!(differences, "", "verify {repo} {when}");
    }
}

#[test]
fn edges_lead_into_other_repositories_and_follow_them() {
    const BOX: &str = "class Box:\n    def open(self):\n        return self\n";
    const APP: &str =
        "from parcel.box import Box\n\n\ndef main():\n    box = Box()\n    box.open()\n";
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let ingest = |client: &mut Client, repo: &str, path: &str, text: &str| {
        client.run(&format!("SELECT * FROM onyx.ingest_file('{repo}', '{path}', $x${text}$x$)"));
    };
    let external = "SELECT count(*) FROM onyx.references_unresolved
                    WHERE reason = 'external' AND target LIKE 'parcel.box%'";
    ingest(&mut client, "app", "main.py", APP);
    assert_eq!(across(&mut client), [""; 0]);
    assert!(client.one::<i64>(external) > 0);

    // The package comes after what uses it.
    ingest(&mut client, "library", "parcel/__init__.py", "");
    ingest(&mut client, "library", "parcel/box.py", BOX);
    let whole = [
        "main -imports> parcel.box.Box",
        "main.main -calls> parcel.box.Box.open",
        "main.main -instantiates> parcel.box.Box",
    ];
    let found = across(&mut client);
    for edge in whole {
        assert!(
            found
                .iter()
                .any(|found| found.starts_with(edge) || found.contains(&edge["main".len()..])),
            "{edge}: {found:?}"
        );
    }
    assert_eq!(client.one::<i64>(external), 0);
    assert_verified(&mut client, &["app", "library"], "after the package came");
    // Walks cross the border as any other.
    let callers = client.text(
        "SELECT c.qualified_name FROM onyx.callers(
             (SELECT id FROM onyx.nodes WHERE qualified_name = 'parcel.box.Box.open')) c",
    );
    assert_eq!(callers, "main.main");

    // What it provides changes, and what is undone was never done.
    client.run("BEGIN");
    ingest(&mut client, "library", "parcel/box.py", &BOX.replace("open", "unfold"));
    assert!(!across(&mut client).iter().any(|edge| edge.contains("calls")));
    assert_verified(&mut client, &["app", "library"], "after a rename");
    client.run("ROLLBACK");
    assert_eq!(across(&mut client), found);
    assert_verified(&mut client, &["app", "library"], "after a rollback");

    // Two that provide it: neither is it.
    ingest(&mut client, "copy", "parcel/__init__.py", "");
    ingest(&mut client, "copy", "parcel/box.py", BOX);
    assert_verified(&mut client, &["app", "library", "copy"], "with two packages of a name");
    assert!(across(&mut client).iter().all(|edge| !edge.contains("calls")), "one was guessed");
    client.run("SELECT onyx.forget('copy')");
    assert_eq!(across(&mut client), found);
    client.run("SELECT onyx.forget('library', 'parcel/box.py')");
    assert_verified(&mut client, &["app", "library"], "without the module");
    client.run("SELECT onyx.forget('library')");
    assert_eq!(across(&mut client), [""; 0]);
    assert!(client.one::<i64>(external) > 0);
    assert_verified(&mut client, &["app"], "without the package");
    let dangling = "SELECT count(*) FROM onyx.links l WHERE NOT EXISTS (SELECT FROM onyx.nodes n WHERE n.id = l.target_id)";
    assert_eq!(client.one::<i64>(dangling), 0);
}

#[test]
fn random_edits_of_two_repositories_leave_exact_edges_between_them() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) % below
    };
    for round in 0..40 {
        let names = ["alpha", "beta", "gamma"];
        let name = names[draw(3) as usize];
        let other = names[draw(3) as usize];
        match draw(8) {
            0 => client.run("SELECT onyx.forget('library') WHERE EXISTS (SELECT FROM onyx.repos WHERE name = 'library')"),
            1 => client.run(
                "SELECT onyx.forget('library', 'parcel/one.py') WHERE EXISTS (SELECT FROM onyx.repos WHERE name = 'library')",
            ),
            2 | 3 => client.run(&format!(
                "SELECT * FROM onyx.ingest_file('library', 'parcel/__init__.py', 'from .one import {name}')"
            )),
            4 | 5 => client.run(&format!(
                "SELECT * FROM onyx.ingest_file('library', 'parcel/one.py', 'class {name}:
    def {other}(self):
        return {name}()
')"
            )),
            _ => client.run(&format!(
                "SELECT * FROM onyx.ingest_file('app', 'main{}.py', 'from parcel import {name}
import parcel.one

def main():
    {name}().{other}()
    parcel.one.{other}()
')",
                draw(2)
            )),
        }
        let repos: Vec<String> = client.column("SELECT name FROM onyx.repos ORDER BY 1");
        let repos: Vec<&str> = repos.iter().map(String::as_str).collect();
        assert_verified(&mut client, &repos, &format!("in round {round}"));
    }
}
