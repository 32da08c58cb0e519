//! Reviews and their answers: one folder each, decided at a fixed time.
//!
//! Every case is decided by the machine and, image by image, by the plain evaluator; both must
//! agree before the answer is even compared. `recordings.txt` does the same with every recorded
//! review.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use caapc::admission::decide::Decision;
use caapc::admission::options::{
    ImagePath, MissingNamespace, Mode, OnUnknownKind, Options, OwnerSkip, UnchangedUpdates,
};
use caapc::admission::{Answer, Snapshot, Worker, answer};
use caapc::cli::offline::facts;
use caapc::namespaces::{Namespace, Namespaces};
use caapc::policy_set::PolicySet;
use caapc::scan::{ScanShelf, ScanState};
use caapc_compiler::check::{Limits, Reader};
use caapc_compiler::link::Linker;
use caapc_compiler::oracle::{Oracle, Outcome};
use caapc_compiler::policy::Entry;
use caapc_compiler::time::parse_rfc3339;
use caapc_compiler::yaml::{self, Node};
use caapc_vm::facts::{ImageFacts, ScanStatus, Timestamp};
use caapc_vm::program::Action;
use caapc_vm::run::{Scratch, Verdict};
use caapc_vm::trace::trace;
use serde_json::Value;

use crate::service;
use crate::suite::{Case, Shape, Suite, root};

/// `golden/decide/`.
pub const SUITE: Suite = Suite {
    name: "decide",
    folder: "golden/decide",
    beside: &[],
    shape: Shape::Folder {
        inputs: &[
            "policies.yaml",
            "review.json",
            "namespaces.yaml",
            "scans.yaml",
            "switches",
            "now",
        ],
        outputs: &["response.json", "trace.txt"],
        expect,
    },
    together: None,
};

/// `golden/recordings.txt`.
pub const RECORDINGS: Suite = Suite {
    name: "recordings",
    folder: "golden/recordings.txt",
    beside: &[],
    shape: Shape::Page { expect: recordings },
    together: None,
};

/// The time of a case without a `now` file.
const NOW: &str = "2026-01-31T10:00:00Z";

fn expect(case: &Case) -> Result<Vec<(&'static str, String)>, String> {
    let now = case.file("now")?.unwrap_or_else(|| NOW.to_owned());
    let now = parse_rfc3339(now.trim())?;
    let text = case.file("policies.yaml")?.ok_or("a case needs policies.yaml")?;
    let (entries, snapshot) = shelves(
        &text,
        namespaces(case.file("namespaces.yaml")?.as_deref())?,
        scans(case.file("scans.yaml")?.as_deref(), now)?,
    )?;
    let options = options(case.file("switches")?.as_deref().unwrap_or_default())?;
    let review = case.file("review.json")?.ok_or("a case needs review.json")?;

    let mut worker = Worker::new();
    let answer = answer(&mut worker, &snapshot, &options, now, review.as_bytes());
    http_agrees(&snapshot, &options, now, review.as_bytes(), &answer)?;
    let body: Value = serde_json::from_slice(answer.body).map_err(|why| why.to_string())?;
    check_bounds(&body)?;
    let response = serde_json::to_string_pretty(&body).map_err(|why| why.to_string())?;
    let mut out = vec![("response.json", response + "\n")];
    if let Some((_, decision)) = &answer.decided {
        oracle_agrees(&entries, decision)?;
        if let Some(trace) = traced(&snapshot, decision) {
            out.push(("trace.txt", trace));
        }
    }
    Ok(out)
}

/// The service answers with the same bytes.
fn http_agrees(
    snapshot: &Snapshot,
    options: &Options,
    now: Timestamp,
    review: &[u8],
    answer: &Answer<'_>,
) -> Result<(), String> {
    let (code, body) = service::post(snapshot, options, now, review)?;
    // Before it gives up on a namespace, the service asks a cluster, and says that there is none.
    let same = body == answer.body || answer.missing_namespace().is_some();
    if code == answer.code && same {
        return Ok(());
    }
    Err(format!("over HTTP the answer is {code}: {}", String::from_utf8_lossy(&body)))
}

/// The shelves, and the policies for the plain evaluator. Faults are left in: a policy that does
/// not compile is a case too.
fn shelves(
    policies: &str,
    namespaces: Namespaces,
    scans: ScanShelf,
) -> Result<(Vec<Entry>, Snapshot), String> {
    let entries = Reader::new(Limits::default()).read("policies.yaml", policies).entries;
    let units: Vec<_> =
        entries.iter().map(|entry| Arc::new(caapc_compiler::compile(entry))).collect();
    let program = Linker::new().link(&units).map_err(|why| why.to_string())?;
    let snapshot = Snapshot {
        policies: Arc::new(PolicySet::new(program, 1)),
        namespaces: Arc::new(namespaces),
        scans: Arc::new(scans),
        generation: 1,
    };
    Ok((entries, snapshot))
}

