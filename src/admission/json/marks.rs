//! The marks of JSON text: where strings and fields start, and where lists and objects end, found
//! for 64 bytes at a time.
//!
//! The marks of a compact object also tell whether it is well formed, because each byte outside a
//! string then stands beside the token before it: the grammar becomes a few operations on words
//! of bits (`grammar`). What is not compact, or wrong, is left to `plain`, which says where and
//! why. Start at [`mark`].

use bumpalo::Bump;
use bumpalo::collections::Vec;
use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x64};

use super::grammar::{End, Grammar};
use super::plain;

/// Bytes of one block: a bit of a word for each.
pub(super) const BLOCK: usize = 64;

/// Text with its marks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks<'b> {
    pub(super) text: &'b str,
    blocks: &'b [Block],
    ends: &'b [End],
}

/// The marks of [`BLOCK`] bytes, the lowest bit for the first of them.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// The quotes around strings.
    quotes: u64,
    /// Those that open a field's name.
    keys: u64,
    /// Backslashes.
    slashes: u64,
}

impl<'b> Marks<'b> {
    /// The offset behind the list or object that opens at `at` and is this one in the order of the
    /// text, and which is the first one behind it.
    #[inline(always)]
    pub(super) fn end(&self, at: usize, number: usize) -> (usize, usize) {
        match self.ends.get(number) {
            Some(end) => (end.at as usize, end.next as usize),
            None => (self.bracket_end(at), number),
        }
    }

    /// The same for one that is not noted.
    #[cold]
    fn bracket_end(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    at = self.find(at + 1, self.text.len(), |block, ahead| block.quotes & ahead)
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
    }

    /// The first opening quote of a field's name at `at` or behind it, before `end`; what lies
    /// behind `end` if there is none.
    #[inline(always)]
    pub(super) fn key(&self, at: usize, end: usize) -> usize {
        self.find(at, end, |block, ahead| block.keys & ahead)
    }

    /// The string whose opening quote stands at `at`, without its quotes, and whether it has
    /// escapes.
    #[inline(always)]
    pub(super) fn string(&self, at: usize) -> (&'b str, bool) {
        let start = at + 1;
        let mut slashes = 0;
        let end = self.find(start, self.text.len(), |block, ahead| {
            let quotes = block.quotes & ahead;
            slashes |= block.slashes & ahead & before(quotes);
            quotes
        });
        (self.text.get(start..end).unwrap_or_default(), slashes != 0)
    }

    /// The first bit at `at` or behind it of those that `bits` picks from a block and the bits
    /// that count there. INVARIANT (linear): no block is looked at that starts at `end` or behind
    /// it, so that what many objects are asked for is never searched for in all that follows them.
    #[inline(always)]
    fn find(&self, at: usize, end: usize, mut bits: impl FnMut(&Block, u64) -> u64) -> usize {
        let mut number = at / BLOCK;
        let mut ahead = u64::MAX << (at % BLOCK);
        let blocks = self.blocks.get(..end.div_ceil(BLOCK)).unwrap_or(self.blocks);
        while let Some(block) = blocks.get(number) {
            let found = bits(block, ahead);
            if found != 0 {
                return number * BLOCK + found.trailing_zeros() as usize;
            }
            ahead = u64::MAX;
            number += 1;
        }
        end
    }
}

/// Marks a text, and tells whether it is a compact object that is well formed. If it is not, the
/// marks can still be right; nothing here can fail.
pub(super) fn mark<'b>(text: &'b str, arena: &'b Bump) -> (Marks<'b>, bool) {
    dispatch!(Level::new(), simd => mark_with(simd, text, arena))
}

// PERF: all of it is inlined here, so that it is made for each set of vector instructions.
#[inline(always)]
fn mark_with<'b, S: Simd>(simd: S, text: &'b str, arena: &'b Bump) -> (Marks<'b>, bool) {
    let mut marker = Marker::new(simd, text.as_bytes(), arena);
    let (whole, rest) = text.as_bytes().as_chunks::<BLOCK>();
    for (number, block) in whole.iter().enumerate() {
        marker.next(number * BLOCK, block, u64::MAX);
    }
    if !rest.is_empty() {
        let mut last = [b' '; BLOCK];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        marker.next(whole.len() * BLOCK, &last, (1 << rest.len()) - 1);
    }
    let regular = marker.is_regular();
    let Marker { blocks, grammar, .. } = marker;
    (Marks { text, blocks: blocks.into_bump_slice(), ends: grammar.into_ends() }, regular)
}

/// Takes block after block.
struct Marker<'b, S: Simd> {
    simd: S,
    blocks: Vec<'b, Block>,
    /// The least byte at each place of all blocks.
    low: u8x64<S>,
    strings: Strings<'b>,
    grammar: Grammar<'b>,
}

impl<'b, S: Simd> Marker<'b, S> {
    #[inline(always)]
    fn new(simd: S, bytes: &'b [u8], arena: &'b Bump) -> Self {
        Self {
            simd,
            blocks: Vec::with_capacity_in(bytes.len().div_ceil(BLOCK), arena),
            low: u8x64::splat(simd, u8::MAX),
            strings: Strings::new(bytes),
            grammar: Grammar::new(bytes, arena),
        }
    }

