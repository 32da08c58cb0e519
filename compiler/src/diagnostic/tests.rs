//! How findings are shown.

use super::*;
use crate::yaml::Lines;

fn finding(text: &str, span: Range<usize>, message: &str) -> Diagnostic {
    let lines = Lines::new(text);
    Diagnostic {
        code: codes::UNKNOWN_ACTION,
        file: "policy.yaml".into(),
        start: lines.position(span.start as u32),
        end: lines.position(span.end as u32),
        span,
        field_path: "spec.rules[0].action".to_owned(),
        message: message.to_owned(),
        help: Some("expected one of `Allow`, `Reject`".to_owned()),
        note: None,
    }
}

#[test]
fn a_finding_shows_place_line_and_help() {
    let text = "spec:\n  rules:\n  - action: Alow # c\n";
    let found = finding(text, 27..31, "unknown action `Alow`");
    assert_eq!(
        found.render(text, Style::Plain),
        "error[CAP017]: spec.rules[0].action: unknown action `Alow`\n \
         --> policy.yaml:3:13\n  |\n\
         3 |   - action: Alow # c\n  |             ^^^^\n  |\n  \
         = help: expected one of `Allow`, `Reject`\n"
    );
    assert_eq!(
        found.to_string(),
        "policy.yaml:3:13: error[CAP017]: spec.rules[0].action: unknown action `Alow`; \
         expected one of `Allow`, `Reject`"
    );
    assert_eq!(found.to_json()["endColumn"], 17);
    assert!(found.render(text, Style::Coloured).contains("\x1b["));
}

#[test]
fn huge_lines_are_cut_and_control_characters_written_out() {
    let text = format!("{}\x1b[31mAlow\u{202e}{}", "x".repeat(5 << 20), "y".repeat(5 << 20));
    let at = text.find("Alow").expect("there");
    let shown = finding(&text, at..at + 4, "unknown \x1b[31m").render(&text, Style::Plain);
    assert!(shown.len() < 1_000, "{}", shown.len());
    assert!(!shown.contains(['\x1b', '\u{202e}']), "{shown}");
    let carets = shown.lines().find(|line| line.contains("^^^^")).expect("carets");
    let source = shown.lines().find(|line| line.contains("xxAlow") || line.contains("mAlow"));
    let source = source.expect("source");
    assert_eq!(carets.find('^'), source.find("Alow").map(|at| source[..at].chars().count()));
}

#[test]
fn any_span_is_shown() {
    let text = "é\tb\r\nc\u{2028}d\n\n";
    for start in 0..=text.len() + 2 {
        for end in 0..=text.len() + 2 {
            let mut found = finding("x", 0..1, "m");
            found.span = start..end;
            assert!(found.render(text, Style::Plain).contains("CAP017"));
        }
    }
}

#[test]
fn codes_are_unique_and_in_order() {
    for pair in codes::ALL.windows(2) {
        assert!(pair[0].id < pair[1].id, "{} {}", pair[0].id, pair[1].id);
    }
    for code in codes::ALL {
        let warning = code.severity == Severity::Warning;
        assert_eq!(code.id.starts_with("CAP1"), warning, "{}", code.id);
    }
    assert_eq!(Code::find("cap017"), Some(codes::UNKNOWN_ACTION));
}
