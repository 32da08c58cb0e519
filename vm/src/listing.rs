//! The text form of a program, for people and for golden files.
//!
//! `;` starts a note, which carries no meaning; everything else is read back by [`crate::asm`].
//! User text is always quoted and escaped, labels are structural and never addresses, and no
//! value depends on the machine or the time. Start at [`listing`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::facts::{ScanStatus, Timestamp};
use crate::isa::{INST_BYTES, Inst, Kind, Op};
use crate::program::{Action, PolicyId, Program, RuleId};
use crate::time;

/// Says something of a pattern, given its text.
pub type PatternNote<'o> = dyn Fn(&str) -> Option<String> + 'o;

/// What a listing shows beside the code.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// The bytes of each instruction.
    pub hex: bool,
    /// The address of each instruction; without them an edit changes fewer lines.
    pub addresses: bool,
    /// What is said of a pattern in a note.
    pub pattern_note: Option<&'o PatternNote<'o>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { hex: false, addresses: true, pattern_note: None }
    }
}

/// Prints a program.
pub fn listing(program: &Program, options: &Options<'_>) -> String {
    let mut out = String::new();
    header(program, &mut out);
    let mut lister = Lister { program, options, out };
    lister.linked();
    for number in 0..program.policy_count() as u32 {
        lister.policy(PolicyId(number));
    }
    lister.patterns();
    lister.out
}

fn header(program: &Program, out: &mut String) {
    let code = program.draft.code.len();
    let _ = writeln!(out, "; caapc listing 1");
    let _ = writeln!(
        out,
        "; program  {}, {}, {}, {} bytes of code",
        counted(program.policy_count(), "policy", "policies"),
        counted(program.rule_count(), "rule", "rules"),
        counted(code, "instruction", "instructions"),
        code * INST_BYTES,
    );
    let _ = writeln!(
        out,
        "; longest  select {}, linked {}; a policy's rules one by one {}",
        counted(program.longest_select(), "step", "steps"),
        counted(program.longest_linked(), "step", "steps"),
        counted(program.longest_rules(), "step", "steps"),
    );
}

/// `1 rule`, `2 rules`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Where notes begin, in characters.
const NOTE_COLUMN: usize = 64;

struct Lister<'l> {
    program: &'l Program,
    options: &'l Options<'l>,
    out: String,
}

impl Lister<'_> {
    fn linked(&mut self) {
        self.label("\nlinked", "every image, all policies at once");
        for pc in 0..self.program.derived.linked_end {
            self.instruction(pc, &BTreeMap::new(), 0, "");
        }
    }

    fn policy(&mut self, policy: PolicyId) {
        let draft = &self.program.draft;
        let Some(row) = draft.policies.get(policy.0 as usize) else { return };
        let _ = writeln!(self.out, "\npolicy {:?}", draft.texts.at(row.name));
        match row.order {
            Some(order) => {
                let _ = writeln!(self.out, "  order      {order}");
            }
            None => self.out.push_str("  order      none\n"),
        }
        let _ = writeln!(self.out, "  selectors  {:?}", draft.texts.at(row.selectors));
        if let Some(fault) = row.broken {
            let _ = writeln!(self.out, "  broken     {:?}", draft.texts.at(fault));
        }
        let (select, rules) = (row.select as usize, row.rules as usize);
        let labels = select_labels(&draft.code, select..rules);
        self.label("select", "");
        for pc in select..rules {
            if pc > select
                && let Some(name) = labels.get(&pc)
            {
                self.label(name, "");
            }
            self.instruction(pc, &labels, 0, "");
        }
        self.rules(policy, rules);
    }

    fn rules(&mut self, policy: PolicyId, start: usize) {
        let range = self.program.rules_of(policy);
        let first = range.start;
        let mut labels = BTreeMap::new();
        for rule in range.clone() {
            if let Some(row) = self.program.derived.rules.get(rule as usize) {
                labels.insert(row.block as usize, format!("rule{}", rule - first));
            }
        }
        let end = self.program.draft.policies.get(policy.0 as usize + 1);
        let end = end.map_or(self.program.draft.code.len(), |next| next.select as usize);
        labels.insert(end - 1, "pass".to_owned());
        for pc in start..end {
            if let Some(name) = labels.get(&pc) {
                let rule =
                    self.program.derived.rules.partition_point(|row| (row.block as usize) < pc);
                let note = self.rule_note(RuleId(rule as u32), pc);
                self.label(name, &note);
            }
            self.instruction(pc, &labels, first, "");
        }
    }

    fn rule_note(&self, rule: RuleId, pc: usize) -> String {
        match self.program.rule(rule) {
            Some(info) if info.block() as usize == pc => {
                let action = match info.action {
                    Action::Allow => "Allow ",
                    Action::Reject => "Reject",
                };
                clip(&format!("{action} {info}"))
            }
            _ => "none of this policy matched".to_owned(),
        }
    }

    fn patterns(&mut self) {
        let draft = &self.program.draft;
        if draft.paths.is_empty() {
            return;
        }
        self.out.push_str("\npatterns:\n");
        for (number, path) in draft.paths.iter().enumerate() {
            if path.is_empty() {
                let _ = writeln!(self.out, "  re{number}");
            }
            for &text in path {
                let text = draft.texts.at(text);
                let note =
                    self.options.pattern_note.and_then(|note| note(text)).unwrap_or_default();
                let line = format!("  re{number:<5} {text:?}");
                noted(&mut self.out, line, &note);
            }
        }
    }

    fn label(&mut self, name: &str, note: &str) {
        noted(&mut self.out, format!("{name}:"), note);
    }

    fn instruction(
        &mut self,
        pc: usize,
        labels: &BTreeMap<usize, String>,
        first_rule: u32,
        note: &str,
    ) {
        let Some(inst) = self.program.draft.code.get(pc) else { return };
        let mut line = String::from("  ");
        if self.options.addresses {
            let _ = write!(line, "{pc:04}  ");
        }
        if self.options.hex {
            for byte in inst.to_bytes() {
                let _ = write!(line, "{byte:02x} ");
            }
            line.push(' ');
        }
        let operands = operands(self.program, inst, first_rule);
        let _ = write!(line, "{:<16} {operands:<24}", inst.op.row().mnemonic);
        if inst.op.row().class.is_test() {
            let target = labels.get(&(inst.to as usize)).map_or("?", String::as_str);
            let _ = write!(line, " {} {target}", if inst.sense { "jt" } else { "jf" });
        }
        noted(&mut self.out, line, note);
    }
}

