//! Protects sessions from each other: PostgreSQL's own isolationtester runs the steps of
//! `isolation/specs/*.spec` in their orders, and what it prints is what `isolation/expected` has.
//! ONYX_TEST_ACCEPT=1 writes what it prints there instead.

use std::path::{Path, PathBuf};

use onyx_pg_test::{Cluster, Config, Sql, install};

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("isolation").join(name)
}

/// It comes with the server's build files.
fn tester() -> Option<PathBuf> {
    let makefile = install::ask("--pgxs");
    let path = makefile.parent()?.parent()?.join("test/isolation/isolationtester");
    path.is_file().then_some(path)
}

#[test]
fn sessions_see_of_each_other_what_they_should() {
    let Some(tester) = tester() else {
        println!("SKIPPED: the server has no isolationtester");
        return;
    };
    let cluster = Cluster::start(Config::new());
    let mut specs: Vec<PathBuf> = std::fs::read_dir(directory("specs"))
        .expect("specs")
        .map(|file| file.expect("a spec").path())
        .collect();
    specs.sort();
    assert!(specs.len() >= 3);
    let mut wrong = Vec::new();
    for spec in specs {
        let name = spec.file_stem().expect("a name").to_string_lossy().into_owned();
        let database = name.replace('-', "_");
        drop(cluster.database(&database));
        let conninfo = format!("host={} user=postgres dbname={database}", cluster.host().display());
        // The checkout may be closed to the server's user, under whom this runs.
        let input = std::fs::read(&spec).expect("a spec");
        let copy = cluster.host().join(format!("{name}.spec"));
        std::fs::write(&copy, input).expect("a copy");
        let output = install::command(&tester)
            .arg(conninfo)
            .stdin(std::fs::File::open(&copy).expect("a copy"))
            .output()
            .expect("isolationtester");
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected = directory("expected").join(format!("{name}.out"));
        if std::env::var_os("ONYX_TEST_ACCEPT").is_some() {
            std::fs::write(&expected, &found).expect("an expected output");
        }
        if found != std::fs::read_to_string(&expected).unwrap_or_default() {
            wrong.push(format!("--- {name}\n{found}"));
        }
        assert_eq!(
            cluster.connect_to(&database).text("SELECT DISTINCT state FROM onyx.stat_index"),
            "ready"
        );
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}
