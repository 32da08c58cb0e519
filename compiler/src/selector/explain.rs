//! Says in a person's words why the grammar refused a text, and what to write instead.
//!
//! The parser gives the farthest place it reached and the tokens it could have taken there; that
//! place is the answer, and everything here is wording. It never decides what is accepted.
//! Start at [`explain`].

use pest::error::{Error, ErrorVariant, InputLocation};

use super::parse::Rule;
use super::report::{SelectorError, shorten};

/// The operators, as help lists them.
const OPERATORS: &str = "`==`, `!=`, `in`, `not in`, `contains`, `starts with`, `ends with`";

/// The words that operators are made of; the empty one stands between two spaces.
const OPERATOR_WORDS: [&str; 9] =
    ["", "not", "notin", "in", "starts", "startswith", "ends", "endswith", "with"];

/// For `'it's'` and `'\''`.
const QUOTE_IN_VALUE: &str = "the value ended at the quote before; there are no escapes, so a \
                              value that holds one kind of quote is written between the other";

/// What could have stood at the place of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// A comparison, a function, `!` or `(`.
    Operand,
    /// An operator, after a label.
    Operator,
    /// A quoted value.
    Value,
    /// `{`.
    Set,
    /// A quoted value or `}`.
    Member,
    /// `,` or `}`.
    MemberEnd,
    /// The label inside `has(`.
    Key,
    /// `)` after `has(a`, `all(` or `global(`.
    FunctionEnd,
    /// `&&`, `||`, and `)` or the end of the text.
    Next,
}

/// Words for an error of the grammar.
pub(super) fn explain(text: &str, error: &Error<Rule>) -> SelectorError {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at.min(text.len()),
    };
    let rules: &[Rule] = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        // Only the parser's own guards end here: a thread with next to no stack.
        ErrorVariant::CustomError { message } => {
            return SelectorError {
                span: at..at,
                message: format!("the selector cannot be read: {message}"),
                help: Some("write fewer parentheses inside each other".into()),
            };
        }
    };
    let place = Place::new(text, at);
    let (message, help) = match wanted(rules) {
        Wanted::Operand => operand(&place),
        Wanted::Operator => operator(&place),
        Wanted::Value => value(&place),
        Wanted::Set => set(&place),
        Wanted::Member => member(&place),
        Wanted::MemberEnd => member_end(&place),
        Wanted::Key => key(&place),
        Wanted::FunctionEnd => function_end(&place, rules),
        Wanted::Next => next(&place, rules),
    };
    let help = place.bad_byte_help().or(help);
    SelectorError { span: at..at + place.found.len(), message, help }
}

fn wanted(rules: &[Rule]) -> Wanted {
    let has = |rule: Rule| rules.contains(&rule);
    if has(Rule::set_close) {
        if has(Rule::string) { Wanted::Member } else { Wanted::MemberEnd }
    } else if has(Rule::string) {
        Wanted::Value
    } else if has(Rule::set_open) {
        Wanted::Set
    } else if has(Rule::eq) {
        Wanted::Operator
    } else if has(Rule::has_close) || has(Rule::all_close) || has(Rule::global_close) {
        Wanted::FunctionEnd
    } else if has(Rule::and_sign) || has(Rule::or_sign) || rules == [Rule::EOI] {
        Wanted::Next
    } else if rules == [Rule::label] {
        Wanted::Key
    } else {
        Wanted::Operand
    }
}

/// The text around an error.
struct Place<'t> {
    /// Everything before the error, without trailing spaces and tabs.
    before: &'t str,
    /// The label-like word that `before` ends with; may be empty.
    word_before: &'t str,
    /// A quote stands directly before the error.
    touches_quote: bool,
    /// What stands at the error: a word, or one character; empty at the end of the text.
    found: &'t str,
    /// Everything from the error on.
    rest: &'t str,
}

