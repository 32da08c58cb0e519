//! Searches in the bytes of JSON text, many at a time.
//!
//! None of them checks anything: that is `json`'s. All of them end, whatever they are given.

/// The offset of what follows the blanks at `at`, if any.
#[inline(always)]
pub(super) fn after_blank(bytes: &[u8], mut at: usize) -> usize {
    // PERF: the API server sends no blanks; one comparison tells.
    while let Some(&byte @ ..=b' ') = bytes.get(at) {
        if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            break;
        }
        at += 1;
    }
    at
}

/// The offset of the next quote, backslash or control character, or the end. DEL is a control
/// character too if `DEL` says so; in JSON it is none.
#[inline(always)]
pub(super) fn special<const DEL: bool>(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
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
