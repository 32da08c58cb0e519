//! One rule: its action and its three criteria.

use caapc_vm::facts::ScanStatus;
use caapc_vm::program::Action;
use caapc_vm::time::Span as CalendarSpan;

use super::fields::{Fields, list, string, wrong_type};
use super::report::{Path, Report};
use super::{PatternFault, PatternRead, Reader};
use crate::diagnostic::{Code, codes, escape, one_of, quote};
use crate::lint::{RulePlaces, in_quotes};
use crate::pattern::ErrorKind;
use crate::policy::{
    AgeCriterion, Bound, Comparison, Membership, PathCriterion, PathPattern, Patterns, Rule,
    StatusCriterion,
};
use crate::time::parse_rfc3339;
use crate::yaml::{Node, Plain, Span};

const ACTIONS: &[(&str, Action)] = &[("Allow", Action::Allow), ("Reject", Action::Reject)];
const MEMBERSHIPS: &[(&str, Membership)] =
    &[("IsOneOf", Membership::IsOneOf), ("IsNoneOf", Membership::IsNoneOf)];
const COMPARISONS: &[(&str, Comparison)] = &[("gt", Comparison::Gt), ("lt", Comparison::Lt)];

/// Words of other policy languages, and what they are called here.
const FOREIGN: &[(&str, &str)] = &[
    ("Deny", "Reject"),
    ("Block", "Reject"),
    ("Refuse", "Reject"),
    ("Forbid", "Reject"),
    ("Drop", "Reject"),
    ("Permit", "Allow"),
    ("Accept", "Allow"),
    ("Admit", "Allow"),
    ("Pass", "Allow"),
    ("In", "IsOneOf"),
    ("OneOf", "IsOneOf"),
    ("Is", "IsOneOf"),
    ("Equals", "IsOneOf"),
    ("NotIn", "IsNoneOf"),
    ("NoneOf", "IsNoneOf"),
    ("IsNot", "IsNoneOf"),
    ("IsNotOneOf", "IsNoneOf"),
    (">", "gt"),
    ("after", "gt"),
    ("newer", "gt"),
    ("<", "lt"),
    ("before", "lt"),
    ("older", "lt"),
];

pub(super) fn read<'t>(
    reader: &mut Reader,
    node: &Node<'t>,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<(Rule, RulePlaces<'t>)> {
    let known = &["action", "imagePath", "imageScanStatus", "imageLastScan"];
    let fields = Fields::open(node, known, path, report)?;
    let mut places = RulePlaces { whole: first_line(node), ..RulePlaces::default() };
    let help = "write `action: Allow` or `action: Reject`";
    let action = fields
        .need("action", help, path, report)
        .and_then(|node| word(node, ACTIONS, codes::UNKNOWN_ACTION, &path.field("action"), report));
    let image_path = criterion(&fields, "imagePath", &mut places, |node, places| {
        image_path(reader, node, &path.field("imagePath"), places, report)
    });
    let image_scan_status = criterion(&fields, "imageScanStatus", &mut places, |node, places| {
        scan_status(reader, node, &path.field("imageScanStatus"), places, report)
    });
    let image_last_scan = criterion(&fields, "imageLastScan", &mut places, |node, places| {
        last_scan(reader, node, &path.field("imageLastScan"), places, report)
    });
    let rule = Rule {
        action: action?,
        image_path: image_path?,
        image_scan_status: image_scan_status?,
        image_last_scan: image_last_scan?,
    };
    Some((rule, places))
}

/// `Some(None)`: the criterion is absent; `None`: it is there and wrong.
fn criterion<'n, 't, C>(
    fields: &Fields<'n, 't>,
    name: &'static str,
    places: &mut RulePlaces<'t>,
    mut read: impl FnMut(&'n Node<'t>, &mut RulePlaces<'t>) -> Option<C>,
) -> Option<Option<C>> {
    match fields.get(name) {
        Some(node) => read(node, places).map(Some),
        None => {
            if let Some(pair) = fields.pair(name) {
                places.nulls.push((name, pair.key_span));
            }
            Some(None)
        }
    }
}

fn image_path<'t>(
    reader: &mut Reader,
    node: &Node<'t>,
    path: &Path<'_>,
    places: &mut RulePlaces<'t>,
    report: &mut Report<'t>,
) -> Option<PathCriterion> {
    let (operator, items) = membership(reader, node, path, report, "`^gcr\\.io/my-project/`")?;
    places.path_values = items.span;
    let values_path = path.field("values");
    let mut values = Vec::with_capacity(items.list.len());
    let mut complete = operator.is_some();
    for (number, item) in items.list.iter().enumerate() {
        let path = values_path.item(number);
        let found = value(reader, item, "pattern", &path, report)
            .and_then(|text| Some((text, pattern(reader, item, text, &path, report)?)));
        complete &= found.is_some();
        let Some((text, PatternRead { shape, lints })) = found else { continue };
        places.patterns.push((item.clone(), lints));
        values.push((text, shape));
    }
    let values = || {
        Patterns::new(
            values.iter().map(|(text, shape)| PathPattern { text, shape: shape.borrowed() }),
        )
    };
    operator.filter(|_| complete).map(|operator| PathCriterion { operator, values: values() })
}

