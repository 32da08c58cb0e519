//! Installing into a cluster: server-side apply, in an order in which nothing waits in vain.
//!
//! First everything is looked at, and nothing is changed if something belongs to somebody else. The
//! admission webhook comes last, when the controller answers. Start at [`apply`].

use std::time::{Duration, Instant};

use serde_json::Value;

use super::certs::Life;
use super::cluster::{self, CRDS, Cluster, DEPLOYMENTS, Kind};
use super::options::{Certificates, Options, Reach};
use super::rotate::{self, Plan};
use super::{Fault, names, objects};

/// What to do besides applying.
#[derive(Clone, Debug)]
pub struct Way {
    /// Wait until the controller is ready, this long; `None` does not wait.
    pub wait: Option<Duration>,
    /// Replace objects of the same names that somebody else made.
    pub adopt: bool,
    /// Write the settings even if there are some.
    pub settings_too: bool,
    /// The clock, in seconds since 1970.
    pub now_secs: i64,
}

/// What happens to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It does not exist.
    Create,
    /// It is ours: brought up to date.
    Update,
    /// It is somebody else's and stays as it is.
    Keep,
    /// It is somebody else's and is replaced whole (`--adopt`).
    Replace,
}

impl Act {
    /// In the past tense, for progress.
    pub fn done(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "updated",
            Self::Keep => "kept as it is",
            Self::Replace => "replaced",
        }
    }
}

/// One object and what is to happen to it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What happens.
    pub act: Act,
    /// The object as it shall be.
    pub object: Value,
    /// The object as it is, if it exists.
    pub old: Option<Value>,
}

/// Looks at the cluster and plans, without changing anything.
///
/// # Errors
/// [`Fault::Input`] names every object that somebody else made, unless adopting.
pub async fn plan(
    cluster: &Cluster,
    options: &Options,
    crds: &[Value],
    way: &Way,
) -> Result<Vec<Step>, Fault> {
    let mut steps = Vec::new();
    let mut foreign = Vec::new();
    for object in crds.iter().cloned().chain(objects::all(options)) {
        let kind = known(&object)?;
        let (namespace, name) = cluster::place(&object);
        let old = cluster.find(kind, namespace, name).await?;
        let act = match &old {
            None => Act::Create,
            Some(_) if kind == cluster::SETTINGS && !way.settings_too => Act::Keep,
            Some(old) if cluster::is_ours(old) => Act::Update,
            // Policies and their definition may have been here before us; so may the namespace.
            Some(_) if kind == CRDS || kind == cluster::NAMESPACES || kind == cluster::SETTINGS => {
                Act::Keep
            }
            Some(_) if way.adopt => Act::Replace,
            Some(_) => {
                foreign.push(objects::title(&object));
                Act::Keep
            }
        };
        steps.push(Step { act, object, old });
    }
    if foreign.is_empty() {
        return Ok(steps);
    }
    Err(Fault::Input(format!(
        "these exist and were not made by caapc: {}; `caapc install --adopt` shows how they differ and takes them over",
        foreign.join(", ")
    )))
}

/// Carries out a plan, telling each step to `tell`.
///
/// # Errors
/// [`Fault::Environment`] says at which object it stopped; running it again goes on from there.
pub async fn apply(
    cluster: &Cluster,
    options: &Options,
    steps: &[Step],
    way: &Way,
    tell: &mut dyn FnMut(&str),
) -> Result<(), Fault> {
    let mut options = options.clone();
    for step in steps {
        let kind = known(&step.object)?;
        let mut object = step.object.clone();
        if kind == cluster::WEBHOOKS {
            if object.pointer("/metadata/name").and_then(Value::as_str)
                == Some(names::ADMISSION_WEBHOOK)
            {
                wait_until_ready(cluster, &options, way, tell).await?;
            }
            object = with_bundle(object, &options)?;
        }
        match (step.act, &step.old) {
            (Act::Keep, _) => {}
            (Act::Replace, Some(old)) => cluster.replace(kind, old, &object).await?,
            _ => cluster.apply(kind, &object).await?,
        }
        tell(&format!("{} {}", objects::title(&object), step.act.done()));
        if kind == CRDS {
            established(cluster, &object).await?;
        }
        let is_secret = kind == cluster::SECRETS && step.act != Act::Keep;
        if is_secret && options.certificates == Certificates::Managed {
            options.ca_bundle = first_certificate(cluster, &options, way, tell).await?;
        }
    }
    Ok(())
}

