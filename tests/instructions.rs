//! How many instructions the hot paths take, kept in `benches/instructions.md` within 3%.
//!
//! `cargo test --test instructions` compares; `BLESS=1 cargo test --test instructions` rewrites the
//! table. Counts do not depend on what else the machine does, so CI can hold them. They are of the
//! test build, in which the machine and the compiler are optimised but checked: compare them with
//! themselves. Counted by `valgrind --tool=callgrind` in a child: this binary run again as
//! [`counted`], with nothing in its environment and programs compiled beforehand.
//! Without valgrind, on another processor or with another compiler nothing is compared, and the
//! test says so loudly. Start at [`main`].
#![allow(dead_code, reason = "the workloads have more than is counted")]

#[path = "support/arguments.rs"]
mod arguments;
mod reviews;
#[path = "../benches/workload.rs"]
mod workload;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use caapc::admission::decide::decide;
use caapc::admission::options::Options;
use caapc::admission::{Worker, answer, review};
use caapc_compiler::check::{Limits, read};
use caapc_vm::matcher::MatcherScratch;
use caapc_vm::program::Program;
use caapc_vm::run::{self, Scratch};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.md");
/// Where the programs are left for the child.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");
/// How far a count may be from the table.
const TOLERANCE: f64 = 0.03;
/// How often each row's work is done while it is counted.
const TIMES: u64 = 8;
/// Rows are named where they are counted; the child prints the names in this form.
const ROW: &str = "row: ";
/// What makes a process the child.
const COUNT: &str = "--count";
/// The name of the only test.
const TEST: &str = "instruction_counts_stay_within_three_percent";

/// Without the harness, so that what is counted is all that its process does.
fn main() {
    if std::env::args().any(|argument| argument == COUNT) {
        return counted();
    }
    let asked = arguments::Arguments::read();
    match (asked.want(TEST), asked.list) {
        (true, true) => println!("{TEST}: test"),
        (true, false) => instruction_counts_stay_within_three_percent(),
        (false, _) => {}
    }
}

fn instruction_counts_stay_within_three_percent() {
    if let Err(why) = countable() {
        return skip(&why);
    }
    for policies in [1, 10, 100, 1_000] {
        std::fs::write(file(policies), program(policies).encode()).expect("a program file");
    }
    let rows = count();
    assert!(rows.len() >= 12, "{} rows were counted", rows.len());
    let old = std::fs::read_to_string(TABLE).unwrap_or_default();
    if std::env::var_os("BLESS").is_some() && std::env::var_os("CI").is_none() {
        std::fs::write(TABLE, print(&rows)).expect("the table");
        return println!("instructions: {} rows were written", rows.len());
    }
    if !old.contains(&compiler()) {
        return skip(&format!("the table was not counted with {}", compiler()));
    }
    let told = difference(&parse(&old), &rows);
    assert!(
        told.is_empty(),
        "instructions, {TABLE}:\n{told}if that is meant: BLESS=1 cargo test --test instructions\n"
    );
    println!("instructions: {} rows are within 3% of the table", rows.len());
}

fn skip(why: &str) {
    eprintln!("\n!!! SKIPPED: instructions are not compared: {why} !!!\n");
}

/// What cannot be compared is not counted.
fn countable() -> Result<(), String> {
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
    return Err("the table is of x86_64-unknown-linux-gnu".to_owned());
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    {
        // Searches of bytes choose their code by what the processor can do.
        if !std::arch::is_x86_feature_detected!("avx2") {
            return Err("this processor has no AVX2, which the table assumes".to_owned());
        }
        if !cfg!(debug_assertions) {
            return Err("the table is of the test build, this is another".to_owned());
        }
        for changes in ["CARGO_INCREMENTAL", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            if std::env::var_os(changes).is_some() {
                return Err(format!("{changes} is set, and changes the code that is made"));
            }
        }
        let found = Command::new("valgrind").arg("--version").output();
        found.map(drop).map_err(|error| format!("valgrind: {error}; install it"))
    }
}

/// `rustc 1.95.0 (...)`: other versions make other code.
fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn file(policies: usize) -> PathBuf {
    Path::new(FOLDER).join(format!("instructions-{policies}.program"))
}

fn program(policies: usize) -> Program {
    let texts = workload::texts(policies);
    reviews::snapshot(&texts.join("---\n"), &[], &[]).policies.program().clone()
}

/// Name and instructions of each row: callgrind writes a file each time [`counting_ends`] is called.
fn count() -> Vec<(String, u64)> {
    let out = Path::new(FOLDER).join("instructions.callgrind");
    for file in dumps(&out) {
        std::fs::remove_file(file).expect("an old count");
    }
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--zero-before=*counting_begins*",
            "--dump-before=*counting_ends*",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("a path"))
        .arg(COUNT)
        // Where the stack begins and how bytes are copied depends on the environment.
        .env_clear()
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-ERMS,-FSRM")
        .output()
        .expect("valgrind runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{said}");
    let names = printed.lines().filter_map(|line| line.split_once(ROW)).map(|(_, name)| name);
    let counts = dumps(&out);
    let names: Vec<_> = names.collect();
    assert_eq!(names.len() + 1, counts.len(), "{printed}\n{said}");
    names
        .into_iter()
        .zip(counts.into_iter().skip(1))
        .map(|(name, file)| {
            let text = std::fs::read_to_string(&file).expect("a count");
            let count = text.lines().find_map(|line| line.strip_prefix("summary: "));
            let count: u64 = count.and_then(|count| count.trim().parse().ok()).expect("a summary");
            assert!(count > 0, "{name}: nothing was counted");
            (name.to_owned(), count / TIMES)
        })
        .collect()
}

