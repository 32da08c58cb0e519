//! Which objects are evaluated: each sentence of the contract is a test here
//! (spec: webhook, "Which objects are evaluated").
//!
//! The only policy rejects whatever is evaluated, so that an allowed answer proves a skip.

mod reviews;

use caapc::admission::options::{OnUnknownKind, Options, OwnerSkip, UnchangedUpdates};
use caapc::admission::{Snapshot, Worker, answer};
use serde_json::{Value, json};

use self::reviews::{NOW, pod, review};

const REJECT_ALL: &str = "
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: reject-all}
spec: {rules: [{action: Reject}]}
";

fn shelves() -> Snapshot {
    reviews::snapshot(REJECT_ALL, &[("demo", &[])], &[])
}

/// `Reject` or `Allow` and why, in one line.
fn decide_with(options: &Options, review: &Value) -> String {
    let (mut worker, snapshot) = (Worker::new(), shelves());
    let body = review.to_string();
    let answer = answer(&mut worker, &snapshot, options, NOW, body.as_bytes());
    let (_, decision) = answer.decided.expect("a review");
    let response: Value = serde_json::from_slice(answer.body).expect("JSON");
    assert_eq!(response["response"]["allowed"], !decision.rejected, "{review}");
    let word = if decision.rejected { "Reject" } else { "Allow" };
    format!("{word} {}", decision.why.word())
}

#[track_caller]
fn check(review: &Value, expected: &str) {
    assert_eq!(decide_with(&Options::default(), review), expected, "{review}");
}

fn create(resource: (&str, &str), object: &Value) -> Value {
    review("admin", "CREATE", resource, object, &Value::Null)
}

/// An update by a user of a ReplicaSet.
fn update(user: &str, object: &Value, old: &Value) -> Value {
    review(user, "UPDATE", ("apps", "replicasets"), object, old)
}

fn replica_set(images: &[&str]) -> Value {
    json!({"metadata": {"name": "x"}, "spec": {"template": pod(images)}})
}

fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (above, name) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(above).expect("a place")[name] = value;
    object
}

fn owner(api_version: &str, kind: &str, controller: bool) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": "o", "uid": "1", "controller": controller}])
}

fn owned(object: &Value, api_version: &str, kind: &str) -> Value {
    with(object, "/metadata/ownerReferences", owner(api_version, kind, true))
}

fn ending(object: &Value) -> Value {
    with(object, "/metadata/deletionTimestamp", json!("2026-11-21T05:58:06Z"))
}

const RS_CONTROLLER: &str = "system:serviceaccount:kube-system:replicaset-controller";
const DEPLOYMENT_CONTROLLER: &str = "system:serviceaccount:kube-system:deployment-controller";
const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";
const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";

#[test]
fn every_kind_is_evaluated_where_it_keeps_its_pod_spec() {
    let template = json!({"spec": {"template": pod(&["a"])}});
    check(&create(("", "pods"), &pod(&["a"])), "Reject evaluated");
    for resource in [
        ("", "replicationcontrollers"),
        ("apps", "replicasets"),
        ("apps", "deployments"),
        ("apps", "statefulsets"),
        ("apps", "daemonsets"),
        ("batch", "jobs"),
    ] {
        check(&create(resource, &template), "Reject evaluated");
        check(&create(resource, &pod(&["a"])), "Reject fault");
    }
    let cron = json!({"spec": {"jobTemplate": template}});
    check(&create(("batch", "cronjobs"), &cron), "Reject evaluated");
    check(&create(("batch", "cronjobs"), &template), "Reject fault");
}

#[test]
fn a_pod_created_directly_is_evaluated() {
    check(&create(("", "pods"), &pod(&["a"])), "Reject evaluated");
    check(
        &review(
            "system:kube-controller-manager",
            "CREATE",
            ("", "pods"),
            &pod(&["a"]),
            &Value::Null,
        ),
        "Reject evaluated",
    );
}

#[test]
fn a_child_is_not_evaluated_again() {
    let child = owned(&pod(&["a"]), "apps/v1", "ReplicaSet");
    for user in [RS_CONTROLLER, "system:kube-controller-manager"] {
        check(&review(user, "CREATE", ("", "pods"), &child, &Value::Null), "Allow child");
    }
    for (api_version, kind) in [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "Job"),
        ("batch/v1", "CronJob"),
        ("batch/v1beta1", "CronJob"),
        ("v1", "ReplicationController"),
    ] {
        let child = owned(&pod(&["a"]), api_version, kind);
        check(&review(RS_CONTROLLER, "CREATE", ("", "pods"), &child, &Value::Null), "Allow child");
    }
}

