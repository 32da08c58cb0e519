//! Facts that a cluster would tell, from the command line: the time, scans, namespaces.
//!
//! Start at [`Facts`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use caapc_compiler::time::parse_rfc3339;
use caapc_compiler::yaml::{self, Limits, Lines, Node};
use caapc_vm::facts::{ScanStatus, Timestamp};

use crate::cli::files;
use crate::cli::io::{Failure, path_name, read_text, shown};
use crate::cli::scan::facts::{ScanFiles, Thresholds};
use crate::namespaces::{Namespace, Namespaces};
use crate::scan::{ScanFact, ScanShelf, ScanState};

/// What is known besides the policies.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Facts")]
pub struct Facts {
    /// The time of the decision, such as `2026-01-31T10:00:00Z`; the clock's if absent.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub now: Option<Timestamp>,

    /// What is known of an image's scan, such as `nginx:1.27=Pass,2d`.
    ///
    /// STATUS is Pass, Warn, Fail or Unknown. WHEN is the last scan: a time, an age such as `2d`
    /// or `1d12h` (units s, m, h, d, w), or `never`; absent: now. Images are compared in canonical
    /// form. May be given many times; the last for an image counts.
    #[arg(long, value_name = "IMAGE=STATUS[,WHEN]")]
    pub scan: Vec<String>,

    /// Scan results from files; `--scan` comes before them.
    #[command(flatten)]
    pub files: ScanFiles,

    /// Thresholds that come before the settings.
    #[command(flatten)]
    pub thresholds: Thresholds,

    /// Files or folders with Namespace manifests, for their labels; `-` is standard input.
    #[arg(long, value_name = "FILES", num_args = 1..)]
    pub namespaces: Vec<PathBuf>,

    /// Labels of every namespace that `--namespaces` does not list, such as `env=prod,team=a`.
    #[arg(long, value_name = "K=V,...", value_parser = labels)]
    pub namespace_labels: Option<Labels>,
}

/// Keys and values, in the order of writing.
pub type Labels = Arc<[(String, String)]>;

impl Facts {
    /// The time of the decisions: one for a whole command.
    ///
    /// # Errors
    /// [`Failure::Environment`] if the clock is before 1970.
    pub fn now(&self) -> Result<Timestamp, Failure> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        clock()
    }

    /// The scans that are known.
    ///
    /// # Errors
    /// [`Failure::Input`] for a scan that cannot be read.
    pub fn scans(&self, now: Timestamp) -> Result<ScanShelf, Failure> {
        let shelf = self.files.shelf(self.thresholds, now)?;
        self.scan.iter().try_fold(shelf, |shelf, text| {
            let (image, fact) = scan(text, now)
                .map_err(|why| Failure::Input(format!("--scan `{}`: {why}", shown(text))))?;
            add_scan(shelf, image, fact)
                .map_err(|why| Failure::Input(format!("--scan `{}`: {why}", shown(text))))
        })
    }

    /// The namespaces that are listed.
    ///
    /// # Errors
    /// [`Failure::Input`] for a file that cannot be read or holds no Namespace.
    pub fn namespaces(&self) -> Result<Namespaces, Failure> {
        if self.namespaces.is_empty() {
            return Ok(Namespaces::empty());
        }
        read_namespaces(&self.namespaces)
    }
}

/// The time that the clock says.
///
/// # Errors
/// [`Failure::Environment`] if it is before 1970.
pub fn clock() -> Result<Timestamp, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.map_err(|_| {
        Failure::Environment("the clock says a time before 1970; give `--now`".to_owned())
    })?;
    let secs = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Ok(Timestamp { secs, nanos: since.subsec_nanos() })
}

/// Puts one fact on a shelf.
///
/// # Errors
/// Why the image is no reference.
pub fn add_scan(shelf: ScanShelf, image: &str, fact: ScanFact) -> Result<ScanShelf, String> {
    shelf.with_override(image, fact).map_err(|error| error.to_string())
}

