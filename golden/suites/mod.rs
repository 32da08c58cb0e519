//! The suites, one file each, in the order they run.

mod asm;
mod cli;
mod compile;
mod corpora;
mod decide;
mod install;
mod isa;
mod pattern;
mod reports;
mod scan;
mod selector;
mod table;

use super::suite::Suite;

/// Every suite. A new one is a file beside this one and a line here.
pub const ALL: &[Suite] = &[
    selector::GRAMMAR,
    selector::SUITE,
    pattern::SUITE,
    reports::ERRORS,
    reports::LINT,
    install::SUITE,
    asm::SUITE,
    compile::SUITE,
    decide::SUITE,
    decide::RECORDINGS,
    isa::SUITE,
    cli::SUITE,
    scan::SUITE,
    corpora::SUITE,
];
