//! The shelf: what is known of every image, immutable, read without a lock and without
//! allocating.
//!
//! It is made by the store and shares its data. Everything that depends on the time, on thresholds
//! and on whether an exception has expired is worked out when it is asked for. Start at
//! [`ScanShelf::lookup`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use caapc_vm::facts::{ScanStatus, Timestamp};

use super::exceptions::{Asked, Exception, Scope, holding};
use super::fact::{ScanFact, ScanState};
use super::index::{Answer, Candidate, Index, Node, Slot};
use super::record::{At, Peak, Record, Row};
use super::resolve::newest;
use super::settings::Settings;
use crate::api::{Score, Severity, StoredState};
use crate::reference::{CANONICAL_BYTES_MAX, Reference, ReferenceError, is_digest};

/// What is known of every image. See the top of this file.
#[derive(Clone, Debug, Default)]
pub struct ScanShelf {
    index: Index,
    settings: Settings,
    /// Facts that hold whatever was scanned, by digest or canonical reference.
    overrides: Arc<HashMap<Box<str>, ScanFact>>,
}

/// One vulnerability that counts, for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstRow<'s> {
    /// `CVE-2024-1234`.
    pub id: &'s str,
    /// The score it counts with; `None`: it counts with none.
    pub score: Option<Score>,
    /// The scanner's word.
    pub severity: Severity,
    /// The package it is in.
    pub package: Option<&'s str>,
    /// The version that repairs it.
    pub fixed: Option<&'s str>,
}

/// The result that counts for an image on one platform, for people.
#[derive(Clone, Debug)]
pub struct PlatformFact<'s> {
    /// `linux/amd64`.
    pub platform: &'s str,
    /// What it says.
    pub fact: ScanFact,
    /// The highest score that counts.
    pub maximum: Score,
    /// Who scanned.
    pub scanner: &'s str,
    /// How many vulnerabilities are known, those with exceptions included.
    pub vulnerabilities: usize,
    /// How many more did not fit; they count, but are not known one by one.
    pub left_out: u32,
    /// Digests and references that lead to it.
    pub names: Vec<&'s str>,
    /// Why its state is what it is.
    pub reason: Option<&'s str>,
    /// The exceptions in force that took something away, each with its vulnerability's score.
    pub exceptions: Vec<(Arc<Exception>, Option<Score>)>,
}

impl ScanShelf {
    /// A shelf on which no image was ever scanned, with default settings.
    pub fn empty() -> Self {
        Self::default()
    }

    pub(super) fn new(index: Index, settings: Settings) -> Self {
        Self { index, settings, overrides: Arc::default() }
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// This shelf with other settings.
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// This shelf with one fact that holds whatever was scanned.
    ///
    /// # Errors
    /// [`ReferenceError`] if `image` is neither a reference nor a digest.
    pub fn with_override(mut self, image: &str, fact: ScanFact) -> Result<Self, ReferenceError> {
        let key = if is_digest(image) {
            image.to_owned()
        } else {
            let reference = Reference::parse(image)?;
            reference.digest().map_or_else(|| reference.canonical(), str::to_owned)
        };
        Arc::make_mut(&mut self.overrides).insert(key.into(), fact);
        Ok(self)
    }

    /// What is known of an image at `now`: by its digest if it has one, else by registry,
    /// repository and tag (spec: scan, "Identity"). Never allocates.
    pub fn lookup(&self, reference: &Reference<'_>, now: Timestamp) -> ScanFact {
        let mut key = KeyText::new();
        key.write(reference);
        let key = key.as_str();
        if !self.overrides.is_empty()
            && let Some(fact) = self.overrides.get(key)
        {
            return *fact;
        }
        match self.index.find(key) {
            None => ScanFact::NEVER,
            Some(Node { answer: Answer::Plain { at, maxima, state }, .. }) => {
                self.fact(*at, maxima[self.settings.missing_score as usize], *state)
            }
            Some(Node { answer: Answer::Many(candidates), .. }) => {
                let mut repository = KeyText::new();
                let asked = asked(reference, &mut repository);
                self.deciding(candidates, asked, now).map_or(ScanFact::NEVER, |(fact, _)| fact)
            }
        }
    }

    /// The vulnerabilities that count for an image, worst first, of the platform that decides.
    /// Never allocates.
    pub fn worst<'s>(
        &'s self,
        reference: &Reference<'s>,
        now: Timestamp,
    ) -> impl Iterator<Item = WorstRow<'s>> + use<'s> {
        let reference = *reference;
        let mut last = None;
        std::iter::from_fn(move || {
            let mut key = KeyText::new();
            key.write(&reference);
            let node = self.index.find(key.as_str())?;
            let mut repository = KeyText::new();
            let asked = asked(&reference, &mut repository);
            let (_, slot) = self.slot_of(node, asked, now)?;
            let next = self.next_worst(&slot.record, last, asked, now)?;
            last = Some(next);
            let row = *slot.record.rows.get(next.1)?;
            Some(self.row(row))
        })
    }

