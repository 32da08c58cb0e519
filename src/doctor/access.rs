//! Who can unblock an image: by writing its scan, an exception, a policy, the settings, or the
//! webhook configuration itself (docs/threat-model.md).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};

use super::facts::{BindingFacts, RbacFacts};
use super::{Facts, Finding, Severity, listed};
use crate::install::names;

/// API group, resource, and what writing it means.
const TARGETS: [(&str, &str, &str); 5] = [
    ("caapc.dev", "imagescans", "scan results"),
    ("caapc.dev", "vulnerabilityexceptions", "exceptions"),
    ("caapc.dev", "imageassurancesettings", "settings"),
    ("containersecurity.tigera.io", "containeradmissionpolicies", "policies"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "webhook configurations"),
];

const WRITING: [&str; 6] = ["create", "update", "patch", "delete", "deletecollection", "*"];

/// Groups that stand for nearly everyone.
const EVERYONE: [&str; 3] =
    ["system:authenticated", "system:unauthenticated", "system:serviceaccounts"];

pub(super) fn writers(facts: &Facts) -> Vec<Finding> {
    let Some(rbac) = &facts.rbac else {
        return Vec::new();
    };
    let mut by_subject: BTreeMap<String, Powers> = BTreeMap::new();
    for binding in rbac.bindings.iter().filter(|binding| binding.namespace.is_none()) {
        let rules = rbac.rules_of(binding);
        let can: BTreeSet<&str> = TARGETS
            .iter()
            .filter(|(group, resource, _)| rules.iter().any(|rule| writes(rule, group, resource)))
            .map(|(_, _, what)| *what)
            .collect();
        if can.is_empty() {
            continue;
        }
        for subject in binding.subjects.iter().filter(|subject| !is_expected(subject)) {
            let powers = by_subject.entry(subject_title(subject)).or_default();
            powers.everyone |= EVERYONE.contains(&subject.name.as_str());
            powers.deliberate &= is_deliberate(binding);
            powers.can.extend(can.iter().copied());
            powers.through.insert(binding.title());
        }
    }
    by_subject.into_iter().map(|(subject, powers)| finding(&subject, &powers)).collect()
}

pub(super) fn reports(facts: &Facts) -> Vec<Finding> {
    let Some(rbac) = facts.rbac.as_ref().filter(|_| facts.trusts_reports == Some(true)) else {
        return Vec::new();
    };
    let mut who = BTreeSet::new();
    for binding in &rbac.bindings {
        let rules = rbac.rules_of(binding);
        if rules.iter().any(|rule| writes(rule, "aquasecurity.github.io", "vulnerabilityreports")) {
            let subjects = binding
                .subjects
                .iter()
                .filter(|one| !is_expected(one) && !is_cluster_admin(binding));
            who.extend(subjects.filter(|one| !one.name.contains("trivy")).map(subject_title));
        }
    }
    if who.is_empty() {
        return Vec::new();
    }
    let who: Vec<String> = who.into_iter().collect();
    vec![Finding::new(
        "reports-forgeable",
        Severity::Warning,
        "ImageAssuranceSettings default",
        format!(
            "trivyOperator: Trust, and these may write VulnerabilityReports, which decide for the whole cluster: {}",
            listed(&who)
        ),
        "take write access to vulnerabilityreports from everyone but the operator",
    )]
}

/// What one subject can do.
struct Powers {
    everyone: bool,
    /// Only through roles that exist for this.
    deliberate: bool,
    can: BTreeSet<&'static str>,
    through: BTreeSet<String>,
}

impl Default for Powers {
    fn default() -> Self {
        Self { everyone: false, deliberate: true, can: BTreeSet::new(), through: BTreeSet::new() }
    }
}

fn finding(subject: &str, powers: &Powers) -> Finding {
    let can = powers.can.iter().copied().collect::<Vec<_>>().join(", ");
    let through: Vec<String> = powers.through.iter().cloned().collect();
    let (code, severity) = if powers.everyone {
        ("everyone-can-unblock", Severity::Error)
    } else if powers.deliberate {
        ("who-can-unblock", Severity::Info)
    } else {
        ("who-can-unblock", Severity::Warning)
    };
    Finding::new(
        code,
        severity,
        subject,
        format!("may write {can} (through {}), and so unblock any image", listed(&through)),
        "bind the role only to those who decide what may run; see docs/threat-model.md",
    )
}

/// Administrators, and the role that is shipped for pipelines.
fn is_deliberate(binding: &BindingFacts) -> bool {
    is_cluster_admin(binding)
        || (binding.role_kind == "ClusterRole" && binding.role == names::SCAN_WRITER)
}

fn is_cluster_admin(binding: &BindingFacts) -> bool {
    binding.role_kind == "ClusterRole" && binding.role == "cluster-admin"
}

/// The control plane and the controller itself.
fn is_expected(subject: &Subject) -> bool {
    match subject.kind.as_str() {
        "ServiceAccount" => {
            subject.namespace.as_deref() == Some("kube-system")
                || subject.name == names::SERVICE_ACCOUNT
        }
        "Group" => subject.name == "system:masters" || subject.name == "system:nodes",
        _ => subject.name.starts_with("system:") && subject.name != "system:anonymous",
    }
}

fn writes(rule: &PolicyRule, group: &str, resource: &str) -> bool {
    let has = |list: &Option<Vec<String>>, word: &str| {
        list.iter().flatten().any(|one| one == "*" || one == word)
    };
    has(&rule.api_groups, group)
        && has(&rule.resources, resource)
        && rule.verbs.iter().any(|verb| WRITING.contains(&verb.as_str()))
}

fn subject_title(subject: &Subject) -> String {
    match &subject.namespace {
        Some(namespace) => format!("{} {namespace}/{}", subject.kind, subject.name),
        None => format!("{} {}", subject.kind, subject.name),
    }
}

impl RbacFacts {
    /// The rules that a binding grants; none if its role does not exist.
    fn rules_of(&self, binding: &BindingFacts) -> &[PolicyRule] {
        let wanted = if binding.role_kind == "Role" { binding.namespace.as_deref() } else { None };
        let role = self
            .roles
            .iter()
            .find(|role| role.name == binding.role && role.namespace.as_deref() == wanted);
        role.map_or(&[], |role| role.rules.as_slice())
    }
}

impl BindingFacts {
    fn title(&self) -> String {
        let kind = if self.namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
        format!("{kind} {}", self.name)
    }
}
