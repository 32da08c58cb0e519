//! What the machine writes to while it runs.

use std::ops::Range;

use crate::facts::{ImageFacts, ScanStatus, Timestamp};
use crate::index::KeyId;
use crate::matcher::MatcherScratch;
use crate::program::Program;

/// What the machine writes to while it runs. One for each thread; reused for every request.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The program that all of it fits.
    pub(super) program: u64,
    /// The request's label of each key; see [`Slot::round`].
    pub(super) slots: Vec<Slot>,
    pub(super) round: u32,
    /// The mentioned keys of the request with the numbers of their values, and those of the
    /// request before.
    pub(super) present: Vec<(KeyId, u32)>,
    pub(super) before: Vec<(KeyId, u32)>,
    /// Whether what follows holds for every request whose labels have the numbers of `before`.
    pub(super) is_by_numbers: bool,
    /// The policies that apply, as bits.
    pub(super) policies: Vec<u64>,
    /// The rules of the policies that apply, as bits.
    pub(super) active: Vec<u64>,
    /// The words in which rules are active, as ranges, rising.
    pub(super) ranges: Vec<Range<usize>>,
    /// For each status, the rules that status and age leave.
    pub(super) fits: [Fit; ScanStatus::ALL.len()],
    pub(super) marks: Marks,
    /// What is left while steps are told one by one.
    pub(super) left: Vec<u64>,
    /// The day for which `bound_days` holds, and the day of each bound.
    pub(super) day: Option<i64>,
    pub(super) bound_days: Vec<Option<i64>>,
    pub(super) bounds: Vec<Timestamp>,
    pub(super) latest: Timestamp,
}

/// A label of the request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// The request it is of: a slot of another round is a missing label, so that nothing must be
    /// cleared between requests.
    pub(super) round: u32,
    /// Its value's number in the label pool, or [`OTHER`].
    pub(super) value: u32,
    /// Where it stands among the labels of the request.
    pub(super) at: u32,
}

/// A value that no selection mentions, or whose number makes no difference.
pub(super) const OTHER: u32 = u32::MAX;

/// The active rules that one status and one outcome of the age tests leave.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// The `keep`s whose tests did not hold, as bits; `None`: made for another selection.
    pub(super) dropping: Option<u64>,
    pub(super) rules: Vec<u64>,
}

/// The rules of which a pattern matches one image, as bits.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// By the path as it is written.
    pub(super) written: Vec<u64>,
    /// By its canonical form, where that is asked for and differs.
    pub(super) canonical: Vec<u64>,
    matcher: MatcherScratch,
}

impl Marks {
    /// Marks within `ranges` of words; rules that are not `wanted` may be left out.
    pub(super) fn mark(
        &mut self,
        program: &Program,
        image: &ImageFacts<'_>,
        ranges: &[Range<usize>],
        wanted: &[u64],
    ) {
        let Self { written, canonical, matcher } = self;
        // PERF: only the words that are read afterwards are cleared.
        clear(written, ranges);
        program.draft.matcher.mark_prepared(image.path, wanted, matcher, written);
        if let Some(path) = other_form(image) {
            clear(canonical, ranges);
            program.draft.matcher.mark_prepared(path, wanted, matcher, canonical);
        }
    }
}

/// The other form of the path, where policies ask for both and they differ.
pub(super) fn other_form<'a>(image: &ImageFacts<'a>) -> Option<&'a str> {
    image.canonical.filter(|&canonical| canonical != image.path)
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::MIN
    }
}

impl Scratch {
    /// Scratch that fits no program yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it fit a program: the only place that allocates. [`super::select`] calls it too, so
    /// calling it beforehand only moves the cost off the request.
    pub fn prepare(&mut self, program: &Program) {
        if self.program == program.derived.id {
            return;
        }
        self.fit(program);
    }

    #[cold]
    fn fit(&mut self, program: &Program) {
        let derived = &program.derived;
        self.program = derived.id;
        let (keys, words) = (derived.index.key_count(), derived.flips.len());
        self.round = 0;
        self.slots.clear();
        self.slots.resize(keys, Slot::default());
        for present in [&mut self.present, &mut self.before] {
            present.clear();
            present.reserve(keys);
        }
        self.is_by_numbers = false;
        let Self { policies, active, marks, left, fits, .. } = self;
        policies.clear();
        policies.resize(program.draft.policies.len().div_ceil(64), 0);
        let rows = [active, &mut marks.written, &mut marks.canonical, left];
        for bits in rows.into_iter().chain(fits.iter_mut().map(|fit| &mut fit.rules)) {
            bits.clear();
            bits.resize(words, 0);
        }
        self.ranges.clear();
        self.ranges.reserve(words);
        self.day = None;
        self.bound_days.clear();
        self.bound_days.resize(program.draft.spans.len(), None);
        self.bounds.clear();
        self.bounds.resize(program.draft.spans.len(), Timestamp::MIN);
        self.marks.matcher.prepare(&program.draft.matcher);
    }

    /// How many rules belong to policies that apply to the selected request.
    pub fn applied(&self) -> usize {
        let words = self.ranges.iter().flat_map(|range| self.active.get(range.clone()));
        words.flatten().map(|word| word.count_ones() as usize).sum()
    }

    /// Forgets which rules are active.
    pub(super) fn deactivate(&mut self) {
        clear(&mut self.active, &self.ranges);
        self.ranges.clear();
        for fit in &mut self.fits {
            fit.dropping = None;
        }
    }
}

/// Clears ranges of words.
#[inline]
fn clear(words: &mut [u64], ranges: &[Range<usize>]) {
    for range in ranges {
        // PERF: a call to clear a word or two costs more than anything else here.
        match words.get_mut(range.clone()) {
            Some([only]) => *only = 0,
            Some([first, last]) => (*first, *last) = (0, 0),
            many => many.unwrap_or(&mut []).fill(0),
        }
    }
}
