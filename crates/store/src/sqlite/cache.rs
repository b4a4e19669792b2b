//! Rows that the writer keeps between transactions, so that it need not read back what it wrote.
//!
//! The writer is the only one who writes (the lock file sees to that), so what it keeps is never stale. Two
//! generations instead of a list by age: when the young one is full it becomes the old one, and what is used
//! again moves over. That costs one lookup and forgets what was not used for at least one generation.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Spreads keys that a counter gave, and ids that chance gave, with one multiplication (Knuth's, by 2^64 over the golden ratio). They are
/// ours, so nobody can choose them to collide.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|&word| self.write_u64(u64::from_le_bytes(word)));
        rest.iter().for_each(|&byte| self.write_u64(byte.into()));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    fn write_i64(&mut self, number: i64) {
        self.write_u64(number as u64);
    }
    fn finish(&self) -> u64 {
        // The table takes its place from the low bits and its tag from the high ones.
        self.0 ^ (self.0 >> 32)
    }
}

/// A map by such keys.
pub(super) type KeyMap<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Rows by key, at most about twice `size` of them between transactions.
pub(super) struct Cache<K, V> {
    young: KeyMap<K, V>,
    old: KeyMap<K, V>,
    size: usize,
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    pub(super) fn new(size: usize) -> Self {
        Self { young: KeyMap::default(), old: KeyMap::default(), size }
    }

    /// Whether it is here; moves it to the young.
    pub(super) fn has(&mut self, key: K) -> bool {
        if self.young.contains_key(&key) {
            return true;
        }
        match self.old.remove(&key) {
            Some(value) => {
                self.young.insert(key, value);
                true
            }
            None => false,
        }
    }

    /// What [`Cache::has`] just found or [`Cache::insert`] just kept.
    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match self.young.get_mut(&key) {
            Some(value) => Some(value),
            None => self.old.get_mut(&key),
        }
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.young.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let young = self.young.remove(&key);
        let old = self.old.remove(&key);
        young.or(old)
    }

    /// Forgets what is neither here nor wanted; only between transactions, when nothing is unwritten.
    pub(super) fn age(&mut self) {
        if self.young.len() > self.size {
            // Their tables are kept: one that grows anew moves what is in it a dozen times.
            self.old.clear();
            std::mem::swap(&mut self.young, &mut self.old);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_forgets_what_is_not() {
        let mut cache = Cache::new(2);
        for key in 0..3 {
            cache.insert(key, key);
        }
        cache.age();
        assert!(cache.has(0));
        for key in 3..6 {
            cache.insert(key, key);
        }
        cache.age();
        assert!(cache.has(0) && !cache.has(1) && !cache.has(2));
        assert_eq!(cache.get_mut(5), Some(&mut 5));
    }
}
