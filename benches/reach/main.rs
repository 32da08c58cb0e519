//! The reach of the machine: what was promised, measured in one run, interleaved.
//!
//! `cargo bench -p caapc-compiler --bench reach` prints the table; `-- --save` also keeps it for
//! `report`. Every side's verdict is checked before anything is timed. Rows 6 and 10 to 12 are
//! measured elsewhere: ../README.md says where.
#![allow(missing_docs)]

mod changes;
#[path = "../clock.rs"]
mod clock;
mod hostile;
mod memory;
#[path = "../plot.rs"]
mod plot;
#[path = "../results.rs"]
mod results;
#[path = "../sides.rs"]
mod sides;
#[path = "../table.rs"]
mod table;
#[path = "../workload.rs"]
mod workload;

use std::hint::black_box;

use caapc_compiler::check::{Limits, read};
use clock::{least, race};
use sides::{ByHand, Machine, Turns};
use table::Table;

const HELP: &str = "\
Measures what was promised, which takes some minutes: cargo bench -p caapc-compiler --bench reach
  -- --save   keeps the figures in benches/results/, for the tables of benches/README.md";

fn main() {
    let is_asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    if is_asked(memory::FLAG) {
        return memory::print();
    }
    // `cargo bench` says `--bench`, `cargo test --benches` does not.
    if !is_asked("--bench") || ["--help", "--list", "--test"].into_iter().any(is_asked) {
        return println!("{HELP}");
    }
    let conditions = results::Conditions::begin();
    let mut table = Table::default();
    let [w1, w10, w100, w1000] = &mut [1, 10, 100, 1_000].map(Machine::new);
    against_hand_written(&mut table, 3, w1, (1.0, 0.5));
    against_hand_written(&mut table, 1, w10, (0.05, 0.025));
    against_hand_written(&mut table, 2, w100, (0.005, 0.001));
    verdicts(&mut table, [w10, w100, w1000]);
    selectors(&mut table, [w10, w1000]);
    compile(&mut table);
    let (changing, quiet, count) = changes::p999();
    let what = format!("p99.9 of a W1000 request, during {count} changes / during none");
    table.ratio(8, &what, (changing, quiet), (2.0, 1.2));
    let resident = memory::resident();
    let detail = format!("{:.0} at the highest", resident.peak);
    table.figure(7, "resident bytes for a rule, W1000", resident.rule, detail, (2048.0, 1024.0));
    hostile::measure(&mut table);
    table.print();
    let results = serde_json::json!({"machine": conditions.end(), "rows": table.json()});
    println!("{}", results["machine"]);
    results::save("reach", &results);
}

/// Rows 1 to 3: a whole request against rules written by hand, whose selectors are free.
fn against_hand_written(table: &mut Table, row: u8, machine: &mut Machine, bounds: (f64, f64)) {
    let policies = machine.policies;
    let by_hand = ByHand::new(policies);
    let other = if policies == 1 { "one hand-written regex" } else { "`RegexSet` a rule" };
    let machine = std::cell::RefCell::new(machine);
    let request = |turns: &mut Turns| machine.borrow_mut().request(turns.turn());
    let (mut same, mut fresh) = (Turns::same(), Turns::fresh());
    let times = race(
        60,
        &mut [&mut || request(&mut same), &mut || request(&mut fresh), &mut || by_hand.verdicts()],
    );
    for (labels, ours) in ["same labels", "fresh labels"].into_iter().zip(&times) {
        let what = format!("W{policies}, a request, {labels} / {other}");
        table.ratio(row, &what, (*ours, times[2]), bounds);
    }
}

/// Row 4: the verdicts of a request's images, its policies being selected already.
fn verdicts(table: &mut Table, [w10, w100, w1000]: [&mut Machine; 3]) {
    for machine in [&mut *w10, &mut *w100, &mut *w1000] {
        machine.select(&workload::LABELS);
    }
    let times =
        race(100, &mut [&mut || w10.verdicts(), &mut || w100.verdicts(), &mut || w1000.verdicts()]);
    table.ratio(4, "the verdicts of 3 images, W100 / W10", (times[1], times[0]), (1.3, 1.15));
    table.ratio(4, "the verdicts of 3 images, W1000 / W10", (times[2], times[0]), (2.5, 1.5));
}

/// Row 5. The same labels again may be remembered; fresh ones are not, or only by what selectors
/// ask of them; in another order nothing is kept.
fn selectors(table: &mut Table, [w10, w1000]: [&mut Machine; 2]) {
    for (labels, turns) in [
        ("same labels", Turns::same as fn() -> Turns),
        ("fresh labels", Turns::fresh),
        ("labels in another order", Turns::shuffled),
    ] {
        let (mut few, mut many) = (turns(), turns());
        let times =
            race(100, &mut [&mut || w10.select(few.turn()), &mut || w1000.select(many.turn())]);
        let what = format!("selecting policies, {labels}, W1000 / W10");
        table.ratio(5, &what, (times[1], times[0]), (1.5, 1.0));
    }
}

/// Row 8: from text to what runs.
fn compile(table: &mut Table) {
    let one = workload::policies(10).swap_remove(3);
    let millis = least(50, || {
        let entries = read("workload", &one, &Limits::default()).entries;
        black_box(caapc_compiler::compile(&entries[0]));
    }) / 1e6;
    table.figure(8, "one policy of 10 rules, text to unit, ms", millis, String::new(), (1.0, 0.3));
    let texts = workload::policies(1_000);
    let all = [texts.join("---\n")];
    let millis = least(3, || drop(black_box(sides::set(&all).link()))) / 1e6;
    let what = "1,000 policies, text to program, ms";
    table.figure(8, what, millis, String::new(), (1_000.0, 300.0));
    let mut set = sides::set(&texts);
    black_box(set.link().expect("the workload fits"));
    let mut turn = 0;
    let millis = least(7, || {
        turn += 1;
        let text = texts[500].replace("days: 3", &format!("days: {}", 3 + turn));
        sides::add(&mut set, &text);
        black_box(set.link().expect("the workload fits"));
    }) / 1e6;
    let what = "one policy of 1,000 changed, text to program, ms";
    table.figure(8, what, millis, String::new(), (50.0, 5.0));
}
