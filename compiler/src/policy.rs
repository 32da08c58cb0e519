//! A policy as it was written, checked: what `check` makes and `lower` and `oracle` read.
//!
//! Plain data; every field follows the contract (spec: policy, "Object"). Start at [`Policy`].

use std::sync::Arc;

use caapc_vm::facts::{ScanStatus, Timestamp};
use caapc_vm::program::Action;
use caapc_vm::time::Span;

use crate::automata::Shape;
use crate::automata::code::{Reader, put, put_bytes};
use crate::selector::Selector;

/// A policy that compiles.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `metadata.name`.
    pub name: String,
    /// `spec.order`; `None` sorts last.
    pub order: Option<f64>,
    /// `spec.selector`, over the labels of the admitted object.
    pub selector: Selector,
    /// `spec.namespaceSelector`, over the labels of its namespace.
    pub namespace_selector: Selector,
    /// `spec.rules`, in list order.
    pub rules: Vec<Rule>,
    /// Where it was read: `file:line`.
    pub source: String,
}

/// One rule: all criteria it has are ANDed; one with none matches every image.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `action`.
    pub action: Action,
    /// `imagePath`.
    pub image_path: Option<PathCriterion>,
    /// `imageScanStatus`.
    pub image_scan_status: Option<StatusCriterion>,
    /// `imageLastScan`.
    pub image_last_scan: Option<AgeCriterion>,
}

/// `IsOneOf` or `IsNoneOf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Membership {
    /// Some value matches.
    IsOneOf,
    /// No value matches.
    IsNoneOf,
}

/// `imagePath`.
#[derive(Clone, Debug)]
pub struct PathCriterion {
    /// `operator`.
    pub operator: Membership,
    /// `values`.
    pub values: Patterns,
}

/// The regular expressions of one `imagePath`: the text of each and how it is searched. A policy
/// and its unit share them, and the program the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns {
    /// All texts, one after the other.
    texts: Arc<str>,
    /// For each pattern the length of its text, and its shape.
    code: Arc<[u8]>,
}

/// One regular expression of an `imagePath`.
#[derive(Clone, Copy, Debug)]
pub struct PathPattern<'p> {
    /// As it was written.
    pub text: &'p str,
    /// How it is searched.
    pub shape: Shape<&'p [u8]>,
}

impl Patterns {
    /// Gathers patterns.
    pub fn new<'p>(patterns: impl IntoIterator<Item = PathPattern<'p>>) -> Self {
        let (mut texts, mut code) = (String::new(), Vec::new());
        for PathPattern { text, shape } in patterns {
            texts.push_str(text);
            put(&mut code, text.len());
            put_bytes(&mut code, shape.code());
        }
        Self { texts: texts.into(), code: code.into() }
    }

    /// The patterns in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = PathPattern<'_>> {
        let mut texts = &*self.texts;
        let mut rest = Reader { rest: &self.code };
        std::iter::from_fn(move || {
            if rest.rest.is_empty() {
                return None;
            }
            let (text, after) = texts.split_at_checked(rest.number())?;
            texts = after;
            Some(PathPattern { text, shape: Shape::from_code(rest.bytes()) })
        })
    }

    /// The texts of all, one after the other.
    pub(crate) fn texts(&self) -> Arc<str> {
        Arc::clone(&self.texts)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.code.is_empty()
    }
}

/// `imageScanStatus`.
#[derive(Clone, Debug)]
pub struct StatusCriterion {
    /// `operator`.
    pub operator: Membership,
    /// `values`; a word that is no status never matches.
    pub values: Vec<String>,
}

impl StatusCriterion {
    /// The statuses among the values, as [`ScanStatus::bit`]s.
    pub fn listed(&self) -> u8 {
        self.values
            .iter()
            .filter_map(|word| ScanStatus::from_word(word))
            .fold(0, |mask, status| mask | status.bit())
    }

    /// The statuses for which the criterion holds.
    pub fn mask(&self) -> u8 {
        match self.operator {
            Membership::IsOneOf => self.listed(),
            Membership::IsNoneOf => !self.listed() & 0xf,
        }
    }
}

/// `gt` or `lt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Scanned after the bound.
    Gt,
    /// Scanned before the bound, or never.
    Lt,
}

/// `imageLastScan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeCriterion {
    /// `operator`.
    pub operator: Comparison,
    /// `duration` or `time`.
    pub bound: Bound,
}

/// What a scan time is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `duration`: now less a calendar span.
    Span(Span),
    /// `time`: a fixed instant.
    At(Timestamp),
}

/// A policy that does not compile: until it does, what it selects is rejected
/// (spec: policy, "A policy that does not compile").
#[derive(Clone, Debug)]
pub struct Broken {
    /// `metadata.name`.
    pub name: String,
    /// `spec.order`, if it could be read.
    pub order: Option<f64>,
    /// `spec.selector`; `None` if it is what is broken: then it matches everything.
    pub selector: Option<Selector>,
    /// `spec.namespaceSelector`, likewise.
    pub namespace_selector: Option<Selector>,
    /// What is wrong with it, in one line.
    pub fault: String,
    /// Where it was read: `file:line`.
    pub source: String,
}

/// What reading a policy gives.
#[derive(Clone, Debug)]
pub enum Entry {
    /// It compiles.
    Policy(Policy),
    /// It does not.
    Broken(Broken),
}

impl Entry {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        match self {
            Self::Policy(policy) => &policy.name,
            Self::Broken(broken) => &broken.name,
        }
    }

    /// Where it was read: `file:line`.
    pub fn source(&self) -> &str {
        match self {
            Self::Policy(policy) => &policy.source,
            Self::Broken(broken) => &broken.source,
        }
    }
}
