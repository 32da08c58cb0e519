//! Objects from files, as the reviews that an API server would send.
//!
//! Manifests count as CREATE by a user. They are wrapped as AdmissionReview bytes and take the
//! same road as a request from a cluster, so that no answer here can differ from one there.
//! Start at [`each`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use caapc_compiler::yaml::{self, Limits, Lines, Node};
use serde_json::{Value, json};

use crate::admission::workload::Workload;
use crate::cli::files;
use crate::cli::io::{Failure, path_name, read_text, shown, tell};

/// Objects of one command.
pub const OBJECTS_MAX: usize = 100_000;

/// One object to decide.
#[derive(Clone, Debug)]
pub struct Item {
    /// `file:line`.
    pub source: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty: cluster-scoped.
    pub namespace: String,
    /// Its name, or its `generateName`.
    pub name: String,
    /// The AdmissionReview, as bytes.
    pub body: Vec<u8>,
}

/// What the files held besides.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// How many objects of which kind create no pods.
    pub without_pods: BTreeMap<String, usize>,
    /// How many objects were decided.
    pub items: usize,
}

impl Rest {
    /// Says on standard error what creates no pods.
    pub fn tell(&self) {
        let others: usize = self.without_pods.values().sum();
        let what = match others {
            0 => return,
            1 => "1 object creates no pods and is not decided".to_owned(),
            _ => format!("{others} objects create no pods and are not decided"),
        };
        let kinds = self.without_pods.iter();
        let kinds: Vec<_> = kinds.map(|(kind, count)| format!("{count} {}", shown(kind))).collect();
        tell(format_args!("caapc: {what}: {}", kinds.join(", ")));
    }
}

/// Reads every object of the files and hands over those that create pods, in order. A manifest
/// without a namespace is in `namespace`.
///
/// # Errors
/// A file that cannot be read, is not YAML or JSON, or holds what is no Kubernetes object; or
/// what `take` fails with.
pub fn each(
    paths: &[PathBuf],
    namespace: &str,
    take: &mut dyn FnMut(Item) -> Result<(), Failure>,
) -> Result<Rest, Failure> {
    let mut rest = Rest::default();
    for path in files::list(paths)? {
        let text = read_text(&path)?;
        let mut file = File {
            name: path_name(&path),
            lines: Lines::new(&text),
            namespace,
            rest: &mut rest,
            take,
        };
        let mut faults = Vec::new();
        for document in yaml::documents(&text, &Limits::default()) {
            for fault in &document.faults {
                let help = fault.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
                faults.push(format!("{}: {}{help}", file.place(fault.span.start), fault.message));
            }
            if let (Some(root), true) = (&document.root, faults.is_empty()) {
                file.document(root)?;
            }
        }
        if !faults.is_empty() {
            return Err(Failure::Input(faults.join("\ncaapc: ")));
        }
    }
    Ok(rest)
}

struct File<'f> {
    name: String,
    lines: Lines<'f>,
    namespace: &'f str,
    rest: &'f mut Rest,
    take: &'f mut dyn FnMut(Item) -> Result<(), Failure>,
}

