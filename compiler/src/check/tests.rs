//! Properties of reading; what each fault looks like is in `golden/errors`.

use proptest::prelude::*;

use super::*;
use crate::diagnostic::Style;
use crate::policy::{Bound, Policy};

fn text(body: &str) -> String {
    format!(
        "apiVersion: containersecurity.tigera.io/v1beta1\nkind: ContainerAdmissionPolicy\n{body}"
    )
}

#[track_caller]
fn good(text: &str) -> Vec<Policy> {
    let reading = read("t.yaml", text, &Limits::default());
    let errors: Vec<_> = reading
        .diagnostics
        .iter()
        .filter(|found| found.is_error())
        .map(|d| d.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    reading
        .entries
        .into_iter()
        .map(|entry| match entry {
            Entry::Policy(policy) => policy,
            Entry::Broken(broken) => panic!("{broken:?}"),
        })
        .collect()
}

#[track_caller]
fn broken(body: &str) -> Broken {
    let text = text(body);
    let mut reading = read("t.yaml", &text, &Limits::default());
    assert!(reading.has_errors());
    assert_eq!(reading.entries.len(), 1, "{text}");
    match reading.entries.remove(0) {
        Entry::Broken(broken) => broken,
        Entry::Policy(policy) => panic!("{policy:?}"),
    }
}

#[test]
fn orders_are_read_as_numbers() {
    for (order, expected) in [
        ("10", Some(10.0)),
        ("-0", Some(0.0)),
        ("-0.0", Some(0.0)),
        ("1.5e3", Some(1500.0)),
        ("-3", Some(-3.0)),
        ("null", None),
        ("", None),
    ] {
        let policies = good(&text(&format!("metadata: {{name: a}}\nspec: {{order: {order}}}\n")));
        assert_eq!(policies[0].order.map(f64::to_bits), expected.map(f64::to_bits), "{order}");
    }
    for order in [".inf", "-.inf", ".nan", "'10'", "ten", "[1]", "yes"] {
        broken(&format!("metadata: {{name: a}}\nspec: {{order: {order}}}\n"));
    }
}

#[test]
fn selectors_are_trimmed_as_go_does() {
    for selector in
        ["|\n    all()\n", ">\n\n    all()\n\n", "\"\\u00a0 all()\\u3000\\n\"", "'  '", "", "null"]
    {
        let body = format!("metadata: {{name: a}}\nspec:\n  selector: {selector}\n  order: 1\n");
        assert_eq!(good(&text(&body))[0].selector, Selector::all(), "{selector}");
    }
    // U+200B is no white space to Go, nor here.
    let broken = broken("metadata: {name: a}\nspec: {selector: \"all()\\u200b\"}\n");
    assert!(broken.selector.is_none() && broken.namespace_selector.is_some());
}

#[test]
fn what_is_left_of_a_broken_policy_is_kept() {
    let body = "metadata: {name: a}\nspec:\n  order: 7\n  selector: has(a)\n  \
                namespaceSelector: has(\n  rules:\n  - action: Alow\n  - actoin: Reject\n";
    let broken = broken(body);
    assert_eq!((broken.name.as_str(), broken.order), ("a", Some(7.0)));
    assert_eq!(broken.selector.map(|selector| selector.canonical()).as_deref(), Some("has(a)"));
    assert!(broken.namespace_selector.is_none());
    assert!(broken.fault.starts_with("spec.namespaceSelector: "), "{}", broken.fault);
    assert!(broken.fault.ends_with("(and 3 more faults)"), "{}", broken.fault);
    assert_eq!(broken.source, "t.yaml:1");
}

#[test]
fn a_fault_of_the_text_breaks_the_policy_it_is_in() {
    let one = broken("metadata: {name: a}\nspec: {order: 1, order: 2}\n");
    assert!(one.fault.contains("`order` is given twice"), "{}", one.fault);
    let item = |name: &str, spec: &str| {
        format!(
            "- {}  spec: {{{spec}}}\n",
            text(&format!("metadata: {{name: {name}}}\n"))
                .replace('\n', "\n  ")
                .trim_end_matches("  ")
        )
    };
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n{}{}{}",
        item("a", "order: 1"),
        item("b", "order: 1, order: 2"),
        item("c", "order: !mine 1")
    );
    let reading = read("t.yaml", &list, &Limits::default());
    let broken: Vec<_> =
        reading.entries.iter().map(|entry| matches!(entry, Entry::Broken(_))).collect();
    assert_eq!(broken, [false, true, true], "{:#?}", reading.diagnostics);
}

