//! Searches in bytes, eight at a time: for what JSON strings escape, and for what is not printable.
//!
//! Nothing here fails or panics, whatever it is given.

/// The offset of what follows the blanks at `at`, if any.
#[inline(always)]
pub(crate) fn after_blank(bytes: &[u8], mut at: usize) -> usize {
    // PERF: the API server sends no blanks; one comparison tells.
    while let Some(&byte @ ..=b' ') = bytes.get(at) {
        if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            break;
        }
        at += 1;
    }
    at
}

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The offset of the next quote, backslash or control character, or the end. DEL is a control
/// character too if `DEL` says so; in JSON it is none.
#[inline(always)]
pub(crate) fn special<const DEL: bool>(bytes: &[u8], mut at: usize) -> usize {
    // PERF: eight bytes at a time. Each term has the high bit of a byte set where the byte is
    // zero after the exclusive or (or below 0x20); the lowest such bit is exact.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let found = zero(word ^ (ONES * u64::from(b'"')))
            | zero(word ^ (ONES * u64::from(b'\\')))
            | (word.wrapping_sub(ONES * 0x20) & !word & HIGH)
            | if DEL { zero(word ^ (ONES * 0x7f)) } else { 0 };
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) || (DEL && *byte == 0x7f) {
            return at;
        }
        at += 1;
    }
    at
}

/// Whether a text is printable ASCII.
#[inline]
pub(crate) fn is_plain(text: &str) -> bool {
    // Where a byte is below a blank, or from DEL on, a high bit is set; where none is, no byte
    // borrows from its neighbour or carries into it, so that the whole is exact.
    let strange = |word: u64| word.wrapping_sub(ONES * 0x20) | word.wrapping_add(ONES) | word;
    let bytes = text.as_bytes();
    let (words, rest) = bytes.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | strange(u64::from_le_bytes(*word)));
    let last = match bytes.last_chunk::<8>() {
        // PERF: the last eight bytes overlap the ones before.
        Some(last) => strange(u64::from_le_bytes(*last)),
        None => rest.iter().fold(0, |found, byte| found | strange(ONES * u64::from(*byte))),
    };
    (found | last) & HIGH == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_printable_ascii() {
        for byte in 0..=0x7f_u8 {
            for (before, after) in [(0, 0), (3, 2), (7, 0), (0, 8), (8, 1), (20, 23)] {
                let around = |count| "~ a".chars().cycle().take(count);
                let text: String =
                    around(before).chain([char::from(byte)]).chain(around(after)).collect();
                assert_eq!(is_plain(&text), (b' '..0x7f).contains(&byte), "{text:?}");
            }
        }
        assert!(is_plain("") && !is_plain("é") && !is_plain("seven. é") && !is_plain("\u{80}"));
    }
}
