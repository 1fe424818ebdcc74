//! Which slot belongs to whom, from one config to the next.

use crate::NOWHERE;
use std::collections::{BTreeSet, HashMap};

/// Which slot belongs to whom.
pub(super) struct Slots<K> {
    by_key: HashMap<K, u16>,
    generations: Vec<u8>,
    free: Vec<u16>,
    room: usize,
}

impl<K: Clone + Eq + core::hash::Hash + Ord> Slots<K> {
    pub(super) fn new(room: usize) -> Self {
        let room = room.min(usize::from(NOWHERE) - 1);
        Self {
            by_key: HashMap::new(),
            generations: Vec::new(),
            free: Vec::new(),
            room,
        }
    }

    /// Gives every one of `keys` a slot and takes the slots of all others away; says which slots
    /// have a new owner.
    pub(super) fn keep(&mut self, keys: impl Iterator<Item = K>) -> Vec<u16> {
        let keys: BTreeSet<K> = keys.collect();
        let mut gone: Vec<u16> = self
            .by_key
            .iter()
            .filter(|(key, _)| !keys.contains(key))
            .map(|(_, slot)| *slot)
            .collect();
        gone.sort_unstable();
        self.by_key.retain(|key, _| keys.contains(key));
        for slot in &gone {
            let generation = &mut self.generations[usize::from(*slot)];
            *generation = generation.wrapping_add(1);
        }
        // Behind those that have been free for longer, so that a slot rests before its next owner.
        self.free.splice(0..0, gone);
        let mut fresh = Vec::new();
        for key in keys {
            if self.by_key.contains_key(&key) {
                continue;
            }
            let Some(slot) = self.free_slot() else { break };
            self.by_key.insert(key, slot);
            fresh.push(slot);
        }
        fresh
    }

    fn free_slot(&mut self) -> Option<u16> {
        let next = self.generations.len();
        if next < self.room {
            self.generations.push(0);
            return u16::try_from(next).ok();
        }
        self.free.pop()
    }

    pub(super) fn find(&self, key: &K) -> Option<u16> {
        self.by_key.get(key).copied()
    }

    /// How many slots there are, owned or free.
    pub(super) fn slots(&self) -> usize {
        self.generations.len()
    }

    pub(super) fn generation(&self, slot: u16) -> u8 {
        self.generations[usize::from(slot)]
    }
}
