//! Kubernetes Events: what was rejected, in the namespace it was rejected in, and policies that do
//! not compile.
//!
//! Rate-limited over all, one for the same object and message in ten minutes, and never in the
//! way: what does not fit the queue is counted and dropped. Start at [`Events::send`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event as EventObject, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::feed::sentence;
use crate::telemetry::metrics::{Control, Fate};

/// Events that wait to be written.
const QUEUE_MAX: usize = 256;

/// Events in a row; after them one each [`REFILL`].
const BURST: u32 = 20;

/// How often one more event may be written.
const REFILL: Duration = Duration::from_millis(500);

/// The same event is not repeated within this time.
const REPEAT: Duration = Duration::from_secs(600);

/// Events that are remembered for that.
const REMEMBERED_MAX: usize = 1_024;

/// The API server takes 1 KiB of a note.
const NOTE_BYTES_MAX: usize = 1_000;

/// One event to be written. Texts must have no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// The namespace to write it in.
    pub namespace: String,
    /// The object it is about.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid, if there is one yet.
    pub uid: String,
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence or several.
    pub message: String,
}

/// Where events are handed in. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Events {
    queue: Sender<Note>,
    metrics: Control,
}

impl Events {
    /// A queue and the task that empties it.
    pub fn start(client: Client, reporter: String, metrics: Control) -> Self {
        let (queue, notes) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write_all(client, reporter, notes, metrics.clone()));
        Self { queue, metrics }
    }

    /// Hands an event in; never waits.
    pub fn send(&self, note: Note) {
        if self.queue.try_send(note).is_err() {
            count(&self.metrics, "limited");
        }
    }
}

fn count(metrics: &Control, outcome: &'static str) {
    metrics.events.get_or_create(&Fate { outcome }).inc();
}

async fn write_all(client: Client, reporter: String, mut notes: Receiver<Note>, metrics: Control) {
    let mut bucket = Bucket::full();
    let mut written: HashMap<Note, Instant> = HashMap::new();
    while let Some(note) = notes.recv().await {
        written.retain(|_, at| at.elapsed() < REPEAT);
        let known = written.contains_key(&note) || written.len() >= REMEMBERED_MAX;
        if known || !bucket.take() {
            count(&metrics, "limited");
            continue;
        }
        written.insert(note.clone(), Instant::now());
        let api: Api<EventObject> = Api::namespaced(client.clone(), &note.namespace);
        let event = event(&note, &reporter);
        let params = PostParams::default();
        let write = api.create(&params, &event);
        let write = tokio::time::timeout(Duration::from_secs(5), write).await;
        match write {
            Ok(Ok(_)) => count(&metrics, "sent"),
            Ok(Err(error)) => {
                count(&metrics, "failed");
                tracing::debug!(reason = sentence(&error), "an event could not be written");
            }
            Err(_) => count(&metrics, "failed"),
        }
    }
}

fn event(note: &Note, reporter: &str) -> EventObject {
    let now = Time(Timestamp::now());
    let mut end = note.message.len().min(NOTE_BYTES_MAX);
    while !note.message.is_char_boundary(end) {
        end -= 1;
    }
    EventObject {
        metadata: ObjectMeta {
            generate_name: Some("caapc-".to_owned()),
            namespace: Some(note.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(note.api_version.clone()),
            kind: Some(note.kind.clone()),
            name: Some(note.name.clone()),
            // An event must be in the namespace of what it is about; a cluster-scoped object's
            // is in `default` without one.
            namespace: Some(note.namespace.clone()).filter(|_| note.uid.is_empty()),
            uid: Some(note.uid.clone()).filter(|uid| !uid.is_empty()),
            ..ObjectReference::default()
        },
        reason: Some(note.reason.to_owned()),
        message: note.message.get(..end).map(str::to_owned),
        type_: Some("Warning".to_owned()),
        action: Some("Admission".to_owned()),
        count: Some(1),
        first_timestamp: Some(now.clone()),
        last_timestamp: Some(now),
        reporting_component: Some("caapc".to_owned()),
        reporting_instance: Some(reporter.to_owned()),
        source: Some(EventSource { component: Some("caapc".to_owned()), host: None }),
        ..EventObject::default()
    }
}

/// A token bucket.
struct Bucket {
    tokens: u32,
    filled: Instant,
}

impl Bucket {
    fn full() -> Self {
        Self { tokens: BURST, filled: Instant::now() }
    }

    fn take(&mut self) -> bool {
        let due = self.filled.elapsed().as_millis() / REFILL.as_millis();
        if let Ok(due) = u32::try_from(due)
            && due > 0
        {
            self.tokens = self.tokens.saturating_add(due).min(BURST);
            self.filled = Instant::now();
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}

/// The kind behind a resource that is evaluated: `apps/deployments` is a `Deployment`.
pub fn kind_of(resource: &str) -> (&'static str, &'static str) {
    match resource {
        "pods" => ("v1", "Pod"),
        "replicationcontrollers" => ("v1", "ReplicationController"),
        "apps/deployments" => ("apps/v1", "Deployment"),
        "apps/replicasets" => ("apps/v1", "ReplicaSet"),
        "apps/statefulsets" => ("apps/v1", "StatefulSet"),
        "apps/daemonsets" => ("apps/v1", "DaemonSet"),
        "batch/jobs" => ("batch/v1", "Job"),
        "batch/cronjobs" => ("batch/v1", "CronJob"),
        _ => ("v1", "Namespace"),
    }
}