    /// The first instant after `now` at which an exception's expiry makes the status of an image
    /// worse, and what it is then. Never allocates.
    pub fn worsens(
        &self,
        reference: &Reference<'_>,
        now: Timestamp,
    ) -> Option<(Timestamp, ScanStatus)> {
        let mut key = KeyText::new();
        key.write(reference);
        let Answer::Many(candidates) = &self.index.find(key.as_str())?.answer else { return None };
        let present = badness(self.lookup(reference, now)).0;
        let standings = || {
            let slots = candidates.iter().filter_map(|one| self.index.slot(one.slot));
            slots.filter_map(|slot| slot.standing.as_ref())
        };
        let mut at = now;
        // An image with more expiries than this ahead is asked again soon enough.
        for _ in 0..64 {
            at = standings().filter_map(|standing| standing.next_expiry(at)).min()?;
            let then = self.lookup(reference, at);
            if badness(then).0 > present {
                return Some((at, then.status));
            }
        }
        None
    }

    /// How many references and digests are known.
    pub fn names(&self) -> usize {
        self.index.nodes().count()
    }

    /// How many scan results are on the shelf.
    pub fn scans(&self) -> usize {
        self.index.slots().count()
    }

    /// Every reference that a scan result has, sorted; digests only of those without one. For
    /// people: it allocates.
    pub fn images(&self) -> Vec<&str> {
        let mut images: Vec<&str> = Vec::new();
        for (_, slot) in self.index.slots() {
            let keys = || slot.record.keys.iter().map(|key| &*key.text);
            let before = images.len();
            images.extend(keys().filter(|text| !is_digest(text)));
            if images.len() == before {
                images.extend(keys().take(1));
            }
        }
        images.sort_unstable();
        images.dedup();
        images
    }

    /// Whether an exception, expired or not, is about a vulnerability of some scan in its scope. For
    /// people: it looks at every scan.
    pub fn matches_something(&self, exception: &Exception) -> bool {
        let words = &self.index.words;
        let has =
            |record: &Record| record.rows.iter().any(|r| words.text(r.id()) == &*exception.id);
        let in_scope = |record: &Record| match &exception.scope {
            Scope::Any => true,
            Scope::Repo(repository) => record.keys.iter().any(|key| {
                let tag = key.text.strip_prefix(&**repository);
                tag.is_some_and(|tag| tag.starts_with(':'))
            }),
            Scope::Image(repository, tags) => {
                tags.iter().any(|tag| super::exceptions::lists(record, repository, tag))
            }
        };
        self.index.slots().any(|(_, slot)| in_scope(&slot.record) && has(&slot.record))
    }

