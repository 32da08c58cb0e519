//! The pages of `docs/lint` are true: the wrong example of each has the finding that the page is
//! about, and the right one has no finding at all.

use std::collections::BTreeSet;

use caapc_compiler::check::{Limits, read};
use caapc_compiler::diagnostic::{Severity, codes};

#[test]
fn every_page_shows_what_is_wrong_and_what_is_right() {
    for code in codes::ALL {
        let examples: Vec<&str> = code
            .page
            .split("```yaml\n")
            .skip(1)
            .filter_map(|part| part.split("```").next())
            .collect();
        let [wrong, right] = examples[..] else { panic!("{}: not two examples", code.id) };
        let found = read("example.yaml", wrong, &Limits::default()).diagnostics;
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|found| found.code == *code), "{}: {shown:#?}", code.id);
        // What is wrong with it is the one thing.
        let others = found.iter().filter(|found| found.code != *code);
        assert_eq!(others.count(), 0, "{}: {shown:#?}", code.id);
        let found = read("example.yaml", right, &Limits::default());
        let shown: Vec<String> = found.diagnostics.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty() && !found.entries.is_empty(), "{}: {shown:#?}", code.id);
    }
}

#[test]
fn every_page_has_its_title_and_no_page_has_no_code() {
    for code in codes::ALL {
        assert!(code.page.starts_with(&format!("# {}: {}\n", code.id, code.title)), "{}", code.id);
        let sort = match code.severity {
            Severity::Error => "An error: the policy does not compile.",
            Severity::Warning => "A warning: the policy compiles, and decides what it says.",
        };
        assert!(code.page.contains(sort), "{}", code.id);
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lint");
    let pages: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("docs/lint")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("name"))
        .collect();
    let list = std::fs::read_to_string(format!("{folder}/README.md")).expect("README.md");
    let mut expected: BTreeSet<String> = BTreeSet::from(["README.md".to_owned()]);
    for code in codes::ALL {
        expected.insert(format!("{}.md", code.id));
        let word = code.severity.word();
        let row = format!("| [{0}]({0}.md) | {word} | {1} |\n", code.id, code.title);
        assert!(list.contains(&row), "docs/lint/README.md lacks {row}");
    }
    assert_eq!(pages, expected);
}
