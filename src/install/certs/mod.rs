//! Certificates without OpenSSL: made here, and read with an eye for what is wrong with them.
//!
//! Times are seconds since 1970, handed in: this file has no clock. Private keys never appear in a
//! message. Start at [`authority`] and [`leaf`], or at [`problems`].

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Fault;
use super::options::printable;

/// Seconds in a day.
pub const DAY_SECS: i64 = 86_400;
/// The longest PEM text that is read, in bytes: a bundle of public authorities has about 200 KiB.
pub const PEM_BYTES_MAX: usize = 1 << 20;
/// The most certificates in one text.
pub const CERTIFICATES_MAX: usize = 1_000;
/// A certificate is said to expire soon when it has less than this left.
pub const EXPIRES_SOON_SECS: i64 = 14 * DAY_SECS;

/// Clocks of nodes differ: certificates begin this much before they are made.
pub(crate) const BACKDATE_SECS: i64 = 3_600;

/// How long certificates live, and when they are renewed.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Of a serving certificate, in seconds.
    pub leaf_secs: i64,
    /// A serving certificate is renewed when it has less than this left.
    pub leaf_renew_secs: i64,
    /// Of the authority, in seconds.
    pub ca_secs: i64,
    /// The authority is renewed when it has less than this left.
    pub ca_renew_secs: i64,
    /// A new authority is trusted this long before anything signed by it is served.
    pub settle_secs: i64,
    /// An old authority stays trusted this long after the last certificate it signed was replaced.
    pub overlap_secs: i64,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            leaf_secs: 90 * DAY_SECS,
            leaf_renew_secs: 30 * DAY_SECS,
            ca_secs: 5 * 365 * DAY_SECS,
            ca_renew_secs: 365 * DAY_SECS,
            settle_secs: 600,
            overlap_secs: DAY_SECS,
        }
    }
}

/// A certificate chain and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, then those that lead to its authority.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair(key withheld)")
    }
}

/// Makes a new certificate authority.
///
/// # Errors
/// [`Fault::Environment`] if the system has no randomness or the clock is absurd.
pub fn authority(now_secs: i64, life: &Life) -> Result<Pair, Fault> {
    let key = KeyPair::generate().map_err(not_made)?;
    let mut params = CertificateParams::default();
    // Its own name for each: who verifies looks for the issuer by name, and during a renewal there
    // are two.
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("caapc webhook CA {now_secs}"));
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, now_secs - BACKDATE_SECS, now_secs + life.ca_secs)?;
    let certificate = params.self_signed(&key).map_err(not_made)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Makes a serving certificate for DNS names and addresses, signed by an authority.
///
/// It never outlives its authority.
///
/// # Errors
/// [`Fault::Input`] for an authority that cannot be read or a name that cannot be certified.
pub fn leaf(ca: &Pair, dns_names: &[String], now_secs: i64, life: &Life) -> Result<Pair, Fault> {
    if let Some(bad) = dns_names.iter().find(|name| !is_certifiable(name)) {
        return Err(Fault::Input(format!(
            "`{}` cannot be certified: it is neither a DNS name nor an address",
            printable(bad)
        )));
    }
    let ca_key = KeyPair::from_pem(&ca.key).map_err(|error| {
        Fault::Input(format!("the key of the certificate authority cannot be read: {error}"))
    })?;
    let issuer = Issuer::from_ca_cert_pem(&ca.certificate, ca_key).map_err(|error| {
        Fault::Input(format!("the certificate of the authority cannot be read: {error}"))
    })?;
    let ca_ends = read(&ca.certificate)?.first().map_or(now_secs, |ca| ca.not_after_secs);
    let key = KeyPair::generate().map_err(not_made)?;
    let mut params = CertificateParams::new(dns_names.to_vec()).map_err(|error| {
        Fault::Input(format!("cannot certify `{}`: {error}", printable(&dns_names.join(", "))))
    })?;
    let mut name = DistinguishedName::new();
    // A common name has at most 64 characters; nobody looks at it, the names are in the SAN.
    name.push(DnType::CommonName, "caapc admission controller");
    params.distinguished_name = name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let ends = (now_secs + life.leaf_secs).min(ca_ends);
    set_life(&mut params, now_secs - BACKDATE_SECS, ends)?;
    let certificate = params.signed_by(&key, &issuer).map_err(not_made)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// What is in a certificate, as far as a webhook cares.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The subject, as text.
    pub subject: String,
    /// The issuer, as text.
    pub issuer: String,
    /// DNS names and addresses of the SAN.
    pub dns_names: Vec<String>,
    /// First second it is valid.
    pub not_before_secs: i64,
    /// Last second it is valid.
    pub not_after_secs: i64,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// The certificate itself.
    pub der: CertificateDer<'static>,
}

