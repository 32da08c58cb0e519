//! A quick hash for the tables that building automata looks things up in.
//!
//! It folds a wide product for each eight bytes. The keys are ours (states, labels, codes), the
//! number of lookups is bounded by the work allowed for a pattern, and no output depends on the
//! order of a map.

use std::hash::{BuildHasherDefault, Hasher};

/// A map by the quick hash.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Fold>>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold(u64);

impl Fold {
    fn add(&mut self, word: u64) {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let wide = u128::from(self.0.rotate_left(23) ^ word ^ FACTOR)
            * u128::from(FACTOR ^ 0x2545_f491_4f6c_dd1d);
        self.0 = (wide as u64) ^ (wide >> 64) as u64;
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in chunks.by_ref() {
            self.add(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(into, byte)| *into = *byte);
            self.add(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.add(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
