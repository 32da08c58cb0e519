//! The shelf: what is known of every image, immutable, read without a lock and without
//! allocating.
//!
//! It is made by the store and shares its data. Everything that depends on the time, on thresholds
//! and on whether an exception has expired is worked out when it is asked for, in `entry`. Start at
//! [`ScanShelf::entry`].

use std::collections::HashMap;
use std::sync::Arc;

use caapc_vm::facts::Timestamp;

use super::entry::{ScanEntry, key_of};
use super::exceptions::{Exception, Scope};
use super::fact::ScanFact;
use super::index::Index;
use super::record::Record;
use super::settings::Settings;
use crate::reference::{Reference, ReferenceError, is_digest};

/// What is known of every image. See the top of this file.
#[derive(Clone, Debug, Default)]
pub struct ScanShelf {
    pub(super) index: Index,
    pub(super) settings: Settings,
    /// Facts that hold whatever was scanned, by digest or canonical reference.
    overrides: Arc<HashMap<Box<str>, ScanFact>>,
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

    /// What is known of an image: by its digest if it has one, else by registry, repository and tag
    /// (spec: scan, "Identity"). Never allocates.
    pub fn entry<'s>(&'s self, reference: &Reference<'s>) -> ScanEntry<'s> {
        let key = &*key_of(reference);
        let fixed = if self.overrides.is_empty() { None } else { self.overrides.get(key) };
        ScanEntry::new(self, *reference, fixed.copied(), self.index.find(key))
    }

    /// The fact of [`Self::entry`].
    pub fn lookup(&self, reference: &Reference<'_>, now: Timestamp) -> ScanFact {
        self.entry(reference).fact(now)
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
