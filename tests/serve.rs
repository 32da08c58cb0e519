//! `caapc serve` as its users meet it: the binary over a folder, and the service in this process
//! where a test must hold it still.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use caapc::admission::Snapshot;
use caapc::admission::options::{MissingNamespace, Options};
use caapc::namespaces::{Namespace, Namespaces};
use caapc::policy_set::PolicySet;
use caapc::scan::ScanShelf;
use caapc::serve::gate::Gate;
use caapc::serve::webhook::{Fetched, Rejection, Webhook};
use caapc_compiler::set::{OnInvalid, Set};
use serde_json::{Value, json};
use support::client::{Answer, connect};
use support::serve::{Binary, Folder, InProcess, pod_review, samples};
use support::{eventually, eventually_blocking};
use tokio::sync::Semaphore;

const ONLY_GCR: &str = "
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: only-gcr}
spec:
  rules:
    - action: Reject
      imagePath: {operator: IsNoneOf, values: ['^gcr\\.io/']}
";

fn snapshot(policies: &str, namespaces: &[&str]) -> Snapshot {
    let mut set = Set::new(OnInvalid::Deny);
    let reading = caapc_compiler::check::read("p.yaml", policies, &Default::default());
    assert!(!reading.has_errors(), "{:?}", reading.diagnostics);
    for entry in &reading.entries {
        set.apply(entry);
    }
    let named = |name: &&str| Namespace::new(name, [("team", "a")]);
    Snapshot {
        policies: Arc::new(PolicySet::new(set.link().expect("a program"), 1)),
        namespaces: Arc::new(namespaces.iter().map(named).collect::<Namespaces>()),
        scans: Arc::new(ScanShelf::empty()),
        generation: 1,
    }
}

async fn review(server: &InProcess, body: &str) -> Answer {
    let mut client = connect(server.service.address, &server.ca).await.expect("TLS");
    client.post("/admission-review", body.as_bytes()).await.expect("an answer")
}

fn allowed(answer: &Answer) -> bool {
    assert_eq!(answer.code, 200, "{}", answer.text());
    answer.json()["response"]["allowed"].as_bool().expect("a bool")
}

#[track_caller]
fn is_status(answer: &Answer, code: u16, message: &str) {
    let body = answer.json();
    assert_eq!((answer.code, body["code"].as_u64()), (code, Some(code.into())), "{body}");
    assert_eq!((&body["kind"], &body["status"]), (&json!("Status"), &json!("Failure")));
    let said = body["message"].as_str().expect("a message");
    assert!(said.contains(message), "`{said}` does not say `{message}`");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("retry-after"), None);
}

