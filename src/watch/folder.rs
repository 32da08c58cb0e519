//! The files of a folder: which there are, whether they changed, what is in them.
//!
//! It knows nothing of what the files mean. Start at [`files`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of one file.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;

/// Changes whenever the file does; rarely when it does not, which is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// What is at a path.
pub(super) struct Found {
    /// The files, in order of their paths.
    pub(super) files: Vec<(PathBuf, Stamp)>,
    /// There are more than the limits allow.
    pub(super) over: bool,
}

impl Found {
    /// Whether there is a file at this path.
    pub(super) fn has(&self, path: &Path) -> bool {
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
    let mut found = Found { files: Vec::new(), over: false };
    let mut walked = HashSet::new();
    let mut entries_left = 10 * files_max;
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
                found.over = true;
                below.truncate(entries_left);
            }
            entries_left -= below.len();
            folders.extend(below);
        } else if meta.is_file() && has_ending(&path, endings) {
            if found.files.len() == files_max {
                found.over = true;
                continue;
            }
            let stamp = Stamp { modified: meta.modified().ok(), bytes: meta.len() };
            found.files.push((path, stamp));
        }
    }
    found.files.sort_unstable_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
    found
}

pub(super) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| endings.contains(&ending))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    #[cfg(unix)]
    fn links_and_pipes_do_not_stop_a_look() {
        let root = std::env::temp_dir().join(format!("caapc-folder-{}", std::process::id()));
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

        let names = |found: &Found| {
            let names = found.files.iter().filter_map(|(path, _)| path.file_name());
            names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let found = files(&root, &["yaml", "json"], 10);
        assert_eq!((names(&found), found.over), (vec!["a.yaml".into(), "b.json".into()], false));
        let found = files(&root, &["yaml", "json"], 1);
        assert_eq!((names(&found).len(), found.over), (1, true));
        fs::remove_dir_all(root).expect("clean");
    }
}
