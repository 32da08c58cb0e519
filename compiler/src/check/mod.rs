//! Reads policy text: every policy in it, checked, and everything that is wrong with each.
//!
//! All faults of a text are found at once. A policy with a fault becomes a [`Broken`] entry with
//! whatever of it could be read, so that it is never mistaken for one that is not there
//! (spec: policy, "A policy that does not compile"). Meaning is not here: `lower` and `oracle`
//! have it. Start at [`read`].

mod fields;
mod object;
mod report;
mod rule;
mod spec;

use std::collections::HashMap;
use std::rc::Rc;

use crate::automata::{self, Shape};
use crate::diagnostic::{Diagnostic, codes};
use crate::pattern::PatternError;
use crate::pattern::lint::{PatternLint, parse_and_lint};
use crate::policy::{Broken, Entry};
use crate::selector::{self, Selector, SelectorError};
use crate::yaml::{self, Fault, FaultKind};

pub(crate) use report::{Path, Report};

/// Upper bounds for the text of policies (spec: policy, "Object"). Each is far above any real
/// policy, and named in its diagnostic.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Policies in one reading.
    pub policies_max: usize,
    /// Rules of one policy.
    pub rules_max: usize,
    /// Values of one criterion.
    pub values_max: usize,
    /// Bytes of one value: a pattern or a status.
    pub value_bytes_max: usize,
    /// `duration.years`.
    pub years_max: u32,
    /// `duration.months`.
    pub months_max: u32,
    /// `duration.days`.
    pub days_max: u32,
    /// Errors kept for one text, and as many warnings; more are only counted.
    pub diagnostics_max: usize,
    /// Of the YAML or JSON itself.
    pub yaml: yaml::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            policies_max: 100_000,
            rules_max: 1_000,
            values_max: 1_000,
            value_bytes_max: 4 << 10,
            years_max: 10_000,
            months_max: 120_000,
            days_max: 3_660_000,
            diagnostics_max: 1_000,
            yaml: yaml::Limits::default(),
        }
    }
}

/// What a text holds.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The policies, in the order of the text.
    pub entries: Vec<Entry>,
    /// Errors and warnings, in the order of the text; of each, as many as the limit allows.
    pub diagnostics: Vec<Diagnostic>,
    /// How many errors there are, those above the limit among them.
    pub errors: usize,
    /// How many warnings there are, likewise.
    pub warnings: usize,
    /// Objects of other kinds, which are not looked at.
    pub other_objects: usize,
}

impl Reading {
    /// Whether anything in the text keeps a policy from compiling.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many findings are not among the diagnostics, because there are too many.
    pub fn not_shown(&self) -> usize {
        (self.errors + self.warnings).saturating_sub(self.diagnostics.len())
    }
}

/// Reads one text. `name` is what the user calls it.
///
/// ```
/// use caapc_compiler::check::{Limits, read};
///
/// let text = "apiVersion: containersecurity.tigera.io/v1beta1
/// kind: ContainerAdmissionPolicy
/// metadata: {name: reject-all}
/// spec: {rules: [{action: Rejekt}]}
/// ";
/// let reading = read("policy.yaml", text, &Limits::default());
/// assert_eq!(
///     reading.diagnostics[0].to_string(),
///     "policy.yaml:4:25: error[CAP017]: spec.rules[0].action: unknown action `Rejekt`; \
///      expected one of `Allow`, `Reject`; did you mean `Reject`?"
/// );
/// ```
pub fn read(name: &str, text: &str, limits: &Limits) -> Reading {
    Reader::new(*limits).read(name, text)
}

/// Reads an object that came as JSON, such as one from the API server. Places are those of the
/// object written on one line.
pub fn read_json(name: &str, object: &serde_json::Value, limits: &Limits) -> Reading {
    let text = object.to_string();
    // JSON strings may hold characters that YAML wants escaped; elsewhere JSON has none of them.
    let raw =
        |char: char| matches!(char, '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if !text.contains(raw) {
        return read(name, &text, limits);
    }
    let mut escaped = String::with_capacity(text.len() + 64);
    for char in text.chars() {
        if raw(char) {
            escaped.push_str(&format!("\\u{:04x}", char as u32));
        } else {
            escaped.push(char);
        }
    }
    read(name, &escaped, limits)
}

