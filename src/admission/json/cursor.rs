//! A place in well-formed JSON text. Start at [`Cursor::kind`].

use super::marks::Marks;
use super::{Json, Kind, RawText};

/// A place in well-formed, compact JSON text, moving forward only.
#[derive(Clone, Debug)]
pub struct Cursor<'b> {
    marks: &'b Marks<'b>,
    at: usize,
    /// INVARIANT (next): the first branch at `at` or behind it.
    next: usize,
}

impl<'b> Cursor<'b> {
    /// Stands before a value.
    pub fn new(json: Json<'b>) -> Self {
        Self { marks: json.marks, at: json.start, next: json.next }
    }

    /// The kind of the value it stands before.
    pub fn kind(&self) -> Kind {
        match self.peek() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b't' | b'f') => Kind::Truth,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => Kind::Null,
        }
    }

    /// Steps into the list or object it stands before, and tells where that ends.
    pub fn enter(&mut self) -> usize {
        let (end, behind) = self.marks.end(self.at, self.next);
        self.at += 1;
        // A leaf is not counted and not passed either.
        self.next = behind.min(self.next + 1);
        end
    }

    /// Inside an object that ends at `end`: the next field's name, standing before its value
    /// afterwards. `None` when the object is over, standing behind it.
    #[inline]
    pub fn key(&mut self, end: usize) -> Option<RawText<'b>> {
        let quote = self.marks.key(self.at, end);
        if quote >= end {
            self.at = end;
            return None;
        }
        let (key, close) = self.string_at(quote);
        self.at = close + ":".len();
        Some(key)
    }

    /// Inside an object: passes the value of a field; the next step must be [`Self::key`].
    #[inline]
    pub fn pass(&mut self) {
        match self.peek() {
            Some(b'{' | b'[') => (self.at, self.next) = self.marks.end(self.at, self.next),
            // There is no name before the next field's.
            _ => self.at += 1,
        }
    }

    /// Inside a list: whether another item follows, standing before it afterwards.
    /// `false` when the list is over, standing behind it.
    pub fn item(&mut self) -> bool {
        let next = self.peek();
        if matches!(next, Some(b',' | b']')) {
            self.at += 1;
        }
        !matches!(next, None | Some(b']'))
    }

    /// Passes the string it stands before.
    #[inline]
    pub fn string(&mut self) -> RawText<'b> {
        let (text, end) = self.string_at(self.at);
        self.at = end;
        text
    }

    /// Passes the boolean it stands before.
    pub fn truth(&mut self) -> bool {
        let truth = self.peek() == Some(b't');
        self.at += if truth { "true".len() } else { "false".len() };
        truth
    }

    /// Passes the `null` it stands before, and tells where it ends, like an object without fields.
    pub fn null(&mut self) -> usize {
        self.at += "null".len();
        self.at
    }

    /// Passes the value it stands before, whatever it is.
    pub fn value(&mut self) -> Json<'b> {
        let (start, next) = (self.at, self.next);
        match self.peek() {
            Some(b'"') => self.at = self.string_at(start).1,
            Some(b'{' | b'[') => (self.at, self.next) = self.marks.end(start, next),
            _ => {
                let rest = self.marks.text.as_bytes().get(start..).unwrap_or_default();
                let ends = |byte: &u8| matches!(byte, b'}' | b']' | b',');
                self.at = start + rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        Json { marks: self.marks, start, end: self.at, next }
    }

    /// The string that starts at `start`, and the offset behind its closing quote.
    #[inline(always)]
    fn string_at(&self, start: usize) -> (RawText<'b>, usize) {
        let (raw, escaped) = self.marks.string(start);
        (RawText { raw, escaped }, start + raw.len() + "\"\"".len())
    }

    fn peek(&self) -> Option<u8> {
        self.marks.text.as_bytes().get(self.at).copied()
    }
}