#[test]
fn a_claimed_owner_does_not_help() {
    let child = owned(&pod(&["a"]), "apps/v1", "ReplicaSet");
    for user in [
        "admin",
        "",
        "replicaset-controller",
        COLLECTOR,
        "system:serviceaccount:demo:replicaset-controller",
    ] {
        check(&review(user, "CREATE", ("", "pods"), &child, &Value::Null), "Reject evaluated");
    }
    let by_controller =
        |object: &Value| review(RS_CONTROLLER, "CREATE", ("", "pods"), object, &Value::Null);
    // Not a controller reference, or not a kind that was evaluated itself.
    let loose =
        with(&pod(&["a"]), "/metadata/ownerReferences", owner("apps/v1", "ReplicaSet", false));
    check(&by_controller(&loose), "Reject evaluated");
    for (api_version, kind) in [
        ("argoproj.io/v1alpha1", "Rollout"),
        ("v1", "Pod"),
        ("v1", "ReplicaSet"),
        ("example.com/v1", "ReplicaSet"),
        ("v1", "Node"),
    ] {
        check(&by_controller(&owned(&pod(&["a"]), api_version, kind)), "Reject evaluated");
    }
}

#[test]
fn compat_skips_any_controller_owner() {
    let options = Options { owner_skip: OwnerSkip::Compat, ..Options::default() };
    let check =
        |review: &Value, expected: &str| assert_eq!(decide_with(&options, review), expected);
    check(&create(("", "pods"), &owned(&pod(&["a"]), "apps/v1", "ReplicaSet")), "Allow child");
    check(
        &create(("", "pods"), &owned(&pod(&["a"]), "argoproj.io/v1alpha1", "Rollout")),
        "Allow child",
    );
    check(&create(("", "pods"), &pod(&["a"])), "Reject evaluated");
    let loose =
        with(&pod(&["a"]), "/metadata/ownerReferences", owner("apps/v1", "ReplicaSet", false));
    check(&create(("", "pods"), &loose), "Reject evaluated");
    // An update still has to leave the images as they are.
    let (one, two) =
        (owned(&replica_set(&["a"]), "x.io/v1", "X"), owned(&replica_set(&["b"]), "x.io/v1", "X"));
    check(&update("admin", &one, &one), "Allow unchanged-child");
    check(&update("admin", &two, &one), "Reject evaluated");
}

#[test]
fn an_update_of_an_owned_object_is_skipped_if_owners_and_images_stay() {
    let rs = owned(&replica_set(&["a", "b"]), "apps/v1", "Deployment");
    let annotated = with(&rs, "/metadata/annotations", json!({"k": "v"}));
    let scaled = with(&rs, "/spec/replicas", json!(3));
    for new in [&rs, &annotated, &scaled] {
        check(&update("admin", new, &rs), "Allow unchanged-child");
    }
    let other = owned(&replica_set(&["a", "c"]), "apps/v1", "Deployment");
    check(&update("admin", &other, &rs), "Reject evaluated");
    check(&update(DEPLOYMENT_CONTROLLER, &other, &rs), "Reject evaluated");
    // An image less is not the same images either.
    check(
        &update("admin", &owned(&replica_set(&["a"]), "apps/v1", "Deployment"), &rs),
        "Reject evaluated",
    );
    // Claiming an owner in the update, or changing it.
    check(&update("admin", &rs, &replica_set(&["a", "b"])), "Reject evaluated");
    check(
        &update("admin", &owned(&replica_set(&["a", "b"]), "apps/v1", "StatefulSet"), &rs),
        "Reject evaluated",
    );
    // Objects of other owners were evaluated by nobody else.
    let rollout = owned(&replica_set(&["a"]), "argoproj.io/v1alpha1", "Rollout");
    check(&update("admin", &rollout, &rollout), "Reject evaluated");
}

#[test]
fn an_update_of_a_top_level_object_with_unchanged_images_is_evaluated_unless_switched() {
    let rs = replica_set(&["a"]);
    let annotated = with(&rs, "/metadata/annotations", json!({"k": "v"}));
    check(&update("admin", &annotated, &rs), "Reject evaluated");
    let options = Options { unchanged_updates: UnchangedUpdates::Allow, ..Options::default() };
    assert_eq!(decide_with(&options, &update("admin", &annotated, &rs)), "Allow unchanged-images");
    assert_eq!(
        decide_with(&options, &update("admin", &replica_set(&["b"]), &rs)),
        "Reject evaluated"
    );
    assert_eq!(decide_with(&options, &create(("apps", "replicasets"), &rs)), "Reject evaluated");
}

