//! The grammar: reads a pattern from left to right, with its own stack of open groups.
//!
//! It does not recurse, so a pattern of a hundred thousand `(` costs memory in proportion and no
//! stack. What it builds is at most [`DEPTH_MAX`](crate::hir::DEPTH_MAX) deep, since that is
//! Go's limit too. Start at [`Parser::run`].

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use regex_syntax::hir::ClassUnicode;

use super::error::{PatternError, Reason};
use super::group::Opened;
use super::tree::{self, Branches, Over, Piece};
use super::{REPEAT_MAX, help};
use crate::hir::{Class, Hir, Look};

/// The most bounds of ranges that sets may have together, each counted as often as Go handles
/// it (Go's limit: 128 MiB of 4 bytes).
const RUNES_MAX: u64 = (128 << 20) / 4;

/// The most ranges that the different sets of one pattern may have together (our own limit: 16
/// MiB of memory).
const SET_RANGES_MAX: usize = 2 << 20;

/// What `(?ims)` switches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// `i`: case does not matter.
    pub(super) fold: bool,
    /// `m`: `^` and `$` match at lines.
    pub(super) lines: bool,
    /// `s`: `.` matches a newline.
    pub(super) dot_newline: bool,
}

/// A group that is open, or the whole pattern.
#[derive(Debug, Default)]
struct Frame {
    /// Where its parenthesis is.
    open: usize,
    capture: bool,
    /// The flags outside it.
    outer: Flags,
    branches: Branches,
    /// The branch being read.
    items: Vec<Piece>,
}

/// A repetition.
#[derive(Clone, Copy, Debug)]
struct Operator {
    min: u16,
    max: Option<u16>,
    /// Written with braces.
    counted: bool,
}

/// A pattern being read.
#[derive(Debug)]
pub(super) struct Parser<'p> {
    pub(super) text: &'p str,
    pub(super) at: usize,
    pub(super) flags: Flags,
    /// Sets of class escapes already seen, by their text and whether they fold.
    pub(super) sets: HashMap<(&'p str, bool), (ClassUnicode, Piece)>,
    outer: Vec<Frame>,
    frame: Frame,
    /// Where each element and operator is.
    tokens: Vec<Range<usize>>,
    runes: u64,
    shared: HashSet<Class>,
    set_ranges: usize,
}

impl<'p> Parser<'p> {
    pub(super) fn new(text: &'p str) -> Self {
        Self {
            text,
            at: 0,
            flags: Flags::default(),
            sets: HashMap::new(),
            outer: Vec::new(),
            frame: Frame::default(),
            tokens: Vec::new(),
            runes: 0,
            shared: HashSet::new(),
            set_ranges: 0,
        }
    }

    /// Reads the whole pattern: what it means, and where each element and operator of it is, in
    /// order.
    pub(super) fn run(mut self) -> Result<(Hir, Vec<Range<usize>>), PatternError> {
        let whole = self.read()?;
        Ok((whole.into_hir(), self.tokens))
    }

    fn read(&mut self) -> Result<Piece, PatternError> {
        // Where the repetition just before this point began: two in a row are refused.
        let mut repeated = None;
        while let Some(c) = self.peek() {
            let start = self.at;
            repeated = match self.operator(c)? {
                Some(operator) => {
                    self.repeat(start, repeated, operator)?;
                    Some(start)
                }
                None => {
                    self.element(c)?;
                    None
                }
            };
            self.token();
        }
        let open = self.frame.open;
        let whole = self.close()?;
        if self.outer.is_empty() {
            return Ok(whole);
        }
        let help = Some(help::missing_paren());
        Err(Reason::MissingParen.at(self.text, open..open + 1, help))
    }

    /// Up to here is one element or operator.
    fn token(&mut self) {
        let from = self.tokens.last().map_or(0, |token| token.end);
        self.tokens.push(from..self.at);
    }

