//! What scan results cost: a lookup, an image in memory, a change over all of them, an import.
//!
//! `cargo bench --bench scan` prints a table; `README.md` says what each number means. Times of
//! single calls are the least of ten, for the middle one of many short windows. Nothing is checked here.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use caapc::api::{
    ExceptionScope, ImageScanSpec, Score, Severity, Vulnerability, VulnerabilityExceptionSpec,
};
use caapc::reference::Reference;
use caapc::scan::files::{Sources, ThresholdsGiven, load};
use caapc::scan::report::{self, Reading};
use caapc::scan::{ScanShelf, ScanStore, Settings, parse_time};
use caapc_vm::facts::Timestamp;

const IMAGES: usize = 100_000;

fn main() {
    // A process of its own for each, because memory that was freed is not given back.
    if let Ok(rows) = std::env::var("CAAPC_BENCH_ROWS") {
        return memory(rows.parse().expect("a number"));
    }
    let is_asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    // `cargo bench` says `--bench`, `cargo test --benches` does not.
    if !is_asked("--bench") || ["--help", "--list", "--test"].into_iter().any(is_asked) {
        return println!("Measures scan results, which takes a minute: cargo bench --bench scan");
    }
    println!("{:<58} {:>12}", "what", "measured");
    for rows in ["0", "50", "500"] {
        let me = std::env::current_exe().expect("this program");
        std::process::Command::new(me).env("CAAPC_BENCH_ROWS", rows).status().expect("it starts");
    }
    store_and_lookups();
    import();
    folder();
}

fn say(what: &str, measured: String) {
    println!("{what:<58} {measured:>12}");
}

/// A sequence that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Words as a fleet has them: 30,000 vulnerabilities, 5,000 packages, 50,000 versions, in any
/// combination, which is harder than a fleet of few base images.
fn scan(n: usize, rows: usize, dice: &mut Dice) -> ImageScanSpec {
    let vulnerabilities = (0..rows).map(|_| Vulnerability {
        id: format!("CVE-{}-{}", 2015 + dice.roll(10), 1_000 + dice.roll(3_000)),
        v3: Score::from_tenths(dice.roll(70) as u8),
        v4: None,
        v2: Score::from_tenths(dice.roll(100) as u8),
        severity: Severity::Medium,
        package: Some(format!("lib-package-{}", dice.roll(5_000))),
        fixed: Some(format!("{}.{}.{}", dice.roll(50), dice.roll(50), dice.roll(20))),
    });
    ImageScanSpec {
        digest: Some(digest(n)),
        // Every fifth was pulled by an index; most scanners say one digest.
        index_digests: n.is_multiple_of(5).then(|| digest(n + (1 << 40))).into_iter().collect(),
        references: vec![name(n)],
        platform: "linux/amd64".to_owned(),
        scanned_at: Some("2026-01-10T09:00:00Z".to_owned()),
        vulnerabilities: vulnerabilities.collect(),
        ..ImageScanSpec::default()
    }
}

fn name(n: usize) -> String {
    format!("registry.example.com/team-{}/service-{n}:v1.{}", n % 500, n % 37)
}

fn digest(n: usize) -> String {
    format!("sha256:{n:064x}")
}

/// A store, and how long applying took, without making up the scans.
fn timed_fill(images: usize, rows: usize) -> (ScanStore, Duration) {
    let (mut store, mut dice, mut took) = (ScanStore::new(), Dice(1), Duration::ZERO);
    for n in 0..images {
        let (name, scan) = (format!("{n:064x}"), scan(n, rows, &mut dice));
        let begun = Instant::now();
        store.apply_scan(&name, &scan).expect("a scan");
        took += begun.elapsed();
    }
    (store, took)
}

/// Resident bytes of this process; 0 where the system does not say.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
    pages * 4096
}

