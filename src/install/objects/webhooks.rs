//! What the API server sends, and what it does without an answer (spec: webhook).

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    RuleWithOperations, ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};

use super::super::names;
use super::super::options::{Certificates, Options, Reach, protected_namespaces};
use super::cluster_meta;

/// The resources of the original that create pods, as plural names.
const WORKLOADS: [&str; 8] = [
    "cronjobs",
    "daemonsets",
    "deployments",
    "jobs",
    "pods",
    "replicasets",
    "replicationcontrollers",
    "statefulsets",
];

/// The configuration that decides workloads: last to be applied, first to be removed.
pub fn admission_webhook(options: &Options) -> ValidatingWebhookConfiguration {
    let selector = LabelSelector {
        match_expressions: Some(vec![
            requirement(options.selector.key(), "In", options.selector.values().to_vec()),
            requirement(
                names::NAMESPACE_NAME_LABEL,
                "NotIn",
                protected_namespaces(&options.namespace),
            ),
        ]),
        match_labels: None,
    };
    let webhook = ValidatingWebhook {
        name: names::ADMISSION_WEBHOOK.to_owned(),
        client_config: client_config(options, names::ADMISSION_PATH),
        rules: Some(admission_rules()),
        namespace_selector: Some(selector),
        failure_policy: Some(options.failure_policy.name().to_owned()),
        ..common(options)
    };
    configuration(options, names::ADMISSION_WEBHOOK, webhook)
}

/// The configuration that refuses broken policies, and our own broken objects, at `kubectl apply`.
///
/// It fails open: policies must stay editable while the controller is down, and the watch refuses
/// what slipped through.
pub fn policy_webhook(options: &Options) -> ValidatingWebhookConfiguration {
    let rule = |group: &str, resources: &[&str]| {
        let mut rule = rule(group, resources, &["CREATE", "UPDATE"]);
        rule.scope = Some("Cluster".to_owned());
        rule
    };
    let webhook = ValidatingWebhook {
        name: names::POLICY_WEBHOOK.to_owned(),
        client_config: client_config(options, names::POLICY_PATH),
        rules: Some(vec![
            rule("containersecurity.tigera.io", &["containeradmissionpolicies"]),
            rule("caapc.dev", &["imageassurancesettings", "imagescans", "vulnerabilityexceptions"]),
        ]),
        failure_policy: Some("Ignore".to_owned()),
        ..common(options)
    };
    configuration(options, names::POLICY_WEBHOOK_CONFIGURATION, webhook)
}

/// What is sent: the original's workloads and the two it forgot, replication controllers and
/// ephemeral containers.
pub fn admission_rules() -> Vec<RuleWithOperations> {
    let mut all = rule("*", &WORKLOADS, &["CREATE", "UPDATE"]);
    all.scope = Some("Namespaced".to_owned());
    let mut debug = rule("", &["pods/ephemeralcontainers"], &["UPDATE"]);
    debug.scope = Some("Namespaced".to_owned());
    vec![all, debug]
}

fn configuration(
    options: &Options,
    name: &str,
    webhook: ValidatingWebhook,
) -> ValidatingWebhookConfiguration {
    let mut metadata: ObjectMeta = cluster_meta(name);
    if options.certificates == Certificates::CertManager {
        let source = format!("{}/{}", options.namespace, names::SECRET);
        metadata.annotations =
            Some(BTreeMap::from([("cert-manager.io/inject-ca-from".to_owned(), source)]));
    }
    ValidatingWebhookConfiguration { metadata, webhooks: Some(vec![webhook]) }
}

fn common(options: &Options) -> ValidatingWebhook {
    ValidatingWebhook {
        admission_review_versions: vec!["v1".to_owned(), "v1beta1".to_owned()],
        match_policy: Some("Equivalent".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(i32::from(options.timeout_secs)),
        ..ValidatingWebhook::default()
    }
}

fn client_config(options: &Options, path: &str) -> WebhookClientConfig {
    let (service, url) = match &options.reach {
        Reach::Service => (
            Some(ServiceReference {
                name: names::SERVICE.to_owned(),
                namespace: options.namespace.clone(),
                path: Some(path.to_owned()),
                port: Some(names::SERVICE_PORT),
            }),
            None,
        ),
        Reach::Url(url) => (None, Some(format!("{url}{path}"))),
    };
    let ca_bundle = options.ca_bundle.as_ref().map(|pem| ByteString(pem.clone().into_bytes()));
    WebhookClientConfig { ca_bundle, service, url }
}

fn rule(group: &str, resources: &[&str], operations: &[&str]) -> RuleWithOperations {
    let list = |items: &[&str]| Some(items.iter().map(|&item| item.to_owned()).collect());
    RuleWithOperations {
        api_groups: list(&[group]),
        api_versions: list(&["*"]),
        operations: list(operations),
        resources: list(resources),
        scope: None,
    }
}

fn requirement(key: &str, operator: &str, values: Vec<String>) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: Some(values),
    }
}
