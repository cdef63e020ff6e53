//! Texts being embedded right now, so that two calls do not embed the same text.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{ModelKey, Priority, TextHash};

/// How often a waiting call looks whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(20);

type Held = HashMap<(ModelKey, TextHash), Priority>;

/// Who embeds what. A call never waits while it holds a claim, so none waits in a circle.
#[derive(Default)]
pub(super) struct Claims {
    held: Mutex<Held>,
    released: Condvar,
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims those of `hashes` that nobody else embeds; the answer's `mine` says which. An
    /// interactive call does not leave a text to a background call, which may be long in coming.
    pub(super) fn claim(
        &self,
        model: ModelKey,
        priority: Priority,
        hashes: &[TextHash],
    ) -> (Vec<bool>, Claim<'_>) {
        let mut held = self.lock();
        let mut owned = Vec::new();
        let mine = hashes
            .iter()
            .map(|hash| match held.get(&(model, *hash)) {
                None => {
                    held.insert((model, *hash), priority);
                    owned.push((model, *hash));
                    true
                }
                Some(Priority::Background) => priority == Priority::Interactive,
                Some(Priority::Interactive) => false,
            })
            .collect();
        drop(held);
        (mine, Claim { claims: self, owned })
    }

    /// Waits until nobody embeds this text; false when cancelled meanwhile.
    pub(super) fn wait(
        &self,
        model: ModelKey,
        hash: TextHash,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> bool {
        let mut held = self.lock();
        while held.contains_key(&(model, hash)) {
            held = self
                .released
                .wait_timeout(held, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if cancelled() {
                return false;
            }
        }
        true
    }
}

/// Texts claimed by one call; released when dropped, whether they were embedded or not.
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    owned: Vec<(ModelKey, TextHash)>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut held = self.claims.lock();
        for key in &self.owned {
            held.remove(key);
        }
        drop(held);
        self.claims.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: ModelKey = ModelKey([1; 16]);
    const A: TextHash = [1; 32];
    const B: TextHash = [2; 32];

    #[test]
    fn a_text_is_claimed_once_until_released() {
        let claims = Claims::default();
        let (mine, first) = claims.claim(MODEL, Priority::Interactive, &[A]);
        assert_eq!(mine, [true]);
        let (mine, second) = claims.claim(MODEL, Priority::Interactive, &[A, B]);
        assert_eq!(mine, [false, true]);
        let (other, _) = claims.claim(ModelKey([2; 16]), Priority::Interactive, &[A]);
        assert_eq!(other, [true]);
        assert!(!claims.wait(MODEL, A, &|| true));
        drop(first);
        assert!(claims.wait(MODEL, A, &|| false));
        drop(second);
        assert!(claims.lock().is_empty());
    }

    #[test]
    fn interactive_does_not_wait_for_background() {
        let claims = Claims::default();
        let (_, background) = claims.claim(MODEL, Priority::Background, &[A]);
        let (mine, interactive) = claims.claim(MODEL, Priority::Interactive, &[A]);
        assert_eq!(mine, [true]);
        // What it did not own it does not release.
        drop(interactive);
        assert!(!claims.lock().is_empty());
        drop(background);
    }
}