fn memory(rows: usize) {
    let images = if rows > 100 { IMAGES / 5 } else { IMAGES };
    let before = resident();
    let (mut store, took) = timed_fill(images, rows);
    let begun = Instant::now();
    let shelf = store.snapshot();
    let took = took + begun.elapsed();
    let bytes = resident().saturating_sub(before);
    say(&format!("bytes for an image with {rows} vulnerabilities"), format!("{}", bytes / images));
    let what = format!("{images} images with {rows}: store and shelf");
    say(&what, format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)));
    say(&format!("{images} images with {rows}: applied in"), seconds(took));
    black_box(&shelf);
}

fn seconds(took: Duration) -> String {
    format!("{:.3} s", took.as_secs_f64())
}

fn store_and_lookups() {
    let (mut store, _) = timed_fill(IMAGES, 50);
    let shelf = store.snapshot();
    let now = parse_time("2026-01-11T00:00:00Z").expect("a time");
    let mut dice = Dice(7);
    let tags: Vec<String> = (0..50_000).map(|_| name(dice.roll(IMAGES as u64) as usize)).collect();
    let digests: Vec<String> =
        tags.iter().map(|_| format!("x@{}", digest(dice.roll(IMAGES as u64) as usize))).collect();
    let few: Vec<String> = tags.iter().take(200).cloned().collect();
    let misses: Vec<String> = tags.iter().map(|tag| format!("{tag}-no")).collect();
    lookup("lookup by tag, any of 100,000", &shelf, &tags, now);
    lookup("lookup by digest, any of 100,000", &shelf, &digests, now);
    lookup("lookup by tag, the same 200", &shelf, &few, now);
    lookup("lookup by tag, never scanned", &shelf, &misses, now);
    least("reading the reference alone", &tags, |tag| {
        black_box(Reference::parse(black_box(tag)).ok());
    });

    let begun = Instant::now();
    let settings = Settings { skew_secs: 0, ..Settings::default() };
    store.set_settings(settings);
    let shelf = store.snapshot();
    let mut failing = 0;
    for n in 0..IMAGES {
        let name = name(n);
        let reference = Reference::parse(&name).expect("a reference");
        failing += usize::from(shelf.lookup(&reference, now).status as u8 == 2);
    }
    say("settings changed and every image asked again", seconds(begun.elapsed()));
    black_box(failing);

    let one = store.scans();
    let mut dice = Dice(99);
    let begun = Instant::now();
    store.apply_scan("one more", &scan(one, 50, &mut dice)).expect("a scan");
    let shelf_of_one = store.snapshot();
    say("one scan more, to the next shelf", seconds(begun.elapsed()));
    drop(shelf_of_one);

    let exception = |id: &str, scope, repository: Option<&str>| VulnerabilityExceptionSpec {
        vulnerability: id.to_owned(),
        scope,
        repository: repository.map(str::to_owned),
        ..VulnerabilityExceptionSpec::default()
    };
    let begun = Instant::now();
    for n in 0..200 {
        let id = format!("CVE-2020-{}", 1_000 + n);
        store.apply_exception(&id, &exception(&id, ExceptionScope::Any, None)).expect("one");
    }
    let shelf = store.snapshot();
    say("200 exceptions for any image, to the next shelf", seconds(begun.elapsed()));
    lookup("lookup by tag with them", &shelf, &tags, now);
    for n in 0..200 {
        let id = format!("CVE-2020-{}", 2_000 + n);
        let spec = exception(&id, ExceptionScope::Repo, Some("registry.example.com/team-1/other"));
        store.apply_exception(&id, &spec).expect("one");
    }
    let shelf = store.snapshot();
    lookup("lookup by tag with 200 for one repository as well", &shelf, &tags, now);
}

fn lookup(what: &str, shelf: &ScanShelf, images: &[String], now: Timestamp) {
    let read = |text| Reference::parse(text).expect("a reference");
    let references: Vec<Reference<'_>> = images.iter().map(|text| read(text)).collect();
    least(what, &references, |reference| {
        black_box(shelf.lookup(black_box(reference), now));
    });
}

