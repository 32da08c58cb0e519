//! AdmissionReview `v1` and `v1beta1`: body bytes to borrowed fields.
//!
//! Only what a decision needs is kept, as slices of the body; everything else is stepped over.
//! What is inside the object under review is read later and only if it is needed, because a
//! fault there is an answer of its own, not a bad request (spec: webhook, "Answers").
//! Start at [`read`].

use std::fmt;

use bumpalo::Bump;

use super::fault::{Fault, Place, Problem};
use super::fields::Fields;
use super::json::{self, Cursor, Json};
use super::limits::{BODY_BYTES_MAX, UID_BYTES_MAX};

/// The version of the review; the answer has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `admission.k8s.io/v1`
    V1,
    /// `admission.k8s.io/v1beta1`
    V1Beta1,
}

impl Version {
    /// As `apiVersion` carries it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object.
    Update,
    /// The end of an object.
    Delete,
    /// A connection to an object, such as `exec`.
    Connect,
}

impl Operation {
    /// As the review spells it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A review's request, borrowed from its body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The version to answer in.
    pub version: Version,
    /// Echoed in the answer.
    pub uid: &'a str,
    /// What is done.
    pub operation: Operation,
    /// `resource.group`; empty for the core group.
    pub group: &'a str,
    /// `resource.resource`, a plural.
    pub resource: &'a str,
    /// Empty: the object itself.
    pub sub_resource: &'a str,
    /// Empty: cluster-scoped.
    pub namespace: &'a str,
    /// May be empty on CREATE.
    pub name: &'a str,
    /// Who asks.
    pub user: &'a str,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// The object as it shall be.
    pub object: Option<Json<'a>>,
    /// The object as it is.
    pub old_object: Option<Json<'a>>,
}

/// Why a body is not a review that can be answered as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReview<'a> {
    /// Over [`BODY_BYTES_MAX`].
    TooLarge,
    /// Not UTF-8 from this byte on.
    NotUtf8(usize),
    /// Not JSON.
    Syntax {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
        /// What would have been right.
        expected: &'static str,
    },
    /// JSON, but not a review.
    Field(Fault<'a>),
}

impl fmt::Display for BadReview<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => {
                write!(f, "the body is larger than {} MiB, the limit", BODY_BYTES_MAX >> 20)
            }
            Self::NotUtf8(at) => write!(f, "the body is not UTF-8 from byte {at} on"),
            Self::Syntax { line, column, expected } => {
                write!(f, "the body is not JSON: line {line}, column {column}: expected {expected}")
            }
            Self::Field(fault) => write!(f, "the body is not an AdmissionReview: {fault}"),
        }
    }
}

impl<'a> From<Fault<'a>> for BadReview<'a> {
    fn from(fault: Fault<'a>) -> Self {
        Self::Field(fault)
    }
}

/// Reads a review's envelope. Strings with escapes go to the arena, all others are borrowed.
///
/// # Errors
/// A body that is too large, not UTF-8, not JSON or not a review.
pub fn read<'a>(body: &'a [u8], arena: &'a Bump) -> Result<Request<'a>, BadReview<'a>> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BadReview::TooLarge);
    }
    let text = simdutf8::compat::from_utf8(body)
        .map_err(|error| BadReview::NotUtf8(error.valid_up_to()))?;
    let json = json::check(text, arena).map_err(|error| syntax(text, error))?;

    let root = Place::at("", &[]);
    let mut cursor = Cursor::new(json);
    let (mut version, mut kind, mut request) = ("", "", None);
    let mut fields = Fields::open(&mut cursor, arena, &root)?;
    while let Some(key) = fields.key() {
        match key {
            "apiVersion" => {
                fields.once(0, key)?;
                version = fields.string("apiVersion", usize::MAX)?;
            }
            "kind" => {
                fields.once(1, key)?;
                kind = fields.string("kind", usize::MAX)?;
            }
            "request" => {
                fields.once(2, key)?;
                request = fields.present();
            }
            _ => fields.pass(),
        }
    }
    if kind != "AdmissionReview" {
        let problem = unknown(kind, "`AdmissionReview`");
        return Err(Fault::new(root.field("kind"), problem).into());
    }
    let version = match version {
        "admission.k8s.io/v1" => Version::V1,
        "admission.k8s.io/v1beta1" => Version::V1Beta1,
        other => {
            let problem = unknown(other, "`admission.k8s.io/v1` or `admission.k8s.io/v1beta1`");
            return Err(Fault::new(root.field("apiVersion"), problem).into());
        }
    };
    let Some(request) = request else {
        return Err(Fault::new(root.field("request"), Problem::Missing).into());
    };
    Ok(read_request(request, version, arena)?)
}

