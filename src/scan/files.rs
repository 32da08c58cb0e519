//! Scan results, exceptions and settings from files and folders: what a cluster would have as
//! objects, for commands that work without one.
//!
//! Reports and `ImageScan`s may be mixed. Each file is a source of its own: which of several
//! results for an image counts is decided when it is looked up. Start at [`load`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use caapc_vm::facts::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

use super::beginning;
use super::report::{self, Reading, Report};
use super::settings::Settings;
use super::store::ScanStore;
use super::table;
use crate::api::{
    ImageAssuranceSettingsSpec, ImageScanSpec, SETTINGS_NAME, Score, ThresholdBoundary,
    VulnerabilityExceptionSpec,
};

/// How many files a command reads.
pub const FILES_MAX: usize = 1_000_000;
/// How deep folders may nest.
const DEPTH_MAX: usize = 32;
/// The largest file of exceptions or settings, in bytes.
const OBJECT_FILE_BYTES_MAX: u64 = 64 << 20;

/// Where scans, exceptions and settings are.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Files and folders with reports and `ImageScan`s.
    pub scans: &'a [PathBuf],
    /// Files and folders with `VulnerabilityException`s, or the original's CSV.
    pub exceptions: &'a [PathBuf],
    /// A file with `ImageAssuranceSettings`.
    pub settings: Option<&'a Path>,
    /// What comes before the settings.
    pub thresholds: ThresholdsGiven,
    /// The time of a report that does not say when it was made.
    pub now: Timestamp,
}

/// Thresholds that come before those of the settings: by flag or environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThresholdsGiven {
    /// From where on an image fails.
    pub fail: Option<Score>,
    /// Above what an image is warned of.
    pub warn: Option<Score>,
    /// Whether the fail threshold itself fails.
    pub boundary: Option<ThresholdBoundary>,
}

impl ThresholdsGiven {
    /// The settings of an object with these laid over them.
    ///
    /// # Errors
    /// One sentence, if the thresholds are then in the wrong order.
    pub fn over(&self, spec: &ImageAssuranceSettingsSpec) -> Result<Settings, String> {
        let Self { fail, warn, boundary } = *self;
        Settings::from_spec(&ImageAssuranceSettingsSpec {
            fail_threshold: fail.or(spec.fail_threshold),
            warn_threshold: warn.or(spec.warn_threshold),
            boundary: boundary.or(spec.boundary),
            ..spec.clone()
        })
    }
}

/// Reads everything into a store. The notes are what a person should know about the reports.
///
/// # Errors
/// One sentence for the first file that cannot be used, with its name.
pub fn load(sources: &Sources<'_>) -> Result<(ScanStore, Vec<String>), String> {
    let mut store = ScanStore::new();
    let spec = sources.settings.map(settings).transpose()?.unwrap_or_default();
    store.set_settings(sources.thresholds.over(&spec)?);
    for path in walk(sources.exceptions, &["yaml", "yml", "json", "csv"])? {
        for (name, spec) in exceptions(&path)? {
            let in_file = |why: String| format!("{}: `{name}`: {why}", path.display());
            store.apply_exception(&name, &spec).map_err(in_file)?;
        }
    }
    let paths = walk(sources.scans, &["json", "yaml", "yml", "jsonl"])?;
    let reading = Reading { image: None, undated: Some(sources.now), latest: None };
    let mut notes = Vec::new();
    each_scan(&paths, &reading, |path, reports| {
        for (at, report) in reports.into_iter().enumerate() {
            let Report { spec, notes: of_report, .. } = report;
            notes.extend(of_report.into_iter().map(|note| format!("{}: {note}", path.display())));
            store
                .apply_scan(&format!("{}#{at}", path.display()), &spec)
                .map_err(|why| format!("{}: {why}", path.display()))?;
        }
        Ok(())
    })?;
    // Files are read in no order.
    notes.sort_unstable();
    Ok((store, notes))
}

