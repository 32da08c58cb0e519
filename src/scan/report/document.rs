//! One JSON document of a not yet known format: the fields of every format, as they come.
//!
//! The names of the formats' fields overlap in few places (`metadata`, `vulnerabilities`,
//! `scanner`), and where they do, one shape takes them all. Start at [`from_json`].

use std::fmt;
use std::io::BufRead;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::attestation::{ScannerField, Subject, open_envelope};
use super::json::{Each, Fields, Object, Objects, skip};
use super::rows::Rows;
use super::{Fault, Format, Names, Platform, cyclonedx, grype, operator, stored, trivy};
use crate::api::{ImageScanSpec, Scanner, StoredState};
use crate::scan::beginning;

/// What a document said.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) items: Vec<Draft>,
    /// A predicate's `result` was met.
    pub(super) wraps: bool,
    kind: Option<String>,
    names: Names,
    platform: Platform,
    created: Option<String>,
    /// A predicate's own time, which comes before the wrapped report's.
    finished: Option<String>,
    scanner: Option<Scanner>,
    trivy: Option<trivy::Results>,
    grype: Option<Rows>,
    cyclonedx: Option<Rows>,
    is_cyclonedx: bool,
    /// There was an array of vulnerabilities.
    listed: bool,
    report: Option<operator::Report>,
    stored: Option<stored::Stored>,
    /// `spec` came before `kind`.
    spec: Option<Box<RawValue>>,
    /// Some fields, for the message that the format is not known.
    fields: Vec<String>,
}

/// Reads every JSON document of a text, one after the other.
pub(super) fn from_slice(text: &[u8]) -> Result<Vec<Draft>, Fault> {
    all(serde_json::Deserializer::from_slice(text))
}

/// Reads every JSON document of an input, one after the other, without holding it in memory.
pub(super) fn from_reader(input: impl BufRead) -> Result<Vec<Draft>, Fault> {
    all(serde_json::Deserializer::from_reader(input))
}

fn all<'de, R: serde_json::de::Read<'de>>(
    mut deserializer: serde_json::Deserializer<R>,
) -> Result<Vec<Draft>, Fault> {
    let mut drafts = Vec::new();
    loop {
        let mut draft = Draft::default();
        Top(&mut draft).deserialize(&mut deserializer).map_err(|error| fault(&error))?;
        drafts.push(draft);
        // More may follow: cosign writes one envelope a line.
        match deserializer.end() {
            Ok(()) => return Ok(drafts),
            Err(error) if error.is_syntax() && drafts.len() < DOCUMENTS_MAX => {}
            Err(error) if error.is_syntax() => {
                return Err(format!("more than {DOCUMENTS_MAX} documents in one file").into());
            }
            Err(error) => return Err(fault(&error)),
        }
    }
}

/// How many documents one file holds.
const DOCUMENTS_MAX: usize = 10_000;

fn fault(error: &serde_json::Error) -> Fault {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let reason = text.strip_suffix(&place).unwrap_or(&text);
    let message = match error.classify() {
        serde_json::error::Category::Eof => {
            "the JSON breaks off here: the file is truncated; write it again".to_owned()
        }
        serde_json::error::Category::Io if text.contains("UTF-8") => {
            "not UTF-8; save the file as UTF-8".to_owned()
        }
        serde_json::error::Category::Io => format!("cannot be read: {reason}"),
        serde_json::error::Category::Syntax if reason.contains("unicode") => {
            format!("not UTF-8 ({reason}); save the file as UTF-8")
        }
        serde_json::error::Category::Syntax => format!("not JSON: {reason}"),
        serde_json::error::Category::Data => beginning(reason),
    };
    Fault { at: (error.line() > 0).then_some((error.line(), error.column())), message }
}

/// A whole document: an object, or Trivy's bare array of before 0.20.
struct Top<'d>(&'d mut Draft);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scanner's report")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Object(self.0).visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let results = self.0.trivy.get_or_insert_default();
        while seq.next_element_seed(Object(results))?.is_some() {}
        if self.0.trivy.as_ref().is_none_or(|results| !results.packages) {
            return Err(A::Error::custom("an array of something that is not a scanner's result"));
        }
        Ok(())
    }
}

impl<'de> Fields<'de> for Draft {
    const WHAT: &'static str = "a scanner's report";

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "SchemaVersion" | "Metadata" | "ArtifactName" | "ArtifactType" | "CreatedAt"
            | "Results" | "Trivy" => self.trivy_field(name, map),
            "matches" | "source" | "descriptor" => self.grype_field(name, map),
            "bomFormat" | "vulnerabilities" | "metadata" => self.cyclonedx_field(name, map),
            "scanner" | "predicate" | "subject" | "payload" => self.attestation_field(name, map),
            "scanners" => map.next_value_seed(OneOrMany(self)),
            "kind" | "spec" | "report" | "items" => self.object_field(name, map),
            _ => {
                if self.fields.len() < 8 {
                    self.fields.push(name.chars().take(32).collect());
                }
                skip(map)
            }
        }
    }
}

