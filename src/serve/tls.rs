//! TLS of the webhook: one provider, certificates that change under open connections.
//!
//! The certificate is read by a resolver from an [`ArcSwap`], so that a new one counts from the
//! next handshake on and no connection is dropped; so does another client CA, with a configuration
//! of its own. What cannot be read keeps the last good one, and says so. All types of rustls stay in this file and in `http`. Start at [`Tls::load`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

/// A certificate chain, key or CA file larger than this is refused.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain, PEM, leaf first.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Certificates that clients must be signed by, if they must show one.
    pub client_ca: Option<PathBuf>,
}

/// What is wrong with a certificate; one clear sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// The certificate in use, and where it came from.
pub struct Tls {
    /// `None`: it is handed in with [`Tls::replace`].
    files: Option<Files>,
    client_ca: Option<PathBuf>,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// The text of the client CA in use; empty without one.
    trusted: ArcSwap<Vec<u8>>,
    config: Config,
}

/// The configuration of the next handshake.
pub type Config = Arc<ArcSwap<ServerConfig>>;

struct Current {
    pair: ArcSwap<Pair>,
}

struct Pair {
    key: Arc<CertifiedKey>,
    not_before: i64,
    not_after: i64,
    /// Bytes of both files, to see whether they changed.
    source: (Vec<u8>, Vec<u8>),
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair.load().key))
    }
}

/// The one provider of this program; never the process default, which panics when two are linked.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file is missing or is not what it should be, or key and certificate do not belong
    /// together.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let provider = provider();
        let pair = pair_of(Names::of(&files), read_files(&files)?, &provider)?;
        let current = Arc::new(Current { pair: ArcSwap::from_pointee(pair) });
        let client_ca = files.client_ca.clone();
        Self::over(Some(files), client_ca, provider, current)
    }

    /// Takes a certificate chain and its key as PEM texts, from a secret.
    ///
    /// # Errors
    /// If they are not what they should be, or do not belong together.
    pub fn from_pems(cert: &str, key: &str, client_ca: Option<PathBuf>) -> Result<Self, TlsError> {
        let provider = provider();
        let pair = pair_of(Names::secret(), (cert.into(), key.into()), &provider)?;
        let current = Arc::new(Current { pair: ArcSwap::from_pointee(pair) });
        Self::over(None, client_ca, provider, current)
    }

    fn over(
        files: Option<Files>,
        client_ca: Option<PathBuf>,
        provider: Arc<CryptoProvider>,
        current: Arc<Current>,
    ) -> Result<Self, TlsError> {
        let trusted = client_ca.as_deref().map(read_bounded).transpose()?.unwrap_or_default();
        let config = config(&provider, &current, client_ca.as_deref(), &trusted)?;
        let (trusted, config) = (ArcSwap::from_pointee(trusted), ArcSwap::from_pointee(config));
        Ok(Self { files, client_ca, provider, current, trusted, config: Arc::new(config) })
    }

    /// The configuration of a listener, for TLS 1.2 and 1.3, HTTP/1.1 before HTTP/2. It changes
    /// with the client CA.
    pub fn server_config(&self) -> Config {
        Arc::clone(&self.config)
    }

    /// Reads the files again if they changed; `true`: another certificate, or another client CA,
    /// is in use now.
    ///
    /// # Errors
    /// If what is there now cannot be used; the last good ones stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let pair = match &self.files {
            Some(files) => read_files(files).and_then(|pair| self.put(Names::of(files), pair)),
            None => Ok(false),
        };
        // Neither waits for the other to be right.
        let trusted = self.reload_client_ca();
        Ok(pair? | trusted?)
    }

    fn reload_client_ca(&self) -> Result<bool, TlsError> {
        let Some(path) = self.client_ca.as_deref() else { return Ok(false) };
        let trusted = read_bounded(path)?;
        if **self.trusted.load() == trusted {
            return Ok(false);
        }
        let config = config(&self.provider, &self.current, Some(path), &trusted)?;
        self.config.store(Arc::new(config));
        self.trusted.store(Arc::new(trusted));
        Ok(true)
    }

    /// The same for PEM texts from a secret.
    ///
    /// # Errors
    /// As [`Tls::reload`].
    pub fn replace(&self, cert: &str, key: &str) -> Result<bool, TlsError> {
        self.put(Names::secret(), (cert.into(), key.into()))
    }

    fn put(&self, names: Names, source: (Vec<u8>, Vec<u8>)) -> Result<bool, TlsError> {
        if self.current.pair.load().source == source {
            return Ok(false);
        }
        let pair = pair_of(names, source, &self.provider)?;
        self.current.pair.store(Arc::new(pair));
        Ok(true)
    }

    /// When the certificate ends, in seconds since the epoch.
    pub fn not_after(&self) -> i64 {
        self.current.pair.load().not_after
    }

    /// Whether the certificate is valid at this time.
    pub fn valid_at(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let pair = self.current.pair.load();
        (pair.not_before..=pair.not_after).contains(&now)
    }

    /// The folders to watch for changes: a Secret volume swaps a link beside the files.
    pub fn folders(&self) -> Vec<PathBuf> {
        let files = self.files.iter().flat_map(|files| [&files.cert, &files.key]);
        let files = files.chain(&self.client_ca);
        let mut folders: Vec<PathBuf> =
            files
                .filter_map(|file| file.parent())
                .map(|folder| {
                    if folder.as_os_str().is_empty() {
                        PathBuf::from(".")
                    } else {
                        folder.to_owned()
                    }
                })
                .collect();
        folders.dedup();
        folders
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    current: &Arc<Current>,
    client_ca: Option<&Path>,
    trusted: &[u8],
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsError(format!("TLS cannot be set up: {error}")))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots(path, trusted)?);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
            let verifier =
                verifier.map_err(|error| TlsError(format!("{}: {error}", path.display())))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::clone(current) as Arc<dyn ResolvesServerCert>);
    // The API server speaks HTTP/1.1 to webhooks on purpose; HTTP/2 is a courtesy.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// How a user knows the two halves.
