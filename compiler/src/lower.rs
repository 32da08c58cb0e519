//! Lowers one policy to its unit: selectors to forward branches, rules to their operands.
//!
//! Selectors become short-circuit branches, so `&&`, `||` and `!` cost nothing when they run, and
//! `!=`, `not in` and `IsNoneOf` are the same test with the branch sense flipped. The conditions
//! in between live in one arena that goes with the compilation. Start at [`lower`].

use std::collections::HashMap;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use caapc_vm::isa::{Inst, Op};
use caapc_vm::pools::{Lists, Strings};
use smallvec::SmallVec;

use crate::policy::{AgeCriterion, Bound, Broken, Comparison, Membership, Policy, Rule};
use crate::selector::{Node, Selector};
use crate::unit::{Age, Path, Unit, UnitRule};

/// Lowers a policy.
pub fn lower(policy: &Policy) -> Unit {
    let mut unit =
        Unit::new(&policy.name, policy.order, &policy.selector, &policy.namespace_selector);
    unit.rules = policy.rules.iter().map(lower_rule).collect();
    lower_select(&mut unit, Some(&policy.selector), Some(&policy.namespace_selector));
    unit
}

/// A policy that does not compile rejects what its valid selectors match, before any other is
/// asked (spec: policy, "A policy that does not compile").
pub fn lower_broken(broken: &Broken) -> Unit {
    let all = Selector::all();
    let selector = broken.selector.as_ref();
    let namespace_selector = broken.namespace_selector.as_ref();
    let mut unit = Unit::new(
        &broken.name,
        broken.order,
        selector.unwrap_or(&all),
        namespace_selector.unwrap_or(&all),
    );
    unit.broken = Some(broken.fault.as_str().into());
    unit.rules = Box::new([UnitRule::reject_all()]);
    // Where one selector is broken, what was meant to be selected is not known: everything is.
    let both = selector.is_some() && namespace_selector.is_some();
    lower_select(&mut unit, selector.filter(|_| both), namespace_selector.filter(|_| both));
    unit
}

fn lower_rule(rule: &Rule) -> UnitRule {
    let Rule { action, image_path, image_scan_status, image_last_scan } = rule;
    let path = image_path.as_ref().map(|path| Path {
        none_of: path.operator == Membership::IsNoneOf,
        values: path.values.clone(),
    });
    let status = image_scan_status
        .as_ref()
        .map(|status| (status.listed(), status.operator == Membership::IsNoneOf));
    UnitRule { action: *action, path, status, age: image_last_scan.map(lower_age) }
}

fn lower_age(age: AgeCriterion) -> Age {
    let AgeCriterion { operator, bound } = age;
    match (operator, bound) {
        (Comparison::Gt, Bound::Span(span)) => Age::Span(Op::ScanAfter, span),
        (Comparison::Lt, Bound::Span(span)) => Age::Span(Op::ScanBefore, span),
        (Comparison::Gt, Bound::At(time)) => Age::Instant(Op::ScanSince, time),
        (Comparison::Lt, Bound::At(time)) => Age::Instant(Op::ScanUntil, time),
    }
}

/// A selector with constants folded away; `!` is left only as the sense of a branch.
#[derive(Clone, Copy)]
enum Condition<'b> {
    Always(bool),
    Test { op: Op, key: &'b str, operand: Operand<'b> },
    Not(&'b Condition<'b>),
    And(&'b [Condition<'b>]),
    Or(&'b [Condition<'b>]),
}

#[derive(Clone, Copy)]
enum Operand<'b> {
    None,
    Text(&'b str),
    Set(&'b [Box<str>]),
}

fn lower_select(
    unit: &mut Unit,
    selector: Option<&Selector>,
    namespace_selector: Option<&Selector>,
) {
    let arena = Bump::new();
    let mut both = BumpVec::new_in(&arena);
    both.extend(selector.map(|selector| condition(&arena, selector.node(), false)));
    both.extend(namespace_selector.map(|selector| condition(&arena, selector.node(), true)));
    let condition = fold(&arena, both, true);
    let mut emit = Emit::default();
    match condition {
        Condition::Always(true) => emit.code.push(Inst::plain(Op::Apply, 0)),
        Condition::Always(false) => emit.code.push(Inst::plain(Op::Skip, 0)),
        condition => {
            let (apply, skip) = (emit.label(), emit.label());
            emit.condition(&condition, apply, skip, apply);
            emit.bind(apply);
            emit.code.push(Inst::plain(Op::Apply, 0));
            emit.bind(skip);
            emit.code.push(Inst::plain(Op::Skip, 0));
            emit.patch();
        }
    }
    unit.select = emit.code.into();
    (unit.labels, unit.sets) = (emit.strings, emit.sets);
    unit.labels.shrink_to_fit();
    unit.sets.shrink_to_fit();
}

fn condition<'b>(arena: &'b Bump, node: &'b Node, namespace: bool) -> Condition<'b> {
    let test = |op: Op, key: &'b str, operand| {
        let op = if namespace { op.on_namespace() } else { op };
        Condition::Test { op, key, operand }
    };
    // Every value contains, starts and ends with the empty string: what is left is the presence.
    let part = |op, key, part: &'b str| {
        if part.is_empty() {
            test(Op::LabelHas, key, Operand::None)
        } else {
            test(op, key, Operand::Text(part))
        }
    };
    let member = |key, set: &'b [Box<str>]| {
        if set.is_empty() {
            Condition::Always(false)
        } else {
            test(Op::LabelIn, key, Operand::Set(set))
        }
    };
    let list = |nodes: &'b [Node], all| {
        let mut conditions = BumpVec::with_capacity_in(nodes.len(), arena);
        conditions.extend(nodes.iter().map(|node| condition(arena, node, namespace)));
        fold(arena, conditions, all)
    };
    match node {
        Node::All | Node::Global => Condition::Always(true),
        Node::Has(key) => test(Op::LabelHas, key, Operand::None),
        Node::Eq(key, value) => test(Op::LabelEq, key, Operand::Text(value)),
        Node::Ne(key, value) => negate(arena, test(Op::LabelEq, key, Operand::Text(value))),
        Node::In(key, set) => member(key, set),
        Node::NotIn(key, set) => negate(arena, member(key, set)),
        Node::Contains(key, text) => part(Op::LabelContains, key, text),
        Node::StartsWith(key, text) => part(Op::LabelPrefix, key, text),
        Node::EndsWith(key, text) => part(Op::LabelSuffix, key, text),
        Node::Not(operand) => negate(arena, condition(arena, operand, namespace)),
        Node::And(operands) => list(operands, true),
        Node::Or(operands) => list(operands, false),
    }
}

