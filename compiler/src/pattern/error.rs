//! Why a pattern is refused: Go's reason, the place, and what to write instead.

use std::fmt;
use std::ops::Range;

use super::PATTERN_BYTES_MAX;
use crate::caret::{self, shorten};

/// Wrong syntax, or too big: different faults for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// It is not a pattern of Go's.
    Syntax,
    /// It is well formed as far as it was read, and over a limit.
    TooBig,
}

/// A pattern that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Wrong syntax, or over a limit.
    pub kind: ErrorKind,
    /// The sentence Go answers, whole: ``error parsing regexp: missing closing ): `(a` ``. Only
    /// for a pattern over [`PATTERN_BYTES_MAX`], a limit Go does not have, it is our own.
    pub go: String,
    /// The reason alone, without the pattern: `missing closing )`.
    pub reason: &'static str,
    /// Where, in bytes of the pattern. It may be narrower than what Go quotes.
    pub span: Range<usize>,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.go)
    }
}

impl std::error::Error for PatternError {}

impl PatternError {
    /// The error as a person reads it: `place`, line and column, the line with a caret, and help.
    /// It ends without a newline. All user text is escaped, so it cannot steer a terminal.
    ///
    /// ```
    /// let text = "gcr.io/(a";
    /// let error = caapc_compiler::pattern::parse(text).unwrap_err();
    /// assert_eq!(
    ///     error.report("pattern", text),
    ///     "pattern:1:8: missing closing )\n  \
    ///        gcr.io/(a\n         \
    ///               ^\n  \
    ///        help: close this group with `)`, or write `\\(` for the character"
    /// );
    /// ```
    pub fn report(&self, place: &str, text: &str) -> String {
        let message = match &text.get(self.span.clone()) {
            // Our own sentence, with the limit.
            _ if self.reason == TOO_LONG => self.go.clone(),
            Some(what) if what.chars().count() > 1 => {
                format!("{}: `{}`", self.reason, shorten(what))
            }
            _ => self.reason.to_owned(),
        };
        caret::report(place, text, &self.span, &message, self.help.as_deref())
    }

    pub(super) fn too_long(bytes: usize) -> Self {
        Self {
            kind: ErrorKind::TooBig,
            go: format!("pattern of {bytes} bytes is longer than {PATTERN_BYTES_MAX}, the limit"),
            reason: TOO_LONG,
            span: 0..bytes,
            help: Some("split it into several values".to_owned()),
        }
    }
}

/// The reason that Go does not have.
const TOO_LONG: &str = "pattern too long";

/// Go's reasons, each with its wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    CharRange,
    Escape,
    NamedCapture,
    PerlOp,
    RepeatOp,
    RepeatSize,
    MissingBracket,
    MissingParen,
    MissingRepeatArgument,
    TrailingBackslash,
    UnexpectedParen,
    NestingDepth,
    Large,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::CharRange => "invalid character class range",
            Self::Escape => "invalid escape sequence",
            Self::NamedCapture => "invalid named capture",
            Self::PerlOp => "invalid or unsupported Perl syntax",
            Self::RepeatOp => "invalid nested repetition operator",
            Self::RepeatSize => "invalid repeat count",
            Self::MissingBracket => "missing closing ]",
            Self::MissingParen => "missing closing )",
            Self::MissingRepeatArgument => "missing argument to repetition operator",
            Self::TrailingBackslash => "trailing backslash at end of expression",
            Self::UnexpectedParen => "unexpected )",
            Self::NestingDepth => "expression nests too deeply",
            Self::Large => "expression too large",
        }
    }

    /// The error; `quoted` is what Go quotes, `span` is where we point.
    pub(super) fn at(self, quoted: &str, span: Range<usize>, help: Option<String>) -> PatternError {
        let kind = match self {
            Self::NestingDepth | Self::Large => ErrorKind::TooBig,
            _ => ErrorKind::Syntax,
        };
        let reason = self.text();
        PatternError {
            kind,
            go: format!("error parsing regexp: {reason}: `{quoted}`"),
            reason,
            span,
            help,
        }
    }
}
