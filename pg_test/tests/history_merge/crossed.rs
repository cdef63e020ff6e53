//! Merges that crossed, so that there are several merge bases: Onyx gives what git gives.

use onyx_pg_test::{Cluster, GitRepo, Sql, clean};
use postgres::Client;

/// One history, in git and in Onyx.
struct Both {
    client: Client,
    git: GitRepo,
}

/// Four functions, each of which can be changed without touching another.
fn source(values: [u32; 4]) -> String {
    let function = |(at, value): (usize, u32)| {
        format!("def f{at}(x):\n    # the value of {at}\n    y = {value}\n    return x + y\n\n\n")
    };
    values.into_iter().enumerate().map(function).collect()
}

impl Both {
    /// Branches `main` and `side` with the file `f.py`.
    fn new(client: Client, text: &str) -> Self {
        let mut both = Self { client, git: GitRepo::new() };
        both.git.tree.write("f.py", text);
        both.git.commit("root");
        both.git.git(&["branch", "side"]);
        both.client.run(&format!("SELECT onyx.ingest_file('crossed', 'f.py', $q${text}$q$)"));
        both.client.run("SELECT onyx.branch_create('crossed', 'side')");
        both
    }

    /// A commit that has a name.
    fn commit(&mut self, branch: &str, name: &str, path: &str, text: Option<&str>) {
        self.git.git(&["checkout", "-q", branch]);
        match text {
            Some(text) => self.git.tree.write(path, text),
            None => self.git.tree.remove(path),
        }
        self.git.commit(name);
        self.git.git(&["tag", name]);
        let root = self.git.root();
        self.client.run(&format!(
            "SELECT onyx.ingest_directory('crossed', '{root}', branch => '{branch}');
             SELECT onyx.tag_create('crossed', '{name}', '{branch}')"
        ));
    }

    /// Merges a commit into a branch; conflicts are decided for one side.
    fn merge(&mut self, branch: &str, commit: &str, strategy: &str) {
        self.git.git(&["checkout", "-q", branch]);
        self.git.git(&["merge", "-q", "--no-ff", "-X", strategy, "-m", "merge", commit]);
        self.client.run(&format!(
            "SELECT onyx.merge('crossed', '{commit}', '{branch}', strategy => '{strategy}')"
        ));
        self.assert_like_git(branch, branch);
    }

    /// Whether a branch has what a commit of git has.
    #[track_caller]
    fn assert_like_git(&mut self, branch: &str, commit: &str) {
        let tree = self.git.checkout(commit);
        clean::ingest_clean(&mut self.client, &tree);
        clean::assert_clean_nodes(&mut self.client, "crossed", branch);
    }

    /// Merges `side` into `main`, as far as that goes without conflicts, and goes back.
    #[track_caller]
    fn assert_merge_like_git(&mut self, what: &str) {
        let merged = self.git.merged("main", "side");
        let commits = "SELECT count(*) FROM onyx.commits";
        let before: i64 = self.client.one(commits);
        self.client.run("BEGIN");
        let said = self
            .client
            .text("SELECT fast_forward, conflicts > 0 FROM onyx.merge('crossed', 'side', 'main')");
        assert_eq!(said, if merged.is_some() { "f|f" } else { "f|t" }, "{what}");
        // Of the base nothing is left.
        let left = i64::from(merged.is_some());
        assert_eq!(self.client.one::<i64>(commits), before + left, "{what}");
        assert_eq!(
            self.client.text("SELECT name FROM onyx.branches WHERE repo_id = (SELECT id FROM onyx.repos WHERE name = 'crossed') ORDER BY 1"),
            "main\nside"
        );
        if let Some(tree) = merged {
            clean::ingest_clean(&mut self.client, &tree);
            clean::assert_clean_nodes(&mut self.client, "crossed", "main");
            clean::assert_shown(&mut self.client, "crossed", what);
        }
        self.client.run("ROLLBACK");
        clean::assert_shown(&mut self.client, "crossed", what);
    }
}

fn crossed(cluster: &Cluster, name: &str, root: &str) -> Both {
    Both::new(cluster.database(name), root)
}

/// Both sides have both commits `a1` and `b1`.
fn cross(both: &mut Both, strategies: [&str; 2]) {
    both.merge("main", "b1", strategies[0]);
    both.merge("side", "a1", strategies[1]);
}

