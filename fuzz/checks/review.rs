//! What must hold of any bytes that arrive as an AdmissionReview.

use std::sync::{Arc, OnceLock};

use bumpalo::Bump;
use caapc::admission::decide::Why;
use caapc::admission::json;
use caapc::admission::limits::MESSAGE_BYTES_MAX;
use caapc::admission::options::{ImagePath, Options};
use caapc::admission::{Snapshot, Worker, answer};
use caapc::namespaces::Namespace;
use caapc::policy_set::PolicySet;
use caapc::scan::{ScanFact, ScanShelf, ScanState};
use caapc_compiler::check::{Limits, Reader};
use caapc_compiler::link::Linker;
use caapc_vm::facts::{ScanStatus, Timestamp};
use serde_json::Value;

const POLICIES: &str = "
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: by-label}
spec:
  order: 1
  selector: has(team) || app == 'web'
  rules: [{action: Reject, imagePath: {operator: IsOneOf, values: ['nginx', '^é', 'z$']}}]
---
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: scanned}
spec:
  rules:
  - {action: Allow, imageScanStatus: {operator: IsOneOf, values: [Pass]}, imageLastScan: {operator: gt, duration: {days: 3}}}
  - {action: Reject}
";
const NOW: Timestamp = Timestamp::from_secs(1_795_240_800);

/// Panics if a promise of the request road is broken.
pub(crate) fn check(data: &[u8]) {
    reads_what_serde_json_reads(data);
    let snapshot = shelves();
    let mut worker = Worker::new();
    for image_path in [ImagePath::Raw, ImagePath::Both] {
        let options = Options { image_path, ..Options::default() };
        let first = one(&mut worker, snapshot, &options, data);
        let again = one(&mut worker, snapshot, &options, data);
        assert_eq!(first, again, "the same review is answered twice alike");
    }
}

fn one(worker: &mut Worker, snapshot: &Snapshot, options: &Options, data: &[u8]) -> Vec<u8> {
    let answer = answer(worker, snapshot, options, NOW, data);
    let body: Value = serde_json::from_slice(answer.body).expect("an answer is JSON");
    let Some((request, decision)) = &answer.decided else {
        assert!(matches!(answer.code, 400 | 413), "{}", answer.code);
        assert_eq!((&body["kind"], &body["code"]), (&"Status".into(), &answer.code.into()));
        return answer.body.to_vec();
    };
    if answer.code != 200 {
        assert_eq!((answer.code, answer.missing_namespace()), (500, Some(request.namespace)));
        return answer.body.to_vec();
    }
    let response = &body["response"];
    assert_eq!(response["uid"], request.uid);
    assert_eq!(body["apiVersion"], request.version.text());
    assert_eq!(response["allowed"], !decision.rejected);
    if decision.rejected {
        let message = response["status"]["message"].as_str().expect("a message");
        let reason = response["status"]["reason"].as_str().expect("a reason");
        assert!(message.len() <= MESSAGE_BYTES_MAX && message.starts_with(reason), "{message:?}");
        assert!(!message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
        assert_eq!(response["status"]["code"], 403);
    }
    let mut warnings = response["warnings"].as_array().into_iter().flatten();
    assert!(warnings.all(|one| !one.as_str().expect("a string").contains(char::is_control)));
    if decision.why == Why::Evaluated {
        // The tree refuses deep nesting and lone surrogates, which are no fault here.
        let Ok(review) = serde_json::from_slice::<Value>(data) else { return answer.body.to_vec() };
        if request.sub_resource.is_empty() {
            let found: Vec<&str> = decision.images.iter().map(|one| one.container.image).collect();
            assert_eq!(found, images(&review["request"]["object"], request.resource));
        }
    }
    answer.body.to_vec()
}

/// The images, found another way: the plain tree, and the contract's order.
fn images(object: &Value, resource: &str) -> Vec<String> {
    let spec = match resource {
        "pods" => &object["spec"],
        "cronjobs" => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        _ => &object["spec"]["template"]["spec"],
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |name: &str| spec[name].as_array().cloned().unwrap_or_default();
    let mut images = Vec::new();
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        images.extend(list(name).iter().map(|container| text(&container["image"])));
    }
    let volumes = list("volumes");
    let volumes = volumes.iter().map(|volume| &volume["image"]).filter(|image| !image.is_null());
    images.extend(volumes.map(|image| text(&image["reference"])));
    images
}

/// What is JSON here is JSON to serde_json, and the other way round, but for the depth.
fn reads_what_serde_json_reads(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text);
    match json::check(text, &Bump::new()) {
        Ok(_) => assert!(theirs.is_ok(), "{theirs:?}"),
        Err(error) => {
            assert!(text.len() >= error.at, "a fault is inside the text");
            assert!(theirs.is_err() || error.expected.contains("levels of nesting"), "{error:?}");
        }
    }
}

fn shelves() -> &'static Snapshot {
    static SHELVES: OnceLock<Snapshot> = OnceLock::new();
    SHELVES.get_or_init(|| {
        let entries = Reader::new(Limits::default()).read("policies.yaml", POLICIES).entries;
        let units: Vec<_> =
            entries.iter().map(|entry| Arc::new(caapc_compiler::compile(entry))).collect();
        let program = Linker::new().link(&units).expect("a small set");
        let pass =
            ScanFact { status: ScanStatus::Pass, last_scan: Some(NOW), state: ScanState::Scanned };
        Snapshot {
            policies: Arc::new(PolicySet::new(program, 1)),
            namespaces: Arc::new([Namespace::new("demo", [("a", "b")])].into_iter().collect()),
            scans: Arc::new(ScanShelf::empty().with_override("busybox", pass).expect("an image")),
            generation: 1,
        }
    })
}
