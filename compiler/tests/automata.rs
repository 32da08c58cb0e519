//! The tables of whole sets of patterns against the plain matcher, on random patterns and texts.

use caapc_compiler::automata::{Builder, Limits, Shape, TailCache, shape};
use caapc_compiler::hir::Hir;
use caapc_compiler::pattern::{self, plain::Plain};
use caapc_vm::matcher::{Matcher, MatcherScratch};
use caapc_vm::wire::{Reader, Writer};

/// A small generator of numbers (xorshift), so that every failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len())]
    }
}

const LITERALS: &[&str] = &[
    "a",
    "b",
    "ab",
    "ba",
    "k",
    "s",
    "/",
    r"\.",
    ".",
    ":",
    "-",
    "aa",
    "abab",
    "a/b",
    r"\n",
    "é",
    "日",
    "K",
    "gcr",
    r"gcr\.io/",
    "quay.io/org-1/",
    "base-",
    ":latest",
];
const CLASSES: &[&str] = &[
    "[ab]",
    "[^a]",
    "[^ab\n]",
    r"\d",
    r"\w",
    r"\W",
    r"\s",
    "(?i:k)",
    "(?i:s)",
    r"\pL",
    r"\PL",
    "(?s:.)",
    "[a-z]",
    "[é-ü]",
    "[^é]",
    "[k\u{212a}]",
    "[0-9]",
];
const LOOKS: &[&str] = &["^", "$", r"\b", r"\B", "(?m:^)", "(?m:$)", r"\A", r"\z"];
const REPEATS: &[&str] = &["*", "+", "?", "{2}", "{0,2}", "{2,}", "*?", "{3}"];

/// A random pattern in Go's syntax.
fn pattern(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 5 } else { 12 }) {
        0..=2 => random.of(LITERALS).to_owned(),
        3 => random.of(CLASSES).to_owned(),
        4 => random.of(LOOKS).to_owned(),
        5..=7 => {
            let len = 1 + random.below(4);
            (0..len).map(|_| pattern(random, depth - 1)).collect()
        }
        8..=9 => {
            let len = 2 + random.below(3);
            let items: Vec<String> = (0..len).map(|_| pattern(random, depth - 1)).collect();
            format!("({})", items.join("|"))
        }
        _ => format!("(?:{}){}", pattern(random, depth - 1), random.of(REPEATS)),
    }
}

/// What people put around patterns.
fn dressed(random: &mut Random) -> String {
    let lead = random.of(&["", "", "^", "^", "^.*", ".*", "^(?s:.*)", "^(a|b)", "^.", "^.+"]);
    let trail = random.of(&["", "", "$", ".*", ".*$", "(?s:.*)$", ".+", ".+$", "a*$", r"\n$"]);
    let inner = pattern(random, 3);
    match random.below(4) {
        0 => inner,
        1 => format!("{lead}{inner}|{trail}"),
        _ => format!("{lead}{inner}{trail}"),
    }
}

const PIECES: &[&str] = &[
    "a",
    "b",
    "ab",
    "k",
    "K",
    "s",
    "\u{212a}",
    "\u{17f}",
    "/",
    ".",
    ":",
    "-",
    "\n",
    "é",
    "ü",
    "日",
    "1",
    "_",
    " ",
    "gcr",
    "gcr.io/",
    "quay.io/org-1/",
    "base-",
    ":latest",
    "abab",
    "aaaa",
    "😀",
];

fn text(random: &mut Random) -> String {
    let len = random.below(9);
    (0..len).map(|_| random.of(PIECES)).collect()
}

fn parse(text: &str) -> Option<Hir> {
    pattern::parse(text).ok()
}

#[track_caller]
fn shape_of(text: &str) -> Shape {
    let hir = pattern::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
    shape(&hir, &Limits::default()).unwrap()
}

