//! Before enforcing: which running images have no scan, so that a policy which asks for one would
//! reject their next change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::install::{say, warn};
use super::io::Failure;
use crate::install::Options;
use crate::install::cluster::{Cluster, IMAGE_SCANS, NAMESPACES, PODS, label, place};
use crate::install::options::protected_namespaces;
use crate::reference::Reference;

/// The most images that are listed by name.
const LISTED_MAX: usize = 20;

/// Lists the running images of the selected namespaces that have no complete scan.
///
/// # Errors
/// [`Failure::Environment`] if the cluster does not answer or does not permit it.
pub(super) async fn tell(cluster: &Cluster, options: &Options) -> Result<(), Failure> {
    let scanned = scanned(&cluster.list(IMAGE_SCANS, "", None).await?.unwrap_or_default());
    let mut missing: BTreeMap<String, String> = BTreeMap::new();
    for namespace in selected(cluster, options).await? {
        let pods = cluster.list(PODS, &namespace, None).await?.unwrap_or_default();
        for pod in &pods {
            for image in images(pod) {
                if !is_scanned(&image, &scanned) {
                    missing.entry(image).or_insert_with(|| format!("{namespace}/{}", place(pod).1));
                }
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    warn(&format!(
        "{} running images have no scan; a policy that asks for one will reject their next change:",
        missing.len()
    ));
    for (image, pod) in missing.iter().take(LISTED_MAX) {
        say(&format!("  {image}  ({pod})"));
    }
    if missing.len() > LISTED_MAX {
        say(&format!("  and {} more", missing.len() - LISTED_MAX));
    }
    say("  scan them with trivy or grype, then: caapc scan import REPORT... --apply");
    Ok(())
}

async fn selected(cluster: &Cluster, options: &Options) -> Result<Vec<String>, Failure> {
    let protected = protected_namespaces(&options.namespace);
    let all = cluster.list(NAMESPACES, "", None).await?.unwrap_or_default();
    let names = all.iter().filter(|object| {
        label(object, options.selector.key())
            .is_some_and(|value| options.selector.values().iter().any(|one| one == value))
    });
    let names = names.map(|object| place(object).1.to_owned());
    Ok(names.filter(|name| !protected.contains(name)).collect())
}

/// Canonical references and digests of every complete scan.
fn scanned(scans: &[Value]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for spec in scans.iter().filter_map(|scan| scan.get("spec")) {
        if spec.get("state").and_then(Value::as_str).is_some_and(|state| state != "Scanned") {
            continue;
        }
        let texts = |key: &str| spec.get(key).and_then(Value::as_array).into_iter().flatten();
        let all = texts("references").chain(texts("indexDigests")).chain(spec.get("digest"));
        known.extend(all.filter_map(Value::as_str).map(str::to_owned));
        let earlier = texts("earlier").filter_map(|one| one.get("name").and_then(Value::as_str));
        known.extend(earlier.map(str::to_owned));
    }
    known
}

fn is_scanned(image: &str, scanned: &BTreeSet<String>) -> bool {
    // A reference that cannot be read is rejected for that, not for a missing scan.
    Reference::parse(image).is_ok_and(|reference| match reference.digest() {
        Some(digest) => scanned.contains(digest),
        None => scanned.contains(&reference.canonical()),
    })
}

fn images(pod: &Value) -> Vec<String> {
    let lists = ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"];
    let containers = lists.iter().filter_map(|path| pod.pointer(path)?.as_array()).flatten();
    containers.filter_map(|one| one.get("image")?.as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_digest_or_canonical_reference() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let index = format!("sha256:{}", "b".repeat(64));
        let known = scanned(&[
            serde_json::json!({"spec": {
                "references": ["docker.io/library/nginx:1.29"], "digest": digest, "indexDigests": [index],
            }}),
            serde_json::json!({"spec": { "references": ["docker.io/library/busy:latest"], "state": "Failed" }}),
        ]);
        assert!(is_scanned("nginx:1.29", &known));
        assert!(is_scanned(&format!("other@{digest}"), &known));
        assert!(is_scanned(&format!("nginx@{index}"), &known));
        assert!(!is_scanned("nginx", &known));
        assert!(!is_scanned("busy", &known));
    }
}
