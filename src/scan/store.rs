//! The store: scan results, exceptions and settings as they come and go; the control road's side.
//!
//! Everything is applied to it one by one, in any order, and [`ScanStore::snapshot`] makes a shelf
//! that shares what did not change. The store never forgets by itself: nothing is removed during a
//! re-list before [`ScanStore::end_scans`]. Start at [`ScanStore::apply_scan`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::exceptions::{Exception, Exceptions, Standing};
use super::index::{Index, Slot, SlotId};
use super::record::Record;
use super::resolve::{answer, neighbourhood};
use super::settings::Settings;
use super::shelf::ScanShelf;
use super::words::Words;
use crate::api::{ImageScanSpec, VulnerabilityExceptionSpec};

/// All that is known of images, to be changed. See the top of this file.
#[derive(Debug)]
pub struct ScanStore {
    index: Index,
    words: Words,
    settings: Settings,
    exceptions: Exceptions,
    by_name: HashMap<Name, SlotId>,
    /// How many slots were ever made, and which of them are empty.
    slots_made: usize,
    free: Vec<SlotId>,
    /// Keys whose answer may have changed since the last snapshot.
    dirty: HashSet<Arc<str>>,
    /// With how many words it is looked whether too many are out of use.
    words_checked_at: usize,
    /// What was seen of scans and of exceptions since a re-list began.
    scans_seen: Option<HashSet<Name>>,
    exceptions_seen: Option<HashSet<Box<str>>>,
}

/// A name by its SHA-256, cut: names are up to 253 bytes and there are 100,000 of them.
type Name = [u8; 16];

/// Fewer words than this are never looked through.
const WORDS_CHECKED_MIN: usize = 1 << 17;

/// How many keys wait at most before they are worked out.
const DIRTY_MAX: usize = 4096;

impl Default for ScanStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ScanStore {
    /// An empty store with default settings.
    pub fn new() -> Self {
        Self {
            index: Index::default(),
            words: Words::new(),
            settings: Settings::default(),
            exceptions: Exceptions::default(),
            by_name: HashMap::new(),
            slots_made: 0,
            free: Vec::new(),
            dirty: HashSet::new(),
            words_checked_at: WORDS_CHECKED_MIN,
            scans_seen: None,
            exceptions_seen: None,
        }
    }

    /// Adds a scan result, or puts it in the place of the one of its name. Which of several
    /// results for an image counts is decided when it is looked up, so that the order in which
    /// they come does not matter.
    ///
    /// # Errors
    /// One sentence with the field path; an earlier result of that name then stays.
    pub fn apply_scan(&mut self, name: &str, spec: &ImageScanSpec) -> Result<(), String> {
        let name = short(name);
        // It exists, whether or not it can be read: a re-list must not take the earlier one away.
        if let Some(seen) = &mut self.scans_seen {
            seen.insert(name);
        }
        let Self { index, words, .. } = self;
        let share = |text: &str| index.find(text).map_or_else(|| text.into(), |n| n.key.clone());
        let record = Record::read(spec, words, share)?;
        let slot = match self.by_name.get(&name).copied() {
            Some(slot) => {
                self.unlist(slot);
                slot
            }
            None => self.new_slot(name)?,
        };
        for key in &record.keys {
            self.index.node_mut(&key.text).listed.push((slot, key.seen));
            self.dirty.insert(key.text.clone());
        }
        let standing = Standing::of(&record, &self.exceptions).map(Arc::new);
        self.index.set_slot(slot, Some(Slot { record: Arc::new(record), standing }));
        // PERF: while 100,000 are loaded, what waits to be worked out must not outgrow them.
        if self.dirty.len() > DIRTY_MAX {
            self.resolve();
        }
        Ok(())
    }

    /// Takes a scan result away, if there is one of that name.
    pub fn delete_scan(&mut self, name: &str) {
        self.delete_short(short(name));
    }

    fn delete_short(&mut self, name: Name) {
        if let Some(slot) = self.by_name.remove(&name) {
            self.unlist(slot);
            self.index.set_slot(slot, None);
            self.free.push(slot);
        }
    }