#[tokio::test]
async fn what_is_no_review_is_told_so_and_the_connection_goes_on() {
    let server =
        InProcess::start("codes", Webhook::over(snapshot("", &["a"]), Options::default())).await;
    let mut client = connect(server.service.address, &server.ca).await.expect("TLS");
    let answer = client.get("/nowhere").await.expect("an answer");
    is_status(&answer, 404, "there is nothing at /nowhere; served are POST /admission-review");
    let answer = client.get("/admission-review").await.expect("an answer");
    is_status(&answer, 405, "use POST");
    assert_eq!(answer.header("allow"), Some("POST"));
    client
        .write(b"POST /admission-review HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}")
        .await
        .expect("a write");
    let answer = client.answer().await.expect("an answer");
    is_status(&answer, 415, "must be sent as application/json, not `text/plain`");
    for (body, message) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("{}", "not an AdmissionReview"),
        ("[1]", "not an AdmissionReview"),
        (r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#, "request"),
    ] {
        let answer = client.post("/admission-review", body.as_bytes()).await.expect("an answer");
        is_status(&answer, 400, message);
    }
    let head = "POST /admission-review HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 8388609\r\n\r\n";
    client.write(head.as_bytes()).await.expect("a write");
    is_status(&client.answer().await.expect("an answer"), 413, "larger than 8 MiB");
    // The same connection could not go on after that; the others did.
    let answer = review(&server, &pod_review("a", "nginx")).await;
    assert!(allowed(&answer));
    let text = server.webhook.metrics.text();
    for line in [
        "caapc_requests_total{path=\"/admission-review\",code=\"400\"} 5",
        "caapc_requests_total{path=\"/admission-review\",code=\"415\"} 1",
        "caapc_requests_total{path=\"/admission-review\",code=\"413\"} 1",
        "caapc_requests_total{path=\"other\",code=\"404\"} 1",
        "caapc_decisions_total{action=\"error\",policy=\"\",rule=\"\"} 5",
        "caapc_decisions_total{action=\"allow\",policy=\"\",rule=\"\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_not_known_is_asked_for_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let fetch = move |name: &str| -> Fetched {
        counting.fetch_add(1, Ordering::Relaxed);
        let name = name.to_owned();
        Box::pin(async move {
            match name.as_str() {
                "new" => Ok(Some(Namespace::new("new", [("team", "b")]))),
                "gone" => Ok(None),
                _ => Err("connection refused".to_owned()),
            }
        })
    };
    let policies = format!("{ONLY_GCR}  namespaceSelector: team == 'b'\n");
    let webhook = Webhook {
        fetch: Some(Arc::new(fetch)),
        ..Webhook::over(snapshot(&policies, &["known"]), Options::default())
    };
    let server = InProcess::start("namespaces", webhook).await;
    assert!(allowed(&review(&server, &pod_review("known", "nginx")).await));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert!(!allowed(&review(&server, &pod_review("new", "nginx")).await), "its labels count");
    assert!(allowed(&review(&server, &pod_review("new", "gcr.io/x")).await));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let answer = review(&server, &pod_review("gone", "nginx")).await;
    is_status(&answer, 500, "namespace `gone` are not known: the API server does not know it");
    let answer = review(&server, &pod_review("other", "nginx")).await;
    is_status(&answer, 500, "namespace `other` are not known: connection refused");
    // Without a cluster, its name is all there is to know.
    let options = Options { missing_namespace: MissingNamespace::NameOnly, ..Options::default() };
    let server = InProcess::start("offline", Webhook::over(snapshot(ONLY_GCR, &[]), options)).await;
    assert!(!allowed(&review(&server, &pod_review("any", "nginx")).await));
}

#[tokio::test]
async fn more_than_there_is_room_for_is_answered_at_once() {
    let hold = Arc::new(Semaphore::new(0));
    let waiting = Arc::new(AtomicUsize::new(0));
    let (held, counting) = (Arc::clone(&hold), Arc::clone(&waiting));
    let fetch = move |name: &str| -> Fetched {
        let (held, name) = (Arc::clone(&held), name.to_owned());
        counting.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            held.acquire().await.expect("open").forget();
            Ok(Some(Namespace::new(&name, [("a", "b")])))
        })
    };
    let webhook = Webhook {
        fetch: Some(Arc::new(fetch)),
        gate: Gate::new(1, 2, 1 << 20),
        ..Webhook::over(snapshot(ONLY_GCR, &[]), Options::default())
    };
    let server = Arc::new(InProcess::start("overload", webhook).await);
    let mut held = Vec::new();
    for _ in 0..3 {
        let server = Arc::clone(&server);
        held.push(tokio::spawn(async move { review(&server, &pod_review("n", "nginx")).await }));
    }
    eventually("three that wait", || waiting.load(Ordering::Relaxed) == 3).await;
    let answer = review(&server, &pod_review("n", "nginx")).await;
    is_status(&answer, 429, "too many reviews are waiting");
    hold.add_permits(3);
    for held in held {
        assert!(!allowed(&held.await.expect("no panic")), "those that were let in are decided");
    }
    // Bodies have a budget of their own, taken before they are read.
    let big = pod_review("n", &"x".repeat(2 << 20));
    is_status(&review(&server, &big).await, 429, "too many large reviews");
    // An answer comes before the client gives up.
    let mut client = connect(server.service.address, &server.ca).await.expect("TLS");
    let body = pod_review("n", "x");
    let late = client.post("/admission-review?timeout=200ms", body.as_bytes());
    is_status(&late.await.expect("an answer"), 500, "did not tell of it in time");
    let text = server.webhook.metrics.text();
    assert!(text.contains("caapc_overload_total{what=\"queue\"} 1"), "{text}");
    assert!(text.contains("caapc_overload_total{what=\"bodies\"} 1"), "{text}");
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_process_goes_on() {
    let webhook = Webhook {
        validate: Arc::new(|_| panic!("a fault of the test")),
        ..Webhook::over(snapshot(ONLY_GCR, &["a"]), Options::default())
    };
    let server = InProcess::start("panic", webhook).await;
    let mut client = connect(server.service.address, &server.ca).await.expect("TLS");
    let answer = client.post("/validate-policies", b"{}").await.expect("an answer");
    is_status(&answer, 500, "please report it");
    let answer = client.post("/admission-review", pod_review("a", "nginx").as_bytes()).await;
    assert!(!allowed(&answer.expect("an answer")));
    assert!(server.webhook.metrics.text().contains("caapc_panics_total 1"));
}

