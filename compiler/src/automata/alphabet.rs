//! Scalar classes as sets of the symbols that the automata read.

use caapc_vm::matcher::symbols::{KELVIN, LONG_S, OTHER, SYMBOLS, symbol};

use crate::hir::{Class, Hir};

/// A set of symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Symbols([u64; 3]);

/// The scalars that share a symbol are at most so many ranges: those with symbols of their own
/// and the surrogates part them.
const ALIKE_RANGES_MAX: usize = 4;

/// Scalars outside ASCII that share one symbol.
const OTHERS: u32 = 0x11_0000 - 0x800 - 0x80 - 2;

impl Symbols {
    /// Every symbol but the newline: what `.` matches.
    pub(super) const DOT: Self = Self([!(1 << b'\n'), u64::MAX, (1 << (SYMBOLS - 128)) - 1]);
    /// Every symbol.
    pub(super) const ALL: Self = Self([u64::MAX, u64::MAX, (1 << (SYMBOLS - 128)) - 1]);

    pub(super) fn insert(&mut self, symbol: u8) {
        self.0[symbol as usize / 64] |= 1 << (symbol % 64);
    }

    pub(super) fn contains(&self, symbol: u8) -> bool {
        self.0[symbol as usize / 64] >> (symbol % 64) & 1 == 1
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..SYMBOLS as u8).filter(move |&symbol| self.contains(symbol))
    }

    /// The symbol of a scalar, if it has one of its own.
    pub(super) fn of_char(char: char) -> Self {
        let mut set = Self::default();
        if symbol(char) != OTHER {
            set.insert(symbol(char));
        }
        set
    }

    /// The symbols of a class, and whether it tells scalars apart that share a symbol: then
    /// their symbol is left out.
    pub(super) fn of_class(Class(members): &Class) -> (Self, bool) {
        let mut set = Self::default();
        let ascii = members.partition_point(|&(first, _)| first < '\u{80}');
        for &(first, last) in members.get(..ascii).unwrap_or(&[]) {
            set.insert_ascii(first as u32, (last as u32).min(0x7f));
        }
        let beyond = members.partition_point(|&(_, last)| last < '\u{80}');
        let beyond = members.get(beyond..).unwrap_or(&[]);
        for (scalar, own) in [('\u{17f}', LONG_S), ('\u{212a}', KELVIN)] {
            let at = beyond.partition_point(|&(_, last)| last < scalar);
            if beyond.get(at).is_some_and(|&(first, _)| first <= scalar) {
                set.insert(own);
            }
        }
        // PERF: classes of Unicode have hundreds of ranges; so many tell scalars apart for sure.
        if beyond.len() > ALIKE_RANGES_MAX {
            return (set, true);
        }
        let others = beyond.iter().fold(0, |sum, &(first, last)| {
            let (first, last) = ((first as u32).max(0x80), last as u32);
            let own = [0x17f, 0x212a].iter().filter(|own| (first..=last).contains(own)).count();
            let surrogates = if first < 0xd800 && last > 0xdfff { 0x800 } else { 0 };
            sum + last - first + 1 - own as u32 - surrogates
        });
        if others == OTHERS {
            set.insert(OTHER);
        }
        (set, others != 0 && others != OTHERS)
    }

    fn insert_ascii(&mut self, first: u32, last: u32) {
        let bits = (u128::MAX >> (127 - last)) & (u128::MAX << first);
        self.0[0] |= bits as u64;
        self.0[1] |= (bits >> 64) as u64;
    }
}

/// Whether a pattern tells scalars apart that share a symbol.
pub(super) fn is_sensitive(hir: &Hir) -> bool {
    match hir {
        Hir::Empty | Hir::Nothing | Hir::Look(_) => false,
        Hir::Literal(text) => !text.is_ascii() && text.chars().any(|char| symbol(char) == OTHER),
        Hir::Class(class) => Symbols::of_class(class).1,
        Hir::Concat(items) | Hir::Alt(items) => items.iter().any(is_sensitive),
        Hir::Repeat { node, .. } => is_sensitive(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let class = |ranges: &[(char, char)]| Symbols::of_class(&Class(ranges.into()));
        let dot = [('\0', '\t'), ('\u{b}', char::MAX)];
        assert_eq!(class(&dot), (Symbols::DOT, false));
        assert_eq!(class(&[('\0', char::MAX)]), (Symbols::ALL, false));
        assert_eq!(class(&[('\0', '\u{d7ff}'), ('\u{e000}', char::MAX)]), (Symbols::ALL, false));
        let (set, partial) = class(&[('K', 'K'), ('k', 'k'), ('\u{212a}', '\u{212a}')]);
        assert_eq!((set.iter().collect::<Vec<_>>(), partial), (vec![b'K', b'k', KELVIN], false));
        assert_eq!(class(&[('a', 'b'), ('é', 'é')]).0.len(), 2);
        assert!(class(&[('a', 'b'), ('é', 'é')]).1);
        assert!(class(&[('\0', 'a'), ('\u{81}', char::MAX)]).1);
    }
}