/// What callgrind wrote, in order.
fn dumps(out: &Path) -> Vec<PathBuf> {
    (1..)
        .map(|nth| PathBuf::from(format!("{}.{nth}", out.display())))
        .take_while(|file| file.exists())
        .collect()
}

fn difference(old: &[(String, u64)], new: &[(String, u64)]) -> String {
    let mut told = String::new();
    for (name, count) in new {
        match old.iter().find(|(known, _)| known == name) {
            None => _ = writeln!(told, "  {name}: {count}, not in the table"),
            Some((_, before)) => {
                let change = *count as f64 / *before as f64 - 1.0;
                if change.abs() > TOLERANCE {
                    _ = writeln!(
                        told,
                        "  {name}: {before} before, {count} now, {:+.1}%",
                        change * 100.0
                    );
                }
            }
        }
    }
    for (name, _) in old.iter().filter(|(name, _)| new.iter().all(|(known, _)| known != name)) {
        _ = writeln!(told, "  {name}: in the table, but not counted");
    }
    told
}

fn print(rows: &[(String, u64)]) -> String {
    let mut text = format!(
        "# Instruction counts\n\nCounted by callgrind in the test build with {}.\n\
         `cargo test --test instructions` fails if one moves by more than 3%; \
         `BLESS=1 cargo test --test instructions` writes this file. \
         The machine and the compiler are optimised there, the room `admission` is not: \
         compare counts with themselves.\n\n| what | instructions |\n|---|---:|\n",
        compiler()
    );
    for (name, count) in rows {
        _ = writeln!(text, "| {name} | {count} |");
    }
    text
}

fn parse(table: &str) -> Vec<(String, u64)> {
    let row = |line: &str| {
        let (name, count) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// Callgrind knows these two by name: what happens between them is a row.
#[inline(never)]
fn counting_begins() {
    black_box(1);
}

/// See [`counting_begins`].
#[inline(never)]
fn counting_ends() {
    black_box(2);
}

/// Counts one row, after everything has its size.
fn row(name: &str, mut work: impl FnMut()) {
    println!("{ROW}{name}");
    work();
    work();
    counting_begins();
    for _ in 0..TIMES {
        work();
    }
    counting_ends();
}

/// The child.
fn counted() {
    // The first count also holds what came before it, so it is thrown away.
    counting_begins();
    counting_ends();
    for policies in [1, 10, 100, 1_000] {
        machine(policies);
    }
    matcher();
    compile();
    handler();
}

fn load(policies: usize) -> Program {
    let bytes = std::fs::read(file(policies)).expect("the test above wrote it");
    Program::decode(&bytes).expect("a program")
}

fn machine(policies: usize) {
    let program = load(policies);
    let mut scratch = Scratch::new();
    let mut select = |name, labels: &[workload::Labels]| {
        let mut turns = labels.iter().cycle();
        row(&format!("select, W{policies}, {name}"), || {
            let labels = turns.next().expect("they go round");
            run::select(&program, &mut scratch, black_box(&workload::request(labels)));
        });
    };
    select("other labels each time", &workload::shuffled_labels());
    select("the same labels", &[workload::LABELS.to_vec()]);
    let images = workload::images(policies);
    row(&format!("verdicts, W{policies}"), || {
        for path in images {
            let image = black_box(workload::image(path));
            black_box(run::run(&program, &mut scratch, &image));
        }
    });
}

fn matcher() {
    let program = load(100);
    let matcher = &program.draft().matcher;
    let words = matcher.hits().div_ceil(64) as usize;
    let (wanted, mut hits, mut scratch) =
        (vec![u64::MAX; words], vec![0; words], MatcherScratch::new());
    scratch.prepare(matcher);
    row("patterns alone, W100, 3 images", || {
        for image in workload::IMAGES {
            hits.fill(0);
            matcher.mark(black_box(image), &wanted, &mut scratch, &mut hits);
        }
    });
}

fn compile() {
    let text = workload::policies(10).swap_remove(3);
    row("compile one policy of 10 rules, text to unit", || {
        let entries = read("workload", &text, &Limits::default()).entries;
        black_box(caapc_compiler::compile(&entries[0]));
    });
}

/// A recorded review, from body to answer; the policies apply to whatever it is about.
fn handler() {
    let policies = workload::policies(10).join("---\n");
    let policies: Vec<&str> = policies.lines().filter(|line| !line.contains("elector:")).collect();
    let snapshot = reviews::snapshot(&policies.join("\n"), &[("demo", &[])], &[]);
    let (_, body) = &reviews::recordings()[0];
    let (mut worker, options) = (Worker::new(), Options::default());
    row("answer the review of a Deployment, W10", || {
        black_box(answer(&mut worker, &snapshot, &options, reviews::NOW, body).code);
    });
    // Most of that is marking JSON, whose vector instructions are calls in this build.
    let arena = bumpalo::Bump::new();
    let request = review::read(body, &arena).expect("a review");
    let mut scratch = Scratch::new();
    row("the same, from where its envelope is read to the decision", || {
        let decision = decide(&snapshot, &options, &request, reviews::NOW, &mut scratch, &arena);
        black_box(decision.rejected);
    });
}
