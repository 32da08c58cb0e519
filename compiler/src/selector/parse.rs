//! Reads a selector: limits first, then the grammar, then the tree.
//!
//! The text is read exactly as the reference reads it; only the limits are ours. Start at [`parse`].

use pest::Parser;
use pest::iterators::{Pair, Pairs};

use super::ast::Node;
use super::report::{SelectorError, shorten};
use super::{Selector, explain};

/// The longest selector, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// How deep parentheses may nest.
pub const NESTING_MAX: usize = 256;

/// The longest label, in bytes; the reference has the same limit.
pub const LABEL_BYTES_MAX: usize = 512;

/// The parser that is derived from the grammar.
#[derive(pest_derive::Parser)]
#[grammar = "../../grammar/selector.pest"]
pub(super) struct Grammar;

/// Reads a selector. An empty text, or only spaces and tabs, is `all()`.
///
/// # Errors
/// Where the text leaves the language (spec: selector, "Grammar" and "Lexical rules"), is longer
/// than [`TEXT_BYTES_MAX`], nests deeper than [`NESTING_MAX`], or has a label longer than
/// [`LABEL_BYTES_MAX`].
pub fn parse(text: &str) -> Result<Selector, SelectorError> {
    check_size(text)?;
    check_nesting(text)?;
    let mut pairs =
        Grammar::parse(Rule::selector, text).map_err(|error| explain::explain(text, &error))?;
    let root = pairs.next().into_iter().flat_map(Pair::into_inner).next();
    let node = match root {
        Some(pair) if pair.as_rule() == Rule::or => or(pair)?,
        _ => Node::All,
    };
    Ok(Selector { node })
}

fn check_size(text: &str) -> Result<(), SelectorError> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(SelectorError {
        span: 0..0,
        message: format!(
            "the selector has {} bytes, more than {TEXT_BYTES_MAX}, the limit",
            text.len()
        ),
        help: Some("shorten it, or split the policy in two with half the selector each".into()),
    })
}

/// INVARIANT (bounded descent): both the grammar and the lowering below recurse once for each open
/// parenthesis, so this is what keeps them on the stack. It must run before them.
fn check_nesting(text: &str) -> Result<(), SelectorError> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) => quote = if byte == open { None } else { quote },
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        if depth > NESTING_MAX {
            return Err(SelectorError {
                span: at..at + 1,
                message: format!("parentheses nest deeper than {NESTING_MAX}, the limit"),
                help: Some(
                    "remove parentheses that change nothing: `a && b && c` needs none".into(),
                ),
            });
        }
    }
    Ok(())
}

/// INVARIANT (grammar shape): the functions below read pairs in the order the grammar makes them;
/// a `ws` and the silent rules make none.
fn or(pair: Pair<'_, Rule>) -> Result<Node, SelectorError> {
    let mut operands = chain(pair, Rule::and, and)?;
    Ok(if operands.len() == 1 { operands.remove(0) } else { Node::Or(operands) })
}

fn and(pair: Pair<'_, Rule>) -> Result<Node, SelectorError> {
    let mut operands = chain(pair, Rule::operand, operand)?;
    Ok(if operands.len() == 1 { operands.remove(0) } else { Node::And(operands) })
}

fn chain(
    pair: Pair<'_, Rule>,
    rule: Rule,
    lower: fn(Pair<'_, Rule>) -> Result<Node, SelectorError>,
) -> Result<Vec<Node>, SelectorError> {
    pair.into_inner().filter(|inner| inner.as_rule() == rule).map(lower).collect()
}

/// A run of `!` collapses to one or none.
fn operand(pair: Pair<'_, Rule>) -> Result<Node, SelectorError> {
    let mut negated = false;
    let mut node = Node::All;
    for inner in pair.into_inner() {
        match inner.as_rule() {
            Rule::bang => negated = !negated,
            Rule::group => {
                for nested in inner.into_inner().filter(|pair| pair.as_rule() == Rule::or) {
                    node = or(nested)?;
                }
            }
            Rule::has => {
                for key in inner.into_inner().filter(|pair| pair.as_rule() == Rule::label) {
                    node = Node::Has(label(&key)?);
                }
            }
            Rule::global => node = Node::Global,
            Rule::cmp => node = comparison(inner.into_inner())?,
            _ => {}
        }
    }
    Ok(if negated { Node::Not(Box::new(node)) } else { node })
}

fn comparison(pairs: Pairs<'_, Rule>) -> Result<Node, SelectorError> {
    let mut key: Box<str> = "".into();
    let mut operator = Rule::eq;
    let mut values: Vec<Box<str>> = Vec::new();
    for pair in pairs {
        match pair.as_rule() {
            Rule::label => key = label(&pair)?,
            Rule::string => values.extend(pair.into_inner().map(|inner| inner.as_str().into())),
            Rule::set_open | Rule::set_close | Rule::comma => {}
            rule => operator = rule,
        }
    }
    if matches!(operator, Rule::in_set | Rule::not_in) {
        values.sort_unstable();
        values.dedup();
        return Ok(if operator == Rule::in_set {
            Node::In(key, values)
        } else {
            Node::NotIn(key, values)
        });
    }
    let value = values.pop().unwrap_or_default();
    Ok(match operator {
        Rule::ne => Node::Ne(key, value),
        Rule::contains => Node::Contains(key, value),
        Rule::starts => Node::StartsWith(key, value),
        Rule::ends => Node::EndsWith(key, value),
        _ => Node::Eq(key, value),
    })
}

fn label(pair: &Pair<'_, Rule>) -> Result<Box<str>, SelectorError> {
    let text = pair.as_str();
    if text.len() <= LABEL_BYTES_MAX {
        return Ok(text.into());
    }
    let span = pair.as_span();
    Err(SelectorError {
        span: span.start()..span.end(),
        message: format!(
            "the label `{}` has {} bytes, more than {LABEL_BYTES_MAX}, the limit",
            shorten(text),
            text.len()
        ),
        help: Some("Kubernetes label keys have 317 bytes at most; check the spelling".into()),
    })
}
