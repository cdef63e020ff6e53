//! The ingests under way, each one a client's requests with pauses in which it writes rows. Embedding in
//! the background waits for them, see `background`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::store::lock;

/// How long an ingest may be silent between two of its requests; it counts as given up afterwards.
const BETWEEN_REQUESTS: Duration = Duration::from_secs(5);

/// All of them.
#[derive(Default)]
pub struct Ingests {
    /// By number. None while a request is worked on, else until when another is expected.
    expected: Mutex<HashMap<u64, Option<Instant>>>,
    next: AtomicU64,
}

impl Ingests {
    /// Whether there is one.
    pub fn are_under_way(&self) -> bool {
        let now = Instant::now();
        lock(&self.expected).values().any(|until| until.is_none_or(|until| now < until))
    }
}

/// What one client ingests. Ends with its connection.
pub struct Ingest {
    all: Arc<Ingests>,
    number: u64,
}

impl Ingest {
    pub fn new(all: &Arc<Ingests>) -> Self {
        Self { all: Arc::clone(all), number: all.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// A request of an ingest begins. With its end the ingest has ended, unless it says that more
    /// follows.
    pub fn request(&self) -> IngestRequest {
        lock(&self.all.expected).insert(self.number, None);
        IngestRequest { all: Arc::clone(&self.all), number: self.number, until: None }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        lock(&self.all.expected).remove(&self.number);
    }
}

/// A request that is worked on.
pub struct IngestRequest {
    all: Arc<Ingests>,
    number: u64,
    until: Option<Instant>,
}

impl IngestRequest {
    /// The client will send another.
    pub fn more_follows(mut self) {
        self.until = Instant::now().checked_add(BETWEEN_REQUESTS);
    }
}

impl Drop for IngestRequest {
    fn drop(&mut self) {
        let mut expected = lock(&self.all.expected);
        match self.until {
            Some(until) => expected.insert(self.number, Some(until)),
            None => expected.remove(&self.number),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ingest_goes_on_between_its_requests() {
        let all = Arc::new(Ingests::default());
        let (one, other) = (Ingest::new(&all), Ingest::new(&all));
        assert!(!all.are_under_way());
        let walk = one.request();
        drop(other.request());
        assert!(all.are_under_way(), "the other's walk goes on");
        walk.more_follows();
        assert!(all.are_under_way(), "rows are written");
        other.request().more_follows();
        drop(one.request());
        assert!(all.are_under_way(), "only one has ended");
        drop(other);
        assert!(!all.are_under_way(), "its connection has ended");
    }

    #[test]
    fn an_ingest_that_was_given_up_holds_nothing_for_ever() {
        let all = Arc::new(Ingests::default());
        let one = Ingest::new(&all);
        one.request().more_follows();
        let past = Instant::now().checked_sub(Duration::from_millis(1));
        lock(&all.expected).insert(one.number, past);
        assert!(!all.are_under_way());
    }
}
