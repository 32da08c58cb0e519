//! Random policies, and requests that are likely to hit them.

use caapc_compiler::automata::{Limits, Shape, shape};
use caapc_compiler::pattern;
use caapc_compiler::policy::{
    AgeCriterion, Bound, Broken, Comparison, Entry, Membership, PathCriterion, PathPattern,
    Patterns, Policy, Rule, StatusCriterion,
};
use caapc_compiler::selector;
use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};
use caapc_vm::program::Action;
use caapc_vm::time::Span;

/// xorshift64*: enough for tests, the same everywhere.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }
}

const KEYS: &[&str] = &["app", "tier", "team", "env", "a", "in", "projectcalico.org/name", "x.y/z"];
const VALUES: &[&str] = &["checkout", "web", "prod", "dev", "", "a", "ab", "ba", "x y", "日本"];

fn leaf(rng: &mut Rng) -> String {
    let key = rng.pick(KEYS);
    let value = rng.pick(VALUES);
    match rng.below(9) {
        0 => format!("has({key})"),
        1 => format!("{key} != '{value}'"),
        2 => format!("{key} in {{'{value}', '{}'}}", rng.pick(VALUES)),
        3 => format!("{key} not in {{'{value}', '{}'}}", rng.pick(VALUES)),
        4 => format!("{key} contains '{value}'"),
        5 => format!("{key} starts with '{value}'"),
        6 => format!("{key} ends with '{value}'"),
        7 if rng.one_in(4) => {
            rng.pick(&["all()", "!all()", "app in {}", "app not in {}"]).to_owned()
        }
        _ => format!("{key} == '{value}'"),
    }
}

fn selector_text(rng: &mut Rng, depth: usize) -> String {
    if depth == 0 || rng.one_in(3) {
        return leaf(rng);
    }
    let join = if rng.one_in(2) { " && " } else { " || " };
    let parts: Vec<String> = (0..2 + rng.below(3)).map(|_| selector_text(rng, depth - 1)).collect();
    let not = if rng.one_in(4) { "!" } else { "" };
    format!("{not}({})", parts.join(join))
}

const HOSTS: &[&str] =
    &["gcr.io", "quay.io", "docker.io", "registry-1.internal.example.com", "localhost:5000"];
const NAMES: &[&str] = &[
    "company/team-1",
    "company/team-12",
    "org-1/api-x",
    "library/nginx",
    "company-1/base-alpine",
    "é/x",
];
const TAGS: &[&str] = &[":latest", ":v1.2", ":dev-1", "", "@sha256:00", ":v1.2\n"];
const ODD: &[&str] = &[
    "",
    ".",
    "^$",
    "\\.$",
    "[^a-z]",
    "\\bteam\\b",
    "\\Bx",
    "\\pL/",
    "^[^/]+/[^/]+$",
    "(?s).$",
    "(?m)2$",
    "^*",
    "é",
    "a{,5}",
    "[^é]$",
];

fn pattern_text(rng: &mut Rng) -> String {
    let (host, name) = (rng.pick(HOSTS), rng.pick(NAMES));
    match rng.below(16) {
        0 => format!("^{}/.*", host.replace('.', "\\.")),
        1 => format!("^{host}/{name}"),
        2 => format!("^{}/{name}:v[0-9]+\\.[0-9]+", host.replace('.', "\\.")),
        3 => format!("{name}:(latest|dev-1|rc-1)$"),
        4 => ":(latest|dev-1|rc-1)$".to_owned(),
        5 => format!("company-1/base-(alpine|debian|{})", rng.pick(&["distroless", "x"])),
        6 => format!("^registry-{}\\.internal\\.example\\.com(:[0-9]+)?/.*", rng.below(3)),
        7 => format!("(?i){}", name.to_uppercase()),
        8 => "^.*$".to_owned(),
        9 => rng.pick(ODD).to_owned(),
        10 => {
            let tail = rng.pick(&["", ".*", "team", "[a-z]{2,5}"]);
            format!("^(gcr\\.io|quay\\.io)/(company|org)-?[0-9]*/?{tail}")
        }
        11 => format!("^{}$", format!("{host}/{name}").replace('.', "\\.")),
        12 => format!("{name}$"),
        13 => format!("(a|b)*{name}"),
        14 => format!("team-{}[0-9]?(:|$)", rng.below(3)),
        _ => name.to_owned(),
    }
}

fn membership(rng: &mut Rng) -> Membership {
    if rng.one_in(3) { Membership::IsNoneOf } else { Membership::IsOneOf }
}

fn patterns(texts: Vec<String>) -> Patterns {
    let shapes: Vec<Shape> = texts
        .iter()
        .map(|text| {
            let hir = pattern::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
            shape(&hir, &Limits::default()).unwrap()
        })
        .collect();
    let rows = texts.iter().zip(&shapes);
    Patterns::new(rows.map(|(text, shape)| PathPattern { text, shape: shape.borrowed() }))
}

