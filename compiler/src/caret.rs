//! A fault in a short text, selector or pattern, as a person reads it: the line, a caret, help.
//!
//! Policies have reports of their own (`diagnostic`). Start at [`report`].

use std::fmt::Write;
use std::ops::Range;

use unicode_width::UnicodeWidthChar;

/// How many columns of a line a report shows; the rest is cut around the fault.
const SHOWN_COLUMNS_MAX: usize = 100;

/// `place`, line and column, what is wrong, the line with a caret, and help. It ends without a
/// newline. The text is escaped, so it cannot steer a terminal; `message` and `help` are not.
pub(crate) fn report(
    place: &str,
    text: &str,
    span: &Range<usize>,
    message: &str,
    help: Option<&str>,
) -> String {
    let start = floor_boundary(text, span.start);
    let end = floor_boundary(text, span.end).max(start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line_number = text[..line_start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;

    let before = tail_columns(&text[line_start..start], SHOWN_COLUMNS_MAX / 2);
    let (marked, marks) = head_columns(&text[start..end.min(line_end)], SHOWN_COLUMNS_MAX / 4);
    let rest = &text[end.min(line_end)..line_end];
    let (after, _) = head_columns(rest, SHOWN_COLUMNS_MAX / 4);

    let mut report = format!("{place}:{line_number}:{column}: {}", message);
    let _ = write!(report, "\n  {before}{marked}{after}");
    let _ = write!(report, "\n  {}{}", " ".repeat(columns(&before)), "^".repeat(marks.max(1)));
    if let Some(help) = help {
        let _ = write!(report, "\n  help: {help}");
    }
    report
}

/// A word of the user's in a message: escaped, and cut if it is long.
pub(crate) fn shorten(text: &str) -> String {
    let (head, _) = head_columns(text, 40);
    head
}

/// A character as it is shown: itself, or its escape if it would not show or would steer.
fn shown(character: char) -> String {
    let hidden = character.is_control()
        || (character.is_whitespace() && character != ' ')
        || character.width().is_none_or(|width| width == 0)
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if hidden { character.escape_default().to_string() } else { character.to_string() }
}

fn columns(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width).sum()
}

/// The first columns of a text, escaped, and how many they are; `…` stands for what is cut.
fn head_columns(text: &str, columns_max: usize) -> (String, usize) {
    let (mut head, mut taken) = (String::new(), 0);
    for character in text.chars() {
        if taken >= columns_max {
            head.push('…');
            return (head, taken + 1);
        }
        let piece = shown(character);
        taken += columns(&piece);
        head.push_str(&piece);
    }
    (head, taken)
}

fn tail_columns(text: &str, columns_max: usize) -> String {
    let (mut pieces, mut taken) = (Vec::new(), 0);
    for character in text.chars().rev() {
        if taken >= columns_max {
            pieces.push("…".to_owned());
            break;
        }
        let piece = shown(character);
        taken += columns(&piece);
        pieces.push(piece);
    }
    pieces.reverse();
    pieces.concat()
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
