//! What must hold of any bytes that are read as a file of policies.

use std::sync::Arc;

use caapc_compiler::check::{self, Limits};
use caapc_compiler::diagnostic::Style;
use caapc_compiler::link::Linker;

use super::machine;

/// Panics if a promise of the compiler is broken.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let reading = check::read("policy.yaml", text, &Limits::default());
    for finding in &reading.diagnostics {
        assert!(text.get(finding.span.clone()).is_some(), "the span splits a character");
        assert!(finding.start.line >= 1 && finding.start.column >= 1);
        let line = finding.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
        let report = finding.render(text, Style::Plain);
        assert!(!report.contains(|c: char| c.is_control() && c != '\n'), "{report:?}");
    }
    let units: Vec<_> =
        reading.entries.iter().map(|entry| Arc::new(caapc_compiler::compile(entry))).collect();
    let Ok(program) = Linker::new().link(&units) else { return };
    assert_eq!(program.policy_count(), units.len());
    machine::check(&program);
}
