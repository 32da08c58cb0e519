//! The body of a request, bounded in size and time.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::time::Instant;

use super::status::{self, Body};

/// The size that a body announces, or the largest that is allowed if it does not.
///
/// # Errors
/// `413` if it announces more than `bytes_max`, before anything is read.
pub fn announced(body: &Incoming, bytes_max: usize) -> Result<usize, Box<Response<Body>>> {
    match body.size_hint().exact() {
        None => Ok(bytes_max),
        Some(bytes) => match usize::try_from(bytes) {
            Ok(bytes) if bytes <= bytes_max => Ok(bytes),
            _ => Err(too_large(bytes_max)),
        },
    }
}

/// Reads a body; in one piece without a copy when it came so. `room` is asked before memory for so
/// many bytes is taken, which is at most twice what has arrived.
///
/// # Errors
/// `413` beyond `bytes_max`, `408` after the deadline, `400` if the client goes away, and what
/// `room` refuses with.
pub async fn read(
    body: Incoming,
    bytes_max: usize,
    deadline: Instant,
    room: impl FnMut(usize) -> Result<(), Box<Response<Body>>>,
) -> Result<Bytes, Box<Response<Body>>> {
    tokio::time::timeout_at(deadline, read_all(body, bytes_max, room)).await.unwrap_or_else(|_| {
        let message = "the body of the request did not arrive in time";
        Err(refused(StatusCode::REQUEST_TIMEOUT, message))
    })
}

async fn read_all(
    mut body: Incoming,
    bytes_max: usize,
    mut room: impl FnMut(usize) -> Result<(), Box<Response<Body>>>,
) -> Result<Bytes, Box<Response<Body>>> {
    let expected = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let expected = expected.unwrap_or(bytes_max);
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(refused(StatusCode::BAD_REQUEST, "the body of the request broke off"));
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len().max(first.len()) + data.len();
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        if first.is_empty() {
            room(length)?;
            first = data;
            continue;
        }
        if whole.capacity() < length {
            let capacity = (2 * length).min(expected).max(length);
            room(capacity)?;
            let mut larger = BytesMut::with_capacity(capacity);
            larger.extend_from_slice(if whole.is_empty() { &first } else { &whole });
            whole = larger;
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Refuses what does not say that it is JSON.
///
/// # Errors
/// `415`, also if the body is compressed.
pub fn require_json(headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let media = given.map(|value| value.split(|&byte| byte == b';').next().unwrap_or_default());
    if media.is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"application/json")) {
        return require_plain(headers);
    }
    let message = match given {
        None => "an AdmissionReview must be sent as application/json; this has no content type"
            .to_owned(),
        Some(given) => format!(
            "an AdmissionReview must be sent as application/json, not `{}`",
            status::clean(&String::from_utf8_lossy(given))
        ),
    };
    Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message))
}

/// Nothing is unpacked here, so that a small body stays a small body.
fn require_plain(headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match headers.get(CONTENT_ENCODING).filter(|value| !plain(value)) {
        None => Ok(()),
        Some(value) => Err(refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &format!(
                "an AdmissionReview must be sent as it is, not with the content encoding `{}`",
                status::clean(&String::from_utf8_lossy(value.as_bytes()))
            ),
        )),
    }
}

fn too_large(bytes_max: usize) -> Box<Response<Body>> {
    let limit = bytes_max >> 20;
    refused(
        StatusCode::PAYLOAD_TOO_LARGE,
        &format!("the body is larger than {limit} MiB, the limit for one review"),
    )
}

fn refused(code: StatusCode, message: &str) -> Box<Response<Body>> {
    Box::new(status::failure(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_as_it_is_is_taken() {
        let code = |media: &'static str, encoding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
            headers.extend(encoding.map(|name| (CONTENT_ENCODING, HeaderValue::from_static(name))));
            require_json(&headers).err().map(|answer| answer.status().as_u16())
        };
        assert_eq!(code("application/json; charset=utf-8", None), None);
        assert_eq!(code("application/json", Some("identity")), None);
        assert_eq!(code("application/json", Some("gzip")), Some(415));
        assert_eq!(code("application/jsonx", None), Some(415));
    }
}
