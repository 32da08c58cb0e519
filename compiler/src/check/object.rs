//! From documents to policies: lists, `apiVersion` and `kind`, `metadata`.

use super::fields::{Fields, list, string, wrong_type};
use super::report::{Path, Report};
use super::spec::{self, Spec};
use super::{Reader, Reading, Remains};
use crate::diagnostic::{closest, codes, quote};
use crate::lint;
use crate::policy::{Entry, Policy};
use crate::yaml::{Fault, Node};

/// `apiVersion` of a policy.
pub(crate) const API_VERSION: &str = "containersecurity.tigera.io/v1beta1";
/// `kind` of a policy.
pub(crate) const KIND: &str = "ContainerAdmissionPolicy";
const LIST_KIND: &str = "ContainerAdmissionPolicyList";
const GROUP: &str = "containersecurity.tigera.io";

/// The fields of Kubernetes' `ObjectMeta`.
const METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "clusterName",
];

pub(super) struct Objects<'r> {
    pub(super) reader: &'r mut Reader,
    pub(super) reading: &'r mut Reading,
}

/// What an object is.
enum Sort<'n, 't> {
    Policy,
    List(&'n Node<'t>),
    Other,
    Wrong,
}

impl Objects<'_> {
    /// `since`: errors of the report before the document's own `faults` were added.
    pub(super) fn document<'t>(
        &mut self,
        root: &Node<'t>,
        since: usize,
        faults: &[Fault],
        report: &mut Report<'t>,
    ) {
        if root.is_null() {
            return; // an empty document
        }
        match self.sort(root, false, &Path::Root, report) {
            Sort::Policy => self.policy(root, since, &Path::Root, report),
            Sort::List(items) => self.list(items, faults, report),
            Sort::Other => self.reading.other_objects += 1,
            Sort::Wrong => {}
        }
    }

    fn list<'t>(&mut self, items: &Node<'t>, faults: &[Fault], report: &mut Report<'t>) {
        let path = &Path::Root.field("items");
        if items.is_null() {
            return;
        }
        let Some(list) = list(items, path, report) else { return };
        for (number, item) in list.iter().enumerate() {
            let path = &path.item(number);
            match self.sort(item, true, path, report) {
                Sort::Policy => {
                    let since = report.watch();
                    let inside =
                        |fault: &&Fault| item.span.range().contains(&(fault.span.start as usize));
                    match faults.iter().find(inside) {
                        Some(fault) => {
                            let text = fault.message.clone();
                            self.broken_text(item, text, path, report);
                        }
                        None => self.policy(item, since, path, report),
                    }
                }
                Sort::List(_) => {
                    let message = "a list inside a list";
                    report
                        .find(codes::NOT_AN_OBJECT, item.span, path, message)
                        .help("put its items into the outer list");
                }
                Sort::Other => self.reading.other_objects += 1,
                Sort::Wrong => {}
            }
        }
    }

    /// A policy in a list whose text has faults of its own, which are reported already.
    fn broken_text<'t>(
        &mut self,
        node: &Node<'t>,
        text: String,
        path: &Path<'_>,
        report: &mut Report<'t>,
    ) {
        let before = self.reading.entries.len();
        let since = report.watch();
        self.policy(node, since, path, report);
        let Some(entry) = self.reading.entries.get_mut(before) else { return };
        if let Entry::Policy(policy) = entry {
            let Policy { name, order, selector, namespace_selector, source, .. } = policy.clone();
            let (selector, namespace_selector) = (Some(selector), Some(namespace_selector));
            let remains = Remains { name, order, selector, namespace_selector };
            *entry = Entry::Broken(remains.broken(text, source));
        }
    }

    /// Tells what an object is by `apiVersion` and `kind`. In a list, both may be left out: the
    /// API server leaves them out in lists of one kind.
    fn sort<'n, 't>(
        &self,
        node: &'n Node<'t>,
        in_list: bool,
        path: &Path<'_>,
        report: &mut Report<'t>,
    ) -> Sort<'n, 't> {
        if node.pairs().is_none() {
            let message = format!("expected a Kubernetes object, found {}", node.describe());
            report
                .find(codes::NOT_AN_OBJECT, node.span, path, message)
                .help(format!("begin with `apiVersion: {API_VERSION}` and `kind: {KIND}`"));
            return Sort::Wrong;
        }
        let (version, kind) = (node.get("apiVersion"), node.get("kind"));
        let (version, kind) = match (version.map(Node::as_str), kind.map(Node::as_str)) {
            (Some(None), _) | (_, Some(None)) => {
                for (name, node) in [("apiVersion", version), ("kind", kind)] {
                    if let Some(node) = node.filter(|node| node.as_str().is_none()) {
                        wrong_type(node, "a string", &path.field(name), report);
                    }
                }
                return Sort::Wrong;
            }
            (version, kind) => (version.flatten(), kind.flatten()),
        };
        match (version, kind) {
            (Some(API_VERSION), Some(KIND)) => Sort::Policy,
            (None, None) if in_list => Sort::Policy,
            (Some("v1"), Some("List")) | (Some(API_VERSION), Some(LIST_KIND)) => {
                node.get("items").map_or(Sort::Other, Sort::List)
            }
            (_, None) => self.no_kind(node, version, path, report),
            (version, Some(kind)) => near_miss(node, version, kind, path, report),
        }
    }

    fn no_kind<'n, 't>(
        &self,
        node: &'n Node<'t>,
        version: Option<&str>,
        path: &Path<'_>,
        report: &mut Report<'t>,
    ) -> Sort<'n, 't> {
        let has = |name| node.get(name).is_some();
        let ours = version.is_some_and(|version| version.starts_with(GROUP));
        // Values of a chart or a kustomization are no objects, and not ours to judge.
        if !ours && !has("spec") && !has("metadata") {
            return Sort::Other;
        }
        let message = "the field `kind` is missing, so it cannot be told what this is";
        let span = first_key(node);
        report
            .find(codes::NOT_AN_OBJECT, span, path, message)
            .help(format!("a policy begins with `apiVersion: {API_VERSION}` and `kind: {KIND}`"));
        Sort::Wrong
    }

    /// `since`: errors of the report before the policy's own.
    fn policy<'t>(
        &mut self,
        node: &Node<'t>,
        since: usize,
        path: &Path<'_>,
        report: &mut Report<'t>,
    ) {
        let source = report.place(node.span.start);
        let known = &["apiVersion", "kind", "metadata", "spec", "status"];
        let Some(fields) = Fields::open(node, known, path, report) else { return };
        if self.reading.entries.len() >= self.reader.limits.policies_max {
            let limit = self.reader.limits.policies_max;
            let message = format!("more than {limit} policies, the limit for one reading");
            report.find(codes::LIMIT, first_key(node), path, message);
        }
        let name = self.name(&fields, &source, path, report);
        let spec_path = &path.field("spec");
        let spec = match fields.get("spec") {
            Some(spec) => spec::read(self.reader, spec, spec_path, report),
            None => Spec::empty(),
        };
        let entry = match report.faults(since) {
            Some(fault) => {
                let Spec { order, selector, namespace_selector, .. } = spec;
                let name = name.unwrap_or_else(|| format!("(no name, {source})"));
                let remains = Remains { name, order, selector, namespace_selector };
                Entry::Broken(remains.broken(fault, source))
            }
            None => {
                let Spec { order, selector, namespace_selector, rules, places } = spec;
                let policy = Policy {
                    name: name.unwrap_or_default(),
                    order,
                    selector: selector.unwrap_or_else(crate::selector::Selector::all),
                    namespace_selector: namespace_selector
                        .unwrap_or_else(crate::selector::Selector::all),
                    rules,
                    source,
                };
                let place = fields.pair("spec").map_or(first_key(node), |pair| pair.key_span);
                lint::policy(&policy, &places, place, spec_path, report);
                Entry::Policy(policy)
            }
        };
        self.reading.entries.push(entry);
    }

    fn name<'t>(
        &mut self,
        fields: &Fields<'_, 't>,
        source: &str,
        path: &Path<'_>,
        report: &mut Report<'t>,
    ) -> Option<String> {
        let help = "every policy has a name: `metadata: {name: my-policy}`";
        let metadata_path = &path.field("metadata");
        let metadata = fields.need("metadata", help, path, report)?;
        let metadata = Fields::open(metadata, METADATA, metadata_path, report)?;
        let node = metadata.need("name", help, metadata_path, report)?;
        let path = &metadata_path.field("name");
        let name = string(node, path, report)?;
        if let Some(why) = not_a_name(name) {
            let message = format!("{} is not a valid name: {why}", quote(name));
            let finding = report.find(codes::INVALID_NAME, node.span, path, message);
            finding.help(
                "lower-case letters, digits, `-` and `.`, at most 253; each part between dots \
                 begins and ends with a letter or digit",
            );
        } else if let Some(first) = self.reader.names.get(name) {
            let message = format!("a second policy named {}", quote(name));
            report
                .find(codes::DUPLICATE_POLICY, node.span, path, message)
                .help("rename one of the two, or remove it")
                .note(format!("the first is at {first}"));
        } else {
            self.reader.names.insert(name.to_owned(), source.to_owned());
        }
        Some(name.to_owned())
    }
}