impl<'t> Place<'t> {
    fn new(text: &'t str, at: usize) -> Self {
        let (before, rest) = text.split_at(at);
        let touches_quote = before.ends_with(['"', '\'']) && rest.starts_with(is_label_char);
        let before = before.trim_end_matches([' ', '\t']);
        let start = before
            .rfind(|c: char| !is_label_char(c))
            .map_or(0, |last| last + before[last..].chars().next().map_or(1, char::len_utf8));
        let word_end = rest.find(|c: char| !is_label_char(c)).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(0, char::len_utf8);
        Self {
            before,
            word_before: &before[start..],
            touches_quote,
            found: &rest[..word_end.max(first)],
            rest,
        }
    }

    /// How a message names what was found.
    fn found_name(&self) -> String {
        match self.found {
            "" => "the end of the text".to_owned(),
            "\n" => "a line break".to_owned(),
            "`" => "a backtick".to_owned(),
            found => format!("`{}`", shorten(found)),
        }
    }

    /// Help for a character that no selector holds outside quotes, whatever was wanted.
    fn bad_byte_help(&self) -> Option<String> {
        let found = self.found.chars().next()?;
        Some(match found {
            '\n' | '\r' => "a selector is one line: remove the line break; only spaces and tabs \
                            separate words"
                .into(),
            '“' | '”' | '‘' | '’' | '„' | '`' => {
                "use straight quotes: `\"` or `'`".into()
            }
            _ if found.is_whitespace() && !matches!(found, ' ' | '\t') => {
                format!("this is the white space U+{:04X}; use an ordinary space", u32::from(found))
            }
            _ if !found.is_ascii() => "outside quotes a selector is ASCII; a label has letters, \
                                       digits, `_`, `.`, `/` and `-`"
                .into(),
            _ => return None,
        })
    }

    /// The closing quote is missing for the string that starts at the error.
    fn unterminated(&self) -> Option<(String, Option<String>)> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let other = if quote == '"' { '\'' } else { '"' };
        let closed = self.rest[1..].contains(quote);
        (!closed).then(|| {
            (
                format!("the quote `{quote}` is never closed"),
                Some(format!(
                    "end the value with `{quote}`; there are no escapes, so a value that holds \
                     `{quote}` is written between `{other}`"
                )),
            )
        })
    }

    /// The found word, if it is one, as a value with quotes.
    fn found_quoted(&self) -> Option<String> {
        let is_word = self.found.starts_with(is_label_char);
        is_word.then(|| format!("\"{}\"", shorten(self.found)))
    }
}

fn operand(place: &Place<'_>) -> (String, Option<String>) {
    if let Some(unterminated) = place.unterminated() {
        return unterminated;
    }
    let after = if place.before.is_empty() {
        "at the start".to_owned()
    } else {
        let sign_start = place.before.len().saturating_sub(2);
        let sign = place.before.get(sign_start..).filter(|sign| matches!(*sign, "&&" | "||"));
        let last = place.before.chars().next_back().map_or(String::new(), String::from);
        format!("after `{}`", shorten(sign.unwrap_or(&last)))
    };
    let help = match place.found.chars().next() {
        Some('"' | '\'') => {
            "a comparison starts with a label, written without quotes: \
                             `env == \"prod\"`"
        }
        Some(')') if place.before.ends_with('(') => {
            "empty parentheses mean nothing; write `all()` for everything"
        }
        Some('$' | '[' | '@' | '*' | '\\' | ':' | '%') => {
            "a label has letters, digits, `_`, `.`, `/` and `-`, and nothing around it"
        }
        Some('&' | '|') => "remove the operator, or write what it joins on both sides",
        _ => {
            "write a comparison such as `env == \"prod\"`, or `has(label)`, `all()`, `!...`, `(...)`"
        }
    };
    (format!("expected a comparison {after}, found {}", place.found_name()), Some(help.into()))
}

