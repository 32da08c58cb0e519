//! Which policies can apply to a request at all.
//!
//! Most policies of a large set do not apply to a given request, and their selections should not
//! be run. For each label key that selections mention, and for each state it can be in (missing,
//! some value that none mentions, a mentioned value), the policies that can still apply are a row
//! of bits. A policy that cannot do without some label is filed under one such key; the
//! candidates of a request are the policies filed under the keys it has, and those that need
//! none, less the rows that its labels rule out. All of it is derived from the code of the
//! selections, so it cannot disagree with them. Start at [`Index::build`].
#![expect(clippy::indexing_slicing, reason = "INVARIANT (in bounds): numbers were verified before")]

use std::collections::BTreeMap;

use crate::isa::{Inst, Kind, Op};
use crate::program::{Draft, Strings};
use crate::wire::Fault;

/// Whose labels: the resource's or its namespace's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Space {
    Resource,
    Namespace,
}

impl Space {
    /// Whose labels a test of a selection reads.
    pub(crate) const fn of(op: Op) -> Self {
        if (op as u8) < (Op::NsLabelHas as u8) { Self::Resource } else { Self::Namespace }
    }
}

/// Longest search in a hash table; a table that needs more is refused when it is built.
const PROBES_MAX: usize = 256;

/// A selection of more instructions is always a candidate.
const FILED_INSTS_MAX: usize = 1_024;
/// So is, as far as the key is concerned, one that compares a key with more values ...
const FILED_VALUES_MAX: usize = 256;
/// ... and the keys beyond so many.
const FILED_KEYS_MAX: usize = 16;

/// Finds label numbers by text, and candidate policies by label.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    labels: Table,
    /// The key of each label number, in `keys`, for the resource and for the namespace.
    key_of: [Box<[u32]>; 2],
    keys: Vec<Key>,
    /// Policies that need no label.
    always: Box<[u64]>,
}

/// What the presence of one key says of all policies.
#[derive(Clone, Debug)]
struct Key {
    /// Policies filed under it.
    filed: Box<[u64]>,
    /// Policies that can apply when it has a value that no selection mentions.
    other: Box<[u64]>,
    /// The mentioned values, rising, each with its place in `differences`.
    values: Box<[(u32, u32, u32)]>,
    /// How the rows of mentioned values differ from `other`: word and bits, words rising.
    differences: Box<[(u32, u64)]>,
}

const NO_KEY: u32 = u32::MAX;

impl Index {
    /// Derives the rows; `selects` are the selections, as ranges of `draft.code`.
    pub(crate) fn build(draft: &Draft, selects: &[std::ops::Range<usize>]) -> Result<Self, Fault> {
        let labels = Table::build(draft.labels.len(), |number| hash_text(draft.labels.at(number)))?;
        let words = selects.len().div_ceil(64);
        let mut always = vec![0; words].into_boxed_slice();
        let mut keys: BTreeMap<(Space, u32), Vec<(u32, Limit)>> = BTreeMap::new();
        for (policy, select) in selects.iter().enumerate() {
            match limits(draft, &draft.code[select.clone()], select.start) {
                None => {}
                Some(limits) => {
                    if !limits.iter().any(|(_, limit)| limit.needed) {
                        always[policy / 64] |= 1 << (policy % 64);
                    }
                    for (key, limit) in limits {
                        keys.entry(key).or_default().push((policy as u32, limit));
                    }
                }
            }
        }
        let rarest = rarest(&keys);
        let mut key_of = [0, 1].map(|_| vec![NO_KEY; draft.labels.len()].into_boxed_slice());
        let mut rows = Vec::with_capacity(keys.len());
        for (&(space, label), limits) in &keys {
            key_of[space as usize][label as usize] = rows.len() as u32;
            let is_filed = |policy: u32| rarest.get(&policy) == Some(&(space, label));
            rows.push(Key::build(words, limits, is_filed));
        }
        Ok(Self { labels, key_of, keys: rows, always })
    }

    /// The number of a label text, if any selection mentions it.
    pub(crate) fn label(&self, labels: &Strings, text: &str) -> Option<u32> {
        self.labels.find(hash_text(text), |number| labels.at(number) == text)
    }

    /// Whether no selection mentions any label.
    pub(crate) fn is_blind(&self) -> bool {
        self.labels.slots.is_empty()
    }

