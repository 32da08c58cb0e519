//! What the checks look at: read from a cluster, or from files.
//!
//! `None` means that it could not be seen, which is not the same as absent: no check concludes from
//! it. Start at [`Facts::from_cluster`] and [`Facts::from_objects`].

use std::collections::BTreeMap;

use caapc_compiler::check;
use caapc_compiler::policy::Entry;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhook, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};
use serde_json::Value;

use crate::install::certs::Pair;
use crate::install::cluster::{
    self, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CRDS, Cluster, DEPLOYMENTS, ENDPOINT_SLICES,
    IMAGE_SCANS, Kind, NAMESPACES, POLICIES, ROLE_BINDINGS, ROLES, SECRETS, SERVICES, SETTINGS,
    WEBHOOKS, place,
};
use crate::install::{Fault, names};

/// Everything that could be seen.
#[derive(Debug, Default)]
pub struct Facts {
    /// From a cluster, so that what is not there does not exist.
    pub is_live: bool,
    /// Seconds since 1970.
    pub now_secs: i64,
    /// The webhooks that call caapc for workloads.
    pub hooks: Vec<Hook>,
    /// The policies.
    pub policies: Vec<PolicyFacts>,
    /// The namespaces.
    pub namespaces: Vec<NamespaceFacts>,
    /// Whether the namespaces are all there are, or at least those that matter.
    pub has_namespaces: bool,
    /// The services in the namespaces of the controller.
    pub services: Option<Vec<ServiceFacts>>,
    /// The controller's deployments.
    pub deployments: Vec<DeploymentFacts>,
    /// The serving certificate; the inner `None`: there is none.
    pub secret: Option<Option<Pair>>,
    /// Names of the definitions.
    pub crds: Option<Vec<String>>,
    /// How many scan results there are.
    pub scans: Option<usize>,
    /// Whether trivy-operator's reports are believed.
    pub trusts_reports: Option<bool>,
    /// Roles and their bindings.
    pub rbac: Option<RbacFacts>,
    /// Sentences about what could not be seen.
    pub unseen: Vec<String>,
}

/// A webhook that calls caapc for workloads.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The configuration it is in.
    pub title: String,
    /// The webhook.
    pub hook: ValidatingWebhook,
    /// The namespace of the controller.
    pub own_namespace: String,
    /// cert-manager fills its `caBundle`.
    pub injected: bool,
}

impl Hook {
    /// Whether a request is refused when it does not answer.
    pub fn fails_closed(&self) -> bool {
        self.hook.failure_policy.as_deref() != Some("Ignore")
    }
}

/// A namespace.
#[derive(Clone, Debug)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Its labels, with the one that every namespace has.
    pub labels: BTreeMap<String, String>,
}

impl NamespaceFacts {
    /// A namespace with the label that every namespace has, and no other.
    pub fn bare(name: &str) -> Self {
        let label = (names::NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
        Self { name: name.to_owned(), labels: BTreeMap::from([label]) }
    }
}

/// A policy.
#[derive(Clone, Debug)]
pub struct PolicyFacts {
    /// Kind and name.
    pub title: String,
    /// `spec.namespaceSelector`, `all()` if absent.
    pub namespace_selector: String,
    /// Why it does not compile.
    pub fault: Option<String>,
    /// Whether a rule asks for scan status or last scan.
    pub needs_scans: bool,
}

/// A service.
#[derive(Clone, Debug)]
pub struct ServiceFacts {
    /// `namespace/name`.
    pub place: String,
    /// Its ports.
    pub ports: Vec<i32>,
    /// How many pods behind it are ready.
    pub ready_endpoints: Option<usize>,
}

/// The controller's deployment.
#[derive(Clone, Debug)]
pub struct DeploymentFacts {
    /// `namespace/name`.
    pub place: String,
    /// How many replicas it shall have.
    pub replicas: i64,
    /// Whether a disruption budget covers its pods.
    pub has_budget: Option<bool>,
}

impl DeploymentFacts {
    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.place.split('/').next().unwrap_or_default()
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.place.rsplit('/').next().unwrap_or_default()
    }
}

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub struct RbacFacts {
    /// Roles of both kinds.
    pub roles: Vec<RoleFacts>,
    /// Bindings of both kinds.
    pub bindings: Vec<BindingFacts>,
}

