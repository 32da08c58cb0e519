//! A program: the pools and the code of a whole set of policies, as data.
//!
//! A [`Draft`] may say anything; [`crate::verify::verify`] is the only door from it to a
//! [`Program`] (INVARIANT (one door)), and what verification learns on the way is kept in
//! [`Derived`], never stored in the file. Start at [`Program`].

use std::sync::Arc;

use crate::facts::Timestamp;
use crate::isa::{INST_BYTES, Inst, Op};
use crate::matcher::Matcher;
use crate::pools::{Lists, Strings, TABLE_ROWS_MAX};
use crate::texts::Texts;
use crate::time::Span;
use crate::verify;
use crate::wire::{Fault, Reader, Writer};

/// The first bytes of every program file.
pub const MAGIC: &[u8; 8] = b"caapcPG1";

/// One policy of a set. Its `select` code runs up to `rules`, its rules up to the next policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRow {
    /// Its name, in `texts`.
    pub name: u32,
    /// Its order; `None` sorts last.
    pub order: Option<f64>,
    /// Its two selectors in canonical form, for people, in `texts`.
    pub selectors: u32,
    /// If it does not compile: why, in `texts`. It then rejects what it selects.
    pub broken: Option<u32>,
    /// Where its selection begins.
    pub select: u32,
    /// Where its rules begin.
    pub rules: u32,
}

/// Everything a program says, not verified yet.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Label keys, values and pieces of values; no string twice.
    pub labels: Strings,
    /// Sets of label values: numbers in `labels`, rising.
    pub sets: Lists,
    /// Calendar spans; none twice.
    pub spans: Vec<Span>,
    /// Fixed points in time; none twice.
    pub instants: Vec<Timestamp>,
    /// Names, patterns and notes.
    pub texts: Texts,
    /// The patterns of each rule that has some, rule by rule: numbers in `texts`.
    pub paths: Lists,
    /// The policies in the order in which they are asked.
    pub policies: Vec<PolicyRow>,
    /// `linked`, then for each policy its selection and its rules.
    pub code: Vec<Inst>,
    /// Finds the rules whose patterns match; its hits are rules numbered over all policies.
    pub matcher: Arc<Matcher>,
}

impl Draft {
    /// Gives back the room that was kept for more: a program lives long.
    pub fn shrink_to_fit(&mut self) {
        self.labels.shrink_to_fit();
        self.sets.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.paths.shrink_to_fit();
        self.policies.shrink_to_fit();
        self.code.shrink_to_fit();
    }
}

/// Whether a rule admits or rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The image is admitted.
    Allow,
    /// The image is rejected.
    Reject,
}

/// A rule, numbered over all policies in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// A policy, numbered in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(pub u32);

/// What a rule's block says, read from its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleRow {
    /// The policy it belongs to.
    pub policy: PolicyId,
    /// Where its block begins.
    pub block: u32,
    /// What it does.
    pub action: Action,
    /// Its patterns, and whether it asks that none matches.
    pub path: Option<(u32, bool)>,
    /// Its status mask as written, and whether it asks for none of it.
    pub status: Option<(u8, bool)>,
    /// Its age test.
    pub age: Option<(Op, u32)>,
    /// Whether `first` has to ask for its age, since no `keep` did.
    pub late: bool,
}

impl RuleRow {
    /// The statuses with which it can match.
    pub fn statuses(&self) -> u8 {
        match self.status {
            None => 0xf,
            Some((mask, none_of)) => {
                if none_of {
                    !mask & 0xf
                } else {
                    mask
                }
            }
        }
    }
}

/// One `keep` of `linked`, and the rules that it drops when its test does not hold, as bits.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    pub(crate) test: Op,
    pub(crate) operand: u32,
    pub(crate) rules: Box<[u64]>,
}