fn pattern<'t>(
    reader: &mut Reader,
    node: &Node<'t>,
    text: &str,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<PatternRead> {
    match reader.pattern(text) {
        Ok(found) => return Some(found),
        Err(PatternFault::Go(error)) => {
            let span = report.inside(node, error.span);
            let code = match error.kind {
                ErrorKind::Syntax => codes::INVALID_PATTERN,
                ErrorKind::TooBig => codes::PATTERN_TOO_BIG,
            };
            let finding = report.find(code, span, path, escape(&error.go));
            if let Some(help) = error.help {
                finding.help(in_quotes(&help, node));
            }
        }
        Err(PatternFault::Automaton(why)) => {
            report
                .find(codes::PATTERN_TOO_BIG, node.span, path, why)
                .help("repeat fewer things, or split the pattern into several values");
        }
    }
    None
}

fn scan_status<'t>(
    reader: &mut Reader,
    node: &Node<'t>,
    path: &Path<'_>,
    places: &mut RulePlaces<'t>,
    report: &mut Report<'t>,
) -> Option<StatusCriterion> {
    let (operator, items) = membership(reader, node, path, report, "`Pass`")?;
    places.status_values = items.span;
    let values_path = path.field("values");
    let mut values = Vec::with_capacity(items.list.len());
    for (number, item) in items.list.iter().enumerate() {
        let Some(text) = value(reader, item, "status", &values_path.item(number), report) else {
            continue;
        };
        if ScanStatus::from_word(text).is_none() {
            places.unknown_statuses.push((number, item.span));
        }
        values.push(text.to_owned());
    }
    operator
        .filter(|_| values.len() == items.list.len())
        .map(|operator| StatusCriterion { operator, values })
}

struct Items<'n, 't> {
    list: &'n [Node<'t>],
    /// The list, or the key if the list has no text.
    span: Span,
}

/// `operator` and `values`, which two criteria share. The operator is `None` if it is wrong.
fn membership<'n, 't>(
    reader: &Reader,
    node: &'n Node<'t>,
    path: &Path<'_>,
    report: &mut Report<'t>,
    example: &str,
) -> Option<(Option<Membership>, Items<'n, 't>)> {
    let fields = Fields::open(node, &["operator", "values"], path, report)?;
    let operator = operator(&fields, MEMBERSHIPS, path, report);
    let help = format!("write `values:` and a list, such as {example}");
    let node = fields.need("values", &help, path, report)?;
    let path = path.field("values");
    let list = list(node, &path, report)?;
    let limit = reader.limits.values_max;
    if let Some(first) = list.get(limit) {
        let message = format!("{} values, more than {limit}, the limit", list.len());
        report
            .find(codes::LIMIT, first.span, &path, message)
            .help("join patterns with `|`, or write a second rule");
        return None;
    }
    Some((operator, Items { list, span: node.span }))
}

fn operator<'t, W: Copy>(
    fields: &Fields<'_, 't>,
    known: &[(&str, W)],
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<W> {
    let words = known.iter().map(|(word, _)| format!("`operator: {word}`")).collect::<Vec<_>>();
    let help = format!("write {}", words.join(" or "));
    let node = fields.need("operator", &help, path, report)?;
    word(node, known, codes::UNKNOWN_OPERATOR, &path.field("operator"), report)
}

/// One of a few words.
fn word<'t, W: Copy>(
    node: &Node<'t>,
    known: &[(&str, W)],
    code: Code,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<W> {
    let text = string(node, path, report)?;
    if let Some((_, word)) = known.iter().find(|(word, _)| *word == text) {
        return Some(*word);
    }
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    let foreign = FOREIGN
        .iter()
        .find(|(foreign, word)| foreign.eq_ignore_ascii_case(text) && words.contains(word));
    let help = match foreign {
        Some((_, word)) => {
            format!("expected one of `{}`; did you mean `{word}`?", words.join("`, `"))
        }
        None => one_of(text, &words),
    };
    let what = if code == codes::UNKNOWN_ACTION { "action" } else { "operator" };
    report.find(code, node.span, path, format!("unknown {what} {}", quote(text))).help(help);
    None
}