#[test]
fn an_object_that_is_being_deleted_may_lose_its_finalizers() {
    let (rs, gone) = (replica_set(&["a", "b"]), ending(&replica_set(&["a", "b"])));
    check(&update("admin", &gone, &gone), "Allow ending");
    check(&update("admin", &ending(&replica_set(&["b"])), &gone), "Allow ending");
    // A new image, or a timestamp in the new object alone, counts for nothing.
    check(&update("admin", &ending(&replica_set(&["a", "c"])), &gone), "Reject evaluated");
    check(&update("admin", &gone, &rs), "Reject evaluated");
    check(&create(("apps", "replicasets"), &gone), "Reject evaluated");
}

#[test]
fn what_was_admitted_before_a_limit_existed_can_still_be_ended() {
    let long = "a".repeat(5000);
    let gone = ending(&replica_set(&[&long]));
    let finalized = with(&gone, "/metadata/finalizers", json!([]));
    check(&update("admin", &finalized, &gone), "Allow ending");
    check(&update("admin", &replica_set(&[&long]), &replica_set(&["a"])), "Reject fault");
}

#[test]
fn controllers_may_adopt_and_orphan() {
    let rs = replica_set(&["a", "b"]);
    let child = owned(&rs, "apps/v1", "Deployment");
    for user in [DEPLOYMENT_CONTROLLER, COLLECTOR, "system:kube-controller-manager"] {
        check(&update(user, &child, &rs), "Allow controller");
        check(&update(user, &rs, &child), "Allow controller");
        check(
            &update(user, &owned(&replica_set(&["a", "z"]), "apps/v1", "Deployment"), &rs),
            "Reject evaluated",
        );
    }
    check(
        &update("system:serviceaccount:kube-system:horizontal-pod-autoscaler", &child, &rs),
        "Reject evaluated",
    );
    let pod =
        with(&pod(&["a"]), "/metadata/finalizers", json!(["batch.kubernetes.io/job-tracking"]));
    let free = with(&pod, "/metadata/finalizers", json!([]));
    check(&review(JOB_CONTROLLER, "UPDATE", ("", "pods"), &free, &pod), "Allow controller");
}

#[test]
fn an_old_object_that_does_not_decode_excuses_nothing() {
    let child = owned(&replica_set(&["a"]), "apps/v1", "Deployment");
    for old in [json!([]), json!({}), json!({"spec": {"template": {"spec": []}}}), Value::Null] {
        check(&update("admin", &child, &old), "Reject evaluated");
        check(&update(COLLECTOR, &child, &old), "Reject evaluated");
    }
}

/// An update of `pods/ephemeralcontainers`.
fn debug(object: &Value, old: &Value) -> Value {
    let review = review(RS_CONTROLLER, "UPDATE", ("", "pods"), object, old);
    with(&review, "/request/subResource", json!("ephemeralcontainers"))
}

#[test]
fn of_ephemeral_containers_only_the_new_are_evaluated() {
    let ephemeral = |name: &str, image: &str| json!({"name": name, "image": image});
    let old = with(&pod(&["stale"]), "/spec/ephemeralContainers", json!([ephemeral("one", "x")]));
    let new = |list: Value| with(&old, "/spec/ephemeralContainers", list);
    check(&debug(&old, &old), "Allow nothing-new");
    check(
        &debug(&new(json!([ephemeral("one", "x"), ephemeral("two", "x")])), &old),
        "Reject evaluated",
    );
    // The same name with another image is another container.
    check(&debug(&new(json!([ephemeral("one", "y")])), &old), "Reject evaluated");
    // Owner skip does not apply, nor does the controller's.
    let child = owned(&new(json!([ephemeral("two", "x")])), "apps/v1", "ReplicaSet");
    check(&debug(&child, &owned(&old, "apps/v1", "ReplicaSet")), "Reject evaluated");
    // Without an old object everything is new.
    check(&debug(&old, &Value::Null), "Reject evaluated");
    let mut worker = Worker::new();
    let (snapshot, body) = (shelves(), debug(&child, &old).to_string());
    let answer = answer(&mut worker, &snapshot, &Options::default(), NOW, body.as_bytes());
    let (_, decision) = answer.decided.expect("a review");
    let names: Vec<&str> = decision.images.iter().map(|image| image.container.name).collect();
    assert_eq!(names, ["two"], "the stale main image is not asked again");
}

