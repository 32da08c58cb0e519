//! Patterns: tables of a pattern and the image paths it matches.
//!
//! Every answer is asked twice, of the plain matcher and of the automata that decide requests; a
//! case where they differ cannot be accepted.

use std::fmt::Write;

use caapc_compiler::automata::{self, Builder, TailCache};
use caapc_compiler::hir::Hir;
use caapc_compiler::pattern::plain::Plain;
use caapc_compiler::pattern::{self, PatternError};
use caapc_vm::matcher::{Matcher, MatcherScratch};

use super::table::{self, Entry};
use crate::suite::{Shape, Suite};

/// `golden/pattern/`.
pub const SUITE: Suite = Suite {
    name: "pattern",
    folder: "golden/pattern",
    beside: &[],
    shape: Shape::Table { extension: "txt", expect: |case| table::expect(&case.input, answer) },
    together: None,
};

fn answer(entry: &Entry<'_>, out: &mut String) -> Result<(), String> {
    let both = match pattern::parse(&entry.source) {
        Ok(hir) => Both::new(&hir)?,
        Err(error) => {
            refused(&entry.source, &error, out);
            return Ok(());
        }
    };
    let mut any = false;
    for (word, rest) in entry.lines() {
        match word {
            "yes" | "no" => {
                let text = table::unquoted(rest)?;
                let word = if both.is_match(&text)? { "yes" } else { "no" };
                let _ = writeln!(out, "{}", format!("  {word:<3}  {rest}").trim_end());
                any = true;
            }
            // The pattern was refused when these were accepted.
            "error" | "help" => {}
            _ => return Err(format!("`{word}` is none of `yes`, `no`, `error`, `help`")),
        }
    }
    if any { Ok(()) } else { Err("ask at least one image path: `  yes  docker.io/a`".into()) }
}

fn refused(source: &str, error: &PatternError, out: &mut String) {
    let column = source[..error.span.start].chars().count() + 1;
    let _ = writeln!(out, "  error {column}: {}", error.go);
    if let Some(help) = &error.help {
        let _ = writeln!(out, "  help  {help}");
    }
}

/// One pattern in both matchers.
pub struct Both {
    plain: Plain,
    tables: Matcher,
}

impl Both {
    /// Builds both.
    pub fn new(hir: &Hir) -> Result<Self, String> {
        let shape = automata::shape(hir, &automata::Limits::default());
        let mut builder = Builder::new();
        builder.add(&shape.map_err(|error| error.to_string())?, 0);
        let tables = builder.finish(1, &mut TailCache::new()).map_err(|error| error.to_string())?;
        Ok(Self { plain: Plain::new(hir).map_err(|error| error.to_string())?, tables })
    }

    /// What both say, or that they differ.
    pub fn is_match(&self, text: &str) -> Result<bool, String> {
        let plain = self.plain.is_match(text);
        let mut scratch = MatcherScratch::new();
        scratch.prepare(&self.tables);
        let mut hits = [0_u64];
        self.tables.mark(text, &[1], &mut scratch, &mut hits);
        let tables = hits[0] & 1 == 1;
        if plain == tables {
            return Ok(plain);
        }
        Err(format!("{text:?}: the plain matcher says {plain}, the automata say {tables}"))
    }
}