/// Reads the Namespace manifests of files and folders.
///
/// # Errors
/// [`Failure::Input`] for a file that cannot be read or holds no Namespace.
pub fn read_namespaces(paths: &[PathBuf]) -> Result<Namespaces, Failure> {
    let mut all = HashMap::new();
    for path in files::list(paths)? {
        let (name, text) = (shown(&path_name(&path)), read_text(&path)?);
        let (lines, before) = (Lines::new(&text), all.len());
        for document in yaml::documents(&text, &Limits::default()) {
            if let Some(fault) = document.faults.first() {
                let at = lines.position(fault.span.start);
                let sentence = format!("{name}:{}:{}: {}", at.line, at.column, fault.message);
                return Err(Failure::Input(sentence));
            }
            let Some(root) = &document.root else { continue };
            add_namespaces(root, &mut all).map_err(|(node, why)| {
                let at = lines.position(node.span.start);
                Failure::Input(format!("{name}:{}:{}: {why}", at.line, at.column))
            })?;
        }
        if all.len() == before {
            return Err(Failure::Input(format!("{name}: no Namespace in this file")));
        }
    }
    Ok(all.into_values().collect())
}

fn add_namespaces<'n, 't>(
    node: &'n Node<'t>,
    all: &mut HashMap<String, Namespace>,
) -> Result<(), (&'n Node<'t>, String)> {
    let kind = node.get("kind").and_then(Node::as_str).unwrap_or_default();
    if let (Some(_), Some(items)) = (kind.strip_suffix("List"), node.get("items")) {
        let yaml::Value::Sequence(items) = &items.value else { return Ok(()) };
        return items.iter().try_for_each(|item| add_namespaces(item, all));
    }
    if kind != "Namespace" {
        return Ok(());
    }
    let metadata = node.get("metadata");
    let Some(name) = metadata.and_then(|node| node.get("name")).and_then(Node::as_str) else {
        return Err((node, "this Namespace has no `metadata.name`".to_owned()));
    };
    let mut labels = Vec::new();
    let written = metadata.and_then(|node| node.get("labels"));
    if let Some(node) = written.filter(|node| node.pairs().is_none() && !node.is_null()) {
        let found = node.describe();
        return Err((node, format!("`metadata.labels` must be a mapping, found {found}")));
    }
    for pair in written.and_then(Node::pairs).unwrap_or_default() {
        let Some(value) = pair.node.as_str() else {
            let found = pair.node.describe();
            let key = shown(&pair.key);
            return Err((&pair.node, format!("the label `{key}` must be a string, found {found}")));
        };
        labels.push((pair.key.to_string(), value.to_owned()));
    }
    match all.insert(name.to_owned(), Namespace::new(name, labels)) {
        None => Ok(()),
        Some(_) => {
            let name = shown(name);
            Err((node, format!("the namespace `{name}` is there twice; remove one of them")))
        }
    }
}

/// Reads `IMAGE=STATUS[,WHEN]`.
fn scan(text: &str, now: Timestamp) -> Result<(&str, ScanFact), String> {
    let (image, what) = text
        .rsplit_once('=')
        .ok_or("expected IMAGE=STATUS[,WHEN], such as `nginx:1.27=Pass,2d`")?;
    let (status, when) = what.split_once(',').map_or((what, None), |(one, two)| (one, Some(two)));
    Ok((image, fact(status, when, now)?))
}

/// A scan fact from its words; without `when`, the image was scanned now.
///
/// # Errors
/// What is wrong with the words.
pub fn fact(status: &str, when: Option<&str>, now: Timestamp) -> Result<ScanFact, String> {
    let status = status_word(status)?;
    let last_scan = match when {
        None => Some(now),
        Some(when) => last_scan(when, now)?,
    };
    let never = status == ScanStatus::Unknown && last_scan.is_none();
    let state = if never { ScanState::NeverScanned } else { ScanState::Scanned };
    Ok(ScanFact { status, last_scan, state })
}

