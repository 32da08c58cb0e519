//! The shelf: what is known of every image, immutable, read without a lock and without
//! allocating. Start at [`ScanShelf::lookup`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use caapc_vm::facts::Timestamp;

use super::fact::ScanFact;
use super::settings::Settings;
use crate::api::{Score, Severity};
use crate::reference::{CANONICAL_BYTES_MAX, Reference, ReferenceError, is_digest};

/// What is known of every image.
#[derive(Clone, Debug, Default)]
pub struct ScanShelf {
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

impl ScanShelf {
    /// A shelf on which no image was ever scanned, with default settings.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
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
    pub fn lookup(&self, reference: &Reference<'_>, _now: Timestamp) -> ScanFact {
        let mut key = KeyText::new();
        key.write(reference);
        self.overrides.get(key.as_str()).copied().unwrap_or(ScanFact::NEVER)
    }

    /// The vulnerabilities that count for an image, worst first.
    pub fn worst<'s>(
        &'s self,
        _reference: &Reference<'_>,
        _now: Timestamp,
    ) -> impl Iterator<Item = WorstRow<'s>> + use<'s> {
        std::iter::empty()
    }
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
