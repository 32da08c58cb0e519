//! The search itself: every part of a matcher over one text.

use super::lists::Out;
use super::nfa::States;
use super::symbols::{OTHER, symbol};
use super::trie::{Act, Aside, Row};
use super::{ByHit, Machine, Matcher, TEXT_MAX};

/// The most words of a list of hits that are looked at before a tail is run.
const TAIL_WORDS: usize = 4;

/// What a search needs to remember. One for each thread; [`MatcherScratch::prepare`] is the only
/// place that allocates.
#[derive(Clone, Debug, Default)]
pub struct MatcherScratch {
    symbols: Vec<u8>,
    aside: Vec<Aside>,
    notes: Notes,
}

/// What is kept during one search.
#[derive(Clone, Debug, Default)]
struct Notes {
    /// Which search this is. A mark below is set if it has this number, so that nothing must be
    /// cleared between searches.
    round: u32,
    /// The jobs that are done, a mark each.
    done: Vec<u32>,
    /// The gates that are open, a mark each.
    opened: Vec<u32>,
    states: States,
}

impl Notes {
    fn next_round(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.done.fill(0);
            self.opened.fill(0);
            self.round = 1;
        }
    }
}

impl MatcherScratch {
    /// Without room for any matcher yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for `matcher`. Room for another matcher is kept.
    pub fn prepare(&mut self, matcher: &Matcher) {
        self.symbols.reserve(TEXT_MAX.saturating_sub(self.symbols.len()));
        self.aside.reserve(matcher.depth_max.saturating_sub(self.aside.len()));
        let Notes { round: _, done, opened, states } = &mut self.notes;
        done.resize(matcher.jobs.len().max(done.len()), 0);
        opened.resize(matcher.gates.len().max(opened.len()), 0);
        states.prepare(matcher.nfa_len_max);
    }

    fn is_prepared(&self, matcher: &Matcher) -> bool {
        self.symbols.capacity() >= TEXT_MAX
            && self.aside.capacity() >= matcher.depth_max
            && self.notes.done.len() >= matcher.jobs.len()
            && self.notes.opened.len() >= matcher.gates.len()
            && self.notes.states.room() >= matcher.nfa_len_max
    }
}

impl Matcher {
    /// Sets the bit of every hit in `hits` that has a pattern which matches somewhere in `text`.
    ///
    /// Bits that are not in `wanted` may be left out. Bits of `hits` that are set already stay.
    /// Hit `h` is bit `h % 64` of word `h / 64`. Time is linear in the text; nothing is
    /// allocated if `scratch` was prepared for this matcher and the text is within [`TEXT_MAX`].
    pub fn mark(&self, text: &str, wanted: &[u64], scratch: &mut MatcherScratch, hits: &mut [u64]) {
        if !scratch.is_prepared(self) {
            scratch.prepare(self);
        }
        self.mark_prepared(text, wanted, scratch, hits);
    }

    /// The same with scratch that was prepared for this matcher; with other scratch, hits may be
    /// missing.
    pub(crate) fn mark_prepared(
        &self,
        text: &str,
        wanted: &[u64],
        scratch: &mut MatcherScratch,
        hits: &mut [u64],
    ) {
        let MatcherScratch { symbols, aside, notes } = scratch;
        let (symbols, foreign) = translate(text, symbols);
        notes.next_round();
        let mut search = Search { matcher: self, text, symbols, wanted, hits, notes, lines: None };
        search.set(self.always);
        if !self.heads.is_empty() {
            self.heads.walk::<false>(symbols, 0, aside, |rows, at| search.rows(rows, 0, at));
        }
        if !self.suffixes.is_empty() {
            let end = symbols.len();
            self.suffixes.walk::<true>(symbols, end, aside, |rows, at| search.rows(rows, at, end));
        }
        for keywords in &self.keywords {
            keywords.scan(symbols, aside, |rows, start, end| search.rows(rows, start, end));
        }
        let [always, outside] = &self.open;
        search.open(always);
        if foreign {
            search.open(outside);
        }
    }
}

/// The symbols of a text, and whether it has scalars that share the symbol [`OTHER`].
fn translate<'s>(text: &'s str, room: &'s mut Vec<u8>) -> (&'s [u8], bool) {
    if text.is_ascii() {
        return (text.as_bytes(), false);
    }
    room.clear();
    room.extend(text.chars().map(symbol));
    (room, room.contains(&OTHER))
}

