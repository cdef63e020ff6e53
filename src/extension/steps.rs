//! Steps at which a test has this process stand still: see [`onyx_protocol::steps`].

use onyx_protocol::steps::Steps;
use rustix::process::{Signal, getpid, kill_process};

use crate::guc;

static STEPS: Steps = Steps::new();

/// This process has come to a step, and goes on from it unless a test wants it to stop.
pub fn at(step: &str) {
    // Not set but in tests, and then nothing is copied.
    if let Some(setting) = guc::DEBUG_STOP_AT.get() {
        stop_at(step, &setting.to_string_lossy());
    }
}

#[cold]
fn stop_at(step: &str, setting: &str) {
    STEPS.set(setting);
    if STEPS.stops_at(step) {
        // A process of one thread takes its own signal before the call returns.
        let _ = kill_process(getpid(), Signal::STOP);
    }
}
