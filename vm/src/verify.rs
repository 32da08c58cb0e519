//! Checks a draft and turns it into a program.
//!
//! This is the only way to make a [`Program`] (INVARIANT (one door)), so the machine trusts what
//! it is given. It reports the first fault: a draft of our own compiler has none, and a file that
//! someone else made deserves no more. Start at [`verify`].
//!
//! | invariant | statement |
//! |---|---|
//! | one door | a `Program` is made only here |
//! | forward | every branch target is greater than its own pc and inside its section |
//! | ends | the last instruction of each section is an end, so `pc + 1` always exists |
//! | in bounds | every operand is inside its pool |
//! | sections | each instruction stands where its class allows |
//! | plain rules | a rule is at most one path, one status and one age test, in this order, each leaving for the next rule, then its `allow` or `reject`; so it can also be run as bits |
//! | whole | `linked` marks, keeps and ends exactly as the rules ask |
#![expect(clippy::indexing_slicing, reason = "every index is checked just before")]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::index::Index;
use crate::isa::{Class, Inst, Kind, Op};
use crate::program::{Action, Derived, Draft, Keep, PolicyId, PolicyRow, Program, RuleRow};
use crate::wire::Fault;

/// Most `keep`s on age in `linked`; the age tests beyond are asked by `first`, rule by rule.
pub const KEEPS_MAX: usize = 64;

/// Checks everything the machine relies on.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn verify(draft: Draft) -> Result<Program, Fault> {
    check_pools(&draft)?;
    let linked_end = draft.policies.first().map_or(draft.code.len(), |row| row.select as usize);
    let mut rules = Vec::new();
    let mut first_rules = vec![0];
    let mut selects = Vec::new();
    let mut reader = RuleReader { draft: &draft, paths: 0 };
    for number in 0..draft.policies.len() {
        let (select, body) = sections(&draft, number)?;
        check_select(&draft, select.clone())?;
        reader.read_rules(PolicyId(number as u32), body, &mut rules)?;
        selects.push(select);
        first_rules.push(rules.len() as u32);
    }
    if reader.paths as usize != draft.paths.len() {
        return Err(Fault::new("paths", "patterns that no rule asks for"));
    }
    if draft.matcher.hits() as usize != rules.len() {
        return Err(Fault::new("matcher", "made for another number of rules"));
    }
    check_linked(&draft, linked_end, &mut rules)?;
    let index = Index::build(&draft, &selects)?;
    let derived = derive(&draft, linked_end, rules, first_rules, index, &selects);
    Ok(Program { draft, derived })
}

fn check_pools(draft: &Draft) -> Result<(), Fault> {
    let mut labels: Vec<&str> = draft.labels.iter().collect();
    labels.sort_unstable();
    if labels.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Fault::new("labels", "a string that is there twice"));
    }
    for set in draft.sets.iter() {
        let inside = set.iter().all(|&label| (label as usize) < draft.labels.len());
        if !inside || set.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Fault::new("sets", "a set that is not rising or leaves the label pool"));
        }
    }
    let texts = draft.texts.len() as u32;
    if draft.paths.iter().flatten().any(|&text| text >= texts) {
        return Err(Fault::new("paths", "a pattern outside the text pool"));
    }
    for row in &draft.policies {
        if row.name >= texts
            || row.selectors >= texts
            || row.broken.is_some_and(|text| text >= texts)
        {
            return Err(Fault::new("policies", "a name outside the text pool"));
        }
    }
    Ok(())
}

/// The selection and the rules of a policy, as ranges of the code.
fn sections(draft: &Draft, number: usize) -> Result<(Range<usize>, Range<usize>), Fault> {
    let row: &PolicyRow = &draft.policies[number];
    let end = draft.policies.get(number + 1).map_or(draft.code.len(), |next| next.select as usize);
    let (select, rules) = (row.select as usize, row.rules as usize);
    if select < rules && rules < end && end <= draft.code.len() {
        Ok((select..rules, rules..end))
    } else {
        Err(Fault::new("policies", format!("policy {number} has no code of its own")))
    }
}

fn fault(pc: usize, why: &str) -> Fault {
    Fault::new("code", format!("{pc:04}: {why}"))
}

