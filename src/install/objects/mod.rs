//! Every object of an installation, as typed Kubernetes values.
//!
//! The order is that of applying: what others need comes first, the admission webhook last, so that
//! nothing waits for a controller that is not there yet. Start at [`all`].

mod access;
#[cfg(test)]
mod tests;
mod webhooks;
mod workload;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

pub use webhooks::{admission_rules, admission_webhook, policy_webhook};

use super::options::{Certificates, Options, Reach};
use super::{names, rotate};

/// Every object of an installation, in the order of applying.
///
/// Without the custom resource definitions, which are [`definitions`].
pub fn all(options: &Options) -> Vec<Value> {
    let mut all = vec![value(&namespace(options))];
    all.extend(access::all(options));
    all.extend(certificates(options));
    if options.reach == Reach::Service {
        all.extend(workload::all(options));
    }
    all.push(settings(options));
    all.push(value(&policy_webhook(options)));
    all.push(value(&admission_webhook(options)));
    all
}

/// The definitions of all custom resources, with the label by which `uninstall` knows them.
pub fn definitions() -> Vec<Value> {
    let mut all: Vec<Value> = crate::api::crds().iter().map(value).collect();
    for crd in &mut all {
        if let Some(metadata) = crd.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("labels".to_owned(), value(&labels()));
        }
    }
    all
}

/// `Kind namespace/name`, as messages name an object.
pub fn title(object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or("");
    match text("/metadata/namespace") {
        "" => format!("{} {}", text("/kind"), text("/metadata/name")),
        namespace => format!("{} {namespace}/{}", text("/kind"), text("/metadata/name")),
    }
}

/// The labels of everything that is installed.
pub fn labels() -> BTreeMap<String, String> {
    [
        names::MANAGED_BY,
        ("app.kubernetes.io/name", "caapc"),
        ("app.kubernetes.io/component", "admission-controller"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Metadata of a cluster-scoped object.
fn cluster_meta(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels()), ..ObjectMeta::default() }
}

/// Metadata of an object in our namespace.
fn local_meta(options: &Options, name: &str) -> ObjectMeta {
    ObjectMeta { namespace: Some(options.namespace.clone()), ..cluster_meta(name) }
}

/// An object as JSON, its `kind` included.
pub(crate) fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object)
        .expect("INVARIANT (plain data): Kubernetes types have string keys and no fallible fields")
}

fn namespace(options: &Options) -> Namespace {
    let mut metadata = cluster_meta(&options.namespace);
    // The host's network is what the restricted and baseline levels exist to refuse.
    let level = if options.host_network { "privileged" } else { "restricted" };
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("pod-security.kubernetes.io/enforce".to_owned(), level.to_owned());
    labels.insert("pod-security.kubernetes.io/warn".to_owned(), level.to_owned());
    Namespace { metadata, ..Namespace::default() }
}

/// The secret of the serving certificate is printed without data: the leader fills it. It exists
/// beforehand so that the leader may be permitted this one secret, and none else.
fn certificates(options: &Options) -> Vec<Value> {
    match options.certificates {
        Certificates::Managed => vec![value(&managed_secret(options, None))],
        Certificates::Provided => Vec::new(),
        Certificates::CertManager => cert_manager(options),
    }
}

/// The secret that the leader keeps, empty or with a first state.
pub fn managed_secret(options: &Options, state: Option<&rotate::State>) -> Secret {
    let mut metadata = local_meta(options, names::SECRET);
    metadata.annotations = Some(BTreeMap::from([(
        names::CERTIFICATES_ANNOTATION.to_owned(),
        names::CERTIFICATES_MANAGED.to_owned(),
    )]));
    let data = state.map(|state| {
        let data = state.to_data();
        data.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))).collect()
    });
    Secret { metadata, data, type_: Some("Opaque".to_owned()), ..Secret::default() }
}

/// A self-signed issuer and the certificate, for cert-manager.
fn cert_manager(options: &Options) -> Vec<Value> {
    let name = options.certificate_name();
    let object = |kind: &str, spec: Value| {
        serde_json::json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": kind,
            "metadata": value(&local_meta(options, names::SECRET)),
            "spec": spec,
        })
    };
    vec![
        object("Issuer", serde_json::json!({ "selfSigned": {} })),
        object(
            "Certificate",
            serde_json::json!({
                "secretName": names::SECRET,
                "dnsNames": [name],
                "duration": "2160h",
                "renewBefore": "720h",
                "privateKey": { "algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always" },
                "usages": ["digital signature", "server auth"],
                "issuerRef": { "kind": "Issuer", "name": names::SECRET },
            }),
        ),
    ]
}

/// The settings, with nothing but what differs from their defaults (spec: scan, "Where results live").
fn settings(options: &Options) -> Value {
    let trust = if options.trust_trivy_operator { "Trust" } else { "Ignore" };
    serde_json::json!({
        "apiVersion": "caapc.dev/v1alpha1",
        "kind": "ImageAssuranceSettings",
        "metadata": value(&cluster_meta(names::SETTINGS)),
        "spec": { "trivyOperator": trust },
    })
}