/// Reads several texts that belong together: a name that two of them give to a policy is a fault.
#[derive(Default)]
pub struct Reader {
    limits: Limits,
    /// Every policy's name, and where it was first given.
    names: HashMap<String, String>,
    /// PERF: most policies of a set share their selectors and patterns.
    selectors: HashMap<Box<str>, Result<Selector, SelectorError>>,
    patterns: HashMap<Box<str>, Result<PatternRead, PatternFault>>,
}

/// So many selectors are remembered, and so many patterns: what is written again stands near.
const REMEMBERED_MAX: usize = 1 << 10;

/// What is kept of a pattern.
#[derive(Clone)]
pub(crate) struct PatternRead {
    pub(crate) shape: Shape<Rc<[u8]>>,
    pub(crate) lints: Rc<[PatternLint]>,
}

/// Why a pattern cannot be used.
#[derive(Clone)]
pub(crate) enum PatternFault {
    /// Go refuses it, or it is over a limit of its own.
    Go(PatternError),
    /// Its automaton would be too big.
    Automaton(String),
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Reads the next text.
    pub fn read(&mut self, name: &str, text: &str) -> Reading {
        let mut report = Report::new(name, text, self.limits.diagnostics_max);
        let mut reading = Reading::default();
        for document in yaml::documents(text, &self.limits.yaml) {
            // An object is as broken as its text: its entry is told of these faults below.
            let since = report.watch();
            for fault in &document.faults {
                text_fault(fault, &mut report);
            }
            if let Some(root) = &document.root {
                let mut objects = object::Objects { reader: self, reading: &mut reading };
                objects.document(root, since, &document.faults, &mut report);
            }
        }
        finish(report, reading)
    }

    /// Forgets the names: what is read next may use them again.
    pub fn forget_names(&mut self) {
        self.names.clear();
    }

    pub(crate) fn selector(&mut self, text: &str) -> Result<Selector, SelectorError> {
        if let Some(known) = self.selectors.get(text) {
            return known.clone();
        }
        let parsed = selector::parse(text);
        if self.selectors.len() == REMEMBERED_MAX {
            self.selectors.clear();
        }
        self.selectors.insert(text.into(), parsed.clone());
        parsed
    }

    pub(crate) fn pattern(&mut self, text: &str) -> Result<PatternRead, PatternFault> {
        if let Some(known) = self.patterns.get(text) {
            return known.clone();
        }
        let found = read_pattern(text);
        if self.patterns.len() == REMEMBERED_MAX {
            self.patterns.clear();
        }
        self.patterns.insert(text.into(), found.clone());
        found
    }
}

fn read_pattern(text: &str) -> Result<PatternRead, PatternFault> {
    let (hir, lints) = parse_and_lint(text).map_err(PatternFault::Go)?;
    let shape = automata::shape(&hir, &automata::Limits::default())
        .map_err(|why| PatternFault::Automaton(why.to_string()))?;
    Ok(PatternRead { shape: shape.shared(), lints: lints.into() })
}

fn text_fault(fault: &Fault, report: &mut Report<'_>) {
    let Fault { kind, span, message, help } = fault;
    let code = match kind {
        FaultKind::Syntax => codes::SYNTAX,
        FaultKind::Limit => codes::LIMIT,
        FaultKind::DuplicateKey => codes::DUPLICATE_KEY,
        FaultKind::Unsupported => codes::UNSUPPORTED_YAML,
    };
    let finding = report.find(code, *span, &Path::Root, message.as_str());
    if let Some(help) = help {
        finding.help(help.as_str());
    }
}

fn finish(report: Report<'_>, mut reading: Reading) -> Reading {
    let Report { diagnostics, errors, warnings, .. } = report;
    reading.diagnostics = diagnostics;
    reading.diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    reading.errors = errors;
    reading.warnings = warnings;
    reading
}

/// What is known of a policy that does not compile.
pub(crate) struct Remains {
    pub(crate) name: String,
    pub(crate) order: Option<f64>,
    pub(crate) selector: Option<Selector>,
    pub(crate) namespace_selector: Option<Selector>,
}

impl Remains {
    fn broken(self, fault: String, source: String) -> Broken {
        let Self { name, order, selector, namespace_selector } = self;
        Broken { name, order, selector, namespace_selector, fault, source }
    }
}

#[cfg(test)]
mod tests;