/// A role.
#[derive(Clone, Debug)]
pub struct RoleFacts {
    /// `None`: for the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// What it permits.
    pub rules: Vec<PolicyRule>,
}

/// A binding.
#[derive(Clone, Debug)]
pub struct BindingFacts {
    /// `None`: for the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// `Role` or `ClusterRole`.
    pub role_kind: String,
    /// The role's name.
    pub role: String,
    /// Who gets it.
    pub subjects: Vec<Subject>,
}

impl Facts {
    /// Looks at a cluster. What it is not permitted to see is noted and left out.
    ///
    /// # Errors
    /// [`Fault::Environment`] if not even the webhook configurations can be read.
    pub async fn from_cluster(cluster: &Cluster, now_secs: i64) -> Result<Self, Fault> {
        let mut all = cluster.list(WEBHOOKS, "", None).await?.unwrap_or_default();
        let mut facts = Self { is_live: true, now_secs, ..Self::default() };
        let mut seen = Vec::new();
        for kind in [
            NAMESPACES,
            POLICIES,
            CRDS,
            SETTINGS,
            IMAGE_SCANS,
            CLUSTER_ROLES,
            CLUSTER_ROLE_BINDINGS,
        ] {
            let objects = facts.list(cluster, kind, "").await;
            seen.extend(objects.is_some().then_some(kind));
            all.extend(objects.unwrap_or_default());
        }
        // Only reports live in namespaces, and matter only where they are trusted.
        if all.iter().any(|object| is(object, SETTINGS) && trusts(object)) {
            for kind in [ROLES, ROLE_BINDINGS] {
                all.extend(facts.list(cluster, kind, "").await.unwrap_or_default());
            }
        }
        for namespace in own_namespaces(&all) {
            for kind in [DEPLOYMENTS, SERVICES, ENDPOINT_SLICES, BUDGETS] {
                let objects = facts.list(cluster, kind, &namespace).await;
                seen.extend(objects.is_some().then_some(kind));
                all.extend(objects.unwrap_or_default());
            }
            match cluster.find(SECRETS, &namespace, names::SECRET).await {
                Ok(secret) => {
                    seen.push(SECRETS);
                    all.extend(secret);
                }
                Err(error) => facts.unseen.push(error.to_string()),
            }
        }
        facts.take(&all, &seen);
        Ok(facts)
    }

    /// Looks at objects from files: what is not among them may exist all the same.
    pub fn from_objects(objects: &[Value], now_secs: i64) -> Self {
        let mut facts = Self { now_secs, ..Self::default() };
        let flat: Vec<Value> = objects.iter().flat_map(items).collect();
        let seen: Vec<Kind> = [SERVICES, CRDS, CLUSTER_ROLE_BINDINGS, BUDGETS, SECRETS]
            .into_iter()
            .filter(|kind| flat.iter().any(|object| is(object, *kind)))
            .collect();
        facts.take(&flat, &seen);
        // The controller's own namespace says nothing about those that are enforced.
        let own = own_namespaces(&flat);
        facts.has_namespaces = facts.namespaces.iter().any(|one| !own.contains(&one.name));
        if !seen.contains(&CRDS) || facts.crds.as_ref().is_some_and(|all| all.len() < 4) {
            facts.crds = None;
        }
        facts
    }

    async fn list(&mut self, cluster: &Cluster, kind: Kind, namespace: &str) -> Option<Vec<Value>> {
        match cluster.list(kind, namespace, None).await {
            Ok(found) => Some(found.unwrap_or_default()),
            Err(error) => {
                self.unseen.push(error.to_string());
                None
            }
        }
    }

