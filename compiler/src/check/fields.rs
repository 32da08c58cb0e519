//! Reads typed fields out of a mapping, and says what is wrong with those it cannot read.
//!
//! Null is the same as absent: the API server removes nulls from fields that do not allow them,
//! and no field of a policy does.

use super::report::{Path, Report};
use crate::diagnostic::{closest, codes, quote};
use crate::yaml::{Node, Pair, Plain, Span};

/// A mapping whose fields are known.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n, 't> {
    pairs: &'n [Pair<'t>],
    pub(crate) span: Span,
}

impl<'n, 't> Fields<'n, 't> {
    /// Opens a mapping. Fields other than `known` are reported.
    pub(crate) fn open(
        node: &'n Node<'t>,
        known: &[&str],
        path: &Path<'_>,
        report: &mut Report<'t>,
    ) -> Option<Self> {
        let Some(pairs) = node.pairs() else {
            wrong_type(node, "a mapping", path, report);
            return None;
        };
        for pair in pairs {
            if !known.contains(&&*pair.key) {
                unknown_field(pair, known, path, report);
            }
        }
        Some(Self { pairs, span: node.span })
    }

    /// The value of a field; `None` if it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node<'t>> {
        self.pair(name).map(|pair| &pair.node).filter(|node| !node.is_null())
    }

    /// A field and its key, null or not.
    pub(crate) fn pair(&self, name: &str) -> Option<&'n Pair<'t>> {
        self.pairs.iter().find(|pair| &*pair.key == name)
    }

    /// The value of a field that must be there.
    pub(crate) fn need(
        &self,
        name: &str,
        help: &str,
        path: &Path<'_>,
        report: &mut Report<'t>,
    ) -> Option<&'n Node<'t>> {
        let found = self.get(name);
        if found.is_none() {
            let span = self.pair(name).map_or_else(|| head(self), |pair| pair.key_span);
            let message = format!("the field `{name}` is missing");
            report.find(codes::MISSING_FIELD, span, path, message).help(help);
        }
        found
    }
}

/// The first key of a mapping stands for the whole of it: a caret line has one line.
fn head(fields: &Fields<'_, '_>) -> Span {
    fields.pairs.first().map_or(fields.span, |pair| pair.key_span)
}

fn unknown_field<'t>(pair: &Pair<'t>, known: &[&str], path: &Path<'_>, report: &mut Report<'t>) {
    let meant = closest(&pair.key, known);
    let help = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.len() <= 8 => format!("the fields here are `{}`", known.join("`, `")),
        None => "remove it".to_owned(),
    };
    let message = format!("unknown field {}", quote(&pair.key));
    report.find(codes::UNKNOWN_FIELD, pair.key_span, path, message).help(help);
}

/// Reports that a value is of another type than the field's.
pub(crate) fn wrong_type<'t>(
    node: &Node<'t>,
    wanted: &str,
    path: &Path<'_>,
    report: &mut Report<'t>,
) {
    let shown = match node.scalar() {
        Some(scalar) if !node.is_null() => format!(" {}", quote(&scalar.text)),
        _ => String::new(),
    };
    let message = format!("expected {wanted}, found {}{shown}", node.describe());
    let finding = report.find(codes::WRONG_TYPE, node.span, path, message);
    let word = node.scalar().map(|scalar| &*scalar.text);
    match (wanted, node.plain()) {
        ("a string", Some(Plain::Bool(_) | Plain::Int(_) | Plain::Float(_))) => {
            let word = word.unwrap_or_default();
            finding.help(format!(
                "without quotes it is {}; put it in quotes: `'{word}'`",
                node.describe()
            ));
        }
        ("a list", _) => drop(finding.help("write each item on a line of its own, after `- `")),
        ("a mapping", _) => {
            drop(finding.help("write `field: value` on lines of their own, indented"))
        }
        (_, Some(Plain::String)) if wanted.contains("number") => {
            match word.and_then(|word| word.trim().parse::<f64>().ok()) {
                Some(number) if number.is_finite() => drop(finding.help("leave out the quotes")),
                // YAML takes a number that no float can hold for a string.
                Some(_) => drop(finding.help("write a number that fits, such as `10`")),
                None => {}
            }
        }
        _ => {}
    }
}

/// A string.
pub(crate) fn string<'n, 't>(
    node: &'n Node<'t>,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<&'n str> {
    let found = node.as_str();
    if found.is_none() {
        wrong_type(node, "a string", path, report);
    }
    found
}

/// A list.
pub(crate) fn list<'n, 't>(
    node: &'n Node<'t>,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Option<&'n [Node<'t>]> {
    let found = node.items();
    if found.is_none() {
        wrong_type(node, "a list", path, report);
    }
    found
}
