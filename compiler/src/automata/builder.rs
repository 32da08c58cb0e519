//! Puts the patterns of a whole set of policies into the tables of one matcher.

use super::hash::Map;
use std::collections::hash_map::Entry as Slot;

use caapc_vm::matcher::symbols::OTHER;
use caapc_vm::matcher::trie::{ANY, Act};
use caapc_vm::matcher::{Job, Machine, Matcher, Tables, When};

use super::TooBig;
use super::cache::{Automaton, Role, TailCache};
use super::code::{self, Pack};
use super::items::char_of;
use super::pools::{DfaPool, NfaPool};
use super::shape::{Gate, Part, Shape};
use super::tree::{ListPool, Literals, NO_HIT};
use crate::hir::{Class, Hir, Look};

/// Keywords of like length are searched together: shorter than this many symbols, or not.
const GROUPS: [usize; 2] = [4, 10];

/// Collects the patterns of a set, each with the hit it feeds.
#[derive(Debug)]
pub struct Builder {
    always: Vec<u32>,
    heads: Literals,
    suffixes: Literals,
    keywords: [Literals; 3],
    /// The patterns of tails; [`Act::Tail`] has its number here until the end.
    tails: Numbers,
    /// The patterns that are searched in the whole text.
    wholes: Numbers,
    jobs: Vec<Draft>,
}

/// A job, of which the automaton is not known yet.
#[derive(Debug)]
struct Draft {
    role: Role,
    len_min: u16,
    when: When,
    hits: Vec<u32>,
}

/// Numbers for codes, in the order of their first appearance.
#[derive(Debug, Default)]
struct Numbers {
    numbers: Map<Box<[u8]>, u32>,
    codes: Vec<Box<[u8]>>,
}

