//! A thousand different patterns that are meant to hurt, each of at most a kilobyte: alone and
//! together they stay within their bounds, and their matches are those of the plain matcher.
#![allow(missing_docs)]

use caapc_compiler::automata::{Builder, Limits, Shape, TailCache, shape};
use caapc_compiler::pattern::{parse, plain::Plain};
use caapc_vm::matcher::{Matcher, MatcherScratch};

/// What one pattern may keep in its policy, and what its tables may take.
const SHAPE_BYTES_MAX: usize = 64 << 10;
const TABLE_BYTES_MAX: usize = 1 << 20;
/// What the tables of a thousand may take.
const TABLES_BYTES_MAX: usize = 16 << 20;

const TEXTS: &[&str] = &[
    "",
    "a",
    "xxy",
    "gcr.io/company/team-7/payments/checkout-service:v1.22.333",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    "abababababab0123456789.abababababab",
    "KkSs\u{212a}\u{17f}kksskkssz",
    "日本語のイメージ/é:1",
    "a\nb\nx.y",
];

/// xorshift64*: enough for tests, the same everywhere.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// Something that matches one character, or a few.
fn atom(rng: &mut Rng) -> String {
    let letter = || ["a", "b", "x", "k", "s", "/", "\\.", "1"];
    match rng.below(12) {
        0 => ".".to_owned(),
        1 => "[^a]".to_owned(),
        2 => "[a-z0-9-]".to_owned(),
        3 => [r"\pL", r"\pN", r"[^\pL]", r"\p{Greek}"][rng.below(4)].to_owned(),
        4 => "(?i:ks)".to_owned(),
        5 => [r"\b", "^", "(?m:$)", "$"][rng.below(4)].to_owned(),
        6 => format!("(?:{}|aa)", letter()[rng.below(8)]),
        7 => format!("[{}-\\x{{{:x}}}]", "a", 0x100 + rng.below(0x2000)),
        _ => letter()[rng.below(8)].to_owned(),
    }
}

fn counted(rng: &mut Rng, times: usize) -> String {
    let (low, high) = (rng.below(times), times);
    match rng.below(8) {
        0 => "*".to_owned(),
        1 => "+".to_owned(),
        2 => "?".to_owned(),
        3 => format!("{{{high}}}"),
        4 => format!("{{{low},}}"),
        5 => format!("{{0,{high}}}"),
        _ => format!("{{{low},{high}}}"),
    }
}

fn hostile(rng: &mut Rng) -> String {
    let some = |rng: &mut Rng, most: usize| -> String {
        (0..1 + rng.below(most))
            .map(|_| atom(rng) + &[String::new(), counted(rng, 9)][rng.below(2)])
            .collect()
    };
    match rng.below(7) {
        // Counts inside counts.
        0 => {
            let (inner, outer) = (counted(rng, 20), counted(rng, 20));
            format!("(?:(?:{}){inner}{}){outer}", some(rng, 2), atom(rng))
        }
        // A long row of optional things.
        1 => (0..20 + rng.below(60)).map(|_| atom(rng) + &counted(rng, 5)).collect(),
        // Many alternatives that begin and end alike.
        2 => {
            let all: Vec<String> = (0..5 + rng.below(40)).map(|_| some(rng, 3)).collect();
            format!("({})x", all.join("|"))
        }
        // One far behind another.
        3 => format!("{}.{{{}}}{}", atom(rng), rng.below(400), some(rng, 3)),
        // Nested stars.
        4 => format!("(({})*{}+)*{}", some(rng, 3), atom(rng), some(rng, 2)),
        // A large class many times.
        5 => format!("{}{}", atom(rng), counted(rng, 600)).repeat(1 + rng.below(3)),
        _ => format!("^{}(?:{})+$", some(rng, 4), some(rng, 6)),
    }
}

fn matcher(shapes: &[Shape]) -> Matcher {
    let mut builder = Builder::new();
    (0..).zip(shapes).for_each(|(hit, shape)| builder.add(shape, hit));
    builder.finish(shapes.len() as u32, &mut TailCache::new()).unwrap()
}

#[test]
fn a_thousand_patterns_stay_bounded_and_right() {
    let mut rng = Rng(0x0b57);
    let (mut shapes, mut plain) = (Vec::new(), Vec::new());
    while shapes.len() < 1_000 {
        let source = hostile(&mut rng);
        // Go refuses counts that multiply to more than a thousand.
        let Ok(hir) = parse(&source) else { continue };
        assert!(source.len() <= 1 << 10);
        let shape = shape(&hir, &Limits::default()).unwrap();
        assert!(shape.bytes() <= SHAPE_BYTES_MAX, "{} bytes: {source}", shape.bytes());
        let alone = matcher(std::slice::from_ref(&shape)).sizes().total();
        assert!(alone <= TABLE_BYTES_MAX, "{alone} bytes: {source}");
        plain.push((Plain::new(&hir).unwrap(), source));
        shapes.push(shape);
    }
    let matcher = matcher(&shapes);
    assert!(matcher.sizes().total() <= TABLES_BYTES_MAX, "{:?}", matcher.sizes());
    let words = shapes.len().div_ceil(64);
    let mut scratch = MatcherScratch::new();
    scratch.prepare(&matcher);
    for text in TEXTS {
        let mut hits = vec![0; words];
        matcher.mark(text, &vec![u64::MAX; words], &mut scratch, &mut hits);
        for (hit, (plain, source)) in plain.iter().enumerate() {
            let marked = hits[hit / 64] >> (hit % 64) & 1 == 1;
            assert_eq!(marked, plain.is_match(text), "{source} on {text:?}");
        }
    }
}
