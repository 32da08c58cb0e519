//! AdmissionReview `v1` and `v1beta1`: body bytes to borrowed fields.
//!
//! Only what a decision needs is kept, as slices of the body; everything else is stepped over.
//! What is inside the object under review is read later and only if it is needed, because a
//! fault there is an answer of its own, not a bad request (spec: webhook, "Answers").
//! Start at [`read`].

use std::fmt;

use bumpalo::Bump;

use super::fault::{Fault, Place, Problem};
use super::json::{self, Cursor, Json, Kind};
use super::limits::{
    BODY_BYTES_MAX, LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, OWNERS_MAX,
    UID_BYTES_MAX,
};

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
    let text =
        std::str::from_utf8(body).map_err(|error| BadReview::NotUtf8(error.valid_up_to()))?;
    let json = json::check(text).map_err(|error| syntax(text, error))?;

    let root = Place::at("", &[]);
    let mut cursor = Cursor::new(json);
    let (mut version, mut kind, mut request) = ("", "", None);
    let mut fields = Fields::open(&mut cursor, root)?;
    while let Some(key) = fields.key(&mut cursor, arena) {
        match key {
            "apiVersion" => {
                fields.once(0, key)?;
                version = string(&mut cursor, arena, root.field("apiVersion"), usize::MAX)?;
            }
            "kind" => {
                fields.once(1, key)?;
                kind = string(&mut cursor, arena, root.field("kind"), usize::MAX)?;
            }
            "request" => {
                fields.once(2, key)?;
                request = present(&mut cursor);
            }
            _ => drop(cursor.skip()),
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
    let mut fields = Fields::open(cursor, place)?;
    while let Some(key) = fields.key(cursor, arena) {
        let bit = match key {
            "uid" => {
                request.uid = string(cursor, arena, place.field("uid"), UID_BYTES_MAX)?;
                0
            }
            "operation" => {
                operation = string(cursor, arena, place.field("operation"), usize::MAX)?;
                1
            }
            "resource" => {
                (request.group, request.resource) = read_resource(cursor, arena)?;
                2
            }
            "subResource" => {
                request.sub_resource =
                    string(cursor, arena, place.field("subResource"), usize::MAX)?;
                3
            }
            "namespace" => {
                request.namespace = string(cursor, arena, place.field("namespace"), usize::MAX)?;
                4
            }
            "name" => {
                request.name = string(cursor, arena, place.field("name"), usize::MAX)?;
                5
            }
            "userInfo" => {
                request.user = read_user(cursor, arena)?;
                6
            }
            "dryRun" => {
                request.dry_run = truth(cursor, place.field("dryRun"))?;
                7
            }
            "object" => {
                request.object = present(cursor);
                8
            }
            "oldObject" => {
                request.old_object = present(cursor);
                9
            }
            _ => {
                cursor.skip();
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
    let mut fields = Fields::open(cursor, place)?;
    while let Some(key) = fields.key(cursor, arena) {
        match key {
            "group" => {
                fields.once(0, key)?;
                group = string(cursor, arena, place.field("group"), usize::MAX)?;
            }
            "resource" => {
                fields.once(1, key)?;
                resource = string(cursor, arena, place.field("resource"), usize::MAX)?;
            }
            _ => drop(cursor.skip()),
        }
    }
    Ok((group, resource))
}

fn read_user<'a>(cursor: &mut Cursor<'a>, arena: &'a Bump) -> Result<&'a str, Fault<'a>> {
    let place = Place::at("request", &["userInfo"]);
    let mut user = "";
    let mut fields = Fields::open(cursor, place)?;
    while let Some(key) = fields.key(cursor, arena) {
        match key {
            "username" => {
                fields.once(0, key)?;
                user = string(cursor, arena, place.field("username"), usize::MAX)?;
            }
            _ => drop(cursor.skip()),
        }
    }
    Ok(user)
}

/// What an object under review says of itself, before its labels, owners or pod spec are read.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// `object` or `oldObject`, for faults.
    pub root: &'static str,
    /// `metadata.name`, else `metadata.generateName`.
    pub name: &'a str,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleted: bool,
    /// `spec`, not read yet.
    pub spec: Option<Json<'a>>,
    labels: Option<Json<'a>>,
    owners: Option<Json<'a>>,
}

/// One of an object's `metadata.ownerReferences`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Owner<'a> {
    /// Group and version.
    pub api_version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Name.
    pub name: &'a str,
    /// Identity.
    pub uid: &'a str,
    /// Whether it is the managing controller.
    pub controller: bool,
}

impl<'a> Object<'a> {
    /// Reads the outline of an object.
    ///
    /// # Errors
    /// A field of another kind than expected, or given twice.
    pub fn read(root: &'static str, json: Json<'a>, arena: &'a Bump) -> Result<Self, Fault<'a>> {
        let place = Place::at(root, &[]);
        let mut object =
            Self { root, name: "", deleted: false, spec: None, labels: None, owners: None };
        let cursor = &mut Cursor::new(json);
        let mut fields = Fields::open(cursor, place)?;
        while let Some(key) = fields.key(cursor, arena) {
            match key {
                "metadata" => {
                    fields.once(0, key)?;
                    object.metadata(cursor, arena)?;
                }
                "spec" => {
                    fields.once(1, key)?;
                    object.spec = present(cursor);
                }
                _ => drop(cursor.skip()),
            }
        }
        Ok(object)
    }

    fn metadata(&mut self, cursor: &mut Cursor<'a>, arena: &'a Bump) -> Result<(), Fault<'a>> {
        let place = Place::at(self.root, &["metadata"]);
        let (mut name, mut generate_name) = ("", "");
        let mut fields = Fields::open(cursor, place)?;
        while let Some(key) = fields.key(cursor, arena) {
            let bit = match key {
                "name" => {
                    name = string(cursor, arena, place.field("name"), usize::MAX)?;
                    0
                }
                "generateName" => {
                    generate_name = string(cursor, arena, place.field("generateName"), usize::MAX)?;
                    1
                }
                "labels" => {
                    self.labels = present(cursor);
                    2
                }
                "ownerReferences" => {
                    self.owners = present(cursor);
                    3
                }
                "deletionTimestamp" => {
                    self.deleted = present(cursor).is_some();
                    4
                }
                _ => {
                    cursor.skip();
                    continue;
                }
            };
            fields.once(bit, key)?;
        }
        self.name = if name.is_empty() { generate_name } else { name };
        Ok(())
    }

    /// `metadata.labels`, sorted by key.
    ///
    /// # Errors
    /// A fault of shape, a limit, or a key given twice.
    pub fn labels(&self, arena: &'a Bump) -> Result<&'a [(&'a str, &'a str)], Fault<'a>> {
        let place = Place::at(self.root, &["metadata", "labels"]);
        let Some(json) = self.labels else { return Ok(&[]) };
        let cursor = &mut Cursor::new(json);
        let mut labels = bumpalo::collections::Vec::new_in(arena);
        let fields = Fields::open(cursor, place)?;
        while let Some(key) = fields.key(cursor, arena) {
            if labels.len() == LABELS_MAX {
                return Err(Fault::new(place, Problem::TooMany("labels", LABELS_MAX)));
            }
            if key.len() > LABEL_KEY_BYTES_MAX {
                return Err(Fault::new(place, Problem::TooLong(key.len(), LABEL_KEY_BYTES_MAX)));
            }
            labels.push((key, string(cursor, arena, place, LABEL_VALUE_BYTES_MAX)?));
        }
        labels.sort_unstable();
        let pairs = labels.iter().zip(labels.iter().skip(1));
        if let Some((key, _)) = pairs.map(|(one, two)| (one.0, two.0)).find(|(one, two)| one == two)
        {
            return Err(Fault::new(place, Problem::Twice(key)));
        }
        Ok(labels.into_bump_slice())
    }

    /// `metadata.ownerReferences`, in their order.
    ///
    /// # Errors
    /// A fault of shape, or a limit.
    pub fn owners(&self, arena: &'a Bump) -> Result<&'a [Owner<'a>], Fault<'a>> {
        const LIST: &str = "ownerReferences";
        let place = Place::at(self.root, &["metadata"]);
        let Some(json) = self.owners else { return Ok(&[]) };
        let cursor = &mut Cursor::new(json);
        let mut owners = bumpalo::collections::Vec::new_in(arena);
        enter_list(cursor, place.field(LIST))?;
        while cursor.item() {
            if owners.len() == OWNERS_MAX {
                let problem = Problem::TooMany("owner references", OWNERS_MAX);
                return Err(Fault::new(place.field(LIST), problem));
            }
            owners.push(read_owner(cursor, place.item(LIST, owners.len()), arena)?);
        }
        Ok(owners.into_bump_slice())
    }
}

fn read_owner<'a>(
    cursor: &mut Cursor<'a>,
    place: Place,
    arena: &'a Bump,
) -> Result<Owner<'a>, Fault<'a>> {
    let mut owner = Owner::default();
    let mut fields = Fields::open(cursor, place)?;
    while let Some(key) = fields.key(cursor, arena) {
        let bit = match key {
            "apiVersion" => {
                owner.api_version = string(cursor, arena, place.field("apiVersion"), usize::MAX)?;
                0
            }
            "kind" => {
                owner.kind = string(cursor, arena, place.field("kind"), usize::MAX)?;
                1
            }
            "name" => {
                owner.name = string(cursor, arena, place.field("name"), usize::MAX)?;
                2
            }
            "uid" => {
                owner.uid = string(cursor, arena, place.field("uid"), usize::MAX)?;
                3
            }
            "controller" => {
                owner.controller = truth(cursor, place.field("controller"))?;
                4
            }
            _ => {
                cursor.skip();
                continue;
            }
        };
        fields.once(bit, key)?;
    }
    Ok(owner)
}

/// The fields of one object, and which of the known ones were already seen.
pub(super) struct Fields {
    place: Place,
    seen: u32,
    empty: bool,
}

impl Fields {
    /// Steps into the object before which the cursor stands; `null` counts as an empty one.
    pub(super) fn open<'a>(cursor: &mut Cursor<'a>, place: Place) -> Result<Self, Fault<'a>> {
        let kind = cursor.kind();
        match kind {
            Kind::Object => cursor.enter(),
            Kind::Null => drop(cursor.skip()),
            found => return Err(Fault::new(place, Problem::Expected(Kind::Object, found))),
        }
        Ok(Self { place, seen: 0, empty: kind == Kind::Null })
    }

    /// The next field's name.
    pub(super) fn key<'a>(&self, cursor: &mut Cursor<'a>, arena: &'a Bump) -> Option<&'a str> {
        if self.empty {
            return None;
        }
        Some(cursor.key()?.resolve(arena))
    }

    /// Refuses a known field, numbered by `bit`, that comes a second time.
    pub(super) fn once<'a>(&mut self, bit: u32, key: &'a str) -> Result<(), Fault<'a>> {
        if self.seen >> bit & 1 == 1 {
            return Err(Fault::new(self.place, Problem::Twice(key)));
        }
        self.seen |= 1 << bit;
        Ok(())
    }
}

