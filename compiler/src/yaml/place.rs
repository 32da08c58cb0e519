//! Where things stand: lines and columns of a text, and bytes of a scalar in its source.

use std::cell::Cell;
use std::ops::Range;

use super::{Scalar, Span, Style};

/// A place in a text, as people count: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column, in Unicode scalar values.
    pub column: u32,
}

/// Where the lines of a text begin.
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<u32>,
    /// The last answer, so that many places on one huge line cost one walk over it.
    last: Cell<(u32, u32, u32)>,
}

impl<'t> Lines<'t> {
    /// Finds them. A line ends with a newline, or with a carriage return that has none.
    pub fn new(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|&(at, &byte)| {
            byte == b'\n' || byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')
        });
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at as u32 + 1)).collect();
        Self { text, starts, last: Cell::new((0, 0, 0)) }
    }

    /// The line of a byte, from 1.
    pub fn line(&self, at: u32) -> u32 {
        self.starts.partition_point(|&start| start <= at) as u32
    }

    /// The place of a byte.
    pub fn position(&self, at: u32) -> Position {
        let at = at.min(self.text.len() as u32);
        let line = self.line(at);
        let start = self.starts[line as usize - 1];
        let (last_start, last_at, last_chars) = self.last.get();
        let (from, chars) =
            if last_start == start && last_at <= at { (last_at, last_chars) } else { (start, 0) };
        let more = count_chars(&self.text.as_bytes()[from as usize..at as usize]);
        let chars = chars + more;
        self.last.set((start, at, chars));
        let bom = u32::from(start == 0 && at > 0 && self.text.starts_with('\u{feff}'));
        Position { line, column: chars + 1 - bom }
    }

    /// The bytes of a line, from 1, without its end.
    pub fn range(&self, line: u32) -> Range<usize> {
        let start = self.starts.get(line as usize - 1).map_or(self.text.len(), |&at| at as usize);
        let end = self.starts.get(line as usize).map_or(self.text.len(), |&at| at as usize);
        let line = &self.text[start..end];
        start..start + line.trim_end_matches(['\n', '\r']).len()
    }
}

fn count_chars(bytes: &[u8]) -> u32 {
    bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count() as u32
}

/// Where a range of bytes of a scalar's text stands in the source.
///
/// Exact for scalars without quotes, in quotes, and in block scalars; in a scalar that is folded
/// over several lines a space may stand for the line break. `span` is the scalar's own.
pub fn locate(source: &str, span: Span, scalar: &Scalar<'_>, range: Range<usize>) -> Span {
    let whole = span.range();
    let Some(raw) = source.get(whole.clone()) else { return span };
    let as_written = match scalar.style {
        Style::Plain => !raw.starts_with('*'),
        Style::Single => raw.starts_with('\''),
        Style::Double => raw.starts_with('"'),
        Style::Block => true,
        Style::Tagged => false,
    };
    // An alias, or a tag in the way: only the whole is known.
    if !as_written {
        return span;
    }
    let mut walk = Walk::new(raw, scalar);
    let start = walk.advance_to(range.start);
    let end = if range.is_empty() { start } else { walk.advance_to(range.end) };
    match (start, end) {
        (Some(start), Some(end)) => Span::from(whole.start + start..whole.start + end.max(start)),
        _ => span,
    }
}

/// Walks source and text side by side.
struct Walk<'a> {
    raw: &'a str,
    text: &'a str,
    style: Style,
    raw_at: usize,
    text_at: usize,
}

impl<'a> Walk<'a> {
    fn new(raw: &'a str, scalar: &'a Scalar<'_>) -> Self {
        let quoted = matches!(scalar.style, Style::Single | Style::Double);
        Self {
            raw,
            text: &scalar.text,
            style: scalar.style,
            raw_at: usize::from(quoted),
            text_at: 0,
        }
    }

    /// Where byte `target` of the text stands in the source, in bytes from its beginning.
    fn advance_to(&mut self, target: usize) -> Option<usize> {
        while self.text_at < target.min(self.text.len()) {
            let char = self.text[self.text_at..].chars().next()?;
            self.step(char)?;
            self.text_at += char.len_utf8();
        }
        if self.text_at < self.text.len() {
            // Stand on the character itself, not on the white space before it.
            let next = self.text[self.text_at..].chars().next()?;
            self.skip_folds(next);
        }
        Some(self.raw_at)
    }

    /// Steps over what stands for one character of the text.
    fn step(&mut self, char: char) -> Option<()> {
        self.skip_folds(char);
        let rest = self.raw.get(self.raw_at..)?;
        let length = match self.style {
            Style::Single if rest.starts_with("''") => 2,
            Style::Double if rest.starts_with('\\') => escape_length(rest, char),
            _ => rest.chars().next()?.len_utf8(),
        };
        self.raw_at += length;
        Some(())
    }

    /// Skips indentation and line breaks that are not in the text, if `char` comes next.
    fn skip_folds(&mut self, char: char) {
        loop {
            let Some(rest) = self.raw.get(self.raw_at..) else { return };
            let Some(next) = rest.chars().next() else { return };
            let escaped = self.style == Style::Double && next == '\\';
            if escaped {
                // A line break that an escape removes.
                match rest.as_bytes().get(1) {
                    Some(b'\n' | b'\r') => self.raw_at += 2,
                    _ => return,
                }
                continue;
            }
            let folded = char == ' ' && matches!(next, '\n' | '\r');
            if next == char || folded || !matches!(next, ' ' | '\t' | '\n' | '\r') {
                return;
            }
            self.raw_at += 1;
        }
    }
}

/// How long the escape at the beginning of `rest` is, if it stands for `char`.
fn escape_length(rest: &str, char: char) -> usize {
    let length = match rest.as_bytes().get(1) {
        Some(b'x') => 4,
        Some(b'u') if char as u32 > 0xFFFF => 12,
        Some(b'u') => 6,
        Some(b'U') => 10,
        _ => 2,
    };
    if rest.is_char_boundary(length.min(rest.len())) { length.min(rest.len()) } else { 1 }
}
