//! The machine: which policies apply to a request, and the verdict of each image.
//!
//! Nothing here allocates, waits, fails or looks at a clock. [`select`] runs once for a request,
//! then [`run`] once for each image; both use the same [`Scratch`], which grows only when it
//! meets another program. [`walk`] runs the same rules one by one, for traces and as a check.
#![expect(
    clippy::indexing_slicing,
    reason = "INVARIANT (in bounds): verification checked every operand"
)]

use crate::facts::{ImageFacts, RequestFacts, Timestamp};
use crate::index::Space;
use crate::isa::{Inst, Op};
use crate::matcher::MatcherScratch;
use crate::program::{Action, PolicyId, Program, RuleId};
use crate::time;

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

/// A label of the request that some selection mentions.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Its value's number in the label pool, [`OTHER`] or [`MISSING`].
    value: u32,
    /// Where it stands among the labels of the request.
    at: u32,
}

const MISSING: u32 = u32::MAX;
const OTHER: u32 = u32::MAX - 1;
const NO_LABEL: Slot = Slot { value: MISSING, at: 0 };

/// What the machine writes to while it runs. One for each thread; reused for every request.
#[derive(Debug, Default)]
pub struct Scratch {
    program: u64,
    resource: Vec<Slot>,
    namespace: Vec<Slot>,
    touched: Vec<(Space, u32)>,
    /// The policies whose selections are run, as bits.
    candidates: Vec<u64>,
    /// The rules of the policies that apply, as bits, and the words in which some are set.
    active: Vec<u64>,
    words: Vec<u32>,
    word_marks: Vec<u64>,
    marked: Vec<u64>,
    marked_canonical: Vec<u64>,
    left: Vec<u64>,
    /// The `keep`s whose test did not hold.
    dropping: Vec<usize>,
    /// The day for which `bound_days` holds, and the day of each bound.
    day: Option<i64>,
    bound_days: Vec<Option<i64>>,
    bounds: Vec<Timestamp>,
    latest: Timestamp,
    matcher: MatcherScratch,
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

    /// Makes it fit a program: the only place that allocates. [`select`] calls it too, so calling
    /// it beforehand only moves the cost off the request.
    pub fn prepare(&mut self, program: &Program) {
        let derived = &program.derived;
        if self.program == derived.id {
            return;
        }
        self.program = derived.id;
        let labels = program.draft.labels.len();
        let words = derived.flips.len();
        for slots in [&mut self.resource, &mut self.namespace] {
            slots.clear();
            slots.resize(labels, NO_LABEL);
        }
        self.touched.clear();
        self.touched.reserve(2 * labels);
        self.candidates.clear();
        self.candidates.resize(program.draft.policies.len().div_ceil(64), 0);
        for bits in [&mut self.active, &mut self.marked, &mut self.marked_canonical, &mut self.left]
        {
            bits.clear();
            bits.resize(words, 0);
        }
        self.word_marks.clear();
        self.word_marks.resize(words.div_ceil(64), 0);
        self.words.clear();
        self.words.reserve(words);
        self.dropping.clear();
        self.dropping.reserve(derived.linked_end);
        self.day = None;
        self.bound_days.clear();
        self.bound_days.resize(program.draft.spans.len(), None);
        self.bounds.clear();
        self.bounds.resize(program.draft.spans.len(), Timestamp::MIN);
        self.matcher.prepare(&program.draft.matcher);
    }

    fn slots(&mut self, space: Space) -> &mut [Slot] {
        match space {
            Space::Resource => &mut self.resource,
            Space::Namespace => &mut self.namespace,
        }
    }

    /// How many rules belong to policies that apply to the selected request.
    pub fn applied(&self) -> usize {
        self.words.iter().map(|&word| self.active[word as usize].count_ones() as usize).sum()
    }
}