struct Search<'s> {
    matcher: &'s Matcher,
    text: &'s str,
    symbols: &'s [u8],
    wanted: &'s [u64],
    hits: &'s mut [u64],
    notes: &'s mut Notes,
    /// Where the first newline is, and where the last one ends; found when first asked for.
    lines: Option<(usize, usize)>,
}

impl Search<'_> {
    #[inline]
    fn set(&mut self, out: Out) {
        self.matcher.lists.set(out, self.hits);
    }

    fn is_pending(&self, out: Out) -> bool {
        self.matcher.lists.is_pending(out, self.wanted, self.hits)
    }

    /// Does what stands at a node, for a literal from `start` to `end`.
    #[inline]
    fn rows(&mut self, rows: &[Row], start: usize, end: usize) {
        for row in rows {
            match row.act {
                Act::Hit { before: false, after: false } => self.set(row.out),
                Act::Hit { before, after } => {
                    let (first, last) = self.lines();
                    if (!before || start <= first) && (!after || end >= last) {
                        self.set(row.out);
                    }
                }
                Act::Exact => {
                    if end == self.symbols.len() {
                        self.set(row.out);
                    }
                }
                Act::Tail(dfa) => {
                    // PERF: to ask about a long list costs more than to run a small automaton.
                    let (wanted, hits) = (self.wanted, &*self.hits);
                    if self.matcher.lists.is_pending_within(TAIL_WORDS, row.out, wanted, hits) {
                        let rest = self.symbols.get(end..).unwrap_or(&[]);
                        if self.matcher.dfas.is_match(dfa, rest) {
                            self.set(row.out);
                        }
                    }
                }
                Act::Gate(gate) => self.gate(gate),
            }
        }
    }

    #[cold]
    fn lines(&mut self) -> (usize, usize) {
        *self.lines.get_or_insert_with(|| {
            let first = self.symbols.iter().position(|&symbol| symbol == b'\n');
            let last = self.symbols.iter().rposition(|&symbol| symbol == b'\n');
            (first.unwrap_or(usize::MAX), last.map_or(0, |last| last + 1))
        })
    }

    /// Does the jobs of a gate, the first time it is reached.
    fn gate(&mut self, gate: u32) {
        if !first_time(&mut self.notes.opened, gate, self.notes.round) {
            return;
        }
        let matcher = self.matcher;
        let at = gate as usize;
        if let (Some(&from), Some(&to)) = (matcher.gates.get(at), matcher.gates.get(at + 1)) {
            for &job in matcher.gated.get(from as usize..to as usize).unwrap_or(&[]) {
                self.job(job);
            }
        }
    }

    /// Does a job, unless it is done, nobody waits for it, or the text is too short for it.
    fn job(&mut self, number: u32) {
        let matcher = self.matcher;
        let Some(job) = matcher.jobs.get(number as usize) else { return };
        // What nobody waits for now, nobody waits for later: hits are only ever set.
        if !first_time(&mut self.notes.done, number, self.notes.round)
            || self.symbols.len() < job.len_min as usize
            || !self.is_pending(job.out)
        {
            return;
        }
        let matches = match job.machine {
            Machine::Dfa(dfa) => matcher.dfas.is_match(dfa, self.symbols),
            Machine::Nfa(nfa) => matcher.nfas.is_match(nfa, self.text, &mut self.notes.states),
        };
        if matches {
            self.set(job.out);
        }
    }

    /// Does the jobs of the hits that are wanted and not set.
    fn open(&mut self, open: &ByHit) {
        for (&word, ends) in open.words.iter().zip(open.starts.windows(2)) {
            let &[from, to] = ends else { continue };
            for &(bit, job) in open.jobs.get(from as usize..to as usize).unwrap_or(&[]) {
                let wanted = self.wanted.get(word as usize).copied().unwrap_or(0);
                let set = self.hits.get(word as usize).copied().unwrap_or(u64::MAX);
                if wanted & !set == 0 {
                    break;
                }
                if (wanted & !set) >> (bit & 63) & 1 == 1 {
                    self.job(job);
                }
            }
        }
    }
}

/// Sets a mark; true when it was not set in this round before.
#[inline]
fn first_time(marks: &mut [u32], number: u32, round: u32) -> bool {
    marks.get_mut(number as usize).is_some_and(|mark| std::mem::replace(mark, round) != round)
}
