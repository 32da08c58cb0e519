//! What is wrong with a review or with the object under review, and where.
//!
//! A fault borrows from the request and is written only when an answer needs it, so that
//! finding one allocates nothing. User text in it is escaped by whoever prints it.

use std::fmt;

use super::json::Kind;

/// A field of the review: `object.spec.containers[3].image`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// `request`, `object` or `oldObject`; empty for the review itself.
    pub root: &'static str,
    /// The fields below it.
    pub path: &'static [&'static str],
    /// An item of a list below those.
    pub item: Option<(&'static str, usize)>,
    /// The last field; empty: none.
    pub field: &'static str,
}

impl Place {
    /// The place of a root or of a path below it.
    pub const fn at(root: &'static str, path: &'static [&'static str]) -> Self {
        Self { root, path, item: None, field: "" }
    }

    /// A field of this place.
    #[must_use]
    pub const fn field(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    /// An item of a list of this place.
    #[must_use]
    pub const fn item(self, list: &'static str, index: usize) -> Self {
        Self { item: Some((list, index)), ..self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dot = "";
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str| {
            if name.is_empty() {
                return Ok(());
            }
            f.write_str(std::mem::replace(&mut dot, "."))?;
            f.write_str(name)
        };
        part(f, self.root)?;
        for name in self.path {
            part(f, name)?;
        }
        if let Some((list, index)) = self.item {
            part(f, list)?;
            write!(f, "[{index}]")?;
        }
        part(f, self.field)
    }
}

/// What is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'a> {
    /// Another kind of value than the field has.
    Expected(Kind, Kind),
    /// A required field is absent, null or empty.
    Missing,
    /// The same key twice in one object.
    Twice(&'a str),
    /// A string over its limit, in bytes.
    TooLong(usize, usize),
    /// More items than the limit, counted as these words.
    TooMany(&'static str, usize),
    /// A word that is none of those expected.
    Unknown(&'a str, &'static str),
}

/// A problem and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem<'a>,
}

impl<'a> Fault<'a> {
    /// Puts a problem at its place.
    pub const fn new(place: Place, problem: Problem<'a>) -> Self {
        Self { place, problem }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place;
        if place != Place::at("", &[]) {
            write!(f, "{place}: ")?;
        }
        match self.problem {
            Problem::Expected(wanted, found) => {
                write!(f, "expected {}, found {}", wanted.words(), found.words())
            }
            Problem::Missing => f.write_str("is missing"),
            Problem::Twice(key) => write!(f, "the key `{key}` is given twice"),
            Problem::TooLong(bytes, limit) => {
                write!(f, "{bytes} bytes long, the limit is {limit}")
            }
            Problem::TooMany(what, limit) => write!(f, "more than {limit} {what}, the limit"),
            Problem::Unknown(word, expected) => write!(f, "unknown `{word}`, expected {expected}"),
        }
    }
}
