//! The policies as they come and go: each compiled when it changes, with what is said of it.
//!
//! INVARIANT (last good stays): a version that does not compile never replaces one that did, also
//! over a restart, when the object's own `status.lastCompiled` is what remains of it
//! (spec: policy, "A policy that does not compile"). Start at [`Policies::apply`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use caapc_compiler::check::{self, Limits};
use caapc_compiler::diagnostic::Diagnostic;
use caapc_compiler::link::{LinkError, Linker};
use caapc_compiler::policy::{Broken, Entry};
use caapc_compiler::set::{InForce, OnInvalid, Set};
use caapc_vm::listing;
use caapc_vm::program::Program;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::feed::Event;
use super::loose::Loose;
use crate::telemetry::metrics::{Control, Shelf};

/// The longest message of a condition, in bytes; the API server takes 32 KiB.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// What is said of one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`; empty in a folder.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Which version is in force.
    pub in_force: Force,
    /// Whether it compiles; the sentence for people.
    pub message: String,
    /// Rules in force.
    pub rules: usize,
    /// Its `spec`, which becomes `lastCompiled` if it compiles.
    pub spec: Arc<Value>,
    /// `status` as it was last seen.
    pub status: Arc<Value>,
}

/// Which version of a policy is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// The newest.
    Compiled,
    /// The last one that compiled.
    Stale,
    /// None.
    Broken,
}

impl Force {
    /// The label of the metric.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::Stale => "stale",
            Self::Broken => "broken",
        }
    }
}

/// All policies.
pub struct Policies {
    set: Set,
    known: BTreeMap<String, Report>,
    /// What a folder last said of each.
    read: HashMap<String, Arc<Entry>>,
    seen: Option<HashSet<String>>,
    limits: Limits,
    changed: bool,
}

