//! Links units into the one program that runs.
//!
//! The cost of a request must not grow with the policies that do not apply to it, so rules are
//! numbered over all policies in order and run as bits; see ARCHITECTURE.md, "Why a linker".
//! Linking is a function of the units alone: the same units give the same bytes. Start at
//! [`Linker::link`].

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use caapc_vm::facts::Timestamp;
use caapc_vm::isa::{Inst, Op};
use caapc_vm::matcher::Matcher;
use caapc_vm::program::{Action, Draft, PolicyRow, Program};
use caapc_vm::time::Span;
use caapc_vm::verify::{self, KEEPS_MAX};
use caapc_vm::wire::Fault;

use crate::automata::hash::Map;
use crate::automata::{Builder, TailCache, TooBig};
use crate::unit::{Age, Unit, UnitRule};

/// Why units do not make a program.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The patterns of the whole set are too much together.
    #[error("the patterns of all policies together are too large: {0}")]
    TooBig(TooBig),
    /// The compiler is at fault; the machine does not run what it does not trust.
    #[error("the linked program does not verify, which is a fault of caapc: {0}")]
    Fault(#[from] Fault),
}

/// Links, and remembers from one link to the next what costs most to make.
#[derive(Default)]
pub struct Linker {
    tails: TailCache,
    last: Option<Last>,
}

/// The tables of the last link, and the units they were made from, in order.
struct Last {
    units: Vec<Arc<Unit>>,
    matcher: Arc<Matcher>,
}

impl Linker {
    /// A linker that remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Links units, in any order, into a program that asks them in theirs.
    ///
    /// # Errors
    /// [`LinkError::TooBig`] if the set is over the limit on automata.
    pub fn link(&mut self, units: &[Arc<Unit>]) -> Result<Program, LinkError> {
        let mut units = units.to_vec();
        units.sort_by(|one, other| asked_before(one, other));
        let mut draft = Link::draft(&units);
        draft.matcher = self.matcher(units).map_err(LinkError::TooBig)?;
        Ok(verify::verify(draft)?)
    }

    /// The tables of all patterns: the last ones, if no pattern has changed.
    fn matcher(&mut self, units: Vec<Arc<Unit>>) -> Result<Arc<Matcher>, TooBig> {
        if let Some(last) = &mut self.last
            && same_patterns(&last.units, &units)
        {
            last.units = units;
            return Ok(Arc::clone(&last.matcher));
        }
        self.last = None;
        let mut builder = Builder::new();
        let mut hits = 0;
        for rule in units.iter().flat_map(|unit| &unit.rules) {
            for pattern in rule.path.iter().flat_map(|path| path.values.iter()) {
                builder.add(&pattern.shape, hits);
            }
            hits += 1;
        }
        let matcher = Arc::new(builder.finish(hits, &mut self.tails)?);
        self.last = Some(Last { units, matcher: Arc::clone(&matcher) });
        Ok(matcher)
    }
}

/// Whether each rule has the patterns of the rule with its number.
fn same_patterns(before: &[Arc<Unit>], now: &[Arc<Unit>]) -> bool {
    let values = |rule: &UnitRule| rule.path.as_ref().map(|path| path.values.clone());
    let same = |one: &Arc<Unit>, other: &Arc<Unit>| {
        Arc::ptr_eq(one, other) || one.rules.iter().map(values).eq(other.rules.iter().map(values))
    };
    before.len() == now.len() && before.iter().zip(now).all(|(one, other)| same(one, other))
}

/// Lowest order first, absent last, ties by name in byte order; a policy that does not compile is
/// asked before every other (spec: policy, "Object", "A policy that does not compile").
pub fn asked_before(one: &Unit, other: &Unit) -> Ordering {
    other
        .is_broken()
        .cmp(&one.is_broken())
        .then_with(|| compare_order(one.order, other.order))
        .then_with(|| one.name.cmp(&other.name))
}

/// Compares two orders; absent sorts last, and -0 equals 0.
pub fn compare_order(one: Option<f64>, other: Option<f64>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => (one + 0.0).total_cmp(&(other + 0.0)),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (None, None) => Ordering::Equal,
    }
}

/// One link under way.
#[derive(Default)]
struct Link<'u> {
    draft: Draft,
    rules: u32,
    labels: HashMap<&'u str, u32>,
    sets: HashMap<Vec<u32>, u32>,
    spans: Map<Span, u32>,
    instants: Map<Timestamp, u32>,
}

impl<'u> Link<'u> {
    /// Everything but the tables of patterns.
    fn draft(units: &'u [Arc<Unit>]) -> Draft {
        let mut link = Self::default();
        link.linked(units);
        for unit in units {
            link.policy(unit);
        }
        link.draft.shrink_to_fit();
        link.draft
    }

