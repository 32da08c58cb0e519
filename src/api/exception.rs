//! `VulnerabilityException`: a vulnerability that does not count (spec: scan, "Where results
//! live").

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A vulnerability that does not count, everywhere or in some images, forever or until a time.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "caapc.dev",
    version = "v1alpha1",
    kind = "VulnerabilityException",
    plural = "vulnerabilityexceptions",
    shortname = "vex",
    category = "caapc",
    derive = "PartialEq",
    derive = "Default",
    doc = "A vulnerability that does not count, everywhere or in some images.",
    printcolumn(name = "Vulnerability", type_ = "string", json_path = ".spec.vulnerability"),
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope"),
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.registry"),
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner", priority = "1"),
    printcolumn(
        name = "Justification",
        type_ = "string",
        json_path = ".spec.justification",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("self.scope != 'any' || !(has(self.registry) || has(self.repository) || has(self.tags))", "scope any takes no registry, repository or tags"),
    validation = ("self.scope == 'any' || has(self.repository)", "scopes repo and image need a repository"),
    validation = ("self.scope != 'repo' || !has(self.tags)", "scope repo takes no tags: use scope image"),
    validation = ("self.scope != 'image' || (has(self.tags) && size(self.tags) > 0)", "scope image needs tags")
)]
pub struct VulnerabilityExceptionSpec {
    /// The vulnerability's id as the scanner writes it, `CVE-2024-1234`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:~+/-]*$"))]
    pub vulnerability: String,
    /// Where it does not count.
    pub scope: ExceptionScope,
    /// Registry, possibly with a path (`quay.io/tigera`); it and the repository are joined with
    /// `/`. Absent: Docker Hub, or the repository has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub registry: Option<String>,
    /// Repository (`calico/node`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub repository: Option<String>,
    /// The tags it is about, for scope `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 128)))]
    pub tags: Option<Vec<String>>,
    /// Why it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub justification: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub owner: Option<String>,
    /// From this instant on it counts again, RFC 3339. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
}

/// Where an exception holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExceptionScope {
    /// In every image.
    #[default]
    Any,
    /// In every tag and digest of one repository.
    Repo,
    /// In the named tags of one repository.
    Image,
}

impl ExceptionScope {
    /// The word it is written with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Repo => "repo",
            Self::Image => "image",
        }
    }
}