/// Reads the reports of one file.
///
/// # Errors
/// One sentence with the file, line and column.
pub fn scans(path: &Path, reading: &Reading<'_>) -> Result<Vec<Report>, String> {
    let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    report::read(file, reading).map_err(|fault| match fault.at {
        Some(_) => format!("{}:{fault}", path.display()),
        None => format!("{}: {fault}", path.display()),
    })
}

/// Reads files on all cores and hands over what is in them, in no order. The first file with a
/// fault, by name, is the one told of.
fn each_scan(
    paths: &[PathBuf],
    reading: &Reading<'_>,
    mut take: impl FnMut(&Path, Vec<Report>) -> Result<(), String>,
) -> Result<(), String> {
    type Found = (usize, Result<Vec<Report>, String>);
    fn work(paths: &[PathBuf], reading: &Reading<'_>, next: &AtomicUsize, to: SyncSender<Found>) {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(at) else { return };
            if to.send((at, scans(path, reading))).is_err() {
                return;
            }
        }
    }
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8);
    let mut first: Option<(usize, String)> = None;
    std::thread::scope(|scope| {
        // Bounded, so that memory does not grow where reading is faster than packing.
        let (to, from) = sync_channel::<Found>(64);
        for _ in 0..threads.min(paths.len()) {
            let (to, next) = (to.clone(), &next);
            scope.spawn(move || work(paths, reading, next, to));
        }
        drop(to);
        for (at, found) in from {
            let path = paths.get(at).map_or(Path::new(""), PathBuf::as_path);
            if let Err(why) = found.and_then(|reports| take(path, reports))
                && first.as_ref().is_none_or(|(before, _)| at < *before)
            {
                first = Some((at, why));
            }
        }
    });
    first.map_or(Ok(()), |(_, why)| Err(why))
}

/// Reads the exceptions of one file, with their names: objects, a list of them, or CSV.
///
/// # Errors
/// One sentence with the file.
pub fn exceptions(path: &Path) -> Result<Vec<(String, VulnerabilityExceptionSpec)>, String> {
    let text = read_text(path)?;
    exceptions_of(&text, is_csv(path)).map_err(|why| match is_csv(path) {
        true => format!("{}:{why}", path.display()),
        false => format!("{}: {why}", path.display()),
    })
}

/// The same for the text of a file; `csv`: it is one of the original's lists.
///
/// # Errors
/// One sentence without the file.
pub fn exceptions_of(
    text: &str,
    csv: bool,
) -> Result<Vec<(String, VulnerabilityExceptionSpec)>, String> {
    if !csv {
        return objects(&documents(text)?, "VulnerabilityException");
    }
    let rows = table::import(text)?;
    Ok(rows.into_iter().map(|row| (row.name, row.spec)).collect())
}

/// Whether a file is one of the original's exception lists, by its name.
pub fn is_csv(path: &Path) -> bool {
    has_ending(path, &["csv"])
}

/// Whether a file's name ends in one of these, in capitals or not.
pub fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let is =
        |known: &&str| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(known));
    endings.iter().any(is)
}

/// Reads a settings file.
///
/// # Errors
/// One sentence with the file.
pub fn settings(path: &Path) -> Result<ImageAssuranceSettingsSpec, String> {
    settings_of(&read_text(path)?).map_err(|why| format!("{}: {why}", path.display()))
}

/// Settings as a text has them: the object `default`, or the fields of its `spec` alone.
///
/// # Errors
/// One sentence without the file.
pub fn settings_of(text: &str) -> Result<ImageAssuranceSettingsSpec, String> {
    let documents = documents(text)?;
    if let [one] = documents.as_slice()
        && let Ok(fields) = serde_json::from_str::<HashMap<String, IgnoredAny>>(one)
        && !["apiVersion", "kind", "metadata", "spec"].iter().any(|key| fields.contains_key(*key))
    {
        return serde_json::from_str(one).map_err(reason);
    }
    let mut all = objects(&documents, "ImageAssuranceSettings")?;
    match (all.pop(), all.len()) {
        (Some((name, spec)), 0) if name == SETTINGS_NAME => Ok(spec),
        (Some((name, _)), 0) => {
            Err(format!("the settings object is named `{SETTINGS_NAME}`, not `{name}`"))
        }
        (None, _) => Err("no ImageAssuranceSettings in this file".to_owned()),
        _ => Err("several ImageAssuranceSettings; there is one".to_owned()),
    }
}

