//! A reader of JSON text that allocates nothing outside an arena: one strict check, then a cursor.
//!
//! Not a general JSON library: there is no tree and no number is ever read. serde_json stands
//! beside it in tests and in the fuzz target as the judge of what is well-formed; it does not
//! serve here because skipping a nested value makes it allocate a stack, and an escaped string
//! a scratch buffer. The check notes where each list and object ends, so that each byte is
//! looked at once, however deep the fields are that are read. Start at [`check`], then [`Cursor`].

use bumpalo::Bump;
use bumpalo::collections::Vec;

use super::bytes::{after_blank, bracket_end, special, string_end};
use super::unescape::unescape;

/// The deepest nesting of lists and objects in one review, skipped fields included.
pub const DEPTH_MAX: usize = 1024;

/// Lists and objects whose end is noted, in the order of the text; the rest is searched for its
/// end, so that no body can fill the arena with notes.
const ENDS_MAX: usize = 1 << 16;

/// The text of exactly one well-formed JSON value, made only by [`check`] and [`Cursor::skip`].
///
/// INVARIANT (well formed): a [`Cursor`] over it meets no syntax fault. Nothing panics or loops
/// if that were broken; the cursor would only see fewer fields.
#[derive(Clone, Copy, Debug)]
pub struct Json<'b> {
    whole: &'b str,
    start: usize,
    end: usize,
    /// Of the whole text, and which of them is the first at `start` or behind it.
    ends: &'b [End],
    next: usize,
}

/// A list or object of the text, in the order in which they open.
#[derive(Clone, Copy, Debug)]
struct End {
    /// The offset behind its closing bracket.
    at: u32,
    /// Which is the first one behind it.
    next: u32,
}

impl<'b> Json<'b> {
    /// The text itself.
    pub fn text(self) -> &'b str {
        self.whole.get(self.start..self.end).unwrap_or("null")
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
/// takes the notes of where lists and objects end.
///
/// # Errors
/// The first fault, with its offset; also nesting beyond [`DEPTH_MAX`].
pub fn check<'b>(text: &'b str, arena: &'b Bump) -> Result<Json<'b>, SyntaxError> {
    let mut checker = Checker {
        bytes: text.as_bytes(),
        open: Vec::with_capacity_in(OPEN_USUAL, arena),
        ends: Vec::with_capacity_in((text.len() / 24).min(ENDS_MAX), arena),
    };
    checker.document()?;
    let ends = checker.ends.into_bump_slice();
    Ok(Json { whole: text, start: 0, end: text.len(), ends, next: 0 })
}

// PERF: where the check stands is handed from step to step, not kept here, so that it stays in a
// register: each step needs it before it can begin.
struct Checker<'b> {
    bytes: &'b [u8],
    /// At most [`DEPTH_MAX`].
    open: Vec<'b, Open>,
    ends: Vec<'b, End>,
}

/// Lists and objects in each other as they usually are; for more of them the stack grows.
const OPEN_USUAL: usize = 32;

/// A bracket that is open.
#[derive(Clone, Copy)]
struct Open {
    /// Its place among the ends; behind all of them if it is not noted.
    number: u32,
    object: bool,
}

/// Where the check stands after a step.
type Step = Result<usize, SyntaxError>;

