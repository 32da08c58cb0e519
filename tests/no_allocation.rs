//! INVARIANT (no allocation): decode, decide and encode allocate nothing in steady state.
//!
//! All recorded reviews, over policies that reject and allow by path, status and age, in every
//! form of the image path and in every mode; and denials with long messages, escaped strings and
//! bad bodies. Its own test binary, because the allocator counts for the whole process.
#![expect(unsafe_code, reason = "a global allocator cannot be written without it")]

mod reviews;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use caapc::admission::options::{ImagePath, Mode, Options};
use caapc::admission::{Worker, answer};

struct Counting;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

fn count() {
    COUNT.with(|count| count.set(count.get().map(|count| count + 1)));
}

// SAFETY: every call goes to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.with(|count| count.set(Some(0)));
    work();
    COUNT.with(|count| count.take()).unwrap_or_default()
}

const POLICIES: &str = "
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: labelled}
spec:
  selector: app in {'web', 'rc-a'} || has(team)
  namespaceSelector: projectcalico.org/name == 'demo' && env != 'dev'
  order: 1
  rules:
  - action: Allow
    imageScanStatus: {operator: IsOneOf, values: [Pass]}
    imageLastScan: {operator: gt, duration: {days: 3}}
  - action: Reject
    imagePath: {operator: IsOneOf, values: ['nginx:1.2[0-9]$', '(?i)LATEST', '^é.*']}
---
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: reject-failed-and-non-gcr}
spec:
  order: 10
  rules:
  - action: Reject
    imagePath: {operator: IsNoneOf, values: ['^gcr.io/company/production-repository/.*', '^registry', 'library/']}
  - action: Allow
    imageScanStatus: {operator: IsOneOf, values: [Pass, Warn]}
  - action: Reject
";

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8; 9]))) > 0);
    assert_eq!(allocations(|| assert_eq!(std::hint::black_box(9), 9)), 0);
}

#[test]
fn a_request_allocates_nothing() {
    let snapshot = reviews::snapshot(
        POLICIES,
        &[("demo", &[("env", "prod")])],
        &[
            ("nginx:1.27", "Pass,2d"),
            ("registry.example/bare:5", "Fail,5d"),
            ("busybox:1.36", "Warn,1h"),
        ],
    );
    let mut bodies = reviews::recordings();
    bodies.extend(reviews::odd_bodies());
    let mut worker = Worker::new();
    let (mut denied, mut allowed) = (0, 0);
    for image_path in ImagePath::ALL {
        for mode in Mode::ALL {
            let options = Options { image_path: *image_path, mode: *mode, ..Options::default() };
            // Twice, so that arena and buffers have met everything: that is the steady state.
            for _ in 0..2 {
                for (_, body) in &bodies {
                    answer(&mut worker, &snapshot, &options, reviews::NOW, body);
                }
            }
            for (name, body) in &bodies {
                let mut is_allowed = false;
                let count = allocations(|| {
                    let answer = answer(&mut worker, &snapshot, &options, reviews::NOW, body);
                    is_allowed = answer.decided.is_some_and(|(_, decision)| decision.allowed());
                });
                assert_eq!(count, 0, "{name} with {image_path:?}, {mode:?}");
                *(if is_allowed { &mut allowed } else { &mut denied }) += 1;
            }
        }
    }
    assert!(denied > 30 && allowed > 100, "{denied} denied, {allowed} allowed: both roads are run");
}

