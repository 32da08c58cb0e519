//! Every code, declared once. Each has a page, `docs/lint/CODE.md`, which a test holds against
//! what the compiler reports.
//!
//! A code is never given a new meaning, and never reused: people keep them in filters.

use super::Severity;

/// A stable name for one sort of finding.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// The name, such as `CAP010`.
    pub id: &'static str,
    /// Whether it keeps the policy from compiling.
    pub severity: Severity,
    /// What it says, in a few words.
    pub title: &'static str,
    /// The page that explains it, in Markdown: wrong, why, and right.
    pub page: &'static str,
}

impl Code {
    /// Where the page is, from the root of the project.
    pub fn page_path(&self) -> String {
        format!("docs/lint/{}.md", self.id)
    }

    /// The code of this name, in any case.
    pub fn find(id: &str) -> Option<Self> {
        ALL.iter().copied().find(|code| code.id.eq_ignore_ascii_case(id))
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Code {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $id:literal $severity:ident $title:literal)*) => {
        $(
            $(#[$doc])*
            pub const $name: Code = Code {
                id: $id,
                severity: Severity::$severity,
                title: $title,
                page: include_str!(concat!("../../../docs/lint/", $id, ".md")),
            };
        )*
        /// All of them, by name.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    /// The text is neither YAML nor JSON.
    SYNTAX "CAP001" Error "the text is not well-formed YAML or JSON"
    /// Over a limit of the reader or of the language.
    LIMIT "CAP002" Error "over a limit"
    /// A key twice in one mapping.
    DUPLICATE_KEY "CAP003" Error "a key is given twice"
    /// YAML that Kubernetes has no meaning for.
    UNSUPPORTED_YAML "CAP004" Error "YAML that Kubernetes has no meaning for"
    /// A document that is no Kubernetes object.
    NOT_AN_OBJECT "CAP005" Error "not a Kubernetes object"
    /// `apiVersion` or `kind` is nearly, but not, that of a policy.
    WRONG_KIND "CAP006" Error "apiVersion or kind is not quite that of a policy"
    /// A field that policies do not have.
    UNKNOWN_FIELD "CAP010" Error "unknown field"
    /// A value of another type than the field's.
    WRONG_TYPE "CAP011" Error "a value of the wrong type"
    /// A field that must be there.
    MISSING_FIELD "CAP012" Error "a required field is missing"
    /// `metadata.name` is no name.
    INVALID_NAME "CAP013" Error "not a valid name"
    /// Two policies of one name.
    DUPLICATE_POLICY "CAP014" Error "two policies of one name"
    /// `spec.order` is not finite.
    INVALID_ORDER "CAP015" Error "the order is not a finite number"
    /// A selector that Calico's language does not have.
    INVALID_SELECTOR "CAP016" Error "the selector does not parse"
    /// An action other than `Allow` and `Reject`.
    UNKNOWN_ACTION "CAP017" Error "unknown action"
    /// An operator that the criterion does not have.
    UNKNOWN_OPERATOR "CAP018" Error "unknown operator"
    /// A regular expression that Go's `regexp` refuses.
    INVALID_PATTERN "CAP019" Error "the pattern does not parse"
    /// A regular expression over the size budget.
    PATTERN_TOO_BIG "CAP020" Error "the pattern is too big"
    /// A time that Go's RFC 3339 parser refuses.
    INVALID_TIME "CAP021" Error "not an RFC 3339 time"
    /// A duration with a number that cannot be.
    INVALID_DURATION "CAP022" Error "not a valid duration"
    /// Both or neither of `duration` and `time`.
    DURATION_OR_TIME "CAP023" Error "exactly one of duration and time is needed"
    /// `.` after a host name, not escaped.
    UNESCAPED_DOT "CAP101" Warning "an unescaped dot matches any character"
    /// A pattern that looks like the beginning of an image, without `^`.
    UNANCHORED "CAP102" Warning "the pattern also matches in the middle of an image"
    /// A scan status that no image has.
    UNKNOWN_STATUS "CAP103" Warning "a scan status that no image has"
    /// Images that no rule matches go on to other policies.
    NO_CATCH_ALL "CAP104" Warning "no final rule that matches everything"
    /// A rule behind one that matches everything.
    UNREACHABLE_RULE "CAP105" Warning "a rule that can never be reached"
    /// `values: []`.
    EMPTY_VALUES "CAP106" Warning "an empty list of values"
    /// `global()` in a selector.
    GLOBAL "CAP107" Warning "global() is the same as all()"
    /// `lt` where `gt` was meant, or the other way round.
    MISTAKEN_COMPARISON "CAP108" Warning "the comparison seems to be the wrong way round"
    /// A registry host that no image has.
    IMPOSSIBLE_HOST "CAP109" Warning "a registry host that no image has"
    /// A criterion that is null.
    NULL_CRITERION "CAP110" Warning "a criterion without a value"
    /// A duration of nothing.
    ZERO_DURATION "CAP111" Warning "a duration of no time at all"
}
