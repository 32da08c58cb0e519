//! Local mode: a folder in the place of a cluster.
//!
//! `policies/`, `namespaces/`, `scans/`, `exceptions/` and `settings.yaml`, each optional. It is
//! looked at when the system tells of a change, and every second anyway, so that a change counts
//! within two. INVARIANT (last good stays): a file that breaks keeps what it last held; so does
//! one that vanishes while it is being replaced, for no longer than a look. Start at [`run`].

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use caapc_compiler::check::{self, Limits};
use caapc_compiler::policy::{Broken, Entry};
use caapc_compiler::yaml;
use notify::Watcher;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use super::feed::Event;
use super::keeper::Change;
use super::loose::Loose;
use crate::api::{ImageScanSpec, SETTINGS_NAME};
use crate::scan::files::watched_scans;
use crate::telemetry::metrics::{Control, Shelf};

/// The folder is looked at this often, whatever the system tells.
const POLL: Duration = Duration::from_secs(1);

/// An editor writes in several steps: a change is read when it is this old.
const SETTLE: Duration = Duration::from_millis(100);

/// Files of one kind.
const FILES_MAX: usize = 10_000;

/// Files and folders that are looked at for one kind, those that do not count among them.
const ENTRIES_MAX: usize = 100_000;

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Tells of the folder until nobody listens.
pub async fn run(folder: PathBuf, to: Sender<Change>, metrics: Control) {
    let changed = std::sync::Arc::new(Notify::new());
    let _watcher = watcher(&folder, std::sync::Arc::clone(&changed));
    let mut state = Some(Box::new(Folder::new(folder, metrics)));
    loop {
        let Some(mut folder) = state.take() else { return };
        let looked = tokio::task::spawn_blocking(move || {
            let changes = folder.look();
            (folder, changes)
        });
        let Ok((folder, changes)) = looked.await else { return };
        state = Some(folder);
        for change in changes {
            if to.send(change).await.is_err() {
                return;
            }
        }
        if tokio::time::timeout(POLL, changed.notified()).await.is_ok() {
            tokio::time::sleep(SETTLE).await;
        }
    }
}

/// Where the system cannot watch, looking every second is enough.
fn watcher(folder: &Path, changed: std::sync::Arc<Notify>) -> Option<notify::RecommendedWatcher> {
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
    policies: Files<Entry>,
    namespaces: Files<Loose>,
    scans: Files<Loose>,
    exceptions: Files<Loose>,
    settings: Files<Loose>,
}

impl Folder {
    fn new(root: PathBuf, metrics: Control) -> Self {
        Self {
            root,
            metrics,
            limits: Limits::default(),
            policies: Files::new("policies"),
            namespaces: Files::new("namespaces"),
            scans: Files::new("scans"),
            exceptions: Files::new("exceptions"),
            settings: Files::new("settings"),
        }
    }

    /// What changed since the last look.
    fn look(&mut self) -> Vec<Change> {
        let Self { root, metrics, limits, .. } = self;
        let mut changes = Vec::new();
        let read = |name: &str, text: Text<'_>, last: &[Entry]| policies(name, text, last, limits);
        if let Some(entries) = self.policies.look(&root.join("policies"), metrics, read) {
            changes.push(Change::Policies(entries));
        }
        let read = |_: &str, text: Text<'_>, _: &[Loose]| objects(text?, &["Namespace"]);
        if let Some(found) = self.namespaces.look(&root.join("namespaces"), metrics, read) {
            changes.extend(list(found).map(Change::Namespace));
        }
        let read = |_: &str, text: Text<'_>, _: &[Loose]| scans(text?);
        if let Some(found) = self.scans.look(&root.join("scans"), metrics, read) {
            changes.extend(list(found).map(Change::Scan));
        }
        let read =
            |_: &str, text: Text<'_>, _: &[Loose]| objects(text?, &["VulnerabilityException"]);
        if let Some(found) = self.exceptions.look(&root.join("exceptions"), metrics, read) {
            changes.extend(list(found).map(Change::Exception));
        }
        let read = |_: &str, text: Text<'_>, _: &[Loose]| settings(text?);
        if let Some(found) = self.settings.look(&root.join("settings.yaml"), metrics, read) {
            changes.extend(list(found).map(Change::Settings));
        }
        changes
    }
}