fn operator(place: &Place<'_>) -> (String, Option<String>) {
    let label = shorten(place.word_before);
    let message =
        format!("expected an operator after the label `{label}`, found {}", place.found_name());
    let lower = place.found.to_ascii_lowercase();
    let help = match (place.found.chars().next(), lower.as_str()) {
        (None | Some(')' | '&' | '|'), _) => {
            format!(
                "write `has({label})` to ask for the label, or compare it: `{label} == \"value\"`"
            )
        }
        (Some('('), _) => match label.to_ascii_lowercase().as_str() {
            function @ ("has" | "all" | "global") => {
                let inside = if function == "has" { "label" } else { "" };
                format!(
                    "did you mean `{function}({inside})`? in lower case, with no space before `(`"
                )
            }
            _ => "the only functions are `has(label)`, `all()` and `global()`".into(),
        },
        (Some('='), _) if place.rest.starts_with("=!") => "did you mean `!=`?".into(),
        (Some('='), _) => "did you mean `==`?".into(),
        (Some('!' | '<'), _) => "did you mean `!=`? it has no space inside".into(),
        (Some(':'), _) => format!(
            "did you mean `{label} == \"value\"`? a label has letters, digits, `_`, `.`, `/` and `-`"
        ),
        (Some('{'), _) => format!("did you mean `{label} in {{...}}`?"),
        (Some('"' | '\''), _) => format!("did you mean `{label} == ...`?"),
        (_, "and") | (_, "or") => {
            format!("write `has({label})` to ask for the label, or compare it first")
        }
        (_, "is" | "eq" | "equals") => "did you mean `==`?".into(),
        (_, "ne") => "did you mean `!=`?".into(),
        (_, "notin") | (_, "not") => not_in_help(place),
        (_, "starts" | "startswith" | "ends" | "endswith") if lower != place.found => {
            let word = lower.trim_end_matches("with");
            format!("did you mean `{word} with`? operators are in lower case")
        }
        (_, "in" | "contains") if lower != place.found => {
            format!("did you mean `{lower}`? operators are in lower case")
        }
        (_, "starts" | "startswith" | "ends" | "endswith") => {
            format!(
                "did you mean `{} with {}`? the value needs quotes",
                lower.trim_end_matches("with"),
                operand_quoted(place.rest)
            )
        }
        (_, "has" | "exists") => format!("did you mean `has({label})`?"),
        _ => format!("expected one of {OPERATORS}"),
    };
    (message, Some(help))
}

/// The word after the words of an operator, as a value with quotes, whatever brackets it has now.
fn operand_quoted(text: &str) -> String {
    let word = text
        .split([' ', '\t'])
        .map(|word| word.trim_matches(|c| !is_label_char(c)))
        .find(|word| !OPERATOR_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)))
        .unwrap_or("value");
    format!("\"{}\"", shorten(word))
}

/// `a not in b`, `a not 'b'`, `a NOT IN {...}`.
fn not_in_help(place: &Place<'_>) -> String {
    let blank = |c: char| c == ' ' || c == '\t';
    let mut words = place.rest.split(blank).filter(|word| !word.is_empty()).skip(1);
    if !place.found.eq_ignore_ascii_case("notin") {
        match words.next().filter(|word| word.eq_ignore_ascii_case("in")) {
            None => return "did you mean `!=`, or `not in {\"value\"}`?".into(),
            Some(word) if place.found != "not" || word != "in" => {
                return "did you mean `not in`? operators are in lower case".into();
            }
            Some(_) => {}
        }
    }
    format!("did you mean `not in {{{}}}`?", operand_quoted(place.rest))
}

fn value(place: &Place<'_>) -> (String, Option<String>) {
    if let Some(unterminated) = place.unterminated() {
        return unterminated;
    }
    let message = format!("expected a value in quotes, found {}", place.found_name());
    let help = match place.found.chars().next() {
        Some('=') => "did you mean `==`?".into(),
        Some('{') => "a set follows `in` or `not in`: `env in {\"prod\", \"stage\"}`".into(),
        _ => match place.found_quoted() {
            Some(quoted) => format!("did you mean `{quoted}`? a value needs quotes"),
            None => "write a value such as `\"prod\"`".into(),
        },
    };
    (message, Some(help))
}

