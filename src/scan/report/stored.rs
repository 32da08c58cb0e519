//! `ImageScan` objects as files have them. A field that is misspelt is refused here: the API server
//! would have dropped it, and a misspelt `vulnerabilities` must not become an image without any.

use serde::Deserialize;
use serde::de::{Error, MapAccess};

use super::json::{Each, Fields};
use crate::api::{ImageScanSpec, Score, Severity, Vulnerability};

/// The field `spec` of an `ImageScan`.
#[derive(Debug, Default)]
pub(super) struct Stored(pub(super) ImageScanSpec);

impl<'de> Fields<'de> for Stored {
    const WHAT: &'static str = "the `spec` of an ImageScan";

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let ImageScanSpec {
            digest,
            index_digests,
            references,
            earlier,
            platform,
            scanner,
            state,
            reason,
            scanned_at,
            maximum,
            summary,
            vulnerabilities,
            overflow,
        } = &mut self.0;
        match name {
            "digest" => *digest = map.next_value()?,
            "indexDigests" => *index_digests = map.next_value()?,
            "references" => *references = map.next_value()?,
            "earlier" => *earlier = map.next_value()?,
            "platform" => *platform = map.next_value()?,
            "scanner" => *scanner = map.next_value()?,
            "state" => *state = map.next_value()?,
            "reason" => *reason = map.next_value()?,
            "scannedAt" => *scanned_at = map.next_value()?,
            "maximum" => *maximum = map.next_value()?,
            "summary" => *summary = map.next_value()?,
            "overflow" => *overflow = map.next_value()?,
            "vulnerabilities" => {
                let add = |Row(row): Row| {
                    vulnerabilities.push(row);
                    Ok(())
                };
                map.next_value_seed(Each::<_, Row>::new(add))?;
            }
            _ => return Err(A::Error::custom(format!("unknown field `spec.{name}`"))),
        }
        Ok(())
    }
}

/// A row none of whose fields is unknown.
#[derive(Deserialize)]
struct Row(#[serde(with = "StrictRow")] Vulnerability);

#[derive(Deserialize)]
#[serde(remote = "Vulnerability", deny_unknown_fields)]
struct StrictRow {
    id: String,
    #[serde(default)]
    v3: Option<Score>,
    #[serde(default)]
    v4: Option<Score>,
    #[serde(default)]
    v2: Option<Score>,
    #[serde(default)]
    severity: Severity,
    #[serde(default)]
    package: Option<String>,
    #[serde(default)]
    fixed: Option<String>,
}
