//! Objects as text: YAML for people and pipelines, JSON for programs.
//!
//! The YAML is a small, stable subset: block style, two blanks, `apiVersion`, `kind`, `metadata`
//! and `name` first, the other keys sorted, and every string quoted that a reader of YAML 1.1 or
//! 1.2 could take for something else. Start at [`yaml`].

use serde_json::{Map, Value};

/// Prints objects as a YAML stream, one document each.
pub fn yaml(objects: &[Value]) -> String {
    let mut out = String::new();
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            out.push_str("---\n");
        }
        node(&mut out, object, 0, Place::Line);
    }
    out
}

/// Prints objects as one JSON `List`, as `kubectl get -o json` does.
pub fn json(objects: &[Value]) -> String {
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let mut text = serde_json::to_string_pretty(&list).unwrap_or_default();
    text.push('\n');
    text
}

/// Where a node begins.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// At the start of a line, not indented yet.
    Line,
    /// Behind a key and its colon.
    Key,
    /// Behind the dash of a list: the first key continues the line.
    Dash,
}

fn node(out: &mut String, value: &Value, depth: usize, place: Place) {
    match value {
        Value::Object(map) if !map.is_empty() => mapping(out, map, depth, place),
        Value::Array(items) if !items.is_empty() => {
            if place != Place::Line {
                out.push('\n');
            }
            for item in items {
                indent(out, depth);
                out.push('-');
                node(out, item, depth + 1, Place::Dash);
            }
        }
        Value::String(text) if is_block(text) && place == Place::Key => block(out, text, depth),
        scalar => {
            if place != Place::Line {
                out.push(' ');
            }
            match scalar {
                Value::String(text) => out.push_str(&string(text)),
                other => out.push_str(&other.to_string()),
            }
            out.push('\n');
        }
    }
}

fn mapping(out: &mut String, map: &Map<String, Value>, depth: usize, place: Place) {
    match place {
        Place::Key => out.push('\n'),
        Place::Dash => out.push(' '),
        Place::Line => {}
    }
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by_key(|key| (rank(key), key.as_str()));
    for (index, key) in keys.into_iter().enumerate() {
        if index > 0 || place != Place::Dash {
            indent(out, depth);
        }
        out.push_str(&string(key));
        out.push(':');
        // A list under a key keeps the key's depth, as kubectl prints it.
        let under = if map[key].is_array() { depth } else { depth + 1 };
        node(out, &map[key], under, Place::Key);
    }
}

fn rank(key: &str) -> u8 {
    match key {
        "apiVersion" => 0,
        "kind" => 1,
        "metadata" => 2,
        "name" => 3,
        _ => 4,
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Text of several lines that a literal block can hold unchanged.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n', '\t'])
        && !text.chars().any(|c| (c.is_control() && c != '\n') || is_break(c))
}

fn is_break(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn block(out: &mut String, text: &str, depth: usize) {
    out.push_str(" |\n");
    for line in text.lines() {
        if !line.is_empty() {
            indent(out, depth);
        }
        out.push_str(line);
        out.push('\n');
    }
}

/// A string as a YAML scalar: plain if nobody can misread it, else double-quoted as JSON does.
fn string(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    // JSON strings are YAML double-quoted scalars, but for these four, which JSON leaves as they are.
    let mut quoted = Value::String(text.to_owned()).to_string();
    for c in ['\u{7f}', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'] {
        if quoted.contains(c) {
            quoted = quoted.replace(c, &format!("\\u{:04x}", c as u32));
        }
    }
    quoted
}

fn is_plain(text: &str) -> bool {
    let first_fine = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let rest_fine = text.bytes().all(|b| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'_' | b'.' | b'/' | b':' | b' ' | b'(' | b')' | b'=')
    });
    if !first_fine || !rest_fine || text.contains(": ") || text.ends_with([':', ' ']) {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    !matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null")
        && !looks_numeric(&lower)
}

/// Words such as `e5` are fine, `0x1f`, `1e5` and `inf` begin with a digit, a dot or are listed.
fn looks_numeric(lower: &str) -> bool {
    matches!(lower, "inf" | "nan" | ".inf" | ".nan" | "infinity")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "\\PC{0,12}",
            any::<String>(),
            "[a-z]{1,5}\n[a-z ]{0,5}\n",
            Just("yes".to_owned()),
            Just("0x10".to_owned()),
            Just("1e3".to_owned()),
            Just("- a".to_owned()),
            Just("a: b".to_owned()),
            Just("a #b".to_owned()),
            Just("~".to_owned()),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            text.clone().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map(text.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(value in any_value()) {
            // A document is an object, as all that is printed here.
            let object = serde_json::json!({ "value": value });
            let text = yaml(std::slice::from_ref(&object));
            let back: Value = serde_saphyr::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(back, object, "{}", text);
        }
    }

    #[test]
    fn looks_as_kubectl_prints_it() {
        let object = serde_json::json!({
            "spec": { "ports": [{ "targetPort": 1, "name": "web" }], "empty": {}, "on": "yes" },
            "kind": "Service", "apiVersion": "v1", "metadata": { "name": "a" },
            "text": "one\ntwo\n",
        });
        assert_eq!(
            yaml(&[object]),
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  empty: {}\n  \"on\": \"yes\"\n  ports:\n  - name: web\n    targetPort: 1\ntext: |\n  one\n  two\n"
        );
    }
}
