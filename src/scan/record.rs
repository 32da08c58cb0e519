//! Records: one scan result of one image on one platform, packed for 100,000 of them.
//!
//! A record is checked on the way in and never changes; what exceptions make of it is kept apart.
//! Start at [`Record::read`].

use std::sync::Arc;

use caapc_vm::facts::Timestamp;

use super::words::{Word, WordList, Words};
use crate::api::{ImageScanSpec, MissingScore, Score, Severity, StoredState, Vulnerability};
use crate::reference::{Reference, is_digest};

/// A scan time in nanoseconds since 1970; from 1970 to 2262 (INVARIANT (scan times fit)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At(i64);

/// One result.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) platform: Word,
    pub(super) state: StoredState,
    /// When it was scanned; [`At::NEVER`] if that is not known.
    pub(super) at: At,
    /// What of [`Self::keys`] is the digest of the image itself.
    pub(super) digest: Option<Arc<str>>,
    /// What leads to it: digests and canonical references, and when that was last seen.
    pub(super) keys: Box<[Key]>,
    /// Highest first by any score.
    pub(super) rows: Box<[Row]>,
    /// What was left out, as one row; it has no id, so that no exception is about it.
    pub(super) overflow: [Peak; RULES],
    /// The highest score under each rule for missing ones, exceptions not counted.
    pub(super) maxima: [Peak; RULES],
    pub(super) left_out: u32,
    pub(super) scanner: Word,
    pub(super) reason: Option<Box<str>>,
}

/// A digest or a canonical reference that leads to a record.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: Arc<str>,
    pub(super) seen: At,
    /// It is an index, whose manifests this is one of.
    pub(super) index: bool,
}

/// How many rules for missing scores there are; arrays have one place for each.
pub(super) const RULES: usize = 4;
/// References and digests of one scan, as the three lists of the schema allow together.
const NAMES_MAX: usize = 3 * 64;
const ALL_RULES: [MissingScore; RULES] =
    [MissingScore::Ignore, MissingScore::V4, MissingScore::V2, MissingScore::Severity];
const _: () = assert!(MissingScore::Severity as usize == RULES - 1);

/// The highest of some scores in tenths, 0 if there are none: no vulnerabilities are 0.0.
pub(super) type Peak = u8;

/// A vulnerability in 12 bytes: three words of 24 bits; above each 7 bits of a score (127: none)
/// and one bit of the severity.
///
/// ```text
///  31      25 24 23                    0
/// |  v3      |s0|  id                   |
/// |  v4      |s1|  package              |
/// |  v2      |s2|  fixed version        |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row([u32; 3]);
const _: () = assert!(size_of::<Row>() == 12);

const WORD_BITS: u32 = (1 << 24) - 1;
const NO_SCORE: u32 = 127;

impl At {
    /// Before every scan.
    pub(super) const NEVER: Self = Self(i64::MIN);

    /// A scan time; `None` outside of what fits.
    pub(super) fn new(time: Timestamp) -> Option<Self> {
        if time.secs < 0 {
            return None;
        }
        let nanos = time.secs.checked_mul(1_000_000_000)?.checked_add(i64::from(time.nanos))?;
        Some(Self(nanos))
    }

    /// The nearest scan time, to compare with.
    pub(super) fn nearest(time: Timestamp) -> Self {
        Self::new(time).unwrap_or(if time.secs < 0 { Self::NEVER } else { Self(i64::MAX) })
    }

    /// As a time; `None` for never.
    pub(super) fn time(self) -> Option<Timestamp> {
        (self != Self::NEVER).then(|| Timestamp {
            secs: self.0.div_euclid(1_000_000_000),
            nanos: self.0.rem_euclid(1_000_000_000) as u32,
        })
    }
}

impl Row {
    fn new(words: &mut Words, one: &Vulnerability) -> Option<Self> {
        let Vulnerability { id, v3, v4, v2, severity, package, fixed } = one;
        let mut word = |text: Option<&str>| words.intern(text.unwrap_or_default());
        let place = |word: Word, score: &Option<Score>, bit: u32| {
            let score = score.map_or(NO_SCORE, |score| u32::from(score.tenths()));
            word.0 | (*severity as u32 >> bit & 1) << 24 | score << 25
        };
        Some(Self([
            place(word(Some(id))?, v3, 0),
            place(word(package.as_deref())?, v4, 1),
            place(word(fixed.as_deref())?, v2, 2),
        ]))
    }

