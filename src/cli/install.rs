//! `caapc install`: everything a cluster needs, printed or applied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::cluster::{ClusterArgs, block_on};
use super::io::{Exit, Failure, Out, read_text, shown, tell};
use crate::install::apply::{self, Act, Step, Way};
use crate::install::cluster::{Cluster, NAMESPACES, label, place};
use crate::install::options::{
    self, Certificates, FailurePolicy, NamespaceSelector, Options, REPLICAS_MAX, Reach,
    TIMEOUT_SECS_MAX, protected_namespaces,
};
use crate::install::{adopt, certs, names, objects, print};

/// Print or apply everything a cluster needs to enforce policies.
///
/// Which namespaces are enforced is chosen by a namespace label; kube-system, kube-public,
/// kube-node-lease and the controller's own namespace never are. The names are those of Calico's
/// Image Assurance admission controller, whose variables IN_NAMESPACE_SELECTOR_KEY and
/// IN_NAMESPACE_SELECTOR_VALUES are understood.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The namespace label whose values choose what is enforced.
    #[arg(long, value_name = "KEY", env = "IN_NAMESPACE_SELECTOR_KEY")]
    namespace_selector_key: Option<String>,
    /// The values of that label, separated by spaces.
    #[arg(long, value_name = "VALUES", env = "IN_NAMESPACE_SELECTOR_VALUES", num_args = 1..)]
    namespace_selector_values: Vec<String>,
    /// The namespace of the controller.
    #[arg(short, long, default_value = names::NAMESPACE)]
    namespace: String,
    /// The container image of the controller.
    #[arg(long, value_name = "REFERENCE", default_value_t = options::default_image())]
    image: String,
    /// How many replicas.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=i64::from(REPLICAS_MAX)))]
    replicas: u16,
    /// What the API server does when the controller does not answer: refuse, or admit unchecked.
    #[arg(long, value_enum)]
    failure_policy: Option<FailurePolicy>,
    /// How long the API server waits for an answer, in seconds. [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(1..=i64::from(TIMEOUT_SECS_MAX)))]
    timeout: Option<u8>,
    /// Who makes the serving certificate. [default: managed, or provided with --ca-bundle]
    #[arg(long, value_enum)]
    certificates: Option<Certificates>,
    /// The authorities the API server shall trust, for a certificate that you provide.
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// Only what `caapc serve` outside the cluster needs, called at this https URL.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Take scan results from this scanner in the cluster.
    #[arg(long, value_enum, value_name = "SCANNER")]
    scans_from: Option<ScansFrom>,
    /// Add a ServiceMonitor for the Prometheus operator.
    #[arg(long)]
    service_monitor: bool,
    /// Run on the host's network, as the original did.
    #[arg(long)]
    host_network: bool,
    /// The ports of the API server, for the network policy; --apply adds those it finds.
    #[arg(long, value_name = "PORTS", value_delimiter = ',', default_values_t = [443u16, 6443])]
    api_server_ports: Vec<u16>,
    /// One more argument of `caapc serve`, such as `--serve-argument=--mode=warn`; may be repeated.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    serve_argument: Vec<String>,
    /// Take over the installation of Calico's Image Assurance that is in the cluster.
    #[arg(long)]
    adopt: bool,
    /// Apply to the cluster and wait until it enforces, instead of printing.
    #[arg(long)]
    apply: bool,
    /// Do not wait for the controller to become ready before the webhook is applied.
    #[arg(long, requires = "apply")]
    no_wait: bool,
    /// How long to wait for the controller, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "apply")]
    wait_seconds: u64,
    /// Where `--adopt --apply` writes the objects that it replaces.
    #[arg(long, value_name = "FILE", default_value = "caapc-adopt-backup.yaml")]
    backup: PathBuf,
    /// Write the manifest to a file instead of printing it.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = names::MANIFEST_FILE, conflicts_with = "apply")]
    write_manifest: Option<PathBuf>,
    /// As YAML documents or as one JSON List.
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const EXAMPLES: &str = "\
Examples:
  Look at what would be installed, for namespaces labelled image-assurance=enabled:
    caapc install --namespace-selector-key image-assurance --namespace-selector-values enabled
  Install it, and wait until it enforces:
    caapc install --namespace-selector-key image-assurance --namespace-selector-values enabled --apply
  Only warn at first, of what would be rejected:
    caapc install --namespace-selector-key image-assurance --namespace-selector-values enabled \\
      --serve-argument=--mode=warn --apply
  As the original's script did:
    export IN_NAMESPACE_SELECTOR_KEY=image-assurance IN_NAMESPACE_SELECTOR_VALUES='enabled strict'
    caapc install --write-manifest
    kubectl apply -f tigera-image-assurance-admission-controller-deploy.yaml
  Take over what Calico installed; first only see what differs:
    caapc install --adopt > new.yaml
    caapc install --adopt --apply
  Develop against a cluster, with the controller on this machine:
    caapc install --webhook-url https://192.0.2.7:8443 --apply \\
      --namespace-selector-key image-assurance --namespace-selector-values enabled
    caapc serve --kubeconfig ~/.kube/config --listen 192.0.2.7:8443 \\
      --certificate-secret tigera-image-assurance-admission-controller-certs";

