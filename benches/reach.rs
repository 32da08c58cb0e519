//! The reach of the machine: ratios in one run, interleaved, minimum of batches.
//!
//! `cargo bench -p caapc-compiler --bench reach` prints the table; `-- --svg FILE` also draws what
//! was measured. Every side's verdict is checked before anything is timed.
#![allow(missing_docs)]

#[path = "plot.rs"]
mod plot;
#[path = "workload.rs"]
mod workload;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use caapc_compiler::check::{Limits, read};
use caapc_compiler::link::Linker;
use caapc_compiler::policy::Entry;
use caapc_compiler::set::{OnInvalid, Set};
use caapc_compiler::unit::Unit;
use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};
use caapc_vm::program::Program;
use caapc_vm::run::{self, Scratch, Verdict};
use regex::RegexSet;

fn main() {
    let mut table = Table::default();
    let sets: Vec<Bench> = [10, 100, 1_000].into_iter().map(Bench::new).collect();
    let [w10, w100, w1000] = sets.as_slice() else { return };
    w1(&mut table);
    for (bench, must, aim) in [(w10, 0.05, 0.025), (w100, 0.005, 0.001)] {
        let baseline = Baseline::new(bench.policies);
        assert_eq!(baseline.decide(), Some(bench.policies * 10 - 1));
        let (ours, theirs) = race(|| bench.request(), || baseline.decide_all());
        let name = format!(
            "W{} with selectors / RegexSet a rule, per request of 3 images",
            bench.policies
        );
        table.ratio(&name, ours, theirs, must, aim);
        table.bar(format!("caapc, {} policies, selectors in", bench.policies), ours / 3.0, true);
        table.bar(format!("RegexSet a rule, {} policies", bench.policies), theirs / 3.0, false);
    }
    let (verdict10, verdict100) = race(|| w10.verdicts(), || w100.verdicts());
    table.ratio("verdict alone, W100 / W10", verdict100, verdict10, 1.3, 1.15);
    let (verdict10, verdict1000) = race(|| w10.verdicts(), || w1000.verdicts());
    table.ratio("verdict alone, W1000 / W10", verdict1000, verdict10, 2.5, 1.5);
    let (select10, select1000) = race(|| w10.select(), || w1000.select());
    table.ratio("selectors, W1000 / W10", select1000, select10, 1.5, 1.0);
    println!(
        "verdict for an image, ns: W10 {:.0}, W100 {:.0}, W1000 {:.0}",
        verdict10 / 3.0,
        verdict100 / 3.0,
        verdict1000 / 3.0
    );
    println!("selectors for a request, ns: W10 {select10:.0}, W1000 {select1000:.0}");
    compile_times(&mut table);
    hostile(&mut table);
    table.print();
    let mut arguments = std::env::args().skip_while(|argument| argument != "--svg").skip(1);
    if let Some(path) = arguments.next() {
        let svg = plot::svg("One image decided, minimum of batches", &table.bars);
        std::fs::write(&path, svg).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// A workload, compiled, with scratch that is ready.
struct Bench {
    policies: usize,
    program: Program,
    scratch: std::cell::RefCell<Scratch>,
}

const REQUEST: RequestFacts<'static> = RequestFacts {
    labels: &workload::LABELS,
    namespace_labels: &workload::NAMESPACE_LABELS,
    now: Timestamp::from_secs(workload::NOW_SECS),
    skew_secs: 300,
};

fn image(path: &str) -> ImageFacts<'_> {
    ImageFacts {
        path,
        canonical: None,
        status: ScanStatus::Warn,
        last_scan: Some(Timestamp::from_secs(workload::SCANNED_SECS)),
    }
}

fn entries(texts: &[String]) -> Vec<Entry> {
    texts.iter().flat_map(|text| read("workload", text, &Limits::default()).entries).collect()
}

impl Bench {
    fn new(policies: usize) -> Self {
        let before = resident_kib();
        let entries = entries(&workload::policies(policies));
        let units: Vec<Arc<Unit>> =
            entries.iter().map(|entry| Arc::new(caapc_compiler::compile(entry).unwrap())).collect();
        let program = Linker::new().link(&units).unwrap();
        let bench = Self { policies, program, scratch: std::cell::RefCell::default() };
        bench.check();
        let sizes = bench.program.draft().matcher.sizes();
        println!(
            "W{policies}: program {} KiB, matcher {} KiB ({} bytes a rule), resident {} KiB more while its units live",
            bench.program.encode().len() >> 10,
            sizes.total() >> 10,
            sizes.total() / (policies * 10),
            resident_kib().saturating_sub(before),
        );
        bench
    }

