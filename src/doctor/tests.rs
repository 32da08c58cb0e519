//! Each check: silent on a clean installation, and one planted fault names its code.

use serde_json::{Value, json};

use super::{Facts, examine};
use crate::install::certs::{self, DAY_SECS, Life, Pair};
use crate::install::objects;
use crate::install::options::{NamespaceSelector, Options};
use crate::install::{names, rotate};

const NOW: i64 = 1_900_000_000;
const SERVED: &str =
    "tigera-image-assurance-admission-controller-service.tigera-image-assurance.svc";

/// An installation as a cluster would show it, with an enforced namespace and a policy for it.
fn clean() -> Vec<Value> {
    let selector = NamespaceSelector::new("env", &["prod".to_owned()], names::NAMESPACE).unwrap();
    let (state, _) =
        rotate::advance(None, &[SERVED.to_owned()], true, NOW, &Life::default()).unwrap();
    let mut options = Options::new(selector);
    options.ca_bundle = Some(state.bundle());
    let mut all = objects::definitions();
    all.extend(objects::all(&options));
    for object in &mut all {
        if object["kind"] == "Secret" {
            *object =
                serde_json::to_value(objects::managed_secret(&options, Some(&state))).unwrap();
        }
    }
    let namespace = |name: &str, labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    all.push(namespace("shop", json!({"env": "prod"})));
    all.push(namespace("lab", json!({"env": "test"})));
    all.push(namespace("kube-system", json!({})));
    all.push(namespace("calico-system", json!({})));
    all.push(policy("pinned", "env == 'prod'", json!([{"action": "Reject", "imagePath": {"operator": "IsNoneOf", "values": ["^gcr.io/"]}}])));
    all.push(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "x", "namespace": names::NAMESPACE, "labels": {"kubernetes.io/service-name": names::SERVICE}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
    }));
    all
}

fn policy(name: &str, namespaces: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "containersecurity.tigera.io/v1beta1", "kind": "ContainerAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"namespaceSelector": namespaces, "rules": rules},
    })
}

fn codes(objects: &[Value]) -> Vec<&'static str> {
    let mut codes: Vec<&str> =
        examine(&Facts::from_objects(objects, NOW)).iter().map(|finding| finding.code).collect();
    codes.dedup();
    codes
}

/// Changes the admission webhook of a clean installation.
#[track_caller]
fn hook(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let mut all = clean();
    let configuration = all.iter_mut().find(|o| {
        o["kind"] == "ValidatingWebhookConfiguration"
            && o["metadata"]["name"] == names::ADMISSION_WEBHOOK
    });
    change(&mut configuration.unwrap()["webhooks"][0]);
    assert_eq!(codes(&all), expected);
}

/// Changes or removes an object of a clean installation.
#[track_caller]
fn object(kind: &str, change: impl FnOnce(&mut Value), expected: &[&str]) {
    let mut all = clean();
    change(all.iter_mut().find(|object| object["kind"] == kind).unwrap());
    assert_eq!(codes(&all), expected);
}

/// Adds an object to a clean installation.
#[track_caller]
fn more(objects: &[Value], expected: &[&str]) {
    let mut all = clean();
    all.extend_from_slice(objects);
    assert_eq!(codes(&all), expected);
}

#[test]
fn a_clean_installation_is_clean() {
    assert_eq!(codes(&clean()), [""; 0]);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": clean()});
    assert_eq!(codes(&[list]), [""; 0]);
}

#[test]
fn nothing_calls_caapc() {
    assert_eq!(codes(&[]), ["no-webhook"]);
}

#[test]
fn what_is_sent() {
    hook(
        |h| {
            h["rules"].as_array_mut().unwrap().pop();
        },
        &["ephemeral-containers"],
    );
    hook(|h| h["rules"][1]["resources"] = json!(["*/*"]), &[]);
    hook(|h| h["rules"][0]["operations"] = json!(["CREATE"]), &["not-sent"]);
    hook(|h| h["rules"][0]["apiGroups"] = json!(["", "apps"]), &["not-sent"]);
    hook(|h| h["rules"][0]["scope"] = json!("Cluster"), &["not-sent"]);
    // As the original had it.
    hook(
        |h| {
            h["rules"][0]["resources"] = json!([
                "pods",
                "replicasets",
                "deployments",
                "statefulsets",
                "daemonsets",
                "jobs",
                "cronjobs"
            ])
        },
        &["not-sent"],
    );
}

#[test]
fn ways_around() {
    hook(|h| h["objectSelector"] = json!({"matchLabels": {"check": "yes"}}), &["object-selector"]);
    hook(|h| h["objectSelector"] = json!({}), &[]);
    hook(
        |h| h["matchConditions"] = json!([{"name": "a", "expression": "true"}]),
        &["match-conditions"],
    );
    hook(
        |h| {
            h["matchPolicy"] = json!("Exact");
            h["rules"][0]["apiVersions"] = json!(["v1"]);
        },
        &["match-policy"],
    );
}