/// A mapping from namespace to labels.
fn namespaces(text: Option<&str>) -> Result<Namespaces, String> {
    let Some(root) = document(text.unwrap_or("demo: {}"))? else { return Ok(Namespaces::empty()) };
    let pairs = root.pairs().ok_or("namespaces.yaml: expected `name: {label: value}`")?;
    let namespace = |pair: &yaml::Pair<'_>| {
        let labels = pair.node.pairs().unwrap_or_default().iter();
        let labels = labels.map(|label| {
            let value = label.node.scalar().map_or("", |scalar| &scalar.text);
            (label.key.to_string(), value.to_owned())
        });
        Namespace::new(&pair.key, labels)
    };
    Ok(pairs.iter().map(namespace).collect())
}

/// A list of `{image, status, lastScan, state}`.
fn scans(text: Option<&str>, now: Timestamp) -> Result<ScanShelf, String> {
    let Some(root) = text.map(document).transpose()?.flatten() else {
        return Ok(ScanShelf::empty());
    };
    let yaml::Value::Sequence(items) = &root.value else {
        return Err("scans.yaml: expected a list".to_owned());
    };
    items.iter().try_fold(ScanShelf::empty(), |shelf, item| {
        let field =
            |name| item.get(name).and_then(|node| node.scalar()).map(|scalar| &*scalar.text);
        let (image, status) =
            field("image").zip(field("status")).ok_or("image or status missing")?;
        let mut fact = facts::fact(status, field("lastScan"), now)?;
        fact.state = match field("state") {
            None => fact.state,
            Some("pending") => ScanState::Pending,
            Some("failed") => ScanState::Failed,
            Some("tooLarge") => ScanState::TooLarge,
            Some("unsupported") => ScanState::Unsupported,
            Some("expired") => ScanState::Expired,
            Some(other) => return Err(format!("scans.yaml: unknown state {other}")),
        };
        facts::add_scan(shelf, image, fact)
    })
}

fn document(text: &str) -> Result<Option<Node<'_>>, String> {
    let mut documents = yaml::documents(text, &yaml::Limits::default());
    let document = documents.next();
    match document {
        Some(document) if !document.faults.is_empty() => Err(document.faults[0].message.clone()),
        Some(document) => Ok(document.root),
        None => Ok(None),
    }
}

/// Words such as `image-path=both compat-messages`, as on a command line.
fn options(text: &str) -> Result<Options, String> {
    let mut options = Options::default();
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let wrong = || format!("switches: `{word}` is none");
        match name {
            "image-path" => options.image_path = ImagePath::from_word(value).ok_or_else(wrong)?,
            "owner-skip" => options.owner_skip = OwnerSkip::from_word(value).ok_or_else(wrong)?,
            "unchanged-updates" => {
                options.unchanged_updates = UnchangedUpdates::from_word(value).ok_or_else(wrong)?;
            }
            "on-unknown-kind" => {
                options.on_unknown_kind = OnUnknownKind::from_word(value).ok_or_else(wrong)?;
            }
            "compat-messages" => options.compat_messages = true,
            "mode" => options.mode = Mode::from_word(value).ok_or_else(wrong)?,
            "mode-label" => options.mode_label = Some(value.into()),
            "missing-namespace" => {
                options.missing_namespace = MissingNamespace::from_word(value).ok_or_else(wrong)?;
            }
            _ => return Err(wrong()),
        }
    }
    Ok(options)
}

