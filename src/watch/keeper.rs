//! Keeps the shelves: takes what feeds or a folder tell, and publishes new shelves whole.
//!
//! Changes come in bursts, so they are gathered for a moment; what they touch is compiled and
//! linked on a blocking thread, never on one that answers requests; then one snapshot replaces
//! the one before. Nothing is published before every shelf has had its first list and the policies
//! could be linked, and a shelf that is being listed again keeps what it has until the list is
//! complete.
//! Start at [`Keeper::run`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use caapc_compiler::policy::Entry;
use serde::Deserialize;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;

use super::feed::Event;
use super::loose::Loose;
use super::policies::{Policies, Report};
use crate::api::{
    ImageAssuranceSettingsSpec, ImageScanSpec, SETTINGS_NAME, VulnerabilityExceptionSpec,
};
use crate::namespaces::{Namespace, Namespaces};
use crate::policy_set::PolicySet;
use crate::scan::{ScanShelf, ScanStore, Settings};
use crate::telemetry::health::Flag;
use crate::telemetry::metrics::{Control, Shelf, State};

/// A burst has ended when nothing came for this long.
const QUIET: Duration = Duration::from_millis(20);

/// A burst is published after this, even if it goes on.
const BURST_MAX: Duration = Duration::from_millis(250);

/// Changes that are gathered at most.
const BURST_CHANGES_MAX: usize = 4_096;

/// What a feed or a folder tells.
#[derive(Debug)]
pub enum Change {
    /// A `ContainerAdmissionPolicy`.
    Policy(Event),
    /// All policies of a folder at once, as they were read; what did not change is shared.
    Policies(Vec<Arc<Entry>>),
    /// A `Namespace`, or its metadata.
    Namespace(Event),
    /// An `ImageScan`.
    Scan(Event),
    /// Scans of a folder's files.
    Filed(Vec<Filed>),
    /// A `VulnerabilityException`.
    Exception(Event),
    /// The `ImageAssuranceSettings`.
    Settings(Event),
}

/// What became of one scan in a file; its name is the file's and its number there.
#[derive(Debug)]
pub enum Filed {
    /// It is, or is now, so.
    Apply(String, Box<ImageScanSpec>),
    /// It is gone.
    Delete(String),
}

/// New shelves.
#[derive(Clone, Debug)]
pub struct Shelves {
    /// The policies, linked.
    pub policies: Arc<PolicySet>,
    /// The labels of namespaces.
    pub namespaces: Arc<Namespaces>,
    /// Scan results, exceptions and settings.
    pub scans: Arc<ScanShelf>,
    /// Counts the shelves that were published.
    pub generation: u64,
}

/// What must be so before anything is published.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Why nothing is published yet; `None`: something is.
    pub program: watch::Sender<Option<String>>,
    /// Of policies.
    pub policies: Flag,
    /// Of namespaces.
    pub namespaces: Flag,
    /// Of scans.
    pub scans: Flag,
    /// Of exceptions.
    pub exceptions: Flag,
    /// Of settings.
    pub settings: Flag,
}

/// What others of the control road follow.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// What the compiler says of each policy.
    pub reports: watch::Receiver<Arc<Vec<Report>>>,
    /// The settings, as they were written.
    pub settings: watch::Receiver<Arc<ImageAssuranceSettingsSpec>>,
}

/// Keeps the shelves; see the top of this file.
pub struct Keeper {
    state: Box<Shelving>,
    ready: Ready,
    metrics: Control,
    reports: watch::Sender<Arc<Vec<Report>>>,
    settings: watch::Sender<Arc<ImageAssuranceSettingsSpec>>,
}

impl Keeper {
    /// A keeper of empty shelves.
    pub fn new(policies: Policies, ready: Ready, metrics: Control) -> (Self, Outlook) {
        let state = Shelving {
            policies,
            set: Arc::new(PolicySet::empty()),
            namespaces: Namespaces::empty(),
            namespaces_seen: None,
            store: ScanStore::new(),
            shelf: Arc::new(ScanShelf::empty()),
            settings: Arc::default(),
            settings_seen: false,
            first: Lists::default(),
            program: ready.program.clone(),
            dirty: Dirty { policies: true, namespaces: true, scans: true },
            generation: 0,
            metrics: metrics.clone(),
        };
        let (reports, reports_told) = watch::channel(Arc::default());
        let (settings, settings_told) = watch::channel(Arc::default());
        let keeper = Self { state: Box::new(state), ready, metrics, reports, settings };
        (keeper, Outlook { reports: reports_told, settings: settings_told })
    }

