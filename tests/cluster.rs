//! End to end, against a real API server: the CRDs, two replicas of the real binary behind a
//! webhook configuration, kubectl in front. It needs `KUBEBUILDER_ASSETS`; without it, it says
//! loudly that nothing was tested.

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine;
use caapc::serve::selfsigned;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use support::cluster::{Cluster, feed};
use support::eventually_blocking;
use support::proxy;
use support::serve::{Binary, Folder};

/// Where the lease is; the default of `caapc serve`.
const OWN: &str = "tigera-image-assurance";

struct World {
    cluster: Cluster,
    folder: Folder,
    replicas: Vec<Binary>,
}

#[test]
fn against_a_real_api_server() {
    let Some(cluster) = Cluster::start("cluster") else { return };
    let mut world = World::new(cluster);
    world.denial_as_kubectl_prints_it();
    world.status_of_policies();
    world.edits_take_effect();
    world.scans_arrive();
    world.an_exception_expires();
    world.broken_edits_keep_the_last_version();
    world.children_are_skipped_and_forged_owners_are_not();
    world.ephemeral_containers();
    world.dry_run_and_events();
    world.a_namespace_chooses_its_mode();
    world.a_namespace_created_and_used_at_once();
    world.the_api_server_restarts();
    world.one_of_two_replicas_is_killed_under_load();
    world.the_end_is_polite();
}

impl World {
    fn new(cluster: Cluster) -> Self {
        let folder = Folder::new("cluster-tls");
        selfsigned::make(&folder.0, [127, 0, 0, 1].into()).expect("a certificate");
        let crds = caapc(&["crds"], "");
        cluster.kubectl_ok(&["apply", "-f", "-"], &crds);
        cluster.kubectl_ok(&["wait", "--for=condition=Established", "crd", "--all"], "");
        cluster.kubectl_ok(&["create", "namespace", OWN], "");
        let mut world = Self { cluster, folder, replicas: Vec::new() };
        for identity in ["a", "b"] {
            let replica = world.replica(identity);
            world.replicas.push(replica);
        }
        let addresses: Vec<SocketAddr> = world.replicas.iter().map(|r| r.address).collect();
        let url = format!("https://127.0.0.1:{}", proxy::start(addresses));
        let ca = std::fs::read(world.folder.0.join("ca.crt")).expect("the authority");
        let ca = base64::engine::general_purpose::STANDARD.encode(ca);
        world.apply(&admission_webhook(&url, &ca));
        world.apply(&policy_webhook(&url, &ca));
        world.namespace("demo", &json!({"guarded": "true"}));
        world.cluster.account_in("demo");
        world.policy("reject-failed", &only_scanned());
        eventually_blocking("the webhook is called", || {
            let output =
                world.create(&pod("demo", "probe", "x.example/probe"), &["--dry-run=server"]);
            output.is_err_and(|error| error.contains("Action 'Reject'"))
        });
        world
    }

    fn replica(&self, identity: &str) -> Binary {
        let path = |name: &str| self.folder.0.join(name).display().to_string();
        let kubeconfig = self.cluster.kubeconfig().display().to_string();
        Binary::start(&[
            "--kubeconfig",
            &kubeconfig,
            "--tls-cert",
            &path("tls.crt"),
            "--tls-key",
            &path("tls.key"),
            "--identity",
            identity,
            "--mode-label",
            "caapc-mode",
            "--shutdown-delay",
            "1",
        ])
        .ready()
    }

    #[track_caller]
    fn apply(&self, object: &Value) {
        self.cluster.kubectl_ok(&["apply", "-f", "-"], &object.to_string());
    }

