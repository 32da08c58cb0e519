//! trivy-operator's `VulnerabilityReport` (spec: scan, "Sources").

use serde::Deserialize;
use serde::de::MapAccess;

use super::Names;
use super::json::{Each, Fields, skip};
use super::rows::{Cvss, Rows, Scores, severity};
use crate::api::{Scanner, Vulnerability};

/// The field `report`.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) rows: Rows,
    pub(super) listed: bool,
    pub(super) updated: Option<String>,
    pub(super) scanner: Option<Scanner>,
    server: Option<String>,
    artifact: Artifact,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Registry {
    server: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Artifact {
    repository: Option<String>,
    tag: Option<String>,
    digest: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Found {
    #[serde(rename = "vulnerabilityID")]
    id: String,
    resource: Option<String>,
    fixed_version: Option<String>,
    severity: Option<String>,
    score: Option<f64>,
}

impl<'de> Fields<'de> for Report {
    const WHAT: &'static str = "the `report` of a VulnerabilityReport";

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "updateTimestamp" => self.updated = map.next_value()?,
            "scanner" => self.scanner = map.next_value()?,
            "registry" => {
                self.server = map.next_value::<Option<Registry>>()?.and_then(|r| r.server)
            }
            "artifact" => self.artifact = map.next_value::<Option<Artifact>>()?.unwrap_or_default(),
            "vulnerabilities" => {
                let rows = &mut self.rows;
                let add = |one: Found| rows.add(one.row()?);
                self.listed |= map.next_value_seed(Each::<_, Found>::new(add))?;
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl Found {
    fn row(self) -> Result<Vulnerability, String> {
        let Self { id, resource, fixed_version, severity: word, score } = self;
        let mut scores = Scores::default();
        if let Some(score) = score {
            scores.add(true, Cvss::V3, score).map_err(|why| format!("{id}: {why}"))?;
        }
        Ok(Vulnerability {
            id,
            v3: scores.of(Cvss::V3),
            v4: None,
            v2: None,
            severity: severity(word.as_deref()),
            package: resource,
            fixed: fixed_version.filter(|text| !text.is_empty()),
        })
    }
}

impl Report {
    /// Hands over what it says of the image; its rows are taken apart from it.
    pub(super) fn put(&self, names: &mut Names) {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let Artifact { repository, tag, digest } = &self.artifact;
        let Some(repository) = given(repository) else { return };
        let full = match given(&self.server) {
            Some(server) => format!("{server}/{repository}"),
            None => repository,
        };
        match (given(tag), given(digest)) {
            (Some(tag), digest) => {
                names.pulled.extend(digest.map(|digest| format!("{full}@{digest}")));
                names.primary = Some(format!("{full}:{tag}"));
            }
            // Without a tag the pod named the digest: it does not mean `latest`.
            (None, Some(digest)) => names.primary = Some(format!("{full}@{digest}")),
            (None, None) => names.primary = Some(full),
        }
    }
}
