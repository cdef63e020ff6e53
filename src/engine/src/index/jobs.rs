//! Work behind the requests' backs: loading, repairing, saving, giving space back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use onyx_protocol::index::GenerationId;

use crate::store::lock;

/// One piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Read a generation into memory.
    Load(GenerationId),
    /// Take the dead points out of a graph.
    Repair(GenerationId),
    /// Make every point of a graph reachable.
    Reach(GenerationId),
    /// Write a graph to the store.
    Save(GenerationId),
    /// The same after everything was removed, and give the entries' disk space back.
    Tidy(GenerationId),
    /// Give the disk space of a dropped generation back.
    Reclaim(GenerationId),
}

/// Jobs waiting for a background thread.
#[derive(Default)]
pub struct Jobs {
    waiting: Mutex<VecDeque<Job>>,
    added: Condvar,
    stopped: AtomicBool,
}

impl Jobs {
    /// Adds a job behind all others.
    pub fn add(&self, job: Job) {
        lock(&self.waiting).push_back(job);
        self.added.notify_one();
    }

    /// Moves a waiting load to the front: somebody asks for it.
    pub fn hurry(&self, id: GenerationId) {
        let mut waiting = lock(&self.waiting);
        if let Some(at) = waiting.iter().position(|job| *job == Job::Load(id))
            && let Some(job) = waiting.remove(at)
        {
            waiting.push_front(job);
        }
    }

    /// Waits for a job; `None` when the threads are to end.
    pub fn next(&self) -> Option<Job> {
        let waiting = lock(&self.waiting);
        let mut waiting = self
            .added
            .wait_while(waiting, |jobs| jobs.is_empty() && !self.stopped())
            .unwrap_or_else(PoisonError::into_inner);
        if self.stopped() { None } else { waiting.pop_front() }
    }

    /// Ends the threads; long jobs ask [`Jobs::stopped`].
    pub fn stop(&self) {
        let waiting = lock(&self.waiting);
        self.stopped.store(true, Ordering::Relaxed);
        drop(waiting);
        self.added.notify_all();
    }

    /// Whether the threads are to end.
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
