//! JSON byte by byte: the strict check that says where a text is wrong and what was expected, and
//! the compact form of a text that is right.
//!
//! It serves what `marks` does not pass: what a person wrote, and what is no JSON. Start at
//! [`check`].

use bumpalo::Bump;
use bumpalo::collections::{String, Vec};

use super::SyntaxError;
use super::brackets::DEPTH_MAX;
use crate::byte_search::{after_blank, special};

/// Checks that a text is one JSON value and nothing else, by the rules of RFC 8259.
///
/// # Errors
/// The first fault, with its offset; also nesting beyond [`DEPTH_MAX`].
pub(super) fn check(text: &str, arena: &Bump) -> Result<(), SyntaxError> {
    Checker { bytes: text.as_bytes(), open: Vec::new_in(arena) }.document()
}

/// A text without the blanks between its tokens.
pub(super) fn compact<'b>(text: &str, arena: &'b Bump) -> &'b str {
    let mut compact = String::with_capacity_in(text.len(), arena);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let start = after_blank(bytes, at);
        at = token(bytes, start);
        compact.push_str(text.get(start..at).unwrap_or_default());
    }
    compact.into_bump_str()
}

/// The end of the string at `at`, or of what stands there before the next blank or string.
fn token(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at) == Some(&b'"') {
        return string(bytes, at).unwrap_or(bytes.len());
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let ends = rest.iter().position(|byte| matches!(byte, b'"' | b' ' | b'\n' | b'\r' | b'\t'));
    ends.map_or(bytes.len(), |length| at + length)
}

struct Checker<'b> {
    bytes: &'b [u8],
    /// Whether each is an object. At most [`DEPTH_MAX`].
    open: Vec<'b, bool>,
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
                let Some(&in_object) = self.open.last() else {
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
                _ => return scalar(self.bytes, at),
            }
        }
    }

    fn open(&mut self, at: usize, object: bool) -> Step {
        if self.open.len() == DEPTH_MAX {
            return Err(fault(at, "at most 1024 levels of nesting"));
        }
        self.open.push(object);
        Ok(at + 1)
    }

    fn close(&mut self, at: usize) -> usize {
        self.open.pop();
        at + 1
    }

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

/// Passes what follows a backslash.
pub(super) fn escape(bytes: &[u8], at: usize) -> Step {
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

/// Passes a number or one of the three words.
pub(super) fn scalar(bytes: &[u8], at: usize) -> Step {
    match bytes.get(at) {
        Some(b't') => literal(bytes, at, b"true"),
        Some(b'f') => literal(bytes, at, b"false"),
        Some(b'n') => literal(bytes, at, b"null"),
        Some(b'-' | b'0'..=b'9') => number(bytes, at),
        _ => Err(fault(at, "a value")),
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
