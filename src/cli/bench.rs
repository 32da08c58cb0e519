//! `caapc bench`: how fast a user's own policies decide a user's own workloads.
//!
//! It measures what the webhook runs, by the same doors; nothing is simulated. Start at [`run()`].

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use caapc_vm::program::Program;
use caapc_vm::run::{self, Scratch};
use serde_json::json;

use super::io::{Exit, Failure, Out, Output, tell};
use super::offline::Court;
use super::offline::facts::{Facts, Labels};
use super::offline::objects::{self, Item};
use super::policies::{self, Loaded};
use super::switches::Switches;
use crate::admission::{Answer, Snapshot};
use crate::policy_set::PolicySet;

/// Measure your own policies on your own workloads
///
/// For compiling all policies from text, selecting the policies of a request, the verdict of an
/// image, and the whole handler from body to answer (all but HTTP and TLS): the minimum, the
/// median, the 99th and the 99.9th percentile in nanoseconds (of compiling in milliseconds in
/// JSON); and how often a request allocates, which is never.
///
///   caapc bench -p policies/ -f workloads/
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Files or folders with policies; `-` is standard input.
    #[arg(short, long, value_name = "FILES", num_args = 1.., required = true)]
    policies: Vec<PathBuf>,

    /// Files or folders with workloads, Lists or AdmissionReviews, YAML or JSON; `-` is standard
    /// input.
    #[arg(short, long, value_name = "FILES", num_args = 1.., required = true)]
    files: Vec<PathBuf>,

    /// The namespace of manifests that name none.
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,

    /// How long each of the four is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,

    #[command(flatten)]
    facts: Facts,

    #[command(flatten)]
    switches: Switches,

    /// How to print the figures.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|seconds| (0.01..=60.0).contains(seconds)).ok_or_else(|| {
        format!("`{}` is not a number of seconds from 0.01 to 60", super::io::shown(text))
    })
}

/// Most objects that are measured.
const OBJECTS_MAX: usize = 10_000;

/// Runs `caapc bench`; `allocations` counts those of this process so far.
pub fn run(args: Args, allocations: fn() -> u64, out: &mut Out) -> Result<Exit, Failure> {
    let loaded = policies::load(&args.policies)?;
    let budget = Duration::from_secs_f64(args.seconds);
    let compile = compile(&loaded, budget)?;
    let program_bytes = loaded.program.encode().len();
    let instructions = loaded.program.draft().code.len();
    let longest_path = loaded.program.longest_linked();
    let now = args.facts.now()?;
    let labels: Option<Labels> = args.facts.namespace_labels.clone();
    let mut court = Court::new(
        PolicySet::new(loaded.program, 1),
        args.facts.namespaces()?,
        args.facts.scans(now)?,
        args.switches.options(),
        now,
        labels,
    );
    let mut items = Vec::new();
    objects::each(&args.files, &args.namespace, &mut |item| {
        if items.len() == OBJECTS_MAX {
            return Err(Failure::Input(format!(
                "more than {OBJECTS_MAX} objects, the limit; name fewer files"
            )));
        }
        items.push(item);
        Ok(())
    })?;
    if items.is_empty() {
        return Err(Failure::Input(
            "no object to decide, so there is nothing to measure".to_owned(),
        ));
    }
    if cfg!(debug_assertions) {
        tell(format_args!("this is a debug build: build with `--release` for figures that count"));
    }
    let (select, verdict) = machine(&mut court, &items, budget)?;
    if verdict.0.is_empty() {
        return Err(Failure::Input(
            "no image to decide, so there is nothing to measure".to_owned(),
        ));
    }
    let (handler, allocated) = handler(&mut court, &items, budget, allocations)?;
    let figures = json!({
        "compile_ms": compile.figures(1e-6),
        "program_bytes": program_bytes,
        "instructions": instructions,
        "longest_path": longest_path,
        "objects": items.len(),
        "select_ns": select.figures(1.0),
        "verdict_ns": verdict.figures(1.0),
        "handler_ns": handler.figures(1.0),
        "allocations_per_request": allocated,
    });
    match args.output {
        Output::Json => out.line(&figures.to_string())?,
        Output::Text => print(
            &figures,
            &[
                ("compile, all policies", compile),
                ("select, a request", select),
                ("verdict, an image", verdict),
                ("handler, a review", handler),
            ],
            out,
        )?,
    }
    Ok(Exit::Fine)
}

