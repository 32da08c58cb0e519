//! The grammar of compact JSON as operations on words of bits, one bit a byte: what may stand
//! beside what, and which bracket closes which. It tells whether a text is right, never where it is
//! wrong.
//!
//! A token ends where the next one begins, so a rule needs the bytes of one kind, moved by one
//! place, and the bytes that may stand there. Only brackets are taken one by one. Start at
//! [`Grammar::next`].

use bumpalo::Bump;
use bumpalo::collections::Vec;

use super::marks::{Tokens, all_if};
use super::plain;

/// The deepest nesting of lists and objects in one review, skipped fields included.
pub const DEPTH_MAX: usize = 1024;

/// Lists and objects whose end is noted at most, in the order of the text; the rest is searched for
/// its end, so that no body can fill the arena with notes.
pub(super) const ENDS_MAX: usize = 1 << 16;

/// Bytes of text for each list or object that is noted; hardly any text has more of them.
const BYTES_PER_END: usize = 8;

/// A list or object of the text, in the order in which they open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    /// The offset behind its closing bracket.
    pub(super) at: u32,
    /// Which is the first one behind it.
    pub(super) next: u32,
}

/// Takes the tokens of block after block.
pub(super) struct Grammar<'b> {
    bytes: &'b [u8],
    ends: Vec<'b, End>,
    /// The innermost open bracket.
    inner: Open,
    /// Those around it, at most [`DEPTH_MAX`].
    outer: Vec<'b, Open>,
    /// Where the last bracket closed that nothing was around, and how many such there were.
    root_end: usize,
    roots: usize,
    before: Before,
    /// Not 0: something is not as it is in a compact object.
    faults: u64,
}

/// A bracket that is open: its place among the ends, which is behind all of them if it is not
/// noted, and in the lowest bit whether it is an object's.
#[derive(Clone, Copy)]
struct Open(u32);

impl Open {
    /// Outside of everything.
    const NONE: Self = Self(u32::MAX - 1);

    #[inline(always)]
    fn number(self) -> usize {
        (self.0 >> 1) as usize
    }

    /// All bits if it is an object's.
    #[inline(always)]
    fn is_object(self) -> u64 {
        all_if(self.0 & 1 != 0)
    }

    /// Not 0 if one is a list's and the other an object's.
    #[inline(always)]
    fn differs(self, object: u32) -> u32 {
        (self.0 ^ object) & 1
    }
}

/// What the last byte of the block before was, in the lowest bit.
#[derive(Default)]
struct Before {
    /// A bracket that opens, a colon or a comma: a value or a name follows.
    joint: u64,
    /// Of these, one behind which a field's name follows.
    field: u64,
    /// A bracket that opens: the list or object may end at once.
    open: u64,
    /// The end of a field's name: a colon follows.
    named: u64,
    /// A number or word, which may go on.
    scalar: u64,
    /// A byte of a field's name that is not its last.
    in_key: u64,
}

impl<'b> Grammar<'b> {
    /// Before the first block of a text.
    pub(super) fn new(bytes: &'b [u8], arena: &'b Bump) -> Self {
        Self {
            bytes,
            ends: Vec::with_capacity_in((bytes.len() / BYTES_PER_END).min(ENDS_MAX), arena),
            inner: Open::NONE,
            outer: Vec::with_capacity_in(DEPTH_MAX, arena),
            root_end: 0,
            roots: 0,
            before: Before { joint: 1, ..Before::default() },
            faults: 0,
        }
    }