/// Reads every certificate of a PEM text.
///
/// # Errors
/// [`Fault::Input`]: no certificate, broken PEM, broken DER, or too much of it.
pub fn read(pem: &str) -> Result<Vec<Certificate>, Fault> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(Fault::Input(format!(
            "certificates of {} bytes; the limit is {PEM_BYTES_MAX}",
            pem.len()
        )));
    }
    let mut all = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der = der.map_err(|error| Fault::Input(format!("broken PEM: {error}")))?;
        if all.len() == CERTIFICATES_MAX {
            return Err(Fault::Input(format!(
                "more than {CERTIFICATES_MAX} certificates in one text"
            )));
        }
        all.push(read_der(der)?);
    }
    if all.is_empty() {
        return Err(Fault::Input(
            "no certificate: expected PEM text with `-----BEGIN CERTIFICATE-----`".to_owned(),
        ));
    }
    Ok(all)
}

fn read_der(der: CertificateDer<'static>) -> Result<Certificate, Fault> {
    let (_, parsed) = X509Certificate::from_der(&der)
        .map_err(|error| Fault::Input(format!("a certificate cannot be decoded: {error}")))?;
    let mut dns_names = Vec::new();
    if let Ok(Some(san)) = parsed.subject_alternative_name() {
        for name in &san.value.general_names {
            match name {
                GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => dns_names.extend(address(bytes)),
                _ => {}
            }
        }
    }
    Ok(Certificate {
        subject: printable(&parsed.subject().to_string()),
        issuer: printable(&parsed.issuer().to_string()),
        dns_names,
        not_before_secs: parsed.validity().not_before.timestamp(),
        not_after_secs: parsed.validity().not_after.timestamp(),
        is_ca: parsed.is_ca(),
        der: der.clone(),
    })
}

/// Something wrong with a certificate, with a stable code and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Stable, for scripts: `certificate-expired` and so on.
    pub code: &'static str,
    /// Whether it works all the same, for now.
    pub only_a_warning: bool,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

/// Everything wrong with a serving certificate, as the API server would see it.
///
/// `bundle` is what the API server trusts (`caBundle`), if it is known.
///
/// # Errors
/// [`Fault::Input`] if the texts cannot be read at all.
pub fn problems(
    pair: &Pair,
    bundle: Option<&str>,
    name: &str,
    now_secs: i64,
) -> Result<Vec<Problem>, Fault> {
    let chain = read(&pair.certificate)?;
    let mut found = key_problems(pair, &chain)?;
    found.extend(certificate_problems(&chain, bundle, name, now_secs)?);
    Ok(found)
}

/// As [`problems`], where the key is not at hand.
///
/// # Errors
/// [`Fault::Input`] if the bundle cannot be read.
pub fn certificate_problems(
    chain: &[Certificate],
    bundle: Option<&str>,
    name: &str,
    now_secs: i64,
) -> Result<Vec<Problem>, Fault> {
    let mut found = Vec::new();
    let Some(first) = chain.first() else {
        return Ok(found);
    };
    found.extend(name_problem(first, name));
    found.extend(time_problem(first, now_secs, "certificate"));
    if let Some(bundle) = bundle {
        found.extend(trust_problem(chain, &read(bundle)?, name, now_secs));
    }
    Ok(found)
}

/// Everything wrong with a bundle of authorities by itself.
///
/// # Errors
/// [`Fault::Input`] if it cannot be read.
pub fn bundle_problems(bundle: &str, now_secs: i64) -> Result<Vec<Problem>, Fault> {
    let all = read(bundle)?;
    // One that has expired beside one that has not is only litter.
    if all.iter().any(|ca| ca.not_after_secs > now_secs + EXPIRES_SOON_SECS) {
        return Ok(Vec::new());
    }
    let last = all.iter().max_by_key(|ca| ca.not_after_secs);
    Ok(last.and_then(|ca| time_problem(ca, now_secs, "ca")).into_iter().collect())
}

/// Whether a certificate is good for a name: exactly, or by a wildcard in its first part.
pub fn covers(certificate: &Certificate, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if let Ok(wanted) = name.parse::<IpAddr>() {
        return certificate.dns_names.iter().any(|own| own.parse() == Ok(wanted));
    }
    certificate.dns_names.iter().any(|own| {
        let own = own.to_ascii_lowercase();
        own == name
            || own.strip_prefix("*.").is_some_and(|rest| {
                name.split_once('.').is_some_and(|(first, tail)| !first.is_empty() && tail == rest)
            })
    })
}

/// Whether `child` was signed by `parent`, by signature.
pub fn is_signed_by(child: &Certificate, parent: &Certificate, now_secs: i64) -> bool {
    let name = child.dns_names.first().map_or("", String::as_str);
    verdict_of(std::slice::from_ref(child), std::slice::from_ref(parent), name, now_secs).is_ok()
}

/// A time as people read it.
pub fn date(secs: i64) -> String {
    chrono::DateTime::from_timestamp(secs, 0)
        .map_or_else(|| format!("second {secs}"), |t| t.format("%Y-%m-%d %H:%M UTC").to_string())
}

/// An address, or a DNS name of at most 253 characters, whose first part may be `*`.
fn is_certifiable(name: &str) -> bool {
    let is_part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let parts = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && parts.split('.').all(is_part))
}

