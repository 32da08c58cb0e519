//! `ImageAssuranceSettings`: one object for the whole cluster (spec: scan, "Where results live").

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::score::Score;

/// The name of the one settings object.
pub const SETTINGS_NAME: &str = "default";

/// How scan results become a status. One object, named `default`; what it leaves out has the
/// value in the field's description.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "caapc.dev",
    version = "v1alpha1",
    kind = "ImageAssuranceSettings",
    plural = "imageassurancesettings",
    shortname = "ias",
    category = "caapc",
    derive = "PartialEq",
    derive = "Default",
    doc = "How scan results become a status: thresholds and what else concerns all images.",
    validation = ("self.metadata.name == 'default'", "the one settings object is named default"),
    printcolumn(name = "Fail", type_ = "number", json_path = ".spec.failThreshold"),
    printcolumn(name = "Warn", type_ = "number", json_path = ".spec.warnThreshold"),
    printcolumn(name = "Boundary", type_ = "string", json_path = ".spec.boundary"),
    printcolumn(name = "Missing", type_ = "string", json_path = ".spec.missingScore"),
    printcolumn(name = "Trivy-Operator", type_ = "string", json_path = ".spec.trivyOperator"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("(has(self.warnThreshold) ? double(self.warnThreshold) : 3.9) <= (has(self.failThreshold) ? double(self.failThreshold) : 7.0)", "warnThreshold must not be above failThreshold")
)]
pub struct ImageAssuranceSettingsSpec {
    /// An image whose highest score is at or above this has status `Fail`. Default 7.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_threshold: Option<Score>,
    /// An image whose highest score is above this has status `Warn`. Default 3.9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_threshold: Option<Score>,
    /// Whether the fail threshold itself fails. Default `Bands`: it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<ThresholdBoundary>,
    /// What a vulnerability without a CVSS v3 score counts as. Default `Ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_score: Option<MissingScore>,
    /// How far a scan time may lie in the future and still count as recent, in seconds.
    /// Default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub skew_seconds: Option<u32>,
    /// Whether trivy-operator's reports are believed: whoever may write one in any namespace then
    /// decides for the whole cluster. Default `Ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trivy_operator: Option<TrivyOperator>,
    /// How long a superseded ImageScan is kept, in days. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 36500))]
    pub retention_days: Option<u32>,
}

/// Whether a score equal to the fail threshold fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ThresholdBoundary {
    /// It does: 7.0 is the first score of the band `High`.
    #[default]
    Bands,
    /// It does not: only what is above fails.
    Exclusive,
}

/// What a vulnerability without a CVSS v3 score counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MissingScore {
    /// As nothing.
    #[default]
    Ignore,
    /// As its CVSS v4 score, if it has one.
    V4,
    /// As its CVSS v2 score, if it has one.
    V2,
    /// As the lowest score of its severity: Critical 9.0, High 7.0, Medium 4.0, Low 0.1.
    Severity,
}

/// Whether trivy-operator's reports are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TrivyOperator {
    /// They are not read.
    #[default]
    Ignore,
    /// They are turned into ImageScans.
    Trust,
}
