//! The marks of JSON text: where strings and fields start, and where lists and objects end, found
//! for many bytes at a time.
//!
//! The marks of a compact object also tell whether it is well formed, because each byte outside a
//! string then stands beside the token before it: the grammar becomes a few operations on words
//! of bits. What is not compact, or wrong, is left to `plain`, which says where and why.
//! Start at [`mark`].

use bumpalo::Bump;
use bumpalo::collections::Vec;
use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch};

use super::brackets::{End, Nesting};
use super::grammar::Grammar;
use super::kinds::classify;
use super::row::{BLOCK, LANES, Row, Words};
use super::strings::Strings;

/// Bytes of a row.
const ROW: usize = BLOCK * LANES;

/// Rows that go from step to step together.
// PERF: words that were stored one by one are loaded as a vector long after, when that does not
// stall, and a branch that was guessed wrong costs little, since what it asks for is there.
const ROWS: usize = 4;

/// Text with its marks: a word of bits for each block of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks<'b> {
    pub(super) text: &'b str,
    /// The quotes around strings.
    quotes: &'b [u64],
    /// Those that open a field's name.
    keys: &'b [u64],
    /// Backslashes.
    slashes: &'b [u64],
    /// Brackets outside of strings.
    brackets: &'b [u64],
    ends: &'b [End],
}

impl<'b> Marks<'b> {
    /// The offset behind the list or object that opens at `at`, and which is the first branch behind
    /// it; `number` is the first one at `at` or behind it.
    #[inline(always)]
    pub(super) fn end(&self, at: usize, number: usize) -> (usize, usize) {
        let (next, opens) = self.bracket(at + 1);
        if !opens {
            return (next + 1, number);
        }
        match self.ends.get(number) {
            Some(end) => (end.at as usize, end.next as usize),
            None => (self.branch_end(next), number),
        }
    }

    /// The first bracket at `at` or behind it, and whether it opens.
    #[inline(always)]
    fn bracket(&self, at: usize) -> (usize, bool) {
        let at = find(self.brackets, at, self.text.len());
        (at, matches!(self.text.as_bytes().get(at), Some(b'{' | b'[')))
    }

    /// The offset behind a branch that is not noted, whose first bracket inside stands at `at`.
    #[cold]
    fn branch_end(&self, mut at: usize) -> usize {
        let mut depth = 1_usize;
        while depth > 0 && at < self.text.len() {
            let (next, opens) = self.bracket(at);
            depth = if opens { depth + 1 } else { depth - 1 };
            at = next + 1;
        }
        at
    }

    /// The first opening quote of a field's name at `at` or behind it, before `end`; what lies
    /// behind `end` if there is none.
    #[inline(always)]
    pub(super) fn key(&self, at: usize, end: usize) -> usize {
        find(self.keys, at, end)
    }

    /// The string whose opening quote stands at `at`, without its quotes, and whether it has
    /// escapes.
    #[inline(always)]
    pub(super) fn string(&self, at: usize) -> (&'b str, bool) {
        let start = at + 1;
        let end = find(self.quotes, start, self.text.len());
        let escaped = any(self.slashes, start, end);
        (self.text.get(start..end).unwrap_or_default(), escaped)
    }
}

/// The first bit at `at` or behind it; `end` or something behind it if there is none before `end`.
/// INVARIANT (linear): behind the block of `at` no block is looked at that starts at `end` or behind
/// it, so that what many objects are asked for is never searched for in all that follows them.
#[inline(always)]
fn find(words: &[u64], at: usize, end: usize) -> usize {
    // PERF: mostly it is in the same block.
    let first = words.get(at / BLOCK).copied().unwrap_or_default() >> (at % BLOCK);
    if first != 0 {
        return at + first.trailing_zeros() as usize;
    }
    let mut number = at / BLOCK + 1;
    while number * BLOCK < end {
        let word = words.get(number).copied().unwrap_or_default();
        if word != 0 {
            return number * BLOCK + word.trailing_zeros() as usize;
        }
        number += 1;
    }
    end
}

/// Whether there is a bit from `at` to before `end`.
#[inline(always)]
fn any(words: &[u64], at: usize, end: usize) -> bool {
    if at / BLOCK != end / BLOCK {
        return find(words, at, end) < end;
    }
    // PERF: most strings end in the block that they begin in.
    let word = words.get(at / BLOCK).copied().unwrap_or_default();
    (word >> (at % BLOCK)) << (at % BLOCK) & !(u64::MAX << (end % BLOCK)) != 0
}

/// Marks a text, and tells whether it is a compact object that is well formed. If it is not, the
/// marks can still be right; nothing here can fail.
pub(super) fn mark<'b>(text: &'b str, arena: &'b Bump) -> (Marks<'b>, bool) {
    mark_at(Level::new(), text, arena)
}

