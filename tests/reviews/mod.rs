//! What tests of the request road share: shelves from text, recorded and odd bodies.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::path::Path;
use std::sync::Arc;

use caapc::admission::Snapshot;
use caapc::namespaces::Namespace;
use caapc::policy_set::PolicySet;
use caapc::scan::{ScanFact, ScanShelf, ScanState};
use caapc_compiler::check::{Limits, Reader};
use caapc_compiler::link::Linker;
use caapc_vm::facts::{ScanStatus, Timestamp};

/// 2026-11-21T06:00:00Z: shortly after the recordings.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_240_800);

/// Shelves from policy text, namespaces with labels, and scans such as `("nginx", "Pass,2d")`.
#[track_caller]
pub fn snapshot(
    policies: &str,
    namespaces: &[(&str, &[(&str, &str)])],
    scans: &[(&str, &str)],
) -> Snapshot {
    let reading = Reader::new(Limits::default()).read("policies.yaml", policies);
    let units: Vec<_> =
        reading.entries.iter().map(|entry| Arc::new(caapc_compiler::compile(entry))).collect();
    let program = Linker::new().link(&units).expect("a small set");
    let namespaces = namespaces
        .iter()
        .map(|(name, labels)| Namespace::new(name, labels.iter().copied()))
        .collect();
    let scans = scans.iter().fold(ScanShelf::empty(), |shelf, (image, words)| {
        shelf.with_override(image, fact(words)).expect("an image reference")
    });
    Snapshot {
        policies: Arc::new(PolicySet::new(program, 1)),
        namespaces: Arc::new(namespaces),
        scans: Arc::new(scans),
        generation: 7,
    }
}

/// `Pass,2d`, `Fail,1h`, `Unknown,never`.
fn fact(words: &str) -> ScanFact {
    let (status, age) = words.split_once(',').expect("a comma");
    let (count, unit) = age.split_at(age.len() - 1);
    let last_scan = (age != "never").then(|| {
        let unit = if unit == "d" { 86_400 } else { 3_600 };
        NOW.plus_secs(-unit * count.parse::<i64>().expect("a number"))
    });
    let status = ScanStatus::from_word(status).expect("a status");
    ScanFact { status, last_scan, state: ScanState::Scanned }
}

/// The reviews that a real API server sent, by file name.
pub fn recordings() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/recordings");
    let mut all: Vec<_> = std::fs::read_dir(&folder)
        .expect("the recordings")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a file"))
        })
        .collect();
    all.sort();
    assert_eq!(all.len(), 40);
    all
}

/// A review: `user` does `operation` to `object`, which was `old`, of `group` and `resource`.
pub fn review(
    user: &str,
    operation: &str,
    (group, resource): (&str, &str),
    object: &serde_json::Value,
    old: &serde_json::Value,
) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "7b3c1d1e-0000-4000-8000-000000000000",
            "kind": {"group": group, "version": "v1", "kind": "Any"},
            "resource": {"group": group, "version": "v1", "resource": resource},
            "name": "x",
            "namespace": "demo",
            "operation": operation,
            "userInfo": {"username": user},
            "object": object,
            "oldObject": old,
        },
    })
}

/// A Pod with these images.
pub fn pod(images: &[&str]) -> serde_json::Value {
    let containers: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(nth, image)| serde_json::json!({"name": format!("c{nth}"), "image": image}))
        .collect();
    serde_json::json!({"metadata": {"name": "x"}, "spec": {"containers": containers}})
}