/// The most backups beside each other.
const BACKUPS_MAX: u32 = 99;

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    Yaml,
    Json,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ScansFrom {
    TrivyOperator,
}

/// Runs `caapc install`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    options::check_namespace(&args.namespace)?;
    options::check_image(&args.image)?;
    if args.adopt || args.apply {
        return block_on(in_cluster(&args, out));
    }
    let options = from_flags(&args)?;
    advise(&options);
    write(&args, &options, out)
}

fn from_flags(args: &Args) -> Result<Options, Failure> {
    let given = args.namespace_selector_key.as_deref();
    let Some(key) = given else {
        return Err(Failure::Input(
            "which namespaces shall be enforced? give --namespace-selector-key KEY and --namespace-selector-values VALUES, or \
             set IN_NAMESPACE_SELECTOR_KEY and IN_NAMESPACE_SELECTOR_VALUES; such as `image-assurance` and `enabled`, for \
             namespaces that carry the label image-assurance=enabled"
                .to_owned(),
        ));
    };
    with_selector(args, NamespaceSelector::new(key, &values(args), &args.namespace)?)
}

fn values(args: &Args) -> Vec<String> {
    args.namespace_selector_values.iter().flat_map(|text| options::split_values(text)).collect()
}

fn with_selector(args: &Args, selector: NamespaceSelector) -> Result<Options, Failure> {
    let certificates = match (args.certificates, &args.ca_bundle) {
        (Some(Certificates::Managed | Certificates::CertManager), Some(_)) => {
            return Err(Failure::Input(
                "--ca-bundle belongs to a certificate that you provide; leave it out, or say --certificates provided"
                    .to_owned(),
            ));
        }
        (Some(chosen), _) => chosen,
        (None, Some(_)) => Certificates::Provided,
        (None, None) => Certificates::Managed,
    };
    let reach = match &args.webhook_url {
        Some(url) => Reach::Url(options::check_webhook_url(url)?),
        None => Reach::Service,
    };
    let defaults = Options::new(selector);
    Ok(Options {
        namespace: args.namespace.clone(),
        image: args.image.clone(),
        replicas: args.replicas,
        failure_policy: args.failure_policy.unwrap_or(defaults.failure_policy),
        timeout_secs: args.timeout.unwrap_or(defaults.timeout_secs),
        reach,
        ca_bundle: args.ca_bundle.as_deref().map(read_bundle).transpose()?,
        certificates,
        trust_trivy_operator: args.scans_from.is_some(),
        service_monitor: args.service_monitor,
        host_network: args.host_network,
        api_server_ports: args.api_server_ports.clone(),
        serve_arguments: serve_arguments(&args.serve_argument)?,
        ..defaults
    })
}