/// What verification learned; rebuilt with every program, never stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Derived {
    /// Distinguishes programs in one process, so that scratch of another is noticed.
    pub(crate) id: u64,
    pub(crate) linked_end: usize,
    pub(crate) rules: Vec<RuleRow>,
    /// The first rule of each policy, and one more for the end.
    pub(crate) first_rules: Vec<u32>,
    /// A set bit turns "marked" into "not marked": `IsNoneOf`, or no `imagePath`.
    pub(crate) flips: Vec<u64>,
    pub(crate) rejects: Vec<u64>,
    pub(crate) status: [Vec<u64>; 4],
    /// Whether some rule has patterns.
    pub(crate) has_paths: bool,
    /// The `keep`s on age of `linked`, in its order.
    pub(crate) keeps: Vec<Keep>,
    pub(crate) index: crate::index::Index,
    pub(crate) longest_select: usize,
    pub(crate) longest_rules: usize,
}

/// A verified set of policies, immutable; made only by [`verify::verify`].
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) draft: Draft,
    pub(crate) derived: Derived,
}

/// What is said of a rule in answers.
#[derive(Clone, Copy)]
pub struct RuleInfo<'p> {
    program: &'p Program,
    row: RuleRow,
    /// The name of its policy.
    pub policy: &'p str,
    /// Its place in its policy, from zero.
    pub index: u32,
    /// What it does.
    pub action: Action,
    /// If its policy does not compile: why.
    pub broken: Option<&'p str>,
}

impl<'p> RuleInfo<'p> {
    /// Its patterns, and whether it asks that none matches.
    pub fn patterns(&self) -> Option<(bool, impl Iterator<Item = &'p str> + use<'p>)> {
        let program = self.program;
        self.row.path.map(|(path, none_of)| {
            let texts = program.draft.paths.at(path);
            (none_of, texts.iter().map(|&text| program.draft.texts.at(text)))
        })
    }

    /// Its statuses as written, and whether it asks for none of them.
    pub fn statuses(&self) -> Option<(u8, bool)> {
        self.row.status
    }

    /// Its age test: `gt` or `lt`, and the bound as written.
    pub fn age(&self) -> Option<(&'static str, Age)> {
        let (op, operand) = self.row.age?;
        let draft = &self.program.draft;
        Some(match op {
            Op::ScanAfter => ("gt", Age::Span(draft.spans.get(operand as usize).copied()?)),
            Op::ScanBefore => ("lt", Age::Span(draft.spans.get(operand as usize).copied()?)),
            Op::ScanSince => ("gt", Age::At(draft.instants.get(operand as usize).copied()?)),
            _ => ("lt", Age::At(draft.instants.get(operand as usize).copied()?)),
        })
    }

    /// The first instruction of its block.
    pub fn block(&self) -> u32 {
        self.row.block
    }
}

/// The bound of an age criterion as a policy gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// A duration before now.
    Span(Span),
    /// A fixed point in time.
    At(Timestamp),
}

impl std::fmt::Debug for RuleInfo<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rule {}: {self}", self.policy, self.index)
    }
}

impl std::fmt::Display for RuleInfo<'_> {
    /// The criteria, as a policy's author thinks of them: `imageScanStatus IsOneOf Pass, Warn`.
    /// Patterns are escaped; in the alternate form (`{:#}`) those of printable ASCII stand in
    /// backticks as they were written.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut and = "";
        if let Some((none_of, patterns)) = self.patterns() {
            f.write_str("imagePath ")?;
            f.write_str(membership(none_of))?;
            for (nth, pattern) in patterns.enumerate() {
                f.write_str(if nth == 0 { " " } else { ", " })?;
                let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'`';
                if f.alternate() && pattern.bytes().all(plain) {
                    ["`", pattern, "`"].into_iter().try_for_each(|part| f.write_str(part))?;
                } else {
                    std::fmt::Debug::fmt(pattern, f)?;
                }
            }
            and = " and ";
        }
        if let Some((mask, none_of)) = self.statuses() {
            f.write_str(and)?;
            f.write_str("imageScanStatus ")?;
            f.write_str(membership(none_of))?;
            let words =
                crate::facts::ScanStatus::ALL.into_iter().filter(|status| mask & status.bit() != 0);
            for (nth, status) in words.enumerate() {
                f.write_str(if nth == 0 { " " } else { ", " })?;
                f.write_str(status.word())?;
            }
            and = " and ";
        }
        match self.age() {
            Some((comparison, Age::Span(span))) => {
                write!(f, "{and}imageLastScan {comparison} {span}")
            }
            Some((comparison, Age::At(time))) => {
                write!(f, "{and}imageLastScan {comparison} {time}")
            }
            None if and.is_empty() => f.write_str("every image"),
            None => Ok(()),
        }
    }
}

