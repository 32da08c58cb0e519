//! How the pieces of a pattern combine, and how big they are.
//!
//! A [`Piece`] is a finished part of the pattern: its meaning, and the measures that Go's limits
//! are about. They are those of the tree Go would build: groups that capture count, and adjacent
//! literals are one. Start at [`Piece::repeat`], [`concat`], [`Branches`].
//!
//! NOTE: Go measures an alternation after it has taken common beginnings out of its branches,
//! which we do not do. So at the very edge of a limit (hundreds of nested groups whose branches
//! begin alike, millions of instructions) Go may refuse what we accept, or the other way round.

use std::collections::HashSet;
use std::sync::Arc;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::unicode;
use crate::hir::{Class, DEPTH_MAX, Hir};

/// The largest compiled size Go allows, in its instructions (128 MiB of 40 bytes).
const SIZE_MAX: u64 = (128 << 20) / 40;

/// What kind of node Go would have here; it decides what merges with its neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Text of so many characters, all folded or none.
    Literal {
        fold: bool,
        chars: u32,
    },
    /// One character of a set, counted as so many bounds of ranges.
    Set {
        bounds: u32,
    },
    Concat,
    Alternate,
    Empty,
    Other,
}

/// A finished part of a pattern.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    hir: Hir,
    shape: Shape,
    /// Levels of Go's tree.
    height: u32,
    /// Instructions Go would compile it to, by its own estimate.
    size: u64,
    /// The most copies nested counted repetitions make of anything inside.
    copies: u32,
}

/// Over one of Go's limits on the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Height,
    Size,
}

impl Piece {
    pub(super) fn empty() -> Self {
        Self::leaf(Hir::Empty, Shape::Empty)
    }

    pub(super) fn look(look: crate::hir::Look) -> Self {
        Self::leaf(Hir::Look(look), Shape::Other)
    }

    /// One character, with its case variants if `fold`; `None`: a surrogate, which no text has.
    pub(super) fn literal(c: Option<char>, fold: bool) -> Self {
        let shape = Shape::Literal { fold, chars: 1 };
        let hir = match c {
            None => Hir::Nothing,
            Some(c) if fold => {
                class_hir(&unicode::fold(&ClassUnicode::new([ClassUnicodeRange::new(c, c)])))
            }
            Some(c) => Hir::Literal(String::from(c).into_boxed_str()),
        };
        Self::leaf(hir, shape)
    }

    /// Text, not folded.
    pub(super) fn text(text: String) -> Self {
        let chars = text.chars().count();
        let shape = Shape::Literal { fold: false, chars: chars as u32 };
        let hir = Hir::Literal(text.into_boxed_str());
        Self { size: chars as u64, ..Self::leaf(hir, shape) }
    }

    /// `.`
    pub(super) fn dot(newline: bool) -> Self {
        let mut set = ClassUnicode::empty();
        if !newline {
            set.push(ClassUnicodeRange::new('\n', '\n'));
        }
        let set = unicode::complement(&set);
        // Go has nodes of its own for these, without ranges.
        Self { shape: Shape::Set { bounds: 0 }, ..Self::set(&set) }
    }

    /// One character of a set.
    pub(super) fn set(set: &ClassUnicode) -> Self {
        let bounds = u32::try_from(set.ranges().len() * 2).unwrap_or(u32::MAX);
        let shape = match lone_or_pair(set) {
            Some(fold) => Shape::Literal { fold, chars: 1 },
            None => Shape::Set { bounds },
        };
        Self::leaf(class_hir(set), shape)
    }

    fn leaf(hir: Hir, shape: Shape) -> Self {
        Self { hir, shape, height: 1, size: 1, copies: 1 }
    }

    /// What it means.
    pub(super) fn into_hir(self) -> Hir {
        self.hir
    }

    /// What Go counts against its limit on characters in sets, each time it handles this piece.
    pub(super) fn runes(&self) -> u64 {
        match self.shape {
            Shape::Literal { chars, .. } => u64::from(chars),
            Shape::Set { bounds } => u64::from(bounds),
            _ => 0,
        }
    }

    /// Whether Go would merge it into a set with its neighbour in an alternation.
    fn is_one_char(&self) -> bool {
        matches!(self.shape, Shape::Literal { chars: 1, .. } | Shape::Set { .. })
    }

    /// The height it adds inside a node of this shape: nodes of one kind are flattened.
    fn height_inside(&self, shape: Shape) -> u32 {
        if self.shape == shape { self.height - 1 } else { self.height }
    }

    /// Makes equal sets share their memory; returns the ranges if they are new.
    pub(super) fn share(&mut self, known: &mut HashSet<Class>) -> usize {
        let Hir::Class(class) = &mut self.hir else { return 0 };
        // PERF: what is shared already is known, and large sets are slow to compare.
        if Arc::strong_count(&class.0) > 1 {
            return 0;
        }
        if let Some(same) = known.get(class) {
            *class = same.clone();
            return 0;
        }
        known.insert(class.clone());
        class.0.len()
    }

