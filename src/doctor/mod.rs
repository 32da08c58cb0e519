//! What is wrong with an installation, and what to do about it.
//!
//! Looking and judging are apart: [`facts`] reads a cluster or files, the checks are pure functions
//! over [`Facts`], a few lines each, so that every one of them is tested without a cluster. A check
//! says nothing about what it could not see. Codes are stable; docs/doctor.md explains each.
//! Start at [`examine`].

mod access;
mod certificates;
pub mod facts;
mod lockout;
mod matching;
mod policies;
mod webhook;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use facts::Facts;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is not enforced, can be stepped around, or can lock the cluster out.
    Error,
    /// It works, and should not stay so.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, for scripts.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Kind and name of what it is about.
    pub object: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    fn new(
        code: &'static str,
        severity: Severity,
        object: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (object, message, fix) = (object.into(), message.into(), fix.into());
        Self { code, severity, object, message, fix }
    }
}

/// A check: facts in, findings out.
type Check = fn(&Facts) -> Vec<Finding>;

/// Every check, in the order in which one would look.
const CHECKS: &[Check] = &[
    webhook::presence,
    webhook::definitions,
    webhook::what_is_sent,
    webhook::ways_around,
    webhook::protocol,
    webhook::failure,
    lockout::covered,
    lockout::guard,
    lockout::reachable,
    lockout::replicas,
    certificates::bundle,
    certificates::serving,
    policies::broken,
    policies::never_fire,
    policies::scan_source,
    access::writers,
    access::reports,
];

/// Runs every check; the worst findings first, in a stable order.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = CHECKS.iter().flat_map(|check| check(facts)).collect();
    found.sort_by(|a, b| {
        (a.severity, a.code, &a.object, &a.message)
            .cmp(&(b.severity, b.code, &b.object, &b.message))
    });
    found.dedup();
    found
}

/// Names in a sentence, at most eight of them.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("{shown} and {} more", names.len() - 8) } else { shown }
}
