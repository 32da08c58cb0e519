//! Which bracket closes which, and where what is open innermost is an object. Start at
//! [`Brackets::next`].

use bumpalo::Bump;

use super::row::{BLOCK, Row, all_if};

/// The deepest nesting of lists and objects in one review, skipped fields included.
pub const DEPTH_MAX: usize = 1024;

/// Lists and objects whose end is noted at most, in the order of the text; the rest is searched for
/// its end, so that no body can fill the arena with notes.
pub(super) const ENDS_MAX: usize = 1 << 16;

/// Bytes of text for each list or object that is noted; hardly any text has more of them.
const BYTES_PER_END: usize = 32;

/// A list or object of the text, in the order in which they open. INVARIANT (pairs): those that
/// are empty and in one block are left out; see [`is_pair`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    /// The offset behind its closing bracket.
    pub(super) at: u32,
    /// Which is the first one behind it.
    pub(super) next: u32,
}

/// Whether the bracket that opens at `at` is closed at once, in the same block.
#[inline(always)]
pub(super) fn is_pair(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at + 1), Some(b'}' | b']')) && at % BLOCK != BLOCK - 1
}

/// Brackets around a bracket for which there is room from the start.
const DEPTH_USUAL: usize = 32;

/// Takes brackets in turn.
pub(super) struct Brackets<'b> {
    arena: &'b Bump,
    ends: &'b mut [End],
    /// Those around the innermost open bracket.
    outer: &'b mut [Open],
    inner: Open,
    depth: usize,
    /// Lists and objects so far.
    count: u32,
    /// Not 0: something is wrong.
    faults: u64,
}

/// A bracket that is open: its place among the ends, and in the lowest bit whether it is an
/// object's.
#[derive(Clone, Copy)]
struct Open(u32);

impl Open {
    /// Outside of everything.
    const NONE: Self = Self(u32::MAX - 1);
}

impl<'b> Brackets<'b> {
    /// Before the first row of a text of so many bytes.
    pub(super) fn new(bytes: usize, arena: &'b Bump) -> Self {
        let ends = (bytes / BYTES_PER_END).clamp(1, ENDS_MAX);
        Self {
            arena,
            ends: arena.alloc_slice_fill_copy(ends, End::default()),
            outer: arena.alloc_slice_fill_copy(DEPTH_USUAL, Open::NONE),
            inner: Open::NONE,
            depth: 0,
            count: 0,
            faults: 0,
        }
    }

    /// Takes the row that starts at `start`. Finds `objects`; a bracket counts to what is open
    /// behind it.
    #[inline(always)]
    pub(super) fn next(&mut self, start: usize, row: &mut Row) {
        let mut start = start as u32;
        let words = row.open.iter().zip(&row.close).zip(&row.curly).zip(&mut row.objects);
        for (((&open, &close), &curly), objects) in words {
            // PERF: a pair with nothing in it changes nothing; managed fields are full of them.
            let pair = close & open << 1;
            self.faults |= pair & (curly ^ curly << 1);
            let open = open & !(pair >> 1);
            let mut brackets = open | close & !pair;
            let mut in_object = all_if(self.inner.0 & 1 != 0);
            while brackets != 0 {
                let bit = brackets.trailing_zeros();
                brackets &= brackets - 1;
                let object = (curly >> bit & 1) as u32;
                let before = self.inner;
                if open >> bit & 1 != 0 {
                    self.open(object);
                } else {
                    self.close((start | bit) + 1, object);
                }
                let changes = all_if((before.0 ^ self.inner.0) & 1 != 0);
                in_object ^= changes & u64::MAX << bit;
            }
            *objects = in_object;
            start += BLOCK as u32;
        }
    }

    #[inline(always)]
    fn open(&mut self, object: u32) {
        if self.depth == self.outer.len() {
            self.deepen();
        }
        if let Some(outer) = self.outer.get_mut(self.depth) {
            *outer = self.inner;
        }
        self.depth += 1;
        self.inner = Open(self.count << 1 | object);
        self.count += 1;
    }

    /// Makes room for more brackets around one. INVARIANT (bounded): beyond [`DEPTH_MAX`] it takes
    /// no more, however often it is asked.
    #[cold]
    fn deepen(&mut self) {
        if self.depth >= DEPTH_MAX {
            self.faults = 1;
            return;
        }
        let outer = &*self.outer;
        let at = |depth| outer.get(depth).copied().unwrap_or(Open::NONE);
        self.outer = self.arena.alloc_slice_fill_with((2 * outer.len()).min(DEPTH_MAX), at);
    }

    #[inline(always)]
    fn close(&mut self, behind: u32, object: u32) {
        if let Some(end) = self.ends.get_mut((self.inner.0 >> 1) as usize) {
            *end = End { at: behind, next: self.count };
        }
        self.faults |= u64::from((self.inner.0 ^ object) & 1);
        match self.depth.checked_sub(1) {
            Some(depth) => self.depth = depth,
            None => self.faults = 1,
        }
        self.inner = *self.outer.get(self.depth).unwrap_or(&Open::NONE);
    }

    /// Whether all of a text were those of one list or object, from its first byte to its last.
    pub(super) fn are_whole(&self, bytes: &[u8]) -> bool {
        let end = match (is_pair(bytes, 0), self.ends.first()) {
            (true, _) => "{}".len(),
            (false, first) => first.map_or(0, |first| first.at as usize),
        };
        end == bytes.len() && self.depth == 0 && self.faults == 0
    }

    /// Where lists and objects ended.
    pub(super) fn into_ends(self) -> &'b [End] {
        let ends = &*self.ends;
        ends.get(..self.count as usize).unwrap_or(ends)
    }
}
