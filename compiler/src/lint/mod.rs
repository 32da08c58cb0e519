//! Warnings: policies that compile and probably do not mean what was meant.
//!
//! A warning never changes a verdict. Each here can be proven from the policy alone, and says
//! why; what needs a guess about the cluster is not said. Patterns have their own
//! (`pattern::lint`). Start at [`policy`].

mod flow;

use std::rc::Rc;

use crate::check::{Path, Report};
use crate::diagnostic::{Code, codes, escape, one_of, quote};
use crate::pattern::lint::PatternLint;
use crate::policy::{AgeCriterion, Bound, Comparison, Membership, Policy, Rule, StatusCriterion};
use crate::selector::{Node as SelectorNode, Selector};
use crate::yaml::{Node, Span, Style};

/// Where the parts of a policy stand in its text.
#[derive(Default)]
pub(crate) struct Places<'t> {
    pub(crate) selector: Option<SelectorPlace>,
    pub(crate) namespace_selector: Option<SelectorPlace>,
    /// One for each rule.
    pub(crate) rules: Vec<RulePlaces<'t>>,
}

pub(crate) struct SelectorPlace {
    pub(crate) span: Span,
    /// The first `global(` of its text, which may be inside a string.
    pub(crate) global: Option<Span>,
}

#[derive(Default)]
pub(crate) struct RulePlaces<'t> {
    /// The rule's first key, which stands for the whole of it.
    pub(crate) whole: Span,
    /// `imagePath.values`.
    pub(crate) path_values: Span,
    /// Each of them, with what is to be said of it.
    pub(crate) patterns: Vec<(Node<'t>, Rc<[PatternLint]>)>,
    /// `imageScanStatus.values`.
    pub(crate) status_values: Span,
    /// Those that are no statuses: number and place.
    pub(crate) unknown_statuses: Vec<(usize, Span)>,
    /// `imageLastScan.operator`.
    pub(crate) comparison: Span,
    /// `imageLastScan.duration`.
    pub(crate) duration: Span,
    /// Criteria whose value is null.
    pub(crate) nulls: Vec<(&'static str, Span)>,
}

/// Looks through a policy. `spec` is its place, `path` its field path.
pub(crate) fn policy(
    policy: &Policy,
    places: &Places<'_>,
    spec: Span,
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    let Policy { selector, namespace_selector, rules, .. } = policy;
    global(selector, places.selector.as_ref(), &path.field("selector"), report);
    let namespace_path = path.field("namespaceSelector");
    global(namespace_selector, places.namespace_selector.as_ref(), &namespace_path, report);
    let rules_path = path.field("rules");
    for (number, (rule, places)) in rules.iter().zip(&places.rules).enumerate() {
        criteria(rule, places, &rules_path.item(number), report);
    }
    flow::flow(rules, &places.rules, spec, &rules_path, report);
}

fn global(
    selector: &Selector,
    place: Option<&SelectorPlace>,
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    fn within(node: &SelectorNode) -> bool {
        match node {
            SelectorNode::Global => true,
            SelectorNode::Not(operand) => within(operand),
            SelectorNode::And(operands) | SelectorNode::Or(operands) => operands.iter().any(within),
            _ => false,
        }
    }
    let Some(place) = place else { return };
    if within(selector.node()) {
        let span = place.global.unwrap_or(place.span);
        report
            .find(codes::GLOBAL, span, path, "`global()` matches everything here, as `all()` does")
            .help("write `all()`")
            .note("it tells Calico's global objects from those of a namespace; policies have none");
    }
}

fn criteria(rule: &Rule, places: &RulePlaces<'_>, path: &Path<'_>, report: &mut Report<'_>) {
    let Rule { action: _, image_path, image_scan_status, image_last_scan } = rule;
    for (name, span) in &places.nulls {
        report
            .find(
                codes::NULL_CRITERION,
                *span,
                &path.field(name),
                "a criterion without a value is no criterion: it does not limit the rule",
            )
            .help("write its `operator` and what it compares with, or remove the field")
            .note("the API server removes fields that are null");
    }
    if let Some(criterion) = image_path {
        let path = path.field("imagePath");
        let path = path.field("values");
        if criterion.values.is_empty() {
            empty(criterion.operator, places.path_values, &path, report);
        }
        for (number, (node, lints)) in places.patterns.iter().enumerate() {
            for found in lints.iter() {
                let Some(code) = Code::find(found.code) else { continue };
                let span = report.inside(node, found.span.clone());
                report
                    .find(code, span, &path.item(number), escape(&found.message))
                    .help(in_quotes(&found.help, node));
            }
        }
    }
    if let Some(criterion) = image_scan_status {
        statuses(criterion, places, path, report);
    }
    if let Some(AgeCriterion { operator, bound: Bound::Span(span) }) = image_last_scan
        && *span == caapc_vm::time::Span::default()
    {
        let path = path.field("imageLastScan");
        let message = match operator {
            Comparison::Gt => "no time at all: `gt` holds only for a scan in the future",
            Comparison::Lt => "no time at all: `lt` holds for every scan of the past, and for none",
        };
        report
            .find(codes::ZERO_DURATION, places.duration, &path.field("duration"), message)
            .help("write how far to reach back, such as `days: 3`");
    }
}

/// Help for a pattern, as it is to be written there: in double quotes a backslash is two.
pub(crate) fn in_quotes(help: &str, node: &Node<'_>) -> String {
    match node.scalar() {
        Some(scalar) if scalar.style == Style::Double => help.replace('\\', "\\\\"),
        _ => help.to_owned(),
    }
}

fn statuses(
    criterion: &StatusCriterion,
    places: &RulePlaces<'_>,
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    let path = path.field("imageScanStatus");
    let path = path.field("values");
    if criterion.values.is_empty() {
        empty(criterion.operator, places.status_values, &path, report);
    }
    for &(number, span) in &places.unknown_statuses {
        let Some(word) = criterion.values.get(number) else { continue };
        let message = format!("no image has the scan status {}: it never matches", quote(word));
        report
            .find(codes::UNKNOWN_STATUS, span, &path.item(number), message)
            .help(one_of(word, &["Pass", "Warn", "Fail", "Unknown"]));
    }
}

fn empty(operator: Membership, span: Span, path: &Path<'_>, report: &mut Report<'_>) {
    let (message, help) = match operator {
        Membership::IsOneOf => {
            ("`IsOneOf` of no values never holds, so the rule never matches", "remove the rule")
        }
        Membership::IsNoneOf => ("`IsNoneOf` of no values always holds", "remove the criterion"),
    };
    report.find(codes::EMPTY_VALUES, span, path, message).help(format!("add a value, or {help}"));
}
