//! Protects the contract between PostgreSQL and the store under kills at every step of insert, commit, vacuum,
//! build, drop and recovery: a process stands still at the step, one is killed, and afterwards indexes and tables
//! are equal, without a person's help.
//!
//! A few cases in each run; STEPS=all has every step with every victim, `STEPS=insert.written,save.part` those of
//! some steps. SEED=... repeats a run's choices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onyx_pg_test::crash::{Dice, all_ready, back, tidy};
use onyx_pg_test::nearest::{distances, nearest, random_table, recall};
use onyx_pg_test::process::{self, Signal};
use onyx_pg_test::{Cluster, Config, Sql, eventually};
use postgres::Client;

use Victim::{Backend, Engine, Postmaster, Supervisor};
use Work::{
    Abort, Build, Concurrent, Drop, Flush, Insert, Prepare, Rebuild, Recover, Repair, Restart,
    Vacuum,
};

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Rows of both tables are inserted and committed.
    Insert,
    /// The same, prepared for a two-phase commit.
    Prepare,
    /// So many that some are sent before the commit.
    Flush,
    /// The same, rolled back.
    Abort,
    /// Rows of the small table are removed, and their entries.
    Vacuum,
    /// So many of the large table's that its graph is repaired.
    Repair,
    /// An index of the large table is made.
    Build,
    /// One of the small table is made anew, concurrently.
    Concurrent,
    /// One is stale and maintenance makes it anew.
    Rebuild,
    /// One is dropped.
    Drop,
    /// The engine starts again.
    Restart,
    /// It does after a crash that lost rows whose entries it has.
    Recover,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Engine,
    Supervisor,
    /// The process at the step if it is a session or a worker, else the session that wanted it.
    Backend,
    Postmaster,
}

const VICTIMS: [Victim; 4] = [Engine, Supervisor, Backend, Postmaster];

/// All steps: the name, the work that comes to it, and how often it does, at least.
const STEPS: &[(&str, Work, u64)] = &[
    ("commit.begun", Insert, 2),
    ("commit.sent", Insert, 2),
    ("commit.noted", Insert, 2),
    ("commit.done", Insert, 1),
    ("insert.write", Insert, 2),
    ("insert.written", Insert, 2),
    ("insert.kept", Insert, 2),
    ("insert.synced", Insert, 2),
    ("link.begun", Insert, 100),
    ("link.halfway", Insert, 100),
    ("commit.sent", Prepare, 2),
    ("commit.noted", Prepare, 2),
    ("commit.done", Prepare, 1),
    ("flush.sent", Flush, 1),
    ("abort.begun", Abort, 1),
    ("vacuum.listed", Vacuum, 1),
    ("vacuum.flushed", Vacuum, 1),
    ("vacuum.deleted", Vacuum, 1),
    ("vacuum.noted", Vacuum, 1),
    ("vacuum.cleanup", Vacuum, 1),
    ("delete.write", Vacuum, 1),
    ("delete.written", Vacuum, 1),
    ("delete.kept", Vacuum, 1),
    ("delete.synced", Vacuum, 1),
    ("repair.begun", Repair, 1),
    ("repair.gap", Repair, 500),
    ("repair.unlinked", Repair, 1),
    ("repair.released", Repair, 1),
    ("build.begun", Build, 1),
    ("create.written", Build, 1),
    ("create.synced", Build, 1),
    ("build.created", Build, 1),
    ("insert.write", Build, 4),
    ("insert.written", Build, 4),
    ("insert.kept", Build, 4),
    ("link.halfway", Build, 5_000),
    ("build.batch", Build, 4),
    ("build.sent", Build, 1),
    ("finish.linked", Build, 1),
    ("save.part", Build, 8),
    ("save.flushed", Build, 1),
    ("save.written", Build, 1),
    ("save.published", Build, 1),
    ("finish.saved", Build, 1),
    ("finish.flushed", Build, 1),
    ("finish.written", Build, 1),
    ("finish.synced", Build, 1),
    ("build.finished", Build, 1),
    ("build.noted", Build, 1),
    ("build.finished", Concurrent, 1),
    ("build.noted", Concurrent, 1),
    ("drop.noticed", Concurrent, 1),
    ("stale.marked", Rebuild, 1),
    ("rebuild.begun", Rebuild, 1),
    ("drop.noticed", Drop, 1),
    ("drop.ended", Drop, 1),
    ("sweep.listed", Drop, 1),
    ("drop.write", Drop, 1),
    ("drop.written", Drop, 1),
    ("drop.reclaim", Drop, 1),
    ("sweep.dropped", Drop, 1),
    ("engine.start", Restart, 1),
    ("engine.started", Restart, 1),
    ("start.opened", Restart, 1),
    ("start.listening", Restart, 1),
    ("load.recovered", Restart, 4),
    ("load.restored", Restart, 4),
    ("load.chunk", Restart, 8),
    ("load.ready", Restart, 4),
    ("engine.ready", Restart, 1),
    ("recover.deleted", Recover, 1),
    ("recover.written", Recover, 1),
];

