//! Moving over from Calico: what is there, what is kept, what differs.
//!
//! Reads only. The names of an installation are the original's, so `install --adopt --apply`
//! replaces the objects it finds under them, after writing them to a backup file; policies, the
//! definition of their kind, namespace labels and the certificate secret stay. Start at [`find`].

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhook, ValidatingWebhookConfiguration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::cluster::{self, CRDS, Cluster, POLICIES, SECRETS, WEBHOOKS};
use super::objects;
use super::options::{
    Certificates, FailurePolicy, NamespaceSelector, Options, SELECTOR_VALUES_MAX, TIMEOUT_SECS_MAX,
    printable,
};
use super::{Fault, names};

/// An installation that somebody else made.
#[derive(Debug)]
pub struct Found {
    /// Its namespace.
    pub namespace: String,
    /// Which namespaces it is asked about.
    pub selector: NamespaceSelector,
    /// What the API server does without an answer.
    pub failure_policy: FailurePolicy,
    /// How long it waits.
    pub timeout_secs: u8,
    /// The authority it trusts, if the secret with the certificate is there as well.
    pub ca_bundle: Option<String>,
    /// Sentences about what is kept.
    pub kept: Vec<String>,
    /// Sentences about what will be different.
    pub differs: Vec<String>,
}

impl Found {
    /// Puts what was found into options, where the user did not say otherwise.
    pub fn fill(&self, options: &mut Options) {
        options.selector = self.selector.clone();
        options.namespace.clone_from(&self.namespace);
        options.failure_policy = self.failure_policy;
        options.timeout_secs = self.timeout_secs;
        if let Some(bundle) = &self.ca_bundle {
            options.certificates = Certificates::Provided;
            options.ca_bundle = Some(bundle.clone());
        }
    }
}

/// Looks for Calico's installation; `None` if its webhook configuration is absent or ours already.
///
/// # Errors
/// [`Fault::Environment`] if the cluster does not answer; [`Fault::Input`] if what is found cannot
/// be taken over, with the reason.
pub async fn find(cluster: &Cluster) -> Result<Option<Found>, Fault> {
    let Some(object) = cluster.find(WEBHOOKS, "", names::ADMISSION_WEBHOOK).await? else {
        return Ok(None);
    };
    if cluster::is_ours(&object) {
        return Ok(None);
    }
    let configuration: ValidatingWebhookConfiguration = serde_json::from_value(object.clone())
        .map_err(|e| {
            Fault::Input(format!("webhook configuration {}: {e}", names::ADMISSION_WEBHOOK))
        })?;
    let [hook] = configuration.webhooks.as_deref().unwrap_or_default() else {
        return Err(Fault::Input(format!(
            "webhook configuration {} does not have exactly one webhook: this is not Calico's; compare it with the output \
             of `caapc install` and remove it yourself",
            names::ADMISSION_WEBHOOK
        )));
    };
    let mut found = read(hook)?;
    look_at_secret(cluster, hook, &mut found).await?;
    look_at_policies(cluster, &mut found).await?;
    Ok(Some(found))
}

fn read(hook: &ValidatingWebhook) -> Result<Found, Fault> {
    let namespace = match &hook.client_config.service {
        Some(service) => service.namespace.clone(),
        None => names::NAMESPACE.to_owned(),
    };
    let selector = selector(hook.namespace_selector.as_ref(), &namespace)?;
    let failure_policy = match hook.failure_policy.as_deref() {
        Some("Ignore") => FailurePolicy::Ignore,
        _ => FailurePolicy::Fail,
    };
    let timeout_secs = hook
        .timeout_seconds
        .and_then(|secs| u8::try_from(secs).ok())
        .map_or(10, |secs| secs.clamp(1, TIMEOUT_SECS_MAX));
    let kept = vec![
        format!(
            "namespaces with label {} in ({}) are enforced, as before",
            selector.key(),
            selector.values().join(", ")
        ),
        format!("failurePolicy {} and a timeout of {timeout_secs} s", failure_policy.name()),
    ];
    let mut found = Found {
        namespace,
        selector,
        failure_policy,
        timeout_secs,
        ca_bundle: None,
        kept,
        differs: Vec::new(),
    };
    found.differs.extend(rule_differences(hook));
    if hook.match_policy.as_deref() == Some("Exact") {
        found.differs.push(
            "matchPolicy becomes Equivalent: other versions of a kind are sent too".to_owned(),
        );
    }
    if hook.object_selector.as_ref().is_some_and(|s| *s != LabelSelector::default()) {
        found.differs.push(
            "the objectSelector goes: whoever sets labels could step around the policy".to_owned(),
        );
    }
    if hook.match_conditions.as_ref().is_some_and(|all| !all.is_empty()) {
        found.differs.push("the matchConditions go: policies say what they apply to".to_owned());
    }
    Ok(found)
}

