//! Grype's JSON: `matches[]` and `source` (spec: scan, "Sources"). `ignoredMatches` are not
//! vulnerabilities.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::rows::{Cvss, Scores, severity};
use super::{Names, Platform};
use crate::api::Vulnerability;

/// One element of `matches`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Match {
    vulnerability: Option<Known>,
    /// The same vulnerability as others know it: a distribution's record often has no score, and
    /// NVD's of the same flaw has.
    related_vulnerabilities: Option<Vec<Known>>,
    artifact: Option<Artifact>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Known {
    id: String,
    severity: Option<String>,
    cvss: Option<Vec<Metric>>,
    fix: Option<Fix>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metric {
    source: Option<String>,
    version: Option<String>,
    metrics: Option<Metrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metrics {
    base_score: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fix {
    versions: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Artifact {
    name: Option<String>,
}

/// `source`; `target` is a bare text for what is not an image.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Source {
    target: Option<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Target {
    user_input: Option<String>,
    manifest_digest: Option<String>,
    tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
}

impl Match {
    /// The row of this match.
    pub(super) fn row(self) -> Result<Vulnerability, String> {
        let Self { vulnerability, related_vulnerabilities, artifact } = self;
        let Some(Known { id, severity: word, cvss, fix }) = vulnerability else {
            return Err("a match without a vulnerability".to_owned());
        };
        let in_context = |why: String| format!("{id}: {why}");
        let mut scores = Scores::default();
        take(&mut scores, cvss.as_deref()).map_err(in_context)?;
        if scores.of(Cvss::V3).is_none() {
            for related in related_vulnerabilities.iter().flatten() {
                take(&mut scores, related.cvss.as_deref()).map_err(in_context)?;
            }
        }
        let fixed = fix.and_then(|fix| fix.versions).and_then(|all| all.into_iter().next());
        Ok(Vulnerability {
            v3: scores.of(Cvss::V3),
            v4: scores.of(Cvss::V4),
            v2: scores.of(Cvss::V2),
            severity: severity(word.as_deref()),
            package: artifact.and_then(|artifact| artifact.name),
            fixed: fixed.filter(|text| !text.is_empty()),
            id,
        })
    }
}

fn take(scores: &mut Scores, metrics: Option<&[Metric]>) -> Result<(), String> {
    for Metric { source, version, metrics } in metrics.into_iter().flatten() {
        let version = match version.as_deref().and_then(|version| version.chars().next()) {
            Some('2') => Cvss::V2,
            Some('3') => Cvss::V3,
            Some('4') => Cvss::V4,
            _ => continue,
        };
        let nvd = source.as_deref().is_some_and(|source| source.contains("nvd"));
        if let Some(score) = metrics.as_ref().and_then(|metrics| metrics.base_score) {
            scores.add(nvd, version, score)?;
        }
    }
    Ok(())
}

impl Source {
    /// Hands over what it says of the image.
    pub(super) fn put(self, names: &mut Names, platform: &mut Platform) -> Result<(), String> {
        let target = self.target.as_deref().map_or("", RawValue::get);
        if !target.starts_with('{') {
            return Ok(());
        }
        let target = serde_json::from_str(target).map_err(|e| format!("source.target: {e}"))?;
        let Target { user_input, manifest_digest, tags, repo_digests, architecture, os, variant } =
            target;
        names.primary = user_input;
        names.manifest = manifest_digest.filter(|digest| !digest.is_empty());
        names.tags.extend(tags.into_iter().flatten());
        names.pulled.extend(repo_digests.into_iter().flatten());
        *platform = Platform { os, architecture, variant };
        Ok(())
    }
}
