//! The custom resources as Rust types; their schemas are derived from these.
//!
//! `ContainerAdmissionPolicy` keeps the original's group and fields (spec: policy, "Object"); the
//! other three are caapc's own (spec: scan, "Where results live"). Types and schemas only: what
//! they mean is in `scan` and in the compiler. Start at [`crds`].
#![expect(
    clippy::duplicated_attributes,
    reason = "the printer columns repeat the names of their fields"
)]
#![expect(unreachable_pub, reason = "the schema derive repeats each struct inside a function")]

pub mod exception;
pub mod policy;
pub mod scan;
pub mod score;
pub mod settings;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

pub use self::exception::{ExceptionScope, VulnerabilityException, VulnerabilityExceptionSpec};
pub use self::policy::{
    ContainerAdmissionPolicy, ContainerAdmissionPolicySpec, ContainerAdmissionPolicyStatus,
};
pub use self::scan::{
    Earlier, ImageScan, ImageScanSpec, Overflow, Scanner, SeverityCounts, StoredState,
    Vulnerability,
};
pub use self::score::{Score, Severity};
pub use self::settings::{
    ImageAssuranceSettings, ImageAssuranceSettingsSpec, MissingScore, SETTINGS_NAME,
    ThresholdBoundary, TrivyOperator,
};

/// The group of caapc's own kinds.
pub const GROUP: &str = "caapc.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";
/// The group of `ContainerAdmissionPolicy`, the original's.
pub const POLICY_GROUP: &str = "containersecurity.tigera.io";

/// The definitions of all four kinds, as they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        ContainerAdmissionPolicy::crd(),
        ImageScan::crd(),
        VulnerabilityException::crd(),
        ImageAssuranceSettings::crd(),
    ]
    .into_iter()
    .map(plain)
    .collect()
}

/// Takes out of a derived schema what the API server warns of or what lets too much through:
/// number formats it does not know, and `null` where a field may be absent.
fn plain(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            plain_schema(schema);
        }
    }
    crd
}

fn plain_schema(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.title = None;
    schema.format.take_if(|format| format.starts_with("uint"));
    for property in schema.properties.iter_mut().flat_map(|map| map.values_mut()) {
        plain_schema(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        plain_schema(items);
    }
}
