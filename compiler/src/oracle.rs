//! The plain evaluator: what "right" means.
//!
//! It walks the policies as they were written, with the slow matcher and chrono's calendar, and
//! shares nothing with the machine but the facts. Golden cases and property tests hold the
//! compiler and the machine against it; nothing else uses it. Start at [`Oracle::decide`].

use std::cmp::Ordering;

use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};
use caapc_vm::program::Action;
use caapc_vm::time::Span;
use chrono::{DateTime, Datelike, Days, NaiveDate, Timelike};

use crate::link::compare_order;
use crate::pattern::parse;
use crate::pattern::plain::Plain;
use crate::policy::{AgeCriterion, Bound, Comparison, Entry, Membership, Rule};
use crate::selector::Selector;

/// What the policies say of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'p> {
    /// No rule matched.
    Pass,
    /// This rule of this policy decided.
    Decided {
        /// The policy's name.
        policy: &'p str,
        /// The rule's place in it, from zero.
        rule: u32,
        /// What the rule does.
        action: Action,
    },
}

/// Policies, ready to be asked plainly.
pub struct Oracle<'p> {
    /// In the order in which they are asked, each rule with its patterns made searchable.
    entries: Vec<(&'p Entry, Vec<Vec<Plain>>)>,
}

impl<'p> Oracle<'p> {
    /// Sorts the policies and makes their patterns searchable.
    ///
    /// # Errors
    /// A pattern the slow matcher cannot take.
    pub fn new(entries: &'p [Entry]) -> Result<Self, String> {
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        sorted.sort_by(|one, other| asked_before(one, other));
        let mut ready = Vec::new();
        for entry in sorted {
            let rules = match entry {
                Entry::Broken(_) => &[][..],
                Entry::Policy(policy) => &policy.rules,
            };
            let mut patterns = Vec::new();
            for rule in rules {
                let values = rule.image_path.iter().flat_map(|path| path.values.iter());
                let plain: Result<Vec<Plain>, _> = values.map(|value| plain(value.text)).collect();
                patterns.push(plain?);
            }
            ready.push((entry, patterns));
        }
        Ok(Self { entries: ready })
    }

    /// The first matching rule in order decides (spec: policy, "Evaluation").
    pub fn decide(&self, facts: &RequestFacts<'_>, image: &ImageFacts<'_>) -> Outcome<'p> {
        for (entry, patterns) in &self.entries {
            match entry {
                Entry::Broken(broken) => {
                    let applies = match (&broken.selector, &broken.namespace_selector) {
                        (Some(selector), Some(namespace)) => applies(selector, namespace, facts),
                        _ => true,
                    };
                    if applies {
                        return Outcome::Decided {
                            policy: &broken.name,
                            rule: 0,
                            action: Action::Reject,
                        };
                    }
                }
                Entry::Policy(policy) => {
                    if !applies(&policy.selector, &policy.namespace_selector, facts) {
                        continue;
                    }
                    let matching =
                        policy.rules.iter().zip(patterns).position(|(rule, patterns)| {
                            rule_matches(rule, patterns, facts, image)
                        });
                    if let Some(rule) = matching {
                        let action = policy.rules[rule].action;
                        return Outcome::Decided {
                            policy: &policy.name,
                            rule: rule as u32,
                            action,
                        };
                    }
                }
            }
        }
        Outcome::Pass
    }
}

fn asked_before(one: &Entry, other: &Entry) -> Ordering {
    let key = |entry: &Entry| match entry {
        Entry::Broken(broken) => (false, broken.order),
        Entry::Policy(policy) => (true, policy.order),
    };
    let ((valid, order), (other_valid, other_order)) = (key(one), key(other));
    valid
        .cmp(&other_valid)
        .then(compare_order(order, other_order))
        .then(one.name().as_bytes().cmp(other.name().as_bytes()))
}

fn applies(selector: &Selector, namespace_selector: &Selector, facts: &RequestFacts<'_>) -> bool {
    namespace_selector.matches(facts.namespace_labels) && selector.matches(facts.labels)
}

fn rule_matches(
    rule: &Rule,
    patterns: &[Plain],
    facts: &RequestFacts<'_>,
    image: &ImageFacts<'_>,
) -> bool {
    let Rule { action, image_path, image_scan_status, image_last_scan } = rule;
    let path = image_path.as_ref().is_none_or(|path| {
        let holds = |text: &str| {
            let some = patterns.iter().any(|pattern| pattern.is_match(text));
            some == (path.operator == Membership::IsOneOf)
        };
        match (image.canonical, action) {
            (None, _) => holds(image.path),
            (Some(canonical), Action::Reject) => holds(image.path) || holds(canonical),
            (Some(canonical), Action::Allow) => holds(image.path) && holds(canonical),
        }
    });
    let status = image_scan_status.as_ref().is_none_or(|status| {
        let some =
            status.values.iter().any(|word| ScanStatus::from_word(word) == Some(image.status));
        some == (status.operator == Membership::IsOneOf)
    });
    path && status && image_last_scan.is_none_or(|age| age_matches(age, facts, image.last_scan))
}

fn age_matches(age: AgeCriterion, facts: &RequestFacts<'_>, scan: Option<Timestamp>) -> bool {
    let bound = match age.bound {
        Bound::At(time) => Some(time),
        Bound::Span(span) => go_add_date(facts.now, span),
    };
    let after_bound = |scan| bound.is_none_or(|bound| scan > bound);
    let latest = facts.now.plus_secs(i64::from(facts.skew_secs));
    match (age.operator, age.bound, scan) {
        (Comparison::Gt, _, None) => false,
        (Comparison::Lt, _, None) => true,
        (Comparison::Gt, Bound::At(_), Some(scan)) => after_bound(scan),
        (Comparison::Gt, Bound::Span(_), Some(scan)) => after_bound(scan) && scan <= latest,
        (Comparison::Lt, _, Some(scan)) => bound.is_some_and(|bound| scan < bound),
    }
}

/// Go's `now.AddDate(-years, -months, -days)` by chrono's calendar: the first of the month that
/// the subtraction names, then days on and back. `None` is minus infinity.
fn go_add_date(now: Timestamp, span: Span) -> Option<Timestamp> {
    let time = DateTime::from_timestamp(now.secs, now.nanos)?;
    let months = i64::from(time.year()) * 12 + i64::from(time.month0())
        - i64::from(span.years) * 12
        - i64::from(span.months);
    let year = i32::try_from(months.div_euclid(12)).ok()?;
    let first = NaiveDate::from_ymd_opt(year, months.rem_euclid(12) as u32 + 1, 1)?;
    let day = first
        .checked_add_days(Days::new(u64::from(time.day0())))?
        .checked_sub_days(Days::new(u64::from(span.days)))?;
    if day.year() < 1 {
        return None;
    }
    let bound = day.and_hms_opt(time.hour(), time.minute(), time.second())?.and_utc();
    Some(Timestamp { secs: bound.timestamp(), nanos: now.nanos })
}

fn plain(pattern: &str) -> Result<Plain, String> {
    let hir = parse(pattern).map_err(|error| error.to_string())?;
    Plain::new(&hir).map_err(|error| error.to_string())
}