/// Bodies that take the roads that no recording takes.
pub fn odd_bodies() -> Vec<(String, Vec<u8>)> {
    let none = serde_json::Value::Null;
    let create =
        |object: &serde_json::Value| review("admin", "CREATE", ("", "pods"), object, &none);
    let many: Vec<String> = (0..60).map(|nth| format!("quay.io/team/app:{nth}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut escaped = create(&pod(&["ev\u{1b}il\"\\\n\u{7f}", "é/ü", ""])).to_string();
    escaped = escaped.replace("\"image\"", "\"\\u0069mage\"").replace("admin", "\\u0061dmin");
    let deep = format!("{}{}", "[".repeat(900), "]".repeat(900));
    let deep = create(&pod(&["nginx"]))
        .to_string()
        .replace("\"metadata\"", &format!("\"x\":{deep},\"metadata\""));
    let labels: serde_json::Map<String, serde_json::Value> =
        (0..200).map(|nth| (format!("key-{nth}"), "value".into())).collect();
    let mut labelled = pod(&["nginx:1.27"]);
    labelled["metadata"]["labels"] = labels.into();
    let finalizer = review("admin", "UPDATE", ("", "pods"), &pod(&many), &pod(&many));
    let foreign = review("admin", "CREATE", ("batch.volcano.sh", "jobs"), &none, &none);
    let mut elsewhere = create(&pod(&["nginx"]));
    elsewhere["request"]["namespace"] = "not-listed".into();
    let bodies = [
        ("many images", create(&pod(&many)).to_string()),
        ("escaped strings", escaped),
        ("deep nesting", deep),
        ("many labels", create(&labelled).to_string()),
        ("update of many images", finalizer.to_string()),
        ("a foreign kind", foreign.to_string()),
        ("a pod spec of another shape", create(&serde_json::json!({"spec": []})).to_string()),
        ("an unknown namespace", elsewhere.to_string()),
        ("no JSON", "{\"apiVersion\": nope".to_owned()),
        ("no review", "{}".to_owned()),
        ("nothing", String::new()),
    ];
    bodies.into_iter().map(|(name, body)| (name.to_owned(), body.into_bytes())).collect()
}

/// A shelf with stored results: one that fails, on two platforms, and one that would but for an
/// exception that expires in three days.
pub fn stored_scans() -> ScanShelf {
    let scan = |references: &[&str], platform: &str, id: &str| {
        serde_json::json!({
            "references": references,
            "platform": platform,
            "scanner": {"name": "Trivy"},
            "scannedAt": "2026-11-20T09:00:00Z",
            "maximum": 9.8,
            "summary": {"critical": 1},
            "vulnerabilities": [
                {"id": id, "v3": 9.8, "severity": "Critical", "package": "openssl", "fixed": "3.0.15"},
            ],
        })
    };
    let mut store = caapc::scan::ScanStore::new();
    for (name, spec) in [
        ("one", scan(&["nginx:1.27"], "linux/amd64", "CVE-2026-1")),
        ("two", scan(&["nginx:1.27"], "linux/arm64", "CVE-2026-1")),
        ("three", scan(&["registry.example/bare:5"], "linux/amd64", "CVE-2026-2")),
    ] {
        let spec = serde_json::from_value(spec).expect("an ImageScan");
        store.apply_scan(name, &spec).expect("a result");
    }
    let exception = serde_json::json!({
        "vulnerability": "CVE-2026-2",
        "scope": "any",
        "expiresAt": "2026-11-24T06:00:00Z",
    });
    let exception = serde_json::from_value(exception).expect("a VulnerabilityException");
    store.apply_exception("soon", &exception).expect("an exception");
    store.snapshot()
}

/// Reviews of the images of [`stored_scans`].
pub fn scanned_bodies() -> Vec<(String, Vec<u8>)> {
    let create = |images: &[&str]| {
        let mut review =
            review("admin", "CREATE", ("", "pods"), &pod(images), &serde_json::Value::Null);
        review["request"]["object"]["metadata"]["labels"] = serde_json::json!({"other": "label"});
        review.to_string().into_bytes()
    };
    vec![
        ("a failed image".to_owned(), create(&["nginx:1.27"])),
        ("an excepted image".to_owned(), create(&["registry.example/bare:5"])),
        ("both".to_owned(), create(&["registry.example/bare:5", "nginx:1.27"])),
    ]
}
