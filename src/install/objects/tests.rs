//! Every object, for every choice of flags, is what Kubernetes' published types say, and nothing
//! else: a field that they do not know would be lost on the way through them.

use k8s_openapi::api;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::options::{Certificates, FailurePolicy, NamespaceSelector, Options, Reach};
use super::super::{cluster, names};

/// Every flag that changes what is printed, alone and all together.
fn choices() -> Vec<Options> {
    let selector = NamespaceSelector::new("env", &["prod".to_owned()], names::NAMESPACE).unwrap();
    let base = Options::new(selector);
    let with = |change: fn(&mut Options)| {
        let mut options = base.clone();
        change(&mut options);
        options
    };
    vec![
        base.clone(),
        with(|o| o.certificates = Certificates::Provided),
        with(|o| o.certificates = Certificates::CertManager),
        with(|o| o.ca_bundle = Some("pem".to_owned())),
        with(|o| o.reach = Reach::Url("https://127.0.0.1:1".to_owned())),
        with(|o| o.host_network = true),
        with(|o| o.service_monitor = true),
        with(|o| {
            o.failure_policy = FailurePolicy::Ignore;
            o.trust_trivy_operator = true;
            o.host_network = true;
            o.service_monitor = true;
            o.replicas = 5;
            o.timeout_secs = 1;
            o.namespace = "other".to_owned();
        }),
    ]
}

fn round_trip<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()
}

/// The object as Kubernetes' own type reads it; `None` for kinds that are not Kubernetes' own.
fn as_kubernetes_reads_it(object: &Value) -> Option<Value> {
    Some(match object["kind"].as_str().unwrap() {
        "Namespace" => round_trip::<api::core::v1::Namespace>(object),
        "ServiceAccount" => round_trip::<api::core::v1::ServiceAccount>(object),
        "Secret" => round_trip::<api::core::v1::Secret>(object),
        "Service" => round_trip::<api::core::v1::Service>(object),
        "ResourceQuota" => round_trip::<api::core::v1::ResourceQuota>(object),
        "ClusterRole" => round_trip::<api::rbac::v1::ClusterRole>(object),
        "ClusterRoleBinding" => round_trip::<api::rbac::v1::ClusterRoleBinding>(object),
        "Role" => round_trip::<api::rbac::v1::Role>(object),
        "RoleBinding" => round_trip::<api::rbac::v1::RoleBinding>(object),
        "NetworkPolicy" => round_trip::<api::networking::v1::NetworkPolicy>(object),
        "PodDisruptionBudget" => round_trip::<api::policy::v1::PodDisruptionBudget>(object),
        "Deployment" => round_trip::<api::apps::v1::Deployment>(object),
        "ValidatingWebhookConfiguration" => {
            round_trip::<api::admissionregistration::v1::ValidatingWebhookConfiguration>(object)
        }
        "ImageAssuranceSettings" => round_trip::<crate::api::ImageAssuranceSettings>(object),
        "ServiceMonitor" | "Certificate" | "Issuer" => return None,
        other => panic!("{other} is installed, and no type is known for it"),
    })
}

#[test]
fn no_object_has_a_field_that_kubernetes_does_not_know() {
    for options in choices() {
        for object in super::all(&options) {
            if let Some(read) = as_kubernetes_reads_it(&object) {
                assert_eq!(read, object, "{}", super::title(&object));
            }
        }
    }
}

#[test]
fn every_object_is_labelled_and_can_be_removed() {
    for options in choices() {
        for object in super::all(&options) {
            let title = super::title(&object);
            assert!(cluster::is_ours(&object), "{title}");
            let kind = cluster::Kind::of(&object).unwrap_or_else(|| panic!("{title}"));
            assert_eq!(kind.namespaced, object["metadata"]["namespace"].is_string(), "{title}");
            let settings = kind == cluster::SETTINGS;
            assert!(settings || cluster::INSTALLED.contains(&kind), "{title}");
        }
    }
}

#[test]
fn the_admission_webhook_comes_last_and_never_covers_the_system() {
    for options in choices() {
        let all = super::all(&options);
        let last = all.last().unwrap();
        assert_eq!(last["metadata"]["name"], names::ADMISSION_WEBHOOK);
        let guard = &last["webhooks"][0]["namespaceSelector"]["matchExpressions"][1];
        let excluded: Vec<&str> =
            guard["values"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        for name in names::SYSTEM_NAMESPACES.iter().copied().chain([options.namespace.as_str()]) {
            assert!(excluded.contains(&name), "{name}");
        }
    }
}

#[test]
fn the_controller_is_restricted() {
    for options in choices() {
        let all = super::all(&options);
        let Some(deployment) = all.iter().find(|object| object["kind"] == "Deployment") else {
            continue;
        };
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["hostNetwork"].as_bool().unwrap_or(false), options.host_network);
    }
}

/// No wildcards, no secrets but one, nothing that could grant more.
#[test]
fn access_is_least() {
    for options in choices() {
        for role in super::all(&options) {
            if !matches!(role["kind"].as_str(), Some("ClusterRole" | "Role")) {
                continue;
            }
            for rule in role["rules"].as_array().unwrap() {
                let text = rule.to_string();
                assert!(!text.contains('*'), "{text}");
                for forbidden in ["pods", "escalate", "bind", "impersonate", "roles"] {
                    assert!(!text.contains(&format!("\"{forbidden}\"")), "{text}");
                }
                for named in ["secrets", "validatingwebhookconfigurations"] {
                    let about = rule["resources"].as_array().unwrap().iter().any(|r| r == named);
                    assert!(!about || rule["resourceNames"].is_array(), "{text}");
                }
            }
        }
    }
}