fn list(objects: Vec<Loose>) -> impl Iterator<Item = Event> {
    let objects = objects.into_iter().map(Event::Apply);
    std::iter::once(Event::Begin).chain(objects).chain([Event::Complete])
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

/// Changes whenever the file does; rarely when it does not, which is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl<T: Clone> Files<T> {
    fn new(shelf: &'static str) -> Self {
        Self { shelf, known: BTreeMap::new(), looked: false, over: false }
    }

    /// Everything the files hold, if anything changed since the last look, or at the first one.
    fn look(
        &mut self,
        at: &Path,
        metrics: &Control,
        read: impl Fn(&str, Text<'_>, &[T]) -> Read<T>,
    ) -> Option<Vec<T>> {
        let mut changed = !std::mem::replace(&mut self.looked, true);
        let (found, over) = files(at);
        if std::mem::replace(&mut self.over, over > 0) != (over > 0) && over > 0 {
            metrics.malformed.get_or_create(&Shelf { shelf: self.shelf }).inc();
            tracing::error!(
                folder = %at.display(),
                "more than {FILES_MAX} files, or {ENTRIES_MAX} entries, the limits: not all count"
            );
        }
        let before = self.known.len();
        self.known.retain(|path, known| {
            let missed = std::mem::replace(&mut known.missed, !found.contains_key(path));
            !(missed && known.missed)
        });
        changed |= self.known.len() != before;
        for (path, stamp) in found {
            let known = self.known.get(&path);
            if known.is_some_and(|known| known.stamp == stamp) {
                continue;
            }
            changed = true;
            let last = known.map(|known| known.last.clone()).unwrap_or_default();
            let name = path.display().to_string();
            let text = bytes(&path);
            let text = text.as_deref().map_err(Clone::clone);
            let read = read(&name, text, &last);
            let (now, faults) = read.unwrap_or_else(|fault| (last, vec![fault]));
            for fault in &faults {
                metrics.malformed.get_or_create(&Shelf { shelf: self.shelf }).inc();
                tracing::error!(
                    file = name,
                    reason = fault,
                    "a file is wrong; what it last held stays"
                );
            }
            self.known.insert(path, Known { stamp, last: now, missed: false });
        }
        changed.then(|| self.known.values().flat_map(|known| known.last.clone()).collect())
    }
}

/// The files at a path: itself, or those below it that hold YAML or JSON, and how many are over
/// the limits.
///
/// A folder that links lead to again is walked once. What is neither file nor folder is passed
/// over: reading a pipe would wait for a writer, and nothing would be reloaded any more.
fn files(at: &Path) -> (BTreeMap<PathBuf, Stamp>, usize) {
    let mut found = BTreeMap::new();
    let mut walked = HashSet::new();
    let (mut entries_left, mut over) = (ENTRIES_MAX, 0);
    let mut folders = vec![at.to_owned()];
    while let Some(path) = folders.pop() {
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        if meta.is_dir() {
            let Ok(real) = std::fs::canonicalize(&path) else { continue };
            if !walked.insert(real) {
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&path) else { continue };
            // Hidden ones are an editor's, or a volume's behind its links.
            let shown = |path: &PathBuf| {
                path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
            };
            let mut below: Vec<_> = entries
                .flatten()
                .map(|entry| entry.path())
                .filter(shown)
                .take(entries_left + 1)
                .collect();
            if below.len() > entries_left {
                over += 1;
                below.truncate(entries_left);
            }
            entries_left -= below.len();
            folders.extend(below);
        } else if meta.is_file() && is_text(&path) {
            if found.len() == FILES_MAX {
                over += 1;
                continue;
            }
            let stamp = Stamp { modified: meta.modified().ok(), bytes: meta.len() };
            found.insert(path, stamp);
        }
    }
    (found, over)
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {} MiB, the limit", FILE_BYTES_MAX >> 20));
    }
    Ok(bytes)
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 from byte {} on", error.valid_up_to()))
}

