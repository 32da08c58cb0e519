//! The control road of `caapc serve`: feeds or a folder into a keeper, and what the leader does.
//! Start at [`Control`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use caapc_compiler::set::OnInvalid;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::admission::Snapshot;
use crate::cli::io::Failure;
use crate::install::names;
use crate::serve::webhook::{Fetch, Fetched, Rejected, Rejection};
use crate::telemetry::health::{Flag, Parts};
use crate::telemetry::metrics::Metrics;
use crate::watch::events::{self, Events, Note};
use crate::watch::feed::Feed;
use crate::watch::keeper::{Change, Keeper, Outlook, Ready, Shelves};
use crate::watch::lease::Lease;
use crate::watch::namespace::Fetcher;
use crate::watch::policies::Policies;
use crate::watch::{local, reports, retention, status};

/// Changes that wait for the keeper; a feed then waits, and so does the API server.
const CHANGES_MAX: usize = 1_024;

/// How the control road is run.
pub(super) struct Plan {
    pub(super) on_invalid: OnInvalid,
    pub(super) events: bool,
    pub(super) namespace: String,
    pub(super) identity: String,
}

/// The control road, running.
pub(super) struct Control {
    pub(super) fetch: Option<Fetch>,
    pub(super) rejected: Option<Rejected>,
    /// Whether this replica leads; never, without a cluster.
    pub(super) leads: watch::Receiver<bool>,
    /// Told when the keeper ends by a fault.
    failed: watch::Receiver<Option<String>>,
    stop: watch::Sender<bool>,
    lease: Option<JoinHandle<()>>,
}

impl Control {
    /// Over a folder.
    pub(super) fn local(
        folder: &Path,
        plan: &Plan,
        metrics: &Metrics,
        snapshot: &Arc<ArcSwapOption<Snapshot>>,
        parts: &mut Parts,
    ) -> Result<Self, Failure> {
        if !folder.is_dir() {
            return Err(Failure::Input(format!(
                "--local: {} is no folder; it needs policies/ and, if you like, namespaces/, scans/, \
                 exceptions/ and settings.yaml",
                folder.display()
            )));
        }
        let (changes, failed, _) = keep(plan, metrics, snapshot, ready(parts));
        tokio::spawn(local::run(folder.to_owned(), changes, metrics.control.clone()));
        let (_, leads) = watch::channel(false);
        let stop = watch::Sender::new(false);
        Ok(Self { fetch: None, rejected: None, leads, failed, stop, lease: None })
    }

    /// Over a cluster.
    pub(super) fn cluster(
        client: &Client,
        plan: &Plan,
        metrics: &Metrics,
        snapshot: &Arc<ArcSwapOption<Snapshot>>,
        parts: &mut Parts,
    ) -> Self {
        let ready = ready(parts);
        let (changes, failed, outlook) = keep(plan, metrics, snapshot, ready.clone());
        feeds(client, metrics, &ready, &changes);
        let stop = watch::Sender::new(false);
        let (leading, leads) = watch::channel(false);
        let lease = Lease {
            client: client.clone(),
            namespace: plan.namespace.clone(),
            name: names::LEASE.to_owned(),
            identity: plan.identity.clone(),
            metrics: metrics.control.clone(),
        };
        let lease = tokio::spawn(lease.run(leading, stop.subscribe()));
        let control = metrics.control.clone();
        let events = Events::start(client.clone(), plan.identity.clone(), control.clone());
        tokio::spawn(status::run(
            client.clone(),
            outlook.reports,
            leads.clone(),
            events.clone(),
            control.clone(),
        ));
        tokio::spawn(reports::run(
            client.clone(),
            outlook.settings.clone(),
            leads.clone(),
            control.clone(),
        ));
        tokio::spawn(retention::run(
            client.clone(),
            outlook.settings,
            leads.clone(),
            control.clone(),
        ));
        let fetcher = Fetcher::new(client.clone(), control);
        let fetch: Fetch = Arc::new(move |name: &str| -> Fetched {
            Box::pin(fetcher.clone().fetch(name.to_owned()))
        });
        Self {
            fetch: Some(fetch),
            rejected: plan.events.then(|| told_as_events(events)),
            leads,
            failed,
            stop,
            lease: Some(lease),
        }
    }

    /// Until a signal to end, or a fault.
    pub(super) async fn until_the_end(&self) -> Result<(), String> {
        let mut failed = self.failed.clone();
        let fault = async {
            match failed.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = interrupted() => Ok(()),
            reason = fault => {
                tracing::error!(reason, "the control road ended");
                Err(reason)
            }
        }
    }