fn membership(none_of: bool) -> &'static str {
    if none_of { "IsNoneOf" } else { "IsOneOf" }
}

impl Program {
    /// The program of no policies: every image passes.
    pub fn empty() -> Self {
        let draft = Draft { code: vec![Inst::plain(Op::First, 0)], ..Draft::default() };
        let derived = Derived { linked_end: 1, first_rules: vec![0], ..Derived::default() };
        Self { draft, derived }
    }

    /// What was verified.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// How many policies there are.
    pub fn policy_count(&self) -> usize {
        self.draft.policies.len()
    }

    /// How many rules there are over all policies.
    pub fn rule_count(&self) -> usize {
        self.derived.rules.len()
    }

    /// The name of a policy; empty for a number outside the program.
    pub fn policy_name(&self, policy: PolicyId) -> &str {
        self.draft.policies.get(policy.0 as usize).map_or("", |row| self.draft.texts.at(row.name))
    }

    /// The rules of a policy, as a range of rule numbers.
    pub fn rules_of(&self, policy: PolicyId) -> std::ops::Range<u32> {
        let at = |number: usize| self.derived.first_rules.get(number).copied().unwrap_or(0);
        at(policy.0 as usize)..at(policy.0 as usize + 1)
    }

    /// What is said of a rule.
    ///
    /// # Panics
    /// Never for a rule that a verdict of this program named.
    pub fn rule(&self, rule: RuleId) -> Option<RuleInfo<'_>> {
        let row = *self.derived.rules.get(rule.0 as usize)?;
        let policy = self.draft.policies.get(row.policy.0 as usize)?;
        Some(RuleInfo {
            program: self,
            row,
            policy: self.draft.texts.at(policy.name),
            index: rule.0 - self.rules_of(row.policy).start,
            action: row.action,
            broken: policy.broken.map(|text| self.draft.texts.at(text)),
        })
    }

    /// The most instructions one policy's selection can take.
    pub fn longest_select(&self) -> usize {
        self.derived.longest_select
    }

    /// The most instructions one image can take, all policies together.
    pub fn longest_linked(&self) -> usize {
        self.derived.linked_end
    }

    /// The most instructions one image can take through one policy's own rules.
    pub fn longest_rules(&self) -> usize {
        self.derived.longest_rules
    }

    /// The program as bytes that [`Program::decode`] reads back.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        write(&self.draft, &mut out);
        let mut bytes = Vec::with_capacity(out.bytes.len() + 16);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&checksum(&out.bytes).to_le_bytes());
        bytes.append(&mut out.bytes);
        bytes
    }

    /// Reads a program back and verifies it.
    ///
    /// # Errors
    /// Says what is wrong with the bytes; they are never run.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut from = Reader::new(bytes);
        if from.take(MAGIC.len(), "header")? != MAGIC {
            return Err(Fault::new("header", "this is not a program of this version of caapc"));
        }
        let sum = from.u64("header")?;
        let rest = from.left();
        let body = from.take(rest, "body")?;
        // The sum finds accidents, not attacks: those are what verification is for.
        if checksum(body) != sum {
            return Err(Fault::new("header", "the checksum differs; the file is damaged"));
        }
        let mut from = Reader::new(body);
        let draft = read(&mut from)?;
        from.end()?;
        verify::verify(draft)
    }
}

