//! Local mode: a folder in the place of a cluster.
//!
//! `policies/`, `namespaces/`, `scans/`, `exceptions/` and `settings.yaml`, each optional. It is
//! looked at when the system tells of a change, and now and then anyway, so that a change counts
//! within two seconds. INVARIANT (last good stays): a file that breaks keeps what it last held; so
//! does one that vanishes while it is being replaced, for no longer than a look. Start at [`run`].

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use caapc_compiler::check::{self, Limits};
use caapc_compiler::policy::{Broken, Entry};
use caapc_compiler::yaml;
use notify::Watcher;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use super::feed::Event;
use super::folder::{self, Stamp};
use super::keeper::Change;
use super::loose::Loose;
use super::scan_files::{Deaf, ScanFiles};
use crate::api::SETTINGS_NAME;
use crate::scan::files::{exceptions_of, is_csv, settings_of};
use crate::telemetry::metrics::{Control, Shelf};

/// The folder is looked at this often, whatever the system tells; a large one less often, so that
/// looking takes a twentieth of the time at most.
const POLL: Duration = Duration::from_secs(1);
const POLL_SHARE: u32 = 20;

/// An editor writes in several steps: a change is read when it is this old.
const SETTLE: Duration = Duration::from_millis(100);

/// Files of one kind, scans not counted.
const FILES_MAX: usize = 10_000;

/// Tells of the folder until nobody listens.
pub async fn run(folder: PathBuf, to: Sender<Change>, metrics: Control) {
    let changed = Arc::new(Notify::new());
    let (mut watching, mut told) = (None, true);
    let mut state = Some(Box::new(Folder::new(folder.clone(), metrics)));
    loop {
        let Some(mut looking) = state.take() else { return };
        let (to, begun) = (to.clone(), Instant::now());
        let looked = tokio::task::spawn_blocking(move || {
            let looked = looking.look(&mut |change| to.blocking_send(change).map_err(|_| Deaf));
            looked.map(|()| looking)
        });
        let Ok(Ok(looked)) = looked.await else { return };
        state = Some(looked);
        if watching.is_none() {
            // PERF: not before the first look, since 100,000 files that are read would be told of
            // one by one. What changed in between is seen by looking once more.
            watching = Some(watcher(&folder, Arc::clone(&changed)));
            continue;
        }
        // After a change soon again: what vanished is looked for once more.
        let pause = if told { POLL } else { POLL.max(begun.elapsed() * POLL_SHARE) };
        told = tokio::time::timeout(pause, changed.notified()).await.is_ok();
        if told {
            tokio::time::sleep(SETTLE).await;
        }
    }
}

/// Where the system cannot watch, looking now and then is enough.
fn watcher(folder: &Path, changed: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an event as well.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    })
    .ok()?;
    let watched = watcher.watch(folder, notify::RecursiveMode::Recursive);
    watched.is_ok().then_some(watcher)
}

struct Folder {
    root: PathBuf,
    metrics: Control,
    limits: Limits,
    policies: Files<Arc<Entry>>,
    namespaces: Files<Loose>,
    scans: ScanFiles,
    exceptions: Files<Loose>,
    settings: Files<Loose>,
    /// Policies that were told of last; `None`: nothing was.
    told: Option<usize>,
}

impl Folder {
    fn new(root: PathBuf, metrics: Control) -> Self {
        Self {
            root,
            metrics,
            limits: Limits::default(),
            policies: Files::new("policies"),
            namespaces: Files::new("namespaces"),
            scans: ScanFiles::default(),
            exceptions: Files::new("exceptions"),
            settings: Files::new("settings"),
            told: None,
        }
    }

