//! A finding as a terminal shows it.
//!
//! The renderer is given one line, cut around the fault: policies in JSON are one line of
//! megabytes, and a reader wants to see the place, not the file.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Severity, escape};

/// With colours, or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// ASCII without escape sequences.
    Plain,
    /// With ANSI colours.
    Coloured,
}

/// How many characters of the line stand before the fault, at most.
const BEFORE_MAX: usize = 90;
/// How many characters of the fault and of what follows it are shown, at most.
const AFTER_MAX: usize = 90;

pub(super) fn render(diagnostic: &Diagnostic, text: &str, style: Style) -> String {
    let Diagnostic { code, file, span, start, help, note, .. } = diagnostic;
    let level = match code.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let fact = diagnostic.fact();
    let line = Shown::of(text, span.start, span.end);
    let mut group = Group::with_title(level.primary_title(&*fact).id(code.id)).element(
        Snippet::source(line.text)
            .line_start(start.line as usize)
            .fold(false)
            .annotation(AnnotationKind::Primary.span(line.from..line.to)),
    );
    if let Some(help) = help {
        group = group.element(Level::HELP.message(escape(help).into_owned()));
    }
    if let Some(note) = note {
        group = group.element(Level::NOTE.message(escape(note).into_owned()));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let shown = renderer.decor_style(DecorStyle::Ascii).term_width(200).render(&[group]);
    // The renderer counts columns in the line it is given, which may be cut: the place is ours.
    let arrow = match style {
        Style::Plain => "-->".to_owned(),
        Style::Coloured => "\x1b[1m\x1b[94m-->\x1b[0m".to_owned(),
    };
    let gutter = " ".repeat(start.line.to_string().len());
    let place = format!("{gutter}{arrow} {}:{}:{}", escape(file), start.line, start.column);
    match shown.split_once('\n') {
        Some((title, rest)) => format!("{title}\n{place}\n{rest}\n"),
        None => format!("{shown}\n{place}\n"),
    }
}

/// The line of a fault, escaped and cut, and where in it the fault is.
struct Shown {
    text: String,
    from: usize,
    to: usize,
}

impl Shown {
    fn of(text: &str, start: usize, end: usize) -> Self {
        let start = floor(text, start);
        let end = floor(text, end).max(start);
        let is_break = |char: char| matches!(char, '\n' | '\r');
        let before = &text[..start];
        let before = &before[before.rfind(is_break).map_or(0, |at| at + 1)..];
        let marked = &text[start..end];
        let marked = &marked[..marked.find(is_break).unwrap_or(marked.len())];
        let after = &text[start + marked.len()..];
        let after = &after[..after.find(is_break).unwrap_or(after.len())];

        let cut = before.char_indices().rev().nth(BEFORE_MAX).map_or(0, |(at, _)| at);
        let mut shown = Self { text: String::new(), from: 0, to: 0 };
        if cut > 0 {
            shown.text.push('…');
        }
        shown.push(&before[cut..]);
        shown.from = shown.text.len();
        let marked_whole = shown.push_max(marked);
        shown.to = shown.text.len();
        if marked_whole {
            shown.push_max(after);
        }
        shown
    }

    fn push(&mut self, text: &str) {
        // Tabs are widened by the renderer, which keeps the caret in its place.
        for (at, part) in text.split('\t').enumerate() {
            if at > 0 {
                self.text.push('\t');
            }
            self.text.push_str(&escape(part));
        }
    }

    /// Whether all of it was short enough.
    fn push_max(&mut self, text: &str) -> bool {
        match text.char_indices().nth(AFTER_MAX) {
            Some((at, _)) => {
                self.push(&text[..at]);
                self.text.push('…');
                false
            }
            None => {
                self.push(text);
                true
            }
        }
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
