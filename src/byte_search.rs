//! Searches in bytes, many at a time: for what JSON strings escape, and for what is not printable.
//!
//! Nothing here fails or panics, whatever it is given.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x16};

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

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// The offset of the next quote, backslash or control character, or the end. DEL is a control
/// character too if `DEL` says so; in JSON it is none.
#[inline(always)]
pub(crate) fn special<const DEL: bool>(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = specials::<DEL>(block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    // PERF: the last block overlaps the one before.
    if let (Some(last), true) = (bytes.last_chunk(), at < bytes.len()) {
        let found = specials::<DEL>(last) >> (at + BLOCK - bytes.len());
        return if found == 0 { bytes.len() } else { at + found.trailing_zeros() as usize };
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) || (DEL && *byte == 0x7f) {
            return at;
        }
        at += 1;
    }
    at
}

/// The bits of the special bytes of a block.
// PERF: the vector instructions that every processor of its kind has, so that these few can stand
// wherever they are used; `Level::new` would take a call.
#[inline(always)]
fn specials<const DEL: bool>(block: &[u8; BLOCK]) -> u64 {
    dispatch!(Level::baseline(), simd => {
        let block = u8x16::simd_from(simd, *block);
        let is = |byte| block.simd_eq(u8x16::splat(simd, byte));
        let found = is(b'"') | is(b'\\') | block.simd_lt(u8x16::splat(simd, b' '));
        (if DEL { found | is(0x7f) } else { found }).to_bitmask()
    })
}

/// Whether a text is printable ASCII.
#[inline]
pub(crate) fn is_plain(text: &str) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
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
