//! A backend's connection to the engine.
//!
//! One connection a backend, opened at the first need. A request under way owns it: whatever ends
//! the request early (cancel, error, lost peer) drops the connection, and the engine takes its end
//! as the cancel of everything on it. So no answer can be taken for another request's.

mod wire;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use onyx_protocol::message::{Item, Request, RequestBody, Response};
use pgrx::{check_for_interrupts, pg_sys};

use crate::error::Error;
use crate::supervisor::shared;
use wire::Connection;

/// How long a command that cannot go on without the engine waits for one that is starting.
const STARTUP_WAIT: Duration = Duration::from_secs(10);

/// A connection and its number among this backend's.
type Numbered = (u64, Connection);

thread_local! {
    static CONNECTION: RefCell<Option<Numbered>> = const { RefCell::new(None) };
    static OPENED: Cell<u64> = const { Cell::new(0) };
}

/// How many connections this backend has opened: as long as it is the same, so is the engine.
pub fn opened() -> u64 {
    OPENED.get()
}

/// The number of the connection at hand, if its engine lives: as long as it is the same, so is what the
/// engine keeps for it.
pub fn number() -> Option<u64> {
    CONNECTION.with_borrow(|at_hand| {
        let (number, connection) = at_hand.as_ref()?;
        connection.is_alive().then_some(*number)
    })
}

fn open() -> Result<Numbered, Error> {
    OPENED.set(OPENED.get() + 1);
    Ok((OPENED.get(), Connection::open()?))
}

/// Asks and waits for the answer. Fails at once when the engine is down.
pub fn call(body: RequestBody) -> Result<Response, Error> {
    stream(body, |_| Err(Error::Protocol { detail: "A single answer was expected.".into() }))
}

/// Like [`call`], but waits for an engine that is just starting: for commands that need it.
pub fn call_patiently(body: RequestBody) -> Result<Response, Error> {
    wait_for_start();
    call(body)
}

/// Asks, hands every streamed item to `on_item`, and returns the final answer.
pub fn stream(
    body: RequestBody,
    mut on_item: impl FnMut(Item) -> Result<(), Error>,
) -> Result<Response, Error> {
    let request = Request { deadline_ms: 0, body };
    // One that is asked from within `on_item` opens another, for itself.
    let mut at_hand = match CONNECTION.take() {
        Some(at_hand) => at_hand,
        None => open()?,
    };
    // The error of either leaves the connection out of step, so it is dropped.
    let response = match at_hand.1.request(&request, &mut on_item)? {
        Some(response) => response,
        // A connection that was idle when its engine died shows only now. Nothing was sent to the new
        // engine yet, so one fresh attempt is safe.
        None => {
            at_hand = open()?;
            at_hand.1.request(&request, &mut on_item)?.ok_or_else(wire::closed)?
        }
    };
    CONNECTION.set(Some(at_hand));
    response.map_err(Error::Engine)
}

/// Returns once the engine accepts connections, or after [`STARTUP_WAIT`], or at once when the
/// supervisor has no engine under way.
pub fn wait_for_start() {
    let deadline = Instant::now() + STARTUP_WAIT;
    while shared::is_starting() && Instant::now() < deadline {
        sleep(Duration::from_millis(20));
    }
}

/// Sleeps until the latch is set or time is up, honouring interrupts; ends this process when the postmaster has.
pub fn sleep(duration: Duration) {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: MyLatch is this process's own latch, valid for its life.
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            events as i32,
            duration.as_millis() as _,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    check_for_interrupts!();
}
