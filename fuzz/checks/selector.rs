//! What must hold of any bytes that are read as a selector.

use caapc_compiler::selector::{self, Node, Selector};

/// How many label sets a selector is asked about.
const SETS_MAX: usize = 32;

/// Panics if a promise of the selector room is broken.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match selector::parse(text) {
        Ok(selector) => accepted(&selector),
        Err(error) => {
            assert!(text.get(error.span.clone()).is_some(), "the span splits a character");
            assert!(error.help.is_some(), "no help: {}", error.message);
            let report = error.report("selector", text);
            assert!(!report.contains(|c: char| c.is_control() && c != '\n'), "{report:?}");
            assert!(!error.message.contains(char::is_control), "{:?}", error.message);
        }
    }
}

fn accepted(selector: &Selector) {
    let canonical = selector.canonical();
    // The canonical text may be longer than what was written, and so over the limit.
    if canonical.len() > selector::TEXT_BYTES_MAX {
        return;
    }
    let again = match selector::parse(&canonical) {
        Ok(again) => again,
        // So may its parentheses nest deeper, because chains always print theirs.
        Err(error) if error.message.contains("nest deeper") => return,
        Err(error) => panic!("{}", error.report("canonical", &canonical)),
    };
    let settled = again.canonical();
    let third = selector::parse(&settled).expect("a canonical text that was read reads again");
    assert_eq!(third.canonical(), settled, "`!` collapses once, then nothing changes");

    let (mut keys, mut values) = (vec!["other"], vec!["", "other"]);
    collect(selector.node(), &mut keys, &mut values);
    for turn in 0..SETS_MAX {
        let labels: Vec<(&str, &str)> = keys
            .iter()
            .enumerate()
            .filter(|(place, _)| (turn >> (place % 5)) & 1 == 0)
            .map(|(place, key)| (*key, values[(turn * 7 + place * 3) % values.len()]))
            .collect();
        let holds = selector.matches(&labels);
        assert_eq!(again.matches(&labels), holds, "{canonical:?} on {labels:?}");
        assert_eq!(third.matches(&labels), holds, "{settled:?} on {labels:?}");
    }
}

/// The keys, each once, and the values of a selector; a few, so that sets stay small.
fn collect<'n>(node: &'n Node, keys: &mut Vec<&'n str>, values: &mut Vec<&'n str>) {
    let mut see = |key: &'n str, seen: &mut dyn Iterator<Item = &'n str>| {
        if keys.len() < 16 && !keys.contains(&key) {
            keys.push(key);
        }
        values.extend(seen.take(16));
        values.truncate(64);
    };
    match node {
        Node::All | Node::Global => {}
        Node::Has(key) => see(key, &mut std::iter::empty()),
        Node::Eq(key, value)
        | Node::Ne(key, value)
        | Node::Contains(key, value)
        | Node::StartsWith(key, value)
        | Node::EndsWith(key, value) => see(key, &mut std::iter::once(&**value)),
        Node::In(key, set) | Node::NotIn(key, set) => {
            see(key, &mut set.iter().map(|value| &**value));
        }
        Node::Not(operand) => collect(operand, keys, values),
        Node::And(operands) | Node::Or(operands) => {
            for operand in operands {
                collect(operand, keys, values);
            }
        }
    }
}
