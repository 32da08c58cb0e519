//! The webhook that validates our own kinds: a policy that does not compile is refused at
//! `kubectl apply`, with the compiler's report (spec: policy, "A policy that does not compile").
//!
//! It may take milliseconds and allocate; it runs on a blocking thread. What slips through while
//! it is down is refused by the watch. Start at [`answer`].

use caapc_compiler::check::{self, Limits};
use caapc_compiler::diagnostic::Diagnostic;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::{
    ImageAssuranceSettingsSpec, ImageScanSpec, SETTINGS_NAME, VulnerabilityExceptionSpec,
};
use crate::scan::{ScanStore, Settings};

/// Beyond it the API server cuts each warning to 256 characters.
const WARNINGS_CHARS_MAX: usize = 4_000;

/// The longest message, in characters.
const MESSAGE_CHARS_MAX: usize = 4_000;

/// The longest object, in bytes; the API server stores none of 1.5 MiB.
const OBJECT_BYTES_MAX: usize = 2 << 20;

/// Lists and objects in one object, and commas: what it takes in memory goes with them.
const BRACKETS_MAX: usize = 100_000;
const COMMAS_MAX: usize = 300_000;

/// What is said of one object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Why it is refused; empty: it is not.
    pub refusal: String,
    /// What `kubectl` shows as warnings.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'b> {
    api_version: String,
    kind: String,
    #[serde(borrow)]
    request: Request<'b>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'b> {
    uid: String,
    operation: String,
    resource: Resource,
    #[serde(default)]
    sub_resource: String,
    #[serde(borrow, default)]
    object: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    group: String,
    resource: String,
}

/// Answers one AdmissionReview: an HTTP code and a JSON body.
pub fn answer(body: &[u8]) -> (u16, Vec<u8>) {
    let review: Review = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) => return failure(&format!("the body is not an AdmissionReview: {error}")),
    };
    let known = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];
    if review.kind != "AdmissionReview" || !known.contains(&review.api_version.as_str()) {
        return failure("the body is not an AdmissionReview of admission.k8s.io/v1 or v1beta1");
    }
    let request = review.request;
    let finding = match request.operation.as_str() {
        "CREATE" | "UPDATE" if request.sub_resource.is_empty() => {
            let object = match request.object.map_or(Ok(Value::Null), bounded) {
                Ok(object) => object,
                Err(sentence) => return failure(&sentence),
            };
            judge(&request.resource.group, &request.resource.resource, &object)
        }
        _ => Finding::default(),
    };
    let mut response = json!({"uid": request.uid, "allowed": finding.refusal.is_empty()});
    if !finding.refusal.is_empty() {
        response["status"] = json!({
            "status": "Failure",
            "code": 422,
            "reason": "Invalid",
            "message": printable(&finding.refusal, MESSAGE_CHARS_MAX),
        });
    }
    let warnings = warnings(finding.warnings);
    if !warnings.is_empty() {
        response["warnings"] = warnings.into();
    }
    let review =
        json!({"apiVersion": review.api_version, "kind": "AdmissionReview", "response": response});
    (200, review.to_string().into_bytes())
}

/// An object, unless it would take more memory than any that the API server has stored.
fn bounded(object: &RawValue) -> Result<Value, String> {
    let text = object.get();
    let count = |wanted: &[u8]| text.bytes().filter(|byte| wanted.contains(byte)).count();
    if text.len() > OBJECT_BYTES_MAX {
        let limit = OBJECT_BYTES_MAX >> 20;
        return Err(format!("`object` is larger than {limit} MiB, the limit"));
    }
    if count(b"{[") > BRACKETS_MAX || count(b",") > COMMAS_MAX {
        return Err(format!(
            "`object` has more than {BRACKETS_MAX} lists and objects or {COMMAS_MAX} values, the limits"
        ));
    }
    serde_json::from_str(text).map_err(|error| format!("`object` cannot be read: {error}"))
}

