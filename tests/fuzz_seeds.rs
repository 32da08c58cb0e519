//! Replays the kept inputs of every fuzz target with the stable compiler.
//!
//! The checks themselves are the targets' own: `fuzz/checks/`.

use std::path::Path;

#[path = "../fuzz/checks/listing.rs"]
mod listing;
#[path = "../fuzz/checks/machine.rs"]
mod machine;
#[path = "../fuzz/checks/matcher_bytes.rs"]
mod matcher_bytes;
#[path = "../fuzz/checks/matcher_patterns.rs"]
mod matcher_patterns;
#[path = "../fuzz/checks/pattern.rs"]
mod pattern;
#[path = "../fuzz/checks/policy.rs"]
mod policy;
#[path = "../fuzz/checks/policy_yaml.rs"]
mod policy_yaml;
#[path = "../fuzz/checks/program.rs"]
mod program;
#[path = "../fuzz/checks/review.rs"]
mod review;
#[path = "../fuzz/checks/scan_report.rs"]
mod scan_report;
#[path = "../fuzz/checks/selector.rs"]
mod selector;

/// What must hold of an input; it panics if it does not.
type Check = fn(&[u8]);

/// Every target. INVARIANT (all replayed): a folder of seeds without a line here fails a test.
const TARGETS: [(&str, Check); 10] = [
    ("listing", listing::check),
    ("pattern", pattern::check),
    ("matcher_bytes", matcher_bytes::check),
    ("matcher_patterns", matcher_patterns::check),
    ("policy", policy::check),
    ("policy_yaml", policy_yaml::check),
    ("program", program::check),
    ("review", review::check),
    ("scan_report", scan_report::check),
    ("selector", selector::check),
];

/// How many beginnings of each input are tried too.
const BEGINNINGS_MAX: usize = 64;

#[test]
fn kept_inputs_keep_their_promises() {
    for (target, check) in TARGETS {
        let folder = seeds().join(target);
        let mut inputs = 0;
        for entry in std::fs::read_dir(&folder).expect("every target has seeds") {
            let path = entry.expect("a folder can be listed").path();
            let input = std::fs::read(&path).expect("a seed can be read");
            // The name comes first, so that a panic says whose it is.
            eprintln!("{}", path.display());
            check(&input);
            // Beginnings are what a fuzzer would try next.
            for end in (0..input.len()).step_by(input.len() / BEGINNINGS_MAX + 1) {
                check(&input[..end]);
            }
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", folder.display());
    }
}

#[test]
fn every_folder_of_seeds_and_every_target_is_replayed() {
    let mut folders = names(&seeds());
    folders.sort();
    let mut targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    targets.sort();
    assert_eq!(folders, targets, "folders of fuzz/seeds and the list in this file");

    let mut programs = names(&seeds().join("../fuzz_targets"));
    programs.sort();
    let expected: Vec<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(programs, expected, "files of fuzz/fuzz_targets and the list in this file");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into())
        .collect()
}

fn seeds() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds")
}
