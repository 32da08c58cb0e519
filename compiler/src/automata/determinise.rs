//! From an NFA to a small DFA over symbols (subset construction), or not if it gets too big.
//!
//! A match is seen one symbol late where a look must know what follows; where none is involved
//! it is seen at once, and the search ends there. A state knows what kind of symbol led to it
//! only as far as the pattern has looks that ask.

use super::hash::Map;

use caapc_vm::matcher::dfa::{DEAD, ENTRIES_MAX, MATCH};
use caapc_vm::matcher::nfa::{END, END_LINE, START, START_LINE, Step, WORD, Wait};
use caapc_vm::matcher::symbols::{SYMBOLS, is_word};

use super::alphabet::Symbols;
use super::nfa::Nfa;

/// The DFA of one pattern; the rows are as in [`caapc_vm::matcher::dfa::Dfa`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) entries: Vec<u16>,
    pub(super) classes: [u8; SYMBOLS],
    pub(super) start: u16,
    pub(super) stride: u8,
}

impl Table {
    pub(super) fn states(&self) -> usize {
        self.entries.len() / self.stride.max(1) as usize
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * 2
    }
}

/// The most NFA states that may be moved while one DFA is built; about 5 ms.
const WORK_MAX: usize = 250_000;

/// Where a DFA begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// At the beginning of the text, to search all of it.
    Text,
    /// At a position where the pattern must begin; it has no look that asks what is before.
    Here,
}

/// Builds it; `None` when it has more than [`ENTRIES_MAX`] entries or takes too much work.
pub(super) fn determinise(nfa: &Nfa, from: From) -> Option<Table> {
    Determiniser::new(nfa, from).run()
}

/// What led to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Before {
    Start,
    Newline,
    Word,
    Other,
}

struct Determiniser<'n> {
    nfa: &'n Nfa,
    /// What each step accepts.
    accepts: Vec<Symbols>,
    classes: [u8; SYMBOLS],
    /// One symbol of each class.
    samples: Vec<u8>,
    asks: Asks,
    /// Whether a match may begin at every position.
    restarts: bool,
    marks: Marks,
    states: Map<(Before, Box<[u32]>), u16>,
    /// The states whose rows are not filled yet, in the order of their numbers.
    sets: Vec<(Before, Box<[u32]>)>,
    work: usize,
}

/// Which kinds of looks a pattern has.
#[derive(Clone, Copy, Default)]
struct Asks {
    start: bool,
    line: bool,
    word: bool,
    newline: bool,
}

/// Which NFA states were visited.
struct Marks {
    round: u32,
    seen: Vec<u32>,
    stack: Vec<u32>,
}

impl Marks {
    fn first_time(&mut self, state: u32) -> bool {
        match self.seen.get_mut(state as usize) {
            Some(seen) if *seen != self.round => {
                *seen = self.round;
                true
            }
            _ => false,
        }
    }
}

impl<'n> Determiniser<'n> {
    fn new(nfa: &'n Nfa, from: From) -> Self {
        let mut asks = Asks::default();
        let sets: Vec<Symbols> =
            nfa.classes.iter().map(|class| Symbols::of_class(class).0).collect();
        let accepts: Vec<Symbols> = nfa
            .steps
            .iter()
            .map(|step| match step.wait() {
                Wait::Char(char) => char::from_u32(char).map(Symbols::of_char).unwrap_or_default(),
                Wait::Class(class) => sets.get(class as usize).copied().unwrap_or_default(),
                Wait::Look(look) => {
                    asks.start |= look == START;
                    asks.line |= look == START_LINE;
                    asks.newline |= look == START_LINE || look == END_LINE;
                    asks.word |= look >= WORD;
                    Symbols::default()
                }
                Wait::Split(_) | Wait::Match => Symbols::default(),
            })
            .collect();
        let (classes, samples) = classes(&accepts, asks);
        let marks = Marks { round: 0, seen: vec![0; nfa.steps.len()], stack: Vec::new() };
        Self {
            nfa,
            accepts,
            classes,
            samples,
            asks,
            restarts: from == From::Text && !nfa.anchored,
            marks,
            states: Map::default(),
            sets: Vec::new(),
            work: 0,
        }
    }

