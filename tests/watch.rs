//! The watches against a stand-in for the API server: what it tells reaches the shelf, whatever
//! happens on the way.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use caapc::telemetry::health::Parts;
use caapc::telemetry::metrics::Metrics;
use caapc::watch::feed::{Event, Feed};
use serde_json::json;
use support::apiserver::ApiServer;
use support::eventually;
use tokio::sync::mpsc;

const NAMESPACES: &str = "/api/v1/namespaces";

/// What a shelf would hold: applied with the rules of the feed's invariants.
#[derive(Clone, Default)]
struct Mirror(Arc<Mutex<Mirrored>>);

#[derive(Default)]
struct Mirrored {
    objects: BTreeMap<String, String>,
    listing: Option<Vec<String>>,
    smallest_while_listing: usize,
}

impl Mirror {
    fn apply(&self, event: Event) {
        let mut m = self.0.lock().unwrap();
        match event {
            Event::Begin => m.listing = Some(Vec::new()),
            Event::Apply(object) => {
                let key = object.meta.key();
                if let Some(listing) = &mut m.listing {
                    listing.push(key.clone());
                }
                let team = object.meta.labels.get("team").cloned().unwrap_or_default();
                m.objects.insert(key, team);
                m.smallest_while_listing = m.smallest_while_listing.min(m.objects.len());
            }
            Event::Delete(key) => drop(m.objects.remove(&key)),
            Event::Complete => {
                let listed = m.listing.take().unwrap_or_default();
                m.objects.retain(|key, _| listed.contains(key));
            }
        }
    }

    fn team(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap().objects.get(name).cloned()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().objects.len()
    }
}

fn namespace(name: &str, team: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": team}}})
}

async fn start(server: &ApiServer) -> (Mirror, Metrics) {
    let metrics = Metrics::new();
    let mut parts = Parts::default();
    let ready = parts.shelf("namespaces");
    let feed = Feed {
        name: "namespaces",
        path: NAMESPACES.to_owned(),
        metadata_only: true,
        optional: false,
        page: 2,
        ready: ready.clone(),
        metrics: metrics.control.clone(),
    };
    let (sender, mut receiver) = mpsc::channel(16);
    tokio::spawn(feed.run(server.client(), sender, |event| event));
    let mirror = Mirror::default();
    let mirrored = mirror.clone();
    tokio::spawn(async move {
        while let Some(event) = receiver.recv().await {
            let complete = matches!(event, Event::Complete);
            mirrored.apply(event);
            if complete {
                ready.set();
            }
        }
    });
    let health = parts.finish();
    eventually("the first list", || health.is_ready()).await;
    (mirror, metrics)
}

#[tokio::test]
async fn pages_and_events_reach_the_shelf() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    for n in 0..7 {
        server.put(NAMESPACES, namespace(&format!("n{n}"), "a"));
    }
    let (mirror, _) = start(&server).await;
    eventually("seven namespaces", || mirror.len() == 7).await;
    assert!(server.seen(&["GET", "continue=6"]) > 0, "pages of two");
    server.put(NAMESPACES, namespace("n3", "b"));
    server.put(NAMESPACES, namespace("new", "c"));
    server.delete(NAMESPACES, "", "n0");
    eventually("all three changes", || {
        mirror.team("n3").as_deref() == Some("b")
            && mirror.team("new").is_some()
            && mirror.team("n0").is_none()
    })
    .await;
    assert_eq!(server.seen(&["GET", "continue=6"]), 1, "one list was enough");
}

#[tokio::test]
async fn a_cut_stream_goes_on_where_it_ended() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    server.put(NAMESPACES, namespace("a", "1"));
    let (mirror, _) = start(&server).await;
    for round in 2..5 {
        server.disconnect();
        server.delete(NAMESPACES, "", "a");
        server.put(NAMESPACES, namespace("a", &round.to_string()));
        eventually("the change after a cut", || mirror.team("a") == Some(round.to_string())).await;
    }
    let lists = server.seen(&["GET", "limit="]);
    assert_eq!(lists, 1, "taken up, not listed again");
}

