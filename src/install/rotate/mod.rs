//! The serving certificate in the cluster: made, renewed and made known by the leader.
//!
//! The secret holds everything: the serving pair (`tls.crt`, `tls.key`), every authority that is
//! still trusted, newest first (`ca.crt`), and the key of the newest (`ca.key`). What to do next
//! follows from it and the clock alone ([`advance`], pure), so a leader may die at any step.
//!
//! INVARIANT (known before used): a certificate is served only when the webhook configurations have
//! trusted its authority for `settle_secs`, unless what is served now does not work anyway.
//! INVARIANT (not ours): a secret without our annotation is read, never written; a webhook
//! configuration that we did not make, or that cert-manager fills, is never patched.
//!
//! The leader calls [`tend`] every minute or so; every replica calls [`current`].

mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};

pub use state::{Change, State, advance};

use super::certs::{Life, Pair};
use super::options::{service_name, url_host};
use super::{Fault, names};

const FIELD_MANAGER: &str = "caapc-certificates";

/// Which secret and which webhook configurations.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The namespace of the controller.
    pub namespace: String,
    /// The secret that is kept.
    pub secret: String,
    /// The webhook configurations whose `caBundle` follows it.
    pub configurations: Vec<String>,
}

impl Plan {
    /// The default names in a namespace.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            secret: names::SECRET.to_owned(),
            configurations: vec![
                names::ADMISSION_WEBHOOK.to_owned(),
                names::POLICY_WEBHOOK_CONFIGURATION.to_owned(),
            ],
        }
    }
}

/// What [`tend`] did.
#[derive(Debug)]
pub struct Tended {
    /// What changed, in order; empty nearly always.
    pub changes: Vec<Change>,
    /// What to serve now.
    pub pair: Option<Pair>,
    /// What the API server shall trust, if the secret is ours.
    pub bundle: Option<String>,
    /// The secret belongs to somebody else, and was left alone.
    pub foreign: bool,
}

/// Makes, renews and publishes, as far as it is due. Only the leader calls this.
///
/// # Errors
/// [`Fault::Environment`] if the cluster does not answer, does not permit it, or somebody else wrote
/// meanwhile; call again.
pub async fn tend(
    client: &kube::Client,
    plan: &Plan,
    now_secs: i64,
    life: &Life,
) -> Result<Tended, Fault> {
    tend_for(client, plan, &[], now_secs, life).await
}

/// As [`tend`], for names besides those that the webhook configurations call: before there are any.
///
/// # Errors
/// As [`tend`].
pub async fn tend_for(
    client: &kube::Client,
    plan: &Plan,
    more_names: &[String],
    now_secs: i64,
    life: &Life,
) -> Result<Tended, Fault> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &plan.namespace);
    let secret =
        secrets.get_opt(&plan.secret).await.map_err(|e| reading("secret", &plan.secret, &e))?;
    let state = secret.as_ref().and_then(|s| s.data.as_ref()).and_then(State::from_data);
    if secret.as_ref().is_some_and(|secret| !is_ours(&secret.metadata)) {
        let pair = secret.and_then(|secret| pair_of(&secret));
        return Ok(Tended { changes: Vec::new(), pair, bundle: None, foreign: true });
    }
    let configurations = read_configurations(client, plan).await?;
    let dns_names = needed_names(plan, &configurations, more_names);
    let published = state.as_ref().is_none_or(|state| trusts_newest(&configurations, state));
    let (next, mut changes) = advance(state.as_ref(), &dns_names, published, now_secs, life)?;
    if !changes.is_empty() {
        write_secret(&secrets, plan, secret, &next).await?;
    }
    let bundle = next.bundle();
    if publish(client, &configurations, &bundle).await? {
        changes.push(Change::Bundle);
    }
    Ok(Tended { changes, pair: Some(next.leaf), bundle: Some(bundle), foreign: false })
}

/// What is to be served now, whoever made it. Every replica calls this.
///
/// # Errors
/// [`Fault::Environment`] if the cluster does not answer or does not permit it.
pub async fn current(client: &kube::Client, plan: &Plan) -> Result<Option<Pair>, Fault> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &plan.namespace);
    let secret =
        secrets.get_opt(&plan.secret).await.map_err(|e| reading("secret", &plan.secret, &e))?;
    Ok(secret.as_ref().and_then(pair_of))
}

/// Makes [`tend`] renew the serving certificate, or the authority and then the certificate: by
/// taking away what is there. The old authorities stay trusted.
///
/// # Errors
/// [`Fault`] as [`tend`]; [`Fault::Input`] if the secret is not managed by caapc.
pub async fn renew(
    client: &kube::Client,
    plan: &Plan,
    authority_too: bool,
    now_secs: i64,
) -> Result<Tended, Fault> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &plan.namespace);
    let secret =
        secrets.get_opt(&plan.secret).await.map_err(|e| reading("secret", &plan.secret, &e))?;
    if secret.as_ref().is_none_or(|secret| !is_ours(&secret.metadata)) {
        return Err(Fault::Input(format!(
            "secret {}/{} is not managed by caapc: renew it where it came from",
            plan.namespace, plan.secret
        )));
    }
    // A life that makes everything due, and else as usual.
    let usual = Life::default();
    let due = Life {
        leaf_renew_secs: usual.leaf_secs * 2,
        ca_renew_secs: if authority_too { usual.ca_secs * 2 } else { usual.ca_renew_secs },
        ..usual
    };
    tend(client, plan, now_secs, &due).await
}

