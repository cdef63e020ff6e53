//! One client's walk of a repository's history, between `HistoryOpen` and `HistoryWalk` or `HistoryClose`.

use onyx_protocol::history::{HistoryBase, HistoryCommit, HistoryRequest};
use onyx_protocol::message::Response;
use onyx_protocol::{ErrorKind, WireError};

use crate::history::History;
use crate::parse::Limits;

/// What one connection has opened.
#[derive(Default)]
pub struct Session {
    history: Option<History>,
}

fn not_open() -> WireError {
    // The client opened it with an engine that is gone.
    WireError::new(ErrorKind::InvalidRequest, "no repository is open").hint("Try again.")
}

impl Session {
    pub fn open(
        &mut self,
        request: &HistoryRequest,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Response, WireError> {
        self.history = None;
        let (history, plan) = History::open(request, cancelled)?;
        self.history = Some(history);
        Ok(Response::HistoryPlanned(plan))
    }

    pub fn base(&mut self, base: HistoryBase) -> Result<Response, WireError> {
        self.history.as_mut().ok_or_else(not_open)?.base(base)?;
        Ok(Response::Done)
    }

    /// Walks; afterwards nothing is open.
    pub fn walk(
        &mut self,
        limits: &Limits,
        workers: usize,
        cancelled: &(dyn Fn() -> bool + Sync),
        emit: &mut dyn FnMut(Vec<HistoryCommit>) -> Result<(), WireError>,
    ) -> Result<Response, WireError> {
        let history = self.history.take().ok_or_else(not_open)?;
        history.walk(limits, workers, cancelled, emit)?;
        Ok(Response::Done)
    }

    pub fn close(&mut self) -> Response {
        self.history = None;
        Response::Done
    }
}
