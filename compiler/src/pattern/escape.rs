//! Escapes of one character: `\.`, `\n`, `\x41`, `\x{10FFFF}`, `\101`.

use super::error::{PatternError, Reason};
use super::help;
use super::parser::Parser;

impl Parser<'_> {
    /// Reads the escape at hand; a code point, which may be a surrogate.
    pub(super) fn escape(&mut self) -> Result<u32, PatternError> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.take() else {
            let help = Some(r"write `\\` for a backslash".to_owned());
            return Err(Reason::TrailingBackslash.at("", start..start + 1, help));
        };
        let point = match c {
            '0' => Some(self.octal(0)),
            // A digit alone would refer back to a group.
            '1'..='7' if matches!(self.peek(), Some('0'..='7')) => {
                Some(self.octal(u32::from(c) - u32::from('0')))
            }
            'x' => self.hexadecimal(),
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c.into()),
            _ => None,
        };
        point.ok_or_else(|| {
            let quoted = &self.text[start..self.at];
            Reason::Escape.at(quoted, start..self.at, Some(help::escape(quoted)))
        })
    }

    /// Up to two more octal digits.
    fn octal(&mut self, first: u32) -> u32 {
        let mut point = first;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            self.at += 1;
            point = point * 8 + digit;
        }
        point
    }

    /// Two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Option<u32> {
        let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16));
        if !self.eat("{") {
            // Both are taken before either is judged, which decides what is quoted.
            self.peek()?;
            let (high, low) = (self.take(), self.take());
            return Some(digit(high)? * 16 + digit(low)?);
        }
        let mut point = None;
        loop {
            match self.take() {
                Some('}') => return point,
                c => {
                    let next = point.unwrap_or(0) * 16 + digit(c)?;
                    if next > u32::from(char::MAX) {
                        return None;
                    }
                    point = Some(next);
                }
            }
        }
    }
}
