//! One fsync for all who wait for one.

use std::sync::{Condvar, Mutex};

use super::{StoreError, lock};

/// Shares fsyncs: a caller is served by any sync that began after it came.
#[derive(Default)]
pub struct SharedSync {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    begun: u64,
    ended: u64,
    running: bool,
    /// The first failure. After a failed fsync nobody knows what is on disk, so it is final.
    failed: Option<StoreError>,
}

impl SharedSync {
    /// Returns once a call of `sync` that began after this one's begin has ended.
    ///
    /// # Errors
    /// The first error any sync ever had.
    pub fn sync(&self, sync: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let mine = state.begun + 1;
        while state.running && state.ended < mine && state.failed.is_none() {
            state = self.ended.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        if state.ended >= mine {
            return Ok(());
        }
        state.running = true;
        state.begun += 1;
        let number = state.begun;
        drop(state);
        let result = sync();
        let mut state = lock(&self.state);
        state.running = false;
        state.ended = number;
        state.failed = result.clone().err();
        self.ended.notify_all();
        result
    }

    /// Whether a sync has failed.
    pub fn failed(&self) -> bool {
        lock(&self.state).failed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn concurrent_callers_share_and_none_returns_early() {
        let (shared, syncs) = (SharedSync::default(), AtomicU64::new(0));
        let (written, durable) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mine = written.fetch_add(1, Ordering::SeqCst) + 1;
                        let sync = || {
                            let seen = written.load(Ordering::SeqCst);
                            std::thread::sleep(Duration::from_millis(1));
                            durable.fetch_max(seen, Ordering::SeqCst);
                            syncs.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        };
                        shared.sync(sync).unwrap();
                        assert!(durable.load(Ordering::SeqCst) >= mine);
                    }
                });
            }
        });
        assert!(syncs.into_inner() < 160, "16 threads x 20 calls must share");
    }

    #[test]
    fn a_failure_is_final() {
        let shared = SharedSync::default();
        let error = StoreError::io("sync", &"no space");
        assert_eq!(shared.sync(|| Err(error.clone())), Err(error.clone()));
        assert_eq!(shared.sync(|| Ok(())), Err(error));
        assert!(shared.failed());
    }
}