#[tokio::test]
async fn rejections_are_told_but_for_dry_runs() {
    let told = Arc::new(std::sync::Mutex::new(Vec::<Rejection>::new()));
    let telling = Arc::clone(&told);
    let webhook = Webhook {
        rejected: Some(Arc::new(move |rejection| telling.lock().unwrap().push(rejection))),
        ..Webhook::over(snapshot(ONLY_GCR, &["a"]), Options::default())
    };
    let server = InProcess::start("told", webhook).await;
    let mut dry: Value = serde_json::from_str(&pod_review("a", "nginx")).expect("JSON");
    dry["request"]["dryRun"] = true.into();
    assert!(!allowed(&review(&server, &dry.to_string()).await));
    assert!(allowed(&review(&server, &pod_review("a", "gcr.io/x")).await));
    assert!(told.lock().unwrap().is_empty());
    assert!(!allowed(&review(&server, &pod_review("a", "evil\u{1b}[2J\nx")).await));
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].namespace.as_str(), told[0].resource.as_str()), ("a", "pods"));
    assert_eq!((told[0].name.as_str(), told[0].action), ("web", "reject"));
    assert!(told[0].message.starts_with("Action 'Reject' enforced by ContainerPolicy only-gcr"));
    assert!(!told[0].message.contains('\u{1b}'), "{:?}", told[0].message);
}

#[test]
fn a_webhook_whose_policies_are_too_large_together_says_so() {
    let folder = Folder::new("too-large");
    let large = "(a|é|b){990}c".repeat(30);
    for nth in 0..40 {
        let policy = format!(
            "apiVersion: containersecurity.tigera.io/v1beta1\nkind: ContainerAdmissionPolicy\n\
             metadata: {{name: p{nth}}}\nspec: {{rules: [{{action: Reject, imagePath: \
             {{operator: IsOneOf, values: ['{large}x{nth}']}}}}]}}\n"
        );
        folder.write(&format!("policies/{nth}.yaml"), &policy);
    }
    let binary = Binary::start(&["--local", &folder.0.display().to_string()]);
    eventually_blocking("the reason", || {
        let (code, text) = binary.get("/readyz?verbose");
        let why = "[-]program failed: the patterns of all policies together are too large: ";
        code == 503 && text.contains("[+]policies ok") && text.contains(why)
    });
    for nth in 1..40 {
        folder.remove(&format!("policies/{nth}.yaml"));
    }
    binary.ready();
}

