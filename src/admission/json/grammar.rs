//! The grammar of compact JSON as operations on words of bits, one bit a byte: what may stand
//! beside what. It tells whether a text is right, never where it is wrong.
//!
//! A token ends where the next one begins, so a rule needs the bytes of one kind, moved by one
//! place, and the bytes that may stand there. Start at [`Grammar::next`].

use fearless_simd::prelude::*;

use super::plain;
use super::row::{BLOCK, Lanes, Row, Words, any_in, behind, bits, sum, word};

/// What tokens leave to the next row.
pub(super) struct Grammar<'b, S: Simd> {
    bytes: &'b [u8],
    before: Before<S>,
    /// Not 0: something is not as it is in a compact object.
    faults: Lanes<S>,
    faulty: bool,
}

/// Where in the row before bytes are of some kind.
struct Before<S: Simd> {
    /// A bracket that opens, a colon or a comma: a value or a name follows.
    joint: Lanes<S>,
    /// Of these, one behind which a field's name follows.
    field: Lanes<S>,
    /// A bracket that opens: the list or object may end at once.
    open: Lanes<S>,
    /// The end of a field's name: a colon follows.
    named: Lanes<S>,
    /// A number or word, which may go on.
    scalar: Lanes<S>,
    /// 1 if it ended within a field's name.
    in_key: u64,
}

impl<'b, S: Simd> Grammar<'b, S> {
    /// Before the first row of a text.
    #[inline(always)]
    pub(super) fn new(simd: S, bytes: &'b [u8]) -> Self {
        let none = Lanes::splat(simd, 0);
        // At the start a value follows.
        let joint = Lanes::splat(simd, 1 << 63);
        let before =
            Before { joint, field: none, open: none, named: none, scalar: none, in_key: 0 };
        Self { bytes, before, faults: none, faulty: false }
    }

    /// Takes a row. Leaves of `scalar` where numbers and words start, and gives the opening quotes
    /// of fields' names.
    #[inline(always)]
    pub(super) fn next(&mut self, simd: S, row: &mut Row) -> Words {
        let lanes = |words: Words| Lanes::simd_from(simd, words);
        let (quotes, within) = (lanes(row.quotes), lanes(row.within));
        let (open, close) = (lanes(row.open), lanes(row.close));
        let (colon, comma) = (lanes(row.colon), lanes(row.comma));
        let scalar = lanes(row.scalar);
        let (opening, closing) = (quotes & within, quotes & !within);
        let before = &mut self.before;
        // A value starts behind each joint and nowhere else, unless a list or object is empty.
        let joint = behind(open | colon | comma, &mut before.joint);
        let empty = close & behind(open, &mut before.open);
        let scalar_starts = scalar & !behind(scalar, &mut before.scalar);
        let no_value = (joint ^ (opening | open | scalar_starts)) & !empty;
        // In an object a name starts where else a value does, and colons stand behind names.
        let field = behind(lanes(row.fields), &mut before.field);
        let keys = opening & field;
        // A bit added where a string opens runs to where it closes.
        let ends = closing & sum(simd, within, keys, &mut before.in_key);
        let named = behind(ends, &mut before.named);
        let wrong = no_value | (colon ^ named) | field & !(opening | close) | lanes(row.control);
        self.faults |= wrong;
        row.with_scalars = any_in(simd, scalar_starts);
        row.scalar = scalar_starts.into();
        keys.into()
    }

    /// Looks at the numbers and words that start in the row that starts at `start`.
    #[inline(always)]
    pub(super) fn scalars(&mut self, start: usize, row: &Row) {
        for lane in bits(row.with_scalars) {
            let start = start + lane * BLOCK;
            for bit in bits(word(&row.scalar, lane)) {
                self.faulty |= !is_scalar(self.bytes, start + bit);
            }
        }
    }

    /// Whether all rows together were as they are in a compact object.
    #[inline(always)]
    pub(super) fn is_whole(&self, simd: S) -> bool {
        any_in(simd, self.faults) == 0 && !self.faulty && self.bytes.first() == Some(&b'{')
    }
}

/// Whether a number or word stands here, and then what may follow it.
#[inline(always)]
fn is_scalar(bytes: &[u8], at: usize) -> bool {
    let ends = |end: usize| matches!(bytes.get(end), Some(b',' | b'}' | b']'));
    // PERF: almost all of them are of these.
    let length = match bytes.get(at..).unwrap_or_default() {
        [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => 4,
        [b'f', b'a', b'l', b's', b'e', ..] => 5,
        [b'1'..=b'9', rest @ ..] => {
            1 + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        }
        _ => 0,
    };
    length > 0 && ends(at + length) || plain::scalar(bytes, at).is_ok_and(ends)
}
