//! Command lines: transcripts of the real program, with its output and exit code.
//!
//! The shape is in `golden/README.md`. Commands run at the root of the repository, without the
//! environment of whoever runs the suite.

use std::fmt::Write;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::suite::{Case, Shape, Suite, root};

/// `golden/cli/`.
pub const SUITE: Suite = Suite {
    name: "cli",
    folder: "golden/cli",
    beside: &[],
    shape: Shape::Table { extension: "txt", expect: transcript },
    together: None,
};

/// How many lines of one stream a transcript may show.
const LINES_MAX: usize = 200;

fn transcript(case: &Case) -> Result<String, String> {
    let mut out = String::new();
    let mut lines = case.input.lines().enumerate().peekable();
    let mut commands = 0;
    while let Some((index, line)) = lines.next() {
        if line.starts_with("  ") {
            continue;
        }
        let _ = writeln!(out, "{line}");
        let placed = |why: String| format!("line {}: {why}", index + 1);
        let Some(command) = line.strip_prefix("$ caapc") else {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            return Err(placed("neither a comment nor `$ caapc ...`".into()));
        };
        commands += 1;
        let mut input = String::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("< ")) {
            let _ = writeln!(out, "{line}");
            let _ = writeln!(input, "{}", &line[2..]);
        }
        let words = words(command).map_err(placed)?;
        let done = run(&words, &input).map_err(|error| placed(error.to_string()))?;
        show(&done, &mut out).map_err(placed)?;
    }
    if commands == 0 { Err("there is no command".into()) } else { Ok(out) }
}

/// Splits as a shell does, as far as `'...'` and `"..."` go; nothing is expanded.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is never closed".into()) } else { Ok(words) }
}

fn run(words: &[String], input: &str) -> std::io::Result<Output> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_caapc"))
        .args(words)
        .current_dir(root())
        .env_clear()
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    let input = input.to_owned();
    // A command that does not read its input closes it: that is not a failure.
    let writer =
        std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output();
    let _ = writer.join();
    output
}

fn show(done: &Output, out: &mut String) -> Result<(), String> {
    for (sign, bytes) in [('|', &done.stdout), ('!', &done.stderr)] {
        let text = std::str::from_utf8(bytes).map_err(|_| "printed what is not UTF-8")?;
        if text.contains(|c: char| c.is_control() && c != '\n') {
            return Err(format!("printed a control character: {text:?}"));
        }
        if text.lines().count() > LINES_MAX {
            return Err(format!("printed more than {LINES_MAX} lines; ask for less"));
        }
        for line in text.lines() {
            let _ = writeln!(out, "{}", format!("  {sign} {line}").trim_end());
        }
    }
    match done.status.code() {
        Some(code) => {
            let _ = writeln!(out, "  exit {code}");
            Ok(())
        }
        None => Err("was ended by a signal".into()),
    }
}
