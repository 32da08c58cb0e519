//! How a pattern is searched: as literals where it can be, as an automaton where it must.
//!
//! A shape is the pattern cut into [`Part`]s, kept as one run of bytes: it lives as long as its
//! policy. Nothing is built here but the shape; it is decided from the [`Hir`] alone. What a
//! part means is exact over symbols; if the pattern tells scalars apart that share a symbol,
//! [`Part::Foreign`] searches texts that have them once more. Start at [`Shape::of`].

use std::rc::Rc;

use super::alphabet::{Symbols, is_sensitive};
use super::code::{self, Pack, Reader, put, put_bytes};
use super::items::{Item, Texts, cross, items, len_min, pack, texts};
use crate::hir::{Hir, Look};
use caapc_vm::matcher::trie::ANY;

/// How a pattern is searched, as a run of bytes: its own, or borrowed from where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape<C = Box<[u8]>> {
    code: C,
}

/// One way for a pattern to match; it matches if one of its parts does. Literals are over
/// symbols, and [`ANY`] in them is any scalar but a newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part<'c> {
    /// Every text.
    Always,
    /// The text begins with the literal; no newline after it if `after`.
    Head { key: &'c [u8], after: bool },
    /// The text is the literal.
    Exact { key: &'c [u8] },
    /// The text begins with a key, and the pattern `tail` matches right behind it.
    Tail { keys: Vec<&'c [u8]>, tail: &'c [u8] },
    /// The text ends with the literal; no newline before it if `before`.
    Suffix { key: &'c [u8], before: bool },
    /// The literal stands somewhere; likewise.
    Keyword { key: &'c [u8], before: bool, after: bool },
    /// The pattern matches somewhere; one of the literals is in every match.
    Whole { code: &'c [u8], len_min: u16, gate: Gate<'c> },
    /// The same, for texts with scalars that share a symbol.
    Foreign { code: &'c [u8], len_min: u16 },
}

/// Literals of which one is in every match of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate<'c> {
    /// None is known.
    Open,
    /// Somewhere.
    Keywords(Vec<&'c [u8]>),
    /// At the end.
    Suffix(&'c [u8]),
}

/// The most alternatives of a pattern that get an automaton of their own.
const AUTOMATA_MAX: usize = 8;
/// The shortest literal that is worth looking for before an automaton is run.
const GATE_MIN: usize = 3;
/// The most literals of a gate.
const GATES_MAX: usize = 16;
/// The most symbols of a stretch of literal text behind alternatives, all of them together.
const EXPANDED_MAX: usize = 4096;
/// Literal text that must follow alternatives before a tail for them to be written out.
const COMMIT_MIN: usize = 3;

impl Shape {
    pub(super) fn of(hir: &Hir) -> Self {
        let mut draft = Draft::default();
        let branches = match hir {
            Hir::Alt(branches) => branches.as_slice(),
            one => std::slice::from_ref(one),
        };
        branches.iter().for_each(|branch| draft.branch(branch));
        if draft.automata > AUTOMATA_MAX {
            draft = Draft::default();
            let mut row = Vec::new();
            items(hir, &mut row);
            draft.whole(&row, Lead::Free);
        }
        if draft.always {
            draft.code = vec![0];
        } else if is_sensitive(hir) {
            draft.foreign(hir);
        }
        Self { code: draft.code.into() }
    }
}

impl<'c> Shape<&'c [u8]> {
    /// A shape from where its [`Shape::code`] is kept.
    pub(crate) fn from_code(code: &'c [u8]) -> Self {
        Self { code }
    }
}

impl<C: AsRef<[u8]>> Shape<C> {
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut reader = Reader { rest: self.code() };
        std::iter::from_fn(move || (!reader.rest.is_empty()).then(|| part(&mut reader)))
    }

    /// Whether every text matches.
    pub fn is_always(&self) -> bool {
        self.parts().any(|part| part == Part::Always)
    }

    /// The bytes that say it.
    pub(crate) fn code(&self) -> &[u8] {
        self.code.as_ref()
    }

    /// The same, cheap to clone.
    pub(crate) fn shared(&self) -> Shape<Rc<[u8]>> {
        Shape { code: self.code().into() }
    }

    /// The same, borrowed.
    pub fn borrowed(&self) -> Shape<&[u8]> {
        Shape { code: self.code() }
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.code().len()
    }
}

fn part<'c>(reader: &mut Reader<'c>) -> Part<'c> {
    match reader.byte() {
        1 => Part::Head { after: reader.byte() != 0, key: reader.bytes() },
        2 => Part::Exact { key: reader.bytes() },
        3 => Part::Tail { keys: list(reader), tail: reader.bytes() },
        4 => Part::Suffix { before: reader.byte() != 0, key: reader.bytes() },
        5 => {
            let flags = reader.byte();
            let (before, after) = (flags & 1 != 0, flags & 2 != 0);
            Part::Keyword { before, after, key: reader.bytes() }
        }
        6 => {
            let len_min = reader.number() as u16;
            let gate = match reader.byte() {
                0 => Gate::Open,
                1 => Gate::Keywords(list(reader)),
                _ => Gate::Suffix(reader.bytes()),
            };
            Part::Whole { len_min, gate, code: reader.bytes() }
        }
        7 => Part::Foreign { len_min: reader.number() as u16, code: reader.bytes() },
        _ => Part::Always,
    }
}

fn list<'c>(reader: &mut Reader<'c>) -> Vec<&'c [u8]> {
    let len = reader.number();
    (0..len).map(|_| reader.bytes()).collect()
}

