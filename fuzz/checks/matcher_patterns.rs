//! What must hold of any patterns: their tables answer as the plain matcher does.
//!
//! The input is lines: the first is a text, in which `\n` is a newline; the others are patterns.

use caapc_compiler::automata::{Builder, Limits, TailCache, shape};
use caapc_compiler::pattern::{self, plain::Plain};
use caapc_vm::matcher::MatcherScratch;

/// Longer patterns show nothing new and make the plain matcher slow.
const PATTERN_MAX: usize = 200;
const PATTERNS_MAX: usize = 64;

/// Panics if the tables answer anything else than the plain matcher.
pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((subject, patterns)) = text.split_once('\n') else { return };
    let subject = subject.replace("\\n", "\n");
    let (mut builder, mut right, mut cache) = (Builder::new(), [0], TailCache::new());
    let sources: Vec<&str> = patterns.lines().take(PATTERNS_MAX).collect();
    for (hit, source) in (0..).zip(&sources) {
        if source.len() > PATTERN_MAX {
            continue;
        }
        let Ok(hir) = pattern::parse(source) else { continue };
        let Ok(shape) = shape(&hir, &Limits::default()) else { continue };
        let Ok(plain) = Plain::new(&hir) else { continue };
        assert!(
            !shape.describe(&mut cache).expect("fits").contains(char::is_control),
            "{source:?}"
        );
        right[0] |= u64::from(plain.is_match(&subject)) << hit;
        builder.add(&shape, hit);
    }
    let matcher = builder.finish(PATTERNS_MAX as u32, &mut cache).expect("64 patterns fit");
    let mut hits = [0];
    matcher.mark(&subject, &[u64::MAX], &mut MatcherScratch::new(), &mut hits);
    assert_eq!(hits, right, "{subject:?} by {sources:?}");
}
