//! Scan results: stories of scans, exceptions and settings, and what the shelf says of an image.
//!
//! The shape is in `golden/README.md`. A story is played from its start; what is asked is answered
//! at that point of it, so that a case can show that something changes.

use std::fmt::Write;
use std::path::PathBuf;

use caapc::api::{
    ExceptionScope, ImageAssuranceSettingsSpec, ImageScanSpec, Overflow, Score, Severity,
    Vulnerability, VulnerabilityExceptionSpec,
};
use caapc::reference::Reference;
use caapc::scan::files::{Sources, ThresholdsGiven, load};
use caapc::scan::report::{object_name, supersede, write_time};
use caapc::scan::{ScanShelf, ScanStore, Settings, parse_time};
use serde_json::json;

use crate::suite::{Case, Shape, Suite, root};

/// `golden/scan/`.
pub const SUITE: Suite = Suite {
    name: "scan",
    folder: "golden/scan",
    beside: &["reports"],
    shape: Shape::Table { extension: "txt", expect: story },
    together: None,
};

const NOW: &str = "2026-01-11T00:00:00Z";

fn story(case: &Case) -> Result<String, String> {
    let mut out = String::new();
    let mut store = ScanStore::new();
    let mut stored: std::collections::BTreeMap<String, ImageScanSpec> = Default::default();
    for (index, line) in case.input.lines().enumerate() {
        if line.starts_with("  ") {
            continue;
        }
        let _ = writeln!(out, "{line}");
        let mut words = line.split_whitespace();
        let (Some(verb), rest) = (words.next(), words.collect::<Vec<_>>()) else { continue };
        let said = match verb {
            _ if verb.starts_with('#') => Ok(()),
            "scan" => scan(&rest).and_then(|(name, spec)| store.apply_scan(&name, &spec)),
            "delete" => rest.iter().try_for_each(|name| {
                store.delete_scan(name);
                store.delete_exception(name);
                Ok(())
            }),
            "exception" => {
                exception(&rest).and_then(|(name, spec)| store.apply_exception(&name, &spec))
            }
            "settings" => settings(&rest).map(|settings| store.set_settings(settings)),
            "report" => report(&rest).map(|loaded| store = loaded),
            "ask" => ask(&store.snapshot(), &rest, &mut out),
            "import" => scan(&rest).map(|(_, spec)| {
                let said = import(&mut stored, spec);
                let _ = writeln!(out, "  {said}");
            }),
            _ => Err(format!("no word `{verb}`")),
        };
        said.map_err(|why| format!("line {}: {why}", index + 1))?;
    }
    Ok(out)
}

/// `ask IMAGE [TIME]`.
fn ask(shelf: &ScanShelf, words: &[&str], out: &mut String) -> Result<(), String> {
    let (image, now) = match words {
        [image] => (*image, NOW),
        [image, now] => (*image, *now),
        _ => return Err("ask IMAGE [TIME]".into()),
    };
    let image = with_digest(image);
    let reference = Reference::parse(&image).map_err(|error| error.to_string())?;
    let now = parse_time(now)?;
    let entry = shelf.entry(&reference);
    let fact = entry.fact(now);
    let scanned = fact.last_scan.map_or("never".to_owned(), write_time);
    let _ = writeln!(out, "  {} {:?} {scanned}", fact.status.word(), fact.state);
    for row in entry.worst(now).take(3) {
        let score = row.score.map_or("-".to_owned(), |score| score.to_string());
        let _ = writeln!(out, "  worst {} {score}", row.id);
    }
    if let Some((at, status)) = entry.worsens(now) {
        let _ = writeln!(out, "  becomes {} {}", status.word(), write_time(at));
    }
    Ok(())
}

/// `scan NAME key=value... ID=SCORES...`.
fn scan(words: &[&str]) -> Result<(String, ImageScanSpec), String> {
    let (name, rest) = words.split_first().ok_or("scan NAME ...")?;
    let mut spec = ImageScanSpec { platform: "linux/amd64".into(), ..Default::default() };
    for word in rest {
        let (key, value) = word.split_once('=').ok_or("key=value")?;
        let value = value.to_owned();
        match key {
            "image" => spec.references.push(value),
            "digest" => spec.digest = Some(digest(&value)),
            "index" => spec.index_digests.push(digest(&value)),
            "platform" => spec.platform = value,
            "at" => spec.scanned_at = Some(value),
            "state" => {
                spec.state = serde_json::from_value(json!(value)).map_err(|e| e.to_string())?;
            }
            "over" => {
                let Vulnerability { v3, v4, v2, severity, .. } = vulnerability("", &value)?;
                spec.overflow = Some(Overflow { count: 1, v3, v4, v2, severity });
            }
            id => spec.vulnerabilities.push(vulnerability(id, &value)?),
        }
    }
    let v3 = spec.vulnerabilities.iter().filter_map(|one| one.v3);
    spec.maximum = v3.chain(spec.overflow.and_then(|over| over.v3)).max();
    Ok(((*name).to_owned(), spec))
}