    /// The most copies nested repetitions make.
    pub(super) fn copies(&self) -> u32 {
        self.copies
    }

    /// The limit this piece is over, if any.
    pub(super) fn over(&self) -> Option<Over> {
        if self.size > SIZE_MAX {
            Some(Over::Size)
        } else if self.height as usize > DEPTH_MAX {
            Some(Over::Height)
        } else {
            None
        }
    }

    /// A group that captures: it changes nothing of what matches, and Go counts it.
    pub(super) fn capture(self) -> Self {
        Self { shape: Shape::Other, height: self.height + 1, size: self.size + 2, ..self }
    }

    /// `*`, `+`, `?`.
    pub(super) fn repeat(self, min: u16, max: Option<u16>) -> Self {
        let more = if (min, max) == (0, None) { 2 } else { 1 };
        let (height, size, copies) = (self.height + 1, self.size + more, self.copies);
        Self { hir: repeat_hir(self.hir, min, max), shape: Shape::Other, height, size, copies }
    }

    /// `{min,max}`.
    pub(super) fn repeat_counted(self, min: u16, max: Option<u16>) -> Self {
        let times = u64::from(max.unwrap_or(min));
        let size = match max {
            None if min == 0 => 2 + self.size,
            None => 1 + times * self.size,
            Some(max) => times * self.size + u64::from(max - min),
        };
        Self {
            hir: repeat_hir(self.hir, min, max),
            shape: Shape::Other,
            height: self.height + 1,
            size: size.max(1),
            // Nothing inside `{0}` is ever copied, so Go does not look inside.
            copies: if max == Some(0) {
                1
            } else {
                self.copies * u32::from(max.unwrap_or(min)).max(1)
            },
        }
    }
}

/// Whether Go keeps a set as a literal: one character (not folded), or exactly the two case
/// variants of one (folded).
fn lone_or_pair(set: &ClassUnicode) -> Option<bool> {
    let (first, last) = match set.ranges() {
        [range] => (range.start(), range.end()),
        [one, two] => (one.start(), two.end()),
        _ => return None,
    };
    let members: usize = set.iter().map(ClassUnicodeRange::len).sum();
    match members {
        1 => Some(false),
        2 => {
            let orbit = unicode::fold(&ClassUnicode::new([ClassUnicodeRange::new(first, first)]));
            let pair = orbit == *set && first != last;
            pair.then_some(true)
        }
        _ => None,
    }
}

/// A set as a node: never a [`Hir::Class`] of zero or one member.
fn class_hir(set: &ClassUnicode) -> Hir {
    match set.ranges() {
        [] => Hir::Nothing,
        [one] if one.start() == one.end() => {
            Hir::Literal(String::from(one.start()).into_boxed_str())
        }
        ranges => {
            let mut joined: Vec<(char, char)> = Vec::with_capacity(ranges.len());
            for range in ranges {
                match joined.last_mut() {
                    // There is no character between these two, only surrogates.
                    Some((_, end)) if (*end, range.start()) == ('\u{d7ff}', '\u{e000}') => {
                        *end = range.end();
                    }
                    _ => joined.push((range.start(), range.end())),
                }
            }
            Hir::Class(Class(joined.into()))
        }
    }
}

/// Repetition of a node, without the repetitions that say nothing.
fn repeat_hir(node: Hir, min: u16, max: Option<u16>) -> Hir {
    match (node, min, max) {
        (_, _, Some(0)) | (Hir::Empty, ..) | (Hir::Look(_) | Hir::Nothing, 0, _) => Hir::Empty,
        (node, 1, Some(1)) | (node @ (Hir::Look(_) | Hir::Nothing), ..) => node,
        (node, min, max) => Hir::Repeat { node: Box::new(node), min, max },
    }
}

/// One after the other.
pub(super) fn concat(pieces: Vec<Piece>) -> Piece {
    let mut pieces = pieces.into_iter();
    let (Some(mut all), rest) = (pieces.next(), pieces) else { return Piece::empty() };
    if rest.len() == 0 {
        return all;
    }
    let mut sequence = Sequence::default();
    sequence.push(std::mem::replace(&mut all.hir, Hir::Empty));
    let mut inner_height = all.height_inside(Shape::Concat);
    // The literal that ends the sequence so far: the next one joins it if it folds alike.
    let mut tail = all.shape;
    for piece in rest {
        all.size += piece.size;
        all.copies = all.copies.max(piece.copies);
        inner_height = inner_height.max(piece.height_inside(Shape::Concat));
        sequence.push(piece.hir);
        match (tail, piece.shape) {
            (Shape::Literal { fold, chars }, Shape::Literal { fold: same, chars: more })
                if fold == same =>
            {
                tail = Shape::Literal { fold, chars: chars.saturating_add(more) };
                if matches!(all.shape, Shape::Literal { .. }) {
                    all.shape = tail;
                }
            }
            (_, next) => {
                tail = next;
                all.shape = Shape::Concat;
            }
        }
    }
    if all.shape == Shape::Concat {
        all.height = inner_height + 1;
    }
    all.hir = sequence.finish();
    all
}

