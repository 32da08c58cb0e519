//! Reports: what the compiler says of policies that do not compile, and of those that do and
//! perhaps do not mean what was meant.
//!
//! The report is rendered as the command line renders it. Below the findings of a policy that does
//! not compile stands what is left of it, because that is what requests are held against.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Mutex;

use caapc_compiler::check::{self, Limits, Reading};
use caapc_compiler::diagnostic::codes::ALL;
use caapc_compiler::diagnostic::{Severity, Style};
use caapc_compiler::policy::{Broken, Entry};
use caapc_compiler::selector::Selector;

use crate::suite::{Case, Shape, Suite};

/// `golden/errors/`.
pub const ERRORS: Suite = Suite {
    name: "errors",
    folder: "golden/errors",
    beside: &[],
    shape: Shape::Tail { extension: "yaml", marker: "# --- report ---", expect: errors },
    together: Some(|| every_code_has_a_case(Severity::Error)),
};

/// `golden/lint/`.
pub const LINT: Suite = Suite {
    name: "lint",
    folder: "golden/lint",
    beside: &[],
    shape: Shape::Tail { extension: "yaml", marker: "# --- report ---", expect: warnings },
    together: Some(|| every_code_has_a_case(Severity::Warning)),
};

/// The codes that cases brought about so far.
static SEEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn errors(case: &Case) -> Result<String, String> {
    let reading = read(case);
    if !reading.has_errors() {
        return Err("this compiles; its place is in lint/ or compile/".into());
    }
    let mut report = findings(case, &reading);
    for entry in &reading.entries {
        if let Entry::Broken(Broken { name, order, selector, namespace_selector, fault, .. }) =
            entry
        {
            let or_all = |selector: &Option<Selector>| match selector {
                Some(selector) => selector.canonical(),
                None => "broken: everything".to_owned(),
            };
            let _ = writeln!(report, "left of {name}");
            let _ = writeln!(report, "  order              {order:?}");
            let _ = writeln!(report, "  selector           {}", or_all(selector));
            let _ = writeln!(report, "  namespaceSelector  {}", or_all(namespace_selector));
            let _ = writeln!(report, "  fault              {fault}");
        }
    }
    Ok(report)
}

fn warnings(case: &Case) -> Result<String, String> {
    let reading = read(case);
    if reading.has_errors() {
        return Err("this does not compile; its place is in errors/".into());
    }
    let report = findings(case, &reading);
    Ok(if report.is_empty() { "no findings\n".into() } else { report })
}

fn read(case: &Case) -> Reading {
    check::read(&case.shown_path(), &case.input, &Limits::default())
}

fn findings(case: &Case, reading: &Reading) -> String {
    let mut seen = SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    seen.extend(reading.diagnostics.iter().map(|finding| finding.code.id));
    let renderings = reading.diagnostics.iter().map(|one| one.render(&case.input, Style::Plain));
    renderings.collect::<Vec<_>>().join("\n")
}

fn every_code_has_a_case(severity: Severity) -> Result<(), String> {
    let seen = SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let missing: Vec<&str> = ALL
        .iter()
        .filter(|code| code.severity == severity && !seen.contains(code.id))
        .map(|code| code.id)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("no case brings about {}", missing.join(", ")))
}