    /// Keeps the shelves until nobody tells of changes any more.
    ///
    /// # Errors
    /// If it met a fault of caapc: what is published stays, but nothing new will come.
    pub async fn run(
        self,
        mut from: Receiver<Change>,
        publish: impl Fn(Shelves) + Send,
    ) -> Result<(), String> {
        let Self { mut state, ready, metrics, reports, settings } = self;
        while let Some((burst, begun)) = gather(&mut from).await {
            let worked = tokio::task::spawn_blocking(move || {
                for change in burst {
                    state.apply(change);
                }
                let shelves = state.shelves();
                (state, shelves)
            });
            let shelves;
            (state, shelves) = worked.await.map_err(|error| error.to_string())?;
            state.first.tell(&ready);
            if let Some(shelves) = shelves {
                let generation = shelves.generation;
                publish(shelves);
                ready.program.send_replace(None);
                metrics.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                metrics.snapshot_time.set(now.map_or(0.0, |now| now.as_secs_f64()));
                metrics.apply_seconds.observe(begun.elapsed());
                reports.send_replace(state.policies.reports());
                settings.send_if_modified(|known| {
                    let changed = **known != *state.settings;
                    *known = Arc::clone(&state.settings);
                    changed
                });
            }
        }
        Ok(())
    }
}

/// The changes of one burst, and when it began.
async fn gather(from: &mut Receiver<Change>) -> Option<(Vec<Change>, Instant)> {
    let first = from.recv().await?;
    let begun = Instant::now();
    let end = tokio::time::Instant::now() + BURST_MAX;
    let mut burst = vec![first];
    while burst.len() < BURST_CHANGES_MAX {
        let quiet = end.min(tokio::time::Instant::now() + QUIET);
        match tokio::time::timeout_at(quiet, from.recv()).await {
            Ok(Some(change)) => burst.push(change),
            Ok(None) | Err(_) => break,
        }
    }
    Some((burst, begun))
}

/// Which shelves have had a complete list.
#[derive(Clone, Copy, Debug, Default)]
struct Lists {
    policies: bool,
    namespaces: bool,
    scans: bool,
    exceptions: bool,
    settings: bool,
}

impl Lists {
    fn all(self) -> bool {
        let Self { policies, namespaces, scans, exceptions, settings } = self;
        policies && namespaces && scans && exceptions && settings
    }