#[test]
fn the_samples_deny_what_the_readme_says() {
    let folder = Folder::new("samples");
    copy(&samples(), &folder.0);
    let binary = Binary::start(&["--local", &folder.0.display().to_string()]).ready();
    let body = std::fs::read_to_string(samples().join("review.json")).expect("the sample");
    let answer = post(&binary, &folder, &body);
    assert!(!allowed(&answer));
    let status = &answer.json()["response"]["status"];
    assert_eq!(
        status["reason"],
        "Action 'Reject' enforced by ContainerPolicy reject-failed rule index 1"
    );
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("CVE-2026-1234") && message.contains("3.0.15"), "{message}");
    assert!(allowed(&post(&binary, &folder, &pod_review("playground", "nginx"))));
    // One line for each decision.
    eventually_blocking("the line", || {
        binary.logged(&[
            "\"decided\"",
            "\"decision\":\"reject\"",
            "\"policy\":\"reject-failed\"",
            "\"rule\":1",
            "\"generation\":",
            "\"latency_us\":",
            "\"uid\":\"705ab4f5",
        ])
    });
    assert!(!binary.logged(&["3.0.15"]), "the message is not in the log, only its reason");
    let (code, text) = binary.get("/metrics");
    assert_eq!(code, 200);
    for name in [
        "caapc_build_info{version=",
        "caapc_decisions_total{action=\"reject\",policy=\"reject-failed\",rule=\"1\"} 1",
        "caapc_request_seconds_count 2",
        "caapc_decide_seconds_count 2",
        "caapc_request_seconds_bucket{le=\"0.000002\"}",
        "caapc_request_seconds_bucket{le=\"+Inf\"} 2",
        "caapc_snapshot_generation 1",
        "caapc_snapshot_timestamp_seconds ",
        "caapc_policies{state=\"compiled\"} 1",
        "caapc_objects{shelf=\"namespaces\"} 2",
        "caapc_objects{shelf=\"scans\"} 2",
        "caapc_compile_failures_total 0",
        "caapc_scan_age_seconds_count 1",
        "caapc_unknown_images_total 1",
        "caapc_certificate_expiry_timestamp_seconds ",
        "caapc_watch_apply_seconds_count 1",
        "caapc_connections_refused_total 0",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(binary.get("/livez"), (200, "ok\n".to_owned()));
    assert_eq!(binary.get("/healthz"), (200, "ok\n".to_owned()));
    let (code, text) = binary.get("/readyz?verbose");
    assert_eq!(code, 200);
    for part in
        ["policies", "program", "namespaces", "scans", "exceptions", "settings", "certificate"]
    {
        assert!(text.contains(&format!("[+]{part} ok")), "{text}");
    }
    let (_, listing) = binary.get("/debug/program");
    assert!(listing.contains("policy \"reject-failed\""), "{listing}");
    assert_eq!(binary.get("/nowhere").0, 404);
}

#[test]
fn a_folder_is_followed_and_what_breaks_keeps_its_last_version() {
    let folder = Folder::new("folder");
    let binary = Binary::start(&["--local", &folder.0.display().to_string()]).ready();
    let verdict = |image: &str| allowed(&post(&binary, &folder, &pod_review("a", image)));
    assert!(verdict("nginx"), "no policy at all");
    folder.write("policies/p.yaml", ONLY_GCR);
    eventually_blocking("a new policy", || !verdict("nginx"));
    assert!(verdict("gcr.io/x"));
    // Two ways to break it: what is wrong with a policy, and what is no YAML at all.
    let broken = ONLY_GCR.replace("IsNoneOf", "IsNoneOff");
    for text in [broken.as_str(), "{ this is: [no yaml", "\u{0}"] {
        let failures = failures(&binary);
        folder.write("policies/p.yaml", text);
        eventually_blocking("the report", || self::failures(&binary) > failures);
        assert!(!verdict("nginx") && verdict("gcr.io/x"), "the last good version stays");
    }
    folder.write("policies/p.yaml", &ONLY_GCR.replace("gcr", "quay"));
    eventually_blocking("the next good version", || verdict("quay.io/x"));
    assert!(!verdict("gcr.io/x"));
    // A policy that never compiled denies what it selects.
    folder.write("policies/q.yaml", &broken.replace("only-gcr", "never"));
    eventually_blocking("the broken one", || !verdict("quay.io/x"));
    let answer = post(&binary, &folder, &pod_review("a", "quay.io/x"));
    let reason = answer.json()["response"]["status"]["reason"].clone();
    assert_eq!(reason, "ContainerAdmissionPolicy never does not compile");
    folder.remove("policies/q.yaml");
    eventually_blocking("it is gone", || verdict("quay.io/x"));
    // Labels, scans, exceptions and settings are followed as well.
    let selective = "\n  namespaceSelector: team == 'b'\n";
    folder.write("policies/p.yaml", &format!("{}{selective}", ONLY_GCR.trim_end()));
    eventually_blocking("a selector", || verdict("nginx"));
    folder.write(
        "namespaces/n.yaml",
        "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: b}}}",
    );
    eventually_blocking("a label", || !verdict("nginx"));
    folder.remove("namespaces/n.yaml");
    eventually_blocking("no label", || verdict("nginx"));
}

