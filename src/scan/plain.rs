//! The plain recomputation: the contract's words over the raw lists, as slowly as it likes. It
//! defines what is right; the property tests hold the shelf against it, for any order of arrivals,
//! exceptions and threshold changes. Start at [`Raw::lookup`].

use std::collections::BTreeMap;

use caapc_vm::facts::{ScanStatus, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;

use super::record::parse_time;
use super::{ScanFact, ScanState, ScanStore, Settings, Thresholds};
use crate::api::{
    Earlier, ExceptionScope, ImageScanSpec, MissingScore, Overflow, Score, Severity, StoredState,
    ThresholdBoundary, Vulnerability, VulnerabilityExceptionSpec,
};
use crate::reference::Reference;

/// The raw lists.
#[derive(Debug, Default)]
struct Raw {
    scans: BTreeMap<String, ImageScanSpec>,
    exceptions: BTreeMap<String, VulnerabilityExceptionSpec>,
    settings: Settings,
}

impl Raw {
    fn lookup(&self, image: &str, now: Timestamp) -> ScanFact {
        let reference = Reference::parse(image).unwrap();
        let edges = match reference.digest() {
            Some(digest) => self.behind(digest).into_iter().map(|scan| (scan, None)).collect(),
            None => self.edges_of_tag(&reference.canonical()),
        };
        let mut platforms: Vec<&str> = edges.iter().map(|(scan, _)| &*scan.platform).collect();
        platforms.sort_unstable();
        platforms.dedup();
        let mut facts = Vec::new();
        for platform in platforms {
            let mut here: Vec<_> =
                edges.iter().copied().filter(|(scan, _)| scan.platform == platform).collect();
            let says_something = |(scan, _): &(&ImageScanSpec, _)| {
                !matches!(scan.state, StoredState::Pending | StoredState::Unsupported)
            };
            if here.iter().any(says_something) {
                here.retain(says_something);
            }
            let newest_edge = here.iter().map(|(_, edge)| self.rank(*edge, now)).max();
            here.retain(|(_, edge)| Some(self.rank(*edge, now)) == newest_edge);
            let newest = here.iter().map(|(scan, _)| self.rank(scanned_at(scan), now)).max();
            here.retain(|(scan, _)| Some(self.rank(scanned_at(scan), now)) == newest);
            facts.extend(here.iter().map(|(scan, _)| self.fact(scan, &reference, now)));
        }
        let last_scan = facts.iter().map(|fact| fact.last_scan).min();
        let worst = facts.into_iter().reduce(|a, b| if bad(b) > bad(a) { b } else { a });
        worst.map_or(ScanFact::NEVER, |fact| ScanFact { last_scan: last_scan.flatten(), ..fact })
    }

    /// A time in the future ranks after all others.
    fn rank(&self, at: Option<Timestamp>, now: Timestamp) -> (bool, Option<Timestamp>) {
        let latest = now.plus_secs(i64::from(self.settings.skew_secs));
        (at.is_none_or(|at| at <= latest), at)
    }

    /// The scans a digest leads to.
    fn behind(&self, digest: &str) -> Vec<&ImageScanSpec> {
        let mut wanted = vec![digest];
        for scan in self.scans.values() {
            if indexes(scan).contains(&digest) {
                wanted.extend(scan.digest.as_deref());
            }
        }
        let lists = |scan: &&ImageScanSpec| wanted.iter().any(|d| digests(scan).contains(d));
        self.scans.values().filter(lists).collect()
    }

    /// The scans a tag leads to, each with the time that it did: the newest, if several.
    fn edges_of_tag(&self, tag: &str) -> Vec<(&ImageScanSpec, Option<Timestamp>)> {
        let mut edges: Vec<(&ImageScanSpec, Option<Timestamp>)> = Vec::new();
        for scan in self.scans.values() {
            let Some(seen) = lists_tag(scan, tag) else { continue };
            let mut ends: Vec<&ImageScanSpec> = vec![scan];
            ends.extend(digests(scan).iter().flat_map(|digest| self.behind(digest)));
            for end in ends {
                match edges.iter_mut().find(|(known, _)| std::ptr::eq(*known, end)) {
                    Some((_, edge)) => *edge = (*edge).max(seen),
                    None => edges.push((end, seen)),
                }
            }
        }
        edges
    }

    fn fact(&self, scan: &ImageScanSpec, asked: &Reference<'_>, now: Timestamp) -> ScanFact {
        let unknown = |state| ScanFact { status: ScanStatus::Unknown, last_scan: None, state };
        match scan.state {
            StoredState::Scanned => ScanFact {
                status: self.settings.thresholds.status(self.maximum(scan, asked, now)),
                last_scan: scanned_at(scan),
                state: ScanState::Scanned,
            },
            StoredState::Pending => unknown(ScanState::Pending),
            StoredState::Failed => unknown(ScanState::Failed),
            StoredState::TooLarge => unknown(ScanState::TooLarge),
            StoredState::Unsupported => unknown(ScanState::Unsupported),
            StoredState::Expired => unknown(ScanState::Expired),
        }
    }

    fn maximum(&self, scan: &ImageScanSpec, asked: &Reference<'_>, now: Timestamp) -> Score {
        let counts = |one: &&Vulnerability| !self.excepted(&one.id, scan, asked, now);
        let rows = scan.vulnerabilities.iter().filter(counts);
        let rows = rows.map(|one| self.score([one.v3, one.v4, one.v2], one.severity));
        let over = scan
            .overflow
            .into_iter()
            .flat_map(|over| [over.v3, self.score([None, over.v4, over.v2], over.severity)]);
        // A highest score that nothing in the object has counts whatever is excepted.
        let all = scan.vulnerabilities.iter().map(|one| one.v3);
        let all = all.chain(scan.overflow.into_iter().flat_map(|over| [over.v3])).flatten().max();
        let lost = scan.maximum.filter(|said| *said > all.unwrap_or_default());
        rows.chain(over).chain([lost]).flatten().max().unwrap_or_default()
    }

    fn score(&self, [v3, v4, v2]: [Option<Score>; 3], severity: Severity) -> Option<Score> {
        match (v3, self.settings.missing_score) {
            (Some(_), _) => v3,
            (None, MissingScore::Ignore) => None,
            (None, MissingScore::V4) => v4,
            (None, MissingScore::V2) => v2,
            (None, MissingScore::Severity) => severity.band(),
        }
    }

    fn excepted(
        &self,
        id: &str,
        scan: &ImageScanSpec,
        asked: &Reference<'_>,
        now: Timestamp,
    ) -> bool {
        self.exceptions.values().any(|exception| {
            let expired =
                exception.expires_at.as_ref().is_some_and(|at| parse_time(at).unwrap() <= now);
            let registry = exception.registry.clone().map(|r| r + "/").unwrap_or_default();
            let joined = registry + exception.repository.as_deref().unwrap_or_default();
            let here = Reference::parse(&joined)
                .is_ok_and(|r| r.canonical_repository() == asked.canonical_repository());
            let tags = exception.tags.clone().unwrap_or_default();
            let tag_matches = |tag: &String| match asked.tag_or_latest() {
                Some(written) => tag == written,
                None => {
                    lists_tag(scan, &format!("{}:{tag}", asked.canonical_repository())).is_some()
                }
            };
            exception.vulnerability == id
                && !expired
                && match exception.scope {
                    ExceptionScope::Any => true,
                    ExceptionScope::Repo => here,
                    ExceptionScope::Image => here && tags.iter().any(tag_matches),
                }
        })
    }
}

fn bad(fact: ScanFact) -> (usize, u8) {
    use ScanStatus::{Fail, Pass, Unknown, Warn};
    let order = [Pass, Warn, Unknown, Fail];
    (order.iter().position(|status| *status == fact.status).unwrap(), fact.state as u8)
}

fn scanned_at(scan: &ImageScanSpec) -> Option<Timestamp> {
    scan.scanned_at.as_ref().map(|at| parse_time(at).unwrap())
}

fn indexes(scan: &ImageScanSpec) -> Vec<&str> {
    let earlier = scan.earlier.iter().map(|one| &*one.name);
    let own = scan.index_digests.iter().map(|digest| &**digest);
    own.chain(earlier.filter(|name| name.starts_with("sha256:"))).collect()
}

fn digests(scan: &ImageScanSpec) -> Vec<&str> {
    scan.digest.as_deref().into_iter().chain(indexes(scan)).collect()
}

/// When a scan last listed a tag.
fn lists_tag(scan: &ImageScanSpec, tag: &str) -> Option<Option<Timestamp>> {
    let canonical = |text: &str| Reference::parse(text).unwrap().canonical();
    let now = scan.references.iter().any(|text| canonical(text) == tag).then(|| scanned_at(scan));
    let tags = scan.earlier.iter().filter(|one| !one.name.starts_with("sha256:"));
    let earlier = tags.filter(|one| canonical(&one.name) == tag);
    now.into_iter().chain(earlier.map(|one| Some(parse_time(&one.seen_at).unwrap()))).max()
}

/// Something that happens to the store.
#[derive(Clone, Debug)]
enum Event {
    Scan(String, Box<ImageScanSpec>),
    DeleteScan(String),
    Exception(String, Box<VulnerabilityExceptionSpec>),
    DeleteException(String),
    Settings(Settings),
    Snapshot,
    /// A complete list of scans that has only the names up to this one.
    Relist(String),
}

const TAGS: [&str; 4] = ["nginx:1", "nginx:2", "quay.io/team/app:1", "quay.io/team/app"];
const CVES: [&str; 4] = ["CVE-1", "CVE-2", "CVE-3", "CVE-4"];

fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

fn time(secs: i64) -> String {
    format!("2026-01-01T00:{:02}:{:02}Z", secs / 60, secs % 60)
}

fn now(secs: i64) -> Timestamp {
    parse_time(&time(secs)).unwrap()
}

fn score() -> impl Strategy<Value = Option<Score>> {
    select(vec![None, Some(0), Some(39), Some(40), Some(69), Some(70), Some(71), Some(100)])
        .prop_map(|tenths| tenths.and_then(Score::from_tenths))
}

fn vulnerability() -> impl Strategy<Value = Vulnerability> {
    (select(&CVES[..]), score(), score(), score(), select(&Severity::ALL[..])).prop_map(
        |(id, v3, v4, v2, severity)| Vulnerability {
            id: id.to_owned(),
            v3,
            v4,
            v2,
            severity,
            package: Some("p".to_owned()),
            fixed: None,
        },
    )
}

fn overflow() -> impl Strategy<Value = Option<Overflow>> {
    prop_oneof![
        9 => Just(None),
        1 => (score(), score(), score(), select(&Severity::ALL[..])).prop_map(
            |(v3, v4, v2, severity)| Some(Overflow { count: 1, v3, v4, v2, severity })),
    ]
}

fn state() -> impl Strategy<Value = StoredState> {
    prop_oneof![
        12 => Just(StoredState::Scanned),
        2 => Just(StoredState::Pending),
        1 => Just(StoredState::Failed),
        1 => Just(StoredState::Unsupported),
    ]
}

prop_compose! {
    fn scan()(
        own in proptest::option::of(0_u8..3),
        index in proptest::collection::vec(3_u8..5, 0..2),
        tags in proptest::collection::vec(select(&TAGS[..]), 0..3),
        earlier in proptest::option::of((
            prop_oneof![select(&TAGS[..]).prop_map(str::to_owned), (3_u8..5).prop_map(digest)],
            0_i64..6,
        )),
        platform in select(vec!["linux/amd64", "linux/arm64"]),
        state in state(),
        at in prop_oneof![8 => 0_i64..6, 1 => Just(1_000)],
        timed in proptest::bool::weighted(0.9),
        vulnerabilities in proptest::collection::vec(vulnerability(), 0..4),
        overflow in overflow(),
        maximum in prop_oneof![9 => Just(None), 1 => score()],
    ) -> ImageScanSpec {
        let references: Vec<String> = tags.iter().map(|tag| tag.to_string()).collect();
        let nobody = own.is_none() && references.is_empty();
        ImageScanSpec {
            digest: own.or(nobody.then_some(0)).map(digest),
            index_digests: index.into_iter().map(digest).collect(),
            references,
            earlier: earlier
                .into_iter()
                .map(|(name, at)| Earlier { name, seen_at: time(at) })
                .collect(),
            platform: platform.to_owned(),
            scanned_at: (timed || state == StoredState::Scanned).then(|| time(at)),
            state,
            vulnerabilities,
            overflow,
            maximum,
            ..ImageScanSpec::default()
        }
    }
}

prop_compose! {
    fn exception()(
        id in select(&CVES[..]),
        scope in select(vec![ExceptionScope::Any, ExceptionScope::Repo, ExceptionScope::Image]),
        (registry, repository) in select(vec![
            (None, "nginx"), (Some("docker.io"), "library/nginx"), (Some("quay.io/team"), "app"),
            (None, "quay.io/team/app"), (Some("Quay.io"), "team/other"),
        ]),
        tag in select(vec!["1", "2", "latest"]),
        expires in proptest::option::of(0_i64..8),
    ) -> VulnerabilityExceptionSpec {
        let scoped = scope != ExceptionScope::Any;
        VulnerabilityExceptionSpec {
            vulnerability: id.to_owned(),
            scope,
            registry: registry.filter(|_| scoped).map(str::to_owned),
            repository: scoped.then(|| repository.to_owned()),
            tags: (scope == ExceptionScope::Image).then(|| vec![tag.to_owned()]),
            expires_at: expires.map(time),
            ..VulnerabilityExceptionSpec::default()
        }
    }
}

prop_compose! {
    fn settings()(
        (fail, warn) in select(vec![(70, 39), (71, 70), (40, 0), (100, 100)]),
        boundary in select(vec![ThresholdBoundary::Bands, ThresholdBoundary::Exclusive]),
        missing_score in select(vec![
            MissingScore::Ignore, MissingScore::V4, MissingScore::V2, MissingScore::Severity,
        ]),
        skew_secs in select(vec![0, 2, 300]),
    ) -> Settings {
        let score = |tenths| Score::from_tenths(tenths).unwrap();
        let thresholds = Thresholds::new(score(fail), score(warn), boundary).unwrap();
        Settings { thresholds, missing_score, skew_secs, ..Settings::default() }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let name = || (0_u8..6).prop_map(|n| format!("n{n}"));
    prop_oneof![
        12 => (name(), scan()).prop_map(|(name, scan)| Event::Scan(name, Box::new(scan))),
        3 => name().prop_map(Event::DeleteScan),
        5 => (name(), exception()).prop_map(|(name, one)| Event::Exception(name, Box::new(one))),
        2 => name().prop_map(Event::DeleteException),
        1 => settings().prop_map(Event::Settings),
        3 => Just(Event::Snapshot),
        1 => name().prop_map(Event::Relist),
    ]
}

fn play(events: Vec<Event>) -> (Raw, ScanStore) {
    let (mut raw, mut store) = (Raw::default(), ScanStore::new());
    for event in events {
        match event {
            Event::Scan(name, scan) => {
                store.apply_scan(&name, &scan).unwrap();
                raw.scans.insert(name, *scan);
            }
            Event::DeleteScan(name) => {
                store.delete_scan(&name);
                raw.scans.remove(&name);
            }
            Event::Exception(name, one) => {
                store.apply_exception(&name, &one).unwrap();
                raw.exceptions.insert(name, *one);
            }
            Event::DeleteException(name) => {
                store.delete_exception(&name);
                raw.exceptions.remove(&name);
            }
            Event::Settings(settings) => {
                store.set_settings(settings);
                raw.settings = settings;
            }
            Event::Snapshot => drop(store.snapshot()),
            Event::Relist(last) => {
                store.begin_scans();
                raw.scans.retain(|name, _| *name <= last);
                for (name, scan) in &raw.scans {
                    store.apply_scan(name, scan).unwrap();
                }
                store.end_scans();
            }
        }
    }
    (raw, store)
}

fn check(events: Vec<Event>) {
    let (raw, mut store) = play(events);
    let shelf = store.snapshot();
    let mut images: Vec<String> = TAGS.iter().map(|tag| tag.to_string()).collect();
    for n in 0..5 {
        images.push(format!("nginx@{}", digest(n)));
        images.push(format!("quay.io/team/app:ignored@{}", digest(n)));
        images.push(format!("mirror.io/app@{}", digest(n)));
    }
    for image in images {
        let reference = Reference::parse(&image).unwrap();
        for secs in [0, 3, 4, 7, 2_000] {
            let wanted = raw.lookup(&image, now(secs));
            assert_eq!(shelf.lookup(&reference, now(secs)), wanted, "{image} at {secs}: {raw:#?}");
            let worst = shelf.entry(&reference).worst(now(secs)).next();
            if wanted.state == ScanState::Scanned && wanted.status == ScanStatus::Pass {
                let above = worst.and_then(|row| row.score);
                assert!(above <= Some(raw.settings.thresholds.fail()), "{image}: {worst:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_shelf_answers_as_the_raw_lists(events in proptest::collection::vec(event(), 1..24)) {
        check(events);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(
        (mut events, seed) in (proptest::collection::vec(
            (0_usize..1_000, scan()), 1..8), any::<u64>())
    ) {
        let named = |(n, scan): (usize, ImageScanSpec)| Event::Scan(format!("{n}"), Box::new(scan));
        events.sort_by_key(|(n, _)| *n);
        events.dedup_by_key(|(n, _)| *n);
        let first: Vec<Event> = events.iter().cloned().map(named).collect();
        // Any permutation: sorted by a scrambled key.
        events.sort_by_key(|(n, _)| (*n as u64).wrapping_add(1).wrapping_mul(seed | 1));
        let second: Vec<Event> = events.into_iter().map(named).collect();
        let (a, b) = (play(first).1.snapshot(), play(second).1.snapshot());
        for image in TAGS {
            let reference = Reference::parse(image).unwrap();
            assert_eq!(a.lookup(&reference, now(5)), b.lookup(&reference, now(5)), "{image}");
        }
    }
}

/// More with `CAAPC_SCAN_CASES=100000`.
fn cases() -> u32 {
    std::env::var("CAAPC_SCAN_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(500)
}
