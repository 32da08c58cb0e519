//! A certificate made at start, for local mode: an authority, and a leaf for the loopback.
//!
//! In a cluster, `caapc install` and `caapc certs` make them. Start at [`make`].

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::tls::Files;

/// Makes an authority and a certificate for `localhost`, the loopback addresses and `address`,
/// and writes `ca.crt`, `tls.crt` and `tls.key` to a folder. The authority's key is thrown away.
///
/// # Errors
/// If the folder cannot be written.
pub fn make(folder: &Path, address: IpAddr) -> io::Result<(Files, PathBuf)> {
    let (authority, leaf, key) = pems(address).map_err(io::Error::other)?;
    fs::create_dir_all(folder)?;
    let ca = folder.join("ca.crt");
    let files =
        Files { cert: folder.join("tls.crt"), key: folder.join("tls.key"), client_ca: None };
    fs::write(&ca, authority)?;
    fs::write(&files.cert, leaf)?;
    write_secret(&files.key, &key)?;
    Ok((files, ca))
}

fn pems(address: IpAddr) -> Result<(String, String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "caapc local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);

    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "caapc local");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let loopback = [IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap_or(address)];
    let named = Some(address).filter(|address| !address.is_unspecified());
    for address in loopback.into_iter().chain(named) {
        let name = SanType::IpAddress(address);
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    let leaf = params.signed_by(&key, &issuer)?;
    Ok((authority.pem(), leaf.pem(), key.serialize_pem()))
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