fn key_problems(pair: &Pair, chain: &[Certificate]) -> Result<Vec<Problem>, Fault> {
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|error| {
        let encrypted = pair.key.contains("ENCRYPTED");
        Fault::Input(if encrypted {
            "the private key is encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN)"
                .to_owned()
        } else {
            format!("the private key cannot be read: {error}; expected PEM text with `PRIVATE KEY`")
        })
    })?;
    let ders = chain.iter().map(|one| one.der.clone()).collect();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Ok(match rustls::sign::CertifiedKey::from_der(ders, key, &provider) {
        Ok(_) => Vec::new(),
        Err(rustls::Error::InconsistentKeys(_)) => vec![Problem {
            code: "certificate-key-mismatch",
            only_a_warning: false,
            message: "the private key does not belong to the certificate".to_owned(),
            fix: "supply the key the certificate was requested with; the first certificate of the file must be \
                  the serving one, not its authority"
                .to_owned(),
        }],
        Err(error) => {
            return Err(Fault::Input(format!(
                "the private key cannot be used: {error}; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more"
            )));
        }
    })
}

fn name_problem(certificate: &Certificate, name: &str) -> Option<Problem> {
    if covers(certificate, name) {
        return None;
    }
    let has = match certificate.dns_names.as_slice() {
        [] => format!(
            "has no subject alternative names at all (its subject is `{}`, which the API server does not look at)",
            certificate.subject
        ),
        some => format!("is for `{}`", printable(&some.join("`, `"))),
    };
    Some(Problem {
        code: "certificate-name",
        only_a_warning: false,
        message: format!("the certificate {has}; the API server asks for `{}`", printable(name)),
        fix: format!(
            "request it with the subject alternative name `{}`, or run `caapc certs make`",
            printable(name)
        ),
    })
}

fn time_problem(certificate: &Certificate, now_secs: i64, what: &str) -> Option<Problem> {
    let (subject, ends) = (&certificate.subject, certificate.not_after_secs);
    let (code, only_a_warning, message) = if now_secs > ends {
        let code = if what == "ca" { "ca-expired" } else { "certificate-expired" };
        (code, false, format!("`{subject}` expired on {}", date(ends)))
    } else if now_secs < certificate.not_before_secs {
        let begins = date(certificate.not_before_secs);
        ("certificate-not-yet-valid", false, format!("`{subject}` is not valid before {begins}"))
    } else if ends - now_secs < EXPIRES_SOON_SECS {
        let code = if what == "ca" { "ca-expiring" } else { "certificate-expiring" };
        (code, true, format!("`{subject}` expires on {}", date(ends)))
    } else {
        return None;
    };
    let fix =
        "renew it: `caapc certs renew` if caapc manages it, else where it came from".to_owned();
    Some(Problem { code, only_a_warning, message, fix })
}

fn trust_problem(
    chain: &[Certificate],
    bundle: &[Certificate],
    name: &str,
    now_secs: i64,
) -> Option<Problem> {
    let first = chain.first()?;
    // A self-signed certificate that is itself trusted, as `openssl req -x509` makes them.
    if bundle.iter().any(|ca| ca.der == first.der) {
        return None;
    }
    let reason = match verdict_of(chain, bundle, name, now_secs) {
        Ok(()) => return None,
        Err(rustls::Error::InvalidCertificate(reason)) => reason,
        Err(other) => CertificateError::Other(rustls::OtherError(Arc::new(other))),
    };
    if !matches!(reason, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        // Names and times have been looked at already.
        return None;
    }
    Some(Problem {
        code: "ca-mismatch",
        only_a_warning: false,
        message: format!(
            "the certificate was issued by `{}`, which the webhook configuration does not trust (caBundle: `{}`)",
            first.issuer,
            bundle.iter().map(|ca| ca.subject.as_str()).take(4).collect::<Vec<_>>().join("`, `")
        ),
        fix:
            "put the authority that signed the certificate into caBundle, or let caapc manage both"
                .to_owned(),
    })
}

fn verdict_of(
    chain: &[Certificate],
    bundle: &[Certificate],
    name: &str,
    now_secs: i64,
) -> Result<(), rustls::Error> {
    let [first, rest @ ..] = chain else {
        return Err(rustls::Error::General("no certificate".to_owned()));
    };
    let mut roots = RootCertStore::empty();
    for ca in bundle {
        roots.add(ca.der.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let intermediates: Vec<_> = rest.iter().map(|one| one.der.clone()).collect();
    let name = ServerName::try_from(name.to_owned())
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_secs.max(0).unsigned_abs()));
    verifier.verify_server_cert(&first.der, &intermediates, &name, &[], now).map(|_| ())
}

fn set_life(params: &mut CertificateParams, begins: i64, ends: i64) -> Result<(), Fault> {
    // 9999-12-31: beyond it X.509 has no notation.
    if begins < 0 || ends > 253_402_300_799 || ends <= begins {
        return Err(Fault::Environment(
            "cannot make a certificate: check the clock of this machine".to_owned(),
        ));
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(begins.unsigned_abs());
    params.not_after = epoch + Duration::from_secs(ends.unsigned_abs());
    Ok(())
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| IpAddr::from(v6).to_string())
}

fn not_made(error: rcgen::Error) -> Fault {
    Fault::Environment(format!("cannot make a certificate: {error}"))
}
