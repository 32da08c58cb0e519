//! Who leads to whom: tag, index, manifest, and which of several results is the newest.
//!
//! - A digest leads to the records that list it; an index digest also to those that list the
//!   manifest of a record that lists the index.
//! - A tag leads to the records that list it and to all that their digests lead to. Each edge is as
//!   old as the scan that showed it, because a tag moves: only the newest edge of a platform counts.
//! - Of the records at the end of an edge the newest scan counts, whatever the scanner. A time in
//!   the future ranks last, a scan that is pending or looked for no vulnerabilities hides nothing,
//!   equal times count as the worse status.
//! - Over the platforms the worst status and the oldest time count (spec: scan, "Identity").
//!
//! [`answer`] works the graph out ahead of time; [`newest`] is what is left for the request road.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::index::{Answer, Candidate, Index, Node, Slot, SlotId};
use super::record::{At, Record};
use crate::reference::is_digest;

/// Works out who answers for a node.
pub(super) fn answer(index: &Index, node: &Node) -> Answer {
    let alone = match node.listed.as_slice() {
        [(slot, _)] => index.slot(*slot).filter(|slot| leads_only_to_itself(index, &slot.record)),
        _ => None,
    };
    if let Some(Slot { record, standing: None }) = alone {
        return Answer::Plain { at: record.at, maxima: record.maxima, state: record.state };
    }
    let mut edges = BTreeMap::new();
    if is_digest(&node.key) {
        for slot in of_digest(index, node) {
            edges.insert(slot, At::NEVER);
        }
    } else {
        for (slot, seen) in &node.listed {
            raise(&mut edges, *slot, *seen);
            for key in digests_of(index, *slot) {
                let behind = index.find(key).map(|node| of_digest(index, node));
                behind.into_iter().flatten().for_each(|slot| raise(&mut edges, slot, *seen));
            }
        }
    }
    Answer::Many(candidates(index, edges))
}

fn raise(edges: &mut BTreeMap<SlotId, At>, slot: SlotId, seen: At) {
    let edge = edges.entry(slot).or_insert(seen);
    *edge = seen.max(*edge);
}

fn candidates(index: &Index, edges: BTreeMap<SlotId, At>) -> Box<[Candidate]> {
    let mut all: Vec<Candidate> = edges
        .into_iter()
        .filter_map(|(slot, edge)| {
            let record = &index.slot(slot)?.record;
            let empty = record.state.says_nothing();
            Some(Candidate { platform: record.platform, edge, at: record.at, slot, empty })
        })
        .collect();
    // INVARIANT (candidates in order). By the platforms' names, so that the order in which scans
    // arrive, which numbers the words, does not show.
    let platform = |one: &Candidate| index.words.text(one.platform);
    all.sort_by(|a, b| {
        (platform(a), b.edge, b.at, a.slot).cmp(&(platform(b), a.edge, a.at, b.slot))
    });
    all.into()
}

/// Whether nobody else is at the end of any of a record's digests.
fn leads_only_to_itself(index: &Index, record: &Record) -> bool {
    let mut digests = record.keys.iter().filter(|key| is_digest(&key.text));
    digests.all(|key| index.find(&key.text).is_some_and(|node| node.listed.len() == 1))
}

/// The records a digest leads to.
fn of_digest(index: &Index, node: &Node) -> HashSet<SlotId> {
    let mut found: HashSet<SlotId> = node.listed.iter().map(|(slot, _)| *slot).collect();
    for (slot, _) in &node.listed {
        let Some(Slot { record, .. }) = index.slot(*slot) else { continue };
        let as_index = record.keys.iter().any(|key| key.index && *key.text == *node.key);
        let manifest = record.digest.as_ref().filter(|_| as_index);
        let behind = manifest.and_then(|digest| index.find(digest));
        found.extend(behind.into_iter().flat_map(|node| &node.listed).map(|(slot, _)| *slot));
    }
    found
}

fn digests_of(index: &Index, slot: SlotId) -> impl Iterator<Item = &Arc<str>> {
    let keys = index.slot(slot).into_iter().flat_map(|slot| slot.record.keys.iter());
    keys.map(|key| &key.text).filter(|text| is_digest(text))
}

/// All keys whose answer may depend on what one of these keys lists: up to two steps away, by way
/// of a manifest's index to the tags of its other platforms.
pub(super) fn neighbourhood(index: &Index, keys: HashSet<Arc<str>>) -> HashSet<Arc<str>> {
    let mut edge: Vec<Arc<str>> = keys.iter().cloned().collect();
    let mut all = keys;
    for _ in 0..2 {
        let digests = edge.iter().filter(|key| is_digest(key));
        let slots: HashSet<SlotId> = digests
            .filter_map(|key| index.find(key))
            .flat_map(|node| node.listed.iter().map(|(slot, _)| *slot))
            .collect();
        let near = slots.into_iter().filter_map(|slot| index.slot(slot));
        let near = near.flat_map(|slot| slot.record.keys.iter().map(|key| key.text.clone()));
        edge = near.filter(|key| !all.contains(key)).collect();
        all.extend(edge.iter().cloned());
    }
    all
}

/// Of the candidates of one platform those that count: of the newest edge the newest scan, all of
/// them if several have its time. `latest` is the last time that is not in the future.
pub(super) fn newest(platform: &[Candidate], latest: At) -> impl Iterator<Item = &Candidate> {
    // What says nothing of vulnerabilities counts only where there is nothing else.
    let hide = platform.iter().any(|one| !one.empty);
    let live = move |one: &&Candidate| !(hide && one.empty);
    let mut edges = platform.iter().filter(live).map(|one| one.edge);
    let edge = edges.clone().find(|edge| *edge <= latest).or_else(|| edges.next());
    let ends = move || platform.iter().filter(live).filter(move |one| Some(one.edge) == edge);
    let at = ends().map(|one| one.at).find(|at| *at <= latest);
    let at = at.or_else(|| ends().map(|one| one.at).next());
    ends().filter(move |one| Some(one.at) == at)
}
