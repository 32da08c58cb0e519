//! A listener: sockets, TLS, HTTP/1.1 and HTTP/2, all of it bounded; what is answered comes from
//! a [`Handler`].
//!
//! It knows nothing of admission. A head that is no HTTP, or too long, is answered by hyper itself,
//! with an empty 400, 414 or 431: it offers no way to give that answer a body, and no client that
//! Kubernetes has sends one. Start at [`Listener::run`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::guard::{Arriving, Bounds, Guard, Phase, WithoutRequest};
use super::limits::Limits;
use super::status::Body;
use super::tls::Config;
use crate::telemetry::metrics::{Connections, Gauged};

/// What answers requests. It may be called from many threads at once.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request, and says when its body is there; a dropped future means that the
    /// client went away.
    fn handle(
        &self,
        request: Request<Incoming>,
        arriving: Arriving<'_>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// A bound socket that does not accept yet.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Config>,
    limits: Limits,
    connections: Connections,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Config>,
        limits: Limits,
        connections: Connections,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self { socket, tls, limits, connections })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// If the system does not know, which it does for a bound socket.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop` ends, then lets requests in flight finish, for `drain` at most.
    /// Returns how many connections were cut off.
    pub async fn run<H: Handler>(
        self,
        handler: Arc<H>,
        stop: impl Future<Output = ()>,
        drain: Duration,
    ) -> usize {
        let Self { socket, tls, limits, connections } = self;
        let graceful = GracefulShutdown::new();
        let slots = Arc::new(Semaphore::new(limits.connections_max));
        let shared = Arc::new(Shared { handler, limits, connections, tls, open: Open::default() });
        let mut stop = std::pin::pin!(stop);
        loop {
            let stream = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = socket.accept() => match accepted {
                    Ok((stream, _peer)) => stream,
                    Err(error) => { rest_after(&error).await; continue }
                },
            };
            let Some(slot) = shared.slot(&slots).await else {
                // Closed at once: its client finds out now, not after a timeout.
                shared.connections.refused.inc();
                continue;
            };
            let crowded = slots.available_permits() < shared.limits.connections_max / 4;
            let shared = Arc::clone(&shared);
            let watcher = graceful.watcher();
            tokio::spawn(async move { shared.connection(stream, slot, watcher, crowded).await });
        }
        drop(socket);
        if tokio::time::timeout(drain, graceful.shutdown()).await.is_ok() {
            return 0;
        }
        shared.limits.connections_max - slots.available_permits()
    }
}

/// Out of file descriptors and the like: waiting a little is all that helps.
async fn rest_after(error: &io::Error) {
    let harmless = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    );
    if !harmless {
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct Shared<H> {
    handler: Arc<H>,
    limits: Limits,
    connections: Connections,
    tls: Option<Config>,
    open: Open,
}

/// The connections that are open, to find one that has no request.
#[derive(Default)]
struct Open {
    connections: Mutex<HashMap<u64, Phase>>,
    opened: AtomicU64,
}

impl Open {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Phase>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the one that has had no request for longest; `false`: there is none.
    fn evict(&self, stall: Duration) -> bool {
        let open = self.lock();
        let mut without: Vec<_> =
            open.values().filter_map(|phase| phase.without_request(stall)).collect();
        without.sort_unstable_by_key(|connection| connection.since);
        without.iter().any(WithoutRequest::evict)
    }
}

/// A connection among those that are open, until it is dropped.
struct Listed<'o> {
    open: &'o Open,
    number: u64,
}

impl<'o> Listed<'o> {
    fn new(open: &'o Open, phase: &Phase) -> Self {
        let number = open.opened.fetch_add(1, Ordering::Relaxed);
        open.lock().insert(number, phase.clone());
        Self { open, number }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.open.lock().remove(&self.number);
    }
}

/// How long a new connection waits for the room that another makes.
const ROOM_WAIT: Duration = Duration::from_millis(100);

impl<H: Handler> Shared<H> {
    /// A slot for a connection; if all are taken, the one without a request for longest makes room.
    async fn slot(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            return Some(slot);
        }
        if !self.open.evict(self.limits.stall) {
            return None;
        }
        self.connections.evicted.inc();
        let slot = Arc::clone(slots).acquire_owned();
        tokio::time::timeout(ROOM_WAIT, slot).await.ok()?.ok()
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        _slot: OwnedSemaphorePermit,
        watcher: Watcher,
        crowded: bool,
    ) {
        let _open = Gauged::new(&self.connections.open);
        // Answers are small and the API server waits for each: never wait for more to send.
        let _ = stream.set_nodelay(true);
        // When most slots are taken, connections that do nothing are the first to go.
        let idle = if crowded { self.limits.header_read } else { self.limits.idle };
        let bounds = Bounds { idle, head: self.limits.header_read, write: self.limits.write_stall };
        let phase = Phase::new();
        let Some(tls) = &self.tls else {
            let _listed = Listed::new(&self.open, &phase);
            let io = Guard::new(stream, phase.clone(), bounds);
            return self.http1(io, phase, watcher).await;
        };
        phase.unfinished();
        let _listed = Listed::new(&self.open, &phase);
        let accepting = TlsAcceptor::from(tls.load_full()).accept(stream);
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(self.limits.handshake, accepting) => accepted,
            () = phase.evicted() => return,
        };
        phase.idle();
        let Ok(Ok(stream)) = accepted else {
            self.connections.handshake_failures.inc();
            if let Ok(Err(error)) = accepted {
                tracing::debug!(%error, "a TLS handshake failed");
            }
            return;
        };
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = Guard::new(stream, phase.clone(), bounds);
        if h2 {
            self.http2(io, phase, watcher).await;
        } else {
            self.http1(io, phase, watcher).await;
        }
    }

    async fn http1<S>(self: &Arc<Self>, io: Guard<S>, phase: Phase, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::clone(self);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            let phase = phase.clone();
            async move {
                let response = shared.handler.handle(request, phase.arriving()).await;
                phase.idle();
                Ok::<_, Infallible>(response)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_header_size(self.limits.head_bytes_max)
            .max_buf_size(2 * self.limits.head_bytes_max)
            .max_headers(self.limits.headers_max)
            .serve_connection(TokioIo::new(io), service);
        ended(watcher.watch(connection).await);
    }

    async fn http2<S>(self: &Arc<Self>, io: Guard<S>, phase: Phase, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The first request must come soon. After it, frames of many requests share the
        // connection, and its pings bound silence instead.
        phase.unfinished();
        let shared = Arc::clone(self);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            phase.request();
            async move { Ok::<_, Infallible>(shared.handler.handle(request, Arriving::SHARED).await) }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.h2_streams_max)
            .max_header_list_size(u32::try_from(self.limits.head_bytes_max).unwrap_or(u32::MAX))
            .keep_alive_interval(self.limits.idle / 6)
            .keep_alive_timeout(self.limits.header_read)
            .serve_connection(TokioIo::new(io), service);
        ended(watcher.watch(connection).await);
    }
}

/// Clients that go away or time out are everyday matters.
fn ended(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
