//! Readers of scanner reports: any of the known formats in, `ImageScan`s out.
//!
//! A report is read in one pass and never held whole. Its format is recognised by the fields that
//! were met, since no format fixes their order. A report that says nothing about vulnerabilities
//! becomes a scan of state `Unsupported`; one that is of no image, or no report at all, is refused.
//! Start at [`read`].

mod attestation;
mod cyclonedx;
mod document;
mod grype;
mod json;
mod operator;
mod rows;
mod stored;
mod trivy;

use std::collections::HashSet;
use std::fmt;
use std::io::{BufReader, Read};

use caapc_vm::facts::Timestamp;
use sha2::{Digest, Sha256};

use self::document::Draft;
use super::record::{At, parse_at, parse_time};
use crate::api::{Earlier, ImageScanSpec};
use crate::reference::{Reference, is_digest};

pub use self::json::Unique;
pub use self::rows::OBJECT_BYTES_MAX;

/// How many names and index digests an `ImageScan` keeps.
const NAMES_MAX: usize = 64;
/// The largest YAML file that is read, in bytes. JSON may be of any size.
pub const YAML_BYTES_MAX: u64 = 16 << 20;

/// How reports are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The image they are of, in place of the names that they give.
    pub image: Option<&'a str>,
    /// The time of a report that does not say when it was made; `None`: it is refused.
    pub undated: Option<Timestamp>,
    /// The last time that a report may say; `None`: any.
    pub latest: Option<Timestamp>,
}

/// A report that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it was.
    pub format: Format,
    /// What it says.
    pub spec: ImageScanSpec,
    /// What a person should know about how it was read.
    pub notes: Vec<String>,
}

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Trivy's JSON.
    Trivy,
    /// Grype's JSON.
    Grype,
    /// CycloneDX JSON.
    CycloneDx,
    /// trivy-operator's `VulnerabilityReport`.
    VulnerabilityReport,
    /// caapc's own `ImageScan`.
    ImageScan,
}

impl Format {
    /// Its name for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trivy => "Trivy",
            Self::Grype => "Grype",
            Self::CycloneDx => "CycloneDX",
            Self::VulnerabilityReport => "VulnerabilityReport",
            Self::ImageScan => "ImageScan",
        }
    }
}

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line and column, from 1, if the fault is in one place.
    pub at: Option<(usize, usize)>,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{line}:{column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self { at: None, message }
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// How much of an input is looked at before it is known whether it fits into memory at once.
const HEAD_BYTES: u64 = 8 << 20;

/// Reads all reports of a file: one or several JSON documents one after the other, a `List`, or
/// YAML. A large file is not held in memory.
///
/// # Errors
/// The first [`Fault`]: not a report, damaged, of no image, from the future.
pub fn read(mut input: impl Read, reading: &Reading<'_>) -> Result<Vec<Report>, Fault> {
    let mut head = Vec::new();
    let cannot_read = |error: std::io::Error| Fault::from(format!("cannot be read: {error}"));
    input.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(cannot_read)?;
    if (head.len() as u64) < HEAD_BYTES {
        return read_slice(&head, reading);
    }
    let text = plain_text(&head)?;
    let rest = BufReader::with_capacity(1 << 20, text.chain(input));
    let drafts = match first_byte(text) {
        Some(b'{' | b'[') => document::from_reader(rest)?,
        Some(b'<') => return Err(NOT_XML.into()),
        _ => from_yaml(rest)?,
    };
    finish_drafts(drafts, reading)
}

/// As [`read`], for a file that is in memory.
///
/// # Errors
/// As [`read`].
pub fn read_slice(bytes: &[u8], reading: &Reading<'_>) -> Result<Vec<Report>, Fault> {
    let text = plain_text(bytes)?;
    let drafts = match first_byte(text) {
        None => return Err("empty: the scanner wrote nothing".into()),
        Some(b'{' | b'[') => document::from_slice(text)?,
        Some(b'<') => return Err(NOT_XML.into()),
        Some(_) => from_yaml(text)?,
    };
    finish_drafts(drafts, reading)
}

const NOT_XML: &str = "XML or HTML; have the scanner write JSON";

/// The bytes after a byte order mark, if they are text in UTF-8 by the looks of the first.
fn plain_text(bytes: &[u8]) -> Result<&[u8], Fault> {
    refuse_encoding(bytes)?;
    Ok(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes))
}

