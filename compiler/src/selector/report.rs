//! The error of a selector, and how it is shown to a person. Start at [`SelectorError::report`].

use std::ops::Range;

use crate::caret;
pub(super) use crate::caret::shorten;

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectorError {
    /// The bytes of the text that are wrong; empty where something is missing.
    pub span: Range<usize>,
    /// What is wrong: lower case, no full stop, user text in backticks and escaped.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl SelectorError {
    /// The error as a person reads it: `place`, line and column, the line with a caret, and help.
    /// It ends without a newline. All user text is escaped, so it cannot steer a terminal.
    ///
    /// ```
    /// let text = "a = 'b'";
    /// let error = caapc_compiler::selector::parse(text).unwrap_err();
    /// assert_eq!(
    ///     error.report("selector", text),
    ///     "selector:1:3: expected an operator after the label `a`, found `=`\n  \
    ///        a = 'b'\n    \
    ///          ^\n  \
    ///        help: did you mean `==`?"
    /// );
    /// ```
    pub fn report(&self, place: &str, text: &str) -> String {
        caret::report(place, text, &self.span, &self.message, self.help.as_deref())
    }
}
