//! From a [`Hir`] to the steps of an NFA (Thompson's construction, built from the end).

use super::hash::Map;

use caapc_vm::matcher::nfa::{self, STEPS_MAX, Step, Wait};

use super::TooBig;
use crate::hir::{Class, Hir, Look};

/// One NFA on its own: its classes are numbered from zero.
#[derive(Clone, Debug)]
pub(super) struct Nfa {
    pub(super) steps: Vec<Step>,
    pub(super) classes: Vec<Class>,
    pub(super) entry: u32,
    /// Every match begins at the beginning of the text.
    pub(super) anchored: bool,
}

/// A character that is none: waits forever.
const NEVER: Wait = Wait::Char(0x1f_ffff);

/// Builds it.
///
/// # Errors
/// More than [`STEPS_MAX`] steps.
pub(super) fn build(hir: &Hir) -> Result<Nfa, TooBig> {
    let steps = steps(hir);
    if steps >= STEPS_MAX as u64 {
        return Err(TooBig::steps(steps));
    }
    let mut builder = Builder::default();
    let last = builder.push(Wait::Match, 0);
    let entry = builder.add(hir, last);
    let anchored = is_anchored(hir);
    Ok(Nfa { steps: builder.steps, classes: builder.classes, entry, anchored })
}

/// An upper bound of the steps of an NFA, without building it.
pub(super) fn steps(hir: &Hir) -> u64 {
    match hir {
        Hir::Empty => 0,
        Hir::Nothing | Hir::Class(_) | Hir::Look(_) => 1,
        Hir::Literal(text) => text.len() as u64,
        Hir::Concat(items) => items.iter().fold(0, |sum, item| steps(item).saturating_add(sum)),
        Hir::Alt(items) => {
            items.iter().fold(0, |sum, item| steps(item).saturating_add(1).saturating_add(sum))
        }
        Hir::Repeat { node, min, max } => {
            let times = u64::from(max.unwrap_or(*min).max(1));
            steps(node).saturating_add(1).saturating_mul(times)
        }
    }
}

/// Whether every match begins at the beginning of the text, as far as is plain to see.
pub(super) fn is_anchored(hir: &Hir) -> bool {
    match hir {
        Hir::Look(Look::Start) => true,
        Hir::Concat(items) => items.first().is_some_and(is_anchored),
        Hir::Alt(items) => items.iter().all(is_anchored),
        _ => false,
    }
}

#[derive(Default)]
struct Builder {
    steps: Vec<Step>,
    classes: Vec<Class>,
    /// By where a class is kept: a pattern keeps equal ones once.
    numbers: Map<usize, u32>,
}

impl Builder {
    fn push(&mut self, wait: Wait, next: u32) -> u32 {
        self.steps.push(Step::new(wait, next));
        self.steps.len() as u32 - 1
    }

    /// Adds `hir` so that it goes on at `next`; returns where it begins.
    fn add(&mut self, hir: &Hir, next: u32) -> u32 {
        match hir {
            Hir::Empty => next,
            Hir::Nothing => self.push(NEVER, next),
            Hir::Literal(text) => {
                text.chars().rev().fold(next, |next, char| self.push(Wait::Char(char as u32), next))
            }
            Hir::Class(class) => {
                let wait = Wait::Class(self.class(class));
                self.push(wait, next)
            }
            Hir::Look(look) => self.push(Wait::Look(number(*look)), next),
            Hir::Concat(items) => items.iter().rev().fold(next, |next, item| self.add(item, next)),
            Hir::Alt(items) => {
                let mut entry = None;
                for item in items.iter().rev() {
                    let own = self.add(item, next);
                    entry = Some(entry.map_or(own, |rest| self.push(Wait::Split(own), rest)));
                }
                entry.unwrap_or(next)
            }
            Hir::Repeat { node, min, max: None } => self.unbounded(node, *min, next),
            Hir::Repeat { node, min, max: Some(max) } => {
                let mut entry = next;
                for _ in *min..*max {
                    let own = self.add(node, entry);
                    entry = self.push(Wait::Split(own), next);
                }
                (0..*min).fold(entry, |next, _| self.add(node, next))
            }
        }
    }

    fn unbounded(&mut self, node: &Hir, min: u16, next: u32) -> u32 {
        let again = self.push(Wait::Match, 0);
        let own = self.add(node, again);
        if let Some(step) = self.steps.get_mut(again as usize) {
            *step = Step::new(Wait::Split(own), next);
        }
        let entry = if min == 0 { again } else { own };
        (1..min).fold(entry, |next, _| self.add(node, next))
    }

    fn class(&mut self, class: &Class) -> u32 {
        let next = self.classes.len() as u32;
        let number = *self.numbers.entry(class.0.as_ptr().addr()).or_insert(next);
        if number == next {
            self.classes.push(class.clone());
        }
        number
    }
}

const fn number(look: Look) -> u32 {
    match look {
        Look::Start => nfa::START,
        Look::End => nfa::END,
        Look::StartLine => nfa::START_LINE,
        Look::EndLine => nfa::END_LINE,
        Look::Word => nfa::WORD,
        Look::NotWord => nfa::NOT_WORD,
    }
}