impl Policies {
    /// No policies yet.
    pub fn new(on_invalid: OnInvalid) -> Self {
        Self {
            set: Set::new(on_invalid),
            known: BTreeMap::new(),
            read: HashMap::new(),
            seen: None,
            limits: Limits::default(),
            changed: true,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many are in each state.
    pub fn states(&self) -> [(&'static str, usize); 3] {
        [Force::Compiled, Force::Stale, Force::Broken].map(|force| {
            let these = self.known.values().filter(|report| report.in_force == force);
            (force.word(), these.count())
        })
    }

    /// What is said of each.
    pub fn reports(&self) -> Arc<Vec<Report>> {
        Arc::new(self.known.values().cloned().collect())
    }

    /// The program of all policies in force; `None` if nothing changed since the last one.
    ///
    /// # Errors
    /// If all of them together are too large.
    pub fn link(&mut self) -> Result<Option<Program>, LinkError> {
        if !self.changed {
            return Ok(None);
        }
        let program = self.set.link()?;
        self.changed = false;
        Ok(Some(program))
    }

    /// Takes what the watch tells.
    pub fn apply(&mut self, event: Event, metrics: &Control) {
        match event {
            Event::Begin => self.seen = Some(HashSet::new()),
            Event::Apply(object) => {
                if let Some(seen) = &mut self.seen {
                    seen.insert(object.meta.name.clone());
                }
                self.object(&object, metrics);
            }
            Event::Delete(name) => self.remove(&name),
            Event::Complete => {
                let Some(seen) = self.seen.take() else { return };
                let gone = self.known.keys().filter(|name| !seen.contains(*name));
                for name in gone.cloned().collect::<Vec<_>>() {
                    self.remove(&name);
                }
            }
        }
    }

    /// Takes all policies of a folder; of those that are shared with the time before, nothing is
    /// compiled again.
    pub fn replace(&mut self, entries: &[Arc<Entry>], metrics: &Control) {
        for entry in entries {
            let before = self.read.insert(entry.name().to_owned(), Arc::clone(entry));
            if before.is_some_and(|before| Arc::ptr_eq(&before, entry)) {
                continue;
            }
            let report = Report {
                name: entry.name().to_owned(),
                uid: String::new(),
                generation: 0,
                in_force: Force::Broken,
                message: String::new(),
                rules: 0,
                spec: Arc::default(),
                status: Arc::default(),
            };
            self.take(entry, report, &[], metrics);
        }
        let names: HashSet<&str> = entries.iter().map(|entry| entry.name()).collect();
        self.read.retain(|name, _| names.contains(name.as_str()));
        let gone = self.known.keys().filter(|name| !names.contains(name.as_str()));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &str) {
        self.changed = true;
        self.set.remove(name);
        self.known.remove(name);
    }

    fn object(&mut self, object: &Loose, metrics: &Control) {
        let name = &object.meta.name;
        let mut whole: Value = serde_json::from_str(object.raw.get()).unwrap_or_default();
        let mut part = |key: &str| whole.get_mut(key).map_or(Value::Null, Value::take);
        let (spec, status) = (Arc::new(part("spec")), Arc::new(part("status")));
        if let Some(known) = self.known.get_mut(name)
            && known.uid == object.meta.uid
            && known.spec == spec
        {
            // Our own words in `status`, or somebody's label.
            known.status = status;
            known.generation = object.meta.generation;
            return;
        }
        let same = |known: &Report| known.uid == object.meta.uid;
        if !self.known.get(name).is_some_and(same) {
            // Another object of the same name: what its predecessor meant does not count.
            self.set.remove(name);
        }
        let (entry, findings) = self.read(name, &spec);
        let report = Report {
            name: name.clone(),
            uid: object.meta.uid.clone(),
            generation: object.meta.generation,
            in_force: Force::Broken,
            message: String::new(),
            rules: 0,
            spec,
            status: Arc::clone(&status),
        };
        if matches!(entry, Entry::Broken(_))
            && let Some(last) = status.get("lastCompiled").filter(|last| last.is_object())
        {
            let (last, _) = self.read(name, last);
            self.set.remember(&last);
        }
        self.take(&entry, report, &findings, metrics);
    }

    fn read(&self, name: &str, spec: &Value) -> (Entry, Vec<Diagnostic>) {
        let object = json!({
            "apiVersion": "containersecurity.tigera.io/v1beta1",
            "kind": "ContainerAdmissionPolicy",
            "metadata": {"name": name},
            "spec": spec,
        });
        let mut reading = check::read_json(name, &object, &self.limits);
        let entry = if reading.entries.is_empty() {
            Entry::Broken(Broken {
                name: name.to_owned(),
                order: None,
                selector: None,
                namespace_selector: None,
                fault: "it cannot be read at all".to_owned(),
                source: name.to_owned(),
            })
        } else {
            reading.entries.swap_remove(0)
        };
        (entry, reading.diagnostics)
    }

    fn take(&mut self, entry: &Entry, report: Report, findings: &[Diagnostic], metrics: &Control) {
        self.changed = true;
        let in_force = match self.set.apply(entry) {
            InForce::This => Force::Compiled,
            InForce::Last => Force::Stale,
            InForce::None => Force::Broken,
        };
        let mut message = String::new();
        for finding in findings {
            // Writing to a string does not fail.
            let _ = match &finding.help {
                None => writeln!(message, "{}", finding.fact()),
                Some(help) => writeln!(message, "{}; {help}", finding.fact()),
            };
        }
        let mut rules = 0;
        match (entry, in_force) {
            (Entry::Policy(policy), Force::Compiled) => {
                rules = policy.rules.len();
                // Only the status of an object in a cluster has them.
                if !report.uid.is_empty() {
                    message.insert_str(0, &figures(entry));
                }
            }
            _ => {
                if message.is_empty()
                    && let Entry::Broken(broken) = entry
                {
                    message.clone_from(&broken.fault);
                }
                metrics.compile_failures.inc();
                metrics.malformed.get_or_create(&Shelf { shelf: "policies" }).inc();
                tracing::error!(
                    policy = report.name,
                    in_force = in_force.word(),
                    reason = message.trim_end(),
                    "a policy does not compile"
                );
            }
        }
        let message = cut(message.trim_end(), MESSAGE_BYTES_MAX).to_owned();
        let report = Report { in_force, message, rules, ..report };
        self.known.insert(report.name.clone(), report);
    }
}

/// What a policy compiles to, in one line; the hash is that of its listing.
fn figures(entry: &Entry) -> String {
    let unit = caapc_compiler::compile(entry);
    let Ok(program) = Linker::new().link(&[Arc::new(unit)]) else { return String::new() };
    let text = listing::listing(&program, &listing::Options::default());
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let steps = program.longest_select() + program.longest_linked();
    format!("listing sha256:{hash}, longest path {}\n", listing::counted(steps, "step", "steps"))
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