/// The container would only say so once it is started, so what it cannot understand is refused here.
fn serve_arguments(arguments: &[String]) -> Result<Vec<String>, Failure> {
    use clap::{Args as _, Command};
    let serve = super::serve::Args::augment_args(Command::new("serve").no_binary_name(true));
    match serve.disable_help_flag(true).try_get_matches_from(arguments) {
        Ok(_) => Ok(arguments.to_vec()),
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Err(Failure::Input(format!("--serve-argument: {line}; see `caapc serve --help`")))
        }
    }
}

fn read_bundle(path: &Path) -> Result<String, Failure> {
    let text = read_text(path)?;
    let named = |text: String| Failure::Input(format!("{}: {text}", path.display()));
    let problems =
        certs::bundle_problems(&text, now_secs()).map_err(|fault| named(fault.to_string()))?;
    for problem in &problems {
        if !problem.only_a_warning {
            return Err(named(problem.message.clone()));
        }
        warn(&format!("{}: {}", path.display(), problem.message));
    }
    Ok(text)
}

/// What is allowed but seldom wise.
fn advise(options: &Options) {
    let inside = options.reach == Reach::Service;
    if inside && options.replicas == 1 && options.failure_policy == FailurePolicy::Fail {
        warn(
            "one replica and failurePolicy Fail: while its node restarts, nothing can be deployed in the namespaces it decides; --replicas 2",
        );
    }
    if options.failure_policy == FailurePolicy::Ignore {
        warn(
            "failurePolicy Ignore: while the controller does not answer, everything is admitted unchecked",
        );
    }
    if options.timeout_secs > 10 {
        warn(&format!(
            "a timeout of {} s: every deployment waits as long when the controller hangs; it answers within milliseconds",
            options.timeout_secs
        ));
    }
    if options.host_network {
        warn(
            "on the host's network the pod security level of the namespace must be `privileged`, and network policies do not apply",
        );
    }
    if options.certificates == Certificates::Provided && options.ca_bundle.is_none() {
        warn("no --ca-bundle: the API server then trusts the system's authorities only");
    }
}

fn write(args: &Args, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let mut all = objects::definitions();
    all.extend(objects::all(options));
    let text = match args.output {
        Output::Yaml => print::yaml(&all),
        Output::Json => print::json(&all),
    };
    let Some(path) = &args.write_manifest else {
        out.text(&text)?;
        return Ok(Exit::Fine);
    };
    std::fs::write(path, text).map_err(|error| {
        Failure::Environment(format!("{}: cannot be written: {error}", path.display()))
    })?;
    say(&format!(
        "wrote {}; apply it with: kubectl apply --server-side -f {}",
        path.display(),
        path.display()
    ));
    Ok(Exit::Fine)
}

async fn in_cluster(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    // Bad usage is told before a cluster is asked.
    let mut options = if args.adopt { None } else { Some(from_flags(args)?) };
    let cluster = Cluster::new(args.cluster.client().await?);
    if args.adopt {
        options = Some(adopted(args, &cluster).await?);
    }
    let Some(mut options) = options else {
        return Err(Failure::Input("nothing to install".to_owned()));
    };
    advise(&options);
    if !args.apply {
        return write(args, &options, out);
    }
    options.api_server_ports.extend(apply::api_server_ports(&cluster).await?);
    options.api_server_ports.sort_unstable();
    options.api_server_ports.dedup();
    look_at_namespaces(&cluster, &options).await?;
    super::unscanned::tell(&cluster, &options).await?;
    let way = Way {
        wait: (!args.no_wait).then(|| Duration::from_secs(args.wait_seconds)),
        adopt: args.adopt,
        settings_too: args.scans_from.is_some(),
        now_secs: now_secs(),
    };
    let steps = apply::plan(&cluster, &options, &objects::definitions(), &way).await?;
    back_up(args, &steps)?;
    let mut tell = |line: &str| say(line);
    apply::apply(&cluster, &options, &steps, &way, &mut tell).await?;
    out.line(&format!(
        "caapc enforces namespaces with {} in ({}); check with: caapc doctor",
        options.selector.key(),
        options.selector.values().join(", ")
    ))?;
    Ok(Exit::Fine)
}

