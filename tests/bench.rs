//! `caapc bench`: every figure that it promises, over the samples. No figure of time is judged.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SAMPLES: [&str; 12] = [
    "-p",
    "samples/policies",
    "-f",
    "samples/workloads",
    "--namespaces",
    "samples/namespaces.yaml",
    "--scans",
    "samples/scans",
    "--now",
    "2026-01-31T10:00:00Z",
    "--seconds",
    "0.01",
];

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_caapc"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("bench")
        .args(arguments)
        .output()
        .expect("caapc runs")
}

fn json(arguments: &[&str]) -> Value {
    let done = bench(arguments);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("one object of JSON")
}

#[test]
fn json_has_every_figure() {
    let figures = json(&[&SAMPLES[..], &["-o", "json"]].concat());
    for key in ["program_bytes", "instructions", "longest_path"] {
        assert!(figures[key].as_u64().is_some_and(|figure| figure > 0), "{key}: {figures}");
    }
    for key in ["compile_ms", "select_ns", "verdict_ns", "handler_ns"] {
        let at = |quantile: &str| figures[key][quantile].as_f64().expect("a number");
        let quantiles = ["min", "p50", "p99", "p999"].map(at);
        assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{key}: {quantiles:?}");
    }
    assert_eq!(figures["allocations_per_request"].as_f64(), Some(0.0));
}

/// More rules take more instructions and more bytes; both are read from the program.
#[test]
fn figures_are_of_the_policies_that_were_named() {
    let all = json(&[&SAMPLES[..], &["-o", "json"]].concat());
    let mut one = SAMPLES;
    one[1] = "samples/policies/reject-failed.yaml";
    let one = json(&[&one[..], &["-o", "json"]].concat());
    for key in ["program_bytes", "instructions"] {
        assert!(one[key].as_u64() < all[key].as_u64(), "{key}: {one} {all}");
    }
}

#[test]
fn people_get_a_table() {
    let done = bench(&SAMPLES);
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0));
    for row in [
        "policies ",
        "objects ",
        "images ",
        "program ",
        "allocations ",
        "TIME ",
        "compile, all policies ",
        "select, a request ",
        "verdict, an image ",
        "handler, a review ",
        "slowest ",
    ] {
        let line = text.lines().find(|line| line.starts_with(row));
        let figures =
            line.unwrap_or_else(|| panic!("no `{row}` in\n{text}")).trim_start_matches(row);
        assert!(!figures.trim().is_empty(), "{text}");
    }
}

/// A file for one test.
fn file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Objects that no policy is asked about are fast, and would make everything look fast.
#[test]
fn what_is_not_decided_is_not_measured() {
    let all = json(&[&SAMPLES[..], &["-o", "json"]].concat());
    let unknown = file(
        "bench-unknown.json",
        r#"{"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {"name": "train"}}"#,
    );
    let wrong = file(
        "bench-wrong.yaml",
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{image: 7}]}}",
    );
    let mut more = SAMPLES.to_vec();
    more.splice(4..4, [unknown.as_str(), wrong.as_str()]);
    more.extend(["-o", "json"]);
    let done = bench(&more);
    let figures: Value = serde_json::from_slice(&done.stdout).expect("one object of JSON");
    assert_eq!(figures["objects"], all["objects"]);
    assert_eq!(figures["objects_not_measured"], 2);
    let said = said(&done);
    assert!(said.contains("bench-unknown.json:1): caapc does not know this kind"), "{said}");
    assert!(said.contains("containers[0].image: expected a string, found a number"), "{said}");
}

#[test]
fn figures_of_nothing_come_with_a_warning() {
    let without =
        bench(&["-p", "samples/policies", "-f", "samples/workloads", "--seconds", "0.01"]);
    let warned = said(&without);
    assert!(warned.contains("namespace `shop` is not listed"), "{warned}");
    assert!(warned.contains("no image has one; name them with `--scans`"), "{warned}");
    let policy = std::fs::read_to_string("samples/policies/reject-failed.yaml").expect("a sample");
    let nothing = policy.replace("selector: all()", "selector: nobody == 'has this'");
    let nothing = file("bench-nothing.yaml", &nothing);
    let mut none = SAMPLES;
    none[1] = &nothing;
    let done = bench(&none);
    assert_eq!(done.status.code(), Some(0));
    assert!(said(&done).contains("no rule applies to any of these objects"), "{}", said(&done));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains("rules apply to 0"), "{text}");
}

/// Every object is measured at least once, whatever the budget is; more only within it.
#[test]
fn few_samples_have_no_high_percentiles() {
    let done = bench(&SAMPLES);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let compile = text.lines().find(|line| line.starts_with("compile")).expect("a row");
    let figures: Vec<&str> = compile.split_whitespace().collect();
    let samples: usize = figures.last().and_then(|last| last.parse().ok()).expect("a count");
    assert!(samples >= 3, "{text}");
    assert_eq!(samples < 1_000, figures[figures.len() - 2] == "-", "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let nothing = bench(&["-p", "samples/policies", "-f", "samples/namespaces.yaml"]);
    assert_eq!(nothing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(said.contains("nothing to measure"), "{said}");
    let forever = bench(&[&SAMPLES[..10], &["--seconds", "1e9"]].concat());
    assert_eq!(forever.status.code(), Some(2));
    let said = String::from_utf8_lossy(&forever.stderr).into_owned();
    assert!(said.contains("from 0.01 to 60"), "{said}");
}

#[test]
fn standard_input_is_read_once() {
    let mut twice = Command::new(env!("CARGO_BIN_EXE_caapc"));
    twice.current_dir(env!("CARGO_MANIFEST_DIR")).args(["bench", "-p", "-", "-f", "-"]);
    let policy = std::fs::File::open(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/samples/policies/reject-failed.yaml"
    ));
    let done = twice.stdin(policy.expect("a sample")).output().expect("caapc runs");
    assert_eq!(done.status.code(), Some(2));
    assert!(said(&done).contains("standard input (`-`) is given twice"), "{}", said(&done));
}
