//! The review of the benchmark: the CREATE of a Deployment of 10.8 KB with the images and labels
//! of the workloads, always the same bytes.
//!
//! It has what kubectl and the API server put into one: managed fields, probes, resources,
//! volumes and, for most of its length, environment variables.

use serde_json::{Value, json};

use super::workload::{IMAGES, LABELS};

/// Bytes of the review.
pub(super) const BYTES: usize = 10_800;

/// The images of the workloads; the second of them as a reference that can be looked up.
pub(super) fn images() -> [String; 3] {
    let [one, two, three] = IMAGES.map(str::to_owned);
    let two = two.trim_end_matches("-longer").replace("/agent@", "/agent-longer@");
    [one, two, three]
}

/// The body of the request.
pub(super) fn review() -> Vec<u8> {
    let short = with_note("").len();
    let body = with_note(&"x".repeat(BYTES - short));
    assert_eq!(body.len(), BYTES, "the note fills it up");
    body
}

fn with_note(note: &str) -> Vec<u8> {
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let resource = json!({"group": "apps", "version": "v1", "resource": "deployments"});
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "e24fa7e7-f0e0-43ae-90ad-02318e149ccd",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "checkout", "namespace": "shop", "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:delivery:deployer",
                "uid": "8f4a0a34-6a14-4d79-9a8f-22a3c2a7c9b8",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": deployment(note),
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl"},
        },
    });
    serde_json::to_vec(&review).expect("JSON")
}

fn deployment(note: &str) -> Value {
    let labels: Value =
        LABELS.map(|(key, value)| (key.to_owned(), Value::from(value))).into_iter().collect();
    let containers: Vec<Value> = images()
        .iter()
        .zip(["checkout", "agent", "resizer"])
        .map(|(image, name)| container(name, image))
        .collect();
    json!({
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {
            "name": "checkout", "namespace": "shop", "generation": 1,
            "uid": "bb5bee32-a32b-4927-8ae8-b5cc97739e04",
            "creationTimestamp": "2026-01-15T11:59:58Z",
            "labels": labels,
            "annotations": {"example.com/note": note},
            "managedFields": [{
                "manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1",
                "time": "2026-01-15T11:59:58Z", "fieldsType": "FieldsV1", "fieldsV1": managed(),
            }],
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": containers,
                    "volumes": [
                        {"name": "settings", "configMap": {"name": "checkout", "defaultMode": 420}},
                        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
                    ],
                    "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
                    "dnsPolicy": "ClusterFirst", "serviceAccountName": "checkout",
                    "securityContext": {"runAsNonRoot": true, "fsGroup": 2000},
                    "schedulerName": "default-scheduler",
                },
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        },
        "status": {},
    })
}

fn container(name: &str, image: &str) -> Value {
    let variable = |n: usize| json!({"name": format!("CHECKOUT_SETTING_{n}"), "value": format!("https://service-{n}.shop.svc:8443/\"{name}\"")});
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http", "scheme": "HTTPS"}, "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3});
    json!({
        "name": name,
        "image": image,
        "args": ["--listen=:8443", "--log-format=json", "--zone=eu"],
        "ports": [{"name": "http", "containerPort": 8443, "protocol": "TCP"}],
        "env": (0..14).map(variable).collect::<Vec<_>>(),
        "resources": {"limits": {"cpu": "2", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumeMounts": [
            {"name": "settings", "mountPath": "/etc/checkout", "readOnly": true},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
        "livenessProbe": probe("/livez"), "readinessProbe": probe("/readyz"),
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
    })
}

fn managed() -> Value {
    let container = json!({".": {}, "f:args": {}, "f:env": {}, "f:image": {}, "f:livenessProbe": {}, "f:name": {}, "f:ports": {}, "f:resources": {}, "f:volumeMounts": {}});
    json!({
        "f:metadata": {"f:labels": {"f:app": {}, "f:tier": {}, "f:team": {}, "f:env": {}}},
        "f:spec": {
            "f:replicas": {}, "f:selector": {}, "f:strategy": {},
            "f:template": {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {
                "f:containers": {
                    "k:{\"name\":\"checkout\"}": container,
                    "k:{\"name\":\"agent\"}": container,
                    "k:{\"name\":\"resizer\"}": container,
                },
                "f:volumes": {}, "f:securityContext": {}, "f:serviceAccountName": {},
            }},
        },
    })
}
