//! The machine by itself, for people who change something: each part at each workload, with
//! `RegexSet` for each rule beside it.
//!
//! `cargo bench -p caapc-compiler --bench machine`; a word after `--` picks what has it in its
//! name, as in `-- verdicts`. What is promised is in `reach`.
#![allow(missing_docs)]

#[path = "sides.rs"]
mod sides;
#[path = "workload.rs"]
mod workload;

use divan::{Bencher, black_box};
use sides::{ByHand, Machine, Turns};

/// So many policies: W1, W10, W100, W1000.
const WORKLOADS: [usize; 4] = [1, 10, 100, 1_000];

fn main() {
    divan::main();
}

/// A whole request: its policies, then the verdict of each of its images.
mod request {
    use super::*;

    #[divan::bench(args = WORKLOADS)]
    fn caapc(bencher: Bencher<'_, '_>, policies: usize) {
        let (mut machine, mut turns) = (Machine::new(policies), Turns::fresh());
        bencher.bench_local(|| machine.request(turns.turn()));
    }

    /// Policies are not selected: its rules are asked as if all applied.
    #[divan::bench(args = [1, 10, 100])]
    fn regex_set_a_rule(bencher: Bencher<'_, '_>, policies: usize) {
        let rules = ByHand::new(policies);
        bencher.bench_local(|| rules.verdicts());
    }
}

/// Which policies apply.
mod select {
    use super::*;

    #[divan::bench(args = WORKLOADS)]
    fn same_labels(bencher: Bencher<'_, '_>, policies: usize) {
        with(Turns::same(), bencher, policies);
    }

    #[divan::bench(args = WORKLOADS)]
    fn fresh_labels(bencher: Bencher<'_, '_>, policies: usize) {
        with(Turns::fresh(), bencher, policies);
    }

    #[divan::bench(args = WORKLOADS)]
    fn shuffled_labels(bencher: Bencher<'_, '_>, policies: usize) {
        with(Turns::shuffled(), bencher, policies);
    }

    fn with(mut turns: Turns, bencher: Bencher<'_, '_>, policies: usize) {
        let mut machine = Machine::new(policies);
        bencher.bench_local(|| machine.select(turns.turn()));
    }
}

/// The verdicts of a request's images, its policies being selected.
#[divan::bench(args = WORKLOADS)]
fn verdicts(bencher: Bencher<'_, '_>, policies: usize) {
    let mut machine = Machine::new(policies);
    machine.select(&workload::LABELS);
    bencher.bench_local(|| machine.verdicts());
}

/// The patterns of all rules in the images, whichever policies apply.
#[divan::bench(args = WORKLOADS)]
fn patterns(bencher: Bencher<'_, '_>, policies: usize) {
    let machine = Machine::new(policies);
    let matcher = &machine.program.draft().matcher;
    let words = matcher.hits().div_ceil(64) as usize;
    let (wanted, mut hits) = (vec![u64::MAX; words], vec![0; words]);
    let mut scratch = caapc_vm::matcher::MatcherScratch::new();
    scratch.prepare(matcher);
    bencher.bench_local(|| {
        for image in workload::images(policies) {
            hits.fill(0);
            matcher.mark(black_box(image), &wanted, &mut scratch, &mut hits);
        }
    });
}

/// From text to what runs.
mod compile {
    use super::*;

    #[divan::bench(args = WORKLOADS, sample_count = 10, sample_size = 1)]
    fn all(bencher: Bencher<'_, '_>, policies: usize) {
        let texts = workload::texts(policies);
        bencher.bench(|| sides::set(&texts).link());
    }

    /// One policy has a new version.
    #[divan::bench(args = WORKLOADS, sample_count = 20, sample_size = 1)]
    fn one_changed(bencher: Bencher<'_, '_>, policies: usize) {
        let texts = workload::texts(policies);
        let mut set = sides::set(&texts);
        let changed = &texts[policies / 2];
        let mut turn = 0;
        bencher.bench_local(|| {
            turn += 1;
            sides::add(&mut set, &changed.replace("days: 3", &format!("days: {}", 3 + turn % 40)));
            set.link()
        });
    }

    /// What `RegexSet` needs for the same rules.
    #[divan::bench(args = [1, 10, 100], sample_count = 5, sample_size = 1)]
    fn regex_set_a_rule(policies: usize) -> ByHand {
        ByHand::new(policies)
    }
}