#[test]
fn protocol_and_failure() {
    hook(|h| h["admissionReviewVersions"] = json!(["v1beta1"]), &["review-versions"]);
    hook(|h| h["sideEffects"] = json!("Unknown"), &["side-effects"]);
    hook(|h| h["timeoutSeconds"] = json!(30), &["timeout-long"]);
    hook(|h| h["failurePolicy"] = json!("Ignore"), &["fails-open"]);
}

#[test]
fn lock_out() {
    hook(
        |h| h["namespaceSelector"] = json!({}),
        &["locks-cluster-out", "locks-itself-out", "locks-network-out"],
    );
    hook(
        |h| {
            h["namespaceSelector"]["matchExpressions"].as_array_mut().unwrap().pop();
        },
        &["no-guard"],
    );
    hook(
        |h| {
            h["namespaceSelector"]["matchExpressions"][0] =
                json!({"key": "env", "operator": "NotIn", "values": ["test"]})
        },
        &["locks-network-out"],
    );
    // Failing open locks nobody out.
    hook(
        |h| {
            h["namespaceSelector"] = json!({});
            h["failurePolicy"] = json!("Ignore");
        },
        &["fails-open"],
    );
}

#[test]
fn reach() {
    hook(|h| h["clientConfig"]["service"]["port"] = json!(443), &["service-port"]);
    object("Deployment", |d| d["spec"]["replicas"] = json!(1), &["single-replica"]);
    object(
        "PodDisruptionBudget",
        |b| b["spec"]["selector"]["matchLabels"] = json!({"a": "b"}),
        &["no-disruption-budget"],
    );
    let mut all = clean();
    all.retain(|object| object["kind"] != "Service");
    all.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other", "namespace": names::NAMESPACE}, "spec": {"ports": [{"port": 1}]}}));
    assert_eq!(codes(&all), ["service-missing"]);
}

#[test]
fn endpoints_count_in_a_cluster() {
    let mut facts = Facts::from_objects(&clean(), NOW);
    for service in facts.services.iter_mut().flatten() {
        service.ready_endpoints = Some(0);
    }
    let found: Vec<&str> = examine(&facts).iter().map(|finding| finding.code).collect();
    assert_eq!(found, ["no-endpoints"]);
}

#[test]
fn certificates() {
    let at = |days: i64| -> Vec<&'static str> {
        examine(&Facts::from_objects(&clean(), NOW + days * DAY_SECS))
            .iter()
            .map(|f| f.code)
            .collect()
    };
    assert_eq!(at(91), ["certificate-expired"]);
    assert_eq!(at(80), ["certificate-expiring"]);
    assert!(at(6 * 365).contains(&"ca-expired"));
    let other = certs::authority(NOW, &Life::default()).unwrap();
    let bundle = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    hook(|h| h["clientConfig"]["caBundle"] = bundle(&other.certificate), &["ca-mismatch"]);
    hook(|h| h["clientConfig"]["caBundle"] = bundle("nonsense"), &["ca-unreadable"]);
    let stranger = certs::leaf(&other, &["other.svc".to_owned()], NOW, &Life::default()).unwrap();
    let store = |secret: &mut Value, pair: &Pair| {
        secret["data"]["tls.crt"] = bundle(&pair.certificate);
        secret["data"]["tls.key"] = bundle(&pair.key);
    };
    object("Secret", |s| store(s, &stranger), &["ca-mismatch", "certificate-name"]);
    let mixed = Pair { key: other.key.clone(), ..stranger.clone() };
    object(
        "Secret",
        |s| store(s, &mixed),
        &["ca-mismatch", "certificate-key-mismatch", "certificate-name"],
    );
    let broken = Pair { certificate: "x".to_owned(), ..stranger };
    object("Secret", |s| store(s, &broken), &["certificate-unreadable"]);
}