    fn take(&mut self, all: &[Value], seen: &[Kind]) {
        let of = |kind: Kind| all.iter().filter(move |object| is(object, kind));
        self.hooks = of(WEBHOOKS).flat_map(hooks).collect();
        self.policies = of(POLICIES).map(policy).collect();
        self.namespaces = of(NAMESPACES).map(namespace).collect();
        self.has_namespaces = self.is_live && seen.contains(&NAMESPACES);
        let own = own_namespaces(all);
        let is_own = |object: &&Value| own.iter().any(|one| one == place(object).0);
        let budget = |labels: &Value| {
            seen.contains(&BUDGETS).then(|| of(BUDGETS).any(|one| covers_pods(one, labels)))
        };
        self.deployments =
            of(DEPLOYMENTS).filter(is_own).filter_map(|one| deployment(one, &budget)).collect();
        if seen.contains(&SERVICES) {
            let slices: Option<Vec<&Value>> =
                seen.contains(&ENDPOINT_SLICES).then(|| of(ENDPOINT_SLICES).collect());
            self.services = Some(of(SERVICES).map(|one| service(one, slices.as_deref())).collect());
        }
        if seen.contains(&SECRETS) {
            let own_secret = |object: &&Value| is_own(object) && place(object).1 == names::SECRET;
            let secret = of(SECRETS).find(own_secret);
            // A file without data says nothing about what the leader fills in.
            self.secret = match secret.map(pair) {
                Some(Some(pair)) => Some(Some(pair)),
                _ if self.is_live => Some(None),
                _ => None,
            };
        }
        self.crds = seen
            .contains(&CRDS)
            .then(|| of(CRDS).map(|object| place(object).1.to_owned()).collect());
        self.scans = seen.contains(&IMAGE_SCANS).then(|| of(IMAGE_SCANS).count());
        self.trusts_reports = if seen.contains(&SETTINGS) || of(SETTINGS).next().is_some() {
            Some(of(SETTINGS).any(trusts))
        } else {
            None
        };
        if seen.contains(&CLUSTER_ROLE_BINDINGS) {
            let roles = of(CLUSTER_ROLES).chain(of(ROLES)).map(role).collect();
            let bindings =
                of(CLUSTER_ROLE_BINDINGS).chain(of(ROLE_BINDINGS)).map(binding).collect();
            self.rbac = Some(RbacFacts { roles, bindings });
        }
    }
}

const BUDGETS: Kind = Kind {
    group: "policy",
    version: "v1",
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    namespaced: true,
};

fn is(object: &Value, kind: Kind) -> bool {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    text("kind") == Some(kind.kind) && text("apiVersion") == Some(kind.api_version().as_str())
}

/// The items of a list, or the object itself.
fn items(object: &Value) -> Vec<Value> {
    let is_list =
        object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match object.get("items").and_then(Value::as_array) {
        Some(items) if is_list => items.clone(),
        _ => vec![object.clone()],
    }
}

fn own_namespaces(all: &[Value]) -> Vec<String> {
    let of_hooks = all.iter().filter(|object| is(object, WEBHOOKS)).flat_map(hooks);
    let mut own: Vec<String> = of_hooks.map(|hook| hook.own_namespace).collect();
    if own.is_empty() {
        own.push(names::NAMESPACE.to_owned());
    }
    own.sort();
    own.dedup();
    own
}

/// The webhooks of a configuration that are asked about workloads.
fn hooks(object: &Value) -> Vec<Hook> {
    let Ok(configuration) =
        serde_json::from_value::<ValidatingWebhookConfiguration>(object.clone())
    else {
        return Vec::new();
    };
    let name = configuration.metadata.name.clone().unwrap_or_default();
    let annotations = configuration.metadata.annotations.unwrap_or_default();
    let injected = annotations.contains_key("cert-manager.io/inject-ca-from");
    let ours = configuration.webhooks.unwrap_or_default().into_iter().filter(|hook| {
        let client = &hook.client_config;
        let path = client.service.as_ref().and_then(|service| service.path.as_deref());
        let url = client.url.as_deref().unwrap_or_default();
        hook.name == names::ADMISSION_WEBHOOK
            || path == Some(names::ADMISSION_PATH)
            || url.ends_with(names::ADMISSION_PATH)
    });
    ours.map(|hook| Hook {
        title: format!("ValidatingWebhookConfiguration {name}"),
        own_namespace: match &hook.client_config.service {
            Some(service) => service.namespace.clone(),
            None => names::NAMESPACE.to_owned(),
        },
        hook,
        injected,
    })
    .collect()
}

