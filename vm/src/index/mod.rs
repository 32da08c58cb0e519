//! Which policies apply to a request, without running the selections of all.
//!
//! For each label key that selections mention, and for each state it can be in (missing, some
//! value that none mentions, a mentioned value), the policies that cannot apply are a row of bits
//! ([`rows`]). A policy that needs a rare key is filed under it, and only found through it. A
//! selection that says something of one key after the other is decided by the rows; any other one
//! is run where the rows leave it. All of it is derived from the code of the selections
//! ([`limits`]), so it cannot disagree with them. Start at [`Index::build`].
#![expect(clippy::indexing_slicing, reason = "INVARIANT (in bounds): numbers were verified before")]

mod labels;
mod limits;
mod rows;
mod values;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::isa::Op;
use crate::pools::Strings;
use crate::program::Draft;
use crate::wire::Fault;
use labels::Labels;
use limits::{Limit, Limits};
use rows::{Row, Value};
use values::Values;

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

/// A label key as one side's selections mention it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyId(u32);

impl KeyId {
    /// Its number.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Finds keys and values by text, and policies by them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    labels: Labels,
    /// The key of each label number, for the resource and for the namespace.
    key_of: [Box<[u32]>; 2],
    keys: Vec<Key>,
    values: Values,
    /// Policies that are not filed: they need no key but common ones.
    unfiled: Box<[u64]>,
    /// The keys that many policies need, and the policies that need them.
    common: Vec<(KeyId, Row)>,
    /// Policies that the rows decide alone.
    exact: Box<[u64]>,
}

const NO_KEY: u32 = u32::MAX;

/// One key.
#[derive(Clone, Debug)]
struct Key {
    /// Whether some test compares its value as a whole: then the number of the value counts.
    by_number: bool,
    /// Whether some test looks into its value: then the number is not all that counts.
    by_text: bool,
    /// Policies that are only found through it.
    filed: Row,
    /// Policies that a value rules out which no selection mentions.
    other: Row,
}

impl Index {
    /// Derives the rows; `selects` are the selections, as ranges of `draft.code`.
    pub(crate) fn build(draft: &Draft, selects: &[Range<usize>]) -> Result<Self, Fault> {
        let labels = Labels::build(&draft.labels)?;
        let limits: Vec<Option<Limits>> = selects
            .iter()
            .map(|select| limits::limits(draft, &draft.code[select.clone()], select.start))
            .collect();
        let mut of_key: BTreeMap<(Space, u32), Vec<(u32, &Limit)>> = BTreeMap::new();
        for (policy, limits) in (0..).zip(&limits) {
            for (key, limit) in limits.iter().flat_map(|limits| &limits.keys) {
                of_key.entry(*key).or_default().push((policy, limit));
            }
        }
        let mentioned = mentioned(draft, selects);
        let words = selects.len().div_ceil(64);
        let filing = Filing::new(words, &limits, &of_key);
        let mut index = Self {
            labels,
            key_of: [0, 1].map(|_| vec![NO_KEY; draft.labels.len()].into_boxed_slice()),
            keys: Vec::with_capacity(mentioned.len()),
            values: Values::default(),
            unfiled: filing.unfiled.into(),
            common: Vec::new(),
            exact: filing.exact.into(),
        };
        let mut values = Vec::new();
        for ((space, label), (by_number, by_text)) in mentioned {
            let key = KeyId(index.keys.len() as u32);
            index.key_of[space as usize][label as usize] = key.0;
            let limits = of_key.get(&(space, label)).map_or(&[][..], |limits| limits);
            if filing.crowds.get(&(space, label)).is_some_and(|&crowd| is_common(words, crowd)) {
                index.common.push((key, Row::of(words, needing(limits))));
            }
            let filed = filing.filed.get(&(space, label)).map_or(&[][..], |filed| filed);
            let filed = Row::of(words, filed.iter().copied());
            let other = Row::of(words, unwanting(limits));
            for (value, apart) in apart(limits) {
                values.push((key.0, value, other.value(words, apart)));
            }
            index.keys.push(Key { by_number, by_text, filed, other });
        }
        index.values = Values::build(values);
        Ok(index)
    }

    /// The key with this text, if any selection mentions it.
    #[inline]
    pub(crate) fn key(&self, pool: &Strings, space: Space, text: &str) -> Option<KeyId> {
        self.labels.find(pool, text).and_then(|label| self.key_of(space, label))
    }

    /// The key of a label number.
    #[inline]
    pub(crate) fn key_of(&self, space: Space, label: u32) -> Option<KeyId> {
        let key = *self.key_of[space as usize].get(label as usize)?;
        (key != NO_KEY).then_some(KeyId(key))
    }

    /// The number of a value, if that makes a difference for this key.
    #[inline]
    pub(crate) fn value(&self, pool: &Strings, key: KeyId, text: &str) -> Option<u32> {
        if self.keys[key.index()].by_number { self.labels.find(pool, text) } else { None }
    }

