//! Deadline and cancellation of one file.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use onyx_protocol::ingest::{Notice, SkipReason};

/// Asked again and again while a file is parsed; remembers why it said stop.
pub(super) struct Watch<'a> {
    deadline: Option<Instant>,
    timeout: Duration,
    cancelled: &'a dyn Fn() -> bool,
    stopped: Cell<Option<Stop>>,
}

#[derive(Clone, Copy)]
enum Stop {
    Timeout,
    Cancelled,
}

impl<'a> Watch<'a> {
    pub fn new(timeout: Duration, cancelled: &'a dyn Fn() -> bool) -> Self {
        let deadline = Instant::now().checked_add(timeout);
        Self { deadline, timeout, cancelled, stopped: Cell::new(None) }
    }

    /// Break when time is up or the caller wants no more.
    pub fn poll(&self) -> ControlFlow<()> {
        if self.stopped.get().is_none() {
            if (self.cancelled)() {
                self.stopped.set(Some(Stop::Cancelled));
            } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.stopped.set(Some(Stop::Timeout));
            }
        }
        match self.stopped.get() {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    /// The notice, when `poll` has said stop.
    pub fn check(&self) -> Result<(), Notice> {
        let detail = match self.stopped.get() {
            None => return Ok(()),
            Some(Stop::Cancelled) => "parsing was cancelled".to_owned(),
            Some(Stop::Timeout) => format!("parsing took longer than {:?}", self.timeout),
        };
        Err(Notice { reason: SkipReason::Timeout, detail, line: 0 })
    }
}
