//! The numbers of label texts: a hash table over the label pool.

use crate::pools::Strings;
use crate::wire::Fault;

/// Longest search.
const PROBES_MAX: usize = 256;

/// A pool that needs a longer one gets another hash, and is refused when it needs one with each of
/// these: labels can be chosen so that they meet under one hash, hardly under all.
const SEEDS: u64 = 16;

/// Finds label numbers by text: open addressing, at most half full.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    slots: Box<[Slot]>,
    seed: u64,
}

/// A label number, where its text is, and some bits of its hash: most texts that are not in the
/// pool are turned away by those alone.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    number: u32,
    at: u32,
    len: u32,
}

const FREE: Slot = Slot { tag: 0, number: u32::MAX, at: 0, len: 0 };

impl Labels {
    pub(super) fn build(pool: &Strings) -> Result<Self, Fault> {
        if pool.is_empty() {
            return Ok(Self::default());
        }
        (0..SEEDS)
            .find_map(|nth| Self::with_seed(pool, nth.wrapping_mul(MIX)))
            .ok_or_else(|| Fault::new("labels", "too many of one hash"))
    }

    fn with_seed(pool: &Strings, seed: u64) -> Option<Self> {
        let mut slots = vec![FREE; (pool.len() * 2).next_power_of_two()].into_boxed_slice();
        let mut start = 0;
        for (number, text) in (0..).zip(pool.iter()) {
            let hash = hash(seed, text.as_bytes());
            let places = probes(hash, slots.len());
            let free = places
                .into_iter()
                .find(|&at| slots.get(at).is_some_and(|slot| slot.number == FREE.number));
            let slot = free.and_then(|at| slots.get_mut(at))?;
            let len = text.len() as u32;
            *slot = Slot { tag: tag(hash), number, at: start, len };
            start += len;
        }
        Some(Self { slots, seed })
    }

    /// The number of a text in `pool`, for which the table was built.
    #[inline]
    pub(super) fn find(&self, pool: &Strings, text: &str) -> Option<u32> {
        let text = text.as_bytes();
        let hash = hash(self.seed, text);
        for at in probes(hash, self.slots.len()) {
            let slot = self.slots.get(at)?;
            if slot.number == FREE.number {
                return None;
            }
            if slot.tag == tag(hash) && slot.len as usize == text.len() {
                let at = slot.at as usize;
                if pool.bytes().get(at..at + text.len()) == Some(text) {
                    return Some(slot.number);
                }
            }
        }
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// The slots to look at, one after the other.
#[inline]
fn probes(hash: u64, slots: usize) -> impl Iterator<Item = usize> {
    let mask = slots.wrapping_sub(1);
    (0..PROBES_MAX).map(move |step| (hash as usize).wrapping_add(step) & mask)
}

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// PERF: eight bytes a step, the last of them overlapping the ones before; labels are short, so a
/// byte-wise hash would cost more than the rest of a look-up.
#[inline]
fn hash(seed: u64, text: &[u8]) -> u64 {
    let mut hash = text.len() as u64 ^ seed;
    let mut rest = text;
    while let Some((&word, after)) = rest.split_first_chunk() {
        hash = mix(hash, u64::from_le_bytes(word));
        rest = after;
    }
    let last = match (text.last_chunk(), rest.first_chunk(), rest.last_chunk()) {
        (Some(&word), ..) => u64::from_le_bytes(word),
        (None, Some(&low), Some(&high)) => {
            u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32
        }
        _ => rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    mix(hash, last)
}

const fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash.rotate_left(23) ^ word ^ MIX) as u128 * (MIX | 1) as u128;
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_found_and_no_other() {
        let mut pool = Strings::default();
        let texts: Vec<String> = (0..300)
            .map(|nth: usize| "label/".repeat(nth % 5).chars().skip(nth % 7).collect::<String>())
            .map(|text| text + "x")
            .enumerate()
            .map(|(nth, text)| format!("{text}{nth}"))
            .chain([String::new(), "a".into(), "ab".into(), "abc".into(), "abcd".into()])
            .collect();
        for text in &texts {
            pool.push(text);
        }
        let labels = Labels::build(&pool).unwrap();
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(labels.find(&pool, text), Some(number), "{text}");
            assert_eq!(labels.find(&pool, &format!("{text}!")), None, "{text}!");
        }
        assert_eq!(Labels::default().find(&Strings::default(), ""), None);
    }

    #[test]
    fn labels_that_were_chosen_to_meet_are_found() {
        let mut pool = Strings::default();
        let meet =
            (0..).map(|nth| format!("v{nth}")).filter(|text| hash(0, text.as_bytes()) % 1024 < 8);
        let texts: Vec<String> = meet.take(300).collect();
        for text in &texts {
            pool.push(text);
        }
        let labels = Labels::build(&pool).unwrap();
        assert_ne!(labels.seed, 0, "they meet under the first hash");
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(labels.find(&pool, text), Some(number), "{text}");
        }
    }
}
