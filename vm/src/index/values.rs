//! What each mentioned value of each key rules out: a hash table over pairs of numbers.

use super::rows::Value;

/// Finds the row of a value: open addressing, at most half full.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    slots: Box<[Slot]>,
    rows: Vec<Value>,
}

/// A key, a value, and the number of their row.
type Slot = (u32, u32, u32);

const FREE: Slot = (u32::MAX, u32::MAX, u32::MAX);

impl Values {
    /// The table of rows that are each of one key and one value; no two of the same.
    pub(super) fn build(rows: Vec<(u32, u32, Value)>) -> Self {
        if rows.is_empty() {
            return Self::default();
        }
        let mut slots = vec![FREE; (rows.len() * 2).next_power_of_two()].into_boxed_slice();
        let mask = slots.len() - 1;
        let mut kept = Vec::with_capacity(rows.len());
        for (number, (key, value, row)) in (0..).zip(rows) {
            let mut at = hash(key, value);
            // At most half of the slots are taken, so a free one follows.
            while slots.get(at & mask).is_some_and(|&slot| slot != FREE) {
                at += 1;
            }
            if let Some(slot) = slots.get_mut(at & mask) {
                *slot = (key, value, number);
            }
            kept.push(row);
        }
        Self { slots, rows: kept }
    }

    /// The row of a value of a key, if it is not as that of any other value.
    #[inline]
    pub(super) fn find(&self, key: u32, value: u32) -> Option<&Value> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash(key, value);
        loop {
            match *self.slots.get(at & mask)? {
                FREE => return None,
                (of, is, row) if of == key && is == value => return self.rows.get(row as usize),
                _ => at = at.wrapping_add(1),
            }
        }
    }
}

/// PERF: both numbers are small and dense, so one multiplication spreads them well.
#[inline]
const fn hash(key: u32, value: u32) -> usize {
    let both = (key as u64) << 32 | value as u64;
    (both.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_found_and_no_other() {
        let pairs = (0..40).flat_map(|key| (0..key % 7).map(move |value| (key, value * 3)));
        let rows = pairs.clone().map(|(key, value)| (key, value, Value::Patch([(key, 1)].into())));
        let values = Values::build(rows.collect());
        for (key, value) in pairs {
            let found = values.find(key, value);
            assert!(matches!(found, Some(Value::Patch(row)) if row[0].0 == key), "{key} {value}");
            assert!(values.find(key, value + 1).is_none());
        }
        assert!(Values::default().find(0, 0).is_none());
    }
}
