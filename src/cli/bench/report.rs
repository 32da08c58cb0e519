//! What is said of the figures: warnings first, then a table or JSON.

use std::fmt::Write;

use caapc_vm::program::RuleId;
use serde_json::{Value, json};

use super::Figures;
use super::samples::Samples;
use crate::cli::io::{Failure, shown, tell};
use crate::cli::offline::Court;
use crate::cli::offline::objects::Item;

/// Says on standard error what is not measured, and what makes figures mean less than they seem to.
pub(super) fn warn(figures: &Figures, court: &Court) {
    let survey = &figures.survey;
    // Of many objects with one reason the first is named.
    let mut told: Vec<(&str, &Item, usize)> = Vec::new();
    for (item, why) in &survey.others {
        match told.iter_mut().find(|(known, ..)| known == why) {
            Some((_, _, count)) => *count += 1,
            None => told.push((why, item, 1)),
        }
    }
    for (why, first, count) in told {
        let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        tell(format_args!("caapc: not measured: {}{others}: {}", named(first), shown(why)));
    }
    if survey.items.is_empty() {
        return;
    }
    if survey.with_rules == 0 {
        tell(format_args!(
            "caapc: warning: no rule applies to any of these objects, so the figures are of \
             deciding nothing; do the labels of objects and namespaces (`--namespaces`) match the \
             selectors?"
        ));
    }
    let program = court.snapshot().policies.program();
    let rules = (0..figures.rules as u32).filter_map(|rule| program.rule(RuleId(rule)));
    let asks = rules.into_iter().any(|rule| rule.statuses().is_some() || rule.age().is_some());
    if asks && survey.scanned == 0 {
        tell(format_args!(
            "caapc: warning: rules ask for scans, and no image has one; name them with `--scans` \
             or `--scan`"
        ));
    }
}

fn named(item: &Item) -> String {
    let slash = if item.namespace.is_empty() { "" } else { "/" };
    let (kind, namespace) = (shown(&item.kind), shown(&item.namespace));
    format!("{kind} {namespace}{slash}{} ({})", shown(&item.name), shown(&item.source))
}

/// The timings, by the name of their row and their key.
fn timings(figures: &Figures) -> [(&'static str, &'static str, &Samples); 4] {
    let compile = if figures.read_back { "program, read back" } else { "compile, all policies" };
    [
        (compile, "compile", &figures.compile),
        ("select, a request", "select", &figures.select),
        ("verdict, an image", "verdict", &figures.verdict),
        ("handler, a review", "handler", &figures.handler),
    ]
}

/// For people.
///
/// # Errors
/// None that a user can meet; the table is laid out in memory.
pub(super) fn text(figures: &Figures) -> Result<String, Failure> {
    let survey = &figures.survey;
    let objects = survey.items.len();
    let rows = [
        (
            "policies",
            format!(
                "{} with {}; of {}, rules apply to {}",
                figures.policies,
                counted(figures.rules, "rule"),
                counted(objects, "object"),
                survey.with_rules
            ),
        ),
        ("objects", format!("{} allowed, {} rejected", objects - survey.rejected, survey.rejected)),
        ("images", format!("{}, of which {} are scanned", survey.images, survey.scanned)),
        (
            "program",
            format!(
                "{}, {}, at most {} for an image",
                counted(figures.program_bytes, "byte"),
                counted(figures.instructions, "instruction"),
                figures.longest_path
            ),
        ),
        ("allocations", format!("{} a request", figures.allocations)),
    ];
    let mut text = String::new();
    for (name, what) in rows {
        let _ = writeln!(text, "{name:<22} {what}");
    }
    let _ = writeln!(
        text,
        "\n{:<22} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "TIME", "MIN", "P50", "P99", "P99.9", "SAMPLES"
    );
    for (name, _, samples) in timings(figures) {
        let [min, p50, p99, p999] = samples.quantiles();
        let count = samples.count();
        let rare = |needed, nanos| if count < needed { "-".to_owned() } else { time(nanos) };
        let (p99, p999) = (rare(100, p99), rare(1_000, p999));
        let (min, p50) = (time(min), time(p50));
        let _ = writeln!(text, "{name:<22} {min:>9} {p50:>9} {p99:>9} {p999:>9} {count:>9}");
    }
    if let (true, Some(item)) = (objects > 1, survey.items.get(figures.slowest.0)) {
        let median = time(figures.slowest.1);
        let _ = writeln!(text, "\nslowest                {}: {median}", named(item));
    }
    Ok(text)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Nanoseconds in three digits and a unit that suits them.
fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "us"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// For programs. Keys that end in `_ns` and `_ms` say the unit.
pub(super) fn json(figures: &Figures) -> Value {
    let survey = &figures.survey;
    // `unit` is 1 for nanoseconds, 1e-6 for milliseconds.
    let timing = |samples: &Samples, unit: f64| {
        let step = if unit < 1.0 { 1e4 } else { 10.0 };
        let rounded = |nanos: f64| (nanos * unit * step).round() / step;
        let [min, p50, p99, p999] = samples.quantiles().map(rounded);
        json!({"min": min, "p50": p50, "p99": p99, "p999": p999})
    };
    let samples =
        timings(figures).map(|(_, key, samples)| (key.to_owned(), samples.count().into()));
    let slowest = survey.items.get(figures.slowest.0).map(|item| {
        json!({
            "source": item.source, "kind": item.kind, "namespace": item.namespace,
            "name": item.name, "handler_ns": figures.slowest.1.round(),
        })
    });
    json!({
        "compile_ms": timing(&figures.compile, 1e-6),
        "program_bytes": figures.program_bytes,
        "instructions": figures.instructions,
        "longest_path": figures.longest_path,
        "select_ns": timing(&figures.select, 1.0),
        "verdict_ns": timing(&figures.verdict, 1.0),
        "handler_ns": timing(&figures.handler, 1.0),
        "allocations_per_request": figures.allocations,
        "samples": serde_json::Map::from_iter(samples),
        "slowest": slowest,
        "policies": figures.policies,
        "rules": figures.rules,
        "objects": survey.items.len(),
        "objects_with_rules": survey.with_rules,
        "objects_rejected": survey.rejected,
        "objects_not_measured": survey.others.len(),
        "images": survey.images,
        "images_scanned": survey.scanned,
        "version": env!("CARGO_PKG_VERSION"),
        "release_build": !cfg!(debug_assertions),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let cases = [(0.0, "0.00 ns"), (412.4, "412 ns"), (34_300.0, "34.3 us"), (1.4e9, "1.40 s")];
        for (nanos, text) in cases {
            assert_eq!(time(nanos), text);
        }
    }
}
