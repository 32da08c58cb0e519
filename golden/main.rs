//! The golden runner: every file of expected output in `golden/`, compared or, on demand, accepted.
//!
//! It knows nothing of policies; each suite in `suites/` says what a case of its folder should look
//! like. README.md says how to add, run and accept cases. Start at [`main`]; a new suite is one
//! file in `suites/` and one line in [`suites::ALL`].

#![allow(unreachable_pub, reason = "a test binary: nothing in it is public to anyone")]

mod accept;
mod find;
mod run;
mod service;
mod suite;
mod suites;

use std::process::ExitCode;

use self::run::Tally;

/// What the command line asks for.
struct Request {
    /// Parts of case names; a case runs if one of them is in its name, or if there are none.
    names: Vec<String>,
    /// Cases whose name has one of these do not run.
    skipped: Vec<String>,
    /// Rewrite expectations instead of comparing them.
    bless: bool,
    /// Only print the names.
    list: bool,
}

fn main() -> ExitCode {
    let request = match request() {
        Ok(request) => request,
        Err(why) => {
            eprintln!("golden: {why}");
            return ExitCode::from(2);
        }
    };
    let mut tally = Tally::default();
    let whole = request.names.is_empty() && request.skipped.is_empty();
    if whole && !request.list {
        tally.count("layout", find::check_layout());
    }
    for suite in suites::ALL {
        run::run(suite, &request, &mut tally);
    }
    if request.list {
        return ExitCode::SUCCESS;
    }
    println!("golden: {} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads the arguments that `cargo test` hands to every test target, and `BLESS` and `CI`.
fn request() -> Result<Request, String> {
    let mut request = Request { names: Vec::new(), skipped: Vec::new(), bless: false, list: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => request.list = true,
            "--skip" => request.skipped.extend(arguments.next()),
            // The harness of other targets knows these; here they change nothing.
            "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => {
                arguments.next();
            }
            flag if flag.starts_with('-') => {}
            name => request.names.push(name.to_owned()),
        }
    }
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    request.bless = is_set("BLESS");
    if request.bless && is_set("CI") {
        return Err("BLESS is refused where CI is set: expectations are accepted by people".into());
    }
    if request.bless && request.names.is_empty() {
        return Err("say which cases to accept: BLESS=1 cargo test --test golden SUITE/CASE".into());
    }
    Ok(request)
}