fn set(place: &Place<'_>) -> (String, Option<String>) {
    if let Some(unterminated) = place.unterminated() {
        return unterminated;
    }
    let message = format!("expected `{{` and a set of values, found {}", place.found_name());
    let help = match place.found.chars().next() {
        Some('(') => "a set is written in braces: `in {\"prod\", \"stage\"}`".into(),
        Some(quote @ ('"' | '\'')) => {
            let value = place.rest[1..].split(quote).next().unwrap_or_default();
            format!("did you mean `{{{quote}{}{quote}}}`?", shorten(value))
        }
        _ => match place.found_quoted() {
            Some(quoted) => format!("did you mean `{{{quoted}}}`?"),
            None => "write a set such as `{\"prod\", \"stage\"}`".into(),
        },
    };
    (message, Some(help))
}

fn member(place: &Place<'_>) -> (String, Option<String>) {
    if let Some(unterminated) = place.unterminated() {
        return unterminated;
    }
    let message = format!("expected a value in quotes or `}}`, found {}", place.found_name());
    let help = match place.found.chars().next() {
        Some(',') => "remove this comma; only one may follow a value".into(),
        _ => match place.found_quoted() {
            Some(quoted) => format!("did you mean `{quoted}`? a value needs quotes"),
            None => "write a set such as `{\"prod\", \"stage\"}`".into(),
        },
    };
    (message, Some(help))
}

fn member_end(place: &Place<'_>) -> (String, Option<String>) {
    let message = format!("expected `,` or `}}`, found {}", place.found_name());
    let help = match place.found.chars().next() {
        Some('"' | '\'') => "separate values with a comma: `{\"prod\", \"stage\"}`",
        None => "close the set with `}`",
        _ => "write a set such as `{\"prod\", \"stage\"}`",
    };
    (message, Some(help.into()))
}

fn key(place: &Place<'_>) -> (String, Option<String>) {
    let message = format!("expected a label inside `has(...)`, found {}", place.found_name());
    let help = match place.found.chars().next() {
        Some('"' | '\'') => "write the label without quotes: `has(team)`",
        _ => "write the label to look for: `has(team)`",
    };
    (message, Some(help.into()))
}

fn function_end(place: &Place<'_>, rules: &[Rule]) -> (String, Option<String>) {
    let message = format!("expected `)`, found {}", place.found_name());
    let help = if place.found.is_empty() {
        "close the parenthesis with `)`"
    } else if rules.contains(&Rule::has_close) {
        "`has(...)` takes one label"
    } else if rules.contains(&Rule::all_close) {
        "`all()` takes nothing"
    } else {
        "`global()` takes nothing"
    };
    (message, Some(help.into()))
}

fn next(place: &Place<'_>, rules: &[Rule]) -> (String, Option<String>) {
    let in_group = rules.contains(&Rule::close);
    let end = if in_group { "`)`" } else { "the end" };
    let message = format!("expected `&&`, `||` or {end}, found {}", place.found_name());
    let help = match (place.found.chars().next(), place.found.to_ascii_lowercase().as_str()) {
        (_, "and") => "did you mean `&&`?",
        (_, "or") => "did you mean `||`?",
        (Some('&'), _) => "did you mean `&&`?",
        (Some('|'), _) => "did you mean `||`?",
        (Some(','), _) => "join comparisons with `&&` (both) or `||` (either)",
        (Some(';'), _) => "remove it; nothing ends a selector",
        (Some('=' | '!'), _) => "one comparison has one operator; join several with `&&` or `||`",
        (Some(')'), _) => "no `(` is open here; remove it",
        (Some('"' | '\''), _) => QUOTE_IN_VALUE,
        // The quote and the word touch: `'it's'`.
        (Some(_), _) if place.touches_quote => QUOTE_IN_VALUE,
        (None, _) if in_group => "close the parenthesis with `)`",
        _ => "join comparisons with `&&` (both) or `||` (either)",
    };
    (message, Some(help.into()))
}

fn is_label_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '/' | '-')
}
