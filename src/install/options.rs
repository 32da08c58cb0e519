//! What the user chose, checked once: an [`Options`] can be installed.
//!
//! Parse, don't validate: [`NamespaceSelector`] cannot hold a selector that would lock the cluster
//! out or enforce nothing by construction. Whether any namespace carries the label today is asked
//! of the cluster, not here.

use super::{Fault, names};

/// The most values of the namespace selector.
pub const SELECTOR_VALUES_MAX: usize = 256;
/// The most replicas.
pub const REPLICAS_MAX: u16 = 100;
/// The longest timeout the API server accepts for a webhook, in seconds.
pub const TIMEOUT_SECS_MAX: u8 = 30;

/// Everything that shapes an installation.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace of the controller.
    pub namespace: String,
    /// Which namespaces are sent to the webhook.
    pub selector: NamespaceSelector,
    /// The container image of the controller.
    pub image: String,
    /// How many replicas; at least one.
    pub replicas: u16,
    /// What the API server does when the controller does not answer.
    pub failure_policy: FailurePolicy,
    /// How long the API server waits for an answer.
    pub timeout_secs: u8,
    /// How the API server reaches the controller.
    pub reach: Reach,
    /// The PEM bundle the API server trusts; `None` leaves it to the leader, or to cert-manager.
    pub ca_bundle: Option<String>,
    /// Who makes the serving certificate.
    pub certificates: Certificates,
    /// Take scan results from trivy-operator's reports.
    pub trust_trivy_operator: bool,
    /// Add a `ServiceMonitor` for the Prometheus operator.
    pub service_monitor: bool,
    /// Run on the host's network, as the original did.
    pub host_network: bool,
    /// The ports of the API server that the network policy lets the controller reach.
    pub api_server_ports: Vec<u16>,
    /// More arguments of `caapc serve`.
    pub serve_arguments: Vec<String>,
}

/// What the API server does when the webhook cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum FailurePolicy {
    /// Refuse the request: nothing unchecked gets in.
    Fail,
    /// Let it through: nothing waits for the controller.
    Ignore,
}

impl FailurePolicy {
    /// As Kubernetes spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Ignore => "Ignore",
        }
    }
}

/// Who makes the serving certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Certificates {
    /// The leader makes and renews it, in the one secret it may write.
    Managed,
    /// Somebody else fills the secret: it is neither printed nor touched.
    Provided,
    /// cert-manager fills the secret and the webhook configurations; a `Certificate` and a
    /// self-signed `Issuer` are printed.
    CertManager,
}

/// How the API server reaches the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Through the service; the controller runs in the cluster.
    Service,
    /// At this URL, without a path; the controller runs outside.
    Url(String),
}

impl Options {
    /// The defaults of the original, or safer ones, for a namespace selector.
    pub fn new(selector: NamespaceSelector) -> Self {
        Self {
            namespace: names::NAMESPACE.to_owned(),
            selector,
            image: default_image(),
            replicas: 2,
            failure_policy: FailurePolicy::Fail,
            timeout_secs: 5,
            reach: Reach::Service,
            ca_bundle: None,
            certificates: Certificates::Managed,
            trust_trivy_operator: false,
            service_monitor: false,
            host_network: false,
            api_server_ports: vec![443, 6443],
            serve_arguments: Vec::new(),
        }
    }

    /// The DNS name or address the API server expects in the serving certificate.
    pub fn certificate_name(&self) -> String {
        match &self.reach {
            Reach::Service => service_name(&self.namespace),
            Reach::Url(url) => url_host(url).to_owned(),
        }
    }
}

/// The image of this version.
pub fn default_image() -> String {
    format!("ghcr.io/caapc/caapc:{}", env!("CARGO_PKG_VERSION"))
}

/// The name under which the API server reaches the service (spec: webhook, "certificate SAN").
pub fn service_name(namespace: &str) -> String {
    format!("{}.{namespace}.svc", names::SERVICE)
}

/// Which namespaces are sent to the webhook: those whose label `key` has one of `values`.
///
/// INVARIANT (no lock-out): never by name a namespace of Kubernetes itself, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSelector {
    key: String,
    values: Vec<String>,
}

