//! What the supervisor and the backends know of the engine, in shared memory.

use std::time::Duration;

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgLwLock};

use super::tries::Tries;

/// Databases that can wait for maintenance at once; the rest is found again at the next nap.
const QUEUE: usize = 64;
/// Bytes of the last error that are kept.
const ERROR_BYTES: usize = 200;

/// Where the engine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineState {
    /// No supervisor has run yet.
    Unsupervised,
    /// Started, not accepting connections yet.
    Starting,
    /// Accepting connections.
    Running,
    /// Ended; waiting for the next start.
    Backoff,
    /// The server is shutting down.
    Stopped,
}

impl EngineState {
    /// The spelling in `onyx.stat_engine`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupervised => "unsupervised",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Stopped => "stopped",
        }
    }
}

/// The shared state.
#[derive(Clone, Copy)]
pub struct Shared {
    /// Where the engine is in its life.
    pub state: EngineState,
    /// Its process id, or 0.
    pub engine_pid: u32,
    /// Process id of the supervisor, or 0.
    pub supervisor_pid: i32,
    /// Starts after the first.
    pub restarts: u32,
    /// When it was started.
    pub started_at: pg_sys::TimestampTz,
    /// Where recovery ended, as engines are told; 0 until that is written down.
    pub recovery_end: u64,
    error: [u8; ERROR_BYTES],
    error_length: usize,
    supervisor_latch: usize,
    maintenance: [u32; QUEUE],
    maintenance_length: usize,
    /// Rebuilds that may have failed.
    pub tries: Tries,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: EngineState::Unsupervised,
            engine_pid: 0,
            supervisor_pid: 0,
            restarts: 0,
            started_at: 0,
            recovery_end: 0,
            error: [0; ERROR_BYTES],
            error_length: 0,
            supervisor_latch: 0,
            maintenance: [0; QUEUE],
            maintenance_length: 0,
            tries: Tries::default(),
        }
    }
}

// SAFETY: plain numbers; the latch's address is used only while the supervisor lives.
unsafe impl PGRXSharedMemory for Shared {}

impl Shared {
    /// Keeps why the engine ended or did not start.
    pub fn set_error(&mut self, error: &str) {
        let mut end = error.len().min(ERROR_BYTES);
        while !error.is_char_boundary(end) {
            end -= 1;
        }
        self.error[..end].copy_from_slice(&error.as_bytes()[..end]);
        self.error_length = end;
    }

    /// Why the engine last ended or did not start, or empty.
    pub fn error(&self) -> String {
        String::from_utf8_lossy(&self.error[..self.error_length]).into_owned()
    }

    /// Publishes the supervisor of this process.
    pub fn set_supervisor(&mut self) {
        // SAFETY: MyProcPid and MyLatch are set in every process with shared memory access; the
        // latch is the process's own slot in shared memory, at the same address everywhere.
        unsafe {
            self.supervisor_pid = pg_sys::MyProcPid;
            self.supervisor_latch = pg_sys::MyLatch as usize;
        }
    }

    /// Withdraws it, so that nobody sets a latch that belongs to another process by then.
    pub fn clear_supervisor(&mut self) {
        self.supervisor_pid = 0;
        self.supervisor_latch = 0;
        self.engine_pid = 0;
        self.state = EngineState::Stopped;
    }

    /// Takes the database that has waited longest for maintenance: with more of them than a naptime has
    /// room for, the others would never get their turn.
    pub fn next_maintenance(&mut self) -> Option<u32> {
        let next = *self.maintenance[..self.maintenance_length].first()?;
        self.maintenance.copy_within(1..self.maintenance_length, 0);
        self.maintenance_length -= 1;
        Some(next)
    }

    fn request_maintenance(&mut self, database: u32) {
        let queued = &self.maintenance[..self.maintenance_length];
        if self.maintenance_length < QUEUE && !queued.contains(&database) {
            self.maintenance[self.maintenance_length] = database;
            self.maintenance_length += 1;
        }
        if self.supervisor_latch != 0 {
            // SAFETY: the supervisor withdraws its latch under this lock before it exits.
            unsafe { pg_sys::SetLatch(self.supervisor_latch as *mut pg_sys::Latch) };
        }
    }
}

/// SAFETY: `init` runs in `_PG_init`, before any use.
pub static SHARED: PgLwLock<Shared> = unsafe { PgLwLock::new(c"onyx_supervisor") };

/// Reserves the shared memory.
pub fn init() {
    pgrx::pg_shmem_init!(SHARED);
}

/// Whether an engine is on its way up.
pub fn is_starting() -> bool {
    matches!(SHARED.share().state, EngineState::Starting | EngineState::Unsupervised)
}

/// Whether the engine accepts connections, as far as the supervisor knows.
pub fn is_running() -> bool {
    SHARED.share().state == EngineState::Running
}

/// Why a connection attempt failed, in a sentence.
pub fn why_down(error: &std::io::Error) -> String {
    let shared = SHARED.share();
    let last = shared.error();
    match shared.state {
        EngineState::Starting => "It is starting.".into(),
        EngineState::Unsupervised => "Its supervisor has not started yet.".into(),
        EngineState::Backoff if !last.is_empty() => format!("It ended: {last}."),
        _ => format!("Could not connect to its socket: {error}."),
    }
}

/// Asks the supervisor to look after a database's indexes soon.
pub fn request_maintenance(database: pg_sys::Oid) {
    SHARED.exclusive().request_maintenance(database.to_u32());
}

/// Time between two tries to start the engine, by the number of failures in a row.
pub fn backoff(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        n => Duration::from_millis(100 << (n - 2).min(8)),
    }
}
