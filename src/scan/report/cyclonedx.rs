//! CycloneDX JSON with `vulnerabilities` (spec: scan, "Sources"). A bill of materials without them
//! says nothing of an image's state.

use serde::Deserialize;

use super::Names;
use super::rows::{Cvss, Scores, severity};
use crate::api::{Severity, Vulnerability};

/// Analysis states that say: this does not concern the image.
const NOT_CONCERNED: [&str; 3] = ["not_affected", "false_positive", "resolved"];

/// One element of `vulnerabilities`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    id: String,
    ratings: Option<Vec<Rating>>,
    analysis: Option<Analysis>,
    affects: Option<Vec<Affected>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rating {
    source: Option<RatingSource>,
    score: Option<f64>,
    severity: Option<String>,
    method: Option<String>,
    vector: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RatingSource {
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Analysis {
    state: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Affected {
    r#ref: Option<String>,
}

/// `metadata.component`: what the document is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Component {
    r#type: Option<String>,
    name: Option<String>,
    version: Option<String>,
    purl: Option<String>,
    properties: Option<Vec<Property>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Property {
    name: Option<String>,
    value: Option<String>,
}

impl Found {
    /// The row of this vulnerability; `None` if the analysis says that it does not concern the
    /// image.
    pub(super) fn row(self) -> Result<Option<Vulnerability>, String> {
        let Self { id, ratings, analysis, affects } = self;
        let state = analysis.and_then(|analysis| analysis.state);
        if state.is_some_and(|state| NOT_CONCERNED.contains(&state.as_str())) {
            return Ok(None);
        }
        let mut scores = Scores::default();
        let mut worst = Severity::Unknown;
        for Rating { source, score, severity: word, method, vector } in
            ratings.into_iter().flatten()
        {
            worst = worst.max(severity(word.as_deref()));
            let version = match method.as_deref() {
                Some("CVSSv3" | "CVSSv31") => Cvss::V3,
                Some("CVSSv4") => Cvss::V4,
                Some("CVSSv2") => Cvss::V2,
                Some(_) => continue,
                None => of_vector(vector.as_deref().unwrap_or_default()),
            };
            let name = source.and_then(|source| source.name);
            let nvd = name.is_some_and(|name| name.eq_ignore_ascii_case("nvd"));
            if let Some(score) = score {
                scores.add(nvd, version, score).map_err(|why| format!("{id}: {why}"))?;
            }
        }
        let first = affects.into_iter().flatten().find_map(|one| one.r#ref);
        Ok(Some(Vulnerability {
            v3: scores.of(Cvss::V3),
            v4: scores.of(Cvss::V4),
            v2: scores.of(Cvss::V2),
            severity: worst,
            package: first.as_deref().and_then(package_of).map(str::to_owned),
            fixed: None,
            id,
        }))
    }
}

/// The version of a rating that does not give its method. One that tells nothing counts as v3, so
/// that no score is lost.
fn of_vector(vector: &str) -> Cvss {
    match vector {
        _ if vector.starts_with("CVSS:4") => Cvss::V4,
        _ if vector.starts_with("AV:") || vector.starts_with("(AV:") => Cvss::V2,
        _ => Cvss::V3,
    }
}

/// The package that a package URL names: `openssl` of `pkg:deb/debian/openssl@3.0`, and
/// `org.x/lib` of `pkg:maven/org.x/lib@1`, whose namespace is part of the name.
fn package_of(purl: &str) -> Option<&str> {
    let rest = purl.strip_prefix("pkg:")?;
    let rest = rest.split(['?', '#']).next()?;
    let rest = rest.rsplit_once('@').map_or(rest, |(name, _)| name);
    let (kind, name) = rest.split_once('/')?;
    let short = if matches!(kind, "deb" | "apk" | "rpm") { name.rsplit('/').next()? } else { name };
    Some(short).filter(|name| !name.is_empty())
}

impl Component {
    /// Hands over what it says of the image.
    pub(super) fn put(self, names: &mut Names) {
        let Self { r#type, name, version, purl, properties } = self;
        names.not_an_image = r#type.filter(|kind| kind != "container");
        let digest = version.as_ref().filter(|version| version.contains(':'));
        names.pulled.extend(digest.map(|digest| format!("@{digest}")));
        names.primary = match (name, version) {
            (Some(name), Some(version)) if !version.contains(':') && !tagged(&name) => {
                Some(format!("{name}:{version}"))
            }
            (name, _) => name,
        };
        if let Some((image, digest)) = purl.as_deref().and_then(image_of) {
            names.pulled.extend(digest.map(|digest| format!("@{digest}")));
            names.tags.extend(image);
        }
        for Property { name, value } in properties.into_iter().flatten() {
            let Some(value) = value else { continue };
            match name.as_deref() {
                Some("aquasecurity:trivy:RepoTag") => names.tags.push(value),
                Some("aquasecurity:trivy:RepoDigest") => names.pulled.push(value),
                _ => {}
            }
        }
    }
}

fn tagged(name: &str) -> bool {
    name.contains('@') || name.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// The image of `pkg:oci/name@sha256%3A...?repository_url=...&tag=...`.
fn image_of(purl: &str) -> Option<(Option<String>, Option<String>)> {
    let rest = purl.strip_prefix("pkg:oci/")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let plain = |text: &str| text.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/");
    let digest = path.split_once('@').map(|(_, version)| plain(version));
    let value = |key: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).map(plain)
    };
    let image = value("repository_url").zip(value("tag")).map(|(url, tag)| format!("{url}:{tag}"));
    Some((image, digest.filter(|digest| digest.contains(':'))))
}
