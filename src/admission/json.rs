//! A reader of JSON text that allocates nothing outside an arena: one strict check, then a cursor.
//!
//! Not a general JSON library: there is no tree and no number is ever read. serde_json stands
//! beside it in tests and in the fuzz target as the judge of what is well-formed; it does not
//! serve here because skipping a nested value makes it allocate a stack, and an escaped string
//! a scratch buffer. The check notes where each list and object ends, so that each byte is
//! looked at once, however deep the fields are that are read. Start at [`check`], then [`Cursor`].

use bumpalo::Bump;
use bumpalo::collections::Vec;

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
        at: 0,
        depth: 0,
        open: [Open::default(); _],
        ends: Vec::with_capacity_in((text.len() / 24).min(ENDS_MAX), arena),
    };
    checker.document()?;
    let ends = checker.ends.into_bump_slice();
    Ok(Json { whole: text, start: 0, end: text.len(), ends, next: 0 })
}

struct Checker<'b> {
    bytes: &'b [u8],
    at: usize,
    depth: usize,
    open: [Open; DEPTH_MAX],
    ends: Vec<'b, End>,
}

/// A bracket that is open.
#[derive(Clone, Copy, Default)]
struct Open {
    /// Its place among the ends; behind all of them if it is not noted.
    number: u32,
    object: bool,
}

impl Checker<'_> {
    fn document(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.value()?;
            loop {
                self.blank();
                if self.depth == 0 {
                    return if self.at == self.bytes.len() {
                        Ok(())
                    } else {
                        self.fault("the end of the text")
                    };
                }
                let in_object = self.top_is_object();
                match (in_object, self.peek()) {
                    (_, Some(b',')) => {
                        self.at += 1;
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    (true, Some(b'}')) | (false, Some(b']')) => self.close(),
                    (true, _) => return self.fault("`,` or `}`"),
                    (false, _) => return self.fault("`,` or `]`"),
                }
            }
        }
    }

    /// Passes one scalar, an empty list or object, or the opening of a value up to where its
    /// first inner value starts.
    fn value(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.blank();
            match self.peek() {
                Some(b'"') => return self.string(),
                Some(b'{') => {
                    self.open(true)?;
                    if self.close_if_empty(b'}') {
                        return Ok(());
                    }
                    self.key()?;
                }
                Some(b'[') => {
                    self.open(false)?;
                    if self.close_if_empty(b']') {
                        return Ok(());
                    }
                }
                Some(b't') => return self.literal(b"true"),
                Some(b'f') => return self.literal(b"false"),
                Some(b'n') => return self.literal(b"null"),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                _ => return self.fault("a value"),
            }
        }
    }

    #[inline(always)]
    fn open(&mut self, object: bool) -> Result<(), SyntaxError> {
        let number = self.ends.len();
        let Some(open) = self.open.get_mut(self.depth) else {
            return self.fault("at most 1024 levels of nesting");
        };
        *open = Open { number: if number < ENDS_MAX { number as u32 } else { u32::MAX }, object };
        if number < ENDS_MAX {
            self.ends.push(End { at: 0, next: 0 });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.at += 1;
        self.depth -= 1;
        let number = self.open.get(self.depth).map_or(u32::MAX, |open| open.number);
        let next = self.ends.len() as u32;
        if let Some(end) = self.ends.get_mut(number as usize) {
            *end = End { at: u32::try_from(self.at).unwrap_or(u32::MAX), next };
        }
    }

    fn close_if_empty(&mut self, closer: u8) -> bool {
        self.blank();
        let empty = self.peek() == Some(closer);
        if empty {
            self.close();
        }
        empty
    }

    fn top_is_object(&self) -> bool {
        self.open.get(self.depth.wrapping_sub(1)).is_some_and(|open| open.object)
    }

    #[inline(always)]
    fn key(&mut self) -> Result<(), SyntaxError> {
        self.blank();
        if self.peek() != Some(b'"') {
            return self.fault("a field name in double quotes");
        }
        self.string()?;
        self.blank();
        if self.peek() != Some(b':') {
            return self.fault("`:`");
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn string(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        loop {
            self.at = special(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fault("no control character inside a string"),
                None => return self.fault("the closing `\"` of a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.fault("four hexadecimal digits after `\\u`");
                    }
                    self.at += 1;
                }
            }
            _ => return self.fault("a JSON escape after `\\`"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fault("a digit"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.one_digit_or_more()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.one_digit_or_more()?;
        }
        Ok(())
    }

    fn one_digit_or_more(&mut self) -> Result<(), SyntaxError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fault("a digit");
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), SyntaxError> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(());
        }
        self.fault("a value")
    }

    fn blank(&mut self) {
        self.at = after_blank(self.bytes, self.at);
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault<T>(&self, expected: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { at: self.at, expected })
    }
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
        let key = self.string();
        self.blank();
        self.at += 1;
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
            Some(b'"') => drop(self.string()),
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
    fn next_or_close(&mut self, closer: u8) -> bool {
        self.blank();
        if self.peek() == Some(b',') {
            self.at += 1;
            self.blank();
        }
        match self.peek() {
            None => false,
            Some(byte) if byte == closer => {
                self.at += 1;
                false
            }
            Some(_) => true,
        }
    }

    fn blank(&mut self) {
        self.at = after_blank(self.text.as_bytes(), self.at);
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Where the string that starts at `at` ends (its closing quote), and whether it has escapes.
fn string_end(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut escaped = false;
    loop {
        at = special(bytes, at);
        match bytes.get(at) {
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(b'"') => return (at, escaped),
            Some(_) => at += 1,
            None => return (bytes.len(), escaped),
        }
    }
}

/// Where the list or object that starts at `at` ends: behind its closing bracket.
fn bracket_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at + 1).0,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

#[inline(always)]
fn after_blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The offset of the next quote, backslash or control character, or the end.
#[inline(always)]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // PERF: eight bytes at a time. Each term has the high bit of a byte set where the byte is
    // zero after the exclusive or (or below 0x20); the lowest such bit is exact.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let found = zero(word ^ (ONES * u64::from(b'"')))
            | zero(word ^ (ONES * u64::from(b'\\')))
            | (word.wrapping_sub(ONES * 0x20) & !word & HIGH);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return at;
        }
        at += 1;
    }
    at
}

/// Unescapes into the arena. An unescaped string is never longer than its escaped form.
fn unescape<'a>(raw: &str, arena: &'a Bump) -> &'a str {
    let mut text = bumpalo::collections::String::with_capacity_in(raw.len(), arena);
    let mut rest = raw;
    while let Some(slash) = rest.find('\\') {
        let (before, escape) = rest.split_at(slash);
        text.push_str(before);
        let code = escape.as_bytes().get(1).copied().unwrap_or(b'\\');
        let (character, length) = match code {
            b'u' => unicode(escape),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            other => (char::from(other), 2),
        };
        text.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    text.into_bump_str()
}

/// Reads `\uXXXX`, and the second half of a surrogate pair: the character and its length here.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let lone = (char::REPLACEMENT_CHARACTER, 6);
    match (unit(0), unit(6)) {
        (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        (Some(code), _) => char::from_u32(code).map_or(lone, |character| (character, 6)),
        (None, _) => lone,
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
