//! What a pattern says that its author probably did not mean. Facts only: none of them changes
//! what matches, and none is an error.
//!
//! It looks for host names, since that is where a slip admits or rejects the images of others
//! (spec: policy, "Samples"): `^gcr.io/` matches `gcrxio/`, `gcr.io/` matches
//! `evil.example/gcr.io/`, and `^azurecr.io/` matches no image at all. Start at [`lint`].

use std::ops::Range;

use super::{PatternError, parse_tokens};
use crate::caret;
use crate::diagnostic::codes;
use crate::hir::{Hir, Look};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternLint {
    /// The code of the diagnostic, such as `CAP101`.
    pub code: &'static str,
    /// Bytes of the pattern.
    pub span: Range<usize>,
    /// What is so: lower case, no full stop, user text in backticks.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl PatternLint {
    /// The finding as a person reads it, like [`PatternError::report`](super::PatternError::report).
    pub fn report(&self, place: &str, text: &str) -> String {
        caret::report(place, text, &self.span, &self.message, Some(&self.help))
    }
}

/// The most findings reported for one pattern.
pub const LINTS_MAX: usize = 8;

/// Looks through a pattern; `hir` is what [`super::parse`] made of `text`.
///
/// ```
/// use caapc_compiler::pattern::{lint::lint, parse};
///
/// let text = "^gcr.io/";
/// let found = lint(text, &parse(text).unwrap());
/// assert_eq!(found[0].span, 4..5);
/// assert_eq!(found[0].help, r"write `gcr\.io`");
/// assert!(lint(r"^gcr\.io/", &parse(r"^gcr\.io/").unwrap()).is_empty());
/// ```
pub fn lint(text: &str, hir: &Hir) -> Vec<PatternLint> {
    parse_tokens(text).map_or(Vec::new(), |(_, spans)| look_through(text, spans, hir))
}

/// Parses a pattern and looks through it.
///
/// # Errors
/// Those of [`super::parse`].
pub fn parse_and_lint(text: &str) -> Result<(Hir, Vec<PatternLint>), PatternError> {
    let (hir, spans) = parse_tokens(text)?;
    let lints = look_through(text, spans, &hir);
    Ok((hir, lints))
}

fn look_through(text: &str, spans: Vec<Range<usize>>, hir: &Hir) -> Vec<PatternLint> {
    let tokens = tokens(text, spans);
    let mut lints = Vec::new();
    let mut anchored = anchored(hir);
    let mut places = Places::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at).filter(|_| lints.len() < LINTS_MAX) {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let place = places.before(token);
        if let Some(host) = place.and_then(|_| Host::read(&tokens, at)) {
            lints.extend(host.unescaped_dot());
            if place == Some(Place::Beginning) && !anchored {
                let alternative = before.is_some_and(|before| before.kind == Kind::Bar);
                lints.push(host.unanchored(alternative));
                // Said once for a pattern.
                anchored = true;
            }
            if place == Some(Place::Anchored) {
                lints.extend(host.impossible());
            }
            at = host.after;
            places.passed();
            continue;
        }
        places.after(token, before);
        at += 1;
    }
    lints
}

/// Whether every match begins at the beginning of the text, as far as is plain to see.
fn anchored(hir: &Hir) -> bool {
    match hir {
        Hir::Look(Look::Start) => true,
        Hir::Concat(parts) => parts.first().is_some_and(anchored),
        Hir::Alt(branches) => branches.iter().all(anchored),
        _ => false,
    }
}

/// What a token is to a reader of host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A character that means itself, written plainly or escaped.
    Char(char),
    /// `.`
    Dot,
    /// `^`, `\A`.
    Start,
    Open,
    Close,
    Bar,
    Repeat,
    /// `(?i)`
    Flags,
    Other,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    span: Range<usize>,
}

fn tokens(text: &str, spans: Vec<Range<usize>>) -> Vec<Token> {
    spans
        .into_iter()
        .map(|span| {
            let token = &text[span.clone()];
            // PERF: what most of a pattern is.
            if let [byte @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9')] = token.as_bytes() {
                return Token { kind: Kind::Char(char::from(*byte)), span };
            }
            let mut chars = token.chars();
            let kind = match (chars.next(), chars.next(), chars.next()) {
                (Some('.'), ..) => Kind::Dot,
                (Some('^'), ..) | (Some('\\'), Some('A'), _) => Kind::Start,
                (Some('('), Some('?'), _) if token.ends_with(')') => Kind::Flags,
                (Some('('), ..) => Kind::Open,
                (Some(')'), ..) => Kind::Close,
                (Some('|'), ..) => Kind::Bar,
                (Some('*' | '+' | '?'), ..) | (Some('{'), Some(_), _) => Kind::Repeat,
                (Some('\\'), Some(c), None) if c.is_ascii_punctuation() => Kind::Char(c),
                (Some('['), Some('.'), Some(']')) => Kind::Char('.'),
                (Some('[' | '\\' | '$'), ..) | (None, ..) => Kind::Other,
                (Some(c), ..) => Kind::Char(c),
            };
            Token { kind, span }
        })
        .collect()
}