#[tokio::test]
async fn gone_lists_again_and_removes_only_at_the_end() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    for n in 0..5 {
        server.put(NAMESPACES, namespace(&format!("n{n}"), "a"));
    }
    let (mirror, metrics) = start(&server).await;
    eventually("five namespaces", || mirror.len() == 5).await;
    mirror.0.lock().unwrap().smallest_while_listing = usize::MAX;
    server.delete_silently(NAMESPACES, "", "n1");
    server.compact();
    server.put(NAMESPACES, namespace("n9", "a"));
    server.compact();
    server.disconnect();
    eventually("the list after 410", || mirror.team("n9").is_some() && mirror.team("n1").is_none())
        .await;
    assert_eq!(mirror.len(), 5);
    assert!(mirror.0.lock().unwrap().smallest_while_listing >= 5, "removed before the end");
    let text = metrics.text();
    assert!(text.contains("caapc_watch_errors_total{shelf=\"namespaces\"}"), "{text}");
}

#[tokio::test]
async fn garbage_neither_stops_the_stream_nor_hides_a_delete() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    server.put(NAMESPACES, namespace("a", "1"));
    server.put(NAMESPACES, namespace("b", "1"));
    let (mirror, metrics) = start(&server).await;
    // Objects of a shape no schema has, but with a name: they are told as they are.
    server.garbage(
        NAMESPACES,
        r#"{"type":"ADDED","object":{"metadata":{"name":"odd","resourceVersion":"150","labels":7}}}"#,
    );
    eventually("the odd one", || mirror.team("odd").is_some()).await;
    // What cannot be read at all may have been a delete.
    for line in
        ["not json", "[]", r#"{"type":"NEW","object":{}}"#, r#"{"type":"DELETED","object":5}"#]
    {
        server.put(NAMESPACES, namespace("gone", "1"));
        eventually("the next one", || mirror.team("gone").is_some()).await;
        server.delete_silently(NAMESPACES, "", "gone");
        server.garbage(NAMESPACES, line);
        eventually("the lost delete", || mirror.team("gone").is_none()).await;
    }
    server.put(NAMESPACES, namespace("a", "2"));
    eventually("the stream goes on", || mirror.team("a").as_deref() == Some("2")).await;
    assert!(metrics.text().contains("caapc_malformed_objects_total{shelf=\"namespaces\"}"));
}

#[tokio::test]
async fn a_server_that_refuses_is_asked_again() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    server.put(NAMESPACES, namespace("a", "1"));
    server.refuse(&[500, 403, 429]);
    let (mirror, _) = start(&server).await;
    eventually("the list in the end", || mirror.len() == 1).await;
    server.refuse(&[503, 410, 500]);
    server.disconnect();
    server.put(NAMESPACES, namespace("b", "1"));
    eventually("the watch in the end", || mirror.len() == 2).await;
}

/// The whole binary over the stand-in.
mod binary {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::support::apiserver::ApiServer;
    use super::support::client::{Answer, connect};
    use super::support::eventually;
    use super::support::serve::{Binary, Folder, pod_review};

    const NAMESPACES: &str = "/api/v1/namespaces";
    const EVENTS: &str = "/api/v1/events";
    const SECRETS: &str = "/api/v1/secrets";
    const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
    const POLICIES: &str = "/apis/containersecurity.tigera.io/v1beta1/containeradmissionpolicies";
    const SCANS: &str = "/apis/caapc.dev/v1alpha1/imagescans";
    const EXCEPTIONS: &str = "/apis/caapc.dev/v1alpha1/vulnerabilityexceptions";
    const SETTINGS: &str = "/apis/caapc.dev/v1alpha1/imageassurancesettings";
    const REPORTS: &str = "/apis/aquasecurity.github.io/v1alpha1/vulnerabilityreports";
    const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    const USUAL: [&str; 8] =
        [NAMESPACES, EVENTS, LEASES, POLICIES, SCANS, EXCEPTIONS, SETTINGS, SECRETS];

