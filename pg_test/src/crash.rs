//! What tests of crashes share: chance that can be repeated, and the way back.

use std::time::{Duration, SystemTime};

use postgres::Client;

use crate::{Cluster, Sql, eventually};

/// Pseudo-random numbers; a run's can be had again by its seed.
pub struct Dice(u64);

impl Dice {
    /// Seeded by the environment's SEED, or else by the clock; says which it was.
    pub fn new() -> (Self, u64) {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_nanos() as u64) | 1;
        let seed = number("SEED", now);
        println!("SEED={seed}");
        (Self(seed), seed)
    }

    /// One of the numbers below `sides`, by Marsaglia's xorshift.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A number in the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A session on the server, started again if it does not run, and its engine running.
pub fn back(cluster: &Cluster) -> Client {
    if !cluster.is_running() {
        cluster.start_again();
    }
    // A killed child takes the server through a restart of its own, which ends sessions.
    eventually("the server and its engine", Duration::from_secs(60), || {
        let mut client = cluster.session()?;
        let running =
            "SELECT FROM onyx.stat_engine WHERE state = 'running' AND version IS NOT NULL";
        client.query_opt(running, &[]).ok().flatten().map(|_| client)
    })
}

/// Ends transactions that a killed session prepared, and drops the indexes it may have left half built.
pub fn tidy(client: &mut Client, dice: &mut Dice, indexes: &str) {
    let prepared: Vec<String> = client.column("SELECT gid FROM pg_prepared_xacts");
    for gid in prepared {
        let end = if dice.roll(2) == 0 { "COMMIT" } else { "ROLLBACK" };
        client.run(&format!("{end} PREPARED '{gid}'"));
    }
    // Maintenance may be rebuilding just now: with a concurrent rebuild a drop may end in a deadlock.
    eventually("what was left to be dropped", Duration::from_secs(60), || {
        client.batch_execute(&format!("DROP INDEX IF EXISTS {indexes}")).ok()
    });
}

/// Waits until every index can answer.
pub fn all_ready(client: &mut Client, after: &str) {
    eventually(&format!("all indexes ready after {after}"), Duration::from_secs(90), || {
        let states = "SELECT coalesce(string_agg(DISTINCT state, ', '), '') FROM onyx.stat_index";
        (client.text(states) == "ready").then_some(())
    });
}