/// What a match must begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    /// Nothing: it begins anywhere.
    Free,
    /// `^`.
    Start,
    /// `^.*`: no newline before it.
    Line,
}

/// What a match must end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trail {
    /// Nothing.
    Free,
    /// `$`.
    End,
    /// `.*$`: no newline after it.
    Line,
}

#[derive(Default)]
struct Draft {
    code: Vec<u8>,
    automata: usize,
    always: bool,
}

impl Draft {
    /// Adds the parts of one alternative.
    fn branch(&mut self, hir: &Hir) {
        let mut all = Vec::with_capacity(32);
        items(hir, &mut all);
        if all.iter().any(|item| matches!(item, Item::Never)) {
            return;
        }
        let (lead, trail, inner) = trim(&all);
        let middle = all.get(inner.clone()).unwrap_or(&[]);
        if middle.is_empty() {
            return self.empty(lead, trail);
        }
        let (texts, used) = expand(middle);
        let has = |symbol: u8| texts.iter().any(|text| text.contains(&symbol));
        let has_empty = texts.iter().any(Vec::is_empty);
        let is_telling = texts.iter().all(|text| text.iter().any(|&symbol| symbol != ANY));
        let finite = used == middle.len();
        match (lead, trail) {
            (Lead::Start, Trail::Free | Trail::Line) if finite => {
                texts.iter().for_each(|key| self.key(1, u8::from(trail == Trail::Line), key));
            }
            (Lead::Start, Trail::End) if finite => {
                for key in &texts {
                    self.code.push(2);
                    put_bytes(&mut self.code, key);
                }
            }
            (Lead::Free | Lead::Line, Trail::End) if finite => {
                texts.iter().for_each(|key| self.key(4, u8::from(lead == Lead::Line), key));
            }
            (Lead::Free | Lead::Line, _) if finite && !has(ANY) && !has_empty => {
                let flags = u8::from(lead == Lead::Line) | u8::from(trail == Trail::Line) << 1;
                texts.iter().for_each(|key| self.key(5, flags, key));
            }
            _ => {
                // What `trim` took away is needed again: all of a literal's surroundings but
                // what matches everywhere.
                let from = if lead == Lead::Line { inner.start - 1 } else { inner.start };
                let to = match trail {
                    Trail::Free => inner.end,
                    Trail::End => inner.end + 1,
                    Trail::Line => inner.end + 2,
                };
                let rest = all.get(from..to).unwrap_or(&[]);
                let tail = rest.get(used..).unwrap_or(&[]);
                if lead == Lead::Start && used > 0 && is_telling && tail.iter().all(is_blind) {
                    self.tail(&texts, tail);
                } else {
                    self.whole(rest, lead);
                }
            }
        }
    }

