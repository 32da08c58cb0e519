//! The pattern tables alone: nanoseconds for an image, bytes for a rule, compile and link time.
//!
//! `cargo bench -p caapc-compiler --bench matcher`. Times are minima of many batches, because
//! the machine may be shared. Rules and images have the shape of issue 6's workloads: in each
//! ten rules three match the images.

use std::hint::black_box;
use std::time::Instant;

use caapc_compiler::automata::{Builder, Limits, Shape, TailCache, describe, shape};
use caapc_compiler::pattern;
use caapc_vm::matcher::{Matcher, MatcherScratch};

/// 57, 154 and 75 bytes.
const IMAGES: [&str; 3] = [
    "gcr.io/company/team-7/payments/checkout-service:v1.22.333",
    "registry-7.internal.example.com:5000/platform/observability/collector/agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef-longer",
    "quay.io/org-7/worker-image-resizer-for-the-catalogue-of-the-shop:v10.4-rc.1",
];

fn main() {
    assert_eq!(IMAGES.map(str::len), [57, 154, 75]);
    // A number alone: that many policies, again and again, for a profiler.
    if let Some(policies) = std::env::args().find_map(|arg| arg.parse().ok()) {
        return (0..20).for_each(|_| set(policies));
    }
    [1, 10, 100, 1000].into_iter().for_each(set);
    hostile();
}

/// The patterns of rule `n`.
fn patterns(n: usize) -> [String; 5] {
    let n = if n % 10 < 3 { 7 } else { n };
    [
        format!(r"^gcr\.io/company/team-{n}/.*"),
        format!(r"^quay\.io/org-{n}/(api|web|worker)-[a-z0-9-]+:v[0-9]+\.[0-9]+"),
        format!(r"^registry-{n}\.internal\.example\.com(:[0-9]+)?/.*"),
        format!("company-{n}/base-(alpine|debian|distroless)"),
        format!(":(latest|dev-{n}|rc-{n})$"),
    ]
}

fn set(policies: usize) {
    let rules = policies * 10;
    let sources: Vec<[String; 5]> = (0..rules).map(patterns).collect();
    let (parse, hirs) = best(|| {
        let parsed = sources.iter().map(|rule| rule.each_ref().map(|p| pattern::parse(p).unwrap()));
        parsed.collect::<Vec<_>>()
    });
    let limits = Limits::default();
    let (shaping, shapes) = best(|| {
        hirs.iter()
            .map(|rule| rule.each_ref().map(|hir| shape(hir, &limits).unwrap()))
            .collect::<Vec<_>>()
    });
    let mut cache = TailCache::new();
    let (link, matcher) = once(|| link(&shapes, &mut cache));
    let relink =
        (0..5).map(|_| once(|| self::link(&shapes, &mut cache)).0).fold(f64::MAX, f64::min);
    let kept: usize = shapes.iter().flatten().map(Shape::bytes).sum();
    let sizes = matcher.sizes();
    println!("W{policies}: {rules} rules, {} patterns", rules * 5);
    println!(
        "  parse {parse:.2} ms, shape {shaping:.2} ms, link {link:.2} ms, relink {relink:.2} ms"
    );
    println!("  {}", describe(&sizes));
    println!("  {} bytes a rule, and {} for shapes", sizes.total() / rules, kept / rules);
    let words = rules.div_ceil(64);
    let all = vec![u64::MAX; words];
    let mut ten = vec![0; words];
    (0..rules.min(100)).for_each(|rule| ten[rule / 64] |= 1 << (rule % 64));
    let each = IMAGES.map(|image| nanos(&matcher, &[image], &all));
    println!(
        "  ns for an image: {:.0} ({:.0}, {:.0}, {:.0}); 100 rules wanted: {:.0}; keyword found: {:.0}; latest: {:.0}",
        nanos(&matcher, &IMAGES, &all),
        each[0],
        each[1],
        each[2],
        nanos(&matcher, &IMAGES, &ten),
        nanos(&matcher, &["docker.io/company-7/base-debian:v1"], &all),
        nanos(&matcher, &["nginx:latest"], &all),
    );
}

fn link(shapes: &[[Shape; 5]], cache: &mut TailCache) -> Matcher {
    let mut builder = Builder::new();
    for (hit, rule) in (0..).zip(shapes) {
        rule.iter().for_each(|shape| builder.add(shape, hit));
    }
    builder.finish(shapes.len() as u32, cache).unwrap()
}

