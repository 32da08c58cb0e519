//! The search that always works: a set of NFA states moved along the scalar values of a text.
//!
//! For patterns that are too big as a DFA, and for texts outside ASCII where a pattern tells
//! scalars outside ASCII apart. Time is at most states x scalars; the sets are sized in
//! [`States::prepare`], so that the search does not allocate.

use super::symbols::is_word;
use crate::wire::{Fault, Reader, Writer};

/// The most steps of one NFA (8 bytes each: 1 MiB).
pub const STEPS_MAX: usize = 1 << 17;
/// The most steps of all NFAs of a matcher together (16 MiB).
pub const STEPS_TOTAL_MAX: usize = 1 << 21;

/// One state: what it waits for, and where it goes then. Eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The kind in the low three bits, its argument above them.
    op: u32,
    /// The state after this one.
    next: u32,
}

const _: () = assert!(size_of::<Step>() == 8);

/// What a [`Step`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// This scalar.
    Char(u32),
    /// A scalar of the class with this index.
    Class(u32),
    /// Nothing; this other state is entered as well.
    Split(u32),
    /// A position, by the number of the look.
    Look(u32),
    /// The pattern has matched.
    Match,
}

/// `^` without `m`: the beginning of the text.
pub const START: u32 = 0;
/// `$` without `m`: the end of the text.
pub const END: u32 = 1;
/// `(?m)^`: the beginning of a line.
pub const START_LINE: u32 = 2;
/// `(?m)$`: the end of a line.
pub const END_LINE: u32 = 3;
/// `\b`.
pub const WORD: u32 = 4;
/// `\B`.
pub const NOT_WORD: u32 = 5;

impl Step {
    /// A step; the argument must be below 2^29.
    pub const fn new(wait: Wait, next: u32) -> Self {
        let op = match wait {
            Wait::Char(arg) => arg << 3,
            Wait::Class(arg) => arg << 3 | 1,
            Wait::Split(arg) => arg << 3 | 2,
            Wait::Look(arg) => arg << 3 | 3,
            Wait::Match => 4,
        };
        Self { op, next }
    }

    /// What it waits for.
    pub const fn wait(self) -> Wait {
        let arg = self.op >> 3;
        match self.op & 7 {
            0 => Wait::Char(arg),
            1 => Wait::Class(arg),
            2 => Wait::Split(arg),
            3 => Wait::Look(arg),
            _ => Wait::Match,
        }
    }

    /// The state after this one.
    pub const fn next(self) -> u32 {
        self.next
    }
}

/// A set of scalars: a bit for each of ASCII, and ranges for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// The members in ASCII.
    pub ascii: [u64; 2],
    /// The first of its ranges in [`Nfas::ranges`].
    pub from: u32,
    /// The end of its ranges.
    pub to: u32,
}

/// One NFA: a stretch of [`Nfas::steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nfa {
    /// Its first step; targets within it count from here.
    pub from: u32,
    /// How many steps it has.
    pub len: u32,
    /// The step it begins at.
    pub entry: u32,
    /// Only a match that begins at the beginning of the text counts.
    pub anchored: bool,
}

/// All NFAs of a matcher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nfas {
    /// The NFAs.
    pub nfas: Vec<Nfa>,
    /// The states of all of them.
    pub steps: Vec<Step>,
    /// The classes they name.
    pub sets: Vec<Set>,
    /// The ranges of the classes outside ASCII: sorted, inclusive.
    pub ranges: Vec<(u32, u32)>,
}

impl Nfas {
    /// Whether NFA `index` matches within `text`.
    pub(super) fn is_match(&self, index: u32, text: &str, states: &mut States) -> bool {
        let Some(&nfa) = self.nfas.get(index as usize) else { return false };
        let from = nfa.from as usize;
        let Some(steps) = self.steps.get(from..from + nfa.len as usize) else { return false };
        let (mut rest, mut before) = (text.chars(), None);
        states.now.clear();
        loop {
            let after = rest.next();
            if !nfa.anchored || before.is_none() {
                states.now.insert(nfa.entry);
            }
            if states.now.len == 0 {
                return false;
            }
            let here = Here { before, after };
            states.open.clear();
            for at in 0..states.now.len {
                let state = states.now.items.get(at).copied().unwrap_or(0);
                if here.open(steps, state, &mut states.open, &mut states.stack) {
                    return true;
                }
            }
            let Some(scalar) = after else { return false };
            states.now.clear();
            for at in 0..states.open.len {
                let state = states.open.items.get(at).copied().unwrap_or(0);
                let Some(step) = steps.get(state as usize) else { continue };
                let moves = match step.wait() {
                    Wait::Char(wanted) => wanted == scalar as u32,
                    Wait::Class(set) => self.holds(set, scalar),
                    Wait::Split(_) | Wait::Look(_) | Wait::Match => false,
                };
                if moves {
                    states.now.insert(step.next);
                }
            }
            before = after;
        }
    }

    fn holds(&self, set: u32, scalar: char) -> bool {
        let Some(set) = self.sets.get(set as usize) else { return false };
        let scalar = scalar as u32;
        if scalar < 0x80 {
            let word = if scalar < 64 { set.ascii[0] } else { set.ascii[1] };
            return word >> (scalar & 63) & 1 == 1;
        }
        let ranges = self.ranges.get(set.from as usize..set.to as usize).unwrap_or(&[]);
        let at = ranges.partition_point(|&(_, last)| last < scalar);
        ranges.get(at).is_some_and(|&(first, _)| first <= scalar)
    }

