//! Tables: a question at the start of a line, and its expectations indented below it.

use std::fmt::Write;

/// A question of a table.
pub struct Entry<'t> {
    /// The question; what a JSON string stands for.
    pub source: String,
    body: Vec<&'t str>,
}

impl<'t> Entry<'t> {
    /// The expectations: the first word of each, and the rest.
    pub fn lines(&self) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.body.iter().map(|line| {
            let line = line.trim();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            (word, rest.trim_start())
        })
    }
}

/// A table with every expectation as it should be: `answer` appends those of one question.
pub fn expect(
    text: &str,
    answer: fn(&Entry<'_>, &mut String) -> Result<(), String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut questions = 0;
    while let Some((index, line)) = lines.next() {
        let _ = writeln!(out, "{line}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let placed = |why: String| format!("line {}: {why}", index + 1);
        if line.starts_with(' ') {
            return Err(placed("an expectation without a question".into()));
        }
        questions += 1;
        let source = unquoted(line).map_err(placed)?;
        let mut body = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with(' ')) {
            body.push(line);
        }
        answer(&Entry { source, body }, &mut out).map_err(placed)?;
    }
    if questions == 0 { Err("there is no question".into()) } else { Ok(out) }
}

/// A text that starts with `"` is a JSON string, for what a line cannot hold.
pub fn unquoted(text: &str) -> Result<String, String> {
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    serde_json::from_str(text).map_err(|error| format!("not a JSON string: {error}"))
}