fn negate<'b>(arena: &'b Bump, condition: Condition<'b>) -> Condition<'b> {
    match condition {
        Condition::Always(holds) => Condition::Always(!holds),
        Condition::Not(operand) => *operand,
        other => Condition::Not(arena.alloc(other)),
    }
}

/// An and (`all`) or an or of conditions, without the constants.
fn fold<'b>(
    arena: &'b Bump,
    mut conditions: BumpVec<'b, Condition<'b>>,
    all: bool,
) -> Condition<'b> {
    if conditions
        .iter()
        .any(|condition| matches!(condition, Condition::Always(holds) if *holds != all))
    {
        return Condition::Always(!all);
    }
    conditions.retain(|condition| !matches!(condition, Condition::Always(_)));
    match conditions.as_slice() {
        [] => Condition::Always(all),
        [only] => *only,
        _ if all => Condition::And(arena.alloc_slice_copy(&conditions)),
        _ => Condition::Or(arena.alloc_slice_copy(&conditions)),
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Label(usize);

/// Emits branches to labels that are bound later, so that all go forward.
#[derive(Default)]
struct Emit<'b> {
    code: Vec<Inst>,
    /// Keys and values, each once.
    strings: Strings,
    numbers: HashMap<&'b str, u32>,
    sets: Lists,
    /// Instructions that branch to a label.
    uses: SmallVec<[(usize, Label); 16]>,
    /// Where each label is.
    bound: SmallVec<[u32; 8]>,
}

impl<'b> Emit<'b> {
    fn label(&mut self) -> Label {
        self.bound.push(0);
        Label(self.bound.len() - 1)
    }

    fn bind(&mut self, label: Label) {
        self.bound[label.0] = self.code.len() as u32;
    }

    fn patch(&mut self) {
        for (at, label) in &self.uses {
            self.code[*at].to = self.bound[label.0];
        }
    }

    fn string(&mut self, text: &'b str) -> u32 {
        *self.numbers.entry(text).or_insert_with(|| self.strings.push(text))
    }

    fn set(&mut self, values: &'b [Box<str>]) -> u32 {
        let set: Vec<u32> = values.iter().map(|value| self.string(value)).collect();
        self.sets.push(&set)
    }

    /// Goes to `yes` if the condition holds, to `no` if not; `next`, which is one of them, follows.
    fn condition(&mut self, condition: &Condition<'b>, yes: Label, no: Label, next: Label) {
        match *condition {
            // INVARIANT (folded): constants are only ever a whole selection.
            Condition::Always(_) => {}
            Condition::Not(operand) => self.condition(operand, no, yes, next),
            Condition::And(operands) => self.list(operands, yes, no, next, true),
            Condition::Or(operands) => self.list(operands, yes, no, next, false),
            Condition::Test { op, key, operand } => {
                let a = self.string(key);
                let b = match operand {
                    Operand::None => 0,
                    Operand::Text(text) => self.string(text),
                    Operand::Set(set) => self.set(set),
                };
                let sense = next == no;
                let target = if sense { yes } else { no };
                self.uses.push((self.code.len(), target));
                self.code.push(Inst { op, sense, a, b, to: 0 });
            }
        }
    }

    fn list(&mut self, operands: &[Condition<'b>], yes: Label, no: Label, next: Label, all: bool) {
        let Some((last, before)) = operands.split_last() else { return };
        for operand in before {
            let more = self.label();
            let (yes, no) = if all { (more, no) } else { (yes, more) };
            self.condition(operand, yes, no, more);
            self.bind(more);
        }
        self.condition(last, yes, no, next);
    }
}
