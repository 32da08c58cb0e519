//! The plain matcher: slow and obviously right, for tests to compare with.
//!
//! It hands a [`Hir`], node by node, to the simplest engine of `regex-automata`, a simulation of
//! the NFA in Unicode mode, and shares nothing with our own automata. It has no place in a
//! decision. Start at [`Plain::new`].

use std::fmt;

use regex_automata::nfa::thompson;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_syntax::hir::{
    Class, ClassUnicode, ClassUnicodeRange, Hir as Node, Look as NodeLook, Repetition,
};

use crate::hir::{Hir, Look};

/// The largest NFA it builds, in bytes.
const NFA_BYTES_MAX: usize = 1 << 30;

/// A matcher for one pattern.
#[derive(Clone, Debug)]
pub struct Plain {
    engine: PikeVM,
}

/// The pattern is too big even for the plain matcher.
#[derive(Clone, Debug)]
pub struct PlainTooBig(String);

impl fmt::Display for PlainTooBig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot be matched plainly: {}", self.0)
    }
}

impl std::error::Error for PlainTooBig {}

impl Plain {
    /// Builds the matcher.
    ///
    /// # Errors
    /// If the NFA would be larger than a gibibyte.
    pub fn new(hir: &Hir) -> Result<Self, PlainTooBig> {
        let config = thompson::Config::new()
            .nfa_size_limit(Some(NFA_BYTES_MAX))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(&node(hir))
            .map_err(|error| PlainTooBig(error.to_string()))?;
        let engine = PikeVM::new_from_nfa(nfa).map_err(|error| PlainTooBig(error.to_string()))?;
        Ok(Self { engine })
    }

    /// Whether the pattern matches anywhere in the text.
    pub fn is_match(&self, text: &str) -> bool {
        let mut cache = self.engine.create_cache();
        self.engine.is_match(&mut cache, text)
    }
}

/// The same meaning in the terms of `regex-syntax`. Recursion is bounded by the depth of a `Hir`.
fn node(hir: &Hir) -> Node {
    match hir {
        Hir::Empty => Node::empty(),
        Hir::Nothing => Node::fail(),
        Hir::Literal(text) => Node::literal(text.as_bytes()),
        Hir::Class(class) => {
            let ranges = class.0.iter().map(|&(start, end)| ClassUnicodeRange::new(start, end));
            Node::class(Class::Unicode(ClassUnicode::new(ranges)))
        }
        Hir::Look(look) => Node::look(match look {
            Look::Start => NodeLook::Start,
            Look::End => NodeLook::End,
            Look::StartLine => NodeLook::StartLF,
            Look::EndLine => NodeLook::EndLF,
            Look::Word => NodeLook::WordAscii,
            Look::NotWord => NodeLook::WordAsciiNegate,
        }),
        Hir::Concat(parts) => Node::concat(parts.iter().map(node).collect()),
        Hir::Alt(branches) => Node::alternation(branches.iter().map(node).collect()),
        Hir::Repeat { node: inner, min, max } => Node::repetition(Repetition {
            min: (*min).into(),
            max: max.map(Into::into),
            greedy: true,
            sub: Box::new(node(inner)),
        }),
    }
}