    /// The result that counts on each platform, for people: it allocates. None if the image was
    /// never scanned, or a fact was laid over it.
    pub fn platforms(&self, reference: &Reference<'_>, now: Timestamp) -> Vec<PlatformFact<'_>> {
        let mut key = KeyText::new();
        key.write(reference);
        let mut repository = KeyText::new();
        let asked = asked(reference, &mut repository);
        let Some(node) = self.index.find(key.as_str()) else { return Vec::new() };
        match &node.answer {
            Answer::Plain { .. } => {
                let found = self.slot_of(node, asked, now);
                found.map(|(_, slot)| self.platform(slot, asked, now)).into_iter().collect()
            }
            Answer::Many(candidates) => platforms(candidates)
                .filter_map(|platform| self.deciding(platform, asked, now))
                .map(|(_, slot)| self.platform(slot, asked, now))
                .collect(),
        }
    }

    fn platform<'s>(
        &'s self,
        slot: &'s Slot,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> PlatformFact<'s> {
        let record = &slot.record;
        let rule = self.settings.missing_score;
        let mut exceptions = Vec::new();
        for row in &record.rows {
            let held = holding(&self.index.exceptions, row.id(), asked, record, now);
            exceptions.extend(held.map(|one| (one.clone(), row.score(rule))));
        }
        exceptions.dedup_by(|a, b| a.0.name == b.0.name);
        let peak = self.peak(slot, asked, now);
        PlatformFact {
            platform: self.index.words.text(record.platform),
            fact: self.fact(record.at, peak, record.state),
            maximum: Score::from_tenths(peak).unwrap_or(Score::MAX),
            scanner: self.index.words.text(record.scanner),
            vulnerabilities: record.rows.len(),
            left_out: record.left_out,
            names: record.keys.iter().map(|key| &*key.text).collect(),
            reason: record.reason.as_deref(),
            exceptions,
        }
    }

    /// The slot that decides a node, and its fact.
    fn slot_of<'s>(
        &'s self,
        node: &'s Node,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Option<(ScanFact, &'s Slot)> {
        match &node.answer {
            Answer::Plain { at, maxima, state } => {
                let fact = self.fact(*at, maxima[self.settings.missing_score as usize], *state);
                let (slot, _) = node.listed.first()?;
                Some((fact, self.index.slot(*slot)?))
            }
            Answer::Many(candidates) => self.deciding(candidates, asked, now),
        }
    }

    /// The worst over the platforms, each by its newest results; with the oldest time of all.
    fn deciding<'s>(
        &'s self,
        candidates: &[Candidate],
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Option<(ScanFact, &'s Slot)> {
        let latest = At::nearest(now.plus_secs(i64::from(self.settings.skew_secs)));
        let mut worst: Option<(ScanFact, Peak, &Slot)> = None;
        let newest = platforms(candidates).flat_map(|platform| newest(platform, latest));
        for slot in newest.filter_map(|one| self.index.slot(one.slot)) {
            let peak = self.peak(slot, asked, now);
            let fact = self.fact(slot.record.at, peak, slot.record.state);
            worst = Some(match worst {
                None => (fact, peak, slot),
                Some((before, highest, at)) => {
                    // Of those that are equally bad the highest score is the one to tell of.
                    let worse = (badness(fact), peak) > (badness(before), highest);
                    let (mut kept, peak, at) =
                        if worse { (fact, peak, slot) } else { (before, highest, at) };
                    // Never scanned, which is `None`, is the oldest of all.
                    kept.last_scan = fact.last_scan.min(before.last_scan);
                    (kept, peak, at)
                }
            });
        }
        worst.map(|(fact, _, slot)| (fact, slot))
    }

    fn peak(&self, slot: &Slot, asked: Asked<'_>, now: Timestamp) -> Peak {
        let rule = self.settings.missing_score;
        match &slot.standing {
            None => slot.record.maxima[rule as usize],
            Some(standing) => standing.maximum(&slot.record, rule, asked, now),
        }
    }

    fn fact(&self, at: At, maximum: Peak, state: StoredState) -> ScanFact {
        let unknown = |state| ScanFact { status: ScanStatus::Unknown, last_scan: None, state };
        match state {
            StoredState::Scanned => ScanFact {
                status: self
                    .settings
                    .thresholds
                    .status(Score::from_tenths(maximum).unwrap_or(Score::MAX)),
                last_scan: at.time(),
                state: ScanState::Scanned,
            },
            StoredState::Pending => unknown(ScanState::Pending),
            StoredState::Failed => unknown(ScanState::Failed),
            StoredState::TooLarge => unknown(ScanState::TooLarge),
            StoredState::Unsupported => unknown(ScanState::Unsupported),
            StoredState::Expired => unknown(ScanState::Expired),
        }
    }

