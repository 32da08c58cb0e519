//! Which files a command reads: names as given, and folders walked.
//!
//! A file named by the user is read whatever it is called; in a folder only `*.yaml`, `*.yml` and
//! `*.json` count, in capitals or not, sorted, so that the answers come in the same order
//! everywhere. Start at [`list`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::io::{Failure, path_name, read_text};
use crate::scan::files::has_ending;

/// How deep folders may nest below one that is named.
pub const FOLDER_DEPTH_MAX: usize = 32;
/// How many files one command reads.
pub const FILES_MAX: usize = 20_000;
/// How many bytes all of them have together.
pub const TOTAL_BYTES_MAX: u64 = 512 << 20;
/// How many entries of folders are looked at, files that do not count among them.
const ENTRIES_MAX: usize = 1_000_000;
/// The endings that count in a folder, in capitals or not.
const ENDINGS: &[&str] = &["yaml", "yml", "json"];

/// A file and its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name a user knows it by.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// The files that the paths stand for: `-` and files as they are, folders walked in order.
///
/// A file that several paths name is read once. Links are followed; a link that leads back to a
/// folder that is being walked is passed over.
///
/// # Errors
/// [`Failure::Input`] for a path that does not exist, a folder without any file that counts,
/// `-` given twice, and over the limits above.
pub fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut walk = Walk::default();
    for path in paths {
        if path == Path::new("-") {
            if !walk.seen.insert(path.clone()) {
                return Err(Failure::Input("`-` (standard input) is given twice".to_owned()));
            }
            walk.files.push(path.clone());
            continue;
        }
        let meta = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
        if meta.is_dir() {
            let before = walk.met;
            walk.folder(path, &mut Vec::new())?;
            if walk.met == before {
                return Err(Failure::Input(format!(
                    "{}: no *.yaml, *.yml or *.json file in this folder",
                    path_name(path)
                )));
            }
        } else {
            walk.file(path)?;
        }
    }
    Ok(walk.files)
}

/// Reads every file that the paths stand for, one after the other.
///
/// # Errors
/// As [`list`], and as [`read_text`] for each file.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    list(paths)?
        .iter()
        .map(|path| Ok(Source { name: path_name(path), text: read_text(path)? }))
        .collect()
}

#[derive(Default)]
struct Walk {
    files: Vec<PathBuf>,
    /// Files found, by their true path.
    seen: HashSet<PathBuf>,
    /// How often a file that counts was met, those found before included.
    met: usize,
    entries: usize,
    bytes: u64,
}

impl Walk {
    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        // A pipe or a device has no other name; then the path itself is what is compared.
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.met += 1;
        if self.seen.insert(real) {
            self.files.push(path.to_owned());
            // What grows after this look is held by the limit on each file.
            self.bytes += std::fs::metadata(path).map_or(0, |meta| meta.len());
        }
        if self.bytes > TOTAL_BYTES_MAX {
            return Err(Failure::Input(format!(
                "{}: with this file there are more than {} MiB, the limit for one command",
                path_name(path),
                TOTAL_BYTES_MAX >> 20
            )));
        }
        if self.files.len() > FILES_MAX {
            return Err(Failure::Input(format!(
                "more than {FILES_MAX} files, the limit for one command; name fewer folders"
            )));
        }
        Ok(())
    }

    /// `above`: the true paths of the folders that are being walked.
    fn folder(&mut self, folder: &Path, above: &mut Vec<PathBuf>) -> Result<(), Failure> {
        if above.len() > FOLDER_DEPTH_MAX {
            return Err(Failure::Input(format!(
                "{}: folders nest deeper than {FOLDER_DEPTH_MAX} levels, the limit",
                path_name(folder)
            )));
        }
        let real = std::fs::canonicalize(folder).map_err(|error| cannot_read(folder, &error))?;
        if above.contains(&real) {
            return Ok(()); // a link to a folder above it
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| cannot_read(folder, &error))? {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(Failure::Input(format!(
                    "{}: more than {ENTRIES_MAX} entries in the folders, the limit",
                    path_name(folder)
                )));
            }
            names.push(entry.map_err(|error| cannot_read(folder, &error))?.file_name());
        }
        names.sort();
        above.push(real);
        for name in names {
            let path = folder.join(&name);
            // What vanished meanwhile and links that lead nowhere are passed over, as are
            // hidden folders (`.git`, and `..data` of a mounted volume, whose files are linked).
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if meta.is_dir() && !hidden {
                self.folder(&path, above)?;
            } else if meta.is_file() && has_ending(&path, ENDINGS) {
                self.file(&path)?;
            }
        }
        above.pop();
        Ok(())
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Input(format!("{}: cannot be read: {error}", path_name(path)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn folder() -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("caapc-files-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).expect("folder");
        path
    }

    fn names(root: &Path, found: &[PathBuf]) -> Vec<String> {
        found
            .iter()
            .map(|path| path.strip_prefix(root).unwrap_or(path).display().to_string())
            .collect()
    }

    #[test]
    fn folders_are_walked_in_order_and_once() {
        let root = folder();
        fs::create_dir_all(root.join("b/c")).expect("folder");
        fs::create_dir_all(root.join(".git")).expect("folder");
        for name in ["z.yaml", "a.yml", "b/c/x.JSON", "b/readme.md", ".git/y.yaml"] {
            fs::write(root.join(name), "").expect("file");
        }
        std::os::unix::fs::symlink(&root, root.join("b/loop")).expect("link");
        std::os::unix::fs::symlink("/nowhere/at/all", root.join("b/lost.yaml")).expect("link");
        std::os::unix::fs::symlink(root.join("a.yml"), root.join("b/again.yaml")).expect("link");

        let found = list(std::slice::from_ref(&root)).expect("list");
        assert_eq!(names(&root, &found), ["a.yml", "b/c/x.JSON", "z.yaml"]);
        // A file that is named is read whatever it is called, and a second time is once.
        let found = list(&[root.join("b/readme.md"), root.join("a.yml"), root.clone()]);
        let found = found.expect("list");
        assert_eq!(names(&root, &found), ["b/readme.md", "a.yml", "b/c/x.JSON", "z.yaml"]);
        let found = list(&[root.join("z.yaml"), root.join("b"), root.join("b"), root.clone()]);
        assert_eq!(names(&root, &found.expect("list")), ["z.yaml", "b/again.yaml", "b/c/x.JSON"]);
        fs::remove_dir_all(root).expect("clean");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let root = folder();
        let sentence = |paths: &[PathBuf]| list(paths).expect_err("refused").to_string();
        assert!(sentence(&[root.join("none.yaml")]).contains("none.yaml: cannot be read"));
        assert!(sentence(std::slice::from_ref(&root)).contains("no *.yaml, *.yml or *.json file"));
        assert!(sentence(&["-".into(), "-".into()]).contains("given twice"));
        let large = fs::File::create(root.join("large.yaml")).expect("file");
        large.set_len(TOTAL_BYTES_MAX + 1).expect("a file with a hole");
        assert!(sentence(std::slice::from_ref(&root)).contains("more than 512 MiB"));
        fs::remove_file(root.join("large.yaml")).expect("clean");
        let mut deep = root.clone();
        (0..40).for_each(|_| deep.push("d"));
        fs::create_dir_all(&deep).expect("folder");
        assert!(sentence(std::slice::from_ref(&root)).contains("deeper than 32"));
        fs::remove_dir_all(root).expect("clean");
    }
}