    fn create(&self, object: &Value, more: &[&str]) -> Result<String, String> {
        let args = [&["create", "-f", "-"][..], more].concat();
        let output = self.cluster.kubectl(&args, &object.to_string());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout) + &text(&output.stderr))
        } else {
            Err(text(&output.stderr))
        }
    }

    fn allowed(&self, object: &Value) -> bool {
        match self.create(object, &["--dry-run=server"]) {
            Ok(_) => true,
            Err(error) if error.contains("denied the request") => false,
            Err(error) => panic!("neither allowed nor denied: {error}"),
        }
    }

    #[track_caller]
    fn eventually(&self, what: &str, allowed: bool, object: &Value) {
        eventually_blocking(what, || self.allowed(object) == allowed);
    }

    fn namespace(&self, name: &str, labels: &Value) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        }));
    }

    fn policy(&self, name: &str, spec: &Value) {
        self.apply(&policy(name, spec));
    }

    fn get(&self, args: &[&str]) -> Value {
        let args = [&["get", "-o", "json"][..], args].concat();
        serde_json::from_str(&self.cluster.kubectl_ok(&args, "")).expect("JSON")
    }

    fn denial_as_kubectl_prints_it(&self) {
        let error = self.create(&pod("demo", "web", "x.example/web:1"), &[]).expect_err("denied");
        let reason = "Action 'Reject' enforced by ContainerPolicy reject-failed rule index 1";
        let begin = format!(
            "Error from server ({reason}): error when creating \"STDIN\": admission webhook \
             \"image-assurance.tigera.io\" denied the request: {reason}"
        );
        assert!(error.starts_with(&begin), "{error}");
        assert!(error.contains("x.example/web:1") && error.contains("Unknown"), "{error}");
        // A foreign version of the same kind, as the API server converts nothing.
        let job = json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "nightly", "namespace": "demo"},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "x.example/y"}],
            }}}}},
        });
        assert!(!self.allowed(&job));
    }

    fn status_of_policies(&self) {
        eventually_blocking("the leader writes status", || {
            let policy = self.get(&["cap", "reject-failed"]);
            policy.pointer("/status/conditions/0/status") == Some(&json!("True"))
        });
        let policy = self.get(&["cap", "reject-failed"]);
        assert_eq!(policy["status"]["state"], "Compiled");
        assert_eq!(policy["status"]["rules"], 2);
        assert_eq!(policy["status"]["observedGeneration"], policy["metadata"]["generation"]);
        assert_eq!(policy["status"]["lastCompiled"], policy["spec"]);
        let message = policy["status"]["conditions"][0]["message"].as_str().expect("a message");
        assert!(
            message.starts_with("listing sha256:") && message.contains("longest path"),
            "{message}"
        );
        let holder = self.get(&["-n", OWN, "lease"]);
        let holder = holder["items"][0]["spec"]["holderIdentity"].clone();
        assert!(["a", "b"].iter().any(|name| holder == *name), "{holder}");
        let leading = self
            .replicas
            .iter()
            .filter(|replica| replica.get("/metrics").1.contains("caapc_leader 1"));
        assert_eq!(leading.count(), 1, "one leads");
    }

    fn edits_take_effect(&self) {
        let image = pod("demo", "edit", "x.example/edit:1");
        assert!(!self.allowed(&image));
        let mut spec = only_scanned();
        spec["rules"].as_array_mut().expect("a list").insert(0, json!({
            "action": "Allow", "imagePath": {"operator": "IsOneOf", "values": [r"^x\.example/edit:"]},
        }));
        self.policy("reject-failed", &spec);
        self.eventually("the edit", true, &image);
        self.policy("reject-failed", &only_scanned());
        self.eventually("the edit back", false, &image);
        // A second policy that comes first.
        let first =
            json!({"order": 1, "selector": "app == 'free'", "rules": [{"action": "Allow"}]});
        self.policy("first", &first);
        let mut free = image.clone();
        free["metadata"]["labels"] = json!({"app": "free"});
        self.eventually("the first policy", true, &free);
        assert!(!self.allowed(&image));
        self.cluster.kubectl_ok(&["delete", "cap", "first"], "");
        self.eventually("it is gone", false, &free);
        // What does not compile is refused, with the report, and a likely mistake is told.
        let wrong = json!({"rules": [{"action": "Reject", "imageScanStatsu": {}}, {"action": "Allow", "imagePath": {"operator": "IsOneOf", "values": ["("]}}]});
        let error = self.create(&policy("wrong", &wrong), &[]).expect_err("refused");
        for part in [
            "does not compile",
            "spec.rules[0]",
            "imageScanStatsu",
            "spec.rules[1].imagePath.values[0]",
        ] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        let odd = json!({"rules": [{"action": "Reject", "imageScanStatus": {
            "operator": "IsOneOf", "values": ["Warning"],
        }}]});
        let told = self
            .cluster
            .kubectl(&["create", "--dry-run=server", "-f", "-"], &policy("odd", &odd).to_string());
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.contains("Warning") && told.contains("spec.rules[0]"), "{told}");
    }

    fn scans_arrive(&self) {
        let image = pod("demo", "scanned", "registry.example.com/shop/cart:2.0.0");
        assert!(!self.allowed(&image));
        let report = json!({
            "SchemaVersion": 2, "CreatedAt": rfc3339(-60),
            "ArtifactName": "registry.example.com/shop/cart:2.0.0", "ArtifactType": "container_image",
            "Metadata": {"RepoTags": ["registry.example.com/shop/cart:2.0.0"]},
            "Results": [{"Target": "os", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [{
                "VulnerabilityID": "CVE-2026-1", "PkgName": "zlib", "InstalledVersion": "1",
                "Severity": "LOW", "CVSS": {"nvd": {"V3Score": 3.1}},
            }]}],
        });
        self.import(&report);
        self.eventually("the scan", true, &image);
    }

    /// `caapc scan import --apply`.
    fn import(&self, report: &Value) {
        let kubeconfig = self.cluster.kubeconfig().display().to_string();
        let args = ["scan", "import", "--apply", "--kubeconfig", &kubeconfig, "-"];
        caapc(&args, &report.to_string());
    }

    fn an_exception_expires(&self) {
        let image = pod("demo", "excepted", "registry.example.com/shop/web:1.4.2");
        let scan = json!({
            "apiVersion": "caapc.dev/v1alpha1", "kind": "ImageScan", "metadata": {"name": "shop-web"},
            "spec": {
                "references": ["registry.example.com/shop/web:1.4.2"], "scannedAt": rfc3339(-60),
                "maximum": 9.8, "summary": {"critical": 1},
                "vulnerabilities": [{"id": "CVE-2026-2", "v3": 9.8, "severity": "Critical"}],
            },
        });
        self.apply(&scan);
        eventually_blocking("the scan", || {
            let error = self.create(&image, &["--dry-run=server"]).expect_err("denied");
            error.contains("CVE-2026-2")
        });
        let exception = json!({
            "apiVersion": "caapc.dev/v1alpha1", "kind": "VulnerabilityException",
            "metadata": {"name": "for-now"},
            "spec": {"vulnerability": "CVE-2026-2", "scope": "any", "expiresAt": rfc3339(12)},
        });
        self.apply(&exception);
        self.eventually("the exception", true, &image);
        self.eventually("its end", false, &image);
    }

    fn broken_edits_keep_the_last_version(&self) {
        // The policy webhook is away, as when all replicas are down: the edit slips through.
        self.cluster
            .kubectl_ok(&["delete", "validatingwebhookconfiguration", "caapc-policies"], "");
        let broken = json!({"order": 10, "rules": [{"action": "Allow", "imagePth": {"operator": "IsOneOf"}}]});
        self.policy("reject-failed", &broken);
        eventually_blocking("the report", || {
            let policy = self.get(&["cap", "reject-failed"]);
            policy.pointer("/status/state") == Some(&json!("Invalid"))
        });
        let policy = self.get(&["cap", "reject-failed"]);
        let condition = &policy["status"]["conditions"][0];
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("LastVersionInForce"))
        );
        assert!(condition["message"].as_str().expect("text").contains("imagePth"), "{condition}");
        assert_eq!(policy["status"]["lastCompiled"]["rules"], only_scanned()["rules"]);
        let image = pod("demo", "late", "x.example/late:1");
        let error = self.create(&image, &["--dry-run=server"]).expect_err("still denied");
        assert!(error.contains("reject-failed rule index 1"), "{error}");
        // A replica that starts now knows it from the status.
        let fresh = self.replica("fresh");
        let (_, listing) = fresh.get("/debug/program");
        assert!(listing.contains("policy \"reject-failed\""), "{listing}");
        let (_, metrics) = fresh.get("/metrics");
        assert!(metrics.contains("caapc_policies{state=\"stale\"} 1"), "{metrics}");
        drop(fresh);
        eventually_blocking("an event", || {
            let events = self.cluster.kubectl_ok(&["-n", "default", "get", "events"], "");
            events.contains("DoesNotCompile")
        });
        self.policy("reject-failed", &only_scanned());
        eventually_blocking("it compiles again", || {
            let policy = self.get(&["cap", "reject-failed"]);
            policy.pointer("/status/state") == Some(&json!("Compiled"))
        });
    }

    fn children_are_skipped_and_forged_owners_are_not(&self) {
        if !self.cluster.has_manager() {
            eprintln!("*** no kube-controller-manager: children of workloads were not tested");
            return;
        }
        let image = "registry.example.com/shop/cart:2.0.0";
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "cart", "namespace": "demo"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "cart"}}, "template": {
                "metadata": {"labels": {"app": "cart"}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            }},
        });
        self.create(&deployment, &[]).expect("an allowed image");
        let pods = || {
            let pods = self.get(&["-n", "demo", "pods", "-l", "app=cart"]);
            pods["items"].as_array().cloned().unwrap_or_default()
        };
        eventually_blocking("a pod of the deployment", || pods().len() == 1);
        // From now on nothing new would be admitted.
        self.policy("nothing", &json!({"order": 0, "rules": [{"action": "Reject"}]}));
        self.eventually("nothing", false, &pod("demo", "x", image));
        let before = pods()[0]["metadata"]["name"].as_str().expect("a name").to_owned();
        self.cluster.kubectl_ok(&["-n", "demo", "delete", "pod", &before, "--wait=false"], "");
        eventually_blocking("its successor, not evaluated again", || {
            pods().iter().any(|pod| pod["metadata"]["name"] != before.as_str())
        });
        let sets = self.get(&["-n", "demo", "replicasets"]);
        let set = &sets["items"][0];
        let mut forged = pod("demo", "forged", image);
        forged["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
            "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
        }]);
        assert!(!self.allowed(&forged), "anyone can claim an owner");
        self.cluster.kubectl_ok(&["delete", "cap", "nothing"], "");
        self.eventually("the usual again", true, &pod("demo", "x", image));
    }

    fn ephemeral_containers(&self) {
        let image = "registry.example.com/shop/cart:2.0.0";
        self.create(&pod("demo", "debugged", image), &[]).expect("an allowed image");
        let debug = |name: &str, image: &str| {
            let container = json!({"name": name, "image": image, "targetContainerName": "c"});
            let patch = json!({"spec": {"ephemeralContainers": [container]}}).to_string();
            self.cluster.kubectl(
                &[
                    "-n",
                    "demo",
                    "patch",
                    "pod",
                    "debugged",
                    "--subresource=ephemeralcontainers",
                    "-p",
                    &patch,
                ],
                "",
            )
        };
        let denied = debug("one", "x.example/tools");
        let told = String::from_utf8_lossy(&denied.stderr).into_owned();
        assert!(!denied.status.success() && told.contains("x.example/tools"), "{told}");
        // Even if the pod's own image is no longer admitted, an allowed one may debug it.
        let stale = json!({"order": 0, "rules": [{"action": "Reject", "imagePath": {
            "operator": "IsOneOf", "values": ["shop/cart:2\\.0\\.0$"],
        }}, {"action": "Allow"}]});
        self.policy("stale", &stale);
        self.eventually("stale", false, &pod("demo", "x", image));
        let allowed = debug("two", "x.example/tools");
        let told = String::from_utf8_lossy(&allowed.stderr).into_owned();
        assert!(allowed.status.success(), "{told}");
        self.cluster.kubectl_ok(&["delete", "cap", "stale"], "");
        self.eventually("the usual again", true, &pod("demo", "x", image));
    }

    fn dry_run_and_events(&self) {
        let events = |name: &str| {
            let events = self.get(&["-n", "demo", "events"]);
            let of = |event: &&Value| event["involvedObject"]["name"] == name;
            events["items"].as_array().into_iter().flatten().filter(of).count()
        };
        assert!(!self.allowed(&pod("demo", "dry", "x.example/dry")));
        self.create(&pod("demo", "wet", "x.example/wet"), &[]).expect_err("denied");
        eventually_blocking("an event of the rejection", || events("wet") == 1);
        assert_eq!(events("dry"), 0, "none of a dry run");
        let events = self.get(&["-n", "demo", "events", "--field-selector=reason=ImageRejected"]);
        let event = &events["items"][0];
        assert_eq!(
            (&event["type"], &event["involvedObject"]["kind"]),
            (&json!("Warning"), &json!("Pod"))
        );
    }

    fn a_namespace_chooses_its_mode(&self) {
        self.namespace("lenient", &json!({"guarded": "true", "caapc-mode": "warn"}));
        self.cluster.account_in("lenient");
        let told = self.create(&pod("lenient", "web", "x.example/web:1"), &["--dry-run=server"]);
        let told = told.expect("allowed");
        assert!(told.contains("Warning:") && told.contains("reject-failed rule index 1"), "{told}");
    }

    fn a_namespace_created_and_used_at_once(&self) {
        let strict = json!({"order": 0, "namespaceSelector": "fresh == 'yes'", "rules": [{"action": "Reject"}]});
        self.policy("fresh", &strict);
        for n in 0..10 {
            let name = format!("fresh-{n}");
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"guarded": "true", "fresh": "yes"}},
            });
            let job = json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": name},
                "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
                    {"name": "c", "image": "registry.example.com/shop/cart:2.0.0"},
                ]}}},
            });
            let list = json!({"apiVersion": "v1", "kind": "List", "items": [namespace, job]});
            let error = self.create(&list, &[]).expect_err("the job is denied");
            assert!(error.contains("ContainerPolicy fresh rule index 0"), "{error}");
        }
        self.cluster.kubectl_ok(&["delete", "cap", "fresh"], "");
    }

    fn the_api_server_restarts(&mut self) {
        self.cluster.restart_api(Duration::from_secs(1));
        for replica in &self.replicas {
            assert_eq!(
                replica.get("/readyz").0,
                200,
                "losing the API server does not make it unready"
            );
        }
        let image = pod("demo", "after", "x.example/after:1");
        assert!(!self.allowed(&image));
        self.policy("after", &json!({"order": 0, "rules": [{"action": "Allow"}]}));
        for replica in &self.replicas {
            eventually_blocking("each replica follows again", || {
                replica.get("/debug/program").1.contains("policy \"after\"")
            });
        }
        self.eventually("the new policy", true, &image);
        self.cluster.kubectl_ok(&["delete", "cap", "after"], "");
        self.eventually("it is gone", false, &image);
    }

    fn one_of_two_replicas_is_killed_under_load(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let load = Arc::new(Load::default());
        let client = runtime.block_on(async {
            let file = kube::config::Kubeconfig::read_from(self.cluster.kubeconfig());
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(file.expect("a file"), &options);
            kube::Client::try_from(config.await.expect("a configuration")).expect("a client")
        });
        for _ in 0..4 {
            runtime.spawn(Arc::clone(&load).run(client.clone()));
        }
        eventually_blocking("load", || load.right.load(Ordering::Relaxed) >= 100);
        self.replicas[0].child.kill().expect("it runs");
        let before = load.right.load(Ordering::Relaxed);
        eventually_blocking("it goes on", || load.right.load(Ordering::Relaxed) >= before + 200);
        load.enough.store(true, Ordering::Relaxed);
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        assert_eq!(count(&load.wrong), 0, "no wrong answer");
        println!(
            "under load, one replica killed: {} right, {} wrong, {} without an answer",
            count(&load.right),
            count(&load.wrong),
            count(&load.failed)
        );
        self.replicas.remove(0);
        eventually_blocking("the other one leads", || {
            self.replicas[0].get("/metrics").1.contains("caapc_leader 1")
        });
    }

    fn the_end_is_polite(mut self) {
        let mut last = self.replicas.remove(0);
        assert_eq!(last.terminate(), Some(0));
        let lease = self.get(&["-n", OWN, "lease"]);
        let holder = lease["items"][0]["spec"]["holderIdentity"].as_str().unwrap_or_default();
        assert_eq!(holder, "", "the lease is given back");
        let error = self.create(&pod("demo", "x", "x.example/x"), &[]).expect_err("fails closed");
        assert!(error.contains("failed calling webhook"), "{error}");
    }
}

