//! What must hold of any bytes that are read as a pattern and texts, separated by NUL.

use caapc_compiler::automata::{self, Builder, TailCache};
use caapc_compiler::hir::{DEPTH_MAX, Hir};
use caapc_compiler::pattern::{self, ErrorKind, lint::lint, plain::Plain};
use caapc_vm::matcher::MatcherScratch;

/// The longest pattern that is also searched with: larger ones only have to be read.
const SEARCHED_BYTES_MAX: usize = 512;

/// The largest automaton that the plain matcher is asked about, in states.
const SEARCHED_STATES_MAX: u64 = 4_096;

/// Panics if a promise of the pattern room is broken.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split('\0');
    let pattern = parts.next().unwrap_or_default();
    let hir = match pattern::parse(pattern) {
        Ok(hir) => hir,
        Err(error) => {
            assert!(pattern.get(error.span.clone()).is_some(), "the span splits a character");
            assert!(error.help.is_some(), "no help: {error}");
            let ours = pattern.len() > pattern::PATTERN_BYTES_MAX;
            assert!(ours || error.go.starts_with("error parsing regexp: "), "{error}");
            assert!(!ours || error.kind == ErrorKind::TooBig, "{error}");
            let report = error.report("pattern", pattern);
            assert!(!report.contains(|c: char| c.is_control() && c != '\n'), "{report:?}");
            return;
        }
    };
    well_formed(&hir, 1);
    for found in lint(pattern, &hir) {
        assert!(pattern.get(found.span.clone()).is_some(), "the span splits a character");
        let report = found.report("pattern", pattern);
        assert!(!report.contains(|c: char| c.is_control() && c != '\n'), "{report:?}");
    }
    if pattern.len() <= SEARCHED_BYTES_MAX {
        searched(&hir, &mut parts.chain(["", "a", "gcr.io/a:b", "é\n", pattern]).take(16));
    }
}

/// What the front end promises of a [`Hir`].
fn well_formed(hir: &Hir, depth: usize) {
    assert!(depth <= DEPTH_MAX, "deeper than {DEPTH_MAX}");
    match hir {
        Hir::Empty | Hir::Nothing | Hir::Look(_) => {}
        Hir::Literal(text) => assert!(!text.is_empty(), "an empty literal"),
        Hir::Class(class) => {
            let ranges = &class.0;
            let lone = ranges.len() == 1 && ranges[0].0 == ranges[0].1;
            assert!(!ranges.is_empty() && !lone, "a class of zero or one member");
            assert!(
                ranges.iter().all(|(first, last)| first <= last),
                "a range the wrong way round"
            );
            let apart = |two: &[(char, char)]| (two[0].1..two[1].0).nth(1).is_some();
            assert!(ranges.windows(2).all(apart), "ranges that touch");
        }
        Hir::Concat(parts) | Hir::Alt(parts) => {
            assert!(parts.len() >= 2, "a list of {}", parts.len());
            parts.iter().for_each(|part| well_formed(part, depth + 1));
        }
        Hir::Repeat { node, min, max } => {
            let bounds =
                *min <= pattern::REPEAT_MAX && max.is_none_or(|max| max <= pattern::REPEAT_MAX);
            assert!(bounds && max.is_none_or(|max| *min <= max), "{{{min},{max:?}}}");
            well_formed(node, depth + 1);
        }
    }
}

/// The automata answer as the plain matcher does.
fn searched(hir: &Hir, texts: &mut dyn Iterator<Item = &str>) {
    let limits = automata::Limits { states_max: SEARCHED_STATES_MAX };
    let Ok(shape) = automata::shape(hir, &limits) else { return };
    let mut builder = Builder::new();
    builder.add(&shape, 0);
    let Ok(matcher) = builder.finish(1, &mut TailCache::new()) else { return };
    let Ok(plain) = Plain::new(hir) else { return };
    let mut scratch = MatcherScratch::new();
    scratch.prepare(&matcher);
    for text in texts {
        let mut hits = [0];
        matcher.mark(text, &[1], &mut scratch, &mut hits);
        assert_eq!(hits == [1], plain.is_match(text), "{hir:?} on {text:?}");
    }
}
