//! The watches against a stand-in for the API server: what it tells reaches the shelf, whatever
//! happens on the way.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use caapc::telemetry::health::Parts;
use caapc::telemetry::metrics::Metrics;
use caapc::watch::feed::{Event, Feed};
use serde_json::json;
use support::apiserver::ApiServer;
use support::eventually;
use tokio::sync::mpsc;

const NAMESPACES: &str = "/api/v1/namespaces";

/// What a shelf would hold: applied with the rules of the feed's invariants.
#[derive(Clone, Default)]
struct Mirror(Arc<Mutex<Mirrored>>);

#[derive(Default)]
struct Mirrored {
    objects: BTreeMap<String, String>,
    listing: Option<Vec<String>>,
    smallest_while_listing: usize,
}

impl Mirror {
    fn apply(&self, event: Event) {
        let mut m = self.0.lock().unwrap();
        match event {
            Event::Begin => m.listing = Some(Vec::new()),
            Event::Apply(object) => {
                let key = object.meta.key();
                if let Some(listing) = &mut m.listing {
                    listing.push(key.clone());
                }
                let team = object.meta.labels.get("team").cloned().unwrap_or_default();
                m.objects.insert(key, team);
                m.smallest_while_listing = m.smallest_while_listing.min(m.objects.len());
            }
            Event::Delete(key) => drop(m.objects.remove(&key)),
            Event::Complete => {
                let listed = m.listing.take().unwrap_or_default();
                m.objects.retain(|key, _| listed.contains(key));
            }
        }
    }

    fn team(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap().objects.get(name).cloned()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().objects.len()
    }
}

fn namespace(name: &str, team: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": team}}})
}

async fn start(server: &ApiServer) -> (Mirror, Metrics) {
    let metrics = Metrics::new();
    let mut parts = Parts::default();
    let ready = parts.shelf("namespaces");
    let feed = Feed {
        name: "namespaces",
        path: NAMESPACES.to_owned(),
        metadata_only: true,
        optional: false,
        page: 2,
        ready: ready.clone(),
        metrics: metrics.control.clone(),
    };
    let (sender, mut receiver) = mpsc::channel(16);
    tokio::spawn(feed.run(server.client(), sender, |event| event));
    let mirror = Mirror::default();
    let mirrored = mirror.clone();
    tokio::spawn(async move {
        while let Some(event) = receiver.recv().await {
            let complete = matches!(event, Event::Complete);
            mirrored.apply(event);
            if complete {
                ready.set();
            }
        }
    });
    let health = parts.finish();
    eventually("the first list", || health.is_ready()).await;
    (mirror, metrics)
}

#[tokio::test]
async fn pages_and_events_reach_the_shelf() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    for n in 0..7 {
        server.put(NAMESPACES, namespace(&format!("n{n}"), "a"));
    }
    let (mirror, _) = start(&server).await;
    eventually("seven namespaces", || mirror.len() == 7).await;
    assert!(server.seen(&["GET", "continue=6"]) > 0, "pages of two");
    server.put(NAMESPACES, namespace("n3", "b"));
    server.put(NAMESPACES, namespace("new", "c"));
    server.delete(NAMESPACES, "", "n0");
    eventually("all three changes", || {
        mirror.team("n3").as_deref() == Some("b")
            && mirror.team("new").is_some()
            && mirror.team("n0").is_none()
    })
    .await;
    assert_eq!(server.seen(&["GET", "continue=6"]), 1, "one list was enough");
}

#[tokio::test]
async fn a_cut_stream_goes_on_where_it_ended() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    server.put(NAMESPACES, namespace("a", "1"));
    let (mirror, _) = start(&server).await;
    for round in 2..5 {
        server.disconnect();
        server.delete(NAMESPACES, "", "a");
        server.put(NAMESPACES, namespace("a", &round.to_string()));
        eventually("the change after a cut", || mirror.team("a") == Some(round.to_string())).await;
    }
    let lists = server.seen(&["GET", "limit="]);
    assert_eq!(lists, 1, "taken up, not listed again");
}

#[tokio::test]
async fn gone_lists_again_and_removes_only_at_the_end() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    for n in 0..5 {
        server.put(NAMESPACES, namespace(&format!("n{n}"), "a"));
    }
    let (mirror, metrics) = start(&server).await;
    eventually("five namespaces", || mirror.len() == 5).await;
    mirror.0.lock().unwrap().smallest_while_listing = usize::MAX;
    server.delete_silently(NAMESPACES, "", "n1");
    server.compact();
    server.put(NAMESPACES, namespace("n9", "a"));
    server.compact();
    server.disconnect();
    eventually("the list after 410", || mirror.team("n9").is_some() && mirror.team("n1").is_none())
        .await;
    assert_eq!(mirror.len(), 5);
    assert!(mirror.0.lock().unwrap().smallest_while_listing >= 5, "removed before the end");
    let text = metrics.text();
    assert!(text.contains("caapc_watch_errors_total{shelf=\"namespaces\"}"), "{text}");
}

#[tokio::test]
async fn garbage_neither_stops_the_stream_nor_hides_a_delete() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    server.put(NAMESPACES, namespace("a", "1"));
    server.put(NAMESPACES, namespace("b", "1"));
    let (mirror, metrics) = start(&server).await;
    // Objects of a shape no schema has, but with a name: they are told as they are.
    server.garbage(
        NAMESPACES,
        r#"{"type":"ADDED","object":{"metadata":{"name":"odd","resourceVersion":"150","labels":7}}}"#,
    );
    eventually("the odd one", || mirror.team("odd").is_some()).await;
    // What cannot be read at all may have been a delete.
    for line in
        ["not json", "[]", r#"{"type":"NEW","object":{}}"#, r#"{"type":"DELETED","object":5}"#]
    {
        server.put(NAMESPACES, namespace("gone", "1"));
        eventually("the next one", || mirror.team("gone").is_some()).await;
        server.delete_silently(NAMESPACES, "", "gone");
        server.garbage(NAMESPACES, line);
        eventually("the lost delete", || mirror.team("gone").is_none()).await;
    }
    server.put(NAMESPACES, namespace("a", "2"));
    eventually("the stream goes on", || mirror.team("a").as_deref() == Some("2")).await;
    assert!(metrics.text().contains("caapc_malformed_objects_total{shelf=\"namespaces\"}"));
}

#[tokio::test]
async fn a_server_that_refuses_is_asked_again() {
    let server = ApiServer::start(&[NAMESPACES]).await;
    server.put(NAMESPACES, namespace("a", "1"));
    server.refuse(&[500, 403, 429]);
    let (mirror, _) = start(&server).await;
    eventually("the list in the end", || mirror.len() == 1).await;
    server.refuse(&[503, 410, 500]);
    server.disconnect();
    server.put(NAMESPACES, namespace("b", "1"));
    eventually("the watch in the end", || mirror.len() == 2).await;
}
