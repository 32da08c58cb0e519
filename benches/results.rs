//! What a benchmark measured, as a file: `benches/results/NAME.json`, from which `report` draws
//! the tables and pictures. Included with `#[path]`.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

/// The machine while something is measured.
pub struct Conditions {
    start: Instant,
    processors: usize,
    used: Option<f64>,
}

impl Conditions {
    pub fn begin() -> Self {
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        Self { start: Instant::now(), processors, used: used_by_others() }
    }

    /// What it was, and how many processors other work kept busy meanwhile. A child's work is its
    /// own once the child has been waited for.
    pub fn end(&self) -> Value {
        let others = used_by_others()
            .zip(self.used)
            .map(|(now, before)| (now - before).max(0.0) / self.start.elapsed().as_secs_f64());
        json!({
            "cpu": field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            "processors": self.processors,
            "compiler": compiler(),
            "others": others.map(|others| (others * 100.0).round() / 100.0),
        })
    }
}

/// `rustc 1.95.0`, without its date.
fn compiler() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(rustc).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().split(" (").next().unwrap_or_default().to_owned()
}

/// Seconds that processors worked for anything but this process and its children.
fn used_by_others() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let all: Vec<f64> =
        text.lines().next()?.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let (user, nice, system, steal) = (all.first()?, all.get(1)?, all.get(2)?, all.get(7)?);
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let own: Vec<f64> = text
        .rsplit(')')
        .next()?
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|word| word.parse().ok())
        .collect();
    // Both count in hundredths of a second, on every Linux.
    Some((user + nice + system + steal - own.iter().sum::<f64>()) / 100.0)
}

/// The value of the first line `NAME : VALUE`.
pub fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Where results are kept.
pub fn folder() -> PathBuf {
    // The package that builds a benchmark lies beside or below `benches`.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = package.ancestors().map(|above| above.join("benches/results"));
    all.into_iter().find(|folder| folder.is_dir()).expect("benches/results is in the repository")
}

/// Writes `benches/results/NAME.json` if `--save` was given.
pub fn save(name: &str, results: &Value) {
    if std::env::args().any(|argument| argument == "--save") {
        let path = folder().join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(results).expect("JSON");
        std::fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("{path:?}: {error}"));
        println!("saved in {}", path.display());
    }
}