    fn run(mut self) -> Option<Table> {
        let stride = self.samples.len() + 1;
        let mut set = Vec::new();
        let matched = self.close(std::iter::once(self.nfa.entry), &mut set);
        let before = if self.asks.start || self.asks.line || self.asks.word {
            Before::Start
        } else {
            Before::Other
        };
        let start = if matched { MATCH } else { self.state(before, set, stride)? };
        let mut entries: Vec<u16> = Vec::new();
        let mut at = 0;
        while let Some((before, set)) = self.sets.get(at).cloned() {
            let row = self.row(before, &set, stride)?;
            entries.extend(row);
            at += 1;
        }
        if entries.is_empty() {
            entries = vec![start; stride];
        }
        Some(Table { entries, classes: self.classes, start, stride: stride as u8 })
    }

    /// The entries of one state.
    fn row(&mut self, before: Before, set: &[u32], stride: usize) -> Option<Vec<u16>> {
        let looks = set.iter().any(|&state| matches!(self.wait(state), Some(Wait::Look(_))));
        let samples = std::mem::take(&mut self.samples);
        let mut row = Vec::with_capacity(stride);
        for &sample in &samples {
            let entry = if looks {
                let mut open = Vec::new();
                if self.resolve(before, Some(sample), set, &mut open) {
                    MATCH
                } else {
                    self.step(&open, sample, stride)?
                }
            } else {
                self.step(set, sample, stride)?
            };
            row.push(entry);
        }
        self.samples = samples;
        let end = looks && self.resolve(before, None, set, &mut Vec::new());
        row.push(if end { MATCH } else { DEAD });
        Some(row)
    }

    /// The state after `symbol`.
    fn step(&mut self, set: &[u32], symbol: u8, stride: usize) -> Option<u16> {
        self.work += set.len() + 1;
        let (nfa, accepts) = (self.nfa, std::mem::take(&mut self.accepts));
        let targets = set.iter().filter_map(|&state| {
            let accepted = accepts.get(state as usize).is_some_and(|set| set.contains(symbol));
            nfa.steps.get(state as usize).filter(|_| accepted).map(|step| step.next())
        });
        let mut next = Vec::new();
        let matched = self.close(targets.chain(self.restarts.then_some(nfa.entry)), &mut next);
        self.accepts = accepts;
        if matched {
            return Some(MATCH);
        }
        let before = match symbol {
            b'\n' if self.asks.line => Before::Newline,
            symbol if self.asks.word && is_word(symbol) => Before::Word,
            _ => Before::Other,
        };
        self.state(before, next, stride)
    }

    /// The number of a state, a new one if it was not met before; `None` if there is no room.
    fn state(&mut self, before: Before, mut set: Vec<u32>, stride: usize) -> Option<u16> {
        if set.is_empty() {
            return Some(DEAD);
        }
        set.sort_unstable();
        let key = (before, set.into_boxed_slice());
        if let Some(&state) = self.states.get(&key) {
            return Some(state);
        }
        let state = self.sets.len() * stride;
        if state + stride > ENTRIES_MAX || self.work > WORK_MAX {
            return None;
        }
        self.work += key.1.len();
        self.states.insert(key.clone(), state as u16);
        self.sets.push(key);
        Some(state as u16)
    }

    fn wait(&self, state: u32) -> Option<Wait> {
        self.nfa.steps.get(state as usize).map(|step: &Step| step.wait())
    }

    /// All that `entries` lead to without a symbol and without passing a look; true if the
    /// match is among them.
    fn close(&mut self, entries: impl Iterator<Item = u32>, set: &mut Vec<u32>) -> bool {
        self.marks.round += 1;
        for entry in entries {
            if self.enter(entry, set) {
                return true;
            }
        }
        false
    }