/// Short windows of all, one after the other and several times, so that one of each is not
/// interrupted, and what a window asks for has left the caches since it last did.
fn least<T>(what: &str, all: &[T], one: impl Fn(&T)) {
    const WINDOW: usize = 200;
    let mut windows: Vec<Duration> = vec![Duration::MAX; all.len().div_ceil(WINDOW)];
    for _ in 0..10 {
        for (window, least) in all.chunks(WINDOW).zip(&mut windows) {
            let begun = Instant::now();
            window.iter().for_each(&one);
            *least = begun.elapsed().min(*least);
        }
    }
    windows.sort_unstable();
    let typical = windows.get(windows.len() / 2).copied().unwrap_or_default();
    say(what, format!("{:.0} ns", typical.as_nanos() as f64 / WINDOW.min(all.len()) as f64));
}

/// A Trivy report of 200 MB, read from a file.
fn import() {
    let path = std::env::temp_dir().join(format!("caapc-bench-{}.json", std::process::id()));
    let bytes = write_report(&path).expect("the temporary folder can be written to");
    let reading = Reading { image: None, undated: None, latest: None };
    let before = resident();
    let begun = Instant::now();
    let file = std::fs::File::open(&path).expect("it was just written");
    let reports = report::read(file, &reading).expect("a report");
    let took = begun.elapsed();
    say(
        "import of a Trivy report of 200 MB",
        format!("{:.0} MB/s", bytes as f64 / 1e6 / took.as_secs_f64()),
    );
    let grown = resident().saturating_sub(before) as f64 / f64::from(1 << 20);
    say("memory it needed", format!("{grown:.1} MiB"));
    let _ = std::fs::remove_file(&path);
    black_box(reports);
}

fn write_report(path: &std::path::Path) -> std::io::Result<usize> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    let mut bytes = 0;
    let mut put = |text: &str| {
        bytes += text.len();
        out.write_all(text.as_bytes())
    };
    put(
        r#"{"SchemaVersion":2,"CreatedAt":"2026-01-10T09:00:00Z","ArtifactName":"app:1","Results":[{"Target":"app","Class":"os-pkgs","Type":"debian","Vulnerabilities":["#,
    )?;
    let (mut dice, mut one) = (Dice(3), String::new());
    for n in 0..160_000 {
        one.clear();
        let id = 10_000 + n;
        let _ = write!(
            one,
            r#"{}{{"VulnerabilityID":"CVE-2024-{id}","PkgID":"libx@1.2","PkgName":"libx-{}","InstalledVersion":"1.2","FixedVersion":"1.3","Status":"fixed","Severity":"HIGH","Title":"{}","Description":"{}","References":["https://example.com/{id}","https://example.org/{id}"],"CVSS":{{"nvd":{{"V3Vector":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","V3Score":{}}},"redhat":{{"V3Score":5.0}}}}}}"#,
            if n == 0 { "" } else { "," },
            dice.roll(1_000),
            "a flaw in a library ".repeat(3),
            "A long description of what is wrong. ".repeat(20),
            dice.roll(100) as f64 / 10.0,
        );
        put(&one)?;
    }
    put("]}]}")?;
    Ok(bytes)
}

/// A folder of ImageScans as local mode has it. `CAAPC_BENCH_FILES=100000` for the full size.
fn folder() {
    let files =
        std::env::var("CAAPC_BENCH_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let folder = std::env::temp_dir().join(format!("caapc-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    let mut dice = Dice(5);
    for n in 0..files {
        let object = caapc::api::ImageScan::new(&format!("{n}"), scan(n, 50, &mut dice));
        let json = serde_json::to_vec(&object).expect("an object");
        std::fs::write(folder.join(format!("{n}.json")), json).expect("a file");
    }
    let begun = Instant::now();
    let (mut store, _) = load(&Sources {
        scans: std::slice::from_ref(&folder),
        exceptions: &[],
        settings: None,
        thresholds: ThresholdsGiven::default(),
        now: Timestamp::from_secs(0),
    })
    .expect("scans");
    black_box(store.snapshot());
    say(&format!("{files} ImageScan files with 50: read to a shelf"), seconds(begun.elapsed()));
    let _ = std::fs::remove_dir_all(&folder);
}
