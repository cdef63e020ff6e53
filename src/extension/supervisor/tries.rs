//! Rebuilds of indexes that may have failed: how often, and when the next is worth it. An index that cannot
//! be built, say because it fits into no memory, must not keep the machine busy trying.

use pgrx::prelude::*;

use super::shared::SHARED;
use crate::guc;

/// Indexes remembered; of more, the one whose next try is due first is forgotten.
const REMEMBERED: usize = 32;

/// The longest pause, in naptimes, as a power of two.
const LONGEST: u32 = 4;

/// One index's rebuilds since the last that succeeded.
#[derive(Debug, Clone, Copy, Default)]
struct Try {
    database: u32,
    index: u32,
    count: u32,
    next: pg_sys::TimestampTz,
}

/// All of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tries([Try; REMEMBERED]);

impl Tries {
    fn find(&mut self, database: u32, index: u32) -> Option<&mut Try> {
        self.0.iter_mut().find(|t| (t.database, t.index) == (database, index) && t.count > 0)
    }

    /// Notes that a rebuild begins. The second may follow at once, since the engine may have been killed in the
    /// middle of the first; then each pause is twice the one before.
    fn begin(&mut self, database: u32, index: u32, now: pg_sys::TimestampTz, nap: i64) {
        let one = match self.0.iter().position(|t| (t.database, t.index) == (database, index)) {
            Some(at) => &mut self.0[at],
            None => {
                let due = |t: &&mut Try| (t.count > 0, t.next);
                let Some(one) = self.0.iter_mut().min_by_key(due) else { return };
                *one = Try { database, index, ..Try::default() };
                one
            }
        };
        one.next = match one.count {
            0 => now,
            n => now + (nap << (n - 1).min(LONGEST)),
        };
        one.count += 1;
    }

    /// Forgets all: something has changed that may help.
    pub fn forget_all(&mut self) {
        *self = Self::default();
    }
}

fn now() -> pg_sys::TimestampTz {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

fn database() -> u32 {
    // SAFETY: set in every backend.
    unsafe { pg_sys::MyDatabaseId }.to_u32()
}

/// Whether a rebuild of an index of this database is worth trying now.
pub fn is_due(index: pg_sys::Oid) -> bool {
    SHARED.exclusive().tries.find(database(), index.to_u32()).is_none_or(|t| t.next <= now())
}

/// A rebuild begins.
pub fn begin(index: pg_sys::Oid) {
    let nap = i64::from(guc::MAINTENANCE_NAPTIME_S.get()) * 1_000_000;
    SHARED.exclusive().tries.begin(database(), index.to_u32(), now(), nap);
}

/// A rebuild has succeeded.
pub fn succeeded(index: pg_sys::Oid) {
    if let Some(one) = SHARED.exclusive().tries.find(database(), index.to_u32()) {
        *one = Try::default();
    }
}

/// What `onyx.stat_index` says of an index that was rebuilt in vain.
pub fn words(index: pg_sys::Oid) -> Option<String> {
    let one = *SHARED.exclusive().tries.find(database(), index.to_u32())?;
    let seconds = (one.next - now()).max(0) / 1_000_000;
    (one.count > 1).then(|| {
        format!("; {} rebuilds failed or are under way, the next is due in {seconds} s", one.count)
    })
}
