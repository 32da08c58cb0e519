//! A node as the JSON that `kubectl` would send.

use serde_json::{Map, Number, Value as Json};

use super::{Node, Plain, Value};

/// The node as JSON. Infinities and not-a-number, which JSON lacks, become text.
pub fn to_json(node: &Node<'_>) -> Json {
    // Recursion is bounded by `Limits::depth_max`.
    match &node.value {
        Value::Sequence(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Mapping(pairs) => Json::Object(
            pairs
                .iter()
                .map(|pair| (pair.key.to_string(), to_json(&pair.node)))
                .collect::<Map<_, _>>(),
        ),
        Value::Scalar(scalar) => {
            let text = || Json::String(scalar.text.to_string());
            match scalar.plain() {
                Plain::Null => Json::Null,
                Plain::Bool(bool) => Json::Bool(bool),
                Plain::Int(int) => Number::from_i128(int).map_or_else(text, Json::Number),
                Plain::Float(float) => Number::from_f64(float).map_or_else(text, Json::Number),
                Plain::String => text(),
            }
        }
    }
}