/// Marks with a scratch that was prepared before, and through bytes as well.
fn mark(matcher: &Matcher, text: &str) -> Vec<u64> {
    let words = matcher.hits().div_ceil(64) as usize;
    let (mut hits, mut scratch) = (vec![0; words], MatcherScratch::new());
    scratch.prepare(matcher);
    matcher.mark(text, &vec![u64::MAX; words], &mut scratch, &mut hits);
    hits
}

fn through_bytes(matcher: &Matcher) -> Matcher {
    let mut writer = Writer::default();
    matcher.write(&mut writer);
    let mut reader = Reader::new(&writer.bytes);
    let read = Matcher::read(&mut reader, matcher.hits()).expect("what was written can be read");
    reader.end().expect("nothing is left");
    let mut again = Writer::default();
    read.write(&mut again);
    assert!(writer.bytes == again.bytes, "the bytes change");
    read
}

/// One matcher for each pattern.
#[test]
fn one_pattern_at_a_time() {
    let mut random = Random(0x5eed);
    let (mut tried, mut cache) = (0, TailCache::new());
    while tried < rounds(6_000) {
        let source = dressed(&mut random);
        let Some(hir) = parse(&source) else { continue };
        let plain = Plain::new(&hir).unwrap();
        let shape = shape(&hir, &Limits::default()).unwrap();
        let mut builder = Builder::new();
        builder.add(&shape, 0);
        let matcher = builder.finish(1, &mut cache).unwrap();
        for _ in 0..20 {
            let text = text(&mut random);
            let (own, right) = (mark(&matcher, &text)[0] == 1, plain.is_match(&text));
            assert_eq!(
                own,
                right,
                "{source:?} on {text:?}: {}\n{hir:?}",
                shape.describe(&mut cache).unwrap()
            );
        }
        tried += 1;
    }
}

/// Many patterns in one matcher, with hits that share patterns and patterns that share hits.
#[test]
fn sets_of_patterns() {
    let mut random = Random(0xcafe);
    let mut cache = TailCache::new();
    for round in 0..rounds(60) {
        let hits = [1, 2, 63, 64, 65, 200, 1000][random.below(7)];
        let mut rows: Vec<(Plain, Shape, u32)> = Vec::new();
        for _ in 0..1 + random.below(120) {
            let source = dressed(&mut random);
            let Some(hir) = parse(&source) else { continue };
            for _ in 0..1 + random.below(2) {
                let plain = Plain::new(&hir).unwrap();
                let shape = shape(&hir, &Limits::default()).unwrap();
                rows.push((plain, shape, random.below(hits) as u32));
            }
        }
        let mut builder = Builder::new();
        rows.iter().for_each(|(_, shape, hit)| builder.add(shape, *hit));
        let matcher = builder.finish(hits as u32, &mut cache).unwrap();
        let read = through_bytes(&matcher);
        let mut scratch = MatcherScratch::new();
        for _ in 0..40 {
            let text = text(&mut random);
            let mut right = vec![0_u64; hits.div_ceil(64)];
            for (plain, _, hit) in &rows {
                if plain.is_match(&text) {
                    right[*hit as usize / 64] |= 1 << (hit % 64);
                }
            }
            assert_eq!(mark(&matcher, &text), right, "round {round}: {text:?}");
            assert_eq!(mark(&read, &text), right, "round {round}: {text:?} through bytes");
            // What is not wanted may be left out; what is wanted may not.
            let wanted: Vec<u64> = right.iter().map(|_| random.next()).collect();
            let mut some = vec![0; right.len()];
            matcher.mark(&text, &wanted, &mut scratch, &mut some);
            for ((some, right), wanted) in some.iter().zip(&right).zip(&wanted) {
                assert_eq!(some & wanted, right & wanted, "round {round}: {text:?} wanted");
                assert_eq!(some & !right, 0, "round {round}: {text:?} wanted");
            }
        }
    }
}

/// More rounds with `CAAPC_ROUNDS`, a factor.
fn rounds(usual: usize) -> usize {
    let factor = std::env::var("CAAPC_ROUNDS").ok().and_then(|text| text.parse().ok());
    usual * factor.unwrap_or(1_usize)
}