/// Where in the pattern a host name may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing stands before it, not even `^`.
    Beginning,
    /// `^` stands before it.
    Anchored,
    /// Any text may stand before it: `.*` does.
    Anywhere,
}

/// Follows the places through groups and alternatives.
struct Places {
    now: Option<Place>,
    /// The place at which each open group, and the pattern, begins.
    groups: Vec<Option<Place>>,
}

impl Default for Places {
    fn default() -> Self {
        Self { now: Some(Place::Beginning), groups: vec![Some(Place::Beginning)] }
    }
}

impl Places {
    /// The place just before a token, if a host name may begin with it.
    fn before(&self, token: &Token) -> Option<Place> {
        self.now.filter(|_| matches!(token.kind, Kind::Char(_)))
    }

    fn passed(&mut self) {
        self.now = None;
    }

    fn after(&mut self, token: &Token, before: Option<&Token>) {
        match token.kind {
            Kind::Start => self.now = self.now.map(|_| Place::Anchored),
            Kind::Open => self.groups.push(self.now),
            Kind::Close => {
                self.groups.pop();
                self.now = None;
            }
            Kind::Bar => self.now = self.groups.last().copied().flatten(),
            Kind::Flags => {}
            Kind::Repeat if before.is_some_and(|before| before.kind == Kind::Dot) => {
                self.now = Some(Place::Anywhere);
            }
            Kind::Char(_) | Kind::Dot | Kind::Repeat | Kind::Other => self.now = None,
        }
    }
}

/// A host name found in a pattern.
struct Host {
    /// The name, with each dot as a dot.
    name: String,
    /// The dots that match any character.
    dots: Vec<Range<usize>>,
    span: Range<usize>,
    /// The first token behind it.
    after: usize,
}

impl Host {
    /// Reads a host name from the token at hand on.
    fn read(tokens: &[Token], at: usize) -> Option<Self> {
        let mut host = Self { name: String::new(), dots: Vec::new(), span: 0..0, after: at };
        host.span = tokens.get(at)?.span.clone();
        let mut rest = tokens.get(at..)?.iter().peekable();
        let mut end = None;
        while let Some(token) = rest.next() {
            let repeated = rest.peek().is_some_and(|next| next.kind == Kind::Repeat);
            let c = match token.kind {
                Kind::Char(c) if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => c,
                Kind::Dot => '.',
                kind => {
                    end = Some(kind);
                    break;
                }
            };
            if repeated {
                end = Some(Kind::Repeat);
                break;
            }
            if token.kind == Kind::Dot {
                host.dots.push(token.span.clone());
            }
            host.name.push(c.to_ascii_lowercase());
            host.span.end = token.span.end;
            host.after += 1;
        }
        is_host(&host.name, end).then_some(host)
    }

    /// The name as it should be written.
    fn escaped(&self) -> String {
        self.name.replace('.', "\\.")
    }

    fn unescaped_dot(&self) -> Option<PatternLint> {
        let Self { name, dots, .. } = self;
        let first = dots.first()?;
        // An example is only shown where every dot is to blame, so that it is sure to match.
        let also = if dots.len() == name.matches('.').count() {
            format!(", so `{}` matches too", name.replace('.', "x"))
        } else {
            String::new()
        };
        Some(PatternLint {
            code: codes::UNESCAPED_DOT.id,
            span: first.clone(),
            message: format!("an unescaped `.` in the host `{name}` matches any character{also}"),
            help: format!("write `{}`", self.escaped()),
        })
    }

    fn unanchored(&self, alternative: bool) -> PatternLint {
        let Self { name, span, .. } = self;
        let help = if alternative {
            "a `^` before the first alternative is not for the others; group them: `^(?:a|b)/`"
                .to_owned()
        } else {
            format!("write `^{}`", self.escaped())
        };
        PatternLint {
            code: codes::UNANCHORED.id,
            span: span.clone(),
            message: format!(
                "the host `{name}` is looked for anywhere in the image, so `evil.example/{name}/` \
                 matches too"
            ),
            help,
        }
    }

