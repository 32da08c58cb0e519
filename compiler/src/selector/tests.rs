//! Properties of the room: limits, effort, and round trips of random selectors.
//!
//! What single selectors mean is data: `golden/selector/`.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{LABEL_BYTES_MAX, NESTING_MAX, Node, Selector, TEXT_BYTES_MAX, parse};

#[track_caller]
fn refused(text: &str, message: &str) {
    let error = parse(text).expect_err("this selector must be refused");
    assert!(error.message.contains(message), "got `{}`, wanted `{message}`", error.message);
    assert!(error.help.is_some(), "`{}` comes without help", error.message);
    assert!(error.span.start <= error.span.end && error.span.end <= text.len());
    assert!(text.get(error.span.clone()).is_some(), "the span splits a character");
    error.report("selector", text);
}

#[track_caller]
fn canonical(text: &str) -> String {
    parse(text).unwrap_or_else(|error| panic!("{}", error.report("selector", text))).canonical()
}

#[test]
fn the_id_is_calicos() {
    let id = "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug";
    assert_eq!(parse("").map(|selector| selector.id()), Ok(id.to_owned()));
    assert_eq!(Selector::all().id(), id);
}

#[test]
fn limits_are_errors_and_what_is_just_below_them_is_read() {
    let nested = |depth: usize| format!("{}a=='b'{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(canonical(&nested(NESTING_MAX)), "a == \"b\"");
    refused(&nested(NESTING_MAX + 1), "nest deeper than 256");
    let knots = |depth: usize| {
        format!("{}a=='b'{}", "!(b=='c'&&(c=='d'||".repeat(depth), "))".repeat(depth))
    };
    assert!(parse(&knots(NESTING_MAX / 2)).is_ok());
    refused(&knots(NESTING_MAX / 2 + 1), "nest deeper than 256");

    let long = |bytes: usize| format!("a=='{}'", "x".repeat(bytes - "a==''".len()));
    assert!(parse(&long(TEXT_BYTES_MAX)).is_ok());
    refused(&long(TEXT_BYTES_MAX + 1), "65537 bytes, more than 65536");

    let label = |bytes: usize| format!("has({})", "k".repeat(bytes));
    assert!(parse(&label(LABEL_BYTES_MAX)).is_ok());
    refused(&label(LABEL_BYTES_MAX + 1), "513 bytes, more than 512");
    refused(&format!("{} == 'x'", "k".repeat(LABEL_BYTES_MAX + 1)), "513 bytes, more than 512");
}

#[test]
fn parentheses_inside_quotes_do_not_nest() {
    let value = "(".repeat(NESTING_MAX + 1);
    assert_eq!(canonical(&format!("a == '{value}'")), format!("a == \"{value}\""));
}

#[test]
fn hostile_texts_take_no_time_and_little_stack() {
    let hostile = [
        "(".repeat(10_000),
        ")".repeat(10_000),
        format!("{}a", "(".repeat(NESTING_MAX)),
        format!("{}a=='b'", "(".repeat(NESTING_MAX)),
        format!("{}a=='b'", "!(".repeat(NESTING_MAX)),
        "!".repeat(TEXT_BYTES_MAX),
        format!("{}=", "!".repeat(TEXT_BYTES_MAX - 1)),
        "! ".repeat(TEXT_BYTES_MAX / 2),
        "a not ".repeat(10_000),
        format!("a starts{}", " ".repeat(TEXT_BYTES_MAX - 8)),
        format!("a in {{{}", "'',".repeat(20_000)),
        format!("{}a", "a=='b'&&".repeat(8_000)),
        format!("{}a", "a=='b'||".repeat(8_000)),
        format!("a=='{}", "x".repeat(60_000)),
        "'".repeat(TEXT_BYTES_MAX - 1),
        "has(".repeat(10_000),
        "\u{a0}".repeat(10_000),
        "a".repeat(TEXT_BYTES_MAX),
        "x".repeat(64 << 20),
    ];
    // A quarter of the usual stack, as a thread of a server may have.
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(move || {
        for text in &hostile {
            let start = Instant::now();
            refused(text, "");
            let spent = start.elapsed();
            let shown = &text[..text.floor_char_boundary_of(20)];
            assert!(spent < Duration::from_secs(2), "`{shown}...` took {spent:?}");
        }
    });
    thread.expect("a thread starts").join().expect("no text panics");
}