    /// INVARIANT (in bounds): every step, target, class and range is inside its table.
    pub(super) fn verify(&self) -> Result<(), Fault> {
        let fault = |why: &str| Err(Fault::new("nfa", why));
        if self.steps.len() > STEPS_TOTAL_MAX {
            return fault("too many steps");
        }
        for set in &self.sets {
            if set.from > set.to || set.to as usize > self.ranges.len() {
                return fault("a class leaves the table of ranges");
            }
        }
        for nfa in &self.nfas {
            let (from, len) = (nfa.from as usize, nfa.len as usize);
            let steps = self.steps.get(from..from.saturating_add(len));
            let Some(steps) = steps.filter(|_| nfa.entry < nfa.len && len <= STEPS_MAX) else {
                return fault("an automaton leaves the table of steps");
            };
            for step in steps {
                let good = match step.wait() {
                    Wait::Char(_) | Wait::Match => true,
                    Wait::Class(set) => (set as usize) < self.sets.len(),
                    Wait::Split(other) => other < nfa.len,
                    Wait::Look(look) => look <= NOT_WORD,
                };
                if !good || step.next >= nfa.len || step.op & 7 > 4 {
                    return fault("a step leaves its automaton");
                }
            }
        }
        Ok(())
    }

    /// Bytes of the tables.
    pub(super) fn bytes(&self) -> usize {
        self.nfas.len() * 16 + self.steps.len() * 8 + self.sets.len() * 24 + self.ranges.len() * 8
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.list(&self.nfas, |w, nfa| {
            w.u32(nfa.from);
            w.u32(nfa.len);
            w.u32(nfa.entry);
            w.u8(u8::from(nfa.anchored));
        });
        writer.list(&self.steps, |w, step| {
            w.u32(step.op);
            w.u32(step.next);
        });
        writer.list(&self.sets, |w, set| {
            w.u64(set.ascii[0]);
            w.u64(set.ascii[1]);
            w.u32(set.from);
            w.u32(set.to);
        });
        writer.list(&self.ranges, |w, range| {
            w.u32(range.0);
            w.u32(range.1);
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let max = reader.left() / 8;
        Ok(Self {
            nfas: reader.list("nfa", max, |r| {
                Ok(Nfa {
                    from: r.u32("nfa")?,
                    len: r.u32("nfa")?,
                    entry: r.u32("nfa")?,
                    anchored: r.u8("nfa")? != 0,
                })
            })?,
            steps: reader
                .list("nfa", max, |r| Ok(Step { op: r.u32("nfa")?, next: r.u32("nfa")? }))?,
            sets: reader.list("nfa", max, |r| {
                Ok(Set {
                    ascii: [r.u64("nfa")?, r.u64("nfa")?],
                    from: r.u32("nfa")?,
                    to: r.u32("nfa")?,
                })
            })?,
            ranges: reader.list("nfa", max, |r| Ok((r.u32("nfa")?, r.u32("nfa")?)))?,
        })
    }
}

/// A position between two scalars.
#[derive(Clone, Copy)]
struct Here {
    before: Option<char>,
    after: Option<char>,
}

impl Here {
    /// Enters `state` and all that it leads to without a scalar; true when that is the match.
    fn open(self, steps: &[Step], state: u32, open: &mut SparseSet, stack: &mut Vec<u32>) -> bool {
        stack.clear();
        if open.insert(state) {
            stack.push(state);
        }
        while let Some(state) = stack.pop() {
            let Some(step) = steps.get(state as usize) else { continue };
            let mut enter = |state: u32| {
                if open.insert(state) {
                    stack.push(state);
                }
            };
            match step.wait() {
                Wait::Char(_) | Wait::Class(_) => {}
                Wait::Split(other) => {
                    enter(other);
                    enter(step.next);
                }
                Wait::Look(look) => {
                    if self.holds(look) {
                        enter(step.next);
                    }
                }
                Wait::Match => return true,
            }
        }
        false
    }

    fn holds(self, look: u32) -> bool {
        let is_word = |scalar: Option<char>| {
            scalar.is_some_and(|scalar| scalar.is_ascii() && is_word(scalar as u8))
        };
        match look {
            START => self.before.is_none(),
            END => self.after.is_none(),
            START_LINE => self.before.is_none_or(|scalar| scalar == '\n'),
            END_LINE => self.after.is_none_or(|scalar| scalar == '\n'),
            WORD => is_word(self.before) != is_word(self.after),
            _ => is_word(self.before) == is_word(self.after),
        }
    }
}

/// The scratch of the search.
#[derive(Clone, Debug, Default)]
pub(super) struct States {
    now: SparseSet,
    open: SparseSet,
    stack: Vec<u32>,
}

impl States {
    /// Makes room for every NFA; the only place that allocates.
    pub(super) fn prepare(&mut self, len: usize) {
        self.now.grow(len);
        self.open.grow(len);
        // Each state is pushed at most once between two clears.
        self.stack.reserve(len.saturating_sub(self.stack.len()));
    }

    /// The largest NFA there is room for.
    pub(super) fn room(&self) -> usize {
        self.now.items.len()
    }
}

/// Numbers below a bound, cleared in no time.
#[derive(Clone, Debug, Default)]
struct SparseSet {
    len: usize,
    items: Vec<u32>,
    places: Vec<u32>,
}

impl SparseSet {
    fn grow(&mut self, bound: usize) {
        if self.items.len() < bound {
            self.items.resize(bound, 0);
            self.places.resize(bound, 0);
        }
    }

    fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds `item`; false when it is there already, or not below the bound.
    #[inline]
    fn insert(&mut self, item: u32) -> bool {
        let Some(place) = self.places.get_mut(item as usize) else { return false };
        let at = *place as usize;
        if at < self.len && self.items.get(at) == Some(&item) {
            return false;
        }
        let Some(slot) = self.items.get_mut(self.len) else { return false };
        *slot = item;
        *place = self.len as u32;
        self.len += 1;
        true
    }
}
