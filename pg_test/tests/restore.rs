//! Protects indexes of servers put together from copies: base backups, archived WAL, dumps, and copies
//! of everything taken while the server runs. Whatever store such a server finds, it answers rightly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onyx_pg_test::nearest::{assert_complete, random_table};
use onyx_pg_test::{Cluster, Config, Sql, eventually, install};
use postgres::Client;

#[track_caller]
fn wait_until_ready(client: &mut Client) {
    eventually("all indexes ready", Duration::from_secs(40), || {
        (client.text("SELECT DISTINCT state FROM onyx.stat_index") == "ready").then_some(())
    });
}

/// Right before the index is back, and after.
#[track_caller]
fn assert_right(client: &mut Client, nearest: i32) {
    let near = "SELECT id FROM t ORDER BY v <-> '[7,7,7]' LIMIT 1";
    assert_eq!(client.one::<i32>(near), nearest);
    let exact = "SELECT id FROM t ORDER BY (v <-> '[0.3,0.1,0.2]') + 0 LIMIT 5";
    let by_index = "SELECT id FROM t ORDER BY v <-> '[0.3,0.1,0.2]' LIMIT 5";
    assert_eq!(client.text(by_index), client.text(exact));
    wait_until_ready(client);
    assert_eq!(client.one::<i32>(near), nearest);
    assert_complete(client, "t", "t_v");
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

fn copy(from: &Path, to: &Path) {
    run(install::command("cp").arg("-a").arg(from).arg(to));
}

fn directory_for_server(path: PathBuf) -> PathBuf {
    fs::create_dir(&path).expect("a directory");
    install::give_to_server(&path);
    path
}

/// Point-in-time recovery from one base backup to several points, each beside no store and beside one
/// that has everything up to the end of the history, which the recovered server never had.
#[test]
fn recovery_to_points_before_and_after_a_vacuum() {
    let primary =
        Cluster::start(Config::new().set("archive_mode", "on").set("wal_level", "replica"));
    let archive = directory_for_server(primary.host().join("archive"));
    primary.configure("archive_command", &format!("cp %p {}/%f", archive.display()));
    let mut client = primary.connect();
    client.run("SELECT pg_reload_conf(); CREATE EXTENSION onyx CASCADE");
    primary.wait_for_engine();
    random_table(&mut client, "t", 3, 1_500, 0.61);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops)");
    let backup = primary.base_backup();
    client.run("INSERT INTO t VALUES (5001, '[7,7,7]')");
    client.run("SELECT pg_create_restore_point('before_delete')");
    client.run("DELETE FROM t WHERE id <= 500 OR id = 5001");
    client.wait_for_other_snapshots();
    client.run("SELECT pg_create_restore_point('before_vacuum')");
    client.run("VACUUM t");
    client.run("INSERT INTO t SELECT 6000 + i, ARRAY[2, i / 500.0, 0]::vector FROM generate_series(1, 500) i");
    client.run("INSERT INTO t VALUES (5002, '[6,7,7]')");
    client.run("SELECT pg_create_restore_point('after_vacuum')");
    client.run(
        "INSERT INTO t SELECT 7000 + i, ARRAY[7, 7, i / 100.0]::vector FROM generate_series(1, 800) i",
    );
    let nearest_before_vacuum: i32 =
        client.one("SELECT id FROM t WHERE id <= 1500 ORDER BY (v <-> '[7,7,7]') + 0 LIMIT 1");
    let last: String = client.text("SELECT pg_walfile_name(pg_switch_wal())");
    eventually("the archive", Duration::from_secs(20), || {
        archive.join(&last).exists().then_some(())
    });
    drop(client);
    primary.stop();
    let future = primary.store();

    for (point, nearest) in [
        ("before_delete", 5_001),
        ("before_vacuum", nearest_before_vacuum),
        ("after_vacuum", 5_002),
    ] {
        for with_store in [false, true] {
            let name = if with_store { "future" } else { "none" };
            println!("{point}, store: {name}");
            let server = backup.twin();
            if with_store {
                let place = directory_for_server(server.data().join("pgsql_tmp_onyx"));
                copy(&future, &place.join("store"));
            }
            server.configure("restore_command", &format!("cp {}/%f %p", archive.display()));
            server.configure("recovery_target_name", point);
            server.configure("recovery_target_action", "promote");
            server.configure("archive_mode", "off");
            fs::File::create(server.data().join("recovery.signal")).expect("recovery.signal");
            server.start_again();
            let mut there = server.connect();
            eventually("the promotion", Duration::from_secs(30), || {
                (!there.one::<bool>("SELECT pg_is_in_recovery()")).then_some(())
            });
            server.wait_for_engine();
            let expected = if point == "after_vacuum" { 1_501 } else { 1_000 };
            let count: i64 = there.one("SELECT count(*) FROM t");
            assert_eq!(count, if point == "before_delete" { 1_501 } else { expected });
            assert_right(&mut there, nearest);
            // Rows of this history in the places that those of the other one had.
            there.run(
                "INSERT INTO t SELECT 9000 + i, ARRAY[-3, i / 100.0, 0]::vector FROM generate_series(1, 900) i",
            );
            assert_complete(&mut there, "t", "t_v");
            let lost = "SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> '[7,7,4]' LIMIT 50) x WHERE id BETWEEN 7001 AND 7800";
            assert_eq!(there.one::<i64>(lost), 0);
        }
    }
}

