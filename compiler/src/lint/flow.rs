//! Warnings about how the rules of a policy follow one another. Start at [`flow`].

use caapc_vm::program::Action;

use super::RulePlaces;
use crate::check::{Path, Report};
use crate::diagnostic::codes;
use crate::policy::{AgeCriterion, Comparison, Membership, PathCriterion, Rule};
use crate::yaml::Span;

pub(super) fn flow(
    rules: &[Rule],
    places: &[RulePlaces<'_>],
    spec: Span,
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    let last = rules.iter().position(is_catch_all);
    comparisons(rules, last, places, path, report);
    let Some(last) = last else {
        let span = places.last().map_or(spec, |places| places.whole);
        let message = if rules.is_empty() {
            "the policy has no rules, so it decides nothing"
        } else {
            "no rule matches every image"
        };
        // What is left of a list of rejections may well be meant to be allowed.
        let only_rejects = rules.iter().all(|rule| rule.action == Action::Reject);
        let help = match only_rejects && !rules.is_empty() {
            true => "end with a rule without criteria: `- action: Allow`, or `- action: Reject`",
            false => "end with a rule without criteria: `- action: Reject`",
        };
        report.find(codes::NO_CATCH_ALL, span, path, message).help(help).note(
            "an image that no rule matches goes on to the next policy, and is allowed if \
                 there is none",
        );
        return;
    };
    let Some(next) = places.get(last + 1) else { return };
    let behind = rules.len() - last - 1;
    let message = match behind {
        1 => format!("this rule is never reached: rules[{last}] matches every image"),
        2 => format!(
            "this rule and the one behind it are never reached: rules[{last}] matches every image"
        ),
        _ => format!(
            "this rule and the {} behind it are never reached: rules[{last}] matches every image",
            behind - 1
        ),
    };
    report
        .find(codes::UNREACHABLE_RULE, next.whole, &path.item(last + 1), message)
        .help("put it before that rule, or remove it");
}

/// `Allow lt; Reject` admits just what it was meant to keep out, and `Reject gt; Allow` the same.
///
/// Only where no earlier rule looks at the age: then, of the images that get here and meet the
/// rule's other criteria, exactly the stale ones and those never scanned are allowed.
fn comparisons(
    rules: &[Rule],
    last: Option<usize>,
    places: &[RulePlaces<'_>],
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    let Some(number) = rules.iter().position(|rule| rule.image_last_scan.is_some()) else { return };
    if last != Some(number + 1) {
        return;
    }
    let (rule, then, place) = (&rules[number], &rules[number + 1], &places[number]);
    let Some(AgeCriterion { operator, .. }) = rule.image_last_scan else { return };
    let (word, meant) = match (rule.action, operator, then.action) {
        (Action::Allow, Comparison::Lt, Action::Reject) => ("lt", "gt"),
        (Action::Reject, Comparison::Gt, Action::Allow) => ("gt", "lt"),
        _ => return,
    };
    let message = format!(
        "`{word}` lets through exactly the images whose last scan is older, or that were never \
         scanned"
    );
    let rule_path = path.item(number);
    let rule_path = rule_path.field("imageLastScan");
    report
        .find(codes::MISTAKEN_COMPARISON, place.comparison, &rule_path.field("operator"), message)
        .help(format!("write `{meant}`"))
        .note("`gt` is a scan after the bound, `lt` a scan before it or none");
}

/// Whether a rule matches every image, whatever the cluster.
fn is_catch_all(rule: &Rule) -> bool {
    let Rule { action: _, image_path, image_scan_status, image_last_scan } = rule;
    image_path.as_ref().is_none_or(|PathCriterion { operator, values }| match operator {
        Membership::IsOneOf => values.iter().any(|pattern| pattern.shape.is_always()),
        Membership::IsNoneOf => values.is_empty(),
    }) && image_scan_status.as_ref().is_none_or(|criterion| criterion.mask() == 0xf)
        && image_last_scan.is_none()
}