/// Every way to search a pattern, from the first search on: the scratch is sized beforehand.
#[test]
fn no_search_of_patterns_allocates() {
    use caapc_compiler::automata::{Builder, Limits, TailCache, shape};
    use caapc_vm::matcher::{MatcherScratch, TEXT_MAX};

    let sources = [
        "^*",
        r"^gcr\.io/a/.*",
        "^gcr.io/.b$",
        "^.*ab.*$",
        "^(api|web)-[a-z]+:v[0-9]",
        ":(latest|dev)$",
        "base-(x|yy)",
        "x",
        "team-[0-9]+/",
        "[0-9]+-rc$",
        r"\bab\b",
        "é",
        r"\pL{3}",
        "(?i)sk",
        "[ab]*a[ab]{14}c",
        "^.{0,500}x.{500}",
    ];
    let mut builder = Builder::new();
    for (hit, source) in (0..).zip(sources) {
        let hir = caapc_compiler::pattern::parse(source).expect("the patterns are right");
        builder.add(&shape(&hir, &Limits::default()).expect("the patterns fit"), hit);
    }
    let matcher = builder.finish(sources.len() as u32, &mut TailCache::new()).expect("they fit");
    let (long, longest) = ("ab-x".repeat(TEXT_MAX / 4), "é日x".repeat(TEXT_MAX / 6));
    let texts = [
        "",
        "gcr.io/a/b",
        "gcr.io/é\nb:dev",
        "web-app:v1",
        "team-12/base-yy",
        "日本語 s\u{212a}",
        &long,
        &longest,
    ];
    for text in texts {
        let (mut scratch, mut hits) = (MatcherScratch::new(), [0]);
        scratch.prepare(&matcher);
        let search = || matcher.mark(text, &[u64::MAX], &mut scratch, &mut hits);
        assert_eq!(allocations(search), 0, "{text:.40}");
        assert_ne!(hits, [0], "`^*` matches everything");
    }
}

/// Scans with vulnerabilities, several platforms and an exception that expires within the week:
/// messages then name vulnerabilities, and warnings tell of the expiry.
#[test]
fn a_request_over_stored_scans_allocates_nothing() {
    let mut snapshot = reviews::snapshot(POLICIES, &[("demo", &[("env", "prod")])], &[]);
    snapshot.scans = std::sync::Arc::new(reviews::stored_scans());
    let bodies = reviews::scanned_bodies();
    let (mut worker, options) = (Worker::new(), Options::default());
    for _ in 0..2 {
        for (_, body) in &bodies {
            answer(&mut worker, &snapshot, &options, reviews::NOW, body);
        }
    }
    let mut told = String::new();
    for (name, body) in &bodies {
        let count = allocations(|| {
            answer(&mut worker, &snapshot, &options, reviews::NOW, body);
        });
        assert_eq!(count, 0, "{name}");
        let answer = answer(&mut worker, &snapshot, &options, reviews::NOW, body);
        told.extend([answer.message, "\n", answer.warnings, "\n"]);
    }
    assert!(told.contains("CVE-2026-1 9.8 in openssl, fixed in 3.0.15"), "{told}");
    assert!(told.contains("is allowed by an exception that expires at 2026-11-24T"), "{told}");
}

#[test]
fn looking_up_a_scan_allocates_nothing() {
    use caapc::api::{
        ExceptionScope, ImageScanSpec, Score, Vulnerability, VulnerabilityExceptionSpec,
    };
    use caapc::reference::Reference;
    use caapc::scan::ScanStore;

    let digest = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
    let mut store = ScanStore::new();
    for n in 0..40_u8 {
        let rows = (0..20).map(|row| Vulnerability {
            id: format!("CVE-{row}"),
            v3: Score::from_tenths(row * 5),
            package: Some("openssl".to_owned()),
            ..Vulnerability::default()
        });
        let spec = ImageScanSpec {
            digest: Some(digest(n)),
            index_digests: vec![digest(200 + n % 2)],
            references: vec![format!("Quay.io/team/app:{}", n % 8)],
            platform: ["linux/amd64", "linux/arm64"][usize::from(n % 2)].to_owned(),
            scanned_at: Some(format!("2026-01-10T09:00:{n:02}Z")),
            vulnerabilities: rows.collect(),
            ..ImageScanSpec::default()
        };
        store.apply_scan(&n.to_string(), &spec).expect("a scan");
    }
    for (row, scope) in
        [ExceptionScope::Any, ExceptionScope::Repo].iter().cycle().take(20).enumerate()
    {
        let scoped = *scope != ExceptionScope::Any;
        let spec = VulnerabilityExceptionSpec {
            vulnerability: format!("CVE-{row}"),
            scope: *scope,
            repository: scoped.then(|| "quay.io/team/app".to_owned()),
            expires_at: Some(format!("2026-02-{:02}T00:00:00Z", row + 1)),
            ..VulnerabilityExceptionSpec::default()
        };
        store.apply_exception(&row.to_string(), &spec).expect("an exception");
    }
    let shelf = store.snapshot();
    let images = [
        "QUAY.io/team/app:3".to_owned(),
        format!("quay.io/team/app@{}", digest(7)),
        format!("mirror.example/app:1@{}", digest(201)),
        "never:scanned".to_owned(),
    ];
    let mut known = 0;
    for image in &images {
        let count = allocations(|| {
            let reference = Reference::parse(image).expect("a reference");
            let entry = shelf.entry(&reference);
            known += usize::from(entry.fact(reviews::NOW).last_scan.is_some());
            std::hint::black_box(entry.worst(reviews::NOW).last());
            std::hint::black_box(entry.worsens(reviews::NOW));
        });
        assert_eq!(count, 0, "{image}");
    }
    assert_eq!(known, 3);
}

