//! Deletes `ImageScan`s that newer ones have superseded for long enough (spec: scan, "Where
//! results live"). Only the leader does. Start at [`run`]; [`superseded`] is pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use caapc_vm::facts::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::core::{ObjectList, Request};
use serde::Deserialize;
use tokio::sync::watch;

use super::feed::sentence;
use super::loose::Loose;
use crate::api::{ImageAssuranceSettingsSpec, ImageScan, StoredState};
use crate::scan::parse_time;
use crate::telemetry::metrics::{Control, Fate};

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(3600);

/// How soon after the beginning of a leadership.
const FIRST: Duration = Duration::from_secs(60);

/// Days, where the settings do not say.
const DAYS_DEFAULT: u32 = 30;

const DAY_SECS: i64 = 86_400;

/// What is needed of a scan to know whether it is superseded.
#[derive(Clone, Debug)]
pub struct Held {
    /// The object.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
    /// Names it was scanned by.
    pub references: Vec<String>,
    /// Its platform.
    pub platform: String,
    /// When it was scanned.
    pub at: Timestamp,
    /// Whether it is a result: what is none takes no result's place.
    pub scanned: bool,
}

/// The scans that newer ones of the same platform have superseded for all their references, and
/// the last of them at least `days` ago. A scan without references is never superseded.
pub fn superseded(scans: &[Held], now: Timestamp, days: u32) -> Vec<&Held> {
    let mut times: HashMap<(&str, &str), Vec<Timestamp>> = HashMap::new();
    for scan in scans.iter().filter(|scan| scan.scanned) {
        for reference in &scan.references {
            times.entry((reference, &scan.platform)).or_default().push(scan.at);
        }
    }
    times.values_mut().for_each(|times| times.sort_unstable());
    let bound = now.plus_secs(-i64::from(days) * DAY_SECS);
    let is_old = |scan: &&Held| {
        !scan.references.is_empty()
            && scan.references.iter().all(|reference| {
                let times = times.get(&(reference.as_str(), scan.platform.as_str()));
                let next = times.and_then(|times| times.iter().find(|&&at| at > scan.at));
                next.is_some_and(|&next| next <= bound)
            })
    };
    scans.iter().filter(is_old).collect()
}

/// Deletes what is superseded, now and then, while this replica leads.
pub async fn run(
    client: Client,
    settings: watch::Receiver<Arc<ImageAssuranceSettingsSpec>>,
    mut leads: watch::Receiver<bool>,
    metrics: Control,
) {
    let mut wait = FIRST;
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = leads.changed() => {
                if changed.is_err() {
                    return;
                }
                wait = FIRST;
                continue;
            }
        }
        wait = INTERVAL;
        let days = settings.borrow().retention_days.unwrap_or(DAYS_DEFAULT);
        if let Err(reason) = sweep(&client, days, &metrics).await {
            tracing::warn!(reason, "superseded scans could not be looked for");
        }
    }
}

async fn sweep(client: &Client, days: u32, metrics: &Control) -> Result<(), String> {
    let scans = held(client).await?;
    let api: Api<ImageScan> = Api::all(client.clone());
    for scan in superseded(&scans, super::now(), days) {
        let params = DeleteParams {
            // Whatever came in between makes this fail, which is as it should be.
            preconditions: Some(Preconditions {
                uid: Some(scan.uid.clone()),
                resource_version: Some(scan.resource_version.clone()),
            }),
            ..DeleteParams::default()
        };
        let outcome = match api.delete(&scan.name, &params).await {
            Ok(_) => "written",
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => continue,
            Err(error) => {
                tracing::warn!(scan = scan.name, reason = sentence(&error), "not deleted");
                "failed"
            }
        };
        metrics.leader_writes.get_or_create(&Fate { outcome }).inc();
    }
    Ok(())
}

async fn held(client: &Client) -> Result<Vec<Held>, String> {
    let mut scans = Vec::new();
    let mut params = ListParams::default().limit(50);
    loop {
        let request = Request::new("/apis/caapc.dev/v1alpha1/imagescans").list(&params);
        let request = request.map_err(|error| error.to_string())?;
        let page: ObjectList<Loose> =
            client.request(request).await.map_err(|error| sentence(&error))?;
        scans.extend(page.items.into_iter().filter_map(read));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(scans),
        }
    }
}

fn read(object: Loose) -> Option<Held> {
    #[derive(Deserialize)]
    struct Whole {
        spec: Spec,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec {
        #[serde(default)]
        references: Vec<String>,
        #[serde(default)]
        platform: Option<String>,
        #[serde(default)]
        state: StoredState,
        scanned_at: String,
    }
    let Whole { spec } = serde_json::from_str(object.raw.get()).ok()?;
    Some(Held {
        name: object.meta.name,
        uid: object.meta.uid,
        resource_version: object.meta.resource_version,
        references: spec.references,
        platform: spec.platform.unwrap_or_else(|| "linux/amd64".to_owned()),
        at: parse_time(&spec.scanned_at).ok()?,
        scanned: spec.state == StoredState::Scanned,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(name: &str, day: i64, references: &[&str]) -> Held {
        Held {
            name: name.to_owned(),
            uid: String::new(),
            resource_version: String::new(),
            references: references.iter().map(|text| (*text).to_owned()).collect(),
            platform: "linux/amd64".to_owned(),
            at: Timestamp::from_secs(day * DAY_SECS),
            scanned: true,
        }
    }

    #[test]
    fn only_what_newer_scans_cover_for_long_enough_goes() {
        let arm = Held { platform: "linux/arm64".to_owned(), ..held("arm", 9, &["a:1"]) };
        let scans = [
            held("old", 0, &["a:1"]),
            held("two names, one left", 0, &["a:1", "b:1"]),
            held("newest of a:1", 10, &["a:1"]),
            held("digest alone", 0, &[]),
            held("newest of c:1", 0, &["c:1"]),
            Held { scanned: false, ..held("pending", 5, &["c:1"]) },
            arm,
        ];
        let names = |day: i64| -> Vec<String> {
            let now = Timestamp::from_secs(day * DAY_SECS);
            superseded(&scans, now, 30).into_iter().map(|scan| scan.name.clone()).collect()
        };
        assert_eq!(names(39), Vec::<String>::new());
        assert_eq!(names(40), ["old"]);
        assert_eq!(names(4000), ["old"]);
    }
}
