//! Puts the patterns of a whole set of policies into the tables of one matcher.

use caapc_vm::matcher::lists::Out;
use caapc_vm::matcher::nfa::{Nfa, Set, Step, Wait};
use caapc_vm::matcher::{Job, Machine, Matcher, Tables, When};

use super::{Shape, TooBig, nfa};
use crate::hir::Class;

/// Automata that were built before, by what they mean. Lives as long as the compiler, so that
/// a set that is linked again finds them.
#[derive(Debug, Default)]
pub struct TailCache {}

impl TailCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Collects the patterns of a set, each with the hit it feeds.
#[derive(Debug, Default)]
pub struct Builder {
    patterns: Vec<(Shape, u32)>,
}

impl Builder {
    /// Without patterns.
    pub fn new() -> Self {
        Self::default()
    }

    /// A match of the pattern sets `hit`. A hit may have any number of patterns.
    pub fn add(&mut self, shape: &Shape, hit: u32) {
        self.patterns.push((shape.clone(), hit));
    }

    /// Makes the matcher of hits 0 to `hits - 1`.
    ///
    /// # Errors
    /// All patterns together need more than a matcher can hold.
    pub fn finish(self, hits: u32, cache: &mut TailCache) -> Result<Matcher, TooBig> {
        let _ = cache;
        let mut tables = Tables::empty(hits);
        for (shape, hit) in self.patterns {
            let own = nfa::build(&shape.hir)?;
            let number = add(&mut tables, &own);
            tables.jobs.push(Job {
                machine: Machine::Nfa(number),
                out: Out::hit(hit),
                len_min: 0,
                when: When::Always,
            });
        }
        Matcher::new(tables).map_err(|fault| TooBig { message: fault.to_string() })
    }
}

fn add(tables: &mut Tables, own: &nfa::Nfa) -> u32 {
    let nfas = &mut tables.nfas;
    let sets: Vec<u32> = own
        .classes
        .iter()
        .map(|Class(members)| {
            let from = nfas.ranges.len() as u32;
            let mut ascii = [0, 0];
            for &(first, last) in members.iter() {
                for scalar in first as u32..=(last as u32).min(0x7f) {
                    ascii[scalar as usize / 64] |= 1 << (scalar % 64);
                }
                if last as u32 > 0x7f {
                    nfas.ranges.push(((first as u32).max(0x80), last as u32));
                }
            }
            nfas.sets.push(Set { ascii, from, to: nfas.ranges.len() as u32 });
            nfas.sets.len() as u32 - 1
        })
        .collect();
    let from = nfas.steps.len() as u32;
    nfas.steps.extend(own.steps.iter().map(|step| match step.wait() {
        Wait::Class(class) => {
            Step::new(Wait::Class(sets.get(class as usize).copied().unwrap_or(0)), step.next())
        }
        wait => Step::new(wait, step.next()),
    }));
    let len = own.steps.len() as u32;
    nfas.nfas.push(Nfa { from, len, entry: own.entry, anchored: own.anchored });
    nfas.nfas.len() as u32 - 1
}
