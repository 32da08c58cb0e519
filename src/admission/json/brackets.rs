//! Which bracket closes which, and where a field's name follows. Start at [`Nesting::leaves`], then
//! [`Nesting::branches`].
//!
//! A list or object with none inside is a leaf; its closing bracket is the first one behind the
//! bracket that opens it, and all leaves of a row are found at once. The others are branches, and
//! take turns: a branch is known by the bracket behind its own, if that opens too, and closes with
//! a bracket behind one that closes.

use bumpalo::Bump;
use fearless_simd::prelude::*;

use super::row::{BLOCK, Lanes, Row, Words, any_in, behind, bits, spans, sum, word};

/// The deepest nesting of lists and objects in one review, skipped fields included.
pub const DEPTH_MAX: usize = 1024;

/// Branches whose end is noted at most, in the order of the text; the rest is searched for its
/// end, so that no body can fill the arena with notes.
pub(super) const ENDS_MAX: usize = 1 << 16;

/// Bytes of text for each branch that is noted; hardly any text has more of them.
const BYTES_PER_END: usize = 64;

/// A branch of the text, in the order in which they open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    /// The offset behind its closing bracket.
    pub(super) at: u32,
    /// Which is the first branch behind it.
    pub(super) next: u32,
}

/// Branches around a branch for which there is room from the start.
const DEPTH_USUAL: usize = 32;

/// Takes brackets row by row: the leaves, the branches, and then the commas between.
pub(super) struct Nesting<'b, S: Simd> {
    arena: &'b Bump,
    before: Before<S>,
    ends: &'b mut [End],
    /// Those around the innermost open branch.
    outer: &'b mut [Open],
    inner: Open,
    depth: usize,
    /// Branches so far.
    count: u32,
    /// All bits if the innermost branch was an object where the row before ended.
    in_object: u64,
    /// Not 0: a leaf opens as an object and closes as a list, or the other way around.
    unlike: Lanes<S>,
    /// The same of a branch, or it is not open, or too many are.
    faulty: bool,
}

/// What the row before leaves.
struct Before<S: Simd> {
    /// Brackets that open an object.
    objects: Lanes<S>,
    /// 1 if the row ended between one of them and the next bracket of any kind.
    in_object: u64,
    /// The same of lists.
    lists: Lanes<S>,
    in_list: u64,
}

/// A branch that is open: its place among the ends, and in the lowest bit whether it is an
/// object.
#[derive(Clone, Copy)]
struct Open(u32);

impl Open {
    /// Outside of everything.
    const NONE: Self = Self(u32::MAX - 1);
}

impl<'b, S: Simd> Nesting<'b, S> {
    /// Before the first row of a text of so many bytes.
    #[inline(always)]
    pub(super) fn new(simd: S, bytes: usize, arena: &'b Bump) -> Self {
        let none = Lanes::splat(simd, 0);
        let ends = (bytes / BYTES_PER_END).clamp(1, ENDS_MAX);
        Self {
            arena,
            before: Before { objects: none, in_object: 0, lists: none, in_list: 0 },
            ends: arena.alloc_slice_fill_copy(ends, End::default()),
            outer: arena.alloc_slice_fill_copy(DEPTH_USUAL, Open::NONE),
            inner: Open::NONE,
            depth: 0,
            count: 0,
            in_object: 0,
            unlike: none,
            faulty: false,
        }
    }

    /// Takes the leaves of a row. Finds `branches`, `of_object`, `undecided`, and `fields` but for
    /// the commas that are undecided; gives all brackets.
    #[inline(always)]
    pub(super) fn leaves(&mut self, simd: S, row: &mut Row) -> Words {
        let lanes = |words: Words| Lanes::simd_from(simd, words);
        let (open, close, curly) = (lanes(row.open), lanes(row.close), lanes(row.curly));
        let comma = lanes(row.comma);
        let brackets = open | close;
        let before = &mut self.before;
        let objects = behind(open & curly, &mut before.objects);
        let lists = behind(open & !curly, &mut before.lists);
        let (in_object, behind_object) = runs(simd, objects, brackets, &mut before.in_object);
        let (in_list, behind_list) = runs(simd, lists, brackets, &mut before.in_list);
        let behind_open = behind_object | behind_list;
        self.unlike |= close & behind_open & (behind_object ^ curly);
        let branches = behind_open ^ close;
        row.with_branches = any_in(simd, branches);
        row.branches = branches.into();
        row.changes = Words::default();
        row.of_object = (open & behind_object | close & curly).into();
        row.fields = (open & curly | comma & in_object).into();
        row.undecided = (comma & !(in_object | in_list)).into();
        brackets.into()
    }

