//! The same policies in other engines, in one run, the engines in turn.
//!
//! `cargo run --release` here; `-- --save` keeps the figures for `report`. Each engine is used as
//! a careful user of it would: policies are compiled beforehand, patterns too where the engine
//! can, tests of numbers come before those of strings, and what a request needs is made
//! beforehand. Selectors are in the figure of caapc alone. Each verdict is checked before timing.

mod cedar;
mod cel;
#[path = "../../clock.rs"]
mod clock;
mod rego;
#[path = "../../results.rs"]
mod results;
mod rules;
#[path = "../../sides.rs"]
mod sides;
#[path = "../../workload.rs"]
mod workload;

use std::hint::black_box;

use serde_json::{Value, json};
use sides::{ByHand, Machine};

/// An engine with the policies of a workload, ready to be asked about its images by number.
/// The answer is the number of the rule that decides.
type Ask = Box<dyn FnMut(usize) -> Option<usize>>;

const WORKLOADS: [usize; 3] = [1, 10, 100];

fn main() {
    let conditions = results::Conditions::begin();
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    for policies in WORKLOADS {
        let engines = engines(policies);
        let (names, asks): (Vec<String>, Vec<Ask>) = engines.into_iter().unzip();
        if rows.is_empty() {
            rows = names.into_iter().map(|name| (name, Vec::new())).collect();
        }
        for (row, nanos) in rows.iter_mut().zip(time(policies, asks)) {
            row.1.push(nanos);
        }
    }
    print(&rows);
    let engines: Vec<Value> =
        rows.iter().map(|(engine, nanos)| json!({"engine": engine, "nanos": nanos})).collect();
    let results = json!({
        "machine": conditions.end(),
        "workloads": WORKLOADS.map(|policies| format!("W{policies}")),
        "engines": engines,
    });
    println!("{}", results["machine"]);
    results::save("compare", &results);
}

fn engines(policies: usize) -> Vec<(String, Ask)> {
    vec![
        ("caapc, selectors included".to_owned(), caapc(policies)),
        (format!("regex {}, a set for each rule", version("regex")), by_hand(policies, false)),
        ("the same, numbers before paths".to_owned(), by_hand(policies, true)),
        (format!("cel {}, patterns by a host function", version("cel")), cel::hosted(policies)),
        (format!("cel {}, its own `matches`", version("cel")), cel::stock(policies)),
        (format!("cedar-policy {}, with `like`", version("cedar-policy")), cedar::engine(policies)),
        (format!("regorus {}, its own machine", version("regorus")), rego::engine(policies)),
    ]
}

/// Nanoseconds for an image of each engine.
fn time(policies: usize, mut asks: Vec<Ask>) -> Vec<f64> {
    let images = workload::images(policies).len();
    let decides = if policies == 1 { 1 } else { policies * 10 - 1 };
    for (nth, ask) in asks.iter_mut().enumerate() {
        for image in 0..images {
            assert_eq!(ask(image), Some(decides), "engine {nth}, W{policies}, image {image}");
        }
    }
    let mut all: Vec<Box<dyn FnMut()>> = asks
        .into_iter()
        .map(|mut ask| -> Box<dyn FnMut()> {
            Box::new(move || {
                for image in 0..images {
                    black_box(ask(black_box(image)));
                }
            })
        })
        .collect();
    let mut sides: Vec<&mut dyn FnMut()> = all.iter_mut().map(|side| &mut **side as _).collect();
    clock::race(60, &mut sides).into_iter().map(|nanos| nanos / images as f64).collect()
}

/// Selecting is done once for a request, so with its first image.
fn caapc(policies: usize) -> Ask {
    let mut machine = Machine::new(policies);
    let images = workload::images(policies);
    Box::new(move |image| {
        if image == 0 {
            machine.select(&workload::LABELS);
        }
        machine.decide(images[image])
    })
}

fn by_hand(policies: usize, cheap_first: bool) -> Ask {
    let rules = ByHand::new(policies);
    let images = workload::images(policies);
    Box::new(move |image| {
        let image = workload::image(images[image]);
        if cheap_first { rules.decide_cheap_first(&image) } else { rules.decide(&image) }
    })
}

/// Of a package, as it was locked.
fn version(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"\nversion = \"");
    let found = include_str!("../Cargo.lock").split_once(&name);
    found.and_then(|(_, rest)| rest.split('"').next()).expect("a locked package")
}

fn print(rows: &[(String, Vec<f64>)]) {
    println!("{:<44} {:>12} {:>12} {:>12}", "nanoseconds for an image", "W1", "W10", "W100");
    for (engine, nanos) in rows {
        print!("{engine:<44}");
        nanos.iter().for_each(|nanos| print!(" {nanos:>12.0}"));
        println!();
    }
}
