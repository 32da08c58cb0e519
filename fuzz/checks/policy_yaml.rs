//! What must hold of any bytes that are read as a file of policies.

use caapc_compiler::check::{self, Limits, Reading};
use caapc_compiler::diagnostic::Style;
use caapc_compiler::policy::Entry;
use caapc_compiler::yaml;

/// Panics if a promise of the reader is broken.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = Limits::default();
    let reading = check::read("fuzz.yaml", text, &limits);
    for found in &reading.diagnostics {
        assert!(text.get(found.span.clone()).is_some(), "the span splits a character: {found:?}");
        assert!(found.start <= found.end, "{found:?}");
        let shown = found.render(text, Style::Plain);
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        assert!(shown.len() < 16 << 10, "{} bytes are shown", shown.len());
        assert!(!found.to_string().contains(char::is_control), "{found}");
    }
    let broken = reading.entries.iter().filter(|entry| matches!(entry, Entry::Broken(_))).count();
    assert!(broken == 0 || reading.has_errors(), "broken without an error");
    means_the_same_as_json(text, &reading, &limits);
}

/// A document without faults means what it means when it is written as JSON.
fn means_the_same_as_json(text: &str, reading: &Reading, limits: &Limits) {
    let mut documents = yaml::documents(text, &limits.yaml);
    let (Some(only), None) = (documents.next(), documents.next()) else { return };
    let Some(root) = only.root.filter(|_| only.faults.is_empty()) else { return };
    let again = check::read_json("fuzz.json", &yaml::to_json(&root), limits);
    assert_eq!(summary(&again), summary(reading), "{text:?}");
}

fn summary(reading: &Reading) -> (usize, usize, usize, Vec<(bool, Option<u64>)>) {
    let entry = |entry: &Entry| match entry {
        Entry::Policy(policy) => (true, policy.order.map(f64::to_bits)),
        Entry::Broken(broken) => (false, broken.order.map(f64::to_bits)),
    };
    let entries = reading.entries.iter().map(entry).collect();
    (reading.errors, reading.warnings, reading.other_objects, entries)
}
