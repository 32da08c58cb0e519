//! Exceptions as the original's CSV: `CVE,Registry,Repository,Tags,Justification,Scope` (spec:
//! scan, "Where results live"). Tags are a JSON list; other columns are passed over. Start at
//! [`import`].

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::exceptions::Exception;
use crate::api::{ExceptionScope, VulnerabilityExceptionSpec};

/// The columns, in the original's order.
pub const COLUMNS: [&str; 6] = ["CVE", "Registry", "Repository", "Tags", "Justification", "Scope"];
/// How many rows are read.
const ROWS_MAX: usize = 1_000_000;
/// How much of a cell a sentence shows, in characters.
const CELL_SHOWN: usize = 80;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line it begins on, from 1.
    pub line: u64,
    /// The name of its object: the same for the same vulnerability and scope.
    pub name: String,
    /// What it says.
    pub spec: VulnerabilityExceptionSpec,
}

/// Reads a CSV.
///
/// # Errors
/// `line: one sentence`.
pub fn import(text: &str) -> Result<Vec<Row>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let heads = reader.headers().map_err(|error| format!("1: not CSV: {error}"))?.clone();
    let column = |wanted: &str| heads.iter().position(|head| head.eq_ignore_ascii_case(wanted));
    let [cve, registry, repository, tags, justification, scope] = COLUMNS.map(column);
    for (needed, name) in [(cve, "CVE"), (scope, "Scope")] {
        if needed.is_none() {
            return Err(format!(
                "1: no column `{name}`; the first line must be {}",
                COLUMNS.join(",")
            ));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, |position| position.line());
            format!("{line}: not CSV: {error}")
        })?;
        let line = record.position().map_or(1, |position| position.line());
        let at = |why: String| format!("{line}: {why}");
        let field = |column: Option<usize>| {
            column.and_then(|column| record.get(column)).filter(|text| !text.is_empty())
        };
        let Some(id) = field(cve) else {
            return Err(at("the column CVE is empty".to_owned()));
        };
        let scope = read_scope(field(scope)).map_err(at)?;
        let scoped = |text: Option<&str>| match scope {
            ExceptionScope::Any => None,
            ExceptionScope::Repo | ExceptionScope::Image => text.map(str::to_owned),
        };
        let tags = field(tags).filter(|_| scope == ExceptionScope::Image);
        let spec = VulnerabilityExceptionSpec {
            vulnerability: id.to_owned(),
            scope,
            registry: scoped(field(registry)),
            repository: scoped(field(repository)),
            tags: tags.map(read_tags).transpose().map_err(at)?,
            justification: field(justification).map(str::to_owned),
            ..VulnerabilityExceptionSpec::default()
        };
        let name = object_name(&spec);
        Exception::read(&name, &spec).map_err(at)?;
        if rows.len() == ROWS_MAX {
            return Err(at(format!("more than {ROWS_MAX} rows")));
        }
        rows.push(Row { line, name, spec });
    }
    Ok(rows)
}

fn read_scope(text: Option<&str>) -> Result<ExceptionScope, String> {
    let all = [ExceptionScope::Any, ExceptionScope::Repo, ExceptionScope::Image];
    let text = text.unwrap_or_default();
    all.into_iter()
        .find(|scope| scope.word().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("scope `{}` is none of `any`, `repo`, `image`", head(text)))
}

/// As much of a cell as a sentence can bear.
fn head(cell: &str) -> String {
    let mut head: String = cell.chars().take(CELL_SHOWN).collect();
    if head.len() < cell.len() {
        head.push('…');
    }
    head
}

fn read_tags(text: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(text).map_err(|_| {
        let text = head(text);
        format!(r#"tags `{text}` are not a JSON list; write ["v1.2.3","v2.3.4"]"#)
    })
}

/// Writes exceptions as CSV. What the original has no column for, owner and expiry, is lost.
///
/// # Errors
/// One sentence; the memory to write to gives none.
pub fn export<'s>(
    exceptions: impl Iterator<Item = &'s VulnerabilityExceptionSpec>,
) -> Result<String, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| format!("cannot write CSV: {error}");
    writer.write_record(COLUMNS).map_err(failed)?;
    for spec in exceptions {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let tags = spec.tags.as_ref().map(|tags| serde_json::json!(tags).to_string());
        let row = [
            spec.vulnerability.clone(),
            text(&spec.registry),
            text(&spec.repository),
            tags.unwrap_or_default(),
            text(&spec.justification),
            spec.scope.word().to_owned(),
        ];
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| format!("cannot write CSV: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("cannot write CSV: {error}"))
}

/// A name that can be read, and is the same for the same vulnerability and scope, so that importing
/// twice changes nothing.
fn object_name(spec: &VulnerabilityExceptionSpec) -> String {
    let mut hash = Sha256::new();
    let VulnerabilityExceptionSpec { vulnerability, scope, registry, repository, tags, .. } = spec;
    for part in [Some(vulnerability), registry.as_ref(), repository.as_ref()] {
        hash.update(part.map_or("", String::as_str));
        hash.update("\n");
    }
    hash.update(scope.word());
    for tag in tags.iter().flatten() {
        hash.update("\n");
        hash.update(tag);
    }
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9') => c,
        _ => '-',
    };
    let mut name: String = vulnerability.chars().take(64).map(plain).collect();
    name = name.trim_matches('-').to_owned();
    if name.is_empty() {
        name.push('x');
    }
    name.push('-');
    for byte in hash.finalize().iter().take(5) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "\
CVE,Registry,Repository,Tags,Justification,Scope,Extra
CVE-2022-1,,,,\"not used, really\",any,x
CVE-2022-2,quay.io/tigera,node,,why,repo,
CVE-2022-3,quay.io,tigera/node,\"[\"\"v1.2.3\"\",\"\"v2.3.4\"\"]\",,image,
";

    #[test]
    fn there_and_back() {
        let rows = import(CSV).unwrap();
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(rows[2].spec.tags, Some(vec!["v1.2.3".to_owned(), "v2.3.4".to_owned()]));
        let back = export(rows.iter().map(|row| &row.spec)).unwrap();
        assert_eq!(back.lines().next(), Some("CVE,Registry,Repository,Tags,Justification,Scope"));
        assert!(
            back.contains("CVE-2022-3,quay.io,tigera/node,\"[\"\"v1.2.3\"\",\"\"v2.3.4\"\"]\"")
        );
        let specs = |rows: Vec<Row>| rows.into_iter().map(|row| (row.name, row.spec));
        assert!(specs(import(&back).unwrap()).eq(specs(rows)));
    }

    #[test]
    fn says_where_and_what() {
        let wrong = |text: &str| import(text).unwrap_err();
        assert!(wrong("Vulnerability,Scope\n").starts_with("1: no column `CVE`"));
        assert!(wrong("CVE,Scope\nCVE-1,some\n").starts_with("2: scope `some`"));
        assert!(wrong("CVE,Scope\n,any\n").starts_with("2: the column CVE"));
        assert!(wrong("CVE,Scope,Repository,Tags\nC-1,image,a,v1\n").starts_with("2: tags `v1`"));
        assert!(wrong("CVE,Scope\nC-1,any\nC-2,repo\n").starts_with("3: spec.repository: missing"));
        let long = wrong(&format!("CVE,Scope,Repository,Tags\nC-1,image,a,{}\n", "[".repeat(9999)));
        assert!(long.starts_with("2: tags `[[[") && long.len() < 200, "{long}");
    }
}
