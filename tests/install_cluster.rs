//! From an empty API server to an enforced policy and back, with the real binary: install, enforce,
//! renew certificates under load, doctor, adopt, uninstall.
//!
//! Needs `KUBEBUILDER_ASSETS`; without it both tests say loudly that they did nothing. There is no
//! kubelet, so the controller runs here, with the access rights that it is installed with.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use caapc::install::{certs, names, rotate};
use serde_json::Value;
use support::cluster::{Cluster, Process, free_port};
use support::eventually_blocking;

const NAMESPACE: &str = names::NAMESPACE;

/// Runs `caapc` as a user of kubectl would.
fn caapc(cluster: &Cluster, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caapc"));
    command.args(args).arg("--kubeconfig").arg(cluster.kubeconfig()).current_dir(&cluster.folder);
    command.env_remove("IN_NAMESPACE_SELECTOR_KEY").env_remove("IN_NAMESPACE_SELECTOR_VALUES");
    command.output().expect("caapc starts")
}

/// What `caapc` prints without a cluster.
fn printed(args: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_caapc")).args(args).output().expect("caapc starts");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn caapc_ok(cluster: &Cluster, args: &[&str]) -> String {
    let output = caapc(cluster, args);
    let err = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "caapc {args:?}: {out}{err}");
    format!("{out}{err}")
}

#[track_caller]
fn caapc_fails(cluster: &Cluster, args: &[&str], code: i32) -> String {
    let output = caapc(cluster, args);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "caapc {args:?}: {text}");
    text
}

/// Codes of the errors and warnings that doctor finds.
fn diagnosed(cluster: &Cluster) -> Vec<String> {
    let output = caapc(cluster, &["doctor", "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["notLookedAt"], serde_json::json!([]));
    let findings = report["findings"].as_array().expect("a list").iter();
    let wrong = findings.filter(|one| one["severity"] != "info");
    let mut codes: Vec<String> =
        wrong.map(|one| one["code"].as_str().expect("a code").to_owned()).collect();
    codes.dedup();
    codes
}

/// Kind and name of everything there is, but for what comes and goes by itself.
fn everything(cluster: &Cluster) -> BTreeSet<String> {
    let kinds = cluster.kubectl_ok(&["api-resources", "--verbs=list", "-o", "name"], "");
    let passing = ["events", "leases", "endpointslices", "endpoints", "componentstatuses"];
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !passing.contains(&kind.split('.').next().unwrap_or("")))
        .collect();
    let list = ["get", &kinds.join(","), "-A", "--ignore-not-found", "-o"];
    let form =
        "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
    let all = cluster.kubectl_ok(&[&list[..], &[form]].concat(), "");
    all.lines().map(str::to_owned).collect()
}

fn namespace(cluster: &Cluster, name: &str, label: &str) {
    cluster.kubectl_ok(&["create", "namespace", name], "");
    if !label.is_empty() {
        cluster.kubectl_ok(&["label", "namespace", name, label], "");
    }
    cluster.account_in(name);
}

/// A kubeconfig with the rights of the installed service account, and no others.
fn controller_kubeconfig(cluster: &Cluster) -> PathBuf {
    let token = cluster.kubectl_ok(
        &["-n", NAMESPACE, "create", "token", names::SERVICE_ACCOUNT, "--duration=2h"],
        "",
    );
    let text = std::fs::read_to_string(cluster.kubeconfig()).expect("a kubeconfig");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["users"][0]["user"] = serde_json::json!({ "token": token.trim() });
    let path = cluster.folder.join("controller.kubeconfig");
    std::fs::write(&path, config.to_string()).expect("a write");
    path
}

/// The controller, outside the cluster.
fn serve(cluster: &Cluster, port: u16, metrics: u16) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caapc"));
    command.arg("serve").arg("--kubeconfig").arg(controller_kubeconfig(cluster));
    command.arg(format!("--listen=127.0.0.1:{port}"));
    command.arg(format!("--metrics-listen=127.0.0.1:{metrics}"));
    command.arg(format!("--certificate-secret={}", names::SECRET));
    command.arg("--shutdown-delay=0");
    let log = cluster.folder.join("caapc.log");
    let mut process = Process::start("caapc serve", &mut command, &log);
    eventually_blocking("the controller is ready", || {
        assert!(process.alive(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
        get(metrics, "/readyz").starts_with("HTTP/1.1 200")
    });
    process
}

fn get(port: u16, path: &str) -> String {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn pod(name: &str, image: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "app", "image": image }] },
    })
    .to_string()
}

