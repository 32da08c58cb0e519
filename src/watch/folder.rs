//! The files of a folder: which there are, whether they changed, what is in them.
//!
//! It knows nothing of what the files mean. Start at [`files`].

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::scan::files::has_ending;
use crate::telemetry::metrics::{Control, Shelf};

/// Bytes of one file.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;

/// Changes whenever the file does; rarely when it does not, which is harmless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Which file it is and when the system touched it last: a link that leads to another file, or
    /// one that was unpacked over it, may have the same time and size.
    identity: [i64; 3],
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            [meta.ino().cast_signed(), meta.ctime(), meta.ctime_nsec()]
        };
        #[cfg(not(unix))]
        let identity = [0; 3];
        Self { modified: meta.modified().ok(), bytes: meta.len(), identity }
    }
}

/// What is at a path.
pub(super) struct Found {
    /// The files, in order of their paths.
    pub(super) files: Vec<(PathBuf, Stamp)>,
    /// There are more than the limits allow.
    pub(super) over: bool,
    /// What is there but could not be looked into, and why.
    pub(super) closed: Vec<(PathBuf, String)>,
}

impl Found {
    /// Whether there is a file at this path, or may be: nothing is known to be gone from where
    /// nobody could look.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.is_there(path) || self.closed.iter().any(|(closed, _)| path.starts_with(closed))
    }

    /// Notes what could not be looked into; what is not there is no fault.
    fn closed(&mut self, path: &Path, error: &io::Error) {
        use io::ErrorKind::{NotADirectory, NotFound};
        if !matches!(error.kind(), NotFound | NotADirectory) {
            self.closed.push((path.to_owned(), error.to_string()));
        }
    }

    fn is_there(&self, path: &Path) -> bool {
        // PERF: as plain text; comparing the components of 100,000 paths takes longer than reading
        // what is there.
        let found = self.files.binary_search_by(|(at, _)| at.as_os_str().cmp(path.as_os_str()));
        found.is_ok()
    }
}

/// The files at a path: itself, or those below it with one of these endings, `files_max` of them.
/// Of files and folders together ten times as many are looked at.
///
/// A folder that links lead to again is walked once. What is neither file nor folder is passed
/// over: reading a pipe would wait for a writer, and nothing would be reloaded any more.
pub(super) fn files(at: &Path, endings: &[&str], files_max: usize) -> Found {
    let mut found = Found { files: Vec::new(), over: false, closed: Vec::new() };
    let mut walked = HashSet::new();
    let mut entries_left = 10 * files_max;
    let mut folders = vec![at.to_owned()];
    while let Some(path) = folders.pop() {
        let meta = match std::fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) => {
                found.closed(&path, &error);
                continue;
            }
        };
        if meta.is_dir() {
            match below(&path, &mut walked, entries_left + 1) {
                Ok(mut below) => {
                    if below.len() > entries_left {
                        found.over = true;
                        below.truncate(entries_left);
                    }
                    entries_left -= below.len();
                    folders.extend(below);
                }
                Err(error) => found.closed(&path, &error),
            }
        } else if meta.is_file() && has_ending(&path, endings) {
            if found.files.len() == files_max {
                found.over = true;
                continue;
            }
            found.files.push((path, Stamp::of(&meta)));
        }
    }
    found.files.sort_unstable_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
    found
}

/// What is in a folder, `max` at most; nothing if it was walked before. Hidden ones are an editor's,
/// or a volume's behind its links.
fn below(path: &Path, walked: &mut HashSet<PathBuf>, max: usize) -> io::Result<Vec<PathBuf>> {
    if !walked.insert(std::fs::canonicalize(path)?) {
        return Ok(Vec::new());
    }
    let shown = |path: &PathBuf| {
        path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
    };
    let mut below = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if shown(&path) {
            below.push(path);
        }
        if below.len() == max {
            break;
        }
    }
    Ok(below)
}

