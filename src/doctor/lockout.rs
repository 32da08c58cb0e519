//! Could the webhook keep the cluster, or itself, from starting?

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;

use super::facts::{Hook, NamespaceFacts};
use super::matching::{Labels, selects, sends};
use super::{Facts, Finding, Severity, listed};
use crate::install::names;

/// Namespaces where networks, DNS and their operators usually live: without them nothing starts,
/// the controller included.
const INFRASTRUCTURE: [&str; 12] = [
    "calico-apiserver",
    "calico-system",
    "cert-manager",
    "cilium",
    "kube-flannel",
    "kube-router",
    "metallb-system",
    "openshift-dns",
    "openshift-ovn-kubernetes",
    "openshift-sdn",
    "tigera-operator",
    "weave",
];

pub(super) fn covered(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in facts.hooks.iter().filter(|hook| hook.fails_closed()) {
        let covers =
            |name: &str| selects(one.hook.namespace_selector.as_ref(), &labels_of(facts, name));
        if covers(&one.own_namespace) {
            found.push(Finding::new(
                "locks-itself-out",
                Severity::Error,
                &one.title,
                format!(
                    "it covers its own namespace {}: when all replicas are down, their pods need the webhook to start",
                    one.own_namespace
                ),
                exclude(&one.own_namespace),
            ));
        }
        let system = names::SYSTEM_NAMESPACES.iter().filter(|name| covers(name));
        let system: Vec<String> = system.map(|name| (*name).to_owned()).collect();
        if !system.is_empty() {
            found.push(Finding::new(
                "locks-cluster-out",
                Severity::Error,
                &one.title,
                format!(
                    "it covers {}: DNS, network and node components could not start without it, nor it without them",
                    listed(&system)
                ),
                exclude(&system.join(", ")),
            ));
        }
        let infrastructure: Vec<String> = facts
            .namespaces
            .iter()
            .map(|namespace| namespace.name.clone())
            .filter(|name| INFRASTRUCTURE.contains(&name.as_str()) && covers(name))
            .collect();
        if !infrastructure.is_empty() {
            found.push(Finding::new(
                "locks-network-out",
                Severity::Error,
                &one.title,
                format!(
                    "it covers {}: the controller needs them to be reached",
                    listed(&infrastructure)
                ),
                exclude(&infrastructure.join(", ")),
            ));
        }
    }
    found
}

/// Only a label stands between kube-system and the webhook.
pub(super) fn guard(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for Hook { title, hook, own_namespace, .. } in facts.hooks.iter().filter(|h| h.fails_closed()) {
        if is_guarded(hook, own_namespace) || covers_anything_protected(facts, hook, own_namespace)
        {
            continue;
        }
        found.push(Finding::new(
            "no-guard",
            Severity::Warning,
            title,
            format!("whoever labels kube-system or {own_namespace} can lock the cluster out"),
            exclude(&format!("kube-node-lease, kube-public, kube-system, {own_namespace}")),
        ));
    }
    found
}

pub(super) fn reachable(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in &facts.hooks {
        let (Some(reference), Some(services)) = (&one.hook.client_config.service, &facts.services)
        else {
            continue;
        };
        let place = format!("{}/{}", reference.namespace, reference.name);
        let Some(service) = services.iter().find(|service| service.place == place) else {
            found.push(Finding::new(
                "service-missing",
                Severity::Error,
                &one.title,
                format!("it calls the service {place}, which does not exist"),
                "caapc install --apply with the flags it was installed with, or correct clientConfig.service",
            ));
            continue;
        };
        let port = reference.port.unwrap_or(443);
        if !service.ports.contains(&port) {
            found.push(Finding::new(
                "service-port",
                Severity::Error,
                &one.title,
                format!(
                    "it calls port {port} of the service {place}, which has {:?}",
                    service.ports
                ),
                format!("clientConfig.service.port: {}", names::SERVICE_PORT),
            ));
        }
        if service.ready_endpoints == Some(0) {
            found.push(Finding::new(
                "no-endpoints",
                Severity::Error,
                &one.title,
                format!("no pod behind the service {place} is ready: the webhook does not answer"),
                format!("kubectl -n {} describe pods", reference.namespace),
            ));
        }
    }
    found
}

pub(super) fn replicas(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if !facts
        .hooks
        .iter()
        .any(|hook| hook.fails_closed() && hook.hook.client_config.service.is_some())
    {
        return found;
    }
    for deployment in &facts.deployments {
        let title = format!("Deployment {}", deployment.place);
        if deployment.replicas < 2 {
            found.push(Finding::new(
                "single-replica",
                Severity::Warning,
                &title,
                "one replica and failurePolicy Fail: while its node restarts, nothing can be deployed",
                format!("kubectl -n {} scale deployment {} --replicas=2", deployment.namespace(), deployment.name()),
            ));
        }
        if deployment.has_budget == Some(false) {
            found.push(Finding::new(
                "no-disruption-budget",
                Severity::Warning,
                &title,
                "no disruption budget: draining two nodes at once takes all replicas away",
                "apply the PodDisruptionBudget that `caapc install` prints",
            ));
        }
    }
    found
}

fn is_guarded(hook: &ValidatingWebhook, own: &str) -> bool {
    // Nothing can lock out what is never sent at all.
    if !sends(hook, "", "pods", "CREATE") {
        return true;
    }
    let expressions = hook.namespace_selector.as_ref().and_then(|s| s.match_expressions.as_deref());
    let excluded = |name: &str| {
        expressions.unwrap_or_default().iter().any(|one| {
            let listed = one.values.iter().flatten().any(|value| value == name);
            one.key == names::NAMESPACE_NAME_LABEL
                && ((one.operator == "NotIn" && listed) || (one.operator == "In" && !listed))
        })
    };
    excluded("kube-system") && excluded(own)
}

fn covers_anything_protected(facts: &Facts, hook: &ValidatingWebhook, own: &str) -> bool {
    names::SYSTEM_NAMESPACES
        .iter()
        .chain([&own])
        .any(|name| selects(hook.namespace_selector.as_ref(), &labels_of(facts, name)))
}

/// The labels of a namespace; one that was not seen has only its name.
fn labels_of(facts: &Facts, name: &str) -> Labels {
    let known = facts.namespaces.iter().find(|one| one.name == name);
    known.map_or_else(|| NamespaceFacts::bare(name).labels, |one| one.labels.clone())
}

fn exclude(names: &str) -> String {
    format!(
        "add to namespaceSelector.matchExpressions: {{key: {}, operator: NotIn, values: [{names}]}}",
        names::NAMESPACE_NAME_LABEL
    )
}