    fn check(&self) {
        self.select();
        for path in workload::IMAGES {
            let verdict = run::run(&self.program, &mut self.scratch.borrow_mut(), &image(path));
            let rule = verdict
                .rule()
                .and_then(|rule| self.program.rule(rule))
                .expect("the last rule decides");
            assert!(matches!(verdict, Verdict::Reject(_)));
            assert_eq!(
                (rule.policy, rule.index),
                (format!("policy-{:05}", self.policies - 1).as_str(), 9)
            );
        }
        assert_eq!(
            self.scratch.borrow().applied(),
            self.policies.min(if self.policies > 100 { 10 } else { 100 }) * 10
        );
    }

    fn select(&self) {
        run::select(&self.program, &mut self.scratch.borrow_mut(), black_box(&REQUEST));
    }

    fn verdicts(&self) {
        let mut scratch = self.scratch.borrow_mut();
        for path in workload::IMAGES {
            black_box(run::run(&self.program, &mut scratch, black_box(&image(path))));
        }
    }

    fn request(&self) {
        self.select();
        self.verdicts();
    }
}

/// What a careful engineer writes by hand: a `RegexSet` for each rule, asked in list order.
struct Baseline {
    rules: Vec<(RegexSet, bool, i64)>,
}

impl Baseline {
    fn new(policies: usize) -> Self {
        let rules = policies * 10;
        let rules = (0..rules)
            .map(|rule| {
                let set = RegexSet::new(workload::patterns(rule, rules)).unwrap();
                let bound = workload::NOW_SECS - i64::from(workload::days(rule, rules)) * 86_400;
                (set, workload::wants_status(rule, rules, "Warn"), bound)
            })
            .collect();
        Self { rules }
    }

    fn decide_image(&self, path: &str) -> Option<usize> {
        self.rules.iter().position(|(set, status, bound)| {
            set.is_match(path) && *status && workload::SCANNED_SECS > *bound
        })
    }

    fn decide(&self) -> Option<usize> {
        workload::IMAGES.iter().map(|path| self.decide_image(path)).next_back().flatten()
    }

    /// The selectors are left out: this side is timed as if they were free.
    fn decide_all(&self) {
        for path in workload::IMAGES {
            black_box(self.decide_image(black_box(path)));
        }
    }
}

fn w1(table: &mut Table) {
    let entries = entries(&[workload::SAMPLE.to_owned()]);
    let units = [Arc::new(caapc_compiler::compile(&entries[0]).unwrap())];
    let program = Linker::new().link(&units).unwrap();
    let mut scratch = Scratch::new();
    let regex = regex::Regex::new("^gcr.io/company/production-repository/.*").unwrap();
    run::select(&program, &mut scratch, &REQUEST);
    assert!(matches!(
        run::run(&program, &mut scratch, &image(workload::SAMPLE_IMAGE)),
        Verdict::Allow(_)
    ));
    let (ours, theirs) = race(
        || {
            run::select(&program, &mut scratch, black_box(&REQUEST));
            black_box(run::run(&program, &mut scratch, black_box(&image(workload::SAMPLE_IMAGE))));
        },
        || {
            let image = black_box(image(workload::SAMPLE_IMAGE));
            let allowed = regex.is_match(image.path)
                && matches!(image.status, ScanStatus::Pass | ScanStatus::Warn);
            black_box(allowed);
        },
    );
    table.ratio("W1 with selectors / one hand-written regex", ours, theirs, 1.0, 0.5);
}