fn print(
    figures: &serde_json::Value,
    timings: &[(&str, Samples)],
    out: &mut Out,
) -> Result<(), Failure> {
    for (name, key) in [
        ("program, bytes", "program_bytes"),
        ("instructions", "instructions"),
        ("longest path of an image", "longest_path"),
        ("objects measured", "objects"),
        ("allocations a request", "allocations_per_request"),
    ] {
        out.line(&format!("{name:<28} {:>12}", figures[key].to_string()))?;
    }
    out.line(&format!(
        "\n{:<28} {:>9} {:>9} {:>9} {:>9}",
        "NANOSECONDS", "MIN", "P50", "P99", "P99.9"
    ))?;
    for (name, samples) in timings {
        let [min, p50, p99, p999] = samples.quantiles();
        out.line(&format!("{name:<28} {min:>9.0} {p50:>9.0} {p99:>9.0} {p999:>9.0}"))?;
    }
    Ok(())
}

/// Nanoseconds of single calls.
#[derive(Default)]
struct Samples(Vec<f64>);

impl Samples {
    /// Times `work` until the budget is used up. A sample is the mean of a batch of about two
    /// microseconds, or of one call if that takes longer: the clock itself takes tens of
    /// nanoseconds.
    fn take(&mut self, budget: Duration, mut work: impl FnMut()) {
        const BATCH_NANOS: f64 = 2_000.0;
        let once = time(64, &mut work);
        let batch = ((BATCH_NANOS / once.max(1.0)) as u32).clamp(1, 1_000);
        let start = Instant::now();
        while start.elapsed() < budget {
            for _ in 0..16 {
                self.0.push(time(batch, &mut work));
            }
        }
    }

    fn quantiles(&self) -> [f64; 4] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |quantile: f64| {
            let place =
                ((sorted.len() as f64 * quantile) as usize).min(sorted.len().saturating_sub(1));
            sorted.get(place).copied().unwrap_or(0.0)
        };
        [at(0.0), at(0.5), at(0.99), at(0.999)]
    }

    /// The quantiles; `unit` is 1 for nanoseconds, 1e-6 for milliseconds.
    fn figures(&self, unit: f64) -> serde_json::Value {
        let step = if unit < 1.0 { 1e4 } else { 10.0 };
        let rounded = |nanos: f64| (nanos * unit * step).round() / step;
        let [min, p50, p99, p999] = self.quantiles().map(rounded);
        json!({"min": min, "p50": p50, "p99": p99, "p999": p999})
    }
}

/// Nanoseconds of one call, the mean of so many.
fn time(calls: u32, work: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// From text to program, all policies together; a program that was read back is verified again.
fn compile(loaded: &Loaded, budget: Duration) -> Result<Samples, Failure> {
    const RUNS: std::ops::RangeInclusive<usize> = 3..=1_000;
    let bytes = loaded.program.encode();
    let mut samples = Samples::default();
    let start = Instant::now();
    while samples.0.len() < *RUNS.start()
        || (samples.0.len() < *RUNS.end() && start.elapsed() < budget)
    {
        let sources = loaded.policies.as_ref().map(|policies| policies.sources.clone());
        let begun = Instant::now();
        match sources {
            Some(sources) => drop(black_box(policies::compile_all(sources)?)),
            None => drop(black_box(Program::decode(&bytes))),
        }
        samples.0.push(begun.elapsed().as_nanos() as f64);
    }
    Ok(samples)
}

/// The machine alone: selection for each object, and the verdict of each of its images.
fn machine(
    court: &mut Court,
    items: &[Item],
    budget: Duration,
) -> Result<(Samples, Samples), Failure> {
    let (mut select, mut verdict) = (Samples::default(), Samples::default());
    let mut scratch = Scratch::new();
    let each = budget / items.len() as u32;
    for item in items {
        court.decide(item, |snapshot: &Snapshot, answer: &Answer<'_>| {
            let program = snapshot.policies.program();
            let Some((_, decision)) = &answer.decided else { return Ok(()) };
            let Some(facts) = &decision.facts else { return Ok(()) };
            select.take(each, || run::select(program, &mut scratch, black_box(facts)));
            let images = decision.images.len().max(1) as u32;
            for image in decision.images {
                verdict.take(each / images, || {
                    black_box(run::run(program, &mut scratch, black_box(&image.facts)));
                });
            }
            Ok(())
        })?;
    }
    Ok((select, verdict))
}

/// From body to answer, and how often that allocates once everything has its size.
fn handler(
    court: &mut Court,
    items: &[Item],
    budget: Duration,
    allocations: fn() -> u64,
) -> Result<(Samples, f64), Failure> {
    let mut samples = Samples::default();
    let each = budget / items.len() as u32;
    for item in items {
        court.decide(item, |_, _| Ok(()))?;
        samples.take(each, || {
            let _ = black_box(court.decide(item, |_, _| Ok(())));
        });
    }
    const ROUNDS: u64 = 20;
    let before = allocations();
    for _ in 0..ROUNDS {
        for item in items {
            court.decide(item, |_, _| Ok(()))?;
        }
    }
    let count = allocations() - before;
    Ok((samples, count as f64 / (ROUNDS * items.len() as u64) as f64))
}
