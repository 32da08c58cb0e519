//! Properties of `json`.

use proptest::prelude::*;

use super::marks::ENDS_MAX;
use super::*;
use crate::admission::bytes::special;

/// serde_json judges; only its own recursion limit is set aside.
#[track_caller]
fn agrees(text: &str) {
    let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text);
    let arena = Bump::new();
    assert_eq!(check(text, &arena).is_ok(), theirs.is_ok(), "{text:?}: {theirs:?}");
}

#[test]
fn accepts_and_refuses_what_serde_json_does() {
    let cases = "| |null|nul|true|truex|false|0|-0|-|01|1.|1.5|1e5|1e|1E+3|1e+|.5|+1|\"a\"|\"a|\
        \"\\u12\"|\"\\u12g4\"|\"\\ud800\"|\"\\x\"|\"\u{1}\"|\"tab\there\"|\"0123456789\\\"\"|\
        []|[|]|[1,]|[1 2]|[,]|{}|{|}|{\"a\"}|{\"a\":}|{\"a\":1,}|{a:1}|{\"a\":1 \"b\":2}|\
        {\"a\":[{\"b\":{}}]}|[}|{]|[[[]]|null null|\u{feff}null|[1]x|\"é\u{7f}\"|\
        {\"a\":1,\"a\":2}| \t\r\n[ 1 , 2 ] ";
    for text in cases.split('|') {
        agrees(text);
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let arena = Bump::new();
    assert!(check(&nested(DEPTH_MAX), &arena).is_ok());
    let error = check(&nested(DEPTH_MAX + 1), &arena).unwrap_err();
    assert_eq!(error.at, DEPTH_MAX);
    assert_eq!(error.expected, format!("at most {DEPTH_MAX} levels of nesting"));
    assert!(check(&"[".repeat(10_000_000), &arena).is_err());
}

#[test]
fn strings_are_borrowed_unless_escaped() {
    let arena = Bump::new();
    let resolve =
        |text: &'static str| Cursor::new(check(text, &arena).unwrap()).string().resolve(&arena);
    assert_eq!(resolve(r#""plain é""#), "plain é");
    assert_eq!(resolve(r#""\"\\\/\b\f\n\r\t""#), "\"\\/\u{8}\u{c}\n\r\t");
    assert_eq!(resolve(r#""\u0041\u00e9\ud83d\ude00 \ud800x \udc00""#), "Aé😀 \u{fffd}x \u{fffd}");
    assert_eq!(resolve(r#""\ud83d\u0041""#), "\u{fffd}A");
}

#[test]
fn a_cursor_walks_and_skips() {
    let arena = Bump::new();
    let json =
        check(r#" { "a" : [1, "x]", {"y":"}"}, null] , "b":true,"c":"t","d":-1.5e3 } "#, &arena)
            .unwrap();
    let mut cursor = Cursor::new(json);
    assert_eq!(cursor.kind(), Kind::Object);
    let end = cursor.enter();
    assert_eq!(cursor.key(end).unwrap().resolve(&arena), "a");
    let list = cursor.value();
    assert_eq!(list.text(), r#"[1,"x]",{"y":"}"},null]"#);
    assert_eq!(cursor.key(end).unwrap().resolve(&arena), "b");
    assert!(cursor.truth());
    assert_eq!(cursor.key(end).unwrap().resolve(&arena), "c");
    assert_eq!(cursor.string().resolve(&arena), "t");
    assert_eq!(cursor.key(end).unwrap().resolve(&arena), "d");
    assert_eq!(cursor.kind(), Kind::Number);
    assert_eq!(cursor.value().text(), "-1.5e3");
    assert!(cursor.key(end).is_none());

    let mut items = Cursor::new(list);
    items.enter();
    let mut kinds = std::vec::Vec::new();
    while items.item() {
        kinds.push(items.kind());
        items.value();
    }
    assert_eq!(kinds, [Kind::Number, Kind::Text, Kind::Object, Kind::Null]);
}

/// The ends of the first lists are noted, those of the rest are searched for; both are walked.
#[test]
fn more_lists_than_are_noted_are_walked_alike() {
    let arena = Bump::new();
    let item = r#"[1,{"a":[]},"]"]"#;
    let text = format!("[{}]", vec![item; ENDS_MAX / 2].join(","));
    let mut cursor = Cursor::new(check(&text, &arena).unwrap());
    cursor.enter();
    let mut items = 0;
    while cursor.item() {
        let value = cursor.value();
        assert_eq!(value.text(), item);
        let mut inner = Cursor::new(value);
        inner.enter();
        assert!(inner.item() && inner.value().text() == "1");
        assert!(inner.item() && inner.value().text() == r#"{"a":[]}"#);
        assert!(inner.item() && inner.kind() == Kind::Text);
        items += 1;
    }
    assert_eq!(items, ENDS_MAX / 2);
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_near_json(text in r#"[\[\]{}:,"\\ue0-9a-f.\-+ tn\x01é]{0,24}"#) {
        agrees(&text);
    }

    #[test]
    fn special_finds_the_first(bytes in proptest::collection::vec(any::<u8>(), 0..40), at in 0_usize..40) {
        let plain = (at..bytes.len()).find(|&at| matches!(bytes[at], b'"' | b'\\' | 0..0x20));
        let end = bytes.len().max(at);
        prop_assert_eq!(special::<false>(&bytes, at), plain.unwrap_or(end));
        let delete = (at..bytes.len()).find(|&at| bytes[at] == 0x7f);
        let first = plain.unwrap_or(end).min(delete.unwrap_or(end));
        prop_assert_eq!(special::<true>(&bytes, at), first);
    }

    #[test]
    fn every_string_survives_a_round_trip(text in any::<String>()) {
        let arena = Bump::new();
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(Cursor::new(check(&json, &arena).unwrap()).string().resolve(&arena), text);
    }
}
