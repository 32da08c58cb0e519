//! Which replica writes: a `Lease` of `coordination.k8s.io`.
//!
//! Only one replica writes status and scan results; all of them decide. Another replica takes
//! over when a lease has not been renewed for [`DURATION`] on its own clock, so that clocks need
//! not agree. Start at [`Lease::run`].

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::feed::sentence;
use crate::telemetry::metrics::Control;

/// A lease that was not renewed for this long is free.
pub const DURATION: Duration = Duration::from_secs(15);

/// A holder that could not renew for this long stops writing, before another one starts.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// How often it is renewed or looked at.
const RETRY: Duration = Duration::from_secs(2);

/// One replica's part in the election.
pub struct Lease {
    /// The API.
    pub client: Client,
    /// The namespace of the lease.
    pub namespace: String,
    /// The name of the lease.
    pub name: String,
    /// Who this replica is; different for each.
    pub identity: String,
    /// Counters.
    pub metrics: Control,
}

/// What was last seen of the lease, and when by our own clock.
#[derive(Default)]
struct Seen {
    version: String,
    at: Option<Instant>,
}

impl Lease {
    /// Takes part until `stop` is told, then gives the lease back. `leads` says who leads.
    pub async fn run(self, leads: watch::Sender<bool>, mut stop: watch::Receiver<bool>) {
        let api: Api<LeaseObject> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut seen = Seen::default();
        let mut renewed = None::<Instant>;
        loop {
            let turn = tokio::time::timeout(RENEW_DEADLINE / 2, self.turn(&api, &mut seen)).await;
            match turn {
                Ok(Ok(true)) => renewed = Some(Instant::now()),
                Ok(Ok(false)) => renewed = None,
                Ok(Err(error)) => {
                    tracing::warn!(reason = sentence(&error), "the lease could not be renewed");
                }
                Err(_) => tracing::warn!("the lease could not be renewed in time"),
            }
            if renewed.is_some_and(|at| at.elapsed() > RENEW_DEADLINE) {
                renewed = None;
            }
            self.announce(&leads, renewed.is_some());
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        let led = *leads.borrow();
        self.announce(&leads, false);
        if led {
            let release = self.release(&api);
            if let Ok(Err(error)) = tokio::time::timeout(RETRY, release).await {
                tracing::debug!(reason = sentence(&error), "the lease could not be given back");
            }
        }
    }

    fn announce(&self, leads: &watch::Sender<bool>, leading: bool) {
        let changed = leads.send_if_modified(|now| std::mem::replace(now, leading) != leading);
        if changed {
            self.metrics.leader.set(i64::from(leading));
            tracing::info!(leading, identity = self.identity, "leadership changed");
        }
    }

    /// Looks at the lease, takes or renews it if that may be done; `true`: it is ours.
    async fn turn(&self, api: &Api<LeaseObject>, seen: &mut Seen) -> Result<bool, kube::Error> {
        let Some(lease) = api.get_opt(&self.name).await? else {
            let lease = LeaseObject {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return settled(api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.resource_version().unwrap_or_default();
        if seen.version != version {
            *seen = Seen { version, at: Some(Instant::now()) };
        }
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let ours = holder == self.identity;
        let free = holder.is_empty() || seen.at.is_some_and(|at| at.elapsed() > DURATION);
        if !ours && !free {
            return Ok(false);
        }
        // The resourceVersion makes this fail if another replica was faster.
        let lease = LeaseObject { spec: Some(self.spec(Some((&spec, ours)))), ..lease };
        settled(api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn spec(&self, before: Option<(&LeaseSpec, bool)>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let transitions = before.and_then(|(spec, _)| spec.lease_transitions).unwrap_or(0);
        let (acquired, transitions) = match before {
            Some((spec, true)) => (spec.acquire_time.clone(), transitions),
            Some((_, false)) => (None, transitions.saturating_add(1)),
            None => (None, 0),
        };
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    async fn release(&self, api: &Api<LeaseObject>) -> Result<(), kube::Error> {
        let lease = api.get(&self.name).await?;
        let spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() == Some(self.identity.as_str()) {
            let spec = LeaseSpec { holder_identity: Some(String::new()), ..spec };
            let lease = LeaseObject { spec: Some(spec), ..lease };
            api.replace(&self.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}

/// A conflict means that another replica was faster, which is an answer, not a failure.
fn settled(result: Result<LeaseObject, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
