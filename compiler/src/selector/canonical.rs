//! The canonical text of a selector, and the ID that Calico derives from it.
//!
//! Spec: selector, "Canonical form and ID". Start at [`write`] and [`id`].

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha224};

use super::ast::Node;

/// Appends the canonical text of a node.
pub(super) fn write(node: &Node, out: &mut String) {
    match node {
        Node::All => out.push_str("all()"),
        Node::Global => out.push_str("global()"),
        Node::Has(key) => {
            out.push_str("has(");
            out.push_str(key);
            out.push(')');
        }
        Node::Eq(key, value) => write_comparison(key, " == ", value, out),
        Node::Ne(key, value) => write_comparison(key, " != ", value, out),
        Node::Contains(key, value) => write_comparison(key, " contains ", value, out),
        Node::StartsWith(key, value) => write_comparison(key, " starts with ", value, out),
        Node::EndsWith(key, value) => write_comparison(key, " ends with ", value, out),
        Node::In(key, set) => write_set(key, " in {", set, out),
        Node::NotIn(key, set) => write_set(key, " not in {", set, out),
        // Quirk of the reference, kept: `!(!has(a))` prints `!!has(a)`.
        Node::Not(operand) => {
            out.push('!');
            write(operand, out);
        }
        Node::And(operands) => write_chain(operands, " && ", out),
        Node::Or(operands) => write_chain(operands, " || ", out),
    }
}

/// The ID of a canonical text: `s:` and the SHA-224 of `s:` and the text, in base64url.
pub(super) fn id(canonical: &str) -> String {
    let mut hash = Sha224::new();
    hash.update("s:");
    hash.update(canonical);
    let mut id = String::from("s:");
    URL_SAFE_NO_PAD.encode_string(hash.finalize(), &mut id);
    id
}

fn write_comparison(key: &str, operator: &str, value: &str, out: &mut String) {
    out.push_str(key);
    out.push_str(operator);
    write_string(value, out);
}

fn write_set(key: &str, operator: &str, set: &[Box<str>], out: &mut String) {
    out.push_str(key);
    out.push_str(operator);
    for (index, value) in set.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_string(value, out);
    }
    out.push('}');
}

/// A parsed value holds one kind of quote at most, because the language has no escapes.
fn write_string(value: &str, out: &mut String) {
    let quote = if value.contains('"') { '\'' } else { '"' };
    out.push(quote);
    out.push_str(value);
    out.push(quote);
}

fn write_chain(operands: &[Node], sign: &str, out: &mut String) {
    out.push('(');
    for (index, operand) in operands.iter().enumerate() {
        if index > 0 {
            out.push_str(sign);
        }
        write(operand, out);
    }
    out.push(')');
}