#[test]
fn policies_that_cannot_do_what_they_say() {
    let rules = json!([{"action": "Reject"}]);
    more(&[policy("p", "has(", rules.clone())], &["policy-broken"]);
    more(&[policy("p", "all()", json!([{"action": "Rejekt"}]))], &["policy-broken"]);
    // The original's troubleshooting entry: the webhook asks for env=prod.
    more(&[policy("p", "env == 'test'", rules.clone())], &["policy-never-fires"]);
    more(&[policy("p", "!has(env)", rules.clone())], &["policy-never-fires"]);
    more(
        &[policy("p", "env in {'a', 'b'} && team == 'x'", rules.clone())],
        &["policy-never-fires"],
    );
    more(&[policy("p", "projectcalico.org/name == 'lab'", rules.clone())], &["policy-never-fires"]);
    more(
        &[policy("p", "projectcalico.org/name in {'lab', 'shop'}", rules.clone())],
        &["policy-partly-sent"],
    );
    for (selector, expected) in [
        ("all()", &[][..]),
        ("env == 'prod'", &[]),
        // Nobody yet: only a cluster can tell.
        ("team == 'nobody'", &[]),
        // calico-system is not sent; that kube-system is not needs no mention.
        ("env != 'test'", &["policy-partly-sent"]),
        ("has(env)", &["policy-partly-sent"]),
    ] {
        more(&[policy("p", selector, rules.clone())], expected);
    }
}

#[test]
fn scans_must_come_from_somewhere() {
    let rules = json!([{"action": "Allow", "imageScanStatus": {"operator": "IsOneOf", "values": ["Pass"]}}, {"action": "Reject"}]);
    let mut all = clean();
    all.push(policy("p", "env == 'prod'", rules));
    let mut facts = Facts::from_objects(&all, NOW);
    let codes =
        |facts: &Facts| -> Vec<&'static str> { examine(facts).iter().map(|f| f.code).collect() };
    assert_eq!(codes(&facts), [""; 0], "from files nobody knows");
    facts.scans = Some(0);
    assert_eq!(codes(&facts), ["no-scan-source"]);
    facts.trusts_reports = Some(true);
    assert_eq!(codes(&facts), [""; 0]);
    facts.trusts_reports = Some(false);
    facts.scans = Some(1);
    assert_eq!(codes(&facts), [""; 0]);
}

fn bound(role: &str, rules: Value, subject: Value) -> [Value; 2] {
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    [
        json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": role}, "rules": rules}),
        json!({"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": "b"},
               "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role}, "subjects": [subject]}),
    ]
}

#[test]
fn who_can_unblock() {
    let rules = json!([{"apiGroups": ["caapc.dev"], "resources": ["*"], "verbs": ["patch"]}]);
    let group = |name: &str| json!({"kind": "Group", "name": name});
    let account =
        |namespace: &str| json!({"kind": "ServiceAccount", "name": "bot", "namespace": namespace});
    more(&bound("r", rules.clone(), group("developers")), &["who-can-unblock"]);
    more(&bound("r", rules.clone(), account("ci")), &["who-can-unblock"]);
    more(&bound("r", rules.clone(), group("system:authenticated")), &["everyone-can-unblock"]);
    more(&bound("r", rules.clone(), account("kube-system")), &[]);
    more(&bound("r", rules.clone(), group("system:masters")), &[]);
    more(
        &bound(
            "r",
            json!([{"apiGroups": ["caapc.dev"], "resources": ["*"], "verbs": ["get"]}]),
            group("developers"),
        ),
        &[],
    );
    more(
        &bound(
            "r",
            json!([{"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]}]),
            group("developers"),
        ),
        &[],
    );
    let mut all = clean();
    all.extend(bound(
        "cluster-admin",
        json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
        group("admins"),
    ));
    let found = examine(&Facts::from_objects(&all, NOW));
    assert_eq!(found[0].severity, super::Severity::Info);
    assert!(found[0].message.contains("webhook configurations"), "{}", found[0].message);
}

#[test]
fn forgeable_reports() {
    let rules = json!([{"apiGroups": ["aquasecurity.github.io"], "resources": ["vulnerabilityreports"], "verbs": ["create"]}]);
    let mut all = clean();
    all.extend(bound("r", rules, json!({"kind": "Group", "name": "developers"})));
    assert_eq!(codes(&all), [""; 0], "reports are not believed by default");
    for object in &mut all {
        if object["kind"] == "ImageAssuranceSettings" {
            object["spec"]["trivyOperator"] = json!("Trust");
        }
    }
    assert_eq!(codes(&all), ["reports-forgeable"]);
}

#[test]
fn definitions() {
    let mut facts = Facts::from_objects(&clean(), NOW);
    facts.crds.as_mut().unwrap().pop();
    assert_eq!(examine(&facts)[0].code, "definition-missing");
}

#[test]
fn objects_of_any_shape_do_no_harm() {
    for kind in [
        "ValidatingWebhookConfiguration",
        "Namespace",
        "Deployment",
        "Secret",
        "ContainerAdmissionPolicy",
        "ClusterRole",
    ] {
        let mut all = clean();
        for object in all.iter_mut().filter(|object| object["kind"] == kind) {
            for field in ["metadata", "spec", "webhooks", "rules", "data"] {
                object[field] = json!(["nonsense", {"a": null}]);
            }
        }
        examine(&Facts::from_objects(&all, NOW));
    }
}
