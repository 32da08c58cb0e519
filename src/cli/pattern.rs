//! `caapc pattern`: what a pattern of an `imagePath` matches, how it is searched, and what its
//! author may not have meant.
//!
//! Answers come from the automata that decide requests, not from the plain matcher of tests.

use caapc_compiler::automata::{self, Builder, Shape, TailCache};
use caapc_compiler::hir::Hir;
use caapc_compiler::pattern::lint::{PatternLint, lint};
use caapc_compiler::pattern::{self, PatternError};
use caapc_vm::matcher::{Matcher, MatcherScratch};
use serde::{Deserialize, Serialize};

use super::batch;
use super::io::{Exit, Failure, Out, Output, read_text, shown};

/// Read an image path pattern: what it matches, how it is searched, and likely slips.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The pattern, a regular expression of Go, such as `^gcr\.io/`; `-` reads it from standard
    /// input, without the line end. Put `--` before one that starts with an option, as `-o`.
    #[arg(value_name = "REGEX", required_unless_present = "batch", allow_hyphen_values = true)]
    regex: Option<String>,

    /// Images to match, as they are written in a workload.
    #[arg(value_name = "STRING")]
    strings: Vec<String>,

    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t, conflicts_with = "batch")]
    output: Output,

    /// Answer JSON lines from standard input, each `{"p": pattern, "x": [strings]}`.
    ///
    /// Each is answered in the same order with `{"p", "ok", "err"?, "m"?}`, where `err` is the
    /// sentence of Go and `m` has one boolean for each string. A line that cannot be read is
    /// answered with `"ok": false` and makes the exit code 2.
    #[arg(long, conflicts_with_all = ["regex", "strings"])]
    batch: bool,
}

const EXAMPLES: &str = r#"Examples:
  Which images a pattern matches; it is looked for anywhere in the image, tag and digest included:
    caapc pattern '^gcr\.io/company/' gcr.io/company/app:1 docker.io/library/nginx

  What is wrong with a pattern, and what to write instead:
    caapc pattern '*.gcr.io'

  The same for a program:
    caapc pattern '^gcr.io/' gcrxio/app -o json

  Many at once:
    echo '{"p": "^gcr", "x": ["gcr.io/a", "quay.io/a"]}' | caapc pattern --batch

Patterns:
  ^  $      the beginning and the end         a|b    a or b
  \.        a dot; `.` is any character       (..)   a group; (?i) ignores case
  [a-z]     one of these characters           [^/]   any other character
  *  +  ?   any number, at least one, at most one    {2,5}  so many
  The dialect is that of Go (RE2): no look-around, no back references.

Exit codes: 0 the pattern was read, whatever it matches; 2 it is none, it is too big, or a line of
the batch cannot be read."#;

/// Why there is no automaton.
enum Refused {
    Pattern(PatternError),
    TooBig(automata::TooBig),
}

impl Refused {
    fn report(&self, place: &str, text: &str) -> String {
        match self {
            Self::Pattern(error) => error.report(place, text),
            Self::TooBig(error) => format!("{place}: {error}"),
        }
    }

    /// One sentence: that of Go where Go has one.
    fn sentence(&self) -> String {
        match self {
            Self::Pattern(error) => error.go.clone(),
            Self::TooBig(error) => error.to_string(),
        }
    }
}

/// A pattern, ready to match.
struct Ready {
    hir: Hir,
    shape: Shape,
    cache: TailCache,
    matcher: Matcher,
    scratch: MatcherScratch,
}

impl Ready {
    fn new(text: &str) -> Result<Self, Refused> {
        let hir = pattern::parse(text).map_err(Refused::Pattern)?;
        let shape = automata::shape(&hir, &automata::Limits::default()).map_err(Refused::TooBig)?;
        let mut cache = TailCache::new();
        let mut builder = Builder::new();
        builder.add(&shape, 0);
        let matcher = builder.finish(1, &mut cache).map_err(Refused::TooBig)?;
        let mut scratch = MatcherScratch::new();
        scratch.prepare(&matcher);
        Ok(Self { hir, shape, cache, matcher, scratch })
    }

    /// What it became, in one line.
    fn automaton(&mut self) -> String {
        self.shape.describe(&mut self.cache).unwrap_or_else(|error| error.to_string())
    }

