//! `caapc certs`: certificates without OpenSSL.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::cluster::{ClusterArgs, block_on};
use super::install::{now_secs, say};
use super::io::{Exit, Failure, Out, Output, read_text, shown};
use crate::install::certs::{self, Life, Pair, Problem};
use crate::install::options::{check_namespace, service_name};
use crate::install::{names, rotate};

/// Make, check and renew the serving certificate.
///
/// In the cluster the leader does all of this by itself. These are for a certificate of your own.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Make an authority and a certificate for the service, in ./certs:
    caapc certs make --to certs
  Say what is wrong with the files that Calico's documentation has you make:
    caapc certs check --cert admission_controller_cert.pem --key admission_controller_key.pem
  Renew now what caapc manages in the cluster:
    caapc certs renew";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an authority and a serving certificate.
    Make(MakeArgs),
    /// Say what is wrong with a certificate, as the API server would see it.
    Check(CheckArgs),
    /// Renew the certificate that caapc manages in the cluster, now.
    Renew(RenewArgs),
}

#[derive(Debug, clap::Args)]
struct MakeArgs {
    /// The folder to write to; files that exist are not overwritten.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The namespace of the controller.
    #[arg(short, long, default_value = names::NAMESPACE)]
    namespace: String,
    /// A DNS name or address to certify, instead of the service; may be repeated.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// How long the certificate is valid, in days.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Sign with this authority instead of a new one.
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_cert: Option<PathBuf>,
    /// The key of that authority.
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The certificate, with the chain to its authority behind it.
    #[arg(long, value_name = "FILE", default_value = "admission_controller_cert.pem")]
    cert: PathBuf,
    /// Its private key.
    #[arg(long, value_name = "FILE", default_value = "admission_controller_key.pem")]
    key: PathBuf,
    /// What the API server trusts: the caBundle of the webhook.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The namespace of the controller.
    #[arg(short, long, default_value = names::NAMESPACE)]
    namespace: String,
    /// The name the API server asks for, if it is not the service's.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For people or for programs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct RenewArgs {
    /// The namespace of the controller.
    #[arg(short, long, default_value = names::NAMESPACE)]
    namespace: String,
    /// Make a new authority as well; the old one stays trusted until nothing depends on it.
    #[arg(long)]
    authority: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs `caapc certs`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    match args.command {
        Command::Make(args) => make(&args, out),
        Command::Check(args) => check(&args, out),
        Command::Renew(args) => renew(&args, out),
    }
}

fn make(args: &MakeArgs, out: &mut Out) -> Result<Exit, Failure> {
    check_namespace(&args.namespace)?;
    let names =
        if args.name.is_empty() { vec![service_name(&args.namespace)] } else { args.name.clone() };
    let now = now_secs();
    let leaf_secs = i64::from(args.days) * certs::DAY_SECS;
    let life =
        Life { leaf_secs, ca_secs: Life::default().ca_secs.max(leaf_secs), ..Life::default() };
    let (ca, is_new) = match (&args.ca_cert, &args.ca_key) {
        (Some(certificate), Some(key)) => {
            (Pair { certificate: read_text(certificate)?, key: read_text(key)? }, false)
        }
        _ => (certs::authority(now, &life)?, true),
    };
    let leaf = certs::leaf(&ca, &names, now, &life)?;
    std::fs::create_dir_all(&args.to).map_err(|error| not_written(&args.to, &error))?;
    let mut files = vec![
        ("admission_controller_cert.pem", &leaf.certificate, false),
        ("admission_controller_key.pem", &leaf.key, true),
        ("ca.crt", &ca.certificate, false),
    ];
    if is_new {
        files.push(("ca.key", &ca.key, true));
    }
    // Look before writing any: half a set of files is worse than none.
    for (name, _, _) in &files {
        let path = args.to.join(name);
        if path.exists() {
            return Err(Failure::Input(format!(
                "{}: exists already; choose another folder",
                path.display()
            )));
        }
    }
    for (name, text, is_secret) in files {
        write_new(&args.to.join(name), text, is_secret)?;
    }
    let folder = args.to.display();
    out.line(&format!(
        "wrote {folder}/admission_controller_cert.pem, admission_controller_key.pem, ca.crt{}",
        if is_new { ", ca.key" } else { "" }
    ))?;
    out.line(&format!(
        "next: kubectl -n {} create secret generic {} --from-file=tls.crt={folder}/admission_controller_cert.pem --from-file=tls.key={folder}/admission_controller_key.pem",
        args.namespace,
        names::SECRET
    ))?;
    out.line(&format!("      caapc install --ca-bundle {folder}/ca.crt ..."))?;
    Ok(Exit::Fine)
}

fn write_new(path: &Path, text: &str, is_secret: bool) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if is_secret { 0o600 } else { 0o644 });
    }
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Environment(format!("{}: cannot be written: {error}", path.display()))
}

fn check(args: &CheckArgs, out: &mut Out) -> Result<Exit, Failure> {
    check_namespace(&args.namespace)?;
    let name = args.name.clone().unwrap_or_else(|| service_name(&args.namespace));
    let in_file = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::Input(format!("{}: {error}", path.display()))
    };
    let pair = Pair { certificate: read_text(&args.cert)?, key: read_text(&args.key)? };
    let chain = certs::read(&pair.certificate).map_err(|error| in_file(&args.cert, &error))?;
    let bundle = args.ca.as_deref().map(read_text).transpose()?;
    if let (Some(path), Some(bundle)) = (&args.ca, &bundle) {
        certs::read(bundle).map_err(|error| in_file(path, &error))?;
    }
    let mut found = certs::problems(&pair, bundle.as_deref(), &name, now_secs())
        .map_err(|error| in_file(&args.key, &error))?;
    if let Some(bundle) = &bundle {
        found.extend(certs::bundle_problems(bundle, now_secs())?);
    }
    match args.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&serde_json::json!({ "problems": found }));
            out.line(&text.unwrap_or_default())?;
        }
        Output::Text => print(&chain, &found, &name, out)?,
    }
    Ok(if found.iter().any(|problem| !problem.only_a_warning) {
        Exit::Rejected
    } else {
        Exit::Fine
    })
}

fn print(
    chain: &[certs::Certificate],
    found: &[Problem],
    name: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    if let Some(first) = chain.first() {
        out.line(&format!("subject  {}", shown(&first.subject)))?;
        out.line(&format!("issuer   {}", shown(&first.issuer)))?;
        out.line(&format!("names    {}", shown(&first.dns_names.join(", "))))?;
        out.line(&format!("expires  {}", certs::date(first.not_after_secs)))?;
    }
    for problem in found {
        let level = if problem.only_a_warning { "warning" } else { "error" };
        out.line(&format!("{level}[{}]: {}", problem.code, shown(&problem.message)))?;
        out.line(&format!("  help: {}", shown(&problem.fix)))?;
    }
    if found.is_empty() {
        out.line(&format!("the API server would accept it for `{}`", shown(name)))?;
    }
    Ok(())
}

fn renew(args: &RenewArgs, out: &mut Out) -> Result<Exit, Failure> {
    check_namespace(&args.namespace)?;
    let tended = block_on(async {
        let client = args.cluster.client().await?;
        let plan = rotate::Plan::new(&args.namespace);
        Ok(rotate::renew(&client, &plan, args.authority, now_secs()).await?)
    })?;
    for change in &tended.changes {
        out.line(change.sentence())?;
    }
    say("replicas take it up within half a minute, without dropping a connection");
    Ok(Exit::Fine)
}