    fn impossible(&self) -> Option<PatternLint> {
        let Self { name, span, .. } = self;
        let (_, registries) = PARENTS.iter().find(|(parent, _)| parent == name)?;
        Some(PatternLint {
            code: codes::IMPOSSIBLE_HOST.id,
            span: span.clone(),
            message: format!("no image is at `{name}` itself: registries there are `{registries}`"),
            help: format!("write `^[^/]+\\.{}/`, or the name of yours", self.escaped()),
        })
    }
}

/// Hosts that hold registries and are none, and what their registries are called.
const PARENTS: [(&str, &str); 7] = [
    ("azurecr.io", "<name>.azurecr.io"),
    ("azurecr.cn", "<name>.azurecr.cn"),
    ("azurecr.us", "<name>.azurecr.us"),
    ("pkg.dev", "<region>-docker.pkg.dev"),
    ("amazonaws.com", "<account>.dkr.ecr.<region>.amazonaws.com"),
    ("jfrog.io", "<name>.jfrog.io"),
    ("ocir.io", "<region>.ocir.io"),
];

/// Last labels by which a name is known for a host even if no `/` follows.
const LAST_LABELS: [&str; 24] = [
    "ai", "app", "aws", "cloud", "cn", "co", "com", "corp", "de", "dev", "edu", "eu", "gov",
    "info", "internal", "io", "lan", "local", "mil", "net", "org", "run", "sh", "us",
];

/// Whether a name that ends with a token of this kind is that of a registry.
fn is_host(name: &str, end: Option<Kind>) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    let address = labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok());
    let named = last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_lowercase());
    let whole = matches!(end, Some(Kind::Char('/' | ':')));
    let known = LAST_LABELS.contains(&last) && !matches!(end, Some(Kind::Char(_)));
    labels.len() >= 2
        && labels.iter().all(|label| !label.is_empty())
        && (address || named)
        && (whole || known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &[(&str, &str)]) {
        let hir = super::super::parse(pattern).unwrap();
        let found = lint(pattern, &hir);
        let found: Vec<(&str, &str)> =
            found.iter().map(|lint| (lint.code, &pattern[lint.span.clone()])).collect();
        assert_eq!(found, expected, "{pattern}");
    }

    #[test]
    fn dots_in_hosts_are_found() {
        check("^gcr.io/company/app.*", &[("CAP101", ".")]);
        check(r"^gcr\.io/my.app", &[]);
        check("^gcr[.]io/", &[]);
        check("^docker.io$", &[("CAP101", ".")]);
        check("^myappimages.azurecr.io/.*", &[("CAP101", ".")]);
        check(r"^(?:gcr.io|quay\.io|10\.0\.0\.1:5000)/", &[("CAP101", ".")]);
        check("(?i)^GCR.io/", &[("CAP101", ".")]);
        check(".*gcr.io/", &[("CAP101", ".")]);
        check("^nginx.1", &[]);
        check("^nginx:1.27", &[]);
        check("^.*/nginx.conf", &[]);
        check(r"^\Qgcr.io/\E", &[]);
        check("", &[]);
    }

    #[test]
    fn hosts_without_an_anchor_are_found() {
        check(r"gcr\.io/", &[("CAP102", r"gcr\.io")]);
        check(r"^gcr\.io/|quay\.io/", &[("CAP102", r"quay\.io")]);
        check(r"(gcr\.io|quay\.io)/", &[("CAP102", r"gcr\.io")]);
        check(r"^(gcr\.io|quay\.io)/", &[]);
        check(r"\Agcr\.io/", &[]);
        check(r"(^|\.)gcr\.io/", &[]);
        check(r"/gcr\.io/", &[]);
        check("nginx", &[]);
    }

    #[test]
    fn hosts_that_no_image_has_are_found() {
        check(r"^azurecr\.io/", &[("CAP109", r"azurecr\.io")]);
        check("^azurecr.io/.*", &[("CAP101", "."), ("CAP109", "azurecr.io")]);
        check(r"^[^/]+\.azurecr\.io/", &[]);
        check(r"^x\.azurecr\.io/", &[]);
    }

    #[test]
    fn findings_are_bounded_and_spans_lie_in_the_pattern() {
        let pattern = "é|gcr.io/".repeat(1_000);
        let found = lint(&pattern, &super::super::parse(&pattern).unwrap());
        assert!((1..=LINTS_MAX + 2).contains(&found.len()));
        assert!(found.iter().all(|lint| pattern.get(lint.span.clone()).is_some()));
    }
}