    fn matches(&mut self, text: &str) -> bool {
        let mut hits = [0];
        self.matcher.mark(text, &[1], &mut self.scratch, &mut hits);
        hits != [0]
    }
}

/// A line of the batch. Other fields are ignored, so that answers can be asked again.
#[derive(Deserialize)]
struct Question {
    p: String,
    x: Option<Vec<String>>,
}

/// The answer to a pattern in the batch, one line of JSON.
#[derive(Serialize)]
struct Answer {
    p: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<Vec<bool>>,
}

/// The answer to `-o json`: that of the batch, and what a person is told besides.
#[derive(Serialize)]
struct Full {
    #[serde(flatten)]
    answer: Answer,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<[usize; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    automaton: Option<String>,
    warnings: Vec<Warning>,
}

/// A warning; `span` counts bytes of the pattern.
#[derive(Serialize)]
struct Warning {
    code: &'static str,
    span: [usize; 2],
    message: String,
    help: String,
}

/// Runs `caapc pattern`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let Args { regex, strings, output, batch } = args;
    if batch {
        let shape = r#"{"p": pattern, "x": [strings]}"#;
        return batch::run(out, shape, |Question { p, x }| {
            let ready = Ready::new(&p);
            answer(p, x.as_deref(), ready).0
        });
    }
    let (place, text) = match regex.as_deref() {
        Some("-") | None => {
            let text = read_text("-".as_ref())?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            ("standard input", line.strip_suffix('\r').unwrap_or(line).to_owned())
        }
        Some(regex) => ("pattern", regex.to_owned()),
    };
    let ready = Ready::new(&text);
    let failure = ready.as_ref().err().map(|refused| refused.report(place, &text));
    match (output, ready) {
        (Output::Json, ready) => {
            let line = serde_json::to_string(&full(text, &strings, ready));
            out.line(&line.map_err(|error| Failure::Environment(error.to_string()))?)?;
        }
        (Output::Text, Ok(ready)) => print(&text, &strings, ready, out)?,
        (Output::Text, Err(_)) => {}
    }
    match failure {
        None => Ok(Exit::Fine),
        Some(failure) => {
            out.flush()?;
            Err(Failure::Input(failure))
        }
    }
}

fn answer(
    p: String,
    strings: Option<&[String]>,
    ready: Result<Ready, Refused>,
) -> (Answer, Result<Ready, Refused>) {
    match ready {
        Ok(mut ready) => {
            let m = strings.map(|strings| strings.iter().map(|text| ready.matches(text)).collect());
            (Answer { p, ok: true, err: None, m }, Ok(ready))
        }
        Err(refused) => {
            (Answer { p, ok: false, err: Some(refused.sentence()), m: None }, Err(refused))
        }
    }
}

fn full(text: String, strings: &[String], ready: Result<Ready, Refused>) -> Full {
    match answer(text, Some(strings), ready) {
        (answer, Ok(mut ready)) => {
            let warnings = lint(&answer.p, &ready.hir).into_iter().map(|lint| {
                let PatternLint { code, span, message, help } = lint;
                Warning { code, span: [span.start, span.end], message, help }
            });
            let warnings = warnings.collect();
            let automaton = Some(ready.automaton());
            Full { answer, span: None, help: None, automaton, warnings }
        }
        (answer, Err(refused)) => {
            let (span, help) = match refused {
                Refused::Pattern(error) => (Some([error.span.start, error.span.end]), error.help),
                Refused::TooBig(_) => (None, None),
            };
            Full { answer, span, help, automaton: None, warnings: Vec::new() }
        }
    }
}

fn print(text: &str, strings: &[String], mut ready: Ready, out: &mut Out) -> Result<(), Failure> {
    out.line(&format!("pattern    {}", shown(text)))?;
    out.line(&format!("automaton  {}", shown(&ready.automaton())))?;
    for string in strings {
        let answer = if ready.matches(string) { "yes" } else { "no" };
        let string = if string.is_empty() { "(nothing)".to_owned() } else { shown(string) };
        out.line(&format!("{answer:<9}  {string}"))?;
    }
    for lint in lint(text, &ready.hir) {
        out.line("")?;
        out.line(&lint.report(&format!("warning {}, pattern", lint.code), text))?;
    }
    Ok(())
}
