//! What must hold of any program that verified: it runs, prints and round-trips.
//!
//! Shared by the targets `policy`, `program` and `listing`.

use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};
use caapc_vm::listing::{Options, listing};
use caapc_vm::program::Program;
use caapc_vm::run::{self, Scratch, Verdict};

/// 2026-01-31T10:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_769_853_600);

/// Panics if the program breaks a promise of the machine.
pub(crate) fn check(program: &Program) {
    let bytes = program.encode();
    let again = Program::decode(&bytes).expect("what was encoded decodes");
    assert_eq!(again.encode(), bytes, "another program after its bytes");

    let text = listing(program, &Options::default());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");

    let (mut scratch, mut fresh) = (Scratch::new(), Scratch::new());
    let label_sets: [&[(&str, &str)]; 3] =
        [&[], &[("a", "b"), ("env", "prod")], &[("a", ""), ("b", "c"), ("team", "a")]];
    for labels in label_sets {
        for namespace_labels in label_sets {
            let facts = RequestFacts { labels, namespace_labels, now: NOW, skew_secs: 300 };
            run::select(program, &mut scratch, &facts);
            for image in images() {
                let verdict = run::run(program, &mut scratch, &image);
                if let Verdict::Allow(rule) | Verdict::Reject(rule) = verdict {
                    assert!(program.rule(rule).is_some(), "a rule that is not there");
                }
                // A scratch that was never used, and policy by policy: always the same answer.
                run::select(&again, &mut fresh, &facts);
                assert_eq!(run::run(&again, &mut fresh, &image), verdict);
                let walked = run::walk(program, &mut Scratch::new(), &facts, &image, &mut |_| {});
                assert_eq!(walked, verdict, "one by one, and all at once");
            }
        }
    }
}

fn images() -> [ImageFacts<'static>; 4] {
    let image = |path, status, last_scan| ImageFacts { path, canonical: None, status, last_scan };
    [
        image("", ScanStatus::Unknown, None),
        image("gcr.io/company/app:1", ScanStatus::Pass, Some(NOW)),
        image("a", ScanStatus::Fail, Some(NOW.plus_secs(-3 * 86_400))),
        image("日本\n", ScanStatus::Warn, Some(NOW.plus_secs(86_400))),
    ]
}
