//! The webhook configuration: is there one, what does it send, and how can one step around it?

use super::facts::Hook;
use super::matching::sends;
use super::{Facts, Finding, Severity, listed};

/// Group and resource of everything that creates containers (spec: webhook, "Which objects are
/// evaluated").
const WORKLOADS: [(&str, &str); 8] = [
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
];

/// Above this the API server keeps users waiting, in seconds.
const TIMEOUT_SECS_WISE: i32 = 10;

pub(super) fn presence(facts: &Facts) -> Vec<Finding> {
    if !facts.hooks.is_empty() {
        return Vec::new();
    }
    vec![Finding::new(
        "no-webhook",
        Severity::Error,
        "ValidatingWebhookConfiguration",
        "no webhook configuration calls caapc: nothing is enforced",
        "caapc install --apply, with the flags it was installed with",
    )]
}

pub(super) fn definitions(facts: &Facts) -> Vec<Finding> {
    let Some(crds) = &facts.crds else {
        return Vec::new();
    };
    let wanted = [
        "containeradmissionpolicies.containersecurity.tigera.io",
        "imageassurancesettings.caapc.dev",
        "imagescans.caapc.dev",
        "vulnerabilityexceptions.caapc.dev",
    ];
    let missing: Vec<String> = wanted
        .iter()
        .filter(|name| !crds.iter().any(|one| one == *name))
        .map(|n| (*n).to_owned())
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![Finding::new(
        "definition-missing",
        Severity::Error,
        "CustomResourceDefinition",
        format!("not defined in this cluster: {}", listed(&missing)),
        "caapc crds | kubectl apply --server-side -f -",
    )]
}

pub(super) fn what_is_sent(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for Hook { title, hook, .. } in &facts.hooks {
        if !sends(hook, "", "pods/ephemeralcontainers", "UPDATE") {
            found.push(Finding::new(
                "ephemeral-containers",
                Severity::Error,
                title,
                "pods/ephemeralcontainers are not sent: `kubectl debug --image` starts any image",
                "add a rule for UPDATE of pods/ephemeralcontainers, as `caapc install` prints it",
            ));
        }
        for operation in ["CREATE", "UPDATE"] {
            let missing: Vec<String> = WORKLOADS
                .iter()
                .filter(|(group, resource)| !sends(hook, group, resource, operation))
                .map(|(_, resource)| (*resource).to_owned())
                .collect();
            if !missing.is_empty() {
                found.push(Finding::new(
                    "not-sent",
                    Severity::Error,
                    title,
                    format!(
                        "{operation} is not sent for {}: these start any image",
                        listed(&missing)
                    ),
                    "use the rules that `caapc install` prints",
                ));
            }
        }
    }
    found
}

pub(super) fn ways_around(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for Hook { title, hook, .. } in &facts.hooks {
        let chooses = |selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector| {
            selector.match_labels.iter().flatten().next().is_some()
                || selector.match_expressions.iter().flatten().next().is_some()
        };
        if hook.object_selector.as_ref().is_some_and(chooses) {
            found.push(Finding::new(
                "object-selector",
                Severity::Error,
                title,
                "it has an objectSelector: whoever sets the labels of a workload decides whether it is checked",
                "remove objectSelector; policies choose workloads with spec.selector",
            ));
        }
        if hook.match_conditions.iter().flatten().next().is_some() {
            found.push(Finding::new(
                "match-conditions",
                Severity::Warning,
                title,
                "it has matchConditions: what they leave out is admitted unchecked",
                "remove matchConditions unless you know each of them",
            ));
        }
        let all_versions = hook
            .rules
            .iter()
            .flatten()
            .all(|rule| rule.api_versions.iter().flatten().any(|version| version == "*"));
        if hook.match_policy.as_deref() == Some("Exact") && !all_versions {
            found.push(Finding::new(
                "match-policy",
                Severity::Error,
                title,
                "matchPolicy Exact with fixed versions: the same workload in another API version is not sent",
                "matchPolicy: Equivalent",
            ));
        }
    }
    found
}

pub(super) fn protocol(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for Hook { title, hook, .. } in &facts.hooks {
        if !hook.admission_review_versions.iter().any(|version| version == "v1") {
            found.push(Finding::new(
                "review-versions",
                Severity::Error,
                title,
                "admissionReviewVersions does not list v1: this API server cannot call it",
                "admissionReviewVersions: [v1, v1beta1]",
            ));
        }
        if !matches!(hook.side_effects.as_str(), "None" | "NoneOnDryRun") {
            found.push(Finding::new(
                "side-effects",
                Severity::Error,
                title,
                "sideEffects is not None: every `kubectl apply --dry-run=server` is refused",
                "sideEffects: None",
            ));
        }
    }
    found
}

pub(super) fn failure(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in &facts.hooks {
        let secs = one.hook.timeout_seconds.unwrap_or(10);
        if secs > TIMEOUT_SECS_WISE {
            found.push(Finding::new(
                "timeout-long",
                Severity::Warning,
                &one.title,
                format!("timeoutSeconds {secs}: while the controller hangs, every deployment waits as long"),
                "timeoutSeconds: 5; answers take milliseconds",
            ));
        }
        if !one.fails_closed() {
            found.push(Finding::new(
                "fails-open",
                Severity::Warning,
                &one.title,
                "failurePolicy Ignore: while the controller does not answer, everything is admitted unchecked",
                "failurePolicy: Fail, with two replicas or more",
            ));
        }
    }
    found
}
