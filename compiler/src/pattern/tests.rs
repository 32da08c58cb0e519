//! Patterns against answers recorded from Go 1.26: a corpus, every Unicode class, every fold.

use std::collections::HashSet;

use super::plain::Plain;
use super::{ErrorKind, PATTERN_BYTES_MAX, parse};
use crate::hir::{DEPTH_MAX, Hir};

fn golden(name: &str) -> String {
    let path = format!("{}/../golden/corpora/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn refused(pattern: &str, reason: &str) {
    let error = parse(pattern).expect_err(pattern);
    assert_eq!(error.go, format!("error parsing regexp: {reason}"), "{pattern}");
    assert!(error.help.is_some(), "{pattern}: no help");
    assert!(pattern.get(error.span.clone()).is_some(), "{pattern}: span {:?}", error.span);
}

#[track_caller]
fn matches(pattern: &str, text: &str, expected: bool) {
    let hir = parse(pattern).unwrap_or_else(|error| panic!("{error}"));
    let plain = Plain::new(&hir).unwrap();
    assert_eq!(plain.is_match(text), expected, "`{pattern}` on `{text}`: {hir:?}");
}

#[test]
fn the_corpus_has_the_answers_of_go() {
    #[derive(serde::Deserialize)]
    struct Row {
        p: String,
        x: Vec<String>,
        err: Option<String>,
        m: Option<Vec<bool>>,
    }
    let corpus = golden("image_path_patterns.jsonl");
    let mut wrong = Vec::new();
    for line in corpus.lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        let answer = parse(&row.p);
        let m = answer.as_ref().ok().map(|hir| {
            let plain = Plain::new(hir).unwrap();
            row.x.iter().map(|text| plain.is_match(text)).collect::<Vec<bool>>()
        });
        let err = answer.err().map(|error| error.go);
        if (&err, &m) != (&row.err, &row.m) {
            wrong.push(format!("{}\n  {:?} {:?}\n  {err:?} {m:?}", row.p, row.err, row.m));
        }
    }
    assert!(corpus.lines().count() >= 600);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// FNV-1a of 64 bits, over code points in order.
struct Digest(u64);

impl Digest {
    fn add(&mut self, c: char) {
        for byte in u32::from(c).to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

fn members(hir: &Hir) -> Box<dyn Iterator<Item = char> + '_> {
    match hir {
        Hir::Class(class) => Box::new(class.0.iter().flat_map(|&(start, end)| start..=end)),
        Hir::Literal(text) => Box::new(text.chars()),
        Hir::Nothing => Box::new(std::iter::empty()),
        other => panic!("not a set: {other:?}"),
    }
}

#[test]
fn every_class_has_the_members_go_gives_it() {
    let table = golden("unicode_classes.tsv");
    let mut wrong = Vec::new();
    let mut folds_seen = false;
    for line in table.lines() {
        let (pattern, expected) = line.split_once('\t').unwrap();
        if pattern == "folds" {
            folds_seen = true;
            continue;
        }
        let found = match parse(pattern) {
            Err(_) => "refused".to_owned(),
            Ok(hir) => {
                let (mut count, mut digest) = (0, Digest(0xcbf2_9ce4_8422_2325));
                members(&hir).for_each(|c| {
                    count += 1;
                    digest.add(c);
                });
                format!("{count}\t{:016x}", digest.0)
            }
        };
        if let Ok(Hir::Class(class)) = parse(pattern) {
            let next = |c| (c..=char::MAX).nth(1);
            let apart = class.0.windows(2).all(|two| next(two[0].1) < Some(two[1].0));
            assert!(apart, "{pattern}: ranges touch or overlap");
        }
        if found != expected {
            wrong.push(format!("{pattern}: {found} and not {expected}"));
        }
    }
    assert!(folds_seen && table.lines().count() > 1_000);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_character_folds_as_in_go() {
    let (mut count, mut digest) = (0, Digest(0xcbf2_9ce4_8422_2325));
    for c in '\0'..=char::MAX {
        let hir = parse(&format!("(?i)\\x{{{:x}}}", u32::from(c))).unwrap();
        let orbit: Vec<char> = members(&hir).collect();
        if orbit.len() > 1 {
            count += 1;
            digest.add(c);
            orbit.iter().for_each(|&c| digest.add(c));
        }
    }
    let table = golden("unicode_classes.tsv");
    assert_eq!(table.lines().last(), Some(&*format!("folds\t{count}\t{:016x}", digest.0)));
}

#[test]
fn hostile_patterns_are_answered_without_a_deep_stack() {
    let run = || {
        let many = 60_000;
        refused(&"(".repeat(many), &format!("missing closing ): `{}`", "(".repeat(many)));
        for (open, close) in [("(", ")"), ("(?:", ")*"), ("(a|", ")"), ("(?:a", "|b){2}?")] {
            let nest = |n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
            let error = parse(&nest(10_000)).unwrap_err();
            assert!(matches!(error.kind, ErrorKind::TooBig) || error.go.contains("repeat count"));
            let depth = (1..).take_while(|&n| parse(&nest(n)).is_ok()).count();
            assert!(depth < DEPTH_MAX);
            let deep = parse(&nest(depth)).unwrap();
            // Every derived walk of the deepest Hir, and dropping it.
            let set: HashSet<Hir> = [deep.clone(), deep].into();
            assert_eq!(set.len(), 1);
            assert!(!format!("{set:?}").is_empty());
        }
        for pattern in ["a|", "(?:a*(?:b", "[\\pL", "(?i)[^a]", "x{1000}", "(?:a|(?:b*|"] {
            let _ = parse(&pattern.repeat(PATTERN_BYTES_MAX / pattern.len()));
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn sizes_over_the_limits_of_go_are_refused() {
    let nested = |n: usize| format!("{}{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&nested(999)).is_ok());
    for pattern in [nested(1_000), format!("{}{}", "(?:".repeat(1_000), ")*".repeat(1_000))] {
        refused(&pattern, &format!("expression nests too deeply: `{pattern}`"));
    }
    for pattern in [
        format!("({}){{1000}}", "(xx?)".repeat(1_000)),
        "(xx?){1000}".repeat(1_000),
        "\\pL".repeat(27_000),
    ] {
        refused(&pattern, &format!("expression too large: `{pattern}`"));
        assert_eq!(parse(&pattern).unwrap_err().kind, ErrorKind::TooBig);
    }
    let long = "a".repeat(PATTERN_BYTES_MAX + 1);
    let error = parse(&long).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooBig);
    assert!(error.report("pattern", &long).contains(&PATTERN_BYTES_MAX.to_string()));
    assert!(parse(&long[1..]).is_ok());
}

#[test]
fn a_pattern_means_what_it_means_in_go() {
    matches("^*", "anything", true);
    matches("", "", true);
    matches("^.$", "é", true);
    matches("^.$", "\n", false);
    matches("a$", "a\n", false);
    matches("[^a]", "\n", true);
    matches("a(?i)b*c|D", "xd", true);
    matches("[[a]b]", "[b]", true);
    matches("[a&&b]", "&", true);
    matches("(?i)k", "\u{212a}", true);
    matches("\\s", "\u{b}", false);
    matches("\\x{d800}", "\u{fffd}", false);
    matches("[^\\x00-\\x{10FFFF}]", "a", false);
}
