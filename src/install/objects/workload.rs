//! The controller itself: deployment, service, disruption budget, network policy, monitor.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    KeyToPath, ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceQuota, ResourceQuotaSpec, ResourceRequirements, ScopeSelector,
    ScopedResourceSelectorRequirement, SeccompProfile, SecretVolumeSource, SecurityContext,
    Service, ServicePort, ServiceSpec, TopologySpreadConstraint, Volume, VolumeMount,
    WeightedPodAffinityTerm,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::super::names;
use super::super::options::{Certificates, Options};
use super::{labels, local_meta, value};

/// The user and group of the process: the "nonroot" of distroless images.
const USER: i64 = 65_532;
const PRIORITY_CLASS: &str = "system-cluster-critical";

pub(super) fn all(options: &Options) -> Vec<Value> {
    let mut all = vec![
        value(&quota(options)),
        value(&service(options)),
        value(&network_policy(options)),
        value(&disruption_budget(options)),
        value(&deployment(options)),
    ];
    if options.service_monitor {
        all.extend(service_monitor(options));
    }
    all
}

fn deployment(options: &Options) -> Deployment {
    // On the host's network a second pod cannot have the ports: the old one goes first.
    let (surge, unavailable) = if options.host_network { (0, 1) } else { (1, 0) };
    Deployment {
        metadata: meta(options, names::DEPLOYMENT),
        spec: Some(DeploymentSpec {
            replicas: Some(i32::from(options.replicas)),
            selector: selector(),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(surge)),
                    max_unavailable: Some(IntOrString::Int(unavailable)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(own_labels()), ..ObjectMeta::default() }),
                spec: Some(pod(options)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod(options: &Options) -> PodSpec {
    PodSpec {
        service_account_name: Some(names::SERVICE_ACCOUNT.to_owned()),
        priority_class_name: Some(PRIORITY_CLASS.to_owned()),
        host_network: options.host_network.then_some(true),
        dns_policy: options.host_network.then(|| "ClusterFirstWithHostNet".to_owned()),
        // Long enough to be taken out of the service, then to finish what is in flight.
        termination_grace_period_seconds: Some(30),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        affinity: Some(apart()),
        topology_spread_constraints: Some(vec![
            spread("topology.kubernetes.io/zone"),
            spread("kubernetes.io/hostname"),
        ]),
        volumes: Some(vec![certificates(options)]),
        containers: vec![container(options)],
        ..PodSpec::default()
    }
}

fn container(options: &Options) -> Container {
    let port = |name: &str, number: i32| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    Container {
        name: names::DEPLOYMENT.to_owned(),
        image: Some(options.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(serve_arguments(options)),
        env: Some(vec![
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
        ]),
        ports: Some(vec![
            port("webhook", names::WEBHOOK_PORT),
            port("metrics", names::METRICS_PORT),
        ]),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&[("cpu", "100m"), ("memory", "128Mi")])),
            // No limit for the processor: a throttled webhook is a slow API server.
            limits: Some(quantities(&[("memory", "512Mi")])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: "certs".to_owned(),
            mount_path: "/certs/https".to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

/// How the container runs `caapc`.
fn serve_arguments(options: &Options) -> Vec<String> {
    let mut arguments = vec![
        "serve".to_owned(),
        format!("--listen=0.0.0.0:{}", names::WEBHOOK_PORT),
        format!("--metrics-listen=0.0.0.0:{}", names::METRICS_PORT),
    ];
    if options.certificates == Certificates::Managed {
        arguments.push(format!("--certificate-secret={}", names::SECRET));
    }
    arguments.extend(options.serve_arguments.iter().cloned());
    arguments
}

/// The secret's keys under the original's file names. Optional while the leader has not filled it.
fn certificates(options: &Options) -> Volume {
    let item = |key: &str, path: &str| KeyToPath {
        key: key.to_owned(),
        path: path.to_owned(),
        mode: None,
    };
    Volume {
        name: "certs".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(names::SECRET.to_owned()),
            optional: (options.certificates == Certificates::Managed).then_some(true),
            items: Some(vec![item("tls.crt", "cert.pem"), item("tls.key", "key.pem")]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn probe(path: &str, period_secs: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("metrics".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_secs),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn apart() -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: PodAffinityTerm {
                        label_selector: Some(selector()),
                        topology_key: "kubernetes.io/hostname".to_owned(),
                        ..PodAffinityTerm::default()
                    },
                },
            ]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn spread(topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        // A cluster of one zone or one node must still be able to run it.
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector()),
        ..TopologySpreadConstraint::default()
    }
}

fn service(options: &Options) -> Service {
    Service {
        metadata: meta(options, names::SERVICE),
        spec: Some(ServiceSpec {
            selector: Some(pod_label()),
            ports: Some(vec![ServicePort {
                name: Some("webhook".to_owned()),
                port: names::SERVICE_PORT,
                target_port: Some(IntOrString::Int(names::WEBHOOK_PORT)),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// In: webhook and metrics. Out: the API server and DNS, nothing else.
fn network_policy(options: &Options) -> NetworkPolicy {
    let port = |number: i32, protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    };
    let api_server =
        options.api_server_ports.iter().map(|&number| port(i32::from(number), "TCP")).collect();
    let egress = |ports| NetworkPolicyEgressRule { ports: Some(ports), to: None };
    NetworkPolicy {
        metadata: meta(options, names::DEPLOYMENT),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector()),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            // From anywhere: the API server is no pod, its address cannot be selected.
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(vec![
                    port(names::WEBHOOK_PORT, "TCP"),
                    port(names::METRICS_PORT, "TCP"),
                ]),
                from: None,
            }]),
            egress: Some(vec![egress(api_server), egress(vec![port(53, "UDP"), port(53, "TCP")])]),
        }),
    }
}

/// One at a time, whatever the number of replicas: with a single one a node can still be drained.
fn disruption_budget(options: &Options) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta(options, names::DEPLOYMENT),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// Some clusters admit pods of this priority only where a quota names it.
fn quota(options: &Options) -> ResourceQuota {
    ResourceQuota {
        metadata: meta(options, names::DEPLOYMENT),
        spec: Some(ResourceQuotaSpec {
            hard: Some(quantities(&[("pods", "1k")])),
            scope_selector: Some(ScopeSelector {
                match_expressions: Some(vec![ScopedResourceSelectorRequirement {
                    operator: "In".to_owned(),
                    scope_name: "PriorityClass".to_owned(),
                    values: Some(vec![PRIORITY_CLASS.to_owned()]),
                }]),
            }),
            scopes: None,
        }),
        status: None,
    }
}

/// A service for the metrics, and who scrapes it: the webhook's service stays the original's.
fn service_monitor(options: &Options) -> [Value; 2] {
    let name = format!("{}-metrics", names::DEPLOYMENT);
    let mut labels = own_labels();
    labels.insert("caapc.dev/metrics".to_owned(), "true".to_owned());
    let metadata = ObjectMeta { labels: Some(labels), ..meta(options, &name) };
    let service = Service {
        metadata: metadata.clone(),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(pod_label()),
            ports: Some(vec![ServicePort {
                name: Some("metrics".to_owned()),
                port: names::METRICS_PORT,
                target_port: Some(IntOrString::Int(names::METRICS_PORT)),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    let monitor = serde_json::json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": value(&metadata),
        "spec": {
            "selector": { "matchLabels": { "caapc.dev/metrics": "true" } },
            "endpoints": [{ "port": "metrics", "path": "/metrics" }],
        },
    });
    [value(&service), monitor]
}

fn meta(options: &Options, name: &str) -> ObjectMeta {
    let mut metadata = local_meta(options, name);
    metadata.labels = Some(own_labels());
    metadata
}

fn own_labels() -> BTreeMap<String, String> {
    let mut all = labels();
    all.extend(pod_label());
    all
}

fn pod_label() -> BTreeMap<String, String> {
    BTreeMap::from([("k8s-app".to_owned(), names::DEPLOYMENT.to_owned())])
}

fn selector() -> LabelSelector {
    LabelSelector { match_labels: Some(pod_label()), match_expressions: None }
}

fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    pairs.iter().map(|&(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).collect()
}
