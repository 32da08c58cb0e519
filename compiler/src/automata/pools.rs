//! The automata of a matcher, collected; equal tables are kept once.

use super::hash::Map;

use caapc_vm::matcher::dfa::{Dfa, Dfas};
use caapc_vm::matcher::nfa::{self, Nfas, STEPS_TOTAL_MAX, Set, Step, Wait};
use caapc_vm::matcher::symbols::SYMBOLS;

use super::TooBig;
use super::determinise::Table;
use super::nfa::Nfa;
use crate::hir::Class;

/// DFAs.
#[derive(Debug, Default)]
pub(super) struct DfaPool {
    pub(super) dfas: Dfas,
    classes: Map<[u8; SYMBOLS], u32>,
    tables: Map<(u32, u16, Box<[u16]>), u32>,
}

impl DfaPool {
    /// The number of a DFA.
    pub(super) fn add(&mut self, table: &Table) -> u32 {
        let Self { dfas, classes, tables } = self;
        let next = dfas.classes.len() as u32;
        let class = *classes.entry(table.classes).or_insert(next);
        if class == next {
            dfas.classes.push(table.classes);
        }
        let next = dfas.dfas.len() as u32;
        let key = (class, table.start, table.entries.clone().into_boxed_slice());
        let number = *tables.entry(key).or_insert(next);
        if number == next {
            dfas.dfas.push(Dfa {
                from: dfas.entries.len() as u32,
                len: table.entries.len() as u16,
                start: table.start,
                classes: class,
                stride: table.stride,
            });
            dfas.entries.extend_from_slice(&table.entries);
        }
        number
    }
}

/// NFAs.
#[derive(Debug, Default)]
pub(super) struct NfaPool {
    pub(super) nfas: Nfas,
    sets: Map<Class, u32>,
}

impl NfaPool {
    /// The number of an NFA.
    ///
    /// # Errors
    /// All of them together have more than [`STEPS_TOTAL_MAX`] steps.
    pub(super) fn add(&mut self, own: &Nfa) -> Result<u32, TooBig> {
        let all = self.nfas.steps.len() + own.steps.len();
        if all > STEPS_TOTAL_MAX {
            return Err(TooBig {
                message: format!(
                    "the patterns that are too big for a table need more than {STEPS_TOTAL_MAX} states together; use smaller repetition counts in them"
                ),
            });
        }
        let sets: Vec<u32> = own.classes.iter().map(|class| self.set(class)).collect();
        let nfas = &mut self.nfas;
        let from = nfas.steps.len() as u32;
        nfas.steps.extend(own.steps.iter().map(|step| match step.wait() {
            Wait::Class(class) => {
                let set = sets.get(class as usize).copied().unwrap_or(0);
                Step::new(Wait::Class(set), step.next())
            }
            wait => Step::new(wait, step.next()),
        }));
        let len = own.steps.len() as u32;
        nfas.nfas.push(nfa::Nfa { from, len, entry: own.entry, anchored: own.anchored });
        Ok(nfas.nfas.len() as u32 - 1)
    }

    fn set(&mut self, class: &Class) -> u32 {
        if let Some(&set) = self.sets.get(class) {
            return set;
        }
        let nfas = &mut self.nfas;
        let from = nfas.ranges.len() as u32;
        let mut ascii = [0, 0];
        for &(first, last) in class.0.iter() {
            let (first, last) = (first as u32, last as u32);
            for scalar in first..=last.min(0x7f) {
                ascii[scalar as usize / 64] |= 1 << (scalar % 64);
            }
            if last > 0x7f {
                nfas.ranges.push((first.max(0x80), last));
            }
        }
        nfas.sets.push(Set { ascii, from, to: nfas.ranges.len() as u32 });
        let set = nfas.sets.len() as u32 - 1;
        self.sets.insert(class.clone(), set);
        set
    }
}
