//! A reader of JSON text that allocates nothing outside an arena: one strict check, then a cursor.
//!
//! Not a general JSON library: there is no tree and no number is ever read. serde_json stands
//! beside it in tests and in the fuzz target as the judge of what is well-formed; it does not
//! serve here because skipping a nested value makes it allocate a stack, and an escaped string
//! a scratch buffer. The check marks where strings, fields, lists and objects are, so that each
//! byte is looked at once, however deep the fields are that are read. Start at [`check`], then
//! [`Cursor`].

mod brackets;
mod cursor;
mod grammar;
mod kinds;
mod marks;
mod plain;
mod row;
mod strings;
mod unescape;

use bumpalo::Bump;

pub use self::brackets::DEPTH_MAX;
pub use self::cursor::Cursor;
use self::marks::{Marks, mark};
use self::unescape::unescape;

/// The text of exactly one well-formed JSON value, made only by [`check`] and [`Cursor::value`].
///
/// INVARIANT (well formed): a [`Cursor`] over it meets no syntax fault. Nothing panics or loops
/// if that were broken; the cursor would only see fewer fields.
/// INVARIANT (compact): no blank stands between its tokens.
#[derive(Clone, Copy, Debug)]
pub struct Json<'b> {
    /// Of the whole text.
    marks: &'b Marks<'b>,
    start: usize,
    end: usize,
    /// Which branch of the whole text is the first at `start` or behind it.
    next: usize,
}

impl<'b> Json<'b> {
    /// The text itself, without blanks between its tokens.
    pub fn text(self) -> &'b str {
        self.marks.text.get(self.start..self.end).unwrap_or("null")
    }
}

/// Two values are equal if they are written alike.
impl PartialEq for Json<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

/// Where a text stops being JSON, and what was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset into the text.
    pub at: usize,
    /// What would have been right, as words for a person.
    pub expected: &'static str,
}

/// What kind of value stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`, which Kubernetes reads as an absent field.
    Null,
    /// `true` or `false`.
    Truth,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

impl Kind {
    /// The kind with its article, for messages.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Truth => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// A string as it stands in the text, without its quotes.
#[derive(Clone, Copy, Debug)]
pub struct RawText<'b> {
    raw: &'b str,
    escaped: bool,
}

impl<'b> RawText<'b> {
    /// The string it stands for: borrowed from the text, or unescaped into the arena.
    /// A lone surrogate becomes U+FFFD, as the API server itself reads it.
    #[inline]
    pub fn resolve<'a>(self, arena: &'a Bump) -> &'a str
    where
        'b: 'a,
    {
        if self.escaped { unescape(self.raw, arena) } else { self.raw }
    }
}

/// Checks that a text is one JSON value and nothing else, by the rules of RFC 8259. The arena
/// takes the marks, and the text again if it is not compact.
///
/// # Errors
/// The first fault, with its offset; also nesting beyond [`DEPTH_MAX`].
pub fn check<'b>(text: &'b str, arena: &'b Bump) -> Result<Json<'b>, SyntaxError> {
    let (mut marks, regular) = mark(text, arena);
    if !regular {
        plain::check(text, arena)?;
        marks = mark(plain::compact(text, arena), arena).0;
    }
    Ok(Json { end: marks.text.len(), marks: arena.alloc(marks), start: 0, next: 0 })
}

#[cfg(test)]
mod tests;