/// Finds the policies that apply to a request, and the bounds of its `now`.
pub fn select(program: &Program, scratch: &mut Scratch, facts: &RequestFacts<'_>) {
    begin(program, scratch, facts);
    let derived = &program.derived;
    let Scratch { resource, namespace, touched, candidates, .. } = scratch;
    let present = touched.iter().map(|&(space, key)| {
        let slots = if space == Space::Resource { &*resource } else { &*namespace };
        (space, key, slots[key as usize].value)
    });
    derived.index.candidates(present, candidates);
    for word in 0..scratch.candidates.len() {
        let mut bits = scratch.candidates[word];
        while bits != 0 {
            consider(program, scratch, facts, word as u32 * 64 + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }
    for (nth, marks) in scratch.word_marks.iter_mut().enumerate() {
        while *marks != 0 {
            scratch.words.push(nth as u32 * 64 + marks.trailing_zeros());
            *marks &= *marks - 1;
        }
    }
}

/// Forgets the request before, and notes the labels and bounds of this one.
fn begin(program: &Program, scratch: &mut Scratch, facts: &RequestFacts<'_>) {
    scratch.prepare(program);
    for &word in &scratch.words {
        scratch.active[word as usize] = 0;
    }
    scratch.words.clear();
    while let Some((space, key)) = scratch.touched.pop() {
        scratch.slots(space)[key as usize] = NO_LABEL;
    }
    scratch.latest = facts.now.plus_secs(i64::from(facts.skew_secs));
    bounds(program, scratch, facts.now);
    if program.derived.index.is_blind() {
        return;
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

fn note(program: &Program, scratch: &mut Scratch, space: Space, at: usize, key: &str, value: &str) {
    let (index, labels) = (&program.derived.index, &program.draft.labels);
    let Some(key) = index.label(labels, key) else { return };
    let slot = &mut scratch.slots(space)[key as usize];
    if slot.value == MISSING {
        *slot = Slot { value: index.label(labels, value).unwrap_or(OTHER), at: at as u32 };
        scratch.touched.push((space, key));
    }
}

/// Activates the rules of a policy if it applies.
fn consider(program: &Program, scratch: &mut Scratch, facts: &RequestFacts<'_>, policy: u32) {
    let start = program.draft.policies[policy as usize].select as usize;
    if !run_select(program, scratch, facts, start, &mut |_, _, _| {}) {
        return;
    }
    let first = program.derived.first_rules[policy as usize] as usize;
    let end = program.derived.first_rules[policy as usize + 1] as usize;
    let mut rule = first;
    while rule < end {
        let (word, bit) = (rule / 64, rule % 64);
        let count = (end - rule).min(64 - bit);
        scratch.active[word] |= (u64::MAX >> (64 - count)) << bit;
        scratch.word_marks[word / 64] |= 1 << (word % 64);
        rule += count;
    }
}

/// Runs one selection; `seen` is told each instruction, how its test ended, and what follows.
fn run_select(
    program: &Program,
    scratch: &Scratch,
    facts: &RequestFacts<'_>,
    start: usize,
    seen: &mut impl FnMut(usize, Option<bool>, Option<usize>),
) -> bool {
    let mut pc = start;
    // INVARIANT (forward): each step raises `pc`, so this loop ends within the selection.
    loop {
        let inst = &program.draft.code[pc];
        let holds = match inst.op {
            Op::Apply => {
                seen(pc, None, None);
                return true;
            }
            Op::Skip => {
                seen(pc, None, None);
                return false;
            }
            _ => label_test(program, scratch, facts, inst),
        };
        let next = if holds == inst.sense { inst.to as usize } else { pc + 1 };
        seen(pc, Some(holds), Some(next));
        pc = next;
    }
}

fn label_test(program: &Program, scratch: &Scratch, facts: &RequestFacts<'_>, inst: &Inst) -> bool {
    let (slots, labels) = match Space::of(inst.op) {
        Space::Resource => (&scratch.resource, facts.labels),
        Space::Namespace => (&scratch.namespace, facts.namespace_labels),
    };
    let slot = slots[inst.a as usize];
    if slot.value == MISSING {
        return false;
    }
    let value = || labels[slot.at as usize].1;
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

/// The verdict of one image of the selected request: all policies that apply, at once.
///
/// PERF: the rules that each step keeps are only combined at the end, in one pass over the words
/// in which rules are active. [`run_seen`] takes the steps one by one and comes to the same.
pub fn run(program: &Program, scratch: &mut Scratch, image: &ImageFacts<'_>) -> Verdict {
    if !is_selected(program, scratch) {
        return Verdict::Pass;
    }
    let derived = &program.derived;
    scratch.dropping.clear();
    let (mut by_path, mut by_status) = (false, false);
    for (pc, inst) in program.draft.code[..derived.linked_end].iter().enumerate() {
        match inst.op {
            Op::Mark => mark(program, scratch, image),
            Op::KeepPath => by_path = true,
            Op::KeepStatus => by_status = true,
            Op::First => break,
            op => {
                let test = op.kept().unwrap_or(op);
                if !age_test(program, scratch, image, test, inst.a) {
                    scratch.dropping.push(pc);
                }
            }
        }
    }
    let both = canonical(image).is_some();
    let status = &derived.status[image.status as usize];
    for nth in 0..scratch.words.len() {
        let word = scratch.words[nth] as usize;
        let mut left = scratch.active[word];
        if by_path {
            left &= path_holds(program, scratch, word, both);
        }
        if by_status {
            left &= status[word];
        }
        for &pc in &scratch.dropping {
            if let Some(keep) = &derived.keeps[pc] {
                left &= !keep.rules[word];
            }
        }
        if left != 0
            && let Some(verdict) = first_of(program, scratch, image, word, left)
        {
            return verdict;
        }
    }
    Verdict::Pass
}

/// Whether a request was selected with this program, and a policy applies to it.
fn is_selected(program: &Program, scratch: &Scratch) -> bool {
    scratch.program == program.derived.id && !scratch.words.is_empty()
}

/// As [`run`], step by step; `seen` is told each instruction of `linked`, how its test ended if
/// it has one, and how many rules are left.
pub fn run_seen(
    program: &Program,
    scratch: &mut Scratch,
    image: &ImageFacts<'_>,
    seen: &mut impl FnMut(u32, Option<bool>, u32),
) -> Verdict {
    if !is_selected(program, scratch) {
        return Verdict::Pass;
    }
    for &word in &scratch.words {
        scratch.left[word as usize] = scratch.active[word as usize];
    }
    let derived = &program.derived;
    let both = canonical(image).is_some();
    for (pc, inst) in program.draft.code[..derived.linked_end].iter().enumerate() {
        let mut holds = None;
        match inst.op {
            Op::Mark => mark(program, scratch, image),
            Op::KeepPath => keep(scratch, |scratch, word| path_holds(program, scratch, word, both)),
            Op::KeepStatus => keep(scratch, |_, word| derived.status[image.status as usize][word]),
            Op::First => {}
            op => {
                let test = op.kept().unwrap_or(op);
                let test = age_test(program, scratch, image, test, inst.a);
                holds = Some(test);
                if !test && let Some(rows) = &derived.keeps[pc] {
                    keep(scratch, |_, word| !rows.rules[word]);
                }
            }
        }
        let left = scratch.words.iter().map(|&word| scratch.left[word as usize].count_ones()).sum();
        seen(pc as u32, holds, left);
    }
    let words = scratch.words.iter().map(|&word| word as usize);
    let mut decided =
        words.filter_map(|word| first_of(program, scratch, image, word, scratch.left[word]));
    decided.next().unwrap_or(Verdict::Pass)
}

/// Keeps the rules whose bits `rows` gives for each word.
fn keep(scratch: &mut Scratch, rows: impl Fn(&Scratch, usize) -> u64) {
    for nth in 0..scratch.words.len() {
        let word = scratch.words[nth] as usize;
        scratch.left[word] &= rows(scratch, word);
    }
}

/// Both forms of the path, where policies ask for both and they differ.
fn canonical<'a>(image: &ImageFacts<'a>) -> Option<&'a str> {
    image.canonical.filter(|&canonical| canonical != image.path)
}

/// PERF: only the words that are read afterwards are cleared; a call to clear a few words costs
/// more than the search of a short path.
fn mark(program: &Program, scratch: &mut Scratch, image: &ImageFacts<'_>) {
    let Scratch { active, words, marked, marked_canonical, matcher, .. } = scratch;
    for &word in &*words {
        marked[word as usize] = 0;
    }
    program.draft.matcher.mark(image.path, active, matcher, marked);
    if let Some(canonical) = canonical(image) {
        for &word in &*words {
            marked_canonical[word as usize] = 0;
        }
        program.draft.matcher.mark(canonical, active, matcher, marked_canonical);
    }
}

/// The rules of a word whose path criterion holds. With both forms, a `Reject` rule holds if
/// either does and an `Allow` rule only if both do (spec: image-path, "String").
fn path_holds(program: &Program, scratch: &Scratch, word: usize, both: bool) -> u64 {
    let derived = &program.derived;
    let written = scratch.marked[word] ^ derived.flips[word];
    if !both {
        return written;
    }
    let canonical = scratch.marked_canonical[word] ^ derived.flips[word];
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
/// same decisions as [`select`] and [`run`] by other means, and tells each step.
pub fn walk(
    program: &Program,
    scratch: &mut Scratch,
    facts: &RequestFacts<'_>,
    image: &ImageFacts<'_>,
    seen: &mut impl FnMut(Event),
) -> Verdict {
    begin(program, scratch, facts);
    scratch.active.fill(u64::MAX);
    scratch.words.extend(0..scratch.active.len() as u32);
    mark(program, scratch, image);
    scratch.words.clear();
    scratch.active.fill(0);
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
    let mut pc = start;
    let mut rule = program.derived.rules.partition_point(|row| (row.block as usize) < start);
    // INVARIANT (forward): each step raises `pc`, so this loop ends within the rules.
    loop {
        while program.derived.rules.get(rule + 1).is_some_and(|row| row.block as usize <= pc) {
            rule += 1;
        }
        let inst = &program.draft.code[pc];
        let holds = match inst.op {
            Op::Allow => {
                seen(pc, None, None);
                return Verdict::Allow(RuleId(inst.a));
            }
            Op::Reject => {
                seen(pc, None, None);
                return Verdict::Reject(RuleId(inst.a));
            }
            Op::Pass => {
                seen(pc, None, None);
                return Verdict::Pass;
            }
            Op::PathMatch => path_test(program, scratch, image, rule, inst.sense),
            Op::StatusIn => inst.a as u8 & image.status.bit() != 0,
            op => age_test(program, scratch, image, op, inst.a),
        };
        let next = if holds == inst.sense { inst.to as usize } else { pc + 1 };
        seen(pc, Some(holds), Some(next));
        pc = next;
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
    let written = bit(&scratch.marked) != none_of;
    let Some(_) = canonical(image) else { return written != none_of };
    let canonical = bit(&scratch.marked_canonical) != none_of;
    let holds = match program.derived.rules[rule].action {
        Action::Reject => written || canonical,
        Action::Allow => written && canonical,
    };
    holds != none_of
}