fn read_request<'a>(
    json: Json<'a>,
    version: Version,
    arena: &'a Bump,
) -> Result<Request<'a>, Fault<'a>> {
    let place = Place::at("request", &[]);
    let mut operation = "";
    let mut request = Request {
        version,
        uid: "",
        operation: Operation::Create,
        group: "",
        resource: "",
        sub_resource: "",
        namespace: "",
        name: "",
        user: "",
        dry_run: false,
        object: None,
        old_object: None,
    };
    let cursor = &mut Cursor::new(json);
    let mut fields = Fields::open(cursor, arena, &place)?;
    while let Some(key) = fields.key() {
        let bit = match key {
            "uid" => {
                request.uid = fields.string("uid", UID_BYTES_MAX)?;
                0
            }
            "operation" => {
                operation = fields.string("operation", usize::MAX)?;
                1
            }
            "resource" => {
                (request.group, request.resource) = read_resource(fields.cursor, arena)?;
                2
            }
            "subResource" => {
                request.sub_resource = fields.string("subResource", usize::MAX)?;
                3
            }
            "namespace" => {
                request.namespace = fields.string("namespace", usize::MAX)?;
                4
            }
            "name" => {
                request.name = fields.string("name", usize::MAX)?;
                5
            }
            "userInfo" => {
                request.user = read_user(fields.cursor, arena)?;
                6
            }
            "dryRun" => {
                request.dry_run = fields.truth("dryRun")?;
                7
            }
            "object" => {
                request.object = fields.present();
                8
            }
            "oldObject" => {
                request.old_object = fields.present();
                9
            }
            _ => {
                fields.pass();
                continue;
            }
        };
        fields.once(bit, key)?;
    }
    if request.uid.is_empty() {
        return Err(Fault::new(place.field("uid"), Problem::Missing));
    }
    if request.resource.is_empty() {
        return Err(Fault::new(place.field("resource"), Problem::Missing));
    }
    request.operation = match operation {
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        "CONNECT" => Operation::Connect,
        other => {
            let problem = unknown(other, "`CREATE`, `UPDATE`, `DELETE` or `CONNECT`");
            return Err(Fault::new(place.field("operation"), problem));
        }
    };
    Ok(request)
}

fn read_resource<'a>(
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
) -> Result<(&'a str, &'a str), Fault<'a>> {
    let place = Place::at("request", &["resource"]);
    let (mut group, mut resource) = ("", "");
    let mut fields = Fields::open(cursor, arena, &place)?;
    while let Some(key) = fields.key() {
        match key {
            "group" => {
                fields.once(0, key)?;
                group = fields.string("group", usize::MAX)?;
            }
            "resource" => {
                fields.once(1, key)?;
                resource = fields.string("resource", usize::MAX)?;
            }
            _ => fields.pass(),
        }
    }
    Ok((group, resource))
}

fn read_user<'a>(cursor: &mut Cursor<'a>, arena: &'a Bump) -> Result<&'a str, Fault<'a>> {
    let place = Place::at("request", &["userInfo"]);
    let mut user = "";
    let mut fields = Fields::open(cursor, arena, &place)?;
    while let Some(key) = fields.key() {
        match key {
            "username" => {
                fields.once(0, key)?;
                user = fields.string("username", usize::MAX)?;
            }
            _ => fields.pass(),
        }
    }
    Ok(user)
}

fn unknown<'a>(word: &'a str, expected: &'static str) -> Problem<'a> {
    if word.is_empty() { Problem::Missing } else { Problem::Unknown(word, expected) }
}

fn syntax<'a>(text: &'a str, error: json::SyntaxError) -> BadReview<'a> {
    let before = text.as_bytes().get(..error.at).unwrap_or_default();
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    BadReview::Syntax { line, column, expected: error.expected }
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
