//! Repositories' files kept between resolutions, by the names of their states.
//!
//! The name of a state is made anew, at random, in the transaction that writes it, beside what it names:
//! who reads the name reads those facts. A state whose transaction was rolled back is never asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use onyx_protocol::code::RepoState;

use crate::resolve::Space;
use crate::store::lock;

/// All states together take at most this part of `onyx.memory_limit`: a quarter.
const SHARE: u64 = 4;

#[derive(Default)]
struct States {
    spaces: HashMap<RepoState, (Arc<Space>, u64)>,
    /// By `Space::bytes`.
    bytes: usize,
    max_bytes: usize,
    clock: u64,
}

/// What is kept, the least recently used left out.
#[derive(Default)]
pub struct Kept(Mutex<States>);

impl Kept {
    /// Sets how much memory these may take, of `memory_limit` bytes for all.
    pub fn set_memory_limit(&self, memory_limit: u64) {
        let mut states = lock(&self.0);
        states.max_bytes = usize::try_from(memory_limit / SHARE).unwrap_or(usize::MAX);
        states.shrink();
    }

    /// A state that stays kept.
    pub fn get(&self, state: &RepoState) -> Option<Arc<Space>> {
        let mut states = lock(&self.0);
        states.clock += 1;
        let clock = states.clock;
        let (space, used) = states.spaces.get_mut(state)?;
        *used = clock;
        Some(Arc::clone(space))
    }

    /// A state that is about to be another: nobody else has it unless it is in use, so that it can be
    /// changed in its place.
    pub fn take(&self, state: &RepoState) -> Option<Arc<Space>> {
        let mut states = lock(&self.0);
        let (space, _) = states.spaces.remove(state)?;
        states.bytes -= space.bytes();
        Some(space)
    }

    /// Keeps a state.
    pub fn put(&self, state: RepoState, space: Arc<Space>) {
        let mut states = lock(&self.0);
        if space.bytes() > states.max_bytes {
            // All others would make room for nothing.
            log::debug!("the facts of a repository take {} bytes and are not kept", space.bytes());
            return;
        }
        states.clock += 1;
        let clock = states.clock;
        states.bytes += space.bytes();
        if let Some((old, _)) = states.spaces.insert(state, (space, clock)) {
            states.bytes -= old.bytes();
        }
        states.shrink();
    }
}

impl States {
    fn shrink(&mut self) {
        while self.bytes > self.max_bytes {
            let oldest = self.spaces.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(state, _)| *state) else { return };
            if let Some((space, _)) = self.spaces.remove(&oldest) {
                self.bytes -= space.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::FileInput;

    fn space(bytes: usize) -> Arc<Space> {
        let interface = onyx_protocol::code::Interface::new(onyx_protocol::facts::Language::Rust);
        let input = FileInput {
            id: 1,
            repo: 0,
            path: "a.rs".into(),
            language: onyx_protocol::facts::Language::Rust,
            module: String::new(),
            package: String::new(),
            interface: interface.encode().unwrap(),
        };
        let mut space = Space::new(0);
        space.add(&input).unwrap();
        space.set_dependencies(1, &vec![0; bytes]);
        Arc::new(space)
    }

    #[test]
    fn memory_is_bounded_and_the_least_used_goes() {
        let kept = Kept::default();
        kept.set_memory_limit(1 << 30);
        for n in 0..4 {
            kept.put([n; 16], space(60 << 20));
        }
        assert!(kept.get(&[0; 16]).is_some());
        kept.put([9; 16], space(60 << 20));
        assert!(kept.get(&[1; 16]).is_none());
        assert!(kept.get(&[0; 16]).is_some());
        assert!(kept.take(&[9; 16]).is_some() && kept.get(&[9; 16]).is_none());
        // What is larger than all that may be kept sends nothing else away.
        kept.put([10; 16], space(257 << 20));
        assert!(kept.get(&[10; 16]).is_none() && kept.get(&[0; 16]).is_some());
        kept.set_memory_limit(300 << 20);
        assert!(kept.get(&[0; 16]).is_some() && kept.get(&[3; 16]).is_none());
        let left = kept.get(&[0; 16]).unwrap().bytes();
        assert_eq!(lock(&kept.0).bytes, left);
    }
}