const POLICY: &str = "
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: only-gcr}
spec:
  namespaceSelector: env == 'prod'
  rules:
  - action: Reject
    imagePath: {operator: IsNoneOf, values: [\"^gcr.io/company/.*\"]}
";

const DENIED: &str = "Action 'Reject' enforced by ContainerPolicy only-gcr rule index 0";

#[test]
fn install_enforce_renew_diagnose_uninstall() {
    let Some(cluster) = Cluster::start("install") else { return };
    namespace(&cluster, "shop", "env=prod");
    namespace(&cluster, "lab", "env=test");
    let before = everything(&cluster);

    let (port, metrics) = (free_port(), free_port());
    let url = format!("https://127.0.0.1:{port}");
    let install = [
        "install",
        "--apply",
        "--no-wait",
        "--webhook-url",
        &url,
        "--namespace-selector-key",
        "env",
        "--namespace-selector-values",
        "prod",
    ];
    let said = caapc_ok(&cluster, &install);
    assert!(said.contains("namespaces that are enforced: shop"), "{said}");
    let mut controller = serve(&cluster, port, metrics);

    enforced(&cluster);
    assert_eq!(diagnosed(&cluster), [""; 0], "doctor is silent on a clean installation");
    // Once more: everything is ours, and stays in force.
    let again = caapc_ok(&cluster, &install);
    assert!(
        again.contains("Secret tigera-image-assurance/") && again.contains("updated"),
        "{again}"
    );
    assert!(!again.contains("made a new"), "{again}");
    enforced(&cluster);
    running_images_without_scan(&cluster, &install);
    renewed_under_load(&cluster, port);
    planted_faults(&cluster);
    uninstalled(&cluster, &before, &mut controller);
}

/// The webhook decides what it should, and nothing else.
fn enforced(cluster: &Cluster) {
    cluster.kubectl_ok(&["apply", "-f", "-"], POLICY);
    eventually_blocking("the policy is in force", || {
        let tried = cluster
            .kubectl(&["-n", "shop", "create", "--dry-run=server", "-f", "-"], &pod("a", "nginx"));
        String::from_utf8_lossy(&tried.stderr).contains(DENIED)
    });
    let create = ["create", "--dry-run=server", "-f", "-"];
    let fine = pod("a", "gcr.io/company/web:1");
    cluster.kubectl_ok(&[&["-n", "shop"], &create[..]].concat(), &fine);
    cluster.kubectl_ok(&[&["-n", "lab"], &create[..]].concat(), &pod("a", "nginx"));
    let broken = POLICY.replace("Reject", "Rejekt");
    let refused = cluster.kubectl_err(&["apply", "-f", "-"], &broken);
    assert!(refused.contains("Rejekt") || refused.contains("action"), "{refused}");
}

fn running_images_without_scan(cluster: &Cluster, install: &[&str]) {
    cluster.kubectl_ok(&["-n", "shop", "create", "-f", "-"], &pod("old", "gcr.io/company/old:7"));
    let said = caapc_ok(cluster, install);
    assert!(said.contains("1 running images have no scan"), "{said}");
    assert!(said.contains("gcr.io/company/old:7  (shop/old)"), "{said}");
    cluster.kubectl_ok(&["-n", "shop", "delete", "pod", "old", "--force", "--wait=false"], "");
}

/// Every request is answered rightly while the certificate, then its authority, is replaced.
fn renewed_under_load(cluster: &Cluster, port: u16) {
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            threads.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let create = ["-n", "shop", "create", "--dry-run=server", "-f", "-"];
                    let denied = cluster.kubectl_err(&create, &pod("a", "nginx"));
                    assert!(denied.contains(DENIED), "{denied}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let guard = Stop(&stop);
        let first = served(port);
        caapc_ok(cluster, &["certs", "renew"]);
        eventually_blocking("another certificate is served", || served(port) != first);
        let second = served(port);
        replace_authority(cluster);
        eventually_blocking("a certificate of the new authority is served", || {
            served(port) != second
        });
        let so_far = asked.load(Ordering::Relaxed);
        eventually_blocking("and requests go on", || asked.load(Ordering::Relaxed) > so_far + 10);
        drop(guard);
    });
    println!(
        "{} requests answered while certificates were replaced",
        asked.load(Ordering::Relaxed)
    );
}

/// Ends the load even if something fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A new authority, then a certificate of it, without the ten minutes between that are usual.
fn replace_authority(cluster: &Cluster) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let config =
            kube::Config::from_custom_kubeconfig(file, &options).await.expect("a configuration");
        let client = kube::Client::try_from(config).expect("a client");
        let plan = rotate::Plan::new(NAMESPACE);
        let now = chrono::Utc::now().timestamp();
        let made = rotate::renew(&client, &plan, true, now).await.expect("renewed");
        assert_eq!(made.changes[0], rotate::Change::Authority, "{:?}", made.changes);
        let bundle = made.bundle.expect("ours");
        assert_eq!(certs::read(&bundle).expect("readable").len(), 2, "both are trusted");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let soon = certs::Life { settle_secs: 0, ..certs::Life::default() };
        let signed = rotate::tend(&client, &plan, now + 1, &soon).await.expect("tended");
        assert_eq!(signed.changes, [rotate::Change::Leaf]);
    });
}