    /// Takes the branches of the row that starts at `start`. Finds `changes`.
    #[inline(always)]
    pub(super) fn branches(&mut self, start: usize, row: &mut Row) {
        // PERF: most blocks have no branch.
        for lane in bits(row.with_branches) {
            let start = (start + lane * BLOCK) as u32;
            let (opens, of_object) = (word(&row.open, lane), word(&row.of_object, lane));
            let mut changes = 0;
            for bit in bits(word(&row.branches, lane)) {
                let object = (of_object >> bit & 1) as u32;
                let before = self.inner;
                if opens >> bit & 1 != 0 {
                    self.open(object);
                } else {
                    self.close((start | bit as u32) + 1, object);
                }
                changes |= u64::from((before.0 ^ self.inner.0) & 1) << bit;
            }
            if let Some(word) = row.changes.get_mut(lane) {
                *word = changes;
            }
        }
    }

    /// Finds the rest of `fields`: a comma behind a closing bracket is of the innermost branch.
    #[inline(always)]
    pub(super) fn fields(&mut self, simd: S, row: &mut Row) {
        let lanes = |words: Words| Lanes::simd_from(simd, words);
        let in_object = spans(simd, lanes(row.changes), &mut self.in_object);
        row.fields = (lanes(row.fields) | lanes(row.undecided) & in_object).into();
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

    /// Makes room for more branches around one. INVARIANT (bounded): with the leaf inside they are
    /// at most [`DEPTH_MAX`]; beyond, it takes no more, however often it is asked.
    #[cold]
    fn deepen(&mut self) {
        const MAX: usize = DEPTH_MAX - 1;
        if self.depth >= MAX {
            self.faulty = true;
            return;
        }
        let outer = &*self.outer;
        let at = |depth| outer.get(depth).copied().unwrap_or(Open::NONE);
        self.outer = self.arena.alloc_slice_fill_with((2 * outer.len()).min(MAX), at);
    }

    #[inline(always)]
    fn close(&mut self, behind: u32, object: u32) {
        if let Some(end) = self.ends.get_mut((self.inner.0 >> 1) as usize) {
            *end = End { at: behind, next: self.count };
        }
        self.faulty |= (self.inner.0 ^ object) & 1 != 0;
        match self.depth.checked_sub(1) {
            Some(depth) => self.depth = depth,
            None => self.faulty = true,
        }
        self.inner = *self.outer.get(self.depth).unwrap_or(&Open::NONE);
    }

    /// Whether each bracket of a text closes what the one that belongs to it opens. Of a last one
    /// that opens it does not tell.
    #[inline(always)]
    pub(super) fn are_whole(&self, simd: S) -> bool {
        any_in(simd, self.unlike) == 0 && self.depth == 0 && !self.faulty
    }

    /// Where branches ended.
    pub(super) fn into_ends(self) -> &'b [End] {
        let ends = &*self.ends;
        ends.get(..self.count as usize).unwrap_or(ends)
    }
}

/// What lies from `starts` up to the next bracket, and these brackets. `carried` is 1 if the row
/// before ended on the way to one, and then the same of this one.
#[inline(always)]
fn runs<S: Simd>(
    simd: S,
    starts: Lanes<S>,
    brackets: Lanes<S>,
    carried: &mut u64,
) -> (Lanes<S>, Lanes<S>) {
    // A bit added to what is between two brackets runs to the second one.
    let sum = sum(simd, !brackets, starts & !brackets, carried);
    (!(brackets | sum), brackets & (sum | starts))
}
