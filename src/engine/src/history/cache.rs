//! A map that forgets: of what was not asked for lately, within a bound of weight.

use std::collections::HashMap;
use std::hash::Hash;

/// Two maps of half the weight each. What is new or asked for is in the young one; when that is full, it
/// becomes the old one, and what nobody asked for since is gone. Costs two look-ups at worst, and unlike
/// a list in the order of use no memory an entry.
pub(super) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    weight: usize,
    half: usize,
    weigh: fn(&V) -> usize,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// One for values of `limit` weight together; entry by entry as `weigh` says.
    pub(super) fn new(limit: usize, weigh: fn(&V) -> usize) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { young, old, weight: 0, half: limit / 2, weigh }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let weight = (self.weigh)(&value);
        if self.weight + weight > self.half {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_asked_for_and_no_more_than_it_may() {
        let mut cache = Cache::new(100, |_| 1);
        for key in 0..1_000 {
            cache.insert(key, key);
            assert_eq!(cache.get(&0), Some(0));
            assert!(cache.young.len() + cache.old.len() <= 100);
        }
        assert_eq!(cache.get(&999), Some(999));
        assert_eq!(cache.get(&500), None);
    }

    #[test]
    fn one_that_is_too_heavy_is_kept_for_a_while() {
        let mut cache = Cache::new(10, |weight| *weight);
        cache.insert("large", 100);
        assert_eq!(cache.get(&"large"), Some(100));
        cache.insert("a", 1);
        cache.insert("b", 9);
        assert_eq!(cache.get(&"large"), None);
    }
}
