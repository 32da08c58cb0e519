//! Properties of the reader: what it reads, where it says things stand, what it refuses.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Vec<Document<'_>> {
    documents(text, &Limits::default()).collect()
}

#[track_caller]
fn reads(text: &str, expected: &[serde_json::Value]) {
    let found = read(text);
    let faults: Vec<_> = found.iter().flat_map(|document| &document.faults).collect();
    assert!(faults.is_empty(), "{text:?}: {faults:?}");
    let roots: Vec<_> =
        found.iter().filter_map(|document| document.root.as_ref()).map(to_json).collect();
    assert_eq!(roots, expected, "{text:?}");
}

#[track_caller]
fn refuses(text: &str, kind: FaultKind, at: (u32, u32), message: &str) {
    let found = read(text);
    let fault = found.iter().flat_map(|document| &document.faults).next();
    let fault = fault.unwrap_or_else(|| panic!("{text:?} is read"));
    let place = Lines::new(text).position(fault.span.start);
    assert_eq!((fault.kind, (place.line, place.column)), (kind, at), "{fault:?}");
    assert!(fault.message.contains(message), "{fault:?}");
}

#[test]
fn yaml_and_json_are_read() {
    reads("", &[]);
    reads("# nothing\n", &[]);
    reads("---\n---\n", &[json!(null), json!(null)]);
    reads("a: b\n", &[json!({"a": "b"})]);
    reads("\u{feff}a: b\n", &[json!({"a": "b"})]);
    reads("a: b\r\nc:\r\n  - d\r\n", &[json!({"a": "b", "c": ["d"]})]);
    reads("---\na: 1\n---\nb: 2\n...\n", &[json!({"a": 1}), json!({"b": 2})]);
    reads(
        "{\n\t\"a\":\t\"x\\ud83d\\ude00\\/\\t\",\r\n\t\"b\"\n:[1, true, null]\n}\n",
        &[json!({"a": "x😀/\t", "b": [1, true, null]})],
    );
    reads("a: |\n  x\n  y\nb: >-\n  l\n  m\n", &[json!({"a": "x\ny\n", "b": "l m"})]);
    reads("on: yes\n1: 2.5\n'on': 'yes'\n", &[json!({"true": true, "1": 2.5, "on": "yes"})]);
    reads("a: !!str 5\nb: !!int 5\nc: ! 5\n", &[json!({"a": "5", "b": 5, "c": "5"})]);
    reads("a: .inf\n", &[json!({"a": ".inf"})]);
}

#[test]
fn aliases_and_merge_keys_are_read() {
    reads("a: &x [1, 2]\nb: *x\n", &[json!({"a": [1, 2], "b": [1, 2]})]);
    reads("- &x {a: 1, b: 2}\n- <<: *x\n  b: 3\n", &[json!([{"a": 1, "b": 2}, {"a": 1, "b": 3}])]);
    reads(
        "- &x {a: 1}\n- &y {a: 2, b: 2}\n- <<: [*x, *y]\n",
        &[json!([{"a": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 2}])],
    );
    refuses("- &x {a: 1}\n- a: 2\n  <<: *x\n", FaultKind::DuplicateKey, (3, 7), "`a`");
    refuses("<<: 5\n", FaultKind::Unsupported, (1, 5), "a number");
    refuses("&x a: *x\nb: &y [*y]\n", FaultKind::Unsupported, (2, 8), "contains it");
    refuses("a: *nowhere\n", FaultKind::Syntax, (1, 4), "unknown anchor");
}

#[test]
fn wrong_text_is_refused_where_it_is_wrong() {
    refuses("a: b\na: c\n", FaultKind::DuplicateKey, (2, 1), "`a` is given twice");
    refuses("a: b: c\n", FaultKind::Syntax, (1, 5), "mapping values");
    refuses("a:\n\tb: c\n", FaultKind::Syntax, (2, 2), "tabs");
    refuses("a: x\0y\n", FaultKind::Syntax, (1, 5), "unexpected character");
    refuses("a: \"x\u{1}\"\n", FaultKind::Syntax, (1, 6), "");
    refuses("? [a]\n: b\n", FaultKind::Unsupported, (1, 3), "must be a string");
    refuses("a: !mine b\n", FaultKind::Unsupported, (1, 10), "`!mine`");
    refuses("a: \"x\n", FaultKind::Syntax, (2, 1), "quoted scalar");
    refuses("a: \"\\ud800\"\n", FaultKind::Syntax, (1, 4), "surrogate");
    let many: String = (0..40).map(|n| format!("k{n}: 1\n")).collect();
    refuses(&format!("{many}k7: 2\n"), FaultKind::DuplicateKey, (41, 1), "`k7`");
}

#[test]
fn a_broken_document_does_not_hide_the_next() {
    let found = read("a: 1\n---\n]\n---\nb: 2\n");
    assert_eq!(found.len(), 3);
    assert!(found[1].root.is_none() && found[1].faults.len() == 1);
    assert_eq!(found[2].root.as_ref().map(to_json), Some(json!({"b": 2})));
}

