//! The tables of ARCHITECTURE.md, "Who may import whom", hold.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table whose heading has `title` as its second column.
fn table(title: &str) -> BTreeMap<String, Vec<String>> {
    let text =
        std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let heading = format!("| room | {title} |");
    let start =
        text.find(&heading).unwrap_or_else(|| panic!("ARCHITECTURE.md has no table `{heading}`"));
    text[start..]
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let words = cells[1].split(',').map(|word| word.trim().to_owned());
            (cells[0].to_owned(), words.filter(|word| !word.is_empty()).collect())
        })
        .collect()
}

/// Every room below `src/` with its files.
fn rooms() -> BTreeMap<String, Vec<PathBuf>> {
    let mut rooms: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let below = path.strip_prefix(root().join("src")).expect("a path below src");
            let first = below.iter().next().expect("a path has a first part");
            let room = first.to_string_lossy().trim_end_matches(".rs").to_owned();
            if room != "lib" && room != "main" && path.extension().is_some_and(|end| end == "rs") {
                rooms.entry(room).or_default().push(path);
            }
        }
    }
    rooms
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    if path.ends_with("tests.rs") {
        return String::new();
    }
    let text = std::fs::read_to_string(path).expect("a source file can be read");
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The first words after each `crate::`, those in braces too.
fn imported(code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect()
    };
    let mut rooms = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            None => rooms.push(word(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut part = String::new();
                for char in list.chars() {
                    match char {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => rooms.push(word(&std::mem::take(&mut part))),
                        _ => {}
                    }
                    if !(char == ',' && depth == 0) {
                        part.push(char);
                    }
                }
                rooms.push(word(&part));
            }
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

#[test]
fn rooms_import_what_the_table_allows() {
    let allowed = table("may import");
    let rooms = rooms();
    assert_eq!(
        rooms.keys().collect::<Vec<_>>(),
        allowed.keys().collect::<Vec<_>>(),
        "the table and src/ name the same rooms"
    );
    let mut faults = Vec::new();
    for (room, files) in &rooms {
        for file in files {
            for other in imported(&code(file)) {
                let known = rooms.contains_key(&other) && other != *room;
                let fine = allowed[room].iter().any(|name| *name == other || name == "every room");
                if known && !fine {
                    faults.push(format!("{}: {room} may not import {other}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn rooms_do_without_what_the_table_forbids() {
    let mut faults = Vec::new();
    let rooms = rooms();
    for (room, packages) in table("must not use these packages") {
        for file in &rooms[&room] {
            let code = code(file);
            for package in &packages {
                if code.contains(&format!("{package}::"))
                    || code.contains(&format!("use {package};"))
                {
                    faults.push(format!("{}: {room} may not use {package}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn imports_are_found() {
    let code = "use crate::{admission::Answer, scan::{ScanShelf, fact}, reference};\nlet x = crate::watch::run();";
    assert_eq!(imported(code), ["admission", "scan", "reference", "watch"]);
}
