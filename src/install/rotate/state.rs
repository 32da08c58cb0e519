//! What the secret holds, and what follows from it and the clock: pure, without a cluster.
//!
//! Start at [`advance`].

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use super::super::Fault;
use super::super::certs::{self, Certificate, Life, Pair};

/// What the secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What is served.
    pub leaf: Pair,
    /// Every authority that is trusted, newest first, as PEM texts.
    pub authorities: Vec<String>,
    /// The key of the newest authority.
    pub ca_key: String,
}

impl State {
    /// The bundle the API server shall trust.
    pub fn bundle(&self) -> String {
        self.authorities.concat()
    }

    /// As the secret stores it.
    pub fn to_data(&self) -> BTreeMap<String, String> {
        [
            ("tls.crt", self.leaf.certificate.clone()),
            ("tls.key", self.leaf.key.clone()),
            ("ca.crt", self.bundle()),
            ("ca.key", self.ca_key.clone()),
        ]
        .into_iter()
        .map(|(key, text)| (key.to_owned(), text))
        .collect()
    }

    /// Reads the secret's data; `None` if something is missing, which is how it begins.
    pub fn from_data(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |key: &str| {
            let bytes = &data.get(key)?.0;
            (bytes.len() <= certs::PEM_BYTES_MAX)
                .then(|| String::from_utf8(bytes.clone()).ok())
                .flatten()
                .filter(|text| !text.trim().is_empty())
        };
        Some(Self {
            leaf: Pair { certificate: text("tls.crt")?, key: text("tls.key")? },
            authorities: split(&text("ca.crt")?),
            ca_key: text("ca.key")?,
        })
    }
}

/// What one step changed, as a log line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new certificate authority; the old ones stay trusted.
    Authority,
    /// A new serving certificate.
    Leaf,
    /// An authority that nothing depends on any more is gone.
    Dropped,
    /// A webhook configuration trusts the current bundle again.
    Bundle,
}

impl Change {
    /// The sentence for the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Authority => {
                "made a new certificate authority; the old one stays trusted for now"
            }
            Self::Leaf => "made a new serving certificate",
            Self::Dropped => "stopped trusting a certificate authority that was replaced",
            Self::Bundle => "told the API server which certificate authorities to trust",
        }
    }
}

/// One step from a state to the next; pure. The same state if there is nothing to do.
///
/// `published`: every webhook configuration trusts the newest authority already.
///
/// # Errors
/// [`Fault`] if a certificate cannot be made.
pub fn advance(
    old: Option<&State>,
    dns_names: &[String],
    published: bool,
    now_secs: i64,
    life: &Life,
) -> Result<(State, Vec<Change>), Fault> {
    let Some((mut state, mut trusted)) = old.and_then(readable) else {
        let state = first_state(dns_names, now_secs, life)?;
        return Ok((state, vec![Change::Authority, Change::Leaf]));
    };
    let mut changes = Vec::new();
    let mut settled =
        published && trusted.first().is_some_and(|ca| now_secs - made_at(ca) >= life.settle_secs);
    if trusted.first().is_none_or(|ca| ca.not_after_secs - now_secs < life.ca_renew_secs) {
        let ca = certs::authority(now_secs, life)?;
        trusted.insert(0, only(&ca.certificate)?);
        state.authorities.insert(0, ca.certificate);
        state.ca_key = ca.key;
        settled = false;
        changes.push(Change::Authority);
    }
    let leaf = only(&state.leaf.certificate)?;
    let by_newest = trusted.first().is_some_and(|ca| certs::is_signed_by(&leaf, ca, now_secs));
    // Renewal is due when the certificate nears its end, or its authority was replaced.
    let due = leaf.not_after_secs - now_secs < life.leaf_renew_secs || !by_newest;
    let settled = settled || (by_newest && changes.is_empty());
    if !works(&state, &leaf, dns_names, now_secs) || (due && settled) {
        let ca = Pair {
            certificate: state.authorities.first().cloned().unwrap_or_default(),
            key: state.ca_key.clone(),
        };
        state.leaf = certs::leaf(&ca, dns_names, now_secs, life)?;
        changes.push(Change::Leaf);
        return Ok((state, changes));
    }
    // Replicas and API servers had `overlap_secs` to take up what replaced it.
    let quiet = by_newest && now_secs - made_at(&leaf) >= life.overlap_secs;
    let kept = trusted
        .iter()
        .enumerate()
        .map(|(index, ca)| index == 0 || (!quiet && ca.not_after_secs > now_secs));
    let kept: Vec<bool> = kept.collect();
    if kept.contains(&false) {
        let mut keep = kept.into_iter();
        state.authorities.retain(|_| keep.next().unwrap_or(true));
        changes.push(Change::Dropped);
    }
    Ok((state, changes))
}

fn first_state(dns_names: &[String], now_secs: i64, life: &Life) -> Result<State, Fault> {
    let ca = certs::authority(now_secs, life)?;
    let leaf = certs::leaf(&ca, dns_names, now_secs, life)?;
    Ok(State { leaf, authorities: vec![ca.certificate], ca_key: ca.key })
}

/// The state and its authorities, if all of it can be read; else one starts afresh.
fn readable(state: &State) -> Option<(State, Vec<Certificate>)> {
    let authorities: Option<Vec<Certificate>> =
        state.authorities.iter().map(|pem| only(pem).ok()).collect();
    only(&state.leaf.certificate).ok()?;
    let newest =
        Pair { certificate: state.authorities.first()?.clone(), key: state.ca_key.clone() };
    // The key must be that of the newest authority, or nothing it signs would be trusted.
    let fits = |p: &certs::Problem| p.code == "certificate-key-mismatch";
    let problems = certs::problems(&newest, None, "", 0).ok()?;
    (!problems.iter().any(fits)).then_some((state.clone(), authorities?))
}

/// Whether what is served now is any good.
fn works(state: &State, leaf: &Certificate, dns_names: &[String], now_secs: i64) -> bool {
    let bundle = state.bundle();
    dns_names.iter().all(|name| certs::covers(leaf, name))
        && leaf.not_after_secs > now_secs
        && dns_names.first().is_some_and(|name| {
            certs::problems(&state.leaf, Some(&bundle), name, now_secs)
                .is_ok_and(|all| all.iter().all(|problem| problem.only_a_warning))
        })
}

/// When a certificate of ours was made: they all begin an hour early.
fn made_at(certificate: &Certificate) -> i64 {
    certificate.not_before_secs + certs::BACKDATE_SECS
}

pub(super) fn only(pem: &str) -> Result<Certificate, Fault> {
    let first = certs::read(pem)?.into_iter().next();
    first.ok_or_else(|| Fault::Input("no certificate".to_owned()))
}

/// Splits a bundle into the texts of its certificates.
fn split(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    bundle
        .split_inclusive(END)
        .filter(|part| part.contains(END))
        .take(certs::CERTIFICATES_MAX)
        .map(|part| format!("{}\n", part.trim()))
        .collect()
}
