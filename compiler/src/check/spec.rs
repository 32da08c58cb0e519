//! `spec`: order, the two selectors, and the list of rules.

use super::fields::{Fields, list, string, wrong_type};
use super::report::{Path, Report};
use super::{Reader, rule};
use crate::diagnostic::{codes, escape, quote};
use crate::lint::{Places, RulePlaces, SelectorPlace};
use crate::policy::Rule;
use crate::selector::Selector;
use crate::yaml::{Node, Plain};

/// What could be read of a `spec`.
pub(super) struct Spec<'t> {
    pub(super) order: Option<f64>,
    /// `None`: does not parse.
    pub(super) selector: Option<Selector>,
    pub(super) namespace_selector: Option<Selector>,
    /// Complete only if there was no fault.
    pub(super) rules: Vec<Rule>,
    /// Where everything stands, for warnings.
    pub(super) places: Places<'t>,
}

impl Spec<'_> {
    /// What an absent `spec` means: every default, and no rules.
    pub(super) fn empty() -> Self {
        Self {
            order: None,
            selector: Some(Selector::all()),
            namespace_selector: Some(Selector::all()),
            rules: Vec::new(),
            places: Places::default(),
        }
    }
}

pub(super) fn read<'t>(
    reader: &mut Reader,
    node: &Node<'t>,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Spec<'t> {
    let known = &["order", "selector", "namespaceSelector", "rules"];
    let Some(fields) = Fields::open(node, known, path, report) else {
        // Whom it is for cannot be known.
        return Spec { selector: None, namespace_selector: None, ..Spec::empty() };
    };
    let mut places = Places::default();
    let order = fields.get("order").and_then(|node| order(node, &path.field("order"), report));
    let mut one = |name, place: &mut Option<SelectorPlace>| match fields.get(name) {
        Some(node) => selector(reader, node, &path.field(name), place, report),
        None => Some(Selector::all()),
    };
    let selector = one("selector", &mut places.selector);
    let namespace_selector = one("namespaceSelector", &mut places.namespace_selector);
    let rules = match fields.get("rules") {
        Some(node) => rules(reader, node, &path.field("rules"), &mut places.rules, report),
        None => Vec::new(),
    };
    Spec { order, selector, namespace_selector, rules, places }
}

fn order<'t>(node: &Node<'t>, path: &Path<'_>, report: &mut Report<'t>) -> Option<f64> {
    let order = match node.plain() {
        Some(Plain::Int(order)) => order as f64,
        Some(Plain::Float(order)) if order.is_finite() => order,
        Some(Plain::Float(_)) => {
            let text = node.scalar().map_or("", |scalar| &scalar.text);
            let message = format!("the order {} is not finite", quote(text));
            report
                .find(codes::INVALID_ORDER, node.span, path, message)
                .help("write a number such as `10`; leave `order` out to sort last");
            return None;
        }
        _ => {
            wrong_type(node, "a number", path, report);
            return None;
        }
    };
    // -0 sorts as 0 does.
    Some(if order == 0.0 { 0.0 } else { order })
}

fn selector<'t>(
    reader: &mut Reader,
    node: &Node<'t>,
    path: &Path<'_>,
    place: &mut Option<SelectorPlace>,
    report: &mut Report<'t>,
) -> Option<Selector> {
    let text = string(node, path, report)?;
    // A block scalar ends with a newline, which the exact parser refuses. White space is the same
    // for Go's `TrimSpace` and for `str::trim`: the Unicode property White_Space.
    let trimmed = text.trim();
    let offset = text.len() - text.trim_start().len();
    match reader.selector(trimmed) {
        Ok(selector) => {
            let global = trimmed.find("global(").map(|at| at + offset);
            let global = global.map(|at| report.inside(node, at..at + "global(".len()));
            *place = Some(SelectorPlace { span: node.span, global });
            Some(selector)
        }
        Err(error) => {
            let range = offset + error.span.start..offset + error.span.end;
            let span = report.inside(node, range);
            let finding = report.find(codes::INVALID_SELECTOR, span, path, escape(&error.message));
            if let Some(help) = error.help {
                finding.help(help);
            }
            None
        }
    }
}

fn rules<'t>(
    reader: &mut Reader,
    node: &Node<'t>,
    path: &Path<'_>,
    places: &mut Vec<RulePlaces<'t>>,
    report: &mut Report<'t>,
) -> Vec<Rule> {
    let Some(items) = list(node, path, report) else { return Vec::new() };
    let limit = reader.limits.rules_max;
    if let Some(first) = items.get(limit) {
        let message = format!("{} rules, more than {limit}, the limit", items.len());
        report
            .find(codes::LIMIT, first.span, path, message)
            .help("move rules to a policy of the next `order`, with the same selectors");
    }
    let mut rules = Vec::with_capacity(items.len().min(limit));
    for (number, item) in items.iter().take(limit).enumerate() {
        if let Some((rule, place)) = rule::read(reader, item, &path.item(number), report) {
            rules.push(rule);
            places.push(place);
        }
    }
    rules
}