#[test]
fn lists_and_other_objects_are_told_apart() {
    let policy = text("metadata: {name: a}\n");
    let reading = read(
        "t.yaml",
        &format!(
            "{policy}---\n# nothing\n---\napiVersion: v1\nkind: Pod\nmetadata: {{}}\n---\nreplicas: 3\n"
        ),
        &Limits::default(),
    );
    assert_eq!((reading.entries.len(), reading.other_objects), (1, 2));
    assert!(!reading.has_errors());
    let list = r#"{"apiVersion": "containersecurity.tigera.io/v1beta1", "kind": "ContainerAdmissionPolicyList",
        "metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": "a", "managedFields": [{"x": 1}]},
        "spec": {"selector": "a == '\ud83d\ude00'"}, "status": {"anything": [1]}}]}"#;
    assert_eq!(good(list)[0].selector.canonical(), "a == \"😀\"");
    for wrong in [
        "apiVersion: containersecurity.tigera.io/v1\nkind: ContainerAdmissionPolicy\n",
        "apiVersion: containersecurity.tigera.io/v1beta1\nkind: ContainerAdmissionPolicies\n",
        "apiVersion: containersecurity.tigera.io/v1beta1\nkind: containeradmissionpolicy\n",
        "apiVersion: containersecurity.tigera.i/v1beta1\nkind: ContainerAdmisionPolicy\n",
        "kind: ContainerAdmissionPolicy\n",
        "apiVersion: containersecurity.tigera.io/v1beta1\nspec: {}\n",
        "apiVersion: 1\nkind: ContainerAdmissionPolicy\n",
        "- a\n",
        "hello\n",
        "\"x\": ]\n",
    ] {
        let reading = read("t.yaml", wrong, &Limits::default());
        assert!(reading.has_errors() && reading.entries.is_empty(), "{wrong}");
    }
}

#[test]
fn names_are_given_once_in_all_texts() {
    let policy = text("metadata: {name: a}\n");
    let mut reader = Reader::new(Limits::default());
    assert!(!reader.read("one.yaml", &policy).has_errors());
    let second = reader.read("two.yaml", &policy);
    let found = &second.diagnostics[0];
    assert_eq!(found.code, codes::DUPLICATE_POLICY);
    assert_eq!(found.note.as_deref(), Some("the first is at one.yaml:1"));
    assert!(matches!(second.entries[0], Entry::Broken(_)));
    for name in ["", "A", "a_b", "-a", "a-", "a..b", "é", "a b"] {
        broken(&format!("metadata: {{name: '{name}'}}\n"));
    }
    for name in ["a", "0", "a-b.c1", "'1'"] {
        good(&text(&format!("metadata: {{name: {name}}}\n")).replace("name: 0", "name: '0'"));
    }
}

#[test]
fn bounds_of_an_age_are_read() {
    let age = |bound: &str| {
        text(&format!(
            "metadata: {{name: a}}\nspec:\n  rules:\n  - action: Reject\n    imageLastScan: \
             {{operator: lt, {bound}}}\n"
        ))
    };
    let span = |years, months, days| Bound::Span(caapc_vm::time::Span { years, months, days });
    for (bound, expected) in [
        ("duration: {days: 3}", span(0, 0, 3)),
        ("duration: {days: 0x3, months: 2.0, years: 10000}", span(10_000, 2, 3)),
        ("duration: {}", span(0, 0, 0)),
        ("duration: {days: 3, months: null}, time: null", span(0, 0, 3)),
        (
            "time: 2022-01-02T0:00:00Z",
            Bound::At(caapc_vm::facts::Timestamp::from_secs(1_641_081_600)),
        ),
    ] {
        let policies = good(&age(bound));
        let found = policies[0].rules[0].image_last_scan.expect("age").bound;
        assert_eq!(found, expected, "{bound}");
    }
    for bound in [
        "duration: {days: -1}",
        "duration: {days: 1.5}",
        "duration: {days: 3660001}",
        "duration: {days: 99999999999999999999999}",
        "duration: {days: .inf}",
        "duration: {days: '3'}",
        "duration: {hours: 3}",
        "duration: 3d",
        "duration: {days: 3}, time: 2022-01-02T00:00:00Z",
        "time: 2022-01-02",
        "time: 5",
        "durations: {days: 3}",
    ] {
        assert!(read("t.yaml", &age(bound), &Limits::default()).has_errors(), "{bound}");
    }
}

