//! Which policies can apply to a request at all: policies filed under the label they need.
//!
//! Most policies of a large set do not apply to a given request. Each is filed under one label
//! (key and values, or key alone) without which its selection cannot end in `apply`; a request
//! looks up its own labels and runs only the selections found there. Derived from the code of
//! the selections by [`file`], so it cannot disagree with them. Start at [`Index::build`].
#![expect(clippy::indexing_slicing, reason = "INVARIANT (in bounds): numbers were verified before")]

use std::collections::HashMap;

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

/// A filing place: a label of a space with one value, or with [`ANY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    space: Space,
    key: u32,
    value: u32,
}

/// Stands for every value of a key.
const ANY: u32 = u32::MAX;

/// Longest search in a hash table; a table that needs more is refused when it is built.
const PROBES_MAX: usize = 256;

/// Filing is tried only for selections of at most this many instructions; longer ones always run.
const FILED_INSTS_MAX: usize = 1_024;
/// ... and with at most this many values to a key.
const FILED_VALUES_MAX: usize = 256;
/// ... and this many keys.
const FILED_KEYS_MAX: usize = 16;

/// Finds label numbers by text, and candidate policies by label.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    labels: Table,
    places: Table,
    place_keys: Vec<Place>,
    /// The policies of each place: a range of `lists`.
    ranges: Vec<(u32, u32)>,
    lists: Vec<u32>,
    always: Vec<u32>,
}

impl Index {
    /// Files every policy; `selects` are their selections, as ranges of `draft.code`.
    pub(crate) fn build(draft: &Draft, selects: &[std::ops::Range<usize>]) -> Result<Self, Fault> {
        let labels = Table::build(draft.labels.len(), |number| hash_text(draft.labels.at(number)))?;
        let mut always = Vec::new();
        let mut choices: Vec<(u32, Vec<Vec<Place>>)> = Vec::new();
        let mut crowd: HashMap<Place, u32> = HashMap::new();
        for (policy, select) in selects.iter().enumerate() {
            match file(draft, &draft.code[select.clone()], select.start) {
                Filing::Never => {}
                Filing::Always => always.push(policy as u32),
                Filing::Under(options) => {
                    for place in options.iter().flatten() {
                        *crowd.entry(*place).or_default() += 1;
                    }
                    choices.push((policy as u32, options));
                }
            }
        }
        let mut filed: Vec<(Place, u32)> = Vec::new();
        for (policy, options) in choices {
            // The rarest label leaves the fewest selections to run for a request.
            let rarest = options.into_iter().min_by_key(|places| {
                let crowded: u64 = places.iter().map(|place| u64::from(crowd[place])).sum();
                (crowded, places.len())
            });
            filed.extend(rarest.unwrap_or_default().into_iter().map(|place| (place, policy)));
        }
        filed.sort_unstable();
        let mut index = Self { labels, always, ..Self::default() };
        for (place, policy) in filed {
            if index.place_keys.last() != Some(&place) {
                index.place_keys.push(place);
                index.ranges.push((index.lists.len() as u32, 0));
            }
            index.lists.push(policy);
            if let Some(range) = index.ranges.last_mut() {
                range.1 = index.lists.len() as u32;
            }
        }
        let keys = &index.place_keys;
        index.places = Table::build(keys.len(), |number| hash_place(keys[number as usize]))?;
        Ok(index)
    }

    /// The number of a label text, if any selection mentions it.
    pub(crate) fn label(&self, labels: &Strings, text: &str) -> Option<u32> {
        self.labels.find(hash_text(text), |number| labels.at(number) == text)
    }

    /// The policies filed under a label of a request, `value` being its number if it has one.
    pub(crate) fn candidates(
        &self,
        space: Space,
        key: u32,
        value: Option<u32>,
    ) -> (&[u32], &[u32]) {
        let exact = value.map_or(&[][..], |value| self.place(Place { space, key, value }));
        (exact, self.place(Place { space, key, value: ANY }))
    }

    /// The policies that no label rules out.
    pub(crate) fn always(&self) -> &[u32] {
        &self.always
    }

    fn place(&self, place: Place) -> &[u32] {
        let found =
            self.places.find(hash_place(place), |number| self.place_keys[number as usize] == place);
        found.map_or(&[], |number| {
            let (start, end) = self.ranges[number as usize];
            &self.lists[start as usize..end as usize]
        })
    }
}

/// Where a policy can be filed.
enum Filing {
    /// Its selection cannot end in `apply`.
    Never,
    /// No one label is needed.
    Always,
    /// Any one of these groups: the policy applies only if a request has one of its places.
    Under(Vec<Vec<Place>>),
}

/// What is assumed of one label while asking whether `apply` can still be reached.
#[derive(Clone, Copy, PartialEq)]
enum Assumed {
    Missing,
    /// Present, with a value that no `eq` or `in` of this selection mentions.
    Other,
    Value(u32),
}

/// Finds the labels a selection cannot do without.
fn file(draft: &Draft, select: &[Inst], start: usize) -> Filing {
    let mut reached = Vec::new();
    if !can_apply(draft, select, start, None, &mut reached) {
        return Filing::Never;
    }
    if select.len() > FILED_INSTS_MAX {
        return Filing::Always;
    }
    let mut keys: Vec<(Space, u32)> = select
        .iter()
        .filter(|inst| inst.op.row().class.is_test())
        .map(|inst| (Space::of(inst.op), inst.a))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.truncate(FILED_KEYS_MAX);
    let mut options = Vec::new();
    for (space, key) in keys {
        let mut possible =
            |assumed| can_apply(draft, select, start, Some((space, key, assumed)), &mut reached);
        if possible(Assumed::Missing) {
            continue;
        }
        if possible(Assumed::Other) {
            options.push(vec![Place { space, key, value: ANY }]);
            continue;
        }
        let values = values_of(draft, select, space, key);
        if values.len() > FILED_VALUES_MAX {
            continue;
        }
        let values = values.into_iter().filter(|&value| possible(Assumed::Value(value)));
        options.push(values.map(|value| Place { space, key, value }).collect());
    }
    if options.is_empty() { Filing::Always } else { Filing::Under(options) }
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

fn hash_place(place: Place) -> u64 {
    mix(mix(place.space as u64, u64::from(place.key)), u64::from(place.value))
}

fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash.rotate_left(23) ^ word ^ MIX) * u128::from(MIX | 1);
    (product as u64) ^ ((product >> 64) as u64)
}
