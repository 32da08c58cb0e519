//! `golden/install/`: what `caapc install` prints for a set of flags, or why it refuses.
//!
//! `default` holds the whole manifest, without the definitions, which are generated from types. The
//! other cases hold how they differ from it: that is what a flag does.

use std::process::Command;

use similar::TextDiff;

use super::super::suite::{Case, Shape, Suite};

const DEFAULT: &str = "install/default";

/// The suite.
pub const SUITE: Suite = Suite {
    name: "install",
    folder: "golden/install",
    beside: &[],
    shape: Shape::Folder {
        inputs: &["arguments"],
        outputs: &["manifest.yaml", "changes.diff", "messages.txt"],
        expect,
    },
    together: None,
};

fn expect(case: &Case) -> Result<Vec<(&'static str, String)>, String> {
    let arguments = case.file("arguments")?.ok_or("the file `arguments` is missing")?;
    let (printed, messages) = install(&arguments)?;
    let mut files = Vec::new();
    if !messages.is_empty() {
        files.push(("messages.txt", messages));
    }
    if printed.is_empty() {
        return Ok(files);
    }
    if case.name == DEFAULT {
        files.push(("manifest.yaml", printed));
        return Ok(files);
    }
    let folder = case.path.parent().ok_or("a case has a folder")?;
    let default = folder.join("default/arguments");
    let default = std::fs::read_to_string(&default)
        .map_err(|error| format!("{}: {error}", default.display()))?;
    let (default, _) = install(&default)?;
    files.push(("changes.diff", changes(&default, &printed)));
    Ok(files)
}

/// Runs `caapc install`; what it prints, and what it says beside that.
fn install(arguments: &str) -> Result<(String, String), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caapc"));
    command.arg("install").env_remove("IN_NAMESPACE_SELECTOR_KEY");
    command.env_remove("IN_NAMESPACE_SELECTOR_VALUES");
    for line in arguments.lines() {
        match line.split_once('=') {
            Some((name, value)) if name.starts_with("IN_") => {
                command.env(name, value);
            }
            _ => {
                command.args(line.split(' '));
            }
        }
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|error| error.to_string());
    let (printed, mut messages) = (text(output.stdout)?, text(output.stderr)?);
    if !output.status.success() {
        messages.push_str(&format!("exit code {}\n", output.status.code().unwrap_or(-1)));
    }
    Ok((plain(&printed), messages))
}

/// Without the definitions, and without the version of this very build.
fn plain(printed: &str) -> String {
    let documents =
        printed.split("---\n").filter(|one| !one.contains("\nkind: CustomResourceDefinition\n"));
    let text = documents.collect::<Vec<_>>().join("---\n");
    text.replace(&format!("caapc:{}", env!("CARGO_PKG_VERSION")), "caapc:VERSION")
}

/// What was taken out and put in, under the object it belongs to.
fn changes(default: &str, printed: &str) -> String {
    let diff = TextDiff::from_lines(default, printed);
    let text = diff.unified_diff().context_radius(3).to_string();
    // Line numbers would change in every case when the default does.
    let lines =
        text.lines().map(|line| if line.starts_with("@@") { "@@" } else { line.trim_end() });
    lines.map(|line| format!("{line}\n")).collect()
}
