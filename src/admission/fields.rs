//! Reads the fields of JSON objects as Kubernetes means them: `null` is an absent field, a key
//! given twice is refused, a value of another kind is a fault with its place.

use bumpalo::Bump;

use super::fault::{Fault, Place, Problem};
use super::json::{Cursor, Json, Kind};

/// The fields of one object, and which of the known ones were already seen.
pub(super) struct Fields {
    place: Place,
    seen: u32,
    /// Where the object ends.
    end: usize,
}

impl Fields {
    /// Steps into the object before which the cursor stands; `null` counts as an empty one.
    pub(super) fn open<'a>(cursor: &mut Cursor<'a>, place: Place) -> Result<Self, Fault<'a>> {
        let end = match cursor.kind() {
            Kind::Object => cursor.enter(),
            Kind::Null => cursor.null(),
            found => return Err(Fault::new(place, Problem::Expected(Kind::Object, found))),
        };
        Ok(Self { place, seen: 0, end })
    }

    /// The next field's name.
    pub(super) fn key<'a>(&self, cursor: &mut Cursor<'a>, arena: &'a Bump) -> Option<&'a str> {
        Some(cursor.key(self.end)?.resolve(arena))
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
    };
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
            cursor.null();
            Ok("")
        }
        found => Err(Fault::new(place, Problem::Expected(Kind::Text, found))),
    }
}

/// The text of a value that is not `null`.
pub(super) fn present<'a>(cursor: &mut Cursor<'a>) -> Option<Json<'a>> {
    let kind = cursor.kind();
    let json = cursor.value();
    (kind != Kind::Null).then_some(json)
}

/// A boolean; `null` counts as `false`.
pub(super) fn truth<'a>(cursor: &mut Cursor<'a>, place: Place) -> Result<bool, Fault<'a>> {
    match cursor.kind() {
        Kind::Truth => Ok(cursor.truth()),
        Kind::Null => {
            cursor.null();
            Ok(false)
        }
        found => Err(Fault::new(place, Problem::Expected(Kind::Truth, found))),
    }
}
