//! Patterns of at most a kilobyte that are meant to hurt: what the worst costs to compile and to
//! keep, and a thousand different ones together, whose hits are checked against the plain matcher.

use std::time::Instant;

use caapc_compiler::automata::{Builder, Limits, Shape, TailCache, shape};
use caapc_compiler::pattern::{self, plain::Plain};
use caapc_vm::matcher::{Matcher, MatcherScratch};

use crate::clock::least;
use crate::table::Table;
use crate::workload::IMAGES;

pub(crate) fn measure(table: &mut Table) {
    println!("\nhostile patterns: text to tables in ms, their bytes, us for an image");
    let (mut slowest, mut largest) = (0.0_f64, 0);
    for source in sources() {
        let millis = least(3, || drop(std::hint::black_box(build(&[&source])))) / 1e6;
        slowest = slowest.max(millis);
        match build(&[&source]) {
            Ok(matcher) => {
                largest = largest.max(matcher.sizes().total());
                let (bytes, micros) = (matcher.sizes().total(), search(&matcher) / 1e3);
                println!("{millis:9.2} {bytes:9} {micros:9.2}  {source:.60}");
            }
            Err(refused) => println!("{millis:9.2} {:>9} {:>9}  {source:.60}: {refused}", "", ""),
        }
    }
    table.figure(9, "the worst hostile pattern of 1 KB, ms", slowest, String::new(), (50.0, 5.0));
    let largest = largest as f64 / 1024.0;
    table.figure(9, "the largest of them, KiB", largest, String::new(), (1024.0, 64.0));
    together(table);
}

/// Each differs from all others, so that nothing is shared by accident.
fn together(table: &mut Table) {
    let limits = Limits::default();
    let fits = |source: &String| matches!(parse(source), Ok(hir) if shape(&hir, &limits).is_ok());
    let known: Vec<String> = sources().into_iter().filter(fits).collect();
    let all: Vec<String> = (0..1_000)
        .zip(known.iter().cycle())
        .map(|(nth, source)| format!("(?:{source})|q{nth}"))
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let start = Instant::now();
    let matcher = build(&all).expect("each fits alone");
    let millis = start.elapsed().as_secs_f64() * 1e3;
    let hits = marks(&matcher);
    for (nth, source) in all.iter().enumerate() {
        let plain = Plain::new(&parse(source).expect("it was parsed")).expect("under a gibibyte");
        for (hits, image) in hits.iter().zip(IMAGES) {
            assert_eq!(hits[nth / 64] >> (nth % 64) & 1 == 1, plain.is_match(image), "{source}");
        }
    }
    let mib = matcher.sizes().total() as f64 / f64::from(1 << 20);
    let image = search(&matcher) / 1e6;
    println!("1,000 together: {millis:.0} ms, {mib:.1} MiB, {image:.2} ms for an image, all right");
    let detail = format!("{mib:.1} MiB, {image:.2} ms an image");
    // A thousand times what one may cost.
    table.figure(9, "1,000 hostile patterns together, ms", millis, detail, (50_000.0, 5_000.0));
}

fn parse(source: &str) -> Result<caapc_compiler::hir::Hir, String> {
    pattern::parse(source).map_err(|error| error.go)
}

fn build(sources: &[&str]) -> Result<Matcher, String> {
    let mut builder = Builder::new();
    for (hit, source) in (0..).zip(sources) {
        let shape: Shape =
            shape(&parse(source)?, &Limits::default()).map_err(|error| error.to_string())?;
        builder.add(&shape, hit);
    }
    builder.finish(sources.len() as u32, &mut TailCache::new()).map_err(|error| error.to_string())
}

/// The hits of each image.
fn marks(matcher: &Matcher) -> Vec<Vec<u64>> {
    let words = matcher.hits().div_ceil(64) as usize;
    let mut scratch = MatcherScratch::new();
    scratch.prepare(matcher);
    let mark = |image| {
        let mut hits = vec![0; words];
        matcher.mark(image, &vec![u64::MAX; words], &mut scratch, &mut hits);
        hits
    };
    IMAGES.into_iter().map(mark).collect()
}

/// Nanoseconds for an image.
fn search(matcher: &Matcher) -> f64 {
    let words = matcher.hits().div_ceil(64) as usize;
    let (wanted, mut hits) = (vec![u64::MAX; words], vec![0; words]);
    let mut scratch = MatcherScratch::new();
    scratch.prepare(matcher);
    let all = least(5, || {
        for image in IMAGES {
            hits.fill(0);
            matcher.mark(std::hint::black_box(image), &wanted, &mut scratch, &mut hits);
        }
    });
    all / IMAGES.len() as f64
}

fn sources() -> Vec<String> {
    let filler = |unit: &str| unit.repeat(1_000 / unit.len());
    vec![
        "(a|aa)*$".to_owned(),
        ".{0,500}x".to_owned(),
        "(?:a?){500}b".to_owned(),
        "(?:a?){300}a{300}".to_owned(),
        r"\pL{100}".to_owned(),
        r"\pL{1000}\pN{1000}".to_owned(),
        r"(?:\pL{100}\pN{100}){5}".to_owned(),
        "(x+x+)+y".to_owned(),
        "(x+x+)+y".repeat(120),
        "[ab]*a[ab]{20}c".to_owned(),
        "a.{200}b.{200}c".to_owned(),
        "(?i)(?:s|k|ss|kk){100}z".to_owned(),
        format!("(a|aa|aaa)*{}$", "b?".repeat(480)),
        format!("[^a]{}", ".{0,100}x".repeat(110)),
        format!("(?:{})+c", "a?".repeat(490)),
        format!("({})", filler("a.*b|")),
        filler("(?:a?b?)*c"),
        filler("[^/]+/"),
        filler("(.*a){3}|") + "b",
        "^(?:[a-z]{1,200}/){1,4}$".to_owned(),
        filler("x.{9}"),
    ]
}