impl NamespaceSelector {
    /// Checks a key and its values; values are sorted, and those given twice are kept once.
    ///
    /// # Errors
    /// [`Fault::Input`]: an empty key or list, something that cannot be a label, or a selector
    /// that names a namespace which must never wait for a webhook.
    pub fn new(key: &str, values: &[String], own_namespace: &str) -> Result<Self, Fault> {
        let (key, mut values) = (key.trim().to_owned(), values.to_vec());
        if key.is_empty() {
            return Err(Fault::Input(format!(
                "the key of the namespace selector is empty: every namespace would be sent to the webhook, or none; \
                 give a label key, such as --namespace-selector-key {}",
                "image-assurance"
            )));
        }
        check_label_key(&key)?;
        values.retain(|value| !value.is_empty());
        values.sort();
        values.dedup();
        if values.is_empty() {
            return Err(Fault::Input(format!(
                "the namespace selector has no values: no namespace would be sent to the webhook, and nothing enforced; \
                 give the values of `{}`, such as --namespace-selector-values enabled",
                printable(&key)
            )));
        }
        if values.len() > SELECTOR_VALUES_MAX {
            return Err(Fault::Input(format!(
                "the namespace selector has {} values; the limit is {SELECTOR_VALUES_MAX}: use one label for all of them",
                values.len()
            )));
        }
        for value in &values {
            check_label_value(value)?;
        }
        if key == names::CALICO_NAME_LABEL {
            return Err(Fault::Input(format!(
                "`{key}` is a label that only policies see: the API server does not know it, so no namespace would be sent \
                 to the webhook; use `{}`",
                names::NAMESPACE_NAME_LABEL
            )));
        }
        if key == names::NAMESPACE_NAME_LABEL {
            refuse_protected(&values, own_namespace)?;
        }
        Ok(Self { key, values })
    }

    /// The label key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The label values, sorted.
    pub fn values(&self) -> &[String] {
        &self.values
    }
}

/// The namespaces that are never sent to the webhook: Kubernetes' own, then ours.
pub fn protected_namespaces(own: &str) -> Vec<String> {
    let mut all: Vec<String> = names::SYSTEM_NAMESPACES.map(str::to_owned).to_vec();
    all.push(own.to_owned());
    all
}

/// Splits what the original's variable holds: values separated by spaces, and commas as well.
pub fn split_values(text: &str) -> Vec<String> {
    text.split([' ', ',', '\t', '\n'])
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Checks the name of a namespace.
///
/// # Errors
/// [`Fault::Input`]: not a DNS label of 1 to 63 characters.
pub fn check_namespace(name: &str) -> Result<(), Fault> {
    let fine = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !fine {
        return Err(Fault::Input(format!(
            "`{}` cannot be a namespace: 1 to 63 characters of a-z, 0-9 and `-`, which neither begins nor ends it",
            printable(name)
        )));
    }
    if names::SYSTEM_NAMESPACES.contains(&name) || name == "default" {
        return Err(Fault::Input(format!(
            "caapc does not install into `{name}`: its own namespace is excluded from enforcement; use another one"
        )));
    }
    Ok(())
}

/// Checks `--webhook-url`: `https`, a host, perhaps a port, and nothing behind it.
///
/// # Errors
/// [`Fault::Input`] says what is wrong with it.
pub fn check_webhook_url(url: &str) -> Result<String, Fault> {
    let wrong = |what: &str| {
        Err(Fault::Input(format!(
            "--webhook-url `{}`: {what}; write it as https://HOST:PORT",
            printable(url)
        )))
    };
    let Some(rest) = url.strip_prefix("https://") else {
        return wrong("the API server only calls https URLs");
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '@']) {
        return wrong("a path, query, fragment or user is not accepted, the paths are added");
    }
    if rest.len() > 253 + 6 || rest.bytes().any(|b| !b.is_ascii_graphic()) {
        return wrong("this is not a host");
    }
    let clean = format!("https://{rest}");
    if url_host(&clean).is_empty() {
        return wrong("the host is missing");
    }
    let port = rest.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return wrong("the port is not a number below 65536");
    }
    Ok(clean)
}

/// The host of a URL as a certificate names it: without port, and without brackets.
pub fn url_host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or("");
    if let Some(v6) = rest.strip_prefix('[') {
        return v6.split(']').next().unwrap_or("");
    }
    rest.split(':').next().unwrap_or("")
}

/// Checks an image reference roughly: what could not be pulled, or would break the manifest.
///
/// # Errors
/// [`Fault::Input`]: empty, over 512 bytes, or with a blank or control character.
pub fn check_image(image: &str) -> Result<(), Fault> {
    if image.is_empty() || image.len() > 512 || image.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err(Fault::Input(format!(
            "--image `{}`: an image reference has 1 to 512 characters and no blanks, such as {}",
            printable(image),
            default_image()
        )));
    }
    Ok(())
}

