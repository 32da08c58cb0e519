//! A unit: one policy compiled alone, ready to be linked with others.
//!
//! Its operands are numbers in its own small pools; `link` moves them to the pools of the set.
//! A unit depends on its policy's text only, so it is kept for as long as that does not change.

use std::collections::HashMap;

use caapc_vm::facts::Timestamp;
use caapc_vm::isa::{Inst, Op};
use caapc_vm::program::Action;
use caapc_vm::time::Span;

use crate::policy::Patterns;
use crate::selector::Selector;

/// One compiled policy.
#[derive(Clone, Debug)]
pub struct Unit {
    pub(crate) name: Box<str>,
    pub(crate) order: Option<f64>,
    /// Both selectors in canonical form, for people.
    pub(crate) selectors: Box<str>,
    pub(crate) broken: Option<Box<str>>,
    pub(crate) labels: Vec<Box<str>>,
    pub(crate) sets: Vec<Box<[u32]>>,
    /// The selection; branches count from its own beginning.
    pub(crate) select: Vec<Inst>,
    pub(crate) rules: Vec<UnitRule>,
    numbers: HashMap<Box<str>, u32>,
}

/// One rule.
#[derive(Clone, Debug)]
pub(crate) struct UnitRule {
    pub(crate) action: Action,
    pub(crate) path: Option<Path>,
    /// The statuses as written, and whether none of them is asked for.
    pub(crate) status: Option<(u8, bool)>,
    pub(crate) age: Option<Age>,
}

impl UnitRule {
    pub(crate) fn reject_all() -> Self {
        Self { action: Action::Reject, path: None, status: None, age: None }
    }
}

/// The patterns of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) none_of: bool,
    pub(crate) values: Patterns,
}

/// The age test of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Age {
    Span(Op, Span),
    Instant(Op, Timestamp),
}

impl Unit {
    pub(crate) fn new(
        name: &str,
        order: Option<f64>,
        selector: &Selector,
        namespace_selector: &Selector,
    ) -> Self {
        Self {
            name: name.into(),
            order,
            selectors: format!(
                "selector {}, namespaceSelector {}",
                selector.canonical(),
                namespace_selector.canonical()
            )
            .into(),
            broken: None,
            labels: Vec::new(),
            sets: Vec::new(),
            select: Vec::new(),
            rules: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// The name of its policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it stands for a policy that does not compile.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    pub(crate) fn label(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.labels.len() as u32;
        self.labels.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    pub(crate) fn set(&mut self, values: &[Box<str>]) -> u32 {
        let set: Box<[u32]> = values.iter().map(|value| self.label(value)).collect();
        self.sets.push(set);
        self.sets.len() as u32 - 1
    }

    /// The pools are complete: what served to fill them goes.
    pub(crate) fn seal(&mut self) {
        self.numbers = HashMap::new();
    }
}