#[test]
fn other_subresources_and_operations_are_allowed_at_once() {
    let create = create(("", "pods"), &json!({"nonsense": []}));
    for sub in ["status", "scale", "binding", "eviction", "resize", "exec", "ephemeralcontainers2"]
    {
        check(&with(&create, "/request/subResource", json!(sub)), "Allow subresource");
    }
    let scale = with(&create, "/request/subResource", json!("ephemeralcontainers"));
    let scale =
        with(&scale, "/request/resource", json!({"group": "apps", "resource": "deployments"}));
    check(&scale, "Allow subresource");
    for operation in ["DELETE", "CONNECT"] {
        check(
            &review("admin", operation, ("", "pods"), &Value::Null, &pod(&["a"])),
            "Allow operation",
        );
    }
}

#[test]
fn the_resource_decides_what_an_object_is_not_its_kind() {
    let lying = with(&pod(&["a"]), "/metadata/x", json!(1));
    let lying = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": lying["metadata"], "spec": lying["spec"]});
    check(&create(("", "pods"), &lying), "Reject evaluated");
    let pod_like = json!({"kind": "Pod", "apiVersion": "v1", "spec": pod(&["a"])["spec"]});
    check(&create(("example.com", "pods"), &pod_like), "Allow unknown-kind");
}

#[test]
fn a_foreign_kind_is_allowed_with_a_warning_unless_switched() {
    let foreign = create(("batch.volcano.sh", "jobs"), &json!({"spec": {"tasks": []}}));
    check(&foreign, "Allow unknown-kind");
    let (mut worker, snapshot, body) = (Worker::new(), shelves(), foreign.to_string());
    let answer = answer(&mut worker, &snapshot, &Options::default(), NOW, body.as_bytes());
    assert_eq!(
        answer.warnings,
        "caapc does not know `jobs.batch.volcano.sh`: its container images were not checked"
    );
    let deny = Options { on_unknown_kind: OnUnknownKind::Deny, ..Options::default() };
    assert_eq!(decide_with(&deny, &foreign), "Reject unknown-kind");
    // Cluster-scoped objects are not in the rules.
    let cluster = with(&foreign, "/request/namespace", Value::Null);
    check(&cluster, "Allow cluster-scoped");
    assert_eq!(decide_with(&deny, &cluster), "Allow cluster-scoped");
}

#[test]
fn a_built_in_kind_that_does_not_decode_is_denied() {
    for object in [
        Value::Null,
        json!([]),
        json!({}),
        json!({"spec": 1}),
        json!({"spec": {"containers": [1]}}),
    ] {
        check(&create(("", "pods"), &object), "Reject fault");
    }
    check(
        &with(&create(("", "pods"), &pod(&["a"])), "/request/namespace", json!("")),
        "Reject fault",
    );
    let labels = with(&pod(&["a"]), "/metadata/labels", json!(["a"]));
    check(&create(("", "pods"), &labels), "Reject fault");
}

#[test]
fn dry_run_is_evaluated_identically() {
    let create = create(("", "pods"), &pod(&["a"]));
    check(&with(&create, "/request/dryRun", json!(true)), "Reject evaluated");
}

#[test]
fn old_versions_arrive_unconverted() {
    let cron = json!({"spec": {"jobTemplate": {"spec": {"template": pod(&["a"])}}}});
    let review = create(("batch", "cronjobs"), &cron);
    check(&with(&review, "/request/resource/version", json!("v1beta1")), "Reject evaluated");
    let deployment = json!({"spec": {"template": pod(&["a"])}});
    check(&create(("extensions", "deployments"), &deployment), "Reject evaluated");
}

#[test]
fn a_namespace_that_is_not_known_is_an_error_not_an_answer() {
    let review = with(&create(("", "pods"), &pod(&["a"])), "/request/namespace", json!("new"));
    let (mut worker, snapshot, body) = (Worker::new(), shelves(), review.to_string());
    let answer = answer(&mut worker, &snapshot, &Options::default(), NOW, body.as_bytes());
    assert_eq!((answer.code, answer.missing_namespace()), (500, Some("new")));
    let status: Value = serde_json::from_slice(answer.body).expect("JSON");
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["code"], 500);
    // What needs no namespace does not ask for one.
    let delete = with(&review, "/request/operation", json!("DELETE"));
    check(&delete, "Allow operation");
}