/// `9.8`, or parts such as `v2:7.5/v4:9.0/High`.
fn vulnerability(id: &str, text: &str) -> Result<Vulnerability, String> {
    let mut one = Vulnerability { id: id.to_owned(), ..Default::default() };
    for part in text.split('/') {
        match part.split_once(':') {
            Some(("v2", score)) => one.v2 = Some(score.parse()?),
            Some(("v4", score)) => one.v4 = Some(score.parse()?),
            Some(_) => return Err(format!("`{part}`")),
            None => match part.parse::<Score>() {
                Ok(score) => one.v3 = Some(score),
                Err(_) => one.severity = Severity::from_word(part),
            },
        }
    }
    Ok(one)
}

/// `exception NAME ID SCOPE [registry=] [repository=] [tags=a,b] [until=TIME]`.
fn exception(words: &[&str]) -> Result<(String, VulnerabilityExceptionSpec), String> {
    let [name, id, scope, rest @ ..] = words else { return Err("exception NAME ID SCOPE".into()) };
    let scope: ExceptionScope =
        serde_json::from_value(json!(scope)).map_err(|error| error.to_string())?;
    let mut spec =
        VulnerabilityExceptionSpec { vulnerability: (*id).to_owned(), scope, ..Default::default() };
    for word in rest {
        let (key, value) = word.split_once('=').ok_or("key=value")?;
        let text = Some(value.to_owned());
        match key {
            "registry" => spec.registry = text,
            "repository" => spec.repository = text,
            "tags" => spec.tags = Some(value.split(',').map(str::to_owned).collect()),
            "until" => spec.expires_at = text,
            _ => return Err(format!("`{key}`")),
        }
    }
    Ok(((*name).to_owned(), spec))
}

/// `settings fail=7.0 warn=3.9 boundary=Exclusive missing=V2 skew=300`.
fn settings(words: &[&str]) -> Result<Settings, String> {
    let mut spec = ImageAssuranceSettingsSpec::default();
    for word in words {
        let (key, value) = word.split_once('=').ok_or("key=value")?;
        let wrong = |error: serde_json::Error| error.to_string();
        match key {
            "fail" => spec.fail_threshold = Some(value.parse()?),
            "warn" => spec.warn_threshold = Some(value.parse()?),
            "boundary" => {
                spec.boundary = Some(serde_json::from_value(json!(value)).map_err(wrong)?);
            }
            "missing" => {
                spec.missing_score = Some(serde_json::from_value(json!(value)).map_err(wrong)?);
            }
            "skew" => spec.skew_seconds = value.parse().ok(),
            _ => return Err(format!("`{key}`")),
        }
    }
    Settings::from_spec(&spec)
}

/// `report FILE...` of `reports/`: a story of its own.
fn report(words: &[&str]) -> Result<ScanStore, String> {
    let at = |name: &&str| root().join("golden/scan/reports").join(name);
    let scans: Vec<PathBuf> = words.iter().map(at).collect();
    let sources = Sources {
        scans: &scans,
        exceptions: &[],
        settings: None,
        thresholds: ThresholdsGiven::default(),
        now: parse_time(NOW)?,
    };
    load(&sources).map(|(store, _)| store)
}

/// Whether a result takes the place of the one stored.
fn import(
    stored: &mut std::collections::BTreeMap<String, ImageScanSpec>,
    spec: ImageScanSpec,
) -> String {
    let name = object_name(&spec);
    let latest = parse_time(NOW).expect("a time").plus_secs(300);
    let spec = match stored.get(&name) {
        None => Some(spec),
        Some(before) => supersede(before, spec, latest),
    };
    let Some(spec) = spec else { return format!("{} stays", &name[..8]) };
    let earlier: Vec<String> =
        spec.earlier.iter().map(|one| format!("{} {}", one.name, one.seen_at)).collect();
    let said = format!("{} stored; earlier: {}", &name[..8], earlier.join(", "));
    stored.insert(name, spec);
    said
}

/// `aa` stands for `sha256:aaaa...`.
fn digest(short: &str) -> String {
    format!("sha256:{}", short.repeat(32))
}

fn with_digest(image: &str) -> String {
    match image.split_once('@') {
        Some((name, short)) => format!("{name}@{}", digest(short)),
        None => image.to_owned(),
    }
}