fn check_select(draft: &Draft, select: Range<usize>) -> Result<(), Fault> {
    for pc in select.clone() {
        let inst = &draft.code[pc];
        match inst.op.row().class {
            Class::SelectTest => check_branch(pc, inst, &select)?,
            Class::SelectEnd => check_plain(pc, inst)?,
            _ => return Err(fault(pc, "this instruction has no place in a selection")),
        }
        check_operands(draft, pc, inst)?;
    }
    let last = select.end - 1;
    if draft.code[last].op.row().class == Class::SelectEnd {
        Ok(())
    } else {
        Err(fault(last, "a selection that does not end"))
    }
}

fn check_branch(pc: usize, inst: &Inst, section: &Range<usize>) -> Result<(), Fault> {
    let to = inst.to as usize;
    if to > pc && section.contains(&to) {
        Ok(())
    } else {
        Err(fault(pc, "a branch that does not go forward inside its section"))
    }
}

fn check_plain(pc: usize, inst: &Inst) -> Result<(), Fault> {
    if inst.sense || inst.to != 0 {
        Err(fault(pc, "a branch where there is nothing to test"))
    } else {
        Ok(())
    }
}

/// INVARIANT (in bounds).
fn check_operands(draft: &Draft, pc: usize, inst: &Inst) -> Result<(), Fault> {
    let row = inst.op.row();
    for (kind, operand) in [(row.a, inst.a), (row.b, inst.b)] {
        let pool = match kind {
            Kind::None => 1,
            Kind::Label => draft.labels.len(),
            Kind::Set => draft.sets.len(),
            Kind::Path => draft.paths.len(),
            Kind::Mask => 16,
            Kind::Span => draft.spans.len(),
            Kind::Instant => draft.instants.len(),
            // Rules are numbered where they are read; see `RuleReader`.
            Kind::Rule => usize::MAX,
        };
        if operand as usize >= pool {
            return Err(fault(pc, "an operand outside its pool"));
        }
    }
    Ok(())
}

/// Reads blocks back into rules (INVARIANT (plain rules)).
struct RuleReader<'d> {
    draft: &'d Draft,
    /// How many rules with patterns there were so far: paths are numbered in the order of rules.
    paths: u32,
}

impl RuleReader<'_> {
    fn read_rules(
        &mut self,
        policy: PolicyId,
        body: Range<usize>,
        rules: &mut Vec<RuleRow>,
    ) -> Result<(), Fault> {
        let mut pc = body.start;
        while self.draft.code[pc].op != Op::Pass {
            let (row, next) = self.read_block(policy, pc, &body, rules.len())?;
            rules.push(row);
            pc = next;
        }
        check_plain(pc, &self.draft.code[pc])?;
        check_operands(self.draft, pc, &self.draft.code[pc])?;
        if pc + 1 == body.end { Ok(()) } else { Err(fault(pc, "code after the last rule")) }
    }

    fn read_block(
        &mut self,
        policy: PolicyId,
        start: usize,
        body: &Range<usize>,
        number: usize,
    ) -> Result<(RuleRow, usize), Fault> {
        let mut row = RuleRow {
            policy,
            block: start as u32,
            action: Action::Reject,
            path: None,
            status: None,
            age: None,
            late: false,
        };
        let mut leaves = None;
        for pc in start..body.end {
            let inst = &self.draft.code[pc];
            check_operands(self.draft, pc, inst)?;
            match inst.op {
                Op::PathMatch
                    if row.path.is_none() && row.status.is_none() && row.age.is_none() =>
                {
                    if inst.a != self.paths {
                        return Err(fault(pc, "patterns that are not this rule's own"));
                    }
                    self.paths += 1;
                    row.path = Some((inst.a, inst.sense));
                }
                Op::StatusIn if row.status.is_none() && row.age.is_none() => {
                    row.status = Some((inst.a as u8, inst.sense));
                }
                op if op.keeper().is_some() && row.age.is_none() && !inst.sense => {
                    row.age = Some((op, inst.a));
                }
                Op::Allow | Op::Reject => {
                    check_plain(pc, inst)?;
                    if inst.a as usize != number || leaves.is_some_and(|to| to != pc + 1) {
                        return Err(fault(pc, "a rule that is not the next one"));
                    }
                    // `pass` follows the last rule, so there is always an instruction to leave for.
                    if pc + 1 == body.end {
                        return Err(fault(pc, "rules that do not end in `pass`"));
                    }
                    row.action = if inst.op == Op::Allow { Action::Allow } else { Action::Reject };
                    return Ok((row, pc + 1));
                }
                _ => {
                    return Err(fault(
                        pc,
                        "a rule is a path, a status and an age test, then its end",
                    ));
                }
            }
            check_branch(pc, inst, body)?;
            if leaves.is_some_and(|to| to != inst.to as usize) {
                return Err(fault(pc, "a test that does not leave for the next rule"));
            }
            leaves = Some(inst.to as usize);
        }
        Err(fault(start, "a rule without an end"))
    }
}

