//! A pattern as a row of simple items: what [`super::shape`] looks at.

use caapc_vm::matcher::symbols::{OTHER, SYMBOLS, symbol};
use caapc_vm::matcher::trie::ANY;

use super::alphabet::Symbols;
use super::code::Pack;
use crate::hir::{Hir, Look};

/// One item of a pattern; the items follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'h> {
    /// This symbol.
    Byte(u8),
    /// Any scalar but a newline; the node is its class.
    Any(&'h Hir),
    /// Cannot match by symbols alone.
    Never,
    /// A position.
    Look(Look),
    /// Any number of times, zero included.
    Star(&'h Hir),
    /// Anything else.
    Node(&'h Hir),
}

/// A run of counted literals is written out up to this length.
const COPIES_MAX: usize = 64;

/// The items of a pattern.
pub(super) fn items<'h>(hir: &'h Hir, into: &mut Vec<Item<'h>>) {
    match hir {
        Hir::Empty => {}
        Hir::Nothing => into.push(Item::Never),
        Hir::Literal(text) => into.extend(text.chars().map(|char| match symbol(char) {
            OTHER => Item::Never,
            symbol => Item::Byte(symbol),
        })),
        Hir::Class(class) => {
            let set = Symbols::of_class(class).0;
            into.push(match set.len() {
                0 => Item::Never,
                1 if !set.contains(OTHER) => Item::Byte(set.iter().next().unwrap_or(0)),
                _ if set == Symbols::DOT => Item::Any(hir),
                _ => Item::Node(hir),
            });
        }
        Hir::Look(look) => into.push(Item::Look(*look)),
        Hir::Concat(parts) => parts.iter().for_each(|part| items(part, into)),
        Hir::Alt(_) => into.push(Item::Node(hir)),
        Hir::Repeat { max: Some(0), .. } => {}
        Hir::Repeat { node, min, max } => {
            let times = *min as usize;
            let is_small = matches!(**node, Hir::Class(_) | Hir::Literal(_)) && times <= COPIES_MAX;
            let fixed = *max == Some(*min) && (is_small || times == 1);
            if times == 0 && max.is_none() {
                into.push(Item::Star(node));
            } else if fixed || (max.is_none() && is_small && times <= 4) {
                let from = into.len();
                items(node, into);
                let once = from..into.len();
                if once.len() * times > COPIES_MAX {
                    into.truncate(from);
                    into.push(Item::Node(hir));
                    return;
                }
                (1..times).for_each(|_| into.extend_from_within(once.clone()));
                if max.is_none() {
                    into.push(Item::Star(node));
                }
            } else {
                into.push(Item::Node(hir));
            }
        }
    }
}

impl Item<'_> {
    /// Whether it matches the empty text wherever it stands.
    pub(super) fn is_nullable(self) -> bool {
        match self {
            Item::Byte(_) | Item::Any(_) | Item::Never | Item::Look(_) => false,
            Item::Star(_) => true,
            Item::Node(node) => is_nullable(node),
        }
    }

    /// For `x*`: the symbols of `x`, if it is one symbol.
    pub(super) fn starred(self) -> Option<Symbols> {
        match self {
            Item::Star(Hir::Class(class)) => Some(Symbols::of_class(class).0),
            _ => None,
        }
    }

    /// Appends its code.
    fn pack(self, into: &mut Pack) {
        match self {
            Item::Byte(symbol) => {
                into.literal(char_of(symbol).encode_utf8(&mut [0; 4]).as_bytes());
            }
            Item::Never => into.hir(&Hir::Nothing),
            Item::Look(look) => into.hir(&Hir::Look(look)),
            Item::Star(node) => {
                into.star();
                into.hir(node);
            }
            Item::Any(node) | Item::Node(node) => into.hir(node),
        }
    }
}

