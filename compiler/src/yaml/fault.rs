//! The sentences of the reader's faults.

use granit_parser::{ErrorKind, Tag};

use super::{Fault, FaultKind, Limits, Span};

pub(super) fn bad_tag(tag: &Tag, span: Span) -> Fault {
    Fault {
        kind: FaultKind::Unsupported,
        span,
        message: format!("the tag `{}` has no meaning in Kubernetes", clip(&tag.original())),
        help: Some("remove it".to_owned()),
    }
}

pub(super) fn over(span: Span, message: String, help: &str) -> Fault {
    Fault { kind: FaultKind::Limit, span, message, help: Some(help.to_owned()) }
}

/// User text in a message, cut where it is too long to help.
pub(super) fn clip(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

pub(super) fn syntax_help(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => "indent with spaces",
        ErrorKind::UnknownAnchor => {
            "a value that starts with `*` stands for an anchor; put quotes around it"
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            "close the quotation mark"
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence => "close the bracket",
        ErrorKind::UnknownQuotedScalarEscape => {
            "in double quotes `\\` starts an escape; write `\\\\`, or use single quotes"
        }
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            "remove it; in double quotes it can be written as an escape, such as `\\x7f`"
        }
        ErrorKind::UnexpectedCharacter { .. } => "put quotes around the value",
        ErrorKind::ExpectedDocumentStart => {
            "a document ends here; put `---` on a line of its own before the next one"
        }
        ErrorKind::InvalidIndentation | ErrorKind::InvalidSimpleKey => "check the indentation",
        _ => return None,
    })
}

/// Lists and mappings nest too deep.
pub(super) fn too_deep(limits: &Limits, span: Span) -> Fault {
    over(
        span,
        format!("lists and mappings nest deeper than {} levels, the limit", limits.depth_max),
        "check the brackets and the indentation",
    )
}

/// A key that is given before.
pub(super) fn duplicate(key: &str, span: Span) -> Fault {
    Fault {
        kind: FaultKind::DuplicateKey,
        span,
        message: format!("the key `{}` is given twice", clip(key)),
        help: Some("remove one of the two".to_owned()),
    }
}
