//! What is answered when it is not a review: a Kubernetes `Status` in JSON.
//!
//! kubectl shows the `message` of such a body, while the plain text of most codes is lost
//! (spec: webhook, "Answers"). Never a `Retry-After`: the API server would retry until its
//! deadline and lose the message.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// The body type of every answer.
pub type Body = Full<Bytes>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

/// A failure as a `Status`; the reason is the word the API machinery has for the code.
pub fn failure(code: StatusCode, message: &str) -> Response<Body> {
    let body = Status {
        kind: "Status",
        api_version: "v1",
        metadata: Empty {},
        status: "Failure",
        message,
        reason: reason(code),
        code: code.as_u16(),
    };
    // Strings and numbers always serialise.
    json(code, serde_json::to_vec(&body).unwrap_or_default().into())
}

/// `405` with the methods that are allowed.
pub fn method_not_allowed(method: &str, path: &str, allowed: &'static str) -> Response<Body> {
    let message = format!("{} {} is not served; use {allowed}", clean(method), clean(path));
    let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, &message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// `404` that says what is served.
pub fn not_found(path: &str, served: &str) -> Response<Body> {
    failure(
        StatusCode::NOT_FOUND,
        &format!("there is nothing at {}; served are {served}", clean(path)),
    )
}

/// A JSON answer.
pub fn json(code: StatusCode, body: Bytes) -> Response<Body> {
    typed(code, "application/json", body)
}

/// Plain text, ending in a newline.
pub fn text(code: StatusCode, body: String) -> Response<Body> {
    typed(code, "text/plain; charset=utf-8", body.into())
}

/// An answer with a content type.
pub fn typed(code: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A user's text without control characters, at most 128 characters of it.
pub fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(128).collect()
}

fn reason(code: StatusCode) -> &'static str {
    match code.as_u16() {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        408 | 504 => "Timeout",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        500 => "InternalError",
        _ => "",
    }
}
