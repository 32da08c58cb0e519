//! YAML and JSON text to a tree of nodes, each of which knows where it stands in the text.
//!
//! A plain scalar means what `kubectl` takes it for (YAML 1.1 booleans and numbers, [`scalar`]),
//! because a file must mean here what it means when it is applied. JSON is read by the same
//! reader: every JSON document is a YAML one. Not here: what the fields mean (`check`).
//! Start at [`documents`].

mod build;
mod fault;
mod frame;
mod json;
mod place;
mod scalar;

use std::borrow::Cow;
use std::ops::{Deref, Range};
use std::rc::Rc;

pub use build::{Documents, documents};
pub use json::to_json;
pub use place::{Lines, Position, locate};
pub use scalar::{Plain, plain};

/// Upper bounds for one text. Each is named in its fault.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole text.
    pub bytes_max: u32,
    /// Keys, scalars, lists and mappings of the whole text; what an alias stands for counts each
    /// time, and so does every 32nd byte of a scalar.
    pub nodes_max: u32,
    /// Of those, how many may come from aliases (`*name`) and merge keys (`<<`).
    pub alias_nodes_max: u32,
    /// How deep lists and mappings may nest.
    pub depth_max: u8,
    /// Faults reported for one text; reading stops there.
    pub faults_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            nodes_max: 3_000_000,
            alias_nodes_max: 100_000,
            depth_max: 100,
            faults_max: 100,
        }
    }
}

/// A range of bytes in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// Just after the last byte.
    pub end: u32,
}

impl Span {
    /// The same as a range.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        // A text is at most 4 GiB: `documents` refuses larger ones.
        Self {
            start: u32::try_from(range.start).unwrap_or(u32::MAX),
            end: u32::try_from(range.end).unwrap_or(u32::MAX),
        }
    }
}

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document<'t> {
    /// The root; `None` if the document is empty or is not well-formed (then there is a fault).
    pub root: Option<Node<'t>>,
    /// What is wrong with it. Duplicate keys leave a root, with the first of each.
    pub faults: Vec<Fault>,
    /// Where the document begins.
    pub span: Span,
}

/// What is wrong in a text, apart from what its fields mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What sort of fault.
    pub kind: FaultKind,
    /// Where.
    pub span: Span,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Sorts of [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Neither YAML nor JSON.
    Syntax,
    /// Over one of the [`Limits`].
    Limit,
    /// A key given twice in one mapping.
    DuplicateKey,
    /// Well-formed YAML that Kubernetes has no meaning for: own tags, keys that are lists.
    Unsupported,
}

/// One value, and where it stands.
#[derive(Clone, Debug)]
pub struct Node<'t> {
    /// Where; for an alias, where the alias stands.
    pub span: Span,
    /// What.
    pub value: Value<'t>,
    /// Nodes in this one, itself included.
    weight: u32,
    /// Levels of lists and mappings in this one.
    depth: u8,
}

/// What a node is. Lists and mappings are shared, so that an alias costs no copy.
#[derive(Clone, Debug)]
pub enum Value<'t> {
    /// Text, a number, a boolean or null.
    Scalar(Scalar<'t>),
    /// A list.
    Sequence(Rc<[Node<'t>]>),
    /// Keys and values in the order of the text, keys unique.
    Mapping(Rc<[Pair<'t>]>),
}

/// A scalar as written.
#[derive(Clone, Debug)]
pub struct Scalar<'t> {
    /// The text, unescaped and folded.
    pub text: Text<'t>,
    /// How it was written.
    pub style: Style,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No quotes: may be a number, a boolean or null.
    Plain,
    /// `'...'`
    Single,
    /// `"..."`
    Double,
    /// `|` or `>`
    Block,
    /// With the tag `!!str`: always a string.
    Tagged,
}

/// A string of the text, borrowed where it stands there as it is; cheap to clone.
#[derive(Clone, Debug)]
pub enum Text<'t> {
    /// Stands in the text.
    Borrowed(&'t str),
    /// Unescaped or folded.
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl<'t> From<Cow<'t, str>> for Text<'t> {
    fn from(text: Cow<'t, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Borrowed(text),
            Cow::Owned(text) => Self::Shared(text.into()),
        }
    }
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Pair<'t> {
    /// The key, as `kubectl` spells it.
    pub key: Text<'t>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub node: Node<'t>,
}

impl<'t> Node<'t> {
    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.pairs()?.iter().find(|pair| &*pair.key == key).map(|pair| &pair.node)
    }

    /// The pairs, if this is a mapping.
    pub fn pairs(&self) -> Option<&[Pair<'t>]> {
        match &self.value {
            Value::Mapping(pairs) => Some(pairs),
            Value::Scalar(_) | Value::Sequence(_) => None,
        }
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            Value::Scalar(_) | Value::Mapping(_) => None,
        }
    }

    /// The text, if this is a scalar that is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self.plain()? {
            Plain::String => self.scalar().map(|scalar| &*scalar.text),
            _ => None,
        }
    }

    /// The scalar, if this is one.
    pub fn scalar(&self) -> Option<&Scalar<'t>> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// What the scalar means, if this is one.
    pub fn plain(&self) -> Option<Plain> {
        self.scalar().map(Scalar::plain)
    }

    /// Whether this is null: nothing at all, `~` or `null`.
    pub fn is_null(&self) -> bool {
        self.plain() == Some(Plain::Null)
    }

    /// What this is, with its article, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.plain() {
                Plain::Null => "null",
                Plain::Bool(_) => "a boolean",
                Plain::Int(_) | Plain::Float(_) => "a number",
                Plain::String => "a string",
            },
        }
    }
}

impl Scalar<'_> {
    /// What it means.
    pub fn plain(&self) -> Plain {
        match self.style {
            Style::Plain => scalar::plain(&self.text),
            Style::Single | Style::Double | Style::Block | Style::Tagged => Plain::String,
        }
    }
}

#[cfg(test)]
mod tests;