fn rule(rng: &mut Rng) -> Rule {
    let image_path = rng.one_in(2).then(|| PathCriterion {
        operator: membership(rng),
        values: patterns((0..rng.below(4)).map(|_| pattern_text(rng)).collect()),
    });
    let words = ["Pass", "Warn", "Fail", "Unknown", "pass"];
    let image_scan_status = rng.one_in(2).then(|| StatusCriterion {
        operator: membership(rng),
        values: (0..rng.below(3)).map(|_| rng.pick(&words).to_owned()).collect(),
    });
    let image_last_scan = rng.one_in(3).then(|| AgeCriterion {
        operator: if rng.one_in(3) { Comparison::Lt } else { Comparison::Gt },
        bound: if rng.one_in(4) { Bound::At(time(rng)) } else { Bound::Span(span(rng)) },
    });
    let action = if rng.one_in(2) { Action::Allow } else { Action::Reject };
    Rule { action, image_path, image_scan_status, image_last_scan }
}

fn span(rng: &mut Rng) -> Span {
    match rng.below(4) {
        0 => Span {
            years: rng.below(3) as u32,
            months: rng.below(14) as u32,
            days: rng.below(40) as u32,
        },
        1 => Span { years: 0, months: 1 + rng.below(3) as u32, days: 0 },
        2 => Span { years: rng.below(3_000) as u32, months: 0, days: 0 },
        _ => Span { years: 0, months: 0, days: rng.below(9) as u32 },
    }
}

const NOW: i64 = 1_711_879_200; // 2024-03-31T10:00:00Z, where months are uneven.

fn time(rng: &mut Rng) -> Timestamp {
    Timestamp {
        secs: NOW - rng.below(90 * 86_400) as i64,
        nanos: rng.below(2) as u32 * 500_000_000,
    }
}

pub(crate) fn entries(rng: &mut Rng) -> Vec<Entry> {
    // Mostly small sets; a few are wide enough that rules fill several words of bits.
    let count = if rng.one_in(12) { 20 + rng.below(60) } else { 1 + rng.below(6) };
    let mut entries: Vec<Entry> = (0..count).map(|nth| entry(rng, nth)).collect();
    let shift = rng.below(entries.len());
    entries.rotate_left(shift);
    entries
}

