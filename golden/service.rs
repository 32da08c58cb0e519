//! The webhook in this process, so that cases of `decide` go over HTTP as well.
//!
//! One listener for all cases, one connection kept open, a webhook for each case. Start at
//! [`post`].

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use caapc::admission::Snapshot;
use caapc::admission::options::Options;
use caapc::serve::guard::Arriving;
use caapc::serve::http::Handler;
use caapc::serve::limits::Limits;
use caapc::serve::service::Service;
use caapc::serve::status::{self, Body};
use caapc::serve::webhook::Webhook;
use caapc::telemetry::metrics::Connections;
use caapc_vm::facts::Timestamp;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

/// Posts a review to a webhook over these shelves at this time: its HTTP code and body.
pub fn post(
    snapshot: &Snapshot,
    options: &Options,
    now: Timestamp,
    review: &[u8],
) -> Result<(u16, Vec<u8>), String> {
    static SERVER: OnceLock<Result<Mutex<Server>, String>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::start().map(Mutex::new));
    let server = server.as_ref().map_err(String::clone)?;
    let mut server = server.lock().map_err(|error| error.to_string())?;
    let webhook = Webhook {
        clock: Arc::new(move || now),
        ..Webhook::over(snapshot.clone(), options.clone())
    };
    server.current.0.store(Some(Arc::new(webhook)));
    server.exchange(review).map_err(|error| format!("over HTTP: {error}"))
}

/// The webhook of the case that is running.
#[derive(Default)]
struct Current(ArcSwapOption<Webhook>);

impl Handler for Current {
    async fn handle(&self, request: Request<Incoming>, arriving: Arriving<'_>) -> Response<Body> {
        match self.0.load_full() {
            Some(webhook) => webhook.handle(request, arriving).await,
            None => status::failure(StatusCode::INTERNAL_SERVER_ERROR, "no case is running"),
        }
    }
}

struct Server {
    current: Arc<Current>,
    stream: TcpStream,
    buffer: Vec<u8>,
    // It ends when it is dropped.
    _service: Service,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start() -> Result<Self, String> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(1).enable_all().build().map_err(|error| error.to_string())?;
        let current = Arc::new(Current::default());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let service = runtime.block_on(Service::start(
            Arc::clone(&current),
            any,
            None,
            Limits::default(),
            Connections::default(),
            Duration::ZERO,
        ));
        let service = service.map_err(|error| error.to_string())?;
        let stream = TcpStream::connect(service.address).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { current, stream, buffer: Vec::new(), _service: service, _runtime: runtime })
    }

    fn exchange(&mut self, review: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let head = format!(
            "POST /admission-review?timeout=5s HTTP/1.1\r\nhost: golden\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            review.len()
        );
        self.stream.write_all(&[head.as_bytes(), review].concat())?;
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        while self.buffer.len() < end + length {
            self.fill()?;
        }
        let body = self.buffer[end..end + length].to_vec();
        self.buffer.drain(..end + length);
        Ok((code, body))
    }

    fn fill(&mut self) -> std::io::Result<()> {
        let mut chunk = [0; 16 << 10];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}