    /// Tells what changed since the last look.
    fn look(&mut self, tell: &mut impl FnMut(Change) -> Result<(), Deaf>) -> Result<(), Deaf> {
        let Self { root, metrics, limits, .. } = self;
        // One reader for each look: policies share their patterns.
        let mut reader = check::Reader::new(*limits);
        let read = |path: &Path, text: Text<'_>, last: &[Arc<Entry>]| {
            policies(&mut reader, path, text, last)
        };
        if let Some(entries) = self.policies.look(&root.join("policies"), YAML, metrics, read) {
            let entries = each_name_once(entries, metrics);
            warn_of_none(self.told.replace(entries.len()), entries.len());
            tell(Change::Policies(entries))?;
        }
        let read = |_: &Path, text: Text<'_>, _: &[Loose]| objects(text?, &["Namespace"]);
        if let Some(found) = self.namespaces.look(&root.join("namespaces"), YAML, metrics, read) {
            list(found).map(Change::Namespace).try_for_each(&mut *tell)?;
        }
        let read = |path: &Path, text: Text<'_>, _: &[Loose]| exceptions(path, text?);
        let endings = &["yaml", "yml", "json", "csv"];
        if let Some(found) = self.exceptions.look(&root.join("exceptions"), endings, metrics, read)
        {
            list(found).map(Change::Exception).try_for_each(&mut *tell)?;
        }
        let read = |_: &Path, text: Text<'_>, _: &[Loose]| settings(text?);
        if let Some(found) = self.settings.look(&root.join("settings.yaml"), YAML, metrics, read) {
            list(found).map(Change::Settings).try_for_each(&mut *tell)?;
        }
        self.scans.look(&root.join("scans"), metrics, tell)
    }
}

const YAML: &[&str] = &["yaml", "yml", "json"];

fn list(objects: Vec<Loose>) -> impl Iterator<Item = Event> {
    let objects = objects.into_iter().map(Event::Apply);
    std::iter::once(Event::Begin).chain(objects).chain([Event::Complete])
}

/// A cluster could hold only one policy of a name: of several the first counts, in the order of
/// the files' names, and the others are told of.
fn each_name_once(entries: Vec<Arc<Entry>>, metrics: &Control) -> Vec<Arc<Entry>> {
    let mut first: HashMap<String, String> = HashMap::new();
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        match first.get(entry.name()) {
            None => {
                first.insert(entry.name().to_owned(), entry.source().to_owned());
                kept.push(entry);
            }
            Some(first) => {
                metrics.malformed.get_or_create(&Shelf { shelf: "policies" }).inc();
                tracing::error!(
                    policy = entry.name(),
                    counts = first,
                    ignored = entry.source(),
                    "two policies have the same name; give one of them another"
                );
            }
        }
    }
    kept
}

/// Without policies everything is allowed, which is rarely what an empty folder was meant to say.
fn warn_of_none(before: Option<usize>, now: usize) {
    match (before, now) {
        (None, 0) => tracing::warn!("there is no policy in `policies/`: every image is allowed"),
        (Some(1..), 0) => {
            tracing::error!("the last policy is gone from `policies/`: every image is allowed now");
        }
        _ => {}
    }
}

/// What a file says now, and what is wrong with it.
type Read<T> = Result<(Vec<T>, Vec<String>), String>;

/// The bytes of a file, or why there are none.
type Text<'t> = Result<&'t [u8], String>;

/// The files of one kind, and what each last held.
struct Files<T> {
    shelf: &'static str,
    known: BTreeMap<PathBuf, Known<T>>,
    looked: bool,
    /// There were more than the limits allow.
    over: bool,
}

struct Known<T> {
    stamp: Stamp,
    last: Vec<T>,
    /// It was not there at the last look: perhaps it is being replaced.
    missed: bool,
}

impl<T: Clone> Files<T> {
    fn new(shelf: &'static str) -> Self {
        Self { shelf, known: BTreeMap::new(), looked: false, over: false }
    }

