//! Talking to a cluster about objects whose kinds are known here but whose types are not needed.
//!
//! Start at [`Cluster`].

use std::time::Duration;

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use serde_json::Value;

use super::{Fault, names};

/// The longest a single request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Objects in one page of a list.
const PAGE: u32 = 500;
/// The most objects of one kind that are read; a cluster has far fewer of what is asked for.
pub const LIST_MAX: usize = 100_000;

/// A kind that may be part of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// As in `kind:`.
    pub kind: &'static str,
    /// As in the path.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Kind {
    Kind { group, version, kind, plural, namespaced }
}

/// The policies.
pub const POLICIES: Kind = kind(
    "containersecurity.tigera.io",
    "v1beta1",
    "ContainerAdmissionPolicy",
    "containeradmissionpolicies",
    false,
);
/// Scan results.
pub const IMAGE_SCANS: Kind = kind("caapc.dev", "v1alpha1", "ImageScan", "imagescans", false);
/// The settings.
pub const SETTINGS: Kind =
    kind("caapc.dev", "v1alpha1", "ImageAssuranceSettings", "imageassurancesettings", false);
/// Exceptions.
pub const EXCEPTIONS: Kind =
    kind("caapc.dev", "v1alpha1", "VulnerabilityException", "vulnerabilityexceptions", false);
/// Definitions of custom resources.
pub const CRDS: Kind = kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    false,
);
/// What the API server asks before it admits.
pub const WEBHOOKS: Kind = kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    false,
);
/// Namespaces.
pub const NAMESPACES: Kind = kind("", "v1", "Namespace", "namespaces", false);
/// Deployments.
pub const DEPLOYMENTS: Kind = kind("apps", "v1", "Deployment", "deployments", true);
/// Pods.
pub const PODS: Kind = kind("", "v1", "Pod", "pods", true);
/// Secrets.
pub const SECRETS: Kind = kind("", "v1", "Secret", "secrets", true);
/// Services.
pub const SERVICES: Kind = kind("", "v1", "Service", "services", true);
/// Where a service leads.
pub const ENDPOINT_SLICES: Kind =
    kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true);
/// Leases.
pub const LEASES: Kind = kind("coordination.k8s.io", "v1", "Lease", "leases", true);
/// Roles for the whole cluster.
pub const CLUSTER_ROLES: Kind =
    kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false);
/// Their bindings.
pub const CLUSTER_ROLE_BINDINGS: Kind =
    kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false);

/// Roles in a namespace.
pub const ROLES: Kind = kind("rbac.authorization.k8s.io", "v1", "Role", "roles", true);
/// Their bindings.
pub const ROLE_BINDINGS: Kind =
    kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true);

/// Every kind an installation may consist of, in the order of removal: what the API server waits for
/// comes first, what others depend on last.
pub const INSTALLED: &[Kind] = &[
    WEBHOOKS,
    kind("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors", true),
    DEPLOYMENTS,
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true),
    SERVICES,
    kind("", "v1", "ResourceQuota", "resourcequotas", true),
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    kind("", "v1", "ServiceAccount", "serviceaccounts", true),
    kind("cert-manager.io", "v1", "Certificate", "certificates", true),
    kind("cert-manager.io", "v1", "Issuer", "issuers", true),
    SECRETS,
    NAMESPACES,
];

impl Kind {
    /// The kind of an object, if it may be part of an installation.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("");
        let (version, name) = (text("apiVersion"), text("kind"));
        INSTALLED
            .iter()
            .chain([&CRDS, &SETTINGS, &POLICIES, &EXCEPTIONS, &IMAGE_SCANS])
            .find(|one| one.kind == name && one.api_version() == version)
            .copied()
    }

    /// As in `apiVersion:`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

/// A connection, with requests bounded in time and errors said in sentences.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
}

