//! Answers as JSON bytes, written straight into a buffer that is reused.
//!
//! What the texts say is `message`'s. Start at [`review`] and [`status`].

use std::io::Write;

use super::Snapshot;
use super::decide::{Decision, Why};
use super::message::Texts;
use super::review::Request;
use crate::byte_search::special;

/// Writes the AdmissionReview that answers a request (spec: webhook, "Answers").
pub fn review(
    out: &mut Vec<u8>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    decision: &Decision<'_>,
    texts: &Texts,
) {
    out.extend_from_slice(br#"{"kind":"AdmissionReview","apiVersion":"#);
    string(out, request.version.text());
    out.extend_from_slice(br#","response":{"uid":"#);
    string(out, request.uid);
    out.extend_from_slice(if decision.allowed() {
        br#","allowed":true"#
    } else {
        br#","allowed":false"#
    });
    if !decision.allowed() {
        out.extend_from_slice(br#","status":{"metadata":{},"status":"Failure","message":"#);
        string(out, &texts.message);
        out.extend_from_slice(br#","reason":"#);
        string(out, &texts.reason);
        out.extend_from_slice(br#","code":403}"#);
    }
    annotations(out, snapshot, decision, texts);
    let mut separator: &[u8] = br#","warnings":["#;
    for warning in texts.warnings.lines() {
        out.extend_from_slice(separator);
        string(out, warning);
        separator = b",";
    }
    out.extend_from_slice(if texts.warnings.is_empty() { b"}}" } else { b"]}}" });
}

/// Keys of at most 63 characters without `/`, string values only: the API server prefixes the
/// webhook's name.
fn annotations(out: &mut Vec<u8>, snapshot: &Snapshot, decision: &Decision<'_>, texts: &Texts) {
    out.extend_from_slice(br#","auditAnnotations":{"decision":"#);
    string(out, if decision.rejected { "Reject" } else { "Allow" });
    out.extend_from_slice(br#","why":"#);
    string(out, decision.why.word());
    out.extend_from_slice(br#","mode":"#);
    string(out, decision.mode.word());
    out.extend_from_slice(br#","generation":"#);
    string(out, itoa::Buffer::new().format(snapshot.generation));
    if let Some(rule) = decision.rule {
        out.extend_from_slice(br#","policy":"#);
        string(out, rule.policy);
        out.extend_from_slice(br#","rule":"#);
        string(out, itoa::Buffer::new().format(rule.index));
    }
    if decision.why == Why::Evaluated {
        out.extend_from_slice(br#","images":"#);
        string(out, &texts.images);
    }
    if decision.rejected {
        out.extend_from_slice(br#","reason":"#);
        string(out, &texts.reason);
    }
    out.push(b'}');
}

/// Writes a `Status`, the body of every HTTP error: kubectl shows its message.
pub fn status(out: &mut Vec<u8>, code: u16, message: &str) {
    out.extend_from_slice(
        br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"#,
    );
    string(out, message);
    out.extend_from_slice(br#","reason":"#);
    string(out, status_reason(code));
    // Writing to a vector cannot fail.
    let _ = write!(out, r#","code":{code}}}"#);
}

/// The word that Kubernetes has for an HTTP status code.
pub const fn status_reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        408 | 504 => "Timeout",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    }
}

/// Writes a JSON string. Only what must be escaped is.
pub fn string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut copied = 0;
    loop {
        let at = special::<true>(bytes, copied);
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        match bytes.get(at) {
            None => break,
            Some(b'"') => out.extend_from_slice(br#"\""#),
            Some(b'\\') => out.extend_from_slice(br"\\"),
            Some(b'\n') => out.extend_from_slice(br"\n"),
            Some(byte) => drop(write!(out, r"\u{byte:04x}")),
        }
        copied = at + 1;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_json_string_reads_back(text in any::<String>()) {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn a_status_is_what_kubectl_reads() {
        let mut out = Vec::new();
        status(&mut out, 413, "the body is larger than 8 MiB, \"the limit\"");
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["kind"], "Status");
        assert_eq!(value["status"], "Failure");
        assert_eq!(value["code"], 413);
        assert_eq!(value["reason"], "RequestEntityTooLarge");
        assert_eq!(value["message"], "the body is larger than 8 MiB, \"the limit\"");
    }
}
