//! `caapc serve`: the admission controller, over a cluster or a folder.
//!
//! The rooms that do not know each other are put together here: `serve` answers, `watch` keeps
//! the shelves, `install` keeps the certificate. Start at [`run`].

mod certificates;
mod control;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use caapc_compiler::set::OnInvalid;
use caapc_vm::listing;
use clap::ValueEnum;
use clap::builder::{PossibleValue, RangedU64ValueParser};

use super::cluster::ClusterArgs;
use super::io::{Exit, Failure, Out};
use super::switches::Switches;
use crate::admission::Snapshot;
use crate::admission::options::{MissingNamespace, Mode, Options};
use crate::install::names;
use crate::serve::gate::Gate;
use crate::serve::limits::Limits;
use crate::serve::ops::Operations;
use crate::serve::service::Service;
use crate::serve::webhook::{self, Webhook};
use crate::telemetry::health::{Health, Parts};
use crate::telemetry::log;
use crate::telemetry::metrics::{Connections, Metrics};
use crate::watch::validate;

use self::certificates::Certificate;
use self::control::Control;

/// Answer admission reviews over TLS, fed by a cluster's watches or by a folder.
///
/// In a cluster it runs as `caapc install` arranges it. Without one, `--local DIR` takes
/// policies, namespaces, scans, exceptions and settings from a folder, and reloads what changes
/// within two seconds; a file that breaks keeps what it last held.
///
/// Two ports: reviews are answered at `--listen` (POST /admission-review, POST
/// /validate-policies); `--metrics-listen` has /livez, /readyz (?verbose names each shelf),
/// /metrics and /debug/program, without TLS.
///
/// SIGTERM: not ready at once; requests are served for `--shutdown-delay` longer, then those in
/// flight finish, and the exit code is 0.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Take everything from this folder instead of a cluster.
    ///
    /// `policies/`, `namespaces/`, `scans/` (ImageScans, lists of them or scanner reports),
    /// `exceptions/` (objects or CSV) and `settings.yaml`, each optional. At most 250,000 files with
    /// scans and 10,000 of each other kind, of 64 MiB each. A certificate is made unless one is
    /// given; trust `DIR/tls/ca.crt`.
    #[arg(long, value_name = "DIR", env = "CAAPC_LOCAL", conflicts_with_all = ["kubeconfig", "context"])]
    local: Option<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    listen: Listen,

    #[command(flatten)]
    deciding: Deciding,

    #[command(flatten)]
    tuning: Tuning,
}

const EXAMPLES: &str = "\
Examples:
  Without a cluster, over a folder of samples:
    caapc serve --local samples/local --listen 127.0.0.1:8443 --metrics-listen 127.0.0.1:9443

  Against the cluster of your kubeconfig, with a certificate of your own, only warning:
    caapc serve --tls-cert cert.pem --tls-key key.pem --mode warn

  What is not ready yet:
    curl 'http://127.0.0.1:9443/readyz?verbose'

An option whose help names a CAAPC_ variable can be set in the environment as well.";

/// Ports and certificates.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Listening")]
struct Listen {
    /// Where reviews are answered, over TLS [default: 0.0.0.0:8080, with --local 127.0.0.1:8443].
    #[arg(long, value_name = "ADDRESS", env = "CAAPC_LISTEN")]
    listen: Option<SocketAddr>,

    /// Where health and metrics are, without TLS [default: 0.0.0.0:9443, with --local
    /// 127.0.0.1:9443].
    #[arg(long, value_name = "ADDRESS", env = "CAAPC_METRICS_LISTEN")]
    metrics_listen: Option<SocketAddr>,

    /// The certificate chain, PEM; read again when it changes [default: /certs/https/cert.pem].
    #[arg(long, value_name = "FILE", env = "CAAPC_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Its private key, PEM [default: /certs/https/key.pem].
    #[arg(long, value_name = "FILE", env = "CAAPC_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Answer only clients with a certificate of this authority.
    ///
    /// The API server shows one if its `--admission-control-config-file` says so.
    #[arg(long, value_name = "FILE", env = "CAAPC_CLIENT_CA")]
    client_ca: Option<PathBuf>,

    /// Take the certificate from this secret in the own namespace; the leader makes and renews
    /// it, and tells the API server.
    #[arg(long, value_name = "NAME", env = "CAAPC_CERTIFICATE_SECRET", conflicts_with_all = ["tls_cert", "local"])]
    certificate_secret: Option<String>,
}

/// What is decided.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Deciding")]
struct Deciding {
    /// What a rejection does: deny, allow with a warning, or allow and tell the audit log only.
    #[arg(long, value_enum, default_value_t, value_name = "MODE", env = "CAAPC_MODE")]
    mode: Mode,

