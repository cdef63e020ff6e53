//! Protects the contract between PostgreSQL and the store under kills at random moments: whatever is
//! killed while rows are written, vacuumed and indexes built and dropped, indexes and tables are equal
//! afterwards, without a person's help.
//!
//! ROUNDS=6 kills; `make soak` has many. SEED=... repeats a run's choices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onyx_pg_test::crash::{Dice, all_ready, back, number, tidy};
use onyx_pg_test::nearest::{assert_complete, nearest, random_table, recall};
use onyx_pg_test::process;
use onyx_pg_test::{Cluster, Config, Sql};

/// Runs statements until one fails, or told to stop. Those on both sides of `;;` are sent one after the other.
fn work(cluster: &Cluster, stop: &AtomicBool, mut statement: impl FnMut(u64) -> String) {
    let Some(mut client) = cluster.session() else { return };
    for i in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Statements that lose a race (a deadlock, an index that is gone) are part of the workload; a
        // session that was killed ends.
        let failed = statement(i).split(";;").any(|part| client.batch_execute(part).is_err());
        if failed {
            if client.is_closed() {
                return;
            }
            let _ = client.batch_execute("ROLLBACK");
        }
    }
}

fn kill(cluster: &Cluster, dice: &mut Dice) -> &'static str {
    let pid_of = |sql: &str| {
        let mut client = cluster.session()?;
        client.query_opt(sql, &[]).ok().flatten().map(|row| row.get::<_, i32>(0))
    };
    let (what, pid) = match dice.roll(5) {
        0 => ("the engine", pid_of("SELECT pid FROM onyx.stat_engine WHERE pid IS NOT NULL")),
        1 => (
            "the supervisor",
            pid_of("SELECT supervisor_pid FROM onyx.stat_engine WHERE supervisor_pid IS NOT NULL"),
        ),
        2 => (
            "a backend",
            pid_of(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
                 AND pid <> pg_backend_pid() AND state <> 'idle' ORDER BY random() LIMIT 1",
            ),
        ),
        3 => {
            cluster.kill_postmaster();
            return "the postmaster";
        }
        _ => {
            cluster.stop_immediately();
            return "an immediate shutdown";
        }
    };
    if let Some(pid) = pid {
        process::kill(pid);
    }
    what
}

fn check(cluster: &Cluster, dice: &mut Dice, what: &str) {
    let mut client = back(cluster);
    tidy(&mut client, dice, "t_other, t_other_ccnew, t_v_ccnew, t_v_ccold");
    // Exact at once, whatever the indexes' state is.
    let one = "SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 10) x";
    assert_eq!(client.one::<i64>(one), 10, "after {what}");
    all_ready(&mut client, what);
    assert_eq!(client.text("SELECT * FROM onyx.check_index('t_v')"), "", "after {what}");
    assert_complete(&mut client, "t", "t_v");
    assert_eq!(client.text("SELECT * FROM onyx.check_index('u_v')"), "", "after {what}");
    let (mut sum, queries) = (0.0, 10);
    for i in 0..queries {
        let order = format!("v <-> (SELECT v FROM u ORDER BY id LIMIT 1 OFFSET {})", 37 * i);
        let found = nearest(&mut client, "u", &order, 10, false);
        let exact = nearest(&mut client, "u", &order, 10, true);
        sum += recall(&found, &exact);
    }
    assert!(sum / f64::from(queries) >= 0.9, "recall {} after {what}", sum / f64::from(queries));
    // As many rows as are ranked one by one: of more, the graph may miss some, and that is no loss. Their
    // places are used again.
    client.run("DELETE FROM t WHERE id >= 1000000");
    client.run("VACUUM t");
}

#[test]
fn kills_at_random_moments_leave_indexes_and_tables_equal() {
    let (mut dice, seed) = Dice::new();
    let cluster = Cluster::start(Config::new().durable().set("max_prepared_transactions", "10"));
    let mut client = cluster.connect();
    client.run("CREATE EXTENSION onyx CASCADE");
    cluster.wait_for_engine();
    random_table(&mut client, "t", 3, 1_200, 0.31);
    // Large enough that the graph answers, not a scan of all points.
    random_table(&mut client, "u", 24, 9_000, 0.32);
    client.run(
        "CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops);
         CREATE INDEX u_v ON u USING onyx_hnsw (v vector_l2_ops)",
    );
    drop(client);
    for round in 0..number("ROUNDS", 6) {
        let stop = AtomicBool::new(false);
        let pause = Duration::from_millis(50 + dice.roll(900));
        let what = std::thread::scope(|scope| {
            let (cluster, stop) = (&cluster, &stop);
            for writer in 0..2_u64 {
                scope.spawn(move || {
                    let base = 1_000_000 * (2 * round + writer + 1);
                    work(cluster, stop, |i| match i % 5 {
                        0 => format!(
                            "INSERT INTO t SELECT {base} + {i} * 20 + k, ARRAY[random(), random(), random()]::vector
                             FROM generate_series(1, 20) k"
                        ),
                        1 => format!("DELETE FROM t WHERE id % 97 = {}", i % 97),
                        2 => format!(
                            "BEGIN; INSERT INTO t VALUES ({base} + {i} * 20 + 900000, '[1,1,1]');
                             SAVEPOINT s; UPDATE t SET v = v * '[0.9,1,1]' WHERE id % 89 = {}; ROLLBACK TO s;
                             UPDATE t SET v = v * '[1,0.9,1]' WHERE id % 83 = {}; COMMIT",
                            i % 89,
                            i % 83
                        ),
                        3 => format!(
                            "BEGIN; UPDATE u SET v = v WHERE id % 211 = {};
                             PREPARE TRANSACTION 'p{round}_{writer}_{i}';; COMMIT PREPARED 'p{round}_{writer}_{i}'",
                            i % 211
                        ),
                        _ => format!(
                            "BEGIN; INSERT INTO t SELECT {base} + {i} * 20 + 500000 + k, '[2,2,2]'
                             FROM generate_series(1, 30) k; ROLLBACK"
                        ),
                    });
                });
            }
            scope.spawn(move || {
                work(cluster, stop, |i| {
                    let statements = [
                        "VACUUM t",
                        "CREATE INDEX CONCURRENTLY t_other ON t USING onyx_hnsw (v vector_ip_ops)",
                        "DROP INDEX IF EXISTS t_other",
                        "VACUUM u",
                        "REINDEX INDEX CONCURRENTLY t_v",
                        "REINDEX INDEX t_v",
                    ];
                    statements[(i + round) as usize % statements.len()].to_owned()
                });
            });
            std::thread::sleep(pause);
            let what = kill(cluster, &mut dice);
            std::thread::sleep(Duration::from_millis(dice.roll(200)));
            stop.store(true, Ordering::Relaxed);
            what
        });
        println!("round {round}: killed {what} after {pause:?}");
        let begun = std::time::Instant::now();
        check(&cluster, &mut dice, &format!("killing {what} in round {round} (SEED={seed})"));
        println!("  equal again after {:?}", begun.elapsed());
    }
}
