//! The webhook behind its listener, started and stopped: what the command line runs, and what
//! tests call in their own process. Start at [`Service::start`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::gate::Gate;
use super::http::{Handler, Listener};
use super::limits::Limits;
use super::tls::Tls;
use super::webhook::{self, Webhook};
use crate::admission::Snapshot;
use crate::admission::options::Options;
use crate::telemetry::metrics::{Connections, Metrics};

/// A listener that runs.
#[derive(Debug)]
pub struct Service {
    /// What it is bound to.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<usize>,
}

impl Service {
    /// Binds and serves until [`Service::stop`]; then requests in flight may take `drain` longer.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn start<H: Handler>(
        handler: Arc<H>,
        address: SocketAddr,
        tls: Option<&Tls>,
        limits: Limits,
        connections: Connections,
        drain: Duration,
    ) -> io::Result<Self> {
        let tls = tls.map(Tls::server_config);
        let listener = Listener::bind(address, tls, limits, connections).await?;
        let address = listener.address()?;
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let running = tokio::spawn(listener.run(handler, stopped, drain));
        Ok(Self { address, stop, running })
    }

    /// Takes no more connections, lets requests finish, and returns how many were cut off.
    pub async fn stop(self) -> usize {
        let _ = self.stop.send(());
        self.running.await.unwrap_or(0)
    }
}

impl Webhook {
    /// A webhook over one snapshot that never changes, without a cluster.
    pub fn over(snapshot: Snapshot, options: Options) -> Self {
        let limits = Limits::default();
        Self {
            snapshot: Arc::new(ArcSwapOption::from_pointee(snapshot)),
            options,
            gate: Gate::new(limits.concurrency, limits.queue, limits.bodies_bytes_max),
            validation_gate: Gate::new(1, 1, limits.body_bytes_max),
            limits,
            metrics: Metrics::new(),
            clock: Arc::new(webhook::machine_clock),
            fetch: None,
            validate: Arc::new(|_| (404, Vec::new())),
            rejected: None,
        }
    }
}
