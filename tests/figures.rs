//! The tables of `benches/README.md` and its picture are drawn from `benches/results/`.
//!
//! `BLESS=1 cargo test --test figures` draws them again, after a benchmark was run with `--save`.
//! No figure is judged here: only that what is shown is what was measured.

#[path = "../benches/plot.rs"]
mod plot;

use std::path::{Path, PathBuf};

use plot::{Bar, Group, unit};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches");

#[test]
fn what_is_shown_is_what_was_measured() {
    let folder = Path::new(FOLDER);
    let readme = folder.join("README.md");
    let mut page = std::fs::read_to_string(&readme).expect("the page");
    let mut drawn: Vec<(PathBuf, String)> = Vec::new();
    for (name, results) in results(&folder.join("results")) {
        let table = if results["rows"].is_array() {
            rows(&results)
        } else {
            let title = "One image decided: the fastest batch, on a logarithmic scale";
            drawn.push((folder.join(format!("{name}.svg")), plot::svg(title, &groups(&results))));
            engines(&results)
        };
        let section = format!("{table}\n{}\n", conditions(&results["machine"]));
        page = put(&page, &name, &section);
    }
    drawn.push((readme, page));
    for (path, text) in drawn {
        if std::env::var_os("BLESS").is_some() && std::env::var_os("CI").is_none() {
            std::fs::write(&path, text).expect("a file is written");
        } else {
            let shown = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                shown == text,
                "{path:?} does not show what was measured: BLESS=1 cargo test --test figures"
            );
        }
    }
}

/// Each file of results, by name.
fn results(folder: &Path) -> Vec<(String, Value)> {
    let files = std::fs::read_dir(folder).expect("benches/results");
    let mut all: Vec<_> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("text");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect();
    all.sort_by(|(one, _): &(String, Value), (other, _)| one.cmp(other));
    assert!(all.len() >= 2, "results of reach and compare");
    all
}

/// Replaces what is between `<!-- NAME -->` and `<!-- end -->`.
fn put(page: &str, name: &str, section: &str) -> String {
    let begin = format!("<!-- {name} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no place for {name}"));
    let (_, after) = rest.split_once("<!-- end -->").expect("a section ends");
    format!("{before}{begin}\n{section}\n<!-- end -->{after}")
}

fn conditions(machine: &Value) -> String {
    let word = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    let others = machine["others"].as_f64().unwrap_or(0.0);
    let busy = if others < 0.1 {
        "while nothing else ran".to_owned()
    } else {
        format!("**while other work kept {others} of them busy**: trust ratios, not times")
    };
    format!(
        "Measured on {}, {} processors, {}, {busy}.",
        word("cpu"),
        machine["processors"],
        word("compiler")
    )
}

fn rows(results: &Value) -> String {
    let mut table = String::from(
        "| row | what | made from | measured | must | aim | reached |\n|---|---|---|---:|---:|---:|---|\n",
    );
    for row in results["rows"].as_array().expect("rows") {
        let number = |key: &str| row[key].as_f64().expect("a number");
        let measured = number("measured");
        let sign = if number("aim") > number("must") { -1.0 } else { 1.0 };
        let mark = match sign * measured {
            measured if measured <= sign * number("aim") => "aim",
            measured if measured <= sign * number("must") => "must",
            _ => "**missed**",
        };
        table.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {mark} |\n",
            row["row"],
            row["what"].as_str().expect("text"),
            row["detail"].as_str().expect("text"),
            digits(measured),
            number("must"),
            number("aim"),
        ));
    }
    table
}

/// Three digits that count.
fn digits(number: f64) -> String {
    let whole = number.abs().max(1e-9).log10().floor() as i32;
    let places = usize::try_from(2 - whole).unwrap_or(0);
    format!("{number:.places$}")
}

fn engines(results: &Value) -> String {
    let workloads: Vec<&str> = texts(&results["workloads"]);
    let mut table = format!("| an image decided by | {} |\n|---|", workloads.join(" | "));
    table.push_str(&"---:|".repeat(workloads.len()));
    table.push('\n');
    for (engine, nanos) in measured(results) {
        let nanos: Vec<String> = nanos.into_iter().map(unit).collect();
        table.push_str(&format!("| {engine} | {} |\n", nanos.join(" | ")));
    }
    table
}

fn groups(results: &Value) -> Vec<Group> {
    let group = |(nth, name): (usize, &str)| {
        let bar = |(engine, nanos): (&str, Vec<f64>)| Bar {
            name: engine.replace('`', ""),
            nanos: nanos[nth],
            ours: engine.starts_with("caapc"),
        };
        Group { name: name.to_owned(), bars: measured(results).into_iter().map(bar).collect() }
    };
    texts(&results["workloads"]).into_iter().enumerate().map(group).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

fn measured(results: &Value) -> Vec<(&str, Vec<f64>)> {
    let row = |row: &'_ Value| -> Vec<f64> {
        row["nanos"].as_array().expect("figures").iter().filter_map(Value::as_f64).collect()
    };
    let engines = results["engines"].as_array().expect("engines");
    engines.iter().map(|engine| (engine["engine"].as_str().expect("a name"), row(engine))).collect()
}