/// The standard library's own is newer than the oldest compiler we build with.
trait FloorCharBoundary {
    fn floor_char_boundary_of(&self, at: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_of(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}

#[test]
fn long_texts_that_are_right_are_read() {
    let terms: Vec<String> = (0..5_000).map(|n| format!("k{n}=='v'")).collect();
    for sign in ["&&", "||"] {
        let selector = parse(&terms.join(sign)).expect("5,000 terms are within the limits");
        let (Node::And(operands) | Node::Or(operands)) = selector.node() else {
            panic!("a chain stays a chain");
        };
        assert_eq!(operands.len(), 5_000);
    }
    let set = format!("a in {{{}}}", "'v',".repeat(15_000));
    assert_eq!(canonical(&set), "a in {\"v\"}");
    assert_eq!(canonical(&format!("{}has(a)", "!".repeat(60_001))), "!has(a)");
    assert_eq!(canonical(&format!("{}has(a)", "!".repeat(60_000))), "has(a)");
    let deep = format!("{}has(a){}", "!(".repeat(NESTING_MAX - 1), ")".repeat(NESTING_MAX - 1));
    assert_eq!(canonical(&deep), format!("{}has(a)", "!".repeat(NESTING_MAX - 1)));
}

#[test]
fn reports_cut_long_lines_and_escape_control_characters() {
    let text = format!("a == 'line\none' && {}\u{1b}[31m \u{202e}", "b=='c' && ".repeat(50));
    let error = parse(&text).expect_err("an escape character is no selector");
    let report = error.report("policy.yaml", &text);
    assert!(report.starts_with("policy.yaml:2:"), "{report}");
    assert!(!report.contains(['\u{1b}', '\u{202e}']), "{report:?}");
    assert!(report.contains("\\u{1b}"), "{report}");
    assert!(report.lines().all(|line| line.chars().count() < 200), "{report}");
}

// ---- random selectors

/// Keys that collide with every word of the language, and a few plain ones.
fn key() -> impl Strategy<Value = Box<str>> {
    prop_oneof![
        Just("in"),
        Just("not"),
        Just("has"),
        Just("all"),
        Just("global"),
        Just("contains"),
        Just("starts"),
        Just("ends"),
        Just("with"),
        Just("a"),
        Just("b"),
        Just("-"),
        Just("/"),
        Just("1"),
        Just("projectcalico.org/name"),
    ]
    .prop_map(Into::into)
}

/// Values from a small alphabet, so that they meet; never with both kinds of quote.
fn value() -> impl Strategy<Value = Box<str>> {
    prop_oneof!["[ab]{0,3}", "[ab'( \\n\\t\\\\]{0,4}", "[ab\"日é){},]{0,4}"].prop_map(Into::into)
}

fn set() -> impl Strategy<Value = Vec<Box<str>>> {
    prop::collection::btree_set(value(), 0..4).prop_map(|set| set.into_iter().collect())
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Node::All),
        Just(Node::Global),
        key().prop_map(Node::Has),
        (key(), value()).prop_map(|(k, v)| Node::Eq(k, v)),
        (key(), value()).prop_map(|(k, v)| Node::Ne(k, v)),
        (key(), set()).prop_map(|(k, v)| Node::In(k, v)),
        (key(), set()).prop_map(|(k, v)| Node::NotIn(k, v)),
        (key(), value()).prop_map(|(k, v)| Node::Contains(k, v)),
        (key(), value()).prop_map(|(k, v)| Node::StartsWith(k, v)),
        (key(), value()).prop_map(|(k, v)| Node::EndsWith(k, v)),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|node| Node::Not(Box::new(node))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::And),
            prop::collection::vec(inner, 2..4).prop_map(Node::Or),
        ]
    })
}

fn labels() -> impl Strategy<Value = Vec<(Box<str>, Box<str>)>> {
    prop::collection::btree_map(key(), value(), 0..6).prop_map(|map| map.into_iter().collect())
}

/// What the printed text reads back as: a run of `!` collapses, nothing else changes.
fn collapsed(node: &Node) -> Node {
    match node {
        Node::Not(operand) => match collapsed(operand) {
            Node::Not(twice) => *twice,
            once => Node::Not(Box::new(once)),
        },
        Node::And(operands) => Node::And(operands.iter().map(collapsed).collect()),
        Node::Or(operands) => Node::Or(operands.iter().map(collapsed).collect()),
        leaf => leaf.clone(),
    }
}

/// A second evaluation, written from the table of the contract and sharing nothing with the first.
fn means(node: &Node, labels: &[(Box<str>, Box<str>)]) -> bool {
    let present = |key: &str| labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| v.as_bytes());
    let within = |set: &[Box<str>], value: &[u8]| set.iter().any(|v| v.as_bytes() == value);
    match node {
        Node::All | Node::Global => true,
        Node::Has(k) => present(k).is_some(),
        Node::Eq(k, v) => present(k) == Some(v.as_bytes()),
        Node::Ne(k, v) => present(k) != Some(v.as_bytes()),
        Node::In(k, set) => present(k).is_some_and(|value| within(set, value)),
        Node::NotIn(k, set) => present(k).is_none_or(|value| !within(set, value)),
        Node::Contains(k, v) => present(k).is_some_and(|value| {
            v.is_empty() || value.windows(v.len()).any(|window| window == v.as_bytes())
        }),
        Node::StartsWith(k, v) => present(k).is_some_and(|value| value.starts_with(v.as_bytes())),
        Node::EndsWith(k, v) => present(k).is_some_and(|value| value.ends_with(v.as_bytes())),
        Node::Not(operand) => !means(operand, labels),
        Node::And(operands) => !operands.iter().any(|operand| !means(operand, labels)),
        Node::Or(operands) => operands.iter().any(|operand| means(operand, labels)),
    }
}

fn borrowed(labels: &[(Box<str>, Box<str>)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(key, value)| (&**key, &**value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_selector_reads_back_with_its_meaning(node in node(), labels in labels()) {
        let printed = Selector { node: node.clone() };
        let read = parse(&printed.canonical()).expect("what we print is in the language");
        prop_assert_eq!(read.node(), &collapsed(&node));
        prop_assert_eq!(read.matches(&borrowed(&labels)), means(&node, &labels));
        prop_assert_eq!(printed.matches(&borrowed(&labels)), means(&node, &labels));
        let again = parse(&read.canonical()).expect("and stays so");
        prop_assert_eq!(again.canonical(), read.canonical());
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_place(text in "[ab'\"(){},=!&|\\t\\n inothasl日\u{a0}]{0,40}") {
        match parse(&text) {
            Ok(selector) => {
                let again = parse(&selector.canonical()).expect("the canonical text reads back");
                prop_assert_eq!(again.node(), &collapsed(selector.node()));
            }
            Err(error) => {
                prop_assert!(text.get(error.span.clone()).is_some());
                prop_assert!(error.help.is_some());
                prop_assert!(!error.report("selector", &text).is_empty());
            }
        }
    }
}
