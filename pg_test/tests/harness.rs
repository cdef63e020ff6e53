//! Protects the tests' own ground: servers start, stop, crash and go away with their test.

use onyx_pg_test::{Cluster, Config, Sql, install, process};

#[test]
fn a_server_survives_a_killed_postmaster_with_its_data() {
    let cluster = Cluster::start(Config::new().not_preloaded());
    let mut client = cluster.connect();
    client.run("CREATE TABLE t AS SELECT generate_series(1, 10) AS i");
    let postmaster = cluster.postmaster_pid();
    assert!(process::is_alive(postmaster));
    drop(client);

    cluster.kill_postmaster();
    assert!(!process::is_alive(postmaster));
    cluster.start_again();
    assert_eq!(cluster.connect().one::<i64>("SELECT count(*) FROM t"), 10);
    assert!(cluster.log().contains("database system was not properly shut down"));

    cluster.stop();
    cluster.start_again();
    assert_eq!(cluster.connect().one::<i64>("SELECT count(*) FROM t"), 10);
    let data = cluster.data();
    drop(cluster);
    assert!(!data.exists());
}

#[test]
fn errors_carry_what_the_server_said() {
    let cluster = Cluster::start(Config::new().not_preloaded());
    let (mut client, notices) = cluster.connect_hearing("postgres");
    let error = client.error("SELECT 1 / 0");
    assert_eq!(error.code().code(), "22012");
    client.run("DO $$ BEGIN RAISE WARNING 'take care'; END $$");
    assert_eq!(notices.take("WARNING")[0].message(), "take care");
    assert_eq!(client.text("SELECT 1, NULL, 'x' UNION ALL SELECT 2, 'y', 'z'"), "1||x\n2|y|z");
    assert_eq!(
        client.one::<i32>("SELECT current_setting('server_version_num')::int / 10000"),
        install::major_version() as i32
    );
}
