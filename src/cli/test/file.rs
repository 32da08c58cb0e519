//! A test file: `kind: Test`, read and checked whole before anything is decided.
//!
//! Start at [`read`]; the format is shown in the help of `caapc test`.

use std::path::{Path, PathBuf};

use caapc_compiler::time::parse_rfc3339;
use caapc_compiler::yaml::{self, Limits, Lines, Node};
use caapc_vm::facts::Timestamp;

use super::form::{Faults, Form};
use crate::admission::options::{ImagePath, OnUnknownKind, Options, OwnerSkip, UnchangedUpdates};
use crate::cli::io::shown;
use crate::cli::offline::facts;
use crate::scan::ScanFact;

/// The group of files that only the command line reads.
pub const GROUP: &str = "cli.caapc.dev";
const API_VERSION: &str = "cli.caapc.dev/v1alpha1";

/// One `kind: Test` document.
#[derive(Debug)]
pub struct Test {
    /// `metadata.name`.
    pub name: String,
    /// `file:line`.
    pub source: String,
    /// The time of its decisions.
    pub now: Timestamp,
    /// Policies, as paths that can be opened.
    pub policies: Vec<PathBuf>,
    /// Workloads, likewise.
    pub workloads: Vec<PathBuf>,
    /// Namespace manifests, likewise.
    pub namespaces: Vec<PathBuf>,
    /// Labels of the namespaces that are not listed.
    pub namespace_labels: Option<facts::Labels>,
    /// What is known of images.
    pub scans: Vec<(String, ScanFact)>,
    /// Reports and ImageScans, as paths that can be opened.
    pub scan_files: Vec<PathBuf>,
    /// VulnerabilityExceptions, likewise.
    pub exceptions: Vec<PathBuf>,
    /// ImageAssuranceSettings, likewise.
    pub settings: Option<PathBuf>,
    /// The switches.
    pub options: Options,
    /// What is expected, one for each object.
    pub results: Vec<Expected>,
}

/// What is expected of one object.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Line of the file.
    pub line: u32,
    /// The object's kind; absent: any.
    pub kind: Option<String>,
    /// Its namespace; absent: any.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// `Allow` or `Reject`.
    pub decision: String,
    /// The policy that rejects it, or that allows its first image that a rule allows.
    pub policy: Option<String>,
    /// The rule, from zero.
    pub rule: Option<u32>,
    /// Part of the message of a rejection.
    pub message: Option<String>,
    /// What is expected of some images.
    pub images: Vec<ExpectedImage>,
}

/// What is expected of one image.
#[derive(Clone, Debug, Default)]
pub struct ExpectedImage {
    /// The container's or volume's name.
    pub container: String,
    /// `Allow` or `Reject`.
    pub verdict: Option<String>,
    /// The policy that decides it.
    pub policy: Option<String>,
    /// The rule, from zero.
    pub rule: Option<u32>,
    /// Its scan status.
    pub status: Option<String>,
}

/// Reads the tests of a file. Documents of other groups are passed over.
///
/// # Errors
/// Every fault of the file, each with its place.
pub fn read(path: &Path, file: &str, text: &str) -> Result<Vec<Test>, Vec<String>> {
    let mut faults = Faults { file: shown(file), lines: Lines::new(text), found: Vec::new() };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut tests = Vec::new();
    for document in yaml::documents(text, &Limits::default()) {
        for fault in &document.faults {
            faults.note(fault.span.start, "", &fault.message);
        }
        let Some(root) = &document.root else { continue };
        let api_version = root.get("apiVersion").and_then(Node::as_str).unwrap_or_default();
        if api_version.split('/').next() == Some(GROUP) {
            tests.extend(read_test(root, folder, &mut faults));
        }
    }
    if faults.found.is_empty() { Ok(tests) } else { Err(faults.sorted()) }
}

const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "now",
    "policies",
    "workloads",
    "namespaces",
    "namespaceLabels",
    "scans",
    "exceptions",
    "settings",
    "switches",
    "results",
];

fn read_test(root: &Node<'_>, folder: &Path, faults: &mut Faults<'_>) -> Option<Test> {
    let form = Form::new(root, "", FIELDS, faults)?;
    form.word("apiVersion", &[API_VERSION], |word| (word == API_VERSION).then_some(()), faults);
    form.word("kind", &["Test"], |word| (word == "Test").then_some(()), faults);
    let metadata =
        form.get("metadata").and_then(|node| Form::new(node, "metadata", &["name"], faults));
    let name = match metadata {
        Some(metadata) => metadata.required("name", faults),
        None => {
            faults.note(form.start(), "metadata.name", "is missing");
            String::new()
        }
    };
    let now = read_now(&form, faults);
    let paths = |name: &str, required: bool, faults: &mut Faults<'_>| {
        let texts = form.texts(name, faults);
        if required && texts.is_empty() {
            faults.note(form.start(), name, "is missing; name files or folders, from this file on");
        }
        texts.iter().map(|text| folder.join(text)).collect::<Vec<_>>()
    };
    let results: Vec<_> = form
        .items("results")
        .iter()
        .filter_map(|(node, path)| read_expected(node, path, faults))
        .collect();
    if results.is_empty() {
        faults.note(form.start(), "results", "is missing; say what is expected of each object");
    }
    Some(Test {
        name,
        source: format!("{}:{}", faults.file, faults.lines.line(form.start())),
        now,
        policies: paths("policies", true, faults),
        workloads: paths("workloads", true, faults),
        namespaces: paths("namespaces", false, faults),
        namespace_labels: read_labels(&form, faults),
        scans: read_scans(&form, now, faults),
        scan_files: scan_files(&form).map(|text| folder.join(text)).collect(),
        exceptions: paths("exceptions", false, faults),
        settings: form.text("settings", faults).map(|text| folder.join(text)),
        options: read_switches(&form, faults).unwrap_or_default(),
        results,
    })
}

