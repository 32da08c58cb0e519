//! The machine: which policies apply to a request, and the verdict of each image.
//!
//! Nothing here allocates, waits, fails or looks at a clock. [`select`] runs once for a request,
//! then [`run`] once for each image; both use the same [`Scratch`], which grows only when it
//! meets another program. [`walk`] runs the same rules one by one, for traces and as a check.
#![expect(
    clippy::indexing_slicing,
    reason = "INVARIANT (in bounds): verification checked every operand"
)]

mod scratch;
mod select;
mod walk;

pub use scratch::Scratch;
pub use select::select;
pub use walk::{Event, Step, run_seen, walk};

use std::ops::Range;

use crate::facts::ImageFacts;
use crate::isa::Op;
use crate::program::{Action, Program, RuleId};
use scratch::other_form;

/// What the program says of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No rule matched.
    Pass,
    /// Admitted by a rule.
    Allow(RuleId),
    /// Rejected by a rule.
    Reject(RuleId),
}

impl Verdict {
    fn by(action: Action, rule: RuleId) -> Self {
        match action {
            Action::Allow => Self::Allow(rule),
            Action::Reject => Self::Reject(rule),
        }
    }

    /// The rule that decided.
    pub fn rule(self) -> Option<RuleId> {
        match self {
            Self::Pass => None,
            Self::Allow(rule) | Self::Reject(rule) => Some(rule),
        }
    }
}

/// The verdict of one image of the selected request: all policies that apply, at once.
///
/// PERF: `linked` is not run step by step but as one pass over the words in which rules are
/// active; [`run_seen`] takes the steps and comes to the same. What status and age leave is the
/// same for most images of a request and from one request to the next, so it is kept.
pub fn run(program: &Program, scratch: &mut Scratch, image: &ImageFacts<'_>) -> Verdict {
    if !is_selected(program, scratch) {
        return Verdict::Pass;
    }
    let dropping = dropping(program, scratch, image);
    let status = image.status as usize;
    if scratch.fits[status].dropping != Some(dropping) {
        fit(program, scratch, status, dropping);
    }
    let both = other_form(image).is_some();
    if program.derived.has_paths {
        let Scratch { ranges, fits, marks, .. } = scratch;
        marks.mark(program, image, ranges, &fits[status].rules);
    }
    for range in &scratch.ranges {
        let mut word = range.start;
        while let Some(found) = first_word(program, scratch, status, word..range.end, both) {
            let left =
                scratch.fits[status].rules[found] & path_holds(program, scratch, found, both);
            if let Some(verdict) = first_of(program, scratch, image, found, left) {
                return verdict;
            }
            word = found + 1;
        }
    }
    Verdict::Pass
}

/// The first word of a range in which a rule is left.
#[inline]
fn first_word(
    program: &Program,
    scratch: &Scratch,
    status: usize,
    range: Range<usize>,
    both: bool,
) -> Option<usize> {
    let fits = &scratch.fits[status].rules[range.clone()];
    if both {
        let holds = |word: usize| path_holds(program, scratch, word, both);
        return range.zip(fits).find(|&(word, fit)| fit & holds(word) != 0).map(|(word, _)| word);
    }
    let marked = &scratch.marks.written[range.clone()];
    let flips = &program.derived.flips[range.clone()];
    // PERF: most words have nothing left, so four of them are asked at once.
    let ((fits4, fits1), (marked4, marked1), (flips4, flips1)) =
        (fits.as_chunks::<4>(), marked.as_chunks::<4>(), flips.as_chunks::<4>());
    for (nth, ((fits, marked), flips)) in fits4.iter().zip(marked4).zip(flips4).enumerate() {
        let left = [0, 1, 2, 3].map(|at| fits[at] & (marked[at] ^ flips[at]));
        if left[0] | left[1] | left[2] | left[3] != 0 {
            let at = left.iter().position(|&left| left != 0)?;
            return Some(range.start + nth * 4 + at);
        }
    }
    let rest = fits1.iter().zip(marked1).zip(flips1);
    let found = rest.map(|((fit, marked), flip)| fit & (marked ^ flip)).position(|left| left != 0);
    found.map(|at| range.start + fits4.len() * 4 + at)
}

/// Whether a request was selected with this program, and a policy applies to it.
fn is_selected(program: &Program, scratch: &Scratch) -> bool {
    scratch.program == program.derived.id && !scratch.ranges.is_empty()
}

/// The `keep`s whose tests do not hold, as bits.
fn dropping(program: &Program, scratch: &Scratch, image: &ImageFacts<'_>) -> u64 {
    // INVARIANT (whole): there are at most 64 `keep`s.
    let keeps = program.derived.keeps.iter().enumerate();
    keeps.fold(0, |dropping, (nth, keep)| {
        let holds = age_test(program, scratch, image, keep.test, keep.operand);
        dropping | u64::from(!holds) << nth
    })
}

/// The active rules that a status and the age tests leave.
fn fit(program: &Program, scratch: &mut Scratch, status: usize, dropping: u64) {
    let Scratch { ranges, active, fits, .. } = scratch;
    let fit = &mut fits[status];
    fit.dropping = Some(dropping);
    for range in ranges {
        let fits = &mut fit.rules[range.clone()];
        let rows = active[range.clone()].iter().zip(&program.derived.status[status][range.clone()]);
        for (fit, (active, status)) in fits.iter_mut().zip(rows) {
            *fit = active & status;
        }
        let mut drops = dropping;
        while drops != 0 {
            let keep = &program.derived.keeps[drops.trailing_zeros() as usize];
            for (fit, dropped) in fits.iter_mut().zip(&keep.rules[range.clone()]) {
                *fit &= !dropped;
            }
            drops &= drops - 1;
        }
    }
}

/// The rules of a word whose path criterion holds. With both forms, a `Reject` rule holds if
/// either does and an `Allow` rule only if both do (spec: image-path, "String").
fn path_holds(program: &Program, scratch: &Scratch, word: usize, both: bool) -> u64 {
    let (derived, marks) = (&program.derived, &scratch.marks);
    let written = marks.written[word] ^ derived.flips[word];
    if !both {
        return written;
    }
    let canonical = marks.canonical[word] ^ derived.flips[word];
    (written & canonical) | (derived.rejects[word] & (written | canonical))
}

/// The verdict of the first of the rules left in a word whose late age test holds.
fn first_of(
    program: &Program,
    scratch: &Scratch,
    image: &ImageFacts<'_>,
    word: usize,
    mut left: u64,
) -> Option<Verdict> {
    while left != 0 {
        let rule = word as u32 * 64 + left.trailing_zeros();
        let row = &program.derived.rules[rule as usize];
        match row.age {
            Some((test, operand))
                if row.late && !age_test(program, scratch, image, test, operand) =>
            {
                left &= left - 1;
            }
            _ => return Some(Verdict::by(row.action, RuleId(rule))),
        }
    }
    None
}

/// An image never scanned is older than every bound (spec: policy, "imageLastScan").
fn age_test(
    program: &Program,
    scratch: &Scratch,
    image: &ImageFacts<'_>,
    op: Op,
    operand: u32,
) -> bool {
    let operand = operand as usize;
    match op {
        Op::ScanAfter => image
            .last_scan
            .is_some_and(|scan| scan > scratch.bounds[operand] && scan <= scratch.latest),
        Op::ScanBefore => image.last_scan.is_none_or(|scan| scan < scratch.bounds[operand]),
        Op::ScanSince => image.last_scan.is_some_and(|scan| scan > program.draft.instants[operand]),
        _ => image.last_scan.is_none_or(|scan| scan < program.draft.instants[operand]),
    }
}