/// An object or a list of them, as far as it is looked at.
#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    spec: Option<Box<RawValue>>,
    #[serde(default)]
    items: Vec<Object>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

/// The documents of a text, as JSON: YAML goes by way of it, so that there is one reader.
fn documents(text: &str) -> Result<Vec<Cow<'_, str>>, String> {
    let flow = text.trim_start().strip_prefix('{').map(str::trim_start);
    if flow.is_some_and(|rest| rest.starts_with(['"', '}'])) {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
        return Ok(vec![text.into()]);
    }
    let documents = from_yaml(text)?;
    let all = documents.iter().filter(|document| !document.is_null());
    if all.clone().any(|document| !document.is_object()) {
        return Err("a text or a list, not an object; write `kind` and `spec`".to_owned());
    }
    Ok(all.map(|document| document.to_string().into()).collect())
}

/// The objects of one kind, with their names.
///
/// # Errors
/// One sentence, for another kind too: what is not read must not be believed to hold.
fn objects<T: DeserializeOwned>(
    documents: &[Cow<'_, str>],
    kind: &str,
) -> Result<Vec<(String, T)>, String> {
    let mut found = Vec::new();
    for document in documents {
        let object: Object = serde_json::from_str(document).map_err(reason)?;
        let is_list = object.kind.ends_with("List");
        let all = if is_list { object.items } else { vec![object] };
        for Object { kind: of, metadata, spec, .. } in all {
            if of != kind {
                return Err(match of.as_str() {
                    "" => format!("an object without a `kind`; write `kind: {kind}`"),
                    _ => format!("an object of kind `{}`; expected `{kind}`", beginning(&of)),
                });
            }
            let name = metadata.name;
            let spec = serde_json::from_str(spec.as_ref().map_or("{}", |spec| spec.get()))
                .map_err(|error| {
                    format!("{kind} `{}`: spec: {}", beginning(&name), reason(error))
                })?;
            found.push((name, spec));
        }
    }
    Ok(found)
}

/// Without the place, which is one in our JSON.
fn reason(error: serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match text.strip_prefix("duplicate field ") {
        Some(field) => {
            format!("the key {} is given twice; remove one of the two", beginning(field))
        }
        None => beginning(text),
    }
}

/// Documents in one YAML file, and keys and values in all of them.
const DOCUMENTS_MAX: usize = 100_000;
const NODES_MAX: usize = 2_000_000;
/// How deep its lists and objects nest.
const NESTING_MAX: usize = 100;

/// The documents of a YAML text.
///
/// # Errors
/// One sentence with line and column.
pub(super) fn from_yaml(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: DOCUMENTS_MAX,
            max_nodes: NODES_MAX,
            max_events: 4 * NODES_MAX,
            max_depth: NESTING_MAX,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| in_yaml(&error))
}