/// Files change while they are copied, the store's among them, which no protocol with the server protects.
#[test]
fn a_copy_of_a_running_cluster_answers_rightly() {
    let original = Cluster::start(Config::new().durable().set("wal_keep_size", "1GB"));
    let mut client = original.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    original.wait_for_engine();
    random_table(&mut client, "t", 3, 1_500, 0.62);
    client.run("CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops); INSERT INTO t VALUES (5001, '[7,7,7]')");
    let stop = AtomicBool::new(false);
    let copies: Vec<Cluster> = std::thread::scope(|scope| {
        for writer in 0..2 {
            let (original, stop) = (&original, &stop);
            scope.spawn(move || {
                let mut client = original.connect();
                for i in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let base = 100_000 * (writer + 1) + 10 * i;
                    client.run(&format!(
                        "INSERT INTO t SELECT {base} + k, ARRAY[random(), random(), random()]::vector FROM generate_series(0, 4) k;
                         DELETE FROM t WHERE id % 101 = {} AND id <> 5001",
                        i % 101
                    ));
                    if writer == 0 && i % 20 == 0 {
                        client.run("VACUUM t");
                    }
                }
            });
        }
        let copies = (0..2).map(|_| {
            std::thread::sleep(Duration::from_millis(400));
            client.run("SELECT pg_backup_start('copy', true)");
            let copy = original.copy_running();
            let label: String = client.text("SELECT labelfile FROM pg_backup_stop(false)");
            fs::write(copy.data().join("backup_label"), label).expect("a label");
            install::give_to_server(&copy.data().join("backup_label"));
            copy
        });
        let copies = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| copies.collect()));
        stop.store(true, Ordering::Relaxed);
        copies.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    for copy in &copies {
        assert!(copy.store().exists(), "otherwise this would protect nothing");
        // Its log goes on to a later moment than any of its files, the store's included.
        run(install::command("cp")
            .arg("-a")
            .arg(original.data().join("pg_wal/."))
            .arg(copy.data().join("pg_wal")));
        copy.start_again();
        copy.wait_for_engine();
        let mut there = copy.connect();
        assert_right(&mut there, 5_001);
        there.run(
            "INSERT INTO t SELECT 9000 + i, ARRAY[-3, i / 100.0, 0]::vector FROM generate_series(1, 900) i",
        );
        there.run("VACUUM t");
        assert_complete(&mut there, "t", "t_v");
    }
}

#[test]
fn dumps_restore_indexes_even_without_the_engine() {
    let cluster = Cluster::ready();
    let mut client = cluster.connect();
    random_table(&mut client, "t", 3, 1_500, 0.63);
    client.run(
        "INSERT INTO t VALUES (5001, '[7,7,7]');
         CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops) WITH (m = 12, quantization = sq8)",
    );
    let dump = cluster.host().join("dump.sql");
    let host = cluster.host().display().to_string();
    run(install::command(install::program("pg_dump"))
        .args(["-U", "postgres", "-h", &host, "-f"])
        .arg(&dump)
        .arg("postgres"));
    for (name, engine) in [("restored", true), ("without_engine", false)] {
        if !engine {
            cluster.disable_engine();
        }
        client.run(&format!("CREATE DATABASE {name}"));
        run(install::command(install::program("psql"))
            .args([
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-h",
                &host,
                "-d",
                name,
                "-f",
            ])
            .arg(&dump)
            .stdout(Stdio::null()));
        let mut there = cluster.connect_to(name);
        there.run("ANALYZE t");
        let options = "SELECT reloptions FROM pg_class WHERE relname = 't_v'";
        assert_eq!(there.text(options), "{m=12,quantization=sq8}");
        if !engine {
            let near = "SELECT id FROM t ORDER BY v <-> '[7,7,7]' LIMIT 1";
            assert_eq!(there.one::<i32>(near), 5_001);
            cluster.enable_engine();
        }
        assert_right(&mut there, 5_001);
    }
}
