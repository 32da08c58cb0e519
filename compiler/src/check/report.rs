//! Where findings gather while a text is read, and how they learn their place.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::yaml::{Lines, Node, Span, locate};

/// The place of a field in its object, such as `spec.rules[1].action`.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn field(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub(crate) fn item(&'a self, number: usize) -> Path<'a> {
        Path::Item(self, number)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, number) => write!(f, "{parent}[{number}]"),
        }
    }
}

/// The findings of one text.
pub(crate) struct Report<'t> {
    pub(crate) file: Arc<str>,
    pub(crate) text: &'t str,
    pub(crate) lines: Lines<'t>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// How many errors are kept, and how many warnings; more are only counted.
    diagnostics_max: usize,
    /// Errors so far, those not kept among them.
    pub(crate) errors: usize,
    /// Warnings so far, likewise.
    pub(crate) warnings: usize,
    /// The first error since `Report::watch`, in one line.
    first_error: Option<String>,
}

/// A finding that is being written. It is recorded when it is dropped.
pub(crate) struct Finding<'r, 't> {
    report: &'r mut Report<'t>,
    diagnostic: Option<Diagnostic>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(file: &str, text: &'t str, diagnostics_max: usize) -> Self {
        Self {
            file: file.into(),
            text,
            lines: Lines::new(text),
            diagnostics: Vec::new(),
            diagnostics_max,
            errors: 0,
            warnings: 0,
            first_error: None,
        }
    }

    /// Records a finding.
    pub(crate) fn find(
        &mut self,
        code: Code,
        span: Span,
        path: &Path<'_>,
        message: impl Into<String>,
    ) -> Finding<'_, 't> {
        let is_error = code.severity == Severity::Error;
        let count = if is_error { &mut self.errors } else { &mut self.warnings };
        *count += 1;
        let kept = *count <= self.diagnostics_max;
        // The first error of a policy is also what is told of it when it does not compile.
        let told = is_error && self.first_error.is_none();
        if !kept && !told {
            return Finding { report: self, diagnostic: None };
        }
        let start = self.lines.position(span.start);
        let diagnostic = Diagnostic {
            code,
            file: self.file.clone(),
            span: span.range(),
            start,
            end: self.lines.position(span.end),
            field_path: path.to_string(),
            message: message.into(),
            help: None,
            note: None,
        };
        if told {
            self.first_error = Some(diagnostic.fact());
        }
        Finding { report: self, diagnostic: kept.then_some(diagnostic) }
    }

    /// Begins to watch for errors; `Report::faults` tells what came.
    pub(crate) fn watch(&mut self) -> usize {
        self.first_error = None;
        self.errors
    }

    /// What went wrong since `since`, in one line.
    pub(crate) fn faults(&self, since: usize) -> Option<String> {
        let more = (self.errors - since).checked_sub(1)?;
        let first = self.first_error.clone().unwrap_or_default();
        Some(match more {
            0 => first,
            1 => format!("{first} (and 1 more fault)"),
            more => format!("{first} (and {more} more faults)"),
        })
    }

    /// `file:line` of a byte.
    pub(crate) fn place(&self, at: u32) -> String {
        format!("{}:{}", self.file, self.lines.line(at))
    }

    /// Where bytes of a scalar's text stand in the file.
    pub(crate) fn inside(&self, node: &Node<'_>, range: Range<usize>) -> Span {
        match node.scalar() {
            Some(scalar) => locate(self.text, node.span, scalar, range),
            None => node.span,
        }
    }
}

impl Finding<'_, '_> {
    /// What to write instead.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(diagnostic) = &mut self.diagnostic {
            diagnostic.help = Some(help.into());
        }
        self
    }

    /// Why, or what else is concerned.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        if let Some(diagnostic) = &mut self.diagnostic {
            diagnostic.note = Some(note.into());
        }
        self
    }
}

impl Drop for Finding<'_, '_> {
    fn drop(&mut self) {
        self.report.diagnostics.extend(self.diagnostic.take());
    }
}
