//! `caapc eval`: what policies decide of workloads, without a cluster.
//!
//! It reads and prints; what is decided comes from `admission`. Start at [`run`].

use std::path::PathBuf;

use caapc_vm::run::Scratch;
use caapc_vm::trace::trace;
use serde_json::json;

use super::io::{Exit, Failure, Out, Output, colour_wanted, shown, tell, tell_part};
use super::offline::facts::{self, Facts, Labels};
use super::offline::objects::{self, Item, Rest};
use super::offline::report::{Line, text};
use super::offline::{Court, Warnings};
use super::policies;
use super::switches::Switches;
use crate::admission::workload::Workload;
use crate::admission::{Answer, Snapshot};
use crate::policy_set::PolicySet;

/// Decide workloads, or one image, as the webhook would.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = EXAMPLES,
    override_usage = "caapc eval -p FILES... -f FILES... [OPTIONS]\n       \
                      caapc eval -p FILES... --image IMAGE [--status STATUS] [OPTIONS]"
)]
pub struct Args {
    /// Files or folders with policies; `-` is standard input.
    #[arg(short, long, value_name = "FILES", num_args = 1.., required = true)]
    policies: Vec<PathBuf>,

    /// Files or folders with workloads, Lists or AdmissionReviews, YAML or JSON; `-` is standard
    /// input. Manifests count as created by a user.
    #[arg(short, long, value_name = "FILES", num_args = 1.., required_unless_present = "image")]
    files: Vec<PathBuf>,

    /// The namespace of manifests that name none.
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,

    /// Decide a Pod with this image instead of files; may be given many times.
    #[arg(long, value_name = "IMAGE", conflicts_with = "files", help_heading = "Without files")]
    image: Vec<String>,

    /// The scan status of the images: Pass, Warn, Fail or Unknown.
    #[arg(
        long,
        value_name = "STATUS",
        requires = "image",
        conflicts_with = "files",
        help_heading = "Without files"
    )]
    status: Option<String>,

    /// When the images were last scanned: a time, an age such as `2d`, or `never`.
    #[arg(
        long,
        value_name = "WHEN",
        requires = "status",
        conflicts_with = "files",
        help_heading = "Without files"
    )]
    last_scan: Option<String>,

    /// The labels of the Pod.
    #[arg(long, value_name = "K=V,...", requires = "image", conflicts_with = "files", value_parser = facts::labels, help_heading = "Without files")]
    labels: Option<Labels>,

    #[command(flatten)]
    facts: Facts,

    #[command(flatten)]
    switches: Switches,

    /// Show each instruction that was run, and on what value; beside JSON, on standard error.
    #[arg(long)]
    trace: bool,

    /// How to print the answers: for people, or one JSON object a line.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

const EXAMPLES: &str = r#"Examples:
  What the policies of a folder decide of a manifest, with what is known of its image:
    caapc eval -p policies/ -f deployment.yaml --scan nginx:1.27=Pass,2d

  As of another day, with the labels of the namespaces:
    caapc eval -p policies/ -f app/ --namespaces namespaces.yaml --now 2026-01-31T10:00:00Z

  One image, without a manifest:
    caapc eval -p policies/ --image nginx:1.27 --status Fail --last-scan 2d --labels team=a

  What a chart would get:
    helm template ./chart | caapc eval -p policies/ -f - -n prod --namespace-labels env=prod

  For a program, one line for each object:
    caapc eval -p policies/ -f app/ -o json
    {"source":"app/web.yaml:1","kind":"Deployment","namespace":"default","name":"web",
     "decision":"Reject","reason":"Action 'Reject' enforced by ContainerPolicy strict rule index 1",
     "images":[{"container":"web","image":"nginx:1.27","verdict":"Reject","policy":"strict",
                "rule":1,"status":"Unknown","lastScan":null}]}

Exit codes: 0 everything is allowed; 1 something is rejected; 2 the input cannot be used."#;