    /// Let this namespace label choose the mode, with the value `enforce`, `warn` or `audit`.
    ///
    /// Whoever may label a namespace then decides for it; so there is none by default.
    #[arg(long, value_name = "KEY", env = "CAAPC_MODE_LABEL")]
    mode_label: Option<String>,

    /// What becomes of a policy that never compiled: what it selects is denied, or it is ignored.
    #[arg(long, value_enum, default_value_t, value_name = "DO", env = "CAAPC_ON_INVALID_POLICY")]
    on_invalid_policy: OnInvalidPolicy,

    #[command(flatten)]
    switches: Switches,
}

/// Bounds, logs and the replica's place in the cluster.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Running")]
struct Tuning {
    /// Reviews that are decided at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 64, env = "CAAPC_CONCURRENCY")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    concurrency: usize,

    /// Reviews that may wait for that; one more is answered with 429 at once.
    #[arg(long, value_name = "COUNT", default_value_t = 512, env = "CAAPC_QUEUE")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(..=100_000))]
    queue: usize,

    /// Open connections; one more is closed at once.
    #[arg(long, value_name = "COUNT", default_value_t = 1024, env = "CAAPC_CONNECTIONS_MAX")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(4..=100_000))]
    connections_max: usize,

    /// Threads that answer [default: one for each processor].
    #[arg(long, value_name = "COUNT", env = "CAAPC_THREADS")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,

    /// Seconds to go on serving after SIGTERM, until no more reviews are sent here [default: 5,
    /// with --local 0].
    #[arg(long, value_name = "SECONDS", env = "CAAPC_SHUTDOWN_DELAY")]
    shutdown_delay: Option<u64>,

    /// Seconds that requests in flight may take after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, env = "CAAPC_DRAIN")]
    drain: u64,

    /// How log lines look [default: json, with --local text].
    #[arg(long, value_enum, value_name = "FORMAT", env = "CAAPC_LOG_FORMAT")]
    log_format: Option<log::Format>,

    /// Which log lines are written: `error`, `warn`, `info`, `debug`, or a filter such as
    /// `info,caapc=debug`.
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info,kube_client=off",
        env = "CAAPC_LOG_LEVEL"
    )]
    log_level: String,

    /// Write no Kubernetes Events.
    #[arg(long, env = "CAAPC_NO_EVENTS")]
    no_events: bool,

    /// The namespace this replica runs in, for its lease and its certificate.
    #[arg(long, value_name = "NAME", default_value = names::NAMESPACE, env = "POD_NAMESPACE")]
    own_namespace: String,

    /// The name of this replica [default: host name and process id].
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
}

/// The words of `--on-invalid-policy`.
#[derive(Clone, Copy, Debug, Default)]
struct OnInvalidPolicy(OnInvalid);

impl ValueEnum for OnInvalidPolicy {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(OnInvalid::Deny), Self(OnInvalid::Ignore)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self.0 {
            OnInvalid::Deny => "deny",
            OnInvalid::Ignore => "ignore",
        }))
    }
}

/// Runs `caapc serve`.
///
/// # Errors
/// [`Failure`], with what to do about it.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let local = args.local.is_some();
    let format = args.tuning.log_format;
    let format = format.unwrap_or(if local { log::Format::Text } else { log::Format::Json });
    let _flush = log::init(format, &args.tuning.log_level).map_err(Failure::Input)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.tuning.threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().thread_name("serve").build();
    let runtime =
        runtime.map_err(|error| Failure::Environment(format!("cannot start threads: {error}")))?;
    let served = runtime.block_on(serve(args, out));
    // A blocking read of a file system that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served.map(|()| Exit::Fine)
}