    pub(super) fn id(self) -> Word {
        Word(self.0[0] & WORD_BITS)
    }

    pub(super) fn package(self) -> Word {
        Word(self.0[1] & WORD_BITS)
    }

    pub(super) fn fixed(self) -> Word {
        Word(self.0[2] & WORD_BITS)
    }

    pub(super) fn severity(self) -> Severity {
        let bit = |n: usize| self.0[n] >> 24 & 1;
        Severity::ALL[(bit(0) | bit(1) << 1 | bit(2) << 2) as usize % Severity::ALL.len()]
    }

    fn part(self, n: usize) -> Option<Score> {
        u8::try_from(self.0[n] >> 25).ok().and_then(Score::from_tenths)
    }

    /// The score this counts with under a rule for missing ones (spec: scan, "Status").
    pub(super) fn score(self, rule: MissingScore) -> Option<Score> {
        counted([self.part(0), self.part(1), self.part(2)], self.severity(), rule)
    }

    /// The same words under other numbers.
    fn renumber(self, from: &WordList, to: &mut Words) -> Option<Self> {
        let mut parts = self.0;
        for (part, word) in parts.iter_mut().zip([self.id(), self.package(), self.fixed()]) {
            *part = *part & !WORD_BITS | to.intern(from.text(word))?.0;
        }
        Some(Self(parts))
    }
}

/// The score that counts, of v3, v4, v2 and severity.
fn counted(
    [v3, v4, v2]: [Option<Score>; 3],
    severity: Severity,
    rule: MissingScore,
) -> Option<Score> {
    v3.or_else(|| match rule {
        MissingScore::Ignore => None,
        MissingScore::V4 => v4,
        MissingScore::V2 => v2,
        MissingScore::Severity => severity.band(),
    })
}

/// Raises each peak to the score under its rule.
pub(super) fn raise(peaks: &mut [Peak; RULES], row: Row) {
    for (peak, rule) in peaks.iter_mut().zip(ALL_RULES) {
        *peak = (*peak).max(row.score(rule).map_or(0, Score::tenths));
    }
}

impl Record {
    /// Checks and packs a result.
    ///
    /// # Errors
    /// One sentence with the field path.
    pub(super) fn read(
        spec: &ImageScanSpec,
        words: &mut Words,
        mut share: impl FnMut(&str) -> Arc<str>,
    ) -> Result<Self, String> {
        let no_room = || "too many different words in all scan results together".to_owned();
        let at = match &spec.scanned_at {
            Some(text) => parse_at(text).map_err(|why| format!("spec.scannedAt: {why}"))?,
            None if spec.state == StoredState::Scanned => {
                return Err("spec.scannedAt: missing; a finished scan has a time".to_owned());
            }
            None => At::NEVER,
        };
        let keys = read_keys(spec, at, &mut share)?;
        let digest = spec.digest.as_deref().map(&mut share);
        let mut rows = Vec::with_capacity(spec.vulnerabilities.len());
        for one in &spec.vulnerabilities {
            rows.push(Row::new(words, one).ok_or_else(no_room)?);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.rank()));
        let overflow = overflow_peaks(spec);
        let mut maxima = overflow;
        rows.iter().for_each(|row| raise(&mut maxima, *row));
        // A highest score that nothing in the object has: its vulnerabilities got lost.
        let said = spec.maximum.map_or(0, Score::tenths);
        let lost = if said > maxima[MissingScore::Ignore as usize] { said } else { 0 };
        let [overflow, maxima] = [overflow, maxima].map(|peaks| peaks.map(|peak| peak.max(lost)));
        Ok(Self {
            platform: words.intern(&spec.platform).ok_or_else(no_room)?,
            state: spec.state,
            at,
            digest,
            keys,
            rows: rows.into(),
            overflow,
            maxima,
            left_out: spec.overflow.map_or(0, |overflow| overflow.count),
            scanner: words
                .intern(spec.scanner.as_ref().map_or("", |scanner| &scanner.name))
                .ok_or_else(no_room)?,
            reason: spec.reason.as_deref().map(Into::into),
        })
    }

    /// The same record with the words that are in use only.
    pub(super) fn renumber(&self, from: &WordList, to: &mut Words) -> Option<Self> {
        let rows: Option<Box<[Row]>> = self.rows.iter().map(|row| row.renumber(from, to)).collect();
        Some(Self {
            platform: to.intern(from.text(self.platform))?,
            scanner: to.intern(from.text(self.scanner))?,
            rows: rows?,
            ..self.clone()
        })
    }
}