    /// Everything the files hold, if anything changed since the last look, or at the first one.
    fn look(
        &mut self,
        at: &Path,
        endings: &[&str],
        metrics: &Control,
        mut read: impl FnMut(&Path, Text<'_>, &[T]) -> Read<T>,
    ) -> Option<Vec<T>> {
        let mut changed = !std::mem::replace(&mut self.looked, true);
        let found = folder::files(at, endings, FILES_MAX);
        if found.over && !self.over {
            metrics.malformed.get_or_create(&Shelf { shelf: self.shelf }).inc();
            tracing::error!(folder = %at.display(), "more than {FILES_MAX} files, the limit: not all count");
        }
        self.over = found.over;
        let before = self.known.len();
        self.known.retain(|path, known| {
            let missed = std::mem::replace(&mut known.missed, !found.has(path));
            !(missed && known.missed)
        });
        changed |= self.known.len() != before;
        for (path, stamp) in found.files {
            let known = self.known.get(&path);
            if known.is_some_and(|known| known.stamp == stamp) {
                continue;
            }
            changed = true;
            let last = known.map(|known| known.last.clone()).unwrap_or_default();
            let text = folder::bytes(&path, stamp);
            let text = text.as_deref().map_err(Clone::clone);
            let read = read(&path, text, &last);
            let (now, faults) = read.unwrap_or_else(|fault| (last, vec![fault]));
            for reason in &faults {
                metrics.malformed.get_or_create(&Shelf { shelf: self.shelf }).inc();
                let file = path.display();
                tracing::error!(%file, reason, "a file is wrong; what it last held stays");
            }
            self.known.insert(path, Known { stamp, last: now, missed: false });
        }
        changed.then(|| self.known.values().flat_map(|known| known.last.clone()).collect())
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Policies of a file; one that is broken is kept by the set in the version that compiled last.
fn policies(
    reader: &mut check::Reader,
    path: &Path,
    bytes: Text<'_>,
    last: &[Arc<Entry>],
) -> Read<Arc<Entry>> {
    let name = path.display().to_string();
    let (mut entries, mut faults) = match bytes.and_then(utf8) {
        Err(fault) => (Vec::new(), vec![fault]),
        Ok(text) => {
            // Which of several files counts changes without any of these files changing.
            reader.forget_names();
            let reading = reader.read(&name, text);
            let errors = reading.diagnostics.iter().filter(|finding| finding.is_error());
            let faults: Vec<String> = errors.map(ToString::to_string).collect();
            (reading.entries.into_iter().map(Arc::new).collect(), faults)
        }
    };
    if faults.is_empty() {
        return Ok((entries, faults));
    }
    // What the broken text hides may still be there: nothing of it is dropped.
    for before in last {
        if !entries.iter().any(|entry| entry.name() == before.name()) {
            entries.push(Arc::clone(before));
        }
    }
    if entries.is_empty() {
        let fault = faults.swap_remove(0);
        entries.push(Arc::new(Entry::Broken(Broken {
            name: name.clone(),
            order: None,
            selector: None,
            namespace_selector: None,
            fault: fault.clone(),
            source: name,
        })));
        faults.push(fault);
    }
    Ok((entries, faults))
}

/// Objects of these kinds; others are a fault of the file.
fn objects(bytes: &[u8], kinds: &[&str]) -> Read<Loose> {
    let mut found = Vec::new();
    for document in yaml::documents(utf8(bytes)?, &yaml::Limits::default()) {
        if let Some(fault) = document.faults.first() {
            return Err(fault.message.clone());
        }
        let Some(root) = &document.root else { continue };
        let object = yaml::to_json(root);
        let items = match object.get("items").and_then(Value::as_array) {
            Some(items) => items.clone(),
            None => vec![object],
        };
        for item in items.into_iter().filter(|item| !item.is_null()) {
            let kind = item.get("kind").and_then(Value::as_str).unwrap_or_default();
            if !kinds.contains(&kind) {
                return Err(format!("expected `kind: {}`, found `{kind}`", kinds.join("` or `")));
            }
            found.push(loose(&item)?);
        }
    }
    Ok((found, Vec::new()))
}

fn loose(object: &Value) -> Result<Loose, String> {
    let loose: Loose = serde_json::from_str(&object.to_string()).map_err(|e| e.to_string())?;
    if loose.meta.name.is_empty() { Err("metadata.name is missing".to_owned()) } else { Ok(loose) }
}

/// Exceptions: objects, or the original's list as CSV.
fn exceptions(path: &Path, bytes: &[u8]) -> Read<Loose> {
    let object = |(name, spec)| loose(&json!({"metadata": {"name": name}, "spec": json!(spec)}));
    let found = exceptions_of(utf8(bytes)?, is_csv(path))?;
    Ok((found.into_iter().map(object).collect::<Result<_, _>>()?, Vec::new()))
}

/// The settings, whole or their `spec` alone.
fn settings(bytes: &[u8]) -> Read<Loose> {
    let spec = settings_of(utf8(bytes)?)?;
    let object = json!({"metadata": {"name": SETTINGS_NAME}, "spec": json!(spec)});
    Ok((vec![loose(&object)?], Vec::new()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::keeper::Filed;
    use super::*;
    use crate::telemetry::metrics::Metrics;

    const POLICY: &str = "apiVersion: containersecurity.tigera.io/v1beta1\n\
        kind: ContainerAdmissionPolicy\nmetadata: {name: one}\nspec: {rules: [{action: ";

    struct Local(Folder);

    impl Local {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("caapc-local-{}-{name}", std::process::id()));
            Self(Folder::new(root, Metrics::new().control))
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.root.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.0.root.join(name)).expect("a file");
        }

        fn look(&mut self) -> Vec<Change> {
            let mut changes = Vec::new();
            let told = self.0.look(&mut |change| {
                changes.push(change);
                Ok(())
            });
            assert!(told.is_ok());
            changes
        }

        /// The scans of a look: `+` for what is, `-` for what is gone, and the number in its file.
        fn scans(&mut self) -> Vec<String> {
            let mut scans = Vec::new();
            for change in self.look() {
                let Change::Filed(filed) = change else { continue };
                scans.extend(filed.into_iter().map(|one| match one {
                    Filed::Apply(name, spec) => {
                        format!(
                            "+{} {}",
                            name.rsplit('#').next().unwrap_or_default(),
                            spec.references[0]
                        )
                    }
                    Filed::Delete(name) => {
                        format!("-{}", name.rsplit('#').next().unwrap_or_default())
                    }
                }));
            }
            scans
        }
    }

    impl Drop for Local {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.root);
        }
    }

