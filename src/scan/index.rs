//! The index: from a digest or a canonical reference to the records that answer for it.
//!
//! It is cut into shards and chunks behind reference counts, so that a shelf shares with its
//! successor all that did not change: a change copies the few shards it touches. It holds data
//! only; who leads to whom is in `resolve`, what changes it is in `store`.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::exceptions::{ById, Standing};
use super::record::{At, Peak, RULES, Record};
use super::words::{Word, WordList};
use crate::api::StoredState;

/// Must be a power of two.
const SHARDS: usize = 256;
const CHUNK_SLOTS: usize = 256;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotId(u32);

/// A record and what exceptions make of it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) record: Arc<Record>,
    pub(super) standing: Option<Arc<Standing>>,
}

/// A digest or a canonical reference.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) key: Arc<str>,
    /// The records that name it themselves, and when that was last seen.
    pub(super) listed: SmallVec<[(SlotId, At); 1]>,
    pub(super) answer: Answer,
}

/// Who answers for a node.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// One record to which no exception applies.
    Plain { at: At, maxima: [Peak; RULES], state: StoredState },
    /// Several records or platforms, in the order of [`Candidate`]'s fields.
    Many(Box<[Candidate]>),
}

/// A record that may answer for a node. INVARIANT (candidates in order): by platform, then the
/// newest edge first, then the newest scan first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) platform: Word,
    /// When it was last seen that the node leads here.
    pub(super) edge: At,
    pub(super) at: At,
    pub(super) slot: SlotId,
    /// It says nothing of vulnerabilities.
    pub(super) empty: bool,
}

type Chunk = [Option<Slot>; CHUNK_SLOTS];

/// See the top of this file.
#[derive(Clone, Debug)]
pub(super) struct Index {
    hasher: RandomState,
    shards: Vec<Arc<HashTable<Node>>>,
    slots: Vec<Arc<Chunk>>,
    pub(super) words: WordList,
    pub(super) exceptions: Arc<ById>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: vec![Arc::default(); SHARDS],
            slots: Vec::new(),
            words: WordList::default(),
            exceptions: Arc::default(),
        }
    }
}

impl Index {
    /// The node of a key. Never allocates.
    pub(super) fn find(&self, key: &str) -> Option<&Node> {
        let hash = self.hasher.hash_one(key);
        self.shards.get(shard_of(hash))?.find(hash, |node| *node.key == *key)
    }

    /// The record in a slot. Never allocates.
    pub(super) fn slot(&self, id: SlotId) -> Option<&Slot> {
        let at = id.0 as usize;
        self.slots.get(at / CHUNK_SLOTS)?.get(at % CHUNK_SLOTS)?.as_ref()
    }

    /// Every record, in the order of the slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        let all = self.slots.iter().flat_map(|chunk| chunk.iter()).enumerate();
        all.filter_map(|(at, slot)| Some((SlotId(u32::try_from(at).ok()?), slot.as_ref()?)))
    }

    /// Every node, in no order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// The node of a key to change, made if there is none.
    pub(super) fn node_mut(&mut self, key: &Arc<str>) -> &mut Node {
        let hash = self.hasher.hash_one(&**key);
        let shard = Arc::make_mut(&mut self.shards[shard_of(hash)]);
        let hasher = &self.hasher;
        let entry =
            shard.entry(hash, |node| *node.key == **key, |node| hasher.hash_one(&*node.key));
        let fresh = || Node {
            key: key.clone(),
            listed: SmallVec::new(),
            answer: Answer::Many(Box::default()),
        };
        entry.or_insert_with(fresh).into_mut()
    }

    /// Takes the node of a key away.
    pub(super) fn remove(&mut self, key: &str) {
        let hash = self.hasher.hash_one(key);
        let shard = Arc::make_mut(&mut self.shards[shard_of(hash)]);
        if let Ok(found) = shard.find_entry(hash, |node| *node.key == *key) {
            found.remove();
        }
    }

    /// Puts something into a slot, or empties it.
    pub(super) fn set_slot(&mut self, id: SlotId, slot: Option<Slot>) {
        let at = id.0 as usize;
        while self.slots.len() <= at / CHUNK_SLOTS {
            self.slots.push(Arc::new([const { None }; CHUNK_SLOTS]));
        }
        Arc::make_mut(&mut self.slots[at / CHUNK_SLOTS])[at % CHUNK_SLOTS] = slot;
    }
}

impl SlotId {
    pub(super) fn number(self) -> usize {
        self.0 as usize
    }

    /// The slot of a number; `None` beyond what a slot can be.
    pub(super) fn new(number: usize) -> Option<Self> {
        u32::try_from(number).ok().map(Self)
    }
}

/// The table uses the lowest and the highest bits itself.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}