    fn enter(&mut self, entry: u32, set: &mut Vec<u32>) -> bool {
        let Marks { .. } = self.marks;
        self.marks.stack.clear();
        self.marks.stack.push(entry);
        while let Some(state) = self.marks.stack.pop() {
            if !self.marks.first_time(state) {
                continue;
            }
            self.work += 1;
            let Some(step) = self.nfa.steps.get(state as usize) else { continue };
            match step.wait() {
                Wait::Char(_) | Wait::Class(_) | Wait::Look(_) => set.push(state),
                Wait::Split(other) => self.marks.stack.extend([step.next(), other]),
                Wait::Match => return true,
            }
        }
        false
    }

    /// `set` and all that its looks lead to between `before` and `after` (`None`: the end);
    /// true if the match is among them.
    fn resolve(
        &mut self,
        before: Before,
        after: Option<u8>,
        set: &[u32],
        open: &mut Vec<u32>,
    ) -> bool {
        self.marks.round += 1;
        for &state in set {
            self.marks.first_time(state);
        }
        open.extend_from_slice(set);
        let mut at = 0;
        while let Some(&state) = open.get(at) {
            at += 1;
            self.work += 1;
            if let Some(Wait::Look(look)) = self.wait(state)
                && holds(look, before, after)
            {
                let next = self.nfa.steps.get(state as usize).map_or(0, |step| step.next());
                if self.enter(next, open) {
                    return true;
                }
            }
        }
        false
    }
}

fn holds(look: u32, before: Before, after: Option<u8>) -> bool {
    let word = after.is_some_and(is_word);
    match look {
        START => before == Before::Start,
        END => after.is_none(),
        START_LINE => matches!(before, Before::Start | Before::Newline),
        END_LINE => after.is_none_or(|symbol| symbol == b'\n'),
        WORD => (before == Before::Word) != word,
        _ => (before == Before::Word) == word,
    }
}

/// Symbols that no step and no look tells apart share a class. Classes are numbered in the
/// order of their first symbols.
fn classes(accepts: &[Symbols], asks: Asks) -> ([u8; SYMBOLS], Vec<u8>) {
    let mut split = Split { class: [0; SYMBOLS], sizes: vec![SYMBOLS as u32] };
    let mut sets: Vec<Symbols> = accepts.iter().copied().filter(|set| set.len() > 0).collect();
    if asks.newline {
        sets.push(Symbols::of_char('\n'));
    }
    if asks.word {
        let mut words = Symbols::default();
        (0..128).filter(|&symbol| is_word(symbol)).for_each(|symbol| words.insert(symbol));
        sets.push(words);
    }
    if sets.len() > 16 {
        sets.sort_unstable();
        sets.dedup();
    }
    sets.iter().for_each(|set| split.by(set));
    let mut names: Vec<Option<u8>> = vec![None; split.sizes.len()];
    let (mut classes, mut samples) = ([0; SYMBOLS], Vec::new());
    for ((symbol, class), old) in (0_u8..).zip(&mut classes).zip(split.class) {
        let Some(name) = names.get_mut(old as usize) else { continue };
        *class = *name.get_or_insert_with(|| {
            samples.push(symbol);
            samples.len() as u8 - 1
        });
    }
    (classes, samples)
}

/// A partition of the symbols.
struct Split {
    class: [u8; SYMBOLS],
    sizes: Vec<u32>,
}

impl Split {
    /// Parts the members of `set` from those that are not.
    fn by(&mut self, set: &Symbols) {
        let mut inside = [0_u32; SYMBOLS];
        let members = set.iter().filter_map(|symbol| self.class.get(symbol as usize).copied());
        for class in members {
            if let Some(count) = inside.get_mut(class as usize) {
                *count += 1;
            }
        }
        let mut moved = [None; SYMBOLS];
        for (class, slot) in moved.iter_mut().enumerate().take(self.sizes.len()) {
            let count = inside.get(class).copied().unwrap_or(0);
            if let Some(size) = self.sizes.get_mut(class)
                && count > 0
                && count < *size
            {
                *size -= count;
                *slot = Some(self.sizes.len() as u8);
                self.sizes.push(count);
            }
        }
        for symbol in set.iter() {
            if let Some(class) = self.class.get_mut(symbol as usize)
                && let Some(Some(new)) = moved.get(*class as usize)
            {
                *class = *new;
            }
        }
    }
}