impl File<'_> {
    fn document(&mut self, root: &Node<'_>) -> Result<(), Failure> {
        if root.is_null() {
            return Ok(());
        }
        self.object(root, None)
    }

    /// One object; `within` is what a typed list says of its items.
    fn object(&mut self, node: &Node<'_>, within: Option<(&str, &str)>) -> Result<(), Failure> {
        let at = node.span.start;
        if node.pairs().is_none() {
            return self
                .fail(at, format!("expected a Kubernetes object, found {}", node.describe()));
        }
        let field = |name| node.get(name).and_then(Node::as_str);
        let (Some(api_version), Some(kind)) = (
            field("apiVersion").or(within.map(|(api_version, _)| api_version)),
            field("kind").or(within.map(|(_, kind)| kind)),
        ) else {
            let help = "expected a Kubernetes object with `apiVersion` and `kind`";
            return self.fail(at, help.to_owned());
        };
        if kind == "AdmissionReview" {
            return self.review(node);
        }
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), node.get("items")) {
            let yaml::Value::Sequence(items) = &items.value else {
                return match items.is_null() {
                    true => Ok(()),
                    false => self.fail(items.span.start, "`items` must be a list".to_owned()),
                };
            };
            // Items of a plain `List` say what they are, those of a `PodList` need not.
            let within = (!of.is_empty()).then_some((api_version, of));
            // Recursion is bounded by the depth limit of the reader.
            return items.iter().try_for_each(|item| self.object(item, within));
        }
        self.manifest(node, api_version, kind)
    }

    fn manifest(&mut self, node: &Node<'_>, api_version: &str, kind: &str) -> Result<(), Failure> {
        // A foreign kind of a built-in name would reach the webhook too: its plural is the same.
        let alike = Workload::ALL.into_iter().find(|workload| workload.kind() == kind);
        let Some(workload) = Workload::of_kind(api_version, kind).or(alike) else {
            *self.rest.without_pods.entry(kind.to_owned()).or_default() += 1;
            return Ok(());
        };
        let mut object = yaml::to_json(node);
        if let Some(object) = object.as_object_mut() {
            object.entry("apiVersion").or_insert_with(|| api_version.into());
            object.entry("kind").or_insert_with(|| kind.into());
        }
        let item = manifest(self.source(node), workload, &object, self.namespace)?;
        self.give(node, item)
    }

    fn review(&mut self, node: &Node<'_>) -> Result<(), Failure> {
        let body = yaml::to_json(node);
        let request = &body["request"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = match &request["object"] {
            Value::Null => &request["oldObject"],
            object => object,
        };
        let first = |values: [&Value; 3]| {
            values.map(text).into_iter().find(|text| !text.is_empty()).unwrap_or_default()
        };
        let metadata = &object["metadata"];
        let kind =
            first([&request["kind"]["kind"], &object["kind"], &request["resource"]["resource"]]);
        let name = first([&request["name"], &metadata["name"], &metadata["generateName"]]);
        let namespace = text(&request["namespace"]);
        let item = Item { source: self.source(node), kind, namespace, name, body: bytes(&body)? };
        self.give(node, item)
    }

    fn give(&mut self, node: &Node<'_>, item: Item) -> Result<(), Failure> {
        if self.rest.items == OBJECTS_MAX {
            let sentence = format!("more than {OBJECTS_MAX} objects, the limit for one command");
            return self.fail(node.span.start, sentence);
        }
        self.rest.items += 1;
        (self.take)(item)
    }

    fn source(&self, node: &Node<'_>) -> String {
        format!("{}:{}", self.name, self.lines.line(node.span.start))
    }

    fn place(&self, at: u32) -> String {
        let position = self.lines.position(at);
        format!("{}:{}:{}", shown(&self.name), position.line, position.column)
    }

    fn fail(&self, at: u32, sentence: String) -> Result<(), Failure> {
        Err(Failure::Input(format!("{}: {sentence}", self.place(at))))
    }
}

/// A manifest as the review of its creation by a user.
///
/// # Errors
/// None that a user can meet: JSON is written in memory.
pub fn manifest(
    source: String,
    workload: Workload,
    object: &Value,
    namespace: &str,
) -> Result<Item, Failure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (metadata, kind) = (&object["metadata"], text(&object["kind"]));
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let written = text(&metadata["name"]);
    let name = if written.is_empty() { text(&metadata["generateName"]) } else { written.clone() };
    let namespace = match text(&metadata["namespace"]) {
        own if own.is_empty() => namespace.to_owned(),
        own => own,
    };
    let body = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "manifest",
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": workload.resource()},
            "name": written,
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "manifest"},
            "object": object,
            "oldObject": null,
            "dryRun": false,
        },
    });
    Ok(Item { source, kind, namespace, name, body: bytes(&body)? })
}

fn bytes(body: &Value) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(body).map_err(|error| Failure::Environment(error.to_string()))
}