    /// The next row after `last` in the order of the score that counts, then of the record.
    fn next_worst(
        &self,
        record: &Record,
        last: Option<(Option<Score>, usize)>,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Option<(Option<Score>, usize)> {
        let rule = self.settings.missing_score;
        let mut best: Option<(Option<Score>, usize)> = None;
        for (at, row) in record.rows.iter().enumerate() {
            let score = row.score(rule);
            let after = last.is_none_or(|(s, n)| score < s || (score == s && at > n));
            if !after || best.is_some_and(|(s, _)| score <= s) {
                continue;
            }
            let mut held = holding(&self.index.exceptions, row.id(), asked, record, now);
            if held.next().is_none() {
                best = Some((score, at));
            }
        }
        best
    }

    fn row(&self, row: Row) -> WorstRow<'_> {
        let words = &self.index.words;
        WorstRow {
            id: words.text(row.id()),
            score: row.score(self.settings.missing_score),
            severity: row.severity(),
            package: words.some(row.package()),
            fixed: words.some(row.fixed()),
        }
    }
}

/// What is asked about, as far as scopes need it.
fn asked<'a>(reference: &Reference<'a>, repository: &'a mut KeyText) -> Asked<'a> {
    repository.write_repository(reference);
    Asked { repository: repository.as_str(), tag: reference.tag_or_latest() }
}

/// Candidates by platform (INVARIANT (candidates in order)).
fn platforms(candidates: &[Candidate]) -> impl Iterator<Item = &[Candidate]> {
    candidates.chunk_by(|a, b| a.platform == b.platform)
}

/// The order of facts over platforms. Fail is known to be bad, so it is the worst; nothing known
/// comes before it. Among the states that are Unknown the order only has to be the same always.
fn badness(fact: ScanFact) -> (u8, u8) {
    let status = match fact.status {
        ScanStatus::Pass => 0,
        ScanStatus::Warn => 1,
        ScanStatus::Unknown => 2,
        ScanStatus::Fail => 3,
    };
    (status, fact.state as u8)
}

/// The text an image is looked up by, on the stack: its digest, or its canonical reference.
pub(super) struct KeyText {
    bytes: [u8; CANONICAL_BYTES_MAX],
    len: usize,
}

impl KeyText {
    pub(super) fn new() -> Self {
        Self { bytes: [0; CANONICAL_BYTES_MAX], len: 0 }
    }

    /// Writes the key of a reference, in place of what was there.
    pub(super) fn write(&mut self, reference: &Reference<'_>) {
        self.len = 0;
        let written = match reference.digest() {
            Some(digest) => fmt::Write::write_str(self, digest),
            None => reference.write_canonical(self),
        };
        debug_assert!(written.is_ok(), "a reference is at most CANONICAL_BYTES_MAX long");
    }

    /// Writes registry and repository, in place of what was there.
    fn write_repository(&mut self, reference: &Reference<'_>) {
        self.len = 0;
        let written = reference.write_repository(self);
        debug_assert!(written.is_ok(), "a repository is shorter than a reference");
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for KeyText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use caapc_vm::facts::ScanStatus;

    use super::*;
    use crate::scan::fact::ScanState;

    #[test]
    fn an_override_holds_for_every_spelling() {
        let now = Timestamp::from_secs(1_700_000_000);
        let fact =
            ScanFact { status: ScanStatus::Warn, last_scan: Some(now), state: ScanState::Scanned };
        let digest = format!("sha256:{}", "0f".repeat(32));
        let shelf = ScanShelf::empty().with_override("nginx", fact).unwrap();
        let shelf = shelf.with_override(&digest, fact).unwrap();
        let status = |image: &str| shelf.lookup(&Reference::parse(image).unwrap(), now).status;
        assert_eq!(status("docker.io/library/nginx:latest"), ScanStatus::Warn);
        assert_eq!(status("Index.Docker.IO/nginx"), ScanStatus::Warn);
        assert_eq!(status("nginx:1"), ScanStatus::Unknown);
        assert_eq!(status(&format!("quay.io/any/name:tag@{digest}")), ScanStatus::Warn);
        assert_eq!(status(&format!("nginx@sha256:{}", "00".repeat(32))), ScanStatus::Unknown);
    }
}