impl Numbers {
    /// The number of a code, and whether it is new.
    fn of(&mut self, code: &[u8]) -> (u32, bool) {
        if let Some(&number) = self.numbers.get(code) {
            return (number, false);
        }
        let number = self.codes.len() as u32;
        self.codes.push(code.into());
        self.numbers.insert(code.into(), number);
        (number, true)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Without patterns.
    pub fn new() -> Self {
        Self {
            always: Vec::new(),
            heads: Literals::default(),
            suffixes: Literals::backwards(),
            keywords: Default::default(),
            tails: Numbers::default(),
            wholes: Numbers::default(),
            jobs: Vec::new(),
        }
    }

    /// A match of the pattern sets `hit`. A hit may have any number of patterns.
    pub fn add(&mut self, shape: &Shape<impl AsRef<[u8]>>, hit: u32) {
        for part in shape.parts() {
            match part {
                Part::Always => self.always.push(hit),
                Part::Head { key, after } => {
                    self.heads.push(key, Act::Hit { before: false, after }, hit);
                }
                Part::Exact { key } => self.heads.push(key, Act::Exact, hit),
                Part::Tail { keys, tail } => {
                    let (number, _) = self.tails.of(tail);
                    keys.iter().for_each(|key| self.heads.push(key, Act::Tail(number), hit));
                }
                Part::Suffix { key, before } => {
                    self.suffixes.push(key, Act::Hit { before, after: false }, hit);
                }
                Part::Keyword { key, before, after } => {
                    self.keyword(key, Act::Hit { before, after }, hit);
                }
                Part::Whole { code, len_min, gate } => {
                    self.job(Role::Whole, code, len_min, gate, hit);
                }
                Part::Foreign { code, len_min } => {
                    self.job(Role::Foreign, code, len_min, Gate::Open, hit);
                }
            }
        }
    }

    fn keyword(&mut self, key: &[u8], act: Act, hit: u32) {
        let group = GROUPS.iter().filter(|&&len| key.len() >= len).count();
        if let Some(group) = self.keywords.get_mut(group) {
            group.push(key, act, hit);
        }
    }

    /// Adds a search of the whole text. The code begins with its role, so that one pattern may
    /// have both.
    fn job(&mut self, role: Role, pattern: &[u8], len_min: u16, gate: Gate<'_>, hit: u32) {
        let mut key = vec![u8::from(role == Role::Foreign)];
        key.extend_from_slice(pattern);
        let (number, is_new) = self.wholes.of(&key);
        if is_new {
            let when = match (role, &gate) {
                (Role::Foreign, _) => When::Foreign,
                (_, Gate::Open) => When::Always,
                _ => When::Gated,
            };
            self.jobs.push(Draft { role, len_min, when, hits: Vec::new() });
            // The gate follows from the pattern, so its first user says it for all.
            match gate {
                Gate::Open => {}
                Gate::Keywords(keys) => {
                    keys.iter().for_each(|key| self.keyword(key, Act::Gate(number), NO_HIT));
                }
                Gate::Suffix(key) => self.suffixes.push(key, Act::Gate(number), NO_HIT),
            }
        }
        if let Some(job) = self.jobs.get_mut(number as usize) {
            job.hits.push(hit);
        }
    }

    /// Makes the matcher of hits 0 to `hits - 1`.
    ///
    /// # Errors
    /// All patterns together need more than a matcher can hold.
    pub fn finish(mut self, hits: u32, cache: &mut TailCache) -> Result<Matcher, TooBig> {
        let (mut dfas, mut nfas) = (DfaPool::default(), NfaPool::default());
        self.settle_tails(cache, &mut dfas)?;
        let mut tables = Tables::empty(hits);
        let mut lists = ListPool::new();
        self.always.sort_unstable();
        self.always.dedup();
        tables.always = lists.out(self.always.iter().copied());
        for (draft, key) in self.jobs.iter_mut().zip(&self.wholes.codes) {
            let automaton = cache.get(draft.role, key.get(1..).unwrap_or(&[]))?;
            let machine = match &*automaton {
                Automaton::Dfa(table) => Machine::Dfa(dfas.add(table)),
                Automaton::Nfa(nfa) => Machine::Nfa(nfas.add(nfa)?),
            };
            draft.hits.sort_unstable();
            let out = lists.out(draft.hits.iter().copied());
            let (len_min, when) = (draft.len_min, draft.when);
            tables.jobs.push(Job { machine, out, len_min, when });
        }
        cache.turn();
        let mut gates = Gates::default();
        gates.settle(&mut self.suffixes);
        self.keywords.iter_mut().for_each(|keywords| gates.settle(keywords));
        tables.heads = self.heads.tree(&mut lists)?;
        tables.suffixes = self.suffixes.tree(&mut lists)?;
        for keywords in self.keywords.into_iter().filter(|group| !group.entries.is_empty()) {
            tables.keywords.push(keywords.tree(&mut lists)?);
        }
        (tables.gates, tables.gated) = (gates.starts, gates.jobs);
        tables.lists = lists.lists;
        tables.dfas = dfas.dfas;
        tables.nfas = nfas.nfas;
        Matcher::new(tables).map_err(|fault| TooBig { message: fault.to_string() })
    }

    /// Gives tails the numbers of their DFAs. A pattern whose tail has none is searched in the
    /// whole text instead.
    fn settle_tails(&mut self, cache: &mut TailCache, dfas: &mut DfaPool) -> Result<(), TooBig> {
        let mut numbers = Vec::new();
        for tail in &self.tails.codes {
            numbers.push(match &*cache.get(Role::Tail, tail)? {
                Automaton::Dfa(table) => Some(dfas.add(table)),
                Automaton::Nfa(_) => None,
            });
        }
        let entries = std::mem::take(&mut self.heads.entries);
        for mut entry in entries {
            if let Act::Tail(tail) = entry.act {
                match numbers.get(tail as usize).copied().flatten() {
                    Some(dfa) => entry.act = Act::Tail(dfa),
                    None => {
                        let tail = self.tails.codes.get(tail as usize).map_or(&[][..], |code| code);
                        let hir = rooted(&self.heads.key(&entry), code::unpack(tail));
                        let pattern = Pack::of(&hir);
                        self.job(Role::Whole, &pattern, 0, Gate::Open, entry.hit);
                        continue;
                    }
                }
            }
            self.heads.entries.push(entry);
        }
        Ok(())
    }
}

/// `^`, a literal over symbols, and a tail.
fn rooted(key: &[u8], tail: Hir) -> Hir {
    let others = Hir::Class(Class(
        [('\u{80}', '\u{17e}'), ('\u{180}', '\u{2129}'), ('\u{212b}', char::MAX)].into(),
    ));
    let dot = Hir::Class(Class([('\0', '\t'), ('\u{b}', char::MAX)].into()));
    let mut items = vec![Hir::Look(Look::Start)];
    items.extend(key.iter().map(|&symbol| match symbol {
        ANY => dot.clone(),
        OTHER => others.clone(),
        symbol => Hir::Literal(String::from(char_of(symbol)).into()),
    }));
    items.push(tail);
    Hir::Concat(items)
}

/// The gates: which jobs a literal opens.
#[derive(Debug)]
struct Gates {
    starts: Vec<u32>,
    jobs: Vec<u32>,
    numbers: Map<Vec<u32>, u32>,
}

impl Default for Gates {
    fn default() -> Self {
        Self { starts: vec![0], jobs: Vec::new(), numbers: Map::default() }
    }
}

impl Gates {
    /// Replaces the jobs that one literal opens by one gate.
    fn settle(&mut self, literals: &mut Literals) {
        let mut opens: Map<Vec<u8>, Vec<u32>> = Map::default();
        let mut keys = Vec::new();
        let mut rest = std::mem::take(&mut literals.entries);
        rest.retain(|entry| {
            let Act::Gate(job) = entry.act else { return true };
            let key = literals.key(entry);
            match opens.entry(key) {
                Slot::Occupied(mut jobs) => jobs.get_mut().push(job),
                Slot::Vacant(slot) => {
                    keys.push(slot.key().clone());
                    slot.insert(vec![job]);
                }
            }
            false
        });
        literals.entries = rest;
        for key in keys {
            let mut jobs = opens.remove(&key).unwrap_or_default();
            jobs.sort_unstable();
            jobs.dedup();
            let next = self.starts.len() as u32 - 1;
            let gate = *self.numbers.entry(jobs).or_insert_with_key(|jobs| {
                self.jobs.extend(jobs);
                self.starts.push(self.jobs.len() as u32);
                next
            });
            literals.push(&key, Act::Gate(gate), NO_HIT);
        }
    }
}
