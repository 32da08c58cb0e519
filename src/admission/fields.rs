//! Reads the fields of JSON objects as Kubernetes means them: `null` is an absent field, a key
//! given twice is refused, a value of another kind is a fault with its place.

use bumpalo::Bump;

use super::fault::{Fault, Place, Problem};
use super::json::{Cursor, Json, Kind};

/// Reads the fields of one object in turn, and knows which of the known ones were already seen.
pub(super) struct Fields<'c, 'a> {
    /// Stands before a field's value after [`Self::key`], and behind it once that is read.
    pub(super) cursor: &'c mut Cursor<'a>,
    arena: &'a Bump,
    place: &'c Place,
    seen: u32,
    /// Where the object ends.
    end: usize,
}

impl<'c, 'a> Fields<'c, 'a> {
    /// Steps into the object before which the cursor stands; `null` counts as an empty one.
    pub(super) fn open(
        cursor: &'c mut Cursor<'a>,
        arena: &'a Bump,
        place: &'c Place,
    ) -> Result<Self, Fault<'a>> {
        let end = match cursor.kind() {
            Kind::Object => cursor.enter(),
            Kind::Null => cursor.null(),
            found => return Err(Fault::new(*place, Problem::Expected(Kind::Object, found))),
        };
        Ok(Self { cursor, arena, place, seen: 0, end })
    }

    /// The next field's name.
    #[inline]
    pub(super) fn key(&mut self) -> Option<&'a str> {
        Some(self.cursor.key(self.end)?.resolve(self.arena))
    }

    /// Refuses a known field, numbered by `bit`, that comes a second time.
    #[inline]
    pub(super) fn once(&mut self, bit: u32, key: &'a str) -> Result<(), Fault<'a>> {
        if self.seen >> bit & 1 == 1 {
            return Err(Fault::new(*self.place, Problem::Twice(key)));
        }
        self.seen |= 1 << bit;
        Ok(())
    }

    /// Passes the value of a field that is not known.
    #[inline]
    pub(super) fn pass(&mut self) {
        self.cursor.pass();
    }

    /// A string of at most so many bytes; `null` counts as an empty one.
    #[inline]
    pub(super) fn string(
        &mut self,
        field: &'static str,
        bytes_max: usize,
    ) -> Result<&'a str, Fault<'a>> {
        let problem = match self.cursor.kind() {
            Kind::Text => match self.cursor.string().resolve(self.arena) {
                text if text.len() <= bytes_max => return Ok(text),
                text => Problem::TooLong(text.len(), bytes_max),
            },
            Kind::Null => {
                self.cursor.null();
                return Ok("");
            }
            found => Problem::Expected(Kind::Text, found),
        };
        Err(Fault::new(self.place.field(field), problem))
    }

    /// A boolean; `null` counts as `false`.
    pub(super) fn truth(&mut self, field: &'static str) -> Result<bool, Fault<'a>> {
        match self.cursor.kind() {
            Kind::Truth => Ok(self.cursor.truth()),
            Kind::Null => {
                self.cursor.null();
                Ok(false)
            }
            found => {
                let problem = Problem::Expected(Kind::Truth, found);
                Err(Fault::new(self.place.field(field), problem))
            }
        }
    }

    /// The text of a value that is not `null`.
    pub(super) fn present(&mut self) -> Option<Json<'a>> {
        let kind = self.cursor.kind();
        let json = self.cursor.value();
        (kind != Kind::Null).then_some(json)
    }
}

/// Steps into the list that a field of this place holds.
pub(super) fn enter_list<'a>(
    cursor: &mut Cursor<'a>,
    place: &Place,
    field: &'static str,
) -> Result<(), Fault<'a>> {
    match cursor.kind() {
        Kind::List => cursor.enter(),
        found => {
            return Err(Fault::new(place.field(field), Problem::Expected(Kind::List, found)));
        }
    };
    Ok(())
}
