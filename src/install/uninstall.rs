//! Out again without a trace.
//!
//! Webhook configurations go first: from then on no request waits for a controller that is about to
//! end. Only what carries our label is removed. Policies, scans and exceptions, and the definitions
//! of their kinds, stay unless told otherwise. Start at [`plan`].

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::discovery::{Discovery, Scope, verbs};
use serde_json::Value;

use super::cluster::{self, CRDS, Cluster, INSTALLED, Kind, LEASES, NAMESPACES};
use super::{Fault, names, objects};

/// What is to be removed, in order, and what stays and why.
#[derive(Debug, Default)]
pub struct Removal {
    /// Kind, namespace and name.
    pub remove: Vec<(Kind, String, String)>,
    /// Sentences about what stays.
    pub stays: Vec<String>,
}

/// Finds what caapc made, without changing anything.
///
/// # Errors
/// [`Fault::Environment`] if the cluster does not answer or does not permit it.
pub async fn plan(cluster: &Cluster, purge: bool) -> Result<Removal, Fault> {
    let selector = format!("{}={}", names::MANAGED_BY.0, names::MANAGED_BY.1);
    let mut removal = Removal::default();
    let mut namespaces = Vec::new();
    for &kind in INSTALLED {
        let found = cluster.list(kind, "", Some(&selector)).await?.unwrap_or_default();
        for object in &found {
            let (namespace, name) = cluster::place(object);
            if kind == NAMESPACES {
                namespaces.push(name.to_owned());
            } else {
                removal.remove.push((kind, namespace.to_owned(), name.to_owned()));
            }
        }
    }
    let mut places: Vec<String> = removal
        .remove
        .iter()
        .map(|(_, namespace, _)| namespace.clone())
        .filter(|n| !n.is_empty())
        .collect();
    places.extend(namespaces.iter().cloned());
    places.sort();
    places.dedup();
    for place in places {
        // The leader's lease is made while running; nobody else uses its name.
        if cluster.find(LEASES, &place, names::LEASE).await?.is_some() {
            removal.remove.push((LEASES, place, names::LEASE.to_owned()));
        }
    }
    plan_definitions(cluster, &selector, purge, &mut removal).await?;
    for name in namespaces {
        match foreign_objects(cluster, &name).await?.as_slice() {
            [] => removal.remove.push((NAMESPACES, String::new(), name)),
            some => removal.stays.push(format!(
                "Namespace {name} stays: it holds what caapc did not make ({})",
                some.join(", ")
            )),
        }
    }
    Ok(removal)
}

/// Removes what was planned, telling each step to `tell`.
///
/// # Errors
/// [`Fault::Environment`] says where it stopped; running it again goes on from there.
pub async fn remove(
    cluster: &Cluster,
    removal: &Removal,
    tell: &mut dyn FnMut(&str),
) -> Result<(), Fault> {
    for (kind, namespace, name) in &removal.remove {
        cluster.delete(*kind, namespace, name).await?;
        let separator = if namespace.is_empty() { "" } else { "/" };
        tell(&format!("{} {namespace}{separator}{name} deleted", kind.kind));
    }
    for (kind, _, name) in &removal.remove {
        if *kind == NAMESPACES || *kind == CRDS {
            gone(cluster, *kind, name).await?;
        }
    }
    Ok(())
}

async fn plan_definitions(
    cluster: &Cluster,
    selector: &str,
    purge: bool,
    removal: &mut Removal,
) -> Result<(), Fault> {
    let all = cluster.list(CRDS, "", None).await?.unwrap_or_default();
    for crd in &all {
        let (_, name) = cluster::place(crd);
        let group = crd.pointer("/spec/group").and_then(Value::as_str).unwrap_or("");
        if group != "caapc.dev" && group != cluster::POLICIES.group {
            continue;
        }
        if group == cluster::POLICIES.group && !name.starts_with(cluster::POLICIES.plural) {
            continue;
        }
        if !cluster::is_ours(crd) {
            removal.stays.push(format!(
                "CustomResourceDefinition {name} stays with its objects: it has no label {selector}, somebody else made it"
            ));
        } else if purge {
            removal.remove.push((CRDS, String::new(), name.to_owned()));
        } else {
            removal.stays.push(format!(
                "CustomResourceDefinition {name} stays with its objects; --purge removes both"
            ));
        }
    }
    Ok(())
}

/// What is in a namespace besides our objects and what Kubernetes puts there by itself.
async fn foreign_objects(cluster: &Cluster, namespace: &str) -> Result<Vec<String>, Fault> {
    let looking = |error: kube::Error| {
        Fault::Environment(format!(
            "cannot look for other objects in namespace {namespace}: {}",
            cluster::chain(&error)
        ))
    };
    let discovery = Discovery::new(cluster.client().clone()).run().await.map_err(looking)?;
    let mut found = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if capabilities.scope != Scope::Namespaced
                || !capabilities.supports_operation(verbs::LIST)
                || is_passing(&resource)
            {
                continue;
            }
            let api: Api<DynamicObject> =
                Api::namespaced_with(cluster.client().clone(), namespace, &resource);
            let page = match api.list(&ListParams::default().limit(100)).await {
                Ok(page) => page,
                // An aggregated API that is down keeps nothing alive.
                Err(kube::Error::Api(status)) if status.code == 404 || status.code >= 500 => {
                    continue;
                }
                Err(error) => return Err(looking(error)),
            };
            for object in page.items.iter().map(objects::value) {
                if !is_own_or_automatic(&resource, &object) && found.len() < 10 {
                    found.push(format!("{} {}", resource.kind, cluster::place(&object).1));
                }
            }
        }
    }
    Ok(found)
}

/// Kinds that only describe others.
fn is_passing(resource: &ApiResource) -> bool {
    matches!(
        resource.plural.as_str(),
        "events" | "endpoints" | "endpointslices" | "controllerrevisions"
    ) || resource.group == "metrics.k8s.io"
}

fn is_own_or_automatic(resource: &ApiResource, object: &Value) -> bool {
    let (_, name) = cluster::place(object);
    cluster::is_ours(object)
        || cluster::label(object, "k8s-app") == Some(names::DEPLOYMENT)
        || matches!(
            (resource.kind.as_str(), name),
            ("ConfigMap", "kube-root-ca.crt" | "openshift-service-ca.crt")
                | ("ServiceAccount", "default")
        )
        || (resource.kind == "Lease" && name == names::LEASE)
}

async fn gone(cluster: &Cluster, kind: Kind, name: &str) -> Result<(), Fault> {
    for _ in 0..300 {
        if cluster.find(kind, "", name).await?.is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(Fault::Environment(format!(
        "{} {name} is still being deleted after 60 s; see its `status.conditions`",
        kind.kind
    )))
}
