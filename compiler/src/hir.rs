//! What a pattern means, apart from how it was written: the meeting point of the Go front end
//! (`pattern`) and the automata.
//!
//! A [`Hir`] describes a language over Unicode scalar values; a pattern matches a string iff some
//! substring is in it (unanchored search, spec: image-path, "Dialect"). Greediness and capture
//! groups do not change whether there is a match, so they are not kept.

use std::sync::Arc;

/// A set of Unicode scalar values: sorted, disjoint, non-adjacent, inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub Arc<[(char, char)]>);

/// A position in the string, of no width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    /// `\A`, or `^` without the `m` flag: the beginning of the text.
    Start,
    /// `\z`, or `$` without the `m` flag: the end of the text.
    End,
    /// `(?m)^`: the beginning of the text or just after a newline.
    StartLine,
    /// `(?m)$`: the end of the text or just before a newline.
    EndLine,
    /// `\b`: an ASCII word boundary.
    Word,
    /// `\B`: not an ASCII word boundary.
    NotWord,
}

/// One node. Built by `pattern`, which guarantees: depth at most [`DEPTH_MAX`], repetition
/// counts at most 1,000, no empty [`Hir::Alt`] or [`Hir::Concat`] of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hir {
    /// Matches the empty string.
    Empty,
    /// Matches nothing at all (an empty class).
    Nothing,
    /// Exactly this text; never empty.
    Literal(Box<str>),
    /// One scalar value of the class; never of zero or one member.
    Class(Class),
    /// A position.
    Look(Look),
    /// One after the other; at least two.
    Concat(Vec<Hir>),
    /// Any of these; at least two.
    Alt(Vec<Hir>),
    /// `min` to `max` times; `None`: no upper bound.
    Repeat {
        /// What repeats.
        node: Box<Hir>,
        /// Least number of times.
        min: u16,
        /// Most number of times.
        max: Option<u16>,
    },
}

/// The deepest nesting of a [`Hir`] (Go's own limit on nesting is 1,000).
pub const DEPTH_MAX: usize = 1_000;
