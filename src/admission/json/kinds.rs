//! Where bytes of each kind stand in a row, inside of strings or not. Start at [`classify`].

use fearless_simd::prelude::*;
use fearless_simd::u8x64;
#[cfg(target_arch = "x86_64")]
use fearless_simd::{Avx512, kernel, u8x16};

#[cfg(target_arch = "x86_64")]
use super::row::Lanes;
use super::row::{BLOCK, LANES, Row, Words};

/// The text of a row.
pub(super) type Blocks = [[u8; BLOCK]; LANES];

/// Finds the bytes of each kind: `quotes`, `slashes`, `open`, `close`, `curly` (of the brackets; of
/// other bytes it says nothing), `colon`, `comma` and `control`.
#[inline(always)]
pub(super) fn classify<S: Simd>(simd: S, blocks: &Blocks, row: &mut Row) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = simd.level().as_avx512() {
        return by_planes(avx512, blocks, row);
    }
    by_comparing(simd, blocks, row);
}

/// Compares each block with a byte of each kind.
#[inline(always)]
fn by_comparing<S: Simd>(simd: S, blocks: &Blocks, row: &mut Row) {
    for (lane, block) in blocks.iter().enumerate() {
        let block = u8x64::simd_from(simd, *block);
        let all = |byte| u8x64::splat(simd, byte);
        let is = |byte| block.simd_eq(all(byte)).to_bitmask();
        // `[` and `]` differ from `{` and `}` in this bit alone, and no other byte does.
        let folded = block | all(0x20);
        let folded_is = |byte| folded.simd_eq(all(byte)).to_bitmask();
        set(&mut row.quotes, lane, is(b'"'));
        set(&mut row.slashes, lane, is(b'\\'));
        set(&mut row.open, lane, folded_is(b'{'));
        set(&mut row.close, lane, folded_is(b'}'));
        set(&mut row.curly, lane, folded.simd_eq(block).to_bitmask());
        set(&mut row.colon, lane, is(b':'));
        set(&mut row.comma, lane, is(b','));
        set(&mut row.control, lane, block.simd_lt(all(b' ')).to_bitmask());
    }
}

#[inline(always)]
fn set(words: &mut Words, lane: usize, bits: u64) {
    if let Some(word) = words.get_mut(lane) {
        *word = bits;
    }
}

/// A bit for each kind of byte: tables by the lower and the upper half of a byte, both of which must
/// have the bit of a kind.
#[cfg(target_arch = "x86_64")]
#[expect(clippy::indexing_slicing, reason = "it is worked out by the compiler")]
mod tables {
    const QUOTE: u8 = 1 << 0;
    const SLASH: u8 = 1 << 1;
    const OPEN: u8 = 1 << 2;
    const CLOSE: u8 = 1 << 3;
    const CURLY: u8 = 1 << 4;
    const COLON: u8 = 1 << 5;
    const COMMA: u8 = 1 << 6;
    const CONTROL: u8 = 1 << 7;

    const fn low() -> [u8; 16] {
        let mut table = [CONTROL; 16];
        table[0x2] |= QUOTE;
        table[0xa] |= COLON;
        table[0xb] |= OPEN | CURLY;
        table[0xc] |= SLASH | COMMA;
        table[0xd] |= CLOSE | CURLY;
        table
    }

    const fn high() -> [u8; 16] {
        let mut table = [0; 16];
        table[0x0] = CONTROL;
        table[0x1] = CONTROL;
        table[0x2] = QUOTE | COMMA;
        table[0x3] = COLON;
        table[0x5] = OPEN | CLOSE | SLASH;
        table[0x7] = OPEN | CLOSE | CURLY;
        table
    }

    /// Each eight bytes from the last to the first, because turning reverses them.
    const fn reversed() -> [u8; 64] {
        let mut table = [0; 64];
        let mut at = 0;
        while at < 64 {
            table[at] = (at % 16) as u8 ^ 7;
            at += 1;
        }
        table
    }

    /// The bytes of one kind, out of each eight of them.
    const fn gathered() -> [u8; 64] {
        let mut table = [0; 64];
        let mut at = 0;
        while at < 64 {
            table[at] = (at % 8 * 8 + at / 8) as u8;
            at += 1;
        }
        table
    }

