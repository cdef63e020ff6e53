//! Signals to single processes, by their ids.

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

/// Holds a process still for as long as it lives.
pub struct Stopped(i32);

impl Stopped {
    /// Stops a process.
    ///
    /// # Panics
    /// When it is not there.
    pub fn new(pid: i32) -> Self {
        assert!(signal(pid, Signal::STOP), "no process {pid} to stop");
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}
