//! The names of the original, kept as the defaults (spec: webhook, "Names of the original").
//!
//! Scripts, alerts and network rules that know the original keep working.

/// The namespace.
pub const NAMESPACE: &str = "tigera-image-assurance";
/// The `ValidatingWebhookConfiguration` that decides workloads, and its one webhook.
pub const ADMISSION_WEBHOOK: &str = "image-assurance.tigera.io";
/// The `ValidatingWebhookConfiguration` that refuses broken policies when they are applied.
pub const POLICY_WEBHOOK_CONFIGURATION: &str = "caapc-policies";
/// The webhook inside [`POLICY_WEBHOOK_CONFIGURATION`].
pub const POLICY_WEBHOOK: &str = "policies.caapc.dev";
/// The service in front of the controller.
pub const SERVICE: &str = "tigera-image-assurance-admission-controller-service";
/// The deployment, its container, and the value of its `k8s-app` label.
pub const DEPLOYMENT: &str = "tigera-image-assurance-admission-controller";
/// The service account, the cluster role and its binding.
pub const SERVICE_ACCOUNT: &str = "tigera-secure-container-admission-controller";
/// The secret with the serving certificate.
pub const SECRET: &str = "tigera-image-assurance-admission-controller-certs";
/// The lease that the leader holds.
pub const LEASE: &str = "tigera-image-assurance-admission-controller";
/// The cluster role for a pipeline that imports scan results.
pub const SCAN_WRITER: &str = "caapc-scan-writer";
/// The one settings object.
pub const SETTINGS: &str = "default";
/// The port of the service.
pub const SERVICE_PORT: i32 = 8089;
/// The port the controller answers admission reviews on.
pub const WEBHOOK_PORT: i32 = 8080;
/// The port of `/livez`, `/readyz` and `/metrics`.
pub const METRICS_PORT: i32 = 9443;
/// Where admission reviews are posted.
pub const ADMISSION_PATH: &str = "/admission-review";
/// Where policies are posted for validation.
pub const POLICY_PATH: &str = "/validate-policies";
/// The file that `--write-manifest` writes.
pub const MANIFEST_FILE: &str = "tigera-image-assurance-admission-controller-deploy.yaml";

/// Says who made an object; `caapc uninstall` deletes nothing without it.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "caapc");
/// On a secret: its certificates are made and renewed by the leader.
pub const CERTIFICATES_ANNOTATION: &str = "caapc.dev/certificates";
/// The value of [`CERTIFICATES_ANNOTATION`] that permits renewal.
pub const CERTIFICATES_MANAGED: &str = "managed";
/// The label that every namespace carries by itself, with its name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The label that Calico imagines on every namespace; the API server does not know it.
pub const CALICO_NAME_LABEL: &str = "projectcalico.org/name";
/// Namespaces that are never sent to the webhook, besides its own.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-node-lease", "kube-public", "kube-system"];