impl Checker<'_> {
    fn document(&mut self) -> Result<(), SyntaxError> {
        let mut at = 0;
        loop {
            at = self.value(at)?;
            loop {
                at = after_blank(self.bytes, at);
                let Some(in_object) = self.open.last().map(|open| open.object) else {
                    return if at == self.bytes.len() {
                        Ok(())
                    } else {
                        Err(fault(at, "the end of the text"))
                    };
                };
                match (in_object, self.bytes.get(at)) {
                    (true, Some(b',')) => {
                        at = self.key(at + 1)?;
                        break;
                    }
                    (false, Some(b',')) => {
                        at += 1;
                        break;
                    }
                    (true, Some(b'}')) | (false, Some(b']')) => at = self.close(at),
                    (true, _) => return Err(fault(at, "`,` or `}`")),
                    (false, _) => return Err(fault(at, "`,` or `]`")),
                }
            }
        }
    }

    /// Passes one scalar, an empty list or object, or the opening of a value up to where its
    /// first inner value starts.
    #[inline(always)]
    fn value(&mut self, mut at: usize) -> Step {
        loop {
            at = after_blank(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => return string(self.bytes, at),
                Some(b'{') => {
                    at = after_blank(self.bytes, self.open(at, true)?);
                    if self.bytes.get(at) == Some(&b'}') {
                        return Ok(self.close(at));
                    }
                    at = self.key(at)?;
                }
                Some(b'[') => {
                    at = after_blank(self.bytes, self.open(at, false)?);
                    if self.bytes.get(at) == Some(&b']') {
                        return Ok(self.close(at));
                    }
                }
                Some(b't') => return literal(self.bytes, at, b"true"),
                Some(b'f') => return literal(self.bytes, at, b"false"),
                Some(b'n') => return literal(self.bytes, at, b"null"),
                Some(b'-' | b'0'..=b'9') => return number(self.bytes, at),
                _ => return Err(fault(at, "a value")),
            }
        }
    }

    #[inline(always)]
    fn open(&mut self, at: usize, object: bool) -> Step {
        let number = self.ends.len();
        if self.open.len() == DEPTH_MAX {
            return Err(fault(at, "at most 1024 levels of nesting"));
        }
        let noted = number < ENDS_MAX;
        self.open.push(Open { number: if noted { number as u32 } else { u32::MAX }, object });
        if noted {
            self.ends.push(End { at: 0, next: 0 });
        }
        Ok(at + 1)
    }

    #[inline(always)]
    fn close(&mut self, at: usize) -> usize {
        let number = self.open.pop().map_or(u32::MAX, |open| open.number);
        let next = self.ends.len() as u32;
        if let Some(end) = self.ends.get_mut(number as usize) {
            *end = End { at: u32::try_from(at + 1).unwrap_or(u32::MAX), next };
        }
        at + 1
    }

    #[inline(always)]
    fn key(&self, at: usize) -> Step {
        let at = after_blank(self.bytes, at);
        if self.bytes.get(at) != Some(&b'"') {
            return Err(fault(at, "a field name in double quotes"));
        }
        let at = after_blank(self.bytes, string(self.bytes, at)?);
        if self.bytes.get(at) != Some(&b':') {
            return Err(fault(at, "`:`"));
        }
        Ok(at + 1)
    }
}

/// Passes the string whose quote stands at `at`.
#[inline(always)]
fn string(bytes: &[u8], at: usize) -> Step {
    let mut at = at + 1;
    loop {
        at = special::<false>(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at + 1)?,
            Some(_) => return Err(fault(at, "no control character inside a string")),
            None => return Err(fault(at, "the closing `\"` of a string")),
        }
    }
}

fn escape(bytes: &[u8], at: usize) -> Step {
    match bytes.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
        Some(b'u') => {
            let digits = bytes.iter().skip(at + 1).take(4);
            match digits.take_while(|byte| byte.is_ascii_hexdigit()).count() {
                4 => Ok(at + 5),
                right => Err(fault(at + 1 + right, "four hexadecimal digits after `\\u`")),
            }
        }
        _ => Err(fault(at, "a JSON escape after `\\`")),
    }
}