    /// Gives the lease back.
    pub(super) async fn release(self) {
        self.stop.send_replace(true);
        if let Some(lease) = self.lease {
            let _ = tokio::time::timeout(Duration::from_secs(5), lease).await;
        }
    }
}

/// Until SIGTERM or SIGINT.
pub(super) async fn interrupted() {
    let interrupt = async { drop(tokio::signal::ctrl_c().await) };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! { () = interrupt => {}, _ = terminate.recv() => {} }
            return;
        }
    }
    interrupt.await;
}

/// Waits, unless a second signal says that there is no time.
pub(super) async fn wait(duration: Duration) {
    let _ = tokio::time::timeout(duration, interrupted()).await;
}

fn ready(parts: &mut Parts) -> Ready {
    let program = watch::Sender::new(Some("it waits for every first list".to_owned()));
    let why_not = program.subscribe();
    parts.check("program", move || why_not.borrow().clone().map_or(Ok(()), Err));
    Ready {
        program,
        policies: parts.shelf("policies"),
        namespaces: parts.shelf("namespaces"),
        scans: parts.shelf("scans"),
        exceptions: parts.shelf("exceptions"),
        settings: parts.shelf("settings"),
    }
}

type Kept = (mpsc::Sender<Change>, watch::Receiver<Option<String>>, Outlook);

fn keep(
    plan: &Plan,
    metrics: &Metrics,
    snapshot: &Arc<ArcSwapOption<Snapshot>>,
    ready: Ready,
) -> Kept {
    let policies = Policies::new(plan.on_invalid);
    let (keeper, outlook) = Keeper::new(policies, ready, metrics.control.clone());
    let (changes, told) = mpsc::channel(CHANGES_MAX);
    let (failing, failed) = watch::channel(None);
    let snapshot = Arc::clone(snapshot);
    let publish = move |shelves: Shelves| {
        let Shelves { policies, namespaces, scans, generation } = shelves;
        let new = Snapshot { policies, namespaces, scans, generation };
        let old = snapshot.swap(Some(Arc::new(new)));
        tokio::task::spawn_blocking(move || old.map(free));
    };
    tokio::spawn(async move {
        if let Err(reason) = keeper.run(told, publish).await {
            failing.send_replace(Some(reason));
        }
    });
    (changes, failed, outlook)
}

/// Frees what was replaced once no request reads it any more: a request that was the last to hold
/// a large set would be held up for the milliseconds that this takes.
fn free(mut old: Arc<Snapshot>) {
    // A request reads it for microseconds; one that was put aside for seconds may free it itself.
    for _ in 0..5_000 {
        match Arc::try_unwrap(old) {
            Ok(_) => return,
            Err(read) => old = read,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One feed for each shelf.
fn feeds(client: &Client, metrics: &Metrics, ready: &Ready, changes: &mpsc::Sender<Change>) {
    let start = |name, path: &str, page, ready: &Flag, tag: fn(_) -> Change| {
        let feed = Feed {
            name,
            path: path.to_owned(),
            metadata_only: name == "namespaces",
            optional: false,
            page,
            ready: ready.clone(),
            metrics: metrics.control.clone(),
        };
        tokio::spawn(feed.run(client.clone(), changes.clone(), tag));
    };
    let policies = "/apis/containersecurity.tigera.io/v1beta1/containeradmissionpolicies";
    start("policies", policies, 200, &ready.policies, Change::Policy);
    start("namespaces", "/api/v1/namespaces", 500, &ready.namespaces, Change::Namespace);
    // Up to a megabyte each: few at a time.
    start("scans", "/apis/caapc.dev/v1alpha1/imagescans", 50, &ready.scans, Change::Scan);
    let exceptions = "/apis/caapc.dev/v1alpha1/vulnerabilityexceptions";
    start("exceptions", exceptions, 500, &ready.exceptions, Change::Exception);
    let settings = "/apis/caapc.dev/v1alpha1/imageassurancesettings";
    start("settings", settings, 50, &ready.settings, Change::Settings);
}

fn told_as_events(events: Events) -> Rejected {
    Arc::new(move |rejection: Rejection| {
        let (api_version, kind) = events::kind_of(&rejection.resource);
        let reason = match rejection.action {
            "reject" => "ImageRejected",
            _ => "ImageWouldBeRejected",
        };
        events.send(Note {
            namespace: rejection.namespace,
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: rejection.name,
            uid: String::new(),
            reason,
            message: rejection.message,
        });
    })
}