/// Pods that are to be admitted and pods that are not, in turn, as fast as answers come.
#[derive(Default)]
struct Load {
    right: AtomicUsize,
    wrong: AtomicUsize,
    failed: AtomicUsize,
    enough: AtomicBool,
}

impl Load {
    async fn run(self: Arc<Self>, client: kube::Client) {
        let api: Api<Pod> = Api::namespaced(client, "demo");
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let good = pod("demo", "good", "registry.example.com/shop/cart:2.0.0");
        let bad = pod("demo", "bad", "x.example/bad:1");
        for turn in 0.. {
            if self.enough.load(Ordering::Relaxed) {
                return;
            }
            let expected = turn % 2 == 0;
            let object = if expected { &good } else { &bad };
            let object: Pod = serde_json::from_value(object.clone()).expect("a pod");
            let counter = match api.create(&params, &object).await {
                Ok(_) if expected => &self.right,
                Err(kube::Error::Api(status)) if status.message.contains("denied the request") => {
                    if expected {
                        &self.wrong
                    } else {
                        &self.right
                    }
                }
                Ok(_) => &self.wrong,
                Err(_) => &self.failed,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn only_scanned() -> Value {
    json!({"order": 10, "rules": [
        {"action": "Allow", "imageScanStatus": {"operator": "IsOneOf", "values": ["Pass", "Warn"]}},
        {"action": "Reject"},
    ]})
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "containersecurity.tigera.io/v1beta1", "kind": "ContainerAdmissionPolicy",
        "metadata": {"name": name}, "spec": spec,
    })
}

fn pod(namespace: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": image}]},
    })
}

