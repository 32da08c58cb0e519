//! Which policies apply to a request.
#![expect(
    clippy::indexing_slicing,
    reason = "INVARIANT (in bounds): verification checked every operand"
)]

use super::scratch::{OTHER, Scratch, Slot};
use crate::facts::{RequestFacts, Timestamp};
use crate::index::Space;
use crate::isa::{Inst, Op};
use crate::program::Program;
use crate::time;

/// Finds the policies that apply to a request, and the bounds of its `now`.
pub fn select(program: &Program, scratch: &mut Scratch, facts: &RequestFacts<'_>) {
    begin(program, scratch, facts);
    // PERF: replicas and rollouts bring the same labels again and again; one set of them is kept.
    if scratch.is_by_numbers && scratch.present == scratch.before {
        return;
    }
    scratch.deactivate();
    scratch.is_by_numbers = scratch
        .present
        .iter()
        .all(|&(key, value)| value != OTHER || !program.derived.index.reads_text(key));
    std::mem::swap(&mut scratch.present, &mut scratch.before);
    let Scratch { slots, round, before, policies, .. } = scratch;
    let is_missing = |key: crate::index::KeyId| slots[key.index()].round != *round;
    program.derived.index.candidates(before, is_missing, policies);
    for word in 0..scratch.policies.len() {
        let mut to_run = program.derived.index.to_run(word, scratch.policies[word]);
        while to_run != 0 {
            let bit = to_run.trailing_zeros();
            let policy = &program.draft.policies[word * 64 + bit as usize];
            if !run_select(program, scratch, facts, policy.select as usize, &mut |_, _, _| {}) {
                scratch.policies[word] &= !(1 << bit);
            }
            to_run &= to_run - 1;
        }
        activate(program, scratch, word);
    }
}

/// Forgets the labels of the request before, and notes those and the bounds of this one.
pub(super) fn begin(program: &Program, scratch: &mut Scratch, facts: &RequestFacts<'_>) {
    scratch.prepare(program);
    scratch.latest = facts.now.plus_secs(i64::from(facts.skew_secs));
    bounds(program, scratch, facts.now);
    scratch.present.clear();
    if program.derived.index.is_blind() {
        return;
    }
    scratch.round = scratch.round.wrapping_add(1);
    if scratch.round == 0 {
        scratch.slots.fill(Slot::default());
        scratch.round = 1;
    }
    for (space, labels) in
        [(Space::Resource, facts.labels), (Space::Namespace, facts.namespace_labels)]
    {
        for (at, (key, value)) in labels.iter().enumerate() {
            note(program, scratch, space, at, key, value);
        }
    }
}

/// PERF: the calendar is asked once a day; within a day every bound moves with the clock.
fn bounds(program: &Program, scratch: &mut Scratch, now: Timestamp) {
    if scratch.bounds.is_empty() {
        return;
    }
    let day = time::day(now);
    if scratch.day != Some(day) {
        scratch.day = Some(day);
        for (bound, span) in scratch.bound_days.iter_mut().zip(&program.draft.spans) {
            *bound = time::day_before(day, *span);
        }
    }
    for (bound, day) in scratch.bounds.iter_mut().zip(&scratch.bound_days) {
        *bound = time::on_day(*day, now);
    }
}

#[inline]
fn note(program: &Program, scratch: &mut Scratch, space: Space, at: usize, key: &str, value: &str) {
    let (index, pool) = (&program.derived.index, &program.draft.labels);
    let Some(key) = index.key(pool, space, key) else { return };
    let slot = &mut scratch.slots[key.index()];
    // A key given twice counts with its first value.
    if slot.round != scratch.round {
        let value = index.value(pool, key, value).unwrap_or(OTHER);
        *slot = Slot { round: scratch.round, value, at: at as u32 };
        scratch.present.push((key, value));
    }
}

