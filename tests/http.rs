//! The listener under clients that behave and clients that do not. What is answered is a test
//! handler's; `tests/serve.rs` has the real one.

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use caapc::serve::guard::Arriving;
use caapc::serve::http::{Handler, Listener};
use caapc::serve::limits::Limits;
use caapc::serve::status::{self, Body};
use caapc::serve::tls::{Files, Tls};
use caapc::serve::{body, selfsigned};
use caapc::telemetry::metrics::{Connections, Metrics};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use support::client::{self, Client, connect, connect_plain};
use support::eventually;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// Answers with the length of the body; `/slow` has no use for it, and waits until the test lets it
/// go.
struct Echo {
    slow: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    body_read: Duration,
}

impl Handler for Echo {
    async fn handle(&self, request: Request<Incoming>, arriving: Arriving<'_>) -> Response<Body> {
        if request.uri().path() == "/slow" {
            arriving.done();
            self.waiting.add_permits(1);
            self.slow.acquire().await.expect("open").forget();
        }
        let deadline = Instant::now() + self.body_read;
        match body::read(request.into_body(), 1 << 20, deadline, |_| Ok(())).await {
            Ok(body) => status::text(StatusCode::OK, format!("{} bytes\n", body.len())),
            Err(refused) => *refused,
        }
    }
}

struct Server {
    address: SocketAddr,
    ca: PathBuf,
    folder: PathBuf,
    tls: Arc<Tls>,
    connections: Connections,
    slow: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<usize>,
}

async fn start(name: &str, limits: Limits) -> Server {
    start_with(name, limits, |_| None).await
}

