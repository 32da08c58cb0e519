//! Trivy's JSON: `Results[].Vulnerabilities[]` (spec: scan, "Sources"). Its `SchemaVersion` is 2
//! since 0.20; before, a report was the bare array of results and named no image.

use serde::Deserialize;
use serde::de::{Error, MapAccess};

use super::json::{Each, Fields, Unique, skip};
use super::rows::{Cvss, Rows, Scores, severity};
use super::{Names, Platform};
use crate::api::Vulnerability;

/// One element of `Results`, read into the rows of its report.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) rows: Rows,
    /// Some result is about packages: a report without one says nothing about vulnerabilities.
    pub(super) packages: bool,
    /// The class of the result that is being read.
    class: Option<String>,
    /// It has vulnerabilities, or a field for them.
    listed: bool,
}

/// `Metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Metadata {
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    image_config: Option<ImageConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageConfig {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
}

impl Metadata {
    /// Hands over what it says of the image.
    pub(super) fn put(self, names: &mut Names, platform: &mut Platform) {
        let Self { repo_tags, repo_digests, image_config } = self;
        names.tags.extend(repo_tags.into_iter().flatten());
        names.pulled.extend(repo_digests.into_iter().flatten());
        if let Some(ImageConfig { architecture, os, variant }) = image_config {
            *platform = Platform { os, architecture, variant };
        }
    }
}

impl<'de> Fields<'de> for Results {
    const WHAT: &'static str = "a Trivy result";

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "Class" => {
                self.class = map.next_value()?;
                Ok(())
            }
            "Vulnerabilities" => {
                let Self { rows, packages, .. } = self;
                let add = |one: Found| {
                    *packages = true;
                    rows.add(one.row().map_err(|why| one.in_context(why))?)
                };
                map.next_value_seed(Each::<_, Found>::new(add))?;
                self.listed = true;
                Ok(())
            }
            "SchemaVersion" => {
                Err(A::Error::custom("an array of whole reports; give them one by one"))
            }
            _ => skip(map),
        }
    }

    fn end(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        self.packages |= match self.class.take().as_deref() {
            Some(class) => matches!(class, "os-pkgs" | "lang-pkgs"),
            // Before 0.21 results had no class, and those about packages always had the list.
            None => listed,
        };
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Found {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    pkg_name: Option<String>,
    fixed_version: Option<String>,
    severity: Option<String>,
    #[serde(rename = "CVSS")]
    cvss: Option<Unique<FoundScores>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FoundScores {
    #[serde(rename = "V3Score")]
    v3: Option<f64>,
    #[serde(rename = "V40Score")]
    v4: Option<f64>,
    #[serde(rename = "V2Score")]
    v2: Option<f64>,
}

impl Found {
    fn row(&self) -> Result<Vulnerability, String> {
        let mut scores = Scores::default();
        let sources = self.cvss.iter().flat_map(|Unique(sources)| sources);
        for (source, FoundScores { v3, v4, v2 }) in sources {
            for (version, score) in [(Cvss::V3, v3), (Cvss::V4, v4), (Cvss::V2, v2)] {
                if let Some(score) = score {
                    scores.add(source == "nvd", version, *score)?;
                }
            }
        }
        Ok(Vulnerability {
            id: self.id.clone(),
            v3: scores.of(Cvss::V3),
            v4: scores.of(Cvss::V4),
            v2: scores.of(Cvss::V2),
            severity: severity(self.severity.as_deref()),
            package: self.pkg_name.clone().filter(|text| !text.is_empty()),
            fixed: self.fixed_version.clone().filter(|text| !text.is_empty()),
        })
    }

    fn in_context(&self, why: String) -> String {
        format!("{}: {why}", self.id)
    }
}
