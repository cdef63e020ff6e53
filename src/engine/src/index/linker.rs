//! Points on their way into the graph: linked in the background, so that neither a build's client nor
//! a commit waits for it. Until a point is linked, searches look at it by itself.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use onyx_protocol::{ErrorKind, WireError};

use super::graph::{Graph, PointId};
use crate::store::lock;

/// Points that may wait while nobody searches.
const MAX_BUILDING: usize = 20_000;

/// Points that may wait while every search has to look at them.
const MAX_READY: usize = 2_000;

/// Points a thread links before it looks for other work.
const TASK_POINTS: usize = 32;

/// How often who waits reports progress and looks for a cancel.
const TICK: Duration = Duration::from_millis(100);

/// Links points of one graph.
pub struct Linker {
    graph: Arc<Graph>,
    pool: Arc<rayon::ThreadPool>,
    state: Mutex<State>,
    changed: Condvar,
    unlinked: AtomicUsize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<PointId>,
    /// Those of the queue and those being linked.
    unlinked: HashSet<PointId>,
    tasks: usize,
    paused: bool,
    error: Option<WireError>,
}

impl Linker {
    /// Links into `graph` on the threads of `pool`, from [`Linker::resume`] on when `paused`.
    pub fn new(graph: Arc<Graph>, pool: Arc<rayon::ThreadPool>, paused: bool) -> Self {
        Self {
            graph,
            pool,
            state: Mutex::new(State { paused, ..State::default() }),
            changed: Condvar::new(),
            unlinked: AtomicUsize::new(0),
        }
    }

    /// The threads it links on.
    pub fn pool(&self) -> Arc<rayon::ThreadPool> {
        Arc::clone(&self.pool)
    }

    /// Queues points that have been put.
    ///
    /// # Errors
    /// What went wrong with an earlier one.
    pub fn add(self: &Arc<Self>, points: &[PointId]) -> Result<(), WireError> {
        let mut state = lock(&self.state);
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        state.queue.extend(points);
        state.unlinked.extend(points);
        self.unlinked.store(state.unlinked.len(), Ordering::Release);
        self.start(&mut state);
        Ok(())
    }

    /// Waits while too many points are on their way: more may be when nobody searches.
    pub fn keep_pace(&self, building: bool) {
        let most = if building { MAX_BUILDING } else { MAX_READY };
        let full = |state: &mut State| {
            state.unlinked.len() > most && state.error.is_none() && !state.paused
        };
        let _state = self
            .changed
            .wait_while(lock(&self.state), full)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// Begins to link.
    pub fn resume(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.paused = false;
        self.start(&mut state);
        self.changed.notify_all();
    }

    fn start(self: &Arc<Self>, state: &mut State) {
        let wanted = state.queue.len().div_ceil(TASK_POINTS).min(self.pool.current_num_threads());
        while state.tasks < wanted && !state.paused {
            state.tasks += 1;
            let this = Arc::clone(self);
            self.pool.spawn(move || this.work());
        }
    }

    fn work(&self) {
        let mut linked: Vec<PointId> = Vec::with_capacity(TASK_POINTS);
        let mut failed = None;
        loop {
            let mut state = lock(&self.state);
            for id in linked.drain(..) {
                state.unlinked.remove(&id);
            }
            self.unlinked.store(state.unlinked.len(), Ordering::Release);
            state.error = state.error.take().or(failed.take());
            let count = state.queue.len().min(TASK_POINTS);
            if count == 0 || state.error.is_some() {
                state.tasks -= 1;
                self.changed.notify_all();
                return;
            }
            linked.extend(state.queue.drain(..count));
            drop(state);
            self.changed.notify_all();
            let link = AssertUnwindSafe(|| linked.iter().for_each(|id| self.graph.link(*id)));
            if catch_unwind(link).is_err() {
                failed = Some(
                    WireError::new(ErrorKind::Internal, "the vector graph failed")
                        .detail("The engine's log has its message."),
                );
            }
        }
    }

    /// Points that are not linked yet. One that is missing here is in the graph.
    pub fn unlinked(&self) -> Vec<PointId> {
        if self.unlinked.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        lock(&self.state).unlinked.iter().copied().collect()
    }

    /// How many these are.
    pub fn count(&self) -> usize {
        self.unlinked.load(Ordering::Acquire)
    }

    /// What went wrong.
    pub fn error(&self) -> Option<WireError> {
        lock(&self.state).error.clone()
    }

    /// Waits until all points are linked, reporting how many are left.
    ///
    /// # Errors
    /// What went wrong with a point, a cancel, or what `progress` returns.
    pub fn wait(
        &self,
        progress: &mut dyn FnMut(u64) -> Result<(), WireError>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), WireError> {
        loop {
            let busy = |state: &mut State| !state.unlinked.is_empty() && state.error.is_none();
            let (state, _) = self
                .changed
                .wait_timeout_while(lock(&self.state), TICK, busy)
                .unwrap_or_else(PoisonError::into_inner);
            let (left, error) = (state.unlinked.len(), state.error.clone());
            drop(state);
            if let Some(error) = error {
                return Err(error);
            }
            progress(left as u64)?;
            if left == 0 {
                return Ok(());
            }
            if cancelled() {
                return Err(WireError::new(
                    ErrorKind::Canceled,
                    "canceled while building an index",
                ));
            }
        }
    }

    /// Waits until none of these points is on its way. False when `stopped` is.
    pub fn wait_for(&self, points: &[PointId], stopped: &dyn Fn() -> bool) -> bool {
        loop {
            let busy = |state: &mut State| points.iter().any(|id| state.unlinked.contains(id));
            let state = lock(&self.state);
            let (mut state, _) = self
                .changed
                .wait_timeout_while(state, TICK, |state| busy(state) && state.error.is_none())
                .unwrap_or_else(PoisonError::into_inner);
            if !busy(&mut state) {
                return true;
            }
            if stopped() || state.error.is_some() {
                return false;
            }
        }
    }
}