/// What the API server demands of every answer (spec: webhook, "Answers").
fn check_bounds(body: &Value) -> Result<(), String> {
    let response = &body["response"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let plain = |text: &str| !text.chars().any(|c| c.is_control() && c != '\n');
    if response["allowed"] == false {
        let (reason, message) =
            (text(&response["status"]["reason"]), text(&response["status"]["message"]));
        if !message.starts_with(&reason) || reason.is_empty() || message.len() > 1024 {
            return Err(format!("message of {} bytes for reason {reason:?}", message.len()));
        }
        if !plain(&message) || reason.contains('\n') || response["status"]["code"] != 403 {
            return Err(format!("an unsafe message or another code than 403: {message:?}"));
        }
    }
    let none = Vec::new();
    let warnings: Vec<String> =
        response["warnings"].as_array().unwrap_or(&none).iter().map(text).collect();
    let chars: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
    let unsafe_ = warnings.iter().any(|one| !plain(one) || one.contains('\n') || one.is_empty());
    let twice = warnings.iter().enumerate().any(|(nth, one)| warnings[..nth].contains(one));
    if chars > 4096 || unsafe_ || twice {
        return Err(format!("warnings that the API server would drop: {warnings:?}"));
    }
    for (key, value) in response["auditAnnotations"].as_object().into_iter().flatten() {
        if key.len() > 63 || key.contains('/') || !value.is_string() || text(value).len() > 1024 {
            return Err(format!("audit annotation {key}: {value}"));
        }
    }
    Ok(())
}

/// The plain evaluator, which defines what is right, says the same of every image.
fn oracle_agrees(entries: &[Entry], decision: &Decision<'_>) -> Result<(), String> {
    let oracle = Oracle::new(entries)?;
    let Some(facts) = &decision.facts else { return Ok(()) };
    for image in decision.images {
        let right = oracle.decide(facts, &image.facts);
        let same = match (&right, image.verdict, image.rule) {
            (Outcome::Pass, Verdict::Pass, _) => true,
            (Outcome::Decided { policy, rule, action }, _, Some(found)) => {
                (*policy, *rule, *action) == (found.policy, found.index, found.action)
            }
            _ => false,
        };
        let name = image.container.image;
        if !same {
            return Err(format!("{name}: the oracle says {right:?}, the machine another"));
        }
        let rejects =
            |outcome: &Outcome| matches!(outcome, Outcome::Decided { action: Action::Reject, .. });
        let scanned =
            ImageFacts { status: ScanStatus::Pass, last_scan: Some(facts.now), ..image.facts };
        let helps = image.known.is_some()
            && image.scan.state != ScanState::Scanned
            && rejects(&right)
            && !rejects(&oracle.decide(facts, &scanned));
        if image.scan_helps != helps {
            return Err(format!("{name}: the oracle says of a scan that it helps: {helps}"));
        }
    }
    Ok(())
}

fn traced(snapshot: &Snapshot, decision: &Decision<'_>) -> Option<String> {
    let facts = decision.facts.as_ref()?;
    let mut scratch = Scratch::new();
    let traces: Vec<String> = decision
        .images
        .iter()
        .map(|image| trace(snapshot.policies.program(), &mut scratch, facts, &image.facts).1)
        .collect();
    // One image shows the way; a case of sixty is about something else.
    traces.into_iter().take(3).reduce(|all, one| all + "\n" + &one)
}

const RECORDED_NOW: &str = "2026-11-21T06:00:00Z";
const RECORDED_SCANS: &str = "
- {image: 'nginx:1.27', status: Pass, lastScan: 2d}
- {image: 'registry.example/init:1.0', status: Warn, lastScan: 1d}
- {image: 'registry.example/agent:2', status: Fail, lastScan: 1h}
- {image: 'registry.example/bare:5', status: Pass, lastScan: 4d}
- {image: 'busybox:1.36', status: Fail, lastScan: 1d}
";

fn recordings() -> Result<String, String> {
    let now = parse_rfc3339(RECORDED_NOW)?;
    let read =
        |path: &Path| std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()));
    let policies = read(&root().join("samples/wild/1-reject-failed-and-non-gcr.yaml"))?;
    let policies = String::from_utf8(policies).map_err(|why| why.to_string())?;
    // The same policy without its first rule: no recorded image is in its repository.
    let policies = policies
        .replace("^gcr.io/company/production-repository/.*", "^(nginx|busybox|registry\\.example)");
    let (entries, snapshot) =
        shelves(&policies, namespaces(None)?, scans(Some(RECORDED_SCANS), now)?)?;
    let mut page =
        "What is answered to each recorded review: those of a user are decided, those of\n\
        controllers for objects whose owner was decided are not.\n"
            .to_owned();
    let mut files: Vec<_> = std::fs::read_dir(root().join("golden/recordings"))
        .map_err(|why| why.to_string())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    let mut worker = Worker::new();
    for path in files {
        let body = read(&path)?;
        let answer = answer(&mut worker, &snapshot, &Options::default(), now, &body);
        http_agrees(&snapshot, &Options::default(), now, &body, &answer)?;
        let (request, decision) = answer.decided.ok_or("a recording is no review")?;
        oracle_agrees(&entries, &decision)?;
        check_bounds(&serde_json::from_slice(answer.body).map_err(|why| why.to_string())?)?;
        let word = if decision.rejected { "Reject" } else { "Allow" };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let user = request.user.rsplit(':').next().unwrap_or_default();
        let dry = if request.dry_run { ", dry run" } else { "" };
        let _ = writeln!(page, "\n{name} by {user}{dry}\n  {word} {}", decision.why.word());
        for line in answer.message.lines() {
            let _ = writeln!(page, "  {line}");
        }
    }
    Ok(page)
}