/// The cases of every run.
const FEW: &[(&str, Work, Victim)] = &[
    ("commit.sent", Insert, Postmaster),
    ("commit.noted", Insert, Backend),
    ("insert.written", Insert, Engine),
    ("commit.noted", Prepare, Postmaster),
    ("vacuum.flushed", Vacuum, Postmaster),
    ("vacuum.deleted", Vacuum, Backend),
    ("delete.written", Vacuum, Engine),
    ("repair.gap", Repair, Engine),
    ("repair.released", Repair, Postmaster),
    ("link.halfway", Build, Backend),
    ("save.flushed", Build, Engine),
    ("finish.flushed", Build, Engine),
    ("build.finished", Build, Postmaster),
    ("drop.noticed", Concurrent, Backend),
    ("drop.written", Drop, Engine),
    ("sweep.listed", Drop, Postmaster),
    ("load.chunk", Restart, Supervisor),
    ("recover.deleted", Recover, Engine),
];

const T_ROWS: u32 = 1_200;
/// Enough that the graph answers, not a scan of all points.
const U_ROWS: u32 = 9_000;

/// A vector of pseudo-random numbers, another one for each row.
fn random(dimensions: u32) -> String {
    format!(
        "(SELECT array_agg(2 * random() - 1) FROM generate_series(1, {dimensions} + 0 * k))::vector"
    )
}

fn is_engine(pid: i32) -> bool {
    process::title(pid).contains("onyx-engine")
}

fn find(cluster: &Cluster, is: impl Fn(&str) -> bool) -> Option<i32> {
    cluster.processes().into_iter().find(|pid| is(&process::title(*pid)))
}

/// Has the server's processes and the engine stop at a step, or at none.
fn set_everywhere(cluster: &Cluster, setting: &str) {
    cluster.configure("onyx.debug_stop_at", setting);
    if cluster.is_running() {
        process::signal(cluster.postmaster_pid(), Signal::HUP);
    }
}

/// The same, and waits until the engine has heard of it, which the supervisor tells it.
fn set_and_wait(cluster: &Cluster, setting: &str) {
    let before = cluster.log().len();
    set_everywhere(cluster, setting);
    let line = format!("stops at {setting}");
    eventually("the engine to know where to stop", Duration::from_secs(20), || {
        cluster.log().get(before..)?.contains(&line).then_some(())
    });
}

/// Kills the engine and keeps it from coming back.
fn keep_engine_away(cluster: &Cluster) {
    let before = cluster.log().len();
    cluster.configure("onyx.engine_path", "/nowhere/onyx-engine");
    process::signal(cluster.postmaster_pid(), Signal::HUP);
    eventually("the end of the engine", Duration::from_secs(30), || {
        if let Some(engine) = find(cluster, |title| title.contains("onyx-engine")) {
            process::signal(engine, Signal::KILL);
        }
        cluster.log().get(before..)?.contains("/nowhere/onyx-engine").then_some(())
    });
}

/// Waits until a process stands still; its id.
fn wait_for_halt(cluster: &Cluster, what: &str) -> i32 {
    let halted = || cluster.processes().into_iter().find(|pid| process::is_stopped(*pid));
    eventually(&format!("a process at {what}"), Duration::from_secs(30), halted)
}

