//! Policies that cannot do what they say: broken, never asked, or waiting for scans nobody makes.

use caapc_compiler::selector::{self, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

use super::facts::{Hook, NamespaceFacts, PolicyFacts};
use super::matching::selects;
use super::{Facts, Finding, Severity, listed};
use crate::install::names;

pub(super) fn broken(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for policy in &facts.policies {
        if let Some(fault) = &policy.fault {
            found.push(Finding::new(
                "policy-broken",
                Severity::Error,
                &policy.title,
                format!("it does not compile: {fault}"),
                "caapc lint explains it; until then what it selects is rejected",
            ));
        }
    }
    found
}

/// The original's own troubleshooting entry: a policy for namespaces that the webhook never sends.
pub(super) fn never_fire(facts: &Facts) -> Vec<Finding> {
    if facts.hooks.is_empty() {
        return Vec::new();
    }
    facts.policies.iter().filter_map(|policy| unsent(facts, policy)).collect()
}

fn unsent(facts: &Facts, policy: &PolicyFacts) -> Option<Finding> {
    let selector = selector::parse(&policy.namespace_selector).ok()?;
    let all = matches!(selector.node(), Node::All | Node::Global);
    let contradictions: Option<Vec<String>> =
        facts.hooks.iter().map(|one| contradiction(selector.node(), &one.hook)).collect();
    if let Some([first, ..]) = contradictions.as_deref() {
        return Some(never(policy, first));
    }
    let wanted: Vec<&NamespaceFacts> =
        facts.namespaces.iter().filter(|namespace| wants(&selector, namespace)).collect();
    if wanted.is_empty() {
        return facts.is_live.then(|| {
            Finding::new(
                "policy-selects-nothing",
                Severity::Warning,
                &policy.title,
                format!("no namespace matches `{}`", policy.namespace_selector),
                "label a namespace, or correct spec.namespaceSelector",
            )
        });
    }
    let is_sent = |namespace: &NamespaceFacts| {
        let selects = |one: &Hook| selects(one.hook.namespace_selector.as_ref(), &namespace.labels);
        facts.hooks.iter().any(selects)
    };
    let missed: Vec<String> =
        wanted.iter().filter(|one| !is_sent(one)).map(|one| one.name.clone()).collect();
    if missed.len() == wanted.len() && facts.has_namespaces {
        return Some(never(
            policy,
            &if all {
                "no namespace carries the label that the webhook asks for".to_owned()
            } else {
                format!(
                    "it is meant for {}, and the webhook's namespaceSelector sends none of them",
                    listed(&missed)
                )
            },
        ));
    }
    // That Kubernetes' own namespaces are never sent is as it should be.
    let missed: Vec<String> =
        missed.into_iter().filter(|name| !is_protected(facts, name)).collect();
    (!all && !missed.is_empty()).then(|| {
        let message = format!(
            "it is also meant for {}, which the webhook's namespaceSelector does not send",
            listed(&missed)
        );
        Finding::new(
            "policy-partly-sent",
            Severity::Warning,
            &policy.title,
            message,
            webhook_label(facts),
        )
    })
}

fn is_protected(facts: &Facts, name: &str) -> bool {
    names::SYSTEM_NAMESPACES.contains(&name)
        || facts.hooks.iter().any(|hook| hook.own_namespace == name)
}

pub(super) fn scan_source(facts: &Facts) -> Vec<Finding> {
    let needing: Vec<String> = facts
        .policies
        .iter()
        .filter(|policy| policy.needs_scans)
        .map(|policy| policy.title.clone())
        .collect();
    if needing.is_empty() || facts.scans != Some(0) || facts.trusts_reports == Some(true) {
        return Vec::new();
    }
    vec![Finding::new(
        "no-scan-source",
        Severity::Error,
        "ImageScan",
        format!(
            "there are no scan results, and {} ask for them: every image is Unknown",
            listed(&needing)
        ),
        "caapc scan import REPORT --apply in your pipeline, or caapc install --scans-from trivy-operator --apply",
    )]
}

fn never(policy: &PolicyFacts, why: &str) -> Finding {
    Finding::new(
        "policy-never-fires",
        Severity::Error,
        &policy.title,
        why,
        "give the namespaces the label of the webhook's namespaceSelector, or install again with one that covers them",
    )
}

fn webhook_label(facts: &Facts) -> String {
    let label = facts.hooks.iter().find_map(|one| {
        let selector = one.hook.namespace_selector.as_ref()?;
        let wanted = selector.match_expressions.iter().flatten().find(|e| e.operator == "In")?;
        Some(format!("{}={}", wanted.key, wanted.values.as_ref()?.first()?))
    });
    match label {
        Some(label) => format!("kubectl label namespace NAME {label}"),
        None => "widen the webhook's namespaceSelector".to_owned(),
    }
}

/// As the controller sees a namespace: with the label that Calico imagines (spec: policy,
/// "Evaluation", 1).
fn wants(selector: &selector::Selector, namespace: &NamespaceFacts) -> bool {
    let mut labels: Vec<(&str, &str)> = namespace
        .labels
        .iter()
        .filter(|(key, _)| key.as_str() != names::CALICO_NAME_LABEL)
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    labels.push((names::CALICO_NAME_LABEL, &namespace.name));
    labels.sort_unstable();
    selector.matches(&labels)
}

/// Why no namespace at all can satisfy both the policy and the webhook, if that shows without
/// looking at any.
fn contradiction(
    node: &Node,
    hook: &k8s_openapi::api::admissionregistration::v1::ValidatingWebhook,
) -> Option<String> {
    let expressions = hook.namespace_selector.as_ref()?.match_expressions.as_deref()?;
    expressions.iter().filter(|one| one.operator == "In").find_map(|one| {
        if is_possible(node, one) {
            return None;
        }
        Some(format!(
            "its namespaceSelector excludes every value of `{}` that the webhook asks for ({})",
            one.key,
            one.values.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
        ))
    })
}

/// Whether some value of the requirement satisfies the node, whatever the other labels are.
fn is_possible(node: &Node, requirement: &LabelSelectorRequirement) -> bool {
    let mut values = requirement.values.iter().flatten();
    values.any(|value| may_hold(node, &requirement.key, value, true))
}

/// Whether a node may be `wanted` when the label `key` has this value and others are free.
fn may_hold(node: &Node, key: &str, value: &str, wanted: bool) -> bool {
    let known = |label: &str, holds: bool| label != key || holds == wanted;
    match node {
        Node::All | Node::Global => wanted,
        Node::Has(label) => known(label, true),
        Node::Eq(label, v) => known(label, v.as_ref() == value),
        Node::Ne(label, v) => known(label, v.as_ref() != value),
        Node::In(label, all) => known(label, all.iter().any(|v| v.as_ref() == value)),
        Node::NotIn(label, all) => known(label, !all.iter().any(|v| v.as_ref() == value)),
        Node::Contains(label, part) => known(label, value.contains(part.as_ref())),
        Node::StartsWith(label, head) => known(label, value.starts_with(head.as_ref())),
        Node::EndsWith(label, tail) => known(label, value.ends_with(tail.as_ref())),
        Node::Not(inner) => may_hold(inner, key, value, !wanted),
        Node::And(all) if wanted => all.iter().all(|one| may_hold(one, key, value, true)),
        Node::And(all) => all.iter().any(|one| may_hold(one, key, value, false)),
        Node::Or(all) if wanted => all.iter().any(|one| may_hold(one, key, value, true)),
        Node::Or(all) => all.iter().all(|one| may_hold(one, key, value, false)),
    }
}