    fn new_slot(&mut self, name: Name) -> Result<SlotId, String> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => SlotId::new(self.slots_made).ok_or("too many scan results")?,
        };
        self.slots_made = self.slots_made.max(slot.number() + 1);
        self.by_name.insert(name, slot);
        Ok(slot)
    }

    /// Takes a record off the nodes of its keys, and marks what it led to.
    fn unlist(&mut self, slot: SlotId) {
        let Some(Slot { record, .. }) = self.index.slot(slot).cloned() else { return };
        let keys: HashSet<_> = record.keys.iter().map(|key| key.text.clone()).collect();
        // While it is still listed: afterwards the way to its neighbours is gone.
        self.dirty.extend(neighbourhood(&self.index, keys));
        for key in &record.keys {
            self.index.node_mut(&key.text).listed.retain(|(other, _)| *other != slot);
        }
    }

    /// Adds an exception, or puts it in the place of the one of its name.
    ///
    /// # Errors
    /// One sentence with the field path; an earlier exception of that name then stays.
    pub fn apply_exception(
        &mut self,
        name: &str,
        spec: &VulnerabilityExceptionSpec,
    ) -> Result<(), String> {
        if let Some(seen) = &mut self.exceptions_seen {
            seen.insert(name.into());
        }
        let exception = Exception::read(name, spec)?;
        self.exceptions.apply(exception, &mut self.words);
        Ok(())
    }

    /// Takes an exception away, if there is one of that name.
    pub fn delete_exception(&mut self, name: &str) {
        self.exceptions.delete(name, &mut self.words);
    }

    /// Every exception, by name.
    pub fn exceptions(&self) -> impl Iterator<Item = &Arc<Exception>> {
        self.exceptions.iter()
    }

    /// Puts settings in force. What they change costs nothing: scores are kept, not statuses.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many scan results there are.
    pub fn scans(&self) -> usize {
        self.by_name.len()
    }

    /// A complete list of scan results begins; what it does not name goes at [`Self::end_scans`].
    pub fn begin_scans(&mut self) {
        self.scans_seen = Some(HashSet::new());
    }

    /// The list is complete: results it did not name are taken away.
    pub fn end_scans(&mut self) {
        let Some(seen) = self.scans_seen.take() else { return };
        let gone: Vec<Name> =
            self.by_name.keys().filter(|name| !seen.contains(*name)).copied().collect();
        gone.into_iter().for_each(|name| self.delete_short(name));
    }

    /// A complete list of exceptions begins; what it does not name goes at
    /// [`Self::end_exceptions`].
    pub fn begin_exceptions(&mut self) {
        self.exceptions_seen = Some(HashSet::new());
    }

    /// The list is complete: exceptions it did not name are taken away.
    pub fn end_exceptions(&mut self) {
        let Some(seen) = self.exceptions_seen.take() else { return };
        let gone: Vec<Arc<str>> = self.exceptions.iter().map(|one| one.name.clone()).collect();
        for name in gone.iter().filter(|name| !seen.contains(&***name)) {
            self.delete_exception(name);
        }
    }

    /// A shelf of all this, as it is now. It shares with the shelf before what did not change.
    pub fn snapshot(&mut self) -> ScanShelf {
        self.tidy_words();
        self.settle_exceptions();
        self.resolve();
        self.index.exceptions = self.exceptions.by_id().clone();
        ScanShelf::new(self.index.clone(), self.settings)
    }

    /// Works out who answers for the keys that wait for it.
    fn resolve(&mut self) {
        self.index.words = self.words.list().clone();
        for key in neighbourhood(&self.index, std::mem::take(&mut self.dirty)) {
            let Some(node) = self.index.find(&key) else { continue };
            if node.listed.is_empty() {
                self.index.remove(&key);
            } else {
                let answer = answer(&self.index, node);
                self.index.node_mut(&key).answer = answer;
            }
        }
    }

    /// Works out anew what exceptions make of the records that they are about.
    fn settle_exceptions(&mut self) {
        let changed = self.exceptions.settle(&mut self.words);
        if changed.is_empty() {
            return;
        }
        let about = |slot: &Slot| slot.record.rows.iter().any(|row| changed.contains(&row.id()));
        let touched: Vec<(SlotId, Slot)> = self
            .index
            .slots()
            .filter(|(_, slot)| about(slot))
            .map(|(id, slot)| (id, slot.clone()))
            .collect();
        for (id, Slot { record, .. }) in touched {
            self.dirty.extend(record.keys.iter().map(|key| key.text.clone()));
            let standing = Standing::of(&record, &self.exceptions).map(Arc::new);
            self.index.set_slot(id, Some(Slot { record, standing }));
        }
    }

    /// Starts the words anew if more than half of many are out of use, so that memory does not
    /// grow with every version that ever repaired anything.
    fn tidy_words(&mut self) {
        if self.words.len() < self.words_checked_at {
            return;
        }
        let mut fresh = Words::new();
        let old = self.words.list().clone();
        let mut records = Vec::new();
        for (id, slot) in self.index.slots() {
            let Some(record) = slot.record.renumber(&old, &mut fresh) else { return };
            records.push((id, record));
        }
        self.words_checked_at = (fresh.len() * 2).max(WORDS_CHECKED_MIN);
        if fresh.len() * 2 > self.words.len() {
            return;
        }
        self.exceptions.renumber(&mut fresh);
        self.words = fresh;
        for (id, record) in records {
            self.dirty.extend(record.keys.iter().map(|key| key.text.clone()));
            self.index.set_slot(id, Some(Slot { record: Arc::new(record), standing: None }));
        }
    }
}

fn short(name: &str) -> Name {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let mut short = Name::default();
    short.copy_from_slice(&hash[..16]);
    short
}
