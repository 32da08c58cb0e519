//! The grammar of compact JSON as operations on words of bits, one bit a byte: what may stand
//! beside what, and which bracket closes which. It tells whether a text is right, never where it is
//! wrong.
//!
//! A token ends where the next one begins, so a rule needs the bytes of one kind, moved by one
//! place, and the bytes that may stand there. Only brackets are taken one by one. Start at
//! [`Grammar::next`].

use bumpalo::Bump;
use bumpalo::collections::Vec;

use super::marks::{BLOCK, Tokens, all_if};
use super::plain;

/// The deepest nesting of lists and objects in one review, skipped fields included.
pub const DEPTH_MAX: usize = 1024;

/// Lists and objects whose end is noted, in the order of the text; the rest is searched for its
/// end, so that no body can fill the arena with notes.
pub(super) const ENDS_MAX: usize = 1 << 16;

/// Lists and objects in each other as they usually are; for more of them the stack grows.
const OPEN_USUAL: usize = 32;

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
    /// Where the next block starts.
    at: usize,
    ends: Vec<'b, End>,
    /// The innermost open bracket.
    inner: Open,
    /// Those around it, at most [`DEPTH_MAX`].
    outer: Vec<'b, Open>,
    /// Whether the first byte of the next block is in a field's name.
    in_key: u64,
    before: Before,
    /// Bytes of the last block that may not stand where they do.
    wrong: u64,
    /// Not 0: something is not as it is in a compact object.
    faults: u64,
}

/// A bracket that is open: its place among the ends, which is behind all of them if it is not
/// noted, and in the lowest bit whether it is an object's.
#[derive(Clone, Copy, Default)]
struct Open(u32);

impl Open {
    /// Outside of everything.
    const NONE: Self = Self(u32::MAX - 1);

    #[inline(always)]
    fn new(number: usize, object: bool) -> Self {
        Self((number as u32) << 1 | u32::from(object))
    }

    #[inline(always)]
    fn number(self) -> usize {
        (self.0 >> 1) as usize
    }

    #[inline(always)]
    fn is_object(self) -> bool {
        self.0 & 1 != 0
    }
}

/// The tokens of the block before. Each byte outside strings follows one of these, which tells
/// what it may be.
#[derive(Default)]
struct Before {
    /// A value follows.
    value: u64,
    /// A field's name follows.
    key: u64,
    /// The list or object may end at once.
    open: u64,
    /// A colon follows.
    named: u64,
    /// A comma or a closing bracket follows.
    done: u64,
    /// A number or word may go on.
    scalar: u64,
}

impl<'b> Grammar<'b> {
    /// Before the first block of a text.
    pub(super) fn new(bytes: &'b [u8], arena: &'b Bump) -> Self {
        Self {
            bytes,
            at: 0,
            ends: Vec::with_capacity_in((bytes.len() / 24).min(ENDS_MAX), arena),
            inner: Open::NONE,
            outer: Vec::with_capacity_in(OPEN_USUAL, arena),
            in_key: 0,
            before: Before { value: u64::MAX, ..Before::default() },
            wrong: 0,
            faults: 0,
        }
    }

    /// Takes the next block. Returns the opening quotes of its fields' names.
    #[inline(always)]
    pub(super) fn next(&mut self, tokens: &Tokens, quotes: u64) -> u64 {
        let &Tokens { within, open, close, curly, colon, comma, scalar } = tokens;
        let (opening, closing) = (quotes & within, quotes & !within);
        let objects = self.brackets(open, close, curly);
        let separated = comma | open;
        let value = colon | separated & !objects;
        let key = separated & objects;
        let key_here = behind(key, self.before.key);
        let keys = opening & key_here;
        let named = self.names(keys, within) & closing;
        let done = closing & !named | close | scalar;

        let more_scalar = scalar & behind(scalar, self.before.scalar);
        let empty = close & behind(open, self.before.open);
        let wrong = behind(value, self.before.value) & !(opening | open | scalar | empty)
            | key_here & !(opening | empty)
            | behind(named, self.before.named) & !colon
            | behind(done, self.before.done) & !(comma | close | more_scalar);
        // Of the last block only so many bytes count as there are.
        self.faults |= self.wrong;
        self.wrong = wrong;
        self.before = Before { value, key, open, named, done, scalar };

        self.scalars(scalar & !more_scalar);
        self.at += BLOCK;
        keys
    }

    /// Has ones where names of fields close, and otherwise only inside strings.
    #[inline(always)]
    fn names(&mut self, keys: u64, within: u64) -> u64 {
        // A bit added where a string opens runs to where it closes.
        let (sum, over) = within.overflowing_add(keys);
        let (sum, over_too) = sum.overflowing_add(self.in_key);
        self.in_key = u64::from(over | over_too);
        sum
    }

    /// Takes the brackets of a block in turn. Returns where what is open innermost is an object;
    /// a bracket that opens counts to what it opens, one that closes does not.
    #[inline(always)]
    fn brackets(&mut self, open: u64, close: u64, curly: u64) -> u64 {
        let mut brackets = open | close;
        let mut objects = all_if(self.inner.is_object());
        while brackets != 0 {
            let bit = brackets.trailing_zeros();
            brackets &= brackets - 1;
            let object = curly >> bit & 1 != 0;
            match open >> bit & 1 {
                0 => self.close(self.at + bit as usize, object),
                _ => self.open(object),
            }
            let here = u64::MAX << bit;
            objects = objects & !here | all_if(self.inner.is_object()) & here;
        }
        objects
    }

    #[inline(always)]
    fn open(&mut self, object: bool) {
        if self.outer.len() < DEPTH_MAX {
            self.outer.push(self.inner);
        } else {
            self.faults = 1;
        }
        let number = self.ends.len();
        if number < ENDS_MAX {
            self.ends.push(End::default());
        }
        self.inner = Open::new(number, object);
    }

    #[inline(always)]
    fn close(&mut self, at: usize, object: bool) {
        let next = self.ends.len() as u32;
        if let Some(end) = self.ends.get_mut(self.inner.number()) {
            *end = End { at: (at + 1) as u32, next };
        }
        // Behind the end there is nothing.
        let early = self.outer.len() <= 1 && at + 1 != self.bytes.len();
        self.faults |= u64::from(early || self.inner.is_object() != object);
        self.inner = self.outer.pop().unwrap_or(Open::NONE);
    }

    /// Looks at the numbers and words that start in a block.
    #[inline(always)]
    fn scalars(&mut self, mut scalars: u64) {
        while scalars != 0 {
            let at = self.at + scalars.trailing_zeros() as usize;
            scalars &= scalars - 1;
            let end = plain::scalar(self.bytes, at);
            let next = end.ok().and_then(|end| self.bytes.get(end));
            self.faults |= u64::from(!matches!(next, Some(b',' | b'}' | b']')));
        }
    }

    /// Whether all blocks together were one compact object.
    pub(super) fn is_whole(&self) -> bool {
        let behind_last = match self.bytes.len() % BLOCK {
            0 => 0,
            last => u64::MAX << last,
        };
        let faults = self.faults | self.wrong & !behind_last;
        faults == 0 && self.bytes.first() == Some(&b'{') && self.outer.is_empty()
    }

    /// Where lists and objects ended.
    pub(super) fn into_ends(self) -> &'b [End] {
        self.ends.into_bump_slice()
    }
}

/// The places behind some bytes of a block, `before` being those of the block before it.
#[inline(always)]
fn behind(bits: u64, before: u64) -> u64 {
    bits << 1 | before >> 63
}