impl Row {
    /// The order in which rows are kept and left out: by the highest score that could count.
    fn rank(self) -> u8 {
        ALL_RULES.iter().filter_map(|rule| self.score(*rule)).map(Score::tenths).max().unwrap_or(0)
    }
}

fn overflow_peaks(spec: &ImageScanSpec) -> [Peak; RULES] {
    let Some(over) = &spec.overflow else { return [0; RULES] };
    // The highest v3 and the highest of the rest are of different vulnerabilities: each counts.
    ALL_RULES.map(|rule| {
        let rest = counted([None, over.v4, over.v2], over.severity, rule);
        over.v3.max(rest).map_or(0, Score::tenths)
    })
}

fn read_keys(
    spec: &ImageScanSpec,
    at: At,
    share: &mut impl FnMut(&str) -> Arc<str>,
) -> Result<Box<[Key]>, String> {
    let count = spec.references.len() + spec.index_digests.len() + spec.earlier.len();
    if count > NAMES_MAX {
        return Err(format!("spec: {count} references and digests, the limit is {NAMES_MAX}"));
    }
    let mut keys: Vec<Key> = Vec::with_capacity(1 + spec.references.len());
    let mut add =
        |text: &str, seen: At, index: bool| match keys.iter_mut().find(|key| &*key.text == text) {
            Some(known) => known.seen = known.seen.max(seen),
            None => keys.push(Key { text: share(text), seen, index }),
        };
    if let Some(digest) = &spec.digest {
        add(digest_of(digest).ok_or_else(|| not_a_digest("spec.digest", digest))?, at, false);
    }
    for (n, digest) in spec.index_digests.iter().enumerate() {
        let path = || not_a_digest(&format!("spec.indexDigests[{n}]"), digest);
        add(digest_of(digest).ok_or_else(path)?, at, true);
    }
    for (n, text) in spec.references.iter().enumerate() {
        let canonical =
            canonical_name(text).map_err(|why| format!("spec.references[{n}]: {why}"))?;
        add(&canonical, at, false);
    }
    for (n, earlier) in spec.earlier.iter().enumerate() {
        let path = |why: String| format!("spec.earlier[{n}]: {why}");
        let seen = parse_at(&earlier.seen_at).map_err(path)?;
        match digest_of(&earlier.name) {
            Some(digest) => add(digest, seen, true),
            None => add(&canonical_name(&earlier.name).map_err(path)?, seen, false),
        }
    }
    if keys.is_empty() {
        return Err("spec: neither a digest nor a reference; a scan is of some image".to_owned());
    }
    Ok(keys.into())
}

fn digest_of(text: &str) -> Option<&str> {
    is_digest(text).then_some(text)
}

fn not_a_digest(path: &str, text: &str) -> String {
    format!("{path}: `{text}` is not a digest; write `sha256:` and 64 hexadecimal digits")
}

fn canonical_name(text: &str) -> Result<String, String> {
    let reference = Reference::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
    if reference.digest().is_some() {
        return Err(format!("`{text}` has a digest; write it in the field for digests"));
    }
    Ok(reference.canonical())
}

/// Reads a scan time, RFC 3339.
///
/// # Errors
/// One sentence.
pub(super) fn parse_at(text: &str) -> Result<At, String> {
    let time = parse_time(text)?;
    At::new(time).ok_or_else(|| format!("`{text}` is not between 1970 and 2262"))
}

/// Reads a time, RFC 3339.
///
/// # Errors
/// One sentence.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Timestamp {
            secs: time.timestamp(),
            nanos: time.timestamp_subsec_nanos().min(999_999_999),
        }),
        Err(_) => Err(format!("`{text}` is not a time; write it as 2026-01-31T09:00:00Z")),
    }
}