/// Runs `caapc eval`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let now = args.facts.now()?;
    let policies = policies::load(&args.policies)?;
    let mut scans = args.facts.scans(now)?;
    let pod = pod(&args)?;
    for image in &args.image {
        if let Some(status) = &args.status {
            let fact = facts::fact(status, args.last_scan.as_deref(), now);
            let added = fact.and_then(|fact| facts::add_scan(scans, image, fact));
            scans = added
                .map_err(|why| Failure::Input(format!("--image `{}`: {why}", shown(image))))?;
        }
    }
    let mut court = Court::new(
        PolicySet::new(policies.program, 1),
        args.facts.namespaces()?,
        scans,
        args.switches.options(),
        now,
        args.facts.namespace_labels.clone(),
    );
    let mut printer = Printer {
        out,
        output: args.output,
        colour: colour_wanted(),
        warnings: Warnings::default(),
        rejected: 0,
        trace: args.trace.then(Scratch::new),
    };
    let rest = if let Some(pod) = pod {
        printer.decide(&mut court, &pod)?;
        Rest { items: 1, ..Rest::default() }
    } else {
        objects::each(&args.files, &args.namespace, &mut |item| printer.decide(&mut court, &item))?
    };
    printer.finish(&rest)
}

/// The Pod that stands for `--image`, if there is one.
fn pod(args: &Args) -> Result<Option<Item>, Failure> {
    if args.image.is_empty() {
        return Ok(None);
    }
    let containers: Vec<_> = args
        .image
        .iter()
        .enumerate()
        .map(|(nth, image)| json!({"name": format!("image-{nth}"), "image": image}))
        .collect();
    let labels = args.labels.as_deref().unwrap_or_default();
    let labels: serde_json::Map<_, _> =
        labels.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "image", "namespace": args.namespace, "labels": labels},
        "spec": {"containers": containers},
    });
    objects::manifest("--image".to_owned(), Workload::Pod, &object, &args.namespace).map(Some)
}

/// The way of each image through the program, indented under its object.
fn traces(scratch: &mut Scratch, snapshot: &Snapshot, answer: &Answer<'_>) -> String {
    let Some((_, decision)) = &answer.decided else { return String::new() };
    let Some(facts) = &decision.facts else { return String::new() };
    let mut text = String::new();
    for image in decision.images {
        let (_, steps) = trace(snapshot.policies.program(), scratch, facts, &image.facts);
        for line in steps.lines() {
            text.push_str("    ");
            text.push_str(&shown(line));
            text.push('\n');
        }
    }
    text
}

struct Printer<'o> {
    out: &'o mut Out,
    output: Output,
    colour: bool,
    warnings: Warnings,
    rejected: usize,
    /// The machine's, if each instruction is shown.
    trace: Option<Scratch>,
}

impl Printer<'_> {
    fn decide(&mut self, court: &mut Court, item: &Item) -> Result<(), Failure> {
        let now = court.now();
        court.decide(item, |snapshot, answer| {
            self.warnings.tell(answer);
            let trace = self.trace.as_mut().map(|scratch| traces(scratch, snapshot, answer));
            let line = Line::new(item, answer);
            self.rejected += usize::from(line.reason.is_some());
            match self.output {
                Output::Text => {
                    let text = text(item, answer, now, self.colour)?;
                    self.out.line(&format!("{text}{}", trace.unwrap_or_default()))
                }
                Output::Json => {
                    tell_part(format_args!("{}", trace.unwrap_or_default()));
                    let line = serde_json::to_string(&line);
                    self.out.line(&line.map_err(|error| Failure::Environment(error.to_string()))?)
                }
            }
        })
    }

    fn finish(self, rest: &Rest) -> Result<Exit, Failure> {
        if self.output == Output::Text && rest.items > 0 {
            let allowed = rest.items - self.rejected;
            let objects = if rest.items == 1 {
                "1 object".to_owned()
            } else {
                format!("{} objects", rest.items)
            };
            self.out.line(&format!("{objects}: {allowed} allowed, {} rejected", self.rejected))?;
        }
        self.out.flush()?;
        rest.tell();
        if rest.items == 0 {
            tell(format_args!("caapc: no object to decide"));
        }
        Ok(if self.rejected > 0 { Exit::Rejected } else { Exit::Fine })
    }
}