/// An error while the base is made is caught as any other, and undoes no more than that.
#[test]
fn a_base_that_cannot_be_made_ends_the_merge_alone() {
    let cluster = Cluster::ready();
    let mut both = crossed(&cluster, "refused", &source([0, 0, 0, 0]));
    both.commit("main", "a1", "f.py", Some(&source([1, 0, 0, 0])));
    both.commit("side", "b1", "f.py", Some(&source([0, 1, 0, 0])));
    cross(&mut both, ["ours", "ours"]);
    both.commit("main", "a2", "f.py", Some(&source([1, 1, 2, 0])));
    both.commit("side", "b2", "f.py", Some(&source([1, 1, 0, 2])));
    both.client.run(
        "CREATE TABLE done (what text);
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $f$
             BEGIN RAISE EXCEPTION 'no branch %', NEW.name; END $f$;
         CREATE TRIGGER refuse BEFORE INSERT ON onyx.branches FOR EACH ROW EXECUTE FUNCTION refuse();
         DO $do$
         BEGIN
             INSERT INTO done VALUES ('before');
             BEGIN
                 INSERT INTO done VALUES ('with the merge');
                 PERFORM onyx.merge('crossed', 'side', 'main');
             EXCEPTION WHEN raise_exception THEN
                 INSERT INTO done VALUES (SQLERRM);
             END;
             INSERT INTO done VALUES ('behind');
         END $do$;
         DROP TRIGGER refuse ON onyx.branches",
    );
    assert_eq!(both.client.text("SELECT what FROM done"), "before\nno branch #merge-base\nbehind");
    both.assert_merge_like_git("after an error");
}

#[test]
fn merges_that_crossed_are_merged_as_git_merges_them() {
    let cluster = Cluster::ready();

    // Each side undoes what came from the other: on either of the bases one of that is lost.
    let mut both = crossed(&cluster, "undone", &source([0, 0, 0, 0]));
    both.commit("main", "a1", "f.py", Some(&source([1, 0, 0, 0])));
    both.commit("side", "b1", "f.py", Some(&source([0, 1, 0, 0])));
    cross(&mut both, ["ours", "ours"]);
    both.commit("main", "a2", "f.py", Some(&source([1, 0, 0, 2])));
    both.commit("side", "b2", "f.py", Some(&source([0, 1, 0, 0])));
    both.assert_merge_like_git("what was undone stays undone");
    // Once more: the bases have several bases themselves.
    both.merge("main", "b2", "ours");
    both.merge("side", "a2", "ours");
    both.commit("main", "a3", "f.py", Some(&source([0, 0, 3, 2])));
    both.commit("side", "b3", "f.py", Some(&source([0, 0, 0, 0])));
    both.assert_merge_like_git("bases of bases");

    // Both changed one thing; each kept its own: that is not decided.
    let mut both = crossed(&cluster, "disputed", &source([0, 0, 0, 0]));
    both.commit("main", "a1", "f.py", Some(&source([1, 0, 0, 0])));
    both.commit("side", "b1", "f.py", Some(&source([2, 0, 0, 0])));
    cross(&mut both, ["ours", "ours"]);
    both.assert_merge_like_git("each kept its own");
    // Where both decided alike, it is.
    let mut both = crossed(&cluster, "agreed", &source([0, 0, 0, 0]));
    both.commit("main", "a1", "f.py", Some(&source([1, 0, 0, 0])));
    both.commit("side", "b1", "f.py", Some(&source([2, 0, 0, 0])));
    cross(&mut both, ["ours", "theirs"]);
    both.commit("side", "b2", "f.py", Some(&source([1, 0, 5, 0])));
    both.assert_merge_like_git("both decided alike");

    // A file that one renamed and the other changed.
    let mut both = crossed(&cluster, "renamed", &source([0, 0, 0, 0]));
    both.git.git(&["checkout", "-q", "main"]);
    both.git.tree.rename("f.py", "g/f.py");
    both.commit("main", "a1", "g/f.py", Some(&source([0, 0, 0, 0])));
    both.commit("side", "b1", "f.py", Some(&source([0, 1, 0, 0])));
    cross(&mut both, ["ours", "ours"]);
    both.commit("main", "a2", "g/f.py", Some(&source([0, 0, 1, 0])));
    both.commit("side", "b2", "g/f.py", Some(&source([0, 1, 0, 1])));
    both.assert_merge_like_git("a renamed file");
}
