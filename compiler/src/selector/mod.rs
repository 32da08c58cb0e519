//! Selectors: the language of Calico's `selector` fields, byte for byte.
//!
//! `grammar/selector.pest` is the language, [`parse`] reads it, [`Node`] is what it means. This
//! room knows nothing of policies, and does not trim: a policy's reader does that before it parses.
//!
//! ```
//! use caapc_compiler::selector::parse;
//!
//! let selector = parse("env=='prod' && !has( team )")?;
//! assert_eq!(selector.canonical(), r#"(env == "prod" && !has(team))"#);
//! assert!(selector.matches(&[("env", "prod")]));
//! assert!(!selector.matches(&[("env", "prod"), ("team", "a")]));
//! # Ok::<(), caapc_compiler::selector::SelectorError>(())
//! ```

mod ast;
mod canonical;
mod explain;
mod parse;
mod report;

pub use ast::Node;
pub use parse::{LABEL_BYTES_MAX, NESTING_MAX, TEXT_BYTES_MAX, parse};
pub use report::SelectorError;

/// A selector that was parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    node: Node,
}

impl Selector {
    /// The selector that matches everything: `all()`, what an empty text means.
    pub fn all() -> Self {
        Self { node: Node::All }
    }

    /// What the selector means.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The one text that Calico prints for this selector.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        canonical::write(&self.node, &mut text);
        text
    }

    /// Calico's ID of this selector, such as `s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug`.
    pub fn id(&self) -> String {
        canonical::id(&self.canonical())
    }

    /// Whether the selector holds for a set of labels, each key given once.
    ///
    /// This walks the tree and compares every key: the plain meaning, for checks and for people.
    /// What decides requests is the compiled program.
    pub fn matches(&self, labels: &[(&str, &str)]) -> bool {
        self.node.matches(&|wanted| {
            labels.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value)
        })
    }
}

#[cfg(test)]
mod tests;
