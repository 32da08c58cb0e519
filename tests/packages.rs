//! The Helm chart and the kustomize base install what `caapc install` installs.
//!
//! The definitions in the chart and the kustomize base are generated: `BLESS=1 cargo test --test
//! packages` writes them again.

#[path = "support/helm.rs"]
#[allow(unreachable_pub, reason = "as in the other support files")]
mod helm;

use std::path::{Path, PathBuf};

use caapc::install::options::{Certificates, FailurePolicy, NamespaceSelector, Options};
use caapc::install::{objects, print};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("---\n").filter(|part| !part.trim().is_empty());
    parts.map(yaml).filter(|value| !value.is_null()).collect()
}

/// Lays `over` upon `base`, as Helm does with values files.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn templates() -> Vec<PathBuf> {
    let folder = root().join("charts/caapc/templates");
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Every object of the chart with these values.
fn rendered(values: &Value, namespace: &str) -> Result<Vec<Value>, String> {
    let mut all = yaml(&read("charts/caapc/values.yaml"));
    merge(&mut all, values);
    let chart = yaml(&read("charts/caapc/Chart.yaml"));
    let context = json!({
        "Values": all,
        "Release": { "Namespace": namespace, "Name": "caapc" },
        "Chart": { "AppVersion": chart["appVersion"] },
    });
    let mut objects = Vec::new();
    for path in templates() {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = helm::render(&text, &context).map_err(|e| format!("{}: {e}", path.display()))?;
        if path.extension().is_some_and(|end| end == "yaml") {
            objects.extend(documents(&text));
        }
    }
    Ok(objects)
}

fn sorted(mut objects: Vec<Value>) -> Vec<Value> {
    objects.sort_by_key(objects::title);
    objects
}

fn base() -> Options {
    let selector = NamespaceSelector::new("env", &["prod".to_owned()], "tigera-image-assurance");
    Options::new(selector.unwrap())
}

const SELECTED: &str = r#"{"webhook": {"namespaceSelector": {"key": "env", "values": ["prod"]}}, "namespace": {"create": true}}"#;

#[track_caller]
fn same(values: Value, change: impl FnOnce(&mut Options)) {
    let mut options = base();
    change(&mut options);
    let mut all: Value = serde_json::from_str(SELECTED).unwrap();
    merge(&mut all, &values);
    let chart = sorted(rendered(&all, &options.namespace).unwrap());
    let install = sorted(objects::all(&options));
    let titles = |all: &[Value]| all.iter().map(objects::title).collect::<Vec<_>>();
    assert_eq!(titles(&chart), titles(&install));
    for (chart, install) in chart.iter().zip(&install) {
        assert_eq!(chart, install, "{}", objects::title(install));
    }
}

#[test]
fn the_chart_is_the_installation() {
    same(json!({}), |_| {});
    same(json!({"certificates": {"mode": "provided"}, "webhook": {"caBundle": "pem"}}), |o| {
        o.certificates = Certificates::Provided;
        o.ca_bundle = Some("pem".to_owned());
    });
    same(json!({"certificates": {"mode": "cert-manager"}}), |o| {
        o.certificates = Certificates::CertManager;
    });
    same(json!({"serviceMonitor": {"enabled": true}}), |o| o.service_monitor = true);
    same(json!({"hostNetwork": true}), |o| o.host_network = true);
    same(json!({"scans": {"trivyOperator": "Trust"}}), |o| o.trust_trivy_operator = true);
    same(json!({"apiServerPorts": [16443]}), |o| o.api_server_ports = vec![16443]);
    same(json!({"extraArgs": ["--mode=warn"]}), |o| {
        o.serve_arguments = vec!["--mode=warn".to_owned()];
    });
    same(
        json!({"replicaCount": 5, "webhook": {"failurePolicy": "Ignore", "timeoutSeconds": 2}}),
        |o| {
            o.replicas = 5;
            o.failure_policy = FailurePolicy::Ignore;
            o.timeout_secs = 2;
            o.namespace = "image-policy".to_owned();
        },
    );
    same(json!({"image": {"repository": "registry.example.org/caapc", "tag": "1"}}), |o| {
        o.image = "registry.example.org/caapc:1".to_owned();
    });
    same(json!({"image": {"repository": "a/b", "digest": "sha256:00"}}), |o| {
        o.image = "a/b@sha256:00".to_owned();
    });
}

