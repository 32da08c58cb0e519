//! Compares what a case should be with what it is: a diff, or the new text on disk.

use std::path::Path;

use similar::TextDiff;

/// Compares an expectation with the text of a file, or writes it when it is to be accepted.
///
/// `before` is what is on disk, `None` if there is no expectation yet.
pub fn compare(
    name: &str,
    path: &Path,
    before: Option<&str>,
    after: &str,
    bless: bool,
) -> Result<(), String> {
    if before == Some(after) {
        return Ok(());
    }
    if bless {
        println!("accepted  {}", path.display());
        return std::fs::write(path, after).map_err(|error| format!("{}: {error}", path.display()));
    }
    let accept = format!("accept with: BLESS=1 cargo test --test golden {name}");
    let Some(before) = before else {
        return Err(format!("{}: has no expectation yet\n{accept}", path.display()));
    };
    let diff = TextDiff::from_lines(before, after);
    let diff = diff.unified_diff().context_radius(3).header("expected", "now").to_string();
    Err(format!("{}\n{}\n{accept}", path.display(), diff.trim_end()))
}

/// An expected part as it stands in a file: each line after `# `.
pub fn commented(text: &str) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        out.push_str(if line.is_empty() { "#" } else { "# " });
        out.push_str(line.trim_end());
        out.push('\n');
        out
    })
}
