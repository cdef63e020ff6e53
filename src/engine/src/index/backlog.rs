//! Points of a build on their way into the graph, so that the client can send the next entries
//! meanwhile.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use onyx_protocol::{ErrorKind, WireError};

use super::distance::Vector;
use super::graph::{Graph, PointId};
use crate::store::lock;

/// Points that may wait; an insert that finds more waits itself.
const MAX_POINTS: usize = 20_000;

/// Points one task inserts.
const TASK_POINTS: usize = 128;

/// How often who waits reports progress and looks for a cancel.
const TICK: Duration = Duration::from_millis(100);

/// Points on their way.
#[derive(Default)]
pub struct Backlog {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    points: usize,
    error: Option<WireError>,
}

impl Backlog {
    /// Hands points to the graph's threads, and waits first while too many are on their way.
    ///
    /// # Errors
    /// What went wrong with any earlier point.
    pub fn run(
        this: &Arc<Self>,
        graph: Arc<Graph>,
        points: Vec<(PointId, Vector)>,
    ) -> Result<(), WireError> {
        let mut state = this
            .changed
            .wait_while(lock(&this.state), |state| {
                state.points > MAX_POINTS && state.error.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        state.points += points.len();
        drop(state);
        for chunk in points.chunks(TASK_POINTS) {
            let (this, task_graph, chunk) = (Arc::clone(this), Arc::clone(&graph), chunk.to_vec());
            graph.spawn(move || {
                let result = task_graph.insert_here(&chunk);
                let mut state = lock(&this.state);
                state.points -= chunk.len();
                state.error = state.error.take().or(result.err());
                drop(state);
                this.changed.notify_all();
            });
        }
        Ok(())
    }

    /// Waits until all points are in, reporting how many are left.
    ///
    /// # Errors
    /// What went wrong with a point, a cancel, or what `progress` returns.
    pub fn wait(
        &self,
        progress: &mut dyn FnMut(u64) -> Result<(), WireError>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), WireError> {
        loop {
            let state = lock(&self.state);
            let (state, _) = self
                .changed
                .wait_timeout_while(state, TICK, |state| state.points > 0)
                .unwrap_or_else(PoisonError::into_inner);
            let (left, error) = (state.points, state.error.clone());
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
}