fn is_ours(metadata: &ObjectMeta) -> bool {
    metadata.annotations.as_ref().is_some_and(|all| {
        all.get(names::CERTIFICATES_ANNOTATION).map(String::as_str)
            == Some(names::CERTIFICATES_MANAGED)
    })
}

fn pair_of(secret: &Secret) -> Option<Pair> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    let pair = Pair { certificate: text("tls.crt")?, key: text("tls.key")? };
    (!pair.certificate.is_empty() && !pair.key.is_empty()).then_some(pair)
}

async fn read_configurations(
    client: &kube::Client,
    plan: &Plan,
) -> Result<Vec<ValidatingWebhookConfiguration>, Fault> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut found = Vec::new();
    for name in &plan.configurations {
        let one =
            api.get_opt(name).await.map_err(|e| reading("webhook configuration", name, &e))?;
        found.extend(one.filter(|one| is_patchable(&one.metadata)));
    }
    Ok(found)
}

/// INVARIANT (not ours).
fn is_patchable(metadata: &ObjectMeta) -> bool {
    let has = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|map| map.get(key).cloned())
    };
    has(&metadata.labels, names::MANAGED_BY.0).as_deref() == Some(names::MANAGED_BY.1)
        && has(&metadata.annotations, "cert-manager.io/inject-ca-from").is_none()
}

/// The names the API server asks for: those in the configurations, and the service's.
fn needed_names(
    plan: &Plan,
    configurations: &[ValidatingWebhookConfiguration],
    more: &[String],
) -> Vec<String> {
    let mut all: Vec<String> =
        clients(configurations).filter_map(|(_, _, client)| called_name(client)).collect();
    all.extend(more.iter().cloned());
    all.push(service_name(&plan.namespace));
    all.sort();
    all.dedup();
    all
}

/// The name under which a webhook's client reaches its server.
pub fn called_name(client: &WebhookClientConfig) -> Option<String> {
    match (&client.service, &client.url) {
        (Some(service), _) => Some(format!("{}.{}.svc", service.name, service.namespace)),
        (None, Some(url)) => Some(url_host(url).to_owned()),
        (None, None) => None,
    }
}

fn clients(
    configurations: &[ValidatingWebhookConfiguration],
) -> impl Iterator<Item = (&ValidatingWebhookConfiguration, &str, &WebhookClientConfig)> {
    configurations.iter().flat_map(|one| {
        one.webhooks
            .iter()
            .flatten()
            .map(move |hook| (one, hook.name.as_str(), &hook.client_config))
    })
}

fn trusts_newest(configurations: &[ValidatingWebhookConfiguration], state: &State) -> bool {
    let newest = state.authorities.first().map(|pem| pem.trim()).unwrap_or_default();
    clients(configurations).all(|(_, _, client)| {
        client
            .ca_bundle
            .as_ref()
            .is_some_and(|bundle| String::from_utf8_lossy(&bundle.0).contains(newest))
    })
}

async fn write_secret(
    secrets: &Api<Secret>,
    plan: &Plan,
    old: Option<Secret>,
    state: &State,
) -> Result<(), Fault> {
    let data = state.to_data().into_iter().map(|(k, v)| (k, ByteString(v.into_bytes()))).collect();
    let params =
        PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let result = match old {
        // With its resourceVersion: whoever wrote meanwhile wins, and we look again.
        Some(mut secret) => {
            secret.data = Some(data);
            secrets.replace(&plan.secret, &params, &secret).await
        }
        None => {
            let annotation = (names::CERTIFICATES_ANNOTATION, names::CERTIFICATES_MANAGED);
            let pairs =
                |(key, value): (&str, &str)| BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let metadata = ObjectMeta {
                name: Some(plan.secret.clone()),
                namespace: Some(plan.namespace.clone()),
                labels: Some(pairs(names::MANAGED_BY)),
                annotations: Some(pairs(annotation)),
                ..ObjectMeta::default()
            };
            let secret = Secret {
                metadata,
                data: Some(data),
                type_: Some("Opaque".to_owned()),
                ..Secret::default()
            };
            secrets.create(&params, &secret).await
        }
    };
    result.map(|_| ()).map_err(|error| {
        Fault::Environment(format!(
            "cannot write secret {}/{}: {error}",
            plan.namespace, plan.secret
        ))
    })
}

/// Patches `caBundle` where it differs; says whether it did anywhere.
async fn publish(
    client: &kube::Client,
    configurations: &[ValidatingWebhookConfiguration],
    bundle: &str,
) -> Result<bool, Fault> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut changed = false;
    for (configuration, webhook, client) in clients(configurations) {
        if client.ca_bundle.as_ref().is_some_and(|own| own.0 == bundle.as_bytes()) {
            continue;
        }
        let name = configuration.metadata.name.as_deref().unwrap_or_default();
        let patch = serde_json::json!({
            "webhooks": [{
                "name": webhook,
                "clientConfig": { "caBundle": ByteString(bundle.as_bytes().to_vec()) },
            }],
        });
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        api.patch(name, &params, &Patch::Strategic(&patch)).await.map_err(|error| {
            Fault::Environment(format!("cannot patch webhook configuration {name}: {error}"))
        })?;
        changed = true;
    }
    Ok(changed)
}

fn reading(kind: &str, name: &str, error: &kube::Error) -> Fault {
    Fault::Environment(format!("cannot read {kind} {name}: {error}"))
}