/// FNV-1a with 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

const NO_TEXT: u32 = u32::MAX;

fn write(draft: &Draft, out: &mut Writer) {
    draft.labels.write(out);
    draft.sets.write(out);
    out.list(&draft.spans, |out, span| {
        out.u32(span.years);
        out.u32(span.months);
        out.u32(span.days);
    });
    out.list(&draft.instants, |out, time| {
        out.i64(time.secs);
        out.u32(time.nanos);
    });
    draft.texts.write(out);
    draft.paths.write(out);
    out.list(&draft.policies, |out, row| {
        out.u32(row.name);
        out.u8(u8::from(row.order.is_some()));
        out.u64(row.order.unwrap_or(0.0).to_bits());
        out.u32(row.selectors);
        out.u32(row.broken.unwrap_or(NO_TEXT));
        out.u32(row.select);
        out.u32(row.rules);
    });
    out.list(&draft.code, |out, inst| out.bytes.extend_from_slice(&inst.to_bytes()));
    draft.matcher.write(out);
}

fn read(from: &mut Reader<'_>) -> Result<Draft, Fault> {
    let labels = Strings::read(from, "labels")?;
    let sets = Lists::read(from, "sets")?;
    let spans = from.list("spans", TABLE_ROWS_MAX, |from| {
        let (years, months, days) = (from.u32("spans")?, from.u32("spans")?, from.u32("spans")?);
        Ok(Span { years, months, days })
    })?;
    let instants = from.list("instants", TABLE_ROWS_MAX, |from| {
        let (secs, nanos) = (from.i64("instants")?, from.u32("instants")?);
        if nanos > 999_999_999 {
            return Err(Fault::new("instants", "more than a second of nanoseconds"));
        }
        Ok(Timestamp { secs, nanos })
    })?;
    let texts = Texts::read(from, "texts")?;
    let paths = Lists::read(from, "paths")?;
    let policies = from.list("policies", TABLE_ROWS_MAX, read_policy)?;
    let code = from.list("code", TABLE_ROWS_MAX, read_inst)?;
    let matcher = Arc::new(Matcher::read(from, count_rules(&code))?);
    Ok(Draft { labels, sets, spans, instants, texts, paths, policies, code, matcher })
}

/// Every rule ends in one `allow` or `reject`; verification holds the code to it.
fn count_rules(code: &[Inst]) -> u32 {
    code.iter().filter(|inst| matches!(inst.op, Op::Allow | Op::Reject)).count() as u32
}

fn read_policy(from: &mut Reader<'_>) -> Result<PolicyRow, Fault> {
    const WHAT: &str = "policies";
    let name = from.u32(WHAT)?;
    let has_order = from.u8(WHAT)?;
    let order = f64::from_bits(from.u64(WHAT)?);
    let selectors = from.u32(WHAT)?;
    let broken = from.u32(WHAT)?;
    if has_order > 1 || !order.is_finite() {
        return Err(Fault::new(WHAT, "an order that is no number"));
    }
    Ok(PolicyRow {
        name,
        order: (has_order == 1).then_some(order),
        selectors,
        broken: (broken != NO_TEXT).then_some(broken),
        select: from.u32(WHAT)?,
        rules: from.u32(WHAT)?,
    })
}

fn read_inst(from: &mut Reader<'_>) -> Result<Inst, Fault> {
    const WHAT: &str = "code";
    let code = from.u8(WHAT)?;
    let op = Op::from_byte(code)
        .ok_or_else(|| Fault::new(WHAT, format!("no instruction has the code {code:02x}")))?;
    let sense = from.u8(WHAT)?;
    if sense > 1 || from.u16(WHAT)? != 0 {
        return Err(Fault::new(WHAT, "an instruction with bits that mean nothing"));
    }
    const _: () = assert!(INST_BYTES == 16);
    Ok(Inst { op, sense: sense == 1, a: from.u32(WHAT)?, b: from.u32(WHAT)?, to: from.u32(WHAT)? })
}
