//! Who may do what: the controller reads what it decides by, and writes its own objects only.
//!
//! No pods, no workloads, no secrets but one, no webhook configurations but two.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use serde_json::Value;

use super::super::names;
use super::super::options::{Certificates, Options};
use super::{cluster_meta, local_meta, value};

const READ: &[&str] = &["get", "list", "watch"];
const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn all(options: &Options) -> Vec<Value> {
    let account = ServiceAccount {
        metadata: local_meta(options, names::SERVICE_ACCOUNT),
        ..ServiceAccount::default()
    };
    let cluster_role = ClusterRole {
        metadata: cluster_meta(names::SERVICE_ACCOUNT),
        rules: Some(cluster_rules()),
        ..ClusterRole::default()
    };
    let cluster_binding = ClusterRoleBinding {
        metadata: cluster_meta(names::SERVICE_ACCOUNT),
        role_ref: role_ref("ClusterRole"),
        subjects: Some(vec![subject(options)]),
    };
    let role = Role {
        metadata: local_meta(options, names::SERVICE_ACCOUNT),
        rules: Some(local_rules(options)),
    };
    let binding = RoleBinding {
        metadata: local_meta(options, names::SERVICE_ACCOUNT),
        role_ref: role_ref("Role"),
        subjects: Some(vec![subject(options)]),
    };
    vec![
        value(&account),
        value(&cluster_role),
        value(&cluster_binding),
        value(&role),
        value(&binding),
        value(&scan_writer()),
    ]
}

/// A role that is bound to nobody: for the pipeline that imports scan results.
fn scan_writer() -> ClusterRole {
    let verbs = &["get", "list", "create", "update", "patch"];
    ClusterRole {
        metadata: cluster_meta(names::SCAN_WRITER),
        rules: Some(vec![rule("caapc.dev", &["imagescans"], verbs, &[])]),
        ..ClusterRole::default()
    }
}

fn cluster_rules() -> Vec<PolicyRule> {
    let policies = "containersecurity.tigera.io";
    let configurations = &[names::ADMISSION_WEBHOOK, names::POLICY_WEBHOOK_CONFIGURATION];
    vec![
        rule("", &["namespaces"], READ, &[]),
        rule(policies, &["containeradmissionpolicies"], READ, &[]),
        rule(policies, &["containeradmissionpolicies/status"], &["get", "patch", "update"], &[]),
        // The leader writes what trivy-operator reports, and deletes what newer scans superseded.
        rule(
            "caapc.dev",
            &["imagescans"],
            &["get", "list", "watch", "create", "update", "patch", "delete"],
            &[],
        ),
        rule("caapc.dev", &["imagescans/status"], &["get", "patch", "update"], &[]),
        rule("caapc.dev", &["imageassurancesettings", "vulnerabilityexceptions"], READ, &[]),
        rule("aquasecurity.github.io", &["vulnerabilityreports"], READ, &[]),
        // Rejections are events in the namespace where they happen.
        rule("", &["events"], &["create", "patch"], &[]),
        rule("events.k8s.io", &["events"], &["create", "patch"], &[]),
        rule(
            "admissionregistration.k8s.io",
            &["validatingwebhookconfigurations"],
            &["get", "patch"],
            configurations,
        ),
    ]
}

fn local_rules(options: &Options) -> Vec<PolicyRule> {
    let group = "coordination.k8s.io";
    // A name cannot restrict `create`; everything else is restricted by it.
    let mut rules = vec![
        rule(group, &["leases"], &["create"], &[]),
        rule(group, &["leases"], &["get", "patch", "update", "watch"], &[names::LEASE]),
    ];
    if options.certificates == Certificates::Managed {
        rules.push(rule("", &["secrets"], &["get", "patch", "update"], &[names::SECRET]));
    }
    rules
}

fn rule(group: &str, resources: &[&str], verbs: &[&str], only: &[&str]) -> PolicyRule {
    let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(list(resources)),
        verbs: list(verbs),
        resource_names: (!only.is_empty()).then(|| list(only)),
        non_resource_urls: None,
    }
}

fn role_ref(kind: &str) -> RoleRef {
    RoleRef {
        api_group: GROUP.to_owned(),
        kind: kind.to_owned(),
        name: names::SERVICE_ACCOUNT.to_owned(),
    }
}

fn subject(options: &Options) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: names::SERVICE_ACCOUNT.to_owned(),
        namespace: Some(options.namespace.clone()),
        ..Subject::default()
    }
}