    /// Takes the block that starts at `at`; `text` has the bits of what is text in it.
    #[inline(always)]
    fn next(&mut self, at: usize, block: &[u8; BLOCK], text: u64) {
        let block = u8x64::simd_from(self.simd, *block);
        self.low = self.low.min(block);
        let (mut tokens, mut marks) = self.strings.next(at, Bytes::of(self.simd, block));
        tokens.scalar &= text;
        marks.keys = self.grammar.next(at, &tokens, marks.quotes);
        self.blocks.push(marks);
    }

    /// Whether all blocks together were a compact object that is well formed.
    #[inline(always)]
    fn is_regular(&self) -> bool {
        let control = self.low.simd_lt(u8x64::splat(self.simd, b' ')).to_bitmask();
        control == 0 && self.strings.are_whole() && self.grammar.is_whole()
    }
}

/// Where bytes of a block have these values.
struct Bytes {
    quote: u64,
    slash: u64,
    open: u64,
    close: u64,
    /// Of the brackets, those of objects.
    curly: u64,
    colon: u64,
    comma: u64,
}

impl Bytes {
    #[inline(always)]
    fn of<S: Simd>(simd: S, block: u8x64<S>) -> Self {
        // `[` and `]` differ from `{` and `}` in this bit alone, and no other byte does.
        let folded = block | u8x64::splat(simd, 0x20);
        Self {
            quote: block.simd_eq(u8x64::splat(simd, b'"')).to_bitmask(),
            slash: block.simd_eq(u8x64::splat(simd, b'\\')).to_bitmask(),
            open: folded.simd_eq(u8x64::splat(simd, b'{')).to_bitmask(),
            close: folded.simd_eq(u8x64::splat(simd, b'}')).to_bitmask(),
            curly: folded.simd_eq(block).to_bitmask(),
            colon: block.simd_eq(u8x64::splat(simd, b':')).to_bitmask(),
            comma: block.simd_eq(u8x64::splat(simd, b',')).to_bitmask(),
        }
    }
}

/// The tokens of a block: what stands outside strings, and where strings are.
#[derive(Clone, Copy, Default)]
pub(super) struct Tokens {
    /// From each opening quote up to the byte before the closing one.
    pub(super) within: u64,
    pub(super) open: u64,
    pub(super) close: u64,
    /// Of the brackets, those of objects.
    pub(super) curly: u64,
    pub(super) colon: u64,
    pub(super) comma: u64,
    /// All else.
    pub(super) scalar: u64,
}

/// Tells strings from what is outside of them, from block to block.
struct Strings<'b> {
    bytes: &'b [u8],
    /// Whether its first byte is escaped.
    escaped: u64,
    /// All bits if it is in a string.
    in_string: u64,
    faulty: bool,
}

impl<'b> Strings<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, escaped: 0, in_string: 0, faulty: false }
    }

    /// Takes the next block.
    #[inline(always)]
    fn next(&mut self, at: usize, bytes: Bytes) -> (Tokens, Block) {
        let escaped = escaped(bytes.slash, &mut self.escaped);
        let quotes = bytes.quote & !escaped;
        let within = prefix_xor(quotes) ^ self.in_string;
        self.in_string = all_if(within >> 63 != 0);
        let outside = !(within | quotes);
        let structural = bytes.open | bytes.close | bytes.colon | bytes.comma;
        let tokens = Tokens {
            within,
            open: bytes.open & outside,
            close: bytes.close & outside,
            curly: bytes.curly,
            colon: bytes.colon & outside,
            comma: bytes.comma & outside,
            scalar: outside & !structural,
        };
        let unusual = escaped & !(bytes.quote | bytes.slash);
        if unusual != 0 {
            self.escapes(at, unusual);
        }
        (tokens, Block { quotes, keys: 0, slashes: bytes.slash })
    }

    /// Looks at escaped bytes other than quotes and backslashes.
    fn escapes(&mut self, start: usize, mut escaped: u64) {
        while escaped != 0 {
            let at = start | escaped.trailing_zeros() as usize;
            escaped &= escaped - 1;
            self.faulty |= plain::escape(self.bytes, at).is_err();
        }
    }

    fn are_whole(&self) -> bool {
        self.in_string == 0 && !self.faulty
    }
}

/// The bits below the lowest of `bits`; all if there is none.
#[inline(always)]
fn before(bits: u64) -> u64 {
    !bits & bits.wrapping_sub(1)
}

/// All bits or none.
#[inline(always)]
pub(super) fn all_if(yes: bool) -> u64 {
    0_u64.wrapping_sub(u64::from(yes))
}

/// Each bit is the exclusive or of itself and all below it.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// The bytes that a backslash before them escapes. `carried` tells whether the first byte is one,
/// and then the same of the next block.
#[inline(always)]
fn escaped(slashes: u64, carried: &mut u64) -> u64 {
    const ODD: u64 = u64::MAX / 3 * 2;
    // Of backslashes in a row the first escapes, and then each second one. Subtracting a row from
    // the odd places behind it borrows through it if it starts at an even one.
    let starts = slashes & !*carried;
    let codes = ((starts << 1 | ODD).wrapping_sub(starts)) ^ ODD;
    let escaped = codes ^ (slashes | *carried);
    *carried = (codes & slashes) >> 63;
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
                prop_assert_eq!(escaped(slashes, &mut carried), plain);
                prop_assert_eq!(carried, u64::from(escape));
            }
        }
    }
}
