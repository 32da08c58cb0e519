//! Properties of `json`.

use proptest::prelude::*;
use serde_json::Value;

use fearless_simd::{Level, Simd};

use super::brackets::ENDS_MAX;
use super::marks::mark_at;
use super::*;
use crate::byte_search::special;

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

/// All texts of up to five tokens, at the start of a text and across the border of a row.
#[test]
fn every_short_text_is_judged_as_serde_json_judges_it() {
    const TOKENS: [&str; 8] = ["{", "}", "[", "]", ",", ":", "\"a\"", "1"];
    for count in 1..=5 {
        for number in 0..TOKENS.len().pow(count) {
            let token = |nth| TOKENS[number / TOKENS.len().pow(nth) % TOKENS.len()];
            let text: String = (0..count).map(token).collect();
            agrees(&text);
            agrees(&format!(r#"{{"a":"{}","b":{text}}}"#, "x".repeat(495 + number % 5)));
        }
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
    let text = format!(r#"{{"items":[{}]}}"#, vec![item; ENDS_MAX / 2].join(","));
    assert!(mark(&text, &arena).1);
    let mut cursor = Cursor::new(check(&text, &arena).unwrap());
    let end = cursor.enter();
    assert_eq!(cursor.key(end).unwrap().resolve(&arena), "items");
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

/// Brackets that close at once, at all places of a block and across its border.
#[test]
fn empty_lists_are_walked_wherever_they_stand() {
    let arena = Bump::new();
    for filler in 0..2 * super::row::BLOCK {
        let text = format!(
            r#"{{"a":"{}","b":[{{}},[],{{"c":{{}}}}],"d":{{}},"e":[]}}"#,
            "x".repeat(filler)
        );
        assert!(mark(&text, &arena).1);
        let json = check(&text, &arena).unwrap();
        let theirs: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(walked(&mut Cursor::new(json), &arena), theirs);
        for wrong in
            [text.replace("{}}", "{]}"), text.replace("[]}", "[}}"), format!("{{}},{text}")]
        {
            assert!(!mark(&wrong, &arena).1, "{wrong}");
            agrees(&wrong);
        }
    }
}

#[test]
fn nesting_grows_up_to_its_limit() {
    let arena = Bump::new();
    for depth in [1, 31, 32, 33, 64, 65, 1000, DEPTH_MAX - 1, DEPTH_MAX] {
        let text = format!(r#"{{"a":{}1{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(mark(&text, &arena).1, "{depth}");
    }
    let text = format!(r#"{{"a":{}1{}}}"#, "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    assert!(!mark(&text, &arena).1 && check(&text, &arena).is_err());
}

/// Whatever a text is like, what is kept of it in the arena is a few times its size.
#[test]
fn marks_take_memory_by_the_size_of_the_text() {
    let lists = "[1],".repeat(100_000);
    let deepest = format!("{}{lists}", "[".repeat(DEPTH_MAX));
    for text in [lists.clone(), deepest, "[".repeat(400_000), "{}".repeat(200_000)] {
        let arena = Bump::new();
        mark(&text, &arena);
        assert!(arena.allocated_bytes() < 4 * text.len(), "{}", arena.allocated_bytes());
    }
}

/// Asked of each of many objects in a row, a search into what follows would take quadratic time.
#[test]
fn a_name_is_searched_for_in_its_object_only() {
    let arena = Bump::new();
    let text = format!(r#"{{"a":{{}},"b":"{}","c":1}}"#, "x".repeat(500));
    let (marks, regular) = mark(&text, &arena);
    let end = r#"{"a":{}"#.len();
    assert!(regular && marks.key(end - 1, end) < 2 * super::row::BLOCK);
    assert_eq!(marks.key(end + 10, 64), 64, "none up to there");
    assert_eq!(marks.key(end + 10, text.len()), text.len() - r#""c":1}"#.len());
}

/// The sets of vector instructions that this processor has.
fn levels() -> std::vec::Vec<Level> {
    let mut levels = vec![Level::new(), Level::baseline()];
    #[cfg(target_arch = "x86_64")]
    levels.extend(Level::new().as_avx2().map(Simd::level));
    levels
}

/// What a cursor finds in a text, as serde_json has it.
fn walked(cursor: &mut Cursor<'_>, arena: &Bump) -> Value {
    match cursor.kind() {
        Kind::Text => Value::from(cursor.string().resolve(arena)),
        Kind::Truth => Value::from(cursor.truth()),
        Kind::Null => {
            cursor.null();
            Value::Null
        }
        Kind::Number => serde_json::from_str(cursor.value().text()).unwrap(),
        Kind::List => {
            let mut items = std::vec::Vec::new();
            cursor.enter();
            while cursor.item() {
                items.push(walked(cursor, arena));
            }
            Value::from(items)
        }
        Kind::Object => {
            let mut fields = serde_json::Map::new();
            let end = cursor.enter();
            while let Some(key) = cursor.key(end) {
                let key = key.resolve(arena).to_owned();
                // Passing a value and reading it must lead to the same place.
                let mut passed = cursor.clone();
                passed.pass();
                fields.insert(key, walked(cursor, arena));
                let next = |mut cursor: Cursor<'_>| {
                    cursor.key(end).map(|key| key.resolve(arena).to_owned())
                };
                assert_eq!(next(passed), next(cursor.clone()));
            }
            Value::Object(fields)
        }
    }
}

/// Values whose text has more than one block and one chunk now and then.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z\"\\\\{}:,\\[\\] é\n]{0,12}",
        "[a-z]{60,70}",
        "\\\\{1,70}",
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 120, 8, move |inner| {
        let field = (text.clone(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..8).prop_map(Value::from),
            proptest::collection::vec(field, 0..8).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// The same for the root of a review.
fn object() -> impl Strategy<Value = Value> {
    proptest::collection::vec(("[a-z\"]{0,9}", value()), 0..6)
        .prop_map(|fields| fields.into_iter().collect())
}

proptest! {
    #[test]
    fn a_compact_object_is_known_by_its_marks_and_walked_as_it_is(value in object()) {
        let arena = Bump::new();
        let text = value.to_string();
        prop_assert!(mark(&text, &arena).1, "{}", text);
        let json = check(&text, &arena).unwrap();
        prop_assert_eq!(json.text(), &text);
        let theirs: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(walked(&mut Cursor::new(json), &arena), theirs);
    }

    #[test]
    fn blanks_change_nothing(value in value()) {
        let arena = Bump::new();
        let text = serde_json::to_string_pretty(&value).unwrap();
        let json = check(&text, &arena).unwrap();
        prop_assert_eq!(json.text(), value.to_string());
        let theirs: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(walked(&mut Cursor::new(json), &arena), theirs);
    }

    /// One byte taken away, put in or changed: the marks pass nothing that is no JSON.
    #[test]
    fn a_damaged_object_is_judged_as_serde_json_judges_it(
        value in object(),
        at in any::<proptest::sample::Index>(),
        with in proptest::sample::select(&b"{}[]:,\"\\ 01-.eEtfnu\x01\n"[..]),
        how in 0..3,
    ) {
        let mut bytes = value.to_string().into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, with),
            _ => bytes[at] = with,
        }
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        let arena = Bump::new();
        let theirs = serde_json::from_str::<Value>(&text);
        let strict = plain::check(&text, &arena);
        let marked = format!("{:?}", mark(&text, &arena));
        for level in levels() {
            prop_assert_eq!(&format!("{:?}", mark_at(level, &text, &arena)), &marked);
        }
        if mark(&text, &arena).1 {
            prop_assert_eq!(strict, Ok(()), "{}", text);
        }
        match (check(&text, &arena), theirs) {
            (Ok(json), Ok(value)) => {
                prop_assert_eq!(walked(&mut Cursor::new(json), &arena), value, "{}", text);
            }
            // Numbers beyond what serde_json can hold, and halves of characters, are JSON too.
            (Ok(_), Err(error)) => {
                let message = error.to_string();
                let known = ["number out of range", "surrogate", "hex escape"];
                prop_assert!(known.iter().any(|word| message.contains(word)), "{}: {}", text, message);
            }
            (Err(error), theirs) => prop_assert!(theirs.is_err(), "{}: {:?}", text, error),
        }
    }

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
