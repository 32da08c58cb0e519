//! Escapes of JSON strings, resolved into the arena. Start at [`unescape`].

use bumpalo::Bump;

/// Unescapes into the arena. An unescaped string is never longer than its escaped form.
pub(super) fn unescape<'a>(raw: &str, arena: &'a Bump) -> &'a str {
    let mut text = bumpalo::collections::String::with_capacity_in(raw.len(), arena);
    let mut rest = raw;
    while let Some(slash) = rest.find('\\') {
        let (before, escape) = rest.split_at(slash);
        text.push_str(before);
        let code = escape.as_bytes().get(1).copied().unwrap_or(b'\\');
        let (character, length) = match code {
            b'u' => unicode(escape),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            other => (char::from(other), 2),
        };
        text.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    text.into_bump_str()
}

/// Reads an escape of four digits, and the second half of a surrogate pair: the character and its
/// length here.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let lone = (char::REPLACEMENT_CHARACTER, 6);
    match (unit(0), unit(6)) {
        (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        (Some(code), _) => char::from_u32(code).map_or(lone, |character| (character, 6)),
        (None, _) => lone,
    }
}