impl Cluster {
    /// Uses a client.
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }

    /// The client beneath.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// Reads an object; `None` if it, or its kind, does not exist.
    ///
    /// # Errors
    /// [`Fault::Environment`] if the cluster does not answer or does not permit it.
    pub async fn find(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Fault> {
        let api = self.api(kind, namespace);
        match bounded(api.get(name)).await {
            Ok(object) => Ok(Some(plain(object))),
            Err(Trouble::Kube(kube::Error::Api(status))) if status.code == 404 => Ok(None),
            Err(error) => Err(failed("read", kind, name, &error)),
        }
    }

    /// Lists all objects of a kind, page by page; `None` if the kind does not exist.
    ///
    /// # Errors
    /// [`Fault::Environment`] if the cluster does not answer or permit it, or there are more than
    /// [`LIST_MAX`].
    pub async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        labels: Option<&str>,
    ) -> Result<Option<Vec<Value>>, Fault> {
        let api = self.api(kind, namespace);
        let mut params = ListParams::default().limit(PAGE);
        if let Some(labels) = labels {
            params = params.labels(labels);
        }
        let mut all = Vec::new();
        loop {
            let page = match bounded(api.list(&params)).await {
                Ok(page) => page,
                Err(Trouble::Kube(kube::Error::Api(status))) if status.code == 404 => {
                    return Ok(None);
                }
                Err(error) => return Err(failed("list", kind, "", &error)),
            };
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            all.extend(page.items.into_iter().map(|object| with_kind(kind, plain(object))));
            if all.len() > LIST_MAX {
                return Err(Fault::Environment(format!(
                    "more than {LIST_MAX} {}: too many to look at",
                    kind.plural
                )));
            }
            match next {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(Some(all)),
            }
        }
    }

    /// Server-side apply, taking over the fields; waits briefly for a kind that was just defined.
    ///
    /// # Errors
    /// [`Fault::Environment`] with the API server's reason.
    pub async fn apply(&self, kind: Kind, object: &Value) -> Result<(), Fault> {
        let (namespace, name) = place(object);
        let api = self.api(kind, namespace);
        let params = PatchParams::apply("caapc-install").force();
        let mut tries = 0;
        loop {
            match bounded(api.patch(name, &params, &Patch::Apply(object))).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Kube(kube::Error::Api(status)))
                    if status.code == 404 && tries < 50 =>
                {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(failed("apply", kind, name, &error)),
            }
        }
    }

    /// Replaces an object whole, if it is still what was read.
    ///
    /// # Errors
    /// [`Fault::Environment`] with the API server's reason.
    pub async fn replace(&self, kind: Kind, old: &Value, new: &Value) -> Result<(), Fault> {
        let (namespace, name) = place(new);
        let mut object: DynamicObject = serde_json::from_value(new.clone())
            .map_err(|error| Fault::Environment(format!("cannot replace {name}: {error}")))?;
        let version = old.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        object.metadata.resource_version = version.map(str::to_owned);
        let params =
            PostParams { field_manager: Some("caapc-install".to_owned()), ..PostParams::default() };
        let api = self.api(kind, namespace);
        bounded(api.replace(name, &params, &object))
            .await
            .map_err(|e| failed("replace", kind, name, &e))?;
        Ok(())
    }

    /// Deletes an object and, in the background, what it owns; fine if it is gone.
    ///
    /// # Errors
    /// [`Fault::Environment`] with the API server's reason.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<(), Fault> {
        let api = self.api(kind, namespace);
        match bounded(api.delete(name, &DeleteParams::background())).await {
            Ok(_) => Ok(()),
            Err(Trouble::Kube(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            Err(error) => Err(failed("delete", kind, name, &error)),
        }
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if kind.namespaced && !namespace.is_empty() {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }
}

/// The namespace and name of an object; empty if it has none.
pub fn place(object: &Value) -> (&str, &str) {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or("");
    (text("/metadata/namespace"), text("/metadata/name"))
}

/// Whether caapc made an object.
pub fn is_ours(object: &Value) -> bool {
    label(object, names::MANAGED_BY.0) == Some(names::MANAGED_BY.1)
}

/// A label of an object.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

enum Trouble {
    Kube(kube::Error),
    Slow,
}

async fn bounded<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Trouble> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(result) => result.map_err(Trouble::Kube),
        Err(_) => Err(Trouble::Slow),
    }
}

fn failed(verb: &str, kind: Kind, name: &str, trouble: &Trouble) -> Fault {
    let what =
        if name.is_empty() { kind.plural.to_owned() } else { format!("{} {name}", kind.kind) };
    let why = match trouble {
        Trouble::Slow => format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
        Trouble::Kube(kube::Error::Api(status)) => printable_long(&status.message),
        Trouble::Kube(error) => printable_long(&chain(error)),
    };
    Fault::Environment(format!("cannot {verb} {what}: {why}"))
}

/// An error and what caused it, outermost first.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// The API server repeats what users wrote: no control characters, and no more than a screen.
fn printable_long(text: &str) -> String {
    text.chars().take(1_024).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn plain(object: DynamicObject) -> Value {
    super::objects::value(&object)
}

/// Items of a list carry no `kind` of their own.
fn with_kind(kind: Kind, mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), Value::String(kind.api_version()));
        map.insert("kind".to_owned(), Value::String(kind.kind.to_owned()));
    }
    object
}
