//! What a selector means: the tree, and the plain evaluation that defines "right".
//!
//! It knows nothing of text; `parse` builds it and `canonical` prints it. Start at [`Node`].

/// One node of a selector.
///
/// The tree keeps what the reference keeps: chains are flat, explicit nesting stays, and
/// `!(!has(a))` is two [`Node::Not`] while `!!has(a)` is none.
///
/// INVARIANT (shallow): a parsed tree is at most `3 * (NESTING_MAX + 1)` nodes deep, because only
/// a parenthesis nests, and each adds at most an or, an and, and a not. Recursion over it is safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// `all()`: every set of labels.
    All,
    /// `global()`: every set of labels too; in a policy it earns a warning.
    Global,
    /// `has(key)`: the label is there, whatever its value.
    Has(Box<str>),
    /// `key == "value"`: the label is there and equal, byte by byte.
    Eq(Box<str>, Box<str>),
    /// `key != "value"`: the label is missing or differs.
    Ne(Box<str>, Box<str>),
    /// `key in {...}`: the label is there and a member. The values are sorted by bytes, each once.
    In(Box<str>, Vec<Box<str>>),
    /// `key not in {...}`: the label is missing or no member. Sorted as in [`Node::In`].
    NotIn(Box<str>, Vec<Box<str>>),
    /// `key contains "part"`.
    Contains(Box<str>, Box<str>),
    /// `key starts with "head"`.
    StartsWith(Box<str>, Box<str>),
    /// `key ends with "tail"`.
    EndsWith(Box<str>, Box<str>),
    /// `!operand`.
    Not(Box<Node>),
    /// `(a && b && ...)`: at least two operands.
    And(Vec<Node>),
    /// `(a || b || ...)`: at least two operands.
    Or(Vec<Node>),
}

impl Node {
    /// Whether the selector holds for these labels; `value_of` says the value of a label, if any.
    ///
    /// Spec: selector, "Meaning".
    pub fn matches<'v>(&self, value_of: &impl Fn(&str) -> Option<&'v str>) -> bool {
        let is_some_and = |key: &str, test: &dyn Fn(&str) -> bool| value_of(key).is_some_and(test);
        match self {
            Self::All | Self::Global => true,
            Self::Has(key) => value_of(key).is_some(),
            Self::Eq(key, wanted) => is_some_and(key, &|value| value == &**wanted),
            Self::Ne(key, unwanted) => !is_some_and(key, &|value| value == &**unwanted),
            Self::In(key, set) => is_some_and(key, &|value| is_member(set, value)),
            Self::NotIn(key, set) => !is_some_and(key, &|value| is_member(set, value)),
            Self::Contains(key, part) => is_some_and(key, &|value| value.contains(&**part)),
            Self::StartsWith(key, head) => is_some_and(key, &|value| value.starts_with(&**head)),
            Self::EndsWith(key, tail) => is_some_and(key, &|value| value.ends_with(&**tail)),
            Self::Not(operand) => !operand.matches(value_of),
            Self::And(operands) => operands.iter().all(|operand| operand.matches(value_of)),
            Self::Or(operands) => operands.iter().any(|operand| operand.matches(value_of)),
        }
    }
}

fn is_member(sorted: &[Box<str>], value: &str) -> bool {
    sorted.binary_search_by(|member| (**member).cmp(value)).is_ok()
}
