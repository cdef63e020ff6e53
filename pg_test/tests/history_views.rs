//! Protects what views of history say; runs every example of docs/history_views.md.

use std::sync::OnceLock;

use onyx_pg_test::page::examples;
use onyx_pg_test::{Cluster, Config, GitRepo, Sql, Tree};
use postgres::Client;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Config::new()))
}

const SHOP: &str = "def total(items):\n    return tax(round_up(sum(items)))\n\n\ndef tax(amount):\n    return amount * 1.19\n\n\ndef round_up(amount):\n    return amount + 1\n";
const STORE: &str = "from shop import total\n\n\ndef save(order):\n    return total(order)\n";

/// The history docs/history_views.md speaks of.
fn shop() -> GitRepo {
    let mut repo = GitRepo::new();
    repo.tree.write("shop.py", SHOP);
    repo.tree.write("store.py", STORE);
    repo.commit("first");
    repo.git(&["tag", "v1"]);
    repo.author("Bob", "bob@example.org");
    repo.tree.write("shop.py", SHOP.replace("1.19", "1.2"));
    repo.commit("second");
    repo.tree.write("shop.py", SHOP.replace("1.19", "1.21"));
    repo.tree.write("store.py", STORE.replace("(order)\n", "(order or [])\n"));
    repo.commit("third");
    repo.author("Ada", "ada@example.org");
    let last = SHOP
        .replace("1.19", "1.21")
        .replace("tax", "vat")
        .replace("round_up(sum(items))", "sum(items)");
    repo.tree.write(
        "shop.py",
        last.split("\n\n\ndef round_up").next().expect("a part").to_owned() + "\n",
    );
    repo.tree.write("store.py", STORE.replace("save(order)", "save(order, day)"));
    repo.commit("fourth");
    repo.git(&["tag", "v2"]);
    repo
}

fn ingest(client: &mut Client, name: &str, repo: &GitRepo) {
    client.run(&format!("CALL onyx.ingest_git('{name}', '{}')", repo.root()));
}

#[test]
fn every_example_of_the_documentation_gives_what_it_says() {
    let mut client = cluster().database("examples");
    let repo = shop();
    ingest(&mut client, "shop", &repo);
    let page = include_str!("../../docs/history_views.md");
    let examples = examples(page);
    for (statement, answer) in &examples {
        assert_eq!(client.text(statement), *answer, "{statement}");
    }
    for name in [
        "counted_commits",
        "symbol_churn",
        "file_churn",
        "symbol_age",
        "symbol_ownership",
        "symbol_hotspots",
        "file_co_change",
        "symbol_co_change",
        "dead_symbols",
        "api_changes",
        "stat_history",
        "forget_history",
    ] {
        assert!(
            examples.iter().any(|(statement, _)| statement.contains(&format!("onyx.{name}"))),
            "{name}"
        );
    }
}

#[test]
fn what_never_changed_was_created_by_the_first_commit() {
    let mut client = cluster().database("implied");
    let tree = Tree::of(&[("shop.py", SHOP), ("store.py", STORE)]);
    client.run(&format!(
        "SELECT * FROM onyx.ingest_directory('shop', '{}', author => 'Ada')",
        tree.root()
    ));
    let first: i32 = client.one("SELECT max(id) FROM onyx.commits");
    let all = "SELECT v.qualified_name, v.change, v.lines, v.lines_added, v.author_name, v.ordinal, v.commit_id
               FROM onyx.versions v ORDER BY v.path, v.ordinal NULLS FIRST, v.commit_id";
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.symbol_versions"), 0);
    assert_eq!(
        client.text(all),
        format!(
            "shop.py|created|10|10|Ada||{first}\nshop.total|created|2|2|Ada|0|{first}\nshop.tax|created|2|2|Ada|1|{first}\n\
             shop.round_up|created|2|2|Ada|2|{first}\nstore.py|created|5|5|Ada||{first}\nstore.save|created|2|2|Ada|0|{first}"
        )
    );
    client.run(
        "SELECT * FROM onyx.ingest_file('shop', 'store.py', E'from shop import total\\n\\n\\ndef save(order):\\n    return 0\\n',
                                        author => 'Bob')",
    );
    let second: i32 = client.one("SELECT max(id) FROM onyx.commits");
    assert_eq!(
        client.text(
            "SELECT v.qualified_name, v.change, v.author_name FROM onyx.versions v
                     WHERE v.path = 'store.py' ORDER BY v.ordinal NULLS FIRST, v.commit_id"
        ),
        "store.py|created|Ada\nstore.py|modified|Bob\nstore.save|created|Ada\nstore.save|modified|Bob"
    );
    // A symbol that changed has the rows it would have had, one that did not keeps its implied one.
    for (name, at, versions) in [
        ("tax", "NULL", "created"),
        ("tax", "main", "created"),
        ("tax", &format!("#{first}"), "created"),
        ("save", "NULL", "created\nmodified"),
        ("save", &format!("#{second}"), "created\nmodified"),
        ("save", &format!("#{first}"), "created"),
    ] {
        let at = if at == "NULL" { at.to_owned() } else { format!("'{at}'") };
        let history = format!(
            "SELECT h.change FROM onyx.nodes n, onyx.history(n.id, {at}) h WHERE n.name = '{name}' AND n.kind = 'function'"
        );
        assert_eq!(client.text(&history), versions, "{name} at {at}");
    }
    assert_eq!(client.text("SELECT * FROM onyx.history(-1)"), "");
    let error =
        client.error("SELECT onyx.history(id, 'nowhere') FROM onyx.nodes WHERE name = 'tax'");
    assert_eq!(error.code().code(), "42704");
    // One node's versions are looked up.
    client.run("SET enable_seqscan = off");
    let plan = client.explain("SELECT * FROM onyx.node_versions(1)");
    assert!(!plan.contains("Seq Scan"), "{plan}");
    assert!(plan.contains("Bitmap Index Scan on symbol_changes_nodes"), "{plan}");
    // What is measured includes them.
    assert_eq!(
        client.text(
            "SELECT qualified_name, changes, lines_added, authors FROM onyx.symbol_churn ORDER BY 1"
        ),
        "shop.round_up|1|2|1\nshop.tax|1|2|1\nshop.total|1|2|1\nstore.save|2|3|2"
    );
}