struct Names {
    cert: String,
    key: String,
}

impl Names {
    fn of(files: &Files) -> Self {
        Self { cert: files.cert.display().to_string(), key: files.key.display().to_string() }
    }

    fn secret() -> Self {
        Self { cert: "tls.crt of the secret".to_owned(), key: "tls.key of the secret".to_owned() }
    }
}

fn read_files(files: &Files) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
    Ok((read_bounded(&files.cert)?, read_bounded(&files.key)?))
}

fn pair_of(
    names: Names,
    source: (Vec<u8>, Vec<u8>),
    provider: &CryptoProvider,
) -> Result<Pair, TlsError> {
    let Names { cert: cert_name, key: key_name } = names;
    let chain = CertificateDer::pem_slice_iter(&source.0)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError(format!("{cert_name}: not a PEM certificate: {error}")))?;
    let Some(leaf) = chain.first() else {
        return Err(TlsError(format!(
            "{cert_name}: there is no certificate in this file; it needs one in PEM form"
        )));
    };
    let (not_before, not_after) = validity(leaf)
        .ok_or_else(|| TlsError(format!("{cert_name}: the first certificate cannot be read")))?;
    let key = PrivateKeyDer::from_pem_slice(&source.1)
        .map_err(|error| TlsError(format!("{key_name}: not a PEM private key: {error}")))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        TlsError(format!("{key_name}: does not belong to the certificate in {cert_name}: {error}"))
    })?;
    Ok(Pair { key: Arc::new(key), not_before, not_after, source })
}

fn validity(leaf: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn roots(path: &Path, trusted: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted) {
        let certificate = certificate.map_err(|error| {
            TlsError(format!("{}: not a PEM certificate: {error}", path.display()))
        })?;
        roots.add(certificate).map_err(|error| TlsError(format!("{}: {error}", path.display())))?;
    }
    if roots.is_empty() {
        return Err(TlsError(format!(
            "{}: there is no certificate in this file; it needs the CA of your API server's client \
             certificate",
            path.display()
        )));
    }
    Ok(roots)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read;
    let failed = |error: std::io::Error| TlsError(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(TlsError(format!(
            "{}: larger than {} KiB, the limit for a certificate or key",
            path.display(),
            PEM_BYTES_MAX >> 10
        )));
    }
    Ok(bytes)
}