/// The certificate that is served at a port.
fn served(port: u16) -> Vec<u8> {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, SignatureScheme};

    /// Looks at the certificate and believes it.
    #[derive(Debug)]
    struct Any(rustls::crypto::WebPkiSupportedAlgorithms);
    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
        }
        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.supported_schemes()
        }
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let verifier = Arc::new(Any(provider.signature_verification_algorithms));
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("listening");
    while session.is_handshaking() {
        session.complete_io(&mut stream).expect("a handshake");
    }
    session.peer_certificates().expect("certificates")[0].to_vec()
}

/// Each planted fault is found, and nothing else; taken away, all is well again.
fn planted_faults(cluster: &Cluster) {
    let webhook = "validatingwebhookconfiguration/image-assurance.tigera.io";
    let whole = cluster.kubectl_ok(&["get", webhook, "-o", "json"], "");
    let patch = |json: &str| {
        cluster.kubectl_ok(&["patch", webhook, "--type=json", "-p", json], "");
    };
    let restore = || {
        let mut object: Value = serde_json::from_str(&whole).expect("JSON");
        object["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
        cluster.kubectl_ok(&["replace", "-f", "-"], &object.to_string());
        assert_eq!(diagnosed(cluster), [""; 0]);
    };
    for (json, code) in [
        (r#"[{"op":"remove","path":"/webhooks/0/rules/1"}]"#, "ephemeral-containers"),
        (
            r#"[{"op":"remove","path":"/webhooks/0/namespaceSelector/matchExpressions/1"}]"#,
            "no-guard",
        ),
        (r#"[{"op":"replace","path":"/webhooks/0/timeoutSeconds","value":30}]"#, "timeout-long"),
        (r#"[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]"#, "fails-open"),
        (
            r#"[{"op":"replace","path":"/webhooks/0/objectSelector","value":{"matchLabels":{"a":"b"}}}]"#,
            "object-selector",
        ),
        (
            r#"[{"op":"replace","path":"/webhooks/0/namespaceSelector/matchExpressions/0/values","value":["test"]}]"#,
            "policy-never-fires",
        ),
    ] {
        patch(json);
        assert_eq!(diagnosed(cluster), [code]);
        restore();
    }
    let objects = [
        (POLICY.replace("only-gcr", "elsewhere").replace("prod", "test"), "policy-never-fires"),
        (
            POLICY.replace("only-gcr", "nowhere").replace("env == 'prod'", "team == 'x'"),
            "policy-selects-nothing",
        ),
        (
            POLICY.replace("only-gcr", "scanned").replace(
                "Reject\n",
                "Allow\n    imageScanStatus: {operator: IsOneOf, values: [Pass]}\n",
            ),
            "no-scan-source",
        ),
    ];
    for (text, code) in objects {
        cluster.kubectl_ok(&["create", "-f", "-"], &text);
        assert_eq!(diagnosed(cluster), [code], "{text}");
        cluster.kubectl_ok(&["delete", "-f", "-"], &text);
    }
    let bind = ["create", "clusterrolebinding", "p", "--clusterrole=writer", "--group=developers"];
    cluster.kubectl_ok(
        &["create", "clusterrole", "writer", "--verb=patch", "--resource=imagescans.caapc.dev"],
        "",
    );
    cluster.kubectl_ok(&bind, "");
    assert_eq!(diagnosed(cluster), ["who-can-unblock"]);
    cluster.kubectl_ok(&["delete", "clusterrolebinding/p", "clusterrole/writer"], "");
    assert_eq!(diagnosed(cluster), [""; 0]);
}

fn uninstalled(cluster: &Cluster, before: &BTreeSet<String>, controller: &mut Process) {
    let planned = caapc_ok(cluster, &["uninstall", "--dry-run"]);
    assert!(planned.starts_with("ValidatingWebhookConfiguration"), "{planned}");
    // Without --purge the policies stay, and nothing asks a controller any more.
    let said = caapc_ok(cluster, &["uninstall"]);
    assert!(said.contains("stays with its objects; --purge removes both"), "{said}");
    assert!(controller.alive());
    assert_eq!(controller.terminate(), Some(0));
    cluster
        .kubectl_ok(&["-n", "shop", "create", "--dry-run=server", "-f", "-"], &pod("a", "nginx"));
    cluster.kubectl_ok(&["get", "containeradmissionpolicy", "only-gcr"], "");
    caapc_ok(cluster, &["uninstall", "--purge"]);
    let mut after = everything(cluster);
    for _ in 0..100 {
        if after == *before {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        after = everything(cluster);
    }
    assert_eq!(after.difference(before).collect::<Vec<_>>(), [""; 0], "nothing is left");
    assert_eq!(before.difference(&after).collect::<Vec<_>>(), [""; 0], "nothing else is gone");
    let none = caapc_ok(cluster, &["uninstall", "--purge"]);
    assert!(none.contains("nothing to remove"), "{none}");
}

/// What Calico's script leaves in a cluster.
const CALICO: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: tigera-image-assurance}
---
apiVersion: v1
kind: Secret
metadata: {name: tigera-image-assurance-admission-controller-certs, namespace: tigera-image-assurance}
stringData: {tls.crt: CERT, tls.key: KEY}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tigera-image-assurance-admission-controller, namespace: tigera-image-assurance}
spec:
  replicas: 1
  selector: {matchLabels: {k8s-app: tigera-image-assurance-admission-controller}}
  template:
    metadata: {labels: {k8s-app: tigera-image-assurance-admission-controller}}
    spec:
      hostNetwork: true
      containers: [{name: admission-controller, image: "quay.io/tigera/image-assurance-admission-controller:v1"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: image-assurance.tigera.io}
webhooks:
- name: image-assurance.tigera.io
  clientConfig:
    caBundle: BUNDLE
    service: {name: tigera-image-assurance-admission-controller-service, namespace: tigera-image-assurance, path: /admission-review, port: 8089}
  rules:
  - {apiGroups: ["*"], apiVersions: ["*"], operations: [CREATE, UPDATE], scope: Namespaced, resources: [pods, replicasets, deployments, statefulsets, daemonsets, jobs, cronjobs]}
  namespaceSelector: {matchExpressions: [{key: apply-container-policies, operator: In, values: ["true"]}]}
  admissionReviewVersions: [v1, v1beta1]
  sideEffects: None
  timeoutSeconds: 5
"#;

#[test]
fn take_over_from_calico() {
    let Some(cluster) = Cluster::start("adopt") else { return };
    let (ca, pair) = calico_certificate();
    let encode = |text: &str| serde_json::json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    let installed = CALICO
        .replace("CERT", &Value::from(pair.certificate.as_str()).to_string())
        .replace("KEY", &Value::from(pair.key.as_str()).to_string())
        .replace("BUNDLE", encode(&ca).as_str().expect("text"));
    namespace(&cluster, "shop", "apply-container-policies=true");
    // Their definition and their policies, which have no label of ours.
    let crds = printed(&["crds"]);
    let theirs = crds.split("---\n").find(|crd| crd.contains("name: containeradmissionpolicies."));
    cluster.kubectl_ok(&["apply", "--server-side", "-f", "-"], theirs.expect("a definition"));
    cluster.kubectl_ok(&["apply", "-f", "-"], &installed);
    cluster.kubectl_ok(&["apply", "-f", "-"], &POLICY.replace("env == 'prod'", "all()"));

    let selector = ["--namespace-selector-key", "env", "--namespace-selector-values", "prod"];
    let refused =
        caapc_fails(&cluster, &[&["install", "--apply", "--no-wait"], &selector[..]].concat(), 2);
    assert!(refused.contains("were not made by caapc") && refused.contains("--adopt"), "{refused}");

    let report = caapc_ok(&cluster, &["install", "--adopt"]);
    for part in [
        "namespaces with label apply-container-policies in (true) are enforced, as before",
        "failurePolicy Fail and a timeout of 5 s",
        "caapc does not renew it",
        "1 policies, and the definition of their kind",
        "UPDATE of pods/ephemeralcontainers is evaluated as well",
        "CREATE of replicationcontrollers is evaluated as well",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    // No replica becomes ready here, so the webhook stays Calico's; a second run goes on.
    let waited = ["install", "--adopt", "--apply", "--wait-seconds", "1"];
    let said = caapc_fails(&cluster, &waited, 3);
    assert!(said.contains("2 objects will be replaced"), "{said}");
    assert!(said.contains("only 0 of 2 replicas became ready within 1 s"), "{said}");
    let theirs = ["get", "validatingwebhookconfiguration", names::ADMISSION_WEBHOOK, "-o", "json"];
    assert!(!cluster.kubectl_ok(&theirs, "").contains("ephemeralcontainers"));
    let said = caapc_ok(&cluster, &["install", "--adopt", "--apply", "--no-wait"]);
    assert!(said.contains("1 objects will be replaced"), "{said}");
    assert!(cluster.kubectl_ok(&theirs, "").contains("ephemeralcontainers"));
    adopted(&cluster, &pair);
    way_back(&cluster);
}

/// Everything is ours but what was to be kept.
fn adopted(cluster: &Cluster, pair: &certs::Pair) {
    let deployment = ["-n", NAMESPACE, "get", "deployment", names::DEPLOYMENT, "-o", "json"];
    let deployment: Value =
        serde_json::from_str(&cluster.kubectl_ok(&deployment, "")).expect("JSON");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["containers"].as_array().expect("a list").len(), 1);
    assert_eq!(pod["hostNetwork"], Value::Null, "replaced whole, not merged");
    let secret = ["-n", NAMESPACE, "get", "secret", names::SECRET, "-o", "json"];
    let secret: Value = serde_json::from_str(&cluster.kubectl_ok(&secret, "")).expect("JSON");
    let kept = serde_json::json!(k8s_openapi::ByteString(pair.certificate.clone().into_bytes()));
    assert_eq!(secret["data"]["tls.crt"], kept, "the certificate is theirs");
    assert_eq!(diagnosed(cluster).iter().filter(|code| code.starts_with("c")).count(), 0);
    // What is printed is what the API server takes, field by field.
    let manifest =
        printed(&["install", "--namespace-selector-key", "a", "--namespace-selector-values", "b"]);
    cluster.kubectl_ok(
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
        ],
        &manifest,
    );
    if cluster.has_manager() {
        eventually_blocking("the restricted level of the namespace admits the pods", || {
            let pods = cluster.kubectl_ok(&["-n", NAMESPACE, "get", "pods", "-o", "name"], "");
            pods.lines().count() >= 2
        });
    }
}

/// Uninstalling leaves what Calico made, and the backup restores what was replaced.
fn way_back(cluster: &Cluster) {
    let said = caapc_ok(cluster, &["uninstall", "--purge"]);
    assert!(said.contains("somebody else made it"), "{said}");
    for kept in ["namespace/tigera-image-assurance", "containeradmissionpolicy/only-gcr"] {
        cluster.kubectl_ok(&["get", kept], "");
    }
    cluster.kubectl_ok(&["-n", NAMESPACE, "get", "secret", names::SECRET], "");
    let gone = cluster
        .kubectl_err(&["get", "validatingwebhookconfiguration", "image-assurance.tigera.io"], "");
    assert!(gone.contains("not found"), "{gone}");
    let backup = cluster.folder.join("caapc-adopt-backup.yaml");
    cluster.kubectl_ok(&["create", "-f", &backup.display().to_string()], "");
    let image =
        ["-n", NAMESPACE, "get", "deployment", names::DEPLOYMENT, "-o", "jsonpath={..image}"];
    assert!(cluster.kubectl_ok(&image, "").contains("quay.io/tigera"));
}

fn calico_certificate() -> (String, certs::Pair) {
    let now = chrono::Utc::now().timestamp();
    let ca = certs::authority(now, &certs::Life::default()).expect("an authority");
    let name = caapc::install::options::service_name(NAMESPACE);
    let pair = certs::leaf(&ca, &[name], now, &certs::Life::default()).expect("a certificate");
    (ca.certificate, pair)
}
