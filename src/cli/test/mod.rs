//! `caapc test`: users' own regression cases, next to their policies.
//!
//! A case is decided on the same road as `caapc eval` and the webhook. Start at [`run`].

pub mod file;
pub mod form;
pub mod report;

use std::path::PathBuf;

use self::file::{Expected, GROUP, Test};
use self::report::{Case, Difference};
use super::io::{Exit, Failure, Out, colour_wanted, path_name, read_text, shown};
use super::offline::Court;
use super::offline::facts::{add_scan, read_namespaces};
use super::offline::objects;
use super::offline::report::Line;
use super::{files, policies};
use crate::namespaces::Namespaces;
use crate::policy_set::PolicySet;
use crate::scan::files::{self as scan_files, Sources, ThresholdsGiven};

/// Run the regression cases of policies.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Test files, or folders in which every YAML or JSON file of `cli.caapc.dev/v1alpha1` is one;
    /// `-` is standard input.
    #[arg(value_name = "DIR", required = true)]
    paths: Vec<PathBuf>,

    /// Only tests whose name has this text.
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,

    /// How to print the results.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table, and what differs.
    #[default]
    Text,
    /// One JSON object for each case.
    Json,
    /// JUnit's XML.
    Junit,
}

const EXAMPLES: &str = r#"A test file, next to the policies it proves:

  apiVersion: cli.caapc.dev/v1alpha1
  kind: Test
  metadata: {name: production}
  now: "2026-01-31T10:00:00Z"            # the time of the decisions
  policies: [policies/]                  # files or folders, from this file on
  workloads: [web.yaml]                  # as for `caapc eval -f`
  namespaces: [namespaces.yaml]          # optional: Namespace manifests
  namespaceLabels: {env: prod}           # optional: of namespaces that are not listed
  scans:                                 # optional: what is known of images
  - {image: nginx:1.27, status: Pass, lastScan: 2d}
  - reports/                             #   or files and folders, as for `caapc eval --scans`
  exceptions: [exceptions.csv]           # optional
  settings: settings.yaml                # optional
  switches: {imagePath: both}            # optional: imagePath, ownerSkip, unchangedUpdates,
                                         #   onUnknownKind, compatMessages
  results:                               # one for each object
  - kind: Deployment                     # optional, as is namespace
    name: web
    decision: Reject                     # Allow or Reject
    policy: reject-failed                # optional: the policy and rule that decide
    rule: 1
    message: never scanned               # optional: part of the message
    images:                              # optional
    - {container: web, verdict: Reject, status: Unknown}

Examples:
  caapc test policies/
  caapc test policies/ --run production
  caapc test policies/ -o junit > results.xml

Exit codes: 0 every case passes; 1 a case fails; 2 a test file cannot be used."#;

/// Runs `caapc test`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let mut tests = find(&args.paths)?;
    if let Some(part) = &args.run {
        tests.retain(|test| test.name.contains(part));
        if tests.is_empty() {
            return Err(Failure::Input(format!("no test has `{}` in its name", shown(part))));
        }
    }
    let mut cases = Vec::new();
    for test in &tests {
        cases.extend(run_test(test)?);
    }
    out.text(&match args.output {
        Output::Text => report::text(&cases, colour_wanted())?,
        Output::Json => report::json(&cases)?,
        Output::Junit => report::junit(&cases),
    })?;
    Ok(if cases.iter().all(|case| case.passed) { Exit::Fine } else { Exit::Rejected })
}

/// The tests of files and folders; every fault of every file is told.
fn find(paths: &[PathBuf]) -> Result<Vec<Test>, Failure> {
    let (mut tests, mut faults) = (Vec::new(), Vec::new());
    for path in files::list(paths)? {
        let text = read_text(&path)?;
        // PERF: other files of the folder, such as charts, need not even be YAML.
        if !text.contains(GROUP) {
            if paths.contains(&path) {
                let name = shown(&path_name(&path));
                faults.push(format!("{name}: no `kind: Test` of {GROUP}/v1alpha1 in this file"));
            }
            continue;
        }
        match file::read(&path, &path_name(&path), &text) {
            Ok(found) => tests.extend(found),
            Err(found) => faults.extend(found),
        }
    }
    if !faults.is_empty() {
        return Err(Failure::Input(faults.join("\ncaapc: ")));
    }
    if tests.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| shown(&path_name(path))).collect();
        let sentence = format!("no `kind: Test` of {GROUP}/v1alpha1 in {}", names.join(", "));
        return Err(Failure::Input(sentence));
    }
    Ok(tests)
}

/// An object's answer, and the message of its rejection.
struct Found {
    line: Line,
    message: String,
    met: bool,
}

fn run_test(test: &Test) -> Result<Vec<Case>, Failure> {
    let mut found = decide(test)?;
    let mut cases: Vec<Case> =
        test.results.iter().map(|expected| judge(test, expected, &mut found)).collect();
    for lost in found.iter().filter(|found| !found.met) {
        let line = &lost.line;
        cases.push(Case {
            test: test.name.clone(),
            source: line.source.clone(),
            object: object(&line.kind, &line.namespace, &line.name),
            expected: "-".to_owned(),
            passed: false,
            differences: vec![Difference {
                field: "results".to_owned(),
                expected: "an entry for this object".to_owned(),
                found: format!("none; it is decided {}", line.decision),
            }],
        });
    }
    Ok(cases)
}