#[test]
fn measures_count_each_change_once() {
    let mut client = cluster().database("measures");
    let mut repo = GitRepo::new();
    repo.tree.write("a.py", "def one():\n    return 1\n");
    repo.tree.write("b.py", "def two():\n    return 2\n");
    repo.commit("first");
    repo.git(&["checkout", "-q", "-b", "topic"]);
    repo.author("Robert", "BOB@example.org");
    repo.tree.write("c.py", "def three():\n    return 3\n");
    repo.tree.write("a.py", "def one():\n    return 11\n");
    repo.commit("topic");
    repo.git(&["checkout", "-q", "main"]);
    repo.author("Ada", "ada@example.org");
    repo.tree.write("b.py", "def two():\n    return 22\n");
    repo.commit("main");
    repo.merge("topic");
    repo.git(&["checkout", "-q", "-b", "later"]);
    repo.tree.remove("b.py");
    repo.commit("later");
    repo.git(&["checkout", "-q", "main"]);
    ingest(&mut client, "measures", &repo);
    // Of the merge nothing, of its other side everything; of another branch nothing, unless it is asked for.
    let churn =
        "SELECT qualified_name, changes, lines_added, authors, is_deleted FROM onyx.symbol_churn";
    assert_eq!(
        client.text(&format!("{churn} ORDER BY 1")),
        "a.one|2|3|2|f\nb.two|2|3|1|f\nc.three|1|2|1|f"
    );
    assert_eq!(
        client.text(&format!("{churn}('measures', 'later') ORDER BY 1")),
        "a.one|2|3|2|f\nb.two|3|3|1|t\nc.three|1|2|1|f"
    );
    assert_eq!(client.text(&format!("{churn}('elsewhere')")), "");
    assert_eq!(client.text(&format!("{churn} WHERE repo_name = 'elsewhere'")), "");
    assert_eq!(
        client.text(
            "SELECT path, author, is_main FROM onyx.file_ownership ORDER BY path, is_main DESC"
        ),
        "a.py|ada@example.org|t\na.py|bob@example.org|f\nb.py|ada@example.org|t\nc.py|bob@example.org|t"
    );
    // Times are those of committers, ends included.
    let span = |since: &str, until: &str| {
        format!("{churn}(since => '{since}', until => '{until}') ORDER BY 1")
    };
    assert_eq!(
        client.text(&span("2020-09-13 12:28:40+00", "2020-09-13 12:28:40+00")),
        "a.one|1|1|1|f\nc.three|1|2|1|f"
    );
    assert_eq!(client.text(&span("2020-09-13 12:28:41+00", "2020-09-13 12:29:39+00")), "");
    // Pairs: the first two files came together once, the others once.
    let pairs = |arguments: &str| {
        format!(
            "SELECT path, other_path, support, confidence, other_confidence FROM onyx.file_co_change({arguments}) ORDER BY 1, 2"
        )
    };
    assert_eq!(client.text(&pairs("min_support => 1")), "a.py|b.py|1|0.5|0.5\na.py|c.py|1|0.5|1");
    assert_eq!(client.text(&pairs("")), "");
    assert_eq!(client.text(&pairs("min_support => 1, max_files => 1")), "");
    assert_eq!(
        client.text("SELECT file_versions, symbol_versions, contents, tags, branches, raw_bytes, distinct_bytes FROM onyx.stat_history"),
        client.text(
            "SELECT (SELECT count(*) FROM onyx.file_versions), (SELECT count(*) FROM onyx.symbol_versions),
                    (SELECT count(*) FROM onyx.contents), 0, 3,
                    (SELECT sum(c.size) FROM onyx.file_versions v JOIN onyx.contents c ON c.id = v.content_id),
                    (SELECT sum(size) FROM onyx.contents)"
        )
    );
    // Views give what the reader may read.
    client.run("CREATE ROLE bi; GRANT SELECT ON onyx.symbol_churn TO bi; SET ROLE bi");
    assert_eq!(client.error("SELECT * FROM onyx.symbol_churn").code().code(), "42501");
    client.run("RESET ROLE; GRANT SELECT ON ALL TABLES IN SCHEMA onyx TO bi; SET ROLE bi");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM onyx.symbol_churn"), 3);
    client.run("RESET ROLE; DROP OWNED BY bi; DROP ROLE bi");
}