fn read_now(form: &Form<'_, '_>, faults: &mut Faults<'_>) -> Timestamp {
    let text = form.required("now", faults);
    if text.is_empty() {
        return Timestamp::MIN;
    }
    parse_rfc3339(&text).unwrap_or_else(|why| {
        let at = form.get("now").map_or(0, |node| node.span.start);
        faults.note(at, "now", &format!("{why}; write a time such as 2026-01-31T10:00:00Z"));
        Timestamp::MIN
    })
}

fn read_labels(form: &Form<'_, '_>, faults: &mut Faults<'_>) -> Option<facts::Labels> {
    let node = form.get("namespaceLabels")?;
    let Some(pairs) = node.pairs() else {
        let what = format!("expected a mapping, found {}", node.describe());
        faults.note(node.span.start, "namespaceLabels", &what);
        return None;
    };
    let mut labels = Vec::new();
    for pair in pairs {
        match pair.node.as_str() {
            Some(value) => labels.push((pair.key.to_string(), value.to_owned())),
            None => {
                let what = format!(
                    "expected a string, found {}; put quotes around it",
                    pair.node.describe()
                );
                faults.note(pair.node.span.start, &form.path("namespaceLabels"), &what);
            }
        }
    }
    Some(labels.into())
}

fn read_scans(
    form: &Form<'_, '_>,
    now: Timestamp,
    faults: &mut Faults<'_>,
) -> Vec<(String, ScanFact)> {
    let mut scans = Vec::new();
    for (node, path) in form.items("scans").into_iter().filter(|(node, _)| node.scalar().is_none())
    {
        let Some(scan) = Form::new(node, &path, &["image", "status", "lastScan"], faults) else {
            continue;
        };
        let image = scan.required("image", faults);
        let status = scan.required("status", faults);
        let when = scan.text("lastScan", faults);
        if image.is_empty() || status.is_empty() {
            continue;
        }
        match facts::fact(&status, when.as_deref(), now) {
            Ok(fact) => scans.push((image, fact)),
            Err(why) => faults.note(scan.start(), &path, &why),
        }
    }
    scans
}

/// The items of `scans` that are files, not facts.
fn scan_files<'n>(form: &Form<'n, '_>) -> impl Iterator<Item = &'n str> {
    let items = form.items("scans").into_iter();
    items.filter_map(|(node, _)| node.scalar()).map(|scalar| &*scalar.text)
}

fn read_switches(form: &Form<'_, '_>, faults: &mut Faults<'_>) -> Option<Options> {
    const KNOWN: &[&str] =
        &["imagePath", "ownerSkip", "unchangedUpdates", "onUnknownKind", "compatMessages"];
    let form = Form::new(form.get("switches")?, "switches", KNOWN, faults)?;
    macro_rules! switch {
        ($name:literal, $type:ty) => {{
            let words: Vec<&str> = <$type>::ALL.iter().map(|value| value.word()).collect();
            form.word($name, &words, <$type>::from_word, faults).unwrap_or_default()
        }};
    }
    Some(Options {
        image_path: switch!("imagePath", ImagePath),
        owner_skip: switch!("ownerSkip", OwnerSkip),
        unchanged_updates: switch!("unchangedUpdates", UnchangedUpdates),
        on_unknown_kind: switch!("onUnknownKind", OnUnknownKind),
        compat_messages: form.truth("compatMessages", faults).unwrap_or_default(),
        ..Options::default()
    })
}

fn read_expected(node: &Node<'_>, path: &str, faults: &mut Faults<'_>) -> Option<Expected> {
    const KNOWN: &[&str] =
        &["kind", "namespace", "name", "decision", "policy", "rule", "message", "images"];
    let form = Form::new(node, path, KNOWN, faults)?;
    let images = form.items("images");
    Some(Expected {
        line: faults.lines.line(form.start()),
        kind: form.text("kind", faults),
        namespace: form.text("namespace", faults),
        name: form.required("name", faults),
        decision: {
            form.required("decision", faults);
            decision(&form, "decision", faults).unwrap_or_default()
        },
        policy: form.text("policy", faults),
        rule: form.number("rule", faults),
        message: form.text("message", faults),
        images: images.iter().filter_map(|(node, path)| read_image(node, path, faults)).collect(),
    })
}

fn read_image(node: &Node<'_>, path: &str, faults: &mut Faults<'_>) -> Option<ExpectedImage> {
    const KNOWN: &[&str] = &["container", "verdict", "policy", "rule", "status"];
    let form = Form::new(node, path, KNOWN, faults)?;
    Some(ExpectedImage {
        container: form.required("container", faults),
        verdict: decision(&form, "verdict", faults),
        policy: form.text("policy", faults),
        rule: form.number("rule", faults),
        status: form.text("status", faults),
    })
}

/// `Allow` or `Reject`, as in a policy.
fn decision(form: &Form<'_, '_>, name: &str, faults: &mut Faults<'_>) -> Option<String> {
    let known = ["Allow", "Reject"];
    form.word(name, &known, |word| known.contains(&word).then(|| word.to_owned()), faults)
}