/// Reads a status word.
///
/// # Errors
/// The words there are.
pub fn status_word(word: &str) -> Result<ScanStatus, String> {
    ScanStatus::from_word(word).ok_or_else(|| {
        format!("unknown status `{}`, expected Pass, Warn, Fail or Unknown", shown(word))
    })
}

/// Reads a last scan: a time, an age before now, or `never`.
///
/// # Errors
/// What is wrong with it.
pub fn last_scan(when: &str, now: Timestamp) -> Result<Option<Timestamp>, String> {
    if when == "never" {
        return Ok(None);
    }
    if let Some(secs) = age_secs(when) {
        return Ok(Some(now.plus_secs(-secs)));
    }
    parse_rfc3339(when).map(Some).map_err(|why| {
        let when = shown(when);
        format!("`{when}` is no age such as `2d` or `1d12h`, not `never`, and no time: {why}")
    })
}

/// Whole seconds of an age such as `1d12h`.
fn age_secs(text: &str) -> Option<i64> {
    let (mut total, mut rest) = (0_i64, text);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, after) = rest.split_at(digits);
        let unit = match after.bytes().next()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(count.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = after.get(1..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// Reads a time of the command line.
///
/// # Errors
/// What to write instead.
pub fn time(text: &str) -> Result<Timestamp, String> {
    parse_rfc3339(text).map_err(|why| format!("{why}; write a time such as 2026-01-31T10:00:00Z"))
}

/// Reads `k=v,k=v`; an empty text is no label.
///
/// # Errors
/// The part that is not `k=v`.
pub fn labels(text: &str) -> Result<Labels, String> {
    if text.is_empty() {
        return Ok(Labels::default());
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .filter(|(key, value)| !key.is_empty() && !value.contains('='))
            .ok_or_else(|| format!("`{}` is not KEY=VALUE", shown(part)))?;
        if labels.iter().any(|(known, _)| known == key) {
            return Err(format!("the key `{}` is given twice", shown(key)));
        }
        labels.push((key.to_owned(), value.to_owned()));
    }
    Ok(labels.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000_000);

    #[track_caller]
    fn reads(text: &str, image: &str, status: ScanStatus, age: Option<i64>) {
        let (found, fact) = scan(text, NOW).unwrap();
        assert_eq!((found, fact.status), (image, status));
        assert_eq!(fact.last_scan.map(|then| NOW.secs - then.secs), age);
    }

    #[test]
    fn scans_are_an_image_a_status_and_perhaps_a_time() {
        reads("nginx=Pass", "nginx", ScanStatus::Pass, Some(0));
        reads("nginx:1=Warn,2d", "nginx:1", ScanStatus::Warn, Some(172_800));
        reads("a/b@sha256:00=Fail,1d12h", "a/b@sha256:00", ScanStatus::Fail, Some(129_600));
        reads("a=Unknown,never", "a", ScanStatus::Unknown, None);
        reads("a=Pass,2001-09-09T01:46:30Z", "a", ScanStatus::Pass, Some(10));
        assert_eq!(scan("a=Unknown,never", NOW).unwrap().1, ScanFact::NEVER);
    }

    #[test]
    fn what_is_none_is_refused_with_its_reason() {
        let refused = |text| scan(text, NOW).unwrap_err();
        assert!(refused("nginx").contains("expected IMAGE=STATUS"));
        assert!(refused("nginx=pass").contains("expected Pass, Warn, Fail or Unknown"));
        assert!(refused("nginx=Pass,").contains("is no age"));
        assert!(refused("nginx=Pass,2y").contains("is no age"));
        assert!(refused("nginx=Pass,99999999999999999999d").contains("is no age"));
        assert!(labels("a").unwrap_err().contains("KEY=VALUE"));
        assert!(labels("a==b").unwrap_err().contains("KEY=VALUE"));
        assert_eq!(labels("a=1,b=2,a=1").unwrap_err(), "the key `a` is given twice");
        assert_eq!(
            *labels("a=1,b=").unwrap(),
            [("a".into(), "1".into()), ("b".into(), String::new())]
        );
    }
}
