//! What the compiler says about a policy: a code, a place, a sentence, and what to write instead.
//!
//! Field path, then fact, then help; lower case, no full stop, user text in backticks. Nothing
//! here decides what is wrong. Start at [`Diagnostic`]; [`codes`] is the table of codes.

pub mod codes;
mod render;
mod suggest;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use codes::Code;
pub use render::Style;
pub use suggest::{closest, one_of};

use crate::yaml::Position;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy does not compile.
    Error,
    /// It compiles, and perhaps does not mean what was meant. Never changes a verdict.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// What sort.
    pub code: Code,
    /// The file, as the user knows it.
    pub file: Arc<str>,
    /// Bytes of the file's text.
    pub span: Range<usize>,
    /// Where the span begins.
    pub start: Position,
    /// Where it ends; the column is that just after the last character.
    pub end: Position,
    /// Such as `spec.rules[1].imageScanStatus.values[2]`; empty if no field is to blame.
    pub field_path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Why, or what else is concerned.
    pub note: Option<String>,
}

impl Diagnostic {
    /// Whether it keeps the policy from compiling.
    pub fn is_error(&self) -> bool {
        self.code.severity == Severity::Error
    }

    /// The field path and what is wrong with it, in one line.
    pub fn fact(&self) -> String {
        let Self { field_path, message, .. } = self;
        if field_path.is_empty() {
            escape(message).into_owned()
        } else {
            escape(&format!("{field_path}: {message}")).into_owned()
        }
    }

    /// For a terminal: the fact, the place, the line with a caret, help and note.
    /// `text` is that of the file. It ends with a newline.
    pub fn render(&self, text: &str, style: Style) -> String {
        render::render(self, text, style)
    }

    /// As an object, with the names of the fields as here.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "code": self.code.id,
            "severity": self.code.severity.word(),
            "file": &*self.file,
            "line": self.start.line,
            "column": self.start.column,
            "endLine": self.end.line,
            "endColumn": self.end.column,
            "field": self.field_path,
            "message": self.message,
            "help": self.help,
            "note": self.note,
        })
    }
}

/// One line: `file:line:column: error[CODE]: field: message; help`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, file, start, help, .. } = self;
        let (severity, id) = (code.severity.word(), code.id);
        let file = escape(file);
        write!(f, "{file}:{}:{}: {severity}[{id}]: {}", start.line, start.column, self.fact())?;
        if let Some(help) = help {
            write!(f, "; {}", escape(help))?;
        }
        Ok(())
    }
}

/// How many characters of user text a message shows.
const SHOWN_CHARS_MAX: usize = 120;

/// User text for a message: in backticks, on one line, cut where it is too long to help.
pub fn quote(text: &str) -> String {
    let clipped = match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    };
    format!("`{}`", escape(&clipped))
}

/// Text that cannot steer a terminal: control and direction characters are written out.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if steers(char) {
            out.extend(char.escape_debug());
        } else {
            out.push(char);
        }
    }
    Cow::Owned(out)
}

/// Control characters, line separators, and what turns the direction of writing or has no width.
fn steers(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
