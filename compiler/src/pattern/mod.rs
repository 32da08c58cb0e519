//! Patterns: the text of an `imagePath` value, which is a regular expression of Go.
//!
//! [`parse`] accepts and means exactly what Go 1.26's `regexp` does (spec: image-path,
//! "Dialect") and answers with a [`Hir`], from which the automata are built. It refuses what Go
//! refuses, with Go's own reason, the place, and what to write instead.
//!
//! The only differences are limits: [`PATTERN_BYTES_MAX`], the memory of the sets of one pattern,
//! and the edges of Go's own limits on size and nesting (see `tree`). They are errors of the kind
//! [`ErrorKind::TooBig`], and none of them is near a pattern of image names.
//!
//! It is not an engine: nothing here searches a string, except [`plain`], the slow and obviously
//! right matcher that tests compare with. Start at [`parse`]; then `parser` (the grammar), `tree`
//! (how pieces combine, and the limits on size), `class` and `unicode` (sets of characters).

mod class;
mod error;
mod escape;
mod group;
mod help;
pub mod lint;
mod parser;
pub mod plain;
#[cfg(test)]
mod tests;
mod tree;
mod unicode;

pub use self::error::{ErrorKind, PatternError};

use std::ops::Range;

use crate::hir::Hir;

/// The longest pattern, in bytes. Go has no such limit; a pattern of this length is no pattern of
/// image names.
pub const PATTERN_BYTES_MAX: usize = 128 << 10;

/// The most copies that repetitions may make of one thing, nested ones multiplied (Go's limit).
pub const REPEAT_MAX: u16 = 1_000;

/// Parses a pattern as Go does.
///
/// # Errors
/// What Go refuses, in Go's words ([`PatternError::go`]), and patterns longer than
/// [`PATTERN_BYTES_MAX`] bytes.
///
/// ```
/// use caapc_compiler::pattern::parse;
///
/// assert!(parse(r"^gcr\.io/").is_ok());
/// let error = parse("*").unwrap_err();
/// assert_eq!(error.go, "error parsing regexp: missing argument to repetition operator: `*`");
/// assert_eq!(error.span, 0..1);
/// ```
pub fn parse(text: &str) -> Result<Hir, PatternError> {
    parse_tokens(text).map(|(hir, _)| hir)
}

/// The same, with the place of each element and operator.
fn parse_tokens(text: &str) -> Result<(Hir, Vec<Range<usize>>), PatternError> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::too_long(text.len()));
    }
    parser::Parser::new(text).run()
}
