//! How each label key alone limits where a policy can apply, read from the code of its selection.

#![expect(clippy::indexing_slicing, reason = "INVARIANT (in bounds): the code was verified")]

use crate::isa::{Inst, Kind, Op};
use crate::program::Draft;

use super::Space;

/// A selection of more instructions is run for every request that could concern it.
const INSTS_MAX: usize = 1_024;
/// A key that a selection compares with more values does not limit it ...
const VALUES_MAX: usize = 256;
/// ... nor do the keys beyond so many.
const KEYS_MAX: usize = 16;

/// What a selection says of each key it mentions.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    /// The keys that limit it.
    pub(super) keys: Vec<((Space, u32), Limit)>,
    /// It applies wherever no key rules it out, so it need not be run.
    pub(super) is_exact: bool,
}

/// How one key limits where one policy can apply.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    /// It cannot apply where the key is missing.
    pub(super) needed: bool,
    /// It can apply where the key has a value that the policy does not mention.
    pub(super) other: bool,
    /// The values for which that is otherwise.
    pub(super) apart: Vec<u32>,
}

/// What is assumed of one label while asking whether `apply` can still be reached.
#[derive(Clone, Copy, PartialEq)]
enum Assumed {
    Missing,
    /// Present, with a value that no `eq` or `in` of this selection mentions.
    Other,
    Value(u32),
}

/// The limits of a selection that begins at `start`; `None` if it cannot end in `apply` at all.
pub(super) fn limits(draft: &Draft, select: &[Inst], start: usize) -> Option<Limits> {
    let mut reached = Vec::new();
    if !can_apply(draft, select, start, None, &mut reached) {
        return None;
    }
    if select.len() > INSTS_MAX {
        return Some(Limits::default());
    }
    let mut mentioned: Vec<(Space, u32)> = select.iter().filter_map(key).collect();
    mentioned.sort_unstable();
    mentioned.dedup();
    let mut limits = Limits { keys: Vec::new(), is_exact: is_plain(select, start) };
    limits.is_exact &= mentioned.len() <= KEYS_MAX;
    for (space, key) in mentioned.into_iter().take(KEYS_MAX) {
        let values = values_of(draft, select, space, key);
        if values.len() > VALUES_MAX {
            limits.is_exact = false;
            continue;
        }
        let mut possible =
            |assumed| can_apply(draft, select, start, Some((space, key, assumed)), &mut reached);
        let (needed, other) = (!possible(Assumed::Missing), possible(Assumed::Other));
        let apart: Vec<u32> =
            values.into_iter().filter(|&value| possible(Assumed::Value(value)) != other).collect();
        if needed || !other || !apart.is_empty() {
            limits.keys.push(((space, key), Limit { needed, other, apart }));
        }
    }
    Some(limits)
}

/// The label key that an instruction asks for.
pub(super) fn key(inst: &Inst) -> Option<(Space, u32)> {
    inst.op.row().class.is_test().then(|| (Space::of(inst.op), inst.a))
}

/// Whether an instruction depends on the text of a label and not only on its number.
pub(super) fn reads_text(op: Op) -> bool {
    matches!(
        op,
        Op::LabelPrefix
            | Op::NsLabelPrefix
            | Op::LabelSuffix
            | Op::NsLabelSuffix
            | Op::LabelContains
            | Op::NsLabelContains
    )
}

/// Whether an instruction depends on the number of a label's value.
pub(super) fn compares_whole(op: Op) -> bool {
    matches!(op, Op::LabelEq | Op::NsLabelEq | Op::LabelIn | Op::NsLabelIn)
}

/// Whether a selection asks for one key after the other, each stretch leaving for `skip` or for the
/// next stretch. It is then an AND of what it says of each key, so the limits of its keys are all
/// it says.
fn is_plain(select: &[Inst], start: usize) -> bool {
    let mut from = 0;
    while let Some(wanted) = select.get(from).and_then(key) {
        let more = select.get(from..).unwrap_or(&[]);
        let end = from + more.iter().take_while(|inst| key(inst) == Some(wanted)).count();
        let leaves_well = |at: usize, to: usize| {
            (at < to && to < end)
                || (to == end && select.get(to).is_some_and(|inst| inst.op != Op::Skip))
                || select.get(to).is_some_and(|inst| inst.op == Op::Skip)
        };
        let stretch = (from..).zip(select.get(from..end).unwrap_or(&[]));
        for (at, inst) in stretch {
            let to = (inst.to as usize).checked_sub(start);
            let is_well = to.is_some_and(|to| leaves_well(at, to)) && leaves_well(at, at + 1);
            if !is_well || reads_text(inst.op) {
                return false;
            }
        }
        from = end;
    }
    true
}

/// The values that a selection compares a label with.
fn values_of(draft: &Draft, select: &[Inst], space: Space, label: u32) -> Vec<u32> {
    let mut values = Vec::new();
    for inst in select.iter().filter(|inst| key(inst) == Some((space, label))) {
        match (inst.op, inst.op.row().b) {
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