/// The same; the function may write a client CA into the folder and name it.
async fn start_with(
    name: &str,
    limits: Limits,
    client_ca: impl Fn(&Path) -> Option<PathBuf>,
) -> Server {
    let folder = std::env::temp_dir().join(format!("caapc-http-{}-{name}", std::process::id()));
    let (files, ca) = selfsigned::make(&folder, [127, 0, 0, 1].into()).expect("a certificate");
    let files = Files { client_ca: client_ca(&folder), ..files };
    let tls = Arc::new(Tls::load(files).expect("a certificate"));
    let connections = Metrics::new().connections;
    let config = tls.server_config();
    let slow = Arc::new(Semaphore::new(0));
    let waiting = Arc::new(Semaphore::new(0));
    let body_read = limits.body_read;
    let listener = Listener::bind(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        Some(config),
        limits,
        connections.clone(),
    )
    .await
    .expect("a port");
    let address = listener.address().expect("bound");
    let handler =
        Arc::new(Echo { slow: Arc::clone(&slow), waiting: Arc::clone(&waiting), body_read });
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let ended = tokio::spawn(listener.run(handler, stopped, Duration::from_secs(20)));
    Server { address, ca, folder, tls, connections, slow, waiting, stop: Some(stop), ended }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn short() -> Limits {
    Limits {
        handshake: Duration::from_millis(300),
        header_read: Duration::from_millis(300),
        body_read: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = start("keepalive", Limits::default()).await;
    let mut client = connect(server.address, &server.ca).await.expect("TLS");
    for size in [0, 1, 16 << 10, 1 << 20] {
        let answer = client.post("/x", &vec![b'x'; size]).await.expect("an answer");
        assert_eq!((answer.code, answer.text()), (200, format!("{size} bytes\n")));
    }
    assert_eq!(server.connections.open.get(), 1);
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http() {
    let server = start("versions", Limits::default()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client::config(&server.ca, &[b"http/1.1"], &[version]);
        let mut client = client::connect_with(server.address, config).await.expect("TLS");
        assert_eq!(client.stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(client.post("/x", b"abc").await.expect("an answer").code, 200);
    }
    // HTTP/2: its preface and an empty SETTINGS frame are answered with SETTINGS.
    let config = client::config(&server.ca, &[b"h2"], rustls::DEFAULT_VERSIONS);
    let mut client = client::connect_with(server.address, config).await.expect("TLS");
    assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("a write");
    let mut frame = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut frame).await.expect("a frame");
    assert_eq!(frame[3], 4, "a SETTINGS frame comes first");
    // Without TLS nothing is answered but an alert.
    let mut client = connect_plain(server.address).await.expect("TCP");
    client.write(b"GET / HTTP/1.1\r\n\r\n").await.expect("a write");
    client.closed().await;
    eventually("a failed handshake", || server.connections.handshake_failures.get() == 1).await;
}

#[tokio::test]
async fn slow_and_silent_clients_are_let_go() {
    let server = start("slow", short()).await;
    // No handshake at all.
    connect_plain(server.address).await.expect("TCP").closed().await;
    // Half a head, then a byte now and then.
    let mut client = connect(server.address, &server.ca).await.expect("TLS");
    client.write(b"POST /x HTTP/1.1\r\nhost:").await.expect("a write");
    let mut dripped = 0;
    while client.write(b"x").await.is_ok() && dripped < 2_000 {
        dripped += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(dripped < 2_000, "a byte now and then keeps the connection");
    // Half a body: an answer that says so.
    let mut client = connect(server.address, &server.ca).await.expect("TLS");
    client
        .write(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        .await
        .expect("a write");
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.code, 408);
    assert_eq!(answer.json()["message"], "the body of the request did not arrive in time");
    client.closed().await;
    // HTTP/2 that never comes to a request.
    let config = client::config(&server.ca, &[b"h2"], rustls::DEFAULT_VERSIONS);
    client::connect_with(server.address, config).await.expect("TLS").closed().await;
    eventually("no connection left", || server.connections.open.get() == 0).await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_bound_of_a_slow_head() {
    let server = start("idle", short()).await;
    let mut client = connect(server.address, &server.ca).await.expect("TLS");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(client.post("/x", b"abc").await.expect("an answer").code, 200);
    }
    let limits = Limits { idle: Duration::from_millis(200), ..short() };
    let server = start("idle2", limits).await;
    connect(server.address, &server.ca).await.expect("TLS").closed().await;
}

#[tokio::test]
async fn giant_heads_and_bodies_are_refused() {
    let server = start("giant", Limits::default()).await;
    let mut client = connect(server.address, &server.ca).await.expect("TLS");
    let head = format!("GET /x HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100 << 10));
    let _ = client.write(head.as_bytes()).await;
    if let Ok(answer) = client.answer().await {
        assert_eq!(answer.code, 431);
    }
    let mut client = connect(server.address, &server.ca).await.expect("TLS");
    let head = format!("GET /x HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(101));
    client.write(head.as_bytes()).await.expect("a write");
    assert_eq!(client.answer().await.expect("an answer").code, 431);
    // Chunks do not say how much there will be.
    let mut client = connect(server.address, &server.ca).await.expect("TLS");
    let head = "POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write(head.as_bytes()).await.expect("a write");
    let chunk = [b"10000\r\n", vec![b'x'; 65536].as_slice(), b"\r\n"].concat();
    for _ in 0..17 {
        if client.write(&chunk).await.is_err() {
            break;
        }
    }
    assert_eq!(client.answer().await.expect("an answer").code, 413);
}

/// A server of two connections, and both of them.
async fn full(name: &str) -> (Server, [Client<TlsStream<TcpStream>>; 2]) {
    let server = start(name, Limits { connections_max: 2, ..Limits::default() }).await;
    let one = connect(server.address, &server.ca).await.expect("TLS");
    let two = connect(server.address, &server.ca).await.expect("TLS");
    (server, [one, two])
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let (server, [mut one, mut two]) = full("cap").await;
    // Neither is idle.
    let slow = b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na";
    one.write(slow).await.expect("a write");
    two.write(slow).await.expect("a write");
    server.waiting.acquire_many(2).await.expect("open").forget();
    assert!(connect(server.address, &server.ca).await.is_err(), "a third one");
    assert_eq!(server.connections.refused.get(), 1);
    drop(two);
    server.slow.add_permits(2);
    eventually("a free place", || server.connections.open.get() == 1).await;
    connect(server.address, &server.ca).await.expect("a place is free again");
    assert_eq!(one.answer().await.expect("an answer").code, 200);
}

#[tokio::test]
async fn the_connection_that_is_idle_for_longest_makes_room() {
    let (server, [mut one, mut two]) = full("evict").await;
    assert_eq!(two.post("/x", b"a").await.expect("an answer").code, 200);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(one.post("/x", b"a").await.expect("an answer").code, 200);
    let mut three = connect(server.address, &server.ca).await.expect("TLS");
    assert_eq!(three.post("/x", b"a").await.expect("an answer").code, 200);
    two.closed().await;
    assert_eq!(one.post("/x", b"a").await.expect("an answer").code, 200);
    assert_eq!((server.connections.evicted.get(), server.connections.refused.get()), (1, 0));
}

#[tokio::test]
async fn silent_and_stalled_connections_make_room_but_not_at_once() {
    let limits = || Limits { connections_max: 2, ..Limits::default() };
    let server = start("begun", Limits { stall: Duration::from_secs(5), ..limits() }).await;
    let _silent = connect_plain(server.address).await.expect("TCP");
    let _too = connect_plain(server.address).await.expect("TCP");
    assert!(connect(server.address, &server.ca).await.is_err(), "both may be about to begin");
    assert_eq!((server.connections.evicted.get(), server.connections.refused.get()), (0, 1));

    let server = start("stalled", Limits { stall: Duration::from_millis(50), ..limits() }).await;
    let mut half = connect(server.address, &server.ca).await.expect("TLS");
    half.write(b"POST /x HTTP/1.1\r\nhost:").await.expect("a write");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut silent = connect_plain(server.address).await.expect("TCP");
    eventually("two connections", || server.connections.open.get() == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut one = connect(server.address, &server.ca).await.expect("the oldest goes");
    half.closed().await;
    let mut two = connect(server.address, &server.ca).await.expect("then the other");
    silent.closed().await;
    for client in [&mut one, &mut two] {
        assert_eq!(client.post("/x", b"a").await.expect("an answer").code, 200);
    }
    assert_eq!((server.connections.evicted.get(), server.connections.refused.get()), (2, 0));
    assert_eq!(server.connections.handshake_failures.get(), 0);
}

/// A head whose body never comes holds a connection only as long as nobody else needs it.
#[tokio::test]
async fn a_request_without_its_body_makes_room_but_not_at_once() {
    let limits = |stall| Limits { connections_max: 1, stall, ..Limits::default() };
    let half = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\na";
    let server = start("arriving", limits(Duration::from_secs(5))).await;
    let mut one = connect(server.address, &server.ca).await.expect("TLS");
    one.write(half).await.expect("a write");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(connect(server.address, &server.ca).await.is_err(), "it may come any moment");
    one.write(b"b").await.expect("a write");
    assert_eq!(one.answer().await.expect("an answer").code, 200);

    let server = start("half", limits(Duration::from_millis(50))).await;
    let mut one = connect(server.address, &server.ca).await.expect("TLS");
    one.write(half).await.expect("a write");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut two = connect(server.address, &server.ca).await.expect("there is room");
    one.closed().await;
    assert_eq!(two.post("/x", b"a").await.expect("an answer").code, 200);
    assert_eq!((server.connections.evicted.get(), server.connections.refused.get()), (1, 0));
    // One that is complete is answered, however long that takes.
    two.write(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na")
        .await
        .expect("a write");
    server.waiting.acquire().await.expect("open").forget();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(connect(server.address, &server.ca).await.is_err(), "a second one");
    server.slow.add_permits(1);
    assert_eq!(two.answer().await.expect("an answer").code, 200);
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_handshake_on() {
    let server = start("reload", Limits::default()).await;
    let old_ca = std::fs::read(&server.ca).expect("a file");
    let mut before = connect(server.address, &server.ca).await.expect("TLS");
    assert_eq!(before.post("/x", b"a").await.expect("an answer").code, 200);
    assert!(!server.tls.reload().expect("readable"), "nothing changed");
    // A pair that does not belong together keeps the last good one.
    let cert = std::fs::read(server.folder.join("tls.crt")).expect("a file");
    selfsigned::make(&server.folder, [127, 0, 0, 1].into()).expect("a certificate");
    let key = std::fs::read(server.folder.join("tls.key")).expect("a file");
    let new_cert = std::fs::read(server.folder.join("tls.crt")).expect("a file");
    std::fs::write(server.folder.join("tls.crt"), cert).expect("a write");
    let error = server.tls.reload().expect_err("half of a pair").to_string();
    assert!(error.contains("does not belong to the certificate"), "{error}");
    std::fs::write(server.folder.join("tls.crt"), "nothing").expect("a write");
    let error = server.tls.reload().expect_err("no certificate").to_string();
    assert!(error.contains("there is no certificate in this file"), "{error}");
    let old = server.folder.join("old.crt");
    std::fs::write(&old, old_ca).expect("a write");
    connect(server.address, &old).await.expect("the last good certificate");
    // Both halves: new connections see it, the old one goes on.
    std::fs::write(server.folder.join("tls.crt"), new_cert).expect("a write");
    std::fs::write(server.folder.join("tls.key"), key).expect("a write");
    assert!(server.tls.reload().expect("a pair"));
    assert!(connect(server.address, &old).await.is_err(), "the old authority is over");
    connect(server.address, &server.ca).await.expect("the new authority");
    assert_eq!(before.post("/x", b"a").await.expect("an answer").code, 200);
    let days = (server.tls.not_after() - now()) / 86_400;
    assert!(days > 300, "{days}");
    assert!(server.tls.valid_at(std::time::SystemTime::now()));
}

#[tokio::test]
async fn a_client_authority_lets_only_its_own_in() {
    // Another pair of authority and leaf stands for the API server's.
    let own = std::env::temp_dir().join(format!("caapc-http-{}-client", std::process::id()));
    let authority = issue_client(&own);
    let named = authority.clone();
    let server = start_with("client-ca", Limits::default(), move |_| Some(named.clone())).await;
    // In TLS 1.3 a client learns that it is refused when it reads.
    let refused = match connect(server.address, &server.ca).await {
        Err(_) => true,
        Ok(mut client) => client.post("/x", b"a").await.is_err(),
    };
    assert!(refused, "without a certificate");
    let config = client::config_as(&server.ca, &own.join("client.crt"), &own.join("client.key"));
    let mut known = client::connect_with(server.address, config).await.expect("TLS");
    assert_eq!(known.post("/x", b"a").await.expect("an answer").code, 200);

    // Another authority counts from the next handshake on; a file without one changes nothing.
    let file = authority;
    let before = std::fs::read(&file).expect("the authority");
    let others = server.folder.join("others");
    std::fs::copy(issue_client(&others), &file).expect("a write");
    assert!(server.tls.reload().expect("an authority"), "it is another one");
    let config = client::config_as(&server.ca, &own.join("client.crt"), &own.join("client.key"));
    let refused = match client::connect_with(server.address, config).await {
        Err(_) => true,
        Ok(mut client) => client.post("/x", b"a").await.is_err(),
    };
    assert!(refused, "its authority is no longer trusted");
    std::fs::write(&file, "").expect("a write");
    assert!(server.tls.reload().is_err());
    let (cert, key) = (others.join("client.crt"), others.join("client.key"));
    let config = client::config_as(&server.ca, &cert, &key);
    let mut other = client::connect_with(server.address, config).await.expect("TLS");
    assert_eq!(other.post("/x", b"a").await.expect("an answer").code, 200);
    std::fs::write(&file, before).expect("a write");
    assert!(server.tls.reload().expect("an authority"));
    assert!(!server.tls.reload().expect("an authority"), "the same once more");

    let nothing = server.folder.join("nothing.crt");
    std::fs::write(&nothing, "").expect("a write");
    let files = Files {
        cert: server.folder.join("tls.crt"),
        key: server.folder.join("tls.key"),
        client_ca: Some(nothing),
    };
    let error = Tls::load(files).map(drop);
    let error = error.expect_err("no authority in it").to_string();
    assert!(error.contains("there is no certificate in this file"), "{error}");
    let _ = std::fs::remove_dir_all(&own);
}

/// Writes `client.crt` and `client.key`, and returns the authority that signed them.
fn issue_client(folder: &Path) -> PathBuf {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    std::fs::create_dir_all(folder).expect("a folder");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = folder.join("client-ca.crt");
    std::fs::write(&ca, params.self_signed(&key).expect("an authority").pem()).expect("a write");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["api-server".to_owned()]).expect("a name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    std::fs::write(folder.join("client.crt"), leaf.pem()).expect("a write");
    std::fs::write(folder.join("client.key"), key.serialize_pem()).expect("a write");
    ca
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs() as i64
}

#[tokio::test]
async fn the_end_lets_requests_finish_and_takes_no_more() {
    let mut server = start("drain", Limits::default()).await;
    let mut idle = connect(server.address, &server.ca).await.expect("TLS");
    assert_eq!(idle.post("/x", b"a").await.expect("an answer").code, 200);
    let mut busy = connect(server.address, &server.ca).await.expect("TLS");
    let answer = tokio::spawn(async move { busy.post("/slow", b"abc").await });
    server.waiting.acquire().await.expect("open").forget();
    server.stop.take().expect("not stopped").send(()).expect("it runs");
    idle.closed().await;
    eventually("no more connections", || std::net::TcpStream::connect(server.address).is_err())
        .await;
    server.slow.add_permits(1);
    let answer = answer.await.expect("no panic").expect("an answer");
    assert_eq!((answer.code, answer.text().as_str()), (200, "3 bytes\n"));
    assert_eq!(answer.header("connection"), Some("close"));
    let ended = std::mem::replace(&mut server.ended, tokio::spawn(async { 0 }));
    assert_eq!(ended.await.expect("no panic"), 0, "nobody was cut off");
}
