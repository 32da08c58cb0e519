//! The same decisions step by step, for traces and as a check on [`super::run`].
#![expect(
    clippy::indexing_slicing,
    reason = "INVARIANT (in bounds): verification checked every operand"
)]

use super::scratch::{Scratch, other_form};
use super::select::{begin, run_select, steps};
use super::{Verdict, age_test, first_of, is_selected, path_holds};
use crate::facts::{ImageFacts, RequestFacts};
use crate::isa::{Inst, Op};
use crate::program::{Action, PolicyId, Program, RuleId};

/// As [`super::run`], step by step; `seen` is told each instruction of `linked`, how its test ended
/// if it has one, and how many rules are left.
pub fn run_seen(
    program: &Program,
    scratch: &mut Scratch,
    image: &ImageFacts<'_>,
    seen: &mut impl FnMut(u32, Option<bool>, u32),
) -> Verdict {
    if !is_selected(program, scratch) {
        return Verdict::Pass;
    }
    scratch.left.copy_from_slice(&scratch.active);
    let derived = &program.derived;
    let both = other_form(image).is_some();
    let mut keeps = derived.keeps.iter();
    for (pc, inst) in program.draft.code[..derived.linked_end].iter().enumerate() {
        let mut holds = None;
        match inst.op {
            Op::Mark => {
                let Scratch { marks, ranges, active, .. } = scratch;
                marks.mark(program, image, ranges, active);
            }
            Op::KeepPath => {
                keep(scratch, |scratch, word| path_holds(program, scratch, word, both));
            }
            Op::KeepStatus => keep(scratch, |_, word| derived.status[image.status as usize][word]),
            Op::First => {}
            _ => {
                // INVARIANT (whole): `keeps` are the ones of `linked`, in its order.
                let Some(row) = keeps.next() else { continue };
                let test = age_test(program, scratch, image, row.test, row.operand);
                holds = Some(test);
                if !test {
                    keep(scratch, |_, word| !row.rules[word]);
                }
            }
        }
        let left = scratch.left.iter().map(|left| left.count_ones()).sum();
        seen(pc as u32, holds, left);
    }
    let left = scratch.left.iter().enumerate();
    let mut decided =
        left.filter_map(|(word, &left)| first_of(program, scratch, image, word, left));
    decided.next().unwrap_or(Verdict::Pass)
}

/// Keeps the rules whose bits `rows` gives for each word.
fn keep(scratch: &mut Scratch, rows: impl Fn(&Scratch, usize) -> u64) {
    for word in 0..scratch.left.len() {
        scratch.left[word] &= rows(scratch, word);
    }
}

/// One instruction that [`walk`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands.
    pub pc: u32,
    /// How its test ended; `None` for an end.
    pub holds: Option<bool>,
    /// Where it went; `None` for an end.
    pub next: Option<u32>,
}

/// What [`walk`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A policy is looked at.
    Policy(PolicyId),
    /// An instruction was run.
    Step(Step),
}

/// The verdict of one image, policy by policy and rule by rule as they are written. It takes the
/// same decisions as [`super::select`] and [`super::run`] by other means, and tells each step.
pub fn walk(
    program: &Program,
    scratch: &mut Scratch,
    facts: &RequestFacts<'_>,
    image: &ImageFacts<'_>,
    seen: &mut impl FnMut(Event),
) -> Verdict {
    begin(program, scratch, facts);
    // What was selected is of other labels now.
    scratch.deactivate();
    scratch.is_by_numbers = false;
    let Scratch { marks, left, .. } = scratch;
    left.fill(u64::MAX);
    let all = 0..left.len();
    marks.mark(program, image, std::slice::from_ref(&all), left);
    for (number, row) in program.draft.policies.iter().enumerate() {
        seen(Event::Policy(PolicyId(number as u32)));
        let mut tell = |pc: usize, holds, next: Option<usize>| {
            seen(Event::Step(Step { pc: pc as u32, holds, next: next.map(|next| next as u32) }));
        };
        if !run_select(program, scratch, facts, row.select as usize, &mut tell) {
            continue;
        }
        let verdict = walk_rules(program, scratch, image, row.rules as usize, &mut tell);
        if verdict != Verdict::Pass {
            return verdict;
        }
    }
    Verdict::Pass
}

fn walk_rules(
    program: &Program,
    scratch: &Scratch,
    image: &ImageFacts<'_>,
    start: usize,
    seen: &mut impl FnMut(usize, Option<bool>, Option<usize>),
) -> Verdict {
    let rules = &program.derived.rules;
    let mut rule = rules.partition_point(|row| (row.block as usize) < start);
    let test = |pc, inst: &Inst| {
        while rules.get(rule + 1).is_some_and(|row| row.block as usize <= pc) {
            rule += 1;
        }
        match inst.op {
            Op::PathMatch => path_test(program, scratch, image, rule, inst.sense),
            Op::StatusIn => inst.a as u8 & image.status.bit() != 0,
            op => age_test(program, scratch, image, op, inst.a),
        }
    };
    let end = steps(program, start, test, seen);
    match end.op {
        Op::Allow => Verdict::Allow(RuleId(end.a)),
        Op::Reject => Verdict::Reject(RuleId(end.a)),
        _ => Verdict::Pass,
    }
}

/// Whether the patterns of a rule match, so that the rule's own test goes the way the rule asks
/// when the path has two forms.
fn path_test(
    program: &Program,
    scratch: &Scratch,
    image: &ImageFacts<'_>,
    rule: usize,
    none_of: bool,
) -> bool {
    let bit = |marked: &[u64]| marked[rule / 64] >> (rule % 64) & 1 == 1;
    let written = bit(&scratch.marks.written) != none_of;
    let Some(_) = other_form(image) else { return written != none_of };
    let canonical = bit(&scratch.marks.canonical) != none_of;
    let holds = match program.derived.rules[rule].action {
        Action::Reject => written || canonical,
        Action::Allow => written && canonical,
    };
    holds != none_of
}