    fn scan(image: &str) -> String {
        format!(
            r#"{{"apiVersion":"caapc.dev/v1alpha1","kind":"ImageScan","metadata":{{"name":"a"}},"spec":{{"references":["{image}"],"state":"Scanned","scannedAt":"2026-01-10T09:00:00Z"}}}}"#
        )
    }

    fn list(images: &[&str]) -> String {
        let items: Vec<String> = images.iter().map(|image| scan(image)).collect();
        format!(r#"{{"kind":"ImageScanList","items":[{}]}}"#, items.join(","))
    }

    #[test]
    fn scans_are_told_once_and_then_what_changes() {
        let mut local = Local::new("scans");
        local.write("scans/list.json", &list(&["docker.io/a:1", "docker.io/b:1", "docker.io/c:1"]));
        let told = ["+0 docker.io/a:1", "+1 docker.io/b:1", "+2 docker.io/c:1"];
        assert_eq!(local.scans(), told);
        assert!(local.look().is_empty(), "nothing changed");
        local.write("scans/list.json", &list(&["docker.io/longer:1"]));
        assert_eq!(local.scans(), ["+0 docker.io/longer:1", "-1", "-2"]);
        local.write("scans/list.json", "{\"broken");
        assert!(local.scans().is_empty(), "what it last held stays");
        local.remove("scans/list.json");
        assert!(local.scans().is_empty(), "perhaps it is being replaced");
        assert_eq!(local.scans(), ["-0"]);
    }

    #[test]
    fn of_two_policies_of_one_name_the_first_counts_for_as_long_as_it_is_there() {
        let mut local = Local::new("names");
        local.write("policies/a.yaml", &format!("{POLICY}Allow}}]}}\n"));
        local.write("policies/b.yaml", &format!("{POLICY}Reject}}]}}\n"));
        let sources = |changes: Vec<Change>| -> Vec<String> {
            let entries = changes.into_iter().find_map(|change| match change {
                Change::Policies(entries) => Some(entries),
                _ => None,
            });
            let entries = entries.expect("policies");
            assert!(entries.iter().all(|entry| matches!(**entry, Entry::Policy(_))));
            entries
                .iter()
                .filter_map(|entry| Some(entry.source().rsplit_once('/')?.1.to_owned()))
                .collect()
        };
        assert_eq!(sources(local.look()), ["a.yaml:1"]);
        local.remove("policies/a.yaml");
        local.look();
        assert_eq!(sources(local.look()), ["b.yaml:1"]);
    }

    #[test]
    fn exceptions_may_be_the_originals_list_and_settings_bare() {
        let mut local = Local::new("loose");
        let csv =
            "CVE,Registry,Repository,Tags,Justification,Scope\nCVE-2023-1,,,,not reachable,any\n";
        local.write("exceptions/list.csv", csv);
        local.write("settings.yaml", "failThreshold: 9.9\n");
        let changes = local.look();
        let count =
            |wanted: fn(&Change) -> bool| changes.iter().filter(|change| wanted(change)).count();
        assert_eq!(count(|change| matches!(change, Change::Exception(Event::Apply(_)))), 1);
        assert_eq!(count(|change| matches!(change, Change::Settings(Event::Apply(_)))), 1);
    }
}