fn compile_times(table: &mut Table) {
    let one = workload::policies(10).swap_remove(3);
    let (one, _) = race(
        || {
            let entries = read("workload", &one, &Limits::default()).entries;
            black_box(caapc_compiler::compile(&entries[0]).unwrap());
        },
        || {},
    );
    table.time("compile one policy of 10 rules, ms", one / 1e6, 1.0, 0.3);
    let texts = workload::policies(1_000);
    let all = texts.join("---\n");
    let cold = least(3, || {
        let entries = read("workload", &all, &Limits::default()).entries;
        let mut set = Set::new(OnInvalid::Deny);
        for entry in &entries {
            set.apply(entry);
        }
        black_box(set.link().unwrap());
    });
    table.time("1,000 policies from text to program, ms", cold / 1e6, 1_000.0, 300.0);
    let mut set = Set::new(OnInvalid::Deny);
    for entry in &entries(&texts) {
        set.apply(entry);
    }
    black_box(set.link().unwrap());
    let mut turn = 0;
    let changed = least(5, || {
        turn += 1;
        let text = texts[500].replace("days: 3", &format!("days: {}", 3 + turn));
        for entry in read("workload", &text, &Limits::default()).entries {
            set.apply(&entry);
        }
        black_box(set.link().unwrap());
    });
    table.time("one policy of 1,000 changed, to a program, ms", changed / 1e6, 50.0, 5.0);
}

fn hostile(table: &mut Table) {
    let patterns = [
        format!("(a|aa|aaa)*{}$", "b?".repeat(330)),
        format!("[^a]{}", ".{0,100}x".repeat(110)),
        format!("(?:{})+c", "a?".repeat(500)),
        r"\pL{100}\pN{100}".repeat(60).chars().take(1_020).collect(),
        "(x+x+)+y".repeat(128),
    ];
    let mut worst = 0.0_f64;
    for pattern in &patterns {
        let Ok(hir) = caapc_compiler::pattern::parse(pattern) else { continue };
        let time = least(3, || {
            use caapc_compiler::automata::{Builder, Limits, TailCache, shape};
            let Ok(shape) = shape(&hir, &Limits::default()) else { return };
            let mut builder = Builder::new();
            builder.add(&shape, 0);
            let _ = black_box(builder.finish(1, &mut TailCache::new()));
        });
        worst = worst.max(time / 1e6);
    }
    table.time("the worst of five hostile 1 KB patterns, ms", worst, 50.0, 5.0);
}

/// Nanoseconds of the fastest run.
fn least(runs: usize, mut work: impl FnMut()) -> f64 {
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_nanos() as f64
        })
        .fold(f64::MAX, f64::min)
}

/// Nanoseconds of the fastest batch of each side, the batches taken in turn.
fn race(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (f64, f64) {
    let (fast, slow) = (size(&mut ours), size(&mut theirs));
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..60 {
        best.0 = best.0.min(batch(&mut ours, fast));
        best.1 = best.1.min(batch(&mut theirs, slow));
    }
    best
}

/// How many calls take about two milliseconds.
fn size(work: &mut impl FnMut()) -> usize {
    let once = batch(work, 3).max(1.0);
    ((2e6 / once) as usize).clamp(1, 100_000)
}

fn batch(work: &mut impl FnMut(), size: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..size {
        work();
    }
    start.elapsed().as_nanos() as f64 / size as f64
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

#[derive(Default)]
struct Table {
    rows: Vec<(String, String, f64, f64, f64)>,
    bars: Vec<plot::Bar>,
}

impl Table {
    fn ratio(&mut self, name: &str, ours: f64, theirs: f64, must: f64, aim: f64) {
        let detail = format!("{ours:.0} / {theirs:.0} ns");
        self.rows.push((name.to_owned(), detail, ours / theirs, must, aim));
    }

    fn bar(&mut self, name: String, nanos: f64, ours: bool) {
        self.bars.push(plot::Bar { name, nanos, ours });
    }

    fn time(&mut self, name: &str, value: f64, must: f64, aim: f64) {
        self.rows.push((name.to_owned(), String::new(), value, must, aim));
    }

    fn print(&self) {
        println!("{:<66} {:>20} {:>9} {:>8} {:>7}", "what", "", "measured", "must", "aim");
        for (name, detail, value, must, aim) in &self.rows {
            let mark = if value <= aim {
                "aim"
            } else if value <= must {
                "must"
            } else {
                "MISSED"
            };
            println!("{name:<66} {detail:>20} {value:>9.4} {must:>8} {aim:>7}  {mark}");
        }
    }
}
