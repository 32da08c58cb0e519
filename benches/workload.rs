//! The workloads of the benchmarks, always the same: W1, W10, W100 and W1000.
//!
//! Rule n has five patterns, a status and an age criterion. In each ten rules two match the images
//! but not their status, and one matches images and status but not the age; only the very last
//! rule of the last policy decides. In W10 and W100 all policies apply; in W1000 ten do.
//! Included by every benchmark with `#[path]`, so that all measure the same work.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each benchmark uses a part of it")]

use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};

/// 2026-01-15T12:00:00Z.
pub const NOW_SECS: i64 = 1_768_478_400;
/// The images were scanned five days before.
pub const SCANNED_SECS: i64 = NOW_SECS - 5 * 86_400;

/// 57, 154 and 75 bytes; of team, registry and org 7.
pub const IMAGES: [&str; 3] = [
    "gcr.io/company/team-7/payments/checkout-service:v1.22.333",
    "registry-7.internal.example.com:5000/platform/observability/collector/agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef-longer",
    "quay.io/org-7/worker-image-resizer-for-the-catalogue-of-the-shop:v10.4-rc.1",
];

/// The labels of the workload.
pub const LABELS: [(&str, &str); 8] = [
    ("app", "checkout"),
    ("tier", "web"),
    ("team", "payments"),
    ("release", "stable"),
    ("env", "prod"),
    ("app.kubernetes.io/name", "checkout"),
    ("app.kubernetes.io/instance", "checkout-eu"),
    ("pod-template-hash", "6d4cf56db6"),
];

/// The labels of its namespace.
pub const NAMESPACE_LABELS: [(&str, &str); 3] = [
    ("kubernetes.io/metadata.name", "shop"),
    ("projectcalico.org/name", "shop"),
    ("apply-container-policies", "true"),
];

/// The labels of a workload, made at run time.
pub type Labels = Vec<(&'static str, &'static str)>;

/// How many label sets take turns: more than a memo of label sets can be expected to hold.
pub const VARIANTS: usize = 1_024;

/// Label sets of which no two are the same, with the verdicts of [`LABELS`]: another
/// `pod-template-hash`, which no selector mentions, and another `release`, of which selectors ask
/// only whether it is there.
pub fn fresh_labels() -> Vec<Labels> {
    (0..VARIANTS).map(vary).collect()
}

/// The same, each in another order than the one before, so that nothing can be kept from it: every
/// policy set has to look at all labels anew.
pub fn shuffled_labels() -> Vec<Labels> {
    let mut sets = fresh_labels();
    for (nth, labels) in sets.iter_mut().enumerate() {
        labels.rotate_left(nth % LABELS.len());
    }
    sets
}

fn vary(nth: usize) -> Labels {
    let mut labels = LABELS.to_vec();
    for (key, value) in &mut labels {
        match *key {
            "release" => *value = format!("r{nth}").leak(),
            "pod-template-hash" => *value = format!("{:010x}", nth * 0x9e37_79b9).leak(),
            _ => {}
        }
    }
    labels
}

/// How a rule relates to the images.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Other,
    WrongStatus,
    WrongAge,
    Decides,
}

fn role(rule: usize, rules: usize) -> Role {
    match rule % 10 {
        _ if rule + 1 == rules => Role::Decides,
        2 | 5 => Role::WrongStatus,
        7 => Role::WrongAge,
        _ => Role::Other,
    }
}

/// The five patterns of rule `rule`.
pub fn patterns(rule: usize, rules: usize) -> [String; 5] {
    // Numbers above 7, so that no other rule matches by accident.
    let n = if role(rule, rules) == Role::Other { rule + 100 } else { 7 };
    [
        format!(r"^gcr\.io/company/team-{n}/.*"),
        format!(r"^quay\.io/org-{n}/(api|web|worker)-[a-z0-9-]+:v[0-9]+\.[0-9]+"),
        format!(r"^registry-{n}\.internal\.example\.com(:[0-9]+)?/.*"),
        format!("company-{n}/base-(alpine|debian|distroless)"),
        format!(":(latest|dev-{n}|rc-{n})$"),
    ]
}

/// Whether the status criterion of a rule is the one that the images, which are `Warn`, fail.
pub fn wants_status(rule: usize, rules: usize, status: &str) -> bool {
    let listed = matches!(status, "Pass" | "Warn");
    listed != (role(rule, rules) == Role::WrongStatus)
}

