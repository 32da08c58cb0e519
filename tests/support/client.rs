//! A client for HTTP/1.1 that can misbehave: it writes what it is told.
#![allow(dead_code, unreachable_pub, reason = "each test and bench uses a part")]

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing takes longer; the bound is for liveness only.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One connection.
pub struct Client<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

/// Connects with TLS, trusting one authority.
pub async fn connect(address: SocketAddr, ca: &Path) -> io::Result<Client<TlsStream<TcpStream>>> {
    connect_with(address, config(ca, &[b"http/1.1"], rustls::DEFAULT_VERSIONS)).await
}

/// Connects with TLS as configured.
pub async fn connect_with(
    address: SocketAddr,
    config: rustls::ClientConfig,
) -> io::Result<Client<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Client { stream, buffer: Vec::new() })
}

/// Connects without TLS.
pub async fn connect_plain(address: SocketAddr) -> io::Result<Client<TcpStream>> {
    Ok(Client { stream: TcpStream::connect(address).await?, buffer: Vec::new() })
}

/// The TLS of a client that trusts one authority.
pub fn config(
    ca: &Path,
    alpn: &[&[u8]],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("a CA file") {
        roots.add(certificate.expect("a certificate")).expect("a usable certificate");
    }
    let mut config = rustls::ClientConfig::builder_with_provider(caapc::serve::tls::provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// The same for a client that shows a certificate.
pub fn config_as(ca: &Path, cert: &Path, key: &Path) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("a CA file") {
        roots.add(certificate.expect("a certificate")).expect("a usable certificate");
    }
    let chain = CertificateDer::pem_file_iter(cert).expect("a file");
    let chain = chain.map(|certificate| certificate.expect("a certificate")).collect();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(key).expect("a key");
    rustls::ClientConfig::builder_with_provider(caapc::serve::tls::provider())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .expect("a pair")
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// POSTs JSON and reads the answer.
    pub async fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        self.write(&[head.as_bytes(), body].concat()).await?;
        self.answer().await
    }

    pub async fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.write(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await?;
        self.answer().await
    }

    /// Reads one answer with a content-length.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut answer = Answer { code, head, body: Vec::new() };
        let length = answer.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        while self.buffer.len() < end + length {
            self.fill().await?;
        }
        answer.body = self.buffer[end..end + length].to_vec();
        self.buffer.drain(..end + length);
        Ok(answer)
    }

    /// Waits for the server to close the connection; whatever comes before that is dropped.
    pub async fn closed(&mut self) {
        while self.fill().await.is_ok() {}
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk))
            .await
            .expect("the server answers or closes within a minute")?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}
