//! What the leader writes of policies: the `Compiled` condition, and the last spec that compiled.
//!
//! Only what differs from what is there is written, so that a quiet cluster sees no writes, and
//! only by the leader. Start at [`run`]; [`desired`] is pure.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::events::{Events, Note};
use super::feed::sentence;
use super::policies::{Force, Report};
use crate::api::ContainerAdmissionPolicy;
use crate::telemetry::metrics::{Control, Fate};

/// How long the leader waits after a write that failed.
const RETRY: Duration = Duration::from_secs(5);

/// The status a policy should have, given the one it has; `None` if that is the same. Words and
/// conditions of others stay.
pub fn desired(report: &Report, now: &str) -> Option<Value> {
    let compiled = report.in_force == Force::Compiled;
    let (reason, state) = match report.in_force {
        Force::Compiled => ("Compiled", "Compiled"),
        Force::Stale => ("LastVersionInForce", "Invalid"),
        Force::Broken => ("DoesNotCompile", "Invalid"),
    };
    let word = if compiled { "True" } else { "False" };
    let ours = |condition: &Value| field(condition, "type") == Some("Compiled");
    let mut conditions = match report.status.get("conditions") {
        Some(Value::Array(conditions)) => conditions.clone(),
        _ => Vec::new(),
    };
    let before = conditions.iter().find(|condition| ours(condition));
    let since = before.filter(|before| field(before, "status") == Some(word));
    let since = since.and_then(|before| field(before, "lastTransitionTime")).unwrap_or(now);
    let condition = json!({
        "type": "Compiled",
        "status": word,
        "reason": reason,
        "message": report.message,
        "observedGeneration": report.generation,
        "lastTransitionTime": since,
    });
    match conditions.iter().position(ours) {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    let mut status = match &*report.status {
        Value::Object(status) => status.clone(),
        _ => serde_json::Map::new(),
    };
    status.insert("observedGeneration".to_owned(), report.generation.into());
    status.insert("state".to_owned(), state.into());
    status.insert("conditions".to_owned(), conditions.into());
    if compiled {
        status.insert("rules".to_owned(), report.rules.into());
        status.insert("lastCompiled".to_owned(), (*report.spec).clone());
    } else {
        status.entry("rules").or_insert_with(|| 0.into());
    }
    let status = Value::Object(status);
    (status != *report.status).then_some(status)
}

fn field<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.get(name)?.as_str()
}

/// A merge patch keeps what it does not name: fields that are gone must be named as null.
fn patch(report: &Report, mut status: Value) -> Value {
    let before = report.status.get("lastCompiled").and_then(Value::as_object);
    if let Some(after) = status.get_mut("lastCompiled").and_then(Value::as_object_mut) {
        for key in before.into_iter().flat_map(serde_json::Map::keys) {
            after.entry(key).or_insert(Value::Null);
        }
    }
    // The uid keeps the words of one object off another of the same name.
    json!({"metadata": {"uid": report.uid}, "status": status})
}

/// Writes what differs, whenever this replica leads, until nobody reports any more.
pub async fn run(
    client: Client,
    mut reports: watch::Receiver<Arc<Vec<Report>>>,
    mut leads: watch::Receiver<bool>,
    events: Events,
    metrics: Control,
) {
    let api: Api<ContainerAdmissionPolicy> = Api::all(client);
    loop {
        let mut failed = false;
        if *leads.borrow_and_update() {
            let current = Arc::clone(&reports.borrow_and_update());
            for report in current.iter() {
                if !*leads.borrow() {
                    break;
                }
                failed |= !write(&api, report, &events, &metrics).await;
            }
        } else {
            reports.mark_unchanged();
        }
        let again = async {
            if failed {
                tokio::time::sleep(RETRY).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let goes_on = tokio::select! {
            changed = reports.changed() => changed.is_ok(),
            changed = leads.changed() => changed.is_ok(),
            () = again => true,
        };
        if !goes_on {
            return;
        }
    }
}

async fn write(
    api: &Api<ContainerAdmissionPolicy>,
    report: &Report,
    events: &Events,
    metrics: &Control,
) -> bool {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let Some(status) = desired(report, &now) else { return true };
    if report.in_force != Force::Compiled {
        events.send(Note {
            namespace: "default".to_owned(),
            api_version: "containersecurity.tigera.io/v1beta1".to_owned(),
            kind: "ContainerAdmissionPolicy".to_owned(),
            name: report.name.clone(),
            uid: report.uid.clone(),
            reason: "DoesNotCompile",
            message: report.message.chars().filter(|&c| !c.is_control() || c == '\n').collect(),
        });
    }
    let patch = Patch::Merge(patch(report, status));
    let params = PatchParams::default();
    let patched = api.patch_status(&report.name, &params, &patch);
    let outcome = match tokio::time::timeout(Duration::from_secs(10), patched).await {
        Ok(Ok(_)) => "written",
        // It is gone, or another one: the watch will tell.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => "written",
        Ok(Err(error)) => {
            let (policy, reason) = (&report.name, sentence(&error));
            tracing::warn!(policy, reason, "the status of a policy could not be written");
            "failed"
        }
        Err(_) => "failed",
    };
    metrics.leader_writes.get_or_create(&Fate { outcome }).inc();
    outcome == "written"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(in_force: Force, spec: Value, status: Value) -> Report {
        Report {
            name: "p".to_owned(),
            uid: "u".to_owned(),
            generation: 3,
            in_force,
            message: "m".to_owned(),
            rules: 2,
            spec: Arc::new(spec),
            status: Arc::new(status),
        }
    }

    #[test]
    fn written_once_and_then_left_alone() {
        let spec = json!({"order": 1});
        let first = desired(&report(Force::Compiled, spec.clone(), Value::Null), "t1").unwrap();
        assert_eq!(first["lastCompiled"], spec);
        assert_eq!(first["conditions"][0]["lastTransitionTime"], "t1");
        assert_eq!(desired(&report(Force::Compiled, spec, first.clone()), "t2"), None);
        // What no longer compiles keeps what did, and the time of the change is new.
        let wrong = report(Force::Stale, json!({"order": "x"}), first);
        let second = desired(&wrong, "t3").unwrap();
        assert_eq!(second["lastCompiled"], json!({"order": 1}));
        assert_eq!(second["rules"], 2);
        assert_eq!(second["state"], "Invalid");
        assert_eq!(second["conditions"][0]["lastTransitionTime"], "t3");
    }

    #[test]
    fn words_of_others_stay_and_fields_that_are_gone_go() {
        let status = json!({
            "theirs": 1,
            "lastCompiled": {"order": 1, "selector": "all()"},
            "conditions": [{"type": "Ready", "status": "True"}],
        });
        let report = report(Force::Compiled, json!({"order": 2}), status);
        let status = desired(&report, "t").unwrap();
        assert_eq!(status["theirs"], 1);
        assert_eq!(status["conditions"][0]["type"], "Ready");
        let patch = patch(&report, status);
        assert_eq!(patch["status"]["lastCompiled"], json!({"order": 2, "selector": null}));
    }
}