fn decide(test: &Test) -> Result<Vec<Found>, Failure> {
    let in_test = |failure: Failure| match failure {
        Failure::Input(why) => Failure::Input(format!("{}: {why}", shown(&test.source))),
        other => other,
    };
    let policies = policies::load(&test.policies).map_err(in_test)?;
    let (mut store, _) = scan_files::load(&Sources {
        scans: &test.scan_files,
        exceptions: &test.exceptions,
        settings: test.settings.as_deref(),
        thresholds: ThresholdsGiven::default(),
        now: test.now,
    })
    .map_err(|why| in_test(Failure::Input(shown(&why))))?;
    let scans = test.scans.iter().try_fold(store.snapshot(), |shelf, (image, fact)| {
        add_scan(shelf, image, *fact)
            .map_err(|why| in_test(Failure::Input(format!("scans: `{}`: {why}", shown(image)))))
    })?;
    let namespaces = match test.namespaces.as_slice() {
        [] => Namespaces::empty(),
        paths => read_namespaces(paths).map_err(in_test)?,
    };
    let mut court = Court::new(
        PolicySet::new(policies.program, 1),
        namespaces,
        scans,
        test.options.clone(),
        test.now,
        test.namespace_labels.clone(),
    );
    let mut found = Vec::new();
    objects::each(&test.workloads, "default", &mut |item| {
        court.decide(&item, |_, answer| {
            let line = Line::new(&item, answer);
            found.push(Found { line, message: answer.message.to_owned(), met: false });
            Ok(())
        })
    })
    .map_err(in_test)?;
    Ok(found)
}

fn judge(test: &Test, expected: &Expected, found: &mut [Found]) -> Case {
    let is = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
    let meant = found.iter_mut().find(|found| {
        let line = &found.line;
        !found.met
            && line.name == expected.name
            && is(&expected.kind, &line.kind)
            && is(&expected.namespace, &line.namespace)
    });
    let file = test.source.rsplit_once(':').map_or("", |(file, _)| file);
    let kind = expected.kind.as_deref().unwrap_or("object");
    let namespace = expected.namespace.as_deref().unwrap_or_default();
    let mut case = Case {
        test: test.name.clone(),
        source: format!("{file}:{}", expected.line),
        object: object(kind, namespace, &expected.name),
        expected: expected.decision.clone(),
        passed: false,
        differences: Vec::new(),
    };
    match meant {
        Some(meant) => {
            meant.met = true;
            let line = &meant.line;
            case.object = object(&line.kind, &line.namespace, &line.name);
            case.differences = differences(expected, line, &meant.message);
        }
        None => case.differences.push(Difference {
            field: "object".to_owned(),
            expected: case.object.clone(),
            found: "no such object in the workloads".to_owned(),
        }),
    }
    case.passed = case.differences.is_empty();
    case
}

fn differences(expected: &Expected, line: &Line, message: &str) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut compare = |field: String, expected: Option<String>, found: String| {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            all.push(Difference { field, expected, found });
        }
    };
    let none = || "none".to_owned();
    let number = |number: Option<u32>| number.map_or_else(none, |number| number.to_string());
    let deciding = line
        .images
        .iter()
        .find(|image| image.verdict == "Reject")
        .or(line.images.iter().find(|image| image.policy.is_some()));
    let (policy, rule) = deciding.map_or((None, None), |image| (image.policy.clone(), image.rule));
    compare("decision".to_owned(), Some(expected.decision.clone()), line.decision.to_owned());
    compare("policy".to_owned(), expected.policy.clone(), policy.unwrap_or_else(none));
    compare("rule".to_owned(), expected.rule.map(|rule| rule.to_string()), number(rule));
    if let Some(part) = expected.message.as_ref().filter(|part| !message.contains(*part)) {
        compare("message".to_owned(), Some(format!("…{part}…")), message.to_owned());
    }
    for wanted in &expected.images {
        let field = |name: &str| format!("images[{}]{name}", wanted.container);
        let Some(image) = line.images.iter().find(|image| image.container == wanted.container)
        else {
            compare(field(""), Some("an image".to_owned()), "no such container".to_owned());
            continue;
        };
        let rule = wanted.rule.map(|rule| rule.to_string());
        compare(field(".verdict"), wanted.verdict.clone(), image.verdict.to_owned());
        compare(field(".policy"), wanted.policy.clone(), image.policy.clone().unwrap_or_else(none));
        compare(field(".rule"), rule, number(image.rule));
        compare(field(".status"), wanted.status.clone(), image.status.to_owned());
    }
    all
}

fn object(kind: &str, namespace: &str, name: &str) -> String {
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{kind} {namespace}{slash}{name}")
}
