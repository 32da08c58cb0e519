//! What became of a pattern, in one line for listings.

use std::fmt::Write;

use caapc_vm::matcher::Sizes;
use caapc_vm::matcher::symbols::OTHER;
use caapc_vm::matcher::trie::ANY;

use super::TooBig;
use super::cache::{Automaton, Role, TailCache};
use super::items::char_of;
use super::shape::{Gate, Part, Shape};

/// The most literals that are named one by one.
const NAMED_MAX: usize = 4;

impl<C: AsRef<[u8]>> Shape<C> {
    /// One line, such as ``head `gcr` + dfa 12 states 4 classes 96 bytes``. In literals `.` is
    /// any scalar but a newline, a dot is `\.`.
    ///
    /// # Errors
    /// An automaton is over its budget; not for a shape that [`super::shape`] made.
    pub fn describe(&self, cache: &mut TailCache) -> Result<String, TooBig> {
        let mut line = String::new();
        for part in self.parts() {
            if !line.is_empty() {
                line.push_str(", ");
            }
            part.describe(cache, &mut line)?;
        }
        if line.is_empty() {
            line.push_str("nothing");
        }
        Ok(line)
    }
}

impl Part<'_> {
    fn describe(&self, cache: &mut TailCache, line: &mut String) -> Result<(), TooBig> {
        let unless = |is: bool, side: &'static str| if is { side } else { "" };
        match self {
            Self::Always => line.push_str("always"),
            Self::Head { key, after } => {
                line.push_str("head ");
                literal(line, key);
                line.push_str(unless(*after, " without a newline after it"));
            }
            Self::Exact { key } => {
                line.push_str("exactly ");
                literal(line, key);
            }
            Self::Tail { keys, tail } => {
                line.push_str("head ");
                literals(line, keys);
                line.push_str(" + ");
                automaton(line, &*cache.get(Role::Tail, tail)?);
            }
            Self::Suffix { key, before } => {
                line.push_str("suffix ");
                literal(line, key);
                line.push_str(unless(*before, " without a newline before it"));
            }
            Self::Keyword { key, before, after } => {
                line.push_str("keyword ");
                literal(line, key);
                line.push_str(unless(*before, " without a newline before it"));
                line.push_str(unless(*after, " without a newline after it"));
            }
            Self::Whole { code, gate, .. } => {
                automaton(line, &*cache.get(Role::Whole, code)?);
                match gate {
                    Gate::Open => {}
                    Gate::Keywords(keys) => {
                        line.push_str(" where ");
                        literals(line, keys);
                        line.push_str(" is found");
                    }
                    Gate::Suffix(key) => {
                        line.push_str(" where ");
                        literal(line, key);
                        line.push_str(" is the end");
                    }
                }
            }
            Self::Foreign { code, .. } => {
                automaton(line, &*cache.get(Role::Foreign, code)?);
                line.push_str(" for texts outside ASCII");
            }
        }
        Ok(())
    }
}

fn automaton(line: &mut String, automaton: &Automaton) {
    let _ = match automaton {
        Automaton::Dfa(table) => write!(
            line,
            "dfa {} states {} classes {} bytes",
            table.states(),
            table.stride - 1,
            table.bytes()
        ),
        Automaton::Nfa(nfa) => write!(line, "nfa {} states (fallback)", nfa.steps.len()),
    };
}

fn literals(line: &mut String, keys: &[&[u8]]) {
    for (number, key) in keys.iter().take(NAMED_MAX).enumerate() {
        if number > 0 {
            line.push_str(" or ");
        }
        literal(line, key);
    }
    if keys.len() > NAMED_MAX {
        let _ = write!(line, " or {} more", keys.len() - NAMED_MAX);
    }
}

fn literal(line: &mut String, key: &[u8]) {
    line.push('"');
    for &symbol in key {
        match symbol {
            ANY => line.push('.'),
            OTHER => line.push_str("[^ascii]"),
            b'.' | b'"' | b'\\' => line.extend(['\\', symbol as char]),
            symbol => line.extend(char_of(symbol).escape_debug()),
        }
    }
    line.push('"');
}

/// The bytes of a matcher by part, one line.
pub fn describe(sizes: &Sizes) -> String {
    let Sizes { heads, suffixes, keywords, dfas, nfas, jobs, lists } = sizes;
    format!(
        "{} bytes: heads {heads}, suffixes {suffixes}, keywords {keywords}, {} dfas {}, {} nfas {}, {} whole searches {}, lists {lists}",
        sizes.total(),
        dfas.1,
        dfas.0,
        nfas.1,
        nfas.0,
        jobs.1,
        jobs.0,
    )
}
