//! What must hold of any bytes that are read as the pattern tables of a program.
//!
//! The first byte is the length of a text, which comes next; the rest are the tables.

use caapc_vm::matcher::{Matcher, MatcherScratch};
use caapc_vm::wire::{Reader, Writer};

/// How many hits the tables are read for; not a whole number of words.
const HITS: u32 = 150;

/// Panics if hostile tables are believed.
pub(crate) fn check(data: &[u8]) {
    let Some((&len, rest)) = data.split_first() else { return };
    let (text, tables) = rest.split_at((len as usize).min(rest.len()));
    let text = String::from_utf8_lossy(text);
    let Ok(matcher) = Matcher::read(&mut Reader::new(tables), HITS) else { return };
    let mut writer = Writer::default();
    matcher.write(&mut writer);
    let again =
        Matcher::read(&mut Reader::new(&writer.bytes), HITS).expect("what was written reads");
    let mut scratch = MatcherScratch::new();
    scratch.prepare(&matcher);
    for text in [&*text, "", "gcr.io/company/team-1/app:v1", "é\nab:latest"] {
        let mut hits = mark(&matcher, text, &mut scratch);
        assert_eq!(
            hits,
            mark(&again, text, &mut MatcherScratch::new()),
            "another answer: {text:?}"
        );
        assert_eq!(hits[2] >> (HITS % 64), 0, "a hit that is not there: {text:?}");
        // Hits only grow, and nothing changes when all are there.
        matcher.mark(text, &[u64::MAX; 3], &mut scratch, &mut hits);
        assert_eq!(hits, mark(&matcher, text, &mut scratch), "another answer: {text:?}");
    }
}

fn mark(matcher: &Matcher, text: &str, scratch: &mut MatcherScratch) -> [u64; 3] {
    let mut hits = [0; 3];
    matcher.mark(text, &[u64::MAX; 3], scratch, &mut hits);
    hits
}
