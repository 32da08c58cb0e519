//! `--batch`: JSON lines in, one JSON line out for each, in the same order.
//!
//! Nothing is lost: a line that cannot be read is answered too (`"ok": false`), named on standard
//! error, and makes the command end with exit code 2 after all other lines were answered.
//! Memory is bounded by one line. Start at [`run`].

use std::io::BufRead;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::io::{Exit, Failure, Out, tell};

/// The longest line that is read, in bytes.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// How many bad lines are named on standard error; the rest is counted.
const BAD_LINES_NAMED_MAX: usize = 20;

/// The answer to a line that is no question.
#[derive(Serialize)]
struct BadLine {
    ok: bool,
    err: String,
}

/// Answers every line of standard input. Blank lines are skipped.
///
/// `shape` shows what a line looks like, for the message about one that does not.
///
/// # Errors
/// [`Failure::Input`] after the last line if some were not questions; [`Failure::Environment`] if
/// reading or writing fails.
pub fn run<Q: DeserializeOwned, A: Serialize>(
    out: &mut Out,
    shape: &str,
    answer: impl FnMut(Q) -> A,
) -> Result<Exit, Failure> {
    let input = std::io::BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    answer_lines(input, out, shape, answer)
}

fn answer_lines<Q: DeserializeOwned, A: Serialize>(
    mut input: std::io::BufReader<impl std::io::Read>,
    out: &mut Out,
    shape: &str,
    mut answer: impl FnMut(Q) -> A,
) -> Result<Exit, Failure> {
    let (mut lines, mut bad) = (0_usize, 0_usize);
    let mut line = Vec::new();
    loop {
        // Whoever asks line by line gets each answer before the next question is awaited.
        if input.buffer().is_empty() {
            out.flush()?;
        }
        let whole = match read_line(&mut input, &mut line) {
            Ok(Read::End) => break,
            Ok(Read::Line) => true,
            Ok(Read::TooLong) => false,
            Err(error) => {
                return Err(Failure::Environment(format!("cannot read standard input: {error}")));
            }
        };
        lines += 1;
        if whole && line.trim_ascii().is_empty() {
            continue;
        }
        let question = if whole { question(&line) } else { Err(too_long()) };
        match question {
            Ok(question) => write_line(out, &answer(question))?,
            Err(why) => {
                bad += 1;
                let why = format!("line {lines}: {why}");
                if bad <= BAD_LINES_NAMED_MAX {
                    tell(format_args!("caapc: standard input, {why}"));
                }
                write_line(out, &BadLine { ok: false, err: why })?;
            }
        }
    }
    out.flush()?;
    if bad == 0 {
        return Ok(Exit::Fine);
    }
    let verb = if bad == 1 { "line is" } else { "lines are" };
    Err(Failure::Input(format!(
        "standard input: {bad} {verb} not of the form `{shape}`; all others were answered"
    )))
}

fn question<Q: DeserializeOwned>(line: &[u8]) -> Result<Q, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to() + 1))?;
    serde_json::from_str(text).map_err(|error| {
        // serde_json counts lines of its own; ours are the ones the user can count.
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        format!("column {}: {}", error.column(), why.escape_debug())
    })
}

fn too_long() -> String {
    format!("longer than {} MiB, the limit for one line", LINE_BYTES_MAX >> 20)
}

fn write_line(out: &mut Out, answer: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(answer)
        .map_err(|error| Failure::Environment(format!("cannot write an answer: {error}")))?;
    out.line(&text)
}

enum Read {
    /// No more input.
    End,
    /// A line, without its end.
    Line,
    /// A line over the limit; it was skipped.
    TooLong,
}

/// Reads up to the next newline and keeps no more than [`LINE_BYTES_MAX`] bytes.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Read> {
    line.clear();
    let (mut any, mut too_long) = (false, false);
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            break;
        }
        any = true;
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let piece = &chunk[..end.unwrap_or(chunk.len())];
        too_long |= line.len() + piece.len() > LINE_BYTES_MAX;
        if !too_long {
            line.extend_from_slice(piece);
        }
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(match (any, too_long) {
        (false, _) => Read::End,
        (true, true) => Read::TooLong,
        (true, false) => Read::Line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_limit_and_nothing_after_them_is_lost() {
        let mut text = vec![b'x'; LINE_BYTES_MAX];
        text.push(b'\n');
        text.extend(vec![b'y'; LINE_BYTES_MAX + 1]);
        text.extend(b"\nlast");
        let mut input = std::io::BufReader::with_capacity(1000, &text[..]);
        let mut line = Vec::new();
        assert!(matches!(read_line(&mut input, &mut line), Ok(Read::Line)));
        assert_eq!(line.len(), LINE_BYTES_MAX);
        assert!(matches!(read_line(&mut input, &mut line), Ok(Read::TooLong)));
        assert!(line.len() <= LINE_BYTES_MAX);
        assert!(matches!(read_line(&mut input, &mut line), Ok(Read::Line)));
        assert_eq!(line, b"last");
        assert!(matches!(read_line(&mut input, &mut line), Ok(Read::End)));
    }
}