    fn tell(self, ready: &Ready) {
        for (listed, flag) in [
            (self.policies, &ready.policies),
            (self.namespaces, &ready.namespaces),
            (self.scans, &ready.scans),
            (self.exceptions, &ready.exceptions),
            (self.settings, &ready.settings),
        ] {
            if listed {
                flag.set();
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Dirty {
    policies: bool,
    namespaces: bool,
    scans: bool,
}

/// Everything that is kept.
struct Shelving {
    policies: Policies,
    set: Arc<PolicySet>,
    namespaces: Namespaces,
    namespaces_seen: Option<HashSet<String>>,
    store: ScanStore,
    shelf: Arc<ScanShelf>,
    settings: Arc<ImageAssuranceSettingsSpec>,
    settings_seen: bool,
    first: Lists,
    /// See [`Ready::program`].
    program: watch::Sender<Option<String>>,
    dirty: Dirty,
    generation: u64,
    metrics: Control,
}

impl Shelving {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Policy(event) => {
                self.dirty.policies = true;
                self.first.policies |= matches!(event, Event::Complete);
                self.policies.apply(event, &self.metrics);
            }
            Change::Policies(entries) => {
                self.dirty.policies = true;
                self.first.policies = true;
                self.policies.replace(&entries, &self.metrics);
            }
            Change::Namespace(event) => self.namespace(event),
            Change::Scan(event) => self.scan(event),
            Change::Filed(filed) => self.filed(filed),
            Change::Exception(event) => self.exception(event),
            Change::Settings(event) => self.settings(event),
        }
    }

    fn namespace(&mut self, event: Event) {
        self.dirty.namespaces = true;
        match event {
            Event::Begin => self.namespaces_seen = Some(HashSet::new()),
            Event::Apply(object) => {
                let namespace = Namespace::new(&object.meta.name, object.meta.labels);
                if let Some(seen) = &mut self.namespaces_seen {
                    seen.insert(object.meta.name);
                }
                self.namespaces = self.namespaces.with(namespace);
            }
            Event::Delete(name) => self.namespaces = self.namespaces.without(&name),
            Event::Complete => {
                self.first.namespaces = true;
                if let Some(seen) = self.namespaces_seen.take() {
                    let names = self.namespaces.iter().map(Namespace::name);
                    let gone: Vec<String> =
                        names.filter(|name| !seen.contains(*name)).map(str::to_owned).collect();
                    for name in gone {
                        self.namespaces = self.namespaces.without(&name);
                    }
                }
            }
        }
    }

    fn scan(&mut self, event: Event) {
        self.dirty.scans = true;
        match event {
            Event::Begin => self.store.begin_scans(),
            Event::Apply(object) => {
                let read = spec::<ImageScanSpec>(&object)
                    .and_then(|spec| self.store.apply_scan(&object.meta.name, &spec));
                self.understood("scans", &object.meta.name, read);
            }
            Event::Delete(name) => self.store.delete_scan(&name),
            Event::Complete => {
                self.first.scans = true;
                self.store.end_scans();
            }
        }
    }

    fn filed(&mut self, filed: Vec<Filed>) {
        self.dirty.scans = true;
        for one in filed {
            match one {
                Filed::Apply(name, spec) => {
                    let read = self.store.apply_scan(&name, &spec);
                    self.understood("scans", &name, read);
                }
                Filed::Delete(name) => self.store.delete_scan(&name),
            }
        }
    }

    fn exception(&mut self, event: Event) {
        self.dirty.scans = true;
        match event {
            Event::Begin => self.store.begin_exceptions(),
            Event::Apply(object) => {
                let read = spec::<VulnerabilityExceptionSpec>(&object)
                    .and_then(|spec| self.store.apply_exception(&object.meta.name, &spec));
                self.understood("exceptions", &object.meta.name, read);
            }
            Event::Delete(name) => self.store.delete_exception(&name),
            Event::Complete => {
                self.first.exceptions = true;
                self.store.end_exceptions();
            }
        }
    }

    /// Only the object `default` counts; without it everything has its default.
    fn settings(&mut self, event: Event) {
        self.dirty.scans = true;
        match event {
            Event::Begin => self.settings_seen = false,
            Event::Apply(object) if object.meta.name == SETTINGS_NAME => {
                self.settings_seen = true;
                let read = spec::<ImageAssuranceSettingsSpec>(&object).and_then(|spec| {
                    self.store.set_settings(Settings::from_spec(&spec)?);
                    self.settings = Arc::new(spec);
                    Ok(())
                });
                self.understood("settings", &object.meta.name, read);
            }
            Event::Apply(object) => {
                let name = object.meta.name;
                tracing::warn!(name, "only the settings named `{SETTINGS_NAME}` count");
            }
            Event::Delete(name) if name == SETTINGS_NAME => self.default_settings(),
            Event::Delete(_) => {}
            Event::Complete => {
                self.first.settings = true;
                if !self.settings_seen {
                    self.default_settings();
                }
            }
        }
    }

    fn default_settings(&mut self) {
        self.store.set_settings(Settings::default());
        self.settings = Arc::default();
    }

    /// An object that cannot be understood leaves the last version of it in force.
    fn understood(&self, shelf: &'static str, name: &str, read: Result<(), String>) {
        if let Err(reason) = read {
            self.metrics.malformed.get_or_create(&Shelf { shelf }).inc();
            tracing::warn!(shelf, name, reason, "an object cannot be used; its last version stays");
        }
    }

    /// New shelves, if something changed and every shelf has had its first list.
    fn shelves(&mut self) -> Option<Shelves> {
        if !self.first.all() {
            return None;
        }
        let Dirty { policies, namespaces, scans } = std::mem::take(&mut self.dirty);
        if !(policies || namespaces || scans) {
            return None;
        }
        if policies {
            self.link();
        }
        if self.set.generation() == 0 {
            // INVARIANT (a set first): without one every image would be allowed.
            self.dirty = Dirty { policies: false, namespaces: true, scans: true };
            return None;
        }
        self.generation += 1;
        if scans {
            self.shelf = Arc::new(self.store.snapshot());
        }
        self.count();
        Some(Shelves {
            policies: Arc::clone(&self.set),
            namespaces: Arc::new(self.namespaces.clone()),
            scans: Arc::clone(&self.shelf),
            generation: self.generation,
        })
    }

    fn link(&mut self) {
        let begun = Instant::now();
        match self.policies.link() {
            Ok(Some(program)) => {
                self.set = Arc::new(PolicySet::new(program, self.set.generation() + 1));
            }
            Ok(None) => {}
            Err(error) => {
                self.metrics.compile_failures.inc();
                let until_then = match self.set.generation() {
                    0 => {
                        self.program.send_replace(Some(error.to_string()));
                        "nothing is answered before they can"
                    }
                    _ => "the last set stays in force",
                };
                tracing::error!(%error, "the policies cannot be linked; {until_then}");
            }
        }
        self.metrics.compile_seconds.observe(begun.elapsed());
    }

    fn count(&self) {
        let count = |shelf: &'static str, objects: usize| {
            let objects = i64::try_from(objects).unwrap_or(i64::MAX);
            self.metrics.objects.get_or_create(&Shelf { shelf }).set(objects);
        };
        count("policies", self.policies.len());
        count("namespaces", self.namespaces.len());
        count("scans", self.store.scans());
        count("exceptions", self.store.exceptions().count());
        for (state, policies) in self.policies.states() {
            let policies = i64::try_from(policies).unwrap_or(i64::MAX);
            self.metrics.policies.get_or_create(&State { state }).set(policies);
        }
    }
}

/// The `spec` of an object.
fn spec<T: for<'de> Deserialize<'de>>(object: &Loose) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Whole<T> {
        spec: T,
    }
    serde_json::from_str::<Whole<T>>(object.raw.get())
        .map(|whole| whole.spec)
        .map_err(|error| format!("spec: {error}"))
}