    /// Nothing is left between what a match must begin and end with.
    fn empty(&mut self, lead: Lead, trail: Trail) {
        match (lead, trail) {
            (Lead::Free, _) | (_, Trail::Free) => self.always = true,
            (Lead::Start, Trail::End) => {
                self.code.push(2);
                put_bytes(&mut self.code, &[]);
            }
            // No newline anywhere.
            (Lead::Start | Lead::Line, Trail::Line) | (Lead::Line, Trail::End) => {
                self.key(1, 1, &[]);
            }
        }
    }

    fn key(&mut self, kind: u8, flags: u8, key: &[u8]) {
        self.code.extend([kind, flags]);
        put_bytes(&mut self.code, key);
    }

    fn tail(&mut self, keys: &Texts, tail: &[Item<'_>]) {
        self.automata += 1;
        self.code.push(3);
        put(&mut self.code, keys.len());
        keys.iter().for_each(|key| put_bytes(&mut self.code, key));
        put_bytes(&mut self.code, &pack(tail));
    }

    fn whole(&mut self, row: &[Item<'_>], lead: Lead) {
        self.automata += 1;
        let mut own = row.to_vec();
        if lead != Lead::Free {
            own.insert(0, Item::Look(Look::Start));
        }
        let pattern = pack(&own);
        self.code.push(6);
        self.len_min(&code::unpack(&pattern));
        match gate(row) {
            Some((true, texts)) => {
                self.code.push(2);
                put_bytes(&mut self.code, texts.first().map_or(&[][..], Vec::as_slice));
            }
            Some((false, texts)) => {
                self.code.push(1);
                put(&mut self.code, texts.len());
                texts.iter().for_each(|text| put_bytes(&mut self.code, text));
            }
            None => self.code.push(0),
        }
        put_bytes(&mut self.code, &pattern);
    }

    fn foreign(&mut self, hir: &Hir) {
        self.code.push(7);
        self.len_min(hir);
        put_bytes(&mut self.code, &Pack::of(hir));
    }

    fn len_min(&mut self, hir: &Hir) {
        put(&mut self.code, len_min(hir).min(u64::from(u16::MAX)) as usize);
    }
}

/// Whether an item does not ask what stands before it.
fn is_blind(item: &Item<'_>) -> bool {
    fn blind(hir: &Hir) -> bool {
        match hir {
            Hir::Empty | Hir::Nothing | Hir::Literal(_) | Hir::Class(_) => true,
            Hir::Look(look) => matches!(look, Look::End | Look::EndLine),
            Hir::Concat(items) | Hir::Alt(items) => items.iter().all(blind),
            Hir::Repeat { node, .. } => blind(node),
        }
    }
    match item {
        Item::Byte(_) | Item::Any(_) | Item::Never => true,
        Item::Look(look) => matches!(look, Look::End | Look::EndLine),
        Item::Star(node) | Item::Node(node) => blind(node),
    }
}

/// What a match must begin and end with, and the items between. Items that match everywhere
/// are taken away where nothing depends on them: if `e` matches the empty text, then `eX` has a
/// match in a text if and only if `X` has one.
fn trim(items: &[Item<'_>]) -> (Lead, Trail, std::ops::Range<usize>) {
    let (mut from, mut to) = (0, items.len());
    let item = |at: usize| items.get(at).copied();
    let is = |at: usize, look: Look| matches!(item(at), Some(Item::Look(one)) if one == look);
    let stars = |at: usize, set: Symbols| item(at).and_then(Item::starred) == Some(set);
    let mut lead = Lead::Free;
    while from < to {
        if item(from).is_some_and(Item::is_nullable) {
            from += 1;
        } else if is(from, Look::Start) {
            while from < to && is(from, Look::Start) {
                from += 1;
            }
            lead = Lead::Start;
            if from < to && stars(from, Symbols::ALL) {
                lead = Lead::Free;
            } else if from < to && stars(from, Symbols::DOT) {
                from += 1;
                lead = Lead::Line;
            }
            if lead != Lead::Free {
                break;
            }
        } else {
            break;
        }
    }
    let mut trail = Trail::Free;
    while from < to {
        let last = to - 1;
        if item(last).is_some_and(Item::is_nullable) {
            to = last;
        } else if is(last, Look::End) {
            while from < to && is(to - 1, Look::End) {
                to -= 1;
            }
            trail = Trail::End;
            if from < to && stars(to - 1, Symbols::ALL) {
                trail = Trail::Free;
            } else if from < to && stars(to - 1, Symbols::DOT) {
                to -= 1;
                trail = Trail::Line;
            }
            if trail != Trail::Free {
                break;
            }
        } else {
            break;
        }
    }
    (lead, trail, from..to)
}

/// The texts that a match begins with, and how many items they stand for. Alternatives are
/// written out if they end the pattern or if enough literal text follows them: the rest is
/// better left to an automaton that other patterns share.
fn expand(items: &[Item<'_>]) -> (Texts, usize) {
    let mut texts = vec![Vec::new()];
    let mut good = (vec![Vec::new()], 0);
    let mut literal = 0;
    for (at, &item) in items.iter().enumerate() {
        if let Item::Byte(symbol) = item {
            literal += 1;
            if texts.len() * literal > EXPANDED_MAX {
                break;
            }
            texts.iter_mut().for_each(|text| text.push(symbol));
        } else {
            if texts.len() == 1 || literal >= COMMIT_MIN {
                good = (texts.clone(), at);
            }
            let Some(next) = self::texts(item).and_then(|own| cross(&texts, &own)) else { break };
            texts = next;
            literal = 0;
        }
        if at + 1 == items.len() {
            good = (std::mem::take(&mut texts), at + 1);
        }
    }
    let (mut texts, used) = good;
    texts.sort_unstable();
    texts.dedup();
    (texts, used)
}

/// The best literals of which one is in every match: whether they stand at the end, and which.
fn gate(items: &[Item<'_>]) -> Option<(bool, Texts)> {
    let bytes = |items: &[Item<'_>]| -> Vec<u8> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Byte(symbol) => Some(*symbol),
                _ => None,
            })
            .collect()
    };
    if let Some((Item::Look(Look::End), before)) = items.split_last() {
        let run = before.iter().rev().take_while(|item| matches!(item, Item::Byte(_))).count();
        if run >= 2 {
            return Some((true, vec![bytes(before.get(before.len() - run..)?)]));
        }
    }
    let mut best: Option<(usize, Texts)> = None;
    let mut now: Texts = vec![Vec::new()];
    let consider = |texts: &Texts, best: &mut Option<(usize, Texts)>| {
        let len = texts.iter().map(Vec::len).min().unwrap_or(0);
        if len >= GATE_MIN && best.as_ref().is_none_or(|(other, _)| *other < len) {
            *best = Some((len, texts.clone()));
        }
    };
    for &item in items {
        let own = texts(item).filter(|own| !own.iter().any(|text| text.contains(&ANY)));
        let next = own.as_ref().and_then(|own| cross(&now, own));
        match next.filter(|next| next.len() <= GATES_MAX) {
            Some(next) => now = next,
            None => {
                consider(&now, &mut best);
                now = own.filter(|own| own.len() <= GATES_MAX).unwrap_or_else(|| vec![Vec::new()]);
            }
        }
    }
    consider(&now, &mut best);
    best.map(|(_, mut texts)| {
        texts.sort_unstable();
        texts.dedup();
        (false, texts)
    })
}
