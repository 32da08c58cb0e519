//! How every command that talks to a cluster finds it.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::io::Failure;
use crate::install::cluster::chain;

/// Which cluster: by default that of `kubectl`, or the one this runs in.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterArgs {
    /// The kubeconfig file; by default `$KUBECONFIG`, `~/.kube/config`, or the pod's own account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig file; by default the current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl ClusterArgs {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure::Environment`] if there is no configuration, or it cannot be used.
    pub async fn client(&self) -> Result<kube::Client, Failure> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(Duration::from_secs(10));
        kube::Client::try_from(config).map_err(|error| {
            Failure::Environment(format!("cannot talk to the cluster: {}", chain(&error)))
        })
    }

    async fn config(&self) -> Result<Config, Failure> {
        let unusable = |error: &dyn std::error::Error| {
            Failure::Environment(format!(
                "no usable cluster configuration: {}; name one with --kubeconfig FILE",
                chain(error)
            ))
        };
        let options =
            KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        if let Some(path) = &self.kubeconfig {
            let file = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
            return Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(|error| unusable(&error));
        }
        if self.context.is_some() {
            return Config::from_kubeconfig(&options).await.map_err(|error| unusable(&error));
        }
        Config::infer().await.map_err(|error| unusable(&error))
    }
}

/// Runs a future to its end on this thread.
///
/// # Errors
/// The future's own, and [`Failure::Environment`] if the system gives no event loop.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Environment(format!("cannot start an event loop: {error}")))?
        .block_on(work)
}

impl From<crate::install::Fault> for Failure {
    fn from(fault: crate::install::Fault) -> Self {
        match fault {
            crate::install::Fault::Input(text) => Self::Input(text),
            crate::install::Fault::Environment(text) => Self::Environment(text),
        }
    }
}