/// Gathers the parts of a [`Hir::Concat`], flat, with neighbouring text joined.
#[derive(Default)]
struct Sequence {
    hirs: Vec<Hir>,
    text: String,
}

impl Sequence {
    fn push(&mut self, hir: Hir) {
        match hir {
            Hir::Empty => {}
            Hir::Literal(text) => self.text.push_str(&text),
            Hir::Concat(more) if more.len() <= JOIN_PARTS_MAX => {
                more.into_iter().for_each(|hir| self.push(hir));
            }
            Hir::Concat(more) => {
                self.flush();
                extend(&mut self.hirs, more);
            }
            hir => {
                self.flush();
                self.hirs.push(hir);
            }
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.hirs.push(Hir::Literal(std::mem::take(&mut self.text).into_boxed_str()));
        }
    }

    fn finish(mut self) -> Hir {
        self.flush();
        match self.hirs.len() {
            0 => Hir::Empty,
            1 => self.hirs.remove(0),
            _ => Hir::Concat(self.hirs),
        }
    }
}

/// A nested sequence up to this long is looked through for text to join.
const JOIN_PARTS_MAX: usize = 64;

/// Appends one list to another.
fn extend(base: &mut Vec<Hir>, mut more: Vec<Hir>) {
    // PERF: groups nested to the right bring a long list to a short one at each level; moving the
    // short one keeps a hostile pattern from taking quadratic time in clones.
    if more.len() > base.len() {
        more.splice(0..0, base.drain(..));
        *base = more;
    } else {
        base.append(&mut more);
    }
}

/// The branches of an alternation while it is read. Neighbouring branches of one character
/// become one set, as in Go; that is what its limits measure.
#[derive(Debug, Default)]
pub(super) struct Branches {
    done: Vec<Piece>,
    /// A run of branches of one character each: the first, and the sets of all if there are more.
    run: Option<Box<(Piece, Ranges)>>,
}

impl Branches {
    /// Adds a branch.
    pub(super) fn push(&mut self, piece: Piece) {
        if !piece.is_one_char() {
            self.flush();
            self.done.push(piece);
            return;
        }
        match &mut self.run {
            None => self.run = Some(Box::new((piece, Ranges::default()))),
            Some(run) => {
                let (first, ranges) = &mut **run;
                if ranges.is_empty() {
                    ranges.extend_hir(&first.hir);
                }
                ranges.extend_hir(&piece.hir);
            }
        }
    }

    fn flush(&mut self) {
        if let Some(run) = self.run.take() {
            let (first, ranges) = *run;
            self.done.push(if ranges.is_empty() { first } else { Piece::set(&ranges.finish()) });
        }
    }

    /// Any of the branches.
    pub(super) fn finish(mut self) -> Piece {
        self.flush();
        // Go keeps one of several empty branches in a row.
        self.done.dedup_by(|next, kept| next.shape == Shape::Empty && kept.shape == Shape::Empty);
        if self.done.len() == 1 {
            return self.done.remove(0);
        }
        let mut all = Piece::leaf(Hir::Empty, Shape::Alternate);
        all.size = self.done.len().saturating_sub(1) as u64;
        let mut hirs = Vec::new();
        for piece in self.done {
            all.size += piece.size;
            all.copies = all.copies.max(piece.copies);
            all.height = all.height.max(piece.height_inside(Shape::Alternate) + 1);
            match piece.hir {
                Hir::Alt(more) => extend(&mut hirs, more),
                hir => hirs.push(hir),
            }
        }
        all.hir = Hir::Alt(hirs);
        all
    }
}

/// Gathers ranges of characters in any order.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    ranges: Vec<ClassUnicodeRange>,
    /// How many there may be before they are merged.
    merge_at: usize,
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn push(&mut self, range: ClassUnicodeRange) {
        self.ranges.push(range);
        if self.ranges.len() > self.merge_at {
            // Merged when it has doubled, so memory stays near that of the set itself.
            let set = ClassUnicode::new(std::mem::take(&mut self.ranges));
            self.ranges.extend_from_slice(set.ranges());
            self.merge_at = (self.ranges.len() * 2).max(4_096);
        }
    }

    pub(super) fn extend(&mut self, set: &ClassUnicode) {
        set.iter().for_each(|&range| self.push(range));
    }

    fn extend_hir(&mut self, hir: &Hir) {
        match hir {
            Hir::Literal(text) => {
                text.chars().for_each(|c| self.push(ClassUnicodeRange::new(c, c)));
            }
            Hir::Class(class) => {
                for &(start, end) in class.0.iter() {
                    self.push(ClassUnicodeRange::new(start, end));
                }
            }
            _ => {}
        }
    }

    pub(super) fn finish(self) -> ClassUnicode {
        ClassUnicode::new(self.ranges)
    }
}