/// Activates the rules of the policies of one word that apply.
fn activate(program: &Program, scratch: &mut Scratch, word: usize) {
    let first_rules = &program.derived.first_rules;
    let mut policies = scratch.policies[word];
    while policies != 0 {
        let from = policies.trailing_zeros();
        // PERF: policies that follow one another have one range of rules.
        let count = (policies >> from).trailing_ones();
        policies &= u64::MAX.checked_shl(from + count).unwrap_or(0);
        let policy = word * 64 + from as usize;
        let rules = first_rules[policy] as usize..first_rules[policy + count as usize] as usize;
        if rules.is_empty() {
            continue;
        }
        let words = rules.start / 64..rules.end.div_ceil(64);
        let active = &mut scratch.active[words.clone()];
        let (head, tail) =
            (u64::MAX << (rules.start % 64), u64::MAX >> (63 - (rules.end - 1) % 64));
        if let [only] = active {
            *only |= head & tail;
        } else if let [first, between @ .., last] = active {
            *first |= head;
            between.fill(u64::MAX);
            *last |= tail;
        }
        match scratch.ranges.last_mut() {
            Some(last) if words.start <= last.end => last.end = words.end,
            _ => scratch.ranges.push(words),
        }
    }
}

/// Runs one selection: whether its policy applies.
pub(super) fn run_select(
    program: &Program,
    scratch: &Scratch,
    facts: &RequestFacts<'_>,
    start: usize,
    seen: &mut impl FnMut(usize, Option<bool>, Option<usize>),
) -> bool {
    let test = |_, inst: &Inst| label_test(program, scratch, facts, inst);
    steps(program, start, test, seen).op == Op::Apply
}

/// Takes instructions up to an end, and gives it; `seen` is told each, how its test ended, and what
/// follows.
#[inline]
pub(super) fn steps<'p>(
    program: &'p Program,
    start: usize,
    mut test: impl FnMut(usize, &Inst) -> bool,
    seen: &mut impl FnMut(usize, Option<bool>, Option<usize>),
) -> &'p Inst {
    let mut pc = start;
    // INVARIANT (forward): each step raises `pc`, so this loop ends within the section.
    loop {
        let inst = &program.draft.code[pc];
        if inst.op.row().class.is_end() {
            seen(pc, None, None);
            return inst;
        }
        let holds = test(pc, inst);
        let next = if holds == inst.sense { inst.to as usize } else { pc + 1 };
        seen(pc, Some(holds), Some(next));
        pc = next;
    }
}

fn label_test(program: &Program, scratch: &Scratch, facts: &RequestFacts<'_>, inst: &Inst) -> bool {
    let space = Space::of(inst.op);
    let Some(key) = program.derived.index.key_of(space, inst.a) else { return false };
    let slot = scratch.slots[key.index()];
    if slot.round != scratch.round {
        return false;
    }
    let value = || {
        let labels = if space == Space::Resource { facts.labels } else { facts.namespace_labels };
        labels[slot.at as usize].1
    };
    let operand = || program.draft.labels.at(inst.b);
    match inst.op {
        Op::LabelHas | Op::NsLabelHas => true,
        Op::LabelEq | Op::NsLabelEq => slot.value == inst.b,
        Op::LabelIn | Op::NsLabelIn => {
            let set = program.draft.sets.at(inst.b);
            // PERF: real sets hold a handful of values; a scan beats a search there.
            if set.len() <= 8 {
                set.contains(&slot.value)
            } else {
                set.binary_search(&slot.value).is_ok()
            }
        }
        Op::LabelPrefix | Op::NsLabelPrefix => value().starts_with(operand()),
        Op::LabelSuffix | Op::NsLabelSuffix => value().ends_with(operand()),
        Op::LabelContains | Op::NsLabelContains => value().contains(operand()),
        Op::Mark
        | Op::KeepPath
        | Op::KeepStatus
        | Op::KeepAfter
        | Op::KeepBefore
        | Op::KeepSince
        | Op::KeepUntil
        | Op::First
        | Op::Apply
        | Op::Skip
        | Op::Allow
        | Op::Reject
        | Op::Pass
        | Op::PathMatch
        | Op::StatusIn
        | Op::ScanAfter
        | Op::ScanBefore
        | Op::ScanSince
        | Op::ScanUntil => false, // INVARIANT (sections)
    }
}