/// User text without control characters, cut to what fits a sentence.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(128).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn refuse_protected(values: &[String], own_namespace: &str) -> Result<(), Fault> {
    let protected = protected_namespaces(own_namespace);
    let named: Vec<&str> =
        values.iter().filter(|value| protected.contains(value)).map(String::as_str).collect();
    if named.is_empty() {
        return Ok(());
    }
    let why = if named.len() == values.len() {
        "and nothing else is left to enforce"
    } else {
        "leave them out"
    };
    Err(Fault::Input(format!(
        "the namespace selector names `{}`: these are never sent to the webhook, because the cluster and the controller \
         must start without it; {why}",
        named.join("`, `")
    )))
}

fn check_label_key(key: &str) -> Result<(), Fault> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let prefix_fine = prefix.is_none_or(|prefix| {
        (1..=253).contains(&prefix.len())
            && prefix.split('.').all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                    && !part.starts_with('-')
                    && !part.ends_with('-')
            })
    });
    if prefix_fine && is_label_name(name) {
        return Ok(());
    }
    Err(Fault::Input(format!(
        "`{}` cannot be a label key: an optional DNS prefix and `/`, then 1 to 63 characters of A-Z, a-z, 0-9, `-`, `_`, \
         `.`, with a letter or digit at both ends",
        printable(key)
    )))
}

fn check_label_value(value: &str) -> Result<(), Fault> {
    if is_label_name(value) {
        return Ok(());
    }
    Err(Fault::Input(format!(
        "`{}` cannot be a label value: 1 to 63 characters of A-Z, a-z, 0-9, `-`, `_`, `.`, with a letter or digit at both \
         ends",
        printable(value)
    )))
}

fn is_label_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && ends(text.chars().next())
        && ends(text.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(key: &str, values: &[&str], part: &str) {
        let values: Vec<String> = values.iter().map(|&v| v.to_owned()).collect();
        let error = NamespaceSelector::new(key, &values, names::NAMESPACE).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn selectors_that_lock_out_or_enforce_nothing_are_refused() {
        refused("", &["x"], "key of the namespace selector is empty");
        refused("  ", &["x"], "is empty");
        refused("env", &[], "has no values");
        refused("env", &["", ""], "has no values");
        refused("env/", &["x"], "cannot be a label key");
        refused("-env", &["x"], "cannot be a label key");
        refused("Example.com/env", &["x"], "cannot be a label key");
        refused("env", &["a b"], "cannot be a label value");
        refused("env", &[&"x".repeat(64)], "cannot be a label value");
        refused("kubernetes.io/metadata.name", &["kube-system"], "nothing else is left");
        refused("kubernetes.io/metadata.name", &["kube-system", "shop"], "leave them out");
        refused("kubernetes.io/metadata.name", &[names::NAMESPACE, "shop"], "leave them out");
        refused("projectcalico.org/name", &["shop"], "does not know it");
        let many: Vec<String> = (0..=SELECTOR_VALUES_MAX).map(|n| n.to_string()).collect();
        assert!(NamespaceSelector::new("env", &many, "x").is_err());
    }

    #[test]
    fn values_are_sorted_and_kept_once() {
        let selector =
            NamespaceSelector::new("env", &split_values(" prod  dev,prod "), "own").unwrap();
        assert_eq!(selector.values(), ["dev", "prod"]);
    }

    #[test]
    fn webhook_urls() {
        assert_eq!(check_webhook_url("https://127.0.0.1:8443/").unwrap(), "https://127.0.0.1:8443");
        assert_eq!(url_host("https://[::1]:8443"), "::1");
        assert_eq!(url_host("https://hook.example.org/admission-review"), "hook.example.org");
        for bad in [
            "http://x",
            "https://",
            "https://x/y",
            "https://u@x",
            "https://x:99999",
            "https://a b",
            "https://:1",
        ] {
            assert!(check_webhook_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn namespaces() {
        assert!(check_namespace("tigera-image-assurance").is_ok());
        for bad in ["", "Upper", "-a", "a-", "kube-system", "default", &"a".repeat(64)] {
            assert!(check_namespace(bad).is_err(), "{bad}");
        }
    }
}
