//! A unit: one policy compiled alone, ready to be linked with others.
//!
//! Its operands are numbers in its own small pools; `link` moves them to the pools of the set.
//! A unit depends on its policy's text only, so it is kept for as long as that does not change.

use std::sync::Arc;

use caapc_vm::facts::Timestamp;
use caapc_vm::isa::{Inst, Op};
use caapc_vm::pools::{Lists, Strings};
use caapc_vm::program::Action;
use caapc_vm::time::Span;

use crate::policy::Patterns;
use crate::selector::Selector;

/// One compiled policy.
#[derive(Clone, Debug)]
pub struct Unit {
    pub(crate) name: Arc<str>,
    pub(crate) order: Option<f64>,
    /// Both selectors in canonical form, for people.
    pub(crate) selectors: Arc<str>,
    pub(crate) broken: Option<Arc<str>>,
    pub(crate) labels: Strings,
    pub(crate) sets: Lists,
    /// The selection; branches count from its own beginning.
    pub(crate) select: Box<[Inst]>,
    pub(crate) rules: Box<[UnitRule]>,
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
            labels: Strings::default(),
            sets: Lists::default(),
            select: Box::default(),
            rules: Box::default(),
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
}