/// Has the engine take entries of rows that a crash loses, and starts the server again. Whether the engine has come
/// to a step of discarding them, and stands still there.
fn lose_rows(cluster: &Cluster, insert: &str, setting: &str) -> bool {
    let mut session = cluster.connect();
    session.run("SET onyx.debug_stop_at = 'commit.sent:2'");
    std::thread::scope(|scope| {
        scope.spawn(move || session.batch_execute(insert));
        let session = wait_for_halt(cluster, "commit.sent");
        cluster.kill_postmaster();
        // It would commit before it notices.
        process::signal(session, Signal::KILL);
        continue_all(cluster);
    });
    set_everywhere(cluster, setting);
    cluster.start_again();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if cluster.processes().into_iter().any(process::is_stopped) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    set_everywhere(cluster, "");
    cluster.wait_for_engine();
    false
}

/// What of a case goes on in another session while the test looks.
struct Under {
    session: Client,
    pid: i32,
    statements: Vec<String>,
}

struct Run {
    cluster: Cluster,
    dice: Dice,
    seed: u64,
    count: u32,
}

impl Run {
    fn new() -> Self {
        let (dice, seed) = Dice::new();
        // A vacuum or an ANALYZE of the server's own would take the dead rows, or keep them from being taken.
        let config = Config::new().set("max_prepared_transactions", "10");
        let cluster = Cluster::start(config);
        let mut client = cluster.connect();
        client.run("CREATE EXTENSION onyx CASCADE");
        cluster.wait_for_engine();
        random_table(&mut client, "t", 3, T_ROWS, 0.41);
        random_table(&mut client, "u", 24, U_ROWS, 0.42);
        client.run(
            "CREATE INDEX t_v ON t USING onyx_hnsw (v vector_l2_ops);
             CREATE INDEX u_v ON u USING onyx_hnsw (v vector_l2_ops)",
        );
        Self { cluster, dice, seed, count: 0 }
    }

    /// Makes ready what a case's work needs, and says where to stop: in the session that works when it is it that
    /// comes to the step, else everywhere.
    fn prepare(&mut self, work: Work, setting: &str) -> Under {
        let mut session = self.cluster.connect();
        let first = 1_000_000 + self.count * 10_000;
        let rows = |table: &str, dimensions: u32, rows: u32| {
            let last = first + rows - 1;
            let vector = random(dimensions);
            format!(
                "INSERT INTO {table} SELECT k, {vector} FROM generate_series({first}, {last}) k"
            )
        };
        let both = format!("BEGIN; {}; {}", rows("t", 3, 60), rows("u", 24, 100));
        // What is lost in a crash is more when commits do not wait for the disk.
        if work == Vacuum || self.dice.roll(2) == 0 {
            session.run("SET synchronous_commit = off");
        }
        let part = self.dice.roll(7);
        let statements = match work {
            Insert | Recover => vec![format!("{both}; COMMIT")],
            Prepare => vec![format!("{both}; PREPARE TRANSACTION 'p{first}'")],
            Flush => vec![format!("BEGIN; {}; COMMIT", rows("t", 3, 1_100))],
            Abort => vec![format!("BEGIN; {}; ROLLBACK", rows("t", 3, 1_100))],
            Vacuum => {
                session.run(&format!("DELETE FROM t WHERE id % 7 IN ({part}, {})", (part + 3) % 7));
                vec!["VACUUM t".into()]
            }
            Repair => {
                session.run(&format!("DELETE FROM u WHERE id % 7 = {part}"));
                vec!["VACUUM u".into()]
            }
            Build => vec!["CREATE INDEX u_other ON u USING onyx_hnsw (v vector_ip_ops)".into()],
            Concurrent => vec!["REINDEX INDEX CONCURRENTLY t_v".into()],
            Drop => {
                session.run("CREATE INDEX t_other ON t USING onyx_hnsw (v vector_ip_ops)");
                vec!["DROP INDEX t_other".into()]
            }
            Rebuild => {
                // Without the engine an insert makes its index stale.
                keep_engine_away(&self.cluster);
                vec![rows("t", 3, 10)]
            }
            Restart => Vec::new(),
        };
        let pid = session.one("SELECT pg_backend_pid()");
        // Who comes to a step is told by the name's first half.
        let backends = ["commit", "flush", "abort", "vacuum", "build", "stale"];
        let area = setting.split('.').next().unwrap_or_default();
        if backends.contains(&area) || setting == "drop.noticed" || setting == "drop.ended" {
            // The setting's own statement is committed too.
            let setting = if area == "commit" && setting.contains("done") {
                "commit.done:2"
            } else {
                setting
            };
            session.run(&format!("SET onyx.debug_stop_at = '{setting}'"));
        } else if work == Rebuild {
            set_everywhere(&self.cluster, setting);
        } else if work != Recover {
            set_and_wait(&self.cluster, setting);
        }
        if ["sweep", "rebuild"].contains(&area) {
            // A worker that began before has not heard of it, and may do the next one's work.
            let idle = || find(&self.cluster, |title| title.contains("onyx maintenance")).is_none();
            eventually("maintenance to rest", Duration::from_secs(30), || idle().then_some(()));
        }
        if [Vacuum, Repair].contains(&work) {
            session.wait_for_other_snapshots();
        }
        Under { session, pid, statements }
    }

