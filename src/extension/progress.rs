//! Progress of long commands, in shared memory for `onyx.progress`.

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgLwLock};

/// Commands that can show progress at once; more go on without.
const SLOTS: usize = 32;
/// Bytes of a subject that are kept.
const SUBJECT_BYTES: usize = 96;

/// What a command is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading and parsing files and writing their rows.
    Ingesting,
    /// Reading the commits of a git repository.
    History,
    /// Removing what is gone.
    Cleaning,
    /// Finding what references mean, and writing edges.
    Resolving,
    /// Waiting for embeddings.
    Embedding,
}

impl Phase {
    /// The spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingesting => "ingesting",
            Self::History => "reading history",
            Self::Cleaning => "removing deleted files",
            Self::Resolving => "resolving references",
            Self::Embedding => "waiting for embeddings",
        }
    }
}

/// One command under way.
#[derive(Clone, Copy)]
pub struct Slot {
    /// Process id of its backend; 0 in a free slot.
    pub pid: i32,
    /// Its database.
    pub database: pg_sys::Oid,
    /// When it began.
    pub started_at: pg_sys::TimestampTz,
    /// What it is at.
    pub phase: Phase,
    /// Files, or texts, done.
    pub done: u64,
    /// How many there are, when that is known; 0 otherwise.
    pub total: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Nodes written.
    pub nodes: u64,
    subject: [u8; SUBJECT_BYTES],
    subject_length: usize,
}

impl Slot {
    /// The repository concerned.
    pub fn subject(&self) -> String {
        String::from_utf8_lossy(&self.subject[..self.subject_length]).into_owned()
    }
}

const FREE: Slot = Slot {
    pid: 0,
    database: pg_sys::InvalidOid,
    started_at: 0,
    phase: Phase::Ingesting,
    done: 0,
    total: 0,
    bytes: 0,
    nodes: 0,
    subject: [0; SUBJECT_BYTES],
    subject_length: 0,
};

/// All slots.
#[derive(Clone, Copy)]
pub struct Slots([Slot; SLOTS]);

impl Default for Slots {
    fn default() -> Self {
        Self([FREE; SLOTS])
    }
}

// SAFETY: plain numbers.
unsafe impl PGRXSharedMemory for Slots {}

/// SAFETY: `init` runs in `_PG_init`, before any use.
static SLOTS_LOCK: PgLwLock<Slots> = unsafe { PgLwLock::new(c"onyx_progress") };

/// Reserves the shared memory.
pub fn init() {
    pgrx::pg_shmem_init!(SLOTS_LOCK);
}

/// Shows a command's progress for as long as it lives; unwinding on an error drops it too.
pub struct Progress(Option<usize>);

impl Progress {
    /// Takes a slot, if one is free.
    pub fn begin(phase: Phase, subject: &str) -> Self {
        // SAFETY: both are set in every backend; the clock is only read.
        let (pid, database, now) =
            unsafe { (pg_sys::MyProcPid, pg_sys::MyDatabaseId, pg_sys::GetCurrentTimestamp()) };
        let mut slots = SLOTS_LOCK.exclusive();
        // A slot of this very process is one it left behind by exiting its command without unwinding.
        let free = slots.0.iter().position(|s| s.pid == 0 || s.pid == pid);
        if let Some(index) = free {
            let mut end = subject.len().min(SUBJECT_BYTES);
            while !subject.is_char_boundary(end) {
                end -= 1;
            }
            let mut slot = Slot { pid, database, started_at: now, phase, ..FREE };
            slot.subject[..end].copy_from_slice(&subject.as_bytes()[..end]);
            slot.subject_length = end;
            slots.0[index] = slot;
        }
        Self(free)
    }

    /// Changes what is shown.
    pub fn update(&self, change: impl FnOnce(&mut Slot)) {
        if let Some(index) = self.0 {
            change(&mut SLOTS_LOCK.exclusive().0[index]);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(index) = self.0 {
            SLOTS_LOCK.exclusive().0[index] = FREE;
        }
    }
}

/// The commands under way.
pub fn all() -> Vec<Slot> {
    SLOTS_LOCK.share().0.iter().filter(|s| s.pid != 0).copied().collect()
}
