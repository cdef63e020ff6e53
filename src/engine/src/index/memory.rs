//! The memory all generations and rankings may take together, and what each takes.

use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};

use onyx_protocol::{ErrorKind, WireError};

/// A limit and what is used of it, in bytes.
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
}

impl Budget {
    /// With nothing used.
    pub fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0) }
    }

    /// Changes the limit. What is over it is given back when more is asked for.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether so much more would fit.
    pub fn fits(&self, bytes: u64) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= self.limit()
    }

    /// What is used.
    #[cfg(test)]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn replace(&self, old: u64, new: u64) {
        self.used.fetch_add(new.wrapping_sub(old), Ordering::Relaxed);
    }
}

/// Gives memory that was freed back to the system: a build's and a load's batches leave much of it in the allocator.
pub fn trim() {
    // SAFETY: a C string, of a control that takes and gives no value. That it may be refused is no loss.
    unsafe {
        tikv_jemalloc_sys::mallctl(PURGE_ALL.as_ptr(), null_mut(), null_mut(), null_mut(), 0);
    }
}

/// All arenas' unused pages; 4096 is jemalloc's MALLCTL_ARENAS_ALL.
const PURGE_ALL: &CStr = c"arena.4096.purge";

/// What one generation or ranking uses; given back when this is dropped.
pub struct Share {
    budget: std::sync::Arc<Budget>,
    bytes: AtomicU64,
}

impl Share {
    /// Nothing yet.
    pub fn new(budget: std::sync::Arc<Budget>) -> Self {
        Self { budget, bytes: AtomicU64::new(0) }
    }

    /// Another share of the same budget.
    pub fn another(&self) -> Self {
        Self::new(std::sync::Arc::clone(&self.budget))
    }

    /// The budget it is a share of.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Says how much is used now.
    pub fn set(&self, bytes: u64) {
        let old = self.bytes.swap(bytes, Ordering::Relaxed);
        self.budget.replace(old, bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The error of a generation that does not fit; it begins a stale generation's reason.
pub fn no_room(wanted: u64, limit: u64) -> WireError {
    let mb = |bytes: u64| bytes.div_ceil(1 << 20);
    WireError::new(
        ErrorKind::ResourceExhausted,
        format!("the index does not fit into onyx.memory_limit of {} MB", mb(limit)),
    )
    .detail(format!("Its graph and codes need at least {} MB.", mb(wanted)))
    .hint("Raise onyx.memory_limit and rebuild the index.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_are_given_back() {
        let budget = std::sync::Arc::new(Budget::new(100));
        let (one, two) = (
            Share::new(std::sync::Arc::clone(&budget)),
            Share::new(std::sync::Arc::clone(&budget)),
        );
        one.set(60);
        two.set(30);
        assert!(budget.fits(10) && !budget.fits(11));
        one.set(20);
        assert!(budget.fits(50) && !budget.fits(51));
        drop(two);
        assert!(budget.fits(80) && !budget.fits(81));
        budget.set_limit(20);
        assert!(budget.fits(0) && !budget.fits(1));
    }
}
