//! Turns on a model: interactive calls first, in order of arrival, without starving the others.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How urgent an embedding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Someone waits for the answer: goes before every waiting background text.
    Interactive,
    /// The queue of texts inserted by committed transactions.
    Background,
}

/// After so many interactive turns in a row a waiting background text has one.
const INTERACTIVE_RUN: u32 = 16;

/// How often a waiting call looks whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(20);

/// One turn at a time, handed from owner to owner.
#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    handed: Condvar,
}

#[derive(Default)]
struct State {
    owner: Option<u64>,
    next: u64,
    interactive: VecDeque<u64>,
    background: VecDeque<u64>,
    run: u32,
}

impl State {
    fn queue(&mut self, priority: Priority) -> &mut VecDeque<u64> {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Background => &mut self.background,
        }
    }

    /// Gives the free turn to whom it is due.
    fn hand_on(&mut self) {
        let due = self.run >= INTERACTIVE_RUN && !self.background.is_empty();
        self.owner = match self.interactive.front() {
            Some(_) if !due => {
                self.run += 1;
                self.interactive.pop_front()
            }
            _ => {
                self.run = 0;
                self.background.pop_front()
            }
        };
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; `None` when cancelled meanwhile.
    pub(super) fn take(
        &self,
        priority: Priority,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Option<Turn<'_>> {
        let mut state = self.lock();
        let ticket = state.next;
        state.next += 1;
        state.queue(priority).push_back(ticket);
        if state.owner.is_none() {
            state.hand_on();
        }
        while state.owner != Some(ticket) {
            let (held, timeout) =
                self.handed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = held;
            if timeout.timed_out() && state.owner != Some(ticket) && cancelled() {
                state.queue(priority).retain(|waiting| *waiting != ticket);
                return None;
            }
        }
        Some(Turn { turns: self })
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        let state = self.lock();
        state.interactive.len() + state.background.len()
    }
}

/// The right to run; ends when dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().hand_on();
        self.turns.handed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    /// Queues the priorities one after another behind a held turn, and returns who ran when.
    fn order(arrivals: &[Priority]) -> Vec<usize> {
        let turns = Turns::default();
        let ran = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let held = turns.take(Priority::Background, &|| false).unwrap();
            for (i, priority) in arrivals.iter().enumerate() {
                let (turns, ran) = (&turns, &ran);
                scope.spawn(move || {
                    let _turn = turns.take(*priority, &|| false).unwrap();
                    ran.lock().unwrap().push(i);
                });
                while turns.waiting() != i + 1 {
                    thread::yield_now();
                }
            }
            drop(held);
        });
        ran.into_inner().unwrap()
    }

    #[test]
    fn interactive_goes_first_and_each_class_in_order_of_arrival() {
        use Priority::{Background as B, Interactive as I};
        assert_eq!(order(&[B, I, B, I]), [1, 3, 0, 2]);
    }

    #[test]
    fn background_is_not_starved() {
        let mut arrivals = vec![Priority::Background];
        arrivals.extend([Priority::Interactive; 40]);
        let ran = order(&arrivals);
        assert_eq!(ran.iter().position(|i| *i == 0), Some(INTERACTIVE_RUN as usize));
    }

    #[test]
    fn a_waiting_call_can_be_cancelled_and_leaves_the_queue() {
        let turns = Turns::default();
        let held = turns.take(Priority::Interactive, &|| false).unwrap();
        let cancel = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                turns.take(Priority::Interactive, &|| cancel.load(Ordering::Relaxed)).is_none()
            });
            while turns.waiting() == 0 {
                thread::yield_now();
            }
            cancel.store(true, Ordering::Relaxed);
            assert!(waiting.join().unwrap());
        });
        assert_eq!(turns.waiting(), 0);
        drop(held);
        assert!(turns.take(Priority::Background, &|| false).is_some());
    }
}
