//! Corpora: answers of the reference implementations, each of which must be ours too.

use std::collections::BTreeMap;
use std::path::Path;

use caapc_compiler::{pattern, selector};
use serde::Deserialize;

use super::pattern::Both;
use crate::suite::{Shape, Suite};

/// `golden/corpora/`.
pub const SUITE: Suite = Suite {
    name: "corpora",
    folder: "golden/corpora",
    // A table of Unicode classes, which the tests of the pattern room read.
    beside: &["unicode_classes.tsv"],
    shape: Shape::Corpus { check },
    together: None,
};

/// How many differing lines a failure shows.
const SHOWN_MAX: usize = 10;

fn check(path: &Path) -> Result<usize, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let differs: fn(&str) -> Result<Option<String>, String> =
        match path.file_name().and_then(|name| name.to_str()) {
            Some("selectors.jsonl") => selector_differs,
            Some("image_path_patterns.jsonl") => pattern_differs,
            _ => return Err(format!("{}: no check reads this corpus", path.display())),
        };
    let (mut answers, mut faults) = (0, Vec::new());
    for (index, line) in text.lines().enumerate() {
        answers += 1;
        let fault = differs(line).map_err(|why| format!("line {}: {why}", index + 1))?;
        faults.extend(fault.map(|fault| format!("line {}: {fault}", index + 1)));
    }
    if answers == 0 {
        return Err("the corpus is empty".into());
    }
    if faults.is_empty() {
        return Ok(answers);
    }
    let more = faults.len().saturating_sub(SHOWN_MAX);
    faults.truncate(SHOWN_MAX);
    Err(format!("{}\n{more} more differ", faults.join("\n")))
}

/// A selector, label sets, and what Calico says of them.
#[derive(Deserialize)]
struct SelectorLine {
    s: String,
    l: Vec<BTreeMap<String, String>>,
    ok: bool,
    canon: Option<String>,
    uid: Option<String>,
    m: Option<Vec<bool>>,
}

fn selector_differs(line: &str) -> Result<Option<String>, String> {
    let SelectorLine { s, l, ok, canon, uid, m } =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let expected = ok.then_some((canon, uid, m));
    let ours = selector::parse(&s).ok().map(|selector| {
        let holds = |labels: &BTreeMap<String, String>| {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            selector.matches(&labels)
        };
        (Some(selector.canonical()), Some(selector.id()), Some(l.iter().map(holds).collect()))
    });
    Ok((ours != expected).then(|| format!("{s:?}: expected {expected:?}, got {ours:?}")))
}

/// A pattern, texts, and what Go says of them.
#[derive(Deserialize)]
struct PatternLine {
    p: String,
    x: Vec<String>,
    ok: bool,
    err: Option<String>,
    m: Option<Vec<bool>>,
}

/// Refusals are compared with their reason, and matches as the automata find them.
fn pattern_differs(line: &str) -> Result<Option<String>, String> {
    let PatternLine { p, x, ok, err, m } =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let expected = if ok { Ok(m.unwrap_or_default()) } else { Err(err.unwrap_or_default()) };
    let ours = match pattern::parse(&p) {
        Err(error) => Err(error.go),
        Ok(hir) => {
            let both = Both::new(&hir).map_err(|why| format!("{p:?}: {why}"))?;
            Ok(x.iter().map(|text| both.is_match(text)).collect::<Result<Vec<bool>, _>>()?)
        }
    };
    Ok((ours != expected).then(|| format!("{p:?}: expected {expected:?}, got {ours:?}")))
}