/// Policies of a file; one that is broken is kept by the set in the version that compiled last.
fn policies(name: &str, bytes: Text<'_>, last: &[Entry], limits: &Limits) -> Read<Entry> {
    let (mut entries, mut faults) = match bytes.and_then(utf8) {
        Err(fault) => (Vec::new(), vec![fault]),
        Ok(text) => {
            let reading = check::read(name, text, limits);
            let errors = reading.diagnostics.iter().filter(|finding| finding.is_error());
            let faults: Vec<String> = errors.map(ToString::to_string).collect();
            (reading.entries, faults)
        }
    };
    if faults.is_empty() {
        return Ok((entries, faults));
    }
    // What the broken text hides may still be there: nothing of it is dropped.
    for before in last {
        if !entries.iter().any(|entry| entry.name() == before.name()) {
            entries.push(before.clone());
        }
    }
    if entries.is_empty() {
        let fault = faults.swap_remove(0);
        entries.push(Entry::Broken(Broken {
            name: name.to_owned(),
            order: None,
            selector: None,
            namespace_selector: None,
            fault: fault.clone(),
            source: name.to_owned(),
        }));
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

/// `ImageScan`s, or a scanner's reports.
fn scans(bytes: &[u8]) -> Read<Loose> {
    let object = |(name, spec): (String, ImageScanSpec)| {
        loose(&json!({"metadata": {"name": name}, "spec": spec}))
    };
    let found = watched_scans(bytes)?.into_iter().map(object).collect::<Result<_, _>>()?;
    Ok((found, Vec::new()))
}

/// The settings, whole or their `spec` alone.
fn settings(bytes: &[u8]) -> Read<Loose> {
    if let Ok(found) = objects(bytes, &["ImageAssuranceSettings"]) {
        return Ok(found);
    }
    let mut found = Vec::new();
    for document in yaml::documents(utf8(bytes)?, &yaml::Limits::default()) {
        if let Some(fault) = document.faults.first() {
            return Err(fault.message.clone());
        }
        if let Some(root) = &document.root {
            let spec = yaml::to_json(root);
            found.push(loose(&json!({"metadata": {"name": SETTINGS_NAME}, "spec": spec}))?);
        }
    }
    Ok((found, Vec::new()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    #[cfg(unix)]
    fn links_and_pipes_do_not_stop_a_look() {
        let root = std::env::temp_dir().join(format!("caapc-local-{}", std::process::id()));
        fs::create_dir_all(root.join("below")).expect("folder");
        for name in ["a.yaml", "below/b.json", "below/readme.md", ".hidden.yaml"] {
            fs::write(root.join(name), "").expect("file");
        }
        // Two links to the folder itself would be 2^40 paths, one for each way through them.
        for name in ["one", "two", "below/up"] {
            std::os::unix::fs::symlink(&root, root.join(name)).expect("link");
        }
        std::os::unix::fs::symlink("self.yaml", root.join("self.yaml")).expect("link");
        let pipe = std::process::Command::new("mkfifo").arg(root.join("pipe.yaml")).status();
        assert!(pipe.expect("mkfifo").success());

        let (found, over) = files(&root);
        let names: Vec<_> = found.keys().filter_map(|path| path.file_name()).collect();
        assert_eq!((names, over), (vec!["a.yaml".as_ref(), "b.json".as_ref()], 0));
        fs::remove_dir_all(root).expect("clean");
    }
}