#[test]
fn scans_and_exceptions_count_from_the_moment_they_are_there() {
    let folder = Folder::new("scans");
    copy(&samples(), &folder.0);
    let binary = Binary::start(&["--local", &folder.0.display().to_string()]).ready();
    let verdict = |image: &str| allowed(&post(&binary, &folder, &pod_review("shop", image)));
    let web = "registry.example.com/shop/web:1.4.2";
    assert!(!verdict(web));
    assert!(verdict("registry.example.com/shop/cart:2.0.0"));
    let off = std::fs::read_to_string(samples().join("exceptions/shop-web.yaml.off"));
    folder.write("exceptions/shop-web.yaml", &off.expect("the sample"));
    eventually_blocking("an exception", || verdict(web));
    folder.remove("exceptions/shop-web.yaml");
    eventually_blocking("no exception", || !verdict(web));
    folder.write("settings.yaml", "failThreshold: 10.0\nwarnThreshold: 9.9\n");
    eventually_blocking("thresholds", || verdict(web));
    folder.write("settings.yaml", "failThreshold: much\n");
    eventually_blocking("the report", || {
        binary.logged(&["settings.yaml"]) || binary.logged(&["\"shelf\":\"settings\""])
    });
    assert!(verdict(web), "the last good settings stay");
}

#[test]
fn it_ends_politely() {
    let folder = Folder::new("end");
    let mut binary =
        Binary::start(&["--local", &folder.0.display().to_string(), "--shutdown-delay", "2"])
            .ready();
    let id = binary.child.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill");
    eventually_blocking("not ready", || binary.get("/readyz").0 == 503);
    let (_, text) = binary.get("/readyz?verbose");
    assert!(text.contains("[-]shutdown failed: the service is about to end"), "{text}");
    assert!(allowed(&post(&binary, &folder, &pod_review("a", "nginx"))), "still served");
    let mut code = None;
    eventually_blocking("the end", || {
        code = binary.child.try_wait().ok().flatten().map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(0)));
}

#[test]
fn wrong_usage_is_told_in_one_sentence() {
    for (args, message) in [
        (&["--local", "/nonexistent"][..], "--local: /nonexistent is no folder"),
        (
            &["--local", "/tmp", "--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"],
            "/nonexistent",
        ),
        (&["--local", "/tmp", "--log-level", "a=b=c"], "--log-level"),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_caapc"))
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .args(args)
            .output()
            .expect("the binary");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(message), "{told}");
    }
}

fn failures(binary: &Binary) -> usize {
    binary.log().iter().filter(|line| line.contains("a file is wrong")).count()
}

fn post(binary: &Binary, folder: &Folder, body: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let ca = folder.0.join("tls/ca.crt");
        let mut client = connect(binary.address, &ca).await.expect("TLS");
        client.post("/admission-review", body.as_bytes()).await.expect("an answer")
    })
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, at) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &at);
        } else {
            std::fs::copy(&path, &at).expect("a copy");
        }
    }
}