    /// A folder with a kubeconfig and a certificate, and the arguments that name them.
    fn arrange(name: &str, server: &ApiServer) -> (Folder, Vec<String>) {
        let folder = Folder::new(name);
        folder.write("kubeconfig", &server.kubeconfig());
        let made = caapc::serve::selfsigned::make(&folder.0, [127, 0, 0, 1].into());
        made.expect("a certificate");
        let path = |name: &str| folder.0.join(name).display().to_string();
        let args = vec!["--kubeconfig".to_owned(), path("kubeconfig")];
        (folder, args)
    }

    fn with_files(folder: &Folder, args: &[String]) -> Vec<String> {
        let path = |name: &str| folder.0.join(name).display().to_string();
        let files = ["--tls-cert", &path("tls.crt"), "--tls-key", &path("tls.key")];
        let files = files.into_iter().map(str::to_owned);
        args.iter().cloned().chain(files).chain(["--identity".to_owned(), "r".to_owned()]).collect()
    }

    async fn start(args: Vec<String>) -> Binary {
        let start = move || Binary::start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(start).await.expect("it starts")
    }

    async fn review(binary: &Binary, ca: &Path, body: &str) -> Answer {
        let mut client = connect(binary.address, ca).await.expect("TLS");
        client.post("/admission-review", body.as_bytes()).await.expect("an answer")
    }

    async fn allowed(binary: &Binary, folder: &Folder, namespace: &str, image: &str) -> bool {
        let ca = folder.0.join("ca.crt");
        let answer = review(binary, &ca, &pod_review(namespace, image)).await;
        assert_eq!(answer.code, 200, "{}", answer.text());
        answer.json()["response"]["allowed"].as_bool().expect("a bool")
    }

    fn policy(name: &str, spec: Value) -> Value {
        json!({"apiVersion": "containersecurity.tigera.io/v1beta1", "kind": "ContainerAdmissionPolicy",
               "metadata": {"name": name}, "spec": spec})
    }

    fn reject_all_but_scanned() -> Value {
        json!({"rules": [
            {"action": "Allow", "imageScanStatus": {"operator": "IsOneOf", "values": ["Pass"]}},
            {"action": "Reject"},
        ]})
    }

