//! Local mode: a folder in the place of a cluster.
//!
//! `policies/`, `namespaces/`, `scans/`, `exceptions/` and `settings.yaml`, each optional. It is
//! looked at when the system tells of a change, and now and then anyway, so that a change counts
//! within two seconds. INVARIANT (last good stays): a file that breaks keeps what it last held, and
//! so does a folder that cannot be looked into; so does a file that vanishes or is empty while it is
//! being replaced, for no longer than a look. Start at [`run`].

use std::collections::{BTreeMap, HashMap, HashSet};
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
            let found = namespaces_once(found, metrics);
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

/// Of several namespaces of a name the first counts as well.
fn namespaces_once(found: Vec<Loose>, metrics: &Control) -> Vec<Loose> {
    let mut names = HashSet::new();
    let mut kept = Vec::with_capacity(found.len());
    for object in found {
        if names.insert(object.meta.name.clone()) {
            kept.push(object);
        } else {
            metrics.malformed.get_or_create(&Shelf { shelf: "namespaces" }).inc();
            let namespace = object.meta.name;
            tracing::error!(
                namespace,
                "it is there twice, and the first counts; remove one of them"
            );
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
    /// What could not be looked into at the last look.
    closed: Vec<PathBuf>,
}

struct Known<T> {
    stamp: Stamp,
    last: Vec<T>,
    /// It was not there at the last look: perhaps it is being replaced.
    missed: bool,
    /// It was empty at the last look: perhaps it is being written.
    emptied: bool,
}

impl<T: Clone> Files<T> {
    fn new(shelf: &'static str) -> Self {
        Self { shelf, known: BTreeMap::new(), looked: false, over: false, closed: Vec::new() }
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
        let folder::Found { mut files, closed, .. } = found;
        folder::tell_closed(&mut self.closed, &closed, self.shelf, metrics);
        // Where nothing was read before, there is nothing that could stay: it is as a file that
        // cannot be read.
        if self.known.is_empty() && closed.iter().any(|(path, _)| path == at) {
            files.push((at.to_owned(), Stamp::default()));
        }
        for (path, stamp) in files {
            let known = self.known.get(&path);
            if known.is_some_and(|known| known.stamp == stamp) {
                continue;
            }
            changed = true;
            let last = known.map(|known| known.last.clone()).unwrap_or_default();
            let text = folder::bytes(&path, stamp);
            let is_empty = text.as_ref().is_ok_and(Vec::is_empty) && !last.is_empty();
            if is_empty && known.is_some_and(|known| !known.emptied) {
                // Looked at again, since no file has this stamp.
                let stamp = Stamp::default();
                let known = Known { stamp, last, missed: false, emptied: true };
                self.known.insert(path, known);
                continue;
            }
            let text = text.as_deref().map_err(Clone::clone);
            let held = !last.is_empty();
            let read = read(&path, text, &last);
            let (now, faults) = read.unwrap_or_else(|fault| (last, vec![fault]));
            for reason in &faults {
                metrics.malformed.get_or_create(&Shelf { shelf: self.shelf }).inc();
                folder::wrong_file(&path, reason, held);
            }
            self.known.insert(path, Known { stamp, last: now, missed: false, emptied: false });
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

/// Objects of these kinds; others are a fault of the file, and so is what the API server would
/// never have let be: a label that is no string.
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
            check_labels(&item)?;
            found.push(loose(&item)?);
        }
    }
    Ok((found, Vec::new()))
}

fn check_labels(object: &Value) -> Result<(), String> {
    let labels = match object.pointer("/metadata/labels") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(labels)) => labels,
        Some(_) => return Err("metadata.labels must be a mapping, such as `env: prod`".to_owned()),
    };
    match labels.iter().find(|(_, value)| !value.is_string()) {
        None => Ok(()),
        Some((key, value)) => {
            Err(format!("the label `{key}` must be a string: write `{key}: \"{value}\"`"))
        }
    }
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
#[path = "local_tests.rs"]
mod tests;