/// The texts of a suite's golden cases, by path; `name` is a file of a case that is a folder.
fn golden(folder: &str, name: Option<&str>) -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("a folder of cases")
        .filter_map(|entry| {
            let mut path = entry.expect("a case").path();
            path.extend(name);
            let text = std::fs::read_to_string(&path).ok()?;
            Some((path.display().to_string(), text))
        })
        .collect();
    all.sort();
    all
}

/// Every golden program, asked about what makes its tests go both ways.
#[test]
fn no_golden_program_allocates_while_it_runs() {
    use caapc_vm::facts::{ImageFacts, RequestFacts, ScanStatus, Timestamp};
    use caapc_vm::run::{self, Scratch};

    let mut programs = Vec::new();
    for (path, text) in golden("asm", None) {
        let text = text.split("--- facts ---").next().unwrap_or_default();
        programs.extend(caapc_compiler::assemble(text).ok().map(|program| (path, program)));
    }
    let policies = golden("compile", None);
    for (path, text) in policies.into_iter().chain(golden("decide", Some("policies.yaml"))) {
        programs.push((path, reviews::snapshot(&text, &[], &[]).policies.program().clone()));
    }
    assert!(programs.len() > 60, "{} programs", programs.len());
    let label_sets: [&[(&str, &str)]; 3] = [
        &[],
        &[("a", ""), ("b", "1"), ("c", "2"), ("d", "xx"), ("e", "xy"), ("f", "azb"), ("x", "")],
        &[("tier", "web"), ("team", "risk"), ("app", "web"), ("env", "prod"), ("a", "1")],
    ];
    let paths = ["nginx:1.27", "gcr.io/company/production-repository/app:1", "é/日本:latest", ""];
    let now = Timestamp::from_secs(1_769_853_600);
    let mut scratch = Scratch::new();
    for (name, program) in &programs {
        scratch.prepare(program);
        for labels in label_sets {
            for namespace_labels in label_sets {
                let facts = RequestFacts { labels, namespace_labels, now, skew_secs: 300 };
                let count = allocations(|| {
                    run::select(program, &mut scratch, &facts);
                    for path in paths {
                        for status in ScanStatus::ALL {
                            for age in [None, Some(0), Some(400_000), Some(200_000_000)] {
                                let last_scan = age.map(|age| now.plus_secs(-age));
                                let canonical = Some("docker.io/library/nginx:1.27");
                                let image = ImageFacts { path, canonical, status, last_scan };
                                std::hint::black_box(run::run(program, &mut scratch, &image));
                            }
                        }
                    }
                });
                assert_eq!(count, 0, "{name}");
            }
        }
    }
}

/// Every golden review, under its own policies.
#[test]
fn no_golden_review_allocates() {
    let options = Options::default();
    let reviews_of = golden("decide", Some("review.json"));
    assert!(reviews_of.len() > 60, "{} reviews", reviews_of.len());
    for (path, body) in reviews_of {
        let policies = path.replace("review.json", "policies.yaml");
        let policies = std::fs::read_to_string(policies).unwrap_or_default();
        let snapshot = reviews::snapshot(&policies, &[("demo", &[])], &[]);
        let mut worker = Worker::new();
        for _ in 0..2 {
            answer(&mut worker, &snapshot, &options, reviews::NOW, body.as_bytes());
        }
        let count = allocations(|| {
            answer(&mut worker, &snapshot, &options, reviews::NOW, body.as_bytes());
        });
        assert_eq!(count, 0, "{path}");
    }
}
