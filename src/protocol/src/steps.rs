//! Named steps: where a test can have a process stand still, to see what a crash there leaves behind.
//!
//! Code that is worth a crash names the step it has come to. The setting `onyx.debug_stop_at` says at which one a
//! process stops: a step's name, or `NAME:N` for its N-th passage since the setting was made. Without a setting a
//! step costs a look at one flag.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where one process is to stop.
#[derive(Debug)]
pub struct Steps {
    is_set: AtomicBool,
    wanted: Mutex<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    setting: String,
    /// Passages to come, the one to stop at included.
    left: u32,
}

impl Steps {
    /// Nowhere.
    #[must_use]
    pub const fn new() -> Self {
        let wanted = Wanted { setting: String::new(), left: 0 };
        Self { is_set: AtomicBool::new(false), wanted: Mutex::new(wanted) }
    }

    /// Takes a setting over; one that is the same as before changes nothing.
    pub fn set(&self, setting: &str) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.setting != setting {
            let left = match setting.split_once(':') {
                Some((_, passages)) => passages.parse().unwrap_or(0),
                None => u32::from(!setting.is_empty()),
            };
            *wanted = Wanted { setting: setting.to_owned(), left };
            self.is_set.store(wanted.left > 0, Ordering::Relaxed);
        }
    }

    /// Whether this process has to stop now that it has come to a step.
    #[inline]
    pub fn stops_at(&self, step: &str) -> bool {
        self.is_set.load(Ordering::Relaxed) && self.count(step)
    }

    #[cold]
    fn count(&self, step: &str) -> bool {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let name = wanted.setting.split(':').next();
        if name != Some(step) || wanted.left == 0 {
            return false;
        }
        wanted.left -= 1;
        wanted.left == 0
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_stops_once_at_the_passage_that_is_wanted() {
        let steps = Steps::new();
        assert!(!steps.stops_at("a"));
        steps.set("a:2");
        steps.set("a:2");
        let stops = [(), (), (), ()].map(|()| (steps.stops_at("b"), steps.stops_at("a")));
        assert_eq!(stops, [(false, false), (false, true), (false, false), (false, false)]);
        steps.set("b");
        assert!(!steps.stops_at("a") && steps.stops_at("b") && !steps.stops_at("b"));
        for nowhere in ["", "a:none", "a:0"] {
            steps.set(nowhere);
            assert!(!steps.stops_at("a") && !steps.stops_at(""), "{nowhere}");
        }
    }
}