#[test]
fn limits_are_named() {
    let limits = Limits {
        policies_max: 1,
        rules_max: 2,
        values_max: 2,
        value_bytes_max: 4,
        ..Limits::default()
    };
    let rules = "spec:\n  rules:\n  - action: Allow\n    imagePath: {operator: IsOneOf, values: [a, b, c]}\n  \
                 - action: Allow\n    imagePath: {operator: IsOneOf, values: [abcde]}\n  - action: Reject\n";
    let one = text(&format!("metadata: {{name: a}}\n{rules}"));
    let two = text("metadata: {name: b}\n");
    let reading = read("t.yaml", &format!("{one}---\n{two}"), &limits);
    let found: Vec<_> = reading.diagnostics.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "3 values, more than 2, the limit",
            "a pattern of 5 bytes, more than 4, the limit",
            "3 rules, more than 2, the limit",
            "more than 1 policies, the limit for one reading"
        ]
    );
    let many = format!("rules: [{}]", "{actoin: Allow}, ".repeat(5_000));
    let reading = read(
        "t.yaml",
        &text(&format!("metadata: {{name: a}}\nspec: {{{many}}}\n")),
        &Limits { rules_max: 10_000, ..Limits::default() },
    );
    assert_eq!((reading.diagnostics.len(), reading.errors), (1_000, 10_000));
    assert_eq!(reading.not_shown(), 9_000);
    match &reading.entries[0] {
        Entry::Broken(broken) => assert!(broken.fault.ends_with("(and 9999 more faults)")),
        Entry::Policy(_) => panic!("compiles"),
    }
}

#[test]
fn json_with_raw_control_characters_is_read() {
    let object = serde_json::json!({
        "apiVersion": "containersecurity.tigera.io/v1beta1", "kind": "ContainerAdmissionPolicy",
        "metadata": {"name": "a"}, "spec": {"selector": "a == '\u{7f}\u{85}\u{feff}\u{ffff}\u{1}\t'"},
    });
    let reading = read_json("a", &object, &Limits::default());
    assert!(!reading.has_errors(), "{:?}", reading.diagnostics);
    match &reading.entries[0] {
        Entry::Policy(policy) => {
            let labels = [("a", "\u{7f}\u{85}\u{feff}\u{ffff}\u{1}\t")];
            assert!(policy.selector.matches(&labels));
        }
        Entry::Broken(broken) => panic!("{broken:?}"),
    }
}

/// A file of 10,000 policies takes about a second; this is far from that also on a busy machine.
#[test]
fn many_policies_are_read_fast() {
    let one = |n: usize| {
        text(&format!(
            "metadata: {{name: p-{n}}}\nspec:\n  selector: team == 't{n}'\n  rules:\n  - action: Allow\n    \
             imagePath: {{operator: IsOneOf, values: ['^gcr\\.io/team-{n}/.*']}}\n  - action: Reject\n"
        ))
    };
    let texts: Vec<String> = (0..10_000).map(one).collect();
    let begun = std::time::Instant::now();
    assert_eq!(good(&texts.join("---\n")).len(), 10_000);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

/// Pieces of policies, good and bad, in any order and at any depth.
fn any_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("Allow"),
        Just("Reject"),
        Just("IsOneOf"),
        Just("gt"),
        Just("lt"),
        Just("yes"),
        Just("5"),
        Just("-1"),
        Just("~"),
        Just("'^gcr.io/'"),
        Just("\"a(\\n\""),
        Just("'has(é'"),
        Just("all()"),
        Just("|\n      has(\n      x\n"),
        Just("*x"),
        Just("&x v"),
        Just("!t 1"),
        Just("{}"),
        Just("[]"),
        Just("2022-01-02T0:00:00Z"),
        Just("[Pass, Wran, 1, null, '(', '['  ]"),
        Just(""),
        Just("{a: 1, a: 2}"),
        Just("{days: 3}"),
        Just("{operator: IsOneOf, values: ['a**']}"),
        Just(".inf"),
    ];
    let key = prop_oneof![
        Just("apiVersion"),
        Just("kind"),
        Just("metadata"),
        Just("spec"),
        Just("order"),
        Just("selector"),
        Just("namespaceSelector"),
        Just("rules"),
        Just("action"),
        Just("imagePath"),
        Just("imageScanStatus"),
        Just("imageLastScan"),
        Just("operator"),
        Just("values"),
        Just("duration"),
        Just("time"),
        Just("days"),
        Just("- action"),
        Just("<<"),
        Just("x"),
        Just("name"),
    ];
    let line = (0usize..4, key, scalar)
        .prop_map(|(depth, key, scalar)| format!("{}{key}: {scalar}\n", "  ".repeat(depth)));
    prop::collection::vec(line, 0..14).prop_map(|lines| text(&lines.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever the text: no panic, every finding stands inside it and can be shown, and a policy
    /// that has an error never compiles.
    #[test]
    fn any_text_is_read(text in any_text()) {
        let reading = read("t.yaml", &text, &Limits::default());
        for found in &reading.diagnostics {
            prop_assert!(text.get(found.span.clone()).is_some(), "{found:?}");
            found.render(&text, Style::Plain);
        }
        let compiles = reading.entries.iter().any(|entry| matches!(entry, Entry::Policy(_)));
        prop_assert!(!(compiles && reading.has_errors() && reading.entries.len() == 1));
    }
}
