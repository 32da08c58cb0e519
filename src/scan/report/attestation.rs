//! cosign's vulnerability attestation: the predicate, the in-toto statement around it, and the
//! signed envelope around that (spec: scan, "Sources"). No signature is checked here: whoever may
//! import a report is believed.

use base64::Engine;
use serde::Deserialize;
use serde::de::{Error, MapAccess};

use super::document::Draft;
use super::json::{Fields, Object, skip};

/// The field `scanner`, which holds the wrapped report in `result`.
pub(super) struct ScannerField<'d>(pub(super) &'d mut Draft);

impl<'de> Fields<'de> for ScannerField<'_> {
    const WHAT: &'static str = "the `scanner` of a vulnerability predicate";

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "result" => {
                if std::mem::replace(&mut self.0.wraps, true) {
                    return Err(A::Error::custom("several wrapped reports in one predicate"));
                }
                map.next_value_seed(Object(&mut *self.0))
            }
            _ => skip(map),
        }
    }
}

/// One element of `subject`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Subject {
    name: Option<String>,
    digest: Option<SubjectDigest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubjectDigest {
    sha256: Option<String>,
    sha512: Option<String>,
}

impl Subject {
    /// `repository@digest`.
    pub(super) fn pulled(self) -> Option<String> {
        let SubjectDigest { sha256, sha512 } = self.digest?;
        let digest = match (sha256, sha512) {
            (Some(hex), _) => format!("sha256:{hex}"),
            (None, Some(hex)) => format!("sha512:{hex}"),
            (None, None) => return None,
        };
        Some(format!("{}@{digest}", self.name.unwrap_or_default()))
    }
}

/// The statement inside a signed envelope.
pub(super) fn open_envelope(payload: &str) -> Result<Vec<u8>, String> {
    base64::engine::general_purpose::STANDARD
        .decode(payload)
        .map_err(|error| format!("`payload` is not base64: {error}"))
}