#[test]
fn dead_symbols_come_with_the_doubts_there_are() {
    let mut client = cluster().database("dead");
    let tree = Tree::of(&[
        (
            "app.py",
            "import framework\n\n\nclass _Base:\n    def _run(self):\n        return 1\n\n\nclass _Child(_Base):\n    def _run(self):\n        return 2\n\n    def __len__(self):\n        return 3\n\n\nclass _Handler(framework.Handler):\n    def _handle(self):\n        return 1\n\n\ndef _used():\n    return _Child()._run()\n\n\ndef _alone(n):\n    return _alone(n - 1)\n\n\n@framework.route\ndef _page():\n    return _used()\n\n\ndef main():\n    return unknown._guessed()\n\n\ndef _guessed():\n    return 0\n",
        ),
        ("test_app.py", "def test_it():\n    return 1\n"),
    ]);
    client.run(&format!("SELECT * FROM onyx.ingest_directory('dead', '{}')", tree.root()));
    assert_eq!(
        client
            .text("SELECT qualified_name, doubts FROM onyx.dead_symbols ORDER BY path, start_line"),
        "app._Child.__len__|{exported,\"special name\"}\napp._Handler|{\"outside base\"}\napp._Handler._handle|{\"outside base\"}\n\
         app._alone|{}\napp._page|{decorated}\napp.main|{exported,\"entry point\"}\napp._guessed|{\"unresolved name\"}\n\
         test_app.test_it|{exported,test}"
    );
}

#[test]
fn interfaces_are_compared_by_symbol() {
    let mut client = cluster().database("interfaces");
    let mut repo = GitRepo::new();
    repo.tree.write("api.py", "class Cart:\n    def total(self):\n        return sum(self.items)\n\n    def _hidden_soon(self):\n        return 1\n\n\ndef open_cart(name):\n    cart = Cart()\n    cart.name = name\n    return cart\n\n\ndef _internal():\n    return 0\n");
    repo.tree.write("old.py", "def moved(first, second):\n    return first + second * 3\n");
    repo.commit("first");
    repo.tree.write("api.py", "class Cart:\n    def total(self, tax):\n        return sum(self.items)\n\n    def seen_soon(self):\n        return 1\n\n\ndef open_basket(name):\n    cart = Cart()\n    cart.name = name\n    return cart\n\n\ndef _internal():\n    def inner():\n        return 1\n    return inner\n\n\ndef fresh():\n    return 5\n");
    repo.tree.remove("old.py");
    repo.tree.write("new.py", "def moved(first, second):\n    return first + second * 3\n");
    repo.commit("second");
    ingest(&mut client, "api", &repo);
    let first: String = client.one("SELECT '#' || min(id) FROM onyx.commits");
    let changes = |from: &str, to: &str| {
        format!(
            "SELECT changes, from_qualified_name, to_qualified_name FROM onyx.api_changes('api', '{from}', {to})"
        )
    };
    assert_eq!(
        client.text(&changes(&first, "NULL")),
        "{exposed}|api.Cart._hidden_soon|api.Cart.seen_soon\n{signature}|api.Cart.total|api.Cart.total\n\
         {added}||api.fresh\n{renamed}|api.open_cart|api.open_basket\n{moved}|old.moved|new.moved"
    );
    assert_eq!(
        client.text(&changes("main", &format!("'{first}'"))),
        "{hidden}|api.Cart.seen_soon|api.Cart._hidden_soon\n{signature}|api.Cart.total|api.Cart.total\n\
         {removed}|api.fresh|\n{renamed}|api.open_basket|api.open_cart\n{moved}|new.moved|old.moved"
    );
    assert_eq!(client.text(&changes("main", "'main'")), "");
}
