//! Tells strings from what is outside of them, row after row. Start at [`Strings::next`].

use fearless_simd::prelude::*;

use super::plain;
use super::row::{BLOCK, Lanes, Row, Words, any_in, bits, spans, word};

/// What strings leave to the next row.
pub(super) struct Strings<'b> {
    bytes: &'b [u8],
    /// 1 if its first byte is escaped.
    carried: u64,
    /// All bits if it starts in a string.
    in_string: u64,
    faulty: bool,
}

impl<'b> Strings<'b> {
    /// Before the first row of a text.
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, carried: 0, in_string: 0, faulty: false }
    }

    /// Takes the quotes that are escaped out of the row that starts at `start`, and looks at its
    /// other escapes.
    #[inline(always)]
    pub(super) fn escapes<S: Simd>(&mut self, simd: S, start: usize, row: &mut Row) {
        let lanes = |words: Words| Lanes::simd_from(simd, words);
        let (slashes, quotes) = (lanes(row.slashes), lanes(row.quotes));
        // PERF: most rows have no backslash.
        if any_in(simd, slashes) | self.carried == 0 {
            return;
        }
        let escaped = self.escaped(simd, slashes);
        row.quotes = (quotes & !escaped).into();
        let unusual = escaped & !(quotes | slashes);
        let words: Words = unusual.into();
        for lane in bits(any_in(simd, unusual)) {
            let start = start + lane * BLOCK;
            for bit in bits(word(&words, lane)) {
                self.faulty |= plain::escape(self.bytes, start + bit).is_err();
            }
        }
    }

    /// The bytes of a row that the backslashes before them escape.
    #[inline(always)]
    fn escaped<S: Simd>(&mut self, simd: S, slashes: Lanes<S>) -> Lanes<S> {
        // Of backslashes in a row the first escapes, and then each second one. Subtracting a row
        // from the odd places behind it borrows through it if it starts at an even one.
        let odd = Lanes::splat(simd, u64::MAX / 3 * 2);
        let codes = ((slashes << 1 | odd) - slashes) ^ odd;
        let escaped = codes ^ slashes;
        let carries = (codes & slashes).simd_ge(Lanes::splat(simd, 1 << 63)).to_bitmask();
        if carries | self.carried == 0 {
            return escaped;
        }
        // PERF: hardly any block ends with a backslash that escapes.
        let words = Words::from(slashes).map(|slashes| escaped_in(slashes, &mut self.carried));
        Lanes::simd_from(simd, words)
    }

    /// Finds `within`, and leaves of the tokens those outside of strings.
    #[inline(always)]
    pub(super) fn next<S: Simd>(&mut self, simd: S, row: &mut Row) {
        let lanes = |words: Words| Lanes::simd_from(simd, words);
        let quotes = lanes(row.quotes);
        let within = spans(simd, quotes, &mut self.in_string);
        let outside = !(within | quotes) & lanes(row.text);
        let (open, close) = (lanes(row.open), lanes(row.close));
        let (colon, comma) = (lanes(row.colon), lanes(row.comma));
        row.within = within.into();
        row.open = (open & outside).into();
        row.close = (close & outside).into();
        row.colon = (colon & outside).into();
        row.comma = (comma & outside).into();
        row.scalar = (outside & !(open | close | colon | comma)).into();
    }

    /// Whether all strings so far ended and had no wrong escape.
    pub(super) fn are_whole(&self) -> bool {
        self.in_string == 0 && !self.faulty
    }
}

/// The bytes of a block that the backslashes before them escape. `carried` is 1 if the first byte
/// is one, and then the same of the next block.
#[inline(always)]
fn escaped_in(slashes: u64, carried: &mut u64) -> u64 {
    const ODD: u64 = u64::MAX / 3 * 2;
    let starts = slashes & !*carried;
    let codes = ((starts << 1 | ODD).wrapping_sub(starts)) ^ ODD;
    let escaped = codes ^ (slashes | *carried);
    *carried = (codes & slashes) >> 63;
    escaped
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    use super::super::row::LANES;
    use super::*;

    /// Three blocks at random, each byte a backslash or not.
    fn rows() -> impl Strategy<Value = [u64; 3]> {
        let sparse = (any::<[u64; 3]>(), any::<[u64; 3]>());
        let dense = sparse.prop_map(|(a, b)| [a[0] | b[0], a[1] | b[1], a[2] | b[2]]);
        prop_oneof![any::<[u64; 3]>(), dense, Just([u64::MAX; 3]), Just([u64::MAX, 1, 0])]
    }

    proptest! {
        #[test]
        fn escapes_are_those_found_one_by_one(rows in rows()) {
            let (mut carried, mut escape) = (0, false);
            for slashes in rows {
                let mut plain = 0;
                for bit in 0..64 {
                    plain |= u64::from(escape) << bit;
                    escape = !escape && slashes >> bit & 1 == 1;
                }
                prop_assert_eq!(escaped_in(slashes, &mut carried), plain);
                prop_assert_eq!(carried, u64::from(escape));
            }
        }

        #[test]
        fn escapes_of_a_row_are_those_of_its_blocks(blocks in proptest::collection::vec(rows(), 8)) {
            let words = blocks.as_flattened().as_chunks::<LANES>().0;
            for level in [Level::new(), Level::baseline()] {
                let (mut strings, mut carried) = (Strings::new(b""), 0);
                for words in words {
                    let found = dispatch!(level, simd => {
                        Words::from(strings.escaped(simd, Lanes::simd_from(simd, *words)))
                    });
                    prop_assert_eq!(found, words.map(|word| escaped_in(word, &mut carried)));
                    prop_assert_eq!(strings.carried, carried);
                }
            }
        }
    }
}