/// The same with a set of vector instructions.
pub(super) fn mark_at<'b>(level: Level, text: &'b str, arena: &'b Bump) -> (Marks<'b>, bool) {
    dispatch!(level, simd => mark_with(simd, text, arena))
}

// PERF: all of it is inlined here, so that it is made for each set of vector instructions.
#[inline(always)]
fn mark_with<'b, S: Simd>(simd: S, text: &'b str, arena: &'b Bump) -> (Marks<'b>, bool) {
    let mut marker = Marker::new(simd, text.as_bytes(), arena);
    let mut rows = [Row::default(); ROWS];
    for (number, segment) in text.as_bytes().chunks(ROW * ROWS).enumerate() {
        marker.next(number * ROW * ROWS, segment, &mut rows);
    }
    let whole = marker.is_whole();
    let marks = Marks {
        text,
        quotes: marker.quotes.into_bump_slice().as_flattened(),
        keys: marker.keys.into_bump_slice().as_flattened(),
        slashes: marker.slashes.into_bump_slice().as_flattened(),
        brackets: marker.brackets.into_bump_slice().as_flattened(),
        ends: marker.nesting.into_ends(),
    };
    // Behind an object that is well formed, nothing may follow.
    (marks, whole && marks.end(0, 0).0 == text.len())
}

/// Takes segments of [`ROWS`] rows.
struct Marker<'b, S: Simd> {
    simd: S,
    strings: Strings<'b>,
    nesting: Nesting<'b, S>,
    grammar: Grammar<'b, S>,
    quotes: Vec<'b, Words>,
    keys: Vec<'b, Words>,
    slashes: Vec<'b, Words>,
    brackets: Vec<'b, Words>,
}

impl<'b, S: Simd> Marker<'b, S> {
    #[inline(always)]
    fn new(simd: S, bytes: &'b [u8], arena: &'b Bump) -> Self {
        let rows = bytes.len().div_ceil(ROW);
        Self {
            simd,
            strings: Strings::new(bytes),
            nesting: Nesting::new(simd, bytes.len(), arena),
            grammar: Grammar::new(simd, bytes),
            quotes: Vec::with_capacity_in(rows, arena),
            keys: Vec::with_capacity_in(rows, arena),
            slashes: Vec::with_capacity_in(rows, arena),
            brackets: Vec::with_capacity_in(rows, arena),
        }
    }

    /// Takes the segment that starts at `start`.
    #[inline(always)]
    fn next(&mut self, start: usize, segment: &[u8], rows: &mut [Row; ROWS]) {
        for (row, bytes) in rows.iter_mut().zip(segment.chunks(ROW)) {
            self.classify(bytes, row);
        }
        let used = segment.len().div_ceil(ROW);
        let rows = rows.get_mut(..used).unwrap_or_default();
        let starts = (start..).step_by(ROW);
        for (row, start) in rows.iter_mut().zip(starts.clone()) {
            self.strings.escapes(self.simd, start, row);
        }
        for row in rows.iter_mut() {
            self.strings.next(self.simd, row);
        }
        for row in rows.iter_mut() {
            self.brackets.push(self.nesting.leaves(self.simd, row));
        }
        for (row, start) in rows.iter_mut().zip(starts.clone()) {
            self.nesting.branches(start, row);
        }
        for row in rows.iter_mut() {
            self.nesting.fields(self.simd, row);
            self.keys.push(self.grammar.next(self.simd, row));
            self.quotes.push(row.quotes);
            self.slashes.push(row.slashes);
        }
        for (row, start) in rows.iter().zip(starts) {
            self.grammar.scalars(start, row);
        }
    }

    /// Takes the bytes of a row; the last one of a text may have fewer.
    #[inline(always)]
    fn classify(&self, bytes: &[u8], row: &mut Row) {
        if let Some(blocks) = bytes.as_chunks().0.first_chunk() {
            row.text = [u64::MAX; LANES];
            return classify(self.simd, blocks, row);
        }
        row.text = std::array::from_fn(|lane| match bytes.len().saturating_sub(lane * BLOCK) {
            bits @ 0..BLOCK => (1 << bits) - 1,
            _ => u64::MAX,
        });
        let mut last = [[b' '; BLOCK]; LANES];
        for (to, from) in last.as_flattened_mut().iter_mut().zip(bytes) {
            *to = *from;
        }
        classify(self.simd, &last, row);
    }

    /// Whether all rows together began as a compact object does, and were well formed.
    #[inline(always)]
    fn is_whole(&self) -> bool {
        self.strings.are_whole()
            && self.grammar.is_whole(self.simd)
            && self.nesting.are_whole(self.simd)
    }
}
