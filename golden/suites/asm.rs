//! Programs written by hand, run on facts written by hand: the machine alone.
//!
//! A case is a listing, a line `--- facts ---`, facts, and what the machine says of them, step by
//! step. Together the cases run every instruction and take every test both ways.

use std::collections::BTreeSet;
use std::sync::Mutex;

use caapc_compiler::time::parse_rfc3339;
use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};
use caapc_vm::isa::Op;
use caapc_vm::listing::{Options, listing};
use caapc_vm::program::Program;
use caapc_vm::run::{self, Event, Scratch};
use caapc_vm::trace::trace;

use crate::suite::{Case, Shape, Suite};

/// `golden/asm/`.
pub const SUITE: Suite = Suite {
    name: "asm",
    folder: "golden/asm",
    beside: &[],
    shape: Shape::Tail { extension: "listing", marker: "# --- trace ---", expect },
    together: Some(covered),
};

const FACTS: &str = "--- facts ---\n";

/// Every instruction that ran, with how its test ended.
static RAN: Mutex<BTreeSet<(Op, Option<bool>)>> = Mutex::new(BTreeSet::new());

fn expect(case: &Case) -> Result<String, String> {
    let Some((text, facts)) = case.input.split_once(FACTS) else {
        return match caapc_compiler::assemble(&case.input) {
            Ok(_) => Err(format!("add a line `{}` and facts", FACTS.trim_end())),
            Err(error) => Ok(format!("refused: {error}\n")),
        };
    };
    let program = caapc_compiler::assemble(text).map_err(|error| error.to_string())?;
    round_trip(&program)?;
    let mut expected = String::new();
    let mut given = Given::default();
    for line in facts.lines() {
        if let Some(image) = given.line(line)? {
            expected.push_str(&given.run(&program, &image)?);
        }
    }
    Ok(expected)
}

/// A program is the same after its listing, and after its bytes.
pub fn round_trip(program: &Program) -> Result<(), String> {
    let text = listing(program, &Options::default());
    let again = caapc_compiler::assemble(&text).map_err(|error| format!("its listing: {error}"))?;
    let bytes = program.encode();
    let decoded = Program::decode(&bytes).map_err(|fault| format!("its bytes: {fault}"))?;
    if again.encode() == bytes && decoded.encode() == bytes {
        Ok(())
    } else {
        Err("it is another program after its listing or its bytes".into())
    }
}

/// The facts as they stand while the lines are read.
#[derive(Default)]
struct Given {
    now: Option<Timestamp>,
    skew_secs: u32,
    labels: Vec<(String, String)>,
    namespace: Vec<(String, String)>,
}

struct Image {
    path: String,
    canonical: Option<String>,
    status: ScanStatus,
    last_scan: Option<Timestamp>,
}

impl Given {
    /// Takes one line; an image line gives an image to run.
    fn line(&mut self, line: &str) -> Result<Option<Image>, String> {
        let mut words = line.split_whitespace();
        match words.next() {
            None => {}
            Some("now") => self.now = Some(time(words.next().unwrap_or(""))?),
            Some("skew") => {
                self.skew_secs =
                    words.next().and_then(|word| word.parse().ok()).ok_or("skew SECONDS")?
            }
            Some("labels") => self.labels = pairs(words)?,
            Some("namespace") => self.namespace = pairs(words)?,
            Some("image") => return image(words.collect()).map(Some),
            Some(word) => {
                return Err(format!("`{word}` is none of now, skew, labels, namespace, image"));
            }
        }
        Ok(None)
    }

    fn run(&self, program: &Program, image: &Image) -> Result<String, String> {
        let borrow = |labels: &'_ [(String, String)]| -> Vec<(String, String)> { labels.to_vec() };
        let (labels, namespace) = (borrow(&self.labels), borrow(&self.namespace));
        let labels: Vec<(&str, &str)> =
            labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let namespace: Vec<(&str, &str)> =
            namespace.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let request = RequestFacts {
            labels: &labels,
            namespace_labels: &namespace,
            now: self.now.ok_or("say what time it is: `now 2026-01-01T00:00:00Z`")?,
            skew_secs: self.skew_secs,
        };
        let image = ImageFacts {
            path: &image.path,
            canonical: image.canonical.as_deref(),
            status: image.status,
            last_scan: image.last_scan,
        };
        note_ran(program, &request, &image);
        Ok(trace(program, &mut Scratch::new(), &request, &image).1)
    }
}

fn note_ran(program: &Program, request: &RequestFacts<'_>, image: &ImageFacts<'_>) {
    let Ok(mut ran) = RAN.lock() else { return };
    let op = |pc: u32| program.draft().code[pc as usize].op;
    let mut scratch = Scratch::new();
    run::walk(program, &mut scratch, request, image, &mut |event| {
        if let Event::Step(step) = event {
            ran.insert((op(step.pc), step.holds));
        }
    });
    run::select(program, &mut scratch, request);
    run::run_seen(program, &mut scratch, image, &mut |pc, holds, _| {
        ran.insert((op(pc), holds));
    });
}

/// Every instruction is run, and every test is taken both ways.
fn covered() -> Result<(), String> {
    let ran = RAN.lock().map_err(|_| "another case panicked")?;
    let mut missing = Vec::new();
    for &op in Op::ALL {
        let row = op.row();
        let ways: &[Option<bool>] = if row.class.is_test() || op.kept().is_some() {
            &[Some(true), Some(false)]
        } else {
            &[None]
        };
        missing.extend(ways.iter().filter(|way| !ran.contains(&(op, **way))).map(
            |way| match way {
                None => format!("`{}` is never run", row.mnemonic),
                Some(holds) => format!("`{}` never ends with {holds}", row.mnemonic),
            },
        ));
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
}

fn pairs<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<(String, String)>, String> {
    words
        .map(|word| {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("`{word}` is not KEY=VALUE"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn image(words: Vec<&str>) -> Result<Image, String> {
    let (path, status, scan, canonical) = match words.as_slice() {
        [path, status, scan] => (path, status, scan, None),
        [path, status, scan, canonical] => (path, status, scan, Some((*canonical).to_owned())),
        _ => return Err("image PATH STATUS TIME|never [CANONICAL]".into()),
    };
    Ok(Image {
        path: (*path).to_owned(),
        canonical,
        status: ScanStatus::from_word(status).ok_or_else(|| format!("`{status}` is no status"))?,
        last_scan: if *scan == "never" { None } else { Some(time(scan)?) },
    })
}

fn time(word: &str) -> Result<Timestamp, String> {
    parse_rfc3339(word).map_err(|error| format!("`{word}`: {error}"))
}
