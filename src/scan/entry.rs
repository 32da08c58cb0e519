//! What the shelf has of one image: found once, and asked as often as an answer needs.
//!
//! The image is looked up by `shelf`; here are its status, its worst vulnerabilities, what its
//! exceptions do and when that ends. Nothing allocates but what is for people. Start at
//! [`ScanEntry::fact`].

use std::fmt::Write;
use std::sync::Arc;

use arrayvec::ArrayString;
use caapc_vm::facts::{ScanStatus, Timestamp};

use super::exceptions::{Asked, Exception, holding};
use super::fact::{ScanFact, ScanState};
use super::index::{Answer, Candidate, Node, Slot};
use super::record::{At, Peak, RULES, Record, Row};
use super::resolve::newest;
use super::shelf::ScanShelf;
use crate::api::{Score, Severity, StoredState};
use crate::reference::{CANONICAL_BYTES_MAX, Reference};

/// A canonical text of a reference, on the stack.
type KeyText = ArrayString<CANONICAL_BYTES_MAX>;

/// What the shelf has of one image. See the top of this file.
#[derive(Clone, Copy, Debug)]
pub struct ScanEntry<'s> {
    shelf: &'s ScanShelf,
    reference: Reference<'s>,
    /// A fact that holds whatever was scanned.
    fixed: Option<ScanFact>,
    node: Option<&'s Node>,
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

impl<'s> ScanEntry<'s> {
    pub(super) fn new(
        shelf: &'s ScanShelf,
        reference: Reference<'s>,
        fixed: Option<ScanFact>,
        node: Option<&'s Node>,
    ) -> Self {
        Self { shelf, reference, fixed, node }
    }

    /// What is known of the image at `now` (spec: scan, "Identity").
    pub fn fact(&self, now: Timestamp) -> ScanFact {
        match (self.fixed, self.node) {
            (Some(fact), _) => fact,
            (None, None) => ScanFact::NEVER,
            (None, Some(Node { answer: Answer::Plain { at, maxima, state }, .. })) => {
                self.plain(*at, maxima, *state)
            }
            (None, Some(Node { answer: Answer::Many(candidates), .. })) => {
                let deciding = self.deciding(candidates, &repository_of(&self.reference), now);
                deciding.map_or(ScanFact::NEVER, |(fact, _)| fact)
            }
        }
    }

    /// The vulnerabilities that count for the image, worst first, of the platform that decides.
    pub fn worst(&self, now: Timestamp) -> impl Iterator<Item = WorstRow<'s>> + use<'s> {
        let entry = *self;
        let repository = match self.node {
            // PERF: only exceptions ask for it, and none is about a vulnerability of this image.
            None | Some(Node { answer: Answer::Plain { .. }, .. }) => KeyText::new(),
            Some(_) => repository_of(&self.reference),
        };
        let slot = self.node.and_then(|node| self.slot_of(node, &repository, now));
        let mut last = None;
        std::iter::from_fn(move || {
            let (_, slot) = slot?;
            let asked = asked(&entry.reference, &repository);
            let next = entry.next_worst(&slot.record, last, asked, now)?;
            last = Some(next);
            Some(entry.row(*slot.record.rows.get(next.1)?))
        })
    }

    /// The first instant after `now` at which an exception's expiry makes the status of the image
    /// worse, and what it is then.
    pub fn worsens(&self, now: Timestamp) -> Option<(Timestamp, ScanStatus)> {
        let Answer::Many(candidates) = &self.node?.answer else { return None };
        let index = &self.shelf.index;
        let present = badness(self.fact(now)).0;
        let standings = || {
            let slots = candidates.iter().filter_map(|one| index.slot(one.slot));
            slots.filter_map(|slot| slot.standing.as_ref())
        };
        let mut at = now;
        // An image with more expiries than this ahead is asked again soon enough.
        for _ in 0..64 {
            at = standings().filter_map(|standing| standing.next_expiry(at)).min()?;
            let then = self.fact(at);
            if badness(then).0 > present {
                return Some((at, then.status));
            }
        }
        None
    }