/// A fault of YAML, in one line.
fn in_yaml(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::budget::BudgetBreach as Over;
    match error.without_snippet() {
        serde_saphyr::Error::Budget { breach, location } => {
            let what = match breach {
                Over::Documents { .. } => {
                    format!("more than {DOCUMENTS_MAX} documents, the limit for one file; split it")
                }
                Over::Depth { .. } => format!(
                    "lists and objects nest deeper than {NESTING_MAX} levels, the limit; check the \
                     brackets and the indentation"
                ),
                Over::Nodes { .. } | Over::Events { .. } => {
                    format!(
                        "more than {NODES_MAX} keys and values, the limit for one file; split it"
                    )
                }
                Over::Aliases { .. } | Over::Anchors { .. } | Over::AliasAnchorRatio { .. } => {
                    "too many anchors and aliases; write out what they stand for".to_owned()
                }
                _ => "too large for one file; split it".to_owned(),
            };
            format!("line {} column {}: {what}", location.line(), location.column())
        }
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), location } => format!(
            "line {} column {}: the key `{key}` is given twice; remove one of the two",
            location.line(),
            location.column()
        ),
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            beginning(line.strip_prefix("error: ").unwrap_or(line))
        }
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let opened: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| cannot_read(path, &error))?)
    };
    opened
        .take(OBJECT_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot_read(path, &error))?;
    if bytes.len() as u64 > OBJECT_FILE_BYTES_MAX {
        let limit = OBJECT_FILE_BYTES_MAX >> 20;
        return Err(format!("{}: larger than {limit} MiB, the limit", path.display()));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{}: not UTF-8; save the file as UTF-8", path.display()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The files that paths stand for: files as they are, folders walked, in order of name.
///
/// # Errors
/// One sentence for what does not exist, and over the limits.
pub fn walk(paths: &[PathBuf], endings: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut walk = Walk { endings, walked: HashSet::new(), files: Vec::new() };
    for path in paths {
        let meta = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
        if meta.is_dir() {
            walk.folder(path, 0)?;
        } else {
            walk.files.push(path.clone());
        }
    }
    Ok(walk.files)
}

struct Walk<'e> {
    endings: &'e [&'e str],
    /// The true paths of folders: one that links lead to again is walked once.
    walked: HashSet<PathBuf>,
    files: Vec<PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            let folder = folder.display();
            return Err(format!("{folder}: folders nest deeper than {DEPTH_MAX}, the limit"));
        }
        let real = folder.canonicalize().map_err(|error| cannot_read(folder, &error))?;
        if !self.walked.insert(real) {
            return Ok(());
        }
        let entries = std::fs::read_dir(folder).map_err(|error| cannot_read(folder, &error))?;
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| cannot_read(folder, &error))?;
        names.sort_unstable();
        for path in names {
            let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue;
            }
            if path.is_dir() {
                self.folder(&path, depth + 1)?;
            } else if has_ending(&path, self.endings) {
                self.files.push(path);
                if self.files.len() > FILES_MAX {
                    let folder = folder.display();
                    return Err(format!("{folder}: more than {FILES_MAX} files, the limit"));
                }
            }
        }
        Ok(())
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    format!("{}: cannot be read: {error}", path.display())
}

/// The scans of one file of a folder that is watched. A report without a time is refused: read
/// again after a restart, it would look as if made then.
///
/// # Errors
/// One sentence with line and column.
pub fn watched_scans(bytes: &[u8]) -> Result<Vec<ImageScanSpec>, String> {
    let reading = Reading { image: None, undated: None, latest: None };
    let reports = report::read_slice(bytes, &reading).map_err(|fault| fault.to_string())?;
    Ok(reports.into_iter().map(|report| report.spec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_links_lead_to_again_is_walked_once() {
        let root = std::env::temp_dir().join(format!("caapc-walk-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a/b")).expect("a folder");
        std::fs::create_dir_all(root.join("a/.git")).expect("a folder");
        for name in ["a/z.json", "a/b/y.json", "a/.git/x.json", "a/readme.md"] {
            std::fs::write(root.join(name), "").expect("a file");
        }
        for (to, link) in [("a", "a/b/loop"), ("a/b", "again"), (".", "self")] {
            std::os::unix::fs::symlink(root.join(to), root.join(link)).expect("a link");
        }
        let found = walk(&[root.clone(), root.join("a")], &["json"]).expect("files");
        let names = found.iter().map(|path| path.strip_prefix(&root).expect("below"));
        assert_eq!(names.collect::<Vec<_>>(), [Path::new("a/b/y.json"), Path::new("a/z.json")]);
        std::fs::remove_dir_all(root).expect("clean");
    }
}