#[test]
fn the_version_of_the_chart_is_that_of_the_program() {
    let chart = yaml(&read("charts/caapc/Chart.yaml"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn without_a_selector_nothing_is_rendered() {
    let error = rendered(&json!({}), "a").unwrap_err();
    assert!(error.contains("which namespace label"), "{error}");
    let no_values = json!({"webhook": {"namespaceSelector": {"key": "env"}}});
    assert!(rendered(&no_values, "a").unwrap_err().contains("which values"));
}

/// What `caapc install` has no flag for goes where it belongs.
#[test]
fn values_that_are_the_charts_own() {
    let mut values: Value = serde_json::from_str(SELECTED).unwrap();
    merge(
        &mut values,
        &json!({
            "podAnnotations": {"a": "b"}, "nodeSelector": {"disk": "ssd"}, "extraArgs": ["--mode=audit"],
            "tolerations": [{"key": "x", "operator": "Exists"}], "imagePullSecrets": [{"name": "pull"}],
            "networkPolicy": {"enabled": false}, "podDisruptionBudget": {"enabled": false},
            "namespace": {"create": false}, "resources": {"requests": {"cpu": "1"}},
        }),
    );
    let all = rendered(&values, "a").unwrap();
    let kinds: Vec<&str> = all.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    for gone in ["NetworkPolicy", "PodDisruptionBudget", "Namespace"] {
        assert!(!kinds.contains(&gone), "{gone}");
    }
    let deployment = all.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let template = &deployment["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["a"], "b");
    assert_eq!(template["spec"]["nodeSelector"]["disk"], "ssd");
    assert_eq!(template["spec"]["tolerations"][0]["operator"], "Exists");
    assert_eq!(template["spec"]["imagePullSecrets"][0]["name"], "pull");
    let container = &template["spec"]["containers"][0];
    assert_eq!(container["args"].as_array().unwrap().last().unwrap(), "--mode=audit");
    assert_eq!(container["resources"]["requests"]["cpu"], "1");
}

/// As much of JSON Schema as the chart's uses.
fn problems(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let mut wrong = |what: &str| found.push(format!("{path}: {what}"));
    if let Some(kind) = schema["type"].as_str() {
        let fits = match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("{other} is not a type of this schema"),
        };
        if !fits {
            return wrong(&format!("not {kind}"));
        }
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        wrong("none of the choices");
    }
    let length = value.as_str().map(|s| s.len()).or(value.as_array().map(Vec::len)).unwrap_or(0);
    for (key, fits) in [
        ("minimum", schema["minimum"].as_i64().is_none_or(|n| value.as_i64() >= Some(n))),
        ("maximum", schema["maximum"].as_i64().is_none_or(|n| value.as_i64() <= Some(n))),
        ("minLength", schema["minLength"].as_u64().is_none_or(|n| length as u64 >= n)),
        ("maxLength", schema["maxLength"].as_u64().is_none_or(|n| length as u64 <= n)),
        ("minItems", schema["minItems"].as_u64().is_none_or(|n| length as u64 >= n)),
        ("maxItems", schema["maxItems"].as_u64().is_none_or(|n| length as u64 <= n)),
    ] {
        if !fits {
            wrong(key);
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            wrong(&format!("{name} is missing"));
        }
    }
    for (name, item) in value.as_object().into_iter().flatten() {
        match &schema["properties"][name] {
            Value::Null if schema["additionalProperties"] == false => {
                found.push(format!("{path}.{name}: unknown"));
            }
            Value::Null => {}
            inner => problems(inner, item, &format!("{path}.{name}"), found),
        }
    }
    for item in value.as_array().into_iter().flatten() {
        problems(&schema["items"], item, &format!("{path}[]"), found);
    }
}

fn checked(over: Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(&read("charts/caapc/values.schema.json")).unwrap();
    let mut values = yaml(&read("charts/caapc/values.yaml"));
    merge(&mut values, &over);
    let mut found = Vec::new();
    problems(&schema, &values, "", &mut found);
    found
}

#[test]
fn the_schema_knows_every_value_and_refuses_others() {
    assert_eq!(checked(json!({})), [""; 0]);
    assert_eq!(checked(json!({"replicas": 2})), [".replicas: unknown"]);
    assert_eq!(checked(json!({"replicaCount": 0})), [".replicaCount: minimum"]);
    assert_eq!(
        checked(json!({"webhook": {"failurePolicy": "fail"}})),
        [".webhook.failurePolicy: none of the choices"]
    );
    assert_eq!(
        checked(json!({"webhook": {"timeoutSeconds": "5"}})),
        [".webhook.timeoutSeconds: not integer"]
    );
    assert_eq!(checked(json!({"apiServerPorts": [0]})), [".apiServerPorts[]: minimum"]);
    // And it says nothing of values that do not exist.
    let schema: Value = serde_json::from_str(&read("charts/caapc/values.schema.json")).unwrap();
    let values = yaml(&read("charts/caapc/values.yaml"));
    for name in schema["properties"].as_object().unwrap().keys().filter(|name| *name != "global") {
        assert!(values.get(name).is_some(), "{name}");
    }
}

/// A file that is generated: compared, or written where blessed.
#[track_caller]
fn generated(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("BLESS").is_some() && std::env::var_os("CI").is_none() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == text, "{path} is not what it should be; BLESS=1 cargo test --test packages");
}

#[test]
fn the_chart_brings_the_definitions() {
    generated("charts/caapc/crds/caapc.yaml", &print::yaml(&objects::definitions()));
}

#[test]
fn the_kustomize_base_is_the_installation() {
    let selector = NamespaceSelector::new(
        "image-assurance",
        &["enabled".to_owned()],
        "tigera-image-assurance",
    );
    let mut all = objects::definitions();
    all.extend(objects::all(&Options::new(selector.unwrap())));
    generated("deploy/kustomize/base/caapc.yaml", &print::yaml(&all));
    let base = yaml(&read("deploy/kustomize/base/kustomization.yaml"));
    assert_eq!(base["resources"], json!(["caapc.yaml"]));
}
