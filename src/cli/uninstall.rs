//! `caapc uninstall`: out again without a trace.

use super::cluster::{ClusterArgs, block_on};
use super::install::say;
use super::io::{Exit, Failure, Out, shown};
use crate::install::cluster::Cluster;
use crate::install::uninstall;

/// Remove what caapc installed: the webhooks first, so that nothing waits for it.
///
/// Only objects with the label app.kubernetes.io/managed-by=caapc are removed. Policies, scan
/// results and exceptions stay unless --purge is given.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Remove the definitions too, and with them every policy, scan result and exception.
    #[arg(long)]
    purge: bool,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const EXAMPLES: &str = "\
Examples:
  See what would go:
    caapc uninstall --purge --dry-run
  Stop enforcing, and keep the policies for another time:
    caapc uninstall";

/// Runs `caapc uninstall`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    block_on(async {
        let cluster = Cluster::new(args.cluster.client().await?);
        let removal = uninstall::plan(&cluster, args.purge).await?;
        for line in &removal.stays {
            say(line);
        }
        if removal.remove.is_empty() {
            out.line("there is nothing to remove")?;
            return Ok(Exit::Fine);
        }
        if args.dry_run {
            for (kind, namespace, name) in &removal.remove {
                let separator = if namespace.is_empty() { "" } else { "/" };
                out.line(&shown(&format!("{} {namespace}{separator}{name}", kind.kind)))?;
            }
            return Ok(Exit::Fine);
        }
        uninstall::remove(&cluster, &removal, &mut |line| say(line)).await?;
        out.line("caapc is removed")?;
        Ok(Exit::Fine)
    })
}
