//! Signals to single processes, by their ids.

use std::path::Path;
use std::time::{Duration, Instant};

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

/// Kills a process, and waits until its parent has collected it, a few seconds at most: a postmaster that has
/// collected a killed child takes no session until all has begun anew. Whether it was there to be killed.
pub fn kill(pid: i32) -> bool {
    let was_there = signal(pid, Signal::KILL);
    let begun = Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(1));
    }
    was_there
}

/// Whether a process lives. One that only waits to be collected by its parent does not.
pub fn is_alive(pid: i32) -> bool {
    // The state is the first letter behind the command, which may hold anything in parentheses.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

/// Ids of the processes that have a working directory: those of a server, and its engine, have its data directory.
///
/// # Panics
/// When the system does not say which processes there are.
pub fn in_directory(directory: &Path) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory)
                && is_alive(*pid)
        })
        .collect()
}

/// What a process calls itself, as ps shows it; empty when it is gone.
pub fn title(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()
}

/// Whether all threads of a process are stopped.
pub fn is_stopped(pid: i32) -> bool {
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