/// One of the `values` of a criterion.
fn value<'n, 't>(
    reader: &Reader,
    node: &'n Node<'t>,
    what: &str,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<&'n str> {
    let text = string(node, path, report)?;
    let limit = reader.limits.value_bytes_max;
    if text.len() > limit {
        let message = format!("a {what} of {} bytes, more than {limit}, the limit", text.len());
        report.find(codes::LIMIT, node.span, path, message).help("split it into several values");
        return None;
    }
    Some(text)
}

fn last_scan<'t>(
    reader: &mut Reader,
    node: &Node<'t>,
    path: &Path<'_>,
    places: &mut RulePlaces<'t>,
    report: &mut Report<'t>,
) -> Option<AgeCriterion> {
    let fields = Fields::open(node, &["operator", "duration", "time"], path, report)?;
    let operator = operator(&fields, COMPARISONS, path, report);
    let bound = match (fields.get("duration"), fields.get("time")) {
        (Some(node), None) => duration(reader, node, &path.field("duration"), report),
        (None, Some(node)) => time(node, &path.field("time"), report),
        (duration, _) => {
            let message = match duration {
                Some(_) => "both `duration` and `time` are set",
                None => "neither `duration` nor `time` is set",
            };
            let at = fields.pair("time").or(fields.pair("operator"));
            let span = at.map_or(node.span, |pair| pair.key_span);
            report
                .find(codes::DURATION_OR_TIME, span, path, message)
                .help("write one: `duration: {days: 3}`, or `time: \"2026-01-31T00:00:00Z\"`");
            None
        }
    };
    places.duration = fields.pair("duration").map_or(node.span, |pair| pair.key_span);
    places.comparison = fields.pair("operator").map(|pair| pair.node.span).unwrap_or(node.span);
    Some(AgeCriterion { operator: operator?, bound: bound? })
}

fn duration<'t>(
    reader: &Reader,
    node: &Node<'t>,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<Bound> {
    let units = ["years", "months", "days"];
    for unit in ["hours", "minutes", "seconds", "weeks"] {
        if let Some(pair) = node.pairs().and_then(|pairs| pairs.iter().find(|p| &*p.key == unit)) {
            let message = format!("a duration has no `{unit}`");
            report
                .find(codes::UNKNOWN_FIELD, pair.key_span, path, message)
                .help("the units are `days`, `months` and `years`; a week is `days: 7`");
            return None;
        }
    }
    let fields = Fields::open(node, &units, path, report)?;
    let limits = &reader.limits;
    let maxima = [limits.years_max, limits.months_max, limits.days_max];
    let mut numbers = [Some(0); 3];
    for ((unit, max), number) in units.iter().zip(maxima).zip(&mut numbers) {
        if let Some(node) = fields.get(unit) {
            *number = count(node, max, unit, &path.field(unit), report);
        }
    }
    let [years, months, days] = numbers;
    Some(Bound::Span(CalendarSpan { years: years?, months: months?, days: days? }))
}

fn count<'t>(
    node: &Node<'t>,
    max: u32,
    unit: &str,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<u32> {
    let number = match node.plain() {
        Some(Plain::Int(number)) => number as f64,
        Some(Plain::Float(number)) => number,
        _ => {
            wrong_type(node, "a whole number", path, report);
            return None;
        }
    };
    let text = node.scalar().map_or_else(String::new, |scalar| quote(&scalar.text));
    let (message, help) = if number < 0.0 {
        (format!("{text} is negative"), "a duration reaches back from now by itself".to_owned())
    } else if number.fract() != 0.0 || !number.is_finite() {
        (format!("{text} is not a whole number"), "write whole days, months or years".to_owned())
    } else if number > f64::from(max) {
        (format!("{text} is more than {max} {unit}, the limit"), "write a shorter time".to_owned())
    } else {
        return Some(number as u32);
    };
    report.find(codes::INVALID_DURATION, node.span, path, message).help(help);
    None
}

fn time<'t>(node: &Node<'t>, path: &Path<'_>, report: &mut Report<'t>) -> Option<Bound> {
    let text = string(node, path, report)?;
    match parse_rfc3339(text) {
        Ok(time) => Some(Bound::At(time)),
        Err(why) => {
            let message = format!("{} is not an RFC 3339 time: {why}", quote(text));
            report
                .find(codes::INVALID_TIME, node.span, path, message)
                .help("write it as `2026-01-31T15:04:05Z`");
            None
        }
    }
}

/// The first key of a rule stands for the whole of it.
fn first_line(node: &Node<'_>) -> Span {
    node.pairs().and_then(<[_]>::first).map_or(node.span, |pair| pair.key_span)
}