async fn serve(args: Args, out: &mut Out) -> Result<(), Failure> {
    let Args { local, cluster, listen, deciding, tuning } = args;
    let metrics = Metrics::new();
    let snapshot = Arc::new(ArcSwapOption::<Snapshot>::empty());
    let mut parts = Parts::default();
    let plan = control::Plan {
        on_invalid: deciding.on_invalid_policy.0,
        events: !tuning.no_events,
        namespace: tuning.own_namespace.clone(),
        identity: tuning.identity.clone().unwrap_or_else(identity),
    };
    let (control, certificate) = match &local {
        Some(folder) => {
            let control = Control::local(folder, &plan, &metrics, &snapshot, &mut parts)?;
            let certificate = Certificate::local(&listen, folder)?;
            (control, certificate)
        }
        None => {
            let client = cluster.client().await?;
            let control = Control::cluster(&client, &plan, &metrics, &snapshot, &mut parts);
            let certificate = Certificate::cluster(&listen, &client, &plan, &control).await?;
            (control, certificate)
        }
    };
    certificate.keep(&metrics, &mut parts);
    let health = parts.finish();
    let operations = operations(&listen, local.is_some(), &health, &metrics, &snapshot).await?;
    let limits = Limits {
        concurrency: tuning.concurrency,
        queue: tuning.queue,
        connections_max: tuning.connections_max,
        ..Limits::default()
    };
    let webhook = Arc::new(Webhook {
        snapshot,
        options: options(&deciding, local.is_some()),
        gate: Gate::new(limits.concurrency, limits.queue, limits.bodies_bytes_max),
        validation_gate: Gate::new(2, 16, 32 << 20),
        limits: limits.clone(),
        metrics: metrics.clone(),
        clock: Arc::new(webhook::machine_clock),
        fetch: control.fetch.clone(),
        validate: Arc::new(validate::answer),
        rejected: control.rejected.clone(),
    });
    let address = listen.address(local.is_some());
    let drain = Duration::from_secs(tuning.drain);
    let tls = Some(&*certificate.tls);
    let connections = metrics.connections.clone();
    let service = Service::start(webhook, address, tls, limits, connections, drain)
        .await
        .map_err(|error| cannot_listen("--listen", address, &error))?;
    announce(out, &service, &operations, &certificate)?;
    let ended = control.until_the_end().await;
    health.drain();
    let delay = tuning.shutdown_delay.unwrap_or(if local.is_some() { 0 } else { 5 });
    tracing::info!(delay_secs = delay, "not ready from now on; ending");
    control::wait(Duration::from_secs(delay)).await;
    let cut_off = service.stop().await;
    if cut_off > 0 {
        tracing::warn!(connections = cut_off, "connections were cut off");
    }
    control.release().await;
    operations.stop().await;
    ended.map_err(|reason| {
        Failure::Environment(format!("the control road ended, which is a fault of caapc: {reason}"))
    })
}

fn options(deciding: &Deciding, local: bool) -> Options {
    Options {
        mode: deciding.mode,
        mode_label: deciding.mode_label.as_deref().map(Into::into),
        missing_namespace: match local {
            true => MissingNamespace::NameOnly,
            false => MissingNamespace::Error,
        },
        ..deciding.switches.options()
    }
}

async fn operations(
    listen: &Listen,
    local: bool,
    health: &Health,
    metrics: &Metrics,
    snapshot: &Arc<ArcSwapOption<Snapshot>>,
) -> Result<Service, Failure> {
    let snapshot = Arc::clone(snapshot);
    let listing = move || match &*snapshot.load() {
        None => "; nothing runs yet\n".to_owned(),
        Some(snapshot) => {
            listing::listing(snapshot.policies.program(), &listing::Options::default())
        }
    };
    let handler = Arc::new(Operations {
        health: health.clone(),
        metrics: metrics.clone(),
        listing: Arc::new(listing),
    });
    let address = listen.metrics_address(local);
    let limits = Limits::operations();
    let drain = Duration::from_secs(1);
    Service::start(handler, address, None, limits, Connections::default(), drain)
        .await
        .map_err(|error| cannot_listen("--metrics-listen", address, &error))
}

impl Listen {
    fn address(&self, local: bool) -> SocketAddr {
        let cluster = SocketAddr::from(([0, 0, 0, 0], port(names::WEBHOOK_PORT)));
        let default = if local { SocketAddr::from(([127, 0, 0, 1], 8443)) } else { cluster };
        self.listen.unwrap_or(default)
    }

    fn metrics_address(&self, local: bool) -> SocketAddr {
        let host = if local { [127, 0, 0, 1] } else { [0, 0, 0, 0] };
        self.metrics_listen.unwrap_or(SocketAddr::from((host, port(names::METRICS_PORT))))
    }
}

fn port(number: i32) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

fn cannot_listen(flag: &str, address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::Environment(format!("{flag}: cannot listen on {address}: {error}"))
}

/// Tells where it listens: the log for machines, standard output for people without a cluster.
fn announce(
    out: &mut Out,
    service: &Service,
    operations: &Service,
    certificate: &Certificate,
) -> Result<(), Failure> {
    let (webhook, metrics) = (service.address, operations.address);
    tracing::info!(%webhook, %metrics, version = env!("CARGO_PKG_VERSION"), "listening");
    if let Some(ca) = &certificate.made_ca {
        out.line(&format!("listening on https://{webhook} (metrics on http://{metrics})"))?;
        out.line(&format!("trust it with {}", ca.display()))?;
        out.flush()?;
    }
    Ok(())
}

fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "caapc" } else { host };
    format!("{host}-{}", std::process::id())
}