impl Draft {
    fn trivy_field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "SchemaVersion" => {
                let version: u64 = map.next_value()?;
                if version > 2 {
                    return Err(A::Error::custom(format!(
                        "Trivy's SchemaVersion {version} is newer than 2, which is understood"
                    )));
                }
                self.trivy.get_or_insert_default();
            }
            "Metadata" => {
                let metadata: Option<trivy::Metadata> = map.next_value()?;
                metadata.unwrap_or_default().put(&mut self.names, &mut self.platform);
            }
            "ArtifactName" => self.names.primary = map.next_value()?,
            "ArtifactType" => {
                let kind: Option<String> = map.next_value()?;
                let image = |kind: &String| matches!(&**kind, "" | "container_image" | "cyclonedx");
                self.names.not_an_image = kind.filter(|kind| !image(kind));
            }
            "CreatedAt" => self.created = map.next_value()?,
            "Results" => {
                map.next_value_seed(Objects(self.trivy.get_or_insert_default()))?;
            }
            // Since 0.69 the tool's own version is here.
            _ => skip(map)?,
        }
        Ok(())
    }

    fn grype_field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "matches" => {
                let rows = self.grype.get_or_insert_default();
                let add = |one: grype::Match| rows.add(one.row()?);
                self.listed |= map.next_value_seed(Each::<_, grype::Match>::new(add))?;
            }
            "source" => {
                let source: Option<grype::Source> = map.next_value()?;
                let source = source.unwrap_or_default();
                source.put(&mut self.names, &mut self.platform).map_err(A::Error::custom)?;
            }
            _ => {
                let descriptor: Option<Descriptor> = map.next_value()?;
                let Descriptor { name, version, timestamp } = descriptor.unwrap_or_default();
                self.created = timestamp;
                self.scanner = name.map(|name| Scanner { name, version });
            }
        }
        Ok(())
    }

    fn cyclonedx_field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "bomFormat" => {
                self.is_cyclonedx = map.next_value::<String>()? == "CycloneDX";
            }
            "vulnerabilities" => {
                let rows = self.cyclonedx.get_or_insert_default();
                let add = |one: cyclonedx::Found| match one.row()? {
                    Some(row) => rows.add(row),
                    None => Ok(()),
                };
                self.listed |= map.next_value_seed(Each::<_, cyclonedx::Found>::new(add))?;
            }
            _ => {
                let metadata: Option<AnyMetadata> = map.next_value()?;
                let AnyMetadata { timestamp, component, tools, started, finished } =
                    metadata.unwrap_or_default();
                self.finished = self.finished.take().or(finished).or(started);
                self.created = self.created.take().or(timestamp);
                self.scanner = self.scanner.take().or(tools.as_ref().and_then(first_tool));
                if let Some(component) = component {
                    component.put(&mut self.names);
                }
            }
        }
        Ok(())
    }

    fn attestation_field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "scanner" => map.next_value_seed(Object(&mut ScannerField(self))),
            "predicate" => map.next_value_seed(Object(self)),
            "subject" => {
                let subjects: Option<Vec<Subject>> = map.next_value()?;
                let subjects = subjects.unwrap_or_default();
                let named = !subjects.is_empty();
                self.names.subjects = subjects.into_iter().filter_map(Subject::pulled).collect();
                if named && self.names.subjects.is_empty() {
                    return Err(A::Error::custom("a `subject` without the digest of an image"));
                }
                Ok(())
            }
            _ => {
                let payload: String = map.next_value()?;
                let statement = open_envelope(&payload).map_err(A::Error::custom)?;
                let mut deserializer = serde_json::Deserializer::from_slice(&statement);
                Top(self)
                    .deserialize(&mut deserializer)
                    .map_err(|error| A::Error::custom(format!("in `payload`: {error}")))
            }
        }
    }

    fn object_field<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "kind" => self.kind = map.next_value()?,
            "report" => map.next_value_seed(Object(self.report.get_or_insert_default()))?,
            "items" => map.next_value_seed(Items(&mut self.items))?,
            // PERF: 100,000 ImageScans are read when a local folder is: their kind comes first.
            _ if self.kind.as_deref() == Some("ImageScan") => {
                map.next_value_seed(Object(self.stored.get_or_insert_default()))?;
            }
            _ => self.spec = Some(map.next_value()?),
        }
        Ok(())
    }

    /// A list of other documents, and nothing itself.
    pub(super) fn is_list(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| kind.ends_with("List"))
    }

    /// What was scanned, if it was not an image.
    pub(super) fn not_an_image(&self) -> Option<String> {
        self.names.not_an_image.clone()
    }

    /// What it is, by the fields that were met.
    pub(super) fn format(&self) -> Result<Format, Fault> {
        if let Some(kind) = &self.kind {
            return match kind.as_str() {
                "ImageScan" => Ok(Format::ImageScan),
                "VulnerabilityReport" | "ClusterVulnerabilityReport" => {
                    Ok(Format::VulnerabilityReport)
                }
                _ => Err(format!(
                    "an object of kind `{}`; expected a scanner's report, an ImageScan or a \
                     VulnerabilityReport",
                    beginning(kind)
                )
                .into()),
            };
        }
        let met = [
            (self.trivy.is_some(), Format::Trivy),
            (self.grype.is_some(), Format::Grype),
            (self.is_cyclonedx, Format::CycloneDx),
        ];
        match met.into_iter().filter(|(met, _)| *met).collect::<Vec<_>>().as_slice() {
            [(_, format)] => Ok(*format),
            [] => Err(self.unknown()),
            _ => Err("fields of several scanners' reports in one document".into()),
        }
    }

    fn unknown(&self) -> Fault {
        let has = |name: &str| self.fields.iter().any(|field| field == name);
        let what = if has("$schema") && has("runs") {
            "SARIF, which has no image and no scores to rely on".to_owned()
        } else if has("spdxVersion") || has("SPDXID") {
            "an SPDX document, which has no vulnerabilities".to_owned()
        } else if self.fields.is_empty() {
            "a JSON document without any field of a report".to_owned()
        } else {
            format!("a JSON document with the fields {}", self.fields.join(", "))
        };
        format!(
            "{what}; expected the JSON of Trivy, Grype or CycloneDX, a cosign vulnerability \
             attestation, a VulnerabilityReport or an ImageScan"
        )
        .into()
    }

    /// The scan without its vulnerabilities, and these.
    pub(super) fn split(self, format: Format) -> Result<(ImageScanSpec, Option<Rows>), Fault> {
        if format == Format::ImageScan {
            return Ok((self.into_stored()?, None));
        }
        let Self { mut names, platform, mut created, finished, mut scanner, .. } = self;
        let (rows, complete, why) = match format {
            Format::Trivy => {
                scanner = scanner.or(Some(Scanner { name: "Trivy".to_owned(), version: None }));
                let trivy::Results { rows, packages, .. } = self.trivy.unwrap_or_default();
                (rows, packages, "no result of class os-pkgs or lang-pkgs: packages not scanned")
            }
            Format::Grype => (self.grype.unwrap_or_default(), self.listed, "no `matches`"),
            Format::VulnerabilityReport => {
                let report = self.report.unwrap_or_default();
                report.put(&mut names);
                created = report.updated;
                scanner = report.scanner;
                (report.rows, report.listed, "no `report.vulnerabilities`")
            }
            Format::CycloneDx | Format::ImageScan => (
                self.cyclonedx.unwrap_or_default(),
                self.listed,
                "a bill of materials without `vulnerabilities`",
            ),
        };
        let mut spec = ImageScanSpec {
            platform: platform.word(),
            scanner,
            scanned_at: finished.or(created),
            ..ImageScanSpec::default()
        };
        names.put(&mut spec);
        if !complete {
            spec.state = StoredState::Unsupported;
            spec.reason = Some(why.to_owned());
        }
        Ok((spec, Some(rows)))
    }

    fn into_stored(self) -> Result<ImageScanSpec, Fault> {
        let mut stored = match (self.stored, self.spec) {
            (Some(stored), _) => stored,
            (None, Some(spec)) => {
                let mut stored = stored::Stored::default();
                let mut json = serde_json::Deserializer::from_str(spec.get());
                // The place is one in `spec`, not in the file.
                let in_spec = |error| Fault { at: None, ..fault(&error) };
                Object(&mut stored).deserialize(&mut json).map_err(in_spec)?;
                stored
            }
            (None, None) => return Err("an ImageScan without `spec`".into()),
        };
        if stored.0.platform.is_empty() {
            stored.0.platform = Platform::default().word();
        }
        Ok(stored.0)
    }
}

