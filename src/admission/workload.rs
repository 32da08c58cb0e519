//! The kinds that create pods: how a request names them and where each keeps its pod template.
//!
//! It reads no JSON. `request.resource` decides what an object is, never the `kind` inside it
//! (spec: webhook, "Which objects are evaluated"). Start at [`Workload::of_resource`].

/// A built-in kind whose containers are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Workload {
    /// A Pod itself.
    Pod,
    /// Core ReplicationController.
    ReplicationController,
    /// `apps` ReplicaSet.
    ReplicaSet,
    /// `apps` Deployment.
    Deployment,
    /// `apps` StatefulSet.
    StatefulSet,
    /// `apps` DaemonSet.
    DaemonSet,
    /// `batch` Job.
    Job,
    /// `batch` CronJob.
    CronJob,
}

impl Workload {
    /// Every kind, in the order of the contract's tables.
    pub const ALL: [Self; 8] = [
        Self::Pod,
        Self::ReplicationController,
        Self::ReplicaSet,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::CronJob,
    ];

    /// The kind's name.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::ReplicationController => "ReplicationController",
            Self::ReplicaSet => "ReplicaSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }

    /// The plural that a request's `resource` carries.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::ReplicationController => "replicationcontrollers",
            Self::ReplicaSet => "replicasets",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::Job => "jobs",
            Self::CronJob => "cronjobs",
        }
    }

    /// The API group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Pod | Self::ReplicationController => "",
            Self::ReplicaSet | Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps",
            Self::Job | Self::CronJob => "batch",
        }
    }

    /// The fields that lead from the object to its pod spec.
    pub const fn pod_spec_path(self) -> &'static [&'static str] {
        match self {
            Self::Pod => &["spec"],
            Self::CronJob => &["spec", "jobTemplate", "spec", "template", "spec"],
            _ => &["spec", "template", "spec"],
        }
    }

    /// The kind that a group and a plural name, in any version: old versions arrive
    /// unconverted and have the same shape. `extensions` is where Deployment, DaemonSet and
    /// ReplicaSet lived before `apps`; no custom resource can be in a group without a dot.
    pub fn of_resource(group: &str, resource: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.resource() == resource && kind.is_in(group))
    }

    /// The kind that an `apiVersion` and a `kind` name, as in a manifest or an owner reference.
    pub fn of_kind(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self::ALL.into_iter().find(|workload| workload.kind() == kind && workload.is_in(group))
    }

    /// Whether an object of this kind makes the pods of others: all but a Pod.
    pub fn owns_pods(self) -> bool {
        self != Self::Pod
    }

    fn is_in(self, group: &str) -> bool {
        group == self.group()
            || (group == "extensions"
                && matches!(self, Self::Deployment | Self::DaemonSet | Self::ReplicaSet))
    }
}

/// Whether a user is one of the built-in controllers that create the children of workloads
/// (spec: webhook, "Which objects are evaluated").
pub fn is_controller(user: &str) -> bool {
    const CONTROLLERS: [&str; 7] = [
        "deployment-controller",
        "replicaset-controller",
        "statefulset-controller",
        "daemon-set-controller",
        "job-controller",
        "cronjob-controller",
        "replication-controller",
    ];
    user == "system:kube-controller-manager"
        || user
            .strip_prefix("system:serviceaccount:kube-system:")
            .is_some_and(|name| CONTROLLERS.contains(&name))
}

/// Whether a user is the garbage collector, which edits owner references.
pub fn is_garbage_collector(user: &str) -> bool {
    user == "system:serviceaccount:kube-system:generic-garbage-collector"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_plural_decide() {
        for kind in Workload::ALL {
            assert_eq!(Workload::of_resource(kind.group(), kind.resource()), Some(kind));
        }
        assert_eq!(Workload::of_resource("batch.volcano.sh", "jobs"), None);
        assert_eq!(Workload::of_resource("", "deployments"), None);
        assert_eq!(Workload::of_resource("apps", "pods"), None);
        assert_eq!(Workload::of_resource("extensions", "deployments"), Some(Workload::Deployment));
        assert_eq!(Workload::of_resource("extensions", "jobs"), None);
    }

    #[test]
    fn an_owner_is_known_by_group_and_kind() {
        assert_eq!(Workload::of_kind("apps/v1", "ReplicaSet"), Some(Workload::ReplicaSet));
        assert_eq!(
            Workload::of_kind("v1", "ReplicationController"),
            Some(Workload::ReplicationController)
        );
        assert_eq!(Workload::of_kind("batch/v1beta1", "CronJob"), Some(Workload::CronJob));
        assert_eq!(Workload::of_kind("argoproj.io/v1alpha1", "Rollout"), None);
        assert_eq!(Workload::of_kind("v1", "ReplicaSet"), None);
    }

    #[test]
    fn controllers_are_exact_names() {
        assert!(is_controller("system:kube-controller-manager"));
        assert!(is_controller("system:serviceaccount:kube-system:daemon-set-controller"));
        assert!(!is_controller("system:serviceaccount:default:replicaset-controller"));
        assert!(!is_controller("system:serviceaccount:kube-system:replicaset-controller-x"));
        assert!(!is_controller("system:serviceaccount:kube-system:generic-garbage-collector"));
        assert!(!is_controller("replicaset-controller"));
    }
}