/// Options from what is in the cluster; flags that were given win.
async fn adopted(args: &Args, cluster: &Cluster) -> Result<Options, Failure> {
    let Some(found) = adopt::find(cluster).await? else {
        return Err(Failure::Input(format!(
            "there is nothing to adopt: no webhook configuration {}, or caapc made it already; run without --adopt",
            names::ADMISSION_WEBHOOK
        )));
    };
    say("found an installation of Image Assurance; kept:");
    found.kept.iter().for_each(|line| say(&format!("  {line}")));
    say("different:");
    found.differs.iter().for_each(|line| say(&format!("  {line}")));
    let mut options = with_selector(args, found.selector.clone())?;
    let given = options.clone();
    found.fill(&mut options);
    if let Some(key) = &args.namespace_selector_key {
        options.selector = NamespaceSelector::new(key, &values(args), &options.namespace)?;
    }
    if args.failure_policy.is_some() {
        options.failure_policy = given.failure_policy;
    }
    if args.timeout.is_some() {
        options.timeout_secs = given.timeout_secs;
    }
    if args.ca_bundle.is_some() || args.certificates.is_some() {
        options.ca_bundle = given.ca_bundle;
        options.certificates = given.certificates;
    }
    Ok(options)
}

/// Whether the selector means anything in this cluster, today.
async fn look_at_namespaces(cluster: &Cluster, options: &Options) -> Result<(), Failure> {
    let all = cluster.list(NAMESPACES, "", None).await?.unwrap_or_default();
    let selected = |object: &&Value| {
        label(object, options.selector.key())
            .is_some_and(|value| options.selector.values().iter().any(|one| one == value))
    };
    let protected = protected_namespaces(&options.namespace);
    let (mut enforced, mut excluded) = (Vec::new(), Vec::new());
    for object in all.iter().filter(selected) {
        let name = place(object).1.to_owned();
        if protected.contains(&name) { excluded.push(name) } else { enforced.push(name) }
    }
    if !excluded.is_empty() {
        warn(&format!(
            "{} carries the label, and is excluded all the same: the cluster must start without the webhook",
            shown(&excluded.join(", "))
        ));
    }
    if enforced.is_empty() {
        warn(&format!(
            "no namespace carries the label yet, so nothing is enforced; kubectl label namespace NAME {}={}",
            options.selector.key(),
            options.selector.values().first().map_or("", String::as_str)
        ));
    } else {
        say(&format!("namespaces that are enforced: {}", shown(&enforced.join(", "))));
    }
    Ok(())
}

/// Writes what is about to be replaced, so that there is a way back.
fn back_up(args: &Args, steps: &[Step]) -> Result<(), Failure> {
    let old: Vec<Value> = steps
        .iter()
        .filter(|step| step.act == Act::Replace)
        .filter_map(|step| step.old.clone())
        .map(restorable)
        .collect();
    if old.is_empty() {
        return Ok(());
    }
    let text = print::yaml(&old);
    for number in 1..=BACKUPS_MAX {
        let path = numbered(&args.backup, number);
        let written = std::fs::File::create_new(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        match written {
            // An earlier run, which stopped halfway, replaced other objects.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Failure::Environment(format!(
                    "{}: cannot write the backup: {error}; name another file with --backup",
                    path.display()
                )));
            }
            Ok(()) => {
                say(&format!(
                    "{} objects will be replaced; as they were: {}",
                    old.len(),
                    path.display()
                ));
                return Ok(());
            }
        }
    }
    Err(Failure::Input(format!(
        "{}: {BACKUPS_MAX} backups exist already; move them away",
        args.backup.display()
    )))
}

/// `backup.yaml`, then `backup-2.yaml` and so on.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let end = path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number}{end}"))
}

/// Without what only this very object can have.
fn restorable(mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"]
        {
            metadata.remove(field);
        }
    }
    object
}

pub(super) fn now_secs() -> i64 {
    chrono::Utc::now().timestamp()
}

/// Progress, beside the results.
pub(super) fn say(line: &str) {
    tell(format_args!("{}", shown(line)));
}

pub(super) fn warn(line: &str) {
    tell(format_args!("warning: {}", shown(line)));
}