    /// The result that counts on each platform, for people: it allocates. None if the image was
    /// never scanned.
    pub fn platforms(&self, now: Timestamp) -> Vec<PlatformFact<'s>> {
        let repository = repository_of(&self.reference);
        let Some(node) = self.node else { return Vec::new() };
        match &node.answer {
            Answer::Plain { .. } => {
                let found = self.slot_of(node, &repository, now);
                found.map(|(_, slot)| self.platform(slot, &repository, now)).into_iter().collect()
            }
            Answer::Many(candidates) => platforms(candidates)
                .filter_map(|platform| self.deciding(platform, &repository, now))
                .map(|(_, slot)| self.platform(slot, &repository, now))
                .collect(),
        }
    }

    fn platform(&self, slot: &'s Slot, repository: &str, now: Timestamp) -> PlatformFact<'s> {
        let record = &slot.record;
        let asked = asked(&self.reference, repository);
        let index = &self.shelf.index;
        let rule = self.shelf.settings.missing_score;
        let mut exceptions = Vec::new();
        for row in &record.rows {
            let held = holding(&index.exceptions, row.id(), asked, record, now);
            exceptions.extend(held.map(|one| (one.clone(), row.score(rule))));
        }
        exceptions.dedup_by(|a, b| a.0.name == b.0.name);
        let peak = self.peak(slot, asked, now);
        PlatformFact {
            platform: index.words.text(record.platform),
            fact: self.scanned(record.at, peak, record.state),
            maximum: Score::from_tenths(peak).unwrap_or(Score::MAX),
            scanner: index.words.text(record.scanner),
            vulnerabilities: record.rows.len(),
            left_out: record.left_out,
            names: record.keys.iter().map(|key| &*key.text).collect(),
            reason: record.reason.as_deref(),
            exceptions,
        }
    }

    /// The slot that decides a node, and its fact.
    fn slot_of(
        &self,
        node: &'s Node,
        repository: &str,
        now: Timestamp,
    ) -> Option<(ScanFact, &'s Slot)> {
        match &node.answer {
            Answer::Plain { at, maxima, state } => {
                let (slot, _) = node.listed.first()?;
                Some((self.plain(*at, maxima, *state), self.shelf.index.slot(*slot)?))
            }
            Answer::Many(candidates) => self.deciding(candidates, repository, now),
        }
    }

    /// The worst over the platforms, each by its newest results; with the oldest time of all.
    fn deciding(
        &self,
        candidates: &[Candidate],
        repository: &str,
        now: Timestamp,
    ) -> Option<(ScanFact, &'s Slot)> {
        let asked = asked(&self.reference, repository);
        let latest = At::nearest(now.plus_secs(i64::from(self.shelf.settings.skew_secs)));
        let mut worst: Option<(ScanFact, Peak, &Slot)> = None;
        let newest = platforms(candidates).flat_map(|platform| newest(platform, latest));
        for slot in newest.filter_map(|one| self.shelf.index.slot(one.slot)) {
            let peak = self.peak(slot, asked, now);
            let fact = self.scanned(slot.record.at, peak, slot.record.state);
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
        let rule = self.shelf.settings.missing_score;
        match &slot.standing {
            None => slot.record.maxima[rule as usize],
            Some(standing) => standing.maximum(&slot.record, rule, asked, now),
        }
    }

    fn plain(&self, at: At, maxima: &[Peak; RULES], state: StoredState) -> ScanFact {
        self.scanned(at, maxima[self.shelf.settings.missing_score as usize], state)
    }

    fn scanned(&self, at: At, maximum: Peak, state: StoredState) -> ScanFact {
        let unknown = |state| ScanFact { status: ScanStatus::Unknown, last_scan: None, state };
        match state {
            StoredState::Scanned => ScanFact {
                status: self
                    .shelf
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
        let rule = self.shelf.settings.missing_score;
        let mut best: Option<(Option<Score>, usize)> = None;
        for (at, row) in record.rows.iter().enumerate() {
            let score = row.score(rule);
            let after = last.is_none_or(|(s, n)| score < s || (score == s && at > n));
            if !after || best.is_some_and(|(s, _)| score <= s) {
                continue;
            }
            let mut held = holding(&self.shelf.index.exceptions, row.id(), asked, record, now);
            if held.next().is_none() {
                best = Some((score, at));
            }
        }
        best
    }

    fn row(&self, row: Row) -> WorstRow<'s> {
        let words = &self.shelf.index.words;
        WorstRow {
            id: words.text(row.id()),
            score: row.score(self.shelf.settings.missing_score),
            severity: row.severity(),
            package: words.some(row.package()),
            fixed: words.some(row.fixed()),
        }
    }
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

/// What is asked about, as far as scopes need it.
fn asked<'a>(reference: &Reference<'a>, repository: &'a str) -> Asked<'a> {
    Asked { repository, tag: reference.tag_or_latest() }
}

/// What an image is looked up by: its digest, or its canonical reference.
pub(super) fn key_of(reference: &Reference<'_>) -> KeyText {
    let mut key = KeyText::new();
    let written = match reference.digest() {
        Some(digest) => key.write_str(digest),
        None => reference.write_canonical(&mut key),
    };
    debug_assert!(written.is_ok(), "a reference is at most CANONICAL_BYTES_MAX long");
    key
}

/// Registry and repository.
fn repository_of(reference: &Reference<'_>) -> KeyText {
    let mut repository = KeyText::new();
    let written = reference.write_repository(&mut repository);
    debug_assert!(written.is_ok(), "a reference is at most CANONICAL_BYTES_MAX long");
    repository
}
