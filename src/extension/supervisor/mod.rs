//! The supervisor: a background worker that starts the engine, watches it, starts it again and ends
//! it with the server. The engine is its child, not a worker: a worker that dies by a signal takes
//! the whole cluster through a restart, a child of one does not.

mod engine;
mod maintenance;
mod recovery;
pub mod shared;
pub mod tries;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onyx_protocol::startup::Control;
use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, SignalWakeFlags,
};
use pgrx::prelude::*;

use crate::{client, guc, steps};
use engine::Engine;
use maintenance::Maintenance;
use shared::{EngineState, SHARED};

/// An engine that lived this long was healthy: the next failure starts the backoff anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// How often a server in recovery is asked whether it still is.
const RECOVERY_POLL: Duration = Duration::from_millis(500);

/// Reserves shared memory and registers the supervisor, but not in a server that pg_upgrade runs: nothing may
/// change in it but by pg_upgrade.
pub fn init() {
    shared::init();
    // SAFETY: the postmaster sets it from its arguments, before it loads libraries.
    if unsafe { pg_sys::IsBinaryUpgrade } {
        return;
    }
    BackgroundWorkerBuilder::new("onyx supervisor")
        .set_type("onyx supervisor")
        .set_library("onyx")
        .set_function("onyx_supervisor_main")
        .enable_shmem_access(None)
        .set_start_time(BgWorkerStartTime::ConsistentState)
        .set_restart_time(Some(Duration::from_secs(1)))
        .load();
}

/// Main function of the supervisor.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn onyx_supervisor_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(
        SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM | SignalWakeFlags::SIGCHLD,
    );
    SHARED.exclusive().set_supervisor();
    // SAFETY: the callback only touches shared memory of this module.
    unsafe { pg_sys::before_shmem_exit(Some(withdraw), pg_sys::Datum::null()) };
    supervise();
}

#[pg_guard]
unsafe extern "C-unwind" fn withdraw(_code: i32, _argument: pg_sys::Datum) {
    SHARED.exclusive().clear_supervisor();
}

/// Whether the server has asked this worker to end. pgrx forgets the signal when it is asked.
fn stopping() -> bool {
    static STOPPING: AtomicBool = AtomicBool::new(false);
    if BackgroundWorker::sigterm_received() {
        STOPPING.store(true, Ordering::Relaxed);
    }
    STOPPING.load(Ordering::Relaxed)
}

fn supervise() {
    let mut failures = 0;
    let mut first = true;
    let mut maintenance = Maintenance::default();
    while !stopping() {
        if !first {
            SHARED.exclusive().restarts += 1;
        }
        first = false;
        let born = Instant::now();
        steps::at("engine.start");
        match start() {
            Ok(mut engine) => {
                steps::at("engine.started");
                publish(EngineState::Starting, engine.pid(), "");
                let end = watch(&mut engine, &mut maintenance);
                let Some(end) = end else {
                    publish(EngineState::Stopped, 0, "");
                    engine.stop();
                    return;
                };
                pgrx::warning!("onyx engine ended: {end}");
                publish(EngineState::Backoff, 0, &end);
            }
            Err(error) => {
                pgrx::warning!("could not start the onyx engine: {error}");
                publish(EngineState::Backoff, 0, &error);
            }
        }
        failures = if born.elapsed() > HEALTHY_AFTER { 1 } else { failures + 1 };
        let until = Instant::now() + shared::backoff(failures);
        while Instant::now() < until && !stopping() {
            // pgrx's own function outlives the postmaster, and forgets the signal to stop.
            client::sleep(until.saturating_duration_since(Instant::now()));
            // Perhaps that was the repair: try at once.
            if reloaded() {
                failures = 0;
                break;
            }
        }
    }
}

fn start() -> Result<Engine, String> {
    engine::create_directory()?;
    Engine::start(recovery::end()?)
}

/// Reads the configuration again when that was asked for; whether it was.
fn reloaded() -> bool {
    let asked = BackgroundWorker::sighup_received();
    if asked {
        // SAFETY: called in the worker's main loop, as the server's own workers do.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
    asked
}

fn publish(state: EngineState, pid: u32, error: &str) {
    let mut shared = SHARED.exclusive();
    shared.state = state;
    shared.engine_pid = pid;
    if state == EngineState::Starting {
        // SAFETY: reads the clock.
        shared.started_at = unsafe { pg_sys::GetCurrentTimestamp() };
    }
    if !error.is_empty() {
        shared.set_error(error);
    }
}

/// Watches a running engine. Returns how it ended, or `None` when the server is shutting down.
fn watch(engine: &mut Engine, maintenance: &mut Maintenance) -> Option<String> {
    let mut settings = guc::engine_settings();
    let mut in_recovery = engine.started_in_recovery();
    let mut ready = false;
    loop {
        if let Some(end) = engine.ended() {
            return Some(end);
        }
        if stopping() {
            return None;
        }
        if reloaded() {
            // What kept an index from being built may have been repaired.
            SHARED.exclusive().tries.forget_all();
            let new = guc::engine_settings();
            if new != settings {
                settings = new.clone();
                engine.send(&Control::Settings(new));
            }
        }
        if in_recovery {
            match recovery::end() {
                Ok(Some(end)) => {
                    in_recovery = false;
                    engine.send(&Control::RecoveryEnded(end));
                    maintenance.look_everywhere();
                }
                Ok(None) => {}
                Err(error) => {
                    engine.stop();
                    return Some(error);
                }
            }
        }
        if !ready && engine.is_ready() {
            ready = true;
            publish(EngineState::Running, engine.pid(), "");
            steps::at("engine.ready");
            maintenance.look_everywhere();
        }
        if ready && !in_recovery {
            maintenance.run();
        }
        let mut timeout = Duration::from_secs(guc::MAINTENANCE_NAPTIME_S.get() as u64);
        if !ready || maintenance.is_busy() {
            timeout = timeout.min(Duration::from_millis(200));
        }
        if in_recovery {
            timeout = timeout.min(RECOVERY_POLL);
        }
        engine.wait(timeout, ready);
    }
}