    /// Whether a test looks into the values of this key.
    #[inline]
    pub(crate) fn reads_text(&self, key: KeyId) -> bool {
        self.keys[key.index()].by_text
    }

    /// How many keys there are.
    pub(crate) fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Whether no selection mentions any label.
    pub(crate) fn is_blind(&self) -> bool {
        self.labels.is_empty()
    }

    /// Sets the bits of the policies that can apply, given the keys of a request with the numbers
    /// of their values; a value that is not mentioned may be any other number.
    pub(crate) fn candidates(
        &self,
        present: &[(KeyId, u32)],
        is_missing: impl Fn(KeyId) -> bool,
        policies: &mut [u64],
    ) {
        policies.copy_from_slice(&self.unfiled);
        for (key, _) in present {
            self.keys[key.index()].filed.set(policies);
        }
        for (key, value) in present {
            let other = &self.keys[key.index()].other;
            match self.values.find(key.0, *value) {
                None => other.clear(policies),
                Some(Value::Own(row)) => row.clear(policies),
                Some(Value::Patch(apart)) => other.clear_but(apart, policies),
            }
        }
        for (key, needing) in &self.common {
            if is_missing(*key) {
                needing.clear(policies);
            }
        }
    }

    /// Of a word of candidates, those whose selections must be run.
    #[inline]
    pub(crate) fn to_run(&self, word: usize, candidates: u64) -> u64 {
        candidates & !self.exact[word]
    }
}

/// The keys of all selections; whether their values count as a whole, and in part.
fn mentioned(draft: &Draft, selects: &[Range<usize>]) -> BTreeMap<(Space, u32), (bool, bool)> {
    let mut keys: BTreeMap<(Space, u32), (bool, bool)> = BTreeMap::new();
    for inst in selects.iter().flat_map(|select| &draft.code[select.clone()]) {
        if let Some(key) = limits::key(inst) {
            let (by_number, by_text) = keys.entry(key).or_default();
            *by_text |= limits::reads_text(inst.op);
            *by_number |= limits::compares_whole(inst.op);
        }
    }
    keys
}

fn needing<'l>(limits: &'l [(u32, &Limit)]) -> impl Iterator<Item = u32> + 'l {
    limits.iter().filter(|(_, limit)| limit.needed).map(|&(policy, _)| policy)
}

fn unwanting<'l>(limits: &'l [(u32, &Limit)]) -> impl Iterator<Item = u32> + 'l {
    limits.iter().filter(|(_, limit)| !limit.other).map(|&(policy, _)| policy)
}

/// For each value, the policies for which it is not as any other value: words and bits.
fn apart(limits: &[(u32, &Limit)]) -> BTreeMap<u32, Vec<(u32, u64)>> {
    let mut apart: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
    for (policy, limit) in limits {
        let (word, bit) = (policy / 64, 1 << (policy % 64));
        for &value in &limit.apart {
            let row = apart.entry(value).or_default();
            match row.last_mut() {
                Some((last, bits)) if *last == word => *bits |= bit,
                _ => row.push((word, bit)),
            }
        }
    }
    apart
}

/// Whether so many policies need a key that a row for its absence is worth its cost; there are
/// then few such keys, however many policies there are.
const fn is_common(words: usize, needing: usize) -> bool {
    needing >= words * 4
}

/// Under which key each policy is found.
struct Filing {
    unfiled: Vec<u64>,
    exact: Vec<u64>,
    filed: BTreeMap<(Space, u32), Vec<u32>>,
    /// How many policies need each key.
    crowds: BTreeMap<(Space, u32), usize>,
}

impl Filing {
    fn new(
        words: usize,
        limits: &[Option<Limits>],
        of_key: &BTreeMap<(Space, u32), Vec<(u32, &Limit)>>,
    ) -> Self {
        let crowds: BTreeMap<_, usize> =
            of_key.iter().map(|(&key, limits)| (key, needing(limits).count())).collect();
        let crowd = |key: (Space, u32)| crowds.get(&key).copied().unwrap_or(0);
        let (mut unfiled, mut exact) = (vec![0; words], vec![0; words]);
        let mut filed: BTreeMap<(Space, u32), Vec<u32>> = BTreeMap::new();
        for (policy, limits) in (0_u32..).zip(limits) {
            let Some(limits) = limits else { continue };
            let (word, bit) = (policy as usize / 64, 1 << (policy % 64));
            let needed = limits.keys.iter().filter(|(_, limit)| limit.needed);
            let mut rare: Vec<_> = needed
                .map(|&(key, _)| (crowd(key), key))
                .filter(|&(crowd, _)| !is_common(words, crowd))
                .collect();
            rare.sort_unstable();
            match rare.first() {
                None => unfiled[word] |= bit,
                Some(&(_, key)) => filed.entry(key).or_default().push(policy),
            }
            // Found through one rare key, nothing says whether another one is there.
            if limits.is_exact && rare.len() <= 1 {
                exact[word] |= bit;
            }
        }
        Self { unfiled, exact, filed, crowds }
    }
}