fn selector(rng: &mut Rng) -> selector::Selector {
    let text = if rng.one_in(2) { "all()".to_owned() } else { selector_text(rng, 2) };
    selector::parse(&text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"))
}

fn entry(rng: &mut Rng, nth: usize) -> Entry {
    let name = format!("policy-{nth}");
    let order = (!rng.one_in(4)).then(|| [-1.5, -0.0, 0.0, 1.0, 10.0][rng.below(5)]);
    let (own, namespace) = (selector(rng), selector(rng));
    if rng.one_in(40) {
        return Entry::Broken(Broken {
            name,
            order,
            selector: (!rng.one_in(6)).then_some(own),
            namespace_selector: Some(namespace),
            fault: "spec.rules[0].action: missing".to_owned(),
            source: String::new(),
        });
    }
    let count = if rng.one_in(20) { 70 } else { rng.below(5) };
    Entry::Policy(Policy {
        name,
        order,
        selector: own,
        namespace_selector: namespace,
        rules: (0..count).map(|_| rule(rng)).collect(),
        source: String::new(),
    })
}

/// As many policies as fill several words of bits, so that the rows over them take every form:
/// keys that all, some or single policies need, values that few or many mention. Each has one rule,
/// which wants the status of its number, so that a verdict says which quarter applied first.
pub(crate) fn crowd(rng: &mut Rng, count: usize) -> Vec<Entry> {
    let rule = |nth: usize| Rule {
        action: Action::Reject,
        image_path: None,
        image_scan_status: Some(StatusCriterion {
            operator: Membership::IsOneOf,
            values: vec![ScanStatus::ALL[nth % 4].word().to_owned()],
        }),
        image_last_scan: None,
    };
    (0..count)
        .map(|nth| {
            let (rare, value) = (rng.below(count), rng.below(count / 2));
            let text = match rng.below(10) {
                0 => format!("app == 'v{value}' && tier in {{'web', 'v{rare}'}} && !has(k{rare})"),
                1 => format!("team == 'v{value}' || team == 'web'"),
                2 => format!("has(env) && !(env in {{'web', 'v{value}'}})"),
                3 => format!("k{rare} == 'v{value}' && app != 'dev'"),
                4 => format!("has(k{rare}) && has(k{value})"),
                5 => format!("app starts with 'v{}' && has(tier)", value % 10),
                6 => format!("app == 'v{value}' || has(tier) && tier != 'web'"),
                7 => selector_text(rng, 1),
                8 => "app != 'web'".to_owned(),
                _ => "app == 'web' && tier == 'web'".to_owned(),
            };
            let own = selector::parse(&text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
            let all = selector::parse(rng.pick(&["all()", "team == 'web'", "has(app)"]));
            Entry::Policy(Policy {
                name: format!("policy-{nth:05}"),
                order: None,
                selector: own,
                namespace_selector: all.unwrap_or_else(|error| panic!("{error:?}")),
                rules: vec![rule(nth)],
                source: String::new(),
            })
        })
        .collect()
}

/// Labels that a [`crowd`] of `count` policies mentions.
pub(crate) fn crowd_labels(rng: &mut Rng, count: usize) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for key in ["app", "tier", "team", "env"] {
        match rng.below(4) {
            0 => {}
            1 => labels.push((key.to_owned(), format!("v{}", rng.below(count)))),
            2 => labels.push((key.to_owned(), rng.pick(VALUES).to_owned())),
            _ => labels.push((key.to_owned(), "web".to_owned())),
        }
    }
    for _ in 0..rng.below(4) {
        labels.push((format!("k{}", rng.below(count)), format!("v{}", rng.below(count / 2))));
    }
    labels
}

#[derive(Debug)]
pub(crate) struct Image {
    path: String,
    canonical: Option<String>,
    status: ScanStatus,
    last_scan: Option<Timestamp>,
}

impl Image {
    pub(crate) fn facts(&self) -> ImageFacts<'_> {
        ImageFacts {
            path: &self.path,
            canonical: self.canonical.as_deref(),
            status: self.status,
            last_scan: self.last_scan,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Request {
    labels: Vec<(&'static str, &'static str)>,
    namespace_labels: Vec<(&'static str, &'static str)>,
    pub(crate) now: Timestamp,
    skew_secs: u32,
    pub(crate) images: Vec<Image>,
}

pub(crate) fn borrowed(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

impl Request {
    pub(crate) fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            labels: &self.labels,
            namespace_labels: &self.namespace_labels,
            now: self.now,
            skew_secs: self.skew_secs,
        }
    }
}

fn labels(rng: &mut Rng) -> Vec<(&'static str, &'static str)> {
    (0..rng.below(6)).map(|_| (rng.pick(KEYS), rng.pick(VALUES))).collect()
}

/// Half of the scan times lie exactly on a bound of the policies, or one nanosecond beside it.
fn scan_time(rng: &mut Rng, now: Timestamp, skew_secs: u32, entries: &[Entry]) -> Timestamp {
    let Entry::Policy(policy) = &entries[rng.below(entries.len())] else { return time(rng) };
    let ages: Vec<_> = policy.rules.iter().filter_map(|rule| rule.image_last_scan).collect();
    let edge = match (ages.is_empty(), rng.below(4)) {
        (_, 0) => now.plus_secs(i64::from(skew_secs)),
        (false, 1 | 2) => match ages[rng.below(ages.len())].bound {
            Bound::At(time) => time,
            Bound::Span(span) => caapc_vm::time::before(now, span),
        },
        _ => return time(rng),
    };
    if edge == Timestamp::MIN {
        // Minus infinity is a bound, but no time at which anything was scanned.
        return time(rng);
    }
    match (rng.below(3), edge) {
        (0, edge) => edge,
        (1, Timestamp { secs, nanos: 999_999_999 }) => {
            Timestamp { secs: secs.saturating_add(1), nanos: 0 }
        }
        (1, Timestamp { secs, nanos }) => Timestamp { secs, nanos: nanos + 1 },
        (_, Timestamp { secs, nanos: 0 }) => {
            Timestamp { secs: secs.saturating_sub(1), nanos: 999_999_999 }
        }
        (_, Timestamp { secs, nanos }) => Timestamp { secs, nanos: nanos - 1 },
    }
}

pub(crate) fn request(rng: &mut Rng, entries: &[Entry]) -> Request {
    let now = Timestamp {
        secs: NOW + rng.below(3) as i64 * 86_400 * 30,
        nanos: rng.below(2) as u32 * 250,
    };
    let skew_secs = [0, 300][rng.below(2)];
    let images = (0..1 + rng.below(3))
        .map(|_| {
            let path = format!("{}/{}{}", rng.pick(HOSTS), rng.pick(NAMES), rng.pick(TAGS));
            let path = if rng.one_in(8) { rng.pick(NAMES).to_owned() } else { path };
            let canonical = rng.one_in(6).then(|| format!("docker.io/library/{}", rng.pick(NAMES)));
            let last_scan = (!rng.one_in(4)).then(|| scan_time(rng, now, skew_secs, entries));
            Image { path, canonical, status: ScanStatus::ALL[rng.below(4)], last_scan }
        })
        .collect();
    Request { labels: labels(rng), namespace_labels: labels(rng), now, skew_secs, images }
}

/// Makes damage get past the checksum, which only finds accidents.
pub(crate) fn repair_checksum(bytes: &mut [u8]) {
    if bytes.len() < 16 {
        return;
    }
    let sum = bytes[16..].iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    bytes[8..16].copy_from_slice(&sum.to_le_bytes());
}
