//! Runs the cases of a suite and counts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::Request;
use super::accept::{commented, compare};
use super::find::{self, Found};
use super::suite::{Shape, Suite};

/// How many cases passed and failed so far.
#[derive(Default)]
pub struct Tally {
    /// Cases that are as they should be.
    pub passed: usize,
    /// Cases that are not, and files that belong to none.
    pub failed: usize,
}

impl Tally {
    /// Counts one result, and prints it if it is a failure.
    pub fn count(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(why) => {
                self.failed += 1;
                println!("FAILED    {name}\n{why}\n");
            }
        }
    }
}

/// Runs the cases of a suite that are asked for.
pub fn run(suite: &Suite, request: &Request, tally: &mut Tally) {
    let (found, faults) = match find::cases(suite) {
        Ok(found) => found,
        Err(why) => return tally.count(suite.name, Err(why)),
    };
    let all = found.len();
    let wanted: Vec<Found> =
        found.into_iter().filter(|(name, _)| request.arguments.want(name)).collect();
    if request.arguments.list {
        for (name, _) in &wanted {
            println!("{name}: test");
        }
        return;
    }
    let (passed, failed) = (tally.passed, tally.failed);
    for fault in faults {
        tally.count(suite.name, Err(fault));
    }
    for found in &wanted {
        tally.count(&found.0, guarded(|| one(suite, found, request.bless)));
    }
    if let Some(together) = suite.together.filter(|_| wanted.len() == all) {
        tally.count(&format!("{} together", suite.name), guarded(together));
    }
    let (passed, failed) = (tally.passed - passed, tally.failed - failed);
    if passed + failed > 0 {
        println!("{:<12}{passed} passed, {failed} failed", suite.name);
    }
}

/// A panic fails its case, not the run.
fn guarded(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a text")))
    })
}

fn one(suite: &Suite, found: &Found, bless: bool) -> Result<(), String> {
    let (name, path) = found;
    let (case, before) = find::read_case(suite, found)?;
    match &suite.shape {
        Shape::Table { expect, .. } => {
            compare(name, path, before.as_deref(), &expect(&case)?, bless)
        }
        Shape::Page { expect } => compare(name, path, before.as_deref(), &expect()?, bless),
        Shape::Tail { marker, expect, .. } => {
            let whole = |tail: &str| format!("{}{marker}\n{tail}", case.input);
            let after = whole(&commented(&expect(&case)?));
            compare(name, path, before.as_deref().map(whole).as_deref(), &after, bless)
        }
        Shape::Folder { outputs, expect, .. } => {
            folder(name, path, outputs, &expect(&case)?, bless)
        }
        Shape::Corpus { check } => {
            let answers = check(path)?;
            println!("{:<12}{name}: {answers} answers equal", suite.name);
            Ok(())
        }
    }
}

fn folder(
    name: &str,
    path: &Path,
    outputs: &[&'static str],
    after: &[(&'static str, String)],
    bless: bool,
) -> Result<(), String> {
    if let Some((output, _)) = after.iter().find(|(output, _)| !outputs.contains(output)) {
        return Err(format!("`{output}` came out, and the suite does not declare it"));
    }
    for output in outputs {
        let path = path.join(output);
        let before = path.exists().then(|| find::read(&path)).transpose()?;
        match (after.iter().find(|(name, _)| name == output), before) {
            (Some((_, after)), before) => compare(name, &path, before.as_deref(), after, bless)?,
            (None, Some(_)) => {
                return Err(format!("{}: nothing makes this any more; remove it", path.display()));
            }
            (None, None) => {}
        }
    }
    Ok(())
}
