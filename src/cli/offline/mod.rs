//! What `eval` and `test` share: objects and facts from files, decided on the request road.
//!
//! Start at [`Court`].

pub mod facts;
pub mod objects;
pub mod report;

use std::collections::BTreeSet;
use std::sync::Arc;

use caapc_vm::facts::Timestamp;

use self::facts::Labels;
use self::objects::Item;
use super::io::{Failure, shown, tell};
use crate::admission::options::{MissingNamespace, Options};
use crate::admission::{Answer, Snapshot, Worker, answer};
use crate::namespaces::{Namespace, Namespaces};
use crate::policy_set::PolicySet;
use crate::scan::ScanShelf;

/// All that decides an object, without a cluster.
#[derive(Debug)]
pub struct Court {
    snapshot: Snapshot,
    options: Options,
    now: Timestamp,
    namespace_labels: Option<Labels>,
    worker: Worker,
}

impl Court {
    /// Sits with these policies and facts. With `namespace_labels`, a namespace that is not
    /// listed has those; without, it has its name labels alone.
    pub fn new(
        policies: PolicySet,
        namespaces: Namespaces,
        scans: ScanShelf,
        mut options: Options,
        now: Timestamp,
        namespace_labels: Option<Labels>,
    ) -> Self {
        options.missing_namespace = MissingNamespace::NameOnly;
        let snapshot = Snapshot {
            generation: policies.generation(),
            policies: Arc::new(policies),
            namespaces: Arc::new(namespaces),
            scans: Arc::new(scans),
        };
        Self { snapshot, options, now, namespace_labels, worker: Worker::new() }
    }

    /// The shelves it sees.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The time it decides at.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Decides one object and hands the answer over.
    ///
    /// # Errors
    /// [`Failure::Input`] if the object is an AdmissionReview that cannot be read, or what
    /// `take` fails with.
    pub fn decide<T>(
        &mut self,
        item: &Item,
        take: impl FnOnce(&Snapshot, &Answer<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(labels) = &self.namespace_labels
            && !item.namespace.is_empty()
            && self.snapshot.namespaces.find(&item.namespace).is_none()
        {
            let labels = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let namespace = Namespace::new(&item.namespace, labels);
            self.snapshot.namespaces = Arc::new(self.snapshot.namespaces.with(namespace));
        }
        let Self { snapshot, options, now, worker, .. } = self;
        let answer = answer(worker, snapshot, options, *now, &item.body);
        if answer.decided.is_none() {
            let sentence = format!("{}: {}", shown(&item.source), answer.reason);
            return Err(Failure::Input(sentence));
        }
        take(snapshot, &answer)
    }
}

/// Tells the warnings of answers on standard error, each once.
#[derive(Debug, Default)]
pub struct Warnings(BTreeSet<String>);

impl Warnings {
    /// Tells those of an answer that were not told yet.
    pub fn tell(&mut self, answer: &Answer<'_>) {
        for warning in answer.warnings.lines() {
            if self.0.insert(warning.to_owned()) {
                tell(format_args!("caapc: warning: {}", shown(warning)));
            }
        }
    }
}