/// An object of another kind, unless it was clearly meant to be a policy.
fn near_miss<'n, 't>(
    node: &'n Node<'t>,
    version: Option<&str>,
    kind: &str,
    path: &Path<'_>,
    report: &mut Report<'t>,
) -> Sort<'n, 't> {
    let group = version.and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
    let near = |word: &str, wanted: &str| {
        word.len().abs_diff(wanted.len()) <= 3 && closest(word, &[wanted]).is_some()
    };
    let near_kind = kind == LIST_KIND || near(kind, KIND);
    let near_group = group == GROUP || near(group, GROUP);
    if kind == KIND {
        let (name, at) = match node.get("apiVersion") {
            Some(node) => ("apiVersion", node.span),
            None => ("kind", first_key(node)),
        };
        let message = match version {
            Some(version) => format!("{KIND} has no apiVersion {}", quote(version)),
            None => "the field `apiVersion` is missing".to_owned(),
        };
        report
            .find(codes::WRONG_KIND, at, &path.field(name), message)
            .help(format!("write `apiVersion: {API_VERSION}`"));
        return Sort::Wrong;
    }
    if near_kind && (near_group || near(kind, KIND)) {
        let at = node.get("kind").map_or_else(|| first_key(node), |node| node.span);
        let message = format!("unknown kind {}", quote(kind));
        report
            .find(codes::WRONG_KIND, at, &path.field("kind"), message)
            .help(format!("write `kind: {KIND}` and `apiVersion: {API_VERSION}`"));
        return Sort::Wrong;
    }
    Sort::Other
}

/// The first key of an object: what a finding about the whole of it points at.
fn first_key(node: &Node<'_>) -> crate::yaml::Span {
    node.pairs().and_then(<[_]>::first).map_or(node.span, |pair| pair.key_span)
}

/// Why a text is no DNS subdomain, which is what Kubernetes wants of names.
fn not_a_name(name: &str) -> Option<&'static str> {
    let alphanumeric = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > 253 {
        return Some("it is longer than 253 characters");
    }
    if name.chars().any(|char| !alphanumeric(char) && char != '-' && char != '.') {
        return Some("it has other characters than lower-case letters, digits, `-` and `.`");
    }
    let part = |part: &str| part.starts_with(alphanumeric) && part.ends_with(alphanumeric);
    (!name.split('.').all(part)).then_some("a part begins or ends with `-`, or is empty")
}
