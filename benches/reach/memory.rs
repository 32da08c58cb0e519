//! What a serving process keeps for the policies of W1000, as resident memory.
//!
//! Measured in a process of its own, which has done nothing before: this program started again
//! with [`FLAG`]. What is kept is what the webhook keeps: the set with its units and its linker,
//! and the program; policies are read one by one, as a watch brings them.

use std::process::Command;

use crate::results::field;
use crate::{sides, workload};

/// Makes a process measure itself and print the two figures.
pub(crate) const FLAG: &str = "--resident-of-w1000";

pub(crate) struct Resident {
    /// Bytes a rule that stay.
    pub(crate) rule: f64,
    /// Bytes a rule at the highest while compiling.
    pub(crate) peak: f64,
}

const POLICIES: usize = 1_000;

/// Of a fresh process.
pub(crate) fn resident() -> Resident {
    let this = std::env::current_exe().expect("a path");
    let output = Command::new(this).arg(FLAG).output().expect("this program runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    let kib: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [stays, peak] = kib[..] else { panic!("the process printed `{text}`") };
    let rules = (POLICIES * 10) as f64;
    Resident { rule: stays * 1024.0 / rules, peak: peak * 1024.0 / rules }
}

/// In the fresh process: KiB more than before any policy, now and at the highest.
pub(crate) fn print() {
    let before = kib("VmRSS");
    let mut set = sides::set(&[]);
    for nth in 0..POLICIES {
        sides::add(&mut set, &workload::policy(nth, POLICIES));
    }
    let program = set.link().expect("the workload fits");
    println!("{} {}", kib("VmRSS") - before, kib("VmHWM") - before);
    drop((set, program));
}

fn kib(name: &str) -> i64 {
    let value = field("/proc/self/status", name).unwrap_or_default();
    value.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}
