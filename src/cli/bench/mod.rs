//! `caapc bench`: how fast a user's own policies decide a user's own workloads.
//!
//! It measures what the webhook runs, by the same doors; nothing is simulated. What is measured is
//! in `measure`, how in `samples`, what is said of it in `report`. Start at [`run()`].

mod measure;
mod report;
mod samples;

use std::path::PathBuf;
use std::time::Duration;

use self::measure::{Survey, compile, handler, machine, survey};
use self::samples::Samples;
use super::io::{Exit, Failure, Out, Output, tell};
use super::offline::Court;
use super::offline::facts::{Facts, Labels};
use super::offline::objects;
use super::policies;
use super::switches::Switches;
use crate::policy_set::PolicySet;

/// Measure your own policies on your own workloads
///
/// Four things are timed: compiling all policies from text; selecting the policies of a request;
/// the verdict of an image; and the whole handler, which is what one review costs the webhook but
/// for HTTP and TLS: it reads the JSON, looks up scans, selects, decides and writes the answer.
///
/// Of each there are the least, the median, the 99th and the 99.9th percentile. A sample of what
/// takes less than two microseconds is the mean of a batch of calls, since the clock itself takes
/// some nanoseconds. A percentile that the samples are too few for is left out (`-`).
///
/// Objects that the policies are not asked about are not measured, and it is said why.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXAMPLES)]
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

    /// How long each of the four timings takes, in seconds.
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

const EXAMPLES: &str = r#"Examples:
  As the webhook would meet them, with the labels of namespaces and the scans of images:
    caapc bench -p policies/ -f workloads/ --namespaces namespaces.yaml --scans reports/

  Of a release build, for longer, to compare two versions of a policy:
    caapc bench -p before/ -f workloads/ --seconds 5
    caapc bench -p after/ -f workloads/ --seconds 5

  For a program; `compile_ms` is in milliseconds, keys that end in `_ns` in nanoseconds:
    caapc bench -p policies/ -f workloads/ -o json | jq .handler_ns.p99

How to read it: `handler` is what matters to a cluster. `verdict` and `select` tell whether the
policies are the reason; most of a handler's time is usually reading the JSON of the review. If
only some objects are slow, `slowest` names the one. On a machine that does other work, compare
the least (MIN) and the median. Allocations other than 0 are a fault of caapc.

Exit codes: 0 it was measured; 2 the input cannot be used, or holds nothing to measure."#;

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|seconds| (0.01..=60.0).contains(seconds)).ok_or_else(|| {
        format!("`{}` is not a number of seconds from 0.01 to 60", super::io::shown(text))
    })
}

/// Most objects that are measured.
const OBJECTS_MAX: usize = 10_000;

/// All that was found.
struct Figures {
    /// Whether the policies came as a program, which is read back instead of compiled.
    read_back: bool,
    program_bytes: usize,
    instructions: usize,
    longest_path: usize,
    policies: usize,
    rules: usize,
    survey: Survey,
    compile: Samples,
    select: Samples,
    verdict: Samples,
    handler: Samples,
    /// The place of the slowest object among those measured, and its median.
    slowest: (usize, f64),
    allocations: f64,
}

/// Runs `caapc bench`; `allocations` counts those of this process so far.
pub fn run(args: Args, allocations: fn() -> u64, out: &mut Out) -> Result<Exit, Failure> {
    let loaded = policies::load(&args.policies)?;
    let budget = Duration::from_secs_f64(args.seconds);
    let now = args.facts.now()?;
    let labels: Option<Labels> = args.facts.namespace_labels.clone();
    let (namespaces, scans) = (args.facts.namespaces()?, args.facts.scans(now)?);
    let mut items = Vec::new();
    let rest = objects::each(&args.files, &args.namespace, &mut |item| {
        if items.len() == OBJECTS_MAX {
            return Err(Failure::Input(format!(
                "more than {OBJECTS_MAX} objects, the limit; name fewer files"
            )));
        }
        items.push(item);
        Ok(())
    })?;
    rest.tell();
    let compile = compile(&loaded, budget)?;
    let program = loaded.program;
    let mut figures = Figures {
        read_back: loaded.policies.is_none(),
        program_bytes: program.encode().len(),
        instructions: program.draft().code.len(),
        longest_path: program.longest_linked(),
        policies: program.policy_count(),
        rules: program.rule_count(),
        survey: Survey::default(),
        compile,
        select: Samples::default(),
        verdict: Samples::default(),
        handler: Samples::default(),
        slowest: (0, 0.0),
        allocations: 0.0,
    };
    let set = PolicySet::new(program, 1);
    let mut court = Court::new(set, namespaces, scans, args.switches.options(), now, labels);
    figures.survey = survey(&mut court, items)?;
    report::warn(&figures, &court);
    if figures.survey.items.is_empty() {
        let what = "no image to decide, so there is nothing to measure";
        return Err(Failure::Input(what.to_owned()));
    }
    if cfg!(debug_assertions) {
        tell(format_args!(
            "caapc: this is a debug build: build with `--release` for figures that count"
        ));
    }
    let items = &figures.survey.items;
    (figures.select, figures.verdict) = machine(&mut court, items, budget)?;
    (figures.handler, figures.slowest) = handler(&mut court, items, budget)?;
    figures.allocations = measure::allocations(&mut court, items, allocations)?;
    match args.output {
        Output::Json => out.line(&report::json(&figures).to_string())?,
        Output::Text => out.text(&report::text(&figures)?)?,
    }
    Ok(Exit::Fine)
}
