//! `caapc bench`: every figure that it promises, over the samples. No figure of time is judged.

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
        "program, bytes ",
        "longest path of an image ",
        "allocations a request ",
        "NANOSECONDS ",
        "compile, all policies ",
        "select, a request ",
        "verdict, an image ",
        "handler, a review ",
    ] {
        let line = text.lines().find(|line| line.starts_with(row));
        let figures =
            line.unwrap_or_else(|| panic!("no `{row}` in\n{text}")).trim_start_matches(row);
        assert!(!figures.trim().is_empty(), "{text}");
    }
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