fn admission_webhook(url: &str, ca: &str) -> Value {
    let workloads = [
        "pods",
        "replicationcontrollers",
        "replicasets",
        "deployments",
        "statefulsets",
        "daemonsets",
        "jobs",
        "cronjobs",
    ];
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "image-assurance.tigera.io"},
        "webhooks": [{
            "name": "image-assurance.tigera.io",
            "clientConfig": {"url": format!("{url}/admission-review"), "caBundle": ca},
            "rules": [
                {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                 "resources": workloads, "scope": "Namespaced"},
                {"apiGroups": [""], "apiVersions": ["*"], "operations": ["UPDATE"],
                 "resources": ["pods/ephemeralcontainers"], "scope": "Namespaced"},
            ],
            "namespaceSelector": {"matchLabels": {"guarded": "true"}},
            "admissionReviewVersions": ["v1", "v1beta1"], "sideEffects": "None",
            "matchPolicy": "Equivalent", "failurePolicy": "Fail", "timeoutSeconds": 5,
        }],
    })
}

fn policy_webhook(url: &str, ca: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "caapc-policies"},
        "webhooks": [{
            "name": "policies.caapc.dev",
            "clientConfig": {"url": format!("{url}/validate-policies"), "caBundle": ca},
            "rules": [{"apiGroups": ["containersecurity.tigera.io"], "apiVersions": ["*"],
                       "operations": ["CREATE", "UPDATE"], "resources": ["containeradmissionpolicies"]}],
            "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Ignore", "timeoutSeconds": 5,
        }],
    })
}

/// Runs the binary; it must succeed.
#[track_caller]
fn caapc(args: &[&str], input: &str) -> String {
    let output = feed(Command::new(env!("CARGO_BIN_EXE_caapc")).args(args), input);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "caapc {args:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Now and some seconds, as RFC 3339.
fn rfc3339(secs: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let at = i64::try_from(now.as_secs()).expect("in range") + secs;
    chrono::DateTime::from_timestamp(at, 0)
        .expect("in range")
        .format("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