/// Makes the first certificate here, so that the controller need not wait for its own leader.
async fn first_certificate(
    cluster: &Cluster,
    options: &Options,
    way: &Way,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<String>, Fault> {
    let plan = Plan::new(&options.namespace);
    let wanted = options.certificate_name();
    let tended =
        rotate::tend_for(cluster.client(), &plan, &[wanted], way.now_secs, &Life::default())
            .await?;
    for change in &tended.changes {
        tell(change.sentence());
    }
    Ok(tended.bundle)
}

/// The API server trusts the bundle from the first moment on.
fn with_bundle(mut object: Value, options: &Options) -> Result<Value, Fault> {
    let Some(bundle) = &options.ca_bundle else {
        return Ok(object);
    };
    let encoded = objects::value(&k8s_openapi::ByteString(bundle.clone().into_bytes()));
    for hook in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(client) = hook.get_mut("clientConfig").and_then(Value::as_object_mut) {
            client.insert("caBundle".to_owned(), encoded.clone());
        }
    }
    Ok(object)
}

async fn wait_until_ready(
    cluster: &Cluster,
    options: &Options,
    way: &Way,
    tell: &mut dyn FnMut(&str),
) -> Result<(), Fault> {
    let (Some(limit), Reach::Service) = (way.wait, &options.reach) else {
        return Ok(());
    };
    let begin = Instant::now();
    let wanted = i64::from(options.replicas);
    let mut told = -1;
    loop {
        let found = cluster.find(DEPLOYMENTS, &options.namespace, names::DEPLOYMENT).await?;
        let number = |path: &str| {
            found.as_ref().and_then(|d| d.pointer(path)).and_then(Value::as_i64).unwrap_or(0)
        };
        let seen = number("/status/observedGeneration") >= number("/metadata/generation");
        let ready = if seen {
            number("/status/updatedReplicas").min(number("/status/availableReplicas"))
        } else {
            0
        };
        if ready >= wanted {
            return Ok(());
        }
        if ready != told {
            tell(&format!("waiting for the controller: {ready} of {wanted} replicas are ready"));
            told = ready;
        }
        if begin.elapsed() > limit {
            return Err(Fault::Environment(format!(
                "only {ready} of {wanted} replicas became ready within {} s, so the webhook was not applied and nothing is \
                 enforced; see `kubectl -n {} describe pods`, then run this again",
                limit.as_secs(),
                options.namespace
            )));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The ports behind the service `kubernetes`: what the network policy must let the controller reach,
/// whatever port the API server was given.
///
/// # Errors
/// [`Fault::Environment`] if the cluster does not answer or does not permit it.
pub async fn api_server_ports(cluster: &Cluster) -> Result<Vec<u16>, Fault> {
    let label = "kubernetes.io/service-name=kubernetes";
    let slices = cluster.list(cluster::ENDPOINT_SLICES, "default", Some(label)).await?;
    let slices = slices.unwrap_or_default();
    let ports = slices.iter().filter_map(|slice| slice.get("ports")?.as_array()).flatten();
    Ok(ports.filter_map(|port| u16::try_from(port.get("port")?.as_u64()?).ok()).collect())
}

async fn established(cluster: &Cluster, crd: &Value) -> Result<(), Fault> {
    let (_, name) = cluster::place(crd);
    for _ in 0..100 {
        let found = cluster.find(CRDS, "", name).await?;
        let conditions =
            found.as_ref().and_then(|c| c.pointer("/status/conditions")).and_then(Value::as_array);
        let is = |one: &Value| {
            one.get("type").and_then(Value::as_str) == Some("Established")
                && one.get("status").and_then(Value::as_str) == Some("True")
        };
        if conditions.is_some_and(|all| all.iter().any(is)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(Fault::Environment(format!(
        "the API server did not establish {name} within 20 s; see `kubectl describe crd {name}`"
    )))
}

fn known(object: &Value) -> Result<Kind, Fault> {
    Kind::of(object).ok_or_else(|| {
        Fault::Environment(format!("{} is not a kind that caapc installs", objects::title(object)))
    })
}