/// The days of the age criterion of a rule: the images are five days old.
pub fn days(rule: usize, rules: usize) -> u32 {
    match role(rule, rules) {
        Role::WrongAge => 3 + (rule / 10 % 2) as u32,
        Role::Decides => 7,
        _ => 3 + (rule % 5) as u32,
    }
}

/// The selector of a policy; `applies`: to [`LABELS`].
pub fn selector(policy: usize, applies: bool) -> String {
    let n = policy;
    match (policy % 3, applies) {
        (0, true) => {
            format!("app == 'checkout' && tier in {{'web', 'edge-{n}'}} && !has(legacy-{n})")
        }
        (1, true) => format!("team == 'risk-{n}' || team == 'payments'"),
        (2, true) => format!("has(release) && !(env in {{'dev-{n}', 'test'}})"),
        (0, false) => {
            format!("app == 'app-{n}' && tier in {{'web', 'edge-{n}'}} && !has(legacy-{n})")
        }
        (1, false) => format!("team == 'risk-{n}' || team == 'ledger-{n}'"),
        _ => format!("has(release) && !(env in {{'prod', 'dev-{n}', 'test'}})"),
    }
}

/// Whether a policy of a set of `policies` applies.
pub fn applies(policy: usize, policies: usize) -> bool {
    policies <= 100 || policy % (policies / 10) == policies / 10 - 1
}

/// A policy of ten rules, as a user writes it.
pub fn policy(policy: usize, policies: usize) -> String {
    let rules = policies * 10;
    let mut text = format!(
        "apiVersion: containersecurity.tigera.io/v1beta1\nkind: ContainerAdmissionPolicy\n\
         metadata:\n  name: policy-{policy:05}\nspec:\n  order: {policy}\n  selector: \"{}\"\n  \
         namespaceSelector: \"apply-container-policies == 'true'\"\n  rules:\n",
        selector(policy, applies(policy, policies))
    );
    for rule in policy * 10..policy * 10 + 10 {
        text.push_str(
            "  - action: Reject\n    imagePath:\n      operator: IsOneOf\n      values:\n",
        );
        for pattern in patterns(rule, rules) {
            text.push_str(&format!("      - '{pattern}'\n"));
        }
        let operator = if role(rule, rules) == Role::WrongStatus { "IsNoneOf" } else { "IsOneOf" };
        text.push_str(&format!(
            "    imageScanStatus:\n      operator: {operator}\n      values: [Pass, Warn]\n    \
             imageLastScan:\n      operator: gt\n      duration:\n        days: {}\n",
            days(rule, rules)
        ));
    }
    text
}

/// All policies of a workload, one text each.
pub fn policies(count: usize) -> Vec<String> {
    (0..count).map(|number| policy(number, count)).collect()
}

/// W1: the first sample policy, and the image it is asked about.
pub const SAMPLE: &str = "apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata:
  name: reject-failed-and-non-gcr
spec:
  order: 10
  rules:
  - action: Reject
    imagePath:
      operator: IsNoneOf
      values:
      - '^gcr.io/company/production-repository/.*'
  - action: Allow
    imageScanStatus:
      operator: IsOneOf
      values: [Pass, Warn]
  - action: Reject
";
pub const SAMPLE_IMAGE: &str = "gcr.io/company/production-repository/checkout/api:v1.2.33";

/// A request with these labels.
pub fn request<'a>(labels: &'a [(&'a str, &'a str)]) -> RequestFacts<'a> {
    RequestFacts {
        labels,
        namespace_labels: &NAMESPACE_LABELS,
        now: Timestamp::from_secs(NOW_SECS),
        skew_secs: 300,
    }
}

/// An image of the workload, whose scan said `Warn`.
pub fn image(path: &str) -> ImageFacts<'_> {
    ImageFacts {
        path,
        canonical: None,
        status: ScanStatus::Warn,
        last_scan: Some(Timestamp::from_secs(SCANNED_SECS)),
    }
}

/// The policies of a workload; W1 is the sample.
pub fn texts(count: usize) -> Vec<String> {
    if count == 1 { vec![SAMPLE.to_owned()] } else { policies(count) }
}

/// The images of a request of a workload.
pub fn images(count: usize) -> &'static [&'static str] {
    if count == 1 { &[SAMPLE_IMAGE] } else { &IMAGES }
}