#[track_caller]
fn check(source: &str, description: &str, matches: &[&str], others: &[&str]) {
    let (shape, mut cache) = (shape_of(source), TailCache::new());
    assert_eq!(shape.describe(&mut cache).unwrap(), description, "{source}");
    let mut builder = Builder::new();
    builder.add(&shape, 0);
    let matcher = builder.finish(1, &mut cache).unwrap();
    for text in matches {
        assert_eq!(mark(&matcher, text), [1], "{source} on {text:?}");
    }
    for text in others {
        assert_eq!(mark(&matcher, text), [0], "{source} on {text:?}");
    }
}

#[test]
fn shapes() {
    check("", "always", &["", "a", "é"], &[]);
    check("^*", "always", &["", "a"], &[]);
    check(
        r"^gcr\.io/a/.*",
        r#"head "gcr\.io/a/""#,
        &["gcr.io/a/", "gcr.io/a/b\n"],
        &["gcr.io/a", "xgcr.io/a/"],
    );
    check("^gcr.io/a/.*", r#"head "gcr.io/a/""#, &["gcr.io/a/", "gcréio/a/b"], &["gcr\nio/a/"]);
    check("^a$", r#"exactly "a""#, &["a"], &["", "ab", "a\n", "ba"]);
    check("^$", r#"exactly """#, &[""], &["a", "\n"]);
    check("^.$", r#"exactly ".""#, &["é", "a", "日", "\u{17f}"], &["", "\n", "ab"]);
    check("^.*$", r#"head "" without a newline after it"#, &["", "aé"], &["\n", "a\nb"]);
    check(
        ":(latest|dev)$",
        r#"suffix ":dev", suffix ":latest""#,
        &["a:dev", ":latest"],
        &["latest", ":dev:"],
    );
    check("^.*:dev$", r#"suffix ":dev" without a newline before it"#, &["a:dev"], &["\n:dev"]);
    check("b-(x|yy)", r#"keyword "b-x", keyword "b-yy""#, &["ab-x", "b-yyé"], &["b-", "b-y"]);
    check(
        "^.*ab.*$",
        r#"keyword "ab" without a newline before it without a newline after it"#,
        &["ab", "xabx"],
        &["\nab", "ab\n"],
    );
    check(
        "^(gcr|quay)$|^a",
        r#"exactly "gcr", exactly "quay", head "a""#,
        &["gcr", "quay", "ax"],
        &["xa", "gcrq"],
    );
    check("é", "nfa 2 states (fallback) for texts outside ASCII", &["é", "aéb"], &["e", "", "ü"]);
    check(
        "(?i)sk",
        "keyword \"SK\", keyword \"Sk\", keyword \"S\u{212a}\", keyword \"sK\", keyword \"sk\", keyword \"s\u{212a}\", keyword \"\u{17f}K\", keyword \"\u{17f}k\", keyword \"\u{17f}\u{212a}\"",
        &["ask", "\u{17f}\u{212a}"],
        &["s", "k", "ks"],
    );
    check("[^\\n\\x{0}-\\x{10ffff}]", "nothing", &[], &["", "a", "é"]);
}

/// A matcher that has every part.
fn rich() -> Matcher {
    let sources = [
        "",
        r"^gcr\.io/a/.*",
        "^gcr.io/b$",
        "^.*ab.*$",
        "^(api|web)-[a-z]+:v[0-9]",
        "^quay.io/[a-z]+$",
        ":(latest|dev)$",
        "b/base-(x|yy)",
        "kube",
        "x",
        "team-[0-9]+/",
        "[0-9]+-rc$",
        r"\bab\b",
        "é",
        r"\pL{3}",
        "(?i)sk",
        "[ab]*a[ab]{14}c",
        "^a.{0,3}b$",
        "(?m:^)b",
        "a",
        "ab",
        "abab",
    ];
    let mut builder = Builder::new();
    for (number, source) in (0..).zip(sources) {
        let shape = shape_of(source);
        (0..=number % 3).for_each(|more| builder.add(&shape, (number * 7 + more * 31) % 150));
    }
    builder.finish(150, &mut TailCache::new()).unwrap()
}

const PROBES: &[&str] = &[
    "",
    "a",
    "gcr.io/a/b",
    "gcrxio/b",
    "xx\nabab\nb",
    "web-app:v1",
    "quay.io/abc",
    "a:latest",
    "éa:dev",
    "日本語 s\u{212a}",
    "b/base-yy",
    "team-12/x-3-rc",
    "ababababababababababababac",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac",
    "kube",
];

/// Whatever the bytes are, they are refused or they are harmless.
#[test]
fn damaged_bytes() {
    let matcher = rich();
    let mut writer = Writer::default();
    matcher.write(&mut writer);
    let bytes = writer.bytes;
    let (mut refused, mut read) = (0, 0);
    let mut scratch = MatcherScratch::new();
    let mut probe = |bytes: &[u8]| match Matcher::read(&mut Reader::new(bytes), 150) {
        Err(_) => refused += 1,
        Ok(matcher) => {
            read += 1;
            for text in PROBES {
                let mut hits = [0; 3];
                matcher.mark(text, &[u64::MAX; 3], &mut scratch, &mut hits);
                assert_eq!(hits[2] >> 22, 0, "a bit beyond the last hit");
            }
        }
    };
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            probe(&damaged);
        }
        probe(&bytes[..at]);
    }
    let mut random = Random(0xbad);
    for _ in 0..rounds(2_000) {
        let mut damaged = bytes.clone();
        for _ in 0..1 + random.below(8) {
            let at = random.below(damaged.len());
            damaged[at] = random.next() as u8;
        }
        probe(&damaged);
    }
    assert!(refused > bytes.len() && read > 100, "{refused} refused, {read} read");
}

/// Patterns that blow up elsewhere: right, small, and quick enough for a test to wait for.
#[test]
fn hostile_patterns() {
    let long = "a".repeat(4096);
    let mixed = "ab".repeat(1000) + "é" + &"xa".repeat(500) + "b1c";
    let sources = [
        "(a|aa)*$".to_owned(),
        "^(a|aa)*$".to_owned(),
        ".{0,500}x".to_owned(),
        "^.{500}x?$".to_owned(),
        "(?:a?){300}a{300}".to_owned(),
        r"\pL{100}".to_owned(),
        r"^\pL{1000}".to_owned(),
        "(x+x+)+y".to_owned(),
        "[ab]*a[ab]{20}c".to_owned(),
        "a.{200}b.{200}c".to_owned(),
        "(?i)(?:s|k|ss|kk){20}z".to_owned(),
        "(.*a){40}b".to_owned(),
        "[^/]+/".repeat(160),
        format!("({})", vec!["a.*b"; 200].join("|")),
        format!("^({})$", vec!["a*b*x?"; 100].join("|")),
        format!("{}a{}", "(".repeat(400), ")*".repeat(400)),
    ];
    let limits = Limits::default();
    let mut cache = TailCache::new();
    let mut rows = Vec::new();
    for source in &sources {
        // Go refuses some: then there is nothing to hold.
        let Some(hir) = parse(source) else { continue };
        let shape = shape(&hir, &limits).unwrap();
        assert!(shape.bytes() < 1 << 16, "{source:.40}");
        rows.push((source, Plain::new(&hir).unwrap(), shape));
    }
    assert!(rows.len() > 12);
    let mut builder = Builder::new();
    (0..1000).zip(rows.iter().cycle()).for_each(|(hit, row)| builder.add(&row.2, hit));
    let matcher = builder.finish(1000, &mut cache).unwrap();
    assert!(matcher.sizes().total() < 1 << 20, "{:?}", matcher.sizes());
    for text in PROBES.iter().copied().chain([long.as_str(), mixed.as_str()]) {
        let hits = mark(&matcher, text);
        for (number, (source, plain, _)) in rows.iter().enumerate() {
            let right = plain.is_match(text);
            for hit in (number..1000).step_by(rows.len()) {
                assert_eq!(
                    hits[hit / 64] >> (hit % 64) & 1 == 1,
                    right,
                    "{source:.40} on {text:.40}"
                );
            }
        }
    }
}

#[test]
fn too_big() {
    let hir = parse(&format!("(?:{}){{1000}}", "[a-z]".repeat(180))).unwrap();
    let error = shape(&hir, &Limits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pattern needs 181000 states, the limit is 131072; use smaller repetition counts, or split it"
    );
}

/// Equal sets give equal bytes, whatever was compiled before them.
#[test]
fn the_bytes_are_the_same_every_time() {
    let mut random = Random(7);
    let mut used = TailCache::new();
    for _ in 0..20 {
        let shapes: Vec<Shape> = (0..50)
            .filter_map(|_| parse(&dressed(&mut random)))
            .map(|hir| shape(&hir, &Limits::default()).unwrap())
            .collect();
        let bytes = |cache: &mut TailCache| {
            let mut builder = Builder::new();
            (0..).zip(&shapes).for_each(|(hit, shape)| builder.add(shape, hit / 2));
            let mut writer = Writer::default();
            builder.finish(25, cache).unwrap().write(&mut writer);
            writer.bytes
        };
        let cold = bytes(&mut TailCache::new());
        assert!(cold == bytes(&mut used) && cold == bytes(&mut used));
    }
}

/// Many hits, and a text longer than scratch has room for beforehand.
#[test]
fn long_texts_and_many_hits() {
    let mut builder = Builder::new();
    for hit in 0..100_000_u32 {
        builder.add(&shape_of(&format!("^gcr\\.io/team-{hit}/.*")), hit);
    }
    builder.add(&shape_of("/x$"), 99_999);
    (0..100_000).for_each(|hit| {
        if hit % 3 == 0 {
            builder.add(&shape_of("é"), hit)
        }
    });
    let matcher = builder.finish(100_000, &mut TailCache::new()).unwrap();
    let hits = mark(&matcher, "gcr.io/team-4711/x");
    let set: Vec<usize> =
        (0..100_000).filter(|hit| hits[hit / 64] >> (hit % 64) & 1 == 1).collect();
    assert_eq!(set, [4711, 99_999]);
    let hits = mark(&matcher, &("é".repeat(5000) + "/x"));
    let count: u32 = hits.iter().map(|word| word.count_ones()).sum();
    assert_eq!(count, 33_334);
}

/// The corpus of patterns with Go's answers, all in one matcher.
#[test]
fn as_go_answers() {
    #[derive(serde::Deserialize)]
    struct Case {
        p: String,
        x: Vec<String>,
        ok: bool,
        #[serde(default)]
        m: Vec<bool>,
    }
    let corpus =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/corpora/image_path_patterns.jsonl");
    let corpus = std::fs::read_to_string(corpus).unwrap();
    let cases: Vec<Case> = corpus
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|case: &Case| case.ok)
        .collect();
    let mut builder = Builder::new();
    (0..).zip(&cases).for_each(|(hit, case)| builder.add(&shape_of(&case.p), hit));
    let matcher = builder.finish(cases.len() as u32, &mut TailCache::new()).unwrap();
    let mut answers = 0;
    for (hit, case) in cases.iter().enumerate() {
        for (text, right) in case.x.iter().zip(&case.m) {
            let own = mark(&matcher, text)[hit / 64] >> (hit % 64) & 1 == 1;
            assert_eq!(own, *right, "{:?} on {text:?}", case.p);
            answers += 1;
        }
    }
    assert!(answers > 3_000, "only {answers} answers in the corpus");
}
