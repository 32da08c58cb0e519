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

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};

use super::certs::{self, Certificate, Life, Pair};
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

/// What the secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What is served.
    pub leaf: Pair,
    /// Every authority that is trusted, newest first, as PEM texts.
    pub authorities: Vec<String>,
    /// The key of the newest authority.
    pub ca_key: String,
}

impl State {
    /// The bundle the API server shall trust.
    pub fn bundle(&self) -> String {
        self.authorities.concat()
    }

    /// As the secret stores it.
    pub fn to_data(&self) -> BTreeMap<String, String> {
        [
            ("tls.crt", self.leaf.certificate.clone()),
            ("tls.key", self.leaf.key.clone()),
            ("ca.crt", self.bundle()),
            ("ca.key", self.ca_key.clone()),
        ]
        .into_iter()
        .map(|(key, text)| (key.to_owned(), text))
        .collect()
    }

    /// Reads the secret's data; `None` if something is missing, which is how it begins.
    pub fn from_data(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |key: &str| {
            let bytes = &data.get(key)?.0;
            (bytes.len() <= certs::PEM_BYTES_MAX)
                .then(|| String::from_utf8(bytes.clone()).ok())
                .flatten()
                .filter(|text| !text.trim().is_empty())
        };
        Some(Self {
            leaf: Pair { certificate: text("tls.crt")?, key: text("tls.key")? },
            authorities: split(&text("ca.crt")?),
            ca_key: text("ca.key")?,
        })
    }
}

/// What one step changed, as a log line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new certificate authority; the old ones stay trusted.
    Authority,
    /// A new serving certificate.
    Leaf,
    /// An authority that nothing depends on any more is gone.
    Dropped,
    /// A webhook configuration trusts the current bundle again.
    Bundle,
}

impl Change {
    /// The sentence for the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Authority => {
                "made a new certificate authority; the old one stays trusted for now"
            }
            Self::Leaf => "made a new serving certificate",
            Self::Dropped => "stopped trusting a certificate authority that was replaced",
            Self::Bundle => "told the API server which certificate authorities to trust",
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