    fn scan(image: &str) -> Value {
        json!({"apiVersion": "caapc.dev/v1alpha1", "kind": "ImageScan", "metadata": {"name": "s"},
               "spec": {"references": [image], "scannedAt": "2026-11-20T00:00:00Z", "maximum": 1.0}})
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_waits_for_every_shelf_then_follows_each() {
        let served: Vec<&str> = USUAL.into_iter().filter(|path| *path != SCANS).collect();
        let server = ApiServer::start(&served).await;
        server.put(NAMESPACES, super::namespace("a", "x"));
        server.put(POLICIES, policy("p", reject_all_but_scanned()));
        let (folder, args) = arrange("shelves", &server);
        let mut binary = start(with_files(&folder, &args)).await;
        eventually("the reason", || {
            let (code, text) = binary.get("/readyz?verbose");
            code == 503
                && text.contains("[-]scans failed: its first list is not complete: ")
                && text.contains("[+]certificate ok")
        })
        .await;
        let answer = review(&binary, &folder.0.join("ca.crt"), &pod_review("a", "nginx")).await;
        assert_eq!((answer.code, answer.json()["kind"].clone()), (500, json!("Status")));
        server.serve(SCANS);
        server.put(SCANS, scan("docker.io/library/nginx:1"));
        eventually("ready", || binary.get("/readyz").0 == 200).await;
        assert!(allowed(&binary, &folder, "a", "nginx:1").await);
        assert!(!allowed(&binary, &folder, "a", "nginx:2").await);
        // An object that cannot be understood keeps its last version, and the stream goes on.
        let mut odd = scan("docker.io/library/nginx:1");
        odd["spec"] = 5.into();
        server.put(SCANS, odd);
        eventually("the report", || {
            binary.get("/metrics").1.contains("caapc_malformed_objects_total{shelf=\"scans\"} 1")
        })
        .await;
        assert!(allowed(&binary, &folder, "a", "nginx:1").await);
        server.delete(SCANS, "", "s");
        wait_until(&binary, &folder, "nginx:1", false).await;
        // A namespace that no watch told of is asked for.
        server.garbage(NAMESPACES, "");
        assert!(!allowed(&binary, &folder, "a", "nginx:1").await);
        // Settings that are wrong keep the last ones.
        server.put(
            SETTINGS,
            json!({"metadata": {"name": "default"}, "spec": {"failThreshold": "x"}}),
        );
        eventually("the report", || {
            binary.get("/metrics").1.contains("caapc_malformed_objects_total{shelf=\"settings\"} 1")
        })
        .await;
        // The leader writes status, once, and events of rejections.
        eventually("status", || {
            let policy = server.get(POLICIES, "", "p").expect("the policy");
            policy["status"]["conditions"][0]["status"] == "True"
        })
        .await;
        eventually("an event", || {
            let events = server.all(EVENTS);
            events.iter().any(|event| {
                event["reason"] == "ImageRejected" && event["metadata"]["namespace"] == "a"
            })
        })
        .await;
        let patches = server.seen(&["PATCH", "/status"]);
        server.put(POLICIES, {
            let mut labelled = server.get(POLICIES, "", "p").expect("the policy");
            labelled["metadata"]["labels"] = json!({"k": "v"});
            labelled
        });
        server.put(POLICIES, policy("q", json!({"order": 1, "rules": [{"action": "Allow"}]})));
        wait_until(&binary, &folder, "nginx:2", true).await;
        eventually("status of the new one", || {
            server.get(POLICIES, "", "q").expect("it").pointer("/status/rules") == Some(&json!(1))
        })
        .await;
        assert_eq!(server.seen(&["PATCH", "/status"]), patches + 1, "nothing is written twice");
        let lease = server.all(LEASES).remove(0);
        assert_eq!(lease["spec"]["holderIdentity"], "r");
        let ended = tokio::task::spawn_blocking(move || binary.terminate()).await;
        assert_eq!(ended.expect("no panic"), Some(0));
        assert_eq!(server.all(LEASES)[0]["spec"]["holderIdentity"], "", "it is given back");
    }

    async fn wait_until(binary: &Binary, folder: &Folder, image: &str, expected: bool) {
        let begun = std::time::Instant::now();
        while allowed(binary, folder, "a", image).await != expected {
            assert!(begun.elapsed().as_secs() < 60, "{image} is never {expected}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_namespace_the_watch_does_not_tell_of_is_asked_for() {
        let server = ApiServer::start(&USUAL).await;
        server.put(
            POLICIES,
            policy(
                "p",
                json!({"namespaceSelector": "team == 'b'", "rules": [{"action": "Reject"}]}),
            ),
        );
        let (folder, args) = arrange("unknown", &server);
        let binary = start(with_files(&folder, &args)).await;
        eventually("ready", || binary.get("/readyz").0 == 200).await;
        // In the store, in no stream: as when the watch lags.
        server.put_silently(NAMESPACES, super::namespace("late", "b"));
        assert!(!allowed(&binary, &folder, "late", "nginx").await, "its labels count");
        assert!(!allowed(&binary, &folder, "late", "nginx").await);
        assert_eq!(server.seen(&["GET", "/namespaces/late"]), 1, "and are remembered for a moment");
        let answer = review(&binary, &folder.0.join("ca.crt"), &pod_review("none", "x")).await;
        assert_eq!(answer.code, 500, "never a silent allow: {}", answer.text());
        let text = binary.get("/metrics").1;
        assert!(text.contains("caapc_namespace_fetches_total{outcome=\"found\"} 1"), "{text}");
        assert!(text.contains("caapc_namespace_fetches_total{outcome=\"missing\"} 1"), "{text}");
    }

    fn report(tag: &str, score: f64, at: &str) -> Value {
        json!({
            "apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "VulnerabilityReport",
            "metadata": {"name": "replicaset-web", "namespace": "a"},
            "report": {
                "updateTimestamp": at,
                "registry": {"server": "registry.example.com"},
                "artifact": {"repository": "shop/web", "tag": tag},
                "os": {"family": "debian", "name": "12"},
                "scanner": {"name": "Trivy", "vendor": "x", "version": "0.70"},
                "summary": {},
                "vulnerabilities": [{"vulnerabilityID": "CVE-2026-9", "severity": "LOW", "score": score,
                                     "resource": "zlib", "installedVersion": "1", "fixedVersion": "2"}],
            },
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reports_count_only_when_they_are_trusted() {
        let server = ApiServer::start(&USUAL).await;
        server.put(NAMESPACES, super::namespace("a", "x"));
        server.put(POLICIES, policy("p", reject_all_but_scanned()));
        let (folder, args) = arrange("reports", &server);
        let binary = start(with_files(&folder, &args)).await;
        eventually("it leads", || binary.get("/metrics").1.contains("caapc_leader 1")).await;
        eventually("ready", || binary.get("/readyz").0 == 200).await;
        let image = "registry.example.com/shop/web:1";
        assert!(!allowed(&binary, &folder, "a", image).await);
        server.serve(REPORTS);
        server.put(REPORTS, report("1", 2.0, "2026-11-20T00:00:00Z"));
        assert_eq!(server.seen(&["vulnerabilityreports"]), 0, "not even read");
        server.put(
            SETTINGS,
            json!({"metadata": {"name": "default"}, "spec": {"trivyOperator": "Trust"}}),
        );
        wait_until(&binary, &folder, image, true).await;
        let scans = server.all(SCANS);
        assert_eq!(scans.len(), 1);
        assert_eq!(scans[0]["spec"]["references"], json!(["registry.example.com/shop/web:1"]));
        // A newer report takes the place of the older one, an older one does not.
        server.put(REPORTS, report("1", 9.9, "2026-11-20T01:00:00Z"));
        wait_until(&binary, &folder, image, false).await;
        server.put(REPORTS, report("1", 1.0, "2026-11-19T00:00:00Z"));
        server.put(REPORTS, json!({"metadata": {"name": "odd", "namespace": "a"}, "report": 5}));
        eventually("the odd one", || {
            binary.get("/metrics").1.contains("caapc_malformed_objects_total{shelf=\"reports\"} 1")
        })
        .await;
        assert!(!allowed(&binary, &folder, "a", image).await);
        // A report that goes leaves its scan.
        server.delete(REPORTS, "a", "replicaset-web");
        server.put(REPORTS, report("2", 1.0, "2026-11-20T02:00:00Z"));
        wait_until(&binary, &folder, "registry.example.com/shop/web:2", true).await;
        assert_eq!(server.all(SCANS).len(), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_leader_makes_the_certificate_it_serves() {
        let server = ApiServer::start(&USUAL).await;
        server.serve(WEBHOOKS);
        server.put(NAMESPACES, super::namespace("a", "x"));
        let (_folder, mut args) = arrange("secret", &server);
        args.extend(["--certificate-secret".to_owned(), "certs".to_owned()]);
        let binary = start(args).await;
        eventually("ready", || binary.get("/readyz").0 == 200).await;
        let secret = server.get(SECRETS, "tigera-image-assurance", "certs").expect("a secret");
        for key in ["tls.crt", "tls.key", "ca.crt", "ca.key"] {
            assert!(secret["data"][key].is_string(), "{key} is missing");
        }
        let expiry = binary.get("/metrics").1;
        assert!(expiry.contains("caapc_certificate_expiry_timestamp_seconds 1"), "{expiry}");
        assert!(binary.logged(&["made a new serving certificate"]));
        assert!(!binary.logged(&["PRIVATE KEY"]), "no secret in the log");
    }
}
