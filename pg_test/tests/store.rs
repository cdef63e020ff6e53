//! Protects against a lost or damaged store: it costs time, never data, and the indexes come back by
//! themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use onyx_pg_test::nearest::{assert_complete, random_table};
use onyx_pg_test::{Cluster, Config, Sql, eventually, install};
use postgres::Client;

fn prepared() -> Cluster {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    random_table(&mut client, "t", 3, 1_500, 0.4);
    client.run(
        "CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops); SELECT onyx.embed('a text')",
    );
    cluster
}

#[track_caller]
fn assert_back(cluster: &Cluster) {
    let mut client = cluster.connect();
    // Right at once, whatever the index's state is.
    let sql = "SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = 77) LIMIT 1";
    assert_eq!(client.one::<i32>(sql), 77);
    wait_until_ready(&mut client);
    assert_complete(&mut client, "t", "t_v");
    client.run("SELECT onyx.embed('a text')");
}

#[track_caller]
fn wait_until_ready(client: &mut Client) {
    eventually("all indexes ready again", Duration::from_secs(40), || {
        (client.text("SELECT DISTINCT state FROM onyx.stat_index") == "ready").then_some(())
    });
}

/// Files of the store whose names begin so.
fn files(store: &Path, beginning: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![store.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the store").filter_map(Result::ok) {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with(beginning) {
                found.push(entry.path());
            }
        }
    }
    assert!(!found.is_empty(), "no {beginning}* in {}", store.display());
    found
}

fn garble(path: &Path) {
    let length = fs::metadata(path).expect("a file").len();
    fs::write(path, vec![0xa5; length.max(64) as usize]).expect("garbage");
}

#[test]
fn a_damaged_store_is_moved_aside_and_derived_again() {
    let cluster = prepared();
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 3] = [
        ("CURRENT garbled", |store| garble(&files(store, "CURRENT")[0])),
        ("MANIFEST truncated", |store| {
            for file in files(store, "MANIFEST") {
                fs::write(file, "").expect("an empty file");
            }
        }),
        ("CURRENT and MANIFEST gone", |store| {
            for file in files(store, "MANIFEST").into_iter().chain(files(store, "CURRENT")) {
                fs::remove_file(file).expect("no file");
            }
        }),
    ];
    for (name, damage) in damages {
        println!("{name}");
        cluster.stop();
        let before = cluster.log().len();
        damage(&cluster.store());
        cluster.start_again();
        assert_back(&cluster);
        let beside = fs::read_dir(cluster.data().join("pgsql_tmp_onyx"))
            .expect("the store's directory")
            .filter_map(Result::ok)
            .filter(|e| e.file_name().to_string_lossy().contains("damaged"))
            .count();
        println!("{beside} stores moved aside\n{}", &cluster.log()[before..]);
    }
}

#[test]
fn a_store_that_was_deleted_comes_back() {
    let cluster = prepared();
    cluster.stop();
    fs::remove_dir_all(cluster.data().join("pgsql_tmp_onyx")).expect("no store");
    cluster.start_again();
    assert_back(&cluster);
}

/// The store lies outside the data directory, and only that is put back: the store has a day the server
/// never had.
#[test]
fn a_server_put_back_to_yesterday_does_not_believe_its_store() {
    let cluster = prepared();
    let (outside, yesterday) = (cluster.host().join("store"), cluster.host().join("yesterday"));
    cluster.stop();
    cluster.configure("onyx.store_path", &outside.display().to_string());
    cluster.start_again();
    cluster.wait_for_engine();
    wait_until_ready(&mut cluster.connect());
    cluster.stop();
    copy(&cluster.data(), &yesterday);
    for round in 0..2 {
        cluster.start_again();
        cluster.wait_for_engine();
        let mut client = cluster.connect();
        wait_until_ready(&mut client);
        client.run(&format!(
            "INSERT INTO t SELECT 5000 + i, ARRAY[3 + {round}, i / 100.0, 0]::vector FROM generate_series(1, 400) i"
        ));
        assert_complete(&mut client, "t", "t_v");
        drop(client);
        cluster.stop();
        fs::remove_dir_all(cluster.data()).expect("no data directory");
        copy(&yesterday, &cluster.data());
    }
    cluster.start_again();
    cluster.wait_for_engine();
    let mut client = cluster.connect();
    wait_until_ready(&mut client);
    // Other rows take the places the lost ones had.
    client.run(
        "INSERT INTO t SELECT 7000 + i, ARRAY[-3, i / 100.0, 0]::vector FROM generate_series(1, 300) i",
    );
    assert_complete(&mut client, "t", "t_v");
    let far = "SELECT count(*) FROM (SELECT v FROM t ORDER BY v <-> '[4,2,0]' LIMIT 5) x WHERE v <-> '[4,2,0]' < 1";
    assert_eq!(client.one::<i64>(far), 0);
}

/// What a day may bring: a vacuum, whose places other rows take; or rows alone.
#[test]
fn a_store_put_back_from_yesterday_is_not_believed() {
    put_back(
        "INSERT INTO t VALUES (9001, '[3,3,3]'); DELETE FROM t WHERE id <= 500;
         VACUUM t;
         INSERT INTO t SELECT i, ARRAY[2, i / 1000.0, 0]::vector FROM generate_series(1, 500) i",
    );
    put_back("INSERT INTO t VALUES (9001, '[3,3,3]')");
    put_back(
        "BEGIN; INSERT INTO t SELECT i, ARRAY[2, i / 1000.0, 0]::vector FROM generate_series(9001, 11000) i;
         SAVEPOINT s; INSERT INTO t VALUES (9000, '[3,3,3]'); ROLLBACK TO s; COMMIT",
    );
}