fn policy(object: &Value) -> PolicyFacts {
    let (_, name) = place(object);
    // What the server added is not the author's fault.
    let mut bare = object.clone();
    if let Some(map) = bare.as_object_mut() {
        map.remove("status");
    }
    let reading = check::read_json(name, &bare, &check::Limits::default());
    let fault = reading.entries.iter().find_map(|entry| match entry {
        Entry::Broken(broken) => Some(broken.fault.clone()),
        Entry::Policy(_) => None,
    });
    let rules = object.pointer("/spec/rules").and_then(Value::as_array);
    let asks =
        |rule: &Value| rule.get("imageScanStatus").is_some() || rule.get("imageLastScan").is_some();
    let selector = object.pointer("/spec/namespaceSelector").and_then(Value::as_str);
    PolicyFacts {
        title: format!("ContainerAdmissionPolicy {name}"),
        namespace_selector: selector.unwrap_or("all()").to_owned(),
        fault,
        needs_scans: rules.is_some_and(|rules| rules.iter().any(asks)),
    }
}

fn namespace(object: &Value) -> NamespaceFacts {
    let mut facts = NamespaceFacts::bare(place(object).1);
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        facts.labels.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    facts
}

fn service(object: &Value, slices: Option<&[&Value]>) -> ServiceFacts {
    let (namespace, name) = place(object);
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    let number = |port: &Value| i32::try_from(port.get("port")?.as_i64()?).ok();
    let ready = slices.map(|slices| {
        let own = slices.iter().filter(|slice| {
            place(slice).0 == namespace
                && cluster::label(slice, "kubernetes.io/service-name") == Some(name)
        });
        own.filter_map(|slice| slice.get("endpoints")?.as_array())
            .flatten()
            .filter(|one| one.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false))
            .count()
    });
    ServiceFacts {
        place: format!("{namespace}/{name}"),
        ports: ports.into_iter().flatten().filter_map(number).collect(),
        ready_endpoints: ready,
    }
}

/// The controller's deployment, known by the original's label; others of the namespace are not.
fn deployment(object: &Value, budget: &dyn Fn(&Value) -> Option<bool>) -> Option<DeploymentFacts> {
    let labels = object.pointer("/spec/template/metadata/labels")?;
    if labels.get("k8s-app").and_then(Value::as_str) != Some(names::DEPLOYMENT) {
        return None;
    }
    let (namespace, name) = place(object);
    Some(DeploymentFacts {
        place: format!("{namespace}/{name}"),
        replicas: object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1),
        has_budget: budget(labels),
    })
}

fn covers_pods(budget: &Value, labels: &Value) -> bool {
    let wanted = budget.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

fn pair(object: &Value) -> Option<Pair> {
    let secret: k8s_openapi::api::core::v1::Secret = serde_json::from_value(object.clone()).ok()?;
    let data = secret.data?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(Pair { certificate: text("tls.crt")?, key: text("tls.key")? })
        .filter(|pair| !pair.certificate.is_empty())
}

fn trusts(settings: &Value) -> bool {
    settings.pointer("/spec/trivyOperator").and_then(Value::as_str) == Some("Trust")
}

fn role(object: &Value) -> RoleFacts {
    let (namespace, name) = place(object);
    let rules = object.get("rules").cloned().unwrap_or_default();
    RoleFacts {
        namespace: Some(namespace.to_owned()).filter(|n| !n.is_empty()),
        name: name.to_owned(),
        rules: serde_json::from_value(rules).unwrap_or_default(),
    }
}

fn binding(object: &Value) -> BindingFacts {
    let (namespace, name) = place(object);
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
    let subjects = object.get("subjects").cloned().unwrap_or_default();
    BindingFacts {
        namespace: Some(namespace.to_owned()).filter(|n| !n.is_empty()),
        name: name.to_owned(),
        role_kind: text("/roleRef/kind"),
        role: text("/roleRef/name"),
        subjects: serde_json::from_value(subjects).unwrap_or_default(),
    }
}
