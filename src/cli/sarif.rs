//! Findings as SARIF 2.1.0, the format of code scanning services. Start at [`log`].

use std::collections::HashMap;

use caapc_compiler::diagnostic::{Code, Diagnostic, Severity, codes};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::lint::Found;

const PROJECT: &str = env!("CARGO_PKG_REPOSITORY");

/// The log of one run, as JSON text.
pub(super) fn log(found: &Found) -> String {
    let mut seen = HashMap::new();
    let results: Vec<Value> =
        found.diagnostics.iter().map(|diagnostic| result(diagnostic, &mut seen)).collect();
    let unread: Vec<Value> = found
        .unread
        .iter()
        .map(|sentence| json!({"level": "error", "message": {"text": sentence}}))
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "caapc",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": PROJECT,
                "rules": codes::ALL.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": found.unread.is_empty(),
                "toolExecutionNotifications": unread,
            }],
            "results": results,
        }],
    });
    log.to_string()
}

fn rule(code: &Code) -> Value {
    json!({
        "id": code.id,
        "shortDescription": {"text": code.title},
        "help": {"text": format!("{}; see {}", code.title, code.page_path()), "markdown": code.page},
        // The format wants an absolute address here.
        "helpUri": format!("{PROJECT}/blob/main/{}", code.page_path()),
        "defaultConfiguration": {"level": code.severity.word()},
    })
}

fn result(diagnostic: &Diagnostic, seen: &mut HashMap<String, usize>) -> Value {
    let Diagnostic { code, file, start, end, help, note, .. } = diagnostic;
    let mut text = diagnostic.fact();
    for more in [help, note].into_iter().flatten() {
        text.push_str(". ");
        text.push_str(more);
    }
    let rule = codes::ALL.iter().position(|known| known == code);
    // An empty region is that of one place: the format wants the end not before the start.
    json!({
        "ruleId": code.id,
        "ruleIndex": rule,
        "level": match code.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": {"text": text},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(file)},
                "region": {
                    "startLine": start.line,
                    "startColumn": start.column,
                    "endLine": end.line,
                    "endColumn": end.column,
                },
            },
            "logicalLocations": [{"fullyQualifiedName": diagnostic.field_path}],
        }],
        "partialFingerprints": {"caapc/v1": fingerprint(diagnostic, seen)},
    })
}

/// The same as long as the finding is, wherever it moves in its file.
fn fingerprint(diagnostic: &Diagnostic, seen: &mut HashMap<String, usize>) -> String {
    let Diagnostic { code, file, field_path, message, .. } = diagnostic;
    let mut hash = Sha256::new();
    for part in [code.id, file, field_path, message] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hash: String = hash.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let times = seen.entry(hash.clone()).or_insert(0);
    *times += 1;
    format!("{hash}:{times}")
}

/// A file name as an address: relative to where the command ran, unless the name is absolute.
fn uri(file: &str) -> String {
    let path = file.strip_prefix("./").unwrap_or(file);
    let scheme = if path.starts_with('/') { "file://" } else { "" };
    let mut uri = String::from(scheme);
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use caapc_compiler::check::{Limits, read};

    use super::*;

    #[test]
    fn findings_become_results() {
        let text = "apiVersion: containersecurity.tigera.io/v1beta1\nkind: ContainerAdmissionPolicy\n\
                    metadata: {name: é, nmae: x, naem: x}\n";
        let mut found = Found::default();
        found.diagnostics = read("./my policies/é.yaml", text, &Limits::default()).diagnostics;
        found.unread.push("x.yaml: cannot be read".to_owned());
        let log: Value = serde_json::from_str(&log(&found)).expect("json");
        let run = &log["runs"][0];
        assert_eq!(run["results"].as_array().map(Vec::len), Some(3));
        let first = &run["results"][0];
        assert_eq!(first["ruleId"], "CAP013");
        let place = &first["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "my%20policies/%C3%A9.yaml");
        assert_eq!(
            place["region"],
            json!({"startLine": 3, "startColumn": 18, "endLine": 3, "endColumn": 19})
        );
        let index = first["ruleIndex"].as_u64().expect("index") as usize;
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "CAP013");
        let prints: Vec<_> = (0..3)
            .map(|n| run["results"][n]["partialFingerprints"]["caapc/v1"].to_string())
            .collect();
        assert!(prints[0] != prints[1] && prints[1] != prints[2], "{prints:?}");
        assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    }

    #[test]
    fn the_same_finding_twice_has_two_fingerprints() {
        let text = "hello\n---\nhello\n";
        let mut found = Found::default();
        found.diagnostics = read("a.yaml", text, &Limits::default()).diagnostics;
        let mut seen = HashMap::new();
        let prints: Vec<_> =
            found.diagnostics.iter().map(|found| fingerprint(found, &mut seen)).collect();
        assert_eq!(prints.len(), 2);
        assert_eq!(prints[0].strip_suffix(":1"), prints[1].strip_suffix(":2"));
    }

    #[test]
    fn names_become_addresses() {
        assert_eq!(uri("a/b.yaml"), "a/b.yaml");
        assert_eq!(uri("/a b%.yaml"), "file:///a%20b%25.yaml");
    }
}