/// Tells of what cannot be looked into, when that begins.
pub(super) fn tell_closed(
    known: &mut Vec<PathBuf>,
    closed: &[(PathBuf, String)],
    shelf: &'static str,
    metrics: &Control,
) {
    for (path, reason) in closed.iter().filter(|(path, _)| !known.contains(path)) {
        metrics.malformed.get_or_create(&Shelf { shelf }).inc();
        let path = path.display();
        tracing::error!(%path, reason, "cannot be looked into; what was read there last stays");
    }
    *known = closed.iter().map(|(path, _)| path.clone()).collect();
}

/// The bytes of a file, which are as many as its stamp says if it has not changed since.
///
/// # Errors
/// One sentence without the file's name: it cannot be read, or is over [`FILE_BYTES_MAX`].
pub(super) fn bytes(path: &Path, stamp: Stamp) -> Result<Vec<u8>, String> {
    use std::io::Read;
    // PERF: room for one more, so that the end is met by a read and not by growing.
    let mut bytes = Vec::with_capacity(stamp.bytes.min(FILE_BYTES_MAX) as usize + 1);
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {} MiB, the limit for one file", FILE_BYTES_MAX >> 20));
    }
    Ok(bytes)
}

/// Says what is wrong with a file, and what counts instead.
pub(super) fn wrong_file(path: &Path, reason: &str, held: bool) {
    let file = path.display();
    if held {
        tracing::error!(%file, reason, "a file is wrong; what it last held stays");
    } else {
        tracing::error!(%file, reason, "a file is wrong, and nothing of it is known from before");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    #[cfg(unix)]
    fn links_and_pipes_do_not_stop_a_look() {
        let root = std::env::temp_dir().join(format!("caapc-folder-{}", std::process::id()));
        fs::create_dir_all(root.join("below")).expect("folder");
        for name in ["a.YAML", "below/b.json", "below/readme.md", ".hidden.yaml"] {
            fs::write(root.join(name), "").expect("file");
        }
        // Two links to the folder itself would be 2^40 paths, one for each way through them.
        for name in ["one", "two", "below/up"] {
            std::os::unix::fs::symlink(&root, root.join(name)).expect("link");
        }
        std::os::unix::fs::symlink("self.yaml", root.join("self.yaml")).expect("link");
        let pipe = std::process::Command::new("mkfifo").arg(root.join("pipe.yaml")).status();
        assert!(pipe.expect("mkfifo").success());

        let names = |found: &Found| {
            let names = found.files.iter().filter_map(|(path, _)| path.file_name());
            names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let found = files(&root, &["yaml", "json"], 10);
        assert_eq!((names(&found), found.over), (vec!["a.YAML".into(), "b.json".into()], false));
        let found = files(&root, &["yaml", "json"], 1);
        assert_eq!((names(&found).len(), found.over), (1, true));
        fs::remove_dir_all(root).expect("clean");
    }

    #[test]
    #[cfg(unix)]
    fn another_file_of_the_same_time_and_size_has_another_stamp() {
        let root = std::env::temp_dir().join(format!("caapc-stamp-{}", std::process::id()));
        for version in ["v1", "v2"] {
            fs::create_dir_all(root.join(version)).expect("folder");
            let file = fs::File::create(root.join(version).join("a.yaml")).expect("file");
            file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
        }
        let stamp_through = |version: &str| {
            let _ = fs::remove_file(root.join("now"));
            std::os::unix::fs::symlink(version, root.join("now")).expect("link");
            let found = files(&root.join("now"), &["yaml"], 10);
            found.files.first().map(|(_, stamp)| *stamp)
        };
        assert_ne!(stamp_through("v1"), stamp_through("v2"));
        assert_eq!(stamp_through("v1"), stamp_through("v1"));
        fs::remove_dir_all(root).expect("clean");
    }

    /// A path that is too long cannot be looked into even by those who may read everything.
    #[test]
    #[cfg(unix)]
    fn what_cannot_be_looked_into_is_not_gone() {
        let path = PathBuf::from(format!("/{}", "x".repeat(5_000)));
        let found = files(&path, &["yaml"], 10);
        assert_eq!(found.closed.len(), 1);
        assert!(found.files.is_empty() && found.has(&path.join("a.yaml")));
        assert!(!found.has(Path::new("/elsewhere/a.yaml")));
        assert!(files(Path::new("/nothing/here"), &["yaml"], 10).closed.is_empty());
    }
}
