//! Finds the cases of a suite, and refuses what belongs to none.

use std::path::{Path, PathBuf};

use super::suite::{Case, Shape, Suite, root};
use super::suites;

/// What else may be in `golden/`: code, and data that tests read as it is.
const BESIDE: &[&str] = &[
    "README.md",
    "main.rs",
    "accept.rs",
    "find.rs",
    "run.rs",
    "service.rs",
    "suite.rs",
    "suites",
    "corpora",
    "recordings",
    "reference",
];

/// A found case: its name and its path.
pub type Found = (String, PathBuf);

/// Every entry of `golden/` belongs to a suite, or is known.
pub fn check_layout() -> Result<(), String> {
    let golden = root().join("golden");
    let folders: Vec<PathBuf> = suites::ALL.iter().map(|suite| root().join(suite.folder)).collect();
    let stray: Vec<String> = entries(&golden)?
        .into_iter()
        .filter(|path| {
            !folders.contains(path) && !BESIDE.iter().any(|known| golden.join(known) == *path)
        })
        .map(|path| format!("{}: no suite knows this; remove it or add a suite", path.display()))
        .collect();
    if stray.is_empty() { Ok(()) } else { Err(stray.join("\n")) }
}

/// The cases of a suite, by name, and what is wrong with the other files of its folder.
pub fn cases(suite: &Suite) -> Result<(Vec<Found>, Vec<String>), String> {
    let folder = root().join(suite.folder);
    if matches!(suite.shape, Shape::Page { .. }) {
        return Ok((vec![(suite.name.to_owned(), folder)], Vec::new()));
    }
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for path in entries(&folder)? {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if suite.beside.contains(&file_name.as_str()) {
            continue;
        }
        let wanted = match &suite.shape {
            Shape::Table { extension, .. } | Shape::Tail { extension, .. } => {
                path.is_file() && path.extension().is_some_and(|end| end == *extension)
            }
            Shape::Folder { inputs, outputs, .. } => {
                let is_case = path.is_dir();
                if is_case {
                    faults.extend(strangers(&path, inputs, outputs)?);
                }
                is_case
            }
            Shape::Corpus { .. } | Shape::Page { .. } => path.is_file(),
        };
        if wanted {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((format!("{}/{stem}", suite.name), path));
        } else {
            faults.push(format!("{}: not a case of `{}`", path.display(), suite.name));
        }
    }
    if found.is_empty() {
        faults.push(format!("{}: no cases", folder.display()));
    }
    Ok((found, faults))
}

fn strangers(case: &Path, inputs: &[&str], outputs: &[&str]) -> Result<Vec<String>, String> {
    let known = |path: &PathBuf| inputs.iter().chain(outputs).any(|name| case.join(name) == **path);
    Ok(entries(case)?
        .into_iter()
        .filter(|path| !known(path))
        .map(|path| format!("{}: neither goes into a case nor comes out", path.display()))
        .collect())
}

/// Reads a text of a case. Line ends are one byte everywhere, or a diff would not show them.
pub fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    if text.contains('\r') {
        return Err(format!("{shown}: has a carriage return; write escapes, or save with LF"));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(format!("{shown}: does not end with a newline"));
    }
    Ok(text)
}

/// The input of a case and its expected part, which is `None` if there is none yet.
pub fn read_case(suite: &Suite, found: &Found) -> Result<(Case, Option<String>), String> {
    let (name, path) = found.clone();
    let case = |input| Case { name, path: path.clone(), input };
    Ok(match &suite.shape {
        Shape::Table { .. } => {
            let text = read(&path)?;
            (case(text.clone()), Some(text))
        }
        Shape::Tail { marker, .. } => {
            let text = read(&path)?;
            let line = format!("{marker}\n");
            match text.find(&line).filter(|&at| at == 0 || text[..at].ends_with('\n')) {
                Some(at) => (case(text[..at].to_owned()), Some(text[at + line.len()..].to_owned())),
                None => (case(text), None),
            }
        }
        Shape::Page { .. } => {
            let text = path.exists().then(|| read(&path)).transpose()?;
            (case(String::new()), text)
        }
        Shape::Folder { .. } | Shape::Corpus { .. } => (case(String::new()), None),
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()
        })
        .map_err(failed)?;
    entries.sort();
    Ok(entries)
}