    /// Reads a repetition, without a `?` after it. A brace without counts is none.
    fn operator(&mut self, c: char) -> Result<Option<Operator>, PatternError> {
        let operator = match c {
            '*' => Operator { min: 0, max: None, counted: false },
            '+' => Operator { min: 1, max: None, counted: false },
            '?' => Operator { min: 0, max: Some(1), counted: false },
            '{' => return self.counts(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(operator))
    }

    /// Anything but a repetition.
    fn element(&mut self, c: char) -> Result<(), PatternError> {
        match c {
            '\\' => return self.backslash(),
            '(' => return self.open(),
            ')' => return self.close_group(),
            '[' => {
                let set = self.bracket()?;
                return self.push(Piece::set(&set));
            }
            _ => self.at += c.len_utf8(),
        }
        match c {
            '|' => {
                let branch = self.branch()?;
                self.frame.branches.push(branch);
                Ok(())
            }
            '^' if self.flags.lines => self.push(Piece::look(Look::StartLine)),
            '^' => self.push(Piece::look(Look::Start)),
            '$' if self.flags.lines => self.push(Piece::look(Look::EndLine)),
            '$' => self.push(Piece::look(Look::End)),
            '.' => self.push(Piece::dot(self.flags.dot_newline)),
            c if self.flags.fold => self.literal(c.into()),
            c => self.run_of_literals(c),
        }
    }

    /// A character that means itself, and those after it.
    fn run_of_literals(&mut self, first: char) -> Result<(), PatternError> {
        let mut text = String::from(first);
        // PERF: one piece for all of them. The last one is left alone if it is repeated.
        while let Some((c, length)) = plain(self.rest()) {
            let after = self.rest().as_bytes().get(length);
            if matches!(after, Some(b'*' | b'+' | b'?' | b'{')) {
                break;
            }
            text.push(c);
            self.token();
            self.at += length;
        }
        self.push(Piece::text(text))
    }

    fn backslash(&mut self) -> Result<(), PatternError> {
        let look = match self.rest().as_bytes().get(1) {
            Some(b'A') => Look::Start,
            Some(b'z') => Look::End,
            Some(b'b') => Look::Word,
            Some(b'B') => Look::NotWord,
            Some(b'Q') => return self.quoted(),
            _ => {
                if let Some((_, piece)) = self.class_escape()? {
                    let piece = piece.clone();
                    return self.push(piece);
                }
                let point = self.escape()?;
                return self.literal(point);
            }
        };
        self.at += 2;
        self.push(Piece::look(look))
    }

    /// `\Q...\E`: the text between, or to the end of the pattern, is literal.
    fn quoted(&mut self) -> Result<(), PatternError> {
        self.at += 2;
        let rest = self.rest();
        let (text, length) = match rest.find("\\E") {
            Some(end) => (&rest[..end], end + 2),
            None => (rest, rest.len()),
        };
        for c in text.chars() {
            self.literal(c.into())?;
        }
        self.at += length;
        Ok(())
    }

    fn literal(&mut self, point: u32) -> Result<(), PatternError> {
        self.push(Piece::literal(char::from_u32(point), self.flags.fold))
    }

    fn open(&mut self) -> Result<(), PatternError> {
        let open = self.at;
        let (capture, flags) = if self.rest().starts_with("(?") {
            match self.group_start()? {
                Opened::Flags(flags) => {
                    self.flags = flags;
                    return Ok(());
                }
                Opened::Group(flags) => (false, flags),
                Opened::Capture => (true, self.flags),
            }
        } else {
            self.at += 1;
            (true, self.flags)
        };
        let frame = Frame { open, capture, outer: self.flags, ..Frame::default() };
        self.outer.push(std::mem::replace(&mut self.frame, frame));
        self.flags = flags;
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), PatternError> {
        let piece = self.close()?;
        let Some(outer) = self.outer.pop() else {
            let help = Some(help::unexpected_paren());
            return Err(Reason::UnexpectedParen.at(self.text, self.at..self.at + 1, help));
        };
        self.at += 1;
        let inner = std::mem::replace(&mut self.frame, outer);
        self.flags = inner.outer;
        self.push(if inner.capture { piece.capture() } else { piece })
    }

    /// Ends the branch being read.
    fn branch(&mut self) -> Result<Piece, PatternError> {
        let piece = tree::concat(std::mem::take(&mut self.frame.items));
        self.measure(piece)
    }

    /// Ends the group being read.
    fn close(&mut self) -> Result<Piece, PatternError> {
        let branch = self.branch()?;
        let mut branches = std::mem::take(&mut self.frame.branches);
        branches.push(branch);
        let piece = branches.finish();
        self.measure(piece)
    }

    fn push(&mut self, piece: Piece) -> Result<(), PatternError> {
        let piece = self.measure(piece)?;
        self.frame.items.push(piece);
        Ok(())
    }

    /// Holds a new piece against the limits.
    fn measure(&mut self, mut piece: Piece) -> Result<Piece, PatternError> {
        self.runes += piece.runes();
        self.share(&mut piece);
        let reason = match piece.over() {
            _ if self.runes > RUNES_MAX || self.set_ranges > SET_RANGES_MAX => Reason::Large,
            Some(Over::Size) => Reason::Large,
            Some(Over::Height) => Reason::NestingDepth,
            None => return Ok(piece),
        };
        Err(reason.at(self.text, 0..self.text.len(), Some(help::too_big())))
    }

    /// Equal sets of one pattern share their memory.
    pub(super) fn share(&mut self, piece: &mut Piece) {
        self.set_ranges += piece.share(&mut self.shared);
    }

    /// Repeats what was read last.
    fn repeat(
        &mut self,
        start: usize,
        repeated: Option<usize>,
        operator: Operator,
    ) -> Result<(), PatternError> {
        // Lazy or greedy: whether there is a match is the same.
        self.eat("?");
        let span = start..self.at;
        if let Some(first) = repeated {
            let quoted = &self.text[first..self.at];
            return Err(Reason::RepeatOp.at(quoted, first..self.at, Some(help::nested(quoted))));
        }
        let quoted = &self.text[span.clone()];
        let Some(piece) = self.frame.items.pop() else {
            let help = help::missing_argument(quoted, self.text);
            return Err(Reason::MissingRepeatArgument.at(quoted, span, Some(help)));
        };
        let Operator { min, max, counted } = operator;
        let piece = if counted { piece.repeat_counted(min, max) } else { piece.repeat(min, max) };
        let piece = self.measure(piece)?;
        if piece.copies() > u32::from(REPEAT_MAX) {
            return Err(Reason::RepeatSize.at(quoted, span, Some(help::repeat_product())));
        }
        self.frame.items.push(piece);
        Ok(())
    }

    /// Reads `{2}`, `{2,}` or `{2,5}`; anything else is a literal brace.
    fn counts(&mut self) -> Result<Option<Operator>, PatternError> {
        let rest = self.rest();
        let Some(counts) = Counts::read(rest) else { return Ok(None) };
        let span = self.at..self.at + counts.length;
        let Some(operator) = counts.operator() else {
            let help = Some(help::repeat_count(counts.min, counts.max));
            return Err(Reason::RepeatSize.at(&rest[..counts.length], span, help));
        };
        self.at = span.end;
        Ok(Some(operator))
    }

    // What is left, and small steps through it.

    pub(super) fn rest(&self) -> &'p str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        if there {
            self.at += text.len();
        }
        there
    }
}

