//! `ImageScan`: the result of scanning one image on one platform (spec: scan, "Where results
//! live").

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::score::{Score, Severity};

/// What one scan found in one image on one platform. Its name is the SHA-256 of what it is about,
/// so that whoever writes of the same image meets on one object.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "caapc.dev",
    version = "v1alpha1",
    kind = "ImageScan",
    plural = "imagescans",
    shortname = "iscan",
    category = "caapc",
    derive = "PartialEq",
    derive = "Default",
    doc = "The result of scanning one image on one platform.",
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.references[0]"),
    printcolumn(name = "Platform", type_ = "string", json_path = ".spec.platform"),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state"),
    printcolumn(name = "Max", type_ = "number", json_path = ".spec.maximum"),
    printcolumn(name = "Critical", type_ = "integer", json_path = ".spec.summary.critical"),
    printcolumn(name = "High", type_ = "integer", json_path = ".spec.summary.high"),
    printcolumn(name = "Scanned", type_ = "date", json_path = ".spec.scannedAt"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.digest", priority = "1"),
    printcolumn(
        name = "Scanner",
        type_ = "string",
        json_path = ".spec.scanner.name",
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.state != 'Scanned' || has(self.scannedAt)", "scannedAt is missing: a finished scan has a time"),
    validation = ("has(self.digest) || (has(self.references) && size(self.references) > 0)", "a digest or a reference is needed: a scan is of some image")
)]
pub struct ImageScanSpec {
    /// The digest of what was scanned, `sha256:...`: of the platform's manifest if the scanner
    /// says it, else the one the image was pulled by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$"))]
    pub digest: Option<String>,
    /// Digests that lead to it: of the index the manifest belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 135)))]
    pub index_digests: Vec<String>,
    /// The names it was scanned by, `registry/repository:tag` in Docker's canonical form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 640)))]
    pub references: Vec<String>,
    /// Names and index digests that an earlier result for the same image had and this one has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub earlier: Vec<Earlier>,
    /// Operating system and architecture, `linux/arm64` or `linux/arm/v7`.
    #[serde(default = "default_platform")]
    #[schemars(length(max = 64), regex(pattern = r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$"))]
    pub platform: String,
    /// Who scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanner: Option<Scanner>,
    /// How far the scan has come. Only `Scanned` can pass.
    #[serde(default)]
    pub state: StoredState,
    /// Why the state is not `Scanned`, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// When the image was scanned, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub scanned_at: Option<String>,
    /// The highest CVSS v3 base score, exceptions not counted; absent if no vulnerability has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Score>,
    /// How many vulnerabilities of each severity.
    #[serde(default)]
    pub summary: SeverityCounts,
    /// The vulnerabilities, highest first, as many as fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10000))]
    pub vulnerabilities: Vec<Vulnerability>,
    /// Present if not all fitted: what was left out still counts, and no exception lowers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
}

/// The platform of a result that does not name one.
pub(crate) fn default_platform() -> String {
    "linux/amd64".to_owned()
}

/// How far a stored scan has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StoredState {
    /// A complete result.
    #[default]
    Scanned,
    /// Asked for, no result yet; an earlier result stays in force.
    Pending,
    /// The scanner gave up.
    Failed,
    /// The result did not fit what can be stored.
    TooLarge,
    /// The report says nothing about vulnerabilities; an earlier result stays in force.
    Unsupported,
    /// The result was dropped for its age.
    Expired,
}

impl StoredState {
    /// Whether a scan of this state says nothing of vulnerabilities, neither that there are any nor
    /// that none can be known, so that it takes no result's place.
    pub const fn says_nothing(self) -> bool {
        matches!(self, Self::Pending | Self::Unsupported)
    }
}

/// A name or an index digest that led to this image earlier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Earlier {
    /// `registry/repository:tag` in canonical form, or `sha256:...` of an index.
    #[schemars(length(max = 640))]
    pub name: String,
    /// The time of the scan that said so, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub seen_at: String,
}

/// A scanner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scanner {
    /// `Trivy`, `grype`.
    #[schemars(length(max = 128))]
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub version: Option<String>,
}

/// Vulnerabilities by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SeverityCounts {
    /// CVSS 9.0 and above, in the scanner's words.
    pub critical: u32,
    /// CVSS 7.0 to 8.9.
    pub high: u32,
    /// CVSS 4.0 to 6.9.
    pub medium: u32,
    /// CVSS 0.1 to 3.9.
    pub low: u32,
    /// Less than low.
    pub negligible: u32,
    /// The scanner does not say.
    pub unknown: u32,
}

impl SeverityCounts {
    /// Counts one more.
    pub fn add(&mut self, severity: Severity) {
        let count = match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Negligible => &mut self.negligible,
            Severity::Unknown => &mut self.unknown,
        };
        *count = count.saturating_add(1);
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        let Self { critical, high, medium, low, negligible, unknown } = *self;
        [critical, high, medium, low, negligible, unknown].into_iter().map(u64::from).sum()
    }
}

/// One vulnerability in one package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vulnerability {
    /// `CVE-2024-1234`, `GHSA-...`.
    #[schemars(length(min = 1, max = 128))]
    pub id: String,
    /// CVSS v3 base score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v3: Option<Score>,
    /// CVSS v4 score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v4: Option<Score>,
    /// CVSS v2 base score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v2: Option<Score>,
    /// The scanner's word.
    #[serde(default)]
    pub severity: Severity,
    /// The package it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub package: Option<String>,
    /// The version that repairs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub fixed: Option<String>,
}

/// What was left out, as far as a verdict needs it: the highest of each score. v4, v2 and severity
/// are those of vulnerabilities without a v3 score, because only those ever count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overflow {
    /// How many were left out.
    pub count: u32,
    /// The highest v3 score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v3: Option<Score>,
    /// The highest v4 score where there is no v3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v4: Option<Score>,
    /// The highest v2 score where there is no v3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v2: Option<Score>,
    /// The highest severity where there is no v3.
    #[serde(default)]
    pub severity: Severity,
}