    /// The code that runs all rules at once: what is common to them, then `first`.
    fn linked(&mut self, units: &[Arc<Unit>]) {
        let rules = || units.iter().flat_map(|unit| &unit.rules);
        if rules().any(|rule| rule.path.is_some()) {
            self.push(Inst::plain(Op::Mark, 0));
            self.push(Inst::plain(Op::KeepPath, 0));
        }
        if rules().any(|rule| rule.status.is_some()) {
            self.push(Inst::plain(Op::KeepStatus, 0));
        }
        // The age tests that most rules share are asked once for all of them.
        let mut counts: Map<Age, (usize, usize)> = Map::default();
        for (at, age) in rules().filter_map(|rule| rule.age).enumerate() {
            counts.entry(age).or_insert((0, at)).0 += 1;
        }
        let mut ages: Vec<(usize, usize, Age)> =
            counts.into_iter().map(|(age, (count, at))| (count, at, age)).collect();
        ages.sort_unstable_by_key(|&(count, at, _)| (usize::MAX - count, at));
        ages.truncate(KEEPS_MAX);
        ages.sort_unstable_by_key(|&(_, at, _)| at);
        for (_, _, age) in ages {
            let test = self.age(age);
            if let Some(keeper) = test.op.keeper() {
                self.push(Inst::plain(keeper, test.a));
            }
        }
        self.push(Inst::plain(Op::First, 0));
    }

    fn policy(&mut self, unit: &'u Unit) {
        let select = self.draft.code.len() as u32;
        let labels: Vec<u32> = unit.labels.iter().map(|label| self.label(label)).collect();
        let sets: Vec<u32> = unit.sets.iter().map(|set| self.set(set, &labels)).collect();
        for inst in &unit.select {
            self.push(relocate(*inst, select, &labels, &sets));
        }
        let row = PolicyRow {
            name: self.text(&unit.name),
            order: unit.order,
            selectors: self.text(&unit.selectors),
            broken: unit.broken.as_ref().map(|fault| self.text(fault)),
            select,
            rules: self.draft.code.len() as u32,
        };
        self.draft.policies.push(row);
        for rule in &unit.rules {
            self.rule(rule);
        }
        self.push(Inst::plain(Op::Pass, 0));
    }

    /// INVARIANT (plain rules): a path, a status and an age test, each leaving for the next rule.
    fn rule(&mut self, rule: &'u UnitRule) {
        let UnitRule { action, path, status, age } = rule;
        let tests = usize::from(path.is_some())
            + usize::from(status.is_some())
            + usize::from(age.is_some());
        let next = (self.draft.code.len() + tests + 1) as u32;
        if let Some(path) = path {
            let lens = path.values.iter().map(|pattern| pattern.text.len());
            let first = self.draft.texts.share(path.values.texts(), lens);
            let texts: Vec<u32> = (first..self.draft.texts.len() as u32).collect();
            let a = self.draft.paths.push(&texts);
            self.push(Inst { op: Op::PathMatch, sense: path.none_of, a, b: 0, to: next });
        }
        if let Some((mask, none_of)) = *status {
            self.push(Inst {
                op: Op::StatusIn,
                sense: none_of,
                a: u32::from(mask),
                b: 0,
                to: next,
            });
        }
        if let Some(age) = *age {
            let test = self.age(age);
            self.push(Inst { to: next, ..test });
        }
        let end = match action {
            Action::Allow => Op::Allow,
            Action::Reject => Op::Reject,
        };
        self.push(Inst::plain(end, self.rules));
        self.rules += 1;
    }

    fn push(&mut self, inst: Inst) {
        self.draft.code.push(inst);
    }

    fn age(&mut self, age: Age) -> Inst {
        match age {
            Age::Span(op, span) => {
                let spans = &mut self.draft.spans;
                let a = *self.spans.entry(span).or_insert_with(|| {
                    spans.push(span);
                    spans.len() as u32 - 1
                });
                Inst::plain(op, a)
            }
            Age::Instant(op, time) => {
                let instants = &mut self.draft.instants;
                let a = *self.instants.entry(time).or_insert_with(|| {
                    instants.push(time);
                    instants.len() as u32 - 1
                });
                Inst::plain(op, a)
            }
        }
    }

    fn label(&mut self, text: &'u str) -> u32 {
        *self.labels.entry(text).or_insert_with(|| self.draft.labels.push(text))
    }

    fn text(&mut self, text: &Arc<str>) -> u32 {
        self.draft.texts.share(Arc::clone(text), [text.len()])
    }

    fn set(&mut self, set: &[u32], labels: &[u32]) -> u32 {
        let mut moved: Vec<u32> = set.iter().map(|&label| labels[label as usize]).collect();
        moved.sort_unstable();
        moved.dedup();
        let sets = &mut self.draft.sets;
        *self.sets.entry(moved).or_insert_with_key(|moved| sets.push(moved))
    }
}

/// Moves an instruction of a selection to the pools and the code of the set.
fn relocate(inst: Inst, base: u32, labels: &[u32], sets: &[u32]) -> Inst {
    use caapc_vm::isa::Kind;
    let row = inst.op.row();
    let moved = |kind, operand: u32| match kind {
        Kind::Label => labels[operand as usize],
        Kind::Set => sets[operand as usize],
        _ => operand,
    };
    let to = if row.class.is_test() { inst.to + base } else { 0 };
    Inst { a: moved(row.a, inst.a), b: moved(row.b, inst.b), to, ..inst }
}
