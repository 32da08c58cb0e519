//! Rows: the vulnerabilities of a report, gathered so that a report of any size needs little
//! memory and its `ImageScan` fits into an object.
//!
//! One vulnerability of one package is one row, however often a report repeats it. What does not
//! fit is left out from the lowest score up, and what is left out keeps counting: its maxima go
//! into the overflow mark. Start at [`Rows::add`].

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::api::{
    ImageScanSpec, MissingScore, Overflow, Score, Severity, SeverityCounts, Vulnerability,
};

/// The largest `ImageScan` that is made, in bytes of JSON (half a megabyte is the promise).
pub const OBJECT_BYTES_MAX: usize = 480 << 10;
/// The most rows of one `ImageScan`; its schema says the same.
const ROWS_MAX: usize = 10_000;
/// How many rows are gathered before the lowest half is left out.
const GATHERED_MAX: usize = 2 * ROWS_MAX;
/// The longest id, package and version that a row can have, in bytes.
const ID_BYTES_MAX: usize = 128;
const TEXT_BYTES_MAX: usize = 256;

/// The vulnerabilities of one report.
#[derive(Debug, Default)]
pub(super) struct Rows {
    kept: Vec<Vulnerability>,
    /// Where in `kept` a vulnerability of a package is.
    known: HashTable<usize>,
    hasher: RandomState,
    summary: SeverityCounts,
    overflow: Overflow,
}

/// The scores that sources give to one vulnerability; NVD's word comes first, then the highest of
/// the others (spec: scan, "Sources").
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scores {
    nvd: [Option<Score>; 3],
    others: [Option<Score>; 3],
}

/// A version of CVSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cvss {
    V3,
    V4,
    V2,
}

impl Scores {
    /// Takes one score in.
    ///
    /// # Errors
    /// One sentence, if it is outside 0.0 to 10.0.
    pub(super) fn add(&mut self, nvd: bool, version: Cvss, score: f64) -> Result<(), String> {
        let score = Score::from_f64(score).ok_or_else(|| {
            // One with hundreds of digits is not written out.
            let shown = if score.abs() < 1e6 { score.to_string() } else { format!("{score:e}") };
            format!("the CVSS score {shown} is outside 0.0 to 10.0")
        })?;
        let all = if nvd { &mut self.nvd } else { &mut self.others };
        let place = &mut all[version as usize];
        *place = (*place).max(Some(score));
        Ok(())
    }

    /// The score of a version.
    pub(super) fn of(&self, version: Cvss) -> Option<Score> {
        self.nvd[version as usize].or(self.others[version as usize])
    }
}

