//! Selectors: tables of a selector and what it is, and the same tables in `grammar/README.md`.
//!
//! The shape is in `golden/README.md`. What is read again from a table are the selectors and the
//! label sets; every other word is an expectation.

use std::collections::BTreeMap;
use std::fmt::Write;

use caapc_compiler::selector::{self, Selector, SelectorError};

use super::table::{self, Entry};
use crate::suite::{Case, Shape, Suite};

/// `golden/selector/`.
pub const SUITE: Suite = Suite {
    name: "selector",
    folder: "golden/selector",
    beside: &[],
    shape: Shape::Table { extension: "txt", expect: |case| table::expect(&case.input, answer) },
    together: None,
};

/// The examples of `grammar/README.md`, in blocks that start with ```` ```selector ````.
pub const GRAMMAR: Suite = Suite {
    name: "grammar",
    folder: "grammar",
    beside: &["selector.pest"],
    shape: Shape::Table { extension: "md", expect: examples },
    together: None,
};

fn examples(case: &Case) -> Result<String, String> {
    let (mut out, mut block, mut blocks) = (String::new(), None::<String>, 0);
    for line in case.input.lines() {
        match &mut block {
            Some(lines) if line == "```" => {
                out.push_str(&table::expect(lines, answer)?);
                out.push_str("```\n");
                block = None;
            }
            Some(lines) => {
                let _ = writeln!(lines, "{line}");
            }
            None => {
                let _ = writeln!(out, "{line}");
                if line == "```selector" {
                    block = Some(String::new());
                    blocks += 1;
                }
            }
        }
    }
    match (block, blocks) {
        (Some(_), _) => Err("the last ```selector block is never closed".into()),
        (None, 0) => Err("there is no ```selector block".into()),
        (None, _) => Ok(out),
    }
}

fn answer(entry: &Entry<'_>, out: &mut String) -> Result<(), String> {
    match selector::parse(&entry.source) {
        Ok(selector) => accepted(&selector, entry, out),
        Err(error) => {
            refused(&entry.source, &error, out);
            Ok(())
        }
    }
}

fn accepted(selector: &Selector, entry: &Entry<'_>, out: &mut String) -> Result<(), String> {
    let mut any = false;
    for (word, rest) in entry.lines() {
        match word {
            "=" => {
                let _ = writeln!(out, "  = {}", quoted(&selector.canonical()));
            }
            "id" => {
                let _ = writeln!(out, "  id {}", selector.id());
            }
            "yes" | "no" => {
                let labels = labels(rest)?;
                let labels: Vec<(&str, &str)> =
                    labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                let word = if selector.matches(&labels) { "yes" } else { "no" };
                let _ = writeln!(out, "{}", format!("  {word:<3}  {rest}").trim_end());
            }
            // The selector was refused when these were accepted.
            "error" | "help" => continue,
            _ => {
                return Err(format!("`{word}` is none of `=`, `id`, `yes`, `no`, `error`, `help`"));
            }
        }
        any = true;
    }
    if !any {
        let _ = writeln!(out, "  = {}", quoted(&selector.canonical()));
    }
    Ok(())
}

fn refused(source: &str, error: &SelectorError, out: &mut String) {
    let column = source[..error.span.start].chars().count() + 1;
    let _ = writeln!(out, "  error {column}: {}", error.message);
    if let Some(help) = &error.help {
        let _ = writeln!(out, "  help  {help}");
    }
}

/// A canonical text on one line.
fn quoted(text: &str) -> String {
    if text.contains(char::is_control) { format!("{text:?}") } else { text.to_owned() }
}

/// `k=v k=v`, or a JSON object where values hold spaces.
fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("`{text}`: {error}"));
    }
    text.split_whitespace()
        .map(|item| match item.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(format!("`{item}` is not of the form key=value")),
        })
        .collect()
}
