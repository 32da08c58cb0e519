//! `ContainerAdmissionPolicy`: the schema of the original's resource (spec: policy, "Object").
//!
//! Rules stay JSON values here, unknown fields and all: the compiler reads them and must see what
//! is misspelt.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An ordered list of rules that decides container images.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "containersecurity.tigera.io",
    version = "v1beta1",
    kind = "ContainerAdmissionPolicy",
    plural = "containeradmissionpolicies",
    shortname = "cap",
    category = "caapc",
    derive = "PartialEq",
    derive = "Default",
    status = "ContainerAdmissionPolicyStatus",
    doc = "Decides which container images are admitted.",
    printcolumn(name = "Order", type_ = "number", json_path = ".spec.order"),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".status.rules"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ContainerAdmissionPolicySpec {
    /// Policies are asked from the lowest order on; equal ones by name. Absent: after all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<f64>,
    /// A Calico selector over the labels of the admitted object. Default `all()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub selector: Option<String>,
    /// A Calico selector over the labels of the object's namespace. Default `all()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub namespace_selector: Option<String>,
    /// The rules in order: the first that matches an image decides it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<RuleSchema>", length(max = 1000))]
    pub rules: Vec<serde_json::Value>,
}

// The schema of a rule. Unknown fields are kept at every level, so that the compiler sees and
// refuses them.
/// What is decided of the images for which all criteria hold; without criteria: of every image.
#[derive(JsonSchema)]
#[schemars(
    rename = "Rule",
    rename_all = "camelCase",
    extend("x-kubernetes-preserve-unknown-fields" = true)
)]
#[expect(dead_code, reason = "only its schema is used")]
struct RuleSchema {
    /// What is decided if every criterion holds.
    action: ActionSchema,
    /// Regular expressions over the image as written.
    image_path: Option<PathSchema>,
    /// The image's scan status.
    image_scan_status: Option<StatusSchema>,
    /// When the image was last scanned.
    image_last_scan: Option<LastScanSchema>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
enum ActionSchema {
    Allow,
    Reject,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
enum MembershipSchema {
    IsOneOf,
    IsNoneOf,
}

#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[expect(dead_code, reason = "only its schema is used")]
struct PathSchema {
    operator: MembershipSchema,
    /// Regular expressions as Go's regexp takes them.
    #[schemars(length(max = 1000), inner(length(max = 4096)))]
    values: Vec<String>,
}

#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[expect(dead_code, reason = "only its schema is used")]
struct StatusSchema {
    operator: MembershipSchema,
    /// `Pass`, `Warn`, `Fail`, `Unknown`.
    #[schemars(length(max = 1000), inner(length(max = 4096)))]
    values: Vec<String>,
}

#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[expect(dead_code, reason = "only its schema is used")]
struct LastScanSchema {
    /// `gt`: scanned after the bound; `lt`: before it.
    operator: ComparisonSchema,
    /// The bound is this long before now. Either this or `time`.
    duration: Option<DurationSchema>,
    /// The bound is this instant, RFC 3339 as Go's time.Parse takes it.
    #[schemars(length(max = 64))]
    time: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum ComparisonSchema {
    Gt,
    Lt,
}

#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[expect(dead_code, reason = "only its schema is used")]
struct DurationSchema {
    days: Option<u32>,
    months: Option<u32>,
    years: Option<u32>,
}

/// What caapc says of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerAdmissionPolicyStatus {
    /// The generation this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for the printed table: `Compiled`, `Invalid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub state: Option<String>,
    /// How many rules are in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<i64>,
    /// The usual conditions; `Compiled` is the one to look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"],
    ))]
    pub conditions: Vec<Condition>,
    /// The last spec that compiled: it stays in force while the present one does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub last_compiled: Option<serde_json::Value>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