/// The numbers in braces.
struct Counts {
    min: u64,
    max: Option<u64>,
    /// Bytes, with the braces.
    length: usize,
}

impl Counts {
    fn read(text: &str) -> Option<Self> {
        let (min, rest) = number(text.strip_prefix('{')?)?;
        let (max, rest) = match rest.strip_prefix(',') {
            None => (Some(min), rest),
            Some(rest) if rest.starts_with('}') => (None, rest),
            Some(rest) => number(rest).map(|(max, rest)| (Some(max), rest))?,
        };
        let rest = rest.strip_prefix('}')?;
        Some(Self { min, max, length: text.len() - rest.len() })
    }

    /// `None`: over [`REPEAT_MAX`], or the wrong way round.
    fn operator(&self) -> Option<Operator> {
        let fits = |count: u64| u16::try_from(count).ok().filter(|&count| count <= REPEAT_MAX);
        let min = fits(self.min)?;
        let max = match self.max {
            None => None,
            Some(max) => Some(fits(max).filter(|&max| min <= max)?),
        };
        Some(Operator { min, max, counted: true })
    }
}

/// A decimal number without leading zeros; one too large to hold is a large one.
fn number(text: &str) -> Option<(u64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u64::MAX), rest))
}

/// The character that the text begins with, plain or with a backslash before it, and how many
/// bytes it takes; `None` if it may be anything else than itself.
fn plain(text: &str) -> Option<(char, usize)> {
    let mut chars = text.chars();
    match chars.next()? {
        '\\' => chars.next().filter(char::is_ascii_punctuation).map(|c| (c, 2)),
        '(' | ')' | '[' | '|' | '^' | '$' | '.' | '*' | '+' | '?' | '{' => None,
        c => Some((c, c.len_utf8())),
    }
}