impl Rows {
    /// Takes a vulnerability in.
    ///
    /// # Errors
    /// One sentence, if it has no id.
    pub(super) fn add(&mut self, mut one: Vulnerability) -> Result<(), String> {
        if one.id.is_empty() {
            return Err("a vulnerability has no id".to_owned());
        }
        let shorten = |text: &mut String| {
            let end =
                (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
            text.truncate(end.unwrap_or(0));
        };
        one.package.iter_mut().for_each(shorten);
        one.fixed.iter_mut().for_each(shorten);
        let hash = self.hasher.hash_one((&one.id, &one.package));
        let same = |at: &usize| {
            self.kept.get(*at).is_some_and(|k| k.id == one.id && k.package == one.package)
        };
        if let Some(at) = self.known.find(hash, same).copied() {
            if let Some(known) = self.kept.get_mut(at) {
                merge(known, one);
            }
            return Ok(());
        }
        self.summary.add(one.severity);
        if one.id.len() > ID_BYTES_MAX {
            leave_out(&mut self.overflow, &one);
            return Ok(());
        }
        let Self { kept, known, hasher, .. } = self;
        known.insert_unique(hash, kept.len(), |at| {
            kept.get(*at).map_or(0, |k| hasher.hash_one((&k.id, &k.package)))
        });
        kept.push(one);
        if kept.len() > GATHERED_MAX {
            self.keep(ROWS_MAX);
        }
        Ok(())
    }

    /// Puts the rows into an `ImageScan`, as many as fit.
    pub(super) fn finish(mut self, spec: &mut ImageScanSpec) {
        self.keep(ROWS_MAX);
        let mut room = OBJECT_BYTES_MAX.saturating_sub(bytes(spec));
        let fit = self.kept.iter().take_while(|row| {
            let row = bytes(row) + 1;
            let fits = row <= room;
            room = room.saturating_sub(row);
            fits
        });
        let fit = fit.count();
        self.keep(fit);
        let Self { kept, summary, overflow, .. } = self;
        spec.maximum = kept.iter().filter_map(|row| row.v3).chain(overflow.v3).max();
        spec.summary = summary;
        spec.overflow = (overflow.count > 0).then_some(overflow);
        spec.vulnerabilities = kept;
    }

    /// Keeps the highest; a stable order makes the same report the same object always.
    fn keep(&mut self, rows_max: usize) {
        self.kept.sort_by(|a, b| (rank(b), &a.id, &a.package).cmp(&(rank(a), &b.id, &b.package)));
        let rest = self.kept.split_off(rows_max.min(self.kept.len()));
        rest.iter().for_each(|row| leave_out(&mut self.overflow, row));
        let Self { kept, known, hasher, .. } = self;
        known.clear();
        let hash = |row: &Vulnerability| hasher.hash_one((&row.id, &row.package));
        for (at, row) in kept.iter().enumerate() {
            known.insert_unique(hash(row), at, |at| kept.get(*at).map_or(0, hash));
        }
    }
}

/// The highest score that a row can count with.
fn rank(row: &Vulnerability) -> Option<Score> {
    row.v3.or_else(|| row.v4.max(row.v2).max(row.severity.band()))
}

/// The same vulnerability of the same package again, in another layer or file.
fn merge(known: &mut Vulnerability, again: Vulnerability) {
    let Vulnerability { id: _, v3, v4, v2, severity, package: _, fixed } = again;
    known.v3 = known.v3.max(v3);
    known.v4 = known.v4.max(v4);
    known.v2 = known.v2.max(v2);
    known.severity = known.severity.max(severity);
    known.fixed = known.fixed.take().or(fixed);
}

fn leave_out(overflow: &mut Overflow, row: &Vulnerability) {
    overflow.count = overflow.count.saturating_add(1);
    overflow.v3 = overflow.v3.max(row.v3);
    // Without a v3 score the others may count, one of them, as the settings say.
    if row.v3.is_none() {
        overflow.v4 = overflow.v4.max(row.v4);
        overflow.v2 = overflow.v2.max(row.v2);
        overflow.severity = overflow.severity.max(row.severity);
    }
}
const _: () = assert!(MissingScore::Severity as usize == 3, "leave_out knows every rule");

/// How long something is as JSON.
pub(super) fn bytes(value: &impl serde::Serialize) -> usize {
    /// Counts what is written.
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

/// The highest severity of a scanner's words.
pub(super) fn severity(word: Option<&str>) -> Severity {
    word.map_or(Severity::Unknown, Severity::from_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, tenths: u8) -> Vulnerability {
        Vulnerability { id: id.to_owned(), v3: Score::from_tenths(tenths), ..Default::default() }
    }

    #[test]
    fn what_is_left_out_still_counts() {
        let mut rows = Rows::default();
        for n in 0..60_000 {
            let mut one = row(&format!("CVE-2024-{n}"), (n % 101) as u8);
            one.package = Some("p".repeat(300));
            rows.add(one).unwrap();
        }
        rows.add(Vulnerability {
            id: "GHSA-".repeat(40),
            v2: Score::from_tenths(99),
            severity: Severity::High,
            ..Default::default()
        })
        .unwrap();
        let mut spec = ImageScanSpec::default();
        rows.finish(&mut spec);
        let overflow = spec.overflow.unwrap();
        assert!(bytes(&spec) <= OBJECT_BYTES_MAX + 512, "{}", bytes(&spec));
        assert_eq!(spec.vulnerabilities.len() + overflow.count as usize, 60_001);
        assert_eq!(spec.summary.total(), 60_001);
        assert_eq!(spec.maximum, Some(Score::MAX));
        assert!(spec.vulnerabilities.iter().all(|row| row.v3 >= overflow.v3));
        assert_eq!((overflow.v2, overflow.v4), (Score::from_tenths(99), None));
        assert_eq!(overflow.severity, Severity::High);
    }

    #[test]
    fn a_vulnerability_of_a_package_is_one_row() {
        let mut rows = Rows::default();
        for tenths in [40, 70, 50] {
            rows.add(row("CVE-1", tenths)).unwrap();
        }
        rows.add(Vulnerability { package: Some("other".to_owned()), ..row("CVE-1", 10) }).unwrap();
        let mut spec = ImageScanSpec::default();
        rows.finish(&mut spec);
        let scores: Vec<_> = spec.vulnerabilities.iter().map(|row| row.v3).collect();
        assert_eq!(scores, [Score::from_tenths(70), Score::from_tenths(10)]);
        assert_eq!(spec.overflow, None);
    }
}
