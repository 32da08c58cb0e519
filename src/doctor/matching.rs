//! What the API server would send: label selectors and webhook rules, as Kubernetes means them.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

pub(super) type Labels = BTreeMap<String, String>;

/// Whether a Kubernetes label selector matches; an absent one matches everything.
pub(super) fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    let Some(selector) = selector else {
        return true;
    };
    let equal =
        selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|one| {
            let value = labels.get(&one.key);
            let listed = value.is_some_and(|value| one.values.iter().flatten().any(|v| v == value));
            match one.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                // The API server accepts no others.
                _ => false,
            }
        })
}

/// Whether an operation on a resource is sent to a webhook, whatever the namespace.
pub(super) fn sends(
    hook: &ValidatingWebhook,
    group: &str,
    resource: &str,
    operation: &str,
) -> bool {
    hook.rules.iter().flatten().any(|rule| {
        let has = |list: &Option<Vec<String>>, word: &str| {
            list.iter().flatten().any(|one| one == "*" || one == word)
        };
        rule.scope.as_deref() != Some("Cluster")
            && has(&rule.api_groups, group)
            && has(&rule.operations, operation)
            && rule.resources.iter().flatten().any(|pattern| names_resource(pattern, resource))
    })
}

/// `pods`, `pods/*`, `*/scale`, `*` (no subresources) and `*/*`.
fn names_resource(pattern: &str, resource: &str) -> bool {
    let split = |text: &'_ str| -> (String, Option<String>) {
        match text.split_once('/') {
            Some((name, sub)) => (name.to_owned(), Some(sub.to_owned())),
            None => (text.to_owned(), None),
        }
    };
    let ((name, sub), (wanted, wanted_sub)) = (split(pattern), split(resource));
    let sub_fits = match (sub.as_deref(), wanted_sub.as_deref()) {
        (Some("*"), _) => true,
        (sub, wanted) => sub == wanted,
    };
    (name == "*" || name == wanted) && sub_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_patterns() {
        for (pattern, resource, expected) in [
            ("pods", "pods", true),
            ("pods", "pods/ephemeralcontainers", false),
            ("*", "pods", true),
            ("*", "pods/ephemeralcontainers", false),
            ("*/*", "pods", true),
            ("*/*", "pods/ephemeralcontainers", true),
            ("pods/*", "pods/ephemeralcontainers", true),
            ("pods/*", "pods", true),
            ("*/scale", "pods/ephemeralcontainers", false),
        ] {
            assert_eq!(names_resource(pattern, resource), expected, "{pattern} {resource}");
        }
    }
}
