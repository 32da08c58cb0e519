//! `caapc scan import`: reports in, `ImageScan`s out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use caapc_vm::facts::Timestamp;

use super::destination::Destination;
use super::facts::{ScanFiles, Thresholds};
use crate::api::{ImageAssuranceSettingsSpec, ImageScan, ImageScanSpec, StoredState};
use crate::cli::io::{Exit, Failure, Out, path_name, shown, take_stdin, tell, tell_part};
use crate::cli::offline::facts::{clock, time};
use crate::scan::Settings;
use crate::scan::report::{self, Reading, Report};

/// Turn scanners' reports into ImageScans.
///
/// Reads the JSON of Trivy, Grype and CycloneDX, cosign's vulnerability attestations around them,
/// and trivy-operator's VulnerabilityReports. A result that is older than the one stored never
/// replaces it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The reports; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The image that the report is of, in place of the names that it gives.
    #[arg(long, value_name = "REF")]
    image: Option<String>,

    /// The time of a report that does not say when it was made, and the time after which one would
    /// lie in the future; the clock's if absent.
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Timestamp>,

    /// Say nothing of what was read.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    destination: Destination,
}

/// Runs `caapc scan import`.
pub fn run(args: Args, thresholds: Thresholds, out: &mut Out) -> Result<Exit, Failure> {
    let Args { files, image, now, quiet, destination } = args;
    let now = now.map_or_else(clock, Ok)?;
    let given = ScanFiles::default().given(thresholds)?;
    let settings = given.over(&ImageAssuranceSettingsSpec::default()).map_err(Failure::Input)?;
    let latest = now.plus_secs(i64::from(settings.skew_secs));
    let reading = Reading { image: image.as_deref(), undated: Some(now), latest: Some(latest) };
    if image.is_some() && files.len() > 1 {
        return Err(Failure::Input(
            "--image with several files: they cannot all be of one image".to_owned(),
        ));
    }
    let mut scans: BTreeMap<String, ImageScanSpec> = BTreeMap::new();
    for path in &files {
        for report in read(path, &reading)? {
            if !quiet {
                describe(path, &report, &settings);
            }
            let name = report::object_name(&report.spec);
            let spec = match scans.get(&name) {
                None => Some(report.spec),
                Some(before) => report::supersede(before, report.spec, latest),
            };
            scans.extend(spec.map(|spec| (name, spec)));
        }
    }
    let objects = scans.into_iter().map(|(name, spec)| ImageScan::new(&name, spec)).collect();
    let over = |ImageScan { metadata, spec }, stored: &ImageScan| {
        let spec = report::supersede(&stored.spec, spec, latest)?;
        Some(ImageScan { metadata, spec })
    };
    destination.put(objects, &over, out)?;
    Ok(Exit::Fine)
}

fn read(path: &Path, reading: &Reading<'_>) -> Result<Vec<Report>, Failure> {
    let name = shown(&path_name(path));
    let reports = if path == Path::new("-") {
        take_stdin()?;
        report::read(std::io::stdin().lock(), reading)
    } else {
        let cannot =
            |error: std::io::Error| Failure::Input(format!("{name}: cannot be read: {error}"));
        let file = File::open(path).map_err(cannot)?;
        let bytes = file.metadata().map_err(cannot)?.len();
        report::read(Watched::new(file, bytes), reading)
    };
    reports.map_err(|fault| {
        let colon = if fault.at.is_some() { ":" } else { ": " };
        Failure::Input(format!("{name}{colon}{}", shown(&fault.to_string())))
    })
}

fn describe(path: &Path, report: &Report, settings: &Settings) {
    let Report { format, spec, notes } = report;
    let image = spec.references.first().or(spec.digest.as_ref()).map_or("", String::as_str);
    let said = match spec.state {
        StoredState::Scanned => {
            let maximum = spec.maximum.unwrap_or_default();
            let status = settings.thresholds.status(maximum).word();
            let counts = &spec.summary;
            let noun = if counts.total() == 1 { "vulnerability" } else { "vulnerabilities" };
            let left = spec.overflow.map_or(String::new(), |over| {
                format!("; the lowest {} did not fit and count together", over.count)
            });
            format!(
                "{status}, highest score {maximum}, {} {noun} ({} critical, {} high){left}",
                counts.total(),
                counts.critical,
                counts.high
            )
        }
        _ => format!("Unknown: {}", spec.reason.as_deref().unwrap_or("no complete result")),
    };
    let line = format!("{image} {}: {said}", spec.platform);
    tell(format_args!("{} ({}): {}", shown(&path_name(path)), format.word(), shown(&line)));
    for note in notes {
        tell(format_args!("{}: {}", shown(&path_name(path)), shown(note)));
    }
}

/// A file that tells how far it has been read, if someone is looking and it is large.
struct Watched {
    file: File,
    read: u64,
    bytes: u64,
    told: Option<Instant>,
}

impl Watched {
    fn new(file: File, bytes: u64) -> Self {
        let watch = bytes > 32 << 20 && std::io::stderr().is_terminal();
        Self { file, read: 0, bytes, told: watch.then(Instant::now) }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        if let Some(told) = &mut self.told
            && (told.elapsed() > Duration::from_millis(250) || read == 0)
        {
            *told = Instant::now();
            let end = if read == 0 { "\n" } else { "" };
            tell_part(format_args!("\r{} of {} MiB{end}", self.read >> 20, self.bytes >> 20));
        }
        Ok(read)
    }
}