#[test]
fn hostile_text_is_bounded() {
    let deep = "[".repeat(10_000);
    refuses(&deep, FaultKind::Limit, (1, 101), "deeper than 100");
    let deep: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    refuses(&deep, FaultKind::Limit, (101, 101), "deeper than 100");
    let mixed = format!("{}{}{}", "- ".repeat(60), "[".repeat(60), "]".repeat(60));
    refuses(&mixed, FaultKind::Limit, (1, 161), "deeper than 100");

    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for n in 1..40 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    refuses(&laughs, FaultKind::Limit, (6, 10), "100000 values");
    let long = format!("a: &a '{}\\n  x'\nb: [{}]", "y".repeat(1 << 20), "*a, ".repeat(50));
    refuses(&long, FaultKind::Limit, (2, 17), "100000 values");
    let nested: String = (0..110).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    let nested = nested.replacen("*a-1", "x", 1);
    refuses(&nested, FaultKind::Limit, (100, 12), "deeper than 100");

    let many = "- a\n".repeat(3_000_001);
    refuses(&many, FaultKind::Limit, (3_000_000, 3), "3000000 keys and values");
    let faults = format!("{{{}}}", "a: 1, ".repeat(1000));
    assert_eq!(read(&faults).iter().map(|document| document.faults.len()).sum::<usize>(), 100);
    let broken = "]\n---\n".repeat(1000);
    assert_eq!(read(&broken).len(), 100);
}

#[test]
fn bytes_of_a_scalar_are_found_in_the_source() {
    // Each marks with < > the source of the bytes of `needle`.
    for (marked, needle) in [
        ("a: has(<zz>)", "zz"),
        ("a: 'it''s <zz>'", "zz"),
        ("a: 'it<''>s'", "'"),
        ("a: \"\\t\\u00e9\\ud83d\\ude00 <zz>\"", "zz"),
        ("a: \"x<\\n>y\"", "\n"),
        ("a: \"x\\\n   y <zz>\"", "zz"),
        ("a: |\n  one\n  two <zz>\n", "zz"),
        ("a: >-\n  one\n  two <zz>\n", "zz"),
        ("a: one\n  two <zz>\n", "zz"),
    ] {
        let text = marked.replace(['<', '>'], "");
        let text =
            if marked.contains(">-") { marked.replace('<', "").replace("zz>", "zz") } else { text };
        let documents = read(&text);
        let node = documents[0].root.as_ref().and_then(|root| root.get("a")).expect("a");
        let scalar = node.scalar().expect("scalar");
        let at = scalar.text.find(needle).expect("needle");
        let found = locate(&text, node.span, scalar, at..at + needle.len());
        let start = marked.find('<').expect("mark");
        assert_eq!(found.start as usize, start, "{marked:?}");
        let shown = &text[found.range()];
        assert_eq!(found.end as usize, start + shown.len());
        assert!(shown == needle || shown == "''" || shown == "\\n", "{marked:?}: {shown:?}");
    }
}

#[test]
fn lines_and_columns_are_counted_as_people_do() {
    let text = "\u{feff}é: b\r\nc\rd\n";
    let lines = Lines::new(text);
    for (byte, expected) in [(3, (1, 1)), (5, (1, 2)), (10, (2, 1)), (12, (3, 1)), (14, (4, 1))] {
        let place = lines.position(byte);
        assert_eq!((place.line, place.column), expected, "byte {byte}");
    }
    assert_eq!(&text[lines.range(1)], "\u{feff}é: b");
    assert_eq!(&text[lines.range(3)], "d");
}

fn walk(text: &str, node: &Node<'_>) {
    assert!(text.get(node.span.range()).is_some(), "{:?} in {text:?}", node.span);
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| walk(text, item)),
        Value::Mapping(pairs) => pairs.iter().for_each(|pair| {
            assert!(text.get(pair.key_span.range()).is_some());
            walk(text, &pair.node);
        }),
        Value::Scalar(scalar) => {
            let boundaries: Vec<usize> =
                scalar.text.char_indices().map(|(at, _)| at).chain([scalar.text.len()]).collect();
            for window in boundaries.windows(2) {
                let span = locate(text, node.span, scalar, window[0]..window[1]);
                assert!(text.get(span.range()).is_some(), "{span:?} in {text:?}");
                assert!(span.start >= node.span.start && span.end <= node.span.end);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the text: no panic, and every span lies inside it.
    #[test]
    fn any_text_is_read_or_refused(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("a: "), Just("- "), Just("\n"), Just("  "), Just("["), Just("]"), Just("{"),
                Just("}"), Just("'"), Just("\""), Just("\\"), Just("u00e9"), Just("&x "),
                Just("*x "), Just("<<: "), Just(", "), Just("|\n"), Just(">-\n"), Just("---\n"),
                Just("é"), Just("\t"), Just("\r"), Just("!!str "), Just("# c"), Just("? "),
                Just("b"), Just("%"), Just("\u{feff}"), Just("x'y"), Just("''"), Just("😀"),
            ],
            0..24,
        )
    ) {
        let text = pieces.concat();
        let lines = Lines::new(&text);
        for document in read(&text) {
            for fault in &document.faults {
                prop_assert!(text.get(fault.span.range()).is_some());
                lines.position(fault.span.start);
            }
            if let Some(root) = &document.root {
                walk(&text, root);
                to_json(root);
            }
        }
    }

    /// What serde_json reads, this reads, and to the same value.
    #[test]
    fn json_is_read_as_json(value in any_json(), pretty: bool) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).expect("json")
        } else {
            value.to_string()
        };
        let found = read(&text);
        prop_assert_eq!(found.len(), 1);
        prop_assert!(found[0].faults.is_empty(), "{:?} in {}", found[0].faults, text);
        prop_assert_eq!(found[0].root.as_ref().map(to_json), Some(value));
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|bool| json!(bool)),
        any::<i64>().prop_map(|int| json!(int)),
        "[ -~é😀\t\n\"\\\\/]{0,12}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-zA-Z0-9_./:# -]{0,8}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