/// Steps into a list.
pub(super) fn enter_list<'a>(cursor: &mut Cursor<'a>, place: Place) -> Result<(), Fault<'a>> {
    match cursor.kind() {
        Kind::List => cursor.enter(),
        found => return Err(Fault::new(place, Problem::Expected(Kind::List, found))),
    }
    Ok(())
}

/// A string of at most so many bytes; `null` counts as an empty one.
pub(super) fn string<'a>(
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
    place: Place,
    bytes_max: usize,
) -> Result<&'a str, Fault<'a>> {
    match cursor.kind() {
        Kind::Text => {
            let text = cursor.string().resolve(arena);
            if text.len() > bytes_max {
                return Err(Fault::new(place, Problem::TooLong(text.len(), bytes_max)));
            }
            Ok(text)
        }
        Kind::Null => {
            cursor.skip();
            Ok("")
        }
        found => Err(Fault::new(place, Problem::Expected(Kind::Text, found))),
    }
}

/// The text of a value that is not `null`.
pub(super) fn present<'a>(cursor: &mut Cursor<'a>) -> Option<Json<'a>> {
    let kind = cursor.kind();
    let json = cursor.skip();
    (kind != Kind::Null).then_some(json)
}

fn truth<'a>(cursor: &mut Cursor<'a>, place: Place) -> Result<bool, Fault<'a>> {
    match cursor.kind() {
        Kind::Truth => Ok(cursor.truth()),
        Kind::Null => {
            cursor.skip();
            Ok(false)
        }
        found => Err(Fault::new(place, Problem::Expected(Kind::Truth, found))),
    }
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
mod tests {
    use super::*;

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
        refused_request(
            r#"{"dryRun":"yes"}"#,
            "request.dryRun: expected a boolean, found a string",
        );
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
            Object::read("object", json::check(json).unwrap(), &arena).and_then(|object| {
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
            let object = Object::read("object", json::check(text).unwrap(), &arena).unwrap();
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
}