    /// Kills what a case is about while a process stands still at its step.
    fn crash(&mut self, step: &str, work: Work, victim: Victim) {
        let most = STEPS.iter().find(|s| (s.0, s.1) == (step, work)).map_or(1, |s| s.2);
        let passage = 1 + self.dice.roll(most);
        let setting = if most == 1 { step.to_owned() } else { format!("{step}:{passage}") };
        let Under { mut session, mut pid, statements } = self.prepare(work, &setting);
        let cluster = &self.cluster;
        std::thread::scope(|scope| {
            if work == Recover {
                drop(session);
                // How far the log was written, and so whether there is anything to discard, is chance.
                let lost = (0..5).any(|_| lose_rows(cluster, &statements[0], &setting));
                assert!(lost, "no crash lost rows whose entries the engine has");
            } else {
                let under = scope.spawn(move || {
                    statements.iter().for_each(|sql| drop(session.batch_execute(sql)));
                    // It stays, to be killed when a process in the background comes to the step.
                    session
                });
                if work == Restart {
                    let engine = find(cluster, |title| title.contains("onyx-engine"));
                    process::signal(engine.expect("an engine"), Signal::KILL);
                }
                if work == Rebuild {
                    let insert =
                        || (under.is_finished() || setting == "stale.marked").then_some(());
                    eventually("an insert without the engine", Duration::from_secs(30), insert);
                    if setting != "stale.marked" {
                        cluster.configure("onyx.engine_path", "");
                        process::signal(cluster.postmaster_pid(), Signal::HUP);
                    }
                }
            }
            let halted = wait_for_halt(cluster, &setting);
            if work == Rebuild {
                cluster.configure("onyx.engine_path", "");
            }
            set_everywhere(cluster, "");
            let is_backend = |pid: i32| {
                let title = process::title(pid);
                title.starts_with("postgres:") && !title.contains("onyx supervisor")
            };
            if is_backend(halted) {
                pid = halted;
            }
            let target = match victim {
                Engine if is_engine(halted) => Some(halted),
                Engine => find(cluster, |title| title.contains("onyx-engine")),
                Supervisor => find(cluster, |title| title.contains("onyx supervisor")),
                Backend if process::is_alive(pid) => Some(pid),
                Backend => find(cluster, |title| title.contains("checkpointer")),
                Postmaster => None,
            };
            match target {
                Some(target) => {
                    assert!(process::kill(target), "{victim:?} {target}")
                }
                None if victim == Postmaster => cluster.kill_postmaster(),
                // Between two engines there is none to kill; the step is passed all the same.
                None => {}
            }
            continue_all(cluster);
        });
    }

    fn case(&mut self, step: &str, work: Work, victim: Victim) {
        self.count += 1;
        let what = format!("killing {victim:?} at {step} of {work:?} (SEED={})", self.seed);
        let begun = Instant::now();
        self.crash(step, work, victim);
        let crashed = begun.elapsed();
        self.recover(&what);
        println!("{what}: stood still after {crashed:.1?}, equal after {:.1?}", begun.elapsed());
    }

    /// Waits until all is well again without help, and compares.
    fn recover(&mut self, what: &str) {
        let Self { cluster, dice, .. } = self;
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // An engine that was started before the supervisor had heard that none is to stop any more may come to
            // the step at any time.
            let waker = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    continue_all(cluster);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let compared = scope.spawn(|| compare_all(cluster, dice, what)).join();
            done.store(true, Ordering::Relaxed);
            waker.join().expect("the waker");
            if let Err(failure) = compared {
                std::panic::resume_unwind(failure);
            }
        });
    }
}

