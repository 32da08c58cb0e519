//! Properties of `review` and `object`.

use super::*;
use crate::admission::limits::{LABEL_VALUE_BYTES_MAX, LABELS_MAX, OWNERS_MAX};
use crate::admission::object::Object;

const BODY: &str =
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":REQUEST}"#;

#[track_caller]
fn refused(body: &str, expected: &str) {
    let arena = Bump::new();
    let error = read(body.as_bytes(), &arena).expect_err("must be refused");
    assert_eq!(error.to_string(), expected);
}

#[track_caller]
fn refused_request(request: &str, expected: &str) {
    refused(
        &BODY.replace("REQUEST", request),
        &format!("the body is not an AdmissionReview: {expected}"),
    );
}

#[test]
fn what_is_not_a_review_is_refused_with_its_place() {
    refused("", "the body is not JSON: line 1, column 1: expected a value");
    refused("{\n \"a\" 1}", "the body is not JSON: line 2, column 6: expected `:`");
    refused("[]", "the body is not an AdmissionReview: expected an object, found a list");
    refused("{}", "the body is not an AdmissionReview: kind: is missing");
    refused(
        r#"{"apiVersion":"v1","kind":"Pod"}"#,
        "the body is not an AdmissionReview: kind: unknown `Pod`, expected `AdmissionReview`",
    );
    refused(
        r#"{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview","request":{}}"#,
        "the body is not an AdmissionReview: apiVersion: unknown `admission.k8s.io/v2`, expected \
         `admission.k8s.io/v1` or `admission.k8s.io/v1beta1`",
    );
    refused(
        &BODY.replace("REQUEST", "null"),
        "the body is not an AdmissionReview: request: is missing",
    );
    refused_request("7", "request: expected an object, found a number");
    refused_request("{}", "request.uid: is missing");
    refused_request(r#"{"uid":"u"}"#, "request.resource: is missing");
    refused_request(
        r#"{"uid":"u","resource":{"resource":"pods"},"operation":"PATCH"}"#,
        "request.operation: unknown `PATCH`, expected `CREATE`, `UPDATE`, `DELETE` or `CONNECT`",
    );
    refused_request(r#"{"uid":"u","uid":"v"}"#, "request: the key `uid` is given twice");
    refused_request(r#"{"uid":"u","\u0075id":"v"}"#, "request: the key `uid` is given twice");
    refused_request(r#"{"object":{},"object":{}}"#, "request: the key `object` is given twice");
    refused_request(r#"{"dryRun":"yes"}"#, "request.dryRun: expected a boolean, found a string");
    refused_request(
        r#"{"userInfo":{"username":[]}}"#,
        "request.userInfo.username: expected a string, found a list",
    );
    refused_request(
        &format!(r#"{{"uid":"{}"}}"#, "u".repeat(254)),
        "request.uid: 254 bytes long, the limit is 253",
    );
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let arena = Bump::new();
    assert_eq!(read(b"{\"a\":\"\xff\"}", &arena).unwrap_err(), BadReview::NotUtf8(6));
    let large = vec![b' '; BODY_BYTES_MAX + 1];
    assert_eq!(
        read(&large, &arena).unwrap_err().to_string(),
        "the body is larger than 8 MiB, the limit"
    );
}

#[test]
fn fields_may_come_in_any_order_and_escaped() {
    let arena = Bump::new();
    let body = r#"{"request":{"object":{"a":"}"},"oldObject":null,"dryRun":true,"operation":"UPDATE",
        "user\u0049nfo":{"groups":["x"],"username":"\u0061dmin"},"name":null,"resource":{"version":"v1","resource":"pods","group":null},
        "uid":"u-1"},"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}"#;
    let request = read(body.as_bytes(), &arena).unwrap();
    assert_eq!((request.version, request.uid), (Version::V1Beta1, "u-1"));
    assert_eq!((request.user, request.name, request.dry_run), ("admin", "", true));
    assert_eq!((request.group, request.resource), ("", "pods"));
    assert_eq!(request.object.unwrap().text(), r#"{"a":"}"}"#);
    assert_eq!((request.old_object, request.operation), (None, Operation::Update));
}

#[track_caller]
fn object(json: &'static str) -> Result<String, String> {
    let arena = Bump::new();
    let result =
        Object::read("object", json::check(json, &arena).unwrap(), &arena).and_then(|object| {
            let (labels, owners) = (object.labels(&arena)?, object.owners(&arena)?);
            Ok(format!("{} {} {labels:?} {}", object.name, object.deleted, owners.len()))
        });
    result.map_err(|fault| fault.to_string())
}

#[test]
fn an_object_says_its_name_labels_and_owners() {
    assert_eq!(object("{}").unwrap(), " false [] 0");
    assert_eq!(
        object(
            r#"{"metadata":{"labels":{"b":"2","a":"1"},"generateName":"g-","deletionTimestamp":"x",
            "ownerReferences":[{"kind":"K","controller":true},{}],"managedFields":[{"a":{"b":[]}}]}}"#
        )
        .unwrap(),
        r#"g- true [("a", "1"), ("b", "2")] 2"#
    );
    let fault = |json| object(json).unwrap_err();
    assert_eq!(
        fault(r#"{"metadata":{"labels":{"a":"1","a":"1"}}}"#),
        "object.metadata.labels: the key `a` is given twice"
    );
    assert_eq!(
        fault(r#"{"metadata":{"labels":["a"]}}"#),
        "object.metadata.labels: expected an object, found a list"
    );
    assert_eq!(
        fault(r#"{"metadata":{"ownerReferences":[{},{"uid":1}]}}"#),
        "object.metadata.ownerReferences[1].uid: expected a string, found a number"
    );
    assert_eq!(fault(r#"{"spec":{},"spec":{}}"#), "object: the key `spec` is given twice");
}

#[test]
fn labels_and_owners_are_bounded() {
    let arena = Bump::new();
    let fault = |text: &str| {
        let text = arena.alloc_str(text);
        let object = Object::read("object", json::check(text, &arena).unwrap(), &arena).unwrap();
        let fault = object.labels(&arena).err().or(object.owners(&arena).err());
        fault.map(|fault| fault.to_string())
    };
    let labels = |count: usize| {
        let labels: Vec<String> = (0..count).map(|n| format!("\"k{n}\":\"v\"")).collect();
        format!("{{\"metadata\":{{\"labels\":{{{}}}}}}}", labels.join(","))
    };
    assert_eq!(fault(&labels(LABELS_MAX)), None);
    assert_eq!(
        fault(&labels(LABELS_MAX + 1)).unwrap(),
        "object.metadata.labels: more than 1000 labels, the limit"
    );
    let long = "v".repeat(LABEL_VALUE_BYTES_MAX + 1);
    assert_eq!(
        fault(&format!("{{\"metadata\":{{\"labels\":{{\"k\":\"{long}\"}}}}}}")).unwrap(),
        "object.metadata.labels: 513 bytes long, the limit is 512"
    );
    let owners = vec!["{}"; OWNERS_MAX + 1].join(",");
    assert_eq!(
        fault(&format!("{{\"metadata\":{{\"ownerReferences\":[{owners}]}}}}")).unwrap(),
        "object.metadata.ownerReferences: more than 1000 owner references, the limit"
    );
}
