//! What to write instead: one sentence for each way a pattern goes wrong.
//!
//! Whatever of the pattern is repeated here is safe to show in a terminal.

use crate::caret::shorten;

pub(super) fn missing_argument(operator: &str, pattern: &str) -> String {
    if pattern.trim_end_matches('?') == "*" {
        return "write `.*` for any text, or leave imagePath out to match every image".to_owned();
    }
    if pattern.starts_with("*.") || pattern.starts_with("*/") {
        return "patterns are regular expressions, not globs: write `.*` for any text and `\\.` for a \
                dot"
            .to_owned();
    }
    match operator.chars().next() {
        Some('*') => {
            "write what repeats before it: `.*` is any text, `\\*` is an asterisk".to_owned()
        }
        Some(c) => format!(
            "write what repeats before it: `a{operator}`, or `\\{c}` for the character itself"
        ),
        None => "write what repeats before it".to_owned(),
    }
}

pub(super) fn nested(operators: &str) -> String {
    if operators.ends_with('+') && operators.len() == 2 {
        return "there are no possessive repetitions in this dialect; leave out the second operator"
            .to_owned();
    }
    "one repetition is enough; to repeat a repetition, group it: `(?:a*)*`".to_owned()
}

pub(super) fn repeat_count(min: u64, max: Option<u64>) -> String {
    if max.is_some_and(|max| max < min) && min <= 1_000 {
        return "write the smaller count first: `{2,5}`".to_owned();
    }
    "a thing repeats at most 1,000 times; write `*` or `+` for no upper limit".to_owned()
}

pub(super) fn repeat_product() -> String {
    "nested repetitions, multiplied, make at most 1,000 copies of a thing; write `*` or `+` for no \
     upper limit"
        .to_owned()
}

pub(super) fn missing_paren() -> String {
    "close this group with `)`, or write `\\(` for the character".to_owned()
}

pub(super) fn unexpected_paren() -> String {
    "no group is open here; write `\\)` for the character".to_owned()
}

pub(super) fn too_big() -> String {
    "a pattern has its limits on nesting (1,000) and size; split it into several values".to_owned()
}

pub(super) fn missing_bracket(class: &str) -> String {
    if class.starts_with("[]") || class.starts_with("[^]") {
        return "a `]` right after the opening is a member of the class; there is no empty class: \
                write `\\[\\]` for the two characters"
            .to_owned();
    }
    "close this class with `]`, or write `\\[` for the character".to_owned()
}

pub(super) fn reversed_range(range: &str) -> String {
    let mut help = "write the lower end first".to_owned();
    if range.contains("--") {
        help.push_str("; there is no set difference in this dialect, and a `-` goes last: `[a-]`");
    } else if range.len() == 3 && range.bytes().all(|byte| byte.is_ascii_graphic()) {
        let (low, high) = (&range[2..], &range[..1]);
        help.push_str(&format!(": `{low}-{high}`, or put the `-` last for the character"));
    }
    help
}

pub(super) fn posix_class(name: &str) -> String {
    let known = "alnum, alpha, ascii, blank, cntrl, digit, graph, lower, print, punct, space, \
                 upper, word, xdigit";
    let lower = name.to_ascii_lowercase();
    if known.split(", ").any(|known| known == lower) && lower != name {
        return format!("write `[:{lower}:]`");
    }
    format!("the named classes are {known}")
}

pub(super) fn property(name: &str) -> String {
    let plain = name.trim_start_matches("Is").trim_start_matches("In");
    let short = plain.split(['=', ':']).next_back().unwrap_or(plain);
    if !short.is_empty() && short != name && super::unicode::named(short).is_some() {
        return format!("write `\\p{{{short}}}`");
    }
    if let Some(class) = super::unicode::script_class(name) {
        return format!(
            "names of several words are not found in this dialect; write the ranges: `{class}`"
        );
    }
    "name a general category or a script: `\\pL`, `\\p{Lu}`, `\\p{Greek}`".to_owned()
}

pub(super) fn escape(text: &str) -> String {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('Z') => "write `$` or `\\z` for the end of the text".to_owned(),
        Some('G') => "write `^` for the beginning of the text".to_owned(),
        Some('u' | 'U') => "write the code point in hexadecimal: `\\x{41}`".to_owned(),
        Some('x') => {
            "write two hexadecimal digits, `\\x41`, or up to 10FFFF in braces, `\\x{41}`".to_owned()
        }
        Some('1'..='9') => {
            "there are no back references in this dialect; write the text again".to_owned()
        }
        Some('k' | 'g') => {
            "there are no references to groups in this dialect; write the text again".to_owned()
        }
        Some('K') => {
            "leave it out: only whether there is a match counts, not where it begins".to_owned()
        }
        Some('C') => {
            "single bytes do not match in this dialect; write `.` for one character".to_owned()
        }
        Some('X' | 'N') => "write `.` for one character".to_owned(),
        Some('R') => "write `\\n` for a newline".to_owned(),
        Some('h') => "write `[ \\t]` for blanks".to_owned(),
        Some('e') => "write `\\x1b` for the escape character".to_owned(),
        Some('c') => "write the control character in hexadecimal: `\\x01`".to_owned(),
        Some('b' | 'B' | 'A' | 'z') => {
            "positions have no place in a class; write them outside the brackets".to_owned()
        }
        Some('E') => "there is no `\\Q` before it; write `E` for the letter".to_owned(),
        Some('Q') => "quoting has no place in a class; escape the characters one by one".to_owned(),
        Some(c) if c.is_ascii() => {
            format!("it has no meaning; write `{c}` for the character itself")
        }
        Some(c) => format!("write `{}` without the backslash", shorten(&c.to_string())),
        None => "write `\\\\` for a backslash".to_owned(),
    }
}

pub(super) fn named_capture(text: &str) -> String {
    if text.starts_with("(?<=") || text.starts_with("(?<!") {
        return look_around();
    }
    "a name is letters, digits and `_` between `<` and `>`; names are of no use here: write `(...)`"
        .to_owned()
}

pub(super) fn perl(text: &str) -> String {
    match text.as_bytes().get(2) {
        Some(b'=' | b'!') => look_around(),
        Some(b'>') => "there are no atomic groups in this dialect; write `(?:...)`".to_owned(),
        Some(b'#') => "there are no comments in this dialect; leave it out".to_owned(),
        Some(b'P' | b'\'' | b'<') => {
            "write `(?P<name>...)` or, since names are of no use here, `(...)`".to_owned()
        }
        Some(b'|') => "write `(?:...)`".to_owned(),
        _ => {
            "the flags are `i`, `m`, `s` and `U`: `(?i)` or `(?i:...)`; write `(?:...)` for a group"
                .to_owned()
        }
    }
}

fn look_around() -> String {
    "there is no look-around in this dialect; write a rule of its own for what to leave out, with \
     the operator IsNoneOf, or before this one"
        .to_owned()
}
