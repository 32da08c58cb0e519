//! Small dense automata over symbols: one dependent load for each byte of the text.

use super::symbols::SYMBOLS;
use crate::wire::{Fault, Reader, Writer};

/// The entry of a table that means: no match can follow.
pub const DEAD: u16 = u16::MAX;
/// The entry of a table that means: matched.
pub const MATCH: u16 = u16::MAX - 1;
/// The most entries of one automaton (2 bytes each: 64 KiB).
pub const ENTRIES_MAX: usize = 1 << 15;

const _: () = assert!(ENTRIES_MAX <= MATCH as usize);

/// One automaton: a stretch of [`Dfas::entries`], rows of `stride` entries.
///
/// A state is the number of its row's first entry, counted from `from`. A row has one entry for
/// each class of symbols, and the last one for the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dfa {
    /// The first entry.
    pub from: u32,
    /// How many entries.
    pub len: u16,
    /// The state it begins in, or [`DEAD`] or [`MATCH`].
    pub start: u16,
    /// Which of [`Dfas::classes`].
    pub classes: u32,
    /// Entries of a row.
    pub stride: u8,
}

/// All automata of a matcher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dfas {
    /// The automata.
    pub dfas: Vec<Dfa>,
    /// The rows of all of them.
    pub entries: Vec<u16>,
    /// The class of each symbol; automata share them.
    pub classes: Vec<[u8; SYMBOLS]>,
}

impl Dfas {
    /// Whether automaton `index`, started at the first symbol, reaches a match.
    #[inline]
    pub(super) fn is_match(&self, index: u32, symbols: &[u8]) -> bool {
        let Some(dfa) = self.dfas.get(index as usize) else { return false };
        let from = dfa.from as usize;
        let Some(entries) = self.entries.get(from..from + dfa.len as usize) else { return false };
        let Some(classes) = self.classes.get(dfa.classes as usize) else { return false };
        let stride = dfa.stride as usize;
        // INVARIANT (in bounds): `verify` has proved each index below; `get` costs a compare
        // that is never taken and cannot panic.
        let mut state = dfa.start;
        let mut symbols = symbols.iter();
        loop {
            if state >= MATCH {
                return state == MATCH;
            }
            let at = state as usize;
            let Some(row) = entries.get(at..at + stride) else { return false };
            // PERF: a state mostly leads to itself (`[a-z]+`, a search for a first letter). In
            // this loop the row does not change, so that no load waits for the one before it.
            state = loop {
                let Some(&symbol) = symbols.next() else { return row.last() == Some(&MATCH) };
                let class = classes.get(symbol as usize).copied().unwrap_or(0);
                let next = row.get(class as usize).copied().unwrap_or(DEAD);
                if next != state {
                    break next;
                }
            };
        }
    }

    /// INVARIANT (in bounds): every entry is a row of its automaton, [`DEAD`] or [`MATCH`].
    pub(super) fn verify(&self) -> Result<(), Fault> {
        let fault = |why: &str| Err(Fault::new("dfa", why));
        for dfa in &self.dfas {
            let (from, len, stride) = (dfa.from as usize, dfa.len as usize, dfa.stride as usize);
            let Some(entries) = self.entries.get(from..from.saturating_add(len)) else {
                return fault("an automaton leaves the table");
            };
            let Some(classes) = self.classes.get(dfa.classes as usize) else {
                return fault("an automaton has no classes");
            };
            if stride < 2 || len % stride != 0 || len > ENTRIES_MAX {
                return fault("rows of a wrong size");
            }
            if classes.iter().any(|&class| class as usize >= stride - 1) {
                return fault("a class is beyond its row");
            }
            let is_state = |entry: u16| {
                entry >= MATCH
                    || ((entry as usize) < len && (entry as usize).is_multiple_of(stride))
            };
            if !is_state(dfa.start) || !entries.iter().all(|&entry| is_state(entry)) {
                return fault("an entry is not a state");
            }
        }
        Ok(())
    }

    /// Bytes of the tables.
    pub(super) fn bytes(&self) -> usize {
        self.dfas.len() * size_of::<Dfa>() + self.entries.len() * 2 + self.classes.len() * SYMBOLS
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.list(&self.dfas, |w, dfa| {
            w.u32(dfa.from);
            w.u16(dfa.len);
            w.u16(dfa.start);
            w.u32(dfa.classes);
            w.u8(dfa.stride);
        });
        writer.list(&self.entries, |w, &entry| w.u16(entry));
        writer.list(&self.classes, |w, classes| w.bytes.extend_from_slice(classes));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let max = reader.left();
        Ok(Self {
            dfas: reader.list("dfa", max / 13, |r| {
                Ok(Dfa {
                    from: r.u32("dfa")?,
                    len: r.u16("dfa")?,
                    start: r.u16("dfa")?,
                    classes: r.u32("dfa")?,
                    stride: r.u8("dfa")?,
                })
            })?,
            entries: reader.list("dfa", max / 2, |r| r.u16("dfa"))?,
            classes: reader.list("dfa", max / SYMBOLS, |r| {
                let mut classes = [0; SYMBOLS];
                classes.copy_from_slice(r.take(SYMBOLS, "dfa")?);
                Ok(classes)
            })?,
        })
    }
}