/// Judges one object of ours; of other kinds it has nothing to say.
pub fn judge(group: &str, resource: &str, object: &Value) -> Finding {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    match (group, resource) {
        ("containersecurity.tigera.io", "containeradmissionpolicies") => policy(name, object),
        ("caapc.dev", "imagescans") => refused(
            spec::<ImageScanSpec>(object).and_then(|spec| ScanStore::new().apply_scan(name, &spec)),
        ),
        ("caapc.dev", "vulnerabilityexceptions") => refused(
            spec::<VulnerabilityExceptionSpec>(object)
                .and_then(|spec| ScanStore::new().apply_exception(name, &spec)),
        ),
        ("caapc.dev", "imageassurancesettings") => {
            let read = spec::<ImageAssuranceSettingsSpec>(object);
            let mut finding = refused(read.and_then(|spec| Settings::from_spec(&spec).map(drop)));
            if name != SETTINGS_NAME {
                finding.warnings.push(format!("only the settings named `{SETTINGS_NAME}` count"));
            }
            finding
        }
        _ => Finding::default(),
    }
}

fn policy(name: &str, object: &Value) -> Finding {
    let reading = check::read_json(name, object, &Limits::default());
    let (errors, warnings): (Vec<_>, Vec<_>) =
        reading.diagnostics.iter().partition(|finding| finding.is_error());
    let mut finding =
        Finding { refusal: String::new(), warnings: warnings.into_iter().map(line).collect() };
    if !errors.is_empty() {
        finding.refusal = format!("ContainerAdmissionPolicy {name} does not compile:");
        for error in errors {
            finding.refusal.push_str("\n  ");
            finding.refusal.push_str(&line(error));
        }
    }
    finding
}

fn line(finding: &Diagnostic) -> String {
    match &finding.help {
        None => finding.fact(),
        Some(help) => format!("{}; {help}", finding.fact()),
    }
}

fn refused(read: Result<(), String>) -> Finding {
    Finding { refusal: read.err().unwrap_or_default(), warnings: Vec::new() }
}

fn spec<T: DeserializeOwned>(object: &Value) -> Result<T, String> {
    let spec = object.get("spec").cloned().unwrap_or_else(|| json!({}));
    serde_json::from_value(spec).map_err(|error| format!("spec: {error}"))
}

/// Without control characters, or they vanish silently; none twice; not too much together.
fn warnings(warnings: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut left = WARNINGS_CHARS_MAX;
    for warning in warnings {
        let warning = printable(&warning, 1_000).replace('\n', " ");
        let chars = warning.chars().count();
        if chars > left || kept.contains(&warning) {
            continue;
        }
        left -= chars;
        kept.push(warning);
    }
    kept
}

fn printable(text: &str, chars_max: usize) -> String {
    text.chars().filter(|&c| c == '\n' || !c.is_control()).take(chars_max).collect()
}

fn failure(message: &str) -> (u16, Vec<u8>) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": printable(message, MESSAGE_CHARS_MAX), "reason": "BadRequest", "code": 400,
    });
    (400, status.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn said(rules: &str) -> (u16, String) {
        let policy = format!(
            r#"{{"apiVersion":"containersecurity.tigera.io/v1beta1","metadata":{{"name":"p"}},
            "kind":"ContainerAdmissionPolicy","spec":{{"rules":[{rules}]}}}}"#
        );
        let review = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "operation":"CREATE","object":{policy},"resource":{{"resource":
            "containeradmissionpolicies","group":"containersecurity.tigera.io"}}}}}}"#
        );
        let (code, body) = answer(review.as_bytes());
        (code, String::from_utf8(body).expect("text"))
    }

    /// It is read into a tree, whose nodes are many times as large as their text.
    #[test]
    fn an_object_that_would_fill_the_memory_is_not_read() {
        let (code, body) = said(r#"{"action":"Reject"}"#);
        assert!(code == 200 && body.contains(r#""allowed":true"#), "{body}");
        for (unit, count, sentence) in [
            ("[1],", 700_000, "larger than 2 MiB"),
            ("[],", 110_000, "more than 100000 lists"),
            ("1,", 310_000, "300000 values"),
        ] {
            let (code, body) = said(&format!("{}1", unit.repeat(count)));
            assert!(code == 400 && body.contains(sentence), "{unit}: {code} {body}");
        }
        // A bracket or a comma in a text is none, but no object that is stored has so many.
        let (code, body) = said(&format!(r#"{{"action":"{}"}}"#, "[,".repeat(90_000)));
        assert!(code == 200 && body.contains("spec.rules[0].action"), "{body}");
    }
}
