//! Local mode, look by look.

use std::fs;

use super::super::keeper::Filed;
use super::*;
use crate::telemetry::metrics::Metrics;

const POLICY: &str = "apiVersion: containersecurity.tigera.io/v1beta1\n\
    kind: ContainerAdmissionPolicy\nmetadata: {name: one}\nspec: {rules: [{action: ";

struct Local(Folder);

impl Local {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("caapc-local-{}-{name}", std::process::id()));
        Self(Folder::new(root, Metrics::new().control))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.root.join(name)).expect("a file");
    }

    fn look(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let told = self.0.look(&mut |change| {
            changes.push(change);
            Ok(())
        });
        assert!(told.is_ok());
        changes
    }

    /// The scans of a look: `+` for what is, `-` for what is gone, and the number in its file.
    fn scans(&mut self) -> Vec<String> {
        let mut scans = Vec::new();
        for change in self.look() {
            let Change::Filed(filed) = change else { continue };
            scans.extend(filed.into_iter().map(|one| match one {
                Filed::Apply(name, spec) => {
                    format!(
                        "+{} {}",
                        name.rsplit('#').next().unwrap_or_default(),
                        spec.references[0]
                    )
                }
                Filed::Delete(name) => {
                    format!("-{}", name.rsplit('#').next().unwrap_or_default())
                }
            }));
        }
        scans
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0.root);
    }
}

fn scan(image: &str) -> String {
    format!(
        r#"{{"apiVersion":"caapc.dev/v1alpha1","kind":"ImageScan","metadata":{{"name":"a"}},"spec":{{"references":["{image}"],"state":"Scanned","scannedAt":"2026-01-10T09:00:00Z"}}}}"#
    )
}

fn list(images: &[&str]) -> String {
    let items: Vec<String> = images.iter().map(|image| scan(image)).collect();
    format!(r#"{{"kind":"ImageScanList","items":[{}]}}"#, items.join(","))
}

#[test]
fn scans_are_told_once_and_then_what_changes() {
    let mut local = Local::new("scans");
    local.write("scans/list.json", &list(&["docker.io/a:1", "docker.io/b:1", "docker.io/c:1"]));
    let told = ["+0 docker.io/a:1", "+1 docker.io/b:1", "+2 docker.io/c:1"];
    assert_eq!(local.scans(), told);
    assert!(local.look().is_empty(), "nothing changed");
    local.write("scans/list.json", &list(&["docker.io/longer:1"]));
    assert_eq!(local.scans(), ["+0 docker.io/longer:1", "-1", "-2"]);
    local.write("scans/list.json", "{\"broken");
    assert!(local.scans().is_empty(), "what it last held stays");
    local.remove("scans/list.json");
    assert!(local.scans().is_empty(), "perhaps it is being replaced");
    assert_eq!(local.scans(), ["-0"]);
}

#[test]
fn of_two_policies_of_one_name_the_first_counts_for_as_long_as_it_is_there() {
    let mut local = Local::new("names");
    local.write("policies/a.yaml", &format!("{POLICY}Allow}}]}}\n"));
    local.write("policies/b.yaml", &format!("{POLICY}Reject}}]}}\n"));
    let sources = |changes: Vec<Change>| -> Vec<String> {
        let entries = changes.into_iter().find_map(|change| match change {
            Change::Policies(entries) => Some(entries),
            _ => None,
        });
        let entries = entries.expect("policies");
        assert!(entries.iter().all(|entry| matches!(**entry, Entry::Policy(_))));
        entries
            .iter()
            .filter_map(|entry| Some(entry.source().rsplit_once('/')?.1.to_owned()))
            .collect()
    };
    assert_eq!(sources(local.look()), ["a.yaml:1"]);
    local.remove("policies/a.yaml");
    local.look();
    assert_eq!(sources(local.look()), ["b.yaml:1"]);
}

fn policies_told(changes: &[Change]) -> Option<usize> {
    changes.iter().find_map(|change| match change {
        Change::Policies(entries) => Some(entries.len()),
        _ => None,
    })
}

#[test]
fn an_empty_file_is_perhaps_being_written() {
    let mut local = Local::new("empty");
    local.write("policies/a.yaml", &format!("{POLICY}Reject}}]}}\n"));
    assert_eq!(policies_told(&local.look()), Some(1));
    local.write("policies/a.yaml", "");
    assert_ne!(policies_told(&local.look()), Some(0));
    local.write("policies/a.yaml", &format!("{POLICY}Allow}}]}}\n"));
    assert_eq!(policies_told(&local.look()), Some(1));
    local.write("policies/a.yaml", "");
    local.look();
    assert_eq!(policies_told(&local.look()), Some(0), "it is meant so");
}

#[test]
#[cfg(unix)]
fn policies_that_cannot_be_looked_into_stay_or_reject() {
    let mut local = Local::new("closed");
    local.write("good/a.yaml", &format!("{POLICY}Allow}}]}}\n"));
    let lead_to = |local: &Local, target: &str| {
        let link = local.0.root.join("policies");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(target, link).expect("a link");
    };
    // A link to itself is an error for everyone, other than a folder that is not for us.
    lead_to(&local, "policies");
    let changes = local.look();
    let broken = changes.iter().any(
        |change| matches!(change, Change::Policies(all) if matches!(*all[0], Entry::Broken(_))),
    );
    assert!(broken, "nothing was read before: {changes:?}");
    lead_to(&local, "good");
    local.look();
    assert_eq!(policies_told(&local.look()), Some(1));
    lead_to(&local, "policies");
    for _ in 0..4 {
        assert_ne!(policies_told(&local.look()), Some(0));
    }
}

#[test]
fn namespaces_that_no_api_server_would_have_are_told_of() {
    let read = |labels: &str| {
        let text = format!("kind: Namespace\nmetadata: {{name: shop, labels: {labels}}}\n");
        objects(text.as_bytes(), &["Namespace"]).map(|(found, _)| found.len())
    };
    assert_eq!(read("{tier: '1'}"), Ok(1));
    assert_eq!(read("null"), Ok(1));
    let fault = read("{tier: 1}").unwrap_err();
    assert_eq!(fault, "the label `tier` must be a string: write `tier: \"1\"`");
    assert!(read("[tier]").unwrap_err().starts_with("metadata.labels must be a mapping"));

    let mut local = Local::new("namespaces");
    for (file, tier) in [("a.yaml", "first"), ("b.yaml", "second")] {
        let text = format!("kind: Namespace\nmetadata: {{name: shop, labels: {{t: {tier}}}}}\n");
        local.write(&format!("namespaces/{file}"), &text);
    }
    let told: Vec<_> = local
        .look()
        .into_iter()
        .filter_map(|change| match change {
            Change::Namespace(Event::Apply(object)) => object.meta.labels.get("t").cloned(),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["first"]);
}

#[test]
fn exceptions_may_be_the_originals_list_and_settings_bare() {
    let mut local = Local::new("loose");
    let csv = "CVE,Registry,Repository,Tags,Justification,Scope\nCVE-2023-1,,,,not reachable,any\n";
    local.write("exceptions/list.csv", csv);
    local.write("settings.yaml", "failThreshold: 9.9\n");
    let changes = local.look();
    let count =
        |wanted: fn(&Change) -> bool| changes.iter().filter(|change| wanted(change)).count();
    assert_eq!(count(|change| matches!(change, Change::Exception(Event::Apply(_)))), 1);
    assert_eq!(count(|change| matches!(change, Change::Settings(Event::Apply(_)))), 1);
}