    /// Sets the bits of the policies that can apply, given the mentioned labels of a request and
    /// their values; a value that is not mentioned may be any other number.
    pub(crate) fn candidates(
        &self,
        present: impl Iterator<Item = (Space, u32, u32)> + Clone,
        bits: &mut [u64],
    ) {
        bits.copy_from_slice(&self.always);
        let keys = present.filter_map(|(space, label, value)| {
            let key = *self.key_of[space as usize].get(label as usize)?;
            self.keys.get(key as usize).map(|key| (key, value))
        });
        for (key, _) in keys.clone() {
            for (bits, filed) in bits.iter_mut().zip(&key.filed) {
                *bits |= filed;
            }
        }
        for (key, value) in keys {
            key.rule_out(value, bits);
        }
    }
}

impl Key {
    fn build(words: usize, limits: &[(u32, Limit)], is_filed: impl Fn(u32) -> bool) -> Self {
        let mut filed = vec![0; words].into_boxed_slice();
        let mut other = vec![u64::MAX; words].into_boxed_slice();
        // For each value, the policies for which it is not as any other value.
        let mut apart: BTreeMap<u32, BTreeMap<u32, u64>> = BTreeMap::new();
        for (policy, limit) in limits {
            let (word, bit) = (policy / 64, 1 << (policy % 64));
            if is_filed(*policy) {
                filed[word as usize] |= bit;
            }
            if !limit.other {
                other[word as usize] &= !bit;
            }
            for &value in &limit.apart {
                *apart.entry(value).or_default().entry(word).or_default() |= bit;
            }
        }
        let (mut values, mut differences) = (Vec::new(), Vec::new());
        for (value, bits) in apart {
            let start = differences.len() as u32;
            differences.extend(bits);
            values.push((value, start, differences.len() as u32));
        }
        Self { filed, other, values: values.into(), differences: differences.into() }
    }

    /// Clears the bits of the policies that a value of this key keeps from applying.
    fn rule_out(&self, value: u32, bits: &mut [u64]) {
        let found = self.values.binary_search_by_key(&value, |&(value, _, _)| value);
        let differences = found.map_or(&[][..], |at| {
            let (_, start, end) = self.values[at];
            &self.differences[start as usize..end as usize]
        });
        // PERF: between the few words that differ there is nothing to decide.
        let mut from = 0;
        for &(word, difference) in differences {
            let word = word as usize;
            clear(&mut bits[from..word], &self.other[from..word]);
            bits[word] &= self.other[word] ^ difference;
            from = word + 1;
        }
        clear(&mut bits[from..], &self.other[from..]);
    }
}

fn clear(bits: &mut [u64], kept: &[u64]) {
    for (bits, kept) in bits.iter_mut().zip(kept) {
        *bits &= kept;
    }
}

/// For each policy that needs a label: the key under which the fewest are filed already.
fn rarest(keys: &BTreeMap<(Space, u32), Vec<(u32, Limit)>>) -> BTreeMap<u32, (Space, u32)> {
    let mut rarest: BTreeMap<u32, (usize, (Space, u32))> = BTreeMap::new();
    for (&key, limits) in keys {
        let crowd = limits.iter().filter(|(_, limit)| limit.needed).count();
        for (policy, _) in limits.iter().filter(|(_, limit)| limit.needed) {
            let best = rarest.entry(*policy).or_insert((crowd, key));
            *best = (*best).min((crowd, key));
        }
    }
    rarest.into_iter().map(|(policy, (_, key))| (policy, key)).collect()
}

/// How one key limits where one policy can apply.
#[derive(Clone, Debug)]
struct Limit {
    /// It cannot apply where the key is missing.
    needed: bool,
    /// It can apply where the key has a value that the policy does not mention.
    other: bool,
    /// The values for which that is otherwise.
    apart: Vec<u32>,
}

/// What is assumed of one label while asking whether `apply` can still be reached.
#[derive(Clone, Copy, PartialEq)]
enum Assumed {
    Missing,
    /// Present, with a value that no `eq` or `in` of this selection mentions.
    Other,
    Value(u32),
}

/// How the keys that a selection mentions limit it; `None` if it cannot end in `apply` at all.
/// A key that does not limit it is left out.
fn limits(draft: &Draft, select: &[Inst], start: usize) -> Option<Vec<((Space, u32), Limit)>> {
    let mut reached = Vec::new();
    if !can_apply(draft, select, start, None, &mut reached) {
        return None;
    }
    if select.len() > FILED_INSTS_MAX {
        return Some(Vec::new());
    }
    let mut keys: Vec<(Space, u32)> = select
        .iter()
        .filter(|inst| inst.op.row().class.is_test())
        .map(|inst| (Space::of(inst.op), inst.a))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.truncate(FILED_KEYS_MAX);
    let mut limits = Vec::new();
    for (space, key) in keys {
        let values = values_of(draft, select, space, key);
        if values.len() > FILED_VALUES_MAX {
            continue;
        }
        let mut possible =
            |assumed| can_apply(draft, select, start, Some((space, key, assumed)), &mut reached);
        let (needed, other) = (!possible(Assumed::Missing), possible(Assumed::Other));
        let apart: Vec<u32> =
            values.into_iter().filter(|&value| possible(Assumed::Value(value)) != other).collect();
        if needed || !other || !apart.is_empty() {
            limits.push(((space, key), Limit { needed, other, apart }));
        }
    }
    Some(limits)
}