fn number(bytes: &[u8], mut at: usize) -> Step {
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// Passes one digit or more.
fn digits(bytes: &[u8], start: usize) -> Step {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == start { Err(fault(at, "a digit")) } else { Ok(at) }
}

fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Step {
    if bytes.get(at..).is_some_and(|rest| rest.starts_with(word)) {
        return Ok(at + word.len());
    }
    Err(fault(at, "a value"))
}

#[cold]
fn fault(at: usize, expected: &'static str) -> SyntaxError {
    SyntaxError { at, expected }
}

/// A place in well-formed JSON text, moving forward only.
#[derive(Clone, Debug)]
pub struct Cursor<'b> {
    /// Up to the end of the value, so that offsets are those of the whole.
    text: &'b str,
    at: usize,
    ends: &'b [End],
    /// INVARIANT (next): the first list or object at `at` or behind it.
    next: usize,
}

impl<'b> Cursor<'b> {
    /// Stands before a value.
    pub fn new(json: Json<'b>) -> Self {
        let Json { whole, start, end, ends, next } = json;
        Self { text: whole.get(..end).unwrap_or_default(), at: start, ends, next }
    }

    /// The kind of the value it stands before.
    pub fn kind(&mut self) -> Kind {
        self.blank();
        match self.peek() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b't' | b'f') => Kind::Truth,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => Kind::Null,
        }
    }

    /// Steps into the list or object it stands before.
    pub fn enter(&mut self) {
        self.blank();
        self.at += 1;
        self.next += 1;
    }

    /// Inside an object: the next field's name, standing before its value afterwards.
    /// `None` when the object is over, standing behind it.
    pub fn key(&mut self) -> Option<RawText<'b>> {
        if !self.next_or_close(b'}') {
            return None;
        }
        let key = self.string_here();
        self.at = after_blank(self.text.as_bytes(), self.at) + 1;
        Some(key)
    }

    /// Inside a list: whether another item follows, standing before it afterwards.
    /// `false` when the list is over, standing behind it.
    pub fn item(&mut self) -> bool {
        self.next_or_close(b']')
    }

    /// Passes the string it stands before.
    pub fn string(&mut self) -> RawText<'b> {
        self.blank();
        self.string_here()
    }

    #[inline(always)]
    fn string_here(&mut self) -> RawText<'b> {
        let start = self.at + 1;
        let (end, escaped) = string_end(self.text.as_bytes(), start);
        self.at = end + 1;
        RawText { raw: self.text.get(start..end).unwrap_or_default(), escaped }
    }

    /// Passes the boolean it stands before.
    pub fn truth(&mut self) -> bool {
        self.blank();
        let truth = self.peek() == Some(b't');
        self.skip();
        truth
    }

    /// Passes the value it stands before, whatever it is, and gives its text.
    pub fn skip(&mut self) -> Json<'b> {
        self.blank();
        let (start, next) = (self.at, self.next);
        match self.peek() {
            Some(b'"') => self.at = string_end(self.text.as_bytes(), start + 1).0 + 1,
            Some(b'{' | b'[') => match self.ends.get(next) {
                Some(end) => (self.at, self.next) = (end.at as usize, end.next as usize),
                None => self.at = bracket_end(self.text.as_bytes(), start),
            },
            _ => {
                let rest = self.text.as_bytes().get(start..).unwrap_or_default();
                let ends =
                    |byte: &u8| matches!(byte, b'}' | b']' | b',' | b' ' | b'\n' | b'\r' | b'\t');
                self.at = start + rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        Json { whole: self.text, start, end: self.at, ends: self.ends, next }
    }

    /// Passes a comma and stands before what follows, or passes the closing bracket.
    #[inline(always)]
    fn next_or_close(&mut self, closer: u8) -> bool {
        let bytes = self.text.as_bytes();
        let mut at = after_blank(bytes, self.at);
        if bytes.get(at) == Some(&b',') {
            at = after_blank(bytes, at + 1);
        }
        let next = bytes.get(at);
        let closes = next == Some(&closer);
        self.at = if closes { at + 1 } else { at };
        next.is_some() && !closes
    }

    fn blank(&mut self) {
        self.at = after_blank(self.text.as_bytes(), self.at);
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