/// INVARIANT (whole), and which rules `first` has to ask for their age.
fn check_linked(draft: &Draft, linked_end: usize, rules: &mut [RuleRow]) -> Result<(), Fault> {
    let linked = draft.code.get(..linked_end).unwrap_or(&[]);
    let has_path = rules.iter().any(|rule| rule.path.is_some());
    let has_status = rules.iter().any(|rule| rule.status.is_some());
    let mut wanted = Vec::new();
    if has_path {
        wanted.extend([Op::Mark, Op::KeepPath]);
    }
    if has_status {
        wanted.push(Op::KeepStatus);
    }
    let whole = || Fault::new("code", "`linked` is not what the rules ask for");
    let (head, tail) = linked.split_at_checked(wanted.len()).ok_or_else(whole)?;
    if !head.iter().map(|inst| inst.op).eq(wanted) {
        return Err(whole());
    }
    let (last, keeps) = tail.split_last().ok_or_else(whole)?;
    if last.op != Op::First || keeps.len() > KEEPS_MAX {
        return Err(whole());
    }
    let mut kept = Vec::new();
    for inst in keeps {
        let test = inst.op.kept().ok_or_else(whole)?;
        if kept.contains(&(test, inst.a)) {
            return Err(whole());
        }
        kept.push((test, inst.a));
    }
    for (pc, inst) in linked.iter().enumerate() {
        check_plain(pc, inst)?;
        check_operands(draft, pc, inst)?;
    }
    for rule in rules {
        rule.late = rule.age.is_some_and(|age| !kept.contains(&age));
    }
    Ok(())
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn derive(
    draft: &Draft,
    linked_end: usize,
    rules: Vec<RuleRow>,
    first_rules: Vec<u32>,
    index: Index,
    selects: &[Range<usize>],
) -> Derived {
    let bits = |test: &dyn Fn(&RuleRow) -> bool| {
        let mut words = vec![0u64; rules.len().div_ceil(64)];
        for (number, rule) in rules.iter().enumerate() {
            words[number / 64] |= u64::from(test(rule)) << (number % 64);
        }
        words
    };
    let keeps = draft.code[..linked_end]
        .iter()
        .filter_map(|inst| {
            let (test, operand) = (inst.op.kept()?, inst.a);
            let rules = bits(&|rule| rule.age == Some((test, operand))).into_boxed_slice();
            Some(Keep { test, operand, rules })
        })
        .collect();
    let longest = |range: Range<usize>| longest_path(&draft.code, range);
    let longest_select = selects.iter().map(|select| longest(select.clone())).max().unwrap_or(0);
    let bodies = (0..selects.len()).map(|number| {
        let end = selects.get(number + 1).map_or(draft.code.len(), |next| next.start);
        longest(selects[number].end..end)
    });
    let longest_rules = bodies.max().unwrap_or(0);
    Derived {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        linked_end,
        has_paths: rules.iter().any(|rule| rule.path.is_some()),
        flips: bits(&|rule| rule.path.is_none_or(|(_, none_of)| none_of)),
        rejects: bits(&|rule| rule.action == Action::Reject),
        status: [0, 1, 2, 3].map(|status| bits(&|rule| rule.statuses() & (1 << status) != 0)),
        keeps,
        index,
        longest_select,
        longest_rules,
        first_rules,
        rules,
    }
}

/// The most instructions from the first of a section to an end: one pass backwards, since
/// branches go forward.
fn longest_path(code: &[Inst], section: Range<usize>) -> usize {
    let mut longest = vec![0usize; section.len() + 1];
    for pc in section.clone().rev() {
        let at = pc - section.start;
        let inst = &code[pc];
        longest[at] = 1 + if inst.op.row().class.is_test() {
            longest[at + 1].max(longest[inst.to as usize - section.start])
        } else {
            0
        };
    }
    longest.first().copied().unwrap_or(0)
}