/// The code of items that follow each other. Neighbouring bytes become one literal.
pub(super) fn pack(items: &[Item<'_>]) -> Vec<u8> {
    let is_byte = |item: &Item<'_>| matches!(item, Item::Byte(_));
    let groups = || items.chunk_by(|a, b| is_byte(a) && is_byte(b));
    let mut into = Pack::default();
    into.concat(groups().count());
    for group in groups() {
        match group {
            [Item::Byte(_), ..] => {
                let mut text = String::new();
                text.extend(group.iter().filter_map(|item| match item {
                    Item::Byte(symbol) => Some(char_of(*symbol)),
                    _ => None,
                }));
                into.literal(text.as_bytes());
            }
            _ => group.iter().for_each(|item| item.pack(&mut into)),
        }
    }
    into.bytes
}

/// The scalar of a symbol that has only one.
pub(super) fn char_of(own: u8) -> char {
    match own {
        caapc_vm::matcher::symbols::LONG_S => '\u{17f}',
        caapc_vm::matcher::symbols::KELVIN => '\u{212a}',
        ascii => ascii as char,
    }
}

fn is_nullable(hir: &Hir) -> bool {
    match hir {
        Hir::Empty => true,
        Hir::Nothing | Hir::Literal(_) | Hir::Class(_) | Hir::Look(_) => false,
        Hir::Concat(items) => items.iter().all(is_nullable),
        Hir::Alt(items) => items.iter().any(is_nullable),
        Hir::Repeat { node, min, .. } => *min == 0 || is_nullable(node),
    }
}

/// The fewest scalars of a match.
pub(super) fn len_min(hir: &Hir) -> u64 {
    match hir {
        Hir::Empty | Hir::Look(_) => 0,
        Hir::Nothing => u64::MAX,
        Hir::Literal(text) => text.chars().count() as u64,
        Hir::Class(_) => 1,
        Hir::Concat(items) => items.iter().map(len_min).fold(0, u64::saturating_add),
        Hir::Alt(items) => items.iter().map(len_min).min().unwrap_or(u64::MAX),
        Hir::Repeat { min: 0, .. } => 0,
        Hir::Repeat { node, min, .. } => len_min(node).saturating_mul(u64::from(*min)),
    }
}

/// Texts over symbols; [`ANY`] stands for any scalar but a newline.
pub(super) type Texts = Vec<Vec<u8>>;

/// The most texts that a pattern is written out to.
pub(super) const TEXTS_MAX: usize = 64;
/// The most symbols of all of them.
const SYMBOLS_MAX: usize = 2048;
/// The largest class that is written out.
const CLASS_MAX: u32 = 4;

/// All texts of an item, if there are few.
pub(super) fn texts(item: Item<'_>) -> Option<Texts> {
    match item {
        Item::Byte(symbol) => Some(vec![vec![symbol]]),
        Item::Any(_) => Some(vec![vec![ANY]]),
        Item::Never => Some(Vec::new()),
        Item::Node(node) => texts_of(node),
        Item::Look(_) | Item::Star(_) => None,
    }
}

fn texts_of(hir: &Hir) -> Option<Texts> {
    match hir {
        Hir::Empty => Some(vec![Vec::new()]),
        Hir::Nothing => Some(Vec::new()),
        Hir::Literal(text) => {
            let text: Vec<u8> = text.chars().map(symbol).collect();
            Some(if text.contains(&OTHER) { Vec::new() } else { vec![text] })
        }
        Hir::Class(class) => {
            let set = Symbols::of_class(class).0;
            if set == Symbols::DOT {
                return Some(vec![vec![ANY]]);
            }
            (set.len() <= CLASS_MAX).then(|| set.iter().map(|symbol| vec![symbol]).collect())
        }
        Hir::Look(_) => None,
        Hir::Concat(items) => {
            items.iter().try_fold(vec![Vec::new()], |texts, item| cross(&texts, &texts_of(item)?))
        }
        Hir::Alt(items) => {
            let mut all = Vec::new();
            for item in items {
                all.extend(texts_of(item)?);
                if all.len() > TEXTS_MAX {
                    return None;
                }
            }
            bounded(all)
        }
        Hir::Repeat { node, min, max } => {
            let max = (*max)?;
            if max as usize > SYMBOLS_MAX / 2 || (max > 4 && max != *min) {
                return None;
            }
            let once = texts_of(node)?;
            let mut times = vec![Vec::new()];
            for _ in 0..*min {
                times = cross(&times, &once)?;
            }
            let mut all = times.clone();
            for _ in *min..max {
                times = cross(&times, &once)?;
                all.extend(times.iter().cloned());
            }
            bounded(all)
        }
    }
}

/// Each of `heads` followed by each of `tails`, if that is not too much.
pub(super) fn cross(heads: &Texts, tails: &Texts) -> Option<Texts> {
    if heads.len().saturating_mul(tails.len()) > TEXTS_MAX {
        return None;
    }
    let mut all = Vec::with_capacity(heads.len() * tails.len());
    for head in heads {
        all.extend(tails.iter().map(|tail| [head.as_slice(), tail].concat()));
    }
    bounded(all)
}

fn bounded(texts: Texts) -> Option<Texts> {
    let symbols: usize = texts.iter().map(Vec::len).sum();
    (texts.len() <= TEXTS_MAX && symbols <= SYMBOLS_MAX).then_some(texts)
}

const _: () = assert!(SYMBOLS < ANY as usize);