/// The values that a selection compares a label with.
fn values_of(draft: &Draft, select: &[Inst], space: Space, key: u32) -> Vec<u32> {
    let mut values = Vec::new();
    for inst in select {
        let row = inst.op.row();
        if !row.class.is_test() || Space::of(inst.op) != space || inst.a != key {
            continue;
        }
        match (inst.op, row.b) {
            (Op::LabelEq | Op::NsLabelEq, _) => values.push(inst.b),
            (_, Kind::Set) => values.extend_from_slice(draft.sets.at(inst.b)),
            _ => {}
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// Whether `apply` can be reached when something is assumed of one label and nothing of the rest.
fn can_apply(
    draft: &Draft,
    select: &[Inst],
    start: usize,
    assumed: Option<(Space, u32, Assumed)>,
    reached: &mut Vec<bool>,
) -> bool {
    reached.clear();
    reached.resize(select.len(), false);
    reached[0] = true;
    // INVARIANT (forward): one pass in order sees every way in before the instruction itself.
    for (at, inst) in select.iter().enumerate() {
        if !reached[at] {
            continue;
        }
        match inst.op {
            Op::Apply => return true,
            Op::Skip => continue,
            _ => {}
        }
        let known = assumed.and_then(|(space, key, assumed)| {
            (Space::of(inst.op) == space && inst.a == key).then(|| outcome(draft, inst, assumed))?
        });
        if known != Some(inst.sense) {
            reached[at + 1] = true;
        }
        if known.is_none_or(|holds| holds == inst.sense) {
            reached[inst.to as usize - start] = true;
        }
    }
    false
}

/// How a test on the assumed label ends, if that is known.
fn outcome(draft: &Draft, inst: &Inst, assumed: Assumed) -> Option<bool> {
    let value = match assumed {
        Assumed::Missing => return Some(false),
        Assumed::Other => None,
        Assumed::Value(value) => Some(value),
    };
    let text = value.map(|value| draft.labels.at(value));
    let other = || draft.labels.at(inst.b);
    match inst.op {
        Op::LabelHas | Op::NsLabelHas => Some(true),
        Op::LabelEq | Op::NsLabelEq => Some(value == Some(inst.b)),
        Op::LabelIn | Op::NsLabelIn => {
            Some(value.is_some_and(|value| draft.sets.at(inst.b).binary_search(&value).is_ok()))
        }
        Op::LabelPrefix | Op::NsLabelPrefix => text.map(|text| text.starts_with(other())),
        Op::LabelSuffix | Op::NsLabelSuffix => text.map(|text| text.ends_with(other())),
        _ => text.map(|text| text.contains(other())),
    }
}

/// A hash table from hashes to numbers: open addressing, at most a quarter full.
#[derive(Clone, Debug, Default)]
struct Table {
    slots: Box<[u32]>,
}

const FREE: u32 = u32::MAX;

impl Table {
    fn build(len: usize, hash: impl Fn(u32) -> u64) -> Result<Self, Fault> {
        if len == 0 {
            return Ok(Self::default());
        }
        let mut slots = vec![FREE; (len * 4).next_power_of_two()].into_boxed_slice();
        for number in 0..len as u32 {
            let mut at = hash(number) as usize & (slots.len() - 1);
            let mut probes = 0;
            while slots[at] != FREE {
                at = (at + 1) & (slots.len() - 1);
                probes += 1;
                if probes == PROBES_MAX {
                    return Err(Fault::new("labels", "too many of one hash"));
                }
            }
            slots[at] = number;
        }
        Ok(Self { slots })
    }

    fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        for _ in 0..=PROBES_MAX {
            match self.slots[at] {
                FREE => return None,
                number if same(number) => return Some(number),
                _ => at = (at + 1) & mask,
            }
        }
        None
    }
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// PERF: eight bytes a step; labels are short, so a byte-wise hash would cost more than the rest.
fn hash_text(text: &str) -> u64 {
    let mut hash = text.len() as u64;
    let chunks = text.as_bytes().chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    let mut word = [0; 8];
    word[..rest.len()].copy_from_slice(rest);
    mix(hash, u64::from_le_bytes(word))
}

fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash.rotate_left(23) ^ word ^ MIX) * u128::from(MIX | 1);
    (product as u64) ^ ((product >> 64) as u64)
}
