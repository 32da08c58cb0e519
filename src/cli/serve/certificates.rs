//! The certificate of `caapc serve`: from files, from a secret that the leader keeps, or made at
//! start. Start at [`Certificate`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::Client;
use notify::Watcher;
use tokio::sync::{Notify, watch};

use super::Listen;
use super::control::{self, Control};
use crate::cli::io::Failure;
use crate::install::certs::{Life, Pair};
use crate::install::rotate;
use crate::serve::selfsigned;
use crate::serve::tls::{Files, Tls};
use crate::telemetry::health::Parts;
use crate::telemetry::metrics::Metrics;

const CERT_DEFAULT: &str = "/certs/https/cert.pem";
const KEY_DEFAULT: &str = "/certs/https/key.pem";

/// Files are read this often, whatever the system tells; it also moves the metric.
const POLL: Duration = Duration::from_secs(10);

/// How often the secret is read, and what is due is done.
const TEND: Duration = Duration::from_secs(30);

/// How often a secret that is empty is looked at.
const WAIT: Duration = Duration::from_secs(1);

/// The certificate in use.
pub(super) struct Certificate {
    pub(super) tls: Arc<Tls>,
    /// The authority to trust, if it was made here.
    pub(super) made_ca: Option<PathBuf>,
}

impl Certificate {
    /// Given as files, or made in the folder.
    pub(super) fn local(listen: &Listen, folder: &Path) -> Result<Self, Failure> {
        if listen.tls_cert.is_some() {
            return Self::files(listen);
        }
        let at = folder.join("tls");
        let address = listen.address(true).ip();
        let (files, ca) = selfsigned::make(&at, address).map_err(|error| {
            Failure::Environment(format!(
                "a certificate cannot be made in {}: {error}; give one with --tls-cert and --tls-key",
                at.display()
            ))
        })?;
        let files = Files { client_ca: listen.client_ca.clone(), ..files };
        // The others were made just now.
        let tls =
            Tls::load(files).map_err(|error| Failure::Input(format!("--client-ca: {error}")))?;
        Ok(Self { tls: Arc::new(tls), made_ca: Some(ca) })
    }

    /// From the files of a mounted secret, or from the secret itself once the leader has made it.
    pub(super) async fn cluster(
        listen: &Listen,
        client: &Client,
        plan: &control::Plan,
        control: &Control,
    ) -> Result<Self, Failure> {
        let Some(secret) = &listen.certificate_secret else {
            return Self::files(listen);
        };
        let plan = rotate::Plan { secret: secret.clone(), ..rotate::Plan::new(&plan.namespace) };
        let leads = control.leads.clone();
        let pair = loop {
            if let Some(pair) = step(client, &plan, &leads).await {
                break pair;
            }
            tracing::info!(secret, "waiting for the leader to make a certificate");
            tokio::select! {
                () = tokio::time::sleep(WAIT) => {}
                () = control::interrupted() => {
                    return Err(Failure::Environment(
                        "ended before there was a certificate to serve with".to_owned(),
                    ));
                }
            }
        };
        let tls = Tls::from_pems(&pair.certificate, &pair.key, listen.client_ca.clone())
            .map_err(|error| Failure::Environment(error.to_string()))?;
        let tls = Arc::new(tls);
        tokio::spawn(keep_secret(client.clone(), plan, leads, Arc::clone(&tls)));
        Ok(Self { tls, made_ca: None })
    }

    fn files(listen: &Listen) -> Result<Self, Failure> {
        let path = |given: &Option<PathBuf>, default: &str| {
            given.clone().unwrap_or_else(|| PathBuf::from(default))
        };
        let files = Files {
            cert: path(&listen.tls_cert, CERT_DEFAULT),
            key: path(&listen.tls_key, KEY_DEFAULT),
            client_ca: listen.client_ca.clone(),
        };
        let given = listen.tls_cert.is_some();
        let tls = Tls::load(files).map_err(|error| {
            let help = if given { "" } else { "; give one with --tls-cert and --tls-key" };
            Failure::Input(format!("{error}{help}"))
        })?;
        Ok(Self { tls: Arc::new(tls), made_ca: None })
    }

    /// Reads changed files again, and makes expiry a metric and a part of readiness.
    pub(super) fn keep(&self, metrics: &Metrics, parts: &mut Parts) {
        let tls = Arc::clone(&self.tls);
        parts.check("certificate", move || {
            if tls.valid_at(SystemTime::now()) {
                Ok(())
            } else {
                Err("it has ended or not begun; replace it".to_owned())
            }
        });
        tokio::spawn(keep_files(Arc::clone(&self.tls), metrics.clone()));
    }
}

async fn keep_files(tls: Arc<Tls>, metrics: Metrics) {
    let changed = Arc::new(Notify::new());
    let told = Arc::clone(&changed);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            told.notify_one();
        }
    });
    let mut watcher = watcher.ok();
    for folder in tls.folders() {
        if let Some(watcher) = &mut watcher {
            // Where the system cannot watch, looking now and then is enough.
            let _ = watcher.watch(&folder, notify::RecursiveMode::NonRecursive);
        }
    }
    let mut failing = false;
    loop {
        let read = Arc::clone(&tls);
        let reloaded = tokio::task::spawn_blocking(move || read.reload()).await;
        match reloaded {
            Ok(Ok(true)) => {
                failing = false;
                tracing::info!(
                    not_after = tls.not_after(),
                    "another certificate or client CA is in use"
                );
            }
            Ok(Ok(false)) => failing = false,
            Ok(Err(error)) if !failing => {
                failing = true;
                metrics.certificate_failures.inc();
                tracing::error!(%error, "a certificate or client CA cannot be used; the last one stays");
            }
            Ok(Err(_)) | Err(_) => {}
        }
        metrics.certificate_expiry.set(tls.not_after() as f64);
        if tokio::time::timeout(POLL, changed.notified()).await.is_ok() {
            // Both files change, one after the other.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn keep_secret(
    client: Client,
    plan: rotate::Plan,
    mut leads: watch::Receiver<bool>,
    tls: Arc<Tls>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TEND) => {}
            changed = leads.changed() => if changed.is_err() { return },
        }
        let Some(pair) = step(&client, &plan, &leads).await else { continue };
        match tls.replace(&pair.certificate, &pair.key) {
            Ok(true) => {
                tracing::info!(not_after = tls.not_after(), "another certificate is in use");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the certificate cannot be used; the last one stays");
            }
        }
    }
}

/// What is to be served now; the leader first does what is due.
async fn step(client: &Client, plan: &rotate::Plan, leads: &watch::Receiver<bool>) -> Option<Pair> {
    let leading = *leads.borrow();
    let pair = if leading {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs() as i64);
        rotate::tend(client, plan, now, &Life::default()).await.map(|tended| {
            for change in &tended.changes {
                tracing::info!(change = change.sentence(), "tended the certificate");
            }
            tended.pair
        })
    } else {
        rotate::current(client, plan).await
    };
    pair.unwrap_or_else(|fault| {
        let reason = Failure::from(fault).to_string();
        tracing::warn!(reason, "the certificate could not be looked after");
        None
    })
}
