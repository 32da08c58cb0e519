//! The lists and mappings that are open while a document is read.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::fault::duplicate;
use super::{Fault, FaultKind, Node, Pair, Plain, Scalar, Span, Style, Text, Value};

/// A document while it is read.
pub(super) struct Build<'t> {
    pub(super) frames: Vec<Frame<'t>>,
    pub(super) root: Option<Node<'t>>,
    pub(super) anchors: HashMap<usize, Node<'t>>,
    pub(super) faults: Vec<Fault>,
}

/// A list or mapping whose end has not been read.
pub(super) struct Frame<'t> {
    pub(super) span: Span,
    pub(super) anchor: usize,
    pub(super) open: Open<'t>,
}

pub(super) enum Open<'t> {
    Sequence(Vec<Node<'t>>),
    Mapping(Box<OpenMapping<'t>>),
}

#[derive(Default)]
pub(super) struct OpenMapping<'t> {
    pub(super) pairs: Vec<Pair<'t>>,
    /// The key whose value comes next.
    pub(super) key: Option<Key<'t>>,
    /// The keys so far, once they are too many to compare one by one.
    pub(super) seen: HashSet<Rc<str>>,
    /// Values of `<<`, each with the number of pairs before it.
    pub(super) merges: Vec<(usize, Node<'t>)>,
}

pub(super) enum Key<'t> {
    Text(Text<'t>, Span),
    Merge,
    /// Not a key; the fault is reported.
    Bad,
}

/// Above this many keys of one mapping, duplicates are found by hash.
const COMPARED_KEYS_MAX: usize = 16;

impl<'t> OpenMapping<'t> {
    pub(super) fn pair(&mut self, key: Key<'t>, node: Node<'t>, faults: &mut Vec<Fault>) {
        match key {
            Key::Bad => {}
            Key::Merge => self.merges.push((self.pairs.len(), node)),
            Key::Text(key, key_span) => {
                if self.has(&key) {
                    faults.push(duplicate(&key, key_span));
                    return;
                }
                self.pairs.push(Pair { key, key_span, node });
            }
        }
    }

    fn has(&mut self, key: &str) -> bool {
        if self.pairs.len() < COMPARED_KEYS_MAX {
            return self.pairs.iter().any(|pair| &*pair.key == key);
        }
        if self.seen.is_empty() {
            self.seen = self.pairs.iter().map(|pair| Rc::from(&*pair.key)).collect();
        }
        !self.seen.insert(Rc::from(key))
    }
}

pub(super) struct Measure {
    pub(super) weight: u32,
    pub(super) depth: u8,
}

impl Measure {
    pub(super) fn of<'n, 't: 'n>(nodes: impl Iterator<Item = &'n Node<'t>>) -> Self {
        nodes.fold(Self { weight: 0, depth: 0 }, |sum, node| Self {
            weight: sum.weight.saturating_add(node.weight),
            depth: sum.depth.max(node.depth),
        })
    }
}

pub(super) fn leaf(scalar: Scalar<'_>, span: Span) -> Node<'_> {
    let weight = 1 + u32::try_from(scalar.text.len() / 32).unwrap_or(u32::MAX - 1);
    Node { span, value: Value::Scalar(scalar), weight, depth: 0 }
}

/// A finished node in the place of a key.
pub(super) fn key_of<'t>(node: Node<'t>, faults: &mut Vec<Fault>) -> Key<'t> {
    let span = node.span;
    if let Value::Scalar(scalar) = node.value {
        if scalar.style == Style::Plain && &*scalar.text == "<<" {
            return Key::Merge;
        }
        match scalar.plain() {
            Plain::String | Plain::Float(_) => return Key::Text(scalar.text, span),
            Plain::Bool(true) => return Key::Text(Text::Borrowed("true"), span),
            Plain::Bool(false) => return Key::Text(Text::Borrowed("false"), span),
            Plain::Int(int) => return Key::Text(Text::Shared(int.to_string().into()), span),
            Plain::Null => {}
        }
    }
    faults.push(Fault {
        kind: FaultKind::Unsupported,
        span,
        message: "a key must be a string".to_owned(),
        help: Some("write `name: value`".to_owned()),
    });
    Key::Bad
}

pub(super) fn merge_sources<'n, 't>(node: &'n Node<'t>) -> Option<&'n [Node<'t>]> {
    match &node.value {
        Value::Mapping(_) => Some(std::slice::from_ref(node)),
        Value::Sequence(items) if items.iter().all(|item| item.pairs().is_some()) => Some(items),
        Value::Sequence(_) | Value::Scalar(_) => None,
    }
}
