//! trivy-operator's reports, made into `ImageScan`s by the leader (spec: scan, "Sources").
//!
//! Only while the settings say `trivyOperator: Trust`, because whoever may write such a report
//! decides for the whole cluster; and only while this replica leads. The kind may be installed
//! later. A report that goes leaves its `ImageScan`. Start at [`run`].

use std::sync::Arc;
use std::time::Duration;

use caapc_vm::facts::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::{mpsc, watch};

use super::feed::{Event, Feed, sentence};
use super::loose::Loose;
use crate::api::{ImageAssuranceSettingsSpec, ImageScan, ImageScanSpec, TrivyOperator};
use crate::scan::report::{self, Reading};
use crate::telemetry::metrics::{Control, Fate, Shelf};

const PATH: &str = "/apis/aquasecurity.github.io/v1alpha1/vulnerabilityreports";

/// Reports may be large: few are held at the same time.
const PAGE: u32 = 20;

/// Tries to write one scan; another writer may be faster.
const TRIES: u32 = 5;

/// A scan that could not be written is tried again after this, as part of a new list.
const RETRY: Duration = Duration::from_secs(30);

/// How far the clocks of the cluster may be apart.
const SKEW_SECS: i64 = 300;

/// Writes scans from reports whenever that is wanted.
pub async fn run(
    client: Client,
    mut settings: watch::Receiver<Arc<ImageAssuranceSettingsSpec>>,
    mut leads: watch::Receiver<bool>,
    metrics: Control,
) {
    loop {
        let trusted = settings.borrow_and_update().trivy_operator == Some(TrivyOperator::Trust);
        let wanted = trusted && *leads.borrow_and_update();
        let work = async {
            if wanted {
                follow(&client, &metrics).await;
                tokio::time::sleep(RETRY).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        // What is under way is dropped when it is no longer wanted.
        let goes_on = tokio::select! {
            () = work => true,
            changed = settings.changed() => changed.is_ok(),
            changed = leads.changed() => changed.is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}

/// Until a scan cannot be written; then everything is listed again.
async fn follow(client: &Client, metrics: &Control) {
    let (sender, mut events) = mpsc::channel(4);
    let feed = Feed {
        name: "reports",
        path: PATH.to_owned(),
        metadata_only: false,
        optional: true,
        page: PAGE,
        ready: crate::telemetry::health::Flag::default(),
        metrics: metrics.clone(),
    };
    let api: Api<ImageScan> = Api::all(client.clone());
    let feeding = feed.run(client.clone(), sender, |event| event);
    let writing = async {
        while let Some(event) = events.recv().await {
            if let Event::Apply(object) = event
                && !take(&api, &object, metrics).await
            {
                return;
            }
        }
    };
    tokio::select! { () = feeding => {}, () = writing => {} }
}

/// Writes what a report says; `false`: it must be tried again.
async fn take(api: &Api<ImageScan>, object: &Loose, metrics: &Control) -> bool {
    // One without a time would look new at each list; one from the future would never go stale.
    let latest = super::now().plus_secs(SKEW_SECS);
    let reading = Reading { image: None, undated: None, latest: Some(latest) };
    let key = object.meta.key();
    let reports = match report::read_slice(object.raw.get().as_bytes(), &reading) {
        Ok(reports) => reports,
        Err(fault) => {
            metrics.malformed.get_or_create(&Shelf { shelf: "reports" }).inc();
            let reason = fault.to_string();
            tracing::warn!(report = key, reason, "a vulnerability report cannot be used");
            return true;
        }
    };
    for report in reports {
        let written = write(api, report.spec, latest).await;
        let outcome = if written.is_ok() { "written" } else { "failed" };
        metrics.leader_writes.get_or_create(&Fate { outcome }).inc();
        if let Err(reason) = written {
            tracing::warn!(report = key, reason, "a scan could not be written and will be again");
            return false;
        }
    }
    true
}

/// Creates the scan, or puts it in the place of an older one.
async fn write(api: &Api<ImageScan>, spec: ImageScanSpec, latest: Timestamp) -> Result<(), String> {
    let name = report::object_name(&spec);
    let params = PostParams::default();
    for _ in 0..TRIES {
        let stored = api.get_opt(&name).await.map_err(|error| sentence(&error))?;
        let result = match stored {
            None => {
                let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                api.create(&params, &ImageScan { metadata, spec: spec.clone() }).await
            }
            Some(stored) => {
                let Some(spec) = report::supersede(&stored.spec, spec.clone(), latest) else {
                    return Ok(());
                };
                if spec == stored.spec {
                    return Ok(());
                }
                // The resourceVersion makes this fail if another writer was faster.
                api.replace(&name, &params, &ImageScan { spec, ..stored }).await
            }
        };
        match result {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(sentence(&error)),
        }
    }
    Err("other writers were faster each time".to_owned())
}