fn first_byte(text: &[u8]) -> Option<u8> {
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

fn finish_drafts(drafts: Vec<Draft>, reading: &Reading<'_>) -> Result<Vec<Report>, Fault> {
    let mut reports = Vec::new();
    for draft in drafts {
        finish_all(draft, reading, &mut reports)?;
    }
    if reading.image.is_some() && reports.len() > 1 {
        return Err(format!(
            "{} reports in one file, which cannot all be of one image; give them apart",
            reports.len()
        )
        .into());
    }
    Ok(reports)
}

/// The name of the object that a scan belongs in: the SHA-256 of its digest, else of its first
/// canonical reference, and its platform, so that whoever writes of the same image meets on one
/// object (spec: scan, "Where results live").
pub fn object_name(spec: &ImageScanSpec) -> String {
    let identity = spec.digest.as_ref().or(spec.references.first());
    let identity = identity.map_or("", String::as_str);
    content_name(format!("{identity}\n{}", spec.platform).as_bytes())
}

/// The SHA-256 of something, as the name of an object.
fn content_name(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a newer result in the place of an older one of the same name, and keeps what only the
/// older one knew of names. `None`: the stored one is newer, or as new and as bad, and stays
/// (spec: scan, "Sources"). A time beyond `latest` ranks last, or a scanner whose clock was wrong
/// once would be the last to have scanned.
pub fn supersede(
    stored: &ImageScanSpec,
    fresh: ImageScanSpec,
    latest: Timestamp,
) -> Option<ImageScanSpec> {
    let latest = At::nearest(latest);
    let at = |spec: &ImageScanSpec| {
        let at = spec.scanned_at.as_deref().and_then(|at| parse_at(at).ok());
        (at.is_none_or(|at| at <= latest), at)
    };
    // What says nothing of vulnerabilities hides no result, and every result ends it.
    let empty = |spec: &ImageScanSpec| spec.state.says_nothing();
    let newer = empty(stored).cmp(&empty(&fresh)).then(at(&fresh).cmp(&at(stored)));
    if newer.then(badness(&fresh).cmp(&badness(stored))).is_le() {
        return None;
    }
    let mut fresh = fresh;
    let seen = stored.scanned_at.clone();
    let names = stored.references.iter().chain(&stored.index_digests);
    let of_stored =
        names.filter_map(|name| Some(Earlier { name: name.clone(), seen_at: seen.clone()? }));
    let mut earlier: Vec<Earlier> = of_stored.chain(stored.earlier.iter().cloned()).collect();
    let known = |name: &String| {
        fresh.references.contains(name)
            || fresh.index_digests.contains(name)
            || fresh.digest.as_ref() == Some(name)
    };
    earlier.retain(|one| !known(&one.name));
    for one in earlier {
        match fresh.earlier.iter_mut().find(|known| known.name == one.name) {
            Some(known) if parse_at(&known.seen_at).ok() < parse_at(&one.seen_at).ok() => {
                *known = one;
            }
            Some(_) => {}
            None => fresh.earlier.push(one),
        }
    }
    // The newest are worth most.
    fresh.earlier.sort_by_key(|one| std::cmp::Reverse(parse_at(&one.seen_at).ok()));
    fresh.earlier.truncate(NAMES_MAX);
    Some(fresh)
}

/// How bad a result is: by the score that counts if nothing else is set, then by the others.
fn badness(spec: &ImageScanSpec) -> impl Ord + use<> {
    let rows = &spec.vulnerabilities;
    let over = spec.overflow;
    let v4 = rows.iter().map(|row| row.v4).chain(over.map(|over| over.v4)).max();
    let v2 = rows.iter().map(|row| row.v2).chain(over.map(|over| over.v2)).max();
    let severity = rows.iter().map(|row| row.severity).chain(over.map(|over| over.severity)).max();
    (spec.maximum, v4, v2, severity)
}

fn refuse_encoding(start: &[u8]) -> Result<(), Fault> {
    let help = match start {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [b'{' | b'[', 0, ..] | [0, b'{' | b'[', ..] => {
            "encoded as UTF-16; save it as UTF-8 (PowerShell: `| Out-File -Encoding utf8`)"
        }
        [0x1F, 0x8B, ..] => "compressed with gzip; unpack it first",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "compressed with zstd; unpack it first",
        [b'P', b'K', 3, 4, ..] => "a zip archive; unpack it first",
        _ => return Ok(()),
    };
    Err(help.into())
}

/// YAML goes by way of JSON, so that there is one reader; it is for objects, not for big reports.
fn from_yaml(input: impl Read) -> Result<Vec<Draft>, Fault> {
    let mut text = String::new();
    input.take(YAML_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| {
        match error.kind() {
            std::io::ErrorKind::InvalidData => {
                Fault::from("neither JSON nor text in UTF-8; have the scanner write JSON")
            }
            _ => format!("cannot be read: {error}").into(),
        }
    })?;
    if text.len() as u64 > YAML_BYTES_MAX {
        return Err(format!(
            "YAML over {} MiB, the limit; have the scanner write JSON, which may be larger",
            YAML_BYTES_MAX >> 20
        )
        .into());
    }
    let documents = super::files::from_yaml(&text)
        .map_err(|why| Fault::from(format!("not YAML that can be read: {why}")))?;
    if documents.iter().all(serde_json::Value::is_null) {
        return Err("empty but for comments or `null`: the scanner wrote nothing".into());
    }
    let mut drafts = Vec::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        if !document.is_object() && !document.is_array() {
            return Err("a plain text; expected a scanner's report".into());
        }
        let json = document.to_string();
        drafts.extend(document::from_slice(json.as_bytes()).map_err(|mut fault| {
            // The place is one in our JSON, not in the user's file.
            fault.at = None;
            fault
        })?);
    }
    Ok(drafts)
}

fn finish_all(
    mut draft: Draft,
    reading: &Reading<'_>,
    into: &mut Vec<Report>,
) -> Result<(), Fault> {
    let items = std::mem::take(&mut draft.items);
    let is_list = draft.is_list();
    for item in items {
        finish_all(item, reading, into)?;
    }
    if !is_list {
        into.push(finish(draft, reading)?);
    }
    Ok(())
}

/// Makes the `ImageScan` of a document.
fn finish(draft: Draft, reading: &Reading<'_>) -> Result<Report, Fault> {
    let mut notes = Vec::new();
    let format = draft.format()?;
    let scanned = draft.not_an_image();
    let (mut spec, rows) = draft.split(format)?;
    if format != Format::ImageScan {
        if spec.scanned_at.is_none() {
            let Some(now) = reading.undated else {
                return Err("it does not say when it was made; turn it into an ImageScan with \
                            `caapc scan import --now TIME`"
                    .into());
            };
            notes.push(format!("it does not say when it was made; taken as {}", write_time(now)));
            spec.scanned_at = Some(write_time(now));
        }
        for names in [&mut spec.references, &mut spec.index_digests] {
            if names.len() > NAMES_MAX {
                notes.push(format!("it has {} names; kept the first {NAMES_MAX}", names.len()));
                names.truncate(NAMES_MAX);
            }
        }
    }
    if let Some(image) = reading.image {
        let left_out = rename(&mut spec, image)?;
        if !left_out.is_empty() {
            let (shown, more) = left_out.split_at(left_out.len().min(3));
            let more = if more.is_empty() { "" } else { " and others" };
            let names = shown.join(", ");
            notes.push(format!("taken for a scan of {image} alone, not of {names}{more}"));
        }
    }
    if spec.digest.is_none() && spec.references.is_empty() {
        return Err(match scanned {
            Some(kind) => {
                format!("it is of `{kind}`, not of an image; say of which image, with --image REF")
            }
            None => "it does not say of which image it is; say it with --image REF".to_owned(),
        }
        .into());
    }
    if let Some(text) = &spec.scanned_at {
        let at = parse_time(text).map_err(|why| format!("the time of the scan: {why}"))?;
        parse_at(text).map_err(|why| format!("the time of the scan: {why}"))?;
        if reading.latest.is_some_and(|latest| at > latest) {
            return Err(format!(
                "its time {text} lies in the future; set the scanner's clock, or give --now"
            )
            .into());
        }
        spec.scanned_at = Some(write_time(at));
    }
    if let Some(rows) = rows {
        rows.finish(&mut spec);
    }
    Ok(Report { format, spec, notes })
}

/// Puts the name that the user gives in the place of all that a report gives, so that whoever made
/// the report speaks of no other image. Returns what it named besides.
fn rename(spec: &mut ImageScanSpec, image: &str) -> Result<Vec<String>, Fault> {
    let mut named = std::mem::take(&mut spec.references);
    named.extend(spec.digest.take());
    named.append(&mut spec.index_digests);
    named.extend(spec.earlier.drain(..).map(|one| one.name));
    if is_digest(image) {
        spec.digest = Some(image.to_owned());
    } else {
        let reference =
            Reference::parse(image).map_err(|error| format!("--image `{image}`: {error}"))?;
        spec.digest = reference.digest().map(str::to_owned);
        let repository = reference.canonical_repository();
        let tag = reference.tag().or(reference.tag_or_latest());
        spec.references.extend(tag.map(|tag| format!("{repository}:{tag}")));
    }
    let given =
        |name: &String| spec.digest.as_ref() == Some(name) || spec.references.contains(name);
    named.retain(|name| !given(name));
    Ok(named)
}

/// A time as RFC 3339 in UTC, with as many digits as it has.
pub fn write_time(time: Timestamp) -> String {
    chrono::DateTime::from_timestamp(time.secs, time.nanos)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
        .unwrap_or_default()
}

/// What a report says of the image it is of.
#[derive(Debug, Default)]
struct Names {
    /// What the scanner was told to scan.
    primary: Option<String>,
    tags: Vec<String>,
    /// The digest of the platform's manifest, where it is known to be one.
    manifest: Option<String>,
    /// `repository@digest`, of the manifest or of an index it is in.
    pulled: Vec<String>,
    /// What an attestation is about: `repository@digest`. It is of no other image, whatever the
    /// report in it names.
    subjects: Vec<String>,
    /// What was scanned, if it was not an image.
    not_an_image: Option<String>,
}

/// `linux/arm/v7` in parts.
#[derive(Debug, Default)]
struct Platform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Names {
    /// Puts the names into canonical form and their places.
    fn put(self, spec: &mut ImageScanSpec) {
        let Self { primary, tags, manifest, mut pulled, subjects, not_an_image } = self;
        pulled.extend(subjects.iter().cloned());
        let mut repository = None;
        let (mut references, mut digests) = (Vec::new(), Vec::new());
        let primary = primary.filter(|_| not_an_image.is_none());
        for name in primary.iter().chain(&tags) {
            let Ok(reference) = Reference::parse(name) else { continue };
            repository.get_or_insert_with(|| reference.canonical_repository());
            match reference.digest() {
                Some(digest) => digests.push(digest.to_owned()),
                None => references.push(reference.canonical()),
            }
        }
        let mut elsewhere = Vec::new();
        for name in &pulled {
            let Some((of, digest)) = name.rsplit_once('@').filter(|(_, d)| is_digest(d)) else {
                continue;
            };
            let of = Reference::parse(of).map(|of| of.canonical_repository()).ok();
            let here = of.is_none() || of == repository;
            if here { &mut digests } else { &mut elsewhere }.push(digest.to_owned());
        }
        let mut all = manifest.into_iter().filter(|digest| is_digest(digest)).collect::<Vec<_>>();
        all.extend(digests.into_iter().chain(elsewhere));
        let about: Vec<_> = subjects.iter().filter_map(|name| name.rsplit_once('@')).collect();
        if !about.is_empty() {
            all.retain(|one| about.iter().any(|(_, digest)| digest == one));
            let of = about.iter().filter_map(|(name, _)| Reference::parse(name).ok());
            let of: Vec<String> = of.map(|image| image.canonical_repository() + ":").collect();
            references.retain(|one| of.iter().any(|repository| one.starts_with(repository)));
        }
        let mut digests = each_once(all).into_iter();
        spec.digest = digests.next();
        spec.index_digests = digests.collect();
        spec.references = each_once(references);
    }
}

/// The texts in their order, without those that came before.
fn each_once(mut all: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    all.retain(|one| seen.insert(one.clone()));
    all
}

impl Platform {
    /// In one word; unknown is `linux/amd64` (spec: scan, "Where results live").
    fn word(self) -> String {
        let part = |text: Option<String>, default: &str| {
            let text = text.unwrap_or_default().to_ascii_lowercase();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            if text.is_empty() || !text.chars().all(plain) { default.to_owned() } else { text }
        };
        let os = part(self.os, "linux");
        let architecture = part(self.architecture, "amd64");
        // Every arm64 is v8; some write it, some do not.
        match part(self.variant, "").as_str() {
            "" => format!("{os}/{architecture}"),
            "v8" if architecture == "arm64" => format!("{os}/{architecture}"),
            variant => format!("{os}/{architecture}/{variant}"),
        }
    }
}