/// Milliseconds of the quickest of some calls.
fn best<T>(mut call: impl FnMut() -> T) -> (f64, T) {
    let mut best = once(&mut call);
    for _ in 0..4 {
        let again = once(&mut call);
        if again.0 < best.0 {
            best = again;
        }
    }
    best
}

/// Milliseconds of one call.
fn once<T>(call: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = call();
    (start.elapsed().as_secs_f64() * 1e3, value)
}

/// Nanoseconds for one text.
fn nanos(matcher: &Matcher, texts: &[&str], wanted: &[u64]) -> f64 {
    let (mut scratch, mut hits) = (MatcherScratch::new(), vec![0; wanted.len()]);
    scratch.prepare(matcher);
    let mut best = f64::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        for _ in 0..100 {
            for text in texts {
                hits.fill(0);
                matcher.mark(black_box(text), wanted, &mut scratch, &mut hits);
                black_box(&hits);
            }
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / (100 * texts.len()) as f64);
    }
    best
}

/// Patterns that are meant to hurt: compile time, size, and what they cost together.
fn hostile() {
    let filler = |unit: &str, len: usize| unit.repeat(len / unit.len());
    let sources = [
        "(a|aa)*$".to_owned(),
        ".{0,500}x".to_owned(),
        "(?:a?){500}b".to_owned(),
        "(?:a?){300}a{300}".to_owned(),
        r"\pL{100}".to_owned(),
        r"\pL{1000}\pN{1000}".to_owned(),
        "(x+x+)+y".to_owned(),
        "[ab]*a[ab]{20}c".to_owned(),
        "a.{200}b.{200}c".to_owned(),
        "(?i)(?:s|k|ss|kk){100}z".to_owned(),
        format!("({})", filler("a.*b|", 1000)),
        filler("(?:a?b?)*c", 1000),
        filler("[^/]+/", 1000),
        filler("(.*a){3}|", 1000) + "b",
        format!("^{}{{1,4}}$", "[a-z]{1,200}"),
        filler("x.{9}", 1000),
    ];
    let limits = Limits::default();
    println!("hostile: shape and link in ms, bytes, ns for 3 images, and for 4096 of `a`");
    for source in &sources {
        let Ok(hir) = pattern::parse(source) else {
            println!("  refused by Go: {source:.40}");
            continue;
        };
        let mut cache = TailCache::new();
        let (time, built) = best(|| {
            shape(&hir, &limits).map(|shape| {
                let mut builder = Builder::new();
                builder.add(&shape, 0);
                (builder.finish(1, &mut TailCache::new()).unwrap(), shape)
            })
        });
        match built {
            Ok((matcher, shape)) => {
                let long = "a".repeat(4096);
                let line: String = shape.describe(&mut cache).unwrap().chars().take(60).collect();
                println!(
                    "  {time:6.2} {:8} {:8.0} {:9.0}  {source:.30}  {line}",
                    matcher.sizes().total(),
                    nanos_few(&matcher, &IMAGES),
                    nanos_few(&matcher, &[&long]),
                );
            }
            Err(error) => println!("  {time:6.2} {error}  {source:.30}"),
        }
    }
    let (time, matcher) = once(|| {
        let mut builder = Builder::new();
        for (hit, source) in (0..1000).zip(sources.iter().cycle()) {
            // Each differs from all others.
            let Ok(hir) = pattern::parse(&format!("(?:{source})[0-9]q{hit}")) else { continue };
            builder.add(&shape(&hir, &limits).unwrap(), hit);
        }
        builder.finish(1000, &mut TailCache::new()).unwrap()
    });
    println!(
        "  1,000 together: {time:.0} ms, {} bytes, {:.0} ns for an image",
        matcher.sizes().total(),
        nanos_few(&matcher, &IMAGES)
    );
}

fn nanos_few(matcher: &Matcher, texts: &[&str]) -> f64 {
    let words = matcher.hits().div_ceil(64) as usize;
    let (mut scratch, mut hits) = (MatcherScratch::new(), vec![0; words]);
    scratch.prepare(matcher);
    let wanted = vec![u64::MAX; words];
    let batches = (0..5).map(|_| {
        let start = Instant::now();
        for text in texts {
            hits.fill(0);
            matcher.mark(black_box(text), &wanted, &mut scratch, &mut hits);
        }
        start.elapsed().as_secs_f64() * 1e9 / texts.len() as f64
    });
    batches.fold(f64::MAX, f64::min)
}