/// Grype's `descriptor`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Descriptor {
    name: Option<String>,
    version: Option<String>,
    timestamp: Option<String>,
}

/// `metadata` of CycloneDX, of a predicate, and of an object (of which nothing is needed).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AnyMetadata {
    timestamp: Option<String>,
    component: Option<cyclonedx::Component>,
    tools: Option<serde_json::Value>,
    #[serde(rename = "scanStartedOn")]
    started: Option<String>,
    #[serde(rename = "scanFinishedOn")]
    finished: Option<String>,
}

/// The first of CycloneDX's tools: an array until 1.4, since 1.5 an object with `components`.
fn first_tool(tools: &serde_json::Value) -> Option<Scanner> {
    let all = tools.get("components").unwrap_or(tools);
    let text = |key: &str| Some(all.get(0)?.get(key)?.as_str()?.to_owned());
    Some(Scanner { name: text("name")?, version: text("version") })
}

/// `items` of a list.
struct Items<'d>(&'d mut Vec<Draft>);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let mut draft = Draft::default();
            if seq.next_element_seed(Object(&mut draft))?.is_none() {
                return Ok(());
            }
            self.0.push(draft);
        }
    }
}

/// `scanners` of older predicates: one scanner, or an array of one.
struct OneOrMany<'d>(&'d mut Draft);

impl<'de> DeserializeSeed<'de> for OneOrMany<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneOrMany<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the `scanners` of a vulnerability predicate")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Object(&mut ScannerField(self.0)).visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Objects(&mut ScannerField(self.0)).visit_seq(seq)
    }
}
