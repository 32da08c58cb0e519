//! The golden runner: every file of expected output in `golden/`, compared or, on demand, accepted.
//!
//! It knows nothing of policies; each suite in `suites/` says what a case of its folder should look
//! like. README.md says how to add, run and accept cases. Start at [`main`]; a new suite is one
//! file in `suites/` and one line in [`suites::ALL`].

#![allow(unreachable_pub, reason = "a test binary: nothing in it is public to anyone")]

mod accept;
#[path = "../tests/support/arguments.rs"]
mod arguments;
mod find;
mod run;
mod service;
mod suite;
mod suites;

use std::process::ExitCode;

use self::arguments::Arguments;
use self::run::Tally;

/// What the command line asks for.
struct Request {
    arguments: Arguments,
    /// Rewrite expectations instead of comparing them.
    bless: bool,
}

/// That every file below `golden/` belongs to a suite.
const LAYOUT: &str = "layout";

fn main() -> ExitCode {
    let request = match request() {
        Ok(request) => request,
        Err(why) => {
            eprintln!("golden: {why}");
            return ExitCode::from(2);
        }
    };
    let mut tally = Tally::default();
    let list = request.arguments.list;
    if request.arguments.want(LAYOUT) {
        if list {
            println!("{LAYOUT}: test");
        } else {
            tally.count(LAYOUT, find::check_layout());
        }
    }
    for suite in suites::ALL {
        run::run(suite, &request, &mut tally);
    }
    if list {
        return ExitCode::SUCCESS;
    }
    println!("golden: {} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads the arguments, and `BLESS` and `CI`.
fn request() -> Result<Request, String> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let (arguments, bless) = (Arguments::read(), is_set("BLESS"));
    if bless && is_set("CI") {
        return Err("BLESS is refused where CI is set: expectations are accepted by people".into());
    }
    if bless && arguments.names.is_empty() {
        return Err("say which cases to accept: BLESS=1 cargo test --test golden SUITE/CASE".into());
    }
    Ok(Request { arguments, bless })
}
