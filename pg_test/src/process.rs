//! Signals to single processes, by their ids.

use std::time::Duration;

pub use rustix::process::Signal;

/// Sends a signal to one process. Whether it was there to take it.
///
/// # Panics
/// When the id is not one of an ordinary process.
pub fn signal(pid: i32, signal: Signal) -> bool {
    assert!(pid > 1, "process id {pid}");
    rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
}

/// Whether a process lives. One that only waits to be collected by its parent does not.
pub fn is_alive(pid: i32) -> bool {
    // The state is the first letter behind the command, which may hold anything in parentheses.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

/// Whether all threads of a process are stopped.
fn is_stopped(pid: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        // One that ended meanwhile runs no more either.
        std::fs::read_to_string(thread.path().join("stat")).map_or(true, |stat| {
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        })
    })
}

/// Holds a process still for as long as it lives.
pub struct Stopped(i32);

impl Stopped {
    /// Stops a process, and waits until it stands still: the signal reaches its threads one after the other,
    /// and one that it has not reached yet may go on for a while on a busy machine.
    ///
    /// # Panics
    /// When it is not there.
    pub fn new(pid: i32) -> Self {
        assert!(signal(pid, Signal::STOP), "no process {pid} to stop");
        let stopped = Self(pid);
        crate::eventually("a process to stand still", Duration::from_secs(20), || {
            is_stopped(pid).then_some(())
        });
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}
