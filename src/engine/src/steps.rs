//! Steps at which a test has this process stand still: see [`onyx_protocol::steps`].

use onyx_protocol::steps::Steps;

static STEPS: Steps = Steps::new();

/// Takes the setting over.
pub fn set(setting: &str) {
    STEPS.set(setting);
}

/// This process has come to a step, and goes on from it unless a test wants it to stop.
#[inline]
pub fn at(step: &str) {
    if STEPS.stops_at(step) {
        // SAFETY: stops this process. A thread's signal to itself is taken before the call returns.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
}