/// Writes a line, its note in its column.
fn noted(out: &mut String, line: String, note: &str) {
    let line = line.trim_end();
    out.push_str(line);
    if !note.is_empty() {
        let newlines = line.chars().filter(|&letter| letter == '\n').count();
        let width = line.chars().count() - newlines;
        out.extend(std::iter::repeat_n(' ', NOTE_COLUMN.saturating_sub(width).max(1)));
        out.push_str("; ");
        out.push_str(note);
    }
    out.push('\n');
}

/// A note on one line of bearable length.
fn clip(text: &str) -> String {
    const MAX: usize = 100;
    if text.chars().count() <= MAX {
        return text.to_owned();
    }
    text.chars().take(MAX).chain("...".chars()).collect()
}

/// Names for the branch targets of a selection, by address.
fn select_labels(code: &[Inst], select: std::ops::Range<usize>) -> BTreeMap<usize, String> {
    let body = code.get(select).unwrap_or(&[]);
    let mut targets: Vec<usize> = body
        .iter()
        .filter(|inst| inst.op.row().class.is_test())
        .map(|inst| inst.to as usize)
        .collect();
    targets.sort_unstable();
    targets.dedup();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    let mut labels = BTreeMap::new();
    for target in targets {
        let base = match code.get(target).map(|inst| inst.op) {
            Some(Op::Apply) => "apply",
            Some(Op::Skip) => "skip",
            _ => "select",
        };
        let count = used.entry(base).or_insert(if base == "select" { 1 } else { 0 });
        *count += 1;
        let name = if *count == 1 { base.to_owned() } else { format!("{base}.{}", *count - 1) };
        labels.insert(target, name);
    }
    labels
}

/// The operands of an instruction as they are written.
pub(crate) fn operands(program: &Program, inst: &Inst, first_rule: u32) -> String {
    let row = inst.op.row();
    let mut text = String::new();
    for (kind, operand) in [(row.a, inst.a), (row.b, inst.b)] {
        if kind == Kind::None {
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        write_operand(program, kind, operand, first_rule, &mut text);
    }
    text
}

fn write_operand(program: &Program, kind: Kind, operand: u32, first_rule: u32, out: &mut String) {
    let draft = &program.draft;
    let _ = match kind {
        Kind::None => Ok(()),
        Kind::Label => write!(out, "{:?}", draft.labels.at(operand)),
        Kind::Set => {
            let members: Vec<String> = draft
                .sets
                .at(operand)
                .iter()
                .map(|&label| format!("{:?}", draft.labels.at(label)))
                .collect();
            write!(out, "{{{}}}", members.join(", "))
        }
        Kind::Path => write!(out, "re{operand}"),
        Kind::Mask => write!(out, "{}", mask(operand as u8)),
        Kind::Span => {
            let span = draft.spans.get(operand as usize).copied().unwrap_or_default();
            write!(out, "now-{span}")
        }
        Kind::Instant => {
            write!(
                out,
                "{}",
                instant(draft.instants.get(operand as usize).copied().unwrap_or(Timestamp::MIN))
            )
        }
        Kind::Rule => write!(out, "rules[{}]", operand.wrapping_sub(first_rule)),
    };
}

/// A status mask as a set of words.
pub(crate) fn mask(mask: u8) -> String {
    let words: Vec<&str> = ScanStatus::ALL
        .into_iter()
        .filter(|status| mask & status.bit() != 0)
        .map(ScanStatus::word)
        .collect();
    format!("{{{}}}", words.join(", "))
}

/// RFC 3339 where that can say it, else seconds and nanoseconds since the epoch.
fn instant(time: Timestamp) -> String {
    let (year, _, _) = time::civil(time.secs.div_euclid(86_400));
    if (0..=9_999).contains(&year) {
        time.to_string()
    } else {
        format!("@{}.{:09}", time.secs, time.nanos)
    }
}

/// One instruction as the listing prints it, without address, note and branch: for traces.
pub fn instruction(program: &Program, pc: u32) -> String {
    let Some(inst) = program.draft.code.get(pc as usize) else { return String::new() };
    let rule = match inst.op {
        Op::Allow | Op::Reject => program.derived.rules.get(inst.a as usize),
        _ => None,
    };
    let first = rule.map_or(0, |row| program.rules_of(row.policy).start);
    let operands = operands(program, inst, first);
    format!("{:<16} {operands}", inst.op.row().mnemonic).trim_end().to_owned()
}
