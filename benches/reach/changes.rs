//! Row 8, "no hiccup": requests while policies change, against requests while none does.
//!
//! One thread decides requests of W1000 and times each; another changes one policy after the other,
//! links and swaps as the webhook does, or sleeps. Rounds of both take turns; of each the best one
//! counts, so that what else the machine does meets both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use caapc_compiler::set::Set;
use caapc_vm::program::Program;
use caapc_vm::run::{self, Scratch};

use crate::{sides, workload};

const ROUNDS: usize = 8;
const ROUND: Duration = Duration::from_millis(400);

/// Nanoseconds that one request of a thousand exceeds: while policies change, and while none does;
/// and how many changes there were.
pub(crate) fn p999() -> (f64, f64, usize) {
    let texts = workload::texts(1_000);
    let mut set = sides::set(&texts);
    let program = ArcSwap::from_pointee(set.link().expect("the workload fits"));
    let (mut changing, mut quiet, mut changes) = (f64::MAX, f64::MAX, 0);
    for _ in 0..ROUNDS {
        let (requests, count) = round(&program, || change(&mut set, &texts, &program));
        changing = changing.min(requests);
        changes += count;
        let (requests, _) = round(&program, || std::thread::sleep(Duration::from_millis(1)));
        quiet = quiet.min(requests);
    }
    (changing, quiet, changes)
}

/// Requests for one round, while another thread does `beside` over and over.
fn round(program: &ArcSwap<Program>, mut beside: impl FnMut() + Send) -> (f64, usize) {
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut count = 0;
            while !enough.load(Ordering::Relaxed) {
                beside();
                count += 1;
            }
            count
        });
        let requests = requests(program);
        enough.store(true, Ordering::Relaxed);
        (requests, beside.join().expect("no panic"))
    })
}

fn requests(program: &ArcSwap<Program>) -> f64 {
    let mut scratch = Scratch::new();
    let mut nanos: Vec<u64> = Vec::with_capacity(4 << 20);
    let facts = workload::request(&workload::LABELS);
    let begun = Instant::now();
    while begun.elapsed() < ROUND && nanos.len() < nanos.capacity() {
        let start = Instant::now();
        let program = program.load();
        run::select(&program, &mut scratch, &facts);
        for path in workload::IMAGES {
            std::hint::black_box(run::run(&program, &mut scratch, &workload::image(path)));
        }
        drop(program);
        nanos.push(start.elapsed().as_nanos() as u64);
    }
    nanos.sort_unstable();
    nanos[nanos.len() * 999 / 1_000] as f64
}

/// One policy in another version, linked and swapped; the old program is freed on this side.
fn change(set: &mut Set, texts: &[String], program: &ArcSwap<Program>) {
    static TURN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let text = texts[turn % texts.len()].replace("days: 3", &format!("days: {}", 3 + turn % 2));
    sides::add(set, &text);
    let mut old = program.swap(Arc::new(set.link().expect("the workload fits")));
    while let Err(read) = Arc::try_unwrap(old) {
        old = read;
        std::thread::yield_now();
    }
}