fn put_back(day: &str) {
    let cluster = prepared();
    cluster.stop();
    let yesterday = cluster.data().join("yesterday");
    copy(&cluster.store(), &yesterday);
    cluster.start_again();
    cluster.wait_for_engine();
    let mut client = cluster.connect();
    wait_until_ready(&mut client);
    for statement in day.split(";\n") {
        client.wait_for_other_snapshots();
        client.run(statement);
    }
    assert_complete(&mut client, "t", "t_v");
    drop(client);
    cluster.stop();
    fs::remove_dir_all(cluster.store()).expect("no store");
    copy(&yesterday, &cluster.store());
    cluster.start_again();
    cluster.wait_for_engine();
    let mut client = cluster.connect();
    wait_until_ready(&mut client);
    assert_complete(&mut client, "t", "t_v");
}

fn copy(from: &Path, to: &Path) {
    let status = install::command("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(status.success());
}

#[test]
fn checkpoint_store_makes_a_copy_that_serves() {
    let cluster = prepared();
    let copy = cluster.data().join("store-copy");
    let mut client = cluster.connect();
    client.run(&format!("SELECT onyx.checkpoint_store('{}')", copy.display()));
    let error = client.error(&format!("SELECT onyx.checkpoint_store('{}')", copy.display()));
    assert!(
        error.message().contains("store-copy")
            || error.detail().is_some_and(|d| d.contains("store-copy")),
        "{error:?}"
    );
    client.run("CREATE ROLE somebody; SET ROLE somebody");
    assert_eq!(client.error("SELECT onyx.checkpoint_store('/tmp/x')").code().code(), "42501");
    drop(client);
    cluster.stop();
    cluster.configure("onyx.store_path", &copy.display().to_string());
    cluster.start_again();
    cluster.wait_for_engine();
    let mut client = cluster.connect();
    assert_eq!(client.one::<i64>("SELECT embeddings FROM onyx.stat_engine"), 1);
    wait_until_ready(&mut client);
    assert_complete(&mut client, "t", "t_v");
}

/// A file system of a few megabytes, as long as the value lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(path: PathBuf, size: &str) -> Option<Self> {
        if !install::is_root() {
            return None;
        }
        fs::create_dir(&path).expect("a mount point");
        let mounted =
            mount(&["-t", "tmpfs", "-o", &format!("size={size},mode=0777"), "onyx-test"], &path);
        mounted.then_some(Self(path))
    }

    /// Leaves as many free bytes.
    fn fill(&self, free: u64) {
        let stat = rustix::fs::statvfs(&self.0).expect("the file system's state");
        let bytes = (stat.f_bavail * stat.f_frsize).saturating_sub(free);
        fs::write(self.0.join("filler"), vec![0; bytes as usize]).expect("a filler");
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).expect("a filler");
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    Command::new("mount").args(arguments).arg(path).status().is_ok_and(|s| s.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_for_the_store_stops_no_write_and_loses_nothing() {
    let path = onyx_pg_test::cluster::base_directory().join("disk");
    let Some(disk) = SmallDisk::new(path.clone(), "200M") else {
        println!(
            "SKIPPED: only root can mount a small file system, and only where mounts are allowed"
        );
        return;
    };
    let store = path.join("store");
    let cluster =
        Cluster::start(Config::new().set("onyx.store_path", &store.display().to_string()));
    let mut client = cluster.connect();
    client.run(
        "CREATE EXTENSION onyx CASCADE;
         CREATE TABLE t (id int PRIMARY KEY, v vector(1000));
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops); SELECT onyx.embed('kept')",
    );
    disk.fill(100_000);
    let state = "SELECT state FROM onyx.stat_index WHERE indexname = 't_v'";
    // RocksDB reserves space for its log; that has to be written full.
    let mut rows: i64 = 0;
    while client.text(state) == "ready" {
        assert!(rows < 20_000, "the disk does not get full");
        client.run(&format!(
            "INSERT INTO t SELECT i, array_fill(random()::real, ARRAY[1000])::vector
             FROM generate_series({rows} + 1, {rows} + 500) i"
        ));
        rows += 500;
    }
    println!(
        "full after {rows} rows: {}",
        client.text("SELECT indexname, state, reason FROM onyx.stat_index")
    );
    client
        .run("INSERT INTO t SELECT 100000, v FROM t WHERE id = 500; DELETE FROM t WHERE id = 500");
    assert_eq!(client.one::<i64>("SELECT count(*) FROM t"), rows);
    let nearest = "SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = 100000) LIMIT 1";
    assert_eq!(client.one::<i32>(nearest), 100_000);
    println!("{}", client.text("SELECT state, last_error FROM onyx.stat_engine"));

    disk.empty();
    eventually("the index rebuilt after there is room", Duration::from_secs(60), || {
        (client.text(state) == "ready").then_some(())
    });
    assert_eq!(client.text("SELECT * FROM onyx.check_index('t_v')"), "");
    client.run("SET onyx.ef_search = 1000");
    assert!(client.explain(nearest).contains("t_v"));
    assert_eq!(client.one::<i32>(nearest), 100_000);
    client.run("SELECT onyx.embed('kept'), onyx.embed('new')");
    assert_eq!(client.one::<i64>("SELECT embeddings FROM onyx.stat_engine"), 2);
    drop(client);
    drop(cluster);
    drop(disk);
}