/// One step from a state to the next; pure. The same state if there is nothing to do.
///
/// `published`: every webhook configuration trusts the newest authority already.
///
/// # Errors
/// [`Fault`] if a certificate cannot be made.
pub fn advance(
    old: Option<&State>,
    dns_names: &[String],
    published: bool,
    now_secs: i64,
    life: &Life,
) -> Result<(State, Vec<Change>), Fault> {
    let Some((mut state, mut trusted)) = old.and_then(readable) else {
        let state = first_state(dns_names, now_secs, life)?;
        return Ok((state, vec![Change::Authority, Change::Leaf]));
    };
    let mut changes = Vec::new();
    let mut settled =
        published && trusted.first().is_some_and(|ca| now_secs - made_at(ca) >= life.settle_secs);
    if trusted.first().is_none_or(|ca| ca.not_after_secs - now_secs < life.ca_renew_secs) {
        let ca = certs::authority(now_secs, life)?;
        trusted.insert(0, only(&ca.certificate)?);
        state.authorities.insert(0, ca.certificate);
        state.ca_key = ca.key;
        settled = false;
        changes.push(Change::Authority);
    }
    let leaf = only(&state.leaf.certificate)?;
    let by_newest = trusted.first().is_some_and(|ca| certs::is_signed_by(&leaf, ca, now_secs));
    // Renewal is due when the certificate nears its end, or its authority was replaced.
    let due = leaf.not_after_secs - now_secs < life.leaf_renew_secs || !by_newest;
    let settled = settled || (by_newest && changes.is_empty());
    if !works(&state, &leaf, dns_names, now_secs) || (due && settled) {
        let ca = Pair {
            certificate: state.authorities.first().cloned().unwrap_or_default(),
            key: state.ca_key.clone(),
        };
        state.leaf = certs::leaf(&ca, dns_names, now_secs, life)?;
        changes.push(Change::Leaf);
        return Ok((state, changes));
    }
    // Replicas and API servers had `overlap_secs` to take up what replaced it.
    let quiet = by_newest && now_secs - made_at(&leaf) >= life.overlap_secs;
    let kept = trusted
        .iter()
        .enumerate()
        .map(|(index, ca)| index == 0 || (!quiet && ca.not_after_secs > now_secs));
    let kept: Vec<bool> = kept.collect();
    if kept.contains(&false) {
        let mut keep = kept.into_iter();
        state.authorities.retain(|_| keep.next().unwrap_or(true));
        changes.push(Change::Dropped);
    }
    Ok((state, changes))
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

fn first_state(dns_names: &[String], now_secs: i64, life: &Life) -> Result<State, Fault> {
    let ca = certs::authority(now_secs, life)?;
    let leaf = certs::leaf(&ca, dns_names, now_secs, life)?;
    Ok(State { leaf, authorities: vec![ca.certificate], ca_key: ca.key })
}

/// The state and its authorities, if all of it can be read; else one starts afresh.
fn readable(state: &State) -> Option<(State, Vec<Certificate>)> {
    let authorities: Option<Vec<Certificate>> =
        state.authorities.iter().map(|pem| only(pem).ok()).collect();
    only(&state.leaf.certificate).ok()?;
    let newest =
        Pair { certificate: state.authorities.first()?.clone(), key: state.ca_key.clone() };
    // The key must be that of the newest authority, or nothing it signs would be trusted.
    let fits = |p: &certs::Problem| p.code == "certificate-key-mismatch";
    let problems = certs::problems(&newest, None, "", 0).ok()?;
    (!problems.iter().any(fits)).then_some((state.clone(), authorities?))
}

/// Whether what is served now is any good.
fn works(state: &State, leaf: &Certificate, dns_names: &[String], now_secs: i64) -> bool {
    let bundle = state.bundle();
    dns_names.iter().all(|name| certs::covers(leaf, name))
        && leaf.not_after_secs > now_secs
        && dns_names.first().is_some_and(|name| {
            certs::problems(&state.leaf, Some(&bundle), name, now_secs)
                .is_ok_and(|all| all.iter().all(|problem| problem.only_a_warning))
        })
}

/// When a certificate of ours was made: they all begin an hour early.
fn made_at(certificate: &Certificate) -> i64 {
    certificate.not_before_secs + certs::BACKDATE_SECS
}

fn only(pem: &str) -> Result<Certificate, Fault> {
    let first = certs::read(pem)?.into_iter().next();
    first.ok_or_else(|| Fault::Input("no certificate".to_owned()))
}

/// Splits a bundle into the texts of its certificates.
fn split(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    bundle
        .split_inclusive(END)
        .filter(|part| part.contains(END))
        .take(certs::CERTIFICATES_MAX)
        .map(|part| format!("{}\n", part.trim()))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_900_000_000;
    const DAY: i64 = certs::DAY_SECS;

    fn names() -> Vec<String> {
        vec!["a.ns.svc".to_owned()]
    }

    fn step(state: &State, published: bool, now: i64) -> (State, Vec<Change>) {
        advance(Some(state), &names(), published, now, &Life::default()).unwrap()
    }

    fn begin() -> State {
        advance(None, &names(), true, NOW, &Life::default()).unwrap().0
    }

    /// What a client that trusts `bundle` sees.
    fn trusted(state: &State, bundle: &str, now: i64) -> bool {
        certs::problems(&state.leaf, Some(bundle), "a.ns.svc", now)
            .unwrap()
            .iter()
            .all(|problem| problem.only_a_warning)
    }

    #[test]
    fn nothing_happens_while_nothing_is_due() {
        let state = begin();
        for days in [0, 1, 30, 59] {
            assert_eq!(step(&state, true, NOW + days * DAY), (state.clone(), vec![]), "{days}");
        }
    }

    #[test]
    fn the_leaf_is_renewed_before_it_ends() {
        let state = begin();
        let (next, changes) = step(&state, true, NOW + 61 * DAY);
        assert_eq!(changes, [Change::Leaf]);
        assert_eq!(next.authorities, state.authorities);
        assert!(trusted(&next, &state.bundle(), NOW + 61 * DAY));
    }

    #[test]
    fn broken_states_start_afresh() {
        let state = begin();
        let other = begin();
        let mixed = State { ca_key: other.ca_key.clone(), ..state.clone() };
        assert_eq!(step(&mixed, true, NOW).1, [Change::Authority, Change::Leaf]);
        let garbage = State { authorities: vec!["x".to_owned()], ..state.clone() };
        assert_eq!(step(&garbage, true, NOW).1, [Change::Authority, Change::Leaf]);
        let swapped = State { leaf: Pair { key: other.leaf.key, ..state.leaf.clone() }, ..state };
        assert_eq!(step(&swapped, true, NOW).1, [Change::Leaf]);
    }

    #[test]
    fn a_new_name_is_certified_at_once() {
        let both = vec!["a.ns.svc".to_owned(), "127.0.0.1".to_owned()];
        let (next, changes) = advance(Some(&begin()), &both, true, NOW, &Life::default()).unwrap();
        assert_eq!(changes, [Change::Leaf]);
        assert!(certs::covers(&only(&next.leaf.certificate).unwrap(), "127.0.0.1"));
    }

    #[test]
    fn the_authority_is_replaced_with_overlap() {
        let mut state = begin();
        let old_bundle = state.bundle();
        // Keep the leaf fresh up to the day the authority is due.
        let due = NOW + (5 * 365 - 364) * DAY;
        state = step(&state, true, due - DAY).0;
        let (state, changes) = step(&state, true, due);
        assert_eq!(changes, [Change::Authority]);
        assert_eq!(state.authorities.len(), 2);
        assert!(trusted(&state, &old_bundle, due), "what is served did not change");
        // Not settled, or not published: nothing more.
        assert_eq!(step(&state, true, due + 60).1, []);
        assert_eq!(step(&state, false, due + 3 * 3600).1, []);
        let later = due + 3600;
        let (state, changes) = step(&state, true, later);
        assert_eq!(changes, [Change::Leaf]);
        assert!(!trusted(&state, &old_bundle, later), "signed by the new authority");
        assert!(trusted(&state, &state.bundle(), later));
        assert_eq!(step(&state, true, later + DAY / 2).1, []);
        let (state, changes) = step(&state, true, later + DAY);
        assert_eq!(changes, [Change::Dropped]);
        assert_eq!(state.authorities.len(), 1);
        assert_eq!(step(&state, true, later + 2 * DAY).1, []);
    }

    #[test]
    fn a_cluster_that_slept_for_years_recovers() {
        let state = begin();
        let late = NOW + 20 * 365 * DAY;
        let (state, changes) = step(&state, true, late);
        assert_eq!(changes, [Change::Authority, Change::Leaf]);
        assert!(trusted(&state, &state.bundle(), late));
    }

    #[test]
    fn data_is_read_back() {
        let state = begin();
        let data =
            state.to_data().into_iter().map(|(k, v)| (k, ByteString(v.into_bytes()))).collect();
        assert_eq!(State::from_data(&data), Some(state));
        assert_eq!(State::from_data(&BTreeMap::new()), None);
    }
}
