//! What the engines are told of the rules and the images, in plain values.

use crate::workload;

/// A rule of W10 or W100.
pub struct Rule {
    pub patterns: [String; 5],
    /// The statuses for which it holds.
    pub statuses: &'static [&'static str],
    /// It holds for images that were scanned after this moment.
    pub after_secs: i64,
}

pub const STATUS: &str = "Warn";
/// The sample's only pattern.
pub const SAMPLE_PATTERN: &str = "^gcr.io/company/production-repository/.*";

pub fn rules(policies: usize) -> Vec<Rule> {
    let rules = policies * 10;
    let rule = |rule| Rule {
        patterns: workload::patterns(rule, rules),
        statuses: if workload::wants_status(rule, rules, "Warn") {
            &["Pass", "Warn"]
        } else {
            &["Fail", "Unknown"]
        },
        after_secs: workload::NOW_SECS - i64::from(workload::days(rule, rules)) * 86_400,
    };
    (0..rules).map(rule).collect()
}

/// `"Pass", "Warn"`.
pub fn quoted(statuses: &[&str]) -> String {
    statuses.iter().map(|status| format!("\"{status}\"")).collect::<Vec<_>>().join(", ")
}