/// The one requirement of the original's selector: `{key: KEY, operator: In, values: [...]}`.
fn selector(selector: Option<&LabelSelector>, own: &str) -> Result<NamespaceSelector, Fault> {
    let refuse = |what: &str| {
        Err(Fault::Input(format!(
            "the namespaceSelector of {} {what}; choose with --namespace-selector-key and --namespace-selector-values",
            names::ADMISSION_WEBHOOK
        )))
    };
    let Some(selector) = selector else {
        return refuse("is absent, so it is asked about every namespace, kube-system included");
    };
    let labels = selector.match_labels.clone().unwrap_or_default();
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    let expressions: Vec<_> = expressions
        .iter()
        .filter(|one| one.key != names::NAMESPACE_NAME_LABEL || one.operator != "NotIn")
        .collect();
    let mut wanted: Vec<(String, Vec<String>)> =
        labels.into_iter().map(|(key, value)| (key, vec![value])).collect();
    for one in expressions {
        if one.operator != "In" {
            return refuse(&format!(
                "uses {} on `{}`",
                printable(&one.operator),
                printable(&one.key)
            ));
        }
        wanted.push((one.key.clone(), one.values.clone().unwrap_or_default()));
    }
    match wanted.as_slice() {
        [(key, values)] if values.len() <= SELECTOR_VALUES_MAX => {
            NamespaceSelector::new(key, values, own)
        }
        [] => refuse("is empty, so it is asked about every namespace, kube-system included"),
        _ => refuse("has several requirements, and caapc takes one key with its values"),
    }
}

fn rule_differences(hook: &ValidatingWebhook) -> Vec<String> {
    let sent = |resource: &str, operation: &str| {
        hook.rules.iter().flatten().any(|rule| {
            let has = |list: &Option<Vec<String>>, word: &str| {
                list.iter().flatten().any(|one| one == word || one == "*" || one == "*/*")
            };
            has(&rule.resources, resource) && has(&rule.operations, operation)
        })
    };
    let mut all = Vec::new();
    for rule in objects::admission_rules() {
        for resource in rule.resources.iter().flatten() {
            for operation in rule.operations.iter().flatten() {
                if !sent(resource, operation) {
                    all.push(format!(
                        "{operation} of {resource} is evaluated as well: it was not sent before"
                    ));
                }
            }
        }
    }
    all
}

async fn look_at_secret(
    cluster: &Cluster,
    hook: &ValidatingWebhook,
    found: &mut Found,
) -> Result<(), Fault> {
    let secret = cluster.find(SECRETS, &found.namespace, names::SECRET).await?;
    let has =
        |key: &str| secret.as_ref().is_some_and(|s| s.pointer(key).is_some_and(Value::is_string));
    if has("/data/tls.crt") && has("/data/tls.key") {
        found.ca_bundle = hook
            .client_config
            .ca_bundle
            .as_ref()
            .and_then(|bundle| String::from_utf8(bundle.0.clone()).ok());
        found.kept.push(format!(
            "secret {}/{} and its certificate: caapc does not renew it; remove the secret first to let caapc make its own",
            found.namespace,
            names::SECRET
        ));
    } else {
        found
            .differs
            .push("caapc makes and renews its own certificate: there is none to keep".to_owned());
    }
    Ok(())
}

async fn look_at_policies(cluster: &Cluster, found: &mut Found) -> Result<(), Fault> {
    let name = format!("{}.{}", POLICIES.plural, POLICIES.group);
    let Some(crd) = cluster.find(CRDS, "", &name).await? else {
        found.differs.push(format!("the definition {name} is missing, and is installed"));
        return Ok(());
    };
    let policies = cluster.list(POLICIES, "", None).await?.unwrap_or_default();
    found.kept.push(format!("{} policies, and the definition of their kind", policies.len()));
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    let has_status = versions.into_iter().flatten().any(|version| {
        version.get("name").and_then(Value::as_str) == Some(POLICIES.version)
            && version.pointer("/subresources/status").is_some()
    });
    if !has_status {
        found.differs.push(format!(
            "policies show no status: the definition {name} has no status subresource, and stays as it is; \
             `caapc crds` prints one that has"
        ));
    }
    Ok(())
}