    /// Takes the block that starts at `at`. Returns the opening quotes of its fields' names.
    #[inline(always)]
    pub(super) fn next(&mut self, at: usize, tokens: &Tokens, quotes: u64) -> u64 {
        let &Tokens { within, open, close, curly, colon, comma, scalar } = tokens;
        let (opening, closing) = (quotes & within, quotes & !within);
        let before = &mut self.before;
        // A value starts behind each joint and nowhere else, unless a list or object is empty.
        let joint = behind(open | colon | comma, &mut before.joint);
        let empty = close & behind(open, &mut before.open);
        let scalar_starts = scalar & !behind(scalar, &mut before.scalar);
        let no_value = (joint ^ (opening | open | scalar_starts)) & !empty;

        // In an object a name starts where else a value does, and colons stand behind names.
        let objects = self.brackets(at, open, close, curly);
        let before = &mut self.before;
        let field = behind((open | comma) & objects, &mut before.field);
        let keys = opening & field;
        // A bit added where a string opens runs to where it closes.
        let (sum, over) = within.overflowing_add(keys | before.in_key);
        before.in_key = u64::from(over);
        let named = behind(sum & closing, &mut before.named);
        self.faults |= no_value | (colon ^ named) | field & !(opening | close);
        self.scalars(at, scalar_starts);
        keys
    }

    /// Takes the brackets of a block in turn. Returns where what is open innermost is an object;
    /// a bracket that opens counts to what it opens, one that closes does not.
    #[inline(always)]
    fn brackets(&mut self, at: usize, open: u64, close: u64, curly: u64) -> u64 {
        let mut brackets = open | close;
        let mut objects = self.inner.is_object();
        while brackets != 0 {
            let bit = brackets.trailing_zeros();
            brackets &= brackets - 1;
            let object = (curly >> bit & 1) as u32;
            let before = self.inner;
            if open >> bit & 1 != 0 {
                self.open(object);
            } else {
                self.close((at as u32 | bit) + 1, object);
            }
            let changes = all_if(before.differs(self.inner.0) != 0);
            objects ^= changes & u64::MAX << bit;
        }
        objects
    }

    // PERF: both vectors are as large from the start as they may become, so that nothing here is a
    // call, which everything else would have to be put away for.
    #[inline(always)]
    fn open(&mut self, object: u32) {
        if self.outer.len() < self.outer.capacity() {
            self.outer.push(self.inner);
        } else {
            self.faults = 1;
        }
        let number = self.ends.len();
        if number < self.ends.capacity() {
            self.ends.push(End::default());
        }
        self.inner = Open((number as u32) << 1 | object);
    }

    #[inline(always)]
    fn close(&mut self, behind: u32, object: u32) {
        let next = self.ends.len() as u32;
        if let Some(end) = self.ends.get_mut(self.inner.number()) {
            *end = End { at: behind, next };
        }
        self.faults |= u64::from(self.inner.differs(object));
        self.inner = self.outer.pop().unwrap_or(Open::NONE);
        if self.outer.is_empty() {
            self.roots += 1;
            self.root_end = behind as usize;
        }
    }

    /// Looks at the numbers and words that start in a block.
    #[inline(always)]
    fn scalars(&mut self, start: usize, mut scalars: u64) {
        while scalars != 0 {
            let at = start | scalars.trailing_zeros() as usize;
            scalars &= scalars - 1;
            let end = plain::scalar(self.bytes, at);
            let next = end.ok().and_then(|end| self.bytes.get(end));
            self.faults |= u64::from(!matches!(next, Some(b',' | b'}' | b']')));
        }
    }

    /// Whether all blocks together were one compact object.
    pub(super) fn is_whole(&self) -> bool {
        let is_object = self.bytes.first() == Some(&b'{');
        let is_alone = self.roots == 1 && self.root_end == self.bytes.len();
        self.faults == 0 && is_object && is_alone && self.outer.is_empty()
    }

    /// Where lists and objects ended.
    pub(super) fn into_ends(self) -> &'b [End] {
        self.ends.into_bump_slice()
    }
}

/// The places behind some bytes of a block. `before` is what the last byte of the block before was,
/// and then the same of this one.
#[inline(always)]
fn behind(bits: u64, before: &mut u64) -> u64 {
    bits << 1 | std::mem::replace(before, bits >> 63)
}