/// Compares as soon as the server is back, when all indexes are, and after others have taken the places of the rows
/// that were lost; waits until what is left in the store is gone.
fn compare_all(cluster: &Cluster, dice: &mut Dice, what: &str) {
    let mut client = back(cluster);
    client.run("SET onyx.ef_search = 200");
    tidy(&mut client, dice, "t_other, u_other, t_v_ccnew, t_v_ccold");
    // Whatever the indexes' state is just now, an answer is right.
    let exact = |client: &mut Client, sql: &str| {
        client.run("SET enable_indexscan = off");
        let rows = client.text(sql);
        client.run("RESET enable_indexscan");
        rows
    };
    for table in ["t", "u"] {
        let query =
            format!("(SELECT v FROM {table} ORDER BY id LIMIT 1 OFFSET {})", dice.roll(500));
        let sql = format!("SELECT v <-> {query} FROM {table} ORDER BY v <-> {query} LIMIT 3");
        assert_eq!(client.text(&sql), exact(&mut client, &sql), "at once after {what}");
    }
    all_ready(&mut client, what);
    compare(&mut client, dice, what);
    // Others take the places of the rows that were lost.
    client.run(&format!(
            "INSERT INTO t SELECT k, {} FROM generate_series(1, {T_ROWS}) k WHERE NOT EXISTS (SELECT FROM t WHERE id = k);
             INSERT INTO u SELECT k, {} FROM generate_series(1, {U_ROWS}) k WHERE NOT EXISTS (SELECT FROM u WHERE id = k);
             INSERT INTO t SELECT 900000 + k, {0} FROM generate_series(1, 50) k",
            random(3), random(24)
        ));
    compare(&mut client, dice, &format!("rows in the places of others after {what}"));
    client.run(&format!("DELETE FROM t WHERE id > {T_ROWS}; DELETE FROM u WHERE id > {U_ROWS}"));
    client.run("VACUUM t");
    client.run("VACUUM u");
    // Nothing that no index has stays for long.
    eventually(&format!("no garbage in the store after {what}"), Duration::from_secs(60), || {
        let same =
            "SELECT generations = (SELECT count(*) FROM onyx.stat_index) FROM onyx.stat_engine";
        client.one::<bool>(same).then_some(())
    });
}

fn continue_all(cluster: &Cluster) {
    for pid in cluster.processes() {
        if process::is_stopped(pid) {
            process::signal(pid, Signal::CONT);
        }
    }
}

/// Compares the indexes with their tables.
fn compare(client: &mut Client, dice: &mut Dice, what: &str) {
    for index in ["t_v", "u_v"] {
        let problems = client.text(&format!("SELECT * FROM onyx.check_index('{index}')"));
        assert_eq!(problems, "", "{index} after {what}");
    }
    // All rows in their order.
    let order = "v <-> '[0.1,0.2,0.3]'";
    let found = nearest(client, "t", order, 10_000, false);
    let exact = nearest(client, "t", order, 10_000, true);
    assert_eq!(distances(&found), distances(&exact), "t_v after {what}");
    let (mut sum, queries) = (0.0, 10);
    for _ in 0..queries {
        let order =
            format!("v <-> (SELECT v FROM u ORDER BY id LIMIT 1 OFFSET {})", dice.roll(5_000));
        let found = nearest(client, "u", &order, 10, false);
        let exact = nearest(client, "u", &order, 10, true);
        sum += recall(&found, &exact);
    }
    let recall = sum / f64::from(queries);
    assert!(recall >= 0.97, "recall {recall} after {what}");
}

#[test]
fn kills_at_named_steps_leave_indexes_and_tables_equal() {
    let mut run = Run::new();
    let wanted = std::env::var("STEPS").unwrap_or_default();
    if wanted.is_empty() {
        for (step, work, victim) in FEW {
            run.case(step, *work, *victim);
        }
        return;
    }
    let names: Vec<&str> = wanted.split(',').collect();
    for (step, work, _) in STEPS {
        if wanted == "all" || names.contains(step) {
            VICTIMS.iter().for_each(|victim| run.case(step, *work, *victim));
        }
    }
}
