//! What is known of the bytes of a row of blocks, found step by step.

use fearless_simd::prelude::*;
use fearless_simd::{mask64x8, u64x8};

/// Bytes of one block: a bit of a word for each, the lowest bit for the first byte.
pub(super) const BLOCK: usize = 64;

/// Blocks of a row.
pub(super) const LANES: usize = 8;

/// A word for each block of a row.
pub(super) type Words = [u64; LANES];

/// The same, to reckon with all of them at once.
pub(super) type Lanes<S> = u64x8<S>;

/// Where in a row bytes are of some kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// Those that the text has; behind its end they are not.
    pub(super) text: Words,
    /// The quotes around strings.
    pub(super) quotes: Words,
    pub(super) slashes: Words,
    /// From each opening quote up to the byte before the closing one.
    pub(super) within: Words,
    pub(super) open: Words,
    pub(super) close: Words,
    /// Of the brackets, those of objects.
    pub(super) curly: Words,
    pub(super) colon: Words,
    pub(super) comma: Words,
    pub(super) control: Words,
    /// All else that stands outside of strings.
    pub(super) scalar: Words,
    /// Brackets that open behind one that opens, or close behind one that closes.
    pub(super) branches: Words,
    /// Of these, those that tell of an object: the bracket before, or this one.
    pub(super) of_object: Words,
    /// The blocks that have branches.
    pub(super) with_branches: u64,
    /// Those at which the innermost branch becomes an object, and was none, or no longer is.
    pub(super) changes: Words,
    /// Commas behind a bracket that closes: whose they are is known last.
    pub(super) undecided: Words,
    /// Brackets and commas behind which a field's name follows.
    pub(super) fields: Words,
    /// The blocks in which scalars start.
    pub(super) with_scalars: u64,
}

/// The word of a block.
#[inline(always)]
pub(super) fn word(words: &Words, lane: usize) -> u64 {
    words.get(lane).copied().unwrap_or_default()
}

/// The blocks that have bits.
#[inline(always)]
pub(super) fn any_in<S: Simd>(simd: S, bits: Lanes<S>) -> u64 {
    bits.simd_ne(Lanes::splat(simd, 0)).to_bitmask()
}

/// The places of the bits of a word, in their order.
#[inline(always)]
pub(super) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then_some(word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        bit
    })
}

/// The places behind some bytes of a row. `before` is the row before, and then this one.
#[inline(always)]
pub(super) fn behind<S: Simd>(bits: Lanes<S>, before: &mut Lanes<S>) -> Lanes<S> {
    let last = before.slide::<{ LANES - 1 }>(bits);
    *before = bits;
    bits << 1 | last >> 63
}

/// From each odd one of the bits up to the next one. `inside` has all bits if the row before ended
/// between two, and then the same of this one.
#[inline(always)]
pub(super) fn spans<S: Simd>(simd: S, bits: Lanes<S>, inside: &mut u64) -> Lanes<S> {
    let mut spans = bits;
    spans = spans ^ spans << 1;
    spans = spans ^ spans << 2;
    spans = spans ^ spans << 4;
    spans = spans ^ spans << 8;
    spans = spans ^ spans << 16;
    spans = spans ^ spans << 32;
    // A word with an odd number of bits turns those behind it.
    let odd = spans.simd_ge(Lanes::splat(simd, 1 << 63)).to_bitmask();
    let odd = odd ^ odd << 1;
    let odd = odd ^ odd << 2;
    let odd = odd ^ odd << 4;
    let turned = mask64x8::from_bitmask(simd, (odd << 1 ^ *inside) & ALL);
    *inside ^= all_if(odd >> (LANES - 1) & 1 != 0);
    turned.select(!spans, spans)
}

/// Adds `bits` to `spans`, all of a row as one number. `over` is what the row before leaves over, 0
/// or 1, and then the same of this one.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, spans: Lanes<S>, bits: Lanes<S>, over: &mut u64) -> Lanes<S> {
    let sum = spans + bits;
    // A word that is full hands on what comes to it.
    let carries = sum.simd_lt(spans).to_bitmask() << 1 | *over;
    let full = sum.simd_eq(Lanes::splat(simd, u64::MAX)).to_bitmask();
    let carried = carries + full;
    *over = carried >> LANES & 1;
    let more = mask64x8::from_bitmask(simd, (carried ^ full) & ALL);
    more.select(sum + Lanes::splat(simd, 1), sum)
}

/// A bit for each block of a row.
const ALL: u64 = (1 << LANES) - 1;

/// All bits or none.
#[inline(always)]
pub(super) fn all_if(yes: bool) -> u64 {
    0_u64.wrapping_sub(u64::from(yes))
}