    pub(super) const LOW: [u8; 16] = low();
    pub(super) const HIGH: [u8; 16] = high();
    pub(super) const REVERSED: [u8; 64] = reversed();
    pub(super) const GATHERED: [u8; 64] = gathered();
}

/// Looks up all kinds of each byte at once, and turns the bits so that those of one kind come
/// together.
// PERF: marking takes a tenth less than with `by_comparing`, where the processor can turn bits.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn by_planes(simd: Avx512, blocks: &Blocks, row: &mut Row) {
    let low = u8x64::block_splat(u8x16::simd_from(simd, tables::LOW));
    let high = u8x64::block_splat(u8x16::simd_from(simd, tables::HIGH));
    let reversed = u8x64::simd_from(simd, tables::REVERSED);
    let gathered = u8x64::simd_from(simd, tables::GATHERED);
    let mut kinds = [Lanes::splat(simd, 0); LANES];
    for (kinds, block) in kinds.iter_mut().zip(blocks) {
        let block = u8x64::simd_from(simd, *block);
        let lower = block & u8x64::splat(simd, 0x0f);
        let found =
            low.swizzle_dyn_within_blocks(lower) & high.swizzle_dyn_within_blocks(block >> 4);
        let turned = turned(simd, found.swizzle_dyn_within_blocks(reversed).into());
        *kinds = u8x64::simd_from(simd, turned).swizzle_dyn(gathered).bitcast();
    }
    // Words by block and kind become words by kind and block.
    for _ in 0..LANES.trailing_zeros() {
        let before = kinds;
        let (pairs, _) = before.as_chunks();
        let (even, odd) = kinds.split_at_mut(LANES / 2);
        for ((even, odd), [one, two]) in even.iter_mut().zip(odd).zip(pairs) {
            *even = one.unzip_low(*two);
            *odd = one.unzip_high(*two);
        }
    }
    let [quotes, slashes, open, close, curly, colon, comma, control] = kinds;
    row.quotes = quotes.into();
    row.slashes = slashes.into();
    row.open = open.into();
    row.close = close.into();
    row.curly = curly.into();
    row.colon = colon.into();
    row.comma = comma.into();
    row.control = control.into();
}

#[cfg(target_arch = "x86_64")]
kernel!(
    /// Each eight bytes as a square of bits, mirrored at its other diagonal.
    #[inline(always)]
    fn turned(avx512: Avx512, squares: std::arch::x86_64::__m512i) -> std::arch::x86_64::__m512i {
        use std::arch::x86_64::{_mm512_gf2p8affine_epi64_epi8, _mm512_set1_epi64};
        // Byte n has bit n alone: it picks that bit of each byte of the square.
        let bits = _mm512_set1_epi64(i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]));
        _mm512_gf2p8affine_epi64_epi8::<0>(bits, squares)
    }
);

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    /// Each byte there is, at each place of a block, told by its kind alone.
    #[test]
    fn bytes_of_each_kind_are_found_and_no_others() {
        for shift in 0..BLOCK {
            let mut blocks: Blocks = [[b' '; BLOCK]; LANES];
            for (at, byte) in blocks.as_flattened_mut().iter_mut().enumerate() {
                *byte = ((at + shift) % 256) as u8;
            }
            let bits = |is: fn(u8) -> bool| {
                blocks.map(|block| {
                    (0..BLOCK).fold(0, |word, at| word | u64::from(is(block[at])) << at)
                })
            };
            for level in [Level::new(), Level::baseline()] {
                let mut row = Row::default();
                dispatch!(level, simd => classify(simd, &blocks, &mut row));
                assert_eq!(row.quotes, bits(|byte| byte == b'"'));
                assert_eq!(row.slashes, bits(|byte| byte == b'\\'));
                assert_eq!(row.open, bits(|byte| matches!(byte, b'{' | b'[')));
                assert_eq!(row.close, bits(|byte| matches!(byte, b'}' | b']')));
                assert_eq!(row.colon, bits(|byte| byte == b':'));
                assert_eq!(row.comma, bits(|byte| byte == b','));
                assert_eq!(row.control, bits(|byte| byte < b' '));
                let curly = bits(|byte| matches!(byte, b'{' | b'}'));
                for (lane, curly) in curly.into_iter().enumerate() {
                    assert_eq!(row.curly[lane] & (row.open[lane] | row.close[lane]), curly);
                }
            }
        }
    }
}