#[cfg(test)]
mod tests {
    use caapc_compiler::check::{self, Limits};
    use caapc_compiler::set::OnInvalid;

    use super::*;
    use crate::telemetry::metrics::Metrics;

    /// Policies that are each within the limits; forty of them together are not.
    fn policies(count: usize) -> Vec<Arc<Entry>> {
        let large = "(a|é|b){990}c".repeat(30);
        let read = |nth: usize| {
            let text = format!(
                "apiVersion: containersecurity.tigera.io/v1beta1\n\
                 kind: ContainerAdmissionPolicy\nmetadata: {{name: p{nth}}}\nspec: {{rules: \
                 [{{action: Reject, imagePath: {{operator: IsOneOf, values: ['{large}x{nth}']}}}}]}}\n"
            );
            check::Reader::new(Limits::default()).read("p.yaml", &text).entries
        };
        (0..count).flat_map(read).map(Arc::new).collect()
    }

    #[test]
    fn nothing_is_published_before_the_policies_link() {
        let control = Metrics::new().control;
        let ready = Ready {
            program: watch::Sender::new(Some("not yet".to_owned())),
            policies: Flag::default(),
            namespaces: Flag::default(),
            scans: Flag::default(),
            exceptions: Flag::default(),
            settings: Flag::default(),
        };
        let why_not = ready.program.subscribe();
        let (keeper, _) = Keeper::new(Policies::new(OnInvalid::Deny), ready, control);
        let mut state = keeper.state;
        for change in [
            Change::Namespace(Event::Complete),
            Change::Scan(Event::Complete),
            Change::Exception(Event::Complete),
            Change::Settings(Event::Complete),
            Change::Policies(policies(40)),
        ] {
            state.apply(change);
        }
        assert!(state.shelves().is_none());
        let why = why_not.borrow().clone().expect("nothing is published");
        assert!(why.starts_with("the patterns of all policies together are too large: "), "{why}");
        state.apply(Change::Namespace(Event::Complete));
        assert!(state.shelves().is_none(), "an empty set would allow every image");

        let published = |state: &mut Shelving, count: usize| {
            state.apply(Change::Policies(policies(count)));
            state.shelves().map(|shelves| shelves.policies.program().policy_count())
        };
        assert_eq!(published(&mut state, 1), Some(1));
        assert_eq!(published(&mut state, 40), Some(1), "the last set stays");
        assert_eq!(published(&mut state, 2), Some(2));
    }
}
